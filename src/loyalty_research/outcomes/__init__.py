"""What happened to care, health and experience: one outcome a patient, site-period or episode."""

from loyalty_research.outcomes.series_by_period import series_by_period
from loyalty_research.outcomes.site_periods import derive_site_periods

__all__ = [  # noqa: RUF022 - the order of the flow
    "series_by_period",
    "derive_site_periods",
]
