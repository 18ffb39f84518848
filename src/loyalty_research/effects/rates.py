"""The effect of a programme on a number of events per time under observation."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from loyalty_research.data.frames import raise_faults
from loyalty_research.effects.adjusted import (
    cluster_check,
    clusters_by_arm,
    refuse_few_or_spare,
)
from loyalty_research.effects.asked import Asked, Opened, among, make_effect, open_asked
from loyalty_research.effects.checks import Check
from loyalty_research.effects.cluster_means import SEED, contrast_rows
from loyalty_research.effects.count_model import CountFit, fit_counts, fit_overdispersed
from loyalty_research.effects.effect import Effect
from loyalty_research.effects.estimates import estimate_row, ratio_row
from loyalty_research.errors import Fault
from loyalty_research.retention.design_matrix import refuse_runaway

MOST_DISPERSION = 1.5
"""Pearson's statistic over its degrees of freedom from which the negative binomial is shown."""
_RATIO = "rate ratio"


def rate_ratio(
    data: Any,
    *,
    arm: str,
    outcome: str,
    exposure: str | None = None,
    covariates: Sequence[str] | str | None = None,
    cluster: str | None = None,
    strata: Sequence[str] | str | None = None,
    randomised: bool = False,
    better: str = "",
    arms: tuple[str, str] = ("control", "programme"),
    override: Mapping[str, str] | None = None,
    conf_level: float = 0.95,
) -> Effect:
    """Return by which factor the number of events per time differs between two arms.

    A Poisson model with the log of the exposure as offset; its ratio is right whatever the counts'
    variance, and the error is robust: HC1, or by cluster CR2 with Satterthwaite's degrees of
    freedom (McCaffrey and Bell, Stat Med 2006;25:4081). Where the counts vary more than 1.5 times
    what a Poisson model says, the negative binomial model stands beside.

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        arm: Column that is 1 or true for the programme, 0 or false for the comparison.
        outcome: Column with the number of events of each patient: whole, not negative, 0 for none.
            Rows where it is missing are left out and counted.
        exposure: Column with the time under observation, above 0, in any unit; None if it is the
            same for everybody.
        covariates: Columns known before the arm was, or a formula such as "age + C(sex)".
        cluster: Column that names what was assigned or is independent, such as the clinic.
        strata: Column or columns within which the arms were drawn.
        randomised: True where chance decided the arm.
        better: "higher" if events are good for patients, "lower" if bad; "" leaves it unsaid.
        arms: What arm 0 and arm 1 are called.
        override: Refusal -> reason why it is no mistake here; "clusters" can be overridden.
        conf_level: Coverage of the intervals.

    Returns:
        Rows `rate ratio` (`std_error` on the log scale) and `rate difference` (events per unit of
        exposure, by the delta method); a row `rate ratio, negative binomial` where the check
        "dispersion" fails; with clusters assigned whole `cluster-mean t` of the clusters' log
        rates, and, where an arm has fewer than 4, `permutation test`.

    Raises:
        UsageError: An argument that cannot be meant.
        DesignError: Whole clinics are in one arm each and `cluster` is not given.
        DataError: As `risk_difference`; an arm without events.
        SeparationError: A covariate without events at one of its levels.

    Examples:
        >>> import pandas as pd
        >>> data = pd.DataFrame({"arm": [0, 0, 1, 1], "visits": [2, 4, 3, 9],
        ...     "years": [1.0, 2.0, 1.0, 2.0]})
        >>> effect = rate_ratio(data, arm="arm", outcome="visits", exposure="years")
        >>> effect.estimates[["term", "estimate", "std_error"]].round(4)
                      term  estimate  std_error
        0       rate ratio       2.0     0.1667
        1  rate difference       2.0     0.6667
        >>> {arm: round(level, 6) for arm, level in effect.facts.levels.items()}
        {0: 2.0, 1: 4.0}
    """
    asked = Asked(
        arm, outcome, covariates, cluster, strata, randomised, "", better, arms, override,
        conf_level,
    )  # fmt: skip
    opened = open_asked(data, asked, kind="count", exposure=exposure)
    rows = opened.rows
    per = np.ones(rows.n) if rows.exposure is None else rows.exposure
    raise_faults(_no_events(opened, asked))
    refuse_few_or_spare(opened)
    x, terms = _columns(opened)
    fit = fit_counts(x, rows.outcome, offset=np.log(per), cluster=rows.cluster)
    refuse_runaway(terms, fit.running[2:])
    unit = f"{outcome} per {exposure or 'patient'}"
    levels, table = _rows(opened, asked, fit, x, per, unit)
    if fit.dispersion > MOST_DISPERSION:
        wide = fit_overdispersed(x, rows.outcome, offset=np.log(per), cluster=rows.cluster)
        table.append(_ratio(opened, asked, wide, f"{_RATIO}, negative binomial"))
    opened.checks += cluster_check(opened, fit.contrast(_second(x))[2])
    opened.checks.append(_dispersion_check(fit))
    beside, seed = _beside(opened, asked, per)
    asked = dataclasses.replace(asked, unit=unit)
    return make_effect(
        asked, opened, table + beside, measure=_RATIO,
        estimand=f"ratio of {unit}, {among(asked, opened)}", variance=str(table[0]["method"]),
        levels=levels, n_events=int(rows.outcome.sum()), seed=seed,
    )  # fmt: skip


