"""What a patient brings in over time, where some are followed shorter than others."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
from scipy.stats import norm

from loyalty_research.data.arguments import as_columns, check_share, check_whole
from loyalty_research.data.frames import (
    REPAIR_ID,
    Check,
    is_missing,
    missing_columns,
    open_tables,
    raise_faults,
    value_faults,
)
from loyalty_research.data.lending import (
    collect,
    column_names,
    distinct,
    group_rows,
    lend,
    to_pandas,
)
from loyalty_research.errors import Fault, UsageError
from loyalty_research.retention.averages import (
    REPAIR_GROUP,
    number_faults,
    refuse_clashes,
    sorted_groups,
)
from loyalty_research.retention.repairs import CODE_EVENT, with_codes

DAYS_PER_YEAR = 365.25
CURVE = [
    "time",
    "n_at_risk",
    "n_events",
    "n_censored",
    "estimate",
    "std_error",
    "conf_low",
    "conf_high",
    "conf_level",
]
"""The columns of the result after those of the group."""

_GROUP, _TIME, _EVENT, _N = "__group", "__time", "__event", "__n"
_DAY, _AMOUNT, _WEIGHT = "__day", "__amount", "__weight"
_REASON = "end_reason"


def patient_value(
    data: Any,
    *,
    fees: Any,
    times: int | Sequence[int],
    time: str = "time",
    event: str = "event",
    by: str | Sequence[str] | None = None,
    patient: str = "patient_id",
    day: str = "day",
    amount: str = "amount",
    discount_rate: float = 0.0,
    conf_level: float = 0.95,
) -> pd.DataFrame:
    """Return the mean value of a patient by each of several days, those followed shorter included.

    The mean amount paid on day u by those still under observation is weighted by the share S(u-)
    who are still there to pay: value(t) = sum over u <= t of S(u-) A(u) / Y(u), with A(u) the
    amount of day u and Y(u) the patients at risk. Because S(u-) K(u-) = Y(u) / n, with K the
    Kaplan-Meier estimate of not being censored, this is Lin's survival-weighted mean (Biometrics
    1997;53:419) and Bang and Tsiatis' partitioned estimator weighted by the inverse probability of
    censoring (Biometrika 2000;87:329), both with one interval a day, and the mean function of
    Ghosh and Lin (Biometrics 2000;56:554) with amounts in place of counts. Nothing is paid after
    the event; censoring says nothing of later payments. Leaving the censored out would keep the
    short-lived, and taking what was paid so far would count unseen payments as none: both bias.

    The standard error is the infinitesimal jackknife, the root of the summed squares of each
    patient's influence, so it allows for one patient paying often. Without censoring the estimate
    is the plain mean, and its standard error that of a mean with divisor n.

    Args:
        data: One row a patient: `patient`, `time`, `event`. pandas, Polars, Arrow, DuckDB, Spark.
        fees: One row a payment: `patient`, `day`, `amount`, as `derive_fees` returns; payments of
            patients who are not in `data` are not used. Refunds are negative.
        times: The days by which the value is wanted.
        time: Column with the days of follow-up from the index date: whole, not negative.
        event: Column that is true or 1 where payments ended for good (death, moving away), false
            or 0 where only the observation ended. Not coming any more is neither: such a patient
            stays under observation and pays nothing. So times that end at a lapse, as those of
            `derive_retention_times`, are refused where `end_reason` tells; take those of
            `derive_time_to_event` with the exit as the event and the lapse not named.
        by: Column or columns of `data` that name groups.
        patient: Name of the patient's column in both tables.
        day: Column of `fees` with the day from the index date; payments of day `time` count.
        amount: Column of `fees` with the amount.
        discount_rate: Share a year by which a later payment is worth less:
            amount / (1 + rate)^(day / 365.25).
        conf_level: Coverage of the pointwise interval, symmetric on the scale of the amounts.

    Returns:
        One row a group and asked day: group..., `time`, `n_at_risk`, `n_events`, `n_censored` (of
        that day), `estimate`, `std_error`, `conf_low`, `conf_high`, `conf_level`; with a single
        patient the error and the interval are missing.

    Raises:
        UsageError: Days that are not whole, a rate outside 0 to 1, a clash of names.
        DataError: Missing columns or values, follow-up that ended at a lapse, payments outside the
            patient's follow-up, a day beyond what was observed in a group; the faults of a step
            at once.

    Examples:
        >>> data = pd.DataFrame(
        ...     {"patient_id": ["a", "b"], "time": [10, 4], "event": [False, False]}
        ... )
        >>> fees = pd.DataFrame(
        ...     {"patient_id": ["a", "b", "a"], "day": [0, 2, 7], "amount": [10.0, 20.0, 8.0]}
        ... )
        >>> patient_value(data, fees=fees, times=[2, 10])[["time", "n_at_risk", "estimate"]]
           time  n_at_risk  estimate
        0     2          2      15.0
        1    10          1      23.0
    """
    asked = sorted(
        {check_whole(t, name="times") for t in np.atleast_1d(np.asarray(times)).tolist()}
    )
    if not asked:
        raise UsageError("times names no day; give at least one")
    rate, level = _check_rate(discount_rate), check_share(conf_level, name="conf_level")
    groups = as_columns(by)
    refuse_clashes(groups, [*CURVE, time, event, patient])
    people, names = _open_people(data, groups, patient, time, event)
    people, paid = _open_fees(people, fees, patient, day, amount, rate)
    raise_faults(_fee_faults(paid, day))
    exits = _counts(people.group_by(_GROUP, _TIME, _EVENT).agg(nw.len().alias(_N)))
    sums = _counts(paid.group_by(_GROUP, _DAY).agg(nw.col(_AMOUNT).sum()))
    steps = [_steps(exits[exits[_GROUP] == i], sums[sums[_GROUP] == i]) for i in range(len(names))]
    _refuse_unobserved(steps, asked)
    spent = _spent(paid, _weights(steps), patient, asked)
    parts = [
        _of_group(step, exits[exits[_GROUP] == i], spent[spent[_GROUP] == i], asked, level)
        for i, step in enumerate(steps)
    ]
    return _table(parts, names, groups, data)


def _check_rate(rate: object) -> float:
    if not isinstance(rate, numbers.Real) or not 0 <= float(rate) < 1:
        message = "must be a share a year, at least 0 and below 1, such as 0.03 for 3 %"
        raise UsageError(f"discount_rate={rate!r} {message}")
    return float(rate)


# --- the door -------------------------------------------------------------------------------------


def _open_people(
    data: Any, groups: Sequence[str], patient: str, time: str, event: str
) -> tuple[nw.LazyFrame, pd.DataFrame]:
    """Return patient, number of the group, time and event, with the groups in that order."""
    columns = list(dict.fromkeys([patient, *groups, time, event]))
    raise_faults(missing_columns(data, columns, table="data"))
    told = _REASON in column_names(data, table="data")
    columns += [_REASON] if told and _REASON not in columns else []
    people = lend({"data": data}, columns={"data": columns})["data"]
    flagged = isinstance(people.collect_schema()[event], nw.Boolean)
    raise_faults(number_faults(people, [time] if flagged else [time, event], table="data"))
    code = nw.col(event).cast(nw.Int64)
    checks = [
        is_missing(patient, repair=REPAIR_ID),
        *[is_missing(name, repair=REPAIR_GROUP) for name in groups],
        is_missing(time, repair="drop or repair these rows"),
        *_day_checks(people, time),
        is_missing(event, repair="drop or repair these rows"),
    ]
    if not flagged:
        odd = ~nw.col(event).cast(nw.Float64).is_in([0.0, 1.0])
        checks.append(Check(event, odd, "is neither 0 nor 1", CODE_EVENT))
    if told:
        checks.append(_lapse_check())
    faults = value_faults(people, checks, table="data", unique=patient)
    raise_faults(with_codes(faults, people, event))
    kept: list[Any] = [patient, nw.col(time).cast(nw.Int64).alias(_TIME), code.alias(_EVENT)]
    if not groups:
        return people.select(*kept, nw.lit(0).alias(_GROUP)), pd.DataFrame(index=[0])
    found = collect(distinct(people, *groups).sort(*groups))
    number = found.append_column(_GROUP, [np.arange(found.num_rows)])
    numbered = lend({"data": people.to_native(), "groups": number})
    people = numbered["data"].join(numbered["groups"], on=list(groups), how="inner")
    return people.select(*kept, _GROUP), to_pandas(found)


def _lapse_check() -> Check:
    """Refuse follow-up that ends at a lapse, as an event or censored: both end payments too early.

    The value would be that of a patient until the first lapse, and nobody would see it.
    """
    reason = nw.col(_REASON).cast(nw.String).str.to_lowercase()
    repair = (
        "end follow-up at death, moving away or the end of observation, by derive_time_to_event "
        "without the lapse"
    )
    ended = reason.str.contains("lapse", literal=True).fill_null(False)
    return Check(_REASON, ended, "says that follow-up ended at a lapse", repair)


def _open_fees(
    people: nw.LazyFrame, fees: Any, patient: str, day: str, amount: str, rate: float
) -> tuple[nw.LazyFrame, nw.LazyFrame]:
    """Return people with their payments, one row each, discounted to the index date."""
    lent = open_tables(
        {"data": people.to_native(), "fees": fees},
        ids=patient,
        dates={},
        more={"fees": [day, amount]},
    )
    people, paid = lent["data"], lent["fees"]
    raise_faults(number_faults(paid, [day, amount], table="fees"))
    value = nw.col(amount).cast(nw.Float64)
    checks = [
        is_missing(patient, repair=REPAIR_ID),
        is_missing(day, repair="date the payment, or drop it in the source"),
        *_day_checks(paid, day),
        is_missing(amount, repair="give a visit that cost nothing the amount 0, or drop it"),
        Check(amount, ~value.is_finite(), "is not finite", "correct the amount"),
    ]
    raise_faults(value_faults(paid, checks, table="fees", may_be_empty=True))
    whole = nw.col(day).cast(nw.Int64)
    worth = (whole.cast(nw.Float64) * (-math.log1p(rate) / DAYS_PER_YEAR)).exp()
    paid = paid.select(patient, whole.alias(_DAY), (value * worth).alias(_AMOUNT))
    return people, paid.join(people, on=patient, how="inner")


def _day_checks(frame: nw.LazyFrame, column: str) -> list[Check]:
    checks = [Check(column, nw.col(column) < 0, "is negative", "check which date comes first")]
    if not frame.collect_schema()[column].is_integer():
        value = nw.col(column).cast(nw.Float64)
        whole = "convert it to whole days first, rounding down"
        checks.append(Check(column, ~(value == value.floor()), "is not a whole number", whole))
    return checks


def _fee_faults(paid: nw.LazyFrame, day: str) -> list[Fault]:
    late = Check(
        day,
        nw.col(_DAY) > nw.col(_TIME),
        "is after the patient's follow-up",
        "end the follow-up later, or leave out what was paid after it, as derive_fees does",
    )
    return value_faults(paid, [late], table="fees", may_be_empty=True)


# --- the estimate ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Steps:
    """What one group did on each day on which anything happened."""

    day: np.ndarray
    at_risk: np.ndarray
    events: np.ndarray
    censored: np.ndarray
    weight: np.ndarray  # S(u-) / Y(u): what an amount paid on that day adds to the value
    value: np.ndarray  # the value up to that day, that day included
    survival: np.ndarray  # S(u)


def _counts(query: nw.LazyFrame) -> pd.DataFrame:
    table = to_pandas(collect(query))
    whole = [name for name in (_GROUP, _TIME, _EVENT, _DAY, _N) if name in table]
    return table.astype(dict.fromkeys(whole, np.int64))


def _steps(exits: pd.DataFrame, sums: pd.DataFrame) -> _Steps:
    days = np.unique(np.concatenate([exits[_TIME], sums[_DAY]]))
    at, n, died = np.searchsorted(days, exits[_TIME]), exits[_N], exits[_EVENT] == 1
    events = np.bincount(at[died], weights=n[died], minlength=len(days))
    left = np.bincount(at, weights=n, minlength=len(days))
    at_risk = left[::-1].cumsum()[::-1]
    # Nobody pays when nobody is at risk, because payments after follow-up are refused.
    survival = np.cumprod(1 - events / np.maximum(at_risk, 1))
    weight = np.append(1.0, survival[:-1]) / np.maximum(at_risk, 1)
    paid = np.bincount(
        np.searchsorted(days, sums[_DAY]), weights=sums[_AMOUNT], minlength=len(days)
    )
    return _Steps(days, at_risk, events, left - events, weight, np.cumsum(weight * paid), survival)


def _refuse_unobserved(steps: Sequence[_Steps], asked: Sequence[int]) -> None:
    # Once everybody's payments have ended the value is known for good.
    beyond = sum(step.survival[-1] > 0 and asked[-1] > step.day[-1] for step in steps)
    if beyond:
        where = f" in {beyond} of {len(steps)} groups" if len(steps) > 1 else ""
        message = f"times={asked[-1]} is beyond the last day observed{where}"
        raise_faults([Fault("data", "", beyond, message, "ask for the value by an earlier day")])


def _weights(steps: Sequence[_Steps]) -> pd.DataFrame:
    parts = [
        pd.DataFrame({_GROUP: i, _DAY: step.day, _WEIGHT: step.weight})
        for i, step in enumerate(steps)
    ]
    return pd.concat(parts, ignore_index=True)


def _spent(
    paid: nw.LazyFrame, weights: pd.DataFrame, patient: str, asked: Sequence[int]
) -> pd.DataFrame:
    """Return sums and squares of the patients' weighted payments, by group, time and event."""
    lent = lend({"paid": paid.to_native(), "weights": weights})
    rows = lent["paid"].join(
        lent["weights"].select(_GROUP, _DAY, _WEIGHT), on=[_GROUP, _DAY], how="inner"
    )
    share = nw.col(_AMOUNT) * nw.col(_WEIGHT)
    by_patient = group_rows(rows, patient, _GROUP, _TIME, _EVENT).agg(
        *[
            nw.when(nw.col(_DAY) <= t).then(share).otherwise(0.0).sum().alias(f"__b_{i}")
            for i, t in enumerate(asked)
        ]
    )
    sums = [nw.col(f"__b_{i}").sum().alias(f"sum_{i}") for i in range(len(asked))]
    squares = [
        (nw.col(f"__b_{i}") * nw.col(f"__b_{i}")).sum().alias(f"square_{i}")
        for i in range(len(asked))
    ]
    return _counts(by_patient.group_by(_GROUP, _TIME, _EVENT).agg(*sums, *squares))


