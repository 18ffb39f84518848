"""A straight-line model with errors that allow for memory without modelling it: Newey and West.

The coefficients are those of least squares; their covariance sums products of scores up to `lags`
periods apart, with weights that fall to 0 (Newey and West, Econometrica 1987;55:703), times
n / (n - p), as `NeweyWest(..., prewhite = FALSE, adjust = TRUE)` of R's sandwich. In the few dozen
periods of a health service's series its intervals are too narrow; it stands here for comparison.
"""

from __future__ import annotations

import math

import numpy as np

from loyalty_research.effects.ar1 import SeriesFit


def default_lags(n: int) -> int:
    """Return the usual number of lags: 4 (n / 100)^(2/9), rounded down.

    Newey and West, Review of Economic Studies 1994;61:631, first step for Bartlett's weights.

    Args:
        n: Periods.

    Returns:
        The lags.

    Examples:
        >>> default_lags(48), default_lags(120)
        (3, 4)
    """
    return math.floor(4 * (n / 100) ** (2 / 9))


def fit_newey_west(
    x: np.ndarray,
    y: np.ndarray,
    at: np.ndarray,
    *,
    weight: np.ndarray | None = None,
    lags: int | None = None,
) -> SeriesFit:
    """Return least-squares coefficients with Newey and West's covariance.

    Args:
        x: One row a period, of full rank.
        y: The outcome of each period.
        at: Whole number of each period, rising; periods in a hole add nothing to the sums.
        weight: Above 0, for weighted least squares; None for equal.
        lags: How many periods apart errors may be related; None for `default_lags`.

    Returns:
        The fit; `rho` is 0 and `innovations` are the residuals over their standard deviation.

    Examples:
        >>> y = np.array([1.0, 2.0, 3.0, 6.0])  # mean 3, residuals -2, -1, 0, 3
        >>> fit = fit_newey_west(np.ones((4, 1)), y, np.arange(4), lags=1)
        >>> # (14 + 2 * 1/2 * (2 + 0 + 0)) / 4^2 * 4/3
        >>> round(fit.covariance.item(), 6) == round(16 / 16 * 4 / 3, 6)
        True
    """
    root = np.ones(len(y)) if weight is None else np.sqrt(weight)
    rows, values = x * root[:, None], y * root
    used = default_lags(len(y)) if lags is None else lags
    bread = np.linalg.inv(rows.T @ rows)
    beta = np.linalg.lstsq(rows, values, rcond=None)[0]
    rest = values - rows @ beta
    df = len(y) - x.shape[1]
    meat = _long_run(rows * rest[:, None], np.asarray(at) - at[0], used)
    sigma = float(np.sqrt(rest @ rest / df))
    return SeriesFit(
        beta, len(y) / df * bread @ meat @ bread, df, 0.0, sigma, rest / sigma, math.nan,
        f"segmented regression, Newey-West with {used} lags",
    )  # fmt: skip


def _long_run(scores: np.ndarray, at: np.ndarray, lags: int) -> np.ndarray:
    """Return the sum of products of scores with Bartlett's weights."""
    # A period in a hole has a score of 0, so that lags are counted in time, not in rows.
    placed = np.zeros((int(at[-1]) + 1, scores.shape[1]))
    placed[at] = scores
    total = placed.T @ placed
    for lag in range(1, min(lags, len(placed) - 1) + 1):
        product = placed[lag:].T @ placed[:-lag]
        total += (1 - lag / (lags + 1)) * (product + product.T)
    return total
