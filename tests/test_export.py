import csv
from datetime import UTC, date, datetime
from decimal import Decimal

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import load_workbook

from salesops_lib import export
from salesops_lib.errors import ParameterError

DANGER = tuple("=+-@\t\r\n＝＋－＠")
HOSTILE = [
    "=cmd|'/c calc'!A1", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1+1", "\u00a0@x", "＝1", "－1",
    "\x00=1", "\ufeff=1",
]  # fmt: skip
HARMLESS = [
    "<script>alert(1)</script>", "‏שלום\u202eabc", "😀👩‍👩‍👧", "x" * 32_767, "O'Hara", "'=1", 'say "hi", you',
    "a;b", "#N/A", "-12.50", "+49", "-1", "1.000", "00123", "TRUE", "", " ", "é", "\U0010ffff",
]  # fmt: skip


def read_csv(path):
    csv.field_size_limit(10_000_000)
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


def read_xlsx(path):
    book = load_workbook(path)
    for sheet in book:
        for row in sheet.iter_rows():
            for cell in row:
                assert cell.data_type != "f", "no cell is a formula"
    return {sheet.title: list(sheet.iter_rows(values_only=True)) for sheet in book}


def runs(text):
    """Whether a spreadsheet may take this text for more than text."""
    return text.lstrip().startswith(DANGER) or text.startswith(DANGER)


@pytest.mark.parametrize("text", HOSTILE)
def test_what_would_run_gets_an_apostrophe(text):
    assert export.neutral(text) == f"'{text}"


@pytest.mark.parametrize("text", HARMLESS)
def test_what_would_not_run_stays_as_it_is(text):
    assert export.neutral(text) == text


def test_texts_come_back_from_csv(tmp_path):
    texts = [*HOSTILE, *HARMLESS, "n\x00ul", "y" * 1_000_000, "a\r\nb\rc\nd"]
    path = export.write_csv(pd.DataFrame({"=name": texts}), tmp_path / "a.csv")
    head, *rows = read_csv(path)
    assert head == ["'=name"]
    assert [row[0] if row else "" for row in rows] == [export.neutral(text) for text in texts]
    assert not any(runs(row[0]) and not row[0][1:].replace(".", "").isdigit() for row in rows if row)
    assert pd.read_csv(path, keep_default_na=False, dtype=str)["'=name"].iloc[1] == "'+1+1"


def test_texts_come_back_from_excel(tmp_path):
    texts = [text for text in (*HOSTILE, *HARMLESS) if not text.startswith(("\r", "\x00"))]
    path = export.write_xlsx({"one": pd.DataFrame({"=name": texts})}, tmp_path / "a.xlsx")
    (head, *rows) = read_xlsx(path)["one"]
    assert head == ("'=name",)
    assert [row[0] or "" for row in rows] == [export.neutral(text) for text in texts]
    shown = pd.read_excel(path, dtype=str, keep_default_na=False)["'=name"]
    assert shown.iloc[0] == "'=cmd|'/c calc'!A1"


def test_what_excel_cannot_hold_is_replaced_and_said(tmp_path):
    texts = ["a\x00b\x1f", "x" * 40_000, "a\r\nb\rc", "_x0041_", "\ud800", "=" * 40_000]
    frame = pd.DataFrame({"text": pd.Series(texts, dtype=object)})
    rows = read_xlsx(export.write_xlsx({"s": frame}, tmp_path / "a.xlsx"))["s"]
    shown = [row[0] for row in rows[1:]]
    assert shown[0] == "a\ufffdb\ufffd"
    assert len(shown[1]) == 32_767
    assert shown[1].endswith("x… [40,000 characters]")
    assert shown[2] == "a\nb\nc"
    assert shown[3] == "_x005F_x0041_"
    assert shown[4] == "\ufffd"
    assert shown[5].startswith("'=")
    assert len(shown[5]) == 32_767


FRAME = pd.DataFrame(
    {
        "whole": pd.Series([-5, None], dtype="Int64"),
        "plain": [-7, 8],
        "float": [-1e-5, float("nan")],
        "money": pd.Series([Decimal("-12.50"), None], dtype=object),
        "big": pd.Series([Decimal("1234567890123456.78"), Decimal("1E+3")], dtype=object),
        "infinite": [float("inf"), 1.5],
        "flag": [True, False],
        "day": pd.Series([pd.Timestamp("2026-07-01"), pd.NaT]),
        "moment": pd.Series([pd.Timestamp("2026-07-01 08:30"), pd.Timestamp("1850-01-01")]),
        "fine": pd.Series([pd.Timestamp("2026-07-01 08:30:00.000001"), pd.NaT]),
        "instant": pd.Series([pd.Timestamp(datetime(2026, 7, 1, 12, tzinfo=UTC)), pd.NaT]),
        "date": pd.Series([date(2026, 7, 1), None], dtype=object),
        "list": pd.Series([(1, 2), ["=x"]], dtype=object),
        "told": pd.Series([{"a": 1}, None], dtype=object),
    }
)


