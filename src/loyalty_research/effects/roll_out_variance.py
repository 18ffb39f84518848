"""What a schedule of clinics and periods says of an effect: its faults and its variance."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from loyalty_research.data.arguments import check_choice
from loyalty_research.data.frames import raise_faults
from loyalty_research.effects.nested_model import Cells, expected_fit
from loyalty_research.effects.planning_core import check_number
from loyalty_research.errors import DataError, Fault, UsageError

CORRELATIONS = ("nested", "decay")
FEWEST = 3
"""Clinics below which nothing is left to judge chance by."""
_SINGULAR = 1e-9


def read_schedule(schedule: Any) -> np.ndarray:
    """Return a schedule as numbers, or refuse with what is wrong.

    Args:
        schedule: Clinics x periods: 0, 1 or missing. Any frame or nested lists.

    Returns:
        Clinics x periods.

    Raises:
        DataError: Other codes, a programme taken away again, fewer than three clinics, clinics that
            are all treated or all untreated; every fault at once.

    Examples:
        >>> read_schedule([[0, 1], [0, 0], [0, 1]]).shape
        (3, 2)
    """
    frame = schedule.to_pandas() if hasattr(schedule, "to_pandas") else schedule
    try:
        table = np.atleast_2d(np.array(frame, dtype=float))
    except (TypeError, ValueError):
        fault = Fault("schedule", "", 0, "the schedule holds what is no number", "give 0 and 1")
        raise DataError([fault]) from None
    raise_faults(_schedule_faults(table))
    return table


def _schedule_faults(table: np.ndarray) -> list[Fault]:
    seen = ~np.isnan(table)
    if table.size == 0 or not seen.any():
        return [Fault("schedule", "", 0, "the schedule is empty", "give clinics x periods")]
    odd = int(np.count_nonzero(seen & ~np.isin(table, [0, 1])))
    if odd:
        return [Fault("schedule", "", odd, f"{odd:,} cells are neither 0 nor 1", "give 0 and 1")]
    faults = []
    running = np.maximum.accumulate(np.nan_to_num(table), axis=1)
    back = int(np.count_nonzero((seen & (table < running)).any(axis=1)))
    if back:
        message = f"{back:,} clinics lose the programme again"
        repair = "leave the periods after it missing"
        faults.append(Fault("schedule", "", back, message, repair))
    clinics = int(seen.any(axis=1).sum())
    if clinics < FEWEST:
        message = f"{clinics:,} clinics leave nothing to judge chance by"
        faults.append(Fault("schedule", "", clinics, message, f"plan {FEWEST} or more"))
    for state, words in ((1, "no clinic ever has the programme"), (0, "no clinic is ever without")):
        if not (table == state).any():
            repair = "a comparison needs both"
            faults.append(Fault("schedule", "", 0, words, repair))
    return faults


def known_error(
    table: np.ndarray, *, sd: float, icc: float, cell_size: float, cac: float, iac: float,
    correlation: str, exposure_time: bool,
) -> float:  # fmt: skip
    """Return the standard error of the effect if the correlations are known.

    Args:
        table: Clinics x periods as `read_schedule` returns it.
        sd: Standard deviation of the outcome.
        icc: Intracluster correlation.
        cell_size: Patients of a clinic in a period.
        cac: Cluster autocorrelation.
        iac: Individual autocorrelation.
        correlation: "nested" or "decay".
        exposure_time: The effect may change with time since crossing.

    Returns:
        The error of the average over treated clinic-periods.

    Raises:
        DataError: The schedule cannot tell the effect from the periods.
        UsageError: A number out of its range.

    Examples:
        >>> table = np.array([[0.0], [0.0], [1.0], [1.0]])
        >>> known_error(table, sd=1, icc=0, cell_size=4, cac=1, iac=0, correlation="nested",
        ...     exposure_time=False)
        0.5
    """
    n_periods = table.shape[1]
    full = cell_covariance(n_periods, sd, icc, cell_size, cac, iac, correlation)
    patterns, times = np.unique(table, axis=0, return_counts=True)
    seen, since = ~np.isnan(patterns), _time_since(patterns)
    n_terms = int(since[seen].max()) if exposure_time else 1
    information = np.zeros((n_periods + n_terms,) * 2)
    counts = np.zeros(n_terms)
    for measured, passed, n in zip(seen, np.minimum(since, n_terms), times, strict=True):
        effects = (passed[:, None] == np.arange(1, n_terms + 1)).astype(float)
        x = np.hstack([np.eye(n_periods), effects])[measured]
        information += n * x.T @ np.linalg.solve(full[np.ix_(measured, measured)], x)
        counts += n * effects[measured].sum(axis=0)
    weights = np.concatenate([np.zeros(n_periods), counts / counts.sum()])
    return _contrast_error(information, weights)


def _time_since(patterns: np.ndarray) -> np.ndarray:
    """Return each cell's period since crossing, 1 in the first; it runs on where none is seen."""
    n_periods = patterns.shape[1]
    treated = np.nan_to_num(patterns) > 0
    first = np.where(treated.any(axis=1), treated.argmax(axis=1), n_periods)
    return np.maximum(np.arange(n_periods) - first[:, None] + 1, 0)


