"""What a programme would do if something it changes were held still."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from loyalty_research.data.frames import missing_columns, raise_faults
from loyalty_research.effects.adjusted import cluster_check, fit_levels
from loyalty_research.effects.arms import outcome_faults
from loyalty_research.effects.asked import Asked, Opened, among, make_effect, open_asked
from loyalty_research.effects.checks import Check
from loyalty_research.effects.effect import Effect
from loyalty_research.effects.estimates import estimate_row
from loyalty_research.effects.linear import LinearFit, fit_linear
from loyalty_research.errors import Fault, UsageError
from loyalty_research.retention.rows import take_columns

_TERM = "controlled direct effect"
_NONE = "mediator-outcome confounding"
_AFFECTED = "confounder changed by the programme"


def controlled_direct_effect(
    data: Any,
    *,
    arm: str,
    mediator: str,
    outcome: str,
    at: float,
    confounders: Sequence[str],
    changed_by_arm: Sequence[str] = (),
    cluster: str | None = None,
    randomised: bool = False,
    unit: str = "",
    better: str = "",
    arms: tuple[str, str] = ("control", "programme"),
    override: Mapping[str, str] | None = None,
    conf_level: float = 0.95,
) -> Effect:
    """Return the effect of a programme with a mediator held at one value in everybody.

    A lottery makes the arms alike, not those with much and little of the mediator: what causes both
    mediator and outcome must be measured and named (Vanderweele, Explanation in Causal Inference,
    2015, chapter 2). With that it is the coefficient of the arm in a linear model that holds the
    mediator, their product and the confounders. Shares "explained by" a mediator need more than any
    lottery gives and are not computed.

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        arm: Column that is 1 or true for the programme, 0 or false for the comparison.
        mediator: Column of numbers, measured after the arm was drawn and before the outcome.
        outcome: Column of numbers, or of 0 and 1. Rows where it is missing are left out.
        at: The value at which the mediator is held.
        confounders: Columns that cause both mediator and outcome.
        changed_by_arm: Those of them that the programme itself changes; such are refused.
        cluster: Column that names what was assigned or is independent, such as the clinic.
        randomised: True where chance decided the arm.
        unit: Unit of the outcome.
        better: "higher" or "lower", whichever is good for patients; "" leaves it unsaid.
        arms: What arm 0 and arm 1 are called.
        override: Refusal -> reason; "clusters", "mediator-outcome confounding" and "confounder
            changed by the programme" can be overridden.
        conf_level: Coverage of the intervals.

    Returns:
        Rows `controlled direct effect`, `total effect` and `interaction` (by how much the direct
        effect grows for one more of the mediator).

    Raises:
        UsageError: An argument that cannot be meant, or a value outside what was seen.
        DesignError: It is not identified: no confounders are named, or the programme changes one.
        DataError: As `mean_difference`; a mediator that the arm determines.

    Examples:
        >>> import pandas as pd
        >>> data = pd.DataFrame({"arm": [0, 1] * 4, "visits": [1, 2, 2, 3, 1, 4, 3, 2],
        ...     "score": [1.0, 3.0, 2.0, 4.0, 2.0, 5.0, 3.0, 3.0], "age": [5, 3, 4, 6, 8, 1, 2, 5]})
        >>> controlled_direct_effect(data, arm="arm", mediator="visits", outcome="score", at=2,
        ...     confounders=[])
        Traceback (most recent call last):
        ...
        loyalty_research.errors.DesignError: 1 fault in the data:
          data: no cause of both visits and score is named, so that the direct effect is not \
