"""Joining within a grace period against not joining: clones, censored and weighted."""

import numpy as np
import pandas as pd
import pytest

from loyalty_research.data.simulate_designs import simulate_design
from loyalty_research.effects.clone_censor_weight import clone_censor_weight
from loyalty_research.effects.target_trial import emulate_trial
from loyalty_research.errors import DataError, UsageError

EIGHT = pd.DataFrame(
    {
        "enrolled": [0, 2, None, None, 1, 0, None, 5],
        "time": [3, 6, 1, 4, 5, 6, 6, 6],
        "event": [1, 0, 1, 1, 1, 0, 0, 1],
        "old": [0, 1, 0, 1, 0, 1, 0, 1],
    }
)


def confounded(seed, n=1500):
    """Nobody gains by joining; the healthy join sooner, and stay longer."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    life = np.floor(rng.exponential(300 * np.exp(0.6 * x)))
    joins = np.floor(rng.exponential(60 * np.exp(-0.6 * x)))
    end = rng.integers(200, 400, n)
    time = np.minimum(life, end).astype(int)
    enrolled = np.where(joins <= time, joins, np.nan)
    return pd.DataFrame(
        {"enrolled": enrolled, "time": time, "event": (life <= end).astype(int), "x": x}
    )


def levels(effect):
    return effect.facts.levels


def test_copies_are_censored_and_weighted_as_by_hand():
    settings = {"exposed_at": "enrolled", "grace": 2, "day": 4, "seed": 1, "n_boot": 50}
    # A covariate that says nothing of joining, so that the weights are the same for all.
    data = pd.concat([EIGHT.assign(z=0), EIGHT.assign(z=1)], ignore_index=True)
    effect = clone_censor_weight(data, covariates=["z"], **settings)
    # Joining by day 2: all eight until day 1, of whom one leaves on it; from day 2 on the four who
    # joined by then (days 0, 2, 1, 0) stand for the seven who stayed; one of them leaves on day 3.
    assert levels(effect)[1] == pytest.approx(7 / 8 * 3 / 4, rel=1e-8)
    # Never joining: on day 1 five have not joined, of whom one leaves; on day 4 three, of whom one.
    assert levels(effect)[0] == pytest.approx(4 / 5 * 2 / 3, rel=1e-8)
    means = effect.estimates.set_index("term")["estimate"]
    # Areas over days 0 to 4: the curve after day 0 counts for day 0 to 1, and so on.
    assert means["mean time, strategy 1"] == pytest.approx(1 + 7 / 8 + 7 / 8 + 7 / 8 * 3 / 4)
    assert means["mean time, strategy 0"] == pytest.approx(1 + 3 * 4 / 5)


def test_without_grace_and_with_joining_later_free_it_is_the_trial_from_the_first_day():
    data = confounded(1)
    data.loc[data["enrolled"] < 15, "enrolled"] = 0
    cloned = clone_censor_weight(
        data, exposed_at="enrolled", grace=0, day=150, covariates=["x"],
        comparison="not_within_grace", seed=1, n_boot=50,
    )  # fmt: skip
    trial = emulate_trial(data, exposed_at="enrolled").retention_difference(
        day=150, covariates=["x"], seed=1, n_boot=50
    )
    assert levels(cloned) == pytest.approx(levels(trial), rel=1e-8)
    # The same samples of the same patients.
    assert cloned.headline["std_error"] == pytest.approx(trial.headline["std_error"], rel=1e-6)


def test_a_programme_without_effect_shows_none_though_the_healthy_join_and_stay():
    found, naive = [], []
    for seed in range(16):
        data = confounded(seed, 800)
        effect = clone_censor_weight(
            data, exposed_at="enrolled", grace=30, day=150, covariates=["x"], seed=1, n_boot=50
        )
        found.append([effect.headline["estimate"], effect.headline["std_error"]])
        by_then = data["enrolled"] <= 30
        naive.append((data["time"][by_then] > 150).mean() - (data["time"][~by_then] > 150).mean())
    found = np.array(found)
    spread = found[:, 0].std(ddof=1)
    assert abs(found[:, 0].mean()) < 3 * spread / np.sqrt(16)
    # Of 16 studies the spread is known to 18 %: three times that.
    assert found[:, 1].mean() / spread == pytest.approx(1, abs=0.55)
    assert np.mean(naive) > 0.1


def test_patients_with_covariates_of_their_own_and_with_few_patterns_are_treated_alike():
    data = confounded(2, 400).assign(x=lambda d: d["x"].round(1))
    jittered = data.assign(x=data["x"] + np.random.default_rng(1).normal(0, 1e-9, 400))
    settings = {"exposed_at": "enrolled", "grace": 30, "day": 150, "seed": 1, "n_boot": 50}
    one = clone_censor_weight(data, covariates=["x"], **settings)
    other = clone_censor_weight(jittered, covariates=["x"], **settings)
    assert levels(one) == pytest.approx(levels(other), rel=1e-6)


def test_members_of_before_are_left_out_and_counted():
    data = EIGHT.copy()
    data.loc[7, "enrolled"] = -5
    effect = clone_censor_weight(
        data, exposed_at="enrolled", grace=2, day=4, covariates=["old"], seed=1, n_boot=50
    )
    assert effect.facts.more["n_excluded"] == 1
    assert effect.facts.n == 7


def test_what_cannot_be_meant_is_refused():
    settings = {"exposed_at": "enrolled", "covariates": ["old"], "seed": 1}
    with pytest.raises(UsageError, match="day=2 must be after grace=2"):
        clone_censor_weight(EIGHT, grace=2, day=2, **settings)
    with pytest.raises(UsageError, match="day=9 is after the last observation of strategy 1"):
        clone_censor_weight(EIGHT, grace=2, day=9, **settings)
    with pytest.raises(UsageError, match="comparison"):
        clone_censor_weight(EIGHT, grace=2, day=4, comparison="usual", **settings)
    with pytest.raises(UsageError, match="needs a seed"):
        clone_censor_weight(EIGHT, grace=2, day=4, exposed_at="enrolled", covariates=["old"])


def test_nobody_joining_in_time_is_refused():
    with pytest.raises(DataError, match="nobody joined by day 0"):
        clone_censor_weight(
            EIGHT.assign(enrolled=5), exposed_at="enrolled", grace=0, day=4, covariates=["old"],
            seed=1,
        )  # fmt: skip


def test_a_missing_covariate_is_refused():
    with pytest.raises(DataError, match="old is missing in 1 of 8 rows"):
        clone_censor_weight(
            EIGHT.assign(old=[None, *EIGHT["old"][1:]]), exposed_at="enrolled", grace=2, day=4,
            covariates=["old"], seed=1,
        )  # fmt: skip


def test_frailty_that_nothing_measures_leaves_a_programme_without_effect_as_it_is():
    data = simulate_design("immortal_time", seed=3).data
    data["z"] = np.arange(len(data)) % 2
    effect = clone_censor_weight(
        data, exposed_at="enrolment_day", grace=90, day=365, covariates=["z"], seed=1, n_boot=50
    )
    assert effect.headline["conf_low"] < 0 < effect.headline["conf_high"]
    # Three patients join on day 0, of whom a sample may hold none: no model of its own for them.
    assert not effect.withheld
    assert effect.checks.set_index("check").loc["bootstrap", "statistic"] == 0
