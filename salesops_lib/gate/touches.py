"""Checks of activities and leads."""

from __future__ import annotations

from salesops_lib.gate.check import Check
from salesops_lib.gate.course import burst

NONE = "null::decimal(18,2) amount"
WHO = "left(coalesce(user_id, 'nobody'), 100)"
# how often a source may be silent in a month before it counts as a break: at least `SEEN` expected
SEEN, DROP, JUMP = 20, 0.2, 5
BEGUN = "nothing before, though deals go back to "  # and the day

# month: counts in company time up to the last full month; expected: median of up to six months before
BREAKS = f"""
    with monthly as (
        select type, date_trunc('month', on_day(started_at))::date as month, count(*) n from activities
        where started_at <= exported_at() and type is not null and year(started_at) >= 1990 group by all
    ), spans as (
        select type, min(month) first, (date_trunc('month', export_day()) - interval 1 month)::date last
        from monthly group by type
    ), filled as (
        select s.type, m.month::date as month, coalesce(n, 0) n
        from spans s, unnest(generate_series(s.first, s.last, interval 1 month)) m(month)
        left join monthly c on c.type = s.type and c.month = m.month
    ), told as (
        select *, median(n) over before as expected, count(*) over before as known from filled
        window before as (partition by type order by month rows between 6 preceding and 1 preceding)
    ), begun as (
        select type, first, (select min(date_trunc('month', on_day(created_at)))::date from deals) deals_from
            from spans
    )
    select month, type, n, expected::double expected, case when n = 0 then 'nothing logged'
        else 'down by more than 80 %' end note
    from told where expected >= {SEEN} and n < {DROP} * expected
    union all
    select month, type, n, expected::double, 'more than five times as many: logging may have begun' from told
    where known >= 3 and n >= {JUMP} * {SEEN} and n > {JUMP} * expected
    union all
    select first, type, 0, null, concat('{BEGUN}', deals_from) from begun
    where first > deals_from + interval 3 month
    order by 2, 1
"""

