"""Sentences on what became of patients, how long they stayed, and what goes with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from loyalty_research.display.published_steps import (
    incidence_at,
    mean_count_at,
    publish_estimates,
    shown_exactly,
)
from loyalty_research.display.tables_results import (
    ESTIMATE_COLUMNS,
    as_ratios,
    ratio_digits,
    shown_estimates,
    term_label,
)
from loyalty_research.display.tidy import as_list, as_pandas, require_columns, split_groups
from loyalty_research.display.words import (
    format_level,
    format_number,
    format_p,
    format_percent,
    is_missing,
    plural,
)


def cumulative_incidence_sentence(
    curve: Any,
    *,
    time: int,
    by: str | Sequence[str] | None = None,
    labels: Mapping[Any, str] | None = None,
    audience: str = "internal",
    exact_at: Sequence[int] = (),
    unit: str = "day",
    rest: str = "were still coming",
) -> str:
    """Say what share each cause had happened to by one time, one sentence a group.

    Args:
        curve: one row per group, cause and distinct time, as `cumulative_incidence` returns it.
        time: in the curve's unit.
        by: the grouping columns, without the cause.
        labels: words for readers by cause, as in "31 % lapsed", and by group.
        audience: "publish" withholds what too few patients stand behind.
        exact_at: other days that are published of the same curve.
        unit: the curve's unit of time, singular.
        rest: what is said of those to whom none of it happened.

    Raises:
        UsageError: a column is missing, or a time repeats.

    Examples:
        >>> curve = pd.DataFrame({"cause": "died", "time": [0, 5], "n_at_risk": 4,
        ...     "n_events": [0, 1], "n_censored": [0, 3], "estimate": [0, 0.25],
        ...     "conf_low": 0.03, "conf_high": 0.6, "conf_level": 0.95})
        >>> cumulative_incidence_sentence(curve, time=5)
        'Within 5 days 25.0 % died (95 % interval 3.0 to 60.0); the other 75.0 % were still coming.'
    """
    at = incidence_at(curve, times=[time], by=by, audience=audience, exact_at=exact_at)
    said = []
    for name, rows in split_groups(at, by, labels=labels):
        parts = [_happened(row, labels) for _, row in rows.iterrows()]
        left = 1 - rows["estimate"].sum(skipna=False)
        tail = "" if is_missing(left) else f"; the other {format_percent(left)} {rest}"
        when = f"within {plural(time, unit)} {_join(parts)}{tail}."
        said.append(f"{name}: {when}" if name else when[:1].upper() + when[1:])
    return " ".join(said) or "What became of the patients cannot be stated: there are none."


def mean_count_sentence(
    curve: Any,
    *,
    time: int,
    by: str | Sequence[str] | None = None,
    labels: Mapping[Any, str] | None = None,
    audience: str = "internal",
    unit: str = "day",
    counted: str = "return visit",
) -> str:
    """Say how many events a patient had had on average by one time, one sentence a group.

    Args:
        curve: one row per group and distinct time, as `mean_cumulative_count` returns it.
        time: in the curve's unit.
        by: the grouping columns.
        labels: names for readers by group.
        audience: "publish" withholds what too few stand behind.
        unit: the curve's unit of time, singular.
        counted: what is counted, singular.

    Raises:
        UsageError: a column is missing, or a time repeats.

    Examples:
        >>> curve = pd.DataFrame({"time": [0, 9], "n_at_risk": 40, "n_events": [0, 50],
        ...     "n_censored": [0, 40], "estimate": [0, 1.25], "conf_low": 1.0,
        ...     "conf_high": 1.5, "conf_level": 0.95})
        >>> mean_count_sentence(curve, time=9)
        'Within 9 days a patient made 1.25 return visits on average (95 % interval 1.00 to 1.50).'
    """
    at = mean_count_at(curve, times=[time], by=by, audience=audience)
    said = []
    for name, rows in split_groups(at, by, labels=labels):
        row = rows.iloc[0]
        told = (
            f"the mean number of {counted}s within {plural(time, unit)} cannot be stated"
            if is_missing(row["estimate"])
            else f"within {plural(time, unit)} a patient made "
            f"{format_number(row['estimate'], digits=2)} {counted}s on average"
            f"{_interval(row, digits=2)}"
        )
        said.append(f"{name}: {told}." if name else f"{told[:1].upper()}{told[1:]}.")
    return " ".join(said) or f"No {counted}s can be stated: there are no patients."


def restricted_mean_sentence(
    means: Any,
    *,
    horizon: int,
    by: str | Sequence[str] | None = None,
    labels: Mapping[Any, str] | None = None,
    audience: str = "internal",
    unit: str = "day",
) -> str:
    """Say how long a patient stays on average up to a horizon, or how much longer one group does.

    Args:
        means: what `restricted_mean_time` or `restricted_mean_difference` returned.
        horizon: until when the time is counted.
        by: the grouping columns.
        labels: names for readers by group.
        audience: "publish" withholds what too few patients stand behind.
        unit: the unit of time, singular.

    Raises:
        UsageError: a column is missing.

    Examples:
        >>> means = pd.DataFrame({"term": ["mean"], "estimate": [301.2], "conf_low": [295.0],
        ...     "conf_high": [307.0], "conf_level": 0.95, "p_value": None, "n": [400],
        ...     "n_events": [90]})
        >>> restricted_mean_sentence(means, horizon=365)
        'Over the first 365 days a patient stays 301.2 days on average (95 % interval 295.0 to \
307.0).'
    """
    table = as_pandas(means)
    require_columns(table, [*as_list(by), *ESTIMATE_COLUMNS], what="the means")
    numbers = shown_exactly(table, publish_estimates(table, audience=audience))
    if "contrast" in numbers.columns:
        numbers = numbers[numbers["contrast"].astype(str).str.startswith("difference")]
    said = []
    for name, rows in split_groups(numbers, by, labels=labels):
        told = _stayed(rows.iloc[0], plural(horizon, unit), unit)
        said.append(f"{name}: {told}." if name else f"{told[:1].upper()}{told[1:]}.")
    return " ".join(said) or "The mean time cannot be stated: there are no patients."


def regression_sentence(
    estimates: Any,
    *,
    checks: Any = None,
    labels: Mapping[Any, str] | None = None,
    audience: str = "internal",
    outcome: str = "lapsing",
) -> str:
    """Say which characteristics go with the outcome, or which failed check withholds it.

    Only terms whose interval leaves out a ratio of 1 are named, the farthest from 1 first; what it
    says is an association.

    Args:
        estimates: one row per term of a regression, log hazard ratios.
        checks: the checks made of the model; one that is gating and failed withholds all.
        labels: names for readers by term.
        audience: "publish" withholds what seven patients or events or fewer stand behind.
        outcome: what the ratio is a rate of.

    Raises:
        UsageError: a column is missing.

    Examples:
        >>> estimates = pd.DataFrame({"term": ["age"], "estimate": [0.1], "conf_low": [0.05],
        ...     "conf_high": [0.15], "conf_level": 0.95, "p_value": [0.001], "n": [900],
        ...     "n_events": [400], "scale": ["log"]})
        >>> print(regression_sentence(estimates))
        At any time, the other characteristics being equal, the rate of lapsing is multiplied by \
