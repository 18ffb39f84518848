"""Logistic regression without a penalty, climbed to its maximum or refused where there is none.

A penalty moves propensities towards one half, and with them every weight; on the LaLonde data it
turns an effect of 1,782 dollars into one of -6,996.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from loyalty_research.errors import Fault
from loyalty_research.retention.design_matrix import SeparationError

_MOST_STEPS = 40
_STILL = 1e-8
"""Largest step, per standard deviation of a column, that counts as none: the error left after a
step of Newton's is of the order of its square."""
_RUNNING = 0.01
"""Share of the largest step from which a coefficient that has not settled is named."""


@dataclass(frozen=True)
class LogitFit:
    """Coefficients at the maximum of the likelihood.

    Attributes:
        beta: Coefficients, one a column.
        fitted: Fitted probability of each row.
        bread: Inverse of the information, one row and column a coefficient.
    """

    beta: np.ndarray
    fitted: np.ndarray
    bread: np.ndarray


def fit_logit(
    x: np.ndarray,
    y: np.ndarray,
    *,
    terms: Sequence[str],
    separates: str,
    repair: str,
    weight: np.ndarray | None = None,
    offset: np.ndarray | None = None,
) -> LogitFit:
    """Return the logistic regression of 0 and 1 (or shares between) on columns of numbers.

    Args:
        x: One row a row of data, a column a coefficient, the intercept among them; columns of
            similar spread, so that a step can be judged.
        y: From 0 to 1.
        terms: The name of each column; "" where it cannot be named, as the intercept.
        separates: Whom a column separates from whom, for the refusal.
        repair: What to do then, for the refusal.
        weight: Not negative, or None.
        offset: Added to the linear predictor, or None.

    Returns:
        The fit.

    Raises:
        SeparationError: The likelihood has no maximum: one fault for each column that runs away.

    Examples:
        >>> x = np.column_stack([np.ones(4), [0.0, 0.0, 1.0, 1.0]])
        >>> y = np.array([0, 1, 1, 1]) * [1.0, 1.0, 1.0, 0.5]
        >>> fit_logit(x, y, terms=["", "age"], separates="", repair="").fitted.round(6).tolist()
        [0.5, 0.5, 0.75, 0.75]
    """
    weight = np.ones(len(y)) if weight is None else weight
    offset = np.zeros(len(y)) if offset is None else offset
    beta = np.zeros(x.shape[1])
    step, height = np.full(len(beta), np.inf), -np.inf
    for _ in range(_MOST_STEPS):
        eta = offset + x @ beta
        now = _log_likelihood(eta, y, weight)
        # Newton's step may overshoot far from the maximum; half of it then climbs.
        if now < height - 1e-9 * abs(height) and np.isfinite(step).all():
            step = step / 2
            beta = beta - step
            continue
        height, fitted = now, expit(eta)
        information = _information(x, weight * fitted * (1 - fitted))
        try:
            bread = np.linalg.inv(information)
        except np.linalg.LinAlgError:
            break
        if np.abs(step).max() < _STILL:
            return LogitFit(beta, fitted, bread)
        step = bread @ (x.T @ (weight * (y - fitted)))
        if not np.isfinite(step).all():
            break
        beta = beta + step
    raise _separated(step, terms, separates, repair)


def _log_likelihood(eta: np.ndarray, y: np.ndarray, weight: np.ndarray) -> float:
    return float(weight @ (y * eta - np.logaddexp(0, eta)))


def _information(x: np.ndarray, variance: np.ndarray) -> np.ndarray:
    # A product of a matrix with itself costs half of one of two.
    scaled = x * np.sqrt(variance)[:, None]
    return scaled.T @ scaled


def _separated(
    step: np.ndarray, terms: Sequence[str], separates: str, repair: str
) -> SeparationError:
    size = np.where(np.isfinite(step), np.abs(step), np.inf)
    with np.errstate(invalid="ignore"):
        running = (size >= _RUNNING * size.max()) | ~np.isfinite(size)
    names = [name for name, runs in zip(terms, running, strict=True) if runs and name]
    named = names or [name for name in terms if name]
    return SeparationError(
        [
            Fault("data", name, 0, f"{name} separates {separates}, so that no estimate is finite",
                  repair)
            for name in named
        ]
    )  # fmt: skip
