"""Bands that hold the whole curve of those who stay, not each day for itself.

A pointwise interval of 95 % leaves out the true share on some day far more often than in one study
of twenty. A band holds it on all days from `start` to `end` at once. With V the Greenwood sum and n
patients, sqrt(n) (log estimate - log S) / (1 + n V) behaves like a Brownian bridge B at the time
n V / (1 + n V), so that the width of a band follows from how far a bridge strays between a and b,
the values of that time at both ends. The critical values are computed, not read from tables.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.polynomial import legendre
from scipy.linalg import eigh
from scipy.optimize import brentq
from scipy.special import wofz
from scipy.stats import norm

from loyalty_research.data.arguments import as_columns, check_choice, check_share, check_whole
from loyalty_research.errors import UsageError
from loyalty_research.retention.averages import refuse_clashes
from loyalty_research.retention.curve_limits import CONF_TYPES, survival_limits
from loyalty_research.retention.risk_sets import COUNTS, Counts, counts_by_group, counts_table

KINDS = ("equal-precision", "hall-wellner")
"""Equal precision widens a pointwise interval by one factor; Hall-Wellner's is narrower early."""


def retention_band(
    data: Any,
    *,
    kind: str = "equal-precision",
    start: int | None = None,
    end: int | None = None,
    time: str = "time",
    event: str = "event",
    by: str | Sequence[str] | None = None,
    freq: str | None = None,
    conf_level: float = 0.95,
    conf_type: str = "log-log",
) -> pd.DataFrame:
    """Return the Kaplan-Meier curve with a band that holds all of it from `start` to `end`.

    `"equal-precision"` is Nair's band (Technometrics 1984;26:265), a pointwise interval with a
    larger factor in the place of 1.96; `"hall-wellner"` that of Hall and Wellner (Biometrika
    1980;67:133). Both are approximations for many patients; on the log-log or arcsin scale they
    hold from some 25 events (Borgan and Liestol, Scandinavian Journal of Statistics 1990;17:35).
    Delayed entry, weights and clusters are not offered: the bridge of these bands belongs to
    independent patients who are all observed from the start.

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        kind: `"equal-precision"` or `"hall-wellner"`.
        start: First day of the band; without it each group's first event.
        end: Last day; without it each group's last event that leaves somebody at risk.
        time: Column with the time of event or censoring: whole units, not negative.
        event: Column that is true or 1 for an event, false or 0 for censoring.
        by: Column or columns that name groups; the band of each stands for itself.
        freq: Column of whole numbers from 1: how many patients a row stands for.
        conf_level: The chance that the band holds the whole curve.
        conf_type: Scale on which the band is symmetric, as for `kaplan_meier`.

    Returns:
        The columns of `kaplan_meier` for the times from `start` to `end`, both included.

    Raises:
        UsageError: An unknown `kind` or `conf_type`; a `start` before a group's first event or an
            `end` after its last that leaves somebody; a group without such an event.
        DataError: As for `kaplan_meier`.

    Examples:
        >>> import pandas as pd
        >>> data = pd.DataFrame({"time": [1, 2, 3, 4, 5, 6], "event": [1, 1, 0, 1, 1, 0]})
        >>> retention_band(data)[["time", "estimate"]].round(3).values.tolist()
        [[1.0, 0.833], [2.0, 0.667], [3.0, 0.667], [4.0, 0.444], [5.0, 0.222]]
    """
    check_choice(kind, KINDS, name="kind")
    check_choice(conf_type, CONF_TYPES, name="conf_type")
    level = check_share(conf_level, name="conf_level")
    ends = _check_ends(start, end)
    refuse_clashes(
        as_columns(by),
        [*COUNTS, "estimate", "std_error", "conf_low", "conf_high", "conf_level"],
    )
    groups, counts, _ = counts_by_group(
        data, time=time, event=event, by=by, freq=freq, times=[day for day in ends if day]
    )
    spans = _spans(counts, *ends)
    parts = [
        _band(counts_table(groups.iloc[[row]], [own]), own, span, kind, level, conf_type)
        for row, (own, span) in enumerate(zip(counts, spans, strict=True))
    ]
    return pd.concat(parts, ignore_index=True)


