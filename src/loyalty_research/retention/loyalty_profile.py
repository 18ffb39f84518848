"""The four behaviours in which loyalty shows, each told by itself."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
from scipy.stats import norm
from scipy.stats import t as student

from loyalty_research.data.arguments import (
    as_columns,
    check_choice,
    check_date,
    check_share,
    check_whole,
)
from loyalty_research.data.frames import (
    REPAIR_DATE,
    REPAIR_ID,
    REPAIR_INDEX,
    Check,
    day_number,
    is_missing,
    open_tables,
    raise_faults,
    require_columns,
    value_faults,
)
from loyalty_research.data.lending import collect, column_names, distinct, give_back, to_pandas
from loyalty_research.errors import Fault, UsageError
from loyalty_research.retention.averages import (
    ESTIMATES,
    mean_estimates,
    moments,
    open_rows_by_group,
    refuse_clashes,
    share_estimates,
    sorted_groups,
)

BEHAVIOURS = ("repeat_choice", "recommendation", "trust", "willing_to_pay")
"""Chooses the same provider again, recommends it, trusts it, would pay more for it."""

CORRELATIONS = [*ESTIMATES, "n_missing"]
"""The columns of a table of correlations after `term`, `other_term` and those of the group."""

_SURVEY = ("item", "score")
_INDEX, _N = "__index", "__n"


def derive_loyalty_behaviours(
    cohort: Any,
    *,
    within_days: int,
    data_cutoff: Any,
    visits: Any = None,
    referrals: Any = None,
    survey_responses: Any = None,
    planned: str = "planned",
    trust_item: str | None = None,
    payment_item: str | None = None,
) -> Any:
    """Return the cohort with a column for each behaviour that the given tables show.

    What was done (a revisit by choice, a recommendation) counts from the day after the index date
    to `within_days` after it, and is missing for a patient who could not be seen that long,
    because nothing seen in half a window does not say nothing was done. An answer to a survey
    counts from the index date to `within_days` after it; the mean is taken of several.

    Args:
        cohort: One row a patient: `patient_id`, `index_date`, perhaps `observed_until`. pandas,
            Polars, Arrow, DuckDB or Spark.
        within_days: Days from the index date in which a behaviour counts.
        data_cutoff: Last day the data cover.
        visits: One row a visit: `patient_id`, `visit_date`, `planned`; shows `repeat_choice`.
        referrals: One row a recommendation: `referrer_id`, `referral_date`; shows
            `recommendation`.
        survey_responses: One row an answer: `patient_id`, `survey_date`, `item`, `score`; shows
            `trust` and `willing_to_pay`.
        planned: Column of `visits` that is true for a visit booked by the care plan, which is no
            choice of the patient and does not count; where it is missing the visit does not count.
        trust_item: Code of the question on trust.
        payment_item: Code of the question on paying more for quality.

    Returns:
        The cohort, same kind of frame, with `repeat_choice` and `recommendation` (1 or 0),
        `trust` and `willing_to_pay` (mean score); only those for which a table was given.

    Raises:
        UsageError: No table given, a question without answers in the survey (the nearest is
            proposed), a survey without a question or a question without a survey.
        DataError: Missing columns, ids, dates or scores; all faults of a table at once.

    Examples:
        >>> cohort = pd.DataFrame({
        ...     "patient_id": ["a", "b"],
        ...     "index_date": pd.to_datetime(["2024-01-01", "2024-01-01"]),
        ... })
        >>> referrals = pd.DataFrame(
        ...     {"referrer_id": ["a"], "referral_date": pd.to_datetime(["2024-02-01"])}
        ... )
        >>> derive_loyalty_behaviours(
        ...     cohort, referrals=referrals, within_days=90, data_cutoff="2024-12-31"
        ... )["recommendation"].tolist()
        [1, 0]
    """
    days = check_whole(within_days, name="within_days", minimum=1)
    cutoff = check_date(data_cutoff, name="data_cutoff").toordinal()
    asked = {"trust": trust_item, "willing_to_pay": payment_item}
    items = {name: item for name, item in asked.items() if item is not None}
    _check_tables(visits, referrals, survey_responses, items)
    if visits is not None:
        cohort = _with_deeds(
            cohort, visits, "visits", "repeat_choice", days, cutoff, date="visit_date", plan=planned
        )
    if referrals is not None:
        cohort = _with_deeds(
            cohort,
            referrals,
            "referrals",
            "recommendation",
            days,
            cutoff,
            date="referral_date",
            who="referrer_id",
        )
    if survey_responses is not None:
        cohort = _with_scores(cohort, survey_responses, items, days)
    return cohort


def _check_tables(visits: Any, referrals: Any, survey: Any, items: Mapping[str, str]) -> None:
    if visits is None and referrals is None and survey is None:
        raise UsageError("give at least one of visits, referrals, survey_responses")
    if survey is not None and not items:
        raise UsageError("survey_responses needs trust_item or payment_item, a question's code")
    if survey is None and items:
        raise UsageError("trust_item and payment_item need survey_responses")


def _with_deeds(
    cohort: Any,
    events: Any,
    table: str,
    behaviour: str,
    days: int,
    cutoff: int,
    *,
    date: str,
    who: str = "patient_id",
    plan: str | None = None,
) -> Any:
    """Return the cohort with 1 for who did it within the days, 0 for who did not."""
    if who != "patient_id":
        events = _renamed(events, who, table)
    flag = [plan] if plan is not None else []
    rows, people = _open(cohort, events, table, date, flag)
    if plan is not None:
        rows = rows.filter((nw.col(plan).cast(nw.Int64) == 0).fill_null(False))
    since = day_number(nw.col(date)) - nw.col(_INDEX)
    rows = rows.join(people.select("patient_id", _INDEX), on="patient_id", how="inner")
    rows = rows.filter((since > 0) & (since <= days))
    done = distinct(rows, "patient_id").with_columns(nw.lit(1).alias(_N))
    seen = [nw.lit(cutoff)]
    if "observed_until" in people.collect_schema().names():
        seen.append(day_number(nw.col("observed_until")))
    observable = nw.min_horizontal(*seen) - nw.col(_INDEX) >= days
    people = people.drop(behaviour, strict=False).join(done, on="patient_id", how="left")
    value = nw.when(observable).then(nw.col(_N).fill_null(0)).alias(behaviour)
    return give_back(people.with_columns(value), like=cohort, new=[behaviour])


def _renamed(events: Any, who: str, table: str) -> Any:
    # The patient who recommends is named otherwise than in every other table.
    require_columns(events, [who], table=table)
    frame = nw.from_native(events)
    others = [name for name in frame.collect_schema().names() if name not in (who, "patient_id")]
    return frame.select(nw.col(who).alias("patient_id"), *others).to_native()


def _with_scores(cohort: Any, survey: Any, items: Mapping[str, str], days: int) -> Any:
    """Return the cohort with each patient's mean answer to each question within the days."""
    rows, people = _open(cohort, survey, "survey_responses", "survey_date", ["item", "score"])
    known = collect(distinct(rows, "item")).column(0).to_pylist()
    for name, item in items.items():
        argument = "trust_item" if name == "trust" else "payment_item"
        check_choice(item, sorted(str(code) for code in known if code), name=argument)
    rows = rows.join(people.select("patient_id", _INDEX), on="patient_id", how="inner")
    since = day_number(nw.col("survey_date")) - nw.col(_INDEX)
    rows = rows.filter((since >= 0) & (since <= days))
    score = nw.col("score").cast(nw.Float64)
    means = [
        nw.when(nw.col("item") == item).then(score).mean().alias(name)
        for name, item in items.items()
    ]
    answers = rows.group_by("patient_id").agg(*means)
    people = people.drop(*items, strict=False).join(answers, on="patient_id", how="left")
    return give_back(people, like=cohort, new=list(items))


