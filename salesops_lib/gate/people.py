"""Checks of people, teams and quotas."""

from __future__ import annotations

from salesops_lib.gate.check import Check, deals

GONE = "(not coalesce(u.is_active, true) or u.end_date < export_day())"
HERE = "(coalesce(u.is_active, true) and coalesce(u.end_date >= export_day(), true))"
AGREED = """(select * from quotas q where not coalesce(is_overlay, false) and version = (
    select max(version) from quotas v where v.holder_type = q.holder_type and v.holder_id = q.holder_id
    and v.period_start = q.period_start and v.measure = q.measure))"""
QUOTA_ID = "concat_ws(' | ', holder_type, holder_id, period_start, measure, version)"
QUOTA_AMOUNT = "case when measure in ('units', 'activities') then null else quota_amount end"


def _circles(table: str, key: str, above: str, nothing: str) -> str:
    """Rows that stand above themselves; the walk up ends after 50 steps."""
    return f"""select concat('{table}: ', low) id, null::decimal(18,2) amount,
        case min(steps) when 1 then '{nothing}' else concat('comes back after ', min(steps), ' steps') end detail
        from (
            with recursive up(low, high, steps) as (
                select {key}, {above}, 1 from {table} where {above} is not null
                union
                select low, t.{above}, steps + 1 from up join {table} t on t.{key} = up.high
                where t.{above} is not null and up.high <> up.low and steps < 50
            ) select * from up where high = low
        ) group by low"""


