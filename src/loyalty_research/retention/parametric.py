"""Curves of a stated shape: how long patients stay, written as a distribution.

lifelines' own fits stop early (the log-logistic of `lung` is 0.002 away from R in the intercept)
and its generalised gamma regression finds no maximum, so the likelihoods are maximised here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from loyalty_research.data.arguments import as_columns, check_choice, check_share, check_whole
from loyalty_research.data.frames import missing_columns, raise_faults
from loyalty_research.errors import DataError, Fault, UsageError
from loyalty_research.retention.families import FAMILIES, Terms, log_density, log_survival
from loyalty_research.retention.likelihood import (
    Covariates,
    covariate_faults,
    estimates_table,
    maximise,
    read_covariates,
    refuse,
    sandwich,
    standardise,
    sum_terms,
)
from loyalty_research.retention.rows import Rows, open_rows, take_columns

DISTRIBUTIONS = (*FAMILIES, "spline")
"""The distributions that `fit_parametric` knows."""

_DEFAULT_KNOTS = 2
_PREDICTED = ("time", "estimate", "std_error", "conf_low", "conf_high", "conf_level")


@dataclass(frozen=True)
class ParametricModel:
    """A fitted distribution of time to the event.

    Attributes:
        distribution: One of `DISTRIBUTIONS`.
        estimates: One row a coefficient: `term`, `estimate`, `std_error`, ..., `scale`, `method`.
        covariance: Covariance of the coefficients, in the order of `estimates`; robust with
            weights or clusters.
        log_likelihood: At the maximum; with `weight` a weighted sum that compares no models.
        aic: Akaike's criterion; missing with `weight`.
        bic: Schwarz's criterion, its n the number of patients, as R's; missing with `weight`.
        n: Patients.
        n_events: Events.
        last_time: Last time at which anybody was observed; beyond it the curve is extrapolated.
        covariates: How columns become numbers.
        knots: Times of the spline's knots, the boundaries included; none otherwise.
        conf_level: Coverage of the intervals.
    """

    distribution: str
    estimates: pd.DataFrame
    covariance: np.ndarray
    log_likelihood: float
    aic: float
    bic: float
    n: int
    n_events: int
    last_time: int
    covariates: Covariates
    knots: tuple[float, ...]
    conf_level: float


def fit_parametric(
    data: Any,
    *,
    distribution: str = "weibull",
    covariates: str | Sequence[str] | None = None,
    knots: int | Sequence[int] | None = None,
    time: str = "time",
    event: str = "event",
    entry: str | None = None,
    weight: str | None = None,
    freq: str | None = None,
    cluster: str | None = None,
    conf_level: float = 0.95,
) -> ParametricModel:
    """Return a distribution of time fitted by maximum likelihood.

    In all but the spline log time is `intercept + covariates + scale * error`, so that a
    coefficient is the log of a ratio of times (Kalbfleisch and Prentice 2002, chapter 3); the
    coefficients are those of R's `survreg`. The generalised gamma is Prentice's (Biometrika
    1974;61:539). The spline is a natural cubic one for the log cumulative hazard in log time, its
    covariates proportional on the hazard (Royston and Parmar, Statistics in Medicine
    2002;21:2175). With delayed entry each row's likelihood is given that it stayed until `entry`.

    Args:
        data: One row a patient or spell. pandas, Polars, Arrow, DuckDB or Spark.
        distribution: `"exponential"`, `"weibull"`, `"log-normal"`, `"log-logistic"`,
            `"generalised gamma"`, `"spline"`.
        covariates: Columns with numbers, or with text or categories, of which the first level is
            the reference.
        knots: Of the spline: how many inner ones, at equally spaced quantiles of the log event
            times (2 unless told), or their times. The boundaries are the first and last event.
        time: Column with the time of event or censoring: whole units, above 0.
        event: Column that is true or 1 for an event, false or 0 for censoring.
        entry: Column with the time from which the row is under observation.
        weight: Column of case weights above 0; standard errors are then robust.
        freq: Column of whole numbers from 1: how many patients the row stands for.
        cluster: Column that names who belongs together; standard errors are then robust.
        conf_level: Coverage of the intervals.

    Returns:
        The model; `.estimates` has one row a coefficient.

    Raises:
        UsageError: An unknown distribution, knots where there is no spline.
        DataError: As for `open_rows`; times of 0, which have no logarithm; no events; covariates
            that are constant or redundant; a likelihood without a maximum.

    Examples:
        >>> data = pd.DataFrame({"time": [2, 3, 7, 9], "event": [1, 1, 1, 0]})
        >>> model = fit_parametric(data, distribution="exponential")
        >>> bool(np.isclose(np.exp(model.estimates["estimate"]).item(), 21 / 3))
        True
    """
    check_choice(distribution, DISTRIBUTIONS, name="distribution")
    level = check_share(conf_level, name="conf_level")
    if knots is not None and distribution != "spline":
        raise UsageError(f"knots= is for distribution='spline', not {distribution!r}; leave it out")
    columns = as_columns(covariates)
    rows = open_rows(
        data, time=time, event=event, entry=entry, weight=weight, freq=freq, cluster=cluster,
        more=columns,
    )  # fmt: skip
    coding = read_covariates(rows.more)
    raise_faults([*time_faults(rows, time), *covariate_faults(rows.more, coding)])
    case = _Case(rows, coding)
    places = _knots(case, _DEFAULT_KNOTS if knots is None else knots, distribution)
    fitted = _fit_spline(case, places) if distribution == "spline" else _fit(case, distribution)
    return _model(case, distribution, fitted, places, level, weighted=weight is not None)


def predict_parametric(
    model: ParametricModel,
    *,
    times: Sequence[int],
    data: Any = None,
    conf_level: float | None = None,
) -> pd.DataFrame:
    """Return the share still here at given times by a fitted distribution.

    The interval is the delta method's on the scale of log(-log share), and holds only if the
    distribution is right; beyond the last observed time nothing in the data speaks for that, so
    these rows are marked.

    Args:
        model: What `fit_parametric` returned.
        times: Whole times, beyond the last observed one too.
        data: With covariates: one row a kind of patient, with their columns.
        conf_level: Coverage; that of the model unless told.

    Returns:
        One row a kind of patient and time: the covariates, `time`, `estimate`, `std_error`,
        `conf_low`, `conf_high`, `conf_level`, `extrapolated` (true beyond the last observed time).

    Raises:
        UsageError: Times that are negative or not whole; no `data` for a model with covariates.
        DataError: Columns or values missing in `data`, levels that the model does not know.

    Examples:
        >>> data = pd.DataFrame({"time": [2, 3, 7, 9], "event": [1, 1, 1, 0]})
        >>> model = fit_parametric(data, distribution="exponential")
        >>> predict_parametric(model, times=[7, 70])[["time", "estimate", "extrapolated"]].round(3)
           time  estimate  extrapolated
        0     7     0.368         False
        1    70     0.000          True
    """
    level = model.conf_level if conf_level is None else check_share(conf_level, name="conf_level")
    asked = np.array(
        [check_whole(x, name="times") for x in np.atleast_1d(np.asarray(times)).tolist()]
    )
    kinds = open_kinds(data, model.covariates)
    matrix = model.covariates.matrix(kinds)
    n = max(len(matrix), 1)
    grid = np.tile(asked, n)
    columns = np.repeat(matrix if len(matrix) else np.zeros((1, 0)), len(asked), axis=0)
    value, gradient = log_share(model, grid, columns)
    curve = share_table(grid, value, gradient, model.covariance, level)
    curve["extrapolated"] = grid > model.last_time
    leading = kinds.loc[kinds.index.repeat(len(asked))].reset_index(drop=True)
    return pd.concat([leading, curve], axis=1) if len(leading.columns) else curve


def log_share(
    model: ParametricModel, times: np.ndarray, columns: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the log of the share still here, with its gradient in the coefficients.

    Args:
        model: What `fit_parametric` returned.
        times: One time a row.
        columns: One row of covariates as numbers a time.

    Returns:
        Log shares, and rows by coefficients.

    Examples:
        >>> data = pd.DataFrame({"time": [2, 3, 7, 9], "event": [1, 1, 1, 0]})
        >>> model = fit_parametric(data, distribution="exponential")
        >>> value, gradient = log_share(model, np.array([7]), np.zeros((1, 0)))
        >>> value.round(6).tolist(), gradient.round(6).tolist()
        ([-1.0], [[1.0]])
    """
    coefficients = model.estimates["estimate"].to_numpy()
    # Nobody has left at time 0, whatever the distribution; its logarithm is not asked for.
    clock, started = np.log(np.maximum(times, 1)), times > 0
    if model.distribution == "spline":
        design = np.column_stack([_basis(clock, np.log(model.knots))[0], columns])
        value = -np.exp(design @ coefficients)
        gradient = design * value[:, None]
    else:
        designs = _designs(model.distribution, columns)
        terms = log_survival(model.distribution, clock, _predict(designs, coefficients))
        free = terms.gradient[: len(designs)]
        value = terms.value
        gradient = np.hstack([x * g[:, None] for x, g in zip(designs, free, strict=True)])
    return np.where(started, value, 0.0), np.where(started[:, None], gradient, 0.0)


