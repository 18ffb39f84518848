"""What is published of a curve on a day that is asked about is exact, or withheld."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loyalty_research.display.disclosure import suppress_curve
from loyalty_research.display.lookup import curve_at, curve_steps
from loyalty_research.display.thinning import is_complete, thin_group

PATIENTS = st.lists(st.tuples(st.integers(0, 40), st.booleans()), min_size=1, max_size=150)
DAYS = st.lists(st.integers(0, 45), max_size=5)
# 10 lapses on day 10, 3 on day 20, 6 on day 30; 60 patients are followed until day 50.
TIMES = [10] * 10 + [20] * 3 + [30] * 6 + [50] * 60
EVENTS = [True] * 19 + [False] * 60


@pytest.fixture
def curve(curve_of):
    return curve_of(TIMES, EVENTS)


def estimates(table):
    return [None if np.isnan(share) else share for share in table["estimate"]]


def test_a_day_without_events_since_the_last_step_has_its_value(curve):
    shown = suppress_curve(curve, exact_at=[15])
    # 69 / 79 = 0.8734 from day 10 to day 19.
    assert shown["time"].tolist()[:3] == [0, 10, 15]
    assert estimates(shown)[:3] == [1.0, 0.873, 0.873]
    assert shown["n_at_risk"].tolist()[2] == 70
    assert shown["n_events"].tolist()[2] == 0


def test_a_day_soon_after_a_step_takes_the_step_back(curve):
    # Day 10 has 3 lapses less than day 20: it goes, and 13 lapses lie before day 20.
    shown = suppress_curve(curve, exact_at=[20])
    assert shown["time"].tolist()[:2] == [0, 20]
    # (79 - 13) / 79 = 0.8354
    assert estimates(shown)[:2] == [1.0, 0.835]
    assert shown["n_events"].tolist()[:2] == [0, 15]


def test_a_day_soon_after_another_day_asked_about_is_withheld(curve):
    shown = suppress_curve(curve, exact_at=[10, 20])
    assert shown["time"].tolist() == [0, 10, 20, 30, 50]
    assert estimates(shown) == [1.0, 0.873, None, 0.759, 0.759]
    withheld = shown.iloc[2]
    assert withheld[["conf_low", "conf_high", "n_events", "n_censored"]].isna().all()
    assert shown["suppressed"].tolist() == [0, 0, 2, 0, 0]
    # Day 30 counts from day 10 on: 3 + 6 lapses.
    assert shown["n_events"].tolist()[3] == 10


def test_a_day_that_leaves_too_few_patients_is_withheld(curve_of):
    curve = curve_of([10] * 20 + [20] * 3, [True] * 20 + [False] * 3)
    assert estimates(suppress_curve(curve, exact_at=[10])) == [1.0, None]


def test_the_day_0_that_is_asked_about_replaces_the_origin(curve_of):
    few = suppress_curve(curve_of([0] * 3 + [9] * 30, [True] * 3 + [False] * 30), exact_at=[0])
    assert estimates(few)[0] is None
    none = suppress_curve(curve_of([9] * 30, [False] * 30), exact_at=[0])
    assert estimates(none)[0] == 1.0
    assert none["time"].tolist() == [0, 9]


def test_a_curve_that_came_down_to_0_stays_there_when_published(curve_of):
    curve = curve_of([10] * 20, [True] * 20)
    at = curve_at(curve, times=[5, 10, 90], audience="publish")
    assert at["estimate"].tolist() == [1.0, 0.0, 0.0]


def test_a_withheld_0_is_not_told_by_nobody_being_left(curve_of):
    # 12 of 32 remain after day 10; 7 are censored, and the last 5 lapse on day 20.
    times, lapsed = [10] * 20 + [15] * 7 + [20] * 5, [True] * 20 + [False] * 7 + [True] * 5
    at = curve_at(curve_of(times, lapsed), times=[10, 90], audience="publish")
    assert estimates(at) == [0.375, None]
    assert at["n_at_risk"].isna().tolist()[1]


def test_the_type_of_groups_and_of_time_is_kept(drawn_curve):
    curve = drawn_curve(300, lapse_days=90, site="A")
    shown = suppress_curve(curve, by=["lapse_days", "site"], exact_at=[90, 365])
    assert shown[["lapse_days", "time"]].dtypes.tolist() == [np.dtype("int64")] * 2
    assert shown["site"].dtype == curve["site"].dtype
    named = curve.assign(site=pd.Categorical(curve["site"], categories=["A", "B"]))
    assert suppress_curve(named, by="site")["site"].dtype == named["site"].dtype


def test_an_empty_curve_stays_empty(curve):
    assert suppress_curve(curve.iloc[:0], exact_at=[5]).empty
    assert thin_group(curve.iloc[:0], threshold=7)["withheld"].empty


def test_late_entries_leave_the_number_at_risk_between_events_open(six_patients):
    late = six_patients.assign(n_at_risk=[0, 2, 3, 4, 3, 2, 1])
    assert not is_complete(late)
    assert np.isnan(thin_group(late, exact_at=[2], threshold=0)["n_at_risk"].iloc[2])


def test_a_day_asked_about_stands_in_the_list_of_steps(curve):
    steps = curve_steps(curve, audience="publish", exact_at=[10, 15, 20])
    assert steps["time"].tolist() == [0, 10, 15, 20, 30, 50]
    assert estimates(steps) == [1.0, 0.873, 0.873, None, 0.759, 0.759]


@settings(max_examples=60, deadline=None)
@given(PATIENTS, DAYS)
def test_an_asked_day_is_exact_or_missing(curve_of, patients, days):
    exact = curve_of([t for t, _ in patients], [e for _, e in patients])
    truth = curve_at(exact, times=days)
    told = curve_at(exact, times=days, audience="publish")
    known = told["estimate"].notna()
    assert np.allclose(told["estimate"][known], truth["estimate"][known], rtol=0, atol=5.1e-4)
    certain = told["conf_low"].eq(1) & told["conf_high"].eq(1)
    assert not certain.any()


@settings(max_examples=60, deadline=None)
@given(PATIENTS, DAYS)
def test_between_two_published_rows_lie_no_or_many_events(curve_of, patients, days):
    exact = curve_of([t for t, _ in patients], [e for _, e in patients])
    shown = suppress_curve(exact, exact_at=days).dropna(subset="estimate")
    events = exact.set_index("time")["n_events"].cumsum()
    so_far = [int(events[events.index <= t].iloc[-1]) for t in shown["time"]]
    if so_far and shown["estimate"].iloc[0] == 1:
        so_far[0] = 0
    gained = np.diff(so_far)
    assert all(n == 0 or n > 7 for n in gained)
