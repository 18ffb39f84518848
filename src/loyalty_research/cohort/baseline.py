"""What was known of each patient before the index date."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import narwhals.stable.v2 as nw

from loyalty_research.data.arguments import check_whole
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
    collect,
    column_names,
    distinct,
    give_back,
    group_rows,
)

_DAY, _INDEX, _LAST = "__day", "__index", "__last"


def derive_baseline(
    cohort: Any,
    *,
    patients: Any = None,
    visits: Any = None,
    measurements: Any = None,
    measures: Sequence[str] | None = None,
    lookback_days: int = 365,
    patient: str = "patient_id",
) -> Any:
    """Return the cohort with covariates measured strictly before the index date.

    What happens on the index date may already be an effect of the programme that starts on it, so
    only the days from `index_date - lookback_days` to the day before the index date are read.

    Args:
        cohort: One row a patient: `patient`, `index_date`.
        patients: One row a patient; every column that the cohort lacks is added.
        visits: One row a visit: `patient`, `visit_date`.
        measurements: One row a value: `patient`, `measurement_date`, `measure`, `value`.
        measures: Which measures to add; all that occur, in alphabetical order, if not given.
        lookback_days: Days before the index date that are read.
        patient: Name of the patient's column in every table.

    Returns:
        The cohort, same kind of frame, with `age` (years at the index date, if `birth_year` is
        known), the columns of `patients`, `n_visits_before` (days with a visit), and for each
        measure its last value, `sbp_before` for `sbp` (the mean, if measured more than once on
        that day; missing = not measured).

    Raises:
        DataError: Missing columns, ids or dates; all faults at once.

    Examples:
        >>> import pandas as pd
        >>> day = pd.Timestamp("2024-03-01")
        >>> cohort = pd.DataFrame({"patient_id": ["a"], "index_date": [day], "birth_year": [1954]})
        >>> visits = pd.DataFrame({"patient_id": ["a", "a"], "visit_date": [
        ...     day - pd.Timedelta(days=1), day]})
        >>> derive_baseline(cohort, visits=visits)[["age", "n_visits_before"]]
           age  n_visits_before
        0   70                1
    """
    lookback_days = check_whole(lookback_days, name="lookback_days", minimum=1)
    lent = _open(
        {"cohort": cohort, "patients": patients, "visits": visits, "measurements": measurements},
        patient,
    )
    own = column_names(cohort, table="cohort")
    added = [] if patients is None else [c for c in column_names(patients) if c not in own]
    result, new = lent["cohort"], []
    index = result.select(patient, day_number(nw.col("index_date")).alias(_INDEX))
    if added:
        result = result.join(lent["patients"].select(patient, *added), on=patient, how="left")
        new += added
    if "birth_year" in [*own, *added]:
        age = nw.col("index_date").dt.year() - nw.col("birth_year")
        result, new = result.with_columns(age.alias("age")), ["age", *new]
    if visits is not None:
        counts = _visit_days(lent["visits"], index, patient, lookback_days)
        result = result.drop("n_visits_before", strict=False).join(counts, on=patient, how="left")
        result = result.with_columns(nw.col("n_visits_before").fill_null(0))
        new.append("n_visits_before")
    if measurements is not None:
        values, names = _last_values(lent["measurements"], index, patient, lookback_days, measures)
        result = result.drop(*names, strict=False).join(values, on=patient, how="left")
        new += names
    return give_back(result, like=cohort, new=new, held=True)


def _open(tables: dict[str, Any], patient: str) -> dict[str, nw.LazyFrame]:
    day = {"cohort": "index_date", "visits": "visit_date", "measurements": "measurement_date"}
    lent = open_tables(
        tables,
        ids=patient,
        dates={table: [column] for table, column in day.items()},
        more={
            "cohort": _present(tables["cohort"], ["birth_year"]),
            "patients": [] if tables["patients"] is None else column_names(tables["patients"]),
            "measurements": ["measure", "value"],
        },
    )
    who, faults = is_missing(patient, repair=REPAIR_ID), []
    for table, frame in lent.items():
        repair = REPAIR_INDEX if table == "cohort" else REPAIR_DATE
        dated = [is_missing(day[table], repair=repair)] if table in day else []
        one_a_patient = patient if table in ("cohort", "patients") else None
        empty = table in ("visits", "measurements")
        faults += value_faults(
            frame, [who, *dated], table=table, unique=one_a_patient, may_be_empty=empty
        )
    raise_faults(faults)
    return lent


def _present(frame: Any, columns: Sequence[str]) -> list[str]:
    names = column_names(frame, table="cohort")
    return [column for column in columns if column in names]


def _before_index(
    events: nw.LazyFrame, index: nw.LazyFrame, patient: str, day: str, lookback_days: int
) -> nw.LazyFrame:
    events = events.with_columns(day_number(nw.col(day)).alias(_DAY))
    events = events.join(index, on=patient, how="inner")
    since = nw.col(_INDEX) - nw.col(_DAY)
    return events.filter((since >= 1) & (since <= lookback_days))


def _visit_days(
    visits: nw.LazyFrame, index: nw.LazyFrame, patient: str, lookback_days: int
) -> nw.LazyFrame:
    seen = _before_index(
        visits.select(patient, "visit_date"), index, patient, "visit_date", lookback_days
    )
    days = distinct(seen, patient, _DAY)
    return group_rows(days, patient).agg(nw.len().alias("n_visits_before"))


def _last_values(
    measurements: nw.LazyFrame,
    index: nw.LazyFrame,
    patient: str,
    lookback_days: int,
    measures: Sequence[str] | None,
) -> tuple[nw.LazyFrame, list[str]]:
    """Return one row a patient with one column a measure, and the columns' names."""
    seen = _before_index(
        measurements.select(patient, "measurement_date", "measure", "value"),
        index,
        patient,
        "measurement_date",
        lookback_days,
    )
    if measures is None:
        found = collect(distinct(measurements, "measure")).column(0).to_pylist()
        measures = sorted(str(measure) for measure in found if measure is not None)
    latest = nw.col(_DAY).max().over(patient, "measure")
    last = seen.with_columns(latest.alias(_LAST)).filter(nw.col(_DAY) == nw.col(_LAST))
    means = [
        nw.when(nw.col("measure") == measure)
        .then(nw.col("value"))
        .mean()
        .alias(f"{measure}_before")
        for measure in measures
    ]
    return group_rows(last, patient).agg(*means), [f"{measure}_before" for measure in measures]
