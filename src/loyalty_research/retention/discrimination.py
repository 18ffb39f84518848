"""How well a prediction tells those who have the event by a day from those who have not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from loyalty_research.data.arguments import as_columns, check_share
from loyalty_research.data.frames import raise_faults
from loyalty_research.errors import Fault
from loyalty_research.retention.averages import ESTIMATES, refuse_clashes, term_first
from loyalty_research.retention.inverse_censoring import (
    KnownStates,
    check_cause,
    finite_numbers,
    known_states,
    risk_columns,
    rows_of,
    summed_variance,
    weight_influence,
)
from loyalty_research.retention.rows import open_rows, rows_by_group


def time_dependent_auc(
    data: Any,
    *,
    risk: str | Mapping[int, str],
    horizon: int | Sequence[int] | None = None,
    time: str = "time",
    event: str = "event",
    cause: str | None = None,
    by: str | Sequence[str] | None = None,
    weight: str | None = None,
    freq: str | None = None,
    cluster: str | None = None,
    conf_level: float = 0.95,
) -> pd.DataFrame:
    """Return the chance that a patient with the event by a day had the higher predicted risk.

    The cumulative/dynamic area under the ROC curve: cases had the event at the horizon or before,
    controls are still without it afterwards, pairs of the same risk count one half. Cases count
    1 / G(T-) and controls 1 / G(horizon), G the share not yet censored (Uno, Cai, Tian and Wei,
    JASA 2007;102:527; Hung and Chiang, Can J Stat 2010;38:8). With `cause` the controls are all
    without an event of this cause by the horizon, those with another one counting 1 / G(T-)
    (Blanche, Dartigues and Jacqmin-Gadda, Stat Med 2013;32:5381, definition ii).

    The standard error is the infinitesimal jackknife, the estimation of G included.

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        risk: Column with the prediction, HIGHER for an EARLIER event, any number; or columns by
            horizon, `{180: "risk_180", 365: "risk_365"}`.
        horizon: The day or days, if `risk` is one column.
        time: Column with the time of event or censoring: whole units, not negative.
        event: Column that is true or 1 for an event, false or 0 for censoring; with `cause` a
            text, missing or "censored" for censoring.
        cause: The cause predicted, where there are several.
        by: Column or columns that name groups; G is estimated in each.
        weight: Column of case weights above 0.
        freq: Column of whole numbers from 1: how many patients the row stands for.
        cluster: Column that names the cluster; the influences are summed by cluster.
        conf_level: Coverage of the interval, normal and cut off at 0 and 1.

    Returns:
        One row a group and horizon: `term` ("auc"), the group's columns, `horizon`, the columns of
        an estimate; `p_value` against 0.5, `n_events` those of the cause by the horizon.

    Raises:
        UsageError: A horizon that is not whole, or none; an unknown cause.
        DataError: As for `open_rows`; a risk that is missing, infinite or no number; a horizon
            beyond what is known, with no event by then, or with nobody left without.

    Examples:
        >>> data = pd.DataFrame({"time": [1, 2, 5, 6], "event": [1, 1, 0, 0], "risk": [4, 2, 3, 1]})
        >>> time_dependent_auc(data, risk="risk", horizon=3)[["horizon", "estimate"]]
           horizon  estimate
        0        3      0.75
    """
    level, columns = check_share(conf_level, name="conf_level"), risk_columns(risk, horizon)
    refuse_clashes(as_columns(by), ["term", "horizon", *ESTIMATES, time, event])
    names: dict[str, Any] = {
        "by": as_columns(by),
        "weight": weight,
        "freq": freq,
        "cluster": cluster,
    }
    more = list(dict.fromkeys(columns.values()))
    rows = open_rows(data, time=time, event=event, causes=cause is not None, more=more, **names)
    check_cause(cause, rows.causes)
    scores = {name: finite_numbers(rows.more, name) for name in more}
    found, group = [], []
    for number, where in enumerate(rows_by_group(rows.group, len(rows.groups))):
        own = rows_of(rows, where)
        for day, column in columns.items():
            states = known_states(own, horizon=day, cause=cause)
            estimate, influence = _area(states, scores[column][where])
            variance = summed_variance(influence, freq=own.freq, cluster=own.cluster)
            found.append(_row(states, estimate, float(np.sqrt(variance)), own.freq, level))
            group.append(number)
    return term_first(rows.groups.iloc[group], found)


def _area(states: KnownStates, score: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the area, and how much a patient of each row moves it."""
    counted = states.size * states.weight
    cases = np.where(states.had_event, counted, 0.0)
    controls = np.where(states.had_event, 0.0, counted)
    all_pairs = cases.sum() * controls.sum()
    if not all_pairs > 0:
        words = f"everybody has had the event by day {states.horizon}"
        raise_faults([Fault("data", "", 0, words, "ask for an earlier horizon")])
    values, place = np.unique(score, return_inverse=True)
    below = _below(np.bincount(place, controls, len(values)))[place]
    above = cases.sum() - _below(np.bincount(place, cases, len(values)))[place]
    area = float(cases @ below / all_pairs)
    partners = np.where(states.had_event, below - area * controls.sum(), above - area * cases.sum())
    moved = states.weight * partners
    direct = moved + weight_influence(states, states.size * moved)
    return area, states.case_weight * direct / all_pairs


def _below(sums: np.ndarray) -> np.ndarray:
    """Return the sum below each value, and half of that at it."""
    return np.cumsum(sums) - sums / 2


def _row(
    states: KnownStates, estimate: float, error: float, freq: np.ndarray | None, level: float
) -> dict[str, Any]:
    half = norm.ppf((1 + level) / 2) * error
    n = np.ones(len(states.time), np.int64) if freq is None else freq
    with np.errstate(divide="ignore", invalid="ignore"):
        p_value = 2 * norm.sf(np.abs(estimate - 0.5) / np.float64(error))
    return {
        "horizon": states.horizon,
        "term": "auc",
        "estimate": estimate,
        "std_error": error,
        "conf_low": max(estimate - half, 0.0),
        "conf_high": min(estimate + half, 1.0),
        "conf_level": level,
        "p_value": p_value,
        "n": int(n.sum()),
        "n_events": int(n[states.had_event].sum()),
        "scale": "share of pairs",
        "method": "cumulative/dynamic, inverse censoring weights",
    }
