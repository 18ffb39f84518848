"""Maximum likelihood by Newton's method, which either arrives or says that it did not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from loyalty_research.errors import DataError, Fault
from loyalty_research.retention.families import Terms

Objective = Callable[[np.ndarray], tuple[float, np.ndarray, np.ndarray]]
"""Coefficients to log likelihood, gradient and Hessian."""

_MOST_STEPS = 200
_CLOSE = 1e-9
_SINGULAR = 1e-11
_FLAT = 1e-9

_REPAIR = (
    "look for a covariate level without events, for covariates that add up to one another, or for "
    "too few events; fit a simpler model"
)


def refuse(message: str, repair: str = _REPAIR) -> DataError:
    """Return the error of data that do not carry a model.

    Args:
        message: What went wrong.
        repair: What to do.

    Returns:
        The error, to be raised.

    Examples:
        >>> print(refuse("there is no event", "follow the patients for longer"))
        1 fault in the data:
          data: there is no event; follow the patients for longer
    """
    return DataError([Fault("data", "", 0, message, repair)])


# --- the maximum ----------------------------------------------------------------------------------


def maximise(objective: Objective, start: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """Return where a log likelihood is largest, its value there, and the inverse information.

    Newton's method; where the Hessian is not negative its eigenvalues are mirrored, and a step
    that does not climb is halved (Nocedal and Wright, Numerical Optimization, 2nd edition 2006,
    section 3.4). Columns should be of similar size.

    Args:
        objective: Coefficients to log likelihood, gradient and Hessian; what is not finite counts
            as far below.
        start: First coefficients, where the log likelihood is finite.

    Returns:
        Coefficients, log likelihood, covariance of the coefficients.

    Raises:
        DataError: It does not converge, or is flat in some direction.

    Examples:
        >>> def hill(at):
        ...     return -float(at @ at), -2 * at, -2 * np.eye(1)
        >>> maximise(hill, np.array([3.0]))[0].tolist()
        [0.0]
    """
    # A trial step may leave the numbers that a float can hold; it is then halved.
    with np.errstate(all="ignore"):
        at = np.asarray(start, float)
        value, gradient, hessian = objective(at)
        for _ in range(_MOST_STEPS):
            step = _uphill(gradient, hessian)
            if step is None:
                break
            gain = float(gradient @ step)
            if gain < _CLOSE:
                # Newton doubles the digits: one more step leaves only those of rounding.
                return _arrived(objective, at + step)
            found = _climb(objective, at, step, value)
            if found is None:
                break
            at, value, gradient, hessian = found
    raise refuse("the likelihood has no maximum that could be found")


def _uphill(gradient: np.ndarray, hessian: np.ndarray) -> np.ndarray | None:
    if not (np.isfinite(gradient).all() and np.isfinite(hessian).all()):
        return None
    sizes, directions = np.linalg.eigh(-hessian)
    sizes = np.maximum(np.abs(sizes), _SINGULAR * max(np.abs(sizes).max(), 1e-300))
    return directions @ ((directions.T @ gradient) / sizes)


def _climb(
    objective: Objective, at: np.ndarray, step: np.ndarray, value: float
) -> tuple[np.ndarray, float, np.ndarray, np.ndarray] | None:
    # A step of more than 5 in a standardised column is a leap in the dark.
    share = min(1.0, 5.0 / float(np.abs(step).max()))
    for _ in range(60):
        trial = at + share * step
        found = objective(trial)
        if np.isfinite(found[0]) and found[0] >= value - 1e-12 * abs(value):
            return trial, *found
        share /= 2
    return None


def _arrived(objective: Objective, at: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    value, _, hessian = objective(at)
    if not (np.isfinite(value) and np.isfinite(hessian).all()):
        raise refuse("the likelihood has no maximum that could be found")
    sizes = np.linalg.eigvalsh(-hessian)
    if sizes[0] < _FLAT * sizes[-1] or sizes[-1] <= 0:
        raise refuse("the likelihood does not determine the coefficients")
    return at, value, np.linalg.inv(-hessian)


# --- rows to coefficients -------------------------------------------------------------------------


def sum_terms(
    terms: Terms, designs: Sequence[np.ndarray], weight: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the log likelihood with its derivatives in the coefficients.

    Args:
        terms: Contributions of the rows in their predictors.
        designs: For each predictor the columns that its coefficients multiply.
        weight: How much each row counts.

    Returns:
        Value, gradient, Hessian.

    Examples:
        >>> terms = Terms(np.array([-1.0]), np.array([[2.0]]), np.array([[[-1.0]]]))
        >>> value, gradient, hessian = sum_terms(terms, [np.array([[3.0]])], np.ones(1))
        >>> value, gradient.tolist(), hessian.tolist()
        (-1.0, [6.0], [[-9.0]])
    """
    parts = range(len(designs))
    gradient = [designs[a].T @ (weight * terms.gradient[a]) for a in parts]
    hessian = [
        [designs[a].T @ (designs[b] * (weight * terms.hessian[a, b])[:, None]) for b in parts]
        for a in parts
    ]
    return float(weight @ terms.value), np.concatenate(gradient), np.block(hessian)


