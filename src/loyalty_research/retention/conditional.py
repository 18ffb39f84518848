"""The share that stays on among those who have stayed so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from loyalty_research.data.arguments import as_columns, check_choice, check_share, check_whole
from loyalty_research.errors import UsageError
from loyalty_research.retention.averages import refuse_clashes
from loyalty_research.retention.curve_limits import CONF_TYPES
from loyalty_research.retention.curves import curve_from_counts
from loyalty_research.retention.exits import count_exits
from loyalty_research.retention.risk_sets import combine_counts
from loyalty_research.retention.robust_curves import open_spells, robust_curve, rows_after


def conditional_retention(
    data: Any,
    *,
    given: int,
    times: int | Sequence[int],
    time: str = "time",
    event: str = "event",
    entry: str | None = None,
    by: str | Sequence[str] | None = None,
    weight: str | None = None,
    freq: str | None = None,
    cluster: str | None = None,
    conf_level: float = 0.95,
    conf_type: str = "log-log",
) -> pd.DataFrame:
    """Return the share still here at later times among those still here at `given`.

    It answers "who has stayed six months: how likely is a year?". The estimate is S(t) / S(given),
    its variance Greenwood's sum over the times after `given`, which is the Kaplan-Meier curve of
    those still under observation after that day, entering there (van Houwelingen and Putter,
    Dynamic Prediction in Clinical Survival Analysis, 2012, section 1.4).

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        given: The time at which the patients are known to be still here.
        times: One or more times after `given`; after the last that occurs the curve keeps its
            value, as in `kaplan_meier`: look at `n_at_risk`.
        time: Column with the time of event or censoring: whole units, not negative.
        event: Column that is true or 1 for an event, false or 0 for censoring.
        entry: Column with the time from which the patient is under observation; at risk at t are
            those with `entry < t <= time`, whether they entered before `given` or after.
        by: Column or columns that name groups.
        weight: Column of case weights above 0; the standard error is then the robust one.
        freq: Column of whole numbers from 1: how many patients a row stands for.
        cluster: Column that names the cluster; the robust variance is summed over clusters.
        conf_level: Coverage of the pointwise interval.
        conf_type: Scale on which the interval is symmetric, as for `kaplan_meier`.

    Returns:
        One row a group and asked time: the group's columns, `given`, then those of `kaplan_meier`.

    Raises:
        UsageError: Times that are not after `given`; a group in which nobody is under observation
            after `given`; an unknown `conf_type`.
        DataError: As for `kaplan_meier`.

    Examples:
        >>> import pandas as pd
        >>> data = pd.DataFrame({"time": [1, 2, 3, 4, 5], "event": [1, 1, 1, 0, 1]})
        >>> conditional_retention(data, given=2, times=[3, 4])["estimate"].round(4).tolist()
        [0.6667, 0.6667]
    """
    check_choice(conf_type, CONF_TYPES, name="conf_type")
    limits: dict[str, Any] = {
        "conf_level": check_share(conf_level, name="conf_level"),
        "conf_type": conf_type,
    }
    asked = _check_later(times, check_whole(given, name="given"))
    refuse_clashes(as_columns(by), ["given"])
    columns: dict[str, Any] = {"time": time, "event": event, "entry": entry, "by": by, "freq": freq}
    if weight is None and cluster is None:
        curve = _curve_of_counts(data, columns, given, asked, limits)
    else:
        rows = open_spells(data, weight=weight, cluster=cluster, **columns)
        _refuse_nobody(pd.Series(rows.time).groupby(rows.group).max(), given)
        curve = robust_curve(
            rows_after(rows, given), times=asked, weighted=weight is not None, **limits
        )
    curve.insert(len(as_columns(by)), "given", given)
    return curve[curve["time"].isin(asked)].reset_index(drop=True)


def _check_later(times: int | Sequence[int], given: int) -> list[int]:
    asked = [check_whole(day, name="times") for day in np.atleast_1d(np.asarray(times)).tolist()]
    early = [day for day in asked if day <= given]
    if early:
        raise UsageError(f"times={early[0]} is not after given={given}; ask for later times")
    return asked


def _curve_of_counts(
    data: Any, columns: dict[str, Any], given: int, asked: list[int], limits: dict[str, Any]
) -> pd.DataFrame:
    by = columns["by"]
    exits, entries = count_exits(data, **columns)
    counts = combine_counts(exits, entries, by=by, times=asked)
    groups = as_columns(by)
    ends = exits.groupby(groups, observed=True)["time"].max() if groups else exits["time"].max()
    _refuse_nobody(pd.Series(ends), given)
    return curve_from_counts(counts[counts["time"] > given], by=by, **limits)


def _refuse_nobody(last: pd.Series, given: int) -> None:
    over = int((last <= given).sum())
    if over:
        where = f" in {over} of {len(last)} groups" if len(last) > 1 else ""
        raise UsageError(
            f"given={given} leaves nobody under observation{where}; "
            f"give a time before {int(last.min())}"
        )
