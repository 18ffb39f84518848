"""The project's parts agree; and each way in which they could disagree is found."""

import nbformat
import nbformat.v4 as v4
import pytest

from loyalty_research.reports.check import check_notebook, check_project, check_report
from loyalty_research.reports.registry import REPORTS, find_report


def test_notebooks_models_dictionary_and_outputs_agree():
    assert check_project() == []


@pytest.mark.parametrize("name", list(REPORTS))
def test_the_notebook_and_the_model_name_the_same_parameters(name):
    assert check_report(REPORTS[name]) == []


def changed(tiny_reports, old, new):
    path = tiny_reports / "tiny.ipynb"
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        cell.source = cell.source.replace(old, new)
    nbformat.write(notebook, path)
    return check_report(find_report("tiny"))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("washout_days = 0", "washout_days = 30", "washout_days has another default"),
        ("washout_days = 0", "washout_days = 0.0", "washout_days has another default"),
        ("washout_days = 0", "washout = 0", "parameter washout is in the notebook, not in"),
        ('\nsite = ""', "", "parameter site is in the model, not in the notebook"),
    ],
)
def test_a_parameter_that_differs_is_found(tiny_reports, old, new, words):
    assert any(words in fault for fault in changed(tiny_reports, old, new))


def test_a_report_without_its_notebook_is_found(tiny_reports):
    (tiny_reports / "tiny.ipynb").unlink()
    assert check_report(find_report("tiny")) == ["tiny: its notebook is missing"]


def test_stored_outputs_that_lack_a_declared_one_are_found(tiny_reports):
    assert any("the declared table 'visits' is missing" in f for f in changed(tiny_reports, "", ""))


def notebook(source, *, outputs=(), count=1, last="The end."):
    cell = v4.new_code_cell(source, execution_count=count, outputs=list(outputs))
    return v4.new_notebook(cells=[cell, *([v4.new_markdown_cell(last)] if last else [])])


STDERR = v4.new_output("stream", name="stderr", text="careful")
ERROR = v4.new_output("error", ename="E", evalue="", traceback=[])


@pytest.mark.parametrize(
    ("made", "fault"),
    [
        (notebook("1", count=None), "cell 0 was never run"),
        (notebook("1", outputs=[STDERR]), "cell 0 wrote to stderr"),
        (notebook("1", outputs=[ERROR]), "cell 0 ended in an error"),
        (notebook("\n".join(["1"] * 16)), "cell 0 is longer than 15 lines"),
        (notebook("def f():\n    pass"), "cell 0 holds logic; put it into the package"),
        (notebook("[x for x in y if x]\nif z:\n    1"), "cell 0 holds logic; put it into"),
        (notebook("1", last=""), "ends without text"),
        (v4.new_notebook(cells=[v4.new_markdown_cell("x")]), "holds no code"),
    ],
)
def test_a_notebook_that_breaks_a_rule_is_found(made, fault):
    assert any(found.startswith(fault) for found in check_notebook(made))


def test_a_sound_notebook_breaks_none():
    assert check_notebook(notebook("\n".join(["1"] * 15))) == []
