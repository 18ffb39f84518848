"""What designs share that compare patients who chose: their door, their checks, their facts."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from loyalty_research.data.arguments import check_choice
from loyalty_research.data.frames import missing_columns, raise_faults
from loyalty_research.effects.arms import (
    KINDS,
    ArmRows,
    completeness_check,
    open_arms,
    refuse_unclustered,
)
from loyalty_research.effects.asked import Asked, check_asked
from loyalty_research.effects.checks import Check, checks_table, count_words
from loyalty_research.effects.effect import Effect, Facts
from loyalty_research.effects.estimates import estimates_table
from loyalty_research.effects.guards import Guards, open_guards
from loyalty_research.effects.immortal import (
    IMMORTAL,
    NEW_USERS,
    TIME_ZERO,
    enrolment_days,
    hold_to_time_zero,
)
from loyalty_research.effects.propensity_model import (
    IN_WHOM,
    PropensityModel,
    effective_size,
)
from loyalty_research.effects.sensitivity import e_value_facts
from loyalty_research.effects.stacking import (
    MEASURES,
    UNADJUSTED,
    Levels,
    contrast_rows,
    naive_levels,
)
from loyalty_research.errors import Fault
from loyalty_research.retention.rows import take_columns

MOST_SMD = 0.1
"""Standardised difference from which arms are taken as unlike."""
LEAST_EQUIPOISE = 0.2
"""Share of patients who could well have been in either arm, below which arms do not compare."""
LEAST_ESS = 0.25
"""Effective share of an arm, below which few of its patients carry the estimate."""
LEAST_CLUSTERS = 10
"""Clusters that hold an arm, below which a stacked variance is too small."""
MOST_SHARE = 0.5
"""Share of an arm's weight beyond which one patient is the arm."""

FEWEST = 20
"""Patients of an arm from which that is looked at."""

GUARDS = ("clusters", "weights", IMMORTAL)
_OVERLAP = "ask for the effect where both arms overlap, estimand='ATO', or trim=0.05"


@dataclass
class Observed:
    """The rows of an observational contrast, with the guards that looked at them.

    Attributes:
        rows: The arrays.
        guards: The guards of the call.
    """

    rows: ArmRows
    guards: Guards


def open_observed(data: Any, asked: Asked, *, kind: str, instead: str = "") -> Observed:
    """Return the rows of an observational contrast, or refuse with every fault.

    Args:
        data: One row a patient. Any frame.
        asked: The arguments; covariates among them.
        kind: "number", "binary" or "count".
        instead: The call that would work for clusters, where the design takes none.

    Returns:
        The rows.

    Raises:
        UsageError: An argument that cannot be meant.
        DesignError: Whole clinics are in one arm each and no cluster is given.
        DataError: The data break the contract, or the outcome is the same in every row.
    """
    check_asked(asked)
    check_choice(kind, KINDS, name="kind")
    guards = open_guards(GUARDS, override=asked.override)
    rows = open_arms(
        data, arm=asked.arm, outcome=asked.outcome, kind=kind, covariates=asked.covariates,
        cluster=asked.cluster,
    )  # fmt: skip
    refuse_constant(rows, asked.outcome)
    refuse_unclustered(guards, data, arm=asked.arm, cluster=asked.cluster, instead=instead)
    look_at_enrolment(guards, data, asked)
    return Observed(rows, guards)


def look_at_enrolment(guards: Guards, data: Any, asked: Asked) -> None:
    """Refuse an arm that was decided after time zero, where the day of enrolment is given.

    Args:
        guards: The guards of the call; a check of members before time zero is added to them.
        data: One row a patient.
        asked: The arguments, `exposed_at` among them.

    Raises:
        DesignError: Somebody in arm 1 enrolled after day 0.
        DataError: The column is missing, or holds days that are not whole.
    """
    if asked.exposed_at is None:
        return
    raise_faults(missing_columns(data, [asked.exposed_at], table="data"))
    table = take_columns(data, [asked.arm, asked.exposed_at])
    at, faults = enrolment_days(table[asked.exposed_at])
    raise_faults(faults)
    arm = table[asked.arm].astype(float).to_numpy()
    hold_to_time_zero(guards, arm=arm, at=at, name=asked.arm)


