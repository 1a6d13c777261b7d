"""Checks of the history of deals: what was tracked, since when, and whether it leads to what the deals show."""

from __future__ import annotations

from salesops_lib.gate.check import Check

HISTORY = ("opportunity_history",)
FOLLOWED = """(values ('stage'), ('amount'), ('expected_close_date'), ('forecast_category'), ('owner')) f(field)"""
CHANGE = "concat_ws(' | ', opportunity_id, changed_at)"
BEFORE, OLD, NEW = (f"coalesce({column}, 'nothing')" for column in ("before_value", "old_value", "new_value"))

CHECKS = (
    Check(
        "G73", (15, 16), "amber", "Deals whose history does not lead to what they show", "opportunities",
        meaning="The company at an earlier day is rebuilt from the history, so pages and CRM differ.",
        mend="Export deals and history at one time and in full; check that both use the same stage ids.",
        needs=HISTORY, red_from=0.25, of="deals join digest using (opportunity_id)",
        sql="""
        select opportunity_id id, value amount, concat_ws('; ',
            case when stages > 0 and stage_last is distinct from stage_id
                then concat('stage ', stage_id, ', last change to ', coalesce(stage_last, 'nothing')) end,
            case when amounts > 0 and try_cast(amount_last as decimal(18,2)) is distinct from amount
                then concat('amount ', amount, ', last change to ', coalesce(amount_last, 'nothing')) end) detail
        from deals join digest using (opportunity_id)
        where (stages > 0 and stage_last is distinct from stage_id)
            or (amounts > 0 and try_cast(amount_last as decimal(18,2)) is distinct from amount)""",
    ),
    Check(
        "G74", (7,), "amber", "Deals whose expected close date was edited after they closed", "opportunities",
        meaning="Where the CRM has one date for both, the closing moves to another period.",
        mend="Ask who edited it, and why; lock the field on closed deals.",
        needs=("history:expected_close_date",), of="deals where is_closed",
        sql="""
        select opportunity_id id, value amount, concat('closed ', closing_at, ', edited ', date_changed_at,
            ' to ', date_last)
            detail
        from deals join digest using (opportunity_id)
        where is_closed and date_changed_at > closing_at + interval 1 hour""",
    ),
    Check(
        "G75", (9,), "amber", "Closed deals that closed on another day in the history of stages", "opportunities",
        meaning="The closing instant was typed or kept from an earlier closing; they count in another period.",
        mend="Trust the history of stages; see which automation sets the date.",
        needs=("history:stage", "stages"), of="deals where is_closed",
        sql="""
        select opportunity_id id, value amount, concat('closed ', closed_at, ', last entry into a closed stage ',
            closing_at)
            detail
        from deals join digest using (opportunity_id)
        where is_closed and abs(epoch(closed_at) - epoch(closing_at)) > 86400""",
    ),
    Check(
        "G76", (11,), "note", "Deals that were reopened", "opportunities",
        meaning="They closed more than once; the last closing counts.",
        mend="Nothing: the waterfall shows them; decide what happens to commission.",
        needs=("history:stage", "stages"),
        sql="""
        select opportunity_id id, value amount, concat('reopenings: ', reopened) detail
        from deals join digest using (opportunity_id) where reopened > 0""",
    ),
    Check(
        "G77", (14,), "amber", "Deals that vanished between two exports", "opportunities",
        meaning="Deleted, or hidden from the exporting user: nobody can tell.",
        mend="Export deleted rows too (queryAll in Salesforce), as a user who sees everything.",
        needs=HISTORY, of="every_deal",
        sql="""
        select opportunity_id id, value amount, concat('gone since ', gone_at) detail
        from digest left join every_deal using (opportunity_id) where gone_at is not null""",
    ),
    Check(
        "G78", (15,), "amber", "Fields that the history does not track", "opportunity_history",
        meaning="Their earlier values are not known: slips and changes of the pipeline stay unexplained.",
        mend="Switch field tracking on in the CRM, or keep a snapshot a day.",
        of=f"(select 1 from {FOLLOWED})",
        sql=f"""
        select field id, null::decimal(18,2) amount, 'no change after creation in any deal' detail
        from {FOLLOWED} where field not in (select field from tracked)""",
    ),
    Check(
        "G79", (16,), "amber", "Fields tracked only since after the first deal", "load",
        meaning="Before that day the value is the one at the first change, not the one that held.",
        mend="Do not ask for earlier as-of days for that field.",
        needs=("coverage", "opportunities"),
        sql="""
        select field id, null::decimal(18,2) amount, concat('tracked since ', since) detail from coverage
        where try_cast(since as timestamptz) > (select min(created_at) + interval 1 day from every_deal)""",
    ),
    Check(
        "G80", (19,), "amber", "Owner changes recorded twice", "opportunity_history",
        meaning="Once by id and once by name: a deal seems to change hands twice.",
        mend="Keep the row with the id.",
        of="opportunity_history where field = 'owner'",
        sql="""
        select concat_ws(' | ', opportunity_id, changed_at) id, null::decimal(18,2) amount,
            concat(count(*), ' rows: ', left(string_agg(new_value, ', ' order by seq), 200)) detail, count(*) - 1 n
        from opportunity_history where field = 'owner' group by opportunity_id, changed_at having count(*) > 1""",
    ),
    Check(
        "G81", (46,), "amber", "Deals with history from before their creation", "opportunities",
        meaning="They were imported or cloned: their age is too short.",
        mend="Take the original creation date from the old system.",
        needs=HISTORY,
        sql="""
        select opportunity_id id, value amount, concat('created ', created_at, ', first change ', first_at) detail
        from deals join digest using (opportunity_id) where first_at < created_at - interval 1 second""",
    ),
    Check(
        "G82", (14, 24), "amber", "Deals with history that are not in the data", "opportunity_history",
        meaning="Deleted or not exported: earlier pages lack them.",
        mend="Export deleted deals too (queryAll in Salesforce).",
        needs=("opportunities",), of="digest",
        sql="""
        select opportunity_id id, null::decimal(18,2) amount, concat(changes, ' changes, last ', last_at) detail
        from digest anti join opportunities using (opportunity_id)""",
    ),
    Check(
        "G83", (49,), "amber", "Stages in the history that the stage table does not have", "opportunity_history",
        meaning="Renamed or deleted stages: the funnel loses whoever passed them.",
        mend="Add them to the stage map, with the days they held.",
        needs=("stages",), of="opportunity_history where field = 'stage'",
        sql="""
        select coalesce(new_value, '') id, null::decimal(18,2) amount, concat('first ', min(changed_at)) detail,
            count(*) n
        from opportunity_history where field = 'stage' and new_value is not null
            and new_value not in (select stage_id from stages where stage_id is not null)
        group by new_value""",
    ),
    Check(
        "G84", (50,), "note", "Deals that skipped a stage", "opportunities",
        meaning="A conversion from stage to stage counts who reached or passed it.",
        mend="Nothing, unless nearly all skip the same one: then it is no stage.",
        needs=("history:stage", "stages"),
        sql="""
        select opportunity_id id, value amount, concat('moves that skipped a stage: ', skipped) detail
        from deals join digest using (opportunity_id) where skipped > 0""",
    ),
    Check(
        "G85", (50,), "note", "Deals that jumped back to an earlier stage", "opportunities",
        meaning="The first entry into a stage counts; time in stage is the sum of its visits.",
        mend="Nothing: see funnel diagnostics for how often and where.",
        needs=("history:stage", "stages"),
        sql="""
        select opportunity_id id, value amount, concat('moves back: ', back) detail
        from deals join digest using (opportunity_id) where back > 0""",
    ),
    Check(
        "G98", (15,), "amber", "Contradicting changes of one field at one instant", "opportunity_history",
        meaning="They do not follow on from each other: the last by `seq` holds, the others held for no time.",
        mend="See which automation or import writes them; keep one change an instant.",
        sql=f"""
        select {CHANGE} id, null::decimal(18,2) amount, concat(field, ' to ', {BEFORE},
            ', then from ', {OLD}, ' to ', {NEW}, ', which holds unless another follows') detail
        from jumps
        where changed_at = before_at and field <> 'owner' and new_value is distinct from before_value""",
    ),
    Check(
        "G99", (15, 16), "amber", "Changes that do not follow on from the one before", "opportunity_history",
        meaning="What was changed in between is not known: each value holds until the next change that is.",
        mend="Export the history in full; see who may write without its being tracked.",
        sql=f"""
        select {CHANGE} id, null::decimal(18,2) amount, concat(field, ' ', {BEFORE}, ' since ', before_at,
            ', then from ', {OLD}, ' to ', {NEW}) detail
        from jumps where changed_at > before_at and not again and not (field = 'owner' and exists (
            from opportunity_history h where h.opportunity_id = jumps.opportunity_id and h.field = 'owner'
                and h.changed_at = jumps.before_at and h.new_value = jumps.old_value))""",
    ),
    Check(
        "G100", (15, 16), "amber", "Deals that begin again while they are open", "opportunities",
        meaning="They count as one attempt: only leaving a closed stage begins another.",
        mend="See whether two deals were merged or an import created them anew; remove the second creation.",
        needs=("history:stage", "stages"),
        sql=f"""
        select opportunity_id id, any_value(value) amount, concat('open in ', string_agg(
            concat({BEFORE}, ' since ', before_at, ', begun again ', changed_at, ' in ', {NEW}), '; '
            order by changed_at, seq)) detail
        from deals join jumps using (opportunity_id) where again group by opportunity_id""",
    ),
    Check(
        "G101", (16,), "amber", "Changes that arrived late", "opportunity_history",
        meaning="Pages of earlier days differ from those made then: what was reported is in the earlier snapshot.",
        mend="Ask who writes changes with a past date; state in the report which snapshot it stands on.",
        needs=("earlier",),
        sql=f"""
        select {CHANGE} id, null::decimal(18,2) amount, concat(field, ' from ', {OLD}, ' to ', {NEW},
            ', not in the export of ', earlier_day()) detail
        from (
            from opportunity_history where on_day(changed_at) < earlier_day()
        ) late
        semi join earlier_opportunities using (opportunity_id)
        semi join (select distinct field from earlier_opportunity_history) using (field)
        anti join earlier_opportunity_history e on e.opportunity_id = late.opportunity_id and e.field = late.field
            and e.changed_at = late.changed_at and e.new_value is not distinct from late.new_value""",
    ),
)  # fmt: skip
