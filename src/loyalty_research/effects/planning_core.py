"""What every plan of a two-arm study shares: sizes from a power, power from a size, clusters.

A contrast between arms is a difference with its variance per control patient, once as the test
takes it when there is no effect and once as it is under the effect that is hoped for. A test at
level alpha then needs

    n = D (z_(1-alpha/2) sqrt(V_null) + z_power sqrt(V_effect))^2 / difference^2

control patients (Chow, Shao, Wang and Lokhnygina, Sample Size Calculations in Clinical Research,
2018, chapter 4), where D is the design effect of clusters. As in R's `power.prop.test`, the chance
of a significant result in the wrong direction is left out.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.stats import nct, norm
from scipy.stats import t as student

from loyalty_research.data.arguments import check_share
from loyalty_research.errors import UsageError

_MOST = 1e12
"""Patients beyond which no study is planned."""
_NEAREST, _STEPS = 1e-9, 600
"""The smallest effect looked for, as a share of the largest, and in how many steps."""


@dataclass(frozen=True)
class Contrast:
    """A difference between arms with what it varies by.

    Attributes:
        difference: Treated less control, on the scale of the test.
        null: Variance of the estimate times the control patients, as the test takes it.
        effect: The same under the difference.
        exact_t: The test is Student's on patients, as for a mean.
    """

    difference: float
    null: float
    effect: float
    exact_t: bool = False


@dataclass(frozen=True)
class Layout:
    """How patients are spread over arms and clusters.

    Attributes:
        ratio: Treated patients for each control patient.
        cluster_size: Patients in a cluster on average.
        icc: Intracluster correlation of the outcome.
        cluster_cv: Coefficient of variation of cluster sizes.
    """

    ratio: float = 1.0
    cluster_size: float = 1.0
    icc: float = 0.0
    cluster_cv: float = 0.0

    @property
    def design_effect(self) -> float:
        """By how much clusters multiply the patients that are needed."""
        return cluster_design_effect(
            cluster_size=self.cluster_size, icc=self.icc, cluster_cv=self.cluster_cv
        )


def cluster_design_effect(*, cluster_size: float, icc: float, cluster_cv: float = 0) -> float:
    """Return by how much assigning clusters multiplies the patients that are needed.

    Args:
        cluster_size: Patients in a cluster on average, at least 1.
        icc: Intracluster correlation of the outcome, from 0 to 1.
        cluster_cv: Standard deviation of cluster sizes over their mean, 0 where all are alike.

    Returns:
        1 + ((cv^2 + 1) m - 1) icc; never below 1.

    Raises:
        UsageError: A number out of its range.

    References:
        Eldridge, Ashby and Kerry, Int J Epidemiol 2006;35:1292.

    Examples:
        >>> cluster_design_effect(cluster_size=21, icc=0.05)
        2.0
        >>> cluster_design_effect(cluster_size=21, icc=0.05, cluster_cv=0.5)
        2.2625
    """
    check_number(cluster_size, name="cluster_size", least=1)
    check_number(cluster_cv, name="cluster_cv", least=0)
    check_number(icc, name="icc", least=0, most=1)
    # Patients who are clusters of their own have nobody to be like, whatever is said of the icc.
    return max(1.0, 1 + ((cluster_cv**2 + 1) * cluster_size - 1) * icc)


def check_number(
    value: object, *, name: str, least: float = -math.inf, most: float = math.inf,
    above: bool = False,
) -> float:  # fmt: skip
    """Return a finite number within its bounds.

    Args:
        value: What the user gave.
        name: The argument's name, for the message.
        least: The lowest number that makes sense.
        most: The highest.
        above: The lowest itself makes no sense.

    Returns:
        The number as a float.

    Raises:
        UsageError: It is no number, or out of bounds.

    Examples:
        >>> check_number(0.05, name="icc", least=0, most=1)
        0.05
    """
    good = isinstance(value, numbers.Real) and not isinstance(value, bool)
    number = float(value) if good else math.nan  # type: ignore[arg-type]
    inside = (least < number if above else least <= number) and number <= most
    if not inside or not math.isfinite(number):
        low = f"above {least:g}" if above else f"at least {least:g}"
        bounds = [low] if math.isfinite(least) else []
        bounds += [f"at most {most:g}"] if math.isfinite(most) else []
        raise UsageError(f"{name}={value!r} must be a number{', ' * bool(bounds)}"
                         + " and ".join(bounds))  # fmt: skip
    return number


def check_layout(ratio: float, cluster_size: float, icc: float, cluster_cv: float) -> Layout:
    """Return how patients are spread, after checking each number.

    Args:
        ratio: Treated patients for each control patient.
        cluster_size: Patients in a cluster on average.
        icc: Intracluster correlation.
        cluster_cv: Coefficient of variation of cluster sizes.

    Returns:
        The layout.

    Raises:
        UsageError: A number out of its range; a correlation within clusters of unknown size.

    Examples:
        >>> check_layout(1, 21, 0.05, 0).design_effect
        2.0
    """
    check_number(ratio, name="ratio", least=0, above=True)
    layout = Layout(ratio, cluster_size, icc, cluster_cv)
    _ = layout.design_effect
    # A cluster of one patient leaves the correlation without a say, which nobody means.
    if cluster_size == 1 and (icc > 0 or cluster_cv > 0):
        named = f"icc={icc:g}" if icc > 0 else f"cluster_cv={cluster_cv:g}"
        raise UsageError(f"{named} needs cluster_size=, the patients in a cluster on average")
    return layout


# --- size and power -------------------------------------------------------------------------------


def size_table(
    contrast: Contrast, layout: Layout, *, alpha: float, power: float, method: str
) -> pd.DataFrame:
    """Return the patients and clusters that each arm needs.

    Args:
        contrast: The difference and its variances.
        layout: Arms and clusters.
        alpha: Two-sided level of the test.
        power: Probability of a significant result.
        method: In words.

    Returns:
        One row an arm, control first: `arm, estimate` (patients before rounding up), `n`,
        `n_clusters`, `n_clusters_t` (read with Student's t on clusters), `design_effect, alpha,
        power, method`.

    Raises:
        UsageError: No difference, or levels that are no shares.

    Examples:
        >>> table = size_table(Contrast(1.0, 2.0, 2.0), Layout(), alpha=0.05, power=0.8, method="")
        >>> table["n"].tolist()
        [16, 16]
    """
    check_share(alpha, name="alpha")
    check_share(power, name="power")
    if not power > alpha / 2:
        raise UsageError(f"power={power} is not above alpha/2; that much comes by chance")
    control = patients_needed(contrast, layout, alpha=alpha, power=power)
    by_t = _clusters_by_t(contrast, layout, alpha=alpha, power=power)
    # The t-test of clusters has no pooled variance, which may let it seem to need a few less.
    by_t = max(by_t, control / layout.cluster_size)
    rows = [
        {
            "arm": arm,
            "estimate": control * times,
            "n": round_up(control * times),
            "n_clusters": round_up(control * times / layout.cluster_size),
            "n_clusters_t": round_up(by_t * times),
            "design_effect": layout.design_effect,
            "alpha": alpha,
            "power": power,
            "method": method,
        }
        for arm, times in (("control", 1.0), ("treated", float(layout.ratio)))
    ]
    return pd.DataFrame(rows)


def patients_needed(contrast: Contrast, layout: Layout, *, alpha: float, power: float) -> float:
    """Return the control patients needed, before rounding up.

    Args:
        contrast: The difference and its variances.
        layout: Arms and clusters.
        alpha: Two-sided level of the test.
        power: Probability of a significant result.

    Returns:
        Patients.

    Raises:
        UsageError: The arms do not differ.

    Examples:
        >>> round(patients_needed(Contrast(1.0, 2.0, 2.0), Layout(), alpha=0.05, power=0.8), 3)
        15.698
    """
    if contrast.difference == 0:
        raise UsageError("the arms do not differ; no number of patients shows that they do")
    if contrast.exact_t:
        # One degree of freedom is the least that a t-test has.
        lowest = 3 / (1 + layout.ratio)
        return layout.design_effect * _solve(
            lambda n: _t_power(contrast, n, n * (1 + layout.ratio) - 2, alpha) - power, lowest
        )
    z = norm.ppf(1 - alpha / 2) * math.sqrt(contrast.null)
    z += norm.ppf(power) * math.sqrt(contrast.effect)
    return float(layout.design_effect * (z / contrast.difference) ** 2)


def power_of(contrast: Contrast, layout: Layout, *, n: float, alpha: float) -> tuple[float, float]:
    """Return the power of a test with so many control patients.

    Args:
        contrast: The difference and its variances.
        layout: Arms and clusters.
        n: Control patients.
        alpha: Two-sided level of the test.

    Returns:
        Power as for many clusters, and with Student's t on clusters less two.

    Examples:
        >>> power_of(Contrast(1.0, 2.0, 2.0), Layout(), n=16, alpha=0.05)
        (0.8074..., 0.7813...)
    """
    worth = n / layout.design_effect
    clusters = n * (1 + layout.ratio) / layout.cluster_size
    by_t = _t_power(contrast, worth, clusters - 2, alpha)
    if contrast.exact_t:
        return _t_power(contrast, worth, worth * (1 + layout.ratio) - 2, alpha), by_t
    z = abs(contrast.difference) * math.sqrt(worth)
    z -= norm.ppf(1 - alpha / 2) * math.sqrt(contrast.null)
    return float(norm.cdf(z / math.sqrt(contrast.effect))), by_t


def power_table(
    contrast: Contrast, layout: Layout, *, n: float, alpha: float, method: str
) -> pd.DataFrame:
    """Return the power of a study as one row.

    Args:
        contrast: The difference and its variances.
        layout: Arms and clusters.
        n: Control patients.
        alpha: Two-sided level of the test.
        method: In words.

    Returns:
        `estimate` (power), `estimate_t` (read with Student's t on clusters), `n_control,
        n_treated, n_clusters_control, n_clusters_treated, design_effect, alpha, method`.

    Raises:
        UsageError: Fewer than two clusters or patients to compare.

    Examples:
        >>> table = power_table(Contrast(1.0, 2.0, 2.0), Layout(), n=16, alpha=0.05, method="")
        >>> table["estimate"].round(3).item()
        0.807
    """
    check_share(alpha, name="alpha")
    check_number(n, name="n", least=0, above=True)
    clusters = n / layout.cluster_size
    if clusters * (1 + layout.ratio) < 3:
        found = f"n={n:g} makes {clusters:.3g} control clusters of {layout.cluster_size:g}"
        raise UsageError(f"{found}; fewer than three in all leave nothing to judge chance by")
    estimate, by_t = power_of(contrast, layout, n=n, alpha=alpha)
    row = {
        "estimate": estimate,
        "estimate_t": by_t,
        "n_control": float(n),
        "n_treated": float(n * layout.ratio),
        "n_clusters_control": clusters,
        "n_clusters_treated": clusters * layout.ratio,
        "design_effect": layout.design_effect,
        "alpha": alpha,
        "method": method,
    }
    return pd.DataFrame([row])


def detectable(
    contrast_of: Callable[[float], Contrast], layout: Layout, *, n: float, alpha: float,
    power: float, near: float, far: float,
) -> float:  # fmt: skip
    """Return the treated value that a study of this size shows with the power asked for.

    Args:
        contrast_of: The contrast for a treated value.
        layout: Arms and clusters.
        n: Control patients.
        alpha: Two-sided level of the test.
        power: Probability of a significant result.
        near: The treated value that means no effect.
        far: The most extreme treated value.

    Returns:
        The value; missing where even the most extreme is not shown.

    Examples:
        >>> round(detectable(lambda x: Contrast(x, 2.0, 2.0), Layout(), n=16, alpha=0.05, power=0.8,
        ...     near=0.0, far=9.0), 4)
        0.9905
    """

    def short(value: float) -> float:
        return power_of(contrast_of(value), layout, n=n, alpha=alpha)[0] - power

    # Power need not rise all the way: an extreme rate leaves few events. The nearest value counts.
    before = near + _NEAREST * (far - near)
    for step in np.geomspace(_NEAREST, 1, _STEPS)[1:]:
        value = near + step * (far - near)
        if short(value) >= 0:
            return float(brentq(short, before, value, xtol=1e-13, rtol=1e-13))
        before = value
    return math.nan


def power_in_errors(centre: float, df: float, alpha: float) -> float:
    """Return the power of Student's t against an effect of so many standard errors.

    Args:
        centre: The effect over its standard error.
        df: Degrees of freedom.
        alpha: Two-sided level of the test.

    Returns:
        The power; missing below one degree of freedom.

    Examples:
        >>> round(power_in_errors(2.8, 1000, 0.05), 3)
        0.799
    """
    if not df >= 1:
        return math.nan
    critical = student.ppf(1 - alpha / 2, df)
    exact = nct.sf(critical, df, centre)
    # Far out the noncentral law is not computed; a shifted t is then the same to all digits.
    return float(exact if math.isfinite(exact) else student.sf(critical - centre, df))


def effect_in_errors(power: float, df: float, alpha: float) -> float:
    """Return how many standard errors an effect must have for the power asked for.

    Args:
        power: Probability of a significant result, above half of alpha.
        df: Degrees of freedom.
        alpha: Two-sided level of the test.

    Returns:
        The effect over its standard error; missing below one degree of freedom.

    Raises:
        UsageError: A power that comes by chance, or no share.

    Examples:
        >>> round(effect_in_errors(0.8, 1000, 0.05), 3)
        2.804
    """
    check_share(power, name="power")
    if not power > alpha / 2:
        raise UsageError(f"power={power} is not above alpha/2; that much comes by chance")
    if not df >= 1:
        return math.nan
    return _solve(lambda centre: power_in_errors(centre, df, alpha) - power, 0.0)


def round_up(number: float) -> int:
    """Return the next whole number, a number that is whole but for rounding taken as it is.

    Args:
        number: Before rounding.

    Returns:
        The whole number.

    Examples:
        >>> round_up(12.2), round_up(12 + 1e-12)
        (13, 12)
    """
    return math.ceil(number - 1e-9 * max(1.0, abs(number)))


def _clusters_by_t(contrast: Contrast, layout: Layout, *, alpha: float, power: float) -> float:
    """Return the control clusters needed where Student's t on clusters is the test."""
    size, total = layout.cluster_size, 1 + layout.ratio

    def short(k: float) -> float:
        worth = k * size / layout.design_effect
        return _t_power(contrast, worth, k * total - 2, alpha) - power

    return _solve(short, 3 / total)


def _t_power(contrast: Contrast, n: float, df: float, alpha: float) -> float:
    centre = abs(contrast.difference) * math.sqrt(n / contrast.effect)
    return power_in_errors(centre, df, alpha)


def _solve(short: Callable[[float], float], lowest: float) -> float:
    """Return where a rising function crosses 0."""
    high = 2 * lowest + 2
    while short(high) < 0:
        high *= 2
        if high > _MOST:
            raise UsageError("the difference is so small that no study is large enough for it")
    return float(lowest if short(lowest) >= 0 else brentq(short, lowest, high, rtol=1e-13))
