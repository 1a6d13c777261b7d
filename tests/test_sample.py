import json
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from salesops_lib import tables
from salesops_lib.errors import ParameterError
from salesops_lib.sources import sample
from salesops_lib.sources.sample import SampleSettings, batches, export, simulate, truth

REPLAYED = {
    "stage": "stage_id",
    "amount": "amount",
    "expected_close_date": "expected_close_date",
    "forecast_category": "forecast_category",
    "owner": "owner_id",
    "deleted": "is_deleted",
    "merged": "merged_into_id",
}


@pytest.fixture(scope="module")
def company():
    return simulate()


@pytest.fixture(scope="module")
def frames(company):
    return export(company)


@pytest.fixture(scope="module")
def live(frames):
    deals = frames["opportunities"]
    deals = deals.assign(segment=deals["account_id"].map(frames["accounts"].set_index("account_id")["segment"]))
    return deals[~deals["is_deleted"] & deals["merged_into_id"].isna()]


def check_contract(frames):
    for name, frame in frames.items():
        spec = tables.table(name)
        assert tables.violations(frame, name).empty, name
        assert not frame.duplicated(list(spec.key)).any(), name
        for column in spec.columns:
            if column.references:
                target, key = column.references.split(".")
                missing = set(frame[column.name].dropna()) - set(frames[target][key])
                assert not missing, (name, column.name, sorted(missing)[:3])


def as_text(field, value):
    if pd.isna(value):
        return None
    if field == "expected_close_date":
        return f"{value:%Y-%m-%d}"
    if field == "deleted":
        return "true" if value else None
    return f"{value:.2f}" if field == "amount" else value


def replay(history, at):
    state = {}
    order = ["opportunity_id", "changed_at", "seq"]
    rows = history[history["changed_at"] <= at].sort_values(order)
    columns = ["opportunity_id", "field", "old_value", "new_value", "changed_by"]
    for deal, field, old, new, owner in rows[columns].itertuples(index=False):
        now = state.setdefault(deal, dict.fromkeys(REPLAYED))
        assert now[field] == (None if pd.isna(old) else old)
        assert not pd.isna(owner)
        now[field] = None if pd.isna(new) else new
    return state


@pytest.mark.parametrize("at", [None, "2024-02-29"])
def test_frames_keep_the_contract_at_any_time(company, at):
    check_contract(export(company, at))


def test_second_currency_and_other_sizes_keep_the_contract():
    settings = SampleSettings(
        seed=3, teams=2, reps=5, accounts=40, opportunities=300, second_currency="GBP", timezone="America/New_York"
    )
    frames = export(simulate(settings))
    check_contract(frames)
    assert set(frames["opportunities"]["currency"]) == {"EUR", "GBP"}


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York"])
def test_people_and_companies_agree_at_any_hour(zone):
    company = simulate(SampleSettings(timezone=zone, reps=12, accounts=100, opportunities=100))
    team, clock = company.team, company.clock
    changes = np.concatenate([team.started, team.left[np.isfinite(team.left)]])
    for position in changes[changes > clock.opening]:
        for hours in (-9, 11):
            at = pd.Timestamp(int(clock.instant(np.array([position]))[0]) + hours * 3_600, unit="s", tz="UTC")
            frames = export(company, at)
            users = frames["users"].set_index("user_id")
            assert users["is_active"].reindex(frames["accounts"]["owner_id"]).eq(True).all(), at
            assert set(frames["quotas"].query("holder_type == 'user'")["holder_id"]) <= set(users.index)


def test_same_seed_same_frames():
    small = {"accounts": 60, "opportunities": 400, "reps": 10}
    one, two, other = (export(simulate(SampleSettings(seed=s, **small))) for s in (1, 1, 2))
    for name in one:
        pd.testing.assert_frame_equal(one[name], two[name])
    assert not one["opportunities"]["amount"].equals(other["opportunities"]["amount"])


