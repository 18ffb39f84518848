"""The share to whom each of several causes has happened by each day.

With Y(t) at risk, d_k(t) events of cause k and S the Kaplan-Meier curve of all causes together,

    F_k(t) = sum over s <= t of S(s-) d_k(s) / Y(s)

(Aalen and Johansen, Scandinavian Journal of Statistics 1978;5:141). All causes of one day leave
together. The incidences of all causes and S add up to 1. One minus the Kaplan-Meier curve of a
single cause, the others censored, says how many would have had it in a world without the others;
it is always higher.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtri

from loyalty_research.data.arguments import as_columns, check_choice, check_share, check_times
from loyalty_research.data.frames import raise_faults
from loyalty_research.errors import Fault, UsageError
from loyalty_research.retention.risk_sets import Counts, counts_by_group, counts_of_rows
from loyalty_research.retention.rows import Rows, open_rows, rows_by_group

CONF_TYPES = ("log-log", "log", "plain")
WEIGHTS = ["weight_at_risk", "weight_events", "weight_censored"]
_RESULT = {"cause", "time", "n_at_risk", "n_events", "n_censored", "estimate", "std_error"}
_RESULT |= {"conf_low", "conf_high", "conf_level", *WEIGHTS}


def cumulative_incidence(
    data: Any,
    *,
    time: str = "time",
    event: str = "event",
    entry: str | None = None,
    by: str | Sequence[str] | None = None,
    times: Sequence[int] | None = None,
    weight: str | None = None,
    freq: str | None = None,
    cluster: str | None = None,
    conf_level: float = 0.95,
    conf_type: str = "log-log",
) -> pd.DataFrame:
    """Return the share to whom each cause has happened at each time, the others competing.

    The Aalen-Johansen estimate. Its standard error is Greenwood's for several causes (Dinse and
    Larson, Biometrika 1986;73:379; Gaynor and others, JASA 1993;88:400), the same number as the
    infinitesimal jackknife of R's `survfit` where nobody enters late. With `weight` or `cluster`
    it is that jackknife itself (robust): the squared changes that leaving out each patient, or
    cluster, would make.

    Intervals of type `"log-log"` are those of `kaplan_meier` for 1 - F, turned over: with one
    cause both agree. `"log"` (on F, cut at 1) and `"plain"` (cut at 0 and 1) are those of R.
    While nobody has had the cause, F is 0: its lower limit is 0, its upper one missing, since a
    standard error of 0 would be mistaken for certainty; 0 until the first patient has left. Once
    everybody has had the cause, the upper limit is 1 and the lower missing.

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        time: Column with the time of event or censoring: whole units, not negative.
        event: Column with the cause as text; missing or "censored" is censored. `derive_causes`
            writes it as "cause".
        entry: Column with the time from which the patient is under observation; at risk at t are
            those with `entry < t <= time`.
        by: Column or columns that name groups.
        times: Report the curves at these times only: estimate and interval are those of the last
            step at or before, the counts are those of the time itself.
        weight: Column of case weights above 0.
        freq: Column of whole numbers from 1: how many patients a row stands for.
        cluster: Column that names whose rows belong together.
        conf_level: Coverage of the pointwise interval.
        conf_type: Scale on which the interval is symmetric.

    Returns:
        One row a group, cause and distinct time, time 0 included: the group's columns, `cause`,
        `time`, `n_at_risk`, `n_events` (of the cause), `n_censored`, with `weight` also
        `weight_at_risk`, `weight_events`, `weight_censored`, then `estimate`, `std_error`,
        `conf_low`, `conf_high`, `conf_level`.

    Raises:
        UsageError: An unknown `conf_type`, times that are not whole or are negative, a grouping
            column whose name is one of the result's.
        DataError: No cause named in any row, and as for `risk_sets`.

    Examples:
        >>> data = pd.DataFrame({"time": [1, 2, 2, 3], "event": ["died", "moved", None, "died"]})
        >>> curve = cumulative_incidence(data, times=[2, 3])
        >>> curve[["cause", "time", "n_at_risk", "n_events", "estimate"]]
           cause  time  n_at_risk  n_events  estimate
        0   died     2          3         0      0.25
        1   died     3          1         1      0.75
        2  moved     2          3         1      0.25
        3  moved     3          1         0      0.25
    """
    check_choice(conf_type, CONF_TYPES, name="conf_type")
    level, asked = check_share(conf_level, name="conf_level"), check_times(times)
    _check_names(as_columns(by), [time, event, entry])
    columns: dict[str, Any] = {"time": time, "event": event, "entry": entry, "by": by, "freq": freq}
    if weight is None and cluster is None:
        groups, counts, causes = counts_by_group(data, **columns, causes=True, times=asked or ())
        _check_causes(causes, counts, event)
        parts = [_curves(c, c, _greenwood(c)) for c in counts]
    else:
        rows = open_rows(data, **columns, causes=True, weight=weight, cluster=cluster)
        counts = counts_of_rows(rows, times=asked or ())
        _check_causes(rows.causes, counts, event)
        groups, causes, parts = rows.groups, rows.causes, _robust_curves(rows, counts, asked or ())
    table = _stack(groups, causes, parts, level, conf_type, weighted=weight is not None)
    return table if asked is None else table[table["time"].isin(asked)].reset_index(drop=True)


# --- estimate -------------------------------------------------------------------------------------


def _steps(counts: Counts) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the share that stayed just before, those at risk, and the rates, by cause and all."""
    # Nobody at risk means no event either: the rate is 0, not 0 / 0.
    had = counts.events.sum(axis=1)
    at_risk = np.where(had > 0, counts.at_risk, np.maximum(counts.at_risk, 1)).astype(float)
    rates, rate = counts.events / at_risk[:, None], had / at_risk
    stayed = np.append(1.0, np.cumprod(1 - rate)[:-1])
    return stayed, at_risk, rates, rate


