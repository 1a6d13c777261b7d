"""The SQL source against a real PostgreSQL, and against SQLite for every other database."""

import json
import os
import sqlite3
import subprocess
import sys
from decimal import Decimal
from urllib.parse import quote, quote_plus

import keyring
import pandas as pd
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from salesops_lib import tables
from salesops_lib.cli import main
from salesops_lib.config import load_settings
from salesops_lib.errors import ConfigError, DataContractError, LossLimitExceeded, ParameterError
from salesops_lib.frames import to_arrow
from salesops_lib.sources import load
from salesops_lib.sources.credentials import find_address
from salesops_lib.sources.mapping import read_mapping
from salesops_lib.sources.pushdown import parse_query
from tests.conftest import make_workspace
from tests.postgres import PASSWORD, Server, running

pytestmark = pytest.mark.xdist_group("postgres")
PROVENANCE = [column.name for column in tables.PROVENANCE]
UNTIL, SINCE = "2026-03-31", "2025-01-01"


@pytest.fixture(scope="session")
def server():
    with running() as found:
        yield found


@pytest.fixture(scope="session")
def sales(server, frames) -> Server:
    """The sample company as canonical tables in the schema `sales`."""
    import adbc_driver_postgresql.dbapi

    server.run("create schema sales")
    with adbc_driver_postgresql.dbapi.connect(server.url()) as connection, connection.cursor() as cursor:
        for name, frame in frames.items():
            rows = to_arrow(frame.drop(columns=PROVENANCE), name)
            cursor.adbc_ingest(name, rows, mode="create", db_schema_name="sales")
        connection.commit()
    return server


@pytest.fixture
def at(monkeypatch):
    """Point the default environment variable at a URL."""
    return lambda url: monkeypatch.setenv("SALESOPS_DB_URL", url)


def same(found, expected, name):
    key = list(tables.table(name).key)
    found, expected = (
        frame.drop(columns=PROVENANCE, errors="ignore").sort_values(key, ignore_index=True)
        for frame in (found, expected)
    )
    pd.testing.assert_frame_equal(found, expected, check_exact=True)


def mapped(tmp_path, queries: dict, sections: dict, **more) -> str:
    """Write a mapping; YAML takes JSON."""
    path = tmp_path / "warehouse.yaml"
    head = {"name": "wh", "id_prefix": "wh", "company": {"currency": "EUR", "timezone": "Europe/Berlin"}}
    path.write_text(json.dumps({**head, **more, "queries": queries, "tables": sections}), encoding="utf-8")
    return str(path)


def products(tmp_path, query: str, columns: dict | None = None) -> str:
    columns = columns or {"product_id": "id", "name": "name", "list_price": "price"}
    return mapped(tmp_path, {"p": query}, {"products": {"file": "p", "columns": columns}})


# -- canonical-shaped ----------------------------------------------------------------------------------


@pytest.mark.parametrize("driver", ["", "+psycopg"])
def test_canonical_tables_come_as_they_are(sales, at, tmp_path, sample_ws, driver):
    at(sales.url(driver=driver))
    make_workspace(tmp_path, "source: {kind: sql, schema: sales}\n")
    done = CliRunner().invoke(main, ["load", "sql", "-w", str(tmp_path), "--json"])
    assert done.exit_code == 0, done.output
    ws = make_workspace(tmp_path, "source: {kind: sql, schema: sales}\n")
    snapshot, expected = ws.snapshot(), sample_ws.snapshot()
    assert set(snapshot.tables) == set(expected.tables)
    for name in snapshot.tables:
        same(snapshot.read(name), expected.read(name), name)
    assert len(snapshot.findings()) == 0
    assert snapshot.quarantine().empty
    again = ws.ingest()  # as salesops.yaml says
    assert again.id == snapshot.id, "asking again must change nothing"


def test_one_read_only_instant_and_no_commit(sales, at):
    at(sales.url())
    with sales.watched() as heard:
        loaded = load("sql", schema="sales", timeout_s=77)
    assert "set transaction isolation level repeatable read, read only" in heard[0]
    assert "'statement_timeout', $2 = '77s'" in heard[0]
    assert "COMMIT" not in heard[0].upper().replace("COMMITTED", "")
    with sales.connect() as connection:
        (now,) = connection.execute("select now()").fetchone()
    assert abs(loaded.extracted_at - pd.Timestamp(now)) < pd.Timedelta(minutes=2)
    assert loaded.extraction == "database clock"


