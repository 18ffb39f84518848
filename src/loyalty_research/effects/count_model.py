"""Log-linear models of counts with errors that hold when the counts vary more than a model says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import digamma, polygamma

from loyalty_research.effects.linear import LinearFit, fit_linear, weighted_products

_STEPS = 100
_SETTLED = 1e-10
_LEAST_KNOWN = 1e6
"""Variance of a log rate ratio, for one SD, beyond which the coefficient runs away."""


@dataclass(frozen=True)
class CountFit:
    """Coefficients of a log-linear model with their robust variance.

    Attributes:
        beta: Coefficients on the log scale.
        covariance: Their HC1 or CR2 covariance.
        mean: The expected count of each row.
        dispersion: Pearson's statistic over its degrees of freedom.
        theta: Where the variance is m + m^2 / theta; infinite for a Poisson model.
        working: The weighted linear model that the last step solved.
        running: Coefficients that have no finite estimate.
    """

    beta: np.ndarray
    covariance: np.ndarray
    mean: np.ndarray
    dispersion: float
    theta: float
    working: LinearFit
    running: np.ndarray

    def contrast(self, weights: np.ndarray) -> tuple[float, float, float]:
        """Return a weighted sum of coefficients, its error and degrees of freedom.

        Args:
            weights: One a coefficient.

        Returns:
            Estimate, standard error, degrees of freedom: Satterthwaite's with clusters, else n
            less the coefficients.
        """
        error = float(np.sqrt(weights @ self.covariance @ weights))
        return float(weights @ self.beta), error, self.working.degrees_of_freedom(weights)


def fit_counts(
    x: np.ndarray,
    y: np.ndarray,
    *,
    offset: np.ndarray,
    cluster: np.ndarray | None = None,
    theta: float = np.inf,
) -> CountFit:
    """Return a Poisson model, or one whose variance is m + m^2 / theta.

    Without clusters the error is HC1, the sandwich with n / (n - k) (White, Econometrica 1982;50:1;
    MacKinnon and White, J Econometrics 1985;29:305). With clusters it is CR2 of the weighted linear
    model that the last step of the fit solves, the variance of the counts being the working one
    (McCaffrey and Bell, Stat Med 2006;25:4081).

    Args:
        x: One row a row of data, the first column 1, of full rank.
        y: Counts.
        offset: Log of the exposure.
        cluster: Codes from 0 without gaps, or None.
        theta: Size of the negative binomial; infinite for Poisson.

    Returns:
        The fit.

    Examples:
        >>> x = np.column_stack([np.ones(4), [0, 0, 1, 1]])
        >>> fit = fit_counts(x, np.array([1.0, 3, 4, 8]), offset=np.zeros(4))
        >>> np.exp(fit.beta).round(6).tolist()
        [2.0, 3.0]
    """
    beta, mean, running = _climb(x, y, offset, theta)
    weight = mean / (1 + mean / theta)
    residual = (y - mean) / mean
    working = fit_linear(x, x @ beta + residual, cluster=cluster, weight=weight)
    n, k = x.shape
    covariance = working.covariance
    if cluster is None:
        meat = weighted_products(x, (weight * residual) ** 2)
        covariance = working.bread @ meat @ working.bread * n / max(n - k, 1)
    dispersion = float((weight * residual**2).sum() / max(n - k, 1))
    return CountFit(beta, covariance, mean, dispersion, theta, working, running)


def fit_overdispersed(
    x: np.ndarray, y: np.ndarray, *, offset: np.ndarray, cluster: np.ndarray | None = None
) -> CountFit:
    """Return the negative binomial model, theta by maximum likelihood.

    Lawless, Can J Stat 1987;15:209: the coefficients given theta and theta given the means, in
    turn, until neither moves.

    Args:
        x: One row a row of data, the first column 1, of full rank.
        y: Counts that vary more than a Poisson model says.
        offset: Log of the exposure.
        cluster: Codes from 0 without gaps, or None.

    Returns:
        The fit; theta is infinite where the counts vary no more than a Poisson model says.
    """
    _, mean, _ = _climb(x, y, offset, np.inf)
    theta = _theta(y, mean, start=None)
    for _ in range(_STEPS):
        if np.isinf(theta):
            break
        _, mean, _ = _climb(x, y, offset, theta)
        before, theta = theta, _theta(y, mean, start=theta)
        if abs(theta - before) <= _SETTLED * before:
            break
    return fit_counts(x, y, offset=offset, cluster=cluster, theta=theta)


def _climb(
    x: np.ndarray, y: np.ndarray, offset: np.ndarray, theta: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return coefficients and means by scoring, halving steps that lower the likelihood."""
    beta = np.zeros(x.shape[1])
    beta[0] = np.log(y.sum()) - np.log(np.exp(offset).sum())
    mean = np.exp(x @ beta + offset)
    height, information = _height(y, mean, theta), np.eye(len(beta))
    for _ in range(_STEPS):
        weight = mean / (1 + mean / theta)
        information = weighted_products(x, weight)
        score = x.T @ ((y - mean) * weight / mean)
        # A coefficient that runs away leaves nothing to solve for in its direction.
        step = np.linalg.lstsq(information, score, rcond=1e-13)[0]
        for _ in range(30):
            tried = beta + step
            new_mean = np.exp(np.clip(x @ tried + offset, -300, 300))
            new_height = _height(y, new_mean, theta)
            if new_height >= height - 1e-12 * abs(height):
                break
            step = step / 2
        beta, mean, height = tried, new_mean, new_height
        if np.abs(step).max() <= _SETTLED * max(1.0, float(np.abs(beta).max())):
            break
    spread = np.where(x.max(axis=0) > x.min(axis=0), x.std(axis=0), 1.0)
    inverse = np.linalg.pinv(information / np.outer(spread, spread), hermitian=True)
    return beta, mean, np.diag(inverse) > _LEAST_KNOWN


def _height(y: np.ndarray, mean: np.ndarray, theta: float) -> float:
    """Return the log likelihood without the terms that no coefficient changes."""
    if np.isinf(theta):
        return float(y @ np.log(mean) - mean.sum())
    return float(y @ np.log(mean) - (y + theta) @ np.log(theta + mean))


def _theta(y: np.ndarray, mean: np.ndarray, *, start: float | None) -> float:
    """Return the likeliest theta given the means, by Newton's method on its log."""
    # The slope of the likelihood where 1 / theta is 0: if it falls there, that is the maximum.
    if ((y - mean) ** 2 - y).sum() <= 0:
        return float(np.inf)
    theta = start or len(y) / float((((y - mean) / mean) ** 2).sum())
    # Equal counts share their digamma.
    values, at = np.unique(y, return_inverse=True)
    for _ in range(_STEPS):
        gap = (digamma(theta + values) - digamma(theta))[at]
        ratio = (y - mean) / (theta + mean)
        slope = float((gap - np.log1p(mean / theta) - ratio).sum())
        bend = (polygamma(1, theta + values) - polygamma(1, theta))[at]
        curve = float((bend + mean / (theta * (theta + mean)) + ratio / (theta + mean)).sum())
        # On the log of theta the slope is theta times it, so that theta stays above 0.
        bent = theta * slope + theta**2 * curve
        move = -theta * slope / bent if bent < 0 else np.sign(slope)
        theta *= float(np.exp(np.clip(move, -2, 2)))
        if abs(move) <= _SETTLED:
            break
        if theta > 1e8:
            return float(np.inf)
    return theta