def test_numbers_stay_numbers_in_excel(tmp_path):
    head, first, second = read_xlsx(export.write_xlsx({"s": FRAME}, tmp_path / "a.xlsx"))["s"]
    got = dict(zip(head, first, strict=True))
    assert (got["whole"], got["plain"], got["float"], got["money"]) == (-5, -7, -1e-5, -12.5)
    assert got["big"] == "1234567890123456.78", "more digits than Excel holds"
    assert (got["infinite"], got["flag"]) == ("inf", True)
    assert got["day"] == got["date"] == datetime(2026, 7, 1)
    assert (got["moment"], got["fine"]) == (datetime(2026, 7, 1, 8, 30), "2026-07-01T08:30:00.000001")
    assert dict(zip(head, second, strict=True))["moment"] == "1850-01-01", "before Excel's first day"
    assert got["instant"] == "2026-07-01T12:00:00+00:00"
    assert (got["list"], got["told"]) == ("1, 2", "a: 1")
    assert dict(zip(head, second, strict=True))["big"] == 1000
    assert dict(zip(head, second, strict=True))["list"] == "'=x"
    assert second[0] is None


def test_numbers_stay_numbers_in_csv(tmp_path):
    head, first, second = read_csv(export.write_csv(FRAME, tmp_path / "a.csv"))
    got = dict(zip(head, first, strict=True))
    assert (got["whole"], got["float"], got["money"]) == ("-5", "-1e-05", "-12.50")
    assert (got["big"], got["flag"]) == ("1234567890123456.78", "True")
    assert dict(zip(head, second, strict=True)) == {
        "whole": "", "plain": "8", "float": "", "money": "", "big": "1000", "infinite": "1.5", "flag": "False",
        "day": "", "moment": "1850-01-01", "fine": "", "instant": "", "date": "", "list": "'=x", "told": "",
    }  # fmt: skip


texts = st.one_of(
    st.text(max_size=40),
    st.tuples(st.sampled_from([*DANGER, "", " ", "\u00a0", "\x00"]), st.text(max_size=20)).map("".join),
    st.decimals(-999, 999, places=2, allow_nan=False).map(str),
)


@given(st.lists(texts, min_size=1, max_size=8))
@settings(max_examples=150, deadline=None)
def test_no_cell_runs_and_the_text_comes_back(tmp_path_factory, values):
    folder = tmp_path_factory.mktemp("out")
    frame = pd.DataFrame({"text": pd.Series(values, dtype=object), "n": 1})
    rows = read_csv(export.write_csv(frame, folder / "a.csv"))[1:]
    cells = [row[0] for row in rows]
    sheet = read_xlsx(export.write_xlsx({"s": frame}, folder / "a.xlsx"))["s"][1:]
    for text, written, shown in zip(values, cells, sheet, strict=True):
        assert not runs(written) or export.NUMBER.fullmatch(written)
        assert not runs(shown[0] or "") or export.NUMBER.fullmatch(shown[0])
        came_back = written[1:] if written != text else written
        assert came_back == text
        told = export.NO_XML.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))
        told = export.LOOKS_ESCAPED.sub("_x005F_", told)
        assert (shown[0] or "") in (told, f"'{told}")


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = export.write_csv(pd.DataFrame({"a": [1]}), tmp_path / "a.csv")
    before = path.read_bytes()
    monkeypatch.setattr(export, "_for_csv", lambda value: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export.write_csv(pd.DataFrame({"a": [2]}), path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.csv"]


def test_wrong_places_and_sheets_are_refused(tmp_path):
    with pytest.raises(ParameterError, match="no folder"):
        export.write_csv(FRAME, tmp_path / "none" / "a.csv")
    with pytest.raises(ParameterError, match="at least one sheet"):
        export.write_xlsx({}, tmp_path / "a.xlsx")
    with pytest.raises(ParameterError, match="31 characters"):
        export.write_xlsx({"a/b": FRAME}, tmp_path / "a.xlsx")


def test_several_sheets_and_empty_frames(tmp_path):
    sheets = {"one": pd.DataFrame({"a": [1]}), "none": pd.DataFrame({"b": []}), "bare": pd.DataFrame()}
    rows = read_xlsx(export.write_xlsx(sheets, tmp_path / "a.xlsx"))
    assert rows["one"] == [("a",), (1,)]
    assert rows["none"] == [("b",)]
    assert read_csv(export.write_csv(sheets["none"], tmp_path / "b.csv")) == [["b"]]
