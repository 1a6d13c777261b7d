"""Figures of a page: one look, alternative text, the smaller of two formats, the points behind them."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from salesops_lib.errors import InsufficientData, ParameterError, SalesOpsError
from salesops_lib.present.blocks import Shown, note
from salesops_lib.present.reading import Reading

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, ACCENT, SECOND = (
    "#1b2733",
    "#6b7885",
    "#0b6e99",
    "#c4622d",
)  # distinct in grey and to colour-blind eyes
WIDTH_IN = 5.6  # read on a phone at two thirds of that, where 10 pt are still legible


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
            "axes.labelsize": 10,
            "axes.titlelocation": "left",
            "axes.titlesize": 11,
            "axes.titleweight": "bold",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "text.color": INK,
            "text.parse_math": False,  # a `$` in a name is a dollar sign
            "xtick.labelsize": 10,
            "ytick.labelsize": 10,
            "xtick.color": INK,
            "ytick.color": INK,
            "grid.color": "#e3e8ec",
            "svg.fonttype": "path",
            "svg.hashsalt": "salesops",
        },
    )


def figure(
    plot: Callable[[Any], Axes], describe: Callable[[Any], str], result: Any, *, is_live: bool = False
) -> Shown:
    """Draw a result and show it with its description; where there is too little data, say so instead."""
    if isinstance(result, SalesOpsError):
        return note(str(result))
    try:
        return show(plot(result), describe(result), getattr(plot, "reading", None), is_live=is_live)
    except InsufficientData as error:
        return note(str(error))


def show(ax: Axes, alt: str, reading: Reading | None = None, *, is_live: bool = False) -> Shown:
    """Show a chart with its alternative text, as the smaller of SVG and a 2× PNG, and close it.

    Below it stands how it is read, where that is known. What is live is drawn once only, as SVG: drawing costs
    more time than all else that a lens does.

    Raises
    ------
    ParameterError
        Where `alt` is empty: every figure says in a sentence what it shows.
    """
    import matplotlib.pyplot as plt

    if not alt.strip():
        raise ParameterError("every figure needs an alt text: one sentence saying what it shows.")
    figure = ax.get_figure()
    behind = (ax.get_title(loc="left") or ax.get_title() or "figure", _drawn(figure))
    images = {}
    for kind, media in (("svg", "image/svg+xml"), ("png", "image/png"))[: 1 if is_live else 2]:
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, dpi=192, metadata={"Date": None} if kind == "svg" else None)
        images[media] = buffer.getvalue()
    plt.close(figure)
    media = min(images, key=lambda kind: len(images[kind]))
    data = base64.b64encode(images[media]).decode()
    image = f'<img alt="{html.escape(alt, quote=True)}" src="data:{media};base64,{data}">'
    below = reading.markup if reading else ""
    return Shown(f"<figure>{image}{below}</figure>", alt, (behind,))


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
