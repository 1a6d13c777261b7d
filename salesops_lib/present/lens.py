"""The lens: a call with a control for each choice, for a live notebook only; what is picked can be kept."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

from salesops_lib.errors import ParameterError, SalesOpsError, unknown
from salesops_lib.present.blocks import Shown, note, safe, stack
from salesops_lib.present.figures import figure, show
from salesops_lib.present.grid import grid
from salesops_lib.present.keep import parameters_with
from salesops_lib.present.numbers import EMPTY
from salesops_lib.present.tables import download, fitted, kpi_table, table

if TYPE_CHECKING:
    import pandas as pd

PAUSE_S = 0.15  # a burst of moves is over when nothing has moved for that long
KEPT = 64  # results a lens remembers
SHOWN_ROWS = 50
BUSY = "salesops-busy"  # class of a result that is being computed anew


@dataclass(frozen=True)
class Scale:
    """Numbers to pick from with a slider: from `low` to `high` in steps, `at` first."""

    low: float
    high: float
    step: float
    at: float | None = None

    @property
    def places(self) -> int:
        """Decimal places that its numbers have."""
        return max(0, -Decimal(str(self.step)).normalize().as_tuple().exponent)


def explore(
    function: Callable[..., Any],
    *fixed: Any,
    plot: Callable[[Any], Any] | None = None,
    describe: Callable[[Any], str] | None = None,
    rows: Mapping[str, Any] | Callable[..., Mapping[str, Any]] | None = None,
    looks: Mapping[str, Mapping[str, Any]] | None = None,
    labels: Mapping[str, str] | None = None,
    **choices: Iterable[Any] | Scale,
) -> Any:
    """Turn a call into a lens with a control for each choice; for a live notebook, never an input of a page.

    Parameters
    ----------
    function, fixed
        What to call, and its first arguments. It returns a frame, or what has one as `table` and may have `looks`.
    plot, describe
        Chart of the result and its alternative text, drawn above the table; both or none.
    rows
        Frames behind the numbers by name, or a function that names them for a result and its picks. In place of a
        frame a function without arguments may stand, called when it is asked for. By default the `rows_behind`
        of the result, where it has them.
    looks
        Units, labels and ranges of the result's columns, as `table` takes them.
    labels
        Words beside the controls; by default the name of the choice with blanks for underscores.
    choices
        What to pick from, by argument name: values (a mapping gives each its words) or a `Scale`. The first is
        shown first. Named like parameters of the notebook they can be kept there.

    Raises
    ------
    ParameterError
        For a choice `function` does not take.
    """
    known = inspect.signature(function).parameters
    for name, values in choices.items():
        if name not in known and not any(p.kind is p.VAR_KEYWORD for p in known.values()):
            raise ParameterError(unknown("argument", name, known))
        if not isinstance(values, (Scale, Mapping)):
            choices[name] = values = list(values)
        if not isinstance(values, Scale) and not values:
            return note(f"Nothing to look at: there is no {_words(name)}.")
    labels = labels or {}
    controls = {name: _control(labels.get(name, _words(name)), values) for name, values in choices.items()}
    draw = partial(_drawn, plot=plot, describe=describe, looks=looks or {})
    book = next((given for given in fixed if hasattr(given, "snapshot_id")), None)
    of = {"as of": book.day, "snapshot": book.snapshot_id} if book else {}
    return _Lens(partial(function, *fixed), controls, draw, rows or {}, of).box


class _Lens:
    """State and parts of one lens."""

    def __init__(self, compute: Callable, controls: dict, draw: Callable, rows: Mapping | Callable, of: dict):
        import ipywidgets as widgets

        self.compute, self.controls, self.draw, self.behind, self.of = compute, controls, draw, rows, of
        self.kept: dict[str, tuple[Any, Shown]] = {}
        self.result: Any = None
        self.waiting: asyncio.TimerHandle | None = None
        self.status, self.shown, self.said = (widgets.HTML() for _ in range(3))
        self.pick_rows = widgets.Dropdown(description="rows behind", options=[EMPTY])
        self.pick_rows.style.description_width = "6rem"
        self.rows = widgets.VBox()
        export, keep = (widgets.Button(description=words) for words in ("Export to XLSX", "Keep these values"))
        for control in controls.values():
            control.observe(self.moved, names="value")
        self.pick_rows.observe(self.open_rows, names="value")
        export.on_click(lambda _: self.say(self.exported()))
        keep.on_click(lambda _: self.say(self.to_keep()))
        self.box = widgets.VBox(
            [
                widgets.HBox(list(controls.values()), layout=widgets.Layout(flex_flow="row wrap")),
                self.status,
                self.shown,
                widgets.HBox([self.pick_rows, export, keep], layout=widgets.Layout(flex_flow="row wrap")),
                self.said,
                self.rows,
            ]
        )
        self.box.add_class("salesops-lens")
        self.look()

    @property
    def picked(self) -> dict[str, Any]:
        """The picks by name."""
        return {name: _value(control) for name, control in self.controls.items()}

    def moved(self, _: Any) -> None:
        """Look again once the moves are over; at once where the result is known, or no loop could wait."""
        if self.waiting:
            self.waiting.cancel()
        if repr(self.picked) in self.kept:
            return self.look()
        self.busy(True)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return self.look()
        self.waiting = loop.call_later(PAUSE_S, self.look)
        return None

    def look(self) -> None:
        """Compute what is picked, or take it from before, and show it."""
        picked, shown = self.picked, note("Stopped.")
        self.result = None
        self.busy(True)
        try:
            if (key := repr(picked)) not in self.kept:
                result = self.compute(**picked)
                self.kept[key] = (result, self.draw(result))
                if len(self.kept) > KEPT:
                    self.kept.pop(next(iter(self.kept)))
            self.result, shown = self.kept[key]
        except SalesOpsError as error:
            shown = note(str(error))
        except Exception:
            shown = note("This could not be computed; the log of the kernel says why.")
            raise
        finally:
            self.shown.value = shown.markup
            self.say(Shown("", ""))
            self.busy(False)
            self.offer_rows(picked)

    def busy(self, is_busy: bool) -> None:
        """Say that something is being computed, and dim what is about to change."""
        self.status.value = f'<span role="status">{"computing …" if is_busy else "&nbsp;"}</span>'
        (self.shown.add_class if is_busy else self.shown.remove_class)(BUSY)

    def say(self, said: Shown) -> None:
        """Put an answer below the buttons."""
        self.said.value = said.markup

    def offer_rows(self, picked: dict[str, Any]) -> None:
        """List the numbers that can be opened."""
        behind = {} if self.result is None else self.behind or getattr(self.result, "rows_behind", {})
        self.sources = behind(self.result, **picked) if callable(behind) else behind
        self.pick_rows.options = [EMPTY, *self.sources]
        self.pick_rows.layout.display = None if self.sources else "none"

    def opened(self) -> Any:
        """The frame of the number that is open."""
        source = self.sources.get(self.pick_rows.value)
        if isinstance(source, SalesOpsError):
            raise source
        return source() if callable(source) else source

    def open_rows(self, _: Any) -> None:
        """Show the rows behind the number picked."""
        try:
            frame = self.opened()
            self.rows.children = [] if frame is None else grid(frame)
        except SalesOpsError as error:
            self.rows.children = []
            self.say(note(str(error)))

    def exported(self) -> Shown:
        """Offer what is shown as an Excel file."""
        frames = {"result": _frame(self.result), "rows": self.opened()}
        sheets = {name: frame for name, frame in frames.items() if frame is not None}
        if not sheets:
            return note("There is nothing to export.")
        return download(sheets | {"about": self.about()}, "lens.xlsx", counted_in=sheets)

    def about(self) -> pd.DataFrame:
        """What the export holds: picks in words, the number whose rows are in it, the company's instant."""
        import pandas as pd

        told = {made.description: getattr(made, "label", made.value) for made in self.controls.values()}
        told["rows behind"] = self.pick_rows.value
        return pd.DataFrame((told | self.of).items(), columns=["what", "value"])

    def to_keep(self) -> Shown:
        """Write the picks into the text of the parameters cell, to be copied."""
        text, left = parameters_with(self.picked)
        named = ", ".join(self.controls[name].description for name in left)
        area = f'<textarea readonly rows="{len(text.splitlines())}" aria-label="kept">{escape(text)}</textarea>'
        return stack(
            note("Copy this over the parameters cell, and run the notebook again." if text else ""),
            Shown(area if text else "", text),
            note(f"Not kept, as no parameter of this notebook takes it: {named}." if named else ""),
        )


