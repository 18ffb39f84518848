"""An outcome model moved until the weighted rest of each arm is nothing (TMLE)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import expit, logit

from loyalty_research.data.frames import raise_faults
from loyalty_research.effects.arms import ArmRows
from loyalty_research.effects.asked import Asked
from loyalty_research.effects.doubly_robust import open_weighted, weighted_outcome_effect
from loyalty_research.effects.effect import Effect
from loyalty_research.effects.logit import fit_logit
from loyalty_research.effects.outcome_model import OutcomeModel, fit_outcome
from loyalty_research.effects.propensity_model import PropensityModel
from loyalty_research.effects.stacking import Levels, stack_levels
from loyalty_research.errors import Fault

_EDGE = 0.0005
"""How near a scaled prediction may come to 0 and 1, whose logit is infinite."""


def targeted_effect(
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
    """Return the effect by targeted maximum likelihood (TMLE), which stays within the outcome.

    The outcome is scaled to 0 to 1 by its least and largest value; each arm's predictions then
    move by one logistic intercept, fitted with the arm's weights, until the weighted sum of what
    they miss is 0 (van der Laan and Rose, Targeted Learning, 2011, chapters 4 to 7; Gruber and van
    der Laan, Int J Biostat 2010;6:26). The variance is that of the efficient influence function,
    which takes both models as right.

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        arm: Column that is 1 or true for the programme, 0 or false for the comparison.
        outcome: Column of the outcome. Rows where it is missing are left out and counted.
        covariates: Columns known before the arm was, or a formula; in both models.
        estimand: In whom: "ATE" all patients, "ATT" those in the programme, "ATO" those who might
            have been in either arm.
        kind: "number" and "count" have a linear outcome model; "binary", 0 or 1, a logistic one.
        modifiers: Covariates by which the effect may differ in the outcome model; None for all.
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
        The rows of `doubly_robust_effect`.

    Raises:
        LoyaltyError: As `doubly_robust_effect`.

    Examples:
        >>> import pandas as pd
        >>> data = pd.DataFrame({"arm": [0, 0, 0, 1, 0, 1, 1, 1], "old": [0] * 4 + [1] * 4,
        ...     "sbp": [140, 142, 144, 135, 150, 145, 146, 147]})
        >>> effect = targeted_effect(data, arm="arm", outcome="sbp", covariates=["old"])
        >>> round(effect.headline["estimate"], 2)
        -5.5
    """
    asked = Asked(
        arm, outcome, covariates, cluster, unit=unit, better=better, arms=arms, override=override,
        conf_level=conf_level, exposed_at=exposed_at,
    )  # fmt: skip
    found = open_weighted(data, asked, kind=kind, estimand=estimand, trim=trim, truncate=truncate)
    _refuse_edges(found.rows, outcome)
    model = fit_outcome(found.rows, kind=kind, modifiers=modifiers)
    return weighted_outcome_effect(
        asked, found, targeted_levels(found.rows, found.model, model), kind=kind, method="TMLE",
        variance="efficient influence function",
        design="weights for who took part, and an outcome model moved towards them",
    )  # fmt: skip


def _refuse_edges(rows: ArmRows, outcome: str) -> None:
    """Refuse an arm whose outcomes all lie at one end, to which no finite step leads."""
    faults = []
    for end, value in (("least", rows.outcome.min()), ("most", rows.outcome.max())):
        for k in (0, 1):
            if (rows.outcome[rows.arm == k] == value).all():
                words = f"{outcome} is at its {end} in every row of arm {k}, so that TMLE has no "
                words += "finite step"
                faults.append(Fault("data", outcome, 0, words, "use doubly_robust_effect"))
    raise_faults(faults)


def targeted_levels(rows: ArmRows, model: PropensityModel, fitted: OutcomeModel) -> Levels:
    """Return the targeted level of each arm with the covariance of the influence functions.

    Args:
        rows: The rows kept.
        model: Propensities and weights of these rows.
        fitted: The outcome model of these rows.

    Returns:
        The levels.
    """
    low, span = rows.outcome.min(), np.ptp(rows.outcome)
    scaled = (rows.outcome - low) / span
    values, parts, total = [], [], model.target.sum()
    for k in (0, 1):
        weight = np.where(rows.arm == k, model.weight, 0.0)
        moved = low + span * _moved((fitted.predicted[k] - low) / span, scaled, weight)
        level = float(model.target @ moved / total)
        part = model.target * (moved - level) + weight * (rows.outcome - moved)
        values.append(level)
        parts.append(part / total)
    return stack_levels(values, parts, cluster=rows.cluster)


def _moved(predicted: np.ndarray, scaled: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return predictions on 0 to 1, moved until the weighted sum of what they miss is 0."""
    start = logit(np.clip(predicted, _EDGE, 1 - _EDGE))
    own = weight > 0
    # Scaled to a mean of 1, which moves no maximum and keeps sums within what a float holds.
    fit = fit_logit(
        np.ones((int(own.sum()), 1)), scaled[own], terms=[""], offset=start[own],
        weight=weight[own] / weight[own].mean(),
        separates="those with the event from those without in an arm",
        repair="use propensity_weights(...).effect(...)",
    )  # fmt: skip
    return np.asarray(expit(start + fit.beta[0]))
