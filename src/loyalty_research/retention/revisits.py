"""How many patients come back within some days, by the care plan or by their own choice."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from loyalty_research.data.arguments import as_columns, check_date, check_share, check_whole
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
from loyalty_research.data.lending import collect, column_names, group_rows, to_pandas
from loyalty_research.errors import Fault, UsageError
from loyalty_research.retention.averages import REPAIR_GROUP, refuse_clashes, sorted_groups
from loyalty_research.retention.intervals import wilson_interval

KINDS = ("planned", "voluntary", "any")
"""Booked by the care plan, come by the patient's own choice, either."""

RATES = [
    "kind",
    "within_days",
    "n",
    "n_events",
    "n_exited",
    "n_unknown",
    "n_not_observable",
    "estimate",
    "std_error",
    "conf_low",
    "conf_high",
    "conf_level",
]
"""The columns of the result after those of the group."""

_INDEX, _SEEN, _EXIT, _PLANNED, _SINCE = "__index", "__seen", "__exit", "__planned", "__since"
_FIRST = {"planned": "__first_p", "voluntary": "__first_v", "unknown": "__first_u", "any": "__any"}
_EXITS = ("death_date", "moved_date")


def revisit_rate(
    visits: Any,
    *,
    cohort: Any,
    within_days: int | Sequence[int],
    data_cutoff: Any,
    planned: str | None = "planned",
    by: str | Sequence[str] | None = None,
    patient: str = "patient_id",
    date: str = "visit_date",
    conf_level: float = 0.95,
) -> pd.DataFrame:
    """Return the share of patients with a revisit within so many days of the index date.

    A revisit booked by the care plan says that care was given as planned; one of the patient's own
    choice says that the patient chose this place again. So both are told apart, with any revisit
    beside them; a patient may have both kinds.

    Only patients whose whole window could be seen are counted, also those with an early revisit:
    a window cut short shows fewer revisits. A patient who died or moved within a window that could
    be seen stays in the denominator without a later revisit (`n_exited` counts those without one),
    so the share is that of all who started, the cumulative incidence among them. Leave
    `observed_until` missing for those whom only death ended; with it they count as not observable.

    Args:
        visits: One row a visit: `patient`, `date`, `planned`. pandas, Polars, Arrow, DuckDB, Spark.
        cohort: One row a patient: `patient`, `index_date`, the columns of `by`, perhaps
            `observed_until`, `death_date`, `moved_date`.
        within_days: The window, or several: a revisit is a visit from the day after the index date
            to that many days after it. Another visit on the index date is none.
        data_cutoff: Last day the data cover.
        planned: Column that is true or 1 for a visit booked by the care plan. A revisit for which
            it is missing counts as `"any"` only, and its patient in `n_unknown`. None where the
            data do not tell: the result has `"any"` only.
        by: Column or columns of the cohort that name groups.
        patient: Name of the patient's column in both tables.
        date: Name of the date column in `visits`.
        conf_level: Coverage of Wilson's interval.

    Returns:
        One row a group, window and kind: group..., `kind` (`"planned"`, `"voluntary"`, `"any"`),
        `within_days`, `n` patients whose window could be seen, `n_events` with a revisit,
        `n_exited` who died or moved in the window without one, `n_unknown` with a revisit of
        unknown kind, `n_not_observable` left out, `estimate` (missing where `n` is 0),
        `std_error`, `conf_low`, `conf_high`, `conf_level`.

    Raises:
        UsageError: A window that is no whole number of days, or named twice; a clash of names.
        DataError: Missing columns, ids, dates or groups, dates after `data_cutoff`, an exit before
            the index date, other codes than true and false in `planned`; all faults at once.

    Examples:
        >>> visits = pd.DataFrame({
        ...     "patient_id": ["a", "a", "b"],
        ...     "visit_date": pd.to_datetime(["2024-01-01", "2024-01-20", "2024-02-01"]),
        ...     "planned": [False, True, False],
        ... })
        >>> cohort = pd.DataFrame({
        ...     "patient_id": ["a", "b"],
        ...     "index_date": pd.to_datetime(["2024-01-01", "2024-02-01"]),
        ... })
        >>> revisit_rate(visits, cohort=cohort, within_days=30, data_cutoff="2024-12-31")[
        ...     ["kind", "n", "n_events", "estimate"]
        ... ]
                kind  n  n_events  estimate
        0    planned  2         1       0.5
        1  voluntary  2         0       0.0
        2        any  2         1       0.5
    """
    windows = _check_windows(within_days)
    cutoff = check_date(data_cutoff, name="data_cutoff")
    level = check_share(conf_level, name="conf_level")
    groups = as_columns(by)
    refuse_clashes(groups, [*RATES, patient])
    events, people = _open(visits, cohort, groups, patient, date, planned, cutoff)
    people = people.join(_first_revisits(events, people, patient, date), on=patient, how="left")
    counts = _count(people, groups, windows, cohort)
    kinds = KINDS if planned is not None else ("any",)
    parts = [_rates(counts, groups, days, kind, level) for days in windows for kind in kinds]
    # Ordered as the windows and kinds were asked for within each group.
    table = pd.concat(parts, keys=range(len(parts)), names=["part", "group"])
    table = table.sort_index(level=["group", "part"])
    return table.reset_index(drop=True)[[*groups, *RATES]]


