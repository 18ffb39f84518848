"""Expressions that turn a source's value into the type the contract declares.

Each column becomes two expressions: `present`, the value as the source holds it with every kind of
missing made NULL plus codes translated, then `typed`, NULL where `present` cannot be read. A value
that is present without being typed is a fault; so nothing is ever lost in a cast.
"""

from __future__ import annotations

from dataclasses import dataclass

from loyalty_research.data.contract import CONTRACT, Column, ColumnType
from loyalty_research.data.settings import TableSettings
from loyalty_research.data.sources import SourceColumn
from loyalty_research.data.sql import text

_INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER")
_HUGE = ("UBIGINT", "HUGEINT", "UHUGEINT")
_FLOATS = ("FLOAT", "DOUBLE", "DECIMAL")
TRUE_WORDS = ("true", "t", "yes", "y", "1")
FALSE_WORDS = ("false", "f", "no", "n", "0")


@dataclass(frozen=True)
class Cast:
    """The expressions of a column; `number` is that of an integer before fractions are refused.

    `whole` marks an identifier kept as a whole number; not `possible` is a list or a structure.
    """

    present: str
    typed: str
    number: str = ""
    whole: bool = False
    possible: bool = True


def is_text(kind: str) -> bool:
    """Tell whether a DuckDB type is read as text.

    Args:
        kind: name of a DuckDB type.

    Returns:
        True for text and enumerations.

    Examples:
        >>> is_text("VARCHAR"), is_text("BIGINT")
        (True, False)
    """
    return kind == "VARCHAR" or kind.startswith("ENUM")


def id_domain(table: str, column: Column) -> str:
    """Return the column whose values an identifier shares: the one it refers to, or itself.

    Args:
        table: name of the table.
        column: an identifier column of it.

    Returns:
        `table.column`.

    Examples:
        >>> id_domain("visits", CONTRACT["visits"].by_name["patient_id"])
        'patients.patient_id'
    """
    return column.references or f"{table}.{column.name}"


def cast(
    name: str,
    source: SourceColumn,
    settings: TableSettings,
    *,
    table: str,
    time_zone: str,
    integer_ids: frozenset[str],
) -> Cast:
    """Return the expressions of one column of a study.

    Args:
        name: name of the column in the study.
        source: the column of the source that serves it.
        settings: the table's settings: formats, codes, types of extra columns.
        table: name of the table in the contract.
        time_zone: zone in which a time with a zone is given its day.
        integer_ids: identifier domains in which every source holds whole numbers.

    Returns:
        Expressions over the columns of the source.
    """
    column = CONTRACT[table].by_name.get(name)
    kind = column.type if column else settings.extra.get(name)
    if kind is None:
        return Cast(source.sql, source.sql)
    codes = settings.codes.get(name, {})
    present = _present(source, kind, codes)
    source_type = "VARCHAR" if codes else source.type
    whole = column is not None and kind == "id" and id_domain(table, column) in integer_ids
    _, formats = settings.formats_of(name, kind)
    typed = _typed(present, source_type, kind, formats, time_zone, whole)
    nested = source.type.endswith("]") or source.type.startswith(("STRUCT", "MAP", "BLOB", "UNION"))
    number = _number(present, source_type) if kind == "integer" else ""
    return Cast(present, typed, number, whole, possible=not nested)


def _present(source: SourceColumn, kind: ColumnType, codes: dict[str, str]) -> str:
    """Return the value with every way of saying nothing made NULL."""
    value = source.sql
    if codes:
        value = _as_text(value, source.type)
        whens = " ".join(f"WHEN {text(old)} THEN {text(new)}" for old, new in codes.items())
        return f"nullif(CASE trim({value}) {whens} ELSE trim({value}) END, '')"
    if is_text(source.type):
        value = f"CAST({value} AS VARCHAR)"
        # An identifier of blanks only is no way of saying nothing; it is reported as blank.
        return value if kind in ("id", "text") else f"nullif(trim({value}), '')"
    if source.type in ("FLOAT", "DOUBLE"):
        return f"CASE WHEN NOT isnan({value}) THEN {value} END"
    return value


