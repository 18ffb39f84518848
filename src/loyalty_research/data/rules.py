"""The contract compiled to rules: each counts, in one SQL aggregate, the rows that break it.

All rules of a table go into one query over its source, so a table is read once however many rules
it has. In that query `t` is the table: `"x"` is the typed value of column x, `"present:x"` the
value before the cast; `r0`, `r1`, ... are the keys of the tables it refers to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date

from loyalty_research.data.contract import Column, ColumnType, Table
from loyalty_research.data.sql import identifier

# No living patient and no visit in a computer is older; a year such as 24 is a format gone wrong.
EARLIEST = date(1880, 1, 1)

# Any single value can be read as one of these.
ANYTHING = ("id", "text", "category")
_TYPE_WORDS = {
    "boolean": ("true or false", "use true/false, yes/no or 1/0, or map the codes under codes"),
    "integer": ("a number", "write numbers without units or thousands separators"),
    "number": ("a number", "write numbers with a decimal point, without units"),
    "date": ("a date in the stated format", "state date_format for the table or the column"),
    "timestamp": ("a time in the stated format", "state timestamp_format for the table"),
}


@dataclass(frozen=True)
class Rule:
    """One rule about one column: `sql` counts the rows that break it, `of` those it is about.

    `message` says what is wrong; the count comes after it. `few` is the message with its repair
    when fewer than half of those break it: then the data are at fault, rather than the settings.
    `locate` marks rules whose faults are named by file.
    """

    table: str
    column: str
    name: str
    sql: str
    message: str
    repair: str
    locate: bool = False
    of: str = "count(*)"
    few: tuple[str, str] | None = None
    # A fault that follows from broken lines of this other table is no news of its own.
    depends_on: str = ""
    # Exact count, hash and condition of a rule that counts by hash.
    confirm: tuple[str, str, str] | None = None


def column_rules(
    table: Table,
    column: Column,
    *,
    present: set[str],
    joins: Mapping[str, str],
    data_cutoff: date,
    whole: bool = False,
    formats: tuple[str, tuple[str, ...]] = ("", ()),
) -> Iterator[Rule]:
    """Yield the rules of one column of the contract that the source has.

    Args:
        table: the column's table.
        column: the column.
        present: names of the columns the source has.
        joins: alias of the table each referring column is joined with; under "patients.birth_year"
            that of the patients, when their birth year is known.
        data_cutoff: last day on which anything can have happened.
        whole: the column is an identifier kept as a whole number, which cannot be blank.
        formats: name of the setting that states how the column's dates are written, and the
            formats it states.

    Yields:
        Rules, the most basic first.
    """
    if column.type not in ANYTHING:
        rule = _type_rule(table.name, column.name, column.type, formats)
        yield replace(rule, repair=rule.repair + _or_left_out(table, column))
    typed = f"t.{identifier(column.name)}"
    if not column.nullable:
        yield _missing_rule(table.name, column.name)
    if column.type == "id" and not whole:
        yield _rule(
            table, column, "blank", f"trim({typed}) = ''", "is blank",
            "give every row its identifier",
        )  # fmt: skip
    yield from _value_rules(table, column, typed)
    if column.type in ("date", "timestamp"):
        yield from _date_rules(table, column, typed, data_cutoff)
        for earlier in column.not_before:
            yield from _order_rules(table, column, earlier, present, joins)
    if column.references:
        yield from _reference_rules(table, column, joins)


def extra_rules(
    table: str,
    column: str,
    kind: ColumnType,
    *,
    formats: tuple[str, tuple[str, ...]] = ("", ()),
) -> Iterator[Rule]:
    """Yield the rule of a column beyond the contract whose type the settings state.

    Args:
        table: name of the table.
        column: name of the column.
        kind: its stated type.
        formats: as for a column of the contract.

    Yields:
        The rule that every value can be read as that type.
    """
    if kind not in ANYTHING:
        yield _type_rule(table, column, kind, formats)


def key_rule(table: Table, present: set[str]) -> Iterator[Rule]:
    """Yield the rule that no two rows have the same key.

    Hashes of 64 bits are counted instead of keys: 32 million keys of ten letters took 11 GB as
    text. Two keys may share a hash, so a count above nothing is confirmed on the keys themselves;
    equal keys always share theirs, so a count of nothing needs no confirmation.

    Args:
        table: the table.
        present: names of the columns the source has.

    Yields:
        One rule, or none when a part of the key is missing altogether.
    """
    if not present.issuperset(table.key):
        return
    parts = [f"t.{identifier(name)}" for name in table.key]
    known = " AND ".join(f"{part} IS NOT NULL" for part in parts)
    key = f"hash({', '.join(parts)})"
    yield Rule(
        table.name,
        table.key[0],
        "unique",
        f"count(*) FILTER ({known}) - count(DISTINCT {key}) FILTER ({known})",
        f"{' with '.join(table.key)} repeats that of an earlier row",
        "keep one row each in the source",
        confirm=(f"count(*) - count(DISTINCT row({', '.join(parts)}))", key, known),
    )


def _rule(
    table: Table, column: Column, name: str, broken: str, message: str, repair: str, **more: str
) -> Rule:
    sql = f"count(*) FILTER ({broken})"
    return Rule(table.name, column.name, name, sql, f"{column.name} {message}", repair, **more)  # type: ignore[arg-type]


def _type_rule(
    table: str, column: str, kind: ColumnType, formats: tuple[str, tuple[str, ...]]
) -> Rule:
    expected, repair = _TYPE_WORDS[kind]
    present, typed = f"t.{identifier(f'present:{column}')}", f"t.{identifier(column)}"
    if kind == "integer":
        # A fraction is a number, so it gets a rule with a repair of its own.
        typed = f"t.{identifier(f'number:{column}')}"
    sql = f"count(*) FILTER ({typed} IS NULL AND {present} IS NOT NULL)"
    rule = Rule(table, column, "type", sql, f"{column} is not {expected}", repair, locate=True)
    if kind not in ("date", "timestamp"):
        return rule
    return replace(rule, of=f"count({present})", few=_few_dates(column, kind, formats))


def _few_dates(
    column: str, kind: ColumnType, formats: tuple[str, tuple[str, ...]]
) -> tuple[str, str]:
    setting, tried = formats
    what = "a date" if kind == "date" else "a time"
    message = f"{column} cannot be read as {what} by {' or '.join(tried)}"
    return message, f"mend these rows in the source, or add their format to {setting}"


def _or_left_out(table: Table, column: Column) -> str:
    """Return how to do without a column of numbers, where the contract allows it."""
    if column.required or column.type not in ("integer", "number"):
        return ""
    return f', or leave the column out by {column.name} = "" under [tables.{table.name}.columns]'


def _missing_rule(table: str, column: str) -> Rule:
    sql = f"count(*) FILTER (t.{identifier(f'present:{column}')} IS NULL)"
    repair = "give every row a value or drop the row in the source"
    return Rule(table, column, "missing", sql, f"{column} is missing", repair, locate=True)


def _value_rules(table: Table, column: Column, typed: str) -> Iterator[Rule]:
    if column.type == "integer":
        number = f"t.{identifier(f'number:{column.name}')}"
        yield _rule(
            table, column, "whole", f"{number} IS NOT NULL AND {typed} IS NULL",
            "is not a whole number", "give whole numbers, in a smaller unit if need be",
        )  # fmt: skip
    if column.type == "number":
        yield _rule(
            table, column, "finite", f"NOT isfinite({typed})", "is not a finite number",
            "leave the value empty when it is not known",
        )  # fmt: skip
    if column.choices:
        allowed = ", ".join(column.choices)
        codes = ", ".join(f"'{choice}'" for choice in column.choices)
        yield _rule(
            table, column, "choices", f"{typed} NOT IN ({codes})", f"is none of {allowed}",
            f"map the source's codes under [tables.{table.name}.codes.{column.name}]",
        )  # fmt: skip
    limits = {"<": ("below", column.minimum), ">": ("above", column.maximum)}
    for sign, (word, limit) in limits.items():
        if limit is not None:
            yield _rule(
                table, column, word, f"{typed} {sign} {limit!r}", f"is {word} {limit:g}",
                f"correct it in the source{f'; the unit is {column.unit}' if column.unit else ''}",
            )  # fmt: skip


def _date_rules(table: Table, column: Column, typed: str, data_cutoff: date) -> Iterator[Rule]:
    day = f"CAST({typed} AS DATE)"
    yield _rule(
        table, column, "plausible", f"{day} < DATE '{EARLIEST}'", f"is before {EARLIEST}",
        "leave unknown dates empty, and state a date format with a four-digit year",
    )  # fmt: skip
    if not column.may_be_future:
        yield _rule(
            table, column, "future", f"{day} > DATE '{data_cutoff}'",
            f"is after the data_cutoff {data_cutoff}",
            "correct data_cutoff in study.toml, or the rows in the source",
        )  # fmt: skip


def _order_rules(
    table: Table, column: Column, earlier: str, present: set[str], joins: Mapping[str, str]
) -> Iterator[Rule]:
    typed = f"t.{identifier(column.name)}"
    if earlier != "patients.birth_year":
        if earlier in present:
            yield _rule(
                table, column, f"not before {earlier}",
                f"{typed} < t.{identifier(earlier)}", f"is before {earlier}",
                "correct the order in the source",
            )  # fmt: skip
        return
    born = _birth_year(table, present, joins)
    if born:
        yield _rule(
            table, column, "not before birth", f"year({typed}) < {born}",
            "is before the patient's birth_year", "correct one of the two in the source",
            depends_on="" if table.name == "patients" else "patients",
        )  # fmt: skip


def _birth_year(table: Table, present: set[str], joins: Mapping[str, str]) -> str:
    if table.name == "patients":
        return 't."birth_year"' if "birth_year" in present else ""
    alias = joins.get("patients.birth_year", "")
    return f'{alias}."birth_year"' if alias else ""


def _reference_rules(table: Table, column: Column, joins: Mapping[str, str]) -> Iterator[Rule]:
    alias = joins.get(column.name, "")
    target, key = column.references.split(".")
    if alias:
        yield _rule(
            table, column, "known",
            f"t.{identifier(column.name)} IS NOT NULL AND {alias}.{identifier(key)} IS NULL",
            f"is not in {target}.{key}", f"add the row to {target}, or drop these rows",
            depends_on=target,
        )  # fmt: skip
