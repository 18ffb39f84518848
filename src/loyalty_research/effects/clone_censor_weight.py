"""Strategies with a grace period: every patient in both arms until acting against one.

A programme that may be joined within 30 days leaves nobody's arm known on day 0. Each patient is
therefore entered twice, once for each strategy; a copy is censored when what the patient does
departs from its strategy, and those who stay are weighed by one over their probability of having
done so (Cain et al., International Journal of Biostatistics 2010;6(2):18; Hernan, BMJ
2018;360:k182; Maringe et al., International Journal of Epidemiology 2020;49:1719).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from loyalty_research.data.arguments import check_choice, check_share, check_whole
from loyalty_research.data.frames import missing_columns, raise_faults
from loyalty_research.effects.checks import Check, checks_table
from loyalty_research.effects.effect import Effect, Facts
from loyalty_research.effects.estimates import estimate_row, estimates_table, ratio_row
from loyalty_research.effects.follow_up import areas_of
from loyalty_research.effects.logit import fit_logit
from loyalty_research.effects.observational import MOST_SMD
from loyalty_research.effects.resampling import Draws, bootstrap, check_draws
from loyalty_research.effects.sensitivity import e_value_facts
from loyalty_research.effects.target_trial import entry_of, open_enrolments
from loyalty_research.errors import Fault, UsageError
from loyalty_research.retention.cox_likelihood import maximise, prepare
from loyalty_research.retention.design_matrix import SeparationError, build_design, needed_columns

COMPARISONS = ("never", "not_within_grace")
_ENOUGH = 10
"""Patients for each coefficient who must join on day 0 for it to have a model of its own (Peduzzi
et al., Journal of Clinical Epidemiology 1996;49:1373); else day 0 is a day like the others."""
_BLOCK = 4_000_000
"""Cells of patterns by days that are held at once."""


def clone_censor_weight(
    data: Any,
    *,
    exposed_at: str,
    grace: int,
    day: int,
    covariates: Sequence[str] | str,
    comparison: str = "never",
    eligible: Sequence[str] = (),
    unit: str = "days",
    time: str = "time",
    event: str = "event",
    n_boot: int = 200,
    seed: int | None = None,
    conf_level: float = 0.95,
) -> Effect:
    """Return the effect of joining within a grace period against not joining.

    Strategy 1 is to join by day `grace`; strategy 0 never to join, or not by then. On one day
    joining comes first, then leaving. Until the grace period ends those who have not joined are in
    both arms. Of strategy 1 the copies of those who had not joined by its end are censored there,
    and those who had weigh one over the probability of having joined, given the covariates, among
    all who stayed so long. Of strategy 0 a copy is censored on the day of joining and weighs, on
    each day, one over the probability of not having joined by then: a logistic model for day 0
    where many join on it, Cox's for the other days. Errors are those of a bootstrap over patients
    with all weights anew.

    Args:
        data: One row a patient, time counted from the first day on which joining was possible.
            pandas, Polars, Arrow, DuckDB or Spark.
        exposed_at: Column with the day of enrolment; missing = never, below 0 = before time zero.
        grace: Last day on which joining still counts as strategy 1; 0 for the first day only.
        day: The day on which retention is compared, and up to which mean times are; after `grace`.
        covariates: What drives both joining and leaving, known on day 0: names of columns or a
            formula.
        comparison: Strategy 0: "never" to join; "not_within_grace", joining later being free.
        eligible: Columns that are true (or 1) for patients who meet a criterion on day 0.
        unit: What the unit of `time` is called.
        time: Column with the time of event or censoring: whole days, not negative.
        event: Column that is true or 1 for an event, false or 0 for censoring.
        n_boot: Samples of the bootstrap.
        seed: Starts its random numbers. One seed repeats one order of rows: sort them by the
            patient's identifier to have the same interval again.
        conf_level: Coverage of the intervals.

    Returns:
        The difference of retention on `day`; then the ratio of those lost, the difference of mean
        times up to it, and the levels of both strategies.

    Raises:
        UsageError: `day` is not after `grace`, or after the last observation of a strategy; no
            seed, an unknown comparison.
        DataError: As for `emulate_trial`; nobody joined within the grace period.
        SeparationError: Covariates tell who joins.

    Examples:
        >>> data = pd.DataFrame({"enrolled": [0, None, 3, None, 0] * 12, "time": [9, 3, 8] * 20,
        ...     "event": 1, "old": [0, 1, 1, 0, 0, 1] * 10})
        >>> found = clone_censor_weight(data, exposed_at="enrolled", grace=3, day=5,
        ...     covariates=["old"], seed=1, n_boot=50)
        >>> found.facts.more["n_joined_within_grace"]
        36
    """
    level = check_share(conf_level, name="conf_level")
    check_choice(comparison, COMPARISONS, name="comparison")
    until = check_whole(grace, name="grace")
    last = check_whole(day, name="day", minimum=1)
    if last <= until:
        raise UsageError(f"day={last} must be after grace={until}")
    copies, attrition, checks = _open(
        data, exposed_at, until, last, covariates, comparison, eligible, time, event
    )
    n_samples, start = check_draws(n_boot, seed)
    _refuse_short(copies)

    def statistic(drawn: np.ndarray) -> np.ndarray:
        return _numbers(_curves(copies, drawn)[0], last)

    draws = bootstrap(statistic, np.arange(copies.n), n_boot=n_samples, seed=start)
    curves, weights = _curves(copies, np.ones(copies.n))
    checks += [*_weight_checks(copies, weights), draws.check()]
    found = _numbers(curves, last)
    table = _table(copies, found, draws, level, unit)
    e_values, e_check = e_value_facts(table)
    against = "never joining" if comparison == "never" else f"not joining by day {until}"
    joined = int((copies.joined <= np.minimum(until, copies.time)).sum())
    facts = Facts(
        design="emulated trial with a grace period: clones, censored and weighted",
        estimand=f"difference in the share still there on day {last}, joining by day {until} "
        f"against {against}, in all {copies.n:,} patients",
        measure="difference", outcome=f"retention on day {last}", better="higher",
        variance=table[0]["method"], n=copies.n, n_events=table[0]["n_events"],
        levels={0: float(found[2]), 1: float(found[3])}, sizes={0: copies.n, 1: copies.n},
        seed=start,
        more={
            "n_joined_within_grace": joined, "grace": until, "comparison": comparison,
            "n_excluded": int(attrition["n_excluded"].sum()), **e_values,
        },
    )  # fmt: skip
    return Effect(estimates_table(table), checks_table([*checks, e_check]), facts)


# --- the door -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Copies:
    """Patients, who stand in both arms.

    Attributes:
        time: Of event or censoring, cut after the last day asked for.
        event: Whether it was the event.
        joined: Day of joining, infinite where there is none before leaving.
        x: A column of ones and the covariates, in standard deviations; one row a patient.
        terms: Names of the covariates' columns.
        kind: Of each patient the number of the covariates' pattern.
        patterns: One row a pattern.
        grace: Last day to join for strategy 1.
        last: The last day asked for.
        limit: Last day on which joining departs from strategy 0.
        apart: Whether so many join on day 0 that it has a model of its own.
    """

    time: np.ndarray
    event: np.ndarray
    joined: np.ndarray
    x: np.ndarray
    terms: list[str]
    kind: np.ndarray
    patterns: np.ndarray
    grace: int
    last: int
    limit: int
    apart: bool

    @property
    def n(self) -> int:
        """Patients."""
        return len(self.time)


def _open(
    data: Any, exposed_at: str, grace: int, last: int, covariates: Sequence[str] | str,
    comparison: str, eligible: Sequence[str], time: str, event: str,
) -> tuple[_Copies, pd.DataFrame, list[Check]]:  # fmt: skip
    named = needed_columns(covariates)
    raise_faults(missing_columns(data, [exposed_at, time, event, *named], table="data"))
    table, at = open_enrolments(data, exposed_at, time, event, eligible)
    kept, attrition, checks = entry_of(table, at, eligible, new_users=True)
    table, at = table[kept].reset_index(drop=True), at[kept]
    raise_faults(
        Fault("data", name, int(table[name].isna().sum()), f"{name} is missing in "
              f"{int(table[name].isna().sum()):,} of {len(table):,} rows", "drop or impute these")
        for name in named if table[name].isna().any()
    )  # fmt: skip
    design, numbers = build_design(table[named], covariates)
    scaled = (numbers - numbers.mean(axis=0)) / numbers.std(axis=0)
    x = np.column_stack([np.ones(len(table)), scaled])
    patterns, kind = np.unique(x, axis=0, return_inverse=True)
    stop = table[time].to_numpy()
    joined = np.where(at <= stop, at, np.inf)
    # Whoever is followed beyond the last day is censored just after it.
    clock = np.minimum(stop, last + 1)
    happened = (table[event].to_numpy() > 0) & (stop <= last)
    limit = last if comparison == "never" else grace
    if not (joined <= grace).any():
        words = f"nobody joined by day {grace}"
        raise_faults([Fault("data", exposed_at, 0, words, "give a longer grace period")])
    copies = _Copies(
        clock,
        happened,
        joined,
        x,
        list(design.terms),
        kind.ravel(),
        patterns,
        grace,
        last,
        limit,
        int((joined <= 0).sum()) >= _ENOUGH * x.shape[1],
    )
    aligned = "until the grace period ends those who have not joined are in both arms"
    first = [Check("assignment", None, "patients chose; weighed for what was measured"),
             Check("immortal time", True, aligned, gating=True)]  # fmt: skip
    return copies, attrition, [*first, *checks]


def _refuse_short(copies: _Copies) -> None:
    """Refuse a day to which nobody who keeps to a strategy was followed."""
    kept = {1: copies.joined <= copies.grace, 0: copies.joined > copies.limit}
    for k, who in kept.items():
        seen = copies.time[who].max() if who.any() else 0
        gone = bool(who.any()) and bool(copies.event[who & (copies.time == seen)].all())
        if seen < copies.last and not gone:
            raise UsageError(
                f"day={copies.last} is after the last observation of strategy {k}; "
                f"give at most {int(seen)}"
            )


# --- curves ---------------------------------------------------------------------------------------


def _curves(copies: _Copies, drawn: np.ndarray) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """Return both strategies' curves on days 0 to the last, and the weights behind them."""
    treated, weight = _joining(copies, drawn)
    control, spared = _abstaining(copies, drawn)
    return np.vstack([control, treated]), {0: spared, 1: weight}


