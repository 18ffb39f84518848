"""The levels of two arms at the covariates of all patients, from one linear model."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from loyalty_research.data.frames import raise_faults
from loyalty_research.effects.asked import Opened
from loyalty_research.effects.checks import Check, count_words
from loyalty_research.effects.linear import LinearFit, fit_linear, triangle_of
from loyalty_research.errors import Fault

LEAST_DF = 5.0
"""Satterthwaite degrees of freedom below which an interval by cluster is not to be relied on."""
FEW_CLUSTERS = 4
"""Clusters an arm below which the permutation test is shown beside the model."""
_NOTHING = 1e-12
"""Part of the other arm's level below which a level is 0."""
_SPARE = 3e-5
"""Part of a column's length, below which it is explained by the columns before it."""


@dataclass(frozen=True)
class ArmLevels:
    """A linear model of the outcome, read at each arm.

    Attributes:
        fit: The model.
        at: What weighs its coefficients to the level of arm 0 and of arm 1.
    """

    fit: LinearFit
    at: tuple[np.ndarray, np.ndarray]

    @property
    def by_arm(self) -> dict[int, float]:
        """The level of each arm."""
        return {k: float(self.at[k] @ self.fit.beta) for k in (0, 1)}

    def difference(self) -> tuple[float, float, float]:
        """Return level 1 less level 0, its error and degrees of freedom."""
        return self.fit.contrast(self.at[1] - self.at[0])

    def log_ratio(self) -> tuple[float, float, float]:
        """Return the log of level 1 over level 0, its error by the delta method, and its df.

        Returns:
            Missing numbers where a level is not above 0.
        """
        low, high = self.by_arm[0], self.by_arm[1]
        # A level of 0 comes out of the solution as a number of this size.
        if min(low, high) <= _NOTHING * max(abs(low), abs(high)):
            return math.nan, math.nan, math.nan
        slope = self.at[1] / high - self.at[0] / low
        _, error, df = self.fit.contrast(slope)
        return math.log(high) - math.log(low), error, df

    def method(self) -> str:
        """Return in words how the levels were found."""
        k = len(self.fit.beta)
        if self.fit.n_clusters is not None:
            return f"linear model{', adjusted' if k > 2 else ''}, CR2, Satterthwaite df"
        return "linear model, covariates centred and by arm (Lin), HC2" if k > 2 else "means, HC2"


def fit_levels(opened: Opened, outcome: np.ndarray | None = None) -> ArmLevels:
    """Return the levels of both arms.

    Covariates are centred and, where rows are independent, let to act differently in each arm (Lin,
    Ann Appl Stat 2013;7:295), so that adjustment cannot make the error larger in large samples.
    With clusters there are too few independent units for that; they act alike in both arms.

    Args:
        opened: The rows of the contrast.
        outcome: The numbers to take in place of the outcome, or None.

    Returns:
        The levels.

    Raises:
        DataError: An arm has too few rows or clusters, or does not tell a covariate from others.
    """
    rows = opened.rows
    refuse_few_or_spare(opened)
    arm = rows.arm.astype(float)
    centred = opened.x - opened.x.mean(axis=0) if len(opened.terms) else opened.x
    pieces = [np.ones(rows.n), arm, centred]
    if rows.cluster is None and len(opened.terms):
        pieces.append(centred * arm[:, None])
    fit = fit_linear(
        np.column_stack(pieces), rows.outcome if outcome is None else outcome, cluster=rows.cluster
    )
    control = np.zeros(len(fit.beta))
    control[0] = 1
    programme = control.copy()
    programme[1] = 1
    return ArmLevels(fit, (control, programme))


def refuse_few_or_spare(opened: Opened) -> None:
    """Refuse rows that cannot tell what is asked of them.

    Args:
        opened: The rows of the contrast.

    Raises:
        DataError: An arm has too few rows or clusters, or does not tell a covariate from others.
    """
    raise_faults(_few_faults(opened))
    raise_faults(_spare_faults(opened))


