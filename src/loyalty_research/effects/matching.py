"""Each patient beside those most like him in the other arm; a second opinion, never the first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from loyalty_research.data.arguments import check_choice, check_whole
from loyalty_research.data.frames import raise_faults
from loyalty_research.effects.arms import ArmRows
from loyalty_research.effects.asked import Asked
from loyalty_research.effects.checks import Check
from loyalty_research.effects.effect import Effect
from loyalty_research.effects.neighbours import (
    DISTANCES,
    Nearest,
    Points,
    distinct_points,
    find_nearest,
    scaled,
)
from loyalty_research.effects.observational import (
    MOST_SMD,
    Found,
    apart_words,
    effective_by_arm,
    make_observed,
    open_observed,
    standardised_differences,
)
from loyalty_research.effects.stacking import Levels
from loyalty_research.errors import Fault

_INSTEAD = "use doubly_robust_effect(cluster=...), since matched errors know no clusters"


@dataclass(frozen=True)
class Matched:
    """What matching gives each row.

    Attributes:
        other: What the row's outcome would be in the other arm, by its matches.
        used: How often it is used as a match, a share of each use with its ties.
        used_squares: The squares of these shares, summed.
        spread: The outcome's variance at its covariates, by its nearest in its own arm.
    """

    other: np.ndarray
    used: np.ndarray
    used_squares: np.ndarray
    spread: np.ndarray


def matched_effect(
    data: Any,
    *,
    arm: str,
    outcome: str,
    covariates: Sequence[str] | str,
    estimand: str = "ATT",
    distance: str = "mahalanobis",
    matches: int = 1,
    variance_matches: int = 2,
    bias_correction: bool = True,
    kind: str = "number",
    unit: str = "",
    better: str = "",
    arms: tuple[str, str] = ("control", "programme"),
    exposed_at: str | None = None,
    override: Mapping[str, str] | None = None,
    conf_level: float = 0.95,
) -> Effect:
    """Return the effect by nearest neighbours with replacement, all ties averaged.

    The variance is Abadie and Imbens' (Econometrica 2006;74:235) with the outcome's variance at
    each patient's covariates from the nearest of the same arm (Abadie, Drukker, Herr and Imbens,
    Stata J 2004;4:290); a paired or bootstrap error would be wrong. The bias correction (Abadie
    and Imbens, JBES 2011;29:1) adds what a linear model in the matches says of the distance that
    matching left. Matching is a second opinion: it throws patients away and is biased with several
    numbers as covariates; `doubly_robust_effect` leads.

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        arm: Column that is 1 or true for the programme, 0 or false for the comparison.
        outcome: Column of the outcome. Rows where it is missing are left out and counted.
        covariates: Columns known before the arm was, or a formula.
        estimand: In whom: "ATT" those in the programme, "ATE" all patients.
        distance: "mahalanobis", or "inverse_variance", each covariate by its own variance.
        matches: Least number of matches of each patient; ties add to it.
        variance_matches: Nearest of the own arm for the variance.
        bias_correction: Whether the distance that is left is corrected for.
        kind: "number"; "binary", 0 or 1; "count", whole and not negative.
        unit: Unit of the outcome, such as "mmHg".
        better: "higher" or "lower", whichever is good for patients; "" leaves it unsaid.
        arms: What arm 0 and arm 1 are called.
        exposed_at: Column with the day of enrolment counted from time zero, missing = never: an arm
            of patients who enrolled later is refused, members from before are withheld.
        override: Refusal -> reason why it is no mistake here; "clusters" and "immortal time" can
            be.
        conf_level: Coverage of the interval.

    Returns:
        First the mean or risk difference, then the `unadjusted` contrast, an association. The
        check "balance" gates: it fails where matched arms differ by more than 0.1 deviations.

    Raises:
        UsageError: An argument that cannot be meant.
        DesignError: Whole clinics are in one arm each.
        DataError: Columns or values missing, an arm of too few rows to be matched, an outcome that
            does not vary; every fault at once.

    Examples:
        >>> import pandas as pd
        >>> data = pd.DataFrame({"arm": [0, 0, 0, 1, 0, 1, 1, 1], "age": [40, 50, 60, 52, 70, 61,
        ...     68, 66], "sbp": [140, 142, 144, 135, 150, 145, 146, 147]})
        >>> effect = matched_effect(data, arm="arm", outcome="sbp", covariates=["age"],
        ...     bias_correction=False)
        >>> effect.headline["estimate"]  # 135 - 142, 145 - 144, 146 - 150, 147 - 150
        -3.25
    """
    asked = Asked(
        arm, outcome, covariates, unit=unit, better=better, arms=arms, override=override,
        conf_level=conf_level, exposed_at=exposed_at,
    )  # fmt: skip
    check_choice(estimand, ("ATT", "ATE"), name="estimand")
    check_choice(distance, DISTANCES, name="distance")
    check_whole(matches, name="matches", minimum=1)
    check_whole(variance_matches, name="variance_matches", minimum=1)
    observed = open_observed(data, asked, kind=kind, instead=_INSTEAD)
    rows = observed.rows
    _refuse_few(rows, (0, 1) if estimand == "ATE" else (0,), max(matches, variance_matches + 1))
    found = match_rows(
        rows, scaled(rows.x, distance), asking=(0, 1) if estimand == "ATE" else (1,),
        matches=matches, variance_matches=variance_matches, corrected=bias_correction,
    )  # fmt: skip
    asked_of = np.ones(rows.n, bool) if estimand == "ATE" else rows.arm == 1
    weight = asked_of + found.used
    told = Found(
        levels=_levels(rows, found, asked_of), estimand=estimand, sizes=rows.sizes(),
        method="nearest neighbours" + (", bias corrected" if bias_correction else ""),
        variance=f"Abadie and Imbens, {variance_matches} nearest of the own arm",
        design="patients matched to those most like them",
        n_events=int(rows.outcome.sum()) if kind != "number" else 0,
        effective_n=effective_by_arm(rows.arm, weight), checks=_checks(rows, weight),
    )  # fmt: skip
    return make_observed(asked, observed, told, kind=kind, with_ratio=False)


def match_rows(
    rows: ArmRows,
    place: np.ndarray,
    *,
    asking: Sequence[int],
    matches: int,
    variance_matches: int,
    corrected: bool,
) -> Matched:
    """Return for the rows of the asking arms their matches, and how often others are used.

    Args:
        rows: The rows.
        place: Coordinates whose straight distance counts.
        asking: Arms whose rows are matched.
        matches: Least number of matches of a row.
        variance_matches: Nearest of the own arm for the variance of those who are used.
        corrected: Whether the distance that is left is corrected for.

    Returns:
        What matching gives each row.
    """
    found = Matched(*(np.zeros(rows.n) for _ in range(4)))
    for k in asking:
        asks, gives = rows.arm == k, rows.arm != k
        askers, givers = distinct_points(place[asks]), distinct_points(place[gives])
        near = find_nearest(givers, askers.place, matches)
        found.used[gives], found.used_squares[gives] = _uses(near, askers, givers)
        slope = np.zeros(rows.x.shape[1])
        if corrected:
            slope = _slope(rows, gives, found.used[gives])
        # What is left of the distance is bridged along the slope of those who are used.
        level = rows.outcome[gives] - rows.x[gives] @ slope
        matched = near.mean(givers.sums(level))[askers.of_row]
        found.other[asks] = matched + rows.x[asks] @ slope
        found.spread[gives] = _spread(givers, rows.outcome[gives], variance_matches)
    return found


def _uses(near: Nearest, askers: Points, givers: Points) -> tuple[np.ndarray, np.ndarray]:
    """Return how often each giving row is used, and the squares of its shares, summed."""
    worth = askers.count[near.query] / near.n_matches[near.query]
    n = len(givers.count)
    used = np.bincount(near.point, weights=worth, minlength=n)
    squares = np.bincount(near.point, weights=worth / near.n_matches[near.query], minlength=n)
    return used[givers.of_row], squares[givers.of_row]


def _spread(points: Points, outcome: np.ndarray, n_nearest: int) -> np.ndarray:
    """Return the outcome's variance among each row and those of its own arm nearest to it."""
    # Everyone is nearest to himself.
    near = find_nearest(points, points.place, n_nearest + 1)
    centred = outcome - outcome.mean()
    mean, square = near.mean(points.sums(centred)), near.mean(points.sums(centred**2))
    n = near.n_matches
    return np.asarray(np.maximum(square - mean**2, 0) * n / (n - 1))[points.of_row]


