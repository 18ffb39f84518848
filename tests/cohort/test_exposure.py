"""The day a patient joined, from the index date; and whether joining was possible then."""

from __future__ import annotations

import pandas as pd
import pytest

from loyalty_research.cohort import derive_exposure
from loyalty_research.errors import DataError, UsageError

COHORT = pd.DataFrame({
    "patient_id": ["a", "b", "c", "d"],
    "index_date": pd.to_datetime(["2024-01-10"] * 4),
    "home_facility_id": ["F1", "F1", "F2", "F3"],
})  # fmt: skip
ENROLMENTS = pd.DataFrame({
    "patient_id": ["a", "b", "b", "c"],
    "enrolment_date": pd.to_datetime(["2024-01-10", "2024-02-01", "2024-03-01", "2023-12-31"]),
    "programme_id": ["plan", "plan", "plan", "card"],
})  # fmt: skip
ROLLOUT = pd.DataFrame({
    "facility_id": ["F1", "F2"], "start_date": pd.to_datetime(["2024-01-10", "2024-01-11"]),
    "programme_id": "plan",
})  # fmt: skip


def test_days_count_from_the_index_date_to_the_first_enrolment(engine):
    cohort, enrolments = engine.make(COHORT), engine.make(ENROLMENTS)
    table = engine.read(derive_exposure(cohort, enrolments=enrolments))
    assert table["enrolled_day"].fillna(-999).astype(int).tolist() == [0, 22, -10, -999]


def test_a_site_is_live_from_the_day_it_starts(engine):
    tables = {"enrolments": engine.make(ENROLMENTS), "rollout": engine.make(ROLLOUT)}
    table = engine.read(derive_exposure(engine.make(COHORT), **tables))
    assert table["programme_live"].astype(bool).tolist() == [True, True, False, False]


def test_one_programme_only():
    table = derive_exposure(COHORT, enrolments=ENROLMENTS, programme="plan", rollout=ROLLOUT)
    assert table["enrolled_day"].isna().tolist() == [False, False, True, True]
    with pytest.raises(UsageError, match=r"programme='pla'.*did you mean 'plan'"):
        derive_exposure(COHORT, enrolments=ENROLMENTS, programme="pla")


def test_nobody_enrolled_leaves_all_days_missing():
    none = ENROLMENTS.head(0)
    assert derive_exposure(COHORT, enrolments=none)["enrolled_day"].isna().all()


def test_what_is_wrong_is_said_all_at_once():
    broken = ENROLMENTS.assign(enrolment_date=pd.to_datetime(["2024-01-10", None, None, None]))
    twice = pd.concat([ROLLOUT, ROLLOUT.head(1)])
    with pytest.raises(
        DataError, match=r"(?s)enrolment_date is missing in 3 of 4.*facility_id occurs more than"
    ):
        derive_exposure(COHORT, enrolments=broken, rollout=twice)
    with pytest.raises(DataError, match="facility_id is a number, home_facility_id in cohort"):
        derive_exposure(COHORT, enrolments=ENROLMENTS, rollout=ROLLOUT.assign(facility_id=[1, 2]))
    with pytest.raises(DataError, match="column home_facility_id is missing"):
        derive_exposure(
            COHORT.drop(columns="home_facility_id"), enrolments=ENROLMENTS, rollout=ROLLOUT
        )
