"""The periods of a series as whole numbers, one apart, whatever its calendar."""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from loyalty_research.data.arguments import check_date
from loyalty_research.errors import Fault, UsageError

_DAYS_A_YEAR = 365.25
_SHORTEST_MONTH = 28
_LARGEST = 2**53
"""Beyond it the computer skips whole numbers."""


@dataclass(frozen=True)
class PeriodNumbers:
    """How the times of a series are counted.

    Attributes:
        number: For each row its period, the first one 0.
        kind: "whole" for numbers; "months" or "month ends" for dates; else "days".
        first: The first period as a number, a month since year 0, or a day.
        step: How many numbers, months or days a period has.
        day: Day of the month on which periods begin; 0 where none is meant.
    """

    number: np.ndarray
    kind: str
    first: int
    step: int
    day: int = 0

    @property
    def per_year(self) -> float | None:
        """Periods in a year; None where whole numbers do not tell."""
        if self.kind == "whole":
            return None
        return (_DAYS_A_YEAR if self.kind == "days" else 12) / self.step

    def number_of(self, time: Any, *, name: str) -> int | None:
        """Return the period that a time stands for; None if it stands for none.

        Args:
            time: A whole number or a date, as the series has.
            name: The argument's name, for the message.

        Returns:
            Its number; below 0 or beyond the last where it lies outside the series.

        Raises:
            UsageError: The time is of another kind than those of the series.

        Examples:
            >>> times = pd.Series(pd.to_datetime(["2024-01-01", "2024-02-01", "2024-03-01"]))
            >>> months = number_periods(times)
            >>> months.number_of("2024-03-01", name="start")
            2
            >>> months.number_of("2024-03-07", name="start") is None
            True
        """
        if self.kind == "whole":
            if not isinstance(time, numbers.Integral) or isinstance(time, bool):
                raise UsageError(f"{name}={time!r} must be a whole number, as the periods are")
            return int(time) - self.first
        day = pd.Series([pd.Timestamp(check_date(time, name=name))])
        past = int(_count(day, self.kind)[0]) - self.first
        is_one = past % self.step == 0
        if self.kind == "months":
            is_one &= bool(day.dt.day.item() == self.day)
        elif self.kind == "month ends":
            is_one &= bool(day.dt.is_month_end.item())
        return past // self.step if is_one else None


def number_periods(times: pd.Series) -> PeriodNumbers:
    """Return the number of each row's period.

    Dates on the same day of each month, or on each month's last, count months; other dates count
    days. The smallest distance between two of them is the length of a period; whole numbers are
    one apart.

    Args:
        times: Whole numbers or dates, none missing.

    Returns:
        The numbers; where dates are not evenly spaced they are rounded down, which
        `uneven_faults` finds.

    Examples:
        >>> days = pd.Series(pd.to_datetime(["2024-01-01", "2024-01-15", "2024-01-08"]))
        >>> weeks = number_periods(days)
        >>> weeks.number.tolist(), round(weeks.per_year, 2)
        ([0, 2, 1], 52.18)
    """
    if pd.api.types.is_integer_dtype(times) or pd.api.types.is_float_dtype(times):
        whole = times.to_numpy(np.int64)
        return PeriodNumbers(whole - whole.min(), "whole", int(whole.min()), 1)
    dates = pd.to_datetime(times)
    kind = _kind(dates)
    count = _count(dates, kind)
    first, apart = int(count.min()), np.diff(np.unique(count))
    step = int(apart.min()) if len(apart) else 1
    day = int(dates.dt.day.iloc[0]) if kind == "months" else 0
    return PeriodNumbers((count - first) // step, kind, first, step, day)


def time_faults(times: pd.Series, *, of: str = "series") -> list[Fault]:
    """Return what is wrong with the times of a series.

    Args:
        times: The column.
        of: What the table is called.

    Returns:
        Faults: neither whole numbers nor dates, missing, not whole, not evenly spaced.

    Examples:
        >>> time_faults(pd.Series(["2024-01", "2024-02"], name="month"))[0].message
        'month is text, neither whole numbers nor dates'
        >>> days = pd.to_datetime(["2024-01-01", "2024-01-08", "2024-01-20"])
        >>> time_faults(pd.Series(days, name="week"))[0].message
        'week is not evenly spaced by 7 days in 1 of 3 rows'
    """
    name, n = str(times.name), len(times)
    is_number = pd.api.types.is_numeric_dtype(times) and not pd.api.types.is_bool_dtype(times)
    if not is_number and not _are_dates(times):
        kind = "text" if pd.api.types.infer_dtype(times, skipna=True) == "string" else times.dtype
        words = f"{name} is {kind}, neither whole numbers nor dates"
        return [Fault(of, name, n, words, "number the periods or give each its first day")]
    missing = int(times.isna().sum())
    if missing:
        words = f"{name} is missing in {missing:,} of {n:,} rows"
        return [Fault(of, name, missing, words, "give every row its period")]
    if is_number:
        numbers = times.to_numpy(float)
        odd = int(np.count_nonzero(~np.isfinite(numbers) | (numbers != np.floor(numbers))))
        words = f"{name} is not a whole number in {odd:,} of {n:,} rows"
        if odd:
            return [Fault(of, name, odd, words, "number the periods")]
        large = int(np.count_nonzero(np.abs(numbers) > _LARGEST))
        words = f"{name} is too large to be counted one by one in {large:,} of {n:,} rows"
        return [Fault(of, name, large, words, "number the periods from 1 on")] if large else []
    dates = pd.to_datetime(times)
    count = _count(dates, _kind(dates))
    step = number_periods(times).step
    odd = int(np.count_nonzero((count - count.min()) % step))
    unit = "days" if _kind(dates) == "days" else "months"
    words = f"{name} is not evenly spaced by {step} {unit} in {odd:,} of {n:,} rows"
    return [Fault(of, name, odd, words, "give each period its first day")] if odd else []


def _are_dates(times: pd.Series) -> bool:
    if pd.api.types.is_datetime64_any_dtype(times):
        return True
    return pd.api.types.infer_dtype(times, skipna=True) in ("date", "datetime", "datetime64")


def _kind(dates: pd.Series) -> str:
    """Return what dates count: months where they recur on one day of the month."""
    days = np.unique(_count(dates, "days"))
    if len(days) < 2 or np.diff(days).min() < _SHORTEST_MONTH:
        return "days"
    if (dates.dt.day == dates.dt.day.iloc[0]).all():
        return "months"
    return "month ends" if bool(dates.dt.is_month_end.all()) else "days"


def _count(dates: pd.Series, kind: str) -> np.ndarray:
    if kind == "days":
        days = dates.dt.tz_localize(None).to_numpy().astype("datetime64[D]")
        return days.astype(np.int64)
    return dates.dt.year.to_numpy(np.int64) * 12 + dates.dt.month.to_numpy(np.int64) - 1