def refuse_constant(rows: ArmRows, outcome: str) -> None:
    """Refuse an outcome that is the same in every row.

    Args:
        rows: The opened rows.
        outcome: Its name.

    Raises:
        DataError: It does not vary.
    """
    if rows.outcome.min() == rows.outcome.max():
        words = f"{outcome} is the same in all {rows.n:,} rows where it is known"
        repair = "choose an outcome that varies, or follow patients for longer"
        raise_faults([Fault("data", outcome, rows.n, words, repair)])


def keep_rows(rows: ArmRows, kept: np.ndarray) -> ArmRows:
    """Return some of the rows.

    Args:
        rows: The opened rows.
        kept: True for those to keep.

    Returns:
        The rows kept, in their order; what was missing before stays counted.
    """
    if kept.all():
        return rows
    cluster = None
    if rows.cluster is not None:
        cluster = np.unique(rows.cluster[kept], return_inverse=True)[1]
    return dataclasses.replace(
        rows, arm=rows.arm[kept], outcome=rows.outcome[kept], x=rows.x[kept], cluster=cluster,
        more=rows.more[kept].reset_index(drop=True),
    )  # fmt: skip


# --- checks ---------------------------------------------------------------------------------------


def standardised_differences(
    x: np.ndarray, arm: np.ndarray, *, weight: np.ndarray | None = None
) -> np.ndarray:
    """Return how far the arms' means of each column lie apart, in unweighted standard deviations.

    The deviation is the root of the mean of both arms' variances, the same before and after
    weighting, so that weights cannot shrink a difference by widening a spread (Austin, Stat Med
    2009;28:3083).

    Args:
        x: A column a covariate.
        arm: 0 or 1.
        weight: Weights, or None.

    Returns:
        One number a column; where neither arm varies it is infinite if they differ, else missing.

    Examples:
        >>> x, arm = np.array([[1.0, 0], [3.0, 0], [2.0, 1], [6.0, 1]]), np.array([0, 0, 1, 1])
        >>> standardised_differences(x, arm).round(4).tolist()
        [0.8944, inf]
    """
    gap, sd = mean_differences(x, arm, weight=weight), pooled_sd(x, arm)
    apart = np.isnan(sd) & (np.abs(gap) > 1e-9 * np.abs(x).max(axis=0))
    return np.where(apart, np.copysign(np.inf, gap), gap / sd)


def mean_differences(x: np.ndarray, arm: np.ndarray, *, weight: np.ndarray | None) -> np.ndarray:
    """Return the arms' weighted means of each column, arm 1 less arm 0.

    Args:
        x: A column a covariate.
        arm: 0 or 1.
        weight: Weights, or None.

    Returns:
        One number a column.

    Examples:
        >>> x, arm = np.array([[1.0], [3.0], [2.0]]), np.array([0, 0, 1])
        >>> mean_differences(x, arm, weight=np.array([3.0, 1.0, 1.0])).tolist()
        [0.5]
    """
    weight = np.ones(len(arm)) if weight is None else weight
    own = [np.where(arm == k, weight, 0.0) for k in (0, 1)]
    return np.asarray(own[1] @ x / own[1].sum() - own[0] @ x / own[0].sum())


def pooled_sd(x: np.ndarray, arm: np.ndarray) -> np.ndarray:
    """Return the root of the mean of both arms' variances of each column.

    Args:
        x: A column a covariate.
        arm: 0 or 1.

    Returns:
        One number a column, missing where neither arm varies.

    Examples:
        >>> pooled_sd(np.array([[1.0], [3.0], [2.0], [6.0]]), np.array([0, 0, 1, 1])).tolist()
        [2.23606797749979]
    """
    spread = [_variance(x[arm == k]) for k in (0, 1)]
    sd = np.sqrt((spread[0] + spread[1]) / 2)
    return np.where(sd > 0, sd, np.nan)


def _variance(x: np.ndarray) -> np.ndarray:
    # An arm of one patient has no spread of its own; the other arm's stands alone.
    return x.var(axis=0, ddof=1) if len(x) > 1 else np.zeros(x.shape[1])


