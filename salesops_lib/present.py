"""What a reader sees: number formats, tables, figures with alt text, tiles, sentences, and the explore lens.

Everything that came from a CRM is escaped here, once. Charts are drawn elsewhere and handed in as Axes.
"""

from __future__ import annotations

import base64
import html
import inspect
import io
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from salesops_lib.errors import InsufficientData, ParameterError, SalesOpsError, unknown

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from salesops_lib.book import Book

STYLE = Path(__file__).with_name("report") / "template" / "page.css"
RENDERING = "SALESOPS_RENDERING"  # set by the runner: the page brings its own style
DATA = "SALESOPS_DATA"  # set by the runner: folder that takes the data behind tables and figures
INK, MUTED, ACCENT, SECOND = (
    "#1b2733",
    "#6b7885",
    "#0b6e99",
    "#c4622d",
)  # distinct in grey and to colour-blind eyes
WIDTH_IN = 5.6  # read on a phone at two thirds of that, where 10 pt are still legible
WIDE = 0.05  # an interval of more than five points bears no decimal
EMPTY = "–"
DOWNLOAD_ROWS = 20_000  # in a file inside the page
A_DAY = {"money": "", "money_per_day": " a day"}
SUFFIXES = {
    "times": "×", "hours": " h", "minutes": " min", "months": " mo", "per_day": " a day", "per_week": " a week",
}  # fmt: skip
LIGHT = "txt light"  # beside it the word itself becomes a class: red, amber, note
# the others are numbers, aligned right
SIDES = {"text": "txt", "long": "txt long", "severity": LIGHT, "flag": "txt", "date": "day"}
RANKS = {"red": 3, "amber": 2, "note": 1}  # of severities, where a reader sorts a table by them
WRITTEN = re.compile(r"([+−-]?)(\d[\d,]*(?:\.\d+)?)(?: (bn|M|k)\b)?")  # as `number` writes one
MINUS = ("−", "-")
SIZES = {"bn": 1e9, "M": 1e6, "k": 1e3, None: 1}


@dataclass(frozen=True)
class Shown:
    """HTML for a page, and plain text for everything else."""

    markup: str
    text: str

    def _repr_html_(self) -> str:
        return self.markup

    def __repr__(self) -> str:
        return self.text


# -- numbers -------------------------------------------------------------------------------------------


def number(value: Any, unit: str = "", *, signed: bool = False) -> str:
    """Write a number for people.

    Parameters
    ----------
    value
        A number; empty ones become a dash.
    unit
        ``money`` (three digits, k and M), ``amount`` (to the unit), ``share`` (one decimal), ``percent`` (none),
        ``points`` (difference of shares), ``days``, ``hours``, ``minutes``, ``months``, ``per_day``, ``per_week``,
        ``times``, ``money_per_day``, ``count``, ``date``, ``flag``, ``text``, or ``shown`` for
        numbers already written out; ``long`` for sentences in a table, ``severity`` for red, amber and note.
    signed
        Put a plus before positive numbers.
    """
    import pandas as pd

    if value is None or value is pd.NaT or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return EMPTY
    if unit == "date":
        return f"{pd.Timestamp(value):%d %b %Y}"
    if unit == "flag":
        return "yes" if value else ""
    if unit in ("", "text", "long", "severity", "shown"):
        return str(value)
    value = float(value)
    said = _magnitude(abs(value), unit)
    if not any(digit in said for digit in "123456789"):
        return said  # a sign before a zero says nothing
    return f"{'−' if value < 0 else '+' if signed and value > 0 else ''}{said}"


def _magnitude(value: float, unit: str) -> str:
    if unit in ("money", "money_per_day"):
        for size, letter in ((1e9, "bn"), (1e6, "M"), (1e3, "k")):
            if value >= size * 0.9995:
                scaled = value / size
                places = 2 if scaled < 9.995 else 1 if scaled < 99.95 else 0
                return f"{scaled:.{places}f} {letter}{A_DAY[unit]}"
        return f"{value:.0f}{A_DAY[unit]}"
    if unit == "amount":
        return f"{value:,.0f}"
    if unit == "share":
        return f"{value * 100:.1f} %"
    if unit == "percent":
        return f"{value * 100:.0f} %"
    if unit == "points":
        return f"{value * 100:.1f} pts"
    if unit == "days":
        return f"{value:.0f} d"
    if unit in SUFFIXES:
        return f"{value:.{0 if value >= 100 else 1}f}{SUFFIXES[unit]}"
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.1f}"


