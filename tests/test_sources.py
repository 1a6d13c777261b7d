from datetime import date
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from salesops_lib import tables
from salesops_lib.errors import DataContractError, LossLimitExceeded, ParameterError
from salesops_lib.periods import FiscalCalendar
from salesops_lib.sources import load, parse
from salesops_lib.sources.evidence import Evidence, weigh_dates, weigh_numbers

MAPPING = """
name: small
id_prefix: s
extracted_at: 2026-01-31
company: {currency: EUR, timezone: Europe/Berlin}
tables:
  users:
    - file: users.csv
      columns:
        user_id: id
        name: name
        is_quota_carrying: {const: true}
        is_active: active
  opportunities:
    - file: deals.csv
      columns:
        opportunity_id: id
        owner_id: owner
        pipeline_id: {const: p}
        stage_id: stage
        type: {from: type, map: {New: new, Renewal: renewal}}
        amount: amount
        currency: {const: EUR}
        created_at: created
        closed_at: {from: close, when: {stage: [won, lost]}}
        close_date: {from: close, when: {stage: [won, lost]}}
        expected_close_date: close
        is_closed: {from: stage, map: {won: true, lost: true, open: false}}
        is_won: {from: stage, map: {won: true, lost: false, open: false}}
        is_deleted: {const: false}
"""
USERS = "id,name,active\nu1,Ann,yes\nu2,Bob,no\n"
DEALS = (
    "id,owner,stage,type,amount,created,close\n"
    "d1,u1,won,New,1000.50,2025-12-01,2026-01-13\n"
    "d2,u2,lost,New,,2025-12-02,2026-01-14\n"
    "d3,u9,open,Renewal,300,2025-12-03,2026-03-31\n"
)


def folder(tmp_path: Path, deals: str | bytes = DEALS, users: str = USERS, mapping: str = MAPPING) -> Path:
    tmp_path.mkdir(exist_ok=True, parents=True)
    (tmp_path / "users.csv").write_text(users, encoding="utf-8")
    content = deals if isinstance(deals, bytes) else deals.encode()
    (tmp_path / "deals.csv").write_bytes(content)
    (tmp_path / "map.yaml").write_text(mapping, encoding="utf-8")
    return tmp_path


def read(path: Path, **options):
    return load("csv", path, mapping=path / "map.yaml", **options)


def balanced(loaded) -> bool:
    report = loaded.report
    same = (report["rows_in"] == report["rows_kept"] + report["rows_quarantined"]).all()
    kept = {name: len(frame) for name, frame in loaded.tables.items()}
    aside = loaded.quarantine["table"].value_counts()
    return (
        same
        and dict(zip(report["table"], report["rows_kept"], strict=True)) == kept
        and all(aside.get(row.table, 0) == row.rows_quarantined for row in report.itertuples())
    )


def test_everything_lands_in_the_contract(tmp_path):
    loaded = read(folder(tmp_path))
    assert balanced(loaded)
    for name, frame in loaded.tables.items():
        assert tables.violations(frame, name).empty
    deals = loaded.tables["opportunities"].set_index("opportunity_id")
    assert deals["amount"].dropna().tolist() == [Decimal("1000.50"), Decimal("300.00")]
    assert deals.loc["s:d1", "close_date"] == pd.Timestamp("2026-01-13")
    assert deals.loc["s:d1", "closed_at"] == pd.Timestamp("2026-01-12 23:00Z")  # the day begins in Berlin
    assert pd.isna(deals.loc["s:d3", "closed_at"])
    assert deals.loc["s:d3", "expected_close_date"] == pd.Timestamp("2026-03-31")
    assert set(deals["source_file_sha256"]) == {loaded.files["deals.csv"]}


def test_unmatched_references_are_counted_and_kept(tmp_path):
    loaded = read(folder(tmp_path))
    found = loaded.findings[loaded.findings["kind"] == "unmatched reference"].set_index("column")
    assert (found.loc["owner_id", "n"], found.loc["owner_id", "value"]) == (1, "s:u9")
    assert len(loaded.tables["opportunities"]) == 3


def test_unmapped_values_are_kept_raw_and_listed(tmp_path):
    loaded = read(folder(tmp_path, DEALS.replace("Renewal", "Upsell")))
    found = loaded.findings[loaded.findings["kind"] == "unmapped value"]
    assert found["value"].tolist() == ["Upsell"]
    assert "Upsell" in set(loaded.tables["opportunities"]["type"])


