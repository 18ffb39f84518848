"""Targeted predictions leave no weighted rest in either arm and stay within the outcome."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from loyalty_research.data.simulate_designs import simulate_design
from loyalty_research.effects.doubly_robust import doubly_robust_effect
from loyalty_research.effects.targeted import targeted_effect
from loyalty_research.errors import DataError, UsageError

OLD = {"arm": "arm", "covariates": ["old"]}


def test_in_saturated_models_it_is_the_mean_of_the_strata_with_their_variance(eight):
    # Predictions that miss nothing in any stratum need no moving, but for keeping off the edge.
    data = eight.assign(sbp=eight["sbp"] + [-9, 0, 9, 0, 0, 0, 0, 0])
    data = pd.concat([data, data.assign(sbp=data["sbp"] + [0, 0, 0, -2, -2, 0, 0, 0])])
    data = pd.concat([data, eight.assign(sbp=eight["sbp"] + [0, 0, 0, 2, 2, 0, 0, 0])])
    head = targeted_effect(data, **OLD, outcome="sbp").headline
    assert head["estimate"] == pytest.approx(-5.5, abs=1e-6)
    # Strata lie 1.5 from -5.5; a row of the larger group weighs 1 / (0.75 24), of the smaller
    # 1 / (0.25 24). Squares about the mean: young controls 2 (121 + 121) + 8, old controls 8;
    # old treated 6, young treated 8.
    between = 24 * 1.5**2 / 24**2
    within = (492 + 6) / 18**2 + (8 + 8) / 6**2
    assert head["std_error"] == pytest.approx((between + within) ** 0.5, rel=1e-6)


def test_quitting_smoking_adds_the_published_weight(nhefs, found):
    # METHODS B4: TMLE 3.445 (2.49, 4.40), the outcome model without products with the arm.
    effect = targeted_effect(nhefs.data, **nhefs.arguments, outcome="wt82_71", modifiers=[])
    assert found(effect)[0] == 3.445
    assert found(effect, 2)[1:] == [2.49, 4.40]


@pytest.mark.parametrize("estimand", ["ATE", "ATT", "ATO"])
def test_it_agrees_with_aipw_where_both_models_are_right(estimand):
    data = simulate_design("confounded", seed=3, n=5000).data
    arguments = {"arm": "arm", "covariates": ["x1", "x2", "x3"], "outcome": "score"}
    targeted = targeted_effect(data, **arguments, estimand=estimand).headline
    augmented = doubly_robust_effect(data, **arguments, estimand=estimand).headline
    assert targeted["estimate"] == pytest.approx(
        augmented["estimate"], abs=0.1 * augmented["std_error"]
    )
    assert targeted["std_error"] == pytest.approx(augmented["std_error"], rel=0.05)


def test_levels_stay_within_the_outcome_where_aipw_leaves_it():
    # A straight line through yes and no, and few controls who weigh much: AIPW's level is a sum of
    # parts and may be no share. TMLE's is a mean of predictions from 0 to 1.
    random = np.random.default_rng(49)
    x = random.normal(size=80)
    arm = (random.random(80) < 1 / (1 + np.exp(-2 * x))).astype(int)
    came = (random.random(80) < 1 / (1 + np.exp(3 * x + 3))).astype(float)
    data = pd.DataFrame({"x": x, "arm": arm, "came": came})
    arguments = {"arm": "arm", "covariates": ["x"], "outcome": "came"}
    assert doubly_robust_effect(data, **arguments).facts.levels[0] < 0
    assert 0 < targeted_effect(data, **arguments).facts.levels[0] < 1


def test_an_arm_without_any_event_is_refused(eight):
    data = pd.concat([eight] * 3).assign(came=[0] * 8 + [1, 1, 1, 0, 1, 0, 0, 0] * 2)
    words = "came is at its least in every row of arm 1, .*; use doubly_robust_effect"
    with pytest.raises(DataError, match=words):
        targeted_effect(data, **OLD, outcome="came")


def test_intervals_hold_the_truth_as_often_as_they_say():
    held = []
    for seed in range(150):
        world = simulate_design("confounded", seed=seed)
        head = targeted_effect(
            world.data, arm="arm", covariates=["x1", "x2", "x3"], outcome="score"
        ).headline
        held.append(head["conf_low"] <= world.truth["ATE"] <= head["conf_high"])
    assert np.mean(held) == pytest.approx(0.95, abs=0.053)


def test_every_frame_gives_the_same_answer(engine, eight):
    expected = targeted_effect(eight, **OLD, outcome="came").estimates
    found = targeted_effect(engine.make(eight), **OLD, outcome="came").estimates
    pd.testing.assert_frame_equal(found, expected)


def test_an_outcome_that_does_not_vary_is_refused(eight):
    with pytest.raises(DataError, match="flat is the same in all 8 rows"):
        targeted_effect(eight.assign(flat=1), **OLD, outcome="flat")


def test_an_unknown_estimand_is_refused(eight):
    with pytest.raises(UsageError, match="estimand='ATX' is not known"):
        targeted_effect(eight, **OLD, outcome="sbp", estimand="ATX")
