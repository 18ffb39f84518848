"""What is looked at before the change of a series may be read."""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import chi2

from loyalty_research.effects.checks import Check, count_words
from loyalty_research.effects.guards import Guards
from loyalty_research.effects.segmented_model import SegmentedModel
from loyalty_research.effects.series import Series

GUARD = "too few points"
LEAST_A_SIDE = 8
LEAST_POINTS = 24

_TWO_YEARS = 2
_MONTHS = 12
_MOST_MEMORY = 0.9
_ENOUGH = 100
_SIGNIFICANT = 0.05
_MOST_OF = 0.9


def refuse_few_points(series: Series, guards: Guards) -> None:
    """Refuse fewer than 8 periods before or after the change.

    Args:
        series: The series.
        guards: The guards of the call.

    Raises:
        DesignError: Too few, and no reason given.
    """
    before, after = series.sides()
    fewest = min(before, after)
    guards.refuse(
        GUARD,
        broken=fewest < LEAST_A_SIDE,
        column="time",
        count=fewest,
        message=f"{before:,} periods before the change and {after:,} after it, of which each side "
        f"needs {LEAST_A_SIDE}",
        repair="give a longer series or shorter periods, or compare means with a control group by "
        "difference_in_differences",
        fine=f"{LEAST_A_SIDE} periods or more on each side",
    )


def points_check(series: Series) -> Check:
    """Return whether 24 periods or more are used; fewer withhold the estimate.

    Args:
        series: The series.

    Returns:
        The check.
    """
    n = sum(series.sides())
    words = f"{count_words(n, 'period')} used"
    if n < LEAST_POINTS:
        words += f", fewer than {LEAST_POINTS}: a drift and a season look like a change"
    return Check("points", n >= LEAST_POINTS, words, n, LEAST_POINTS, gating=True)


def season_check(series: Series, *, season: str | int | None) -> Check:
    """Return whether a series of two years or more has a term for its season.

    Args:
        series: The series.
        season: The argument.

    Returns:
        The check; it withholds the estimate.
    """
    told = series.per_year
    years = series.n / (told or _MONTHS)
    taken = "" if told else ", if its periods are months (else say per_year=)"
    # A week's cycle in a series of days leaves the year's open.
    cycle = math.inf if season is None or isinstance(season, str) else season
    is_year = season is not None and cycle >= _MOST_OF * (told or 0)
    if is_year:
        passed, words = True, "the model has terms for the season"
    elif told is not None and told < _TWO_YEARS:
        passed, words = True, "periods of a year have no season"
    elif years < _TWO_YEARS:
        passed, words = True, f"the series is shorter than two years{taken}"
    elif season is not None:
        passed, words = False, f"a cycle of {season} periods is no year; name a column of the month"
    else:
        passed = False
        words = f"a series of {years:.1f} years{taken} has no season term; give season="
    return Check("season", passed, words, years, _TWO_YEARS, gating=True)


def wash_in_check(series: Series) -> Check:
    """Return how many periods are left out while the change came into force.

    Args:
        series: The series.

    Returns:
        The check, for information.
    """
    words = f"{count_words(series.wash_in, 'period')} from the start on left out"
    return Check("wash-in", None, words, series.wash_in)


def comparison_check(model: SegmentedModel) -> Check:
    """Return what stands for everything else that began with the change.

    Args:
        model: The fitted series.

    Returns:
        The check, for information.
    """
    if model.series.comparison is None:
        words = (
            "no comparison series: whatever else began in the same period counts as the change; "
            "give control= where there is one"
        )
        return Check("comparison", None, words)
    drift, error = model.fit.contrast(model.weights(trend=1))
    words = (
        f"before the change the difference from the comparison drifted by {drift:.3g} a period "
        f"(standard error {error:.2g}); the same drift is assumed to go on"
    )
    return Check("comparison", None, words, drift / error if error > 0 else math.nan)


