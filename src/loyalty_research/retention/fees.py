"""What each patient paid on each day since the index date."""

from __future__ import annotations

from typing import Any

import narwhals.stable.v2 as nw

from loyalty_research.data.frames import (
    REPAIR_DATE,
    REPAIR_ID,
    REPAIR_INDEX,
    day_number,
    is_missing,
    open_tables,
    raise_faults,
    value_faults,
)
from loyalty_research.data.lending import collect, group_rows, hold, to_pandas
from loyalty_research.retention.averages import number_faults

_INDEX, _TIME = "__index", "__time"


def derive_fees(
    visits: Any,
    *,
    cohort: Any,
    fee: str = "fee",
    time: str = "time",
    patient: str = "patient_id",
    date: str = "visit_date",
) -> Any:
    """Return what each patient paid on each day of follow-up, counted from the index date.

    Args:
        visits: One row a visit: `patient`, `date`, `fee`. pandas, Polars, Arrow, DuckDB or Spark.
        cohort: One row a patient: `patient`, `index_date`, and `time`, the days of follow-up as
            `derive_time_to_event` returns them. Visits before the index date, or after the end of
            follow-up, are left out.
        fee: Name of the fee's column in `visits`.
        time: Name of the column with the days of follow-up in `cohort`.
        patient: Name of the patient's column in both tables.
        date: Name of the date column in `visits`.

    Returns:
        A new frame of the visits' kind, one row a patient and day with a visit: `patient`, `day`,
        `amount`, the sum of that day's fees.

    Raises:
        DataError: Missing columns, ids, dates or fees; all faults at once.

    Examples:
        >>> import pandas as pd
        >>> visits = pd.DataFrame({
        ...     "patient_id": ["a", "a", "a"],
        ...     "visit_date": pd.to_datetime(["2024-01-01", "2024-01-01", "2024-01-31"]),
        ...     "fee": [20.0, 5.0, 30.0],
        ... })
        >>> index = pd.to_datetime(["2024-01-01"])
        >>> cohort = pd.DataFrame({"patient_id": ["a"], "index_date": index, "time": [90]})
        >>> derive_fees(visits, cohort=cohort)
          patient_id  day  amount
        0          a    0    25.0
        1          a   30    30.0
    """
    lent = open_tables(
        {"visits": visits, "cohort": cohort},
        ids=patient,
        dates={"visits": [date], "cohort": ["index_date"]},
        more={"visits": [fee], "cohort": [time]},
    )
    events, people = lent["visits"], lent["cohort"]
    numbers_due = [*number_faults(events, [fee], table="visits")]
    raise_faults([*numbers_due, *number_faults(people, [time], table="cohort")])
    paid = [
        is_missing(patient, repair=REPAIR_ID),
        is_missing(date, repair=REPAIR_DATE),
        is_missing(fee, repair="give a visit that cost nothing the fee 0, or drop the visit"),
    ]
    who = [is_missing(patient, repair=REPAIR_ID), is_missing("index_date", repair=REPAIR_INDEX)]
    who.append(is_missing(time, repair="derive it by derive_time_to_event"))
    raise_faults(
        [
            *value_faults(events, paid, table="visits", may_be_empty=True),
            *value_faults(people, who, table="cohort", unique=patient),
        ]
    )
    start = people.select(
        patient, day_number(nw.col("index_date")).alias(_INDEX), nw.col(time).alias(_TIME)
    )
    events = events.join(start, on=patient, how="inner")
    events = events.with_columns((day_number(nw.col(date)) - nw.col(_INDEX)).alias("day"))
    events = events.filter((nw.col("day") >= 0) & (nw.col("day") <= nw.col(_TIME)))
    sums = group_rows(events, patient, "day").agg(
        nw.col(fee).cast(nw.Float64).sum().alias("amount")
    )
    return _given(sums.select(patient, "day", "amount"), visits, patient)


def _given(sums: nw.LazyFrame, like: Any, patient: str) -> Any:
    wrapped = nw.from_native(like)
    if isinstance(wrapped, nw.LazyFrame):
        return hold(sums).to_native()
    table = collect(sums.sort(patient, "day"))
    if nw.dependencies.is_pandas_dataframe(like):
        return to_pandas(table).astype({patient: like[patient].dtype})
    return nw.from_arrow(table, backend=wrapped.implementation).to_native()
