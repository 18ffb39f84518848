"""Sentences that hold numbers, generated so that no number in a report is typed by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from loyalty_research.display.disclosure import suppress_small_counts
from loyalty_research.display.lookup import check_curve, curve_at, is_withheld
from loyalty_research.display.tables_cohort import publish_attrition
from loyalty_research.display.tidy import as_list, as_pandas, split_groups
from loyalty_research.display.worded import SUPPRESSED
from loyalty_research.display.words import (
    format_level,
    format_number,
    format_percent,
    format_share,
    is_missing,
    plural,
)


def retention_sentence(
    curve: Any,
    *,
    time: int,
    by: str | Sequence[str] | None = None,
    labels: Mapping[Any, str] | None = None,
    audience: str = "internal",
    exact_at: Sequence[int] = (),
    unit: str = "day",
    kept: str = "still coming",
    lost: str = "lapsed",
    origin: str = "their first visit",
) -> str:
    """Say what share of the patients was still coming at one time, one sentence a group.

    Args:
        curve: one row per group and distinct time, with the columns of a curve, all rows of it.
        time: in the curve's unit.
        by: the grouping columns of the curve.
        labels: names for readers by group.
        audience: "publish" withholds what too few patients stand behind, and rounds counts.
        exact_at: other days that are published of the same curve.
        unit: the curve's unit of time, singular.
        kept: what the curve's estimate says of a patient.
        lost: what the curve's event is, said of a single patient.
        origin: what the time is counted from.

    Raises:
        UsageError: a column is missing, or a time repeats because `by` lacks a group.

    Examples:
        >>> curve = pd.DataFrame({
        ...     "time": [0, 365], "n_at_risk": [6214, 4000], "n_events": [0, 50],
        ...     "n_censored": [2214, 3950], "estimate": [1, 0.552], "conf_low": [1, 0.539],
        ...     "conf_high": [1, 0.565], "conf_level": 0.95})
        >>> print(retention_sentence(curve, time=365))
        Of 6,214 patients, 55.2 % (95 % interval 53.9 to 56.5) were still coming 365 days after \
their first visit.
    """
    at = curve_at(curve, times=[time], by=by, audience=audience, exact_at=exact_at)
    at["hidden"] = is_withheld(at)
    sizes = group_sizes(curve, by=by, audience=audience)
    when = f"{kept} {plural(time, unit)} after {origin}"
    gone = f"the one patient had {lost} by {plural(time, unit)} after {origin}"
    sentences = [
        _head(name) + _retention(rows.iloc[0], n, when, gone)
        for (name, rows), n in zip(split_groups(at, by, labels=labels), sizes["n"], strict=True)
        if len(rows)
    ]
    none = f"The share {when} cannot be stated: there are no patients."
    return " ".join(_sentence(text) for text in sentences) or none


def attrition_sentence(
    attrition: Any, *, labels: Mapping[Any, str] | None = None, audience: str = "internal"
) -> str:
    """Say how many of all patients entered the study, and which criterion left out most.

    Args:
        attrition: one row per criterion: step, criterion, n_before, n_excluded, n_after.
        labels: names for readers by criterion.
        audience: "publish" hides small counts and rounds the others.

    Raises:
        UsageError: a column is missing.

    Examples:
        >>> attrition = pd.DataFrame({"step": [0, 1], "criterion": ["all", "adult"],
        ...     "n_before": [8000, 8000], "n_excluded": [0, 1200], "n_after": [8000, 6800]})
        >>> print(attrition_sentence(attrition))
        Of 8,000 patients, 6,800 (85.0 %) entered the study; the criterion “adult” left out the \
most, 1,200.
    """
    table = publish_attrition(attrition, audience=audience)
    if table.empty:
        return "How many entered the study cannot be stated: no criterion was recorded."
    first, last = table["n_before"].iloc[0], table["n_after"].iloc[-1]
    if is_missing(first) or is_missing(last):
        return "How many entered the study cannot be stated: there are too few patients."
    if first == 1:
        return f"The one patient {'entered' if last else 'did not enter'} the study."
    entered = f"Of {plural(first, 'patient')}, {format_share(last, first)} entered the study"
    excluded = table["n_excluded"].fillna(0)
    if not (excluded > 0).any():
        return f"{entered}."
    most = table.iloc[int(excluded.argmax())]
    name = str((labels or {}).get(most["criterion"], most["criterion"])).replace("_", " ")
    return f"{entered}; the criterion “{name}” left out the most, {most['n_excluded']:,}."


def lapse_window_sentence(
    curves: Any,
    *,
    time: int,
    window: str = "lapse_days",
    audience: str = "internal",
    exact_at: Sequence[int] = (),
    unit: str = "day",
) -> str:
    """Say how far the answer moves with the number of days that count as a lapse.

    Args:
        curves: curves by lapse window, as `{90: curve, 180: curve}` or as one table with a column
            for the window.
        time: when retention is compared, in the curves' unit.
        window: the column that holds the lapse window in days.
        audience: "publish" withholds what too few patients stand behind.
        exact_at: other days that are published of the same curves.
        unit: the curves' unit of time, singular.

    Raises:
        UsageError: a column is missing.

    Examples:
        >>> row = {"time": [0], "n_at_risk": [10], "n_events": [0], "n_censored": [10],
        ...     "conf_low": [0.4], "conf_high": [0.6], "conf_level": [0.95]}
        >>> curves = {90: pd.DataFrame({**row, "estimate": [0.48]}),
        ...     180: pd.DataFrame({**row, "estimate": [0.55]})}
        >>> print(lapse_window_sentence(curves, time=0))
        After 0 days 48.0 % were still coming if 90 days without a visit count as a lapse, 55.0 % \
