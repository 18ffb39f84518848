"""What a model of Fine and Gray says of patients: how many will have had the event by a day.

With L0 the sum of dN / S0 to a day, the cumulative incidence at covariates x is
1 - exp(-L0 exp(x b)) (Fine and Gray, JASA 1999;94:496, section 3.3). Its error is robust, as that
of the coefficients: the squares of what each patient moves L0 exp(x b), by L0 itself and by way of
b, are summed over patients or clusters, the censoring curve taken as known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from loyalty_research.data.arguments import check_share, check_whole
from loyalty_research.data.frames import raise_faults
from loyalty_research.errors import Fault
from loyalty_research.retention.design_matrix import apply_design
from loyalty_research.retention.fine_gray import FineGrayModel, summed_products


def predict_cumulative_incidence(
    model: FineGrayModel, data: Any, *, times: Sequence[int], conf_level: float = 0.95
) -> pd.DataFrame:
    """Return for each row and day the share of such patients who have had the event by then.

    Those whom another cause took are counted among all others: they never have the event. The
    estimate is that of R's `survfit` on `finegray` with `coxph`; the standard error is robust and
    takes the censoring curve as known; the interval is symmetric on the scale of log(-log(1 - F)).

    Args:
        model: As `fit_fine_gray` returns it.
        data: Rows with the model's covariates. Any frame.
        times: Days, not beyond the last that was observed.
        conf_level: Coverage of the intervals.

    Returns:
        One row a row of the data and day: `row` (position from 0), `cause`, `time`, `estimate`,
        `std_error`, `conf_low`, `conf_high`, `conf_level`.

    Raises:
        UsageError: Times that are not whole or negative.
        DataError: No rows; columns or values missing; levels the model does not know; times beyond
            follow-up.

    Examples:
        >>> from loyalty_research.retention.fine_gray import fit_fine_gray
        >>> data = pd.DataFrame({
        ...     "time": [1, 2, 3, 4, 5, 6],
        ...     "event": ["lapsed", "died", "lapsed", "lapsed", None, "died"],
        ...     "member": [0, 1, 1, 0, 1, 0],
        ... })
        >>> model = fit_fine_gray(data, cause="lapsed", covariates="member")
        >>> new = pd.DataFrame({"member": [0, 1]})
        >>> predict_cumulative_incidence(model, new, times=[4])["estimate"].round(3).tolist()
        [0.587, 0.319]
    """
    level = check_share(conf_level, name="conf_level")
    asked = np.atleast_1d(np.asarray(times)).tolist()
    days = np.array([check_whole(day, name="times") for day in asked], np.int64)
    numbers = apply_design(model.design, data)
    raise_faults(_faults(model, numbers, days))
    z = (numbers - model.centre) / model.spread
    relative = np.exp(z @ model.coefficients)[:, None]
    hazard, error = _hazard_and_error(model, z, days)
    hazard, error = relative * hazard, relative * error
    # On the log scale of the hazard, at the start of which nothing is uncertain.
    half = norm.ppf((1 + level) / 2) * error / np.where(hazard > 0, hazard, 1.0)
    return pd.DataFrame(
        {
            "row": np.repeat(np.arange(len(z)), len(days)),
            "cause": model.cause,
            "time": np.tile(days, len(z)),
            "estimate": -np.expm1(-hazard).ravel(),
            "std_error": (np.exp(-hazard) * error).ravel(),
            "conf_low": -np.expm1(-hazard * np.exp(-half)).ravel(),
            "conf_high": -np.expm1(-hazard * np.exp(half)).ravel(),
            "conf_level": level,
        }
    )


def _faults(model: FineGrayModel, numbers: np.ndarray, days: np.ndarray) -> list[Fault]:
    faults = []
    if not len(numbers):
        faults.append(Fault("data", "", 0, "the table has no rows", "give at least one"))
    last = int(model.rows.time.max())
    late = int((days > last).sum())
    if late:
        words = f"times holds {late:,} days beyond the last that was observed, {last}"
        faults.append(Fault("data", "time", late, words, "ask for earlier days"))
    return faults


def _hazard_and_error(
    model: FineGrayModel, z: np.ndarray, days: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return L0 by day, and the error of L0 exp(x b) by row and day, both over exp(x b)."""
    likelihood = model.likelihood
    state = likelihood.at(model.coefficients)
    inverse = np.linalg.inv(state.information())
    of_coefficients = inverse @ state.residuals()
    cluster = None if model.rows.cluster is None else model.rows.cluster[model.order]
    hazard, error = np.zeros(len(days)), np.zeros((len(z), len(days)))
    for k, day in enumerate(days):
        step, slope, moved = state.baseline(likelihood.sample.days <= day)
        hazard[k] = step
        parts = np.vstack([moved, of_coefficients])
        variance = summed_products(parts, likelihood.sample.freq, cluster)
        pull = np.column_stack([np.ones(len(z)), z * step - slope])
        error[:, k] = np.sqrt(np.einsum("ip,pq,iq->i", pull, variance, pull))
    return hazard, error