CHECKS = (
    Check(
        "G20", (20, 24), "amber", "Deals whose owner is no user in the data", "opportunities",
        meaning="Nobody gets the credit; they are in the total and in no team.",
        mend="Export all users, also inactive ones; check that owners are ids, not names.",
        needs=("users",), red_from=0.5, of="deals where owner_id is not null",
        sql=deals(
            "owner_id is not null and owner_id not in (select user_id from users)"
            " and owner_id not in (select team_id from teams)",
            "'owner ', owner_id",
        ),
    ),
    Check(
        "G21", (20,), "amber", "Deals that a team owns", "opportunities",
        meaning="They are in the totals, but no rep's number holds them.",
        mend="Give them to a person, or read them as the manager's.",
        needs=("teams",), of="deals where owner_id is not null",
        sql=deals("owner_id in (select team_id from teams)", "'team ', owner_id"),
    ),
    Check(
        "G22", (22, 62), "amber", "Open deals of people who left", "opportunities",
        meaning="Nobody works on them, yet they stand in the pipeline and in the forecast.",
        mend="Give them to somebody, or close them.",
        needs=("users",), of="deals where not is_closed",
        sql=f"""
        select opportunity_id id, value amount,
            concat('owner ', left(coalesce(u.name, u.user_id), 100), ', last day ', coalesce(u.end_date::varchar,
                'unknown'))
            detail
        from deals join users u on u.user_id = owner_id where not is_closed and {GONE}""",
    ),
    Check(
        "G23", (22,), "note", "People whose last day and account contradict", "users",
        meaning="Quota and ramp of leavers cannot be prorated; they drop out of benchmarks or stay in for ever.",
        mend="Enter the last day of those with a closed account, and close the accounts of those who left.",
        sql="""
        select user_id id, null::decimal(18,2) amount,
            case when is_active then concat('active, but left on ', end_date)
                else 'inactive, without a last day' end detail
        from users where (is_active and end_date < export_day()) or (not is_active and end_date is null)""",
    ),
    Check(
        "G24", (21,), "amber", "Managers, parent teams or accounts that lead back to themselves", "load",
        meaning="A roll-up along the line never ends, or counts twice.",
        mend="Correct the manager or parent.",
        sql="\nunion all ".join((
            _circles("users", "user_id", "manager_id", "own manager"),
            _circles("teams", "team_id", "parent_team_id", "own parent"),
            _circles("accounts", "account_id", "parent_account_id", "own parent"),
        )),
    ),
    Check(
        "G25", (24,), "note", "Users with the name of another one", "users",
        meaning="A source that exports names instead of ids cannot tell them apart.",
        mend="Use ids; where the source has none, add the e-mail to the name.",
        sql="""
        select user_id id, null::decimal(18,2) amount, left(name, 200) detail from users
        qualify count(*) over (partition by lower(trim(name))) > 1 and trim(name) <> ''""",
    ),
    Check(
        "G26", (23,), "note", "Reps without a single deal", "users",
        meaning="Nothing is wrong, but a mean over reps with deals leaves them out.",
        mend="Check their job and whether their deals are visible to the export.",
        needs=("opportunities",),
        of="users u where coalesce(u.is_quota_carrying, false)",
        sql=f"""
        select user_id id, null::decimal(18,2) amount, concat_ws(', since ', role, start_date) detail from users u
        where coalesce(is_quota_carrying, false) and {HERE} and role in ('ae', 'am')
            and coalesce(start_date <= export_day() - 90, true)
            and user_id not in (select owner_id from deals where owner_id is not null)
            and user_id not in (select owner_at_close_id from deals where owner_at_close_id is not null)""",
    ),
    Check(
        "G27", (57,), "amber", "Quota carriers without a quota today", "users",
        meaning="Attainment of the team is too high: their deals count, their target does not.",
        mend="Load the quotas of this period, or take the flag off.",
        needs=("quotas",), of="users u where coalesce(u.is_quota_carrying, false)",
        sql=f"""
        select user_id id, null::decimal(18,2) amount, concat(role, ', no quota holds on ', export_day()) detail
        from users u where coalesce(is_quota_carrying, false) and {HERE} and coalesce(start_date <= export_day(),
            true)
            and exists (from quotas where holder_type = 'user')
            and user_id not in (
                select holder_id from quotas
                where holder_type = 'user' and period_start <= export_day() and period_end > export_day())""",
    ),
    Check(
        "G28", (57,), "amber", "Quotas whose period overlaps another one of the same holder", "quotas",
        meaning="The target is counted twice.",
        mend="Keep one row a period; give a changed quota the next version of the same period.",
        sql=f"""
        select {QUOTA_ID} id, {QUOTA_AMOUNT} amount, concat('until ', period_end, ', the one before until ',
            before) detail
        from (
            select *, max(period_end) over (partition by holder_type, holder_id, measure order by period_start
                rows between unbounded preceding and 1 preceding) as before from {AGREED}
        ) where before > period_start""",
    ),
    Check(
        "G29", (57,), "note", "Quotas approved after their period began", "quotas",
        meaning="At an earlier as-of day there is no target, and attainment cannot be shown.",
        mend="Approve earlier, or read attainment with that in mind.",
        needs=("quotas.approved_at",),
        sql=f"""
        select {QUOTA_ID} id, {QUOTA_AMOUNT} amount, concat('approved on ', on_day(approved_at), ', began ',
            period_start)
            detail
        from quotas where version = 1 and on_day(approved_at) > period_start""",
    ),
    Check(
        "G30", (36,), "amber", "Quotas whose period is no fiscal one", "quotas",
        meaning="They fall between two fiscal periods and silently attach to none.",
        mend="Set start and end to first days of fiscal months, or correct the fiscal calendar in salesops.yaml.",
        sql=f"""
        select {QUOTA_ID} id, {QUOTA_AMOUNT} amount, concat(period_start, ' to ', period_end) detail from quotas
        where period_end - period_start >= 25
            and (period_start not in (from month_starts) or period_end not in (from month_starts))""",
    ),
    Check(
        "G31", (24, 62), "amber", "Quotas of holders that are not in the data", "quotas",
        meaning="Their target counts in the total, and nobody attains it.",
        mend="Check that quotas use the ids of the CRM, with their prefix.",
        needs=("users",),
        sql=f"""
        select {QUOTA_ID} id, {QUOTA_AMOUNT} amount, concat('no such ', holder_type) detail from quotas
        where (holder_type = 'user' and holder_id not in (select user_id from users))
            or (holder_type = 'team' and exists (from teams) and holder_id not in (select team_id from teams))""",
    ),
    Check(
        "G32", (57,), "amber", "Quotas of zero or less", "quotas",
        meaning="Attainment against them is not defined.",
        mend="Enter the target, or take the row out.",
        sql=f"""
        select {QUOTA_ID} id, quota_amount amount, 'not above zero' detail from quotas where quota_amount <= 0""",
    ),
    Check(
        "G33", (21,), "note", "Quota carriers without manager or team", "users",
        meaning="They are in the company's number and in no roll-up.",
        mend="Enter the manager and the team.",
        of="users u where coalesce(u.is_quota_carrying, false)",
        sql=f"""
        select user_id id, null::decimal(18,2) amount,
            concat_ws(', ', case when manager_id is null then 'no manager' end, case when team_id is null
                then 'no team' end)
            detail
        from users u where coalesce(is_quota_carrying, false) and {HERE} and (manager_id is null
            or team_id is null)
            and exists (from users where manager_id is not null)""",
    ),
)  # fmt: skip
