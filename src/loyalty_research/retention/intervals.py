"""Intervals of shares."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm


def wilson_interval(
    count: np.ndarray, n: np.ndarray, *, conf_level: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return Wilson's score interval of a share, which stays within 0 and 1.

    Wilson, JASA 1927;22:209.

    Args:
        count: How many have the property.
        n: Out of how many; 0 gives a missing interval.
        conf_level: Coverage.

    Returns:
        Lower and upper limits.

    Examples:
        >>> low, high = wilson_interval(np.array([8]), np.array([10]), conf_level=0.95)
        >>> round(low.item(), 4), round(high.item(), 4)
        (0.4902, 0.9433)
    """
    z2 = norm.ppf((1 + conf_level) / 2) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.asarray(count, float) / np.asarray(n, float)
        centre = share + z2 / (2 * n)
        half = np.sqrt(z2 * (share * (1 - share) + z2 / (4 * n)) / n)
        low, high = (centre - half) / (1 + z2 / n), (centre + half) / (1 + z2 / n)
    # Rounding must not push the limits of 0 and n past the share itself.
    return np.where(share == 0, 0.0, low), np.where(share == 1, 1.0, high)
