"""What readers see: disclosure control, printed tables, figures; the only room that draws."""

from loyalty_research.display.baseline import baseline_table, summarise_baseline
from loyalty_research.display.disclosure import (
    count_suppressed,
    suppress_curve,
    suppress_small_counts,
)
from loyalty_research.display.figures_cohort import plot_attrition, plot_coverage
from loyalty_research.display.figures_retention import plot_lapse_windows, plot_retention_curve
from loyalty_research.display.figures_triangle import plot_triangle
from loyalty_research.display.lookup import curve_at, curve_steps
from loyalty_research.display.sentences import (
    attrition_sentence,
    lapse_window_sentence,
    retention_sentence,
)
from loyalty_research.display.shown import show_figure, show_finding, show_table
from loyalty_research.display.tables import quantile_table, retention_table, triangle_table
from loyalty_research.display.tables_cohort import attrition_table, checks_table, facts_table
from loyalty_research.display.worded import WordedTable, word_table

__all__ = [
    "WordedTable",
    "attrition_sentence",
    "attrition_table",
    "baseline_table",
    "checks_table",
    "count_suppressed",
    "curve_at",
    "curve_steps",
    "facts_table",
    "lapse_window_sentence",
    "plot_attrition",
    "plot_coverage",
    "plot_lapse_windows",
    "plot_retention_curve",
    "plot_triangle",
    "quantile_table",
    "retention_sentence",
    "retention_table",
    "show_figure",
    "show_finding",
    "show_table",
    "summarise_baseline",
    "suppress_curve",
    "suppress_small_counts",
    "triangle_table",
    "word_table",
]
