"""What `pytest --nbval notebooks` compares: numbers with tolerance, everything else exactly.

nbval runs each notebook cell by cell and compares what comes out with what is stored. By itself it
has no numeric tolerance, passes notebooks that store no output, lets a cell opt out of its check,
and takes the process number in a warning for a difference. Here:

- floating point numbers agree within a relative tolerance of 1e-6, or within what a tag of the cell
  such as `tolerance:1e-4` says; integers and every letter between numbers agree exactly;
- the JSON of tables and findings is compared value by value;
- of a figure the name and the alternative text are compared, never its pixels: every plotted number
  is also in a table;
- an output that is missing or new, anything on stderr, and a notebook without stored outputs fail.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbval.plugin import IPyNbCell, IPyNbFile, find_comment_markers, find_metadata_tags

TOLERANCE = 1e-6
# A cell may not ask for more than this: an estimator that is 1 % off must be seen.
LARGEST_TOLERANCE = 1e-3
# Below this a difference is rounding noise around zero, where a relative one means nothing.
NOISE = 1e-12
CELL_SECONDS = 180.0
# Differences shown of one cell.
MOST = 12
_TAG = "tolerance:"
# A sign, thousands set apart, a fraction, an exponent; no part of a word, a version or a hash.
_NUMBER = re.compile(r"(?<![\w.])([-+]?\d+(?:,\d{3})*(?:\.\d+)?(?:[eE][-+]?\d+)?)(?![\w])")


def pytest_configure(config: pytest.Config) -> None:
    """Run the notebooks with this Python and give every cell a time limit."""
    if config.getoption("nbval_kernel_name", None) is None:
        config.option.nbval_current_env = True
    given = config.getoption("nbval_cell_timeout", CELL_SECONDS)
    config.option.nbval_cell_timeout = min(given, CELL_SECONDS)


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> Iterator[None]:
    """Put our comparison in the place of nbval's."""
    found = yield
    return [
        ReportNotebook.from_parent(parent, path=file_path) if isinstance(file, IPyNbFile) else file
        for file in found
    ]


class ReportNotebook(IPyNbFile):
    """A notebook whose stored outputs are the reference of its own next run."""

    faults: Sequence[str] = ()

    def collect(self) -> Iterator[pytest.Item]:
        """Yield a test for every code cell, or one that fails where there is no reference."""
        self.faults = stored_faults(nbformat.read(self.path, as_version=4))
        if self.faults:
            yield NoReference.from_parent(self, name="stored outputs", faults=self.faults)
            return
        for item in super().collect():
            yield ReportCell.from_parent(
                self,
                name=item.name,
                cell_num=item.cell_num,
                cell=item.cell,
                options=item.options,
            )

    def setup(self) -> None:
        """Start a kernel, unless there is nothing to compare with."""
        if not self.faults:
            super().setup()


class NoReference(pytest.Item):
    """The failure of a notebook that cannot be compared with itself."""

    def __init__(self, *, faults: Sequence[str], **more: Any) -> None:
        super().__init__(**more)
        self.faults = faults

    def runtest(self) -> None:
        """Fail with every fault of the reference."""
        repair = "run the notebook from top to bottom and store it with its outputs"
        pytest.fail("\n".join([*self.faults, repair]), pytrace=False)


class ReportCell(IPyNbCell):
    """A code cell whose outputs are compared as this module says."""

    def compare_outputs(self, test: Any, ref: Any, skip_compare: Any = None) -> bool:
        """Return whether the cell's outputs agree, and keep the differences for the report."""
        found = list(output_differences(ref, test, tolerance=cell_tolerance(self.cell)))
        more = [f"and {len(found) - MOST} more differences"] if len(found) > MOST else []
        self.comparison_traceback = [*found[:MOST], *more]
        return not found


def stored_faults(notebook: nbformat.NotebookNode) -> list[str]:
    """Return why a notebook's stored outputs cannot serve as a reference.

    Args:
        notebook: as it is stored. Cells are numbered as nbval does: code cells, from 0.

    Examples:
        >>> cell = nbformat.v4.new_code_cell("1 + 1")
        >>> stored_faults(nbformat.v4.new_notebook(cells=[cell]))
        ['Cell 0 was never run', 'no cell stores an output']
    """
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    faults = [
        f"Cell {number} {fault}"
        for number, cell in enumerate(cells)
        if cell.source.strip()
        for fault in _cell_faults(cell)
    ]
    if not any(cell.outputs for cell in cells):
        faults.append("no cell stores an output")
    return faults


def _cell_faults(cell: nbformat.NotebookNode) -> Iterator[str]:
    if cell.execution_count is None:
        yield "was never run"
    if any(output.output_type == "error" for output in cell.outputs):
        yield "stores an error"
    if any(_is_stderr(output) for output in cell.outputs):
        yield "stores stderr"
    if [*find_comment_markers(cell.source), *find_metadata_tags(cell.metadata)]:
        yield "opts out of being checked"
    try:
        cell_tolerance(cell)
    except ValueError as error:
        yield str(error)


