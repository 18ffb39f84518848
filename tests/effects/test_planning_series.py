"""The power of an interrupted series: as R has its errors, by hand, and simulated."""

import math

import numpy as np
import pytest
from scipy.stats import t as student

from loyalty_research.effects.planning_series import interrupted_series_power
from loyalty_research.errors import UsageError


def test_errors_are_those_of_matrix_algebra_in_r(published):
    stored = published("planning")["series"]
    plain = interrupted_series_power(n_before=24, n_after=24, sd=2, rho=0.4)
    assert plain["term"].tolist() == ["level", "slope", "end"]
    assert plain["std_error"].tolist() == pytest.approx(stored["plain"], rel=1e-8)
    seasonal = interrupted_series_power(n_before=36, n_after=12, sd=1.5, rho=0.2, season_length=12)
    assert seasonal["std_error"].tolist() == pytest.approx(stored["seasonal"], rel=1e-8)


def test_the_slope_change_of_independent_points_by_hand():
    # Slopes before and after are fitted apart: each varies by sd^2 over the sum of squared
    # deviations of its times, which for n points in a row is n (n^2 - 1) / 12.
    found = interrupted_series_power(n_before=10, n_after=6, sd=3, slope=1)
    by_hand = 3 * math.sqrt(12 / (10 * 99) + 12 / (6 * 35))
    assert found["std_error"].iloc[1] == pytest.approx(by_hand)
    assert found["df"].tolist() == [12] * 3


def test_without_a_change_power_is_the_level_of_one_side():
    found = interrupted_series_power(n_before=10, n_after=10, sd=3)
    assert found["estimate"].tolist() == pytest.approx([0.025] * 3)


def test_the_detectable_change_has_the_power_asked_for():
    settings = {"n_before": 24, "n_after": 12, "sd": 2, "rho": 0.3}
    shown = interrupted_series_power(power=0.9, **settings)["detectable"]
    level = interrupted_series_power(level=shown[0], **settings)["estimate"]
    slope = interrupted_series_power(slope=-shown[1], **settings)["estimate"]
    assert (level[0], slope[1]) == pytest.approx((0.9, 0.9))


def test_simulated_series_succeed_as_often_as_planned():
    rng = np.random.default_rng(14)
    n_sim, rho, n = 4000, 0.5, 40
    noise = np.empty((n_sim, n))
    noise[:, 0] = rng.normal(size=n_sim)
    for t in range(1, n):
        noise[:, t] = rho * noise[:, t - 1] + math.sqrt(1 - rho**2) * rng.normal(size=n_sim)
    time = np.arange(n)
    after = (time >= 25).astype(float)
    x = np.column_stack([np.ones(n), time, after, after * (time - 25)])
    v = rho ** np.abs(np.subtract.outer(time, time))
    weights = np.linalg.solve(v, x)
    bread = np.linalg.inv(x.T @ weights)
    y = noise - 2 * after
    beta = y @ weights @ bread
    residual = y - beta @ x.T
    scale = np.einsum("st,tu,su->s", residual, np.linalg.inv(v), residual) / (n - 4)
    t_value = np.abs(beta[:, 2]) / np.sqrt(scale * bread[2, 2])
    successes = np.mean(t_value > student.ppf(0.975, n - 4))
    planned = interrupted_series_power(n_before=25, n_after=15, sd=1, level=-2, rho=rho)
    monte_carlo = math.sqrt(successes * (1 - successes) / n_sim)
    assert planned["estimate"].iloc[0] == pytest.approx(successes, abs=3 * monte_carlo)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"n_before": 1, "n_after": 9, "sd": 1}, "n_before=1 must be a whole number"),
        ({"n_before": 2, "n_after": 2, "sd": 1}, "cannot hold 4 coefficients"),
        ({"n_before": 9, "n_after": 9, "sd": 0}, "sd=0 must be a number, above 0"),
        ({"n_before": 9, "n_after": 9, "sd": 1, "rho": 1}, "random walk"),
        ({"n_before": 9, "n_after": 9, "sd": 1, "rho": -1}, "rho=-1 must be"),
        ({"n_before": 9, "n_after": 9, "sd": 1, "season_length": 2}, "season_length=2 must be"),
    ],
)
def test_what_no_series_can_tell_is_refused(settings, words):
    with pytest.raises(UsageError, match=words):
        interrupted_series_power(**settings)
