"""What a page says about itself: its instant, the rows it rests on, how it was made."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from salesops_lib.present.blocks import KPI, Shown, folded, note, off_paper, safe, stack
from salesops_lib.present.figures import theme
from salesops_lib.present.numbers import EMPTY, counted, number
from salesops_lib.present.tables import table

if TYPE_CHECKING:
    import pandas as pd

    from salesops_lib.book import Book

STYLE = Path(__file__).parents[1] / "report" / "template" / "page.css"
LIVE = Path(__file__).with_name("live.css")
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
    week = (book.day - quarter.start).days // 7 + 1
    weeks = max(round(quarter.days / 7), week)
    local = book.as_of.tz_convert(book.calendar.timezone)
    said = f"{quarter.label}, week {week} of {weeks}, as of {local:%a %d %b %Y %H:%M}, {currency(book)}."
    day = book.calendar.day_of(book.known_until)
    if day < book.day:
        said += f" The source was exported on {day:%d %b %Y}: nothing that happened later is in these numbers."
        return Shown(f'<p class="warning">{safe(said)}</p>', said)
    return note(said)


def currency(book: Book) -> str:
    """Name the corporate currency, and whether its rates are held constant."""
    constant = ", constant currency, plan rates" if book.rates == "plan" else ""
    return f"{book.currency or EMPTY}{constant}"


def losses(book: Book) -> Shown:
    """Show the rows read, kept and set aside, with the sum in a sentence; then the deals no rate prices."""
    from salesops_lib.facts import unrated

    rows, without = book.losses, unrated(book)
    total, aside = int(rows["rows_in"].sum()), int(rows["rows_quarantined"].sum())
    said = (
        f"{counted(total, 'row')} read, {number(total - aside, 'count')} kept, {number(aside, 'count')} set aside."
    )
    units = dict.fromkeys(("rows_in", "rows_kept", "rows_quarantined"), "count")
    shown = folded(
        said, table(rows, units=units, labels={"rows_quarantined": "set aside"}, caption="Rows by table")
    )
    if without.empty:
        return shown
    n, named = int(without["deals"].sum()), ", ".join(without["currency"])
    said = f"{counted(n, 'deal')} counted but not priced: no rate for {named}."
    listed = table(without, units={"deals": "count", "amount": "amount"}, caption="Amounts in their own currency")
    rest = folded(said, listed)
    return stack(shown, rest)


def run_details(book: Book, definitions: pd.DataFrame | None = None) -> Shown:
    """Say what the page rests on: snapshot, as-of instant, company settings, and the KPI definitions it used."""
    import pandas as pd

    company = book.company
    facts = {
        "Snapshot": book.snapshot_id,
        "As of": f"{book.as_of.tz_convert(book.calendar.timezone):%a %d %b %Y %H:%M} {book.calendar.timezone}",
        "Source exported": f"{book.snapshot.extracted_at:%d %b %Y %H:%M} UTC",
        "Company": company.name or EMPTY,
        "Currency": currency(book),
        "Fiscal year": f"starts in month {book.calendar.start_month}, pattern {book.calendar.pattern}",
    }
    first = table(
        pd.DataFrame({"what": list(facts), "value": list(facts.values())}), labels={"what": "", "value": ""}
    )
    if definitions is None:
        return off_paper(first)
    columns = ["kpi_id", "name", "formula", "population", "attribution", "interval"]
    rows = table(definitions[columns].drop_duplicates("kpi_id"), caption="Metrics", labels={"kpi_id": "id"})
    return off_paper(stack(first, folded("Definitions used", _anchored(rows))))


def _anchored(rows: Shown) -> Shown:
    """Make each KPI's row the place that its id on a tile leads to."""
    markup = re.sub(
        rf'<th scope="row" ([^>]*)>({KPI.pattern})</th>', r'<th scope="row" \1 id="\2">\2</th>', rows.markup
    )
    return Shown(markup, rows.text, rows.behind)
