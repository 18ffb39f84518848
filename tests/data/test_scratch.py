"""Copies of data do not outlive the process that made them."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from loyalty_research.data.scratch import make_scratch, remove_scratch
from loyalty_research.errors import SetupError

KILLED = """
import os, signal
from loyalty_research.data.scratch import make_scratch
folder, lock = make_scratch()
(folder / "copy.csv").write_text("a copy")
print(folder, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def age(folder: Path) -> None:
    os.utime(folder / "in-use", (0, 0))


def test_a_scratch_folder_is_private_and_removed_by_its_owner(temporary: Path) -> None:
    folder, lock = make_scratch()
    assert folder.parent == temporary
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    remove_scratch(folder, lock)
    assert not folder.exists()


def test_the_next_study_removes_what_a_killed_process_left(temporary: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True)
    left = Path(killed.stdout.strip())
    assert (left / "copy.csv").exists()
    age(left)
    remove_scratch(*make_scratch())
    assert not left.exists()


def test_a_folder_in_use_is_left_alone(temporary: Path) -> None:
    folder, lock = make_scratch()
    age(folder)
    remove_scratch(*make_scratch())
    assert folder.exists()
    remove_scratch(folder, lock)


def test_a_folder_that_was_just_made_is_left_alone(temporary: Path) -> None:
    folder, lock = make_scratch()
    lock.close()
    remove_scratch(*make_scratch())
    assert folder.exists()


def test_a_machine_without_room_says_so(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(temporary / "absent"))
    with pytest.raises(SetupError, match="no temporary folder can be made: No such file") as caught:
        make_scratch()
    assert caught.value.exit_status == 5
