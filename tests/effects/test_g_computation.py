"""An outcome model is asked of the same patients in either arm."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from loyalty_research.data.simulate_designs import simulate_design
from loyalty_research.effects.g_computation import g_computation
from loyalty_research.errors import DataError, UsageError
from loyalty_research.retention.design_matrix import SeparationError

OLD = {"arm": "arm", "covariates": ["old"]}


@pytest.mark.parametrize(("estimand", "expected"), [("ATE", -5.5), ("ATT", (-7 - 3 * 4) / 4)])
def test_predictions_are_averaged_over_whom_the_question_is_about(eight, estimand, expected):
    effect = g_computation(eight, **OLD, outcome="sbp", estimand=estimand)
    assert effect.headline["estimate"] == pytest.approx(expected)


def test_in_a_saturated_model_the_variance_is_that_of_the_strata(eight):
    between = 8 * 1.5**2 / 8**2
    within = 2 * (2 / (0.75 * 8)) ** 2 + 2 * (1 / (0.75 * 8)) ** 2
    head = g_computation(eight, **OLD, outcome="sbp").headline
    assert head["std_error"] == pytest.approx((between + within) ** 0.5, abs=1e-9)


def test_without_modifiers_the_effect_is_the_coefficient_of_the_arm(eight):
    # Strata weigh by n share (1 - share) = 3/4 each: (-7 - 4) / 2.
    effect = g_computation(eight, **OLD, outcome="sbp", modifiers=[])
    assert effect.headline["estimate"] == pytest.approx(-5.5)
    # Slope of old 9.5 (see AIPW): controls 144 + 9.5 / 4, treated 143.25 - 9.5 / 4.
    assert effect.facts.levels == {0: pytest.approx(146.375), 1: pytest.approx(140.875)}


@pytest.mark.parametrize("estimand", ["ATE", "ATT"])
@pytest.mark.parametrize(("outcome", "kind"), [("bwt", "number"), ("low", "binary")])
def test_the_stacked_equations_agree_with_r(
    births, published, assert_reference, estimand, outcome, kind
):
    effect = g_computation(
        births.data, **births.arguments, outcome=outcome, kind=kind, estimand=estimand
    )
    assert_reference(effect, published("observational")[f"g_{kind}"][estimand])


def test_quitting_smoking_adds_the_published_weight(nhefs, found):
    # Hernan and Robins, What If, section 13.3: 3.5 kg (2.6, 4.5) by bootstrap, the effect
    # differing by smoking intensity only; estimate 3.517.
    effect = g_computation(
        nhefs.data, **nhefs.arguments, outcome="wt82_71", modifiers=["smokeintensity"]
    )
    assert found(effect)[0] == 3.517
    assert found(effect, 1) == [3.5, 2.6, 4.5]


def test_intervals_hold_the_truth_as_often_as_they_say():
    held = []
    for seed in range(150):
        world = simulate_design("confounded", seed=seed)
        head = g_computation(
            world.data, arm="arm", covariates=["x1", "x2", "x3"], outcome="score", estimand="ATT"
        ).headline
        held.append(head["conf_low"] <= world.truth["ATT"] <= head["conf_high"])
    assert np.mean(held) == pytest.approx(0.95, abs=0.053)


def test_a_model_that_must_reach_beyond_its_data_fails_its_check(eight):
    check = g_computation(eight, **OLD, outcome="sbp").checks.set_index("check")
    assert not check.loc["extrapolation", "passed"]
    assert check.loc["extrapolation", "statistic"] == pytest.approx(1.0)
    assert "use doubly_robust_effect" in check.loc["extrapolation", "message"]


def test_every_frame_gives_the_same_answer(engine, eight):
    expected = g_computation(eight, **OLD, outcome="came").estimates
    found = g_computation(engine.make(eight), **OLD, outcome="came").estimates
    pd.testing.assert_frame_equal(found, expected)


def test_a_covariate_that_is_constant_in_an_arm_is_refused(eight):
    data = eight.assign(ill=[0, 1, 1, 0, 0, 0, 0, 0])
    words = "ill is constant in an arm or determined by others there; leave it out or join"
    with pytest.raises(DataError, match=words):
        g_computation(data, arm="arm", outcome="sbp", covariates=["ill"])


def test_covariates_that_tell_who_had_the_event_are_refused(eight):
    with pytest.raises(SeparationError, match="old separates those with the event"):
        g_computation(eight.assign(came=eight["old"]), **OLD, outcome="came", kind="binary")


def test_the_overlap_needs_weights(eight):
    with pytest.raises(UsageError, match="estimand='ATO' is not known; did you mean"):
        g_computation(eight, **OLD, outcome="sbp", estimand="ATO")
