"""How many rows end on each day: the engine's part of every estimator that needs counts only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from loyalty_research.data.arguments import as_columns
from loyalty_research.data.frames import missing_columns, raise_faults
from loyalty_research.data.lending import collect, column_names, group_rows, lend, to_pandas
from loyalty_research.errors import Fault
from loyalty_research.retention.averages import refuse_clashes
from loyalty_research.retention.repairs import (
    CENSORED,
    CODE_EVENT,
    NAME_CAUSE,
    cause_fault,
    found_codes,
    repair_codes,
    repair_late,
    told_codes,
    with_cause,
)

_RESERVED = frozenset(
    ("event", "entry", "q", "n", "estimate", "std_error", "conf_low", "conf_high", "conf_level")
).union(("time", "n_at_risk", "n_events", "n_censored", "cause"))
_TIME, _EVENT, _N = "__time", "__event", "__n"
_ODD_TIME, _ODD_ENTRY, _ODD_EVENT, _BACKWARD = "__odd_t", "__odd_s", "__odd_e", "__backward"
_ODD_FREQ, _ROWS = "__odd_n", "__rows"


def count_exits(
    data: Any,
    *,
    time: str,
    event: str,
    entry: str | None,
    by: str | Sequence[str] | None,
    freq: str | None = None,
    causes: bool = False,
) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Return the number of rows by group, time and event, with that by group and entry.

    Both tables may be added over years, sites or shards before they are combined.

    Args:
        data: One row a patient.
        time: Column with the time.
        event: Column with the event.
        entry: Column with the entry, or None.
        by: Column or columns that name groups.
        freq: Column of whole numbers from 1: how many patients a row stands for.
        causes: The event names one of several causes; missing or "censored" is censored.

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
    rows = _open(data, groups, time, event, entry, freq, causes)
    exits = _exits(rows, groups, time, event, entry, freq, causes)
    table = _as_table(exits, data, groups)
    raise_faults(_faults(table, groups, time, event, entry, freq, rows))
    names = {_TIME: "time", _EVENT: "event", _N: "n"}
    if causes and (fault := cause_fault(event, sorted(set(table[_EVENT]) - {CENSORED}))):
        raise_faults(with_cause([fault], column_names(data)))
    table = table.rename(columns=names)[[*groups, "time", "event", "n"]].astype({"n": np.int64})
    if entry is None:
        return table, None
    start, _ = _whole(entry, rows.collect_schema()[entry])
    entries = group_rows(rows, *groups, start.alias("entry")).agg(*_sizes(freq))
    entered = _as_table(entries, data, groups).rename(columns={_N: "n"}).astype({"n": np.int64})
    return table, entered[[*groups, "entry", "n"]]


def refuse_clash(groups: Sequence[str], *names: str | None) -> None:
    """Refuse a grouping column that a table of results has itself.

    Args:
        groups: Columns that name groups.
        *names: Further names that are taken.

    Raises:
        UsageError: A group is named like a column of the result.

    Examples:
        >>> refuse_clash(["sex"], "time", "event")
    """
    refuse_clashes(groups, [*_RESERVED, *(name for name in names if name is not None)])


def _open(
    data: Any,
    groups: Sequence[str],
    time: str,
    event: str,
    entry: str | None,
    freq: str | None,
    causes: bool,
) -> nw.LazyFrame:
    refuse_clash(groups, time, event, entry)
    others = [name for name in (entry, freq) if name is not None]
    columns = list(dict.fromkeys([*groups, time, event, *others]))
    raise_faults(missing_columns(data, columns, table="data"))
    rows = lend({"data": data}, columns={"data": columns})["data"]
    faults = _type_faults(rows, [time, *others], event, causes)
    raise_faults(with_cause(faults, column_names(data)))
    return rows.select(*columns)


def _exits(
    rows: nw.LazyFrame,
    groups: Sequence[str],
    time: str,
    event: str,
    entry: str | None,
    freq: str | None,
    causes: bool,
) -> nw.LazyFrame:
    """Return the rows counted by what their columns hold, then by what that means.

    The first pass groups by the plain columns, which engines do fastest; what is odd about a value
    is looked at once for each distinct one.
    """
    schema = rows.collect_schema()
    odd = []
    if entry is not None:
        _, odd_entry = _whole(entry, schema[entry])
        backward = (nw.col(entry) >= nw.col(time)).fill_null(False)
        odd += [odd_entry.alias(_ODD_ENTRY), backward.alias(_BACKWARD)]
    if freq is not None:
        number, odd_freq = _whole(freq, schema[freq])
        below = (odd_freq == 0) & (number < 1)
        odd.append(nw.when(below).then(nw.lit(3)).otherwise(odd_freq).alias(_ODD_FREQ))
    plain = group_rows(rows, *groups, time, event, *odd).agg(*_sizes(freq))
    clock, odd_time = _whole(time, schema[time])
    code, odd_event = (_cause if causes else _code)(event, schema[event])
    meaning = [
        clock.alias(_TIME),
        code.alias(_EVENT),
        odd_time.alias(_ODD_TIME),
        odd_event.alias(_ODD_EVENT),
    ]
    flags = [_ODD_ENTRY, _BACKWARD] if entry is not None else []
    flags += [_ODD_FREQ] if freq is not None else []
    keys = [*groups, _TIME, _EVENT, _ODD_TIME, _ODD_EVENT, *flags]
    coded = plain.select(*groups, *meaning, *flags, _N, _ROWS)
    return group_rows(coded, *keys).agg(nw.col(_N).sum(), nw.col(_ROWS).sum())


def _sizes(freq: str | None) -> list[nw.Expr]:
    number = nw.len() if freq is None else nw.col(freq).sum()
    return [number.alias(_N), nw.len().alias(_ROWS)]


def _type_faults(
    rows: nw.LazyFrame, numbers: Sequence[str], event: str, causes: bool
) -> list[Fault]:
    faults, schema = [], rows.collect_schema()
    for column in numbers:
        if not schema[column].is_numeric():
            message = f"{column} is {schema[column]}, not a whole number"
            faults.append(Fault("data", column, 0, message, "convert it to whole days first"))
    kind = schema[event]
    if causes and not isinstance(kind, nw.String | nw.Categorical | nw.Enum | nw.Unknown):
        message = f"{event} is {kind}, not text{told_codes(found_codes(rows, event))}"
        faults.append(Fault("data", event, 0, message, NAME_CAUSE))
    if not causes and not (kind.is_numeric() or isinstance(kind, nw.Boolean)):
        message = f"{event} is {kind}, not true or false"
        found, otherwise = found_codes(rows, event), "code the event as 1, all else as 0"
        repair = repair_codes(event, found, otherwise=otherwise)
        faults.append(Fault("data", event, 0, message, repair))
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


def _cause(column: str, dtype: Any) -> tuple[nw.Expr, nw.Expr]:
    """Return a cause as text, "censored" where there is none."""
    return nw.col(column).cast(nw.String).fill_null(CENSORED), nw.lit(0).cast(nw.Int64)


def _as_table(counts: nw.LazyFrame, data: Any, groups: Sequence[str]) -> pd.DataFrame:
    table = to_pandas(collect(counts)).astype({_ROWS: np.int64})
    if nw.dependencies.is_pandas_dataframe(data):
        # A pandas category keeps its own order of levels.
        table = table.astype({name: data[name].dtype for name in groups})
    keys = [name for name in table if name not in (_N, _ROWS)]
    return table.sort_values(keys, ignore_index=True)


def _faults(
    counts: pd.DataFrame,
    groups: Sequence[str],
    time: str,
    event: str,
    entry: str | None,
    freq: str | None,
    rows: nw.LazyFrame,
) -> list[Fault]:
    """Return every fault in the rows, read off their counts."""
    total = int(counts[_ROWS].sum())
    if total == 0:
        return [Fault("data", "", 0, "the table has no rows", "check the cohort's criteria")]
    drop, whole = "drop or repair these rows", "convert it to whole days first, rounding down"
    odd = counts[_ODD_EVENT] == 2
    # Only where something is odd the rows are asked again, for the codes themselves.
    codes = repair_codes(event, found_codes(rows, event)) if odd.any() else CODE_EVENT
    found = [(group, counts[group].isna(), "is missing", drop) for group in groups]
    found += [
        (time, counts[_ODD_TIME] == 1, "is missing", drop),
        (time, counts[_ODD_TIME] == 2, "is not a whole number", whole),
        (time, counts[_TIME] < 0, "is negative", "check which date comes first"),
        (event, counts[_ODD_EVENT] == 1, "is missing", drop),
        (event, odd, "is neither 0 nor 1", codes),
    ]
    if entry is not None:
        known = (counts[_ODD_TIME] == 0) & (counts[_ODD_ENTRY] == 0)
        late = known & counts[_BACKWARD].astype(bool)
        had = ~counts[_EVENT].isin([False, CENSORED])
        lost = repair_late(int(counts.loc[late & had, _ROWS].sum()))
        found += [
            (entry, counts[_ODD_ENTRY] == 1, "is missing", drop),
            (entry, counts[_ODD_ENTRY] == 2, "is not a whole number", whole),
            (entry, late, f"is not before {time}", lost),
        ]
    if freq is not None:
        repair = "count the patients of each row, or give weight= instead"
        found += [
            (freq, counts[_ODD_FREQ] == 1, "is missing", drop),
            (freq, counts[_ODD_FREQ] >= 2, "is not a whole number from 1", repair),
        ]
    faults = []
    for column, broken, message, repair in found:
        count = int(counts.loc[broken, _ROWS].sum())
        if count:
            words = f"{column} {message} in {count:,} of {total:,} rows"
            faults.append(Fault("data", column, count, words, repair))
    return faults