def _open(
    cohort: Any, events: Any, table: str, date: str, more: Sequence[str]
) -> tuple[nw.LazyFrame, nw.LazyFrame]:
    names = column_names(cohort, table="cohort")
    window = [name for name in ("observed_until",) if name in names]
    lent = open_tables(
        {"cohort": cohort, table: events},
        ids="patient_id",
        dates={"cohort": ["index_date", *window], table: [date]},
        more={table: more},
    )
    rows, people = lent[table], lent["cohort"]
    raise_faults(_type_faults(rows, more, table))
    checks = [is_missing("patient_id", repair=REPAIR_ID), is_missing(date, repair=REPAIR_DATE)]
    for name in more:
        if name in _SURVEY:
            checks.append(is_missing(name, repair="drop the unanswered question"))
        elif rows.collect_schema()[name].is_numeric():
            odd = (nw.col(name) != 0) & (nw.col(name) != 1)
            checks.append(Check(name, odd, "is neither 0 nor 1", "code planned visits as 1"))
    who = [
        is_missing("patient_id", repair=REPAIR_ID),
        is_missing("index_date", repair=REPAIR_INDEX),
    ]
    raise_faults(
        [
            *value_faults(rows, checks, table=table, may_be_empty=True),
            *value_faults(people, who, table="cohort", unique="patient_id"),
        ]
    )
    return rows, people.with_columns(day_number(nw.col("index_date")).alias(_INDEX))


