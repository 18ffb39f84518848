"""When a patient has stayed away too long, case by case: lapse_days 100, cut-off 2023-12-31."""

from __future__ import annotations

import pandas as pd
import pytest

from loyalty_research.errors import DataError, UsageError
from loyalty_research.retention import derive_lapse_dates

CUTOFF = "2023-12-31"
START = pd.Timestamp("2023-01-01")
NEVER = pd.NaT


def day(number: int | None) -> pd.Timestamp:
    """Return a day counted from 2023-01-01, which is day 0; the cut-off is day 364."""
    return NEVER if number is None else START + pd.Timedelta(days=number)


def visits_on(*days: int, patient: object = "a") -> pd.DataFrame:
    return pd.DataFrame({"patient_id": patient, "visit_date": [day(number) for number in days]})


def cohort_of(index: int = 0, **dates: int | None) -> pd.DataFrame:
    columns = {name: [day(number)] for name, number in dates.items()}
    return pd.DataFrame({"patient_id": ["a"], "index_date": [day(index)], **columns})


def lapse(visits: pd.DataFrame, cohort: pd.DataFrame | None = None, lapse_days: int = 100):
    rows = derive_lapse_dates(visits, lapse_days=lapse_days, data_cutoff=CUTOFF, cohort=cohort)
    return rows.iloc[0]


# --- gaps -----------------------------------------------------------------------------------------


def test_a_gap_of_exactly_lapse_days_is_no_lapse_and_one_day_more_is():
    assert pd.isna(lapse(visits_on(0, 100, 200, 300))["lapse_date"])
    assert lapse(visits_on(0, 101, 200, 300))["lapse_date"] == day(0)


def test_an_open_gap_of_exactly_lapse_days_is_no_lapse_and_one_day_more_is():
    assert pd.isna(lapse(visits_on(200, 264))["lapse_date"])
    assert lapse(visits_on(200, 263))["lapse_date"] == day(263)


def test_the_first_long_gap_is_the_lapse_even_if_the_patient_came_back():
    row = lapse(visits_on(0, 50, 200, 310))
    assert row["lapse_date"] == day(50)
    assert row["last_visit_date"] == day(310)


def test_several_visits_on_one_day_count_once():
    row = lapse(visits_on(0, 0, 90, 90, 90, 150, 240, 300))
    assert row["n_visit_days"] == 5
    assert pd.isna(row["lapse_date"])


def test_a_visit_on_the_cutoff_counts():
    row = lapse(visits_on(300, 364))
    assert row["last_visit_date"] == day(364)
    assert pd.isna(row["lapse_date"])


def test_times_of_day_do_not_make_a_gap_longer():
    visits = visits_on(0, 100, 200, 300)
    hours = pd.to_timedelta([23, 1, 13, 0], unit="h")
    late = visits.assign(visit_date=visits["visit_date"] + hours)
    pd.testing.assert_series_equal(lapse(late), lapse(visits))


def test_everyone_without_a_lapse_is_followed_until_lapse_days_before_the_cutoff():
    assert lapse(visits_on(200, 300))["followed_until"] == day(264)


# --- windows of observation -----------------------------------------------------------------------


def test_death_thirty_days_after_the_last_visit_is_not_a_lapse():
    row = lapse(visits_on(0, 50), cohort_of(death_date=80))
    assert pd.isna(row["lapse_date"])
    assert row["followed_until"] == day(80)


def test_death_long_after_the_last_visit_leaves_a_lapse():
    row = lapse(visits_on(0, 50), cohort_of(death_date=151))
    assert row["lapse_date"] == day(50)


def test_death_in_the_last_lapse_days_does_not_extend_follow_up():
    # After day 264 no lapse of anybody could be known, so nobody is followed there.
    assert lapse(visits_on(0, 90, 180, 270), cohort_of(death_date=300))["followed_until"] == day(
        264
    )


