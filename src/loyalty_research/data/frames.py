"""Tables of any engine, read through one door and given back as the kind they came in.

Frames in memory (pandas, Polars, Arrow) are lent to DuckDB for the work, lazy frames (DuckDB
relations, lazy Polars, Spark) stay in their own engine, so that one code path with one meaning of
"missing" serves them all.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import duckdb
import narwhals.stable.v2 as nw
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from loyalty_research.errors import DataError, Fault, UsageError

ROW = "__row"
"""Position of a row of a frame in memory, by which derived columns find their way back."""

REPAIR_ID = "give every row the patient it belongs to, or drop it in the source"
REPAIR_DATE = "give every row a date, or drop it in the source"


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


def column_names(frame: Any, *, table: str = "data") -> list[str]:
    """Return the names of a frame's columns, whatever engine it lives in.

    Args:
        frame: pandas, Polars, Arrow, DuckDB relation, Spark.
        table: The table's name, for the message.

    Returns:
        The names in order.

    Raises:
        UsageError: It is not a table.

    Examples:
        >>> import pandas
        >>> column_names(pandas.DataFrame({"patient_id": [1]}))
        ['patient_id']
    """
    return _narwhals(frame, table).collect_schema().names()


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
            near = difflib.get_close_matches(column, there, n=1)
            repair = (
                f"did you mean {near[0]}?" if near else "add it or name the column that holds it"
            )
            faults.append(Fault(table, column, 0, f"column {column} is missing", repair))
    return faults


def open_tables(
    tables: Mapping[str, Any],
    *,
    ids: str,
    dates: Mapping[str, Sequence[str]],
    more: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, nw.LazyFrame]:
    """Return the tables as lazy frames of one engine, their columns and types checked.

    Args:
        tables: Native frames by name; None is skipped.
        ids: The patient's column, which every table must have in the same type.
        dates: For each table the columns that must be dates.
        more: For each table the other columns that it must have.

    Returns:
        Lazy frames by name. Frames in memory hold the named columns only, with their row number
        in `ROW`; lazy frames hold all of theirs.

    Raises:
        DataError: Columns missing, dates that are no dates, ids of different types: all at once.
    """
    given = {name: frame for name, frame in tables.items() if frame is not None}
    other = more or {}
    needed = {
        name: list(dict.fromkeys([ids, *dates.get(name, ()), *other.get(name, ())]))
        for name in given
    }
    raise_faults(
        fault
        for name, frame in given.items()
        for fault in missing_columns(frame, needed[name], table=name)
    )
    lent = lend(given, columns=needed, dates=dates)
    raise_faults([*type_faults(lent, dates), *_id_faults(lent, ids)])
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
    """
    faults = []
    for table, frame in lent.items():
        schema = frame.collect_schema()
        for column in dates.get(table, ()):
            if not isinstance(schema[column], nw.Date | nw.Datetime):
                message = f"column {column} is {schema[column]}, not a date"
                faults.append(Fault(table, column, 0, message, "parse it to dates first"))
    return faults


