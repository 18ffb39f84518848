"""What a programme changed: one module a design, checks before estimates, one shape of result."""

from loyalty_research.effects.bacon import bacon_decomposition
from loyalty_research.effects.before_after import before_after_change, expected_regression
from loyalty_research.effects.clone_censor_weight import clone_censor_weight
from loyalty_research.effects.compliance import complier_effect
from loyalty_research.effects.counterfactual import counterfactual
from loyalty_research.effects.difference_in_differences import difference_in_differences
from loyalty_research.effects.displacement import displacement
from loyalty_research.effects.dose import dose_response
from loyalty_research.effects.doubly_robust import doubly_robust_effect
from loyalty_research.effects.effect import Effect, Facts
from loyalty_research.effects.event_study import event_study
from loyalty_research.effects.exposure_checks import (
    check_contamination,
    check_measurement,
    check_overlap_of_programmes,
)
from loyalty_research.effects.g_computation import g_computation
from loyalty_research.effects.imputation import pool_estimates, pool_imputations
from loyalty_research.effects.interrupted_time_series import interrupted_time_series, placebo_starts
from loyalty_research.effects.intracluster import intracluster_correlation
from loyalty_research.effects.loss import (
    CensoringWeights,
    censoring_weights,
    loss_bounds,
    tipping_point,
)
from loyalty_research.effects.matching import matched_effect
from loyalty_research.effects.mediation import controlled_direct_effect
from loyalty_research.effects.multiplicity import adjust_p_values
from loyalty_research.effects.negative_controls import calibrate_with_negative_controls
from loyalty_research.effects.panel import derive_first_treated
from loyalty_research.effects.permutation import permutation_test
from loyalty_research.effects.placebo_dates import placebo_dates
from loyalty_research.effects.plan_tables import (
    detectable_by_size,
    power_by_clinics,
    stack_plans,
)
from loyalty_research.effects.planning import detectable_share, power, sample_size
from loyalty_research.effects.planning_core import cluster_design_effect
from loyalty_research.effects.planning_means import (
    detectable_mean_difference,
    power_means,
    repeated_measures_factor,
    sample_size_means,
)
from loyalty_research.effects.planning_rates import (
    detectable_rate_ratio,
    power_rates,
    sample_size_rates,
)
from loyalty_research.effects.planning_series import interrupted_series_power
from loyalty_research.effects.planning_survival import (
    detectable_hazard_ratio,
    power_survival,
    sample_size_survival,
    share_with_event,
)
from loyalty_research.effects.pre_trends import check_pre_trends
from loyalty_research.effects.proof_stored import read_proof
from loyalty_research.effects.propensity import PropensityWeights, propensity_weights
from loyalty_research.effects.randomised import mean_difference, risk_difference, risk_ratio
from loyalty_research.effects.rates import rate_ratio
from loyalty_research.effects.reporting import check_reporting, reporting_items
from loyalty_research.effects.retained_cost import cost_per_retained_patient
from loyalty_research.effects.roll_out import (
    compare_roll_outs,
    detectable_by_roll_out,
    difference_in_differences_power,
    roll_out_power,
    roll_out_schedule,
)
from loyalty_research.effects.roll_out_permutation import roll_out_permutation_test
from loyalty_research.effects.rosenbaum import rosenbaum_bounds
from loyalty_research.effects.sensitivity import e_value, robustness_value
from loyalty_research.effects.smoothness import smoothness_sensitivity
from loyalty_research.effects.staggered import staggered_difference_in_differences
from loyalty_research.effects.stepped_wedge import stepped_wedge_effect
from loyalty_research.effects.subgroups import subgroup_effects
from loyalty_research.effects.survival_effects import (
    hazard_ratio,
    restricted_mean_effect,
    retention_difference,
    smoothed_retention_difference,
    weighted_retention,
)
from loyalty_research.effects.synthetic_control import (
    synthetic_control,
    synthetic_path,
    synthetic_placebos,
    synthetic_weights,
)
from loyalty_research.effects.target_trial import (
    EmulatedTrial,
    emulate_trial,
    landmark_trial,
    sequential_trials,
    time_varying_hazard_ratio,
)
from loyalty_research.effects.targeted import targeted_effect
from loyalty_research.effects.value import (
    acceptability_curve,
    incremental_cost_effectiveness,
    net_benefit,
)

__all__ = [  # noqa: RUF022 - the order of the flow
    "Effect",
    "Facts",
    "risk_difference",
    "risk_ratio",
    "mean_difference",
    "stepped_wedge_effect",
    "roll_out_permutation_test",
    "rate_ratio",
    "permutation_test",
    "complier_effect",
    "subgroup_effects",
    "adjust_p_values",
    "before_after_change",
    "expected_regression",
    "dose_response",
    "controlled_direct_effect",
    "check_contamination",
    "check_overlap_of_programmes",
    "check_measurement",
    "PropensityWeights",
    "propensity_weights",
    "doubly_robust_effect",
    "g_computation",
    "targeted_effect",
    "matched_effect",
    "e_value",
    "robustness_value",
    "rosenbaum_bounds",
    "calibrate_with_negative_controls",
    "derive_first_treated",
    "difference_in_differences",
    "event_study",
    "staggered_difference_in_differences",
    "bacon_decomposition",
    "check_pre_trends",
    "placebo_dates",
    "smoothness_sensitivity",
    "interrupted_time_series",
    "placebo_starts",
    "counterfactual",
    "displacement",
    "synthetic_control",
    "synthetic_weights",
    "synthetic_path",
    "synthetic_placebos",
    "weighted_retention",
    "retention_difference",
    "smoothed_retention_difference",
    "restricted_mean_effect",
    "hazard_ratio",
    "EmulatedTrial",
    "emulate_trial",
    "landmark_trial",
    "sequential_trials",
    "time_varying_hazard_ratio",
    "CensoringWeights",
    "censoring_weights",
    "loss_bounds",
    "tipping_point",
    "clone_censor_weight",
    "pool_imputations",
    "pool_estimates",
    "sample_size",
    "power",
    "detectable_share",
    "sample_size_means",
    "power_means",
    "detectable_mean_difference",
    "repeated_measures_factor",
    "sample_size_rates",
    "power_rates",
    "detectable_rate_ratio",
    "sample_size_survival",
    "power_survival",
    "detectable_hazard_ratio",
    "share_with_event",
    "intracluster_correlation",
    "cluster_design_effect",
    "roll_out_schedule",
    "roll_out_power",
    "detectable_by_roll_out",
    "compare_roll_outs",
    "difference_in_differences_power",
    "interrupted_series_power",
    "stack_plans",
    "detectable_by_size",
    "power_by_clinics",
    "incremental_cost_effectiveness",
    "net_benefit",
    "acceptability_curve",
    "cost_per_retained_patient",
    "reporting_items",
    "check_reporting",
    "read_proof",
]
