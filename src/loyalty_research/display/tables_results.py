"""Results of comparisons and models worded for readers: incidences, mean counts, ratios, tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from loyalty_research.display.disclosure import hide_small_counts, round_p
from loyalty_research.display.lookup import is_withheld
from loyalty_research.display.published_steps import (
    incidence_at,
    mean_count_at,
    publish_estimates,
    shown_exactly,
)
from loyalty_research.display.tidy import (
    as_list,
    as_pandas,
    column_label,
    group_label,
    require_columns,
)
from loyalty_research.display.worded import SUPPRESSED, WordedTable, count_cells, missing_cells
from loyalty_research.display.words import (
    MISSING,
    format_count,
    format_interval,
    format_level,
    format_number,
    format_p,
    format_percent,
    is_missing,
)

ESTIMATE_COLUMNS = ("estimate", "conf_low", "conf_high", "conf_level", "p_value", "n", "n_events")
_LIMITS = ["estimate", "conf_low", "conf_high"]


def cumulative_incidence_table(
    curve: Any,
    *,
    times: Sequence[int],
    by: str | Sequence[str] | None = None,
    labels: Mapping[Any, str] | None = None,
    audience: str = "internal",
    exact_at: Sequence[int] = (),
    unit: str = "day",
) -> WordedTable:
    """Word what share each cause had happened to at chosen times.

    Args:
        curve: one row per group, cause and distinct time, as `cumulative_incidence` returns it.
        times: in the curve's unit.
        by: the grouping columns, without the cause.
        labels: names for readers by column, cause or group.
        audience: "publish" withholds what too few patients stand behind, and rounds counts.
        exact_at: other days that are published of the same curve.
        unit: the curve's unit of time, singular.

    Raises:
        UsageError: a column is missing, or a time repeats.

    Examples:
        >>> curve = pd.DataFrame({"cause": "died", "time": [0, 5], "n_at_risk": 4,
        ...     "n_events": [0, 1], "n_censored": [0, 3], "estimate": [0, 0.25],
        ...     "conf_low": 0.03, "conf_high": 0.6, "conf_level": 0.95})
        >>> cumulative_incidence_table(curve, times=[5]).words.values.tolist()
        [['Died', '5', '25.0 % (3.0 to 60.0)', '4', '1']]
    """
    numbers = incidence_at(curve, times=times, by=by, audience=audience, exact_at=exact_at)
    hidden = missing_cells(numbers)
    withheld = is_withheld(numbers)
    words = {
        **_named(numbers, as_list(by), labels),
        "What happened": [column_label(str((labels or {}).get(c, c))) for c in numbers["cause"]],
        column_label(unit): [format_count(time) for time in numbers["time"]],
        f"Share of patients ({level_of(numbers)} interval)": [
            SUPPRESSED if gone else format_interval(*row)
            for row, gone in zip(_limits(numbers), withheld, strict=True)
        ],
        "At risk": count_cells(numbers["n_at_risk"], hidden),
        "So far": count_cells(numbers["n_events_so_far"], hidden),
    }
    return WordedTable(numbers, pd.DataFrame(words, dtype=object))


def mean_count_table(
    curve: Any,
    *,
    times: Sequence[int],
    by: str | Sequence[str] | None = None,
    labels: Mapping[Any, str] | None = None,
    audience: str = "internal",
    unit: str = "day",
    counted: str = "visits",
) -> WordedTable:
    """Word how many events a patient had had on average at chosen times.

    Args:
        curve: one row per group and distinct time, as `mean_cumulative_count` returns it.
        times: in the curve's unit.
        by: the grouping columns.
        labels: names for readers by column or group.
        audience: "publish" withholds what too few stand behind, and rounds counts.
        unit: the curve's unit of time, singular.
        counted: what is counted, plural.

    Raises:
        UsageError: a column is missing, or a time repeats.

    Examples:
        >>> curve = pd.DataFrame({"time": [0, 9], "n_at_risk": 40, "n_events": [0, 50],
        ...     "n_censored": [0, 40], "estimate": [0, 1.25], "conf_low": [np.nan, 1],
        ...     "conf_high": [np.nan, 1.5], "conf_level": 0.95})
        >>> mean_count_table(curve, times=[9]).words.values.tolist()
        [['9', '1.25 (1.00 to 1.50)', '40', '50']]
    """
    numbers = mean_count_at(curve, times=times, by=by, audience=audience)
    hidden = missing_cells(numbers)
    words = {
        **_named(numbers, as_list(by), labels),
        column_label(unit): [format_count(time) for time in numbers["time"]],
        f"{column_label(counted)} per patient ({level_of(numbers)} interval)": _ratios(
            numbers, audience, digits=2
        ),
        "Patients under observation": count_cells(numbers["n_at_risk"], hidden),
        f"{column_label(counted)} so far": count_cells(numbers["n_events_so_far"], hidden),
    }
    return WordedTable(numbers, pd.DataFrame(words, dtype=object))


def restricted_mean_table(
    means: Any,
    *,
    by: str | Sequence[str] | None = None,
    labels: Mapping[Any, str] | None = None,
    audience: str = "internal",
    unit: str = "days",
) -> WordedTable:
    """Word mean times up to a horizon, or their differences.

    Args:
        means: what `restricted_mean_time` or `restricted_mean_difference` returned.
        by: the grouping columns.
        labels: names for readers by column, term or group.
        audience: "publish" withholds what too few patients stand behind, and rounds counts.
        unit: the unit of time, plural.

    Raises:
        UsageError: a column is missing.

    Examples:
        >>> means = pd.DataFrame({"term": ["mean"], "estimate": [301.2], "conf_low": [295.0],
        ...     "conf_high": [307.0], "conf_level": 0.95, "p_value": np.nan, "n": [400],
        ...     "n_events": [90]})
        >>> restricted_mean_table(means).words.values.tolist()
        [['301.2 (295.0 to 307.0)', '400', '90']]
    """
    table = as_pandas(means)
    require_columns(table, [*as_list(by), *ESTIMATE_COLUMNS], what="the means")
    numbers = publish_estimates(table, audience=audience)
    exact = shown_exactly(table, numbers)
    hidden = missing_cells(numbers)
    is_contrast = "contrast" in numbers.columns
    words = {
        **({"Comparison": numbers["contrast"].tolist()} if is_contrast else {}),
        **_named(numbers, as_list(by), labels),
        f"{'Estimate' if is_contrast else column_label(unit)} ({level_of(numbers)} interval)": [
            cell
            for part in range(len(numbers))
            for cell in _ratios(exact.iloc[[part]], audience, digits=_digits(exact, part))
        ],
        **({"P value": list(map(format_p, exact["p_value"]))} if is_contrast else {}),
        "Patients": count_cells(numbers["n"], hidden),
        "Events": count_cells(numbers["n_events"], hidden),
    }
    return WordedTable(numbers, pd.DataFrame(words, dtype=object))


def estimates_table(
    estimates: Any,
    *,
    labels: Mapping[Any, str] | None = None,
    audience: str = "internal",
    ratio: str = "Hazard ratio",
) -> WordedTable:
    """Word the terms of a regression; a logarithm of a ratio is shown as the ratio.

    Args:
        estimates: one row per term, as a regression returns them; where `scale` begins with "log",
            estimate and limits are exponentiated for the words and stay as they are in `numbers`.
        labels: names for readers by term.
        audience: "publish" withholds what seven patients or events or fewer stand behind.
        ratio: what the exponentiated estimate is.

    Raises:
        UsageError: a column is missing.

    Examples:
        >>> estimates = pd.DataFrame({"term": ["age"], "estimate": [0.0], "conf_low": [-0.1],
        ...     "conf_high": [0.1], "conf_level": 0.95, "p_value": [0.9], "n": [90],
        ...     "n_events": [40], "scale": ["log hazard ratio"]})
        >>> estimates_table(estimates).words.values.tolist()
        [['Age', '1.00 (0.90 to 1.11)', '0.900']]
    """
    numbers = shown_estimates(estimates, audience=audience)
    exact = shown_exactly(as_pandas(estimates), numbers)
    ratios = as_ratios(exact)
    words = {
        "Characteristic": [term_label(term, labels) for term in numbers["term"]],
        f"{ratio} ({level_of(numbers)} interval)": [
            cell
            for part in range(len(ratios))
            for cell in _ratios(
                ratios.iloc[[part]],
                audience,
                digits=ratio_digits(*ratios[["conf_low", "conf_high"]].iloc[part]),
            )
        ],
        "P value": list(map(format_p, exact["p_value"])),
    }
    return WordedTable(numbers, pd.DataFrame(words, dtype=object))


def group_test_table(tests: Any, *, audience: str = "internal") -> WordedTable:
    """Word tests of whether groups differ; no p value is ever written as 0.

    Args:
        tests: one row per test: statistic, df, p_value, n, n_events, method, and what it is of.
        audience: "publish" withholds what seven patients or events or fewer stand behind.

    Raises:
        UsageError: a column is missing.

    Examples:
        >>> tests = pd.DataFrame({"statistic": [18.2], "df": [1], "p_value": [0.00002],
        ...     "n": [90], "n_events": [40], "method": ["log-rank"]})
        >>> group_test_table(tests).words.values.tolist()
        [['Log-rank', '18.2', '1', '<0.001', '90', '40']]
    """
    table = as_pandas(tests)
    require_columns(
        table, ["statistic", "df", "p_value", "n", "n_events", "method"], what="the tests"
    )
    numbers = hide_small_counts(table, counts=["n", "n_events"], audience=audience)
    hidden = missing_cells(numbers)
    known = {"statistic", "df", "p_value", "n", "n_events", "method", SUPPRESSED}
    numbers["statistic"] = numbers["statistic"].mask(pd.Series(hidden) == SUPPRESSED)
    if audience == "publish":
        numbers = numbers.assign(
            statistic=numbers["statistic"].round(3), p_value=round_p(numbers["p_value"])
        )
    exact = shown_exactly(table, numbers)
    words = {
        "Test": [column_label(str(method)) for method in numbers["method"]],
        **_named(numbers, [name for name in numbers.columns if name not in known], None),
        "Statistic": [format_number(value) for value in numbers["statistic"]],
        "Degrees of freedom": list(map(format_count, numbers["df"])),
        "P value": list(map(format_p, exact["p_value"])),
        "Patients": count_cells(numbers["n"], hidden),
        "Events": count_cells(numbers["n_events"], hidden),
    }
    return WordedTable(numbers, pd.DataFrame(words, dtype=object))


def calibration_table(calibration: Any, *, audience: str = "internal") -> WordedTable:
    """Word what was predicted beside what happened, group by group of predicted risk.

    Args:
        calibration: what `calibration` returned: observed over expected, slope, groups.
        audience: "publish" withholds what seven patients or events or fewer stand behind.

    Raises:
        UsageError: a column is missing.

    Examples:
        >>> rows = pd.DataFrame({"term": ["slope", "group 1"], "estimate": [1.1, 0.2],
        ...     "conf_low": [0.9, 0.1], "conf_high": [1.3, 0.3], "conf_level": 0.95,
        ...     "p_value": np.nan, "n": 50, "n_events": 10, "predicted": [np.nan, 0.21]})
        >>> calibration_table(rows).words.values.tolist()
        [['Slope', '–', '1.10 (0.90 to 1.30)', '50', '10'], \
['Group 1', '21.0 %', '20.0 % (10.0 to 30.0)', '50', '10']]
    """
    table = as_pandas(calibration)
    require_columns(table, ["term", "predicted", *ESTIMATE_COLUMNS], what="the calibration")
    numbers = publish_estimates(table, audience=audience)
    exact = shown_exactly(table, numbers)
    hidden = missing_cells(numbers)
    if audience == "publish":
        numbers["predicted"] = numbers["predicted"].astype(float).round(3)
    is_group = numbers["term"].str.startswith("group").tolist()
    words = {
        "Of": [column_label(str(term)) for term in numbers["term"]],
        "Predicted": [
            format_number(100 * value) + " %" if group else MISSING
            for value, group in zip(numbers["predicted"], is_group, strict=True)
        ],
        f"Observed ({level_of(numbers)} interval)": [
            SUPPRESSED
            if is_missing(row[0]) and gone == SUPPRESSED
            else format_interval(*row, percent=group, digits=1 if group else 2)
            for row, group, gone in zip(_limits(exact), is_group, hidden, strict=True)
        ],
        "Patients": count_cells(numbers["n"], hidden),
        "Events": count_cells(numbers["n_events"], hidden),
    }
    return WordedTable(numbers, pd.DataFrame(words, dtype=object))


def fits_table(fits: Any, *, audience: str = "internal") -> WordedTable:
    """Word how well distributions fit the days seen, the best first.

    Args:
        fits: what `compare_parametric` returned.
        audience: "publish" rounds the counts, and keeps of the criteria what tells them apart.

    Raises:
        UsageError: a column is missing.

    Examples:
        >>> fits = pd.DataFrame({"distribution": ["weibull"], "n_parameters": [2],
        ...     "delta_aic": [0.0], "max_distance": [0.0213], "n": [90], "n_events": [40]})
        >>> fits_table(fits).words.values.tolist()
        [['Weibull', '2', '0.0', '2.1 %', '90', '40']]
    """
    columns = ["distribution", "n_parameters", "delta_aic", "max_distance", "n", "n_events"]
    table = as_pandas(fits)
    require_columns(table, columns, what="the fits")
    numbers = hide_small_counts(table, counts=["n", "n_events"], audience=audience)
    if audience == "publish":
        # Parameters are no patients, but their count begins with the same letters.
        numbers = numbers[[*columns, SUPPRESSED]].rename(columns={"n_parameters": "parameters"})
        numbers = numbers.round({"delta_aic": 1, "max_distance": 3})
    hidden = missing_cells(numbers)
    size = "parameters" if audience == "publish" else "n_parameters"
    words = {
        "Distribution": [column_label(str(name)) for name in numbers["distribution"]],
        "Parameters": list(map(format_count, numbers[size])),
        "AIC above the best": [format_number(value) for value in numbers["delta_aic"]],
        "Largest distance to the curve": list(map(format_percent, numbers["max_distance"])),
        "Patients": count_cells(numbers["n"], hidden),
        "Events": count_cells(numbers["n_events"], hidden),
    }
    return WordedTable(numbers, pd.DataFrame(words, dtype=object))


def shown_estimates(estimates: Any, *, audience: str) -> pd.DataFrame:
    """Return a regression's terms as this audience may see them.

    Raises:
        UsageError: a column is missing.

    Examples:
        >>> shown_estimates(pd.DataFrame(), audience="internal")
        Traceback (most recent call last):
        ...
        loyalty_research.errors.UsageError: the estimates lacks the columns term, scale, estimate, \
