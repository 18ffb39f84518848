"""How many are at risk on each day: all that most estimators need to know of the patients.

At a time t let Y(t) be the rows at risk, those with `entry < t <= time`, and d_k(t) the rows whose
event of cause k is at t. Every estimator built on these counts is a sum or product over the
distinct times (Andersen, Borgan, Gill and Keiding, Statistical Models Based on Counting Processes,
1993, chapter IV):

- Kaplan-Meier: S(t) = product over s <= t of 1 - d(s) / Y(s)
- Nelson-Aalen: H(t) = sum over s <= t of d(s) / Y(s)
- Aalen-Johansen: F_k(t) = sum over s <= t of S(s-) d_k(s) / Y(s)
- log-rank: sum over s of d_g(s) - Y_g(s) d(s) / Y(s)
- restricted mean: the sum of S over the days before the horizon

Counts add up: those of two sites, years or shards are the counts of both together. Whoever is
censored at t is at risk at t, and so is whoever has an event there; whoever enters at t is not.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from loyalty_research.data.arguments import as_columns
from loyalty_research.errors import DataError
from loyalty_research.retention.counted_rows import N_ROWS, count_rows
from loyalty_research.retention.exits import count_exits, refuse_clash
from loyalty_research.retention.repairs import CENSORED
from loyalty_research.retention.rows import (
    Rows,
    group_codes,
    has_columns,
    open_rows,
    rows_by_group,
)

COUNTS = ["time", "n_at_risk", "n_events", "n_censored"]
"""The columns of a risk set table after those of the group."""


@dataclass(frozen=True)
class Counts:
    """The risk sets of one group, an entry for each distinct time, time 0 included.

    Attributes:
        time: The distinct times, whole units, rising from 0.
        at_risk: Rows (or their weights) with `entry < t <= time`; at 0 all who start there.
        events: Rows (or weights) by time and cause.
        censored: Rows (or weights) by time.
    """

    time: np.ndarray
    at_risk: np.ndarray
    events: np.ndarray
    censored: np.ndarray


def risk_sets(
    data: Any,
    *,
    time: str = "time",
    event: str = "event",
    entry: str | None = None,
    by: str | Sequence[str] | None = None,
    freq: str | None = None,
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
        freq: Column of whole numbers from 1: how many patients a row stands for.

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
    exits, entries = count_exits(data, time=time, event=event, entry=entry, by=by, freq=freq)
    return combine_counts(exits, entries, by=by)


def counts_by_group(
    data: Any,
    *,
    time: str = "time",
    event: str = "event",
    entry: str | None = None,
    by: str | Sequence[str] | None = None,
    freq: str | None = None,
    causes: bool = False,
    times: Sequence[int] = (),
) -> tuple[pd.DataFrame, list[Counts], tuple[str, ...]]:
    """Return the risk sets of each group as arrays, by cause if there are several.

    A pandas frame is counted where it is, any other by its engine: the counts are the same.

    Args:
        data: One row a patient (or spell). pandas, Polars, Arrow, DuckDB or Spark.
        time: Column with the time of event or censoring.
        event: Column that is true or 1 for an event; with `causes` the cause as text.
        entry: Column with the time from which the patient is under observation.
        by: Column or columns that name groups.
        freq: Column of whole numbers from 1: how many patients a row stands for.
        causes: The event names one of several causes; missing or "censored" is censored.
        times: Times to add to those that occur.

    Returns:
        The groups, one row each; their counts in the same order; the names of the causes.

    Raises:
        UsageError: A grouping column whose name is one of the result's.
        DataError: As for `risk_sets`.

    Examples:
        >>> data = pd.DataFrame({"time": [1, 2, 2], "event": ["died", None, "moved"]})
        >>> groups, (counts,), causes = counts_by_group(data, causes=True)
        >>> causes, counts.events.tolist()
        (('died', 'moved'), [[0, 0], [1, 0], [0, 1]])
    """
    names = as_columns(by)
    refuse_clash(names, time, event, entry)
    if isinstance(data, pd.DataFrame):
        rows = open_counted_rows(
            data, time=time, event=event, entry=entry, by=names, freq=freq, causes=causes
        )
        return rows.groups, counts_of_rows(rows, times=times), rows.causes
    exits, entries = count_exits(
        data, time=time, event=event, entry=entry, by=by, freq=freq, causes=causes
    )
    groups, counts, kinds = _counts_of_exits(exits, entries, names, times)
    return groups, counts, kinds if causes else ("event",)


def counts_of_rows(
    rows: Rows, *, times: Sequence[int] = (), weighted: bool = False
) -> list[Counts]:
    """Return the risk sets of each group of rows.

    Args:
        rows: As `open_rows` returns them.
        times: Times to add to those that occur.
        weighted: Sum the rows' weights instead of counting patients.

    Returns:
        One entry a group, in the order of `rows.groups`.

    Examples:
        >>> data = pd.DataFrame({"time": [1, 2], "event": [1, 0], "w": [0.5, 2.0]})
        >>> counts, = counts_of_rows(open_rows(data, weight="w"), weighted=True)
        >>> counts.at_risk.tolist()
        [2.5, 2.5, 2.0]
    """
    rows = rows if weighted else compress(rows)
    size = rows.freq
    if weighted and rows.weight is not None:
        size = rows.weight if rows.freq is None else rows.weight * rows.freq
    result = []
    for where in rows_by_group(rows.group, len(rows.groups)):
        own = None if size is None else size[where]
        entered = None if rows.entry is None else (rows.entry[where], own)
        result.append(
            tally(rows.time[where], rows.event[where], len(rows.causes), own, entered, times)
        )
    return result


def open_counted_rows(
    data: Any,
    *,
    time: str,
    event: str,
    entry: str | None = None,
    by: Sequence[str] = (),
    strata: Sequence[str] = (),
    freq: str | None = None,
    causes: bool = False,
) -> Rows:
    """Return the rows of any frame, counted first where that is possible.

    Plain columns of a pandas frame are counted as they are, and the door looks at each distinct
    combination of values instead of each row. Should it find a fault, it looks at the rows, so
    that its message is of rows.

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        time: Column with the time of event or censoring.
        event: Column that is true or 1 for an event; with `causes` the cause as text.
        entry: Column with the time from which the patient is under observation.
        by: Columns that name groups.
        strata: Columns that name strata.
        freq: Column of whole numbers from 1: how many patients a row stands for.
        causes: The event names one of several causes; missing or "censored" is censored.

    Returns:
        As `compress`.

    Raises:
        DataError: As for `risk_sets`.

    Examples:
        >>> data = pd.DataFrame({"time": [1] * 18 + [2], "event": [1] * 19})
        >>> open_counted_rows(data, time="time", event="event").freq.tolist()
        [18, 1]
    """
    names: dict[str, Any] = {"time": time, "event": event, "by": by, "strata": strata}
    columns = list(dict.fromkeys([time, event, *by, *strata]))
    if entry is None and freq is None and has_columns(data, columns):
        counted = count_rows(data, columns)
        if counted is not None:
            with contextlib.suppress(DataError):
                return open_rows(counted, **names, causes=causes, freq=N_ROWS)
    return compress(open_rows(data, **names, entry=entry, freq=freq, causes=causes))


def compress(rows: Rows) -> Rows:
    """Return rows counted by stratum, group, time and event, where that makes fewer of them.

    Args:
        rows: As `open_rows` returns them.

    Returns:
        Rows with frequencies, without the further columns; the same rows if they have weights,
        clusters or entries, or if there are more cells than half the rows.

    Examples:
        >>> rows = open_rows(pd.DataFrame({"time": [1] * 18 + [2], "event": [1] * 19}))
        >>> compress(rows).freq.tolist()
        [18, 1]
    """
    sizes = (len(rows.strata), len(rows.groups), int(rows.time.max()) + 1, len(rows.causes) + 1)
    own = (rows.entry, rows.weight, rows.cluster)
    if any(column is not None for column in own) or 2 * math.prod(sizes) > len(rows.time):
        return rows
    key = rows.time * sizes[3]
    key += rows.event
    if sizes[1] > 1:
        key += rows.group * (sizes[2] * sizes[3])
    if sizes[0] > 1:
        key += rows.stratum * math.prod(sizes[1:])
    count = _sums(key, rows.freq, math.prod(sizes))
    cells = np.flatnonzero(count)
    stratum, group, time, event = np.unravel_index(cells, sizes)
    return replace(
        rows, stratum=stratum, group=group, time=time, event=event, freq=count[cells],
        more=rows.more.iloc[:0],
    )  # fmt: skip


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
    table, counts, _ = _counts_of_exits(exits, entries, groups, times)
    return counts_table(table, counts)


def counts_table(groups: pd.DataFrame, counts: Sequence[Counts]) -> pd.DataFrame:
    """Return risk sets as a table, the events of all causes together.

    Args:
        groups: One row a group, with the grouping columns.
        counts: The counts of each.

    Returns:
        `group..., time, n_at_risk, n_events, n_censored`.

    Examples:
        >>> data = pd.DataFrame({"time": [1], "event": [True], "site": ["a"]})
        >>> groups, counts, _ = counts_by_group(data, by="site")
        >>> counts_table(groups, counts)["n_at_risk"].tolist()
        [1, 1]
    """
    repeated = np.repeat(np.arange(len(counts)), [len(part.time) for part in counts])
    table = groups.iloc[repeated].reset_index(drop=True)
    columns = zip(
        *((c.time, c.at_risk, c.events.sum(axis=1), c.censored) for c in counts), strict=True
    )
    return table.assign(**dict(zip(COUNTS, map(np.concatenate, columns), strict=True)))


def tally(
    time: np.ndarray,
    event: np.ndarray,
    n_causes: int,
    size: np.ndarray | None,
    entered: tuple[np.ndarray, np.ndarray | None] | None,
    times: Sequence[int] = (),
) -> Counts:
    """Return the risk sets of rows, each counted as often as its size says.

    Args:
        time: Time of event or censoring, int64.
        event: 0 for censored, k for the k-th cause.
        n_causes: How many causes there are.
        size: What each row counts: patients or weight; None for one each.
        entered: Entry times and their sizes, or None if all are at risk from the start.
        times: Times to add to those that occur.

    Returns:
        The counts; integers unless the sizes are not.

    Examples:
        >>> tally(np.array([1, 2]), np.array([1, 0]), 1, None, None).at_risk.tolist()
        [2, 2, 1]
    """
    grid, position = _grid(time, times)
    kinds = n_causes + 1
    exits = _sums(position * kinds + event, size, len(grid) * kinds).reshape(len(grid), kinds)
    leaving = exits.sum(axis=1)
    if entered is None:
        # From the end, so that nobody remains after the last, whatever the weights.
        at_risk = leaving[::-1].cumsum()[::-1]
    else:
        # Who enters at t is at risk from the next time on.
        after = np.searchsorted(grid, entered[0], side="right")
        coming = _sums(after, entered[1], len(grid) + 1)[:-1]
        at_risk = coming.cumsum() - (leaving.cumsum() - leaving)
    return Counts(grid, at_risk, exits[:, 1:], exits[:, 0])


def _grid(time: np.ndarray, times: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct times from 0 on, and where each row's time is among them."""
    more = np.array([0, *times], np.int64)
    last = int(max(time.max(), more.max()))
    if last > 4 * len(time) + 100_000:
        grid = np.unique(np.concatenate([more, time]))
        return grid, np.searchsorted(grid, time)
    occurs = np.zeros(last + 1, bool)
    occurs[time] = True
    occurs[more] = True
    return np.flatnonzero(occurs), (np.cumsum(occurs) - 1)[time]


