"""Who leaves sooner: Cox's regression, with the variance that the data call for."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import chi2

from loyalty_research.data.arguments import as_columns, check_choice, check_share, suggest
from loyalty_research.data.frames import raise_faults
from loyalty_research.errors import DataError, Fault, UsageError
from loyalty_research.retention.cox_likelihood import (
    Fit,
    Likelihood,
    linear_predictor,
    maximise,
    prepare,
    robust_variance,
    steps_at,
)
from loyalty_research.retention.design_matrix import (
    Design,
    build_design,
    needed_columns,
    refuse_runaway,
    refuse_unidentified,
)
from loyalty_research.retention.exact_ties import maximise_exact
from loyalty_research.retention.likelihood import estimates_table as wald_table
from loyalty_research.retention.rows import Rows, open_rows

TIES = ("efron", "breslow", "exact")
_CLOCK, _HAZARD = "time", "cumulative_hazard"


@dataclass(frozen=True)
class CoxModel:
    """A fitted Cox model.

    Attributes:
        estimates: One row a term: log hazard ratio, error, interval, p value.
        baseline: `strata..., time, cumulative_hazard` of a patient whose covariates (and offset)
            are all 0, an entry for each event time.
        tests: Likelihood ratio, Wald and score test that no covariate matters.
        log_likelihood: Without covariates, and at the maximum.
        levels: For each text its levels, the first of which is the reference.
        variance: Of the coefficients, robust where the estimates' errors are.
        naive_variance: The inverse of the information.
        ties: How ties are handled.
        design: How covariates are coded.
        rows: The rows as they came.
        likelihood: The rows as the likelihood takes them; None with exact ties.
        fit: The maximum.
    """

    estimates: pd.DataFrame
    baseline: pd.DataFrame = field(repr=False)
    tests: pd.DataFrame = field(repr=False)
    log_likelihood: tuple[float, float]
    levels: dict[str, list[Any]]
    variance: np.ndarray = field(repr=False)
    naive_variance: np.ndarray = field(repr=False)
    ties: str
    design: Design = field(repr=False)
    rows: Rows = field(repr=False)
    likelihood: Likelihood | None = field(repr=False)
    fit: Fit = field(repr=False)


def cox_regression(data: Any, *, covariates: Sequence[str] | str, **settings: Any) -> pd.DataFrame:
    """Return the log hazard ratios of a Cox model.

    Cox, JRSS B 1972;34:187. A log hazard ratio of 0.1 means that at each moment those with one unit
    more leave at a rate 1.105 times as high. It is an association: the model does not know why.

    Args:
        data: One row a patient, or a piece (entry, time] of a patient's follow-up with the
            covariates of that piece.
        covariates: Names of columns, or a formula such as `"age + C(sex)"`. A text's first level is
            the reference.
        **settings: As for `fit_cox`.

    Returns:
        One row a term: `term`, `estimate`, `std_error`, `conf_low`, `conf_high`, `conf_level`,
        `p_value`, `n`, `n_events`, `scale`, `method`, which counts the strata that tell nothing.

    Raises:
        UsageError: As for `fit_cox`.
        DataError: As for `fit_cox`.

    Examples:
        >>> data = pd.DataFrame({"time": [1, 2, 3, 4, 5, 6], "event": [1, 1, 0, 1, 1, 1],
        ...     "age": [60, 71, 55, 50, 62, 58]})
        >>> cox_regression(data, covariates=["age"])["estimate"].round(4).item()
        0.0624
    """
    check_settings(settings, of="cox_regression")
    return fit_cox(data, covariates=covariates, **settings).estimates


def check_settings(settings: Mapping[str, Any], *, of: str) -> None:
    """Refuse settings that `fit_cox` does not have, in the name of the function that was called.

    Args:
        settings: By name, to be passed on to `fit_cox`.
        of: Name of the function that was called.

    Raises:
        UsageError: A name that is none; the nearest is proposed.

    Examples:
        >>> check_settings({"clusters": 1}, of="fit")
        Traceback (most recent call last):
        ...
        loyalty_research.errors.UsageError: fit has no argument 'clusters'; did you mean "cluster"?
    """
    known = set(inspect.signature(fit_cox).parameters) - {"data", "covariates"}
    for name in settings:
        if name not in known:
            near = suggest(name, known) or f"; it takes {', '.join(sorted(known))}"
            raise UsageError(f"{of} has no argument {name!r}{near}")


def fit_cox(
    data: Any,
    *,
    covariates: Sequence[str] | str,
    time: str = "time",
    event: str = "event",
    entry: str | None = None,
    strata: str | Sequence[str] | None = None,
    weight: str | None = None,
    freq: str | None = None,
    cluster: str | None = None,
    offset: str | None = None,
    ties: str = "efron",
    conf_level: float = 0.95,
) -> CoxModel:
    """Return a fitted Cox model, from which residuals, checks and predictions are made.

    Coefficients agree with R's `coxph`, its conventions included: at risk at t are rows with
    `entry < t <= time`; under Efron's ties those with the event share their mean case weight. With
    `weight` or `cluster` the standard error is the sandwich of Lin and Wei (JASA 1989;84:1074), the
    rows' contributions summed by cluster. `freq` is exact: as if the row were repeated.

    Args:
        data: One row a patient, or a piece (entry, time] of a patient's follow-up.
        covariates: Names of columns, or a formula such as `"age + C(sex)"`.
        time: Column with the time of event or censoring, whole units.
        event: Column that is true or 1 for an event.
        entry: Column with the time from which the row is at risk.
        strata: Column or columns; each stratum has a baseline hazard of its own.
        weight: Column of case weights above 0.
        freq: Column of whole numbers from 1: how many patients the row stands for.
        cluster: Column that names what is independent, such as the patient or the clinic;
            `check_cox` and `check_clusters` say whether these are enough.
        offset: Column added to the linear predictor with coefficient 1.
        ties: "efron", "breslow" or "exact" (the discrete model of Cox 1972; slow for many ties,
            and without case weights or clusters).
        conf_level: Coverage of the intervals.

    Returns:
        The model.

    Raises:
        UsageError: No covariates, unknown ties, exact ties with weights or clusters, strata named
            as a column of the result.
        DataError: As for `open_rows`; covariates that are constant (overall or among those at risk
            together), determined by others, or that separate those with the event from the others;
            an offset beyond 100; fewer than two clusters; no event.

    Examples:
        >>> data = pd.DataFrame({"time": [1, 2, 3, 4, 5, 6], "event": [1, 1, 0, 1, 1, 1],
        ...     "age": [60, 71, 55, 50, 62, 58]})
        >>> round(fit_cox(data, covariates=["age"]).log_likelihood[1], 4)
        -4.9481
    """
    check_choice(ties, TIES, name="ties")
    if ties == "exact" and (weight or cluster):
        raise UsageError("ties='exact' has no case weights and no clusters; choose 'efron'")
    clash = sorted({_CLOCK, _HAZARD} & set(as_columns(strata)))
    if clash:
        raise UsageError(f"strata={clash[0]!r} is also a column of the result; rename it")
    level = check_share(conf_level, name="conf_level")
    more = [*needed_columns(covariates), *([offset] if offset else [])]
    rows = open_rows(
        data, time=time, event=event, entry=entry, strata=strata, weight=weight, freq=freq,
        cluster=cluster, more=list(dict.fromkeys(more)),
    )  # fmt: skip
    raise_faults(_row_faults(rows, event, cluster, offset))
    design, numbers = build_design(rows.more, covariates)
    shift = None if offset is None else rows.more[offset].to_numpy(float)
    return fit_design(rows, design, numbers, offset=shift, ties=ties, conf_level=level)


def fit_design(
    rows: Rows,
    design: Design,
    numbers: np.ndarray,
    *,
    offset: np.ndarray | None,
    ties: str,
    conf_level: float,
) -> CoxModel:
    """Return the Cox model of rows whose covariates are numbers already.

    Args:
        rows: As `open_rows` returns them.
        design: How the numbers were made.
        numbers: One row a row, one column a term.
        offset: Added to the linear predictor, or None.
        ties: "efron", "breslow" or "exact".
        conf_level: Coverage of the intervals.

    Returns:
        The model.

    Raises:
        DataError: A term that separates those with the event from the others.

    Examples:
        >>> data = pd.DataFrame({"time": [1, 2, 3], "event": [1, 1, 1], "x": [0.0, 1.0, 0.5]})
        >>> rows = open_rows(data, more=["x"])
        >>> design, numbers = build_design(rows.more, ["x"])
        >>> model = fit_design(
        ...     rows, design, numbers, offset=None, ties="breslow", conf_level=0.9)
        >>> model.fit.converged
        True
    """
    likelihood = prepare(
        numbers, time=rows.time, event=rows.event > 0, entry=rows.entry, stratum=rows.stratum,
        weight=rows.weight, freq=rows.freq, offset=offset,
        ties="breslow" if ties == "exact" else ties,
    )  # fmt: skip
    fit = maximise_exact(likelihood) if ties == "exact" else maximise(likelihood)
    refuse_unidentified(design.terms, _comparable(likelihood, fit))
    refuse_runaway(design.terms, fit.running)
    if not fit.converged:
        fault = Fault("data", "", 0, "the model has no maximum", "leave out covariates")
        raise DataError([fault])
    is_robust = rows.weight is not None or rows.cluster is not None
    naive = np.linalg.inv(fit.information)
    variance = robust_variance(likelihood, fit, rows.cluster)[1] if is_robust else naive
    estimates = estimates_table(
        design.terms, fit.coefficients, variance, rows, _method(ties, rows), conf_level
    )
    return CoxModel(
        estimates, _baseline(likelihood, fit, rows), _tests(fit, variance), fit.log_likelihood,
        design.levels, variance, naive, ties, design, rows,
        None if ties == "exact" else likelihood, fit,
    )  # fmt: skip


def estimates_table(
    terms: Sequence[str],
    coefficients: np.ndarray,
    variance: np.ndarray,
    rows: Rows,
    method: str,
    conf_level: float,
    scale: str = "log hazard ratio",
) -> pd.DataFrame:
    """Return coefficients as a table of estimates with Wald's intervals and p values.

    Args:
        terms: The name of each coefficient.
        coefficients: The estimates.
        variance: Their variance matrix.
        rows: The rows they are based on.
        method: What was done, in words.
        conf_level: Coverage of the intervals.
        scale: What the coefficients are.

    Returns:
        The fixed columns of estimates.

    Examples:
        >>> rows = open_rows(pd.DataFrame({"time": [1], "event": [1]}))
        >>> table = estimates_table(["age"], np.array([0.1]), np.array([[0.01]]), rows, "", 0.95)
        >>> table["p_value"].round(4).item()
        0.3173
    """
    size = np.ones(len(rows.time), np.int64) if rows.freq is None else rows.freq
    return wald_table(
        terms, [scale] * len(terms), coefficients, variance, tested=[True] * len(terms),
        conf_level=conf_level, n=int(size.sum()), n_events=int(size[rows.event > 0].sum()),
        method=method,
    )  # fmt: skip


def _method(ties: str, rows: Rows) -> str:
    words = f"Cox, {ties.capitalize() if ties != 'exact' else ties} ties"
    words += _stratified(rows) if len(rows.strata) > 1 else ""
    if rows.cluster is not None:
        return f"{words}, robust error by cluster"
    return f"{words}, robust error" if rows.weight is not None else words


def _stratified(rows: Rows) -> str:
    silent, n_strata = int(silent_strata(rows).sum()), len(rows.strata)
    told = f" ({silent:,} of {n_strata:,} strata tell nothing)" if silent else ""
    return f", stratified{told}"


def silent_strata(rows: Rows) -> np.ndarray:
    """Return for each stratum whether it has no event or one patient only, and so tells nothing.

    Args:
        rows: The rows.

    Returns:
        True or false, in the order of `rows.strata`.

    Examples:
        >>> data = pd.DataFrame({"time": [1, 2, 3], "event": [1, 1, 0], "site": ["a", "a", "b"]})
        >>> silent_strata(open_rows(data, strata="site")).tolist()
        [False, True]
    """
    n_rows = np.bincount(rows.stratum, rows.freq, len(rows.strata))
    n_events = np.bincount(rows.stratum, rows.event > 0, len(rows.strata))
    return (n_rows < 2) | (n_events == 0)


def _row_faults(rows: Rows, event: str, cluster: str | None, offset: str | None) -> list[Fault]:
    faults, n = [], len(rows.time)
    if not rows.event.any():
        message = f"{event} is never true, so that there is nothing to compare"
        faults.append(Fault("data", event, n, message, "choose an event that occurs"))
    if rows.cluster is not None and rows.cluster.max() < 1:
        message = f"{cluster} names one cluster only"
        faults.append(Fault("data", str(cluster), n, message, "leave cluster= out"))
    if offset is not None and not pd.api.types.is_numeric_dtype(rows.more[offset]):
        message = f"{offset} is {rows.more[offset].dtype}, not a number"
        faults.append(Fault("data", offset, n, message, "convert it first"))
    elif offset is not None:
        # e to the 100 is no hazard ratio: more likely an exposure whose logarithm was meant.
        odd = int(np.count_nonzero(~(np.abs(rows.more[offset].to_numpy(float)) <= 100)))
        message = f"{offset} is beyond 100 in {odd:,} of {n:,} rows"
        repair = "give the logarithm of the hazard ratio"
        faults += [Fault("data", offset, odd, message, repair)] if odd else []
    return faults


def _comparable(likelihood: Likelihood, fit: Fit) -> np.ndarray:
    """Return the covariance of terms among those at risk together, in units of that over all."""
    own = likelihood.size[likelihood.axis.own].sum()
    scale = np.sqrt(own * np.average(likelihood.design**2, axis=1, weights=likelihood.size))
    return fit.start_information / np.outer(scale, scale)


def _baseline(likelihood: Likelihood, fit: Fit, rows: Rows) -> pd.DataFrame:
    """Return the cumulative baseline hazard where all covariates are 0, stratum by stratum."""
    axis = likelihood.axis
    risk = likelihood.size * np.exp(linear_predictor(likelihood, fit.coefficients))
    steps, _ = steps_at(likelihood, risk)
    # From the average patient to the one of zeros, who may be far from all who were seen.
    with np.errstate(over="ignore"):
        factor = np.exp(-fit.coefficients @ likelihood.centre - likelihood.offset_centre)
    total = pd.Series(steps.a).groupby(axis.stratum).cumsum().to_numpy() * factor
    table = rows.strata.iloc[axis.stratum].reset_index(drop=True)
    return table.assign(**{_CLOCK: axis.time, _HAZARD: total})


def _tests(fit: Fit, variance: np.ndarray) -> pd.DataFrame:
    df = len(fit.coefficients)
    # Fewer clusters than terms leave a variance that no test of all terms can use.
    wald = np.nan
    error = np.sqrt(np.diag(variance))
    if error.min() > 0:
        correlation, z = variance / np.outer(error, error), fit.coefficients / error
        is_full = np.linalg.matrix_rank(correlation, tol=1e-10, hermitian=True) == df
        wald = float(z @ np.linalg.solve(correlation, z)) if is_full else np.nan
    statistics = {
        "likelihood ratio": 2 * (fit.log_likelihood[1] - fit.log_likelihood[0]),
        "Wald": wald,
        "score": fit.score,
    }
    values = np.array(list(statistics.values()))
    return pd.DataFrame(
        {"test": list(statistics), "statistic": values, "df": df, "p_value": chi2.sf(values, df)}
    )
