"""Regularity of visits: by hand, over engines, against a known world, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from loyalty_research.errors import DataError, UsageError
from loyalty_research.retention.visit_gaps import NEW, derive_visit_regularity, visit_regularity


def visits_of(**days: list[int]) -> pd.DataFrame:
    """Return visits on days counted from the first of January 2024."""
    pairs = [(who, day) for who, all_days in days.items() for day in all_days]
    table = pd.DataFrame(pairs, columns=["patient_id", "day"])
    dates = pd.Timestamp("2024-01-01") + pd.to_timedelta(table.pop("day"), unit="D")
    return table.assign(visit_date=dates)


# a has gaps of 10, 20, 30; b comes every week; c came twice; d once.
FOUR = visits_of(a=[0, 10, 30, 60], b=[3, 10, 17], c=[0, 50], d=[9])
COHORT = pd.DataFrame(
    {"patient_id": ["d", "a", "b", "c", "e"], "site": pd.Categorical([*"SNSNS"], ["S", "N"])}
)


def test_mean_spread_and_irregularity_by_hand():
    table = derive_visit_regularity(FOUR).set_index("patient_id")
    assert table.loc["a"].tolist() == pytest.approx([4, 20, 10, 0.5])
    assert table.loc["b"].tolist() == [3, 7, 0, 0]
    assert table["n_visit_days"].to_dict() == {"a": 4, "b": 3, "c": 2, "d": 1}
    assert table.loc[["c", "d"], NEW[1:]].isna().all(axis=None)


def test_several_visits_on_one_day_count_once():
    doubled = pd.concat([FOUR, FOUR])
    pd.testing.assert_frame_equal(derive_visit_regularity(doubled), derive_visit_regularity(FOUR))


def test_everybody_in_the_cohort_is_kept_in_order():
    table = derive_visit_regularity(FOUR, cohort=COHORT)
    assert table["patient_id"].tolist() == ["d", "a", "b", "c", "e"]
    assert table["n_visit_days"].tolist() == [1, 4, 3, 2, 0]
    assert list(table) == ["patient_id", "site", *NEW]


def test_a_patient_needs_the_minimum_of_days_with_a_visit():
    table = derive_visit_regularity(FOUR, minimum_visits=4).set_index("patient_id")
    assert table["mean_gap"].notna().to_dict() == {"a": True, "b": False, "c": False, "d": False}


def test_the_quantiles_of_gaps_by_hand():
    # Gaps of a and b: 7, 7, 10, 20, 30. Of these two fifths are 7: midway from 7 to 10.
    table = visit_regularity(FOUR, q=[0.2, 0.4, 0.5, 0.9])
    assert table["estimate"].tolist() == [7, 8.5, 10, 30]
    assert table["n_gaps"].tolist() == [5] * 4
    assert table["n_patients"].tolist() == [2] * 4
    assert visit_regularity(FOUR, q=0.9, minimum_visits=2)["estimate"].item() == 50


def test_groups_are_columns_of_the_cohort_in_their_order():
    table = visit_regularity(FOUR, cohort=COHORT, by="site", q=[0.9, 0.5])
    assert table["site"].tolist() == ["S", "S", "N", "N"]
    assert table["q"].tolist() == [0.9, 0.5, 0.9, 0.5]
    assert table["estimate"].tolist() == [7, 7, 30, 20]
    assert table["n_patients"].tolist() == [1, 1, 1, 1]


def test_visits_at_random_times_vary_as_much_as_their_mean():
    # Exponential gaps have a coefficient of variation of 1, their median is ln 2 of the mean.
    draws = np.random.default_rng(2)
    days = np.cumsum(np.ceil(draws.exponential(200, 400))).astype(int)
    visits = visits_of(p=days.tolist())
    row = derive_visit_regularity(visits).iloc[0]
    assert row["coefficient_of_variation"] == pytest.approx(1, abs=4 / 400**0.5)
    median = visit_regularity(visits, q=0.5)["estimate"].item()
    assert median == pytest.approx(200 * np.log(2), rel=4 / 400**0.5)


def test_every_engine_gives_the_same(engine):
    native, cohort = engine.make(FOUR), engine.make(COHORT.astype({"site": str}))
    found = engine.read(derive_visit_regularity(native))
    pd.testing.assert_frame_equal(found, derive_visit_regularity(FOUR), check_dtype=False)
    kept = {"by": "site", "q": [0.25, 0.5]}
    expected = visit_regularity(FOUR, cohort=COHORT.astype({"site": str}), **kept)
    found = visit_regularity(native, cohort=cohort, **kept)
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)
    with_cohort = engine.read(derive_visit_regularity(native, cohort=cohort))
    assert with_cohort["n_visit_days"].tolist() == [4, 3, 2, 1, 0]


def test_later_days_and_shuffled_rows_change_nothing():
    moved = FOUR.assign(visit_date=FOUR["visit_date"] + pd.Timedelta(days=400))
    expected = derive_visit_regularity(FOUR)
    pd.testing.assert_frame_equal(derive_visit_regularity(moved), expected)
    shuffled = FOUR.sample(frac=1, random_state=3)
    pd.testing.assert_frame_equal(derive_visit_regularity(shuffled), expected)
    pd.testing.assert_frame_equal(visit_regularity(shuffled), visit_regularity(moved))


def test_settings_that_cannot_be_meant_are_refused():
    with pytest.raises(UsageError, match="minimum_visits=2 must be a whole number, at least 3"):
        derive_visit_regularity(FOUR, minimum_visits=2)
    with pytest.raises(UsageError, match="q=1 must be a number between 0 and 1"):
        visit_regularity(FOUR, q=1)
    with pytest.raises(UsageError, match="give the cohort that has them"):
        visit_regularity(FOUR, by="site")
    with pytest.raises(UsageError, match="by='q' is also a column of the result"):
        visit_regularity(FOUR, cohort=COHORT.assign(q=1), by="q")


def test_data_that_cannot_be_are_refused():
    with pytest.raises(DataError, match="visit_date is missing in 1 of 10 rows"):
        derive_visit_regularity(FOUR.assign(visit_date=FOUR["visit_date"].mask(FOUR.index == 1)))
    gap = COHORT.assign(site=COHORT["site"].where(COHORT.index != 1))
    with pytest.raises(DataError, match="site is missing in 1 of 5 rows"):
        visit_regularity(FOUR, cohort=gap, by="site")
    with pytest.raises(DataError, match="no patient has visits on 9 days or more"):
        visit_regularity(FOUR, minimum_visits=9)
    with pytest.raises(DataError, match="patient_id occurs more than once"):
        derive_visit_regularity(FOUR, cohort=pd.concat([COHORT, COHORT.head(1)]))