def counted(n: int, of: str) -> str:
    """Write how many there are of something, with an s where they are not one."""
    return f"{n:,} {of}{'' if n == 1 else 's'}"


def interval(low: Any, high: Any, unit: str) -> str:
    """Write an interval as ``[low; high]``; empty where there is none."""
    if low is None or math.isnan(float(low)):
        return ""
    return f"[{number(low, unit)}; {number(high, unit)}]"


def fitting(unit: str, low: Any, high: Any) -> str:
    """Choose the unit that writes no more digits than the interval bears: whole percents where it is wide."""
    narrow = float(high) - float(low) <= WIDE
    return "percent" if unit == "share" and not narrow else unit


# -- blocks of a page ----------------------------------------------------------------------------------


def start() -> Shown:
    """Set the drawing theme, and the page's style where a notebook is open in JupyterLab."""
    theme()
    markup = "" if RENDERING in os.environ else f"<style>{STYLE.read_text(encoding='utf-8')}</style>"
    return Shown(markup, "")


def theme() -> None:
    """Set fonts, sizes and colours of every figure."""
    import seaborn as sns

    sns.set_theme(
        style="whitegrid",
        rc={
            "figure.figsize": (WIDTH_IN, 3.0),
            "figure.constrained_layout.use": True,
            "font.family": "sans-serif",
            "font.size": 10,
            "axes.edgecolor": MUTED,
            "axes.labelcolor": INK,
            "axes.titlelocation": "left",
            "axes.titlesize": 11,
            "axes.titleweight": "bold",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "text.color": INK,
            "text.parse_math": False,  # a `$` in a name is a dollar sign
            "xtick.color": INK,
            "ytick.color": INK,
            "grid.color": "#e3e8ec",
            "svg.fonttype": "path",
            "svg.hashsalt": "salesops",
        },
    )


def as_of_line(book: Book) -> Shown:
    """Say which instant the page shows; a warning where the source was exported before it."""
    quarter = book.calendar.period("quarter", book.day)
    week = (book.day - quarter.start).days // 7 + 1
    weeks = max(round(quarter.days / 7), week)
    local = book.as_of.tz_convert(book.calendar.timezone)
    said = f"{quarter.label}, week {week} of {weeks}, as of {local:%a %d %b %Y %H:%M}, {_currency(book)}."
    day = book.calendar.day_of(book.known_until)
    if day < book.day:
        said += f" The source was exported on {day:%d %b %Y}: nothing that happened later is in these numbers."
        return Shown(f'<p class="warning">{_safe(said)}</p>', said)
    return note(said)


def _currency(book: Book) -> str:
    constant = ", constant currency, plan rates" if book.rates == "plan" else ""
    return f"{book.currency or EMPTY}{constant}"


def _safe(text: str) -> str:
    """Escape a text for a page; a number stays on one line with its per cent."""
    return html.escape(text).replace(" %", "&nbsp;%")


def headline(text: str) -> Shown:
    """Show the sentence that a reader takes away."""
    return Shown(f'<p class="headline">{_safe(text)}</p>', text)


def note(text: str) -> Shown:
    """Show a sentence on how to read what stands above, or why something is missing; nothing for no text."""
    if not text:
        return Shown("", "")
    return Shown(f'<p class="note">{_safe(text)}</p>', text)


def tiles(frame: pd.DataFrame) -> Shown:
    """Show key figures as tiles.

    Parameters
    ----------
    frame
        Text columns `label`, `value`, `range`, `change`, `kpi_id`, and `tone` (good, bad, or empty).
    """
    mark = {"good": "▲", "bad": "▼"}
    cells, lines = [], []
    for row in frame.to_dict("records"):
        safe = {key: _safe(str(value)) for key, value in row.items()}
        tone = row.get("tone") or ""
        mark_of = f'<span class="kpi">{safe["kpi_id"]}</span>' if row["kpi_id"] else ""
        cells.append(
            f'<div class="tile {html.escape(tone)}">'
            f"<dt>{safe['label']} {mark_of}</dt>"
            f"<dd><b>{safe['value']}</b><span>{safe['range']}</span>"
            f"<span>{mark.get(tone, '')} {safe['change']}</span></dd></div>"
        )
        lines.append(f"{row['label']} ({row['kpi_id']}): {row['value']} {row['range']} {row['change']}")
    return Shown(f'<dl class="tiles">{"".join(cells)}</dl>', "\n".join(lines))


