"""The visits that a report is about: of one clinic, of a cohort from its index dates on."""

from __future__ import annotations

from typing import Any

import narwhals.stable.v2 as nw

from loyalty_research.data.frames import day_number, open_tables, require_columns
from loyalty_research.data.lending import give_back


def trim_to_site(visits: Any, *, site: str) -> Any:
    """Return the visits to one facility; all of them when `site` is empty.

    Args:
        visits: one row a visit: `facility_id`. pandas, Polars, Arrow, DuckDB or Spark.
        site: the facility's code as text; "0012" is not "12".

    Returns:
        The same kind of frame, same columns. Returning then means returning to that facility.

    Raises:
        DataError: `site` is given, but the visits have no column `facility_id`.

    Examples:
        >>> import pandas as pd
        >>> visits = pd.DataFrame({"patient_id": ["a", "b"], "facility_id": ["0012", "12"]})
        >>> trim_to_site(visits, site="0012")
          patient_id facility_id
        0          a        0012
    """
    if not site:
        return visits
    require_columns(visits, ["facility_id"], table="visits")
    return nw.from_native(visits).filter(nw.col("facility_id").cast(nw.String) == site).to_native()


def trim_to_follow_up(
    visits: Any, *, cohort: Any, patient: str = "patient_id", date: str = "visit_date"
) -> Any:
    """Return the visits of a cohort's patients on or after their index dates.

    Args:
        visits: one row a visit: `patient`, `date`. pandas, Polars, Arrow, DuckDB or Spark.
        cohort: one row a patient: `patient`, `index_date`; without an index date none are kept.
        patient: name of the patient's column in both tables.
        date: name of the date column in `visits`.

    Returns:
        The same kind of frame as `visits`, same columns.

    Raises:
        DataError: missing columns, dates that are no dates, ids of different types.

    Examples:
        >>> import pandas as pd
        >>> visits = pd.DataFrame({
        ...     "patient_id": ["a", "a", "b"],
        ...     "visit_date": pd.to_datetime(["2023-01-01", "2023-05-01", "2023-05-01"]),
        ... })
        >>> cohort = pd.DataFrame({
        ...     "patient_id": ["a"], "index_date": pd.to_datetime(["2023-02-01"])
        ... })
        >>> trim_to_follow_up(visits, cohort=cohort)
          patient_id visit_date
        1          a 2023-05-01
    """
    lent = open_tables(
        {"visits": visits, "cohort": cohort},
        ids=patient,
        dates={"visits": [date], "cohort": ["index_date"]},
    )
    start = lent["cohort"].select(patient, nw.col("index_date").alias("__start"))
    followed = lent["visits"].join(start, on=patient, how="inner")
    followed = followed.filter(day_number(nw.col(date)) >= day_number(nw.col("__start")))
    return give_back(followed, like=visits, new=[])
