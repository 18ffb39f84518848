"""A curve is read off as with a ruler: the last step at or before the time."""

import numpy as np
import pandas as pd
import pytest

from loyalty_research.display.lookup import check_curve, curve_at, is_withheld
from loyalty_research.display.thinning import is_complete
from loyalty_research.errors import UsageError

COUNTS = ["n_at_risk", "n_events_so_far", "n_censored_so_far"]


def test_six_patients_are_read_off_by_hand(six_patients):
    at = curve_at(six_patients, times=[0, 1, 2, 6, 8])
    assert at["estimate"].tolist() == pytest.approx([1, 5 / 6, 5 / 6, 0.625, 0.625])
    # At risk on day 2 are those who leave on day 3 or later: 5.
    assert at["n_at_risk"].tolist() == [6, 6, 5, 4, 2]
    assert at["n_events_so_far"].tolist() == [0, 1, 1, 2, 2]
    assert at["n_censored_so_far"].tolist() == [0, 0, 0, 1, 3]


def test_shuffled_rows_give_the_same_answer(six_patients):
    shuffled = six_patients.sample(frac=1, random_state=3)
    pd.testing.assert_frame_equal(
        curve_at(shuffled, times=[2, 7]), curve_at(six_patients, times=[2, 7])
    )


def test_after_the_last_patient_nothing_is_claimed(curve_of):
    at = curve_at(curve_of([5, 10], [True, False]), times=[10, 11])
    assert at["estimate"].tolist() == [0.5, pytest.approx(np.nan, nan_ok=True)]
    assert at["n_at_risk"].tolist() == [1, 0]


def test_a_curve_that_came_down_to_0_stays_there(six_patients):
    at = curve_at(six_patients, times=[9, 100])
    assert at["estimate"].tolist() == [0, 0]


def test_before_the_first_row_everybody_is_still_there(six_patients):
    at = curve_at(six_patients.iloc[1:], times=[0])
    assert at["estimate"].tolist() == [1.0]
    assert at[COUNTS].iloc[0].tolist() == [6, 0, 0]


def test_each_group_is_read_off_its_own_curve(curve_of):
    both = pd.concat([curve_of([1, 2], [True, True], arm=1), curve_of([9], [False], arm=0)])
    at = curve_at(both, times=[1], by="arm")
    assert at[["arm", "estimate"]].to_numpy().tolist() == [[1, 0.5], [0, 1.0]]


def test_with_late_entries_only_the_curves_own_times_have_counts(six_patients):
    late = six_patients.assign(n_at_risk=[0, 2, 3, 4, 3, 2, 1])
    assert not is_complete(late)
    at = curve_at(late, times=[6, 2])
    assert at["n_at_risk"].tolist() == [4, pd.NA]
    assert at["estimate"].tolist() == pytest.approx([0.625, 5 / 6])


def test_for_publication_counts_are_rounded_and_shares_come_off_the_thinned_curve(curve_of):
    curve = curve_of([10] * 5 + [20] * 3 + [30] * 4 + [40] * 48, [True] * 12 + [False] * 48)
    at = curve_at(curve, times=[10, 20, 30], audience="publish")
    assert at["n_at_risk"].tolist() == [60, 55, 50]
    assert at["n_events_so_far"].tolist() == [pd.NA, 10, 10]
    # 5 lapses before day 10 are too few to publish, and so are the 4 after day 20.
    assert at["estimate"].tolist() == pytest.approx([np.nan, 0.867, np.nan], nan_ok=True)
    assert is_withheld(at).tolist() == [True, False, True]
    assert at["suppressed"].tolist() == [2, 0, 1]


def test_days_published_elsewhere_withhold_what_a_difference_would_tell(curve_of):
    curve = curve_of([10] * 9 + [30] * 4 + [40] * 48, [True] * 13 + [False] * 48)
    alone = curve_at(curve, times=[30], audience="publish")
    beside = curve_at(curve, times=[30], audience="publish", exact_at=[10])
    # 48 / 61 = 0.7869; with day 10 published as well, 4 lapses would show.
    assert alone["estimate"].tolist() == [0.787]
    assert beside["estimate"].isna().all()


def test_as_long_as_nobody_has_lapsed_there_is_no_interval(six_patients):
    at = curve_at(six_patients, times=[0, 1])
    assert at["conf_low"].isna().tolist() == [True, False]
    assert at["conf_high"].isna().tolist() == [True, False]
    assert at["estimate"].tolist() == pytest.approx([1, 5 / 6])


def test_beyond_the_follow_up_nothing_is_withheld(drawn_curve):
    at = curve_at(drawn_curve(300), times=[5000], audience="publish")
    assert at["estimate"].isna().all()
    assert not is_withheld(at).any()
    assert not is_withheld(at.drop(columns="suppressed")).any()


def test_no_times_and_no_rows_give_an_empty_table(six_patients):
    assert curve_at(six_patients, times=[]).empty
    assert curve_at(six_patients.iloc[:0], times=[1]).empty


def test_a_repeated_time_asks_for_the_group(six_patients):
    with pytest.raises(UsageError, match="repeats a time; name its group columns in by="):
        curve_at(pd.concat([six_patients, six_patients]), times=[1])


def test_a_table_that_is_no_curve_is_refused():
    with pytest.raises(UsageError, match="the curve lacks the columns arm, time"):
        check_curve(pd.DataFrame({"n": [1]}), by=["arm"])