def _of_group(
    step: _Steps, exits: pd.DataFrame, spent: pd.DataFrame, asked: Sequence[int], level: float
) -> pd.DataFrame:
    cells = exits.merge(spent, on=[_GROUP, _TIME, _EVENT], how="left").fillna(0.0)
    z = norm.ppf((1 + level) / 2)
    rows = []
    for i, t in enumerate(asked):
        at = int(np.searchsorted(step.day, t, side="right")) - 1
        here = at >= 0 and step.day[at] == t
        value = step.value[at] if at >= 0 else 0.0
        error = _std_error(step, cells, i, t, value)
        counts = (
            int(exits.loc[exits[_TIME] >= t, _N].sum()),
            int(step.events[at]) if here else 0,
            int(step.censored[at]) if here else 0,
        )
        rows.append((t, *counts, value, error, value - z * error, value + z * error, level))
    return pd.DataFrame(rows, columns=CURVE)


def _std_error(step: _Steps, cells: pd.DataFrame, i: int, t: int, value: float) -> float:
    """Return the root of the patients' summed squared influence on the value by day t.

    A patient adds the weighted payments, takes away the mean payment of each day at risk, and by
    dying lowers the weight of every later day: with r(v) = (value(t) - value(v)) / (Y(v) - D(v))
    the death on day v takes r(v) and each day at risk gives back r(v) D(v) / Y(v).
    """
    if cells[_N].sum() < 2:
        return math.nan
    until = step.day <= t
    paid_rate = np.diff(step.value, prepend=0.0) / np.maximum(step.at_risk, 1)
    after = np.maximum(step.at_risk - step.events, 0)
    # Where everybody at risk dies there are no later payments to lose.
    loss = np.where(until & (after > 0), (value - step.value) / np.maximum(after, 1), 0.0)
    given = np.cumsum(np.where(until, loss * step.events / np.maximum(step.at_risk, 1), 0.0))
    taken = np.cumsum(np.where(until, paid_rate, 0.0))
    at = np.searchsorted(step.day, cells[_TIME].to_numpy())
    died = cells[_EVENT].to_numpy() == 1
    expected = taken[at] + np.where(died, loss[at], 0.0) - given[at]
    sums, squares = cells[f"sum_{i}"].to_numpy(), cells[f"square_{i}"].to_numpy()
    total = np.sum(squares - 2 * expected * sums + cells[_N].to_numpy() * expected**2)
    # Rounding can leave a variance of nothing just below 0.
    return math.sqrt(max(total, 0.0))


def _table(
    parts: Sequence[pd.DataFrame], names: pd.DataFrame, groups: Sequence[str], data: Any
) -> pd.DataFrame:
    for i, part in enumerate(parts):
        for position, name in enumerate(groups):
            part.insert(position, name, names[name].iloc[[i]].repeat(len(part)).to_numpy())
    table = pd.concat(parts, ignore_index=True)
    table = sorted_groups(table, groups=groups, like=data)
    return table.sort_values([*groups, "time"], ignore_index=True)