def _incidences(counts: Counts) -> np.ndarray:
    stayed, _, rates, _ = _steps(counts)
    return np.minimum(np.cumsum(stayed[:, None] * rates, axis=0), 1.0)


def _odds(rate: np.ndarray) -> np.ndarray:
    """Return rate / (1 - rate); 0 where all leave, since no incidence rises after that."""
    staying = np.where(rate < 1, 1 - rate, 1.0)
    return np.where(rate < 1, rate / staying, 0.0)


def _greenwood(counts: Counts) -> np.ndarray:
    """Return the standard errors by time and cause.

    The rates of time s have a multinomial variance; a change of them moves F_k(t) by S(s-) through
    cause k and by -(F_k(t) - F_k(s)) / (1 - rate) through all. The square of the difference opens
    into sums over s, so that all t together cost one pass.
    """
    stayed, at_risk, rates, rate = _steps(counts)
    shares = _incidences(counts)
    later = (_odds(rate) / at_risk)[:, None]
    through = stayed[:, None] * rates / at_risk[:, None]
    own = stayed[:, None] ** 2 * rates * (1 - rates) / at_risk[:, None]
    constant = np.cumsum(own + 2 * shares * through + shares**2 * later, axis=0)
    linear = np.cumsum(through + shares * later, axis=0)
    variance = constant - 2 * shares * linear + shares**2 * np.cumsum(later, axis=0)
    return np.sqrt(np.maximum(variance, 0))


def _curves(counts: Counts, weighted: Counts, std_error: np.ndarray) -> list[dict[str, np.ndarray]]:
    """Return the columns of each cause of a group."""
    shares = _incidences(weighted)
    left = np.cumsum(counts.events.sum(axis=1) + counts.censored) > 0
    return [
        {
            "time": counts.time,
            "n_at_risk": counts.at_risk,
            "n_events": counts.events[:, k],
            "n_censored": counts.censored,
            "weight_at_risk": weighted.at_risk,
            "weight_events": weighted.events[:, k],
            "weight_censored": weighted.censored,
            "estimate": shares[:, k],
            "std_error": np.where(shares[:, k] > 0, std_error[:, k], 0.0),
            "someone_left": left,
        }
        for k in range(counts.events.shape[1])
    ]