def table(
    frame: pd.DataFrame | SalesOpsError,
    *,
    units: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    ranges: Mapping[str, tuple[str, str]] | None = None,
    caption: str = "",
    limit: int = 200,
) -> Shown:
    """Show a frame as a table: numbers by unit and aligned right, text escaped, the first column as row heading.

    Behind each number, date and severity stands what a page sorts it by.

    Parameters
    ----------
    frame
        What to show; a refusal in its place is shown as a sentence.
    units
        Unit by column; see `number`.
    labels
        Heading by column; by default its name with blanks for underscores.
    ranges
        Columns of the lower and upper bound by column; they are shown behind its value, not on their own.
    limit
        Rows shown at most; the caption says how many there are.

    Raises
    ------
    ParameterError
        For a unit or label of a column that is not there.
    """
    if isinstance(frame, SalesOpsError):
        return note(str(frame))
    if frame.empty:
        return note(f"{caption} None.".strip())
    units, labels, ranges = dict(units or {}), dict(labels or {}), dict(ranges or {})
    for column in (*units, *labels, *ranges, *(bound for pair in ranges.values() for bound in pair)):
        if column not in frame:
            raise ParameterError(unknown("column", column, frame.columns))
    _keep(frame, caption or "table")
    shown = frame.head(limit)
    bounds = [bound for pair in ranges.values() for bound in pair]
    behind, kinds = shown.drop(columns=bounds), [units.get(c, "text") for c in shown.columns if c not in bounds]
    for column, (low, high) in ranges.items():
        unit = units.get(column, "")
        shown = shown.assign(
            **{column: [_with_range(*row, unit) for row in shown[[column, low, high]].to_numpy()]}
        )
        units[column] = "shown"
    shown = shown.drop(columns=bounds)
    if len(frame) > limit:
        caption = f"{caption} First {limit} of {len(frame):,} rows.".strip()
    heads = [_safe(labels.get(column, str(column).replace("_", " "))) for column in shown.columns]
    sides = [SIDES.get(units.get(column, "text"), "num") for column in shown.columns]
    body = []
    for row, raw in zip(shown.itertuples(index=False), behind.itertuples(index=False), strict=True):
        cells = [_safe(number(v, units.get(c, ""))) for c, v in zip(shown.columns, row, strict=True)]
        looks = [f"{side} {cell}" if side == LIGHT else side for side, cell in zip(sides, cells, strict=True)]
        looks = [f'class="{k}"{_sorts_by(v, unit)}' for k, v, unit in zip(looks, raw, kinds, strict=True)]
        rest = "".join(f"<td {look}>{cell}</td>" for look, cell in zip(looks[1:], cells[1:], strict=True))
        body.append(f'<tr><th scope="row" {looks[0]}>{cells[0]}</th>{rest}</tr>')
    unsaid = ["" if h else f' aria-label="{_safe(str(c))}"' for c, h in zip(shown.columns, heads, strict=True)]
    top = "".join(f'<th scope="col" class="{s}"{u}>{h}</th>' for s, u, h in zip(sides, unsaid, heads, strict=True))
    top = f"<thead><tr>{top}</tr></thead>" if any(heads) else ""
    titled = f'<p class="caption">{_safe(caption)}</p>' if caption else ""
    # the caption stands outside: inside it would scroll away with a wide table on a phone; tabindex: and the
    # table must scroll from the keyboard too
    named = html.escape(caption or "table", quote=True)
    markup = (
        f'{titled}<div class="scroll" tabindex="0" role="region" aria-label="{named}">'
        f"<table>{top}<tbody>{''.join(body)}</tbody></table></div>"
    )
    return Shown(markup, shown.to_string(index=False))


