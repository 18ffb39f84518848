"""How many of those who came first in one period came again in a later one."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from loyalty_research.data.arguments import check_choice, check_date, check_share, check_whole
from loyalty_research.data.frames import (
    REPAIR_DATE,
    REPAIR_ID,
    Check,
    collect,
    column_names,
    day_number,
    is_missing,
    open_tables,
    raise_faults,
    to_pandas,
    value_faults,
)
from loyalty_research.errors import Fault, UsageError
from loyalty_research.retention.intervals import wilson_interval
from loyalty_research.retention.periods import (
    PERIODS,
    ROLLING_DAYS,
    as_dates,
    period_number,
    period_of,
    period_start,
)

KINDS = ("exact", "on_or_after", "bracket", "continuous")
CLOCKS = ("calendar", "rolling")
_EXITS = ("death_date", "moved_date", "observed_until")
_COHORT, _FIRST, _AT, _K = "__cohort", "__first", "__at", "__k"
_PRESENT, _SEEN = "__present", "__seen"
_NEVER = 10**9
"""A period that no study reaches: how long a patient without an exit is present."""


def retention_triangle(
    visits: Any,
    *,
    patient: str = "patient_id",
    date: str = "visit_date",
    period: str = "month",
    kind: str = "exact",
    clock: str = "calendar",
    brackets: Sequence[tuple[int, int]] | None = None,
    exits: Any = None,
    conf_level: float = 0.95,
    data_cutoff: Any,
) -> pd.DataFrame:
    """Return for each cohort of first visits the share that is active in each later period.

    A cell that is not fully observed at `data_cutoff` is missing, not zero. Cells may rise again:
    the triangle is no survival curve. The first cohorts hold patients who had come before the
    data begin; leave them out when reading it, or select first visits after a wash-out.

    Args:
        visits: One row a visit: `patient`, `date`. pandas, Polars, Arrow, DuckDB or Spark.
        patient: Name of the patient's column.
        date: Name of the date column.
        period: `"day"`, `"week"` (from Monday), `"month"`, `"quarter"`, `"year"`.
        kind: `"exact"`: a visit in period k. `"on_or_after"`: a visit in period k or later, which
            counts what was seen by the cut-off and so falls for lack of time near it.
            `"continuous"`: a visit in every period from 0 to k. `"bracket"`: a visit in any
            period from k1 to before k2, for each of `brackets`.
        clock: `"calendar"`: period k is the k-th calendar period after that of the first visit.
            `"rolling"`: periods of 1, 7, 30, 91 or 365 days from the patient's own first visit;
            a cell is observed once it is over for every member of the cohort.
        brackets: Pairs (k1, k2) of periods, k2 excluded (`kind="bracket"`).
        exits: One row a patient: `patient` with any of `death_date`, `moved_date`,
            `observed_until`. Who died or moved before a period, or was not observed to its end,
            leaves its denominator.
        conf_level: Coverage of Wilson's interval.
        data_cutoff: Last day the data cover.

    Returns:
        One row a cohort and period: `cohort` (first day of the calendar period of the first
        visit), `period` (k, of a bracket k1; then `period_end` is k2), `n_patients`,
        `n_retained`, `estimate`, `conf_low`, `conf_high`, `conf_level`.

    Raises:
        UsageError: An unknown period, kind or clock; brackets absent, or given for another kind.
        DataError: Missing columns, ids or dates, visits after `data_cutoff`; all faults at once.

    Examples:
        >>> import pandas as pd
        >>> visits = pd.DataFrame({
        ...     "patient_id": ["a", "a", "b"],
        ...     "visit_date": pd.to_datetime(["2024-01-05", "2024-02-20", "2024-01-31"]),
        ... })
        >>> retention_triangle(visits, data_cutoff="2024-02-29")[
        ...     ["cohort", "period", "n_patients", "n_retained", "estimate"]
        ... ]
              cohort  period  n_patients  n_retained  estimate
        0 2024-01-01       0           2           2       1.0
        1 2024-01-01       1           2           1       0.5
    """
    check_choice(period, PERIODS, name="period")
    check_choice(kind, KINDS, name="kind")
    check_choice(clock, CLOCKS, name="clock")
    pairs = _check_brackets(brackets, kind)
    level = check_share(conf_level, name="conf_level")
    cutoff = check_date(data_cutoff, name="data_cutoff")
    events, left = _open(visits, exits, patient, date, cutoff)
    active, people = _members(events, left, patient, date, period, clock)
    sizes = _sizes(people)
    spans = pairs if kind == "bracket" else _every_period(sizes, cutoff, period, clock)
    n_retained = _retained(active, kind, sizes["cohort"].unique(), spans, patient)
    table = _denominators(sizes, spans).assign(n_retained=n_retained.ravel())
    table = _without_unobserved(table, sizes, cutoff, period, clock)
    return _shares(table, kind, period, level)


def _check_brackets(brackets: Sequence[tuple[int, int]] | None, kind: str) -> list[tuple[int, int]]:
    if (brackets is not None) != (kind == "bracket"):
        raise UsageError("brackets and kind='bracket' go together; give both or neither")
    pairs = []
    for pair in brackets or ():
        if not isinstance(pair, Sequence) or len(pair) != 2:
            raise UsageError(f"bracket {pair!r} must be a pair (k1, k2) of periods")
        low = check_whole(pair[0], name="bracket start")
        pairs.append((low, check_whole(pair[1], name="bracket end", minimum=low + 1)))
    if kind == "bracket" and not pairs:
        raise UsageError("brackets is empty; give pairs (k1, k2) of periods")
    return pairs


def _open(
    visits: Any, exits: Any, patient: str, date: str, cutoff: dt.date
) -> tuple[nw.LazyFrame, nw.LazyFrame | None]:
    names = [] if exits is None else column_names(exits, table="exits")
    ends = [column for column in _EXITS if column in names]
    lent = open_tables(
        {"visits": visits, "exits": exits}, ids=patient, dates={"visits": [date], "exits": ends}
    )
    who = is_missing(patient, repair=REPAIR_ID)
    late = day_number(nw.col(date)) > cutoff.toordinal()
    checks = [
        who,
        is_missing(date, repair=REPAIR_DATE),
        Check(date, late, "is after data_cutoff", "move data_cutoff or correct the dates"),
    ]
    faults = value_faults(lent["visits"], checks, table="visits")
    if exits is not None:
        faults += value_faults(lent["exits"], [who], table="exits", unique=patient)
        if not ends:
            message = f"none of {', '.join(_EXITS)} is there"
            faults.append(Fault("exits", "", 0, message, "name the exits so, or leave exits out"))
    raise_faults(faults)
    left = lent["exits"].select(patient, *ends) if exits is not None else None
    return lent["visits"].select(patient, date), left


# --- in the engine: distinct patient-periods ------------------------------------------------------


def _members(
    events: nw.LazyFrame,
    left: nw.LazyFrame | None,
    patient: str,
    date: str,
    period: str,
    clock: str,
) -> tuple[nw.LazyFrame, nw.LazyFrame]:
    """Return one row a patient and active period, with one row a patient."""
    if clock == "calendar":
        active = events.select(patient, period_number(nw.col(date), period).alias(_AT)).unique()
        # The calendar clock needs no first day: periods are counted from the cohort's.
        people = active.group_by(patient).agg(nw.col(_AT).min().alias(_COHORT))
        people = people.with_columns(nw.col(_COHORT).alias(_FIRST))
        since = nw.col(_AT) - nw.col(_COHORT)
    else:
        active = events.select(patient, day_number(nw.col(date)).alias(_AT))
        people = events.group_by(patient).agg(nw.col(date).min().alias(date))
        people = people.select(
            patient,
            period_number(nw.col(date), period).alias(_COHORT),
            day_number(nw.col(date)).alias(_FIRST),
        )
        since = (nw.col(_AT) - nw.col(_FIRST)) // ROLLING_DAYS[period]
    people = _with_exits(people, left, patient, period, clock)
    active = active.join(people, on=patient, how="inner").with_columns(since.alias(_K))
    active = active.select(patient, _COHORT, _K, _PRESENT, _SEEN).unique()
    return active, people


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
    return people.with_columns(
        present.fill_null(_NEVER).alias(_PRESENT), seen.fill_null(_NEVER).alias(_SEEN)
    )


def _periods_until(date: nw.Expr, period: str, clock: str) -> nw.Expr:
    if clock == "calendar":
        return period_number(date, period) - nw.col(_COHORT)
    days = day_number(date) - nw.col(_FIRST)
    # Engines differ in how they divide what is negative.
    return nw.when(days < 0).then(nw.lit(-1)).otherwise(days // ROLLING_DAYS[period])


def _retained(
    active: nw.LazyFrame,
    kind: str,
    cohorts: np.ndarray,
    spans: Sequence[tuple[int, int]],
    patient: str,
) -> np.ndarray:
    """Return how many of each cohort (rows) are retained in each span of periods (columns)."""
    if kind == "bracket":
        return _in_brackets(active, cohorts, spans, patient)
    last = nw.min_horizontal(nw.col(_PRESENT), nw.col(_SEEN))
    if kind == "on_or_after":
        latest = active.group_by(patient, _COHORT, _PRESENT, _SEEN).agg(nw.col(_K).max())
        counts = _by_cell(latest.with_columns(nw.min_horizontal(nw.col(_K), last).alias(_K)))
        matrix = _matrix(counts, cohorts, len(spans))
        return matrix[:, ::-1].cumsum(axis=1)[:, ::-1]
    if kind == "continuous":
        # The (k+1)-th active period is period k only if none was left out before it.
        position = nw.col(_K).cum_count().over(patient, order_by=_K)
        active = active.with_columns(position.alias(_AT)).filter(nw.col(_AT) == nw.col(_K) + 1)
    return _matrix(_by_cell(active.filter(nw.col(_K) <= last)), cohorts, len(spans))


def _by_cell(rows: nw.LazyFrame) -> pd.DataFrame:
    counts = rows.group_by(_COHORT, _K).agg(nw.len().alias("n"))
    return _table(counts.rename({_COHORT: "cohort", _K: "period"}))


def _in_brackets(
    active: nw.LazyFrame, cohorts: np.ndarray, spans: Sequence[tuple[int, int]], patient: str
) -> np.ndarray:
    k, names = nw.col(_K), [f"__span_{i}" for i in range(len(spans))]
    within = [
        (
            (k >= low)
            & (k < high)
            & (k <= nw.col(_PRESENT))
            & (nw.col(_PRESENT) >= low)
            & (nw.col(_SEEN) >= high - 1)
        )
        .cast(nw.Int64)
        .alias(name)
        for name, (low, high) in zip(names, spans, strict=True)
    ]
    active = active.select(patient, _COHORT, *within)
    by_patient = active.group_by(patient, _COHORT).agg(*[nw.col(name).max() for name in names])
    totals = by_patient.group_by(_COHORT).agg(*[nw.col(name).sum() for name in names])
    return _table(totals).set_index(_COHORT).loc[cohorts, names].to_numpy(np.int64)


# --- out of the engine: a few counts --------------------------------------------------------------


def _table(frame: nw.LazyFrame) -> pd.DataFrame:
    return to_pandas(collect(frame)).astype(np.int64)


def _sizes(people: nw.LazyFrame) -> pd.DataFrame:
    sizes = people.group_by(_COHORT, _PRESENT, _SEEN).agg(
        nw.len().alias("n"), nw.col(_FIRST).min().alias("first"), nw.col(_FIRST).max().alias("last")
    )
    names = {_COHORT: "cohort", _PRESENT: "present", _SEEN: "seen"}
    return _table(sizes.rename(names)).sort_values(list(names.values()), ignore_index=True)


def _every_period(
    sizes: pd.DataFrame, cutoff: dt.date, period: str, clock: str
) -> list[tuple[int, int]]:
    if clock == "calendar":
        last = period_of(cutoff, period) - int(sizes["cohort"].min())
    else:
        last = (cutoff.toordinal() - int(sizes["first"].min())) // ROLLING_DAYS[period]
    return [(k, k + 1) for k in range(last + 1)]


def _matrix(counts: pd.DataFrame, cohorts: np.ndarray, n_periods: int) -> np.ndarray:
    matrix = np.zeros((len(cohorts), n_periods), np.int64)
    counts = counts[counts["period"] >= 0]
    matrix[np.searchsorted(cohorts, counts["cohort"]), counts["period"]] = counts["n"]
    return matrix


def _denominators(sizes: pd.DataFrame, spans: Sequence[tuple[int, int]]) -> pd.DataFrame:
    low, high = np.array(spans).T
    parts = []
    for cohort, part in sizes.groupby("cohort"):
        present, seen = part["present"].to_numpy()[:, None], part["seen"].to_numpy()[:, None]
        there = (present >= low) & (seen >= high - 1)
        n_patients = part["n"].to_numpy() @ there
        parts.append(
            pd.DataFrame(
                {"cohort": cohort, "period": low, "period_end": high, "n_patients": n_patients}
            )
        )
    return pd.concat(parts, ignore_index=True)


def _without_unobserved(
    table: pd.DataFrame, sizes: pd.DataFrame, cutoff: dt.date, period: str, clock: str
) -> pd.DataFrame:
    """Return the cells with those missing that are not over for the whole cohort at the cut-off."""
    if clock == "calendar":
        after = period_start((table["cohort"] + table["period_end"]).to_numpy(), period)
    else:
        latest = table["cohort"].map(sizes.groupby("cohort")["last"].max())
        after = (latest + table["period_end"] * ROLLING_DAYS[period]).to_numpy()
    observed = after <= cutoff.toordinal() + 1
    return table.assign(n_retained=table["n_retained"].astype("Int64").where(observed))


def _shares(table: pd.DataFrame, kind: str, period: str, conf_level: float) -> pd.DataFrame:
    n = table["n_patients"].to_numpy(float)
    count = table["n_retained"].to_numpy(float, na_value=np.nan)
    low, high = wilson_interval(count, n, conf_level=conf_level)
    table = table.assign(
        cohort=as_dates(period_start(table["cohort"].to_numpy(), period)),
        estimate=np.divide(count, n, out=np.full(len(n), np.nan), where=n > 0),
        conf_low=low,
        conf_high=high,
        conf_level=conf_level,
    )
    return table if kind == "bracket" else table.drop(columns="period_end")
