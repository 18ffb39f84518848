"""What a difference would have been under every other way in which arms could have been drawn."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, combinations, islice, product

import numpy as np

MOST_EXACT = 200_000
"""Ways to draw the arms up to which all are gone through."""
_CHUNK = 4_000_000
"""Numbers held at a time."""


@dataclass(frozen=True)
class Shuffled:
    """The difference as it was and as it would have been.

    Attributes:
        observed: The difference, strata weighed by their units.
        others: The difference under each way to draw, the real one among them if all are there.
        overlap: The same difference of the arm itself: 1 where the way is the real one, -1 where
            the arms are exchanged.
        exact: Whether `others` are all ways.
    """

    observed: float
    others: np.ndarray
    overlap: np.ndarray
    exact: bool

    def p_value(self) -> float:
        """Return the share of ways with a difference as far from 0, two-sided.

        Ways drawn at random count the real one as one of them, or the share could be 0 (Phipson
        and Smyth, Stat Appl Genet Mol Biol 2010;9:39).
        """
        near = 1e-9 * max(float(np.abs(self.others).max()), abs(self.observed))
        as_far = int(np.count_nonzero(np.abs(self.others) >= abs(self.observed) - near))
        extra = 0 if self.exact else 1
        return (as_far + extra) / (len(self.others) + extra)

    def interval(self, conf_level: float) -> tuple[float, float]:
        """Return the constant effects that the test does not reject.

        A way with difference D' and overlap c is as far as the real one, D, from an effect t where
        |D' - t c| >= |D - t|, which is between (D - D') / (1 - c) and (D + D') / (1 + c).
        Each such piece holds D, so that the limits are order statistics of the pieces' ends.

        Args:
            conf_level: Coverage.

        Returns:
            The limits; infinite where there are too few ways to exclude anything.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            one = (self.observed - self.others) / (1 - self.overlap)
            two = (self.observed + self.others) / (1 + self.overlap)
        whole = np.abs(self.overlap) > 1 - 1e-12
        low = np.where(whole, -math.inf, np.minimum(one, two))
        high = np.where(whole, math.inf, np.maximum(one, two))
        if not self.exact:
            low, high = np.append(low, -math.inf), np.append(high, math.inf)
        # As many pieces as may lie outside: those whose share does not exceed 1 - conf_level.
        k = math.floor((1 - conf_level) * len(low) + 1e-9)
        return float(np.sort(low)[k]), float(np.sort(high)[-k - 1])


def n_ways(arm: np.ndarray, stratum: np.ndarray) -> int:
    """Return in how many ways the arms could have been drawn.

    Args:
        arm: 0 or 1 for each unit.
        stratum: Codes from 0; the units of each arm stay as many within each.

    Returns:
        The number.

    Examples:
        >>> n_ways(np.array([0, 0, 1, 1]), np.zeros(4, int)), n_ways(np.array([0, 1, 0, 1]),
        ...     np.array([0, 0, 1, 1]))
        (6, 4)
    """
    return math.prod(
        math.comb(int(np.count_nonzero(at)), int(arm[at].sum()))
        for at in (stratum == k for k in range(int(stratum.max()) + 1))
    )


def shuffle(
    arm: np.ndarray, value: np.ndarray, stratum: np.ndarray, *, n_permutations: int, seed: int
) -> Shuffled:
    """Return the difference under every way to draw the arms, or under many.

    Args:
        arm: 0 or 1 for each unit.
        value: The unit's number.
        stratum: Codes from 0, each with both arms.
        n_permutations: How many ways are drawn where there are more than can be gone through.
        seed: Seed of the drawing.

    Returns:
        The differences.

    Examples:
        >>> found = shuffle(np.array([0, 0, 1, 1]), np.array([1.0, 2, 5, 6]), np.zeros(4, int),
        ...     n_permutations=10, seed=1)
        >>> found.observed, len(found.others), round(found.p_value(), 4)
        (4.0, 6, 0.3333)
    """
    members = [np.flatnonzero(stratum == k) for k in range(int(stratum.max()) + 1)]
    share = np.array([len(at) for at in members]) / len(arm)
    # The difference is a constant plus a sum over those in arm 1: weights do the dividing.
    weight, base_value, base_arm = np.empty(len(arm)), 0.0, 0.0
    for at, part in zip(members, share, strict=True):
        treated = int(arm[at].sum())
        weight[at] = part * (1 / treated + 1 / (len(at) - treated))
        base_value -= part * value[at].sum() / (len(at) - treated)
        base_arm -= part * treated / (len(at) - treated)
    exact = n_ways(arm, stratum) <= MOST_EXACT
    blocks = _all(arm, members) if exact else _drawn(arm, members, n_permutations, seed)
    sums = [((weight * value)[b].sum(axis=1), (weight * arm)[b].sum(axis=1)) for b in blocks]
    others = np.concatenate([s[0] for s in sums]) + base_value
    overlap = np.concatenate([s[1] for s in sums]) + base_arm
    observed = float((weight * value)[arm == 1].sum() + base_value)
    return Shuffled(observed, others, overlap, exact)


def _all(arm: np.ndarray, members: list[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield who is in arm 1, a row a way, over all ways."""
    within = [combinations(at.tolist(), int(arm[at].sum())) for at in members]
    ways = product(*within) if len(within) > 1 else ((one,) for one in within[0])
    at_once = max(_CHUNK // max(int(arm.sum()), 1), 1)
    while block := list(islice(ways, at_once)):
        yield np.array([list(chain.from_iterable(way)) for way in block])


def _drawn(
    arm: np.ndarray, members: list[np.ndarray], n_permutations: int, seed: int
) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(seed)
    at_once = max(_CHUNK // len(arm), 1)
    for start in range(0, n_permutations, at_once):
        k = min(at_once, n_permutations - start)
        picked = []
        for at in members:
            mixed = rng.permuted(np.tile(at, (k, 1)), axis=1)
            picked.append(mixed[:, : int(arm[at].sum())])
        yield np.concatenate(picked, axis=1)