def _type_faults(rows: nw.LazyFrame, columns: Sequence[str], table: str) -> list[Fault]:
    schema, faults = rows.collect_schema(), []
    for name in columns:
        flag = name not in _SURVEY
        if name == "item" or schema[name].is_numeric() or (flag and schema[name] == nw.Boolean):
            continue
        due = "true or false" if flag else "a number"
        repair = "code it so first"
        faults.append(Fault(table, name, 0, f"{name} is {schema[name]}, not {due}", repair))
    return faults


# --- the profile ----------------------------------------------------------------------------------


def loyalty_profile(
    data: Any,
    *,
    repeat_choice: str | None = "repeat_choice",
    recommendation: str | None = "recommendation",
    trust: str | None = "trust",
    willing_to_pay: str | None = "willing_to_pay",
    ranges: Mapping[str, tuple[float, float]] | None = None,
    by: str | Sequence[str] | None = None,
    conf_level: float = 0.95,
) -> pd.DataFrame:
    """Return each of the four behaviours of loyalty by itself, with interval and missing values.

    There is no single score on purpose: its weights would decide who is called loyal, and a
    programme may move one behaviour while another falls.

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        repeat_choice: Column that tells whether the patient chose the provider again. Each of the
            four is true or false, 1 or 0, or a score whose range is stated in `ranges`; missing
            values are left out and counted. None for a behaviour that was not measured.
        recommendation: Column that tells whether the patient recommended the provider.
        trust: Column that tells how far the patient trusts the provider.
        willing_to_pay: Column that tells whether the patient would pay more.
        ranges: For each behaviour (not column) that is a score its lowest and highest value.
        by: Column or columns that name groups.
        conf_level: Coverage of the intervals.

    Returns:
        For each behaviour and group a share (Wilson's interval) or a mean score (Student's t):
        `term`, group..., `estimate`, `std_error`, `conf_low`, `conf_high`, `conf_level`, `p_value`
        (missing: nothing is tested), `n` patients with a value, `n_events` of them with the
        behaviour (missing for a score), `scale`, `method`, `n_missing`. A behaviour that was not
        measured has its rows too, so that the gap is seen: `n` 0, `scale` `"not measured"`.

    Raises:
        UsageError: No behaviour, one column for two behaviours, a range of an unknown behaviour or
            that is empty, a clash of names.
        DataError: Missing columns or groups, a value outside its range; all faults at once.

    Examples:
        >>> data = pd.DataFrame({"came": [1, 1, 0, None], "trust": [5, 3, 4, 4]})
        >>> profile = loyalty_profile(
        ...     data,
        ...     repeat_choice="came",
        ...     recommendation=None,
        ...     willing_to_pay=None,
        ...     ranges={"trust": (1, 5)},
        ... )
        >>> profile[["term", "estimate", "n", "n_missing", "scale"]].round(3).values.tolist()
        [['repeat_choice', 0.667, 3, 1, 'share'], ['recommendation', nan, 0, 4, 'not measured'], \
['trust', 4.0, 4, 0, 'score 1 to 5'], ['willing_to_pay', nan, 0, 4, 'not measured']]
    """
    level = check_share(conf_level, name="conf_level")
    named = dict(
        zip(BEHAVIOURS, (repeat_choice, recommendation, trust, willing_to_pay), strict=True)
    )
    columns, limits = _check_behaviours(named, ranges)
    groups = as_columns(by)
    refuse_clashes(groups, ["term", "n_missing", *ESTIMATES, *columns.values()])
    rows = _open_behaviours(data, columns, limits, groups)
    found = moments(rows, columns=list(columns.values()), groups=groups, like=data)
    parts = [_profile_of(b, columns, limits, found, groups, level) for b in BEHAVIOURS]
    return pd.concat(parts, ignore_index=True)


