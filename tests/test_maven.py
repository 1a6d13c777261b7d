"""The Maven Analytics file: 8,800 real-looking deals with published figures."""

import csv
from datetime import date

import pytest

from salesops_lib import benchmark, kpis
from salesops_lib.errors import DataContractError
from salesops_lib.periods import FiscalCalendar
from salesops_lib.sources import load
from salesops_lib.sources.mapping import MAPS
from tests.conftest import shared

QUARTERS = [1_134_672, 3_086_111, 2_982_255, 2_802_496]


def figure(frame, kpi_id, segment="company", variant=None):
    rows = frame[frame["kpi_id"].eq(kpi_id) & frame["segment"].eq(segment)]
    return (rows if variant is None else rows[rows["variant"].eq(variant)]).iloc[0]


def test_rows_and_stages(maven):
    deals = maven.opportunities
    assert len(deals) == 8_800
    assert deals["stage_id"].str.removeprefix("mvn:").value_counts().to_dict() == {
        "Won": 4_238, "Lost": 2_473, "Engaging": 1_589, "Prospecting": 500,
    }  # fmt: skip
    assert maven.losses["rows_quarantined"].sum() == 0


def test_win_rate_has_its_one_value_and_others_only_under_their_names(maven):
    frame = kpis.compute(maven, "K03", "4 quarters")
    assert figure(frame, "K03", variant="count")["value"] == pytest.approx(0.6315, abs=5e-5)
    assert figure(frame, "K03", variant="won of all")["value"] == pytest.approx(0.4816, abs=5e-5)
    assert figure(frame, "K03", variant="value")["status"] == "not defined"
    assert frame.iloc[0]["variant"] == "count"


def test_bookings_by_quarter_office_and_product(maven):
    by_quarter = kpis.over_time(maven, "K26", maven.calendar.last("quarter", 4, maven.day))
    assert by_quarter["value"].tolist() == QUARTERS
    assert figure(kpis.compute(maven, "K26", "4 quarters"), "K26")["value"] == 10_005_534
    offices = kpis.compute(maven, "K26", "4 quarters", by="region", variants="default").set_index("segment")[
        "value"
    ]
    assert offices.to_dict() == {"Central": 3_346_293, "East": 3_090_594, "West": 3_568_647}
    products = kpis.compute(maven, "K26", "4 quarters", by="product", variants="default").set_index("segment")[
        "value"
    ]
    assert products["GTX Pro"] == 3_510_578
    assert products.sum() == 10_005_534


def test_agents_without_a_deal_stay_in_the_table(maven):
    reps = kpis.compute(maven, ["K03", "K25"], "4 quarters", by="rep", variants="default")
    won = reps[reps["kpi_id"] == "K25"]
    assert len(won) == 35
    assert (won["value"] == 0).sum() == 5
    idle = reps[reps["kpi_id"].eq("K03") & reps["n"].eq(0)]
    assert len(idle) == 5
    assert set(idle["status"]) == {"not defined"}
    assert idle["value"].isna().all()


def test_reps_are_statistically_indistinguishable(maven):
    result = benchmark.summarize(maven)
    assert result.heterogeneity["chi2"] == pytest.approx(33.3, abs=0.05)
    assert result.heterogeneity["df"] == 29
    assert result.heterogeneity["p_value"] == pytest.approx(0.264, abs=0.005)
    assert "statistically indistinguishable" in result.headline
    assert result.reps["name"].is_monotonic_increasing


def test_without_the_product_mended_1480_rows_match_nothing(tmp_path):
    text = (MAPS / "maven_crm.yaml").read_text(encoding="utf-8").replace("map: {GTXPro: GTX Pro}", "empty: []")
    (tmp_path / "map.yaml").write_text(text, encoding="utf-8")
    loaded = load("csv", shared("maven_crm"), mapping=tmp_path / "map.yaml")
    found = loaded.findings.set_index("column").loc["product_id"]
    assert (found["kind"], found["n"], found["value"]) == ("unmatched reference", 1_480, "mvn:GTXPro")


def resave(target, form):
    for source in shared("maven_crm").glob("*.csv"):
        with source.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
        for place in [k for k, name in enumerate(rows[0]) if name.endswith("_date")]:
            for row in rows[1:]:
                row[place] = row[place] and date.fromisoformat(row[place]).strftime(form)
        with (target / source.name).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows)
    return target


@pytest.mark.parametrize("form", ["%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%m-%d-%y", "%d %b %Y"])
def test_resaved_dates_give_the_same_quarters(tmp_path, form):
    deals = load("csv", resave(tmp_path, form), mapping="maven_crm").tables["opportunities"]
    won = deals[deals["is_won"]]
    labels = FiscalCalendar().label(won["close_date"], "quarter")
    assert won.groupby(labels, observed=True)["amount"].sum().astype(float).tolist() == QUARTERS


def test_dates_that_cannot_be_told_apart_are_refused(tmp_path):
    """Only days up to the twelfth: nothing says which number is the month."""
    for source in shared("maven_crm").glob("*.csv"):
        lines = source.read_text(encoding="utf-8").splitlines()
        if source.name == "sales_pipeline.csv":
            kept = [
                f"{head},{int(d):02d}/{int(m):02d}/{y},{value}"
                for line in lines[1:]
                for head, _, rest in [line.rpartition(",")[0].rpartition(",")]
                for value in [line.rpartition(",")[2]]
                if rest
                for y, m, d in [rest.split("-")]
                if int(d) <= 12
            ]
            lines = [lines[0], *kept]
        (tmp_path / source.name).write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(DataContractError, match=r"sales_pipeline.csv, column 'close_date' is ambiguous"):
        load("csv", tmp_path, mapping="maven_crm")


def test_undated_deals_are_known_only_from_the_export_on(maven_ws):
    before = maven_ws.book("2017-12-30").opportunities
    assert not before["created_at"].isna().any()
    assert maven_ws.book("2017-12-31").opportunities["created_at"].isna().sum() == 500


def test_no_final_amount_shows_before_its_deal_closed(maven_ws):
    half = maven_ws.book("2017-06-30").opportunities
    assert half.loc[~half["is_closed"], "amount"].isna().all()
    assert (half["closed_at"].dropna() <= maven_ws.book("2017-06-30").as_of).all()
    assert half.loc[half["is_won"], "amount"].sum() == QUARTERS[0] + QUARTERS[1]


def test_without_leads_and_activities_their_kpis_have_no_data(maven):
    wanted = [f"K{n:02}" for n in (4, 15, 16, 18, 19, 20, 21, 22, 23, 24, 38, 39)]
    for by in (None, "rep"):
        frame = kpis.compute(maven, wanted, "4 quarters", by=by)
        assert set(frame["status"]) == {"no data"}
        assert frame["note"].str.contains("the source has no").all()
    entries = kpis.compute(maven, "K17", "4 quarters").set_index("variant")
    assert entries["status"].to_dict() == {
        "leads": "no data", "deal changes": "no data", "fields filled": "ok", "complete deals": "ok",
    }  # fmt: skip
    assert "never filled, so left out: source, close date" in entries.loc["fields filled", "note"]
