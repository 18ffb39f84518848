"""Where a table's rows come from: files, a DuckDB file or a frame, as one readable source.

Nothing here looks at values: a source knows its columns with their types and the SQL to read it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import duckdb
import narwhals.stable.v2 as nw
import pandas as pd
import pyarrow as pa

from loyalty_research.data.arguments import suggest
from loyalty_research.data.contract import CONTRACT
from loyalty_research.data.csv_files import csv_reader, csv_suffix
from loyalty_research.data.settings import TableSettings
from loyalty_research.data.sql import identifier, text
from loyalty_research.errors import DataError, Fault, UsageError

Kind = Literal["csv", "parquet", "duckdb", "frame"]
DATABASE_ENDINGS = (".duckdb", ".db", ".ddb")
_PARQUET_ENDINGS = (".parquet", ".pq")


@dataclass(frozen=True)
class SourceColumn:
    """One column of a source: its name there, its name in SQL, and its DuckDB type."""

    name: str
    sql: str
    type: str


@dataclass(frozen=True)
class Source:
    """The rows of one table before any mapping.

    `reader` is what follows FROM. The last bracket of a CSV reader is left open for more options,
    because checking it must step over broken lines where reading it must not.
    """

    table: str
    kind: Kind
    reader: str
    columns: tuple[SourceColumn, ...]
    files: tuple[Path, ...] = ()
    # What is read: a copy in UTF-8 where the file itself is in another encoding.
    paths: tuple[Path, ...] = ()

    @property
    def sql(self) -> str:
        """What follows FROM to read every row, or fail."""
        return self.reader + ")" if self.kind == "csv" else self.reader

    def sql_with(self, options: str) -> str:
        """What follows FROM to read with more options of DuckDB's CSV reader."""
        return f"{self.reader}, {options})" if self.kind == "csv" else self.reader


def locate_files(folder: Path, table: str, settings: TableSettings) -> tuple[Path, ...]:
    """Return the files of one table in a fixed order; none when an optional table is not there.

    Args:
        folder: the study's folder; relative names start here.
        table: name of the table in the contract.
        settings: the table's settings.

    Returns:
        Paths of the existing files, sorted.

    Raises:
        DataError: The settings name files that are not there.

    Examples:
        >>> locate_files(Path("no-such-folder"), "visits", TableSettings())
        ()
    """
    if settings.files:
        found = _glob(folder, settings.files)
        return found or _not_there(table, settings.files, "files")
    if settings.file:
        path = folder / settings.file
        found = _inside(path, settings) if path.is_dir() else (path,) if path.is_file() else ()
        return found or _not_there(table, settings.file, "file")
    for candidate in (folder / f"{table}{ending}" for ending in (*_PARQUET_ENDINGS, ".csv")):
        if candidate.is_file():
            return (candidate,)
    return _inside(folder / table, settings) if (folder / table).is_dir() else ()


def _glob(folder: Path, pattern: str) -> tuple[Path, ...]:
    root, wanted = folder, Path(pattern)
    if wanted.is_absolute():
        root, wanted = Path(wanted.anchor), wanted.relative_to(wanted.anchor)
    return tuple(sorted(path for path in root.glob(str(wanted)) if path.is_file()))


