"""The table that says who is studied: each characteristic before the index date, by group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from loyalty_research.display.disclosure import hide_small_counts
from loyalty_research.display.tables_cohort import EVERYBODY
from loyalty_research.display.tidy import as_pandas, column_label, group_label, require_columns
from loyalty_research.display.worded import SUPPRESSED, WordedTable
from loyalty_research.display.words import (
    MISSING,
    format_count,
    format_number,
    format_share,
    is_missing,
)
from loyalty_research.errors import UsageError

_MOST_LEVELS = 30
_SMD_DIGITS = 3
_NOT_CHARACTERISTICS = ("patient_id", "time", "event", "end_reason")


def baseline_table(
    cohort: Any,
    *,
    by: str | None = None,
    variables: Sequence[str] | None = None,
    labels: Mapping[Any, str] | None = None,
    smd: bool = False,
    audience: str = "internal",
    digits: int = 1,
) -> WordedTable:
    """Word the characteristics of the cohort: mean (SD), median [quartiles], n (%), missing.

    Args:
        cohort: one row a patient.
        by: a column whose groups stand side by side; without it everybody stands in one column.
        variables: the characteristics in the order of the table; without it every numeric, yes/no
            and categorical column that is neither an identifier, a date nor `by`.
        labels: names for readers by column or by group value.
        smd: add the standardised mean difference of exactly two groups.
        audience: "publish" hides small counts, makes the percentages again from rounded ones, and
            keeps no more decimals than are shown.
        digits: decimals of means and medians.

    Raises:
        UsageError: a column is missing, a text column has more than 30 values, or `smd` without
            exactly two groups.

    Source of the standardised difference: Austin, Communications in Statistics 38 (2009) 1228.

    Examples:
        >>> cohort = pd.DataFrame({"patient_id": ["a", "b", "c"], "age": [40, 50, 60],
        ...     "sex": ["f", "m", "f"]})
        >>> baseline_table(cohort).words.values.tolist()
        [['Patients', 'n', '3'], ['Age', 'mean (SD)', '50.0 (10.0)'], ['', 'median [quartiles]', \
'50.0 [45.0 to 55.0]'], ['Sex', 'f, n (%)', '2 (66.7 %)'], ['', 'm, n (%)', '1 (33.3 %)']]
    """
    summary = summarise_baseline(cohort, by=by, variables=variables, smd=smd)
    numbers = hide_small_counts(
        summary,
        counts=["n", "n_group"],
        rates={"share": ("n", "n_group")},
        by=["variable", "group"],
        audience=audience,
    )
    if SUPPRESSED in numbers.columns:
        numbers = numbers.assign(**_without_hidden(numbers, digits))
    return WordedTable(numbers, _words(numbers, labels or {}, digits, smd=smd))


def summarise_baseline(
    cohort: Any, *, by: str | None = None, variables: Sequence[str] | None = None, smd: bool = False
) -> pd.DataFrame:
    """Return the characteristics at full precision: one row per variable, statistic and group.

    Args:
        cohort: one row a patient.
        by: a column whose groups are described apart.
        variables: the characteristics; without it all that can be described.
        smd: add the standardised mean difference of exactly two groups.

    Returns:
        variable, statistic ("patients", "measured", "level", "missing"), level, group, n (patients
        behind the row), n_group (all of the group; for levels, those whose value is known), share
        (n of n_group), mean, sd, median, q1, q3 and, with `smd`, smd.

    Raises:
        UsageError: as `baseline_table`.

    Examples:
        >>> cohort = pd.DataFrame({"patient_id": ["a", "b"], "smoker": [True, None]})
        >>> summarise_baseline(cohort)[["statistic", "n", "n_group"]].values.tolist()
        [['patients', 2, 2], ['level', 1, 1], ['missing', 1, 2]]
    """
    table = as_pandas(cohort)
    chosen = _chosen(table, by, variables)
    groups = _groups(table, by)
    if smd and len(groups) != 2:
        raise UsageError(f"a standardised difference needs two groups, not {len(groups)}")
    summary = pd.DataFrame(list(_rows(table, chosen, groups)))
    return summary.assign(smd=_differences(summary, groups)) if smd else summary


def _chosen(table: pd.DataFrame, by: str | None, variables: Sequence[str] | None) -> list[str]:
    if variables is None:
        chosen = [name for name in table.columns if name != by and _is_describable(table, name)]
    else:
        chosen = list(variables)
    require_columns(table, [*chosen, *([by] if by else [])], what="the cohort")
    wide = [
        name for name in chosen if _is_text(table[name]) and table[name].nunique() > _MOST_LEVELS
    ]
    if wide:
        raise UsageError(f"more than {_MOST_LEVELS} values in {', '.join(wide)}; group them first")
    return chosen


def _is_describable(table: pd.DataFrame, name: str) -> bool:
    if name in _NOT_CHARACTERISTICS or name.endswith("_id"):
        return False
    column = table[name]
    if not _is_text(column):
        return pd.api.types.is_numeric_dtype(column)
    return pd.api.types.infer_dtype(column, skipna=True) in {"string", "boolean", "categorical"}


def _is_text(column: pd.Series) -> bool:
    return not pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_datetime64_dtype(
        column
    )


def _groups(table: pd.DataFrame, by: str | None) -> list[tuple[Any, pd.Series]]:
    """Return each group's value with the mask of its rows, in the order of their values."""
    if by is None:
        return [(EVERYBODY, pd.Series(True, index=table.index))]
    known = sorted(table[by].dropna().unique().tolist())
    groups = [(value, table[by].eq(value).fillna(False).astype(bool)) for value in known]
    unknown = table[by].isna()
    return [*groups, (None, unknown)] if unknown.any() else groups


