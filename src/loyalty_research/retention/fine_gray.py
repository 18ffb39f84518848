"""How covariates change the share of patients who ever have an event that others can forestall."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from loyalty_research.data.arguments import check_choice, check_share, suggest
from loyalty_research.errors import UsageError
from loyalty_research.retention.cox import estimates_table
from loyalty_research.retention.cox_likelihood import climb
from loyalty_research.retention.design_matrix import (
    Design,
    build_design,
    needed_columns,
    refuse_runaway,
)
from loyalty_research.retention.fine_gray_likelihood import Likelihood, open_sample
from loyalty_research.retention.group_tests import refuse_entry
from loyalty_research.retention.rows import Rows, open_rows

TIES = ("efron", "breslow")
SCALE = "log subdistribution hazard ratio"
LEAST_INFORMATION = 1e-6
"""Less about a covariate with standard deviation 1 is a standard error above 1,000: no maximum."""


@dataclass(frozen=True)
class FineGrayModel:
    """A fitted model of Fine and Gray.

    Attributes:
        estimates: One row a term: log subdistribution hazard ratio, error, interval, p value.
        cause: The cause of interest.
        levels: For each text its levels, the first of which is the reference.
        variance: Of the coefficients, robust.
        ties: How ties are handled.
        design: How covariates are coded.
        rows: The rows as they came.
        likelihood: The rows as the likelihood takes them: covariates less `centre`, by `spread`.
        order: Which row each of the likelihood's columns was.
        coefficients: At the maximum, for covariates less `centre`, by `spread`.
        centre: Mean of each covariate.
        spread: Standard deviation of each.
    """

    estimates: pd.DataFrame
    cause: str
    levels: dict[str, list[Any]]
    variance: np.ndarray = field(repr=False)
    ties: str
    design: Design = field(repr=False)
    rows: Rows = field(repr=False)
    likelihood: Likelihood = field(repr=False)
    order: np.ndarray = field(repr=False)
    coefficients: np.ndarray = field(repr=False)
    centre: np.ndarray = field(repr=False)
    spread: np.ndarray = field(repr=False)


def fine_gray(
    data: Any,
    *,
    cause: str,
    covariates: Sequence[str] | str,
    time: str = "time",
    event: str = "event",
    weight: str | None = None,
    freq: str | None = None,
    cluster: str | None = None,
    censoring_groups: str | Sequence[str] | None = None,
    ties: str = "efron",
    conf_level: float = 0.95,
    entry: None = None,
) -> pd.DataFrame:
    """Return log subdistribution hazard ratios: who is more likely ever to have the event.

    A ratio above 1 means a higher cumulative incidence of the cause, whether because its rate is
    higher or because fewer are taken by the others; for the rate itself see
    `cause_specific_regression`.

    Estimates and robust standard errors, summed by patient or cluster, are those of R's `finegray`
    with `coxph`. They take the censoring curve as known. `cmprsk::crr`, which adds what its
    estimation contributes, breaks ties by Breslow's rule and counts those with an event today as
    able to be censored today, gives numbers that differ in the second or third digit.

    There is no delayed entry: it would need the curve of entry as well.

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        cause: The cause of interest, as `event` names it.
        covariates: Names of columns, or a formula such as `"age + C(sex)"`. A text's first level is
            the reference.
        time: Column with the time of event or censoring: whole units, not negative.
        event: Column with the cause as text; missing or "censored" is censored. `derive_causes`
            writes it as "cause".
        weight: Column of case weights above 0. The censoring curve counts patients, as in R.
        freq: Column of whole numbers from 1: how many patients the row stands for.
        cluster: Column with units within which patients are alike.
        censoring_groups: Column or columns that name groups, each censored in its own way.
        ties: `"efron"` or `"breslow"`.
        conf_level: Coverage of the interval.
        entry: Not offered: refused, with what is to be done instead.

    Returns:
        One row a covariate: `term`, `estimate`, `std_error`, `conf_low`, `conf_high`,
        `conf_level`, `p_value`, `n`, `n_events`, `scale`, `method`.

    Raises:
        UsageError: Unknown `ties`, no covariate, a cause that does not occur.
        DataError: As `open_rows`; covariates that are constant, determined by others, or that
            separate those with the event from the others.

    Examples:
        >>> data = pd.DataFrame({
        ...     "time": [1, 2, 3, 4, 5, 6],
        ...     "event": ["lapsed", "died", "lapsed", "lapsed", None, "died"],
        ...     "member": [0, 1, 1, 0, 1, 0],
        ... })
        >>> fine_gray(data, cause="lapsed", covariates="member")["estimate"].round(3).tolist()
        [-0.834]
    """
    refuse_entry(entry)
    settings: dict[str, Any] = {
        "time": time, "event": event, "weight": weight, "freq": freq, "cluster": cluster,
        "censoring_groups": censoring_groups, "ties": ties, "conf_level": conf_level,
    }  # fmt: skip
    return fit_fine_gray(data, cause=cause, covariates=covariates, **settings).estimates


def fit_fine_gray(
    data: Any,
    *,
    cause: str,
    covariates: Sequence[str] | str,
    time: str = "time",
    event: str = "event",
    weight: str | None = None,
    freq: str | None = None,
    cluster: str | None = None,
    censoring_groups: str | Sequence[str] | None = None,
    ties: str = "efron",
    conf_level: float = 0.95,
    entry: None = None,
) -> FineGrayModel:
    """Return a fitted model of Fine and Gray, from which cumulative incidences are predicted.

    Args:
        data: One row a patient. Any frame.
        cause: The cause of interest, as `event` names it.
        covariates: Names of columns, or a formula such as `"age + C(sex)"`.
        time: Column with the time of event or censoring: whole units, not negative.
        event: Column with the cause as text; missing or "censored" is censored. `derive_causes`
            writes it as "cause".
        weight: Column of case weights above 0.
        freq: Column of whole numbers from 1: how many patients the row stands for.
        cluster: Column with units within which patients are alike.
        censoring_groups: Column or columns that name groups, each censored in its own way.
        ties: `"efron"` or `"breslow"`.
        conf_level: Coverage of the interval.
        entry: Not offered: refused, with what is to be done instead.

    Returns:
        The model; its `estimates` are what `fine_gray` returns.

    Raises:
        UsageError: As for `fine_gray`.
        DataError: As for `fine_gray`.

    Examples:
        >>> data = pd.DataFrame({
        ...     "time": [1, 2, 3, 4, 5, 6],
        ...     "event": ["lapsed", "died", "lapsed", "lapsed", None, "died"],
        ...     "member": [0, 1, 1, 0, 1, 0],
        ... })
        >>> model = fit_fine_gray(data, cause="lapsed", covariates="member")
        >>> model.cause, model.estimates["estimate"].round(3).tolist()
        ('lapsed', [-0.834])
    """
    refuse_entry(entry)
    check_choice(ties, TIES, name="ties")
    level = check_share(conf_level, name="conf_level")
    rows = open_rows(
        data, time=time, event=event, causes=True, strata=censoring_groups, weight=weight,
        freq=freq, cluster=cluster, more=needed_columns(covariates),
    )  # fmt: skip
    if cause not in rows.causes:
        near = suggest(cause, rows.causes) or "; name a cause that occurs"
        raise UsageError(f"cause={cause!r} does not occur in {event}{near}")
    number = rows.causes.index(cause) + 1
    design, x = build_design(rows.more, covariates)
    centre, spread = x.mean(axis=0), x.std(axis=0)
    sample, order = open_sample(rows, (x - centre) / spread, number)
    likelihood = Likelihood(sample, ties)
    coefficients = _maximise(likelihood, design.terms)
    scaled = _robust_variance(likelihood, coefficients, rows.cluster, order)
    variance = scaled / np.outer(spread, spread)
    of_cause = replace(rows, event=(rows.event == number).astype(np.int64))
    method = f"Fine-Gray, {ties.capitalize()} ties, robust error"
    estimates = estimates_table(
        design.terms, coefficients / spread, variance, of_cause, method, level, SCALE
    )
    return FineGrayModel(
        estimates, cause, design.levels, variance, ties, design, rows, likelihood, order,
        coefficients, centre, spread,
    )  # fmt: skip


def _maximise(likelihood: Likelihood, terms: Sequence[str]) -> np.ndarray:
    def value(beta: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            state = likelihood.at(beta)
            if not np.isfinite(state.value):
                return -np.inf, np.zeros(len(beta)), np.eye(len(beta))
            return state.value, state.gradient(), state.information()

    x = likelihood.sample.x
    fit = climb(value, len(x), np.ones(len(x)))
    information = likelihood.at(fit.coefficients).information()
    # Where a coefficient of a covariate with spread 1 runs away, nothing is left to hold it.
    refuse_runaway(terms, fit.running | (np.diag(information) < LEAST_INFORMATION))
    return fit.coefficients


def _robust_variance(
    likelihood: Likelihood, coefficients: np.ndarray, cluster: np.ndarray | None, order: np.ndarray
) -> np.ndarray:
    state = likelihood.at(coefficients)
    inverse = np.linalg.inv(state.information())
    groups = None if cluster is None else cluster[order]
    products = summed_products(state.residuals(), likelihood.sample.freq, groups)
    return inverse @ products @ inverse


def summed_products(parts: np.ndarray, freq: np.ndarray, cluster: np.ndarray | None) -> np.ndarray:
    """Return the products of contributions, summed over patients or clusters.

    Args:
        parts: What each column's patients contribute together, a row a quantity; overwritten.
        freq: How many patients each column stands for.
        cluster: Codes from 0, or None.

    Returns:
        A square matrix.

    Examples:
        >>> summed_products(np.array([[1.0, 4.0]]), np.array([1.0, 2.0]), None).round(9).tolist()
        [[9.0]]
        >>> summed_products(np.array([[1.0, 4.0]]), np.ones(2), np.array([0, 0])).tolist()
        [[25.0]]
    """
    if cluster is None:
        parts /= np.sqrt(freq)
    else:
        n = int(cluster.max()) + 1
        parts = np.stack([np.bincount(cluster, part, n) for part in parts])
    return parts @ parts.T