def sandwich(scores: np.ndarray, covariance: np.ndarray, cluster: np.ndarray | None) -> np.ndarray:
    """Return the robust covariance of coefficients.

    Huber, Proceedings of the Fifth Berkeley Symposium 1967;1:221, without a correction for small
    samples: the squares of R's weighted dfbeta residuals. (`survreg(robust = TRUE)` 3.5-3 itself
    leaves the weights out of them.)

    Args:
        scores: Weighted gradient of each row: rows by coefficients.
        covariance: Inverse information.
        cluster: Codes from 0 of rows that belong together, or None.

    Returns:
        The covariance.

    Examples:
        >>> sandwich(np.array([[1.0], [1.0]]), np.array([[0.5]]), np.array([0, 0])).tolist()
        [[1.0]]
    """
    if cluster is not None:
        sums = np.zeros((int(cluster.max()) + 1, scores.shape[1]))
        for column in range(scores.shape[1]):
            sums[:, column] = np.bincount(cluster, scores[:, column], len(sums))
        scores = sums
    influence = scores @ covariance
    return influence.T @ influence


# --- covariates -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Covariates:
    """How columns of a frame become columns of numbers.

    Attributes:
        columns: Names in the frame.
        levels: For each column that names a category its levels, the reference first.
    """

    columns: tuple[str, ...]
    levels: dict[str, tuple[Any, ...]]

    @property
    def terms(self) -> list[str]:
        """Names of the columns of numbers: `age`, `sex[m]`."""
        names = []
        for column in self.columns:
            others = self.levels.get(column)
            names += [column] if others is None else [f"{column}[{x}]" for x in others[1:]]
        return names

    def matrix(self, table: pd.DataFrame) -> np.ndarray:
        """Return the columns of numbers for the rows of a table."""
        parts = []
        for column in self.columns:
            others = self.levels.get(column)
            if others is None:
                parts.append(table[column].to_numpy(float))
            else:
                values = table[column].astype(object).to_numpy()
                parts += [(values == level).astype(float) for level in others[1:]]
        return np.column_stack(parts) if parts else np.zeros((len(table), 0))


def read_covariates(table: pd.DataFrame) -> Covariates:
    """Return how the columns of a table become numbers; text and categories become indicators.

    Args:
        table: Covariates without missing values.

    Returns:
        The coding; the first level (of a category's order, else of the alphabet) is the reference.

    Examples:
        >>> coding = read_covariates(pd.DataFrame({"age": [60, 61], "sex": ["m", "f"]}))
        >>> coding.terms
        ['age', 'sex[m]']
    """
    levels: dict[str, tuple[Any, ...]] = {}
    for column in table:
        values = table[column]
        if isinstance(values.dtype, pd.CategoricalDtype):
            seen = set(values.unique())
            levels[str(column)] = tuple(x for x in values.cat.categories if x in seen)
        elif not pd.api.types.is_numeric_dtype(values):
            levels[str(column)] = tuple(sorted(values.unique()))
    return Covariates(tuple(map(str, table)), levels)


