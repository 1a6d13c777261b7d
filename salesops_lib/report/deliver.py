"""Delivery of rendered pages: who is told, of which pages, and when."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator, model_validator

from salesops_lib.config import Strict
from salesops_lib.errors import ConfigError
from salesops_lib.report.notice import Notice, no_mentions
from salesops_lib.report.transport import REFERENCE, DeliveryError, Outbox

if TYPE_CHECKING:
    from email.message import EmailMessage

__all__ = ["Delivery", "DeliveryError", "deliver"]

SERVER, SENDER = "SALESOPS_SMTP_URL", "SALESOPS_MAIL_FROM"
MAILBOX = re.compile(r"[^\s@<>()\[\],;:\"\\]+@[^\s@<>()\[\],;:\"\\]+")
ALL = ("*",)
PLAIN = (
    "deliver: {key}: a file is no place for an address that may hold a token. Put it into an environment variable "
    "or the keyring, and write env:SALESOPS_CHAT_URL or keyring:salesops/chat; if the file was shared, renew it."
)


class Delivery(Strict):
    """Who is told of which pages of a report, and when.

    Parameters
    ----------
    mail
        Mailboxes; each gets a mail of its own.
    notify
        Where the URL of a chat, or of another service that apprise knows, is kept: ``env:NAME`` or
        ``keyring:service/name``.
    on
        ``success``: every page was made; ``failure``: one was not; ``change``: a headline or status differs from
        the run before. Of the pages they may see.
    pages
        Names or patterns such as ``manager_report-*``; nothing else of the report is told.
    segment
        Only pages made for this value of a fan-out: its id, or its name where no other has it.
    sender, server
        Mailbox the mails come from, by default what SALESOPS_MAIL_FROM holds, and where the URL of the mail server
        is kept.
    link
        Address under which readers see the folder of published reports.
    """

    mail: tuple[str, ...] = ()
    notify: str = ""
    on: tuple[Literal["success", "failure", "change"], ...] = Field(("success", "failure"), min_length=1)
    pages: tuple[str, ...] = Field(ALL, min_length=1)
    segment: str | None = Field(None, min_length=1)
    sender: str = ""
    server: str = f"env:{SERVER}"
    link: str = Field("", pattern=r"^(https?://[^\s@<>\"?#]+)?$")

    @model_validator(mode="before")
    @classmethod
    def _as_written(cls, given: Any) -> Any:
        """Refuse addresses in plain before another error can show them; YAML reads the key `on` as true."""
        if isinstance(given, cls):
            return given
        for key, value in given.items() if isinstance(given, dict) else [("entry", given)]:
            kept = key not in ("notify", "server") or (isinstance(value, str) and REFERENCE.fullmatch(value))
            if not kept or ("://" in str(value) and (key != "link" or "@" in str(value))):
                raise ConfigError(PLAIN.format(key=key))
        if not isinstance(given, dict):
            return given
        return {"on" if key is True else key: value for key, value in given.items()}

    @field_validator("mail")
    @classmethod
    def _mailboxes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for entry in value:
            _mailbox(entry)
        return tuple(dict.fromkeys(value))

    @field_validator("sender")
    @classmethod
    def _sender(cls, value: str) -> str:
        return value and _mailbox(value)

    @model_validator(mode="after")
    def _one_way(self) -> Delivery:
        if bool(self.mail) == bool(self.notify):
            raise ValueError("write either `mail`, a list of mailboxes, or `notify`")
        return self

    @property
    def recipients(self) -> tuple[str, ...]:
        """Mailboxes, or the one reference."""
        return self.mail or (self.notify,)

    @property
    def sees_all(self) -> bool:
        """Whether no page of the report is kept from the recipients."""
        return self.segment is None and self.pages == ALL

    def admits(self, page: Mapping[str, Any]) -> bool:
        """Tell whether the recipients may see a page of a run record."""
        if self.segment is not None and self.segment not in (page.get("segment"), page.get("segment_id")):
            return False
        return any(fnmatchcase(page["name"], pattern) for pattern in self.pages)


def _mailbox(text: str) -> str:
    if not MAILBOX.fullmatch(text) or not text.isprintable():
        raise ValueError("is no mailbox such as ann@example.com")
    return text


def deliver(
    record: dict[str, Any],
    folder: Path,
    deliveries: Sequence[Delivery],
    *,
    before: dict[str, Any] | None = None,
    is_told: bool = False,
) -> list[dict[str, Any]]:
    """Tell everybody of a run who is to be told; one who cannot be reached never stops the others.

    Parameters
    ----------
    record
        The run record, as `run.json` holds it; with an `error` and no `pages` where the report could not be
        rendered at all.
    folder
        Where its pages were published.
    deliveries
        Who gets what.
    before
        Record of the report's last run; without one, everything has changed.
    is_told
        Whether an earlier run of the same day was told of: who would get only pages on which nothing has changed
        since is not told again.

    Returns
    -------
    list of dict
        One entry a recipient: `to`, `kind` (``mail``, ``notify``), `event` it was sent for, `pages` (names),
        `status` (``sent``, ``failed``, or ``skipped`` where no event happened), `error`. No secret is in it.
    """
    outbox, told = Outbox(), []
    for delivery in deliveries:
        notice = Notice(record, folder, delivery, before or None, is_told)
        told += [_tell(outbox, notice, recipient) for recipient in delivery.recipients]
    return told


def _tell(outbox: Outbox, notice: Notice, recipient: str) -> dict[str, Any]:
    kind = "mail" if notice.delivery.mail else "notify"
    outcome = {"to": recipient, "kind": kind, "event": "", "pages": [], "status": "skipped", "error": ""}
    try:
        if not (event := notice.event):
            return outcome
        outcome |= {"event": event, "pages": [page["name"] for page in notice.pages]}
        if kind == "mail":
            outbox.mail(notice.delivery.server, _message(notice, recipient))
        else:
            outbox.chat(recipient, no_mentions(notice.subject), no_mentions(notice.body), failure=notice.failed)
        return outcome | {"status": "sent"}
    except DeliveryError as error:
        return outcome | {"status": "failed", "error": str(error)}
    except Exception as error:  # its text may hold anything
        return outcome | {"status": "failed", "error": f"this should not have happened: {type(error).__name__}."}


def _message(notice: Notice, recipient: str) -> EmailMessage:
    """Build the mail: plain text, and each page that was made as one file.

    Raises
    ------
    DeliveryError
        Without a sender, or where a page is not there.
    """
    from email import policy
    from email.message import EmailMessage
    from email.utils import localtime, make_msgid

    sender = notice.delivery.sender or os.environ.get(SENDER, "").strip()
    if not MAILBOX.fullmatch(sender):
        raise DeliveryError(f"no sender: put a mailbox such as reports@example.com into `sender` or {SENDER}.")
    message = EmailMessage(policy=policy.SMTP)
    message["Subject"], message["From"], message["To"] = notice.subject, sender, recipient
    message["Date"] = localtime()  # of the sending; no number depends on it
    message["Message-ID"] = make_msgid(domain=sender.partition("@")[2])
    message["Auto-Submitted"] = "auto-generated"  # so that no absence note answers
    message.set_content(f"{notice.body}{notice.left_out}\n")
    as_page = {"maintype": "text", "subtype": "html", "params": {"charset": "utf-8"}}
    for name, path in notice.files.items():
        message.add_attachment(path.read_bytes(), filename=name, **as_page)
    return message
