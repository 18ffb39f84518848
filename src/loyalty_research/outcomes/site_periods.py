"""What happened at each site in each period, counted in the engine."""

from __future__ import annotations

import datetime as dt
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from loyalty_research.data.arguments import check_choice, check_date, check_share
from loyalty_research.data.frames import (
    REPAIR_DATE,
    Check,
    day_number,
    is_missing,
    open_tables,
    raise_faults,
    value_faults,
)
from loyalty_research.data.lending import collect, group_rows, to_pandas
from loyalty_research.errors import Fault, UsageError
from loyalty_research.retention.periods import as_dates, period_number, period_of, period_start

STATISTICS = ("mean", "quantile", "count")
LENGTHS = ("week", "month", "quarter", "year")

_PERIOD, _MISSING = "__period", "__missing"


def derive_site_periods(
    events: Any,
    *,
    date: str,
    value: str | None = None,
    site: str = "facility_id",
    period: str = "month",
    statistic: str = "mean",
    q: float = 0.5,
    data_start: Any = None,
    data_cutoff: Any,
    rollout: Any = None,
) -> pd.DataFrame:
    """Return one row a site and period, with what happened there reduced to one number.

    Every site has every period, also those in which nothing happened: a gap that is not seen is
    taken for a period like the others. The first and the last period count as complete only if the
    data cover all of them.

    Args:
        events: One row an event, such as a visit or an answer: `site`, `date`, `value`.
        date: Column of the day.
        value: Column of the number that is averaged; not for "count". Rows where it is missing are
            left out and counted in `n_missing`.
        site: Column of the site.
        period: "week" (from Monday), "month", "quarter" or "year" of the calendar.
        statistic: "mean" (of 0 and 1 the share), "quantile", or "count" of events.
        q: Which quantile; 0.5 is the median.
        data_start: First day the data cover; by default the first day there is.
        data_cutoff: Last day the data cover.
        rollout: One row a site that has the programme: `site`, `start_date`. The period in which
            it starts counts as its first, though only part of it was.

    Returns:
        `site`, `period` (0 for the first), `period_start` (its first day), `season` (month, quarter
        or week of the year), `complete`, `n` (events with a value), `n_missing`, `estimate`
        (missing without a value), `std_error` (of a mean; missing for one value and otherwise);
        with `rollout` also `first_treated` (a period; missing = never).

    Raises:
        UsageError: An unknown period or statistic, a value for "count" or none for the others.
        DataError: Columns, sites or dates missing, a value that is no number, events outside the
            days the data cover, a site twice in `rollout`; all faults at once.

    Examples:
        >>> answers = pd.DataFrame({"facility_id": ["A", "A", "B"], "score": [4.0, 5.0, 3.0],
        ...     "day": pd.to_datetime(["2024-01-05", "2024-01-31", "2024-02-10"])})
        >>> derive_site_periods(answers, date="day", value="score", data_start="2024-01-01",
        ...     data_cutoff="2024-02-29")[["facility_id", "period", "n", "estimate"]]
          facility_id  period  n  estimate
        0           A       0  2       4.5
        1           A       1  0       NaN
        2           B       0  0       NaN
        3           B       1  1       3.0
    """
    check_choice(period, LENGTHS, name="period")
    check_choice(statistic, STATISTICS, name="statistic")
    check_share(q, name="q")
    if (value is None) != (statistic == "count"):
        raise UsageError('value= belongs to "mean" and "quantile", and "count" has none')
    cutoff = check_date(data_cutoff, name="data_cutoff")
    first = None if data_start is None else check_date(data_start, name="data_start")
    rows = _open(events, date, value, site, first, cutoff)
    cells = _cells(rows, date, value, site, period, statistic, q)
    day = first or dt.date.fromordinal(_first_day(rows, date))
    table = _grid(cells, site, period, (day, cutoff), statistic)
    if rollout is None:
        return table
    return _with_starts(table, rollout, site, period, period_of(day, period))


# --- the door -------------------------------------------------------------------------------------