def _rows(
    table: pd.DataFrame, variables: list[str], groups: list[tuple[Any, pd.Series]]
) -> Iterator[dict[str, Any]]:
    for group, mask in groups:
        n = int(mask.sum())
        yield _row(EVERYBODY, "patients", None, group, n, n)
    for name in variables:
        yes_no = _is_yes_no(table[name])
        levels = [] if yes_no else _levels(table[name])
        for group, mask in groups:
            column = table.loc[mask, name]
            if yes_no:
                yield _yes_row(name, group, column)
            elif levels:
                yield from (_level_row(name, level, group, column) for level in levels)
            else:
                yield _measured_row(name, group, column)
        yield from _missing_rows(table[name], name, groups)


def _missing_rows(
    column: pd.Series, name: str, groups: list[tuple[Any, pd.Series]]
) -> Iterator[dict[str, Any]]:
    if column.notna().all():
        return
    for group, mask in groups:
        n_missing = int(column[mask].isna().sum())
        yield _row(name, "missing", None, group, n_missing, int(mask.sum()))


def _is_yes_no(column: pd.Series) -> bool:
    known = column.dropna()
    # A number of visits that happens to be 0 or 1 for everybody is still a number.
    counted = str(column.name).startswith("n_")
    return (
        len(known) > 0
        and not counted
        and all(not isinstance(v, str) and v in (0, 1) for v in known.unique())
    )


def _levels(column: pd.Series) -> list[Any]:
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.cat.categories.tolist()
    return sorted(column.dropna().unique().tolist(), key=str) if _is_text(column) else []


def _row(
    variable: str, statistic: str, level: Any, group: Any, n: int, n_group: int, **measured: float
) -> dict[str, Any]:
    blank = dict.fromkeys(("mean", "sd", "median", "q1", "q3"), np.nan)
    share = n / n_group if n_group else np.nan
    head = {"variable": variable, "statistic": statistic, "level": level, "group": group}
    return {**head, "n": n, "n_group": n_group, "share": share, **blank, **measured}


def _yes_row(name: str, group: Any, column: pd.Series) -> dict[str, Any]:
    known = column.dropna().astype(float)
    return _row(name, "level", "yes", group, int(known.sum()), len(known))


def _level_row(name: str, level: Any, group: Any, column: pd.Series) -> dict[str, Any]:
    known = column.dropna()
    return _row(name, "level", level, group, int(known.eq(level).sum()), len(known))


def _measured_row(name: str, group: Any, column: pd.Series) -> dict[str, Any]:
    known = pd.to_numeric(column).dropna().astype(float)
    q1, median, q3 = known.quantile([0.25, 0.5, 0.75])
    spread = {"mean": known.mean(), "sd": known.std(), "median": median, "q1": q1, "q3": q3}
    return _row(name, "measured", None, group, len(known), len(column), **spread)


