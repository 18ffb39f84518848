"""P-values of several questions, so that one of them is not answered by chance."""

from __future__ import annotations

import numpy as np
import pandas as pd

from loyalty_research.data.arguments import check_choice
from loyalty_research.data.frames import missing_columns, raise_faults
from loyalty_research.errors import UsageError

METHODS = ("holm", "bh")


def adjust_p_values(
    table: pd.DataFrame, *, method: str = "holm", primary: str | None = None, name: str = "term"
) -> pd.DataFrame:
    """Return a table of estimates with p-values that allow for how many there are.

    Holm (Scand J Stat 1979;6:65) keeps the chance of any false finding below the level. Benjamini
    and Hochberg (J R Stat Soc B 1995;57:289) keep the share of false among all findings below it.
    The primary question, named before the data were seen, is asked once: its p-value stays.

    Args:
        table: Estimates with a column `p_value`, a row a question; missing values stay missing and
            are not counted.
        method: "holm" or "bh".
        primary: What the primary question is called in the column `name`; None if there is none.
        name: Column that names the question.

    Returns:
        The rows with `p_adjusted`, `n_tests` (how many were allowed for) and `adjusted_by`.

    Raises:
        UsageError: An unknown method, or a primary question that is not there once.
        DataError: A column is missing.

    Examples:
        >>> table = pd.DataFrame({"term": ["a", "b", "c"], "p_value": [0.01, 0.04, 0.03]})
        >>> adjust_p_values(table)["p_adjusted"].round(4).tolist()
        [0.03, 0.06, 0.06]
        >>> adjust_p_values(table, method="bh", primary="b")["p_adjusted"].round(4).tolist()
        [0.02, 0.04, 0.03]
    """
    check_choice(method, METHODS, name="method")
    raise_faults(missing_columns(table, ["p_value", name], table="table"))
    first = np.zeros(len(table), bool) if primary is None else table[name].eq(primary).to_numpy()
    if primary is not None and first.sum() != 1:
        raise UsageError(f"primary={primary!r} names {int(first.sum())} rows of {name}, not one")
    p = table["p_value"].to_numpy(float)
    family = ~first & ~np.isnan(p)
    adjusted = p.copy()
    adjusted[family] = adjusted_p(p[family], method=method)
    words = {"holm": "Holm", "bh": "Benjamini-Hochberg"}[method]
    return table.assign(
        p_adjusted=adjusted, n_tests=np.where(family, int(family.sum()), 1),
        adjusted_by=np.where(first, "primary, not adjusted", words),
    )  # fmt: skip


def adjusted_p(p: np.ndarray, *, method: str) -> np.ndarray:
    """Return p-values adjusted for how many there are.

    Args:
        p: P-values, none missing.
        method: "holm" or "bh".

    Returns:
        One a p-value, in their order.

    Examples:
        >>> adjusted_p(np.array([0.01, 0.04, 0.03]), method="bh").round(4).tolist()
        [0.03, 0.04, 0.04]
    """
    n = len(p)
    order = np.argsort(p, kind="stable")
    rank = np.arange(1, n + 1)
    if method == "holm":
        stepped = np.maximum.accumulate(p[order] * (n - rank + 1))
    else:
        stepped = np.minimum.accumulate((p[order] * n / rank)[::-1])[::-1]
    found = np.empty(n)
    found[order] = np.minimum(stepped, 1.0)
    return found
