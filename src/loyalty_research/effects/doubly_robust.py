"""Weights and an outcome model together: right if either of the two is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from loyalty_research.effects.arms import ArmRows
from loyalty_research.effects.asked import Asked
from loyalty_research.effects.checks import Check
from loyalty_research.effects.effect import Effect
from loyalty_research.effects.observational import (
    Found,
    Observed,
    keep_rows,
    make_observed,
    open_observed,
    standardised_differences,
    weight_checks,
)
from loyalty_research.effects.outcome_model import OutcomeModel, fit_outcome
from loyalty_research.effects.propensity_model import PropensityModel, fit_propensity
from loyalty_research.effects.stacking import Levels, stack_levels


@dataclass(frozen=True)
class Weighted:
    """Rows with their propensities, before any outcome model.

    Attributes:
        observed: All rows whose outcome is known, with the guards.
        rows: Those kept after trimming.
        model: Propensities and weights.
        checks: Of the weights.
    """

    observed: Observed
    rows: ArmRows
    model: PropensityModel
    checks: list[Check]


def doubly_robust_effect(
    data: Any,
    *,
    arm: str,
    outcome: str,
    covariates: Sequence[str] | str,
    estimand: str = "ATE",
    kind: str = "number",
    modifiers: Sequence[str] | None = None,
    trim: float | None = None,
    truncate: float | None = None,
    cluster: str | None = None,
    unit: str = "",
    better: str = "",
    arms: tuple[str, str] = ("control", "programme"),
    exposed_at: str | None = None,
    override: Mapping[str, str] | None = None,
    conf_level: float = 0.95,
) -> Effect:
    """Return the effect by augmented inverse probability weights (AIPW).

    Each arm's level is what the outcome model predicts, plus the weighted mean of what it missed
    in that arm (Robins, Rotnitzky and Zhao, JASA 1994;89:846; ATT and ATO as in Li, Morgan and
    Zaslavsky, JASA 2018;113:390). It is right if either the propensity or the outcome model is.
    The variance is that of all estimating equations stacked, so it is too.

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        arm: Column that is 1 or true for the programme, 0 or false for the comparison.
        outcome: Column of the outcome. Rows where it is missing are left out and counted.
        covariates: Columns known before the arm was, or a formula; in both models.
        estimand: In whom: "ATE" all patients, "ATT" those in the programme, "ATO" those who might
            have been in either arm.
        kind: "number" and "count" have a linear outcome model; "binary", 0 or 1, a logistic one.
        modifiers: Covariates by which the effect may differ in the outcome model; None for all,
            which is a model for each arm; empty for none.
        trim: Propensity from 0 to 0.5: patients below it or above 1 less it are left out and
            counted (for ATT only those above).
        truncate: Propensity from 0 to 0.5: propensities are cut to lie between it and 1 less it.
        cluster: Column that names what is independent, such as the clinic.
        unit: Unit of the outcome, such as "mmHg".
        better: "higher" or "lower", whichever is good for patients; "" leaves it unsaid.
        arms: What arm 0 and arm 1 are called.
        exposed_at: Column with the day of enrolment counted from time zero, missing = never: an arm
            of patients who enrolled later is refused, members from before are withheld.
        override: Refusal -> reason why it is no mistake here; "clusters", "weights" and "immortal
            time" can be.
        conf_level: Coverage of the intervals.

    Returns:
        First the mean or risk difference; for a binary outcome or a count the ratio, its
        `std_error` on the log scale; last the `unadjusted` contrast, an association. The E-value
        is in `facts.more`.

    Raises:
        UsageError: An argument that cannot be meant.
        DesignError: Whole clinics are in one arm each and `cluster` is not given; one patient
            carries more than half of an arm's weight.
        SeparationError: Covariates tell exactly who was in the programme or had the event.
        DataError: Columns or values missing, an empty arm, an outcome that does not vary; every
            fault at once.

    Examples:
        >>> import pandas as pd
        >>> data = pd.DataFrame({"arm": [0, 0, 0, 1, 0, 1, 1, 1], "old": [0] * 4 + [1] * 4,
        ...     "sbp": [140, 142, 144, 135, 150, 145, 146, 147]})
        >>> effect = doubly_robust_effect(data, arm="arm", outcome="sbp", covariates=["old"])
        >>> round(effect.headline["estimate"], 6), effect.headline["n"]
        (-5.5, 8)
    """
    asked = Asked(
        arm, outcome, covariates, cluster, unit=unit, better=better, arms=arms, override=override,
        conf_level=conf_level, exposed_at=exposed_at,
    )  # fmt: skip
    found = open_weighted(data, asked, kind=kind, estimand=estimand, trim=trim, truncate=truncate)
    model = fit_outcome(found.rows, kind=kind, modifiers=modifiers)
    levels = augmented_levels(found.rows, found.model, model)
    return weighted_outcome_effect(
        asked, found, levels, kind=kind, method="AIPW",
        variance="stacked M-estimation of propensity, outcome model and levels",
        design="weights for who took part, and an outcome model",
    )  # fmt: skip


def open_weighted(
    data: Any,
    asked: Asked,
    *,
    kind: str,
    estimand: str,
    trim: float | None,
    truncate: float | None,
) -> Weighted:
    """Return the rows of a contrast with propensities and the checks of their weights.

    Args:
        data: One row a patient. Any frame.
        asked: The arguments.
        kind: "number", "binary" or "count".
        estimand: "ATE", "ATT" or "ATO".
        trim: As `doubly_robust_effect`.
        truncate: As `doubly_robust_effect`.

    Returns:
        The rows.

    Raises:
        LoyaltyError: As `doubly_robust_effect`.
    """
    observed = open_observed(data, asked, kind=kind)
    rows = observed.rows
    terms = [] if rows.design is None else rows.design.terms
    model = fit_propensity(
        rows.x, rows.arm, terms=terms, estimand=estimand, trim=trim, truncate=truncate
    )
    kept = keep_rows(rows, model.kept)
    gaps = standardised_differences(kept.x, kept.arm, weight=model.weight)
    checks = weight_checks(model, gaps, terms, all_arms=rows.arm, guards=observed.guards)
    return Weighted(observed, kept, model, checks)


def augmented_levels(rows: ArmRows, model: PropensityModel, fitted: OutcomeModel) -> Levels:
    """Return the AIPW level of each arm with the stacked covariance.

    Args:
        rows: The rows kept.
        model: Propensities and weights of these rows.
        fitted: The outcome model of these rows.

    Returns:
        The levels.
    """
    values, parts = [], []
    total = model.target.sum()
    for k in (0, 1):
        own = rows.arm == k
        weight, slope = np.where(own, model.weight, 0.0), np.where(own, model.slope, 0.0)
        predicted, missed = fitted.predicted[k], rows.outcome - fitted.predicted[k]
        level = float((model.target @ predicted + weight @ missed) / total)
        part = model.target * (predicted - level) + weight * missed
        part += model.influence(model.target_slope * (predicted - level) + slope * missed)
        part += fitted.influence(k, (model.target - weight) * fitted.slope[k])
        values.append(level)
        parts.append(part / total)
    return stack_levels(values, parts, cluster=rows.cluster)


def weighted_outcome_effect(
    asked: Asked,
    found: Weighted,
    levels: Levels,
    *,
    kind: str,
    method: str,
    variance: str,
    design: str,
) -> Effect:
    """Return levels that rest on weights and an outcome model as an effect.

    Args:
        asked: The arguments.
        found: The rows with their propensities.
        levels: Levels of both arms.
        kind: "number", "binary" or "count".
        method: In words.
        variance: In words.
        design: In words.

    Returns:
        The effect.
    """
    rows, model = found.rows, found.model
    parts = Found(
        levels=levels, method=method, variance=variance, design=design, estimand=model.estimand,
        sizes=rows.sizes(), n_events=int(rows.outcome.sum()) if kind != "number" else 0,
        effective_n=model.effective_n(), checks=found.checks, n_trimmed=model.n_trimmed,
        n_truncated=model.n_truncated,
    )  # fmt: skip
    return make_observed(asked, found.observed, parts, kind=kind)