def _control(words: str, values: Iterable[Any] | Scale) -> Any:
    import ipywidgets as widgets

    if isinstance(values, Scale):
        kind = widgets.IntSlider if isinstance(values.step, int) else widgets.FloatSlider
        at = values.low if values.at is None else values.at
        made = kind(value=at, min=min(values.low, at), max=max(values.high, at), step=values.step)
        made.readout_format = f".{values.places}f"
        made.places = values.places
    elif isinstance(values, Mapping):
        made = widgets.Dropdown(options=list(values.items()))
    else:
        made = widgets.Dropdown(options=[(_words(value), value) for value in _once(values)])
    made.description = words
    made.style.description_width = "6rem"
    return made


def _value(control: Any) -> Any:
    """Read a control; what a slider adds up to is rounded to its steps."""
    places = getattr(control, "places", None)
    return round(control.value, places) if places else control.value


def _once(values: Iterable[Any]) -> list[Any]:
    return list({repr(value): value for value in values}.values())


def _words(value: Any) -> str:
    return EMPTY if value is None or value == "" else str(value).replace("_", " ")


def _frame(result: Any) -> pd.DataFrame | None:
    """The frame of a result: itself, or its `table`; none where it is something else."""
    import pandas as pd

    found = result if isinstance(result, pd.DataFrame) else getattr(result, "table", None)
    return found if isinstance(found, pd.DataFrame) else None


def _drawn(result: Any, *, plot: Callable | None, describe: Callable | None, looks: Mapping) -> Shown:
    """Show a result: its chart, and below it its table."""
    if isinstance(result, Shown):
        return result
    if hasattr(result, "get_figure"):
        return show(result, "chart picked in the lens", is_live=True)
    blocks = [figure(plot, describe, result, is_live=True)] if plot and describe else []
    if (frame := _frame(result)) is not None:
        looks = looks or getattr(result, "looks", {})
        is_kpis = "kpi_id" in frame and not looks
        blocks.append(kpi_table(frame) if is_kpis else table(frame, **fitted(frame, **looks), limit=SHOWN_ROWS))
    return stack(*blocks) if blocks else Shown(f"<p>{safe(str(result))}</p>", str(result))
