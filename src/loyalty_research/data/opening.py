"""From a path, or frames in hand, to mapped tables in one engine: nothing is judged here."""

from __future__ import annotations

import weakref
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from loyalty_research.data.arguments import suggest
from loyalty_research.data.casting import cast, integer_domains
from loyalty_research.data.contract import CONTRACT
from loyalty_research.data.scratch import make_scratch, remove_scratch
from loyalty_research.data.settings import (
    SETTINGS_FILE,
    StudySettings,
    merge_settings,
    parse_settings,
    read_settings,
    read_toml,
)
from loyalty_research.data.sources import (
    DATABASE_ENDINGS,
    Source,
    SourceColumn,
    attach,
    locate_files,
    match_columns,
    misspelt_tables,
    open_files,
    open_frame,
    tables_of,
)
from loyalty_research.data.sql import text
from loyalty_research.data.validation import Finding, Mapped, structural
from loyalty_research.errors import DataError, Fault, UsageError


@dataclass(frozen=True)
class Opened:
    """The tables of a study as far as they could be opened, and what could not."""

    settings: StudySettings
    folder: Path | None
    connection: duckdb.DuckDBPyConnection
    scratch: Path
    tables: Mapping[str, Mapped]
    findings: list[Finding]


def open_tables(
    path: str | Path | Mapping[str, Any], mapping: Mapping[str, Any] | str | Path | None
) -> Opened:
    """Return the tables of a study, mapped to the contract, without reading their rows.

    Args:
        path: folder, DuckDB file or mapping of frames, as in `open_study`.
        mapping: settings or the path of a TOML file with them, as in `open_study`.

    Returns:
        The tables that could be opened, and a finding for everything that could not.

    Raises:
        UsageError: There is nothing at that path, or a setting cannot be meant.
    """
    over = mapping if isinstance(mapping, Mapping) else read_toml(mapping) if mapping else {}
    settings, origin = _settings(path, over)
    connection, scratch = _connect(settings)
    sources, findings = _open_sources(connection, origin, settings, scratch)
    tables, unmapped = _map_columns(sources, settings)
    folder = None if isinstance(origin, Mapping) else origin if origin.is_dir() else origin.parent
    return Opened(settings, folder, connection, scratch, tables, [*findings, *unmapped])


def _settings(
    path: str | Path | Mapping[str, Any], over: Mapping[str, Any]
) -> tuple[StudySettings, Path | Mapping[str, Any]]:
    """Return the settings, and the path in its one form: a folder, a DuckDB file, or frames."""
    if isinstance(path, Mapping):
        complaints = misspelt_tables(path)
        if complaints:
            raise UsageError("; ".join(complaints))
        return parse_settings(over), path
    if not isinstance(path, str | Path):
        kind = type(path).__name__
        raise UsageError(f'a {kind} is no study; pass a path, or frames as {{"patients": ...}}')
    path = Path(path).expanduser()
    if path.name == SETTINGS_FILE:
        path = path.parent
    if path.is_dir():
        return read_settings(path, mapping=over), path
    if path.is_file() and path.suffix.lower() in DATABASE_ENDINGS:
        return parse_settings(merge_settings({"name": path.stem}, over)), path
    if path.is_file():
        raise UsageError(f'"{path.name}" is neither a folder nor a DuckDB file; name its folder')
    near = _nearby(path) or "; name a folder with the tables, or a DuckDB file"
    raise UsageError(f'there is no study at "{path}"{near}')


def _nearby(path: Path) -> str:
    try:
        return suggest(path.name, [neighbour.name for neighbour in path.parent.iterdir()])
    except OSError:
        return ""


