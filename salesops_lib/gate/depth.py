"""Beside the findings: completeness by stage, staleness by owner, breaks in logging, control totals."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING

from salesops_lib import stats, tables
from salesops_lib.config import ControlTotal
from salesops_lib.gate.findings import FRAMES
from salesops_lib.gate.ground import Ground

if TYPE_CHECKING:
    import pandas as pd

    from salesops_lib.store import Snapshot

FIELDS = ("owner_id", "account_id", "amount", "expected_close_date", "type", "forecast_category",
          "probability_crm", "lead_source", "next_step")  # fmt: skip


def reconcile(snapshot: Snapshot, stated: Mapping[str, ControlTotal]) -> pd.DataFrame:
    """Compare rows and sums, to the cent, with what the CRM shows: one row a stated total.

    Rows set aside by the load count as found. Amounts of several currencies are added as written, and `measure`
    says so.
    """
    import pandas as pd

    losses = snapshot.losses().set_index("table")["rows_in"]
    rows = []
    for name, total in stated.items():
        if total.rows is not None:
            found = int(losses.get(name, 0))
            rows.append((name, "rows", str(total.rows), str(found), str(found - total.rows)))
        if total.amount is not None:
            measure, amount = _total(snapshot, name)
            rows.append((name, measure, str(total.amount), str(amount), str(amount - total.amount)))
    return pd.DataFrame(rows, columns=FRAMES["control"])


def _total(snapshot: Snapshot, name: str) -> tuple[str, Decimal]:
    if name not in snapshot.tables:
        return "amount", Decimal(0)
    held = snapshot.read(name, [c for c in ("amount", "currency") if c in tables.table(name).names])
    n = held["currency"].nunique() if "currency" in held else 1
    return "amount" if n <= 1 else f"amount, {n} currencies added as written", stats.exact_sum(held["amount"])


def completeness(ground: Ground) -> pd.DataFrame:
    """Fields filled of open deals, by stage in order: `pipeline_id`, `stage`, `field`, `filled`, `n`, `share`."""
    import pandas as pd

    counted = ground.rows(f"""
        select pipeline_id, coalesce(any_value(stage_name), stage_id), count(*),
            {", ".join(f"count({f})" for f in FIELDS)}
        from deals left join flags using (pipeline_id, stage_id)
        where not is_closed group by pipeline_id, stage_id order by pipeline_id, min(stage_order), stage_id
    """)
    rows = []
    for pipeline, stage, n, *filled in counted:
        for field, k in zip(FIELDS, filled, strict=True):
            share = stats.proportion(k, n)
            rows.append((pipeline, stage, field, k, n, share.value, share.low, share.high))
    return pd.DataFrame(rows, columns=FRAMES["completeness"])


def staleness(ground: Ground) -> pd.DataFrame:
    """Open deals nobody has touched for long, by owner, most amount first.

    `owner_id`, `owner`, `open`, `stale`, `share` with `low` and `high`, `amount` of the stale ones in corporate
    currency, `oldest_days`.
    """
    import pandas as pd

    counted = (
        ground.rows("""
        select i.owner_id, coalesce(any_value(u.name), i.owner_id, 'nobody'), count(*),
            count(*) filter (idle_days >= stale_days()), sum(value) filter (idle_days >= stale_days()),
                max(idle_days)
        from idle i left join (select distinct on (user_id) user_id, name from users) u on u.user_id = i.owner_id
        group by i.owner_id order by 5 desc nulls last, 4 desc, 1
    """)
        if ground.has("touches")
        else []
    )
    rows = []
    for owner, name, n, stale, amount, oldest in counted:
        share = stats.proportion(stale, n)
        rows.append((owner, name, n, stale, share.value, share.low, share.high, amount, oldest))
    return pd.DataFrame(rows, columns=FRAMES["staleness"])


def breaks(ground: Ground) -> pd.DataFrame:
    """Months in which the logging of a type of activity broke: `month`, `type`, `n`, `expected`, `note`."""
    import pandas as pd

    rows = ground.rows("select month, type, n, expected, note from breaks order by type, month")
    frame = pd.DataFrame(rows, columns=FRAMES["breaks"])
    return frame.assign(month=pd.to_datetime(frame["month"]))
