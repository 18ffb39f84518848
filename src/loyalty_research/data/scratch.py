"""A private folder for copies of data, gone with its owner even when the owner is killed."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

from loyalty_research.errors import SetupError

if sys.platform != "win32":
    import fcntl

_PREFIX = "loyalty-scratch-"
_LOCK = "in-use"
# Between the making of a folder and its lock lies an instant; nobody sweeps what is that young.
_YOUNG_SECONDS = 60


def make_scratch() -> tuple[Path, IO[bytes]]:
    """Return a new folder that only this user can read, with the lock that marks it as in use.

    Folders left by killed processes are removed first, because they may hold copies of patients'
    data.

    Returns:
        The folder, and an open file whose lock the system releases when the process ends.

    Raises:
        SetupError: The temporary folder of the machine cannot be written.
    """
    try:
        _sweep(Path(tempfile.gettempdir()))
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        lock = (folder / _LOCK).open("wb")
    except OSError as error:
        message = f"no temporary folder can be made: {error.strerror}; set TMPDIR to another disk"
        raise SetupError(message) from None
    _lock(lock)
    return folder, lock


def remove_scratch(folder: Path, lock: IO[bytes]) -> None:
    """Remove a folder made by `make_scratch`.

    Args:
        folder: the folder.
        lock: its lock.
    """
    lock.close()
    shutil.rmtree(folder, ignore_errors=True)


def _lock(file: IO[bytes]) -> bool:
    """Tell whether the lock could be taken; a system without locks never sweeps."""
    if sys.platform == "win32":
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _sweep(parent: Path) -> None:
    for folder in parent.glob(f"{_PREFIX}*"):
        try:
            state = (folder / _LOCK).stat()
            if state.st_uid != os.getuid() or time.time() - state.st_mtime < _YOUNG_SECONDS:
                continue
            with (folder / _LOCK).open("rb") as lock:
                abandoned = _lock(lock)
        except OSError:
            # Someone else's folder, or one that its owner is just removing.
            continue
        if abandoned:
            shutil.rmtree(folder, ignore_errors=True)
