"""In which periods each patient was active, reduced to counts in the engine."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from loyalty_research.data.frames import (
    REPAIR_DATE,
    REPAIR_ID,
    Check,
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
    group_rows,
    to_pandas,
)
from loyalty_research.retention.period_marks import mark_periods, unfold_marks
from loyalty_research.retention.periods import ROLLING_DAYS, period_number

_EXITS = ("death_date", "moved_date", "observed_until")
_COHORT, _FIRST, _AT, _K = "__cohort", "__first", "__at", "__k"
_PRESENT, _SEEN = "__present", "__seen"
_NEVER = 10**9
"""A period that no study reaches: how long a patient without an exit is present."""


def open_activity(
    visits: Any, exits: Any, *, patient: str, date: str, cutoff: dt.date
) -> tuple[nw.LazyFrame, nw.LazyFrame | None]:
    """Return the visits with the patients' exits, after refusing what is wrong in either.

    Args:
        visits: One row a visit: `patient`, `date`.
        exits: One row a patient with any of `death_date`, `moved_date`, `observed_until`; None.
        patient: Name of the patient's column.
        date: Name of the date column.
        cutoff: Last day the data cover.

    Returns:
        Both as lazy frames of one engine.

    Raises:
        DataError: All faults of both tables.
    """
    names = [] if exits is None else column_names(exits, table="exits")
    ends = [column for column in _EXITS if column in names]
    lent = open_tables(
        {"visits": visits, "exits": exits}, ids=patient, dates={"visits": [date], "exits": ends}
    )
    who = is_missing(patient, repair=REPAIR_ID)
    late = nw.col(date).dt.date() > nw.lit(cutoff)
    checks = [
        who,
        is_missing(date, repair=REPAIR_DATE),
        Check(date, late, "is after data_cutoff", "move data_cutoff or correct the dates"),
    ]
    faults = value_faults(lent["visits"], checks, table="visits")
    if exits is not None:
        faults += value_faults(lent["exits"], [who], table="exits", unique=patient)
    raise_faults(faults)
    # All these dates are optional in the contract: without any of them nobody is known to leave.
    left = lent["exits"].select(patient, *ends) if ends else None
    return lent["visits"].select(patient, date), left


def active_periods(
    events: nw.LazyFrame,
    left: nw.LazyFrame | None,
    *,
    patient: str,
    date: str,
    period: str,
    clock: str,
) -> nw.LazyFrame:
    """Return one row a patient and active period, with what decides the patient's cells.

    Args:
        events: One row a visit.
        left: One row a patient with exit dates, or None.
        patient: Name of the patient's column.
        date: Name of the date column.
        period: `"day"`, `"week"`, `"month"`, `"quarter"`, `"year"`.
        clock: `"calendar"` or `"rolling"`.

    Returns:
        The patient, the cohort's period, the first visit's day (0 with the calendar, which does
        not ask for it), the period counted from 0, and the last periods at whose start the patient
        was present and to whose end observed.
    """
    if clock == "rolling":
        return _rolling_periods(events, left, patient=patient, date=date, period=period)
    marked = mark_periods(events, patient=patient, date=date, period=period, first=_COHORT)
    if marked is not None:
        people, periods = marked
        active = unfold_marks(_with_exits(people, left, patient, period, clock), periods, into=_AT)
    else:
        # Few periods are left of many visits before they meet the patients.
        active = distinct(events, patient, period_number(nw.col(date), period).alias(_AT))
        people = group_rows(active, patient).agg(nw.col(_AT).min().alias(_COHORT))
        people = _with_exits(people, left, patient, period, clock)
        active = active.join(people, on=patient, how="inner")
    k = (nw.col(_AT) - nw.col(_COHORT)).alias(_K)
    return active.with_columns(k, nw.lit(0).alias(_FIRST)).drop(_AT)


def _rolling_periods(
    events: nw.LazyFrame, left: nw.LazyFrame | None, *, patient: str, date: str, period: str
) -> nw.LazyFrame:
    people = group_rows(events, patient).agg(nw.col(date).min().alias(_AT))
    people = people.select(
        patient,
        period_number(nw.col(_AT), period).alias(_COHORT),
        day_number(nw.col(_AT)).alias(_FIRST),
    )
    people = _with_exits(people, left, patient, period, "rolling")
    active = events.select(patient, day_number(nw.col(date)).alias(_AT))
    active = active.join(people, on=patient, how="inner")
    since = (nw.col(_AT) - nw.col(_FIRST)) // ROLLING_DAYS[period]
    return distinct(active, patient, _COHORT, _FIRST, _PRESENT, _SEEN, since.alias(_K))


def _with_exits(
    people: nw.LazyFrame, left: nw.LazyFrame | None, patient: str, period: str, clock: str
) -> nw.LazyFrame:
    """Return the patients with the last period at whose start, and to whose end, each was there."""
    if left is None:
        return people.with_columns(nw.lit(_NEVER).alias(_PRESENT), nw.lit(_NEVER).alias(_SEEN))
    there = left.collect_schema().names()
    gone = [nw.col(c).dt.date() for c in ("death_date", "moved_date") if c in there]
    unseen = [nw.col(c).dt.offset_by("1d").dt.date() for c in _EXITS[2:] if c in there]
    none = nw.lit(None, dtype=nw.Date)
    left = left.select(
        patient,
        (nw.min_horizontal(*gone) if gone else none).alias(_PRESENT),
        (unseen[0] if unseen else none).alias(_SEEN),
    )
    people = people.join(left, on=patient, how="left")
    present = _periods_until(nw.col(_PRESENT), period, clock)
    seen = _periods_until(nw.col(_SEEN), period, clock) - 1
    # The first visit was seen, so everybody counts in the period of it, however short it was.
    seen = nw.max_horizontal(seen.fill_null(_NEVER), nw.lit(0))
    return people.with_columns(present.fill_null(_NEVER).alias(_PRESENT), seen.alias(_SEEN))


def _periods_until(date: nw.Expr, period: str, clock: str) -> nw.Expr:
    if clock == "calendar":
        return period_number(date, period) - nw.col(_COHORT)
    days = day_number(date) - nw.col(_FIRST)
    # Engines differ in how they divide what is negative.
    return nw.when(days < 0).then(nw.lit(-1)).otherwise(days // ROLLING_DAYS[period])


def count_cells(
    active: nw.LazyFrame, kind: str, *, patient: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return how many patients each cohort has, with how many are active in each period.

    Args:
        active: As `active_periods` returns.
        kind: `"exact"`; `"on_or_after"` counts each patient once, in the latest active period;
            `"continuous"` only periods without one left out before.
        patient: Name of the patient's column.

    Returns:
        `cohort, present, seen, n, first, last` and `cohort, period, present, seen, n`.
    """
    everyone = [_COHORT, _FIRST, _PRESENT, _SEEN]
    if kind == "on_or_after":
        active = group_rows(active, patient, *everyone).agg(nw.col(_K).max())
    if kind == "continuous":
        # The (k+1)-th active period is period k only if none was left out before it.
        position = nw.col(_K).cum_count().over(patient, order_by=_K)
        active = active.with_columns(position.alias(_AT)).filter(nw.col(_AT) == nw.col(_K) + 1)
    first, last = nw.col(_FIRST).min().alias("first"), nw.col(_FIRST).max().alias("last")
    counts = active.group_by(_COHORT, _K, _PRESENT, _SEEN).agg(nw.len().alias("n"), first, last)
    cells = _table(counts)
    # Everyone is active in period 0, the first visit's.
    sizes = cells if kind == "on_or_after" else cells[cells["period"] == 0]
    return _sizes(sizes), cells