def _sorts_by(value: Any, unit: str) -> str:
    """Attribute with the number behind a cell; an empty one, which comes last, where there is none."""
    import pandas as pd

    if unit in ("text", "long", "flag"):
        return ""
    if number(value, unit) in (EMPTY, ""):
        key = ""
    elif unit == "date":
        key = f"{pd.Timestamp(value).timestamp():.0f}"
    elif unit == "severity":
        key = RANKS.get(value, "")
    elif unit in ("", "shown"):
        key = _written(str(value))
    else:
        key = f"{float(value):.15g}"
    return f' data-v="{key}"'


def _written(text: str) -> str:
    """Read the first number of a text back; nothing where it has none."""
    if not (found := WRITTEN.search(text)):
        return ""
    sign, digits, size = found.groups()
    value = float(digits.replace(",", "")) * SIZES[size]
    return f"{-value if sign in MINUS else value:.15g}"


def fitted(frame: pd.DataFrame | SalesOpsError, **looks: Mapping[str, Any]) -> dict[str, dict]:
    """Keep of the arguments of `table` what is about columns that are there; nothing for a refusal."""
    if isinstance(frame, SalesOpsError):
        return {}
    return {
        name: {column: look for column, look in given.items()
               if column in frame and (name != "ranges" or look[0] in frame)}
        for name, given in looks.items()
    }  # fmt: skip


def _with_range(value: Any, low: Any, high: Any, unit: str) -> str:
    if number(value, unit) == EMPTY:
        return EMPTY
    unit = fitting(unit, low, high)
    return f"{number(value, unit)} {interval(low, high, 'money' if unit == 'amount' else unit)}".strip()


def losses(book: Book) -> Shown:
    """Show the rows read, kept and set aside, with the sum in a sentence; then the deals no rate prices."""
    from salesops_lib.facts import unrated

    rows, without = book.losses, unrated(book)
    total, aside = int(rows["rows_in"].sum()), int(rows["rows_quarantined"].sum())
    said = f"{total:,} rows read, {total - aside:,} kept, {aside:,} set aside."
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
    return Shown(shown.markup + rest.markup, f"{shown.text}\n{rest.text}")


def stack(*blocks: Shown) -> Shown:
    """Show blocks one below the other."""
    return Shown(
        "".join(block.markup for block in blocks), "\n".join(block.text for block in blocks if block.text)
    )


def columns(*blocks: Shown, widths: tuple[int, ...] = ()) -> Shown:
    """Show blocks side by side where there is room (desktop, paper), one below the other on a phone.

    They share the room alike, or as `widths` says, one part a block: those that the style sheet knows.
    """
    there = [block for block in blocks if block.markup]
    if not there:
        return Shown("", "")
    cells = "".join(f'<div class="column">{block.markup}</div>' for block in there)
    look = f" share-{'-'.join(map(str, widths))}" if len(widths) == len(there) else ""
    return Shown(f'<div class="columns{look}">{cells}</div>', "\n".join(block.text for block in there))


def section(shown: bool, title: str, *blocks: Shown | str, aside: bool = False) -> Shown:
    """Show a heading and what stands below it, text as notes; nothing where the page has no such section.

    What is `aside` is for the screen, not for paper.
    """
    if not shown:
        return Shown("", "")
    parts = stack(*(note(block) if isinstance(block, str) else block for block in blocks))
    look = ' class="aside"' if aside else ""
    return Shown(f"<section{look}><h2>{_safe(title)}</h2>{parts.markup}</section>", f"{title}\n{parts.text}")


def drill(
    frame: pd.DataFrame | SalesOpsError,
    by: str,
    *,
    of: str = "row",
    units: Mapping[str, str] | None = None,
    limit: int = 50,
) -> Shown:
    """Show a frame as one folded table for each value of a column: a number opens to its rows."""
    if isinstance(frame, SalesOpsError):
        return Shown("", "")
    parts = []
    for value, rows in frame.groupby(by, sort=False):
        summary = f"{value}: {counted(len(rows), of)}"
        shown = rows.drop(columns=by)
        parts.append(folded(summary, table(shown, **fitted(shown, units=units or {}), limit=limit)))
    return stack(*parts)


