"""Checks of the load as a whole: control totals, caps, keys, references, closed lists, dates."""

from __future__ import annotations

from salesops_lib import tables
from salesops_lib.gate.check import Check, deals

# what exports and spreadsheets are known to stop at
CAPS = (1_000, 2_000, 5_000, 10_000, 50_000, 65_535, 65_536, 100_000, 250_000, 500_000, 1_000_000, 1_048_575,
        1_048_576)  # fmt: skip
# instants and dates that nobody can mean when they lie before 1990 …
EARLY = {
    "opportunities": ("created_at", "expected_close_date", "closed_at", "close_date", "deleted_at"),
    "opportunity_history": ("changed_at",),
    "activities": ("started_at", "ended_at", "logged_at"),
    "leads": ("created_at", "qualified_at", "disqualified_at", "converted_at"),
    "accounts": ("created_at",),
    "quotas": ("period_start",),
}
# … or after the export
LATE = {
    "opportunities": ("created_at", "closed_at", "close_date", "deleted_at"),
    "opportunity_history": ("changed_at",),
    "activities": ("logged_at",),
    "leads": ("created_at", "qualified_at", "disqualified_at", "converted_at"),
    "accounts": ("created_at", "customer_since"),
}
SPANS = {
    "users": ("start_date", "end_date", "<"),
    "stages": ("valid_from", "valid_to", "<="),
    "quotas": ("period_start", "period_end", "<="),
    "activities": ("started_at", "ended_at", "<"),
}
INSTANTS = {
    "opportunities": ("created_at", "closed_at"),
    "activities": ("started_at",),
    "leads": ("created_at", "converted_at"),
}
TEXTS = {
    "opportunities": ("name", "next_step", "loss_reason", "competitor"),
    "accounts": ("name",),
    "leads": ("disqualify_reason",),
}
# kinds of load findings that other checks look for in the data themselves
SEEN_IN_DATA = ("unmatched reference", "closed without a close date", "unknown value, kept as it is",
                "unmapped value", "gone from the export, taken as deleted", "file time")  # fmt: skip
# looked at by checks of their own, which also say what they carry
OWN_CHECK = ("opportunities.account_id", "opportunities.owner_id", "opportunities.owner_at_close_id",
             "opportunities.stage_id", "opportunity_history.opportunity_id")  # fmt: skip


def key_of(table: str) -> str:
    """Write the SQL that names a row by its key."""
    return "concat_ws(' | ', " + ", ".join(tables.TABLES[table].key) + ")"


def _each(places, row) -> str:
    return "\nunion all ".join(row(table, *rest) for table, rest in places)


def _by_column(columns: dict[str, tuple[str, ...]], row) -> str:
    return _each([(table, (column,)) for table, names in columns.items() for column in names], row)


def _unlisted(table: str, column: str) -> str:
    listed = ", ".join(f"'{value}'" for value in tables.TABLES[table][column].values)
    return f"""select concat('{table}.{column}: ', {column}) id, null::decimal(18,2) amount,
        concat('not one of: ', {listed.replace("', '", ", ")}) detail, count(*) n
        from {table} where {column} not in ({listed}) group by {column}"""


def _doubled(table: str) -> str:
    key = ", ".join(tables.TABLES[table].key)
    return f"""select concat('{table}: ', {key_of(table)}) id, null::decimal(18,2) amount,
        concat(count(*), ' rows of one key') detail, count(*) - 1 n from {table}
        where hash({key}) in (select hash({key}) from {table} group by 1 having count(*) > 1)
        group by {key} having count(*) > 1"""


def _dangling(table: str, column: str) -> str:
    target, _, key = tables.TABLES[table][column].references.partition(".")
    return f"""select concat('{table}.{column}: ', {column}) id, null::decimal(18,2) amount,
        'no such row in {target}' detail, count(*) n from {table}
        where {column} is not null and exists (from {target})
            and {column} not in (select {key} from {target} where {key} is not null) group by {column}"""


def _early(table: str, column: str) -> str:
    too_late = f" or {column} > export_day() + interval 10 year" if column == "expected_close_date" else ""
    return f"""select {key_of(table)} id, null::decimal(18,2) amount, concat('{table}.{column} ', {column}) detail
        from {table} where {column} < date '1990-01-01'{too_late}"""


def _late(table: str, column: str) -> str:
    limit = "export_day()" if tables.TABLES[table][column].kind == "date" else "exported_at()"
    return f"""select {key_of(table)} id, null::decimal(18,2) amount, concat('{table}.{column} ', {column}) detail
        from {table} where {column} > {limit}"""


def _span(table: str, first: str, last: str, sign: str) -> str:
    return f"""select concat('{table}: ', {key_of(table)}) id, null::decimal(18,2) amount,
        concat('{first} ', {first}, ', {last} ', {last}) detail from {table} where {last} {sign} {first}"""


