"""Time the retention room beside what people use instead, with the memory each takes.

    python benchmarks/retention.py [--only NAME] [--scale SHARE] [--without-slow] [--folder FOLDER]

Every contender runs alone in a fresh process on the same input, three times, or once where one run
takes half a minute. What is printed is the median, the peak memory above the input, and how many
times as long as ours it takes: on another machine read the ratios, not the seconds. Answers that
differ from ours stop the comparison; R takes part where Rscript is installed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from inputs import write_patients, write_visits
from measure import Measurement, measure


@dataclass(frozen=True)
class Comparison:
    """One task: how many rows, who takes part, and the ratio that each has to show."""

    name: str
    title: str
    rows: int
    others: dict[str, float]
    """Contender -> how many times as long as ours it has to take."""
    slow: bool = False
    differs: tuple[str, ...] = ()
    """Contenders whose answer is known to be another one; why is said in `contenders.py`."""


MILLION = 1_000_000
COMPARISONS = (
    Comparison(
        "km",
        "Kaplan-Meier with its risk sets, from a file",
        10 * MILLION,
        {"lifelines_km": 4, "r:km": 50},
    ),
    Comparison(
        "aalen_johansen",
        "Aalen-Johansen, three causes",
        MILLION,
        {
            "statsmodels_aalen_johansen": 15,
            "lifelines_aalen_johansen": 1000,
            "r:aalen_johansen": 1000,
        },
        differs=("lifelines_aalen_johansen",),
    ),
    Comparison("logrank", "log-rank test", MILLION, {"lifelines_logrank": 15, "r:logrank": 200}),
    Comparison("cox", "Cox, 10 covariates, daily ties", MILLION, {"lifelines_cox": 2, "r:cox": 5}),
    Comparison(
        "cox_robust",
        "Cox with a clustered error",
        MILLION // 10,
        {"lifelines_cox_robust": 100, "r:cox_robust": 100},
        slow=True,
        differs=("lifelines_cox_robust",),
    ),
    Comparison("cox_entry", "Cox with delayed entry", MILLION, {"r:cox_entry": 4}),
    Comparison("cox_entry", "Cox with delayed entry", MILLION // 10, {"lifelines_cox_entry": 150}),
    Comparison(
        "proportional_hazards",
        "proportional hazards, score test",
        MILLION,
        {"r:proportional_hazards": 4},
    ),
    Comparison("concordance", "concordance with its error", MILLION, {"r:concordance": 6}),
    Comparison(
        "fine_gray", "Fine-Gray, 10 covariates", MILLION // 10, {"r:fine_gray": 1000}, slow=True
    ),
    Comparison(
        "spans",
        "first, last and lapse of each patient, from a file",
        50 * MILLION,
        {"pandas_spans": 4},
    ),
    Comparison("triangle", "monthly triangle, from a file", 50 * MILLION, {"pandas_triangle": 4}),
)


def write(line: str = "") -> None:
    """Write one line."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def row(label: str, found: Measurement, ours: Measurement | None = None, aim: float = 0) -> str:
    """Return a line of the table."""
    text = f"  {label:<34}{found.seconds:10.3f} s{found.megabytes:9.0f} MB  {found.runs} run(s)"
    if ours is None:
        return text
    return f"{text}{found.seconds / ours.seconds:10.1f} x   (aim {aim:g} x)"


def compare(task: Comparison, folder: Path, scale: float) -> None:
    """Run one comparison and write its table."""
    n = int(task.rows * scale)
    is_of_visits = task.name in ("spans", "triangle")
    path = (write_visits if is_of_visits else write_patients)(folder, n)
    write(f"{task.title}, {n:,} rows")
    ours = measure(f"ours_{task.name}", path)
    write(row("loyalty_research", ours))
    for other, aim in task.others.items():
        if other.startswith("r:") and not shutil.which("Rscript"):
            write(f"  {other:<34}  R is not installed")
            continue
        found = measure(other, path)
        write(row(other, found, ours, aim))
        if other not in task.differs:
            count = min(len(found.answer), len(ours.answer))
            np.testing.assert_allclose(found.answer[:count], ours.answer[:count], rtol=1e-5)
    write()


def flat(folder: Path, scale: float) -> None:
    """Write how much memory the curve takes on a tenth, a third and all of the rows."""
    write("Memory of the Kaplan-Meier curve from a file")
    for rows in (1, 3, 10):
        n = int(rows * MILLION * scale)
        write(row(f"{n:,} rows", measure("ours_km", write_patients(folder, n))))
    write()


def main() -> None:
    """Run the comparisons asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", help="name of one comparison")
    parser.add_argument("--scale", type=float, default=1, help="share of the rows")
    parser.add_argument("--without-slow", action="store_true", help="leave out what takes minutes")
    parser.add_argument(
        "--folder", type=Path, help="where inputs are kept; else a temporary folder"
    )
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = chosen.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        if chosen.only in (None, "flat"):
            flat(folder, chosen.scale)
        for task in COMPARISONS:
            if chosen.only in (None, task.name) and not (chosen.without_slow and task.slow):
                compare(task, folder, chosen.scale)


if __name__ == "__main__":
    main()
