"""How the periods of a series are counted."""

import pandas as pd
import pytest

from loyalty_research.effects.period_numbers import number_periods, time_faults
from loyalty_research.errors import UsageError


@pytest.mark.parametrize(
    ("dates", "number", "per_year"),
    [
        (["2024-02-01", "2023-12-01", "2024-01-01"], [2, 0, 1], 12),
        (["2024-01-31", "2024-02-29", "2024-03-31"], [0, 1, 2], 12),
        (["2023-10-01", "2024-01-01", "2024-07-01"], [0, 1, 3], 4),
        (["2020-02-29", "2021-02-28", "2022-02-28"], [0, 1, 2], 1),
        (["2024-01-01", "2024-01-29", "2024-02-26"], [0, 1, 2], 365.25 / 28),
        (["2024-03-09", "2024-03-10", "2024-03-12"], [0, 1, 3], 365.25),
    ],
)
def test_dates_count_months_where_they_recur_and_days_elsewhere(dates, number, per_year):
    times = pd.Series(pd.to_datetime(dates), name="time")
    assert time_faults(times) == []
    periods = number_periods(times)
    assert periods.number.tolist() == number
    assert periods.per_year == pytest.approx(per_year)


def test_plain_dates_and_whole_floats_are_understood():
    days = pd.Series([pd.Timestamp("2024-01-08").date(), pd.Timestamp("2024-01-01").date()])
    assert number_periods(days).number.tolist() == [1, 0]
    whole = number_periods(pd.Series([7.0, 5.0, 6.0]))
    assert (whole.number.tolist(), whole.per_year) == ([2, 0, 1], None)


def test_a_start_is_found_by_the_calendar_of_the_series():
    ends = number_periods(pd.Series(pd.to_datetime(["2024-01-31", "2024-02-29", "2024-03-31"])))
    assert ends.number_of("2024-03-31", name="start") == 2
    assert ends.number_of("2024-03-01", name="start") is None
    weeks = number_periods(pd.Series(pd.to_datetime(["2024-01-01", "2024-01-08"])))
    assert weeks.number_of("2024-01-15", name="start") == 2
    assert weeks.number_of("2024-01-09", name="start") is None
    quarters = number_periods(pd.Series(pd.to_datetime(["2024-01-01", "2024-04-01"])))
    assert quarters.number_of("2024-02-01", name="start") is None
    assert number_periods(pd.Series([201, 202])).number_of(203, name="start") == 2


def test_a_start_of_another_kind_is_refused():
    with pytest.raises(UsageError, match="start='2024-01-01' must be a whole number, as the p"):
        number_periods(pd.Series([1, 2])).number_of("2024-01-01", name="start")
    with pytest.raises(UsageError, match="start=5 is not a day"):
        number_periods(pd.Series(pd.to_datetime(["2024-01-01"]))).number_of(5, name="start")


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (["a", "b"], "t is text, neither whole numbers nor dates; number the periods or"),
        ([True, False], "t is bool, neither whole numbers nor dates"),
        ([1.0, None], "t is missing in 1 of 2 rows; give every row its period"),
        ([1.0, 1.5], "t is not a whole number in 1 of 2 rows; number the periods"),
        ([1.0, float("inf")], "t is not a whole number in 1 of 2 rows"),
        (
            pd.to_datetime(["2024-01-01", "2024-01-08", "2024-01-20"]),
            "t is not evenly spaced by 7 days in 1 of 3 rows; give each period its first day",
        ),
        (
            pd.to_datetime(["2024-01-01", "2024-03-01", "2024-06-01"]),
            "t is not evenly spaced by 2 months in 1 of 3 rows",
        ),
    ],
)
def test_times_that_count_no_periods_are_faults(times, message):
    [fault] = time_faults(pd.Series(times, name="t"))
    assert message in str(fault)
