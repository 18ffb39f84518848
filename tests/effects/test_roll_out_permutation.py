"""The other orders in which clinics could have started, by hand and on simulated roll-outs."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from loyalty_research.data.simulate_designs import simulate_design
from loyalty_research.effects import roll_out_permutation_test, stepped_wedge_effect
from loyalty_research.errors import DataError, DesignError, UsageError

COLUMNS = {"outcome": "y", "cluster": "clinic", "period": "month", "treated": "with"}
NAMED = {"outcome": "score", "cluster": "clinic", "period": "period", "treated": "treated"}


@pytest.fixture
def three():
    """Clinics a and b start in months 2 and 3, c never."""
    return pd.DataFrame(
        {"clinic": list("aaabbbccc"), "month": [1, 2, 3] * 3, "with": [0, 1, 1, 0, 0, 1, 0, 0, 0],
         "y": [5.0, 8, 9, 5, 6, 11, 5, 4, 7]}
    )  # fmt: skip


def test_periods_weigh_by_the_clinics_on_each_side(three):
    effect = roll_out_permutation_test(three, **COLUMNS, seed=1, randomised=True)
    # Month 2: 8 against (6 + 4) / 2; month 3: (9 + 11) / 2 against 7. Weights 1 * 2 / 3 each.
    assert effect.headline["estimate"] == pytest.approx(((8 - 5) + (10 - 7)) / 2)
    assert effect.facts.levels == pytest.approx({0: (5 + 7) / 2, 1: (8 + 10) / 2})
    assert np.isnan(effect.headline["conf_low"])
    assert "no interval" in effect.sentence()
    assert not effect.withheld


def test_the_p_value_is_the_share_of_all_orders_by_hand(three):
    y = three["y"].to_numpy().reshape(3, 3)
    with_it = three["with"].to_numpy().reshape(3, 3)

    def difference(order):
        rows = with_it[list(order)]
        parts = [y[rows[:, t] == 1, t].mean() - y[rows[:, t] == 0, t].mean() for t in (1, 2)]
        return np.mean(parts)

    ways = [abs(difference(order)) for order in itertools.permutations(range(3))]
    exact = np.mean(np.array(ways) >= ways[0] - 1e-9)
    effect = roll_out_permutation_test(
        three, **COLUMNS, seed=1, n_permutations=20_000, randomised=True
    )
    assert 0 < exact < 1
    # 20,000 draws know a share to four times sqrt(.25 / 20,000).
    assert effect.headline["p_value"] == pytest.approx(exact, abs=0.0142)
    check = effect.checks.set_index("check").loc["orders"]
    assert (check["statistic"], check["passed"]) == (6, False)
    assert "no p-value lies below 0.17" in check["message"]


def test_without_an_effect_p_values_are_uniform():
    p_values = []
    for seed in range(150):
        data = simulate_design("stepped_wedge", seed=seed).data
        clinic = data[["clinic", "period"]].assign(y=data["score"] - 0.3 * data["treated"])
        cells = clinic.groupby(["clinic", "period"])["y"].mean().reset_index()
        status = data.groupby(["clinic", "period"])["treated"].first().to_numpy()
        cells["with"], cells["month"] = status, cells["period"]
        found = roll_out_permutation_test(
            cells, **COLUMNS, seed=seed, n_permutations=199, randomised=True
        )
        p_values.append(found.headline["p_value"])
    rejected = np.mean(np.array(p_values) <= 0.05)
    # Three Monte-Carlo errors of 150 studies.
    assert abs(rejected - 0.05) <= 3 * np.sqrt(0.05 * 0.95 / 150)
    assert np.mean(p_values) == pytest.approx(0.5, abs=3 * np.sqrt(1 / 12 / 150))


def test_a_large_effect_is_found_near_that_of_the_mixed_model():
    data = simulate_design("stepped_wedge", seed=4).data
    data = data.assign(score=data["score"] + 2 * data["treated"])
    effect = roll_out_permutation_test(data, **NAMED, seed=1, randomised=True)
    model = stepped_wedge_effect(data, **NAMED, randomised=True).headline
    assert effect.headline["p_value"] < 0.01
    assert effect.headline["estimate"] == pytest.approx(model["estimate"], abs=0.5)


def test_shuffled_rows_and_the_same_seed_give_the_same_answer(three):
    first = roll_out_permutation_test(three, **COLUMNS, seed=1)
    again = roll_out_permutation_test(three.sample(frac=1, random_state=2), **COLUMNS, seed=1)
    assert first.headline["p_value"] == again.headline["p_value"]
    assert first.failed == ["assignment"]


def test_a_clinic_without_patients_in_a_period_leaves_its_others_in(three):
    effect = roll_out_permutation_test(three.drop(index=1), **COLUMNS, seed=1, randomised=True)
    # Month 2 has no clinic with the programme left; month 3 is all.
    assert effect.headline["estimate"] == pytest.approx(10 - 7)


def test_a_roll_out_that_cannot_be_judged_is_refused(three):
    with pytest.raises(DesignError, match="lose the programme again"):
        roll_out_permutation_test(
            three.assign(**{"with": [0, 1, 0] * 3}), **COLUMNS, seed=1, randomised=True
        )
    with pytest.raises(DataError, match="without the programme"):
        roll_out_permutation_test(three.assign(**{"with": 0}), **COLUMNS, seed=1)
    with pytest.raises(UsageError, match="n_permutations"):
        roll_out_permutation_test(three, **COLUMNS, seed=1, n_permutations=10)
