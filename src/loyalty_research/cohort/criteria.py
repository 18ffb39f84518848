"""Who is studied: one named criterion after another, each with its row of attrition."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import duckdb
import narwhals.stable.v2 as nw
import pandas as pd
from narwhals.exceptions import NarwhalsError

from loyalty_research.data.arguments import check_date, check_whole
from loyalty_research.data.frames import (
    day_number,
)
from loyalty_research.data.lending import (
    collect,
    column_names,
    give_back,
    lend,
)
from loyalty_research.errors import DataError, Fault, UsageError

Criterion = nw.Expr | str | Callable[[Sequence[str]], nw.Expr]
"""An expression, the name of a boolean column, or a function of the cohort's column names."""

col = nw.col
"""The column of a cohort, for criteria of one's own: `col("sex") == "female"`."""


def apply_criteria(cohort: Any, *, criteria: Mapping[str, Criterion]) -> tuple[Any, pd.DataFrame]:
    """Return the patients who meet every criterion, with the attrition at each.

    Args:
        cohort: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        criteria: Name of each criterion and what must be true, in the order of application: an
            expression in `col`, the name of a boolean column, or a rule made by
            `entered_between`, `observable_for`, `looked_back_for`, `aged_between`,
            `present_at_index` or `known`.

    Returns:
        The cohort that is left, same kind of frame and same columns; and the attrition, pandas,
        one row a criterion after a row 0 for everyone: `step`, `criterion`, `n_before`,
        `n_excluded`, `n_after`.

    Raises:
        UsageError: A criterion that is no condition or names an unknown column.
        DataError: A criterion is neither true nor false for some patients, or nobody is left.

    Examples:
        >>> import pandas as pd
        >>> cohort = pd.DataFrame({"patient_id": ["a", "b", "c"], "age": [70, 15, 40]})
        >>> adults, attrition = apply_criteria(
        ...     cohort, criteria={"adult": col("age") >= 18, "below 65": col("age") < 65}
        ... )
        >>> adults
          patient_id  age
        2          c   40
        >>> attrition
           step criterion  n_before  n_excluded  n_after
        0     0       all         3           0        3
        1     1     adult         3           1        2
        2     2  below 65         2           1        1
    """
    lent = lend({"cohort": cohort})["cohort"]
    names = column_names(cohort, table="cohort")
    rules = {name: _expression(rule, name, names) for name, rule in criteria.items()}
    marked = _mark(lent, rules, names)
    attrition = _attrition(marked, list(rules), names)
    if rules:
        marked = marked.filter(nw.all_horizontal(*_marks(len(rules)), ignore_nulls=False))
    return give_back(marked, like=cohort, new=[]), attrition


def _marks(n: int) -> list[nw.Expr]:
    return [nw.col(f"__meets_{step}") for step in range(n)]


def _expression(rule: Criterion, name: str, columns: Sequence[str]) -> nw.Expr:
    if isinstance(rule, str):
        return nw.col(rule)
    if isinstance(rule, nw.Expr):
        return rule
    if callable(rule):
        return rule(columns)
    raise UsageError(f"criterion {name!r} must be an expression in col, or a boolean column's name")


def _mark(frame: nw.LazyFrame, rules: Mapping[str, nw.Expr], names: Sequence[str]) -> nw.LazyFrame:
    for step, (name, rule) in enumerate(rules.items()):
        try:
            frame = frame.with_columns(rule.alias(f"__meets_{step}"))
            met = frame.collect_schema()[f"__meets_{step}"]
        except (NarwhalsError, duckdb.Error, TypeError):
            message = f"criterion {name!r} cannot be asked of the columns {', '.join(names)}"
            raise UsageError(message) from None
        if not isinstance(met, nw.Boolean):
            raise UsageError(f"criterion {name!r} is {met}, not true or false")
    return frame


