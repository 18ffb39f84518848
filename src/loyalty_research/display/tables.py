"""Result tables worded for readers: rounded, named, with intervals in words.

Each function takes a result at full precision and returns it worded (`words`), with the numbers
kept beside it (`numbers`). With `audience="publish"` small counts are hidden first.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from loyalty_research.display.disclosure import suppress_small_counts
from loyalty_research.display.lookup import curve_at, is_withheld
from loyalty_research.display.tidy import (
    as_list,
    as_pandas,
    column_label,
    group_label,
    require_columns,
)
from loyalty_research.display.worded import SUPPRESSED, WordedTable, count_cells, missing_cells
from loyalty_research.display.words import (
    MISSING,
    format_count,
    format_interval,
    format_level,
    format_percent,
    is_missing,
)

TRIANGLE_COLUMNS = ("cohort", "period", "n_patients", "n_retained", "estimate")
_QUANTILE_COLUMNS = ("q", "estimate", "conf_low", "conf_high", "conf_level", "n", "n_events")
_NOT_REACHED = "not reached"


def retention_table(
    curve: Any,
    *,
    times: Sequence[int],
    by: str | Sequence[str] | None = None,
    labels: Mapping[Any, str] | None = None,
    audience: str = "internal",
    exact_at: Sequence[int] = (),
    unit: str = "day",
    kept: str = "still coming",
    lost: str = "lapsed",
) -> WordedTable:
    """Word how many were still coming at chosen times, with interval and number at risk.

    Args:
        curve: one row per group and distinct time, with the columns of a curve.
        times: in the curve's unit.
        by: the grouping columns of the curve.
        labels: names for readers by column or by group.
        audience: "publish" withholds what too few patients stand behind, and rounds counts.
        exact_at: other days that are published of the same curve.
        unit: the curve's unit of time, singular.
        kept: what the curve's estimate says of a patient.
        lost: what the curve's event is.

    Raises:
        UsageError: a column is missing, or a time repeats because `by` lacks a group.

    Examples:
        >>> curve = pd.DataFrame({
        ...     "time": [0, 365], "n_at_risk": [6214, 4000], "n_events": [0, 50],
        ...     "n_censored": [2214, 3950], "estimate": [1, 0.552], "conf_low": [1, 0.54],
        ...     "conf_high": [1, 0.564], "conf_level": 0.95})
        >>> retention_table(curve, times=[365]).words.T[0].to_dict()
        {'Day': '365', 'Still coming (95 % interval)': '55.2 % (54.0 to 56.4)', 'At risk': \
'4,000', 'Lapsed so far': '50', 'Censored so far': '6,164'}
    """
    numbers = curve_at(curve, times=times, by=by, audience=audience, exact_at=exact_at)
    hidden = missing_cells(numbers)
    words = {
        **_group_words(numbers, as_list(by), labels),
        column_label(unit): [format_count(time) for time in numbers["time"]],
        f"{column_label(kept)} ({_level(numbers)} interval)": _retention(numbers),
        "At risk": count_cells(numbers["n_at_risk"], hidden),
        f"{column_label(lost)} so far": count_cells(numbers["n_events_so_far"], hidden),
        "Censored so far": count_cells(numbers["n_censored_so_far"], hidden),
    }
    return WordedTable(numbers, pd.DataFrame(words, dtype=object))


def triangle_table(
    triangle: Any, *, audience: str = "internal", digits: int = 0, unobserved: str = MISSING
) -> WordedTable:
    """Word a retention triangle: one row a cohort, one column a period since the first visit.

    Args:
        triangle: one row per cohort and period: cohort, period, n_patients, n_retained, estimate.
        audience: "publish" hides small counts and makes the shares again from rounded ones.
        digits: decimals of the percentages.
        unobserved: what stands in a cell that the data cannot know yet.

    Raises:
        UsageError: a column is missing.

    Examples:
        >>> triangle = pd.DataFrame({"cohort": [pd.Timestamp("2024-01-01")] * 2, "period": [0, 1],
        ...     "n_patients": 40, "n_retained": [40, None], "estimate": [1.0, None]})
        >>> triangle_table(triangle).words.values.tolist()
        [['2024-01', '40', '100 %', '–']]
    """
    numbers = publish_triangle(triangle, audience=audience)
    hidden = missing_cells(numbers, otherwise=unobserved)
    cells = [
        format_percent(share, digits=digits, missing=gone)
        for share, gone in zip(numbers["estimate"], hidden, strict=True)
    ]
    wide = numbers.assign(cell=cells).pivot_table(
        index="cohort", columns="period", values="cell", aggfunc="first"
    )
    sizes = cohort_sizes(numbers).reindex(wide.index)
    words = {
        "Cohort": cohort_labels(wide.index),
        "Patients": [format_count(n, missing=SUPPRESSED) for n in sizes],
        **{str(period): wide[period].fillna(unobserved).tolist() for period in wide.columns},
    }
    return WordedTable(numbers, pd.DataFrame(words, dtype=object))


def publish_triangle(triangle: Any, *, audience: str) -> pd.DataFrame:
    """Return the triangle as this audience may see it.

    Examples:
        >>> publish_triangle(pd.DataFrame({"cohort": ["a"], "period": [0], "n_patients": [33],
        ...     "n_retained": [3], "estimate": [0.1]}), audience="publish")["n_retained"].tolist()
        [<NA>]
    """
    table = as_pandas(triangle)
    require_columns(table, TRIANGLE_COLUMNS, what="the triangle")
    return suppress_small_counts(
        table,
        counts=["n_patients", "n_retained"],
        rates={"estimate": ("n_retained", "n_patients")},
        audience=audience,
    )


def cohort_sizes(triangle: pd.DataFrame) -> pd.Series:
    """Return each cohort's patients in its first period; missing where that count is hidden.

    Examples:
        >>> cohort_sizes(pd.DataFrame({"cohort": ["a", "a"], "period": [1, 0],
        ...     "n_patients": pd.array([0, None], dtype="Int64")})).isna().tolist()
        [True]
    """
    first = triangle.sort_values("period").drop_duplicates("cohort")
    return first.set_index("cohort")["n_patients"].sort_index()


def cohort_labels(cohorts: Sequence[Any] | pd.Index) -> list[str]:
    """Return names for cohorts: year, quarter or month when all begin on one, else the day.

    Two cohorts are too few to tell quarters from months.

    Examples:
        >>> cohort_labels([dt.date(2024, 1, 1), dt.date(2024, 2, 1)])
        ['2024-01', '2024-02']
        >>> cohort_labels([dt.date(2024, 1, 1), dt.date(2024, 1, 8)])
        ['2024-01-01', '2024-01-08']
        >>> cohort_labels([dt.date(2023, 7, 1), dt.date(2023, 10, 1), dt.date(2024, 1, 1)])
        ['2023 Q3', '2023 Q4', '2024 Q1']
    """
    if not all(isinstance(c, dt.date) for c in cohorts):
        return [group_label(c) for c in cohorts]
    if not all(c.day == 1 for c in cohorts):
        return [c.strftime("%Y-%m-%d") for c in cohorts]
    months = {c.month for c in cohorts}
    if len(cohorts) > 2 and months == {1}:
        return [str(c.year) for c in cohorts]
    if len(cohorts) > 2 and months <= {1, 4, 7, 10}:
        return [f"{c.year} Q{(c.month + 2) // 3}" for c in cohorts]
    return [c.strftime("%Y-%m") for c in cohorts]


def quantile_table(
    quantiles: Any,
    *,
    by: str | Sequence[str] | None = None,
    labels: Mapping[Any, str] | None = None,
    audience: str = "internal",
    unit: str = "days",
) -> WordedTable:
    """Word after what time a share of the patients had gone; "not reached" where it never was.

    Args:
        quantiles: one row per group and q: q, estimate, conf_low, conf_high, conf_level, n,
            n_events.
        by: the grouping columns.
        labels: names for readers by column or by group.
        audience: "publish" hides small counts.
        unit: the unit of time, plural.

    Raises:
        UsageError: a column is missing.

    Examples:
        >>> quantiles = pd.DataFrame({"q": [0.5], "estimate": [412.0], "conf_low": [398.0],
        ...     "conf_high": [None], "conf_level": [0.95], "n": [6214], "n_events": [3107]})
        >>> quantile_table(quantiles).words.values.tolist()
        [['Half (the median)', '412 (398 to not reached)', '6,214', '3,107']]
    """
    numbers = as_pandas(quantiles)
    require_columns(numbers, [*as_list(by), *_QUANTILE_COLUMNS], what="the quantiles")
    numbers = suppress_small_counts(numbers, counts=["n", "n_events"], audience=audience)
    hidden = missing_cells(numbers)
    words = {
        **_group_words(numbers, as_list(by), labels),
        "Share gone": [_share_gone(q) for q in numbers["q"]],
        f"Time in {unit} ({_level(numbers)} interval)": _times(numbers, hidden),
        "Patients": count_cells(numbers["n"], hidden),
        "Events": count_cells(numbers["n_events"], hidden),
    }
    return WordedTable(numbers, pd.DataFrame(words, dtype=object))


def _level(numbers: pd.DataFrame) -> str:
    levels = numbers["conf_level"].dropna().unique()
    return format_level(levels[0]) if len(levels) == 1 else "confidence"


def _retention(numbers: pd.DataFrame) -> list[str]:
    limits = numbers[["estimate", "conf_low", "conf_high"]].itertuples(index=False)
    return [
        SUPPRESSED if hidden else format_interval(*row)
        for row, hidden in zip(limits, is_withheld(numbers), strict=True)
    ]


def _times(numbers: pd.DataFrame, hidden: list[str]) -> list[str]:
    limits = numbers[["estimate", "conf_low", "conf_high"]].itertuples(index=False)
    return [
        (SUPPRESSED if gone == SUPPRESSED else _NOT_REACHED)
        if is_missing(row[0])
        else format_interval(*row, percent=False, digits=_digits(row[0]), open_end=_NOT_REACHED)
        for row, gone in zip(limits, hidden, strict=True)
    ]


def _digits(value: float) -> int:
    # The midpoint of a flat piece can fall on half a day.
    return 0 if float(value).is_integer() else 1


def _share_gone(q: float) -> str:
    return "Half (the median)" if q == 0.5 else format_percent(q, digits=0)


def _group_words(
    numbers: pd.DataFrame, groups: list[str], labels: Mapping[Any, str] | None
) -> dict[str, list[str]]:
    return {
        column_label(name, labels=labels): [group_label(v, labels=labels) for v in numbers[name]]
        for name in groups
    }