def test_the_earlier_of_death_and_move_ends_follow_up():
    row = lapse(visits_on(0, 50), cohort_of(death_date=120, moved_date=100))
    assert row["followed_until"] == day(100)


def test_a_gap_is_open_only_until_the_end_of_the_patients_observation():
    row = lapse(visits_on(0, 50), cohort_of(observed_until=150))
    assert pd.isna(row["lapse_date"])
    assert row["followed_until"] == day(50)
    assert lapse(visits_on(0, 50), cohort_of(observed_until=151))["lapse_date"] == day(50)


def test_a_missing_end_of_observation_is_the_cutoff():
    with_column = lapse(visits_on(200, 300), cohort_of(200, observed_until=None))
    assert with_column["followed_until"] == day(264)


def test_visits_before_the_index_date_are_not_counted():
    row = lapse(visits_on(0, 200, 270), cohort_of(200))
    assert row["n_visit_days"] == 2
    assert pd.isna(row["lapse_date"])


def test_visits_after_the_end_of_observation_are_not_counted():
    row = lapse(visits_on(0, 90, 180), cohort_of(observed_until=120))
    assert row["last_visit_date"] == day(90)


def test_an_index_date_without_a_visit_starts_the_first_gap():
    assert lapse(visits_on(101, 200, 300), cohort_of(0))["lapse_date"] == day(0)
    assert pd.isna(lapse(visits_on(100, 200, 300), cohort_of(0))["lapse_date"])


def test_a_patient_of_the_cohort_who_never_comes_lapses_on_the_index_date():
    row = lapse(visits_on(5, patient="b"), cohort_of(0))
    assert row["lapse_date"] == day(0)
    assert row["n_visit_days"] == 0
    assert pd.isna(row["last_visit_date"])


def test_the_cohorts_own_columns_stay():
    cohort = cohort_of(0).assign(sex=pd.Categorical(["female"]), lapse_date="replaced")
    table = derive_lapse_dates(visits_on(0), lapse_days=9, data_cutoff=CUTOFF, cohort=cohort)
    assert list(table) == [
        *["patient_id", "index_date", "sex"],
        *["lapse_date", "last_visit_date", "n_visit_days", "followed_until"],
    ]
    assert table["sex"].dtype == "category"
    assert table["lapse_date"].item() == day(0)


# --- engines --------------------------------------------------------------------------------------

VISITS = pd.concat(
    [
        visits_on(0, 50, 200, 310, patient="a"),
        visits_on(10, 10, 100, patient="b"),
        visits_on(300, 364, patient="c"),
    ]
)
EXPECTED = pd.DataFrame(
    {
        "patient_id": ["a", "b", "c"],
        "lapse_date": [day(50), day(100), NEVER],
        "last_visit_date": [day(310), day(100), day(364)],
        "n_visit_days": [4, 2, 2],
        "followed_until": [day(264)] * 3,
    }
)


def as_ids(table: pd.DataFrame, kind: str) -> pd.DataFrame:
    ids = table["patient_id"].map({"a": 1, "b": 2, "c": 3}) if kind == "int64" else None
    return table if ids is None else table.assign(patient_id=ids.astype("int64"))


@pytest.mark.parametrize("ids", ["text", "int64"])
def test_every_engine_gives_the_same_lapses(engine, ids):
    visits = engine.make(as_ids(VISITS, ids))
    table = derive_lapse_dates(visits, lapse_days=100, data_cutoff=CUTOFF)
    expected = as_ids(EXPECTED, ids)
    pd.testing.assert_frame_equal(engine.read(table), expected, check_dtype=False)


