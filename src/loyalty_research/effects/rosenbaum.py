"""How far from a lottery within pairs assignment may have been before a finding is lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binom, norm, rankdata

from loyalty_research.data.arguments import check_choice
from loyalty_research.data.frames import missing_columns, raise_faults
from loyalty_research.effects.arms import size_fault
from loyalty_research.errors import Fault, UsageError
from loyalty_research.retention.rows import take_columns

TESTS = ("signed rank", "sign")
ALTERNATIVES = ("greater", "less")
_MOST_EXACT = 200
"""Pairs up to which the distribution of the signed ranks is counted out."""


def rosenbaum_bounds(
    data: Any,
    *,
    treated: str,
    control: str,
    gammas: Sequence[float] = (1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0),
    test: str = "signed rank",
    alternative: str = "greater",
    exact: bool | None = None,
) -> pd.DataFrame:
    """Return how large and how small a p-value of matched pairs can be under hidden bias.

    Two patients who look alike may differ in their odds of being in the programme by a factor of
    up to Gamma. The programme's patient then has the larger outcome with a probability between
    1 / (1 + Gamma) and Gamma / (1 + Gamma) where there is no effect (Rosenbaum, Observational
    Studies, 2nd ed. 2002, chapter 4).

    Args:
        data: One row a matched pair. pandas, Polars, Arrow, DuckDB or Spark.
        treated: Column with the outcome of the pair's patient in the programme.
        control: Column with the outcome of the other.
        gammas: Factors of the odds, from 1.
        test: "signed rank" (Wilcoxon) or "sign", which is McNemar's test for yes and no.
        alternative: "greater" or "less": how outcomes in the programme are meant to be.
        exact: Whether the distribution is counted out; None for up to 200 pairs. Otherwise the
            normal approximation without continuity correction. The sign test is always exact.

    Returns:
        `gamma, p_low, p_high, statistic, n_pairs, n_equal, method`, one row a Gamma; p-values are
        one-sided. Pairs that are equal take the lowest ranks and add nothing. The finding stands
        up to the last Gamma at which `p_high` is small.

    Raises:
        UsageError: An unknown test or alternative, or a Gamma below 1.
        DataError: Columns or values missing or no numbers, or no pair that differs.

    Examples:
        >>> pairs = pd.DataFrame({"with_it": [5, 6, 7, 4, 9], "without": [3, 3, 3, 5, 4]})
        >>> table = rosenbaum_bounds(pairs, treated="with_it", control="without", gammas=[1, 2])
        >>> table[["gamma", "p_low", "p_high", "statistic"]].round(4)
           gamma   p_low  p_high  statistic
        0    1.0  0.0625  0.0625       14.0
        1    2.0  0.0123  0.1975       14.0
    """
    check_choice(test, TESTS, name="test")
    check_choice(alternative, ALTERNATIVES, name="alternative")
    factors = np.asarray(list(gammas), float)
    if not len(factors) or not (np.isfinite(factors) & (factors >= 1)).all():
        raise UsageError("gammas are factors of the odds, each a number from 1")
    gap = _differences(data, treated, control)
    # As Rosenbaum ranks: equal pairs take the lowest ranks, and then add nothing.
    score = rankdata(np.abs(gap)) if test == "signed rank" else np.ones(len(gap))
    score = score[gap != 0]
    differs = gap[gap != 0] * (1 if alternative == "greater" else -1)
    statistic = float(score[differs > 0].sum())
    counted = test == "sign" or (len(differs) <= _MOST_EXACT if exact is None else exact)
    share = factors / (1 + factors)
    tail = _tail(score, statistic, counted, is_sign=test == "sign")
    words = f"{test}, " + ("exact" if counted else "normal approximation")
    return pd.DataFrame(
        {
            "gamma": factors,
            "p_low": [tail(1 - p) for p in share],
            "p_high": [tail(p) for p in share],
            "statistic": statistic,
            "n_pairs": len(gap),
            "n_equal": len(gap) - len(differs),
            "method": words,
        }
    )


def _tail(
    score: np.ndarray, statistic: float, counted: bool, *, is_sign: bool
) -> Callable[[float], float]:
    """Return what gives the chance of so large a statistic from the chance of each sign."""
    if is_sign:
        return lambda p: float(binom.sf(statistic - 1, len(score), p))
    if not counted:
        total, squares = score.sum(), (score**2).sum()
        return lambda p: float(norm.sf((statistic - p * total) / np.sqrt(p * (1 - p) * squares)))
    # Ranks of ties are halves; doubled, all are whole.
    doubled = np.rint(2 * score).astype(int)
    at = round(2 * statistic)
    return lambda p: float(_distribution(doubled, p)[at:].sum())


def _distribution(steps: np.ndarray, p: float) -> np.ndarray:
    """Return the distribution of a sum of steps, each taken with probability p."""
    found = np.zeros(int(steps.sum()) + 1)
    found[0] = 1.0
    for step in steps:
        moved = found * (1 - p)
        moved[step:] += found[: len(found) - step] * p
        found = moved
    return found


def _differences(data: Any, treated: str, control: str) -> np.ndarray:
    columns = [treated, control]
    if treated == control:
        raise UsageError("treated and control name the same column; a pair has two outcomes")
    raise_faults(missing_columns(data, columns, table="data"))
    table = take_columns(data, columns)
    faults = []
    for name in columns:
        values = table[name]
        if not pd.api.types.is_numeric_dtype(values):
            faults.append(Fault("data", name, 0, f"{name} is {values.dtype}, not a number",
                                "convert it first"))  # fmt: skip
            continue
        odd = int((~np.isfinite(values.to_numpy(float, na_value=np.nan))).sum())
        if odd:
            words = f"{name} is missing or infinite in {odd:,} of {len(table):,} pairs"
            faults.append(Fault("data", name, odd, words, "drop these pairs, saying how many"))
        elif sized := size_fault(values.to_numpy(float), name):
            faults.append(sized)
    if table.empty:
        faults.append(Fault("data", "", 0, "the table has no rows", "give one row a pair"))
    raise_faults(faults)
    gap = table[treated].to_numpy(float) - table[control].to_numpy(float)
    if not (gap != 0).any():
        words = f"{treated} and {control} are equal in all {len(gap):,} pairs"
        raise_faults([Fault("data", treated, len(gap), words, "there is no difference to test")])
    return np.asarray(gap)
