"""The trial that the records stand for: eligibility, time zero and assignment on one day.

Whoever enrols later had to stay until then. To call such patients enrolled from time zero on gives
the programme days in which they could not have left (immortal time; Suissa, American Journal of
Epidemiology 2008;167:492). Hernan and Robins (American Journal of Epidemiology 2016;183:758) write
down the trial one would have liked to run and hold the records to it: each function here lets a
patient be eligible, be assigned and begin follow-up at one moment, and counts whom that leaves out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from loyalty_research.data.arguments import check_share, check_whole
from loyalty_research.data.frames import missing_columns, raise_faults
from loyalty_research.effects.arms import sizes_by_arm
from loyalty_research.effects.checks import Check, checks_table, count_words
from loyalty_research.effects.effect import Effect, Facts
from loyalty_research.effects.estimates import estimates_table, ratio_row
from loyalty_research.effects.follow_up import curves_of, open_follow_up, retention_at, sums_of
from loyalty_research.effects.guards import open_guards
from loyalty_research.effects.immortal import (
    IMMORTAL,
    NEW_USERS,
    TIME_ZERO,
    enrolment_days,
    refuse_immortal,
)
from loyalty_research.effects.sensitivity import e_value_facts
from loyalty_research.effects.survival_effects import (
    hazard_ratio,
    restricted_mean_effect,
    retention_difference,
)
from loyalty_research.errors import Fault, UsageError
from loyalty_research.retention.cox import fit_cox
from loyalty_research.retention.design_matrix import needed_columns
from loyalty_research.retention.episodes import split_follow_up
from loyalty_research.retention.rows import open_rows, take_columns

_RESERVED = ("arm", "trial", "trial_squared", "patient")


@dataclass(frozen=True, repr=False)
class EmulatedTrial:
    """Who is compared with whom from which day on, and whom that left out.

    Attributes:
        rows: One row a patient (and trial): `patient`, `trial` (its first day), `trial_squared`,
            `arm`, `time` from that day on, `event`, and all other columns as they came.
        attrition: `step, criterion, n_before, n_excluded, n_after`.
        protocol: `item, target_trial, emulation`: the specification as TARGET asks for it (Cashin
            et al., JAMA 2025;334:1084).
        checks: What was looked at on the way.
        overrides: Refusals that were overridden, each with its reason.
        time_zero: In words.
        clustered: Whether a patient may have several rows.
    """

    rows: pd.DataFrame
    attrition: pd.DataFrame
    protocol: pd.DataFrame
    checks: tuple[Check, ...]
    time_zero: str
    clustered: bool
    overrides: Mapping[str, str] = field(default_factory=dict)

    def retention_difference(
        self, *, day: int, covariates: Sequence[str] | str | None = None, **settings: Any
    ) -> Effect:
        """Return how many more of the assigned are still there on a day after time zero.

        Args:
            day: Days from time zero.
            covariates: What weights make alike, known at time zero.
            **settings: As for `retention_difference`.

        Returns:
            The effect, the trial's checks before its own.

        Raises:
            UsageError, DataError: As for `retention_difference`.

        Examples:
            >>> data = pd.DataFrame({"enrolled": [0, None, 0, 5], "time": [9, 3, 4, 8],
            ...     "event": [1, 1, 1, 1]})
            >>> trial = emulate_trial(data, exposed_at="enrolled")
            >>> trial.retention_difference(day=5).facts.levels
            {0: 0.5, 1: 0.5}
        """
        more = self._settings(covariates) | settings
        return self._told(retention_difference(self.rows, day=day, **more))

    def restricted_mean_effect(
        self, *, horizon: int, covariates: Sequence[str] | str | None = None, **settings: Any
    ) -> Effect:
        """Return how much longer the assigned stay within a time from time zero on.

        Args:
            horizon: Days from time zero.
            covariates: What weights make alike, known at time zero.
            **settings: As for `restricted_mean_effect`.

        Returns:
            The effect, the trial's checks before its own.

        Raises:
            UsageError, DataError: As for `restricted_mean_effect`.

        Examples:
            >>> data = pd.DataFrame({"enrolled": [0, None, 0, 5], "time": [9, 3, 4, 8],
            ...     "event": [1, 1, 1, 1]})
            >>> trial = emulate_trial(data, exposed_at="enrolled")
            >>> trial.restricted_mean_effect(horizon=5).headline["estimate"]
            0.5
        """
        more = self._settings(covariates) | settings
        return self._told(restricted_mean_effect(self.rows, horizon=horizon, **more))

    def hazard_ratio(
        self, *, day: int, covariates: Sequence[str] | str | None = None, **settings: Any
    ) -> Effect:
        """Return the marginal ratio of the hazards of leaving after time zero.

        Args:
            day: On which both arms' retention is told beside.
            covariates: What weights make alike, known at time zero.
            **settings: As for `hazard_ratio`.

        Returns:
            The effect, the trial's checks before its own.

        Raises:
            UsageError, DataError: As for `hazard_ratio`.

        Examples:
            >>> data = pd.DataFrame({"enrolled": [0, None, 0, 5], "time": [9, 3, 4, 8],
            ...     "event": [1, 1, 1, 1]})
            >>> trial = emulate_trial(data, exposed_at="enrolled")
            >>> trial.hazard_ratio(day=5).headline["term"]
            'hazard ratio'
        """
        more = self._settings(covariates) | settings
        return self._told(hazard_ratio(self.rows, day=day, **more))

    def conditional_hazard_ratio(
        self, *, day: int, covariates: Sequence[str], conf_level: float = 0.95
    ) -> Effect:
        """Return the ratio of hazards between patients alike in covariates, by Cox's model.

        Errors are robust by patient where a patient has several rows. The trials of a sequence are
        strata, each with its own baseline hazard.

        Args:
            day: On which both arms' retention, as it was observed, is told beside.
            covariates: Columns known at time zero.
            conf_level: Coverage of the interval.

        Returns:
            The effect.

        Raises:
            UsageError, DataError: As for `cox_regression`.

        Examples:
            >>> data = pd.DataFrame({"enrolled": [0, None, 0, 5, 0, None], "event": [1] * 6,
            ...     "time": [9, 3, 4, 8, 6, 7], "age": [50, 60, 70, 80, 55, 52]})
            >>> trial = emulate_trial(data, exposed_at="enrolled")
            >>> trial.conditional_hazard_ratio(day=5, covariates=["age"]).facts.n
            6
        """
        several = self.clustered and len(self.rows["trial"].unique()) > 1
        found = _cox_effect(
            self.rows, day=day, covariates=list(covariates), conf_level=conf_level,
            strata="trial" if several else None, cluster="patient" if self.clustered else None,
            checks=[_by_choice(covariates)], estimand=f"from {self.time_zero} on",
        )  # fmt: skip
        return self._told(found)

    def _settings(self, covariates: Sequence[str] | str | None) -> dict[str, Any]:
        """Return what every estimate of this trial takes; weights know the trial of each row."""
        more: dict[str, Any] = {"arm": "arm", "cluster": "patient" if self.clustered else None}
        if covariates is None or not self.clustered:
            return more | {"covariates": covariates}
        # With two trials the square of the day says nothing that the day does not.
        own = ["trial", "trial_squared"][: len(self.rows["trial"].unique()) - 1]
        if isinstance(covariates, str):
            return more | {"covariates": " + ".join([covariates, *own])}
        return more | {"covariates": [*covariates, *own]}

    def _told(self, effect: Effect) -> Effect:
        # The trial itself forms the arms at time zero, which its rows alone do not show.
        own = effect.checks[effect.checks["check"] != TIME_ZERO]
        formed = Check(TIME_ZERO, True, f"arms are formed on {self.time_zero}", gating=True)
        made = checks_table([*self.checks, formed])
        checks = pd.concat([made, own], ignore_index=True)
        facts = dataclasses.replace(
            effect.facts, design=f"emulated trial, {effect.facts.design}",
            estimand=f"{effect.facts.estimand}; time zero is {self.time_zero}",
            overrides={**effect.facts.overrides, **self.overrides},
            more={**effect.facts.more, "n_excluded": int(self.attrition["n_excluded"].sum()),
                  **({"rows_are": "patient-trials"} if self.clustered else {})},
        )  # fmt: skip
        return Effect(effect.estimates, checks, facts)

    def __repr__(self) -> str:
        counts = self.rows["arm"].value_counts()
        return (
            f"Emulated trial from {self.time_zero} on: {counts.get(1, 0):,} rows in arm 1, "
            f"{counts.get(0, 0):,} in arm 0, {int(self.attrition['n_excluded'].sum()):,} left out"
        )


# --- one trial ------------------------------------------------------------------------------------


def emulate_trial(
    data: Any,
    *,
    exposed_at: str,
    arm: str | None = None,
    eligible: Sequence[str] = (),
    new_users: bool = True,
    time: str = "time",
    event: str = "event",
    override: Mapping[str, str] | None = None,
) -> EmulatedTrial:
    """Return the trial in which a patient is assigned on the first day, whatever follows.

    Arm 1 enrolled on day 0, arm 0 did not; who of arm 0 enrols later stays in arm 0, as those who
    cross over in a trial that is analysed as assigned. To compare with never enrolling see
    `clone_censor_weight`.

    Args:
        data: One row a patient, time counted from the day on which the patient could first have
            been in the trial. pandas, Polars, Arrow, DuckDB or Spark.
        exposed_at: Column with the day of enrolment; missing = never, below 0 = before time zero.
        arm: A column of groups that exists already, which is held against `exposed_at`.
        eligible: Columns that are true (or 1) for patients who meet a criterion on day 0.
        new_users: Leave out who was enrolled before day 0: those of them who left are not seen.
        time: Column with the time of event or censoring: whole days, not negative.
        event: Column that is true or 1 for an event, false or 0 for censoring.
        override: Guard -> reason, for the guard "immortal time".

    Returns:
        The trial, with methods for its effects.

    Raises:
        DesignError: `arm` puts patients into arm 1 who enrolled after day 0.
        DataError: Columns or values missing, times that are negative or not whole, an arm without
            patients; all faults at once.

    Examples:
        >>> data = pd.DataFrame({"enrolled": [0, None, -30, 5], "time": [9, 3, 4, 8],
        ...     "event": [1, 1, 1, 0]})
        >>> trial = emulate_trial(data, exposed_at="enrolled")
        >>> trial.rows["arm"].tolist()
        [1, 0, 0]
        >>> trial.attrition[["criterion", "n_excluded"]].values.tolist()
        [['all', 0], ['not enrolled before time zero', 1]]
    """
    guards = open_guards([IMMORTAL], override=override)
    table, at = open_enrolments(data, exposed_at, time, event, eligible)
    given = None
    if arm is not None:
        given = _given_arm(data, arm)
        refuse_immortal(
            guards, arm=given, at=at, time=table[time].to_numpy(), event=table[event].to_numpy(),
            name=arm,
        )  # fmt: skip
    kept, attrition, checks = entry_of(table, at, eligible, new_users)
    rows, at = table[kept].reset_index(drop=True), at[kept]
    assigned = (at <= 0) if given is None else given[kept] == 1
    rows = _with_arm(rows, assigned, np.flatnonzero(kept), time, event, exposed_at)
    _refuse_empty_arm(rows)
    protocol = _protocol(
        eligible, "day 0, the first day on which a patient could have been enrolled",
        "enrolled on day 0", "not enrolled on day 0, enrolment later being free", new_users,
    )  # fmt: skip
    words = "the first day"
    found = (*checks, *guards.checks)
    return EmulatedTrial(rows, attrition, protocol, found, words, False, dict(guards.used))


def landmark_trial(
    data: Any,
    *,
    landmark: int,
    exposed_at: str,
    eligible: Sequence[str] = (),
    new_users: bool = True,
    time: str = "time",
    event: str = "event",
) -> EmulatedTrial:
    """Return the trial that begins on a landmark, with who had enrolled by then.

    Anderson, Cain and Gelber, Journal of Clinical Oncology 1983;1:710. Both arms stayed until the
    landmark; the effect is that of having enrolled by then, from then on, in those who stayed.

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        landmark: The day, from 1.
        exposed_at: Column with the day of enrolment; missing = never, below 0 = before time zero.
        eligible: Columns that are true (or 1) for patients who meet a criterion.
        new_users: Leave out who was enrolled before day 0.
        time: Column with the time of event or censoring: whole days, not negative.
        event: Column that is true or 1 for an event, false or 0 for censoring.

    Returns:
        The trial; `time` restarts at the landmark.

    Raises:
        UsageError: A landmark that is no whole number from 1.
        DataError: As for `emulate_trial`.

    Examples:
        >>> data = pd.DataFrame({"enrolled": [0, None, 20, 50], "time": [9, 90, 70, 80],
        ...     "event": [1, 1, 1, 0]})
        >>> trial = landmark_trial(data, landmark=30, exposed_at="enrolled")
        >>> trial.rows[["arm", "time"]].values.tolist()
        [[0, 60], [1, 40], [0, 50]]
    """
    day = check_whole(landmark, name="landmark", minimum=1)
    table, at = open_enrolments(data, exposed_at, time, event, eligible)
    kept, attrition, checks = entry_of(table, at, eligible, new_users)
    followed = kept & (table[time].to_numpy() > day)
    attrition = _step(attrition, f"followed beyond day {day}", kept, followed)
    rows, at = table[followed].reset_index(drop=True), at[followed]
    rows = rows.assign(**{time: rows[time] - day})
    rows = _with_arm(rows, at <= day, np.flatnonzero(followed), time, event, exposed_at)
    _refuse_empty_arm(rows)
    protocol = _protocol(
        [*eligible, f"still followed after day {day}"], f"day {day} after the first day",
        f"enrolled by day {day}", f"not enrolled by day {day}, enrolment later being free",
        new_users,
    )  # fmt: skip
    aligned = Check(IMMORTAL, True, f"both arms stayed until day {day}", gating=True)
    words = f"day {day}"
    return EmulatedTrial(rows, attrition, protocol, (*checks, aligned), words, False)


def sequential_trials(
    data: Any,
    *,
    every: int,
    last: int,
    exposed_at: str,
    later: str = "ignored",
    eligible: Sequence[str] = (),
    time: str = "time",
    event: str = "event",
) -> EmulatedTrial:
    """Return a trial for each of a row of days, those who enrolled since the last against others.

    Hernan et al., Epidemiology 2008;19:766; Gran et al., Statistics in Medicine 2010;29:2757. A
    patient takes part in every trial until enrolling, leaving or being censored; who enrolled
    before a trial's own window is no longer eligible. Errors take the patient as one.

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        every: Days from one trial to the next, such as 30.
        last: Day of the last trial at the latest.
        exposed_at: Column with the day of enrolment; missing = never, below 0 = before time zero.
        later: What becomes of a patient of arm 0 who enrols later: "ignored", stays in arm 0 as in
            a trial analysed as assigned; "censored" from that day on, which says nothing of the
            rest only between patients alike in the covariates of `conditional_hazard_ratio`.
        eligible: Columns that are true (or 1) for patients who meet a criterion.
        time: Column with the time of event or censoring: whole days, not negative.
        event: Column that is true or 1 for an event, false or 0 for censoring.

    Returns:
        The trials under one another, those without both arms left out; `trial` is the first day of
        each, `time` restarts there.

    Raises:
        UsageError: `every`, `last` or `later` cannot be meant.
        DataError: As for `emulate_trial`.

    Examples:
        >>> data = pd.DataFrame({"enrolled": [0, None, 20, 50], "time": [9, 90, 70, 80],
        ...     "event": [1, 1, 1, 0]})
        >>> trial = sequential_trials(data, every=30, last=60, exposed_at="enrolled")
        >>> trial.rows[["patient", "trial", "arm"]].values.tolist()
        [[0, 0, 1], [1, 0, 0], [2, 0, 0], [3, 0, 0], [1, 30, 0], [2, 30, 1], [3, 30, 0], \
[1, 60, 0], [3, 60, 1]]
    """
    step = check_whole(every, name="every", minimum=1)
    end = check_whole(last, name="last", minimum=0)
    if later not in ("ignored", "censored"):
        raise UsageError(f"later={later!r} must be 'ignored' or 'censored'")
    table, at = open_enrolments(data, exposed_at, time, event, eligible)
    kept, attrition, checks = entry_of(table, at, eligible, new_users=True)
    stop = table[time].to_numpy()
    parts = []
    for day in range(0, end + 1, step):
        # On day 0 all follow-up is there; afterwards whoever leaves on the day has nothing left.
        here = kept & ((stop > day) | (day == 0)) & ~(at <= day - step)
        part = table[here].reset_index(drop=True)
        part = part.assign(**{time: part[time] - day})
        part = _with_arm(
            part, at[here] <= day, np.flatnonzero(here), time, event, exposed_at, trial=day
        )
        parts.append(_censor_later(part, at[here] - day) if later == "censored" else part)
    rows = pd.concat(parts, ignore_index=True)
    # A trial in which nobody, or everybody, has just enrolled compares nothing.
    both = rows.groupby("trial")["arm"].transform("mean").between(0, 1, inclusive="neither")
    rows = rows[both].reset_index(drop=True)
    rows["trial_squared"] = rows["trial"] ** 2
    _refuse_empty_arm(rows)
    taking = np.isin(np.arange(len(table)), rows["patient"])
    attrition = _step(attrition, "eligible for a trial with both arms", kept, taking)
    ends = "enrolment later being free" if later == "ignored" else "followed until enrolling"
    protocol = _protocol(
        [*eligible, "followed and not enrolled before the trial's window"],
        f"every {step} days from day 0 to day {end}",
        f"enrolled within the {step} days up to time zero", f"not enrolled by then, {ends}", True,
    )  # fmt: skip
    aligned = Check(IMMORTAL, True, "both arms of each trial stayed until its day 0", gating=True)
    words = f"the first day of each of {count_words(rows['trial'].nunique(), 'trial')}"
    return EmulatedTrial(rows, attrition, protocol, (*checks, aligned), words, True)


def time_varying_hazard_ratio(
    data: Any,
    *,
    exposed_at: str,
    covariates: Sequence[str] = (),
    cluster: str | None = None,
    time: str = "time",
    event: str = "event",
    conf_level: float = 0.95,
) -> Effect:
    """Return the ratio of the hazards of leaving from enrolment on against before or without.

    A patient's days count without the programme until enrolling, with it from the day of enrolment
    on (Cox's model with enrolment as a covariate that changes; Suissa 2008). It compares patients
    of the same day alike in covariates, and needs that nothing which changes after time zero drives
    both enrolling and leaving.

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        exposed_at: Column with the day of enrolment; missing = never, not negative.
        covariates: Columns known at time zero.
        cluster: Column that names what is independent; errors are then robust.
        time: Column with the time of event or censoring: whole days, not negative.
        event: Column that is true or 1 for an event, false or 0 for censoring.
        conf_level: Coverage of the interval.

    Returns:
        The hazard ratio; the levels beside it are leaving per 100 days with and without.

    Raises:
        UsageError, DataError: As for `split_follow_up` and `cox_regression`.

    Examples:
        >>> data = pd.DataFrame({"enrolled": [2, None, None, 1], "time": [5, 3, 4, 3],
        ...     "event": [1, 1, 1, 1]})
        >>> found = time_varying_hazard_ratio(data, exposed_at="enrolled")
        >>> round(found.headline["estimate"], 6)  # 1 event of 3: 1 = 3 h / (1 + h)
        0.5
    """
    check_share(conf_level, name="conf_level")
    names = list(
        dict.fromkeys([exposed_at, time, event, *covariates, *([cluster] if cluster else [])])
    )
    raise_faults(missing_columns(data, names, table="data"))
    table = take_columns(data, names)
    open_rows(table, time=time, event=event)
    # Moved by a day, so that day 0 has a piece, and the day of enrolment counts as enrolled.
    shifted = table.assign(**{time: table[time] + 1})
    pieces = split_follow_up(shifted, exposed_at=exposed_at, time=time, event=event, exposed="arm")
    pieces["arm"] = pieces["arm"].astype(int)
    checks = [
        Check(IMMORTAL, True, "days before enrolment count without the programme", gating=True),
        _by_choice(covariates),
    ]
    pieces = pieces.rename(columns={time: "time", event: "event"})
    effect = _cox_effect(
        pieces, day=None, covariates=list(covariates), conf_level=conf_level, strata=None,
        cluster=cluster, checks=checks, entry="entry", estimand="on each day after time zero",
    )  # fmt: skip
    sums = (
        pieces.assign(days=pieces["time"] - pieces["entry"]).groupby("arm")[["event", "days"]].sum()
    )
    rates = (100 * sums["event"] / sums["days"]).to_dict()
    facts = dataclasses.replace(
        effect.facts, n=len(table), levels={int(k): float(rate) for k, rate in rates.items()},
        unit="per 100 days",
        more={**effect.facts.more, "levels_are": "leaving per 100 days with and without"},
    )  # fmt: skip
    return Effect(effect.estimates.assign(n=len(table)), effect.checks, facts)


# --- the door -------------------------------------------------------------------------------------


def open_enrolments(
    data: Any, exposed_at: str, time: str, event: str, eligible: Sequence[str]
) -> tuple[pd.DataFrame, np.ndarray]:
    """Return all columns, and the day of enrolment as a number, infinite where there is none.

    Args:
        data: One row a patient.
        exposed_at: Column with the day of enrolment.
        time: Column with the time of event or censoring.
        event: Column with the event.
        eligible: Columns of criteria.

    Returns:
        The table, time and event as whole numbers; the days.

    Raises:
        UsageError: A column with a name that the trial gives.
        DataError: Columns or values missing, days that are not whole, criteria not true or false.

    Examples:
        >>> data = pd.DataFrame({"enrolled": [0, None], "time": [9, 3], "event": [True, False]})
        >>> open_enrolments(data, "enrolled", "time", "event", [])[1].tolist()
        [0.0, inf]
    """
    if isinstance(eligible, str):
        raise UsageError("eligible is a list of columns, such as ['is_adult']")
    raise_faults(missing_columns(data, [exposed_at, time, event, *eligible], table="data"))
    rows = open_rows(data, time=time, event=event, more=list(eligible))
    table = _all_columns(data)
    taken = [name for name in _RESERVED if name in (exposed_at, time, event, *eligible)]
    if taken:
        raise UsageError(f"{taken[0]!r} is a name the trial gives; rename that column")
    at, faults = enrolment_days(table[exposed_at])
    faults += [fault for name in eligible for fault in _not_true_or_false(table, name)]
    raise_faults(faults)
    return table.assign(**{time: rows.time, event: (rows.event > 0).astype(int)}), at


def _all_columns(data: Any) -> pd.DataFrame:
    from loyalty_research.data.lending import column_names

    return take_columns(data, column_names(data, table="data"))


def _not_true_or_false(table: pd.DataFrame, name: str) -> list[Fault]:
    codes = table[name].isin([0, 1])
    odd = int((~codes).sum())
    words = f"{name} is neither true nor false in {odd:,} of {len(table):,} rows"
    return [Fault("data", name, odd, words, "say of each patient whether it is met")] if odd else []


def _given_arm(data: Any, arm: str) -> np.ndarray:
    raise_faults(missing_columns(data, [arm], table="data"))
    values = take_columns(data, [arm])[arm]
    if not values.isin([0, 1]).all():
        words = f"{arm} is not 0 or 1 in every row"
        raise_faults([Fault("data", arm, len(values), words, "code the programme as 1, else 0")])
    return values.to_numpy().astype(int)


# --- who takes part -------------------------------------------------------------------------------


def entry_of(
    table: pd.DataFrame, at: np.ndarray, eligible: Sequence[str], new_users: bool
) -> tuple[np.ndarray, pd.DataFrame, tuple[Check, ...]]:
    """Return who is eligible at time zero, the attrition, and whether only new users are in.

    Args:
        table: As opened.
        at: Days of enrolment.
        eligible: Columns of criteria.
        new_users: Leave out who was enrolled before time zero.

    Returns:
        Which rows are kept, the attrition, the check of prevalent members.

    Examples:
        >>> kept, attrition, _ = entry_of(pd.DataFrame({"x": [1, 2]}), np.array([-3.0, np.inf]), [],
        ...     True)
        >>> kept.tolist(), attrition["n_after"].tolist()
        ([False, True], [2, 1])
    """
    kept = np.ones(len(table), bool)
    attrition = pd.DataFrame(
        {"step": [0], "criterion": ["all"], "n_before": [len(table)], "n_excluded": [0],
         "n_after": [len(table)]}
    )  # fmt: skip
    for name in eligible:
        now = kept & table[name].to_numpy().astype(bool)
        attrition, kept = _step(attrition, name, kept, now), now
    before = kept & (at < 0)
    n = int(before.sum())
    if new_users:
        now = kept & ~before
        attrition, kept = _step(attrition, "not enrolled before time zero", kept, now), now
        told = f"{count_words(n, 'patient')} enrolled before time zero left out"
        return kept, attrition, (Check(NEW_USERS, True, told, float(n), gating=True),)
    told = f"{count_words(n, 'patient')} enrolled before time zero; those of them who left are not "
    told += "seen, so that members look too loyal; use new_users=True"
    return kept, attrition, (Check(NEW_USERS, n == 0, told, float(n), 0.0, gating=True),)


def _step(
    attrition: pd.DataFrame, criterion: str, before: np.ndarray, after: np.ndarray
) -> pd.DataFrame:
    n, left = int(before.sum()), int((before & after).sum())
    row = {"step": len(attrition), "criterion": criterion, "n_before": n, "n_excluded": n - left}
    return pd.concat([attrition, pd.DataFrame([row | {"n_after": left}])], ignore_index=True)


def _with_arm(
    rows: pd.DataFrame, assigned: np.ndarray, patient: np.ndarray, time: str, event: str,
    exposed_at: str, trial: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """Return the rows with the names that every trial has in front."""
    known = {"patient": patient, "trial": trial, "trial_squared": trial**2}
    known |= {"arm": assigned.astype(int), "time": rows[time], "event": rows[event]}
    rest = rows.drop(
        columns=[time, event, *(name for name in known if name in rows)], errors="ignore"
    )
    return pd.concat([pd.DataFrame(known), rest.reset_index(drop=True)], axis=1)


def _refuse_empty_arm(rows: pd.DataFrame) -> None:
    names = {0: "the comparison", 1: "the programme"}
    faults = [
        Fault("data", "arm", 0, f"nobody who is eligible is in arm {k}, {name}, at time zero",
              "choose a time zero on which both occur: landmark_trial, sequential_trials")
        for k, name in names.items() if not (rows["arm"] == k).any()
    ]  # fmt: skip
    raise_faults(faults)


def _censor_later(rows: pd.DataFrame, after: np.ndarray) -> pd.DataFrame:
    """Return the rows with arm 0 followed until the day before enrolling."""
    # Enrolment comes first on its day, as for arm 1 on day 0.
    cut = (rows["arm"] == 0).to_numpy() & (after <= rows["time"].to_numpy())
    last = np.where(cut, after - 1, rows["time"]).astype(int)
    return rows.assign(time=last, event=np.where(cut, 0, rows["event"]))


# --- Cox's model ----------------------------------------------------------------------------------


def _cox_effect(
    rows: pd.DataFrame, *, day: int | None, covariates: list[str], conf_level: float,
    strata: str | None, cluster: str | None, checks: list[Check], estimand: str,
    entry: str | None = None,
) -> Effect:  # fmt: skip
    model = fit_cox(
        rows, covariates=["arm", *covariates], strata=strata, cluster=cluster, entry=entry,
        conf_level=conf_level,
    )  # fmt: skip
    found = model.estimates.iloc[0]
    n_events = int(rows["event"].sum())
    method = str(found["method"])
    row = ratio_row(
        "hazard ratio", found["estimate"], found["std_error"], scale="hazard ratio", method=method,
        n=len(rows), n_events=n_events, conf_level=conf_level,
    )  # fmt: skip
    e_values, e_check = e_value_facts([row])
    levels: dict[int, float] = {}
    sizes: dict[int, int] = {}
    if day is not None:
        opened = open_follow_up(rows, arm="arm", time="time", event="event")
        share = retention_at(curves_of(sums_of(opened, opened.base)), opened.days, [day])
        levels = {k: float(share[k, 0]) for k in (0, 1)}
        sizes = sizes_by_arm(opened.arm)
    alike = f" alike in {', '.join(covariates)}" if covariates else ""
    facts = Facts(
        design="Cox's model", outcome="leaving", measure="hazard ratio", better="lower",
        estimand=f"ratio of the hazards of leaving between patients{alike}, {estimand}",
        variance=method, n=len(rows), n_events=n_events, levels=levels, sizes=sizes,
        causal=bool(covariates),
        n_clusters=None if cluster is None else int(rows[cluster].nunique()),
        more=e_values | {"levels_are": f"retention on day {day} as it was"},
    )  # fmt: skip
    return Effect(estimates_table([row]), checks_table([*checks, e_check]), facts)


def _by_choice(covariates: Sequence[str] | str) -> Check:
    named = needed_columns(covariates) if len(covariates) else []
    if named:
        told = f"patients chose; compared are patients alike in {', '.join(named)}"
        return Check("assignment", None, told)
    told = "patients chose, and nothing makes them alike: an association; give covariates="
    return Check("assignment", False, told, gating=True)


# --- the protocol ---------------------------------------------------------------------------------


def _protocol(
    eligible: Sequence[str], time_zero: str, treated: str, control: str, new_users: bool
) -> pd.DataFrame:
    """Return the trial's specification, the trial one would run beside what the records give."""
    criteria = "; ".join(eligible) or "all patients given"
    if new_users:
        criteria += "; not enrolled before"
    rows = [
        ("eligibility", criteria, "the same, as recorded by time zero"),
        ("treatment strategies", f"1: {treated}; 0: {control}", "the same"),
        ("assignment", "by lot, not blinded", "as patients and clinics chose; taken for a lot "
         "among patients alike in covariates"),
        ("time zero", time_zero, "the same day for eligibility, assignment and follow-up"),
        ("follow-up", "until the event, loss or the end of the data", "the same"),
        ("outcome", "the event", "the same, as recorded"),
        ("causal contrast", "effect of assignment" if "free" in control else
         "effect of following the strategy", "its analogue in the records"),
        ("analysis", "difference of retention, of mean time, ratio of hazards",
         "the same, weighted for covariates; errors by patient"),
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["item", "target_trial", "emulation"])