def test_bounds_are_parameters_of_what_the_server_runs(sales, at):
    at(sales.url())
    with sales.watched() as heard:
        loaded = load("sql", schema="sales", until=UNTIL, since=SINCE, company=None)
    statements = [part for part in heard[0].split("LOG:") if "declare fetched" in part]
    by_table = {name: next(s for s in statements if f"sales.{name} AS t" in s) for name in loaded.tables}
    assert "t.changed_at <= $1" in by_table["opportunity_history"]
    assert "t.started_at >= $1" in by_table["activities"]
    assert "t.started_at <= $2" in by_table["activities"]
    for name in ("opportunities", "accounts", "leads"):
        assert "t.created_at IS NULL OR t.created_at <= $" in by_table[name]
    for statement in statements:
        sql, _, detail = statement.partition("DETAIL:")
        assert "2026-03-31" not in sql, "a value was written into a statement"
        assert ("$1" in sql) == ("$1 = '202" in detail)


def test_a_bounded_load_sends_only_what_is_asked_for(sales, at, frames):
    at(sales.url())
    loaded = load("sql", schema="sales", until=UNTIL, since=SINCE)
    first, last = pd.Timestamp(SINCE, tz="UTC"), pd.Timestamp(UNTIL, tz="UTC") + pd.Timedelta(days=1)
    deals = frames["opportunities"]
    deals = deals[(deals["created_at"] < last) & (deals["closed_at"].isna() | (deals["closed_at"] >= first))]
    assert set(loaded.tables["opportunities"]["opportunity_id"]) == set(deals["opportunity_id"])
    acts = frames["activities"]
    acts = acts[acts["started_at"].between(first, last, inclusive="left")]
    records = loaded.report.set_index("table")["records"]
    assert records["activities"] == len(acts) < len(frames["activities"]) / 2
    assert records["opportunity_history"] < len(frames["opportunity_history"]) * 0.6
    history = loaded.tables["opportunity_history"]
    assert set(history["opportunity_id"]) <= set(deals["opportunity_id"])
    assert {"not loaded: from before", "not loaded: from after"} <= set(loaded.findings["kind"])
    refs = loaded.findings[loaded.findings["kind"].eq("unmatched reference")]
    assert not ({"lead_id"} & set(refs[refs["table"].eq("opportunities")]["column"]))


def test_a_load_until_a_day_shows_the_company_of_that_day(sales, at, tmp_path, sample_ws):
    at(sales.url())
    ws = make_workspace(
        tmp_path, "source: {kind: sql, schema: sales}\ncompany: {currency: EUR, timezone: Europe/Berlin}\n"
    )
    snapshot = ws.ingest("sql", until=UNTIL)
    cut, whole = ws.book(), sample_ws.book(UNTIL)
    assert snapshot.until == cut.as_of == cut.known_until == whole.as_of
    for name in ("opportunities", "opportunity_history", "activities", "leads", "accounts"):
        same(cut.table(name), whole.table(name), name)


def test_a_field_first_changed_later_keeps_the_value_it_had(server, at):
    server.run(
        "drop schema if exists late cascade", "create schema late",
        """create table late.opportunities as select 'x:1' opportunity_id, 'x:p' pipeline_id, 'x:won' stage_id,
            'EUR' currency, 999.00 amount, timestamptz '2026-01-01' created_at, true is_closed, true is_won,
            timestamptz '2026-02-01' closed_at, false is_deleted""",
        """create table late.opportunity_history as select 'x:1' opportunity_id,
            timestamptz '2026-02-01' changed_at, unnest(array['amount', 'stage']) field,
            unnest(array['100.00', 'x:open']) old_value,
            unnest(array['999.00', 'x:won']) new_value, 0 seq, false is_bulk, 'native' origin""",
    )  # fmt: skip
    at(server.url())
    loaded = load("sql", schema="late", until="2026-01-15")
    from salesops_lib.history import state

    then = state(loaded.tables["opportunities"], loaded.tables["opportunity_history"], loaded.until)
    assert then[["stage_id", "amount", "is_won"]].iloc[0].tolist() == ["x:open", Decimal("100.00"), False]