def _open(
    events: Any, date: str, value: str | None, site: str, first: dt.date | None, cutoff: dt.date
) -> nw.LazyFrame:
    more = {"events": [] if value is None else [value]}
    rows = open_tables({"events": events}, ids=site, dates={"events": [date]}, more=more)["events"]
    day = day_number(nw.col(date))
    checks = [
        is_missing(site, repair="say where it happened"),
        is_missing(date, repair=REPAIR_DATE),
        Check(date, day > cutoff.toordinal(), "is after data_cutoff", "move data_cutoff"),
    ]
    if first is not None:
        early = day < first.toordinal()
        checks.append(Check(date, early, "is before data_start", "move data_start or drop it"))
    faults = value_faults(rows, checks, table="events")
    dtype = rows.collect_schema()[value] if value is not None else nw.Float64()
    if not dtype.is_numeric() and dtype != nw.Boolean:
        faults.append(
            Fault("events", str(value), 0, f"{value} is {dtype}, not a number", "convert it")
        )
    raise_faults(faults)
    return rows


def _first_day(rows: nw.LazyFrame, date: str) -> int:
    return int(collect(rows.select(day_number(nw.col(date)).min().alias("day")))["day"][0].as_py())


# --- the count ------------------------------------------------------------------------------------


def _cells(
    rows: nw.LazyFrame,
    date: str,
    value: str | None,
    site: str,
    period: str,
    statistic: str,
    q: float,
) -> pd.DataFrame:
    number = nw.lit(1.0) if value is None else nw.col(value).cast(nw.Float64)
    rows = rows.select(
        nw.col(site), period_number(nw.col(date), period).alias(_PERIOD), number.alias("__value")
    )
    column = nw.col("__value")
    reduced = {
        "mean": column.mean(),
        "quantile": column.quantile(q, interpolation="linear"),
        "count": column.sum(),
    }[statistic]
    counts = group_rows(rows, site, _PERIOD).agg(
        nw.len().alias("__rows"),
        column.count().alias("n"),
        reduced.alias("estimate"),
        column.std(ddof=1).alias("__sd"),
    )
    return to_pandas(collect(counts))


def _grid(
    cells: pd.DataFrame, site: str, period: str, days: tuple[dt.date, dt.date], statistic: str
) -> pd.DataFrame:
    low, high = (period_of(day, period) for day in days)
    sites = sorted(cells[site].unique())
    whole = pd.MultiIndex.from_product([sites, range(low, high + 1)], names=[site, _PERIOD])
    table = cells.set_index([site, _PERIOD]).reindex(whole).reset_index()
    number = table[_PERIOD].to_numpy(np.int64)
    n = table["n"].fillna(0).astype(np.int64)
    starts, ends = period_start(number, period), period_start(number + 1, period) - 1
    error: pd.Series = table["__sd"].astype(float) / np.sqrt(n.where(n > 1).astype(float))
    estimate = table["estimate"].astype(float)
    return table[[site]].assign(
        period=number - low,
        period_start=as_dates(starts),
        season=_season(number, starts, period),
        complete=(starts >= days[0].toordinal()) & (ends <= days[1].toordinal()),
        n=n,
        n_missing=table["__rows"].fillna(0).astype(np.int64) - n,
        estimate=estimate.fillna(0.0) if statistic == "count" else estimate.where(n > 0),
        std_error=error if statistic == "mean" else np.nan,
    )


def _season(number: np.ndarray, starts: np.ndarray, period: str) -> np.ndarray:
    """Return the month, quarter or ISO week of the year; a year has no season."""
    if period == "week":
        return pd.DatetimeIndex(as_dates(starts)).isocalendar().week.to_numpy(np.int64)
    per_year = {"month": 12, "quarter": 4, "year": 1}[period]
    return number % per_year + 1


def _with_starts(
    table: pd.DataFrame, rollout: Any, site: str, period: str, low: int
) -> pd.DataFrame:
    lent = open_tables({"rollout": rollout}, ids=site, dates={"rollout": ["start_date"]})["rollout"]
    raise_faults(
        value_faults(
            lent, [is_missing(site, repair="name the site")], table="rollout", unique=site,
            may_be_empty=True,
        )
    )  # fmt: skip
    start = period_number(nw.col("start_date"), period).alias("start")
    found = to_pandas(collect(lent.select(nw.col(site), start))).set_index(site)["start"]
    first = table[site].map(found.astype("Int64")).astype("Int64") - low
    return table.assign(first_treated=first)
