"""How likely each patient was to be in the programme, and the weights that follow from it.

With e the propensity, arm 1 weighs 1/e and arm 0 1/(1 - e) for all patients (ATE; Robins, Hernan
and Brumback, Epidemiology 2000;11:550), 1 and e/(1 - e) for those in the programme (ATT), and
1 - e and e for those who might have been in either (ATO, overlap weights; Li, Morgan and Zaslavsky,
JASA 2018;113:390).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from loyalty_research.data.arguments import check_choice
from loyalty_research.data.frames import raise_faults
from loyalty_research.effects.logit import fit_logit
from loyalty_research.errors import Fault, UsageError

ESTIMANDS = ("ATE", "ATT", "ATO")
IN_WHOM = {
    "ATE": "all patients (ATE)",
    "ATT": "those who were in the programme (ATT)",
    "ATO": "patients who might have been in either arm, each weighing as much as it was open (ATO)",
}
"""In whom each estimand is."""

_SEPARATES = "those in the programme from the others"
_REPAIR = (
    "leave it out or join its levels if it is no confounder, else apply_criteria so that both arms "
    "occur at every value"
)


@dataclass(frozen=True)
class PropensityModel:
    """The rows that are kept, with propensity, weight and their slopes in the linear predictor.

    Attributes:
        estimand: "ATE", "ATT" or "ATO".
        x: Intercept and covariates in standard deviations from their mean, of the rows kept.
        arm: 0 or 1, of the rows kept.
        propensity: Of every row, trimmed rows included.
        weight: Weight of the row's own arm.
        slope: How that weight moves with the linear predictor; 0 where it was cut.
        target: How much the row counts in the population of the estimand.
        target_slope: How that moves with the linear predictor.
        kept: Which of all rows are kept.
        n_truncated: Kept rows whose propensity was cut.
        bread: Inverse of the information of the propensity's coefficients.
        residual: Arm less propensity, of the rows kept.
    """

    estimand: str
    x: np.ndarray
    arm: np.ndarray
    propensity: np.ndarray
    weight: np.ndarray
    slope: np.ndarray
    target: np.ndarray
    target_slope: np.ndarray
    kept: np.ndarray
    n_truncated: int
    bread: np.ndarray
    residual: np.ndarray

    @property
    def n_trimmed(self) -> int:
        """Rows left out because their propensity is too near 0 or 1."""
        return int(np.count_nonzero(~self.kept))

    def influence(self, moves: np.ndarray) -> np.ndarray:
        """Return what each row adds to a sum because the propensity is estimated.

        Args:
            moves: How each row's part of the sum moves with its linear predictor.

        Returns:
            One number a row.
        """
        return self.x @ (self.bread @ (self.x.T @ moves)) * self.residual

    def effective_n(self) -> dict[int, float]:
        """Return Kish's effective sample size of each arm."""
        return {k: effective_size(self.weight[self.arm == k]) for k in (0, 1)}


def effective_size(weight: np.ndarray) -> float:
    """Return how many rows of one weight would be as precise as these: (sum w)^2 / sum w^2.

    Args:
        weight: Weights of one arm.

    Returns:
        The number (Kish, Survey Sampling, 1965).

    Examples:
        >>> effective_size(np.array([1.0, 1.0, 2.0]))
        2.6666666666666665
    """
    return float(weight.sum() ** 2 / (weight @ weight))


def standardise(x: np.ndarray) -> np.ndarray:
    """Return an intercept and the columns in standard deviations from their mean.

    Estimates do not depend on it; sums of products of years and blood pressures do.

    Args:
        x: Columns that vary.

    Returns:
        One column more.

    Examples:
        >>> standardise(np.array([[1.0], [3.0]])).tolist()
        [[1.0, -1.0], [1.0, 1.0]]
    """
    found = np.ones((len(x), x.shape[1] + 1))
    np.subtract(x, x.mean(axis=0), out=found[:, 1:])
    found[:, 1:] /= x.std(axis=0)
    return found


