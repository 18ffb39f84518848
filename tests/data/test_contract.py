"""The contract is consistent with itself."""

from __future__ import annotations

import pytest

from loyalty_research.data.contract import CONTRACT, Column, Table, required_tables

COLUMNS = [
    pytest.param(table, column, id=f"{table.name}.{column.name}")
    for table in CONTRACT.values()
    for column in table.columns
]


def test_patients_and_visits_are_required_and_nothing_else_is() -> None:
    assert [table.name for table in required_tables()] == ["patients", "visits"]


@pytest.mark.parametrize("table", CONTRACT.values(), ids=lambda table: table.name)
def test_a_key_is_made_of_required_columns_that_are_never_missing(table: Table) -> None:
    parts = [table.by_name[name] for name in table.key]
    assert all(part.required and not part.nullable for part in parts)


@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_a_reference_names_the_whole_key_of_a_table(table: Table, column: Column) -> None:
    if column.references:
        target, key = column.references.split(".")
        assert CONTRACT[target].key == (key,)


@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_an_earlier_date_is_a_column_of_the_table_or_the_birth_year(
    table: Table, column: Column
) -> None:
    for earlier in column.not_before:
        assert earlier == "patients.birth_year" or earlier in table.by_name
        # The birth year of another table is found through the patient of the row.
        if earlier == "patients.birth_year":
            assert "patient_id" in table.by_name


@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_choices_are_lower_case_because_codes_are_compared_so(table: Table, column: Column) -> None:
    assert all(choice == choice.lower() for choice in column.choices)


@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_whatever_refers_to_a_patient_is_marked_as_an_identifier(
    table: Table, column: Column
) -> None:
    if column.references == "patients.patient_id":
        assert column.identifier
