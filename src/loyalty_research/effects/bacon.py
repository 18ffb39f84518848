"""What a two-way fixed effects coefficient is made of when units start at different times.

Goodman-Bacon, J Econometrics 2021;225:254: it is the weighted mean of all comparisons of two groups
before and after one of them starts. Some of them take units already treated for controls, and so
take a growing effect of these for a trend.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from loyalty_research.data.frames import raise_faults
from loyalty_research.effects.panel import Panel, open_panel
from loyalty_research.errors import Fault

NEVER = "treated against never treated"
EARLIER = "earlier against later"
LATER = "later against earlier"
ALWAYS = "treated against always treated"
KINDS = (NEVER, EARLIER, LATER, ALWAYS)


class _Pair(NamedTuple):
    kind: str
    cohort: int
    control: int
    estimate: float
    weight: float


def bacon_decomposition(
    panel: Any, *, outcome: str, unit: str, period: str, first_treated: str
) -> pd.DataFrame:
    """Return the comparisons that a two-way fixed effects coefficient averages, with their weights.

    Args:
        panel: One row a unit and period, every unit in every period. Any frame.
        outcome: Column of the outcome, a number.
        unit: Column that names the unit.
        period: Column of the period: a whole number or a date.
        first_treated: Column with the unit's first treated period; missing = never treated. Units
            treated throughout are allowed.

    Returns:
        `comparison, cohort, control_cohort, estimate, weight, is_clean`: one row a pair of groups;
        `control_cohort` is missing for units never treated; `is_clean` is False where the controls
        had started already. Weights sum to 1, and the weighted sum of the estimates is the
        coefficient of treatment in a regression with effects of units and periods.

    Raises:
        DataError: A panel that is not complete, or nobody treated or to compare with; all faults
            at once.

    Examples:
        >>> table = pd.DataFrame({"clinic": list("aaabbb"), "month": [1, 2, 3] * 2,
        ...     "start": [2] * 3 + [3] * 3, "rate": [1.0, 4.0, 6.0, 1.0, 1.0, 3.0]})
        >>> found = bacon_decomposition(table, outcome="rate", unit="clinic", period="month",
        ...     first_treated="start")
        >>> found[["estimate", "weight", "is_clean"]].round(6).to_dict("list")
        {'estimate': [3.0, 0.0], 'weight': [0.5, 0.5], 'is_clean': [True, False]}
    """
    opened = open_panel(
        panel, outcome=outcome, unit=unit, period=period, first_treated=first_treated,
        control="not_yet", may_start_treated=True,
    )  # fmt: skip
    pairs = bacon_pairs(opened)
    if not pairs:
        words = f"no unit starts within the periods: {first_treated} is the first period or missing"
        raise_faults([Fault("panel", first_treated, 0, words, "add periods before the start")])
    labels = opened.periods.convert_dtypes()
    never = opened.n_periods

    def label(positions: list[int]) -> pd.Series:
        return labels.reindex([-1 if at == never else at for at in positions])

    return pd.DataFrame(
        {
            "comparison": [pair.kind for pair in pairs],
            "cohort": label([pair.cohort for pair in pairs]).to_numpy(),
            "control_cohort": label([pair.control for pair in pairs]).array,
            "estimate": [pair.estimate for pair in pairs],
            "weight": [pair.weight for pair in pairs],
            "is_clean": [pair.kind in (NEVER, EARLIER) for pair in pairs],
        }
    )


def bacon_pairs(panel: Panel) -> list[_Pair]:
    """Return every comparison of two groups with its share of the coefficient.

    Args:
        panel: The opened panel, in which units may be treated throughout.

    Returns:
        Kind, positions of both groups' starts, estimate and weight; weights sum to 1.

    Examples:
        >>> table = pd.DataFrame({"clinic": list("aabb"), "month": [1, 2, 1, 2],
        ...     "rate": [5.0, 7.0, 4.0, 5.0], "start": [2, 2, None, None]})
        >>> panel = open_panel(table, outcome="rate", unit="clinic", period="month",
        ...     first_treated="start")
        >>> [(pair.estimate, pair.weight) for pair in bacon_pairs(panel)]
        [(1.0, 1.0)]
    """
    starts, group = np.unique(panel.start, return_inverse=True)
    size = np.bincount(group).astype(float)
    total = np.zeros((len(starts), panel.n_periods))
    np.add.at(total, group, panel.outcome)
    mean = total / size[:, None]
    pairs = [pair for pair in _pairs(starts, size, mean, panel.n_periods) if pair.weight > 0]
    whole = sum(pair.weight for pair in pairs)
    order = {kind: i for i, kind in enumerate(KINDS)}
    ordered = sorted(pairs, key=lambda pair: (order[pair.kind], pair.cohort, pair.control))
    return [pair._replace(weight=pair.weight / whole) for pair in ordered]


def _pairs(
    starts: np.ndarray, size: np.ndarray, mean: np.ndarray, n_periods: int
) -> Iterator[_Pair]:
    """Yield the comparisons of each two groups; weights up to a common factor."""
    share = (n_periods - starts) / n_periods
    for a in range(len(starts)):
        for b in range(a + 1, len(starts)):
            # Group a starts before group b. Its periods before b starts, and b's after a has.
            first, second = int(starts[a]), int(starts[b])
            product = size[a] * size[b]
            rise = mean[a] - mean[b]
            if first > 0:
                kind = NEVER if second == n_periods else EARLIER
                weight = product * (share[a] - share[b]) * (1 - share[a])
                estimate = rise[first:second].mean() - rise[:first].mean()
                yield _Pair(kind, first, second, float(estimate), float(weight))
            if second < n_periods:
                kind = ALWAYS if first == 0 else LATER
                weight = product * share[b] * (share[a] - share[b])
                estimate = rise[first:second].mean() - rise[second:].mean()
                yield _Pair(kind, second, first, float(estimate), float(weight))


def unclean_share(panel: Panel) -> float:
    """Return the weight of comparisons with units that were treated already.

    Args:
        panel: The opened panel.

    Returns:
        From 0 to 1.

    Examples:
        >>> table = pd.DataFrame({"clinic": list("aaabbb"), "month": [1, 2, 3] * 2,
        ...     "start": [2] * 3 + [3] * 3, "rate": [1.0, 4.0, 6.0, 1.0, 1.0, 3.0]})
        >>> unclean_share(open_panel(table, outcome="rate", unit="clinic", period="month",
        ...     first_treated="start", control="not_yet"))
        0.5
    """
    return sum(pair.weight for pair in bacon_pairs(panel) if pair.kind in (LATER, ALWAYS))
