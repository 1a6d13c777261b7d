"""The way out: mail over SMTP, chat through apprise. Addresses are kept outside every file and show nowhere."""

from __future__ import annotations

import ipaddress
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, quote, unquote, urlsplit

from pydantic import SecretStr

from salesops_lib.errors import ConfigError, SalesOpsError
from salesops_lib.sources.credentials import kept

if TYPE_CHECKING:
    from email.message import EmailMessage

WAITS_S = (1.0, 4.0, 15.0)  # before each further attempt
TIMEOUT_S = 30
PORTS = {"smtp": 25, "starttls": 587, "smtps": 465}
REFERENCE = re.compile(r"env:([A-Za-z_]\w*)|keyring:([^/\s]+)/(\S+)")
EXAMPLE = "starttls://user:password@mail.example.com:587"
LATER = (408, 425, 429)  # the HTTP answers of the 400s that pass by themselves


class DeliveryError(SalesOpsError):
    """A report did not reach a recipient; the message names where it was to go, never a secret."""


class Transient(DeliveryError):
    """What may pass by itself, and is tried again."""


class Unreachable(Transient):
    """Nobody answers there."""


@dataclass(frozen=True)
class Address:
    """A URL that shows itself nowhere, and how the settings refer to it.

    Parameters
    ----------
    reference
        ``env:NAME`` or ``keyring:service/name``.
    url
        What was found there.
    """

    reference: str
    url: SecretStr

    def mask(self, text: str) -> str:
        """Take every part of the URL, however it is written, out of a text; tokens hide anywhere in it."""
        whole = self.url.get_secret_value().partition("://")[2]
        parts = {whole, *re.split(r"[/:@?&=;,#+\s]+", whole)}
        forms = {form for part in parts for form in (part, unquote(part), quote(unquote(part), safe=""))}
        for part in sorted(forms, key=len, reverse=True):
            text = text.replace(part, "…") if len(part) > 3 else text
        return " ".join(text.split())


def find(reference: str) -> Address:
    """Look up the URL behind ``env:NAME`` or ``keyring:service/name``.

    Raises
    ------
    DeliveryError
        Where there is none; what was found instead is not shown.
    """
    variable, service, name = REFERENCE.fullmatch(reference).groups()
    if variable:
        url = os.environ.get(variable, "").strip()
        if not url:
            raise DeliveryError(f"{reference}: the environment variable {variable} is not set; put the URL there.")
    else:
        try:
            url = kept(service, name)
        except ConfigError as error:
            raise DeliveryError(f"{reference}: {error}") from None
    if "://" not in url:
        raise DeliveryError(f"{reference} holds no URL.")
    return Address(reference, SecretStr(url))


class Outbox:
    """Sends mails and chat messages; what may pass is tried again, and who stays silent is asked no more."""

    def __init__(self) -> None:
        self._silent: dict[str, DeliveryError] = {}

    def mail(self, server: str, message: EmailMessage) -> None:
        """Hand a message to the mail server behind a reference, for its one recipient.

        Raises
        ------
        DeliveryError
            Where the server cannot be reached or refuses it.
        """
        address = find(server)
        parts = _server(address)
        self._persist(server, lambda: _mail(address, parts, message))

    def chat(self, reference: str, title: str, body: str, *, failure: bool) -> None:
        """Send a text to the service behind a reference.

        Raises
        ------
        DeliveryError
            Where apprise is absent, does not know such an address, or could not deliver.
        """
        address = find(reference)
        self._persist(reference, lambda: _chat(address, title, body, failure))

    def _persist(self, reference: str, attempt: Callable[[], None]) -> None:
        if reference in self._silent:
            raise self._silent[reference]
        for wait_s in (*WAITS_S, None):
            try:
                attempt()
                return
            except Transient as error:
                if wait_s is None:
                    given_up = DeliveryError(f"{error} Tried {len(WAITS_S) + 1} times.")
                    if isinstance(error, Unreachable):
                        self._silent[reference] = given_up
                    raise given_up from None
            time.sleep(wait_s)


