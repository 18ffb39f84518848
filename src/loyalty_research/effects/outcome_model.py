"""What the outcome would be in each arm, by a regression on covariates and arm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from loyalty_research.data.frames import raise_faults
from loyalty_research.effects.arms import ArmRows
from loyalty_research.effects.logit import fit_logit
from loyalty_research.effects.propensity_model import standardise
from loyalty_research.errors import Fault, UsageError
from loyalty_research.retention.design_matrix import spare_columns

_REPAIR = "leave it out or join its levels, or weigh instead: propensity_weights(...).effect(...)"


@dataclass(frozen=True)
class OutcomeModel:
    """A fitted regression, and what it says of every row in either arm.

    Attributes:
        columns: Intercept, covariates, arm, and arm times each covariate by which effects differ.
        bread: Inverse of the information of its coefficients.
        residual: Outcome less what was fitted.
        predicted: What every row's outcome would be in arm 0 and in arm 1.
        slope: How that moves with the linear predictor: 1 for a linear model.
        n_base: Columns before that of the arm.
        modifiers: Where the covariates by which effects differ stand among the base columns.
    """

    columns: np.ndarray
    bread: np.ndarray
    residual: np.ndarray
    predicted: tuple[np.ndarray, np.ndarray]
    slope: tuple[np.ndarray, np.ndarray]
    n_base: int
    modifiers: np.ndarray

    def influence(self, arm: int, moves: np.ndarray) -> np.ndarray:
        """Return what each row adds to a sum because the model is estimated.

        Args:
            arm: The arm whose predictions the sum holds.
            moves: How each row's part of the sum moves with its linear predictor in that arm.

        Returns:
            One number a row.
        """
        base = self.columns[:, : self.n_base]
        direct = moves @ base
        treated = np.concatenate([[moves.sum()], direct[self.modifiers]])
        toward = np.concatenate([direct, arm * treated])
        return self.columns @ (self.bread @ toward) * self.residual


def fit_outcome(
    rows: ArmRows, *, kind: str, modifiers: Sequence[str] | None = None
) -> OutcomeModel:
    """Return a linear model, or for a binary outcome a logistic one, and its predictions.

    Args:
        rows: The opened rows.
        kind: "number" or "count", linear; "binary", logistic without a penalty.
        modifiers: Covariates by which the effect may differ; None for all, which is a model for
            each arm; empty for none.

    Returns:
        The model.

    Raises:
        UsageError: A modifier that is no covariate.
        DataError: A covariate that is constant in an arm, or that others determine there.
        SeparationError: Covariates tell those with the event from those without.

    Examples:
        >>> import pandas as pd
        >>> from loyalty_research.effects.arms import open_arms
        >>> data = pd.DataFrame({"arm": [0, 0, 1, 1], "y": [1.0, 2.0, 4.0, 7.0], "x": [0, 1, 0, 1]})
        >>> model = fit_outcome(open_arms(data, arm="arm", outcome="y", covariates=["x"]),
        ...     kind="number")
        >>> [one.round(6).tolist() for one in model.predicted]
        [[1.0, 2.0, 1.0, 2.0], [4.0, 7.0, 4.0, 7.0]]
    """
    base = standardise(rows.x)
    at, terms = _modifier_columns(rows, modifiers)
    treated = rows.arm.astype(float)
    columns = np.column_stack([base, treated, base[:, at] * treated[:, None]])
    gram = columns.T @ columns
    _refuse_dependent(rows, gram, terms)
    if kind == "binary":
        separates = "those with the event from those without"
        # Columns of an arm are named by their covariate, since it is that which separates.
        fit = fit_logit(
            columns, rows.outcome, terms=["", *terms], separates=separates, repair=_REPAIR
        )
        beta, bread, fitted = fit.beta, fit.bread, fit.fitted
    else:
        bread = np.linalg.inv(gram)
        beta = bread @ (columns.T @ rows.outcome)
        fitted = columns @ beta
    linear = base @ beta[: base.shape[1]]
    shift = beta[base.shape[1]] + base[:, at] @ beta[base.shape[1] + 1 :]
    predicted = [linear, linear + shift]
    slope = [np.ones(rows.n)] * 2
    if kind == "binary":
        predicted = [expit(one) for one in predicted]
        slope = [one * (1 - one) for one in predicted]
    return OutcomeModel(
        columns, bread, rows.outcome - fitted, (predicted[0], predicted[1]), (slope[0], slope[1]),
        base.shape[1], at,
    )  # fmt: skip


def _modifier_columns(
    rows: ArmRows, modifiers: Sequence[str] | None
) -> tuple[np.ndarray, list[str]]:
    """Return where modifiers stand behind the intercept, and the names of the model's columns."""
    if rows.design is None:
        raise UsageError("covariates is empty; name at least one column")
    parts, terms = rows.design.parts, rows.design.terms
    if isinstance(modifiers, str):
        raise UsageError("modifiers is a list of covariates, such as ['age']")
    unknown = [name for name in modifiers or [] if name not in parts]
    if unknown:
        known = ", ".join(parts)
        raise UsageError(f"modifiers={unknown!r} is not among the covariates ({known})")
    chosen = list(parts) if modifiers is None else list(modifiers)
    at = np.array(sorted({i for name in chosen for i in parts[name]}), dtype=np.int64)
    return at + 1, [*terms, "arm", *(terms[i] for i in at)]


def _refuse_dependent(rows: ArmRows, gram: np.ndarray, terms: Sequence[str]) -> None:
    spare = spare_columns(gram)[1:]
    faults = [
        Fault("data", term, rows.n, f"{term} is constant in an arm or determined by others there",
              _REPAIR)
        for term, is_spare in zip(terms, spare, strict=True)
        if is_spare
    ]  # fmt: skip
    raise_faults(faults)
