"""An outcome model, asked what it says of the same patients in either arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from loyalty_research.data.arguments import check_choice
from loyalty_research.effects.arms import ArmRows
from loyalty_research.effects.asked import Asked
from loyalty_research.effects.checks import Check
from loyalty_research.effects.effect import Effect
from loyalty_research.effects.observational import (
    Found,
    make_observed,
    open_observed,
    standardised_differences,
)
from loyalty_research.effects.outcome_model import OutcomeModel, fit_outcome
from loyalty_research.effects.stacking import Levels, stack_levels

MOST_SMD = 0.5
"""Standardised difference beyond which a regression reaches beyond its data (half a deviation)."""


def g_computation(
    data: Any,
    *,
    arm: str,
    outcome: str,
    covariates: Sequence[str] | str,
    estimand: str = "ATE",
    kind: str = "number",
    modifiers: Sequence[str] | None = None,
    cluster: str | None = None,
    unit: str = "",
    better: str = "",
    arms: tuple[str, str] = ("control", "programme"),
    exposed_at: str | None = None,
    override: Mapping[str, str] | None = None,
    conf_level: float = 0.95,
) -> Effect:
    """Return the effect by standardisation of an outcome model (the parametric g-formula).

    Every patient's outcome is predicted in both arms and averaged over the patients asked about
    (Robins, Math Modelling 1986;7:1393; Hernan and Robins, Causal Inference, chapter 13). The
    variance is that of the stacked equations of model and averages. It is right only if the
    outcome model is; `doubly_robust_effect` needs one of two.

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        arm: Column that is 1 or true for the programme, 0 or false for the comparison.
        outcome: Column of the outcome. Rows where it is missing are left out and counted.
        covariates: Columns known before the arm was, or a formula.
        estimand: In whom: "ATE" all patients, "ATT" those in the programme.
        kind: "number" and "count" have a linear model; "binary", 0 or 1, a logistic one.
        modifiers: Covariates by which the effect may differ; None for all, which is a model for
            each arm; empty for none.
        cluster: Column that names what is independent, such as the clinic.
        unit: Unit of the outcome, such as "mmHg".
        better: "higher" or "lower", whichever is good for patients; "" leaves it unsaid.
        arms: What arm 0 and arm 1 are called.
        exposed_at: Column with the day of enrolment counted from time zero, missing = never: an arm
            of patients who enrolled later is refused, members from before are withheld.
        override: Refusal -> reason why it is no mistake here; "clusters" and "immortal time" can
            be.
        conf_level: Coverage of the intervals.

    Returns:
        The rows of `doubly_robust_effect`. The check "extrapolation" gates: it fails where a
        covariate's means lie more than half a standard deviation apart, since the model then
        speaks of patients whom one of the arms has not.

    Raises:
        UsageError: An argument that cannot be meant.
        DesignError: Whole clinics are in one arm each and `cluster` is not given.
        SeparationError: Covariates tell exactly who had the event.
        DataError: Columns or values missing, an empty arm, an outcome that does not vary, a
            covariate that is constant in an arm; every fault at once.

    Examples:
        >>> import pandas as pd
        >>> data = pd.DataFrame({"arm": [0, 0, 0, 1, 0, 1, 1, 1], "old": [0] * 4 + [1] * 4,
        ...     "sbp": [140, 142, 144, 135, 150, 145, 146, 147]})
        >>> effect = g_computation(data, arm="arm", outcome="sbp", covariates=["old"])
        >>> round(effect.headline["estimate"], 6)
        -5.5
    """
    asked = Asked(
        arm, outcome, covariates, cluster, unit=unit, better=better, arms=arms, override=override,
        conf_level=conf_level, exposed_at=exposed_at,
    )  # fmt: skip
    check_choice(estimand, ("ATE", "ATT"), name="estimand")
    observed = open_observed(data, asked, kind=kind)
    rows = observed.rows
    target = np.ones(rows.n) if estimand == "ATE" else rows.arm.astype(float)
    levels = standardised_levels(rows, fit_outcome(rows, kind=kind, modifiers=modifiers), target)
    found = Found(
        levels=levels, method="g-computation", estimand=estimand, sizes=rows.sizes(),
        variance="stacked M-estimation of outcome model and levels",
        design="an outcome model, standardised", effective_n={},
        n_events=int(rows.outcome.sum()) if kind != "number" else 0, checks=[_extrapolation(rows)],
    )  # fmt: skip
    return make_observed(asked, observed, found, kind=kind)


def standardised_levels(rows: ArmRows, fitted: OutcomeModel, target: np.ndarray) -> Levels:
    """Return the mean prediction of each arm over the target, with the stacked covariance.

    Args:
        rows: The rows.
        fitted: Their outcome model.
        target: How much each row counts.

    Returns:
        The levels.
    """
    values, parts, total = [], [], target.sum()
    for k in (0, 1):
        level = float(target @ fitted.predicted[k] / total)
        part = target * (fitted.predicted[k] - level)
        values.append(level)
        parts.append((part + fitted.influence(k, target * fitted.slope[k])) / total)
    return stack_levels(values, parts, cluster=rows.cluster)


def _extrapolation(rows: ArmRows) -> Check:
    gaps = np.abs(standardised_differences(rows.x, rows.arm))
    gaps = np.where(np.isnan(gaps), 0.0, gaps)
    worst = int(np.argmax(gaps))
    terms = [] if rows.design is None else rows.design.terms
    passed = bool(gaps[worst] <= MOST_SMD)
    words = f"the arms differ most in {terms[worst]}, by {gaps[worst]:.2f} SD"
    if not passed:
        words += ", which a model can only bridge by its form; use doubly_robust_effect"
    return Check("extrapolation", passed, words, float(gaps[worst]), MOST_SMD, gating=True)
