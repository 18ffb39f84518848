from __future__ import annotations

import pandas as pd
import pytest

from loyalty_research.cohort import derive_index_dates
from loyalty_research.errors import DataError, UsageError


def day(number: int | None) -> pd.Timestamp:
    """Return a day counted from 2023-01-01, which is day 0."""
    return pd.NaT if number is None else pd.Timestamp("2023-01-01") + pd.Timedelta(days=number)


def visits_on(**patients: list[int | None]) -> pd.DataFrame:
    rows = [(patient, day(number)) for patient, days in patients.items() for number in days]
    return pd.DataFrame(rows, columns=["patient_id", "visit_date"])


def index_of(visits: pd.DataFrame, **more) -> dict[str, int]:
    """Return the index day of each patient who has one, as a number."""
    table = derive_index_dates(visits, **more).dropna(subset="index_date")
    return dict(zip(table["patient_id"], (table["index_date"] - day(0)).dt.days, strict=True))


VISITS = visits_on(a=[90, 5, 5, 300], b=[40])
WASHOUT = {"rule": "washout", "data_start": "2023-01-01"}


# --- rules ----------------------------------------------------------------------------------------


def test_the_first_visit_is_the_index():
    assert index_of(VISITS) == {"a": 5, "b": 40}


def test_the_nth_day_with_a_visit_counts_several_visits_on_a_day_once():
    assert index_of(VISITS, rule="nth", n=2) == {"a": 90}
    assert index_of(VISITS, rule="nth", n=3) == {"a": 300}


def test_the_first_day_with_a_visit_is_the_first_visit():
    assert index_of(VISITS, rule="nth", n=1) == index_of(VISITS)


def test_after_a_washout_exactly_that_many_days_must_be_free_of_visits():
    # Day 90 is 85 days after day 5: the 84 days 6 to 89 are free, the 85th before it is not.
    assert index_of(VISITS, washout_days=84, **WASHOUT) == {"a": 90}
    assert index_of(VISITS, washout_days=85, **WASHOUT) == {"a": 300}


def test_a_washout_must_have_been_visible():
    # Before day 40 exactly 40 days could be seen.
    assert index_of(visits_on(b=[40]), washout_days=40, **WASHOUT) == {"b": 40}
    assert index_of(visits_on(b=[40]), washout_days=41, **WASHOUT) == {}


def test_a_washout_is_visible_only_from_the_patients_own_observation():
    patients = pd.DataFrame({"patient_id": ["b"], "observed_from": [day(10)]})
    visits = visits_on(b=[40, 80])
    assert index_of(visits, washout_days=30, patients=patients, **WASHOUT) == {"b": 40}
    assert index_of(visits, washout_days=31, patients=patients, **WASHOUT) == {"b": 80}


def test_a_washout_of_no_days_is_the_first_visit():
    assert index_of(VISITS, washout_days=0, **WASHOUT) == index_of(VISITS)


def test_an_enrolment_is_an_index_with_or_without_a_visit():
    enrolments = pd.DataFrame(
        {
            "patient_id": ["b", "a", "a", "c"],
            "programme_id": ["p", "q", "p", "q"],
            "enrolment_date": [day(7), day(2), day(9), day(1)],
        }
    )
    assert index_of(VISITS, rule="enrolment", enrolments=enrolments) == {"a": 2, "b": 7, "c": 1}
    in_p = {"rule": "enrolment", "enrolments": enrolments, "programme": "p"}
    assert index_of(VISITS, **in_p) == {"a": 9, "b": 7}


def test_days_outside_a_patients_observation_are_not_eligible():
    patients = pd.DataFrame(
        {
            "patient_id": ["a", "b"],
            "observed_from": [day(6), None],
            "observed_until": [day(200), day(39)],
        }
    )
    assert index_of(VISITS, patients=patients) == {"a": 90}


def test_all_patients_stay_with_their_columns_untouched_in_their_order():
    patients = pd.DataFrame(
        {
            "patient_id": ["c", "b", "a"],
            "sex": pd.Categorical(["female", "male", "male"]),
            "birth_year": pd.array([1950, None, 1960], dtype="Int64"),
        },
        index=[7, 8, 9],
    )
    table = derive_index_dates(VISITS, patients=patients)
    expected = patients.assign(index_date=[day(None), day(40), day(5)])
    pd.testing.assert_frame_equal(table, expected)


# --- engines --------------------------------------------------------------------------------------


