"""Turnbull's estimate; tests/published/interval.R made the numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loyalty_research.errors import DataError, UsageError
from loyalty_research.retention import interval_censoring
from loyalty_research.retention.curves import kaplan_meier
from loyalty_research.retention.interval_censoring import interval_retention

COLUMNS = [
    *["interval_start", "interval_end", "probability", "estimate"],
    *["conf_low", "conf_high", "conf_level", "n"],
]
THREE = pd.DataFrame({"lower": [0, 1, 3], "upper": [2, 4, None]})


def stretches(data: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Each patient's days as (low, high], the day itself as the stretch that ends with it."""
    low, high = data["lower"].to_numpy(float), data["upper"].to_numpy(float, na_value=np.inf)
    return low - (low == high), high


def chances(table: pd.DataFrame, data: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Which innermost intervals each patient may have lapsed in, and the probability of these."""
    low, high = stretches(data)
    start = table["interval_start"].to_numpy(float)
    end = table["interval_end"].to_numpy(float, na_value=np.inf)
    held = (low[:, None] <= start) & (end <= high[:, None])
    return held, held @ table["probability"].to_numpy()


def assert_no_shift_raises_the_likelihood(table: pd.DataFrame, data: pd.DataFrame) -> None:
    held, inside = chances(table, data)
    pull = (held / inside[:, None]).sum(axis=0) / len(data)
    assert table["probability"].sum() == pytest.approx(1, abs=1e-12)
    assert pull.max() - 1 <= 2e-9
    positive = table["probability"].to_numpy() > 0
    np.testing.assert_allclose(pull[positive], 1, rtol=0, atol=2e-9)


def share_at(table: pd.DataFrame, days: list) -> np.ndarray:
    end = table["interval_end"].to_numpy(float, na_value=np.inf)
    lapsed = np.append(0, np.cumsum(table["probability"]))
    return 1 - lapsed[np.searchsorted(end, days, side="right")]


# --- by hand --------------------------------------------------------------------------------------


def test_the_estimate_is_the_one_computed_by_hand():
    # (0, 2], (1, 4], (3, -]: the innermost intervals are (1, 2] and (3, 4]. The first patient can
    # only have lapsed in the one, the third only in the other, the second in both: with p and
    # 1 - p the likelihood is p * 1 * (1 - p), greatest at 1/2.
    table = interval_retention(THREE)
    assert table["interval_start"].tolist() == [1, 3]
    assert table["interval_end"].tolist() == [2, 4]
    assert table["probability"].tolist() == pytest.approx([1 / 2, 1 / 2])
    assert table["estimate"].tolist() == pytest.approx([1 / 2, 0])


def test_an_exact_day_is_the_interval_that_ends_with_it():
    # The first lapsed on day 2, the second on day 2 or 3, the third on day 3 or 4: with p on day 2
    # and 1 - p on day 3, which the last two share, the likelihood is p * 1 * (1 - p).
    data = pd.DataFrame({"lower": [2, 1, 2], "upper": [2, 3, 4]})
    table = interval_retention(data)
    assert table["interval_start"].tolist() == [1, 2]
    assert table["interval_end"].tolist() == [2, 3]
    assert table["probability"].tolist() == pytest.approx([1 / 2, 1 / 2])
    assert_no_shift_raises_the_likelihood(table, data)


def test_lapses_on_day_zero_and_patients_never_seen_lapsed_are_understood():
    table = interval_retention(pd.DataFrame({"lower": [0, 0, 5, 7], "upper": [0, 4, None, None]}))
    assert table["interval_start"].tolist() == [-1, 0, 7]
    assert table["interval_end"].isna().tolist() == [False, False, True]
    assert table["probability"].tolist() == pytest.approx([1 / 4, 1 / 4, 1 / 2])
    assert table["estimate"].iloc[:2].tolist() == pytest.approx([3 / 4, 1 / 2])
    assert np.isnan(table["estimate"].iloc[2])


def test_when_nobody_was_seen_lapsed_all_is_later_if_ever():
    table = interval_retention(pd.DataFrame({"lower": [3, 8], "upper": [None, None]}))
    assert table["interval_start"].tolist() == [8]
    assert table["probability"].tolist() == [1]
    assert table["estimate"].isna().all()


def test_the_columns_are_fixed():
    data = pd.concat([THREE.assign(site="b"), THREE.assign(site="a")])
    table = interval_retention(data, by="site")
    assert list(table) == ["site", *COLUMNS]
    assert table["site"].tolist() == ["a", "a", "b", "b"]
    assert table["n"].tolist() == [3] * 4
    assert str(table["interval_end"].dtype) == "Int64"
    assert (table["conf_level"] == 0.95).all()
    assert table[["conf_low", "conf_high"]].isna().all(axis=None)


# --- R's survfit ----------------------------------------------------------------------------------


@pytest.mark.parametrize("arm", [1, 2])
def test_the_breast_trial_is_that_of_survfit_and_likelier(arm, published):
    reference = published("interval")["bcdeter"]
    data = pd.DataFrame(reference["data"]).astype(float)
    data = data[data["treat"] == arm]
    table = interval_retention(data)
    theirs = np.array(reference[f"treat{arm}"])
    # survfit stops where a step of its EM moves the curve by less than 5e-5, some way off; within
    # an interval it puts the step at the middle.
    known = table[table["interval_end"] <= 60]
    steps = theirs[known["interval_end"].astype(int)]
    np.testing.assert_allclose(known["estimate"], steps, rtol=0, atol=2e-3)
    assert_no_shift_raises_the_likelihood(table, data)
    low, high = stretches(data)
    share = np.append(theirs, 0)
    inside = share[low.astype(int)] - share[np.where(np.isinf(high), 61, high).astype(int)]
    gain = np.log(chances(table, data)[1]).sum() - np.log(inside).sum()
    assert 0 <= gain < 1e-2


def test_the_breast_trial_has_the_numbers_of_survfit(published):
    expected = {
        1: [0.831623, 0.760856, 0.668229, 0.465858],
        2: [0.915161, 0.459983, 0.330213, 0.107615],
    }
    data = pd.DataFrame(published("interval")["bcdeter"]["data"]).astype(float)
    for arm, values in expected.items():
        table = interval_retention(data[data["treat"] == arm])
        np.testing.assert_allclose(share_at(table, [10, 20, 30, 40]), values, rtol=0, atol=6e-4)


def test_exact_days_and_overlapping_intervals_are_those_of_survfit(published):
    reference = published("interval")["made"]
    data = pd.DataFrame(reference["data"]).astype(float)
    table = interval_retention(data)
    ours = share_at(table, reference["times"])
    np.testing.assert_allclose(ours, reference["estimate"], rtol=0, atol=2e-4)
    assert_no_shift_raises_the_likelihood(table, data)


# --- properties -----------------------------------------------------------------------------------

patients = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 6), st.booleans()), min_size=1, max_size=30
)
quick = settings(max_examples=25, deadline=None)


def table_of(rows: list) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["lower", "width", "lapsed"])
    upper = (table["lower"] + table["width"]).where(table["lapsed"]).astype("Int64")
    return table.assign(upper=upper)[["lower", "upper"]]


@quick
@given(patients)
def test_no_shift_of_probability_raises_the_likelihood(rows):
    data = table_of(rows)
    table = interval_retention(data)
    assert_no_shift_raises_the_likelihood(table, data)
    # An innermost interval lies between others, in order.
    end = table["interval_end"].to_numpy(float, na_value=np.inf)
    assert (table["interval_start"].to_numpy()[1:] >= end[:-1]).all()


@quick
@given(patients)
def test_without_interval_censoring_it_is_kaplan_meier(rows):
    data = table_of(rows)
    exact = data.assign(upper=data["lower"].where(data["upper"].notna()))
    table = interval_retention(exact)
    curve = kaplan_meier(exact.assign(event=exact["upper"].notna()), time="lower")
    last = int(exact["lower"].max())
    days = [day for day in curve["time"] if day <= last]
    np.testing.assert_allclose(share_at(table, days), curve["estimate"], rtol=0, atol=1e-8)


@quick
@given(patients)
def test_the_order_of_rows_and_repeated_rows_change_nothing(rows):
    data = table_of(rows).assign(n=[1 + k % 3 for k in range(len(rows))])
    repeated = data.loc[data.index.repeat(data["n"])].iloc[::-1]
    asked = {"replicates": 5, "seed": 3}
    pd.testing.assert_frame_equal(
        interval_retention(data, freq="n", **asked), interval_retention(repeated, **asked)
    )


@quick
@given(patients, st.integers(1, 40))
def test_a_later_start_moves_the_intervals_and_changes_nothing_else(rows, shift):
    data = table_of(rows)
    still, moved = interval_retention(data), interval_retention(data + shift)
    for name in ("interval_start", "interval_end"):
        pd.testing.assert_series_equal(moved[name] - shift, still[name])
    np.testing.assert_allclose(moved["probability"], still["probability"], atol=1e-7)


# --- bootstrap and truth --------------------------------------------------------------------------


def seen_at_visits(n: int, seed: int) -> pd.DataFrame:
    """Patients who lapse at a rate of 1/50 a day and are looked at every 10 days, off by some."""
    rng = np.random.default_rng(seed)
    lapse = np.ceil(rng.exponential(50, n)).astype(int)
    phase = rng.integers(0, 10, n)
    before = np.maximum((lapse - 1 - phase) // 10 * 10 + phase, 0)
    after = (lapse - 1 - phase) // 10 * 10 + phase + 10
    last = 90 + phase
    return pd.DataFrame(
        {"lower": np.minimum(before, last), "upper": np.where(lapse > last, np.nan, after)}
    )


def test_it_finds_the_true_curve_and_the_bootstrap_holds_it():
    table = interval_retention(seen_at_visits(3000, 1), replicates=100, seed=2)
    inner = table[table["interval_end"].notna() & (table["interval_end"] < 85)]
    truth = np.exp(-inner["interval_end"].to_numpy(float) / 50)
    error = (inner["conf_high"] - inner["conf_low"]) / 3.92
    assert (np.abs(inner["estimate"] - truth) < 4 * error + 1e-9).all()
    held = ((inner["conf_low"] <= truth) & (truth <= inner["conf_high"])).mean()
    assert held > 0.75
    known = table["interval_end"].notna()
    assert table.loc[~known, ["conf_low", "conf_high"]].isna().all(axis=None)


def test_the_bootstrap_of_exact_days_has_greenwoods_width():
    time = np.arange(200) * 37 % 60
    event = np.arange(200) % 3 > 0
    data = pd.DataFrame({"lower": time, "upper": np.where(event, time, np.nan)})
    table = interval_retention(data, replicates=400, seed=5).set_index("interval_end")
    row = kaplan_meier(pd.DataFrame({"time": time, "event": event}), times=[31]).iloc[0]
    width = table.loc[31, "conf_high"] - table.loc[31, "conf_low"]
    # Two quantiles of 400 samples: some 8 % of error.
    assert width == pytest.approx(2 * 1.96 * row["std_error"], rel=0.25)


# --- engines and refusals -------------------------------------------------------------------------


def test_every_engine_gives_the_same_estimate(engine):
    data = pd.concat([THREE.assign(site="b"), THREE.assign(site="a", lower=1)], ignore_index=True)
    asked = {"by": "site", "replicates": 10, "seed": 1}
    pd.testing.assert_frame_equal(
        interval_retention(engine.make(data), **asked), interval_retention(data, **asked)
    )


def test_the_input_is_unchanged():
    data = THREE.copy()
    interval_retention(data)
    pd.testing.assert_frame_equal(data, THREE)


def test_all_faults_are_named_at_once():
    data = pd.DataFrame(
        {"lower": [5, None, -1, 1.5, 2], "upper": [3, 4, 4, 4, 2.5], "n": [1, 1, 1, 1, 0]}
    )
    with pytest.raises(DataError, match="7 faults") as refused:
        interval_retention(data.assign(site=["a", None, "b", "b", "b"]), freq="n", by="site")
    assert [fault.message for fault in refused.value.faults] == [
        "lower is not a whole number in 1 of 5 rows",
        "lower is negative in 1 of 5 rows",
        "lower is missing in 1 of 5 rows",
        "upper is not a whole number in 1 of 5 rows",
        "upper is before lower in 1 of 5 rows",
        "n is not a whole number from 1 in 1 of 5 rows",
        "site is missing in 1 of 5 rows",
    ]


def test_columns_rows_and_types_that_cannot_be_meant_are_refused():
    with pytest.raises(DataError, match="did you mean lower"):
        interval_retention(THREE, lower="lowr")
    with pytest.raises(DataError, match="the table has no rows"):
        interval_retention(THREE.iloc[:0])
    with pytest.raises(DataError, match=r"lower is .*, not a whole number; convert it"):
        interval_retention(THREE.assign(lower=["0", "1", "3"]))
    with pytest.raises(DataError, match="upper is not a whole number in 1 of 3 rows"):
        interval_retention(THREE.assign(upper=[2, 4, np.inf]))


def test_settings_that_cannot_be_meant_are_refused(monkeypatch):
    with pytest.raises(UsageError, match="replicates=10 needs a seed"):
        interval_retention(THREE, replicates=10)
    with pytest.raises(UsageError, match="by='estimate' is also a column of the result"):
        interval_retention(THREE.assign(estimate=1), by="estimate")
    with pytest.raises(UsageError, match="conf_level=95"):
        interval_retention(THREE, conf_level=95)
    monkeypatch.setattr(interval_censoring, "_MOST", 1)
    with pytest.raises(UsageError, match=r"2 innermost intervals .* count time in longer units"):
        interval_retention(THREE)
