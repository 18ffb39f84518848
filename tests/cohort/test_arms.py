from __future__ import annotations

import pandas as pd
import pytest

from loyalty_research.cohort import assign_arms
from loyalty_research.errors import DataError, UsageError


def day(number: int | None) -> pd.Timestamp:
    """Return a day counted from 2023-01-01; the index date of every patient is day 100."""
    return pd.NaT if number is None else pd.Timestamp("2023-01-01") + pd.Timedelta(days=number)


def spells(*rows: tuple[str, int, int | None]) -> pd.DataFrame:
    return pd.DataFrame(
        [(patient, "p", day(start), day(end)) for patient, start, end in rows],
        columns=["patient_id", "programme_id", "enrolment_date", "end_date"],
    )


def arm_of(*rows: tuple[int, int | None]) -> tuple[int, int | None]:
    """Return the arm, with the enrolment's day, of one patient with these spells."""
    cohort = pd.DataFrame({"patient_id": ["a"], "index_date": [day(100)]})
    enrolments = spells(*[("a", *row) for row in rows], ("someone else", 1, None))
    row = assign_arms(cohort, enrolments=enrolments).iloc[0]
    start = row["enrolment_date"]
    return row["arm"], None if pd.isna(start) else (start - day(0)).days


def test_enrolled_on_the_index_date_is_arm_one():
    assert arm_of((100, None)) == (1, 100)


def test_enrolled_later_is_arm_zero_and_the_date_is_kept_for_censoring():
    assert arm_of((101, None)) == (0, 101)


def test_never_enrolled_is_arm_zero_without_a_date():
    assert arm_of() == (0, None)


def test_the_last_day_in_the_programme_still_belongs_to_it():
    assert arm_of((10, 100)) == (1, 10)
    assert arm_of((10, 99)) == (0, None)


def test_who_left_and_came_back_later_is_arm_zero_until_then():
    assert arm_of((10, 50), (130, None), (200, None)) == (0, 130)


def test_of_two_enrolments_on_the_index_date_the_earlier_counts():
    assert arm_of((20, None), (60, None), (150, None)) == (1, 20)


def test_without_end_dates_everybody_is_still_enrolled():
    cohort = pd.DataFrame({"patient_id": ["a"], "index_date": [day(100)]})
    enrolments = spells(("a", 3, None)).drop(columns=["end_date", "programme_id"])
    assert assign_arms(cohort, enrolments=enrolments)["arm"].item() == 1


COHORT = pd.DataFrame(
    {
        "patient_id": ["c", "a", "b"],
        "index_date": [day(100)] * 3,
        "sex": pd.Categorical(["female", "male", "male"]),
    }
)
ENROLMENTS = pd.concat(
    [
        spells(("a", 1, None), ("b", 120, 130), ("c", 1, None)),
        spells(("b", 2, None)).assign(programme_id="q"),
    ]
)


def test_only_the_programme_in_question_decides():
    by_programme = {
        programme: assign_arms(COHORT, enrolments=ENROLMENTS, programme=programme)["arm"].tolist()
        for programme in (None, "p", "q")
    }
    assert by_programme == {None: [1, 1, 1], "p": [1, 1, 0], "q": [0, 0, 1]}


def test_every_engine_gives_the_same_arms(engine):
    cohort = COHORT.assign(sex=COHORT["sex"].astype(str)).rename(columns={"patient_id": "病人"})
    enrolments = ENROLMENTS.rename(columns={"patient_id": "病人"})
    table = assign_arms(
        engine.make(cohort), enrolments=engine.make(enrolments), programme="p", patient="病人"
    )
    table = engine.read(table, sort="病人")
    assert list(table) == ["病人", "index_date", "sex", "arm", "enrolment_date"]
    assert table["arm"].tolist() == [1, 0, 1]
    assert table["enrolment_date"].tolist() == [day(1), day(120), day(1)]


def test_the_cohort_keeps_its_order_and_is_not_changed():
    before = COHORT.copy()
    table = assign_arms(COHORT, enrolments=ENROLMENTS)
    pd.testing.assert_frame_equal(table[list(COHORT)], before)
    pd.testing.assert_frame_equal(COHORT, before)


def test_nobody_enrolled_is_arm_zero_for_all():
    assert assign_arms(COHORT, enrolments=ENROLMENTS.head(0))["arm"].tolist() == [0, 0, 0]


def test_an_unknown_programme_is_refused():
    with pytest.raises(UsageError, match="programme='x' is not known; choose one of p, q"):
        assign_arms(COHORT, enrolments=ENROLMENTS, programme="x")


def test_all_faults_of_both_tables_are_in_one_error():
    cohort = pd.concat([COHORT, COHORT.head(1)]).assign(index_date=[day(1), pd.NaT, day(1), day(1)])
    enrolments = ENROLMENTS.assign(enrolment_date=pd.NaT)
    with pytest.raises(DataError) as refused:
        assign_arms(cohort, enrolments=enrolments)
    assert [fault.message for fault in refused.value.faults] == [
        "index_date is missing in 1 of 4 rows",
        "patient_id occurs more than once, in 1 of 4 rows too many",
        "enrolment_date is missing in 4 of 4 rows",
    ]


def test_missing_columns_are_named():
    with pytest.raises(DataError, match="enrolments: column programme_id is missing"):
        assign_arms(COHORT, enrolments=ENROLMENTS.drop(columns="programme_id"), programme="p")
