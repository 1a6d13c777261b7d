"""Every block of the tutorial, one after the other, in a clean folder: exports in, a mail out."""

import os
import re
import shlex
import shutil
import subprocess
import sys

from tests.conftest import ROOT, shared
from tests.test_deliver import mail_server

TEXT = (ROOT / "docs/tutorial.md").read_text(encoding="utf-8")
NOTHING_LOADED = 2


def blocks(*sections):
    for section in sections:
        (text,) = re.findall(rf"^## {section}\. .*?(?=^## |\Z)", TEXT, re.M | re.S)
        yield from re.findall(r"```(yaml)?\n(.*?)```", text, re.S)


def follow(folder, found, inbox, **replaced):
    """Do what the blocks say, the mail server and the day aside; return what each command said."""
    env, said = os.environ | {"NO_PROXY": "127.0.0.1"}, {}
    for language, text in found:
        if language:
            place = folder / re.match(r"# (\S+)\n", text)[1]
            place.write_text(text, encoding="utf-8")
            continue
        for line in text.splitlines():
            word, *arguments = shlex.split(line)
            if word == "cd":
                folder /= arguments[0]
            elif word == "export":
                name, _, value = arguments[0].partition("=")
                env[name] = f"smtp://127.0.0.1:{inbox.port}" if name == "SALESOPS_SMTP_URL" else value
            else:
                assert word == "salesops"
                command = [sys.executable, "-m", "salesops_lib", *(replaced.get(a, a) for a in arguments)]
                run = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
                said[line] = run.stdout + run.stderr
                offered = "nothing was loaded. Next:" in run.stderr
                assert run.returncode == (NOTHING_LOADED if offered else 0), f"{line}: {said[line]}"
    return folder, said


def delivered(folder, inbox, day):
    """The one page is published, and the one mail carries it."""
    page = folder / f"reports/out/monday/{day}/leadership_report.html"
    assert "<h1" in page.read_text(encoding="utf-8")
    (mail,) = inbox.mails
    assert mail["To"] == "vp@example.com"
    assert f"leadership_report_{day}.html" in [part.get_filename() for part in mail.iter_attachments()]


def test_a_salesforce_export_becomes_the_monday_report(tmp_path):
    for day in ("2026-03-31", "2026-04-07"):
        shutil.copytree(shared("salesforce_devorg"), tmp_path / f"export_{day}", copy_function=shutil.copyfile)
    with mail_server() as inbox:
        folder, said = follow(tmp_path, blocks("1a", "2", "3"), inbox)
        delivered(folder, inbox, "2026-03-31")
    assert len(said) == 8
    assert re.search(r"opportunities\s+36\s+36\s+0", said["salesops load salesforce ../export_2026-03-31"])
    assert "expected close date lies before their creation: 32" in said["salesops check"]
    assert "0 6 * * 1" in said["salesops schedule"]
    for line, words in said.items():
        assert "Next: " in words or "schedule" in line, line


def test_the_maven_file_becomes_the_monday_report(tmp_path):
    (tmp_path / "maven_crm").symlink_to(shared("maven_crm"))
    with mail_server() as inbox:
        folder, said = follow(tmp_path, blocks("1b", "2"), inbox, **{"2026-03-31": "2017-12-31"})
        delivered(folder, inbox, "2017-12-31")
    offered = said["salesops load ../maven_crm"]
    assert "Next: salesops load csv ../maven_crm --map maven_crm" in offered
    assert re.search(r"opportunities\s+8800\s+8800\s+0", said["salesops load csv ../maven_crm --map maven_crm"])
    assert " load " in said["salesops schedule"]