def _midnight(table: str, column: str) -> str:
    return f"""select '{table}.{column}' id, null::decimal(18,2) amount,
        concat(n, ' of ', total, ' are midnight UTC, which is no midnight in ', zone()) detail, n
        from (select count({column}) total, count(*) filter (
            date_trunc('day', {column}) = {column} and hour(timezone(zone(), {column})) <> 0) n from {table})
        where n >= 20 and n >= 0.5 * total"""


def _mailed(table: str, column: str) -> str:
    return f"""select {key_of(table)} id, null::decimal(18,2) amount, '{table}.{column} holds an address' detail
        from {table} where regexp_matches({column}, '[\\w.+-]+@[\\w-]+\\.[A-Za-z]{{2,}}')"""


ENUMS = {spec.name: tuple(c.name for c in spec.columns if c.values) for spec in tables.TABLES.values()}
REFERENCES = {
    spec.name: tuple(c.name for c in spec.columns if c.references and f"{spec.name}.{c.name}" not in OWN_CHECK)
    for spec in tables.TABLES.values()
}
CURRENCIES = {spec.name: ("currency",) for spec in tables.TABLES.values() if "currency" in spec.names}

CHECKS = (
    Check(
        "G01", (17, 24, 63), "red", "Control totals that do not agree with the CRM", "load",
        meaning="Rows are missing or doubled, so every total is wrong.",
        mend="Export without filter and row limit, as a user who sees everything; or correct control_totals.",
        needs=("control",), of="control",
        sql="""
        select concat("table", ': ', measure) id,
            case when measure like 'amount%' then abs(try_cast(difference as decimal(18,2))) end amount,
            concat('the CRM shows ', stated, ', here are ', found) detail
        from control where try_cast(difference as decimal(38,2)) <> 0""",
    ),
    Check(
        "G02", (17, 63), "amber", "Tables with exactly as many rows as an export is capped at", "load",
        meaning="The export may have stopped at a limit; whatever came after is missing.",
        mend="Export in parts, or state control_totals in salesops.yaml: rows that agree settle it.",
        of="load_losses",
        sql=f"""
        select "table" id, null::decimal(18,2) amount, concat(rows_in, ' rows read') detail from load_losses
        where rows_in in {CAPS} and "table" not in (
            select "table" from control where measure = 'rows' and try_cast(difference as bigint) = 0)""",
    ),
    Check(
        "G03", (64, 65), "amber", "Rows set aside by the load", "load",
        meaning="They break the contract and count nowhere.",
        mend="Read the quarantine of the snapshot; mend the file or the mapping and load again.",
        of="select sum(rows_in) from load_losses",
        sql="""
        select "table" id, null::decimal(18,2) amount, reason detail, rows_quarantined n from load_losses
        where rows_quarantined > 0""",
    ),
    Check(
        "G04", (5,), "amber", "Values outside their closed list, kept as they are", "load",
        meaning="No report knows what they mean; the rows fall out of every split by that column.",
        mend="Map them in the mapping file (`map:`) or correct them in the CRM.",
        sql=_by_column(ENUMS, _unlisted),
    ),
    Check(
        "G05", (62,), "red", "Rows whose key is there already", "load",
        meaning="Whatever they carry is counted twice.",
        mend="Load the file once; a table joined before the export needs its own key.",
        sql=_each([(name, ()) for name in tables.TABLES], _doubled),
    ),
    Check(
        "G06", (5, 24), "note", "Things the load noticed", "load",
        meaning="Columns nobody reads, amounts rounded, rows without a key to derive from.",
        mend="Map the columns that matter, or name them under `ignore` in the mapping.",
        sql=f"""
        select concat_ws(' ', kind, nullif(file, ''), nullif("table", ''), nullif("column", '')) id,
            null::decimal(18,2) amount, coalesce(nullif(value, ''), kind) detail, n
        from load_findings where kind not in {SEEN_IN_DATA}""",
    ),
    Check(
        "G07", (), "amber", "Days since the export", "load",
        meaning="The pages show an old company.",
        mend="Export and load again; `gate: {max_age_days: …}` says how old is old.",
        needs=("today",),
        sql="""
        select 'export' id, null::decimal(18,2) amount, concat('exported on ', export_day()) detail,
            date_diff('day', export_day(), today()) n
        where date_diff('day', export_day(), today()) > max_age_days()""",
    ),
    Check(
        "G08", (), "note", "Exports without a time of their own", "load",
        meaning="When the data were exported is only read off the date of the files.",
        mend="State `extracted_at` in the mapping file.",
        sql="""
        select 'extracted_at' id, null::decimal(18,2) amount, concat('file time ', exported_at()) detail
        from load_findings where kind = 'file time'""",
    ),
    Check(
        "G09", (65,), "amber", "Ids that a spreadsheet has changed", "load",
        meaning="They match nothing, or the wrong row.",
        mend="Export as CSV and never open it in a spreadsheet; use 18-character Salesforce ids throughout.",
        sql=_by_column(
            {"opportunities": ("opportunity_id", "account_id", "owner_id"), "accounts": ("account_id",),
             "users": ("user_id",)},
            lambda table, column: f"""select concat('{table}.{column}: ', {column}) id,
            null::decimal(18,2) amount, 'written as a number' detail, count(*) n from {table}
            where regexp_matches({column}, '^([a-z_]+:)?\\d+(\\.\\d+)?[eE]\\+\\d+$|^([a-z_]+:)?\\d{{3,}}\\.0$')
            group by {column}
            union all select concat('{table}.{column}: ', any_value({column})), null,
            'of 15 characters, others of 18', count(*) from {table}
            where regexp_matches({column}, '^sf:[A-Za-z0-9]{{15}}$') and exists (
                select 1 from {table} where regexp_matches({column}, '^sf:[A-Za-z0-9]{{18}}$'))
            having count(*) > 0""",
        ),
    ),
    Check(
        "G10", (24,), "amber", "References to rows that are not there", "load",
        meaning="Joins lose them: totals by account, team or lead fall short.",
        mend="Export the table they point to in full; check that both use the same form of id.",
        sql=_by_column(REFERENCES, _dangling),
    ),
    Check(
        "G11", (24,), "amber", "Deals on accounts that are not in the data", "opportunities",
        meaning="They are missing from every split by account, segment or region.",
        mend="Export all accounts, also those the exporting user does not own.",
        needs=("accounts",), red_from=0.5, of="deals where account_id is not null",
        sql=deals(
            "account_id is not null and account_id not in (select account_id from accounts)",
            "'account ', account_id",
        ),
    ),
    Check(
        "G12", (12, 24), "amber", "Accounts with the name of another one", "accounts",
        meaning="One customer is counted as several: concentration, retention and territories are off.",
        mend="Merge them in the CRM, or link them through the parent account.",
        sql="""
        with named as (
            select account_id, name, regexp_replace(regexp_replace(lower(strip_accents(name)),
                '\\b(gmbh|mbh|ag|se|kg|inc|ltd|llc|plc|corp|co|sa|sas|sarl|srl|spa|bv|nv|ab|as|oy)\\b\\.?', ' ',
                    'g'),
                '[^\\p{L}\\p{N}]+', '', 'g') plain
            from accounts where not coalesce(is_deleted, false) and merged_into_id is null
        ), doubled as (
            select *, count(*) over (partition by plain) as copies from named where length(plain) > 2
        )
        select d.account_id id, sum(o.value)::decimal(38,2) amount,
            concat(left(any_value(d.name), 100), ': ', any_value(copies), ' accounts') detail
        from doubled d left join deals o using (account_id) where copies > 1 group by d.account_id""",
    ),
    Check(
        "G13", (66,), "note", "Free texts that hold an e-mail address", "load",
        meaning="Personal data that no report needs.",
        mend="Leave the column out of the mapping, or mask it there.",
        sql=_by_column(TEXTS, _mailed),
    ),
    Check(
        "G14", (65,), "amber", "Dates nobody can mean", "load",
        meaning="Before 1990, or expected in more than ten years: an empty cell, or a spreadsheet's serial.",
        mend="Empty or correct them in the CRM; check the date format of the export.",
        sql=_by_column(EARLY, _early),
    ),
    Check(
        "G15", (33, 34), "amber", "Things that happened after the export", "load",
        meaning="Either the time of export is wrong or the instants are in another time zone.",
        mend="State `extracted_at` and the time zone in the mapping.",
        sql=_by_column(LATE, _late),
    ),
    Check(
        "G16", (57,), "amber", "Spans that end before they begin", "load",
        meaning="They hold at no time: a quota, a stage or a person that no report sees.",
        mend="Correct the two dates.",
        sql=_each(SPANS.items(), _span),
    ),
    Check(
        "G17", (27, 32), "amber", "Rows whose currency is no ISO code", "load",
        meaning="They can never be priced.",
        mend="Map the names or symbols to ISO 4217 codes such as EUR.",
        sql=_by_column(
            CURRENCIES,
            lambda table, column: f"""select concat('{table}: ', {column}) id, null::decimal(18,2) amount,
            'no ISO 4217 code' detail, count(*) n from {table}
            where not regexp_matches({column}, '^[A-Z]{{3}}$') group by {column}""",
        ),
    ),
    Check(
        "G18", (34,), "amber", "Instants at midnight UTC that look like dates", "load",
        meaning="A date was given a time by another zone; near the end of a quarter it falls into the wrong one.",
        mend="Map the column as a date, or state the zone the export was written in.",
        sql=_by_column(INSTANTS, _midnight),
    ),
    Check(
        "G19", (33,), "note", "Closings that fall into another quarter in UTC", "opportunities",
        meaning="Right here, but a report that buckets by UTC shows another quarter.",
        mend="Nothing: this explains a difference with other tools.",
        of="deals where is_closed",
        sql="""
        select opportunity_id id, value amount, concat('closed ', closed_at, ', business day ',
            on_day(closed_at)) detail
        from deals join quarters q on on_day(closed_at) between q.first and q.last
        where is_closed and cast(timezone('UTC', closed_at) as date) not between q.first and q.last""",
    ),
)  # fmt: skip
