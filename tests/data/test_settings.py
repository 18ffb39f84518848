"""Settings are refused all at once, before any data are read."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from loyalty_research.data.settings import (
    StudySettings,
    merge_settings,
    parse_settings,
    read_settings,
)
from loyalty_research.errors import UsageError


def parse(**values: Any) -> StudySettings:
    return parse_settings({"data_cutoff": date(2024, 12, 31), **values})


def refusal(**values: Any) -> str:
    with pytest.raises(UsageError) as caught:
        parse(**values)
    assert caught.value.exit_status == 2
    return str(caught.value)


def test_the_cut_off_has_no_default() -> None:
    with pytest.raises(UsageError, match="data_cutoff is missing; state the last day"):
        parse_settings({})


def test_a_native_date_and_its_text_are_the_same_cut_off() -> None:
    assert parse_settings({"data_cutoff": "2024-12-31"}) == parse()


@pytest.mark.parametrize(
    ("written", "meant"),
    [("GBK", "gb18030"), ("gb2312", "gb18030"), ("UTF8", "utf-8"), ("utf_8_sig", "utf-8-sig")],
)
def test_an_encoding_is_known_by_its_common_names(written: str, meant: str) -> None:
    assert parse(encoding=written).encoding == meant


def test_a_table_inherits_what_it_does_not_state() -> None:
    settings = parse(
        encoding="gb18030", date_format="%d.%m.%Y", tables={"visits": {"encoding": "utf-8"}}
    )
    assert settings.of("visits").encoding == "utf-8"
    assert settings.of("visits").date_format == ("%d.%m.%Y",)
    assert settings.of("points").encoding == "gb18030"


def test_codes_may_be_written_as_numbers_or_booleans() -> None:
    settings = parse(tables={"visits": {"codes": {"planned": {"1": True, "2": False, "9": ""}}}})
    assert settings.tables["visits"].codes["planned"] == {"1": "true", "2": "false", "9": ""}


def test_every_fault_of_the_settings_is_in_one_message() -> None:
    message = refusal(
        encoding="big5",
        time_zone="Asia/Shangai",
        data_cutof="2024-01-01",
        date_format="YYYY-MM-DD",
        tables={
            "vists": {},
            "patients": {"columns": {"gender": "g"}, "extra": {"sex": "text"}},
            "visits": {
                "fil": "x.csv",
                "codes": {"visit_type": {"1": "clinc"}},
                "formats": {"visit_dat": "%Y"},
            },
        },
    )
    assert "10 settings cannot be used" in message
    for part in (
        'data_cutof is not a setting; did you mean "data_cutoff"?',
        "encoding is none of utf-8, utf-8-sig, gb18030",
        'did you mean "Asia/Shanghai"?',
        'date format "YYYY-MM-DD" is not a strptime format such as %Y-%m-%d',
        'tables.vists is not a table of the contract; did you mean "visits"?',
        "tables.patients.gender is not a column of the contract",
        "tables.patients.extra.sex is a column of the contract; map it under columns",
        'tables.visits.fil is not a setting; did you mean "file"?',
        '"clinc" is none of clinic, home, online, phone, other; did you mean "clinic"?',
        'formats.visit_dat is neither in the contract nor under extra; did you mean "visit_date"?',
    ):
        assert part in message


def test_one_file_and_many_files_exclude_each_other() -> None:
    assert "file and tables.visits.files are both given; keep one" in refusal(
        tables={"visits": {"file": "a.csv", "files": "*.csv"}}
    )


def test_only_an_optional_column_may_have_an_empty_name() -> None:
    settings = parse(tables={"visits": {"columns": {"fee": ""}}})
    assert settings.tables["visits"].columns == {"fee": ""}
    message = refusal(tables={"visits": {"columns": {"visit_id": "", "fee": ""}}})
    assert "1 setting cannot be used" in message
    assert (
        "tables.visits.columns.visit_id is empty, but required; name the source's column" in message
    )


def test_a_table_that_is_no_section_is_refused() -> None:
    assert "tables.visits is not a section; write its settings" in refusal(tables={"visits": 3})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"data_cutoff": "soon"}, "data_cutoff is not a date; write it as 2024-12-31, without quo"),
        ({"data_cutoff": 20241231}, "data_cutoff is not a date; write it as 2024-12-31"),
        ({"data_cutoff": "2024-12-31 10:00"}, "data_cutoff is not a date; write it as 2024-12-31"),
        ({"name": 3}, "name is not text; write it in quotes"),
        ({"simulated": "maybe"}, "simulated is neither true nor false; write one of them"),
        ({"delimiter": ";;"}, "delimiter is not one single character; write it as"),
        ({"date_format": 3}, "date_format is neither text nor a list; write it as"),
        ({"timestamp_format": [3]}, "timestamp_format.0 is not text; write it in quotes"),
        ({"tables": {"visits": {"columns": 3}}}, "tables.visits.columns is not a list of names"),
        ({"tables": {"visits": {"columns": {"fee": 3}}}}, "tables.visits.columns.fee is not text"),
        ({"tables": {"visits": {"format": "xls"}}}, "format is none of csv, parquet, duckdb"),
    ],
)
def test_a_value_of_another_type_is_refused_with_what_was_expected(
    values: dict[str, Any], message: str
) -> None:
    refused = refusal(**values)
    assert "1 setting cannot be used" in refused
    assert message in refused
    assert "input" not in refused


def test_a_folder_without_settings_is_told_how_to_get_them(tmp_path: Path) -> None:
    folder = tmp_path / "our study"
    folder.mkdir()
    with pytest.raises(UsageError) as caught:
        read_settings(folder, mapping={"name": "north"})
    assert caught.value.exit_status == 2
    assert str(caught.value) == (
        f'there is no study.toml in "{folder}"; '
        f"have one proposed by: loyalty data init '{folder}'"
    )


def test_a_fault_of_the_mapping_is_not_blamed_on_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^mapping: 1 setting cannot be used"):
        read_settings(tmp_path, mapping={"data_cutoff": "2024-12-31", "nam": "north"})


def test_a_study_is_named_after_its_folder_unless_it_names_itself(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text("data_cutoff = 2024-12-31", encoding="utf-8")
    assert read_settings(tmp_path).name == tmp_path.name
    path.write_text('name = "north"\ndata_cutoff = 2024-12-31', encoding="utf-8")
    assert read_settings(tmp_path).name == "north"


def test_a_byte_order_mark_before_the_settings_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text("data_cutoff = 2024-12-31", encoding="utf-8-sig")
    assert read_settings(tmp_path).data_cutoff == date(2024, 12, 31)


def test_settings_that_are_not_toml_are_refused_with_the_line(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text("name = north\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"study.toml: not valid TOML: .*line 1"):
        read_settings(tmp_path)


def test_settings_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_bytes('name = "北"\n'.encode("gb18030"))
    with pytest.raises(UsageError, match="the file is not UTF-8; save it as UTF-8"):
        read_settings(tmp_path)


def test_the_mapping_wins_key_by_key(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(
        'data_cutoff = 2024-12-31\n[tables.visits]\nfile = "a.csv"\ndelimiter = ";"\n',
        encoding="utf-8",
    )
    over = {"data_cutoff": "2023-12-31", "tables": {"visits": {"file": "b.csv"}}}
    settings = read_settings(tmp_path, mapping=over)
    assert settings.data_cutoff == date(2023, 12, 31)
    assert (settings.of("visits").file, settings.of("visits").delimiter) == ("b.csv", ";")


def test_merging_leaves_both_mappings_as_they_were() -> None:
    base, over = {"a": {"x": 1}}, {"a": {"y": 2}}
    assert merge_settings(base, over) == {"a": {"x": 1, "y": 2}}
    assert (base, over) == ({"a": {"x": 1}}, {"a": {"y": 2}})