def _connect(settings: StudySettings) -> tuple[duckdb.DuckDBPyConnection, Path]:
    """Return an engine in memory with a private folder for what does not fit."""
    scratch, lock = make_scratch()
    # Extensions are never fetched: a study opens without a network.
    connection = duckdb.connect(
        config={"autoinstall_known_extensions": "false", "temp_directory": str(scratch)}
    )
    # In Jupyter the setting may be touched only where ipywidgets is there to draw the bar.
    if connection.sql("SELECT current_setting('enable_progress_bar')").fetchall() == [(True,)]:
        connection.execute("SET enable_progress_bar = false")
    connection.execute(f"SET TimeZone = {text(settings.time_zone)}")
    # Relations keep their connection alive, so copies stay for as long as anyone can read them.
    weakref.finalize(connection, remove_scratch, scratch, lock)
    return connection, scratch


def _open_sources(
    connection: duckdb.DuckDBPyConnection,
    origin: Path | Mapping[str, Any],
    settings: StudySettings,
    scratch: Path,
) -> tuple[dict[str, Source], list[Finding]]:
    sources, findings = {}, []
    for name in CONTRACT:
        try:
            source = _open_source(connection, origin, name, settings, scratch)
        except DataError as error:
            findings += [structural(fault) for fault in error.faults]
            continue
        except (OSError, EOFError, zlib.error):
            # Not allowed to read, or a compressed file that breaks off.
            findings.append(structural(_unreadable(name)))
            continue
        if source:
            sources[name] = source
        elif CONTRACT[name].required:
            findings.append(structural(_missing_table(name)))
    return sources, findings


def _open_source(
    connection: duckdb.DuckDBPyConnection,
    origin: Path | Mapping[str, Any],
    name: str,
    settings: StudySettings,
    scratch: Path,
) -> Source | None:
    own = settings.of(name)
    if isinstance(origin, Mapping):
        return open_frame(connection, name, origin[name]) if name in origin else None
    if origin.is_dir():
        files = locate_files(origin, name, own)
        return open_files(connection, name, files, own, scratch=scratch) if files else None
    held = tables_of(connection, attach(connection, origin, table=name))
    if own.table is None and name not in held:
        return None
    own = own.model_copy(update={"format": "duckdb"})
    return open_files(connection, name, (origin,), own, scratch=scratch)


def _unreadable(name: str) -> Fault:
    repair = "check its permissions, or export it again"
    return Fault(name, "", 1, "a file of the table cannot be read", repair)


def _missing_table(name: str) -> Fault:
    repair = f"name its file under [tables.{name}] in study.toml"
    return Fault(name, "", 1, "the table is missing", repair)


def _map_columns(
    sources: Mapping[str, Source], settings: StudySettings
) -> tuple[dict[str, Mapped], list[Finding]]:
    """Return the tables with the expressions of their columns."""
    matched: dict[str, dict[str, SourceColumn]] = {}
    faults: list[Fault] = []
    for name, source in sources.items():
        matched[name], missing = match_columns(source, settings.of(name))
        faults += missing
    coded = {f"{name}.{column}" for name in matched for column in settings.of(name).codes}
    integer_ids = integer_domains(matched, coded)
    tables = {}
    for name, columns in matched.items():
        tables[name], impossible = _map_table(sources[name], columns, settings, integer_ids)
        faults += impossible
    return tables, [structural(fault) for fault in faults]


def _map_table(
    source: Source,
    columns: Mapping[str, SourceColumn],
    settings: StudySettings,
    integer_ids: frozenset[str],
) -> tuple[Mapped, list[Fault]]:
    own, zone = settings.of(source.table), settings.time_zone
    casts, faults = {}, []
    for name, column in columns.items():
        made = cast(
            name, column, own, table=source.table, time_zone=zone, integer_ids=integer_ids
        )  # fmt: skip
        if made.possible:
            casts[name] = made
        else:
            faults.append(_wrong_type(source.table, name, column.type))
    return Mapped(source, casts), faults


def _wrong_type(table: str, column: str, kind: str) -> Fault:
    message = f"{column} is of type {kind.split('(')[0]}, which holds no single value"
    return Fault(table, column, 1, message, "give one plain value a row")
