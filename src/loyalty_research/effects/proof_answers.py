"""What the cases of the proof share: an answer from an effect, and what people compute by hand."""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

from loyalty_research.effects.effect import Effect
from loyalty_research.effects.proof import NOMINAL, Answer

SLOW = 400
"""Runs of a case that takes a tenth of a second or more: coverage is then known to 0.011."""


def symmetric(estimate: float, error: float, df: float = math.inf) -> Answer:
    """Return an estimate with its error and 95 % interval.

    Args:
        estimate: The estimate.
        error: Its standard error.
        df: Degrees of freedom of Student's t; infinite for the normal.

    Returns:
        The answer.

    Examples:
        >>> [round(value, 2) for value in symmetric(1.0, 0.5)]
        [1.0, 0.5, 0.02, 1.98]
    """
    law = norm if math.isinf(df) else student(df)
    half = float(law.ppf((1 + NOMINAL) / 2)) * error
    return estimate, error, estimate - half, estimate + half


def answer_of(
    effect: Effect, term: str | None = None, *, log: bool = False, level: str | None = None
) -> Answer:
    """Return the answer that a row of an effect gives.

    Args:
        effect: The effect.
        term: The row; the headline unless told.
        log: Whether the row is a ratio, which is judged on the log scale, as its error is.
        level: Of a subgroup, where the effect has them.

    Returns:
        The answer.

    Examples:
        >>> import pandas as pd
        >>> from loyalty_research.effects import rate_ratio
        >>> data = pd.DataFrame({"arm": [0, 0, 1, 1], "visits": [2, 4, 3, 9]})
        >>> effect = rate_ratio(data, arm="arm", outcome="visits", randomised=True)
        >>> round(answer_of(effect, "rate ratio", log=True)[0], 4)  # log 2
        0.6931
    """
    rows = effect.estimates
    if term is not None:
        rows = rows[rows["term"] == term]
    if level is not None:
        rows = rows[rows["level"] == level]
    row = rows.iloc[0]
    estimate, error, low, high = (
        float(row[name]) for name in ("estimate", "std_error", "conf_low", "conf_high")
    )
    if log:
        estimate, low, high = (math.log(value) for value in (estimate, low, high))
    return estimate, error, low, high


def least_squares(
    x: np.ndarray,
    y: np.ndarray,
    *,
    cluster: np.ndarray | None = None,
    weight: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return least-squares coefficients with the errors that people use: classical, or CR1.

    Args:
        x: One row a row of data, a column a coefficient.
        y: The outcome.
        cluster: Codes from 0, or None for classical errors; a code a row gives HC1.
        weight: Above 0, taken as known.

    Returns:
        Coefficients and their covariance.

    Examples:
        >>> x = np.column_stack([np.ones(4), [0, 0, 1, 1]])
        >>> beta, covariance = least_squares(x, np.array([1.0, 2.0, 4.0, 5.0]))
        >>> float(beta[1].round(6)), float(covariance[1, 1].round(6))
        (3.0, 0.5)
    """
    w = np.ones(len(y)) if weight is None else weight
    bread = np.linalg.inv(x.T @ (w[:, None] * x))
    beta = bread @ (x.T @ (w * y))
    residual = y - x @ beta
    n, p = x.shape
    if cluster is None:
        return beta, bread * float((w * residual) @ residual) / (n - p)
    scores = np.zeros((int(cluster.max()) + 1, p))
    np.add.at(scores, cluster, x * (w * residual)[:, None])
    groups = len(scores)
    factor = groups / (groups - 1) * (n - 1) / (n - p)
    return beta, factor * bread @ scores.T @ scores @ bread


def coefficient(
    found: tuple[np.ndarray, np.ndarray], place: int = 1, *, df: float = math.inf
) -> Answer:
    """Return the answer of one coefficient.

    Args:
        found: Coefficients and covariance.
        place: Which of them.
        df: Degrees of freedom.

    Returns:
        The answer.

    Examples:
        >>> found = (np.array([1.0, 3.0]), np.diag([1.0, 4.0]))
        >>> [round(value, 2) for value in coefficient(found)]
        [3.0, 2.0, -0.92, 6.92]
    """
    beta, covariance = found
    return symmetric(float(beta[place]), math.sqrt(covariance[place, place]), df)


def arm_columns(arm: np.ndarray, *more: np.ndarray) -> np.ndarray:
    """Return a constant, the arm and what stands beside it as columns.

    Args:
        arm: 0 or 1.
        *more: Other columns.

    Returns:
        One row a row.

    Examples:
        >>> arm_columns(np.array([0, 1])).tolist()
        [[1.0, 0.0], [1.0, 1.0]]
    """
    return np.column_stack([np.ones(len(arm)), arm, *more]).astype(float)
