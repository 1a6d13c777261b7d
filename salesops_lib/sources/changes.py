"""Sources of history: rows that are changes, saved states of a deal, columns that date the entry into a stage."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pandas as pd

from salesops_lib import tables
from salesops_lib.sources import parse
from salesops_lib.sources.convert import DATES, NUMBERS, QUARANTINE, Converter, told
from salesops_lib.sources.mapping import HISTORY, MADE
from salesops_lib.sources.read.raw import TEXT
from salesops_lib.sources.section import ColumnMap, Section

VALUES = ("old_value", "new_value")
END = "end"  # a status that stands beside the stage: closed as which stage, or open again; `derive` folds it in
FIELD_KINDS = {name: tables.OPPORTUNITIES[column].kind for name, column in tables.TRACKED.items()} | {END: "id"}


def converter_for(name: str, section: Section, *given) -> Converter:
    """Make the converter for a section of a table."""
    if name != HISTORY:
        return Converter(tables.table(name), section, *given)
    if section.changes == "states":
        return Converter(tables.STATES, section, *given)
    kind = EnteredConverter if section.changes == "entered" else ChangeConverter
    return kind(tables.OPPORTUNITY_HISTORY, section, *given)


class ChangeConverter(Converter):
    """Rows that are changes: what a value means depends on the field that its row speaks of."""

    made = MADE[HISTORY]

    def _kinds_of(self, name: str) -> list[tuple[str, str]]:
        if name not in VALUES:
            return super()._kinds_of(name)
        return [(f"{name}:{field}", kind) for field, kind in FIELD_KINDS.items() if kind in DATES + NUMBERS]

    def _read_for(self, key: str) -> list[str]:
        name, mark, _ = key.partition(":")
        return [*self.columns[name].sources, *(self.columns["field"].sources if mark else ())]

    def _named(self, key: str) -> list[str]:
        return super()._named(key.partition(":")[0])

    def _reader(self, rows: pd.DataFrame) -> Callable[[str], pd.Series]:
        spoken = self._fields(rows)

        def cells(key: str) -> pd.Series:
            name, mark, field = key.partition(":")
            chosen = rows[spoken.eq(field).fillna(False).astype(bool)] if mark else rows
            return self._cells(chosen, self.columns[name])

        return cells

    def _fields(self, rows: pd.DataFrame) -> pd.Series:
        """The history field that each row speaks of."""
        links = self.columns["field"].links
        told = [self._translate(self._link(rows, one), self.spec["field"], one, silent=True) for one in links]
        return parse.first_filled(told)

    def _shape(self, frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Bring old and new values to the one form that each field has; leave out fields that are not tracked."""
        frame = self._owners_by_id(frame)
        tracked = frame["field"].isin(list(FIELD_KINDS)) | frame["field"].isna()
        if not tracked.all():
            for name, n in frame["field"][~tracked].value_counts().items():
                self.notice("change of a field not tracked", "field", str(name), n)
            self.left_out += int((~tracked).sum())
            frame = frame[tracked]
        made = {"seq": frame.index, "is_bulk": False, "origin": self.section.origin}
        frame = frame.assign(**{name: value for name, value in made.items() if name not in frame})
        bad = []
        codes, spoken = pd.factorize(frame["field"])
        for column in [name for name in VALUES if name in frame]:
            for code, history_field in enumerate(spoken):
                kind = FIELD_KINDS[history_field]
                mask = codes == code
                cells = frame[column][mask]
                values = self._as_text(cells, f"{column}:{history_field}", kind, self.columns[column])
                if values is not cells:
                    bad.append(told(cells, cells.notna() & values.isna(), column, f"not {tables.WORDS[kind]}"))
                    frame[column] = parse.put(frame[column], mask, values)
        empty = pd.DataFrame(columns=["row", "column", "value", "reason"])
        return frame, pd.concat([part for part in bad if len(part)] or [empty])

    def _owners_by_id(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Leave out changes of owner that are told by name, where the mapping says how ids begin."""
        start = self.section.owner_ids
        if start is None or "new_value" not in frame:
            return frame
        named = frame["field"].eq("owner") & frame["new_value"].notna() & ~frame["new_value"].str.startswith(start)
        named = named.fillna(False).astype(bool)
        if named.any():
            self.notice("change of owner told by name", "field", "owner", int(named.sum()))
            self.left_out += int(named.sum())
        return frame[~named]

    def _as_deals_say(self, cells: pd.Series, field: str, spec: ColumnMap) -> pd.Series:
        """Rename the values of an enumeration as the deals' own column does; list those nobody knows."""
        column = tables.OPPORTUNITIES[tables.TRACKED[field]]
        sections = self.mapping.tables.get("opportunities", ())
        known = {}
        for one in (spec, *(s.columns[column.name] for s in sections if column.name in s.columns)):
            for link in one.links:
                known = (link.map or {}) | known
        renamed = cells.map(known).astype(TEXT).fillna(cells) if known else cells
        strangers = renamed[renamed.notna() & ~renamed.isin(column.values)]
        for value, n in strangers.value_counts().items():
            self.notice("unmapped value", field, value, n)
        return renamed

    def _as_text(self, cells: pd.Series, key: str, kind: str, spec: ColumnMap) -> pd.Series:
        """Write the values of one field as the contract does: ids with prefix, ISO days, plain decimals."""
        if kind == "id":
            return self._id(cells)
        if parse.is_canonical(cells, kind) and not (kind == "share" and any(x.factor != 1 for x in spec.links)):
            return cells
        if kind == "enum":
            return self._as_deals_say(cells, key.partition(":")[2], spec)
        if kind == "date":
            return (
                parse.to_date(cells, self.readings.get(key, "ymd"), self.calendar)
                .dt.strftime("%Y-%m-%d")
                .astype(TEXT)
            )
        if kind == "flag":
            return parse.to_flag(cells).map({True: "true", False: "false"}).astype(TEXT)
        if kind in ("money", "share"):
            exact = parse.to_number(cells, self.readings.get(key, "."))
            if kind == "share":
                exact = parse.times(
                    exact, next((link.factor for link in spec.links if link.factor != 1), Decimal(1))
                )
                return exact.where(exact.astype("float64").between(0, 1)).astype("float64").astype(TEXT)
            return parse.to_money(exact).astype(TEXT)
        return cells


class EnteredConverter(Converter):
    """One column a stage, with the instant at which the deal entered it."""

    made = (*MADE[HISTORY], "field", "changed_at")

    def _kinds_of(self, name: str) -> list[tuple[str, str]]:
        return [(f"entered:{column}", "instant") for column in self.entered] if name == "opportunity_id" else []

    def _read_for(self, key: str) -> list[str]:
        return [key.removeprefix("entered:")]

    _named = _read_for

    def _reader(self, rows: pd.DataFrame) -> Callable[[str], pd.Series]:
        return lambda key: self._stamps(rows, key.removeprefix("entered:"))

    def _stamps(self, rows: pd.DataFrame, column: str) -> pd.Series:
        return self._emptied(rows[column], ColumnMap(**{"from": column}))

    def convert(self, rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Turn one column a stage into one row a stage entered."""
        rows = self._chosen(rows)
        deals = self._id(self._cells(rows, self.columns["opportunity_id"]))
        kept, bad = [], []
        for column, stage in self.entered.items():
            cells = self._stamps(rows, column)
            order = self.readings.get(f"entered:{column}", "ymd")
            stamps = parse.to_instant(cells, order, self.calendar, self._utc(ColumnMap(**{"from": column})))
            bad.append(told(cells, cells.notna() & stamps.isna(), column, "not a date and time"))
            kept.append(pd.DataFrame({
                "opportunity_id": deals, "changed_at": stamps, "field": "stage", "seq": 0, "old_value": None,
                "new_value": f"{self.mapping.id_prefix}:{stage}", "is_bulk": False, "origin": self.section.origin,
            })[stamps.notna() & deals.notna()])  # fmt: skip
        aside = pd.concat(bad).drop_duplicates("row").assign(file=self.raw.name, table=self.spec.name)[QUARANTINE]
        frame = tables.conform(pd.concat(kept).sort_index(kind="stable"), self.spec)
        return frame[~frame.index.isin(aside["row"])], aside
