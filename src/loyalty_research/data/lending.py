"""Frames of any engine lent to one, with what was derived given back as the kind that came in.

Frames in memory (pandas, Polars, Arrow) are lent to DuckDB for the work, lazy frames (DuckDB
relations, lazy Polars, Spark) stay in their own engine, so that one code path with one meaning of
"missing" serves them all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
import narwhals.stable.v2 as nw
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from loyalty_research.errors import DataError, Fault, UsageError

ROW = "__row"
"""Position of a row of a frame in memory, by which derived columns find their way back."""


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

    Examples:
        >>> import pandas
        >>> visits, cohort = pandas.DataFrame({"id": [1, 2]}), pandas.DataFrame({"id": [2]})
        >>> lent = lend({"visits": visits, "cohort": cohort})
        >>> joined = lent["visits"].join(lent["cohort"], on="id", how="inner")
        >>> collect(joined.select("id")).to_pylist()
        [{'id': 2}]
    """
    wrapped = {name: _narwhals(frame, name) for name, frame in frames.items()}
    lazy = {name: frame for name, frame in wrapped.items() if isinstance(frame, nw.LazyFrame)}
    engines = {frame.implementation for frame in lazy.values()}
    if len(engines) > 1:
        names = ", ".join(lazy)
        raise UsageError(f"{names} live in different engines; bring them into one of them")
    host = next(iter(lazy.values()), None)
    connection = duckdb.connect() if host is None else None
    lent = dict(lazy)
    for position, name in enumerate(wrapped.keys() - lazy.keys()):
        chosen = None if columns is None else columns.get(name)
        table = _as_arrow(wrapped[name], chosen, (dates or {}).get(name, ()), name)
        lent[name] = _move(table, host) if host is not None else _copy(table, connection, position)
    return {name: lent[name] for name in wrapped}


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
    if faults and columns is not None:
        raise DataError(faults)
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


def _copy(loyalty_lent: pa.Table, connection: Any, position: int) -> nw.LazyFrame:
    # The copy takes a hundredth of the work that follows, which scans it faster than Arrow.
    connection.execute(f"CREATE TABLE lent_{position} AS SELECT * FROM loyalty_lent")
    return nw.from_native(connection.table(f"lent_{position}"))


def _move(loyalty_lent: pa.Table, host: Any) -> nw.LazyFrame:
    if host.implementation is nw.Implementation.DUCKDB:
        # A relation made by another's `query` shares its connection and can be joined to it; the
        # engine finds the Arrow table by the name of this function's argument.
        return nw.from_native(host.to_native().query("_host", "SELECT * FROM loyalty_lent"))
    if host.implementation is nw.Implementation.POLARS:
        return nw.from_arrow(loyalty_lent, backend=host.implementation).lazy()
    raise UsageError("bring the tables in memory into the engine of the others first")


def distinct(frame: nw.LazyFrame, *columns: str | nw.Expr) -> nw.LazyFrame:
    """Return the distinct combinations of columns, by grouping.

    `unique` numbers the rows of every combination on SQL engines, which takes twice as long.

    Args:
        frame: The rows.
        *columns: Names or expressions.

    Returns:
        One row a combination.

    Examples:
        >>> visits = nw.from_native(duckdb.sql("SELECT * FROM (VALUES ('a'), ('a')) AS v(id)"))
        >>> collect(distinct(visits, "id")).to_pylist()
        [{'id': 'a'}]
    """
    chosen = frame.select(*columns)
    names = chosen.collect_schema().names()
    return group_rows(chosen, *names).agg(nw.len().alias("__n")).select(*names)


class Grouped:
    """Rows grouped by copies of columns, whose names the result bears again.

    Args:
        rows: The rows with the copies.
        keys: Names of the copies, and what they are called in the result.
        others: Keys that are expressions.
    """

    def __init__(self, rows: nw.LazyFrame, keys: Mapping[str, str], others: Sequence[nw.Expr]):
        self._rows, self._keys, self._others = rows, keys, others

    def agg(self, *sums: nw.Expr, **named: nw.Expr) -> nw.LazyFrame:
        """Return one row a group.

        Args:
            *sums: What to compute of each.
            **named: The same, by name.

        Returns:
            The keys and what was computed.
        """
        found = self._rows.group_by(*self._keys, *self._others).agg(*sums, **named)
        odd = {copy: name for copy, name in self._keys.items() if copy != name}
        return found.rename(odd) if odd else found