def _check_windows(within_days: int | Sequence[int]) -> list[int]:
    given = np.atleast_1d(np.asarray(within_days)).tolist()
    days = [check_whole(value, name="within_days", minimum=1) for value in given]
    if not days or len(set(days)) != len(days):
        raise UsageError("within_days must name at least one window, and none twice")
    return days


# --- the door -------------------------------------------------------------------------------------


def _open(
    visits: Any,
    cohort: Any,
    groups: Sequence[str],
    patient: str,
    date: str,
    planned: str | None,
    cutoff: dt.date,
) -> tuple[nw.LazyFrame, nw.LazyFrame]:
    names = column_names(cohort, table="cohort")
    window = [name for name in ("observed_until", *_EXITS) if name in names]
    kinds = [planned] if planned is not None else []
    lent = open_tables(
        {"visits": visits, "cohort": cohort},
        ids=patient,
        dates={"visits": [date], "cohort": ["index_date", *window]},
        more={"visits": kinds, "cohort": groups},
    )
    events, people = lent["visits"], lent["cohort"]
    raise_faults(_kind_faults(events, kinds))
    raise_faults(
        [
            *value_faults(
                events,
                _visit_checks(events, patient, date, kinds, cutoff),
                table="visits",
                may_be_empty=True,
            ),
            *value_faults(
                people,
                _cohort_checks(groups, window, patient, cutoff),
                table="cohort",
                unique=patient,
            ),
        ]
    )
    flag = nw.col(planned).cast(nw.Int64) if planned else nw.lit(None, dtype=nw.Int64)
    events = events.select(patient, date, flag.alias(_PLANNED))
    return events, _with_window(people, groups, window, patient, cutoff)


def _kind_faults(events: nw.LazyFrame, kinds: Sequence[str]) -> list[Fault]:
    schema = events.collect_schema()
    repair = "code visits booked by the care plan as true, all others as false"
    return [
        Fault("visits", name, 0, f"{name} is {schema[name]}, not true or false", repair)
        for name in kinds
        if not (isinstance(schema[name], nw.Boolean) or schema[name].is_numeric())
    ]


def _visit_checks(
    events: nw.LazyFrame, patient: str, date: str, kinds: Sequence[str], cutoff: dt.date
) -> list[Check]:
    late = day_number(nw.col(date)) > cutoff.toordinal()
    checks = [
        is_missing(patient, repair=REPAIR_ID),
        is_missing(date, repair=REPAIR_DATE),
        Check(date, late, "is after data_cutoff", "move data_cutoff or correct the dates"),
    ]
    for name in kinds:
        if events.collect_schema()[name].is_numeric():
            odd = ~nw.col(name).cast(nw.Float64).is_in([0.0, 1.0])
            checks.append(Check(name, odd, "is neither 0 nor 1", "code planned visits as 1"))
    return checks


def _cohort_checks(
    groups: Sequence[str], window: Sequence[str], patient: str, cutoff: dt.date
) -> list[Check]:
    index = day_number(nw.col("index_date"))
    late = index > cutoff.toordinal()
    repair = "apply the criterion present_at_index() first"
    return [
        is_missing(patient, repair=REPAIR_ID),
        is_missing("index_date", repair=REPAIR_INDEX),
        Check("index_date", late, "is after data_cutoff", "move data_cutoff"),
        *[is_missing(name, repair=REPAIR_GROUP) for name in groups],
        *[
            Check("index_date", index > day_number(nw.col(name)), f"is after {name}", repair)
            for name in window
        ],
    ]


