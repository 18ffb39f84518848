"""What is found where there is nothing to find is taken out of what is found elsewhere."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.stats import norm

from loyalty_research.data.simulate_designs import simulate_design
from loyalty_research.effects.negative_controls import (
    calibrate_with_negative_controls,
    fit_systematic_error,
)
from loyalty_research.errors import DataError, UsageError

CONTROLS = [f"control {k}" for k in range(6)]
TABLE = pd.DataFrame(
    {
        "term": ["visits", *CONTROLS],
        "estimate": [0.9, -0.1, 0.5, -0.1, 0.5, 0.2, 0.2],
        "std_error": [0.3] + [0.1] * 6,
    }
)
"""Controls of mean 0.2 and squares 4 0.09 = 0.36: variance 0.06, of which 0.01 is chance."""


def test_mean_and_spread_by_hand():
    effect = calibrate_with_negative_controls(TABLE, controls=CONTROLS)
    assert effect.facts.more["systematic_mean"] == pytest.approx(0.2)
    assert effect.facts.more["systematic_sd"] == pytest.approx(0.05**0.5)
    head = effect.headline
    assert head["estimate"] == pytest.approx(0.7)
    assert head["std_error"] == pytest.approx((0.09 + 0.05) ** 0.5)
    assert head["p_value"] == pytest.approx(2 * norm.sf(0.7 / 0.14**0.5))


def test_both_are_shown_and_the_calibrated_leads(assert_columns):
    effect = calibrate_with_negative_controls(TABLE, controls=CONTROLS)
    assert_columns(effect.estimates, "estimates")
    assert_columns(effect.checks, "checks")
    assert effect.estimates["term"].tolist() == ["visits", "visits, not calibrated"]
    assert effect.estimates["estimate"].tolist() == pytest.approx([0.7, 0.9])
    assert "6 negative controls" in effect.sentence()


def test_where_chance_explains_the_spread_none_is_left():
    found = fit_systematic_error(np.array([0.1, 0.2, 0.3]), np.full(3, 0.5))
    assert (found.mean, found.sd) == (pytest.approx(0.2), 0)


def test_the_likelihood_is_the_largest():
    random = np.random.default_rng(7)
    error = random.uniform(0.05, 0.4, 25)
    value = random.normal(0.15, 0.12, 25) + random.normal(0, error)
    found = fit_systematic_error(value, error)

    def falls(theta):
        return -norm.logpdf(value, theta[0], np.hypot(error, np.exp(theta[1]))).sum()

    best = minimize(falls, [0.1, -2], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12})
    assert [found.mean, found.sd] == pytest.approx([best.x[0], np.exp(best.x[1])], abs=1e-6)


def test_ratios_are_calibrated_on_the_log_scale():
    ratios = TABLE.assign(estimate=np.exp(TABLE["estimate"]), scale="risk ratio")
    effect = calibrate_with_negative_controls(ratios, controls=CONTROLS)
    assert effect.headline["estimate"] == pytest.approx(np.exp(0.7))
    assert effect.headline["scale"] == "risk ratio"
    assert effect.headline["std_error"] == pytest.approx(0.14**0.5)
    bare = calibrate_with_negative_controls(
        ratios.drop(columns="scale"), controls=CONTROLS, measure="risk ratio"
    )
    assert bare.headline["conf_low"] == pytest.approx(effect.headline["conf_low"])


def test_calibrated_intervals_hold_the_truth_where_plain_ones_do_not():
    # METHODS C, setting L: 40 controls, systematic error N(.15, .12): .685 becomes .950.
    plain, calibrated = [], []
    for seed in range(400):
        world = simulate_design("negative_controls", seed=seed)
        effect = calibrate_with_negative_controls(
            world.data, controls=world.data["term"].tolist()[1:]
        )
        table = effect.estimates
        inside = (table["conf_low"] <= 0) & (table["conf_high"] >= 0)
        calibrated.append(inside.iloc[0])
        plain.append(inside.iloc[1])
    # Three Monte-Carlo errors of 400 runs are 0.033 and 0.07.
    assert np.mean(calibrated) == pytest.approx(0.95, abs=0.033)
    assert np.mean(plain) == pytest.approx(0.685, abs=0.07)


def test_few_controls_are_warned_of_and_enough_are_not():
    few = calibrate_with_negative_controls(TABLE, controls=CONTROLS).checks.set_index("check")
    assert not few.loc["negative_controls", "passed"]
    assert not few.loc["negative_controls", "gating"]
    assert "with fewer than 30" in few.loc["negative_controls", "message"]
    world = simulate_design("negative_controls", seed=1)
    many = calibrate_with_negative_controls(world.data, controls=world.data["term"].tolist()[1:])
    assert many.checks.set_index("check").loc["negative_controls", "passed"]
    assert "before" in many.checks.set_index("check").loc["control_coverage", "message"]


def test_too_few_controls_are_refused():
    words = "4 negative controls, .*; find at least 5, better 30, or show the e_value instead"
    with pytest.raises(DataError, match=words):
        calibrate_with_negative_controls(TABLE, controls=CONTROLS[:4])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"controls": [*CONTROLS, "control 9"]}, "1 of them are no term of the table"),
        ({"controls": "control 1"}, "no term of the table"),
        ({"controls": ["visits", *CONTROLS]}, "all estimates are negative controls; add the one"),
        ({"controls": CONTROLS, "conf_level": 2}, "conf_level=2 must be a number between 0 and 1"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(arguments, words):
    with pytest.raises(UsageError, match=words):
        calibrate_with_negative_controls(TABLE, **arguments)


def test_several_scales_are_refused():
    mixed = TABLE.assign(scale=["risk ratio"] + ["risk difference"] * 6)
    with pytest.raises(UsageError, match="the estimates are on 2 scales; calibrate those of one"):
        calibrate_with_negative_controls(mixed, controls=CONTROLS)


def test_every_fault_is_told_at_once():
    broken = TABLE.assign(std_error=[0.3, 0.0] + [0.1] * 5, estimate=[np.nan] + [-0.1] * 6)
    with pytest.raises(DataError, match="2 faults") as caught:
        calibrate_with_negative_controls(broken, controls=CONTROLS)
    assert "std_error is not a number above 0 in 1 of 7 rows" in str(caught.value)
    again = pd.concat([TABLE, TABLE.tail(1)])
    with pytest.raises(DataError, match="term occurs twice in 1 of 8 rows; give each estimate"):
        calibrate_with_negative_controls(again, controls=CONTROLS)
    with pytest.raises(DataError, match="estimate is not a number above 0 in 2 of 7 rows"):
        calibrate_with_negative_controls(TABLE, controls=CONTROLS, measure="risk ratio")


def test_every_frame_gives_the_same_answer(engine):
    expected = calibrate_with_negative_controls(TABLE, controls=CONTROLS).estimates
    found = calibrate_with_negative_controls(engine.make(TABLE), controls=CONTROLS).estimates
    pd.testing.assert_frame_equal(found, expected)
