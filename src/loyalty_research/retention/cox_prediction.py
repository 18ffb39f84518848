"""What a Cox model says of patients: their risk, their curve, and the curve of a whole cohort."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from loyalty_research.data.arguments import check_share, check_whole
from loyalty_research.data.frames import missing_columns, raise_faults
from loyalty_research.errors import DataError, Fault, UsageError
from loyalty_research.retention.cox import CoxModel
from loyalty_research.retention.cox_residuals import fitted_steps, likelihood_of
from loyalty_research.retention.curve_limits import survival_limits
from loyalty_research.retention.design_matrix import apply_design
from loyalty_research.retention.risk_sets import tally
from loyalty_research.retention.rows import take_columns

_CELLS = 20_000_000
"""Rows times days that are held at once."""


def predict_risk(model: CoxModel, data: Any) -> np.ndarray:
    """Return the linear predictor of each row: the log hazard against covariates of 0.

    It is not centred, so that one of two rows has `exp` of the difference as its hazard ratio. A
    higher risk means an earlier event, as `concordance` takes it. An offset is not included.

    Args:
        model: As `fit_cox` returns it.
        data: Rows with the model's covariates. Any frame.

    Returns:
        A number for each row.

    Raises:
        DataError: Columns or values missing, or levels that the model does not know.

    Examples:
        >>> from loyalty_research.retention.cox import fit_cox
        >>> data = pd.DataFrame({"time": [1, 2, 3, 4], "event": [1, 1, 0, 1], "x": [2, 1, 3, 0]})
        >>> predict_risk(fit_cox(data, covariates=["x"]), pd.DataFrame({"x": [0]})).tolist()
        [0.0]
    """
    return apply_design(model.design, data) @ model.fit.coefficients


def predict_retention(
    model: CoxModel, data: Any, *, times: Sequence[int], conf_level: float = 0.95
) -> pd.DataFrame:
    """Return for each row and day the share of such patients who are still there.

    The curve is exp(-H0(t) exp(x b)); its error takes in that of the coefficients and of H0
    (Tsiatis, Annals of Statistics 1981;9:93); the interval is symmetric on the log scale, as R's
    `survfit.coxph` has it.

    Args:
        model: As `fit_cox` returns it, with Efron's or Breslow's ties.
        data: Rows with the model's covariates (and strata, if it has any). Any frame.
        times: Days, not beyond the last that was observed in the row's stratum.
        conf_level: Coverage of the intervals.

    Returns:
        One row a row of the data and day: `row` (position from 0), `time`, `estimate`,
        `std_error`, `conf_low`, `conf_high`, `conf_level`.

    Raises:
        UsageError: Times that are not whole; a model with exact ties.
        DataError: As for `predict_risk`; no rows; strata the model does not know; times beyond
            follow-up.

    Examples:
        >>> from loyalty_research.retention.cox import fit_cox
        >>> data = pd.DataFrame({"time": [1, 2, 3, 4], "event": [1, 1, 0, 1], "x": [2, 1, 3, 0]})
        >>> new = pd.DataFrame({"x": [1]})
        >>> table = predict_retention(fit_cox(data, covariates=["x"]), new, times=[0, 2])
        >>> table["estimate"].round(3).tolist()
        [1.0, 0.567]
    """
    level, days = check_share(conf_level, name="conf_level"), _days(times)
    numbers = apply_design(model.design, data)
    stratum = _strata_of(model, data)
    raise_faults(_no_rows(numbers) or _late_days(model, days, np.unique(stratum)))
    table = _baseline_at(model, days)
    parts = []
    for s in np.unique(stratum):
        where = np.flatnonzero(stratum == s)
        parts.append(_curves(model, numbers[where], table[int(s)], where))
    estimate, error, position = (np.concatenate(part) for part in zip(*parts, strict=True))
    low, high = survival_limits(estimate.ravel(), norm.ppf((1 + level) / 2) * error.ravel(), "log")
    result = pd.DataFrame(
        {
            "row": np.repeat(position, len(days)),
            "time": np.tile(days, len(position)),
            "estimate": estimate.ravel(),
            "std_error": (estimate * error).ravel(),
            "conf_low": low,
            "conf_high": high,
            "conf_level": level,
        }
    )
    return result.sort_values(["row", "time"], kind="stable", ignore_index=True)


def adjusted_retention(
    model: CoxModel,
    *,
    by: str,
    times: Sequence[int] | None = None,
    conf_level: float = 0.95,
) -> pd.DataFrame:
    """Return the curves of the cohort as it is, were everyone to have each level of a covariate.

    Direct standardisation: each patient's curve is predicted with `by` set to the level and all
    else as it is, and these curves are averaged (Chang, Gelman and Pagano, J Chronic Dis
    1982;35:669). The error comes from the derivatives by the coefficients and by the baseline
    hazard (Zhang et al., Comput Methods Programs Biomed 2007;88:95), the patients' covariates taken
    as fixed; the interval is on the log-log scale. The levels differ as the model says they do, no
    more: whether that is what `by` does is a matter of design.

    Args:
        model: As `fit_cox` returns it, without strata, entry or formula.
        by: A covariate of the model, text or of at most 12 distinct numbers.
        times: Days; all event days if None.
        conf_level: Coverage of the intervals.

    Returns:
        The columns of a curve, one row a level and day; counts are those observed in the level.

    Raises:
        UsageError: `by` is not a covariate of the model, or has too many values; a model with
            strata, delayed entry, a formula or exact ties.
        DataError: Times beyond follow-up.

    Examples:
        >>> from loyalty_research.retention.cox import fit_cox
        >>> data = pd.DataFrame({"time": [1, 2, 3, 4], "event": [1, 1, 0, 1],
        ...     "x": [1, 0, 1, 0], "age": [50, 61, 58, 49]})
        >>> curves = adjusted_retention(fit_cox(data, covariates=["x", "age"]), by="x", times=[2])
        >>> curves["x"].tolist()
        [0, 1]
    """
    level = check_share(conf_level, name="conf_level")
    levels = _levels_of(model, by)
    rows = likelihood_of(model)
    days = np.unique(np.append(0, rows.axis.time)) if times is None else _days(times)
    raise_faults(_late_days(model, days, np.zeros(1, np.int64)))
    (baseline,) = _baseline_at(model, days)
    parts = []
    for value in levels:
        same = model.rows.more.assign(**{by: _constant(model.rows.more[by], value)})
        estimate, error = _average(model, apply_design(model.design, same), baseline)
        with np.errstate(divide="ignore", invalid="ignore"):
            half = norm.ppf((1 + level) / 2) * error / estimate
        limits = survival_limits(estimate, half, "log-log")
        # Before the first event there is nothing to be uncertain of.
        low, high = (np.where(baseline.hazard == 0, 1.0, limit) for limit in limits)
        counts = _counts_of(model, by, value, days)
        numbers = {"estimate": estimate, "std_error": error, "conf_low": low, "conf_high": high}
        table = pd.DataFrame({by: [value] * len(days), **counts, **numbers, "conf_level": level})
        parts.append(table)
    return pd.concat(parts, ignore_index=True).astype({by: model.rows.more[by].dtype})


# --- the baseline ---------------------------------------------------------------------------------


class _Baseline:
    """Sums up to each asked day of one stratum, the covariates counted from 0."""

    def __init__(self, hazard: np.ndarray, mean: np.ndarray, spread: np.ndarray):
        self.hazard, self.mean, self.spread = hazard, mean, spread


def _baseline_at(model: CoxModel, days: np.ndarray) -> list[_Baseline]:
    rows = likelihood_of(model)
    _, steps = fitted_steps(model)
    # Sums are of centred covariates; the hazard at covariates of 0 is smaller by exp(centre b).
    shift = np.exp(-float(rows.centre @ model.fit.coefficients) - rows.offset_centre)
    centred = steps.aa[:, None] * steps.s1 - steps.bb[:, None] * steps.e1
    mean = shift * (centred + steps.a[:, None] * rows.centre)
    found = []
    for s in range(len(model.rows.strata)):
        own = rows.axis.stratum == s
        upto = np.searchsorted(rows.axis.time[own], days, side="right")
        columns = (shift * steps.a[own], mean[own], shift**2 * steps.aa[own])
        sums = [np.concatenate([c[:1] * 0, np.cumsum(c, axis=0)])[upto] for c in columns]
        found.append(_Baseline(*sums))
    return found


def _curves(
    model: CoxModel, numbers: np.ndarray, baseline: _Baseline, where: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return curve and error of the log of each row, a row a row and a column a day."""
    relative = np.exp(numbers @ model.fit.coefficients)[:, None]
    survival = np.exp(-relative * baseline.hazard)
    # The derivative of H0 by the coefficients, for each row and day.
    pull = numbers[:, None, :] * baseline.hazard[:, None] - baseline.mean
    of_coefficients = np.einsum("itp,pq,itq->it", pull, model.variance, pull)
    return survival, relative * np.sqrt(baseline.spread + of_coefficients), where


