"""The Brier score: by hand, against R, its standard error, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from loyalty_research.errors import DataError, UsageError
from loyalty_research.retention.prediction_error import brier_score, integrated_brier_score

MORE = ["reference", "scaled"]
FOUR = pd.DataFrame({"time": [1, 2, 2, 5], "event": [1, 1, 0, 0], "risk": [0.9, 0.5, 0.3, 0.2]})


def made(published) -> pd.DataFrame:
    known = published("prediction")["made"]
    names = ("time", "event", "risk", "cause")
    return pd.DataFrame({name: known[name] for name in names}).assign(
        ended=lambda t: t["cause"].map({0: "censored", 1: "lapsed", 2: "died"})
    )


def lung(published) -> pd.DataFrame:
    known = published("prediction")["lung"]
    risks = dict(zip(("at180", "at365", "at540"), known["risk"], strict=True))
    return pd.DataFrame({"time": known["time"], "event": known["event"], **risks})


LUNG_RISK = {180: "at180", 365: "at365", 540: "at540"}

# --- by hand --------------------------------------------------------------------------------------


def test_the_score_of_four_patients_by_hand():
    # The censoring on day 2 comes after the event of that day: two are at risk of it, so whoever
    # is still there counts 2, the events count 1, the censored patient 0.
    row = brier_score(FOUR, risk="risk", horizon=2).iloc[0]
    assert row["estimate"] == pytest.approx((0.1**2 + 0.5**2 + 2 * 0.2**2) / 4)
    assert row["reference"] == pytest.approx(0.5 * 0.5)
    assert row["scaled"] == pytest.approx(1 - row["estimate"] / 0.25)
    assert (row["n"], row["n_events"]) == (4, 2)


def test_another_cause_by_the_horizon_is_no_event_and_counts():
    data = FOUR.assign(event=["lapsed", "died", None, None])
    row = brier_score(data, risk="risk", horizon=2, cause="lapsed").iloc[0]
    assert row["estimate"] == pytest.approx((0.1**2 + 0.5**2 + 2 * 0.2**2) / 4)
    assert row["reference"] == pytest.approx(0.25 * 0.75)


def test_without_censoring_it_is_the_mean_square_with_its_usual_error():
    data = FOUR.assign(event=1)
    squares = (np.array([1, 1, 1, 0]) - data["risk"]) ** 2
    row = brier_score(data, risk="risk", horizon=2).iloc[0]
    assert row["estimate"] == pytest.approx(squares.mean())
    assert row["std_error"] == pytest.approx(squares.std(ddof=0) / 2)


def test_the_integrated_score_is_the_trapezoid_over_the_horizons():
    data = FOUR.assign(early=[0.5, 0.3, 0.2, 0.1])
    risk = {2: "risk", 1: "early", 4: "risk"}
    scores = brier_score(data, risk=risk).set_index("horizon")["estimate"]
    found = integrated_brier_score(data, risk=risk)
    area = (scores[1] + scores[2]) / 2 * 1 + (scores[2] + scores[4]) / 2 * 2
    assert found["estimate"].item() == pytest.approx(area / 3)


def test_results_have_the_fixed_columns(assert_columns):
    table = brier_score(FOUR.assign(site="a"), risk={1: "risk", 2: "risk"}, by="site")
    assert_columns(table, "estimates", groups=["site", "horizon"], more=MORE)
    whole = integrated_brier_score(FOUR, risk={1: "risk", 2: "risk"})
    assert_columns(whole, "estimates", groups=["first_horizon", "last_horizon"], more=MORE)


# --- published ------------------------------------------------------------------------------------


def test_lung_agrees_with_r(published):
    known = published("prediction")["lung"]
    found = brier_score(lung(published), risk=LUNG_RISK)
    golden = [0.178685540, 0.225596309, 0.177931846]
    assert found["estimate"].tolist() == pytest.approx(golden, abs=1e-9)
    assert found["estimate"].tolist() == pytest.approx(known["brier"], rel=1e-10)
    assert found["reference"].tolist() == pytest.approx(known["null"], rel=1e-10)
    # riskRegression divides by n - 1 and takes the censoring of a day a little differently.
    error = found["std_error"] * (227 / 226) ** 0.5
    assert error.tolist() == pytest.approx(known["brier_error"], rel=2e-3)


def test_heavy_ties_and_causes_agree_with_r(published):
    data, risk = made(published), dict.fromkeys((2, 5, 9), "risk")
    one = published("prediction")["made"]
    found = brier_score(data, risk=risk)
    assert found["estimate"].tolist() == pytest.approx(one["brier"], rel=1e-10)
    assert found["reference"].tolist() == pytest.approx(one["null"], rel=1e-10)
    several = published("prediction")["causes"]
    found = brier_score(data, risk=risk, event="ended", cause="lapsed")
    assert found["estimate"].tolist() == pytest.approx(several["brier"], rel=1e-10)
    assert found["reference"].tolist() == pytest.approx(several["null"], rel=1e-10)


# --- the standard error ---------------------------------------------------------------------------


@pytest.mark.parametrize("cause", [None, "lapsed"])
def test_the_standard_error_is_the_jackknife_of_infinitesimal_steps(published, cause):
    data = made(published)
    if cause:
        data = data.assign(event=data["ended"])
    ones, step, squares = np.ones(len(data)), 1e-5, 0.0
    kept = {"risk": {2: "risk", 5: "risk", 9: "risk"}, "cause": cause}
    for k in range(len(data)):
        ends = []
        for sign in (1, -1):
            weight = ones + sign * step * (np.arange(len(data)) == k)
            ends.append(brier_score(data.assign(w=weight), weight="w", **kept)["estimate"])
        squares += ((ends[0] - ends[1]) / (2 * step)) ** 2
    found = brier_score(data, **kept)["std_error"]
    assert found.tolist() == pytest.approx(np.sqrt(squares).tolist(), rel=1e-6)


def world(n: int, seed: int) -> pd.DataFrame:
    draws = np.random.default_rng(seed)
    x = draws.normal(size=n)
    time, end = draws.exponential(500 * np.exp(-x)), draws.uniform(0, 900, n)
    data = {"time": np.minimum(time, end).astype(int), "event": time <= end}
    return pd.DataFrame(data).assign(risk=-np.expm1(-365 / 500 * np.exp(x)), x=x)


def test_the_score_of_a_true_model_is_its_variance_and_the_error_the_spread():
    # A true model's score is the mean of risk times (1 - risk), over the patients of the world.
    risk = world(400_000, 1)["risk"]
    truth = (risk * (1 - risk)).mean()
    row = brier_score(world(20_000, 2), risk="risk", horizon=365).iloc[0]
    assert abs(row["estimate"] - truth) < 4 * row["std_error"]
    studies = [brier_score(world(200, seed), risk="risk", horizon=365) for seed in range(150)]
    found = pd.concat(studies)
    assert found["estimate"].std() == pytest.approx(found["std_error"].mean(), rel=0.2)


# --- properties -----------------------------------------------------------------------------------


def test_shuffled_repeated_and_weighted_rows_say_the_same(published):
    data = made(published)
    data = data.assign(f=1 + np.arange(len(data)) % 3, one=1.0, own=np.arange(len(data)))
    kept = {"risk": "risk", "horizon": 5}
    plain = brier_score(data, **kept)
    for other in (
        brier_score(data.sample(frac=1, random_state=2), **kept),
        brier_score(data, weight="one", **kept),
        brier_score(data, cluster="own", **kept),
    ):
        pd.testing.assert_frame_equal(other, plain)
    repeated = data.loc[data.index.repeat(data["f"])]
    pd.testing.assert_frame_equal(
        brier_score(data, freq="f", **kept), brier_score(repeated, **kept)
    )
    pd.testing.assert_frame_equal(
        brier_score(data, freq="f", cluster="own", **kept),
        brier_score(repeated, cluster="own", **kept),
    )


def test_every_engine_gives_the_same(engine):
    data = world(80, 3).assign(site=["甲", "乙"] * 40)
    kept = {"risk": "risk", "horizon": 200, "by": "site"}
    pd.testing.assert_frame_equal(brier_score(engine.make(data), **kept), brier_score(data, **kept))


def test_a_group_has_the_score_of_its_own_patients():
    data = world(80, 3).assign(site=["b", "a"] * 40)
    found = brier_score(data, risk="risk", horizon=200, by="site")
    assert found["site"].tolist() == ["a", "b"]
    own = brier_score(data[data["site"] == "b"], risk="risk", horizon=200)
    assert found["std_error"].iloc[1] == pytest.approx(own["std_error"].item())


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("risk", "message"),
    [
        ([0.9, 0.5, 1.2, -1], "risk is not within 0 and 1 in 2 of 4 rows"),
        ([0.9, None, 0.2, 0.1], "risk is missing in 1 of 4 rows"),
    ],
)
def test_a_risk_that_is_no_share_is_refused(risk, message):
    with pytest.raises(DataError, match=message):
        brier_score(FOUR.assign(risk=risk), risk="risk", horizon=2)


def test_a_horizon_beyond_what_is_known_is_refused_with_the_last_possible_day():
    with pytest.raises(DataError, match="ask for a horizon of at most 4"):
        brier_score(FOUR, risk="risk", horizon=5)
    with pytest.raises(DataError, match="ask for a horizon of at most 5"):
        brier_score(FOUR.assign(event=1), risk="risk", horizon=6)
    assert brier_score(FOUR, risk="risk", horizon=4)["n_events"].item() == 2


def test_a_horizon_before_every_event_is_refused():
    with pytest.raises(DataError, match="the event does not occur by day 0"):
        brier_score(FOUR, risk="risk", horizon=0)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"risk": "risk"}, "horizon is missing"),
        ({"risk": "risk", "horizon": 1.5}, "must be a whole number"),
        ({"risk": {}}, "horizon is empty"),
        ({"risk": {2: "risk"}, "horizon": 2}, "leave out horizon"),
    ],
)
def test_horizons_that_cannot_be_meant_are_refused(setting, message):
    with pytest.raises(UsageError, match=message):
        brier_score(FOUR, **setting)


def test_an_unknown_cause_and_a_single_horizon_are_refused():
    data = FOUR.assign(event=["lapsed", "died", None, None])
    with pytest.raises(UsageError, match="did you mean 'lapsed'"):
        brier_score(data, risk="risk", horizon=2, cause="laps")
    with pytest.raises(UsageError, match="two horizons or more"):
        integrated_brier_score(FOUR, risk={2: "risk"})
