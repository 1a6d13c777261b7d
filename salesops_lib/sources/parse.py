"""Text cells to typed values, in the date order and with the decimal sign that `evidence` settles for a column."""

from __future__ import annotations

from contextlib import suppress
from decimal import Context, Decimal, InvalidOperation

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from salesops_lib.periods import FiscalCalendar

DATE = (
    r"^(?P<a>\d{1,4}|[A-Za-z]{3,9})\.?[-/. ]+(?P<b>\d{1,2}|[A-Za-z]{3,9})\.?,?[-/. ]+(?P<c>\d{1,4})"
    r"(?:[T ,]+(?P<time>\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?)\s*(?P<half>[AaPp][Mm])?)?"
    r"\s*(?P<zone>Z|UTC|[+-]\d{2}(?::?\d{2})?)?$"
)
COMPACT = r"^((?:19|20)\d{2})(0[1-9]|1[0-2])([0-3]\d)$"
SERIALS = {"excel": r"^[2-7]\d{4}(?:[.,]\d+)?$", "unix": r"^(?:[1-9]\d{8,9}|[1-9]\d{11,12})(?:\.\d+)?$"}
ORDERS = {"ymd": "year first", "dmy": "day first", "mdy": "month first"}
READINGS = ORDERS | {"excel": "a serial day of Excel", "unix": "Unix time"}
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")

GROUP_MARK = "[\u0020\u00a0\u202f'’]"
GROUPED = rf"[+-]?\d{{1,3}}(?:{GROUP_MARK}\d{{3}})+(?:[.,]\d+)?"
NUMBER_NOISE = "^[\\s€$£¥]+|[\\s€$£¥]+$"
NUMBER = r"^[+-]?(?:\d+|[1-9]\d{{0,2}}(?:{group}\d{{3}})+)?(?:{point}\d+)?(?:[eE][+-]?\d+)?$"
DECIMALS = {".": NUMBER.format(group=",", point=r"\."), ",": NUMBER.format(group=r"\.", point=",")}

PLAIN = r"[+-]?\d+(?:\.\d+)?"

EXACT = Context(prec=60)
LONG_DATE = 80  # characters
LONG_NUMBER = 100  # characters; Arrow reads a number of some 256 digits as another one, and says nothing
# English, German, Dutch, French, Spanish
TRUE = ("true", "1", "yes", "y", "t", "wahr", "ja", "waar", "vrai", "oui", "verdadero", "sí", "si")
FALSE = ("false", "0", "no", "n", "f", "falsch", "nein", "onwaar", "nee", "faux", "non", "falso")


def emptied(cells: pd.Series, placeholders: set[str]) -> pd.Series:
    """Trim text cells and empty those that hold a placeholder for "none"."""
    trimmed = pc.utf8_trim_whitespace(pa.array(cells.array))
    if len(placeholders) == 1:
        none = pc.equal(trimmed, pa.scalar(*placeholders, trimmed.type))
    else:
        none = pc.is_in(trimmed, pa.array(sorted(placeholders), trimmed.type))
    kept = pc.if_else(none, pa.scalar(None, trimmed.type), trimmed)
    return pd.Series(cells.dtype.__from_arrow__(kept), index=cells.index)


def _whole(cells: pd.Series) -> pa.Array:
    found = pa.array(cells.array, type=pa.large_string())
    return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found


def first_filled(columns: list[pd.Series]) -> pd.Series:
    """Take in each row the first text cell that is not empty."""
    if len(columns) == 1:
        return columns[0]
    merged = pc.coalesce(*(_whole(cells) for cells in columns))
    return pd.Series(columns[0].dtype.__from_arrow__(merged), index=columns[0].index)


def put(cells: pd.Series, mask: np.ndarray, values: pd.Series) -> pd.Series:
    """Replace the masked text cells, in their order, by `values`."""
    replaced = pc.replace_with_mask(_whole(cells), pa.array(mask), _whole(values))
    return pd.Series(cells.dtype.__from_arrow__(replaced), index=cells.index)


def split_dates(cells: pd.Series) -> pd.DataFrame:
    """Take date cells apart: `a`, `b`, `c` (as written), `time`, `half`, `zone`; empty where none."""
    return cells.where(cells.str.len() <= LONG_DATE).str.extract(DATE)  # a long cell would take minutes


