"""What a reader sees: number formats, tables, figures with alt text, tiles, sentences, and the explore lens.

Everything that came from a CRM is escaped here, once. Charts are drawn elsewhere and handed in as Axes.
"""

from salesops_lib.language import LOCALE
from salesops_lib.present.about import RENDERING, as_of_line, losses, run_details, start
from salesops_lib.present.blocks import (
    DATA,
    Shown,
    columns,
    folded,
    headline,
    note,
    section,
    stack,
    tiles,
)
from salesops_lib.present.figures import ACCENT, INK, MUTED, SECOND, WIDTH_IN, figure, show, theme
from salesops_lib.present.grid import grid
from salesops_lib.present.kpi_lens import explore_kpis
from salesops_lib.present.lens import Scale, explore
from salesops_lib.present.numbers import EMPTY, counted, fitting, interval, number
from salesops_lib.present.reading import how_to_read, method_note
from salesops_lib.present.tables import download, drill, fitted, kpi_table, table

__all__ = [
    "ACCENT", "DATA", "EMPTY", "INK", "LOCALE", "MUTED", "RENDERING", "SECOND", "WIDTH_IN", "Scale", "Shown",
    "as_of_line", "columns", "counted", "download", "drill", "explore", "explore_kpis", "figure", "fitted",
    "fitting", "folded", "grid", "headline", "how_to_read", "interval", "kpi_table", "losses", "method_note",
    "note", "number", "run_details", "section", "show", "stack", "start", "table", "theme", "tiles",
]  # fmt: skip
