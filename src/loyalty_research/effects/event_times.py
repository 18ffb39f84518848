"""Effects by periods since the start, those before the start included, with their covariance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from loyalty_research.data.frames import raise_faults
from loyalty_research.effects.aggregation import Part, by_cluster
from loyalty_research.effects.panel import Panel
from loyalty_research.errors import Fault


@dataclass(frozen=True)
class EventTimes:
    """Effects by event time, without the reference -1.

    Attributes:
        event_time: Periods since the start, sorted; below -1 before it.
        estimate: One an event time.
        covariance: Of the estimates.
    """

    event_time: np.ndarray
    estimate: np.ndarray
    covariance: np.ndarray

    @property
    def before(self) -> np.ndarray:
        """Which event times lie before the start and have a standard error."""
        return (self.event_time < -1) & (np.diag(self.covariance) > 0)

    @property
    def after(self) -> np.ndarray:
        """Which event times lie at or after the start."""
        return self.event_time >= 0


def event_times(panel: Panel, dynamic: list[Part]) -> EventTimes:
    """Return the details of a dynamic aggregation with their covariance.

    Args:
        panel: The opened panel.
        dynamic: As `aggregate(..., "dynamic")` returns it.

    Returns:
        The event times.

    Examples:
        >>> import pandas as pd
        >>> from loyalty_research.effects.aggregation import aggregate
        >>> from loyalty_research.effects.group_time import group_time_cells
        >>> from loyalty_research.effects.panel import open_panel
        >>> table = pd.DataFrame({"clinic": list("aabb"), "month": [1, 2, 1, 2],
        ...     "rate": [5.0, 7.0, 4.0, 5.0], "start": [2, 2, None, None]})
        >>> panel = open_panel(table, outcome="rate", unit="clinic", period="month",
        ...     first_treated="start")
        >>> cells = group_time_cells(panel, control="never")
        >>> event_times(panel, aggregate(panel, cells, "dynamic")).event_time.tolist()
        [0]
    """
    details = [part for part in dynamic if not part.is_overall]
    influence = by_cluster(panel, np.column_stack([part.influence for part in details]))
    at = np.array([part.event_time for part in details], np.int64)
    estimate = np.array([part.estimate for part in details])
    return EventTimes(at, estimate, influence.T @ influence)


def refuse_no_leads(times: EventTimes, *, first_treated: str) -> None:
    """Refuse to look at trends before the start where one period stands before it.

    Args:
        times: The event times.
        first_treated: Column with the first treated period, for the message.

    Raises:
        DataError: No unit has two periods before its first treated one.

    Examples:
        >>> refuse_no_leads(EventTimes(np.array([-2, 0]), np.zeros(2), np.eye(2)),
        ...     first_treated="start")
    """
    if not times.before.any():
        words = (
            f"no unit has two periods before {first_treated}, so that no trend before it is seen"
        )
        raise_faults([Fault("panel", first_treated, 0, words, "add earlier periods")])