def download(sheets: Mapping[str, pd.DataFrame | SalesOpsError], name: str) -> Shown:
    """Offer frames as an Excel file that travels inside the page; text in it is never a formula.

    Of `name` only what any file system takes is kept, no path. Beyond `DOWNLOAD_ROWS` rows a sheet is cut, and the
    link says so.
    """
    from tempfile import TemporaryDirectory

    from salesops_lib.export import write_xlsx

    sheets = {sheet: rows for sheet, rows in sheets.items() if not isinstance(rows, SalesOpsError)}
    if not sheets:
        return Shown("", "")
    name = re.sub(r"[^\w.+() -]+", "_", name)[-80:].strip("._ -") or "rows.xlsx"
    with TemporaryDirectory() as folder:
        first = {sheet: rows.head(DOWNLOAD_ROWS) for sheet, rows in sheets.items()}
        path = write_xlsx(first, Path(folder) / "rows.xlsx")
        data = base64.b64encode(path.read_bytes()).decode()
    n = sum(len(rows) for rows in sheets.values())
    cut = (
        f", the first {DOWNLOAD_ROWS:,} of each sheet"
        if any(len(r) > DOWNLOAD_ROWS for r in sheets.values())
        else ""
    )
    said = f"{name} ({n:,} rows{cut})"
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    safe = html.escape(name, quote=True)
    return Shown(
        f'<p class="download"><a download="{safe}" href="data:{kind};base64,{data}">{html.escape(said)}</a></p>',
        said,
    )


def folded(summary: str, block: Shown) -> Shown:
    """Show a sentence that opens to a block: for what few readers need."""
    markup = f"<details><summary>{_safe(summary)}</summary>{block.markup}</details>"
    return Shown(markup, f"{summary}\n{block.text}")


def kpi_table(frame: pd.DataFrame, *, caption: str = "") -> Shown:
    """Show the frame of `kpis.compute`: each number in its own unit with interval and n, or why there is none."""
    import pandas as pd

    rows = frame.to_dict("records")
    shown = pd.DataFrame(
        {
            "KPI": [f"{row['kpi_id']} {row['name']}" for row in rows],
            "variant": frame["variant"].to_numpy(),
            "segment": frame["segment_name"].to_numpy(),
            "value": [_full(row) if row["status"] == "ok" else row["status"] for row in rows],
            "95 % interval": [_range(row) for row in rows],
            "n": frame["n"].to_numpy(),
            "note": frame["note"].to_numpy(),
        }
    )
    for name, label in (("last", "on period before"), ("year", "on year ago")):
        if f"{name}_change" in frame:
            shown.insert(shown.columns.get_loc("n"), label, [_change(row, name) for row in rows])
    if frame["segment"].eq("company").all():
        shown = shown.drop(columns="segment")
    return table(shown, units={"n": "count", "value": "shown", "95 % interval": "shown"}, caption=caption)


def _change(row: Mapping[str, Any], name: str) -> str:
    """Write a change with its interval, in points for shares; n.s. where the interval holds zero."""
    value, low, high = (row[f"{name}_change{end}"] for end in ("", "_low", "_high"))
    if math.isnan(value):
        return EMPTY
    unit = "points" if row["unit"] == "share" else _unit(row)
    noise = " n.s." if low <= 0 <= high else ""
    return f"{number(value, unit, signed=True)} {interval(low, high, unit)}{noise}".strip()


def _unit(row: Mapping[str, Any]) -> str:
    return "amount" if row["unit"] == "money" else row["unit"]


def _full(row: Mapping[str, Any]) -> str:
    return number(row["value"], fitting(_unit(row), row["low"], row["high"]))


def _range(row: Mapping[str, Any]) -> str:
    return interval(row["low"], row["high"], fitting(_unit(row), row["low"], row["high"]))


def figure(plot: Callable[[Any], Axes], describe: Callable[[Any], str], result: Any) -> Shown:
    """Draw a result and show it with its description; where there is too little data, say so instead."""
    try:
        return show(plot(result), describe(result))
    except InsufficientData as error:
        return note(str(error))


def show(ax: Axes, alt: str) -> Shown:
    """Show a chart with its alternative text, as the smaller of SVG and a 2× PNG, and close it.

    Raises
    ------
    ParameterError
        Where `alt` is empty: every figure says in a sentence what it shows.
    """
    import matplotlib.pyplot as plt

    if not alt.strip():
        raise ParameterError("every figure needs an alt text: one sentence saying what it shows.")
    figure = ax.get_figure()
    _keep(_drawn(figure), ax.get_title(loc="left") or ax.get_title() or "figure")
    images = {}
    for kind, media in (("svg", "image/svg+xml"), ("png", "image/png")):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, dpi=192, metadata={"Date": None} if kind == "svg" else None)
        images[media] = buffer.getvalue()
    plt.close(figure)
    media = min(images, key=lambda kind: len(images[kind]))
    data = base64.b64encode(images[media]).decode()
    return Shown(
        f'<figure><img alt="{html.escape(alt, quote=True)}" src="data:{media};base64,{data}"></figure>', alt
    )


