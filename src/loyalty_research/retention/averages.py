"""Means and shares of columns by group, each with its interval, from sums made in the engine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
from scipy.stats import t as student

from loyalty_research.data.frames import (
    Check,
    is_missing,
    missing_columns,
    raise_faults,
    value_faults,
)
from loyalty_research.data.lending import collect, group_rows, lend, to_pandas
from loyalty_research.errors import Fault, UsageError
from loyalty_research.retention.intervals import wilson_interval

ESTIMATES = [
    "estimate",
    "std_error",
    "conf_low",
    "conf_high",
    "conf_level",
    "p_value",
    "n",
    "n_events",
    "scale",
    "method",
]
"""The columns of an estimates table after `term` and those of the group."""

REPAIR_GROUP = "leave these patients out, or give them a group of their own by derive_groups"


def refuse_clashes(groups: Sequence[str], taken: Iterable[str]) -> None:
    """Refuse a grouping column whose name the result needs for itself.

    Args:
        groups: The grouping columns.
        taken: Names of the result's other columns.

    Raises:
        UsageError: A name is in both, or a grouping column is named twice.

    Examples:
        >>> refuse_clashes(["sex"], ["n"])
    """
    clash = sorted(set(groups) & set(taken))
    if clash:
        raise UsageError(f"by={clash[0]!r} is also a column of the result; rename it in the data")
    if len(set(groups)) != len(groups):
        raise UsageError("by names a column twice; name each column once")


def term_first(groups: pd.DataFrame, found: list[dict[str, Any]]) -> pd.DataFrame:
    """Return estimates as a table: the term, its group, then the rest.

    Args:
        groups: One row an estimate, with the grouping columns.
        found: The columns of each estimate, `term` among them.

    Returns:
        The table.

    Examples:
        >>> groups = pd.DataFrame({"site": ["a"]})
        >>> list(term_first(groups, [{"horizon": 3, "term": "auc", "estimate": 0.5}]))
        ['term', 'site', 'horizon', 'estimate']
    """
    table = pd.concat([groups.reset_index(drop=True), pd.DataFrame(found)], axis=1)
    return table[["term", *[name for name in table if name != "term"]]]


def open_rows_by_group(
    data: Any,
    *,
    groups: Sequence[str],
    columns: Sequence[str],
    checks: Sequence[Check] = (),
    table: str = "data",
) -> nw.LazyFrame:
    """Return the grouping columns with others that must be numbers, checked at the door.

    Args:
        data: One row a patient.
        groups: Grouping columns, in which no value may be missing.
        columns: Columns that must hold numbers, or true and false; values may be missing.
        checks: What no row may meet.
        table: The table's name, for the messages.

    Returns:
        The rows with the groups as they are and the columns as floats, a NaN as missing.

    Raises:
        DataError: Missing columns, text where a number is due, missing groups, failed checks, no
            rows; all faults at once.

    Examples:
        >>> data = pd.DataFrame({"sex": ["f", "m"], "score": [1, None]})
        >>> rows = open_rows_by_group(data, groups=["sex"], columns=["score"])
        >>> collect(rows.sort("sex")).to_pylist()
        [{'sex': 'f', 'score': 1.0}, {'sex': 'm', 'score': None}]
    """
    names = list(dict.fromkeys([*groups, *columns]))
    raise_faults(missing_columns(data, names, table=table))
    rows = lend({table: data}, columns={table: names})[table]
    schema = rows.collect_schema()
    due = [name for name in columns if not isinstance(schema[name], nw.Boolean)]
    raise_faults(number_faults(rows, due, table=table))
    rows = rows.select(*groups, *[_as_float(name, schema[name]) for name in columns])
    every = [*[is_missing(name, repair=REPAIR_GROUP) for name in groups], *checks]
    raise_faults(value_faults(rows, every, table=table))
    return rows


def number_faults(frame: nw.LazyFrame, columns: Sequence[str], *, table: str) -> list[Fault]:
    """Return one fault for each column that should hold numbers but does not.

    Args:
        frame: The table.
        columns: Columns that must be numbers.
        table: The table's name, for the messages.

    Returns:
        The faults, none if all are numbers.

    Examples:
        >>> import duckdb
        >>> visits = nw.from_native(duckdb.sql("SELECT 'ten' AS fee"))
        >>> print(number_faults(visits, ["fee"], table="visits")[0])
        visits: fee is String, not a number; code it as a number first
    """
    schema = frame.collect_schema()
    repair = "code it as a number first"
    return [
        Fault(table, name, 0, f"{name} is {schema[name]}, not a number", repair)
        for name in columns
        if not schema[name].is_numeric()
    ]


def _as_float(name: str, dtype: Any) -> nw.Expr:
    if isinstance(dtype, nw.Boolean):
        # Not every engine turns true into a float in one step.
        return nw.col(name).cast(nw.Int64).cast(nw.Float64)
    value = nw.col(name).cast(nw.Float64)
    return nw.when(~value.is_nan()).then(value).alias(name) if dtype.is_float() else value


def moments(
    rows: nw.LazyFrame, *, columns: Sequence[str], groups: Sequence[str], like: Any
) -> dict[str, pd.DataFrame]:
    """Return for each column how many values each group has, their mean and their spread.

    Args:
        rows: As `open_rows_by_group` returns.
        columns: Columns of numbers.
        groups: Grouping columns.
        like: The native frame the rows came from; a pandas category keeps its order.

    Returns:
        By column a table, one row a group in order: the groups, `n_rows`, `n`, `mean`, `sd`
        (missing below two values).

    Examples:
        >>> data = pd.DataFrame({"score": [1.0, 3.0, None]})
        >>> rows = open_rows_by_group(data, groups=[], columns=["score"])
        >>> moments(rows, columns=["score"], groups=[], like=data)["score"]
           n_rows  n  mean        sd
        0       3  2   2.0  1.414214
    """
    aggregates = [nw.len().alias("__rows")]
    for i, name in enumerate(columns):
        value = nw.col(name)
        aggregates += [
            value.count().alias(f"__n_{i}"),
            value.mean().alias(f"__mean_{i}"),
            value.std(ddof=1).alias(f"__sd_{i}"),
        ]
    query = group_rows(rows, *groups).agg(*aggregates) if groups else rows.select(*aggregates)
    table = sorted_groups(to_pandas(collect(query)), groups=groups, like=like)
    return {name: _moments_of(table, groups, i) for i, name in enumerate(columns)}


def _moments_of(table: pd.DataFrame, groups: Sequence[str], i: int) -> pd.DataFrame:
    n = table[f"__n_{i}"].fillna(0).astype(np.int64)
    return table[list(groups)].assign(
        n_rows=table["__rows"].astype(np.int64),
        n=n,
        mean=table[f"__mean_{i}"].astype(float).where(n > 0),
        sd=table[f"__sd_{i}"].astype(float).where(n > 1),
    )


def sorted_groups(table: pd.DataFrame, *, groups: Sequence[str], like: Any) -> pd.DataFrame:
    """Return a small table in the order of its groups, typed as in the data.

    Args:
        table: One or more rows a group.
        groups: Grouping columns.
        like: The native frame; a pandas category keeps its own order of levels.

    Returns:
        The table, sorted, with a plain index.

    Examples:
        >>> table = pd.DataFrame({"sex": ["m", "f"]})
        >>> sorted_groups(table, groups=["sex"], like=None)["sex"].tolist()
        ['f', 'm']
    """
    if nw.dependencies.is_pandas_dataframe(like):
        table = table.astype({name: like[name].dtype for name in groups})
    return table.sort_values(list(groups), ignore_index=True) if groups else table


def mean_estimates(
    counted: pd.DataFrame, *, groups: Sequence[str], term: str, scale: str, conf_level: float
) -> pd.DataFrame:
    """Return means with Student's t interval, which is missing below two values.

    Args:
        counted: As `moments` returns for one column.
        groups: Grouping columns.
        term: What was averaged.
        scale: Its scale in words.
        conf_level: Coverage.

    Returns:
        An estimates table with `n_missing` after its fixed columns.

    Examples:
        >>> counted = pd.DataFrame({"n_rows": [3], "n": [2], "mean": [2.0], "sd": [2**0.5]})
        >>> table = mean_estimates(
        ...     counted, groups=[], term="score", scale="mean", conf_level=0.95
        ... )
        >>> table[["term", "estimate", "std_error", "n", "n_missing"]].values.tolist()
        [['score', 2.0, 1.0, 2, 1]]
    """
    n = counted["n"].to_numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        std_error = counted["sd"].to_numpy() / np.sqrt(n)
    half = student.ppf((1 + conf_level) / 2, np.maximum(n - 1, 1)) * std_error
    mean = counted["mean"].to_numpy()
    interval = (std_error, mean - half, mean + half)
    none = pd.array([pd.NA] * len(n), dtype="Int64")
    return _estimates(counted, groups, term, mean, interval, conf_level, none, scale, "mean, t")


def share_estimates(
    counted: pd.DataFrame, *, groups: Sequence[str], term: str, conf_level: float
) -> pd.DataFrame:
    """Return shares of a 0-1 column with Wilson's interval.

    Args:
        counted: As `moments` returns for one column.
        groups: Grouping columns.
        term: What was counted.
        conf_level: Coverage.

    Returns:
        An estimates table with `n_missing` after its fixed columns.

    Examples:
        >>> counted = pd.DataFrame({"n_rows": [10], "n": [10], "mean": [0.8], "sd": [0.4]})
        >>> table = share_estimates(counted, groups=[], term="x", conf_level=0.95)
        >>> round(table["conf_low"].item(), 4)
        0.4902
    """
    n, share = counted["n"].to_numpy(), counted["mean"].to_numpy()
    # The mean of zeros and ones times their number is whole but for rounding.
    events = np.rint(np.where(n > 0, share, 0) * n).astype(np.int64)
    low, high = wilson_interval(events, n, conf_level=conf_level)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = events / n.astype(float)
        interval = (np.sqrt(share * (1 - share) / n), low, high)
    counted_events = pd.array(events, dtype="Int64")
    return _estimates(
        counted, groups, term, share, interval, conf_level, counted_events, "share", "share, Wilson"
    )


def _estimates(
    counted: pd.DataFrame,
    groups: Sequence[str],
    term: str,
    estimate: np.ndarray,
    interval: tuple[np.ndarray, np.ndarray, np.ndarray],
    conf_level: float,
    events: Any,
    scale: str,
    method: str,
) -> pd.DataFrame:
    std_error, low, high = interval
    table = counted[list(groups)].assign(
        estimate=estimate,
        std_error=std_error,
        conf_low=low,
        conf_high=high,
        conf_level=conf_level,
        p_value=np.nan,
        n=counted["n"],
        n_events=events,
        scale=scale,
        method=method,
        n_missing=counted["n_rows"] - counted["n"],
    )
    table.insert(0, "term", term)
    return table
