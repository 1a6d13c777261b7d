"""From a definition to the pages it makes: each notebook once, or once for each segment."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat

from salesops_lib.book import Book
from salesops_lib.errors import ParameterError, RenderError, listed, unknown
from salesops_lib.language import say
from salesops_lib.report.definition import Definition, ForEach
from salesops_lib.report.parameters import Parameter, check, declared

if TYPE_CHECKING:
    import pandas as pd

LONGEST_NAME = 48
OF_PEOPLE = {"rep": ("users", "user_id"), "team": ("teams", "team_id")}  # where else `where` means the deals


@dataclass(frozen=True)
class Job:
    """One page to make.

    Attributes
    ----------
    source
        The notebook.
    name, title
        Of its files, and its first heading where not the notebook's own.
    parameters
        Checked values to inject.
    segment, segment_id
        What a fan-out makes it for, as people call it and as the data do; empty else.
    key
        Says what the page depends on: of two pages with one key the second need not be made.
    is_asked
        Whether this run is to make it; a fan-out may be asked for one segment only.
    """

    source: Path
    name: str
    title: str
    parameters: dict[str, Any]
    segment: str = ""
    segment_id: str = ""
    key: str = ""
    is_asked: bool = True


def jobs(definition: Definition, asked: dict[str, Any], notebooks: Path, book: Book) -> list[Job]:
    """Give each page its notebook and checked parameters: the report's, its own over them, those asked for on top.

    Raises
    ------
    ParameterError
        For a notebook that is not there, a value no notebook declares, or a segment nobody is in.

    Notes
    -----
    A segment, or its name, asked for as the parameter that the fan-out fills: only that one's pages are made.
    """
    each = definition.for_each
    if each is None:
        return [job for job, _ in _plain(definition, asked, notebooks)]
    parameter = each.parameter or each.by.rpartition(".")[2]
    members = segments(book, each)
    only = _only_one(asked.pop(parameter), members, parameter) if parameter in asked else ""
    found, slugs = [], Counter(slug(shown) for _, shown in members)
    for job, known in _plain(definition, asked, notebooks):
        for value, shown in members:
            given = job.parameters | check({parameter: value}, known, job.source.stem)
            name = f"{job.name}-{slug(shown)}"
            if slugs[slug(shown)] > 1:  # all of them: a name must not pass to another once its owner has gone
                name = f"{name}-{hashlib.sha256(value.encode()).hexdigest()[:6]}"
            title = f"{job.title}: {' '.join(shown.split())}"  # a second line would be the page's own text
            made = {"name": name, "title": title, "parameters": given, "segment": shown, "segment_id": value}
            found.append(replace(job, **made, is_asked=only in ("", value)))
    return found


def _only_one(asked: Any, members: list[tuple[str, str]], parameter: str) -> str:
    """Find the one segment that is asked for."""
    found = [value for value, shown in members if str(asked) in (value, shown)]
    if not found:
        raise ParameterError(f"for_each: {unknown(parameter, str(asked), [shown for _, shown in members])}")
    if len(found) > 1:
        raise ParameterError(
            f"for_each: {parameter}={asked}: several have that name; write one's id: {listed(found)}"
        )
    return found[0]


def segments(book: Book, each: ForEach) -> list[tuple[str, str]]:
    """List the values to make pages for, and what people call them, in the order of their names.

    People and teams are those who carry a quota in the fiscal quarter of the as-of day, or have deals in it.

    Raises
    ------
    ParameterError
        For an unknown dimension, table or column, or where nothing is left.
    """
    table, _, column = each.by.rpartition(".")
    try:
        known = _values(book, each, table, column) if table else _dimension(book, each)
    except ParameterError as error:
        raise ParameterError(f"for_each: {error}") from error
    if not known:
        wanted = " and ".join(f"{name} is {value}" for name, value in each.where.items())
        raise ParameterError(f"for_each: there is no {each.by}{wanted and f' where {wanted}'} as of {book.day}.")
    return sorted(known.items(), key=lambda pair: (pair[1].casefold(), pair[0]))


def _values(book: Book, each: ForEach, table: str, column: str) -> dict[str, str]:
    rows = book.table(table)
    values = _kept(rows, each, table)[_column(rows, column, table)].dropna().astype(str)
    return {value: value for value in values}


def _dimension(book: Book, each: ForEach) -> dict[str, str]:
    from salesops_lib import facts

    members = facts.members(book, each.by, book.calendar.period("quarter", book.day))
    names = facts.names(book, each.by)
    known = {value: _shown(names.get(value), value) for value in members if value != facts.NOT_ASSIGNED}
    if each.where:
        table, column = OF_PEOPLE.get(each.by, ("deals", each.by))
        rows = facts.deals(book) if table == "deals" else book.table(table)
        kept = set(_kept(rows, each, table)[column])
        known = {value: name for value, name in known.items() if value in kept}
    return known


def _shown(name: Any, value: str) -> str:
    return name if isinstance(name, str) and name.strip() else value


def _kept(rows: pd.DataFrame, each: ForEach, of: str) -> pd.DataFrame:
    for column, wanted in each.where.items():
        values = wanted if isinstance(wanted, list) else [wanted]
        found = rows[_column(rows, column, of)]
        rows = rows[found.isin(values) | found.astype(str).isin([str(value) for value in values])]
    return rows


def _column(rows: pd.DataFrame, column: str, of: str) -> str:
    if column not in rows:
        raise ParameterError(unknown(f"column of {of}", column, rows.columns))
    return column


def slug(text: str) -> str:
    """Turn a name into a part of a file name: plain letters, digits and hyphens.

    >>> slug("../Süd & West")
    'sud-west'
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    made = re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")[:LONGEST_NAME].strip("-")
    return made or hashlib.sha256(text.encode()).hexdigest()[:8]


def _plain(
    definition: Definition, asked: dict[str, Any], notebooks: Path
) -> Iterator[tuple[Job, dict[str, Parameter]]]:
    """Check what is asked for against what the notebooks declare."""
    from salesops_lib.report.execute import title_of

    used, names, filled = {"as_of"}, set(), set()
    if definition.for_each:
        filled = {definition.for_each.parameter or definition.for_each.by.rpartition(".")[2]}
    for page in definition.notebooks:
        source = notebooks / f"{page.notebook}.ipynb"
        if not source.is_file():
            present = [path.stem for path in notebooks.glob("*.ipynb")]
            raise ParameterError(unknown("notebook", page.notebook, present))
        try:
            notebook = nbformat.read(source, as_version=4)
            known = declared(notebook, page.notebook)
        except (ValueError, SyntaxError) as error:
            raise RenderError(f"{source.name} cannot be read: {error}") from error
        names |= set(known)
        used |= set(asked) & set(known)
        shared, own = (_only(values, known) for values in (definition.parameters, asked))
        values = check(shared | page.parameters | own, known, page.notebook)
        for parameter in filled - set(known):
            raise ParameterError(f"for_each: {page.notebook}: {unknown('parameter', parameter, known)}")
        yield Job(source, page.file, say(page.title or title_of(notebook, page.file)), values), known
    unused = set(asked) - used
    if unused:
        raise ParameterError(f"{unknown('parameter', sorted(unused)[0], names)}; no notebook declares it.")


def _only(values: dict[str, Any], known: Iterable[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in known}
