"""Runs: published whole, skipped when nothing changed, or failed with nothing touched."""

import json

import pytest

from loyalty_research.errors import (
    DataError,
    DisclosureError,
    ReportError,
    ReportTimeoutError,
    SetupError,
    UsageError,
)
from loyalty_research.reports import run as run_module
from loyalty_research.reports.publish import Place, output_hashes
from loyalty_research.reports.run import run_report

pytestmark = pytest.mark.usefixtures("tiny_reports")


@pytest.fixture
def run(six_patients, tmp_path):
    def run(name="tiny", *, parameters=None, **more):
        values = {"data": str(six_patients), **(parameters or {})}
        return run_report(name, parameters=values, out=tmp_path / "out", **more)

    return run


def all_files(folder):
    return {file["path"]: file["sha256"] for file in output_hashes(folder)}


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_a_run_publishes_page_notebook_results_tables_figures_and_manifest(run):
    outcome = run()
    assert outcome.status == "published"
    assert outcome.reason == "first run"
    assert sorted(all_files(outcome.folder)) == [
        "figures/line.png",
        "manifest.json",
        "report.html",
        "report.ipynb",
        "results.json",
        "tables/visits.csv",
    ]
    assert read(outcome.folder / "results.json")["tables"]["visits"]["rows"] == [[7]]
    assert (outcome.folder / "tables/visits.csv").read_text("utf-8-sig").split() == ["visits", "7"]


def test_the_manifest_says_what_the_run_was_made_of(run):
    outcome = run()
    manifest = read(outcome.folder / "manifest.json")
    hashed = {output["path"]: output["sha256"] for output in manifest["outputs"]}
    files = all_files(outcome.folder)
    del files["manifest.json"]
    assert hashed == files
    assert manifest["data"]["data_cutoff"] == "2024-12-31"
    rows = {table["table"]: table["n_rows"] for table in manifest["data"]["tables"]}
    assert rows == {"patients": 6, "visits": 7}
    assert manifest["findings"] == [{"name": "visits", "sentence": "The study holds 7 visits."}]
    assert set(manifest["made_from"]) == {"code", "parameters", "data", "environment"}
    assert manifest["previous"] is None
    assert set(manifest["seconds"]) <= {"How many visits?", "The data", "The answer"}


def test_latest_points_at_the_run_and_the_index_links_it(run, tmp_path):
    outcome = run()
    latest = read(outcome.folder.parent / "latest.json")
    assert latest["run_id"] == outcome.folder.name
    assert "The study holds 7 visits." in (tmp_path / "out/index.html").read_text("utf-8")


def test_the_published_notebook_names_no_folder_of_this_machine(run, tmp_path):
    folder = run().folder
    for name in ("report.html", "results.json"):
        assert str(tmp_path) not in (folder / name).read_text("utf-8")
    assert "papermill" not in read(folder / "report.ipynb")["metadata"]


def test_a_second_run_of_the_same_is_skipped_and_says_so(run):
    first = run()
    second = run()
    assert second.status == "up to date"
    assert second.folder == first.folder
    assert run(force=True).folder != first.folder


def test_a_run_is_made_again_when_the_data_changed_and_says_why(run, six_patients):
    first = run()
    visits = six_patients / "visits.csv"
    visits.write_text(visits.read_text() + "v-00008,pat-0006,2024-07-01,East\n")
    second = run()
    assert second.reason == "data changed"
    previous = read(second.folder / "manifest.json")["previous"]
    assert previous == {"run_id": first.folder.name, "changed_since": ["data"]}
    assert read(first.folder / "results.json")["tables"]["visits"]["rows"] == [[7]]


def test_a_run_is_made_again_when_the_notebook_changed(run, tiny_reports):
    run()
    notebook = tiny_reports / "tiny.ipynb"
    notebook.write_text(notebook.read_text().replace("'fine'", "'finer'"))
    assert run().reason == "code changed"


def test_other_parameters_make_another_series(run):
    assert run().slug == "我们的 study"
    other = run(parameters={"site": "East", "conf_level": 0.9})
    assert other.slug == "我们的 study--East--conf_level-0.9"


def test_the_same_results_come_out_twice(run):
    first, second = run(), run(force=True)
    for name in ("results.json", "tables/visits.csv", "figures/line.png"):
        assert (first.folder / name).read_bytes() == (second.folder / name).read_bytes()


FAILURES = [
    ("broken", ReportError, "raised ValueError"),
    ("quits", ReportError, "a cell ended in SystemExit"),
    ("silent", ReportError, "the declared table 'visits' is missing"),
    ("killed", SetupError, "the kernel died"),
    ("leaky", DisclosureError, "report.html: 1 pseudonym"),
]