def _differences(summary: pd.DataFrame, groups: list[tuple[Any, pd.Series]]) -> pd.Series:
    """Return, on the rows of the later group, its difference from the earlier one in pooled SDs."""
    first, second = (summary["group"].map(lambda v, g=group: v == g) for group, _ in groups)
    centre = summary["mean"].fillna(summary["share"])
    spread = (summary["sd"] ** 2).fillna(summary["share"] * (1 - summary["share"]))
    keys = [summary["variable"], summary["statistic"], summary["level"].astype(str)]
    pooled = np.sqrt(spread.groupby(keys).transform("mean"))
    # One row per group and key, so the earlier group's centre is the only one left in its group.
    earlier = centre.where(first).groupby(keys).transform("max")
    difference = ((centre - earlier) / pooled).where(second & (pooled > 0))
    return difference.where(summary["statistic"].isin(["measured", "level"]))


def _without_hidden(numbers: pd.DataFrame, digits: int) -> dict[str, pd.Series]:
    # A mean of whole numbers at full precision is a fraction that gives back the exact count.
    decimals = {**dict.fromkeys(("mean", "sd", "median", "q1", "q3"), digits), "smd": _SMD_DIGITS}
    return {
        name: numbers[name].mask(numbers[SUPPRESSED] > 0).round(places)
        for name, places in decimals.items()
        if name in numbers.columns
    }


def _words(
    numbers: pd.DataFrame, labels: Mapping[Any, str], digits: int, *, smd: bool
) -> pd.DataFrame:
    lines: list[dict[str, Any]] = []
    keys = ["variable", "statistic", "level"]
    for key, rows in numbers.groupby(keys, sort=False, dropna=False):
        variable, statistic, level = (str(key[0]), str(key[1]), key[2])
        repeated = any(line["_variable"] == variable for line in lines)
        name = "Patients" if statistic == "patients" else column_label(variable, labels=labels)
        for part, texts in _statistics(statistic, level, rows, labels, digits):
            stub = {"_variable": variable, "Characteristic": "" if repeated else name}
            line = {**stub, "Statistic": part, **texts}
            if smd:
                line["Standardised difference"] = _smd_words(rows)
            lines.append(line)
            repeated = True
    return pd.DataFrame(lines, dtype=object).drop(columns="_variable")


def _statistics(
    statistic: str, level: Any, rows: pd.DataFrame, labels: Mapping[Any, str], digits: int
) -> Iterator[tuple[str, dict[str, str]]]:
    if statistic == "measured":
        yield "mean (SD)", _by_group(rows, labels, lambda r: _mean_words(r, digits))
        yield "median [quartiles]", _by_group(rows, labels, lambda r: _median_words(r, digits))
    elif statistic == "patients":
        yield "n", _by_group(rows, labels, lambda r: format_count(r["n"], missing=SUPPRESSED))
    else:
        what = "missing" if statistic == "missing" else group_label(level, labels=labels)
        yield f"{what}, n (%)", _by_group(rows, labels, _share_words)


def _by_group(rows: pd.DataFrame, labels: Mapping[Any, str], word: Any) -> dict[str, str]:
    return {group_label(row["group"], labels=labels): word(row) for _, row in rows.iterrows()}


def _mean_words(row: pd.Series, digits: int) -> str:
    if is_missing(row["mean"]):
        return _nothing(row)
    return (
        f"{format_number(row['mean'], digits=digits)} ({format_number(row['sd'], digits=digits)})"
    )


def _median_words(row: pd.Series, digits: int) -> str:
    if is_missing(row["median"]):
        return _nothing(row)
    median, q1, q3 = (format_number(row[name], digits=digits) for name in ("median", "q1", "q3"))
    return f"{median} [{q1} to {q3}]"


def _share_words(row: pd.Series) -> str:
    return format_share(row["n"], row["n_group"], missing=_nothing(row))


def _nothing(row: pd.Series) -> str:
    return SUPPRESSED if row.get(SUPPRESSED, 0) > 0 else MISSING


def _smd_words(rows: pd.DataFrame) -> str:
    known = rows["smd"].dropna()
    return format_number(known.iloc[0], digits=_SMD_DIGITS) if len(known) else MISSING
