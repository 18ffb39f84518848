"""The effect of a programme on those who take it up because it is offered to them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t as student

from loyalty_research.data.frames import missing_columns, raise_faults
from loyalty_research.effects.adjusted import cluster_check, fit_levels
from loyalty_research.effects.arms import outcome_faults
from loyalty_research.effects.asked import Asked, Opened, among, make_effect, open_asked
from loyalty_research.effects.checks import Check
from loyalty_research.effects.effect import Effect
from loyalty_research.effects.estimates import estimate_row
from loyalty_research.errors import Fault, UsageError
from loyalty_research.retention.rows import take_columns

LEAST_F = 10.0
"""First-stage F below which the usual interval is not to be read."""
_TERM = "complier effect"
_EARLY = "received before assigned"


@dataclass(frozen=True)
class _Stages:
    """What being assigned does to the outcome (a) and to taking part (b)."""

    a: float
    b: float
    variance: tuple[float, float, float]
    df: float

    @property
    def f(self) -> float:
        return self.b**2 / self.variance[2] if self.variance[2] > 0 else math.inf

    @property
    def ratio(self) -> float:
        return self.a / self.b

    @property
    def error(self) -> float:
        """Return the error of the ratio: that of a - ratio * b, over b."""
        aa, ab, bb = self.variance
        return math.sqrt(max(aa - 2 * self.ratio * ab + self.ratio**2 * bb, 0.0)) / abs(self.b)


def complier_effect(
    data: Any,
    *,
    arm: str,
    received: str,
    outcome: str,
    covariates: Sequence[str] | str | None = None,
    cluster: str | None = None,
    strata: Sequence[str] | str | None = None,
    assigned_on: str | None = None,
    received_on: str | None = None,
    randomised: bool = False,
    unit: str = "",
    better: str = "",
    arms: tuple[str, str] = ("control", "programme"),
    override: Mapping[str, str] | None = None,
    conf_level: float = 0.95,
) -> Effect:
    """Return the mean effect on patients who take part if offered and do not if not offered.

    It is the effect of being assigned over the difference that assignment makes to taking part
    (Angrist, Imbens and Rubin, J Am Stat Assoc 1996;91:444). It needs more than a lottery: being
    assigned must act through taking part alone, and nobody may do the opposite of what is offered.
    Both parts are estimated as `mean_difference` does, with HC2 errors or by cluster CR2. Where
    assignment moves few (first-stage F below 10; Staiger and Stock, Econometrica 1997;65:557) the
    headline takes the interval of Anderson and Rubin (Ann Math Stat 1949;20:46), which holds then
    too and may be infinite.

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        arm: Column that is 1 or true if the programme was assigned, 0 or false if not.
        received: Column that is 1 or true if the patient took part, 0 or false if not.
        outcome: Column of numbers, or of 0 and 1. Rows where it is missing are left out.
        covariates: Columns known before the arm was, or a formula such as "age + C(sex)".
        cluster: Column that names what was assigned or is independent, such as the clinic.
        strata: Column or columns within which the arms were drawn.
        assigned_on: Column with the day of assignment.
        received_on: Column with the day on which a patient took part; missing if never.
        randomised: True where chance decided the arm.
        unit: Unit of the outcome.
        better: "higher" or "lower", whichever is good for patients; "" leaves it unsaid.
        arms: What arm 0 and arm 1 are called.
        override: Refusal -> reason; "clusters" and "received before assigned" can be overridden.
        conf_level: Coverage of the intervals.

    Returns:
        Rows `complier effect`, `complier effect, Anderson-Rubin`, `effect of being assigned` and
        `taking part`. `facts.levels` are the compliers' own, `facts.more` the shares of compliers
        and of those who take part always or never.

    Raises:
        UsageError: An argument that cannot be meant.
        DesignError: Patients took part before they were assigned, or it cannot be said; whole
            clinics are in one arm each and `cluster` is not given.
        DataError: As `mean_difference`; assignment does not raise the share who take part.

    Examples:
        >>> import pandas as pd
        >>> data = pd.DataFrame({"arm": [0] * 4 + [1] * 4, "joined": [0] * 4 + [1, 1, 0, 0],
        ...     "score": [1.0, 2.0, 3.0, 2.0, 5.0, 6.0, 2.0, 1.0]})
        >>> effect = complier_effect(data, arm="arm", received="joined", outcome="score",
        ...     randomised=True)
        >>> effect.estimates[["term", "estimate"]]
                                      term  estimate
        0                  complier effect       3.0
        1  complier effect, Anderson-Rubin       3.0
        2         effect of being assigned       1.5
        3                      taking part       0.5
    """
    asked = Asked(
        arm, outcome, covariates, cluster, strata, randomised, unit, better, arms, override,
        conf_level,
    )  # fmt: skip
    _check_columns(data, received, assigned_on, received_on)
    opened = open_asked(data, asked, kind="number", more=[received], guards=[_EARLY])
    took = opened.rows.more[received].astype(float).to_numpy()
    _refuse_early(opened, data, received, assigned_on, received_on)
    stages = _stages(opened, took, asked)
    table = _rows(opened, stages, asked)
    opened.checks += [
        *cluster_check(opened, stages.df), _strength_check(stages), _one_sided_check(opened, took),
        Check("exclusion", None, f"assumed: {arm} acts on {outcome} through {received} alone"),
    ]  # fmt: skip
    taking = fit_levels(opened, took)
    shares = taking.by_arm
    more = {
        "share_compliers": stages.b, "share_always": shares[0], "share_never": 1 - shares[1],
        "non_compliance": "one-sided" if _one_sided(opened, took) else "two-sided",
    }  # fmt: skip
    return make_effect(
        asked, opened, table, measure=_TERM, variance=str(table[0]["method"]),
        estimand=f"mean difference in {outcome} made by {received} in those who take part if and "
        f"only if assigned, {among(asked, opened)}",
        levels=_complier_levels(opened, took, stages.b), n_events=None, more=more,
    )  # fmt: skip


# --- the door -------------------------------------------------------------------------------------


def _check_columns(
    data: Any, received: str, assigned_on: str | None, received_on: str | None
) -> None:
    if (assigned_on is None) != (received_on is None):
        raise UsageError("give both assigned_on and received_on, or neither")
    named = [received, *(name for name in (assigned_on, received_on) if name is not None)]
    raise_faults(missing_columns(data, named, table="data"))
    raise_faults(
        fault
        for fault in outcome_faults(take_columns(data, [received]), received, "binary")
        if fault is not None
    )


def _refuse_early(
    opened: Opened, data: Any, received: str, assigned_on: str | None, received_on: str | None
) -> None:
    """Refuse a programme that was received before, or on an unknown day."""
    if assigned_on is None or received_on is None:
        words = f"not known when {received} was; it must come after the arms were drawn"
        opened.checks.append(Check(_EARLY, None, words))
        return
    table = take_columns(data, [received, assigned_on, received_on])
    assigned, day = table[assigned_on], table[received_on]
    if assigned.dtype == object or day.dtype == object:
        assigned, day = pd.to_datetime(assigned), pd.to_datetime(day)
    took = table[received].astype("boolean").fillna(False).to_numpy(bool)
    early = int((took & (day < assigned).to_numpy(bool)).sum())
    unknown = int((took & (day.isna() | assigned.isna()).to_numpy(bool)).sum())
    known = len(opened.guards.checks)
    opened.guards.refuse(
        _EARLY, broken=early + unknown > 0, column=received_on, count=early + unknown,
        message=f"{received} came before {assigned_on} in {early:,} rows and on an unknown day in "
        f"{unknown:,}",
        repair="count as received only what came after the arms were drawn",
        fine="nobody received it before the arms were drawn",
    )  # fmt: skip
    opened.checks += opened.guards.checks[known:]


# --- estimates ------------------------------------------------------------------------------------


def _stages(opened: Opened, took: np.ndarray, asked: Asked) -> _Stages:
    y = opened.rows.outcome
    a, error_a, df = fit_levels(opened).difference()
    b, error_b, _ = fit_levels(opened, took).difference()
    # A difference of no known sign is a weak first stage, not a wrong coding.
    if abs(b) <= 1e-12 or (b < 0 and b**2 >= LEAST_F * error_b**2):
        message = f"those assigned take part no more often ({100 * b:.1f} points)"
        repair = f"check the coding of {asked.arm}; without a difference nobody complies"
        raise_faults([Fault("data", asked.arm, 0, message, repair)])
    # The residuals of y + d are those of y plus those of d, so that the variance of the sum tells
    # the covariance. A factor brings both to one size.
    scale = error_a / error_b if error_a > 0 and error_b > 0 else 1.0
    joint = fit_levels(opened, y + scale * took).difference()[1]
    covariance = (joint**2 - error_a**2 - (scale * error_b) ** 2) / (2 * scale)
    return _Stages(a, b, (error_a**2, covariance, error_b**2), df)


def _rows(opened: Opened, stages: _Stages, asked: Asked) -> list[dict[str, Any]]:
    kind = fit_levels(opened).method()
    settings: dict[str, Any] = {
        "n": opened.rows.n, "conf_level": asked.conf_level, "df": stages.df,
        "scale": asked.unit or "difference in means",
    }  # fmt: skip
    main = estimate_row(
        _TERM, stages.ratio, stages.error, method=f"ratio of differences; {kind}", **settings
    )
    low, high, words = _anderson_rubin(stages, asked.conf_level)
    assigned = estimate_row(
        "effect of being assigned", stages.a, stages.variance[0] ** 0.5, method=kind, **settings
    )
    robust = main | {
        "term": f"{_TERM}, Anderson-Rubin", "std_error": math.nan, "conf_low": low,
        "conf_high": high, "p_value": assigned["p_value"],
        "method": f"Anderson-Rubin{words}; {kind}",
    }  # fmt: skip
    if stages.f < LEAST_F:
        main |= {name: robust[name] for name in ("conf_low", "conf_high", "p_value")}
        main["method"] = f"ratio of differences, interval of Anderson and Rubin{words}; {kind}"
    settings["scale"] = "risk difference"
    taking = estimate_row(
        "taking part", stages.b, stages.variance[2] ** 0.5, method=kind, **settings
    )
    return [main, robust, assigned, taking]


def _anderson_rubin(stages: _Stages, conf_level: float) -> tuple[float, float, str]:
    """Return the effects t for which a - t b is not told from 0, and what cannot be two numbers."""
    aa, ab, bb = stages.variance
    limit = float(student.ppf((1 + conf_level) / 2, stages.df)) ** 2
    square = stages.b**2 - limit * bb
    middle = stages.a * stages.b - limit * ab
    constant = stages.a**2 - limit * aa
    inside = middle**2 - square * constant
    if square > 0:
        root = math.sqrt(max(inside, 0.0))
        return (middle - root) / square, (middle + root) / square, ""
    if inside <= 0 or square == 0:
        return -math.inf, math.inf, " (any effect)"
    root = math.sqrt(inside)
    out = sorted(((middle - root) / square, (middle + root) / square))
    return -math.inf, math.inf, f" (any effect but {out[0]:.4g} to {out[1]:.4g})"


def _complier_levels(opened: Opened, took: np.ndarray, b: float) -> dict[int, float]:
    """Return the compliers' mean without and with the programme (Imbens and Rubin, 1997)."""
    y = opened.rows.outcome
    with_it = fit_levels(opened, y * took).difference()[0] / b
    without = -fit_levels(opened, y * (1 - took)).difference()[0] / b
    return {0: without, 1: with_it}


# --- checks ---------------------------------------------------------------------------------------


def _strength_check(stages: _Stages) -> Check:
    passed = stages.f >= LEAST_F
    words = f"being assigned raises taking part by {100 * stages.b:.1f} points, F {stages.f:.1f}"
    if not passed:
        words += "; the interval is that of Anderson and Rubin"
    return Check("first stage", passed, words, stages.f, LEAST_F)


def _one_sided(opened: Opened, took: np.ndarray) -> bool:
    return not took[opened.rows.arm == 0].any()


def _one_sided_check(opened: Opened, took: np.ndarray) -> Check:
    if _one_sided(opened, took):
        words = "nobody took part unassigned, so that nobody can do the opposite (one-sided)"
        return Check("monotonicity", True, words)
    share = float(took[opened.rows.arm == 0].mean())
    words = f"{100 * share:.1f} % took part unassigned (two-sided); assumed: nobody does the "
    return Check("monotonicity", None, words + "opposite of what is offered", share)
