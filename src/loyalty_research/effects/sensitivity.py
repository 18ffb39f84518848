"""How strong what was not measured would have to be to explain an effect away."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t as student

from loyalty_research.data.arguments import check_choice, check_share
from loyalty_research.effects.checks import Check
from loyalty_research.errors import UsageError

RATIO_MEASURES = ("risk ratio", "rate ratio", "ratio of means", "odds ratio", "hazard ratio")
MEASURES = (*RATIO_MEASURES, "risk difference", "mean difference")

_PER_SD = 0.91
"""Log risk ratio of a difference of one standard deviation (Chinn, Stat Med 2000;19:3127, as in
VanderWeele and Ding)."""


def e_value(
    estimate: float,
    *,
    low: float | None = None,
    high: float | None = None,
    measure: str = "risk ratio",
    rare: bool = False,
    control: float | None = None,
    sd: float | None = None,
) -> pd.DataFrame:
    """Return how strongly a confounder that nobody measured must be tied to arm and outcome.

    The E-value is the least risk ratio that such a confounder must have with the arm and, in
    either arm, with the outcome, beyond the covariates, to explain the estimate away (VanderWeele
    and Ding, Ann Intern Med 2017;167:268). Other measures become risk ratios first: an odds ratio
    of a common outcome its square root; a hazard ratio of a common outcome
    (1 - 0.5^sqrt(HR)) / (1 - 0.5^sqrt(1 / HR)); a mean difference exp(0.91 d), d in standard
    deviations; a risk difference the ratio that it makes of the control's risk, taken as known.

    Args:
        estimate: The estimate.
        low: Lower limit of its interval, or None.
        high: Upper limit, or None.
        measure: "risk ratio", "rate ratio", "ratio of means", "odds ratio", "hazard ratio",
            "risk difference" or "mean difference".
        rare: Whether fewer than some 15 % have the outcome; odds and hazard ratios are then risk
            ratios as they are.
        control: Share with the event in arm 0; of a risk difference only.
        sd: Standard deviation of the outcome; of a mean difference only.

    Returns:
        `term, estimate, risk_ratio, e_value`: one row for the estimate and, with limits, one for
        the limit nearer to no effect; 1 where the interval holds no effect.

    Raises:
        UsageError: An unknown measure, a ratio that is not above 0, limits that do not hold the
            estimate, `control` or `sd` missing where it is needed.

    Examples:
        >>> e_value(3.9, low=1.8, high=8.7).round(2)
               term  estimate  risk_ratio  e_value
        0  estimate       3.9         3.9     7.26
        1     limit       1.8         1.8     3.00
    """
    check_choice(measure, MEASURES, name="measure")
    as_ratio = _converter(measure, rare, control, sd)
    null = 1.0 if measure in RATIO_MEASURES else 0.0
    _check_limits(estimate, low, high)
    rows = [("estimate", estimate, as_ratio(estimate), risk_ratio_e_value(as_ratio(estimate)))]
    nearer = low if estimate >= null else high
    if nearer is not None:
        crosses = (estimate >= null) == (nearer <= null)
        ratio = as_ratio(nearer)
        rows.append(("limit", nearer, ratio, 1.0 if crosses else risk_ratio_e_value(ratio)))
    return pd.DataFrame(rows, columns=["term", "estimate", "risk_ratio", "e_value"])


def risk_ratio_e_value(ratio: float) -> float:
    """Return the E-value of a risk ratio: RR + sqrt(RR (RR - 1)), of 1 / RR where it is below 1.

    Args:
        ratio: Above 0.

    Returns:
        From 1.

    Examples:
        >>> risk_ratio_e_value(2.0), risk_ratio_e_value(0.5) == risk_ratio_e_value(2.0)
        (3.414213562373095, True)
    """
    above = max(ratio, 1 / ratio) if ratio > 0 else math.inf
    return above + math.sqrt(above * (above - 1)) if math.isfinite(above) else math.inf


def _check_limits(estimate: float, low: float | None, high: float | None) -> None:
    below = low is not None and not low <= estimate
    if below or (high is not None and not estimate <= high) or not math.isfinite(estimate):
        raise UsageError("low, estimate and high must be numbers in this order")


def _converter(
    measure: str, rare: bool, control: float | None, sd: float | None
) -> Callable[[float], float]:
    """Return what turns a number of this measure into a risk ratio."""
    if measure == "mean difference":
        if sd is None or not sd > 0:
            raise UsageError("a mean difference needs sd, the outcome's spread, above 0")
        return lambda value: math.exp(_PER_SD * value / sd)
    if measure == "risk difference":
        if control is None or not 0 < control < 1:
            raise UsageError("a risk difference needs control, the share of arm 0, between 0 and 1")
        # A limit below -control is no share; the risk is then at most none at all.
        return lambda value: max(control + value, 0.0) / control
    return lambda value: _ratio(value, measure, rare)


def _ratio(value: float, measure: str, rare: bool) -> float:
    if not value > 0:
        raise UsageError(f"a {measure} is above 0, and so are its limits")
    if measure == "odds ratio" and not rare:
        return math.sqrt(value)
    if measure == "hazard ratio" and not rare:
        root = math.sqrt(value)
        return (1 - 0.5**root) / (1 - 0.5 ** (1 / root))
    return value


def e_value_facts(
    rows: Sequence[dict[str, Any]], *, sd: float | None = None, control: float | None = None
) -> tuple[dict[str, float], Check]:
    """Return the E-value of rows of estimates, as facts and as a check that informs.

    Args:
        rows: Rows of estimates, the headline first. A ratio among them is preferred to a
            difference, because the E-value is of a ratio.
        sd: Standard deviation of the outcome, where all rows are mean differences.
        control: Level of arm 0, where all rows are risk differences.

    Returns:
        `e_value` and `e_value_limit`, missing where no ratio can be formed, and the check.
    """
    ratios = [row for row in rows if row["scale"] in RATIO_MEASURES]
    # A ratio of 0 or without end has no E-value.
    ratio = next((row for row in ratios if 0 < row["estimate"] < math.inf), None)
    table = None
    if ratio is not None:
        table = _row_e_value(ratio, {"measure": ratio["scale"]})
    elif rows[0]["scale"] == "mean difference" and sd is not None and sd > 0:
        table = _row_e_value(rows[0], {"measure": "mean difference", "sd": sd})
    elif rows[0]["scale"] == "risk difference" and control is not None and 0 < control < 1:
        table = _row_e_value(rows[0], {"measure": "risk difference", "control": control})
    if table is None:
        words = "no E-value: an arm has no event, so that there is no ratio"
        return {"e_value": math.nan, "e_value_limit": math.nan}, Check("e_value", None, words)
    values = table.set_index("term")["e_value"]
    point, limit = float(values["estimate"]), float(values.get("limit", math.nan))
    words = (
        f"an unmeasured confounder that joins arm and outcome by risk ratios of {point:.2f} each "
        f"would explain the estimate away; {limit:.2f} moves its interval to no effect"
    )
    return {"e_value": point, "e_value_limit": limit}, Check("e_value", None, words, point)


def _row_e_value(row: dict[str, Any], settings: dict[str, Any]) -> pd.DataFrame | None:
    if not math.isfinite(row["estimate"]):
        return None
    known = math.isfinite(row["conf_low"])
    limits = {"low": row["conf_low"], "high": row["conf_high"]} if known else {}
    return e_value(row["estimate"], **limits, **settings)


def robustness_value(
    estimate: float, std_error: float, *, df: float, q: float = 1.0, alpha: float = 0.05
) -> pd.DataFrame:
    """Return how much of arm and outcome an unmeasured confounder must explain to undo an effect.

    For an effect from a linear regression. With f = |t| / sqrt(df), the robustness value is
    (sqrt(g^4 + 4 g^2) - g^2) / 2, g = q f, and for significance g = q f - t* / sqrt(df - 1)
    (Cinelli and Hazlett, J R Stat Soc B 2020;82:39).

    Args:
        estimate: Coefficient of the arm.
        std_error: Its classical standard error.
        df: Residual degrees of freedom of the regression.
        q: Share of the estimate that is to be undone.
        alpha: Level at which the interval is to hold the rest.

    Returns:
        `term, value` with rows `partial R2` (share of the outcome's remaining variance that the
        arm explains: what a confounder that explains all of the outcome needs of the arm),
        `robustness value` (share of both, arm and outcome, that undoes the estimate) and
        `robustness value, interval`.

    Raises:
        UsageError: A standard error, df or q that is not above 0, or an alpha outside 0 to 1.

    Examples:
        >>> robustness_value(0.097, 0.023, df=783).round(3)
                                 term  value
        0                  partial R2  0.022
        1            robustness value  0.140
        2  robustness value, interval  0.077
    """
    check_share(alpha, name="alpha")
    if not (std_error > 0 and df > 1 and q > 0 and math.isfinite(estimate)):
        raise UsageError("std_error and q must be above 0, df above 1, and the estimate a number")
    f = abs(estimate) / std_error / math.sqrt(df)
    critical = float(student.ppf(1 - alpha / 2, df - 1)) / math.sqrt(df - 1)
    left = q * f - critical
    within = _robustness(max(left, 0.0))
    # Beyond this a confounder of all of the outcome's variance undoes the interval first.
    if left > 0 and q * f > 1 / critical:
        within = ((q * f) ** 2 - critical**2) / (1 + (q * f) ** 2)
    values = [f**2 / (1 + f**2), _robustness(q * f), within]
    terms = ["partial R2", "robustness value", "robustness value, interval"]
    return pd.DataFrame({"term": terms, "value": np.array(values)})


def _robustness(g: float) -> float:
    return (math.sqrt(g**4 + 4 * g**2) - g**2) / 2
