"""The same table means the same, wherever its rows come from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from loyalty_research.data.settings import TableSettings
from loyalty_research.data.sources import locate_files
from loyalty_research.data.study import Study, open_study
from loyalty_research.errors import DataError, UsageError

CUTOFF = {"data_cutoff": "2024-12-31"}


def rows(study: Study, table: str) -> list[tuple[Any, ...]]:
    return sorted(study.table(table).fetchall(), key=str)


@pytest.fixture
def expected(frames: dict[str, pd.DataFrame]) -> list[tuple[Any, ...]]:
    return rows(open_study(frames, mapping=CUTOFF), "visits")


def database(path: Path, frames: dict[str, pd.DataFrame]) -> Path:
    with duckdb.connect(str(path)) as connection:
        for name, frame in frames.items():
            connection.register("frame", frame)
            connection.execute(f'CREATE TABLE "{name}" AS SELECT * FROM frame')
    return path


@pytest.mark.parametrize(
    "kind",
    [
        pl.from_pandas,
        lambda frame: pl.from_pandas(frame).lazy(),
        lambda frame: pa.Table.from_pandas(frame, preserve_index=False),
        lambda frame: duckdb.from_df(frame),
    ],
    ids=["polars", "polars-lazy", "arrow", "duckdb"],
)
def test_frames_of_every_kind_give_the_same_study(
    frames: dict[str, pd.DataFrame], expected: list[Any], kind: Callable[[pd.DataFrame], Any]
) -> None:
    tables = {name: kind(frame) for name, frame in frames.items()}
    assert rows(open_study(tables, mapping=CUTOFF), "visits") == expected


def test_a_csv_folder_gives_the_same_study(folder: Path, expected: list[Any]) -> None:
    assert rows(open_study(folder), "visits") == expected


def test_parquet_files_give_the_same_study(
    tmp_path: Path, frames: dict[str, pd.DataFrame], expected: list[Any]
) -> None:
    for name, frame in frames.items():
        frame.to_parquet(tmp_path / f"{name}.parquet")
    assert rows(open_study(tmp_path, mapping=CUTOFF), "visits") == expected


def test_a_folder_of_parquet_files_is_one_table(
    folder: Path, visits: pd.DataFrame, expected: list[Any]
) -> None:
    (folder / "visits.csv").unlink()
    (folder / "visits").mkdir()
    visits.iloc[:1].to_parquet(folder / "visits" / "a [1].parquet")
    visits.iloc[1:].to_parquet(folder / "visits" / "b.parquet")
    study = open_study(folder)
    assert rows(study, "visits") == expected
    assert [file["path"] for file in study.files] == [
        "study.toml", "patients.csv", "visits/a [1].parquet", "visits/b.parquet",
    ]  # fmt: skip


def test_a_pattern_of_csv_files_is_one_table(
    folder: Path, visits: pd.DataFrame, expected: list[Any]
) -> None:
    (folder / "visits.csv").unlink()
    visits.iloc[:2].to_csv(folder / "门诊 2023.csv", index=False)
    visits.iloc[2:].to_csv(folder / "门诊 2024.csv", index=False)
    study = open_study(folder, mapping={"tables": {"visits": {"files": "门诊*.csv"}}})
    assert rows(study, "visits") == expected


def test_files_of_one_table_have_one_header(folder: Path, visits: pd.DataFrame) -> None:
    (folder / "visits.csv").unlink()
    (folder / "visits").mkdir()
    visits.to_csv(folder / "visits" / "a.csv", index=False)
    visits.iloc[:, ::-1].to_csv(folder / "visits" / "b.csv", index=False)
    with pytest.raises(DataError, match="1 of 2 files have another header than the first"):
        open_study(folder)


def test_a_duckdb_file_gives_the_same_study(
    tmp_path: Path, frames: dict[str, pd.DataFrame], expected: list[Any]
) -> None:
    path = database(tmp_path / "医院 1.duckdb", frames)
    before = path.read_bytes()
    with open_study(path, mapping=CUTOFF) as study:
        assert rows(study, "visits") == expected
        assert study.settings.name == "医院 1"
    assert path.read_bytes() == before


def test_tables_of_a_duckdb_file_may_have_other_names(
    tmp_path: Path, frames: dict[str, pd.DataFrame], expected: list[Any]
) -> None:
    path = database(tmp_path / "h.duckdb", {"病人": frames["patients"], "门诊": frames["visits"]})
    tables = {"patients": {"table": "病人"}, "visits": {"table": "main.门诊"}}
    with open_study(path, mapping={**CUTOFF, "tables": tables}) as study:
        assert rows(study, "visits") == expected
    files = {
        name: {"file": "h.duckdb", "table": table["table"].removeprefix("main.")}
        for name, table in tables.items()
    }
    with open_study(tmp_path, mapping={**CUTOFF, "tables": files}) as study:
        assert rows(study, "visits") == expected


def test_a_duckdb_file_without_the_table_says_so(
    tmp_path: Path, frames: dict[str, pd.DataFrame]
) -> None:
    path = database(tmp_path / "h.duckdb", frames)
    with pytest.raises(DataError, match='visits: the DuckDB file has no table "opd"'):
        open_study(path, mapping={**CUTOFF, "tables": {"visits": {"table": "opd"}}})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("visits.parquet", 'visits: "visits.parquet" is not a readable Parquet file'),
        ("h.duckdb", 'visits: the DuckDB file "h.duckdb" cannot be opened for reading'),
    ],
)
def test_a_damaged_file_is_a_fault(folder: Path, name: str, message: str) -> None:
    (folder / name).write_bytes(b"damaged, and long enough to be looked at" * 100)
    with pytest.raises(DataError, match=message):
        open_study(folder, mapping={"tables": {"visits": {"file": name}}})


def test_a_parquet_file_that_breaks_off_in_its_middle_is_a_fault(
    folder: Path, visits: pd.DataFrame
) -> None:
    path = folder / "visits.parquet"
    pd.concat([visits] * 5_000).to_parquet(path)
    content = bytearray(path.read_bytes())
    content[100:2_000] = b"\xff" * 1_900
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match=r'"visits.parquet" cannot be read to the end') as caught:
        open_study(folder)
    assert caught.value.__cause__ is None


def test_a_stated_file_that_is_not_there_is_a_fault(folder: Path) -> None:
    with pytest.raises(DataError, match=r'the file "门诊\.csv" cannot be found in the study'):
        open_study(folder, mapping={"tables": {"visits": {"file": "门诊.csv"}}})


def test_columns_are_found_in_upper_or_lower_case(
    opened: Callable[..., Study], visits: pd.DataFrame, expected: list[Any]
) -> None:
    assert rows(opened(visits=visits.rename(columns=str.upper)), "visits") == expected


def test_a_column_beyond_the_contract_is_kept(
    opened: Callable[..., Study], patients: pd.DataFrame
) -> None:
    study = opened(patients=patients.assign(收入=[1.5, 2.5, None]))
    assert study.has("patients", "收入")
    assert study.patients.aggregate('sum("收入")').fetchall() == [(4.0,)]


def test_a_mapped_column_hides_a_source_column_of_its_name(
    opened: Callable[..., Study], patients: pd.DataFrame
) -> None:
    source = patients.assign(sex=["?", "?", "?"], geschlecht=["male", "male", "female"])
    study = opened({"tables": {"patients": {"columns": {"sex": "geschlecht"}}}}, patients=source)
    assert study.patients.columns == ["patient_id", "sex", "birth_year"]
    assert study.patients.filter("sex = 'male'").count("*").fetchall() == [(2,)]


def test_a_column_with_an_empty_name_is_left_out(
    opened: Callable[..., Study], visits: pd.DataFrame
) -> None:
    source = visits.rename(columns={"fee": "Fee"}).assign(Fee="12,50")
    study = opened({"tables": {"visits": {"columns": {"fee": ""}}}}, visits=source)
    assert study.visits.columns == ["visit_id", "patient_id", "visit_date", "visit_type"]
    assert not study.has("visits", "fee")


def test_what_served_a_column_is_kept_under_its_own_name_once_that_is_switched_off(
    opened: Callable[..., Study], visits: pd.DataFrame
) -> None:
    source = visits.rename(columns={"fee": "费用"}).assign(费用="12,50")
    study = opened({"tables": {"visits": {"columns": {"fee": ""}}}}, visits=source)
    assert study.visits.columns[-1] == "费用"
    assert not study.has("visits", "fee")


def test_two_columns_of_one_name_are_a_fault(
    opened: Callable[..., Study], patients: pd.DataFrame
) -> None:
    twice = pd.concat([patients, patients[["sex"]]], axis=1)
    with pytest.raises(DataError, match="two columns have the same name"):
        opened(patients=twice)


def test_what_is_no_frame_is_refused(opened: Callable[..., Study]) -> None:
    with pytest.raises(UsageError, match="visits: a list is not a frame; pass pandas, Polars"):
        opened(visits=[1, 2])


def test_parquet_wins_over_csv_of_the_same_name(tmp_path: Path) -> None:
    for ending in ("csv", "parquet"):
        (tmp_path / f"visits.{ending}").touch()
    found = locate_files(tmp_path, "visits", TableSettings())
    assert [path.name for path in found] == ["visits.parquet"]
