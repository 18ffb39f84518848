"""How large a difference in trends before the start would have been noticed.

That no difference was found says little where none could have been found. So the answer is the
steepest difference in trends that the leads would still miss one time in five, and how far it would
move the effect (Roth, American Economic Review: Insights 2022;4:305).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri
from scipy.stats import norm, qmc

from loyalty_research.data.arguments import check_share
from loyalty_research.effects.aggregation import aggregate
from loyalty_research.effects.checks import Check, checks_table
from loyalty_research.effects.event_times import EventTimes, event_times, refuse_no_leads
from loyalty_research.effects.group_time import group_time_cells
from loyalty_research.effects.panel import open_panel

_LOG_POINTS = 12
_JITTER = 1e-10
_SEED = 20220901
"""Of the points at which a probability is integrated: a rule of integration, not a draw."""


def check_pre_trends(
    panel: Any,
    *,
    outcome: str,
    unit: str,
    period: str,
    first_treated: str,
    covariates: Sequence[str] | str | None = None,
    control: str = "never",
    cluster: str | None = None,
    conf_level: float = 0.95,
    power: float = 0.8,
) -> pd.DataFrame:
    """Return what a look at the trends before the start could have found.

    A lead counts as a finding if its own interval excludes 0. The difference in trends is a
    straight line through the last period before the start.

    Args:
        panel: One row a unit and period. Any frame.
        outcome: Column of the outcome, a number.
        unit: Column that names the unit.
        period: Column of the period: a whole number or a date.
        first_treated: Column with the unit's first treated period; missing = never treated.
        covariates: Names of columns, or a formula, as they are before treatment.
        control: "never" treated, or "not_yet" treated as well.
        cluster: Column that names what is independent; the unit if None.
        conf_level: Coverage of a lead's interval.
        power: Probability with which the difference in trends would have been noticed.

    Returns:
        `check, statistic, threshold, passed, gating, message`; rows `detectable_slope` (a period),
        `bias_of_detectable_slope` (of the average effect after the start, which is the
        threshold beside it) and `largest_lead`. All inform, none passes.

    Raises:
        DataError: What `staggered_difference_in_differences` refuses, or only one period before
            the start.

    Examples:
        >>> rng = np.random.default_rng(1)
        >>> table = pd.DataFrame([(u, t) for u in range(20) for t in range(6)],
        ...     columns=["clinic", "month"])
        >>> table["start"] = np.where(table["clinic"] < 10, 4, np.nan)
        >>> table["rate"] = rng.normal(size=120)
        >>> found = check_pre_trends(table, outcome="rate", unit="clinic", period="month",
        ...     first_treated="start")
        >>> found["check"].tolist()
        ['detectable_slope', 'bias_of_detectable_slope', 'largest_lead']
    """
    check_share(conf_level, name="conf_level")
    check_share(power, name="power")
    opened = open_panel(
        panel, outcome=outcome, unit=unit, period=period, first_treated=first_treated,
        covariates=covariates, cluster=cluster, control=control,
    )  # fmt: skip
    cells = group_time_cells(opened, control=control)
    times = event_times(opened, aggregate(opened, cells, "dynamic"))
    refuse_no_leads(times, first_treated=first_treated)
    return checks_table(pre_trend_checks(times, conf_level=conf_level, power=power))


def pre_trend_checks(times: EventTimes, *, conf_level: float, power: float = 0.8) -> list[Check]:
    """Return the rows of `check_pre_trends` from event times; one row where there is no lead.

    Args:
        times: The event times.
        conf_level: Coverage of a lead's interval.
        power: Probability of noticing.

    Returns:
        Checks that inform.

    Examples:
        >>> times = EventTimes(np.array([-2, 0]), np.array([0.1, 1.0]), np.eye(2))
        >>> [round(check.statistic, 2) for check in pre_trend_checks(times, conf_level=0.95)]
        [2.8, 2.8, 0.1]
    """
    if not times.before.any():
        words = "no two periods before the start, so that trends before it cannot be compared"
        return [Check("detectable_slope", None, words)]
    slope = detectable_slope(times, conf_level=conf_level, power=power)
    bias = slope * float((times.event_time[times.after] + 1).mean())
    effect = float(times.estimate[times.after].mean())
    error = np.sqrt(np.diag(times.covariance))
    worst = int(
        np.argmax(np.where(times.before, np.abs(times.estimate) / (error + ~times.before), -1))
    )
    half = float(norm.ppf((1 + conf_level) / 2)) * error[worst]
    low, high = times.estimate[worst] - half, times.estimate[worst] + half
    return [
        Check("detectable_slope", None, (
            f"trends that differ by {slope:.3g} a period would have been noticed before the start "
            f"with probability {power:g}; smaller differences cannot be ruled out"), slope),
        Check("bias_of_detectable_slope", None, (
            f"a difference in trends as large would move the average effect after the start, "
            f"{effect:.3g}, by {bias:.3g}"), bias, effect),
        Check("largest_lead", None, (
            f"largest difference before the start: {times.estimate[worst]:.3g} "
            f"({low:.3g} to {high:.3g}) at event time {times.event_time[worst]}"),
            float(times.estimate[worst])),
    ]  # fmt: skip


def detectable_slope(times: EventTimes, *, conf_level: float, power: float) -> float:
    """Return the slope that some lead would show with the given probability.

    Args:
        times: The event times, at least one before the start.
        conf_level: Coverage of a lead's interval.
        power: The probability.

    Returns:
        The slope a period, above 0.

    Examples:
        >>> times = EventTimes(np.array([-2, 0]), np.zeros(2), np.eye(2))
        >>> round(detectable_slope(times, conf_level=0.95, power=0.8), 3)  # 1.96 + 0.84
        2.802
    """
    before = times.before
    error = np.sqrt(np.diag(times.covariance)[before])
    correlation = times.covariance[np.ix_(before, before)] / np.outer(error, error)
    # Few clusters leave fewer dimensions than leads; what is added is beyond any digit shown.
    root = np.linalg.cholesky(correlation + _JITTER * np.eye(len(error)))
    drift = (times.event_time[before] + 1) / error
    limit = float(norm.ppf((1 + conf_level) / 2))

    def short(slope: float) -> float:
        return 1 - chance_inside(slope * drift, root, limit) - power

    # What the best lead needs alone is enough for all of them together.
    most = 1.001 * (limit + max(float(norm.ppf(power)), 0.0)) / float(np.abs(drift).max())
    return float(brentq(short, 0, most, xtol=1e-9 * most)) if short(0) < 0 else 0.0


def chance_inside(mean: np.ndarray, root: np.ndarray, limit: float) -> float:
    """Return the chance that normal numbers all lie between -limit and limit.

    Genz, J Computational and Graphical Statistics 1992;1:141: one number after another, each given
    those before it, integrated over a fixed set of well-spread points.

    Args:
        mean: Of the numbers.
        root: Lower triangle whose product with its transpose is their covariance.
        limit: Above 0.

    Returns:
        The probability.

    Examples:
        >>> round(chance_inside(np.zeros(2), np.eye(2), 1.959964), 6)  # 0.95 x 0.95
        0.9025
    """
    n = len(root)
    points = np.full((1, 0), 0.5)
    if n > 1:
        sobol = qmc.Sobol(n - 1, rng=np.random.default_rng(_SEED))
        points = sobol.random_base2(_LOG_POINTS)
    drawn = np.empty((len(points), n))
    chance = np.ones(len(points))
    for i in range(n):
        centre = mean[i] + drawn[:, :i] @ root[i, :i]
        low = ndtr((-limit - centre) / root[i, i])
        width = ndtr((limit - centre) / root[i, i]) - low
        chance *= width
        if i < n - 1:
            drawn[:, i] = ndtri(np.clip(low + points[:, i] * width, 1e-300, 1 - 1e-16))
    return float(chance.mean())
