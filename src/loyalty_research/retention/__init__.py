"""How long patients stay, how often they return."""

from loyalty_research.retention.curves import kaplan_meier, quantile_time
from loyalty_research.retention.lapse import derive_lapse_dates
from loyalty_research.retention.risk_sets import risk_sets
from loyalty_research.retention.time_to_event import derive_time_to_event
from loyalty_research.retention.triangle import retention_triangle
from loyalty_research.retention.windows import (
    check_lapse_windows,
    derive_retention_times,
    retention_by_window,
)

__all__ = [  # noqa: RUF022 - the order of the flow
    "retention_triangle",
    "derive_lapse_dates",
    "derive_time_to_event",
    "derive_retention_times",
    "risk_sets",
    "kaplan_meier",
    "quantile_time",
    "retention_by_window",
    "check_lapse_windows",
]
