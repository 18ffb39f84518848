"""Time the effects room beside what people use instead, with the memory each takes.

    python benchmarks/effects.py [--only NAME] [--scale SHARE] [--other PYTHON] [--folder FOLDER]

Every contender runs alone in a fresh process on the same input, three times, or once where one run
takes half a minute. What is printed is the median by the clock and by processor, the memory at its
peak, and how many times as long as ours it takes by processor: on another or a busy machine read
the ratios, not the seconds. PYTHON is the interpreter of an environment with moderndid and
diff-diff; by default this one, where contenders that are not installed are left out.

Estimates that differ from ours stop the comparison. At full scale a task of ours that needs more
seconds or memory than its limit, which is for two processors of their own, is marked, and the
command fails at the end.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from inputs import write_choosers, write_roll_out
from measure import Measurement, NotInstalledError, measure

MOST_MEGABYTES = 6 * 1024


@dataclass(frozen=True)
class Comparison:
    """One task: its input, who takes part, and what ours may need."""

    name: str
    title: str
    contender: str
    """What follows `ours_` and the others' names in `contenders_effects.py`."""
    write: Callable[[Path, int], Path]
    rows: int
    limit: float
    """Seconds that ours may take."""
    others: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()


MILLION = 1_000_000
STATSMODELS, ROLL_OUT = ("statsmodels",), ("moderndid", "diff_diff")
COMPARISONS = (
    Comparison(
        "weights", "weights with stacked errors, 20 covariates", "weights",
        write_choosers, MILLION, 20, STATSMODELS,
    ),
    Comparison(
        "aipw", "AIPW with stacked errors, 20 covariates", "doubly_robust",
        write_choosers, MILLION, 20, STATSMODELS,
    ),
    Comparison("tmle", "TMLE, 20 covariates", "targeted", write_choosers, MILLION, 20),
    Comparison(
        "cr2", "2,000 clinics by lot, CR2, 20 covariates", "clusters",
        write_choosers, MILLION, 20, STATSMODELS,
    ),
    Comparison(
        "did", "staggered roll-out, 40 periods", "roll_out", write_roll_out, 5000, 10, ROLL_OUT
    ),
    Comparison(
        "did_covariate", "staggered roll-out, 40 periods, doubly robust", "roll_out",
        write_roll_out, 5000, 10, ROLL_OUT, ("x",),
    ),
)  # fmt: skip


def write(line: str = "") -> None:
    """Write one line."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def row(label: str, found: Measurement, ours: Measurement | None = None) -> str:
    """Return a line of the table."""
    text = (
        f"  {label:<20}{found.seconds:9.2f} s{found.processor:9.2f} s of processor"
        f"{found.peak:9.0f} MB  {found.runs} run(s)"
    )
    return text if ours is None else f"{text}{found.processor / ours.processor:9.1f} x"


def measured(name: str, other: str, *arguments: object) -> Measurement | None:
    """Return what a contender needed here, or else under the other interpreter."""
    for python in dict.fromkeys((sys.executable, other)):
        try:
            return measure(f"contenders_effects.{name}", *arguments, python=python)
        except NotInstalledError:
            continue
    return None


def compare(task: Comparison, folder: Path, scale: float, other: str) -> bool:
    """Run one comparison and write its table; return whether ours kept to its limit."""
    n = int(task.rows * scale)
    path = task.write(folder, n)
    write(f"{task.title}, {n:,} {'units' if task.contender == 'roll_out' else 'patients'}")
    ours = measure(f"contenders_effects.ours_{task.contender}", path, *task.settings)
    write(row("loyalty_research", ours))
    for name in task.others:
        found = measured(f"{name}_{task.contender}", other, path, *task.settings)
        if found is None:
            write(f"  {name:<20}not installed")
            continue
        write(row(name, found, ours))
        np.testing.assert_allclose(found.answer, ours.answer, rtol=1e-5)
    # Nothing waits for a disk: with processors of its own a task takes no longer by the clock than
    # by processor, and on a busy machine the clock is stretched.
    seconds = min(ours.seconds, ours.processor)
    kept = scale < 1 or (seconds <= task.limit and ours.peak <= MOST_MEGABYTES)
    write("" if kept else f"  more than {task.limit:g} s or {MOST_MEGABYTES:,} MB\n")
    return kept


def main() -> None:
    """Run the comparisons asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--only", choices=[task.name for task in COMPARISONS], help="name of one comparison"
    )
    parser.add_argument("--scale", type=float, default=1, help="share of the rows")
    parser.add_argument(
        "--other", default=sys.executable, help="interpreter that has moderndid and diff-diff"
    )
    parser.add_argument(
        "--folder", type=Path, help="where inputs are kept; else a temporary folder"
    )
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = chosen.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        kept = [
            compare(task, folder, chosen.scale, chosen.other)
            for task in COMPARISONS
            if chosen.only in (None, task.name)
        ]
    sys.exit(0 if all(kept) else 1)


if __name__ == "__main__":
    main()
