"""How covariates change the number of events per time under observation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import chi2, norm

from loyalty_research.data.arguments import check_choice, check_share
from loyalty_research.data.frames import missing_columns, raise_faults
from loyalty_research.errors import DataError, Fault
from loyalty_research.retention.design_matrix import (
    Design,
    build_design,
    needed_columns,
    refuse_runaway,
)
from loyalty_research.retention.rows import group_codes, take_columns

FAMILIES = ("poisson", "negative binomial")
SCALE = "log rate ratio"
_LEAST_INFORMATION = 1e-6
_DROP = "drop or repair these rows"


def rate_regression(
    data: Any,
    *,
    events: str,
    exposure: str,
    covariates: Sequence[str] | str,
    family: str = "poisson",
    cluster: str | None = None,
    conf_level: float = 0.95,
) -> pd.DataFrame:
    """Return log rate ratios of counts, the time under observation taken into account.

    The log of the mean is the log of the exposure plus the covariates' sum (McCullagh and Nelder,
    Generalized Linear Models, 1989, chapter 6). With `"negative binomial"` the variance is
    m + m^2 / theta, theta by maximum likelihood (Lawless, Can J Stat 1987;15:209). Errors are
    robust in both, by row or by cluster, without small-sample factors: a Poisson model whose
    variance is wrong still has the right mean and the right error (White, Econometrica 1982;50:1).
    Fewer than some 40 clusters make it too small.

    Args:
        data: One row a patient (or patient and period). pandas, Polars, Arrow, DuckDB or Spark.
        events: Column with the number of events: whole, not negative.
        exposure: Column with the time under observation, above 0, in any unit.
        covariates: Names of columns, or a formula such as `"age + C(sex)"`. A text's first level is
            the reference.
        family: `"poisson"` or `"negative binomial"`.
        cluster: Column that names what is independent; `check_clusters` says whether these are
            enough.
        conf_level: Coverage of the intervals.

    Returns:
        One row a term, the log rate at covariates of 0 left out: `term`, `estimate`, `std_error`,
        `conf_low`, `conf_high`, `conf_level`, `p_value`, `n`, `n_events`, `scale`, `method`.

    Raises:
        UsageError: An unknown family, no covariates.
        DataError: Columns or values missing, counts that are no counts, exposures that are not
            above 0, no event; covariates that are constant, determined by others, or separate rows
            with events from those without; counts less spread than a negative binomial's.

    Examples:
        >>> data = pd.DataFrame({
        ...     "visits": [2, 4, 3, 9], "years": [1.0, 2.0, 1.0, 2.0], "member": [0, 0, 1, 1]
        ... })
        >>> table = rate_regression(data, events="visits", exposure="years", covariates=["member"])
        >>> round(float(np.exp(table["estimate"].item())), 6)  # (12 / 3) / (6 / 3)
        2.0
    """
    check_choice(family, FAMILIES, name="family")
    level = check_share(conf_level, name="conf_level")
    counts = _open(data, events, exposure, covariates, cluster)
    variance = 0.0 if family == "poisson" else _overdispersion(counts)
    estimate, covariance = _fit(counts, variance)
    words = "Poisson" if family == "poisson" else f"Negative binomial, theta {1 / variance:.4g}"
    return _table(counts, estimate, covariance, level, f"{words}, {counts.robust}")


def check_overdispersion(
    data: Any,
    *,
    events: str,
    exposure: str,
    covariates: Sequence[str] | str,
    threshold: float = 0.05,
) -> pd.DataFrame:
    """Return whether counts vary more than a Poisson model with the same mean allows.

    The statistic is Pearson's chi-square divided by its degrees of freedom, 1 under the model;
    the check passes where its p value is above the threshold. With expected counts below about 1
    the p value is rough (McCullagh and Nelder, Generalized Linear Models, 1989, section 4.5). A
    failure does not make `rate_regression` wrong, whose errors are robust; it says that errors
    which are not robust would be.

    Args:
        data: One row a patient.
        events: Column with the number of events.
        exposure: Column with the time under observation, above 0.
        covariates: Names of columns, or a formula.
        threshold: The p value below which the check fails.

    Returns:
        One row: `check`, `statistic`, `threshold` (the statistic at which the check begins to
        fail), `passed`, `gating` (never), `message`.

    Raises:
        UsageError, DataError: As for `rate_regression`.

    Examples:
        >>> data = pd.DataFrame({
        ...     "visits": [0, 12, 1, 9, 0], "years": [1.0] * 5, "age": [30, 40, 50, 60, 70]
        ... })
        >>> check = check_overdispersion(
        ...     data, events="visits", exposure="years", covariates=["age"]
        ... )
        >>> check["passed"].item()
        False
    """
    limit = check_share(threshold, name="threshold")
    counts = _open(data, events, exposure, covariates, None)
    df = len(counts.events) - counts.x.shape[1]
    if df < 1:
        message = "there are no more rows than coefficients"
        raise DataError([Fault("data", "", 0, message, "give more rows or fewer covariates")])
    mean = np.exp(counts.x @ _glm(counts, 0.0).params + counts.offset)
    ratio = float(((counts.events - mean) ** 2 / mean).sum()) / df
    most = float(chi2.isf(limit, df)) / df
    passed = ratio <= most
    told = "no more than a Poisson model allows" if passed else "more than a Poisson model allows"
    row = {
        "check": "overdispersion",
        "statistic": ratio,
        "threshold": most,
        "passed": passed,
        "gating": False,
        "message": f"The counts vary {told}" + ("" if passed else ": use robust errors"),
    }
    return pd.DataFrame([row])


# --- the door -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Counts:
    """Rows of counts, the covariates after a column of ones and scaled to a spread of 1."""

    events: np.ndarray
    offset: np.ndarray
    x: np.ndarray
    spread: np.ndarray
    design: Design
    cluster: np.ndarray | None
    robust: str


def _open(
    data: Any, events: str, exposure: str, covariates: Sequence[str] | str, cluster: str | None
) -> _Counts:
    own = [] if cluster is None else [cluster]
    columns = list(dict.fromkeys([events, exposure, *needed_columns(covariates), *own]))
    raise_faults(missing_columns(data, columns, table="data"))
    table = take_columns(data, columns)
    if len(table) == 0:
        fault = Fault("data", "", 0, "the table has no rows", "check the cohort's criteria")
        raise DataError([fault])
    raise_faults(_faults(table, events, exposure))
    design, numbers = build_design(table, covariates)
    groups = None if cluster is None else group_codes(table, [cluster])[0]
    if groups is not None and groups.max() < 1:
        message = f"{cluster} names one cluster only"
        raise DataError([Fault("data", str(cluster), 0, message, "leave cluster= out")])
    spread = numbers.std(axis=0)
    scaled = (numbers - numbers.mean(axis=0)) / spread
    # The exposure in units of its mean: what is left out is in the constant.
    offset = np.log(table[exposure].to_numpy(float))
    x = np.column_stack([np.ones(len(table)), scaled])
    count = table[events].to_numpy(float)
    robust = "robust error" if cluster is None else f"robust error by {cluster}"
    return _Counts(count, offset - offset.mean(), x, spread, design, groups, robust)


def _faults(table: pd.DataFrame, events: str, exposure: str) -> list[Fault]:
    faults, n = [], len(table)
    for name in table:
        missing = int(table[name].isna().sum())
        if missing:
            words = f"{name} is missing in {missing:,} of {n:,} rows"
            faults.append(Fault("data", str(name), missing, words, _DROP))
    for name, what, repair in (
        (events, "a count", "count the events of each row, 0 for none"),
        (exposure, "a length of time", "give the time under observation in one unit"),
    ):
        values = table[name]
        if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
            faults.append(Fault("data", name, 0, f"{name} is {values.dtype}, not {what}", repair))
            continue
        numbers = values.to_numpy(float, na_value=1.0)
        numbers = np.where(np.isnan(numbers), 1.0, numbers)
        if name == events:
            broken, words = (numbers < 0) | (numbers != np.floor(numbers)), "is not a whole number"
            repair = "give numbers of events, not rates or amounts"
        else:
            broken, words = ~((numbers > 0) & np.isfinite(numbers)), "is not above 0"
            repair = "leave out rows without time under observation"
        count = int(np.count_nonzero(broken))
        if count:
            message = f"{name} {words} in {count:,} of {n:,} rows"
            faults.append(Fault("data", name, count, message, repair))
        elif name == events and not numbers.any():
            message = f"{name} is 0 in every row, so that there is nothing to compare"
            faults.append(Fault("data", name, n, message, "choose an event that occurs"))
    return faults


# --- the fit --------------------------------------------------------------------------------------


def _glm(counts: _Counts, variance: float) -> Any:
    # Imported where it is needed: it takes longer than the rest of the package.
    import statsmodels.api as sm

    family = sm.families.Poisson()
    if variance > 0:
        family = sm.families.NegativeBinomial(alpha=variance)
    model = sm.GLM(counts.events, counts.x, family=family, offset=counts.offset)
    return model.fit(maxiter=100, tol=1e-13)


def _fit(counts: _Counts, variance: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the coefficients and their sandwich variance, the constant first.

    With m the mean and v = m + a m^2 the variance, the score of a row is x (y - m) m / v and the
    expected information x x' m^2 / v.
    """
    estimate = _glm(counts, variance).params
    mean = np.exp(counts.x @ estimate + counts.offset)
    shrink = 1 / (1 + variance * mean)
    information = (counts.x * (mean * shrink)[:, None]).T @ counts.x
    running = np.diag(np.linalg.pinv(information))[1:] > 1 / _LEAST_INFORMATION
    refuse_runaway(counts.design.terms, running)
    score = counts.x * ((counts.events - mean) * shrink)[:, None]
    if counts.cluster is not None:
        n = int(counts.cluster.max()) + 1
        score = np.stack([np.bincount(counts.cluster, part, n) for part in score.T], axis=1)
    inverse = np.linalg.inv(information)
    return estimate, inverse @ (score.T @ score) @ inverse


