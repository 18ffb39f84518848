"""Whether the parts of the project that say the same thing twice still agree."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from loyalty_research.data.dictionary import data_dictionary
from loyalty_research.data.project import project_file
from loyalty_research.errors import LoyaltyError
from loyalty_research.reports.harvest import code_cells, harvest
from loyalty_research.reports.parameters import notebook_parameters
from loyalty_research.reports.registry import REPORTS, Report

LONGEST_CELL = 15
LOGIC = (ast.FunctionDef, ast.ClassDef, ast.For, ast.While, ast.If, ast.Try, ast.With)


def check_project() -> list[str]:
    """Return one line for each disagreement; an empty list is what should be.

    Compared are each report's `parameters` cell with its model, its stored outputs with what it
    declares, every notebook with the house's rules, and `data/README.md` with the contract.
    """
    faults: list[str] = []
    for report in REPORTS.values():
        faults += check_report(report)
    for path in sorted(project_file("notebooks").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        faults += (f"{path.name}: {fault}" for fault in check_notebook(notebook))
    return [*faults, *_check_dictionary()]


def check_report(report: Report) -> list[str]:
    """Return where a report's notebook departs from its model or from what it declares.

    Args:
        report: one of the registry.

    Examples:
        >>> from loyalty_research.reports.registry import find_report
        >>> check_report(find_report("02_retention"))
        []
    """
    if not report.notebook.exists():
        return [f"{report.name}: its notebook is missing"]
    faults: list[str] = []
    try:
        faults += _parameter_faults(report)
        harvest(nbformat.read(report.notebook, as_version=4), report=report)
    except LoyaltyError as error:
        faults.append(str(error))
    return faults


def _parameter_faults(report: Report) -> Iterator[str]:
    cell = notebook_parameters(report.notebook)
    model = report.model.model_validate({}).model_dump()
    for name in sorted(set(cell) | set(model)):
        if name not in cell:
            yield f"{report.name}: parameter {name} is in the model, not in the notebook"
        elif name not in model:
            yield f"{report.name}: parameter {name} is in the notebook, not in the model"
        elif cell[name] != model[name] or type(cell[name]) is not type(model[name]):
            yield f"{report.name}: parameter {name} has another default in the notebook"


def check_notebook(notebook: NotebookNode) -> list[str]:
    """Return where a notebook breaks the house's rules for notebooks.

    Args:
        notebook: with its stored outputs.

    Examples:
        >>> import nbformat.v4 as v4
        >>> check_notebook(v4.new_notebook(cells=[v4.new_code_cell("for x in y: x")]))
        ['cell 0 was never run', 'cell 0 holds logic; put it into the package', 'ends without text']
    """
    faults: list[str] = []
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type == "code" and cell.source.strip():
            faults += (f"cell {index} {fault}" for fault in _cell_faults(cell))
    if not code_cells(notebook):
        faults.append("holds no code")
    if notebook.cells and notebook.cells[-1].cell_type != "markdown":
        faults.append("ends without text")
    return faults


def _cell_faults(cell: NotebookNode) -> Iterator[str]:
    if cell.execution_count is None:
        yield "was never run"
    if any(output.output_type == "error" for output in cell.outputs):
        yield "ended in an error"
    if any(output.get("name") == "stderr" for output in cell.outputs):
        yield "wrote to stderr"
    if len([line for line in cell.source.splitlines() if line.strip()]) > LONGEST_CELL:
        yield f"is longer than {LONGEST_CELL} lines"
    if any(isinstance(node, LOGIC) for node in ast.walk(ast.parse(cell.source))):
        yield "holds logic; put it into the package"


def _check_dictionary() -> Iterator[str]:
    # An installed wheel has no data/README.md: there is nothing to compare then.
    path = project_file("data/example").parent / "README.md"
    if path.exists() and Path(path).read_text(encoding="utf-8") != data_dictionary():
        yield "data/README.md differs from the contract; run: make dictionary"