def share_table(
    times: np.ndarray,
    value: np.ndarray,
    gradient: np.ndarray,
    covariance: np.ndarray,
    conf_level: float,
) -> pd.DataFrame:
    """Return shares with the delta method's interval on the scale of log(-log share).

    Args:
        times: One time a row.
        value: Logs of the shares.
        gradient: Their gradient: rows by coefficients.
        covariance: Of the coefficients.
        conf_level: Coverage.

    Returns:
        `time, estimate, std_error, conf_low, conf_high, conf_level`.

    Examples:
        >>> table = share_table(
        ...     np.array([0]), np.zeros(1), np.zeros((1, 1)), np.eye(1), conf_level=0.95
        ... )
        >>> table[["estimate", "conf_low", "conf_high"]].iloc[0].tolist()
        [1.0, 1.0, 1.0]
    """
    error = np.sqrt(np.einsum("ij,jk,ik->i", gradient, covariance, gradient))
    z, share = norm.ppf((1 + conf_level) / 2), np.exp(value)
    lost = np.where(value < 0, value, np.nan)
    # A share of 1 at time 0 is known; one that a float cannot tell from 0 has no interval.
    factor = np.exp(z * error / np.abs(lost))
    low, high = np.exp(lost * factor), np.exp(lost / factor)
    certain = value == 0
    limits = np.where(certain, 1.0, low), np.where(certain, 1.0, high)
    columns = (times, share, share * error, *limits, np.full(len(times), conf_level))
    return pd.DataFrame(dict(zip(_PREDICTED, columns, strict=True)))


