"""Checks of deals: state, stages, probability, amounts, currencies."""

from __future__ import annotations

from salesops_lib.gate.check import Check, deals

CHECKS = (
    Check(
        "G34", (1,), "amber", "Deals with a probability outside 0 to 1", "opportunities",
        meaning="A weighted pipeline counts them up to a hundred times.",
        mend="Set the scale of the column in the mapping: Salesforce and Pipedrive write 0–100, HubSpot 0–1.",
        needs=("opportunities.probability_crm",), red_from=0.01, of="deals where probability_crm is not null",
        sql=deals("probability_crm < 0 or probability_crm > 1", "'probability ', probability_crm"),
    ),
    Check(
        "G35", (1,), "amber", "Open deals with a probability on the wrong scale", "opportunities",
        meaning="None is above 1 %, or all are 0 or 1: percentages were divided twice, or rounded away.",
        mend="Set the scale of the column in the mapping.",
        needs=("opportunities.probability_crm",), of="deals where not is_closed", least=5,
        sql=deals(
            """not is_closed and probability_crm > 0 and (
            select max(probability_crm) <= 0.01 or bool_and(probability_crm in (0, 1))
            from deals where not is_closed)""",
            "'probability ', probability_crm",
        ),
    ),
    Check(
        "G36", (4,), "amber", "Deals that are won but not closed", "opportunities",
        meaning="They count as revenue and as pipeline at once.",
        mend="Correct the flags in the mapping: what is won is closed.",
        red_from=0.01, of="deals where is_won",
        sql=deals("is_won and not is_closed", "'stage ', stage_id"),
    ),
    Check(
        "G37", (4, 9), "amber", "Closed deals without a close date", "opportunities",
        meaning="They fall into no period: bookings and win rates miss them.",
        mend="Map the close date; where the source has none, load the history of stages.",
        red_from=0.05, of="deals where is_closed",
        sql=deals("is_closed and close_date is null and closed_at is null", "'stage ', stage_id"),
    ),
    Check(
        "G38", (4, 11), "amber", "Open deals with a close date", "opportunities",
        meaning="Reopened, or closed in the wrong stage; the old date still stands.",
        mend="Empty the date in the CRM, or close the deal.",
        of="deals where not is_closed",
        sql=deals("not is_closed and (closed_at is not null or close_date is not null)", "'closed ', closed_at"),
    ),
    Check(
        "G39", (4,), "amber", "Deals whose state and stage contradict", "opportunities",
        meaning="One number takes the flag, another the stage: pipeline and bookings do not add up to all deals.",
        mend="Correct is_closed and is_won of the stage, or the mapping of the deal's flags.",
        needs=("stages",), red_from=0.05,
        sql="""
        select opportunity_id id, value amount,
            concat(case when is_won then 'won' when is_closed then 'lost' else 'open' end, ' in stage ',
                stage_name,
                ' that is ', case when won then 'won' when closed then 'lost' else 'open' end) detail
        from deals join flags using (pipeline_id, stage_id) where is_closed <> closed or is_won <> won""",
    ),
    Check(
        "G40", (49,), "red", "Pipelines whose stages cannot tell won, lost and open apart", "stages",
        meaning="Nothing can be won there, or something is won and still open.",
        mend="State is_closed and is_won of every stage in the mapping.",
        needs=("opportunities",), of="select count(distinct pipeline_id) from flags",
        sql="""
        select pipeline_id id, sum(d.value)::decimal(38,2) amount, any_value(f.said) detail from (
            select pipeline_id, case when not bool_or(won) then 'no stage is won' when bool_and(closed)
                then 'no stage is open' else 'a stage is won but not closed' end said
            from flags group by 1 having not bool_or(won) or bool_and(closed) or bool_or(won and not closed)
        ) f join deals d using (pipeline_id) group by 1""",
    ),
    Check(
        "G41", (49,), "amber", "Deals in a stage that the stage table does not have", "opportunities",
        meaning="Nobody knows whether they are open or closed; the funnel loses them.",
        mend="Add the stage, also a renamed or deleted one, to the stage map.",
        needs=("stages",), red_from=0.2,
        sql="""
        select opportunity_id id, value amount, concat('stage ', stage_id, ' of pipeline ', pipeline_id) detail
        from deals anti join flags using (pipeline_id, stage_id)""",
    ),
    Check(
        "G42", (49,), "amber", "Stages whose name or place another one of their pipeline has", "stages",
        meaning="Which comes first is anybody's guess; moves between them look like steps back or none.",
        mend="Give each open stage its own place; end the old version of a renamed one.",
        sql="""
        select concat_ws(' | ', pipeline_id, stage_id) id, null::decimal(18,2) amount,
            concat('place ', stage_order, ', ', left(stage_name, 100)) detail from flags
        qualify (count(*) over (partition by pipeline_id, stage_order, closed) > 1 and not closed)
            or count(*) over (partition by pipeline_id, lower(trim(stage_name))) > 1""",
    ),
    Check(
        "G43", (6,), "amber", "Open deals in a stage that the forecast omits", "opportunities",
        meaning="A new Salesforce stage starts as Omitted: its deals are in no forecast.",
        mend="Give the stage a forecast category.",
        needs=("stages.forecast_category",), of="deals where not is_closed",
        sql="""
        select opportunity_id id, value amount, concat('stage ', stage_name) detail
        from deals join flags using (pipeline_id, stage_id)
        where not is_closed and not closed and category = 'omitted'""",
    ),
    Check(
        "G44", (47,), "amber", "Open deals without an amount", "opportunities",
        meaning="They count as deals and add nothing to pipeline and forecast.",
        mend="Ask the owners; completeness by stage shows where it begins to matter.",
        of="deals where not is_closed",
        sql=deals("not is_closed and amount is null", "'stage ', stage_id"),
    ),
    Check(
        "G45", (47,), "amber", "Won deals without an amount", "opportunities",
        meaning="Bookings are too low.",
        mend="Enter the amount, or map the right column.",
        red_from=0.2, of="deals where is_won",
        sql=deals("is_won and amount is null", "'closed on ', close_date"),
    ),
    Check(
        "G46", (47,), "amber", "Deals with an amount of exactly zero", "opportunities",
        meaning="A placeholder, often from line items: it pulls every mean down.",
        mend="Empty it: not priced is not zero.",
        sql=deals("amount = 0 and not (is_closed and not is_won)", "'stage ', stage_id"),
    ),
    Check(
        "G47", (58,), "amber", "Deals with a negative amount", "opportunities",
        meaning="A credit note or correction kept as a deal: it lowers bookings and counts as a win.",
        mend="Keep credits with invoices, not with deals.",
        sql=deals("amount < 0", "'amount ', amount, ' ', currency"),
    ),
    Check(
        "G48", (48,), "amber", "Lost deals whose amount was blanked", "opportunities",
        meaning="A win rate by value comes close to 100 %.",
        mend="Load the history: the last amount before the loss is used; else do not read the rate by value.",
        of="deals where is_closed and not is_won",
        sql=deals(
            """is_closed and not is_won and coalesce(amount, 0) = 0 and (
            select count(*) filter (not is_won and coalesce(amount, 0) = 0) / nullif(count(*)
                filter (not is_won), 0)
                > 0.2 + count(*) filter (is_won and coalesce(amount, 0) = 0) / nullif(count(*) filter (is_won), 0)
            from deals where is_closed)""",
            "'lost on ', close_date",
        ),
    ),
    Check(
        "G49", (51,), "amber", "Deals without a type", "opportunities",
        meaning="Renewals sit in the win rate of new business.",
        mend="Map the type, or give each pipeline one.",
        least_share=0.5,
        sql=deals("type is null", "'pipeline ', pipeline_id"),
    ),
    Check(
        "G50", (52,), "note", "Deals that do not say what their amount counts", "opportunities",
        meaning="One-off, yearly, total or monthly: nobody can tell.",
        mend="State amount_basis of the pipeline in the mapping.",
        least_share=0.5,
        sql=deals("amount is not null and amount_basis is null", "'pipeline ', pipeline_id"),
    ),
    Check(
        "G51", (52,), "amber", "Deals whose amount counts something else than their pipeline's", "opportunities",
        meaning="Yearly, total and monthly values are added up.",
        mend="Give each its own pipeline, or convert them to one basis.",
        needs=("opportunities.amount_basis",),
        sql="""
        with used as (
            select pipeline_id, amount_basis basis, count(*) n from deals
            where amount is not null and amount_basis is not null group by all
        ), usual as (select pipeline_id, arg_max(basis, (n, basis)) usual from used group by 1)
        select opportunity_id id, value amount, concat(amount_basis, ', most are ', usual) detail
        from deals join usual using (pipeline_id) where amount is not null and amount_basis <> usual""",
    ),
    Check(
        "G52", (27, 28, 32), "amber", "Deals in a currency without a rate", "opportunities",
        meaning="They are counted, not priced: every total in money lacks them.",
        mend="Load fx_rates with a daily rate or monthly average around their close date.",
        red_from=0.1, of="deals where amount is not null",
        sql="""
        select opportunity_id id, amount, currency, concat('no rate to ', corporate(), ' on ',
            coalesce(close_date, export_day())) detail
        from deals where amount is not null and value is null""",
    ),
    Check(
        "G53", (27, 32), "red", "Exchange rates that are in another currency than the company's", "fx_rates",
        meaning="Every converted amount is wrong by the same factor.",
        mend="State the currency of the rates as `company: {currency: …}`, or load rates in the company's.",
        sql="""
        select concat_ws(' | ', currency, rate_date, kind) id, null::decimal(18,2) amount,
            concat('1 ', currency, ' = ', rate_to_corp, ' ', corporate()) detail
        from fx_rates where currency = corporate() and rate_to_corp <> 1""",
    ),
    Check(
        "G54", (29,), "amber", "Exchange rates that jump to more than double or less than half", "fx_rates",
        meaning="One of the two is inverted or mistyped.",
        mend="A rate says what one unit is worth in the corporate currency, never the inverse.",
        sql="""
        select concat_ws(' | ', currency, rate_date, kind) id, null::decimal(18,2) amount,
            concat(before, ' before, then ', rate_to_corp) detail from (
            select *, lag(rate_to_corp) over (partition by currency, kind order by rate_date) as before
                from fx_rates
        ) where rate_to_corp / before::double not between 0.5 and 2""",
    ),
    Check(
        "G55", (12,), "amber", "Probable clones of a deal lost shortly before", "opportunities",
        meaning="One chance counts as a loss and again as a new deal: win rate and cycle are off.",
        mend="Reopen the old deal instead of cloning it; merge the two.",
        sql="""
        select b.opportunity_id id, any_value(b.value) amount,
            concat('as ', min(a.opportunity_id), ', lost on ', min(a.close_date), ', created ',
                any_value(b.created_at)) detail
        from deals a join deals b on b.account_id = a.account_id and b.amount = a.amount
            and b.currency = a.currency
        where a.is_closed and not a.is_won and a.amount > 0 and a.opportunity_id <> b.opportunity_id
            and b.created_at >= a.closed_at and b.created_at < a.closed_at + interval 30 day
        group by b.opportunity_id""",
    ),
    Check(
        "G56", (12,), "amber", "Deals entered twice", "opportunities",
        meaning="Same account, name and amount, created on one day: counted twice.",
        mend="Merge them in the CRM.",
        sql="""
        select opportunity_id id, value amount, concat('as ', first_value(opportunity_id) over twin, ': ',
            left(name, 100))
            detail
        from deals where account_id is not null and amount is not null and name is not null
            and created_at is not null
        window twin as (partition by account_id, amount, currency, lower(trim(name)), on_day(created_at)
            order by opportunity_id)
        qualify row_number() over twin > 1""",
    ),
    Check(
        "G57", (13,), "note", "Deals merged into another one", "opportunities",
        meaning="Until the merge both existed; afterwards only the survivor counts.",
        mend="Nothing: this explains a difference with earlier reports.",
        sql="""
        select opportunity_id id, value amount, concat('into ', merged_into_id) detail
        from every_deal where merged_into_id is not null""",
    ),
    Check(
        "G58", (14,), "note", "Deleted deals without a time of deletion", "opportunities",
        meaning="Earlier pages still show them, since nobody knows when they went.",
        mend="Load the history, or deleted_at.",
        sql="""
        select opportunity_id id, value amount, concat('created ', created_at) detail from every_deal
        where is_deleted and deleted_at is null and opportunity_id not in (
            select opportunity_id from opportunity_history where field = 'deleted')""",
    ),
    Check(
        "G59", (13,), "amber", "Open deals on deleted or merged accounts", "opportunities",
        meaning="The customer is gone, the deal stands in the pipeline.",
        mend="Move them to the surviving account, or close them.",
        needs=("accounts",), of="deals where not is_closed",
        sql="""
        select opportunity_id id, value amount, concat('account ', account_id, ' ', case when a.is_deleted
            then 'deleted'
            else concat('merged into ', a.merged_into_id) end) detail
        from deals join accounts a using (account_id)
        where not is_closed and (coalesce(a.is_deleted, false) or a.merged_into_id is not null)""",
    ),
)  # fmt: skip