def read_days(parts: pd.DataFrame, order: str) -> pd.Series:
    """Read split dates in one order; empty where they do not fit it."""
    columns = {"ymd": "abc", "dmy": "cba", "mdy": "cab"}[order]
    year, month, day = (parts[letter] for letter in columns)
    named = month.str.lower().str[:3].map({name: str(k + 1) for k, name in enumerate(MONTHS)})
    long_a, long_c = (parts[letter].str.fullmatch(r"\d{3,4}").fillna(False) for letter in "ac")
    short = parts["a"].str.fullmatch(r"\d\d").fillna(False) & parts["c"].str.fullmatch(r"\d\d").fillna(False)
    written = ~long_a & (long_c | parts["c"].str.fullmatch(r"\d\d").fillna(False))
    fits = long_a & ~long_c | short if order == "ymd" else written
    numbers = pd.DataFrame(
        {
            "year": pd.to_numeric(year, errors="coerce"),
            "month": pd.to_numeric(named.fillna(month), errors="coerce"),
            "day": pd.to_numeric(day, errors="coerce"),
        }
    ).astype("float64")
    century = numbers["year"].lt(69).map({True: 2000, False: 1900})  # as POSIX reads two digits
    numbers["year"] += century.where(year.str.len().eq(2).fillna(False), 0)
    inside = numbers["year"].between(1678, 2261)  # what a nanosecond stamp can hold
    numbers = numbers.where(fits.fillna(False) & inside)
    return pd.to_datetime(numbers, errors="coerce").astype("datetime64[us]")


def clean_number(cells: pd.Series) -> pd.Series:
    """Strip currency signs, and blanks and apostrophes that group thousands; ``(5)`` and ``5-`` become ``-5``."""
    if (plain := _plain_numbers(cells)).all():
        return cells
    if plain.any():
        return cells.where(plain, clean_number(cells[~plain]).reindex(cells.index))
    cells = cells.str.replace(NUMBER_NOISE, "", regex=True).str.replace("\u2212", "-", regex=False)
    cells = cells.str.replace(r"^\((.*)\)$|^([^-]+)-$", r"-\1\2", regex=True)
    grouped = cells.str.fullmatch(GROUPED).fillna(False)
    return cells.mask(grouped, cells.str.replace(GROUP_MARK, "", regex=True))


def _plain_numbers(cells: pd.Series) -> pd.Series:
    """Mark empty cells and those that hold digits and one point only, as programs write numbers."""
    return cells.str.fullmatch(PLAIN).fillna(True).astype(bool)


def to_number(cells: pd.Series, decimal: str) -> pd.Series:
    """Read number cells with one decimal sign as exact decimals of nine places; empty where they do not fit."""
    if decimal == "." and _plain_numbers(cells).all():
        return _exact(cells)
    cells = clean_number(cells)
    fits = cells.str.match(DECIMALS[decimal]).fillna(False) & cells.str.contains(r"\d", regex=True).fillna(False)
    group = "," if decimal == "." else "."
    plain = cells.where(fits).str.replace(group, "", regex=False).str.replace(",", ".", regex=False)
    return _exact(plain)


def _exact(plain: pd.Series) -> pd.Series:
    whole = pa.array(plain, type=pa.large_string())
    exact = None
    if (pc.max(pc.binary_length(whole)).as_py() or 0) <= LONG_NUMBER:
        with suppress(pa.ArrowInvalid):  # more than nine places, or out of range
            exact = pc.cast(whole, pa.decimal128(38, 9))
    if exact is None:  # rare, so cell by cell
        exact = pa.array([_decimal(text) for text in whole.to_pylist()], type=pa.decimal128(38, 9))
    return pd.Series(pd.arrays.ArrowExtensionArray(exact), index=plain.index)


def _decimal(written: str | Decimal | None) -> Decimal | None:
    if written is None:
        return None
    try:
        value = Decimal(written).quantize(Decimal("1e-9"), context=EXACT)
    except InvalidOperation:
        return None
    return value if abs(value) < Decimal(10) ** 28 else None