def open_kinds(data: Any, covariates: Covariates) -> pd.DataFrame:
    """Return the kinds of patients that a prediction is for, with the model's covariates.

    Args:
        data: Any frame with one row a kind, or None without covariates.
        covariates: Those of the model.

    Returns:
        The columns of the covariates, none without covariates.

    Raises:
        UsageError: None where there are covariates.
        DataError: Columns or values missing, levels that the model does not know.

    Examples:
        >>> open_kinds(None, Covariates((), {})).shape
        (0, 0)
    """
    names = list(covariates.columns)
    if not names:
        return pd.DataFrame()
    if data is None:
        raise UsageError(f"the model has covariates; give data= with {', '.join(names)}")
    raise_faults(missing_columns(data, names, table="data"))
    kinds = take_columns(data, names)
    faults = []
    for name in names:
        known = covariates.levels.get(name)
        odd = kinds[name].isna() if known is None else ~kinds[name].isin(known)
        if odd.any():
            words = "is missing" if known is None else "is no level of the model"
            message = f"{name} {words} in {int(odd.sum()):,} of {len(kinds):,} rows"
            faults.append(Fault("data", name, int(odd.sum()), message, "leave these rows out"))
    raise_faults(faults)
    return kinds


def time_faults(rows: Rows, time: str) -> list[Fault]:
    """Return the faults that leave a distribution of log time without a likelihood.

    Args:
        rows: The patients.
        time: Name of the time column, for the message.

    Returns:
        Times of 0; no events.

    Examples:
        >>> rows = open_rows(pd.DataFrame({"time": [0, 3], "event": [1, 0]}))
        >>> print(time_faults(rows, "time")[0])
        data: time is 0 in 1 of 2 rows, and 0 has no logarithm; add 1 to every time, which counts \
days from 1 and loses nobody; to leave these rows out would lose 1 of 1 events
    """
    faults = []
    if zero := int(np.count_nonzero(rows.time == 0)):
        message = f"{time} is 0 in {zero:,} of {len(rows.time):,} rows, and 0 has no logarithm"
        lost = int(np.count_nonzero(rows.event[rows.time == 0]))
        repair = "add 1 to every time, which counts days from 1 and loses nobody; to leave these "
        repair += f"rows out would lose {lost:,} of {int(np.count_nonzero(rows.event)):,} events"
        faults.append(Fault("data", time, zero, message, repair))
    if not rows.event.any():
        repair = "follow the patients for longer; a distribution needs events"
        faults.append(Fault("data", "", 0, "there is no event", repair))
    return faults


