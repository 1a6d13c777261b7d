"""Checks of a deal's course: created, expected, worked on, closed; and how wins are spread."""

from __future__ import annotations

from salesops_lib.gate.check import Check, deals

OPEN = "deals where not is_closed"
WON = "deals where is_won and close_date is not null"


def burst(table: str, key: str, amount: str) -> str:
    """Write the SQL for rows created in one minute by the hundred, or a fifth of all.

    Midnight, local or UTC, is left out: it stands for a date without a time.
    """
    return f"""
        with moments as (
            select date_trunc('minute', created_at) as moment, count(*) n from {table}
            where created_at is not null and created_at <> date_trunc('day', created_at)
                and timezone(zone(), created_at) <> date_trunc('day', timezone(zone(), created_at))
            group by 1 having n >= 100 or (n >= 20 and n >= 0.2 * (select count(*) from {table}))
        )
        select {key} id, {amount} amount, concat(n, ' created at ', moment) detail
        from {table} join moments on date_trunc('minute', created_at) = moment"""


CHECKS = (
    Check(
        "G60", (20,), "amber", "Open deals without an owner", "opportunities",
        meaning="Nobody works on them, and no team's pipeline holds them.",
        mend="Give them to somebody.",
        of=OPEN,
        sql=deals("not is_closed and owner_id is null", "'stage ', stage_id"),
    ),
    Check(
        "G61", (18,), "amber", "Won deals without the owner at close", "opportunities",
        meaning="Credit goes to today's owner, who may have inherited the account.",
        mend="Load the history of owners, or map who closed it.",
        of="deals where is_won",
        sql=deals("is_won and owner_at_close_id is null", "'owner today ', owner_id"),
    ),
    Check(
        "G62", (10,), "amber", "Open deals without an expected close date", "opportunities",
        meaning="They are in the pipeline and in no period's forecast.",
        mend="Ask the owners for a date.",
        of=OPEN,
        sql=deals("not is_closed and expected_close_date is null", "'stage ', stage_id"),
    ),
    Check(
        "G63", (10,), "amber", "Open deals past their expected close date", "opportunities",
        meaning="They will not close on that day any more; a forecast by date counts them in the past.",
        mend="Move the date or close them; pages show them as overdue, never moved to today.",
        of=OPEN,
        sql=deals("not is_closed and expected_close_date < export_day()", "'expected on ', expected_close_date"),
    ),
    Check(
        "G64", (7, 46), "amber", "Deals created after they closed", "opportunities",
        meaning="Entered afterwards or imported: their cycle is negative.",
        mend="Take the original creation date from the old system.",
        of="deals where is_closed",
        sql=deals(
            "is_closed and coalesce(on_day(created_at) > close_date, created_at > closed_at)",
            "'created ', created_at, ', closed on ', close_date",
        ),
    ),
    Check(
        "G97", (7, 46), "amber", "Deals whose expected close date lies before their creation", "opportunities",
        meaning="Imported with the dates of another system, or typed wrong: every forecast by close date is off.",
        mend="Take the original creation date from the old system, or mend the close date in the CRM.",
        sql=deals(
            "expected_close_date < on_day(created_at)",
            "'created ', created_at, ', expected to close on ', expected_close_date",
        ),
    ),
    Check(
        "G65", (7, 34), "amber", "Closed deals whose close date is not the day they closed", "opportunities",
        meaning="Edited afterwards, or shifted by a time zone: they may count in another period.",
        mend="One day off in bulk is a zone: map the date as a date. Else ask who edited it, and why.",
        red_from=0.5, of="deals where is_closed",
        sql=deals(
            "is_closed and close_date <> on_day(closed_at)", "'close date ', close_date, ', closed ', closed_at"
        ),
    ),
    Check(
        "G66", (8,), "amber", "Open deals that still have their default close date", "opportunities",
        meaning="The end of the month they were created in, never touched: nobody expects anything on that day.",
        mend="Ask the owners for a date; take the default off in the CRM.",
        needs=("history:expected_close_date",), of="deals where not is_closed and expected_close_date is not null",
        least=3, least_share=0.05,
        sql="""
        select opportunity_id id, value amount, concat('expected on ', expected_close_date, ', created ',
            created_at) detail
        from deals left join digest using (opportunity_id)
        where not is_closed and expected_close_date = last_day(on_day(created_at)) and coalesce(date_changes,
            0) = 0""",
    ),
    Check(
        "G67", (46,), "amber", "Deals created in one go", "opportunities",
        meaning="An import: their creation says nothing about when they began, so cycle and creation are off.",
        mend="Take the original creation date from the old system, or leave them out of both.",
        sql=burst("deals", "opportunity_id", "value"),
    ),
    Check(
        "G68", (53,), "note", "Won deals created three days or less before they were won", "opportunities",
        meaning="Held back until sure, or entered late: the pipeline never showed them.",
        mend="Nothing: forecasts need a part for deals not yet created.",
        of="deals where is_won",
        sql=deals(
            "is_won and closed_at >= created_at and closed_at <= created_at + interval 3 day",
            "'created ', created_at, ', won ', closed_at",
        ),
    ),
    Check(
        "G69", (54,), "note", "Won deals closed in the last three days of a fiscal quarter", "opportunities",
        meaning="A fifth or more of all wins: pulled forward, often with a discount.",
        mend="Nothing: compare periods at the same day, not in between.",
        of=WON, least=5, least_share=0.2,
        sql="""
        select opportunity_id id, value amount, concat('closed on ', close_date, ', ', label, ' ended on ', last)
            detail
        from deals join quarters q on close_date between q.last - 2 and q.last where is_won""",
    ),
    Check(
        "G70", (55,), "note", "Deals that are more than a quarter of a year's bookings", "opportunities",
        meaning="Every mean and growth rate hangs on them.",
        mend="Show totals with and without them.",
        of="deals where is_won and close_date >= year_start()",
        sql="""
        with won as (
            select * from deals where is_won and close_date >= year_start() and close_date <= export_day()
        ), booked as (select count(value) n, sum(value)::double total from won)
        select opportunity_id id, value amount,
            format('{:.0f} % of the last four quarters', 100 * value::double / total) detail
        from won, booked where n >= 8 and total > 0 and value::double > 0.25 * total""",
    ),
    Check(
        "G71", (), "note", "Open deals without a next step", "opportunities",
        meaning="Nobody has said what happens next.",
        mend="Ask the owners.",
        needs=("opportunities.next_step",), of=OPEN,
        sql=deals("not is_closed and nullif(trim(next_step), '') is null", "'stage ', stage_id"),
    ),
    Check(
        "G72", (10,), "amber", "Open deals that nobody has touched for long", "opportunities",
        meaning="No activity and no change; most of them will not close.",
        mend="Ask the owners, see `staleness`; `gate: {stale_days: …}` says how long is long.",
        needs=("touches",), of=OPEN,
        sql="""
        select opportunity_id id, value amount, concat(idle_days, ' days, owner ', owner_id) detail from idle
        where idle_days >= stale_days()""",
    ),
)  # fmt: skip
