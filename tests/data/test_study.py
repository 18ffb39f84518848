"""A study shows validated tables lazily, and knows where they came from."""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Callable
from datetime import date
from pathlib import Path

import narwhals.stable.v2 as nw
import pandas as pd
import pytest

from loyalty_research.data.contract import CONTRACT
from loyalty_research.data.study import Study, open_study, validate
from loyalty_research.errors import DataError, UsageError

Opened = Callable[..., Study]


def test_tables_are_lazy_relations_that_narwhals_knows(opened: Opened) -> None:
    visits = nw.from_native(opened().visits)
    assert isinstance(visits, nw.LazyFrame)
    # The two visits of patient 0012.
    assert visits.filter(nw.col("patient_id") == "0012").collect().shape == (2, 5)


def test_columns_stand_in_the_order_and_the_types_of_the_contract(
    opened: Opened, visits: pd.DataFrame
) -> None:
    study = opened(visits=visits[visits.columns[::-1]].assign(ward="a"))
    assert study.visits.columns == [
        "visit_id", "patient_id", "visit_date", "visit_type", "fee", "ward",
    ]  # fmt: skip
    assert [str(kind) for kind in study.visits.types] == [
        "VARCHAR", "VARCHAR", "DATE", "VARCHAR", "DOUBLE", "VARCHAR",
    ]  # fmt: skip


def test_a_study_says_what_it_has(opened: Opened) -> None:
    study = opened()
    assert study.tables == ("patients", "visits")
    assert study.has("visits")
    assert study.has("visits", "fee")
    assert not study.has("visits", "department")
    assert not study.has("points", "points")


def test_a_table_the_study_lacks_is_an_error_of_the_data(opened: Opened) -> None:
    with pytest.raises(DataError, match="points: the study has no such table; add it"):
        opened().table("points")


def test_a_table_the_contract_lacks_is_an_error_of_the_caller(opened: Opened) -> None:
    with pytest.raises(UsageError, match=r'did you mean "visits"\?'):
        opened().table("visit")


def test_facts_are_rows_days_and_files_of_every_table(folder: Path) -> None:
    facts = open_study(folder).facts()
    assert facts.columns.tolist() == ["table", "n_rows", "first_date", "last_date", "files"]
    assert facts["table"].tolist() == ["patients", "visits"]
    assert facts["n_rows"].tolist() == [3, 4]
    assert facts["files"].tolist() == ["patients.csv", "visits.csv"]
    assert facts["first_date"].isna().tolist() == [True, False]
    visits = facts.set_index("table").loc["visits"]
    assert visits["first_date"] == pd.Timestamp("2024-01-05")
    assert visits["last_date"] == pd.Timestamp("2024-12-31")


def test_files_are_listed_with_their_hash_and_size(folder: Path) -> None:
    files = {file["path"]: file for file in open_study(folder).files}
    assert list(files) == ["study.toml", "patients.csv", "visits.csv"]
    content = (folder / "visits.csv").read_bytes()
    assert files["visits.csv"]["sha256"] == hashlib.sha256(content).hexdigest()
    assert files["visits.csv"]["bytes"] == len(content)


def test_a_file_outside_the_folder_is_listed_by_its_name_alone(
    tmp_path: Path, folder: Path
) -> None:
    outside = tmp_path / "elsewhere.csv"
    (folder / "visits.csv").rename(outside)
    study = open_study(folder, mapping={"tables": {"visits": {"file": str(outside)}}})
    assert study.files[-1]["path"] == "elsewhere.csv"


def test_a_study_is_opened_by_its_settings_file_as_well(folder: Path) -> None:
    assert open_study(folder / "study.toml").tables == ("patients", "visits")


def test_a_mapping_may_stand_in_a_file_of_its_own(tmp_path: Path, folder: Path) -> None:
    mapping = tmp_path / "other.toml"
    mapping.write_text("data_cutoff = 2025-06-30\n", encoding="utf-8")
    assert open_study(folder, mapping=mapping).data_cutoff == date(2025, 6, 30)
    assert open_study(folder).data_cutoff == date(2024, 12, 31)