1.11 for each unit of age (95 % interval 1.05 to 1.16). This is an association in these \
patients and not the effect of changing a characteristic.
    """
    failed = failed_checks(checks)
    if failed:
        return f"The model's result is withheld: {failed}."
    shown = shown_estimates(estimates, audience=audience)
    numbers = shown_exactly(as_pandas(estimates), shown)
    # Ordered by the distance from 1 on the log scale, where half and twice are alike.
    clear = numbers[(numbers["conf_low"] > 0) | (numbers["conf_high"] < 0)]
    clear = clear.sort_values("estimate", key=lambda column: -column.abs())
    if clear.empty:
        return (
            f"No characteristic goes with the rate of {outcome} clearly enough: every interval "
            "holds a ratio of 1. That is no proof that there is no association."
        )
    parts = [
        f"{format_number(row['estimate'], digits=_places(row))} for "
        f"{_each(row['term'], labels)}{_interval(row, digits=_places(row))}"
        for _, row in as_ratios(clear).iterrows()
    ]
    return (
        f"At any time, the other characteristics being equal, the rate of {outcome} is multiplied "
        f"by {_join(parts)}. This is an association in these patients and not the effect of "
        "changing a characteristic."
    )


def prediction_sentence(
    concordance: Any, *, patients: str = "patients it was not fitted to", audience: str = "internal"
) -> str:
    """Say how well a model tells who lapses sooner, and in whom that was seen.

    Args:
        concordance: what `concordance` returned.
        patients: in whom the model was tried.
        audience: "publish" withholds what seven patients or events or fewer stand behind.

    Raises:
        UsageError: a column is missing.

    Examples:
        >>> row = pd.DataFrame({"estimate": [0.62], "conf_low": [0.6], "conf_high": [0.64],
        ...     "conf_level": [0.95], "p_value": [0.0], "n": [900], "n_events": [400]})
        >>> print(prediction_sentence(row))
        Of two patients it was not fitted to, the model gives the higher risk to the one who \