def _stack(
    groups: pd.DataFrame,
    causes: tuple[str, ...],
    parts: Sequence[Sequence[dict[str, np.ndarray]]],
    level: float,
    conf_type: str,
    *,
    weighted: bool,
) -> pd.DataFrame:
    """Return the curves of all groups and causes under one another, with their intervals."""
    curves = [curve for part in parts for curve in part]
    which = np.repeat(np.arange(len(curves)), [len(curve["time"]) for curve in curves])
    columns = {name: np.concatenate([curve[name] for curve in curves]) for name in curves[0]}
    someone_left, z = columns.pop("someone_left"), ndtri((1 + level) / 2)
    low, high = _interval(columns["estimate"], columns["std_error"], someone_left, z, conf_type)
    keys: dict[Any, Any] = {name: groups[name].array[which // len(causes)] for name in groups}
    keys["cause"] = np.array(causes, dtype=object)[which % len(causes)]
    kept = {name: columns[name] for name in columns if weighted or name not in WEIGHTS}
    limits = {"conf_low": low, "conf_high": high, "conf_level": np.full(len(low), level)}
    return pd.DataFrame({**keys, **kept, **limits}, copy=False)


# --- robust standard error ------------------------------------------------------------------------


def _robust_curves(
    rows: Rows, counts: Sequence[Counts], asked: Sequence[int]
) -> list[list[dict[str, np.ndarray]]]:
    weighted = counts_of_rows(rows, times=asked, weighted=True)
    parts = []
    for g, where in enumerate(rows_by_group(rows.group, len(rows.groups))):
        spans = _spans(rows, where, weighted[g].time)
        errors = [
            _jackknife(weighted[g], spans, rows.event[where], k) for k in range(len(rows.causes))
        ]
        parts.append(_curves(counts[g], weighted[g], np.column_stack(errors)))
    return parts


@dataclass(frozen=True)
class _Spans:
    """From which entry of the times to which a row is at risk, what it weighs, whose it is."""

    start: np.ndarray
    stop: np.ndarray
    size: np.ndarray
    repeats: np.ndarray | None
    unit: np.ndarray | None


def _spans(rows: Rows, where: Any, times: np.ndarray) -> _Spans:
    stop = np.searchsorted(times, rows.time[where])
    start = np.zeros_like(stop)
    if rows.entry is not None:
        start = np.searchsorted(times, rows.entry[where], side="right")
    size = np.ones(len(stop)) if rows.weight is None else rows.weight[where]
    repeats = None if rows.freq is None else rows.freq[where]
    if rows.cluster is None:
        return _Spans(start, stop, size, repeats, None)
    # Patients of one row are of one cluster, and patients of a cluster add up before squaring.
    size = size if repeats is None else size * repeats
    return _Spans(start, stop, size, None, rows.cluster[where])


def _jackknife(counts: Counts, spans: _Spans, event: np.ndarray, k: int) -> np.ndarray:
    """Return the standard error of the k-th incidence by the infinitesimal jackknife.

    A unit of weight changes F(t) while at risk by a(t) + F(t) b(t), sums of what each time
    contributes to those who stay; from its exit on by a and b at that time, and its event's own
    part. So each patient's or cluster's change is p + F q + (a + F b) r, with p, q and the weight
    at risk r moving only when a row enters or leaves. Its square, summed over all, needs the six
    sums of products of p, q and r alone.
    """
    stayed, at_risk, rates, rate = _steps(counts)
    share, odds = _incidences(counts)[:, k], _odds(rate)
    a = np.cumsum(-(stayed * rates[:, k] + share * odds) / at_risk)
    b = np.cumsum(odds / at_risk)
    # An event of any cause takes away from what comes later; one of the cause adds now.
    loss = np.where(rate < 1, 1 / np.where(rate < 1, 1 - rate, 1.0), 0.0) / at_risk
    had, is_cause = (event > 0)[:, None], event == k + 1
    own = np.where(had, np.column_stack([share * loss, -loss])[spans.stop], 0.0)
    own[:, 0] += np.where(is_cause, (stayed / at_risk)[spans.stop], 0.0)
    path = np.column_stack([a, b])
    entering = np.column_stack([-np.vstack([np.zeros(2), path])[spans.start], np.ones(len(event))])
    leaving = np.column_stack([path[spans.stop] + own, -np.ones(len(event))])
    sums = _products(entering, leaving, spans, len(a))
    view = np.column_stack([np.ones(len(a)), share, a + share * b])
    variance = np.einsum("ti,tij,tj->t", view, sums, view)
    return np.sqrt(np.maximum(variance, 0))


def _products(entering: np.ndarray, leaving: np.ndarray, spans: _Spans, length: int) -> np.ndarray:
    """Return the sums over units of products of their three states, at each time."""
    change = np.stack([entering, leaving], axis=1) * spans.size[:, None, None]
    at = np.stack([spans.start, spans.stop], axis=1).ravel()
    if spans.unit is None:
        after, change = change.cumsum(axis=1).reshape(-1, 3), change.reshape(-1, 3)
    else:
        unit = np.repeat(spans.unit, 2)
        order = np.lexsort((at, unit))
        at, unit, change = at[order], unit[order], change.reshape(-1, 3)[order]
        total = np.vstack([np.zeros(3), change.cumsum(axis=0)])
        first = np.flatnonzero(np.diff(unit, prepend=-1))
        after = total[1:] - np.repeat(total[first], np.diff([*first, len(unit)]), axis=0)
    before = after - change
    repeats = 1.0 if spans.repeats is None else np.repeat(spans.repeats, 2)
    sums = np.empty((length, 3, 3))
    for i, j in itertools.combinations_with_replacement(range(3), 2):
        moved = (after[:, i] * after[:, j] - before[:, i] * before[:, j]) * repeats
        sums[:, i, j] = sums[:, j, i] = np.bincount(at, moved, length).cumsum()
    return sums


# --- interval and checks --------------------------------------------------------------------------


def _interval(
    share: np.ndarray, std_error: np.ndarray, someone_left: np.ndarray, z: float, conf_type: str
) -> tuple[np.ndarray, np.ndarray]:
    half = z * std_error
    inside = (share > 0) & (share < 1)
    middle = np.where(inside, share, 0.5)
    if conf_type == "plain":
        low, high = middle - half, middle + half
    elif conf_type == "log":
        low, high = middle * np.exp(-half / middle), middle * np.exp(half / middle)
    else:
        log_stay = np.log1p(-middle)
        factor = np.exp(half / ((1 - middle) * -log_stay))
        low, high = -np.expm1(log_stay / factor), -np.expm1(log_stay * factor)
    low, high = np.maximum(low, 0), np.minimum(high, 1)
    # Where nobody, or everybody, has had the cause one limit is known and the other is not.
    low = np.where(inside, low, np.where(share > 0, np.nan, 0.0))
    high = np.where(inside, high, np.where(share > 0, 1.0, np.nan))
    return low, np.where(someone_left, high, 0.0)


def _check_names(groups: Sequence[str], others: Sequence[str | None]) -> None:
    clash = [name for name in groups if name in _RESULT or name in others]
    if clash:
        raise UsageError(f"by={clash[0]!r} is also a column of the result; rename it in the data")


def _check_causes(causes: tuple[str, ...], counts: Sequence[Counts], event: str) -> None:
    if not causes:
        n = int(sum(c.censored.sum() for c in counts))
        message = f"{event} names no cause in any of {n:,} rows"
        raise_faults([Fault("data", event, n, message, "there is no incidence to estimate")])
