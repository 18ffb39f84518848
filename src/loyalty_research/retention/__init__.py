"""How long patients stay, how often they return."""

from loyalty_research.retention.bands import retention_band
from loyalty_research.retention.calibration import calibration
from loyalty_research.retention.cause_specific import cause_specific_regression
from loyalty_research.retention.causes import derive_causes
from loyalty_research.retention.clusters import check_clusters
from loyalty_research.retention.concordance import concordance
from loyalty_research.retention.conditional import conditional_retention
from loyalty_research.retention.continuity import continuity_summary, derive_continuity
from loyalty_research.retention.cox import CoxModel, cox_regression, fit_cox
from loyalty_research.retention.cox_checks import check_cox
from loyalty_research.retention.cox_levels import count_levels
from loyalty_research.retention.cox_prediction import (
    adjusted_retention,
    predict_retention,
    predict_risk,
)
from loyalty_research.retention.cox_residuals import cox_residuals
from loyalty_research.retention.cumulative_hazard import nelson_aalen
from loyalty_research.retention.cumulative_incidence import cumulative_incidence
from loyalty_research.retention.cure import CureModel, check_cure, fit_mixture_cure
from loyalty_research.retention.curves import kaplan_meier, quantile_time
from loyalty_research.retention.discrimination import time_dependent_auc
from loyalty_research.retention.episodes import (
    check_immortal_time,
    person_time_rates,
    split_at_times,
    split_follow_up,
)
from loyalty_research.retention.expected_visits import (
    check_bg_nbd,
    derive_visit_summary,
    expected_visits,
    fit_bg_nbd,
    repeat_visit_counts,
)
from loyalty_research.retention.extrapolation import compare_parametric, extrapolate_retention
from loyalty_research.retention.fees import derive_fees
from loyalty_research.retention.fine_gray import FineGrayModel, fine_gray, fit_fine_gray
from loyalty_research.retention.fine_gray_prediction import predict_cumulative_incidence
from loyalty_research.retention.gray import gray_test
from loyalty_research.retention.group_tests import (
    crossing_curves_test,
    gehan_test,
    logrank_expected,
    logrank_test,
    pairwise_logrank_test,
)
from loyalty_research.retention.interval_censoring import interval_retention
from loyalty_research.retention.landmark import apply_landmark, stack_landmarks
from loyalty_research.retention.lapse import derive_lapse_dates
from loyalty_research.retention.lapse_sensitivity import lapse_sensitivity
from loyalty_research.retention.loyalty_behaviours import derive_loyalty_behaviours
from loyalty_research.retention.loyalty_profile import loyalty_profile, loyalty_profile_correlation
from loyalty_research.retention.mean_cumulative_count import mean_cumulative_count
from loyalty_research.retention.own_team import derive_own_team_visits
from loyalty_research.retention.parametric import (
    ParametricModel,
    fit_parametric,
    predict_parametric,
)
from loyalty_research.retention.patient_value import patient_value
from loyalty_research.retention.prediction_error import brier_score, integrated_brier_score
from loyalty_research.retention.proportional_hazards import (
    check_hazards_of,
    check_proportional_hazards,
    check_proportional_hazards_1994,
    schoenfeld_over_time,
)
from loyalty_research.retention.rate_regression import check_overdispersion, rate_regression
from loyalty_research.retention.recurrent_regression import recurrent_regression
from loyalty_research.retention.recurrent_times import derive_recurrent_times, derive_return_times
from loyalty_research.retention.restricted_mean import (
    restricted_mean_difference,
    restricted_mean_time,
)
from loyalty_research.retention.revisits import revisit_rate
from loyalty_research.retention.risk_sets import risk_sets
from loyalty_research.retention.segments import check_segments, segment_table
from loyalty_research.retention.time_to_event import derive_time_to_event
from loyalty_research.retention.trial_predictions import derive_predicted_risk, split_by_index_date
from loyalty_research.retention.triangle import retention_triangle
from loyalty_research.retention.visit_gaps import derive_visit_regularity, visit_regularity
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
    "derive_causes",
    "derive_return_times",
    "derive_recurrent_times",
    "split_follow_up",
    "split_at_times",
    "apply_landmark",
    "stack_landmarks",
    "risk_sets",
    "kaplan_meier",
    "nelson_aalen",
    "quantile_time",
    "conditional_retention",
    "retention_band",
    "interval_retention",
    "restricted_mean_time",
    "restricted_mean_difference",
    "retention_by_window",
    "check_lapse_windows",
    "lapse_sensitivity",
    "logrank_test",
    "gehan_test",
    "logrank_expected",
    "pairwise_logrank_test",
    "crossing_curves_test",
    "cumulative_incidence",
    "gray_test",
    "CoxModel",
    "cox_regression",
    "fit_cox",
    "count_levels",
    "cox_residuals",
    "check_proportional_hazards",
    "check_hazards_of",
    "check_proportional_hazards_1994",
    "schoenfeld_over_time",
    "check_cox",
    "check_clusters",
    "predict_risk",
    "predict_retention",
    "adjusted_retention",
    "cause_specific_regression",
    "fine_gray",
    "FineGrayModel",
    "fit_fine_gray",
    "predict_cumulative_incidence",
    "check_immortal_time",
    "person_time_rates",
    "mean_cumulative_count",
    "recurrent_regression",
    "rate_regression",
    "check_overdispersion",
    "derive_visit_regularity",
    "visit_regularity",
    "derive_visit_summary",
    "fit_bg_nbd",
    "expected_visits",
    "repeat_visit_counts",
    "check_bg_nbd",
    "ParametricModel",
    "fit_parametric",
    "predict_parametric",
    "compare_parametric",
    "extrapolate_retention",
    "CureModel",
    "fit_mixture_cure",
    "check_cure",
    "split_by_index_date",
    "derive_predicted_risk",
    "concordance",
    "time_dependent_auc",
    "brier_score",
    "integrated_brier_score",
    "calibration",
    "derive_continuity",
    "derive_own_team_visits",
    "continuity_summary",
    "revisit_rate",
    "derive_loyalty_behaviours",
    "loyalty_profile",
    "loyalty_profile_correlation",
    "derive_fees",
    "patient_value",
    "check_segments",
    "segment_table",
]
