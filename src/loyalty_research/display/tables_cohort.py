"""What a study holds, and who of it was left out, worded for readers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from loyalty_research.display.disclosure import DECIMALS, suppress_small_counts
from loyalty_research.display.tidy import as_pandas, column_label, require_columns
from loyalty_research.display.worded import WordedTable, count_cells, missing_cells, word_table
from loyalty_research.display.words import MISSING, format_share, format_value, is_missing
from loyalty_research.effects.published import counts_told, is_small, told_text

ATTRITION_COLUMNS = ("step", "criterion", "n_before", "n_excluded", "n_after")
CHECK_COLUMNS = ("check", "statistic", "threshold", "passed", "gating", "message")
EVERYBODY = "All patients"
# What they name are items of a guideline, by their numbers.
_OF_GUIDELINES = ("open items", "items not applicable")


def attrition_table(
    attrition: Any, *, labels: Mapping[Any, str] | None = None, audience: str = "internal"
) -> WordedTable:
    """Word who was left out at each step, with the share of those still there before it.

    Args:
        attrition: one row per criterion: step, criterion, n_before, n_excluded, n_after.
        labels: names for readers by criterion.
        audience: "publish" hides small counts.

    Raises:
        UsageError: a column is missing.

    Examples:
        >>> attrition = pd.DataFrame({"step": [0, 1], "criterion": ["all", "adult"],
        ...     "n_before": [8000, 8000], "n_excluded": [0, 1200], "n_after": [8000, 6800]})
        >>> attrition_table(attrition).words.values.tolist()
        [['All patients', '–', '8,000'], ['Adult', '1,200 (15.0 %)', '6,800']]
    """
    numbers = publish_attrition(attrition, audience=audience)
    hidden = missing_cells(numbers)
    words = {
        "Criterion": [criterion_label(name, labels=labels) for name in numbers["criterion"]],
        "Left out": [
            MISSING if step == 0 else format_share(n, before, missing=gone)
            for step, n, before, gone in zip(
                numbers["step"], numbers["n_excluded"], numbers["n_before"], hidden, strict=True
            )
        ],
        "Remaining": count_cells(numbers["n_after"], hidden),
    }
    return WordedTable(numbers, pd.DataFrame(words, dtype=object))


def criterion_label(criterion: Any, *, labels: Mapping[Any, str] | None = None) -> str:
    """Return a criterion's name for readers; the step before all criteria is "All patients".

    Examples:
        >>> criterion_label("all"), criterion_label("seen_in_2024")
        ('All patients', 'Seen in 2024')
    """
    everybody = {"all": EVERYBODY}
    return column_label(str(criterion), labels={**everybody, **(labels or {})})


def publish_attrition(attrition: Any, *, audience: str) -> pd.DataFrame:
    """Return the attrition as this audience may see it.

    Examples:
        >>> publish_attrition(pd.DataFrame({"step": [0], "criterion": ["all"], "n_before": [33],
        ...     "n_excluded": [0], "n_after": [33]}), audience="publish")["n_after"].tolist()
        [35]
    """
    table = as_pandas(attrition)
    require_columns(table, ATTRITION_COLUMNS, what="the attrition")
    counts = ["n_before", "n_excluded", "n_after"]
    return suppress_small_counts(table, counts=counts, audience=audience)


def facts_table(facts: Any, *, audience: str = "internal") -> WordedTable:
    """Word what a study holds: rows and dates of each table.

    Args:
        facts: one row per table: table, n_rows, first_date, last_date, and what else is there.
        audience: "publish" hides small counts.

    Raises:
        UsageError: a column is missing.

    Examples:
        >>> facts = pd.DataFrame({"table": ["visits"], "n_rows": [93211],
        ...     "first_date": ["2021-01-04"], "last_date": ["2024-12-31"]})
        >>> facts_table(facts).words.values.tolist()
        [['visits', '93,211', '2021-01-04', '2024-12-31']]
    """
    table = as_pandas(facts)
    require_columns(table, ["table", "n_rows"], what="the facts")
    return word_table(suppress_small_counts(table, counts=["n_rows"], audience=audience))


def checks_table(checks: Any, *, audience: str = "internal") -> WordedTable:
    """Word which checks held, and which of them an estimate waits for.

    Args:
        checks: one row per check: check, statistic, threshold, passed, gating, message; where the
            statistic is a share of counted things also n and n_events, its parts.
        audience: "publish" hides small counts and makes the shares again from rounded ones; a
            statistic without such parts keeps three decimals. Counts in a message are rounded to
            5, or withheld from 1 to 7, in their place. Where the checks are those of an effect,
            `effect_checks_table` also keeps back what tells an effect that is withheld.

    Raises:
        UsageError: a column is missing.

    Examples:
        >>> checks = pd.DataFrame({"check": ["visits_known"], "statistic": [0], "threshold": [0],
        ...     "passed": [True], "gating": [True], "message": ["Every visit has a patient."]})
        >>> checks_table(checks).words.values.tolist()
        [['Visits known', 'passed', '0', '0', 'yes', 'Every visit has a patient.']]
    """
    table = as_pandas(checks)
    require_columns(table, CHECK_COLUMNS, what="the checks")
    numbers = publish_checks(table, audience=audience)
    hidden = missing_cells(numbers)
    found = zip(numbers["statistic"], hidden, strict=True)
    messages = numbers["message"].fillna("").astype(str)
    words = {
        "Check": [_check_label(str(name)) for name in numbers["check"]],
        "Result": [_result(passed) for passed in numbers["passed"]],
        "Found": [format_value(value, missing=gone) for value, gone in found],
        **{
            column_label(name): count_cells(numbers[name], hidden)
            for name in ("n_events", "n")
            if name in numbers.columns
        },
        "Limit": [format_value(limit) for limit in numbers["threshold"]],
        "Estimates wait for it": [format_value(gating) for gating in numbers["gating"]],
        **({"Meaning": messages} if messages.str.strip().any() else {}),
    }
    return WordedTable(numbers, pd.DataFrame(words, dtype=object))


def publish_checks(checks: pd.DataFrame, *, audience: str) -> pd.DataFrame:
    """Return the checks as this audience may see them.

    Examples:
        >>> checks = pd.DataFrame({"statistic": [12 / 62, 0], "n": [62, None],
        ...     "n_events": [12, None]})
        >>> publish_checks(checks, audience="publish").values.tolist()
        [[0.16666666666666666, 60, 10, 0], [0.0, <NA>, <NA>, 0]]
    """
    counts = [name for name in ("n", "n_events") if name in checks.columns]
    rates = {"statistic": ("n_events", "n")} if len(counts) == 2 else {}
    numbers = suppress_small_counts(checks, counts=counts, rates=rates, audience=audience)
    if audience == "internal":
        return numbers
    # A check that counts nothing of this kind keeps what it found.
    is_share = checks[counts].notna().all(axis=1).to_numpy() & bool(rates)
    own = as_pandas(checks)["statistic"].astype("Float64")
    numbers["statistic"] = numbers["statistic"].where(is_share, own.round(DECIMALS))
    return numbers if "message" not in numbers.columns else _with_told_messages(numbers, is_share)


def _with_told_messages(checks: pd.DataFrame, is_share: Any) -> pd.DataFrame:
    """Round or hide the counts that a check tells in its message, there and as its statistic."""
    messages = checks["message"].fillna("").astype(str)
    told = zip(checks["check"], checks["statistic"], messages, is_share, strict=True)
    found = [
        (value, False, message)
        if made or check in _OF_GUIDELINES
        else (*_statistic(value, counts_told(message)), told_text(message, audience="publish"))
        for check, value, message, made in told
    ]
    values, hidden, words = zip(*found, strict=True) if found else ((), (), ())
    return checks.assign(
        statistic=pd.array(values, dtype="Float64"),
        message=list(words),
        suppressed=checks["suppressed"] + pd.array(hidden, dtype="int64"),
    )


def _statistic(value: Any, counts: list[int]) -> tuple[Any, bool]:
    """Return a statistic as it may be published beside the counts of its message."""
    if is_missing(value):
        return pd.NA, False
    if float(value) in counts:
        rounded = suppress_small_counts(pd.DataFrame({"n": [int(value)]}), counts=["n"])
        return rounded["n"].iloc[0], bool(rounded["suppressed"].iloc[0])
    # A share gives back a small part, or a small whole, with the other one beside it.
    gone = 0 < value < 1 and any(is_small(n) for n in counts)
    return (pd.NA, True) if gone else (value, False)


def _check_label(name: str) -> str:
    # The rules of the data contract name tables and columns, which readers look up as they are.
    return name if ":" in name else column_label(name)


def _result(passed: Any) -> str:
    if is_missing(passed):
        return "for information"
    return "passed" if passed else "FAILED"
