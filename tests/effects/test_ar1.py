"""Series whose errors remember the period before: by hand, by full matrices, by R's nlme."""

import numpy as np
import pytest

from loyalty_research.effects.ar1 import WIDEST, fit_ar1

# Two lines through four points each, at t = 0..3 and 4..7.
Y = np.array([2.0, 4.0, 3.0, 5.0, 1.0, 2.0, 2.0, 3.0])
AT = np.arange(8)


def lines(at, start):
    after = at >= start
    return np.column_stack([np.ones(len(at)), at, after, np.where(after, at - start, 0)])


def test_without_memory_the_lines_are_those_of_least_squares_done_by_hand():
    fit = fit_ar1(lines(AT, 4), Y, AT, rho=0.0)
    # Before: mean 3.5 at 1.5, slope (2.25 - .25 - .25 + 2.25) / 5 = .8; at t = 4: 3.5 + 2.5 * .8.
    # After: mean 2 at 5.5, slope (1.5 + 0 + 0 + 1.5) / 5 = .6; at t = 4: 2 - 1.5 * .6 = 1.1.
    assert fit.beta == pytest.approx([3.5 - 1.5 * 0.8, 0.8, 1.1 - 5.5, 0.6 - 0.8])
    # Residuals -.3, .9, -.9, .3 and -.1, .3, -.3, .1: sum of squares 1.8 + .2 on 8 - 4 periods.
    assert fit.sigma**2 == pytest.approx(2.0 / 4)
    # A line's variance at t is s^2 (1/4 + (t - mean)^2 / 5); the two lines' add up.
    level = 0.5 * (1 / 4 + 1.5**2 / 5 + 1 / 4 + 2.5**2 / 5)
    assert np.diag(fit.covariance)[2:] == pytest.approx([level, 0.5 * (1 / 5 + 1 / 5)])
    assert fit.df == 4


def test_the_variance_of_a_mean_of_two_neighbours_grows_with_their_correlation():
    fit = fit_ar1(np.ones((2, 1)), np.array([1.0, 3.0]), np.arange(2), rho=0.5)
    # Mean 2. Whitened residuals -1 and (1 + .5) / sqrt(.75): sigma^2 = 1 + 3 = 4 on one df, and
    # var(mean) = sigma^2 (1 + rho) / 2.
    assert fit.beta.item() == pytest.approx(2.0)
    assert fit.covariance.item() == pytest.approx(4 * 1.5 / 2)


def by_full_matrices(x, y, at, weight, rho):
    """Return coefficients, covariance and restricted log likelihood from V itself."""
    v = rho ** np.abs(at[:, None] - at[None, :]) / np.sqrt(np.outer(weight, weight))
    inverse = np.linalg.inv(v)
    information = x.T @ inverse @ x
    beta = np.linalg.solve(information, x.T @ inverse @ y)
    rest, df = y - x @ beta, len(y) - x.shape[1]
    variance = rest @ inverse @ rest / df
    logs = np.linalg.slogdet(v)[1] + np.linalg.slogdet(information)[1]
    likelihood = -0.5 * (df * np.log(2 * np.pi * variance) + df + logs)
    return beta, variance * np.linalg.inv(information), likelihood


@pytest.mark.parametrize("rho", [-0.6, 0.0, 0.3, 0.95])
def test_holes_and_weights_give_what_the_full_covariance_matrix_gives(rho):
    draw = np.random.default_rng(3)
    at = np.array([0, 1, 2, 3, 4, 5, 8, 9, 10, 12, 13])
    x, y = lines(at, 6), draw.normal(size=11) + 0.2 * at
    weight = draw.uniform(0.5, 3, 11)
    # Powers of a negative number need whole exponents, which `at` has.
    beta, covariance, likelihood = by_full_matrices(x, y, at, weight, rho or 1e-12)
    fit = fit_ar1(x, y, at, weight=weight, rho=rho)
    assert fit.beta == pytest.approx(beta, abs=1e-8)
    assert fit.covariance == pytest.approx(covariance, abs=1e-8)
    assert fit.log_likelihood == pytest.approx(likelihood, abs=1e-8)


