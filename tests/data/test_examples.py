"""The bundled study is what its seed gives, keeps the contract, and stays small."""

import json

import pyarrow.parquet as pq
import pytest

from loyalty_research.data.contract import CONTRACT
from loyalty_research.data.examples import load_example, simulate_bundled_study, write_example
from loyalty_research.data.project import project_file
from loyalty_research.data.service_change import simulate_service_change
from loyalty_research.data.study import open_study
from loyalty_research.data.write import content_hash
from loyalty_research.errors import SetupError, UsageError

FOLDER = project_file("data/example")
STATED = json.loads((FOLDER / "truth.json").read_text(encoding="utf-8"))


def test_drawing_the_bundled_study_again_gives_the_same_values():
    again = simulate_bundled_study()
    assert content_hash(again.tables) == STATED["content_sha256"]


def test_the_bundled_files_hold_the_values_that_were_hashed():
    read = {path.stem: pq.read_table(path) for path in FOLDER.glob("*.parquet")}
    assert content_hash(read) == STATED["content_sha256"]


def test_the_bundled_truth_is_the_truth_of_the_bundled_study():
    again = json.loads(json.dumps(simulate_bundled_study().truth))
    assert set(STATED) == {*again, "content_sha256"}
    assert STATED["parameters"] == again["parameters"]
    for name, row in again["estimands"].items():
        assert STATED["estimands"][name]["value"] == pytest.approx(row["value"], rel=1e-12)
    for stated, row in zip(STATED["retention"], again["retention"], strict=True):
        assert stated["estimate"] == pytest.approx(row["estimate"], rel=1e-12)


def test_the_bundled_study_has_8000_patients_eight_clinics_four_years_and_every_table():
    with load_example("simulated") as study:
        sizes = study.facts().set_index("table")["n_rows"]
        assert sizes["patients"] == 8000
        assert sizes["facilities"] == 8
        assert {"patients", "visits", "rollout"} <= set(study.tables) <= set(CONTRACT)
        spans = study.facts().set_index("table").loc["visits", ["first_date", "last_date"]]
        assert [day.date().isoformat() for day in spans] == ["2021-01-01", "2024-12-31"]
        assert study.settings.simulated
        assert study.checks["passed"].all()


def test_the_bundled_study_takes_less_than_a_megabyte():
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 1_000_000


def test_the_bundled_study_needs_no_chinese_font():
    with load_example("simulated") as study:
        names = study.table("facilities").project("facility_name").fetchall()
        assert all(name.isascii() for (name,) in names)


def test_the_simulated_example_can_be_written_elsewhere(tmp_path):
    with open_study(write_example("simulated", tmp_path / "out", format="csv")) as study:
        assert study.visits.shape[0] == 86475


def test_drawing_the_bundled_waits_again_gives_the_same_values():
    folder = project_file("data/service_change")
    stated = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    again = simulate_service_change()
    assert content_hash(again.tables) == stated["content_sha256"]
    assert json.loads(json.dumps(again.truth)) | stated == stated
    assert sum(path.stat().st_size for path in folder.iterdir()) < 200_000


def test_the_bundled_waits_change_at_one_clinic_and_spill_over_to_the_next():
    with load_example("service_change") as study:
        visits = study.visits.df()
    late = visits["visit_date"] >= "2023-01-01"
    medians = visits.groupby(["facility_id", late])["wait_minutes"].median().unstack()
    change = medians[True] - medians[False]
    # Drift and season differ between the halves by a minute or two.
    assert change.to_dict() == pytest.approx({"F01": -28, "F02": 5, "F03": 0}, abs=2)


def test_an_unknown_example_is_refused_with_the_likely_one(tmp_path):
    with pytest.raises(UsageError, match='"nalfd" is not an example; did you mean "nafld"'):
        load_example("nalfd")
    with pytest.raises(UsageError, match="there are: simulated, service_change, nafld"):
        write_example("xyz", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_project_files_are_found_in_a_checkout_first_then_in_the_installed_package(tmp_path):
    package = tmp_path / "src" / "loyalty_research"
    installed = package / "_project" / "notebooks"
    installed.mkdir(parents=True)
    assert project_file("notebooks", package=package) == installed
    (tmp_path / "pyproject.toml").write_text("")
    assert project_file("notebooks", package=package) == installed
    (tmp_path / "notebooks").mkdir()
    assert project_file("notebooks", package=package) == tmp_path / "notebooks"


def test_a_folder_beside_the_environment_is_not_taken_for_the_project(tmp_path):
    package = tmp_path / "site-packages" / "loyalty_research"
    package.mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "notebooks").mkdir()
    with pytest.raises(SetupError, match="notebooks did not come with this installation"):
        project_file("notebooks", package=package)