def equal_precision_factor(low: float, high: float, *, conf_level: float) -> float:
    """Return the c that |B(t)| / sqrt(t (1 - t)) stays below on [low, high] with this chance.

    In the time s = log(t / (1 - t)) / 2 the standardised bridge is a stationary Ornstein-Uhlenbeck
    process with covariance exp(-|s - s'|). The chance that it stays within [-c, c] for a length T
    is the sum over the eigenfunctions g of -g'' + (x^2 / 4 - 1 / 2) g that vanish at both ends of
    exp(-eigenvalue T) (integral of g sqrt(phi))^2, phi being the normal density (Keilson and Ross,
    Selected Tables in Mathematical Statistics 1975;3:233). They are found as sums of Legendre
    polynomials (Shen, SIAM Journal on Scientific Computing 1994;15:1489).

    Args:
        low: Where the stretch begins, above 0.
        high: Where it ends, below 1.
        conf_level: The chance.

    Returns:
        The factor; that of a pointwise interval if the stretch is a point.

    Examples:
        >>> round(equal_precision_factor(0.1, 0.9, conf_level=0.95), 3)
        3.052
    """
    length = float(np.log(high * (1 - low) / (low * (1 - high))) / 2)
    point = float(norm.ppf((1 + conf_level) / 2))
    if length <= 0:
        return point
    return _root(lambda c: _stays_standardised(c, length) - conf_level, point)


def hall_wellner_factor(low: float, high: float, *, conf_level: float) -> float:
    """Return the k that |B(t)| stays below on [low, high] with this chance.

    Given its values at both ends the bridge is a Brownian motion between them, so the chance is the
    integral of the densities at the ends and of the motion killed at -k and k (Chung, Canadian
    Journal of Statistics 1986;14:129, has it in another form). With the cosines that vanish at -k
    and k it is sqrt(2 pi) / k times the sum over odd m of
    exp(-m^2 pi^2 (high - low) / (8 k^2)) A_m(low) A_m(1 - high), where A_m(v) is the integral over
    [-k, k] of the normal density of variance v times cos(m pi x / (2 k)).

    Args:
        low: Where the stretch begins, from 0.
        high: Where it ends, up to 1.
        conf_level: The chance.

    Returns:
        The critical value; Kolmogorov's for the whole stretch from 0 to 1.

    Examples:
        >>> round(hall_wellner_factor(0, 1, conf_level=0.95), 4)
        1.3581
    """
    point = float(norm.ppf((1 + conf_level) / 2))
    if high <= low:
        return point * float(np.sqrt(low * (1 - low)))
    # On its widest day the bridge alone needs this much.
    widest = min(max(0.5, low), high)
    least = point * float(np.sqrt(widest * (1 - widest)))
    return _root(lambda k: _stays(k, low, high) - conf_level, least)


# --- one group ------------------------------------------------------------------------------------


def _check_ends(start: int | None, end: int | None) -> tuple[int | None, int | None]:
    first = None if start is None else check_whole(start, name="start")
    last = None if end is None else check_whole(end, name="end")
    if first is not None and last is not None and last < first:
        raise UsageError(f"end={last} is before start={first}; give a later end")
    return first, last


def _spans(counts: list[Counts], start: int | None, end: int | None) -> list[tuple[int, int]]:
    """Return the first and last day of each group's band, or refuse what no band can hold."""
    possible = [
        own.time[(own.events[:, 0] > 0) & (own.at_risk > own.events[:, 0])] for own in counts
    ]
    bare = sum(len(days) == 0 for days in possible)
    if bare:
        where = f" {bare} of {len(counts)} groups have" if len(counts) > 1 else " the data have"
        raise UsageError(
            f"a band needs an event that leaves somebody at risk, and{where} none; "
            "leave them out of the band"
        )
    earliest, latest = max(int(d[0]) for d in possible), min(int(d[-1]) for d in possible)
    if start is not None and start < earliest:
        raise UsageError(
            f"start={start} is before the first event; give a start of at least {earliest}"
        )
    if end is not None and end > latest:
        raise UsageError(
            f"end={end} is after the last event that leaves somebody at risk; "
            f"give an end of at most {latest}"
        )
    spans = [
        (int(d[0]) if start is None else start, int(d[-1]) if end is None else end)
        for d in possible
    ]
    if any(last < first for first, last in spans):
        raise UsageError(
            "a group's band would end before it starts; give an earlier start or a later end"
        )
    return spans


