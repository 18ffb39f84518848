"""P-values of matched pairs under hidden bias, by hand and by Rosenbaum's book."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy.stats import wilcoxon

from loyalty_research.effects.rosenbaum import rosenbaum_bounds
from loyalty_research.errors import DataError, UsageError

PAIR = {"treated": "exposed", "control": "control"}
# Lead in the blood of 33 children of workers in a battery plant and of their matched controls
# (Morton et al. 1982), as in Rosenbaum, Observational Studies, 2nd ed. 2002, table 3.3.
EXPOSED = """38 23 41 18 37 36 23 62 31 34 24 14 21 17 16 20 15 10 45 39 22 35 49 48 44 35 43 39
    34 13 73 25 27"""
CONTROL = """16 18 18 24 19 11 10 15 16 18 18 13 19 10 16 16 24 13 9 14 21 19 7 18 19 12 11 22 25
    16 13 11 13"""
LEAD = pd.DataFrame(
    {"exposed": map(int, EXPOSED.split()), "control": map(int, CONTROL.split())}, dtype=int
)


def test_the_published_upper_bounds_of_the_lead_study_are_found():
    # Rosenbaum 2002, table 4.1: < .0001, .0018, .0136, .0388, .0468, .0740.
    table = rosenbaum_bounds(LEAD, **PAIR, gammas=[1, 2, 3, 4, 4.25, 5], exact=False)
    assert table["p_high"].iloc[0] < 0.0001
    assert table["p_high"].round(4).tolist()[1:] == [0.0018, 0.0136, 0.0388, 0.0468, 0.0740]
    assert (table["p_low"] < 0.0001).all()
    assert table["statistic"].unique().tolist() == [527]
    assert table["n_equal"].unique().tolist() == [1]


def test_exact_bounds_by_counting_every_pattern_of_signs():
    data = pd.DataFrame({"exposed": [5, 1, 9, 7, 4], "control": [2, 3, 4, 2, 4]})
    # Differences 3, -2, 5, 5, 0: ranks 3, 2, 4.5, 4.5 and, for the equal pair, 1.
    ranks, p = np.array([3, 2, 4.5, 4.5]), 2 / 3
    chances = [
        np.prod(np.where(signs, p, 1 - p))
        for signs in itertools.product([0, 1], repeat=4)
        if ranks @ signs >= 12
    ]
    table = rosenbaum_bounds(data, **PAIR, gammas=[2])
    assert table["statistic"].item() == 12
    assert table["p_high"].item() == pytest.approx(sum(chances), abs=1e-12)


def test_the_sign_test_is_a_binomial_tail_by_hand():
    data = pd.DataFrame({"exposed": [1, 1, 1, 0, 1], "control": [0, 0, 0, 1, 1]})
    table = rosenbaum_bounds(data, **PAIR, test="sign", gammas=[1, 3])
    # Of four pairs that differ three or more: 4 p^3 (1 - p) + p^4 at 1/2, and 3/4 or 1/4.
    assert table["p_high"].tolist() == pytest.approx([5 / 16, (4 * 27 + 81) / 256])
    assert table["p_low"].tolist() == pytest.approx([5 / 16, (4 * 3 + 1) / 256])


def test_without_hidden_bias_it_is_wilcoxons_test():
    gap = np.random.default_rng(2).normal(0.3, 1, 40)
    data = pd.DataFrame({"exposed": gap, "control": 0.0})
    found = rosenbaum_bounds(data, **PAIR, gammas=[1])["p_high"].item()
    assert found == pytest.approx(wilcoxon(gap, alternative="greater", mode="exact").pvalue)
    less = rosenbaum_bounds(data, **PAIR, gammas=[1], alternative="less")["p_high"].item()
    assert less == pytest.approx(wilcoxon(gap, alternative="less", mode="exact").pvalue)


def test_the_approximation_nears_the_exact_bound():
    gap = np.random.default_rng(5).normal(0.3, 1, 150)
    data = pd.DataFrame({"exposed": gap, "control": 0.0})
    exact = rosenbaum_bounds(data, **PAIR, gammas=[1.5])
    near = rosenbaum_bounds(data, **PAIR, gammas=[1.5], exact=False)
    # What is left is the skewness of a sum whose signs have chances of 3/5 and 2/5.
    assert exact["p_high"].item() == pytest.approx(near["p_high"].item(), abs=0.005)
    assert 0.01 < exact["p_high"].item() < 0.9
    assert exact["method"].item() == "signed rank, exact"
    assert near["method"].item() == "signed rank, normal approximation"


def test_every_frame_gives_the_same_answer(engine):
    expected = rosenbaum_bounds(LEAD, **PAIR)
    pd.testing.assert_frame_equal(rosenbaum_bounds(engine.make(LEAD), **PAIR), expected)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"gammas": [0.5]}, "gammas are factors of the odds, each a number from 1"),
        ({"gammas": []}, "gammas are factors of the odds"),
        ({"test": "signs"}, "test='signs' is not known; did you mean 'sign'"),
        ({"alternative": "two-sided"}, "alternative='two-sided' is not known"),
        ({"control": "exposed"}, "treated and control name the same column"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(arguments, words):
    with pytest.raises(UsageError, match=words):
        rosenbaum_bounds(LEAD, **(PAIR | arguments))


def test_every_fault_is_told_at_once():
    data = pd.DataFrame({"exposed": [1.0, None], "control": ["a", "b"]})
    with pytest.raises(DataError, match="2 faults") as caught:
        rosenbaum_bounds(data, **PAIR)
    assert "exposed is missing or infinite in 1 of 2 pairs" in str(caught.value)


def test_pairs_that_are_all_equal_are_refused():
    data = pd.DataFrame({"exposed": [1, 2], "control": [1, 2]})
    with pytest.raises(DataError, match="exposed and control are equal in all 2 pairs"):
        rosenbaum_bounds(data, **PAIR)
