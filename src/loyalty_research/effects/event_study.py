"""The difference between the arms in every period around one common start.

Each is a change since the last period before the start, with CR2 errors and Satterthwaite's degrees
of freedom (Bell and McCaffrey, Surv Methodol 2002;28:169), and a band that holds for all of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from loyalty_research.data.arguments import check_whole
from loyalty_research.data.frames import raise_faults
from loyalty_research.effects.adjusted import LEAST_DF
from loyalty_research.effects.asked import Asked, check_asked
from loyalty_research.effects.checks import Check, checks_table, count_words
from loyalty_research.effects.effect import Effect, Facts
from loyalty_research.effects.estimates import estimate_row, estimates_table
from loyalty_research.effects.event_times import EventTimes
from loyalty_research.effects.guards import open_guards
from loyalty_research.effects.linear import fit_linear
from loyalty_research.effects.panel import Panel, open_panel, refuse_unclustered_units
from loyalty_research.effects.pre_trends import pre_trend_checks
from loyalty_research.effects.simultaneous import normal_factor
from loyalty_research.errors import DesignError, Fault


def event_study(
    panel: Any,
    *,
    outcome: str,
    unit: str,
    period: str,
    first_treated: str,
    covariates: Sequence[str] | str | None = None,
    cluster: str | None = None,
    seed: int,
    n_draws: int = 20_000,
    outcome_unit: str = "",
    better: str = "",
    arms: tuple[str, str] = ("control", "programme"),
    override: Mapping[str, str] | None = None,
    conf_level: float = 0.95,
) -> Effect:
    """Return how the arms' difference moved, period by period, around one common start.

    Args:
        panel: One row a unit and period, every unit in every period. pandas, Polars, Arrow,
            DuckDB or Spark.
        outcome: Column of the outcome, a number, or 0 and 1.
        unit: Column that names the unit, such as a clinic.
        period: Column of the period: a whole number or a date.
        first_treated: Column with the first treated period, the same in all treated units;
            missing = never treated.
        covariates: Names of columns, or a formula, taken from the last period before the start:
            changes are compared at the covariates of the treated.
        cluster: Column that names what is independent; the unit if None.
        seed: Of the draws that make the band.
        n_draws: Their number.
        outcome_unit: Unit of the outcome, such as "minutes".
        better: "higher" or "lower", whichever is good for patients; "" leaves it unsaid.
        arms: What arm 0 and arm 1 are called.
        override: Guard -> reason, for "clusters".
        conf_level: Coverage of intervals and of the band.

    Returns:
        The effect. Estimates: `term, period, event_time, estimate, std_error, conf_low, conf_high,
        conf_level, p_value, n, n_events, scale, method, band_low, band_high`. The headline, term
        `average after the start`, is the mean of the event times from 0 on; a row `event time`
        for each follows, -1 being 0 by definition.

    Raises:
        DesignError: Units start at different times, or whole clinics were assigned and no
            `cluster` is named.
        DataError: A panel that is not complete, nobody treated or nobody to compare with, no
            period before the start, an arm with a single cluster; faults of the panel at once.
        UsageError: An argument that cannot be meant.

    Examples:
        >>> table = pd.DataFrame({"clinic": list("aaabbbcccddd"), "month": [1, 2, 3] * 4,
        ...     "start": [3] * 6 + [None] * 6,
        ...     "wait": [40.0, 41, 35, 38, 37, 33, 40, 41, 41, 42, 41, 41]})
        >>> effect = event_study(table, outcome="wait", unit="clinic", period="month",
        ...     first_treated="start", seed=1)
        >>> effect.estimates[["event_time", "estimate"]].dropna().round(6).to_dict("list")
        {'event_time': [-2, -1, 0], 'estimate': [0.0, 0.0, -5.0]}
    """
    asked = Asked(
        first_treated, outcome, covariates, cluster, None, False, outcome_unit, better, arms,
        override, conf_level,
    )  # fmt: skip
    check_asked(asked)
    seed = check_whole(seed, name="seed")
    n_draws = check_whole(n_draws, name="n_draws", minimum=1000)
    guards = open_guards(["clusters"], override=override)
    opened = open_panel(
        panel, outcome=outcome, unit=unit, period=period, first_treated=first_treated,
        covariates=covariates, cluster=cluster,
    )  # fmt: skip
    _refuse_dates(opened, first_treated)
    refuse_unclustered_units(
        guards, panel, unit=unit, first_treated=first_treated, cluster=cluster,
        n_units=opened.n_units,
    )  # fmt: skip
    raise_faults(_single_faults(opened))
    start = int(opened.cohorts[0])
    changes = _fit_changes(opened, start)
    table = _table(opened, changes, start, asked, seed, n_draws)
    treated = opened.start == start
    level = float(opened.outcome[treated, start:].mean())
    effect = float(table["estimate"].iloc[0])
    checks = [*guards.checks, _clusters_check(opened, changes.df, treated)]
    checks += pre_trend_checks(changes.times, conf_level=conf_level)
    facts = Facts(
        design="event study", estimand=_estimand(asked), outcome=outcome,
        measure="average effect after the start", n=opened.n_units, unit=outcome_unit,
        variance=f"CR2 by {opened.cluster_name}, Satterthwaite", better=better,
        arms=(arms[0], arms[1]), levels={0: level - effect, 1: level},
        sizes={0: int((~treated).sum()), 1: int(treated.sum())},
        n_events=int(opened.outcome.sum()) if opened.is_binary else None,
        n_clusters=None if cluster is None else opened.n_clusters, overrides=dict(guards.used),
        seed=seed, more={"rows_are": "units", "n_periods": opened.n_periods},
    )  # fmt: skip
    return Effect(table, checks_table(checks), facts)


@dataclass(frozen=True)
class _Changes:
    """Event times with their covariance, and the degrees of freedom that all of them share."""

    times: EventTimes
    df: float


def _fit_changes(panel: Panel, start: int) -> _Changes:
    """Return the arms' difference in the change since the last period before the start.

    All periods have one design, so that one set of leverages serves them all.
    """
    treated = (panel.start == start).astype(float)
    x = np.column_stack([np.ones(panel.n_units), treated])
    if panel.x is not None:
        # Centred where the treated are: the change is compared among units like them.
        own = panel.x[:, start - 1]
        x = np.column_stack([x, own - own[treated == 1].mean(axis=0)])
        _refuse_dependent(x)
    periods = np.delete(np.arange(panel.n_periods), start - 1)
    change = panel.outcome[:, periods] - panel.outcome[:, [start - 1]]
    fit = fit_linear(x, change[:, 0], cluster=panel.cluster)
    contrast = np.eye(x.shape[1])[1]
    beta = fit.bread @ (x.T @ change)
    z, residuals = x @ fit.root, change - x @ beta
    assert fit.leverage is not None  # noqa: S101 - a fit by cluster has it
    # What each cluster adds to the difference: weights of the contrast times adjusted scores.
    weight = fit.leverage[0] @ (fit.root.T @ contrast)
    own_weight = np.einsum("ij,ij->i", z, weight[panel.cluster])
    score = np.zeros((panel.n_clusters, len(periods)))
    np.add.at(score, panel.cluster, own_weight[:, None] * residuals)
    times = EventTimes(periods - start, beta[1], score.T @ score)
    return _Changes(times, fit.degrees_of_freedom(contrast))


def _table(
    panel: Panel, changes: _Changes, start: int, asked: Asked, seed: int, n_draws: int
) -> pd.DataFrame:
    times = changes.times
    error = np.sqrt(np.diag(times.covariance))
    shown = error > 0
    factor = math.nan
    if shown.any():
        factor = normal_factor(
            times.covariance[np.ix_(shown, shown)], df=changes.df, conf_level=asked.conf_level,
            n_draws=n_draws, seed=seed,
        )  # fmt: skip
    settings: dict[str, Any] = {
        "scale": "risk difference" if panel.is_binary else "mean difference",
        "method": "change since the last period before, CR2, Satterthwaite",
        "n": panel.n_units, "conf_level": asked.conf_level, "df": changes.df,
    }  # fmt: skip
    mean = times.after / times.after.sum()
    head = estimate_row(
        "average after the start", float(mean @ times.estimate),
        float(np.sqrt(mean @ times.covariance @ mean)), period=None, event_time=None, **settings,
    )  # fmt: skip
    rows = [head | {"band_low": math.nan, "band_high": math.nan}]
    for at in range(-start, panel.n_periods - start):
        found = np.flatnonzero(times.event_time == at)
        # The last period before the start, to which all others are compared, is 0 by definition.
        value, own = (times.estimate[found[0]], error[found[0]]) if len(found) else (0.0, 0.0)
        row = estimate_row(
            "event time", float(value), float(own), period=at + start, event_time=at, **settings
        )
        half = factor * row["std_error"]
        rows.append(row | {"band_low": value - half, "band_high": value + half})
    table = estimates_table(rows)
    labels = panel.periods.convert_dtypes()
    at_period = table["period"].astype("Int64").fillna(-1)
    return table.assign(
        period=labels.reindex(at_period).reset_index(drop=True),
        event_time=table["event_time"].astype("Int64"),
    )


# --- refusals and checks --------------------------------------------------------------------------


def _refuse_dates(panel: Panel, first_treated: str) -> None:
    """Refuse several starts, for which event times of one regression mix cohorts' effects.

    Sun and Abraham, J Econometrics 2021;225:175. No reason makes it right, so none is asked for.
    """
    n = len(panel.cohorts)
    if n > 1:
        words = f"units start in {n:,} different periods, so that there is no one before and after"
        repair = "call staggered_difference_in_differences, whose dynamic rows are the event study"
        raise DesignError("adoption dates", Fault("panel", first_treated, n, words, repair))


def _single_faults(panel: Panel) -> list[Fault]:
    """Return the fault of an arm whose variation between clusters cannot be seen."""
    treated = np.unique(panel.cluster[panel.start < panel.n_periods])
    control = np.unique(panel.cluster[panel.start == panel.n_periods])
    if min(len(treated), len(control)) > 1:
        return []
    words = "an arm has a single cluster, from which no variation between clusters can be known"
    repair = "compare difference_in_differences, whose clusters share one variance, or a "
    repair += "synthetic_control"
    return [Fault("panel", panel.cluster_name, 1, words, repair)]


def _refuse_dependent(x: np.ndarray) -> None:
    spread = x.std(axis=0)
    if np.linalg.matrix_rank(x / np.where(spread > 0, spread, 1)) < x.shape[1]:
        words = "covariates are determined by the arm, or by one another before the start"
        raise_faults([Fault("panel", "", len(x), words, "leave one out or join its levels")])


def _clusters_check(panel: Panel, df: float, treated: np.ndarray) -> Check:
    n = [len(np.unique(panel.cluster[group])) for group in (treated, ~treated)]
    words = f"{count_words(n[0], 'cluster')} with and {n[1]:,} without are worth {df:.1f} degrees "
    words += "of freedom"
    passed = df >= LEAST_DF
    words += "" if passed else "; assign more clusters, or state the interval as a rough one"
    return Check("degrees_of_freedom", bool(passed), words, df, LEAST_DF, gating=True)


def _estimand(asked: Asked) -> str:
    like = "" if asked.covariates is None else " with the covariates of the treated"
    return (
        f"mean effect on {asked.arms[1]} over the periods from the start on, if without it the "
        f"outcome had moved like that of {asked.arms[0]}{like}"
    )