def test_times_without_a_zone_are_company_time(server, at):
    server.run(
        "drop schema if exists bare cascade", "create schema bare",
        """create table bare.activities as select 'x:' || n activity_id, 'call' as type, false is_automated,
            true is_external, false is_first_meeting,
            timestamp '2026-03-31 23:30' + n * interval '1 hour' started_at from generate_series(0, 1) n""",
    )  # fmt: skip
    at(server.url())
    from salesops_lib.config import CompanySettings

    loaded = load("sql", schema="bare", until=UNTIL, company=CompanySettings(timezone="America/New_York"))
    assert loaded.tables["activities"]["started_at"].astype(str).tolist() == ["2026-04-01 03:30:00+00:00"]


def test_what_a_canonical_table_lacks_is_said(server, at):
    server.run("drop schema if exists thin cascade", "create schema thin", "create table thin.teams (teamid text)")
    at(server.url())
    with pytest.raises(DataContractError, match=r"teams: unknown column 'team_id'. Did you mean 'teamid'"):
        load("sql", schema="thin")
    with pytest.raises(
        DataContractError, match=r"none of the canonical tables.*schema 'nowhere'.*docs/sources.md"
    ):
        load("sql", schema="nowhere")
    server.run(
        "alter table thin.teams rename teamid to team_id",
        "alter table thin.teams add name text, add colour text, add region varchar",
    )
    loaded = load("sql", schema="thin")
    assert len(loaded.tables["teams"]) == 0
    assert loaded.findings[["kind", "file", "column"]].values.tolist() == [["column not read", "teams", "colour"]]


# -- mapped --------------------------------------------------------------------------------------------

HOSTILE = [
    'O\'Neil "&" Söhne',
    '=HYPERLINK("http://x")',
    "🚀 Δ 漢字",
    "a,b;c\td",
    "two\nlines",
    "$1 :as_of %s",
    "NULLs",
]


def test_a_mapped_query_with_a_join_hostile_text_and_exact_numbers(server, at, tmp_path):
    server.run("drop schema if exists wh cascade", "create schema wh",
               "create table wh.items (id uuid default gen_random_uuid(), n int, label text, price numeric)",
               "create table wh.families (n int, family jsonb, since timestamp)")  # fmt: skip
    with server.connect() as connection:
        for n, label in enumerate(HOSTILE):
            price = Decimal("90071992547409.93") + n
            connection.execute("insert into wh.items (n, label, price) values (%s, %s, %s)", (n, label, price))
            connection.execute("insert into wh.families values (%s, '{\"f\": 1}', '2026-01-01')", (n,))
    query = """
        select i.id, i.label as name, i.price, f.family -- 'a comment; with :marks
        from wh.items i join wh.families f using (n)
        where ':as_of; $$' <> i.label and f.since <= :as_of and f.since >= :since::timestamptz
            and i.label not like '%nothing%' and f.family ? 'f' order by n;
    """
    columns = {"product_id": "id", "name": "name", "list_price": "price", "family": "family"}
    where = products(tmp_path, query, columns)
    for driver in ("", "+psycopg"):
        at(server.url(driver=driver))
        found = load("sql", mapping=where).tables["products"]
        assert found["name"].tolist() == HOSTILE
        assert found["list_price"].tolist() == [Decimal("90071992547409.93") + n for n in range(len(HOSTILE))]
        assert found["product_id"].str.fullmatch("wh:[0-9a-f-]{36}").all()
        assert found["family"].str.replace(" ", "").eq('{"f":1}').all()
    assert len(load("sql", mapping=where, until="2025-12-31").tables["products"]) == 0
    with pytest.raises(ParameterError, match="until is given, but no query uses :as_of"):
        load("sql", mapping=products(tmp_path, "select 'a' as id, 'b' as name, 1 as price"), until=UNTIL)


