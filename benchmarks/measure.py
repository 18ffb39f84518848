"""Seconds and memory of one contender, each in a process of its own.

A contender is a function of `contenders.py`, of `contenders_effects.py` or of `reference.R`. It
prepares its input, which is not timed unless reading is part of the task, then runs; its memory is
what it took above that.
"""

from __future__ import annotations

import importlib
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
REPEATS = 3
ENOUGH_SECONDS = 30
"""A contender slower than this is run once: the ratio is then beyond doubt."""
MISSING = 3
"""Exit status where a library is not installed."""


@dataclass(frozen=True)
class Measurement:
    """What one contender needed, and a number of its answer to hold beside the others'."""

    seconds: float
    megabytes: float
    runs: int
    answer: list[float]
    processor: float = float("nan")
    """Seconds of all processors together, which a busy machine does not stretch."""
    peak: float = float("nan")
    """Megabytes at the most, the input and all libraries among them."""


class NotInstalledError(Exception):
    """A contender's library is not there; the comparison goes on without it."""


def measure(contender: str, *arguments: object, python: str = sys.executable) -> Measurement:
    """Return what a contender needed: `r:name` for R, a plain name for Python.

    A name with a dot is a function of that module here; `python` is the interpreter to run it.
    """
    words = [str(argument) for argument in arguments]
    if contender.startswith("r:"):
        command = ["Rscript", "--vanilla", str(HERE / "reference.R"), contender[2:], *words]
    else:
        command = [python, str(HERE / "measure.py"), contender, *words]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode == MISSING:
        raise NotInstalledError(contender)
    if run.returncode:
        raise RuntimeError(f"{contender} failed:\n{run.stderr}")
    found = json.loads(run.stdout.strip().splitlines()[-1])
    return Measurement(
        statistics.median(found["seconds"]),
        found["megabytes"],
        len(found["seconds"]),
        [float(value) for value in found["answer"]],
        statistics.median(found.get("processor", [float("nan")])),
        found.get("peak", float("nan")),
    )


def _memory(field: str) -> float:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field):
            return float(line.split()[1]) / 1024
    return float("nan")


def _reset_peak() -> None:
    # Linux forgets the highest use so far, so that making the input does not count.
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _run(name: str, arguments: list[str]) -> dict[str, Any]:
    sys.path.insert(0, str(HERE))
    module, _, function = name.rpartition(".")
    run = getattr(importlib.import_module(module or "contenders"), function)(*arguments)
    _reset_peak()
    before = _memory("VmRSS")
    seconds: list[float] = []
    processor: list[float] = []
    answer: Any = []
    while len(seconds) < REPEATS and sum(seconds) < ENOUGH_SECONDS:
        start, used = time.perf_counter(), time.process_time()
        answer = run()
        seconds.append(time.perf_counter() - start)
        processor.append(time.process_time() - used)
    peak = _memory("VmHWM")
    return {
        "seconds": seconds, "processor": processor, "megabytes": peak - before, "peak": peak,
        "answer": list(answer),
    }  # fmt: skip


if __name__ == "__main__":
    try:
        result = _run(sys.argv[1], sys.argv[2:])
    except ModuleNotFoundError:
        sys.exit(MISSING)
    # Written past Python's own streams: libraries print to them.
    os.write(1, (json.dumps(result, default=float) + "\n").encode())
