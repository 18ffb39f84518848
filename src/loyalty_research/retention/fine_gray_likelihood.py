"""The partial likelihood of Fine and Gray as sums by day, and the rows it wants.

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

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from loyalty_research.retention.risk_sets import tally
from loyalty_research.retention.rows import Rows, rows_by_group


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
        days: The event days, rising.
    """

    x: np.ndarray
    size: np.ndarray
    freq: np.ndarray
    upto: np.ndarray
    competing: list[np.ndarray]
    before: list[np.ndarray]
    curve: list[np.ndarray]
    event: np.ndarray
    days: np.ndarray

    @property
    def n_days(self) -> int:
        """How many event days there are."""
        return len(self.days)


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

    def baseline(self, within: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Return the sum of dN / S0 over some event days, and what moves it.

        Args:
            within: Which event days.

        Returns:
            The sum; minus its slope in each coefficient; its derivative by the weight of each
            column, times that weight.
        """
        own, s = self.likelihood, self.likelihood.sample
        steps = within * self._by_day(1, 0)
        drift, tied = within * self._by_day(2, 0), within * self._by_day(2, 1)
        moved = -self.risk * self._exposure(drift, tied)
        weight = sum_by_day(s.size[s.event], own.day, s.n_days)
        moved[s.event] += s.size[s.event] * (steps / weight)[own.day]
        return float(steps.sum()), self.s1 @ drift - self.d1 @ tied, moved

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
        curve, np.flatnonzero(event == cause), days,
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
