"""Whether as many patients have the event as was predicted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from loyalty_research.data.arguments import as_columns, check_share, check_whole
from loyalty_research.data.frames import raise_faults
from loyalty_research.errors import Fault
from loyalty_research.retention.averages import ESTIMATES, refuse_clashes, term_first
from loyalty_research.retention.inverse_censoring import (
    KnownStates,
    check_cause,
    finite_numbers,
    known_states,
    rows_of,
    states_at,
    summed_variance,
    weight_influence,
)
from loyalty_research.retention.rows import Rows, open_rows, rows_by_group

STEPS = 50
"""How often the slope may be improved before it counts as not found."""


def calibration(
    data: Any,
    *,
    risk: str,
    horizon: int,
    groups: int = 10,
    time: str = "time",
    event: str = "event",
    cause: str | None = None,
    by: str | Sequence[str] | None = None,
    weight: str | None = None,
    freq: str | None = None,
    cluster: str | None = None,
    conf_level: float = 0.95,
) -> pd.DataFrame:
    """Return observed over expected, the calibration slope, then what happened by predicted risk.

    Observed is the Kaplan-Meier (with `cause` the Aalen-Johansen) share with the event by the
    horizon, expected the mean prediction: above 1 the model promises too few events.

    The slope b is that of cloglog(share with the event) = a + b cloglog(predicted risk), fitted to
    the pseudo-values of the patients by least squares (Andersen, Klein and Rosthøj, Biometrika
    2003;90:15; recommended for calibration at a horizon by van Geloven and others, BMJ
    2022;377:e069249, from which Austin, Harrell and van Klaveren, Stat Med 2020;39:2714, differ by
    fitting a hazard model). Below 1 the predictions are too extreme, the usual sign of
    overfitting. It is missing if all predictions are the same.

    Pseudo-values and standard errors come from the infinitesimal jackknife; that of the slope is
    the sandwich estimate, with the pseudo-values taken as independent. The interval of observed
    over expected is built on the log scale, that of a group on the complementary log-log scale.

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        risk: Column with the predicted share WITH the event by the horizon, above 0 and
            below 1.
        horizon: The day that the risk speaks of.
        groups: Into how many groups of about the same number of patients to divide them by
            predicted risk; patients with one risk stay together.
        time: Column with the time of event or censoring: whole units, not negative.
        event: Column that is true or 1 for an event, false or 0 for censoring; with `cause` a
            text, missing or "censored" for censoring.
        cause: The cause predicted, where there are several.
        by: Column or columns that name groups of patients with a calibration each.
        weight: Column of case weights above 0.
        freq: Column of whole numbers from 1: how many patients the row stands for.
        cluster: Column that names the cluster; influences are summed by cluster.
        conf_level: Coverage of the intervals.

    Returns:
        `term` ("observed_over_expected", "slope", "group 1" with the lowest risks and so on), the
        columns of `by`, `horizon`, the columns of an estimate (of a group the observed share;
        missing if nobody in it is followed to the horizon; `p_value` of the first two against
        1), `predicted`, the mean prediction.

    Raises:
        UsageError: A horizon or number of groups that is not whole, an unknown cause.
        DataError: As for `open_rows`; a risk that is missing or not strictly within 0 and 1; a
            horizon beyond what is known, or with no event by then.

    Examples:
        >>> data = pd.DataFrame({"time": [1, 2, 2, 5, 5, 6], "event": [1, 1, 1, 0, 0, 0]})
        >>> data["risk"] = [0.7, 0.6, 0.4, 0.5, 0.4, 0.1]
        >>> table = calibration(data, risk="risk", horizon=3, groups=2)
        >>> table[["term", "estimate", "predicted", "n", "n_events"]].round(3)
                             term  estimate  predicted  n  n_events
        0  observed_over_expected     1.111       0.45  6         3
        1                   slope     2.300        NaN  6         3
        2                 group 1     0.333       0.30  3         1
        3                 group 2     0.667       0.60  3         2
    """
    level, day = check_share(conf_level, name="conf_level"), check_whole(horizon, name="horizon")
    count = check_whole(groups, name="groups", minimum=1)
    refuse_clashes(as_columns(by), ["term", "horizon", *ESTIMATES, "predicted", time, event])
    names: dict[str, Any] = {
        "by": as_columns(by),
        "weight": weight,
        "freq": freq,
        "cluster": cluster,
    }
    rows = open_rows(data, time=time, event=event, causes=cause is not None, more=[risk], **names)
    check_cause(cause, rows.causes)
    risks = _open_shares(rows.more, risk)
    found, group = [], []
    for number, where in enumerate(rows_by_group(rows.group, len(rows.groups))):
        own, predicted = rows_of(rows, where), risks[where]
        states = known_states(own, horizon=day, cause=cause)
        found += [_ratio(own, states, predicted, level), _slope(own, states, predicted, level)]
        parts = list(_by_risk(predicted, own.freq, count))
        found += [
            _of_group(f"group {k}", rows_of(own, part), predicted[part], day, cause, level)
            for k, part in enumerate(parts, start=1)
        ]
        group += [number] * (len(parts) + 2)
    return term_first(rows.groups.iloc[group].assign(horizon=day), found)


def _open_shares(table: pd.DataFrame, risk: str) -> np.ndarray:
    shares = finite_numbers(table, risk, shares=True)
    closed = int(((shares == 0) | (shares == 1)).sum())
    if closed:
        words = f"{risk} is exactly 0 or 1 in {closed:,} of {len(shares):,} rows"
        repair = "no such prediction can be recalibrated; keep it a little within"
        raise_faults([Fault("data", risk, closed, words, repair)])
    return shares


def _observed(states: KnownStates) -> tuple[float, np.ndarray]:
    """Return the share with the event, and its derivative by each row's size."""
    counted = states.weight * states.had_event
    share = float(states.size @ counted / states.size.sum())
    moved = counted - share + weight_influence(states, states.size * counted)
    return share, moved / states.size.sum()


