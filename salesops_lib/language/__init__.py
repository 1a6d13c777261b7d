"""The words of a page: English as the code has it, other languages from gettext catalogues.

A catalogue is a `.po` file: those beside this module, named by their language, or one of the company's own. Whole
sentences are translated, with placeholders for what was computed; names that came from a CRM are never looked up.
"""

from __future__ import annotations

import gettext
import io
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import date
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Any

LOCALE = "SALESOPS_LOCALE"  # set by the runner and by `salesops lab`: how pages write 1,234.5
LANGUAGE = "SALESOPS_LANGUAGE"  # set by the runner and by `salesops lab`: a language, or the path of a catalogue
ENGLISH = "en"
log = logging.getLogger("salesops")
FOLDER = Path(__file__).parent
_located: ContextVar[str] = ContextVar("located", default="")
_spoken: ContextVar[str] = ContextVar("spoken", default="")


def languages() -> list[str]:
    """Name the languages that pages can speak."""
    return sorted({ENGLISH, *(path.stem for path in FOLDER.glob("*.po"))})


def language() -> str:
    """Name the language spoken now, as in ``de`` or ``en``."""
    return _translation(_current()).info().get("language", ENGLISH)


def _current() -> str:
    return _spoken.get() or os.environ.get(LANGUAGE) or ENGLISH


@contextmanager
def speaking(language: str, locale: str = "") -> Iterator[None]:
    """Speak a language, or that of a catalogue, for a while, and write numbers as a locale does."""
    before, there = _spoken.set(language), _located.set(locale)
    try:
        yield
    finally:
        _spoken.reset(before)
        _located.reset(there)


def _translation(name: str) -> gettext.NullTranslations:
    """Return a catalogue; a company's own is read again when it changes."""
    with suppress(OSError):
        return _read(name, Path(name).stat().st_mtime_ns if name.endswith(".po") else 0)
    return gettext.NullTranslations()


@cache
def _read(name: str, changed: int) -> gettext.NullTranslations:  # noqa: ARG001 - of another time, another one
    """Read a catalogue; languages without one are spoken in English."""
    from babel.messages.mofile import write_mo
    from babel.messages.pofile import read_po

    path = Path(name) if name.endswith(".po") else FOLDER / f"{name}.po"
    if not path.exists():
        return gettext.NullTranslations()
    with path.open("rb") as file:
        catalogue = read_po(file)
    for message in catalogue:
        if not _fits(message.id, message.string):
            log.warning(
                "%s: the placeholders of %r are not those of the English; said in English", path, message.id
            )
            message.string = ""
    compiled = io.BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def _fits(message: str | tuple, said: str | tuple) -> bool:
    """Whether a translation asks for nothing but what the English gives."""
    given, asked = (fields(text) for text in (message, said))
    return given is not None and asked is not None and asked <= given


def fields(text: str | tuple) -> set[str] | None:
    """Name the placeholders of a message; None where its braces do not match."""
    try:
        parts = [Formatter().parse(one) for one in ((text,) if isinstance(text, str) else text)]
        return {name for part in parts for _, name, *_ in part if name is not None}
    except ValueError:
        return None


def say(message: str, /, **values: Any) -> str:
    """Translate a message and put values in the places of its placeholders.

    Parameters
    ----------
    message
        English, a literal: what it holds in braces names a value.
    values
        What stands in their places, written out already.

    >>> say("{n} of {total} deals", n=3, total=5)
    '3 of 5 deals'
    """
    found = _translation(_current()).gettext(message) if message else ""
    return found.format(**values) if values else found


def say_many(one: str, many: str, n: int, /, **values: Any) -> str:
    """Translate a message that depends on a number; `n` stands in its text as `n` gives it, or the number.

    >>> say_many("{n} deal is open", "{n} deals are open", 1)
    '1 deal is open'
    """
    return _translation(_current()).ngettext(one, many, int(n)).format(**{"n": n, **values})


def mark(message: str) -> str:
    """Mark a message that is translated later, where it is shown: a heading or a definition named at import."""
    return message


DAY = mark("dd MMM y")


def dated(day: date, pattern: str = DAY) -> str:
    """Write a day, or an instant, by a pattern of the Unicode locale data; languages have patterns of their own.

    >>> dated(date(2026, 9, 5))
    '05 Sep 2026'
    """
    from babel.dates import format_datetime

    return format_datetime(day, say(pattern), locale=language())


def locale() -> str:
    """Name the locale by which numbers are written: the company's, or that of the language spoken."""
    return _located.get() or os.environ.get(LOCALE) or language()


@cache
def _separators(locale: str) -> tuple[str, str]:
    """Return decimal sign and group separator."""
    from babel.numbers import get_decimal_symbol, get_group_symbol

    return get_decimal_symbol(locale), get_group_symbol(locale)


def localised(text: str) -> str:
    """Write the numbers of a text, which come as ``1,234.5``, as the company's locale does.

    >>> localised("1,234.5")
    '1,234.5'
    """
    decimal, group = _separators(locale())
    return text.translate({ord(","): group, ord("."): decimal})


def delocalised(text: str) -> str:
    """Undo `localised`."""
    decimal, group = _separators(locale())
    return text.replace(group, "\0").replace(decimal, ".").replace("\0", ",")
