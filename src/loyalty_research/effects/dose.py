"""How an outcome changes with the amount of a programme that a patient was given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from loyalty_research.data.arguments import check_choice, check_share
from loyalty_research.data.frames import missing_columns, raise_faults
from loyalty_research.effects.adjusted import LEAST_DF
from loyalty_research.effects.arms import outcome_faults
from loyalty_research.effects.asked import BETTER
from loyalty_research.effects.checks import Check, checks_table, count_words
from loyalty_research.effects.effect import Effect, Facts
from loyalty_research.effects.estimates import estimate_row, estimates_table
from loyalty_research.effects.guards import Guards, open_guards
from loyalty_research.effects.linear import LinearFit, fit_linear
from loyalty_research.effects.sensitivity import e_value_facts
from loyalty_research.errors import Fault, UsageError
from loyalty_research.retention.design_matrix import build_design, needed_columns
from loyalty_research.retention.rows import group_codes, take_columns

SOURCES = ("assigned", "baseline", "behaviour")
_GUARD = "dose from later behaviour"


def dose_response(
    data: Any,
    *,
    dose: str,
    outcome: str,
    dose_from: str,
    covariates: Sequence[str] | str | None = None,
    cluster: str | None = None,
    dose_known_on: str | None = None,
    time_zero: str | None = None,
    step: float = 1.0,
    randomised: bool = False,
    unit: str = "",
    better: str = "",
    override: Mapping[str, str] | None = None,
    conf_level: float = 0.95,
) -> Effect:
    """Return by how much the mean outcome differs for one step more of a dose.

    A dose that patients make themselves after time zero, such as points earned, is refused: those
    who stay and do well earn more of it, so that it follows from the outcome. A straight line is
    fitted, with HC2 errors or by cluster CR2; a term in the squared dose shows how far it bends.

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        dose: Column with the amount, a number.
        outcome: Column of numbers, or of 0 and 1. Rows where it is missing are left out.
        dose_from: "assigned" (somebody decided it), "baseline" (it was so at time zero) or
            "behaviour" (patients made it afterwards, which is refused).
        covariates: Columns known before the dose was, or a formula such as "age + C(sex)".
        cluster: Column that names what is independent, such as the clinic.
        dose_known_on: Column with the day from which the dose was known.
        time_zero: Column with the day on which follow-up began.
        step: How much more of the dose the estimate speaks of.
        randomised: True where chance decided the dose.
        unit: Unit of the outcome.
        better: "higher" or "lower", whichever is good for patients; "" leaves it unsaid.
        override: {"dose from later behaviour": reason} lets the dose pass.
        conf_level: Coverage of the intervals.

    Returns:
        Rows `dose response` and `bend` (the coefficient of the squared dose, in steps, where the
        dose has more than two values).

    Raises:
        UsageError: An argument that cannot be meant.
        DesignError: The dose comes from behaviour after time zero.
        DataError: Columns or values missing or no numbers; a dose that is constant or determined by
            the covariates; too few rows.

    Examples:
        >>> data = pd.DataFrame({"calls": [0.0, 1.0, 2.0, 3.0], "score": [1.0, 2.0, 2.0, 3.0]})
        >>> effect = dose_response(data, dose="calls", outcome="score", dose_from="assigned")
        >>> round(effect.headline["estimate"], 6)
        0.6
        >>> dose_response(data, dose="calls", outcome="score", dose_from="behaviour")
        Traceback (most recent call last):
        ...
        loyalty_research.errors.DesignError: 1 fault in the data:
          data: calls is what patients did after time zero, so that it follows from how they \
