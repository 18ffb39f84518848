"""Newey and West's covariance: by hand, and by R's sandwich."""

import numpy as np
import pytest

from loyalty_research.effects.newey_west import default_lags, fit_newey_west


def test_the_covariance_of_a_mean_done_by_hand():
    # Mean 3, residuals -2, -1, 0, 3; squares 14; neighbours' products 2 + 0 + 0 = 2, and those two
    # apart 0 - 3 = -3. Two lags weigh them 2/3 and 1/3, twice each.
    fit = fit_newey_west(np.ones((4, 1)), np.array([1.0, 2.0, 3.0, 6.0]), np.arange(4), lags=2)
    assert fit.covariance.item() == pytest.approx(
        (14 + 2 * (2 / 3 * 2 + 1 / 3 * -3)) / 4**2 * 4 / 3
    )


def test_lags_are_counted_in_time_not_in_rows():
    y = np.array([1.0, 2.0, 3.0, 6.0])
    # A hole between the second and third period: their residuals are no neighbours any more.
    fit = fit_newey_west(np.ones((4, 1)), y, np.array([0, 1, 5, 6]), lags=1)
    assert fit.covariance.item() == pytest.approx((14 + 2 * 1 / 2 * (2 + 0)) / 4**2 * 4 / 3)


def test_the_lag_rule():
    # 4 (192 / 100)^(2/9) = 4.62.
    assert [default_lags(n) for n in (16, 100, 192)] == [2, 4, 4]


@pytest.mark.parametrize("name", ["newey_west", "small"])
def test_the_covariance_is_that_of_sandwich_in_r(published, name):
    numbers = published("interrupted_series")
    if name == "small":
        y, start = np.array(numbers["small"]["y"]), numbers["small"]["start"]
        r, season = numbers["small"]["newey_west"], np.empty((30, 0))
    else:
        y, start = np.array(numbers["seatbelts"]["drivers"], float), numbers["seatbelts"]["start"]
        angles = [2 * np.pi * k * np.arange(192) / 12 for k in (1, 2)]
        r, season = numbers[name], [wave(a) for a in angles for wave in (np.sin, np.cos)]
        season = np.column_stack(season)
    at = np.arange(len(y))
    after = at >= start
    x = np.column_stack([np.ones(len(y)), after, np.where(after, at - start, 0), at, season])
    fit = fit_newey_west(x, y, at, lags=r["lag"])
    assert fit.beta == pytest.approx(r["coefficients"], rel=1e-9)
    assert np.sqrt(np.diag(fit.covariance)) == pytest.approx(r["std_error"], rel=1e-9)
