"""What a caller asks of a contrast of two arms, and the door through which it goes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from loyalty_research.data.arguments import check_share
from loyalty_research.data.frames import raise_faults
from loyalty_research.effects.arms import (
    ArmRows,
    completeness_check,
    open_arms,
    refuse_unclustered,
)
from loyalty_research.effects.checks import Check, checks_table, count_words
from loyalty_research.effects.effect import Effect, Facts
from loyalty_research.effects.estimates import estimates_table
from loyalty_research.effects.guards import Guards, open_guards
from loyalty_research.effects.sensitivity import RATIO_MEASURES, e_value_facts
from loyalty_research.errors import Fault, UsageError
from loyalty_research.retention.design_matrix import needed_columns
from loyalty_research.retention.rows import group_codes

BETTER = ("", "higher", "lower")
_MOST_STRATA = 30
"""Strata beyond which indicators of each are more than an adjustment."""


@dataclass(frozen=True)
class Asked:
    """The arguments that contrasts of two arms share.

    Attributes:
        arm: Column of the arm.
        outcome: Column of the outcome.
        covariates: Names of columns, a formula, or None.
        cluster: Column that names what is independent, or None.
        strata: Column or columns within which arms were drawn, or None.
        randomised: Whether chance decided who is in which arm.
        unit: Unit of the outcome.
        better: "higher", "lower" or "".
        arms: What arm 0 and arm 1 are called.
        override: Guard -> reason.
        conf_level: Coverage of intervals.
        exposed_at: Column with the day of enrolment, counted from time zero, or None.
    """

    arm: str
    outcome: str
    covariates: Sequence[str] | str | None = None
    cluster: str | None = None
    strata: Sequence[str] | str | None = None
    randomised: bool = False
    unit: str = ""
    better: str = ""
    arms: tuple[str, str] = ("control", "programme")
    override: Mapping[str, str] | None = None
    conf_level: float = 0.95
    exposed_at: str | None = None


@dataclass
class Opened:
    """The rows of a contrast with what has been looked at already.

    Attributes:
        rows: The arrays.
        x: Covariates and indicators of strata as numbers.
        terms: The names of their columns.
        stratum: Codes of the strata, or None.
        guards: The guards of the call.
        checks: Checks made so far, in the order they are to be read.
    """

    rows: ArmRows
    x: np.ndarray
    terms: list[str]
    stratum: np.ndarray | None
    guards: Guards
    checks: list[Check] = field(default_factory=list)


def open_asked(
    data: Any,
    asked: Asked,
    *,
    kind: str,
    exposure: str | None = None,
    more: Sequence[str] = (),
    guards: Sequence[str] = (),
) -> Opened:
    """Return the rows of a contrast, checked and with its first checks made.

    Args:
        data: One row a patient. Any frame.
        asked: The arguments.
        kind: "number", "binary" or "count".
        exposure: Column with the time under observation, or None.
        more: Other columns, which must be filled.
        guards: Names of the design's own guards, beside "clusters".

    Returns:
        The rows with the checks "assignment", "clusters" and "completeness".

    Raises:
        UsageError: An argument that cannot be meant.
        DesignError: The guard "clusters" is broken.
        DataError: The data break the contract.
    """
    check_asked(asked)
    known = open_guards(["clusters", *guards], override=asked.override)
    strata = [asked.strata] if isinstance(asked.strata, str) else list(asked.strata or [])
    rows = open_arms(
        data, arm=asked.arm, outcome=asked.outcome, kind=kind, covariates=asked.covariates,
        cluster=asked.cluster, exposure=exposure, more=list(dict.fromkeys([*more, *strata])),
    )  # fmt: skip
    refuse_unclustered(known, data, arm=asked.arm, cluster=asked.cluster)
    stratum = group_codes(rows.more, strata)[0] if strata else None
    x, terms = rows.x, [] if rows.design is None else list(rows.design.terms)
    if stratum is not None:
        raise_faults(_stratum_faults(rows.arm, stratum, strata))
        marks = stratum[:, None] == np.arange(1, stratum.max() + 1)
        x, terms = (
            np.column_stack([x, marks]),
            terms + [f"stratum {k + 2}" for k in range(marks.shape[1])],
        )
    checks = [assignment_check(asked), *known.checks]
    checks.append(completeness_check(rows, outcome=asked.outcome))
    return Opened(rows, x, terms, stratum, known, checks)


def check_asked(asked: Asked) -> None:
    """Refuse arguments that cannot be meant.

    Args:
        asked: The arguments.

    Raises:
        UsageError: `better`, `conf_level`, `randomised` or `arms` is none of what is understood; a
            covariate is the arm or the outcome.

    Examples:
        >>> check_asked(Asked("arm", "came", better="more"))
        Traceback (most recent call last):
        ...
        loyalty_research.errors.UsageError: better='more' must be 'higher' or 'lower', whichever \
