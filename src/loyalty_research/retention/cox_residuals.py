"""How far each row is from what a Cox model expects of it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from loyalty_research.data.arguments import check_choice
from loyalty_research.errors import UsageError
from loyalty_research.retention.cox import CoxModel
from loyalty_research.retention.cox_likelihood import (
    Likelihood,
    Steps,
    exposures,
    linear_predictor,
    mean_covariates,
    score_residuals,
    steps_at,
)

KINDS = ("martingale", "deviance", "score", "schoenfeld")


def cox_residuals(model: CoxModel, *, kind: str = "martingale") -> pd.DataFrame:
    """Return residuals of a Cox model, as R's `residuals.coxph` does.

    - martingale: events less those expected; they sum to 0 (Barlow and Prentice, Biometrika
      1988;75:65)
    - deviance: the same made more symmetric (Therneau, Grambsch and Fleming, Biometrika
      1990;77:147)
    - score: a row's part of the score, whose sum (weighted) is 0
    - schoenfeld: covariates of a row with the event less their mean over those at risk (Schoenfeld,
      Biometrika 1982;69:239)

    Args:
        model: As `fit_cox` returns it, with Efron's or Breslow's ties.
        kind: Which residuals.

    Returns:
        One row a row of the data in its order: `residual`, or for "score" one column a term. For
        "schoenfeld" one row for each row with the event, in the order of strata and time: the
        columns of strata, `time`, one column a term.

    Raises:
        UsageError: An unknown kind, or a model with exact ties.

    Examples:
        >>> from loyalty_research.retention.cox import fit_cox
        >>> data = pd.DataFrame({"time": [1, 2, 3, 4], "event": [1, 1, 0, 1], "x": [2, 1, 3, 0]})
        >>> model = fit_cox(data, covariates=["x"])
        >>> bool(abs(cox_residuals(model)["residual"].sum()) < 1e-12)
        True
    """
    check_choice(kind, KINDS, name="kind")
    rows = likelihood_of(model)
    if kind == "score":
        scores = score_residuals(rows, model.fit.coefficients)
        return pd.DataFrame(scores, columns=model.design.terms)
    if kind == "schoenfeld":
        return _schoenfeld(model, rows)
    martingale = _martingale(model, rows)
    residual = martingale if kind == "martingale" else _deviance(martingale, model.rows.event > 0)
    return pd.DataFrame({"residual": residual})


def likelihood_of(model: CoxModel) -> Likelihood:
    """Return the rows of a model as its likelihood takes them.

    Args:
        model: As `fit_cox` returns it.

    Returns:
        The rows.

    Raises:
        UsageError: The model has exact ties, for which there are no sums by time.

    Examples:
        >>> from loyalty_research.retention.cox import fit_cox
        >>> data = pd.DataFrame({"time": [1, 2, 3, 4], "event": [1, 1, 0, 1], "x": [2, 1, 3, 0]})
        >>> likelihood_of(fit_cox(data, covariates=["x"], ties="breslow")).ties
        'breslow'
    """
    if model.likelihood is None:
        raise UsageError("a model with ties='exact' has no residuals; fit it with ties='efron'")
    return model.likelihood


def fitted_steps(model: CoxModel) -> tuple[np.ndarray, Steps]:
    """Return the risk of each row and what happens at each event time, at the estimates.

    Args:
        model: As `fit_cox` returns it.

    Returns:
        Risks relative to average covariates, their size included; the steps.

    Raises:
        UsageError: The model has exact ties.

    Examples:
        >>> from loyalty_research.retention.cox import fit_cox
        >>> data = pd.DataFrame({"time": [1, 2, 3, 4], "event": [1, 1, 0, 1], "x": [2, 1, 3, 0]})
        >>> risk, steps = fitted_steps(fit_cox(data, covariates=["x"]))
        >>> len(risk), len(steps.a)
        (4, 3)
    """
    rows = likelihood_of(model)
    risk = rows.size * np.exp(linear_predictor(rows, model.fit.coefficients))
    return risk, steps_at(rows, risk)[0]


def _martingale(model: CoxModel, rows: Likelihood) -> np.ndarray:
    risk, steps = fitted_steps(model)
    return model.rows.event - risk / rows.size * exposures(rows, steps.a, steps.b)


def _deviance(martingale: np.ndarray, event: np.ndarray) -> np.ndarray:
    expected = event - martingale
    with np.errstate(divide="ignore", invalid="ignore"):
        log_expected = np.where(event, np.log(expected), 0.0)
    square = -2 * (martingale + log_expected)
    return np.sign(martingale) * np.sqrt(np.maximum(square, 0))


def _schoenfeld(model: CoxModel, rows: Likelihood) -> pd.DataFrame:
    _, steps = fitted_steps(model)
    axis = rows.axis
    order = np.argsort(axis.event_time, kind="stable")
    own, at = axis.own[order], axis.event_time[order]
    residuals = rows.design.T[own] - mean_covariates(steps)[at]
    table = model.rows.strata.iloc[axis.stratum[at]].reset_index(drop=True)
    table = table.assign(time=axis.time[at])
    terms = pd.DataFrame(residuals, columns=model.design.terms)
    return pd.concat([table, terms], axis=1)
