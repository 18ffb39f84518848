"""The cumulative hazard: how much of the event's risk has been lived through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from loyalty_research.data.arguments import check_choice, check_share
from loyalty_research.retention.risk_sets import risk_sets
from loyalty_research.retention.robust_curves import (
    hazard_of_spells,
    open_spells,
    tables_of_spells,
)

HAZARD_CONF_TYPES = ("log", "plain")
"""Scales on which the interval of a cumulative hazard can be symmetric."""


def nelson_aalen(
    data: Any,
    *,
    time: str = "time",
    event: str = "event",
    entry: str | None = None,
    by: str | Sequence[str] | None = None,
    weight: str | None = None,
    freq: str | None = None,
    cluster: str | None = None,
    conf_level: float = 0.95,
    conf_type: str = "log",
) -> pd.DataFrame:
    """Return the Nelson-Aalen estimate of the cumulative hazard of the event at each time.

    H(t) = sum over s <= t of d(s) / Y(s) (Nelson, Technometrics 1972;14:945; Aalen, Annals of
    Statistics 1978;6:701) with Aalen's variance, the sum of d(s) / Y(s)^2. A straight line means a
    constant rate of leaving, a bend a rate that changes.

    It is the `cumhaz` of R's `survfit` (`ctype = 1`, its default, without the correction for
    ties), `std_error` its `std.chaz`. R has no interval for it; that on the `"log"` scale is the
    log-log interval of `exp(-H)` (`stype = 2`), that on the `"plain"` scale its log interval.

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        time: Column with the time of event or censoring: whole units, not negative.
        event: Column that is true or 1 for an event, false or 0 for censoring.
        entry: Column with the time from which the patient is under observation; at risk at t are
            those with `entry < t <= time`. Without it all are at risk from the start.
        by: Column or columns that name groups.
        weight: Column of case weights above 0; the standard error is then the robust one
            (infinitesimal jackknife).
        freq: Column of whole numbers from 1: how many patients a row stands for.
        cluster: Column that names the cluster; the robust variance is summed over clusters.
        conf_level: Coverage of the pointwise interval.
        conf_type: `"log"` or `"plain"`: scale on which the interval is symmetric.

    Returns:
        The columns of `kaplan_meier`; `estimate` is the cumulative hazard. On the log scale the
        limits are missing as long as it is 0 though somebody has left.

    Raises:
        UsageError: An unknown `conf_type`.
        DataError: As for `kaplan_meier`.

    Examples:
        >>> import pandas as pd
        >>> data = pd.DataFrame({"time": [1, 2, 2, 3], "event": [True, True, False, False]})
        >>> nelson_aalen(data)["estimate"].round(4).tolist()
        [0.0, 0.25, 0.5833, 0.5833]
    """
    check_choice(conf_type, HAZARD_CONF_TYPES, name="conf_type")
    z = norm.ppf((1 + check_share(conf_level, name="conf_level")) / 2)
    columns: dict[str, Any] = {"time": time, "event": event, "entry": entry, "by": by, "freq": freq}
    if weight is None and cluster is None:
        table = _hazards_of_counts(risk_sets(data, **columns))
    else:
        rows = open_spells(data, weight=weight, cluster=cluster, **columns)
        table = _hazards_of_spells(tables_of_spells(rows, weighted=weight is not None))
    low, high = _limits(table, z, conf_type)
    return table.assign(conf_low=low, conf_high=high, conf_level=conf_level)


def _hazards_of_counts(counts: pd.DataFrame) -> pd.DataFrame:
    # Floats, because the square of a count of a hundred million overflows no float.
    at_risk = np.maximum(counts["n_at_risk"].to_numpy(float), 1.0)
    events = counts["n_events"].to_numpy(float)
    # A group begins at its time 0.
    group = np.cumsum(counts["time"].to_numpy() == 0)
    sums = pd.DataFrame({"hazard": events / at_risk, "variance": events / at_risk**2})
    sums = sums.groupby(group).cumsum()
    return counts.assign(estimate=sums["hazard"], std_error=np.sqrt(sums["variance"]))


def _hazards_of_spells(parts: list[Any]) -> pd.DataFrame:
    tables = []
    for table, spells in parts:
        hazard, variance = hazard_of_spells(spells)
        tables.append(table.assign(estimate=hazard, std_error=np.sqrt(variance)))
    return pd.concat(tables, ignore_index=True)


def _limits(table: pd.DataFrame, z: float, conf_type: str) -> tuple[np.ndarray, np.ndarray]:
    hazard, half = table["estimate"].to_numpy(), z * table["std_error"].to_numpy()
    if conf_type == "plain":
        return np.maximum(hazard - half, 0), hazard + half
    known = np.where(hazard > 0, hazard, np.nan)
    low, high = known * np.exp(-half / known), known * np.exp(half / known)
    # As for the survival curve: before the first exit there is nothing to be uncertain of.
    start = (table["time"] == 0).to_numpy() & (table[["n_events", "n_censored"]].sum(axis=1) == 0)
    return np.where(start, 0.0, low), np.where(start, 0.0, high)
