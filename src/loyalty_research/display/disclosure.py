"""Disclosure control: what may leave the organisation tells nothing about a single patient.

Counts from 1 to the threshold are hidden, the others are rounded, rates are made again from the
rounded counts, and curves keep only those steps behind which stand enough patients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from loyalty_research.display.thinning import CURVE_COUNTS, WITHHELD, thin_group
from loyalty_research.display.tidy import (
    as_list,
    as_pandas,
    require_audience,
    require_columns,
    split_groups,
)
from loyalty_research.errors import UsageError
from loyalty_research.retention.intervals import wilson_interval

THRESHOLD = 7
BASE = 5
DECIMALS = 3
# What an estimator says beside its counts, and could betray a hidden one.
_TELLING = ("estimate", "std_error", "conf_low", "conf_high", "p_value")
# Means and the like, from whose decimals a count could be read.
_MEANS = ("estimate", "conf_low", "conf_high", "mean", "median", "quantile", "sd")


def suppress_small_counts(
    table: Any,
    *,
    counts: Sequence[str],
    rates: Mapping[str, tuple[str, str]] | None = None,
    by: str | Sequence[str] | None = None,
    audience: str = "publish",
    threshold: int = THRESHOLD,
    base: int = BASE,
) -> pd.DataFrame:
    """Return the table as it may be published, with `suppressed` (hidden counts of a row) added.

    Zero stays zero: that nobody is there tells nothing about somebody who is.

    A mean gives its count back: 3.6153846 is 47 / 13, and of no other number near 15. So the
    columns estimate, conf_low, conf_high, mean, median, quantile and sd keep three decimals where
    a row counts 1,000 or more, two from 100, one from 10, which means of scores of as many patients
    a few more or fewer have too. A p value keeps three decimals and is 0.001 or more; a standard
    error is left out.

    Args:
        table: one row a cell group, whole numbers in the count columns.
        counts: the columns that count patients or visits.
        rates: shares to make again from rounded counts, as `{rate: (numerator, denominator)}`; when
            `estimate` is among them its `conf_low` and `conf_high` become Wilson's.
        by: columns within which a count adds up to a total that readers also see; a count hidden
            alone there is joined by the next smallest. `[]` makes the whole table one such group.
        audience: "publish"; with "internal" the table comes back as it is.
        threshold: the largest count that is hidden.
        base: the others are rounded to its multiples.

    Returns:
        A new table. A row with a hidden count loses its estimate, interval, error, p value and
        means.

    Raises:
        UsageError: a column is missing, a count is negative, or the base exceeds the threshold + 1.

    Source: secondary suppression and rounding as in Hundepool et al., Statistical Disclosure
    Control (2012), chapter 4; Wilson's interval: Wilson, JASA 22 (1927) 209.

    Examples:
        >>> table = pd.DataFrame({"site": ["A", "B", "C"], "n": [3, 23, 0]})
        >>> suppress_small_counts(table, counts=["n"])["n"].tolist()
        [<NA>, 25, 0]
        >>> count_suppressed(suppress_small_counts(table, counts=["n"]))
        1
    """
    shown = hide_small_counts(
        table,
        counts=counts,
        rates=rates,
        by=by,
        audience=audience,
        threshold=threshold,
        base=base,
    )
    return shown if audience == "internal" else _round_means(shown, counts, rates or {})


def hide_small_counts(
    table: Any,
    *,
    counts: Sequence[str],
    rates: Mapping[str, tuple[str, str]] | None = None,
    by: str | Sequence[str] | None = None,
    audience: str = "publish",
    threshold: int = THRESHOLD,
    base: int = BASE,
) -> pd.DataFrame:
    """Return what `suppress_small_counts` does, before it rounds what stands beside the counts.

    For tables of this room, which round estimates by rules of their own.

    Args:
        table: one row a cell group, whole numbers in the count columns.
        counts: the columns that count patients or visits.
        rates: shares to make again from rounded counts.
        by: columns within which a count adds up to a total that readers also see.
        audience: "publish"; with "internal" the table comes back as it is.
        threshold: the largest count that is hidden.
        base: the others are rounded to its multiples.

    Raises:
        UsageError: as `suppress_small_counts`.

    Examples:
        >>> table = pd.DataFrame({"n": [3, 23], "estimate": [0.1234, 0.5678]})
        >>> hide_small_counts(table, counts=["n"])["estimate"].tolist()
        [nan, 0.5678]
    """
    shown = as_pandas(table)
    _check(shown, counts, rates, threshold, base)
    if require_audience(audience) == "internal":
        return shown
    small = {name: _is_small(shown[name], threshold) for name in counts}
    hidden = pd.DataFrame(small, index=shown.index, dtype=bool)
    if by is not None:
        hidden = hidden | _second_cells(shown, hidden, as_list(by))
    for name in counts:
        shown[name] = _round(shown[name], base).mask(hidden[name])
    shown["suppressed"] = hidden.sum(axis=1).astype(int)
    return _refresh_rates(shown, rates or {})


def suppress_curve(
    curve: Any,
    *,
    by: str | Sequence[str] | None = None,
    audience: str = "publish",
    exact_at: Sequence[int] = (),
    threshold: int = THRESHOLD,
    base: int = BASE,
) -> pd.DataFrame:
    """Return the curve with only those steps that enough patients share.

    A step is kept once more than `threshold` events, or none at all with more than `threshold`
    censorings, have gathered since the last kept one, and as many patients remain. So a published
    step comes late rather than early, no day belongs to a single patient, and the last stretch of
    a curve that a few patients carry is left out.

    A day in `exact_at` has the exact value or none. Where at most `threshold` events lie since the
    last kept step, steps are taken back until more of them do; where that would take back another
    such day, or begin before time 0, the later day is withheld.

    Args:
        curve: one row per group and time, with the columns of a curve.
        by: the grouping columns.
        audience: "publish"; with "internal" the curve comes back as it is.
        exact_at: days that tables, sentences and figures state; name the same ones for all of them,
            or a difference between two could tell what each of them withholds.
        threshold: the largest number of patients that is too small to show.
        base: counts are rounded to its multiples.

    Returns:
        A new curve: counts since the last kept step, rounded; estimate and limits at the kept times
        to three decimals; no standard error (it would give back the exact counts); `suppressed`.
        A withheld day has a row without estimate, limits and counts since the last step.

    Raises:
        UsageError: a column is missing.

    Examples:
        >>> curve = pd.DataFrame({
        ...     "time": [0, 5, 6], "n_at_risk": [60, 60, 57], "n_events": [0, 3, 9],
        ...     "n_censored": [0, 0, 0], "estimate": [1, 0.95, 0.8], "std_error": 0.03,
        ...     "conf_low": 0.7, "conf_high": 1.0, "conf_level": 0.95})
        >>> suppress_curve(curve)[["time", "n_at_risk", "n_events", "estimate"]].values.tolist()
        [[0, 60, 0, 1.0], [6, 55, 10, 0.8]]
    """
    shown = as_pandas(curve)
    require_columns(shown, ["time", *CURVE_COUNTS, "estimate"], what="the curve")
    if require_audience(audience) == "internal":
        return shown
    parts = [rows for _, rows in split_groups(shown, by)]
    kept = [thin_group(rows, exact_at=exact_at, threshold=threshold) for rows in parts]
    thinned = pd.concat(kept, ignore_index=True) if kept else shown.assign(**{WITHHELD: False})
    counted = thinned.drop(columns=WITHHELD)
    published = hide_small_counts(counted, counts=CURVE_COUNTS, threshold=threshold, base=base)
    # A hidden count beside a kept step does not hide the step: enough patients stand behind it.
    for name in ("estimate", "conf_low", "conf_high"):
        if name in thinned.columns:
            published[name] = thinned[name].astype(float).round(3)
    # The events and the censorings since the last step.
    published["suppressed"] += 2 * thinned[WITHHELD].astype(int)
    return published.assign(std_error=np.nan) if "std_error" in thinned.columns else published


def count_suppressed(*tables: pd.DataFrame) -> int:
    """Return how many counts were hidden in these tables.

    Args:
        tables: as `suppress_small_counts` or `suppress_curve` returned them; a table for the
            internal audience has nothing hidden.

    Examples:
        >>> count_suppressed(pd.DataFrame({"n": [5]}))
        0
    """
    return sum(int(table["suppressed"].sum()) for table in tables if "suppressed" in table.columns)


def round_p(values: pd.Series) -> pd.Series:
    """Return p values to three decimals, none below 0.001: a p value is never 0.

    Args:
        values: exact ones.

    Examples:
        >>> round_p(pd.Series([2e-12, 0.0312, 0.99996])).tolist()
        [0.001, 0.031, 0.999]
    """
    least = 10.0**-DECIMALS
    return values.astype(float).round(DECIMALS).clip(least, 1 - least)


def _round_means(
    table: pd.DataFrame, counts: Sequence[str], rates: Mapping[str, tuple[str, str]]
) -> pd.DataFrame:
    """Round what stands beside counts until counts near by could have given it."""
    # What was made again from rounded counts tells no more than they do.
    made = {*rates, *(("conf_low", "conf_high") if "estimate" in rates else ())}
    largest = table[list(counts)].astype("Float64").max(axis=1).fillna(0)
    decimals = [min(DECIMALS, len(f"{int(n)}") - 1) for n in largest]
    table = table.copy()
    for name in _MEANS:
        if name in table.columns and name not in made:
            exact = pd.to_numeric(table[name]).astype(float).mask(table["suppressed"] > 0)
            rounded = [round(v, d) for v, d in zip(exact, decimals, strict=True)]
            table[name] = pd.Series(rounded, index=table.index, dtype=float)
    if "std_error" in table.columns:
        table["std_error"] = np.nan
    if "p_value" in table.columns:
        table["p_value"] = round_p(table["p_value"])
    return table


def _check(
    table: pd.DataFrame,
    counts: Sequence[str],
    rates: Mapping[str, tuple[str, str]] | None,
    threshold: int,
    base: int,
) -> None:
    used = [*counts, *(name for pair in (rates or {}).values() for name in pair)]
    require_columns(table, dict.fromkeys(used), what="the table")
    # A larger base would round a shown count down to a zero that is none.
    if threshold < 0 or not 1 <= base <= threshold + 1:
        raise UsageError("threshold must be 0 or more, and base from 1 to threshold + 1")
    for name in counts:
        if (pd.to_numeric(table[name]) < 0).any():
            raise UsageError(f"{name} has negative values; name only columns that count")


def _is_small(counts: pd.Series, threshold: int) -> pd.Series:
    numbers = pd.to_numeric(counts).astype("Float64")
    return ((numbers > 0) & (numbers < threshold + 1)).fillna(False).astype(bool)


def _round(counts: pd.Series, base: int) -> pd.Series:
    numbers = pd.to_numeric(counts).astype("Float64")
    return (((numbers + base / 2) // base) * base).astype("Int64")


def _second_cells(table: pd.DataFrame, hidden: pd.DataFrame, groups: list[str]) -> pd.DataFrame:
    second = pd.DataFrame(False, index=hidden.index, columns=hidden.columns)
    parts = table.groupby(groups, dropna=False) if groups else [((), table)]
    for _, part in parts:
        for name in hidden.columns:
            shown = pd.to_numeric(part[name])[~hidden.loc[part.index, name]]
            if hidden.loc[part.index, name].sum() == 1 and (shown > 0).any():
                second.loc[shown[shown > 0].idxmin(), name] = True
    return second


def _refresh_rates(table: pd.DataFrame, rates: Mapping[str, tuple[str, str]]) -> pd.DataFrame:
    table = table.copy()
    for name in _TELLING:
        if name in table.columns:
            table[name] = table[name].mask(table["suppressed"] > 0)
    for rate, (numerator, denominator) in rates.items():
        part, whole = (table[name].astype("Float64") for name in (numerator, denominator))
        table[rate] = (part / whole.mask(whole == 0)).astype(float)
        if rate == "estimate":
            table = _refresh_interval(table, whole.astype(float))
    return table


def _refresh_interval(table: pd.DataFrame, whole: pd.Series) -> pd.DataFrame:
    """Replace the limits by Wilson's, from the rounded counts."""
    levels = table["conf_level"].dropna().unique() if "conf_level" in table.columns else [np.nan]
    level = float(levels[0]) if len(levels) == 1 else np.nan
    count, n = (table["estimate"] * whole).to_numpy(), whole.to_numpy()
    low, high = wilson_interval(count, n, conf_level=level)
    fresh: dict[str, Any] = {
        "conf_low": low,
        "conf_high": high,
        "std_error": np.nan,
        "p_value": np.nan,
    }
    return table.assign(**{name: v for name, v in fresh.items() if name in table.columns})