def _server(address: Address) -> SplitResult:
    """Take the URL of a mail server apart.

    Raises
    ------
    DeliveryError
        For another kind of URL, or one that would send a password in clear.
    """
    try:
        parts = urlsplit(address.url.get_secret_value())
        whole = parts.scheme in PORTS and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        whole = False
    if not whole or parts.path.strip("/") or parts.query or parts.fragment:
        raise DeliveryError(
            f"{address.reference} holds no mail server such as {EXAMPLE} (also smtps:// and smtp://). Marks in a "
            "user name or password are written as numbers: @ %40, : %3A, / %2F, ? %3F, # %23, % %25."
        )
    if parts.scheme == "smtp" and parts.password and not _is_here(parts.hostname):
        raise DeliveryError(
            f"{address.reference}: smtp:// would send the password in clear; write starttls:// or smtps://."
        )
    return parts


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _mail(address: Address, parts: SplitResult, message: EmailMessage) -> None:
    """Make one attempt.

    Raises
    ------
    DeliveryError
        `Transient` where the same message may be taken later.
    """
    import smtplib
    import ssl

    try:
        secure = {} if parts.scheme == "smtp" else {"context": ssl.create_default_context()}
        there = (parts.hostname, parts.port or PORTS[parts.scheme])
        kind, how = (smtplib.SMTP_SSL, secure) if parts.scheme == "smtps" else (smtplib.SMTP, {})
        with closing(kind(*there, timeout=TIMEOUT_S, **how)) as session:
            if parts.scheme == "starttls":
                session.starttls(**secure)
            if parts.username:
                session.login(unquote(parts.username), unquote(parts.password or ""))
            session.send_message(message, str(message["From"]), [str(message["To"])])
            with suppress(OSError):  # the message is taken; what happens now must not send it again
                session.quit()
    except (OSError, ValueError) as error:  # those of smtplib are OSErrors, too
        kind, said = _verdict(error)
        raise kind(f"{address.reference}: {address.mask(said)}.") from None


def _verdict(error: Exception) -> tuple[type[DeliveryError], str]:
    """Tell whether an error of `smtplib` may pass, and what it says."""
    import smtplib
    import ssl

    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code, text = next(iter(error.recipients.values()))
    elif isinstance(error, smtplib.SMTPResponseException):
        code, text = error.smtp_code, error.smtp_error
    elif isinstance(error, smtplib.SMTPServerDisconnected):
        return Unreachable, "the mail server hung up"
    elif isinstance(error, smtplib.SMTPNotSupportedError | ssl.SSLError):
        return DeliveryError, str(error)
    elif isinstance(error, OSError):
        return Unreachable, f"the mail server does not answer: {error}"
    else:
        return DeliveryError, type(error).__name__
    text = (text.decode(errors="replace") if isinstance(text, bytes) else str(text))[:300]
    if isinstance(error, smtplib.SMTPAuthenticationError):
        text = "user or password refused"  # some servers repeat what they were given
    return Transient if 400 <= code < 500 else DeliveryError, f"the mail server answers {code} {text}".rstrip(". ")


def _chat(address: Address, title: str, body: str, failure: bool) -> None:
    """Make one attempt.

    Raises
    ------
    DeliveryError
        `Transient` where the service may take it later.
    """
    try:
        import apprise
    except ImportError:
        raise DeliveryError(
            "notify needs packages that are not here: pip install 'salesops-workbench[deliver]'."
        ) from None
    with _overheard() as said:
        service = apprise.Apprise.instantiate(address.url.get_secret_value())
        if service is None:
            raise DeliveryError(
                f"{address.reference} holds no URL that apprise knows: https://appriseit.com/services/"
            )
        hub = apprise.Apprise()
        hub.add(service)
        kind = apprise.NotifyType.FAILURE if failure else apprise.NotifyType.INFO
        if hub.notify(body=body, title=title, notify_type=kind, body_format=apprise.NotifyFormat.TEXT):
            return
    why = address.mask(said[-1] if said else "not delivered").rstrip(". ")
    answer = re.search(r"error=(\d{3})\b", why)
    code = int(answer[1]) if answer else 0
    passing = not 400 <= code < 500 or code in LATER
    kind = DeliveryError if not passing else Transient if code else Unreachable
    raise kind(f"{address.reference}: {why}.")


@contextmanager
def _overheard() -> Iterator[list[str]]:
    """Collect what apprise warns of, and let none of it through to other logs: it may quote the address."""
    said: list[str] = []
    ear = logging.Handler(logging.WARNING)
    ear.emit = lambda record: said.append(record.getMessage())
    loud = [logging.getLogger(name) for name in ("apprise", "urllib3")]
    before = [logger.propagate for logger in loud]
    for logger in loud:
        logger.addHandler(ear)
        logger.propagate = False
    try:
        yield said
    finally:
        for logger, propagated in zip(loud, before, strict=True):
            logger.removeHandler(ear)
            logger.propagate = propagated
