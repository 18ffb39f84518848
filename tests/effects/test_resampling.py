"""The bootstrap over patients, and the weights that it estimates anew."""

import numpy as np
import pandas as pd
import pytest

from loyalty_research.effects.follow_up import (
    areas_of,
    arm_weights,
    curves_of,
    open_follow_up,
    retention_at,
    sums_of,
)
from loyalty_research.effects.guards import open_guards
from loyalty_research.effects.immortal import IMMORTAL, refuse_immortal
from loyalty_research.effects.resampling import bootstrap, check_draws
from loyalty_research.errors import DataError, DesignError, Fault, UsageError
from loyalty_research.retention import kaplan_meier, restricted_mean_time


def test_a_patient_is_drawn_with_all_rows():
    unit = np.repeat(np.arange(20), 3)

    def statistic(drawn):
        assert (drawn.reshape(20, 3) == drawn[::3, None]).all()
        assert drawn.sum() == 60
        return np.array([drawn.max()])

    assert len(bootstrap(statistic, unit, n_boot=60, seed=1).values) == 60


def test_samples_without_an_estimate_are_counted_and_gate_where_they_are_many():
    calls = iter(range(100))

    def statistic(drawn):
        if next(calls) % 10 == 0:
            raise DataError([Fault("data", "x", 0, "no estimate", "none")])
        return np.array([1.0])

    draws = bootstrap(statistic, np.arange(5), n_boot=100, seed=1)
    assert draws.n_failed == 10
    check = draws.check()
    assert not check.passed
    assert check.gating
    assert "90 of 100 samples" in check.message


def test_no_estimate_at_all_has_no_error():
    draws = bootstrap(lambda drawn: np.array([np.nan]), np.arange(5), n_boot=50, seed=1)
    assert np.isnan(draws.errors()).all()


def test_too_few_samples_are_refused():
    with pytest.raises(UsageError, match="n_boot"):
        check_draws(10, 1)


@pytest.mark.parametrize(
    ("estimand", "raw"),
    [
        ("ATE", [1 / 0.8, 1 / 0.5, 1 / 0.2, 1 / 0.5]),
        ("ATT", [0.2 / 0.8, 1, 1, 1]),
        ("ATO", [0.2, 0.5, 0.8, 0.5]),
    ],
)
def test_weights_of_each_estimand_are_those_by_hand_up_to_the_size_of_the_arm(estimand, raw):
    arm, p = np.array([0, 0, 1, 1]), np.array([0.2, 0.5, 0.2, 0.5])
    found = arm_weights(arm, p, np.ones(4), estimand)
    raw = np.array(raw)
    assert found[:2] == pytest.approx(raw[:2] * 2 / raw[:2].sum())
    assert found[2:] == pytest.approx(raw[2:] * 2 / raw[2:].sum())


def test_curves_and_areas_are_those_of_the_retention_room():
    rng = np.random.default_rng(1)
    data = pd.DataFrame(
        {"arm": rng.integers(0, 2, 80), "time": rng.integers(0, 30, 80),
         "event": rng.integers(0, 2, 80)}
    )  # fmt: skip
    rows = open_follow_up(data, arm="arm", time="time", event="event")
    curves = curves_of(sums_of(rows, rows.base))
    other = kaplan_meier(data, by="arm", times=[0, 7, 20])["estimate"].to_numpy()
    assert retention_at(curves, rows.days, [0, 7, 20]).ravel() == pytest.approx(other)
    means = restricted_mean_time(data, by="arm", horizon=20)["estimate"].to_numpy()
    assert areas_of(curves, rows.days, 20) == pytest.approx(means)


def test_the_guard_tells_how_much_of_the_time_is_immortal():
    guards = open_guards([IMMORTAL], override=None)
    with pytest.raises(DesignError, match="40 % of the follow-up of the ever enrolled") as caught:
        refuse_immortal(
            guards, arm=np.array([1, 0]), at=np.array([20.0, np.inf]), time=np.array([50, 90]),
            event=np.array([1, 1]), name="ever",
        )  # fmt: skip
    # 1 event in 50 days against 1 in 90; rightly 1 in 30 against 1 in 110.
    assert "1.80 times" in str(caught.value)
    assert "3.67" in str(caught.value)
