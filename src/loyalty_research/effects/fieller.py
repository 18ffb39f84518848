"""The confidence set of a ratio of two means, which need not be an interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

KINDS = ("interval", "outside", "everything")


@dataclass(frozen=True)
class FiellerSet:
    """The ratios that a test does not reject.

    Attributes:
        kind: "interval": from `low` to `high`; "outside": all at or below `low` and all at or above
            `high`; "everything": no ratio is rejected.
        low: Its lower number; missing where the set is everything.
        high: Its upper number.
    """

    kind: str
    low: float
    high: float


def fieller_set(
    top: float,
    bottom: float,
    *,
    var_top: float,
    var_bottom: float,
    covariance: float,
    critical: float,
) -> FiellerSet:
    """Return the ratios r for which top - r bottom does not differ from 0.

    Args:
        top: Estimate above the line.
        bottom: Estimate below it.
        var_top: Variance of the one.
        var_bottom: Variance of the other.
        covariance: Their covariance.
        critical: Quantile that the test's statistic is held against, such as 1.96.

    Returns:
        The set. It is an interval just where `bottom` itself differs from 0.

    References:
        Fieller, J R Stat Soc B 1954;16:175; Willan and O'Brien, Health Econ 1996;5:297.

    Examples:
        >>> found = fieller_set(10.0, 5.0, var_top=1.0, var_bottom=0.25, covariance=0.0,
        ...     critical=2.0)
        >>> found.kind, round(found.low, 4), round(found.high, 4)
        ('interval', 1.5, 2.6667)
        >>> fieller_set(1.0, 0.1, var_top=1.0, var_bottom=1.0, covariance=0.0, critical=2.0).kind
        'everything'
    """
    squared = critical**2
    a = bottom**2 - squared * var_bottom
    half = top * bottom - squared * covariance
    c = top**2 - squared * var_top
    inside = half**2 - a * c
    if a > 0 and inside <= 0:
        return FiellerSet("interval", half / a, half / a)
    if inside <= 0 or a == 0:
        # Then a is not above 0: at r = top / bottom the difference is 0, which is never rejected.
        return FiellerSet("everything", math.nan, math.nan)
    # The root that is far from 0 first: the other by division, so that nothing cancels.
    far = half + math.copysign(math.sqrt(inside), half)
    roots = sorted([far / a, c / far])
    return FiellerSet("interval" if a > 0 else "outside", roots[0], roots[1])