def _overdispersion(counts: _Counts) -> float:
    """Return 1 / theta, by maximum likelihood together with the coefficients."""
    from statsmodels.discrete.discrete_model import NegativeBinomial

    start = _glm(counts, 0.0).params
    mean = np.exp(counts.x @ start + counts.offset)
    # The slope of the likelihood where 1 / theta is 0: if it falls there, that is the maximum.
    if ((counts.events - mean) ** 2 - counts.events).sum() <= 0:
        message = "the counts vary no more than a Poisson model allows, so that theta is infinite"
        raise DataError([Fault("data", "", 0, message, "use family='poisson'")])
    model = NegativeBinomial(counts.events, counts.x, offset=counts.offset)
    first = np.append(start, 0.5)
    fit = model.fit(start_params=first, method="bfgs", maxiter=500, disp=False, gtol=1e-8)
    fit = model.fit(start_params=fit.params, method="newton", maxiter=100, disp=False, tol=1e-12)
    if not fit.mle_retvals["converged"]:
        raise DataError([Fault("data", "", 0, "theta does not settle", "use family='poisson'")])
    return float(fit.params[-1])


def _table(
    counts: _Counts, estimate: np.ndarray, covariance: np.ndarray, level: float, method: str
) -> pd.DataFrame:
    value = estimate[1:] / counts.spread
    error = np.sqrt(np.diag(covariance))[1:] / counts.spread
    half = norm.ppf((1 + level) / 2) * error
    return pd.DataFrame(
        {
            "term": counts.design.terms,
            "estimate": value,
            "std_error": error,
            "conf_low": value - half,
            "conf_high": value + half,
            "conf_level": level,
            "p_value": 2 * norm.sf(np.abs(value) / error),
            "n": len(counts.events),
            "n_events": int(counts.events.sum()),
            "scale": SCALE,
            "method": method,
        }
    )