def _keep(frame: pd.DataFrame, name: str) -> None:
    """Leave the data behind a table or figure where the runner takes them from."""
    if folder := os.environ.get(DATA):
        plain = "".join(letter if letter.isalnum() else " " for letter in name).split()
        number = len(list(Path(folder).iterdir())) + 1
        frame.to_pickle(Path(folder) / f"{number:02d} {' '.join(plain)[:60]}.pkl")


def _drawn(figure: Figure) -> pd.DataFrame:
    """List the points that the lines and bars of a figure draw: `series`, `x`, `y`, and `width` and `height`."""
    import pandas as pd

    rows = []
    for axes in figure.axes:
        for line in axes.get_lines():
            rows += [(line.get_label(), x, y, None, None) for x, y in line.get_xydata()]
        for bars in axes.containers:
            rows += [
                (bars.get_label(), bar.get_x(), bar.get_y(), bar.get_width(), bar.get_height())
                for bar in getattr(bars, "patches", ())
            ]
    out = pd.DataFrame(rows, columns=["series", "x", "y", "width", "height"])
    out["series"] = out["series"].astype(str).mask(out["series"].astype(str).str.startswith("_"), "")
    return out


def run_details(book: Book, definitions: pd.DataFrame | None = None) -> Shown:
    """Say what the page rests on: snapshot, as-of instant, company settings, and the KPI definitions it used."""
    import pandas as pd

    company = book.company
    facts = {
        "Snapshot": book.snapshot_id,
        "As of": f"{book.as_of.tz_convert(book.calendar.timezone):%a %d %b %Y %H:%M} {book.calendar.timezone}",
        "Source exported": f"{book.snapshot.extracted_at:%d %b %Y %H:%M} UTC",
        "Company": company.name or EMPTY,
        "Currency": _currency(book),
        "Fiscal year": f"starts in month {book.calendar.start_month}, pattern {book.calendar.pattern}",
    }
    first = table(
        pd.DataFrame({"what": list(facts), "value": list(facts.values())}), labels={"what": "", "value": ""}
    )
    if definitions is None:
        return _off_paper(first)
    columns = ["kpi_id", "name", "formula", "population", "attribution", "interval"]
    rows = table(definitions[columns].drop_duplicates("kpi_id"), caption="Metrics", labels={"kpi_id": "id"})
    return _off_paper(stack(first, folded("Definitions used", rows)))


def _off_paper(block: Shown) -> Shown:
    """Keep a block on the screen only: on paper the footer says the same."""
    return Shown(f'<div class="aside">{block.markup}</div>', block.text)


def explore(function: Callable[..., Any], *fixed: Any, **choices: Iterable[Any]) -> Any:
    """Turn a call into a lens with a drop-down for each choice; for a live notebook, never an input of a page.

    Parameters
    ----------
    function, fixed
        What to call, and its first arguments.
    choices
        Values to pick from, by argument name.

    Raises
    ------
    ParameterError
        For a choice `function` does not take.
    """
    import ipywidgets

    known = inspect.signature(function).parameters
    for name in choices:
        if name not in known and not any(p.kind is p.VAR_KEYWORD for p in known.values()):
            raise ParameterError(unknown("argument", name, known))

    def look(**picked: Any) -> None:
        from IPython.display import display

        try:
            display(_shown(function(*fixed, **picked)))
        except SalesOpsError as error:
            display(note(str(error)))

    lenses = {
        name: ipywidgets.Dropdown(options=list(values), description=name) for name, values in choices.items()
    }
    return ipywidgets.interactive(look, **lenses)


def _shown(result: Any) -> Any:
    import pandas as pd

    if isinstance(result, pd.DataFrame):
        return kpi_table(result) if "kpi_id" in result else table(result)
    return show(result, "chart picked in the lens") if hasattr(result, "get_figure") else result
