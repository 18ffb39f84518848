"""How far a predicted share lies from what happened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from loyalty_research.data.arguments import as_columns, check_share
from loyalty_research.errors import UsageError
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
from loyalty_research.retention.rows import Rows, open_rows, rows_by_group

METHOD = "inverse censoring weights"

_TAKEN = ["term", *ESTIMATES, "reference", "scaled"]
"""Columns of the results, which no group may be named as."""


def brier_score(
    data: Any,
    *,
    risk: str | Mapping[int, str],
    horizon: int | None = None,
    time: str = "time",
    event: str = "event",
    cause: str | None = None,
    by: str | Sequence[str] | None = None,
    weight: str | None = None,
    freq: str | None = None,
    cluster: str | None = None,
    conf_level: float = 0.95,
) -> pd.DataFrame:
    """Return the mean squared distance between the predicted risk at a day and what happened.

    Whoever had the event at T counts 1 / G(T-), whoever is still followed after the horizon
    1 / G(horizon), G the share not yet censored; whoever was censored before counts 0 (Graf,
    Schmoor, Sauerbrei and Schumacher, Stat Med 1999;18:2529; Gerds and Schumacher, Biom J
    2006;48:1029). 0 is perfect. The `reference` is the score of predicting for everybody the
    Kaplan-Meier (with `cause` the Aalen-Johansen) estimate of the group, `scaled` =
    1 - score / reference: 0 is no better than that, 1 is perfect.

    The standard error is the infinitesimal jackknife, the estimation of G included.

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        risk: Column with the predicted share WITH the event by the horizon, within 0 and 1 (one
            minus the predicted retention); or columns by horizon,
            `{180: "risk_180", 365: "risk_365"}`.
        horizon: The day, if `risk` is one column.
        time: Column with the time of event or censoring: whole units, not negative.
        event: Column that is true or 1 for an event, false or 0 for censoring; with `cause` a
            text, missing or "censored" for censoring.
        cause: The cause predicted, where there are several; other causes are no event.
        by: Column or columns that name groups; G is estimated in each.
        weight: Column of case weights above 0.
        freq: Column of whole numbers from 1: how many patients the row stands for.
        cluster: Column that names the cluster; the influences are summed by cluster.
        conf_level: Coverage of the interval, normal and cut off at 0.

    Returns:
        One row a group and horizon: `term` ("brier"), the group's columns, `horizon`, the columns
        of an estimate (`n_events` those of the cause by the horizon), `reference`, `scaled`.

    Raises:
        UsageError: A horizon that is not whole, or none; an unknown cause.
        DataError: As for `open_rows`; a risk that is missing or not within 0 and 1; a horizon
            beyond what is known, or with no event by then.

    Examples:
        >>> data = pd.DataFrame({"time": [1, 2, 5, 6], "event": [1, 1, 0, 0]})
        >>> data["risk"] = [0.9, 0.6, 0.4, 0.1]
        >>> brier_score(data, risk="risk", horizon=3)[["estimate", "reference", "scaled"]]
           estimate  reference  scaled
        0     0.085       0.25    0.66
    """
    level, columns = check_share(conf_level, name="conf_level"), risk_columns(risk, horizon)
    refuse_clashes(as_columns(by), ["horizon", *_TAKEN, time, event])
    names: dict[str, Any] = {
        "by": as_columns(by),
        "weight": weight,
        "freq": freq,
        "cluster": cluster,
    }
    rows, risks = _open(data, columns, time, event, cause, names)
    found, group = [], []
    for number, where in enumerate(rows_by_group(rows.group, len(rows.groups))):
        own = rows_of(rows, where)
        for day, column in columns.items():
            states = known_states(own, horizon=day, cause=cause)
            score, reference, influence = _score(states, risks[column][where])
            row = _row("brier", score, influence, reference, states.had_event, own, level)
            found.append({"horizon": day} | row)
            group.append(number)
    return term_first(rows.groups.iloc[group], found)


def integrated_brier_score(
    data: Any,
    *,
    risk: Mapping[int, str],
    time: str = "time",
    event: str = "event",
    cause: str | None = None,
    by: str | Sequence[str] | None = None,
    weight: str | None = None,
    freq: str | None = None,
    cluster: str | None = None,
    conf_level: float = 0.95,
) -> pd.DataFrame:
    """Return the Brier score averaged over the days from the first to the last horizon.

    The area under the scores by the trapezoid rule, divided by the days between the first and the
    last horizon (Graf and others, as for `brier_score`). Days before the first horizon are left
    out, also where other software lets the score rise from 0 on day 0.

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        risk: Columns with the predicted share with the event, by horizon; two or more.
        time: As for `brier_score`, and so are the arguments that follow.
        event: Column of events.
        cause: The cause predicted, where there are several.
        by: Column or columns that name groups.
        weight: Column of case weights above 0.
        freq: Column of whole numbers from 1.
        cluster: Column that names the cluster.
        conf_level: Coverage of the interval.

    Returns:
        One row a group: `term` ("integrated_brier"), the group's columns, `first_horizon`,
        `last_horizon`, the columns of an estimate, `reference`, `scaled`.

    Raises:
        UsageError: Fewer than two horizons; as for `brier_score`.
        DataError: As for `brier_score`.

    Examples:
        >>> data = pd.DataFrame({"time": [1, 2, 5, 6], "event": [1, 1, 0, 0]})
        >>> data["one"], data["three"] = [0.6, 0.3, 0.2, 0.1], [0.9, 0.6, 0.4, 0.1]
        >>> risk = {1: "one", 3: "three"}
        >>> integrated_brier_score(data, risk=risk)[["estimate", "reference"]].round(5)
           estimate  reference
        0      0.08    0.21875
    """
    level, columns = check_share(conf_level, name="conf_level"), risk_columns(risk, None)
    if len(columns) < 2:
        raise UsageError("risk must name columns for two horizons or more, to average between")
    refuse_clashes(as_columns(by), ["first_horizon", "last_horizon", *_TAKEN, time, event])
    names: dict[str, Any] = {
        "by": as_columns(by),
        "weight": weight,
        "freq": freq,
        "cluster": cluster,
    }
    rows, risks = _open(data, columns, time, event, cause, names)
    days = np.array(list(columns), float)
    share = _trapezoid(days)
    found = []
    for where in rows_by_group(rows.group, len(rows.groups)):
        own = rows_of(rows, where)
        score, reference, influence = 0.0, 0.0, np.zeros(len(own.time))
        for part, (day, column) in zip(share, columns.items(), strict=True):
            states = known_states(own, horizon=day, cause=cause)
            at_day = _score(states, risks[column][where])
            score += part * at_day[0]
            reference += part * at_day[1]
            influence += part * at_day[2]
        span = {"first_horizon": int(days[0]), "last_horizon": int(days[-1])}
        row = _row("integrated_brier", score, influence, reference, states.had_event, own, level)
        found.append(span | row)
    return term_first(rows.groups, found)


def _trapezoid(days: np.ndarray) -> np.ndarray:
    """Return what each day's score counts in the average."""
    half = np.diff(days) / 2
    return (np.append(half, 0.0) + np.append(0.0, half)) / (days[-1] - days[0])