def _joining(copies: _Copies, drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the curve of joining by the end of grace, and the weights from then on."""
    days, grace = copies.last + 1, copies.grace
    stayed, by_then = copies.time >= grace, copies.joined <= grace
    weight = np.zeros(copies.n)
    share = _probability(copies, by_then.astype(float), drawn * stayed)
    # Who was not drawn weighs nothing, however unlikely the sample's model holds that he joins.
    used = by_then & stayed & (drawn > 0)
    weight[used] = 1 / share[used]
    everybody = _tally(copies.time, copies.event, drawn, days)
    joined = _tally(copies.time, copies.event, drawn * weight, days)
    early = np.arange(days) < grace
    return _product(
        *(np.where(early, a, b) for a, b in zip(everybody, joined, strict=True))
    ), weight


def _abstaining(copies: _Copies, drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the curve of not joining, and each patient's weight on the last day."""
    days = copies.last + 1
    at_once = np.zeros(copies.n)
    if copies.apart:
        at_once = _probability(copies, (copies.joined <= 0).astype(float), drawn)
    inverse = 1 / (1 - at_once)
    risk, hazard = _later_joining(copies, drawn)
    leaves = np.where(copies.joined <= copies.limit, copies.joined - 1, copies.time)
    stays, own = copies.joined > copies.limit, copies.joined > 0
    end = np.minimum(leaves, days).astype(np.int64)
    on_day = inverse * np.exp(risk * hazard[np.minimum(copies.time, copies.last)])
    left = own & stays & copies.event
    events = np.bincount(copies.time[left], (drawn * on_day)[left], days)[:days]
    by_kind = _first_of(copies, inverse), _first_of(copies, risk)
    at_risk = np.zeros(days)
    size = max(_BLOCK // days, 1)
    for begin in range(0, len(copies.patterns), size):
        here = (copies.kind >= begin) & (copies.kind < begin + size) & own
        k = min(size, len(copies.patterns) - begin)
        # Of each pattern: how many are at risk on each day without having joined.
        cell = (copies.kind[here] - begin) * (days + 1) + end[here]
        gone = np.bincount(cell, drawn[here], k * (days + 1)).reshape(k, days + 1)
        count = gone[:, ::-1].cumsum(axis=1)[:, ::-1][:, :days]
        weight = np.exp(np.outer(by_kind[1][begin : begin + k], hazard))
        at_risk += np.einsum("k,kd,kd->d", by_kind[0][begin : begin + k], weight, count)
    final = np.where(own & stays, inverse * np.exp(risk * hazard[-1]), 0.0)
    return _product(events, at_risk), final


def _later_joining(copies: _Copies, drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each patient's relative hazard of joining, and its cumulative baseline."""
    days = copies.last + 1
    none = np.zeros(copies.n), np.zeros(days)
    here = drawn > 0
    if copies.apart:
        here &= (copies.joined > 0) & (copies.time > 0)
    end = np.minimum(np.minimum(copies.joined, copies.time), copies.limit)
    joins = here & (copies.joined <= copies.limit)
    if not joins.any():
        return none
    clock = end[here].astype(np.int64)
    rows = prepare(
        copies.x[here, 1:], time=clock + 1, event=joins[here], freq=drawn[here].astype(np.int64),
        ties="breslow",
    )  # fmt: skip
    fit = maximise(rows)
    if not fit.converged:
        words = "covariates tell who joins, so that no weight is finite"
        repair = "leave out or join levels in which nobody or everybody joins"
        raise SeparationError([Fault("data", "", 0, words, repair)])
    risk = np.exp(copies.x[:, 1:] @ fit.coefficients)
    leaving = np.bincount(clock, (drawn * risk)[here], days)
    at_risk = leaving[::-1].cumsum()[::-1]
    joined = np.bincount(end[joins].astype(np.int64), drawn[joins], days)
    step = np.divide(joined, at_risk, out=np.zeros(days), where=at_risk > 0)
    return risk, np.cumsum(step)


def _probability(copies: _Copies, happened: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the probability of what happened given the covariates, 0 or 1 where all agree."""
    seen = happened[counts > 0]
    if len(seen) == 0 or seen.min() == seen.max():
        return np.full(copies.n, seen[0] if len(seen) else 0.0)
    return fit_logit(
        copies.x, happened, terms=["", *copies.terms], weight=counts,
        separates="those who joined from the others",
        repair="leave it out or join its levels if it is no confounder",
    ).fitted  # fmt: skip


def _first_of(copies: _Copies, values: np.ndarray) -> np.ndarray:
    """Return the value of each pattern, which is the same for all its patients."""
    found = np.zeros(len(copies.patterns))
    found[copies.kind] = values
    return found


def _tally(
    time: np.ndarray, event: np.ndarray, weight: np.ndarray, days: int
) -> tuple[np.ndarray, np.ndarray]:
    leaving = np.bincount(time, weight, days + 1)
    at_risk = leaving[::-1].cumsum()[::-1][:days]
    return np.bincount(time, weight * event, days + 1)[:days], at_risk


def _product(events: np.ndarray, at_risk: np.ndarray) -> np.ndarray:
    hazard = np.divide(events, at_risk, out=np.zeros(len(events)), where=at_risk > 1e-12)
    return np.asarray(np.cumprod(np.clip(1 - hazard, 0, 1)))


# --- numbers --------------------------------------------------------------------------------------


def _numbers(curves: np.ndarray, last: int) -> np.ndarray:
    share, days = curves[:, last], np.arange(last + 1)
    lost = 1 - share
    ratio = math.log(lost[1] / lost[0]) if min(lost) > 0 else np.inf
    mean = areas_of(curves, days, last)
    return np.array([share[1] - share[0], ratio, *share, mean[1] - mean[0], *mean])


def _table(
    copies: _Copies, found: np.ndarray, draws: Draws, level: float, unit: str
) -> list[dict[str, Any]]:
    error = draws.errors()
    method = f"clones, censored and weighted, bootstrap over patients ({draws.n_boot:,})"
    settings: dict[str, Any] = {"method": method, "n": copies.n, "conf_level": level}
    settings["n_events"] = int(copies.event.sum())
    scale = "difference in shares"
    rows = [estimate_row("retention difference", found[0], error[0], scale=scale, **settings)]
    if np.isfinite(found[1]):
        rows.append(
            ratio_row("ratio of patients lost", found[1], error[1], scale="risk ratio", **settings)
        )
    rows.append(estimate_row("difference in mean time", found[4], error[4], scale=unit, **settings))
    for term, at, one in (("retention", 2, "share"), ("mean time", 5, unit)):
        for k in (1, 0):
            row = estimate_row(
                f"{term}, strategy {k}", found[at + k], error[at + k], scale=one, **settings
            )
            rows.append(row | {"p_value": math.nan})
    return rows


def _weight_checks(copies: _Copies, weights: dict[int, np.ndarray]) -> list[Check]:
    """Return whether the weighted who joined are like all who stayed, and the largest weight."""
    stayed = copies.time >= copies.grace
    everybody, own = copies.x[stayed, 1:], weights[1][stayed]
    gap = np.abs(np.average(everybody, axis=0, weights=own) - everybody.mean(axis=0))
    worst = int(np.argmax(gap))
    told = f"weighted, those who joined by day {copies.grace} differ from all who stayed so long "
    told += f"most in {copies.terms[worst]}, by {gap[worst]:.3f} standard deviations"
    most = {k: float(weight.max()) for k, weight in weights.items()}
    words = f"the largest weight is {most[1]:.1f} with and {most[0]:.1f} without joining"
    return [
        Check("balance", bool(gap[worst] <= MOST_SMD), told, float(gap[worst]), MOST_SMD,
              gating=True),
        Check("largest_weight", None, words, max(most.values())),
    ]  # fmt: skip