def _band(
    table: pd.DataFrame,
    counts: Counts,
    span: tuple[int, int],
    kind: str,
    level: float,
    conf_type: str,
) -> pd.DataFrame:
    at_risk, events = counts.at_risk.astype(float), counts.events[:, 0].astype(float)
    inside = (counts.time >= span[0]) & (counts.time <= span[1])
    with np.errstate(divide="ignore", invalid="ignore"):
        survival = np.cumprod(1 - events / np.maximum(at_risk, 1.0))[inside]
        steps = np.where(events > 0, events / (at_risk * (at_risk - events)), 0.0)
    variance = np.cumsum(steps)[inside]
    half = _half_width(variance, float(counts.at_risk[0]), kind, level)
    low, high = survival_limits(survival, half, conf_type)
    return table[inside].assign(
        estimate=survival,
        std_error=survival * np.sqrt(variance),
        conf_low=low,
        conf_high=high,
        conf_level=level,
    )


def _half_width(variance: np.ndarray, n: float, kind: str, level: float) -> np.ndarray:
    """Return half the width of the band of the curve's logarithm."""
    scaled = n * variance
    low, high = scaled[[0, -1]] / (1 + scaled[[0, -1]])
    if kind == "equal-precision":
        return equal_precision_factor(low, high, conf_level=level) * np.sqrt(variance)
    return hall_wellner_factor(low, high, conf_level=level) * (1 + scaled) / np.sqrt(n)


# --- how far a bridge strays ----------------------------------------------------------------------


def _root(excess: Callable[[float], float], least: float) -> float:
    most = 2 * least + 1
    while excess(most) < 0:
        most *= 2
    return float(brentq(excess, least * (1 - 1e-9), most, xtol=1e-9, rtol=1e-9))


def _stays_standardised(bound: float, length: float) -> float:
    # As many as it takes until the factor exp(-eigenvalue T) is below exp(-40), and some more.
    size = min(16 + int(2 * bound / np.sqrt(length)), 90)
    x, weight, shape, stiffness, mass = _legendre_basis(size)
    potential = (bound * x) ** 2 / 4 - 0.5
    energy = stiffness / bound + bound * (shape * (weight * potential)) @ shape.T
    values, vectors = eigh(energy, bound * mass)
    overlap = vectors.T @ (bound * shape @ (weight * np.sqrt(norm.pdf(bound * x))))
    return float(np.sum(np.exp(-values * length) * overlap**2))


@lru_cache(maxsize=128)
def _legendre_basis(n: int) -> tuple[np.ndarray, ...]:
    """Return nodes, weights and n even functions P_m - P_(m+2) that vanish at -1 and 1."""
    x, weight = legendre.leggauss(2 * n + 20)
    values = legendre.legvander(x, 2 * n)
    shape = (values[:, 0:-2:2] - values[:, 2::2]).T
    # P_(m+2)' - P_m' is (2 m + 3) P_(m+1), which makes the matrix of slopes diagonal.
    stiffness = np.diag(2.0 * (2 * np.arange(0, 2 * n, 2) + 3))
    return x, weight, shape, stiffness, (shape * weight) @ shape.T


def _stays(bound: float, low: float, high: float) -> float:
    length = high - low
    # Beyond this the factor is below exp(-40).
    odd = np.arange(1, 2 * int(3 * bound / np.sqrt(length)) + 10, 2)
    decay = np.exp(-((odd * np.pi / bound) ** 2) * length / 8)
    ends = _cosine_part(odd, bound, low) * _cosine_part(odd, bound, 1 - high)
    return float(np.sqrt(2 * np.pi) / bound * np.sum(decay * ends))


def _cosine_part(odd: np.ndarray, bound: float, variance: float) -> np.ndarray:
    """Return the integral over [-bound, bound] of a normal density times each cosine."""
    if variance <= 0:
        return np.ones(len(odd))
    wave = odd * np.pi / (2 * bound)
    spread = np.sqrt(variance)
    # The error function of a complex number, in the form that neither over- nor underflows.
    z = (wave * spread + 1j * bound / spread) / np.sqrt(2)
    edge = np.exp(-(bound**2) / (2 * variance) + 1j * wave * bound) * wofz(z)
    return np.exp(-(wave**2) * variance / 2) - edge.real
