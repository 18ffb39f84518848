"""Whether a Cox model has enough to go on, before its estimates are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from loyalty_research.data.arguments import check_whole
from loyalty_research.retention.clusters import judge_clusters
from loyalty_research.retention.cox import CoxModel, check_settings, fit_cox, silent_strata
from loyalty_research.retention.cox_likelihood import MOST_STEPS, score_residuals
from loyalty_research.retention.design_matrix import Design, SeparationError, apply_design
from loyalty_research.retention.rows import Rows

MOST_INFLATION = 10.0
"""Variance inflation that textbooks call too much (Marquardt, Technometrics 1970;12:591)."""

_NAMES = (
    *("events per variable", "separation", "convergence", "collinearity", "strata", "influence"),
    "clusters",  # only where a cluster was named, and so the last
)
_GATING = ("separation", "convergence")


def check_cox(
    data: Any,
    *,
    covariates: Sequence[str] | str,
    events_per_variable: int = 10,
    **settings: Any,
) -> pd.DataFrame:
    """Return for a Cox model whether the data carry it.

    - events per variable: fewer than about 10 bias coefficients and their intervals (Peduzzi and
      others, J Clin Epidemiol 1995;48:1503)
    - separation: how many terms have no finite estimate; with any, nothing else is known
    - convergence: how many steps the maximum took
    - collinearity: the largest variance inflation factor, that of a text or spline for all its
      columns together, as the power 1 / columns (Fox and Monette, JASA 1992;87:178)
    - strata: how many have no event or one row, so that they tell nothing
    - influence: by how many standard errors the model moves, at most, without one patient (or
      cluster), by the first-order change of each coefficient (Cain and Lange, Biometrics
      1984;40:493); to be looked at, not passed
    - clusters, with `cluster` only: how many, as `check_clusters` judges them

    Whether hazard ratios stay the same is `check_proportional_hazards`.

    Args:
        data: As for `fit_cox`.
        covariates: As for `fit_cox`.
        events_per_variable: How many events a term should have.
        **settings: As for `fit_cox`.

    Returns:
        One row a check: `check`, `statistic`, `threshold`, `passed` (missing where it only informs
        or is not known), `gating`, `message`.

    Raises:
        UsageError: As for `fit_cox`; `events_per_variable` that is not a whole number from 1.
        DataError: As for `fit_cox`, but for separation.

    Examples:
        >>> data = pd.DataFrame({"time": [1, 2, 3, 4, 5, 6], "event": [1, 1, 0, 1, 1, 1],
        ...     "age": [60, 71, 55, 50, 62, 58]})
        >>> check_cox(data, covariates=["age"])["passed"].tolist()
        [False, True, True, True, True, None]
    """
    check_settings(settings, of="check_cox")
    least = check_whole(events_per_variable, name="events_per_variable", minimum=1)
    try:
        model = fit_cox(data, covariates=covariates, **settings)
    except SeparationError as error:
        return _table(_separated([fault.column for fault in error.faults]))
    found = [
        _events(model, least),
        (0.0, 0.0, True, "every term has a finite estimate"),
        _convergence(model),
        _collinearity(model.design, model.rows),
        _strata(model.rows),
        _influence(model),
    ]
    if model.rows.cluster is not None:
        found.append(judge_clusters(int(model.rows.cluster.max()) + 1))
    return _table(found)


_Found = tuple[float, float, bool | None, str]


def _table(found: Sequence[_Found]) -> pd.DataFrame:
    table = pd.DataFrame(found, columns=["statistic", "threshold", "passed", "message"])
    # A check that only informs has no answer, which is neither true nor false.
    passed = table["passed"].astype(object).where(table["passed"].notna(), None)
    names = _NAMES[: len(table)]
    table = table.assign(check=names, gating=[name in _GATING for name in names], passed=passed)
    return table[["check", "statistic", "threshold", "passed", "gating", "message"]]


def _separated(terms: Sequence[str]) -> list[_Found]:
    words = "not known where a term has no finite estimate"
    found: list[_Found] = [(np.nan, np.nan, None, words) for _ in _NAMES[:-1]]
    named = f"{', '.join(terms)} without a finite estimate; leave out or join levels"
    found[_NAMES.index("separation")] = (float(len(terms)), 0.0, False, named)
    return found


def _events(model: CoxModel, least: int) -> _Found:
    n_events, n_terms = int(model.estimates["n_events"].iloc[0]), len(model.estimates)
    each = n_events / n_terms
    words = f"{_count(n_events, 'event')} for {_count(n_terms, 'term')}"
    words += f"; {least:,} a term are advised"
    return each, float(least), each >= least, words


def _convergence(model: CoxModel) -> _Found:
    n_steps = model.fit.n_steps
    words = f"the maximum was reached in {_count(n_steps, 'step')}"
    return float(n_steps), float(MOST_STEPS), model.fit.converged, words


def _count(n: int, word: str) -> str:
    return f"{n:,} {word}" if n == 1 else f"{n:,} {word}s"


def _collinearity(design: Design, rows: Rows) -> _Found:
    numbers = apply_design(design, rows.more)
    correlation = np.atleast_2d(np.cov(numbers, rowvar=False, fweights=rows.freq))
    scale = np.sqrt(np.diag(correlation))
    correlation = correlation / np.outer(scale, scale)
    factors = {name: _inflation(correlation, own) for name, own in design.parts.items()}
    worst = max(factors, key=lambda name: factors[name])
    words = f"the variance of {worst} is {factors[worst]:.1f} times that without the others"
    return factors[worst], MOST_INFLATION, factors[worst] <= MOST_INFLATION, words


def _inflation(correlation: np.ndarray, own: Sequence[int]) -> float:
    """Return det(own) det(others) / det(all), as the power 1 / columns."""
    others = np.setdiff1d(np.arange(len(correlation)), own)
    logs = [
        np.linalg.slogdet(correlation[np.ix_(part, part)])[1]
        for part in (np.array(own), others, np.arange(len(correlation)))
    ]
    return float(np.exp((logs[0] + logs[1] - logs[2]) / len(own)))


def _strata(rows: Rows) -> _Found:
    n_strata, silent = len(rows.strata), int(silent_strata(rows).sum())
    words = f"{silent:,} of {n_strata:,} strata have no event or one row, and tell nothing"
    words = words if rows.strata.shape[1] else "there are no strata"
    return float(silent), 0.0, silent == 0, words


def _influence(model: CoxModel) -> _Found:
    if model.likelihood is None:
        return np.nan, np.nan, None, "not known with exact ties"
    rows, cluster = model.likelihood, model.rows.cluster
    moves = score_residuals(rows, model.fit.coefficients) @ model.naive_variance
    moves /= model.estimates["std_error"].to_numpy()
    if cluster is None:
        # One of the patients that a row stands for.
        moves *= (rows.size / rows.freq)[:, None]
    else:
        n = int(cluster.max()) + 1
        moves = np.stack([np.bincount(cluster, rows.size * c, n) for c in moves.T], axis=1)
    most = np.abs(moves).max(axis=0)
    worst = int(most.argmax())
    who = "patient" if cluster is None else "cluster"
    term = model.design.terms[worst]
    words = f"without one {who} {term} moves by {most[worst]:.2f} standard errors at most"
    return float(most[worst]), np.nan, None, words
