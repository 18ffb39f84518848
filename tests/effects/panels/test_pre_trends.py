"""What a look at trends before the start could have found: exact, by simulation, and in words."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import brentq
from scipy.stats import norm

from loyalty_research.effects.event_times import EventTimes
from loyalty_research.effects.pre_trends import chance_inside, check_pre_trends, detectable_slope
from loyalty_research.errors import DataError, UsageError

CLINIC = {"outcome": "y", "unit": "clinic", "period": "month", "first_treated": "start"}
COUNTY = {"outcome": "lemp", "unit": "county", "period": "year", "first_treated": "start"}


def test_one_lead_needs_the_slope_of_any_test_of_one_mean():
    times = EventTimes(np.array([-3, 0]), np.zeros(2), np.diag([0.25, 1.0]))
    # Two periods from the reference, error 0.5: power 0.8 of a two-sided test at 5 %.
    exact = brentq(
        lambda d: norm.sf(1.959964 - 2 * d / 0.5) + norm.cdf(-1.959964 - 2 * d / 0.5) - 0.8, 0, 5
    )
    assert detectable_slope(times, conf_level=0.95, power=0.8) == pytest.approx(exact, rel=1e-6)


def test_independent_leads_multiply():
    times = EventTimes(np.array([-4, -3, -2, 0]), np.zeros(4), np.diag([1.0, 4.0, 0.5, 1.0]))
    steps, error = np.array([-3, -2, -1]), np.sqrt([1.0, 4.0, 0.5])

    def missed(slope: float) -> float:
        drift, limit = slope * steps / error, 1.959963984540054
        return float(np.prod(norm.cdf(limit - drift) - norm.cdf(-limit - drift))) - 0.2

    found = detectable_slope(times, conf_level=0.95, power=0.8)
    assert found == pytest.approx(brentq(missed, 0, 5), rel=1e-6)


def test_the_chance_of_dependent_leads_is_that_counted():
    rng = np.random.default_rng(1)
    covariance = 0.6 + 0.4 * np.eye(5)
    root = np.linalg.cholesky(covariance)
    mean = np.linspace(-1, 1, 5)
    drawn = np.abs(rng.standard_normal((400_000, 5)) @ root.T + mean) < 1.5
    # Counted with a Monte-Carlo error of 0.0008.
    assert chance_inside(mean, root, 1.5) == pytest.approx(drawn.all(axis=1).mean(), abs=0.0025)


def test_the_slope_of_the_counties_is_that_of_another_integration(counties, published):
    found = check_pre_trends(counties, **COUNTY).set_index("check")
    expected = published("did")["pre_trends"]["slope"]
    # scipy's integral is by another rule, to about 1e-6.
    assert found.loc["detectable_slope", "statistic"] == pytest.approx(expected, rel=1e-5)
    # Event times 0 to 3 lie 1 to 4 periods after the reference: 2.5 on average.
    bias = found.loc["bias_of_detectable_slope"]
    assert bias["statistic"] == pytest.approx(2.5 * expected, rel=1e-5)
    assert bias["threshold"] == pytest.approx(-0.0772, abs=5e-5)
    assert "-0.0772, by 0.0525" in bias["message"]
    assert "0.021 a period" in found.loc["detectable_slope", "message"]
    assert "at event time -2" in found.loc["largest_lead", "message"]


def test_rows_inform_and_never_pass(counties, assert_columns):
    found = check_pre_trends(counties, **COUNTY)
    assert_columns(found, "checks")
    assert found["passed"].isna().all()
    assert not found["gating"].any()


def test_more_clinics_find_smaller_slopes(roll_out):
    few = check_pre_trends(roll_out(20, seed=1), **CLINIC)["statistic"][0]
    many = check_pre_trends(roll_out(200, seed=1), **CLINIC)["statistic"][0]
    # The square root of ten, but few clinics show too little of their own variation.
    assert few / 4 < many < few / 1.5


def test_the_slope_is_found_as_often_as_said(roll_out):
    # A slope of the size found with 80 % power, put into other draws of the same world.
    slope = check_pre_trends(roll_out(80, seed=100), **CLINIC)["statistic"][0]
    found = []
    for seed in range(60):
        table = roll_out(80, seed=seed)
        table["y"] += slope * table["month"] * table["start"].notna()
        row = check_pre_trends(table, **CLINIC).set_index("check").loc["largest_lead", "message"]
        limits = row.split("(")[1].split(")")[0].split(" to ")
        found.append(float(limits[0]) > 0 or float(limits[1]) < 0)
    # Three Monte-Carlo errors of 60 draws are 15 points.
    assert 0.65 <= np.mean(found) <= 0.95


def test_order_and_engine_of_rows_change_nothing(engine, roll_out):
    table = roll_out(12, seed=1)
    found = check_pre_trends(engine.make(table), **CLINIC)
    pd.testing.assert_frame_equal(found, check_pre_trends(table, **CLINIC), rtol=1e-9)


def test_one_period_before_every_start_is_refused(three_clinics):
    table = three_clinics.query("month >= 2 and clinic != 'a'")
    with pytest.raises(DataError, match="no unit has two periods before start"):
        check_pre_trends(table, **CLINIC)


@pytest.mark.parametrize(
    ("setting", "message"),
    [({"power": 80}, "power=80 must be"), ({"conf_level": 1}, "conf_level=1 must be")],
)
def test_arguments_that_cannot_be_meant_are_refused(three_clinics, setting, message):
    with pytest.raises(UsageError, match=message):
        check_pre_trends(three_clinics, **CLINIC, **setting)
