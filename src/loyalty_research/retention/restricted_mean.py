"""How long patients stay on average up to a horizon: the area under the curve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from loyalty_research.data.arguments import as_columns, check_share, check_whole
from loyalty_research.errors import UsageError
from loyalty_research.retention.averages import ESTIMATES, refuse_clashes
from loyalty_research.retention.exits import count_exits
from loyalty_research.retention.risk_sets import combine_counts
from loyalty_research.retention.robust_curves import (
    Spells,
    final_influence,
    open_spells,
    survival_of_spells,
    tables_of_spells,
    variance_of_influence,
)


def restricted_mean_time(
    data: Any,
    *,
    horizon: int,
    time: str = "time",
    event: str = "event",
    entry: str | None = None,
    by: str | Sequence[str] | None = None,
    weight: str | None = None,
    freq: str | None = None,
    cluster: str | None = None,
    conf_level: float = 0.95,
) -> pd.DataFrame:
    """Return the mean time without the event within the first `horizon` units.

    It is the area under the Kaplan-Meier curve from 0 to the horizon (Irwin, Journal of Hygiene
    1949;47:188). Its variance is the sum over event times s up to the horizon of
    A(s)^2 d(s) / (Y(s) (Y(s) - d(s))), A(s) being the area from s to the horizon (Royston and
    Parmar, BMC Medical Research Methodology 2013;13:152, without a correction for small samples):
    the error of the mean, not the spread of the times. With weights or clusters it is robust
    (infinitesimal jackknife). The unit is that of `time`.

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        horizon: Until when time is counted, a whole number from 1: up to the last observation of
            each group, or any if the group's curve has come down to 0, where it stays.
        time: Column with the time of event or censoring: whole units, not negative.
        event: Column that is true or 1 for an event, false or 0 for censoring.
        entry: Column with the time from which the patient is under observation; at risk at t are
            those with `entry < t <= time`. Without it all are at risk from the start.
        by: Column or columns that name groups.
        weight: Column of case weights above 0.
        freq: Column of whole numbers from 1: how many patients a row stands for.
        cluster: Column that names the cluster; the robust variance is summed over clusters.
        conf_level: Coverage of the normal interval, cut at 0 and the horizon; missing where the
            error is 0, because nobody has left or all at once.

    Returns:
        One row a group: `term`, the group's columns, `estimate`, `std_error`, `conf_low`,
        `conf_high`, `conf_level`, `p_value` (missing), `n` patients, `n_events` by the horizon,
        `scale`, `method`.

    Raises:
        UsageError: A horizon after the last observation of a group whose curve has not come down
            to 0; the last horizon that is possible is named.
        DataError: As for `kaplan_meier`.

    Examples:
        >>> import pandas as pd
        >>> data = pd.DataFrame({"time": [1, 2, 3, 4], "event": [1, 1, 1, 0]})
        >>> restricted_mean_time(data, horizon=3)["estimate"].item()
        2.25
    """
    level, until = check_share(conf_level, name="conf_level"), _check_horizon(horizon)
    refuse_clashes(as_columns(by), ["term", *ESTIMATES])
    columns = {"time": time, "event": event, "entry": entry, "freq": freq}
    groups, areas = _open_areas(data, columns, as_columns(by), weight, cluster, until)
    mean = np.array([area.mean for area in areas])
    error = np.sqrt([area.variance for area in areas])
    # Where nobody has left, or all at once, an error of 0 would pass for certainty.
    half = np.where(error > 0, norm.ppf((1 + level) / 2) * error, np.nan)
    table = groups.assign(
        estimate=mean,
        std_error=error,
        conf_low=np.maximum(mean - half, 0),
        conf_high=np.minimum(mean + half, until),
        conf_level=level,
        p_value=np.nan,
        n=[area.n for area in areas],
        n_events=[area.n_events for area in areas],
        scale="time",
        method=_method(weight, cluster),
    )
    table.insert(0, "term", "restricted mean time")
    return table


def restricted_mean_difference(
    data: Any,
    *,
    arm: str,
    horizon: int,
    time: str = "time",
    event: str = "event",
    entry: str | None = None,
    by: str | Sequence[str] | None = None,
    weight: str | None = None,
    freq: str | None = None,
    cluster: str | None = None,
    conf_level: float = 0.95,
) -> pd.DataFrame:
    """Return how much longer one arm stays than the other within the first `horizon` units.

    The difference of the restricted mean times is the time gained by the horizon; the ratio has its
    interval and p-value on the log scale (Uno et al., Journal of Clinical Oncology 2014;32:2380).
    Neither assumes proportional hazards. A cluster with patients in both arms counts as one.

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        arm: Column with exactly two values: the second in their order (1 after 0, true after
            false, that of a category) is compared with the first.
        horizon: Until when time is counted, a whole number from 1.
        time: Column with the time of event or censoring: whole units, not negative.
        event: Column that is true or 1 for an event, false or 0 for censoring.
        entry: Column with the time from which the patient is under observation.
        by: Column or columns that name groups, compared each for itself.
        weight: Column of case weights above 0; the variance is then robust.
        freq: Column of whole numbers from 1: how many patients a row stands for.
        cluster: Column that names the cluster; the robust variance is summed over clusters.
        conf_level: Coverage of the normal interval.

    Returns:
        Two rows a group: `contrast` (`"difference, B - A"`, `"ratio, B / A"`), the group's columns,
        `estimate`, `std_error` (of the ratio's logarithm), `conf_low`, `conf_high`, `conf_level`,
        `p_value` (two-sided, against 0 and 1), `n`, `n_events` by the horizon, `scale` (`"time"`;
        `"log"`: the scale of `std_error`), `method`.

    Raises:
        UsageError: An arm without exactly two values in each group; a horizon that is too far, as
            for `restricted_mean_time`.
        DataError: As for `kaplan_meier`.

    Examples:
        >>> import pandas as pd
        >>> data = pd.DataFrame({"arm": [0, 0, 1, 1], "time": [1, 3, 2, 4], "event": [1, 0, 1, 0]})
        >>> table = restricted_mean_difference(data, arm="arm", horizon=3)
        >>> table[["contrast", "estimate"]].values.tolist()
        [['difference, 1 - 0', 0.5], ['ratio, 1 / 0', 1.25]]
    """
    level, until = check_share(conf_level, name="conf_level"), _check_horizon(horizon)
    names = as_columns(by)
    refuse_clashes([*names, arm], ["contrast", *ESTIMATES])
    columns = {"time": time, "event": event, "entry": entry, "freq": freq}
    groups, areas = _open_areas(data, columns, [*names, arm], weight, cluster, until)
    pairs = _pairs(groups, names, arm)
    method = _method(weight, cluster)
    rows = [
        row
        for first, second in pairs
        for row in _contrasts(areas[first], areas[second], level, method)
    ]
    values = groups[arm]
    table = pd.DataFrame(rows)
    ends = [
        f"{word}, {values[second]} {sign} {values[first]}"
        for first, second in pairs
        for word, sign in (("difference", "-"), ("ratio", "/"))
    ]
    table.insert(0, "contrast", ends)
    place = np.repeat([first for first, _ in pairs], 2)
    for position, name in enumerate(names, start=1):
        table.insert(position, name, groups[name].iloc[place].reset_index(drop=True))
    return table


# --- the area of one group ------------------------------------------------------------------------


@dataclass(frozen=True)
class _Area:
    """The mean of one group with its variance; the rows' influence where the variance is robust."""

    mean: float
    variance: float
    n: int
    n_events: int
    influence: np.ndarray | None = None
    freq: np.ndarray | None = None
    cluster: np.ndarray | None = None


def _open_areas(
    data: Any,
    columns: dict[str, Any],
    groups: list[str],
    weight: str | None,
    cluster: str | None,
    horizon: int,
) -> tuple[pd.DataFrame, list[_Area]]:
    if weight is None and cluster is None:
        exits, entries = count_exits(data, by=groups, **columns)
        counts = combine_counts(exits, entries, by=groups)
        parts = [part for _, part in counts.groupby(groups, observed=True)] if groups else [counts]
        _refuse_far([_reach_of_counts(part) for part in parts], horizon)
        table = pd.concat([part[groups].iloc[[0]] for part in parts], ignore_index=True)
        return table, [_area_of_counts(part, horizon) for part in parts]
    rows = open_spells(data, by=groups, weight=weight, cluster=cluster, **columns)
    spells = [part for _, part in tables_of_spells(rows)]
    _refuse_far([_reach_of_spells(part) for part in spells], horizon)
    return rows.groups, [_area_of_spells(part, horizon) for part in spells]


def _areas(time: np.ndarray, survival: np.ndarray, horizon: int) -> tuple[float, np.ndarray]:
    """Return the whole area under the curve, and that after each time up to the horizon."""
    width = np.diff(np.minimum(np.append(time, max(horizon, int(time[-1]))), horizon))
    after = (survival * width)[::-1].cumsum()[::-1]
    return float(after[0]), after


def _area_of_counts(counts: pd.DataFrame, horizon: int) -> _Area:
    time = counts["time"].to_numpy()
    at_risk = np.maximum(counts["n_at_risk"].to_numpy(float), 1.0)
    events = counts["n_events"].to_numpy(float)
    mean, after = _areas(time, np.cumprod(1 - events / at_risk), horizon)
    # Where everybody at risk has the event nothing remains that could vary.
    left = at_risk > events
    square = np.divide(after**2 * events, at_risk * (at_risk - events), out=0 * events, where=left)
    n = int(counts["n_events"].sum() + counts["n_censored"].sum())
    return _Area(mean, float(square.sum()), n, int(events[time <= horizon].sum()))


def _area_of_spells(spells: Spells, horizon: int) -> _Area:
    time = spells.counts.time
    survival, _ = survival_of_spells(spells)
    mean, after = _areas(time, survival, horizon)
    remains = spells.at_risk - spells.events
    jump = np.divide(after, remains, out=np.zeros(len(time)), where=remains > 0)
    influence = -final_influence(spells, jump)
    variance = variance_of_influence(influence, spells.freq, spells.cluster)
    events = spells.counts.events[:, 0]
    n = int(events.sum() + spells.counts.censored.sum())
    n_events = int(events[time <= horizon].sum())
    return _Area(mean, variance, n, n_events, influence, spells.freq, spells.cluster)


# --- contrasts ------------------------------------------------------------------------------------


def _pairs(groups: pd.DataFrame, by: list[str], arm: str) -> list[tuple[int, int]]:
    key = groups.groupby(by, observed=True).ngroup() if by else pd.Series(0, groups.index)
    pairs = [list(part.index) for _, part in groups.groupby(key)]
    sizes = {len(pair) for pair in pairs}
    if sizes != {2}:
        found = " and ".join(map(str, sorted(sizes - {2})))
        where = " in some groups" if by else ""
        raise UsageError(
            f"arm={arm!r} must have exactly two values, not {found}{where}; "
            "keep the two arms to compare"
        )
    return [(first, second) for first, second in pairs]


def _contrasts(first: _Area, second: _Area, level: float, method: str) -> list[dict[str, Any]]:
    z = norm.ppf((1 + level) / 2)
    gain, error = second.mean - first.mean, np.sqrt(_variance(first, second, 1.0, 1.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        scales = np.divide(1.0, [first.mean, second.mean])
        ratio = np.divide(second.mean, first.mean)
        log_error = np.sqrt(_variance(first, second, *scales))
        log_half = z * log_error
        tests = np.abs([np.divide(gain, error), np.divide(np.log(ratio), log_error)])
    p_values = 2 * norm.sf(tests)
    more = {"n": first.n + second.n, "n_events": first.n_events + second.n_events}
    values = [
        (gain, error, gain - z * error, gain + z * error, level, p_values[0]),
        (ratio, log_error, ratio * np.exp(-log_half), ratio * np.exp(log_half), level, p_values[1]),
    ]
    return [
        {**dict(zip(ESTIMATES, row, strict=False)), **more, "scale": scale, "method": method}
        for row, scale in zip(values, ("time", "log"), strict=True)
    ]


def _variance(first: _Area, second: _Area, scale_first: float, scale_second: float) -> float:
    """Return the variance of the difference of both means, each times its scale."""
    if first.cluster is None or second.cluster is None:
        return scale_first**2 * first.variance + scale_second**2 * second.variance
    # The same cluster may be in both arms, which then are not independent.
    shares = [-scale_first * _pull(first), scale_second * _pull(second)]
    clusters = np.concatenate([first.cluster, second.cluster])
    return variance_of_influence(np.concatenate(shares), None, clusters)


def _pull(area: _Area) -> np.ndarray:
    influence = np.asarray(area.influence)
    return influence if area.freq is None else area.freq * influence


# --- the horizon ----------------------------------------------------------------------------------


def _check_horizon(horizon: object) -> int:
    return check_whole(horizon, name="horizon", minimum=1)


def _reach_of_counts(counts: pd.DataFrame) -> float:
    falls = (counts["n_at_risk"] == counts["n_events"]) & (counts["n_events"] > 0)
    return float("inf") if falls.any() else float(counts["time"].iloc[-1])


def _reach_of_spells(spells: Spells) -> float:
    events = spells.counts.events[:, 0]
    falls = (spells.counts.at_risk == events) & (events > 0)
    return float("inf") if falls.any() else float(spells.counts.time[-1])


def _refuse_far(reaches: Sequence[float], horizon: int) -> None:
    short = [reach for reach in reaches if reach < horizon]
    if short:
        where = f" of {len(short)} of {len(reaches)} groups" if len(reaches) > 1 else ""
        raise UsageError(
            f"horizon={horizon} is after the last observation{where}; "
            f"give a horizon of at most {int(min(short))}"
        )


def _method(weight: str | None, cluster: str | None) -> str:
    if weight is None and cluster is None:
        return "area under Kaplan-Meier, Greenwood"
    kind = "clustered " if cluster is not None else ""
    return f"area under Kaplan-Meier, {kind}robust"
