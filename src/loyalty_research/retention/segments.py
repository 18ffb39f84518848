"""Segments of patients that were declared before anything was estimated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import narwhals.stable.v2 as nw
import pandas as pd

from loyalty_research.cohort.groups import NOT_RECORDED, derive_groups
from loyalty_research.data.arguments import check_whole
from loyalty_research.data.frames import raise_faults, require_columns
from loyalty_research.data.lending import collect, lend
from loyalty_research.errors import Fault, UsageError

_KEYS = ("term", "other_term", "contrast", "cause", "kind", "within_days", "q", "time")
"""What names a row of a result within its group."""

CHECKS = ["check", "statistic", "threshold", "passed", "gating", "message", "n"]


def check_segments(
    cohort: Any, *, segments: Mapping[str, Sequence[Any]], minimum: int = 30
) -> pd.DataFrame:
    """Return whether each declared segment has patients enough, and each patient a segment.

    Args:
        cohort: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        segments: For each column its levels, declared before anything was estimated; levels are
            compared as text, and patients without a value are in the level `"not recorded"`.
        minimum: Below so many patients a segment's estimate would hardly say anything.

    Returns:
        One row a declared level (`statistic`: the share of the cohort in it, `threshold`: the
        share that `minimum` is, not gating), one row a column (`statistic`: the share with an
        undeclared level, which must be 0, gating), and one row that tells how many segments are
        looked at (never passed or failed): `check`, `statistic`, `threshold`, `passed`, `gating`,
        `message`, `n` patients.

    Raises:
        UsageError: No segment, a column without levels, a level declared twice.
        DataError: A column is missing, or there are no patients.

    Examples:
        >>> cohort = pd.DataFrame({"sex": ["female"] * 3 + ["male"]})
        >>> checks = check_segments(cohort, segments={"sex": ["female", "male"]}, minimum=2)
        >>> checks[["check", "statistic", "passed", "n"]]
                           check  statistic  passed  n
        0            sex: female       0.75    True  3
        1              sex: male       0.25   False  1
        2  sex: undeclared level       0.00    True  0
        3     number of segments       2.00    <NA>  4
    """
    declared = _declared(segments)
    least = check_whole(minimum, name="minimum", minimum=1)
    require_columns(cohort, declared, table="cohort")
    rows, total = [], 0
    for column, levels in declared.items():
        sizes = _sizes(cohort, column)
        total = sum(sizes.values())
        if total == 0:
            empty = "the table has no rows"
            raise_faults([Fault("cohort", "", 0, empty, "check the cohort's criteria")])
        rows += [_size_check(column, level, sizes.get(level, 0), total, least) for level in levels]
        outside = sum(n for level, n in sizes.items() if level not in levels)
        rows.append(_outside_check(column, outside, total))
    rows.append(_multiplicity(sum(map(len, declared.values())), total))
    return pd.DataFrame(rows, columns=CHECKS).astype(
        {"statistic": "float64", "threshold": "float64", "passed": "boolean"}
    )


def segment_table(
    data: Any,
    *,
    segments: Mapping[str, Sequence[Any]],
    estimator: Callable[..., pd.DataFrame],
) -> pd.DataFrame:
    """Return any estimator's result for each declared segment, also for those without patients.

    Declaring the segments, and showing all of them, is what keeps one from reporting the only
    subgroup that happened to look well: with many segments some differ by chance.

    Args:
        data: One row a patient; a column `group` is used for the segments and must not be
            needed by the estimator. pandas, Polars, Arrow, DuckDB or Spark.
        segments: For each column its levels in the order to show them, as for `check_segments`.
        estimator: A function of the data and `by`, such as
            `lambda data, by: kaplan_meier(data, by=by, times=[365])`.

    Returns:
        `segment` (the column), `level`, the estimator's columns (first those that name a row, such
        as `term` or `time`) and `n_segments`, the number of declared levels in all. A level
        without patients has its rows too: counts 0, all else missing.

    Raises:
        UsageError: As for `check_segments`, or an estimator whose result has no groups, as that of
            a test, which compares the groups with one another.
        DataError: A column is missing, or patients have a level that was not declared.

    Examples:
        >>> from loyalty_research.retention.curves import kaplan_meier
        >>> data = pd.DataFrame({"time": [1, 2], "event": [True, True], "sex": ["f", "f"]})
        >>> table = segment_table(
        ...     data,
        ...     segments={"sex": ["f", "m"]},
        ...     estimator=lambda data, by: kaplan_meier(data, by=by, times=[1]),
        ... )
        >>> table[["segment", "level", "time", "n_at_risk", "estimate", "n_segments"]]
          segment level  time  n_at_risk  estimate  n_segments
        0     sex     f     1          2       0.5           2
        1     sex     m     1          0       NaN           2
    """
    declared = _declared(segments)
    require_columns(data, declared, table="data")
    raise_faults(
        fault for column, levels in declared.items() for fault in _undeclared(data, column, levels)
    )
    parts = []
    for column, levels in declared.items():
        result = estimator(derive_groups(data, by=column), by="group")
        if "group" not in result:
            raise UsageError(_without_groups(result))
        parts.append(_with_every_level(result, column, levels))
    table = pd.concat(parts, ignore_index=True)
    return table.assign(n_segments=sum(map(len, declared.values())))


def _without_groups(result: pd.DataFrame) -> str:
    if {"statistic", "df"} <= set(result):
        message = "the estimator is a test, which compares the groups and has no result for each"
        return f"{message}; run it by itself, with by= the column of the segments"
    return "the estimator's result has no group; hand `by` on to the estimator"


def _declared(segments: Mapping[str, Sequence[Any]]) -> dict[str, list[str]]:
    if not isinstance(segments, Mapping) or not segments:
        raise UsageError('segments must name columns with their levels, as {"sex": ["f", "m"]}')
    declared = {}
    for column, levels in segments.items():
        if isinstance(levels, str) or not len(levels):
            raise UsageError(f"segments[{column!r}] must be a list of at least one level")
        # The engines write true and false small.
        texts = [str(level).lower() if isinstance(level, bool) else str(level) for level in levels]
        if len(set(texts)) != len(texts):
            raise UsageError(f"segments[{column!r}] declares a level twice")
        declared[column] = texts
    return declared


def _sizes(cohort: Any, column: str) -> dict[str, int]:
    grouped = lend({"cohort": derive_groups(cohort, by=column)}, columns={"cohort": ["group"]})
    counted = grouped["cohort"].group_by("group").agg(nw.len().alias("n"))
    return {row["group"]: int(row["n"]) for row in collect(counted).to_pylist()}


def _undeclared(data: Any, column: str, levels: Sequence[str]) -> list[Fault]:
    sizes = _sizes(data, column)
    count, total = sum(n for level, n in sizes.items() if level not in levels), sum(sizes.values())
    if not count:
        return []
    message = f"{column} has a level that was not declared in {count:,} of {total:,} rows"
    repair = f"declare all levels, {NOT_RECORDED!r} for missing values, or leave these patients out"
    return [Fault("data", column, count, message, repair)]


def _with_every_level(result: pd.DataFrame, column: str, levels: Sequence[str]) -> pd.DataFrame:
    keys = [name for name in map(str, result) if name in _KEYS]
    rows = result[keys].drop_duplicates()
    grid = pd.DataFrame({"level": list(levels)}).merge(rows, how="cross")
    found = result.rename(columns={"group": "level"}).astype({"level": object})
    counts = [name for name in map(str, found) if name == "n" or name.startswith("n_")]
    table = grid.merge(found, on=["level", *keys], how="left", indicator="__seen")
    # A count the estimator left missing stays so; that of an empty level is 0.
    empty = table["__seen"] == "left_only"
    table[counts] = table[counts].astype("Int64").where(~empty, 0)
    for name in counts:
        if not table[name].isna().any():
            table[name] = table[name].astype("int64")
    table.insert(0, "segment", column)
    return table.drop(columns="__seen")


def _size_check(column: str, level: str, n: int, total: int, least: int) -> dict[str, Any]:
    # No number of patients: a published message may not give one away.
    if n >= least:
        words = f"{column}: {level} has at least {least} patients"
    elif n:
        words = f"{column}: {level} has fewer than {least} patients: read it as a description only"
    else:
        words = f"Nobody is in {column}: {level}"
    numbers = {"statistic": n / total, "threshold": least / total, "passed": n >= least}
    return {"check": f"{column}: {level}", **numbers, "gating": False, "message": words, "n": n}


def _outside_check(column: str, n: int, total: int) -> dict[str, Any]:
    words = (
        f"Some patients have a level of {column} that was not declared"
        if n
        else f"Every patient has a declared level of {column}"
    )
    name = f"{column}: undeclared level"
    numbers = {"statistic": n / total, "threshold": 0.0, "passed": n == 0}
    return {"check": name, **numbers, "gating": True, "message": words, "n": n}


def _multiplicity(number: int, total: int) -> dict[str, Any]:
    words = (
        f"With {number} segments a test at 5 % in each would find something by chance alone with "
        f"a probability of up to {100 * min(1.0, 0.05 * number):.0f} %; Bonferroni's level is "
        f"{5 / number:.2g} %"
    )
    numbers = {"statistic": float(number), "threshold": None, "passed": None}
    return {"check": "number of segments", **numbers, "gating": False, "message": words, "n": total}
