"""The contrast of whole clusters, which needs no model of what happens inside them."""

from __future__ import annotations

from typing import Any

import numpy as np

from loyalty_research.effects.adjusted import FEW_CLUSTERS, clusters_by_arm
from loyalty_research.effects.asked import Opened
from loyalty_research.effects.estimates import estimate_row
from loyalty_research.effects.shuffles import Shuffled, shuffle

SEED = 1
"""Seed of the permutations shown beside a model; the row's method names it where it was needed."""
_DRAWS = 20_000


def cluster_rows(opened: Opened, **settings: Any) -> tuple[list[dict[str, Any]], int | None]:
    """Return the rows that stand beside a linear model by cluster.

    Args:
        opened: The rows of the contrast.
        **settings: `scale`, `n`, `n_events` and `conf_level` of the rows.

    Returns:
        Rows, none where clusters were not assigned whole; and the seed, if one was used.
    """
    rows = opened.rows
    if clusters_by_arm(rows.arm, rows.cluster) is None:
        return [], None
    cluster = np.asarray(rows.cluster)
    mean = np.bincount(cluster, rows.outcome) / np.bincount(cluster)
    return contrast_rows(opened, mean, what="means", seed=SEED, **settings)


def contrast_rows(
    opened: Opened, value: np.ndarray, *, what: str, seed: int, **settings: Any
) -> tuple[list[dict[str, Any]], int | None]:
    """Return the contrast of one number a cluster.

    Clusters are independent, so that Student's t holds for their numbers (Donner and Klar, Design
    and Analysis of Cluster Randomization Trials, 2000, chapter 7), each cluster counting alike;
    where an arm has fewer than 4, its permutation test (Gail et al., Stat Med 1996;15:1069) needs
    no law at all.

    Args:
        opened: Rows of clusters assigned whole.
        value: The number of each cluster, by its code.
        what: What the numbers are, for the words.
        seed: Seed of the permutations, where they are drawn.
        **settings: `scale`, `n`, `n_events` and `conf_level` of the rows.

    Returns:
        Rows; and the seed, if it was used.
    """
    first = np.unique(np.asarray(opened.rows.cluster), return_index=True)[1]
    arm = opened.rows.arm[first]
    stratum = np.zeros(len(arm), int) if opened.stratum is None else opened.stratum[first]
    table = [_student(value, arm, what, settings)]
    if min(np.bincount(arm)) >= FEW_CLUSTERS:
        return table, None
    found = shuffle(arm, value, stratum, n_permutations=_DRAWS, seed=seed)
    table.append(permutation_row(found, what=f"cluster {what}", seed=seed, **settings))
    return table, None if found.exact else seed


def permutation_row(found: Shuffled, *, what: str, seed: int, **settings: Any) -> dict[str, Any]:
    """Return the row of a permutation test.

    Args:
        found: The shuffled differences.
        what: What was compared, for the words.
        seed: The seed, named if it was used.
        **settings: `scale`, `n`, `n_events` and `conf_level`.

    Returns:
        Column -> value; the limits are those of a constant effect.
    """
    ways = f"all {len(found.others):,} ways"
    if not found.exact:
        ways = f"{len(found.others):,} ways drawn, seed {seed}"
    row = estimate_row(
        "permutation test", found.observed, float("nan"), method=f"{what}, {ways}", **settings
    )
    low, high = found.interval(settings["conf_level"])
    return row | {"conf_low": low, "conf_high": high, "p_value": found.p_value()}


def _student(
    value: np.ndarray, arm: np.ndarray, what: str, settings: dict[str, Any]
) -> dict[str, Any]:
    parts = [value[arm == k] for k in (0, 1)]
    df = len(value) - 2
    pooled = sum(((part - part.mean()) ** 2).sum() for part in parts) / df
    error = float(np.sqrt(pooled * sum(1 / len(part) for part in parts)))
    return estimate_row(
        "cluster-mean t", float(parts[1].mean() - parts[0].mean()), error, df=df,
        method=f"t of cluster {what}, one variance", **settings,
    )  # fmt: skip