def _ratio(rows: Rows, states: KnownStates, risk: np.ndarray, level: float) -> dict[str, Any]:
    share, moved = _observed(states)
    n = states.size.sum()
    expected = float(states.size @ risk / n)
    ratio = share / expected
    influence = states.case_weight * (moved - ratio * (risk - expected) / n) / expected
    error = np.sqrt(summed_variance(influence, freq=rows.freq, cluster=rows.cluster))
    spread = np.exp(norm.ppf((1 + level) / 2) * error / ratio)
    with np.errstate(divide="ignore", invalid="ignore"):
        p_value = 2 * norm.sf(np.abs(np.log(ratio)) / (error / ratio))
    method = "Kaplan-Meier" if len(rows.causes) == 1 else "Aalen-Johansen"
    limits = (ratio / spread, ratio * spread)
    row = _row("observed_over_expected", ratio, error, limits, level, p_value, states, rows)
    return row | {"scale": "ratio", "method": method, "predicted": expected}


def _slope(rows: Rows, states: KnownStates, risk: np.ndarray, level: float) -> dict[str, Any]:
    share, moved = _observed(states)
    pseudo = share + states.size.sum() * moved
    slope, error = np.nan, np.nan
    if np.ptp(risk) > 0:
        slope, error = _fit_slope(rows, states, pseudo, np.log(-np.log1p(-risk)))
    half = norm.ppf((1 + level) / 2) * error
    with np.errstate(divide="ignore", invalid="ignore"):
        p_value = 2 * norm.sf(np.abs(slope - 1) / np.float64(error))
    limits = (slope - half, slope + half)
    row = _row("slope", slope, error, limits, level, p_value, states, rows)
    method = "pseudo-values, complementary log-log"
    return row | {"scale": "slope", "method": method, "predicted": np.nan}


