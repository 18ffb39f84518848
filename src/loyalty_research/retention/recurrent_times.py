"""When each patient came back: the rows from which returns are counted."""

from __future__ import annotations

from typing import Any, cast

import narwhals.stable.v2 as nw

from loyalty_research.data.arguments import check_date, check_whole
from loyalty_research.data.frames import day_number, to_pandas
from loyalty_research.data.lending import collect, column_names, give_back, group_rows, hold
from loyalty_research.retention.follow_up_windows import (
    END,
    START,
    follow_up_windows,
    open_visits,
    visits_within,
)
from loyalty_research.retention.time_to_event import derive_time_to_event

_DAY, _DIED = "__day", "__died"
_EXITS = ("death_date", "moved_date", "observed_until")


def derive_recurrent_times(
    visits: Any,
    *,
    cohort: Any,
    data_cutoff: Any,
    patient: str = "patient_id",
    date: str = "visit_date",
) -> Any:
    """Return each patient's follow-up cut at the days of return visits.

    Follow-up runs from the day after the index date until the first of death, move,
    `observed_until` and `data_cutoff`. A visit on the index date is where it starts and no return;
    several visits on one day are one; visits after the end of follow-up are not counted.

    Args:
        visits: One row a visit: `patient`, `date`. pandas, Polars, Arrow, DuckDB or Spark.
        cohort: One row a patient: `patient`, `index_date`, perhaps `observed_from`,
            `observed_until`, `death_date`, `moved_date` (missing = not so).
        data_cutoff: Last day the data cover.
        patient: Name of the patient's column in both tables.
        date: Name of the date column in `visits`.

    Returns:
        A new frame of the visits' kind, one row a return and one more until the end of follow-up
        unless a return is on its last day, sorted by patient and time if its kind has an order:
        `patient`, `start`, `stop` (days from the index date), `event` (whether a return ends the
        row), `terminal` (whether it ends in death), `number` (of the return awaited in the row,
        from 1). Patients whose follow-up ends on the index date have no row. Covariates are joined
        by patient.

    Raises:
        UsageError: `data_cutoff` is not a day.
        DataError: As `derive_lapse_dates` does.

    Examples:
        >>> import pandas as pd
        >>> visits = pd.DataFrame({
        ...     "patient_id": ["a", "a", "a"],
        ...     "visit_date": pd.to_datetime(["2023-01-01", "2023-01-11", "2023-02-10"]),
        ... })
        >>> cohort = pd.DataFrame({
        ...     "patient_id": ["a", "b"],
        ...     "index_date": pd.to_datetime(["2023-01-01", "2023-02-01"]),
        ...     "death_date": pd.to_datetime([None, "2023-02-08"]),
        ... })
        >>> derive_recurrent_times(visits, cohort=cohort, data_cutoff="2023-02-20")
          patient_id  start  stop  event  terminal  number
        0          a      0    10   True     False       1
        1          a     10    40   True     False       2
        2          a     40    50  False     False       3
        3          b      0     7  False      True       1
    """
    cutoff = check_date(data_cutoff, name="data_cutoff")
    events, opened = open_visits(visits, cohort, patient, date, cutoff)
    people = cast("nw.LazyFrame", opened)
    windows = _with_death(people, follow_up_windows(people, patient, cutoff), patient)
    returns = _return_days(events, windows, patient, date)
    ends = windows.filter(nw.col(END) > nw.col(START)).select(
        patient, (nw.col(END) - nw.col(START)).alias("stop"), nw.lit(0).alias("event")
    )
    returns = returns.select(patient, "stop", nw.lit(1).alias("event"))
    # A return on the last day is the last row.
    rows = group_rows(nw.concat([returns, ends]), patient, "stop").agg(nw.col("event").max())
    rows = rows.with_columns(
        nw.col("stop").shift(1).over(patient, order_by="stop").fill_null(0).alias("start"),
        nw.col("stop").cum_count().over(patient, order_by="stop").alias("number"),
    ).join(windows.select(patient, START, END, _DIED), on=patient, how="inner")
    last = nw.col("stop") == nw.col(END) - nw.col(START)
    rows = rows.select(
        patient,
        nw.col("start").cast(nw.Int64),
        nw.col("stop").cast(nw.Int64),
        (nw.col("event") == 1).alias("event"),
        (last & nw.col(_DIED)).alias("terminal"),
        nw.col("number").cast(nw.Int64),
    )
    return _give(rows, visits, patient)