def _contrast_error(information: np.ndarray, weights: np.ndarray) -> float:
    """Return the error of a weighted sum, or refuse where the information does not hold it."""
    scale = np.sqrt(np.maximum(np.diag(information), np.finfo(float).tiny))
    values, vectors = np.linalg.eigh(information / np.outer(scale, scale))
    small = values < _SINGULAR * values.max()
    along = vectors.T @ (weights / scale)
    if np.abs(along[small]).max(initial=0.0) > 1e-6 * np.abs(along).max():
        message = "the schedule cannot tell the effect from the periods"
        repair = "let clinics cross in different periods, or leave some without the programme"
        raise DataError([Fault("schedule", "", len(information), message, repair)])
    return math.sqrt(float((along[~small] ** 2 / values[~small]).sum()))


def read_error(
    table: np.ndarray, sd: float, icc: float, cell_size: float, cac: float, exposure_time: bool
) -> tuple[float, float]:
    """Return the error and degrees of freedom that the analysis is to expect.

    Args:
        table: Clinics x periods as `read_schedule` returns it.
        sd: Standard deviation of the outcome.
        icc: Intracluster correlation.
        cell_size: Patients of a clinic in a period.
        cac: Cluster autocorrelation.
        exposure_time: The effect may change with time since crossing.

    Returns:
        Kenward and Roger's, at the variances of the plan.

    Examples:
        >>> table = np.array([[0.0], [0.0], [1.0], [1.0]])
        >>> error, df = read_error(table, 1.0, 0.0, 4, 1.0, False)
        >>> round(error, 6), round(df, 6)
        (0.5, 2.0)
    """
    seen, since = ~np.isnan(table), _time_since(table)
    n_terms = int(since[seen].max()) if exposure_time else 1
    marks = np.minimum(since, n_terms)[:, :, None] == np.arange(1, n_terms + 1)
    counts = marks[seen].sum(axis=0)
    periods = np.broadcast_to(np.eye(table.shape[1]), (*table.shape, table.shape[1]))
    x = np.concatenate([periods, marks[:, :, counts > 0]], axis=2).astype(float)
    # A period in which no one is seen has no level.
    x = x[:, :, x[seen].any(axis=0)]
    root = np.sqrt(cell_size) * seen
    within = np.zeros((len(table), x.shape[2] + 1, x.shape[2] + 1))
    n = round(seen.sum() * cell_size)
    cells = Cells(x * root[:, :, None], np.zeros(table.shape), root, within, n)
    variances = sd**2 * np.array([1 - icc, icc * (1 - cac), icc * cac])
    weights = np.zeros(x.shape[2])
    weights[-np.count_nonzero(counts) :] = counts[counts > 0] / counts.sum()
    _, error, df = expected_fit(cells, variances).contrast(weights)
    return error, df


def cell_covariance(
    n_periods: int, sd: float, icc: float, cell_size: float, cac: float, iac: float,
    correlation: str,
) -> np.ndarray:  # fmt: skip
    """Return the covariance of a clinic's means over the periods.

    Args:
        n_periods: Periods.
        sd: Standard deviation of the outcome.
        icc: Intracluster correlation.
        cell_size: Patients of a clinic in a period.
        cac: Cluster autocorrelation.
        iac: Individual autocorrelation.
        correlation: "nested" or "decay".

    Returns:
        Periods x periods.

    Raises:
        UsageError: A number out of its range.

    Examples:
        >>> cell_covariance(2, 1.0, 0.5, 5, 0.8, 0.0, "nested").round(6).tolist()
        [[0.6, 0.4], [0.4, 0.6]]
    """
    check_number(sd, name="sd", least=0, above=True)
    check_number(icc, name="icc", least=0, most=1)
    check_number(cac, name="cac", least=0, most=1)
    check_number(iac, name="iac", least=0, most=1)
    check_number(cell_size, name="cell_size", least=1)
    check_choice(correlation, CORRELATIONS, name="correlation")
    if icc == 1 or iac == 1:
        raise UsageError("icc=1 or iac=1 leaves no chance between patients; give what is below 1")
    apart = np.abs(np.subtract.outer(np.arange(n_periods), np.arange(n_periods)))
    level = np.where(apart == 0, 1.0, cac if correlation == "nested" else float(cac) ** apart)
    own = np.where(apart == 0, 1.0, iac)
    return sd**2 * (icc * level + (1 - icc) / cell_size * own)
