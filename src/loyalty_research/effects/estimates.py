"""Rows of estimates with the fixed columns, from a value and its error."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any

import pandas as pd
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from loyalty_research.effects.effect import ESTIMATES

_LARGEST_LOG = math.log(sys.float_info.max)


def estimate_row(
    term: str,
    estimate: float,
    std_error: float,
    *,
    scale: str,
    method: str,
    n: int,
    n_events: int | None = None,
    df: float = math.inf,
    conf_level: float = 0.95,
    null: float = 0.0,
    **more: Any,
) -> dict[str, Any]:
    """Return a row of estimates with a symmetric interval.

    Args:
        term: What is estimated.
        estimate: The value.
        std_error: Its standard error.
        scale: In words, such as "risk difference" or "mmHg".
        method: In words, such as "linear model, HC2".
        n: Rows used.
        n_events: Events among them, or None.
        df: Degrees of freedom of Student's t; infinite for the normal.
        conf_level: Coverage of the interval.
        null: The value that means no effect.
        **more: The design's own columns, which stand behind `term`.

    Returns:
        Column -> value. Without a standard error there is no interval and no p-value.

    Examples:
        >>> row = estimate_row("x", 1.0, 0.5, scale="points", method="t", n=10, df=8)
        >>> round(row["conf_low"], 4), round(row["p_value"], 4)
        (-0.153, 0.0805)
    """
    known = std_error > 0 and df > 0
    half = p_value = math.nan
    if known:
        away, level = -abs(estimate - null) / std_error, (1 + conf_level) / 2
        normal = math.isinf(df)
        half = float(ndtri(level) if normal else stdtrit(df, level)) * std_error
        p_value = 2 * float(ndtr(away) if normal else stdtr(df, away))
    return {
        "term": term,
        **more,
        "estimate": float(estimate),
        "std_error": float(std_error) if known else math.nan,
        "conf_low": float(estimate) - half,
        "conf_high": float(estimate) + half,
        "conf_level": conf_level,
        "p_value": p_value,
        "n": n,
        "n_events": n_events,
        "scale": scale,
        "method": method,
    }


def ratio_row(term: str, log_ratio: float, std_error: float, **settings: Any) -> dict[str, Any]:
    """Return a row of a ratio, its interval built on the log scale.

    Args:
        term: What is estimated.
        log_ratio: The log of the ratio.
        std_error: The standard error of the log, which the row keeps.
        **settings: As for `estimate_row`.

    Returns:
        Column -> value, with estimate and limits on the ratio scale.

    Examples:
        >>> row = ratio_row("x", 0.0, 0.5, scale="risk ratio", method="log", n=10)
        >>> row["estimate"], round(row["conf_high"], 4)
        (1.0, 2.6644)
    """
    row = estimate_row(term, log_ratio, std_error, **settings)
    limits = ("estimate", "conf_low", "conf_high")
    return row | {name: _exp(row[name]) for name in limits}


def _exp(value: float) -> float:
    # An interval can be wider than the computer's numbers: it has no limit then.
    return math.exp(value) if not value > _LARGEST_LOG else math.inf


def estimates_table(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Return rows of estimates as a table with the fixed columns, counts as whole numbers.

    Args:
        rows: As `estimate_row` returns them, the headline first.

    Returns:
        The table.

    Examples:
        >>> table = estimates_table([estimate_row("x", 1.0, 0.5, scale="s", method="m", n=10)])
        >>> list(table)[:3], table["n"].item()
        (['term', 'estimate', 'std_error'], 10)
    """
    table = pd.DataFrame(rows)
    own = [name for name in table if name not in ESTIMATES]
    table = table[["term", *own, *ESTIMATES[1:]]]
    counts = {"n": table["n"].astype("int64"), "n_events": table["n_events"].astype("Int64")}
    numbers = {name: table[name].astype(float) for name in ESTIMATES[1:7]}
    return table.assign(**numbers, **counts)
