"""What a programme's effect costs: cost-effectiveness, net benefit, acceptability."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm
from scipy.stats import t as student

from loyalty_research.effects.adjusted import cluster_check
from loyalty_research.effects.asked import Asked, among, make_effect
from loyalty_research.effects.checks import Check
from loyalty_research.effects.cost_outcome import (
    CostOutcome,
    check_willingness,
    joint_moments,
    open_cost_outcome,
)
from loyalty_research.effects.effect import Effect
from loyalty_research.effects.estimates import estimate_row
from loyalty_research.effects.fieller import FiellerSet, fieller_set


def incremental_cost_effectiveness(
    data: Any,
    *,
    arm: str,
    cost: str,
    outcome: str,
    covariates: Sequence[str] | str | None = None,
    cluster: str | None = None,
    randomised: bool = False,
    better: str = "higher",
    arms: tuple[str, str] = ("control", "programme"),
    override: Mapping[str, str] | None = None,
    conf_level: float = 0.95,
) -> Effect:
    """Return what one more unit of the outcome costs, with Fieller's set and the quadrant.

    Where the programme costs less and does better, or more and worse, no ratio says what is true,
    and none is given. Where the arms' outcomes do not differ for sure, the set of ratios has no
    end; it is then given in words, its limits are missing and the check "ratio" fails.

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        arm: Column that is 1 or true for the programme, 0 or false for the comparison.
        cost: Column of each patient's cost, the programme's own included.
        outcome: Column of the outcome, 0 or 1 or a number. Rows where it is missing are left out.
        covariates: Columns known before the arm was, or a formula.
        cluster: Column that names what was assigned or is independent, such as the clinic.
        randomised: True where chance decided the arm.
        better: "higher" or "lower": which way the outcome is good. With "lower" the ratio is cost
            for each unit averted.
        arms: What arm 0 and arm 1 are called.
        override: Refusal -> reason why it is no mistake here.
        conf_level: Coverage of the set.

    Returns:
        Rows `incremental cost-effectiveness ratio`, `incremental cost`, `incremental benefit`;
        `facts.more` has the `quadrant`, what the set is (`set`) and both in words (`in_words`).

    Raises:
        UsageError: An argument that cannot be meant.
        DesignError: Whole clinics are in one arm each and `cluster` is not given.
        DataError: Columns or values missing, an arm empty; every fault at once.

    References:
        Fieller, J R Stat Soc B 1954;16:175; Willan and O'Brien, Health Econ 1996;5:297; Briggs,
        O'Brien and Blackhouse, Annu Rev Public Health 2002;23:377.

    Examples:
        >>> import pandas as pd
        >>> data = pd.DataFrame({"arm": [0] * 4 + [1] * 4, "cost": [9, 10, 11, 10, 30, 29, 31, 30],
        ...     "years": [1.0, 1.1, 0.9, 1.0, 2.0, 2.1, 1.9, 2.0]})
        >>> found = incremental_cost_effectiveness(data, arm="arm", cost="cost", outcome="years",
        ...     randomised=True)
        >>> found.estimates[["estimate", "conf_low", "conf_high"]].round(2).iloc[0].tolist()
        [20.0, 16.47, 24.66]
        >>> found.facts.more["quadrant"]
        'costs more and does better'
    """
    asked = Asked(
        arm=arm, outcome=outcome, covariates=covariates, cluster=cluster, randomised=randomised,
        better=better, arms=arms, override=override, conf_level=conf_level,
    )  # fmt: skip
    found = open_cost_outcome(data, asked, cost=cost)
    opened = found.opened
    moments = joint_moments(found)
    ratio = moments[0] / moments[1] if moments[1] else math.nan
    df = found.net_benefit(ratio)[2] if math.isfinite(ratio) else math.inf
    limits = _ratio_set(moments, df, conf_level)
    quadrant = _quadrant(moments[0], moments[1])
    # Cheaper and better, or dearer and worse: the ratio is negative and means nothing.
    ratio = ratio if ratio >= 0 else math.nan
    row = _ratio_row(ratio, limits, asked, opened.rows.n, cost)
    opened.checks += [*cluster_check(opened, found.difference(found.cost)[2])]
    opened.checks += [Check("quadrant", None, f"the programme {quadrant}"), _ratio_check(limits)]
    words = _in_words(row, limits, quadrant, conf_level)
    return make_effect(
        replace(asked, better=""), opened, [row, *_parts(found, cost)],
        measure="incremental cost-effectiveness ratio", levels=opened.rows.means(), n_events=None,
        estimand=f"difference in mean {cost} for each unit of difference in mean {outcome}, "
        f"{among(asked, opened)}",
        variance=row["method"],
        more={"quadrant": quadrant, "set": limits.kind, "in_words": words},
    )  # fmt: skip


def net_benefit(
    data: Any,
    *,
    arm: str,
    cost: str,
    outcome: str,
    willingness_to_pay: float | Sequence[float],
    covariates: Sequence[str] | str | None = None,
    cluster: str | None = None,
    randomised: bool = False,
    better: str = "higher",
    arms: tuple[str, str] = ("control", "programme"),
    override: Mapping[str, str] | None = None,
    conf_level: float = 0.95,
) -> Effect:
    """Return what the programme's effect is worth less what it costs, a patient.

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        arm: Column that is 1 or true for the programme, 0 or false for the comparison.
        cost: Column of each patient's cost, the programme's own included.
        outcome: Column of the outcome, 0 or 1 or a number. Rows where it is missing are left out.
        willingness_to_pay: What one more unit of the outcome is worth, in units of cost; one or
            several, the first for the headline.
        covariates: Columns known before the arm was, or a formula.
        cluster: Column that names what was assigned or is independent; errors are then CR2.
        randomised: True where chance decided the arm.
        better: "higher" or "lower": which way the outcome is good.
        arms: What arm 0 and arm 1 are called.
        override: Refusal -> reason why it is no mistake here.
        conf_level: Coverage of the intervals.

    Returns:
        One row for each willingness, `term` "net benefit", with the column `willingness_to_pay`.
        Without covariates and clusters the interval is Welch's.

    Raises:
        UsageError: An argument that cannot be meant.
        DesignError: Whole clinics are in one arm each and `cluster` is not given.
        DataError: Columns or values missing, an arm empty; every fault at once.

    References:
        Stinnett and Mullahy, Med Decis Making 1998;18(2 Suppl):S68; Welch, Biometrika 1947;34:28.

    Examples:
        >>> import pandas as pd
        >>> data = pd.DataFrame({"arm": [0] * 4 + [1] * 4, "cost": [9, 10, 11, 10, 30, 29, 31, 30],
        ...     "years": [1.0, 1.1, 0.9, 1.0, 2.0, 2.1, 1.9, 2.0]})
        >>> found = net_benefit(data, arm="arm", cost="cost", outcome="years", randomised=True,
        ...     willingness_to_pay=[10, 30])
        >>> found.estimates["estimate"].round(6).tolist()
        [-10.0, 10.0]
    """
    asked = Asked(
        arm=arm, outcome=outcome, covariates=covariates, cluster=cluster, randomised=randomised,
        better=better, arms=arms, override=override, conf_level=conf_level,
    )  # fmt: skip
    values = check_willingness(willingness_to_pay)
    found = open_cost_outcome(data, asked, cost=cost)
    opened, method = found.opened, _method(found)
    rows = []
    for value in values:
        estimate, error, df = found.net_benefit(value)
        rows.append(
            estimate_row(
                "net benefit", estimate, error, df=df, scale=cost, method=method, n=opened.rows.n,
                conf_level=conf_level, willingness_to_pay=value,
            )
        )  # fmt: skip
    opened.checks += cluster_check(opened, found.net_benefit(values[0])[2])
    worth = values[0] * found.benefit - found.cost
    levels = {k: float(worth[opened.rows.arm == k].mean()) for k in (0, 1)}
    return make_effect(
        replace(asked, better="higher"), opened, rows,
        measure=f"net benefit at {values[0]:g} a unit", levels=levels, n_events=None,
        variance=method,
        estimand=f"mean of {values[0]:g} times {outcome} less {cost}, programme less comparison, "
        f"{among(asked, opened)}",
    )  # fmt: skip


def acceptability_curve(
    data: Any,
    *,
    arm: str,
    cost: str,
    outcome: str,
    willingness_to_pay: Sequence[float],
    covariates: Sequence[str] | str | None = None,
    cluster: str | None = None,
    better: str = "higher",
    override: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Return how probable it is that the programme is worth its cost, by what a unit is worth.

    The probability is one less the one-sided p-value of the net benefit, which is the share of a
    posterior under flat priors.

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        arm: Column that is 1 or true for the programme, 0 or false for the comparison.
        cost: Column of each patient's cost.
        outcome: Column of the outcome.
        willingness_to_pay: What one more unit of the outcome may be worth, several numbers.
        covariates: Columns known before the arm was, or a formula.
        cluster: Column that names what was assigned or is independent.
        better: "higher" or "lower": which way the outcome is good.
        override: Refusal -> reason why it is no mistake here.

    Returns:
        One row a number: `willingness_to_pay, probability, net_benefit, n, method`.

    Raises:
        UsageError: An argument that cannot be meant.
        DesignError: Whole clinics are in one arm each and `cluster` is not given.
        DataError: Columns or values missing, an arm empty; every fault at once.

    References:
        Fenwick, Claxton and Sculpher, Health Econ 2001;10:779; Lothgren and Zethraeus, Health Econ
        2000;9:623.

    Examples:
        >>> import pandas as pd
        >>> data = pd.DataFrame({"arm": [0] * 4 + [1] * 4, "cost": [9, 10, 11, 10, 30, 29, 31, 30],
        ...     "years": [1.0, 1.1, 0.9, 1.0, 2.0, 2.1, 1.9, 2.0]})
        >>> acceptability_curve(data, arm="arm", cost="cost", outcome="years",
        ...     willingness_to_pay=[20, 22])["probability"].round(3).tolist()
        [0.5, 0.852]
    """
    asked = Asked(
        arm=arm, outcome=outcome, covariates=covariates, cluster=cluster, better=better,
        override=override,
    )  # fmt: skip
    values = check_willingness(willingness_to_pay)
    found = open_cost_outcome(data, asked, cost=cost)
    rows = []
    for value in values:
        estimate, error, df = found.net_benefit(value)
        chance = float(student.cdf(estimate / error, df)) if error > 0 else math.nan
        rows.append({"willingness_to_pay": value, "probability": chance, "net_benefit": estimate})
    return pd.DataFrame(rows).assign(n=found.opened.rows.n, method=_method(found))