def group_rows(frame: nw.LazyFrame, *keys: str | nw.Expr) -> Grouped:
    """Group rows by columns of any name.

    DuckDB takes a dot in the name of a key as the end of a table's name.

    Args:
        frame: The rows.
        *keys: Names of columns, then expressions.

    Returns:
        What has a method `agg`, as `LazyFrame.group_by` returns it.

    Examples:
        >>> rows = nw.from_native(duckdb.sql('SELECT 1 AS "ph.ecog"'))
        >>> collect(group_rows(rows, "ph.ecog").agg(nw.len().alias("n"))).to_pylist()
        [{'ph.ecog': 1, 'n': 1}]
    """
    names = [key for key in keys if isinstance(key, str)]
    others = [key for key in keys if not isinstance(key, str)]
    copies = {f"__key_{k}" if "." in name else name: name for k, name in enumerate(names)}
    odd = [nw.col(name).alias(copy) for copy, name in copies.items() if copy != name]
    return Grouped(frame.with_columns(*odd) if odd else frame, copies, others)


def collect(frame: nw.LazyFrame) -> pa.Table:
    """Run the engine and return its answer as an Arrow table.

    Args:
        frame: What to compute.

    Returns:
        The rows, in no particular order unless the frame was sorted.

    Examples:
        >>> collect(nw.from_native(duckdb.sql("SELECT 1 AS n"))).to_pylist()
        [{'n': 1}]
    """
    return frame.collect(backend="pyarrow").to_native()


def hold(frame: nw.LazyFrame) -> nw.LazyFrame:
    """Return a lazy frame that holds its rows, so that they are not computed again at each use.

    A table with one row a patient is small beside the visits it was made of. Types that do not
    survive the way through Arrow (a UUID becomes text) are left to be computed again.

    Args:
        frame: What to compute.

    Returns:
        The same rows in the same engine; in an engine other than DuckDB or Polars, `frame`.

    Examples:
        >>> held = hold(nw.from_native(duckdb.sql("SELECT 1 AS n")))
        >>> held.to_native().fetchall()
        [(1,)]
    """
    simple = nw.String | nw.Boolean | nw.Date | nw.Datetime | nw.Enum | nw.Categorical
    types = frame.collect_schema().dtypes()
    if not all(isinstance(dtype, simple) or dtype.is_numeric() for dtype in types):
        return frame
    if frame.implementation is nw.Implementation.POLARS:
        return frame.collect().lazy()
    if frame.implementation is nw.Implementation.DUCKDB:
        return _move(collect(frame), frame)
    return frame


def give_back(result: nw.LazyFrame, *, like: Any, new: Sequence[str], held: bool = False) -> Any:
    """Return a table with derived columns as the kind of frame it was derived from.

    Args:
        result: Rows of the lent table, some perhaps gone, with the new columns.
        like: The native frame that was lent.
        new: The new columns, in order; one that the frame already has is replaced.
        held: Compute a lazy frame now, because it is small and dear to compute again.

    Returns:
        The kind of `like`: its own columns untouched, its order of rows kept if it has one.

    Examples:
        >>> import pandas
        >>> table = pandas.DataFrame({"n": [1, 2, 3]}, index=["x", "y", "z"])
        >>> lent = lend({"table": table})["table"].filter(nw.col("n") > 1)
        >>> give_back(lent.with_columns(twice=nw.col("n") * 2), like=table, new=["twice"])
           n  twice
        y  2      4
        z  3      6
    """
    kept = [column for column in column_names(like) if column not in new]
    names = result.collect_schema().names()
    if ROW not in names:
        chosen = result.select(*kept, *new)
        return (hold(chosen) if held else chosen).to_native()
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

    Examples:
        >>> import pandas
        >>> table = pandas.DataFrame({"id": ["b", "a", "b"]})
        >>> lent = lend({"table": table})["table"]
        >>> give_new(lent.group_by("id").agg(n=nw.len()), like=table, key="id")
          id  n
        0  a  1
        1  b  2
    """
    wrapped = nw.from_native(like)
    if isinstance(wrapped, nw.LazyFrame):
        return hold(result).to_native()
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

    Examples:
        >>> to_pandas(pa.table({"n": [1]}))
           n
        0  1
    """
    return table.to_pandas(date_as_object=False, coerce_temporal_nanoseconds=True)
