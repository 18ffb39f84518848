"""Whether hazard ratios stay the same over time, as a Cox model takes them to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import chi2

from loyalty_research.data.arguments import check_choice, check_share
from loyalty_research.errors import UsageError
from loyalty_research.retention.cox import CoxModel, check_settings, fit_cox
from loyalty_research.retention.cox_likelihood import Likelihood, information_of, mean_covariates
from loyalty_research.retention.cox_residuals import fitted_steps, likelihood_of
from loyalty_research.retention.risk_sets import tally

TRANSFORMS = ("km", "rank", "identity", "log")


def check_proportional_hazards(
    data: Any,
    *,
    covariates: Sequence[str] | str,
    transform: str = "km",
    threshold: float = 0.05,
    **settings: Any,
) -> pd.DataFrame:
    """Return for each covariate whether its hazard ratio changes over time.

    The score test of the terms x g(t), added to the model with coefficient 0, where g is a
    transform of time: what R's `cox.zph` computes since version 3.0 of survival. It takes the
    variance at each event time as it is. The formula of Grambsch and Therneau (Biometrika
    1994;81:515), which takes one average variance for all times, is
    `check_proportional_hazards_1994`; the two can disagree where the mix of those at risk changes.

    In a large study a change of no importance is significant: look at its size too.

    Args:
        data: As for `fit_cox`.
        covariates: As for `fit_cox`.
        transform: g: "km" (1 - Kaplan-Meier just before), "rank", "identity" or "log" of time.
        threshold: The p value below which a covariate does not pass.
        **settings: As for `fit_cox`.

    Returns:
        Checks, one row a covariate and one "global": `check`, `statistic` (chi-square),
        `threshold`, `passed`, `gating`, `message`, `df`, `p_value`.

    Raises:
        UsageError: An unknown transform, "log" with events at time 0; else as for `fit_cox`.
        DataError: As for `fit_cox`.

    Examples:
        >>> data = pd.DataFrame({"time": [1, 2, 3, 4, 5], "event": [1, 1, 0, 1, 1],
        ...     "x": [2, 1, 3, 0, 1]})
        >>> check_proportional_hazards(data, covariates=["x"])["check"].tolist()
        ['x', 'global']
    """
    check_settings(settings, of="check_proportional_hazards")
    check_choice(transform, TRANSFORMS, name="transform")
    model = fit_cox(data, covariates=covariates, **settings)
    return check_hazards_of(model, transform=transform, threshold=threshold)


def check_hazards_of(
    model: CoxModel, *, transform: str = "km", threshold: float = 0.05
) -> pd.DataFrame:
    """Return the same for a model that is fitted already.

    Args:
        model: As `fit_cox` returns it, with Efron's or Breslow's ties.
        transform: As for `check_proportional_hazards`.
        threshold: The p value below which a covariate does not pass.

    Returns:
        As `check_proportional_hazards`.

    Raises:
        UsageError: An unknown transform, or a model with exact ties.

    Examples:
        >>> data = pd.DataFrame({"time": [1, 2, 3, 4, 5], "event": [1, 1, 0, 1, 1],
        ...     "x": [2, 1, 3, 0, 1]})
        >>> check_hazards_of(fit_cox(data, covariates=["x"]))["df"].tolist()
        [1, 1]
    """
    check_choice(transform, TRANSFORMS, name="transform")
    limit = check_share(threshold, name="threshold")
    score, added, mixed, information = _score_test(model, transform)
    inner = added - mixed.T @ np.linalg.solve(information, mixed)
    return _table(model, score, inner, limit)


def check_proportional_hazards_1994(
    data: Any,
    *,
    covariates: Sequence[str] | str,
    transform: str = "km",
    threshold: float = 0.05,
    **settings: Any,
) -> pd.DataFrame:
    """Return the same by the approximation of 1994, to compare with older results.

    Grambsch and Therneau, Biometrika 1994;81:515: the information at each event time is replaced by
    its average. R before survival 3.0 gives this, and lifelines' `proportional_hazard_test` for
    "identity" and "log": its "km" is that at the event, not just before, its "rank" is of events
    alone.

    Args:
        data: As for `fit_cox`.
        covariates: As for `fit_cox`.
        transform: As for `check_proportional_hazards`.
        threshold: The p value below which a covariate does not pass.
        **settings: As for `fit_cox`.

    Returns:
        As `check_proportional_hazards`.

    Raises:
        UsageError: An unknown transform, "log" with events at time 0; else as for `fit_cox`.
        DataError: As for `fit_cox`.

    Examples:
        >>> data = pd.DataFrame({"time": [1, 2, 3, 4, 5], "event": [1, 1, 0, 1, 1],
        ...     "x": [2, 1, 3, 0, 1]})
        >>> check_proportional_hazards_1994(data, covariates=["x"])["df"].tolist()
        [1, 1]
    """
    check_settings(settings, of="check_proportional_hazards_1994")
    check_choice(transform, TRANSFORMS, name="transform")
    limit = check_share(threshold, name="threshold")
    model = fit_cox(data, covariates=covariates, **settings)
    rows = likelihood_of(model)
    g = _centred_time(model, rows, transform)[rows.axis.event_time]
    size = rows.size[rows.axis.own]
    score, *_ = _score_test(model, transform)
    spread = float(size @ g**2) / float(size.sum())
    # In the scale of the coefficients, as the paper has it.
    return _table(model, model.naive_variance @ score, model.naive_variance * spread, limit)


def schoenfeld_over_time(
    data: Any, *, covariates: Sequence[str] | str, transform: str = "km", **settings: Any
) -> pd.DataFrame:
    """Return what a plot of a hazard ratio over time shows: scaled Schoenfeld residuals.

    The coefficient plus the residual times the number of events and the model's variance
    (Grambsch and Therneau 1994) scatters around the coefficient at that time.

    Args:
        data: As for `fit_cox`.
        covariates: As for `fit_cox`.
        transform: As for `check_proportional_hazards`.
        **settings: As for `fit_cox`.

    Returns:
        One row an event and term: `term`, `time`, `transformed_time`, `estimate`.

    Raises:
        UsageError: An unknown transform, "log" with events at time 0; else as for `fit_cox`.
        DataError: As for `fit_cox`.

    Examples:
        >>> data = pd.DataFrame({"time": [1, 2, 3, 4, 5], "event": [1, 1, 0, 1, 1],
        ...     "x": [2, 1, 3, 0, 1]})
        >>> len(schoenfeld_over_time(data, covariates=["x"]))
        4
    """
    check_settings(settings, of="schoenfeld_over_time")
    check_choice(transform, TRANSFORMS, name="transform")
    model = fit_cox(data, covariates=covariates, **settings)
    rows = likelihood_of(model)
    _, steps = fitted_steps(model)
    order = np.argsort(rows.axis.event_time, kind="stable")
    own, at = rows.axis.own[order], rows.axis.event_time[order]
    residuals = rows.design.T[own] - mean_covariates(steps)[at]
    n_events = float(rows.freq[own].sum())
    scaled = model.fit.coefficients + n_events * residuals @ model.naive_variance
    terms = model.design.terms
    return pd.DataFrame(
        {
            "term": np.repeat(terms, len(own)),
            "time": np.tile(rows.axis.time[at], len(terms)),
            "transformed_time": np.tile(_transformed(model, rows, transform)[at], len(terms)),
            "estimate": scaled.T.ravel(),
        }
    )


def _score_test(
    model: CoxModel, transform: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the score of the added terms, their information, that with the others, the others'."""
    rows = likelihood_of(model)
    risk, steps = fitted_steps(model)
    g = _centred_time(model, rows, transform)
    own, at = rows.axis.own, rows.axis.event_time
    residuals = rows.design.T[own] - mean_covariates(steps)[at]
    score = residuals.T @ (rows.size[own] * g[at])
    added, mixed, plain = (information_of(rows, risk, steps, g**q) for q in (2, 1, 0))
    return score, added, mixed, plain


