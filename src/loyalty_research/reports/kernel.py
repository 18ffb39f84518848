"""One notebook executed, start to end, in a kernel of this very interpreter.

papermill runs the cells. The kernel manager is ours: it ignores the kernel a notebook names, so
that no other installation is met by accident, and it speaks over local sockets instead of network
ports, so that two runs never race for one.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import nbformat
import papermill
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.exceptions import PapermillExecutionError

from loyalty_research import errors
from loyalty_research.errors import LoyaltyError, ReportError, ReportTimeoutError, SetupError

# papermill's own lines on a dead kernel or a time-out: `execute` raises what they say.
logging.getLogger("papermill").setLevel(logging.CRITICAL)

# Results must not depend on how many cores a machine has: threads change the order of sums.
KERNEL_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
}
START_SECONDS = 120


class LocalKernelManager(AsyncKernelManager):
    """Starts this interpreter's kernel, whatever kernel the notebook names."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        self._kernel_spec = KernelSpec(argv=argv, display_name="Python 3", language="python")
        # A socket's path may be at most about 100 characters, so the folder is a short one.
        self._folder = tempfile.TemporaryDirectory(prefix="loyalty-", ignore_cleanup_errors=True)
        self.connection_file = str(Path(self._folder.name) / "kernel.json")
        if os.name == "posix":
            self.transport = "ipc"

    # The asynchronous manager's methods are coroutines, though their base class declares none.
    async def start_kernel(self, **settings: Any) -> None:  # type: ignore[override]
        """Start the kernel without the user's own IPython start-up files."""
        own = {**KERNEL_ENVIRONMENT, "IPYTHONDIR": self._folder.name}
        # What the kernel's own process prints may quote data: the notebook keeps what matters.
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        await super().start_kernel(**{**settings, **quiet, "env": {**os.environ, **own}})

    async def cleanup_resources(self, restart: bool = False) -> None:  # type: ignore[override]
        """Remove the sockets with their folder."""
        await super().cleanup_resources(restart=restart)
        if not restart:
            self._folder.cleanup()


def execute(
    notebook: Path,
    *,
    parameters: Mapping[str, Any],
    output: Path,
    cell_seconds: int,
    on_cell: Callable[[int], None],
) -> nbformat.NotebookNode:
    """Return the executed notebook, which is also written to `output` as far as it got.

    Args:
        notebook: the report's notebook.
        parameters: values for its `parameters` cell.
        output: where the executed notebook is written.
        cell_seconds: how long one cell may take.
        on_cell: called with the index of each cell before it runs.

    Raises:
        ReportTimeoutError: a cell took longer.
        SetupError: the kernel could not start, or died.
        ReportError: a cell raised an error; an error of this package is raised as itself.
    """
    try:
        return papermill.execute_notebook(
            notebook,
            output,
            parameters=dict(parameters),
            kernel_name="python3",
            language="python",
            progress_bar=False,
            cwd=notebook.parent,
            start_timeout=START_SECONDS,
            execution_timeout=cell_seconds,
            kernel_manager_class=LocalKernelManager,
            on_cell_start=lambda cell, cell_index: on_cell(cell_index),
        )
    except (PapermillExecutionError, CellTimeoutError, DeadKernelError, RuntimeError) as error:
        raise _named(error, cell_seconds) from None


def _named(error: Exception, cell_seconds: int) -> LoyaltyError:
    if isinstance(error, CellTimeoutError):
        return ReportTimeoutError(f"a cell ran longer than {cell_seconds} seconds and was stopped")
    if isinstance(error, DeadKernelError):
        return SetupError("the kernel died; it was killed, or the machine ran out of memory")
    if isinstance(error, PapermillExecutionError):
        return _from_cell(error)
    return SetupError(f"the kernel could not run the notebook ({type(error).__name__})")


def _from_cell(error: PapermillExecutionError) -> LoyaltyError:
    # Our own messages quote no patient; any other library's message may, and is withheld.
    own = getattr(errors, error.ename, None)
    if own is None:
        return ReportError(
            f"a cell raised {error.ename}; its message is withheld: it may quote data"
        )
    if own is errors.DataError:
        return errors.DataError.from_text(error.evalue)
    return own(error.evalue)
