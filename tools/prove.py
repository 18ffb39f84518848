"""Try every method on many drawn worlds and store how often its intervals hold: `make proof`.

    python tools/prove.py [--runs 1000] [--only TEXT] [--jobs 2] [--folder build/proof]

One numeric thread a process is best, as cases run side by side: OPENBLAS_NUM_THREADS=1, as
`make proof` sets it. Runs are kept in the folder, a file a case, and what is there is not run
again: the proof may be stopped at any time and goes on where it was. When every case has its runs,
the table goes to data/proof/effects.csv, which the notebook 99_method_validation shows. Runs are
of the code as it was when they were run: after a change of an estimator take its files away first.
"""

from __future__ import annotations

import argparse
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import pandas as pd
from rich.progress import Progress

from loyalty_research.effects.proof import chunks, proof_table, run_case
from loyalty_research.effects.proof_cases import CASES

ROOT = Path(__file__).resolve().parent.parent
STORED = ROOT / "data" / "proof" / "effects.csv"
BY_NAME = {case.name: case for case in CASES}


def one_chunk(name: str, first: int, last: int) -> tuple[str, pd.DataFrame]:
    """Run a piece of a case in a process of its own."""
    return name, run_case(BY_NAME[name], first=first, last=last)


def read_runs(folder: Path, name: str) -> pd.DataFrame:
    """Return the runs of a case that are there, the last one dropped if it was cut off."""
    path = folder / f"{name}.csv"
    if not path.exists():
        return pd.DataFrame()
    return pd.read_csv(path).dropna(subset=["refused"]).drop_duplicates("run")


def prove(names: list[str], *, n_runs: int, jobs: int, folder: Path) -> None:
    """Run what is missing, keeping every piece as it comes."""
    there = {name: set(read_runs(folder, name).get("run", [])) for name in names}
    todo = [
        (name, first, last)
        for name in names
        for first, last in chunks(BY_NAME[name].n_runs(n_runs))
        if not set(range(first, last)) <= there[name]
    ]
    with Progress() as progress, ProcessPoolExecutor(jobs) as pool:
        bar = progress.add_task("runs", total=sum(last - first for _, first, last in todo))
        for future in as_completed(pool.submit(one_chunk, *piece) for piece in todo):
            name, runs = future.result()
            path = folder / f"{name}.csv"
            runs.to_csv(path, mode="a", header=not path.exists(), index=False)
            progress.update(bar, advance=len(runs), description=name[:40])


def main() -> None:
    """Run the proof and store its table when it is whole."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=1000, help="runs a case; a slow one has fewer")
    parser.add_argument("--only", default="", help="cases whose name holds this text")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "proof")
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    names = [name for name in BY_NAME if chosen.only in name]
    prove(names, n_runs=chosen.runs, jobs=chosen.jobs, folder=chosen.folder)
    wanted = {name: case.n_runs(chosen.runs) for name, case in BY_NAME.items()}
    runs = {name: read_runs(chosen.folder, name) for name in BY_NAME}
    runs = {name: one[one["run"] < wanted[name]] for name, one in runs.items() if len(one)}
    if all(len(runs.get(name, [])) >= n for name, n in wanted.items()):
        STORED.parent.mkdir(parents=True, exist_ok=True)
        proof_table(CASES, runs).to_csv(STORED, index=False, float_format="%.6g")
        print(f"stored in {STORED.relative_to(ROOT)}")  # noqa: T201 - what a command says


if __name__ == "__main__":
    main()
