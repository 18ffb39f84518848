"""The share that never lapses: the plateau by hand, R's maximum, a simulated truth, refusals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from loyalty_research.errors import DataError, UsageError
from loyalty_research.retention.cure import LATENCIES, check_cure, fit_mixture_cure

TEN = pd.DataFrame({"time": [2, 4, 6, 8, 20, 20, 20, 20, 20, 20], "event": [1] * 4 + [0] * 6})


def simulated(n: int, seed: int) -> pd.DataFrame:
    """Log odds of never lapsing -0.5 + 0.8 x; the others leave by a Weibull of 4.5, scale 0.6."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 2, n)
    clock = np.exp(4.5 + 0.6 * np.log(rng.exponential(size=n)))
    clock[rng.random(n) < expit(-0.5 + 0.8 * x)] = np.inf
    end = rng.integers(500, 1000, n)
    time = np.maximum(np.ceil(np.minimum(clock, end)), 1).astype(int)
    return pd.DataFrame({"time": time, "event": clock <= end, "x": x})


def test_the_checks_are_computed_by_hand():
    checks = check_cure(TEN).set_index("check")
    # Last time 20, last event 8: 2 * 8 - 20 < 0, so all four events count: (1 - 4/10)^10.
    assert checks.loc["sufficient_follow_up", "statistic"] == pytest.approx(0.6**10)
    assert checks.loc["at_risk_on_plateau", "statistic"] == 6
    assert checks.loc["events_in_last_quarter", "statistic"] == 0
    assert checks.loc["plateau_length", "statistic"] == pytest.approx(12 / 20)
    assert checks["passed"].tolist() == [False, True, True, None]
    assert checks["gating"].tolist() == [True, True, False, False]


def test_checks_and_estimates_have_the_fixed_columns(assert_columns):
    model = fit_mixture_cure(simulated(300, 1))
    assert_columns(model.checks, "checks")
    assert_columns(model.estimates, "estimates")
    assert model.estimates["term"].iloc[0] == "share never lapsing"


def test_events_to_the_end_leave_no_plateau():
    checks = check_cure(TEN.assign(time=range(1, 11), event=1)).set_index("check")
    assert not checks.loc["at_risk_on_plateau", "passed"]
    assert checks.loc["sufficient_follow_up", "statistic"] == 1


def test_the_maximum_is_that_of_r(published):
    stored = published("parametric")["cure"]
    model = fit_mixture_cure(pd.DataFrame(stored["data"]))
    assert model.log_likelihood == pytest.approx(stored["log_likelihood"], abs=1e-6)
    assert model.estimates["estimate"].iloc[0] == pytest.approx(stored["share"], abs=1e-5)
    errors = model.estimates["std_error"].iloc[1:]
    np.testing.assert_allclose(errors, stored["std_error"], atol=2e-4)


def test_where_all_who_leave_have_left_the_share_is_that_still_here():
    for family in LATENCIES:
        first = fit_mixture_cure(simulated(400, 2), distribution=family).estimates.iloc[0]
        assert first["estimate"] == pytest.approx(1 - first["n_events"] / 400, abs=0.01)
        assert first["conf_low"] < first["estimate"] < first["conf_high"]


def test_a_simulated_truth_is_recovered_and_its_errors_are_right():
    fits = [fit_mixture_cure(simulated(300, s), covariates="x").estimates for s in range(50)]
    found = np.array([fit["estimate"] for fit in fits])
    errors = np.array([fit["std_error"] for fit in fits])
    truth = [(expit(-0.5) + expit(0.3)) / 2, -0.5, 0.8, 4.5, np.log(0.6)]
    assert (np.abs(found.mean(axis=0) - truth) < 4 * found.std(axis=0) / np.sqrt(50)).all()
    # The share averages over the patients at hand, whose x differs between simulations.
    np.testing.assert_allclose(errors.mean(axis=0)[1:], found.std(axis=0)[1:], rtol=0.35)


def test_frequencies_are_repeated_rows():
    data = simulated(200, 4).assign(n=lambda t: 1 + t["time"] % 3)
    short = fit_mixture_cure(data, freq="n", covariates="x", time_covariates="x").estimates
    repeated = data.loc[data.index.repeat(data["n"])].sample(frac=1, random_state=1)
    long = fit_mixture_cure(repeated, covariates="x", time_covariates="x").estimates
    for column in ("estimate", "std_error", "conf_low"):
        np.testing.assert_allclose(short[column], long[column], rtol=1e-6)


def test_every_engine_gives_the_same_share(engine):
    data = simulated(150, 5)
    expected = fit_mixture_cure(data).estimates["estimate"]
    found = fit_mixture_cure(engine.make(data)).estimates["estimate"]
    np.testing.assert_allclose(found, expected, rtol=1e-8)


def test_a_share_that_cannot_be_told_from_0_is_refused():
    data = simulated(400, 6)
    short = data.assign(time=data["time"].clip(upper=30), event=data["event"] & (data["time"] < 30))
    everyone = pd.DataFrame({"time": np.arange(1, 101), "event": 1})
    for table in (short, everyone):
        with pytest.raises(DataError, match="cannot be told from 0"):
            fit_mixture_cure(table, distribution="exponential")


@pytest.mark.parametrize(
    ("data", "settings", "message"),
    [
        (TEN.assign(time=0), {}, "time is 0 in 10 of 10 rows"),
        (TEN.assign(event=0), {}, "there is no event"),
        (TEN.assign(x=1), {"covariates": "x"}, "x is the same in all rows"),
    ],
)
def test_data_that_carry_no_model_are_refused(data, settings, message):
    with pytest.raises(DataError, match=message):
        fit_mixture_cure(data, **settings)


def test_a_distribution_without_a_latency_is_refused():
    with pytest.raises(UsageError, match="distribution='spline' is not known"):
        fit_mixture_cure(TEN, distribution="spline")
