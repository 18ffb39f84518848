"""The share of patients who stay, day by day."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from loyalty_research.data.arguments import as_columns, check_choice, check_share, check_times
from loyalty_research.retention.curve_limits import CONF_TYPES, add_limits
from loyalty_research.retention.risk_sets import combine_counts, count_exits
from loyalty_research.retention.robust_curves import open_spells, robust_curve


def kaplan_meier(
    data: Any,
    *,
    time: str = "time",
    event: str = "event",
    entry: str | None = None,
    by: str | Sequence[str] | None = None,
    weight: str | None = None,
    freq: str | None = None,
    cluster: str | None = None,
    times: Sequence[int] | None = None,
    conf_level: float = 0.95,
    conf_type: str = "log-log",
) -> pd.DataFrame:
    """Return the Kaplan-Meier estimate of the share without the event at each time.

    Kaplan and Meier, JASA 1958;53:457. The standard error is Greenwood's (1926). Intervals are
    those of R's `survfit`: `"log-log"` (Kalbfleisch and Prentice), `"log"`, `"plain"`, `"logit"`,
    `"arcsin"`; where R gives none (most types while nobody has had the event, any type once
    everybody has) they are missing. The engine reduces the rows to counts by group, time and event
    in one aggregation, so ten million patients cost little more than reading them; weights and
    clusters need the rows themselves.

    With delayed entry a small early risk set can bring the curve down to 0, where it stays; look
    at `n_at_risk` before reading such a curve.

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        time: Column with the time of event or censoring: whole units, not negative.
        event: Column that is true or 1 for an event, false or 0 for censoring. Who is censored
            at t is still at risk at t.
        entry: Column with the time from which the patient is under observation; at risk at t are
            those with `entry < t <= time`. Without it all are at risk from the start.
        by: Column or columns that name groups.
        weight: Column of case weights above 0, as of inverse probability weighting. The standard
            error is then the robust one (infinitesimal jackknife), as in R's
            `survfit(robust=TRUE)`, which takes the weights as given.
        freq: Column of whole numbers from 1: how many patients a row stands for, exactly as if the
            row were repeated.
        cluster: Column that names the cluster; the robust variance is summed over clusters, of
            which `check_clusters` says whether they are enough.
        times: Report the curve at these times only: estimate and interval are those of the last
            step at or before, the counts are those of the time itself.
        conf_level: Coverage of the pointwise interval.
        conf_type: Scale on which the interval is symmetric.

    Returns:
        One row a group and distinct time, time 0 included: the group's columns, `time`,
        `n_at_risk`, `n_events`, `n_censored` (patients, also when they are weighted), with
        `weight` also `weight_at_risk`, `weight_events`, `weight_censored`, then `estimate`,
        `std_error`, `conf_low`, `conf_high`, `conf_level`.

    Raises:
        UsageError: An unknown `conf_type`, times that are not whole or are negative.
        DataError: As for `risk_sets`; weights that are not above 0, missing clusters.

    Examples:
        >>> import pandas as pd
        >>> data = pd.DataFrame({"time": [1, 2, 2, 3], "event": [True, True, False, False]})
        >>> kaplan_meier(data)[["time", "n_at_risk", "n_events", "estimate"]]
           time  n_at_risk  n_events  estimate
        0     0          4         0      1.00
        1     1          4         1      0.75
        2     2          3         1      0.50
        3     3          1         0      0.50
    """
    check_choice(conf_type, CONF_TYPES, name="conf_type")
    level, asked = check_share(conf_level, name="conf_level"), check_times(times)
    columns = {"time": time, "event": event, "entry": entry, "freq": freq}
    limits = {"conf_level": level, "conf_type": conf_type}
    curve = _open_curve(data, columns, by, weight, cluster, asked or (), limits)
    if asked is None:
        return curve
    return curve[curve["time"].isin(asked)].reset_index(drop=True)


def quantile_time(
    data: Any,
    *,
    q: float | Sequence[float] = 0.5,
    time: str = "time",
    event: str = "event",
    entry: str | None = None,
    by: str | Sequence[str] | None = None,
    weight: str | None = None,
    freq: str | None = None,
    cluster: str | None = None,
    conf_level: float = 0.95,
    conf_type: str = "log-log",
) -> pd.DataFrame:
    """Return the time by which a share `q` of the patients has had the event.

    It is the first time at which the Kaplan-Meier curve is at or below `1 - q`; if the curve is
    flat at exactly that height, the midpoint of the flat piece. The interval holds the times at
    which the curve's band contains `1 - q` (Brookmeyer and Crowley, Biometrics 1982;38:29). Both
    follow R's `quantile.survfit`. A quantile the curve does not reach is missing.

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        q: Share between 0 and 1, or several; 0.5 is the median time.
        time: Column with the time of event or censoring: whole units, not negative.
        event: Column that is true or 1 for an event, false or 0 for censoring.
        entry: Column with the time from which the patient is under observation.
        by: Column or columns that name groups.
        weight: Column of case weights above 0; the band is then the robust one.
        freq: Column of whole numbers from 1: how many patients a row stands for.
        cluster: Column that names the cluster, over which the robust variance is summed.
        conf_level: Coverage of the interval.
        conf_type: Scale of the curve's band, as for `kaplan_meier`.

    Returns:
        One row a group and `q`: the group's columns, `q`, `estimate`, `conf_low`, `conf_high`,
        `conf_level`, `n`, `n_events`.

    Raises:
        UsageError: `q` not between 0 and 1, an unknown `conf_type`.
        DataError: As for `risk_sets`.

    Examples:
        >>> import pandas as pd
        >>> data = pd.DataFrame({"time": [1, 2, 3, 4], "event": [True] * 4})
        >>> quantile_time(data)["estimate"].item()
        2.5
    """
    check_choice(conf_type, CONF_TYPES, name="conf_type")
    level = check_share(conf_level, name="conf_level")
    shares = [check_share(share, name="q") for share in np.atleast_1d(np.asarray(q)).tolist()]
    columns = {"time": time, "event": event, "entry": entry, "freq": freq}
    limits = {"conf_level": level, "conf_type": conf_type}
    curve = _open_curve(data, columns, by, weight, cluster, (), limits)
    groups = as_columns(by)
    parts = [(None, curve)] if not groups else list(curve.groupby(groups, observed=True))
    rows = [row for _, part in parts for row in _quantiles(part, groups, shares, level)]
    result = pd.DataFrame(rows)
    return result.astype({name: curve[name].dtype for name in groups})


def curve_from_counts(
    counts: pd.DataFrame, *, by: str | Sequence[str] | None, conf_level: float, conf_type: str
) -> pd.DataFrame:
    """Return the Kaplan-Meier curve of a risk set table.

    Args:
        counts: As `risk_sets` returns: `group..., time, n_at_risk, n_events, n_censored`.
        by: Column or columns that name groups.
        conf_level: Coverage of the pointwise interval.
        conf_type: Scale on which the interval is symmetric, as for `kaplan_meier`.

    Returns:
        The counts with `estimate`, `std_error`, `conf_low`, `conf_high`, `conf_level` added.

    Examples:
        >>> counts = pd.DataFrame(
        ...     {"time": [1, 2], "n_at_risk": [4, 3], "n_events": [1, 1], "n_censored": [0, 2]}
        ... )
        >>> curve = curve_from_counts(counts, by=None, conf_level=0.95, conf_type="plain")
        >>> curve["estimate"].to_list()
        [0.75, 0.5]
    """
    groups = as_columns(by)
    if not groups:
        return _curve(counts, conf_level, conf_type)
    parts = [
        _curve(part, conf_level, conf_type) for _, part in counts.groupby(groups, observed=True)
    ]
    return pd.concat(parts, ignore_index=True)


def _open_curve(
    data: Any,
    columns: dict[str, Any],
    by: str | Sequence[str] | None,
    weight: str | None,
    cluster: str | None,
    times: Sequence[int],
    limits: dict[str, Any],
) -> pd.DataFrame:
    if weight is None and cluster is None:
        exits, entries = count_exits(data, by=by, **columns)
        return curve_from_counts(
            combine_counts(exits, entries, by=by, times=times), by=by, **limits
        )
    rows = open_spells(data, by=by, weight=weight, cluster=cluster, **columns)
    return robust_curve(rows, times=times, weighted=weight is not None, **limits)


def _curve(counts: pd.DataFrame, conf_level: float, conf_type: str) -> pd.DataFrame:
    # Floats, because the product of two counts of a hundred million overflows no float.
    at_risk = counts["n_at_risk"].to_numpy(float)
    events = counts["n_events"].to_numpy(float)
    # Nobody at risk means no event either: the step is 1, not 0 / 0.
    at_risk = np.where(events > 0, at_risk, np.maximum(at_risk, 1.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        # On the log scale Greenwood's sum is infinite once everybody at risk has had the event.
        log_error = np.sqrt(np.cumsum(events / (at_risk * (at_risk - events)), dtype=float))
    survival = np.cumprod(1 - events / at_risk)
    return add_limits(counts, survival, log_error, conf_level=conf_level, conf_type=conf_type)


def _quantiles(
    curve: pd.DataFrame, groups: Sequence[str], shares: Sequence[float], conf_level: float
) -> list[dict[str, Any]]:
    # Only events move the curve and its band; between them the robust error differs by rounding.
    steps = curve[curve["n_events"] > 0]
    times, last = steps["time"].to_numpy(float), float(curve["time"].iloc[-1])
    bands = [steps[name].to_numpy(float) for name in ("estimate", "conf_low", "conf_high")]
    names = ("estimate", "conf_low", "conf_high")
    rows = []
    for share in shares:
        row = {name: curve[name].iloc[0] for name in groups}
        row["q"] = share
        for name, band in zip(names, bands, strict=True):
            row[name] = _crossing(times, band, 1 - share, last)
        n_events = int(curve["n_events"].sum())
        n = n_events + int(curve["n_censored"].sum())
        rows.append({**row, "conf_level": conf_level, "n": n, "n_events": n_events})
    return rows


def _crossing(times: np.ndarray, band: np.ndarray, height: float, last: float) -> float:
    """Return when a falling step curve reaches a height, midway along a piece that lies on it."""
    tolerance = float(np.sqrt(np.finfo(float).eps))
    # The band of a small group may rise again; like R, look its values up in order of height.
    known = ~np.isnan(band)
    heights, first = np.unique(np.append(1.0, band[known]), return_index=True)
    starts = np.append(0.0, times[known])[first]
    at_or_below, below = heights <= height + tolerance, heights < height - tolerance
    if not at_or_below.any():
        return float("nan")
    reached = starts[at_or_below][-1]
    # A curve that ends on the height stays on it until the last time.
    left = starts[below][-1] if below.any() else last
    on_it = abs(heights[at_or_below][-1] - height) <= tolerance
    return float((reached + left) / 2) if on_it else float(reached)
