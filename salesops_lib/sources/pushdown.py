"""What the database itself leaves out: statements for canonical tables, and the queries of a mapping, with bounds.

Values are only ever bound as parameters; identifiers are quoted by the database's dialect.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from salesops_lib import tables
from salesops_lib.errors import ConfigError, ParameterError, unknown

# the instant from which a row exists
BEGINS = {
    "opportunities": "created_at", "accounts": "created_at", "leads": "created_at",
    "activities": "started_at", "opportunity_history": "changed_at",
}  # fmt: skip
RECENT = ("leads", "activities")  # `since` counts from their beginning; deals are bounded by their end
DEAL = "opportunities.opportunity_id"
LITERAL = r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$|--[^\n]*|/\*.*?\*/"
PIECES = re.compile(rf"(?s)(?P<literal>{LITERAL})|(?<![:\w\\]):(?P<parameter>[a-z_]\w*)", re.IGNORECASE)
PARAMETERS = ("as_of", "since")


@dataclass(frozen=True)
class Pushdown:
    """Builds the statement for each canonical table of a database.

    Parameters
    ----------
    catalog
        Columns by table, with the name of a type that cannot be compared with an instant.
    schema
        Where the tables are.
    bounds
        Which of ``since`` and ``until`` are given.
    """

    catalog: dict[str, dict[str, Any]]
    schema: str | None
    bounds: frozenset[str]

    def statement(self, spec: tables.Table, columns: list[str]):
        """Select these columns of a table, within the bounds, in order of its key.

        Raises
        ------
        ParameterError
            Where a bound would have to be compared with text.
        """
        import sqlalchemy as sa

        t = self._shape(spec.name, "t")
        chosen = [t.c[column] for column in columns]
        key = [t.c[column] for column in spec.key if column in columns]
        rules, begin = self._rules(t, spec), BEGINS.get(spec.name)
        if "until" not in self.bounds or begin not in columns:
            return sa.select(*chosen).where(*rules).order_by(*key)
        until = sa.bindparam("until")
        if spec.name != "opportunity_history":
            known = sa.or_(t.c[begin].is_(None), t.c[begin] <= until)
            return sa.select(*chosen).where(*rules, known).order_by(*key)
        # a field first changed later tells by its old value what it was until then
        e = self._shape(spec.name, "e")
        same = (e.c.opportunity_id == t.c.opportunity_id, e.c.field == t.c.field, e.c[begin] <= until)
        parts = (t.c[begin] <= until, sa.and_(t.c[begin] > until, ~sa.exists().where(*same)))
        both = sa.union_all(*(sa.select(*chosen).where(*rules, part) for part in parts))
        return both.order_by(*(sa.column(column.name) for column in key))

    def _shape(self, name: str, alias: str):
        import sqlalchemy as sa

        return sa.table(name, *map(sa.column, self.catalog[name]), schema=self.schema).alias(alias)

    def _rules(self, t, spec: tables.Table) -> list:
        """Rules for a table, beside that on its beginning."""
        import sqlalchemy as sa

        if self.bounds:
            self._refuse_text(spec.name)
        if spec.name == "opportunities":
            return self._of_deals(t)
        rules, deals = [], "opportunities" in self.catalog
        if deals and self.bounds and any(c.references == DEAL and c.required for c in spec.columns):
            rules.append(t.c.opportunity_id.in_(self._deals("opportunity_id")))
        if "since" in self.bounds and spec.name in RECENT:
            recent = [t.c[BEGINS[spec.name]] >= sa.bindparam("since")]
            if spec.name == "leads" and "lead_id" in self.catalog.get("opportunities", ()):
                recent.append(t.c.lead_id.in_(self._deals("lead_id")))
            rules.append(sa.or_(*recent))
        return rules

    def _deals(self, column: str):
        import sqlalchemy as sa

        d = self._shape("opportunities", "d")
        return sa.select(d.c[column]).where(*self._of_deals(d))

    def _of_deals(self, t) -> list:
        """Rules for deals: known by `until`, and still open at `since` or later."""
        import sqlalchemy as sa

        rules = []
        if "until" in self.bounds and "created_at" in t.c:
            rules.append(sa.or_(t.c.created_at.is_(None), t.c.created_at <= sa.bindparam("until")))
        if "since" in self.bounds and "closed_at" in t.c:
            rules.append(sa.or_(t.c.closed_at.is_(None), t.c.closed_at >= sa.bindparam("since")))
        return rules

    def _refuse_text(self, name: str) -> None:
        compared = {BEGINS.get(name), "closed_at" if name == "opportunities" else None}
        for column in compared & set(self.catalog[name]):
            if kind := self.catalog[name][column]:
                raise ParameterError(
                    f"{name}.{column} is held as {kind}, which no database compares with an instant. Load without "
                    "--since and --until, or write a mapping whose queries use :as_of and :since."
                )


def parse_query(query: str, where: str):
    """Check that a text is one reading statement; return it for SQLAlchemy, with the parameters it uses.

    Raises
    ------
    ConfigError
        For several statements, one that does more than read, or an unknown parameter.
    """
    import sqlalchemy as sa

    query = query.strip().rstrip(";").rstrip()
    bare = PIECES.sub(lambda hit: " " if hit["literal"] else hit[0], query)
    if ";" in bare or not re.match(r"[\s(]*(select|with)\b", bare, re.IGNORECASE):
        raise ConfigError(f"{where}: must be one statement that begins with SELECT or WITH.")
    names = {hit["parameter"] for hit in PIECES.finditer(query) if hit["parameter"]}
    for name in names - set(PARAMETERS):
        raise ConfigError(f"{where}: {unknown('parameter', f':{name}', [f':{known}' for known in PARAMETERS])}")

    def written(hit: re.Match) -> str:
        # in brackets, because SQLAlchemy misreads :as_of::date; a colon in a literal is none of its business
        return f"(:{hit['parameter']})" if hit["parameter"] else hit[0].replace(":", r"\:")

    return sa.text(PIECES.sub(written, query)), names
