"""The course a series took beside the course it would have taken, period by period."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t as student

from loyalty_research.data.arguments import check_share
from loyalty_research.effects.interrupted_time_series import segmented_model
from loyalty_research.effects.segmented_model import SegmentedModel
from loyalty_research.effects.series import SeriesColumns, open_series


def counterfactual(
    series: Any,
    *,
    outcome: str,
    time: str,
    start: Any,
    season: str | int | None = None,
    harmonics: int | None = 2,
    control: str | None = None,
    exposure: str | None = None,
    scale: str = "identity",
    weight: str | None = None,
    wash_in: int = 0,
    errors: str = "ar1",
    lags: int | None = None,
    per_year: float | None = None,
    conf_level: float = 0.95,
) -> pd.DataFrame:
    """Return what was observed, what the model fits and what it expects without the change.

    Limits are those of the model's lines, not of single periods, each period by itself. They are
    no fuller than those of `interrupted_time_series`, whose model this is.

    Args:
        series: As for `interrupted_time_series`, like all that follow.
        outcome: Column of the outcome.
        time: Column of the period.
        start: The first period of the change.
        season: Column of the season, or periods in a cycle.
        harmonics: Pairs of sine and cosine; None for indicators.
        control: Column of the comparison.
        exposure: Column of what events are counted per.
        scale: `"identity"` or `"log"`.
        weight: Column of relative precisions.
        wash_in: Periods left out after the start.
        errors: `"ar1"` or `"newey-west"`.
        lags: Lags of Newey and West.
        per_year: Periods in a year.
        conf_level: Coverage of the limits.

    Returns:
        One row a period, in the order of time: `time`, `phase` ("before", "wash-in", "after"),
        `observed` (a rate if there is an exposure), `comparison` (missing without one), `fitted`
        (missing in the wash-in), `counterfactual` with `conf_low` and `conf_high`; `effect` with
        `effect_low`, `effect_high`, and `cumulative` with `cumulative_low`, `cumulative_high`
        (missing up to the end of the wash-in), `conf_level`. With `scale="log"` the effect is a
        ratio, its sum the events (or outcome x periods) more than without the change.

    Raises:
        UsageError, DataError: As for `interrupted_time_series`; few periods are not refused here,
            as that function withholds the estimate.

    Examples:
        >>> table = pd.DataFrame({"month": range(8), "wait": [40, 41, 39, 40, 12, 11, 13, 12]})
        >>> path = counterfactual(table, outcome="wait", time="month", start=4, errors="newey-west")
        >>> path.loc[[3, 4], ["phase", "counterfactual", "effect"]].round(1).values.tolist()
        [['before', 39.7, nan], ['after', 39.5, -27.8]]
    """
    level = check_share(conf_level, name="conf_level")
    columns = SeriesColumns(
        outcome, time, start, season, control, exposure, scale, weight, wash_in, per_year
    )
    model = segmented_model(
        open_series(series, columns), errors=errors, harmonics=harmonics, lags=lags
    )
    half = float(student.ppf((1 + level) / 2, model.fit.df))
    lines, effects, sums = _lines(model, half), _effects(model, half), _sums(model, half)
    return pd.DataFrame({**lines, **effects, **sums, "conf_level": level})


def _lines(model: SegmentedModel, half: float) -> dict[str, Any]:
    """Return the observed, fitted and expected course."""
    found, at = model.series, np.arange(model.series.n)
    rows = model.before_rows()
    centre, spread = rows @ model.fit.beta, half * _errors(model, rows)
    fitted = model.on_outcome(model.x @ model.fit.beta)
    after = at >= found.first_after
    phase = np.where(at < found.start, "before", np.where(after, "after", "wash-in"))
    none = np.full(found.n, np.nan)
    return {
        "time": found.time.to_numpy(),
        "phase": phase,
        "observed": found.outcome,
        "comparison": none if found.comparison is None else found.comparison,
        "fitted": np.where(found.is_used, fitted, np.nan),
        "counterfactual": model.on_outcome(centre),
        "conf_low": model.on_outcome(centre - spread),
        "conf_high": model.on_outcome(centre + spread),
    }


def _effects(model: SegmentedModel, half: float) -> dict[str, np.ndarray]:
    """Return the effect of each period after the wash-in: a difference, or a ratio."""
    rows = model.effect_rows()
    centre, spread = rows @ model.fit.beta, half * _errors(model, rows)
    # Up to the end of the wash-in there is no effect to speak of, rather than one of 0.
    centre[: model.series.first_after] = np.nan
    bend = np.exp if model.is_log else np.asarray
    return {
        "effect": bend(centre),
        "effect_low": bend(centre - spread),
        "effect_high": bend(centre + spread),
    }


def _sums(model: SegmentedModel, half: float) -> dict[str, np.ndarray]:
    """Return the effect added up to each period."""
    sums = np.full((model.series.n, 2), np.nan)
    for at in range(model.series.first_after, model.series.n):
        sums[at] = model.cumulative(until=at)
    total, spread = sums[:, 0], half * sums[:, 1]
    return {
        "cumulative": total,
        "cumulative_low": total - spread,
        "cumulative_high": total + spread,
    }


def _errors(model: SegmentedModel, rows: np.ndarray) -> np.ndarray:
    return np.sqrt(np.einsum("ij,jk,ik->i", rows, model.fit.covariance, rows))
