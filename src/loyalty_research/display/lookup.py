"""A curve read off at chosen times, as a reader does with a ruler."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from loyalty_research.display.disclosure import hide_small_counts, suppress_curve
from loyalty_research.display.thinning import CURVE_COUNTS, is_complete
from loyalty_research.display.tidy import as_list, as_pandas, require_audience, require_columns
from loyalty_research.errors import UsageError

CURVE_COLUMNS = ("time", *CURVE_COUNTS, "estimate", "conf_low", "conf_high", "conf_level")
_VALUES = ["estimate", "conf_low", "conf_high", "conf_level"]
_SO_FAR = ["n_events_so_far", "n_censored_so_far"]


def curve_at(
    curve: Any,
    *,
    times: Sequence[int],
    by: str | Sequence[str] | None = None,
    audience: str = "internal",
    exact_at: Sequence[int] = (),
) -> pd.DataFrame:
    """Return what a curve says at chosen times: one row per group and time.

    Args:
        curve: one row per group and distinct time, with the columns of a curve.
        times: in the curve's unit, usually days.
        by: the grouping columns of the curve.
        audience: "publish" gives exact estimates to three decimals or none, where too few events
            lie since the last that is given; it hides small counts and rounds the others.
        exact_at: other days that are published of the same curve; with the same days everywhere, no
            two results together tell what each of them withholds.

    Returns:
        The groups, `time`, `n_at_risk` (under observation just before that time),
        `n_events_so_far` and `n_censored_so_far` (up to and including it), `estimate`, `conf_low`,
        `conf_high`, `conf_level`. The estimate is missing after the group's last time, because
        nobody is seen there, unless the curve has come down to 0. The limits are missing as long as
        nobody has had the event. Counts are missing where a
        curve with late entries or thinned steps has no row at that very time.

    Raises:
        UsageError: a column is missing, or a time repeats because `by` lacks a group.

    Examples:
        >>> curve = pd.DataFrame({
        ...     "time": [0, 10, 30], "n_at_risk": [4, 4, 2], "n_events": [0, 1, 1],
        ...     "n_censored": [0, 1, 1], "estimate": [1, 0.75, 0.375],
        ...     "conf_low": np.nan, "conf_high": np.nan, "conf_level": 0.95})
        >>> at = curve_at(curve, times=[10, 20])
        >>> at[["time", "n_at_risk", "n_events_so_far", "estimate"]].values.tolist()
        [[10, 4, 1, 0.75], [20, 2, 1, 0.75]]
    """
    groups = as_list(by)
    exact = check_curve(curve, by=groups)
    at = _read_off(exact, times, groups)
    if require_audience(audience) == "internal":
        return at
    known = suppress_curve(exact, by=groups, exact_at=[*times, *exact_at])
    thinned = _read_off(known, times, groups)
    hidden = hide_small_counts(at, counts=["n_at_risk", *_SO_FAR])
    withheld = thinned["estimate"].isna() & at["estimate"].notna()
    # That nobody is left would tell that the withheld estimate is 0.
    hidden["n_at_risk"] = hidden["n_at_risk"].mask(withheld & (hidden["n_at_risk"] == 0))
    hidden["suppressed"] += withheld.astype(int)
    return hidden.assign(**{name: thinned[name] for name in _VALUES})


def is_withheld(at: pd.DataFrame) -> pd.Series:
    """Say for each row of `curve_at` whether its estimate is hidden rather than unknown.

    Examples:
        >>> is_withheld(pd.DataFrame({"estimate": [None, None, 0.5], "n_at_risk": [20, 0, 20],
        ...     "suppressed": 1})).tolist()
        [True, False, False]
    """
    if "suppressed" not in at.columns:
        return pd.Series(False, index=at.index)
    nobody_seen = (at["n_at_risk"] == 0).fillna(False).astype(bool)
    return at["estimate"].isna() & (at["suppressed"] > 0) & ~nobody_seen


def curve_steps(
    curve: Any,
    *,
    by: str | Sequence[str] | None = None,
    audience: str = "internal",
    exact_at: Sequence[int] = (),
) -> pd.DataFrame:
    """Return the rows of a curve at which its estimate changes, with the first and the last.

    They are all that a picture of the curve shows; days on which only censoring happens are left
    out.

    Args:
        curve: one row per group and distinct time, with the columns of a curve.
        by: the grouping columns of the curve.
        audience: "publish" thins the curve, hides small counts and rounds the others.
        exact_at: days that tables and sentences state; a published list has a row for each of them.

    Raises:
        UsageError: a column is missing.

    Examples:
        >>> curve = pd.DataFrame({
        ...     "time": [0, 10, 20, 30], "n_at_risk": [4, 4, 3, 2], "n_events": [0, 1, 0, 0],
        ...     "n_censored": [0, 0, 1, 2], "estimate": [1, 0.75, 0.75, 0.75]})
        >>> curve_steps(curve)["time"].tolist()
        [0, 10, 30]
    """
    shown = suppress_curve(curve, by=by, audience=audience, exact_at=exact_at)
    groups = as_list(by)
    whole = pd.Series(0, index=shown.index)
    part = shown.groupby(groups, sort=False, dropna=False).ngroup() if groups else whole
    moved = shown["estimate"] != shown["estimate"].groupby(part).shift()
    asked = shown["time"].isin(list(exact_at))
    return shown[moved | asked | ~part.duplicated(keep="last")].reset_index(drop=True)


def check_curve(curve: Any, *, by: Sequence[str]) -> pd.DataFrame:
    """Return the curve as pandas, once it is certain that it is one.

    Raises:
        UsageError: a column is missing, or a time repeats because `by` lacks a group.

    Examples:
        >>> check_curve(pd.DataFrame({"time": [0]}), by=[])
        Traceback (most recent call last):
        ...
        loyalty_research.errors.UsageError: the curve lacks the columns n_at_risk, n_events, \
