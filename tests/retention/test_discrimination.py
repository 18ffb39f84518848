"""The time-dependent AUC: by hand, against R, its standard error, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from loyalty_research.errors import DataError, UsageError
from loyalty_research.retention.discrimination import time_dependent_auc

SIX = pd.DataFrame(
    {"time": [1, 2, 2, 4, 5, 6], "event": [1, 1, 0, 1, 0, 0], "risk": [3, 1, 9, 2, 1, 2]}
)


def made(published) -> pd.DataFrame:
    known = published("prediction")["made"]
    table = pd.DataFrame({name: known[name] for name in ("time", "event", "risk", "cause")})
    words = {0: "censored", 1: "lapsed", 2: "died"}
    return table.assign(ended=table["cause"].map(words))


def test_the_area_of_six_patients_by_hand():
    # By day 3: cases of risk 3 and 1, controls of risk 2, 1, 2; the case of risk 3 beats all
    # three, that of risk 1 ties with one. Each control counts the same, each case 1.
    row = time_dependent_auc(SIX, risk="risk", horizon=3).iloc[0]
    assert row["estimate"] == pytest.approx((3 + 0.5) / 6)
    assert (row["n"], row["n_events"]) == (6, 2)


def test_a_case_counts_by_who_was_not_censored_just_before():
    # The event on day 4 counts 4/3: of the four at risk of it on day 2, one was censored.
    row = time_dependent_auc(SIX, risk="risk", horizon=4).iloc[0]
    beaten = 1 * 2 + 1 * 0.5 + 4 / 3 * 1.5
    assert row["estimate"] == pytest.approx(beaten / ((1 + 1 + 4 / 3) * 2))


def test_a_result_has_the_fixed_columns(assert_columns):
    table = time_dependent_auc(SIX.assign(arm=1), risk="risk", horizon=[3, 4], by="arm")
    assert_columns(table, "estimates", groups=["arm", "horizon"])


def test_lung_agrees_with_r(published):
    known = published("prediction")["lung"]
    risks = dict(zip(("a", "b", "c"), known["risk"], strict=True))
    data = pd.DataFrame({"time": known["time"], "event": known["event"], **risks})
    found = time_dependent_auc(data, risk={180: "a", 365: "b", 540: "c"})
    golden = [0.698024966, 0.647397660, 0.666348454]
    assert found["estimate"].tolist() == pytest.approx(golden, abs=1e-9)
    assert found["estimate"].tolist() == pytest.approx(known["auc"], rel=1e-10)
    # riskRegression divides by n - 1 and takes the censoring of a day a little differently.
    error = found["std_error"] * (227 / 226) ** 0.5
    assert error.tolist() == pytest.approx(known["auc_error"], rel=2e-3)


def test_heavy_ties_and_causes_agree_with_r(published):
    data, days = made(published), [2, 5, 9]
    found = time_dependent_auc(data, risk="risk", horizon=days)
    assert found["estimate"].tolist() == pytest.approx(published("prediction")["made"]["auc"])
    found = time_dependent_auc(data, risk="risk", horizon=days, event="ended", cause="lapsed")
    assert found["estimate"].tolist() == pytest.approx(published("prediction")["causes"]["auc"])


@pytest.mark.parametrize("cause", [None, "lapsed"])
def test_the_standard_error_is_the_jackknife_of_infinitesimal_steps(published, cause):
    data = made(published)
    if cause:
        data = data.assign(event=data["ended"])
    ones, step, squares = np.ones(len(data)), 1e-5, 0.0
    kept = {"risk": "risk", "horizon": [2, 5, 9], "cause": cause}
    for k in range(len(data)):
        ends = []
        for sign in (1, -1):
            weight = ones + sign * step * (np.arange(len(data)) == k)
            ends.append(time_dependent_auc(data.assign(w=weight), weight="w", **kept)["estimate"])
        squares += ((ends[0] - ends[1]) / (2 * step)) ** 2
    found = time_dependent_auc(data, **kept)["std_error"]
    assert found.tolist() == pytest.approx(np.sqrt(squares).tolist(), rel=1e-6)


def world(n: int, seed: int, *, followed: float = 900) -> pd.DataFrame:
    draws = np.random.default_rng(seed)
    x = draws.normal(size=n)
    time, end = draws.exponential(500 * np.exp(-x)), draws.uniform(0, followed, n)
    data = {"time": np.minimum(time, end).astype(int), "event": time <= end, "risk": x}
    return pd.DataFrame(data)


def test_censoring_does_not_move_the_area():
    whole = world(100_000, 1, followed=1e9)
    truth = time_dependent_auc(whole, risk="risk", horizon=365)["estimate"].item()
    row = time_dependent_auc(world(10_000, 2), risk="risk", horizon=365).iloc[0]
    assert abs(row["estimate"] - truth) < 4 * row["std_error"]


def test_the_standard_error_is_the_spread_over_repeated_studies():
    studies = [time_dependent_auc(world(200, s), risk="risk", horizon=365) for s in range(150)]
    found = pd.concat(studies)
    assert found["estimate"].std() == pytest.approx(found["std_error"].mean(), rel=0.2)


def test_shuffled_repeated_and_weighted_rows_say_the_same(published):
    data = made(published)
    data = data.assign(f=1 + np.arange(len(data)) % 3, one=1.0)
    kept = {"risk": "risk", "horizon": [5, 9]}
    plain = time_dependent_auc(data, **kept)
    shuffled = data.sample(frac=1, random_state=2)
    pd.testing.assert_frame_equal(time_dependent_auc(shuffled, **kept), plain)
    pd.testing.assert_frame_equal(time_dependent_auc(data, weight="one", **kept), plain)
    repeated = data.loc[data.index.repeat(data["f"])]
    pd.testing.assert_frame_equal(
        time_dependent_auc(data, freq="f", **kept), time_dependent_auc(repeated, **kept)
    )


def test_every_engine_gives_the_same(engine):
    data = world(80, 3).assign(site=["甲", "乙"] * 40)
    kept = {"risk": "risk", "horizon": 200, "by": "site"}
    pd.testing.assert_frame_equal(
        time_dependent_auc(engine.make(data), **kept), time_dependent_auc(data, **kept)
    )


def test_the_same_risk_for_everybody_is_a_half():
    row = time_dependent_auc(SIX.assign(risk=1), risk="risk", horizon=4).iloc[0]
    assert row["estimate"] == pytest.approx(0.5)
    assert row["std_error"] == pytest.approx(0, abs=1e-12)


def test_horizons_without_a_case_or_a_control_are_refused():
    with pytest.raises(DataError, match="the event does not occur by day 0"):
        time_dependent_auc(SIX, risk="risk", horizon=0)
    with pytest.raises(DataError, match="everybody has had the event by day 6"):
        time_dependent_auc(SIX.assign(event=1), risk="risk", horizon=6)
    with pytest.raises(DataError, match="ask for a horizon of at most 5"):
        time_dependent_auc(SIX, risk="risk", horizon=6)
    with pytest.raises(UsageError, match="horizon is missing"):
        time_dependent_auc(SIX, risk="risk")