def fit_propensity(
    x: np.ndarray,
    arm: np.ndarray,
    *,
    terms: Sequence[str],
    estimand: str,
    trim: float | None,
    truncate: float | None,
) -> PropensityModel:
    """Return propensities and weights by a logistic regression without a penalty.

    Args:
        x: Covariates as numbers, one row a patient.
        arm: 0 or 1.
        terms: The name of each column.
        estimand: "ATE", "ATT" or "ATO".
        trim: Leave out propensities below it or above 1 less it (for ATT only those above), then
            fit again in those who are left.
        truncate: Cut propensities to lie from it to 1 less it.

    Returns:
        The model.

    Raises:
        UsageError: An unknown estimand, or limits that are not between 0 and 0.5.
        SeparationError: Covariates separate the arms.
        DataError: Trimming leaves an arm empty.

    Examples:
        >>> x, arm = np.array([[0.0], [0.0], [1.0], [1.0], [1.0]]), np.array([0, 1, 0, 1, 1])
        >>> model = fit_propensity(x, arm, terms=["old"], estimand="ATE", trim=None, truncate=None)
        >>> model.weight.round(6).tolist()
        [2.0, 2.0, 3.0, 1.5, 1.5]
    """
    check_choice(estimand, ESTIMANDS, name="estimand")
    for name, limit in (("trim", trim), ("truncate", truncate)):
        if limit is not None and not 0 < limit < 0.5:
            raise UsageError(f"{name}={limit!r} is a propensity between 0 and 0.5, such as 0.05")
    design = standardise(x)
    labels = ["", *terms]
    fit = fit_logit(design, arm, terms=labels, separates=_SEPARATES, repair=_REPAIR)
    propensity, kept = fit.fitted, np.ones(len(arm), bool)
    if trim is not None:
        kept = (propensity <= 1 - trim) & ((propensity >= trim) | (estimand == "ATT"))
        _refuse_emptied(arm[kept], design[kept], labels, trim)
    if not kept.all():
        # Fitted again among those left, so that weights balance them (Li, Thomas and Li,
        # Am J Epidemiol 2019;188:250).
        fit = fit_logit(design[kept], arm[kept], terms=labels, separates=_SEPARATES, repair=_REPAIR)
        propensity = expit(design @ fit.beta)
        design, arm = design[kept], arm[kept]
    used, moves, n_truncated = _truncated(fit.fitted, truncate)
    weight, slope, target, target_slope = _WEIGHTS[estimand](used, arm)
    return PropensityModel(
        estimand, design, arm, propensity, weight, slope * moves, target, target_slope * moves,
        kept, n_truncated, fit.bread, arm - fit.fitted,
    )  # fmt: skip


def _truncated(fitted: np.ndarray, truncate: float | None) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the propensities as cut, 1 where they still move, and how many were cut."""
    if truncate is None:
        return fitted, np.ones(len(fitted)), 0
    used = np.clip(fitted, truncate, 1 - truncate)
    cut = used != fitted
    return used, (~cut).astype(float), int(np.count_nonzero(cut))


def _refuse_emptied(arm: np.ndarray, x: np.ndarray, terms: Sequence[str], trim: float) -> None:
    repair = "trim less, or use estimand='ATO'"
    faults = [
        Fault("data", "", 0, f"trim={trim:g} leaves nobody in arm {k}, the {name}", repair)
        for k, name in ((0, "comparison"), (1, "programme"))
        if not (arm == k).any()
    ]
    if not faults:
        words = f"is the same in every row that trim={trim:g} leaves"
        faults = [
            Fault("data", term, len(x), f"{term} {words}", repair)
            for term, column in zip(terms, x.T, strict=True)
            if term and column.min() == column.max()
        ]
    raise_faults(faults)


Weights = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _ate(e: np.ndarray, arm: np.ndarray) -> Weights:
    treated = arm == 1
    weight = 1 / np.where(treated, e, 1 - e)
    slope = np.where(treated, 1 - weight, weight - 1)
    return weight, slope, np.ones(len(e)), np.zeros(len(e))


def _att(e: np.ndarray, arm: np.ndarray) -> Weights:
    treated = arm == 1
    odds = e / (1 - e)
    target = treated.astype(float)
    return np.where(treated, 1.0, odds), np.where(treated, 0.0, odds), target, np.zeros(len(e))


def _ato(e: np.ndarray, arm: np.ndarray) -> Weights:
    treated = arm == 1
    tilt = e * (1 - e)
    weight = np.where(treated, 1 - e, e)
    return weight, np.where(treated, -tilt, tilt), tilt, tilt * (1 - 2 * e)


_WEIGHTS: dict[str, Callable[[np.ndarray, np.ndarray], Weights]] = {
    "ATE": _ate, "ATT": _att, "ATO": _ato,
}  # fmt: skip