def test_typed_columns_are_never_weighed_and_text_ones_are(server, at, tmp_path):
    at(server.url())
    typed = "select '1' as id, 'a' as name, 1.234::numeric as price"  # as text, 1.234 might be a thousand
    assert load("sql", mapping=products(tmp_path, typed)).tables["products"]["list_price"][0] == Decimal("1.23")
    with pytest.raises(DataContractError, match="p, column 'price' is ambiguous"):
        load("sql", mapping=products(tmp_path, typed.replace("numeric", "text")))


@pytest.mark.parametrize(
    ("value", "says"),
    [("1.5::money", "price::numeric"), ("'10.0.0.1'::inet", "price::text"), ("'1 day'::interval", "price::text")],
)
def test_types_without_a_plain_value_are_refused(server, at, tmp_path, value, says):
    at(server.url())
    with pytest.raises(DataContractError, match=f"p: column 'price'.*{says}"):
        load("sql", mapping=products(tmp_path, f"select 1 as id, 'a' as name, {value} as price"))


LONG = "12345678901234567890.123456789"


def test_every_type_with_a_plain_value_comes_exactly(server, at, tmp_path):
    server.run("drop type if exists mood cascade", "create type mood as enum ('sad', 'fine')",
               "create extension if not exists citext")  # fmt: skip
    values = {
        "'fine'::mood": "fine", "'X'::citext": "X", f"{LONG}::numeric": LONG,
        "0.1::float8": "0.1", "9007199254740993::bigint": "9007199254740993", "true": "true", "null::text": None,
        "timestamptz '2026-01-01 00:30+02'": "2025-12-31 22:30:00.000000Z", "date '2026-02-28'": "2026-02-28",
        "timestamp '2026-01-01 00:30'": "2026-01-01 00:30:00.000000", "' x '::char(4)": "x",
    }  # fmt: skip
    at(server.url())
    for value, expected in values.items():
        where = products(
            tmp_path,
            f"select 1 as id, 'a' as name, {value} as f",
            {"product_id": "id", "name": "name", "family": "f"},
        )
        (found,) = load("sql", mapping=where).tables["products"]["family"].astype(object)
        assert (None if found is pd.NA else found) == expected, value


def test_infinity_is_set_aside_not_misread(server, at, tmp_path):
    at(server.url())
    query = "select 1 as id, 'a' as name, 'infinity'::timestamptz as at, 1 as owner"
    where = mapped(tmp_path, {"a": query}, {"activities": {"file": "a", "columns": {
        "activity_id": "id", "type": {"const": "call"}, "started_at": "at", "is_automated": {"const": False},
        "is_external": {"const": True}, "is_first_meeting": {"const": False}}}})  # fmt: skip
    with pytest.raises(LossLimitExceeded, match="not a date and time"):
        load("sql", mapping=where)


def test_a_mirror_of_a_crm_is_read_through_its_mapping(server, at, tmp_path):
    server.run("drop schema if exists sf cascade", "create schema sf",
               """create table sf.user as select '005A0000001abcd' as id, 'Ann' as name, 'ann@x.de' as email,
                   true as isactive""")  # fmt: skip
    at(server.url())
    path = tmp_path / "mirror.yaml"
    path.write_text("{name: mirror, extends: salesforce, queries: {User: 'select * from sf.user'}}")
    users = load("sql", mapping=path).tables["users"]
    assert users["user_id"].str.startswith("sf:005A0000001abcd").all()
    assert users["name"].tolist() == ["Ann"]


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("select 1; drop table x", "one statement"),
        ("delete from x", "begins with SELECT or WITH"),
        ("", "begins with SELECT"),
        ("select :until as x", "unknown parameter ':until'. .*Known: :as_of, :since"),
        ("select 'it''s' || $a$;$a$ ; select 2", "one statement"),
    ],
)
def test_queries_that_are_refused(query, says):
    with pytest.raises(ConfigError, match=f"here: .*{says}"):
        parse_query(query, "here")


def test_a_query_may_only_read(server, at, tmp_path):
    at(server.url())
    server.run("drop table if exists public.target", "create table public.target (id int)")
    writing = (
        "with w as (insert into target values (1) returning 1 as id) select id, 'a' as name, 1 as price from w"
    )
    for driver in ("", "+psycopg"):
        at(server.url(driver=driver))
        with pytest.raises(DataContractError, match="p: the database says"):
            load("sql", mapping=products(tmp_path, writing))
    with server.connect() as connection:
        assert connection.execute("select count(*) from public.target").fetchone() == (0,)


