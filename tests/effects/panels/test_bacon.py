"""The parts of a two-way fixed effects coefficient add up to it exactly."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from loyalty_research.effects.bacon import bacon_decomposition
from loyalty_research.errors import DataError

CLINIC = {"outcome": "y", "unit": "clinic", "period": "month", "first_treated": "start"}
COUNTY = {"outcome": "lemp", "unit": "county", "period": "year", "first_treated": "start"}


def two_way_coefficient(table, *, outcome, unit, period, first_treated) -> float:
    """Return the coefficient of treatment in a regression with dummies of units and periods."""
    treated = (table[period] >= table[first_treated]).to_numpy(float)
    dummies = [pd.get_dummies(table[name], dtype=float).to_numpy() for name in (unit, period)]
    x = np.column_stack([treated, *dummies])
    return float(np.linalg.lstsq(x, table[outcome].to_numpy(float), rcond=None)[0][0])


def test_three_clinics_by_hand(three_clinics):
    found = bacon_decomposition(three_clinics, **CLINIC)
    # a is treated in 2 of 3 months, b in 1 of 3, c never; one clinic each.
    # Weights up to a factor: size x size x (difference of shares) x (share of its other months).
    expected = [
        ("treated against never treated", (15 + 17) / 2 - 10 - ((31 + 33) / 2 - 30), 2 / 3 * 1 / 3),
        ("treated against never treated", 29 - (20 + 22) / 2 - (33 - (30 + 31) / 2), 1 / 3 * 2 / 3),
        ("earlier against later", (15 - 10) - (22 - 20), 1 / 3 * 1 / 3),
        ("later against earlier", (29 - 22) - (17 - 15), 1 / 3 * 1 / 3),
    ]
    total = sum(weight for _, _, weight in expected)
    assert found["comparison"].tolist() == [kind for kind, _, _ in expected]
    assert found["estimate"].tolist() == pytest.approx([estimate for _, estimate, _ in expected])
    assert found["weight"].tolist() == pytest.approx([w / total for _, _, w in expected])
    assert found["is_clean"].tolist() == [True, True, True, False]
    assert found["cohort"].tolist() == [2, 3, 2, 3]
    assert found["control_cohort"].isna().tolist() == [True, True, False, False]
    assert found["control_cohort"].tolist()[2:] == [3, 2]


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("always", [False, True])
def test_the_weighted_sum_is_the_two_way_coefficient(seed, always):
    rng = np.random.default_rng(seed)
    starts = rng.choice([1 if always else 3, 3, 4, 6, np.nan], 30)
    starts[:5] = [1 if always else 3, 3, 4, 6, np.nan]
    table = pd.DataFrame(
        {
            "clinic": np.repeat(range(30), 7),
            "month": np.tile(range(1, 8), 30),
            "start": np.repeat(starts, 7),
            "y": rng.normal(size=210),
        }
    )
    found = bacon_decomposition(table, **CLINIC)
    assert found["weight"].sum() == pytest.approx(1, abs=1e-12)
    both = found["weight"] @ found["estimate"]
    assert both == pytest.approx(two_way_coefficient(table, **CLINIC), abs=1e-12)
    assert ("treated against always treated" in set(found["comparison"])) == always


def test_the_parts_of_the_counties_are_those_of_diff_diff(counties, published):
    theirs = published("did")["bacon"]
    found = bacon_decomposition(counties, **COUNTY)
    assert found["weight"] @ found["estimate"] == pytest.approx(theirs["twfe"], rel=1e-9)
    words = {
        "treated_vs_never": "treated against never treated",
        "earlier_vs_later": "earlier against later",
        "later_vs_earlier": "later against earlier",
    }
    ours = {
        (
            row.comparison,
            row.cohort,
            None if pd.isna(row.control_cohort) else row.control_cohort,
        ): row
        for row in found.itertuples()
    }
    assert len(ours) == len(theirs["parts"])
    for part in theirs["parts"]:
        control = None if part["control_group"] == "never_treated" else int(part["control_group"])
        row = ours[words[part["comparison_type"]], int(part["treated_group"]), control]
        assert row.estimate == pytest.approx(part["estimate"], rel=1e-8)
        assert row.weight == pytest.approx(part["weight"], rel=1e-8)


def test_a_growing_effect_turns_the_unclean_comparisons_against_it(roll_out):
    found = bacon_decomposition(roll_out(60, seed=1, size=3.0), **CLINIC)
    means = found.groupby("is_clean")[["estimate"]].mean()["estimate"]
    assert means[True] > means[False] + 1


def test_order_and_engine_of_rows_change_nothing(engine, three_clinics):
    found = bacon_decomposition(engine.make(three_clinics), **CLINIC)
    pd.testing.assert_frame_equal(found, bacon_decomposition(three_clinics, **CLINIC))


def test_a_panel_with_gaps_is_refused(three_clinics):
    with pytest.raises(DataError, match="1 of 3 units lack one of the 3 periods"):
        bacon_decomposition(three_clinics.iloc[1:], **CLINIC)


def test_a_panel_in_which_nobody_starts_is_refused(three_clinics):
    throughout = three_clinics.assign(start=three_clinics["start"].where(lambda x: x.isna(), 1))
    with pytest.raises(DataError, match="no unit starts within the periods"):
        bacon_decomposition(throughout, **CLINIC)