def plain_number(cells: pd.Series, kind: str) -> pd.Series | None:
    """Read a column that is written as programs write numbers throughout; nothing where it is not."""
    form, arrow = {
        "count": (r"[+-]?\d{1,15}", pa.int64()),
        "money": (r"[+-]?\d{1,15}(?:\.\d{1,2})?", pa.decimal128(18, 2)),
        "rate": (r"[+-]?\d{1,9}(?:\.\d{1,9})?", pa.decimal128(38, 9)),
    }.get(kind, (r"[+-]?\d{1,28}(?:\.\d+)?", pa.float64()))
    if not cells.str.fullmatch(form).fillna(True).all():
        return None
    read = pc.cast(pc.utf8_ltrim(pa.array(cells, type=pa.large_string()), "+"), arrow)
    if kind == "count":
        return pd.Series(read.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get).array, index=cells.index)
    if kind in ("money", "rate"):
        return pd.Series(pd.arrays.ArrowExtensionArray(read), index=cells.index)
    return pd.Series(read.to_numpy(zero_copy_only=False), index=cells.index)


def times(exact: pd.Series, factor: Decimal) -> pd.Series:
    """Multiply exact decimals, rounded to nine places; empty where the product is out of range."""
    codes, distinct = pd.factorize(exact)
    product = pa.array([_decimal(value * factor) for value in distinct] + [None], type=pa.decimal128(38, 9))
    return pd.Series(
        pd.arrays.ArrowExtensionArray(product.take(pa.array(codes % len(product)))), index=exact.index
    )


def inverse(exact: pd.Series) -> pd.Series:
    """Divide one by exact decimals, rounded to nine places; empty for zero."""
    inverted = [
        _decimal(EXACT.divide(Decimal(1), value)) if value is not pd.NA and value else None for value in exact
    ]
    return pd.Series(
        pd.arrays.ArrowExtensionArray(pa.array(inverted, type=pa.decimal128(38, 9))), index=exact.index
    )


def to_money(exact: pd.Series) -> pd.Series:
    """Round exact decimals to cents, half to even; empty where too large for decimal(18, 2)."""
    array = pa.array(exact, type=pa.decimal128(38, 9))
    limit = pa.scalar(10**15, type=pa.decimal128(38, 9))
    small = pc.less(pc.abs(array), limit)
    rounded = pc.round(array, ndigits=2, round_mode="half_to_even")
    kept = pc.if_else(small, rounded, pa.scalar(None, type=rounded.type))
    return pd.Series(pd.arrays.ArrowExtensionArray(pc.cast(kept, pa.decimal128(18, 2))), index=exact.index)


def to_date(cells: pd.Series, order: str, calendar: FiscalCalendar, utc: bool = False) -> pd.Series:
    """Read date cells as business dates: an instant with a zone is read in the company's, others as written.

    With `utc`, a time without a zone is UTC; a bare day stays that day.
    """
    days, zone = _stamps(cells, order)
    timed = zone.notna() | (utc & days.ne(days.dt.normalize()))
    return calendar.business_date(days).where(timed, days.dt.tz_localize(None).dt.normalize())


def to_instant(cells: pd.Series, order: str, calendar: FiscalCalendar, utc: bool = False) -> pd.Series:
    """Read date cells as UTC instants: without a zone they are company time; a bare day is its first instant.

    With `utc`, a time without a zone is UTC.
    """
    stamps, zone = _stamps(cells, order)
    if utc:
        return stamps
    local = calendar.day_start(stamps.dt.tz_localize(None))
    return stamps.where(zone.notna(), local)


def _stamps(cells: pd.Series, order: str) -> tuple[pd.Series, pd.Series]:
    """Return stamps as written (marked UTC; shifted to UTC where a zone is given) and the zone."""
    if (plain := _iso_stamps(cells, order)) is not None:
        return plain
    distinct = pd.Series(cells.dropna().unique(), dtype=cells.dtype)
    stamps, zone = _serial_stamps(distinct, order) if order in SERIALS else _written_stamps(distinct, order)
    lookup = pd.DataFrame({"stamp": stamps.dt.as_unit("us"), "zone": zone}).set_index(pd.Index(distinct))
    found = lookup.reindex(pd.Index(cells))
    return (
        pd.Series(found["stamp"].array, index=cells.index),
        pd.Series(found["zone"].array, index=cells.index),
    )


def _iso_stamps(cells: pd.Series, order: str) -> tuple[pd.Series, pd.Series] | None:
    """Read a column that is ISO 8601 throughout, all with a zone or all without; nothing where it is not."""
    if order != "ymd" or cells.empty:
        return None
    written = pa.array(cells, type=pa.large_string())
    for kind, zone in ((pa.timestamp("us"), None), (pa.timestamp("us", "UTC"), "Z")):
        try:
            stamps = pc.cast(written, kind)
        except pa.ArrowInvalid:
            continue
        read = pd.Series(stamps.to_pandas().array, index=cells.index)
        if not read.isna().all() and not (read.min().year >= 1678 and read.max().year <= 2261):
            return None  # outside what a nanosecond stamp can hold: cell by cell
        read = read.dt.tz_localize("UTC") if zone is None else read
        return read, pd.Series(zone, index=cells.index, dtype=cells.dtype)
    return None