def test_duplicates_are_set_aside_with_their_row(tmp_path):
    loaded = read(folder(tmp_path, DEALS + "d1,u1,lost,New,5,2025-12-01,2026-01-13\n"), max_loss=1)
    assert balanced(loaded)
    assert loaded.quarantine[["row", "value", "file"]].values.tolist() == [[5, "s:d1", "deals.csv"]]
    assert loaded.tables["opportunities"].set_index("opportunity_id").loc["s:d1", "is_won"]


@pytest.mark.parametrize(
    ("bad", "column", "value"),
    [
        ("d4,u1,open,New,12x,2025-12-03,2026-03-31", "amount", "12x"),
        ("d4,u1,open,New,12,2025-13-03,2026-03-31", "created_at", "2025-13-03"),
        ("d4,u1,maybe,New,12,2025-12-03,2026-03-31", "is_closed", "maybe"),
        (",u1,open,New,12,2025-12-03,2026-03-31", "opportunity_id", None),
        ("d4,u1,open,New,99999999999999999,2025-12-03,2026-03-31", "amount", "99999999999999999"),
    ],
)
def test_broken_cells_name_file_row_column_and_value(tmp_path, bad, column, value):
    loaded = read(folder(tmp_path, DEALS + bad + "\n"), max_loss=1)
    assert balanced(loaded)
    row = loaded.quarantine.iloc[0]
    assert (row["file"], row["row"], row["column"]) == ("deals.csv", 5, column)
    assert (None if pd.isna(row["value"]) else row["value"]) == value


def test_rows_of_the_wrong_length_are_set_aside_whole(tmp_path):
    loaded = read(folder(tmp_path, DEALS + "d4,u1,open,New,1,5,2025-12-03,2026-03-31\nd5\n"), max_loss=1)
    assert balanced(loaded)
    assert loaded.quarantine["row"].tolist() == [5, 6]
    assert "8 fields, the header has 7" in loaded.quarantine["reason"].iloc[0]


def test_too_much_loss_is_refused_with_the_first_reason(tmp_path):
    with pytest.raises(
        LossLimitExceeded, match=r"1 of 4 rows \(25.0%\).*deals.csv, row 5, column amount: '12x'"
    ) as caught:
        read(folder(tmp_path, DEALS + "d4,u1,open,New,12x,2025-12-03,2026-03-31\n"))
    assert balanced(caught.value.loaded)


@pytest.mark.parametrize(
    ("deals", "says"),
    [
        (DEALS.replace("amount", "amout"), r"row 1: unknown column 'amount'. Did you mean 'amout'"),
        (DEALS.replace("owner,stage", "id,stage"), r"'id' stands twice"),
        ("", r"empty"),
        (DEALS + 'd4,u1,open,New,"12,2025-12-03,2026-03-31\n', r"quotation mark"),
    ],
)
def test_files_that_cannot_be_read_say_why(tmp_path, deals, says):
    with pytest.raises(DataContractError, match=says):
        read(folder(tmp_path, deals))


def test_missing_folder_mapping_and_source_say_so(tmp_path):
    with pytest.raises(DataContractError, match="needs a folder that exists"):
        load("csv", tmp_path / "none", mapping="maven_crm")
    with pytest.raises(ParameterError, match="--map"):
        load("csv", tmp_path)
    with pytest.raises(ParameterError, match="Did you mean 'csv'"):
        load("cvs", tmp_path)
    with pytest.raises(DataContractError, match=r"unknown file 'accounts\.csv'"):
        load("csv", folder(tmp_path), mapping="maven_crm")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_encodings_and_delimiters(tmp_path, encoding, mark):
    text = DEALS.replace("u9", "Zoë").replace(",", mark)
    deals = read(folder(tmp_path, text.encode(encoding))).tables["opportunities"]
    assert "s:Zoë" in set(deals["owner_id"])
    assert len(deals) == 3


def redate(text: str, form: str) -> str:
    days = ("2025-12-01", "2026-01-13", "2025-12-02", "2026-01-14", "2025-12-03", "2026-03-31")
    for day in days:
        text = text.replace(day, date.fromisoformat(day).strftime(form))
    return text