def test_every_engine_gives_the_same_lapses_of_a_cohort(engine):
    cohort = pd.DataFrame(
        {
            "病人": ["a", "b", "c", "d"],
            "index_date": [day(0), day(10), day(300), day(40)],
            "death_date": [NEVER, day(150), NEVER, NEVER],
            "observed_until": [NEVER, NEVER, NEVER, day(150)],
        }
    )
    visits = VISITS.rename(columns={"patient_id": "病人", "visit_date": "就诊日期"})
    table = derive_lapse_dates(
        engine.make(visits),
        lapse_days=100,
        data_cutoff=CUTOFF,
        cohort=engine.make(cohort),
        patient="病人",
        date="就诊日期",
    )
    table = engine.read(table, sort="病人")
    assert table["lapse_date"].tolist() == [day(50), NEVER, NEVER, day(40)]
    assert table["followed_until"].tolist() == [day(264), day(150), day(264), day(50)]
    assert table["n_visit_days"].tolist() == [4, 2, 2, 0]


def test_visits_and_cohort_may_live_in_different_kinds_of_frame(engine):
    cohort = cohort_of(0)
    expected = derive_lapse_dates(VISITS, lapse_days=100, data_cutoff=CUTOFF, cohort=cohort)
    table = derive_lapse_dates(
        engine.make(VISITS), lapse_days=100, data_cutoff=CUTOFF, cohort=cohort
    )
    pd.testing.assert_frame_equal(table, expected)


def test_the_input_is_unchanged():
    visits, cohort = VISITS.copy(), cohort_of(0)
    derive_lapse_dates(visits, lapse_days=100, data_cutoff=CUTOFF, cohort=cohort)
    pd.testing.assert_frame_equal(visits, VISITS)
    pd.testing.assert_frame_equal(cohort, cohort_of(0))


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize("lapse_days", [0, -1, 90.0, True, "90"])
def test_lapse_days_must_be_a_number_of_days(lapse_days):
    with pytest.raises(UsageError, match=r"lapse_days=.* must be a whole number, at least 1"):
        lapse(visits_on(0), lapse_days=lapse_days)


def test_data_cutoff_must_be_a_day():
    with pytest.raises(UsageError, match="data_cutoff='soon' is not a day"):
        derive_lapse_dates(visits_on(0), lapse_days=1, data_cutoff="soon")


def test_all_faults_of_both_tables_are_in_one_error_without_a_value(engine):
    visits = pd.DataFrame({"patient_id": ["a", None, "a"], "visit_date": [day(400), day(1), NEVER]})
    cohort = pd.DataFrame(
        {
            "patient_id": ["a", "a", "b", "c"],
            "index_date": [NEVER, day(9), day(20), day(500)],
            "observed_from": [NEVER, day(10), NEVER, NEVER],
            "death_date": [NEVER, NEVER, day(19), NEVER],
        }
    )
    with pytest.raises(DataError) as refused:
        derive_lapse_dates(
            engine.make(visits), lapse_days=9, data_cutoff=CUTOFF, cohort=engine.make(cohort)
        )
    assert [fault.message for fault in refused.value.faults] == [
        "patient_id is missing in 1 of 3 rows",
        "visit_date is missing in 1 of 3 rows",
        "visit_date is after data_cutoff in 1 of 3 rows",
        "index_date is missing in 1 of 4 rows",
        "index_date is after data_cutoff in 1 of 4 rows",
        "index_date is before observed_from in 1 of 4 rows",
        "index_date is after death_date in 1 of 4 rows",
        "patient_id occurs more than once, in 1 of 4 rows too many",
    ]
    assert "2023" not in str(refused.value)


def test_dates_as_text_are_refused():
    visits = pd.DataFrame({"patient_id": ["a"], "visit_date": ["2023-01-01"]})
    with pytest.raises(DataError, match="column visit_date is String, not a date; parse it"):
        lapse(visits)


def test_ids_of_different_types_are_refused_before_the_engine_compares_them():
    with pytest.raises(DataError, match="patient_id is text but a number in visits"):
        lapse(visits_on(0, patient=1), cohort_of(0))


def test_no_visits_are_refused():
    with pytest.raises(DataError, match="the table has no rows"):
        lapse(visits_on(0).head(0))
