"""How a programme changes how long patients stay: shares, mean times and hazards by arm.

Without covariates the arms are compared as they are, with the variance of a formula. With
covariates each patient is weighed by one over the probability of the arm (Cole and Hernan, Computer
Methods and Programs in Biomedicine 2004;75:45), and the error is that of a bootstrap over patients
in which the weights are estimated anew: to take them as known covers too little or too much.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from loyalty_research.data.arguments import check_choice, check_share, check_whole
from loyalty_research.data.frames import missing_columns, raise_faults
from loyalty_research.effects.arms import MOST_GAP, refuse_unclustered, sizes_by_arm
from loyalty_research.effects.checks import Check, checks_table
from loyalty_research.effects.effect import Effect, Facts
from loyalty_research.effects.estimates import estimate_row, estimates_table, ratio_row
from loyalty_research.effects.follow_up import (
    FollowUp,
    areas_of,
    curves_of,
    log_hazard_ratio,
    open_follow_up,
    retention_at,
    smooth_curves,
    sums_of,
)
from loyalty_research.effects.guards import Guards, open_guards
from loyalty_research.effects.immortal import (
    IMMORTAL,
    TIME_ZERO,
    enrolment_days,
    refuse_immortal,
    time_zero_check,
)
from loyalty_research.effects.observational import (
    clusters_check,
    comparable_checks,
    effective_by_arm,
    standardised_differences,
)
from loyalty_research.effects.propensity_model import ESTIMANDS, IN_WHOM
from loyalty_research.effects.resampling import Draws, bootstrap, check_draws
from loyalty_research.effects.sensitivity import e_value_facts
from loyalty_research.errors import UsageError
from loyalty_research.retention.cox import cox_regression
from loyalty_research.retention.curve_limits import add_limits
from loyalty_research.retention.curves import kaplan_meier
from loyalty_research.retention.restricted_mean import restricted_mean_difference
from loyalty_research.retention.rows import take_columns

GUARDS = (IMMORTAL, TIME_ZERO, "clusters", "weights")


def weighted_retention(
    data: Any,
    *,
    arm: str,
    times: Sequence[int] | None = None,
    covariates: Sequence[str] | str | None = None,
    weight: str | None = None,
    cluster: str | None = None,
    estimand: str = "ATE",
    time: str = "time",
    event: str = "event",
    n_boot: int = 500,
    seed: int | None = None,
    conf_level: float = 0.95,
) -> pd.DataFrame:
    """Return the retention curve of each arm, weighted so that the arms are alike.

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        arm: Column that is 1 or true for the programme, 0 or false for the comparison.
        times: Days at which the curve is wanted; all distinct times unless told.
        covariates: What the weights make alike, measured by time 0: names of columns or a formula.
        weight: Column of weights that are given, above 0.
        cluster: Column that names what is independent.
        estimand: In whom: "ATE" in all, "ATT" in those who joined, "ATO" in the overlap.
        time: Column with the time of event or censoring: whole units, not negative.
        event: Column that is true or 1 for an event, false or 0 for censoring.
        n_boot: Samples of the bootstrap, which is used with covariates, weights or clusters.
        seed: Starts its random numbers; needed with it. One seed repeats one order of rows:
            sort them by the patient's identifier to have the same interval again.
        conf_level: Coverage of the pointwise intervals, on the log-log scale.

    Returns:
        One row an arm and time, as `kaplan_meier` returns them: `n_at_risk`, `n_events` and
        `n_censored` count rows, `estimate` is weighted.

    Raises:
        UsageError: An unknown estimand, no seed, times that are not whole.
        DataError: As for `kaplan_meier`; arms not coded 0 and 1, or one without rows.
        SeparationError: Covariates tell the arms apart.

    Examples:
        >>> data = pd.DataFrame({"arm": [0, 0, 1, 1], "time": [1, 3, 2, 4], "event": [1, 0, 1, 0]})
        >>> weighted_retention(data, arm="arm", times=[2])[["arm", "time", "estimate"]]
           arm  time  estimate
        0    0     2       0.5
        1    1     2       0.5
    """
    level = check_share(conf_level, name="conf_level")
    rows = _open(data, arm, time, event, covariates, weight, cluster, estimand)
    when = None if times is None else [check_whole(day, name="times") for day in times]
    coded = pd.DataFrame({arm: rows.arm, time: rows.time, event: rows.event})
    table = kaplan_meier(coded, by=arm, time=time, event=event, times=when, conf_level=level)
    if rows.simple:
        return table
    parts = [part for _, part in table.groupby(arm, sort=False)]
    asked = [part["time"].tolist() for part in parts]
    draws, found = _estimates(rows, lambda c: np.concatenate(
        [retention_at(c[[k]], rows.days, asked[k])[0] for k in (0, 1)]
    ), n_boot, seed)  # fmt: skip
    values = np.split(found, [len(asked[0])])
    errors = np.split(draws.errors(), [len(asked[0])])
    with np.errstate(divide="ignore", invalid="ignore"):
        whole = [
            add_limits(part, value, error / value, conf_level=level, conf_type="log-log")
            for part, value, error in zip(parts, values, errors, strict=True)
        ]
    return pd.concat(whole, ignore_index=True)[list(table)]


def retention_difference(
    data: Any,
    *,
    arm: str,
    day: int,
    covariates: Sequence[str] | str | None = None,
    weight: str | None = None,
    cluster: str | None = None,
    estimand: str = "ATE",
    randomised: bool = False,
    exposed_at: str | None = None,
    override: Mapping[str, str] | None = None,
    time: str = "time",
    event: str = "event",
    n_boot: int = 500,
    seed: int | None = None,
    conf_level: float = 0.95,
) -> Effect:
    """Return how many more patients of arm 1 are still there on a day.

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        arm: Column that is 1 or true for the programme, 0 or false for the comparison, as it was
            at time 0; for an arm that is decided later see `emulate_trial`.
        day: The day, in the unit of `time`.
        covariates: What the weights make alike, measured by time 0: names of columns or a formula.
        weight: Column of weights that are given, above 0.
        cluster: Column that names what is independent.
        estimand: In whom: "ATE" in all, "ATT" in those who joined, "ATO" in the overlap.
        randomised: The arms were drawn by lot.
        exposed_at: Column with the day of enrolment, missing = never: an arm 1 of patients who
            enrolled after day 0 is refused. Without it and without a lot the check "time zero"
            fails, since nothing shows when the arms were formed.
        override: Guard -> reason, for "immortal time", "time zero", "clusters" and "weights".
        time: Column with the time of event or censoring: whole units, not negative.
        event: Column that is true or 1 for an event, false or 0 for censoring.
        n_boot: Samples of the bootstrap, which is used with covariates, weights or clusters.
        seed: Starts its random numbers; needed with it. One seed repeats one order of rows:
            sort them by the patient's identifier to have the same interval again.
        conf_level: Coverage of the intervals.

    Returns:
        The difference of shares; then the ratio of those who left, and both shares.

    Raises:
        UsageError: A day after the last observation of an arm, no seed, an unknown estimand.
        DataError: As for `weighted_retention`.
        DesignError: `exposed_at` shows that arm 1 was decided after day 0; whole clinics are in one
            arm each and `cluster` is not given; one patient carries more than half of an arm's
            weight.
        SeparationError: Covariates tell the arms apart.

    Examples:
        >>> data = pd.DataFrame({"arm": [0] * 4 + [1] * 4, "time": [1, 2, 3, 4, 2, 4, 4, 4],
        ...     "event": [1, 1, 1, 0, 1, 0, 0, 0]})
        >>> found = retention_difference(data, arm="arm", day=3, randomised=True)
        >>> round(found.headline["estimate"], 4)
        0.5
    """
    level, day = check_share(conf_level, name="conf_level"), check_whole(day, name="day")
    rows = _open(data, arm, time, event, covariates, weight, cluster, estimand)
    guards = _guarded(data, rows, arm, cluster, exposed_at, override, randomised)
    _refuse_far(rows, day, "day")
    if rows.simple:
        draws, share = None, retention_at(curves_of(sums_of(rows, rows.base)), rows.days, [day])
        error = _greenwood(rows, day)
        shares = share[:, 0]
        spread = _contrast_errors(shares, error)
    else:
        draws, found = _estimates(
            rows, lambda c: _contrasts(retention_at(c, rows.days, [day])[:, 0]), n_boot, seed
        )
        shares, spread = found[2:], draws.errors()
    method = _method("Kaplan-Meier", rows, "Greenwood's variance", draws)
    return _retention_effect(rows, day, level, shares, spread, method, draws, randomised, guards)


def restricted_mean_effect(
    data: Any,
    *,
    arm: str,
    horizon: int,
    unit: str = "days",
    covariates: Sequence[str] | str | None = None,
    weight: str | None = None,
    cluster: str | None = None,
    estimand: str = "ATE",
    randomised: bool = False,
    exposed_at: str | None = None,
    override: Mapping[str, str] | None = None,
    time: str = "time",
    event: str = "event",
    n_boot: int = 500,
    seed: int | None = None,
    conf_level: float = 0.95,
) -> Effect:
    """Return how much longer patients of arm 1 stay within the time up to a horizon.

    The difference of the areas under both retention curves; no hazards need be proportional
    (Royston and Parmar, BMC Medical Research Methodology 2013;13:152).

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        arm: Column that is 1 or true for the programme, 0 or false for the comparison, as it was
            at time 0; for an arm that is decided later see `emulate_trial`.
        horizon: Until when time counts, a whole number from 1.
        unit: What the unit of `time` is called.
        covariates: What the weights make alike, measured by time 0: names of columns or a formula.
        weight: Column of weights that are given, above 0.
        cluster: Column that names what is independent.
        estimand: In whom: "ATE" in all, "ATT" in those who joined, "ATO" in the overlap.
        randomised: The arms were drawn by lot.
        exposed_at: Column with the day of enrolment, missing = never: an arm 1 of patients who
            enrolled after day 0 is refused. Without it and without a lot the check "time zero"
            fails, since nothing shows when the arms were formed.
        override: Guard -> reason, for "immortal time", "time zero", "clusters" and "weights".
        time: Column with the time of event or censoring: whole units, not negative.
        event: Column that is true or 1 for an event, false or 0 for censoring.
        n_boot: Samples of the bootstrap, which is used with covariates, weights or clusters.
        seed: Starts its random numbers; needed with it. One seed repeats one order of rows:
            sort them by the patient's identifier to have the same interval again.
        conf_level: Coverage of the intervals.

    Returns:
        The difference of mean times; then their ratio, and both means.

    Raises:
        UsageError: A horizon after the last observation of an arm, no seed, an unknown estimand.
        DataError: As for `weighted_retention`.
        DesignError: `exposed_at` shows that arm 1 was decided after day 0; whole clinics are in one
            arm each and `cluster` is not given; one patient carries more than half of an arm's
            weight.
        SeparationError: Covariates tell the arms apart.

    Examples:
        >>> data = pd.DataFrame({"arm": [0, 0, 1, 1], "time": [1, 3, 2, 4], "event": [1, 0, 1, 0]})
        >>> found = restricted_mean_effect(data, arm="arm", horizon=3, randomised=True)
        >>> found.headline["estimate"], found.facts.levels
        (0.5, {0: 2.0, 1: 2.5})
    """
    level = check_share(conf_level, name="conf_level")
    until = check_whole(horizon, name="horizon", minimum=1)
    rows = _open(data, arm, time, event, covariates, weight, cluster, estimand)
    guards = _guarded(data, rows, arm, cluster, exposed_at, override, randomised)
    _refuse_far(rows, until, "horizon")
    if rows.simple:
        draws, areas = None, areas_of(curves_of(sums_of(rows, rows.base)), rows.days, until)
        spread = _area_errors(rows, until)
    else:
        draws, found = _estimates(
            rows, lambda c: _mean_contrasts(areas_of(c, rows.days, until)), n_boot, seed
        )
        areas, spread = found[2:], draws.errors()
    settings: dict[str, Any] = {"n": rows.n, "n_events": rows.events_by(until), "conf_level": level}
    name = "area under Kaplan-Meier"
    settings["method"] = method = _method(name, rows, "Greenwood's variance", draws)
    values = _mean_contrasts(areas)
    table = [
        estimate_row("difference in mean time", values[0], spread[0], scale=unit, **settings),
        ratio_row("ratio of mean times", values[1], spread[1], scale="ratio of means", **settings)
        if np.isfinite(values[1]) else None,
        *(_level_row(f"mean time, arm {k}", areas[k], spread[2 + k], unit, settings)
          for k in (1, 0)),
    ]  # fmt: skip
    facts = _facts(
        rows, f"difference in the mean time there within {until} {unit}",
        measure="difference", outcome=f"mean time there within {until} {unit}", level=areas,
        n_events=rows.events_by(until), variance=method, draws=draws, randomised=randomised,
        better="higher", unit=unit,
    )  # fmt: skip
    return _effect(rows, table, facts, draws, randomised, guards, until)


def hazard_ratio(
    data: Any,
    *,
    arm: str,
    day: int,
    covariates: Sequence[str] | str | None = None,
    weight: str | None = None,
    cluster: str | None = None,
    estimand: str = "ATE",
    randomised: bool = False,
    exposed_at: str | None = None,
    override: Mapping[str, str] | None = None,
    time: str = "time",
    event: str = "event",
    n_boot: int = 500,
    seed: int | None = None,
    conf_level: float = 0.95,
) -> Effect:
    """Return the ratio of the hazards of leaving, beside the shares still there on a day.

    Cox's model with the arm alone, weighted with covariates, ties by Efron's rule: the marginal
    ratio. It is an average over time that depends on how long patients were followed, and where
    hazards are not proportional it stands for no single ratio (Hernan, Epidemiology 2010;21:13);
    `retention_difference` and `restricted_mean_effect` need no such assumption.

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        arm: Column that is 1 or true for the programme, 0 or false for the comparison, as it was
            at time 0; for an arm that is decided later see `emulate_trial`.
        day: The day on which both arms' retention is told, since a ratio says nothing without.
        covariates: What the weights make alike, measured by time 0: names of columns or a formula.
        weight: Column of weights that are given, above 0.
        cluster: Column that names what is independent.
        estimand: In whom: "ATE" in all, "ATT" in those who joined, "ATO" in the overlap.
        randomised: The arms were drawn by lot.
        exposed_at: Column with the day of enrolment, missing = never: an arm 1 of patients who
            enrolled after day 0 is refused. Without it and without a lot the check "time zero"
            fails, since nothing shows when the arms were formed.
        override: Guard -> reason, for "immortal time", "time zero", "clusters" and "weights".
        time: Column with the time of event or censoring: whole units, not negative.
        event: Column that is true or 1 for an event, false or 0 for censoring.
        n_boot: Samples of the bootstrap, which is used with covariates, weights or clusters.
        seed: Starts its random numbers; needed with it. One seed repeats one order of rows:
            sort them by the patient's identifier to have the same interval again.
        conf_level: Coverage of the intervals.

    Returns:
        The hazard ratio; then both shares.

    Raises:
        UsageError: A day after the last observation of an arm, no seed, an unknown estimand.
        DataError: As for `weighted_retention`.
        DesignError: `exposed_at` shows that arm 1 was decided after day 0; whole clinics are in one
            arm each and `cluster` is not given; one patient carries more than half of an arm's
            weight.
        SeparationError: Covariates tell the arms apart, or an arm has no event.

    Examples:
        >>> data = pd.DataFrame({"arm": [0, 0, 1, 1], "time": [1, 3, 2, 4], "event": [1, 1, 1, 0]})
        >>> found = hazard_ratio(data, arm="arm", day=2, randomised=True)
        >>> found.headline["scale"], found.facts.levels
        ('hazard ratio', {0: 0.5, 1: 0.5})
    """
    level, day = check_share(conf_level, name="conf_level"), check_whole(day, name="day")
    rows = _open(data, arm, time, event, covariates, weight, cluster, estimand)
    guards = _guarded(data, rows, arm, cluster, exposed_at, override, randomised)
    _refuse_far(rows, day, "day")
    if rows.simple:
        draws, sums = None, sums_of(rows, rows.base)
        shares = retention_at(curves_of(sums), rows.days, [day])[:, 0]
        found = np.append(log_hazard_ratio(sums), shares)
        spread = np.append(_cox_error(rows), _greenwood(rows, day))
    else:
        draws, found = _hazard_draws(rows, day, n_boot, seed)
        spread, shares = draws.errors(), found[1:]
    settings: dict[str, Any] = {"n": rows.n, "n_events": int(rows.event.sum()), "conf_level": level}
    settings["method"] = method = _method("Cox", rows, "information", draws)
    table = [
        ratio_row("hazard ratio", found[0], spread[0], scale="hazard ratio", **settings),
        *(_level_row(f"retention on day {day}, arm {k}", shares[k], spread[1 + k], "share",
                     settings) for k in (1, 0)),
    ]  # fmt: skip
    facts = _facts(
        rows, "ratio of the hazards of leaving", measure="hazard ratio", outcome="leaving",
        level=shares, n_events=settings["n_events"], variance=method, draws=draws,
        randomised=randomised, better="lower", more={"levels_are": f"retention on day {day}"},
    )  # fmt: skip
    return _effect(rows, table, facts, draws, randomised, guards, day)


def smoothed_retention_difference(
    data: Any,
    *,
    arm: str,
    day: int,
    degree: int = 2,
    covariates: Sequence[str] | str | None = None,
    weight: str | None = None,
    cluster: str | None = None,
    estimand: str = "ATE",
    randomised: bool = False,
    exposed_at: str | None = None,
    override: Mapping[str, str] | None = None,
    time: str = "time",
    event: str = "event",
    n_boot: int = 500,
    seed: int | None = None,
    conf_level: float = 0.95,
) -> Effect:
    """Return how many more patients of arm 1 are still there on a day, by smooth hazards.

    A pooled logistic regression of leaving in each unit of time on the arm, a polynomial of time,
    and their products, weighted as `retention_difference` is (Hernan and Robins, Causal Inference:
    What If, 2020, section 17.4). It smooths both curves; where it disagrees with the weighted
    Kaplan-Meier curves, the polynomial is too stiff.

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        arm: Column that is 1 or true for the programme, 0 or false for the comparison, as it was
            at time 0; for an arm that is decided later see `emulate_trial`.
        day: The day, in the unit of `time`.
        degree: Of the polynomial, from 1 to 5.
        covariates: What the weights make alike, measured by time 0: names of columns or a formula.
        weight: Column of weights that are given, above 0.
        cluster: Column that names what is independent.
        estimand: In whom: "ATE" in all, "ATT" in those who joined, "ATO" in the overlap.
        randomised: The arms were drawn by lot.
        exposed_at: Column with the day of enrolment, missing = never: an arm 1 of patients who
            enrolled after day 0 is refused. Without it and without a lot the check "time zero"
            fails, since nothing shows when the arms were formed.
        override: Guard -> reason, for "immortal time", "time zero", "clusters" and "weights".
        time: Column with the time of event or censoring: whole units, not negative.
        event: Column that is true or 1 for an event, false or 0 for censoring.
        n_boot: Samples of the bootstrap.
        seed: Starts its random numbers. One seed repeats one order of rows: sort them by the
            patient's identifier to have the same interval again.
        conf_level: Coverage of the intervals.

    Returns:
        The difference of shares; then the ratio of those who left, and both shares.

    Raises:
        UsageError: A day after the last observation of an arm, no seed, an unknown estimand.
        DataError: As for `weighted_retention`.
        DesignError: `exposed_at` shows that arm 1 was decided after day 0; whole clinics are in one
            arm each and `cluster` is not given; one patient carries more than half of an arm's
            weight.
        SeparationError: Covariates tell the arms apart, or an arm has no event.

    Examples:
        >>> data = pd.DataFrame({"arm": [0, 1] * 10, "time": [1, 2, 3, 4, 5] * 4,
        ...     "event": [1, 1, 0, 1] * 5})
        >>> found = smoothed_retention_difference(data, arm="arm", day=4, degree=1, seed=1,
        ...     n_boot=50, randomised=True)
        >>> found.facts.seed
        1
    """
    level, day = check_share(conf_level, name="conf_level"), check_whole(day, name="day")
    power = check_whole(degree, name="degree", minimum=1)
    rows = _open(data, arm, time, event, covariates, weight, cluster, estimand)
    guards = _guarded(data, rows, arm, cluster, exposed_at, override, randomised)
    _refuse_far(rows, day, "day")
    weigh = rows.reweigh()
    n, start = check_draws(n_boot, seed)

    def statistic(drawn: np.ndarray) -> np.ndarray:
        curves, days = smooth_curves(sums_of(rows, weigh(drawn)[0]), rows.days, power)
        return _contrasts(retention_at(curves, days, [day])[:, 0])

    draws = bootstrap(statistic, rows.unit, n_boot=n, seed=start)
    found = statistic(np.ones(rows.n))
    method = _method(f"pooled logistic regression, time to the power of {power}", rows, "", draws)
    return _retention_effect(
        rows, day, level, found[2:], draws.errors(), method, draws, randomised, guards
    )


# --- estimates with their spread ------------------------------------------------------------------


def _retention_effect(
    rows: FollowUp, day: int, level: float, shares: np.ndarray, spread: np.ndarray, method: str,
    draws: Draws | None, randomised: bool, guards: Guards,
) -> Effect:  # fmt: skip
    """Return the difference of shares, the ratio of patients lost, and both shares."""
    settings: dict[str, Any] = {"n": rows.n, "n_events": rows.events_by(day)}
    settings |= {"conf_level": level, "method": method}
    values = _contrasts(shares)
    table = [
        estimate_row("retention difference", values[0], spread[0], scale="difference in shares",
                     **settings),
        ratio_row("ratio of patients lost", values[1], spread[1], scale="risk ratio", **settings)
        if np.isfinite(values[1]) else None,
        *(_level_row(f"retention, arm {k}", shares[k], spread[2 + k], "share", settings)
          for k in (1, 0)),
    ]  # fmt: skip
    facts = _facts(
        rows, f"difference in the share still there on day {day}", measure="difference",
        outcome=f"retention on day {day}", level=shares, n_events=rows.events_by(day),
        variance=method, draws=draws, randomised=randomised, better="higher",
    )  # fmt: skip
    return _effect(rows, table, facts, draws, randomised, guards, day)


def _open(
    data: Any, arm: str, time: str, event: str, covariates: Sequence[str] | str | None,
    weight: str | None, cluster: str | None, estimand: str,
) -> FollowUp:  # fmt: skip
    check_choice(estimand, ESTIMANDS, name="estimand")
    return open_follow_up(
        data, arm=arm, time=time, event=event, covariates=covariates, weight=weight,
        cluster=cluster, estimand=estimand,
    )  # fmt: skip


def _estimates(
    rows: FollowUp, read: Callable[[np.ndarray], np.ndarray], n_boot: int, seed: int | None
) -> tuple[Draws, np.ndarray]:
    """Return what is read from the weighted curves, in samples of patients and in all."""
    weigh = rows.reweigh()
    n, start = check_draws(n_boot, seed)

    def statistic(drawn: np.ndarray) -> np.ndarray:
        return read(curves_of(sums_of(rows, weigh(drawn)[0])))

    draws = bootstrap(statistic, rows.unit, n_boot=n, seed=start)
    return draws, statistic(np.ones(rows.n))


def _hazard_draws(
    rows: FollowUp, day: int, n_boot: int, seed: int | None
) -> tuple[Draws, np.ndarray]:
    weigh = rows.reweigh()
    n, start = check_draws(n_boot, seed)

    def statistic(drawn: np.ndarray) -> np.ndarray:
        sums = sums_of(rows, weigh(drawn)[0], drawn)
        shares = retention_at(curves_of(sums), rows.days, [day])[:, 0]
        return np.append(log_hazard_ratio(sums), shares)

    return bootstrap(statistic, rows.unit, n_boot=n, seed=start), statistic(np.ones(rows.n))


def _contrasts(share: np.ndarray) -> np.ndarray:
    """Return difference, log ratio of those lost (0 where nobody was in an arm), and both."""
    lost = 1 - share
    ratio = math.log(lost[1] / lost[0]) if min(lost) > 0 else np.inf
    return np.array([share[1] - share[0], ratio, *share])


def _mean_contrasts(area: np.ndarray) -> np.ndarray:
    ratio = math.log(area[1] / area[0]) if min(area) > 0 else np.inf
    return np.array([area[1] - area[0], ratio, *area])


def _contrast_errors(share: np.ndarray, error: np.ndarray) -> np.ndarray:
    lost = 1 - share
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.array([np.hypot(*error), np.hypot(*(error / lost)), *error])


def _greenwood(rows: FollowUp, day: int) -> np.ndarray:
    """Return the standard error of each arm's share on a day by Greenwood's formula."""
    sums = sums_of(rows, rows.base)
    within = rows.days <= day
    left = sums.at_risk - sums.events
    part = np.divide(
        sums.events, sums.at_risk * left, out=np.zeros(left.shape), where=(left > 0) & within
    )
    share = retention_at(curves_of(sums), rows.days, [day])[:, 0]
    return np.asarray(share * np.sqrt(part.sum(axis=1)))


def _area_errors(rows: FollowUp, horizon: int) -> np.ndarray:
    coded = pd.DataFrame({"arm": rows.arm, "time": rows.time, "event": rows.event})
    both = restricted_mean_difference(coded, arm="arm", horizon=horizon)["std_error"].to_numpy()
    sums = sums_of(rows, rows.base)
    curves = curves_of(sums)
    edges = np.minimum(np.append(rows.days, max(horizon, int(rows.days[-1]))), horizon)
    after = (curves * np.diff(edges))[:, ::-1].cumsum(axis=1)[:, ::-1]
    left = sums.at_risk - sums.events
    part = np.divide(
        after**2 * sums.events, sums.at_risk * left, out=np.zeros(left.shape), where=left > 0
    )
    return np.array([*both, *np.sqrt(part.sum(axis=1))])


def _cox_error(rows: FollowUp) -> float:
    coded = pd.DataFrame({"arm": rows.arm, "time": rows.time, "event": rows.event})
    return float(cox_regression(coded, covariates=["arm"])["std_error"].iloc[0])


def _level_row(
    term: str, value: float, error: float, scale: str, settings: dict[str, Any]
) -> dict[str, Any]:
    """Return a row of an arm's own level, of which no p-value asks whether it is 0."""
    row = estimate_row(term, value, error, scale=scale, **settings)
    row["p_value"] = math.nan
    row["conf_low"] = max(row["conf_low"], 0.0) if error > 0 else math.nan
    if scale == "share" and error > 0:
        row["conf_high"] = min(row["conf_high"], 1.0)
    return row


