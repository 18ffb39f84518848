from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from loyalty_research.effects import mean_difference
from loyalty_research.effects.before_after import before_after_change, expected_regression
from loyalty_research.errors import DataError, DesignError, UsageError

THREE = pd.DataFrame({"sbp_0": [152.0, 160, 171], "sbp_1": [150.0, 151, 163]})
NAMES = {"before": "sbp_0", "after": "sbp_1"}
WHY = {"regression to the mean": "shown to teach what it is worth"}


def screened(rng, n=4000):
    """METHODS setting J: usual pressure N(140, 12), each reading N(0, 9) off, no effect."""
    usual = rng.normal(140, 12, n)
    one, two = usual + rng.normal(0, 9, n), usual + rng.normal(0, 9, n)
    return pd.DataFrame({"sbp_0": one, "sbp_1": two}).assign(arm=rng.permutation(np.arange(n) % 2))


def test_the_change_by_hand(assert_columns):
    # -2, -9, -8: mean -19/3, squares 169/9 + 64/9 + 25/9 = 258/9, s2 = 129/9.
    effect = before_after_change(THREE, **NAMES, unit="mmHg")
    assert_columns(effect.estimates, "estimates")
    row = effect.headline
    assert (row["estimate"], row["std_error"]) == pytest.approx((-19 / 3, (129 / 9 / 3) ** 0.5))
    # t(.975, 2) = 4.302653.
    assert row["conf_high"] == pytest.approx(-19 / 3 + 4.302653 * (129 / 27) ** 0.5, rel=1e-6)
    assert effect.facts.levels == pytest.approx({0: 161, 1: 464 / 3})


def test_a_change_without_a_comparison_is_never_published():
    effect = before_after_change(THREE, **NAMES)
    assert effect.failed == ["comparison"]
    assert not effect.facts.causal
    assert "This is an association" in effect.sentence()


def test_what_nothing_would_have_done_by_hand():
    # (1 - .6) of the 20 above the mean of all.
    assert expected_regression(160, population_mean=140, correlation=0.6) == pytest.approx(-8)
    effect = before_after_change(
        THREE, **NAMES, threshold=150, population_mean=140, correlation=0.6, override=WHY
    )
    assert effect.estimates["term"].tolist() == [
        "change", "change expected without any effect", "change beyond it",
    ]  # fmt: skip
    assert effect.estimates["estimate"].tolist() == pytest.approx(
        [-19 / 3, -0.4 * 21, -19 / 3 + 0.4 * 21]
    )
    assert math.isnan(effect.estimates["std_error"][1])
    assert effect.facts.overrides == WHY
    assert effect.failed == ["comparison"]


def test_patients_chosen_by_the_measurement_are_refused_with_the_expected_change():
    with pytest.raises(
        DesignError, match=r"-8\.4 expected, -6\.3 found.*mean_difference"
    ) as caught:
        before_after_change(THREE, **NAMES, threshold=150, population_mean=140, correlation=0.6)
    assert caught.value.guard == "regression to the mean"
    with pytest.raises(DesignError, match="though nothing is done; compare"):
        before_after_change(THREE, **NAMES, threshold=150)


def test_high_pressure_falls_by_itself_and_a_comparison_group_shows_it():
    rng, found = np.random.default_rng(1), []
    for _ in range(60):
        high = screened(rng).query("sbp_0 > 150")
        alone = before_after_change(
            high[high["arm"] == 1], **NAMES, threshold=150, population_mean=140,
            correlation=144 / 225, override=WHY,
        ).estimates  # fmt: skip
        row = mean_difference(
            high, arm="arm", outcome="sbp_1", covariates=["sbp_0"], randomised=True
        ).headline
        found.append(
            [alone["estimate"][0], alone["conf_low"][0] <= 0 <= alone["conf_high"][0],
             alone["estimate"][2], row["conf_low"] <= 0 <= row["conf_high"]]
        )  # fmt: skip
    change, covers, beyond, ancova = np.array(found, float).mean(axis=0)
    # .36 of 18.97, the mean of a normal of SD 15 beyond 10.
    assert change == pytest.approx(-6.83, abs=0.3)
    assert covers == 0
    assert beyond == pytest.approx(0, abs=0.3)
    assert ancova == pytest.approx(0.95, abs=3 * (0.95 * 0.05 / 60) ** 0.5)


def test_every_engine_gives_the_same(engine):
    expected = before_after_change(THREE, **NAMES).estimates
    found = before_after_change(engine.make(THREE), **NAMES).estimates
    pd.testing.assert_frame_equal(found, expected)


def test_rows_without_both_are_left_out_and_counted():
    data = pd.concat([THREE, pd.DataFrame({"sbp_0": [150.0], "sbp_1": [np.nan]})])
    assert before_after_change(data, **NAMES).facts.n_missing == {1: 1}
    with pytest.raises(DataError, match="1 of 4 rows have sbp_0 and sbp_1; 2 at least are needed"):
        before_after_change(data.assign(sbp_1=[1.0, None, None, None]), **NAMES)
    with pytest.raises(DataError, match=r"sbp_1 is .*, not a number"):
        before_after_change(THREE.assign(sbp_1="high"), **NAMES)


@pytest.mark.parametrize(
    ("more", "match"),
    [
        ({"population_mean": 140}, "give both population_mean and correlation, or neither"),
        ({"population_mean": 140, "correlation": 2}, "correlation=2 must lie between -1 and 1"),
        ({"better": "less"}, "better='less' must be"),
        ({"conf_level": 2}, "conf_level=2"),
    ],
)
def test_arguments_are_checked(more, match):
    with pytest.raises(UsageError, match=match):
        before_after_change(THREE, **NAMES, **more)
