"""Covariates as a matrix, with the refusal of those that no model can tell apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import norm

from loyalty_research.data.arguments import as_columns
from loyalty_research.data.frames import raise_faults
from loyalty_research.errors import Fault, UsageError

NO_MAXIMUM = Fault(
    "data",
    "",
    0,
    "the coefficients do not settle",
    "look for a covariate that is seen only with, or only without, the event",
)
"""What a fit says whose likelihood rises without end."""

LEAST_INFORMATION = 1e-6
"""Less about a covariate with standard deviation 1 is a standard error above 1,000: no maximum."""


def name_covariates(covariates: str | Sequence[str]) -> list[str]:
    """Return the names of covariates, at least one and none twice.

    Args:
        covariates: One column or several.

    Returns:
        The names.

    Raises:
        UsageError: None, or one twice.

    Examples:
        >>> name_covariates("age")
        ['age']
    """
    names = as_columns(covariates)
    if not names or len(set(names)) != len(names):
        raise UsageError("covariates must name at least one column, and none twice")
    return names


def covariate_matrix(table: pd.DataFrame) -> np.ndarray:
    """Return covariates as numbers, a column each.

    Args:
        table: The covariates, none missing: numbers, or true and false.

    Returns:
        The matrix.

    Raises:
        DataError: A covariate that is no number, infinite or constant, or the sum of others.

    Examples:
        >>> table = pd.DataFrame({"age": [5, 6, 8], "member": [True, False, True]})
        >>> covariate_matrix(table).tolist()
        [[5.0, 1.0], [6.0, 0.0], [8.0, 1.0]]
    """
    faults = []
    for name in table:
        if not pd.api.types.is_numeric_dtype(table[name]):
            message = f"{name} is {table[name].dtype}, not a number"
            repair = "code it as 0 and 1, one column for each level but the first"
            faults.append(Fault("data", str(name), 0, message, repair))
    raise_faults(faults)
    x = table.to_numpy(float)
    for name, column in zip(table, x.T, strict=True):
        odd = int(np.count_nonzero(~np.isfinite(column)))
        if odd:
            message = f"{name} is infinite in {odd:,} of {len(x):,} rows"
            faults.append(Fault("data", str(name), odd, message, "repair these rows"))
        elif column.min() == column.max():
            faults.append(Fault("data", str(name), 0, f"{name} is constant", "leave it out"))
    raise_faults(faults)
    raise_faults(_collinear(x, list(map(str, table))))
    return x


def _collinear(x: np.ndarray, names: Sequence[str]) -> list[Fault]:
    values, vectors = np.linalg.eigh(np.corrcoef(x.T).reshape(len(names), -1))
    if values[0] > 1e-10:
        return []
    involved = [name for name, part in zip(names, vectors[:, 0], strict=True) if abs(part) > 1e-4]
    message = f"{', '.join(involved)} determine one another"
    return [Fault("data", involved[0], 0, message, "leave one of them out")]


def estimates_table(
    terms: Sequence[str],
    estimate: np.ndarray,
    variance: np.ndarray,
    conf_level: float,
    **told: object,
) -> pd.DataFrame:
    """Return coefficients as a table of estimates.

    Args:
        terms: Names of the coefficients.
        estimate: Their values.
        variance: Their variance matrix.
        conf_level: Coverage of the interval, by the normal distribution.
        **told: `n`, `n_events`, `scale`, `method`.

    Returns:
        `term, estimate, std_error, conf_low, conf_high, conf_level, p_value` and what is told.

    Examples:
        >>> table = estimates_table(["age"], np.array([0.0]), np.eye(1), 0.95, n=3)
        >>> table["p_value"].tolist(), list(table)[-1]
        ([1.0], 'n')
    """
    std_error = np.sqrt(np.diag(variance))
    half = norm.ppf((1 + conf_level) / 2) * std_error
    return pd.DataFrame(
        {
            "term": list(terms),
            "estimate": estimate,
            "std_error": std_error,
            "conf_low": estimate - half,
            "conf_high": estimate + half,
            "conf_level": conf_level,
            "p_value": 2 * norm.sf(np.abs(estimate / std_error)),
            **told,
        }
    )