fared; compare by what was offered or known at time zero, or by landmark_trial(); if it is no \
mistake here, say why by override={'dose from later behaviour': ...}
    """
    _check(conf_level, dose_from, better, step, dose_known_on, time_zero)
    guards = open_guards([_GUARD], override=override)
    days = [name for name in (dose_known_on, time_zero) if name is not None]
    table, lost = _open(data, dose, outcome, covariates, cluster, days)
    _refuse_later(guards, table, dose, dose_from, dose_known_on, time_zero)
    names = [dose] if covariates is None else covariates
    x = np.empty((len(table), 0)) if covariates is None else build_design(table, names)[1]
    code = None if cluster is None else group_codes(table, [cluster])[0]
    amount = table[dose].to_numpy(float) / step
    columns = np.column_stack([np.ones(len(table)), amount - amount.mean(), x - x.mean(axis=0)])
    raise_faults(_spare_faults(columns, dose))
    y = table[outcome].to_numpy(float)
    fit = fit_linear(columns, y, cluster=code)
    settings: dict[str, Any] = {
        "scale": f"{unit or outcome} per {step:g} of {dose}", "n": len(table),
        "conf_level": conf_level,
    }  # fmt: skip
    rows, bend_check = _rows(fit, columns, y, code, settings)
    checks = [_source_check(randomised, dose_from, dose), *guards.checks, bend_check]
    e_values: dict[str, float] = {}
    if not randomised:
        # The contrast of patients a step apart, whose outcome spreads as what the line leaves.
        spread = float(np.std(y - columns @ fit.beta))
        e_values, told = e_value_facts([rows[0] | {"scale": "mean difference"}], sd=spread)
        checks.append(told)
    facts = Facts(
        design="dose drawn by lot" if randomised else f"dose, {dose_from}",
        estimand=f"difference in mean {outcome} for {step:g} more of {dose}, straight line, "
        f"{len(table):,} patients",
        measure="dose response", outcome=outcome, variance=fit.kind, n=len(table),
        unit=unit, better=better, causal=bool(randomised), n_clusters=fit.n_clusters,
        arms=("as it is", f"{step:g} more of {dose}"), n_missing={1: lost},
        overrides=dict(guards.used), more=e_values,
    )  # fmt: skip
    if fit.n_clusters is not None:
        checks.append(_cluster_check(fit))
    return Effect(estimates_table(rows), checks_table(checks), facts)


# --- the door -------------------------------------------------------------------------------------


def _check(
    conf_level: float, dose_from: str, better: str, step: float, known: str | None, zero: str | None
) -> None:
    check_share(conf_level, name="conf_level")
    check_choice(dose_from, SOURCES, name="dose_from")
    if better not in BETTER:
        raise UsageError(f"better={better!r} must be 'higher' or 'lower', whichever is good")
    if not step > 0:
        raise UsageError(f"step={step!r} must be above 0")
    if (known is None) != (zero is None):
        raise UsageError("give both dose_known_on and time_zero, or neither")


def _open(
    data: Any,
    dose: str,
    outcome: str,
    covariates: Sequence[str] | str | None,
    cluster: str | None,
    days: list[str],
) -> tuple[pd.DataFrame, int]:
    named = [] if covariates is None else needed_columns(covariates)
    columns = [dose, outcome, *named, *([cluster] if cluster else []), *days]
    raise_faults(missing_columns(data, columns, table="data"))
    table = take_columns(data, list(dict.fromkeys(columns)))
    faults = [*outcome_faults(table, dose, "number"), *outcome_faults(table, outcome, "number")]
    for name in dict.fromkeys([dose, *columns[2:]]):
        count = int(table[name].isna().sum())
        if count:
            message = f"{name} is missing in {count:,} of {len(table):,} rows"
            faults.append(Fault("data", name, count, message, "drop or fill these rows"))
    known = table[outcome].notna()
    if not known.any():
        message = f"no row has a known {outcome}"
        faults.append(Fault("data", outcome, len(table), message, "check the cohort's criteria"))
    raise_faults(fault for fault in faults if fault is not None)
    return table[known].reset_index(drop=True), int((~known).sum())


def _refuse_later(
    guards: Guards,
    table: pd.DataFrame,
    dose: str,
    dose_from: str,
    known: str | None,
    zero: str | None,
) -> None:
    later = 0
    if known is not None and zero is not None:
        later = int((pd.to_datetime(table[known]) > pd.to_datetime(table[zero])).sum())
    made = dose_from == "behaviour"
    message = f"{dose} is what patients did after time zero" if made else (
        f"{dose} was known only after {zero} in {later:,} rows"
    )  # fmt: skip
    guards.refuse(
        _GUARD, broken=made or later > 0, column=dose, count=len(table) if made else later,
        message=f"{message}, so that it follows from how they fared",
        repair="compare by what was offered or known at time zero, or by landmark_trial()",
        fine="the dose was known by time zero",
    )  # fmt: skip


def _spare_faults(columns: np.ndarray, dose: str) -> list[Fault]:
    n, k = columns.shape
    if n < k + 2:
        message = f"{count_words(n, 'row')} for {count_words(k, 'coefficient')}"
        return [Fault("data", dose, n, message, "choose fewer covariates, or more patients")]
    others = np.delete(columns, 1, axis=1)
    left = columns[:, 1] - others @ np.linalg.lstsq(others, columns[:, 1], rcond=None)[0]
    if left.std() <= 1e-7 * max(float(np.abs(columns[:, 1]).max()), 1e-300):
        message = f"{dose} is constant or determined by the covariates"
        return [Fault("data", dose, n, message, "leave out what determines it")]
    return []


# --- estimates ------------------------------------------------------------------------------------


def _rows(
    fit: LinearFit, columns: np.ndarray, y: np.ndarray, code: np.ndarray | None, settings: Any
) -> tuple[list[dict[str, Any]], Check]:
    second = np.eye(len(fit.beta))[1]
    estimate, error, df = fit.contrast(second)
    method = f"straight line, {fit.kind}"
    rows = [estimate_row("dose response", estimate, error, df=df, method=method, **settings)]
    dose = columns[:, 1]
    squared = dose**2 - columns @ np.linalg.lstsq(columns, dose**2, rcond=None)[0]
    told = "the dose has two values, so that nothing shows whether the line is straight"
    if len(np.unique(dose)) < 3 or len(y) < columns.shape[1] + 3 or squared.std() <= 1e-9:
        return rows, Check("straight line", None, told)
    bent = fit_linear(np.column_stack([columns, squared]), y, cluster=code)
    value, error, df = bent.contrast(np.eye(len(bent.beta))[-1])
    rows.append(
        estimate_row("bend", value, error, df=df, method=f"squared dose, {bent.kind}", **settings)
    )
    p_value = float(rows[1]["p_value"])
    words = f"a squared dose adds {value:.3g} for each step squared, p {p_value:.3g}"
    return rows, Check("straight line", None, words, p_value)


def _source_check(randomised: bool, dose_from: str, dose: str) -> Check:
    if randomised:
        return Check("assignment", True, "stated: chance decided the dose", gating=True)
    words = f"chance did not decide {dose} ({dose_from}), so that the slope is an association"
    return Check("assignment", False, words, gating=True)


def _cluster_check(fit: LinearFit) -> Check:
    df = fit.degrees_of_freedom(np.eye(len(fit.beta))[1])
    words = f"{count_words(fit.n_clusters or 0, 'cluster')} are worth {df:.1f} degrees of freedom"
    return Check("clusters", bool(df >= LEAST_DF), words, df, LEAST_DF, gating=True)