@pytest.mark.parametrize("form", ["%d.%m.%y", "%y-%m-%d"])
def test_two_digit_years_are_refused_unless_the_order_is_stated(tmp_path, form):
    """``13.01.26`` may be 13 January 2026 or 26 January 2013."""
    text = DEALS.replace(",2025-12-01", ",").replace(",2025-12-02", ",").replace(",2025-12-03", ",")
    with pytest.raises(DataContractError, match=r"'close' is ambiguous.*year first"):
        read(folder(tmp_path / "a", redate(text, form)))
    order = "dmy" if form.startswith("%d") else "ymd"
    stated = MAPPING.replace("from: close,", f"from: close, date_order: {order},").replace(
        "expected_close_date: close", f"expected_close_date: {{from: close, date_order: {order}}}"
    )
    deals = read(folder(tmp_path / "b", redate(text, form), mapping=stated)).tables["opportunities"]
    assert deals["expected_close_date"].dt.strftime("%Y-%m-%d").tolist() == [
        "2026-01-13",
        "2026-01-14",
        "2026-03-31",
    ]


@pytest.mark.parametrize("form", ["%d/%m/%Y", "%d.%m.%Y", "%d-%m-%Y"])
def test_a_column_without_telling_days_is_refused_with_both_readings(tmp_path, form):
    """`created` holds 1–3 December only: nothing says which number is the month."""
    with pytest.raises(DataContractError, match=r"'created' is ambiguous.*01 Dec 2025.*12 Jan 2025.*date_order"):
        read(folder(tmp_path, redate(DEALS, form)))


def test_stated_date_order_settles_it(tmp_path):
    mapping = MAPPING.replace("created_at: created", "created_at: {from: created, date_order: dmy}")
    loaded = read(folder(tmp_path, redate(DEALS, "%d/%m/%Y"), mapping=mapping))
    assert loaded.tables["opportunities"]["created_at"].dt.month.tolist() == [11, 12, 12]  # 1 Dec 00:00 in Berlin


def test_mixed_date_orders_are_refused(tmp_path):
    with pytest.raises(
        DataContractError, match=r"'close' mixes readings.*day first.*year first|year first.*day first"
    ):
        read(folder(tmp_path, DEALS.replace("2026-01-13", "13/01/2026")))


CALENDAR = FiscalCalendar(timezone="Europe/Berlin")
TEXT = pd.StringDtype("pyarrow")


def cells(*values) -> pd.Series:
    return pd.Series(list(values), dtype=TEXT, index=range(2, 2 + len(values)))


@pytest.mark.parametrize(
    ("written", "order", "utc"),
    [
        ("2026-01-13T10:00:00Z", "ymd", "2026-01-13 10:00Z"),
        ("2026-01-13 10:00", "ymd", "2026-01-13 09:00Z"),
        ("2026-07-13 10:00:30.5", "ymd", "2026-07-13 08:00:30.5Z"),
        ("13.01.2026 10:00", "dmy", "2026-01-13 09:00Z"),
        ("1/13/2026 12:05 AM", "mdy", "2026-01-12 23:05Z"),
        ("1/13/26 12:05 PM", "mdy", "2026-01-13 11:05Z"),
        ("2026-01-13T10:00:00+05:30", "ymd", "2026-01-13 04:30Z"),
        ("2026-01-13T10:00:00-0800", "ymd", "2026-01-13 18:00Z"),
        ("2026-01-13 10:00:00+00", "ymd", "2026-01-13 10:00Z"),
        ("2026-01-13 10:00 UTC", "ymd", "2026-01-13 10:00Z"),
        ("2026/1/5", "ymd", "2026-01-04 23:00Z"),
        ("13/01/99", "dmy", "1999-01-12 23:00Z"),
        ("Jan 13, 2026", "mdy", "2026-01-12 23:00Z"),
        ("13 January 2026", "dmy", "2026-01-12 23:00Z"),
        ("2026-02-30", "ymd", None),
        ("2026-01-13 25:00", "ymd", None),
        ("yesterday", "ymd", None),
        ("46035", "ymd", None),
    ],
)
def test_instants(written, order, utc):
    got = parse.to_instant(cells(written), order, CALENDAR).iloc[0]
    assert pd.isna(got) if utc is None else got == pd.Timestamp(utc)


