"""A study in hand becomes a folder: whole or not at all, and the same in every format."""

import hashlib
from dataclasses import dataclass, field

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loyalty_research.data import write
from loyalty_research.data.simulate import simulate_study
from loyalty_research.data.study import open_study
from loyalty_research.data.write import content_hash, to_arrow, write_study
from loyalty_research.errors import SetupError, UsageError


@dataclass
class Small:
    """Two patients with three visits, and a column the contract does not know."""

    tables: dict = field(
        default_factory=lambda: {
            "patients": pd.DataFrame(
                {"patient_id": ["甲", "b, \"quoted\""], "height_cm": [160.5, None]}
            ),
            "visits": pd.DataFrame(
                {
                    "visit_id": ["1", "2", "3"],
                    "patient_id": ["甲", "甲", "b, \"quoted\""],
                    "visit_date": pd.to_datetime(["2024-01-31", "2024-02-29", "2024-03-01"]),
                    "planned": [True, None, False],
                }
            ),
        }
    )  # fmt: skip
    settings: dict = field(
        default_factory=lambda: {
            "name": 'A "small" study',
            "data_cutoff": pd.Timestamp("2024-12-31").date(),
        }
    )
    truth: dict = field(default_factory=dict)


@pytest.fixture(scope="module")
def simulated():
    return simulate_study(seed=4, n_patients=300)


@pytest.mark.parametrize("format", ["parquet", "csv"])
def test_what_is_written_opens_with_the_same_values(simulated, tmp_path, format):
    out = write_study(simulated, tmp_path / "a study 研究", format=format)
    with open_study(out) as study:
        assert set(study.tables) == set(simulated.tables)
        assert study.settings.simulated
        for name, table in simulated.tables.items():
            key = table.columns[0]
            read = to_arrow(name, study.table(name).order(key).to_arrow_table()).to_pandas()
            written = to_arrow(name, table).to_pandas().sort_values(key, ignore_index=True)
            if "conditions" in written:
                # In CSV an empty text and a missing one are the same thing.
                read, written = (t.fillna({"conditions": ""}) for t in (read, written))
            pd.testing.assert_frame_equal(read, written)


@pytest.mark.parametrize("format", ["parquet", "csv"])
def test_other_scripts_quotes_missing_values_and_extra_columns_survive(tmp_path, format):
    with open_study(write_study(Small(), tmp_path / "out", format=format)) as study:
        assert study.settings.name == 'A "small" study'
        heights = study.patients.order("height_cm").fetchall()
        assert heights == [("甲", 160.5), ('b, "quoted"', None)]
        assert study.visits.order("visit_id").project("planned").fetchall() == [
            (True,),
            (None,),
            (False,),
        ]


def test_a_study_without_a_known_truth_has_no_truth_file(tmp_path):
    write_study(Small(), tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "patients.parquet",
        "study.toml",
        "visits.parquet",
    ]


def test_files_are_compressed_and_sorted_by_patient_and_date(simulated, tmp_path):
    path = write_study(simulated, tmp_path / "out") / "visits.parquet"
    column = pq.ParquetFile(path).metadata.row_group(0).column(0)
    assert column.compression == "ZSTD"
    visits = pq.read_table(path).to_pandas()
    order = visits.sort_values(["patient_id", "visit_date"]).index
    assert order.tolist() == list(range(len(visits)))


def test_an_empty_folder_may_be_filled_but_a_filled_one_is_left_alone(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    write_study(Small(), out)
    before = (out / "visits.parquet").read_bytes()
    with pytest.raises(UsageError, match="exists and is not an empty folder; name a new one"):
        write_study(Small(), out)
    assert (out / "visits.parquet").read_bytes() == before
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="is not an empty folder"):
        write_study(Small(), tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_an_unknown_format_is_refused_before_anything_is_made(tmp_path):
    with pytest.raises(UsageError, match='format "xlsx" is not one of parquet, csv'):
        write_study(Small(), tmp_path / "out", format="xlsx")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(table, path):
        path.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write, "_write_table", full)
    with pytest.raises(SetupError, match="cannot be written: No space left on device"):
        write_study(Small(), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_write_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupt(table, path):
        path.write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(write, "_write_table", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_study(Small(), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_written_study_is_as_readable_as_its_neighbours(tmp_path):
    out = write_study(Small(), tmp_path / "out")
    (tmp_path / "neighbour").mkdir()
    assert out.stat().st_mode == (tmp_path / "neighbour").stat().st_mode
    assert {path.name for path in tmp_path.iterdir()} == {"out", "neighbour"}


def test_the_hash_sees_every_value_and_no_type():
    visits = Small().tables["visits"]
    plain = content_hash({"visits": visits})
    assert content_hash({"visits": to_arrow("visits", visits)}) == plain
    later = visits.assign(visit_date=visits["visit_date"] + pd.Timedelta(days=1))
    swapped = visits.assign(patient_id=visits["patient_id"].iloc[::-1].to_numpy())
    unplanned = visits.assign(planned=[True, False, False])
    hashes = {content_hash({"visits": table}) for table in (visits, later, swapped, unplanned)}
    assert len(hashes) == 4


def test_the_hash_of_two_rows_can_be_computed_by_hand():
    table = pa.table({"facility_id": ["F1", "F2"], "facility_name": ["North", None]})
    spelled = (
        b"\x1dfacilities\x1efacility_id\x1eF1\x1fF2\x1dfacilities\x1efacility_name\x1eNorth\x1f\x00"
    )
    assert content_hash({"facilities": table}) == hashlib.sha256(spelled).hexdigest()
