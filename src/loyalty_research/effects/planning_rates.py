"""How many patients or clinics show a ratio between two rates of events."""

from __future__ import annotations

import math

import pandas as pd

from loyalty_research.data.arguments import check_share
from loyalty_research.effects.planning_core import (
    Contrast,
    Layout,
    check_layout,
    check_number,
    detectable,
    power_table,
    size_table,
)

METHOD = "log rate ratio, negative binomial"
_FAR = 1e6
"""Ratios beyond which no effect on a rate is looked for."""


def sample_size_rates(
    *,
    control: float,
    treated: float,
    exposure: float = 1,
    dispersion: float = 0,
    alpha: float = 0.05,
    power: float = 0.8,
    ratio: float = 1,
    cluster_size: float = 1,
    icc: float = 0,
    cluster_cv: float = 0,
) -> pd.DataFrame:
    """Return the patients that each arm needs to show a ratio between two rates.

    Args:
        control: Events for each unit of time without the programme.
        treated: Events for each unit of time with it.
        exposure: Time that a patient is followed, in that unit.
        dispersion: By how much counts vary more than Poisson's: a patient's events have variance
            mean + dispersion x mean^2.
        alpha: Two-sided level of the test.
        power: Probability of a significant result if the rates are as given.
        ratio: Treated patients for each control patient.
        cluster_size: Patients in a cluster, where clinics are assigned and not patients.
        icc: Intracluster correlation of the outcome.
        cluster_cv: Coefficient of variation of cluster sizes.

    Returns:
        One row an arm as `sample_size` returns them.

    Raises:
        UsageError: A rate that is not above 0, equal rates, a number out of its range.

    References:
        Zhu and Lakkis, Stat Med 2014;33:376, their second variance (the true rates).

    Examples:
        >>> sample_size_rates(control=0.8, treated=0.68, exposure=0.75,
        ...     dispersion=0.4)["n"].tolist()
        [1316, 1316]
    """
    layout = check_layout(ratio, cluster_size, icc, cluster_cv)
    contrast = _contrast(control, treated, exposure, dispersion, layout)
    return size_table(contrast, layout, alpha=alpha, power=power, method=METHOD)


def power_rates(
    *,
    control: float,
    treated: float,
    n: float,
    exposure: float = 1,
    dispersion: float = 0,
    alpha: float = 0.05,
    ratio: float = 1,
    cluster_size: float = 1,
    icc: float = 0,
    cluster_cv: float = 0,
) -> pd.DataFrame:
    """Return how likely a study of this size shows a ratio between two rates.

    Args:
        control: Events for each unit of time without the programme.
        treated: Events for each unit of time with it.
        n: Control patients; the other arm has `ratio` times as many.
        exposure: Time that a patient is followed, in that unit.
        dispersion: As for `sample_size_rates`.
        alpha: Two-sided level of the test.
        ratio: Treated patients for each control patient.
        cluster_size: Patients in a cluster, where clinics are assigned and not patients.
        icc: Intracluster correlation of the outcome.
        cluster_cv: Coefficient of variation of cluster sizes.

    Returns:
        One row as `power` returns it.

    Raises:
        UsageError: A rate that is not above 0, a number out of its range, two clusters or fewer.

    References:
        As `sample_size_rates`.

    Examples:
        >>> power_rates(control=4, treated=5, n=100, dispersion=0.5)["estimate"].round(3).item()
        0.457
    """
    layout = check_layout(ratio, cluster_size, icc, cluster_cv)
    contrast = _contrast(control, treated, exposure, dispersion, layout)
    return power_table(contrast, layout, n=n, alpha=alpha, method=METHOD)


def detectable_rate_ratio(
    *,
    control: float,
    n: float,
    exposure: float = 1,
    dispersion: float = 0,
    alpha: float = 0.05,
    power: float = 0.8,
    ratio: float = 1,
    cluster_size: float = 1,
    icc: float = 0,
    cluster_cv: float = 0,
) -> pd.DataFrame:
    """Return the rate ratio nearest to 1 that a study of this size shows.

    Args:
        control: Events for each unit of time without the programme.
        n: Control patients.
        exposure: Time that a patient is followed, in that unit.
        dispersion: As for `sample_size_rates`.
        alpha: Two-sided level of the test.
        power: Probability of a significant result.
        ratio: Treated patients for each control patient.
        cluster_size: Patients in a cluster.
        icc: Intracluster correlation of the outcome.
        cluster_cv: Coefficient of variation of cluster sizes.

    Returns:
        Two rows, `direction` "higher" and "lower": `treated` (the rate), `estimate` (the ratio),
        `n_control, alpha, power, method`; missing where no ratio is extreme enough.

    Raises:
        UsageError: A number out of its range.

    References:
        As `sample_size_rates`, solved for the treated rate.

    Examples:
        >>> detectable_rate_ratio(control=4, n=100, dispersion=0.5)["estimate"].round(3).tolist()
        [1.398, 0.701]
    """
    check_share(power, name="power")
    check_share(alpha, name="alpha")
    check_number(n, name="n", least=0, above=True)
    layout = check_layout(ratio, cluster_size, icc, cluster_cv)
    rows = []
    for direction, far in (("higher", math.log(_FAR)), ("lower", -math.log(_FAR))):
        found = detectable(
            lambda log: _contrast(control, control * math.exp(log), exposure, dispersion, layout),
            layout, n=n, alpha=alpha, power=power, near=0.0, far=far,
        )  # fmt: skip
        found_ratio = math.exp(found)
        rows.append(
            {"direction": direction, "treated": control * found_ratio, "estimate": found_ratio}
        )
    return pd.DataFrame(rows).assign(n_control=float(n), alpha=alpha, power=power, method=METHOD)


def _contrast(
    control: float, treated: float, exposure: float, dispersion: float, layout: Layout
) -> Contrast:
    """Return the contrast of two log rates; a log mean varies by 1/mean + dispersion."""
    check_number(control, name="control", least=0, above=True)
    check_number(treated, name="treated", least=0, above=True)
    check_number(exposure, name="exposure", least=0, above=True)
    check_number(dispersion, name="dispersion", least=0)
    one = 1 / (control * exposure) + dispersion
    other = (1 / (treated * exposure) + dispersion) / layout.ratio
    return Contrast(math.log(treated / control), one + other, one + other)
