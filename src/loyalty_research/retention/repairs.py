"""Repairs that depend on what was found, in words that give no patient away."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import narwhals.stable.v2 as nw
import pandas as pd

from loyalty_research.data.lending import collect, distinct
from loyalty_research.errors import Fault

CODE_EVENT = "code one cause as 1, all else as 0"
YES = frozenset(("yes", "y", "true", "t", "1", "是"))
NO = frozenset(("no", "n", "false", "f", "0", "否"))
NAME_CAUSE = 'name the cause of each end, "censored" or nothing where there was none'
DROP_LATE = "drop rows without time at risk"
CENSORED = "censored"
"""The word that means no cause, as a missing value does."""

NO_END = frozenset(
    ("alive", "active", "none", "no event", "nothing", "still here", "still there", "ongoing")
).union(("na", "n/a", "nan", "null", "-", "在", "在访", "存活", "无"))
"""Words for a patient to whom nothing happened, in lower case."""

_SAY_CENSORED = 'say by a missing value or "censored" that nothing happened, else name the cause'
_MOST_CODES = 5


def repair_codes(column: str, values: Iterable[Any], *, otherwise: str = CODE_EVENT) -> str:
    """Return how to code an event, with the codes that were found where these are no secrets.

    Up to five whole numbers from -9 to 9, or answers such as yes and no, name nobody. Whatever else
    a column holds could be an identifier, and is not repeated.

    Args:
        column: The column's name.
        values: What it holds; missing values are left out.
        otherwise: The repair, whatever was found.

    Returns:
        The repair.

    Examples:
        >>> repair_codes("event", [1, 2, 2])
        'found 1 and 2; if 2 is the event, as in data of R, give event == 2'
        >>> repair_codes("event", ["yes", "no", None])
        "found 'no' and 'yes'; give event == 'yes'"
        >>> repair_codes("event", [1009, 1010])
        'code one cause as 1, all else as 0'
    """
    found = _codes(values)
    if not found:
        return otherwise
    whole = [value for value in found if not isinstance(value, str)]
    if whole == [1, 2]:
        return f"found 1 and 2; if 2 is the event, as in data of R, give {column} == 2"
    yes = [value for value in found if isinstance(value, str) and value.strip().lower() in YES]
    if len(yes) == 1:
        return f"{_listed(found)}; give {column} == {yes[0]!r}"
    return f"{_listed(found)}; {otherwise}"


def told_codes(values: Iterable[Any]) -> str:
    """Return the codes that a column holds in brackets, nothing where they may be secrets.

    Args:
        values: What it holds.

    Returns:
        Text to append to a message.

    Examples:
        >>> told_codes([0, 1, 2, 1]), told_codes([1009])
        (' (found 0, 1 and 2)', '')
    """
    found = _codes(values)
    return f" ({_listed(found)})" if found else ""


def _codes(values: Iterable[Any]) -> list[Any]:
    """Return the codes among values, none if they are too many or one of them is no code."""
    codes: set[Any] = set()
    for value in values:
        # A missing value may differ from itself.
        if value is None or value is pd.NA or value != value:
            continue
        if not _is_code(value) or len(codes | {value}) > _MOST_CODES:
            return []
        codes.add(value)
    return sorted(codes, key=str)


def _listed(found: Sequence[Any]) -> str:
    names = [repr(value) if isinstance(value, str) else f"{value:g}" for value in found]
    return f"found {' and '.join(filter(None, [', '.join(names[:-1]), names[-1]]))}"


def repair_late(n_events: int) -> str:
    """Return what to do with rows that end on the day they start, saying what dropping costs.

    A patient who enters and leaves on day 0 is at risk on that day. Pieces `(entry, time]` hold day
    0 if everybody who enters on it enters on day -1; a Cox model, a curve and a test then count
    the events of day 0, and say the same of all other days as before.

    Args:
        n_events: How many of the rows hold the event.

    Returns:
        The repair.

    Examples:
        >>> repair_late(0)
        'drop rows without time at risk'
        >>> repair_late(103).split("; ")[0]
        '103 of them hold the event: to lose none, let all who enter on day 0 enter on day -1'
    """
    if not n_events:
        return DROP_LATE
    lost = f"{n_events:,} of them hold{'s' if n_events == 1 else ''} the event"
    return f"{lost}: to lose none, let all who enter on day 0 enter on day -1; else {DROP_LATE}"


def _is_code(value: Any) -> bool:
    if isinstance(value, str):
        return value.strip().lower() in YES | NO
    try:
        return bool(abs(value) <= 9 and value == int(value))
    except (TypeError, ValueError):
        return False


def with_codes(faults: Sequence[Fault], rows: nw.LazyFrame, event: str) -> list[Fault]:
    """Return faults whose repair `CODE_EVENT` tells the codes that were found.

    The rows are asked for their codes only if there is such a fault.

    Args:
        faults: What was found.
        rows: Where.
        event: The event's column.

    Returns:
        As many faults.

    Examples:
        >>> import duckdb
        >>> rows = nw.from_native(duckdb.sql("SELECT 2 AS event"))
        >>> fault = Fault("data", "event", 1, "event is neither 0 nor 1", CODE_EVENT)
        >>> with_codes([fault], rows, "event")[0].repair
        'found 2; code one cause as 1, all else as 0'
    """
    return [
        replace(fault, repair=repair_codes(event, found_codes(rows, event)))
        if fault.repair == CODE_EVENT
        else fault
        for fault in faults
    ]


def with_cause(faults: Sequence[Fault], names: Sequence[str]) -> list[Fault]:
    """Return faults of an event that names no cause, proposing the column that does.

    `derive_causes` writes `cause` beside `event`, and estimators of competing causes read `event`
    unless told otherwise.

    Args:
        faults: What was found.
        names: The columns of the table.

    Returns:
        As many faults.

    Examples:
        >>> fault = Fault("data", "event", 0, "event is bool, not text", NAME_CAUSE)
        >>> print(with_cause([fault], ["time", "event", "cause"])[0])
        data: event is bool, not text; give event='cause', the column that derive_causes writes
    """
    repair = "give event='cause', the column that derive_causes writes"
    return [
        replace(fault, repair=repair)
        if fault.repair == NAME_CAUSE and fault.column != "cause" and "cause" in names
        else fault
        for fault in faults
    ]


def cause_fault(column: str, names: Sequence[str]) -> Fault | None:
    """Return what is wrong with the names of causes, or None.

    Args:
        column: Their column.
        names: The distinct ones, "censored" left out.

    Returns:
        The fault: they only say whether; or one is empty, a number, another spelling of
        "censored", or a word for nothing having happened.

    Examples:
        >>> cause_fault("end", ["died", "moved"]) is None
        True
        >>> print(cause_fault("end", ["Censored", "alive", "died"]))
        data: end holds 'Censored' and 'alive', no names of causes; say by a missing value or \