lapses sooner in 62.0 % of pairs (95 % interval 60.0 to 64.0; 50 % is chance).
    """
    table = as_pandas(concordance)
    require_columns(table, ESTIMATE_COLUMNS, what="the concordance")
    row = shown_exactly(table, publish_estimates(table, audience=audience)).iloc[0]
    if is_missing(row["estimate"]):
        return "How well the model tells who lapses sooner cannot be stated."
    low, high = (format_percent(row[name], sign=False) for name in ("conf_low", "conf_high"))
    return (
        f"Of two {patients}, the model gives the higher risk to the one who lapses sooner in "
        f"{format_percent(row['estimate'])} of pairs ({format_level(row['conf_level'])} interval "
        f"{low} to {high}; 50 % is chance)."
    )


def failed_checks(checks: Any) -> str:
    """Return which checks that an estimate waits for have failed, in words; nothing if none.

    Examples:
        >>> failed_checks(pd.DataFrame({"check": ["events per variable"], "gating": [True],
        ...     "passed": [False]}))
        'the check “events per variable” failed'
    """
    if checks is None:
        return ""
    table = as_pandas(checks)
    require_columns(table, ["check", "passed", "gating"], what="the checks")
    gating = table["gating"].astype("boolean").fillna(False)
    passed = table["passed"].astype("boolean").fillna(True)
    names = [f"“{str(name).replace('_', ' ')}”" for name in table["check"][gating & ~passed]]
    return f"the check{'s' if len(names) > 1 else ''} {_join(names)} failed" if names else ""


def _happened(row: pd.Series, labels: Mapping[Any, str] | None) -> str:
    did = str((labels or {}).get(row["cause"], row["cause"])).replace("_", " ")
    did = did[:1].lower() + did[1:]
    if is_missing(row["estimate"]):
        return f"an unstated share {did} (too few to publish, or nobody observed that long)"
    share = format_percent(row["estimate"])
    if is_missing(row["conf_low"]) or is_missing(row["conf_high"]):
        return f"{share} {did}"
    low, high = (format_percent(row[name], sign=False) for name in ("conf_low", "conf_high"))
    return f"{share} {did} ({format_level(row['conf_level'])} interval {low} to {high})"


def _stayed(row: pd.Series, horizon: str, unit: str) -> str:
    if is_missing(row["estimate"]):
        return f"the mean time over the first {horizon} cannot be stated: too few patients"
    days = format_number(row["estimate"])
    if "contrast" not in row.index:
        return f"over the first {horizon} a patient stays {days} {unit}s on average{_interval(row)}"
    pair = str(row["contrast"]).removeprefix("difference, ")
    return (
        f"over the first {horizon} the difference in mean time, {pair}, is {days} {unit}s"
        f"{_interval(row)}; p {_p(row['p_value'])}"
    )


def _p(value: Any) -> str:
    text = format_p(value)
    return text if text[:1] in "<>" else f"= {text}"


def _interval(row: pd.Series, *, digits: int = 1) -> str:
    if is_missing(row["conf_low"]) or is_missing(row["conf_high"]):
        return ""
    low, high = (format_number(row[name], digits=digits) for name in ("conf_low", "conf_high"))
    return f" ({format_level(row['conf_level'])} interval {low} to {high})"


def _each(term: Any, labels: Mapping[Any, str] | None) -> str:
    name = _lower(term_label(term, labels))
    # A number changes by one; a text is one of its levels instead of the first.
    return name if "[" in str(term) else f"each unit of {name}"


def _places(row: pd.Series) -> int:
    return ratio_digits(row["conf_low"], row["conf_high"])


def _join(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def _lower(text: str) -> str:
    return text if text[:2].isupper() else text[:1].lower() + text[1:]
