"""The door of designs on time to an event, and what is estimated from weighted follow-up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit

from loyalty_research.data.frames import missing_columns, raise_faults
from loyalty_research.effects.arms import arm_faults
from loyalty_research.effects.logit import LogitFit, fit_logit
from loyalty_research.errors import DataError, Fault
from loyalty_research.retention.design_matrix import SeparationError, build_design, needed_columns
from loyalty_research.retention.rows import open_rows, take_columns

_SEPARATES = "those in the programme from the others"
_REPAIR = "leave it out or join its levels if it is no confounder"


@dataclass(frozen=True)
class FollowUp:
    """Rows with an arm, a time and an event.

    Attributes:
        arm: 0 or 1.
        time: Whole units.
        event: Whether it was the event.
        base: The weight each row came with; ones where none did.
        unit: Codes from 0 of what is independent: the row's cluster, else the row.
        x: A column of ones, then the covariates of the weights in standard deviations from their
            mean; None without covariates.
        terms: Names of the covariates' columns.
        estimand: Of the weights.
        days: The distinct times, rising.
        place: Where each row's time is among them.
        clustered: Whether rows come in clusters.
        weighted: Whether rows came with weights.
    """

    arm: np.ndarray
    time: np.ndarray
    event: np.ndarray
    base: np.ndarray
    unit: np.ndarray
    x: np.ndarray | None
    terms: list[str]
    estimand: str
    days: np.ndarray
    place: np.ndarray
    clustered: bool
    weighted: bool

    @property
    def n(self) -> int:
        """Rows."""
        return len(self.arm)

    @property
    def simple(self) -> bool:
        """Whether rows are independent and count alike, so that formulas give the error."""
        return self.x is None and not self.clustered and not self.weighted

    def events_by(self, day: float) -> int:
        """Return the events up to a day."""
        return int(np.count_nonzero((self.event > 0) & (self.time <= day)))

    def weights(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the weights of the rows, and the probability of arm 1 where it was estimated."""
        return self.reweigh()(np.ones(self.n))

    def reweigh(self) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray | None]]:
        """Return a function from how often each row was drawn to its weight, estimated anew."""
        if self.x is None:
            return lambda drawn: (drawn * self.base, None)
        x, arm, base = self.x, self.arm, self.base
        first = x @ self._propensity(base, None).beta

        def weigh(drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
            # From the fit to all rows it is a short way to that of nearly the same rows.
            p = self._propensity(drawn * base, first).fitted
            return arm_weights(arm, p, drawn * base, self.estimand), p

        return weigh

    def _propensity(self, counts: np.ndarray, offset: np.ndarray | None) -> LogitFit:
        return fit_logit(
            np.asarray(self.x), self.arm, terms=["", *self.terms], separates=_SEPARATES,
            repair=_REPAIR, weight=counts, offset=offset,
        )  # fmt: skip


def open_follow_up(
    data: Any,
    *,
    arm: str,
    time: str,
    event: str,
    covariates: Sequence[str] | str | None = None,
    weight: str | None = None,
    cluster: str | None = None,
    estimand: str = "ATE",
) -> FollowUp:
    """Return the rows of a comparison over time, or refuse with every fault.

    Args:
        data: One row a patient (or patient and trial). pandas, Polars, Arrow, DuckDB or Spark.
        arm: Column that is 1 or true for the programme, 0 or false for the comparison.
        time: Column with the time of event or censoring: whole units, not negative.
        event: Column that is true or 1 for an event, false or 0 for censoring.
        covariates: What the weights balance: names of columns, or a formula.
        weight: Column of given weights, above 0.
        cluster: Column that names what is independent.
        estimand: "ATE", "ATT" or "ATO".

    Returns:
        The rows.

    Raises:
        DataError: What `open_rows` refuses; another coding of arms, an arm without rows; covariates
            that are constant or determined by others; an arm without an event.

    Examples:
        >>> import pandas as pd
        >>> data = pd.DataFrame({"arm": [0, 1], "time": [3, 5], "event": [1, 1]})
        >>> open_follow_up(data, arm="arm", time="time", event="event").days.tolist()
        [3, 5]
    """
    named = [] if covariates is None else needed_columns(covariates)
    columns = [arm, time, event, *named, *(x for x in (weight, cluster) if x is not None)]
    raise_faults(missing_columns(data, list(dict.fromkeys(columns)), table="data"))
    faults: list[Fault] = []
    more = [name for name in named if name not in (arm, time, event)]
    rows = None
    try:
        rows = open_rows(data, time=time, event=event, weight=weight, cluster=cluster, more=more)
    except DataError as error:
        faults += error.faults
    table = take_columns(data, [arm])
    found, treated = arm_faults(table, arm, "time", np.ones(len(table), bool))
    faults += [one for one in found if one is not None and one not in faults]
    if rows is None or faults:
        raise DataError(faults)
    x: np.ndarray | None = None
    terms: list[str] = []
    if covariates is not None:
        design, numbers = build_design(take_columns(data, named), covariates)
        scaled = (numbers - numbers.mean(axis=0)) / numbers.std(axis=0)
        x, terms = np.column_stack([np.ones(len(table)), scaled]), list(design.terms)
    days, place = np.unique(rows.time, return_inverse=True)
    base = np.ones(len(table)) if rows.weight is None else rows.weight
    unit = np.arange(len(table)) if rows.cluster is None else rows.cluster
    return FollowUp(
        treated, rows.time, (rows.event > 0).astype(float), base, unit, x, terms, estimand, days,
        place, rows.cluster is not None, rows.weight is not None,
    )  # fmt: skip


def arm_weights(arm: np.ndarray, p: np.ndarray, counts: np.ndarray, estimand: str) -> np.ndarray:
    """Return the weight of each row from its probability of arm 1.

    One over the probability of the arm one is in weighs to everybody (ATE); 1 and p / (1 - p) to
    arm 1 (ATT); the probability of the other arm to the overlap (ATO; Li, Morgan and Zaslavsky,
    JASA 2018;113:390). Each arm's weights are scaled to add up to its rows (stabilised), which
    changes no curve of an arm, and in a Cox model keeps the arms' sizes.

    Args:
        arm: 0 or 1.
        p: The probability of arm 1.
        counts: How much each row counts before weighting.
        estimand: "ATE", "ATT" or "ATO".

    Returns:
        The weights, counts included.

    Examples:
        >>> arm_weights(np.array([0, 0, 1]), np.array([0.5, 0.75, 0.5]), np.ones(3), "ATE").round(4)
        array([0.6667, 1.3333, 1.    ])
    """
    own = np.where(arm == 1, p, 1 - p)
    raw = {"ATE": 1 / own, "ATT": p / own, "ATO": 1 - own}[estimand] * counts
    total = np.bincount(arm, counts, 2) / np.maximum(np.bincount(arm, raw, 2), 1e-300)
    return np.asarray(raw * total[arm])


# --- what is estimated ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Sums:
    """Weighted sums by arm (rows) and distinct time (columns)."""

    events: np.ndarray
    at_risk: np.ndarray
    tied: np.ndarray


def sums_of(rows: FollowUp, weight: np.ndarray, drawn: np.ndarray | None = None) -> Sums:
    """Return the weighted events, those at risk, and how many events are tied at each time.

    Args:
        rows: The follow-up.
        weight: Of each row.
        drawn: How often each row was drawn; None for once.

    Returns:
        The sums.

    Examples:
        >>> import pandas as pd
        >>> data = pd.DataFrame({"arm": [0, 1, 1], "time": [3, 3, 5], "event": [1, 0, 1]})
        >>> rows = open_follow_up(data, arm="arm", time="time", event="event")
        >>> sums_of(rows, np.ones(3)).at_risk.tolist()
        [[1.0, 0.0], [2.0, 1.0]]
    """
    k = len(rows.days)
    cell = rows.arm * k + rows.place
    events = np.bincount(cell, weight * rows.event, 2 * k).reshape(2, k)
    leaving = np.bincount(cell, weight, 2 * k).reshape(2, k)
    once = rows.event if drawn is None else rows.event * drawn
    tied = np.bincount(rows.place, once, k)
    return Sums(events, leaving[:, ::-1].cumsum(axis=1)[:, ::-1], tied)


def curves_of(sums: Sums) -> np.ndarray:
    """Return the weighted Kaplan-Meier curve of each arm after each distinct time.

    Cole and Hernan, Computer Methods and Programs in Biomedicine 2004;75:45.

    Args:
        sums: The sums.

    Returns:
        A row an arm.

    Examples:
        >>> sums = Sums(np.array([[1.0, 1.0]]), np.array([[4.0, 2.0]]), np.array([1, 1]))
        >>> curves_of(sums).tolist()
        [[0.75, 0.375]]
    """
    hazard = np.divide(
        sums.events, sums.at_risk, out=np.zeros(sums.events.shape), where=sums.at_risk > 1e-12
    )
    return np.asarray(np.cumprod(np.clip(1 - hazard, 0, 1), axis=1))


def smooth_curves(sums: Sums, days: np.ndarray, degree: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the curves of a logistic regression of leaving on arm, time and their products.

    Rows of one arm and unit of time have one probability, so that their weighted sums suffice.

    Args:
        sums: The sums.
        days: The times of their columns.
        degree: Of the polynomial of time.

    Returns:
        A row an arm, and the times of the columns: each unit of time from the first.

    Raises:
        SeparationError: An arm without events.

    Examples:
        >>> sums = Sums(np.array([[2.0, 1.0], [1.0, 2.0]]), np.array([[9.0, 6.0], [9.0, 8.0]]),
        ...     np.array([3, 3]))
        >>> curves, _ = smooth_curves(sums, np.array([1, 2]), 1)  # as many coefficients as cells
        >>> curves.round(4).tolist()
        [[0.7778, 0.6481], [0.8889, 0.6667]]
    """
    whole = np.arange(min(1, int(days[0])), int(days[-1]) + 1)
    place = np.searchsorted(days, whole)
    events = np.zeros((2, len(whole)))
    events[:, days - whole[0]] = sums.events
    at_risk = sums.at_risk[:, place]
    powers = np.column_stack([(whole / whole[-1]) ** j for j in range(degree + 1)])
    none = np.zeros(powers.shape)
    x = np.vstack([np.hstack([powers, none]), np.hstack([none, powers])])
    used = at_risk.ravel() > 1e-12
    share = events.ravel()[used] / at_risk.ravel()[used]
    fit = fit_logit(
        x[used], share, terms=[""] * (2 * degree + 1) + ["arm"], weight=at_risk.ravel()[used],
        separates="those who left from those who stayed", repair="use a lower degree",
    )  # fmt: skip
    return np.cumprod(1 - expit(x @ fit.beta).reshape(2, -1), axis=1), whole


def retention_at(curves: np.ndarray, days: np.ndarray, times: Sequence[int]) -> np.ndarray:
    """Return the curves at times: the value of the last step at or before each.

    Args:
        curves: A row an arm.
        days: The times of their columns, rising.
        times: When.

    Returns:
        A row an arm, a column a time.

    Examples:
        >>> retention_at(np.array([[0.9, 0.5]]), np.array([3, 8]), [0, 5]).tolist()
        [[1.0, 0.9]]
    """
    place = np.searchsorted(days, times, side="right")
    return np.asarray(np.column_stack([np.ones(len(curves)), curves])[:, place])


def areas_of(curves: np.ndarray, days: np.ndarray, horizon: int) -> np.ndarray:
    """Return the area under each curve from 0 to a horizon.

    Args:
        curves: A row an arm.
        days: The times of their columns, rising.
        horizon: Until when.

    Returns:
        One area an arm.

    Examples:
        >>> areas_of(np.array([[0.5]]), np.array([4]), 10).tolist()
        [7.0]
    """
    edges = np.minimum(np.concatenate([[0], days, [max(horizon, int(days[-1]))]]), horizon)
    steps = np.column_stack([np.ones(len(curves)), curves])
    return np.asarray(steps @ np.diff(edges))


def log_hazard_ratio(sums: Sums) -> float:
    """Return the log hazard ratio of arm 1 by Cox's model, ties by Efron's rule.

    With one covariate that is 0 or 1 the sums by day are sufficient. Weighted ties take the mean
    weight of a day's events, as R's `coxph`.

    Args:
        sums: The sums.

    Returns:
        The log hazard ratio.

    Raises:
        SeparationError: An arm without events among those at risk together: no finite maximum.

    Examples:
        >>> sums = Sums(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[2.0, 1.0], [2.0, 2.0]]),
        ...     np.array([1, 1]))
        >>> round(log_hazard_ratio(sums), 4)  # odds of 1 in 4 places: 1 = 2h/(2+2h) + 2h/(1+2h)
        -0.3466
    """
    day = np.repeat(np.arange(len(sums.tied)), np.rint(sums.tied).astype(int))
    first = np.append(0, np.cumsum(np.rint(sums.tied).astype(int)))[day]
    ties = np.rint(sums.tied)[day]
    share = (np.arange(len(day)) - first) / ties
    y0, y1 = (sums.at_risk[k][day] - share * sums.events[k][day] for k in (0, 1))
    mean = sums.events.sum(axis=0)[day] / ties
    both = (y0 > 1e-12) & (y1 > 1e-12)
    had = float(sums.events[1][day][both] @ (1 / ties[both]))
    total = float(mean[both].sum())
    if not 1e-12 < had < total - 1e-12:
        words = "an arm has no event while both arms are followed, so that there is no ratio"
        repair = "compare retention on a day (retention_difference) instead"
        raise SeparationError([Fault("data", "arm", 0, words, repair)])
    y0, y1, mean = y0[both], y1[both], mean[both]
    beta = 0.0
    for _ in range(100):
        part = y1 * np.exp(beta)
        part = part / (y0 + part)
        step = (had - mean @ part) / (mean @ (part * (1 - part)))
        beta += float(np.clip(step, -1, 1))
        if abs(step) < 1e-12:
            break
    return beta