conf_low, conf_high, conf_level, p_value, n, n_events; pass the result as it came
    """
    table = as_pandas(estimates)
    require_columns(table, ["term", "scale", *ESTIMATE_COLUMNS], what="the estimates")
    return publish_estimates(table, audience=audience)


def as_ratios(numbers: pd.DataFrame) -> pd.DataFrame:
    """Return the estimates with logarithms of ratios turned into ratios.

    Examples:
        >>> as_ratios(pd.DataFrame({"estimate": [0.0], "conf_low": [0.0], "conf_high": [0.0],
        ...     "scale": "log hazard"}))["estimate"].tolist()
        [1.0]
    """
    is_log = numbers["scale"].astype(str).str.startswith("log")
    return numbers.assign(
        **{
            name: numbers[name].mask(is_log, np.exp(numbers[name].astype(float)))
            for name in _LIMITS
        }
    )


def ratio_digits(low: Any, high: Any) -> int:
    """Return the decimals of a ratio: two, or three where the interval is so narrow.

    Examples:
        >>> ratio_digits(0.8, 1.2), ratio_digits(0.991, 0.994)
        (2, 3)
    """
    return 3 if not is_missing(low) and not is_missing(high) and high - low < 0.05 else 2


def term_label(term: Any, labels: Mapping[Any, str] | None = None) -> str:
    """Return the name of a model's term for readers.

    Examples:
        >>> term_label("n_visits_before"), term_label("C(sex)[T.male]"), term_label("sex[male]")
        ('Visits before', 'Sex: male', 'Sex: male')
    """
    if term in (labels or {}):
        return str((labels or {})[term])
    plain = str(term).replace("C(", "").replace(")", "").replace("[T.", "[")
    name, _, level = plain.partition("[")
    return f"{column_label(name)}: {level.rstrip(']')}" if level else column_label(name)


def level_of(numbers: pd.DataFrame) -> str:
    """Return the one level of the table's intervals in words.

    Examples:
        >>> level_of(pd.DataFrame({"conf_level": [0.95, 0.95]}))
        '95 %'
    """
    levels = numbers["conf_level"].dropna().unique()
    return format_level(levels[0]) if len(levels) == 1 else "confidence"


def _digits(numbers: pd.DataFrame, row: Any) -> int:
    contrast = str(numbers["contrast"].iloc[row]) if "contrast" in numbers.columns else ""
    return 3 if contrast.startswith("ratio") else 1


def _limits(numbers: pd.DataFrame) -> Any:
    return numbers[_LIMITS].itertuples(index=False, name=None)


def _ratios(numbers: pd.DataFrame, audience: str, *, digits: int) -> list[str]:
    # Nobody's estimate is missing for another reason than its interval.
    gone = SUPPRESSED if audience == "publish" else MISSING
    return [
        gone if is_missing(row[0]) else format_interval(*row, percent=False, digits=digits)
        for row in _limits(numbers)
    ]


def _named(
    numbers: pd.DataFrame, groups: list[str], labels: Mapping[Any, str] | None
) -> dict[str, list[str]]:
    return {
        column_label(name, labels=labels): [group_label(v, labels=labels) for v in numbers[name]]
        for name in groups
    }