@pytest.mark.parametrize(("name", "error", "words"), FAILURES)
def test_a_failed_run_is_kept_with_its_cause_and_publishes_nothing(
    run, tmp_path, name, error, words
):
    with pytest.raises(error, match=words):
        run(name)
    [kept] = (tmp_path / "out/_failed" / name).rglob("failure.json")
    failure = read(kept)
    assert failure["exit_status"] == error.exit_status
    assert words in failure["message"]
    assert failure["command"].startswith(f"loyalty run {name} -p 'data=")
    assert not (tmp_path / "out" / name).exists()
    assert not list((tmp_path / "out/.staging").rglob("*.*"))


def test_what_is_held_back_lies_nowhere_under_the_output_folder(run, tmp_path):
    with pytest.raises(DisclosureError):
        run("leaky")
    kept = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert {"failure.json", "report.ipynb"} <= {path.name for path in kept}
    assert not [path for path in kept if "pat-0001" in path.read_text("utf-8", errors="ignore")]


def test_a_run_that_takes_too_long_is_stopped_and_kept(run, tmp_path):
    with pytest.raises(ReportTimeoutError):
        run("slow", cell_seconds=6)
    [kept] = (tmp_path / "out/_failed").rglob("failure.json")
    assert read(kept)["section"] == "The answer"


def test_no_stored_traceback_quotes_a_patient(run, tmp_path):
    with pytest.raises(ReportError):
        run("broken")
    for path in (tmp_path / "out").rglob("*"):
        if path.is_file():
            text = path.read_text("utf-8")
            # The cell's own source is the test's; what it printed is not kept.
            assert "pat-0001 is ill" not in text.replace("raise ValueError('pat-0001 is ill')", "")


def test_a_failure_leaves_the_published_run_untouched(run, tiny_reports):
    first = run()
    before = all_files(first.folder.parent)
    notebook = tiny_reports / "tiny.ipynb"
    notebook.write_text(notebook.read_text().replace("word = 'fine'", "1 / 0"))
    with pytest.raises(ReportError, match="ZeroDivisionError"):
        run()
    assert all_files(first.folder.parent) == before


def test_ctrl_c_leaves_nothing_half_done(run, tmp_path, monkeypatch):
    first = run()
    before = all_files(first.folder.parent)

    def interrupted(*arguments, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr(run_module, "render_page", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(force=True)
    assert all_files(first.folder.parent) == before
    assert not Place(tmp_path / "out", "tiny", first.slug).staging.exists()


def test_a_full_disk_in_mid_run_leaves_nothing_half_done(run, tmp_path, monkeypatch):
    first = run()
    before = all_files(first.folder.parent)

    def full(*arguments, **more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run_module, "write_outputs", full)
    with pytest.raises(SetupError, match="the disk is full"):
        run(force=True)
    assert all_files(first.folder.parent) == before


def test_faulty_data_stop_the_run_before_anything_starts(run, six_patients, tmp_path):
    visits = six_patients / "visits.csv"
    visits.write_text(visits.read_text() + "v-00009,pat-9999,2031-01-01,East\n")
    with pytest.raises(DataError) as caught:
        run()
    assert caught.value.exit_status == 3
    assert "pat-9999" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["tiny2", "Tiny"])
def test_a_misspelt_report_is_refused_with_the_one_that_was_meant(run, name):
    with pytest.raises(UsageError, match='did you mean "tiny"'):
        run(name)


def test_a_site_without_a_visit_is_refused(run):
    with pytest.raises(UsageError, match="no visit of the study is at facility 'West'"):
        run(parameters={"site": "West"})


def test_a_segment_that_is_no_column_of_patients_is_refused(six_patients, tmp_path, monkeypatch):
    monkeypatch.undo()
    with pytest.raises(UsageError, match='no column "sexx"; did you mean "sex"'):
        run_report(
            "02_retention",
            parameters={"data": str(six_patients), "segment": "sexx"},
            out=tmp_path / "out",
        )
    assert not (tmp_path / "out").exists()


def test_a_missing_study_is_refused(run, tmp_path):
    with pytest.raises((DataError, UsageError)):
        run(parameters={"data": str(tmp_path / "nothing here")})


def test_a_report_for_publication_rounds_what_its_record_says_of_the_data(run):
    outcome = run(parameters={"audience": "publish"})
    tables = read(outcome.folder / "manifest.json")["data"]["tables"]
    # Six patients and seven visits are small counts.
    assert [table["n_rows"] for table in tables] == [None, None]
