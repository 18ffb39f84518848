"""One door for tables of any engine: columns, types, then values, every fault at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import narwhals.stable.v2 as nw

from loyalty_research.data.lending import collect, column_names, lend
from loyalty_research.data.lending import to_pandas as to_pandas
from loyalty_research.errors import DataError, Fault

REPAIR_ID = "give every row the patient it belongs to, or drop it in the source"
REPAIR_DATE = "give every row a date, or drop it in the source"
REPAIR_INDEX = 'leave these patients out by the criterion known("index_date")'


class Check(NamedTuple):
    """A condition that no row may meet, with the words for the fault and its repair."""

    column: str
    broken: nw.Expr
    message: str
    repair: str


# --- days -----------------------------------------------------------------------------------------


def day_number(expr: nw.Expr) -> nw.Expr:
    """Return the day number of a date: its proleptic Gregorian ordinal.

    It is built from year and day of the year because these exist on every engine; a time of day is
    dropped, a missing date stays missing.

    Args:
        expr: A date or timestamp expression.

    Returns:
        An integer expression equal to Python's `date.toordinal`.

    Examples:
        >>> import datetime, polars
        >>> frame = polars.LazyFrame({"day": [datetime.date(2024, 2, 29)]})
        >>> number = nw.from_native(frame).select(day_number(nw.col("day"))).collect()
        >>> number["day"].to_list() == [datetime.date(2024, 2, 29).toordinal()]
        True
    """
    before = expr.dt.year().cast(nw.Int64) - 1
    return (
        before * 365 + before // 4 - before // 100 + before // 400 + expr.dt.ordinal_day()
    ).cast(nw.Int64)


# --- the door -------------------------------------------------------------------------------------


def require_columns(frame: Any, columns: Iterable[str], *, table: str) -> None:
    """Refuse a table that lacks a column, naming all that are missing.

    Args:
        frame: The table, of any engine.
        columns: The columns it must have.
        table: The table's name, for the message.

    Raises:
        DataError: One fault for each missing column, with the nearest name there is.

    Examples:
        >>> import pandas
        >>> require_columns(pandas.DataFrame({"patient": [1]}), ["patient_id"], table="visits")
        Traceback (most recent call last):
        ...
        loyalty_research.errors.DataError: 1 fault in the data:
          visits: column patient_id is missing; did you mean patient?
    """
    raise_faults(missing_columns(frame, columns, table=table))


def missing_columns(frame: Any, columns: Iterable[str], *, table: str) -> list[Fault]:
    """Return one fault for each column that a table lacks.

    Args:
        frame: The table, of any engine.
        columns: The columns it must have.
        table: The table's name, for the message.

    Returns:
        The faults, none if all columns are there.

    Examples:
        >>> import pandas
        >>> missing_columns(pandas.DataFrame({"patient_id": [1]}), ["patient_id"], table="visits")
        []
    """
    there = [str(name) for name in column_names(frame, table=table)]
    faults = []
    for column in dict.fromkeys(columns):
        if column not in there:
            near = _nearest(column, there)
            repair = f"did you mean {near}?" if near else "add it or name the column that holds it"
            faults.append(Fault(table, column, 0, f"column {column} is missing", repair))
    return faults


def _nearest(column: str, there: Sequence[str]) -> str | None:
    """Return the name that is most like a column's, or None.

    Endings that say what kind of column it is, such as _id or _date, make no two names alike:
    staff_id is not meant by visit_id.
    """
    stem, _, ending = column.rpartition("_")
    for near in difflib.get_close_matches(column, there, n=len(there) or 1):
        other, _, kind = near.rpartition("_")
        same_kind = bool(stem and other) and kind == ending
        if not same_kind or difflib.SequenceMatcher(None, stem, other).ratio() >= 0.6:
            return near
    return None


def open_tables(
    tables: Mapping[str, Any],
    *,
    ids: str | Mapping[str, str],
    dates: Mapping[str, Sequence[str]],
    more: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, nw.LazyFrame]:
    """Return the tables as lazy frames of one engine, their columns and types checked.

    Args:
        tables: Native frames by name; None is skipped.
        ids: The patient's column, which every table must have in the same type; or for each table
            the column that names its rows.
        dates: For each table the columns that must be dates.
        more: For each table the other columns that it must have.

    Returns:
        Lazy frames by name. Frames in memory hold the named columns only, with their row number
        in `ROW`; lazy frames hold all of theirs.

    Raises:
        DataError: Columns missing, dates that are no dates, ids of different types: all at once.

    Examples:
        >>> import pandas
        >>> visits = pandas.DataFrame({"patient_id": ["a"], "visit_date": ["2024-01-01"]})
        >>> open_tables({"visits": visits}, ids="patient_id", dates={"visits": ["visit_date"]})
        Traceback (most recent call last):
        ...
        loyalty_research.errors.DataError: 1 fault in the data:
          visits: column visit_date is String, not a date; parse it to dates first
    """
    given = {name: frame for name, frame in tables.items() if frame is not None}
    other = more or {}
    keys = {name: ids if isinstance(ids, str) else ids[name] for name in given}
    needed = {
        name: list(dict.fromkeys([keys[name], *dates.get(name, ()), *other.get(name, ())]))
        for name in given
    }
    raise_faults(
        fault
        for name, frame in given.items()
        for fault in missing_columns(frame, needed[name], table=name)
    )
    lent = lend(given, columns=needed, dates=dates)
    raise_faults([*type_faults(lent, dates), *_id_faults(lent, keys)])
    return lent


def type_faults(
    lent: Mapping[str, nw.LazyFrame], dates: Mapping[str, Sequence[str]]
) -> list[Fault]:
    """Return one fault for each column that should hold dates but does not.

    Args:
        lent: Lazy frames by name.
        dates: For each table the columns that must be dates.

    Returns:
        The faults, none if all are dates.

    Examples:
        >>> import duckdb
        >>> visits = nw.from_native(duckdb.sql("SELECT 2024 AS visit_date"))
        >>> [fault.message for fault in type_faults({"visits": visits}, {"visits": ["visit_date"]})]
        ['column visit_date is Int32, not a date']
    """
    faults = []
    for table, frame in lent.items():
        schema = frame.collect_schema()
        for column in dates.get(table, ()):
            if not isinstance(schema[column], nw.Date | nw.Datetime):
                message = f"column {column} is {schema[column]}, not a date"
                faults.append(Fault(table, column, 0, message, "parse it to dates first"))
    return faults


def _id_faults(lent: Mapping[str, nw.LazyFrame], ids: Mapping[str, str]) -> list[Fault]:
    # An engine that compares text with numbers converts one of them, and quotes it when it cannot.
    first: dict[str, tuple[str, str]] = {}
    faults = []
    for table, frame in lent.items():
        column = ids[table]
        kind = "a number" if frame.collect_schema()[column].is_numeric() else "text"
        other, expected = first.setdefault(column, (table, kind))
        if kind != expected:
            words = f"{column} is {kind} but {expected} in {other}"
            repair = "give patients the same type of identifier in every table"
            faults.append(Fault(table, column, 0, words, repair))
    return faults


def value_faults(
    frame: nw.LazyFrame,
    checks: Sequence[Check],
    *,
    table: str,
    unique: str | None = None,
    may_be_empty: bool = False,
) -> list[Fault]:
    """Return the faults in a table's values, all counted in one pass.

    Args:
        frame: The table.
        checks: Conditions that no row may meet.
        table: The table's name, for the messages.
        unique: A column in which no value may occur twice.
        may_be_empty: A table without rows is no fault.

    Returns:
        One fault for each condition that some row meets; no value is ever quoted.

    Examples:
        >>> import duckdb
        >>> visits = nw.from_native(duckdb.sql("SELECT * FROM (VALUES (5), (-1)) AS v(fee)"))
        >>> negative = Check("fee", nw.col("fee") < 0, "is negative", "correct it")
        >>> print(value_faults(visits, [negative], table="visits")[0])
        visits: fee is negative in 1 of 2 rows; correct it
    """
    counts = [
        check.broken.cast(nw.Int64).sum().alias(f"broken_{i}") for i, check in enumerate(checks)
    ]
    if unique is not None:
        counts.append(nw.col(unique).n_unique().alias("unique"))
    found = collect(frame.select(nw.len().alias("rows"), *counts)).to_pylist()[0]
    rows = int(found["rows"])
    if rows == 0:
        empty = Fault(table, "", 0, "the table has no rows", "check the source or the selection")
        return [] if may_be_empty else [empty]
    faults = []
    for i, check in enumerate(checks):
        count = int(found[f"broken_{i}"] or 0)
        if count:
            message = f"{check.column} {check.message} in {count:,} of {rows:,} rows"
            faults.append(Fault(table, check.column, count, message, check.repair))
    if unique is not None and found["unique"] != rows:
        extra = rows - int(found["unique"])
        message = f"{unique} occurs more than once, in {extra:,} of {rows:,} rows too many"
        faults.append(Fault(table, unique, extra, message, "keep one row a patient"))
    return faults


def is_missing(column: str, *, repair: str) -> Check:
    """Return the check that a column is filled in every row.

    Args:
        column: The column's name.
        repair: What to do about a missing value.

    Returns:
        The check.

    Examples:
        >>> import duckdb
        >>> visits = nw.from_native(duckdb.sql("SELECT NULL::DATE AS visit_date"))
        >>> check = is_missing("visit_date", repair="date it")
        >>> print(value_faults(visits, [check], table="visits")[0])
        visits: visit_date is missing in 1 of 1 rows; date it
    """
    return Check(column, nw.col(column).is_null(), "is missing", repair)


def raise_faults(faults: Iterable[Fault]) -> None:
    """Raise one error with all faults, if there are any.

    Args:
        faults: What was found.

    Raises:
        DataError: At least one fault was found.

    Examples:
        >>> raise_faults([])
    """
    faults = list(faults)
    if faults:
        raise DataError(faults)
