"""How many visits the data hold for each month, so that a gap in the records is seen."""

from __future__ import annotations

from typing import Any

import narwhals.stable.v2 as nw
import pandas as pd

from loyalty_research.data.frames import collect, lend, require_columns, to_pandas


def count_visits_by_month(
    visits: Any, *, patient: str = "patient_id", date: str = "visit_date"
) -> pd.DataFrame:
    """Return visits and patients in each calendar month, months without any included.

    Args:
        visits: one row a visit: `patient`, `date`. pandas, Polars, Arrow, DuckDB or Spark.
        patient: name of the patient's column.
        date: name of the date column.

    Returns:
        One row a month from the first to the last with a visit: `month` (its first day),
        `n_visits`, `n_patients`.

    Raises:
        DataError: a column is missing.

    Examples:
        >>> visits = pd.DataFrame({
        ...     "patient_id": ["a", "a", "b"],
        ...     "visit_date": pd.to_datetime(["2024-01-05", "2024-01-20", "2024-03-02"]),
        ... })
        >>> count_visits_by_month(visits)
               month  n_visits  n_patients
        0 2024-01-01         2           1
        1 2024-02-01         0           0
        2 2024-03-01         1           1
    """
    require_columns(visits, [patient, date], table="visits")
    lent = lend({"visits": visits}, columns={"visits": [patient, date]}, dates={"visits": [date]})[
        "visits"
    ]
    day = nw.col(date).dt
    counted = (
        lent.filter(~nw.col(date).is_null())
        .with_columns(day.year().cast(nw.Int64).alias("year"), day.month().alias("month"))
        .group_by("year", "month")
        .agg(nw.len().alias("n_visits"), nw.col(patient).n_unique().alias("n_patients"))
    )
    counts = to_pandas(collect(counted))
    start = pd.to_datetime({"year": counts["year"], "month": counts["month"], "day": 1})
    counts = counts.assign(month=start).set_index("month")[["n_visits", "n_patients"]]
    months = pd.DatetimeIndex([], name="month")
    if len(counts):
        months = pd.date_range(start.min(), start.max(), freq="MS", name="month")
    return counts.reindex(months, fill_value=0).astype("int64").reset_index()
