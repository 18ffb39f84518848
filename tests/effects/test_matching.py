"""Matching with replacement, its ties averaged, with errors that know how often each is used."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from loyalty_research.data.simulate_designs import simulate_design
from loyalty_research.effects.matching import matched_effect
from loyalty_research.errors import DataError, DesignError, UsageError

AGE = {"arm": "arm", "outcome": "sbp", "covariates": ["age"]}
EIGHT = pd.DataFrame(
    {
        "arm": [0, 0, 0, 0, 1, 1, 1],
        "age": [40, 50, 60, 70, 51, 61, 65],
        "sbp": [140.0, 142.0, 146.0, 150.0, 135.0, 145.0, 147.0],
    }
)
"""51 is matched to 50, 61 to 60, and 65 lies between 60 and 70: a tie."""


def test_effect_and_error_by_hand():
    effect = matched_effect(EIGHT, **AGE, bias_correction=False, variance_matches=1)
    # Gains: 135 - 142 = -7, 145 - 146 = -1, 147 - (146 + 150) / 2 = -1; mean -3.
    assert effect.headline["estimate"] == pytest.approx(-3)
    assert effect.facts.levels == {0: pytest.approx(436 / 3), 1: pytest.approx(427 / 3)}
    # Controls are used 0, 1, 3/2 and 1/2 times; squares of the shares 0, 1, 5/4, 1/4: the
    # difference of square and squares is 0, 0, 1 and 0. The control of 60 has 50 and 70 nearest,
    # a tie: variance of 142, 146, 150 is 16. Gains lie -4, 2, 2 from -3: 24 in squares.
    assert effect.headline["std_error"] == pytest.approx((24 + 1 * 16) ** 0.5 / 3)
    assert effect.facts.effective_n[0] == pytest.approx(3**2 / (1 + 9 / 4 + 1 / 4))


def test_the_distance_that_is_left_is_corrected_along_the_slope_by_hand():
    effect = matched_effect(EIGHT, **AGE)
    # Slope among controls used 1, 3/2 and 1/2 times at 50, 60, 70: mean age 175 / 3, mean 145.33;
    # products (-25/3 -10/3 1 + 5/3 2/3 3/2 + 35/3 14/3 1/2) / (625/9 + 25/9 3/2 + 1225/9 1/2).
    ages, values, used = np.array([50, 60, 70]), np.array([142, 146, 150]), np.array([1, 1.5, 0.5])
    assert np.polyfit(ages, values, 1, w=np.sqrt(used))[0] == pytest.approx(0.4)
    # Matches lie 1, 1 and 0 years below: 0.4 of each is added to what they had.
    assert effect.headline["estimate"] == pytest.approx((-7.4 - 1.4 - 1) / 3)


REFERENCES = [
    ("numbers_att", "bwt", "numbers", "inverse_variance", "ATT", 1, 2, False),
    ("numbers_ate", "bwt", "numbers", "inverse_variance", "ATE", 1, 2, False),
    ("mixed_att", "bwt", "mixed", "mahalanobis", "ATT", 1, 2, False),
    ("mixed_ate_3", "bwt", "mixed", "mahalanobis", "ATE", 3, 1, False),
    ("ties_att", "low", "coarse", "inverse_variance", "ATT", 1, 1, False),
    ("corrected_att", "bwt", "mixed", "inverse_variance", "ATT", 1, 2, True),
    ("corrected_ate", "bwt", "numbers", "inverse_variance", "ATE", 2, 2, True),
]
COVARIATES = {
    "numbers": ["age", "lwt"],
    "mixed": "age + lwt + C(race) + ht",
    "coarse": ["race", "ht"],
}


@pytest.mark.parametrize("case", REFERENCES, ids=lambda case: case[0])
def test_matches_agree_with_r(published, case):
    name, outcome, covariates, distance, estimand, matches, nearest, corrected = case
    reference = published("matching")
    head = matched_effect(
        pd.DataFrame(reference["data"]),
        arm="smoke",
        outcome=outcome,
        covariates=COVARIATES[covariates],
        distance=distance,
        estimand=estimand,
        matches=matches,
        variance_matches=nearest,
        bias_correction=corrected,
    ).headline
    assert head["estimate"] == pytest.approx(reference[name]["estimate"], rel=1e-9)
    assert head["std_error"] == pytest.approx(reference[name]["std_error"], rel=1e-9)


def test_intervals_hold_the_truth_as_often_as_they_say():
    held, estimates, errors = [], [], []
    for seed in range(120):
        world = simulate_design("confounded", seed=seed)
        head = matched_effect(
            world.data, arm="arm", outcome="score", covariates=["x1", "x2", "x3"]
        ).headline
        held.append(head["conf_low"] <= world.truth["ATT"] <= head["conf_high"])
        estimates.append(head["estimate"])
        errors.append(head["std_error"])
    # Three Monte-Carlo errors of 120 runs are 0.06.
    assert np.mean(held) == pytest.approx(0.95, abs=0.06)
    assert np.mean(errors) / np.std(estimates, ddof=1) == pytest.approx(1, abs=0.2)


def test_it_says_that_it_is_second_and_whether_matches_are_alike(assert_columns):
    effect = matched_effect(EIGHT, **AGE, bias_correction=False)
    assert_columns(effect.estimates, "estimates")
    assert effect.estimates["term"].tolist() == ["mean difference", "unadjusted"]
    checks = effect.checks.set_index("check")
    assert (
        "second opinion beside doubly_robust_effect: 1 of 7 patients"
        in (checks.loc["secondary", "message"])
    )
    # Weighted means 177 / 3 and 175 / 3 over the root of (166.67 + 52) / 2.
    gap = (177 - 175) / 3 / ((500 / 3 + 52) / 2) ** 0.5
    assert checks.loc["balance", "statistic"] == pytest.approx(gap)
    assert checks.loc["balance", "passed"]
    assert effect.facts.more["e_value"] > 1


def test_matches_that_are_unlike_withhold_the_effect():
    data = EIGHT.assign(age=[40, 45, 50, 52, 70, 75, 80])
    effect = matched_effect(data, **AGE)
    assert "balance" in effect.failed
    assert "weigh instead" in effect.checks.set_index("check").loc["balance", "message"]


def test_a_binary_outcome_has_an_e_value_by_its_levels():
    data = EIGHT.assign(came=[0, 1, 1, 0, 1, 1, 1])
    effect = matched_effect(
        data, arm="arm", outcome="came", covariates=["age"], kind="binary", bias_correction=False
    )
    # Levels 1 and (1 + 1 + 1/2) / 3 = 5/6: a ratio of 6/5.
    assert effect.facts.levels == {0: pytest.approx(5 / 6), 1: 1}
    assert effect.facts.more["e_value"] == pytest.approx(1.2 + 0.24**0.5)


def test_every_frame_gives_the_same_answer(engine):
    expected = matched_effect(EIGHT, **AGE).estimates
    pd.testing.assert_frame_equal(matched_effect(engine.make(EIGHT), **AGE).estimates, expected)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"estimand": "ATO"}, "estimand='ATO' is not known; did you mean"),
        ({"distance": "euclid"}, "distance='euclid' is not known"),
        ({"matches": 0}, "matches=0 must be a whole number, at least 1"),
        ({"variance_matches": 1.5}, "variance_matches=1.5 must be a whole number"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(arguments, words):
    with pytest.raises(UsageError, match=words):
        matched_effect(EIGHT, **AGE, **arguments)


def test_too_few_to_be_matched_are_refused():
    words = "arm 0 has 4 patients with a known outcome, not 5; ask for fewer matches"
    with pytest.raises(DataError, match=words):
        matched_effect(EIGHT, **AGE, matches=5)


def test_clinics_that_were_assigned_are_sent_to_a_design_with_clusters():
    data = EIGHT.assign(clinic=list("aabbccc"))
    words = r"use doubly_robust_effect\(cluster=...\), since matched errors know no clusters"
    with pytest.raises(DesignError, match=words):
        matched_effect(data, **AGE)
