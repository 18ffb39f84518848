"""How alike the patients of a clinic are, as a study of clinics has to know beforehand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import f as fisher

from loyalty_research.data.arguments import check_share
from loyalty_research.data.frames import missing_columns, raise_faults
from loyalty_research.effects.arms import size_fault
from loyalty_research.errors import Fault
from loyalty_research.retention.rows import group_codes, take_columns


def intracluster_correlation(
    data: Any, *, outcome: str, cluster: str, conf_level: float = 0.95
) -> pd.DataFrame:
    """Return the share of an outcome's variance that lies between clusters.

    The estimator of the analysis of variance, (MSB - MSW) / (MSB + (m - 1) MSW) with
    m = (N - sum of n_g^2 / N) / (k - 1), which also holds for outcomes of 0 and 1 (Ridout,
    Demetrio and Firth, Biometrics 1999;55:137). The interval is that of Searle, exact for normal
    outcomes in clusters of one size, approximate otherwise; with few clusters it is wide, and a
    study should be planned for its upper part.

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        outcome: Column of a number, or of 0 and 1; rows where it is missing are left out.
        cluster: Column that names the clinic.
        conf_level: Coverage of the interval.

    Returns:
        One row: `estimate` (below 0 where clinics differ less than chance would make them),
        `conf_low, conf_high, conf_level, mean, sd, n, n_clusters, cluster_size` (mean),
        `cluster_cv` (coefficient of variation of sizes), `n_missing`.

    Raises:
        DataError: Columns missing, an outcome that is no number or the same in every row, clusters
            missing, fewer than two of them, no cluster of two patients.

    Examples:
        >>> data = pd.DataFrame({"clinic": list("aabb"), "came": [1, 3, 5, 7]})
        >>> found = intracluster_correlation(data, outcome="came", cluster="clinic")
        >>> found["estimate"].item()  # MSB 16, MSW 2, m 2: (16 - 2) / (16 + 2)
        0.7777777777777778
    """
    level = check_share(conf_level, name="conf_level")
    raise_faults(missing_columns(data, [outcome, cluster], table="data"))
    table = take_columns(data, [outcome, cluster])
    raise_faults(_faults(table, outcome, cluster))
    known = table[table[outcome].notna()]
    value, code = known[outcome].to_numpy(float), group_codes(known, [cluster])[0]
    sizes = np.bincount(code)
    n, k = len(value), len(sizes)
    means = np.bincount(code, value) / sizes
    between = float(sizes @ (means - value.mean()) ** 2) / (k - 1)
    within = float(((value - means[code]) ** 2).sum()) / (n - k)
    size = (n - float(sizes @ sizes) / n) / (k - 1)
    low, high = _limits(between, within, size, (k - 1, n - k), level)
    row = {
        "estimate": _correlation(between / within if within else np.inf, size),
        "conf_low": low,
        "conf_high": high,
        "conf_level": level,
        "mean": float(value.mean()),
        "sd": float(value.std(ddof=1)),
        "n": n,
        "n_clusters": k,
        "cluster_size": n / k,
        "cluster_cv": float(sizes.std(ddof=1) / sizes.mean()),
        "n_missing": len(table) - n,
    }
    return pd.DataFrame([row])


def _correlation(ratio: float, size: float) -> float:
    return 1.0 if np.isinf(ratio) else float((ratio - 1) / (ratio + size - 1))


def _limits(
    between: float, within: float, size: float, df: tuple[int, int], level: float
) -> tuple[float, float]:
    if not within:
        return float("nan"), float("nan")
    ratio, tail = between / within, (1 - level) / 2
    low = ratio / float(fisher.isf(tail, *df))
    high = ratio / float(fisher.ppf(tail, *df))
    return _correlation(low, size), _correlation(high, size)


def _faults(table: pd.DataFrame, outcome: str, cluster: str) -> list[Fault]:
    faults, values, n = [], table[outcome], len(table)
    if not pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        words = f"{outcome} is {values.dtype}, not a number"
        return [Fault("data", outcome, n, words, "convert it first")]
    numbers = values.dropna().to_numpy(float)
    infinite = int(np.count_nonzero(np.isinf(numbers)))
    if infinite:
        words = f"{outcome} is infinite in {infinite:,} of {n:,} rows"
        return [Fault("data", outcome, infinite, words, "correct these rows")]
    if sized := size_fault(numbers, outcome):
        return [sized]
    missing = int(table[cluster].isna().sum())
    if missing:
        words = f"{cluster} is missing in {missing:,} of {n:,} rows"
        return [Fault("data", cluster, missing, words, "name the clinic of every row")]
    known = table[values.notna()]
    sizes = known[cluster].value_counts()
    if len(sizes[sizes > 0]) < 2:
        words = f"{cluster} names fewer than two clusters with a known {outcome}"
        faults.append(Fault("data", cluster, len(sizes), words, "give patients of several clinics"))
    elif sizes.max() < 2:
        words = f"no two patients share a {cluster}, so that nothing varies within one"
        faults.append(Fault("data", cluster, 1, words, "give more patients a clinic"))
    elif known[outcome].nunique() < 2:
        words = f"{outcome} is the same in every row"
        faults.append(Fault("data", outcome, len(known), words, "choose an outcome that varies"))
    return faults
