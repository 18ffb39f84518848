"""Weights make arms alike without seeing the outcome; the effect then counts their own error."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from loyalty_research.data.simulate_designs import simulate_design
from loyalty_research.effects.doubly_robust import doubly_robust_effect
from loyalty_research.effects.g_computation import g_computation
from loyalty_research.effects.guards import open_guards
from loyalty_research.effects.matching import matched_effect
from loyalty_research.effects.observational import comparable_checks, standardised_differences
from loyalty_research.effects.propensity import propensity_weights
from loyalty_research.effects.targeted import targeted_effect
from loyalty_research.errors import DataError, DesignError, UsageError
from loyalty_research.retention.design_matrix import SeparationError

OLD = {"arm": "arm", "covariates": ["old"]}
CONFOUNDED = {"arm": "arm", "covariates": ["x1", "x2", "x3"]}


# --- by hand --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("estimand", "young", "old"),
    [
        # (weight of arm 0, weight of arm 1) at propensities 1/4 and 3/4
        ("ATE", (4 / 3, 4), (4, 4 / 3)),
        ("ATT", (1 / 3, 1), (3, 1)),
        ("ATO", (1 / 4, 3 / 4), (3 / 4, 1 / 4)),
    ],
)
def test_weights_follow_from_the_propensity(eight, estimand, young, old):
    table = propensity_weights(eight, **OLD, estimand=estimand).weights
    assert list(table) == ["arm", "propensity", "weight", "trimmed"]
    assert table["propensity"].tolist() == pytest.approx([0.25] * 4 + [0.75] * 4, abs=1e-10)
    expected = [young[0]] * 3 + [young[1], old[0]] + [old[1]] * 3
    assert table["weight"].tolist() == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize(
    ("estimand", "expected"),
    [
        ("ATE", -5.5),  # (-7 + -4) / 2: half of all are old
        ("ATT", (-7 - 3 * 4) / 4),  # of the enrolled one is young and three are old
        ("ATO", -5.5),  # e (1 - e) is 3/16 in both
    ],
)
def test_the_effect_averages_the_strata_over_whom_it_is_about(eight, estimand, expected):
    # Young: 135 - 142 = -7; old: 146 - 150 = -4.
    effect = propensity_weights(eight, **OLD, estimand=estimand).effect(outcome="sbp")
    assert effect.headline["estimate"] == pytest.approx(expected, abs=1e-9)


def test_the_stacked_variance_is_that_of_the_strata(eight):
    # With one covariate of two values the propensity is saturated: the effect is the mean of the
    # strata's, and a row adds its stratum's distance from it and its own from its stratum's mean.
    between = 8 * 1.5**2 / 8**2  # strata lie 1.5 from -5.5
    controls = 2 * (2 / (0.75 * 8)) ** 2  # 140, 142, 144 about 142, each weighing 1 / 0.75
    treated = 2 * (1 / (0.75 * 8)) ** 2  # 145, 146, 147 about 146; one young, one old: no rest
    head = propensity_weights(eight, **OLD).effect(outcome="sbp").headline
    assert head["std_error"] == pytest.approx((between + controls + treated) ** 0.5, abs=1e-9)
    assert head["conf_low"] == pytest.approx(-5.5 - 1.959964 * head["std_error"], abs=1e-5)


def test_balance_is_measured_in_unweighted_deviations(eight):
    # Shares old .25 and .75, variance .25 .75 4/3 = .25 in both arms: (.75 - .25) / .5 = 1.
    table = propensity_weights(eight, **OLD).balance()
    assert list(table) == ["term", "smd_unweighted", "smd_weighted"]
    assert table["term"].tolist() == ["old"]
    assert table["smd_unweighted"].item() == pytest.approx(1.0)
    assert table["smd_weighted"].item() == pytest.approx(0.0, abs=1e-10)


def test_the_effect_stands_beside_its_levels_its_ratio_and_the_naive_contrast(
    eight, assert_columns
):
    effect = propensity_weights(eight, **OLD).effect(outcome="came", kind="binary")
    assert_columns(effect.estimates, "estimates")
    assert_columns(effect.checks, "checks")
    table = effect.estimates.set_index("term")
    assert table.index.tolist() == ["risk difference", "risk ratio", "unadjusted"]
    # Young: 1/1 against 2/3; old: 2/3 against 1/1. Levels (1 + 2/3) / 2 in both arms.
    assert effect.facts.levels == {0: pytest.approx(5 / 6), 1: pytest.approx(5 / 6)}
    assert table.loc["risk ratio", "estimate"] == pytest.approx(1.0)
    assert table.loc["unadjusted", "estimate"] == pytest.approx(3 / 4 - 3 / 4)
    assert "association" in table.loc["unadjusted", "method"]
    assert effect.facts.sizes == {0: 4, 1: 4}
    assert table["n_events"].tolist() == [6, 6, 6]


def test_the_e_value_is_always_attached(eight):
    data = eight.assign(came=[0, 1, 0, 1, 1, 1, 1, 0])
    # Young: 1 against 1/3; old: 2/3 against 1: levels 2/3 and 5/6, a ratio of 5/4.
    effect = propensity_weights(data, **OLD).effect(outcome="came", kind="binary")
    assert effect.facts.more["e_value"] == pytest.approx(1.25 + (1.25 * 0.25) ** 0.5)
    assert effect.facts.more["e_value_limit"] == 1
    row = effect.checks.set_index("check").loc["e_value"]
    assert row["passed"] is None
    assert "an unmeasured confounder that joins arm and outcome" in row["message"]


def test_a_mean_difference_has_an_e_value_by_standard_deviations(eight):
    effect = propensity_weights(eight, **OLD).effect(outcome="sbp")
    # Arm 0: 140, 142, 144, 150, mean 144, squares 56; arm 1: 135, 145, 146, 147, squares 92.75.
    sd = ((56 / 4 + 92.75 / 4) / 2) ** 0.5
    ratio = np.exp(0.91 * 5.5 / sd)
    assert effect.facts.more["e_value"] == pytest.approx(ratio + (ratio * (ratio - 1)) ** 0.5)


def test_the_overlap_counts_every_patient_once(eight):
    table = propensity_weights(eight, **OLD).overlap(bins=2)
    assert list(table) == ["arm", "low", "high", "n", "share", "weighted_share"]
    assert table["n"].tolist() == [3, 1, 1, 3]
    assert table["share"].tolist() == pytest.approx([0.75, 0.25, 0.25, 0.75])
    assert table["weighted_share"].tolist() == pytest.approx([0.5, 0.5] * 2)


def test_effective_sizes_are_of_the_weights(eight):
    effect = propensity_weights(eight, **OLD).effect(outcome="sbp")
    # Weights 4/3, 4/3, 4/3, 4: 8^2 / (3 16/9 + 16) = 3.
    assert effect.facts.effective_n == {0: pytest.approx(3), 1: pytest.approx(3)}


# --- references -----------------------------------------------------------------------------------


def test_propensities_agree_with_r(births, published):
    table = propensity_weights(births.data, **births.arguments).weights
    expected = published("observational")["propensity"]
    assert table["propensity"].tolist() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("estimand", ["ATE", "ATT", "ATO"])
@pytest.mark.parametrize(("outcome", "kind"), [("bwt", "number"), ("low", "binary")])
def test_the_stacked_equations_agree_with_r(
    births, published, assert_reference, estimand, outcome, kind
):
    weights = propensity_weights(births.data, **births.arguments, estimand=estimand)
    expected = published("observational")[f"iptw_{kind}"][estimand]
    assert_reference(weights.effect(outcome=outcome, kind=kind), expected)


def test_quitting_smoking_adds_the_published_weight(nhefs, found):
    # Hernan and Robins, What If, section 12.4: 3.4 kg (2.4, 4.5) with weights taken as known.
    effect = propensity_weights(nhefs.data, **nhefs.arguments).effect(outcome="wt82_71")
    assert found(effect) == [3.441, 2.486, 4.395]
    assert not effect.withheld


def test_the_trained_earn_as_much_more_as_was_published(lalonde):
    # METHODS B4: ATE by Hajek weights -7,238; ATT 1,782 (779); naive -8,498.
    all_patients = propensity_weights(lalonde.data, **lalonde.arguments).effect(outcome="re78")
    assert round(all_patients.headline["estimate"]) == -7238
    assert all_patients.failed == ["balance", "equipoise", "effective_sample_size"]
    trained = propensity_weights(lalonde.data, **lalonde.arguments, estimand="ATT")
    head = trained.effect(outcome="re78").headline
    assert (round(head["estimate"]), round(head["std_error"])) == (1782, 779)
    naive = trained.effect(outcome="re78").estimates.set_index("term").loc["unadjusted"]
    assert round(naive["estimate"]) == -8498


# --- simulated truth ------------------------------------------------------------------------------


@pytest.mark.parametrize("estimand", ["ATE", "ATT", "ATO"])
def test_stacked_intervals_hold_the_truth_as_often_as_they_say(estimand):
    held, errors, estimates, naive = [], [], [], []
    for seed in range(150):
        world = simulate_design("confounded", seed=seed)
        weights = propensity_weights(world.data, **CONFOUNDED, estimand=estimand)
        table = weights.effect(outcome="score").estimates
        truth = world.truth[estimand]
        inside = (table["conf_low"] <= truth) & (truth <= table["conf_high"])
        held.append(inside.iloc[0])
        naive.append(inside.iloc[-1])
        errors.append(table["std_error"].iloc[0])
        estimates.append(table["estimate"].iloc[0])
    # Three Monte-Carlo errors of 150 runs are 0.053.
    assert np.mean(held) == pytest.approx(0.95, abs=0.053)
    spread = np.std(estimates, ddof=1)
    assert np.mean(estimates) == pytest.approx(truth, abs=3 * spread / 150**0.5)
    assert np.mean(errors) / spread == pytest.approx(1, abs=0.17)
    assert np.mean(naive) < 0.3


# --- trimmed, truncated, missing ------------------------------------------------------------------


def test_trimmed_patients_are_left_out_and_counted():
    data = simulate_design("confounded", seed=4, overlap="poor").data
    weights = propensity_weights(data, **CONFOUNDED, trim=0.1)
    first = propensity_weights(data, **CONFOUNDED).weights["propensity"]
    outside = (first < 0.1) | (first > 0.9)
    assert weights.n_trimmed == outside.sum() > 50
    assert weights.weights["trimmed"].tolist() == outside.tolist()
    assert (weights.weights.loc[outside, "weight"] == 0).all()
    effect = weights.effect(outcome="score")
    assert effect.facts.n_trimmed == weights.n_trimmed
    assert effect.headline["n"] == len(data) - weights.n_trimmed
    assert "patients without counterparts left out" in effect.facts.estimand
    assert weights.checks["check"].tolist()[-1] == "trimmed"
    # The propensity is fitted again: as if the others had never been there.
    again = propensity_weights(data[~outside], **CONFOUNDED)
    assert again.effect(outcome="score").headline["estimate"] == pytest.approx(
        effect.headline["estimate"], abs=1e-10
    )


def test_for_the_enrolled_only_those_without_counterparts_are_trimmed():
    data = simulate_design("confounded", seed=4, overlap="poor").data
    weights = propensity_weights(data, **CONFOUNDED, estimand="ATT", trim=0.1)
    first = propensity_weights(data, **CONFOUNDED).weights["propensity"]
    assert weights.weights["trimmed"].tolist() == (first > 0.9).tolist()


def test_truncated_propensities_are_cut_and_counted():
    data = simulate_design("confounded", seed=4, overlap="poor").data
    plain = propensity_weights(data, **CONFOUNDED)
    cut = propensity_weights(data, **CONFOUNDED, truncate=0.1)
    outside = (plain.weights["propensity"] < 0.1) | (plain.weights["propensity"] > 0.9)
    assert cut.n_truncated == outside.sum()
    assert cut.weights["weight"].max() == pytest.approx(10)
    effect = cut.effect(outcome="score")
    assert effect.facts.n_truncated == cut.n_truncated
    assert effect.headline["std_error"] < plain.effect(outcome="score").headline["std_error"]


def test_rows_without_an_outcome_are_counted_and_still_tell_who_joins(eight):
    data = pd.concat([eight, eight.assign(sbp=np.nan).iloc[[0, 7]]], ignore_index=True)
    weights = propensity_weights(data, **OLD)
    # Four of five young did not join, four of five old did.
    assert weights.weights["propensity"].tolist()[:1] == pytest.approx([0.2])
    effect = weights.effect(outcome="sbp")
    assert effect.facts.n_missing == {0: 1, 1: 1}
    assert effect.headline["n"] == 8
    # Arm 0: three of 1.25 about 142 and one of 5 at 150.
    assert effect.facts.levels[0] == pytest.approx((3 * 1.25 * 142 + 5 * 150) / 8.75)
    assert "completeness" in effect.checks["check"].tolist()


def test_patients_of_one_clinic_count_together(eight):
    data = pd.concat([eight] * 3, ignore_index=True).assign(ward=np.tile(np.arange(8), 3))
    alone = propensity_weights(eight, **OLD).effect(outcome="sbp")
    effect = propensity_weights(data, **OLD, cluster="ward").effect(outcome="sbp")
    # Three copies in one cluster bring no more than one of them; G / (G - 1) is 8 / 7.
    expected = alone.headline["std_error"] * (8 / 7) ** 0.5
    assert effect.headline["std_error"] == pytest.approx(expected, rel=1e-9)
    assert effect.facts.n_clusters == 8
    assert "clusters" in effect.failed


# --- the same from every frame and order ----------------------------------------------------------


def test_every_frame_gives_the_same_answer(engine, eight):
    expected = propensity_weights(eight, **OLD).effect(outcome="came", kind="binary").estimates
    frame = engine.make(eight)
    effect = propensity_weights(frame, **OLD).effect(outcome="came", kind="binary")
    pd.testing.assert_frame_equal(effect.estimates, expected)


def test_text_and_true_or_false_are_coded(eight):
    data = eight.assign(arm=eight["arm"].eq(1), old=np.where(eight["old"] == 1, "old", "young"))
    effect = propensity_weights(data, **OLD).effect(outcome="sbp")
    assert effect.headline["estimate"] == pytest.approx(-5.5)


def test_weights_read_as_a_sentence(eight):
    weights = propensity_weights(eight, **OLD)
    assert repr(weights) == (
        "Weights for ATE of 8 patients, 0 trimmed, 0 truncated; failed checks: equipoise"
    )
    assert "<table" in weights._repr_html_()


# --- refusals -------------------------------------------------------------------------------------


def test_a_covariate_that_separates_is_refused(eight):
    data = pd.concat([eight, eight], ignore_index=True)
    data = data.assign(mark=[0] * 3 + [1] + [0] * 2 + [1, 0] + [0] * 8)
    words = (
        "mark separates those in the programme from the others, so that no estimate is finite; "
        "leave it out or join its levels if it is no confounder, else apply_criteria"
    )
    with pytest.raises(SeparationError, match=words) as caught:
        propensity_weights(data, arm="arm", covariates=["old", "mark"])
    assert len(caught.value.faults) == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"arm": 1}, "no row is of arm 0, the comparison; choose patients of whom both"),
        ({"arm": [1, 2] * 4}, "arm is 1 or 2, not 0 or 1; code the programme as 1"),
        ({"old": [None, 1] * 4}, "old is missing in 4 of 8 rows; drop these rows"),
        ({"old": 1}, "old is the same in every row; leave it out"),
        ({"arm": [None, 1] * 4}, "arm is missing in 4 of 8 rows"),
    ],
)
def test_data_that_cannot_be_weighted_are_refused(eight, change, words):
    with pytest.raises(DataError, match=words):
        propensity_weights(eight.assign(**change), **OLD)


def test_a_missing_column_is_named(eight):
    with pytest.raises(DataError, match="age"):
        propensity_weights(eight, arm="arm", covariates=["age"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"estimand": "LATE"}, "estimand='LATE' is not known; did you mean 'ATE'"),
        ({"trim": 0.5}, "trim=0.5 is a propensity between 0 and 0.5, such as 0.05"),
        ({"truncate": 0}, "truncate=0 is a propensity between 0 and 0.5"),
        ({"override": {"weight": "we know better"}}, "'weight' is no guard of this design"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(eight, arguments, words):
    with pytest.raises(UsageError, match=words):
        propensity_weights(eight, **OLD, **arguments)


def test_trimming_everybody_is_refused(eight):
    with pytest.raises(DataError, match=r"trim=0.3 leaves nobody in arm 0, the comparison; trim"):
        propensity_weights(eight, **OLD, trim=0.3)


def test_trimming_that_leaves_one_value_is_refused(eight):
    more = pd.DataFrame({"arm": [0, 1] * 4, "old": [2] * 8})
    data = pd.concat([eight, more], ignore_index=True)
    words = "C\\(old\\)\\[1\\] is the same in every row that trim=0.3 leaves"
    with pytest.raises(DataError, match=words):
        propensity_weights(data, arm="arm", covariates="C(old)", trim=0.3)


@pytest.mark.parametrize(
    ("outcome", "kind", "words"),
    [
        ("sbp", "binary", "not 0 or 1; code the event as 1"),
        ("flat", "number", "flat is the same in all 8 rows where it is known; choose an outcome"),
        ("nowhere", "number", "nowhere"),
    ],
)
def test_outcomes_that_cannot_be_compared_are_refused(eight, outcome, kind, words):
    weights = propensity_weights(eight.assign(flat=3.0), **OLD)
    with pytest.raises(DataError, match=words):
        weights.effect(outcome=outcome, kind=kind)


def test_data_that_changed_since_are_refused(eight):
    weights = propensity_weights(eight, **OLD)
    eight["arm"] = 1 - eight["arm"]
    with pytest.raises(UsageError, match="the data changed since they were weighted"):
        weights.effect(outcome="sbp")


def test_an_arm_that_one_patient_carries_is_refused_unless_said_why():
    # One of a thousand like him did not join; he stands for all of them.
    data = pd.DataFrame({"old": [1] * 1000 + [0] * 100, "arm": [1] * 999 + [0] + [0, 1] * 50})
    words = (
        r"one patient carries 91 % of the weight of arm 0; ask for the effect where both arms "
        r"overlap, estimand='ATO', or trim=0.05; .* override=\{'weights': ...\}"
    )
    with pytest.raises(DesignError, match=words) as caught:
        propensity_weights(data, **OLD)
    assert caught.value.guard == "weights"
    assert propensity_weights(data, **OLD, estimand="ATO").estimand == "ATO"
    reason = "he is known to be like the others"
    allowed = propensity_weights(data, **OLD, override={"weights": reason})
    effect = allowed.effect(outcome="old", kind="binary")
    assert effect.facts.overrides == {"weights": reason}


def test_clinics_that_were_assigned_are_no_patients_who_chose(eight):
    data = eight.assign(clinic=["a", "a", "b", "c", "b", "c", "d", "d"])
    with pytest.raises(DesignError, match="give cluster='clinic'"):
        propensity_weights(data, **OLD)


# --- checks ---------------------------------------------------------------------------------------


def test_arms_without_overlap_fail_their_checks_and_withhold_the_effect():
    data = simulate_design("confounded", seed=1, overlap="poor", n=3000).data
    data = data.assign(x1=data["x1"] * 1.0)
    chosen = (data["x1"] + data["x2"] + np.random.default_rng(2).normal(0, 0.3, 3000)) > 0
    weights = propensity_weights(data.assign(arm=chosen), **CONFOUNDED, truncate=0.001)
    table = weights.checks.set_index("check")
    assert not table.loc["equipoise", "passed"]
    assert not table.loc["effective_sample_size", "passed"]
    assert "estimand='ATO'" in table.loc["effective_sample_size", "message"]
    effect = weights.effect(outcome="score")
    assert effect.withheld
    assert "withheld" in effect.sentence(audience="publish")


def checks_of(x, terms, arm, propensity, weight):
    """Return the checks of weights that are given, by name."""
    gaps = standardised_differences(x, arm, weight=weight)
    found = comparable_checks(
        gaps, terms, arm=arm, weight=weight, propensity=propensity, estimand="ATE",
        guards=open_guards(["weights"], override=None),
    )  # fmt: skip
    return {one.check: one for one in found}


def test_a_difference_that_weights_leave_gates_and_names_the_covariate():
    x = np.column_stack([[0.0, 1, 0, 1], [0.0, 1, 5, 6]])
    arm = np.array([0, 0, 1, 1])
    check = checks_of(x, ["sex", "age"], arm, np.full(4, 0.5), np.ones(4))["balance"]
    assert not check.passed
    assert "age" in check.message
    # Means 0.5 and 5.5 over a spread of sqrt(0.5).
    assert check.statistic == pytest.approx(5 / np.sqrt(0.5))


def test_weights_that_leave_little_say_so_and_propose_the_overlap():
    arm = np.repeat([0, 1], 10)
    # Fewer than 20 patients: that one carries half is no exploded weight.
    weight = np.where(np.arange(20) == 0, 100.0, 1.0)
    x = np.tile([[0.0], [1.0]], (10, 1))
    check = checks_of(x, ["x"], arm, np.full(20, 0.5), weight)["effective_sample_size"]
    worth = 109**2 / (100**2 + 9)
    assert check.statistic == pytest.approx(worth / 10)
    assert not check.passed
    assert check.gating
    assert "estimand='ATO'" in check.message


def test_a_reader_is_told_that_nobody_drew_lots_and_about_members_of_long_standing(eight):
    table = propensity_weights(eight, **OLD).effect(outcome="sbp").checks.set_index("check")
    assert table.loc["assignment", "passed"] is None
    assert table.loc["prevalent members", "passed"] is None
    assert "keep those who joined at time zero" in table.loc["prevalent members", "message"]


# --- time zero ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("design", "more"),
    [
        (propensity_weights, {}),
        (doubly_robust_effect, {"outcome": "sbp"}),
        (g_computation, {"outcome": "sbp"}),
        (targeted_effect, {"outcome": "sbp"}),
        (matched_effect, {"outcome": "sbp"}),
    ],
)
def test_an_arm_joined_after_time_zero_is_refused_by_every_design(eight, design, more):
    # Of the four who joined two did so on day 0, the others on days 4 and 7.
    data = eight.assign(day=[None, None, None, 0, None, 0, 4, 7])
    words = r"arm is 1 of 2 of 8 patients who enrolled after time zero.*landmark_trial"
    with pytest.raises(DesignError, match=words):
        design(data, **OLD, **more, exposed_at="day")


def test_members_from_before_time_zero_withhold_the_effect(eight):
    data = eight.assign(day=[None, None, None, -30, None, 0, 0, -1])
    effect = propensity_weights(data, **OLD, exposed_at="day").effect(outcome="sbp")
    assert "prevalent members" in effect.failed
    check = effect.checks.set_index("check").loc["prevalent members"]
    assert check["statistic"] == 2
    assert "apply_criteria" in check["message"]


def test_those_who_joined_on_time_zero_pass(eight):
    data = eight.assign(day=[None, 9, None, 0, None, 0, 0, 0])
    effect = doubly_robust_effect(data, outcome="sbp", **OLD, exposed_at="day")
    checks = effect.checks.set_index("check")
    assert checks.loc["immortal time", "passed"]
    assert checks.loc["prevalent members", "passed"]
    plain = doubly_robust_effect(data, outcome="sbp", **OLD)
    assert effect.headline == plain.headline


def test_an_arm_joined_later_passes_with_a_reason_which_is_kept(eight):
    data = eight.assign(day=[None, None, None, 0, None, 0, 4, 7])
    reason = {"immortal time": "all were promised the programme on day 0, in writing"}
    weights = propensity_weights(data, **OLD, exposed_at="day", override=reason)
    assert weights.effect(outcome="sbp").facts.overrides == reason


def test_a_day_that_is_no_whole_number_is_refused(eight):
    with pytest.raises(DataError, match="day is not a whole number of days in 1 of 8 rows"):
        propensity_weights(eight.assign(day=[0.5] + [None] * 7), **OLD, exposed_at="day")