def _as_text(value: str, source_type: str) -> str:
    if source_type.startswith(_FLOATS):
        # A whole number that pandas keeps as 12.0, for a gap in its column, is the code 12.
        whole = f"CAST(TRY_CAST({value} AS BIGINT) AS VARCHAR)"
        return f"CASE WHEN {value} = trunc({value}) THEN {whole} ELSE CAST({value} AS VARCHAR) END"
    return f"CAST({value} AS VARCHAR)"


def _typed(
    present: str,
    source_type: str,
    kind: ColumnType,
    formats: tuple[str, ...],
    time_zone: str,
    whole: bool,
) -> str:
    if kind == "id":
        return f"TRY_CAST({present} AS BIGINT)" if whole else f"({_as_text(present, source_type)})"
    if kind == "text":
        return f"({_as_text(present, source_type)})"
    if kind == "category":
        return f"lower({_as_text(present, source_type)})"
    if kind == "boolean":
        return _boolean(present, source_type)
    if kind in ("date", "timestamp"):
        return _time(present, source_type, formats, time_zone, "DATE" if kind == "date" else "")
    number = _number(present, source_type)
    if kind == "number":
        return number
    # A plain cast would round 3.7 to 4.
    return f"CASE WHEN {number} = trunc({number}) THEN TRY_CAST({present} AS BIGINT) END"


def _number(present: str, source_type: str) -> str:
    plain = source_type in (*_INTEGERS, *_HUGE) or source_type.startswith(_FLOATS)
    value = present if plain else f"CAST({present} AS VARCHAR)"
    return f"TRY_CAST({value} AS DOUBLE)"


def _boolean(present: str, source_type: str) -> str:
    if source_type == "BOOLEAN":
        return present
    words = f"lower({_as_text(present, source_type)})"
    yes, no = (", ".join(map(text, words)) for words in (TRUE_WORDS, FALSE_WORDS))
    return f"CASE WHEN {words} IN ({yes}) THEN true WHEN {words} IN ({no}) THEN false END"


def _time(
    present: str, source_type: str, formats: tuple[str, ...], time_zone: str, day: str
) -> str:
    """Return a date or a time on the study's own clock."""
    zone = text(time_zone)
    if source_type.endswith("WITH TIME ZONE") or source_type.startswith("TIMESTAMPTZ"):
        local = f"CAST({present} AT TIME ZONE {zone} AS TIMESTAMP)"
    elif source_type.startswith(("DATE", "TIMESTAMP")):
        local = f"CAST({present} AS TIMESTAMP)"
    else:
        local = _parsed(_as_text(present, source_type), formats, zone)
    return f"CAST({local} AS DATE)" if day else local


def _parsed(value: str, formats: tuple[str, ...], zone: str) -> str:
    own = [text(f) for f in formats if "%z" not in f and "%Z" not in f]
    zoned = [text(f) for f in formats if "%z" in f or "%Z" in f]
    # DuckDB's %z knows +00:00 but not its short form Z.
    offset = f"regexp_replace({value}, '[zZ]$', '+00:00')"
    tries = [f"try_strptime({value}, [{', '.join(own)}])"] if own else []
    if zoned:
        tries.append(f"(try_strptime({offset}, [{', '.join(zoned)}]) AT TIME ZONE {zone})")
    return f"coalesce({', '.join(tries)})" if tries else "NULL"


def integer_domains(columns: dict[str, dict[str, SourceColumn]], coded: set[str]) -> frozenset[str]:
    """Return the identifier domains that may be kept as whole numbers, for speed.

    A domain with text in any table is text in all of them, so that keys meet.

    Args:
        columns: per table of the study, its column names with the source's columns.
        coded: `table.column` of identifiers whose codes the study translates.

    Returns:
        Domains, as `table.column`.
    """
    whole: dict[str, bool] = {}
    for table, matched in columns.items():
        for column in CONTRACT[table].columns:
            source = matched.get(column.name)
            if column.type == "id" and source:
                domain = id_domain(table, column)
                numeric = source.type in _INTEGERS and f"{table}.{column.name}" not in coded
                whole[domain] = whole.get(domain, True) and numeric
    return frozenset(domain for domain, numeric in whole.items() if numeric)
