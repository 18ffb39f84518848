"""Intervals of a difference and of a ratio of two independent proportions, and what they mean."""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

_NOTHING = 1e-12
"""Difference of shares below which there is none."""
_FAR = 60.0
"""Log of a ratio beyond which no two proportions of patients lie."""


def wilson_interval(events: int, n: int, *, conf_level: float = 0.95) -> tuple[float, float]:
    """Return the score interval of one proportion.

    Wilson, J Am Stat Assoc 1927;22:209.

    Args:
        events: Patients with the event.
        n: Patients.
        conf_level: Coverage.

    Returns:
        Lower and upper limit.

    Examples:
        >>> [round(limit, 4) for limit in wilson_interval(56, 70)]
        [0.6918, 0.877]
    """
    z = float(norm.ppf((1 + conf_level) / 2))
    share, z2 = events / n, z * z
    half = z * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    middle, total = share + z2 / (2 * n), 1 + z2 / n
    # At 0 and at n the limit is exact; a rounding error must not leave the unit interval.
    low = 0.0 if events == 0 else (middle - half) / total
    high = 1.0 if events == n else (middle + half) / total
    return low, high


def newcombe_interval(
    events: tuple[int, int], n: tuple[int, int], *, conf_level: float = 0.95
) -> tuple[float, float]:
    """Return the hybrid score interval of the difference, arm 1 less arm 0.

    Newcombe, Stat Med 1998;17:873, method 10: the distances of each share from its own score
    limits, squared and added.

    Args:
        events: Patients with the event in arm 0 and in arm 1.
        n: Patients in arm 0 and in arm 1.
        conf_level: Coverage.

    Returns:
        Lower and upper limit.

    Examples:
        >>> [round(limit, 4) for limit in newcombe_interval((48, 56), (80, 70))]
        [0.0524, 0.3339]
    """
    (low0, high0), (low1, high1) = (
        wilson_interval(events[k], n[k], conf_level=conf_level) for k in (0, 1)
    )
    share0, share1 = events[0] / n[0], events[1] / n[1]
    difference = share1 - share0
    return (
        difference - math.hypot(share1 - low1, high0 - share0),
        difference + math.hypot(high1 - share1, share0 - low0),
    )


def koopman_interval(
    events: tuple[int, int], n: tuple[int, int], *, conf_level: float = 0.95
) -> tuple[float, float]:
    """Return the score interval of the ratio, arm 1 over arm 0.

    Koopman, Biometrics 1984;40:513: the ratios that Pearson's test does not reject. Other than the
    interval from the log's error it knows a limit where one arm has no event.

    Args:
        events: Patients with the event in arm 0 and in arm 1.
        n: Patients in arm 0 and in arm 1.
        conf_level: Coverage.

    Returns:
        Lower and upper limit; 0 to infinity where nobody has the event.

    Examples:
        >>> [round(limit, 2) for limit in koopman_interval((16, 36), (80, 40))]
        [2.94, 7.15]
        >>> [round(limit, 2) for limit in koopman_interval((5, 0), (50, 50))]
        [0.0, 0.74]
    """
    if events == (0, 0):
        return 0.0, math.inf
    limit = float(norm.ppf((1 + conf_level) / 2)) ** 2

    def beyond(log_ratio: float) -> float:
        return _ratio_score(math.exp(log_ratio), events, n) - limit

    # Where a share is 0 the score grows from 0 at the end of the range, so that end is no limit.
    start = _start(events, n)
    low = 0.0 if events[1] == 0 else math.exp(brentq(beyond, -_FAR, start, xtol=1e-13))
    high = math.inf if events[0] == 0 else math.exp(brentq(beyond, start, _FAR, xtol=1e-13))
    return low, high


def _start(events: tuple[int, int], n: tuple[int, int]) -> float:
    if events[1] == 0:
        return -_FAR
    if events[0] == 0:
        return _FAR
    return math.log(events[1] / n[1]) - math.log(events[0] / n[0])


def _ratio_score(ratio: float, events: tuple[int, int], n: tuple[int, int]) -> float:
    """Return Pearson's statistic of a ratio, the shares being the likeliest that have it."""
    (y0, y1), (n0, n1) = events, n
    total, b = (n0 + n1) * ratio, n1 * ratio + y1 + n0 + y0 * ratio
    root = math.sqrt(max(b * b - 4 * total * (y0 + y1), 0.0))
    # The smaller root, written so that no two near numbers are subtracted.
    share0 = 2 * (y0 + y1) / (b + root)
    share1 = ratio * share0
    variance = share1 * max(1 - share1, 0) / n1 + ratio**2 * share0 * max(1 - share0, 0) / n0
    gap = y1 / n1 - ratio * y0 / n0
    return gap * gap / variance if variance > 0 else (0.0 if gap == 0 else math.inf)


