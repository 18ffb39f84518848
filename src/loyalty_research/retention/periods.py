"""Calendar periods as whole numbers: which period a day is in, with the day a period starts."""

from __future__ import annotations

import datetime as dt

import narwhals.stable.v2 as nw
import numpy as np

from loyalty_research.data.frames import (
    day_number,
)

ROLLING_DAYS = {"day": 1, "week": 7, "month": 30, "quarter": 91, "year": 365}
"""Length of a period that is counted from each patient's own first visit."""

PERIODS = tuple(ROLLING_DAYS)

_EPOCH = 719_163
"""Day number of 1970-01-01, where NumPy starts to count."""

_PER_YEAR = {"month": 12, "quarter": 4, "year": 1}


def period_number(date: nw.Expr, period: str) -> nw.Expr:
    """Return the number of the calendar period that a date is in; the next period has the next.

    Args:
        date: A date expression.
        period: `"day"`, `"week"` (from Monday), `"month"`, `"quarter"`, `"year"`.

    Returns:
        An integer expression.

    Examples:
        >>> import duckdb
        >>> days = nw.from_native(duckdb.sql("SELECT DATE '2024-02-29' AS day"))
        >>> month = days.select(month=period_number(nw.col("day"), "month")).collect()
        >>> month["month"].item() == period_of(dt.date(2024, 2, 29), "month")
        True
    """
    if period == "day":
        return day_number(date)
    if period == "week":
        # Day number 1 was a Monday.
        return (day_number(date) - 1) // 7
    per_year = _PER_YEAR[period]
    months = date.dt.month().cast(nw.Int64) - 1
    within = months if period == "month" else months // (12 // per_year)
    return date.dt.year().cast(nw.Int64) * per_year + within


def period_of(day: dt.date, period: str) -> int:
    """Return the number of the calendar period that one day is in.

    Args:
        day: The day.
        period: As for `period_number`.

    Returns:
        The same number that `period_number` gives in an engine.

    Examples:
        >>> period_of(dt.date(2024, 2, 29), "quarter") == 2024 * 4
        True
    """
    if period == "day":
        return day.toordinal()
    if period == "week":
        return (day.toordinal() - 1) // 7
    per_year = _PER_YEAR[period]
    return day.year * per_year + (day.month - 1) // (12 // per_year)


def period_start(number: np.ndarray, period: str) -> np.ndarray:
    """Return the day number of the first day of each period.

    Args:
        number: Period numbers.
        period: As for `period_number`.

    Returns:
        Day numbers.

    Examples:
        >>> import datetime
        >>> start = period_start(np.array([2024 * 12 + 1]), "month")
        >>> datetime.date.fromordinal(int(start[0]))
        datetime.date(2024, 2, 1)
    """
    if period == "day":
        return number
    if period == "week":
        return number * 7 + 1
    months = (number - 1970 * _PER_YEAR[period]) * (12 // _PER_YEAR[period])
    return months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64) + _EPOCH


def as_dates(day: np.ndarray) -> np.ndarray:
    """Return day numbers as NumPy dates.

    Args:
        day: Day numbers.

    Returns:
        `datetime64[ns]`.

    Examples:
        >>> as_dates(np.array([719_163]))
        array(['1970-01-01T00:00:00.000000000'], dtype='datetime64[ns]')
    """
    return (day - _EPOCH).astype("datetime64[D]").astype("datetime64[ns]")
