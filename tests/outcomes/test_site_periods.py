"""What happened at each site in each period is what a count by hand says."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from loyalty_research.errors import DataError, UsageError
from loyalty_research.outcomes import derive_site_periods

ANSWERS = pd.DataFrame({
    "facility_id": ["A", "A", "A", "A", "B", "B"],
    "score": [4.0, 5.0, None, 1.0, 3.0, 4.0],
    "answer_date": pd.to_datetime(
        ["2024-01-05", "2024-01-31", "2024-01-31", "2024-03-01", "2024-02-10", "2024-02-29"]
    ),
})  # fmt: skip
DAYS = {"date": "answer_date", "data_start": "2024-01-01", "data_cutoff": "2024-03-15"}


def scores(frame=ANSWERS, **changed):
    return derive_site_periods(frame, **{"value": "score", **DAYS, **changed})


def cell(table, site, period):
    return table[(table["facility_id"] == site) & (table["period"] == period)].iloc[0]


def test_means_and_errors_by_hand(engine):
    table = scores(engine.make(ANSWERS))
    assert list(zip(table["facility_id"], table["period"], strict=True)) == [
        ("A", 0), ("A", 1), ("A", 2), ("B", 0), ("B", 1), ("B", 2)
    ]  # fmt: skip
    january = cell(table, "A", 0)
    assert (january["n"], january["n_missing"], january["estimate"]) == (2, 1, 4.5)
    # The standard deviation of 4 and 5 is sqrt(1/2), over the root of 2.
    assert january["std_error"] == pytest.approx(0.5)
    assert np.isnan(cell(table, "A", 2)["std_error"])


def test_a_period_without_events_is_there_and_empty():
    empty = cell(scores(), "A", 1)
    assert empty["n"] == 0
    assert np.isnan(empty["estimate"])


def test_a_count_of_nothing_is_zero():
    table = derive_site_periods(ANSWERS, statistic="count", **DAYS)
    assert cell(table, "A", 1)["estimate"] == 0
    assert cell(table, "A", 0)["estimate"] == 3


def test_a_period_that_the_data_do_not_cover_is_marked():
    table = scores(data_start="2024-01-02")
    assert table.groupby("period")["complete"].first().tolist() == [False, True, False]
    assert scores(data_cutoff="2024-03-31")["complete"].all()


def test_quantiles_are_those_of_numpy(engine):
    random = np.random.default_rng(1)
    waits = pd.DataFrame({
        "facility_id": "A", "wait": random.gamma(2, 20, 301),
        "visit_date": pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(301) % 31, "D"),
    })  # fmt: skip
    table = derive_site_periods(
        engine.make(waits), date="visit_date", value="wait", statistic="quantile", q=0.9,
        data_cutoff="2024-01-31",
    )  # fmt: skip
    assert table["estimate"].item() == pytest.approx(np.quantile(waits["wait"], 0.9))


@pytest.mark.parametrize(
    ("period", "n", "season"), [("week", 11, 1), ("quarter", 1, 1), ("year", 1, 1)]
)
def test_other_periods(period, n, season):
    table = scores(period=period)
    assert table["period"].nunique() == n
    assert table["season"].iloc[0] == season


def test_a_site_is_treated_from_the_period_in_which_it_starts():
    rollout = pd.DataFrame(
        {"facility_id": ["A", "B"], "start_date": pd.to_datetime(["2024-02-20", None])}
    )
    table = scores(rollout=rollout)
    first = table.groupby("facility_id")["first_treated"].first()
    assert first["A"] == 1
    assert pd.isna(first["B"])
    # A site that the table of roll-outs does not know never starts.
    unknown = scores(rollout=rollout.head(1))
    assert unknown.loc[unknown["facility_id"] == "B", "first_treated"].isna().all()


def test_a_start_before_the_data_is_a_negative_period():
    rollout = pd.DataFrame({"facility_id": ["A"], "start_date": pd.to_datetime(["2023-11-02"])})
    assert scores(rollout=rollout)["first_treated"].iloc[0] == -2


def test_wrong_data_are_refused_all_at_once():
    broken = ANSWERS.assign(facility_id=["A", None, "A", "A", "B", "B"])
    with pytest.raises(DataError, match=r"(?s)facility_id is missing in 1 .*data_start in 3"):
        scores(broken, data_start="2024-02-01", data_cutoff="2024-02-29")
    with pytest.raises(DataError, match="answer_date is after data_cutoff in 1 of 6"):
        scores(data_cutoff="2024-02-29")
    with pytest.raises(DataError, match="score is String, not a number"):
        scores(ANSWERS.assign(score="high"))
    with pytest.raises(DataError, match="column score is missing"):
        scores(ANSWERS.drop(columns="score"))
    twice = pd.DataFrame(
        {"facility_id": ["A", "A"], "start_date": pd.to_datetime(["2024-02-20"] * 2)}
    )
    with pytest.raises(DataError, match="facility_id occurs more than once"):
        scores(rollout=twice)


def test_arguments_that_cannot_be_meant_are_refused():
    with pytest.raises(UsageError, match="period='day'"):
        scores(period="day")
    with pytest.raises(UsageError, match='"count" has none'):
        scores(statistic="count")
    with pytest.raises(UsageError, match="q=1"):
        scores(q=1)