def memory_checks(model: SegmentedModel) -> list[Check]:
    """Return what the model says, and leaves, of errors that are related over time.

    Args:
        model: The fitted series.

    Returns:
        Correlation of neighbours, its remainder in the residuals, the test of Ljung and Box
        (Biometrika 1978;65:297); none withholds the estimate.
    """
    fit, at = model.fit, np.arange(model.series.n)[model.series.is_used]
    acf = residual_acf(fit.innovations, at, lags=_lags(len(at)))
    worst = int(np.argmax(np.abs(acf)))
    limit = 2 / math.sqrt(len(at))
    apart = count_words(worst + 1, "period")
    words = (
        f"residuals are related by {acf[0]:.2f} to the period before; the strongest relation "
        f"up to {len(acf)} periods is {acf[worst]:.2f}, {apart} apart"
    )
    left = Check("residual autocorrelation", None, words, float(acf[worst]), limit)
    return [*_rho_check(model), left, _ljung_box(model, acf)]


def residual_acf(residuals: np.ndarray, at: np.ndarray, *, lags: int) -> np.ndarray:
    """Return autocorrelations of residuals, across holes counted in time.

    Args:
        residuals: One a period used.
        at: Its period.
        lags: How many.

    Returns:
        One a lag, from 1 on.

    Examples:
        >>> residual_acf(np.array([1.0, -1.0, 1.0, -1.0]), np.arange(4), lags=2).tolist()
        [-0.75, 0.5]
    """
    placed = np.zeros(int(at[-1] - at[0]) + 1)
    placed[at - at[0]] = residuals - residuals.mean()
    total = placed @ placed
    return np.array([placed[lag:] @ placed[:-lag] / total for lag in range(1, lags + 1)])


def interval_check(model: SegmentedModel) -> Check:
    """Return how far the intervals of such a series can be trusted.

    Args:
        model: The fitted series.

    Returns:
        The check, for information; it fails for Newey and West in a short series.
    """
    n = len(model.fit.innovations)
    words = (
        "no interval of a short series is fully nominal: with 48 periods and neighbours related "
        "by .4, those of 95 % held the truth in 92 % of simulated series by REML, in 80 % by "
        "Newey and West, in 80 % where the relation is ignored"
    )
    weak = model.errors == "newey-west" and n < _ENOUGH
    repair = '; give errors="ar1"' if weak else ""
    enough = _ENOUGH if weak else math.nan
    return Check("interval", False if weak else None, words + repair, n, enough)


def _lags(n: int) -> int:
    return max(1, min(10, n // 5))


def _rho_check(model: SegmentedModel) -> list[Check]:
    if model.errors != "ar1":
        return []
    rho = model.fit.rho
    words = f"neighbouring periods are related by {rho:.2f}"
    if rho >= _MOST_MEMORY:
        words += ": such a series wanders by itself, and a step is hard to tell from that"
    return [Check("autocorrelation", rho < _MOST_MEMORY, words, rho, _MOST_MEMORY)]


def _ljung_box(model: SegmentedModel, acf: np.ndarray) -> Check:
    n, lags = len(model.fit.innovations), len(acf)
    statistic = n * (n + 2) * float((acf**2 / (n - np.arange(1, lags + 1))).sum())
    # The AR(1) model has used up one of the autocorrelations.
    df = max(lags - (model.errors == "ar1"), 1)
    p_value = float(chi2.sf(statistic, df))
    words = f"Ljung-Box over {count_words(lags, 'lag')}: p {p_value:.3f}"
    if p_value < _SIGNIFICANT:
        allowed = "which Newey and West allow for" if model.errors != "ar1" else (
            "so that AR(1) does not describe the series; try season terms, or other periods"
        )  # fmt: skip
        words += f"; residuals are still related over time, {allowed}"
    threshold = float(chi2.isf(_SIGNIFICANT, df))
    return Check("Ljung-Box", p_value >= _SIGNIFICANT, words, statistic, threshold)
