"""The data dictionary says what the contract says."""

from __future__ import annotations

from pathlib import Path

import pytest

from loyalty_research.data.contract import CONTRACT
from loyalty_research.data.dictionary import data_dictionary, write_dictionary
from loyalty_research.data.settings import StudySettings, TableSettings

README = Path(__file__).parents[2] / "data" / "README.md"


def test_the_dictionary_in_the_repository_is_the_one_of_the_contract() -> None:
    assert README.read_text(encoding="utf-8") == data_dictionary(), "run: make dictionary"


@pytest.mark.parametrize("table", CONTRACT)
def test_every_column_has_a_line_with_its_meaning(table: str) -> None:
    section = data_dictionary().split(f"\n### {table}\n")[1].split("\n### ")[0]
    for column in CONTRACT[table].columns:
        assert f"| `{column.name}` | {column.type} |" in section
        assert column.meaning in section
        assert all(f"`{choice}`" in section for choice in column.choices)


def test_every_setting_has_a_line_with_its_meaning() -> None:
    text = data_dictionary()
    for model in (StudySettings, TableSettings):
        for name, setting in model.model_fields.items():
            assert f"| `{name}` |" in text
            assert setting.description
            assert setting.description in text


def test_no_cell_breaks_its_table() -> None:
    rows = [line for line in data_dictionary().splitlines() if line.startswith("|")]
    assert {row.count("|") for row in rows} == {4, 5, 7}


def test_the_dictionary_is_written_anew(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("old", encoding="utf-8")
    write_dictionary(tmp_path / "README.md")
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == data_dictionary()
