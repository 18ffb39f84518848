"""Beyond the last observed day: what each distribution would have it, marked as such."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from loyalty_research.data.arguments import as_columns, check_choice, check_share, check_whole
from loyalty_research.data.frames import missing_columns, raise_faults
from loyalty_research.errors import UsageError
from loyalty_research.retention.averages import refuse_clashes
from loyalty_research.retention.curves import kaplan_meier
from loyalty_research.retention.families import FAMILIES
from loyalty_research.retention.parametric import (
    DISTRIBUTIONS,
    ParametricModel,
    fit_parametric,
    log_share,
    predict_parametric,
)
from loyalty_research.retention.rows import group_codes, take_columns

_MOST_TIMES = 100
"""Times at which curves with covariates, an average over all patients, are compared."""

_CHUNK = 4_000_000


def compare_parametric(
    data: Any,
    *,
    distributions: Sequence[str] = FAMILIES,
    covariates: str | Sequence[str] | None = None,
    time: str = "time",
    event: str = "event",
    entry: str | None = None,
    freq: str | None = None,
) -> pd.DataFrame:
    """Return how well each distribution fits, best first.

    Akaike's criterion compares them within the data only: two distributions that fit alike may
    differ widely beyond. `max_distance` is the largest gap between the distribution's curve
    (with covariates, the average of the patients' curves, at 100 event times) and Kaplan-Meier.

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        distributions: Names that `fit_parametric` knows.
        covariates: As for `fit_parametric`.
        time: Column with the time of event or censoring: whole units, above 0.
        event: Column that is true or 1 for an event, false or 0 for censoring.
        entry: Column with the time from which the row is under observation.
        freq: Column of whole numbers from 1: how many patients the row stands for.

    Returns:
        One row a distribution, the smallest `aic` first: `distribution`, `n_parameters`,
        `log_likelihood`, `aic`, `bic`, `delta_aic`, `max_distance`, `n`, `n_events`.

    Raises:
        UsageError: An unknown distribution, or none.
        DataError: As for `fit_parametric`.

    Examples:
        >>> data = pd.DataFrame({"time": [2, 3, 4, 5, 6, 7], "event": [1, 1, 1, 1, 1, 0]})
        >>> table = compare_parametric(data, distributions=["exponential", "weibull"])
        >>> table[["distribution", "n_parameters"]].to_dict("list")
        {'distribution': ['weibull', 'exponential'], 'n_parameters': [2, 1]}
    """
    names = {"time": time, "event": event, "entry": entry, "freq": freq}
    chosen = _chosen(distributions)
    columns = as_columns(covariates)
    models = [
        fit_parametric(data, distribution=x, covariates=columns, **names)  # type: ignore[arg-type]
        for x in chosen
    ]
    table = _take(data, [*names.values(), *columns])
    curve = kaplan_meier(_repeated(table, names), time=time, event=event, entry=entry)
    gaps = [_largest_gap(model, curve, table, freq) for model in models]
    result = pd.DataFrame(
        {
            "distribution": chosen,
            "n_parameters": [len(model.estimates) for model in models],
            "log_likelihood": [model.log_likelihood for model in models],
            "aic": [model.aic for model in models],
            "bic": [model.bic for model in models],
            "delta_aic": [model.aic - min(other.aic for other in models) for model in models],
            "max_distance": gaps,
            "n": [model.n for model in models],
            "n_events": [model.n_events for model in models],
        }
    )
    return result.sort_values("aic", kind="stable", ignore_index=True)


def extrapolate_retention(
    data: Any,
    *,
    times: Sequence[int],
    distributions: Sequence[str] = FAMILIES,
    by: str | Sequence[str] | None = None,
    time: str = "time",
    event: str = "event",
    entry: str | None = None,
    freq: str | None = None,
    conf_level: float = 0.95,
) -> pd.DataFrame:
    """Return the share still here at given times, by Kaplan-Meier and by each distribution.

    The interval of a distribution is only as good as the distribution: beyond the last observed
    time the spread between the rows says more. Each group is fitted alone.

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        times: Whole times, beyond the last observed one too.
        distributions: Names that `fit_parametric` knows.
        by: Column or columns that name groups.
        time: Column with the time of event or censoring: whole units, above 0.
        event: Column that is true or 1 for an event, false or 0 for censoring.
        entry: Column with the time from which the row is under observation.
        freq: Column of whole numbers from 1: how many patients the row stands for.
        conf_level: Coverage of the intervals.

    Returns:
        One row a group, distribution ("kaplan-meier" first) and time: the group's columns,
        `distribution`, `time`, `estimate`, `std_error`, `conf_low`, `conf_high`, `conf_level`,
        `observed_until` (the last time at which anybody of the group was observed),
        `extrapolated` (true beyond it; Kaplan-Meier is missing there).

    Raises:
        UsageError: Times that are negative or not whole, an unknown distribution.
        DataError: As for `fit_parametric`.

    Examples:
        >>> data = pd.DataFrame({"time": [2, 3, 7, 9], "event": [1, 1, 1, 0]})
        >>> table = extrapolate_retention(data, times=[7, 14], distributions=["exponential"])
        >>> table[["distribution", "time", "estimate", "extrapolated"]].round(2)
           distribution  time  estimate  extrapolated
        0  kaplan-meier     7      0.25         False
        1  kaplan-meier    14       NaN          True
        2   exponential     7      0.37         False
        3   exponential    14      0.14          True
    """
    asked = [check_whole(x, name="times") for x in np.atleast_1d(np.asarray(times)).tolist()]
    level, chosen = check_share(conf_level, name="conf_level"), _chosen(distributions)
    names = {"time": time, "event": event, "entry": entry, "freq": freq}
    groups = as_columns(by)
    refuse_clashes(groups, ["distribution", "observed_until", "extrapolated"])
    table = _take(data, [*names.values(), *groups])
    if not groups or len(table) == 0:
        return _one_group(table, names, asked, chosen, level)
    # The door refuses missing groups before anything is fitted.
    kaplan_meier(_repeated(table, names), time=time, event=event, entry=entry, by=groups)
    codes, kinds = group_codes(table, groups)
    parts = []
    for code in range(len(kinds)):
        found = _one_group(table[codes == code], names, asked, chosen, level)
        leading = kinds.iloc[[code] * len(found)].reset_index(drop=True)
        parts.append(pd.concat([leading, found], axis=1))
    return pd.concat(parts, ignore_index=True).astype({name: kinds[name].dtype for name in groups})


def _chosen(distributions: Sequence[str]) -> list[str]:
    given = [distributions] if isinstance(distributions, str) else list(distributions)
    if not given:
        raise UsageError("distributions is empty; name at least one, such as 'weibull'")
    return [check_choice(x, DISTRIBUTIONS, name="distributions") for x in dict.fromkeys(given)]


def _take(data: Any, columns: Sequence[str | None]) -> pd.DataFrame:
    wanted = list(dict.fromkeys(name for name in columns if name is not None))
    raise_faults(missing_columns(data, wanted, table="data"))
    return take_columns(data, wanted)


def _repeated(table: pd.DataFrame, names: dict[str, str | None]) -> pd.DataFrame:
    freq = names["freq"]
    if freq is None:
        return table
    return table.loc[table.index.repeat(table[freq].astype(int))].reset_index(drop=True)


def _one_group(
    table: pd.DataFrame,
    names: dict[str, str | None],
    times: list[int],
    distributions: list[str],
    level: float,
) -> pd.DataFrame:
    models = [
        fit_parametric(table, distribution=x, conf_level=level, **names)  # type: ignore[arg-type]
        for x in distributions
    ]
    clock, event, entry, _ = names.values()
    curve = kaplan_meier(
        _repeated(table, names), time=str(clock), event=str(event), entry=entry, conf_level=level,
        times=sorted(set(times)),
    )  # fmt: skip
    curve = curve.set_index("time").loc[times].reset_index()
    last = models[0].last_time
    curve["extrapolated"] = curve["time"] > last
    values = ["estimate", "std_error", "conf_low", "conf_high"]
    curve.loc[curve["extrapolated"], values] = np.nan
    parts = [curve, *(predict_parametric(model, times=times) for model in models)]
    labels = np.repeat(["kaplan-meier", *distributions], len(times))
    result = pd.concat(parts, ignore_index=True).assign(distribution=labels, observed_until=last)
    columns = ["distribution", "time", *values, "conf_level", "observed_until", "extrapolated"]
    return result[columns].astype({"extrapolated": bool})


def _largest_gap(
    model: ParametricModel, curve: pd.DataFrame, table: pd.DataFrame, freq: str | None
) -> float:
    """Return the largest distance from Kaplan-Meier, before and after each of its steps."""
    steps = curve["n_events"].to_numpy() > 0
    times = curve["time"].to_numpy()[steps]
    after = curve["estimate"].to_numpy()
    before = np.append(1.0, after[:-1])[steps]
    after = after[steps]
    if model.covariates.columns and len(times) > _MOST_TIMES:
        at = np.linspace(0, len(times) - 1, _MOST_TIMES).round().astype(int)
        times, before, after = times[at], before[at], after[at]
    share = _average_share(model, times, table, freq)
    return float(np.maximum(np.abs(share - before), np.abs(share - after)).max())


def _average_share(
    model: ParametricModel, times: np.ndarray, table: pd.DataFrame, freq: str | None
) -> np.ndarray:
    columns = list(model.covariates.columns)
    if not columns:
        return np.exp(log_share(model, times, np.zeros((len(times), 0)))[0])
    weight = np.ones(len(table)) if freq is None else table[freq].to_numpy(float)
    # Patients alike in all covariates have one curve between them.
    code, kinds = group_codes(table, columns)
    count = np.bincount(code, weight)
    matrix, total = model.covariates.matrix(kinds), np.zeros(len(times))
    size = max(1, _CHUNK // len(times))
    for start in range(0, len(matrix), size):
        part = matrix[start : start + size]
        grid = np.tile(times, len(part))
        value, _ = log_share(model, grid, np.repeat(part, len(times), axis=0))
        total += count[start : start + size] @ np.exp(value).reshape(len(part), -1)
    return total / count.sum()
