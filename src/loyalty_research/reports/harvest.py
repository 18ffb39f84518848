"""What an executed notebook produced: the tables, figures and findings held in its outputs.

A notebook writes no file. What it shows carries its numbers at full precision in the output itself,
so that the page, `results.json` and the stored reference of the regression test are one thing.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from nbformat import NotebookNode

from loyalty_research.display.shown import FINDING_MIME, TABLE_MIME
from loyalty_research.errors import ReportError
from loyalty_research.reports.registry import Report


@dataclass(frozen=True)
class Harvest:
    """Tables and findings as JSON, figures as PNG bytes, each by name in the order shown."""

    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    figures: dict[str, bytes] = field(default_factory=dict)
    findings: dict[str, dict[str, Any]] = field(default_factory=dict)


def harvest(notebook: NotebookNode, *, report: Report) -> Harvest:
    """Return what the executed notebook shows, once it is certain that it ran to its end.

    Args:
        notebook: as the kernel left it.
        report: declares the tables, figures and findings that must be there.

    Raises:
        ReportError: a cell did not run, or raised; a name is used twice; a declared output is
            missing or empty. Every fault is listed.

    Examples:
        >>> import nbformat.v4 as v4
        >>> from loyalty_research.reports.registry import find_report
        >>> harvest(v4.new_notebook(), report=find_report("02_retention"))
        Traceback (most recent call last):
        ...
        loyalty_research.errors.ReportError: 02_retention is not complete:
          the notebook holds no code
        ...
    """
    found = Harvest()
    faults = [*_cell_faults(notebook)]
    for output in _outputs(notebook):
        faults += _collect(found, output)
    faults += _missing(found, report)
    if faults:
        raise ReportError("\n  ".join([f"{report.name} is not complete:", *faults]))
    return found


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """Return the code cells that hold code.

    Examples:
        >>> import nbformat.v4 as v4
        >>> cells = [v4.new_markdown_cell("Text"), v4.new_code_cell("1"), v4.new_code_cell(" ")]
        >>> len(code_cells(v4.new_notebook(cells=cells)))
        1
    """
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def _cell_faults(notebook: NotebookNode) -> Iterator[str]:
    # A killed kernel, a time-out and `sys.exit(0)` all leave cells marked completed that never ran.
    cells = code_cells(notebook)
    never_ran = sum(cell.execution_count is None for cell in cells)
    if not cells:
        yield "the notebook holds no code"
    if never_ran:
        yield f"{never_ran} of {len(cells)} code cells never ran"
    for output in _outputs(notebook):
        if output.output_type == "error":
            yield f"a cell ended in {output.ename}"


def _outputs(notebook: NotebookNode) -> Iterator[NotebookNode]:
    return (output for cell in code_cells(notebook) for output in cell.outputs)


def _collect(found: Harvest, output: NotebookNode) -> list[str]:
    data = output.get("data", {})
    if TABLE_MIME in data:
        return _keep(found.tables, "table", data[TABLE_MIME]["name"], data[TABLE_MIME])
    if FINDING_MIME in data:
        return _keep(found.findings, "finding", data[FINDING_MIME]["name"], data[FINDING_MIME])
    if "image/png" in data:
        described = output.metadata.get("image/png", {})
        if not described.get("name") or not described.get("alt"):
            return ["a figure has no name or no text for those who cannot see it: use show_figure"]
        image = base64.b64decode(data["image/png"])
        return _keep(found.figures, "figure", described["name"], image)
    return []


def _keep(kept: dict[str, Any], kind: str, name: str, value: Any) -> list[str]:
    if name in kept:
        return [f"two {kind}s are named '{name}'"]
    kept[name] = value
    return []


def _missing(found: Harvest, report: Report) -> Iterator[str]:
    shown: list[tuple[str, tuple[str, ...], Mapping[str, Any]]] = [
        ("table", report.tables, found.tables),
        ("figure", report.figures, found.figures),
        ("finding", report.findings, found.findings),
    ]
    for kind, declared, kept in shown:
        for name in declared:
            if name not in kept:
                yield f"the declared {kind} '{name}' is missing"
            elif kind == "table" and not kept[name]["rows"]:
                yield f"the declared table '{name}' is empty"