def _inside(folder: Path, settings: TableSettings) -> tuple[Path, ...]:
    """Return the files below a folder that are of one kind, Parquet first."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    parquet = [path for path in files if path.suffix.lower() in _PARQUET_ENDINGS]
    csv = [path for path in files if csv_suffix(path)]
    return tuple(parquet if parquet and settings.format != "csv" else csv)


def _not_there(table: str, wanted: str, key: str) -> tuple[Path, ...]:
    message = f'the {key} "{wanted}" cannot be found in the study folder'
    repair = f"correct {key} under [tables.{table}] in study.toml, or put it there"
    raise DataError([Fault(table, "", 1, message, repair)])


def open_files(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    files: tuple[Path, ...],
    settings: TableSettings,
    *,
    scratch: Path,
) -> Source:
    """Return a source over CSV or Parquet files, or over a table of a DuckDB file.

    Args:
        connection: where the source will be read.
        table: name of the table in the contract.
        files: the files, at least one.
        settings: the table's settings with the study's filled in.
        scratch: private folder for transcoded copies of files that are not UTF-8.

    Returns:
        The source; no row has been read.

    Raises:
        DataError: A file is damaged, differs from its siblings, or is not in the stated encoding.
    """
    kind = settings.format or _kind_of(files[0])
    if kind == "csv":
        reader, names, paths = csv_reader(table, files, settings, scratch=scratch)
        columns = tuple(SourceColumn(name, f"c{i}", "VARCHAR") for i, name in enumerate(names))
        return Source(table, "csv", reader, columns, files, paths)
    if kind == "duckdb":
        return _open_database(connection, table, files, settings)
    parquet = ", ".join(text(escape_glob(path)) for path in files)
    reader = f"read_parquet([{parquet}], union_by_name=true, binary_as_string=true)"
    what = "is not a readable Parquet file" if len(files) == 1 else "are not Parquet files alike"
    columns = _described(connection, reader, _unreadable(table, files, what))
    return Source(table, "parquet", reader, columns, files, files)


def _kind_of(path: Path) -> Literal["csv", "parquet", "duckdb"]:
    ending = path.suffix.lower()
    return (
        "parquet"
        if ending in _PARQUET_ENDINGS
        else "duckdb"
        if ending in DATABASE_ENDINGS
        else "csv"
    )


def escape_glob(path: Path) -> str:
    """Return a path in which DuckDB sees no wildcard.

    Args:
        path: path of an existing file.

    Returns:
        The absolute path with `*`, `?` and `[` in brackets.

    Examples:
        >>> escape_glob(Path("/data/visits [2024].csv"))
        '/data/visits [[]2024].csv'
    """
    return re.sub(r"([*?\[])", r"[\1]", str(path.absolute()))


def _open_database(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    files: tuple[Path, ...],
    settings: TableSettings,
) -> Source:
    catalog = attach(connection, files[0], table=table)
    parts = [identifier(part) for part in (settings.table or table).split(".")]
    reader = ".".join([catalog, *(parts if len(parts) > 1 else ["main", *parts])])
    fault = Fault(
        table,
        "",
        1,
        f'the DuckDB file has no table "{settings.table or table}"',
        f"name it by table = under [tables.{table}] in study.toml",
    )
    return Source(table, "duckdb", reader, _described(connection, reader, fault), files)


def attach(connection: duckdb.DuckDBPyConnection, path: Path, *, table: str) -> str:
    """Attach a DuckDB file for reading only, once a connection.

    Args:
        connection: where to attach it.
        path: the DuckDB file.
        table: which table a fault is reported for.

    Returns:
        The SQL name of the attached catalogue.

    Raises:
        DataError: The file is damaged, or another program has it open for writing.
    """
    attached = connection.execute("SELECT path, database_name FROM duckdb_databases()").fetchall()
    names = {Path(where).resolve(): name for where, name in attached if where}
    if path.resolve() in names:
        return identifier(names[path.resolve()])
    catalog = identifier(f"file_{len(attached)}")
    try:
        connection.execute(f"ATTACH {text(str(path.absolute()))} AS {catalog} (READ_ONLY)")
    except duckdb.Error:
        repair = "close programs that write to it, or export it again"
        message = f'the DuckDB file "{path.name}" cannot be opened for reading'
        raise DataError([Fault(table, "", 1, message, repair)]) from None
    return catalog


def tables_of(connection: duckdb.DuckDBPyConnection, catalog: str) -> set[str]:
    """Return the names of the tables in the main schema of an attached DuckDB file.

    Args:
        connection: where the file is attached.
        catalog: SQL name of the attached catalogue.

    Returns:
        Names of its tables, views included.
    """
    query = "SELECT table_name FROM information_schema.tables WHERE table_catalog = ?"
    return {name for (name,) in connection.execute(query, [catalog.strip('"')]).fetchall()}


def open_frame(connection: duckdb.DuckDBPyConnection, table: str, frame: Any) -> Source:
    """Return a source over a frame in hand.

    Args:
        connection: where the source will be read.
        table: name of the table in the contract.
        frame: pandas, Polars, Arrow or any other frame that narwhals knows.

    Returns:
        The source; the frame itself is never changed.

    Raises:
        DataError: A column mixes types, so that it has no type at all.
        UsageError: The object is not a frame.
    """
    name = f"frame_{table}"
    connection.register(name, _as_arrow(table, frame))
    fault = Fault(table, "", 1, "the frame has columns of unknown type", "give them plain types")
    return Source(table, "frame", name, _described(connection, name, fault))


def _as_arrow(table: str, frame: Any) -> pa.Table:
    if isinstance(frame, pd.DataFrame):
        return _from_pandas(table, frame)
    try:
        return nw.from_native(frame).lazy().collect("pyarrow").to_native()
    except TypeError:
        kind = type(frame).__name__
        raise UsageError(
            f"{table}: a {kind} is not a frame; pass pandas, Polars or Arrow"
        ) from None


def _from_pandas(table: str, frame: pd.DataFrame) -> pa.Table:
    columns, faults = {}, []
    for position, label in enumerate(frame.columns):
        try:
            columns[str(label)] = pa.Array.from_pandas(frame.iloc[:, position])
        except pa.ArrowException:
            # Arrow's own message quotes the first value that does not fit.
            message = f"{label} mixes values of several types in {len(frame):,} rows"
            faults.append(Fault(table, str(label), len(frame), message, "give it one type"))
    if len(columns) + len(faults) < frame.shape[1]:
        faults.append(Fault(table, "", 1, "two columns have the same name", "rename one"))
    if faults:
        raise DataError(faults)
    return pa.table(columns)


def _described(
    connection: duckdb.DuckDBPyConnection, reader: str, fault: Fault
) -> tuple[SourceColumn, ...]:
    try:
        rows = connection.execute(f"DESCRIBE SELECT * FROM {reader}").fetchall()
    except duckdb.Error:
        raise DataError([fault]) from None
    return tuple(SourceColumn(name, identifier(name), kind) for name, kind, *_ in rows)


def _unreadable(table: str, files: tuple[Path, ...], what: str) -> Fault:
    names = f'"{files[0].name}"' if len(files) == 1 else f"{len(files):,} files"
    return Fault(table, "", len(files), f"{names} {what}", "export the table again")


def match_columns(
    source: Source, settings: TableSettings
) -> tuple[dict[str, SourceColumn], list[Fault]]:
    """Return which column of the source serves each column of the contract, or of `extra`.

    A column is found by the name the settings state, else by the contract's own name, upper or
    lower case. Stated as "", the study has no such column. Every further column of the source is
    kept under its own name, but for one that carries the name of a column that is mapped, or
    switched off: it is left out, because the contract's name would then mean something else.

    Args:
        source: the table's source.
        settings: the table's settings.

    Returns:
        Name in the study -> column of the source, in the contract's order with the extra columns
        last; and the faults of columns that should be there.
    """
    exact = {column.name: column for column in source.columns}
    folded = {column.name.casefold(): column for column in source.columns}
    matched, faults = {}, []
    for column in CONTRACT[source.table].columns:
        stated = settings.columns.get(column.name)
        if stated == "":
            continue
        found = exact.get(stated) if stated else exact.get(column.name) or folded.get(column.name)
        if found:
            matched[column.name] = found
        elif stated or column.required:
            faults.append(_missing_column(source.table, column.name, stated))
    used = {column.sql for column in matched.values()}
    # A source column that carries the name of a mapped column would hide it, so the mapping wins.
    taken = {name.casefold() for name in (*matched, *settings.columns)}
    rest = {
        c.name: c for c in source.columns if c.sql not in used and c.name.casefold() not in taken
    }
    absent = [name for name in settings.extra if name not in rest]
    faults += [_missing_column(source.table, name, name) for name in absent]
    return {**matched, **rest}, faults


def _missing_column(table: str, column: str, stated: str | None) -> Fault:
    if stated and stated != column:
        message = f'the column "{stated}", named as {column}, is not in the source'
        return Fault(table, column, 1, message, f"correct columns.{column} in [tables.{table}]")
    message = f"the column {column} is missing"
    repair = f'add it, or name it by columns = {{{column} = "..."}} in [tables.{table}]'
    return Fault(table, column, 1, message, repair)


def misspelt_tables(names: Iterable[str]) -> list[str]:
    """Return one complaint for each name that is no table of the contract.

    Args:
        names: names of tables.

    Returns:
        Sentences for an error.

    Examples:
        >>> misspelt_tables(["visits", "patient"])
        ['"patient" is not a table of the contract; did you mean "patients"?']
    """
    return [
        f'"{name}" is not a table of the contract{suggest(name, CONTRACT)}'
        for name in names
        if name not in CONTRACT
    ]
