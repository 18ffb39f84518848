"""Run the notebooks on the bundled study and store their outputs: `make notebooks`."""

import sys
import tempfile
from pathlib import Path

import nbformat

from loyalty_research.reports.kernel import execute

ROOT = Path(__file__).resolve().parent.parent


def store(path: Path) -> None:
    """Run one notebook and keep its outputs, without clocks and paths of this machine."""
    with tempfile.TemporaryDirectory() as folder:
        executed = execute(
            path,
            parameters={},
            output=Path(folder) / path.name,
            cell_seconds=300,
            on_cell=lambda index: None,
        )
    executed.metadata.pop("papermill", None)
    for cell in executed.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
    count = 0
    for cell in executed.cells:
        if cell.cell_type == "code":
            count += 1
            cell.execution_count = count
            for output in cell.outputs:
                if output.output_type == "execute_result":
                    output.execution_count = count
    nbformat.write(executed, path)


if __name__ == "__main__":
    chosen = [Path(name) for name in sys.argv[1:]] or sorted((ROOT / "notebooks").glob("*.ipynb"))
    for path in chosen:
        sys.stderr.write(f"{path.name}\n")
        store(path.resolve())
