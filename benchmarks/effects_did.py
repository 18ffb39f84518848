"""Time a staggered roll-out beside what people use instead: 5,000 units, 40 periods, 36 starts.

    python benchmarks/effects_did.py [--units N] [--periods N] [--other PYTHON]

PYTHON is the interpreter of an environment with moderndid, diff-diff and pyarrow; by default this
one, where contenders that are not installed are left out. Each contender runs alone in a fresh
process on the same file, three times, or once where one run takes half a minute. What counts is how
many times as long as ours it takes. Answers that differ from ours stop the comparison.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

REPEATS = 3
ENOUGH_SECONDS = 30
MISSING = 2
LONGEST_OURS = 10.0
"""Seconds of the processor that are allowed for 5,000 units and 40 periods."""


def write_panel(path: Path, *, units: int, periods: int) -> None:
    """Write units that start in any period from the fifth on, or never, with one covariate."""
    rng = np.random.default_rng(1)
    unit, period = np.repeat(np.arange(units), periods), np.tile(np.arange(1, periods + 1), units)
    choices = np.r_[np.arange(5, periods + 1), np.full(10, np.nan)]
    start = rng.choice(choices, units)[unit]
    x = rng.normal(size=units)[unit]
    y = x * period / periods + (period >= start) + rng.normal(size=len(unit))
    pd.DataFrame({"unit": unit, "period": period, "start": start, "x": x, "y": y}).to_parquet(path)


def ours(table: pd.DataFrame, covariates: list[str]) -> float:
    """Return the headline; all aggregations, bands and checks are made too."""
    from loyalty_research.effects import staggered_difference_in_differences

    return staggered_difference_in_differences(
        table, outcome="y", unit="unit", period="period", first_treated="start", seed=1,
        covariates=covariates or None,
    ).headline["estimate"]  # fmt: skip


def moderndid(table: pd.DataFrame, covariates: list[str]) -> float:
    """Return the simple aggregation, after group-time effects and the other three."""
    from moderndid import aggte, att_gt

    cells = att_gt(
        table.assign(start=table["start"].fillna(0)), yname="y", tname="period", idname="unit",
        gname="start", xformla="~ x" if covariates else None, base_period="universal", cband=False,
    )  # fmt: skip
    for kind in ("dynamic", "group", "calendar"):
        aggte(cells, type=kind, boot=False, cband=False)
    return float(aggte(cells, type="simple", boot=False, cband=False).overall_att)


def diff_diff(table: pd.DataFrame, covariates: list[str]) -> float:
    """Return the overall effect without bootstrap."""
    from diff_diff import CallawaySantAnna

    fit = CallawaySantAnna(base_period="universal", cband=False).fit(
        table.assign(start=table["start"].fillna(0)), outcome="y", unit="unit", time="period",
        first_treat="start", covariates=covariates or None,
    )  # fmt: skip
    return float(fit.overall_att)


CONTENDERS: dict[str, Callable[[pd.DataFrame, list[str]], float]] = {
    "ours": ours,
    "moderndid": moderndid,
    "diff_diff": diff_diff,
}


def run(name: str, path: str, covariates: list[str]) -> None:
    """Print the seconds of a contender and its answer."""
    table, seconds, answer = pd.read_parquet(path), [], float("nan")
    processor = time.process_time()
    while len(seconds) < REPEATS and sum(seconds) < ENOUGH_SECONDS:
        begun = time.perf_counter()
        try:
            answer = CONTENDERS[name](table, covariates)
        except ModuleNotFoundError:
            sys.exit(MISSING)
        seconds.append(time.perf_counter() - begun)
    # Of both cores together: what others do on the machine at the time does not count.
    processor = (time.process_time() - processor) / len(seconds)
    found = {"seconds": statistics.median(seconds), "processor": processor, "answer": answer}
    print(json.dumps(found))  # noqa: T201


def measured(python: str, name: str, path: Path, covariates: list[str]) -> dict | None:
    """Return what a contender needed in a process of its own; None where it is not installed."""
    words = [python, __file__, "--run", name, str(path), *covariates]
    found = subprocess.run(words, capture_output=True, text=True, check=False)
    if found.returncode == MISSING:
        return None
    if found.returncode:
        raise RuntimeError(f"{name} failed:\n{found.stderr}")
    return json.loads(found.stdout.strip().splitlines()[-1])


def main() -> None:
    """Print each contender's time as a multiple of ours."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=5000)
    parser.add_argument("--periods", type=int, default=40)
    parser.add_argument("--other", default=sys.executable)
    parser.add_argument("--run", nargs="+")
    options = parser.parse_args()
    if options.run:
        run(options.run[0], options.run[1], options.run[2:])
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "panel.parquet"
        write_panel(path, units=options.units, periods=options.periods)
        for covariates in ([], ["x"]):
            compare(path, covariates, options)


def compare(path: Path, covariates: list[str], options: argparse.Namespace) -> None:
    """Print one comparison, and stop where answers differ or ours takes too long."""
    own = measured(sys.executable, "ours", path, covariates)
    assert own is not None  # noqa: S101
    title = "doubly robust, one covariate" if covariates else "no covariates"
    print(f"{options.units:,} units x {options.periods} periods, {title}")  # noqa: T201
    print(f"  ours       {own['seconds']:8.2f} s, processor {own['processor']:.2f} s")  # noqa: T201
    for name in list(CONTENDERS)[1:]:
        found = measured(options.other, name, path, covariates)
        if found is None:
            print(f"  {name:10} not installed")  # noqa: T201
            continue
        ratio = found["seconds"] / own["seconds"]
        print(f"  {name:10} {found['seconds']:8.2f} s  {ratio:6.1f} x ours")  # noqa: T201
        if abs(found["answer"] - own["answer"]) > 1e-6 * abs(own["answer"]):
            sys.exit(f"{name} answers {found['answer']}, ours {own['answer']}")
    if (options.units, options.periods) == (5000, 40) and own["processor"] > LONGEST_OURS:
        sys.exit(f"ours took more than {LONGEST_OURS:g} s")


if __name__ == "__main__":
    main()