# --- what stands around the numbers ---------------------------------------------------------------


def _refuse_far(rows: FollowUp, day: int, name: str) -> None:
    """Refuse a day that an arm was not followed to, unless all its patients have left."""
    short = []
    for k in (0, 1):
        last = int(rows.time[rows.arm == k].max())
        at_last = (rows.arm == k) & (rows.time == last)
        if last < day and not rows.event[at_last].all():
            short.append(last)
    if short:
        raise UsageError(
            f"{name}={day} is after the last observation of an arm; give at most {min(short)}"
        )


def _method(base: str, rows: FollowUp, formula: str, draws: Draws | None) -> str:
    if draws is None:
        return f"{base}, {formula}"
    words = f"weighted {base}" if rows.x is not None or rows.weighted else base
    whole = "clusters" if rows.clustered else "patients"
    anew = ", weights estimated anew" if rows.x is not None else ""
    return f"{words}, bootstrap over {whole} ({draws.n_boot:,}{anew})"


def _facts(
    rows: FollowUp, what: str, *, measure: str, outcome: str, level: np.ndarray, n_events: int,
    variance: str, draws: Draws | None, randomised: bool, better: str, unit: str = "",
    more: dict[str, Any] | None = None,
) -> Facts:  # fmt: skip
    weighed = rows.x is not None
    design = "randomised" if randomised else "as they came"
    if weighed:
        design = "weights for who joined" + (", randomised" if randomised else "")
    whom = f"in {IN_WHOM[rows.estimand]}" if weighed else "in the patients compared"
    weight = rows.weights()[0] if weighed or rows.weighted else None
    return Facts(
        design=design, estimand=f"{what}, arm 1 against arm 0, {whom}", measure=measure,
        outcome=outcome, variance=variance, n=rows.n, unit=unit, better=better,
        causal=randomised or weighed, levels={k: float(level[k]) for k in (0, 1)},
        sizes=sizes_by_arm(rows.arm), n_events=n_events,
        n_clusters=int(rows.unit.max()) + 1 if rows.clustered else None,
        effective_n={} if weight is None else effective_by_arm(rows.arm, weight),
        seed=None if draws is None else draws.seed, more=more or {},
    )  # fmt: skip