def test_no_other_rho_is_likelier():
    draw = np.random.default_rng(8)
    for _ in range(20):
        y = draw.normal(size=25).cumsum()
        x, at = lines(np.arange(25), 12), np.arange(25)
        best = fit_ar1(x, y, at)
        others = [
            fit_ar1(x, y, at, rho=rho).log_likelihood for rho in np.linspace(-0.98, 0.998, 300)
        ]
        assert best.log_likelihood >= max(others) - 1e-9


def test_a_random_walk_stops_at_the_widest_rho():
    # Without a line to follow, a straight climb is memory without end.
    fit = fit_ar1(np.ones((40, 1)), np.arange(40.0), np.arange(40))
    assert fit.rho == pytest.approx(WIDEST, abs=1e-6)


def test_a_series_that_swings_to_and_fro_has_a_negative_rho():
    y = (-1.0) ** np.arange(40) + 0.01 * np.random.default_rng(1).normal(size=40)
    assert fit_ar1(np.ones((40, 1)), y, np.arange(40)).rho < -0.98


def reference(published, name):
    """Return a stored model of Seatbelts: columns, outcome, periods, R's numbers."""
    numbers = published("interrupted_series")
    belts, at = numbers["seatbelts"], np.arange(192)
    month = at % 12
    if name == "months":
        season = (month[:, None] == np.arange(1, 12)).astype(float)
    else:
        angles = [2 * np.pi * k * month / 12 for k in (1, 2)]
        season = np.column_stack([wave(a) for a in angles for wave in (np.sin, np.cos)])
    start = belts["start"]
    x, y = lines(at, start), np.array(belts["drivers"], float)
    used = np.ones(192, bool)
    if name == "wash_in":
        x, used = lines(at, start + 3), (at < start) | (at >= start + 3)
    if name in ("log_harmonics", "wash_in"):
        y = np.log(y)
    if name == "controlled":
        y = np.log(belts["front"]) - np.log(belts["rear"])
    return np.column_stack([x, season])[used], y[used], at[used], numbers[name]


@pytest.mark.parametrize("name", ["months", "harmonics", "log_harmonics", "wash_in", "controlled"])
def test_seatbelts_are_those_of_gls_in_r(published, name):
    x, y, at, r = reference(published, name)
    fit = fit_ar1(x, y, at)
    # R's order is constant, level, slope, trend, season.
    order = [0, 2, 3, 1, *range(4, x.shape[1])]
    assert fit.rho == pytest.approx(r["rho"], abs=1e-6)
    assert fit.beta[order] == pytest.approx(r["coefficients"], rel=1e-6)
    assert np.sqrt(np.diag(fit.covariance))[order] == pytest.approx(r["std_error"], rel=1e-6)
    assert fit.sigma == pytest.approx(r["sigma"], rel=1e-6)
    assert fit.log_likelihood == pytest.approx(r["log_likelihood"], rel=1e-9)


@pytest.mark.parametrize("name", ["ar1", "weighted"])
def test_a_constructed_series_is_that_of_gls_in_r(published, name):
    small = published("interrupted_series")["small"]
    at, r = np.arange(30), small[name]
    weight = np.array(small["weight"], float) if name == "weighted" else None
    fit = fit_ar1(lines(at, small["start"]), np.array(small["y"]), at, weight=weight)
    order = [0, 2, 3, 1]
    assert fit.rho == pytest.approx(r["rho"], abs=1e-6)
    assert fit.beta[order] == pytest.approx(r["coefficients"], rel=1e-6)
    assert np.sqrt(np.diag(fit.covariance))[order] == pytest.approx(r["std_error"], rel=1e-6)
    assert fit.log_likelihood == pytest.approx(r["log_likelihood"], rel=1e-9)


def test_innovations_of_the_true_model_are_white():
    draw = np.random.default_rng(1)
    shocks, e = draw.normal(size=4000), np.zeros(4000)
    for t in range(1, 4000):
        e[t] = 0.6 * e[t - 1] + shocks[t]
    fit = fit_ar1(np.ones((4000, 1)), e, np.arange(4000))
    assert fit.rho == pytest.approx(0.6, abs=0.03)
    assert np.corrcoef(fit.innovations[1:], fit.innovations[:-1])[0, 1] == pytest.approx(
        0, abs=0.03
    )
