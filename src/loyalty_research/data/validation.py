"""The tables of a study held against the contract, with one aggregate query a table.

Scans: each table once. A table that others refer to (patients, facilities) once more, to put its
keys into a temporary table that every reference is then looked up in. Only when keys repeat, or
something is wrong in a table of several files, is it read again: to be sure, and to name the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb
import pandas as pd

from loyalty_research.data.casting import Cast
from loyalty_research.data.contract import CONTRACT
from loyalty_research.data.csv_files import encoding_fault
from loyalty_research.data.rules import Rule, column_rules, extra_rules, key_rule
from loyalty_research.data.settings import StudySettings
from loyalty_research.data.sources import Source
from loyalty_research.data.sql import identifier, text
from loyalty_research.errors import Fault, SetupError

# More broken lines than these in one file are not listed; the count then says "at least".
_REJECTS_LIMIT = 100_000


@dataclass(frozen=True)
class Mapped:
    """One table of a study: its source, and the expressions of its columns by their new names."""

    source: Source
    casts: Mapping[str, Cast]

    @property
    def name(self) -> str:
        """Name of the table in the contract."""
        return self.source.table

    def select(self) -> str:
        """The query of the table as the study shows it."""
        columns = ", ".join(f"{c.typed} AS {identifier(name)}" for name, c in self.casts.items())
        return f"SELECT {columns} FROM {self.source.sql}"


@dataclass(frozen=True)
class Finding:
    """What became of one rule, or of one thing that must be there: how many rows break it."""

    table: str
    check: str
    count: int
    fault: Fault | None
    depends_on: str = ""


@dataclass(frozen=True)
class Summary:
    """Rows of a table, and the first and last day of its own events."""

    n_rows: int
    first_date: date | None
    last_date: date | None


def event_column(table: str) -> str:
    """Return the column that dates the rows of a table; "" for tables whose rows have no date.

    Args:
        table: name of the table in the contract.

    Returns:
        Name of its first required date or time.

    Examples:
        >>> event_column("visits"), event_column("complaints"), event_column("patients")
        ('visit_date', 'opened_at', '')
    """
    dated = (c for c in CONTRACT[table].columns if c.type in ("date", "timestamp") and c.required)
    return next((column.name for column in dated), "")


def structural(fault: Fault) -> Finding:
    """Return the finding of a fault met before any row was read.

    Args:
        fault: what is missing or unreadable.

    Returns:
        A finding that fails.
    """
    where = f"{fault.table}.{fault.column}" if fault.column else fault.table
    return Finding(fault.table, f"{where}: readable", fault.count, fault)


def check_tables(
    connection: duckdb.DuckDBPyConnection, tables: Mapping[str, Mapped], settings: StudySettings
) -> tuple[list[Finding], dict[str, Summary]]:
    """Return what every rule of the contract finds, with the size of every table.

    Args:
        connection: where the sources are readable.
        tables: the tables that could be opened.
        settings: the study's settings.

    Returns:
        One finding a rule, in the contract's order; and one summary a table.
    """
    _look_up_keys(connection, tables)
    # DuckDB does not know how long a CSV file is. It would hold the rows of the file in memory and
    # stream the keys past them (11 GB for 2 GB of visits) instead of the other way round.
    connection.execute("SET disabled_optimizers = 'build_side_probe_side,join_order'")
    findings: list[Finding] = []
    summaries = {}
    for mapped in tables.values():
        found, summary = _check_table(connection, mapped, tables, settings)
        findings += found
        summaries[mapped.name] = summary
    for target in _referred(tables):
        connection.execute(f"DROP TABLE IF EXISTS {_keys(target)}")
    connection.execute("RESET disabled_optimizers")
    broken = {f.table for f in findings if f.fault and f.check.endswith((": lines", ": readable"))}
    return [f for f in findings if f.depends_on not in broken], summaries


def findings_table(findings: Sequence[Finding]) -> pd.DataFrame:
    """Return findings with the columns that every table of checks has.

    Args:
        findings: what the rules found.

    Returns:
        One row a rule: check, statistic (rows that break it), threshold (0), passed, gating,
        message.

    Examples:
        >>> findings_table([Finding("visits", "visits.visit_id: unique", 0, None)]).T[0].tolist()
        ['visits.visit_id: unique', 0, 0, True, True, '']
    """
    rows = [
        (f.check, f.count, 0, f.fault is None, True, str(f.fault) if f.fault else "")
        for f in findings
    ]
    columns = ["check", "statistic", "threshold", "passed", "gating", "message"]
    return pd.DataFrame(rows, columns=columns)


def _keys(target: str) -> str:
    return identifier(f"keys_{target}")


def _referred(tables: Mapping[str, Mapped]) -> list[str]:
    """Return the tables of the study that others refer to and whose key can be read."""
    columns = (c for table in tables for c in CONTRACT[table].columns if c.references)
    targets = {column.references.split(".")[0] for column in columns}
    return [t for t in tables if t in targets and CONTRACT[t].key[0] in tables[t].casts]


def _look_up_keys(connection: duckdb.DuckDBPyConnection, tables: Mapping[str, Mapped]) -> None:
    """Put the keys that others refer to where every reference can be looked up."""
    for target in _referred(tables):
        casts, key = tables[target].casts, identifier(CONTRACT[target].key[0])
        birth_year = casts["birth_year"].typed if "birth_year" in casts else "NULL"
        source = tables[target].source.sql_with("ignore_errors=true")
        create = f"CREATE OR REPLACE TEMP TABLE {_keys(target)} AS"
        values = f"SELECT {casts[CONTRACT[target].key[0]].typed} AS {key}, {birth_year} AS born"
        try:
            connection.execute(
                f"{create} SELECT {key}, min(born) AS birth_year FROM ({values} FROM {source}) "
                f"WHERE {key} IS NOT NULL GROUP BY ALL"
            )
        except duckdb.Error:
            # The table's own check reports it as unreadable, which silences its references.
            connection.execute(f"{create} SELECT NULL AS {key}, NULL AS birth_year")


def _check_table(
    connection: duckdb.DuckDBPyConnection,
    mapped: Mapped,
    tables: Mapping[str, Mapped],
    settings: StudySettings,
) -> tuple[list[Finding], Summary]:
    joins, joined = _joins(mapped, tables)
    rules = list(_rules(mapped, joins, settings))
    rejects = f"rejects_{mapped.name}"
    query = f"{_aggregates(mapped, rules)} FROM ({_inner(mapped, _lenient(mapped, rejects))}) t"
    try:
        n_rows, first, last, *counts = connection.execute(f"{query} {joined}").fetchall()[0]
    except duckdb.OutOfMemoryException:
        message = f"{mapped.name}: memory, or the temporary folder, is too small to validate it"
        raise SetupError(f"{message}; set TMPDIR to a larger disk") from None
    except duckdb.Error:
        # DuckDB's own message quotes the line it stumbled over.
        return [structural(_unreadable(mapped.source))], Summary(0, None, None)
    findings = list(_broken_lines(connection, mapped.source, rejects))
    findings += _emptiness(mapped, n_rows, bool(findings and findings[0].fault))
    for rule, count, of in zip(rules, counts[::2], counts[1::2], strict=False):
        count = _confirmed(connection, mapped, rule) if count and rule.confirm else count
        where = _by_file(connection, mapped, rule, joined) if count and rule.locate else ""
        findings.append(_finding(rule, count, n_rows, where, few=2 * count < of))
    return findings, Summary(n_rows, first, last)


def _aggregates(mapped: Mapped, rules: Sequence[Rule]) -> str:
    """Return all that is asked of one table: size, span, and the count of every rule."""
    event = event_column(mapped.name)
    dated = f"CAST(t.{identifier(event)} AS DATE)" if event in mapped.casts else "NULL::DATE"
    counts = (sql for rule in rules for sql in (rule.sql, rule.of))
    wanted = ["count(*)", f"min({dated})", f"max({dated})", *counts]
    if mapped.source.kind == "csv":
        # DuckDB looks at the encoding of a column only when the column is asked for.
        wanted += [f"count(t.{column.sql})" for column in mapped.source.columns]
    return f"SELECT {', '.join(wanted)}"


def _lenient(mapped: Mapped, rejects: str) -> str:
    """Return a reader that notes broken lines where the strict one would stop at the first."""
    return mapped.source.sql_with(
        f"store_rejects=true, rejects_limit={_REJECTS_LIMIT}, "
        f"rejects_table={text(rejects)}, rejects_scan={text(rejects + '_scan')}"
    )


def _confirmed(connection: duckdb.DuckDBPyConnection, mapped: Mapped, rule: Rule) -> int:
    """Return the exact count of a rule that counts by hash, among the rows that share a hash."""
    exact, key, known = rule.confirm or ("", "", "")
    inner = f"({_inner(mapped, mapped.source.sql_with('ignore_errors=true'))}) t WHERE {known}"
    shared = f"SELECT {key} AS h FROM {inner} GROUP BY h HAVING count(*) > 1"
    query = f"SELECT {exact} FROM {inner} AND {key} IN ({shared})"
    return connection.execute(query).fetchall()[0][0]


def _inner(mapped: Mapped, source: str) -> str:
    """Return the query of the values before and after the cast."""
    columns = [column.sql for column in mapped.source.columns if mapped.source.kind == "csv"]
    for name, cast in mapped.casts.items():
        columns.append(f"{cast.typed} AS {identifier(name)}")
        columns.append(f"{cast.present} AS {identifier(f'present:{name}')}")
        if cast.number:
            columns.append(f"{cast.number} AS {identifier(f'number:{name}')}")
    return f"SELECT {', '.join(columns)} FROM {source}"


def _joins(mapped: Mapped, tables: Mapping[str, Mapped]) -> tuple[dict[str, str], str]:
    """Return aliases by referring column, and the joins as SQL."""
    known = _referred(tables)
    aliases: dict[str, str] = {}
    joined: list[str] = []
    for column in CONTRACT[mapped.name].columns:
        target, _, key = column.references.partition(".")
        if target in known and column.name in mapped.casts:
            alias = f"r{len(joined)}"
            aliases[column.name] = alias
            on = f"t.{identifier(column.name)} = {alias}.{identifier(key)}"
            joined.append(f"LEFT JOIN {_keys(target)} {alias} ON {on}")
            if column.name == "patient_id" and "birth_year" in tables[target].casts:
                aliases["patients.birth_year"] = alias
    return aliases, " ".join(joined)


def _rules(mapped: Mapped, joins: Mapping[str, str], settings: StudySettings) -> Iterator[Rule]:
    table, present, own = CONTRACT[mapped.name], set(mapped.casts), settings.of(mapped.name)
    yield from key_rule(table, present)
    for column in table.columns:
        if column.name in present:
            yield from column_rules(
                table,
                column,
                present=present,
                joins=joins,
                data_cutoff=settings.data_cutoff,
                whole=mapped.casts[column.name].whole,
                formats=own.formats_of(column.name, column.type),
            )
    for name, kind in own.extra.items():
        if name in present:
            formats = own.formats_of(name, kind)
            yield from extra_rules(mapped.name, name, kind, formats=formats)


def _finding(rule: Rule, count: int, n_rows: int, where: str, *, few: bool) -> Finding:
    check = f"{rule.table}.{rule.column}: {rule.name}"
    if not count:
        return Finding(rule.table, check, 0, None, rule.depends_on)
    rows = f"in {count:,} of {n_rows:,} row{'s' if n_rows != 1 else ''}"
    message, repair = rule.few if few and rule.few else (rule.message, rule.repair)
    fault = Fault(rule.table, rule.column, count, f"{message} {rows}{where}", repair)
    return Finding(rule.table, check, count, fault, rule.depends_on)


def _emptiness(mapped: Mapped, n_rows: int, broken: bool) -> list[Finding]:
    """Return whether a required table has rows; one with broken lines is not called empty."""
    if not CONTRACT[mapped.name].required or broken:
        return []
    check = f"{mapped.name}: has rows"
    if n_rows:
        return [Finding(mapped.name, check, 0, None)]
    fault = Fault(mapped.name, "", 1, "the table has no rows", "export it again")
    return [Finding(mapped.name, check, 1, fault)]


def _unreadable(source: Source) -> Fault:
    names = ", ".join(f'"{path.name}"' for path in source.files[:3]) or "the frame"
    return Fault(source.table, "", 1, f"{names} cannot be read to the end", "export it again")


def _by_file(connection: duckdb.DuckDBPyConnection, mapped: Mapped, rule: Rule, joined: str) -> str:
    """Return where the rows that break a rule are: file by file, the three worst first."""
    source = mapped.source
    if len(source.files) == 1:
        return f' of "{source.files[0].name}"'
    if source.kind not in ("csv", "parquet"):
        return ""
    named = source.sql_with("ignore_errors=true, filename=true")
    if source.kind == "parquet":
        named = source.sql.removesuffix(")") + ", filename=true)"
    inner = _inner(mapped, named).replace("SELECT ", "SELECT filename, ", 1)
    query = (
        f"SELECT filename, {rule.sql} AS n FROM ({inner}) t {joined} "
        "GROUP BY filename HAVING n > 0 ORDER BY n DESC, filename"
    )
    counts = connection.execute(query).fetchall()
    original = {
        str(path.absolute()): file.name
        for path, file in zip(source.paths, source.files, strict=True)
    }
    worst = ", ".join(f'"{original.get(name, "?")}" {count:,}' for name, count in counts[:3])
    more = f" and {len(counts) - 3:,} more files" if len(counts) > 3 else ""
    return f" ({worst}{more})"


def _broken_lines(
    connection: duckdb.DuckDBPyConnection, source: Source, rejects: str
) -> Iterator[Finding]:
    """Yield the CSV lines that could not be read, by file; then forget what was in them."""
    if source.kind != "csv":
        return
    scan, table = identifier(f"{rejects}_scan"), identifier(rejects)
    counts = connection.execute(
        "SELECT file_path, foreign_text, count(*), min(line) FROM ("
        "  SELECT file_path, line, bool_or(error_type = 'INVALID ENCODING') AS foreign_text"
        f"  FROM {table} JOIN (SELECT DISTINCT scan_id, file_id, file_path FROM {scan})"
        "  USING (scan_id, file_id) GROUP BY ALL)"
        "GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    connection.execute(f"DROP TABLE {table}; DROP TABLE {scan}")
    original = {
        str(path.absolute()): file for path, file in zip(source.paths, source.files, strict=True)
    }
    if not counts:
        yield Finding(source.table, f"{source.table}: lines", 0, None)
    for path, foreign, count, line in counts:
        file = original.get(path, Path("?"))
        fault = (
            encoding_fault(source.table, file, "utf-8", count, line)
            if foreign
            else _broken(source.table, file, count, line)
        )
        yield Finding(source.table, f"{source.table}: lines", count, fault)


def _broken(table: str, file: Path, count: int, line: int) -> Fault:
    many = "at least " if count >= _REJECTS_LIMIT else ""
    lines = f"{many}{count:,} broken line{'s' if count > 1 else ''}"
    message = (
        f'"{file.name}" has {lines}, with too few or too many columns or an unclosed quote, '
        f"first at line {line:,}"
    )
    return Fault(table, "", count, message, "mend it in the source; no line is skipped")