with 180 days: the window moves the answer by 7.0 percentage points.
    """
    stacked = stack_windows(curves, window=window)
    at = curve_at(stacked, times=[time], by=window, audience=audience, exact_at=exact_at)
    known = at.dropna(subset="estimate").sort_values(window)
    if known.empty:
        return f"Retention after {plural(time, unit)} cannot be stated for any lapse window."
    unstated = sorted(set(at[window]) - set(known[window]))
    parts = [
        f"{format_percent(share)} with {plural(days, 'day')}"
        for days, share in zip(known[window], known["estimate"], strict=True)
    ]
    shortest = plural(known[window].iloc[0], "day")
    parts[0] = (
        f"{format_percent(known['estimate'].iloc[0])} were still coming if {shortest} without a "
        "visit count as a lapse"
    )
    parts += [f"not stated with {plural(days, 'day')}" for days in unstated]
    span = _span(known["estimate"], whose="the windows stated move" if unstated else "")
    return f"After {plural(time, unit)} {', '.join(parts)}{span}."


def stack_windows(curves: Any, *, window: str = "lapse_days") -> pd.DataFrame:
    """Return curves under several lapse windows as one table with a column for the window.

    Args:
        curves: `{90: curve, 180: curve}`, or that one table already.
        window: the name of the column.

    Examples:
        >>> stack_windows({90: pd.DataFrame({"time": [0]})}).values.tolist()
        [[90, 0]]
    """
    if not isinstance(curves, Mapping):
        return as_pandas(curves)
    stacked = [
        pd.concat([pd.DataFrame({window: [days] * len(as_pandas(c))}), as_pandas(c)], axis=1)
        for days, c in curves.items()
    ]
    return pd.concat(stacked, ignore_index=True)


def group_sizes(
    curve: Any, *, by: str | Sequence[str] | None = None, audience: str = "internal"
) -> pd.DataFrame:
    """Return how many patients stand behind each group's curve: the groups and `n`.

    Args:
        curve: all rows of a curve: everybody leaves it once, by event or censoring.
        by: the grouping columns of the curve.
        audience: "publish" hides small numbers and rounds the others.

    Examples:
        >>> curve = pd.DataFrame({
        ...     "time": [3, 9], "n_at_risk": [3, 1], "n_events": [1, 0], "n_censored": [1, 1],
        ...     "estimate": 0.6, "conf_low": 0.1, "conf_high": 0.9, "conf_level": 0.95})
        >>> group_sizes(curve)["n"].tolist()
        [3]
    """
    groups = as_list(by)
    table = check_curve(curve, by=groups)
    sizes = [{**_keys(rows, groups), "n": _size(rows)} for _, rows in split_groups(table, groups)]
    return suppress_small_counts(pd.DataFrame(sizes), counts=["n"], audience=audience)


def _keys(rows: pd.DataFrame, groups: list[str]) -> dict[str, Any]:
    return {name: rows[name].iloc[0] for name in groups}


def _size(rows: pd.DataFrame) -> Any:
    if SUPPRESSED in rows.columns:
        # A thinned curve has lost the last leavers, but not those who were there at its start.
        return rows.sort_values("time")["n_at_risk"].iloc[0]
    return (rows["n_events"] + rows["n_censored"]).sum()


def _retention(row: pd.Series, n: Any, when: str, gone: str) -> str:
    if is_missing(n):
        return f"the share {when} cannot be stated: there are too few patients"
    if row["hidden"]:
        why = "too few patients had gone, or too few remained, to publish it"
        return f"the share {when} cannot be stated: {why}"
    if is_missing(row["estimate"]):
        return f"the share {when} cannot be stated: nobody was observed that long"
    if n == 1:
        return f"the one patient was {when}" if row["estimate"] > 0 else gone
    return f"of {plural(n, 'patient')}, {_percent_interval(row)} were {when}"


def _percent_interval(row: pd.Series) -> str:
    share = format_percent(row["estimate"])
    if is_missing(row["conf_low"]) or is_missing(row["conf_high"]):
        return f"{share} (no interval)"
    low, high = (format_percent(row[name], sign=False) for name in ("conf_low", "conf_high"))
    return f"{share} ({format_level(row['conf_level'])} interval {low} to {high})"


def _head(name: str) -> str:
    return f"{name}: " if name else ""


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _span(shares: pd.Series, *, whose: str) -> str:
    if len(shares) < 2:
        return ""
    points = format_number(100 * (shares.max() - shares.min()))
    return f": {whose or 'the window moves'} the answer by {points} percentage points"