def test_a_relation_outlives_the_name_of_its_study(folder: Path) -> None:
    for path in folder.glob("*.csv"):
        path.write_bytes(path.read_text(encoding="utf-8").encode("gb18030"))
    visits = open_study(folder, mapping={"encoding": "gb18030"}).visits
    gc.collect()
    assert visits.count("*").fetchall() == [(4,)]


def test_a_study_closes_with_its_block(folder: Path) -> None:
    with open_study(folder) as study:
        scratch = study._scratch
        assert scratch.exists()
    assert not scratch.exists()


def test_a_study_shows_itself_without_a_row_of_a_patient(opened: Opened) -> None:
    study = opened({"name": "<north>", "simulated": True})
    assert repr(study) == "<Study <north>, data_cutoff 2024-12-31: patients 3, visits 4>"
    html = study._repr_html_()
    assert "&lt;north&gt; (SIMULATED), data_cutoff 2024-12-31" in html
    assert "0012" not in html


def test_frames_are_left_as_they_were(opened: Opened, visits: pd.DataFrame) -> None:
    before = visits.copy()
    opened(visits=visits)
    pd.testing.assert_frame_equal(visits, before)


@pytest.mark.parametrize("call", [open_study, validate])
def test_a_path_without_a_study_is_an_error_of_the_caller(
    call: Callable[..., object], folder: Path
) -> None:
    with pytest.raises(UsageError, match=r"there is no study at .*did you mean"):
        call(str(folder) + "2")
    with pytest.raises(UsageError, match=r'"visits\.csv" is neither a folder nor a DuckDB file'):
        call(folder / "visits.csv")


def test_a_path_with_nothing_near_it_is_told_what_a_study_is(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no study at .*; name a folder with"):
        open_study(tmp_path / "nowhere" / "at all")


def test_a_single_frame_is_no_study(visits: pd.DataFrame) -> None:
    with pytest.raises(UsageError, match=r'a DataFrame is no study; pass .* as {"patients": ...}'):
        open_study(visits)  # type: ignore[arg-type]


def test_a_folder_of_tables_without_settings_is_told_how_to_get_them(folder: Path) -> None:
    (folder / "study.toml").unlink()
    for path in (folder, folder / "study.toml"):
        with pytest.raises(
            UsageError, match=r"no study\.toml in .* by: loyalty data init"
        ) as caught:
            open_study(path)
        assert caught.value.exit_status == 2


def test_frames_under_a_misspelt_name_are_an_error_of_the_caller(
    frames: dict[str, pd.DataFrame],
) -> None:
    with pytest.raises(UsageError, match=r'"patient" is not a table .*did you mean "patients"'):
        open_study({"patient": frames["patients"]}, mapping={"data_cutoff": "2024-12-31"})


def test_an_empty_folder_lacks_both_required_tables(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        open_study(tmp_path, mapping={"data_cutoff": "2024-12-31"})
    assert [fault.table for fault in caught.value.faults] == ["patients", "visits"]


def test_a_study_of_one_patient_opens(
    opened: Opened, patients: pd.DataFrame, visits: pd.DataFrame
) -> None:
    study = opened(patients=patients.head(1), visits=visits.head(1))
    assert study.facts()["n_rows"].tolist() == [1, 1]


def test_a_filled_table_has_every_column_of_the_contract_whatever_the_source_has():
    frames = {
        "patients": pd.DataFrame({"patient_id": ["a"], "ward": ["x"]}),
        "visits": pd.DataFrame(
            {"visit_id": ["v"], "patient_id": ["a"], "visit_date": ["2024-01-05"]}
        ),
    }
    study = open_study(frames, mapping={"data_cutoff": "2024-12-31"})
    assert study.patients.columns == ["patient_id", "ward"]
    filled = study.table("patients", filled=True)
    assert set(filled.columns) == {*CONTRACT["patients"].by_name, "ward"}
    types = dict(zip(filled.columns, map(str, filled.types), strict=True))
    assert (types["death_date"], types["birth_year"], types["sex"]) == ("DATE", "BIGINT", "VARCHAR")
    assert not study.has("patients", "sex")
