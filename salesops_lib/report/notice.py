"""What a recipient is told of a run: event, subject, words and pages, and nothing of any other page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from salesops_lib.config import SECRET_KEYS
from salesops_lib.errors import unknown
from salesops_lib.language import localised, mark, say
from salesops_lib.report.transport import DeliveryError

if TYPE_CHECKING:
    from salesops_lib.report.deliver import Delivery

SUBJECT, LINE, CELL_LINES = 200, 1000, 30  # characters, characters, lines
ATTACHED = 15 * 2**20  # bytes; a third more once encoded, and servers take 25 MB or so
CREDENTIALS = re.compile(r"(?<=://)[^/@\s]*:[^@\s]+(?=@)")
NAMED = "|".join(set(SECRET_KEYS) - {"url", "uri", "dsn"})
ASSIGNED = re.compile(rf"(\w*(?:{NAMED})\w*[\"']?\s*[=:](?!=)\s*)(\"[^\"]*\"|'[^']*'|[^\s,;)]+)", re.IGNORECASE)
INJECTED = "# Parameters"  # how papermill begins the cell that holds what was given

Page = dict[str, Any]


@dataclass(frozen=True)
class Notice:
    """What one delivery says of a run.

    Parameters
    ----------
    record
        The run record; with an `error` and no pages where the report could not be rendered at all.
    folder
        Where its pages were published.
    delivery
        Whom it is for, hence what it may show.
    before
        Record of the report's last run, if there was one.
    is_told
        Whether an earlier run of the same day was told of: pages on which nothing has changed are no news then.
    """

    record: dict[str, Any]
    folder: Path
    delivery: Delivery
    before: dict[str, Any] | None = None
    is_told: bool = False

    @property
    def pages(self) -> list[Page]:
        """The pages the recipients may see.

        Raises
        ------
        DeliveryError
            Where the run has none for them.
        """
        found = _seen(self.record, self.delivery)
        if not found and not self.stopped:
            raise _no_page(self.record, self.delivery)
        ids = {page.get("segment_id", "") for page in found}
        if self.delivery.segment not in (None, *ids) and len(ids) > 1:
            raise DeliveryError(f"deliver: segment: several are called {self.delivery.segment}; write one's id.")
        return found

    @property
    def stopped(self) -> str:
        """Why the report was not rendered at all."""
        return self.record.get("error", "")

    @property
    def failing(self) -> list[Page]:
        """The pages that could not be made."""
        return [page for page in self.pages if page["status"] != "ok"]

    @property
    def failed(self) -> bool:
        """Whether anything the recipients may see could not be made."""
        return bool(self.stopped or self.failing)

    @property
    def event(self) -> str:
        """The first event the recipients wait for that happened; empty where none did, or nothing is new."""
        if self.is_told and not self.stopped and all(page.get("is_reused") for page in self.pages):
            return ""
        changed = self.before is None or _state(self.record, self.delivery) != _state(self.before, self.delivery)
        happened = {"failure": self.failed, "success": not self.failed, "change": changed}
        return next((name for name in self.delivery.on if happened[name]), "")

    @property
    def subject(self) -> str:
        """One line: the report, the day, and its first headline, or what failed."""
        pages = self.pages
        title = (pages[0]["title"] if len(pages) == 1 else "") or self.record["title"]
        if self.failed:
            news = say("not rendered") if self.stopped else ", ".join(_name(page) for page in self.failing)
            message = mark("Failed: {title}, {day}: {news}")
        else:
            news = next((page["headline"] for page in pages if page["headline"]), say("ready"))
            message = mark("{title}, {day}: {news}")
        return one_line(say(message, title=title, day=self.record["as_of"], news=news), SUBJECT)

    @property
    def body(self) -> str:
        """Each page's headline, what it was before and where it lies; or where and why it failed."""
        told = (line for page in self.pages for line in self._about(page))
        return "\n".join([*self._top(), *told, *self._gone()])

    @property
    def files(self) -> dict[str, Path]:
        """The pages that were made, as many as a mail can carry: path by a file name without any folder in it.

        Raises
        ------
        DeliveryError
            Where one does not lie in the folder.
        """
        found, room = {}, ATTACHED
        for page in self.pages:
            if page["status"] == "ok":
                path = _published(page, self.folder)
                size = path.stat().st_size
                if size <= room:
                    found[_file_name(page, self.record, found)] = path
                    room -= size
        return found

    @property
    def left_out(self) -> str:
        """Say how many pages a mail cannot carry; nothing where it carries them all."""
        made = sum(page["status"] == "ok" for page in self.pages)
        left = made - len(self.files)
        if not left:
            return ""
        told = {"n": localised(f"{left:,}"), "total": localised(f"{made:,}")}
        return "\n\n" + say("Not attached: {n} of {total} pages, which would make the mail too large.", **told)

    def _top(self) -> Iterator[str]:
        company = f" ({self.record['company']})" if self.record.get("company") else ""
        title = f"{self.record['title']}{company}"
        yield one_line(say("{title}, as of {day}", title=title, day=self.record["as_of"]))
        if self.stopped:
            why = _lines(self.stopped) if self.delivery.sees_all else [say("It could not be rendered.")]
            yield from ("", *why, say("Pages published before stay as they are."))
        if red := self.record.get("health", {}).get("blocking"):
            told = say("Red findings in the data, the numbers are wrong until they are mended.")
            if self.delivery.sees_all:
                told = say(
                    "Red findings in the data, the numbers are wrong until they are mended: {findings}",
                    findings=" ".join(red),
                )
            yield from ("", one_line(told))

    def _about(self, page: Page) -> Iterator[str]:
        made = page["status"] == "ok"
        yield ""
        yield from self._made(page) if made else _failure(page, whole=self.delivery.sees_all)
        if page["path"]:
            place = self._place(page)
            where = say("Page: {place}", place=place) if made else say("The last good page: {place}", place=place)
            yield f"  {where}"

    def _made(self, page: Page) -> Iterator[str]:
        yield from (_name(page), f"  {one_line(page['headline'] or say('no headline'))}")
        if self.before is None:
            return
        day, was = one_line(self.before["as_of"]), _by_name(self.before, self.delivery).get(page["name"])
        if was is None:
            yield "  " + say("New since {day}.", day=day)
        elif was["status"] != "ok":
            yield "  " + say("It had failed for {day}.", day=day)
        elif was["headline"] == page["headline"]:
            yield "  " + say("The same as for {day}.", day=day)
        else:
            headline = one_line(was["headline"] or say("no headline"))
            yield "  " + say("For {day}: {headline}", day=day, headline=headline)

    def _gone(self) -> Iterator[str]:
        if self.before is not None and not self.stopped:
            present = {page["name"] for page in self.pages}
            for name, page in _by_name(self.before, self.delivery).items():
                if name not in present:
                    yield from ("", say("{title}: no longer part of the report", title=_name(page)))

    def _place(self, page: Page) -> str:
        found = _published(page, self.folder)
        if not self.delivery.link:
            return one_line(found)
        parts = (self.record["report"], self.record["as_of"], *found.relative_to(self.folder.resolve()).parts)
        return "/".join([self.delivery.link.rstrip("/"), *(quote(part, safe="") for part in parts)])