def clusters_by_arm(arm: np.ndarray, cluster: np.ndarray | None) -> tuple[int, int] | None:
    """Return the clusters of each arm where every cluster has one arm.

    Args:
        arm: 0 or 1.
        cluster: Codes from 0, or None.

    Returns:
        Clusters in arm 0 and in arm 1; None where rows are independent or arms share clusters.

    Examples:
        >>> clusters_by_arm(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 2]))
        (1, 2)
        >>> clusters_by_arm(np.array([0, 1]), np.array([0, 0])) is None
        True
    """
    if cluster is None:
        return None
    size = np.bincount(cluster)
    treated = np.bincount(cluster, arm)
    if ((treated > 0) & (treated < size)).any():
        return None
    n = int(np.count_nonzero(treated))
    return len(size) - n, n


def cluster_check(opened: Opened, df: float) -> list[Check]:
    """Return whether there are clusters enough for an interval.

    Args:
        opened: The rows of the contrast.
        df: Satterthwaite degrees of freedom of the headline.

    Returns:
        A gating check "clusters"; nothing where rows are independent.
    """
    n = opened.rows.n_clusters
    if n is None:
        return []
    passed = bool(df >= LEAST_DF)
    words = count_words(n, "cluster")
    by_arm = clusters_by_arm(opened.rows.arm, opened.rows.cluster)
    if by_arm is not None:
        words = f"{by_arm[1]:,} clusters with and {by_arm[0]:,} without"
    words += f" are worth {df:.1f} degrees of freedom"
    if by_arm is not None and min(by_arm) < FEW_CLUSTERS:
        words += "; read the permutation test beside it"
    if not passed:
        words += "; assign more clusters, or state the interval as a rough one"
    return [Check("clusters", passed, words, df, LEAST_DF, gating=True)]


def _few_faults(opened: Opened) -> list[Fault]:
    rows, k = opened.rows, len(opened.terms)
    if rows.cluster is None:
        least = k + 2
        short = [(a, size) for a, size in enumerate(rows.sizes()) if size < least]
        need = f"{least:,} are needed" + (f" with {count_words(k, 'covariate')}" if k else "")
        return [
            Fault("data", "arm", size, f"arm {a} has {count_words(size, 'row')}; {need}",
                  "choose fewer covariates, or patients of whom more are in each arm")
            for a, size in short
        ]  # fmt: skip
    by_arm = clusters_by_arm(rows.arm, rows.cluster)
    if by_arm is None and rows.n_clusters == 1:
        by_arm = (1, 1)
    if by_arm is None or min(by_arm) > 1:
        return []
    message = "an arm has a single cluster, from which no spread between clusters can be known"
    repair = "compare the change over time (difference_in_differences) or a synthetic_control"
    return [Fault("data", "cluster", 1, message, repair)]


def _spare_faults(opened: Opened) -> list[Fault]:
    """Return the covariates that the rows of an arm (with clusters: all) do not tell apart."""
    arm, faults = opened.rows.arm, []
    if not opened.terms:
        return []
    means = np.stack([opened.x[arm == k].mean(axis=0) for k in (0, 1)])
    parts = [opened.x[arm == k] - means[k] for k in (0, 1)]
    if opened.rows.cluster is not None:
        parts = [np.concatenate(parts)]
    where = ["in arm 0", "in arm 1"] if len(parts) == 2 else ["once the arm is known"]
    for part, place in zip(parts, where, strict=True):
        length = np.sqrt(np.einsum("ij,ij->j", part, part))
        own = np.zeros(len(length))
        diagonal = np.abs(np.diag(triangle_of(part)))
        own[: len(diagonal)] = diagonal
        spare = own <= _SPARE * np.maximum(length, np.finfo(float).tiny)
        spare |= length <= 1e-12 * np.abs(opened.x).max(axis=0) * len(part) ** 0.5
        faults += [
            Fault("data", term, len(part), f"{term} is constant or determined by others {place}",
                  "leave it out, or join levels until both arms have each")
            for term, is_spare in zip(opened.terms, spare, strict=True) if is_spare
        ]  # fmt: skip
    return faults
