"""Intervals that allow for smooth differences in trends: by hand, as HonestDiD, and their cover."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from loyalty_research.effects.event_times import EventTimes
from loyalty_research.effects.smoothness import (
    folded_quantile,
    shortest_interval,
    smoothness_sensitivity,
)
from loyalty_research.errors import DataError, UsageError

CLINIC = {"outcome": "y", "unit": "clinic", "period": "month", "first_treated": "start"}
COUNTY = {"outcome": "lemp", "unit": "county", "period": "year", "first_treated": "start"}


def test_one_lead_is_continued_as_a_line_and_errs_by_the_bound():
    # Lead -1 at -2, effect 5 at 0: a straight difference in trends of 1 a period leaves 4.
    times = EventTimes(np.array([-2, 0]), np.array([-1.0, 5.0]), np.diag([0.25, 1.0]))
    found = shortest_interval(times, np.array([0.0, 1.0]), 0.3, 0.95)
    assert found.estimate == pytest.approx(5 + -1)
    assert found.std_error == pytest.approx(np.sqrt(1 + 0.25))
    # Trends -d, 0, d + kink: continued as a line they are off by the kink at -1, at most 0.3.
    assert found.worst_bias == pytest.approx(0.3)
    assert found.half == pytest.approx(np.sqrt(1.25) * folded_quantile(0.3 / np.sqrt(1.25), 0.95))


def test_two_leads_by_a_grid_of_weights():
    rng = np.random.default_rng(2)
    root = rng.normal(size=(4, 4)) + 2 * np.eye(4)
    times = EventTimes(np.array([-3, -2, 0, 1]), rng.normal(size=4), root @ root.T / 10)
    target, bound = np.array([0, 0, 0.5, 0.5]), 0.2
    found = shortest_interval(times, target, bound, 0.95)
    lengths = []
    # Steps from -1 are -2, -1, 1, 2: weights (a, b) free of slope satisfy -2a - b + 1.5 = 0.
    for a in np.linspace(-2, 3, 5001):
        weight = np.array([a, 1.5 - 2 * a, 0.5, 0.5])
        # Kinks at -1, 0 and 1 of these steps: d(-2) holds the one at -1 once and at 0 twice,
        # d(-1) the one at 0 once, d(2) the one at 1 once.
        at = [weight[0], 2 * weight[0] + weight[1], weight[3]]
        bias = bound * np.abs(at).sum()
        error = np.sqrt(weight @ times.covariance @ weight)
        lengths.append(error * folded_quantile(bias / error, 0.95))
    assert found.half == pytest.approx(min(lengths), rel=1e-6)
    assert found.half <= min(lengths) + 1e-12


def test_the_quantile_of_a_biased_normal_covers_as_it_says():
    for bias in (0.0, 0.1, 1.0, 3.0, 9.0, 20.0):
        limit = folded_quantile(bias, 0.9)
        assert norm.cdf(limit - bias) - norm.cdf(-limit - bias) == pytest.approx(0.9, abs=1e-10)


@pytest.mark.parametrize(("target", "event_time"), [("first", 0), ("average", None)])
def test_intervals_are_those_of_honest_did(counties, published, target, event_time):
    theirs = [row for row in published("did")["honest"] if row["target"] == target]
    bounds = [row["bound"] for row in theirs]
    ours = smoothness_sensitivity(counties, **COUNTY, bounds=bounds, event_time=event_time)
    ours = ours.iloc[1:]
    length = np.array([row["conf_high"] - row["conf_low"] for row in theirs])
    # Theirs is searched on a grid of errors; ours is never the longer one.
    np.testing.assert_allclose(ours["conf_high"] - ours["conf_low"], length, rtol=2e-6)
    assert ((ours["conf_high"] - ours["conf_low"]) <= length + 1e-8).all()
    low = np.array([row["conf_low"] for row in theirs])
    # With bound 0 lengths are so flat about the best weights that their middle is off by 6e-5.
    np.testing.assert_allclose(ours["conf_low"][1:], low[1:], atol=1e-7)
    np.testing.assert_allclose(ours["conf_low"][:1], low[:1], atol=1e-4)


def test_the_first_row_is_the_effect_under_parallel_trends(counties):
    table = smoothness_sensitivity(counties, **COUNTY, bounds=[0.01])
    assert table["bound"].isna().tolist() == [True, False]
    # The dynamic aggregation of Callaway and Sant'Anna.
    assert [round(table[name][0], 4) for name in ("estimate", "std_error")] == [-0.0772, 0.0200]
    assert table["excludes_zero"].tolist() == [True, False]
    assert list(table) == [
        *["bound", "estimate", "std_error", "worst_bias", "conf_low", "conf_high", "conf_level"],
        *["excludes_zero", "method"],
    ]


def test_intervals_widen_with_the_bound(roll_out):
    table = smoothness_sensitivity(roll_out(60, seed=1), **CLINIC, bounds=[0, 0.01, 0.05, 0.2, 1])
    half = (table["conf_high"] - table["conf_low"])[1:]
    assert half.is_monotonic_increasing
    assert (table["worst_bias"][1:].diff().dropna() > 0).all()


def test_a_straight_difference_in_trends_moves_parallel_trends_but_not_a_bound_of_zero(roll_out):
    table = roll_out(60, seed=1)
    drifting = table.assign(y=table["y"] + 0.3 * table["month"] * table["start"].notna())
    before = smoothness_sensitivity(table, **CLINIC, bounds=[0])["estimate"]
    after = smoothness_sensitivity(drifting, **CLINIC, bounds=[0])["estimate"]
    assert after[0] - before[0] > 1
    assert after[1] == pytest.approx(before[1], abs=1e-8)


def test_worst_trends_within_the_bound_are_covered():
    rng = np.random.default_rng(7)
    steps, bound = np.arange(-4, 4), 0.4
    event_time = steps[steps != 0] - 1
    # Slopes change by the bound in every period: a parabola.
    trend = bound * steps[steps != 0] ** 2 / 2
    truth = np.where(event_time >= 0, 2.0, 0.0)
    root = np.eye(7) * 0.3
    target = (event_time >= 0) / 3
    covered = []
    for _ in range(200):
        beta = truth + trend + root @ rng.normal(size=7)
        found = shortest_interval(EventTimes(event_time, beta, root @ root.T), target, bound, 0.9)
        covered.append(abs(found.estimate - 2) <= found.half)
    # Three Monte-Carlo errors of 200 draws are 6 points.
    assert np.mean(covered) >= 0.84


def test_order_and_engine_of_rows_change_nothing(engine, roll_out):
    table = roll_out(12, seed=1)
    found = smoothness_sensitivity(engine.make(table), **CLINIC, bounds=[0, 0.1])
    plain = smoothness_sensitivity(table, **CLINIC, bounds=[0, 0.1])
    # Sums in another order differ in their last digits.
    pd.testing.assert_frame_equal(found, plain, rtol=1e-6)


def test_one_period_before_every_start_is_refused(three_clinics):
    with pytest.raises(DataError, match="no unit has two periods before start"):
        smoothness_sensitivity(
            three_clinics.query("month >= 2 and clinic != 'a'"), **CLINIC, bounds=[0]
        )


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"bounds": [-1]}, "bounds holds -1; give numbers from 0"),
        ({"bounds": ["wide"]}, "bounds holds 'wide'"),
        ({"bounds": [float("nan")]}, "bounds holds nan"),
        (
            {"bounds": [0], "event_time": 40},
            "event_time=40 is not reached; choose one from 0 to 11",
        ),
        ({"bounds": [0], "event_time": -2}, "event_time=-2 is not reached"),
        ({"bounds": [0], "conf_level": 95}, "conf_level=95 must be"),
        ({"bounds": [0], "control": "all"}, "control='all' is not known"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(roll_out, setting, message):
    with pytest.raises(UsageError, match=message):
        smoothness_sensitivity(roll_out(12, seed=1), **CLINIC, **setting)
