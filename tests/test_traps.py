"""Traps of CRM data that no other test file holds; docs/data_gate.md says where each of the 66 is caught."""

from decimal import Decimal

import pandas as pd

from salesops_lib import benchmark
from salesops_lib.facts import deals
from tests.test_crm_adapters import made
from tests.test_kpis import DEALS, make_book, make_tables, value


def test_trap_4_every_deal_is_open_won_or_lost_and_only_open_ones_are_pipeline(tmp_path):
    book = make_book(tmp_path)
    rows = deals(book)
    states = pd.concat([~rows["is_closed"], rows["is_won"], rows["is_lost"], rows["is_disqualified"]], axis=1)
    assert (states.sum(axis=1) == 1).all()
    assert len(rows) == len(DEALS)
    assert value(book, "K08", "all") == 100  # of 6,707 in all deals


def test_trap_18_who_inherits_an_account_does_not_get_its_old_wins(tmp_path):
    rows = make_tables()["opportunities"]
    rows["owner_id"] = rows["owner_id"].mask(rows["opportunity_id"].isin(["w1", "w2"]), "cat")
    book = make_book(tmp_path, opportunities=rows)
    assert value(book, "K26", segment="ann", by="rep") == 300
    assert value(book, "K25", segment="ann", by="rep") == 3


def test_trap_22_leavers_stay_among_the_reps(tmp_path):
    users = make_tables()["users"]
    users.loc[users["user_id"].eq("ann"), ["is_active", "end_date"]] = [False, pd.Timestamp("2026-02-28")]
    reps = benchmark.summarize(make_book(tmp_path, users=users), period="quarter").reps.set_index("user_id")
    assert set(reps.index) >= {"ann", "bob", "cat"}  # and trap 23: cat has no deal
    assert reps.loc["ann", "booked"] == 300
    assert reps.loc["ann", "quota"] < 600


def test_trap_31_an_amount_in_base_currency_frozen_at_the_last_save_is_not_read(tmp_path):
    def freeze(files):
        for row in files["opportunities"]:
            row |= {"estimatedvalue_base": "7", "actualvalue_base": "7", "exchangerate": "0.5"}

    plain, frozen = (
        made("dynamics", tmp_path / name, change=change).tables["opportunities"]["amount"].tolist()
        for name, change in (("plain", None), ("frozen", freeze))
    )
    assert frozen == plain
    assert Decimal("12500.50") in frozen