def _attrition(marked: nw.LazyFrame, names: Sequence[str], columns: Sequence[str]) -> pd.DataFrame:
    """Return the attrition, every step counted in the same pass over the cohort."""
    so_far, counts = nw.lit(True), [nw.len().alias("after_0")]
    for step, meets in enumerate(_marks(len(names))):
        unknown = (so_far & meets.is_null()).cast(nw.Int64).sum()
        so_far = so_far & meets.fill_null(False)
        after = so_far.cast(nw.Int64).sum()
        counts += [unknown.alias(f"unknown_{step + 1}"), after.alias(f"after_{step + 1}")]
    try:
        row = collect(marked.select(*counts)).to_pylist()[0]
    except (NarwhalsError, duckdb.Error):
        # Some engines see only now that a criterion compares text with numbers, and quote it.
        asked = ", ".join(map(repr, names))
        message = f"one of the criteria {asked} cannot be asked of the columns {', '.join(columns)}"
        raise UsageError(message) from None
    n_after = [int(row[f"after_{step}"] or 0) for step in range(len(names) + 1)]
    n_before = [n_after[0], *n_after[:-1]]
    _refuse_unknown(names, n_before, [int(row[f"unknown_{s + 1}"] or 0) for s in range(len(names))])
    _refuse_nobody(names, n_before, n_after)
    table = {"step": range(len(n_after)), "criterion": ["all", *names], "n_before": n_before}
    excluded = [before - after for before, after in zip(n_before, n_after, strict=True)]
    return pd.DataFrame({**table, "n_excluded": excluded, "n_after": n_after})


def _refuse_unknown(names: Sequence[str], n_before: Sequence[int], unknown: Sequence[int]) -> None:
    faults = [
        Fault(
            "cohort",
            name,
            count,
            f"criterion {name!r} is neither true nor false for {count:,} of {before:,} patients",
            "put known(...) of its columns before it",
        )
        for name, before, count in zip(names, n_before[1:], unknown, strict=True)
        if count
    ]
    if faults:
        raise DataError(faults)


def _refuse_nobody(names: Sequence[str], n_before: Sequence[int], n_after: Sequence[int]) -> None:
    if n_after[-1] > 0:
        return
    if n_before[0] == 0:
        raise DataError([Fault("cohort", "", 0, "the table has no rows", "check the index dates")])
    last = next(step for step, after in enumerate(n_after) if after == 0)
    message = f"criterion {names[last - 1]!r} excluded the last {n_before[last]:,} patients"
    raise DataError([Fault("cohort", "", n_before[last], message, "widen it or the study period")])


# --- rules ----------------------------------------------------------------------------------------


def known(*columns: str) -> Criterion:
    """Return the rule that none of the columns is missing.

    Args:
        *columns: Columns of the cohort.

    Returns:
        A criterion for `apply_criteria`.

    Examples:
        >>> import pandas as pd
        >>> cohort = pd.DataFrame({"patient_id": ["a", "b"], "birth_year": [1950, None]})
        >>> _, attrition = apply_criteria(cohort, criteria={"age known": known("birth_year")})
        >>> attrition["n_after"].to_list()
        [2, 1]
    """
    return nw.all_horizontal(*[~nw.col(column).is_null() for column in columns], ignore_nulls=False)


def entered_between(start: Any = None, end: Any = None) -> Criterion:
    """Return the rule that the index date lies in a period, both ends included.

    Args:
        start: First day; None or an empty text for no limit.
        end: Last day; None or an empty text for no limit.

    Returns:
        A criterion for `apply_criteria`.

    Raises:
        UsageError: The period ends before it starts.

    Examples:
        >>> import pandas as pd
        >>> dates = pd.to_datetime(["2022-12-31", "2023-01-01"])
        >>> cohort = pd.DataFrame({"patient_id": ["a", "b"], "index_date": dates})
        >>> rule = entered_between("2023-01-01", "2023-12-31")
        >>> apply_criteria(cohort, criteria={"entered in 2023": rule})[0]["patient_id"].to_list()
        ['b']
    """
    first = check_date(start, name="start") if start not in (None, "") else dt.date.min
    last = check_date(end, name="end") if end not in (None, "") else dt.date.max
    if last < first:
        raise UsageError(f"end={last} is before start={first}; swap them")
    day = day_number(nw.col("index_date"))
    return (day >= first.toordinal()) & (day <= last.toordinal())


