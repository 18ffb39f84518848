"""How many are at risk on each day: all that a survival curve needs to know of the patients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from loyalty_research.data.arguments import as_columns
from loyalty_research.data.frames import (
    missing_columns,
    raise_faults,
)
from loyalty_research.data.lending import (
    collect,
    lend,
    to_pandas,
)
from loyalty_research.errors import Fault, UsageError

COUNTS = ["time", "n_at_risk", "n_events", "n_censored"]
"""The columns of a risk set table after those of the group."""

_RESERVED = frozenset(
    ("event", "entry", "q", "n", "estimate", "std_error", "conf_low", "conf_high", "conf_level")
).union(COUNTS)
_TIME, _EVENT, _ENTRY, _N = "__time", "__event", "__entry", "__n"
_ODD_TIME, _ODD_ENTRY, _ODD_EVENT, _BACKWARD = "__odd_t", "__odd_s", "__odd_e", "__backward"


def risk_sets(
    data: Any,
    *,
    time: str = "time",
    event: str = "event",
    entry: str | None = None,
    by: str | Sequence[str] | None = None,
) -> pd.DataFrame:
    """Return for each distinct time how many are at risk, have the event, or are censored.

    The engine counts rows by group, time and event in one aggregation; only these counts leave it.

    Args:
        data: One row a patient (or spell). pandas, Polars, Arrow, DuckDB or Spark.
        time: Column with the time of event or censoring, in whole units, not negative.
        event: Column that is true or 1 for an event, false or 0 for censoring.
        entry: Column with the time from which the patient is under observation, in whole units;
            at risk are those with `entry < t <= time`. Without it all are at risk from the start.
        by: Column or columns that name groups.

    Returns:
        One row a group and distinct time, time 0 included: the group's columns, `time`,
        `n_at_risk`, `n_events`, `n_censored`.

    Raises:
        UsageError: A grouping column whose name is one of the result's.
        DataError: Missing columns or values, times that are negative or not whole, other event
            codes, an entry that is not before its time, no rows; all faults at once.

    Examples:
        >>> import pandas as pd
        >>> data = pd.DataFrame({"time": [1, 2, 2, 3], "event": [True, True, False, False]})
        >>> risk_sets(data)
           time  n_at_risk  n_events  n_censored
        0     0          4         0           0
        1     1          4         1           0
        2     2          3         1           1
        3     3          1         0           1
    """
    exits, entries = count_exits(data, time=time, event=event, entry=entry, by=by)
    return combine_counts(exits, entries, by=by)


def count_exits(
    data: Any, *, time: str, event: str, entry: str | None, by: str | Sequence[str] | None
) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Return the number of rows by group, time and event, with that by group and entry.

    Both tables may be added over years, sites or shards before they are combined.

    Args:
        data: One row a patient.
        time: Column with the time.
        event: Column with the event.
        entry: Column with the entry, or None.
        by: Column or columns that name groups.

    Returns:
        `group..., time, event, n` and, with `entry`, `group..., entry, n`.

    Raises:
        UsageError: A grouping column whose name is one of the result's.
        DataError: As for `risk_sets`.

    Examples:
        >>> data = pd.DataFrame({"time": [1, 1, 2], "event": [True, True, False]})
        >>> exits, _ = count_exits(data, time="time", event="event", entry=None, by=None)
        >>> exits
           time  event  n
        0     1   True  2
        1     2  False  1
    """
    groups = as_columns(by)
    rows = _open(data, groups, time, event, entry)
    keys = [_TIME, _EVENT, _ODD_TIME, _ODD_EVENT, *([_ODD_ENTRY, _BACKWARD] if entry else [])]
    exits = _count(rows, [*groups, *keys], data, groups)
    raise_faults(_faults(exits, groups, time, event, entry))
    exits = exits.rename(columns={_TIME: "time", _EVENT: "event", _N: "n"})
    exits = exits[[*groups, "time", "event", "n"]]
    if entry is None:
        return exits, None
    entries = _count(rows, [*groups, _ENTRY], data, groups)
    return exits, entries.rename(columns={_ENTRY: "entry", _N: "n"})


