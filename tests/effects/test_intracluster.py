"""How alike patients of a clinic are: by hand, by simulation, and what cannot be asked."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from loyalty_research.data.simulate_designs import simulate_design
from loyalty_research.effects.intracluster import intracluster_correlation
from loyalty_research.errors import DataError

FOUR = pd.DataFrame({"clinic": list("aabb"), "score": [1.0, 3.0, 5.0, 7.0]})
NAMES = {"outcome": "score", "cluster": "clinic"}


def test_the_analysis_of_variance_by_hand():
    # Means 2 and 6 about 4: MSB = 2 (4 + 4) / 1 = 16; MSW = (1 + 1 + 1 + 1) / 2 = 2; m = 2.
    row = intracluster_correlation(FOUR, **NAMES).iloc[0]
    assert row["estimate"] == pytest.approx((16 - 2) / (16 + 2))
    assert (row["n"], row["n_clusters"], row["cluster_size"], row["cluster_cv"]) == (4, 2, 2, 0)


def test_unequal_clusters_by_hand():
    data = pd.DataFrame({"clinic": list("aaab"), "score": [0.0, 0.0, 3.0, 5.0]})
    # Means 1 and 5 about 2: MSB = 3 x 1 + 9 = 12; MSW = (1 + 1 + 4) / 2 = 3; m = 4 - 10 / 4 = 1.5.
    row = intracluster_correlation(data, **NAMES).iloc[0]
    assert row["estimate"] == pytest.approx((12 - 3) / (12 + 0.5 * 3))


def test_a_simulated_correlation_comes_back():
    data = simulate_design("clusters", seed=1, n_clusters=3000).data
    data = data.assign(score=data["score"] - 0.3 * data["arm"])
    row = intracluster_correlation(data, **NAMES).iloc[0]
    assert row["estimate"] == pytest.approx(0.05, abs=0.006)
    assert row["cluster_cv"] == pytest.approx(0.6, abs=0.03)


def test_the_interval_holds_the_truth_as_often_as_it_says():
    random, held = np.random.default_rng(5), 0
    for _ in range(400):
        level = np.repeat(random.normal(0, 0.2**0.5, 12), 10)
        score = level + random.normal(0, 0.8**0.5, 120)
        data = pd.DataFrame({"clinic": np.repeat(np.arange(12), 10), "score": score})
        row = intracluster_correlation(data, **NAMES).iloc[0]
        held += row["conf_low"] <= 0.2 <= row["conf_high"]
    # Three Monte Carlo errors of 400 runs.
    assert held / 400 == pytest.approx(0.95, abs=0.033)


def test_missing_outcomes_are_counted_and_rows_may_be_shuffled():
    more = pd.concat([FOUR, pd.DataFrame({"clinic": ["a"], "score": [np.nan]})])
    row = intracluster_correlation(more.sample(frac=1, random_state=1), **NAMES).iloc[0]
    assert row["n_missing"] == 1
    assert row["estimate"] == pytest.approx(14 / 18)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (FOUR.assign(clinic="a"), "fewer than two clusters"),
        (FOUR.assign(clinic=list("abcd")), "no two patients share"),
        (FOUR.assign(score=1.0), "the same in every row"),
        (FOUR.assign(score="x"), "not a number"),
        (FOUR.assign(clinic=["a", None, "b", "b"]), "clinic is missing in 1 of 4"),
        (FOUR.drop(columns="score"), "column score is missing"),
    ],
)
def test_what_cannot_be_asked_is_refused(data, words):
    with pytest.raises(DataError, match=words):
        intracluster_correlation(data, **NAMES)
