"""How many events, and so patients, show a ratio between two hazards."""

from __future__ import annotations

import math

import pandas as pd
from scipy.stats import norm

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

METHOD = "log-rank test, Schoenfeld's events"
_FAR = 1e4
"""Ratios beyond which no effect on a hazard is looked for."""


def share_with_event(
    *, rate: float, follow_up: float, accrual: float = 0, loss_rate: float = 0
) -> float:
    """Return the share of patients whose event is seen, at a constant rate.

    Args:
        rate: Events for each unit of time of a patient at risk.
        follow_up: Time that the last patient to enter is followed, in that unit.
        accrual: Time over which patients enter evenly; the first is followed this much longer.
        loss_rate: Patients lost to follow-up for each unit of time at risk.

    Returns:
        The share.

    Raises:
        UsageError: A number out of its range.

    References:
        Lachin and Foulkes, Biometrics 1986;42:507.

    Examples:
        >>> round(share_with_event(rate=0.5, follow_up=2), 4)  # 1 - exp(-1)
        0.6321
        >>> round(share_with_event(rate=0.5, follow_up=2, accrual=1, loss_rate=0.1), 4)
        0.6446
    """
    check_number(rate, name="rate", least=0, above=True)
    check_number(follow_up, name="follow_up", least=0, above=accrual == 0)
    check_number(accrual, name="accrual", least=0)
    check_number(loss_rate, name="loss_rate", least=0)
    out = rate + loss_rate
    still = math.exp(-out * follow_up)
    if accrual > 0:
        still *= -math.expm1(-out * accrual) / (out * accrual)
    return rate / out * (1 - still)


def sample_size_survival(
    *,
    hazard_ratio: float,
    control: float,
    treated: float | None = None,
    alpha: float = 0.05,
    power: float = 0.8,
    ratio: float = 1,
    cluster_size: float = 1,
    icc: float = 0,
    cluster_cv: float = 0,
) -> pd.DataFrame:
    """Return the events and patients that each arm needs to show a hazard ratio.

    Args:
        hazard_ratio: Treated over control, above 0 and not 1.
        control: Share of control patients whose event is seen, as `share_with_event` returns it.
        treated: The same with the programme; by default 1 - (1 - control)^hazard_ratio, which
            holds where all are followed equally long.
        alpha: Two-sided level of the test.
        power: Probability of a significant result if the ratio is as given.
        ratio: Treated patients for each control patient.
        cluster_size: Patients in a cluster, where clinics are assigned and not patients.
        icc: Intracluster correlation of the outcome.
        cluster_cv: Coefficient of variation of cluster sizes.

    Returns:
        One row an arm as `sample_size` returns them, with `n_events` expected in the arm before
        rounding and `n_events_total`, Schoenfeld's number times the design effect.

    Raises:
        UsageError: A ratio that is not above 0 or is 1, a share not between 0 and 1.

    References:
        Schoenfeld, Biometrics 1983;39:499.

    Examples:
        >>> table = sample_size_survival(hazard_ratio=0.5, control=0.4)
        >>> table["n_events_total"].round(2).tolist(), table["n"].tolist()
        ([65.35, 65.35], [105, 105])
    """
    layout = check_layout(ratio, cluster_size, icc, cluster_cv)
    shares = _shares(hazard_ratio, control, treated)
    contrast = _contrast(hazard_ratio, shares, layout)
    table = size_table(contrast, layout, alpha=alpha, power=power, method=METHOD)
    z = norm.ppf(1 - alpha / 2) + norm.ppf(power)
    events = z**2 * (1 + ratio) ** 2 / (ratio * math.log(hazard_ratio) ** 2)
    table.insert(3, "n_events", table["estimate"] * list(shares))
    table.insert(4, "n_events_total", events * layout.design_effect)
    return table


def power_survival(
    *,
    hazard_ratio: float,
    control: float,
    n: float,
    treated: float | None = None,
    alpha: float = 0.05,
    ratio: float = 1,
    cluster_size: float = 1,
    icc: float = 0,
    cluster_cv: float = 0,
) -> pd.DataFrame:
    """Return how likely a study of this size shows a hazard ratio.

    Args:
        hazard_ratio: Treated over control, above 0.
        control: Share of control patients whose event is seen.
        n: Control patients; the other arm has `ratio` times as many.
        treated: The same share with the programme, as for `sample_size_survival`.
        alpha: Two-sided level of the test.
        ratio: Treated patients for each control patient.
        cluster_size: Patients in a cluster, where clinics are assigned and not patients.
        icc: Intracluster correlation of the outcome.
        cluster_cv: Coefficient of variation of cluster sizes.

    Returns:
        One row as `power` returns it.

    Raises:
        UsageError: A number out of its range, two clusters or fewer.

    References:
        Schoenfeld, Biometrics 1983;39:499.

    Examples:
        >>> power_survival(hazard_ratio=0.5, control=0.4, n=105)["estimate"].round(3).item()
        0.802
    """
    layout = check_layout(ratio, cluster_size, icc, cluster_cv)
    contrast = _contrast(hazard_ratio, _shares(hazard_ratio, control, treated), layout)
    return power_table(contrast, layout, n=n, alpha=alpha, method=METHOD)


def detectable_hazard_ratio(
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
    """Return the hazard ratio nearest to 1 that a study of this size shows.

    Args:
        control: Share of control patients whose event is seen, all followed equally long.
        n: Control patients.
        alpha: Two-sided level of the test.
        power: Probability of a significant result.
        ratio: Treated patients for each control patient.
        cluster_size: Patients in a cluster.
        icc: Intracluster correlation of the outcome.
        cluster_cv: Coefficient of variation of cluster sizes.

    Returns:
        Two rows, `direction` "higher" and "lower": `estimate` (the ratio), `n_control, alpha,
        power, method`; missing where no ratio is extreme enough.

    Raises:
        UsageError: A number out of its range.

    References:
        Schoenfeld, Biometrics 1983;39:499, solved for the ratio.

    Examples:
        >>> detectable_hazard_ratio(control=0.4, n=105)["estimate"].round(3).tolist()
        [1.734, 0.501]
    """
    check_share(power, name="power")
    check_share(alpha, name="alpha")
    check_number(n, name="n", least=0, above=True)
    layout = check_layout(ratio, cluster_size, icc, cluster_cv)
    rows = []
    for direction, far in (("higher", math.log(_FAR)), ("lower", -math.log(_FAR))):
        found = detectable(
            lambda log: _contrast(math.exp(log), _shares(math.exp(log), control, None), layout),
            layout, n=n, alpha=alpha, power=power, near=0.0, far=far,
        )  # fmt: skip
        rows.append({"direction": direction, "estimate": math.exp(found)})
    return pd.DataFrame(rows).assign(n_control=float(n), alpha=alpha, power=power, method=METHOD)


def _shares(hazard_ratio: float, control: float, treated: float | None) -> tuple[float, float]:
    check_number(hazard_ratio, name="hazard_ratio", least=0, above=True)
    check_share(control, name="control")
    if treated is None:
        return control, -math.expm1(hazard_ratio * math.log1p(-control))
    return control, check_share(treated, name="treated")


def _contrast(hazard_ratio: float, shares: tuple[float, float], layout: Layout) -> Contrast:
    """Return the contrast of log hazards.

    Schoenfeld's variance is one over the events times the shares of patients in either arm; the
    events of a study are the patients of each arm times their share with an event.
    """
    r = layout.ratio
    events = shares[0] + r * shares[1]
    variance = (1 + r) ** 2 / (r * events)
    return Contrast(math.log(hazard_ratio), variance, variance)
