"""AIPW is right if either of its models is, and its interval knows it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from loyalty_research.data.simulate_designs import simulate_design
from loyalty_research.effects.doubly_robust import doubly_robust_effect
from loyalty_research.errors import DataError, DesignError, UsageError
from loyalty_research.retention.design_matrix import SeparationError

OLD = {"arm": "arm", "covariates": ["old"]}
CONFOUNDED = {"arm": "arm", "covariates": ["x1", "x2", "x3"], "outcome": "score"}


def test_in_saturated_models_it_is_the_mean_of_the_strata_with_their_variance(eight):
    # Young: 135 - 142 = -7; old: 146 - 150 = -4; half of all are old.
    head = doubly_robust_effect(eight, **OLD, outcome="sbp").headline
    assert head["estimate"] == pytest.approx(-5.5, abs=1e-9)
    between = 8 * 1.5**2 / 8**2
    within = 2 * (2 / (0.75 * 8)) ** 2 + 2 * (1 / (0.75 * 8)) ** 2
    assert head["std_error"] == pytest.approx((between + within) ** 0.5, abs=1e-9)


def test_without_an_outcome_model_by_arm_the_weights_mend_it_by_hand(eight):
    # One slope for both arms, so that the model is wrong. By hand: within young and old the
    # arm's coefficient weighs strata by 3 1/4 = 3/4 each: -5.5; controls lie at
    # mean 144 + slope (share old - 1/4). The slope of old given arm: old less young within arms,
    # 8 among controls (3 and 1) and 11 among treated (1 and 3): 9.5.
    # Predictions of arm 0: 144 + 9.5 (0 - 1/4) = 141.625 young, 151.125 old; the weighted rest is
    # 0.375 and -1.125 in the strata, which mends both: 142 and 150.
    effect = doubly_robust_effect(eight, **OLD, outcome="sbp", modifiers=[])
    assert effect.facts.levels[0] == pytest.approx(146)
    assert effect.facts.levels[1] == pytest.approx(140.5)


@pytest.mark.parametrize("estimand", ["ATE", "ATT", "ATO"])
@pytest.mark.parametrize(("outcome", "kind"), [("bwt", "number"), ("low", "binary")])
def test_the_stacked_equations_agree_with_r(
    births, published, assert_reference, estimand, outcome, kind
):
    effect = doubly_robust_effect(
        births.data, **births.arguments, outcome=outcome, kind=kind, estimand=estimand
    )
    assert_reference(effect, published("observational")[f"aipw_{kind}"][estimand])


def test_quitting_smoking_adds_the_published_weight(nhefs, found):
    # METHODS B4: AIPW 3.373.
    effect = doubly_robust_effect(nhefs.data, **nhefs.arguments, outcome="wt82_71", unit="kg")
    assert found(effect) == [3.373, 2.432, 4.314]
    assert effect.sentence() == (
        "Mean difference in wt82_71, programme against control: 3.4 kg (95 % interval 2.4 to 4.3); "
        "levels 5.15 and 1.77 kg; 1,566 patients."
    )


def test_the_trained_earn_as_much_more_as_was_published(lalonde):
    # METHODS B4: AIPW 1,577 in the trained.
    effect = doubly_robust_effect(lalonde.data, **lalonde.arguments, outcome="re78", estimand="ATT")
    assert round(effect.headline["estimate"]) == 1577


@pytest.mark.parametrize("overlap", ["good", "poor"])
def test_intervals_hold_the_truth_as_often_as_they_say(overlap):
    estimates, errors, held = [], [], []
    for seed in range(150):
        world = simulate_design("confounded", seed=seed, overlap=overlap)
        head = doubly_robust_effect(world.data, **CONFOUNDED).headline
        estimates.append(head["estimate"])
        errors.append(head["std_error"])
        held.append(head["conf_low"] <= world.truth["ATE"] <= head["conf_high"])
    assert np.mean(held) == pytest.approx(0.95, abs=0.053)
    assert np.mean(errors) / np.std(estimates, ddof=1) == pytest.approx(1, abs=0.17)


@pytest.mark.parametrize("wrong", ["outcome", "propensity"])
def test_it_is_right_if_one_model_is_wrong(wrong):
    random = np.random.default_rng(8)
    n = 20_000
    x = random.normal(size=n)
    # What is wrong in a model is that it is of x, where it should be of its square.
    drives = x**2 if wrong == "propensity" else x
    responds = x**2 if wrong == "outcome" else x
    arm = (random.random(n) < 1 / (1 + np.exp(0.5 - 0.6 * drives))).astype(int)
    score = 2 * responds + arm + random.normal(size=n)
    data = pd.DataFrame({"arm": arm, "x": x, "score": score})
    effect = doubly_robust_effect(data, arm="arm", outcome="score", covariates=["x"])
    assert effect.headline["estimate"] == pytest.approx(1, abs=3 * effect.headline["std_error"])


def test_trimmed_patients_are_left_out_of_both_models():
    data = simulate_design("confounded", seed=4, overlap="poor").data
    effect = doubly_robust_effect(data, **CONFOUNDED, trim=0.1)
    assert effect.facts.n_trimmed == len(data) - effect.headline["n"] > 50
    assert "trimmed" in effect.checks["check"].tolist()
    assert effect.estimates.set_index("term").loc["unadjusted", "n"] == len(data)


def test_a_count_has_a_ratio_of_means(eight):
    data = eight.assign(visits=[1, 2, 3, 3, 4, 6, 6, 6])
    effect = doubly_robust_effect(data, **OLD, outcome="visits", kind="count")
    # Levels: arm 0 (2 + 4) / 2 = 3, arm 1 (3 + 6) / 2 = 4.5.
    table = effect.estimates.set_index("term")
    assert table.loc["ratio of means", "estimate"] == pytest.approx(1.5)
    assert table.loc["mean difference", "n_events"] == 31


def test_clusters_are_summed(eight):
    data = pd.concat([eight] * 3, ignore_index=True).assign(ward=np.tile(np.arange(8), 3))
    alone = doubly_robust_effect(eight, **OLD, outcome="sbp").headline["std_error"]
    effect = doubly_robust_effect(data, **OLD, outcome="sbp", cluster="ward")
    assert effect.headline["std_error"] == pytest.approx(alone * (8 / 7) ** 0.5, rel=1e-9)
    assert "summed by ward" in effect.facts.variance


def test_every_frame_gives_the_same_answer(engine, eight):
    expected = doubly_robust_effect(eight, **OLD, outcome="sbp").estimates
    found = doubly_robust_effect(engine.make(eight), **OLD, outcome="sbp").estimates
    pd.testing.assert_frame_equal(found, expected)


# --- refusals -------------------------------------------------------------------------------------


def test_every_fault_is_told_at_once(eight):
    data = eight.assign(old=[None, 1] * 4, arm=[1, 2] * 4)
    with pytest.raises(DataError, match="2 faults") as caught:
        doubly_robust_effect(data, **OLD, outcome="sbp")
    assert {fault.column for fault in caught.value.faults} == {"arm", "old"}


def test_an_outcome_that_does_not_vary_is_refused(eight):
    words = "flat is the same in all 8 rows where it is known; choose an outcome that varies"
    with pytest.raises(DataError, match=words):
        doubly_robust_effect(eight.assign(flat=1), **OLD, outcome="flat")


def test_covariates_that_tell_who_had_the_event_are_refused(eight):
    data = eight.assign(came=eight["old"])
    words = (
        "old separates those with the event from those without, .* or weigh instead: "
        r"propensity_weights\(...\).effect"
    )
    with pytest.raises(SeparationError, match=words):
        doubly_robust_effect(data, **OLD, outcome="came", kind="binary")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"modifiers": ["sex"]}, r"modifiers=\['sex'\] is not among the covariates \(old\)"),
        ({"modifiers": "old"}, r"modifiers is a list of covariates, such as \['age'\]"),
        ({"kind": "share"}, "kind='share' is not known"),
        ({"estimand": "ATX"}, "estimand='ATX' is not known"),
        ({"conf_level": 95}, "conf_level=95 must be a number between 0 and 1"),
        ({"better": "more"}, "better='more' must be 'higher' or 'lower'"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(eight, arguments, words):
    with pytest.raises(UsageError, match=words):
        doubly_robust_effect(eight, **OLD, outcome="sbp", **arguments)


def test_no_covariates_are_refused(eight):
    with pytest.raises(UsageError, match="covariates is empty; name at least one column"):
        doubly_robust_effect(eight, arm="arm", outcome="sbp", covariates=[])


def test_an_arm_that_one_patient_carries_is_refused():
    data = pd.DataFrame({"old": [1] * 1000 + [0] * 100, "arm": [1] * 999 + [0] + [0, 1] * 50})
    data = data.assign(score=np.arange(1100) % 7)
    with pytest.raises(DesignError, match="one patient carries 91 % of the weight of arm 0"):
        doubly_robust_effect(data, arm="arm", outcome="score", covariates=["old"])
