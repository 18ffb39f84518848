"""No estimator takes a group that is named as a column of its own result."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from loyalty_research import retention
from loyalty_research.errors import UsageError

ROW = np.arange(120)
PATIENTS = pd.DataFrame(
    {
        "time": 1 + (ROW * 37) % 41,
        "event": (ROW * 13) % 3 != 0,
        "arm": np.where(ROW % 2, "a", "b"),
        "risk": ((ROW * 29) % 53) / 60 + 0.05,
        "layer": (ROW // 3) % 2,
        "ended": np.array(["censored", "lapsed", "died"])[(ROW * 13) % 3],
        "patient_id": ROW,
        "start": 0,
    }
)
BOUNDS = PATIENTS.assign(lower=PATIENTS["time"] - 1, upper=PATIENTS["time"] + 1)

CALLS = {
    "risk_sets": {},
    "kaplan_meier": {},
    "nelson_aalen": {},
    "quantile_time": {},
    "conditional_retention": {"given": 5, "times": [10, 20]},
    "retention_band": {},
    "interval_retention": {},
    "restricted_mean_time": {"horizon": 20},
    "restricted_mean_difference": {"arm": "layer", "horizon": 15},
    "cumulative_incidence": {"event": "ended"},
    "logrank_expected": {},
    "person_time_rates": {},
    "mean_cumulative_count": {"stop": "time"},
    "extrapolate_retention": {"times": [10, 60], "distributions": ["exponential"]},
    "time_dependent_auc": {"risk": "risk", "horizon": 15},
    "brier_score": {"risk": "risk", "horizon": 15},
    "integrated_brier_score": {"risk": {10: "risk", 15: "risk"}},
    "calibration": {"risk": "risk", "horizon": 15, "groups": 3},
}
"""Estimators whose result has the group as a column, each with the arguments it cannot do without.

The tests of groups are not among them: their results do not have it.
"""


@pytest.mark.parametrize("name", CALLS)
def test_a_group_named_as_a_column_of_the_result_is_refused(name):
    estimator: Callable[..., pd.DataFrame] = getattr(retention, name)
    data = BOUNDS if name == "interval_retention" else PATIENTS
    result = estimator(data, by="arm", **CALLS[name])
    taken = [column for column in result if column != "arm"]
    assert result.columns.is_unique
    assert len(taken) >= 3
    for column in taken:
        # The group's own column renamed; "time" has a meaning in the data already.
        renamed = data if column in data else data.rename(columns={"arm": column})
        with pytest.raises(UsageError, match=r"; (rename it|name a column for each)"):
            estimator(renamed, by=column, **CALLS[name])
