"""How many patients or clinics show a difference between two means, and what a baseline saves."""

from __future__ import annotations

import math

import pandas as pd

from loyalty_research.data.arguments import check_share, check_whole
from loyalty_research.effects.planning_core import (
    Contrast,
    Layout,
    check_layout,
    check_number,
    detectable,
    power_table,
    size_table,
)
from loyalty_research.errors import UsageError

METHOD = "two means, Student's t"
_FAR = 1e3
"""Standard deviations beyond which no difference between means is looked for."""


def repeated_measures_factor(*, correlation: float, n_before: int = 0, n_after: int = 1) -> float:
    """Return what is left of an outcome's variance if it is measured more than once.

    The mean of the measurements after is compared, adjusted for the mean of those before.

    Args:
        correlation: Between two measurements of one patient, from 0 to below 1.
        n_before: Measurements of each patient before the programme; 1 makes it ANCOVA.
        n_after: Measurements after.

    Returns:
        The factor by which variance and sample size shrink; 1 means no gain.

    Raises:
        UsageError: A correlation out of its range, no measurement after.

    References:
        Frison and Pocock, Stat Med 1992;11:1685.

    Examples:
        >>> round(repeated_measures_factor(correlation=0.6, n_before=1), 2)  # ANCOVA: 1 - 0.6^2
        0.64
    """
    r = check_number(correlation, name="correlation", least=0, most=1)
    before = check_whole(n_before, name="n_before")
    after = check_whole(n_after, name="n_after", minimum=1)
    if r == 1:
        raise UsageError("correlation=1 leaves nothing that a programme could change")
    explained = before * r**2 / (1 + (before - 1) * r) if before else 0.0
    return (1 + (after - 1) * r) / after - explained


def sample_size_means(
    *,
    difference: float,
    sd: float,
    alpha: float = 0.05,
    power: float = 0.8,
    ratio: float = 1,
    cluster_size: float = 1,
    icc: float = 0,
    cluster_cv: float = 0,
    factor: float = 1,
) -> pd.DataFrame:
    """Return the patients that each arm needs to show a difference between two means.

    Args:
        difference: Treated less control, in the outcome's unit.
        sd: Standard deviation of the outcome among patients of an arm.
        alpha: Two-sided level of the test.
        power: Probability of a significant result if the difference is as given.
        ratio: Treated patients for each control patient.
        cluster_size: Patients in a cluster, where clinics are assigned and not patients.
        icc: Intracluster correlation of the outcome.
        cluster_cv: Coefficient of variation of cluster sizes.
        factor: What is left of the variance, as `repeated_measures_factor` returns it.

    Returns:
        One row an arm as `sample_size` returns them.

    Raises:
        UsageError: No difference, a number out of its range.

    References:
        The noncentral t distribution, as R's `power.t.test`; clusters by Eldridge, Ashby and
        Kerry, Int J Epidemiol 2006;35:1292.

    Examples:
        >>> sample_size_means(difference=5, sd=15)["n"].tolist()
        [143, 143]
        >>> gain = repeated_measures_factor(correlation=0.6, n_before=1)
        >>> sample_size_means(difference=5, sd=15, factor=gain)["n"].tolist()
        [92, 92]
    """
    layout = check_layout(ratio, cluster_size, icc, cluster_cv)
    contrast = _contrast(difference, sd, factor, layout)
    return size_table(contrast, layout, alpha=alpha, power=power, method=METHOD)


def power_means(
    *,
    difference: float,
    sd: float,
    n: float,
    alpha: float = 0.05,
    ratio: float = 1,
    cluster_size: float = 1,
    icc: float = 0,
    cluster_cv: float = 0,
    factor: float = 1,
) -> pd.DataFrame:
    """Return how likely a study of this size shows a difference between two means.

    Args:
        difference: Treated less control, in the outcome's unit.
        sd: Standard deviation of the outcome among patients of an arm.
        n: Control patients; the other arm has `ratio` times as many.
        alpha: Two-sided level of the test.
        ratio: Treated patients for each control patient.
        cluster_size: Patients in a cluster, where clinics are assigned and not patients.
        icc: Intracluster correlation of the outcome.
        cluster_cv: Coefficient of variation of cluster sizes.
        factor: What is left of the variance, as `repeated_measures_factor` returns it.

    Returns:
        One row as `power` returns it.

    Raises:
        UsageError: A number out of its range, two clusters or fewer.

    References:
        As `sample_size_means`.

    Examples:
        >>> power_means(difference=1, sd=1, n=20)["estimate"].round(4).item()
        0.869
    """
    layout = check_layout(ratio, cluster_size, icc, cluster_cv)
    contrast = _contrast(difference, sd, factor, layout)
    return power_table(contrast, layout, n=n, alpha=alpha, method=METHOD)


def detectable_mean_difference(
    *,
    sd: float,
    n: float,
    alpha: float = 0.05,
    power: float = 0.8,
    ratio: float = 1,
    cluster_size: float = 1,
    icc: float = 0,
    cluster_cv: float = 0,
    factor: float = 1,
) -> pd.DataFrame:
    """Return the smallest difference between two means that a study of this size shows.

    Args:
        sd: Standard deviation of the outcome among patients of an arm.
        n: Control patients.
        alpha: Two-sided level of the test.
        power: Probability of a significant result.
        ratio: Treated patients for each control patient.
        cluster_size: Patients in a cluster.
        icc: Intracluster correlation of the outcome.
        cluster_cv: Coefficient of variation of cluster sizes.
        factor: What is left of the variance, as `repeated_measures_factor` returns it.

    Returns:
        One row: `estimate` (the difference, in either direction), `n_control, alpha, power,
        method`.

    Raises:
        UsageError: A number out of its range.

    References:
        As `sample_size_means`, solved for the difference.

    Examples:
        >>> detectable_mean_difference(sd=15, n=143)["estimate"].round(2).item()
        4.99
    """
    check_share(power, name="power")
    check_share(alpha, name="alpha")
    check_number(n, name="n", least=0, above=True)
    layout = check_layout(ratio, cluster_size, icc, cluster_cv)
    spread = check_number(sd, name="sd", least=0, above=True)
    found = detectable(
        lambda value: _contrast(value, sd, factor, layout), layout, n=n, alpha=alpha, power=power,
        near=0.0, far=_FAR * spread,
    )  # fmt: skip
    row = {"estimate": found, "n_control": float(n), "alpha": alpha, "power": power}
    return pd.DataFrame([{**row, "method": METHOD}])


def _contrast(difference: float, sd: float, factor: float, layout: Layout) -> Contrast:
    check_number(difference, name="difference")
    check_number(sd, name="sd", least=0, above=True)
    check_number(factor, name="factor", least=0, above=True)
    variance = math.pow(sd, 2) * factor * (1 + 1 / layout.ratio)
    return Contrast(difference, variance, variance, exact_t=True)
