"""Follow-up in pieces: nothing is lost, nothing is immortal."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loyalty_research.errors import DataError, UsageError
from loyalty_research.retention.cox import cox_regression
from loyalty_research.retention.curves import kaplan_meier
from loyalty_research.retention.episodes import (
    check_immortal_time,
    person_time_rates,
    split_at_times,
    split_follow_up,
)
from loyalty_research.retention.rows import open_rows

FOUR = pd.DataFrame(
    {
        "patient_id": list("abcd"),
        "time": [50, 90, 40, 30],
        "event": [1, 0, 1, 1],
        "at": [20.0, None, 0.0, 30.0],
    }
)


def test_follow_up_is_split_by_hand():
    split = split_follow_up(FOUR, exposed_at="at")
    # a enrols on day 20; b never; c on the first day; d on the day of leaving, too late.
    assert split["patient_id"].tolist() == ["a", "a", "b", "c", "d"]
    assert split["entry"].tolist() == [0, 20, 0, 0, 0]
    assert split["time"].tolist() == [20, 50, 90, 40, 30]
    assert split["event"].tolist() == [0, 1, 0, 1, 1]
    assert split["exposed"].tolist() == [False, True, False, True, False]


def test_enrolment_on_the_day_of_entry_is_exposed_from_the_start():
    data = FOUR.assign(entry=[20, 5, 0, 0])
    split = split_follow_up(data, exposed_at="at", entry="entry")
    assert split["exposed"].tolist() == [True, False, True, False]
    assert split["entry"].tolist() == [20, 5, 0, 0]


def test_a_second_exposure_splits_the_pieces_again():
    once = split_follow_up(FOUR.assign(second=30), exposed_at="at")
    twice = split_follow_up(once, exposed_at="second", entry="entry", exposed="moved")
    first = twice[twice["patient_id"] == "a"]
    assert first["entry"].tolist() == [0, 20, 30]
    assert first["event"].tolist() == [0, 0, 1]
    assert first["exposed"].tolist() == [False, True, True]
    assert first["moved"].tolist() == [False, False, True]


def test_pieces_at_fixed_times_are_those_of_survsplit(published):
    stored = published("landmark")
    patients = pd.DataFrame(stored["patients"])
    split = split_at_times(patients, times=stored["split"]["cuts"])
    assert split["entry"].tolist() == stored["split"]["entry"]
    assert split["time"].tolist() == stored["split"]["time"]
    assert split["event"].tolist() == stored["split"]["event"]
    assert split["interval"].tolist() == stored["split"]["piece"]


def test_pieces_at_exposure_are_those_of_tmerge(published):
    stored = published("landmark")
    split = split_follow_up(pd.DataFrame(stored["patients"]), exposed_at="at")
    assert len(split) == 172
    assert split["entry"].tolist() == stored["pieces"]["tstart"]
    assert split["time"].tolist() == stored["pieces"]["tstop"]
    assert split["event"].tolist() == stored["pieces"]["leaves"]
    assert split["exposed"].astype(int).tolist() == stored["pieces"]["exposed"]


def test_immortal_time_is_counted_by_hand(assert_columns):
    checks = check_immortal_time(FOUR, exposed_at="at")
    assert_columns(checks, "checks")
    # Ever: a 50 days (20 of them before) and c 40, 2 events; never: b 90 and d 30, 1 event.
    naive = (2 / 90) / (1 / 120)
    split = (2 / 70) / (1 / 140)
    assert checks["statistic"].tolist() == pytest.approx([20, 20 / 90, naive, split])
    assert checks["passed"].tolist() == [False, False, None, None]
    assert (
        check_immortal_time(FOUR.assign(at=np.nan), exposed_at="at")["passed"].tolist()[:2]
        == [True] * 2
    )


def test_exact_intervals_of_rates_agree_with_r(published):
    stored = published("landmark")["poisson"]
    for events, clock, limits in zip(*stored.values(), strict=True):
        data = pd.DataFrame({"time": [1] * events + [clock - events], "event": [1] * events + [0]})
        row = person_time_rates(data).iloc[0]
        assert row["estimate"] == events / clock
        assert [row["conf_low"], row["conf_high"]] == pytest.approx(limits, rel=1e-8)


def test_rates_of_groups_count_rows_events_and_time(assert_columns):
    split = split_follow_up(FOUR, exposed_at="at").assign(n=2)
    rates = person_time_rates(split, by="exposed", entry="entry", per=365)
    assert_columns(rates, "estimates", groups=["exposed"], more=["person_time"])
    assert rates["person_time"].tolist() == [140, 70]
    assert rates["n_events"].tolist() == [1, 2]
    assert rates["estimate"].tolist() == pytest.approx([365 / 140, 2 * 365 / 70])
    twice = person_time_rates(split, by="exposed", entry="entry", freq="n")
    assert twice["person_time"].tolist() == [280, 140]


patients = st.lists(
    st.tuples(st.integers(0, 9), st.integers(1, 12), st.booleans(), st.integers(0, 25)),
    min_size=1, max_size=25,
)  # fmt: skip


@settings(max_examples=15, deadline=None)
@given(patients, st.lists(st.integers(1, 20), min_size=1, max_size=4))
def test_a_split_changes_no_curve_no_time_and_no_event(rows, cuts):
    data = pd.DataFrame(rows, columns=["entry", "length", "event", "at"])
    data["time"] = data["entry"] + data["length"]
    whole = kaplan_meier(data, entry="entry")
    for split in (
        split_at_times(data, times=cuts, entry="entry"),
        split_follow_up(data, exposed_at="at", entry="entry"),
    ):
        assert (split["entry"] < split["time"]).all()
        assert (split["time"] - split["entry"]).sum() == data["length"].sum()
        assert split["event"].sum() == data["event"].sum()
        assert split["event"].dtype == data["event"].dtype
        again = kaplan_meier(split, entry="entry", times=whole["time"].tolist())
        columns = ["time", "n_events", "estimate", "std_error"]
        later = whole["time"] > 0
        pd.testing.assert_frame_equal(again.loc[later, columns], whole.loc[later, columns])


def test_every_engine_gives_the_same_pieces(engine):
    rng = np.random.default_rng(1)
    data = pd.DataFrame(
        {
            "patient_id": np.arange(60),
            "time": rng.integers(1, 90, 60),
            "event": rng.integers(0, 2, 60),
            "at": np.where(rng.random(60) < 0.5, np.nan, rng.integers(0, 90, 60)),
        }
    )
    for function, names in (
        (split_follow_up, {"exposed_at": "at"}),
        (split_at_times, {"times": [30, 60]}),
    ):
        expected = function(data, **names).reset_index(drop=True)
        found = engine.read(function(engine.make(data), **names), sort=["patient_id", "entry"])
        pd.testing.assert_frame_equal(found[list(expected)], expected, check_dtype=False)
    pd.testing.assert_frame_equal(
        check_immortal_time(engine.make(data), exposed_at="at"),
        check_immortal_time(data, exposed_at="at"),
    )
    pd.testing.assert_frame_equal(person_time_rates(engine.make(data)), person_time_rates(data))


def test_a_cause_is_kept_on_the_last_piece_alone():
    split = split_follow_up(FOUR.assign(event=["died", None, "lapsed", "lapsed"]), exposed_at="at")
    assert split["event"].fillna("-").tolist() == ["-", "died", "-", "lapsed", "lapsed"]


@pytest.mark.parametrize("labels", [[5, 5, 7, 7], list("wxyz")])
def test_every_piece_has_a_label_of_its_own(labels):
    data = FOUR.set_index(pd.Index(labels))
    for pieces in (
        split_follow_up(data, exposed_at="at"),
        split_at_times(data, times=[25]),
    ):
        assert pieces.index.equals(pd.RangeIndex(len(pieces)))


def test_the_input_is_unchanged():
    data = FOUR.copy()
    split_follow_up(data, exposed_at="at")
    pd.testing.assert_frame_equal(data, FOUR)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            FOUR.assign(time=[0, 90, 40, 30]),
            "time is 0 in 1 of 4 rows; 1 of them holds the event: to lose none, let all who enter",
        ),
        (
            FOUR.assign(time=[0, 90, 40, 30], event=0),
            "time is 0 in 1 of 4 rows; drop rows without time at risk",
        ),
        (
            FOUR.assign(time=[0, 0, 40, 30], event=["died", "censored", None, "died"]),
            "time is 0 in 2 of 4 rows; 1 of them holds the event",
        ),
        (FOUR.assign(at=[1.5, 2, 3, 4]), "at is not a whole number in 1 of 4 rows"),
        (FOUR.assign(at=-1), "at is negative in 4 of 4 rows"),
        (FOUR.assign(event=[1, 0, None, 1]), "event is missing in 1 of 4 rows"),
        (FOUR.iloc[:0], "the table has no rows"),
    ],
)
def test_data_that_cannot_be_split_are_refused(data, message):
    with pytest.raises(DataError, match=message):
        split_follow_up(data, exposed_at="at")


LEFT_ON_DAY_0 = pd.DataFrame(
    {
        "time": [0, 0, 5, 8, 9, 12, 13, 20],
        "event": [1, 0, 1, 1, 0, 1, 1, 1],
        "at": [None, None, 3, None, 0, 6, None, 9],
        "age": [60, 50, 71, 55, 64, 70, 41, 58],
    }
)


def test_who_enters_on_day_minus_1_keeps_the_events_of_day_0():
    whole = LEFT_ON_DAY_0.assign(entry=-1)
    for pieces in (
        split_follow_up(whole, exposed_at="at", entry="entry"),
        split_at_times(whole, times=[4, 8], entry="entry"),
    ):
        assert pieces["event"].sum() == 6
        of_pieces = kaplan_meier(pieces, entry="entry")
        of_patients = kaplan_meier(LEFT_ON_DAY_0)
        assert of_pieces["estimate"].to_list() == pytest.approx(
            of_patients.set_index("time")["estimate"].reindex(of_pieces["time"]).ffill().to_list()
        )
        assert of_pieces["n_at_risk"].iloc[0] == 8
        columns = ["estimate", "std_error", "n_events"]
        pd.testing.assert_frame_equal(
            cox_regression(pieces, covariates=["age"], entry="entry")[columns],
            cox_regression(LEFT_ON_DAY_0, covariates=["age"])[columns],
        )


def test_who_is_exposed_on_day_0_is_not_exposed_yet_on_it_if_all_enter_on_day_minus_1():
    pieces = split_follow_up(LEFT_ON_DAY_0.assign(entry=-1), exposed_at="at", entry="entry")
    own = pieces[pieces["age"] == 64]
    assert own[["entry", "time"]].to_numpy().tolist() == [[-1, 0], [0, 9]]
    assert own["exposed"].tolist() == [False, True]


@pytest.mark.parametrize("estimate", [kaplan_meier, open_rows])
def test_dropping_who_ends_at_the_start_is_priced_in_events(engine, estimate):
    data = engine.make(LEFT_ON_DAY_0.assign(entry=0))
    told = "entry is not before time in 2 of 8 rows; 1 of them holds the event: to lose none, let"
    with pytest.raises(DataError, match=told):
        estimate(data, entry="entry")
    with pytest.raises(DataError, match=r"in 2 of 8 rows; drop rows without time at risk$"):
        estimate(engine.make(LEFT_ON_DAY_0.assign(entry=0, event=0)), entry="entry")


def test_who_enters_on_day_minus_1_may_be_exposed_from_then():
    data = pd.DataFrame({"time": [0, 7], "event": [1, 1], "at": [-1, -30], "entry": [-1, -1]})
    pieces = split_follow_up(data, exposed_at="at", entry="entry")
    assert pieces["exposed"].tolist() == [True, True]
    assert pieces["event"].tolist() == [1, 1]


def test_settings_that_cannot_be_meant_are_refused():
    with pytest.raises(UsageError, match="times is empty"):
        split_at_times(FOUR, times=[])
    with pytest.raises(UsageError, match="times=0 must be a whole number, at least 1"):
        split_at_times(FOUR, times=[0])
    with pytest.raises(UsageError, match="a column entry that was not named"):
        split_follow_up(FOUR.assign(entry=1), exposed_at="at")
    with pytest.raises(UsageError, match="'at' is also a column that is read"):
        split_follow_up(FOUR, exposed_at="at", exposed="at")
    with pytest.raises(UsageError, match="per=0 must be a whole number"):
        person_time_rates(FOUR, per=0)
