"""What is left of an effect if trends before the start may have differed, but only smoothly.

The difference in trends may be any line, whose slope changes by no more than a bound from one
period to the next (Rambachan and Roth, Review of Economic Studies 2023;90:2555). The interval is
the shortest of fixed length around an estimate that is linear in the event times (Armstrong and
Kolesar, Econometrica 2018;86:655).

With d_r the difference in trends r periods after the last one before the start (d_0 = 0), slope s
of the first period after it and h_j the change of slope at j,

    d_r = r s + sum of (r - j) h_j over j = 1 .. r - 1     (r > 0),
    d_r = r s + sum of (j - r) h_j over j = r + 1 .. 0     (r < 0).

An estimate must not depend on s, and errs by at most the bound times the sum of the absolute
weights that it gives the h_j.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import brentq, minimize
from scipy.special import ndtr, ndtri

from loyalty_research.data.arguments import check_choice, check_share
from loyalty_research.data.frames import raise_faults
from loyalty_research.effects.aggregation import aggregate
from loyalty_research.effects.event_times import EventTimes, event_times, refuse_no_leads
from loyalty_research.effects.group_time import group_time_cells
from loyalty_research.effects.panel import CONTROLS, open_panel
from loyalty_research.errors import Fault, UsageError

_TINY = 1e-12
_STILL = 1e-13


def smoothness_sensitivity(
    panel: Any,
    *,
    outcome: str,
    unit: str,
    period: str,
    first_treated: str,
    bounds: Sequence[float],
    event_time: int | None = None,
    covariates: Sequence[str] | str | None = None,
    control: str = "never",
    cluster: str | None = None,
    conf_level: float = 0.95,
) -> pd.DataFrame:
    """Return intervals of the effect that allow for trends that differ smoothly.

    Args:
        panel: One row a unit and period, every unit in every period. Any frame.
        outcome: Column of the outcome, a number.
        unit: Column that names the unit.
        period: Column of the period: a whole number or a date.
        first_treated: Column with the unit's first treated period; missing = never treated.
        bounds: How much the slope of the difference in trends may change from one period to the
            next, in units of the outcome a period; 0 allows for one straight line.
        event_time: Periods since the start of the effect asked about, from 0; the mean over all
            from the start on if None.
        covariates: Names of columns, or a formula, as they are before treatment.
        control: "never" treated, or "not_yet" treated as well.
        cluster: Column that names what is independent; the unit if None.
        conf_level: Coverage of the intervals.

    Returns:
        `bound, estimate, std_error, worst_bias, conf_low, conf_high, conf_level, excludes_zero,
        method`. The first row, whose bound is missing, takes trends to be parallel; then one row
        a bound, with the estimate that makes its interval shortest.

    Raises:
        DataError: What `staggered_difference_in_differences` refuses, or no cohort with two
            periods before its start.
        UsageError: A bound below 0, or an event time that no cohort reaches.

    Examples:
        >>> rng = np.random.default_rng(1)
        >>> table = pd.DataFrame([(u, t) for u in range(40) for t in range(6)],
        ...     columns=["clinic", "month"])
        >>> table["start"] = np.where(table["clinic"] < 20, 4, np.nan)
        >>> table["rate"] = rng.normal(size=240) + 3 * (table["month"] >= table["start"])
        >>> found = smoothness_sensitivity(table, outcome="rate", unit="clinic", period="month",
        ...     first_treated="start", bounds=[0, 0.5, 2])
        >>> found["excludes_zero"].tolist()
        [True, True, True, False]
    """
    check_choice(control, CONTROLS, name="control")
    check_share(conf_level, name="conf_level")
    limits = [_bound(value) for value in bounds]
    opened = open_panel(
        panel, outcome=outcome, unit=unit, period=period, first_treated=first_treated,
        covariates=covariates, cluster=cluster, control=control,
    )  # fmt: skip
    cells = group_time_cells(opened, control=control)
    times = event_times(opened, aggregate(opened, cells, "dynamic"))
    refuse_no_leads(times, first_treated=first_treated)
    weight = _target(times, event_time)
    rows = [_parallel(times, weight, conf_level)]
    rows += [_row(shortest_interval(times, weight, bound, conf_level), bound) for bound in limits]
    table = pd.DataFrame(rows).assign(conf_level=conf_level)
    table["excludes_zero"] = (table["conf_low"] > 0) | (table["conf_high"] < 0)
    shown = ["bound", "estimate", "std_error", "worst_bias", "conf_low", "conf_high"]
    return table[[*shown, "conf_level", "excludes_zero", "method"]]


@dataclass(frozen=True)
class Interval:
    """The shortest interval of fixed length.

    Attributes:
        estimate: Its middle.
        std_error: Of the middle.
        worst_bias: How far the middle may err where trends are as the bound allows.
        half: Half its length.
        weight: What each event time counts for in the middle.
    """

    estimate: float
    std_error: float
    worst_bias: float
    half: float
    weight: np.ndarray


def shortest_interval(
    times: EventTimes, target: np.ndarray, bound: float, conf_level: float
) -> Interval:
    """Return the shortest interval of fixed length for a mean of effects after the start.

    Args:
        times: The event times.
        target: What each event time counts for in the mean asked about; 0 before the start.
        bound: How much the slope of the difference in trends may change a period.
        conf_level: Its coverage.

    Returns:
        The interval.

    Examples:
        >>> times = EventTimes(np.array([-2, 0]), np.array([-1.0, 5.0]), np.eye(2))
        >>> found = shortest_interval(times, np.array([0.0, 1.0]), 0.0, 0.95)
        >>> found.estimate, round(found.std_error, 4)  # the line through -2 and -1 continued
        (4.0, 1.4142)
    """
    if not (np.diag(times.covariance)[times.after] > 0).any():
        words = "the outcome does not vary between units, so that no change has an error"
        raise_faults([Fault("panel", "", 0, words, "choose an outcome that varies")])
    problem = _Problem(times, target, bound, conf_level)
    lead = problem.solve()
    weight = target.copy()
    weight[times.before] = lead
    error, bias = problem.error(lead), problem.bias(lead)
    half = error * folded_quantile(bias / error, conf_level)
    return Interval(float(weight @ times.estimate), error, bias, half, weight)


def folded_quantile(bias: float, conf_level: float) -> float:
    """Return the quantile of the absolute value of a normal number with a bias.

    Args:
        bias: Its mean, with a standard deviation of 1; not negative.
        conf_level: The probability.

    Returns:
        The quantile.

    Examples:
        >>> round(folded_quantile(0.0, 0.95), 4), round(folded_quantile(5.0, 0.95), 4)
        (1.96, 6.6449)
    """
    # Between the quantile that one tail needs and the one that two tails of a sum can need.
    low, high = bias + float(ndtri(conf_level)), bias + float(ndtri((1 + conf_level) / 2))
    if bias > 10:
        return low

    def short(limit: float) -> float:
        return float(ndtr(limit - bias) - ndtr(-limit - bias)) - conf_level

    return high if bias == 0 else float(brentq(short, low - _TINY, high + _TINY, xtol=1e-14))


class _Problem:
    """The search for the weights of the leads that make the interval shortest."""

    def __init__(self, times: EventTimes, target: np.ndarray, bound: float, conf_level: float):
        before = times.before
        self.bound, self.conf_level = bound, conf_level
        self.inner = times.covariance[np.ix_(before, before)]
        self.cross = times.covariance[before] @ target
        self.outer = float(target @ times.covariance @ target)
        steps = times.event_time + 1
        self.slope, self.slope_of_target = steps[before].astype(float), float(target @ steps)
        kinks = _kinks(steps)
        self.kinks, self.kinks_of_target = kinks[:, before], kinks @ target

    def error(self, lead: np.ndarray) -> float:
        """Return the standard error of the estimate with these weights of the leads."""
        variance = lead @ self.inner @ lead + 2 * lead @ self.cross + self.outer
        return math.sqrt(max(float(variance), _TINY * self.outer))

    def bias(self, lead: np.ndarray) -> float:
        """Return the largest bias that the bound allows for."""
        return self.bound * float(np.abs(self.kinks @ lead + self.kinks_of_target).sum())

    def solve(self) -> np.ndarray:
        """Return the best weights.

        Length is a convex and increasing function of error and bias, both convex in the weights.
        The absolute values become variables that stand above them, so that all is smooth.
        """
        start = self._least_error()
        if self.bound == 0 or len(start) == 1:
            return start
        n, size = len(start), math.sqrt(self.outer)
        kinks = np.abs(self.kinks @ start + self.kinks_of_target)
        ones = np.eye(len(kinks))
        rows = np.block([[-self.kinks, ones], [self.kinks, ones]])
        level = np.concatenate([-self.kinks_of_target, self.kinks_of_target])
        line = np.concatenate([self.slope, np.zeros(len(kinks))])

        def length(v: np.ndarray) -> tuple[float, np.ndarray]:
            half, by_error, by_bias = _half(
                self.error(v[:n]), self.bound * float(v[n:].sum()), self.conf_level
            )
            moved = (self.inner @ v[:n] + self.cross) / self.error(v[:n])
            gradient = np.concatenate([by_error * moved, np.full(len(kinks), by_bias * self.bound)])
            return half / size, gradient / size

        found = minimize(
            length, np.concatenate([start, kinks]), jac=True, method="SLSQP",
            constraints=[
                {"type": "ineq", "fun": lambda v: rows @ v + level, "jac": lambda v: rows},
                {"type": "eq", "fun": lambda v: line @ v + self.slope_of_target,
                 "jac": lambda v: line},
            ],
            options={"maxiter": 2000, "ftol": _STILL},
        )  # fmt: skip
        lead = found.x[:n]
        # What rounding left of the slope goes back into the weights.
        gap = float(self.slope @ lead) + self.slope_of_target
        lead = lead - self.slope * gap / float(self.slope @ self.slope)
        return lead if self._length(lead) < self._length(start) else start

    def _length(self, lead: np.ndarray) -> float:
        return _half(self.error(lead), self.bias(lead), self.conf_level)[0]

    def _least_error(self) -> np.ndarray:
        """Return the weights of least error among those that no slope moves."""
        n = len(self.slope)
        system = np.block(
            [[self.inner, self.slope[:, None]], [self.slope[None, :], np.zeros((1, 1))]]
        )
        right = np.concatenate([-self.cross, [-self.slope_of_target]])
        return np.linalg.lstsq(system, right, rcond=None)[0][:n]


def _half(error: float, bias: float, conf_level: float) -> tuple[float, float, float]:
    """Return half the length of an interval, and its derivatives by error and bias."""
    # A step of the search may leave the ground of biases that are not negative.
    ratio = max(bias, 0.0) / error
    factor = folded_quantile(ratio, conf_level)
    near, far = _density(factor - ratio), _density(factor + ratio)
    by_ratio = (near - far) / (near + far)
    return error * factor, factor - ratio * by_ratio, by_ratio


def _density(x: float) -> float:
    return math.exp(-x * x / 2)


def _kinks(steps: np.ndarray) -> np.ndarray:
    """Return what each change of slope adds to the difference in trends, a row a change."""
    at = np.arange(int(steps.min()) + 1, int(steps.max()))
    after = np.where((at[:, None] >= 1) & (steps > at[:, None]), steps - at[:, None], 0)
    before = np.where((at[:, None] <= 0) & (steps < at[:, None]), at[:, None] - steps, 0)
    return (after + before).astype(float)


def _bound(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) < math.inf:
        raise UsageError(f"bounds holds {value!r}; give numbers from 0, such as [0, 0.1, 0.2]")
    return float(value)


def _target(times: EventTimes, event_time: int | None) -> np.ndarray:
    """Return what each event time counts for in what is asked about."""
    chosen = times.after if event_time is None else times.after & (times.event_time == event_time)
    if not chosen.any():
        last = int(times.event_time.max())
        raise UsageError(f"event_time={event_time!r} is not reached; choose one from 0 to {last}")
    return chosen / chosen.sum()


def _parallel(times: EventTimes, target: np.ndarray, conf_level: float) -> dict[str, Any]:
    error = float(np.sqrt(target @ times.covariance @ target))
    half = error * float(ndtri((1 + conf_level) / 2))
    estimate = float(target @ times.estimate)
    return {
        "bound": math.nan, "estimate": estimate, "std_error": error, "worst_bias": 0.0,
        "conf_low": estimate - half, "conf_high": estimate + half, "method": "parallel trends",
    }  # fmt: skip


def _row(found: Interval, bound: float) -> dict[str, Any]:
    return {
        "bound": bound, "estimate": found.estimate, "std_error": found.std_error,
        "worst_bias": found.worst_bias, "conf_low": found.estimate - found.half,
        "conf_high": found.estimate + found.half, "method": "fixed length, bounded kinks of trend",
    }  # fmt: skip
