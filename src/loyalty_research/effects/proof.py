"""Whether a method's intervals hold the truth as often as they say: tried on many drawn worlds."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from loyalty_research.data.simulate_designs import SimulatedDesign, simulate_design
from loyalty_research.errors import LoyaltyError

NOMINAL = 0.95
RUNS = ("run", "estimate", "std_error", "conf_low", "conf_high", "refused")
MOST_BIAS = 0.1
"""Bias, in standard errors of the estimate, that is small enough."""
SE_RANGE = (0.9, 1.1)
"""Mean stated standard error over the real one."""

Answer = tuple[float, float, float, float]
"""Estimate, standard error, lower and upper limit, all on the scale of the truth."""


@dataclass(frozen=True)
class Case:
    """One method in one world.

    Attributes:
        design: Name of the world, a key of `simulate_design`.
        method: The method in words.
        truth: Name of the estimand in the world's truth.
        answer: From a drawn world to the method's answer.
        settings: Settings of the world.
        published: Coverage found elsewhere for this method in such a world; None where none is
            stated.
        nominal: Whether the method is meant to reach its nominal coverage. A method that is shown
            because it fails is not.
        bounds: Whether the interval is one of bounds, which may hold the truth more often.
        runs: How many runs are enough, for a method that is slow; None for as many as are asked.
    """

    design: str
    method: str
    truth: str
    answer: Callable[[SimulatedDesign], Answer]
    settings: Mapping[str, Any] = field(default_factory=dict)
    published: float | None = None
    nominal: bool = True
    bounds: bool = False
    runs: int | None = None

    @property
    def world(self) -> str:
        """The world with its settings, in words."""
        told = ", ".join(f"{name} {value}" for name, value in self.settings.items())
        return f"{self.design} ({told})" if told else self.design

    def n_runs(self, asked: int) -> int:
        """Return how many runs there are to be, of as many as are asked."""
        return asked if self.runs is None else min(asked, self.runs)

    @property
    def name(self) -> str:
        """A name for files, the same for the same case."""
        kept = [letter if letter.isalnum() else "_" for letter in f"{self.world} {self.method}"]
        return "_".join(filter(None, "".join(kept).split("_"))).lower()


def run_case(case: Case, *, first: int, last: int) -> pd.DataFrame:
    """Return the method's answers in the worlds of the seeds from `first` to before `last`.

    Args:
        case: The method and its world.
        first: The first seed.
        last: The seed after the last.

    Returns:
        One row a run: `run, estimate, std_error, conf_low, conf_high, refused`; where the method
        refused the data the numbers are missing.

    Examples:
        >>> case = Case("clusters", "mean of the arms", "mean_difference", lambda world: (
        ...     world.data.groupby("arm")["score"].mean().diff().iloc[-1], 1.0, -2.0, 2.0))
        >>> len(run_case(case, first=0, last=2))
        2
    """
    return pd.DataFrame([_one(case, seed) for seed in range(first, last)], columns=list(RUNS))


def _one(case: Case, seed: int) -> list[Any]:
    world = simulate_design(case.design, seed=seed, **case.settings)
    try:
        with warnings.catch_warnings():
            # A warning in one of a thousand runs must not pass for an answer.
            warnings.simplefilter("error")
            answer = [float(value) for value in case.answer(world)]
    except (LoyaltyError, Warning, np.linalg.LinAlgError):
        return [seed, *[math.nan] * 4, True]
    return [seed, *answer, False]


def chunks(n_runs: int, *, done: int = 0, size: int = 50) -> Iterator[tuple[int, int]]:
    """Yield the seeds still to be run, in pieces after each of which one may stop.

    Args:
        n_runs: How many runs there are to be.
        done: How many there are already.
        size: Runs a piece.

    Yields:
        First seed, and the seed after the last.

    Examples:
        >>> list(chunks(120, done=60))
        [(60, 110), (110, 120)]
    """
    for start in range(done, n_runs, size):
        yield start, min(start + size, n_runs)


def summarise_runs(case: Case, runs: pd.DataFrame) -> dict[str, Any]:
    """Return how often the intervals held the truth, how far off the estimates were, the verdict.

    Args:
        case: The method and its world.
        runs: As `run_case` returns.

    Returns:
        `design, method, estimand, truth, n_runs, n_refused, nominal, coverage, coverage_error`
        (Monte Carlo standard error at the nominal coverage), `bias, bias_in_errors, error_ratio`
        (mean stated over empirical standard error), `published, verdict`.

    Examples:
        >>> case = Case("clusters", "known", "mean_difference", lambda world: (0, 1, -1, 1))
        >>> runs = pd.DataFrame([[k, 0.3 + (-1) ** k * 0.1, 0.1, 0.1, 0.5, False]
        ...     for k in range(10)], columns=list(RUNS))
        >>> summarise_runs(case, runs)["coverage"]
        1.0
    """
    truth = simulate_design(case.design, seed=0, **case.settings).truth[case.truth]
    kept = runs[~runs["refused"].astype(bool)]
    n, spread = len(kept), float(kept["estimate"].std(ddof=1))
    held = (kept["conf_low"] <= truth) & (truth <= kept["conf_high"])
    coverage, bias = float(held.mean()), float(kept["estimate"].mean()) - truth
    error = math.sqrt(NOMINAL * (1 - NOMINAL) / n) if n else math.nan
    found = {
        "coverage": coverage,
        "coverage_error": error,
        "bias": bias,
        "bias_in_errors": bias / spread if spread > 0 else math.nan,
        "error_ratio": float(kept["std_error"].mean()) / spread if spread > 0 else math.nan,
    }
    # Bounds that hold the truth too often do what they say.
    judged = found | {"coverage": min(coverage, NOMINAL)} if case.bounds else found
    return {
        "design": case.world,
        "method": case.method,
        "estimand": case.truth,
        "truth": truth,
        "n_runs": len(runs),
        "n_refused": len(runs) - n,
        "nominal": NOMINAL,
        **found,
        "published": math.nan if case.published is None else case.published,
        "meant_to_hold": case.nominal,
        "verdict": verdict(**judged, n=n),
    }


def verdict(
    *, coverage: float, coverage_error: float, bias: float, bias_in_errors: float,
    error_ratio: float, n: int,
) -> str:  # fmt: skip
    """Return in words whether a method did what it says.

    Args:
        coverage: Share of intervals that held the truth.
        coverage_error: Its Monte Carlo standard error.
        bias: Mean estimate less truth.
        bias_in_errors: The same in standard errors of the estimate.
        error_ratio: Mean stated over empirical standard error.
        n: Runs with an answer.

    Returns:
        "holds", or what does not. A bias counts where it is larger than a tenth of a standard
        error by more than chance.

    Examples:
        >>> verdict(coverage=0.94, coverage_error=0.01, bias=0.0, bias_in_errors=0.02,
        ...     error_ratio=1.0, n=500)
        'holds'
    """
    if n == 0 or math.isnan(coverage):
        return "no answer"
    faults = []
    if coverage < NOMINAL - 3 * coverage_error:
        faults.append("covers too seldom")
    if coverage > NOMINAL + 3 * coverage_error:
        faults.append("covers too often")
    if abs(bias_in_errors) > MOST_BIAS + 3 / math.sqrt(n):
        faults.append("biased")
    # The empirical error of n runs is itself known to 1 / sqrt(2 n) of itself.
    slack = 3 / math.sqrt(2 * n)
    if not math.isnan(error_ratio):
        if error_ratio < SE_RANGE[0] - slack:
            faults.append("errors too small")
        if error_ratio > SE_RANGE[1] + slack:
            faults.append("errors too large")
    return ", ".join(faults) or "holds"


def proof_table(cases: Sequence[Case], runs: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return one row a case that has runs.

    Args:
        cases: The cases, in the order they are to be read.
        runs: Name of a case -> its runs.

    Returns:
        The rows of `summarise_runs`.

    Examples:
        >>> proof_table([], {}).empty
        True
    """
    return pd.DataFrame(
        [summarise_runs(case, runs[case.name]) for case in cases if case.name in runs]
    )
