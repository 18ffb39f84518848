"""What readers see: disclosure control, printed tables, figures; the only room that draws."""

from loyalty_research.display.baseline import baseline_table, summarise_baseline
from loyalty_research.display.disclosure import (
    count_suppressed,
    suppress_curve,
    suppress_small_counts,
)
from loyalty_research.display.figures_causes import plot_cumulative_incidence
from loyalty_research.display.figures_cohort import plot_attrition, plot_coverage
from loyalty_research.display.figures_counts import plot_mean_count
from loyalty_research.display.figures_effects import (
    plot_balance,
    plot_effects,
    plot_event_study,
    plot_lines,
    plot_overlap,
    plot_roll_out,
    plot_series,
)
from loyalty_research.display.figures_models import (
    plot_adjusted_retention,
    plot_calibration,
    plot_forest,
    plot_parametric,
)
from loyalty_research.display.figures_retention import plot_lapse_windows, plot_retention_curve
from loyalty_research.display.figures_triangle import plot_triangle
from loyalty_research.display.lookup import curve_at, curve_steps
from loyalty_research.display.proof_shown import (
    method_proof_sentence,
    method_proof_table,
    plot_proof,
)
from loyalty_research.display.published_steps import (
    incidence_at,
    incidence_steps,
    mean_count_at,
    mean_count_steps,
    publish_estimates,
    publish_incidence,
    publish_mean_count,
)
from loyalty_research.display.sentences import (
    attrition_sentence,
    lapse_window_sentence,
    retention_sentence,
)
from loyalty_research.display.sentences_plans import roll_out_sentence, sample_size_sentence
from loyalty_research.display.sentences_results import (
    cumulative_incidence_sentence,
    mean_count_sentence,
    prediction_sentence,
    regression_sentence,
    restricted_mean_sentence,
)
from loyalty_research.display.shown import show_figure, show_finding, show_table
from loyalty_research.display.tables import quantile_table, retention_table, triangle_table
from loyalty_research.display.tables_checks import effect_checks_table
from loyalty_research.display.tables_cohort import attrition_table, checks_table, facts_table
from loyalty_research.display.tables_effects import (
    effect_sentence,
    effect_table,
    effects_table,
    overlap_table,
    published_effect,
)
from loyalty_research.display.tables_results import (
    calibration_table,
    cumulative_incidence_table,
    estimates_table,
    fits_table,
    group_test_table,
    mean_count_table,
    restricted_mean_table,
)
from loyalty_research.display.worded import WordedTable, word_table

__all__ = [
    "WordedTable",
    "attrition_sentence",
    "attrition_table",
    "baseline_table",
    "calibration_table",
    "checks_table",
    "count_suppressed",
    "cumulative_incidence_sentence",
    "cumulative_incidence_table",
    "curve_at",
    "curve_steps",
    "effect_checks_table",
    "effect_sentence",
    "effect_table",
    "effects_table",
    "estimates_table",
    "facts_table",
    "fits_table",
    "group_test_table",
    "incidence_at",
    "incidence_steps",
    "lapse_window_sentence",
    "mean_count_at",
    "mean_count_sentence",
    "mean_count_steps",
    "mean_count_table",
    "method_proof_sentence",
    "method_proof_table",
    "overlap_table",
    "plot_adjusted_retention",
    "plot_attrition",
    "plot_balance",
    "plot_calibration",
    "plot_coverage",
    "plot_cumulative_incidence",
    "plot_effects",
    "plot_event_study",
    "plot_forest",
    "plot_lapse_windows",
    "plot_lines",
    "plot_mean_count",
    "plot_overlap",
    "plot_parametric",
    "plot_proof",
    "plot_retention_curve",
    "plot_roll_out",
    "plot_series",
    "plot_triangle",
    "prediction_sentence",
    "publish_estimates",
    "publish_incidence",
    "publish_mean_count",
    "published_effect",
    "quantile_table",
    "regression_sentence",
    "restricted_mean_sentence",
    "restricted_mean_table",
    "retention_sentence",
    "retention_table",
    "roll_out_sentence",
    "sample_size_sentence",
    "show_figure",
    "show_finding",
    "show_table",
    "summarise_baseline",
    "suppress_curve",
    "suppress_small_counts",
    "triangle_table",
    "word_table",
]
