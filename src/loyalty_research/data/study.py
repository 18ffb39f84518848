"""A study: validated tables held lazily in DuckDB, with the settings that say what they are."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any

import duckdb
import pandas as pd

from loyalty_research.data.casting import cast, integer_domains
from loyalty_research.data.contract import CONTRACT
from loyalty_research.data.fingerprint import file_digests, fingerprint
from loyalty_research.data.settings import (
    SETTINGS_FILE,
    StudySettings,
    merge_settings,
    parse_settings,
    read_settings,
    read_toml,
    suggest,
)
from loyalty_research.data.sources import (
    DATABASE_ENDINGS,
    Source,
    attach,
    locate_files,
    match_columns,
    misspelt_tables,
    open_files,
    open_frame,
    tables_of,
)
from loyalty_research.data.sql import identifier, text
from loyalty_research.data.validation import (
    Finding,
    Mapped,
    Summary,
    check_tables,
    findings_table,
    structural,
)
from loyalty_research.errors import DataError, Fault, UsageError


@dataclass(frozen=True, repr=False)
class Study:
    """The validated tables of one study.

    Tables are DuckDB relations: nothing is in memory until it is asked for. Close the study, or use
    it in a `with` block, to remove the copies made of files that are not UTF-8.
    """

    settings: StudySettings
    connection: duckdb.DuckDBPyConnection
    checks: pd.DataFrame
    folder: Path | None
    _mapped: Mapping[str, Mapped] = field(repr=False)
    _summaries: Mapping[str, Summary] = field(repr=False)

    @property
    def data_cutoff(self) -> Any:
        """Last day on which a visit would have been recorded (a date)."""
        return self.settings.data_cutoff

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables the study has, in the contract's order."""
        return tuple(self._mapped)

    @property
    def patients(self) -> duckdb.DuckDBPyRelation:
        """One row a patient."""
        return self.table("patients")

    @property
    def visits(self) -> duckdb.DuckDBPyRelation:
        """One row a visit."""
        return self.table("visits")

    def table(self, name: str) -> duckdb.DuckDBPyRelation:
        """Return one table: the contract's columns in their declared types, then the extra columns.

        Args:
            name: name of a table of the contract.

        Returns:
            A lazy relation; a column that is optional and not in the source is absent.

        Raises:
            UsageError: The contract has no such table.
            DataError: The study has no such table.
        """
        if name not in CONTRACT:
            raise UsageError("; ".join(misspelt_tables([name])))
        if name not in self._mapped:
            repair = f"add it, and name its file under [tables.{name}] in study.toml"
            raise DataError([Fault(name, "", 1, "the study has no such table", repair)])
        return self.connection.view(name)

    def has(self, table: str, column: str | None = None) -> bool:
        """Tell whether the study has a table, or a column of it.

        Args:
            table: name of a table.
            column: name of a column of it.

        Returns:
            False as well when the table itself is absent.
        """
        mapped = self._mapped.get(table)
        return mapped is not None and (column is None or column in mapped.casts)

    def facts(self) -> pd.DataFrame:
        """Return size, time span and origin of every table.

        Returns:
            One row a table: table, n_rows, first_date, last_date (of the table's own events;
            missing where rows have no date), files.
        """
        rows = [
            (name, summary.n_rows, summary.first_date, summary.last_date, self._origin(name))
            for name, summary in self._summaries.items()
        ]
        columns = ["table", "n_rows", "first_date", "last_date", "files"]
        facts = pd.DataFrame(rows, columns=columns)
        dates = {column: pd.to_datetime(facts[column]) for column in ("first_date", "last_date")}
        return facts.assign(**dates)

    @cached_property
    def files(self) -> list[dict[str, Any]]:
        """Every input file: path (relative to the study's folder when inside), sha256, bytes."""
        paths = {path: None for mapped in self._mapped.values() for path in mapped.source.files}
        if self.folder and (self.folder / SETTINGS_FILE).is_file():
            paths = {self.folder / SETTINGS_FILE: None, **paths}
        return file_digests(list(paths), folder=self.folder)

    @cached_property
    def fingerprint(self) -> str:
        """A sha256 that changes when the input changes: the files' bytes, or the frames' values."""
        frames = [m.source.sql for m in self._mapped.values() if m.source.kind == "frame"]
        return fingerprint(self.connection, self.files, frames)

    def close(self) -> None:
        """Close the connection and remove temporary copies."""
        self.connection.close()
        for path in {p.parent for m in self._mapped.values() for p in m.source.paths}:
            if path.name.startswith(_SCRATCH_PREFIX):
                shutil.rmtree(path, ignore_errors=True)

    def __enter__(self) -> Study:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name} {s.n_rows:,}" for name, s in self._summaries.items())
        return f"<Study {self.settings.name}, data_cutoff {self.data_cutoff}: {sizes}>"

    def _repr_html_(self) -> str:
        mark = " (SIMULATED)" if self.settings.simulated else ""
        name = self.settings.name.replace("&", "&amp;").replace("<", "&lt;")
        head = f"<p>Study {name}{mark}, data_cutoff {self.data_cutoff}</p>"
        return head + self.facts().to_html(index=False, na_rep="", border=0)

    def _origin(self, table: str) -> str:
        source = self._mapped[table].source
        if len(source.files) > 3:
            return f"{len(source.files):,} files in {source.files[0].parent.name}"
        return "; ".join(path.name for path in source.files) or "frame"