def derive_return_times(
    visits: Any,
    *,
    cohort: Any,
    number: int,
    data_cutoff: Any,
    patient: str = "patient_id",
    date: str = "visit_date",
) -> Any:
    """Return the cohort with the time from the index date to the first, second, ... return.

    Returns are counted as in `derive_recurrent_times`. Who dies or moves first is censored with
    that reason in `end_reason`; where death is common, treat it as a competing cause.

    Args:
        visits: One row a visit: `patient`, `date`.
        cohort: One row a patient: `patient`, `index_date`, perhaps `observed_from`,
            `observed_until`, `death_date`, `moved_date`.
        number: Which return: 1 for the first.
        data_cutoff: Last day the data cover.
        patient: Name of the patient's column in both tables.
        date: Name of the date column in `visits`.

    Returns:
        The cohort, same kind of frame, with `return_date` (missing = not seen), `time` in days
        from the index date, `event` and `end_reason`.

    Raises:
        UsageError: `number` is not a whole number from 1.
        DataError: As `derive_lapse_dates` does.

    Examples:
        >>> import pandas as pd
        >>> visits = pd.DataFrame({
        ...     "patient_id": ["a", "a", "b"],
        ...     "visit_date": pd.to_datetime(["2023-01-05", "2023-01-11", "2023-01-05"]),
        ... })
        >>> cohort = pd.DataFrame({
        ...     "patient_id": ["a", "b"], "index_date": pd.to_datetime(["2023-01-01"] * 2)
        ... })
        >>> times = derive_return_times(
        ...     visits, cohort=cohort, number=2, data_cutoff="2023-01-31"
        ... )
        >>> times[["patient_id", "time", "event", "end_reason"]]
          patient_id  time  event   end_reason
        0          a    10   True  return_date
        1          b    30  False  data_cutoff
    """
    nth = check_whole(number, name="number", minimum=1)
    cutoff = check_date(data_cutoff, name="data_cutoff")
    events, opened = open_visits(visits, cohort, patient, date, cutoff)
    people = cast("nw.LazyFrame", opened)
    returns = _return_days(events, follow_up_windows(people, patient, cutoff), patient, date)
    returns = returns.with_columns(
        nw.col("stop").cum_count().over(patient, order_by="stop").alias("__number")
    ).filter(nw.col("__number") == nth)
    people = people.drop("return_date", strict=False).join(
        returns.select(patient, "return_date"), on=patient, how="left"
    )
    dated = give_back(people, like=cohort, new=["return_date"], held=True)
    exits = [name for name in _EXITS if name in column_names(cohort, table="cohort")]
    return derive_time_to_event(
        dated, event_date="return_date", censor_dates=exits, data_cutoff=data_cutoff
    )


def _return_days(
    events: nw.LazyFrame, windows: nw.LazyFrame, patient: str, date: str
) -> nw.LazyFrame:
    """Return one row a patient and day with a visit after the index date, until the end."""
    seen = visits_within(events, windows, patient, date)
    seen = seen.with_columns(
        (day_number(nw.col(date)) - nw.col(START)).alias("stop"),
        nw.col(date).dt.date().alias("return_date"),
    ).filter(nw.col("stop") > 0)
    return group_rows(seen, patient, "stop").agg(nw.col("return_date").max())


def _with_death(people: nw.LazyFrame, windows: nw.LazyFrame, patient: str) -> nw.LazyFrame:
    if "death_date" not in people.collect_schema().names():
        return windows.with_columns(nw.lit(False).alias(_DIED))
    deaths = people.select(patient, day_number(nw.col("death_date")).alias(_DAY))
    joined = windows.join(deaths, on=patient, how="left")
    return joined.with_columns((nw.col(_DAY) == nw.col(END)).fill_null(False).alias(_DIED))


def _give(rows: nw.LazyFrame, visits: Any, patient: str) -> Any:
    wrapped = nw.from_native(visits)
    if isinstance(wrapped, nw.LazyFrame):
        return hold(rows).to_native()
    table = collect(rows.sort(patient, "start"))
    if nw.dependencies.is_pandas_dataframe(visits):
        return to_pandas(table).astype({patient: visits[patient].dtype})
    return nw.from_arrow(table, backend=wrapped.implementation).to_native()