def test_a_mapping_without_the_query_says_so(server, at, tmp_path):
    at(server.url())
    where = mapped(
        tmp_path, {"pp": "select 1"}, {"products": {"file": "p", "columns": {"product_id": "a", "name": "b"}}}
    )
    with pytest.raises(ConfigError, match=r"unknown query 'p'. Did you mean 'pp'"):
        load("sql", mapping=where)
    with pytest.raises(DataContractError, match=r"p.*unknown column 'price'. Did you mean 'prices'"):
        load("sql", mapping=products(tmp_path, "select 1 as id, 'a' as name, 2 as prices"))
    with pytest.raises(DataContractError, match="p, row 1: column 'id' stands twice"):
        load("sql", mapping=products(tmp_path, "select 1 as id, 'a' as name, 2 as id"))
    with pytest.raises(ParameterError, match="not a folder"):
        load("sql", tmp_path)
    with pytest.raises(ParameterError, match="Did you mean 'schema'"):
        load("sql", shema="x")


# -- credentials ---------------------------------------------------------------------------------------

WRONG = "sentinel/9§f:x@2#"
FORMS = {
    form for word in (WRONG, PASSWORD) for form in (word, quote(word), quote(word, safe=""), quote_plus(word))
}
TROUBLE = {
    "password": ({"password": WRONG}, None, "refuses the user name or the password"),
    "user": ({"user": "stranger"}, None, "refuses the user name or the password"),
    "host": ({"host": "no-such-host.invalid"}, None, "host name is not known"),
    "port": ({"port": 1}, None, "nothing answers"),
    "database": ({"database": "nope"}, None, "no such database"),
    "table": ({}, "select 1 as id, 'a' as name, 1 as price from nope", 'relation "nope" does not exist'),
    "column": ({}, "select nope as id, 'a' as name, 1 as price", 'column "nope" does not exist'),
    "syntax": ({}, "select from where", "syntax error"),
    "timeout": ({}, "select 1 as id, pg_sleep(9)::text as name, 1 as price", "raise timeout_s"),
    "value": ({}, f"select 1 as id, ('{PASSWORD}' || 'x')::int::text as name, 1 as price", "invalid input syntax"),
}  # fmt: skip


@pytest.mark.parametrize("driver", ["", "+psycopg"])
@pytest.mark.parametrize("case", TROUBLE)
def test_trouble_is_told_without_the_secret(server, at, tmp_path, monkeypatch, caplog, capfd, case, driver):
    given, query, says = TROUBLE[case]
    url = server.url(driver=driver, **given)
    at(url)
    monkeypatch.setenv("SALESOPS_DEBUG", "1")
    make_workspace(tmp_path, "source: {kind: sql, timeout_s: 1}\n")
    command = ["load", "sql", "-w", str(tmp_path), "--json"]
    if query:
        command += ["--map", products(tmp_path, query)]
    done = CliRunner().invoke(main, command)
    written = done.output + caplog.text + "".join(capfd.readouterr())
    assert done.exit_code in (2, 3), written
    assert says in written
    for form in {*FORMS, url}:
        assert form not in written, form


