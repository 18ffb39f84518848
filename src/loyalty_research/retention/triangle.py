"""How many of those who came first in one period came again in a later one."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from loyalty_research.data.arguments import check_choice, check_date, check_share, check_whole
from loyalty_research.errors import UsageError
from loyalty_research.retention.activity import (
    active_periods,
    count_brackets,
    count_cells,
    open_activity,
)
from loyalty_research.retention.intervals import wilson_interval
from loyalty_research.retention.periods import (
    PERIODS,
    ROLLING_DAYS,
    as_dates,
    period_of,
    period_start,
)

KINDS = ("exact", "on_or_after", "bracket", "continuous")
CLOCKS = ("calendar", "rolling")


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
        exits: One row a patient: `patient` with those of `death_date`, `moved_date`,
            `observed_until` that are known, perhaps none. Who died or moved before a period, or
            was not observed to its end, leaves its denominator; in period 0, that of the first
            visit, everybody counts.
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
    events, left = open_activity(visits, exits, patient=patient, date=date, cutoff=cutoff)
    active = active_periods(events, left, patient=patient, date=date, period=period, clock=clock)
    if kind == "bracket":
        spans, (sizes, n_retained) = pairs, count_brackets(active, pairs, patient=patient)
    else:
        sizes, cells = count_cells(active, kind, patient=patient)
        spans = _every_period(sizes, cutoff, period, clock)
        n_retained = _matrix(cells, sizes["cohort"].unique(), len(spans), kind)
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


def _every_period(
    sizes: pd.DataFrame, cutoff: dt.date, period: str, clock: str
) -> list[tuple[int, int]]:
    if clock == "calendar":
        last = period_of(cutoff, period) - int(sizes["cohort"].min())
    else:
        last = (cutoff.toordinal() - int(sizes["first"].min())) // ROLLING_DAYS[period]
    return [(k, k + 1) for k in range(last + 1)]


def _matrix(cells: pd.DataFrame, cohorts: np.ndarray, n_periods: int, kind: str) -> np.ndarray:
    """Return how many of each cohort (rows) are retained in each period (columns)."""
    last = cells[["present", "seen"]].min(axis="columns")
    if kind == "on_or_after":
        # The latest visit counts for every period up to it, while the patient is there.
        cells = cells.assign(period=cells["period"].clip(upper=last))
    cells = cells[(cells["period"] <= last) & (cells["period"] >= 0)]
    matrix = np.zeros((len(cohorts), n_periods), np.int64)
    np.add.at(matrix, (np.searchsorted(cohorts, cells["cohort"]), cells["period"]), cells["n"])
    return matrix[:, ::-1].cumsum(axis=1)[:, ::-1] if kind == "on_or_after" else matrix


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
