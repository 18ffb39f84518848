"""Loyalty Research: does a programme keep patients coming back and do them good?

The names below are the public ones, in the order of the data's way.
"""

from loyalty_research.cohort import (
    aged_between,
    apply_criteria,
    assign_arms,
    col,
    derive_baseline,
    derive_groups,
    derive_index_dates,
    entered_between,
    known,
    looked_back_for,
    observable_for,
    present_at_index,
    trim_to_follow_up,
    trim_to_site,
)
from loyalty_research.data.coverage import count_visits_by_month
from loyalty_research.data.examples import load_example, write_example
from loyalty_research.data.simulate import SimulatedStudy, simulate_study
from loyalty_research.data.study import Study, open_study, validate
from loyalty_research.data.write import write_study
from loyalty_research.display import (
    attrition_sentence,
    attrition_table,
    baseline_table,
    checks_table,
    curve_at,
    curve_steps,
    facts_table,
    lapse_window_sentence,
    plot_attrition,
    plot_coverage,
    plot_lapse_windows,
    plot_retention_curve,
    plot_triangle,
    quantile_table,
    retention_sentence,
    retention_table,
    show_figure,
    show_finding,
    show_table,
    suppress_curve,
    suppress_small_counts,
    triangle_table,
    word_table,
)
from loyalty_research.retention import (
    check_lapse_windows,
    derive_lapse_dates,
    derive_retention_times,
    derive_time_to_event,
    kaplan_meier,
    quantile_time,
    retention_by_window,
    retention_triangle,
    risk_sets,
)

__version__ = "0.1.0"

__all__ = [  # noqa: RUF022 - the order of the flow
    # data
    "Study",
    "open_study",
    "validate",
    "SimulatedStudy",
    "simulate_study",
    "write_study",
    "load_example",
    "write_example",
    "count_visits_by_month",
    # cohort
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
    "derive_baseline",
    "derive_groups",
    # retention
    "derive_lapse_dates",
    "derive_time_to_event",
    "derive_retention_times",
    "retention_triangle",
    "risk_sets",
    "kaplan_meier",
    "quantile_time",
    "retention_by_window",
    "check_lapse_windows",
    # display
    "suppress_small_counts",
    "suppress_curve",
    "curve_at",
    "curve_steps",
    "attrition_table",
    "attrition_sentence",
    "baseline_table",
    "checks_table",
    "facts_table",
    "retention_table",
    "retention_sentence",
    "quantile_table",
    "triangle_table",
    "lapse_window_sentence",
    "word_table",
    "plot_attrition",
    "plot_coverage",
    "plot_triangle",
    "plot_retention_curve",
    "plot_lapse_windows",
    "show_table",
    "show_figure",
    "show_finding",
    # reports
    "run_report",
    "run_batch",
]


def __getattr__(name: str) -> object:
    # The runner brings papermill and Jupyter with it; a notebook that computes needs neither.
    if name in ("run_report", "run_batch"):
        from loyalty_research.reports import batch, run

        return run.run_report if name == "run_report" else batch.run_batch
    raise AttributeError(f"module 'loyalty_research' has no attribute {name!r}")