def preference_scores(propensity: np.ndarray, arm: np.ndarray) -> np.ndarray:
    """Return propensities with the programme's popularity taken out.

    logit F = logit e - logit of the share in the programme (Walker et al., Comp Eff Res 2013;3:11).

    Args:
        propensity: Between 0 and 1.
        arm: 0 or 1.

    Returns:
        Scores, 0.5 where a patient was as likely to be in the programme as the average one.

    Examples:
        >>> preference_scores(np.array([0.25, 0.5]), np.array([0, 0, 0, 1])).round(4).tolist()
        [0.5, 0.75]
    """
    share = arm.mean()
    odds = propensity / (1 - propensity) * (1 - share) / share
    return np.asarray(odds / (1 + odds))


def weight_checks(
    model: PropensityModel,
    gaps: np.ndarray,
    terms: Sequence[str],
    *,
    all_arms: np.ndarray,
    guards: Guards,
) -> list[Check]:
    """Return whether weights made the arms alike and rest on enough patients.

    Args:
        model: Propensities and weights.
        gaps: Weighted standardised differences.
        terms: The names of the covariates' columns.
        all_arms: The arm of every row, trimmed ones included.
        guards: The guards of the call, which know "weights".

    Returns:
        The checks.

    Raises:
        DesignError: One patient carries more than half of an arm's weight.
    """
    checks = comparable_checks(
        gaps, terms, arm=model.arm, weight=model.weight, propensity=model.arm - model.residual,
        estimand=model.estimand, guards=guards,
    )  # fmt: skip
    n = len(all_arms)
    if model.n_trimmed:
        by_arm = [int(np.count_nonzero(~model.kept & (all_arms == k))) for k in (0, 1)]
        words = f"{model.n_trimmed:,} of {n:,} patients left out by trimming, {by_arm[1]:,} of "
        words += "them in the programme; nothing is said of patients like them"
        checks.append(Check("trimmed", None, words, float(model.n_trimmed)))
    if model.n_truncated:
        words = f"{model.n_truncated:,} of {len(model.arm):,} propensities were cut, which trades "
        checks.append(Check("truncated", None, words + "bias for precision", model.n_truncated))
    return checks


def comparable_checks(
    gaps: np.ndarray,
    terms: Sequence[str],
    *,
    arm: np.ndarray,
    weight: np.ndarray,
    propensity: np.ndarray,
    estimand: str,
    guards: Guards,
) -> list[Check]:
    """Return whether weighted arms are alike, could be compared, and still weigh enough.

    Args:
        gaps: Weighted standardised differences.
        terms: The names of the covariates' columns.
        arm: 0 or 1.
        weight: Weights.
        propensity: Probability of arm 1.
        estimand: "ATE", "ATT" or "ATO".
        guards: The guards of the call, which know "weights".

    Returns:
        Gating checks `balance` (no difference above 0.1), `equipoise` (a fifth of the patients with
        a preference score from 0.3 to 0.7) and `effective_sample_size` (of the arm that loses most,
        at least a quarter of it).

    Raises:
        DesignError: One patient carries more than half of an arm's weight.

    Examples:
        >>> checks = comparable_checks(np.array([0.3]), ["old"], arm=np.array([0, 0, 1, 1]),
        ...     weight=np.ones(4), propensity=np.full(4, 0.5), estimand="ATE",
        ...     guards=open_guards(GUARDS, override=None))
        >>> [(one.check, one.passed) for one in checks]
        [('balance', False), ('equipoise', True), ('effective_sample_size', True)]
    """
    _refuse_exploded(arm, weight, guards)
    return [
        _balance(gaps, terms),
        _equipoise(arm, propensity),
        _effective(arm, weight, estimand),
    ]


def _refuse_exploded(arm: np.ndarray, weight: np.ndarray, guards: Guards) -> None:
    share, heavy = 0.0, 0
    for k in (0, 1):
        own = weight[arm == k]
        largest = float(own.max() / own.sum())
        # Of a handful of patients one may carry half without any weight being odd.
        if len(own) >= FEWEST and largest > share:
            share, heavy = largest, k
    words = f"one patient carries {100 * share:.0f} % of the weight of arm {heavy}"
    guards.refuse(
        "weights", broken=share > MOST_SHARE, column="", count=1, message=words, repair=_OVERLAP,
        fine=f"no patient carries half of the weight of an arm of {FEWEST} patients or more",
    )  # fmt: skip


