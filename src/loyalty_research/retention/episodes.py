"""Follow-up in pieces: before and after enrolment, year by year, with its person-time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
from scipy.stats import chi2

from loyalty_research.data.arguments import as_columns, check_share, check_whole
from loyalty_research.data.lending import ROW, collect, column_names, to_pandas
from loyalty_research.errors import UsageError
from loyalty_research.retention.averages import ESTIMATES, refuse_clashes
from loyalty_research.retention.landmark import no_event, open_pieces, refuse_names
from loyalty_research.retention.risk_sets import count_exits

_START, _STOP = "__start", "__stop"


def split_follow_up(
    data: Any,
    *,
    exposed_at: str,
    time: str = "time",
    event: str = "event",
    entry: str | None = None,
    exposed: str = "exposed",
) -> Any:
    """Return each patient's follow-up before and after exposure as rows of their own.

    Until enrolling a patient is not enrolled: counted so, there is no immortal time (Suissa,
    American Journal of Epidemiology 2008;167:492). For a second exposure, split the result again
    with `entry="entry"` and another name for `exposed`.

    A piece `(entry, time]` does not hold the day of entry, so a row with time 0 has no piece. Where
    patients leave on day 0, let everybody enter on day -1: the events of day 0 are then kept.

    Args:
        data: One row a patient or spell. pandas, Polars, Arrow, DuckDB or Spark.
        exposed_at: Column with the time of exposure, in the unit of `time`; missing = never. On the
            day of entry or before: exposed from the start. On the day of exit or after: never.
        time: Column with the time of event or censoring: whole units, above 0 or the entry.
        event: Column with the event: true or false, 1 or 0, or the cause as text.
        entry: Column with the time from which the row is under observation; 0 unless told. With
            -1 day 0 is part of the follow-up.
        exposed: Name of the new column.

    Returns:
        One or two rows a patient, same kind of frame: the interval `(entry, time]`, `event` of its
        end (on the last piece only), `exposed`. Without `entry` the new column is named `entry`.

    Raises:
        UsageError: `exposed` names a column that is read.
        DataError: Columns or values missing, times that are negative or not whole, rows without
            time at risk.

    Examples:
        >>> data = pd.DataFrame({"time": [50, 90], "event": [1, 0], "enrolled": [20, None]})
        >>> split_follow_up(data, exposed_at="enrolled")[["entry", "time", "event", "exposed"]]
           entry  time  event  exposed
        0      0    20      0    False
        1     20    50      1     True
        2      0    90      0    False
    """
    refuse_names([exposed], [time, event, entry, exposed_at], argument="exposed")
    rows = _open(data, time=time, event=event, entry=entry, at=exposed_at)
    later = (nw.col(exposed_at) >= nw.col(_STOP)).fill_null(True)
    already = (nw.col(exposed_at) <= nw.col(_START)).fill_null(False)
    day = nw.col(exposed_at).cast(nw.Int64)
    split = rows.filter(~later & ~already)
    pieces = [
        _piece(rows.filter(later), False),
        _piece(rows.filter(already), True),
        _piece(split.with_columns(day.alias(_STOP)), False),
        _piece(split.with_columns(day.alias(_START)), True),
    ]
    return _give_pieces(pieces, data, time=time, event=event, entry=entry, label=exposed)


def split_at_times(
    data: Any,
    *,
    times: Sequence[int],
    time: str = "time",
    event: str = "event",
    entry: str | None = None,
    interval: str = "interval",
) -> Any:
    """Return each patient's follow-up cut at fixed times.

    Args:
        data: One row a patient or spell. pandas, Polars, Arrow, DuckDB or Spark.
        times: Where to cut, in the unit of `time`; an event at a cut belongs to the piece that
            ends there.
        time: Column with the time of event or censoring: whole units, above 0 or the entry.
        event: Column with the event: true or false, 1 or 0, or the cause as text.
        entry: Column with the time from which the row is under observation; 0 unless told. With
            -1 day 0 is part of the follow-up.
        interval: Name of the new column: how many of the times lie at or before the piece's start.

    Returns:
        One row a patient and piece, same kind of frame: the interval `(entry, time]`, `event` of
        its end (on the last piece only), `interval`.

    Raises:
        UsageError: Times that are not whole or not above 0, `interval` names a column that is read.
        DataError: As for `split_follow_up`.

    Examples:
        >>> data = pd.DataFrame({"time": [50, 90], "event": [1, 0]})
        >>> split_at_times(data, times=[60])[["entry", "time", "event", "interval"]]
           entry  time  event  interval
        0      0    50      1         0
        1      0    60      0         0
        2     60    90      0         1
    """
    given = np.atleast_1d(np.asarray(times)).tolist()
    cuts = sorted({check_whole(x, name="times", minimum=1) for x in given})
    if not cuts:
        raise UsageError("times is empty; name at least one time to cut at")
    refuse_names([interval], [time, event, entry], argument="interval")
    rows = _open(data, time=time, event=event, entry=entry, at=None)
    pieces = []
    for number, (low, high) in enumerate(zip([None, *cuts], [*cuts, None], strict=True)):
        # The first piece starts with the entry, which may be the day before day 0.
        start = nw.col(_START) if low is None else nw.max_horizontal(nw.col(_START), nw.lit(low))
        stop = nw.col(_STOP) if high is None else nw.min_horizontal(nw.col(_STOP), nw.lit(high))
        part = rows.with_columns(
            start.cast(nw.Int64).alias(_START), stop.cast(nw.Int64).alias(_STOP)
        )
        pieces.append(_piece(part.filter(nw.col(_START) < nw.col(_STOP)), number))
    return _give_pieces(pieces, data, time=time, event=event, entry=entry, label=interval)


def check_immortal_time(
    data: Any,
    *,
    exposed_at: str,
    time: str = "time",
    event: str = "event",
    entry: str | None = None,
) -> pd.DataFrame:
    """Return what a comparison of ever with never exposed patients would get wrong.

    - `immortal_time`: person-time of the exposed before their exposure.
    - `immortal_share`: its share of all their person-time, which gates a naive comparison.
    - `naive_rate_ratio`: event rate of ever over never exposed patients.
    - `split_rate_ratio`: event rate after over before exposure (Suissa 2008).

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        exposed_at: Column with the time of exposure; missing = never.
        time: Column with the time of event or censoring: whole units, above 0 or the entry.
        event: Column that is true or 1 for an event, false or 0 for censoring.
        entry: Column with the time from which the patient is under observation.

    Returns:
        One row a check. Who is exposed on the day of exit or later counts as never exposed.

    Raises:
        DataError: As for `split_follow_up`.

    Examples:
        >>> data = pd.DataFrame({"time": [50, 90], "event": [1, 1], "enrolled": [20, None]})
        >>> found = check_immortal_time(data, exposed_at="enrolled")
        >>> found[["check", "statistic", "passed"]].round(3)
                      check  statistic passed
        0     immortal_time     20.000  False
        1    immortal_share      0.400  False
        2  naive_rate_ratio      1.800   None
        3  split_rate_ratio      3.667   None
    """
    wanted = [name for name in (time, event, entry, exposed_at) if name is not None]
    refuse_names(["__exposed", "__ever"], wanted, argument="exposed_at")
    rows = _open(data, time=time, event=event, entry=entry, at=exposed_at)
    ever = (nw.col(exposed_at) < nw.col(_STOP)).fill_null(False)
    before = nw.max_horizontal(nw.col(exposed_at).cast(nw.Int64), nw.col(_START)) - nw.col(_START)
    happened = nw.col(event).cast(nw.Int64)
    length = nw.col(_STOP) - nw.col(_START)
    sums = collect(
        rows.select(ever.alias("__ever"), length.alias("all"), before.alias("immortal"),
                    happened.alias("events"))
        .with_columns(nw.when(nw.col("__ever")).then(nw.col("immortal")).otherwise(0).alias("lost"))
        .group_by("__ever")
        .agg(nw.col("all").sum(), nw.col("lost").sum(), nw.col("events").sum())
    ).to_pylist()  # fmt: skip
    # DuckDB adds integers up to decimals.
    none = {"all": 0, "lost": 0, "events": 0}
    by_group = {bool(row["__ever"]): {name: int(row[name]) for name in none} for row in sums}
    return _immortal_checks(by_group.get(True, none), by_group.get(False, none))


def person_time_rates(
    data: Any,
    *,
    by: str | Sequence[str] | None = None,
    time: str = "time",
    event: str = "event",
    entry: str | None = None,
    freq: str | None = None,
    per: int = 1,
    conf_level: float = 0.95,
) -> pd.DataFrame:
    """Return events by person-time with exact Poisson intervals.

    Garwood, Biometrika 1936;28:437; by quantiles of chi-square, Ulm, American Journal of
    Epidemiology 1990;131:373. Rows of one patient may be pieces of follow-up.

    Args:
        data: One row a patient or piece of follow-up. pandas, Polars, Arrow, DuckDB or Spark.
        by: Column or columns that name groups.
        time: Column with the time of event or censoring: whole units.
        event: Column that is true or 1 for an event, false or 0 for censoring.
        entry: Column with the time from which the row is under observation.
        freq: Column of whole numbers from 1: how many patients the row stands for.
        per: Units of time that the rate is for: 365 makes daily time an annual rate.
        conf_level: Coverage of the interval.

    Returns:
        One row a group: `term` ("rate"), the group's columns, the fixed columns of estimates (the
        rate is missing for a group that nobody spent any time in, `p_value` always: a rate of 0 is
        no hypothesis; `n` counts rows), `person_time`.

    Raises:
        UsageError: `per` that is no whole number from 1.
        DataError: As for `risk_sets`.

    Examples:
        >>> data = pd.DataFrame({"time": [50, 50], "event": [1, 1]})
        >>> rates = person_time_rates(data)
        >>> rates[["estimate", "conf_low", "conf_high", "n_events", "person_time"]].round(4)
           estimate  conf_low  conf_high  n_events  person_time
        0      0.02    0.0024     0.0722         2          100
    """
    unit = check_whole(per, name="per", minimum=1)
    level, groups = check_share(conf_level, name="conf_level"), as_columns(by)
    refuse_clashes(groups, ["term", *ESTIMATES, "person_time"])
    exits, entries = count_exits(data, time=time, event=event, entry=entry, by=by, freq=freq)
    table = _sums(exits, entries, groups)
    events, clock = table["n_events"].to_numpy(float), table["person_time"].to_numpy(float)
    tail = (1 - level) / 2
    low = np.where(events > 0, chi2.ppf(tail, 2 * np.maximum(events, 1)) / 2, 0.0)
    high = chi2.ppf(1 - tail, 2 * events + 2) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        # Nobody was followed for any time: there is no rate, nor an interval of it.
        rates = [unit * x / clock for x in (events, np.sqrt(events), low, high)]
    rates = [np.where(clock > 0, rate, np.nan) for rate in rates]
    result = pd.DataFrame({"term": ["rate"] * len(table), **{name: table[name] for name in groups}})
    names = ("estimate", "std_error", "conf_low", "conf_high")
    result = result.assign(**dict(zip(names, rates, strict=True)), conf_level=level, p_value=np.nan)
    return result.assign(
        n=table["n"],
        n_events=table["n_events"],
        scale="events per unit of time" if unit == 1 else f"events per {unit} units of time",
        method="exact Poisson (Garwood)",
        person_time=table["person_time"],
    )


# --- pieces ---------------------------------------------------------------------------------------


def _open(data: Any, *, time: str, event: str, entry: str | None, at: str | None) -> nw.LazyFrame:
    """Return the rows with start and stop, refusing those without time at risk."""
    if entry is None and "entry" in column_names(data):
        message = (
            "data has a column entry that was not named; give entry='entry', or rename it if it"
            " is something else"
        )
        raise UsageError(message)
    rows = open_pieces(data, time=time, event=event, entry=entry, at=at)
    start = nw.lit(0) if entry is None else nw.col(entry)
    rows = rows.with_columns(
        start.cast(nw.Int64).alias(_START), nw.col(time).cast(nw.Int64).alias(_STOP)
    )
    return rows.with_columns(nw.col(_STOP).alias("__end"))


def _piece(rows: nw.LazyFrame, value: bool | int) -> nw.LazyFrame:
    kind = nw.Boolean if isinstance(value, bool) else nw.Int64
    return rows.with_columns(nw.lit(value).cast(kind).alias("__label"))


def _give_pieces(
    pieces: Sequence[nw.LazyFrame],
    like: Any,
    *,
    time: str,
    event: str,
    entry: str | None,
    label: str,
) -> Any:
    """Return the pieces as the kind of frame that they were cut from, in its order of rows."""
    whole = nw.concat(list(pieces), how="vertical")
    last = nw.col(_STOP) == nw.col("__end")
    happened = nw.when(last).then(nw.col(event)).otherwise(no_event(whole, event))
    start = "entry" if entry is None else entry
    new = [start, time, event, label]
    columns = (nw.col(_START), nw.col(_STOP), happened, nw.col("__label"))
    named = [column.alias(name) for column, name in zip(columns, new, strict=True)]
    own = [name for name in column_names(like) if name not in new]
    if ROW not in whole.collect_schema().names():
        return whole.select(*[nw.col(name) for name in own], *named).to_native()
    table = collect(whole.select(nw.col(ROW), *named).sort(ROW, start))
    rows = table.column(ROW).to_numpy()
    table = table.drop_columns([ROW])
    if nw.dependencies.is_pandas_dataframe(like):
        added = to_pandas(table)
        # Several pieces of one row would share its label, which then names none of them.
        whole_rows = like.iloc[rows][own].reset_index(drop=True)
        return whole_rows.assign(**{name: added[name].array for name in new})
    original = nw.from_native(like, eager_only=True)
    added = nw.from_arrow(table, backend=original.implementation)
    if not own:
        return added.to_native()
    return nw.concat([original[rows].select(*own), added], how="horizontal").to_native()


# --- sums -----------------------------------------------------------------------------------------


def _sums(exits: pd.DataFrame, entries: pd.DataFrame | None, groups: Sequence[str]) -> pd.DataFrame:
    """Return rows, events and person-time of each group from counts by day."""
    table = exits.assign(
        n_events=exits["n"] * exits["event"].astype(int), person_time=exits["n"] * exits["time"]
    )
    wanted = ["n", "n_events", "person_time"]
    if not groups:
        total = table[wanted].sum().to_frame().T.astype("int64")
        if entries is not None:
            total["person_time"] -= int((entries["n"] * entries["entry"]).sum())
        return total
    total = table.groupby(list(groups), observed=True)[wanted].sum()
    if entries is not None:
        lost = entries.assign(lost=entries["n"] * entries["entry"])
        total["person_time"] -= lost.groupby(list(groups), observed=True)["lost"].sum()
    return total.reset_index()


def _immortal_checks(ever: dict[str, int], never: dict[str, int]) -> pd.DataFrame:
    immortal, exposed = int(ever["lost"]), int(ever["all"]) - int(ever["lost"])
    share = immortal / ever["all"] if ever["all"] else 0.0
    naive = _ratio(ever["events"], ever["all"], never["events"], never["all"])
    split = _ratio(ever["events"], exposed, never["events"], never["all"] + immortal)
    lost = f"{immortal:,} units of time before exposure, {share:.1%} of the exposed patients' time"
    found = [
        ("immortal_time", float(immortal), 0.0, immortal == 0, False,
         f"{lost}, during which they could not leave"),
        ("immortal_share", share, 0.0, immortal == 0, True,
         "compare patients by split_follow_up or apply_landmark, not ever with never exposed"),
        ("naive_rate_ratio", naive, np.nan, None, False, "ever against never exposed: biased"),
        ("split_rate_ratio", split, np.nan, None, False, "after against before or no exposure"),
    ]  # fmt: skip
    names = ["check", "statistic", "threshold", "passed", "gating", "message"]
    return pd.DataFrame(found, columns=names).astype({"passed": object})


def _ratio(events: int, clock: int, other_events: int, other_clock: int) -> float:
    if not (clock and other_clock and other_events):
        return float("nan")
    return (events / clock) / (other_events / other_clock)
