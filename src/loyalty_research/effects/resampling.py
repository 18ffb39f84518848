"""The bootstrap over patients: draw patients with all their rows, estimate everything anew.

Efron and Tibshirani, An Introduction to the Bootstrap, 1993. Whatever is estimated on the way, such
as weights, is estimated again in each sample, so that its uncertainty is in the spread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from loyalty_research.data.arguments import check_whole
from loyalty_research.effects.checks import Check
from loyalty_research.errors import DataError, UsageError

MOST_FAILED = 0.05
"""Share of samples without an estimate beyond which the spread of the others says too little."""


@dataclass(frozen=True)
class Draws:
    """Estimates from samples of patients.

    Attributes:
        values: A row a sample that could be estimated, a column an estimate.
        n_boot: Samples drawn.
        seed: Where the random numbers began.
    """

    values: np.ndarray
    n_boot: int
    seed: int

    @property
    def n_failed(self) -> int:
        """Samples without an estimate, such as those in which a covariate separates."""
        return self.n_boot - len(self.values)

    def errors(self) -> np.ndarray:
        """Return the standard error of each estimate, missing with fewer than two samples."""
        if len(self.values) < 2:
            return np.full(self.values.shape[1], np.nan)
        return np.asarray(self.values.std(axis=0, ddof=1))

    def check(self) -> Check:
        """Return whether nearly every sample had an estimate."""
        share = self.n_failed / self.n_boot
        told = f"{self.n_boot - self.n_failed:,} of {self.n_boot:,} samples of patients gave one"
        passed = share <= MOST_FAILED
        if not passed:
            told += "; join rare levels of covariates, or leave them out"
        return Check("bootstrap", passed, told, share, MOST_FAILED, gating=True)


def check_draws(n_boot: object, seed: object) -> tuple[int, int]:
    """Return how many samples to draw, and the seed, or refuse.

    Args:
        n_boot: A whole number from 50.
        seed: A whole number.

    Returns:
        Both.

    Raises:
        UsageError: Too few samples, or no seed.

    Examples:
        >>> check_draws(200, 1)
        (200, 1)
    """
    n = check_whole(n_boot, name="n_boot", minimum=50)
    if seed is None:
        raise UsageError("the bootstrap needs a seed; give a whole number such as seed=1")
    return n, check_whole(seed, name="seed")


def bootstrap(
    statistic: Callable[[np.ndarray], np.ndarray],
    unit: np.ndarray,
    *,
    n_boot: int,
    seed: int,
) -> Draws:
    """Return estimates from samples of as many units as there are, drawn with replacement.

    Units are drawn by their codes: where a code is the number of a row, the same seed draws other
    patients from rows in another order, and errors differ by as much as with another seed.

    Args:
        statistic: Takes how often each row was drawn, returns the estimates.
        unit: Of each row the code, from 0 without gaps, of the patient or cluster it belongs to.
        n_boot: How many samples.
        seed: Starts the random numbers.

    Returns:
        The estimates; samples whose model has no maximum are left out and counted.

    Examples:
        >>> y = np.arange(100.0)
        >>> draws = bootstrap(lambda count: np.array([count @ y / count.sum()]), np.arange(100),
        ...     n_boot=400, seed=1)
        >>> bool(abs(draws.errors()[0] / 2.886 - 1) < 0.1)  # the standard error of the mean
        True
    """
    random = np.random.default_rng(seed)
    n = int(unit.max()) + 1
    values = []
    for _ in range(n_boot):
        drawn = np.bincount(random.integers(0, n, n), minlength=n).astype(float)
        try:
            found = statistic(drawn[unit])
        except DataError:
            continue
        if np.isfinite(found).all():
            values.append(found)
    if not values:
        # As many columns as all rows together have estimates, so that each has a missing error.
        return Draws(np.empty((0, len(statistic(np.ones(len(unit)))))), n_boot, seed)
    return Draws(np.array(values), n_boot, seed)
