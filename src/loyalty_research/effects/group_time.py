"""Group-time effects: each cohort of first treatment in each period, against units not treated.

Callaway and Sant'Anna, J Econometrics 2021;225:200. Every effect is a change since the last period
before the cohort's treatment, before and after alike ("universal base"), so that effects before
treatment show how trends differed and can be drawn in one line with those after.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from loyalty_research.effects.change import Change, doubly_robust_change, mean_change
from loyalty_research.effects.panel import Panel


@dataclass(frozen=True)
class Cells:
    """Effects of cohorts in periods.

    Attributes:
        cohort: Position of the cohort's first treated period, one a cell.
        period: Position of the cell's period.
        estimate: One a cell.
        influence: A row a unit, a column a cell; the sum of squares over the squared number of
            units is the variance.
        used: Whether the unit is compared, a row a unit, a column a cell.
        treated_mean: The outcome of treated units in the period.
        n_trimmed: Controls left out for a chance of treatment near 1, summed over cohorts.
        n_without: Cells that nobody is left to compare with.
    """

    cohort: np.ndarray
    period: np.ndarray
    estimate: np.ndarray
    influence: np.ndarray
    used: np.ndarray
    treated_mean: np.ndarray
    n_trimmed: int
    n_without: int

    @property
    def event_time(self) -> np.ndarray:
        """Periods since the cohort's first treated period, one a cell."""
        return self.period - self.cohort


def group_time_cells(panel: Panel, *, control: str) -> Cells:
    """Return the effect of every cohort in every period that has controls.

    The cell of a cohort's last period before treatment is left out, being 0 by definition.

    Args:
        panel: The opened panel.
        control: "never" treated, or "not_yet" treated by the period as well.

    Returns:
        The cells, cohort by cohort.

    Raises:
        DataError: Too few controls for so many covariates.
        SeparationError: Covariates tell a cohort from its controls.

    Examples:
        >>> import pandas as pd
        >>> from loyalty_research.effects.panel import open_panel
        >>> table = pd.DataFrame({"clinic": list("aabb"), "month": [1, 2, 1, 2],
        ...     "rate": [5.0, 7.0, 4.0, 5.0], "start": [2, 2, None, None]})
        >>> panel = open_panel(table, outcome="rate", unit="clinic", period="month",
        ...     first_treated="start")
        >>> group_time_cells(panel, control="never").estimate.tolist()
        [1.0]
    """
    found, without = [], 0
    for cohort in panel.cohorts:
        for periods, is_control in _blocks(panel, int(cohort), control):
            if is_control.any():
                found.append(_block_cells(panel, int(cohort), periods, is_control))
            else:
                without += len(periods)
    # Cohorts, and the periods of each, come in their order. Trimming is that of the cohort.
    trimmed = {int(one.cohort[0]): one.n_trimmed for one in found}
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(one, name) for one in found], axis=-1)
        for name in ("cohort", "period", "estimate", "influence", "used", "treated_mean")
    }
    return Cells(**columns, n_trimmed=sum(trimmed.values()), n_without=without)


def _block_cells(panel: Panel, cohort: int, periods: np.ndarray, is_control: np.ndarray) -> Cells:
    """Return the cells of a cohort in periods with the same controls."""
    change = panel.outcome[:, periods] - panel.outcome[:, [cohort - 1]]
    found = compare(panel, change, cohort, is_control, base=cohort - 1)
    treated = panel.start == cohort
    used = np.repeat((is_control | treated)[:, None], len(periods), axis=1)
    mean = panel.outcome[treated][:, periods].mean(axis=0)
    return Cells(
        np.full(len(periods), cohort), periods, found.estimate, found.influence, used, mean,
        found.n_trimmed, 0,
    )  # fmt: skip


def compare(
    panel: Panel, change: np.ndarray, cohort: int, is_control: np.ndarray, *, base: int
) -> Change:
    """Return the changes of a cohort beside those of its controls.

    Args:
        panel: The opened panel.
        change: A row a unit of the panel, a column a change.
        cohort: Position of the cohort's first treated period.
        is_control: Which units are controls.
        base: Position of the period from which covariates are taken.

    Returns:
        Estimates with influences for all units of the panel.

    Examples:
        >>> import pandas as pd
        >>> from loyalty_research.effects.panel import open_panel
        >>> table = pd.DataFrame({"clinic": list("aabb"), "month": [1, 2, 1, 2],
        ...     "rate": [5.0, 7.0, 4.0, 5.0], "start": [2, 2, None, None]})
        >>> panel = open_panel(table, outcome="rate", unit="clinic", period="month",
        ...     first_treated="start")
        >>> change = panel.outcome[:, [1]] - panel.outcome[:, [0]]
        >>> compare(panel, change, 1, panel.start == 2, base=0).estimate.tolist()
        [1.0]
    """
    used = (panel.start == cohort) | is_control
    treated = (panel.start == cohort)[used]
    if panel.x is None or panel.design is None:
        found = mean_change(change[used], treated)
    else:
        found = doubly_robust_change(
            change[used], treated, panel.x[used, base], terms=panel.design.terms,
            cohort=f"units first treated in {panel.periods[cohort]}",
        )  # fmt: skip
    influence = np.zeros((panel.n_units, change.shape[1]))
    influence[used] = found.influence * (panel.n_units / used.sum())
    return Change(found.estimate, influence, found.n_trimmed)


def controls_at(panel: Panel, *, control: str, cohort: int, period: int) -> np.ndarray:
    """Return which units are controls of a cohort in a period.

    Args:
        panel: The opened panel.
        control: "never" or "not_yet".
        cohort: Position of the cohort's first treated period.
        period: Position of the period.

    Returns:
        True for units never treated, or not yet treated by the period and by the cohort's last
        period before treatment.

    Examples:
        >>> import pandas as pd
        >>> from loyalty_research.effects.panel import open_panel
        >>> table = pd.DataFrame({"clinic": list("aabb"), "month": [1, 2, 1, 2],
        ...     "rate": [5.0, 7.0, 4.0, 5.0], "start": [2, 2, None, None]})
        >>> panel = open_panel(table, outcome="rate", unit="clinic", period="month",
        ...     first_treated="start")
        >>> controls_at(panel, control="never", cohort=1, period=1).tolist()
        [False, True]
    """
    if control == "never":
        return panel.start == panel.n_periods
    return (panel.start > max(period, cohort - 1)) & (panel.start != cohort)


def _blocks(panel: Panel, cohort: int, control: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the periods of a cohort, those with the same controls together."""
    periods = np.delete(np.arange(panel.n_periods), cohort - 1)
    if control == "never":
        return [(periods, controls_at(panel, control=control, cohort=cohort, period=0))]
    # Controls change only when a later cohort starts.
    limit = np.maximum(periods, cohort - 1)
    key = np.searchsorted(panel.cohorts[panel.cohorts != cohort], limit, side="right")
    return [
        (part, controls_at(panel, control=control, cohort=cohort, period=int(part[0])))
        for part in (periods[key == value] for value in np.unique(key))
    ]
