"""How long patients stay, how often they return."""

from loyalty_research.retention.calibration import calibration
from loyalty_research.retention.causes import derive_causes
from loyalty_research.retention.concordance import concordance
from loyalty_research.retention.cox import cox_regression, fit_cox
from loyalty_research.retention.cox_prediction import (
    adjusted_retention,
    predict_retention,
    predict_risk,
)
from loyalty_research.retention.cumulative_incidence import cumulative_incidence
from loyalty_research.retention.cure import check_cure
from loyalty_research.retention.curves import kaplan_meier, quantile_time
from loyalty_research.retention.extrapolation import compare_parametric, extrapolate_retention
from loyalty_research.retention.gray import gray_test
from loyalty_research.retention.group_tests import logrank_test
from loyalty_research.retention.lapse import derive_lapse_dates
from loyalty_research.retention.mean_cumulative_count import mean_cumulative_count
from loyalty_research.retention.prediction_error import brier_score
from loyalty_research.retention.proportional_hazards import check_proportional_hazards
from loyalty_research.retention.recurrent_times import derive_recurrent_times
from loyalty_research.retention.restricted_mean import (
    restricted_mean_difference,
    restricted_mean_time,
)
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
    "derive_causes",
    "cumulative_incidence",
    "gray_test",
    "logrank_test",
    "restricted_mean_time",
    "restricted_mean_difference",
    "derive_recurrent_times",
    "mean_cumulative_count",
    "fit_cox",
    "cox_regression",
    "adjusted_retention",
    "predict_retention",
    "predict_risk",
    "check_proportional_hazards",
    "concordance",
    "calibration",
    "brier_score",
    "compare_parametric",
    "extrapolate_retention",
    "check_cure",
]
