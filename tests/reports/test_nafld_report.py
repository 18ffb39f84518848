"""The real study, from the published cohort to the published report."""

import csv
import json

import pytest

from loyalty_research.data.examples import write_example
from loyalty_research.reports.run import run_report

# Laboratory visits are a year or more apart, so a lapse needs a wide window.
PARAMETERS = {
    "lapse_days": 730,
    "lapse_windows": [365, 730, 1095],
    "report_days": [365, 1095, 1825],
    "period": "year",
}


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nafld")
    write_example("nafld", folder / "nafld")
    parameters = {"data": str(folder / "nafld"), **PARAMETERS}
    return run_report("02_retention", parameters=parameters, out=folder / "out").folder


def rows(report, name):
    with (report / f"tables/{name}.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_all_17549_patients_enter_the_attrition(report):
    attrition = rows(report, "attrition")
    assert attrition[0]["n_before"] == "17549"
    counts = [
        (int(row["n_before"]), int(row["n_excluded"]), int(row["n_after"])) for row in attrition
    ]
    assert all(before - excluded == after for before, excluded, after in counts)


def test_the_curve_falls_and_its_first_risk_set_is_the_cohort(report):
    curve = rows(report, "curve")
    assert int(curve[0]["n_at_risk"]) == int(rows(report, "attrition")[-1]["n_after"])
    estimates = [float(row["estimate"]) for row in curve]
    assert estimates == sorted(estimates, reverse=True)
    assert 0 < estimates[-1] < estimates[0] < 1


def test_a_wider_window_finds_fewer_lapses(report):
    shares = [float(row["estimate"]) for row in rows(report, "windows") if row["time"] == "365"]
    assert shares == sorted(shares)


def test_the_page_is_a_real_one_and_marked_as_not_simulated(report):
    page = (report / "report.html").read_text(encoding="utf-8")
    manifest = json.loads((report / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["data"]["simulated"] is False
    assert "SIMULATED" not in page
    assert "still coming" in manifest["findings"][0]["sentence"]