def _average(
    model: CoxModel, numbers: np.ndarray, baseline: _Baseline
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean curve over rows, and its standard error, block by block of days."""
    rows = likelihood_of(model)
    relative = np.exp(numbers @ model.fit.coefficients + rows.offset + rows.offset_centre)
    share = rows.size / rows.size.sum()
    estimate, error = np.empty(len(baseline.hazard)), np.empty(len(baseline.hazard))
    step = max(1, _CELLS // len(relative))
    for start in range(0, len(estimate), step):
        part = slice(start, start + step)
        survival = np.exp(-np.outer(relative, baseline.hazard[part]))
        pull = share[:, None] * survival * relative[:, None]
        # Shares may add up to a little less than 1.
        estimate[part] = np.where(baseline.hazard[part] == 0, 1.0, share @ survival)
        by_hazard = pull.sum(axis=0)
        by_coefficients = (numbers.T @ pull) * baseline.hazard[part] - baseline.mean[
            part
        ].T * by_hazard
        variance = baseline.spread[part] * by_hazard**2 + np.einsum(
            "pt,pq,qt->t", by_coefficients, model.variance, by_coefficients
        )
        error[part] = np.sqrt(variance)
    return estimate, error


# --- the door -------------------------------------------------------------------------------------


def _days(times: Sequence[int]) -> np.ndarray:
    asked = np.atleast_1d(np.asarray(times)).tolist()
    return np.array([check_whole(time, name="times") for time in asked], np.int64)


def _no_rows(numbers: np.ndarray) -> list[Fault]:
    empty = Fault("data", "", 0, "the table has no rows", "give at least one")
    return [] if len(numbers) else [empty]


def _late_days(model: CoxModel, days: np.ndarray, strata: np.ndarray) -> list[Fault]:
    """Return whether days lie beyond what was observed in one of these strata."""
    last = pd.Series(model.rows.time).groupby(model.rows.stratum).max().loc[strata].min()
    late = int((days > last).sum())
    message = f"times holds {late:,} days beyond the last that was observed, {last}"
    return [Fault("data", "time", late, message, "ask for earlier days")] if late else []


def _strata_of(model: CoxModel, data: Any) -> np.ndarray:
    columns = [str(name) for name in model.rows.strata]
    if not columns:
        return np.zeros(len(take_columns(data, model.design.columns)), np.int64)
    raise_faults(missing_columns(data, columns, table="data"))
    known = model.rows.strata.assign(__code=np.arange(len(model.rows.strata)))
    codes = take_columns(data, columns).merge(known, on=columns, how="left")["__code"]
    unknown = int(codes.isna().sum())
    if unknown:
        message = (
            f"{', '.join(columns)} holds a stratum the model does not know in {unknown:,} rows"
        )
        raise DataError([Fault("data", columns[0], unknown, message, "leave these rows out")])
    return codes.to_numpy(np.int64)


def _levels_of(model: CoxModel, by: str) -> list[Any]:
    if by not in model.design.columns:
        raise UsageError(f"by={by!r} is not a covariate of the model; add it to covariates")
    if model.design.formula is not None or model.rows.entry is not None:
        raise UsageError("adjusted curves need a model without formula and without delayed entry")
    if len(model.rows.strata) > 1:
        raise UsageError("adjusted curves need a model without strata; make them covariates")
    levels = model.design.levels.get(by) or sorted(model.rows.more[by].unique())
    if len(levels) > 12:
        raise UsageError(f"by={by!r} has {len(levels)} values; cut it into at most 12 groups first")
    return levels


def _constant(values: pd.Series, level: Any) -> pd.Series:
    return pd.Series([level], dtype=values.dtype).repeat(len(values)).set_axis(values.index)


def _counts_of(model: CoxModel, by: str, level: Any, days: np.ndarray) -> dict[str, np.ndarray]:
    own = (model.rows.more[by] == level).to_numpy()
    freq = None if model.rows.freq is None else model.rows.freq[own]
    counts = tally(model.rows.time[own], model.rows.event[own], 1, freq, None, days.tolist())
    at = np.searchsorted(counts.time, days)
    return {
        "time": days,
        "n_at_risk": counts.at_risk[at],
        "n_events": counts.events[at, 0],
        "n_censored": counts.censored[at],
    }