_SCRATCH_PREFIX = "loyalty-"


def open_study(
    path: str | Path | Mapping[str, Any], *, mapping: Mapping[str, Any] | str | Path | None = None
) -> Study:
    """Return a study whose tables keep the contract, or say everything that is wrong with it.

    Args:
        path: folder with CSV or Parquet files and a `study.toml` (without one the files carry the
            names of the contract's tables); a DuckDB file; or a mapping of table names to frames
            (pandas, Polars, Arrow).
        mapping: settings as in `study.toml`, or the path of a TOML file with them; they win over
            those of the folder. Must state `data_cutoff` when the folder does not.

    Returns:
        The study, its tables unread but validated.

    Raises:
        UsageError: There is nothing at that path, or a setting cannot be meant.
        DataError: The data break the contract; the error lists every fault of every table.

    Examples:
        >>> import pandas as pd
        >>> patients = pd.DataFrame({"patient_id": ["a", "b"]})
        >>> visits = pd.DataFrame(
        ...     {"visit_id": [1, 2], "patient_id": ["a", "a"], "visit_date": ["2024-01-05"] * 2}
        ... )
        >>> frames = {"patients": patients, "visits": visits}
        >>> study = open_study(frames, mapping={"data_cutoff": "2024-12-31"})
        >>> study.visits.fetchall()
        [(1, 'a', datetime.date(2024, 1, 5)), (2, 'a', datetime.date(2024, 1, 5))]
        >>> open_study({"patients": patients}, mapping={"data_cutoff": "2024-12-31"})
        Traceback (most recent call last):
        ...
        loyalty_research.errors.DataError: 1 fault in the data:
          visits: the table is missing; name its file under [tables.visits] in study.toml
    """
    study, faults = _inspect(path, mapping)
    if faults:
        study.close()
        raise DataError(faults)
    for name, mapped in study._mapped.items():
        study.connection.execute(f"CREATE VIEW {identifier(name)} AS {mapped.select()}")
    return study


def validate(
    study: Study | str | Path | Mapping[str, Any],
    *,
    mapping: Mapping[str, Any] | str | Path | None = None,
) -> pd.DataFrame:
    """Return every rule of the contract with the number of rows that break it.

    Args:
        study: a study, or what `open_study` takes.
        mapping: as in `open_study`.

    Returns:
        One row a rule: check, statistic (rows that break it), threshold (0), passed, gating,
        message. Faults in the data are rows that did not pass, never an error.

    Raises:
        UsageError: There is nothing at that path, or a setting cannot be meant.

    Examples:
        >>> checks = validate({}, mapping={"data_cutoff": "2024-12-31"})
        >>> checks[["check", "passed"]].values.tolist()
        [['patients: readable', False], ['visits: readable', False]]
    """
    if isinstance(study, Study):
        return study.checks.copy()
    inspected, _ = _inspect(study, mapping)
    inspected.close()
    return inspected.checks


def _inspect(
    path: str | Path | Mapping[str, Any], mapping: Mapping[str, Any] | str | Path | None
) -> tuple[Study, list[Fault]]:
    """Return the study with all its checks made, and the faults found."""
    over = mapping if isinstance(mapping, Mapping) else read_toml(mapping) if mapping else {}
    settings, folder = _settings(path, over)
    scratch = Path(tempfile.mkdtemp(prefix=_SCRATCH_PREFIX))
    connection = _connect(settings, scratch)
    sources, findings = _open_sources(connection, path, settings, folder, scratch)
    mapped, unmapped = _map_columns(sources, settings)
    found, summaries = check_tables(connection, mapped, settings)
    place = {name: position for position, name in enumerate(CONTRACT)}
    findings = sorted([*findings, *unmapped, *found], key=lambda f: place[f.table])
    study = Study(
        settings,
        connection,
        findings_table(findings),
        folder,
        MappingProxyType(mapped),
        MappingProxyType(summaries),
    )
    return study, [finding.fault for finding in findings if finding.fault]


