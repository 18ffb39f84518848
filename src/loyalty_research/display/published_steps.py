"""Curves that rise, as they may be published: incidences of causes, and mean counts of visits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from loyalty_research.display.disclosure import (
    DECIMALS,
    THRESHOLD,
    hide_small_counts,
    round_p,
    suppress_curve,
)
from loyalty_research.display.lookup import check_curve, curve_at
from loyalty_research.display.tidy import as_list, as_pandas, require_audience, require_columns

_COUNTS = ("n_at_risk", "n_events", "n_censored")
_VALUES = ("estimate", "conf_low", "conf_high")
_PAIRS = ("concordant", "discordant", "tied_risk", "tied_time", "tied_both")
# A published mean count moves once a month: no visit's day can be read from it.
_LEAST_DAYS = 30
# Beyond them a value is read as it is.
_MOST_DECIMALS = 9


def publish_incidence(
    curve: Any,
    *,
    by: str | Sequence[str] | None = None,
    audience: str = "internal",
    exact_at: Sequence[int] = (),
) -> pd.DataFrame:
    """Return cumulative incidences as this audience may see them.

    Each cause is thinned like a retention curve of its own (`suppress_curve`), so that more than
    seven patients stand behind each of its steps; a cause of fewer is withheld.

    Args:
        curve: one row per group, cause and time, with the columns of a curve.
        by: the grouping columns, without the cause.
        audience: "publish" thins the curves, hides small counts and rounds the others.
        exact_at: days that tables, sentences and figures state.

    Raises:
        UsageError: a column is missing, or a time repeats.

    Examples:
        >>> curve = pd.DataFrame({"cause": "died", "time": [0, 5], "n_at_risk": 60,
        ...     "n_events": [0, 3], "n_censored": [0, 57], "estimate": [0, 0.05],
        ...     "conf_low": 0.01, "conf_high": 0.1, "conf_level": 0.95})
        >>> publish_incidence(curve, audience="publish")["estimate"].tolist()
        [0.0]
    """
    groups = [*as_list(by), "cause"]
    exact = check_curve(curve, by=groups)
    if require_audience(audience) == "internal":
        return exact
    return _turn(suppress_curve(_turn(exact, groups), by=groups, exact_at=exact_at))


def incidence_at(
    curve: Any,
    *,
    times: Sequence[int],
    by: str | Sequence[str] | None = None,
    audience: str = "internal",
    exact_at: Sequence[int] = (),
) -> pd.DataFrame:
    """Return what cumulative incidences say at chosen times: one row per group, cause and time.

    Args:
        curve: all rows of the incidences, one per group, cause and distinct time.
        times: in the curve's unit.
        by: the grouping columns, without the cause.
        audience: "publish" gives exact estimates to three decimals or none, and rounds counts.
        exact_at: other days that are published of the same curve.

    Returns:
        The groups, `cause`, `time`, `n_at_risk`, `n_events_so_far` (of the cause), `estimate`,
        `conf_low`, `conf_high`, `conf_level`.

    Raises:
        UsageError: a column is missing, or a time repeats.

    Examples:
        >>> curve = pd.DataFrame({"cause": "died", "time": [0, 5], "n_at_risk": 4,
        ...     "n_events": [0, 1], "n_censored": [0, 3], "estimate": [0, 0.25],
        ...     "conf_low": 0.0, "conf_high": 0.6, "conf_level": 0.95})
        >>> incidence_at(curve, times=[3, 5])["estimate"].tolist()
        [0.0, 0.25]
    """
    groups = [*as_list(by), "cause"]
    exact = check_curve(curve, by=groups)
    turned = _turn(exact, groups)
    at = curve_at(turned, times=times, by=groups, audience=audience, exact_at=exact_at)
    return _turn(at).drop(columns="n_censored_so_far")


def mean_count_at(
    curve: Any,
    *,
    times: Sequence[int],
    by: str | Sequence[str] | None = None,
    audience: str = "internal",
) -> pd.DataFrame:
    """Return what a mean cumulative count says at chosen times: one row per group and time.

    Args:
        curve: one row per group and distinct time: how many events a patient has had on average.
        times: in the curve's unit.
        by: the grouping columns.
        audience: "publish" withholds what seven events or fewer, or seven patients or fewer at
            risk, stand behind; it rounds counts to 5 and means to three decimals.

    Returns:
        The groups, `time`, `n_at_risk`, `n_events_so_far`, `estimate`, `conf_low`, `conf_high`,
        `conf_level`; missing after the group's last time.

    Raises:
        UsageError: a column is missing, or a time repeats because `by` lacks a group.

    Examples:
        >>> curve = pd.DataFrame({"time": [0, 5, 9], "n_at_risk": [4, 4, 2], "n_events": [0, 2, 1],
        ...     "n_censored": [0, 2, 2], "estimate": [0, 0.5, 1.0], "conf_low": 0.2,
        ...     "conf_high": 1.5, "conf_level": 0.95})
        >>> mean_count_at(curve, times=[6])[["n_at_risk", "n_events_so_far", "estimate"]]
           n_at_risk  n_events_so_far  estimate
        0          2                2       0.5
    """
    groups = as_list(by)
    exact = check_curve(curve, by=groups)
    parts = (
        exact.groupby(groups, sort=False, dropna=False, observed=True) if groups else [((), exact)]
    )
    read = [_read(rows, list(times), groups) for _, rows in parts]
    columns = [*groups, "time", "n_at_risk", "n_events_so_far", *_VALUES, "conf_level"]
    at = pd.concat(read, ignore_index=True)[columns]
    if require_audience(audience) == "internal":
        return at
    # The origin says nothing of anybody.
    hidden = hide_small_counts(at, counts=["n_at_risk", "n_events_so_far"])
    whole = pd.Series(0, index=at.index)
    part = at.groupby(groups, sort=False, dropna=False).ngroup() if groups else whole
    since = at["n_events_so_far"].astype(float).groupby(part).diff().abs()
    few = (at["n_at_risk"] <= THRESHOLD) | since.between(1, THRESHOLD)
    shown = _rounded(hidden)
    return shown.assign(**{name: shown[name].mask(few) for name in _VALUES})


def publish_mean_count(
    curve: Any,
    *,
    by: str | Sequence[str] | None = None,
    audience: str = "internal",
    exact_at: Sequence[int] = (),
) -> pd.DataFrame:
    """Return a mean cumulative count as this audience may see it.

    Published, it moves on the asked days and otherwise at most once in 30 days, each time after
    more than seven events and with more than seven patients at risk.

    Args:
        curve: one row per group and distinct time.
        by: the grouping columns.
        audience: "publish" thins the curve, hides small counts and rounds the others.
        exact_at: days that tables and sentences state.

    Raises:
        UsageError: a column is missing, or a time repeats because `by` lacks a group.

    Examples:
        >>> curve = pd.DataFrame({"time": [0, 5, 40], "n_at_risk": 60, "n_events": [0, 9, 9],
        ...     "n_censored": [0, 0, 60], "estimate": [0, 0.15, 0.3], "conf_low": 0.1,
        ...     "conf_high": 0.4, "conf_level": 0.95})
        >>> publish_mean_count(curve, audience="publish")["time"].tolist()
        [0, 40]
    """
    groups = as_list(by)
    exact = check_curve(curve, by=groups)
    if require_audience(audience) == "internal":
        return exact
    parts = (
        exact.groupby(groups, sort=False, dropna=False, observed=True) if groups else [((), exact)]
    )
    kept = pd.concat([_monthly(rows, sorted(exact_at)) for _, rows in parts], ignore_index=True)
    # What is hidden beside a kept step does not hide the step: enough stand behind it.
    shown = hide_small_counts(kept, counts=_COUNTS)
    return _rounded(shown.assign(**{name: kept[name] for name in _VALUES}))


def publish_estimates(estimates: Any, *, audience: str) -> pd.DataFrame:
    """Return estimates as this audience may see them.

    Published, a row whose `n` or `n_events` is from 1 to 7 loses its numbers, and so does one whose
    `n_level` or `n_level_events` is (see `count_levels`); the others keep three decimals (see
    `round_values`), without a standard error, which would give back more; a p value is 0.001 or
    more.

    Examples:
        >>> table = pd.DataFrame({"estimate": [0.12345, 0.5], "p_value": [0.2, 0.3], "n": [103, 4]})
        >>> publish_estimates(table, audience="publish")[["estimate", "n"]].values.tolist()
        [[0.123, 105], [nan, <NA>]]
    """
    table = as_pandas(estimates)
    of_levels = [name for name in ("n_level", "n_level_events") if name in table.columns]
    counts = [*(name for name in ("n", "n_events") if name in table.columns), *of_levels]
    require_columns(table, ["estimate"], what="the estimates")
    if require_audience(audience) == "internal":
        return table
    # Sums over pairs of patients are kept at full precision nowhere else.
    table = table.drop(columns=[name for name in _PAIRS if name in table.columns])
    return _rounded(hide_small_counts(table, counts=counts)).drop(columns=of_levels)


def incidence_steps(
    curve: Any,
    *,
    by: str | Sequence[str] | None = None,
    audience: str = "internal",
    exact_at: Sequence[int] = (),
) -> pd.DataFrame:
    """Return the rows at which an incidence changes, with the first and the last of each cause.

    Args:
        curve: one row per group, cause and time, with the columns of a curve.
        by: the grouping columns, without the cause.
        audience: "publish" thins the curves, hides small counts and rounds the others.
        exact_at: days that tables, sentences and figures state.

    Raises:
        UsageError: a column is missing, or a time repeats.

    Examples:
        >>> curve = pd.DataFrame({"cause": "died", "time": [0, 5, 7, 9], "n_at_risk": 60,
        ...     "n_events": [0, 3, 0, 0], "n_censored": [0, 0, 3, 54], "estimate": [0, 0.1, 0.1,
        ...     0.1], "conf_low": 0.01, "conf_high": 0.1, "conf_level": 0.95})
        >>> incidence_steps(curve)["time"].tolist()
        [0, 5, 9]
    """
    shown = publish_incidence(curve, by=by, audience=audience, exact_at=exact_at)
    return _steps(shown, [*as_list(by), "cause"], exact_at)


def mean_count_steps(
    curve: Any,
    *,
    by: str | Sequence[str] | None = None,
    audience: str = "internal",
    exact_at: Sequence[int] = (),
) -> pd.DataFrame:
    """Return a mean cumulative count about once in 30 days, on the asked days, and at its end.

    A mean of many patients rises on nearly every day; the picture of it is the same.

    Args:
        curve: one row per group and distinct time.
        by: the grouping columns.
        audience: "publish" takes only days on which enough patients and events stand.
        exact_at: days that tables and sentences state.

    Raises:
        UsageError: a column is missing, or a time repeats because `by` lacks a group.

    Examples:
        >>> curve = pd.DataFrame({"time": [0, 5, 40, 41], "n_at_risk": 60, "n_events": [0, 9, 9, 9],
        ...     "n_censored": [0, 0, 0, 60], "estimate": [0, 0.1, 0.2, 0.3], "conf_low": 0.1,
        ...     "conf_high": 0.4, "conf_level": 0.95})
        >>> mean_count_steps(curve)["time"].tolist()
        [0, 40, 41]
    """
    groups = as_list(by)
    if require_audience(audience) == "publish":
        return publish_mean_count(curve, by=by, audience=audience, exact_at=exact_at)
    exact = check_curve(curve, by=groups)
    month = exact["time"] // _LEAST_DAYS
    keys = [exact[name] for name in groups]
    first = ~pd.concat([*keys, month.rename("__month")], axis=1).duplicated()
    last = ~exact.duplicated(groups, keep="last") if groups else exact.index == len(exact) - 1
    return exact[first | last | exact["time"].isin(list(exact_at))].reset_index(drop=True)


def _steps(shown: pd.DataFrame, groups: list[str], exact_at: Sequence[int]) -> pd.DataFrame:
    part = shown.groupby(groups, sort=False, dropna=False, observed=True).ngroup()
    moved = shown["estimate"] != shown["estimate"].groupby(part).shift()
    asked = shown["time"].isin(list(exact_at))
    return shown[moved | asked | ~part.duplicated(keep="last")].reset_index(drop=True)


def _turn(curve: pd.DataFrame, groups: Sequence[str] = ()) -> pd.DataFrame:
    """Return the share spared in the place of the share affected, and back."""
    turned = {"estimate": 1 - curve["estimate"].astype(float)}
    turned["conf_low"] = 1 - curve["conf_high"].astype(float)
    turned["conf_high"] = 1 - curve["conf_low"].astype(float)
    table = curve.assign(**turned)
    if not groups:
        return table
    # Who left by another cause is no longer at risk of this one, like the censored.
    others = [name for name in groups if name != "cause"]
    events = table["n_events"].astype(float)
    all_causes = events.groupby(
        [table[name] for name in [*others, "time"]], dropna=False
    ).transform("sum")
    return table.assign(n_censored=table["n_censored"] + (all_causes - events).astype("int64"))


def _read(rows: pd.DataFrame, times: list[int], groups: list[str]) -> pd.DataFrame:
    rows = rows.sort_values("time").reset_index(drop=True)
    own = rows["time"].to_numpy()
    last = np.clip(np.searchsorted(own, times, side="right") - 1, 0, None)
    unseen = np.asarray(times) > own[-1]
    at = rows.iloc[last].reset_index(drop=True).assign(time=times)
    following = np.append(rows["n_at_risk"].to_numpy(), 0)
    at["n_at_risk"] = following[np.searchsorted(own, times, side="left")]
    so_far = np.cumsum(rows["n_events"].to_numpy())[last]
    at = at.assign(n_events_so_far=so_far)
    at.loc[unseen, list(_VALUES)] = np.nan
    return at


def _monthly(rows: pd.DataFrame, asked: list[int]) -> pd.DataFrame:
    rows = rows.sort_values("time").reset_index(drop=True)
    so_far = rows[["n_events", "n_censored"]].cumsum()
    kept = [0]
    for i in range(1, len(rows)):
        day, last = rows["time"].iloc[i], rows["time"].iloc[kept[-1]]
        following = rows["time"].iloc[i + 1] if i + 1 < len(rows) else np.inf
        is_asked = any(day <= time < following for time in asked)
        is_near = day - last < _LEAST_DAYS or any(0 < time - day < _LEAST_DAYS for time in asked)
        enough = so_far["n_events"].iloc[i] - so_far["n_events"].iloc[kept[-1]] > THRESHOLD
        if enough and rows["n_at_risk"].iloc[i] > THRESHOLD and (is_asked or not is_near):
            kept.append(i)
    counts = so_far.iloc[kept].diff().fillna(so_far.iloc[[0]])
    return rows.iloc[kept].assign(n_events=counts["n_events"], n_censored=counts["n_censored"])


def _rounded(table: pd.DataFrame) -> pd.DataFrame:
    names = [name for name in (*_VALUES, "statistic") if name in table.columns]
    rounded = table.assign(**{name: round_values(table[name]) for name in names})
    if "p_value" in table.columns:
        rounded = rounded.assign(p_value=round_p(table["p_value"]))
    return rounded.assign(std_error=np.nan) if "std_error" in rounded.columns else rounded


def round_values(values: pd.Series) -> pd.Series:
    """Return values to three decimals, or to the first more that read like the exact ones.

    A value is rounded again where it is worded. Where that would go the other way than from the
    exact value, as 5.1454961 does through 5.145, one more decimal is kept.

    Args:
        values: exact ones.

    Examples:
        >>> round_values(pd.Series([3.6153846, 5.1454961, np.nan])).tolist()
        [3.615, 5.1455, nan]
    """
    return values.astype(float).map(_round_like_words)


def _round_like_words(value: float) -> float:
    if not np.isfinite(value):
        return value
    for decimals in range(DECIMALS, _MOST_DECIMALS):
        rounded = round(value, decimals)
        if all(f"{rounded:.{d}f}" == f"{value:.{d}f}" for d in range(DECIMALS)):
            return rounded
    return round(value, _MOST_DECIMALS)


def shown_exactly(
    exact: pd.DataFrame, shown: pd.DataFrame, *, also: Sequence[str] = ()
) -> pd.DataFrame:
    """Return a published table with the exact values of what it shows, for the words alone.

    Args:
        exact: the table before it was published, its rows in the same order.
        shown: the table as it may be published.
        also: columns beside the estimate, its limits and the p value.

    Examples:
        >>> exact = pd.DataFrame({"estimate": [5.1454961, 2.0]})
        >>> shown_exactly(exact, pd.DataFrame({"estimate": [5.145, np.nan]}))["estimate"].tolist()
        [5.1454961, nan]
    """
    named = [*_VALUES, "p_value", *also]
    return shown.assign(
        **{
            name: pd.Series(exact[name].astype(float).to_numpy(), shown.index).mask(
                shown[name].isna()
            )
            for name in named
            if name in shown.columns and name in exact.columns
        }
    )
