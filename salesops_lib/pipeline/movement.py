"""The waterfall: what took the open pipeline of a period from one instant to another, exact to the cent.

Two states of each deal are compared, so it holds with any source that shows both. A deal that stays counts its
change of amount at the first instant's rates; what is left of the difference is the exchange rate. One that leaves
or enters does so with the amount it has then, its change of amount and rate apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

from salesops_lib import facts
from salesops_lib.book import Book
from salesops_lib.errors import ParameterError, unknown
from salesops_lib.language import dated, mark, say, say_many
from salesops_lib.periods import Period
from salesops_lib.present import counted, number

if TYPE_CHECKING:
    import pandas as pd

BUCKETS = {
    mark("start"): mark("open and due in the period at the first instant"),
    mark("new"): mark("created in between"),
    mark("pulled in"): mark("expected close moved into the period"),
    mark("reopened"): mark("closed before, open again"),
    mark("amount up"): mark("amount raised, at the first instant's rates"),
    mark("amount down"): mark("amount lowered or emptied, at the first instant's rates"),
    mark("pushed out"): mark("expected close moved out of the period, or emptied"),
    mark("won"): mark("closed as won"),
    mark("lost"): mark("closed as lost or disqualified"),
    mark("owner or team in"): mark("came from another owner or team"),
    mark("owner or team out"): mark("went to another owner or team"),
    mark("type changed"): mark("became new business, or a renewal"),
    mark("deleted or merged"): mark("gone from the CRM"),
    mark("exchange rates"): mark("the same amount at other rates"),
    mark("unexplained"): mark("there or gone, and nothing the source keeps says why"),
    mark("end"): mark("open and due in the period at the second instant"),
}
SIDES = ("before", "after")
SHOWN = ["opportunity_id", "rep", "team", "stage_id", "amount", "currency", "expected_close_date"]


@dataclass(frozen=True)
class Waterfall:
    """What moved the open pipeline between two instants.

    Attributes
    ----------
    headline
        One sentence computed from the frames below.
    period, currency, since, until
        Of which period's pipeline, in which currency, between the ends of which days.
    buckets
        `bucket`, `amount` (Decimal), `n` (deals), `meaning`; first ``start``, last ``end``. ``start`` and all in
        between add up to ``end`` to the cent.
    deals
        One row a deal and bucket: `bucket`, `amount` (Decimal), `opportunity_id`, `name`, `rep`, `team`, and
        `stage_id`, `amount`, `currency`, `expected_close_date` of both instants (`…_before`, `…_after`).
    unpriced
        Open deals due in the period, at either instant, that no amount or rate prices; they count as nothing.
    """

    headline: str
    period: Period
    currency: str
    since: date
    until: date
    buckets: pd.DataFrame
    deals: pd.DataFrame
    unpriced: int

    @property
    def causes(self) -> pd.DataFrame:
        """Buckets between start and end that moved anything, the largest first."""
        return _causes(self.buckets)

    def said(self, place: int) -> str:
        """Say one of the causes: 0 is the largest."""
        return _said(self.causes.iloc[place])


def waterfall(
    book_from: Book,
    book_to: Book,
    *,
    period: Period | str,
    by: str | None = None,
    segment: str | None = None,
    renewals: bool = False,
) -> Waterfall:
    """Split the change of the open pipeline into what caused it.

    Parameters
    ----------
    book_from, book_to
        The company at the two instants.
    period
        A `Period`, or ``month``, ``quarter``, ``year``: the fiscal one that the last day of `book_to` lies in.
    by, segment
        A dimension such as ``team`` and one of its values, for a part of the company.
    renewals
        Renewals instead of new business.

    Raises
    ------
    InsufficientData
        Where stage, amount or expected close date of open deals is not known at both instants.
    ParameterError
        For books in the wrong order or in two currencies, an unknown period or dimension.
    """
    if book_to.as_of < book_from.as_of:
        raise ParameterError(f"the first book is as of {book_from.day}, after the second, {book_to.day}.")
    if book_from.currency and book_from.currency != book_to.currency:
        raise ParameterError(f"one book is in {book_from.currency}, the other in {book_to.currency}.")
    for book in (book_from, book_to):
        if len(facts.deals(book)):  # before the first deal there is nothing that is not known
            book.require(*facts.OPEN)
    window = facts.resolve_period(book_to, period)
    both = _both(book_from, book_to, window, by, segment, renewals)
    moves = _moves(both)
    buckets = _buckets(moves)
    sides = [both[f"in_{side}"] & both[f"is_unpriced_{side}"] for side in SIDES]
    unpriced = int((sides[0] | sides[1]).sum())
    return Waterfall(
        headline=_headline(buckets, window, book_from, book_to, unpriced),
        period=window,
        currency=book_to.currency,
        since=book_from.day,
        until=book_to.day,
        buckets=buckets,
        deals=_deals(moves, both, book_from, book_to),
        unpriced=unpriced,
    )


def _both(
    first: Book, last: Book, window: Period, by: str | None, segment: str | None, renewals: bool
) -> pd.DataFrame:
    """Put the two states of each deal side by side, with amounts in cents of the corporate currency."""
    import pandas as pd

    before, after = (_counted(book, window, by, segment, renewals) for book in (first, last))
    index = before.index[before["in"]].union(after.index[after["in"]])
    both = pd.DataFrame(index=index)
    for side, state in zip(SIDES, (before, after), strict=True):
        for column in state:
            fill = {"bool": False, "int64": 0}.get(str(state[column].dtype))
            both[f"{column}_{side}"] = state[column].reindex(index, fill_value=fill)
    open_rates = pd.Series(pd.NaT, both.index, dtype="datetime64[us]")
    same = facts.at_rates(first, both["amount_after"], both["currency_after"], open_rates)
    unrated = same.isna() & both["amount_after"].notna()
    both["cents_repriced"] = _cents(same).where(~unrated, both["cents_before"])
    # a loss that blanked the amount, or a deal that is gone, leaves with what it had
    keeps = both["known_after"] & ~(both["is_closed_after"] & both["amount_after"].isna())
    for column in ("cents_repriced", "cents_after"):
        both[column] = both[column].where(keeps, both["cents_before"])
    created = last.opportunities.set_index("opportunity_id")["created_at"].reindex(both.index)
    return both.assign(
        removed=both.index.isin(last.removed()["opportunity_id"]),
        restored=both.index.isin(first.removed()["opportunity_id"]),
        created=((created > first.as_of) & (created <= last.as_of)).to_numpy(dtype=bool),
    )


def _counted(book: Book, window: Period, by: str | None, segment: str | None, renewals: bool) -> pd.DataFrame:
    """Say of each deal what the waterfall asks of a state; flags are plain booleans."""
    rows = facts.deals(book)
    if by is not None and by not in facts.DIMENSIONS:
        raise ParameterError(unknown("dimension", by, facts.DIMENSIONS))
    flags = {
        "is_won": rows["is_won"],
        "is_closed": rows["is_closed"],
        "wanted": rows["is_renewal"].eq(renewals),
        "here": rows[by].eq(segment) if by else rows["opportunity_id"].notna(),
        "due": window.contains(rows["expected_close_date"]),
        "is_unpriced": rows["priced"].isna(),
        "known": rows["opportunity_id"].notna(),
    }
    flags = {name: flag.fillna(False).astype(bool) for name, flag in flags.items()}
    flags["in"] = ~flags["is_closed"] & flags["due"] & flags["wanted"] & flags["here"]
    return rows[SHOWN].assign(cents=_cents(rows["priced"]), **flags).set_index("opportunity_id")


def _cents(money: pd.Series) -> pd.Series:
    """Whole cents of a money column; an empty amount is nothing."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    from salesops_lib import tables

    exact = pc.multiply(pa.array(tables.money(money)), pa.scalar(Decimal(100)))
    return pd.Series(pc.fill_null(exact, Decimal(0)).cast(pa.int64()).to_numpy(), index=money.index)