def _guarded(
    data: Any, rows: FollowUp, arm: str, cluster: str | None, exposed_at: str | None,
    override: Mapping[str, str] | None, randomised: bool,
) -> Guards:  # fmt: skip
    """Refuse clinics assigned whole, and an arm decided after day 0 where that day is given."""
    guards = open_guards(GUARDS, override=override)
    refuse_unclustered(guards, data, arm=arm, cluster=cluster)
    if not randomised:
        guards.checks.append(time_zero_check(guards, known=exposed_at is not None))
    if exposed_at is None:
        return guards
    raise_faults(missing_columns(data, [exposed_at], table="data"))
    at, faults = enrolment_days(take_columns(data, [exposed_at])[exposed_at])
    raise_faults(faults)
    refuse_immortal(guards, arm=rows.arm, at=at, time=rows.time, event=rows.event, name=arm)
    return guards


def _effect(
    rows: FollowUp, table: Sequence[dict[str, Any] | None], facts: Facts, draws: Draws | None,
    randomised: bool, guards: Guards, until: int,
) -> Effect:  # fmt: skip
    weighed = [] if rows.x is None else _weight_checks(rows, rows.x[:, 1:], guards)
    checks = [_assignment(rows, randomised), *guards.checks, *weighed]
    if rows.clustered:
        checks.append(clusters_check(rows.arm, rows.unit))
    checks.append(_followed_check(rows, until))
    if draws is not None:
        checks.append(draws.check())
    kept = [row for row in table if row is not None]
    more = dict(facts.more)
    if not randomised:
        e_values, check = e_value_facts(kept)
        more |= e_values
        checks.append(check)
    facts = dataclasses.replace(facts, more=more, overrides=dict(guards.used))
    return Effect(estimates_table(kept), checks_table(checks), facts)


