"""Lapse windows: the whole way from visits to time, and the check that a window is long enough."""

import duckdb
import pandas as pd
import polars as pl
import pytest

from loyalty_research.errors import DataError, UsageError
from loyalty_research.retention import (
    check_lapse_windows,
    derive_retention_times,
    kaplan_meier,
    retention_by_window,
)

# a: visits 100 days apart, then a pause of 150 days, then one more visit; lapses for good after it.
# b: comes until the end. c: dies 30 days after the only visit. d: one visit, never again.
VISITS = pd.DataFrame(
    [
        ("a", "2022-01-01"),
        ("a", "2022-04-11"),
        ("a", "2022-09-08"),
        ("b", "2022-03-01"),
        ("b", "2022-06-01"),
        ("b", "2022-09-01"),
        ("b", "2022-12-01"),
        ("b", "2023-03-01"),
        ("b", "2023-06-01"),
        ("b", "2023-09-01"),
        ("b", "2023-12-01"),
        ("c", "2022-05-01"),
        ("d", "2022-02-01"),
    ],
    columns=["patient_id", "visit_date"],
).assign(visit_date=lambda visits: pd.to_datetime(visits["visit_date"]))
COHORT = pd.DataFrame(
    {
        "patient_id": ["a", "b", "c", "d"],
        "index_date": pd.to_datetime(["2022-01-01", "2022-03-01", "2022-05-01", "2022-02-01"]),
        "death_date": pd.to_datetime([None, None, "2022-05-31", None]),
    }
)
CUTOFF = "2023-12-31"


def times_of(lapse_days, cohort=COHORT, visits=VISITS):
    times = derive_retention_times(visits, cohort=cohort, lapse_days=lapse_days, data_cutoff=CUTOFF)
    return {
        row.patient_id: (row.time, row.event, row.end_reason)
        for row in times.itertuples(index=False)
    }


def test_each_patients_time_and_end_by_hand_under_180_days():
    assert times_of(180) == {
        "a": (250, True, "lapse_date"),  # 2022-01-01 to 2022-09-08
        "b": (490, False, "followed_until"),  # to 2023-12-31 less 180 days: 2023-07-04
        "c": (30, False, "death_date"),  # dead within the window: not a lapse
        "d": (0, True, "lapse_date"),
    }


def test_a_shorter_window_takes_the_pause_for_a_lapse():
    assert times_of(120)["a"] == (100, True, "lapse_date")  # 2022-04-11, before 150 days' pause


@pytest.mark.parametrize("engine", ["polars", "duckdb"])
def test_every_engine_gives_the_same_times(engine):
    make = pl.from_pandas if engine == "polars" else duckdb.from_df
    times = derive_retention_times(
        make(VISITS), cohort=make(COHORT), lapse_days=180, data_cutoff=CUTOFF
    )
    frame = times.to_pandas() if engine == "polars" else times.df()
    got = {row.patient_id: (row.time, row.event, row.end_reason) for row in frame.itertuples()}
    assert got == times_of(180)


def test_a_cohort_without_exit_dates_is_followed_by_its_visits_alone():
    assert times_of(180, cohort=COHORT.drop(columns="death_date"))["c"] == (0, True, "lapse_date")


def test_a_patient_too_late_to_be_followed_is_refused_with_the_repair():
    late = COHORT.assign(index_date=pd.Timestamp("2023-11-30"), death_date=pd.NaT)
    with pytest.raises(DataError, match="observable_for"):
        derive_retention_times(VISITS[:0], cohort=late, lapse_days=180, data_cutoff=CUTOFF)


def test_each_windows_curve_is_the_curve_of_its_own_times():
    curves = retention_by_window(
        VISITS, cohort=COHORT, lapse_windows=[120, 180], data_cutoff=CUTOFF
    )
    assert next(iter(curves.columns)) == "lapse_days"
    for days in (120, 180):
        alone = kaplan_meier(
            derive_retention_times(VISITS, cohort=COHORT, lapse_days=days, data_cutoff=CUTOFF)
        )
        part = curves[curves["lapse_days"] == days].drop(columns="lapse_days")
        pd.testing.assert_frame_equal(part.reset_index(drop=True), alone)


def test_the_share_seen_again_is_counted_by_hand():
    checks = check_lapse_windows(
        VISITS, cohort=COHORT, lapse_windows=[120, 180], data_cutoff=CUTOFF
    )
    # 120 days: a and d lapse, and a comes back. 180 days: both lapse, nobody comes back.
    assert checks["statistic"].tolist() == [1 / 2, 0]
    assert checks["passed"].tolist() == [False, True]
    assert list(checks.columns) == [
        "check",
        "statistic",
        "threshold",
        "passed",
        "gating",
        "message",
        "n",
        "n_events",
    ]
    assert checks["n"].tolist() == [2, 2]
    assert checks["n_events"].tolist() == [1, 0]
    assert checks["message"].str.endswith(("too short", "long enough")).all()


def test_a_window_under_which_nobody_lapsed_is_neither_passed_nor_failed():
    staying = COHORT[COHORT["patient_id"] == "b"]
    checks = check_lapse_windows(VISITS, cohort=staying, lapse_windows=[180], data_cutoff=CUTOFF)
    assert checks["passed"].isna().all()
    assert checks["statistic"].isna().all()
    assert checks["message"].tolist() == ["Nobody had a lapse of more than 180 days"]


@pytest.mark.parametrize("windows", [[], [90, 90]])
def test_windows_that_cannot_be_meant_are_refused(windows):
    with pytest.raises(UsageError, match="at least one window, and none twice"):
        retention_by_window(VISITS, cohort=COHORT, lapse_windows=windows, data_cutoff=CUTOFF)


def test_a_window_of_no_days_is_refused():
    with pytest.raises(UsageError, match="lapse_windows"):
        check_lapse_windows(VISITS, cohort=COHORT, lapse_windows=[0], data_cutoff=CUTOFF)
