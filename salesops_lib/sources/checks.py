"""What can be checked only once a table is whole: doubled keys and references that match nothing."""

from __future__ import annotations

from collections.abc import Iterator

from salesops_lib import tables
from salesops_lib.sources.convert import finding
from salesops_lib.sources.staging import Stage


def table_of(name: str) -> tables.Table:
    """The canonical table that a staged one will be; ``opportunities_0`` is an earlier export's."""
    return tables.table(name if name in tables.TABLES else name.rpartition("_")[0])


def drop_doubled(stage: Stage, db, name: str, label: str) -> None:
    """Keep the first row of each key; later ones fold where their section derives, else they are quarantined."""
    key = table_of(name).key
    columns = ", ".join(f'"{column}"' for column in key)
    db.execute(f"""
        create or replace temp table suspects as
        select hash({columns}) h from "{name}" group by h having count(*) > 1
    """)
    if not db.execute("select count(*) from suspects").fetchall()[0][0]:
        return
    db.execute(f"""
        create or replace temp table doubled as
        select place, {columns} from (
            select place, {columns}, row_number() over (partition by {columns} order by place) nth
            from "{name}" where hash({columns}) in (from suspects)
        ) where nth > 1
    """)
    shown = " || ' | ' || ".join(f"coalesce(\"{column}\"::varchar, '')" for column in key)
    aside = db.execute(f"""
        select file, '{label}' "table", row, '{", ".join(key)}' "column", {shown} "value",
            'duplicate key; the first row is kept' reason
        from doubled join "{name}_origin" using (place) where not fold order by place
    """).df()
    folded = db.execute(f'select count(*) from doubled join "{name}_origin" using (place) where fold').fetchall()[
        0
    ][0]
    stage.set_aside(aside, f"quarantine-{name}")
    stage.close()
    if folded:
        stage.folded.add(name)
    if folded or len(aside):
        stage.rewrite(
            db, name, f'select * from "{name}" where place not in (select place from doubled) order by place'
        )


def unmatched_references(stage: Stage, db) -> Iterator[dict]:
    """Count the rows whose reference points at no row; they are kept.

    Yields
    ------
    dict
        `kind`, `file` (empty), `table`, `column`, `value` (up to three examples), `n`.
    """
    for name in [n for n in tables.TABLES if n in stage.names]:
        for column in tables.table(name).columns:
            target, _, key = column.references.partition(".")
            if target not in stage.names:
                continue
            rows = db.execute(f"""
                select "{column.name}", count(*), min(place) first from "{name}"
                where "{column.name}" is not null and "{column.name}" not in (select "{key}" from "{target}")
                group by 1 order by first
            """).fetchall()
            if rows:
                shown = ", ".join(value for value, _, _ in rows[:3])
                n = sum(n for _, n, _ in rows)
                yield finding("unmatched reference", table=name, column=column.name, value=shown, n=n)
