"""How likely an interrupted series shows a change of level or slope."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from loyalty_research.data.arguments import check_share, check_whole
from loyalty_research.effects.planning_core import (
    check_number,
    effect_in_errors,
    power_in_errors,
)
from loyalty_research.errors import UsageError

METHOD = "generalised least squares, AR(1) known"


def interrupted_series_power(
    *,
    n_before: int,
    n_after: int,
    sd: float,
    level: float = 0,
    slope: float = 0,
    rho: float = 0,
    season_length: float | None = None,
    n_harmonics: int = 1,
    alpha: float = 0.05,
    power: float = 0.8,
) -> pd.DataFrame:
    """Return how likely a series shows a change of level, of slope, and the two at its end.

    The autocorrelation is taken as known. An analysis has to estimate it, and its intervals are
    then somewhat too narrow below some 100 points: read the power as the best that can be hoped.

    Args:
        n_before: Points before the change.
        n_after: Points from it on.
        sd: Standard deviation of a point about the trend; of the difference to the control series
            where there is one.
        level: Change of level at the change, in the outcome's unit.
        slope: Change of slope, in the outcome's unit a point.
        rho: Correlation of neighbouring points, above -1 and below 1.
        season_length: Points in a cycle, such as 12 for months, or None.
        n_harmonics: Pairs of sine and cosine that the season is modelled by.
        alpha: Two-sided level of the test.
        power: Power for which the smallest change is given.

    Returns:
        Three rows, `term` level, slope, end (the sum at the last point): `effect, estimate`
        (power), `std_error, detectable` (the smallest change shown with the power asked for), `df,
        n_before, n_after, alpha, method`.

    Raises:
        UsageError: A number out of its range, or as many coefficients as points.

    References:
        Zhang, Wagner and Ross-Degnan, J Clin Epidemiol 2011;64:1252; the variance is that of
        generalised least squares.

    Examples:
        >>> interrupted_series_power(n_before=24, n_after=24, sd=2, level=-2,
        ...     rho=0.4)[["term", "estimate"]].round(2).to_dict("split")["data"][0]
        ['level', 0.26]
    """
    before = check_whole(n_before, name="n_before", minimum=2)
    after = check_whole(n_after, name="n_after", minimum=2)
    check_number(sd, name="sd", least=0, above=True)
    check_number(level, name="level")
    check_number(slope, name="slope")
    check_share(alpha, name="alpha")
    x = _design(before, after, season_length, check_whole(n_harmonics, name="n_harmonics"))
    df = len(x) - x.shape[1]
    if df < 1 or np.linalg.matrix_rank(x) < x.shape[1]:
        raise UsageError(f"{len(x)} points cannot hold {x.shape[1]} coefficients; plan more points")
    white = _whiten(x, rho) / sd
    covariance = np.linalg.inv(white.T @ white)
    rows = []
    for term, weights in (("level", (1, 0)), ("slope", (0, 1)), ("end", (1, after - 1))):
        c = np.zeros(x.shape[1])
        c[2:4] = weights
        effect = weights[0] * level + weights[1] * slope
        error = math.sqrt(c @ covariance @ c)
        found = power_in_errors(abs(effect) / error, df, alpha)
        row = {"term": term, "effect": float(effect), "estimate": found, "std_error": error}
        rows.append({**row, "detectable": effect_in_errors(power, df, alpha) * error})
    more = {"df": df, "n_before": before, "n_after": after, "alpha": alpha, "method": METHOD}
    return pd.DataFrame(rows).assign(**more)


def _design(before: int, after: int, season_length: float | None, n_harmonics: int) -> np.ndarray:
    """Return intercept, trend, level, slope, and the season's waves."""
    time = np.arange(before + after, dtype=float)
    is_after = (time >= before).astype(float)
    columns = [np.ones_like(time), time, is_after, is_after * (time - before)]
    if season_length is not None:
        cycle = check_number(season_length, name="season_length", least=2, above=True)
        for k in range(1, n_harmonics + 1):
            angle = 2 * np.pi * k * time / cycle
            columns += [np.sin(angle), np.cos(angle)]
    return np.column_stack(columns)


def _whiten(x: np.ndarray, rho: float) -> np.ndarray:
    """Return rows that are independent with the variance of a point (Prais and Winsten)."""
    check_number(rho, name="rho", least=-1, most=1, above=True)
    if rho == 1:
        raise UsageError("rho=1 is a random walk, which has no level to change")
    rest = (x[1:] - rho * x[:-1]) / math.sqrt(1 - rho**2)
    return np.vstack([x[:1], rest])
