"""What a design finds where there is nothing to find, taken out of what it finds elsewhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.stats import norm

from loyalty_research.data.arguments import check_share
from loyalty_research.data.frames import missing_columns, raise_faults
from loyalty_research.data.lending import column_names
from loyalty_research.effects.checks import Check, checks_table
from loyalty_research.effects.effect import Effect, Facts
from loyalty_research.effects.estimates import estimate_row, estimates_table, ratio_row
from loyalty_research.effects.wording import RATIOS
from loyalty_research.errors import DataError, Fault, UsageError
from loyalty_research.retention.rows import take_columns

FEWEST = 5
"""Negative controls below which no systematic error can be told from chance."""
ENOUGH = 30
"""Negative controls from which its spread is known well enough."""

_DEFAULT = "log ratio"


@dataclass(frozen=True)
class SystematicError:
    """The error that a design adds to every estimate, as its negative controls show it.

    Attributes:
        mean: By how much estimates are off on average.
        sd: How much that differs between questions.
    """

    mean: float
    sd: float


def calibrate_with_negative_controls(
    estimates: Any,
    *,
    controls: Sequence[str],
    measure: str | None = None,
    conf_level: float = 0.95,
) -> Effect:
    """Return estimates with the systematic error taken out that negative controls show.

    A negative control is an outcome (or an arm) on which the programme cannot act, analysed in the
    same way. Its estimates are taken as drawn from a normal distribution whose mean and spread, by
    maximum likelihood beside each one's own error, are the design's systematic error (Schuemie et
    al., Stat Med 2014;33:209; PNAS 2018;115:2571). It is assumed to be the same for real effects.

    Args:
        estimates: One row an estimate: `term, estimate, std_error`, perhaps `scale`. Any frame,
            such as the headlines of several effects below each other.
        controls: Terms of the negative controls; all other rows are calibrated, in their order.
        measure: What is estimated; None takes it from the column `scale`, or "log ratio" where
            there is none. Of a ratio, such as "risk ratio", estimates are ratios and their
            standard errors those of the log.
        conf_level: Coverage of the intervals.

    Returns:
        A row for each calibrated estimate, then one "<term>, not calibrated" for each. The
        systematic error is in `facts.more`. The check "negative_controls" fails, without
        withholding, where there are fewer than 30.

    Raises:
        UsageError: Controls that are no terms, none left to calibrate, or several scales.
        DataError: Fewer than 5 negative controls; columns or values missing, terms that occur
            twice, errors or ratios that are not above 0; every fault at once.

    Examples:
        >>> controls = [f"control {k}" for k in range(6)]
        >>> table = pd.DataFrame({"term": ["visits", *controls], "std_error": 0.1,
        ...     "estimate": [0.5, 0.1, 0.3, 0.1, 0.3, 0.1, 0.3]})
        >>> effect = calibrate_with_negative_controls(table, controls=controls)
        >>> round(effect.headline["estimate"], 4), round(effect.facts.more["systematic_sd"], 4)
        (0.3, 0.0)
    """
    check_share(conf_level, name="conf_level")
    table = _open(estimates)
    scale = _scale(table, measure)
    is_ratio = scale in RATIOS
    null = _null_rows(table, controls)
    raise_faults(_value_faults(table, is_ratio))
    value = table["estimate"].to_numpy(float)
    value = np.log(value) if is_ratio else value
    error = table["std_error"].to_numpy(float)
    system = fit_systematic_error(value[null], error[null])
    rows = [
        *_rows(table["term"], value - system.mean, np.hypot(error, system.sd), ~null, "", scale,
               conf_level, "calibrated by negative controls", int(null.sum())),
        *_rows(table["term"], value, error, ~null, ", not calibrated", scale, conf_level,
               "as given", int(null.sum())),
    ]  # fmt: skip
    facts = Facts(
        design="negative controls", measure="calibrated " + scale, outcome=str(rows[0]["term"]),
        estimand="the effect as given, less the error that the design makes where there is none",
        variance="its own and that of the systematic error", n=int(null.sum()),
        more={"systematic_mean": system.mean, "systematic_sd": system.sd,
              "rows_are": "negative controls"},
    )  # fmt: skip
    checks = _checks(value[null], error[null], system, conf_level)
    return Effect(estimates_table(rows), checks_table(checks), facts)


def fit_systematic_error(estimate: np.ndarray, std_error: np.ndarray) -> SystematicError:
    """Return the normal distribution from which estimates of no effect are drawn.

    Args:
        estimate: Of the negative controls, where 0 is no effect.
        std_error: Of each.

    Returns:
        Mean and spread of the largest likelihood.

    Examples:
        >>> found = fit_systematic_error(np.array([0.0, 0.4, 0.8]), np.full(3, 0.1))
        >>> round(found.mean, 4), round(found.sd, 4)  # variance 0.32 / 3 less 0.01
        (0.4, 0.3109)
    """
    own = std_error**2

    def mean_of(extra: float) -> float:
        return float(np.average(estimate, weights=1 / (own + extra)))

    def climbs(extra: float) -> float:
        total = own + extra
        return float((((estimate - mean_of(extra)) ** 2 - total) / total**2).sum())

    most = float(((estimate - estimate.mean()) ** 2).sum() + own.max())
    # Where the likelihood falls from the start, chance alone explains the spread.
    extra = 0.0 if climbs(0.0) <= 0 else float(brentq(climbs, 0.0, most, xtol=1e-15, rtol=1e-13))
    return SystematicError(mean_of(extra), math.sqrt(extra))


def _open(estimates: Any) -> pd.DataFrame:
    columns = ["term", "estimate", "std_error"]
    raise_faults(missing_columns(estimates, columns, table="estimates"))
    has_scale = "scale" in column_names(estimates, table="estimates")
    return take_columns(estimates, [*columns, *(["scale"] if has_scale else [])])


def _scale(table: pd.DataFrame, measure: str | None) -> str:
    if measure is not None:
        return measure
    if "scale" not in table:
        return _DEFAULT
    scales = table["scale"].unique().tolist()
    if len(scales) != 1:
        raise UsageError(
            f"the estimates are on {len(scales)} scales; calibrate those of one scale, or name it "
            "by measure="
        )
    return str(scales[0])


def _null_rows(table: pd.DataFrame, controls: Sequence[str]) -> np.ndarray:
    """Return which rows are negative controls."""
    named = list(controls)
    unknown = [name for name in named if name not in set(table["term"])]
    if isinstance(controls, str) or unknown:
        raise UsageError(f"controls={controls!r}: {len(unknown)} of them are no term of the table")
    null = table["term"].isin(named).to_numpy()
    n = int(null.sum())
    if n < FEWEST:
        words = f"{n} negative controls, from which no systematic error can be told"
        repair = f"find at least {FEWEST}, better {ENOUGH}, or show the e_value instead"
        raise DataError([Fault("estimates", "term", n, words, repair)])
    if null.all():
        raise UsageError("all estimates are negative controls; add the one to be calibrated")
    return null


def _value_faults(table: pd.DataFrame, is_ratio: bool) -> list[Fault]:
    faults = []
    twice = int(table["term"].duplicated().sum())
    if twice:
        words = f"term occurs twice in {twice:,} of {len(table):,} rows"
        faults.append(Fault("estimates", "term", twice, words, "give each estimate its own name"))
    for name, positive in (("estimate", is_ratio), ("std_error", True)):
        values = pd.to_numeric(table[name], errors="coerce").to_numpy(float)
        odd = int(np.count_nonzero(~np.isfinite(values) | (positive & (values <= 0))))
        if odd:
            wanted = "a number above 0" if positive else "a number"
            words = f"{name} is not {wanted} in {odd:,} of {len(table):,} rows"
            faults.append(Fault("estimates", name, odd, words, "leave these estimates out"))
    return faults


def _rows(
    terms: pd.Series,
    value: np.ndarray,
    error: np.ndarray,
    which: np.ndarray,
    ending: str,
    scale: str,
    conf_level: float,
    method: str,
    n: int,
) -> list[dict[str, Any]]:
    make = ratio_row if scale in RATIOS else estimate_row
    return [
        make(f"{terms[i]}{ending}", float(value[i]), float(error[i]), scale=scale, method=method,
             n=n, conf_level=conf_level)
        for i in np.flatnonzero(which)
    ]  # fmt: skip


def _checks(
    value: np.ndarray, error: np.ndarray, system: SystematicError, conf_level: float
) -> list[Check]:
    n, z = len(value), float(norm.ppf((1 + conf_level) / 2))
    passed = n >= ENOUGH
    words = f"{n} negative controls"
    if not passed:
        words += f"; with fewer than {ENOUGH} the spread of the systematic error is little known"
    before = float(np.mean(np.abs(value) <= z * error))
    after = float(np.mean(np.abs(value - system.mean) <= z * np.hypot(error, system.sd)))
    told = f"{100 * before:.0f} % of the controls' intervals held no effect before, "
    told += f"{100 * after:.0f} % after calibration"
    return [
        Check("negative_controls", passed, words, float(n), float(ENOUGH)),
        Check("control_coverage", None, told, before, conf_level),
    ]