def test_an_instant_becomes_the_business_date_of_the_company():
    got = parse.to_date(cells("2026-01-13T23:30:00Z", "2026-01-13", "2026-01-13 23:30"), "ymd", CALENDAR)
    assert [day.day for day in got] == [14, 13, 13]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (("1,234.50", "7"), ["1234.50", "7.00"]),
        (("1.234,50", "7"), ["1234.50", "7.00"]),
        (("1 234,5", "2,25"), ["1234.50", "2.25"]),
        (("1'234.50", "-3.1"), ["1234.50", "-3.10"]),
        (("(12.50)", "€ 3.00"), ["-12.50", "3.00"]),
        (("5.00-", "\u22127.25"), ["-5.00", "-7.25"]),
        (("1.1E+05", "0.005"), ["110000.00", "0.00"]),
        (("1,234,567", "8"), ["1234567.00", "8.00"]),
    ],
)
def test_decimal_signs_are_found_over_the_whole_column(values, expected):
    evidence = Evidence()
    weigh_numbers(cells(*values), evidence)
    sign = evidence.decide("f", ".", {".": "decimal point", ",": "decimal comma"}, "decimal")
    assert [str(v) for v in parse.to_money(parse.to_number(cells(*values), sign))] == expected


def test_a_blank_that_groups_nothing_is_no_number():
    assert parse.to_number(cells("12 34", "1 2345"), ".").isna().all()


def test_shares_in_percent_and_counts_out_of_range(tmp_path):
    mapping = """
name: m
id_prefix: m
tables:
  stages:
    - file: stages.csv
      columns: {pipeline_id: p, stage_id: s, valid_from: {const: "2026-01-01"}, stage_name: s, stage_order: n,
        is_closed: {const: false}, is_won: {const: false},
        is_qualified: {const: true}, probability_default: chance}
"""
    (tmp_path / "map.yaml").write_text(mapping)
    (tmp_path / "stages.csv").write_text(
        "p,s,n,chance\na,one,1,50%\na,two,2,12.5 %\na,big,99999999999999999999,5%\n"
    )
    loaded = load("csv", tmp_path, mapping=tmp_path / "map.yaml", max_loss=1)
    assert loaded.tables["stages"]["probability_default"].tolist() == [0.5, 0.125]
    assert loaded.quarantine["column"].tolist() == ["stage_order"]
    assert balanced(loaded)


def test_placeholders_empty_a_cell_everywhere_and_blank_always_does(tmp_path):
    mapping = MAPPING.replace("id_prefix: s", "id_prefix: s\nempty: [NULL, '-']").replace(
        "owner_id: owner", 'owner_id: {template: "who {owner}"}'
    )
    text = DEALS.replace("u9", "NULL").replace(",300,", ",-,")
    deals = read(folder(tmp_path, text, mapping=mapping)).tables["opportunities"]
    assert deals["owner_id"].isna().tolist() == [False, False, True]
    assert deals["amount"].isna().tolist() == [False, True, True]


def test_history_through_a_file_speaks_of_the_same_ids(tmp_path):
    mapping = (
        MAPPING
        + """
  opportunity_history:
    - file: history.csv
      columns: {opportunity_id: id, changed_at: at, field: field, seq: {const: 0}, old_value: old, new_value: new,
        is_bulk: {const: false}, origin: {const: native}}
"""
    )
    path = folder(tmp_path, mapping=mapping)
    (path / "history.csv").write_text(
        "id,at,field,old,new\nd1,2026-01-05,stage,open,won\nd1,2026-01-05,amount,5,1000.50\n"
    )
    history = read(path).tables["opportunity_history"]
    assert history["new_value"].tolist() == ["s:won", "1000.50"]


def test_closing_date_and_instant_fill_each_other(tmp_path):
    mapping = MAPPING.replace("        closed_at: {from: close, when: {stage: [won, lost]}}\n", "")
    loaded = read(folder(tmp_path, DEALS.replace("2026-01-14", ""), mapping=mapping))
    deals = loaded.tables["opportunities"].set_index("opportunity_id")
    assert deals.loc["s:d1", "closed_at"] == pd.Timestamp("2026-01-12 23:00Z")
    found = loaded.findings.set_index("kind")
    assert found.loc["closed without a close date", "n"] == 1


def test_rows_without_a_key_to_derive_from_are_counted(tmp_path):
    mapping = (
        MAPPING
        + """
  teams:
    - {file: users.csv, distinct: true, columns: {team_id: team, name: team}}
"""
    )
    users = "id,name,active,team\nu1,Ann,yes,A\nu2,Bob,no,\nu3,Cy,no,A\n"
    loaded = read(folder(tmp_path, users=users, mapping=mapping))
    assert balanced(loaded)
    assert len(loaded.tables["teams"]) == 1
    assert loaded.findings.set_index("kind").loc["no key to derive a row from", "n"] == 1


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"id,name,active\nu1,\x81,yes\n", "cannot be read as cp1252"), (b"\xff\xfei\x00d", "row 1|cannot be read")],
)
def test_bytes_that_are_no_text_are_refused_in_words(tmp_path, content, says):
    path = folder(tmp_path)
    (path / "users.csv").write_bytes(content)
    with pytest.raises(DataContractError, match=says):
        read(path)


