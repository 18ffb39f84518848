"""Events of a service, such as waits of single visits, as one row a period."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
from scipy.stats import norm

from loyalty_research.data.arguments import as_columns, check_choice, check_share
from loyalty_research.data.frames import missing_columns, raise_faults, to_pandas, type_faults
from loyalty_research.data.lending import collect, group_rows, lend
from loyalty_research.errors import DataError, Fault, UsageError
from loyalty_research.retention.periods import PERIODS, as_dates, period_number, period_start
from loyalty_research.retention.rows import group_codes

_NUMBER, _COUNT, _VALUE = "__number", "__count", "__value"
_OWN = ("n", "n_missing", "mean", "mean_std_error", "quantile", "quantile_std_error", "n_within")
_NEAR = 0.95


def series_by_period(
    events: Any,
    *,
    time: str,
    value: str,
    every: str | None = "month",
    q: float = 0.5,
    within: float | None = None,
    by: str | Sequence[str] | None = None,
) -> pd.DataFrame:
    """Return number, mean and a quantile of a value for each calendar period, with their errors.

    The engine counts equal values of a period; nothing else leaves it. Errors take events as
    independent: that of the mean is the standard deviation over the root of n, that of the quantile
    the width of its 95 % interval by order statistics over 2 x 1.96 (Woodruff, JASA 1952;47:635),
    0 where all values about it are equal. A first or last period of which only a part was observed
    is a period like any other here; leave it out before.

    Args:
        events: One row an event. Any frame.
        time: Column of its date; with `every=None` of the whole number of its period.
        value: Column of a number, such as minutes waited; missing ones are counted apart.
        every: `"day"`, `"week"` (from Monday), `"month"`, `"quarter"`, `"year"`; None where `time`
            numbers the periods already.
        q: Which quantile; on a flat piece its midpoint.
        within: A target: how many events had at most this value.
        by: Column or columns of groups, such as the clinic.

    Returns:
        One row a group and period from the group's first to its last, in order: groups, `time`
        (first day, or number), `n` (with a value), `n_missing`, `mean`, `mean_std_error`,
        `quantile`, `quantile_std_error`, `n_within` (missing without a target). A period without
        events has n 0.

    Raises:
        UsageError: An unknown period, a q that is not between 0 and 1, groups named as a result.
        DataError: Columns missing, no dates, no numbers, missing dates or groups, no row.

    Examples:
        >>> visits = pd.DataFrame(
        ...     {"day": pd.to_datetime(["2024-01-05", "2024-01-09", "2024-01-20", "2024-03-01"]),
        ...     "wait": [30.0, 50.0, 40.0, 12.0]}
        ... )
        >>> table = series_by_period(visits, time="day", value="wait", within=30)
        >>> table[["n", "mean", "quantile", "n_within"]].values.tolist()
        [[3, 40.0, 40.0, 1], [0, nan, nan, 0], [1, 12.0, 12.0, 1]]
    """
    if every is not None:
        check_choice(every, PERIODS, name="every")
    check_share(q, name="q")
    groups = as_columns(by)
    clash = sorted(set(groups) & {"time", *_OWN})
    if clash:
        raise UsageError(f"by= names {', '.join(clash)}, a column of the result; rename it first")
    counted = _counted(events, time, value, every, groups)
    code, names = group_codes(counted, groups)
    tables = []
    for k in range(len(names)):
        part = counted[code == k]
        table = _periods(part, every, q, within)
        own = {name: names[name].iloc[k] for name in groups}
        tables.append(pd.DataFrame({**own, **table}, columns=[*groups, *table]))
    return pd.concat(tables, ignore_index=True)


def _counted(
    events: Any, time: str, value: str, every: str | None, groups: list[str]
) -> pd.DataFrame:
    """Return one row for each group, period and value, with its number of events."""
    columns = list(dict.fromkeys([time, value, *groups]))
    raise_faults(missing_columns(events, columns, table="events"))
    dates = {"events": [] if every is None else [time]}
    rows = lend({"events": events}, columns={"events": columns}, dates=dates)["events"]
    schema = rows.collect_schema()
    faults = type_faults({"events": rows}, dates)
    if every is None and not schema[time].is_integer():
        words = f"column {time} is {schema[time]}, not a whole number"
        faults.append(
            Fault("events", time, 0, words, "number the periods, or give every= for dates")
        )
    if not schema[value].is_numeric():
        words = f"column {value} is {schema[value]}, not a number"
        faults.append(Fault("events", value, 0, words, "convert it first"))
    raise_faults(faults)
    _refuse_missing(rows, [time, *groups])
    number = nw.col(time).cast(nw.Int64) if every is None else period_number(nw.col(time), every)
    chosen = [number.alias(_NUMBER), nw.col(value).cast(nw.Float64).alias(_VALUE)]
    grouped = group_rows(rows.select(*groups, *chosen), *groups, _NUMBER, _VALUE)
    table = to_pandas(collect(grouped.agg(nw.len().alias(_COUNT)))).reset_index(drop=True)
    if len(table) == 0:
        raise DataError([Fault("events", "", 0, "there are no events", "check what was chosen")])
    odd = int(table.loc[np.isinf(table[_VALUE]), _COUNT].sum())
    if odd:
        words = f"{value} is infinite in {odd:,} rows"
        raise DataError([Fault("events", value, odd, words, "correct these rows in the source")])
    return table


def _refuse_missing(rows: nw.LazyFrame, columns: list[str]) -> None:
    asked = [nw.col(name).is_null().cast(nw.Int64).sum().alias(name) for name in columns]
    found = to_pandas(collect(rows.select(*asked))).iloc[0]
    repair = "give every event its own, or drop it in the source"
    counts = {name: 0 if pd.isna(found[name]) else int(found[name]) for name in columns}
    raise_faults(
        Fault("events", name, count, f"{name} is missing in {count:,} rows", repair)
        for name, count in counts.items()
        if count
    )


def _periods(
    counted: pd.DataFrame, every: str | None, q: float, within: float | None
) -> dict[str, Any]:
    """Return the columns of one group, a row a period."""
    number = counted[_NUMBER].to_numpy(np.int64)
    first, last = int(number.min()), int(number.max())
    value, count = counted[_VALUE].to_numpy(float), counted[_COUNT].to_numpy(np.int64)
    order = np.lexsort((value, number))
    bounds = np.searchsorted(number[order], np.arange(first, last + 2))
    rows = [_summary(value[order[a:b]], count[order[a:b]], q, within) for a, b in pairwise(bounds)]
    periods = np.arange(first, last + 1)
    start = periods if every is None else as_dates(period_start(periods, every))
    table = pd.DataFrame(rows, columns=list(_OWN))
    for name in ("n", "n_missing"):
        table[name] = table[name].astype("int64")
    table["n_within"] = table["n_within"].astype("Int64")
    return {"time": start, **{name: table[name] for name in _OWN}}


def _summary(
    value: np.ndarray, count: np.ndarray, q: float, within: float | None
) -> tuple[float, ...]:
    """Return the numbers of one period from its distinct values, in order, missing ones last."""
    known = ~np.isnan(value)
    missing = int(count[~known].sum())
    value, count = value[known], count[known]
    n = int(count.sum())
    met = math.nan if within is None else int(count[value <= within].sum())
    if n == 0:
        return 0, missing, math.nan, math.nan, math.nan, math.nan, met
    mean = float(value @ count) / n
    error = math.sqrt(float(count @ (value - mean) ** 2) / (n - 1) / n) if n > 1 else math.nan
    upto = np.cumsum(count)
    return n, missing, mean, error, _quantile(value, upto, q), _quantile_error(value, upto, q), met


def _quantile(value: np.ndarray, upto: np.ndarray, q: float) -> float:
    """Return the value that q of the events do not exceed; on a flat piece the midpoint."""
    rank = q * upto[-1]
    whole = round(rank)
    if abs(rank - whole) < 1e-9 * upto[-1]:
        return float((_ordered(value, upto, whole) + _ordered(value, upto, whole + 1)) / 2)
    return _ordered(value, upto, math.ceil(rank))


def _quantile_error(value: np.ndarray, upto: np.ndarray, q: float) -> float:
    """Return the width of the interval by order statistics over that of a normal one."""
    n, z = int(upto[-1]), float(norm.ppf((1 + _NEAR) / 2))
    half = z * math.sqrt(n * q * (1 - q))
    low, high = math.floor(n * q - half), math.ceil(n * q + half)
    if low < 1 or high > n:
        return math.nan
    return (_ordered(value, upto, high) - _ordered(value, upto, low)) / (2 * z)


def _ordered(value: np.ndarray, upto: np.ndarray, rank: int) -> float:
    """Return the value of an event by its rank from 1."""
    return float(value[np.searchsorted(upto, rank)])
