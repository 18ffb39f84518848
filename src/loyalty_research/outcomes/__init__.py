"""What happened to care, health and experience: one outcome a patient, site-period or episode."""

from loyalty_research.outcomes.site_periods import derive_site_periods

__all__ = ["derive_site_periods"]
