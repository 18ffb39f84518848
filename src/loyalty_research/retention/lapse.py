"""The day a patient was last seen before staying away too long."""

from __future__ import annotations

import datetime as dt
from typing import Any

import narwhals.stable.v2 as nw

from loyalty_research.data.arguments import check_date, check_whole
from loyalty_research.data.frames import day_number
from loyalty_research.data.lending import give_back, give_new, group_rows
from loyalty_research.retention.follow_up_windows import (
    END,
    EXIT,
    OBSERVED,
    START,
    START_DATE,
    follow_up_windows,
    open_visits,
    visits_within,
)

NEW = ["lapse_date", "last_visit_date", "n_visit_days", "followed_until"]
"""What `derive_lapse_dates` adds to a cohort."""

_DATE, _DAY = "__date", "__day"
_BEFORE, _VISIT_BEFORE = "__before", "__visit_before"


def derive_lapse_dates(
    visits: Any,
    *,
    lapse_days: int,
    data_cutoff: Any,
    cohort: Any = None,
    patient: str = "patient_id",
    date: str = "visit_date",
) -> Any:
    """Return one row a patient with the last visit before the first gap longer than `lapse_days`.

    A gap is the days from one visit to the next, or from the last visit to the end of what could
    be seen: the earliest of death, move, `observed_until`, `data_cutoff`. A patient who dies or
    moves within `lapse_days` of the last visit has not lapsed.

    A lapse in the last `lapse_days` of the data cannot be known yet, for anybody. So everyone
    without a lapse is followed until `lapse_days` before the end of observation only: keeping
    patients under observation until their last visit, or until `data_cutoff`, overstates 2-year
    retention by more than 0.1 (the test beside this module shows it by simulation).

    Args:
        visits: One row a visit: `patient`, `date`. pandas, Polars, Arrow, DuckDB or Spark.
        lapse_days: Days without a visit that are still no lapse.
        data_cutoff: Last day the data cover.
        cohort: One row a patient: `patient`, `index_date`, perhaps `observed_from`,
            `observed_until`, `death_date`, `moved_date` (missing = not so). Visits before the
            index date, or after the end of what could be seen, are not counted; the index date
            itself counts as a day of contact. Without a cohort every patient in `visits` is
            followed from the first visit.
        patient: Name of the patient's column in both tables.
        date: Name of the date column in `visits`.

    Returns:
        The cohort, same kind of frame (without a cohort: a new frame of the visits' kind, one row
        a patient), with `lapse_date` (missing = no known lapse), `last_visit_date`,
        `n_visit_days` (several visits on one day count once), and `followed_until`, the day to
        censor at: `lapse_days` before `data_cutoff` or `observed_until`, or the exit if earlier.

    Raises:
        UsageError: `lapse_days` is not a whole number of days, at least 1.
        DataError: Missing columns, ids or dates, a visit after `data_cutoff`, an index date
            outside the patient's observation; all faults at once.

    Examples:
        >>> import pandas as pd
        >>> visits = pd.DataFrame({
        ...     "patient_id": ["a", "a", "b"],
        ...     "visit_date": pd.to_datetime(["2023-01-01", "2023-12-01", "2023-11-01"]),
        ... })
        >>> lapse = derive_lapse_dates(visits, lapse_days=180, data_cutoff="2023-12-31")
        >>> lapse[["patient_id", "lapse_date", "followed_until"]]
          patient_id lapse_date followed_until
        0          a 2023-01-01     2023-07-04
        1          b        NaT     2023-07-04
    """
    lapse_days = check_whole(lapse_days, name="lapse_days", minimum=1)
    cutoff = check_date(data_cutoff, name="data_cutoff")
    events, people = open_visits(visits, cohort, patient, date, cutoff)
    if people is None:
        result = _of_everyone(events, patient, date, cutoff, lapse_days)
        return give_new(result.select(patient, *NEW), like=visits, key=patient)
    windows = follow_up_windows(people, patient, cutoff)
    result = _of_cohort(events, windows, patient, date, lapse_days)
    people = people.drop(*NEW, strict=False).join(
        result.select(patient, *NEW), on=patient, how="left"
    )
    return give_back(people, like=cohort, new=NEW, held=True)


def _of_everyone(
    events: nw.LazyFrame, patient: str, date: str, cutoff: dt.date, lapse_days: int
) -> nw.LazyFrame:
    """Return the lapses of patients who are followed from their first visit to the cut-off."""
    seen = _by_patient(_with_visit_before(events, patient, date), patient, lapse_days)
    open_gap = cutoff.toordinal() - nw.col(_DAY) > lapse_days
    lapsed_since = nw.when(open_gap).then(nw.col("last_visit_date"))
    return seen.with_columns(
        nw.coalesce(nw.col("lapse_date"), lapsed_since).alias("lapse_date"),
        nw.lit(cutoff - dt.timedelta(days=lapse_days)).alias("followed_until"),
    )


def _of_cohort(
    events: nw.LazyFrame, windows: nw.LazyFrame, patient: str, date: str, lapse_days: int
) -> nw.LazyFrame:
    """Return the lapses of patients each of whom has a window of observation."""
    events = _with_visit_before(visits_within(events, windows, patient, date), patient, date)
    # The index date is a contact, even if it is an enrolment and no visit.
    events = events.with_columns(
        nw.coalesce(nw.col(_BEFORE), nw.col(START_DATE)).alias(_BEFORE),
        nw.col(_BEFORE).alias(_VISIT_BEFORE),
    )
    seen = windows.join(_by_patient(events, patient, lapse_days), on=patient, how="left")
    open_gap = nw.col(END) - nw.coalesce(nw.col(_DAY), nw.col(START)) > lapse_days
    last_contact = nw.coalesce(nw.col("last_visit_date"), nw.col(START_DATE))
    known_until = nw.col(OBSERVED).dt.offset_by(f"-{lapse_days}d").dt.date()
    return seen.with_columns(
        nw.coalesce(nw.col("lapse_date"), nw.when(open_gap).then(last_contact)).alias("lapse_date"),
        nw.col("n_visit_days").fill_null(0),
        nw.min_horizontal(known_until, nw.col(EXIT)).alias("followed_until"),
    )


def _with_visit_before(events: nw.LazyFrame, patient: str, date: str) -> nw.LazyFrame:
    others = [name for name in events.collect_schema().names() if name != date]
    # Dates are half as wide as day numbers, and every column goes through the sort.
    days = events.select(*others, nw.col(date).dt.date().alias(_DATE))
    before = nw.col(_DATE).shift(1).over(patient, order_by=_DATE)
    return days.with_columns(before.alias(_BEFORE)).with_columns(
        nw.col(_BEFORE).alias(_VISIT_BEFORE)
    )


def _by_patient(events: nw.LazyFrame, patient: str, lapse_days: int) -> nw.LazyFrame:
    too_long = nw.col(_DATE) > nw.col(_BEFORE).dt.offset_by(f"{lapse_days}d").dt.date()
    # A second visit on the same day is no new day.
    new_day = (nw.col(_VISIT_BEFORE).is_null() | (nw.col(_DATE) != nw.col(_VISIT_BEFORE))).cast(
        nw.Int64
    )
    seen = group_rows(events, patient).agg(
        nw.when(too_long).then(nw.col(_BEFORE)).min().alias("lapse_date"),
        nw.col(_DATE).max().alias("last_visit_date"),
        new_day.sum().cast(nw.Int64).alias("n_visit_days"),
    )
    return seen.with_columns(day_number(nw.col("last_visit_date")).alias(_DAY))
