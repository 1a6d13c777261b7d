"""K44: skill after mix and after chance, against simulated truth."""

import numpy as np
import pandas as pd

from salesops_lib import kpis
from salesops_lib.kpis.effects import effects, shrunken
from salesops_lib.stats import Estimate
from salesops_lib.tables import conform
from tests.test_kpis import make_book, make_tables


def company(path, deals, reps):
    """A book of closed deals: `deals` has owner, segment and is_won."""
    base = make_tables()["opportunities"].iloc[[0]]
    rows = pd.concat([base] * len(deals), ignore_index=True)
    rows["opportunity_id"] = [f"d{k}" for k in range(len(rows))]
    rows["owner_id"] = rows["owner_at_close_id"] = deals["owner"].to_numpy()
    rows["account_id"] = "a:" + deals["segment"].to_numpy()
    rows["is_won"] = deals["is_won"].to_numpy()
    rows["stage_id"] = np.where(rows["is_won"], "won", "lost")
    users = pd.DataFrame(
        {"user_id": reps, "name": reps, "is_quota_carrying": True, "is_active": True, "team_id": "t"}
    )
    accounts = pd.DataFrame({"account_id": ["a:x", "a:y"], "segment": ["x", "y"], "is_deleted": False})
    return make_book(path, opportunities=conform(rows, "opportunities"), users=conform(users, "users"),
                     accounts=conform(accounts, "accounts"))  # fmt: skip


def deals_of(counts):
    """Rows from (owner, segment, won, lost)."""
    return pd.DataFrame(
        [(owner, segment, flag) for owner, segment, won, lost in counts for flag in [True] * won + [False] * lost],
        columns=["owner", "segment", "is_won"],
    )


def test_a_hard_segment_is_no_lack_of_skill(tmp_path):
    """Twelve reps win 80 % of x and 20 % of y alike, in different mixes: raw rates differ, effects do not."""
    reps = [f"r{k:02d}" for k in range(12)]
    mixes = [(20, 5) if k % 2 else (5, 20) for k in range(12)]
    counts = [(rep, "x", round(0.8 * x), x - round(0.8 * x)) for rep, (x, _) in zip(reps, mixes, strict=True)]
    counts += [(rep, "y", round(0.2 * y), y - round(0.2 * y)) for rep, (_, y) in zip(reps, mixes, strict=True)]
    book = company(tmp_path, deals_of(counts), reps)
    found = kpis.compute(book, "K44", "quarter", by="rep", variants="default")
    assert set(found["status"]) == {"too few"}
    assert set(found["note"]) == {"the reps are statistically indistinguishable"}
    raw = kpis.compute(book, "K03", "quarter", by="rep", variants="default")["value"]
    assert raw.max() - raw.min() > 0.3


def test_the_one_who_stands_out_does(tmp_path):
    reps = [f"r{k:02d}" for k in range(12)]
    counts = [(rep, "x", 10, 30) for rep in reps[1:]] + [("r00", "x", 32, 8)]
    found = kpis.compute(company(tmp_path, deals_of(counts), reps), "K44", "quarter", by="rep")
    best = found[found["segment"].eq("r00")].set_index("variant")
    raw = 32 / 40 - (32 + 110) / 480
    assert 0 < best.loc["win rate", "value"] < raw
    assert best.loc["win rate", "low"] > 0
    assert best.loc["top quartile", "value"] > 0.99
    assert best.loc["bottom quartile", "value"] < 0.01
    others = found[found["variant"].eq("win rate") & found["segment"].ne("r00")]
    assert (others["value"] < 0).all()


def test_few_deals_and_few_reps_are_refused(tmp_path):
    reps = [f"r{k:02d}" for k in range(11)]
    counts = [(rep, "x", 10 + k, 20) for k, rep in enumerate(reps[:10])] + [("r10", "x", 2, 2)]
    book = company(tmp_path, deals_of(counts), reps)
    found = kpis.compute(book, "K44", "quarter", by="rep", variants="default").set_index("segment")
    assert found.loc["r10", "status"] == "too few"
    few = company(tmp_path / "few", deals_of(counts[:9]), reps[:9])
    told = effects(few, kpis.resolve_period(few, "quarter"))
    assert isinstance(told, Estimate)
    assert "needs 10 reps" in told.note
    assert set(kpis.compute(book, "K44", "quarter")["status"]) == {"not defined"}


def test_intervals_cover_the_simulated_skill():
    rng, inside, n = np.random.default_rng(5), 0, 0
    for _ in range(200):
        skill = rng.normal(0, 0.08, 20)
        variance = pd.Series(0.24 / rng.integers(20, 120, 20))
        found = shrunken(pd.Series(rng.normal(skill, np.sqrt(variance))), variance)
        if not isinstance(found, Estimate):
            inside += int(((found["low"] <= skill) & (skill <= found["high"])).sum())
            n += 20
    assert n > 3_000
    assert 0.92 < inside / n < 0.99
