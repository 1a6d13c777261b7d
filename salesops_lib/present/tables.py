"""Tables of a page: numbers by unit, text escaped, sortable, with the frame behind them."""

from __future__ import annotations

import base64
import html
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from salesops_lib.errors import ParameterError, SalesOpsError, unknown
from salesops_lib.language import delocalised, say
from salesops_lib.present.blocks import Shown, folded, note, safe, stack
from salesops_lib.present.numbers import EMPTY, counted, fitting, interval, number, sizes

if TYPE_CHECKING:
    import pandas as pd

DOWNLOAD_ROWS = 20_000  # in a file inside the page
LIGHT = "txt light"  # beside it the word itself becomes a class: red, amber, note
# the others are numbers, aligned right
SIDES = {"text": "txt", "long": "txt long", "severity": LIGHT, "flag": "txt", "word": "txt", "date": "day"}
RANKS = {"red": 3, "amber": 2, "note": 1}  # of severities, where a reader sorts a table by them
WRITTEN = re.compile(r"([+−-]?)(\d[\d,]*(?:\.\d+)?)(?: (\w+\b\.?))?")  # as `number` writes one
MINUS = ("−", "-")
KPI_LABELS = {
    "KPI": "KPI", "variant": "variant", "segment": "segment", "value": "value", "95 % interval": "95 % interval",
    "on period before": "on period before", "on year ago": "on year ago", "n": "n", "note": "note",
}  # fmt: skip