identified; give confounders=[...], or report the total effect (mean_difference); if it is no \
mistake here, say why by override={'mediator-outcome confounding': ...}
    """
    asked = Asked(
        arm, outcome, list(confounders) or None, cluster, None, randomised, unit, better, arms,
        override, conf_level,
    )  # fmt: skip
    _check_mediator(data, mediator, at, confounders, changed_by_arm)
    opened = open_asked(data, asked, kind="number", more=[mediator], guards=[_NONE, _AFFECTED])
    _refuse_unidentified(opened, mediator, outcome, confounders, changed_by_arm)
    held = opened.rows.more[mediator].to_numpy(float) - at
    fit = _fit(opened, held, mediator)
    total = fit_levels(opened)
    table = _rows(fit, total, opened, asked, mediator, at)
    named = ", ".join(confounders) or "none"
    opened.checks += [
        *cluster_check(opened, fit.contrast(np.eye(len(fit.beta))[1])[2]),
        Check("confounders", None, f"assumed: nothing but {named} causes {mediator} and {outcome}"),
    ]  # fmt: skip
    level = fit.beta[0]
    return make_effect(
        asked, opened, table, measure=_TERM, variance=fit.kind, n_events=None,
        estimand=f"difference in mean {outcome} with {mediator} held at {at:g} in everybody, "
        f"{among(asked, opened)}",
        levels={0: float(level), 1: float(level + fit.beta[1])},
        more={"mediator": mediator, "held_at": float(at)},
    )  # fmt: skip


def _check_mediator(
    data: Any, mediator: str, at: float, confounders: Sequence[str], changed: Sequence[str]
) -> None:
    if isinstance(confounders, str) or isinstance(changed, str):
        raise UsageError("confounders and changed_by_arm are lists of columns")
    if unknown := set(changed) - set(confounders):
        raise UsageError(f"changed_by_arm names {sorted(unknown)}, not among confounders")
    raise_faults(missing_columns(data, [mediator], table="data"))
    table = take_columns(data, [mediator])
    raise_faults(fault for fault in outcome_faults(table, mediator, "number") if fault is not None)
    values = table[mediator].dropna().to_numpy(float)
    if len(values) and not values.min() <= at <= values.max():
        raise UsageError(f"at={at!r} lies outside the {mediator} of all patients; choose one seen")


def _refuse_unidentified(
    opened: Opened, mediator: str, outcome: str, confounders: Sequence[str], changed: Sequence[str]
) -> None:
    known = len(opened.guards.checks)
    opened.guards.refuse(
        _NONE, broken=not confounders, column=mediator, count=opened.rows.n,
        message=f"no cause of both {mediator} and {outcome} is named, so that the direct effect is "
        "not identified",
        repair="give confounders=[...], or report the total effect (mean_difference)",
        fine=f"named: {', '.join(confounders)}",
    )  # fmt: skip
    named = ", ".join(changed)
    opened.guards.refuse(
        _AFFECTED, broken=bool(changed), column=named, count=opened.rows.n,
        message=f"the programme changes {named}, so that holding it takes part of the effect away "
        "and leaving it out confounds",
        repair="report the total effect (mean_difference)",
        fine="the programme does not change what was named",
    )  # fmt: skip
    opened.checks += opened.guards.checks[known:]


def _fit(opened: Opened, held: np.ndarray, mediator: str) -> LinearFit:
    arm = opened.rows.arm.astype(float)
    x = opened.x - opened.x.mean(axis=0) if opened.terms else opened.x
    columns = np.column_stack([np.ones(len(arm)), arm, held, arm * held, x])
    if np.linalg.matrix_rank(columns) < columns.shape[1] or len(arm) < columns.shape[1] + 2:
        message = f"{mediator} does not vary within each arm beyond the confounders"
        repair = "the arm determines it: report the total effect (mean_difference)"
        raise_faults([Fault("data", mediator, len(arm), message, repair)])
    return fit_linear(columns, opened.rows.outcome, cluster=opened.rows.cluster)


def _rows(
    fit: LinearFit, total: Any, opened: Opened, asked: Asked, mediator: str, at: float
) -> list[dict[str, Any]]:
    scale = asked.unit or "difference in means"
    settings: dict[str, Any] = {"n": opened.rows.n, "conf_level": asked.conf_level}
    estimate, error, df = fit.contrast(np.eye(len(fit.beta))[1])
    direct = estimate_row(
        _TERM, estimate, error, df=df, scale=scale,
        method=f"linear model, {mediator} at {at:g}, {fit.kind}", **settings,
    )  # fmt: skip
    estimate, error, df = total.difference()
    whole = estimate_row(
        "total effect", estimate, error, df=df, scale=scale, method=total.method(), **settings
    )
    estimate, error, df = fit.contrast(np.eye(len(fit.beta))[3])
    more = estimate_row(
        "interaction", estimate, error, df=df, scale=f"{scale} per 1 of {mediator}",
        method=fit.kind, **settings,
    )  # fmt: skip
    return [direct, whole, more]
