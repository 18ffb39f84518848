"""The kernel: this interpreter, alone, and every way in which it can fail has its own error."""

import os
import sys

import nbformat
import nbformat.v4 as v4
import pytest

from loyalty_research.errors import DataError, ReportError, ReportTimeoutError, SetupError
from loyalty_research.reports.kernel import execute


def run(folder, source, *, seconds=60, kernel="no-such-kernel", **parameters):
    first = v4.new_code_cell("word = 'default'")
    first.metadata["tags"] = ["parameters"]
    notebook = v4.new_notebook(cells=[first, v4.new_code_cell(source)])
    notebook.metadata["kernelspec"] = {"name": kernel, "display_name": kernel, "language": "python"}
    path = folder / "a 笔记.ipynb"
    nbformat.write(notebook, path)
    executed = execute(
        path,
        parameters=parameters,
        output=folder / "done.ipynb",
        cell_seconds=seconds,
        on_cell=lambda index: None,
    )
    return executed.cells[-1].outputs[0].text.strip()


def test_it_is_this_interpreter_whatever_kernel_the_notebook_names(tmp_path):
    assert run(tmp_path, "import sys; print(sys.executable)") == sys.executable


def test_a_parameter_arrives_as_the_text_it_was(tmp_path):
    assert run(tmp_path, "print(repr(word))", word="0012 '城东' \"x\"") == repr("0012 '城东' \"x\"")


def test_it_computes_with_one_thread_and_a_fixed_hash_seed(tmp_path):
    source = "import os; print(os.environ['OMP_NUM_THREADS'], os.environ['PYTHONHASHSEED'])"
    assert run(tmp_path, source) == "1 0"


def test_the_users_own_ipython_start_up_is_not_read(tmp_path, monkeypatch):
    startup = tmp_path / "ipython/profile_default/startup"
    startup.mkdir(parents=True)
    (startup / "00.py").write_text("smuggled = 1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    assert run(tmp_path, "print('smuggled' in globals())") == "False"


def test_a_foreign_error_is_named_without_its_message(tmp_path):
    with pytest.raises(ReportError, match="raised ValueError") as caught:
        run(tmp_path, "raise ValueError('patient 4711')")
    assert "4711" not in str(caught.value)


def test_an_error_of_this_package_keeps_its_message_and_status(tmp_path):
    source = (
        "from loyalty_research.errors import DataError, Fault\n"
        "raise DataError([Fault('visits', 'x', 3, 'x is missing in 3 rows', 'mend it')])"
    )
    with pytest.raises(DataError, match="x is missing in 3 rows") as caught:
        run(tmp_path, source)
    assert caught.value.exit_status == 3


def test_a_killed_kernel_is_a_fault_of_the_environment(tmp_path):
    with pytest.raises(SetupError, match="the kernel died") as caught:
        run(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert caught.value.exit_status == 5


def test_a_cell_that_runs_too_long_is_stopped(tmp_path):
    with pytest.raises(ReportTimeoutError, match="longer than 1 seconds") as caught:
        run(tmp_path, "import time; time.sleep(60)", seconds=1)
    assert caught.value.exit_status == 6


def test_no_kernel_is_left_behind(tmp_path):
    kernel = int(run(tmp_path, "import os; print(os.getpid())"))
    with pytest.raises(ProcessLookupError):
        os.kill(kernel, 0)
