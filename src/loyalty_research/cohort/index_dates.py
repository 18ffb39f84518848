"""The day from which each patient is followed."""

from __future__ import annotations

from typing import Any

import narwhals.stable.v2 as nw

from loyalty_research.data.arguments import check_choice, check_date, check_whole
from loyalty_research.data.frames import (
    REPAIR_DATE,
    REPAIR_ID,
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
    give_new,
    group_rows,
)
from loyalty_research.errors import Fault, UsageError

RULES = ("first", "washout", "enrolment", "nth")
_DAY, _START, _BEFORE = "__day", "__start", "__before"


def derive_index_dates(
    visits: Any,
    *,
    rule: str = "first",
    washout_days: int = 0,
    n: int = 1,
    enrolments: Any = None,
    programme: str | None = None,
    patients: Any = None,
    data_start: Any = None,
    patient: str = "patient_id",
    date: str = "visit_date",
) -> Any:
    """Return one row for each patient who has an index date, the day follow-up starts.

    Args:
        visits: One row a visit: `patient`, `date`. pandas, Polars, Arrow, DuckDB or Spark.
        rule: `"first"`: the first visit. `"washout"`: the first visit without a visit in the
            `washout_days` days before it, if these days could be seen. `"nth"`: the `n`-th day
            with a visit. `"enrolment"`: the first enrolment date.
        washout_days: Days free of visits before the index (`rule="washout"`).
        n: Which day with a visit, counted from 1; several visits on one day count once.
        enrolments: One row an enrolment: `patient`, `enrolment_date`, and `programme_id` if
            `programme` is given (`rule="enrolment"`).
        programme: Look at enrolments in this programme only.
        patients: One row a patient; all of them are kept, with their columns. Where it has
            `observed_from` or `observed_until`, days outside that window are not eligible.
        data_start: First day on which visits would be seen (`rule="washout"`).
        patient: Name of the patient's column in every table.
        date: Name of the date column in `visits`.

    Returns:
        The kind of frame of `patients` if given, else of `visits`: `patient`, `index_date`
        (and the columns of `patients`). Without `patients`, those without an index date have no
        row; with it, their `index_date` is missing, and `known("index_date")` is the criterion
        that leaves them out and counts them.

    Raises:
        UsageError: An unknown rule, or an argument the rule needs is absent.
        DataError: Missing columns, dates or ids, unknown patients; all faults at once.

    Examples:
        >>> import pandas as pd
        >>> visits = pd.DataFrame({
        ...     "patient_id": ["b", "a", "a"],
        ...     "visit_date": pd.to_datetime(["2024-03-01", "2024-02-01", "2024-01-05"]),
        ... })
        >>> derive_index_dates(visits)
          patient_id index_date
        0          a 2024-01-05
        1          b 2024-03-01
        >>> derive_index_dates(visits, rule="nth", n=2)
          patient_id index_date
        0          a 2024-02-01
    """
    check_choice(rule, RULES, name="rule")
    washout_days = check_whole(washout_days, name="washout_days")
    n = check_whole(n, name="n", minimum=1)
    _check_needs(rule, data_start, enrolments)
    source, day = ("enrolments", "enrolment_date") if rule == "enrolment" else ("visits", date)
    events, people = _open(
        {source: enrolments if rule == "enrolment" else visits, "patients": patients},
        source=source,
        patient=patient,
        day=day,
        programme=programme if rule == "enrolment" else None,
    )
    if rule == "washout":
        start = check_date(data_start, name="data_start")
        events = _after_washout(events, patient, day, washout_days, start.toordinal())
    if rule == "nth":
        events = _nth_days(events, patient, day, n)
    index = group_rows(events, patient).agg(nw.col(day).min().dt.date().alias("index_date"))
    if people is None:
        return give_new(index, like=enrolments if rule == "enrolment" else visits, key=patient)
    people = people.drop("index_date", strict=False).join(index, on=patient, how="left")
    return give_back(people, like=patients, new=["index_date"], held=True)


def _check_needs(rule: str, data_start: Any, enrolments: Any) -> None:
    if rule == "washout" and data_start is None:
        raise UsageError("rule='washout' needs data_start, the first day visits would be seen")
    if rule == "enrolment" and enrolments is None:
        raise UsageError("rule='enrolment' needs enrolments")