def _check_behaviours(
    named: Mapping[str, str | None], ranges: Mapping[str, tuple[float, float]] | None
) -> tuple[dict[str, str], dict[str, tuple[float, float]]]:
    columns = {name: column for name, column in named.items() if column is not None}
    if not columns:
        raise UsageError(f"name the column of at least one of {', '.join(BEHAVIOURS)}")
    if len(set(columns.values())) != len(columns):
        raise UsageError("one column stands for two behaviours; give each its own")
    limits = dict(ranges or {})
    for name, pair in limits.items():
        check_choice(name, columns, name="ranges")
        _check_range(name, pair)
    return columns, limits


def _check_range(name: str, pair: Any) -> None:
    two = isinstance(pair, Sequence) and len(pair) == 2
    if not two or not all(isinstance(x, numbers.Real) for x in pair) or not pair[0] < pair[1]:
        raise UsageError(f"ranges[{name!r}]={pair!r} must be lowest and highest score, as (1, 5)")


def _open_behaviours(
    data: Any,
    columns: Mapping[str, str],
    limits: Mapping[str, tuple[float, float]],
    groups: Sequence[str],
) -> nw.LazyFrame:
    checks = []
    for name, column in columns.items():
        value = nw.col(column)
        if name in limits:
            low, high = limits[name]
            words = f"is not between {low:g} and {high:g}"
            outside = (value < low) | (value > high)
            checks.append(Check(column, outside, words, f"correct it or the range of {name}"))
        else:
            repair = f"code it as 1 or 0, or state the score's range in ranges for {name}"
            checks.append(Check(column, (value != 0) & (value != 1), "is neither 0 nor 1", repair))
    return open_rows_by_group(data, groups=groups, columns=list(columns.values()), checks=checks)


def _profile_of(
    behaviour: str,
    columns: Mapping[str, str],
    limits: Mapping[str, tuple[float, float]],
    found: Mapping[str, pd.DataFrame],
    groups: Sequence[str],
    level: float,
) -> pd.DataFrame:
    if behaviour not in columns:
        nothing = next(iter(found.values())).assign(n=0, mean=np.nan, sd=np.nan)
        table = mean_estimates(
            nothing, groups=groups, term=behaviour, scale="not measured", conf_level=level
        )
        return table.assign(method="not measured")
    counted = found[columns[behaviour]]
    if behaviour not in limits:
        return share_estimates(counted, groups=groups, term=behaviour, conf_level=level)
    low, high = limits[behaviour]
    scale = f"score {low:g} to {high:g}"
    return mean_estimates(counted, groups=groups, term=behaviour, scale=scale, conf_level=level)


# --- how the behaviours go together ---------------------------------------------------------------