def apart_words(gap: float) -> str:
    """Return how far two arms lie apart in a covariate, in words.

    Args:
        gap: Standardised difference, not negative.

    Returns:
        The words.

    Examples:
        >>> apart_words(0.25), apart_words(math.inf)
        ('by 0.250 SD', 'which tells them apart without fail')
    """
    return f"by {gap:.3f} SD" if math.isfinite(gap) else "which tells them apart without fail"


def _balance(gaps: np.ndarray, terms: Sequence[str]) -> Check:
    size = np.where(np.isnan(gaps), 0.0, np.abs(gaps))
    worst = int(np.argmax(size))
    passed = bool(size[worst] <= MOST_SMD)
    words = f"after weighting the arms differ most in {terms[worst]}, {apart_words(size[worst])}"
    if not passed:
        words += "; add squares and products of it to the covariates, or use estimand='ATO'"
    return Check("balance", passed, words, float(size[worst]), MOST_SMD, gating=True)


def _equipoise(arm: np.ndarray, propensity: np.ndarray) -> Check:
    scores = preference_scores(propensity, arm)
    share = float(np.mean((scores >= 0.3) & (scores <= 0.7)))
    passed = share >= LEAST_EQUIPOISE
    words = f"{100 * share:.0f} % of patients could well have been in either arm"
    if not passed:
        words += "; restrict to those who could (apply_criteria)"
    return Check("equipoise", passed, words, share, LEAST_EQUIPOISE, gating=True)


def _effective(arm: np.ndarray, weight: np.ndarray, estimand: str) -> Check:
    sizes = {k: int(np.count_nonzero(arm == k)) for k in (0, 1)}
    effective = effective_by_arm(arm, weight)
    least = min((0, 1), key=lambda k: effective[k] / sizes[k])
    share = effective[least] / sizes[least]
    passed = share >= LEAST_ESS
    words = f"{sizes[least]:,} patients of arm {least} weigh like {effective[least]:,.0f}"
    if not passed and estimand != "ATO":
        words += f"; {_OVERLAP}"
    name = "effective_sample_size"
    return Check(name, passed, words, share, LEAST_ESS, gating=True)


def standing_checks(rows: ArmRows, asked: Asked) -> list[Check]:
    """Return what a reader must know of every comparison of patients who chose.

    Args:
        rows: The rows whose outcome is known.
        asked: The arguments.

    Returns:
        Checks: completeness, clusters where there are any, assignment, and that neither time zero
        nor prevalent members were looked at, unless `exposed_at` let the guards do so.
    """
    checks = [completeness_check(rows, outcome=asked.outcome)]
    if rows.cluster is not None:
        checks.append(clusters_check(rows.arm, rows.cluster))
    words = "chance did not decide who took part: the arms are alike in the covariates given, and "
    words += "perhaps in nothing else; see the e_value"
    checks.append(Check("assignment", None, words))
    if asked.exposed_at is not None:
        return checks
    words = "not looked at: whether patients joined by the day from which the outcome counts; give "
    checks.append(Check(TIME_ZERO, None, words + "exposed_at="))
    words = "the data do not show since when patients were members: keep those who joined at time "
    words += "zero (apply_criteria), since members of long standing are those who stayed, or give "
    words += "exposed_at="
    return [*checks, Check(NEW_USERS, None, words)]


def clusters_check(arm: np.ndarray, cluster: np.ndarray) -> Check:
    """Return whether each arm lies in clusters enough for a variance that has no small-sample form.

    Args:
        arm: 0 or 1.
        cluster: Codes of what is independent.

    Returns:
        A gating check.

    Examples:
        >>> clusters_check(np.array([0, 0, 1, 1]), np.array([0, 1, 2, 3])).statistic
        2.0
    """
    least = min(int(np.unique(cluster[arm == k]).size) for k in (0, 1))
    passed = least >= LEAST_CLUSTERS
    words = f"an arm lies in {count_words(least, 'cluster')}"
    if not passed:
        words += "; stacked and drawn errors are too small then: mean_difference(cluster=...) has "
        words += "CR2"
    return Check("clusters", passed, words, float(least), float(LEAST_CLUSTERS), gating=True)