def pearson_p_value(events: tuple[int, int], n: tuple[int, int]) -> float:
    """Return the two-sided p-value of Pearson's test that two shares are one.

    Args:
        events: Patients with the event in arm 0 and in arm 1.
        n: Patients in arm 0 and in arm 1.

    Returns:
        The p-value, without a correction for continuity; 1 where all or none have the event.

    Examples:
        >>> round(pearson_p_value((48, 56), (80, 70)), 4)
        0.008
    """
    shared = sum(events) / sum(n)
    variance = shared * (1 - shared) * (1 / n[0] + 1 / n[1])
    if variance == 0:
        return 1.0
    gap = events[1] / n[1] - events[0] / n[0]
    return float(2 * norm.sf(abs(gap) / math.sqrt(variance)))


def number_needed(difference: float, low: float, high: float, *, better: str) -> dict[str, object]:
    """Return the number needed to treat with its direction, and in words.

    Altman, BMJ 1998;317:1309: where the difference may be 0 the number's interval runs through
    infinity, from so many for one to benefit over no effect to so many for one to be harmed, and
    two numbers cannot hold it.

    Args:
        difference: Share with the event in arm 1 less arm 0.
        low: Its lower limit.
        high: Its upper limit.
        better: "higher" if the event is good for patients, "lower" if bad, "" if unsaid.

    Returns:
        `estimate`; `conf_low` and `conf_high`, missing where the interval runs through infinity;
        `scale` and `words`.

    Examples:
        >>> number_needed(0.1, 0.05, 0.2, better="higher")["words"]
        'NNTB 10 (5 to 20)'
        >>> number_needed(0.1, -0.05, 0.2, better="higher")["words"]
        'NNTB 10 (NNTB 5 to infinity to NNTH 20)'
    """
    up, down = {"higher": ("NNTB", "NNTH"), "lower": ("NNTH", "NNTB")}.get(
        better, ("for one more", "for one fewer")
    )
    sign = up if difference > -_NOTHING else down
    # Differences of shares that are one come out of a model as numbers of this size.
    shares = (difference, low, high)
    counts = [math.inf if abs(value) < _NOTHING else 1 / abs(value) for value in shares]
    number, at_low, at_high = counts
    crosses = not (low > 0 or high < 0)
    if math.isnan(low):
        inside, limits = "no interval", (math.nan, math.nan)
    elif crosses:
        # First the end on the estimate's own side, then through infinity to the other.
        ends = [_named(up, at_high), _named(down, at_low)]
        own, other = ends if difference > -_NOTHING else ends[::-1]
        inside, limits = f"{own} to infinity to {other}", (math.nan, math.nan)
    else:
        limits = (min(at_low, at_high), max(at_low, at_high))
        inside = f"{_round(limits[0])} to {_round(limits[1])}"
    through = f"; interval {inside}" if crosses and not math.isnan(low) else ""
    return {
        "estimate": number, "conf_low": limits[0], "conf_high": limits[1],
        "scale": f"patients, {sign}{through}", "words": f"{_named(sign, number)} ({inside})",
    }  # fmt: skip


def _named(sign: str, number: float) -> str:
    return f"{sign} {_round(number)}" if sign.startswith("NNT") else f"{_round(number)} {sign}"


def _round(number: float) -> str:
    """Return the number as text, rounded up: no fewer patients suffice."""
    if math.isinf(number):
        return "infinity"
    # A quotient such as 1 / 0.1 must not be pushed up by its last bit.
    return f"{math.ceil(number - 1e-9 * max(number, 1)):,}"


def log_ratio_error(events: tuple[int, int], n: tuple[int, int]) -> float:
    """Return the standard error of the log of a ratio of proportions, by the delta method.

    Katz, Baptista, Azen and Pike, Biometrics 1978;34:469.

    Args:
        events: Patients with the event in arm 0 and in arm 1.
        n: Patients in arm 0 and in arm 1.

    Returns:
        The error; missing where an arm has no event.

    Examples:
        >>> round(log_ratio_error((16, 36), (80, 40)), 4)
        0.2297
    """
    if 0 in events:
        return math.nan
    return float(np.sqrt(sum(1 / events[k] - 1 / n[k] for k in (0, 1))))
