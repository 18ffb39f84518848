"""Weights that make arms alike in what was measured before, and whether they did."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from loyalty_research.effects.checks import Check

MOST_SMD = 0.1
LEAST_EQUIPOISE = 0.2
LEAST_ESS = 0.25


def arm_weights(arm: np.ndarray, p: np.ndarray, counts: np.ndarray, estimand: str) -> np.ndarray:
    """Return the weight of each row from its probability of arm 1.

    One over the probability of the arm one is in weighs to everybody (ATE); 1 and p / (1 - p) to
    arm 1 (ATT); the probability of the other arm to the overlap (ATO; Li, Morgan and Zaslavsky,
    JASA 2018;113:390). Each arm's weights are scaled to add up to its rows (stabilised), which
    changes no curve of an arm, and in a Cox model keeps the arms' sizes.

    Args:
        arm: 0 or 1.
        p: The probability of arm 1.
        counts: How much each row counts before weighting.
        estimand: "ATE", "ATT" or "ATO".

    Returns:
        The weights, counts included.

    Examples:
        >>> arm_weights(np.array([0, 0, 1]), np.array([0.5, 0.75, 0.5]), np.ones(3), "ATE").round(4)
        array([0.6667, 1.3333, 1.    ])
    """
    own = np.where(arm == 1, p, 1 - p)
    raw = {"ATE": 1 / own, "ATT": p / own, "ATO": 1 - own}[estimand] * counts
    total = np.bincount(arm, counts, 2) / np.maximum(np.bincount(arm, raw, 2), 1e-300)
    return np.asarray(raw * total[arm])


def weight_checks(
    x: np.ndarray, terms: Sequence[str], arm: np.ndarray, p: np.ndarray, weight: np.ndarray
) -> list[Check]:
    """Return whether weighted arms are alike, and whether patients could have been in either.

    Args:
        x: Covariates, a column a term.
        terms: Their names.
        arm: 0 or 1.
        p: The probability of arm 1.
        weight: The weight of each row.

    Returns:
        `balance`: largest standardised difference of weighted means (over the unweighted pooled
        spread) up to 0.1; `equipoise`: share of patients whose preference score lies within 0.3 to
        0.7 (Walker et al., Comparative Effectiveness Research 2013;3:11), at least 0.2;
        `effective_sample_size` of the smaller arm, at least 25 % of it, which does not gate.

    Examples:
        >>> x, arm = np.array([[0.0], [1.0], [0.0], [1.0]]), np.array([0, 0, 1, 1])
        >>> checks = weight_checks(x, ["old"], arm, np.full(4, 0.5), np.ones(4))
        >>> [(one.check, one.passed) for one in checks]
        [('balance', True), ('equipoise', True), ('effective_sample_size', True)]
    """
    gaps = _differences(x, arm, weight)
    worst = int(np.argmax(gaps))
    balance = Check(
        "balance", bool(gaps[worst] <= MOST_SMD),
        f"after weighting the arms differ most in {terms[worst]}, by {gaps[worst]:.3f} standard "
        "deviations", float(gaps[worst]), MOST_SMD, gating=True,
    )  # fmt: skip
    share = arm.mean()
    with np.errstate(divide="ignore"):
        preference = np.log(p / (1 - p)) - np.log(share / (1 - share))
    within = float(np.mean(np.abs(preference) <= np.log(0.7 / 0.3)))
    equipoise = Check(
        "equipoise", within >= LEAST_EQUIPOISE,
        f"{100 * within:.0f} % of patients could well have been in either arm", within,
        LEAST_EQUIPOISE, gating=True,
    )  # fmt: skip
    sizes = effective_sizes(arm, weight)
    kept = min(sizes[k] / np.count_nonzero(arm == k) for k in (0, 1))
    told = f"weights leave the worth of {sizes[1]:,.0f} patients with and {sizes[0]:,.0f} without"
    if kept < LEAST_ESS:
        told += "; estimand='ATO' keeps more"
    return [
        balance, equipoise,
        Check("effective_sample_size", bool(kept >= LEAST_ESS), told, kept, LEAST_ESS),
    ]  # fmt: skip


def effective_sizes(arm: np.ndarray, weight: np.ndarray) -> dict[int, float]:
    """Return the effective sample size of each arm: squared sum over sum of squares (Kish 1965).

    Args:
        arm: 0 or 1.
        weight: The weight of each row.

    Returns:
        By arm.

    Examples:
        >>> effective_sizes(np.array([0, 0, 1]), np.array([1.0, 3.0, 1.0]))
        {0: 1.6, 1: 1.0}
    """
    return {k: float(weight[arm == k].sum() ** 2 / (weight[arm == k] ** 2).sum()) for k in (0, 1)}


def _differences(x: np.ndarray, arm: np.ndarray, weight: np.ndarray) -> np.ndarray:
    parts = [(x[arm == k], weight[arm == k]) for k in (0, 1)]
    means = [np.average(part, axis=0, weights=size) for part, size in parts]
    spread = np.sqrt(np.mean([part.var(axis=0, ddof=1) for part, _ in parts], axis=0))
    gap = np.abs(means[1] - means[0])
    # A column that is constant within both arms differs without a spread to measure it by.
    ratio = np.divide(gap, spread, out=np.where(gap > 0, np.inf, 0.0), where=spread > 0)
    return np.asarray(ratio)