def _serial_stamps(distinct: pd.Series, order: str) -> tuple[pd.Series, pd.Series]:
    """Read serial days (Excel, from 1899-12-30) or Unix times in seconds or milliseconds."""
    serial = distinct.where(distinct.str.contains(SERIALS[order], regex=True)).str.replace(",", ".", regex=False)
    numbers = pd.to_numeric(serial, errors="coerce")
    if order == "excel":
        days = pd.to_timedelta((numbers.astype("float64") * 86_400).round(), unit="s")
        stamps, zone = pd.Timestamp("1899-12-30") + days, None
    else:
        seconds = numbers.astype("float64").where(numbers.lt(1e11), numbers.astype("float64") / 1000)
        stamps, zone = pd.Timestamp("1970-01-01") + pd.to_timedelta((seconds * 1000).round(), unit="ms"), "Z"
    return stamps.dt.tz_localize("UTC"), pd.Series(zone, index=distinct.index, dtype=distinct.dtype)


def _written_stamps(distinct: pd.Series, order: str) -> tuple[pd.Series, pd.Series]:
    """Read dates in one order, with or without a time."""
    parts = split_dates(distinct.str.replace(COMPACT, r"\1-\2-\3", regex=True))
    days = read_days(parts, order)
    clock = parts["time"].fillna("0:00")
    padded = clock.where(clock.str.count(":").eq(2), clock + ":00")
    spent = pd.to_timedelta(padded, errors="coerce")
    hour = spent // pd.Timedelta(hours=1)
    half = parts["half"].str.lower()
    later = (half.eq("pm") & hour.lt(12)).fillna(False).astype(int)
    earlier = (half.eq("am") & hour.eq(12)).fillna(False).astype(int)
    spent = spent + pd.to_timedelta(12 * (later - earlier), unit="h")
    stamps = (days + spent.where(spent < pd.Timedelta(days=1))).dt.tz_localize("UTC") - _offset(parts["zone"])
    return stamps, parts["zone"]


def _offset(zone: pd.Series) -> pd.Series:
    """Read ``Z`` and ``+02:00`` as time deltas; zero where none is given."""
    clean = zone.str.replace(":", "", regex=False).where(~zone.isin(["Z", "UTC"]), "+0000").fillna("+0000")
    clean = clean.where(clean.str.len().eq(5), clean + "00")
    sign = np.where(clean.str.startswith("-"), -1, 1)
    minutes = clean.str[1:3].astype(int) * 60 + clean.str[3:5].astype(int)
    return pd.to_timedelta(minutes * sign, unit="min")


def to_clock(cells: pd.Series) -> pd.Series:
    """Read ``h:mm`` and ``h:mm:ss`` as seconds; empty where they do not fit."""
    parts = cells.str.extract(r"^(\d{1,3}):([0-5]\d)(?::([0-5]\d))?$").astype("float64")
    return parts[0] * 3600 + parts[1] * 60 + parts[2].fillna(0)


def to_flag(cells: pd.Series) -> pd.Series:
    """Read true/false, yes/no and 1/0 in any case, in the languages of `TRUE` and `FALSE`."""
    lower = cells.str.lower()
    true = lower.isin(TRUE)
    return true.astype("boolean").where(true | lower.isin(FALSE))


CANONICAL = {"money": r"-?\d{1,15}\.\d\d", "date": r"\d{4}-\d\d-\d\d", "share": r"0(?:\.\d+)?|1(?:\.0+)?"}


def is_canonical(cells: pd.Series, kind: str) -> bool:
    """Whether every cell that is not empty is written as the contract writes history values."""
    if kind not in CANONICAL or not cells.str.fullmatch(CANONICAL[kind]).fillna(True).all():
        return False
    if kind != "date":
        return True
    try:
        pc.cast(pa.array(cells, type=pa.large_string()), pa.date32())
    except pa.ArrowInvalid:
        return False
    return bool(cells.min() >= "1678" and cells.max() < "2262")
