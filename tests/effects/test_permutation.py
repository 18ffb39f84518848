from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from loyalty_research.effects.permutation import permutation_test
from loyalty_research.effects.shuffles import n_ways, shuffle
from loyalty_research.errors import DataError, DesignError, UsageError

FOUR = pd.DataFrame({"arm": [0, 0, 1, 1], "score": [1.0, 2.0, 5.0, 6.0]})
NAMES = {"arm": "arm", "outcome": "score", "seed": 1}


def test_two_of_six_ways_are_as_far_by_hand(assert_columns):
    # Who is in arm 1 of 1, 2, 5, 6: {5, 6} gives 4 and {1, 2} gives -4; the other four are nearer.
    effect = permutation_test(FOUR, **NAMES, randomised=True)
    assert_columns(effect.estimates, "estimates")
    row = effect.headline
    assert (row["estimate"], row["p_value"]) == (4, pytest.approx(2 / 6))
    assert (row["conf_low"], row["conf_high"]) == (-math.inf, math.inf)
    assert effect.facts.seed is None


def test_strata_are_shuffled_apart_by_hand():
    # Pairs (1, 4), (2, 3), (5, 9): differences 3, 1, 4, mean 8/3; signs turn in 8 ways, of which
    # +++ and --- are as far.
    data = pd.DataFrame(
        {"arm": [0, 1] * 3, "score": [1.0, 4, 2, 3, 5, 9], "pair": [1, 1, 2, 2, 3, 3]}
    )
    row = permutation_test(data, **NAMES, strata="pair", randomised=True).headline
    assert (row["estimate"], row["p_value"]) == pytest.approx((8 / 3, 2 / 8))
    assert row["method"] == "patient means, all 8 ways"


def test_the_interval_holds_the_effects_that_the_test_does_not_reject():
    rng = np.random.default_rng(4)
    arm, y, one = np.repeat([0, 1], 5), rng.normal(size=10), np.zeros(10, int)
    low, high = shuffle(arm, y, one, n_permutations=1, seed=1).interval(0.9)

    def p_value(effect):
        return shuffle(arm, y - effect * arm, one, n_permutations=1, seed=1).p_value()

    assert p_value(low - 1e-6) <= 0.1 < p_value(low + 1e-6)
    assert p_value(high + 1e-6) <= 0.1 < p_value(high - 1e-6)


def test_ways_drawn_at_random_come_near_all_of_them(monkeypatch):
    rng = np.random.default_rng(5)
    arm, y, one = np.repeat([0, 1], 6), rng.normal(size=12), np.zeros(12, int)
    exact = shuffle(arm, y, one, n_permutations=1, seed=1)
    assert n_ways(arm, one) == len(exact.others) == 924
    monkeypatch.setattr("loyalty_research.effects.shuffles.MOST_EXACT", 10)
    drawn = shuffle(arm, y, one, n_permutations=20_000, seed=1)
    assert not drawn.exact
    # Four Monte-Carlo errors of a share of 20,000.
    error = 4 * (exact.p_value() * (1 - exact.p_value()) / 20_000) ** 0.5
    assert drawn.p_value() == pytest.approx(exact.p_value(), abs=error)
    assert drawn.interval(0.95) == pytest.approx(exact.interval(0.95), abs=0.05)
    again = shuffle(arm, y, one, n_permutations=20_000, seed=1)
    assert (again.others == drawn.others).all()


def test_clusters_are_drawn_whole_and_count_alike():
    data = pd.DataFrame(
        {
            "clinic": list("aaabccdd"), "arm": [0, 0, 0, 0, 1, 1, 1, 1],
            "score": [1.0, 1, 1, 3, 5, 7, 4, 4],
        }
    )  # fmt: skip
    with pytest.raises(DesignError, match="cluster='clinic'"):
        permutation_test(data, **NAMES)
    effect = permutation_test(data, **NAMES, cluster="clinic", randomised=True)
    # Clinics 1, 3 against 6, 4.
    assert effect.headline["estimate"] == 3
    assert effect.facts.levels == {0: 2, 1: 5}
    assert effect.headline["p_value"] == pytest.approx(2 / 6)


def test_the_level_of_the_test_is_what_it_says():
    rng = np.random.default_rng(6)
    arm, one = np.repeat([0, 1], 4), np.zeros(8, int)
    drawn = [(rng.permutation(arm), rng.standard_cauchy(8)) for _ in range(1000)]
    p = [shuffle(a, y, one, n_permutations=1, seed=1).p_value() for a, y in drawn]
    # 70 ways in pairs: a p-value of at most 4/70 has that probability.
    assert np.mean(np.array(p) <= 4 / 70 + 1e-9) == pytest.approx(4 / 70, abs=4 * 0.0073)


@pytest.mark.parametrize(
    ("changed", "more", "match"),
    [
        ({"clinic": list("abab")}, {"cluster": "clinic"}, "clusters have patients of both arms"),
        ({"pair": list("aabb")}, {"strata": "pair"}, "pair: 2 of 2 strata have one arm only"),
        (
            {"clinic": list("aabb"), "site": list("xyxy")},
            {"cluster": "clinic", "strata": "site"},
            "site differs within clusters in 2 rows",
        ),
    ],
)
def test_units_that_cannot_have_been_drawn_are_refused(changed, more, match):
    with pytest.raises(DataError, match=match):
        permutation_test(FOUR.assign(**changed), **NAMES, **more)


def test_arguments_are_checked():
    with pytest.raises(UsageError, match="n_permutations=5 must be a whole number, at least 100"):
        permutation_test(FOUR, **NAMES, n_permutations=5)
    with pytest.raises(UsageError, match="seed=None must be a whole number"):
        permutation_test(FOUR, arm="arm", outcome="score", seed=None)
