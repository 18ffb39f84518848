"""The factor that makes intervals hold for all rows at once.

It is the quantile of the largest of several standardised deviations (Montiel Olea and
Plagborg-Moller, J Applied Econometrics 2019;34:1), drawn by flipping the signs of the clusters'
influences (multiplier bootstrap) or from a normal law with a known covariance.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import norm

_CHUNK = 20_000_000
"""Numbers drawn at a time."""


def multiplier_factor(
    influence: np.ndarray, *, conf_level: float, n_draws: int, seed: int
) -> float:
    """Return the factor of simultaneous intervals by the multiplier bootstrap.

    Args:
        influence: A row a cluster, a column an estimate; the sum of squares is proportional to
            the variance.
        conf_level: Coverage of all intervals at once.
        n_draws: Draws of the signs.
        seed: Of the draws.

    Returns:
        What the standard errors are multiplied with; never below that of one interval. NaN where
        no estimate has a standard error.

    Examples:
        >>> one = np.array([[1.0], [-2.0], [0.5], [1.5], [-1.0]])
        >>> 1.9 < multiplier_factor(one, conf_level=0.95, n_draws=500, seed=1) < 2.3
        True
    """
    error = np.sqrt((influence**2).sum(axis=0))
    # A quantile of draws is good to three digits; single precision keeps seven.
    scaled = (influence[:, error > 0] / error[error > 0]).astype(np.float32)
    if scaled.shape[1] == 0:
        return math.nan
    rng = np.random.default_rng(seed)
    size = max(1, _CHUNK // len(scaled))
    largest = []
    for start in range(0, n_draws, size):
        shape = (min(size, n_draws - start), len(scaled))
        signs = rng.integers(0, 2, shape, dtype=np.int8) * np.float32(2) - np.float32(1)
        largest.append(np.abs(signs @ scaled).max(axis=1))
    factor = float(np.quantile(np.concatenate(largest), conf_level))
    return max(factor, float(norm.ppf((1 + conf_level) / 2)))


def normal_factor(
    covariance: np.ndarray, *, df: float, conf_level: float, n_draws: int, seed: int
) -> float:
    """Return the factor of simultaneous intervals from a covariance with few degrees of freedom.

    Args:
        covariance: Of the estimates, each with a variance above 0.
        df: Degrees of freedom of the variances; infinite for the normal.
        conf_level: Coverage of all intervals at once.
        n_draws: Draws from the law.
        seed: Of the draws.

    Returns:
        What the standard errors are multiplied with.

    Examples:
        >>> both = np.array([[1.0, 0.0], [0.0, 1.0]])  # the exact value is 2.236
        >>> found = normal_factor(both, df=np.inf, conf_level=0.95, n_draws=20000, seed=1)
        >>> 2.20 < found < 2.27
        True
    """
    error = np.sqrt(np.diag(covariance))
    values, vectors = np.linalg.eigh(covariance / np.outer(error, error))
    root = vectors * np.sqrt(np.clip(values, 0, None))
    rng = np.random.default_rng(seed)
    drawn = np.abs(rng.standard_normal((n_draws, len(root))) @ root.T).max(axis=1)
    if math.isfinite(df):
        drawn = drawn / np.sqrt(rng.chisquare(df, n_draws) / df)
    return float(np.quantile(drawn, conf_level))