def _moves(both: pd.DataFrame) -> pd.DataFrame:
    """List what each bucket takes from or gives to each deal: `opportunity_id`, `bucket`, `cents`."""
    import numpy as np
    import pandas as pd

    b = {name: column.to_numpy() for name, column in both.items() if column.dtype in (bool, "int64")}
    stays = b["in_before"] & b["in_after"]
    leaves, enters = b["in_before"] & ~b["in_after"], ~b["in_before"] & b["in_after"]
    seen = b["known_before"] & b["known_after"]
    # what another team, or as a renewal, brought to its end has left this part before
    own_end = b["is_closed_after"] & b["here_after"] & b["wanted_after"]
    # the first cause that holds, in this order
    gone = {
        "won": seen & own_end & b["is_won_after"],
        "lost": seen & own_end,
        "deleted or merged": b["removed"],
        "type changed": seen & ~b["wanted_after"],
        "owner or team out": seen & ~b["here_after"],
        "pushed out": seen & ~b["due_after"],
    }
    come = {
        "new": b["created"],
        "reopened": seen & b["is_closed_before"],
        "deleted or merged": b["restored"],
        "type changed": seen & ~b["wanted_before"],
        "owner or team in": seen & ~b["here_before"],
        "pulled in": seen & ~b["due_before"],
    }
    out = np.select(list(gone.values()), list(gone), "unexplained")
    inward = np.select(list(come.values()), list(come), "unexplained")
    # a deal open at both instants comes with what it was worth first; its changes are told apart
    valued = stays | (leaves & seen) | (enters & seen & ~b["is_closed_before"])
    amount = np.where(valued, b["cents_repriced"] - b["cents_before"], 0)
    rate = np.where(valued, b["cents_after"] - b["cents_repriced"], 0)
    pieces = [
        ("start", b["in_before"], b["cents_before"]),
        ("amount up", amount > 0, amount),
        ("amount down", amount < 0, amount),
        ("exchange rates", rate != 0, rate),
        (out, leaves, -b["cents_after"]),
        (inward, enters, np.where(valued, b["cents_before"], b["cents_after"])),
        ("end", b["in_after"], b["cents_after"]),
    ]
    deal = both.index.to_numpy()
    parts = [
        pd.DataFrame({"opportunity_id": deal, "bucket": bucket, "cents": cents})[mask]
        for bucket, mask, cents in pieces
    ]
    return pd.concat(parts, ignore_index=True)


