"""Where a database's URL comes from, the environment or a keyring; and how it is kept out of messages."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, quote_plus, unquote

from pydantic import SecretStr

from salesops_lib.errors import ConfigError

URL_ENV = "SALESOPS_DB_URL"
EXAMPLE = "postgresql://user:password@host:5432/database"
FORM = re.compile(
    r"(?P<scheme>[a-z][\w+]*)://(?:(?P<user>[^:@/?#]*)(?::(?P<password>[^:@/?#]*))?@)?(?P<rest>[^@]*)$", re.I
)

KEYED = re.compile(r"(?:password|passwd|pwd|passphrase|token|secret)=([^&;]+)", re.I)


@dataclass(frozen=True)
class Address:
    """A database's URL, which shows itself nowhere, and what to call the place it was found in.

    Parameters
    ----------
    url
        With its password.
    place
        Name of the environment variable or keyring entry, for messages.
    """

    url: SecretStr
    place: str

    def scrub(self, text: str) -> str:
        """Take the URL and every way of writing its password out of a text."""
        url = self.url.get_secret_value()
        found = {FORM.match(url)["password"], *KEYED.findall(url), *KEYED.findall(unquote(url))} - {"", None}
        for given in list(found):
            plain = unquote(given)
            found |= {plain, quote(plain), quote(plain, safe=""), quote_plus(plain)}
        for secret in sorted({url, *found}, key=len, reverse=True):
            text = text.replace(secret, "…")
        return text


def find_address(url_env: str | None = None, keyring: Mapping[str, str] | None = None) -> Address:
    """Take the URL from the environment variable `url_env`, or from a keyring; that may hold the password only.

    Raises
    ------
    ConfigError
        Where there is none, or it is no URL; what was found is not shown.
    """
    name = url_env or URL_ENV
    if not re.fullmatch(r"[A-Za-z_]\w*", name):
        raise ConfigError(
            f"url_env is the name of an environment variable, such as {URL_ENV}, not the URL itself."
        )
    place, url = name, os.environ.get(name, "").strip()
    password = kept(**keyring) if keyring else ""
    if "://" in password:
        place, url = f"keyring entry {keyring['service']}", password
    elif not url:
        raise ConfigError(
            f"the environment variable {name} is not set. Put the database's URL there, e.g. "
            f"{name}={EXAMPLE}; or into a keyring, and name the entry in salesops.yaml: "
            "source: {keyring: {service: salesops, username: warehouse}}."
        )
    elif password and (parts := FORM.match(url)):
        url = f"{parts['scheme']}://{parts['user'] or ''}:{quote(password, safe='')}@{parts['rest']}"
    if not FORM.match(url):
        raise ConfigError(
            f"{place} holds no URL such as {EXAMPLE}. Marks in a user name or password are written "
            "as numbers: @ %40, : %3A, / %2F, ? %3F, # %23, % %25."
        )
    return Address(SecretStr(url), place)


def kept(service: str, username: str) -> str:
    """Read what the system's keyring keeps for a service and a user.

    Raises
    ------
    ConfigError
        Where there is no keyring, it is locked, or has no such entry.
    """
    try:
        import keyring
    except ImportError:
        raise ConfigError(missing("a keyring")) from None
    try:
        found = keyring.get_password(service, username)
    except Exception as error:  # every keyring has errors of its own
        raise ConfigError(
            f"the keyring cannot be read: {type(error).__name__}. Unlock it and try again."
        ) from None
    if not found:
        raise ConfigError(f"the keyring has no entry {service} for {username}: keyring set {service} {username}")
    return found.strip()


def missing(what: str) -> str:
    """Say which packages `what` needs."""
    return f"{what} needs packages that are not here: pip install 'salesops-workbench[sql]'."