def covariate_faults(table: pd.DataFrame, coding: Covariates) -> list[Fault]:
    """Return the faults for which no coefficients exist: constant and redundant columns.

    Args:
        table: Covariates without missing values.
        coding: What `read_covariates` returned.

    Returns:
        One fault a covariate.

    Examples:
        >>> table = pd.DataFrame({"age": [60, 60]})
        >>> print(covariate_faults(table, read_covariates(table))[0])
        data: age is the same in all rows; leave it out
    """
    faults = [
        Fault("data", column, len(table), f"{column} is the same in all rows", "leave it out")
        for column in coding.columns
        if table[column].nunique() < 2
    ]
    infinite = [
        Fault("data", column, 0, f"{column} holds infinite values", "correct them")
        for column in coding.columns
        if column not in coding.levels and not np.isfinite(table[column].to_numpy(float)).all()
    ]
    if faults or infinite or not coding.columns:
        return [*faults, *infinite]
    matrix = coding.matrix(table)
    scaled = (matrix - matrix.mean(axis=0)) / matrix.std(axis=0)
    # The eigenvalues of a correlation matrix add up to the number of its columns.
    smallest = np.linalg.eigvalsh(scaled.T @ scaled / len(scaled))[0]
    if smallest > 1e-10:
        return []
    message = f"{', '.join(coding.columns)} add up to one another"
    return [Fault("data", "", 0, message, "leave one of them out")]


def standardise(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return columns of mean 0 and standard deviation 1 after a column of ones, and the way back.

    Args:
        matrix: Columns, none constant.

    Returns:
        The columns; the matrix that turns their coefficients into those of a column of ones and
        the columns given.

    Examples:
        >>> columns, back = standardise(np.array([[1.0], [3.0]]))
        >>> columns.tolist(), (back @ [5.0, 2.0]).tolist()
        ([[1.0, -1.0], [1.0, 1.0]], [1.0, 2.0])
    """
    mean, spread = matrix.mean(axis=0), matrix.std(axis=0)
    columns = np.column_stack([np.ones(len(matrix)), (matrix - mean) / spread])
    back = np.diag(np.append(1.0, 1 / spread))
    back[0, 1:] = -mean / spread
    return columns, back


# --- the table ------------------------------------------------------------------------------------


def estimates_table(
    terms: Sequence[str],
    scales: Sequence[str],
    estimate: np.ndarray,
    covariance: np.ndarray,
    *,
    tested: Sequence[bool],
    conf_level: float,
    n: int,
    n_events: int,
    method: str,
) -> pd.DataFrame:
    """Return the table of coefficients with Wald's intervals and tests.

    Args:
        terms: Name of each coefficient.
        scales: Scale of each coefficient.
        estimate: Coefficients.
        covariance: Their covariance.
        tested: Whether the hypothesis that a coefficient is 0 means anything.
        conf_level: Coverage of the intervals.
        n: Patients.
        n_events: Events.
        method: How it was estimated.

    Returns:
        The fixed columns of estimates.

    Examples:
        >>> table = estimates_table(
        ...     ["age"], ["log time ratio"], np.array([1.0]), np.eye(1), tested=[True],
        ...     conf_level=0.95, n=9, n_events=5, method="Weibull",
        ... )
        >>> table["p_value"].round(4).item()
        0.3173
    """
    error = np.sqrt(np.diag(covariance))
    half = norm.ppf((1 + conf_level) / 2) * error
    # A robust error of 0, where clusters cancel, has no p value.
    z = np.divide(estimate, error, out=np.full(len(error), np.nan), where=error > 0)
    p_value = np.where(tested, 2 * norm.sf(np.abs(z)), np.nan)
    return pd.DataFrame(
        {
            "term": list(terms),
            "estimate": estimate,
            "std_error": error,
            "conf_low": estimate - half,
            "conf_high": estimate + half,
            "conf_level": conf_level,
            "p_value": p_value,
            "n": n,
            "n_events": n_events,
            "scale": list(scales),
            "method": method,
        }
    )
