"""Blocks of a page: sentences, tiles, and blocks side by side, below a heading or behind a click."""

from __future__ import annotations

import html
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from salesops_lib.language import say
from salesops_lib.present.numbers import ENDLESS, SIZES

if TYPE_CHECKING:
    import pandas as pd

KPI = re.compile(r"K\d{2}")  # an id, and where its definition stands on a page
DATA = "SALESOPS_DATA"  # set by the runner: folder that takes the data behind tables and figures


@dataclass(frozen=True)
class Shown:
    """HTML for a page, plain text for everything else, and the named frames behind it.

    What a page displays leaves its frames where the runner takes them from; what it only computes does not.
    """

    markup: str
    text: str
    behind: tuple[tuple[str, pd.DataFrame], ...] = field(default=(), repr=False, compare=False)

    def _repr_html_(self) -> str:
        if folder := os.environ.get(DATA):
            for name, frame in self.behind:
                _leave(frame, name, Path(folder))
        return self.markup

    def __repr__(self) -> str:
        return self.text


def _leave(frame: pd.DataFrame, name: str, folder: Path) -> None:
    plain = "".join(letter if letter.isalnum() else " " for letter in name).split()
    frame.to_pickle(folder / f"{len(list(folder.iterdir())) + 1:02d} {' '.join(plain)[:60].strip()}.pkl")


def behind(*blocks: Shown) -> tuple[tuple[str, pd.DataFrame], ...]:
    """Collect the frames behind some blocks."""
    return tuple(pair for block in blocks for pair in block.behind)


def safe(text: str) -> str:
    """Escape a text for a page; a number stays on one line with its per cent, thousands or millions."""
    units = "|".join(re.escape(say(size, n="").strip()) for _, size in SIZES)
    return re.sub(rf" (?=%)|(?<=[\d{ENDLESS}]) (?=(?:{units})(?!\w))", "&nbsp;", html.escape(text))


def headline(text: str) -> Shown:
    """Show the sentence that a reader takes away."""
    return Shown(f'<p class="headline">{safe(text)}</p>', text)


def note(text: str) -> Shown:
    """Show a sentence on how to read what stands above, or why something is missing; nothing for no text."""
    if not text:
        return Shown("", "")
    return Shown(f'<p class="note">{safe(text)}</p>', text)


def tiles(frame: pd.DataFrame) -> Shown:
    """Show key figures as tiles; the id of a KPI leads to its definition, which `run_details` shows on the page.

    Parameters
    ----------
    frame
        Text columns `label`, `value`, `range`, `change`, `kpi_id`, and `tone` (beside a plan good, bad, or empty).
    """
    cells, lines = [], []
    for row in frame.to_dict("records"):
        texts = {key: safe(str(value)) for key, value in row.items()}
        tone = row.get("tone") or ""
        mark_of = kpi_mark(texts["kpi_id"])
        cells.append(
            f'<div class="tile {html.escape(tone)}">'
            f"<dt>{texts['label']} {mark_of}</dt>"
            f"<dd><b>{texts['value']} {_beside_plan(tone)}</b><span>{texts['range']}</span>"
            f"<span>{texts['change']}</span></dd></div>"
        )
        lines.append(f"{row['label']} ({row['kpi_id']}): {row['value']} {row['range']} {row['change']}")
    return Shown(f'<dl class="tiles">{"".join(cells)}</dl>', "\n".join(lines))


def _beside_plan(tone: str) -> str:
    """Mark a value as ahead of the plan or behind it, by a shape that prints in grey."""
    said = {"good": ("▲", say("ahead of plan")), "bad": ("▼", say("behind plan"))}
    if tone not in said:
        return ""
    shape, words = said[tone]
    return f'<i role="img" aria-label="{safe(words)}" title="{safe(words)}">{shape}</i>'


def kpi_mark(kpi_id: str) -> str:
    """Lead from the id of a KPI to its definition on the same page."""
    if KPI.fullmatch(kpi_id):
        return f'<a class="kpi" href="#{kpi_id}">{kpi_id}</a>'
    return f'<span class="kpi">{kpi_id}</span>' if kpi_id else ""


def stack(*blocks: Shown) -> Shown:
    """Show blocks one below the other; the same one only once, as two parts may lack the same thing."""
    blocks = tuple({block.markup: block for block in blocks}.values())
    text = "\n".join(block.text for block in blocks if block.text)
    return Shown("".join(block.markup for block in blocks), text, behind(*blocks))


def columns(*blocks: Shown, widths: tuple[int, ...] = ()) -> Shown:
    """Show blocks side by side where there is room (desktop, paper), one below the other on a phone.

    They share the room alike, or as `widths` says, one part a block: those that the style sheet knows.
    """
    there = [block for block in blocks if block.markup]
    if not there:
        return Shown("", "")
    cells = "".join(f'<div class="column">{block.markup}</div>' for block in there)
    look = f" share-{'-'.join(map(str, widths))}" if len(widths) == len(there) else ""
    return Shown(
        f'<div class="columns{look}">{cells}</div>', "\n".join(block.text for block in there), behind(*there)
    )


def section(shown: bool, title: str, *blocks: Shown | str, aside: bool = False) -> Shown:
    """Show a heading and what stands below it, text as notes; nothing where the page has no such section.

    What is `aside` is for the screen, not for paper.
    """
    if not shown:
        return Shown("", "")
    parts = stack(*(note(block) if isinstance(block, str) else block for block in blocks))
    look = ' class="aside"' if aside else ""
    return Shown(
        f"<section{look}><h2>{safe(title)}</h2>{parts.markup}</section>", f"{title}\n{parts.text}", parts.behind
    )


def folded(summary: str, block: Shown) -> Shown:
    """Show a sentence that opens to a block: for what few readers need."""
    markup = f"<details><summary>{safe(summary)}</summary>{block.markup}</details>"
    return Shown(markup, f"{summary}\n{block.text}", block.behind)


def off_paper(block: Shown) -> Shown:
    """Keep a block on the screen only: on paper the footer says the same."""
    return Shown(f'<div class="aside">{block.markup}</div>', block.text, block.behind)