# --- pieces ---------------------------------------------------------------------------------------


def _method(found: CostOutcome) -> str:
    if found.opened.rows.cluster is not None:
        return "linear model, CR2, Satterthwaite df"
    return "linear model, HC2" if found.opened.terms else "difference in means, Welch"


def _ratio_set(moments: tuple[float, ...], df: float, conf_level: float) -> FiellerSet:
    cost, benefit, var_cost, var_benefit, covariance = moments
    law = norm if not math.isfinite(df) else student(df)
    return fieller_set(
        cost, benefit, var_top=var_cost, var_bottom=var_benefit, covariance=covariance,
        critical=float(law.ppf((1 + conf_level) / 2)),
    )  # fmt: skip


def _ratio_row(ratio: float, limits: FiellerSet, asked: Asked, n: int, cost: str) -> dict[str, Any]:
    """Return the row of the ratio; a set that is no interval, or beside no ratio, has no limits."""
    shown = limits.kind == "interval" and math.isfinite(ratio)
    unit = "unit" if asked.better == "higher" else "unit less"
    return {
        "term": "incremental cost-effectiveness ratio", "estimate": ratio, "std_error": math.nan,
        "conf_low": limits.low if shown else math.nan,
        "conf_high": limits.high if shown else math.nan,
        "conf_level": asked.conf_level, "p_value": math.nan, "n": n, "n_events": None,
        "scale": f"{cost} per {unit} of {asked.outcome}", "method": "Fieller",
    }  # fmt: skip