def _slope(rows: ArmRows, gives: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the slopes of the outcome among those used as matches, as often as they are used."""
    x = rows.x[gives] - np.average(rows.x[gives], axis=0, weights=weight)
    root = np.sqrt(weight)[:, None]
    # Where few are used, covariates may not vary among them: the shortest solution then.
    return np.asarray(np.linalg.lstsq(x * root, rows.outcome[gives] * root[:, 0], rcond=None)[0])


def _levels(rows: ArmRows, found: Matched, asked_of: np.ndarray) -> Levels:
    treated = rows.arm == 1
    with_it = np.where(treated, rows.outcome, found.other)[asked_of]
    without = np.where(treated, found.other, rows.outcome)[asked_of]
    n = len(with_it)
    gain = with_it - without
    # Those who are asked about and serve as matches too stand twice in the sum.
    doubled = found.used**2 + 2 * found.used * asked_of - found.used_squares
    variance = (((gain - gain.mean()) ** 2).sum() + doubled @ found.spread) / n**2
    # Only the difference has a variance here; it stands with the level of the programme.
    covariance = np.array([[0.0, 0.0], [0.0, variance]])
    return Levels((float(without.mean()), float(with_it.mean())), covariance, math.inf)


def _checks(rows: ArmRows, weight: np.ndarray) -> list[Check]:
    gaps = np.abs(standardised_differences(rows.x, rows.arm, weight=weight))
    gaps = np.where(np.isnan(gaps), 0.0, gaps)
    worst = int(np.argmax(gaps))
    terms = [] if rows.design is None else rows.design.terms
    passed = bool(gaps[worst] <= MOST_SMD)
    words = f"after matching the arms differ most in {terms[worst]}, {apart_words(gaps[worst])}"
    if not passed:
        words += "; weigh instead (propensity_weights), or keep those who have counterparts"
    unused = int(np.count_nonzero(weight == 0))
    told = f"matching is a second opinion beside doubly_robust_effect: {unused:,} of {rows.n:,} "
    told += f"patients are nobody's match, and one stands for {weight.max():,.1f}"
    return [
        Check("balance", passed, words, float(gaps[worst]), MOST_SMD, gating=True),
        Check("secondary", None, told, float(unused)),
    ]


def _refuse_few(rows: ArmRows, giving: Sequence[int], needed: int) -> None:
    sizes, faults = rows.sizes(), []
    for k in giving:
        if sizes[k] < needed:
            words = f"arm {k} has {sizes[k]:,} patients with a known outcome, not {needed:,}"
            repair = "ask for fewer matches and variance_matches, or use propensity_weights"
            faults.append(Fault("data", "", sizes[k], words, repair))
    raise_faults(faults)
