"""Delivery to real servers on loopback: an SMTP server and an HTTP sink, started here."""

import json
import logging
import socket
import ssl
import threading
from base64 import b64encode
from contextlib import contextmanager
from datetime import UTC
from email import policy
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

import keyring
import pytest
import yaml
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from salesops_lib.config import Strict, parse
from salesops_lib.errors import ConfigError
from salesops_lib.report import transport
from salesops_lib.report.deliver import Delivery, deliver
from salesops_lib.report.execute import PageRun

PASSWORD, TOKEN = "p@ss/word?hush", "T0K3N-hush-0815"


def page(name, title, **found):
    """A page as the run record holds it."""
    made = PageRun(name=name, title=title, **({"status": "ok"} | found)).as_dict()
    return made | {"segment": name.partition("-")[2]}


LEADING = page("leadership_report", "Leadership", headline="Booked 1.2 M EUR after 34 % of Q3.")
CENTRAL = page("manager_report-Central", "Team Central", headline="Central booked 400 k EUR.")
WEST = page("manager_report-West", "Team West", headline="West booked 800 k EUR.")
BROKEN = page(
    "manager_report-West", "Team West", status="failed", error="ValueError: no quota for West", cell=3,
    source="x = 1\nplan(x)", traceback="Traceback: hush", parameters={"who": "West", "api_token": "swordfish"},
)  # fmt: skip


# -- the servers ---------------------------------------------------------------------------------------


class Inbox:
    """Keeps what arrives; `answers` are given to RCPT, by mailbox, before it accepts."""

    def __init__(self):
        self.mails, self.envelopes, self.asked, self.answers = [], [], [], {}

    async def handle_RCPT(self, server, session, envelope, address, options):
        self.asked.append(address)
        if self.answers.get(address):
            return self.answers[address].pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        self.envelopes.append(envelope)
        self.mails.append(BytesParser(policy=policy.default).parsebytes(envelope.content))
        return "250 taken"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextmanager
def mail_server(**options):
    inbox = Inbox()
    controller = Controller(inbox, hostname="127.0.0.1", port=free_port(), **options)
    controller.start()
    inbox.port = controller.port
    try:
        yield inbox
    finally:
        controller.stop()


@pytest.fixture
def inbox(monkeypatch):
    with mail_server() as found:
        monkeypatch.setenv("SALESOPS_SMTP_URL", f"smtp://127.0.0.1:{found.port}")
        yield found