def combine_counts(
    exits: pd.DataFrame,
    entries: pd.DataFrame | None,
    *,
    by: str | Sequence[str] | None,
    times: Sequence[int] = (),
) -> pd.DataFrame:
    """Return the risk sets of counts made by `count_exits`.

    Args:
        exits: `group..., time, event, n`.
        entries: `group..., entry, n`, or None if all are at risk from the start.
        by: Column or columns that name groups.
        times: Times to add to those that occur.

    Returns:
        As `risk_sets`.

    Examples:
        >>> exits = pd.DataFrame({"time": [1, 2], "event": [True, False], "n": [2, 1]})
        >>> combine_counts(exits, None, by=None)["n_at_risk"].to_list()
        [3, 3, 1]
    """
    groups = as_columns(by)
    if not groups:
        return _of_one_group(exits, entries, times)
    entered = {} if entries is None else dict(list(entries.groupby(groups, observed=True)))
    parts = []
    for key, part in exits.groupby(groups, observed=True):
        table = _of_one_group(part, entered.get(key), times)
        for position, name in enumerate(groups):
            first = part[name].iloc[[0]]
            table.insert(position, name, first.repeat(len(table)).to_numpy())
        parts.append(table)
    result = pd.concat(parts, ignore_index=True)
    return result.astype({name: exits[name].dtype for name in groups})


def _of_one_group(
    exits: pd.DataFrame, entries: pd.DataFrame | None, times: Sequence[int]
) -> pd.DataFrame:
    grid = np.unique(np.concatenate([[0], exits["time"], times]).astype(np.int64))
    events = _totals(grid, exits[exits["event"]])
    censored = _totals(grid, exits[~exits["event"]])
    gone = np.cumsum(events + censored) - events - censored
    everyone = int(exits["n"].sum())
    entered = np.full(len(grid), everyone) if entries is None else _entered_before(grid, entries)
    counts = (grid, entered - gone, events, censored)
    return pd.DataFrame(dict(zip(COUNTS, counts, strict=True)))


def _totals(times: np.ndarray, counts: pd.DataFrame) -> np.ndarray:
    totals = np.zeros(len(times), np.int64)
    np.add.at(totals, np.searchsorted(times, counts["time"]), counts["n"])
    return totals


def _entered_before(times: np.ndarray, entries: pd.DataFrame) -> np.ndarray:
    ordered = entries.sort_values("entry")
    total = np.append(0, np.cumsum(ordered["n"].to_numpy(np.int64)))
    return total[np.searchsorted(ordered["entry"].to_numpy(), times, side="left")]


# --- the door -------------------------------------------------------------------------------------


def _open(
    data: Any, groups: Sequence[str], time: str, event: str, entry: str | None
) -> nw.LazyFrame:
    clash = [name for name in groups if name in _RESERVED or name in (time, event, entry)]
    if clash:
        raise UsageError(f"by={clash[0]!r} is also a column of the result; rename it in the data")
    columns = list(dict.fromkeys([*groups, time, event, *([entry] if entry else [])]))
    raise_faults(missing_columns(data, columns, table="data"))
    rows = lend({"data": data}, columns={"data": columns})["data"]
    schema = rows.collect_schema()
    raise_faults(_type_faults(schema, time, event, entry))
    clock, odd_time = _whole(time, schema[time])
    code, odd_event = _code(event, schema[event])
    keys = [clock.alias(_TIME), odd_time.alias(_ODD_TIME)]
    keys += [code.alias(_EVENT), odd_event.alias(_ODD_EVENT)]
    if entry is not None:
        start, odd_entry = _whole(entry, schema[entry])
        keys += [start.alias(_ENTRY), odd_entry.alias(_ODD_ENTRY)]
        backward = (odd_time == 0) & (odd_entry == 0) & (start >= clock)
        keys.append(backward.alias(_BACKWARD))
    return rows.select(*groups, *keys)


