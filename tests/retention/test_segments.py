"""Segments declared in advance: all are shown, none is slipped in."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from loyalty_research.errors import DataError, UsageError
from loyalty_research.retention.continuity import continuity_summary
from loyalty_research.retention.curves import kaplan_meier
from loyalty_research.retention.group_tests import gehan_test, logrank_test
from loyalty_research.retention.segments import CHECKS, check_segments, segment_table

COHORT = pd.DataFrame(
    {
        "patient_id": list("abcdef"),
        "sex": ["f", "f", "f", "m", None, " "],
        "chronic": [True, False, True, False, True, False],
        "band": [1, 1, 2, 2, 2, 2],
        "time": [1, 2, 3, 4, 5, 6],
        "event": [True, False, True, True, False, True],
        "upc": [0.5, 1.0, None, 0.75, 0.5, 1.0],
    }
)
SEX = ["m", "f", "other", "not recorded"]


def at_day_3(data, by):
    return kaplan_meier(data, by=by, times=[1, 3])


# --- checks ---------------------------------------------------------------------------------------


def test_sizes_are_counted_by_hand():
    table = check_segments(COHORT, segments={"sex": SEX, "band": [1, 2]}, minimum=3)
    assert list(table) == CHECKS
    assert table["check"].tolist() == [
        "sex: m", "sex: f", "sex: other", "sex: not recorded", "sex: undeclared level",
        "band: 1", "band: 2", "band: undeclared level", "number of segments",
    ]  # fmt: skip
    assert table["n"].tolist() == [1, 3, 0, 2, 0, 2, 4, 0, 6]
    assert table["statistic"].tolist() == [1 / 6, 3 / 6, 0, 2 / 6, 0, 2 / 6, 4 / 6, 0, 6]
    passed = table["passed"].tolist()
    assert passed[:-1] == [False, True, False, False, True, False, True, True]
    assert passed[-1] is pd.NA
    assert table["gating"].tolist() == [False] * 4 + [True] + [False] * 2 + [True, False]
    assert (table["threshold"][:4] == 3 / 6).all()


def test_an_undeclared_level_fails_a_gating_check():
    table = check_segments(COHORT, segments={"sex": ["f", "m"]}, minimum=1).set_index("check")
    row = table.loc["sex: undeclared level"]
    assert row["n"] == 2
    assert not row["passed"]
    assert row["gating"]


def test_messages_give_no_number_of_patients_away():
    table = check_segments(COHORT, segments={"sex": SEX}, minimum=30)
    assert table["message"].tolist()[:3] == [
        "sex: m has fewer than 30 patients: read it as a description only",
        "sex: f has fewer than 30 patients: read it as a description only",
        "Nobody is in sex: other",
    ]


def test_the_number_of_segments_says_what_chance_alone_would_do():
    message = check_segments(COHORT, segments={"sex": SEX, "band": [1, 2]})["message"].iloc[-1]
    assert "With 6 segments" in message
    assert "up to 30 %" in message
    assert "Bonferroni's level is 0.83 %" in message


# --- the table ------------------------------------------------------------------------------------


def test_each_declared_segment_has_its_rows_in_the_order_declared():
    table = segment_table(COHORT, segments={"sex": SEX}, estimator=at_day_3)
    assert list(table)[:4] == ["segment", "level", "time", "n_at_risk"]
    assert table["level"].tolist() == [level for level in SEX for _ in range(2)]
    assert table["time"].tolist() == [1, 3] * 4
    assert table["n_at_risk"].tolist() == [1, 1, 3, 1, 0, 0, 2, 2]
    assert table["estimate"].isna().tolist() == [False] * 4 + [True] * 2 + [False] * 2
    # f: events on days 1 and 3, one leaves on day 2.
    assert table.loc[table["level"] == "f", "estimate"].tolist() == pytest.approx([2 / 3, 0])
    assert (table["n_segments"] == 4).all()


def test_a_level_is_estimated_as_if_alone():
    table = segment_table(COHORT, segments={"band": [1, 2]}, estimator=at_day_3)
    for band in (1, 2):
        alone = kaplan_meier(COHORT[COHORT["band"] == band], times=[1, 3])
        part = table[table["level"] == str(band)].reset_index(drop=True)
        pd.testing.assert_frame_equal(part[list(alone)], alone)


def test_several_columns_count_together():
    segments = {"band": [1, 2], "chronic": [True, False, "not recorded"]}
    table = segment_table(COHORT, segments=segments, estimator=at_day_3)
    assert table["segment"].tolist() == ["band"] * 4 + ["chronic"] * 6
    assert (table["n_segments"] == 5).all()
    assert table["level"].unique().tolist() == ["1", "2", "true", "false", "not recorded"]


def test_each_term_of_an_estimator_is_there_for_an_empty_level():
    table = segment_table(
        COHORT,
        segments={"sex": SEX},
        estimator=lambda data, by: continuity_summary(data, by=by, indices="upc"),
    )
    empty = table[table["level"] == "other"]
    assert empty["term"].tolist() == ["upc", "upc >= 0.75"]
    assert empty["n"].tolist() == [0, 0]
    assert empty["estimate"].isna().all()
    mean_of_f = table[(table["level"] == "f") & (table["term"] == "upc")].iloc[0]
    assert mean_of_f["estimate"] == 0.75
    assert mean_of_f["n_events"] is pd.NA  # a mean counts no events: missing, not 0


def test_every_engine_gives_the_same_segments(engine):
    segments = {"sex": SEX, "band": [1, 2]}
    expected = segment_table(COHORT, segments=segments, estimator=at_day_3)
    got = segment_table(engine.make(COHORT), segments=segments, estimator=at_day_3)
    pd.testing.assert_frame_equal(got, expected, check_dtype=False)
    checks = check_segments(engine.make(COHORT), segments=segments)
    pd.testing.assert_frame_equal(checks, check_segments(COHORT, segments=segments))


def test_levels_that_differ_by_chance_alone_are_rarely_found_at_bonferronis_level():
    # 20 segments of 300 without any difference: each mean against the truth at 5 % / 20.
    draws = np.random.default_rng(3)
    data = pd.DataFrame({"level": draws.integers(0, 20, 6000), "upc": draws.random(6000)})
    table = segment_table(
        data,
        segments={"level": range(20)},
        estimator=lambda data, by: continuity_summary(
            data, by=by, indices="upc", conf_level=1 - 0.05 / 20
        ),
    )
    means = table[table["term"] == "upc"]
    assert ((means["conf_low"] < 0.5) & (means["conf_high"] > 0.5)).all()


# --- bad input ------------------------------------------------------------------------------------


def test_a_level_that_was_not_declared_is_refused_with_the_repair():
    with pytest.raises(DataError, match="2 faults") as refusal:
        segment_table(COHORT, segments={"sex": ["f", "m"], "band": [1]}, estimator=at_day_3)
    told = str(refusal.value)
    assert "sex has a level that was not declared in 2 of 6 rows; declare all levels" in told
    assert "'not recorded' for missing values" in told
    assert "band has a level that was not declared in 4 of 6 rows" in told


@pytest.mark.parametrize(
    ("segments", "words"),
    [
        ({}, "segments must name columns with their levels"),
        (["sex"], "segments must name columns with their levels"),
        ({"sex": []}, "must be a list of at least one level"),
        ({"sex": "f"}, "must be a list of at least one level"),
        ({"band": [1, "1"]}, "declares a level twice"),
    ],
)
def test_segments_that_cannot_be_meant_are_refused(segments, words):
    with pytest.raises(UsageError, match=words):
        check_segments(COHORT, segments=segments)


def test_a_column_that_is_missing_is_named_with_the_nearest():
    with pytest.raises(DataError, match="column sexx is missing; did you mean sex"):
        check_segments(COHORT, segments={"sexx": ["f"]})


def test_a_cohort_without_rows_is_refused():
    with pytest.raises(DataError, match="the table has no rows"):
        check_segments(COHORT[:0], segments={"band": [1]})


def test_a_minimum_below_one_is_refused():
    with pytest.raises(UsageError, match="minimum=0"):
        check_segments(COHORT, segments={"band": [1, 2]}, minimum=0)


def test_a_test_is_refused_as_a_comparison_and_not_as_a_missing_by():
    data = COHORT.assign(time=range(1, len(COHORT) + 1), event=True)
    levels = sorted(data["band"].dropna().unique()) + ["not recorded"] * data["band"].hasnans
    for test in (logrank_test, gehan_test):
        with pytest.raises(UsageError, match=r"the estimator is a test, .* run it by itself"):
            segment_table(data, segments={"band": levels}, estimator=test)


def test_an_estimator_that_ignores_the_groups_is_refused():
    with pytest.raises(UsageError, match="hand `by` on to the estimator"):
        segment_table(
            COHORT, segments={"band": [1, 2]}, estimator=lambda data, by: kaplan_meier(data)
        )
