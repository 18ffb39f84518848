"""Landmark analysis: groups by what had happened by a day, followed from that day on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from loyalty_research.data.arguments import check_whole
from loyalty_research.data.frames import (
    Check,
    is_missing,
    missing_columns,
    raise_faults,
    value_faults,
)
from loyalty_research.data.lending import collect, give_back, lend
from loyalty_research.errors import Fault, UsageError
from loyalty_research.retention.repairs import (
    CENSORED,
    CODE_EVENT,
    DROP_LATE,
    repair_late,
    with_codes,
)

NUMBERS = "convert it to whole days first"


def apply_landmark(
    data: Any,
    *,
    landmark: int,
    exposed_at: str,
    time: str = "time",
    event: str = "event",
    entry: str | None = None,
    exposed: str = "exposed",
) -> tuple[Any, pd.DataFrame]:
    """Return the patients still followed at a landmark, with who was exposed by then.

    Who enrols had to stay until enrolling: to compare ever with never enrolled gives the enrolled
    this time for free. From a landmark on, both groups had to stay equally long (Anderson, Cain
    and Gelber, Journal of Clinical Oncology 1983;1:710). Who is exposed later counts as unexposed.

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        landmark: The day from which the groups are followed, in the unit of `time`.
        exposed_at: Column with the time of exposure; missing = never.
        time: Column with the time of event or censoring: whole units. Who leaves on the landmark
            itself is left out, there being nothing to follow.
        event: Column with the event, which must be filled.
        entry: Column with the time from which the patient is under observation; who enters after
            the landmark is left out, not having been seen at it.
        exposed: Name of the new column, true for exposure on or before the landmark.

    Returns:
        The patients kept, same kind of frame: `time` restarts at the landmark, `exposed` is
        added, `entry` is dropped. And the attrition.

    Raises:
        UsageError: A landmark that is no whole number from 0.
        DataError: Columns or values missing, times that are negative or not whole; nobody
            followed at the landmark.

    Examples:
        >>> data = pd.DataFrame({
        ...     "time": [10, 50, 90], "event": [1, 1, 0], "enrolled": [None, 20, 40],
        ... })
        >>> kept, attrition = apply_landmark(data, landmark=30, exposed_at="enrolled")
        >>> kept[["time", "event", "exposed"]]
           time  event  exposed
        1    20      1     True
        2    60      0    False
        >>> attrition["n_after"].to_list()
        [3, 2]
    """
    day = check_whole(landmark, name="landmark")
    refuse_names([exposed], [time, event, entry, exposed_at], argument="exposed")
    rows = open_pieces(
        data, time=time, event=event, entry=entry, at=exposed_at, may_leave_at_0=True
    )
    followed = nw.col(time) > day
    seen = nw.lit(True) if entry is None else nw.col(entry) <= day
    attrition = _attrition(rows, followed, seen, day, has_entry=entry is not None)
    if attrition["n_after"].iloc[-1] == 0:
        raise_faults([_nobody(attrition, time)])
    by_then = (nw.col(exposed_at) <= day).fill_null(False)
    kept = rows.filter(followed & seen).with_columns(
        (nw.col(time) - day).cast(nw.Int64).alias(time), by_then.alias(exposed)
    )
    result = give_back(kept, like=data, new=[time, exposed])
    if entry is not None:
        result = nw.from_native(result).drop(entry).to_native()
    return result, attrition


def stack_landmarks(
    data: Any,
    *,
    landmarks: Sequence[int],
    exposed_at: str,
    horizon: int | None = None,
    time: str = "time",
    event: str = "event",
    exposed: str = "exposed",
) -> Any:
    """Return the patients of several landmarks, one under the other.

    A model stratified by `landmark` and clustered by patient is van Houwelingen's supermodel
    (Scandinavian Journal of Statistics 2007;34:70).

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        landmarks: Days in the unit of `time`.
        exposed_at: Column with the time of exposure; missing = never.
        horizon: Follow each landmark's patients for so long at most; to the end unless told.
        time: Column with the time of event or censoring: whole units.
        event: Column that is true or 1 for an event, false or 0 for censoring.
        exposed: Name of the new column, true for exposure on or before the landmark.

    Returns:
        One row a patient and landmark, same kind of frame: `time` from the landmark on, `event`
        within the horizon, `exposed`, `landmark`.

    Raises:
        UsageError: Landmarks or a horizon that cannot be meant.
        DataError: As for `apply_landmark`.

    Examples:
        >>> data = pd.DataFrame({"time": [10, 50], "event": [1, 1], "enrolled": [None, 20]})
        >>> stack_landmarks(data, landmarks=[0, 30], exposed_at="enrolled", horizon=30)[
        ...     ["landmark", "time", "event", "exposed"]
        ... ]
           landmark  time  event  exposed
        0         0    10      1    False
        1         0    30      0    False
        2        30    20      1     True
    """
    days = [check_whole(x, name="landmarks") for x in np.atleast_1d(np.asarray(landmarks)).tolist()]
    if not days:
        raise UsageError("landmarks is empty; name at least one day")
    limit = None if horizon is None else check_whole(horizon, name="horizon", minimum=1)
    refuse_names(["landmark"], [time, event, exposed_at, exposed], argument="time")
    parts = []
    for day in sorted(set(days)):
        names = {"exposed_at": exposed_at, "time": time, "event": event, "exposed": exposed}
        kept = nw.from_native(apply_landmark(data, landmark=day, **names)[0])
        if limit is not None:
            within = nw.col(time) <= limit
            cut = nw.when(within).then(nw.col(event)).otherwise(no_event(kept, event))
            last = nw.when(within).then(nw.col(time)).otherwise(nw.lit(limit))
            kept = kept.with_columns(cut.alias(event), last.cast(nw.Int64).alias(time))
        parts.append(kept.with_columns(nw.lit(day).cast(nw.Int64).alias("landmark")))
    stack = nw.concat(parts, how="vertical").to_native()
    # A patient who is followed from several landmarks is several rows.
    return stack.reset_index(drop=True) if isinstance(stack, pd.DataFrame) else stack


# --- shared with the splitting of follow-up -------------------------------------------------------


def open_pieces(
    data: Any,
    *,
    time: str,
    event: str,
    entry: str | None,
    at: str | None,
    may_leave_at_0: bool = False,
) -> nw.LazyFrame:
    """Return the rows as a lazy frame, or refuse with every fault.

    Args:
        data: Any frame.
        time: Column with the time of exit.
        event: Column with the event: true or false, 0 or 1, or the cause as text.
        entry: Column with the time of entry, or None.
        at: Column with the time of exposure, which may be missing, or None.
        may_leave_at_0: Without `entry`, a time of 0 is no fault.

    Returns:
        The rows; frames in memory carry their number in `ROW`.

    Raises:
        DataError: Columns or values missing, times negative or not whole, entry not before exit.

    Examples:
        >>> data = pd.DataFrame({"time": [5], "event": [1]})
        >>> rows = open_pieces(data, time="time", event="event", entry=None, at=None)
        >>> collect(rows.select("time")).to_pylist()
        [{'time': 5}]
    """
    named = [name for name in (time, event, entry, at) if name is not None]
    raise_faults(missing_columns(data, named, table="data"))
    rows = lend({"data": data}, columns={"data": named})["data"]
    schema = rows.collect_schema()
    clocks = [name for name in (time, entry, at) if name is not None]
    empty = type(schema[at]).__name__ in ("Unknown", "Object", "Null") if at is not None else False
    if at is not None and empty:
        # A column without any value has no type; nobody was ever exposed.
        rows = rows.with_columns(nw.lit(None).cast(nw.Int64).alias(at))
        clocks.remove(at)
    faults = [
        Fault("data", x, 0, f"{x} is {schema[x]}, not a whole number", NUMBERS)
        for x in clocks
        if not schema[x].is_numeric()
    ]
    raise_faults(faults)
    checks = _checks(schema, clocks, time, event, entry, may_leave_at_0=may_leave_at_0)
    faults = with_codes(value_faults(rows, checks, table="data"), rows, event)
    raise_faults(_with_lost_events(faults, rows, time, event, entry))
    return rows


def _with_lost_events(
    faults: list[Fault], rows: nw.LazyFrame, time: str, event: str, entry: str | None
) -> list[Fault]:
    """Return the faults, saying how many events the rows without time at risk hold."""
    if not any(fault.repair == DROP_LATE for fault in faults):
        return faults
    late = nw.col(time) == 0 if entry is None else nw.col(entry) >= nw.col(time)
    kind = rows.collect_schema()[event]
    if kind.is_numeric() or isinstance(kind, nw.Boolean):
        had = nw.col(event).cast(nw.Float64) == 1
    else:
        had = ~nw.col(event).is_null() & (nw.col(event).cast(nw.String) != CENSORED)
    counted = rows.select((late & had).fill_null(False).cast(nw.Int64).sum().alias("lost"))
    repair = repair_late(int(collect(counted).to_pydict()["lost"][0] or 0))
    return [
        replace(fault, repair=repair) if fault.repair == DROP_LATE else fault for fault in faults
    ]


def _checks(
    schema: Any,
    clocks: Sequence[str],
    time: str,
    event: str,
    entry: str | None,
    *,
    may_leave_at_0: bool,
) -> list[Check]:
    drop = "drop or repair these rows"
    checks = []
    for name in clocks:
        column = nw.col(name)
        if name in (time, entry):
            checks.append(is_missing(name, repair=drop))
        # An entry on day -1 puts day 0 into the follow-up, and so may an exposure.
        if name == time or entry is None:
            checks.append(Check(name, column < 0, "is negative", "check which date comes first"))
        if schema[name].is_float():
            odd = column != column.floor()
            checks.append(Check(name, odd, "is not a whole number", f"{NUMBERS}, rounding down"))
    if entry is None and not may_leave_at_0:
        checks.append(Check(time, nw.col(time) == 0, "is 0", DROP_LATE))
    if entry is not None:
        late = nw.col(entry) >= nw.col(time)
        checks.append(Check(entry, late, f"is not before {time}", DROP_LATE))
    if schema[event] != nw.String:
        checks.append(is_missing(event, repair=drop))
    if schema[event].is_numeric():
        odd = (nw.col(event) != 0) & (nw.col(event) != 1)
        checks.append(Check(event, odd, "is neither 0 nor 1", CODE_EVENT))
    return checks


def no_event(rows: Any, event: str) -> nw.Expr:
    """Return what the event column holds where nothing happened.

    Args:
        rows: The frame.
        event: Column with the event.

    Returns:
        False, 0, or missing where the event names its cause.

    Examples:
        >>> frame = nw.from_native(pd.DataFrame({"event": [True, False]}))
        >>> frame.select(no_event(frame, "event"))["event"].to_list()
        [False, False]
    """
    kind = rows.collect_schema()[event]
    if kind == nw.Boolean:
        return nw.col(event) & nw.lit(False)
    if kind.is_numeric():
        return (nw.col(event) * 0).cast(kind)
    return nw.lit(None).cast(nw.String)


def refuse_names(new: Sequence[str], there: Sequence[str | None], *, argument: str) -> None:
    """Refuse a new column that would replace one that is needed.

    Args:
        new: Names of new columns.
        there: Names of columns that are read.
        argument: Of the function, to be changed.

    Raises:
        UsageError: A name is in both.

    Examples:
        >>> refuse_names(["exposed"], ["time"], argument="exposed")
    """
    for name in new:
        if name in there:
            raise UsageError(f"{argument}: {name!r} is also a column that is read; rename it")


def _nobody(attrition: pd.DataFrame, time: str) -> Fault:
    n = int(attrition["n_before"].iloc[0])
    message = f"none of {n:,} patients is still followed at the landmark"
    return Fault("data", time, n, message, "choose an earlier landmark")


def _attrition(
    rows: nw.LazyFrame, followed: nw.Expr, seen: nw.Expr, day: int, *, has_entry: bool
) -> pd.DataFrame:
    counts = rows.select(
        nw.len().alias("all"),
        followed.cast(nw.Int64).sum().alias("followed"),
        (followed & seen).cast(nw.Int64).sum().alias("seen"),
    )
    found = collect(counts).to_pylist()[0]
    steps = [
        ("all", int(found["all"])),
        (f"followed beyond {day}", int(found["followed"])),
    ]
    if has_entry:
        steps.append((f"under observation at {day}", int(found["seen"])))
    after = np.array([count for _, count in steps])
    before = np.append(after[0], after[:-1])
    return pd.DataFrame(
        {
            "step": np.arange(len(steps)),
            "criterion": [name for name, _ in steps],
            "n_before": before,
            "n_excluded": before - after,
            "n_after": after,
        }
    )
