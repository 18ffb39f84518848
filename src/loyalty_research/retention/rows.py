"""Patients as arrays: the one door of estimators that must look at every row.

Estimators that need no more than counts by day use `risk_sets`, where the engine counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from loyalty_research.data.arguments import as_columns
from loyalty_research.data.frames import missing_columns, raise_faults
from loyalty_research.data.lending import collect, column_names, to_pandas
from loyalty_research.errors import Fault
from loyalty_research.retention.repairs import (
    CENSORED,
    NAME_CAUSE,
    cause_fault,
    repair_codes,
    repair_late,
    told_codes,
    with_cause,
)

_DROP = "drop or repair these rows"
_WHOLE = "convert it to whole days first, rounding down"

_LISTS = (list, dict, set, np.ndarray)


@dataclass(frozen=True)
class Rows:
    """Arrays of one length, in the order of the frame.

    Attributes:
        time: Time of event or censoring, whole units.
        event: 0 for censored, k for the k-th of `causes`.
        causes: Names of the causes; `("event",)` where there is only one.
        entry: Time from which the row is under observation, or None.
        weight: Case weights above 0, or None.
        freq: How many patients the row stands for, or None.
        cluster: Codes from 0, or None.
        group: Codes from 0, in the order of `groups`.
        groups: One row a group code, with the grouping columns.
        stratum: Codes from 0, in the order of `strata`.
        strata: One row a stratum code, with the columns of strata.
        more: Further columns as they are, none with a missing value.
    """

    time: np.ndarray
    event: np.ndarray
    causes: tuple[str, ...]
    entry: np.ndarray | None
    weight: np.ndarray | None
    freq: np.ndarray | None
    cluster: np.ndarray | None
    group: np.ndarray
    groups: pd.DataFrame
    stratum: np.ndarray
    strata: pd.DataFrame
    more: pd.DataFrame


def open_rows(
    data: Any,
    *,
    time: str = "time",
    event: str = "event",
    causes: bool = False,
    entry: str | None = None,
    by: str | Sequence[str] | None = None,
    strata: str | Sequence[str] | None = None,
    weight: str | None = None,
    freq: str | None = None,
    cluster: str | None = None,
    more: Sequence[str] = (),
) -> Rows:
    """Return the columns that an estimator needs as arrays, or refuse with every fault.

    Args:
        data: One row a patient or spell. pandas, Polars, Arrow, DuckDB or Spark.
        time: Column with the time of event or censoring: whole units, not negative.
        event: Column that is true or 1 for an event, false or 0 for censoring; with `causes` a
            text, missing or "censored" for censoring.
        causes: The event column names one of several causes.
        entry: Column with the time from which the row is under observation; may lie before 0, as
            -1 for rows that are to be at risk on day 0.
        by: Column or columns that name groups.
        strata: Column or columns that name strata.
        weight: Column of case weights, above 0.
        freq: Column of whole numbers from 1: how many patients the row stands for.
        cluster: Column that names the cluster.
        more: Other columns, which must be filled in every row.

    Returns:
        The arrays.

    Raises:
        DataError: Columns or values missing, times negative or not whole, other event codes, an
            entry that is not before its time, weights that are not above 0, frequencies that are
            not whole, no rows; all faults at once.

    Examples:
        >>> data = pd.DataFrame({"time": [3, 5], "event": [1, 0], "sex": ["m", "f"]})
        >>> rows = open_rows(data, by="sex")
        >>> rows.group.tolist(), rows.groups["sex"].tolist()
        ([1, 0], ['f', 'm'])
    """
    groups, layers = as_columns(by), as_columns(strata)
    single = [name for name in (entry, weight, freq, cluster) if name is not None]
    columns = list(dict.fromkeys([time, event, *single, *groups, *layers, *more]))
    if not has_columns(data, columns):
        raise_faults(missing_columns(data, columns, table="data"))
    table = take_columns(data, columns)
    if len(table) == 0:
        empty = Fault("data", "", 0, "the table has no rows", "check the cohort's criteria")
        raise_faults([empty])
    faults = _Faults(len(table))
    clock = _whole(table, time, faults)
    if clock.min() < 0:
        faults.add(time, clock < 0, "is negative", "check which date comes first")
    start = None if entry is None else _whole(table, entry, faults)
    code, names = _causes(table, event, faults) if causes else _event(table, event, faults)
    if start is not None:
        backward = (start >= clock) & ~faults.rows_of(time) & ~faults.rows_of(str(entry))
        lost = repair_late(int(np.count_nonzero(backward & (code > 0))))
        faults.add(entry, backward, f"is not before {time}", lost)
    weights = None if weight is None else _weight(table, weight, faults)
    counts = None if freq is None else _freq(table, freq, faults)
    for name in dict.fromkeys([*groups, *layers, *([cluster] if cluster else []), *more]):
        dtype = table[name].dtype
        if not (isinstance(dtype, np.dtype) and dtype.kind in "iub") and table[name].hasnans:
            faults.add(name, table[name].isna().to_numpy(), "is missing", _DROP)
    raise_faults(with_cause(faults.found, column_names(data)) if faults.found else ())
    group, group_table = group_codes(table, groups)
    stratum, strata_table = group_codes(table, layers)
    clusters = None if cluster is None else group_codes(table, [cluster])[0]
    return Rows(
        clock, code, names, start, weights, counts, clusters, group, group_table, stratum,
        strata_table, table[list(more)],
    )  # fmt: skip


def has_columns(data: Any, columns: Sequence[str]) -> bool:
    """Say whether this is a pandas frame with these columns, each once.

    Args:
        data: Any frame.
        columns: Names of columns.

    Returns:
        True if it is; what is false is still to be found out.

    Examples:
        >>> has_columns(pd.DataFrame({"a": [1]}), ["a"]), has_columns(pd.DataFrame(), ["a"])
        (True, False)
    """
    if not isinstance(data, pd.DataFrame) or not data.columns.is_unique:
        return False
    return all(name in data.columns for name in columns)


def take_columns(data: Any, columns: Sequence[str]) -> pd.DataFrame:
    """Return the named columns of any frame as pandas, the rows in their order.

    Args:
        data: Any frame.
        columns: Names of columns it has.

    Returns:
        A frame with a plain index; a pandas frame's columns are not copied.

    Examples:
        >>> import pyarrow as pa
        >>> take_columns(pa.table({"a": [1, 2], "b": [3, 4]}), ["b"])["b"].tolist()
        [3, 4]
    """
    if isinstance(data, pd.DataFrame):
        table = pd.DataFrame({name: data[name].array for name in columns}, copy=False)
    else:
        frame = nw.from_native(data).select(*columns)
        table = to_pandas(collect(frame) if isinstance(frame, nw.LazyFrame) else frame.to_arrow())
    raise_faults(_kind_faults(table))
    return table


def _first_known(values: pd.Series) -> Any:
    # Not by first_valid_index, which reads a whole column of texts.
    return next((v for v in values if isinstance(v, _LISTS) or not pd.isna(v)), None)


def _kind_faults(table: pd.DataFrame) -> list[Fault]:
    """Return the columns whose values can be neither ordered nor grouped."""
    faults = []
    for name, values in table.items():
        kind = "complex" if pd.api.types.is_complex_dtype(values) else ""
        if values.dtype == object and isinstance(_first_known(values), _LISTS):
            kind = "a column of lists"
        if kind:
            words = f"{name} is {kind}, not of single values"
            faults.append(Fault("data", str(name), len(table), words, "convert it first"))
    return faults


def group_codes(table: pd.DataFrame, columns: Sequence[str]) -> tuple[np.ndarray, pd.DataFrame]:
    """Return the number of each row's group, and the groups in their sorted order.

    Args:
        table: The rows.
        columns: What names a group; none puts all rows into one.

    Returns:
        Codes from 0, and one row a code with the columns as they are; a category keeps its order.

    Examples:
        >>> codes, groups = group_codes(pd.DataFrame({"site": ["b", "a", "b"]}), ["site"])
        >>> codes.tolist(), groups["site"].tolist()
        ([1, 0, 1], ['a', 'b'])
    """
    if not columns:
        # One zero that stands for all: most tables have no groups, and many rows.
        everyone = np.broadcast_to(np.int64(0), len(table))
        return everyone, pd.DataFrame(index=pd.RangeIndex(1))
    if len(columns) == 1 and (few := _few_codes(table[columns[0]])) is not None:
        return few[0], few[1].to_frame(columns[0])
    chosen = table[list(columns)]
    codes = chosen.groupby(list(columns), observed=True, sort=True).ngroup().to_numpy(np.int64)
    first = np.zeros(int(codes.max()) + 1, np.int64)
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    return codes, chosen.iloc[first].reset_index(drop=True)


def _few_codes(values: pd.Series) -> tuple[np.ndarray, pd.Series] | None:
    """Return codes and the groups of a column whose values lie close together, else None.

    Nine columns of groups in ten are a category or a small whole number; these need no sorting.
    """
    if isinstance(values.dtype, pd.CategoricalDtype):
        place, low = values.cat.codes.to_numpy(np.int64), 0
    elif isinstance(values.dtype, np.dtype) and values.dtype.kind in "iub":
        place, low = values.to_numpy(np.int64), int(values.min())
        if int(values.max()) - low > len(place) // 4 + 100:
            return None
        place = place - low if low else place
    else:
        return None
    is_there = np.bincount(place) > 0
    found = np.flatnonzero(is_there)
    if isinstance(values.dtype, pd.CategoricalDtype):
        groups = pd.Series(pd.Categorical.from_codes(found, dtype=values.dtype))
    else:
        groups = pd.Series((found + low).astype(values.dtype))
    return (place if is_there.all() else (np.cumsum(is_there) - 1)[place]), groups


def rows_by_group(codes: np.ndarray, n_groups: int) -> Iterator[np.ndarray | slice]:
    """Yield for each group where its rows are, in their order.

    Args:
        codes: The group of each row, from 0.
        n_groups: How many groups there are.

    Yields:
        What indexes an array of rows.

    Examples:
        >>> [where.tolist() for where in rows_by_group(np.array([1, 0, 1]), 2)]
        [[1], [0, 2]]
    """
    if n_groups == 1:
        yield slice(None)
        return
    order = np.argsort(codes, kind="stable")
    yield from np.split(order, np.cumsum(np.bincount(codes, minlength=n_groups))[:-1])


# --- one column -----------------------------------------------------------------------------------


class _Faults:
    """The faults found so far in a table of so many rows."""

    def __init__(self, n_rows: int):
        self.n_rows = n_rows
        self.found: list[Fault] = []
        self.broken: dict[str, np.ndarray] = {}

    def rows_of(self, column: str) -> np.ndarray:
        return self.broken.get(column, np.zeros(self.n_rows, bool))

    def add(self, column: str | None, broken: np.ndarray, message: str, repair: str) -> None:
        count = int(np.count_nonzero(broken))
        if count:
            words = f"{column} {message} in {count:,} of {self.n_rows:,} rows"
            self.found.append(Fault("data", str(column), count, words, repair))
            self.broken[str(column)] = self.rows_of(str(column)) | broken

    def wrong_type(self, column: str, dtype: object, expected: str, repair: str) -> None:
        self.found.append(Fault("data", column, 0, f"{column} is {dtype}, not {expected}", repair))
        self.broken[column] = np.ones(self.n_rows, bool)


def _numbers(table: pd.DataFrame, column: str, faults: _Faults) -> np.ndarray | None:
    """Return a column of numbers without missing ones, or None after noting the fault."""
    values = table[column]
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        faults.wrong_type(column, values.dtype, "a number", "convert it first")
        return None
    missing = values.isna().to_numpy()
    if missing.any():
        faults.add(column, missing, "is missing", _DROP)
        return None
    return values.to_numpy()


def _whole(table: pd.DataFrame, column: str, faults: _Faults) -> np.ndarray:
    values = table[column]
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        faults.wrong_type(column, values.dtype, "a whole number", "convert it to whole days first")
        return np.zeros(len(table), np.int64)
    if isinstance(values.dtype, np.dtype) and values.dtype.kind in "iu":
        return values.to_numpy(np.int64)
    missing = values.isna().to_numpy()
    faults.add(column, missing, "is missing", _DROP)
    if pd.api.types.is_integer_dtype(values) and not missing.any():
        whole = values.to_numpy(np.int64)
    else:
        floats = values.to_numpy(float, na_value=0.0)
        # Beyond 2^53 a float cannot tell one whole number from the next.
        odd = (floats != np.floor(floats)) | (np.abs(floats) >= 2.0**53)
        faults.add(column, odd & ~missing, "is not a whole number", _WHOLE)
        whole = np.where(odd | missing, 0, floats).astype(np.int64)
    return whole


def _event(table: pd.DataFrame, column: str, faults: _Faults) -> tuple[np.ndarray, tuple[str, ...]]:
    values = table[column]
    if values.dtype == np.dtype(bool):
        return values.to_numpy().astype(np.int64), ("event",)
    # A column of true and false with a gap in it comes as objects.
    if values.dtype == object and pd.api.types.infer_dtype(values, skipna=True) == "boolean":
        values = values.astype("boolean")
    if not pd.api.types.is_numeric_dtype(values):
        repair = repair_codes(column, values, otherwise="code the event as 1, all else as 0")
        faults.wrong_type(column, values.dtype, "true or false", repair)
        return np.zeros(len(table), np.int64), ("event",)
    missing = values.isna().to_numpy()
    faults.add(column, missing, "is missing", _DROP)
    codes = values.to_numpy(float, na_value=0.0)
    odd = (codes != 0) & (codes != 1) & ~missing
    if odd.any():
        repair = repair_codes(column, np.unique(codes[~missing]))
        faults.add(column, odd, "is neither 0 nor 1", repair)
    return (codes == 1).astype(np.int64), ("event",)


def _causes(
    table: pd.DataFrame, column: str, faults: _Faults
) -> tuple[np.ndarray, tuple[str, ...]]:
    values = table[column]
    if not isinstance(values.dtype, pd.CategoricalDtype):
        if pd.api.types.infer_dtype(values, skipna=True) not in ("string", "empty"):
            return _no_causes(table, column, faults)
        values = values.astype("category")
    words = values.cat.categories
    if not all(isinstance(word, str) for word in words):
        return _no_causes(table, column, faults)
    # Shifted by one, so that a missing value is 0, as one byte a row where that is enough.
    codes = values.cat.codes.to_numpy() + 1
    seen = np.bincount(codes, minlength=len(words) + 1)[1:] > 0
    # Sorted names, whatever the order of the categories; those that do not occur are no causes.
    names = sorted(word for word in words[seen] if word != CENSORED)
    number = {word: k for k, word in enumerate(names, start=1)}
    if fault := cause_fault(column, names):
        faults.found.append(fault)
    lookup = np.array([0, *(number.get(word, 0) for word in words)], np.int64)
    return lookup[codes], tuple(names)


def _no_causes(
    table: pd.DataFrame, column: str, faults: _Faults
) -> tuple[np.ndarray, tuple[str, ...]]:
    due = f"text{told_codes(table[column])}"
    faults.wrong_type(column, table[column].dtype, due, NAME_CAUSE)
    return np.zeros(len(table), np.int64), ()


def _weight(table: pd.DataFrame, column: str, faults: _Faults) -> np.ndarray:
    values = _numbers(table, column, faults)
    if values is None:
        return np.ones(len(table))
    weights = values.astype(float)
    odd = ~(weights > 0) | ~np.isfinite(weights)
    faults.add(column, odd, "is not above 0", "leave these rows out, saying why, or weigh them")
    return weights


def _freq(table: pd.DataFrame, column: str, faults: _Faults) -> np.ndarray:
    values = _numbers(table, column, faults)
    if values is None:
        return np.ones(len(table), np.int64)
    odd = ~((values >= 1) & (values == np.floor(values)) & (values < 2.0**53))
    repair = "count the patients of each row, or give weight= instead"
    faults.add(column, odd, "is not a whole number from 1", repair)
    return np.where(odd, 1, values).astype(np.int64)
