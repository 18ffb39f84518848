"""Who is studied, from which day, until when: one row a patient."""

from loyalty_research.cohort.arms import assign_arms
from loyalty_research.cohort.baseline import derive_baseline
from loyalty_research.cohort.criteria import (
    aged_between,
    apply_criteria,
    col,
    entered_between,
    known,
    looked_back_for,
    observable_for,
    present_at_index,
)
from loyalty_research.cohort.exposure import derive_exposure
from loyalty_research.cohort.groups import derive_groups
from loyalty_research.cohort.index_dates import derive_index_dates
from loyalty_research.cohort.trims import trim_to_follow_up, trim_to_site

__all__ = [  # noqa: RUF022 - the order of the flow
    "trim_to_site",
    "trim_to_follow_up",
    "derive_index_dates",
    "apply_criteria",
    "col",
    "known",
    "entered_between",
    "observable_for",
    "looked_back_for",
    "aged_between",
    "present_at_index",
    "assign_arms",
    "derive_exposure",
    "derive_baseline",
    "derive_groups",
]
