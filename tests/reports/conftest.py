"""A report that runs in two seconds, and a study of six patients."""

import nbformat
import nbformat.v4 as v4
import pytest

from loyalty_research.reports import registry
from loyalty_research.reports.parameters import ReportParameters
from loyalty_research.reports.registry import Report

PATIENTS = """patient_id,sex,birth_year
pat-0001,female,1950
pat-0002,male,1961
pat-0003,female,1972
pat-0004,male,1983
pat-0005,female,1994
pat-0006,unknown,2005
"""
VISITS = """visit_id,patient_id,visit_date,facility_id
v-00001,pat-0001,2024-01-05,0012
v-00002,pat-0001,2024-03-05,0012
v-00003,pat-0002,2024-01-09,0012
v-00004,pat-0003,2024-02-11,East
v-00005,pat-0004,2024-02-20,East
v-00006,pat-0005,2024-05-01,East
v-00007,pat-0006,2024-06-30,East
"""
SETTINGS = """name = "Six patients"
data_cutoff = 2024-12-31
"""

READ = """
from loyalty_research.data.study import open_study
from loyalty_research.display.shown import show_figure, show_finding, show_table
study = open_study(data)
visits = study.visits.df()
"""
SHOW_TABLE = """
import pandas as pd
show_table(pd.DataFrame({"visits": [len(visits)]}), name="visits", caption="Visits")
"""
SHOW_FIGURE = """
from matplotlib.figure import Figure
figure = Figure(figsize=(2, 1))
figure.subplots().plot([0, 1], [1, 0])
show_figure(figure, name="line", alt="A line that falls")
"""
SHOW_FINDING = """
show_finding(f"The study holds {len(visits)} visits.", name="visits", estimates=[])
"""
BODIES = {
    "tiny": "word = 'fine'",
    "broken": "raise ValueError('pat-0001 is ill')",
    "quits": "import sys; sys.exit(0)",
    "killed": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "slow": "import time; time.sleep(120)",
    "leaky": "visits.visit_id.iloc[0], visits.patient_id.iloc[0]",
    "silent": "",
}


def make_notebook(body, *, silent=False):
    parameters = v4.new_code_cell(
        'data = "../data/example"\nsite = ""\nentry_start = ""\nentry_end = ""\n'
        'washout_days = 0\nconf_level = 0.95\naudience = "internal"'
    )
    parameters.metadata["tags"] = ["parameters"]
    shown = [] if silent else [SHOW_TABLE, SHOW_FIGURE, SHOW_FINDING]
    cells = [v4.new_markdown_cell("# How many visits?"), parameters]
    cells += [v4.new_markdown_cell("## The data"), v4.new_code_cell(READ)]
    cells += [v4.new_markdown_cell("## The answer"), v4.new_code_cell(body)]
    cells += [v4.new_code_cell(source) for source in shown]
    return v4.new_notebook(cells=[*cells, v4.new_markdown_cell("Read the number above.")])


@pytest.fixture
def tiny_reports(tmp_path, monkeypatch):
    """Reports by the names of BODIES: one that succeeds and one for each way to fail."""
    folder = tmp_path / "project/notebooks"
    folder.mkdir(parents=True)
    for name, body in BODIES.items():
        nbformat.write(make_notebook(body, silent=name == "silent"), folder / f"{name}.ipynb")
    reports = {
        name: Report(
            name,
            "How many visits?",
            ReportParameters,
            tables=("visits",),
            figures=("line",),
            findings=("visits",),
        )
        for name in BODIES
    }
    monkeypatch.setattr(registry, "REPORTS", reports)
    monkeypatch.setattr(registry, "project_file", lambda name: tmp_path / "project" / name)
    return folder


@pytest.fixture
def six_patients(tmp_path):
    """The folder of a study of six patients and seven visits, with a name nobody expects."""
    folder = tmp_path / "我们的 study"
    folder.mkdir()
    (folder / "patients.csv").write_text(PATIENTS, encoding="utf-8")
    (folder / "visits.csv").write_text(VISITS, encoding="utf-8")
    (folder / "study.toml").write_text(SETTINGS, encoding="utf-8")
    return folder