def _weight_checks(rows: FollowUp, x: np.ndarray, guards: Guards) -> list[Check]:
    weight, p = rows.weights()
    return comparable_checks(
        standardised_differences(x, rows.arm, weight=weight), rows.terms, arm=rows.arm,
        weight=weight, propensity=np.asarray(p), estimand=rows.estimand, guards=guards,
    )  # fmt: skip


def _followed_check(rows: FollowUp, until: int) -> Check:
    """Return whether as many of each arm were followed until they left or to the day.

    It does not withhold: curves allow for patients who are censored alike, such as those who came
    late and whom the end of the data cuts off.
    """
    known = (rows.event > 0) | (rows.time >= until)
    share = {k: float(known[rows.arm == k].mean()) for k in (0, 1)}
    gap = abs(share[1] - share[0])
    passed = gap <= MOST_GAP + 1e-9
    words = f"followed until they left or to day {until} were {100 * share[1]:.1f} % with and "
    words += f"{100 * share[0]:.1f} % without"
    if not passed:
        words += (
            "; harmless where only the end of the data cuts off, else weigh by the probability of "
            "being followed (censoring_weights) and try tipping_point"
        )
    return Check("follow_up", passed, words, gap, MOST_GAP)


def _assignment(rows: FollowUp, randomised: bool) -> Check:
    if randomised:
        return Check("assignment", True, "arms were drawn by lot", gating=True)
    if rows.x is not None:
        return Check(
            "assignment", None, "arms came about by choice; the weights stand for what was "
            "measured, and nothing stands for what was not",
        )  # fmt: skip
    told = "arms came about by choice: this is an association; weigh by covariates="
    return Check("assignment", False, told, gating=True)
