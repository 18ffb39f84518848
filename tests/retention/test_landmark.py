"""Landmarks: the Stanford transplants, by hand, every engine, refusals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter

from loyalty_research.errors import DataError, UsageError
from loyalty_research.retention.cox import cox_regression
from loyalty_research.retention.episodes import split_follow_up
from loyalty_research.retention.landmark import apply_landmark, stack_landmarks

FIVE = pd.DataFrame(
    {
        "patient_id": list("abcde"),
        "time": [10, 30, 50, 90, 95],
        "event": [1, 1, 1, 0, 1],
        "at": [5.0, None, 30.0, 31.0, None],
        "entry": [0, 0, 0, 0, 31],
    }
)


def coefficient(data: pd.DataFrame) -> float:
    return float(CoxPHFitter().fit(data, "time", "event").params_["exposed"])


def test_the_transplants_seem_to_save_lives_only_to_who_ignores_the_wait(published):
    stored = published("landmark")
    patients = pd.DataFrame(stored["patients"])
    assert stored["naive"]["estimate"] == pytest.approx(-1.3234448, abs=1e-7)
    assert stored["varying"]["estimate"] == pytest.approx(0.12714113, abs=1e-8)
    # Day 30 after acceptance is 62 half days when the day of acceptance is the first.
    kept, attrition = apply_landmark(patients, landmark=62, exposed_at="at")
    assert attrition["n_after"].tolist() == [103, 78]
    columns = kept[["time", "event", "exposed"]].astype(int)
    assert coefficient(columns) == pytest.approx(-0.088781088, abs=1e-6)


def test_each_of_these_numbers_is_that_of_our_own_model_too(published):
    stored = published("landmark")
    patients = pd.DataFrame(stored["patients"])
    naive = cox_regression(patients, covariates=["ever"])
    assert naive["estimate"].item() == pytest.approx(-1.3234448, abs=1e-7)
    assert naive["std_error"].item() == pytest.approx(stored["naive"]["std_error"], rel=1e-6)
    pieces = split_follow_up(patients, exposed_at="at")
    varying = cox_regression(pieces, covariates=["exposed"], entry="entry")
    assert varying["estimate"].item() == pytest.approx(0.12714113, abs=1e-8)
    assert varying["std_error"].item() == pytest.approx(0.3011411, abs=1e-7)
    kept, _ = apply_landmark(patients, landmark=62, exposed_at="at")
    late = cox_regression(kept, covariates=["exposed"])
    assert late["estimate"].item() == pytest.approx(-0.088781088, abs=1e-9)
    assert late["std_error"].item() == pytest.approx(stored["landmark"]["std_error"], rel=1e-6)


def test_who_is_kept_is_counted_by_hand(assert_columns):
    kept, attrition = apply_landmark(FIVE, landmark=30, exposed_at="at", entry="entry")
    # a left before, b on the landmark; e enters after it; d is exposed a day too late.
    assert kept["patient_id"].tolist() == ["c", "d"]
    assert kept["time"].tolist() == [20, 60]
    assert kept["exposed"].tolist() == [True, False]
    assert "entry" not in kept
    assert_columns(attrition, "attrition")
    assert attrition["criterion"].tolist() == [
        "all",
        "followed beyond 30",
        "under observation at 30",
    ]
    assert attrition["n_after"].tolist() == [5, 3, 2]


def test_landmark_0_keeps_everybody_with_follow_up():
    kept, _ = apply_landmark(FIVE, landmark=0, exposed_at="at")
    pd.testing.assert_frame_equal(kept.drop(columns="exposed")[list(FIVE)], FIVE)
    assert not kept["exposed"].any()


def test_several_landmarks_are_stacked_with_a_horizon():
    stack = stack_landmarks(FIVE, landmarks=[60, 30], exposed_at="at", horizon=40)
    assert stack["landmark"].tolist() == [30, 30, 30, 60, 60]
    assert stack["time"].tolist() == [20, 40, 40, 30, 35]
    assert stack["event"].tolist() == [1, 0, 0, 0, 1]
    assert stack["exposed"].tolist() == [True, False, False, True, False]


def test_every_engine_gives_the_same_patients(engine):
    rng = np.random.default_rng(1)
    data = pd.DataFrame(
        {
            "patient_id": np.arange(80),
            "time": rng.integers(0, 90, 80),
            "event": rng.integers(0, 2, 80).astype(bool),
            "at": np.where(rng.random(80) < 0.5, np.nan, rng.integers(0, 90, 80)),
        }
    )
    expected, steps = apply_landmark(data, landmark=20, exposed_at="at")
    kept, attrition = apply_landmark(engine.make(data), landmark=20, exposed_at="at")
    columns = ["patient_id", "time", "event", "exposed"]
    pd.testing.assert_frame_equal(
        engine.read(kept)[columns], expected[columns].reset_index(drop=True), check_dtype=False
    )
    pd.testing.assert_frame_equal(attrition, steps)
    stack = stack_landmarks(engine.make(data), landmarks=[0, 20], exposed_at="at")
    assert len(engine.read(stack)) == (data["time"] > 0).sum() + len(expected)


def test_causes_beyond_the_horizon_become_missing():
    data = FIVE.assign(event=["lapsed", "died", "died", None, "lapsed"])
    stack = stack_landmarks(data, landmarks=[30], exposed_at="at", horizon=40)
    assert stack["event"].isna().tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("data", "landmark", "message"),
    [
        (FIVE, 95, "none of 5 patients is still followed at the landmark"),
        (FIVE.assign(time=[1.5, 2, 3, 4, 5]), 1, "time is not a whole number in 1 of 5 rows"),
        (FIVE.assign(time=-1), 1, "time is negative in 5 of 5 rows"),
        (FIVE.assign(event=[1, 2, 0, 1, None]), 1, "event is neither 0 nor 1 in 1 of 5 rows"),
        (FIVE.assign(at="soon"), 1, "at is String, not a whole number"),
        (FIVE.drop(columns="at"), 1, "column at is missing"),
    ],
)
def test_data_without_a_landmark_are_refused(data, landmark, message):
    with pytest.raises(DataError, match=message):
        apply_landmark(data, landmark=landmark, exposed_at="at")


def test_settings_that_cannot_be_meant_are_refused():
    with pytest.raises(UsageError, match="landmark=-1 must be a whole number"):
        apply_landmark(FIVE, landmark=-1, exposed_at="at")
    with pytest.raises(UsageError, match="'time' is also a column that is read"):
        apply_landmark(FIVE, landmark=1, exposed_at="at", exposed="time")
    with pytest.raises(UsageError, match="landmarks is empty"):
        stack_landmarks(FIVE, landmarks=[], exposed_at="at")