def table(
    frame: pd.DataFrame | SalesOpsError,
    *,
    units: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    ranges: Mapping[str, tuple[str, str]] | None = None,
    caption: str = "",
    limit: int = 200,
    behind: pd.DataFrame | None = None,
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
    behind
        What the data files hold where that is not `frame`, whose numbers may be written out already.

    Raises
    ------
    ParameterError
        For a unit or label of a column that is not there.
    """
    if isinstance(frame, SalesOpsError):
        return note(str(frame))
    if frame.empty:
        return note(say("{what} None.", what=caption).strip())
    units, labels, ranges = dict(units or {}), dict(labels or {}), dict(ranges or {})
    for column in (*units, *labels, *ranges, *(bound for pair in ranges.values() for bound in pair)):
        if column not in frame:
            raise ParameterError(unknown("column", column, frame.columns))
    kept = (caption or "table", frame if behind is None else behind)
    shown = frame.head(limit)
    bounds = [bound for pair in ranges.values() for bound in pair]
    raw, kinds = shown.drop(columns=bounds), [units.get(c, "text") for c in shown.columns if c not in bounds]
    for column, (low, high) in ranges.items():
        written = [_with_range(*row, units.get(column, "")) for row in shown[[column, low, high]].to_numpy()]
        shown = shown.assign(**{column: written})
        units[column] = "shown"
    shown = shown.drop(columns=bounds)
    if len(frame) > limit:
        first = say("First {n} of {rows}.", n=number(limit, "count"), rows=counted(len(frame), "row"))
        caption = f"{caption} {first}".strip()
    sides = [SIDES.get(units.get(column, "text"), "num") for column in shown.columns]
    head, body = _head(shown, sides, labels), _body(shown, raw, units, kinds, sides)
    titled = f'<p class="caption">{safe(caption)}</p>' if caption else ""
    # the caption stands outside: inside it would scroll away with a wide table on a phone; tabindex: and the
    # table must scroll from the keyboard too
    named = html.escape(caption or say("table"), quote=True)
    markup = (
        f'{titled}<div class="scroll" tabindex="0" role="group" aria-label="{named}">'
        f"<table>{head}<tbody>{body}</tbody></table></div>"
    )
    return Shown(markup, shown.to_string(index=False), (kept,))


def _head(shown: pd.DataFrame, sides: list[str], labels: Mapping[str, str]) -> str:
    cells = []
    for column, side in zip(shown.columns, sides, strict=True):
        named = str(column).replace("_", " ")
        said = safe(say(labels.get(column, named)))
        heard = said or f'<span class="unseen">{safe(say(named))}</span>'
        cells.append((said, f'<th scope="col" class="{side}">{heard}</th>'))
    return (
        f"<thead><tr>{''.join(cell for _, cell in cells)}</tr></thead>" if any(said for said, _ in cells) else ""
    )


def _body(shown: pd.DataFrame, raw: pd.DataFrame, units: dict, kinds: list[str], sides: list[str]) -> str:
    body = []
    for row, values in zip(shown.itertuples(index=False), raw.itertuples(index=False), strict=True):
        cells = [safe(number(v, units.get(c, ""))) for c, v in zip(shown.columns, row, strict=True)]
        looks = [f"{side} {safe(str(v))}" if side == LIGHT else side for side, v in zip(sides, row, strict=True)]
        looks = [f'class="{k}"{_sorts_by(v, unit)}' for k, v, unit in zip(looks, values, kinds, strict=True)]
        rest = "".join(f"<td {look}>{cell}</td>" for look, cell in zip(looks[1:], cells[1:], strict=True))
        body.append(f'<tr><th scope="row" {looks[0]}>{cells[0]}</th>{rest}</tr>')
    return "".join(body)


def _sorts_by(value: Any, unit: str) -> str:
    """Attribute with the number behind a cell; an empty one, which comes last, where there is none."""
    import pandas as pd

    if unit in ("text", "long", "flag", "word"):
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
    if not (found := WRITTEN.search(delocalised(text))):
        return ""
    sign, digits, size = found.groups()
    value = float(digits.replace(",", "")) * sizes().get(size, 1)
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
        summary = f"{number(value, (units or {}).get(by, 'text'))}: {counted(len(rows), of)}"
        shown = rows.drop(columns=by)
        parts.append(folded(summary, table(shown, **fitted(shown, units=units or {}), limit=limit)))
    return stack(*parts)


def download(
    sheets: Mapping[str, pd.DataFrame | SalesOpsError], name: str, *, counted_in: Iterable[str] | None = None
) -> Shown:
    """Offer frames as an Excel file that travels inside the page; text in it is never a formula.

    Of `name` only what any file system takes is kept, no path. Beyond `DOWNLOAD_ROWS` rows a sheet is cut, and the
    link says so; it names the rows of each sheet in `counted_in`, by default of all.
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
    *others, last = [len(sheets[sheet]) for sheet in (counted_in or sheets) if sheet in sheets]
    rows = " + ".join([*(number(n, "count") for n in others), counted(last, "row")])
    given = {"name": name, "rows": rows, "first": number(DOWNLOAD_ROWS, "count")}
    if any(len(rows) > DOWNLOAD_ROWS for rows in sheets.values()):
        said = say("{name} ({rows}, the first {first} of each sheet)", **given)
    else:
        said = say("{name} ({rows})", **given)
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    named = html.escape(name, quote=True)
    return Shown(
        f'<p class="download"><a download="{named}" href="data:{kind};base64,{data}">{html.escape(said)}</a></p>',
        said,
    )


def kpi_table(frame: pd.DataFrame, *, caption: str = "") -> Shown:
    """Show the frame of `kpis.compute`: each number in its own unit with interval and n, or why there is none."""
    import pandas as pd

    rows = frame.to_dict("records")
    shown = pd.DataFrame(
        {
            "KPI": [f"{row['kpi_id']} {say(row['name'])}" for row in rows],
            "variant": frame["variant"].to_numpy(),
            "segment": frame["segment_name"].to_numpy(),
            "value": [_full(row) if row["status"] == "ok" else say(row["status"]) for row in rows],
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
    if frame["period"].nunique() > 1:
        shown.insert(1, "period", frame["period"].to_numpy())
    units = {"n": "count", "variant": "word", "value": "shown", "95 % interval": "shown"}
    return table(
        shown, units=units, labels=fitted(shown, labels=KPI_LABELS)["labels"], caption=caption, behind=frame
    )


def _change(row: Mapping[str, Any], name: str) -> str:
    """Write a change with its interval, in points for shares; n.s. where the interval holds zero."""
    value, low, high = (row[f"{name}_change{end}"] for end in ("", "_low", "_high"))
    if math.isnan(value):
        return EMPTY
    unit = "points" if row["unit"] == "share" else _unit(row)
    noise = say("n.s.") if low <= 0 <= high else ""
    return f"{number(value, unit, signed=True)} {interval(low, high, unit)} {noise}".strip()


def _unit(row: Mapping[str, Any]) -> str:
    return "amount" if row["unit"] == "money" else row["unit"]


def _full(row: Mapping[str, Any]) -> str:
    return number(row["value"], fitting(_unit(row), row["low"], row["high"]))


def _range(row: Mapping[str, Any]) -> str:
    return interval(row["low"], row["high"], fitting(_unit(row), row["low"], row["high"]))
