"""The contrast of whole clusters, which needs no model of what happens inside them."""

from __future__ import annotations

from typing import Any

import numpy as np

from loyalty_research.effects.adjusted import FEW_CLUSTERS, clusters_by_arm
from loyalty_research.effects.asked import Opened
from loyalty_research.effects.estimates import estimate_row
from loyalty_research.effects.shuffles import shuffle

SEED = 1
"""Seed of the permutations shown beside a model; the row's method names it where it was needed."""
_DRAWS = 20_000


def cluster_rows(opened: Opened, **settings: Any) -> tuple[list[dict[str, Any]], int | None]:
    """Return the rows that stand beside a model by cluster.

    The mean of each cluster is one number, and clusters are independent: Student's t of those
    numbers (Donner and Klar, Design and Analysis of Cluster Randomization Trials, 2000, chapter 7),
    each cluster counting alike, and, where an arm has fewer than 4, its permutation test (Gail et
    al., Stat Med 1996;15:1069).

    Args:
        opened: The rows of the contrast.
        **settings: `scale`, `n`, `n_events` and `conf_level` of the rows.

    Returns:
        Rows, none where clusters were not assigned whole; and the seed, if one was used.
    """
    rows = opened.rows
    by_arm = clusters_by_arm(rows.arm, rows.cluster)
    if by_arm is None or rows.cluster is None:
        return [], None
    mean, arm, stratum = unit_means(opened)
    table = [_student(mean, arm, by_arm, settings)]
    if min(by_arm) >= FEW_CLUSTERS:
        return table, None
    found = shuffle(arm, mean, stratum, n_permutations=_DRAWS, seed=SEED)
    table.append(permutation_row(found, unit="cluster", seed=SEED, **settings))
    return table, None if found.exact else SEED


def unit_means(opened: Opened) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return each cluster's mean, arm and stratum.

    Args:
        opened: Rows of clusters assigned whole.

    Returns:
        One number a cluster.
    """
    rows, cluster = opened.rows, np.asarray(opened.rows.cluster)
    size = np.bincount(cluster)
    mean = np.bincount(cluster, rows.outcome) / size
    arm = (np.bincount(cluster, rows.arm) > 0).astype(int)
    first = np.unique(cluster, return_index=True)[1]
    stratum = np.zeros(len(size), int) if opened.stratum is None else opened.stratum[first]
    return mean, arm, stratum


def permutation_row(found: Any, *, unit: str, seed: int, **settings: Any) -> dict[str, Any]:
    """Return the row of a permutation test.

    Args:
        found: The shuffled differences.
        unit: What was drawn, for the words.
        seed: The seed, named if it was used.
        **settings: `scale`, `n`, `n_events` and `conf_level`.

    Returns:
        Column -> value; the limits are those of a constant effect.
    """
    ways = f"all {len(found.others):,} ways"
    if not found.exact:
        ways = f"{len(found.others):,} ways drawn, seed {seed}"
    row = estimate_row(
        "permutation test", found.observed, float("nan"), method=f"{unit} means, {ways}", **settings
    )
    low, high = found.interval(settings["conf_level"])
    return row | {"conf_low": low, "conf_high": high, "p_value": found.p_value()}


def _student(
    mean: np.ndarray, arm: np.ndarray, by_arm: tuple[int, int], settings: dict[str, Any]
) -> dict[str, Any]:
    df = sum(by_arm) - 2
    parts = [mean[arm == k] for k in (0, 1)]
    pooled = sum(((part - part.mean()) ** 2).sum() for part in parts) / df
    error = float(np.sqrt(pooled * (1 / by_arm[0] + 1 / by_arm[1])))
    return estimate_row(
        "cluster-mean t", float(parts[1].mean() - parts[0].mean()), error, df=df,
        method="t of cluster means, one variance", **settings,
    )  # fmt: skip
