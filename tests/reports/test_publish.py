"""Publication: all of a run or nothing of it, and one run of a series at a time."""

import csv
import json

import pytest

from loyalty_research.errors import SetupError
from loyalty_research.reports.harvest import Harvest
from loyalty_research.reports.publish import (
    Place,
    keep_failure,
    latest_manifest,
    output_hashes,
    publish,
    staged,
    write_json,
    write_outputs,
)


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path / "输 出", "02_retention", "城东 clinic")


def fail_in_the_middle(place, error):
    with staged(place) as (staging, _):
        (staging / "report.html").write_text("half a pa")
        raise error


def publish_one(place, run_id, text="page"):
    with staged(place) as (staging, _):
        (staging / "report.html").write_text(text)
        write_json(staging / "manifest.json", {"run_id": run_id})
        return publish(place, staging, run_id)


def test_a_published_run_is_the_latest(place):
    folder = publish_one(place, "run-1")
    assert (folder / "report.html").read_text() == "page"
    assert latest_manifest(place) == {"run_id": "run-1"}
    assert not place.staging.exists()


def test_a_run_that_fails_leaves_the_published_one_untouched(place):
    folder = publish_one(place, "run-1")
    before = output_hashes(folder)
    with pytest.raises(RuntimeError, match="power cut"):
        fail_in_the_middle(place, RuntimeError("power cut"))
    assert output_hashes(folder) == before
    assert latest_manifest(place) == {"run_id": "run-1"}
    assert not place.staging.exists()


def test_what_a_killed_run_left_is_removed_and_told(place):
    place.staging.mkdir(parents=True)
    (place.staging / "report.html").write_text("half")
    with staged(place) as (staging, left):
        assert left
        assert list(staging.iterdir()) == []


def test_a_second_run_of_the_same_series_is_refused(place):
    with staged(place):
        with pytest.raises(SetupError, match="another run of 02_retention"), staged(place):
            pass
        # The refused one must not have cleaned up the staging folder of the first.
        assert place.staging.exists()


def test_runs_of_different_series_do_not_wait_for_each_other(place):
    with staged(place), staged(Place(place.out, place.report, "another")) as (staging, _):
        assert staging.exists()


@pytest.mark.parametrize(
    ("number", "words"), [(28, "the disk is full"), (30, "read-only"), (13, "may not be written")]
)
def test_a_disk_that_refuses_is_named_with_its_repair(place, number, words):
    with pytest.raises(SetupError, match=words) as caught:
        fail_in_the_middle(place, OSError(number, "no"))
    assert caught.value.exit_status == 5
    assert not place.staging.exists()


def test_an_output_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "out").write_text("I am a file")
    place = Place(tmp_path / "out", "r", "s")
    with pytest.raises(SetupError, match="a file stands where a folder is needed"):
        fail_in_the_middle(place, RuntimeError("never reached"))
    assert (tmp_path / "out").read_text() == "I am a file"


def test_a_failed_run_is_kept_with_its_cause(place):
    with staged(place) as (staging, _):
        (staging / "report.ipynb").write_text("{}")
        kept = keep_failure(place, staging, "run-9", {"message": "why"})
    assert json.loads((kept / "failure.json").read_text()) == {"message": "why"}
    assert (kept / "report.ipynb").exists()
    assert not (place.folder / "latest.json").exists()


def table(*rows):
    columns = [{"name": "clinic", "type": "text"}, {"name": "estimate", "type": "number"}]
    return {"name": "t", "caption": "", "columns": columns, "rows": list(rows)}


def test_a_table_keeps_full_precision_and_starts_no_formula(tmp_path):
    found = Harvest(tables={"t": table(["=1+1", 1 / 3], ["城东", None], ["ok", -0.5])})
    write_outputs(tmp_path, found, page="<p>", notebook="{}")
    with (tmp_path / "tables/t.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["clinic", "estimate"],
        ["'=1+1", repr(1 / 3)],
        ["城东", ""],
        ["ok", "-0.5"],
    ]
    assert json.loads((tmp_path / "results.json").read_text())["tables"]["t"]["rows"][0][1] == 1 / 3


def test_figures_are_written_byte_for_byte(tmp_path):
    write_outputs(tmp_path, Harvest(figures={"curve": b"\x89PNG"}), page="", notebook="")
    assert (tmp_path / "figures/curve.png").read_bytes() == b"\x89PNG"


def test_the_hashes_change_with_a_single_byte(tmp_path):
    (tmp_path / "a.txt").write_text("one")
    before = output_hashes(tmp_path)
    assert before[0]["path"] == "a.txt"
    assert before[0]["bytes"] == 3
    (tmp_path / "a.txt").write_text("onE")
    assert output_hashes(tmp_path)[0]["sha256"] != before[0]["sha256"]


def test_a_latest_that_points_nowhere_is_no_manifest(place):
    place.folder.mkdir(parents=True)
    (place.folder / "latest.json").write_text('{"run_id": "gone", "path": "gone"}')
    assert latest_manifest(place) is None


def test_json_that_is_no_number_is_refused_rather_than_written(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert not (tmp_path / "x.json").exists()
