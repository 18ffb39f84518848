"""The four behaviours in which loyalty shows, each told by itself."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
from scipy.stats import norm
from scipy.stats import t as student

from loyalty_research.data.arguments import as_columns, check_choice, check_share
from loyalty_research.data.frames import Check
from loyalty_research.data.lending import collect, group_rows, to_pandas
from loyalty_research.errors import UsageError
from loyalty_research.retention.averages import (
    ESTIMATES,
    mean_estimates,
    moments,
    open_rows_by_group,
    refuse_clashes,
    share_estimates,
    sorted_groups,
)

BEHAVIOURS = ("repeat_choice", "recommendation", "trust", "willing_to_pay")
"""Chooses the same provider again, recommends it, trusts it, would pay more for it."""

CORRELATIONS = [*ESTIMATES, "n_missing"]
"""The columns of a table of correlations after `term`, `other_term` and those of the group."""

_N = "__n"


def loyalty_profile(
    data: Any,
    *,
    repeat_choice: str | None = "repeat_choice",
    recommendation: str | None = "recommendation",
    trust: str | None = "trust",
    willing_to_pay: str | None = "willing_to_pay",
    ranges: Mapping[str, tuple[float, float]] | None = None,
    by: str | Sequence[str] | None = None,
    conf_level: float = 0.95,
) -> pd.DataFrame:
    """Return each of the four behaviours of loyalty by itself, with interval and missing values.

    There is no single score on purpose: its weights would decide who is called loyal, and a
    programme may move one behaviour while another falls.

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        repeat_choice: Column that tells whether the patient chose the provider again. Each of the
            four is true or false, 1 or 0, or a score whose range is stated in `ranges`; missing
            values are left out and counted. None for a behaviour that was not measured.
        recommendation: Column that tells whether the patient recommended the provider.
        trust: Column that tells how far the patient trusts the provider.
        willing_to_pay: Column that tells whether the patient would pay more.
        ranges: For each behaviour (not column) that is a score its lowest and highest value.
        by: Column or columns that name groups.
        conf_level: Coverage of the intervals.

    Returns:
        For each behaviour and group a share (Wilson's interval) or a mean score (Student's t):
        `term`, group..., `estimate`, `std_error`, `conf_low`, `conf_high`, `conf_level`, `p_value`
        (missing: nothing is tested), `n` patients with a value, `n_events` of them with the
        behaviour (missing for a score), `scale`, `method`, `n_missing`. A behaviour that was not
        measured has its rows too, so that the gap is seen: `n` 0, `scale` `"not measured"`.

    Raises:
        UsageError: No behaviour, one column for two behaviours, a range of an unknown behaviour or
            that is empty, a clash of names.
        DataError: Missing columns or groups, a value outside its range; all faults at once.

    Examples:
        >>> data = pd.DataFrame({"came": [1, 1, 0, None], "trust": [5, 3, 4, 4]})
        >>> profile = loyalty_profile(
        ...     data,
        ...     repeat_choice="came",
        ...     recommendation=None,
        ...     willing_to_pay=None,
        ...     ranges={"trust": (1, 5)},
        ... )
        >>> profile[["term", "estimate", "n", "n_missing", "scale"]].round(3).values.tolist()
        [['repeat_choice', 0.667, 3, 1, 'share'], ['recommendation', nan, 0, 4, 'not measured'], \
['trust', 4.0, 4, 0, 'score 1 to 5'], ['willing_to_pay', nan, 0, 4, 'not measured']]
    """
    level = check_share(conf_level, name="conf_level")
    named = dict(
        zip(BEHAVIOURS, (repeat_choice, recommendation, trust, willing_to_pay), strict=True)
    )
    columns, limits = _check_behaviours(named, ranges)
    groups = as_columns(by)
    refuse_clashes(groups, ["term", "n_missing", *ESTIMATES, *columns.values()])
    rows = _open_behaviours(data, columns, limits, groups)
    found = moments(rows, columns=list(columns.values()), groups=groups, like=data)
    parts = [_profile_of(b, columns, limits, found, groups, level) for b in BEHAVIOURS]
    return pd.concat(parts, ignore_index=True)


def _check_behaviours(
    named: Mapping[str, str | None], ranges: Mapping[str, tuple[float, float]] | None
) -> tuple[dict[str, str], dict[str, tuple[float, float]]]:
    columns = {name: column for name, column in named.items() if column is not None}
    if not columns:
        raise UsageError(f"name the column of at least one of {', '.join(BEHAVIOURS)}")
    if len(set(columns.values())) != len(columns):
        raise UsageError("one column stands for two behaviours; give each its own")
    limits = dict(ranges or {})
    for name, pair in limits.items():
        check_choice(name, columns, name="ranges")
        _check_range(name, pair)
    return columns, limits


def _check_range(name: str, pair: Any) -> None:
    two = isinstance(pair, Sequence) and len(pair) == 2
    if not two or not all(isinstance(x, numbers.Real) for x in pair) or not pair[0] < pair[1]:
        raise UsageError(f"ranges[{name!r}]={pair!r} must be lowest and highest score, as (1, 5)")


def _open_behaviours(
    data: Any,
    columns: Mapping[str, str],
    limits: Mapping[str, tuple[float, float]],
    groups: Sequence[str],
) -> nw.LazyFrame:
    checks = []
    for name, column in columns.items():
        value = nw.col(column)
        if name in limits:
            low, high = limits[name]
            words = f"is not between {low:g} and {high:g}"
            outside = (value < low) | (value > high)
            checks.append(Check(column, outside, words, f"correct it or the range of {name}"))
        else:
            repair = f"code it as 1 or 0, or state the score's range in ranges for {name}"
            checks.append(Check(column, (value != 0) & (value != 1), "is neither 0 nor 1", repair))
    return open_rows_by_group(data, groups=groups, columns=list(columns.values()), checks=checks)


def _profile_of(
    behaviour: str,
    columns: Mapping[str, str],
    limits: Mapping[str, tuple[float, float]],
    found: Mapping[str, pd.DataFrame],
    groups: Sequence[str],
    level: float,
) -> pd.DataFrame:
    if behaviour not in columns:
        nothing = next(iter(found.values())).assign(n=0, mean=np.nan, sd=np.nan)
        table = mean_estimates(
            nothing, groups=groups, term=behaviour, scale="not measured", conf_level=level
        )
        return table.assign(method="not measured")
    counted = found[columns[behaviour]]
    if behaviour not in limits:
        return share_estimates(counted, groups=groups, term=behaviour, conf_level=level)
    low, high = limits[behaviour]
    scale = f"score {low:g} to {high:g}"
    return mean_estimates(counted, groups=groups, term=behaviour, scale=scale, conf_level=level)


# --- how the behaviours go together ---------------------------------------------------------------


def loyalty_profile_correlation(
    data: Any,
    *,
    repeat_choice: str | None = "repeat_choice",
    recommendation: str | None = "recommendation",
    trust: str | None = "trust",
    willing_to_pay: str | None = "willing_to_pay",
    ranges: Mapping[str, tuple[float, float]] | None = None,
    by: str | Sequence[str] | None = None,
    conf_level: float = 0.95,
) -> pd.DataFrame:
    """Return Spearman's rank correlation of each pair of the measured behaviours.

    Ties take their mean rank (Spearman, Am J Psychol 1904;15:72). The interval is Fisher's on the
    scale of artanh with the error sqrt((1 + r^2 / 2) / (n - 3)) of Bonett and Wright (Psychometrika
    2000;65:23); the p value is that of t = r sqrt((n - 2) / (1 - r^2)) with n - 2 degrees. The
    engine counts the distinct pairs of values, so the number of patients hardly matters.

    Args:
        data: One row a patient, as for `loyalty_profile`.
        repeat_choice: As for `loyalty_profile`.
        recommendation: As for `loyalty_profile`.
        trust: As for `loyalty_profile`.
        willing_to_pay: As for `loyalty_profile`.
        ranges: As for `loyalty_profile`.
        by: Column or columns that name groups.
        conf_level: Coverage of the intervals.

    Returns:
        One row a pair and group: `term`, `other_term`, group..., `estimate` (missing where a
        behaviour is the same for all), `std_error` (on the scale of artanh), `conf_low` and
        `conf_high` (missing below four patients and at -1 and 1), `conf_level`, `p_value`, `n`
        patients with both, `n_events` (missing: nothing is counted), `scale`, `method`,
        `n_missing`.

    Raises:
        UsageError: Fewer than two behaviours, or as for `loyalty_profile`.
        DataError: As for `loyalty_profile`.

    Examples:
        >>> data = pd.DataFrame({"came": [0, 0, 1, 1], "trust": [1, 2, 2, 5]})
        >>> table = loyalty_profile_correlation(
        ...     data,
        ...     repeat_choice="came",
        ...     recommendation=None,
        ...     willing_to_pay=None,
        ...     ranges={"trust": (1, 5)},
        ... )
        >>> round(table["estimate"].item(), 4)
        0.7071
    """
    level = check_share(conf_level, name="conf_level")
    named = dict(
        zip(BEHAVIOURS, (repeat_choice, recommendation, trust, willing_to_pay), strict=True)
    )
    columns, limits = _check_behaviours(named, ranges)
    if len(columns) < 2:
        raise UsageError("a correlation needs two behaviours; name the columns of two or more")
    groups = as_columns(by)
    refuse_clashes(groups, ["term", "other_term", *CORRELATIONS, *columns.values()])
    rows = _open_behaviours(data, columns, limits, groups)
    parts = []
    for one, other in combinations(columns, 2):
        pairs = _count_pairs(rows, columns[one], columns[other], groups, data)
        found = [_correlation(part, level) for part in pairs.values()]
        table = pd.DataFrame(found, columns=CORRELATIONS).astype({"n_events": "Int64"})
        for position, name in enumerate(groups):
            keys = pd.concat([part[name].iloc[[0]] for part in pairs.values()], ignore_index=True)
            table.insert(position, name, keys)
        table.insert(0, "term", one)
        table.insert(1, "other_term", other)
        parts.append(table)
    return pd.concat(parts, ignore_index=True)


def _count_pairs(
    rows: nw.LazyFrame, one: str, other: str, groups: Sequence[str], like: Any
) -> dict[Any, pd.DataFrame]:
    """Return by group how many patients have each pair of values."""
    chosen = rows.select(*groups, nw.col(one).alias("__x"), nw.col(other).alias("__y"))
    counted = group_rows(chosen, *groups, "__x", "__y").agg(nw.len().alias(_N))
    table = sorted_groups(to_pandas(collect(counted)), groups=groups, like=like)
    if not groups:
        return {(): table}
    return dict(list(table.groupby(list(groups), observed=True)))


def _correlation(pairs: pd.DataFrame, level: float) -> tuple[Any, ...]:
    both = pairs.dropna(subset=["__x", "__y"])
    n, total = int(both[_N].sum()), int(pairs[_N].sum())
    weight = both[_N].to_numpy(float)
    x, y = (_mean_ranks(both[name].to_numpy(float), weight) for name in ("__x", "__y"))
    r = _pearson(x, y, weight)
    error = math.sqrt((1 + r**2 / 2) / (n - 3)) if n > 3 else math.nan
    # At -1 and 1 artanh is infinite, and there is no interval to give.
    centre = math.atanh(r) if abs(r) < 1 else math.nan
    half = norm.ppf((1 + level) / 2) * error
    interval = (math.tanh(centre - half), math.tanh(centre + half), level)
    words = ("correlation", "Spearman, Bonett-Wright")
    return (r, error, *interval, _p_value(r, n), n, pd.NA, *words, total - n)


def _p_value(r: float, n: int) -> float:
    if n < 3 or math.isnan(r):
        return math.nan
    if abs(r) >= 1:
        return 0.0
    return float(2 * student.sf(abs(r) * math.sqrt((n - 2) / (1 - r**2)), n - 2))


def _mean_ranks(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the mean rank of each value, counted as often as its weight says."""
    _, code = np.unique(values, return_inverse=True)
    size = np.bincount(code, weights=weight)
    return (np.cumsum(size) - size + (size + 1) / 2)[code]


def _pearson(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> float:
    total = weight.sum()
    if total == 0:
        return math.nan
    dx, dy = x - weight @ x / total, y - weight @ y / total
    spread = math.sqrt((weight @ dx**2) * (weight @ dy**2))
    return float(np.clip(weight @ (dx * dy) / spread, -1, 1)) if spread > 0 else math.nan
