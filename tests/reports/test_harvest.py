"""A notebook has succeeded when every cell ran and everything it declares is there."""

import base64

import nbformat.v4 as v4
import pytest

from loyalty_research.display.shown import FINDING_MIME, TABLE_MIME
from loyalty_research.errors import ReportError
from loyalty_research.reports.harvest import harvest
from loyalty_research.reports.parameters import ReportParameters
from loyalty_research.reports.registry import Report

REPORT = Report("r", "?", ReportParameters, tables=("t",), figures=("f",), findings=("s",))
TABLE = {"name": "t", "columns": [{"name": "n", "type": "integer"}], "rows": [[5]]}
FINDING = {"name": "s", "sentence": "Half stayed.", "estimates": []}
PNG = base64.b64encode(b"\x89PNG").decode()


def cell(data, *, metadata=None, count=1):
    output = v4.new_output("display_data", data=data, metadata=metadata or {})
    return v4.new_code_cell("show()", execution_count=count, outputs=[output])


def figure(name="f", alt="a curve"):
    return cell({"image/png": PNG}, metadata={"image/png": {"name": name, "alt": alt}})


def complete():
    return [cell({TABLE_MIME: TABLE}), figure(), cell({FINDING_MIME: FINDING})]


def faults_of(cells):
    with pytest.raises(ReportError) as caught:
        harvest(v4.new_notebook(cells=cells), report=REPORT)
    return str(caught.value)


def test_everything_shown_is_collected_by_name():
    found = harvest(v4.new_notebook(cells=complete()), report=REPORT)
    assert found.tables["t"]["rows"] == [[5]]
    assert found.figures["f"] == b"\x89PNG"
    assert found.findings["s"]["sentence"] == "Half stayed."


def test_a_cell_that_never_ran_fails_the_report():
    cells = [*complete(), v4.new_code_cell("1 + 1")]
    assert "1 of 4 code cells never ran" in faults_of(cells)


def test_an_empty_code_cell_need_not_run():
    harvest(v4.new_notebook(cells=[*complete(), v4.new_code_cell("  \n")]), report=REPORT)


def test_an_exit_in_a_cell_fails_the_report():
    exit_output = v4.new_output("error", ename="SystemExit", evalue="0", traceback=[])
    cells = [*complete(), v4.new_code_cell("exit", execution_count=4, outputs=[exit_output])]
    assert "a cell ended in SystemExit" in faults_of(cells)


def test_every_missing_output_is_named():
    message = faults_of([v4.new_code_cell("pass", execution_count=1)])
    assert "declared table 't' is missing" in message
    assert "declared figure 'f' is missing" in message
    assert "declared finding 's' is missing" in message


def test_an_empty_declared_table_fails_the_report():
    cells = [cell({TABLE_MIME: TABLE | {"rows": []}}), *complete()[1:]]
    assert "declared table 't' is empty" in faults_of(cells)


def test_two_outputs_of_one_name_fail_the_report():
    assert "two tables are named 't'" in faults_of([cell({TABLE_MIME: TABLE}), *complete()])


def test_a_figure_without_a_text_for_those_who_cannot_see_it_fails_the_report():
    assert "use show_figure" in faults_of([*complete(), figure(name="g", alt="")])


def test_a_notebook_without_code_fails_the_report():
    assert "holds no code" in faults_of([v4.new_markdown_cell("# Hello")])
