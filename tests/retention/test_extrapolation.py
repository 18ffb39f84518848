"""Beyond the last observed day: marked, compared, never silently."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from loyalty_research.errors import DataError, UsageError
from loyalty_research.retention.curves import kaplan_meier
from loyalty_research.retention.extrapolation import compare_parametric, extrapolate_retention
from loyalty_research.retention.parametric import fit_parametric, predict_parametric

FOUR = pd.DataFrame({"time": [2, 3, 7, 9], "event": [1, 1, 1, 0]})


def made(n: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(8)
    clock = np.exp(5 + 0.5 * np.log(rng.exponential(size=n)))
    end = rng.integers(50, 400, n)
    time = np.maximum(np.ceil(np.minimum(clock, end)), 1).astype(int)
    site = pd.Categorical(rng.choice(["甲", "乙"], n), ["甲", "乙"])
    return pd.DataFrame(
        {"time": time, "event": clock <= end, "site": site, "x": rng.normal(size=n)}
    )


def test_the_largest_distance_is_computed_by_hand():
    table = compare_parametric(FOUR, distributions=["exponential"])
    share = np.exp(-np.array([2, 3, 7]) / 7)
    # Kaplan-Meier is 1, 3/4, 1/2 before its steps and 3/4, 1/2, 1/4 after them.
    gaps = np.abs(np.concatenate([share - [1, 0.75, 0.5], share - [0.75, 0.5, 0.25]]))
    assert table["max_distance"].item() == pytest.approx(gaps.max())


def test_the_best_distribution_comes_first():
    table = compare_parametric(made(), distributions=["exponential", "log-normal", "weibull"])
    assert list(table) == [
        "distribution", "n_parameters", "log_likelihood", "aic", "bic", "delta_aic",
        "max_distance", "n", "n_events",
    ]  # fmt: skip
    assert table["distribution"].iloc[0] == "weibull"
    assert table["delta_aic"].iloc[0] == 0
    assert table["aic"].is_monotonic_increasing
    assert table["max_distance"].iloc[0] < 0.06


def test_covariates_average_over_the_patients():
    data = made(60).assign(x=lambda t: t["x"].round(1))
    table = compare_parametric(data, distributions=["weibull"], covariates="x")
    model = fit_parametric(data, covariates="x")
    curve = kaplan_meier(data)
    steps = curve["n_events"] > 0
    times = curve["time"][steps].tolist()
    each = predict_parametric(model, times=times, data=data)["estimate"].to_numpy()
    share = each.reshape(len(data), -1).mean(axis=0)
    before = curve["estimate"].shift(fill_value=1.0)[steps]
    gap = np.maximum(np.abs(share - before), np.abs(share - curve["estimate"][steps])).max()
    assert table["max_distance"].item() == pytest.approx(gap)


def test_beyond_the_last_day_kaplan_meier_is_missing_and_every_row_is_marked():
    data = made()
    last = int(data["time"].max())
    table = extrapolate_retention(data, times=[100, last, last + 1], distributions=["weibull"])
    assert table["extrapolated"].tolist() == [False, False, True] * 2
    assert table["estimate"].isna().tolist() == [False, False, True, False, False, False]
    assert set(table["observed_until"]) == {last}
    km = kaplan_meier(data, times=[100])["estimate"].item()
    assert table["estimate"].iloc[0] == km


def test_groups_are_fitted_alone_and_keep_their_order():
    data = made()
    table = extrapolate_retention(data, times=[900, 100], distributions=["weibull"], by="site")
    assert table["site"].tolist() == ["甲"] * 4 + ["乙"] * 4
    assert table["site"].dtype == data["site"].dtype
    assert table["time"].tolist() == [900, 100] * 4
    alone = extrapolate_retention(
        data[data["site"] == "乙"], times=[900, 100], distributions=["weibull"]
    )
    pd.testing.assert_frame_equal(table.drop(columns="site").iloc[4:].reset_index(drop=True), alone)


def test_frequencies_are_repeated_rows():
    data = made(80).assign(n=lambda t: 1 + t["time"] % 2)
    repeated = data.loc[data.index.repeat(data["n"])]
    for function, settings in ((compare_parametric, {}), (extrapolate_retention, {"times": [90]})):
        names = {"distributions": ["weibull"], **settings}
        pd.testing.assert_frame_equal(
            function(data, freq="n", **names), function(repeated, **names), rtol=1e-8
        )


def test_every_engine_gives_the_same_table(engine):
    data = made(80).astype({"site": str})
    settings = {"times": [50, 900], "distributions": ["weibull"], "by": "site"}
    expected = extrapolate_retention(data, **settings)
    found = extrapolate_retention(engine.make(data), **settings)
    pd.testing.assert_frame_equal(found, expected, rtol=1e-8)


def test_what_cannot_be_meant_is_refused():
    with pytest.raises(UsageError, match="distributions is empty"):
        compare_parametric(FOUR, distributions=[])
    with pytest.raises(UsageError, match="did you mean 'weibull'"):
        extrapolate_retention(FOUR, times=[1], distributions=["weibul"])
    with pytest.raises(UsageError, match="times=-1 must be a whole number"):
        extrapolate_retention(FOUR, times=[-1])
    with pytest.raises(DataError, match="column site is missing"):
        extrapolate_retention(FOUR, times=[1], by="site")
    with pytest.raises(DataError, match="time is 0 in 1 of 4 rows"):
        compare_parametric(FOUR.assign(time=[0, 3, 7, 9]))
