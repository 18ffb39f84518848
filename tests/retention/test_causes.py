"""What became of each patient, in words; and predictions tried on those who entered later."""

import pandas as pd
import pytest

import loyalty_research as lr
from loyalty_research.errors import DataError, UsageError
from loyalty_research.retention.causes import derive_causes
from loyalty_research.retention.cox import fit_cox
from loyalty_research.retention.cox_prediction import predict_retention
from loyalty_research.retention.trial_predictions import derive_predicted_risk, split_by_index_date

TIMES = pd.DataFrame(
    {
        "patient_id": ["a", "b", "c"],
        "end_reason": ["lapse_date", "death_date", "data_cutoff"],
        "index_date": pd.to_datetime(["2022-01-01", "2023-01-01", "2022-01-01"]),
    }
)


def test_a_reason_that_is_no_cause_is_censoring():
    causes = derive_causes(TIMES, causes={"lapse_date": "lapsed", "death_date": "died"})
    assert causes["cause"].tolist() == ["lapsed", "died", None]


def test_no_cause_and_no_reason_are_refused():
    with pytest.raises(UsageError, match="at least one reason"):
        derive_causes(TIMES, causes={})
    with pytest.raises(DataError, match="end_reason"):
        derive_causes(TIMES[["patient_id"]], causes={"lapse_date": "lapsed"})


def test_patients_of_one_day_stay_in_one_part():
    earlier, later = split_by_index_date(TIMES, share=0.4)
    assert (earlier["patient_id"].tolist(), later["patient_id"].tolist()) == (["a", "c"], ["b"])


def test_a_split_without_later_patients_is_refused():
    with pytest.raises(UsageError, match="no patient entered later"):
        split_by_index_date(TIMES.assign(index_date=pd.Timestamp("2022-01-01")), share=0.5)


def test_the_risk_is_what_the_predicted_curve_has_lost():
    data = pd.DataFrame({"time": [1, 2, 3, 4], "event": [1, 1, 1, 0], "x": [2, 0, 1, 0]})
    model = fit_cox(data, covariates=["x"])
    curve = predict_retention(model, data, times=[2])["estimate"]
    risk = derive_predicted_risk(data, model=model, horizon=2)["risk"]
    assert risk.tolist() == pytest.approx((1 - curve).tolist())


@pytest.mark.parametrize(
    "estimate",
    [
        lambda data: lr.cumulative_incidence(data),
        lambda data: lr.cumulative_incidence(data, weight="w"),
        lambda data: lr.gray_test(data, by="arm"),
        lambda data: lr.fine_gray(data, cause="died", covariates=["arm"]),
        lambda data: lr.cause_specific_regression(data, covariates=["arm"]),
    ],
    ids=["incidence", "weighted", "gray", "fine_gray", "cause_specific"],
)
def test_the_column_that_names_causes_is_proposed_where_event_does_not(engine, estimate):
    data = pd.DataFrame(
        {
            "time": [*range(1, 7)] * 20,
            "event": [True, True, False] * 40,
            "cause": ["died", "lapsed", None] * 40,
            "arm": [0, 0, 1, 1, 0, 1] * 20,
            "w": 1.0,
        }
    )
    told = "event is .*, not text.*; give event='cause', the column that derive_causes writes"
    with pytest.raises(DataError, match=told):
        estimate(engine.make(data))
    with pytest.raises(DataError, match='name the cause of each end, "censored" or nothing'):
        estimate(engine.make(data.drop(columns="cause")))
