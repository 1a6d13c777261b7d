"""What a page says about itself: its instant, the rows it rests on, how it was made."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from salesops_lib.language import dated, mark, say, say_many
from salesops_lib.present.blocks import KPI, Shown, folded, note, off_paper, safe, stack
from salesops_lib.present.figures import theme
from salesops_lib.present.numbers import EMPTY, counted, number
from salesops_lib.present.reading import method_note
from salesops_lib.present.tables import table

if TYPE_CHECKING:
    import pandas as pd

    from salesops_lib.book import Book

STYLE = Path(__file__).parents[1] / "report" / "template" / "page.css"
LIVE = Path(__file__).with_name("live.css")
INSTANT = mark("EEE dd MMM y HH:mm")
LOSS_LABELS = {
    "table": "table", "rows_in": "rows in", "rows_kept": "rows kept", "rows_quarantined": "set aside",
    "reason": "reason",
}  # fmt: skip
UNRATED_LABELS = {"currency": "currency", "deals": "deals", "amount": "amount", "reason": "reason"}
SCOPE = "@scope (.jp-OutputArea-output) to (.dt-container)"  # outputs, and not the grid in them
ALONE = ".jp-OutputArea-child:has(> .jp-OutputArea-output > style:only-child)"  # the style's own output
RENDERING = "SALESOPS_RENDERING"  # set by the runner: the page brings its own style


def start() -> Shown:
    """Set the drawing theme, and the page's style where a notebook is open in JupyterLab: in outputs only."""
    theme()
    if RENDERING in os.environ:
        return Shown("", "")
    page, live = (path.read_text(encoding="utf-8") for path in (STYLE, LIVE))
    # nested in the output, named twice: the page's looks weigh more than those JupyterLab has for tables
    scoped = f"{SCOPE} {{ :scope:scope {{ {page} }} {live} }}"
    return Shown(f"<style>{scoped} {ALONE} {{ display: none }}</style>", "")


def as_of_line(book: Book) -> Shown:
    """Say which instant the page shows; a warning where the source was exported before it."""
    quarter = book.calendar.period("quarter", book.day)
    week, weeks = (len(book.calendar.between("week", quarter.start, day)) for day in (book.day, quarter.last_day))
    local = book.as_of.tz_convert(book.calendar.timezone)
    said = say(
        "{quarter}, week {week} of {weeks}, as of {instant}, {currency}.",
        quarter=quarter.label, week=week, weeks=weeks, instant=dated(local, INSTANT), currency=currency(book),
    )  # fmt: skip
    day = book.calendar.day_of(book.known_until)
    if day < book.day:
        late = say(
            "The source was exported on {day}: nothing that happened later is in these numbers.", day=dated(day)
        )
        said = f"{said} {late}"
        return Shown(f'<p class="warning">{safe(said)}</p>', said)
    return note(said)


def currency(book: Book) -> str:
    """Name the corporate currency, and whether its rates are held constant."""
    name = book.currency or EMPTY
    return say("{currency}, constant currency, plan rates", currency=name) if book.rates == "plan" else name


def losses(book: Book) -> Shown:
    """Show the rows read, kept and set aside, with the sum in a sentence; then the deals no rate prices."""
    from salesops_lib.facts import unrated

    rows, without = book.losses, unrated(book)
    total, aside = int(rows["rows_in"].sum()), int(rows["rows_quarantined"].sum())
    said = say(
        "{rows} read, {kept} kept, {aside} set aside.",
        rows=counted(total, "row"), kept=number(total - aside, "count"), aside=number(aside, "count"),
    )  # fmt: skip
    units = dict.fromkeys(("rows_in", "rows_kept", "rows_quarantined"), "count")
    shown = folded(said, table(rows, units=units, labels=LOSS_LABELS, caption=say("Rows by table")))
    if without.empty:
        return shown
    n, named = int(without["deals"].sum()), ", ".join(without["currency"])
    said = say_many(
        "{n} deal counted but not priced: no rate for {currencies}.",
        "{n} deals counted but not priced: no rate for {currencies}.", n, currencies=named,
    )  # fmt: skip
    units = {"deals": "count", "amount": "amount"}
    listed = table(without, units=units, labels=UNRATED_LABELS, caption=say("Amounts in their own currency"))
    rest = folded(said, listed)
    return stack(shown, rest)


def run_details(book: Book, definitions: pd.DataFrame | None = None, *, methods: Iterable[str] = ()) -> Shown:
    """Say what the page rests on: snapshot, as-of instant, company settings, KPI definitions and method notes."""
    import pandas as pd

    company, local = book.company, book.as_of.tz_convert(book.calendar.timezone)
    facts = {
        say("Snapshot"): book.snapshot_id,
        say("As of"): f"{dated(local, INSTANT)} {book.calendar.timezone}",
        say("Source exported"): f"{dated(book.snapshot.extracted_at, 'dd MMM y HH:mm')} UTC",
        say("Company"): company.name or EMPTY,
        say("Currency"): currency(book),
        say("Fiscal year"): say(
            "starts in month {month}, pattern {pattern}",
            month=book.calendar.start_month,
            pattern=say(book.calendar.pattern),
        ),
    }
    first = table(
        pd.DataFrame({"what": list(facts), "value": list(facts.values())}), labels={"what": "", "value": ""}
    )
    notes = [method_note(name) for name in methods]
    if definitions is None:
        return off_paper(stack(first, *notes))
    columns = ["kpi_id", "name", "formula", "population", "attribution", "interval"]
    rows = table(
        definitions[columns].drop_duplicates("kpi_id"), units=dict.fromkeys(columns[1:], "word"),
        labels={"kpi_id": "id", "name": "name", "formula": "formula", "population": "population",
                "attribution": "attribution", "interval": "interval"}, caption=say("Metrics"),
    )  # fmt: skip
    return off_paper(stack(first, folded(say("Definitions used"), _anchored(rows)), *notes))


def _anchored(rows: Shown) -> Shown:
    """Make each KPI's row the place that its id on a tile leads to."""
    markup = re.sub(
        rf'<th scope="row" ([^>]*)>({KPI.pattern})</th>', r'<th scope="row" \1 id="\2">\2</th>', rows.markup
    )
    return Shown(markup, rows.text, rows.behind)
