"""Whether chance alone could have made a difference, judged by the other ways to draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from loyalty_research.data.arguments import as_columns, check_whole
from loyalty_research.data.frames import raise_faults
from loyalty_research.effects.adjusted import clusters_by_arm
from loyalty_research.effects.asked import Asked, Opened, make_effect, open_asked
from loyalty_research.effects.checks import count_words
from loyalty_research.effects.cluster_means import permutation_row
from loyalty_research.effects.effect import Effect
from loyalty_research.effects.shuffles import shuffle
from loyalty_research.errors import Fault
from loyalty_research.retention.rows import group_codes


def permutation_test(
    data: Any,
    *,
    arm: str,
    outcome: str,
    seed: int,
    cluster: str | None = None,
    strata: Sequence[str] | str | None = None,
    n_permutations: int = 10_000,
    randomised: bool = False,
    unit: str = "",
    better: str = "",
    arms: tuple[str, str] = ("control", "programme"),
    override: Mapping[str, str] | None = None,
    conf_level: float = 0.95,
) -> Effect:
    """Return the difference in means with the share of ways to draw the arms that give as much.

    It assumes no distribution and holds for any number of units: with 3 clinics in each arm there
    are 20 ways, so that no p-value lies below 0.1. Up to 200,000 ways all are gone through, else as
    many as asked for are drawn, the real one counted among them (Phipson and Smyth, Stat Appl Genet
    Mol Biol 2010;9:39). The interval holds the constant effects that the test does not reject
    (Gail et al., Stat Med 1996;15:1069).

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        arm: Column that is 1 or true for the programme, 0 or false for the comparison.
        outcome: Column of numbers, or of 0 and 1. Rows where it is missing are left out.
        seed: Seed of the drawing; without effect where all ways are gone through. One seed repeats
            one order of rows.
        cluster: Column that names what was assigned whole; each cluster then counts alike.
        strata: Column or columns within which the arms were drawn, such as the pair.
        n_permutations: Ways to draw, at least 100.
        randomised: True where chance decided the arm.
        unit: Unit of the outcome.
        better: "higher" or "lower", whichever is good for patients; "" leaves it unsaid.
        arms: What arm 0 and arm 1 are called.
        override: Refusal -> reason why it is no mistake here; "clusters" can be overridden.
        conf_level: Coverage of the interval.

    Returns:
        A row `permutation test`; limits are infinite where there are too few ways to exclude any
        effect.

    Raises:
        UsageError: An argument that cannot be meant.
        DesignError: Whole clinics are in one arm each and `cluster` is not given.
        DataError: The data break the contract; a cluster with both arms or in two strata; a stratum
            with one arm.

    Examples:
        >>> import pandas as pd
        >>> data = pd.DataFrame({"clinic": list("abcdef"), "arm": [0, 0, 0, 1, 1, 1],
        ...     "score": [1.0, 3.0, 2.0, 6.0, 5.0, 7.0]})
        >>> effect = permutation_test(data, arm="arm", outcome="score", cluster="clinic", seed=1)
        >>> effect.estimates[["estimate", "p_value", "method"]]
           estimate  p_value                      method
        0       4.0      0.1  cluster means, all 20 ways
    """
    seed = check_whole(seed, name="seed")
    check_whole(n_permutations, name="n_permutations", minimum=100)
    names = as_columns(strata)
    asked = Asked(
        arm, outcome, None, cluster, None, randomised, unit, better, arms, override, conf_level
    )
    opened = open_asked(data, asked, kind="number", more=names)
    units, value, stratum = _units(opened, names)
    found = shuffle(units, value, stratum, n_permutations=n_permutations, seed=seed)
    each = "cluster" if cluster else "patient"
    row = permutation_row(
        found, what=f"{each} means", seed=seed, n=opened.rows.n, n_events=None,
        scale=unit or "difference in means", conf_level=conf_level,
    )  # fmt: skip
    within = f", within {', '.join(names)}" if names else ""
    return make_effect(
        asked, opened, [row], measure="mean difference", variance=f"{row['method']}{within}",
        estimand=f"difference in mean {outcome}, each {each} counting alike{within}",
        levels={k: float(value[units == k].mean()) for k in (0, 1)}, n_events=None,
        seed=None if found.exact else seed,
    )  # fmt: skip


def _units(opened: Opened, names: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return arm, number and stratum of each unit that was drawn."""
    rows = opened.rows
    stratum = group_codes(rows.more, names)[0] if names else np.zeros(rows.n, int)
    arm, value, mixed = rows.arm, rows.outcome, 0
    if rows.cluster is not None:
        if clusters_by_arm(rows.arm, rows.cluster) is None:
            message = "clusters have patients of both arms, so that they were not assigned whole"
            repair = "leave cluster out, or draw within clusters by strata="
            raise_faults([Fault("data", "cluster", 0, message, repair)])
        size = np.bincount(rows.cluster)
        first = np.unique(rows.cluster, return_index=True)[1]
        mixed = int(np.count_nonzero(stratum != stratum[first][rows.cluster]))
        value = np.bincount(rows.cluster, rows.outcome) / size
        arm, stratum = rows.arm[first], stratum[first]
    raise_faults(_faults(arm, stratum, names, mixed))
    return arm, value, stratum


def _faults(arm: np.ndarray, stratum: np.ndarray, names: list[str], mixed: int) -> list[Fault]:
    named, faults = ", ".join(names), []
    if mixed:
        message = f"{named} differs within clusters in {count_words(mixed, 'row')}"
        faults.append(Fault("data", named, mixed, message, "give each cluster one stratum"))
    n = int(stratum.max()) + 1
    treated, size = np.bincount(stratum, arm, n), np.bincount(stratum, minlength=n)
    lone = int(np.count_nonzero((treated == 0) | (treated == size)))
    if lone and names and not mixed:
        message = f"{named}: {lone:,} of {n:,} strata have one arm only"
        faults.append(Fault("data", named, lone, message, "leave these strata out"))
    return faults
