"""A written `study.toml` reads back as the same settings."""

from __future__ import annotations

import tomllib
from datetime import date
from pathlib import Path

import pytest

from loyalty_research.data.contract import CONTRACT
from loyalty_research.data.settings import StudySettings, parse_settings, read_settings
from loyalty_research.data.settings_file import settings_text, write_settings
from loyalty_research.errors import SetupError, UsageError


def rich_settings() -> StudySettings:
    return parse_settings(
        {
            "name": 'the "north" \\ 北',
            "data_cutoff": date(2024, 12, 31),
            "time_zone": "Asia/Shanghai",
            "simulated": True,
            "date_format": ["%Y-%m-%d", "%Y年%m月%d日"],
            "tables": {
                "patients": {
                    "file": "病人 1.csv",
                    "columns": {"patient_id": "病人编号", "insurance": ""},
                    "codes": {"sex": {"男": "male", "": "unknown", "a.b": "other"}},
                    "extra": {"收入": "number"},
                },
                "visits": {
                    "files": "v/*.csv",
                    "delimiter": "\t",
                    "encoding": "gb18030",
                    "formats": {"visit_date": ["%Y%m%d", "%Y/%m/%d"]},
                },
            },
        }
    )


def test_written_settings_read_back_as_the_same(tmp_path: Path) -> None:
    settings = rich_settings()
    write_settings(settings, tmp_path / "study.toml")
    assert read_settings(tmp_path) == settings


def test_every_column_of_the_contract_stands_in_the_file() -> None:
    text = settings_text(rich_settings())
    for table in CONTRACT.values():
        assert f"[tables.{table.name}]" in text
        for column in table.columns:
            assert f'{column.name} = ""' in text or column.name == "patient_id"
    assert '\ninsurance = ""' in text


def test_a_table_that_is_not_there_is_a_comment_throughout() -> None:
    assert tomllib.loads(settings_text(rich_settings()))["tables"].keys() == {"patients", "visits"}


def test_a_cut_off_nobody_knows_is_left_open(tmp_path: Path) -> None:
    unknown = rich_settings().model_copy(update={"data_cutoff": None})
    write_settings(unknown, tmp_path / "study.toml")
    with pytest.raises(UsageError, match="data_cutoff is missing"):
        read_settings(tmp_path)


def test_notes_stand_at_the_head_as_comments() -> None:
    text = settings_text(rich_settings(), notes=["confirm\nthis"])
    assert text.startswith("# confirm this\nname = ")


def test_a_note_about_a_table_stands_above_its_section() -> None:
    text = settings_text(rich_settings(), notes=["visits: not placed: a\x7fb", "confirm"])
    assert text.startswith("# confirm\nname = ")
    assert "\n\n# visits: not placed: a b\n[tables.visits]" in text
    assert tomllib.loads(text)["tables"].keys() == {"patients", "visits"}


def test_a_file_that_exists_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match=r"study\.toml exists and is never overwritten"):
        write_settings(rich_settings(), path)
    assert path.read_text(encoding="utf-8") == "mine"


def test_a_folder_that_is_not_there_is_a_failure_of_the_machine(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"study\.toml cannot be written"):
        write_settings(rich_settings(), tmp_path / "absent" / "study.toml")