is good for patients
    """
    check_share(asked.conf_level, name="conf_level")
    if asked.better not in BETTER:
        words = "must be 'higher' or 'lower', whichever is good for patients"
        raise UsageError(f"better={asked.better!r} {words}")
    named = [] if asked.covariates is None else needed_columns(asked.covariates)
    for role, column in (("arm", asked.arm), ("outcome", asked.outcome)):
        if column in named:
            raise UsageError(f"covariates names {column}, which is the {role}; leave it out")
    if not isinstance(asked.randomised, bool | np.bool_):
        raise UsageError("randomised must be True or False: did chance decide who is in which arm?")
    if len(asked.arms) != 2 or isinstance(asked.arms, str):
        raise UsageError("arms must be two names, of arm 0 and of arm 1")


def assignment_check(asked: Asked) -> Check:
    """Return whether the arms may be compared as they are.

    Args:
        asked: The arguments.

    Returns:
        A gating check, which fails where chance did not decide.

    Examples:
        >>> assignment_check(Asked("arm", "came")).passed
        False
    """
    if asked.randomised:
        what = "clusters" if asked.cluster else "patients"
        return Check("assignment", True, f"stated: chance decided, for {what}", gating=True)
    message = (
        f"chance did not decide {asked.arm}, so that the contrast is an association; weigh for who "
        "took part (propensity_weights), or say randomised=True if a lottery decided"
    )
    return Check("assignment", False, message, gating=True)


def make_effect(
    asked: Asked,
    opened: Opened,
    table: list[dict[str, Any]],
    *,
    measure: str,
    estimand: str,
    variance: str,
    levels: Mapping[int, float],
    n_events: int | None,
    seed: int | None = None,
    more: Mapping[str, Any] | None = None,
) -> Effect:
    """Return rows of estimates with their checks and facts as an effect.

    Args:
        asked: The arguments.
        opened: The rows and checks.
        table: Rows of estimates, the headline first.
        measure: Name of the headline.
        estimand: What is estimated, in words.
        variance: How the error is computed.
        levels: The outcome's level by arm.
        n_events: Events, or None.
        seed: Seed of what was drawn, or None.
        more: Further facts.

    Returns:
        The effect.
    """
    rows = opened.rows
    missing = sum(rows.n_missing.values())
    if missing:
        estimand += f"; {count_words(missing, 'patient')} without a known {asked.outcome} left out"
    e_values, told = ({}, []) if asked.randomised else _confounding(opened, table)
    facts = Facts(
        design=design_words(asked), estimand=estimand, measure=measure, outcome=asked.outcome,
        variance=variance, n=rows.n, unit=asked.unit, better=asked.better,
        causal=bool(asked.randomised), arms=(asked.arms[0], asked.arms[1]), levels=dict(levels),
        sizes=dict(enumerate(rows.sizes())),
        n_events=n_events, n_clusters=rows.n_clusters, n_missing=dict(rows.n_missing),
        overrides=dict(opened.guards.used), seed=seed, more={**(more or {}), **e_values},
    )  # fmt: skip
    return Effect(estimates_table(table), checks_table([*opened.checks, *told]), facts)


def _confounding(
    opened: Opened, table: list[dict[str, Any]]
) -> tuple[dict[str, float], list[Check]]:
    """Return how strong an unmeasured cause of arm and outcome explains an association away."""
    rows = opened.rows
    sd = math.sqrt(np.mean([rows.outcome[rows.arm == k].var() for k in (0, 1)]))
    # Without a ratio the headline is a difference of means, whatever its unit is called.
    has_ratio = any(row["scale"] in RATIO_MEASURES for row in table)
    told = table if has_ratio else [table[0] | {"scale": "mean difference"}]
    facts, check = e_value_facts(told, sd=sd)
    return facts, [check]


def design_words(asked: Asked) -> str:
    """Return how the arms came about, in words.

    Args:
        asked: The arguments.

    Returns:
        The words.

    Examples:
        >>> design_words(Asked("arm", "came", cluster="clinic", randomised=True))
        'randomised by clinic'
    """
    if not asked.randomised:
        return "two groups as they came about"
    return f"randomised by {asked.cluster}" if asked.cluster else "patients randomised"


def among(asked: Asked, opened: Opened) -> str:
    """Return in whom and under which adjustment an effect is estimated, in words.

    Args:
        asked: The arguments.
        opened: The rows.

    Returns:
        The words, which end an estimand.
    """
    who = f"among all {opened.rows.n:,} patients compared"
    parts = [who if asked.randomised else f"between the {opened.rows.n:,} patients as they came"]
    if opened.terms:
        parts.append("at the covariates of all of them")
    if asked.cluster:
        parts.append("each patient counting alike")
    return ", ".join(parts)


def _stratum_faults(arm: np.ndarray, stratum: np.ndarray, strata: list[str]) -> list[Fault]:
    n = int(stratum.max()) + 1
    named = ", ".join(strata)
    if not 2 <= n <= _MOST_STRATA:
        message = f"{named} makes {count_words(n, 'stratum', 'strata')}"
        repair = f"join them to 2 to {_MOST_STRATA}, or give what they stand for as a covariate"
        return [Fault("data", named, n, message, repair)]
    least = np.minimum(np.bincount(stratum[arm == 0], minlength=n),
                       np.bincount(stratum[arm == 1], minlength=n))  # fmt: skip
    thin = int(np.count_nonzero(least < 2))
    message = f"{named}: {thin:,} of {n:,} strata have fewer than 2 patients in an arm"
    return [Fault("data", named, thin, message, "join them with like ones")] if thin else []