"censored" that nothing happened, else name the cause
    """
    plain = [name.strip().lower() for name in names]
    if names and all(name in YES | NO for name in plain):
        words = f"{column} is yes or no, not the name of a cause"
        return Fault("data", column, 0, words, NAME_CAUSE)
    known = zip(names, plain, strict=True)
    odd = [repr(name) for name, word in known if word in NO_END or word == CENSORED]
    odd += ["empty text"] * ("" in plain)
    # A number may be a patient's own, and is not repeated.
    odd += ["numbers as text"] * any(name.isdigit() for name in plain)
    if not odd:
        return None
    listed = " and ".join(filter(None, [", ".join(odd[:-1]), odd[-1]]))
    return Fault("data", column, 0, f"{column} holds {listed}, no names of causes", _SAY_CENSORED)


def found_codes(frame: nw.LazyFrame, column: str) -> list[Any]:
    """Return some distinct values of a column: all, if they are few enough to be codes.

    Args:
        frame: The rows.
        column: The column's name.

    Returns:
        No more than a few values.

    Examples:
        >>> import duckdb
        >>> rows = nw.from_native(duckdb.sql("SELECT * FROM (VALUES (1), (2), (1)) AS v(event)"))
        >>> sorted(found_codes(rows, "event"))
        [1, 2]
    """
    some = distinct(frame, column).head(_MOST_CODES + 3)
    return list(collect(some).to_pydict()[column])
