"""Curves of weighted or clustered patients, with the variance that is summed over patients.

The robust variance is that of the infinitesimal jackknife (Jaeckel, Bell Laboratories memorandum
72-1215-10, 1972; R's `survfit(robust = TRUE)`): the sum over patients, or over clusters of them, of
the squared influence. The influence of row i with weight w on a sum over the times s <= t of
g(s) (dN_i(s) - Y_i(s) h(s)), where h = dN / Y is the hazard, is

    u_i(t) = w_i (its event at e <= t: g(e)) - w_i (A(min(t, e)) - A(entry)),  A = sum of g h,

so that between entry and end it is a line in A(t), whose square is summed from three sums over
patients that change only where somebody comes or goes. For the logarithm of the Kaplan-Meier curve
g = 1 / (Y - dN), for the cumulative hazard g = 1 / Y. Without weights, clusters and delayed entry
the sum is Greenwood's. No matrix of patients by times is ever made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from loyalty_research.data.arguments import as_columns
from loyalty_research.retention.averages import refuse_clashes
from loyalty_research.retention.curve_limits import add_limits
from loyalty_research.retention.risk_sets import COUNTS, Counts, counts_table, tally
from loyalty_research.retention.rows import Rows, open_rows, rows_by_group

WEIGHTS = ["weight_at_risk", "weight_events", "weight_censored"]
"""The weighted counts, which follow the counts of patients."""


@dataclass(frozen=True)
class Spells:
    """The rows of one group among its distinct times.

    Attributes:
        counts: Patients at risk, with the event, or censored.
        at_risk: Weight at risk at each distinct time.
        events: Weight of the events.
        censored: Weight of those censored.
        end: Where each row's time is among the distinct ones.
        start: Where the last time at or before its entry is, -1 before all; None without entry.
        event: 1 for an event, 0 for censoring.
        weight: Weight of one patient of the row.
        freq: Patients of the row, or None for one each.
        cluster: Codes from 0, or None where every patient is a cluster.
    """

    counts: Counts
    at_risk: np.ndarray
    events: np.ndarray
    censored: np.ndarray
    end: np.ndarray
    start: np.ndarray | None
    event: np.ndarray
    weight: np.ndarray
    freq: np.ndarray | None
    cluster: np.ndarray | None


def robust_curve(
    rows: Rows, *, times: Sequence[int], weighted: bool, conf_level: float, conf_type: str
) -> pd.DataFrame:
    """Return the Kaplan-Meier curves of rows with their robust standard error.

    Args:
        rows: As `open_rows` returns them.
        times: Times to add to those that occur.
        weighted: Report the weighted counts too.
        conf_level: Coverage of the pointwise interval.
        conf_type: Scale on which the interval is symmetric.

    Returns:
        The columns of a curve; the standard error is missing once the curve is at 0.

    Examples:
        >>> data = pd.DataFrame({"time": [1, 2, 3], "event": [1, 1, 0], "w": [1.0, 2.0, 1.0]})
        >>> rows = open_rows(data, weight="w")
        >>> curve = robust_curve(rows, times=(), weighted=True, conf_level=0.9, conf_type="log")
        >>> curve["estimate"].tolist()
        [1.0, 0.75, 0.25, 0.25]
    """
    parts = []
    for table, spells in tables_of_spells(rows, times=times, weighted=weighted):
        survival, log_variance = survival_of_spells(spells)
        log_error = np.sqrt(np.where(survival > 0, log_variance, np.nan))
        parts.append(
            add_limits(table, survival, log_error, conf_level=conf_level, conf_type=conf_type)
        )
    return pd.concat(parts, ignore_index=True)


def open_spells(
    data: Any, *, by: str | Sequence[str] | None, weight: str | None, **columns: str | None
) -> Rows:
    """Return the rows that a robust curve needs, or refuse with every fault.

    Args:
        data: Any frame.
        by: Column or columns that name groups.
        weight: Column of case weights, or None.
        columns: `time`, `event`, `entry`, `freq`, `cluster`, as for `open_rows`.

    Returns:
        As `open_rows`.

    Raises:
        UsageError: A grouping column whose name is one of the result's.
        DataError: As for `open_rows`.

    Examples:
        >>> data = pd.DataFrame({"time": [1], "event": [1], "w": [2.0]})
        >>> open_spells(data, by=None, weight="w", time="time", event="event").weight.tolist()
        [2.0]
    """
    interval = ["estimate", "std_error", "conf_low", "conf_high", "conf_level"]
    refuse_clashes(as_columns(by), [*COUNTS, *WEIGHTS, *interval])
    return open_rows(data, by=by, weight=weight, **columns)  # type: ignore[arg-type]


def tables_of_spells(
    rows: Rows, *, times: Sequence[int] = (), weighted: bool = False
) -> list[tuple[pd.DataFrame, Spells]]:
    """Return each group's counts as a table, with its rows among its distinct times.

    Args:
        rows: As `open_rows` returns them.
        times: Times to add to those that occur.
        weighted: Put the weighted counts into the table too.

    Returns:
        One pair a group, in the order of `rows.groups`.

    Examples:
        >>> data = pd.DataFrame({"time": [1, 2], "event": [1, 0], "w": [0.5, 2.0]})
        >>> (table, spells), = tables_of_spells(open_rows(data, weight="w"), weighted=True)
        >>> table["weight_at_risk"].tolist()
        [2.5, 2.5, 2.0]
    """
    found = []
    for group, where in enumerate(rows_by_group(rows.group, len(rows.groups))):
        spells = _spells(rows, where, times)
        table = counts_table(rows.groups.iloc[[group]], [spells.counts])
        if weighted:
            sums = (spells.at_risk, spells.events, spells.censored)
            table = table.assign(**dict(zip(WEIGHTS, sums, strict=True)))
        found.append((table, spells))
    return found


def survival_of_spells(spells: Spells) -> tuple[np.ndarray, np.ndarray]:
    """Return the Kaplan-Meier curve and the robust variance of its logarithm.

    Args:
        spells: Rows of one group.

    Returns:
        The curve, and the variance, which no longer holds once the curve is at 0.

    Examples:
        >>> data = pd.DataFrame({"time": [1, 2], "event": [1, 0]})
        >>> (_, spells), = tables_of_spells(open_rows(data))
        >>> survival, variance = survival_of_spells(spells)
        >>> survival.tolist(), variance.tolist()
        ([1.0, 0.5, 0.5], [0.0, 0.5, 0.5])
    """
    survival = np.cumprod(1 - spells.events / np.where(spells.at_risk > 0, spells.at_risk, 1.0))
    jump = _inverse(spells.at_risk - spells.events)
    return survival, robust_variance(spells, jump)


def hazard_of_spells(spells: Spells) -> tuple[np.ndarray, np.ndarray]:
    """Return the Nelson-Aalen cumulative hazard and its robust variance.

    Args:
        spells: Rows of one group.

    Returns:
        The cumulative hazard and its variance.

    Examples:
        >>> data = pd.DataFrame({"time": [1, 2], "event": [1, 0]})
        >>> (_, spells), = tables_of_spells(open_rows(data))
        >>> [part.tolist() for part in hazard_of_spells(spells)]
        [[0.0, 0.5, 0.5], [0.0, 0.125, 0.125]]
    """
    jump = _inverse(spells.at_risk)
    return np.cumsum(spells.events * jump), robust_variance(spells, jump)


def final_influence(spells: Spells, jump: np.ndarray) -> np.ndarray:
    """Return what each patient of a row contributes in all to a sum over the times.

    Args:
        spells: Rows of one group.
        jump: g at each distinct time, the contribution of an event there.

    Returns:
        The influence of one patient of each row.

    Examples:
        >>> data = pd.DataFrame({"time": [1, 2], "event": [1, 0]})
        >>> (_, spells), = tables_of_spells(open_rows(data))
        >>> final_influence(spells, np.array([0, 1.0, 0])).tolist()
        [0.5, -0.5]
    """
    drift = _drift(spells, jump)
    own = spells.event * jump[spells.end] - drift[spells.end]
    return spells.weight * (own if spells.start is None else own + _at(drift, spells.start))


def robust_variance(spells: Spells, jump: np.ndarray) -> np.ndarray:
    """Return the sum of squared influences at each distinct time.

    Args:
        spells: Rows of one group.
        jump: g at each distinct time, the contribution of an event there.

    Returns:
        The variance; missing where all rows are of one cluster.

    Examples:
        >>> data = pd.DataFrame({"time": [1, 2], "event": [1, 0]})
        >>> (_, spells), = tables_of_spells(open_rows(data))
        >>> robust_variance(spells, np.array([0, 1.0, 0])).tolist()
        [0.0, 0.5, 0.5]
    """
    if spells.cluster is not None and np.ptp(spells.cluster) == 0:
        # What a single cluster would do another time cannot be known from it.
        return np.full(len(jump), np.nan)
    drift = _drift(spells, jump)
    sums = _sums_by_row if spells.cluster is None else _sums_by_cluster
    constant, product, slope = sums(spells, jump, drift)
    # Each patient or cluster has P - W A(t): the sum of its square from those of P^2, P W, W^2.
    squares = constant - 2 * drift * product + drift**2 * slope
    # A difference of nothing but rounding is none.
    largest = np.maximum.accumulate(np.abs(constant) + drift**2 * slope)
    return np.where(squares > 1e-13 * largest, squares, 0.0)


def variance_of_influence(
    influence: np.ndarray, freq: np.ndarray | None, cluster: np.ndarray | None
) -> float:
    """Return the sum of squared influences, of patients or of clusters.

    Args:
        influence: That of one patient of each row.
        freq: Patients of each row, or None for one each.
        cluster: Codes from 0, or None.

    Returns:
        The variance; missing where all are of one cluster.

    Examples:
        >>> variance_of_influence(np.array([1.0, 2.0, 1.0]), None, np.array([0, 0, 1]))
        10.0
    """
    size = 1.0 if freq is None else freq
    if cluster is None:
        return float(np.sum(size * influence**2))
    if np.ptp(cluster) == 0:
        return float("nan")
    return float(np.sum(np.bincount(cluster, weights=size * influence) ** 2))


# --- rows among times -----------------------------------------------------------------------------


def rows_after(rows: Rows, day: int) -> Rows:
    """Return those still under observation after a day, entering there unless later.

    Args:
        rows: As `open_rows` returns them.
        day: The day after which they are looked at.

    Returns:
        The rows with `time` after the day.

    Examples:
        >>> data = pd.DataFrame({"time": [1, 5], "event": [1, 0]})
        >>> after = rows_after(open_rows(data), 3)
        >>> after.time.tolist(), after.entry.tolist()
        ([5], [3])
    """
    kept = np.flatnonzero(rows.time > day)
    entry = np.full(len(kept), day) if rows.entry is None else np.maximum(rows.entry[kept], day)
    return replace(
        rows,
        time=rows.time[kept],
        event=rows.event[kept],
        entry=entry,
        weight=_take(rows.weight, kept),
        freq=_take(rows.freq, kept),
        cluster=_take(rows.cluster, kept),
        group=rows.group[kept],
        stratum=rows.stratum[kept],
        more=rows.more.iloc[kept],
    )


def _take(values: np.ndarray | None, kept: np.ndarray) -> np.ndarray | None:
    return None if values is None else values[kept]


def _spells(rows: Rows, where: np.ndarray | slice, times: Sequence[int]) -> Spells:
    time, event = rows.time[where], rows.event[where]
    freq = None if rows.freq is None else rows.freq[where]
    weight = np.ones(len(time)) if rows.weight is None else rows.weight[where]
    entry = None if rows.entry is None else rows.entry[where]
    size = weight if freq is None else weight * freq
    counts = tally(time, event, 1, freq, None if entry is None else (entry, freq), times)
    sums = tally(time, event, 1, size, None if entry is None else (entry, size), times)
    events, n_events = sums.events[:, 0], counts.events[:, 0]
    # What is left by rounding must not be taken for somebody at risk.
    at_risk = np.where(counts.at_risk == n_events, events, sums.at_risk)
    end = np.searchsorted(counts.time, time)
    start = None if entry is None else np.searchsorted(counts.time, entry, side="right") - 1
    cluster = None if rows.cluster is None else rows.cluster[where]
    return Spells(counts, at_risk, events, sums.censored, end, start, event, weight, freq, cluster)


# --- sums of squares ------------------------------------------------------------------------------


def _inverse(values: np.ndarray) -> np.ndarray:
    return np.divide(1.0, values, out=np.zeros(len(values)), where=values > 0)


def _drift(spells: Spells, jump: np.ndarray) -> np.ndarray:
    return np.cumsum(jump * spells.events * _inverse(spells.at_risk))


def _at(drift: np.ndarray, position: np.ndarray) -> np.ndarray:
    return np.append(drift, 0.0)[position]


def _sums_by_row(
    spells: Spells, jump: np.ndarray, drift: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    size = 1.0 if spells.freq is None else spells.freq
    begun = np.zeros(len(spells.end)) if spells.start is None else _at(drift, spells.start)
    squares = size * spells.weight**2
    # Under observation P = w A(entry) and W = w; afterwards P is the whole influence and W = 0.
    over = size * final_influence(spells, jump) ** 2
    changes = ((squares * begun**2, over), (squares * begun, 0.0), (squares, 0.0))
    first, second, third = (_running(spells, begin, end) for begin, end in changes)
    return first, second, third


def _running(spells: Spells, begin: np.ndarray, end: np.ndarray | float) -> np.ndarray:
    length = len(spells.counts.time)
    leaving = np.bincount(spells.end, weights=end - begin, minlength=length)
    if spells.start is None:
        leaving[0] += begin.sum()
        return leaving.cumsum()
    coming = np.bincount(np.maximum(spells.start, 0), weights=begin, minlength=length)
    return (coming + leaving).cumsum()


def _sums_by_cluster(
    spells: Spells, jump: np.ndarray, drift: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    size = spells.weight if spells.freq is None else spells.weight * spells.freq
    start = np.zeros_like(spells.end) if spells.start is None else np.maximum(spells.start, 0)
    begun = np.zeros(len(start)) if spells.start is None else _at(drift, spells.start)
    position = np.concatenate([start, spells.end])
    over = size * (spells.event * jump[spells.end] - drift[spells.end])
    order = np.lexsort([position, np.tile(np.asarray(spells.cluster), 2)])
    constant = np.concatenate([size * begun, over])[order]
    slope = np.concatenate([size, -size])[order]
    cluster, position = np.tile(np.asarray(spells.cluster), 2)[order], position[order]
    p, w = _within(constant, cluster), _within(slope, cluster)
    p_before, w_before = p - constant, w - slope
    changes = (p**2 - p_before**2, p * w - p_before * w_before, w**2 - w_before**2)
    length = len(spells.counts.time)
    first, second, third = (
        np.bincount(position, weights=change, minlength=length).cumsum() for change in changes
    )
    return first, second, third


def _within(changes: np.ndarray, cluster: np.ndarray) -> np.ndarray:
    """Return the running sums of the changes that start anew with each cluster."""
    total = np.cumsum(changes)
    first = np.flatnonzero(np.diff(cluster, prepend=-1))
    before = np.append(0.0, total)[first]
    return total - np.repeat(before, np.diff(np.append(first, len(cluster))))