def _fit_slope(
    rows: Rows, states: KnownStates, pseudo: np.ndarray, x: np.ndarray
) -> tuple[float, float]:
    """Return the slope and its standard error by Gauss-Newton steps from a perfect model."""
    design = np.column_stack([np.ones(len(x)), x])
    beta = np.array([0.0, 1.0])
    for _ in range(STEPS):
        residual, gradient = _fitted(design, pseudo, beta)
        bread = gradient.T @ (gradient * states.size[:, None])
        step = np.linalg.lstsq(bread, gradient.T @ (states.size * residual), rcond=None)[0]
        loss = states.size @ residual**2
        # Too long a step is halved until it is no worse.
        while states.size @ _fitted(design, pseudo, beta + step)[0] ** 2 > loss * (1 + 1e-14):
            step = step / 2
        beta = beta + step
        if np.abs(step).max() < 1e-10:
            break
    else:
        return np.nan, np.nan
    residual, gradient = _fitted(design, pseudo, beta)
    scores = gradient * (states.case_weight * residual)[:, None]
    influence = scores @ np.linalg.pinv(gradient.T @ (gradient * states.size[:, None]))[1]
    variance = summed_variance(influence, freq=rows.freq, cluster=rows.cluster)
    return float(beta[1]), float(np.sqrt(variance))


def _fitted(
    design: np.ndarray, pseudo: np.ndarray, beta: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return residuals, and the derivatives of the fitted shares."""
    eta = np.clip(design @ beta, -700.0, 6.0)
    return pseudo + np.expm1(-np.exp(eta)), design * np.exp(eta - np.exp(eta))[:, None]


def _by_risk(risk: np.ndarray, freq: np.ndarray | None, groups: int) -> list[np.ndarray]:
    """Return the rows of each group of risk, the lowest first; equal risks stay together."""
    values, place = np.unique(risk, return_inverse=True)
    sizes = np.bincount(place, freq, len(values))
    middle = (np.cumsum(sizes) - sizes / 2) / sizes.sum()
    group = np.minimum((middle * groups).astype(np.int64), groups - 1)[place]
    return [np.flatnonzero(group == k) for k in np.unique(group)]


def _of_group(
    term: str, rows: Rows, risk: np.ndarray, day: int, cause: str | None, level: float
) -> dict[str, Any]:
    states = states_at(rows, horizon=day, cause=cause)
    share, error, limits = np.nan, np.nan, (np.nan, np.nan)
    if day <= states.known.last_day():
        share, moved = _observed(states)
        influence = states.case_weight * moved
        error = np.sqrt(summed_variance(influence, freq=rows.freq, cluster=rows.cluster))
        limits = _cloglog_interval(share, float(error), level)
    row = _row(term, share, error, limits, level, np.nan, states, rows)
    method = "Kaplan-Meier" if len(rows.causes) == 1 else "Aalen-Johansen"
    predicted = float(states.size @ risk / states.size.sum())
    return row | {"scale": "share", "method": method, "predicted": predicted}


def _cloglog_interval(share: float, error: float, level: float) -> tuple[float, float]:
    """Return the interval, missing where nobody or everybody has had the event."""
    if not 0 < share < 1:
        return np.nan, np.nan
    hazard = -np.log1p(-share)
    half = norm.ppf((1 + level) / 2) * error / ((1 - share) * hazard)
    return float(-np.expm1(-hazard * np.exp(-half))), float(-np.expm1(-hazard * np.exp(half)))


def _row(
    term: str,
    estimate: float,
    error: float,
    limits: tuple[float, float],
    level: float,
    p_value: float,
    states: KnownStates,
    rows: Rows,
) -> dict[str, Any]:
    n = np.ones(len(states.time), np.int64) if rows.freq is None else rows.freq
    return {
        "term": term,
        "estimate": estimate,
        "std_error": float(error),
        "conf_low": limits[0],
        "conf_high": limits[1],
        "conf_level": level,
        "p_value": p_value,
        "n": int(n.sum()),
        "n_events": int(n[states.had_event].sum()),
    }
