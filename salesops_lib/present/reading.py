"""How a figure is read, and the method behind it: one line below it, and the note it leads to on the same page."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from salesops_lib.errors import ParameterError, unknown
from salesops_lib.language import say
from salesops_lib.present.blocks import Shown, kpi_mark, safe
from salesops_lib.scaffold import templates

LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")


class Reading(NamedTuple):
    """How a figure is read: one sentence, its method note, and the KPIs it shows."""

    text: str
    method: str
    kpis: tuple[str, ...] = ()

    @property
    def markup(self) -> str:
        """The line below the figure; links lead to places on the same page, which `run_details` shows."""
        method = f'<a href="#method-{self.method}">{safe(say("Method"))}</a>'
        kpis = " ".join(map(kpi_mark, self.kpis))
        return f"<figcaption>{safe(say(self.text))} {method} {kpis}</figcaption>"


def how_to_read(text: str, *, method: str, kpis: tuple[str, ...] = ()) -> Callable[[Callable], Callable]:
    """Say of a chart function how its figure is read.

    Parameters
    ----------
    text
        One sentence, English; it is translated where it is shown.
    method
        Name of the note in `docs/methods`.
    kpis
        Ids of the KPIs shown.
    """

    def register(plot: Callable[..., Any]) -> Callable[..., Any]:
        plot.reading = Reading(text, method, kpis)
        return plot

    return register


def method_note(name: str) -> Shown:
    """Show a method note behind its title; links to other files are left out, as a page stands alone.

    Raises
    ------
    ParameterError
        Where there is no such note.
    """
    import mistune

    notes = {path.stem: path for path in (templates() / "docs" / "methods").glob("*.md")}
    if name not in notes:
        raise ParameterError(unknown("method note", name, notes))
    title, _, text = notes[name].read_text(encoding="utf-8").partition("\n")
    told = LINK.sub(r"\1", re.sub("^##", "###", text, flags=re.MULTILINE))
    body = mistune.create_markdown(escape=True, plugins=["table"])(told)
    scrolled = '<div class="scroll" tabindex="0"><table>'
    body = body.replace("<table>", scrolled).replace("</table>", "</table></div>")
    title = title.lstrip("# ")
    summary = f'<summary>{safe(say("Method"))}: <span lang="en">{safe(title)}</span></summary>'
    markup = f'<details class="method" id="method-{name}">{summary}<div lang="en">{body}</div></details>'
    return Shown(markup, f"{say('Method')}: {title}")