n_censored, estimate, conf_low, conf_high, conf_level; pass the result as it came
    """
    table = as_pandas(curve)
    require_columns(table, [*by, *CURVE_COLUMNS], what="the curve")
    if table.duplicated([*by, "time"]).any():
        raise UsageError("the curve repeats a time; name its group columns in by=")
    return table


def _read_off(curve: pd.DataFrame, times: Sequence[int], groups: list[str]) -> pd.DataFrame:
    parts = curve.groupby(groups, sort=False, dropna=False) if groups else [((), curve)]
    read = [
        _read_group(rows, times).assign(**{name: rows[name].iloc[0] for name in groups})
        for _, rows in parts
        if len(rows)
    ]
    columns = [*groups, "time", "n_at_risk", *_SO_FAR, *_VALUES]
    return pd.concat(read, ignore_index=True)[columns] if read else pd.DataFrame(columns=columns)


def _read_group(rows: pd.DataFrame, times: Sequence[int]) -> pd.DataFrame:
    rows = rows.sort_values("time")
    own = rows["time"].to_numpy()
    wanted = np.asarray(list(times))
    step = np.searchsorted(own, wanted, side="right") - 1
    table = rows.iloc[np.clip(step, 0, None)][_VALUES].reset_index(drop=True)
    table = table.assign(time=wanted, **_counts(rows, wanted, step))
    # Before the first row everybody is still there; after the last nobody is seen any more.
    table.loc[step < 0, "estimate"] = 1.0
    # R's convention of a limit of 1 would read like a certainty.
    before_events = np.append(0.0, rows["n_events"].astype("Float64").fillna(0).cumsum()) == 0
    table.loc[before_events[step + 1], ["conf_low", "conf_high"]] = np.nan
    unseen = (wanted > own[-1]) & (table["estimate"].astype(float) > 0)
    table.loc[unseen, ["estimate", "conf_low", "conf_high"]] = np.nan
    return table


def _counts(rows: pd.DataFrame, wanted: np.ndarray, step: np.ndarray) -> dict[str, pd.Series]:
    own = rows["time"].to_numpy()
    at_risk, events, censored = (rows[name].astype("Float64") for name in CURVE_COUNTS)
    following = pd.concat([at_risk, pd.Series([0.0])]).astype("Float64")
    counts = {"n_at_risk": following.iloc[np.searchsorted(own, wanted, side="left")]}
    for name, column in zip(_SO_FAR, (events, censored), strict=True):
        so_far = pd.concat([pd.Series([0.0]), column.cumsum()]).astype("Float64")
        counts[name] = so_far.iloc[step + 1]
    known = np.isin(wanted, own) | is_complete(rows)
    return {name: _as_counts(column, known) for name, column in counts.items()}


def _as_counts(column: pd.Series, known: np.ndarray) -> pd.Series:
    whole = column.reset_index(drop=True).where(pd.Series(known))
    fractional = (whole.dropna() % 1 != 0).any()
    return whole if fractional else whole.astype("Int64")