def test_three_digits_after_one_sign_are_ambiguous():
    evidence = Evidence()
    weigh_numbers(cells("1.234", "5.678"), evidence)
    with pytest.raises(DataContractError, match=r"1.234 \(decimal point\) or 1234 \(decimal comma\)"):
        evidence.decide("f", ".", {".": "decimal point", ",": "decimal comma"}, "decimal")


def test_mixed_decimal_signs_are_refused():
    evidence = Evidence()
    weigh_numbers(cells("1.50", "1,50"), evidence)
    with pytest.raises(DataContractError, match="mixes readings"):
        evidence.decide("f", ".", {".": "decimal point", ",": "decimal comma"}, "decimal")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.dates(date(1990, 1, 1), date(2039, 12, 31)), min_size=1, max_size=12),
    st.sampled_from(["%Y-%m-%d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y"]),
)
def test_a_column_of_dates_is_read_right_or_refused(days, form):
    column = cells(*(day.strftime(form) for day in days))
    evidence = Evidence()
    weigh_dates(column, evidence)
    try:
        order = evidence.decide("f", "ymd", parse.ORDERS, "date_order")
    except DataContractError:
        return
    assert parse.to_date(column, order, CALENDAR).dt.date.tolist() == days


@settings(max_examples=60, deadline=None)
@given(st.lists(st.decimals(-(10**9), 10**9, places=2), min_size=1, max_size=12), st.sampled_from(["en", "de"]))
def test_a_column_of_amounts_is_read_right_or_refused(amounts, style):
    written = [f"{a:,.2f}" if style == "en" else f"{a:,.2f}".translate(str.maketrans(",.", ".,")) for a in amounts]
    evidence = Evidence()
    weigh_numbers(cells(*written), evidence)
    sign = evidence.decide("f", ".", {".": "decimal point", ",": "decimal comma"}, "decimal")
    assert parse.to_money(parse.to_number(cells(*written), sign)).tolist() == amounts


def test_derived_rows_fold_across_batches(tmp_path, monkeypatch):
    """The same owner in every batch of a long file is one person, not a duplicate."""
    from salesops_lib.sources.read import delimited as reading

    monkeypatch.setattr(reading, "BLOCK", 128)
    mapping = MAPPING.replace(
        "  opportunities:\n",
        "    - {file: deals.csv, distinct: true, columns: {user_id: {template: 'also {stage}'}, name: stage,\n"
        "       is_quota_carrying: {const: false}, is_active: {const: true}}}\n  opportunities:\n",
    )
    more = "".join(f"e{k},u1,open,New,1,2025-12-03,2026-03-31\n" for k in range(7))
    loaded = read(folder(tmp_path, DEALS + more, mapping=mapping))
    assert balanced(loaded)
    assert loaded.quarantine.empty
    assert len(loaded.tables["users"]) == 2 + 3


def test_rows_of_the_wrong_length_keep_every_number_right_across_blocks(tmp_path, monkeypatch):
    """Arrow reads a block ahead of what it gives: those that are broken must not move the numbers."""
    from salesops_lib.sources.read import delimited as reading

    monkeypatch.setattr(reading, "BLOCK", 256)
    lines = [f"d{k},u1,open,New,{k}.25,2025-12-03,2026-03-31" for k in range(2, 400)]
    for at in (5, 90, 91, 200, 380):
        lines[at] += ",one too many"
    path = folder(tmp_path, DEALS.splitlines(True)[0] + "\n".join(lines) + "\n")
    loaded = read(path, max_loss=1)
    assert balanced(loaded)
    assert loaded.quarantine["row"].tolist() == [7, 92, 93, 202, 382]
    raw = reading.RawFile(path / "deals.csv")
    assert raw._well_formed
    for rows, _ in raw.batches():
        assert [f"d{number}" for number in rows.index] == rows["id"].tolist()


def test_a_lone_zero_before_the_point_settles_the_decimal_sign():
    for cells, sign in ((["0.925", "1.125"], "."), (["0,925", "1,125"], ",")):
        evidence = Evidence()
        weigh_numbers(pd.Series(cells, dtype="string[pyarrow]"), evidence)
        assert evidence.decide("f", ".", {".": "point", ",": "comma"}, "decimal") == sign
