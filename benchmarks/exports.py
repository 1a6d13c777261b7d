"""Write a snapshot out as the CSV files a warehouse would export, with the mapping that reads them back."""

import sys
from pathlib import Path

import duckdb
import yaml

from salesops_lib import tables
from salesops_lib.workspace import open_workspace

TABLES = ("users", "teams", "accounts", "stages", "opportunities", "opportunity_history")
BARE = "regexp_replace({0}, '^[a-z]+:', '') as {0}"  # the mapping puts the prefix back


def cell(column: tables.Column) -> str:
    """SQL for one column as text a program would write."""
    if column.kind == "id":
        return BARE.format(column.name)
    if column.name in ("old_value", "new_value"):
        return f"case when field in ('stage', 'owner', 'merged') then {BARE.format(column.name).split(' as ')[0]} else {column.name} end as {column.name}"  # noqa: E501
    if column.kind == "instant":
        return f"strftime({column.name} at time zone 'UTC', '%Y-%m-%dT%H:%M:%SZ') as {column.name}"
    return column.name


def write(workspace: str, folder: Path) -> None:
    """Write the current snapshot's `TABLES` and ``map.yaml`` into `folder`."""
    snapshot = open_workspace(workspace).snapshot()
    mapping = {
        "name": "warehouse", "id_prefix": "w", "date_order": "ymd", "decimal": ".",
        "extracted_at": str(snapshot.extracted_at.date()), "company": snapshot.manifest["company"], "tables": {},
    }  # fmt: skip
    for name in TABLES:
        columns = tables.table(name).columns
        chosen = ", ".join(cell(column) for column in columns)
        target = str(folder / f"{name}.csv")
        duckdb.execute(
            f"copy (select {chosen} from read_parquet($1)) to '{target}' (header)", [str(snapshot.file(name))]
        )
        mapping["tables"][name] = {"file": f"{name}.csv", "columns": {c.name: c.name for c in columns}}
    (folder / "map.yaml").write_text(yaml.safe_dump(mapping, sort_keys=False), encoding="utf-8")


if __name__ == "__main__":
    write(sys.argv[1], Path(sys.argv[2]))