# --- steps ----------------------------------------------------------------------------------------


def _no_events(opened: Opened, asked: Asked) -> list[Fault]:
    rows = opened.rows
    message = "arm {} has no event, so that the ratio is 0 or infinite"
    repair = "compare shares with an event (risk_difference)"
    return [
        Fault("data", asked.outcome, 0, message.format(k), repair)
        for k in (0, 1) if not rows.outcome[rows.arm == k].any()
    ]  # fmt: skip


def _columns(opened: Opened) -> tuple[np.ndarray, list[str]]:
    rows = opened.rows
    pieces = [np.ones(rows.n), rows.arm.astype(float)]
    if opened.terms:
        pieces.append(opened.x - opened.x.mean(axis=0))
    return np.column_stack(pieces), opened.terms


def _second(x: np.ndarray) -> np.ndarray:
    weights = np.zeros(x.shape[1])
    weights[1] = 1
    return weights


def _ratio(opened: Opened, asked: Asked, fit: CountFit, term: str) -> dict[str, Any]:
    log_ratio, error, df = fit.contrast(_second(np.empty((0, len(fit.beta)))))
    kind = "HC1" if opened.rows.cluster is None else "CR2, Satterthwaite df"
    law = "Poisson" if math.isinf(fit.theta) else f"negative binomial, theta {fit.theta:.4g}"
    return ratio_row(
        term, log_ratio, error, df=df, scale=_RATIO, method=f"{law} model, {kind}",
        n=opened.rows.n, n_events=int(opened.rows.outcome.sum()), conf_level=asked.conf_level,
    )  # fmt: skip


def _rows(
    opened: Opened, asked: Asked, fit: CountFit, x: np.ndarray, per: np.ndarray, unit: str
) -> tuple[dict[int, float], list[dict[str, Any]]]:
    """Return each arm's rate at the covariates of all, and the rows of ratio and difference."""
    levels, slopes = {}, {}
    for k in (0, 1):
        all_in = x.copy()
        all_in[:, 1] = k
        expected = np.exp(all_in @ fit.beta) * per / per.sum()
        levels[k], slopes[k] = float(expected.sum()), expected @ all_in
    slope = slopes[1] - slopes[0]
    _, error, df = fit.contrast(slope)
    first = _ratio(opened, asked, fit, _RATIO)
    difference = estimate_row(
        "rate difference", levels[1] - levels[0], error, df=df, scale=unit,
        method=f"difference of levels, delta; {first['method']}", n=first["n"],
        n_events=first["n_events"], conf_level=asked.conf_level,
    )  # fmt: skip
    return levels, [first, difference]


def _dispersion_check(fit: CountFit) -> Check:
    passed = bool(fit.dispersion <= MOST_DISPERSION)
    words = f"counts vary {fit.dispersion:.2f} times as much as a Poisson model says"
    if not passed:
        words += "; the robust error allows for it, and the negative binomial stands beside"
    return Check("dispersion", passed, words, fit.dispersion, MOST_DISPERSION)


def _beside(
    opened: Opened, asked: Asked, per: np.ndarray
) -> tuple[list[dict[str, Any]], int | None]:
    """Return the contrast of the clusters' log rates, none where a cluster has no event.

    Hayes and Moulton, Cluster Randomised Trials, 2009, chapter 10.
    """
    rows = opened.rows
    if clusters_by_arm(rows.arm, rows.cluster) is None:
        return [], None
    cluster = np.asarray(rows.cluster)
    events = np.bincount(cluster, rows.outcome)
    if not events.all():
        return [], None
    settings: dict[str, Any] = {
        "scale": _RATIO, "n": rows.n, "n_events": int(events.sum()), "conf_level": asked.conf_level,
    }  # fmt: skip
    value = np.log(events / np.bincount(cluster, per))
    table, seed = contrast_rows(opened, value, what="log rates", seed=SEED, **settings)
    limits = ("estimate", "conf_low", "conf_high")
    return [row | {name: math.exp(row[name]) for name in limits} for row in table], seed
