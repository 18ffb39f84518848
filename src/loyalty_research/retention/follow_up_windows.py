"""From which day to which a patient's visits would be seen, and which visits fall between."""

from __future__ import annotations

import datetime as dt
from typing import Any

import narwhals.stable.v2 as nw

from loyalty_research.data.frames import (
    REPAIR_DATE,
    REPAIR_ID,
    REPAIR_INDEX,
    Check,
    day_number,
    is_missing,
    open_tables,
    raise_faults,
    value_faults,
)
from loyalty_research.data.lending import column_names
from loyalty_research.errors import Fault

START_DATE, START, END = "__start_date", "__start", "__end"
"""The index date, its day number, and that of the last day on which a visit would be seen."""
OBSERVED, EXIT = "__observed", "__exit"
"""The end of observation, and the first of death and move (missing = neither)."""

_WINDOW = ("observed_from", "observed_until", "death_date", "moved_date")


def open_visits(
    visits: Any, cohort: Any, patient: str, date: str, cutoff: dt.date
) -> tuple[nw.LazyFrame, nw.LazyFrame | None]:
    """Return visits and cohort as lazy frames, or refuse with every fault of both.

    Args:
        visits: One row a visit: `patient`, `date`.
        cohort: One row a patient: `patient`, `index_date`, perhaps `observed_from`,
            `observed_until`, `death_date`, `moved_date`; None for everyone who visits.
        patient: Name of the patient's column in both tables.
        date: Name of the date column in `visits`.
        cutoff: Last day the data cover.

    Returns:
        The visits' two columns; the cohort with all of its own, or None.

    Raises:
        DataError: Missing columns, ids or dates, a visit or index date after the cut-off, an index
            date outside the patient's observation.

    Examples:
        >>> import pandas as pd
        >>> visits = pd.DataFrame({"who": ["a"], "day": pd.to_datetime(["2023-01-05"])})
        >>> events, people = open_visits(visits, None, "who", "day", dt.date(2023, 1, 31))
        >>> events.collect_schema().names(), people
        (['who', 'day'], None)
    """
    names = [] if cohort is None else column_names(cohort, table="cohort")
    window = [column for column in _WINDOW if column in names]
    lent = open_tables(
        {"visits": visits, "cohort": cohort},
        ids=patient,
        dates={"visits": [date], "cohort": ["index_date", *window]},
    )
    events, people = lent["visits"], lent.get("cohort")
    late = day_number(nw.col(date)) > cutoff.toordinal()
    checks = [
        is_missing(patient, repair=REPAIR_ID),
        is_missing(date, repair=REPAIR_DATE),
        Check(date, late, "is after data_cutoff", "move data_cutoff or correct the dates"),
    ]
    faults = value_faults(events, checks, table="visits", may_be_empty=cohort is not None)
    if people is not None:
        faults += _cohort_faults(people, window, patient, cutoff)
    raise_faults(faults)
    return events.select(patient, date), people


def follow_up_windows(people: nw.LazyFrame, patient: str, cutoff: dt.date) -> nw.LazyFrame:
    """Return for each patient the first and the last day on which a visit would be seen.

    Args:
        people: The cohort, as `open_visits` returns it.
        patient: Name of the patient's column.
        cutoff: Last day the data cover.

    Returns:
        One row a patient: `patient` and the columns `START_DATE`, `OBSERVED`, `EXIT`, `END`,
        `START`. The end is the earliest of death, move, `observed_until` and the cut-off.

    Examples:
        >>> import polars as pl
        >>> people = pl.LazyFrame({"who": ["a"], "index_date": [dt.date(2023, 1, 5)]})
        >>> windows = follow_up_windows(nw.from_native(people), "who", dt.date(2023, 1, 31))
        >>> windows.select(nw.col(END) - nw.col(START)).collect().item()
        26
    """
    there = people.collect_schema().names()
    observed, last_day = [nw.lit(cutoff)], nw.lit(cutoff.toordinal())
    if "observed_until" in there:
        observed.append(nw.col("observed_until").dt.date())
    exits = [nw.col(c).dt.date() for c in ("death_date", "moved_date") if c in there]
    none = nw.lit(None, dtype=nw.Date)
    people = people.select(
        patient,
        nw.col("index_date").dt.date().alias(START_DATE),
        nw.min_horizontal(*observed).alias(OBSERVED),
        (nw.min_horizontal(*exits) if exits else none).alias(EXIT),
    )
    end = nw.min_horizontal(last_day, day_number(nw.col(OBSERVED)), day_number(nw.col(EXIT)))
    return people.with_columns(end.alias(END), day_number(nw.col(START_DATE)).alias(START))


def visits_within(
    events: nw.LazyFrame, windows: nw.LazyFrame, patient: str, date: str
) -> nw.LazyFrame:
    """Return the visits on which their patient was under observation, both ends included.

    Args:
        events: The visits, as `open_visits` returns them.
        windows: As `follow_up_windows` returns them.
        patient: Name of the patient's column in both.
        date: Name of the visits' date column.

    Returns:
        The visits with the columns `START`, `START_DATE` and `END` of their patient.

    Examples:
        >>> import polars as pl
        >>> people = pl.LazyFrame({"who": ["a"], "index_date": [dt.date(2023, 1, 5)]})
        >>> windows = follow_up_windows(nw.from_native(people), "who", dt.date(2023, 1, 31))
        >>> days = [dt.date(2023, 1, 4), dt.date(2023, 1, 5)]
        >>> events = nw.from_native(pl.LazyFrame({"who": ["a", "a"], "day": days}))
        >>> len(visits_within(events, windows, "who", "day").collect())
        1
    """
    window = windows.select(patient, START, START_DATE, END)
    events = events.join(window, on=patient, how="inner")
    day = day_number(nw.col(date))
    return events.filter((day >= nw.col(START)) & (day <= nw.col(END)))


def _cohort_faults(
    people: nw.LazyFrame, window: list[str], patient: str, cutoff: dt.date
) -> list[Fault]:
    index = day_number(nw.col("index_date"))
    repair = "apply the criterion present_at_index() first"
    checks = [
        is_missing(patient, repair=REPAIR_ID),
        is_missing("index_date", repair=REPAIR_INDEX),
        Check("index_date", index > cutoff.toordinal(), "is after data_cutoff", "move data_cutoff"),
    ]
    for column in window:
        limit = day_number(nw.col(column))
        side, outside = (
            ("before", index < limit)
            if column == "observed_from"
            else (
                "after",
                index > limit,
            )
        )
        checks.append(Check("index_date", outside, f"is {side} {column}", repair))
    return value_faults(people, checks, table="cohort", unique=patient)
