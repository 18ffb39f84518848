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
from loyalty_research.effects.planning_core import (
    check_number,
    effect_in_errors,
    power_in_errors,
)
from loyalty_research.effects.roll_out_variance import (
    FEWEST,
    cell_covariance,
    known_error,
    read_error,
    read_schedule,
)
from loyalty_research.errors import UsageError

DESIGNS = ("parallel", "parallel with baseline", "stepped wedge", "staggered", "staircase")
METHOD = "generalised least squares, correlations known"
_MOST_CLINICS = 1000


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
    table = read_schedule(schedule)
    check_number(effect, name="effect")
    check_share(alpha, name="alpha")
    error = known_error(
        table, sd=sd, icc=icc, cell_size=cell_size, cac=cac, iac=iac, correlation=correlation,
        exposure_time=exposure_time,
    )  # fmt: skip
    clinics = int((~np.isnan(table)).any(axis=1).sum())
    cells = int(np.count_nonzero(~np.isnan(table)))
    normal = float(norm.cdf(abs(effect) / error - norm.ppf(1 - alpha / 2)))
    read, df = error, float(clinics - 2)
    if correlation == "nested" and iac == 0:
        read, df = read_error(table, sd, icc, cell_size, cac, exposure_time)
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
    v = cell_covariance(n_periods, sd, icc, cell_size, cac, iac, correlation)
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


def _clinics_needed(
    design: str, n_periods: int, effect: float, power: float, settings: dict[str, Any]
) -> int | None:
    """Return the fewest clinics with which a design has the power, in whole rounds of its steps."""
    check_share(power, name="power")
    if effect == 0:
        return None
    step = len(_crossings(design, n_periods))
    for clinics in range(step, _MOST_CLINICS + 1, step):
        if clinics < FEWEST:
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
