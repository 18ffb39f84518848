from __future__ import annotations

import pandas as pd
import pytest

from loyalty_research.cohort import derive_baseline
from loyalty_research.errors import DataError


def day(number: int | None) -> pd.Timestamp:
    """Return a day counted from 2023-01-01."""
    return pd.NaT if number is None else pd.Timestamp("2023-01-01") + pd.Timedelta(days=number)


COHORT = pd.DataFrame({"patient_id": ["b", "a"], "index_date": [day(400), day(100)]}, index=[5, 3])
PATIENTS = pd.DataFrame(
    {"patient_id": ["a", "b", "c"], "birth_year": [1950, 1990, 2000], "sex": ["male", None, "x"]}
)


def visits_on(**patients: list[int]) -> pd.DataFrame:
    rows = [(patient, day(number)) for patient, days in patients.items() for number in days]
    return pd.DataFrame(rows, columns=["patient_id", "visit_date"])


def measured(*rows: tuple[str, int, str, float]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["patient_id", "measurement_date", "measure", "value"])
    return table.assign(measurement_date=[day(number) for number in table["measurement_date"]])


def test_age_is_years_at_the_index_date_and_patients_columns_are_added():
    table = derive_baseline(COHORT, patients=PATIENTS)
    assert list(table) == ["patient_id", "index_date", "age", "birth_year", "sex"]
    assert table["age"].to_dict() == {5: 2024 - 1990, 3: 2023 - 1950}


def test_visits_on_the_index_date_and_later_are_not_baseline():
    visits = visits_on(a=[98, 99, 99, 100, 101], c=[1])
    table = derive_baseline(COHORT, visits=visits)
    assert table["n_visits_before"].to_dict() == {5: 0, 3: 2}


def test_the_look_back_starts_so_many_days_before_the_index_date():
    visits = visits_on(a=[69, 70])
    assert derive_baseline(COHORT, visits=visits, lookback_days=30)["n_visits_before"].max() == 1
    assert derive_baseline(COHORT, visits=visits, lookback_days=31)["n_visits_before"].max() == 2


def test_the_last_value_before_the_index_date_counts():
    values = measured(("a", 90, "sbp", 150.0), ("a", 80, "sbp", 170.0), ("a", 100, "sbp", 120.0))
    assert derive_baseline(COHORT, measurements=values)["sbp_before"].loc[3] == 150


def test_two_values_of_one_day_are_averaged():
    values = measured(("a", 90, "sbp", 150.0), ("a", 90, "sbp", 160.0), ("a", 9, "sbp", 200.0))
    assert derive_baseline(COHORT, measurements=values)["sbp_before"].loc[3] == 155


def test_what_was_not_measured_is_missing_not_zero():
    values = measured(("a", 90, "sbp", 150.0), ("b", 399, "chol", 4.9), ("b", 20, "sbp", 140.0))
    table = derive_baseline(COHORT, measurements=values)
    assert list(table)[2:] == ["chol_before", "sbp_before"]
    assert table["sbp_before"].isna().to_dict() == {5: True, 3: False}
    assert table["chol_before"].to_dict()[5] == 4.9


def test_only_the_measures_asked_for_are_added():
    values = measured(("a", 90, "sbp", 150.0), ("a", 90, "chol", 5.0))
    table = derive_baseline(COHORT, measurements=values, measures=["dbp", "sbp"])
    assert list(table)[2:] == ["dbp_before", "sbp_before"]
    assert table["dbp_before"].isna().all()


def test_every_engine_gives_the_same_baseline(engine):
    tables = {
        "patients": PATIENTS,
        "visits": visits_on(a=[98, 99, 99, 100], b=[300]),
        "measurements": measured(("a", 90, "血压", 150.0), ("b", 90, "血压", 140.0)),
    }
    renamed = {
        name: engine.make(table.rename(columns={"patient_id": "病人"}))
        for name, table in tables.items()
    }
    cohort = engine.make(COHORT.rename(columns={"patient_id": "病人"}))
    table = engine.read(derive_baseline(cohort, patient="病人", **renamed), sort="病人")
    assert list(table) == [
        *["病人", "index_date", "age", "birth_year", "sex", "n_visits_before", "血压_before"]
    ]
    assert table["age"].tolist() == [73, 34]
    assert table["n_visits_before"].tolist() == [2, 1]
    assert table["血压_before"].tolist() == [150, 140]


def test_the_cohort_is_not_changed():
    before = COHORT.copy()
    derive_baseline(COHORT, patients=PATIENTS, visits=visits_on(a=[1]))
    pd.testing.assert_frame_equal(COHORT, before)


def test_all_faults_of_all_tables_are_in_one_error():
    with pytest.raises(DataError) as refused:
        derive_baseline(
            COHORT.assign(index_date=pd.NaT),
            patients=pd.concat([PATIENTS, PATIENTS]),
            visits=visits_on(a=[1]).assign(visit_date=pd.NaT),
        )
    assert [str(fault).split(";")[0] for fault in refused.value.faults] == [
        "cohort: index_date is missing in 2 of 2 rows",
        "patients: patient_id occurs more than once, in 3 of 6 rows too many",
        "visits: visit_date is missing in 1 of 1 rows",
    ]


def test_missing_columns_are_named():
    with pytest.raises(DataError, match="measurements: column value is missing"):
        derive_baseline(COHORT, measurements=measured().drop(columns="value"))
