"""A real PostgreSQL for the tests, on a free loopback port, in a folder of its own that goes afterwards."""

import os
import shutil
import socket
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

OWNER, PASSWORD = "keeper", "s3cr3t/p@ss:w0rd#1"  # marks that a URL must escape
SETTINGS = {
    "listen_addresses": "'127.0.0.1'",
    "unix_socket_directories": "''",
    "fsync": "off",
    "log_statement": "'all'",
    "log_min_duration_statement": "-1",
    "lc_messages": "'C'",
}


def programs() -> Path | None:
    """Folder of the server's programs, the newest version of several."""
    versions = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3].split(".")[0])
    )
    found = str(versions[-1]) if versions else shutil.which("initdb")
    return Path(found).resolve().parent if found else None


@dataclass(frozen=True)
class Server:
    """A running server; `log` is what it wrote, every statement included."""

    port: int
    log: Path

    def url(
        self, *, user=OWNER, password=PASSWORD, host="127.0.0.1", port=None, database="postgres", driver=""
    ) -> str:
        return f"postgresql{driver}://{user}:{quote(password, safe='')}@{host}:{port or self.port}/{database}"

    def connect(self):
        import psycopg

        return psycopg.connect(self.url(), autocommit=True)

    def run(self, *statements: str) -> None:
        with self.connect() as connection:
            for statement in statements:
                connection.execute(statement)

    @contextmanager
    def watched(self):
        """Collect what the server logs meanwhile, as one text."""
        start, heard = self.log.stat().st_size, []
        yield heard
        with self.log.open("rb") as log:
            log.seek(start)
            heard.append(log.read().decode())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def running():
    """Start a server and stop it; as root it runs as the user `postgres`, because it refuses to run as root."""
    home = programs()
    if home is None:
        pytest.skip("no PostgreSQL server here: apt-get install postgresql")
    who = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="salesops-pg-"))
    if who:
        shutil.chown(folder, "postgres", "postgres")
    given = {"cwd": folder, "check": True, "capture_output": True, **who}
    word = folder / "password"
    word.write_text(PASSWORD)
    word.chmod(0o644)
    data, log, port = folder / "data", folder / "log", free_port()
    init = [home / "initdb", "-D", data, "-U", OWNER, "-A", "scram-sha-256", "--pwfile", word]
    subprocess.run([*init, "-E", "UTF8", "--locale", "C", "--no-sync"], **given)
    text = "".join(f"{name} = {value}\n" for name, value in {**SETTINGS, "port": port}.items())
    with (data / "postgresql.conf").open("a") as file:
        file.write(text)
    try:
        # its output to no pipe: the server would keep it open
        quiet = {**given, "capture_output": False, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run([home / "pg_ctl", "-D", data, "-l", log, "-w", "-t", "60", "start"], **quiet)
        yield Server(port, log)
    finally:
        subprocess.run([home / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop"], **{**given, "check": False})
        shutil.rmtree(folder, ignore_errors=True)
