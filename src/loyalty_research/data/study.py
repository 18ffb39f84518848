"""A study: validated tables held lazily in DuckDB, with the settings that say what they are."""

from __future__ import annotations

import html
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any

import duckdb
import pandas as pd

from loyalty_research.data.contract import CONTRACT, ColumnType
from loyalty_research.data.fingerprint import file_digests, fingerprint
from loyalty_research.data.opening import open_tables
from loyalty_research.data.settings import SETTINGS_FILE, StudySettings
from loyalty_research.data.sources import misspelt_tables
from loyalty_research.data.sql import identifier
from loyalty_research.data.validation import Mapped, Summary, check_tables, findings_table
from loyalty_research.errors import DataError, Fault, UsageError

_SQL_TYPES: Mapping[ColumnType, str] = {
    "id": "VARCHAR",
    "text": "VARCHAR",
    "category": "VARCHAR",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
    "integer": "BIGINT",
    "number": "DOUBLE",
    "boolean": "BOOLEAN",
}


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
    _scratch: Path
    _mapped: Mapping[str, Mapped]
    _summaries: Mapping[str, Summary]

    @property
    def data_cutoff(self) -> date:
        """Last day on which a visit would have been recorded."""
        return self.settings.data_cutoff

    @property
    def data_start(self) -> Any:
        """First day with a visit (a date): before it nobody could have been seen."""
        return self._summaries["visits"].first_date

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

    def table(self, name: str, *, filled: bool = False) -> duckdb.DuckDBPyRelation:
        """Return one table: the contract's columns in their declared types, then the extra columns.

        Args:
            name: name of a table of the contract.
            filled: add the contract's columns that the source does not have, empty, for reports
                that must read the same of every study.

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
        view = self.connection.view(name)
        absent = [column for column in CONTRACT[name].columns if column.name not in view.columns]
        empty = [f"CAST(NULL AS {_SQL_TYPES[c.type]}) AS {identifier(c.name)}" for c in absent]
        return view.project(", ".join(["*", *empty])) if filled and empty else view

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
        shutil.rmtree(self._scratch, ignore_errors=True)

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
        head = (
            f"<p>Study {html.escape(self.settings.name)}{mark}, data_cutoff {self.data_cutoff}</p>"
        )
        return head + self.facts().to_html(index=False, na_rep="", border=0)

    def _origin(self, table: str) -> str:
        source = self._mapped[table].source
        if len(source.files) > 3:
            return f"{len(source.files):,} files in {source.files[0].parent.name}"
        return "; ".join(path.name for path in source.files) or "frame"


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
    opened = open_tables(path, mapping)
    found, summaries = check_tables(opened.connection, opened.tables, opened.settings)
    place = {name: position for position, name in enumerate(CONTRACT)}
    findings = sorted([*opened.findings, *found], key=lambda finding: place[finding.table])
    study = Study(
        opened.settings,
        opened.connection,
        findings_table(findings),
        opened.folder,
        opened.scratch,
        MappingProxyType(dict(opened.tables)),
        MappingProxyType(summaries),
    )
    return study, [finding.fault for finding in findings if finding.fault]
