"""How covariates change the share of patients who ever have an event that others can forestall.

Fine and Gray (JASA 1999;94:496) keep a patient who had a competing event at risk, with the chance
of not being censored since. With G the Kaplan-Meier curve of staying uncensored and r the relative
hazard, the risk set at an event day t is

    S0(t) = sum of r over time >= t  +  G(t-) * sum of r / G(time-) over competing events before t.

So everything is a sum by day: rows are sorted once, no row is repeated for every day on which
others are censored (as R's `finegray` does), and the cost of a step is that of reading the rows.
A row is exposed to H(time), H = sum of dN / S0; one with a competing event, after its time, to
(K(end) - K(time)) / G(time-) more, K = sum of G dN / S0. Efron's approximation for ties and the
score residuals are those of the Cox model with these risk sets (Therneau and Grambsch, Modeling
Survival Data, 2000, sections 3.3 and 7.1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from loyalty_research.data.arguments import check_choice, check_share, suggest
from loyalty_research.errors import UsageError
from loyalty_research.retention.cox import estimates_table
from loyalty_research.retention.cox_likelihood import climb
from loyalty_research.retention.design_matrix import (
    build_design,
    needed_columns,
    refuse_runaway,
)
from loyalty_research.retention.risk_sets import tally
from loyalty_research.retention.rows import Rows, open_rows, rows_by_group

TIES = ("efron", "breslow")
SCALE = "log subdistribution hazard ratio"
LEAST_INFORMATION = 1e-6
"""Less about a covariate with standard deviation 1 is a standard error above 1,000: no maximum."""


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
        event: Column with the cause as text; missing or "censored" is censored.
        weight: Column of case weights above 0. The censoring curve counts patients, as in R.
        freq: Column of whole numbers from 1: how many patients the row stands for.
        cluster: Column with units within which patients are alike.
        censoring_groups: Column or columns that name groups, each censored in its own way.
        ties: `"efron"` or `"breslow"`.
        conf_level: Coverage of the interval.

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
    check_choice(ties, TIES, name="ties")
    level = check_share(conf_level, name="conf_level")
    rows = open_rows(
        data, time=time, event=event, causes=True, strata=censoring_groups, weight=weight,
        freq=freq, cluster=cluster, more=needed_columns(covariates),
    )  # fmt: skip
    if cause not in rows.causes:
        raise UsageError(f"cause={cause!r} does not occur in {event}{suggest(cause, rows.causes)}")
    number = rows.causes.index(cause) + 1
    design, x = build_design(rows.more, covariates)
    centre, spread = x.mean(axis=0), x.std(axis=0)
    sample, order = open_sample(rows, (x - centre) / spread, number)
    groups = None if rows.cluster is None else rows.cluster[order]
    estimate, variance = _fit(sample, groups, ties, design.terms)
    return estimates_table(
        design.terms,
        estimate / spread,
        variance / np.outer(spread, spread),
        replace(rows, event=(rows.event == number).astype(np.int64)),
        f"Fine-Gray, {ties.capitalize()} ties, robust error",
        level,
        SCALE,
    )


def _fit(
    sample: Sample, cluster: np.ndarray | None, ties: str, terms: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the coefficients that maximise the likelihood, and their robust variance."""
    likelihood = Likelihood(sample, ties)

    def value(beta: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            state = likelihood.at(beta)
            if not np.isfinite(state.value):
                return -np.inf, np.zeros(len(beta)), np.eye(len(beta))
            return state.value, state.gradient(), state.information()

    fit = climb(value, len(sample.x), np.ones(len(sample.x)))
    state = likelihood.at(fit.coefficients)
    # Where a coefficient of a covariate with spread 1 runs away, nothing is left to hold it.
    refuse_runaway(terms, fit.running | (np.diag(state.information()) < LEAST_INFORMATION))
    inverse, parts = np.linalg.inv(state.information()), state.residuals()
    if cluster is None:
        parts /= np.sqrt(sample.freq)
    else:
        n = int(cluster.max()) + 1
        parts = np.stack([np.bincount(cluster, part, n) for part in parts])
    return fit.coefficients, inverse @ (parts @ parts.T) @ inverse


# --- the likelihood -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sample:
    """Rows in order of time, a column each, as the sums by day need them.

    Attributes:
        x: Covariates, a row each.
        size: Weight of each column, its frequency included.
        freq: How many patients it stands for.
        upto: How many event days are at or before its time.
        competing: Which columns had a competing event, by censoring group.
        before: G(time-) of those.
        curve: G just before each event day, by censoring group.
        event: Which columns had the event.
        n_days: How many event days there are.
    """

    x: np.ndarray
    size: np.ndarray
    freq: np.ndarray
    upto: np.ndarray
    competing: list[np.ndarray]
    before: list[np.ndarray]
    curve: list[np.ndarray]
    event: np.ndarray
    n_days: int


def sum_by_day(values: np.ndarray, day: np.ndarray, n_days: int) -> np.ndarray:
    """Return the sums of sorted columns by day.

    Args:
        values: A row or rows of numbers, columns sorted by day.
        day: The day of each column, rising.
        n_days: How many days there are.

    Returns:
        The same rows, a column a day.

    Examples:
        >>> sum_by_day(np.array([1.0, 2.0, 4.0]), np.array([0, 0, 2]), 3).tolist()
        [3.0, 0.0, 4.0]
    """
    sums = np.zeros((*values.shape[:-1], n_days))
    if day.size:
        first = np.flatnonzero(np.append(True, day[1:] != day[:-1]))
        sums[..., day[first]] = np.add.reduceat(values, first, axis=-1)
    return sums


class Likelihood:
    """The partial likelihood of a sample: its value, slope and curvature at a coefficient.

    Args:
        sample: The rows.
        ties: `"efron"` or `"breslow"`.
    """

    def __init__(self, sample: Sample, ties: str):
        self.sample = sample
        day = sample.upto[sample.event] - 1
        self.day = day
        size, freq = sample.size[sample.event], sample.freq[sample.event]
        events = np.rint(sum_by_day(freq, day, sample.n_days)).astype(np.int64)
        self.mean_size = sum_by_day(size, day, sample.n_days) / events
        # Efron lets the tied events leave one after another, each taking the mean of them all.
        self.tied = np.repeat(np.arange(sample.n_days), events)
        place = np.arange(len(self.tied)) - np.repeat(np.cumsum(events) - events, events)
        share = place / np.repeat(events, events)
        self.share = share if ties == "efron" else np.zeros(len(share))
        # One buffer for all steps: writing into fresh memory takes longer than the products.
        self.buffer = np.empty_like(sample.x)

    def at(self, beta: np.ndarray) -> State:
        """Return the sums by day at a coefficient.

        Args:
            beta: One number a covariate.

        Returns:
            What value, slope and curvature are made of.
        """
        s, days = self.sample, self.sample.n_days
        linear = beta @ s.x
        risk = s.size * np.exp(linear)
        product = np.multiply(s.x, risk, out=self.buffer)
        sums = _at_risk(risk, product, s)
        own = sum_by_day(_stack(risk, product, s.event), self.day, days)
        phi = sums[0, self.tied] - self.share * own[0, self.tied]
        value = s.size[s.event] @ linear[s.event] - self.mean_size[self.tied] @ np.log(phi)
        return State(self, risk, sums[1:], own[1:], phi, float(value))


@dataclass(frozen=True)
class State:
    """What a coefficient makes of a likelihood.

    Attributes:
        likelihood: Whose state it is.
        risk: Weight times relative hazard of each column.
        s1: By day, the sum of covariates over the risk set, weighed by `risk`.
        d1: The same over the events of the day.
        phi: For each tied event, the risk set less what left before it.
        value: The log likelihood.
    """

    likelihood: Likelihood
    risk: np.ndarray
    s1: np.ndarray
    d1: np.ndarray
    phi: np.ndarray
    value: float

    def gradient(self) -> np.ndarray:
        """Return the slope of the log likelihood."""
        s = self.likelihood.sample
        return s.x[:, s.event] @ s.size[s.event] - self._expected().sum(axis=1)

    def information(self) -> np.ndarray:
        """Return minus the curvature of the log likelihood.

        The sum of squares over each day's risk set needs no sum by day: it is one product of
        matrices in which each row counts as long as it was exposed.
        """
        exposed = self.risk * self._exposure(self._by_day(1, 0), self._by_day(1, 1))
        x, buffer = self.likelihood.sample.x, self.likelihood.buffer
        squares = np.multiply(x, exposed, out=buffer) @ x.T
        mixed = (self._by_day(2, 1) * self.s1) @ self.d1.T
        means = (self._by_day(2, 0) * self.s1) @ self.s1.T
        means += (self._by_day(2, 2) * self.d1) @ self.d1.T - mixed - mixed.T
        return squares - means

    def residuals(self) -> np.ndarray:
        """Return the score residual of each column, times its weight: a row a covariate."""
        own, s = self.likelihood, self.likelihood.sample
        exposed = self._exposure(self._by_day(1, 0), self._by_day(1, 1))
        result = np.multiply(s.x, -self.risk * exposed, out=own.buffer)
        for k, (s1, d1) in enumerate(zip(self.s1, self.d1, strict=True)):
            drift = self._by_day(2, 0) * s1 - self._by_day(2, 1) * d1
            tied = self._by_day(2, 1) * s1 - self._by_day(2, 2) * d1
            result[k] += self.risk * self._exposure(drift, tied)
        weight = sum_by_day(s.size[s.event], own.day, s.n_days)
        mean = (self._expected() / weight)[:, own.day]
        result[:, s.event] += s.size[s.event] * (s.x[:, s.event] - mean)
        return result

    def _expected(self) -> np.ndarray:
        """Return by day the covariates that its events would have if risk alone chose them."""
        return self._by_day(1, 0) * self.s1 - self._by_day(1, 1) * self.d1

    def _by_day(self, power: int, share: int) -> np.ndarray:
        """Return by day the mean weight times the sum of share^a / phi^b over the tied events."""
        own = self.likelihood
        terms = own.share**share / self.phi**power
        return own.mean_size * np.bincount(own.tied, terms, own.sample.n_days)

    def _exposure(self, amount: np.ndarray, tied: np.ndarray) -> np.ndarray:
        """Return of an amount a day what each column meets while at risk, less its own ties."""
        own, s = self.likelihood, self.likelihood.sample
        exposure = _cumulative(amount)[s.upto]
        for chosen, before, curve in zip(s.competing, s.before, s.curve, strict=True):
            later = _cumulative(amount * curve)
            exposure[chosen] += (later[-1] - later[s.upto[chosen]]) / before
        exposure[s.event] -= tied[own.day]
        return exposure


def _cumulative(amount: np.ndarray) -> np.ndarray:
    return np.append(0.0, np.cumsum(amount))


def _stack(risk: np.ndarray, product: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    return np.vstack([risk[chosen], product[:, chosen]])


def _at_risk(risk: np.ndarray, product: np.ndarray, s: Sample) -> np.ndarray:
    """Return the sums over the risk set of each event day: of risk, then of each covariate."""
    n, sums = s.n_days, np.empty((len(product) + 1, s.n_days))
    # A row is at risk on the first `upto` event days.
    for k, values in enumerate([risk, *product]):
        sums[k] = sum_by_day(values, s.upto, n + 1)[:0:-1].cumsum()[::-1]
    for chosen, before, curve in zip(s.competing, s.before, s.curve, strict=True):
        left = sum_by_day(_stack(risk, product, chosen) / before, s.upto[chosen], n + 1)
        sums += curve * left[:, :n].cumsum(axis=1)
    return sums


# --- the sample -----------------------------------------------------------------------------------


def open_sample(rows: Rows, x: np.ndarray, cause: int) -> tuple[Sample, np.ndarray]:
    """Return rows as the likelihood wants them, with their order.

    Args:
        rows: Rows with several causes; the strata are the censoring groups.
        x: Covariates, a column each.
        cause: Number of the cause of interest.

    Returns:
        The sample; which row each of its columns was.
    """
    size = np.ones(len(rows.time)) if rows.freq is None else rows.freq.astype(float)
    freq, size = size, size if rows.weight is None else size * rows.weight
    days = np.unique(rows.time[rows.event == cause])
    upto = np.searchsorted(days, rows.time, side="right")
    # Small integers are sorted by counting.
    order = np.argsort(upto.astype(np.uint16) if len(days) < 2**16 else upto, kind="stable")
    event, time, stratum = rows.event[order], rows.time[order], rows.stratum[order]
    size, competes = size[order], (event > 0) & (event != cause)
    competing, before, curve = [], [], []
    for own in rows_by_group(stratum, len(rows.strata)):
        own = np.arange(len(time))[own]
        stays = _uncensored(time[own], event[own], freq[order][own])
        chosen = own[competes[own]]
        competing.append(chosen)
        before.append(stays(time[chosen]))
        # After a group's last day none of it can be seen, so its dead count no longer, as in crr.
        curve.append(stays(days) * (days <= time[own].max()))
    sample = Sample(
        np.ascontiguousarray(x[order].T), size, freq[order], upto[order], competing, before,
        curve, np.flatnonzero(event == cause), len(days),
    )  # fmt: skip
    return sample, order


def _uncensored(
    time: np.ndarray, event: np.ndarray, size: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function that gives the share not censored before a time.

    Whoever has an event on a day has left when others are censored on that day.
    """
    counts = tally(time, (event > 0).astype(np.int64), 1, size, None)
    able = counts.at_risk - counts.events[:, 0]
    lost = counts.censored > 0
    stays = np.cumprod(1 - np.where(lost, counts.censored / np.where(lost, able, 1.0), 0.0))
    return lambda at: np.append(1.0, stays)[np.searchsorted(counts.time, at, side="left")]
