"""How many patients or clinics show a difference between two shares, and how likely they do."""

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

METHOD = "two proportions, normal approximation"


def sample_size(
    *,
    control: float,
    treated: float,
    alpha: float = 0.05,
    power: float = 0.8,
    ratio: float = 1,
    cluster_size: float = 1,
    icc: float = 0,
    cluster_cv: float = 0,
) -> pd.DataFrame:
    """Return the patients that each arm needs to show a difference between two shares.

    Args:
        control: Share with the outcome without the programme, between 0 and 1.
        treated: Share with the outcome with it.
        alpha: Two-sided level of the test.
        power: Probability of a significant result if the shares are as given.
        ratio: Treated patients for each control patient.
        cluster_size: Patients in a cluster, where clinics are assigned and not patients.
        icc: Intracluster correlation of the outcome.
        cluster_cv: Coefficient of variation of cluster sizes.

    Returns:
        One row an arm, control first: `arm, estimate` (patients before rounding up), `n`,
        `n_clusters`, `n_clusters_t, design_effect, alpha, power, method`. Below some 20 clusters an
        arm plan with `n_clusters_t`, which allows for Student's t with clusters less two.

    Raises:
        UsageError: A share not between 0 and 1, equal shares, a number out of its range.

    References:
        Fleiss, Levin and Paik, Statistical Methods for Rates and Proportions, 2003, formula 4.14;
        clusters by Eldridge, Ashby and Kerry, Int J Epidemiol 2006;35:1292.

    Examples:
        >>> sample_size(control=0.3, treated=0.4)[["arm", "n"]].to_dict("split")["data"]
        [['control', 356], ['treated', 356]]
        >>> sample_size(control=0.3, treated=0.4, cluster_size=21, icc=0.05)["n_clusters"].tolist()
        [34, 34]
    """
    layout = check_layout(ratio, cluster_size, icc, cluster_cv)
    contrast = _contrast(_share(control, "control"), _share(treated, "treated"), layout)
    return size_table(contrast, layout, alpha=alpha, power=power, method=METHOD)


def power(
    *,
    control: float,
    treated: float,
    n: float,
    alpha: float = 0.05,
    ratio: float = 1,
    cluster_size: float = 1,
    icc: float = 0,
    cluster_cv: float = 0,
) -> pd.DataFrame:
    """Return how likely a study of this size shows a difference between two shares.

    Args:
        control: Share with the outcome without the programme, between 0 and 1.
        treated: Share with the outcome with it.
        n: Control patients; the other arm has `ratio` times as many.
        alpha: Two-sided level of the test.
        ratio: Treated patients for each control patient.
        cluster_size: Patients in a cluster, where clinics are assigned and not patients.
        icc: Intracluster correlation of the outcome.
        cluster_cv: Coefficient of variation of cluster sizes.

    Returns:
        One row: `estimate` (power), `estimate_t` (with Student's t on clusters less two),
        `n_control, n_treated, n_clusters_control, n_clusters_treated, design_effect, alpha,
        method`.

    Raises:
        UsageError: A share not between 0 and 1, a number out of its range, two clusters or fewer.

    References:
        As `sample_size`, solved for the power.

    Examples:
        >>> power(control=0.5, treated=0.75, n=50)["estimate"].round(3).item()
        0.74
    """
    layout = check_layout(ratio, cluster_size, icc, cluster_cv)
    contrast = _contrast(_share(control, "control"), _share(treated, "treated"), layout)
    return power_table(contrast, layout, n=n, alpha=alpha, method=METHOD)


def detectable_share(
    *,
    control: float,
    n: float,
    alpha: float = 0.05,
    power: float = 0.8,
    ratio: float = 1,
    cluster_size: float = 1,
    icc: float = 0,
    cluster_cv: float = 0,
) -> pd.DataFrame:
    """Return the smallest difference between two shares that a study of this size shows.

    Args:
        control: Share with the outcome without the programme, between 0 and 1.
        n: Control patients.
        alpha: Two-sided level of the test.
        power: Probability of a significant result.
        ratio: Treated patients for each control patient.
        cluster_size: Patients in a cluster.
        icc: Intracluster correlation of the outcome.
        cluster_cv: Coefficient of variation of cluster sizes.

    Returns:
        Two rows, `direction` "higher" and "lower": `treated` (the share), `estimate` (less the
        control share), `n_control, alpha, power, method`; missing where no share is extreme enough.

    Raises:
        UsageError: A number out of its range.

    References:
        As `sample_size`, solved for the treated share.

    Examples:
        >>> detectable_share(control=0.3, n=355.9428)["treated"].round(3).tolist()
        [0.4, 0.209]
    """
    check_share(power, name="power")
    check_share(alpha, name="alpha")
    check_number(n, name="n", least=0, above=True)
    layout = check_layout(ratio, cluster_size, icc, cluster_cv)
    base = _share(control, "control")
    rows = []
    for direction, far in (("higher", 1 - 1e-12), ("lower", 1e-12)):
        found = detectable(
            lambda value: _contrast(base, value, layout), layout, n=n, alpha=alpha, power=power,
            near=base, far=far,
        )  # fmt: skip
        rows.append({"direction": direction, "treated": found, "estimate": found - base})
    return pd.DataFrame(rows).assign(n_control=float(n), alpha=alpha, power=power, method=METHOD)


def _share(value: float, name: str) -> float:
    return check_share(value, name=name)


def _contrast(control: float, treated: float, layout: Layout) -> Contrast:
    """Return the contrast of two shares; without an effect both arms have their common share."""
    ratio = layout.ratio
    common = (control + ratio * treated) / (1 + ratio)
    null = common * (1 - common) * (1 + 1 / ratio)
    effect = control * (1 - control) + treated * (1 - treated) / ratio
    difference = treated - control
    # A difference that is only rounding is none.
    difference = 0.0 if math.isclose(treated, control, rel_tol=1e-12) else difference
    return Contrast(difference, null, effect)