def count_brackets(
    active: nw.LazyFrame, spans: Sequence[tuple[int, int]], *, patient: str
) -> tuple[pd.DataFrame, np.ndarray]:
    """Return how many patients each cohort has, with how many are active in each bracket.

    Args:
        active: As `active_periods` returns.
        spans: Pairs of periods, the second excluded.
        patient: Name of the patient's column.

    Returns:
        `cohort, present, seen, n, first, last`, and a matrix of cohorts by brackets.
    """
    names = [f"__span_{i}" for i in range(len(spans))]
    within = [
        _in_span(low, high).cast(nw.Int64).max().alias(name)
        for name, (low, high) in zip(names, spans, strict=True)
    ]
    by_patient = group_rows(active, patient, _COHORT, _FIRST, _PRESENT, _SEEN).agg(*within)
    first, last = nw.col(_FIRST).min().alias("first"), nw.col(_FIRST).max().alias("last")
    totals = [nw.col(name).sum() for name in names]
    by_cohort = by_patient.group_by(_COHORT, _PRESENT, _SEEN)
    counts = _table(by_cohort.agg(nw.len().alias("n"), first, last, *totals))
    return _sizes(counts), counts.groupby("cohort")[names].sum().to_numpy(np.int64)


def _in_span(low: int, high: int) -> nw.Expr:
    k, present = nw.col(_K), nw.col(_PRESENT)
    there = (present >= low) & (nw.col(_SEEN) >= high - 1)
    return there & (k >= low) & (k < high) & (k <= present)


def _table(frame: nw.LazyFrame) -> pd.DataFrame:
    names = {_COHORT: "cohort", _K: "period", _PRESENT: "present", _SEEN: "seen"}
    return to_pandas(collect(frame)).astype(np.int64).rename(columns=names)


def _sizes(counts: pd.DataFrame) -> pd.DataFrame:
    sizes = counts.groupby(["cohort", "present", "seen"], as_index=False)
    return sizes.agg(n=("n", "sum"), first=("first", "min"), last=("last", "max"))