def _centred_time(model: CoxModel, rows: Likelihood, transform: str) -> np.ndarray:
    """Return the transformed event times less their mean over the events, as `cox.zph` does."""
    g = _transformed(model, rows, transform)
    often = rows.freq[rows.axis.own]
    return g - np.average(g[rows.axis.event_time], weights=often)


def _transformed(model: CoxModel, rows: Likelihood, transform: str) -> np.ndarray:
    times = rows.axis.time
    if transform == "identity":
        return times.astype(float)
    if transform == "log":
        if times.min() == 0:
            raise UsageError("transform='log' has no value for events at time 0; choose 'km'")
        return np.log(times)
    data = model.rows
    if transform == "rank":
        # R ranks the times of all rows, censored ones too, ties at their mean.
        everyone, number = np.unique(data.time, return_inverse=True)
        often = np.bincount(number, data.freq)
        ranks = np.cumsum(often) - (often - 1) / 2
        return ranks[np.searchsorted(everyone, times)]
    entered = None if data.entry is None else (data.entry, data.freq)
    counts = tally(data.time, (data.event > 0).astype(np.int64), 1, data.freq, entered)
    events, at_risk = counts.events[:, 0], np.maximum(counts.at_risk, 1)
    before = np.concatenate([[1.0], np.cumprod(1 - events / at_risk)[:-1]])
    return 1 - before[np.searchsorted(counts.time, times)]


def _table(model: CoxModel, score: np.ndarray, inner: np.ndarray, threshold: float) -> pd.DataFrame:
    parts = {**model.design.parts, "global": list(range(len(score)))}
    df = [len(columns) for columns in parts.values()]
    statistics = [np.nan] * len(df)
    # Where all events are on one day there is no time over which a ratio could change.
    if np.ptp(likelihood_of(model).axis.time) > 0:
        statistics = [
            float(score[part] @ np.linalg.solve(inner[np.ix_(part, part)], score[part]))
            for part in parts.values()
        ]
    p_values = chi2.sf(statistics, df)
    return pd.DataFrame(
        {
            "check": list(parts),
            "statistic": statistics,
            "threshold": chi2.isf(threshold, df),
            "passed": [None if np.isnan(p) else bool(p >= threshold) for p in p_values],
            "gating": False,
            "message": [_message(p, threshold) for p in p_values],
            "df": df,
            "p_value": p_values,
        }
    )


def _message(p_value: float, threshold: float) -> str:
    if np.isnan(p_value):
        return "all events are on one day, so that nothing can be said of other days"
    stays = "stays" if p_value >= threshold else "does not stay"
    return f"hazard ratio {stays} the same over time"
