"""Who is compared with whom, decided by what was known on the index date."""

from __future__ import annotations

from typing import Any

import narwhals.stable.v2 as nw

from loyalty_research.cohort.index_dates import in_programme
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
from loyalty_research.data.lending import (
    column_names,
    give_back,
    group_rows,
)


def assign_arms(
    cohort: Any, *, enrolments: Any, programme: str | None = None, patient: str = "patient_id"
) -> Any:
    """Return the cohort with the arm each patient was in on the index date.

    A patient who enrols later belongs to arm 0 until then: counting the days before enrolment for
    the programme would credit it with patients merely having stayed (immortal time; Suissa,
    American Journal of Epidemiology 2008;167:492). The later `enrolment_date` is kept for
    censoring or for a time-varying analysis.

    Args:
        cohort: One row a patient: `patient`, `index_date`.
        enrolments: One row an enrolment: `patient`, `enrolment_date`, perhaps `end_date` (last
            day in the programme; missing = still enrolled) and `programme_id`.
        programme: Look at enrolments in this programme only; needs `programme_id`.
        patient: Name of the patient's column in both tables.

    Returns:
        The cohort, same kind of frame, with `arm` (1 = enrolled on or before the index date and
        not ended before it, else 0) and `enrolment_date` (of arm 1 the start of that enrolment, of
        arm 0 the first one after the index date; missing = none).

    Raises:
        UsageError: An unknown programme.
        DataError: Missing columns, ids or dates; all faults at once.

    Examples:
        >>> import pandas as pd
        >>> cohort = pd.DataFrame({
        ...     "patient_id": ["a", "b", "c"], "index_date": pd.to_datetime(["2024-01-10"] * 3)
        ... })
        >>> enrolments = pd.DataFrame({
        ...     "patient_id": ["a", "b"],
        ...     "enrolment_date": pd.to_datetime(["2024-01-10", "2024-02-01"]),
        ... })
        >>> assign_arms(cohort, enrolments=enrolments)[["patient_id", "arm", "enrolment_date"]]
          patient_id  arm enrolment_date
        0          a    1     2024-01-10
        1          b    0     2024-02-01
        2          c    0            NaT
    """
    people, spells = _open(cohort, enrolments, programme, patient)
    index = people.select(patient, day_number(nw.col("index_date")).alias("__index"))
    spells = spells.join(index, on=patient, how="inner")
    start, at = day_number(nw.col("enrolment_date")), nw.col("__index")
    active = start <= at
    if "end_date" in spells.collect_schema().names():
        active = active & (nw.col("end_date").is_null() | (day_number(nw.col("end_date")) >= at))
    first = group_rows(spells, patient).agg(
        nw.when(active).then(nw.col("enrolment_date")).min().dt.date().alias("__in"),
        nw.when(start > at).then(nw.col("enrolment_date")).min().dt.date().alias("__later"),
    )
    enrolled = ~nw.col("__in").is_null()
    result = people.drop("arm", "enrolment_date", strict=False).join(first, on=patient, how="left")
    result = result.with_columns(
        enrolled.cast(nw.Int64).alias("arm"),
        nw.coalesce(nw.col("__in"), nw.col("__later")).alias("enrolment_date"),
    )
    return give_back(result, like=cohort, new=["arm", "enrolment_date"], held=True)


def _open(
    cohort: Any, enrolments: Any, programme: str | None, patient: str
) -> tuple[nw.LazyFrame, nw.LazyFrame]:
    names = column_names(enrolments, table="enrolments")
    dates = ["enrolment_date", *(["end_date"] if "end_date" in names else [])]
    lent = open_tables(
        {"cohort": cohort, "enrolments": enrolments},
        ids=patient,
        dates={"cohort": ["index_date"], "enrolments": dates},
        more={"enrolments": [] if programme is None else ["programme_id"]},
    )
    who = is_missing(patient, repair=REPAIR_ID)
    when = [is_missing("enrolment_date", repair=REPAIR_DATE)]
    raise_faults(
        [
            *value_faults(
                lent["cohort"],
                [who, is_missing("index_date", repair=REPAIR_INDEX)],
                table="cohort",
                unique=patient,
            ),
            *value_faults(lent["enrolments"], [who, *when], table="enrolments", may_be_empty=True),
        ]
    )
    spells = lent["enrolments"]
    if programme is not None:
        spells = in_programme(spells, programme)
    return lent["cohort"], spells.select(patient, *dates)