# --- the effect -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """What a design found, before it is put into words.

    Attributes:
        levels: Levels of both arms with their covariance.
        method: How, in words.
        variance: How the error is computed, in words.
        design: How the arms are made comparable, in words.
        estimand: "ATE", "ATT" or "ATO".
        sizes: Rows used of arm 0 and of arm 1.
        n_events: Events among them.
        effective_n: By arm; empty where rows count alike.
        checks: Of the design.
        n_trimmed: Rows left out.
        n_truncated: Rows whose propensity was cut.
    """

    levels: Levels
    method: str
    variance: str
    design: str
    estimand: str
    sizes: tuple[int, int]
    n_events: int
    effective_n: Mapping[int, float]
    checks: Sequence[Check]
    n_trimmed: int = 0
    n_truncated: int = 0

    @property
    def n(self) -> int:
        """Rows used."""
        return sum(self.sizes)


def make_observed(
    asked: Asked, observed: Observed, found: Found, *, kind: str, with_ratio: bool = True
) -> Effect:
    """Return what a design found as an effect, with the E-value and the naive contrast beside it.

    Args:
        asked: The arguments.
        observed: All rows whose outcome is known, trimmed ones included.
        found: What the design found.
        kind: "number", "binary" or "count".
        with_ratio: Whether the levels' covariance gives the ratio's error too.

    Returns:
        The effect.
    """
    rows = observed.rows
    table = contrast_rows(
        found.levels, rows, kind=kind, method=found.method, conf_level=asked.conf_level,
        n=found.n, n_events=found.n_events, with_ratio=with_ratio,
    )  # fmt: skip
    sd = math.sqrt(np.mean([rows.outcome[rows.arm == k].var() for k in (0, 1)]))
    adjusted = [row for row in table if row["term"] != UNADJUSTED]
    e_values, e_check = e_value_facts(adjusted, sd=sd, control=found.levels.value[0])
    naive = naive_levels(rows).difference()[0]
    more = {"in_whom": found.estimand, **e_values, UNADJUSTED: naive}
    measure = MEASURES[kind]
    facts = Facts(
        design=found.design, estimand=_estimand(asked, found, measure), measure=measure,
        outcome=asked.outcome, variance=found.variance + _by_cluster(asked), n=found.n,
        unit=asked.unit, better=asked.better, arms=(asked.arms[0], asked.arms[1]),
        levels=dict(enumerate(found.levels.value)), sizes=dict(enumerate(found.sizes)),
        n_events=None if kind == "number" else found.n_events, n_clusters=rows.n_clusters,
        effective_n=dict(found.effective_n), n_missing=dict(rows.n_missing),
        n_trimmed=found.n_trimmed, n_truncated=found.n_truncated,
        overrides=dict(observed.guards.used), more=more,
    )  # fmt: skip
    checks = [*found.checks, *observed.guards.checks, *standing_checks(rows, asked), e_check]
    return Effect(estimates_table(table), checks_table(checks), facts)


def _by_cluster(asked: Asked) -> str:
    return f", summed by {asked.cluster}, t with clusters less one" if asked.cluster else ""


def _estimand(asked: Asked, found: Found, measure: str) -> str:
    words = f"{measure} in {asked.outcome}, everybody in the programme against nobody, in "
    words += IN_WHOM[found.estimand]
    if found.n_trimmed:
        words += f", {count_words(found.n_trimmed, 'patient')} without counterparts left out"
    return words + "; causal only if the covariates hold all that decides both arm and outcome"


def effective_by_arm(arm: np.ndarray, weight: np.ndarray) -> dict[int, float]:
    """Return Kish's effective sample size of each arm.

    Args:
        arm: 0 or 1.
        weight: Weights.

    Returns:
        Arm -> size.

    Examples:
        >>> effective_by_arm(np.array([0, 0, 1]), np.array([1.0, 1.0, 5.0]))
        {0: 2.0, 1: 1.0}
    """
    return {k: effective_size(weight[arm == k]) for k in (0, 1)}