def _parts(found: CostOutcome, cost: str) -> list[dict[str, Any]]:
    settings: dict[str, Any] = {
        "method": _method(found), "n": found.opened.rows.n, "conf_level": found.asked.conf_level,
    }  # fmt: skip
    rows = []
    for term, values, scale in (
        ("incremental cost", found.cost, cost),
        ("incremental benefit", found.benefit, found.asked.outcome),
    ):
        estimate, error, df = found.difference(np.asarray(values, float))
        rows.append(estimate_row(term, estimate, error, df=df, scale=scale, **settings))
    return rows


def _ratio_check(limits: FiellerSet) -> Check:
    if limits.kind == "interval":
        return Check(
            "ratio", True, "the outcomes differ, so that the ratio has limits", gating=True
        )
    message = "the outcomes do not differ for sure, so that the ratio has no limits"
    return Check("ratio", False, f"{message}; read net_benefit() instead", gating=True)


def _quadrant(cost: float, benefit: float) -> str:
    """Return in words where the programme stands on the plane of cost and benefit."""
    price = "costs more" if cost > 0 else "costs less" if cost < 0 else "costs the same"
    good = "does better" if benefit > 0 else "does worse" if benefit < 0 else "does as well"
    return f"{price} and {good}"


def _in_words(row: dict[str, Any], limits: FiellerSet, quadrant: str, conf_level: float) -> str:
    level = f"{100 * conf_level:g} %"
    if limits.kind == "everything":
        span = f"no ratio can be ruled out at {level}"
    elif limits.kind == "outside":
        span = (
            f"at {level} only ratios between {limits.low:,.4g} and {limits.high:,.4g} are ruled out"
        )
    else:
        span = f"{level} set {limits.low:,.4g} to {limits.high:,.4g}"
        if limits.low < 0 < limits.high and "does better" in quadrant:
            span += ", below 0 it would save"
    if math.isnan(row["estimate"]):
        return f"none, because the programme {quadrant} ({span})"
    return f"{row['estimate']:,.4g}, the programme {quadrant} ({span})"