def one_line(text: object, most: int = LINE) -> str:
    """Write a text in one line of printable characters, cut where it is long: no header and no line can be forged.

    The blank in ``= ?`` keeps mail programs from decoding an "encoded word" that a name holds.

    >>> one_line("Acme\\r\\nBcc: all@example.com")
    'Acme Bcc: all@example.com'
    """
    line = "".join(letter for letter in " ".join(str(text).split()) if letter.isprintable())
    line = line.replace("=?", "= ?")
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


def no_mentions(text: str) -> str:
    """Keep a chat from finding mentions and links in names from the data: an invisible mark breaks them."""
    return re.sub(r"(?<=[@<])|(?<=\])(?=\()", "\u200b", text)


def _seen(record: dict[str, Any], delivery: Delivery) -> list[Page]:
    return [page for page in record["pages"] if delivery.admits(page)]


def _by_name(record: dict[str, Any], delivery: Delivery) -> dict[str, Page]:
    return {page["name"]: page for page in _seen(record, delivery)}


def _state(record: dict[str, Any], delivery: Delivery) -> tuple:
    pages = {name: (page["status"], page["headline"]) for name, page in _by_name(record, delivery).items()}
    return record.get("error", ""), pages


def _no_page(record: dict[str, Any], delivery: Delivery) -> DeliveryError:
    segments = {page["segment"] for page in record["pages"] if page.get("segment")}
    if delivery.segment is not None and delivery.segment not in segments:
        return DeliveryError(f"deliver: segment: {unknown('segment', delivery.segment, segments)}.")
    names = [page["name"] for page in record["pages"]]
    return DeliveryError(f"deliver: pages: {unknown('page', ', '.join(delivery.pages), names)}.")


def _name(page: Page) -> str:
    return one_line(page["title"] or page["name"])


def _failure(page: Page, *, whole: bool) -> Iterator[str]:
    """Say what failed; the error and the cell, which may name others, only to who sees the whole report."""
    given = page.get("parameters") or {}
    if page.get("cell"):
        yield say("{title}: failed in code cell {n}", title=_name(page), n=page["cell"])
    else:
        yield say("{title}: failed", title=_name(page))
    if not whole:
        yield f"  {one_line(page.get('error', '').partition(':')[0])}"
        return
    yield from (f"  {line}" for line in _lines(page.get("error", ""), given))
    source = page.get("source", "").strip("\n")
    if source and not source.startswith(INJECTED):
        yield "  " + say("The cell:")
        yield from (f"    {line}" for line in _lines(source, given))


def _lines(text: object, parameters: Mapping[str, Any] | None = None) -> list[str]:
    """Write an error or a cell in printable lines, without what may be a secret."""
    text = ASSIGNED.sub(r"\1…", CREDENTIALS.sub("…", str(text)))
    for name, value in (parameters or {}).items():
        if any(key in name.lower() for key in SECRET_KEYS) and len(str(value)) > 3:
            text = text.replace(str(value), "…")
    lines = ["".join(filter(str.isprintable, line.expandtabs(4)))[:LINE] for line in text.splitlines()]
    return lines[:CELL_LINES] + ["…"] * (len(lines) > CELL_LINES)


def _file_name(page: Page, record: dict[str, Any], taken: Iterable[str]) -> str:
    stem = re.sub(r"[^\w-]+", "_", f"{page['name'][:80]}_{record['as_of']}").strip("_")
    names = (f"{stem}_{k}.html" if k > 1 else f"{stem}.html" for k in count(1))
    return next(name for name in names if name not in taken)


def _published(page: Page, folder: Path) -> Path:
    found = (folder / page["path"]).resolve()
    if not found.is_relative_to(folder.resolve()) or not found.is_file():
        raise DeliveryError(f"page {page['name']}: there is no {page['path']!r} among the published pages.")
    return found
