"""Cost and outcome of the patients of two arms, each with its difference and how the two vary."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from loyalty_research.data.arguments import check_choice
from loyalty_research.data.frames import missing_columns, raise_faults
from loyalty_research.effects.adjusted import fit_levels
from loyalty_research.effects.arms import outcome_faults
from loyalty_research.effects.asked import Asked, Opened, open_asked
from loyalty_research.errors import Fault, UsageError
from loyalty_research.retention.rows import take_columns

_ROUNDING = 1e-12
"""Part of the largest value below which a difference or its error is rounding."""
SIGN = {"higher": 1.0, "lower": -1.0}


@dataclass(frozen=True)
class CostOutcome:
    """The rows of a comparison of costs and outcomes.

    Attributes:
        asked: The arguments.
        opened: The rows with the checks made so far.
        cost: Cost of each patient.
        benefit: Outcome of each patient, turned so that more is better.
    """

    asked: Asked
    opened: Opened
    cost: np.ndarray
    benefit: np.ndarray

    def difference(self, values: np.ndarray) -> tuple[float, float, float]:
        """Return by how much a number differs between arms, its error and degrees of freedom.

        Without covariates and clusters the error and its degrees of freedom are Welch's.

        Args:
            values: One a patient.

        Returns:
            Estimate, standard error, degrees of freedom.
        """
        estimate, error, df = fit_levels(self.opened, values).difference()
        if self.opened.rows.cluster is None and not self.opened.terms:
            df = _welch_df(self.opened.rows.arm, values)
        return estimate, error, df

    def net_benefit(self, willingness: float) -> tuple[float, float, float]:
        """Return the incremental net benefit at a willingness to pay.

        Args:
            willingness: What one more unit of the outcome is worth, in units of cost.

        Returns:
            Estimate, standard error, degrees of freedom.
        """
        return self.difference(willingness * self.benefit - self.cost)


def open_cost_outcome(data: Any, asked: Asked, *, cost: str) -> CostOutcome:
    """Return cost and outcome of the patients of two arms, or refuse with every fault.

    Args:
        data: One row a patient. Any frame.
        asked: The arguments of the contrast; its `better` says which way the outcome is good.
        cost: Column of each patient's cost.

    Returns:
        The rows.

    Raises:
        UsageError: `better` is neither "higher" nor "lower", or cost and outcome are one column.
        DesignError: Whole clinics are in one arm each and no cluster is given.
        DataError: Columns or values missing, costs that are no numbers, an arm without rows.
    """
    check_choice(asked.better, SIGN, name="better")
    if cost == asked.outcome:
        raise UsageError(f"cost and outcome are both {cost!r}; name the two columns")
    raise_faults(missing_columns(data, [cost, asked.outcome, asked.arm], table="data"))
    raise_faults(_cost_faults(data, cost))
    opened = open_asked(data, asked, kind="number", more=[cost])
    costs = opened.rows.more[cost].to_numpy(float)
    return CostOutcome(asked, opened, costs, SIGN[asked.better] * opened.rows.outcome)


def joint_moments(found: CostOutcome) -> tuple[float, float, float, float, float]:
    """Return the differences in cost and benefit with their variances and covariance.

    Args:
        found: The rows.

    Returns:
        Cost, benefit, variance of cost, variance of benefit, covariance. The covariance is had
        from the variance of a sum, so that clusters and covariates count as they do for each.
    """
    cost, cost_error = _without_rounding(found, found.cost)
    benefit, benefit_error = _without_rounding(found, found.benefit)
    if not min(cost_error, benefit_error) > 0:
        return cost, benefit, cost_error**2, benefit_error**2, 0.0
    mixed = found.cost / cost_error + found.benefit / benefit_error
    _, sum_error, _ = found.difference(mixed)
    correlation = float(np.clip((sum_error**2 - 2) / 2, -1, 1))
    covariance = correlation * cost_error * benefit_error
    return cost, benefit, cost_error**2, benefit_error**2, covariance


def check_willingness(values: float | Sequence[float]) -> list[float]:
    """Return what a unit of the outcome may be worth, one or several, or refuse.

    Args:
        values: One number or several, none below 0.

    Returns:
        The numbers in the order given.

    Raises:
        UsageError: None given, one twice, or one that is no finite number from 0.

    Examples:
        >>> check_willingness(100), check_willingness([0, 50])
        ([100.0], [0.0, 50.0])
    """
    given = [values] if np.isscalar(values) else list(values)  # type: ignore[arg-type]
    try:
        numbers = [float(value) for value in given]  # type: ignore[arg-type]
    except (TypeError, ValueError):
        numbers = [math.nan]
    good = all(math.isfinite(number) and number >= 0 for number in numbers)
    if not numbers or not good or len(set(numbers)) < len(numbers):
        raise UsageError("willingness_to_pay must be one or several different numbers, at least 0")
    return numbers


def _without_rounding(found: CostOutcome, values: np.ndarray) -> tuple[float, float]:
    """Return a difference and its error, 0 where it is nothing but rounding.

    A price that is the same for all patients of an arm has no error, and must not seem to.
    """
    least = _ROUNDING * float(np.abs(values).max(initial=0.0))
    estimate, error, _ = found.difference(values)
    return (estimate if abs(estimate) > least else 0.0), (error if error > least else 0.0)


def _cost_faults(data: Any, cost: str) -> list[Fault]:
    found = outcome_faults(take_columns(data, [cost]), cost, "number")
    return [fault for fault in found if fault is not None]


def _welch_df(arm: np.ndarray, values: np.ndarray) -> float:
    """Return the degrees of freedom of Welch (Biometrika 1947;34:28)."""
    parts = [(values[arm == k].var(ddof=1) / (n := int((arm == k).sum())), n) for k in (0, 1)]
    total = sum(part for part, _ in parts)
    squares = sum(part**2 / (n - 1) for part, n in parts)
    return float(total**2 / squares) if squares > 0 else math.inf
