"""The command line: what it prints where, and the status it exits with."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from loyalty_research.cli import _status

STUDY = {
    "patients.csv": "patient_id,sex\npat-0001,female\n",
    "visits.csv": "visit_id,patient_id,visit_date\nv-00001,pat-0001,2024-01-05\n",
    "study.toml": 'name = "One"\ndata_cutoff = 2024-12-31\n',
}


@pytest.fixture
def study(tmp_path):
    folder = tmp_path / "一个 study"
    folder.mkdir()
    for name, text in STUDY.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def loyalty(capfd):
    def loyalty(*words):
        status = _status([str(word) for word in words])
        out, err = capfd.readouterr()
        return status, out, err

    return loyalty


def test_the_reports_are_listed_with_their_questions(loyalty):
    status, out, _ = loyalty("list", "--json")
    assert status == 0
    assert [line["report"] for line in json.loads(out)] == [
        "01_data_and_cohort",
        "02_retention",
        "03_retention_model",
        "04_programme_effect",
        "05_roll_out",
        "06_service_change",
        "07_plan_a_study",
    ]


def test_the_parameters_of_a_report_are_shown_with_defaults_and_meaning(loyalty):
    status, out, _ = loyalty("params", "02_retention")
    assert status == 0
    assert "lapse_days" in out
    assert "180" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "02_retension"], 'did you mean "02_retention"'),
        (["run", "02_retention", "-p", "lapse_day=90"], 'did you mean "lapse_days"'),
        (["run", "02_retention", "-p", "site=../../x"], "site"),
        (["run", "02_retention", "--audience", "everyone"], "audience"),
        (["run", "02_retention", "--params", "there-is-none.toml"], "there is no such file"),
        (["batch", "there-is-none.toml"], "there is no such file"),
        (["rum"], "rum"),
        (["run"], "report"),
        (["run", "02_retention", "--fource"], "--fource"),
    ],
)
def test_a_mistake_in_the_words_exits_with_2_and_starts_nothing(
    loyalty, tmp_path, monkeypatch, words, said
):
    monkeypatch.chdir(tmp_path)
    status, out, err = loyalty(*words)
    assert status == 2
    assert said in err
    assert out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_sound_study_validates_with_status_0(loyalty, study):
    status, out, _ = loyalty("data", "validate", study)
    assert status == 0
    assert "visits" in out
    assert "no fault" in out


def test_a_faulty_study_exits_with_3_lists_every_fault_and_quotes_no_patient(loyalty, study):
    visits = study / "visits.csv"
    visits.write_text(
        visits.read_text() + "v-00001,pat-0001,2024-02-01\nv-00002,pat-7777,31/02/2024\n"
    )
    status, _, err = loyalty("data", "validate", study)
    assert status == 3
    for words in ("visit_id", "patient_id", "visit_date"):
        assert words in err
    for value in ("pat-7777", "31/02/2024", "v-00001"):
        assert value not in err


def test_a_dry_run_starts_nothing(loyalty, tmp_path):
    status, out, _ = loyalty("run", "02_retention", "--dry-run", "--out", tmp_path / "out")
    assert status == 0
    assert "would run" in out
    assert not (tmp_path / "out").exists()


def test_an_interrupt_exits_with_130(loyalty, monkeypatch):
    from loyalty_research.reports import registry

    def interrupted(name):
        raise KeyboardInterrupt

    monkeypatch.setattr(registry, "find_report", interrupted)
    assert loyalty("params", "02_retention")[0] == 130


def test_an_error_nobody_foresaw_is_told_without_its_message(loyalty, monkeypatch):
    from loyalty_research.reports import registry

    def broken(name):
        raise ValueError("patient 4711")

    monkeypatch.setattr(registry, "find_report", broken)
    status, out, err = loyalty("params", "02_retention")
    assert status == 1
    assert err.startswith("unexpected ValueError in test_cli.py, line ")
    assert "4711" not in out + err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_exits_with_130_and_leaves_no_staging_folder(tmp_path, number):
    command = [sys.executable, "-m", "loyalty_research", "run", "01_data_and_cohort"]
    out = tmp_path / "out"
    process = subprocess.Popen([*command, "--out", str(out)], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(out.glob(".staging/*/*/report.ipynb")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "interrupted; nothing half-done is left" in err
    assert not [path for path in (out / ".staging").rglob("*") if path.is_file()]
    assert not list(out.glob("*/*/latest.json"))


def test_the_folder_of_the_command_does_not_matter(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "loyalty_research", "list"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "02_retention" in done.stdout
    assert Path(tmp_path).exists()


HOSPITAL = {
    "病人.csv": "病人编号,性别,出生年份\nH0001,女,1950\nH0002,男,1960\n",
    "就诊.csv": "流水号,病人编号,就诊日期\nV01,H0001,2024/01/05\nV02,H0002,2024/03/01\n",
}


def test_a_hospitals_own_files_are_described_corrected_and_found_sound(loyalty, tmp_path):
    for name, text in HOSPITAL.items():
        (tmp_path / name).write_text(text, encoding="gb18030")
    status, out, err = loyalty("data", "init", tmp_path)
    assert status == 0
    assert "data_cutoff = 2024-03-01 is the last visit found, a guess" in err
    assert "data validate" in out
    assert loyalty("data", "validate", tmp_path)[0] == 0
    written = (tmp_path / "study.toml").read_text(encoding="utf-8")
    assert loyalty("data", "init", tmp_path)[0] == 2
    assert (tmp_path / "study.toml").read_text(encoding="utf-8") == written


def test_a_simulated_study_is_written_whole_and_is_sound(loyalty, tmp_path):
    out = tmp_path / "模拟 study"
    words = ["data", "simulate", "--seed", "7", "--patients", "200", "--out", out]
    assert loyalty(*words)[0] == 0
    assert loyalty("data", "validate", out)[0] == 0
    assert json.loads((out / "truth.json").read_text(encoding="utf-8"))["n_patients"] == 200
    # A second study never overwrites the first.
    assert loyalty(*words)[0] == 2


def test_an_unknown_example_is_refused(loyalty, tmp_path):
    status, _, err = loyalty("data", "example", "nafdl", "--out", tmp_path / "x")
    assert status == 2
    assert "nafld" in err
    assert not (tmp_path / "x").exists()