@pytest.mark.parametrize("ids", ["text", "number"])
@pytest.mark.parametrize(
    "rule",
    [
        {"rule": "first"},
        {"rule": "nth", "n": 2},
        {"washout_days": 60, **WASHOUT},
    ],
    ids=["first", "nth", "washout"],
)
def test_every_engine_gives_the_same_index_dates(engine, rule, ids):
    visits = VISITS if ids == "text" else VISITS.assign(patient_id=VISITS["patient_id"].map(ord))
    table = derive_index_dates(engine.make(visits), **rule)
    expected = derive_index_dates(visits, **rule)
    pd.testing.assert_frame_equal(engine.read(table), expected, check_dtype=False)


def test_every_engine_keeps_the_patients_columns(engine):
    patients = pd.DataFrame(
        {
            "病人": ["a", "b", "c"],
            "observed_from": [day(6), pd.NaT, pd.NaT],
            "observed_until": pd.Series([pd.NaT] * 3, dtype="datetime64[ns]"),
            "医院": ["甲", "乙", "甲"],
        }
    )
    table = derive_index_dates(
        engine.make(VISITS.rename(columns={"patient_id": "病人", "visit_date": "就诊日期"})),
        patients=engine.make(patients),
        patient="病人",
        date="就诊日期",
    )
    table = engine.read(table, sort="病人")
    assert list(table) == [*patients, "index_date"]
    assert table["医院"].tolist() == ["甲", "乙", "甲"]
    assert table["index_date"].tolist() == [day(90), day(40), day(None)]


def test_a_local_time_of_day_never_moves_the_day():
    # 00:30 in Shanghai is still the day before in Greenwich.
    early = pd.to_datetime(["2023-03-02 00:30"]).tz_localize("Asia/Shanghai")
    table = derive_index_dates(pd.DataFrame({"patient_id": ["a"], "visit_date": early}))
    assert table["index_date"].item() == pd.Timestamp("2023-03-02")


def test_the_input_is_unchanged():
    visits = VISITS.copy()
    derive_index_dates(visits)
    pd.testing.assert_frame_equal(visits, VISITS)


def test_no_index_date_is_no_row(engine):
    table = derive_index_dates(engine.make(VISITS), rule="nth", n=99)
    assert len(engine.read(table)) == 0


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"rule": "frist"}, "rule='frist' is not known; did you mean 'first'"),
        ({"rule": "washout"}, "needs data_start"),
        ({"rule": "enrolment"}, "needs enrolments"),
        ({"rule": "nth", "n": 0}, "n=0 must be a whole number, at least 1"),
        ({"washout_days": -1}, "washout_days=-1 must be a whole number"),
        ({"rule": "washout", "data_start": "the start"}, "data_start='the start' is not a day"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(setting, message):
    with pytest.raises(UsageError, match=message):
        derive_index_dates(VISITS, **setting)


def test_an_unknown_programme_is_refused_with_the_nearest():
    enrolments = pd.DataFrame(
        {"patient_id": ["a"], "programme_id": ["diabetes"], "enrolment_date": [day(1)]}
    )
    with pytest.raises(UsageError, match="did you mean 'diabetes'"):
        derive_index_dates(VISITS, rule="enrolment", enrolments=enrolments, programme="diabettes")


def test_all_faults_of_all_tables_are_in_one_error_without_a_value(engine):
    visits = visits_on(a=[1, None], secret=[3])
    patients = pd.DataFrame({"patient_id": ["a", "a", None], "sex": ["female"] * 3})
    with pytest.raises(DataError) as refused:
        derive_index_dates(engine.make(visits), patients=engine.make(patients))
    assert [str(fault) for fault in refused.value.faults] == [
        "visits: visit_date is missing in 1 of 3 rows; "
        "give every row a date, or drop it in the source",
        "patients: patient_id is missing in 1 of 3 rows; "
        "give every row the patient it belongs to, or drop it in the source",
        "patients: patient_id occurs more than once, in 1 of 3 rows too many; "
        "keep one row a patient",
        "visits: patient_id of 1 patients is not in patients; "
        "add them to patients or drop their rows",
    ]
    assert "secret" not in str(refused.value)


def test_missing_columns_of_all_tables_are_in_one_error():
    with pytest.raises(DataError) as refused:
        derive_index_dates(
            VISITS.rename(columns={"visit_date": "visit_day"}),
            patients=pd.DataFrame({"id": ["a"]}),
        )
    assert [str(fault) for fault in refused.value.faults] == [
        "visits: column visit_date is missing; did you mean visit_day?",
        "patients: column patient_id is missing; add it or name the column that holds it",
    ]
