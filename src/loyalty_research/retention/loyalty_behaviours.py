"""What visits, recommendations and surveys show of each patient's loyalty."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import narwhals.stable.v2 as nw

from loyalty_research.data.arguments import check_date, check_whole
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
from loyalty_research.data.lending import collect, column_names, distinct, give_back, lend
from loyalty_research.errors import Fault, UsageError

_SURVEY = ("item", "score")
_INDEX, _N = "__index", "__n"
_MOST_CODES = 20


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
        trust_item: Code, in `survey_responses.item`, of the question on trust. Codes are the
            survey's own: any that occurs in `item` is accepted, and a refusal lists them. (The
            contract knows "recommend" and "satisfaction", which are neither of these questions.)
        payment_item: Code of the question on paying more for quality; the same holds.

    Returns:
        The cohort, same kind of frame, with `repeat_choice` and `recommendation` (1 or 0),
        `trust` and `willing_to_pay` (mean score); only those for which a table was given.

    Raises:
        UsageError: No table given, a question without answers in the survey (the nearest is
            proposed, all are listed), a survey without a question or a question without a survey.
        DataError: Missing columns, ids, dates or scores, dates after `data_cutoff`, other codes
            than true and false in `planned`; all faults of a table at once.

    Examples:
        >>> import pandas as pd
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
        cohort = _with_scores(cohort, survey_responses, items, days, cutoff)
    return cohort


def _check_tables(visits: Any, referrals: Any, survey: Any, items: Mapping[str, str]) -> None:
    if visits is None and referrals is None and survey is None:
        raise UsageError("give at least one of visits, referrals, survey_responses")
    if survey is not None and not items:
        message = "survey_responses needs trust_item or payment_item, a question's code"
        raise UsageError(f"{message}{_questions(_items_of(survey))}")
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
    rows, people = _open(cohort, events, table, date, flag, cutoff)
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


def _with_scores(cohort: Any, survey: Any, items: Mapping[str, str], days: int, cutoff: int) -> Any:
    """Return the cohort with each patient's mean answer to each question within the days."""
    rows, people = _open(cohort, survey, "survey_responses", "survey_date", _SURVEY, cutoff)
    known = _codes(rows)
    for name, item in items.items():
        argument = "trust_item" if name == "trust" else "payment_item"
        if item not in known:
            near = difflib.get_close_matches(str(item), known, n=1)
            told = f"; did you mean {near[0]!r}?" if near else ""
            raise UsageError(f"{argument}={item!r} is not known{told}{_questions(known)}")
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


def _items_of(survey: Any) -> list[str]:
    """Return the codes of a survey's questions, none if it has no column of them."""
    if "item" not in column_names(survey, table="survey_responses"):
        return []
    return _codes(lend({"survey": survey}, columns={"survey": ["item"]})["survey"])


def _codes(rows: nw.LazyFrame) -> list[str]:
    return sorted(
        str(code) for code in collect(distinct(rows, "item")).column(0).to_pylist() if code
    )


def _questions(codes: Sequence[str]) -> str:
    # A question's code is the hospital's, not a patient's; a hundred codes are no help.
    listed = ", ".join(map(repr, codes[:_MOST_CODES]))
    more = f" and {len(codes) - _MOST_CODES:,} more" if len(codes) > _MOST_CODES else ""
    return f"; the survey's questions are {listed}{more}" if codes else ""


def _open(
    cohort: Any, events: Any, table: str, date: str, more: Sequence[str], cutoff: int
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
    late = day_number(nw.col(date)) > cutoff
    checks = [
        is_missing("patient_id", repair=REPAIR_ID),
        is_missing(date, repair=REPAIR_DATE),
        Check(date, late, "is after data_cutoff", "move data_cutoff or correct the dates"),
    ]
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