def test_no_secret_reaches_a_snapshot(sales, tmp_path):
    make_workspace(tmp_path, "source: {kind: sql, schema: sales}\n")
    done = subprocess.run(
        [sys.executable, "-m", "salesops_lib", "load", "-w", str(tmp_path)], capture_output=True, text=True,
        check=False, env={**os.environ, "SALESOPS_DB_URL": sales.url()},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    files = [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
    told = [path.read_text() for path in files if path.suffix != ".parquet"] + [done.stdout, done.stderr]
    for path in (path for path in files if path.suffix == ".parquet"):
        rows = pq.read_table(path)
        told += [str(rows.schema.metadata), str(pq.read_metadata(path).metadata)]
        told += [str(value) for k in range(rows.num_columns) for value in rows.column(k).unique().to_pylist()]
    told = "\n".join(told)
    assert "sample:o0000001" in told
    for form in {*FORMS, sales.url(), f":{sales.port}"}:
        assert form not in told, form


def test_an_address_does_not_show_itself(monkeypatch):
    url = f"mysql+pymysql://me:{quote(WRONG, safe='')}@h/d?ssl_token=hu%24h"
    monkeypatch.setenv("SALESOPS_DB_URL", url)
    address = find_address()
    assert WRONG not in repr(address) + str(address)
    said = f"cannot open {url} with {WRONG} or {quote(WRONG)} or {quote_plus(WRONG)}, token hu$h hu%24h"
    assert address.scrub(said) == "cannot open … with … or … or …, token … …"


@pytest.mark.parametrize(
    "url", ["postgresql://me:p@ss@host/db", "postgresql://me:a/b@host/db", "nothing", "postgres:x"]
)
def test_a_malformed_url_is_not_quoted(monkeypatch, url):
    monkeypatch.setenv("SALESOPS_DB_URL", url)
    with pytest.raises(ConfigError, match="SALESOPS_DB_URL holds no URL such as") as caught:
        find_address()
    assert "p@ss" not in str(caught.value)
    if "@" in url:
        with pytest.raises(ConfigError, match="name of an environment variable") as caught:
            find_address(url)
        assert url not in str(caught.value)


def test_without_a_url_the_message_says_where_to_put_it(monkeypatch):
    monkeypatch.delenv("SALESOPS_DB_URL", raising=False)
    with pytest.raises(ConfigError, match=r"SALESOPS_DB_URL is not set.*keyring"):
        load("sql")


class Drawer(keyring.backend.KeyringBackend):
    priority = 1
    held: dict = {}

    def get_password(self, service, username):
        return self.held.get((service, username))

    def set_password(self, service, username, password): ...

    def delete_password(self, service, username): ...


def test_a_keyring_holds_the_url_or_the_password(server, monkeypatch, tmp_path):
    before = keyring.get_keyring()
    keyring.set_keyring(Drawer())
    entry = {"service": "salesops", "username": "warehouse"}
    where = products(tmp_path, "select 1 as id, 'a' as name, 1 as price")
    try:
        monkeypatch.delenv("SALESOPS_DB_URL", raising=False)
        with pytest.raises(ConfigError, match="keyring set salesops warehouse"):
            load("sql", mapping=where, keyring=entry)
        Drawer.held = {("salesops", "warehouse"): server.url()}
        assert len(load("sql", mapping=where, keyring=entry).tables["products"]) == 1
        Drawer.held = {("salesops", "warehouse"): PASSWORD}
        monkeypatch.setenv("SALESOPS_DB_URL", f"postgresql://keeper@127.0.0.1:{server.port}/postgres")
        ws = make_workspace(tmp_path / "ws", f"source: {{kind: sql, keyring: {json.dumps(entry)}}}\n")
        assert len(ws.load("sql", mapping=where).tables["products"]) == 1
    finally:
        keyring.set_keyring(before)


@pytest.mark.parametrize(
    "text",
    [
        "source: {kind: sql, url: 'postgresql://u:hush@h/d'}",
        "source: {kind: sql, url_env: 'postgresql://u:hush@h/d'}",
        "source: {kind: sql, paths: 'postgresql://u:hush@h/d'}",
        "source: {kind: sql, password: hush}",
        "source: {kind: sql, keyring: {service: s, username: u, password: hush}}",
        "warehouse: {dsn: 'host=h password=hush'}",
        "warehouse: ['host=h password=hush']",
    ],
)
def test_a_secret_in_salesops_yaml_is_refused_and_not_shown(tmp_path, text):
    (tmp_path / "salesops.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"salesops.yaml.*a file is no place.*SALESOPS_DB_URL") as caught:
        load_settings(tmp_path / "salesops.yaml")
    assert "hush" not in str(caught.value)


def test_a_secret_in_broken_yaml_or_a_mapping_is_not_shown(tmp_path):
    (tmp_path / "salesops.yaml").write_text("source: {kind: sql,\n url: postgresql://u:hush@h/d: [")
    with pytest.raises(ConfigError, match="not valid YAML: line 2") as caught:
        load_settings(tmp_path / "salesops.yaml")
    assert "hush" not in str(caught.value)
    for text in ("{name: m, url: hush}", "{name: m, queries: {a: 'select dblink(''postgresql://u:hush@h'')'}}"):
        (tmp_path / "m.yaml").write_text(text)
        with pytest.raises(ConfigError, match=r"m.yaml.*no place") as caught:
            read_mapping(tmp_path / "m.yaml")
        assert "hush" not in str(caught.value)


@pytest.mark.parametrize("absent", ["sqlalchemy", "adbc_driver_postgresql", "adbc_driver_postgresql.dbapi"])
def test_absent_packages_are_named(server, at, monkeypatch, absent):
    at(server.url())
    monkeypatch.setitem(sys.modules, absent, None)
    with pytest.raises(ConfigError, match=r"pip install 'salesops-workbench\[sql\]'"):
        load("sql", schema="sales")


# -- any other database --------------------------------------------------------------------------------


def test_sqlite_tables_and_queries(at, tmp_path, frames):
    path = tmp_path / "crm.db"
    with sqlite3.connect(path) as db:
        for name in ("users", "teams", "accounts"):
            frame = frames[name].drop(columns=PROVENANCE)
            frame.astype(object).where(frame.notna(), None).map(plain).to_sql(name, db, index=False)
        db.execute("create table deals (id integer, label text, price decimal, sold datetime)")
        db.execute(
            "insert into deals values (1, 'x', 1.5, '2026-01-01 10:00:00'), (2, null, 2, '2026-05-01 10:00:00')"
        )
    at(f"sqlite:///{path}")
    loaded = load("sql")
    for name in ("users", "teams", "accounts"):
        same(loaded.tables[name], frames[name], name)
    with pytest.raises(ParameterError, match=r"accounts.created_at is held as TEXT.*:as_of"):
        load("sql", until=UNTIL)
    where = products(tmp_path, "select id, coalesce(label, 'none') name, price from deals where sold <= :as_of")
    assert load("sql", mapping=where, until=UNTIL).tables["products"]["list_price"].tolist() == [Decimal("1.50")]
    writing = products(tmp_path, "with a as (select 1) select id, load_extension('x') name, price from deals")
    with pytest.raises(DataContractError, match="p: the database says"):
        load("sql", mapping=writing)
    at(f"sqlite:///{tmp_path / 'absent.db'}")
    with pytest.raises(ConfigError, match="does not exist"):
        load("sql")
    assert not (tmp_path / "absent.db").exists()


def plain(value):
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    return int(value) if isinstance(value, bool) else value


# -- size ----------------------------------------------------------------------------------------------

MEASURE = """
import sys, time
from pathlib import Path
from salesops_lib.workspace import open_workspace
start = time.perf_counter()
snapshot = open_workspace(sys.argv[1]).ingest()
seconds = time.perf_counter() - start
told = Path("/proc/self/status").read_text()  # ru_maxrss would begin with the size of who started this process
peak = int(told.partition("VmHWM:")[2].split()[0]) / 1024
print(snapshot.manifest["tables"]["activities"]["rows"], round(seconds, 1), round(peak))
"""


def test_a_million_rows_in_bounded_memory(server, tmp_path):
    server.run(
        "drop schema if exists wide cascade", "create schema wide",
        """create table wide.activities as select 'big:a' || n activity_id, 'call' as type, 'out' direction,
            'big:u' || n % 200 user_id, 'big:c' || n % 5000 account_id,
            timestamptz '2025-01-01' + n * interval '31 seconds' started_at, (n % 3600)::float8 duration_s,
            'connected' outcome, n % 7 = 0 is_automated, true is_external, false is_first_meeting
            from generate_series(1, 1000000) n""",
    )  # fmt: skip
    make_workspace(tmp_path, "source: {kind: sql, schema: wide}\n")
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path)], capture_output=True, text=True, check=False,
        env={**os.environ, "SALESOPS_DB_URL": server.url()},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows, seconds, peak = done.stdout.split()
    print(f"{int(rows) / float(seconds):,.0f} rows/s, {peak} MB at most")
    assert int(rows) == 1_000_000
    assert int(peak) < 1_500, "a load must not hold its tables in memory"
