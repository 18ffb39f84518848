"""Calibration: by hand, against R, against a known world, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from loyalty_research.errors import DataError, UsageError
from loyalty_research.retention import kaplan_meier
from loyalty_research.retention.calibration import calibration

SIX = pd.DataFrame({"time": [1, 2, 2, 5, 5, 6], "event": [1, 1, 1, 0, 0, 0]}).assign(
    risk=[0.7, 0.6, 0.4, 0.5, 0.4, 0.1]
)


def made(published) -> pd.DataFrame:
    known = published("prediction")["made"]
    return pd.DataFrame({name: known[name] for name in ("time", "event", "risk", "cause")})


def value(table: pd.DataFrame, term: str, column: str = "estimate") -> float:
    return table.set_index("term")[column][term]


def test_observed_expected_and_groups_by_hand():
    table = calibration(SIX, risk="risk", horizon=3, groups=2)
    assert table["term"].tolist() == ["observed_over_expected", "slope", "group 1", "group 2"]
    assert value(table, "observed_over_expected") == pytest.approx((3 / 6) / (2.7 / 6))
    # The lower half: risks 0.1, 0.4, 0.4 with one event; the upper: 0.5, 0.6, 0.7 with two.
    assert value(table, "group 1") == pytest.approx(1 / 3)
    assert value(table, "group 1", "predicted") == pytest.approx(0.9 / 3)
    assert value(table, "group 2", "n_events") == 2


def test_patients_of_one_risk_stay_together():
    table = calibration(SIX.assign(risk=[0.2, 0.5, 0.5, 0.5, 0.5, 0.9]), risk="risk", horizon=3)
    assert table["n"].tolist() == [6, 6, 1, 4, 1]


def test_a_result_has_the_fixed_columns(assert_columns):
    table = calibration(SIX.assign(arm=1), risk="risk", horizon=3, by="arm", groups=2)
    assert_columns(table, "estimates", groups=["arm", "horizon"], more=["predicted"])


def test_lung_agrees_with_r(published):
    known = published("prediction")["lung"]
    data = pd.DataFrame({"time": known["time"], "event": known["event"]})
    for day, risk, told in zip((180, 365, 540), known["risk"], known["slopes"], strict=True):
        table = calibration(data.assign(risk=risk), risk="risk", horizon=day, groups=1)
        # The slope is fitted, and so agrees to 1e-6; the rest are closed forms.
        assert value(table, "slope") == pytest.approx(told["slope"], rel=1e-6)
        assert value(table, "slope", "std_error") == pytest.approx(told["slope_error"], rel=1e-6)
        assert value(table, "group 1") == pytest.approx(told["observed"], rel=1e-10)
        error = value(table, "group 1", "std_error")
        assert error == pytest.approx(told["observed_error"], rel=1e-8)
        ratio = told["observed"] / np.mean(risk)
        assert value(table, "observed_over_expected") == pytest.approx(ratio, rel=1e-10)


def test_heavy_ties_agree_with_r(published):
    data, known = made(published), published("prediction")["made"]
    for day, told in zip((2, 5, 9), known["slopes"], strict=True):
        table = calibration(data, risk="risk", horizon=day, groups=1)
        assert value(table, "slope") == pytest.approx(told["slope"], rel=1e-5)
        assert value(table, "slope", "std_error") == pytest.approx(told["slope_error"], rel=1e-5)
        error = value(table, "group 1", "std_error")
        assert error == pytest.approx(told["observed_error"], rel=1e-8)


def test_a_groups_share_is_one_minus_its_curve(published):
    data = made(published)
    table = calibration(data, risk="risk", horizon=5, groups=2)
    low = data[data["risk"] <= table["predicted"].iloc[2:].mean()]
    curve = kaplan_meier(low, times=[5])
    assert value(table, "group 1", "n") == len(low)
    assert value(table, "group 1") == pytest.approx(1 - curve["estimate"].item())


def test_the_error_of_observed_over_expected_is_the_jackknife_of_infinitesimal_steps(published):
    data, step, squares = made(published), 1e-5, 0.0
    kept = {"risk": "risk", "horizon": 5, "groups": 1}
    for k in range(len(data)):
        ends = []
        for sign in (1, -1):
            weight = 1 + sign * step * (np.arange(len(data)) == k)
            table = calibration(data.assign(w=weight), weight="w", **kept)
            ends.append(table["estimate"].iloc[0])
        squares += ((ends[0] - ends[1]) / (2 * step)) ** 2
    assert calibration(data, **kept)["std_error"].iloc[0] == pytest.approx(squares**0.5, rel=1e-6)


def world(n: int, seed: int) -> pd.DataFrame:
    draws = np.random.default_rng(seed)
    x = draws.normal(size=n).clip(-1.7, 1.7)
    time, end = draws.exponential(500 * np.exp(-x)), draws.uniform(0, 900, n)
    data = {"time": np.minimum(time, end).astype(int), "event": time <= end}
    # The true risk by the end of day 365, and one whose log hazards are twice as far apart.
    true, wide = (-np.expm1(-366 / 500 * np.exp(x * k)) for k in (1, 2))
    return pd.DataFrame(data).assign(true=true, wide=wide)


def test_a_true_model_is_calibrated_and_a_model_twice_as_wide_has_half_the_slope():
    data = world(8_000, 4)
    table = calibration(data, risk="true", horizon=365)
    for term in ("observed_over_expected", "slope"):
        assert abs(value(table, term) - 1) < 4 * value(table, term, "std_error")
    parts = table.iloc[2:]
    assert ((parts["estimate"] - parts["predicted"]).abs() < 4 * parts["std_error"]).all()
    wide = calibration(data, risk="wide", horizon=365)
    assert abs(value(wide, "slope") - 0.5) < 4 * value(wide, "slope", "std_error")
    assert value(wide, "slope", "p_value") < 0.001


def test_with_another_cause_observed_is_the_incidence_of_the_one_asked_for():
    draws = np.random.default_rng(6)
    x = draws.normal(size=6_000)
    time, end = draws.exponential(300, 6_000), draws.uniform(0, 900, 6_000)
    share = 1 / (1 + np.exp(-x))
    ended = np.where(draws.random(6_000) < share, "lapsed", "died")
    data = pd.DataFrame({"time": np.minimum(time, end).astype(int)}).assign(
        event=np.where(time <= end, ended, "censored"), risk=share * -np.expm1(-366 / 300)
    )
    table = calibration(data, risk="risk", horizon=365, cause="lapsed")
    for term in ("observed_over_expected", "slope"):
        assert abs(value(table, term) - 1) < 4 * value(table, term, "std_error")
    assert table["method"].iloc[0] == "Aalen-Johansen"


def test_shuffled_repeated_and_weighted_rows_say_the_same(published):
    data = made(published)
    data = data.assign(f=1 + np.arange(len(data)) % 3, one=1.0, own=np.arange(len(data)))
    kept = {"risk": "risk", "horizon": 5, "groups": 3}
    plain = calibration(data, **kept)
    shuffled = data.sample(frac=1, random_state=2)
    pd.testing.assert_frame_equal(calibration(shuffled, **kept), plain)
    pd.testing.assert_frame_equal(calibration(data, weight="one", **kept), plain)
    pd.testing.assert_frame_equal(calibration(data, cluster="own", **kept), plain)
    repeated = data.loc[data.index.repeat(data["f"])]
    pd.testing.assert_frame_equal(
        calibration(data, freq="f", **kept), calibration(repeated, **kept), rtol=1e-7
    )


def test_every_engine_gives_the_same(engine):
    data = world(90, 3).assign(site=["甲", "乙", "乙"] * 30)
    kept = {"risk": "true", "horizon": 200, "groups": 2, "by": "site"}
    expected = calibration(data, **kept)
    pd.testing.assert_frame_equal(calibration(engine.make(data), **kept), expected, rtol=1e-8)


def test_one_risk_for_everybody_has_no_slope():
    table = calibration(SIX.assign(risk=0.5), risk="risk", horizon=3)
    assert table["term"].tolist() == ["observed_over_expected", "slope", "group 1"]
    assert np.isnan(value(table, "slope"))
    assert value(table, "observed_over_expected") == 1


def test_a_group_nobody_of_whom_is_followed_to_the_horizon_has_no_share():
    data = SIX.assign(risk=[0.7, 0.6, 0.5, 0.2, 0.2, 0.6], time=[1, 2, 4, 2, 2, 6])
    table = calibration(data, risk="risk", horizon=3, groups=3)
    assert np.isnan(value(table, "group 1"))
    assert value(table, "group 1", "n") == 2


@pytest.mark.parametrize(
    ("risk", "message"),
    [
        ([0.1, 0.2, 1.5, 0.2, 0.2, 0.2], "risk is not within 0 and 1 in 1 of 6 rows"),
        ([0.1, 0.0, 1.0, 0.2, 0.2, 0.2], "risk is exactly 0 or 1 in 2 of 6 rows"),
        ([0.1, None, 0.5, 0.2, 0.2, 0.2], "risk is missing in 1 of 6 rows"),
    ],
)
def test_a_risk_that_cannot_be_calibrated_is_refused(risk, message):
    with pytest.raises(DataError, match=message):
        calibration(SIX.assign(risk=risk), risk="risk", horizon=3)


def test_settings_that_cannot_be_meant_are_refused():
    with pytest.raises(DataError, match="ask for a horizon of at most 5"):
        calibration(SIX, risk="risk", horizon=6)
    with pytest.raises(DataError, match="does not occur by day 0"):
        calibration(SIX, risk="risk", horizon=0)
    with pytest.raises(UsageError, match="groups=0 must be a whole number"):
        calibration(SIX, risk="risk", horizon=3, groups=0)
