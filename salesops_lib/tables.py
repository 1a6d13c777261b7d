"""The contract at the door: canonical tables, every column with type, unit, meaning and null rule.

`TABLES` is the single source. The pandera schema, the Parquet types and `data/README.md` are made from it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from salesops_lib.errors import ParameterError, unknown

if TYPE_CHECKING:
    import pandas as pd
    import pandera.pandas as pa_pandas
    import pyarrow as pa

UNITS = {
    "id": "identifier with source prefix",
    "text": "text",
    "enum": "one of a closed list",
    "money": "currency units, two decimals",
    "rate": "units of the corporate currency for one, nine decimals",
    "share": "share, 0 to 1",
    "number": "number",
    "count": "count",
    "duration": "seconds",
    "instant": "UTC instant",
    "date": "business date, company time zone",
    "flag": "true or false",
}

# what a cell of each kind should have been, for messages
WORDS = {
    "id": "an identifier", "money": "an amount", "rate": "an exchange rate", "share": "a share",
    "number": "a number", "count": "a whole number", "duration": "a duration", "instant": "a date and time",
    "date": "a date",
    "flag": "true or false", "text": "text", "enum": "one of a closed list",
}  # fmt: skip


@dataclass(frozen=True)
class Column:
    """One column of a canonical table.

    Parameters
    ----------
    name, kind, meaning
        `kind` is a key of `UNITS`.
    null
        What an empty cell means; the empty string says that the column may never be empty.
    values
        The closed list of an `enum`.
    references
        ``table.column`` this one points to.
    unit
        Unit, where it is narrower than the one of the kind.
    """

    name: str
    kind: str
    meaning: str
    null: str = ""
    values: tuple[str, ...] = ()
    references: str = ""
    unit: str = ""

    @property
    def required(self) -> bool:
        """Whether the column may never be empty."""
        return not self.null


@dataclass(frozen=True)
class Table:
    """One canonical table: its key, its level (R required, S strongly useful, O optional) and columns."""

    name: str
    level: str
    key: tuple[str, ...]
    meaning: str
    columns: tuple[Column, ...] = field(repr=False)

    def __getitem__(self, name: str) -> Column:
        for column in self.columns:
            if column.name == name:
                return column
        raise ParameterError(unknown(f"column of {self.name}", name, self.names))

    @property
    def names(self) -> list[str]:
        """Column names in canonical order."""
        return [column.name for column in self.columns]

    @property
    def required(self) -> list[str]:
        """Columns that may never be empty."""
        return [column.name for column in self.columns if column.required]


C = Column
UNKNOWN = "not recorded"
ROLES = ("ae", "sdr", "am", "se", "manager", "ops", "other")
CATEGORIES = ("omitted", "pipeline", "best_case", "most_likely", "commit", "closed")
HISTORY_FIELDS = (
    "stage", "amount", "currency", "expected_close_date", "forecast_category",
    "owner", "probability", "type", "deleted", "merged",
)  # fmt: skip

PROVENANCE = (
    C("source_system", "text", "System the row came from, e.g. salesforce, csv, sample"),
    C(
        "source_file_sha256",
        "text",
        "SHA-256 of the file the row came from",
        "made here, not read from a file",
    ),
    C("extracted_at", "instant", "When the source was exported"),
)

USERS = Table("users", "R", ("user_id",), "People who sell, manage or support selling; one row a person.", (
    C("user_id", "id", "Person"),
    C("name", "text", "Display name; may be a pseudonym", UNKNOWN),
    C("email", "text", "Work e-mail", UNKNOWN),
    C("role", "enum", "Job", "unknown job", ROLES),
    C("is_quota_carrying", "flag", "Carries an own quota"),
    C("manager_id", "id", "Direct manager", "no manager", references="users.user_id"),
    C("team_id", "id", "Team today", "in no team", references="teams.team_id"),
    C("start_date", "date", "First working day", "already there before records begin"),
    C("end_date", "date", "Last working day", "still here"),
    C("fte", "share", "Full-time share, above 0", "taken as full time"),
    C("is_active", "flag", "Has an active account in the source"),
    C("prior_experience_months", "count", "Sales experience before start", UNKNOWN, unit="months"),
    C("home_country", "text", "Country of the home base", UNKNOWN),
    C("home_postal_code", "text", "Postal code of the home base", UNKNOWN),
    C("home_lat", "number", "Latitude of the home base", UNKNOWN, unit="degrees"),
    C("home_lon", "number", "Longitude of the home base", UNKNOWN, unit="degrees"),
    C("timezone", "text", "IANA time zone", "company time zone"),
    C("currency", "text", "ISO 4217 code of the user", "corporate currency"),
))  # fmt: skip

TEAMS = Table("teams", "R", ("team_id",), "The sales organisation; one row a team.", (
    C("team_id", "id", "Team"),
    C("name", "text", "Display name"),
    C("parent_team_id", "id", "Team above", "top of the tree", references="teams.team_id"),
    C("region", "text", "Region the team covers", "no single region"),
    C("segment", "text", "Segment the team covers", "no single segment"),
))  # fmt: skip

ACCOUNTS = Table("accounts", "R", ("account_id",), "Companies sold to; one row a company.", (
    C("account_id", "id", "Company"),
    C("name", "text", "Display name", UNKNOWN),
    C("parent_account_id", "id", "Owning company", "independent", references="accounts.account_id"),
    C("owner_id", "id", "Account owner today", "nobody", references="users.user_id"),
    C("industry", "text", "Industry", UNKNOWN),
    C("segment", "text", "Segment", UNKNOWN),
    C("employees", "count", "Employees", UNKNOWN),
    C("annual_revenue", "money", "The company's own yearly revenue", UNKNOWN),
    C("country", "text", "Country", UNKNOWN),
    C("region", "text", "Sales region", UNKNOWN),
    C("postal_code", "text", "Postal code", UNKNOWN),
    C("lat", "number", "Latitude", UNKNOWN, unit="degrees"),
    C("lon", "number", "Longitude", UNKNOWN, unit="degrees"),
    C("created_at", "instant", "Created in the source", "unknown; taken as known from the start"),
    C("customer_since", "date", "First won deal or contract", "not a customer"),
    C("potential_amount", "money", "Estimated yearly potential", "not estimated"),
    C("visits_per_year", "number", "Planned visits a year", "not planned"),
    C("is_deleted", "flag", "Deleted in the source"),
    C("merged_into_id", "id", "Surviving company after a merge", "not merged", references="accounts.account_id"),
))  # fmt: skip

LEADS = Table("leads", "S", ("lead_id",), "Enquiries and prospects before a deal; one row a lead.", (
    C("lead_id", "id", "Lead"),
    C("created_at", "instant", "First created"),
    C("source", "text", "Where it came from", UNKNOWN),
    C("campaign_id", "id", "Campaign", "no campaign"),
    C("owner_id", "id", "Owner today", "nobody", references="users.user_id"),
    C("status", "text", "Status today, raw", UNKNOWN),
    C("qualified_at", "instant", "Reached the qualified status", "not qualified"),
    C("disqualified_at", "instant", "Disqualified", "not disqualified"),
    C("disqualify_reason", "text", "Why", "not disqualified or not recorded"),
    C("converted_at", "instant", "Converted to an opportunity", "not converted"),
    C("account_id", "id", "Company", "not matched", references="accounts.account_id"),
    C("opportunity_id", "id", "Opportunity it became", "not converted", references="opportunities.opportunity_id"),
    C("segment", "text", "Segment", UNKNOWN),
    C("country", "text", "Country", UNKNOWN),
    C("score_crm", "number", "Score the CRM gives", "not scored", unit="points"),
    C("is_deleted", "flag", "Deleted in the source"),
    C("merged_into_id", "id", "Surviving lead after a merge", "not merged", references="leads.lead_id"),
))  # fmt: skip

STAGES = Table("stages", "R", ("pipeline_id", "stage_id", "valid_from"),
               "The sales process, versioned; one row a stage of a pipeline.", (
    C("pipeline_id", "id", "Pipeline"),
    C("stage_id", "id", "Stage"),
    C("valid_from", "date", "First day this version holds"),
    C("valid_to", "date", "Day it stops holding (half-open)", "still holds"),
    C("stage_name", "text", "Display name"),
    C("stage_order", "count", "Position in the process, 1 is first"),
    C("is_closed", "flag", "Ends the deal"),
    C("is_won", "flag", "Ends the deal as won"),
    C("is_qualified", "flag", "A deal that got here counts as qualified; one closed before is disqualified"),
    C("probability_default", "share", "The CRM's own win probability", "none set"),
    C("forecast_category", "enum", "Default forecast category", "none set", CATEGORIES),
    C("journey_phase", "enum", "Buyer's phase", "not mapped",
      ("awareness", "consideration", "decision", "customer")),
))  # fmt: skip

OPPORTUNITIES = Table("opportunities", "R", ("opportunity_id",), "Deals as the source shows them at export.", (
    C("opportunity_id", "id", "Deal"),
    C("name", "text", "Display name", UNKNOWN),
    C("account_id", "id", "Company", "not matched to a company", references="accounts.account_id"),
    C("owner_id", "id", "Owner at export", "nobody", references="users.user_id"),
    C("pipeline_id", "id", "Pipeline"),
    C("stage_id", "id", "Stage at export", references="stages.stage_id"),
    C("type", "enum", "New business or not", UNKNOWN, ("new", "expansion", "renewal", "other")),
    C("amount", "money", "Deal value in `currency`", "not priced (never zero)"),
    C("currency", "text", "ISO 4217 code"),
    C("amount_basis", "enum", "What the amount counts", UNKNOWN, ("one_off", "acv", "tcv", "mrr")),
    C("created_at", "instant", "Created", "unknown; the deal is known only from the export on"),
    C("expected_close_date", "date", "Expected close while open", "no date set"),
    C("closed_at", "instant", "Last entry into a closed stage", "open"),
    C("close_date", "date", "Business date of `closed_at`", "open"),
    C("is_closed", "flag", "Closed at export"),
    C("is_won", "flag", "Won at export"),
    C("owner_at_close_id", "id", "Owner when it closed, who gets the credit", "open or not recorded",
      references="users.user_id"),
    C("forecast_category", "enum", "Forecast category at export", "none set", CATEGORIES),
    C("probability_crm", "share", "Win probability in the CRM", "none set"),
    C("lead_source", "text", "Where the deal came from", UNKNOWN),
    C("campaign_id", "id", "Campaign", "no campaign"),
    C("lead_id", "id", "Lead it came from", "no lead", references="leads.lead_id"),
    C("motion", "enum", "Sales motion", UNKNOWN, ("outbound", "inbound", "partner")),
    C("product_family", "text", "Main product sold", UNKNOWN),
    C("loss_reason", "text", "Why it was lost", "not lost or not recorded"),
    C("competitor", "text", "Competitor met", "none or not recorded"),
    C("next_step", "text", "Next step noted", "none noted"),
    C("next_activity_at", "instant", "Next planned activity", "none planned"),
    C("last_activity_at", "instant", "Last activity logged", "none logged"),
    C("contract_id", "id", "Contract it led to", "none"),
    C("is_deleted", "flag", "Deleted in the source"),
    C("deleted_at", "instant", "When it was deleted", "not deleted"),
    C("merged_into_id", "id", "Surviving deal after a merge", "not merged",
      references="opportunities.opportunity_id"),
))  # fmt: skip

OPPORTUNITY_HISTORY = Table("opportunity_history", "S", ("opportunity_id", "changed_at", "field", "seq"),
                            "Every change of a tracked field of a deal; one row a change.", (
    C("opportunity_id", "id", "Deal", references="opportunities.opportunity_id"),
    C("changed_at", "instant", "When the change took effect"),
    C("field", "enum", "What changed", values=HISTORY_FIELDS),
    C("seq", "count", "Order of changes at one instant, 0 first"),
    C("old_value", "text", "Value before, as text", "nothing before (creation)"),
    C("new_value", "text", "Value after, as text", "emptied"),
    C("changed_by", "id", "Who changed it", UNKNOWN, references="users.user_id"),
    C("is_bulk", "flag", "Part of a bulk edit or import"),
    C("origin", "enum", "How the change is known",
      values=("native", "property_history", "snapshot_diff", "inferred")),
))  # fmt: skip

ACTIVITIES = Table("activities", "S", ("activity_id",), "Calls, e-mails, meetings; one row an activity.", (
    C("activity_id", "id", "Activity"),
    C("type", "enum", "Kind", values=("call", "email", "meeting", "task", "note")),
    C("direction", "enum", "Who started it", UNKNOWN, ("in", "out", "internal")),
    C("user_id", "id", "Who did it", "nobody named", references="users.user_id"),
    C("account_id", "id", "Company", "not linked", references="accounts.account_id"),
    C("lead_id", "id", "Lead", "not linked", references="leads.lead_id"),
    C("opportunity_id", "id", "Deal", "not linked", references="opportunities.opportunity_id"),
    C("started_at", "instant", "Began"),
    C("ended_at", "instant", "Ended", UNKNOWN),
    C("duration_s", "duration", "Length", UNKNOWN),
    C("outcome", "enum", "Result", UNKNOWN,
      ("connected", "no_answer", "voicemail", "held", "no_show", "cancelled", "replied", "sent")),
    C("is_automated", "flag", "Sent by a sequence, not by a person"),
    C("is_external", "flag", "With somebody outside the company"),
    C("is_first_meeting", "flag", "First meeting with the company"),
    C("group_id", "id", "Group event it belongs to", "single event"),
    C("logged_at", "instant", "When it was entered", "taken as `started_at`"),
))  # fmt: skip

PRODUCTS = Table("products", "O", ("product_id",), "The catalogue; one row a product.", (
    C("product_id", "id", "Product"),
    C("name", "text", "Display name"),
    C("family", "text", "Product family", UNKNOWN),
    C("list_price", "money", "List price", UNKNOWN),
    C("standard_cost", "money", "Standard cost", UNKNOWN),
))  # fmt: skip

OPPORTUNITY_PRODUCTS = Table("opportunity_products", "O", ("line_id",), "Lines of a deal; one row a line.", (
    C("line_id", "id", "Line"),
    C("opportunity_id", "id", "Deal", references="opportunities.opportunity_id"),
    C("product_id", "id", "Product", "not matched to the catalogue", references="products.product_id"),
    C("quantity", "number", "Units", "taken as 1", unit="units"),
    C("unit_price", "money", "Price a unit", UNKNOWN),
    C("discount_share", "share", "Discount on the list price", "no discount"),
    C("amount", "money", "Line total", "not priced"),
    C("unit_cost", "money", "Cost a unit", UNKNOWN),
    C("term_months", "count", "Contract term", "one-off", unit="months"),
    C("is_recurring", "flag", "Recurs every term"),
))  # fmt: skip

QUOTAS = Table("quotas", "R", ("holder_type", "holder_id", "period_start", "measure", "version"),
               "Targets; one row a holder, period, measure and version.", (
    C("holder_type", "enum", "Who holds it", values=("user", "team", "territory")),
    C("holder_id", "id", "The holder"),
    C("period_start", "date", "First day"),
    C("measure", "enum", "What is counted", values=("bookings", "acv", "revenue", "units", "activities")),
    C("version", "count", "1 is the first agreed version"),
    C("period_end", "date", "Day after the last (half-open)"),
    C("quota_amount", "money", "Target; for units and activities a count"),
    C("currency", "text", "ISO 4217 code"),
    C("is_overlay", "flag", "Counts the same deals a second time; never in company totals"),
    C("approved_at", "instant", "When it was approved", "not recorded; taken as agreed beforehand"),
))  # fmt: skip

FORECAST_SUBMISSIONS = Table("forecast_submissions", "S", ("user_id", "period_start", "category", "submitted_at"),
                             "What people submit as forecasts; one row a person, period, category and time.", (
    C("user_id", "id", "Who submitted it", references="users.user_id"),
    C("period_start", "date", "First day of the fiscal period it is for"),
    C("category", "enum", "What it promises", values=CATEGORIES),
    C("submitted_at", "instant", "When; what a person submits later replaces it"),
    C("amount", "money", "Bookings of the whole period, won deals among them"),
    C("currency", "text", "ISO 4217 code"),
    C("kind", "enum", "Of the own deals, the sum of a team's, or a manager's word on it", "taken as own",
      ("own", "roll_up", "manager_adjusted")),
    C("comment", "text", "What was said with it", "nothing said"),
))  # fmt: skip

CALENDAR = Table("calendar", "R", ("date", "region"), "Fiscal calendar and working days; one row a day.", (
    C("date", "date", "Day"),
    C("region", "text", "Region the working day holds for; `all` for every one"),
    C("fiscal_year", "count", "Fiscal year, named after the calendar year it ends in", unit="year"),
    C("fiscal_quarter", "count", "1 to 4", unit="quarter"),
    C("fiscal_month", "count", "1 to 12", unit="month"),
    C("fiscal_week", "count", "1 to 53, from the first day of the fiscal year", unit="week"),
    C("is_working_day", "flag", "Neither weekend nor holiday"),
))  # fmt: skip

FX_RATES = Table("fx_rates", "R where deals have several currencies", ("currency", "rate_date", "kind"),
                 "What one unit of a currency is worth in the corporate one; one row a currency, day and kind.", (
    C("currency", "text", "ISO 4217 code"),
    C("rate_date", "date", "Day it is of and known from: an average has the last of its month, a plan its first"),
    C("kind", "enum", "Close of the day, average of the month, or agreed for a plan",
      values=("daily", "month_avg", "plan")),
    C("rate_to_corp", "rate", "Corporate currency for one unit, above 0; never the inverse"),
))  # fmt: skip

MOVEMENT = Table("opportunity_history", "R", OPPORTUNITY_HISTORY.key, "Changes between two instants.", (
    *OPPORTUNITY_HISTORY.columns,
    C("change", "text", "What the change did, in a word"),
    C("after_close", "flag", "The deal was closed already"),
))  # fmt: skip
# an opportunity at an instant: what no export holds, but its history tells
STATE = Table("opportunities", "R", ("opportunity_id",), "Deals as known at an instant.", (
    *OPPORTUNITIES.columns,
    C("attempt", "count", "1, and 1 more each time it was reopened by then"),
    C("last_changed_at", "instant", "Last change by then that was no bulk edit", "no change recorded"),
))  # fmt: skip

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        USERS, TEAMS, ACCOUNTS, STAGES, OPPORTUNITIES, QUOTAS, FORECAST_SUBMISSIONS, CALENDAR, FX_RATES,
        OPPORTUNITY_HISTORY, ACTIVITIES, LEADS, PRODUCTS, OPPORTUNITY_PRODUCTS,
    )
}  # fmt: skip

# which column of a deal each history field speaks of
TRACKED = {
    "stage": "stage_id",
    "amount": "amount",
    "currency": "currency",
    "expected_close_date": "expected_close_date",
    "forecast_category": "forecast_category",
    "owner": "owner_id",
    "probability": "probability_crm",
    "type": "type",
    "deleted": "is_deleted",
    "merged": "merged_into_id",
}
# a whole state of a deal as it was saved at an instant; columns are named after history fields
STATES = Table("opportunity_history", "S", ("opportunity_id", "changed_at", "seq"), "Saved states.", (
    *(c for c in OPPORTUNITY_HISTORY.columns if c.name in ("opportunity_id", "changed_at", "changed_by")),
    C("seq", "count", "Order of the record", UNKNOWN),
    C("is_bulk", "flag", "Part of a bulk edit", UNKNOWN),
    *(C(name, OPPORTUNITIES[of].kind, name, UNKNOWN, OPPORTUNITIES[of].values) for name, of in TRACKED.items()),
))  # fmt: skip


def table(name: str) -> Table:
    """Look a canonical table up by name.

    Raises
    ------
    ParameterError
        For a name that is no canonical table, with the near miss.
    """
    if name not in TABLES:
        raise ParameterError(unknown("table", name, TABLES))
    return TABLES[name]


def dtype(kind: str):
    """Return the pandas dtype a column of this kind has in memory."""
    import pandas as pd
    import pyarrow as pa

    return {
        "money": pd.ArrowDtype(pa.decimal128(18, 2)),
        "rate": pd.ArrowDtype(pa.decimal128(18, 9)),
        "share": "float64",
        "number": "float64",
        "count": "Int64",
        "duration": "float64",
        "instant": "datetime64[us, UTC]",
        "date": "datetime64[us]",
        "flag": "boolean",
    }.get(kind, pd.StringDtype("pyarrow"))


def arrow_type(kind: str) -> pa.DataType:
    """Return the Parquet type a column of this kind has on disk."""
    import pyarrow as pa

    return {
        "money": pa.decimal128(18, 2),
        "rate": pa.decimal128(18, 9),
        "share": pa.float64(),
        "number": pa.float64(),
        "count": pa.int64(),
        "duration": pa.float64(),
        "instant": pa.timestamp("us", tz="UTC"),
        "date": pa.date32(),
        "flag": pa.bool_(),
    }.get(kind, pa.string())


def sql_type(kind: str) -> str:
    """Return the SQL type a column of this kind has in DuckDB."""
    return {
        "money": "decimal(18,2)",
        "rate": "decimal(18,9)",
        "share": "double",
        "number": "double",
        "count": "bigint",
        "duration": "double",
        "instant": "timestamptz",
        "date": "date",
        "flag": "boolean",
    }.get(kind, "varchar")


def conform(frame: pd.DataFrame, name: str | Table) -> pd.DataFrame:
    """Give a frame the canonical columns, order and dtypes; absent optional columns become empty ones.

    Parameters
    ----------
    frame
        Columns of the canonical table `name`; others are dropped.

    Raises
    ------
    ParameterError
        Where a required column is absent, or a column cannot take its dtype.
    """
    import pandas as pd

    spec = name if isinstance(name, Table) else table(name)
    absent = [column for column in spec.required if column not in frame]
    if absent:
        raise ParameterError(
            f"{spec.name}: required column(s) {', '.join(absent)} absent. Needed: {', '.join(spec.required)}"
        )
    out = {}
    for column in (*spec.columns, *PROVENANCE):
        if column.name not in frame:
            if column in PROVENANCE:
                continue
            out[column.name] = pd.Series(None, index=frame.index, dtype=dtype(column.kind))
            continue
        try:
            out[column.name] = _as(frame[column.name], column.kind)
        except (ValueError, TypeError, ArithmeticError) as error:
            raise ParameterError(f"{spec.name}.{column.name} is not a {UNITS[column.kind]}: {error}") from error
    return pd.DataFrame(out, index=frame.index)


def _as(values: pd.Series, kind: str) -> pd.Series:
    import pandas as pd

    if kind == "money":
        return money(values)
    if kind == "rate":
        return rate(values)
    if kind == "instant" and pd.api.types.is_datetime64_dtype(values.dtype):
        values = values.dt.tz_localize("UTC")
    return values.astype(dtype(kind))


def money(values: pd.Series) -> pd.Series:
    """Give amounts the exact money dtype; floats are rounded to cents first.

    Raises
    ------
    ValueError
        For amounts with more than two decimals, or too large for decimal(18, 2).
    """
    from decimal import Decimal

    import pandas as pd

    if values.dtype == dtype("money"):
        return values
    if pd.api.types.is_float_dtype(values.dtype):
        values = values.round(2)
    elif pd.api.types.is_object_dtype(values.dtype):
        values = values.map(lambda amount: Decimal(str(amount)), na_action="ignore")
    return _decimals(values, 2)


def rate(values: pd.Series) -> pd.Series:
    """Give exchange rates their exact dtype; a float is read as it is written, then rounded to nine places.

    Raises
    ------
    ValueError
        For rates with more than nine decimals that are no floats, or too large for decimal(18, 9).
    """
    from decimal import Decimal

    def read(value: object) -> Decimal:
        return round(Decimal(str(value)), 9) if isinstance(value, float) else Decimal(str(value))

    return values if values.dtype == dtype("rate") else _decimals(values.map(read, na_action="ignore"), 9)


def _decimals(values: pd.Series, places: int) -> pd.Series:
    import pandas as pd
    import pyarrow as pa

    wide = pa.array(values, from_pandas=True).cast(pa.decimal128(38, places))
    exact = pd.arrays.ArrowExtensionArray(wide.cast(pa.decimal128(18, places)))
    return pd.Series(exact, index=values.index, name=values.name)


@cache
def schema(name: str | Table) -> pa_pandas.DataFrameSchema:
    """Build the pandera schema of a canonical table: dtypes, null rules, closed lists, ranges."""
    import pandera.pandas as pa

    def checks(column: Column) -> list[pa.Check]:
        rules = []
        if column.values:
            rules.append(pa.Check.isin(column.values, error=f"one of {', '.join(column.values)}"))
        if column.kind == "share":
            rules.append(pa.Check.in_range(0, 1, error="between 0 and 1"))
        if column.kind == "rate":
            rules.append(pa.Check.gt(0, error="above zero"))
        if column.kind == "duration":
            rules.append(pa.Check.ge(0, error="zero or more"))
        if column.name.endswith("lat"):
            rules.append(pa.Check.in_range(-90, 90, error="between -90 and 90"))
        if column.name.endswith("lon"):
            rules.append(pa.Check.in_range(-180, 180, error="between -180 and 180"))
        return rules

    spec = name if isinstance(name, Table) else table(name)
    return pa.DataFrameSchema(
        {c.name: pa.Column(None, checks(c), nullable=not c.required, required=c.required) for c in spec.columns},
        name=spec.name,
        strict=False,
    )


def violations(frame: pd.DataFrame, name: str | Table) -> pd.DataFrame:
    """List the cells of a conformed frame that break the contract.

    Returns
    -------
    DataFrame
        `row` (index label of `frame`), `column`, `value` (text, null where empty), `reason`, and `fatal`: a value
        outside a closed list is kept raw and reported, every other breach sets the row aside.
    """
    import numpy as np
    import pandas as pd
    import pandera.pandas as pa

    found = pd.DataFrame(columns=["row", "column", "value", "reason", "fatal"]).astype({"fatal": bool})
    try:
        schema(name).validate(frame, lazy=True)
    except pa.errors.SchemaErrors as errors:
        cases = errors.failure_cases
        empty = cases["check"].eq("not_nullable")
        found = pd.DataFrame(
            {
                "row": cases["index"],
                "column": cases["column"],
                "value": cases["failure_case"].astype("string").mask(empty),
                "reason": np.where(empty, "empty, but required", "not " + cases["check"].astype("string")),
                "fatal": ~cases["check"].astype("string").str.startswith("one of "),
            }
        )
    return found


def dictionary() -> str:
    """Write the data dictionary (`data/README.md`) as Markdown."""
    lines = [
        "# Data dictionary",
        "",
        "Generated from `salesops_lib/tables.py` by `make dictionary`; do not edit by hand.",
        "",
        "`raw/` holds exports as they came, `snapshots/` the immutable snapshots made from them (both stay out of",
        "version control); `reference/` holds files that people keep, such as quotas.",
        "",
        "Levels: **R** required, **S** strongly useful, **O** optional. Ids carry a source prefix (`sf:006…`).",
        "Money is decimal(18,2) with its own currency column, exchange rates are decimal(18,9); instants are UTC;",
        "business dates have no time zone.",
        "Every row also carries " + ", ".join(f"`{c.name}` ({c.meaning.lower()})" for c in PROVENANCE) + ".",
        "",
    ]
    for spec in TABLES.values():
        lines += [
            f"## `{spec.name}` ({spec.level})",
            "",
            f"{spec.meaning} Key: {', '.join(f'`{k}`' for k in spec.key)}.",
            "",
            "| column | unit | meaning | empty means |",
            "|---|---|---|---|",
        ]
        for c in spec.columns:
            unit = c.unit or UNITS[c.kind]
            allowed = f" ({', '.join(c.values)})" if c.values else ""
            target = f" → `{c.references}`" if c.references else ""
            lines.append(f"| `{c.name}` | {unit}{allowed} | {c.meaning}{target} | {c.null or '**never empty**'} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    print(dictionary(), end="")