def test_history_replays_to_the_rows_of_any_instant(company, frames):
    history = frames["opportunity_history"]
    rng = np.random.default_rng(11)
    instants = [pd.Timestamp(t, unit="s", tz="UTC") for t in rng.integers(1_698_000_000, 1_790_000_000, 3)]
    # The very instant of a change belongs to what is known.
    busy = history["changed_at"].iloc[len(history) // 2]
    for at in [*instants, busy, busy - pd.Timedelta(seconds=1)]:
        state = replay(history, at)
        seen = export(company, at)["opportunities"].set_index("opportunity_id")
        assert set(seen.index) == set(state)
        for field, column in REPLAYED.items():
            shown = {deal: as_text(field, value) for deal, value in seen[column].items()}
            assert shown == {deal: row[field] for deal, row in state.items()}, (at, field)
        stages = pd.Series({deal: row["stage"] for deal, row in state.items()}).reindex(seen.index)
        assert (seen["is_won"] == (stages == "sample:won")).all()
        assert (seen["is_closed"] == stages.isin(["sample:won", "sample:lost"])).all()


def test_history_of_an_earlier_export_is_a_prefix(company, frames):
    at = pd.Timestamp("2025-03-14 15:00", tz="UTC")
    columns = list(tables.table("opportunity_history").names)
    later = frames["opportunity_history"]
    expected = later[later["changed_at"] <= at][columns].reset_index(drop=True)
    pd.testing.assert_frame_equal(export(company, at)["opportunity_history"][columns], expected)


def test_before_the_first_deal_the_tables_are_empty_but_whole(company):
    frames = export(company, "2023-09-20")
    check_contract(frames)
    assert frames["opportunities"].empty
    assert frames["opportunity_history"].empty
    assert len(frames["users"]) > 20


def test_a_day_that_is_none_is_refused(company):
    for wrong in ("soon", pd.NaT):
        with pytest.raises(ParameterError, match="at is"):
            export(company, wrong)


def test_nothing_of_the_future_shows(company):
    at = pd.Timestamp("2025-03-14 15:00", tz="UTC")
    for name, frame in export(company, at).items():
        for column in tables.table(name).columns:
            planned = column.name in ("next_activity_at", "expected_close_date", "period_start", "period_end")
            if column.kind == "instant" and not planned:
                assert not (frame[column.name] > at).any(), (name, column.name)
            if column.kind == "date" and not planned:
                assert not (frame[column.name] > pd.Timestamp("2025-03-14")).any(), (name, column.name)


def test_lines_add_up_to_the_deal(company):
    frames = export(company, "2025-12-31")
    total = frames["opportunity_products"].groupby("opportunity_id")["amount"].sum()
    deals = frames["opportunities"].set_index("opportunity_id")["amount"].dropna()
    assert total.reindex(deals.index).eq(deals).all()
    assert len(total) == len(deals)


def test_closing_is_told_consistently(frames, live):
    closed = live[live["is_closed"]]
    last = frames["opportunity_history"].query("field == 'stage'").groupby("opportunity_id")["changed_at"].max()
    assert (closed["closed_at"] == closed["opportunity_id"].map(last)).all()
    local = closed["closed_at"].dt.tz_convert("Europe/Berlin")
    assert (local.dt.tz_localize(None).dt.normalize() == closed["close_date"]).all()
    assert local.dt.hour.between(8, 17).all()
    assert (local.dt.weekday < 5).all()
    told = ["closed_at", "close_date", "owner_at_close_id", "loss_reason", "competitor"]
    assert live.loc[~live["is_closed"], told].isna().all(None)


def test_segments_differ_as_the_truth_says(company, live):
    new = live[live["is_closed"] & (live["type"] == "new")]
    by_segment = new.groupby("segment")["is_won"].mean()
    said = {g: np.prod(list(p.values())) for g, p in truth(company)["stage_advance_probability"].items()}
    assert list(by_segment.sort_values().index) == sorted(said, key=said.get)
    assert 0.23 < new["is_won"].mean() < 0.31
    won = live[live["is_won"]]
    median = won.groupby("segment")["amount"].apply(lambda x: x.astype(float).median())
    for segment, size in {"SMB": 8_000, "Mid-Market": 30_000, "Enterprise": 110_000}.items():
        assert median[segment] == pytest.approx(size, rel=0.2)
    days = (won["closed_at"] - won["created_at"]).dt.days.groupby(won["segment"]).median()
    for segment, length in {"SMB": 35, "Mid-Market": 70, "Enterprise": 140}.items():
        assert days[segment] == pytest.approx(length, rel=0.2)


def test_process_change_lifts_the_treated_teams():
    company = simulate(SampleSettings(opportunities=20_000, process_change_lift=0.6))
    book, told = company.book, truth(company)["process_change"]
    stages = book.stages
    at = np.flatnonzero((stages.value[:-1] == 2) & (stages.deal[1:] == stages.deal[:-1]))
    entered, ahead = stages.t[at], np.isin(stages.value[at + 1], (3, 4))
    treated = company.team.treated[company.accounts.team[book.account[stages.deal[at]]]]
    after = entered >= pd.Timestamp(told["on"], tz="Europe/Berlin").timestamp()
    rate = {(x, y): ahead[(treated == x) & (after == y)].mean() for x in (True, False) for y in (True, False)}
    lift = rate[True, True] - rate[True, False]
    assert lift > 0.06
    assert lift > rate[False, True] - rate[False, False] + 0.05
    assert len(told["teams"]) == 2


def test_traps_come_in_believable_shares(frames, live):
    deals, history = frames["opportunities"], frames["opportunity_history"]
    opened = live[~live["is_closed"]]
    overdue = (opened["expected_close_date"] <= pd.Timestamp("2026-09-30")).mean()
    pushes = history[(history["field"] == "expected_close_date") & history["old_value"].notna()]
    pushed = opened["opportunity_id"].map(pushes.groupby("opportunity_id").size()).fillna(0)
    stage = history[(history["field"] == "stage")]
    reopened = stage["old_value"].eq("sample:lost").sum() / stage["new_value"].eq("sample:lost").sum()
    assert 0.10 <= len(opened) / len(live) <= 0.15
    assert 0.12 <= overdue <= 0.22
    assert (pushed >= 1).mean() > 0.5
    assert (pushed >= 3).any()
    assert 0.01 < reopened < 0.03
    assert 0.005 < deals["is_deleted"].mean() < 0.02
    assert 0.005 < deals["merged_into_id"].notna().mean() < 0.02
    assert history["is_bulk"].any()
    assert 0.05 < live.loc[live["is_closed"] & ~live["is_won"], "amount"].isna().mean() < 0.16
    assert 7 < len(history) / len(deals) < 13


def test_activities_stay_in_office_hours_and_in_the_life_of_the_deal(frames):
    acts = frames["activities"]
    local = acts["started_at"].dt.tz_convert("Europe/Berlin")
    assert local.dt.hour.between(7, 18).all()
    assert (local.dt.weekday < 5).all()
    assert (acts["logged_at"] >= acts["started_at"]).all()
    on_deal = acts.dropna(subset=["opportunity_id"]).merge(frames["opportunities"], on="opportunity_id")
    assert (on_deal["started_at"] >= on_deal["created_at"]).all()
    assert not (on_deal["started_at"] > on_deal["closed_at"]).any()
    people = frames["users"].set_index("user_id")
    gone = acts["user_id"].map(people["end_date"])
    assert not (local.dt.tz_localize(None).dt.normalize() > gone).any()
    assert 30_000 <= len(acts) <= 42_000


def test_quotas_are_round_reachable_and_add_up(frames, live):
    quotas = frames["quotas"].assign(quota=frames["quotas"]["quota_amount"].astype(float))
    users = frames["users"].set_index("user_id")
    own, team = (quotas[quotas["holder_type"] == kind] for kind in ("user", "team"))
    assert (own["quota"] % 500 == 0).all()
    total = own.groupby([own["holder_id"].map(users["team_id"]), "period_start"])["quota"].sum()
    assert total.to_dict() == team.set_index(["holder_id", "period_start"])["quota"].to_dict()
    full = team[team["period_end"] <= pd.Timestamp("2026-10-01")]
    won = live[
        live["is_won"]
        & live["type"].ne("renewal")
        & live["close_date"].between(full["period_start"].min(), "2026-07-31")
    ]
    booked = won.groupby(won["owner_at_close_id"].map(users["team_id"]))["amount"].sum().astype(float)
    attainment = booked / full.groupby("holder_id")["quota"].sum()
    assert attainment.between(0.85, 1.05).all()
    starts = sorted(own["period_start"].unique())
    assert all(pd.Timestamp(a) + pd.DateOffset(months=3) == b for a, b in pairwise(starts))


def test_batches_fill_the_number_with_unique_ids():
    settings = SampleSettings(accounts=100, opportunities=2_500, activities_per_deal=2.0)
    blocks = list(batches(settings, size=1_000))
    assert [len(b["opportunities"]) for b in blocks] == [1_000, 1_000, 500]
    whole = {name: pd.concat([b[name] for b in blocks if name in b], ignore_index=True) for name in blocks[0]}
    check_contract(whole)
    assert len(whole["opportunities"]) == settings.opportunities


def test_one_batch_is_the_company():
    settings = SampleSettings(accounts=60, opportunities=500, reps=10)
    (only,) = batches(settings)
    for name, frame in export(simulate(settings)).items():
        pd.testing.assert_frame_equal(only[name], frame)


def test_truth_is_json_and_names_people_of_the_company(company, frames):
    told = json.loads(json.dumps(truth(company)))
    people = set(frames["users"]["user_id"])
    assert set(told["rep_skill_logit"]) == {f"sample:u{i:03d}" for i in range(6, 30)} <= people
    assert len(told["weak_stage"]) == 2
    assert set(told["process_change"]["teams"]) <= set(frames["teams"]["team_id"])


@pytest.mark.parametrize(
    "wrong", [{"teams": 9}, {"reps": 3}, {"accounts": 2}, {"opportunities": 0}, {"end": "2023-11-01"}]
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ParameterError):
        SampleSettings(**wrong)


def test_public_names():
    assert all(hasattr(sample, name) for name in sample.__all__)
