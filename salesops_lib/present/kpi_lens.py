"""The lens on KPIs: any of them, for any part of the company, as dots with intervals, and the rows behind each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from salesops_lib.errors import InsufficientData
from salesops_lib.language import say
from salesops_lib.present.figures import ACCENT, MUTED, WIDTH_IN
from salesops_lib.present.grid import NOTE
from salesops_lib.present.lens import explore
from salesops_lib.present.numbers import fitting, interval, number

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from salesops_lib.book import Book
    from salesops_lib.periods import Period

PERIODS = ("quarter", "4 quarters", "month", "year")
BEFORE = 8  # periods that one part of the company is shown for
FIRST = [
    "name", "rep", "team", "segment", "priced", "is_won", "close_date", "expected_close_date", "created_at",
    "product",
]  # fmt: skip
ROW_IN = 0.26


def explore_kpis(
    book: Book,
    ids: Iterable[str] = (),
    *,
    period: str = "quarter",
    by: str | None = None,
    among: Iterable[str] = ("team", "rep", "segment"),
    **who: str,
) -> Any:
    """Make a lens on KPIs: which one, when, split by what, and one team, rep or segment alone.

    One team by rep are its reps; anything else alone is shown for past periods too, as is the company.

    Parameters
    ----------
    ids
        KPIs to pick from; all by default. The first that has a number is shown first.
    period, by
        What is shown first.
    among
        Dimensions that the one part of the company is picked from.
    who
        What the choice of it is called, by default ``who``, and the name or id shown first.
    """
    from salesops_lib.facts import DIMENSIONS
    from salesops_lib.kpis import REGISTRY

    known = _parts(book, among)
    called, first = next(iter(who.items()), ("who", ""))
    chosen = [REGISTRY[name] for name in ids or sorted(REGISTRY)]
    listed = {
        f"{kpi.id} {kpi.name}{'' if variant == kpi.default else f' – {variant}'}": (kpi.id, variant)
        for kpi in chosen
        for variant in kpi.variants
    }
    splits = {"whole company": None} | {f"each {name}": name for name in DIMENSIONS}
    whom = {"everybody": ""} | {f"{dimension} {name}": name for name, (dimension, _) in known.items()}
    told = _told_first(book, listed.values(), period)
    listed = {words: kpi for words, kpi in listed.items() if kpi == told} | listed
    at_first = {words: name for words, name in whom.items() if first and first in (name, *known.get(name, ())[1:])}
    return explore(
        _look,
        book,
        known,
        plot=plot_kpi,
        describe=describe_kpi,
        rows=partial(_behind, book, known),
        labels={"kpi": "KPI", "by": "split"},
        kpi=listed,
        period=[period, *PERIODS],
        by={words: split for words, split in splits.items() if split == by} | splits,
        **{called: at_first | whom},
    )


def _told_first(book: Book, variants: Iterable[tuple[str, str]], period: str) -> tuple[str, str] | None:
    """Find the first KPI that has a number for the whole company."""
    from salesops_lib.kpis import compute

    has = (kpi for kpi in variants if compute(book, kpi[0], period, variants=kpi[1])["status"].eq("ok").any())
    return next(has, None)


def _parts(book: Book, among: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Name the parts of the company there are: dimension and id by name; by id where a name is taken."""
    from salesops_lib.facts import members, names, resolve_period

    found: dict[str, tuple[str, str]] = {}
    for dimension in among:
        said = names(book, dimension)
        for member in members(book, dimension, resolve_period(book, "4 quarters")):
            name = said.get(member, member)
            found[name if name not in found else member] = (dimension, member)
    return found


def _look(
    book: Book, known: dict, *, kpi: tuple[str, str], period: str, by: str | None, **who: str
) -> pd.DataFrame:
    """Compute a KPI for every segment of a split, or for one part of the company and the periods before."""
    import pandas as pd

    from salesops_lib.kpis import compute

    kpi_id, variant = kpi
    dimension, segment = _part(known, who)
    if by is None or (segment and (dimension, by) != ("team", "rep")):
        one = partial(compute, book, kpi_id, by=dimension, segment=segment, variants=variant)
        return pd.concat([one(window) for window in _windows(book, period)], ignore_index=True)
    frame = compute(book, kpi_id, period, by=by, variants=variant)
    if segment:
        users = book.table("users", ["user_id", "team_id"])
        frame = frame[frame["segment"].isin(users.loc[users["team_id"].eq(segment), "user_id"])]
    return frame.sort_values("segment_name", key=lambda names: names.str.lower(), ignore_index=True)


def _part(known: dict, who: dict[str, str]) -> tuple[str | None, str]:
    return known.get(next(iter(who.values()), ""), (None, ""))