def _type_faults(schema: Any, time: str, event: str, entry: str | None) -> list[Fault]:
    faults = []
    for column in [time, *([entry] if entry else [])]:
        if not schema[column].is_numeric():
            message = f"{column} is {schema[column]}, not a whole number"
            faults.append(Fault("data", column, 0, message, "convert it to whole days first"))
    if not (schema[event].is_numeric() or isinstance(schema[event], nw.Boolean)):
        message = f"{event} is {schema[event]}, not true or false"
        faults.append(Fault("data", event, 0, message, "code the event as 1, all else as 0"))
    return faults


def _whole(column: str, dtype: Any) -> tuple[nw.Expr, nw.Expr]:
    """Return a time as an integer, with 1 where it is missing and 2 where it is not whole."""
    value = nw.col(column)
    if dtype.is_integer():
        missing = value.is_null()
        return value.fill_null(0).cast(nw.Int64), missing.cast(nw.Int64)
    value = value.cast(nw.Float64)
    missing = value.is_null() | value.is_nan()
    # Beyond 2^53 a float cannot tell one whole number from the next.
    whole = (value == value.floor()) & (value.abs() < 2.0**53)
    odd = nw.when(missing).then(nw.lit(1)).otherwise(nw.when(whole).then(nw.lit(0)).otherwise(2))
    return nw.when(whole & ~missing).then(value).otherwise(0.0).cast(nw.Int64), odd


def _code(column: str, dtype: Any) -> tuple[nw.Expr, nw.Expr]:
    """Return an event as true or false, with 1 where it is missing and 2 where it is neither."""
    value = nw.col(column)
    if isinstance(dtype, nw.Boolean):
        return value.fill_null(False), value.is_null().cast(nw.Int64)
    value = value.cast(nw.Float64)
    missing = value.is_null() | value.is_nan()
    known = (value == 0) | (value == 1)
    odd = nw.when(missing).then(nw.lit(1)).otherwise(nw.when(known).then(nw.lit(0)).otherwise(2))
    return nw.when(known & ~missing).then(value == 1).otherwise(nw.lit(False)), odd


def _count(
    rows: nw.LazyFrame, keys: Sequence[str], data: Any, groups: Sequence[str]
) -> pd.DataFrame:
    table = to_pandas(collect(rows.group_by(*keys).agg(nw.len().alias(_N))))
    table = table.astype({_N: np.int64})
    if nw.dependencies.is_pandas_dataframe(data):
        # A pandas category keeps its own order of levels.
        table = table.astype({name: data[name].dtype for name in groups})
    return table.sort_values([*groups, *[k for k in keys if k not in groups]], ignore_index=True)


def _faults(
    counts: pd.DataFrame, groups: Sequence[str], time: str, event: str, entry: str | None
) -> list[Fault]:
    """Return every fault in the rows, read off their counts."""
    total = int(counts[_N].sum())
    if total == 0:
        return [Fault("data", "", 0, "the table has no rows", "check the cohort's criteria")]
    drop, whole = "drop or repair these rows", "convert it to whole days first, rounding down"
    found = [(group, counts[group].isna(), "is missing", drop) for group in groups]
    found += [
        (time, counts[_ODD_TIME] == 1, "is missing", drop),
        (time, counts[_ODD_TIME] == 2, "is not a whole number", whole),
        (time, counts[_TIME] < 0, "is negative", "check which date comes first"),
        (event, counts[_ODD_EVENT] == 1, "is missing", drop),
        (
            event,
            counts[_ODD_EVENT] == 2,
            "is neither 0 nor 1",
            "code one cause as 1, all else as 0",
        ),
    ]
    if entry is not None:
        found += [
            (entry, counts[_ODD_ENTRY] == 1, "is missing", drop),
            (entry, counts[_ODD_ENTRY] == 2, "is not a whole number", whole),
            (entry, counts[_BACKWARD], f"is not before {time}", "drop rows without time at risk"),
        ]
    faults = []
    for column, broken, message, repair in found:
        count = int(counts.loc[broken, _N].sum())
        if count:
            words = f"{column} {message} in {count:,} of {total:,} rows"
            faults.append(Fault("data", column, count, words, repair))
    return faults
