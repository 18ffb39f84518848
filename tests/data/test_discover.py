"""A first `study.toml` opens the study, or says what a person has to add."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from loyalty_research.data.contract import CONTRACT
from loyalty_research.data.discover import propose_settings
from loyalty_research.data.settings_file import write_settings
from loyalty_research.data.study import Study, open_study, validate
from loyalty_research.data.synonyms import CODE_WORDS, COLUMN_WORDS, TABLE_WORDS
from loyalty_research.errors import UsageError

PATIENTS = "病人编号;性别;出生年份;收入\n0012;男;1950;1\n0013;女;1961;2\n"
VISITS = "就诊编号,病人编号,就诊日期,就诊类型,费用\n1,0012,{}/1/5,门诊,3.5\n2,0013,{}/11/30,上门,\n"


@pytest.fixture
def hospital(tmp_path: Path) -> Path:
    """A folder as a hospital might export it: two encodings, two delimiters, two years."""
    folder = tmp_path / "医院 导出"
    folder.mkdir()
    (folder / "病人信息.csv").write_bytes(PATIENTS.encode("gb18030"))
    for year, first in ((2023, 1), (2024, 3)):
        text = (
            VISITS.format(year, year)
            .replace("\n1,", f"\n{first},")
            .replace("\n2,", f"\n{first + 1},")
        )
        (folder / f"门诊_{year}.csv").write_text(text, encoding="utf-8-sig")
    (folder / "budget.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    return folder


def initialise(folder: Path) -> Study:
    settings, notes = propose_settings(folder)
    write_settings(settings, folder / "study.toml", notes=notes)
    return open_study(folder)


def test_a_chinese_export_opens_with_the_proposed_settings(hospital: Path) -> None:
    study = initialise(hospital)
    assert study.facts()["n_rows"].tolist() == [2, 4]
    assert study.patients.order("patient_id").fetchall() == [
        ("0012", "male", 1950, "1"),
        ("0013", "female", 1961, "2"),
    ]
    assert study.visits.select("visit_type").distinct().order("1").fetchall() == [
        ("clinic",),
        ("home",),
    ]


def test_the_cut_off_is_the_last_visit_and_marked_as_a_guess(hospital: Path) -> None:
    proposal = propose_settings(hospital)
    assert proposal.settings.data_cutoff == date(2024, 11, 30)
    assert proposal.notes[0] == (
        "data_cutoff = 2024-11-30 is the last visit found, a guess: state the day of the export"
    )


def test_each_file_is_read_in_its_own_way(hospital: Path) -> None:
    tables = propose_settings(hospital).settings.tables
    assert (tables["patients"].encoding, tables["patients"].delimiter) == ("gb18030", ";")
    assert (tables["visits"].encoding, tables["visits"].delimiter) == ("utf-8-sig", None)
    assert tables["visits"].files == "门诊_*.csv"
    assert tables["visits"].formats == {"visit_date": ("%Y/%m/%d",)}


def test_a_file_without_a_place_is_named(hospital: Path) -> None:
    notes = propose_settings(hospital).notes
    assert '"budget.csv" is none of the tables of the contract' in notes


def test_columns_without_a_place_are_named_in_the_note_and_above_their_table(
    hospital: Path,
) -> None:
    settings, notes = propose_settings(hospital)
    note = "patients: columns not placed: 收入 (kept as extra columns; map them or leave them)"
    assert note in notes
    path = write_settings(settings, hospital / "study.toml", notes=notes)
    text = path.read_text(encoding="utf-8")
    assert f"# {note}\n[tables.patients]" in text
    assert "visits: columns not placed" not in text


def test_a_first_line_that_is_no_header_is_not_quoted(tmp_path: Path) -> None:
    (tmp_path / "visits.csv").write_text("secret,2024-01-05\n0013,2024-01-06\n", encoding="utf-8")
    notes = propose_settings(tmp_path).notes
    assert "visits: none of 2 columns was placed; is the first line a header?" in notes
    assert "secret" not in "".join(notes)


@pytest.mark.parametrize("name", ["Visit", "VisitNo", "visit number", "visit_no"])
def test_a_number_of_the_visit_identifies_it(tmp_path: Path, name: str) -> None:
    (tmp_path / "visits.csv").write_text(
        f"{name},patient_id,visit_date\n1,1,2024-01-05\n", encoding="utf-8"
    )
    assert propose_settings(tmp_path).settings.tables["visits"].columns["visit_id"] == name


def test_a_code_that_is_blank_in_some_rows_drops_no_row(tmp_path: Path) -> None:
    people = "".join(f"{i},{'F' if i % 2 else ''}\n" for i in range(84))
    (tmp_path / "patients.csv").write_text(f"patient_id,sex\n{people}", encoding="utf-8")
    (tmp_path / "visits.csv").write_text(
        "visit_id,patient_id,visit_date\n1,1,2024-01-05\n", encoding="utf-8"
    )
    study = initialise(tmp_path)
    # 84 patients of whom every other one has no sex recorded.
    assert study.patients.aggregate("count(*), count(sex)").fetchall() == [(84, 42)]
    assert validate(study)["passed"].all()


def test_no_note_quotes_a_value(hospital: Path) -> None:
    (hospital / "门诊_2024.csv").write_text(
        VISITS.format("soon", "later").replace("门诊", "secret"), encoding="utf-8"
    )
    notes = "\n".join(propose_settings(hospital).notes)
    assert "codes of visit_type have to be mapped under codes" in notes
    assert "no known date format fits visit_date" in notes
    assert "secret" not in notes
    assert "soon" not in notes


def test_tables_of_the_contract_are_found_by_their_own_names(folder: Path) -> None:
    (folder / "study.toml").unlink()
    settings, notes = propose_settings(folder)
    assert list(settings.tables) == ["patients", "visits"]
    assert settings.tables["visits"].columns == {
        name: name for name in ("visit_id", "patient_id", "visit_date", "visit_type", "fee")
    }
    assert len(notes) == 1


def test_parquet_files_are_found_as_well(tmp_path: Path, frames: dict[str, pd.DataFrame]) -> None:
    frames["visits"].rename(columns={"visit_date": "VisitDate"}).to_parquet(
        tmp_path / "opd.parquet"
    )
    frames["patients"].to_parquet(tmp_path / "people.parquet")
    study = initialise(tmp_path)
    assert study.settings.tables["visits"].columns["visit_date"] == "VisitDate"
    assert study.data_cutoff == date(2024, 12, 31)


def test_a_required_column_without_a_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "visits.csv").write_text("pid,dateofvisit\n1,2024-01-05\n", encoding="utf-8")
    notes = propose_settings(tmp_path).notes
    assert "visits: no column for visit_id, which is required" in notes
    assert "patients was not found" in notes


def test_a_date_that_can_be_read_in_two_ways_is_noted(tmp_path: Path) -> None:
    (tmp_path / "visits.csv").write_text(
        "visit_id,patient_id,visit_date\n1,1,05/03/2024\n", encoding="utf-8"
    )
    notes = propose_settings(tmp_path).notes
    assert "visits: visit_date is read as %d/%m/%Y, but %m/%d/%Y fits as well" in notes


def test_a_folder_without_visits_leaves_the_cut_off_open(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    settings, notes = propose_settings(tmp_path)
    assert "data_cutoff could not be guessed; state it" in notes
    path = write_settings(settings, tmp_path / "study.toml", notes=notes)
    assert "# data_cutoff = YYYY-MM-DD" in path.read_text(encoding="utf-8")


def test_a_file_in_no_known_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / "visits.csv").write_bytes(b"visit_id,patient_id,visit_date\n\xff\xff\n")
    (tmp_path / "patients.csv").write_text("patient_id\n1\n", encoding="utf-8")
    assert '"visits.csv" cannot be read as UTF-8, GB18030 or Parquet' in (
        propose_settings(tmp_path).notes
    )


def test_a_broken_line_does_not_stop_the_look(hospital: Path) -> None:
    with (hospital / "门诊_2024.csv").open("a", encoding="utf-8") as file:
        file.write('9,0012,"2024/12/01\n')
    assert propose_settings(hospital).settings.data_cutoff == date(2024, 11, 30)


def test_settings_that_are_there_are_left_alone(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"study\.toml exists and is never overwritten"):
        propose_settings(folder)


@pytest.mark.parametrize(
    ("make", "message"), [(True, "holds no CSV or Parquet file"), (False, "there is no folder")]
)
def test_a_folder_with_nothing_in_it_is_refused(tmp_path: Path, make: bool, message: str) -> None:
    folder = tmp_path / "empty"
    if make:
        folder.mkdir()
    with pytest.raises(UsageError, match=message):
        propose_settings(folder)


def test_synonyms_are_of_the_contract() -> None:
    columns = {column.name: column for table in CONTRACT.values() for column in table.columns}
    assert TABLE_WORDS.keys() <= CONTRACT.keys()
    assert COLUMN_WORDS.keys() <= columns.keys()
    for name, codes in CODE_WORDS.items():
        allowed = columns[name].choices or ("true", "false")
        assert set(codes.values()) <= set(allowed)