def _windows(book: Book, period: str) -> list[Period]:
    """List the period asked for, and those before it of its kind, the latest first."""
    from salesops_lib.facts import resolve_period

    window = resolve_period(book, period)
    kind = window.kind.rpartition(" ")[2].removesuffix("s")
    single = book.calendar.last(kind, BEFORE, book.day)
    return list(dict.fromkeys([window, *reversed(single)]))


def _behind(
    book: Book, known: dict, result: pd.DataFrame, *, period: str, by: str | None, **picked: Any
) -> dict[str, Callable[[], pd.DataFrame]]:
    """Name each number of `_look` and how to get its rows."""
    picked.pop("kpi")
    dimension, segment = _part(known, picked)
    windows = {window.label: window for window in _windows(book, period)}
    return {
        f"{_label(result, row)}: {_value(row)}": partial(
            _rows, book, row["kpi_id"], windows[row["period"]],
            dimension if by is None or row["segment"] == segment else by, row["segment"], row["variant"], row["n"],
        )
        for row in result.to_dict("records")
        if row["n"]
    }  # fmt: skip


def _rows(
    book: Book, kpi_id: str, window: Period, by: str | None, segment: str, variant: str, n: int
) -> pd.DataFrame:
    """The rows behind a KPI, what people look for first; a note where the number rests on others than these."""
    from salesops_lib.facts import named
    from salesops_lib.kpis import rows_behind

    found = rows_behind(book, kpi_id, window, by=by, segment=segment if by else "", variant=variant)
    told = {people: named(book, people, found[people]) for people in {"rep", "team"} & {*found}}
    zone = book.calendar.timezone  # what falls into a period is told by the company's day
    for name in found.select_dtypes("datetimetz"):
        told[name] = found[name].dt.tz_convert(zone).dt.tz_localize(None)
    first = [name for name in FIRST if name in found]
    out = found.assign(**told)[[*first, *(name for name in found if name not in first)]]
    if len(out) != n:
        out.attrs[NOTE] = say(
            "The number rests on {n}, not on all of these or on others: see the definition of {kpi}.",
            n=number(n, "count"), kpi=kpi_id,
        )  # fmt: skip
    return out


def _label(frame: pd.DataFrame, row: dict) -> str:
    return row["period"] if frame["period"].nunique() > 1 else row["segment_name"]


def _unit(row: dict) -> str:
    return "amount" if row["unit"] == "money" else row["unit"]


def _value(row: dict) -> str:
    if row["status"] != "ok":
        return row["status"]
    return number(row["value"], fitting(_unit(row), row["low"], row["high"]))


def plot_kpi(frame: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw one KPI as dots with their intervals, a row for each segment or period.

    Raises
    ------
    InsufficientData
        Where none of them has a number.
    """
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    rows = _drawable(frame)
    ax = ax or _axes([_label(frame, row) for row in rows])
    places = range(len(rows))
    ax.hlines(places, [row["low"] for row in rows], [row["high"] for row in rows], color=MUTED, linewidth=1.5)
    ax.plot([row["value"] for row in rows], places, "o", color=ACCENT, markersize=5)
    ax.set_yticks(places, [_label(frame, row) for row in rows])
    ax.set_ylim(len(rows) - 0.4, -0.6)
    unit = "percent" if rows[0]["unit"] == "share" else rows[0]["unit"]
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value, unit)))
    ax.set_title(f"{rows[0]['kpi_id']} {say(rows[0]['name'])}: {say(rows[0]['variant'])}", y=1.0)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_label_coords(0.5, 0.5)  # there is none; to find its place would measure every name again
    return ax


def _axes(labels: list[str]) -> Axes:
    """Lay out by the length of the labels: measuring each of them twice takes as long as drawing the rest."""
    import matplotlib.pyplot as plt

    height = 0.9 + ROW_IN * len(labels)
    made, ax = plt.subplots(figsize=(WIDTH_IN, height), layout="none")
    left = min(0.3 + 0.085 * max(map(len, labels)), WIDTH_IN / 2) / WIDTH_IN
    made.subplots_adjust(left=left, right=0.96, top=1 - 0.4 / height, bottom=0.4 / height)
    return ax


def describe_kpi(frame: pd.DataFrame) -> str:
    """Say what `plot_kpi` shows."""
    rows = _drawable(frame)
    said = "; ".join(
        f"{_label(frame, row)} {_value(row)} {interval(row['low'], row['high'], _unit(row))}".strip()
        for row in rows
    )
    return say("{kpi} with 95 % intervals: {said}.", kpi=say(rows[0]["name"]), said=said)


def _drawable(frame: pd.DataFrame) -> list[dict]:
    rows = frame[frame["status"].eq("ok")].to_dict("records")
    if not rows:
        why = next((f" ({text})" for text in frame["note"] if text), "")
        raise InsufficientData(
            f"{frame['name'].iloc[0]}{why}", needed=1, got=0, of="segments or periods with a number"
        )
    return rows