def _open(
    data: Any,
    columns: dict[int, str],
    time: str,
    event: str,
    cause: str | None,
    names: dict[str, Any],
) -> tuple[Rows, dict[str, np.ndarray]]:
    more = list(dict.fromkeys(columns.values()))
    rows = open_rows(data, time=time, event=event, causes=cause is not None, more=more, **names)
    check_cause(cause, rows.causes)
    return rows, {name: finite_numbers(rows.more, name, shares=True) for name in more}


def _score(states: KnownStates, risk: np.ndarray) -> tuple[float, float, np.ndarray]:
    """Return the score, that of one prediction for all, and how much each patient moves it."""
    n = states.size.sum()
    error = states.weight * (states.had_event - risk) ** 2
    score = float(states.size @ error / n)
    moved = error - score + weight_influence(states, states.size * error)
    # The weighted share is the Kaplan-Meier estimate, and the weights add up to n.
    share = float(states.size @ (states.weight * states.had_event) / n)
    return score, share * (1 - share), states.case_weight * moved / n


def _row(
    term: str,
    score: float,
    influence: np.ndarray,
    reference: float,
    had_event: np.ndarray,
    rows: Rows,
    level: float,
) -> dict[str, Any]:
    error = np.sqrt(summed_variance(influence, freq=rows.freq, cluster=rows.cluster))
    half = norm.ppf((1 + level) / 2) * error
    n = np.ones(len(had_event), np.int64) if rows.freq is None else rows.freq
    return {
        "term": term,
        "estimate": score,
        "std_error": float(error),
        "conf_low": max(score - half, 0.0),
        "conf_high": score + half,
        "conf_level": level,
        "p_value": np.nan,
        "n": int(n.sum()),
        "n_events": int(n[had_event].sum()),
        "scale": "squared distance",
        "method": METHOD,
        "reference": reference,
        "scaled": 1 - score / reference if reference > 0 else np.nan,
    }