CHECKS = (
    Check(
        "G86", (38,), "amber", "Calls whose length is implausible", "activities",
        meaning="Longer than four hours, or half of them under a second: the unit is wrong.",
        mend="Set the unit in the mapping: HubSpot writes milliseconds, Pipedrive HH:MM, Dynamics minutes.",
        of="activities where type = 'call' and duration_s is not null",
        sql=f"""
        select activity_id id, {NONE}, concat(duration_s, ' s') detail from activities
        where type = 'call' and (duration_s > 14400 or duration_s < 0 or (duration_s < 1 and (
            select count(*) >= 20 and median(duration_s) < 1 from activities
            where type = 'call' and duration_s > 0)))""",
    ),
    Check(
        "G87", (39,), "amber", "Tasks that began after the export", "activities",
        meaning="Their date is the day they are due: planned work counts as done.",
        mend="Map when the task was completed; leave open tasks out.",
        of="activities where type = 'task'",
        sql=f"""
        select activity_id id, {NONE}, concat('began ', started_at) detail from activities
        where type = 'task' and started_at > exported_at()""",
    ),
    Check(
        "G88", (40,), "note", "Rows that belong to a group meeting already there", "activities",
        meaning="A meeting of five people counts five times.",
        mend="Leave the child rows out (IsChild in Salesforce); reports count one meeting a group.",
        needs=("activities.group_id",), of="activities where type = 'meeting'",
        sql=f"""
        select group_id id, {NONE}, concat(count(*), ' rows of one meeting') detail, count(*) - 1 n from activities
        where type = 'meeting' and group_id is not null group by group_id having count(*) > 1""",
    ),
    Check(
        "G89", (41,), "amber", "Mails sent by the dozen in one minute, not marked as automated", "activities",
        meaning="A sequence or list mail counts as personal work.",
        mend="Mark them as automated in the mapping (list mails, sequences).",
        of="activities where type = 'email' and direction = 'out'",
        sql=f"""
        select concat_ws(' | ', user_id, date_trunc('minute', started_at)) id, {NONE},
            concat(count(*), ' mails in one minute') detail, count(*) n from activities
        where type = 'email' and coalesce(direction, 'out') = 'out' and not coalesce(is_automated, false)
            and user_id is not null and timezone(zone(), started_at) <> date_trunc('day', timezone(zone(),
                started_at))
        group by user_id, date_trunc('minute', started_at) having count(*) >= 12""",
    ),
    Check(
        "G90", (41,), "note", "Outgoing mails that were automated", "activities",
        meaning="More than half: counts of mails say little about work.",
        mend="Nothing: activity KPIs leave them out.",
        of="activities where type = 'email' and direction = 'out'", least=20, least_share=0.5,
        sql=f"""
        select coalesce(user_id, 'nobody') id, {NONE}, concat(count(*), ' of ', {WHO}) detail, count(*) n
            from activities
        where type = 'email' and direction = 'out' and is_automated group by user_id""",
    ),
    Check(
        "G91", (42,), "amber", "Breaks in the logging of activities", "activities",
        meaning="Counts before and after cannot be compared: the tool changed, not the work.",
        mend="Find out what was switched on or off; compare only within one stretch.",
        of="(select distinct type, date_trunc('month', started_at) from activities)",
        sql=f"""
        select concat_ws(' ', type, month) id, {NONE}, concat(n, ' instead of about ', expected, ': ', note) detail
        from breaks""",
    ),
    Check(
        "G92", (43,), "note", "Meetings that overlap another one of the same person", "activities",
        meaning="Hours in meetings count twice when they are added up.",
        mend="Nothing: reports take the union of the times.",
        of="activities where type = 'meeting'",
        sql=f"""
        select activity_id id, {NONE}, concat('began ', started_at, ', the one before ended ', busy_until) detail
        from (
            select activity_id, started_at, max(ends) over (partition by user_id order by started_at, activity_id
                rows between unbounded preceding and 1 preceding) busy_until
            from (
                select *, if(duration_s between 0 and 86400, duration_s, 0) lasted,
                    coalesce(ended_at, started_at + to_seconds(lasted)) ends
                from activities
                where type = 'meeting' and user_id is not null and coalesce(outcome, '') <> 'cancelled'
            )
        ) where busy_until > started_at""",
    ),
    Check(
        "G93", (44,), "amber", "Leads converted at midnight", "leads",
        meaning="The source keeps only the day: response times from it are wrong by up to one.",
        mend="Take the first touch from activities.",
        of="leads where converted_at is not null", least=5, least_share=0.5,
        sql=f"""
        select lead_id id, {NONE}, concat('converted ', converted_at) detail from leads
        where converted_at = date_trunc('day', converted_at)
            or timezone(zone(), converted_at) = date_trunc('day', timezone(zone(), converted_at))""",
    ),
    Check(
        "G94", (44, 45), "amber", "Leads that moved on before they were created", "leads",
        meaning="Times to response and conversion are negative.",
        mend="Take the first creation, also of a recycled lead.",
        sql=f"""
        select lead_id id, {NONE}, concat('created ', created_at, ', ', case
            when converted_at < created_at then concat('converted ', converted_at)
            when qualified_at < created_at then concat('qualified ', qualified_at)
            else concat('disqualified ', disqualified_at) end) detail from leads
        where least(converted_at, qualified_at, disqualified_at) < created_at
            and least(converted_at, qualified_at, disqualified_at) <> date_trunc('day',
                least(converted_at, qualified_at, disqualified_at))""",
    ),
    Check(
        "G95", (46,), "amber", "Leads created in one go", "leads",
        meaning="A list was imported: creation and response times say nothing.",
        mend="Leave them out of both, or load their original date.",
        sql=burst("leads", "lead_id", "null::decimal(18,2)"),
    ),
    Check(
        "G96", (24, 45), "note", "Converted leads without their deal", "leads",
        meaning="Conversion is counted, but nobody can follow it to revenue.",
        mend="Map the converted opportunity.",
        of="leads where converted_at is not null",
        sql=f"""
        select lead_id id, {NONE}, concat('converted ', converted_at) detail from leads
        where converted_at is not null and opportunity_id is null and not coalesce(is_deleted, false)""",
    ),
)  # fmt: skip