def _open(
    tables: dict[str, Any], *, source: str, patient: str, day: str, programme: str | None
) -> tuple[nw.LazyFrame, nw.LazyFrame | None]:
    """Return the events that may be an index, with the patients; refuse what is wrong in either."""
    window = _window_columns(tables["patients"])
    lent = open_tables(
        tables,
        ids=patient,
        dates={source: [day], "patients": window},
        more={source: [] if programme is None else ["programme_id"]},
    )
    events, people = lent[source], lent.get("patients")
    checks = [is_missing(patient, repair=REPAIR_ID), is_missing(day, repair=REPAIR_DATE)]
    faults = value_faults(events, checks, table=source)
    if people is not None:
        who = [is_missing(patient, repair=REPAIR_ID)]
        faults += value_faults(people, who, table="patients", unique=patient)
        faults += _unknown_patients(events, people, source, patient)
    raise_faults(faults)
    columns = [patient, day]
    if programme is not None:
        events = in_programme(events, programme)
    if people is not None:
        window_of = people.select(patient, *[nw.col(c).alias(f"__{c}") for c in window])
        events = events.select(*columns).join(window_of, on=patient, how="inner")
        events, columns = _eligible(events, day, window), [*columns, *[f"__{c}" for c in window]]
    return events.select(*columns), people


def _window_columns(patients: Any) -> list[str]:
    if patients is None:
        return []
    names = column_names(patients, table="patients")
    return [column for column in ("observed_from", "observed_until") if column in names]


def _unknown_patients(
    events: nw.LazyFrame, people: nw.LazyFrame, source: str, patient: str
) -> list[Fault]:
    strangers = distinct(events, patient).join(people.select(patient), on=patient, how="anti")
    count = int(collect(strangers.select(nw.len().alias("n"))).column("n")[0].as_py())
    if count == 0:
        return []
    message = f"{patient} of {count:,} patients is not in patients"
    return [Fault(source, patient, count, message, "add them to patients or drop their rows")]


def in_programme(enrolments: nw.LazyFrame, programme: str) -> nw.LazyFrame:
    """Return the enrolments in one programme.

    Args:
        enrolments: One row an enrolment, with `programme_id`.
        programme: The programme's code.

    Returns:
        Its enrolments.

    Raises:
        UsageError: Nobody is enrolled in it; the nearest code is proposed.

    Examples:
        >>> import duckdb
        >>> enrolments = nw.from_native(duckdb.sql("SELECT 'care-plan' AS programme_id"))
        >>> collect(in_programme(enrolments, "care-plan")).num_rows
        1
    """
    known = collect(distinct(enrolments, "programme_id")).column(0).to_pylist()
    check_choice(programme, sorted(str(name) for name in known if name), name="programme")
    return enrolments.filter(nw.col("programme_id") == programme)


def _eligible(events: nw.LazyFrame, day: str, window: list[str]) -> nw.LazyFrame:
    seen = day_number(nw.col(day))
    if "observed_from" in window:
        start = day_number(nw.col("__observed_from"))
        events = events.filter(start.is_null() | (seen >= start))
    if "observed_until" in window:
        end = day_number(nw.col("__observed_until"))
        events = events.filter(end.is_null() | (seen <= end))
    return events


def _after_washout(
    events: nw.LazyFrame, patient: str, day: str, washout_days: int, data_start: int
) -> nw.LazyFrame:
    start = nw.lit(data_start)
    if "__observed_from" in events.collect_schema().names():
        start = nw.max_horizontal(start, day_number(nw.col("__observed_from")))
    events = events.with_columns(day_number(nw.col(day)).alias(_DAY), start.alias(_START))
    before = nw.col(_DAY).shift(1).over(patient, order_by=_DAY)
    events = events.with_columns(before.alias(_BEFORE))
    # A patient's first known visit is new only if the days before it could have shown another.
    clear = (nw.col(_DAY) - nw.col(_BEFORE) > washout_days) | nw.col(_BEFORE).is_null()
    return events.filter(clear & (nw.col(_DAY) - nw.col(_START) >= washout_days))


def _nth_days(events: nw.LazyFrame, patient: str, day: str, n: int) -> nw.LazyFrame:
    days = distinct(events, patient, nw.col(day).dt.date().alias(day))
    position = nw.col(day).cum_count().over(patient, order_by=day)
    return days.with_columns(position.alias(_DAY)).filter(nw.col(_DAY) == n)
