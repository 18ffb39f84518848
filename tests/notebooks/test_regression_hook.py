"""The test of the test: `pytest --nbval` turns red for a changed number, and only for that."""

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import nbformat
import nbformat.v4 as v4
import pytest

# An estimator and what a notebook shows of it, with one place where they can be made wrong. It
# imports nothing, so that the kernels of this test start quickly.
ESTIMATOR = """
import sys

CHANGES = {changes}


class Shown:
    def __init__(self, data):
        self.data = data

    def _repr_mimebundle_(self, include=None, exclude=None):
        return self.data


def result(case):
    change = CHANGES.get(case, {{}})
    if "stderr" in change:
        sys.stderr.write("ipykernel_4242: a warning")
    rows = [
        [time, n + change.get("more", 0), estimate * change.get("scale", 1.0)]
        for time, n, estimate in [(0, 8000, 1.0), (365, 4000, 0.58), (730, 1200, 0.41)]
    ]
    return [row[: change.get("columns", 3)] for row in rows[: change.get("rows", 3)]]


def shown(case):
    rows = result(case)
    names = ["time", "n", "estimate"][: len(rows[0])]
    table = {{"name": case, "caption": "The curve.", "columns": names, "rows": rows}}
    cells = "".join(f"<td>{{row[-1]:.3f}}</td>" for row in rows)
    html = f"<table>{{cells}}</table>"
    return Shown({{
        "application/vnd.loyalty.table+json": table, "text/html": html, "text/plain": repr(rows),
    }})


def said(case):
    finding = {{"name": case, "sentence": "58 of 100 stay.", "estimates": result(case)}}
    return Shown({{"application/vnd.loyalty.finding+json": finding, "text/plain": "58 of 100"}})
"""
CHANGES = {
    "one_per_cent": {"scale": 1.01},
    "one_per_cent_said": {"scale": 1.01},
    "drift": {"scale": 1 + 1e-9},
    "drift_said": {"scale": 1 + 1e-9},
    "count": {"more": 1},
    "row": {"rows": 2},
    "column": {"columns": 2},
    "stderr": {"stderr": True},
}
# These cells' code stays as it is and their stored output is edited by hand.
STORED = ("stored_digit", "stored_page", "stored_count", "stored_words", "stored_nothing")
CASES = (*CHANGES, *STORED, "untouched")
GREEN = ("drift", "drift_said", "untouched")


def _shown(case):
    """What the unchanged estimator shows, stored as a notebook stores it."""
    estimator = {}
    exec(ESTIMATOR.format(changes={}), estimator)  # noqa: S102
    data = estimator[_call(case)](case).data
    return v4.new_output("execute_result", data=data, execution_count=1)


def _call(case):
    return "said" if case.endswith("said") else "shown"


def _cell(case):
    source = f'{_call(case)}("{case}")'
    return v4.new_code_cell(source, execution_count=1, outputs=[_shown(case)])


def _notebook():
    imports = v4.new_code_cell("from estimator import said, shown", execution_count=1)
    return v4.new_notebook(cells=[imports, *map(_cell, CASES)])


def _edit(notebook, case, old, new):
    cell = notebook.cells[1 + CASES.index(case)]
    (output,) = cell.outputs
    text = nbformat.v4.writes_json(v4.new_notebook(cells=[cell]))
    assert old in text, "the edit of the stored output must hit something"
    output.update(nbformat.v4.reads_json(text.replace(old, new)).cells[0].outputs[0])


def _edited():
    notebook = _notebook()
    _edit(notebook, "stored_digit", "0.58", "0.59")
    _edit(notebook, "stored_page", "<td>0.580</td>", "<td>0.581</td>")
    _edit(notebook, "stored_count", "4000", "4001")
    _edit(notebook, "stored_words", "The curve.", "The line.")
    notebook.cells[1 + CASES.index("stored_nothing")].outputs = []
    return notebook


def _stripped():
    cells = [v4.new_code_cell(cell.source) for cell in _notebook().cells]
    return v4.new_notebook(cells=cells)


def _write(folder: Path, name, notebook, *, changes):
    folder.mkdir(exist_ok=True)
    (folder / "estimator.py").write_text(ESTIMATOR.format(changes=changes), encoding="utf-8")
    nbformat.write(notebook, folder / f"{name}.ipynb")


def _run(folder, hook_file):
    """Run the regression as `make test` does, and return its exit status and each cell's fate."""
    (folder / "conftest.py").write_text(hook_file.read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    report = folder / "junit.xml"
    command = [sys.executable, "-m", "pytest", "--nbval", "-q", "-p", "no:cacheprovider"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    done = subprocess.run(
        [*command, f"--junitxml={report}", str(folder)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    fates = {
        (case.get("classname").split(".")[-2], case.get("name")): "".join(
            fault.get("message", "") + (fault.text or "") for fault in case
        )
        for case in ET.parse(report).iter("testcase")
    }
    return done.returncode, fates


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory, hook_file):
    """The regression of a notebook on which nothing changed."""
    folder = tmp_path_factory.mktemp("unchanged")
    _write(folder, "report", _notebook(), changes={})
    return _run(folder, hook_file)


@pytest.fixture(scope="module")
def changed(tmp_path_factory, hook_file):
    """The regression with a mutated estimator, edited outputs and stripped references."""
    folder = tmp_path_factory.mktemp("changed")
    _write(folder, "report", _edited(), changes=CHANGES)
    _write(folder, "stripped", _stripped(), changes=CHANGES)
    return _run(folder, hook_file)


def _fate(fates, case):
    return fates["report", f"Cell {1 + CASES.index(case)}"]


def test_a_notebook_on_which_nothing_changed_is_green(unchanged):
    status, fates = unchanged
    assert status == 0
    assert len(fates) == 1 + len(CASES)
    assert set(fates.values()) == {""}


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("one_per_cent", "stored 0.58, found 0.5858"),
        ("one_per_cent_said", "stored 0.58, found 0.5858"),
        ("count", "stored 4000, found 4001"),
        ("row", "rows: 3 entries stored, 2 found"),
        ("column", "columns: 3 entries stored, 2 found"),
        ("stderr", "stderr: ipykernel_4242: a warning"),
        ("stored_digit", "stored 0.59, found 0.58"),
        ("stored_count", "stored 4001, found 4000"),
        ("stored_page", "<td>0.581</td>"),
        ("stored_words", "The line."),
        ("stored_nothing", "outputs: 0 stored, 1 found"),
    ],
)
def test_a_change_is_red_and_said(changed, case, said):
    status, fates = changed
    assert status == 1
    assert said in _fate(fates, case)


@pytest.mark.parametrize("case", GREEN)
def test_a_drift_of_rounding_and_untouched_cells_beside_red_ones_are_green(changed, case):
    assert _fate(changed[1], case) == ""


def test_a_stripped_reference_is_red_and_not_run(changed):
    fates = {cell: fault for (file, cell), fault in changed[1].items() if file == "stripped"}
    assert list(fates) == ["stored outputs"]
    assert "Cell 1 was never run" in fates["stored outputs"]
    assert "no cell stores an output" in fates["stored outputs"]