def observable_for(days: int, *, data_cutoff: Any) -> Criterion:
    """Return the rule that a patient could be followed for so many days from the index date.

    It looks at what could be seen, never at what happened: a patient who died early stays in.

    Args:
        days: Days of follow-up that must be possible.
        data_cutoff: Last day the data cover; `observed_until`, where the cohort has that column,
            ends a patient's window earlier.

    Returns:
        A criterion for `apply_criteria`.

    Examples:
        >>> import pandas as pd
        >>> dates = pd.to_datetime(["2023-01-01", "2023-01-02"])
        >>> cohort = pd.DataFrame({"patient_id": ["a", "b"], "index_date": dates})
        >>> rule = observable_for(365, data_cutoff="2024-01-01")
        >>> apply_criteria(cohort, criteria={"a year seen": rule})[0]["patient_id"].to_list()
        ['a']
    """
    days = check_whole(days, name="days")
    cutoff = nw.lit(check_date(data_cutoff, name="data_cutoff").toordinal())

    def rule(columns: Sequence[str]) -> nw.Expr:
        ends = [cutoff]
        if "observed_until" in columns:
            ends.append(day_number(nw.col("observed_until")))
        return day_number(nw.col("index_date")) + days <= nw.min_horizontal(*ends)

    return rule


def looked_back_for(days: int, *, data_start: Any) -> Criterion:
    """Return the rule that so many days before the index date could be seen.

    Args:
        days: Days of look-back that must be possible.
        data_start: First day the data cover; `observed_from`, where the cohort has that column,
            starts a patient's window later.

    Returns:
        A criterion for `apply_criteria`.

    Examples:
        >>> import pandas as pd
        >>> dates = pd.to_datetime(["2023-01-01", "2023-01-02"])
        >>> cohort = pd.DataFrame({"patient_id": ["a", "b"], "index_date": dates})
        >>> rule = looked_back_for(366, data_start="2022-01-01")
        >>> apply_criteria(cohort, criteria={"a year known": rule})[0]["patient_id"].to_list()
        ['b']
    """
    days = check_whole(days, name="days")
    start = nw.lit(check_date(data_start, name="data_start").toordinal())

    def rule(columns: Sequence[str]) -> nw.Expr:
        starts = [start]
        if "observed_from" in columns:
            starts.append(day_number(nw.col("observed_from")))
        return day_number(nw.col("index_date")) - days >= nw.max_horizontal(*starts)

    return rule


def aged_between(low: int, high: int) -> Criterion:
    """Return the rule on age at the index date, in years from `birth_year`, both ends included.

    Args:
        low: Youngest age.
        high: Oldest age.

    Returns:
        A criterion for `apply_criteria`; patients without `birth_year` are an error, so put
        `known("birth_year")` before it.

    Raises:
        UsageError: The range is empty.

    Examples:
        >>> import pandas as pd
        >>> dates = pd.to_datetime(["2023-05-01", "2023-05-01"])
        >>> cohort = pd.DataFrame({"index_date": dates, "birth_year": [2006, 2005]})
        >>> _, attrition = apply_criteria(cohort, criteria={"adults": aged_between(18, 120)})
        >>> attrition["n_after"].to_list()
        [2, 1]
    """
    low, high = check_whole(low, name="low"), check_whole(high, name="high")
    if high < low:
        raise UsageError(f"high={high} is below low={low}; swap them")
    age = nw.col("index_date").dt.year() - nw.col("birth_year")
    return (age >= low) & (age <= high)


def present_at_index() -> Criterion:
    """Return the rule that a patient was alive, resident, and observed on the index date.

    It reads those of `death_date`, `moved_date`, `observed_from`, `observed_until` that the
    cohort has; a missing date excludes nobody. An exit on the index date itself is allowed.

    Returns:
        A criterion for `apply_criteria`.

    Examples:
        >>> import pandas as pd
        >>> cohort = pd.DataFrame({
        ...     "index_date": pd.to_datetime(["2023-05-02", "2023-05-02"]),
        ...     "death_date": pd.to_datetime(["2023-05-01", None]),
        ... })
        >>> _, attrition = apply_criteria(cohort, criteria={"alive": present_at_index()})
        >>> attrition["n_after"].to_list()
        [2, 1]
    """

    def rule(columns: Sequence[str]) -> nw.Expr:
        index = day_number(nw.col("index_date"))
        ends = [c for c in ("death_date", "moved_date", "observed_until") if c in columns]
        present = [nw.col(c).is_null() | (index <= day_number(nw.col(c))) for c in ends]
        if "observed_from" in columns:
            start = nw.col("observed_from")
            present.append(start.is_null() | (index >= day_number(start)))
        return nw.all_horizontal(nw.lit(True), *present, ignore_nulls=False)

    return rule
