"""The guard against groups that are decided after time zero.

Who enrols on day 40 cannot have left before. Called enrolled from day 0 on, such patients bring 40
days in which nobody could leave into their arm (Suissa, American Journal of Epidemiology
2008;167:492).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from loyalty_research.effects.checks import Check, count_words
from loyalty_research.effects.guards import Guards
from loyalty_research.errors import Fault
from loyalty_research.retention.episodes import check_immortal_time

IMMORTAL = "immortal time"
NEW_USERS = "prevalent members"
TIME_ZERO = "time zero"
_WAYS = (
    "let emulate_trial(...) assign by the first day, or use landmark_trial(...), "
    "sequential_trials(...), time_varying_hazard_ratio(...)"
)


def enrolment_days(values: pd.Series) -> tuple[np.ndarray, list[Fault]]:
    """Return days of enrolment as numbers, infinite for never, and what is wrong with them.

    Args:
        values: Days from time zero, missing for never, below 0 for before.

    Returns:
        The days, and faults.

    Examples:
        >>> enrolment_days(pd.Series([3, None], name="enrolled"))[0].tolist()
        [3.0, inf]
    """
    if _are_dates(values):
        words = f"{values.name} holds dates, not days"
        repair = "subtract the index date (derive_exposure does)"
        return np.full(len(values), np.inf), [Fault("data", str(values.name), 0, words, repair)]
    days = pd.to_numeric(values, errors="coerce")
    lost = int((days.isna() & values.notna()).sum())
    odd = int((days.dropna() % 1 != 0).sum()) + lost
    faults = []
    if odd:
        name = str(values.name)
        words = f"{name} is not a whole number of days in {odd:,} of {len(values):,} rows"
        repair = "give the days from time zero to enrolment, missing for never"
        faults.append(Fault("data", name, odd, words, repair))
    at = days.astype("Float64").to_numpy(float, na_value=np.inf)
    return np.where(np.isnan(at), np.inf, at), faults


def _are_dates(values: pd.Series) -> bool:
    if pd.api.types.is_datetime64_any_dtype(values):
        return True
    return values.dtype == object and pd.api.types.infer_dtype(values, skipna=True) in (
        "date", "datetime", "datetime64",
    )  # fmt: skip


def refuse_immortal(
    guards: Guards,
    *,
    arm: np.ndarray,
    at: np.ndarray,
    time: np.ndarray,
    event: np.ndarray,
    name: str,
) -> None:
    """Refuse an arm of patients who enrolled after time zero, saying what it would get wrong.

    Args:
        guards: The guards of the call, which know "immortal time".
        arm: 0 or 1 of each patient.
        at: Day of enrolment, infinite for never.
        time: Time of event or censoring.
        event: Whether it was an event.
        name: Column of the arm.

    Raises:
        DesignError: Somebody in arm 1 enrolled after day 0.

    Examples:
        >>> from loyalty_research.effects.guards import open_guards
        >>> guards = open_guards([IMMORTAL], override=None)
        >>> refuse_immortal(guards, arm=np.array([1, 0]), at=np.array([0.0, np.inf]),
        ...     time=np.array([5, 7]), event=np.array([1, 0]), name="member")
        >>> guards.checks[0].passed
        True
    """
    n = int(((arm == 1) & (at > 0)).sum())
    message = f"{name} is 1 of {n:,} of {len(arm):,} patients who enrolled after time zero"
    if n:
        message += _told(at, time, event)
    guards.refuse(
        IMMORTAL, broken=n > 0, column=name, count=n, message=message, repair=_WAYS,
        fine=f"nobody of whom {name} is 1 enrolled after time zero",
    )  # fmt: skip


def hold_to_time_zero(guards: Guards, *, arm: np.ndarray, at: np.ndarray, name: str) -> None:
    """Refuse a baseline group that was joined after time zero, and tell who joined before it.

    Args:
        guards: The guards of the call, which know "immortal time".
        arm: 0 or 1 of each patient.
        at: Day of enrolment, infinite for never.
        name: Column of the arm.

    Raises:
        DesignError: Somebody in arm 1 enrolled after day 0.

    Examples:
        >>> from loyalty_research.effects.guards import open_guards
        >>> guards = open_guards([IMMORTAL], override=None)
        >>> hold_to_time_zero(guards, arm=np.array([1, 0]), at=np.array([-9.0, np.inf]), name="in")
        >>> [(one.check, one.passed) for one in guards.checks]
        [('immortal time', True), ('prevalent members', False)]
    """
    late, before = int(((arm == 1) & (at > 0)).sum()), int((at < 0).sum())
    message = f"{name} is 1 of {late:,} of {len(arm):,} patients who enrolled after time zero, and "
    message += "had to stay until then"
    guards.refuse(
        IMMORTAL, broken=late > 0, column=name, count=late, message=message, repair=_WAYS,
        fine=f"nobody of whom {name} is 1 enrolled after time zero",
    )  # fmt: skip
    told = f"{count_words(before, 'patient')} enrolled before time zero"
    if before:
        told += "; those of them who left are not seen, so that members look too loyal: keep those "
        told += "who joined at time zero (apply_criteria)"
    guards.checks.append(Check(NEW_USERS, before == 0, told, float(before), 0.0, gating=True))


def time_zero_check(guards: Guards, *, known: bool) -> Check:
    """Return whether anything shows that an arm of a comparison over time began on day 0.

    Args:
        guards: The guards of the call, which know "time zero".
        known: The call gives the day of enrolment.

    Returns:
        A gating check, which fails where it does not; one that the caller overrides gates no more.

    Examples:
        >>> from loyalty_research.effects.guards import open_guards
        >>> check = time_zero_check(open_guards([TIME_ZERO], override=None), known=False)
        >>> check.passed, check.message
        (False, 'not stated when patients joined: give exposed_at=, or let emulate_trial(...) form \
the arms')
    """
    if known:
        told = "the day of enrolment is given and held against day 0"
        return Check(TIME_ZERO, True, told, gating=True)
    told = "not stated when patients joined: give exposed_at=, or let emulate_trial(...) form the "
    told += "arms"
    reason = guards.override.get(TIME_ZERO)
    if reason is None:
        return Check(TIME_ZERO, False, told, gating=True)
    guards.used[TIME_ZERO] = reason
    return Check(TIME_ZERO, False, f"{told}; overridden: {reason}")


def _told(at: np.ndarray, time: np.ndarray, event: np.ndarray) -> str:
    days = pd.Series(np.where(at >= 0, at, 0.0)).where(np.isfinite(at)).astype("Int64")
    table = pd.DataFrame({"at": days, "time": time, "event": np.asarray(event, int)})
    checks = check_immortal_time(table[table["time"] > 0], exposed_at="at").set_index("check")
    found = checks["statistic"]
    return (
        f": {100 * found['immortal_share']:.0f} % of the follow-up of the ever enrolled is time in "
        f"which they could not have left, so that their rate of leaving would be "
        f"{found['naive_rate_ratio']:.2f} times that of the others where days counted rightly give "
        f"{found['split_rate_ratio']:.2f}"
    )