def _id_faults(lent: Mapping[str, nw.LazyFrame], ids: str) -> list[Fault]:
    # An engine that compares text with numbers converts one of them, and quotes it when it cannot.
    kinds = {
        table: "a number" if frame.collect_schema()[ids].is_numeric() else "text"
        for table, frame in lent.items()
    }
    (first, kind), *others = kinds.items()
    return [
        Fault(
            table,
            ids,
            0,
            f"{ids} is {other} but {kind} in {first}",
            "give patients the same type of identifier in every table",
        )
        for table, other in others
        if other != kind
    ]


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
    """
    return Check(column, nw.col(column).is_null(), "is missing", repair)


def raise_faults(faults: Iterable[Fault]) -> None:
    """Raise one error with all faults, if there are any.

    Args:
        faults: What was found.

    Raises:
        DataError: At least one fault was found.
    """
    faults = list(faults)
    if faults:
        raise DataError(faults)


# --- lending and giving back ----------------------------------------------------------------------


def lend(
    frames: Mapping[str, Any],
    *,
    columns: Mapping[str, Sequence[str]] | None = None,
    dates: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, nw.LazyFrame]:
    """Return frames as lazy frames that live in one engine and can be joined.

    Args:
        frames: Native frames by name.
        columns: For each frame in memory the columns to lend; all that can be, if not named.
        dates: For each frame the date columns, so that one without any value is still a date.

    Returns:
        Lazy frames by name; frames in memory carry their row number in `ROW`.

    Raises:
        UsageError: Lazy frames of different engines.
    """
    wrapped = {name: _narwhals(frame, name) for name, frame in frames.items()}
    lazy = {name: frame for name, frame in wrapped.items() if isinstance(frame, nw.LazyFrame)}
    engines = {frame.implementation for frame in lazy.values()}
    if len(engines) > 1:
        names = ", ".join(lazy)
        raise UsageError(f"{names} live in different engines; bring them into one of them")
    host = next(iter(lazy.values()), None)
    here = nw.from_native(duckdb.connect().sql("SELECT 1")) if host is None else host
    lent = {}
    for name, frame in wrapped.items():
        if isinstance(frame, nw.LazyFrame):
            lent[name] = frame
        else:
            chosen = None if columns is None else columns.get(name)
            table = _as_arrow(frame, chosen, (dates or {}).get(name, ()), name)
            lent[name] = _move(table, here)
    return lent


def _narwhals(frame: Any, table: str) -> Any:
    try:
        return nw.from_native(frame)
    except TypeError:
        kind = type(frame).__name__
        message = f"{table} must be a table (pandas, Polars, Arrow, DuckDB or Spark), not {kind}"
        raise UsageError(message) from None


def _as_arrow(
    frame: nw.DataFrame[Any], columns: Sequence[str] | None, dates: Sequence[str], table: str
) -> pa.Table:
    arrays, faults = {}, []
    for column in frame.columns if columns is None else columns:
        try:
            values = frame.get_column(column).to_frame().to_arrow().column(0)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
            # Arrow's own message quotes the value that does not fit.
            message = f"column {column} holds values of more than one type"
            faults.append(Fault(table, column, 0, message, "give all its values one type"))
            continue
        arrays[column] = _plain(values, column in dates)
    if columns is not None:
        raise_faults(faults)
    arrays[ROW] = pa.chunked_array([pa.array(np.arange(len(frame)))])
    return pa.table(arrays)


def _plain(values: pa.ChunkedArray, is_date: bool) -> pa.ChunkedArray:
    """Return a column free of dictionaries, time zones, and types that say nothing."""
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if pa.types.is_timestamp(values.type) and values.type.tz is not None:
        # The day of a visit is the day on the clinic's wall, not in Greenwich.
        values = pc.local_timestamp(values)
    if is_date and values.null_count == len(values):
        values = pa.chunked_array([pa.nulls(len(values), pa.date32())])
    return values


def _move(loyalty_lent: pa.Table, host: nw.LazyFrame) -> nw.LazyFrame:
    if host.implementation is nw.Implementation.DUCKDB:
        # A relation made by another's `query` shares its connection and can be joined to it; the
        # engine finds the Arrow table by the name of this function's argument.
        return nw.from_native(host.to_native().query("_host", "SELECT * FROM loyalty_lent"))
    if host.implementation is nw.Implementation.POLARS:
        return nw.from_arrow(loyalty_lent, backend=host.implementation).lazy()
    raise UsageError("bring the tables in memory into the engine of the others first")


def collect(frame: nw.LazyFrame) -> pa.Table:
    """Run the engine and return its answer as an Arrow table.

    Args:
        frame: What to compute.

    Returns:
        The rows, in no particular order unless the frame was sorted.
    """
    return frame.collect(backend="pyarrow").to_native()


def give_back(result: nw.LazyFrame, *, like: Any, new: Sequence[str]) -> Any:
    """Return a table with derived columns as the kind of frame it was derived from.

    Args:
        result: Rows of the lent table, some perhaps gone, with the new columns.
        like: The native frame that was lent.
        new: The new columns, in order; one that the frame already has is replaced.

    Returns:
        The kind of `like`: its own columns untouched, its order of rows kept if it has one.
    """
    kept = [column for column in column_names(like) if column not in new]
    names = result.collect_schema().names()
    if ROW not in names:
        return result.select(*kept, *new).to_native()
    table = collect(result.select(ROW, *new).sort(ROW))
    rows = table.column(ROW).to_numpy()
    table = table.drop_columns([ROW])
    if nw.dependencies.is_pandas_dataframe(like):
        added = to_pandas(table)
        columns = {name: added[name].array for name in new}
        return like.iloc[rows].drop(columns=[c for c in new if c in like.columns]).assign(**columns)
    original = nw.from_native(like, eager_only=True)
    own = original[rows].select(*kept) if kept else original[rows]
    if not new:
        return own.to_native()
    added = nw.from_arrow(table, backend=original.implementation)
    return nw.concat([own, added], how="horizontal").to_native()


def give_new(result: nw.LazyFrame, *, like: Any, key: str) -> Any:
    """Return a new table, one row a key, as the kind of frame it was derived from.

    Args:
        result: The new table.
        like: A native frame it was derived from.
        key: The column that names a row; frames in memory are sorted by it and keep its type.

    Returns:
        The kind of `like`.
    """
    wrapped = nw.from_native(like)
    if isinstance(wrapped, nw.LazyFrame):
        return result.to_native()
    table = collect(result.sort(key))
    if nw.dependencies.is_pandas_dataframe(like):
        frame = to_pandas(table)
        return frame.astype({key: like[key].dtype})
    return nw.from_arrow(table, backend=wrapped.implementation).to_native()


def to_pandas(table: pa.Table) -> Any:
    """Return an Arrow table as pandas, its days as `datetime64[ns]`.

    Args:
        table: The rows.

    Returns:
        A pandas frame with a plain index.
    """
    return table.to_pandas(date_as_object=False, coerce_temporal_nanoseconds=True)