# --- the rows of a likelihood ---------------------------------------------------------------------


class _Case:
    """Patients ready for a likelihood: log times, covariates, how much each row counts."""

    def __init__(self, rows: Rows, covariates: Covariates):
        n = len(rows.time)
        freq = np.ones(n, np.int64) if rows.freq is None else rows.freq
        self.rows, self.covariates = rows, covariates
        self.n, self.n_events = int(freq.sum()), int(freq @ rows.event)
        self.weight = freq * (1.0 if rows.weight is None else rows.weight)
        self.robust = rows.weight is not None or rows.cluster is not None
        self.last_time = int(rows.time.max())
        self.log_time, self.event = np.log(rows.time), rows.event == 1
        self.matrix = covariates.matrix(rows.more)
        # Entry at 0 says nothing: everybody is there at 0.
        self.late = np.zeros(n, bool) if rows.entry is None else rows.entry > 0
        entry = np.ones(n, np.int64) if rows.entry is None else np.maximum(rows.entry, 1)
        self.log_entry = np.log(entry)
        if not self.robust and not covariates.columns:
            self._gather()

    def _gather(self) -> None:
        """Count equal rows once: a million patients without covariates have a thousand days."""
        key = np.column_stack([self.log_time, self.event, self.log_entry, self.late])
        if self.late.any():
            _, first, code = np.unique(key, axis=0, return_index=True, return_inverse=True)
        else:
            code = 2 * self.rows.time + self.rows.event
            _, first, code = np.unique(code, return_index=True, return_inverse=True)
        self.weight = np.bincount(code.ravel(), self.weight)
        self.log_time, self.event = self.log_time[first], self.event[first]
        self.late, self.log_entry = self.late[first], self.log_entry[first]
        self.matrix = self.matrix[first]


@dataclass(frozen=True)
class _Fitted:
    terms: list[str]
    scales: list[str]
    tested: list[bool]
    estimate: np.ndarray
    covariance: np.ndarray
    log_likelihood: float


def _model(
    case: _Case,
    distribution: str,
    fitted: _Fitted,
    knots: tuple[float, ...],
    level: float,
    *,
    weighted: bool,
) -> ParametricModel:
    table = estimates_table(
        fitted.terms, fitted.scales, fitted.estimate, fitted.covariance, tested=fitted.tested,
        conf_level=level, n=case.n, n_events=case.n_events,
        method=f"{distribution}, maximum likelihood{', robust' if case.robust else ''}",
    )  # fmt: skip
    size, deviance = len(fitted.estimate), -2 * fitted.log_likelihood
    # A weighted sum of log densities is no likelihood: criteria made of it mean nothing.
    none = np.nan if weighted else 0.0
    return ParametricModel(
        distribution, table, fitted.covariance, fitted.log_likelihood, deviance + 2 * size + none,
        deviance + size * float(np.log(case.n)) + none, case.n, case.n_events, case.last_time,
        case.covariates, knots, level,
    )  # fmt: skip


# --- accelerated failure time ---------------------------------------------------------------------


def _n_predictors(family: str) -> int:
    return {"exponential": 1, "generalised gamma": 3}.get(family, 2)


def _designs(family: str, columns: np.ndarray) -> list[np.ndarray]:
    """Return the columns of each free predictor: covariates for the location, ones for the rest."""
    ones = np.ones((len(columns), 1))
    return [np.hstack([ones, columns]), ones, ones][: _n_predictors(family)]


def _predict(designs: Sequence[np.ndarray], coefficients: np.ndarray) -> np.ndarray:
    ends = np.cumsum([design.shape[1] for design in designs])
    parts = np.split(coefficients, ends[:-1])
    found = [design @ part for design, part in zip(designs, parts, strict=True)]
    # The exponential's scale is 1.
    return np.array(found if len(found) > 1 else [found[0], np.zeros(len(found[0]))])