def cell_tolerance(cell: nbformat.NotebookNode) -> float:
    """Return the relative tolerance of a cell: that of its tag, or the usual one.

    Args:
        cell: a code cell.

    Raises:
        ValueError: the tag names no number, or one that would hide a changed estimate.

    Examples:
        >>> cell_tolerance(nbformat.v4.new_code_cell("", metadata={"tags": ["tolerance:1e-4"]}))
        0.0001
    """
    asked = [
        tag.removeprefix(_TAG) for tag in cell.metadata.get("tags", []) if tag.startswith(_TAG)
    ]
    try:
        tolerance = max(map(float, asked), default=TOLERANCE)
    except ValueError:
        tolerance = math.inf
    if not 0 <= tolerance <= LARGEST_TOLERANCE:
        raise ValueError(f"has a tolerance that is no number from 0 to {LARGEST_TOLERANCE:g}")
    return tolerance


def output_differences(stored: Any, found: Any, *, tolerance: float) -> Iterator[str]:
    """Yield how a cell's outputs differ from the stored ones, as text to print.

    Args:
        stored: the outputs in the notebook, streams of one name already joined.
        found: those of the new run.
        tolerance: relative, of floating point numbers.
    """
    for output in found:
        if _is_stderr(output):
            yield f"stderr: {output.text.strip()[:500]}"
    # When a stream arrives between other outputs is chance; what it says is not.
    yield from _differ("stdout", _printed(stored), _printed(found), tolerance)
    before, after = _displayed(stored), _displayed(found)
    if len(before) != len(after):
        yield f"outputs: {len(before)} stored, {len(after)} found"
    for number, (old, new) in enumerate(zip(before, after, strict=False)):
        yield from _differ(f"output {number}", old, new, tolerance)


def _is_stderr(output: Any) -> bool:
    return output.output_type == "stream" and output.name == "stderr"


def _printed(outputs: Any) -> str:
    is_stdout = (out for out in outputs if out.output_type == "stream" and out.name == "stdout")
    return "".join(output.text for output in is_stdout)


def _displayed(outputs: Any) -> list[dict[str, Any]]:
    return [_comparable(output) for output in outputs if output.output_type != "stream"]


def _comparable(output: Any) -> dict[str, Any]:
    if output.output_type == "error":
        return {"error": output.ename}
    shown = dict(output.data)
    for kind in shown:
        if kind.startswith("image/"):
            described = output.metadata.get(kind, {})
            shown[kind] = {name: described.get(name) for name in ("name", "alt")}
    return shown


def _differ(place: str, old: Any, new: Any, tolerance: float) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        yield from _differ(f"{place} keys", sorted(old), sorted(new), tolerance)
        for key in sorted(old.keys() & new.keys()):
            yield from _differ(f"{place} {key}", old[key], new[key], tolerance)
    elif isinstance(old, list) and isinstance(new, list):
        if len(old) != len(new):
            yield f"{place}: {len(old)} entries stored, {len(new)} found"
        for number, pair in enumerate(zip(old, new, strict=False)):
            yield from _differ(f"{place}[{number}]", *pair, tolerance)
    elif isinstance(old, str) and isinstance(new, str):
        if not texts_agree(old, new, tolerance=tolerance):
            yield f"{place}:\n  stored {_clip(old, new)}\n  found  {_clip(new, old)}"
    elif not values_agree(old, new, tolerance=tolerance):
        yield f"{place}: stored {old!r}, found {new!r}"


def _clip(text: str, other: str) -> str:
    """Return the part of a text around its first difference from the other."""
    at = next((i for i, pair in enumerate(zip(text, other, strict=False)) if len(set(pair)) > 1), 0)
    return repr(text[max(0, at - 60) : at + 60])


def values_agree(old: Any, new: Any, *, tolerance: float = TOLERANCE) -> bool:
    """Return whether two JSON values agree: floating point within tolerance, the rest exactly.

    Args:
        old: the stored value.
        new: the one found.
        tolerance: relative.

    Examples:
        >>> values_agree(0.5, 0.5 * (1 + 1e-9)), values_agree(0.5, 0.505), values_agree(8, 9)
        (True, False, False)
    """
    kinds = {type(old), type(new)}
    # JupyterLab writes 1.0 as 1 when it saves a notebook, so a whole number may meet a float.
    if kinds <= {int, float} and float in kinds:
        if math.isnan(old) or math.isnan(new):
            return math.isnan(old) and math.isnan(new)
        return math.isclose(old, new, rel_tol=tolerance, abs_tol=NOISE)
    return len(kinds) == 1 and old == new


def texts_agree(old: str, new: str, *, tolerance: float = TOLERANCE) -> bool:
    """Return whether two texts agree in every letter and, within tolerance, in every number.

    Args:
        old: the stored text.
        new: the one found.
        tolerance: relative, of numbers with a fraction or an exponent.

    Examples:
        >>> texts_agree("n = 1,204, S = 0.674000000", "n = 1,204, S = 0.674000001")
        True
        >>> texts_agree("n = 1,204, S = 0.674", "n = 1,205, S = 0.674")
        False
    """
    before, after = _NUMBER.split(old), _NUMBER.split(new)
    # Every second piece is a number; the pieces between them are text.
    return len(before) == len(after) and all(
        _numbers_agree(a, b, tolerance) if number % 2 else a == b
        for number, (a, b) in enumerate(zip(before, after, strict=True))
    )


def _numbers_agree(old: str, new: str, tolerance: float) -> bool:
    written = [any(sign in number.lower() for sign in ".e") for number in (old, new)]
    if not any(written):
        # Integers stay text, so that 007, 7 and +7 are three things.
        return old == new
    before, after = (float(number.replace(",", "")) for number in (old, new))
    # A table writes 1 where a drift of rounding makes it write 1.00: the same number, exactly.
    return values_agree(before, after, tolerance=tolerance) if all(written) else before == after
