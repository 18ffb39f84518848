"""What a change did to a series: its level, its slope, and all it added up to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from loyalty_research.data.arguments import check_choice, check_share, check_whole
from loyalty_research.data.frames import raise_faults
from loyalty_research.effects.checks import Check, checks_table
from loyalty_research.effects.effect import Effect, Facts
from loyalty_research.effects.estimates import estimate_row, estimates_table, ratio_row
from loyalty_research.effects.guards import open_guards
from loyalty_research.effects.segmented_model import (
    ERRORS,
    SegmentedModel,
    fit_segmented,
    series_before,
)
from loyalty_research.effects.series import Series, SeriesColumns, open_series
from loyalty_research.effects.series_checks import (
    GUARD,
    LEAST_A_SIDE,
    comparison_check,
    interval_check,
    memory_checks,
    points_check,
    refuse_few_points,
    season_check,
    wash_in_check,
)
from loyalty_research.errors import Fault, UsageError

SHARE = "share"
_BETTER = ("", "higher", "lower")


def interrupted_time_series(
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
    placebo_start: Any = None,
    unit: str = "",
    better: str = "",
    conf_level: float = 0.95,
    override: Mapping[str, str] | None = None,
) -> Effect:
    """Return by how much a series changed its level and slope at a known time.

    y_t = a + trend t + level D_t + slope (t - t1) D_t + season + error, D_t being 1 from t1 on, the
    first period after the wash-in (Wagner et al., J Clin Pharm Ther 2002;27:299; Bernal et al., Int
    J Epidemiol 2017;46:348). Errors are AR(1), by restricted maximum likelihood with exact
    whitening, and Student's t with as many degrees of freedom as periods less coefficients, rho
    taken as known; or least squares with Newey and West's variance, by default over
    4 (n / 100)^(2/9) lags. No such interval is fully nominal in a short series, which the check
    `interval` says.

    With `control` the difference between the two series, of logs if `scale="log"`, is modelled
    in the same way: whatever befell both in the same period drops out (Bottomley et al., J Clin
    Epidemiol 2019;111:115). The comparison must not receive what the change displaces.

    Args:
        series: One row a period (two with a flag in `control`). Any frame.
        outcome: Column of the outcome, a number: a mean, a quantile, a rate; events where there
            is an `exposure`.
        time: Column of the period: whole numbers one apart, or dates evenly spaced (the same day
            of each month, each month's last, or every so many days).
        start: The first period of the change, as `time` has it.
        season: Column that names the season, such as the month 1 to 12; or the number of periods
            in a cycle.
        harmonics: Pairs of sine and cosine over the cycle of seasons; None for an indicator of
            each season, which needs more periods.
        control: Column with the outcome of a comparison series; or, if every period has two rows,
            one that is 1 in the rows of the comparison.
        exposure: Column of what events are counted per (patients, appointments, days), above 0;
            outcome / exposure is then modelled.
        scale: `"identity"` for differences; `"log"` for ratios, outcomes being above 0.
        weight: Column of relative precisions (the inverse variance of each period's outcome).
        wash_in: Periods from `start` on, while the change came into force, to be left out.
        errors: `"ar1"` or `"newey-west"`.
        lags: Lags of Newey and West; None for the usual number.
        per_year: Periods in a year; needed only where whole numbers count no months.
        placebo_start: A period well before `start` at which nothing changed; the check `placebo
            start` fails if the series before `start` shows a change in level there.
        unit: Unit of the outcome; `"share"` for rates between 0 and 1.
        better: `"higher"` or `"lower"`, whichever is good for patients.
        conf_level: Coverage of the intervals.
        override: `{"too few points": reason}` lets pass fewer than 8 periods a side.

    Returns:
        An effect whose rows are `level` (the change in the first period after the wash-in),
        `slope` (how much more the outcome rises a period), `trend` (its rise a period before),
        `end` (level + slope x elapsed in the last period), `average` and `cumulative` (over all
        periods after the wash-in, multiplied by the exposure if there is one). Ratios on the log
        scale, `cumulative` always a difference: events, or outcome x periods.

    Raises:
        UsageError: Arguments that cannot be meant.
        DataError: Columns or values missing, no numbers, gaps, periods doubled, a start outside
            the series; all at once; a model that the periods do not determine.
        DesignError: `too few points`, fewer than 8 before or after the change.

    Examples:
        >>> waits = [41, 39, 40, 42, 40, 38, 41, 39, 40, 41, 39, 40]
        >>> after = [12, 13, 11, 12, 13, 12, 10, 12, 13, 12, 11, 12]
        >>> table = pd.DataFrame({"month": range(24), "wait": waits + after})
        >>> effect = interrupted_time_series(
        ...     table, outcome="wait", time="month", start=12, season=12, harmonics=1,
        ...     unit="minutes"
        ... )
        >>> effect.estimates["term"].tolist()
        ['level', 'slope', 'trend', 'end', 'average', 'cumulative']
        >>> round(effect.headline["estimate"], 1), effect.withheld
        (-27.5, False)
    """
    level = check_share(conf_level, name="conf_level")
    check_choice(better, _BETTER, name="better")
    guards = open_guards([GUARD], override=override)
    columns = SeriesColumns(
        outcome, time, start, season, control, exposure, scale, weight, wash_in, per_year
    )
    opened = open_series(series, columns)
    _refuse_no_shares(opened, unit)
    refuse_few_points(opened, guards)
    model = segmented_model(opened, errors=errors, harmonics=harmonics, lags=lags)
    checks = [*guards.checks, points_check(opened), season_check(opened, season=season)]
    checks += [wash_in_check(opened), *memory_checks(model)]
    if placebo_start is not None:
        false = _false_start(opened, series, columns, placebo_start)
        checks.append(_placebo_check(false, model, harmonics, lags, level))
    checks += [comparison_check(model), interval_check(model)]
    estimates = estimates_table(estimate_rows(model, unit=unit, conf_level=level))
    facts = _facts(model, columns, unit=unit, better=better, overrides=guards.used)
    return Effect(estimates, checks_table(checks), facts)


def placebo_starts(
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
    unit: str = "",
    conf_level: float = 0.95,
) -> pd.DataFrame:
    """Return the change in level at the true start and, before it, at every false one.

    Each false start is tried on the periods before the true one only, with 8 or more on each side.
    A method that finds changes where none were is not to be believed where one was.

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
        wash_in: Periods left out after the true start.
        errors: `"ar1"` or `"newey-west"`.
        lags: Lags of Newey and West.
        per_year: Periods in a year.
        unit: Unit of the outcome.
        conf_level: Coverage of the intervals.

    Returns:
        Estimates with `start` behind `term`: first the true start (`level`), then the false ones
        (`placebo level`) in the order of time.

    Raises:
        UsageError, DataError: As for `interrupted_time_series`; fewer than 16 periods before the
            start.

    Examples:
        >>> waits = [41, 39, 40, 42, 40, 38, 41, 39, 40, 41, 39, 40, 41, 40, 38, 40, 41]
        >>> after = [12, 13, 11, 12, 13, 12, 10, 12]
        >>> table = pd.DataFrame({"week": range(25), "wait": waits + after})
        >>> found = placebo_starts(table, outcome="wait", time="week", start=17)
        >>> found[["term", "start"]].values.tolist()
        [['level', 17], ['placebo level', 8], ['placebo level', 9]]
        >>> found["estimate"].round(1).tolist()
        [-27.4, 0.7, 0.6]
    """
    level = check_share(conf_level, name="conf_level")
    columns = SeriesColumns(
        outcome, time, start, season, control, exposure, scale, weight, wash_in, per_year
    )
    opened = open_series(series, columns)
    _refuse_no_shares(opened, unit)
    tried = range(LEAST_A_SIDE, opened.start - LEAST_A_SIDE + 1)
    if not tried:
        words = f"{opened.start:,} periods before the change leave no room for a false one"
        raise_faults([Fault("series", time, opened.start, words, "give 16 or more before it")])
    rows = []
    for at in (None, *tried):
        part = opened if at is None else series_before(opened, start=at)
        model = segmented_model(part, errors=errors, harmonics=harmonics, lags=lags)
        row = estimate_rows(model, unit=unit, conf_level=level)[0]
        first = opened.time.iloc[opened.start if at is None else at]
        term = "level" if at is None else "placebo level"
        rows.append({"term": term, "start": first, **{k: v for k, v in row.items() if k != "term"}})
    return estimates_table(rows)


def segmented_model(
    series: Series, *, errors: str, harmonics: int | None, lags: int | None
) -> SegmentedModel:
    """Return the fitted series, after checking how it is to be fitted.

    Args:
        series: The series.
        errors: "ar1" or "newey-west".
        harmonics: Pairs of sine and cosine, or None.
        lags: Lags of Newey and West, or None.

    Returns:
        The model.

    Raises:
        UsageError: An unknown kind of errors, no whole numbers, lags without Newey and West.
        DataError: As for `fit_segmented`.
    """
    check_choice(errors, ERRORS, name="errors")
    if harmonics is not None:
        check_whole(harmonics, name="harmonics", minimum=1)
    if lags is not None:
        check_whole(lags, name="lags")
        if errors != "newey-west":
            raise UsageError('lags= belongs to errors="newey-west"; leave it out')
    return fit_segmented(series, errors=errors, harmonics=harmonics, lags=lags)


# --- estimates ------------------------------------------------------------------------------------


def estimate_rows(model: SegmentedModel, *, unit: str, conf_level: float) -> list[dict[str, Any]]:
    """Return the rows of estimates, the change in level first.

    Args:
        model: The fitted series.
        unit: Unit of the outcome.
        conf_level: Coverage.

    Returns:
        Rows as `estimate_row` makes them.
    """
    series = model.series
    words: dict[str, Any] = {
        "n": len(model.fit.innovations), "n_events": series.n_events, "df": model.fit.df,
        "conf_level": conf_level, "method": f"{model.fit.method}, t with {model.fit.df} df",
    }  # fmt: skip
    one, scale = (ratio_row if model.is_log else estimate_row), _scale(series, unit)
    after = model.effect_rows()[series.first_after :]
    contrasts = {
        "level": (model.weights(level=1), scale),
        "slope": (model.weights(slope=1), f"{scale} per period"),
        "trend": (model.weights(trend=1), f"{scale} per period"),
        "end": (after[-1], scale),
        "average": (after.mean(axis=0), scale),
    }
    rows = [
        one(term, *model.fit.contrast(weights), scale=named, **words)
        for term, (weights, named) in contrasts.items()
    ]
    added = "events" if series.exposure is not None else f"{unit or 'outcome'} x periods"
    return [*rows, estimate_row("cumulative", *model.cumulative(), scale=added, **words)]


def _scale(series: Series, unit: str) -> str:
    if series.is_log:
        return "ratio of means" if series.exposure is None else "rate ratio"
    if unit == SHARE:
        return "difference in shares"
    return unit or ("difference" if series.exposure is None else "rate difference")


def _facts(
    model: SegmentedModel,
    columns: SeriesColumns,
    *,
    unit: str,
    better: str,
    overrides: Mapping[str, str],
) -> Facts:
    series, fit = model.series, model.fit
    first = series.first_after
    per = f"per {columns.exposure}" if columns.exposure and not unit else unit
    fitted = model.on_outcome(model.x @ fit.beta)[first]
    otherwise = model.on_outcome(model.before_rows() @ fit.beta)[first]
    beyond = "" if series.comparison is None else ", beyond that of the comparison series"
    kind = "ratio" if series.is_log else "difference"
    spread = "AR(1) by REML" if model.errors == "ar1" else "Newey and West"
    before, after = series.sides()
    return Facts(
        design="controlled interrupted time series" if beyond else "interrupted time series",
        estimand=f"{kind} between {columns.outcome} in the first period after the change and what "
        f"its course before, season included, would have led to{beyond}",
        measure="ratio of levels" if series.is_log else "change in level",
        outcome=columns.outcome,
        variance=f"{spread}, Student's t with {fit.df} degrees of freedom",
        n=len(fit.innovations),
        unit="" if unit == SHARE else per,
        better=better,
        arms=(_course(columns.control), "after the change"),
        levels={0: float(otherwise), 1: float(fitted)},
        n_events=series.n_events,
        overrides=dict(overrides),
        more={
            "rows_are": "periods", "n_before": before, "n_after": after,
            "n_wash_in": series.wash_in, "rho": fit.rho, "residual_sd": fit.sigma, "df": fit.df,
        },
    )  # fmt: skip


def _course(control: str | None) -> str:
    return "the course before" if control is None else f"the course before, beside {control}"


def _refuse_no_shares(series: Series, unit: str) -> None:
    if unit == SHARE and not ((series.outcome >= 0) & (series.outcome <= 1)).all():
        raise UsageError('unit="share" is for rates between 0 and 1; name another unit')


# --- a change that never was ----------------------------------------------------------------------


def _false_start(opened: Series, series: Any, columns: SeriesColumns, placebo_start: Any) -> Series:
    """Return the series before its change, with a false one that has 8 periods on each side."""
    at = open_series(series, replace(columns, start=placebo_start, wash_in=0)).start
    if not LEAST_A_SIDE <= at <= opened.start - LEAST_A_SIDE:
        words = f"placebo_start has {at:,} periods before it and {opened.start - at:,} up to start"
        repair = f"give one with {LEAST_A_SIDE} or more on each side"
        raise_faults([Fault("series", columns.time, 0, words, repair)])
    return series_before(opened, start=at)


def _placebo_check(
    false: Series, model: SegmentedModel, harmonics: int | None, lags: int | None, level: float
) -> Check:
    found = segmented_model(false, errors=model.errors, harmonics=harmonics, lags=lags)
    row = estimate_rows(found, unit="", conf_level=level)[0]
    null = 1.0 if model.is_log else 0.0
    holds = bool(row["conf_low"] <= null <= row["conf_high"])
    words = (
        f"a false start before the change shows {row['estimate']:.3g} "
        f"({row['conf_low']:.3g} to {row['conf_high']:.3g}), where nothing changed"
    )
    return Check("placebo start", holds, words, float(row["estimate"]), null)