def loyalty_profile_correlation(
    data: Any,
    *,
    repeat_choice: str | None = "repeat_choice",
    recommendation: str | None = "recommendation",
    trust: str | None = "trust",
    willing_to_pay: str | None = "willing_to_pay",
    ranges: Mapping[str, tuple[float, float]] | None = None,
    by: str | Sequence[str] | None = None,
    conf_level: float = 0.95,
) -> pd.DataFrame:
    """Return Spearman's rank correlation of each pair of the measured behaviours.

    Ties take their mean rank (Spearman, Am J Psychol 1904;15:72). The interval is Fisher's on the
    scale of artanh with the error sqrt((1 + r^2 / 2) / (n - 3)) of Bonett and Wright (Psychometrika
    2000;65:23); the p value is that of t = r sqrt((n - 2) / (1 - r^2)) with n - 2 degrees. The
    engine counts the distinct pairs of values, so the number of patients hardly matters.

    Args:
        data: One row a patient, as for `loyalty_profile`.
        repeat_choice: As for `loyalty_profile`.
        recommendation: As for `loyalty_profile`.
        trust: As for `loyalty_profile`.
        willing_to_pay: As for `loyalty_profile`.
        ranges: As for `loyalty_profile`.
        by: Column or columns that name groups.
        conf_level: Coverage of the intervals.

    Returns:
        One row a pair and group: `term`, `other_term`, group..., `estimate` (missing where a
        behaviour is the same for all), `std_error` (on the scale of artanh), `conf_low` and
        `conf_high` (missing below four patients and at -1 and 1), `conf_level`, `p_value`, `n`
        patients with both, `n_events` (missing: nothing is counted), `scale`, `method`,
        `n_missing`.

    Raises:
        UsageError: Fewer than two behaviours, or as for `loyalty_profile`.
        DataError: As for `loyalty_profile`.

    Examples:
        >>> data = pd.DataFrame({"came": [0, 0, 1, 1], "trust": [1, 2, 2, 5]})
        >>> table = loyalty_profile_correlation(
        ...     data,
        ...     repeat_choice="came",
        ...     recommendation=None,
        ...     willing_to_pay=None,
        ...     ranges={"trust": (1, 5)},
        ... )
        >>> round(table["estimate"].item(), 4)
        0.7071
    """
    level = check_share(conf_level, name="conf_level")
    named = dict(
        zip(BEHAVIOURS, (repeat_choice, recommendation, trust, willing_to_pay), strict=True)
    )
    columns, limits = _check_behaviours(named, ranges)
    if len(columns) < 2:
        raise UsageError("a correlation needs two behaviours; name the columns of two or more")
    groups = as_columns(by)
    refuse_clashes(groups, ["term", "other_term", *CORRELATIONS, *columns.values()])
    rows = _open_behaviours(data, columns, limits, groups)
    parts = []
    for one, other in combinations(columns, 2):
        pairs = _count_pairs(rows, columns[one], columns[other], groups, data)
        found = [_correlation(part, level) for part in pairs.values()]
        table = pd.DataFrame(found, columns=CORRELATIONS).astype({"n_events": "Int64"})
        for position, name in enumerate(groups):
            keys = pd.concat([part[name].iloc[[0]] for part in pairs.values()], ignore_index=True)
            table.insert(position, name, keys)
        table.insert(0, "term", one)
        table.insert(1, "other_term", other)
        parts.append(table)
    return pd.concat(parts, ignore_index=True)


def _count_pairs(
    rows: nw.LazyFrame, one: str, other: str, groups: Sequence[str], like: Any
) -> dict[Any, pd.DataFrame]:
    """Return by group how many patients have each pair of values."""
    chosen = rows.select(*groups, nw.col(one).alias("__x"), nw.col(other).alias("__y"))
    counted = chosen.group_by(*groups, "__x", "__y").agg(nw.len().alias(_N))
    table = sorted_groups(to_pandas(collect(counted)), groups=groups, like=like)
    if not groups:
        return {(): table}
    return dict(list(table.groupby(list(groups), observed=True)))


def _correlation(pairs: pd.DataFrame, level: float) -> tuple[Any, ...]:
    both = pairs.dropna(subset=["__x", "__y"])
    n, total = int(both[_N].sum()), int(pairs[_N].sum())
    weight = both[_N].to_numpy(float)
    x, y = (_mean_ranks(both[name].to_numpy(float), weight) for name in ("__x", "__y"))
    r = _pearson(x, y, weight)
    error = math.sqrt((1 + r**2 / 2) / (n - 3)) if n > 3 else math.nan
    # At -1 and 1 artanh is infinite, and there is no interval to give.
    centre = math.atanh(r) if abs(r) < 1 else math.nan
    half = norm.ppf((1 + level) / 2) * error
    interval = (math.tanh(centre - half), math.tanh(centre + half), level)
    words = ("correlation", "Spearman, Bonett-Wright")
    return (r, error, *interval, _p_value(r, n), n, pd.NA, *words, total - n)


def _p_value(r: float, n: int) -> float:
    if n < 3 or math.isnan(r):
        return math.nan
    if abs(r) >= 1:
        return 0.0
    return float(2 * student.sf(abs(r) * math.sqrt((n - 2) / (1 - r**2)), n - 2))


def _mean_ranks(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the mean rank of each value, counted as often as its weight says."""
    _, code = np.unique(values, return_inverse=True)
    size = np.bincount(code, weights=weight)
    return (np.cumsum(size) - size + (size + 1) / 2)[code]


def _pearson(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> float:
    total = weight.sum()
    if total == 0:
        return math.nan
    dx, dy = x - weight @ x / total, y - weight @ y / total
    spread = math.sqrt((weight @ dx**2) * (weight @ dy**2))
    return float(np.clip(weight @ (dx * dy) / spread, -1, 1)) if spread > 0 else math.nan