def _row_terms(case: _Case, family: str, predictors: np.ndarray) -> Terms:
    """Return each row's contribution: density or share, given that it stayed until entry."""
    n, k = len(case.log_time), len(predictors)
    terms = Terms(np.zeros(n), np.zeros((k, n)), np.zeros((k, k, n)))
    pieces: list[tuple[Callable[..., Terms], np.ndarray, np.ndarray, int]] = [
        (log_density, case.event, case.log_time, 1),
        (log_survival, ~case.event, case.log_time, 1),
        (log_survival, case.late, case.log_entry, -1),
    ]
    for contribution, where, clock, sign in pieces:
        if where.any():
            part = contribution(family, clock[where], predictors[:, where])
            for whole, added in zip(terms, part, strict=True):
                whole[..., where] += sign * added
    return terms


def _fit(case: _Case, family: str) -> _Fitted:
    columns, back = standardise(case.matrix) if case.matrix.shape[1] else _no_columns(case)
    ones = np.ones((len(columns), 1))
    designs = [columns, ones, ones][: _n_predictors(family)]

    def objective(at: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        terms = _row_terms(case, family, _predict(designs, at))
        return sum_terms(terms, designs, case.weight)

    at, value, covariance = _best(objective, _starts(case, family, back))
    if case.robust:
        terms = _row_terms(case, family, _predict(designs, at))
        parts = zip(designs, terms.gradient[: len(designs)], strict=True)
        scores = np.hstack([x * (case.weight * g)[:, None] for x, g in parts])
        covariance = sandwich(scores, covariance, case.rows.cluster)
    size = len(back)
    whole = np.eye(len(at))
    whole[:size, :size] = back
    rest = ["log(scale)", "shape"][: len(designs) - 1]
    terms_ = ["(intercept)", *case.covariates.terms, *rest]
    scales = ["log time", *["log time ratio"] * (size - 1), *["log", "shape"][: len(rest)]]
    tested = [0 < position < size for position in range(len(at))]
    return _Fitted(terms_, scales, tested, whole @ at, whole @ covariance @ whole.T, value)


def _no_columns(case: _Case) -> tuple[np.ndarray, np.ndarray]:
    return np.ones((len(case.log_time), 1)), np.eye(1)


def _starts(case: _Case, family: str, back: np.ndarray) -> list[np.ndarray]:
    clock = np.exp(case.log_time) - np.where(case.late, np.exp(case.log_entry), 0)
    rate = float(case.weight @ case.event) / float(case.weight @ clock)
    first = np.zeros(len(back) + _n_predictors(family) - 1)
    first[0] = -np.log(rate)
    if family != "generalised gamma":
        return [first]
    # The Weibull and the log-normal are its cases of shape 1 and 0: it can fit no worse.
    found = []
    for special, shape in (("weibull", 1.0), ("log-normal", 0.0)):
        near = _fit(case, special).estimate
        near[: len(back)] = np.linalg.solve(back, near[: len(back)])
        found.append(np.append(near, shape))
    return found


def _best(
    objective: Callable[[np.ndarray], tuple[float, np.ndarray, np.ndarray]],
    starts: Sequence[np.ndarray],
) -> tuple[np.ndarray, float, np.ndarray]:
    """Return the highest of the maxima reached from several starts."""
    found, last = [], None
    for start in starts:
        try:
            found.append(maximise(objective, start))
        except DataError as error:
            last = error
    if not found and last is not None:
        raise last
    return max(found, key=lambda result: result[1])


# --- the flexible spline --------------------------------------------------------------------------


def _knots(case: _Case, knots: int | Sequence[int], distribution: str) -> tuple[float, ...]:
    """Return the times of the knots, the first and last event included."""
    if distribution != "spline":
        return ()
    events = case.log_time[case.event]
    weight = case.weight[case.event]
    first, last = float(np.exp(events.min())), float(np.exp(events.max()))
    if isinstance(knots, int | np.integer) and not isinstance(knots, bool):
        count = check_whole(knots, name="knots")
        shares = np.arange(1, count + 1) / (count + 1)
        inner = np.exp(_quantiles(events, weight, shares)).tolist()
    else:
        inner = [float(check_whole(x, name="knots", minimum=1)) for x in np.asarray(knots).tolist()]
    places = (first, *sorted(inner), last)
    if np.any(np.diff(places) <= 0):
        repair = "ask for fewer knots, or name times between the first and last event"
        raise refuse("the knots are not all different and between the first and last event", repair)
    return places


def _quantiles(values: np.ndarray, weight: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return quantiles of values that count several times, as numpy's of the repeated values."""
    order = np.argsort(values)
    ends = np.cumsum(weight[order])
    place = shares * (ends[-1] - 1)
    low = np.searchsorted(ends, np.floor(place), side="right")
    high = np.searchsorted(ends, np.minimum(np.floor(place) + 1, ends[-1] - 1), side="right")
    last = len(values) - 1
    below, above = values[order][np.minimum(low, last)], values[order][np.minimum(high, last)]
    return below + (place - np.floor(place)) * (above - below)


def _basis(log_time: np.ndarray, log_knots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the natural cubic spline's columns and their derivatives: Royston and Parmar 2002."""
    first, last = log_knots[0], log_knots[-1]
    ones = np.ones(len(log_time))
    columns, slopes = [ones, log_time], [0 * ones, ones]

    def cube(knot: float) -> tuple[np.ndarray, np.ndarray]:
        above = np.maximum(log_time - knot, 0)
        return above**3, 3 * above**2

    for knot in log_knots[1:-1]:
        share = (last - knot) / (last - first)
        parts = zip(cube(knot), cube(first), cube(last), strict=True)
        column, slope = (own - share * low - (1 - share) * high for own, low, high in parts)
        columns.append(column)
        slopes.append(slope)
    return np.column_stack(columns), np.column_stack(slopes)


def _fit_spline(case: _Case, knots: tuple[float, ...]) -> _Fitted:
    raw, slopes = _basis(case.log_time, np.log(knots))
    n_covariates = case.matrix.shape[1]
    design, back = standardise(np.column_stack([raw[:, 1:], case.matrix]))
    entered = np.column_stack([_basis(case.log_entry, np.log(knots))[0], case.matrix])
    entered = entered @ back
    slope = np.column_stack([slopes, np.zeros((len(raw), n_covariates))]) @ back

    def objective(at: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        return _spline_sums(case, design, slope, entered, at)

    start = np.linalg.solve(back, _spline_start(case, raw.shape[1]))
    at, value, covariance = maximise(objective, start)
    if (np.append(slope @ at, (slope @ at)[np.argmax(case.log_time)]) <= 0).any():
        raise refuse("the spline's cumulative hazard falls somewhere", "ask for fewer knots")
    if case.robust:
        scores = _spline_scores(case, design, slope, entered, at)
        covariance = sandwich(scores, covariance, case.rows.cluster)
    own = [f"gamma{k}" for k in range(raw.shape[1])]
    scales = ["log cumulative hazard"] * len(own) + ["log hazard ratio"] * n_covariates
    tested = [k >= len(own) for k in range(len(at))]
    terms = [*own, *case.covariates.terms]
    return _Fitted(terms, scales, tested, back @ at, back @ covariance @ back.T, value)


def _spline_start(case: _Case, n_columns: int) -> np.ndarray:
    """Return the Weibull's coefficients, which is the spline without inner knots."""
    weibull = _fit(case, "weibull").estimate
    *location, log_scale = weibull
    rate = np.exp(-log_scale)
    start = np.zeros(n_columns + len(location) - 1)
    start[:2] = -location[0] * rate, rate
    start[n_columns:] = -rate * np.array(location[1:])
    return start


def _spline_sums(
    case: _Case, design: np.ndarray, slope: np.ndarray, entered: np.ndarray, at: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the log likelihood: an event adds log s' + s - log t, every row -exp(s)."""
    weight, event = case.weight, case.event
    height, climb = design @ at, slope[event] @ at
    hazard = weight * np.exp(height)
    before = np.where(case.late, weight * np.exp(entered @ at), 0.0)
    own = weight[event]
    value = own @ (np.log(climb) + height[event] - case.log_time[event])
    value += before.sum() - hazard.sum()
    steep = slope[event] / climb[:, None]
    gradient = steep.T @ own + design[event].T @ own - design.T @ hazard + entered.T @ before
    hessian = -steep.T @ (steep * own[:, None]) - design.T @ (design * hazard[:, None])
    hessian += entered.T @ (entered * before[:, None])
    return float(value), gradient, hessian


def _spline_scores(
    case: _Case, design: np.ndarray, slope: np.ndarray, entered: np.ndarray, at: np.ndarray
) -> np.ndarray:
    hazard, event = np.exp(design @ at), case.event
    scores = -design * hazard[:, None]
    scores[event] += slope[event] / (slope[event] @ at)[:, None] + design[event]
    scores += np.where(case.late[:, None], entered * np.exp(entered @ at)[:, None], 0.0)
    return scores * case.weight[:, None]