class Sink(ThreadingHTTPServer):
    """Keeps what is posted; gives `answers` before it accepts."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Post)
        self.posts, self.answers = [], []

    @property
    def url(self):
        return f"json://127.0.0.1:{self.server_port}/{TOKEN}"


class Post(BaseHTTPRequestHandler):
    def do_POST(self):
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posts.append((self.path, json.loads(content)))
        self.send_response(self.server.answers.pop(0) if self.server.answers else 200)
        self.end_headers()

    def log_message(self, *args): ...


@pytest.fixture
def sink(monkeypatch):
    with Sink() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("SALESOPS_CHAT_URL", server.url)
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(transport, "WAITS_S", (0.01, 0.01, 0.01))
    monkeypatch.setattr(socket, "getfqdn", lambda name="": "test.example.com")  # no name server is asked
    monkeypatch.setenv("SALESOPS_MAIL_FROM", "reports@example.com")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("SALESOPS_SMTP_URL", "SALESOPS_CHAT_URL"):
        monkeypatch.delenv(name, raising=False)


# -- the run -------------------------------------------------------------------------------------------


class Ran(NamedTuple):
    record: dict
    folder: object

    def deliver(self, *entries, before=None):
        deliveries = [Delivery(**entry) for entry in entries]
        return deliver(self.record, self.folder, deliveries, before=before and before.record)


def ran(tmp_path, *pages, as_of="2026-09-30", **record):
    """A published run: the files of its pages, and its record as read back."""
    place = tmp_path / "out/weekly" / as_of
    place.mkdir(parents=True, exist_ok=True)
    for made in pages:
        if made["status"] == "ok":
            text = f"<p>{made['headline']}</p>\n"
            (place / f"{made['name']}.html").write_text(text, encoding="utf-8", newline="")
    paths = [f"{made['name']}.html" for made in pages]
    told = [
        made | {"path": path if (place / path).exists() else ""} for made, path in zip(pages, paths, strict=True)
    ]
    known = {"report": "weekly", "title": "Weekly report", "company": "Acme", "as_of": as_of, "health": {}}
    return Ran(json.loads(json.dumps(known | {"pages": told} | record)), place)


def text_of(mail) -> str:
    return mail.get_body(("plain",)).get_content().replace("\r\n", "\n")


def everything_in(mail) -> str:
    parts = [part.get_content() for part in mail.walk() if not part.is_multipart()]
    names = [part.get_filename() or "" for part in mail.walk()]
    return "\n".join([*mail.values(), *names, *(str(part) for part in parts)])


# -- mail ----------------------------------------------------------------------------------------------


def test_a_mail_brings_the_headline_and_the_page_itself(tmp_path, inbox):
    run = ran(tmp_path, LEADING)
    told = run.deliver({"mail": ["vp@example.com"]})
    assert told == [
        {"to": "vp@example.com", "kind": "mail", "event": "success", "pages": ["leadership_report"],
         "status": "sent", "error": ""}
    ]  # fmt: skip
    (mail,) = inbox.mails
    assert mail["Subject"] == "Leadership, 2026-09-30: Booked 1.2 M EUR after 34 % of Q3."
    assert (mail["From"], mail["To"]) == ("reports@example.com", "vp@example.com")
    assert mail["Date"].datetime.tzinfo
    assert mail["Message-ID"].endswith("@example.com>")
    assert mail["Auto-Submitted"] == "auto-generated"
    assert text_of(mail) == (
        "Weekly report (Acme), as of 2026-09-30\n\nLeadership\n  Booked 1.2 M EUR after 34 % of Q3.\n"
        f"  Page: {run.folder / 'leadership_report.html'}\n"
    )
    (sent,) = mail.iter_attachments()
    assert sent.get_content_type() == "text/html"
    assert sent.get_filename() == "leadership_report_2026-09-30.html"
    assert sent.get_payload(decode=True) == (run.folder / "leadership_report.html").read_bytes()


def test_a_mail_carries_what_servers_take_and_says_what_it_left_out(tmp_path, inbox):
    long = ["Ann" * 40 + end for end in ("a", "b", "c")]  # alike in what a file name keeps
    run = ran(tmp_path, *(page(name, name, headline="Fine.") for name in long))
    for name in long[:2]:
        (run.folder / f"{name}.html").write_bytes(b"x" * 5_000_000)
    (run.folder / f"{long[2]}.html").write_bytes(b"x" * 6_000_000)
    assert run.deliver({"mail": ["vp@example.com"]})[0]["status"] == "sent"
    (mail,) = inbox.mails
    names = [sent.get_filename() for sent in mail.iter_attachments()]
    assert names == [f"{long[0][:80]}_2026-09-30{end}.html" for end in ("", "_2")]
    assert text_of(mail).endswith("\n\nNot attached: 1 of 3 pages, which would make the mail too large.\n")


def test_who_may_see_one_team_gets_nothing_of_another(tmp_path, inbox):
    run = ran(tmp_path, LEADING, CENTRAL, BROKEN, health={"blocking": ["West lost EUR 77."]})
    before = ran(tmp_path, LEADING, CENTRAL, WEST, as_of="2026-09-23")
    told = run.deliver(
        {"mail": ["ann@example.com"], "segment": "Central"},
        {"mail": ["bob@example.com"], "pages": ["*-Central"]},
        {"mail": ["vp@example.com"]},
        before=before,
    )
    assert [entry["status"] for entry in told] == ["sent"] * 3
    for mail in inbox.mails[:2]:
        assert mail["Subject"] == "Team Central, 2026-09-30: Central booked 400 k EUR."
        assert [part.get_filename() for part in mail.iter_attachments()] == [
            "manager_report-Central_2026-09-30.html"
        ]
        assert "The same as for 2026-09-23." in text_of(mail)
        assert "numbers are wrong until they are mended." in text_of(mail)
        for part in ("West", "Leadership", "1.2 M", "vp@", "Failed", "leadership_report"):
            assert part not in everything_in(mail), part
    assert "West lost EUR 77" in text_of(inbox.mails[2])
    assert len(list(inbox.mails[2].iter_attachments())) == 2


def test_a_failure_names_the_cell_and_holds_no_secret(tmp_path, inbox):
    ran(tmp_path, LEADING, WEST)
    secrets = "password='hush hush', url=postgresql://u:hush@h/d swordfish"
    run = ran(tmp_path, LEADING, BROKEN | {"error": f"ValueError: no quota, {secrets}"})
    run.deliver({"mail": ["vp@example.com"], "link": "https://reports.example.com/"})
    (mail,) = inbox.mails
    assert mail["Subject"] == "Failed: Weekly report, 2026-09-30: Team West"
    assert (
        "\nTeam West: failed in code cell 3\n  ValueError: no quota, password=…, url=postgresql://…@h/d …\n"
        "  The cell:\n    x = 1\n    plan(x)\n"
        "  The last good page: https://reports.example.com/weekly/2026-09-30/manager_report-West.html\n"
    ) in text_of(mail)
    assert [part.get_filename() for part in mail.iter_attachments()] == ["leadership_report_2026-09-30.html"]
    for part in ("hush", "swordfish", str(tmp_path)):
        assert part not in everything_in(mail)


def test_the_cell_papermill_injects_is_not_shown(tmp_path, inbox):
    run = ran(tmp_path, BROKEN | {"source": "# Parameters\nkey = 'sesame'\n", "cell": 2})
    run.deliver({"mail": ["vp@example.com"]})
    assert "failed in code cell 2" in text_of(inbox.mails[0])
    assert "sesame" not in everything_in(inbox.mails[0])


def test_events(tmp_path, inbox):
    good, bad = ran(tmp_path, LEADING, WEST), ran(tmp_path, LEADING, BROKEN)
    other = LEADING | {"headline": "Booked 1.3 M EUR."}
    moved = ran(tmp_path, other, WEST)
    for run, before, on, pages, event in (
        (good, None, ["success"], "*", "success"),
        (good, None, ["failure"], "*", ""),
        (bad, good, ["success"], "*", ""),
        (bad, good, ["failure"], "*", "failure"),
        (bad, good, ["failure"], "leadership*", ""),
        (good, None, ["change"], "*", "change"),
        (good, good, ["change"], "*", ""),
        (bad, good, ["change"], "*", "change"),
        (bad, bad, ["change"], "*", ""),
        (good, Ran({}, None), ["change"], "*", "change"),
        (moved, good, ["change"], "*", "change"),
        (moved, good, ["change"], "manager*", ""),
        (moved, good, ["failure", "change", "success"], "*", "change"),
    ):
        inbox.mails.clear()
        (told,) = run.deliver({"mail": ["vp@example.com"], "on": on, "pages": [pages]}, before=before)
        assert told["event"] == event, (on, pages)
        assert told["status"] == ("sent" if event else "skipped")
        assert len(inbox.mails) == bool(event)


def test_a_mail_says_what_was_before(tmp_path, inbox):
    other = LEADING | {"headline": "Booked 1.1 M EUR."}
    before = ran(tmp_path, other, BROKEN, as_of="2026-09-23")
    ran(tmp_path, LEADING, WEST, CENTRAL).deliver({"mail": ["vp@example.com"]}, before=before)
    ran(tmp_path, LEADING).deliver({"mail": ["vp@example.com"]}, before=before)
    said = text_of(inbox.mails[0])
    for line in ("For 2026-09-23: Booked 1.1 M EUR.", "It had failed for 2026-09-23.", "New since 2026-09-23."):
        assert f"\n  {line}\n" in said
    assert "Team West: no longer part of the report" in text_of(inbox.mails[1])


def test_a_report_that_was_not_rendered_is_told_and_its_reason_only_to_who_sees_all(tmp_path, inbox):
    run = ran(tmp_path, error="weekly is blocked by 1 red finding; West lost EUR 77.")
    run.deliver({"mail": ["vp@example.com"]}, {"mail": ["ann@example.com"], "segment": "Central"})
    whole, part = inbox.mails
    assert whole["Subject"] == part["Subject"] == "Failed: Weekly report, 2026-09-30: not rendered"
    assert "West lost EUR 77." in text_of(whole)
    assert "West" not in everything_in(part)
    assert "Pages published before stay as they are." in text_of(part)


# -- hostile text --------------------------------------------------------------------------------------

HOSTILE = (
    "Booked\r\nBcc: all@example.com\r\n\r\n<script>",
    "Booked\nBcc: all@example.com",
    "Booked\u2028Bcc: all@example.com\x0b\x85\x1c",
    "=?utf-8?q?Booked=0D=0ABcc=3A_all=40example=2Ecom?=",
    "=?utf-8?b?Qm9va2VkDQpCY2M6IGFsbEBleGFtcGxlLmNvbQ==?= \ud800\x00\x1b[31m\u202e",
    "é" * 70 + "\r\nBcc: all@example.com" + "x" * 3000,
)


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
def test_no_text_forges_a_header_a_line_or_a_recipient(tmp_path, inbox, hostile):
    run = ran(tmp_path, LEADING)
    run.record["pages"][0] |= {"headline": hostile, "title": hostile}
    run.record["company"] = hostile
    run.deliver({"mail": ["vp@example.com"]})
    run.record["pages"][0] |= {"status": "failed", "error": hostile, "source": hostile}
    run.deliver({"mail": ["vp@example.com"]})
    assert len(inbox.mails) == 2
    for mail, envelope in zip(inbox.mails, inbox.envelopes, strict=True):
        assert envelope.rcpt_tos == ["vp@example.com"]
        assert sorted(mail.keys()) == sorted(
            ["Subject", "From", "To", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type",
             *(["Content-Transfer-Encoding"] if not mail.is_multipart() else [])]
        )  # fmt: skip
        assert mail.defects == []
        assert str(mail["Subject"]).isprintable()
        assert len(mail["Subject"]) <= 200
        assert text_of(mail).replace("\n", "").isprintable()
        assert b"\nBcc" not in envelope.content
    if not hostile.startswith(("=", "é")):
        assert inbox.mails[1]["Subject"].strip().startswith("Failed: Booked Bcc: all@example.com")


def test_no_file_outside_the_published_folder_is_sent(tmp_path, inbox):
    run = ran(tmp_path, LEADING)
    (tmp_path / "secret.html").write_text("hush")
    (run.folder / "link.html").symlink_to(tmp_path / "secret.html")
    for path in ("../../../secret.html", str(tmp_path / "secret.html"), "link.html", "", "."):
        run.record["pages"][0]["path"] = path
        (told,) = run.deliver({"mail": ["vp@example.com"]})
        assert told["status"] == "failed", path
        assert "among the published pages" in told["error"]
    assert inbox.mails == []
    run.record["pages"][0] |= {"path": "leadership_report.html", "name": '../../x"; \r\ny=.html' + "é" * 300}
    assert run.deliver({"mail": ["vp@example.com"]})[0]["status"] == "sent"
    (sent,) = inbox.mails[0].iter_attachments()
    assert sent.get_filename() == f"x_y_html{'é' * 61}_2026-09-30.html"


# -- servers that fail ---------------------------------------------------------------------------------


def test_one_who_cannot_be_reached_does_not_stop_the_others(tmp_path, inbox, sink):
    inbox.answers = {
        "gone@example.com": ["550 no such\x1b user"],
        "busy@example.com": ["451 try later", "421 later"],
        "full@example.com": ["452 full"] * 9,
    }
    sink.answers = [404]
    told = ran(tmp_path, LEADING).deliver(
        {"mail": ["gone@example.com", "busy@example.com"]},
        {"notify": "env:SALESOPS_CHAT_URL"},
        {"notify": "env:SALESOPS_NO_SUCH"},
        {"mail": ["vp@example.com"], "server": "env:SALESOPS_NO_SUCH"},
        {"mail": ["full@example.com", "vp@example.com"], "sender": "other@example.com"},
    )
    assert [entry["status"] for entry in told] == [
        "failed",
        "sent",
        "failed",
        "failed",
        "failed",
        "failed",
        "sent",
    ]
    errors = [entry["error"] for entry in told]
    assert errors[0] == "env:SALESOPS_SMTP_URL: the mail server answers 550 no such\\x1b user."
    assert "environment variable SALESOPS_NO_SUCH is not set" in errors[3]
    assert errors[5].endswith("452 full. Tried 4 times.")
    assert inbox.asked.count("gone@example.com") == 1
    assert inbox.asked.count("busy@example.com") == 3
    assert [mail["To"] for mail in inbox.mails] == ["busy@example.com", "vp@example.com"]
    assert inbox.mails[1]["From"] == "other@example.com"
    assert len(sink.posts) == 1


def test_who_stays_silent_is_asked_no_more(tmp_path, monkeypatch):
    calls = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up():
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                calls.append(1)
                connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        monkeypatch.setenv("SALESOPS_SMTP_URL", f"smtp://127.0.0.1:{server.getsockname()[1]}")
        told = ran(tmp_path, LEADING).deliver({"mail": ["a@example.com", "b@example.com"]})
        server.shutdown(socket.SHUT_RDWR)
    thread.join()
    assert len(calls) == 4
    assert [entry["status"] for entry in told] == ["failed", "failed"]
    assert told[0]["error"] == told[1]["error"]
    monkeypatch.setenv("SALESOPS_SMTP_URL", f"smtp://127.0.0.1:{free_port()}")
    (told,) = ran(tmp_path, LEADING).deliver({"mail": ["a@example.com"]})
    assert "Connection refused. Tried 4 times." in told["error"]


def test_a_mail_that_was_taken_is_not_sent_again_when_the_goodbye_fails(tmp_path, inbox, monkeypatch):
    async def handle_QUIT(self, server, session, envelope):
        inbox.asked.append("QUIT")
        server.transport.abort()
        return "221 never heard"

    monkeypatch.setattr(Inbox, "handle_QUIT", handle_QUIT, raising=False)
    (told,) = ran(tmp_path, LEADING).deliver({"mail": ["vp@example.com"]})
    assert inbox.asked == ["vp@example.com", "QUIT"]
    assert told["status"] == "sent"
    assert len(inbox.mails) == 1


# -- secrets -------------------------------------------------------------------------------------------


def login(server, session, envelope, mechanism, data):
    known = (data.login, data.password) == (b"robot", PASSWORD.encode())
    return AuthResult(success=known, handled=False, message=f"535 who is {b64encode(data.password).decode()}?")


def test_user_and_password_come_from_the_environment_and_show_nowhere(tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    run = ran(tmp_path, LEADING)
    options = {"authenticator": login, "auth_required": True, "auth_require_tls": False}
    with mail_server(**options) as inbox:
        for given, status in (
            ("p%40ss%2Fword%3Fhush", "sent"),
            ("wrong-hush", "failed"),
            ("p@ss/word?hush", "failed"),
        ):
            monkeypatch.setenv("SALESOPS_SMTP_URL", f"smtp://robot:{given}@127.0.0.1:{inbox.port}")
            (told,) = run.deliver({"mail": ["vp@example.com"]})
            assert told["status"] == status, told
            assert "hush" not in json.dumps(told)
            assert b64encode(given.encode()).decode() not in json.dumps(told)
        assert len(inbox.mails) == 1
        monkeypatch.setenv("SALESOPS_SMTP_URL", f"smtp://robot:p%40ss%2Fword%3Fhush@127.0.0.1:{inbox.port}")
        inbox.answers["vp@example.com"] = [f"550 {PASSWORD} may not write to vp"]
        (told,) = run.deliver({"mail": ["vp@example.com"]})
        assert told["error"].endswith("the mail server answers 550 … may not write to vp.")
    monkeypatch.setenv("SALESOPS_SMTP_URL", "smtp://robot:hush@mail.example.com")
    (told,) = run.deliver({"mail": ["vp@example.com"]})
    assert "would send the password in clear; write starttls:// or smtps://." in told["error"]
    assert "hush" not in json.dumps(told)
    assert not [record for record in caplog.records if record.name != "mail.log" and "hush" in record.getMessage()]


def certificate(folder):
    """A certificate for 127.0.0.1 that nobody but this test trusts."""
    from datetime import datetime, timedelta
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    pem = serialization.Encoding.PEM
    plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(key.private_bytes(pem, *plain))
    (folder / "cert.pem").write_bytes(made.public_bytes(pem))
    return folder / "cert.pem", folder / "key.pem"


@pytest.mark.parametrize("scheme", ["starttls", "smtps"])
def test_tls_is_demanded_and_its_certificate_checked(tmp_path, monkeypatch, scheme):
    cert, key = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    run = ran(tmp_path, LEADING)
    options = {"authenticator": login, "auth_required": True}
    options |= {"tls_context": context, "require_starttls": True} if scheme == "starttls" else {}
    options |= {"ssl_context": context, "auth_require_tls": False} if scheme == "smtps" else {}
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    with mail_server(**options) as inbox:
        monkeypatch.setenv("SALESOPS_SMTP_URL", f"{scheme}://robot:p%40ss%2Fword%3Fhush@127.0.0.1:{inbox.port}")
        assert run.deliver({"mail": ["vp@example.com"]})[0]["error"] == ""
        monkeypatch.delenv("SSL_CERT_FILE")
        (told,) = run.deliver({"mail": ["vp@example.com"]})
        assert "certificate verify failed" in told["error"]
        assert len(inbox.mails) == 1
    with mail_server() as plain:
        monkeypatch.setenv("SALESOPS_SMTP_URL", f"{scheme}://127.0.0.1:{plain.port}")
        assert run.deliver({"mail": ["vp@example.com"]})[0]["status"] == "failed"
        assert plain.mails == []


class Drawer(keyring.backend.KeyringBackend):
    priority = 1
    held: dict = {}

    def get_password(self, service, username):
        return self.held.get((service, username))

    def set_password(self, service, username, password): ...

    def delete_password(self, service, username): ...


def test_a_keyring_holds_addresses_too(tmp_path, inbox, sink):
    before = keyring.get_keyring()
    keyring.set_keyring(Drawer())
    Drawer.held = {("salesops", "smtp"): f"smtp://127.0.0.1:{inbox.port}", ("salesops", "chat"): sink.url}
    try:
        told = ran(tmp_path, LEADING).deliver(
            {"mail": ["vp@example.com"], "server": "keyring:salesops/smtp"},
            {"notify": "keyring:salesops/chat"},
            {"notify": "keyring:salesops/none"},
        )
    finally:
        keyring.set_keyring(before)
    assert [entry["status"] for entry in told] == ["sent", "sent", "failed"]
    assert "keyring set salesops none" in told[2]["error"]


# -- chat ----------------------------------------------------------------------------------------------


def test_a_chat_gets_the_headline_and_no_log_the_address(tmp_path, sink, caplog):
    caplog.set_level(logging.DEBUG)
    sink.answers = [503, 429]
    (told,) = ran(tmp_path, LEADING, BROKEN).deliver({"notify": "env:SALESOPS_CHAT_URL"})
    assert told["status"] == "sent"
    assert told["to"] == "env:SALESOPS_CHAT_URL"
    assert len(sink.posts) == 3
    path, post = sink.posts[-1]
    assert path == f"/{TOKEN}"
    assert post["title"] == "Failed: Weekly report, 2026-09-30: Team West"
    assert post["type"] == "failure"
    for part in ("Booked 1.2 M EUR after 34 % of Q3.", "failed in code cell 3", "plan(x)"):
        assert part in post["message"]
    sink.answers = [403]
    (told,) = ran(tmp_path, LEADING).deliver({"notify": "env:SALESOPS_CHAT_URL"})
    assert "error=403" in told["error"]
    assert len(sink.posts) == 4
    assert TOKEN not in caplog.text + json.dumps(told)


def test_a_service_that_does_not_answer_or_is_unknown_is_told_without_its_address(tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    run = ran(tmp_path, LEADING)
    for url, says in (
        (f"json://127.0.0.1:{free_port()}/{TOKEN}", "JSON notification to …. Tried 4 times."),
        (f"nosuch://{TOKEN}/x", "no URL that apprise knows"),
        (f"slack://{TOKEN}", "no URL that apprise knows"),
        (TOKEN, "holds no URL"),
    ):
        monkeypatch.setenv("SALESOPS_CHAT_URL", url)
        (told,) = run.deliver({"notify": "env:SALESOPS_CHAT_URL"})
        assert told["status"] == "failed"
        assert says in told["error"]
        assert "hush" not in told["error"] + caplog.text


def test_names_from_the_data_mention_nobody_and_make_no_link(tmp_path, sink):
    hostile = "@everyone <!channel> <@U123> [win](https://evil.example.com)"
    ran(tmp_path, page("p", hostile, headline=hostile)).deliver({"notify": "env:SALESOPS_CHAT_URL"})
    ((_, post),) = sink.posts
    for part in ("@everyone", "<!", "<@", "]("):
        assert part not in post["title"] + post["message"]
    assert "@\u200beveryone" in post["title"]


# -- settings ------------------------------------------------------------------------------------------


class Holder(Strict):
    deliver: tuple[Delivery, ...] = ()


def read(text: str) -> tuple[Delivery, ...]:
    return parse(Holder, yaml.safe_load(text), "weekly.yaml").deliver


def test_deliveries_are_read_from_yaml():
    mail, chat = read(
        "deliver:\n  - mail: [vp@example.com, vp@example.com]\n    on: [change]\n    pages: [manager_report-*]\n"
        "  - notify: env:SALESOPS_CHAT_URL\n"
    )
    assert mail.on == ("change",)
    assert mail.recipients == ("vp@example.com",)
    assert chat.on == ("success", "failure")
    assert not mail.sees_all
    assert chat.sees_all


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("{mial: [a@example.com]}", r"weekly.yaml.*unknown key 'mial'. Did you mean 'mail'\?"),
        ("{mail: a@example.com}", r"weekly.yaml: deliver.0.mail.*tuple"),
        ("{mail: [ann]}", r"deliver.0.mail.*no mailbox such as ann@example.com"),
        ('{mail: ["a@example.com\\nBcc: b@example.com"]}', "no mailbox"),
        ('{mail: [a@example.com], sender: "x y@example.com"}', "deliver.0.sender.*no mailbox"),
        ("{mail: [a@example.com], on: [never]}", r"deliver.0.on.0.*'success', 'failure' or 'change'"),
        ("{mail: [a@example.com], on: []}", r"deliver.0.on.*at least 1"),
        ("{mail: [a@example.com], notify: env:X}", "either `mail`"),
        ("{pages: [a]}", "either `mail`"),
        ('{mail: [a@example.com], segment: ""}', "deliver.0.segment.*at least 1"),
    ],
)
def test_a_wrong_delivery_names_the_key(entry, says):
    with pytest.raises(ConfigError, match=says):
        read(f"deliver: [{entry}]")


@pytest.mark.parametrize(
    "entry",
    [
        "{notify: 'slack://T0K/hush/x'}",
        "{notify: T0K/hush}",
        "{notify: [hush]}",
        "{mail: [a@example.com], server: 'smtps://robot:hush@mail.example.com'}",
        "{mail: ['mailto://hush@example.com']}",
        "{notfy: 'slack://T0K/hush/x'}",
        "{mail: [a@example.com], link: 'https://u:hush@example.com'}",
        "'slack://T0K/hush/x'",
        "['slack://T0K/hush/x']",
    ],
)
def test_an_address_in_plain_is_refused_and_not_shown(entry):
    with pytest.raises(
        ConfigError, match=r"a file is no place .* write env:SALESOPS_CHAT_URL or keyring"
    ) as caught:
        read(f"deliver: [{entry}]")
    assert "hush" not in str(caught.value)


def test_a_page_or_segment_nobody_made_is_told_with_the_near_miss(tmp_path, inbox):
    told = ran(tmp_path, LEADING, CENTRAL).deliver(
        {"mail": ["a@example.com"], "pages": ["leadership_reprot"]},
        {"mail": ["a@example.com"], "segment": "Centrl"},
        {"mail": ["a@example.com"], "segment": "Central", "pages": ["leadership_report"]},
    )
    assert "Known: Central." in told[1]["error"]
    assert [entry["status"] for entry in told] == ["failed"] * 3
    assert "pages: unknown page 'leadership_reprot'. Did you mean 'leadership_report'?" in told[0]["error"]
    assert "segment: unknown segment 'Centrl'. Did you mean 'Central'?" in told[1]["error"]
    assert inbox.mails == []


def test_without_a_sender_nothing_is_sent(tmp_path, inbox, monkeypatch):
    monkeypatch.setenv("SALESOPS_MAIL_FROM", "Reports\nBcc: b@example.com")
    (told,) = ran(tmp_path, LEADING).deliver({"mail": ["vp@example.com"]})
    assert "no sender: put a mailbox" in told["error"]
    assert inbox.mails == []