def _with_window(
    people: nw.LazyFrame,
    groups: Sequence[str],
    window: Sequence[str],
    patient: str,
    cutoff: dt.date,
) -> nw.LazyFrame:
    """Return for each patient the days from the index date that could be seen, and to the exit."""
    index = day_number(nw.col("index_date"))
    seen = [nw.lit(cutoff.toordinal())]
    if "observed_until" in window:
        seen.append(day_number(nw.col("observed_until")))
    exits = [day_number(nw.col(name)) for name in _EXITS if name in window]
    left = nw.min_horizontal(*exits) - index if exits else nw.lit(None, dtype=nw.Int64)
    return people.select(
        patient,
        *groups,
        index.alias(_INDEX),
        (nw.min_horizontal(*seen) - index).alias(_SEEN),
        left.alias(_EXIT),
    )


# --- the counts -----------------------------------------------------------------------------------


def _first_revisits(
    events: nw.LazyFrame, people: nw.LazyFrame, patient: str, date: str
) -> nw.LazyFrame:
    """Return for each patient the days from the index date to the first revisit of each kind."""
    rows = events.join(people.select(patient, _INDEX, _EXIT), on=patient, how="inner")
    since = day_number(nw.col(date)) - nw.col(_INDEX)
    rows = rows.with_columns(since.alias(_SINCE))
    # A visit dated after the death or the move is no return of the patient.
    there = nw.col(_EXIT).is_null() | (nw.col(_SINCE) <= nw.col(_EXIT))
    rows = rows.filter((nw.col(_SINCE) > 0) & there)
    kinds = {
        "planned": nw.col(_PLANNED) == 1,
        "voluntary": nw.col(_PLANNED) == 0,
        "unknown": nw.col(_PLANNED).is_null(),
    }
    firsts = [nw.when(of).then(nw.col(_SINCE)).min().alias(_FIRST[k]) for k, of in kinds.items()]
    return group_rows(rows, patient).agg(*firsts, nw.col(_SINCE).min().alias(_FIRST["any"]))


def _count(
    people: nw.LazyFrame, groups: Sequence[str], windows: Sequence[int], cohort: Any
) -> pd.DataFrame:
    """Return one row a group with the counts of every window, made in one pass."""
    counts = [total for days in windows for total in _counts_within(days)]
    query = group_rows(people, *groups).agg(*counts) if groups else people.select(*counts)
    return sorted_groups(to_pandas(collect(query)), groups=groups, like=cohort)


def _counts_within(days: int) -> list[nw.Expr]:
    seen = nw.col(_SEEN) >= days
    left = (nw.col(_EXIT) <= days).fill_null(False)
    wanted = {"n": seen, "n_not_observable": ~seen}
    for kind, column in _FIRST.items():
        back = (nw.col(column) <= days).fill_null(False)
        wanted[f"n_events_{kind}"] = seen & back
        wanted[f"n_exited_{kind}"] = seen & left & ~back
    return [of.cast(nw.Int64).sum().alias(f"{name}_{days}") for name, of in wanted.items()]


def _rates(
    counts: pd.DataFrame, groups: Sequence[str], days: int, kind: str, level: float
) -> pd.DataFrame:
    n = counts[f"n_{days}"].to_numpy(np.int64)
    events = counts[f"n_events_{kind}_{days}"].to_numpy(np.int64)
    low, high = wilson_interval(events, n, conf_level=level)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = events / n.astype(float)
        std_error = np.sqrt(share * (1 - share) / n)
    return counts[list(groups)].assign(
        kind=kind,
        within_days=days,
        n=n,
        n_events=events,
        n_exited=counts[f"n_exited_{kind}_{days}"].to_numpy(np.int64),
        n_unknown=counts[f"n_events_unknown_{days}"].to_numpy(np.int64),
        n_not_observable=counts[f"n_not_observable_{days}"].to_numpy(np.int64),
        estimate=share,
        std_error=std_error,
        conf_low=low,
        conf_high=high,
        conf_level=level,
    )