def _money(cents: int) -> Decimal:
    return Decimal(int(cents)).scaleb(-2)


def _buckets(moves: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    sums = moves.groupby("bucket")["cents"].agg(["sum", "size"]).reindex(list(BUCKETS), fill_value=0)
    return pd.DataFrame(
        {
            "bucket": list(BUCKETS),
            "amount": [_money(cents) for cents in sums["sum"]],
            "n": sums["size"].to_numpy(),
            "meaning": list(BUCKETS.values()),
        }
    )


def _deals(moves: pd.DataFrame, both: pd.DataFrame, first: Book, book: Book) -> pd.DataFrame:
    """List the deals behind each bucket, the largest first."""
    import pandas as pd

    known = pd.concat([b.opportunities.set_index("opportunity_id")["name"] for b in (book, first)])
    named = known[~known.index.duplicated()].reindex(both.index)
    shown = both.assign(name=named)[["name"]].copy()
    for column in facts.PEOPLE:
        shown[column] = facts.named(book, column, both[f"{column}_after"].fillna(both[f"{column}_before"]))
    for column in SHOWN[3:]:
        for side in SIDES:
            shown[f"{column}_{side}"] = both[f"{column}_{side}"]
    place = moves["bucket"].map(list(BUCKETS).index)
    ordered = moves.assign(place=place, size=-moves["cents"].abs()).sort_values(
        ["place", "size", "opportunity_id"]
    )
    amounts = ordered["cents"].map(_money).astype(object)
    out = ordered[["bucket", "opportunity_id"]].assign(amount=amounts)
    out = out[["bucket", "amount", "opportunity_id"]]
    return out.join(shown, on="opportunity_id").reset_index(drop=True)


def _causes(buckets: pd.DataFrame) -> pd.DataFrame:
    moved = buckets.iloc[1:-1].query("amount != 0")
    return moved.sort_values("amount", key=lambda column: -column.abs().astype(float), kind="stable")


def _headline(buckets: pd.DataFrame, window: Period, first: Book, last: Book, unpriced: int) -> str:
    """Say where the pipeline went, and what moved it most."""
    start, end = buckets["amount"].iloc[0], buckets["amount"].iloc[-1]
    moved = say(
        "Open pipeline of {period} went from {start} to {end} {currency} between {since} and {until}",
        period=window, start=number(start, "money"), end=number(end, "money"), currency=last.currency,
        since=dated(first.day, "dd MMM"), until=dated(last.day),
    )  # fmt: skip
    if unpriced:
        moved = say_many(
            "{moved}, {n} deal without a price counted as nothing",
            "{moved}, {n} deals without a price counted as nothing",
            unpriced, n=number(unpriced, "count"), moved=moved,
        )  # fmt: skip
    told = [_said(row) for _, row in _causes(buckets).head(2).iterrows()]
    if not told:
        return say("{moved}; nothing moved.", moved=moved)
    if len(told) == 1:
        return say("{moved}; largest: {cause}.", moved=moved, cause=told[0])
    return say("{moved}; largest: {cause} and {other}.", moved=moved, cause=told[0], other=told[1])


def _said(cause: pd.Series) -> str:
    amount = number(cause["amount"], "money", signed=True)
    return f"{say(cause['bucket'])} {amount} ({counted(cause['n'], 'deal')})"
