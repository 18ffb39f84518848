"""Group-time effects gathered into few numbers, with the influence of each unit on them.

Cohorts weigh by their number of units. The shares of cohorts are estimated too, and their part of
the variance is counted (Callaway and Sant'Anna, J Econometrics 2021;225:200, section 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from loyalty_research.effects.group_time import Cells
from loyalty_research.effects.panel import Panel

KINDS = ("simple", "dynamic", "group", "calendar")


@dataclass(frozen=True)
class Part:
    """One aggregated effect.

    Attributes:
        term: Which aggregation it belongs to.
        estimate: The effect.
        influence: One a unit; the sum of squares over the squared number of units is the variance.
        n: Units compared.
        cohort: Position of the cohort's first treated period; None over all.
        period: Position of the period; None over all.
        event_time: Periods since the start; None over all.
    """

    term: str
    estimate: float
    influence: np.ndarray
    n: int
    cohort: int | None = None
    period: int | None = None
    event_time: int | None = None

    @property
    def is_overall(self) -> bool:
        """Whether it is over all cohorts and periods."""
        return self.cohort is None and self.period is None and self.event_time is None


def aggregate(panel: Panel, cells: Cells, kind: str) -> list[Part]:
    """Return an aggregation: its overall effect, then the details.

    Args:
        panel: The opened panel.
        cells: Its group-time effects.
        kind: "simple", every treated unit and period counting alike; "dynamic", by periods since
            the start; "group", by cohort; "calendar", by period.

    Returns:
        The overall effect first. Details of "dynamic" hold the time before the start too.

    Examples:
        >>> import pandas as pd
        >>> from loyalty_research.effects.group_time import group_time_cells
        >>> from loyalty_research.effects.panel import open_panel
        >>> table = pd.DataFrame({"clinic": list("aabb"), "month": [1, 2, 1, 2],
        ...     "rate": [5.0, 7.0, 4.0, 5.0], "start": [2, 2, None, None]})
        >>> panel = open_panel(table, outcome="rate", unit="clinic", period="month",
        ...     first_treated="start")
        >>> cells = group_time_cells(panel, control="never")
        >>> [part.estimate for part in aggregate(panel, cells, "dynamic")]
        [1.0, 1.0]
    """
    after = cells.event_time >= 0
    if kind == "simple":
        return [mean_of_cells(panel, cells, after, kind)]
    name = {"dynamic": "event_time", "group": "cohort", "calendar": "period"}[kind]
    key: np.ndarray = getattr(cells, name)
    shown = np.ones_like(after) if kind == "dynamic" else after
    details = [
        mean_of_cells(panel, cells, (key == at) & shown, kind, **{name: int(at)})
        for at in np.unique(key[shown])
    ]
    counted = [part for part in details if part.event_time is None or part.event_time >= 0]
    return [_overall(panel, counted, kind), *details]


def cell_parts(cells: Cells) -> list[Part]:
    """Return every cell as a part, in their order.

    Args:
        cells: The group-time effects.

    Returns:
        Parts of the term "group_time".

    Examples:
        >>> one = np.ones(1, int)
        >>> cells = Cells(one, one, np.ones(1), np.ones((2, 1)), np.ones((2, 1), bool), one, 0, 0)
        >>> cell_parts(cells)[0].event_time
        0
    """
    columns = zip(
        cells.estimate, cells.influence.T, cells.used.sum(axis=0), cells.cohort, cells.period,
        cells.event_time, strict=True,
    )  # fmt: skip
    return [
        Part("group_time", float(estimate), influence, int(n), int(cohort), int(period), int(since))
        for estimate, influence, n, cohort, period, since in columns
    ]


def by_cluster(panel: Panel, influence: np.ndarray) -> np.ndarray:
    """Return influences summed over the units of each cluster, and divided by the units.

    Args:
        panel: The opened panel.
        influence: A row a unit, a column an estimate.

    Returns:
        A row a cluster; the sum of squares of a column is the variance of its estimate.

    Examples:
        >>> import pandas as pd
        >>> from loyalty_research.effects.panel import open_panel
        >>> table = pd.DataFrame({"clinic": list("aabb"), "month": [1, 2, 1, 2],
        ...     "rate": [5.0, 7.0, 4.0, 5.0], "start": [2, 2, None, None]})
        >>> panel = open_panel(table, outcome="rate", unit="clinic", period="month",
        ...     first_treated="start")
        >>> by_cluster(panel, np.array([[4.0], [-2.0]])).tolist()
        [[2.0], [-1.0]]
    """
    if panel.n_clusters == panel.n_units:
        return influence / panel.n_units
    order = np.argsort(panel.cluster, kind="stable")
    starts = np.flatnonzero(np.diff(panel.cluster[order], prepend=-1))
    return np.add.reduceat(influence[order], starts, axis=0) / panel.n_units


def mean_of_cells(panel: Panel, cells: Cells, chosen: np.ndarray, term: str, **place: int) -> Part:
    """Return the mean of some cells, each weighing as its cohort has units.

    Args:
        panel: The opened panel.
        cells: Its group-time effects.
        chosen: Which cells, at least one.
        term: What the mean is called.
        **place: The cohort, period or event time that it is of.

    Returns:
        The mean, with the influence through the cells and through the shares of cohorts.

    Examples:
        >>> import pandas as pd
        >>> from loyalty_research.effects.group_time import group_time_cells
        >>> from loyalty_research.effects.panel import open_panel
        >>> table = pd.DataFrame({"clinic": list("aabb"), "month": [1, 2, 1, 2],
        ...     "rate": [5.0, 7.0, 4.0, 5.0], "start": [2, 2, None, None]})
        >>> panel = open_panel(table, outcome="rate", unit="clinic", period="month",
        ...     first_treated="start")
        >>> cells = group_time_cells(panel, control="never")
        >>> mean_of_cells(panel, cells, np.array([True]), "simple").estimate
        1.0
    """
    cohort, estimate = cells.cohort[chosen], cells.estimate[chosen]
    share = _shares(panel)[cohort]
    weight = share / share.sum()
    mean = float(weight @ estimate)
    influence = cells.influence[:, chosen] @ weight
    influence += _of_shares(panel, cohort, estimate - mean, float(share.sum()))
    n = int(cells.used[:, chosen].any(axis=1).sum())
    return Part(term, mean, influence, n, **place)


def _overall(panel: Panel, details: Sequence[Part], kind: str) -> Part:
    estimate = np.array([part.estimate for part in details])
    influence = np.column_stack([part.influence for part in details])
    n = max(part.n for part in details)
    if kind != "group":
        return Part(kind, float(estimate.mean()), influence.mean(axis=1), n)
    cohort = np.array([part.cohort for part in details], np.int64)
    share = _shares(panel)[cohort]
    mean = float(share @ estimate / share.sum())
    total = influence @ (share / share.sum())
    total += _of_shares(panel, cohort, estimate - mean, float(share.sum()))
    return Part(kind, mean, total, panel.n_units)


def _shares(panel: Panel) -> np.ndarray:
    return np.bincount(panel.start, minlength=panel.n_periods + 1) / panel.n_units


def _of_shares(panel: Panel, cohort: np.ndarray, away: np.ndarray, total: float) -> np.ndarray:
    """Return the influence through the estimated shares of cohorts.

    The derivative of sum(p_c e_c) / sum(p_c) by p_c is (e_c - mean) / sum(p_c); what is constant
    over units cancels, because the shares weigh these to 0.
    """
    by_cohort = np.bincount(cohort, weights=away, minlength=panel.n_periods + 1)
    return by_cohort[panel.start] / total