def _sums(position: np.ndarray, size: np.ndarray | None, length: int) -> np.ndarray:
    sums = np.bincount(position, weights=size, minlength=length)
    is_count = size is None or np.issubdtype(size.dtype, np.integer)
    return np.rint(sums).astype(np.int64) if is_count else sums


def _counts_of_exits(
    exits: pd.DataFrame,
    entries: pd.DataFrame | None,
    by: Sequence[str],
    times: Sequence[int],
) -> tuple[pd.DataFrame, list[Counts], tuple[str, ...]]:
    event, causes = event_codes(exits["event"])
    code, groups = group_codes(exits, by)
    time, n = exits["time"].to_numpy(np.int64), exits["n"].to_numpy(np.int64)
    entering = None if entries is None else _entries_by_group(entries, groups, by)
    counts = [
        tally(time[w], event[w], len(causes), n[w], entering[g] if entering else None, times)
        for g, w in enumerate(rows_by_group(code, len(groups)))
    ]
    return groups, counts, causes


def event_codes(event: pd.Series) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the events of a table of exits as codes, with the names of the causes.

    Args:
        event: True or false, or the cause as text with "censored" for none.

    Returns:
        0 for censored and k for the k-th cause; the sorted names.

    Examples:
        >>> codes, causes = event_codes(pd.Series(["moved", "censored", "died"]))
        >>> codes.tolist(), causes
        ([2, 0, 1], ('died', 'moved'))
    """
    if pd.api.types.is_bool_dtype(event):
        return event.to_numpy(np.int64), ("event",)
    codes, names = pd.factorize(event.mask(event == CENSORED), sort=True)
    return codes.astype(np.int64) + 1, tuple(map(str, names))


def _entries_by_group(
    entries: pd.DataFrame, groups: pd.DataFrame, by: Sequence[str]
) -> list[tuple[np.ndarray, np.ndarray]]:
    code, _ = group_codes(entries, by)  # the same rows, so the same groups in the same order
    entry, n = entries["entry"].to_numpy(np.int64), entries["n"].to_numpy(np.int64)
    return [(entry[where], n[where]) for where in rows_by_group(code, len(groups))]
