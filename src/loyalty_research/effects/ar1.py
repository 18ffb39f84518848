"""A straight-line model whose errors remember the period before: AR(1) by restricted likelihood.

The model is y = X b + e with corr(e_s, e_t) = rho^|s - t| and var(e_t) = sigma^2 / w_t. For a given
rho the errors are whitened exactly, the first one included (Prais and Winsten, Cowles Commission
1954); across periods left out the memory fades by as many powers. Rho maximises the restricted
likelihood (Harville, JASA 1977;72:320), the coefficients then follow by least squares, as in
`gls(..., correlation = corAR1(), method = "REML")` of R's nlme (Pinheiro and Bates, Mixed-Effects
Models in S and S-PLUS, 2000, section 5.2).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

WIDEST = 0.999
"""How near to 1 rho may come; a series that gets there has no mean to return to."""

_EDGE = [0.97, 0.985, WIDEST]
_GRID = np.concatenate([np.negative(_EDGE[::-1]), np.linspace(-0.95, 0.95, 39), _EDGE])


@dataclass(frozen=True)
class SeriesFit:
    """Coefficients of a series with what their errors rest on.

    Attributes:
        beta: Coefficients.
        covariance: Their covariance.
        df: Degrees of freedom of Student's t: periods less coefficients.
        rho: Correlation of neighbouring errors; 0 where none is modelled.
        sigma: Standard deviation of an error of weight 1.
        innovations: What is left of each period once the period before is known, in units of
            `sigma`; white noise if the model holds.
        log_likelihood: The restricted log likelihood; not a number where errors have no model.
        method: In words.
    """

    beta: np.ndarray
    covariance: np.ndarray
    df: int
    rho: float
    sigma: float
    innovations: np.ndarray
    log_likelihood: float
    method: str

    def contrast(self, weights: np.ndarray) -> tuple[float, float]:
        """Return a weighted sum of coefficients with its standard error.

        Args:
            weights: One a coefficient.

        Returns:
            Estimate and standard error.

        Examples:
            >>> x, at = np.ones((4, 1)), np.arange(4)
            >>> fit = fit_ar1(x, np.array([1.0, 2.0, 3.0, 4.0]), at, rho=0.0)
            >>> [round(value, 4) for value in fit.contrast(np.array([1.0]))]  # sd 1.291 / sqrt(4)
            [2.5, 0.6455]
        """
        weights = np.asarray(weights, float)
        return float(weights @ self.beta), float(np.sqrt(weights @ self.covariance @ weights))


def fit_ar1(
    x: np.ndarray,
    y: np.ndarray,
    at: np.ndarray,
    *,
    weight: np.ndarray | None = None,
    rho: float | None = None,
) -> SeriesFit:
    """Return coefficients, their covariance and rho, all by restricted maximum likelihood.

    Args:
        x: One row a period, of full rank.
        y: The outcome of each period.
        at: Whole number of each period, rising; a jump by more than 1 is a hole.
        weight: Above 0, the inverse of each period's variance up to a factor; None for equal.
        rho: A known correlation; None to estimate it.

    Returns:
        The fit; its covariance takes rho as known.

    Examples:
        >>> y = np.array([1.0, 2.0, 1.0, 2.0, 3.0, 4.0, 3.0, 1.0])
        >>> fit = fit_ar1(np.ones((8, 1)), y, np.arange(8))
        >>> round(fit.rho, 2)
        0.62
    """
    root = np.ones(len(y)) if weight is None else np.sqrt(weight)
    rows, values, gaps = x * root[:, None], y * root, np.diff(at)
    known = _best_rho(rows, values, gaps) if rho is None else rho
    z, v, log_det = _whiten(rows, values, gaps, known)
    # The likelihood is of y itself: the weights scale it.
    log_det -= 2 * float(np.log(root).sum())
    r, beta, rest = _least_squares(z, v)
    df = len(y) - x.shape[1]
    sigma = float(np.sqrt(rest @ rest / df))
    inverse = np.linalg.inv(r)
    return SeriesFit(
        beta, sigma**2 * inverse @ inverse.T, df, known, sigma, rest / sigma,
        _restricted(r, rest, log_det), "segmented regression, AR(1) by REML",
    )  # fmt: skip


def _best_rho(rows: np.ndarray, values: np.ndarray, gaps: np.ndarray) -> float:
    """Return the likeliest rho: a grid first, as there may be two peaks."""

    def loss(rho: float) -> float:
        z, v, log_det = _whiten(rows, values, gaps, rho)
        r, _, rest = _least_squares(z, v)
        return -_restricted(r, rest, log_det)

    height = [loss(rho) for rho in _GRID]
    best = int(np.argmin(height))
    low, high = _GRID[max(best - 1, 0)], _GRID[min(best + 1, len(_GRID) - 1)]
    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-9})
    return float(found.x if found.fun < height[best] else _GRID[best])


def _whiten(
    rows: np.ndarray, values: np.ndarray, gaps: np.ndarray, rho: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return rows and values whose errors are independent, with the log determinant undone."""
    memory = np.sign(rho) ** gaps * np.abs(rho) ** gaps
    scale = np.sqrt(1 - memory**2)
    z, v = rows.astype(float), values.astype(float)
    z[1:] = (rows[1:] - memory[:, None] * rows[:-1]) / scale[:, None]
    v[1:] = (values[1:] - memory * values[:-1]) / scale
    return z, v, float(2 * np.log(scale).sum())


def _least_squares(z: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return R of the QR decomposition, the coefficients and the residuals."""
    q, r = np.linalg.qr(z)
    beta = np.linalg.solve(r, q.T @ v)
    return r, beta, v - z @ beta


def _restricted(r: np.ndarray, rest: np.ndarray, log_det: float) -> float:
    """Return the restricted log likelihood with sigma at its best value."""
    df = len(rest) - len(r)
    variance = rest @ rest / df
    log_information = 2 * np.log(np.abs(np.diag(r))).sum()
    return float(-0.5 * (df * (np.log(2 * np.pi * variance) + 1) + log_det + log_information))