def _settings(
    path: str | Path | Mapping[str, Any], over: Mapping[str, Any]
) -> tuple[StudySettings, Path | None]:
    if isinstance(path, Mapping):
        complaints = misspelt_tables(path)
        if complaints:
            raise UsageError("; ".join(complaints))
        return parse_settings(over), None
    path = Path(path).expanduser()
    if path.name == SETTINGS_FILE:
        path = path.parent
    if path.is_dir():
        return read_settings(path, mapping=over), path
    if path.is_file() and path.suffix.lower() in DATABASE_ENDINGS:
        return parse_settings(merge_settings({"name": path.stem}, over)), path.parent
    if path.is_file():
        raise UsageError(f'"{path.name}" is neither a folder nor a DuckDB file; name its folder')
    raise UsageError(f'there is no study at "{path.name}"{_nearby(path)}')


def _nearby(path: Path) -> str:
    try:
        return suggest(path.name, [p.name for p in path.parent.iterdir()])
    except OSError:
        return ""


def _connect(settings: StudySettings, scratch: Path) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(
        config={"autoinstall_known_extensions": "false", "temp_directory": str(scratch)}
    )
    connection.execute("SET enable_progress_bar = false")
    connection.execute(f"SET TimeZone = {text(settings.time_zone)}")
    # Relations keep their connection alive, so the copies stay for as long as anyone can read them.
    weakref.finalize(connection, shutil.rmtree, str(scratch), ignore_errors=True)
    return connection


def _open_sources(
    connection: duckdb.DuckDBPyConnection,
    path: str | Path | Mapping[str, Any],
    settings: StudySettings,
    folder: Path | None,
    scratch: Path,
) -> tuple[dict[str, Source], list[Finding]]:
    sources, findings = {}, []
    for name in CONTRACT:
        try:
            source = _open_source(connection, path, name, settings, folder, scratch)
        except DataError as error:
            findings += [structural(fault) for fault in error.faults]
        else:
            if source:
                sources[name] = source
            elif CONTRACT[name].required:
                findings.append(structural(_missing_table(name)))
    return sources, findings


def _open_source(
    connection: duckdb.DuckDBPyConnection,
    path: str | Path | Mapping[str, Any],
    name: str,
    settings: StudySettings,
    folder: Path | None,
    scratch: Path,
) -> Source | None:
    own = settings.of(name)
    if isinstance(path, Mapping):
        return open_frame(connection, name, path[name]) if name in path else None
    path = Path(path).expanduser()
    if path.suffix.lower() in DATABASE_ENDINGS and path.is_file():
        stated = name in settings.tables and own.table
        if not stated and name not in tables_of(connection, attach(connection, path, table=name)):
            return None
        own = own.model_copy(update={"format": "duckdb"})
        return open_files(connection, name, (path,), own, scratch=scratch)
    files = locate_files(folder or path, name, own)
    return open_files(connection, name, files, own, scratch=scratch) if files else None


def _missing_table(name: str) -> Fault:
    repair = f"name its file under [tables.{name}] in study.toml"
    return Fault(name, "", 1, "the table is missing", repair)


def _map_columns(
    sources: Mapping[str, Source], settings: StudySettings
) -> tuple[dict[str, Mapped], list[Finding]]:
    """Return the tables with the expressions of their columns."""
    matched, findings = {}, []
    for name, source in sources.items():
        matched[name], faults = match_columns(source, settings.of(name))
        findings += [structural(fault) for fault in faults]
    coded = {f"{name}.{column}" for name in matched for column in settings.of(name).codes}
    integer_ids = integer_domains(matched, coded)
    tables = {}
    for name, columns in matched.items():
        casts = {
            column: cast(
                column,
                found,
                settings.of(name),
                table=name,
                time_zone=settings.time_zone,
                integer_ids=integer_ids,
            )
            for column, found in columns.items()
        }
        for column in [column for column, made in casts.items() if not made.possible]:
            findings.append(structural(_wrong_type(name, column, columns[column].type)))
            del casts[column]
        tables[name] = Mapped(sources[name], casts)
    return tables, findings


def _wrong_type(table: str, column: str, kind: str) -> Fault:
    message = f"{column} is of type {kind.split('(')[0]}, which holds no single value"
    return Fault(table, column, 1, message, "give one plain value a row")
