"""Whether a programme does more for some patients than for others."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import f as fisher

from loyalty_research.data.arguments import as_columns, check_choice
from loyalty_research.data.frames import raise_faults
from loyalty_research.effects.adjusted import cluster_check, clusters_by_arm, fit_levels
from loyalty_research.effects.asked import Asked, Opened, among, make_effect, open_asked
from loyalty_research.effects.checks import Check, count_words
from loyalty_research.effects.effect import Effect
from loyalty_research.effects.estimates import estimate_row
from loyalty_research.effects.linear import LinearFit, fit_linear
from loyalty_research.effects.multiplicity import METHODS, adjusted_p
from loyalty_research.errors import Fault, UsageError
from loyalty_research.retention.rows import group_codes

_MOST_LEVELS = 12
"""Levels beyond which a column is no grouping of patients."""


@dataclass(frozen=True)
class _Groups:
    """One way to divide the patients."""

    by: str
    code: np.ndarray
    names: list[str]


def subgroup_effects(
    data: Any,
    *,
    arm: str,
    outcome: str,
    by: str | Sequence[str],
    covariates: Sequence[str] | str | None = None,
    cluster: str | None = None,
    primary: str | None = None,
    method: str = "holm",
    randomised: bool = False,
    unit: str = "",
    better: str = "",
    arms: tuple[str, str] = ("control", "programme"),
    override: Mapping[str, str] | None = None,
    conf_level: float = 0.95,
) -> Effect:
    """Return the effect in each subgroup with a test of whether the effects differ.

    That an effect is "significant" in one group and not in another says nothing of a difference;
    the only p-value is that of the interaction (Wang et al., NEJM 2007;357:2189). It is Wald's test
    with HC2 errors, or by cluster with CR2 and Satterthwaite's degrees of freedom, the smallest of
    them in Hotelling's form where there are more than two groups (Pustejovsky and Tipton, JBES
    2018;36:672). Effects are differences in means, of 0 and 1 in shares.

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        arm: Column that is 1 or true for the programme, 0 or false for the comparison.
        outcome: Column of numbers, or of 0 and 1. Rows where it is missing are left out.
        by: Column or columns that divide the patients, known before the arm was; each is taken by
            itself and has at most 12 levels.
        covariates: Columns known before the arm was; they act alike in all.
        cluster: Column that names what was assigned or is independent, such as the clinic.
        primary: The one of `by` that was named before the data were seen; it is not adjusted.
        method: How the others' p-values are adjusted: "holm" or "bh".
        randomised: True where chance decided the arm.
        unit: Unit of the outcome.
        better: "higher" or "lower", whichever is good for patients; "" leaves it unsaid.
        arms: What arm 0 and arm 1 are called.
        override: Refusal -> reason why it is no mistake here; "clusters" can be overridden.
        conf_level: Coverage of the intervals, each by itself.

    Returns:
        A row `overall`, then for each of `by` rows `subgroup` (`p_value` missing) and one row
        `interaction`; with two levels its estimate is the second's effect less the first's. Columns
        `by`, `level` and `p_adjusted` stand behind `term`.

    Raises:
        UsageError: An argument that cannot be meant.
        DesignError: Whole clinics are in one arm each and `cluster` is not given.
        DataError: As `mean_difference`; a subgroup without two patients (or clusters) in each arm.

    Examples:
        >>> import pandas as pd
        >>> data = pd.DataFrame({"arm": [0, 0, 1, 1] * 2, "sex": ["f"] * 4 + ["m"] * 4,
        ...     "score": [1.0, 2.0, 4.0, 5.0, 1.0, 2.0, 2.0, 3.0]})
        >>> effect = subgroup_effects(data, arm="arm", outcome="score", by="sex")
        >>> effect.estimates[["term", "level", "estimate", "p_value"]].round(3)
                  term level  estimate  p_value
        0      overall  None       2.0    0.030
        1     subgroup     f       3.0      NaN
        2     subgroup     m       1.0      NaN
        3  interaction  None      -2.0    0.116
    """
    names = as_columns(by)
    check_choice(method, METHODS, name="method")
    if not names or len(set(names)) < len(names):
        raise UsageError("by must name columns, each once")
    if primary is not None:
        check_choice(primary, names, name="primary")
    asked = Asked(
        arm, outcome, covariates, cluster, None, randomised, unit, better, arms, override,
        conf_level,
    )  # fmt: skip
    opened = open_asked(data, asked, kind="number", more=names)
    groups = [_groups(opened, name) for name in names]
    raise_faults(fault for one in groups for fault in _thin_faults(opened, one))
    levels = fit_levels(opened)
    estimate, error, df = levels.difference()
    settings = _settings(opened, asked)
    overall = estimate_row(
        "overall", estimate, error, df=df, n=opened.rows.n, method=levels.method(), by=None,
        level=None, p_adjusted=math.nan, **settings,
    )  # fmt: skip
    parts = [_rows(opened, one, settings) for one in groups]
    _adjust(parts, names, primary, method)
    opened.checks += [*cluster_check(opened, df), _multiplicity_check(names, primary, method)]
    return make_effect(
        asked, opened, [overall, *(row for part in parts for row in part)],
        measure="mean difference", variance=levels.method(), levels=levels.by_arm, n_events=None,
        estimand=f"difference in mean {outcome} overall and in groups by {', '.join(names)}, "
        f"{among(asked, opened)}",
    )  # fmt: skip


# --- steps ----------------------------------------------------------------------------------------


def _settings(opened: Opened, asked: Asked) -> dict[str, Any]:
    binary = bool(np.isin(opened.rows.outcome, [0, 1]).all()) and not asked.unit
    scale = "risk difference" if binary else asked.unit or "difference in means"
    return {"scale": scale, "conf_level": asked.conf_level}


def _groups(opened: Opened, by: str) -> _Groups:
    code, levels = group_codes(opened.rows.more, [by])
    if not 2 <= len(levels) <= _MOST_LEVELS:
        message = f"{by} has {count_words(len(levels), 'level')}"
        repair = f"cut it into 2 to {_MOST_LEVELS} groups"
        raise_faults([Fault("data", by, len(levels), message, repair)])
    return _Groups(by, np.asarray(code), [str(level) for level in levels[by]])


def _thin_faults(opened: Opened, groups: _Groups) -> list[Fault]:
    """Return the groups in which an arm has fewer than two independent units."""
    rows, thin = opened.rows, 0
    by_cluster = clusters_by_arm(rows.arm, rows.cluster) is not None
    unit = rows.cluster if by_cluster and rows.cluster is not None else np.arange(rows.n)
    for k in range(len(groups.names)):
        for a in (0, 1):
            at = (groups.code == k) & (rows.arm == a)
            thin += len(np.unique(unit[at])) < 2
    if not thin:
        return []
    what = "clusters" if by_cluster else "patients"
    message = f"{groups.by} has {count_words(thin, 'group')} of an arm with fewer than 2 {what}"
    return [Fault("data", groups.by, thin, message, "join these levels with others")]


def _fit(opened: Opened, groups: _Groups) -> LinearFit:
    """Return a model with a level of each arm in each group: first the levels, then the effects."""
    marks = (groups.code[:, None] == np.arange(len(groups.names))).astype(float)
    pieces = [marks, marks * opened.rows.arm[:, None]]
    if opened.terms:
        centred = opened.x - opened.x.mean(axis=0)
        # A covariate that the groups determine, such as the group itself, has nothing to add.
        left = centred - marks @ np.linalg.lstsq(marks, centred, rcond=None)[0]
        pieces.append(centred[:, left.std(axis=0) > 1e-9 * centred.std(axis=0)])
    return fit_linear(np.column_stack(pieces), opened.rows.outcome, cluster=opened.rows.cluster)


def _rows(opened: Opened, groups: _Groups, settings: dict[str, Any]) -> list[dict[str, Any]]:
    fit, m = _fit(opened, groups), len(groups.names)
    rows, effects = [], np.eye(len(fit.beta))[m : 2 * m]
    for k, name in enumerate(groups.names):
        estimate, error, df = fit.contrast(effects[k])
        row = estimate_row(
            "subgroup", estimate, error, df=df, n=int((groups.code == k).sum()), method=fit.kind,
            by=groups.by, level=name, p_adjusted=math.nan, **settings,
        )  # fmt: skip
        rows.append(row | {"p_value": math.nan})
    return [*rows, _interaction(fit, effects, groups, opened.rows.n, settings)]


def _interaction(
    fit: LinearFit, effects: np.ndarray, groups: _Groups, n: int, settings: dict[str, Any]
) -> dict[str, Any]:
    contrasts = effects[1:] - effects[0]
    q = len(contrasts)
    values = [fit.contrast(contrast) for contrast in contrasts]
    single = values[0] if q == 1 else (math.nan, math.nan, math.nan)
    df = min(value[2] for value in values)
    gap = contrasts @ fit.beta
    wald = float(gap @ np.linalg.pinv(contrasts @ fit.covariance @ contrasts.T) @ gap)
    # Without clusters n less the coefficients are left whatever is tested.
    left = df - q + 1 if fit.n_clusters is not None else df
    p_value = float(fisher.sf(wald * left / (df * q), q, left)) if left > 0 else math.nan
    row = estimate_row(
        "interaction", single[0], single[1], df=df if q == 1 else math.inf, n=n,
        method=f"Wald test of {q} contrasts, {fit.kind}" if q > 1 else fit.kind, by=groups.by,
        level=None, p_adjusted=math.nan, **settings,
    )  # fmt: skip
    return row | {"p_value": p_value}


def _adjust(
    parts: list[list[dict[str, Any]]], names: list[str], primary: str | None, method: str
) -> None:
    """Write the adjusted p-value into each interaction."""
    last = [part[-1] for part in parts]
    for row in last:
        row["p_adjusted"] = row["p_value"]
    rest = [
        row for row, name in zip(last, names, strict=True)
        if name != primary and not math.isnan(row["p_value"])
    ]  # fmt: skip
    found = adjusted_p(np.array([row["p_value"] for row in rest]), method=method)
    for row, value in zip(rest, found, strict=True):
        row["p_adjusted"] = float(value)


def _multiplicity_check(names: list[str], primary: str | None, method: str) -> Check:
    n = len(names) - (primary is not None)
    words = {"holm": "Holm", "bh": "Benjamini and Hochberg"}[method]
    told = f"{primary} was named before; " if primary else "no subgroup was named before; "
    told += f"{count_words(n, 'other interaction' if primary else 'interaction')} adjusted "
    return Check("multiplicity", None, f"{told}by {words}", float(n))
