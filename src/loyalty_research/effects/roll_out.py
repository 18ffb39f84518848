"""How much any roll-out over clinics and periods can show, and which schedule shows most.

A schedule is a table of clinics by periods: 0 before a clinic has the programme, 1 from then on,
missing where nothing is measured. The mean of a clinic in a period is taken to be a period effect,
the programme's effect and a clinic's own level that may change; with the correlations known, the
variance of the generalised least squares estimate says what the schedule can show.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from loyalty_research.data.arguments import check_choice, check_share, check_whole
from loyalty_research.data.frames import raise_faults
from loyalty_research.effects.nested_model import Cells, expected_fit
from loyalty_research.effects.planning_core import (
    check_number,
    effect_in_errors,
    power_in_errors,
)
from loyalty_research.errors import DataError, Fault, UsageError

DESIGNS = ("parallel", "parallel with baseline", "stepped wedge", "staggered", "staircase")
CORRELATIONS = ("nested", "decay")
METHOD = "generalised least squares, correlations known"
_SINGULAR = 1e-9
_MOST_CLINICS = 1000
_FEWEST = 3


def roll_out_schedule(design: str, *, n_clinics: int, n_periods: int) -> pd.DataFrame:
    """Return when each clinic has the programme.

    Args:
        design: "parallel" (half of the clinics from the first period, half never), "parallel with
            baseline" (half of them from the second), "stepped wedge" (all untreated first, all
            treated last, crossing evenly), "staggered" (the same, but a last group never crosses)
            or "staircase" (a stepped wedge measured only in the period before and that of the
            crossing).
        n_clinics: Clinics.
        n_periods: Periods.

    Returns:
        One row a clinic, one column a period, both from 1: 0, 1, or missing where nothing is
        measured.

    Raises:
        UsageError: An unknown design, too few clinics or periods for it.

    References:
        Hooper and Bourke, BMJ 2015;350:h2925; staircases: Grantham and others, Stat Med
        2024;43:3779.

    Examples:
        >>> roll_out_schedule("stepped wedge", n_clinics=4, n_periods=3).to_numpy().tolist()
        [[0.0, 1.0, 1.0], [0.0, 1.0, 1.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]
    """
    check_choice(design, DESIGNS, name="design")
    check_whole(n_periods, name="n_periods", minimum=1 if design == "parallel" else 2)
    first = _crossings(design, n_periods)
    check_whole(n_clinics, name="n_clinics", minimum=max(2, len(first)))
    # Clinics are shared out over the steps as evenly as their number allows.
    start = np.array(first)[np.arange(n_clinics) * len(first) // n_clinics]
    period = np.arange(n_periods)
    table = (period >= start[:, None]).astype(float)
    if design == "staircase":
        measured = (period == start[:, None]) | (period == start[:, None] - 1)
        table[~measured] = np.nan
    clinics = pd.RangeIndex(1, n_clinics + 1, name="clinic")
    return pd.DataFrame(table, clinics, pd.RangeIndex(1, n_periods + 1, name="period"))


def roll_out_power(
    schedule: Any,
    *,
    effect: float,
    sd: float,
    icc: float,
    cell_size: float,
    cac: float = 1,
    iac: float = 0,
    correlation: str = "nested",
    exposure_time: bool = False,
    alpha: float = 0.05,
) -> pd.DataFrame:
    """Return how likely a roll-out over clinics and periods shows an effect.

    Args:
        schedule: Clinics x periods: 0, 1 from the period of crossing on, missing where nothing is
            measured; as `roll_out_schedule` returns it, or any other.
        effect: In the outcome's unit, averaged over the clinic-periods with the programme.
        sd: Standard deviation of the outcome among patients of a period; sqrt(p (1 - p)) for a
            share p.
        icc: Correlation of two patients of a clinic in one period.
        cell_size: Patients of a clinic in a period.
        cac: Cluster autocorrelation: of a clinic's level in two periods; 1 if it never changes.
        iac: Individual autocorrelation: of a patient's own deviation in two periods; 0 if every
            period has other patients, above 0 if the same are seen again.
        correlation: "nested": cac between any two periods; "decay": cac to the power of their
            distance.
        exposure_time: The effect may change with the time since crossing; power is then that of
            its average over the clinic-periods with the programme.
        alpha: Two-sided level of the test.

    Returns:
        One row: `estimate` (power of `stepped_wedge_effect`, whose error and degrees of freedom
        are Kenward and Roger's; with "decay" or iac Student's t with clinics less two),
        `estimate_normal` (as if the correlations were known), `std_error` (so too),
        `std_error_read` (what the analysis will show on average), `df, n_clinics, n_periods,
        n_measurements, share_treated, alpha, method`.

    Raises:
        DataError: A schedule that has fewer than three clinics, holds other codes, takes the
            programme away again, or cannot tell the effect from time.
        UsageError: A number out of its range.

    References:
        Hussey and Hughes, Contemp Clin Trials 2007;28:182; Hooper and others, Stat Med
        2016;35:4718 (cac, iac); Kasza and others, Stat Methods Med Res 2019;28:703 (decay); Kenny
        and others, Stat Med 2022;41:4311 (time since crossing); Kenward and Roger, Biometrics
        1997;53:983 (what the analysis reads).

    Examples:
        >>> wedge = roll_out_schedule("stepped wedge", n_clinics=12, n_periods=5)
        >>> roll_out_power(wedge, effect=0.3, sd=1, icc=0.05, cac=0.8,
        ...     cell_size=20)["std_error"].round(4).item()
        0.1055
    """
    table = _read_schedule(schedule)
    check_number(effect, name="effect")
    check_share(alpha, name="alpha")
    error = _standard_error(
        table, sd=sd, icc=icc, cell_size=cell_size, cac=cac, iac=iac, correlation=correlation,
        exposure_time=exposure_time,
    )  # fmt: skip
    clinics = int((~np.isnan(table)).any(axis=1).sum())
    cells = int(np.count_nonzero(~np.isnan(table)))
    normal = float(norm.cdf(abs(effect) / error - norm.ppf(1 - alpha / 2)))
    read, df = error, float(clinics - 2)
    if correlation == "nested" and iac == 0:
        read, df = _read_error(table, sd, icc, cell_size, cac, exposure_time)
    row = {
        "estimate": power_in_errors(abs(effect) / read, df, alpha),
        "estimate_normal": normal,
        "std_error": error,
        "std_error_read": read,
        "df": df,
        "n_clinics": clinics,
        "n_periods": table.shape[1],
        "n_measurements": cells * cell_size,
        "share_treated": float(np.nansum(table) / cells),
        "alpha": alpha,
        "method": METHOD,
    }
    return pd.DataFrame([row])


def detectable_by_roll_out(
    schedule: Any, *, power: float = 0.8, alpha: float = 0.05, **settings: Any
) -> pd.DataFrame:
    """Return the smallest effect that a roll-out shows with the power asked for.

    Args:
        schedule: As for `roll_out_power`.
        power: Probability of a significant result.
        alpha: Two-sided level of the test.
        **settings: `sd, icc, cell_size, cac, iac, correlation, exposure_time` as for
            `roll_out_power`.

    Returns:
        One row: `estimate` (the effect, in either direction), `std_error, std_error_read, df,
        n_clinics, n_periods, n_measurements, share_treated, alpha, power, method`.

    Raises:
        DataError: As `roll_out_power`.
        UsageError: A number out of its range.

    References:
        As `roll_out_power`, solved for the effect.

    Examples:
        >>> wedge = roll_out_schedule("stepped wedge", n_clinics=12, n_periods=5)
        >>> detectable_by_roll_out(wedge, sd=1, icc=0.05, cac=0.8,
        ...     cell_size=20)["estimate"].round(3).item()
        0.309
    """
    check_share(power, name="power")
    found = roll_out_power(schedule, effect=0, alpha=alpha, **settings)
    error, df = float(found["std_error_read"].iloc[0]), float(found["df"].iloc[0])
    kept = found.drop(columns=["estimate", "estimate_normal", "method"])
    kept.insert(0, "estimate", effect_in_errors(power, df, alpha) * error)
    return kept.assign(power=power, method=METHOD)


def compare_roll_outs(
    *,
    n_clinics: int,
    n_periods: int,
    effect: float,
    sd: float,
    icc: float,
    cell_size: float,
    cac: float = 1,
    iac: float = 0,
    correlation: str = "nested",
    exposure_time: bool = False,
    alpha: float = 0.05,
    power: float = 0.8,
    designs: Sequence[str] = DESIGNS,
    schedules: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Return what each way of rolling a programme out can show, side by side.

    Args:
        n_clinics: Clinics at hand.
        n_periods: Periods of the study, for each design alike.
        effect: In the outcome's unit.
        sd: Standard deviation of the outcome among patients of a period.
        icc: Correlation of two patients of a clinic in one period.
        cell_size: Patients of a clinic in a period.
        cac: Cluster autocorrelation.
        iac: Individual autocorrelation.
        correlation: "nested" or "decay".
        exposure_time: The effect may change with the time since crossing.
        alpha: Two-sided level of the test.
        power: Probability of a significant result that is asked for.
        designs: Which of the designs of `roll_out_schedule`.
        schedules: Further schedules by name.

    Returns:
        One row a design: `design, estimate` (power), `std_error, n_clinics, n_measurements,
        share_treated, n_clinics_needed` (for the power asked for, missing beyond 1,000 or where
        the schedule is one's own), `detectable` (the smallest effect shown), `alpha, power,
        method`.

    Raises:
        DataError: As `roll_out_power`.
        UsageError: An unknown design, a number out of its range.

    References:
        As `roll_out_power`.

    Examples:
        >>> compare_roll_outs(n_clinics=12, n_periods=5, effect=0.3, sd=1, icc=0.05, cac=0.8,
        ...     cell_size=20)[["design", "n_measurements"]].to_dict("split")["data"][-1]
        ['staircase', 480]
    """
    settings: dict[str, Any] = {
        "sd": sd, "icc": icc, "cell_size": cell_size, "cac": cac, "iac": iac,
        "correlation": correlation, "exposure_time": exposure_time, "alpha": alpha,
    }  # fmt: skip
    tables = {
        name: roll_out_schedule(name, n_clinics=n_clinics, n_periods=n_periods) for name in designs
    }
    twice = set(tables) & set(schedules or {})
    if twice:
        raise UsageError(f"schedules names {', '.join(sorted(twice))}, which is a design")
    rows = []
    for name, table in (tables | dict(schedules or {})).items():
        row = roll_out_power(table, effect=effect, **settings).iloc[0].to_dict()
        needed = None
        if name in tables:
            needed = _clinics_needed(name, n_periods, effect, power, settings)
        shown = detectable_by_roll_out(table, power=power, **settings)["estimate"].iloc[0]
        rows.append({"design": name, **row, "n_clinics_needed": needed, "detectable": shown})
    kept = ["design", "estimate", "std_error", "n_clinics", "n_measurements", "share_treated",
            "n_clinics_needed", "detectable", "alpha", "method"]  # fmt: skip
    found = pd.DataFrame(rows)[kept]
    found.insert(9, "power", power)
    return found.assign(n_clinics_needed=found["n_clinics_needed"].astype("Int64"))


def difference_in_differences_power(
    *,
    n_treated: int,
    n_control: int,
    n_before: int,
    n_after: int,
    effect: float,
    sd: float,
    icc: float,
    cell_size: float,
    cac: float = 1,
    iac: float = 0,
    correlation: str = "nested",
    alpha: float = 0.05,
    power: float = 0.8,
) -> pd.DataFrame:
    """Return how likely treated and control clinics, before and after, show an effect.

    The analysis has a level for each clinic, as differences in differences have: clinics need not
    be alike before.

    Args:
        n_treated: Clinics that get the programme.
        n_control: Clinics that do not.
        n_before: Periods before it.
        n_after: Periods with it.
        effect: In the outcome's unit.
        sd: Standard deviation of the outcome among patients of a period.
        icc: Correlation of two patients of a clinic in one period.
        cell_size: Patients of a clinic in a period.
        cac: Cluster autocorrelation; what it lacks to 1 does not cancel in the difference.
        iac: Individual autocorrelation.
        correlation: "nested" or "decay".
        alpha: Two-sided level of the test.
        power: Power for which the smallest effect is given.

    Returns:
        One row: `estimate` (power, Student's t with clinics less two), `estimate_normal,
        std_error, detectable` (the smallest effect shown with the power asked for), `df, n_clinics,
        n_periods, n_measurements, share_treated, alpha, method`.

    Raises:
        UsageError: A number out of its range.

    References:
        Hooper and others, Stat Med 2016;35:4718; with a fixed level a clinic, so that the variance
        for one period each is 2 (1/n_treated + 1/n_control) (variance less covariance of two means
        of a clinic).

    Examples:
        >>> difference_in_differences_power(n_treated=10, n_control=10, n_before=1, n_after=1,
        ...     effect=0.3, sd=1, icc=0.05, cac=0.8, cell_size=50)["std_error"].round(4).item()
        0.1077
    """
    for name, value in (("n_treated", n_treated), ("n_control", n_control)):
        check_whole(value, name=name, minimum=1)
    for name, value in (("n_before", n_before), ("n_after", n_after)):
        check_whole(value, name=name, minimum=1)
    check_number(effect, name="effect")
    check_share(alpha, name="alpha")
    n_periods = n_before + n_after
    v = _cell_covariance(n_periods, sd, icc, cell_size, cac, iac, correlation)
    # The best weights of a clinic's periods under a level of its own, the period means unknown.
    after = (np.arange(n_periods) >= n_before).astype(float)
    inverse = np.linalg.inv(v)
    ones = np.ones(n_periods)
    swept = inverse - np.outer(inverse @ ones, inverse @ ones) / (ones @ inverse @ ones)
    error = math.sqrt((1 / n_treated + 1 / n_control) / (after @ swept @ after))
    clinics = n_treated + n_control
    row = {
        "estimate": power_in_errors(abs(effect) / error, clinics - 2, alpha),
        "estimate_normal": float(norm.cdf(abs(effect) / error - norm.ppf(1 - alpha / 2))),
        "std_error": error,
        "detectable": effect_in_errors(power, clinics - 2, alpha) * error,
        "df": float(clinics - 2),
        "n_clinics": clinics,
        "n_periods": n_periods,
        "n_measurements": clinics * n_periods * cell_size,
        "share_treated": n_treated * n_after / (clinics * n_periods),
        "alpha": alpha,
        "method": f"{METHOD}, a level for each clinic",
    }
    return pd.DataFrame([row])


# --- the variance ---------------------------------------------------------------------------------


def _standard_error(
    table: np.ndarray, *, sd: float, icc: float, cell_size: float, cac: float, iac: float,
    correlation: str, exposure_time: bool,
) -> float:  # fmt: skip
    n_periods = table.shape[1]
    full = _cell_covariance(n_periods, sd, icc, cell_size, cac, iac, correlation)
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


def _read_error(
    table: np.ndarray, sd: float, icc: float, cell_size: float, cac: float, exposure_time: bool
) -> tuple[float, float]:
    """Return the error and degrees of freedom that the analysis is to expect."""
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


def _cell_covariance(
    n_periods: int, sd: float, icc: float, cell_size: float, cac: float, iac: float,
    correlation: str,
) -> np.ndarray:  # fmt: skip
    """Return the covariance of a clinic's means over the periods."""
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


def _clinics_needed(
    design: str, n_periods: int, effect: float, power: float, settings: dict[str, Any]
) -> int | None:
    """Return the fewest clinics with which a design has the power, in whole rounds of its steps."""
    check_share(power, name="power")
    if effect == 0:
        return None
    step = len(_crossings(design, n_periods))
    for clinics in range(step, _MOST_CLINICS + 1, step):
        if clinics < _FEWEST:
            continue
        table = roll_out_schedule(design, n_clinics=clinics, n_periods=n_periods)
        if roll_out_power(table, effect=effect, **settings)["estimate"].iloc[0] >= power:
            return clinics
    return None


def _crossings(design: str, n_periods: int) -> list[int]:
    """Return the period of crossing of each group of clinics, counted from 0; the last is never."""
    if design == "parallel":
        return [0, n_periods]
    if design == "parallel with baseline":
        return [1, n_periods]
    return list(range(1, n_periods + (design == "staggered")))


# --- the schedule ---------------------------------------------------------------------------------


def _read_schedule(schedule: Any) -> np.ndarray:
    """Return a schedule as numbers, or refuse with what is wrong."""
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
    if clinics < _FEWEST:
        message = f"{clinics:,} clinics leave nothing to judge chance by"
        faults.append(Fault("schedule", "", clinics, message, f"plan {_FEWEST} or more"))
    for state, words in ((1, "no clinic ever has the programme"), (0, "no clinic is ever without")):
        if not (table == state).any():
            repair = "a comparison needs both"
            faults.append(Fault("schedule", "", 0, words, repair))
    return faults
