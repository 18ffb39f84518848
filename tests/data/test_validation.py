"""Every way in which data break the contract is one fault with its count and its repair."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from loyalty_research.data.contract import CONTRACT
from loyalty_research.data.study import Study, open_study, validate
from loyalty_research.data.validation import event_column
from loyalty_research.errors import DataError, Fault

Faults = Callable[..., list[Fault]]


def only(faults: list[Fault]) -> Fault:
    assert len(faults) == 1, faults
    return faults[0]


def with_value(frame: pd.DataFrame, column: str, value: Any, row: int = 0) -> pd.DataFrame:
    values = frame[column].astype(object)
    values.iloc[row] = value
    return frame.assign(**{column: values})


def test_a_study_without_a_fault_opens(opened: Callable[..., Study]) -> None:
    study = opened()
    assert study.checks["passed"].all()
    assert (study.checks["statistic"] == 0).all()


def test_a_missing_table_is_a_fault(faults: Faults) -> None:
    fault = only(faults(visits=None))
    assert str(fault) == (
        "visits: the table is missing; name its file under [tables.visits] in study.toml"
    )


def test_a_missing_required_column_is_a_fault(faults: Faults, visits: pd.DataFrame) -> None:
    fault = only(faults(visits=visits.drop(columns="visit_date")))
    assert (fault.table, fault.column, fault.count) == ("visits", "visit_date", 1)
    assert fault.message == "the column visit_date is missing"
    assert "name it by columns" in fault.repair


def test_a_mapped_column_that_is_not_there_is_a_fault(faults: Faults) -> None:
    fault = only(faults({"tables": {"patients": {"columns": {"insurance": "医保"}}}}))
    assert fault.message == 'the column "医保", named as insurance, is not in the source'


def test_a_stated_extra_column_that_is_not_there_is_a_fault(faults: Faults) -> None:
    fault = only(faults({"tables": {"patients": {"extra": {"income": "number"}}}}))
    assert fault.message == "the column income is missing"


def test_text_in_a_column_of_numbers_is_a_fault(faults: Faults, visits: pd.DataFrame) -> None:
    fault = only(faults(visits=with_value(visits, "fee", "12 yuan")))
    assert fault.message == "fee is not a number in 1 of 4 rows"
    assert "yuan" not in str(fault)
    assert fault.repair == (
        "write numbers with a decimal point, without units, "
        'or leave the column out by fee = "" under [tables.visits.columns]'
    )


def test_a_required_column_of_numbers_cannot_be_left_out(faults: Faults) -> None:
    measured = pd.DataFrame(
        {
            "measurement_id": ["1"],
            "patient_id": ["0012"],
            "measurement_date": ["2024-01-05"],
            "measure": ["sbp"],
            "value": ["120,5"],
        }
    )
    fault = only(faults(measurements=measured))
    assert fault.repair == "write numbers with a decimal point, without units"


@pytest.mark.parametrize("value", ["inf", "nan"])
def test_a_number_is_finite(faults: Faults, visits: pd.DataFrame, value: str) -> None:
    fault = only(faults(visits=with_value(visits, "fee", value)))
    assert fault.message == "fee is not a finite number in 1 of 4 rows"


def test_a_column_of_mixed_types_is_a_fault(faults: Faults, visits: pd.DataFrame) -> None:
    mixed = visits.assign(department=["surgery", 7, 8.5, b"x"])
    fault = only(faults(visits=mixed))
    assert fault.message == "department mixes values of several types in 4 rows"
    assert "surgery" not in str(fault)


def test_a_column_of_lists_is_a_fault(faults: Faults, patients: pd.DataFrame) -> None:
    fault = only(faults(patients=patients.assign(conditions=[["asthma"], [], []])))
    assert fault.message == "conditions is of type VARCHAR[], which holds no single value"


def test_a_required_table_without_rows_is_a_fault(faults: Faults, visits: pd.DataFrame) -> None:
    assert only(faults(visits=visits.iloc[:0])).message == "the table has no rows"


def test_an_optional_table_without_rows_is_no_fault(opened: Callable[..., Study]) -> None:
    enrolments = pd.DataFrame(
        columns=["enrolment_id", "patient_id", "programme_id", "enrolment_date"]
    )
    assert opened(enrolments=enrolments).checks["passed"].all()


def test_a_repeated_key_is_a_fault(faults: Faults, visits: pd.DataFrame) -> None:
    # v1, v1, v1, v4: two rows repeat the key of an earlier one.
    fault = only(faults(visits=visits.assign(visit_id=["v1", "v1", "v1", "v4"])))
    assert fault.message == "visit_id repeats that of an earlier row in 2 of 4 rows"


def test_a_key_of_two_columns_repeats_only_as_a_pair(
    faults: Faults, opened: Callable[..., Study]
) -> None:
    rollout = pd.DataFrame(
        {"facility_id": ["a", "a", "b"], "programme_id": ["x", "y", "x"], "start_date": None}
    )
    assert opened(rollout=rollout).checks["passed"].all()
    fault = only(faults(rollout=rollout.assign(facility_id="a")))
    assert (
        fault.message
        == "facility_id with programme_id repeats that of an earlier row in 1 of 3 rows"
    )


def test_a_visit_of_an_unknown_patient_is_a_fault(faults: Faults, visits: pd.DataFrame) -> None:
    fault = only(faults(visits=with_value(visits, "patient_id", "0099")))
    assert fault.message == "patient_id is not in patients.patient_id in 1 of 4 rows"
    assert "0099" not in str(fault)


def test_a_table_that_nobody_brought_is_not_asked_for_references(
    opened: Callable[..., Study], visits: pd.DataFrame
) -> None:
    assert opened(visits=visits.assign(facility_id="f1")).has("visits", "facility_id")


def test_a_visit_at_an_unknown_clinic_is_a_fault_once_clinics_are_known(
    faults: Faults, visits: pd.DataFrame
) -> None:
    facilities = pd.DataFrame({"facility_id": ["f2"]})
    fault = only(faults(visits=visits.assign(facility_id="f1"), facilities=facilities))
    assert fault.message == "facility_id is not in facilities.facility_id in 4 of 4 rows"


def test_a_visit_before_birth_is_a_fault(faults: Faults, visits: pd.DataFrame) -> None:
    fault = only(faults(visits=with_value(visits, "visit_date", "1949-12-31")))
    assert fault.message == "visit_date is before the patient's birth_year in 1 of 4 rows"


def test_a_visit_in_the_year_of_birth_is_no_fault(
    opened: Callable[..., Study], visits: pd.DataFrame
) -> None:
    assert opened(visits=with_value(visits, "visit_date", "1950-01-01")).checks["passed"].all()


def test_a_visit_after_the_cut_off_is_a_fault(faults: Faults, visits: pd.DataFrame) -> None:
    fault = only(faults(visits=with_value(visits, "visit_date", "2025-01-01")))
    assert fault.message == "visit_date is after the data_cutoff 2024-12-31 in 1 of 4 rows"


def test_a_planned_contact_may_lie_after_the_cut_off(opened: Callable[..., Study]) -> None:
    contacts = pd.DataFrame(
        {"contact_id": ["c"], "patient_id": ["0012"], "due_date": ["2025-06-01"]}
    )
    assert opened(contacts=contacts).checks["passed"].all()


def test_a_missing_value_is_a_fault_where_none_may_be(faults: Faults, visits: pd.DataFrame) -> None:
    fault = only(faults(visits=with_value(visits, "visit_date", None)))
    assert str(fault) == (
        "visits: visit_date is missing in 1 of 4 rows; "
        "give every row a value or drop the row in the source"
    )


def test_an_unreadable_date_is_a_fault_named_by_file(folder: Path, visits: pd.DataFrame) -> None:
    broken = visits.assign(visit_date=["2024-02-30", "5.3.24", "2024-01-05", "2024-13-01"])
    broken.to_csv(folder / "visits.csv", index=False)
    with pytest.raises(DataError) as caught:
        open_study(folder)
    assert caught.value.exit_status == 3
    fault = only(caught.value.faults)
    assert fault.message == (
        'visit_date is not a date in the stated format in 3 of 4 rows of "visits.csv"'
    )
    assert fault.repair == "state date_format for the table or the column"
    assert "2024-02-30" not in str(fault)


def test_of_a_few_unreadable_dates_the_rows_are_at_fault_rather_than_the_format(
    faults: Faults, visits: pd.DataFrame
) -> None:
    fault = only(faults(visits=with_value(visits, "visit_date", "5.3.24")))
    assert str(fault) == (
        "visits: visit_date cannot be read as a date by %Y-%m-%d in 1 of 4 rows; "
        "mend these rows in the source, or add their format to date_format"
    )


def test_the_formats_that_were_tried_are_those_of_the_column(
    faults: Faults, visits: pd.DataFrame
) -> None:
    formats = {"visit_date": ["%Y-%m-%d", "%Y/%m/%d"]}
    broken = with_value(visits, "visit_date", "5.3.24")
    fault = only(faults({"tables": {"visits": {"formats": formats}}}, visits=broken))
    assert "read as a date by %Y-%m-%d or %Y/%m/%d in 1 of 4 rows" in fault.message
    assert fault.repair.endswith("or add their format to formats.visit_date")


def test_a_few_dates_among_blanks_are_all_of_the_dates(
    faults: Faults, patients: pd.DataFrame
) -> None:
    # One row in three, but the only date there is: its format is the fault.
    fault = only(faults(patients=patients.assign(death_date=["5.3.24", None, ""])))
    assert fault.message == "death_date is not a date in the stated format in 1 of 3 rows"


def test_a_further_column_of_times_names_its_formats_as_well(
    faults: Faults, visits: pd.DataFrame
) -> None:
    left = ["2024-01-05 10:00:00", "2024-03-05 10:00:00", "soon", None]
    settings = {"extra": {"left_at": "timestamp"}, "timestamp_format": "%Y-%m-%d %H:%M:%S"}
    fault = only(faults({"tables": {"visits": settings}}, visits=visits.assign(left_at=left)))
    assert fault.message == "left_at cannot be read as a time by %Y-%m-%d %H:%M:%S in 1 of 4 rows"
    assert fault.repair.endswith("or add their format to timestamp_format")


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_of_several_files_the_worst_are_named_first(
    folder: Path, visits: pd.DataFrame, ending: str
) -> None:
    (folder / "visits.csv").unlink()
    (folder / "visits").mkdir()
    for year, wrong in enumerate([0, 1, 2]):
        dates = ["soon"] * wrong + ["2024-01-05"] * (4 - wrong)
        part = visits.assign(visit_date=dates, visit_id=[f"{year}-{i}" for i in range(4)])
        path = folder / "visits" / f"y{year}.{ending}"
        part.to_csv(path, index=False) if ending == "csv" else part.to_parquet(path)
    with pytest.raises(DataError, match=r"3 of 12 rows \(\"y2\.\w+\" 2, \"y1\.\w+\" 1\)"):
        open_study(folder)


def test_a_two_digit_year_is_not_taken_for_the_first_century(
    faults: Faults, visits: pd.DataFrame
) -> None:
    enrolled = faults(visits=with_value(visits, "visit_date", "24-01-05"))
    assert "visit_date is before 1880-01-01 in 1 of 4 rows" in [f.message for f in enrolled]


def test_a_code_outside_the_choices_is_a_fault_that_lists_them(
    faults: Faults, visits: pd.DataFrame
) -> None:
    fault = only(faults(visits=with_value(visits, "visit_type", "secret")))
    assert fault.message == (
        "visit_type is none of clinic, home, online, phone, other in 1 of 4 rows"
    )
    assert "[tables.visits.codes.visit_type]" in fault.repair
    assert "secret" not in str(fault)


@pytest.mark.parametrize(
    ("year", "message"),
    [(1879, "birth_year is below 1880"), (2101, "birth_year is above 2100")],
)
def test_a_number_outside_its_bounds_is_a_fault(
    faults: Faults, patients: pd.DataFrame, year: int, message: str
) -> None:
    found = faults(patients=with_value(patients, "birth_year", year))
    assert f"{message} in 1 of 3 rows" in [fault.message for fault in found]


def test_a_negative_fee_is_a_fault(faults: Faults, visits: pd.DataFrame) -> None:
    assert only(faults(visits=with_value(visits, "fee", "-1"))).message == (
        "fee is below 0 in 1 of 4 rows"
    )


def test_a_fraction_is_refused_rather_than_rounded(faults: Faults, patients: pd.DataFrame) -> None:
    fault = only(faults(patients=with_value(patients, "birth_year", 1950.5)))
    assert fault.message == "birth_year is not a whole number in 1 of 3 rows"


def test_dates_that_contradict_each_other_are_a_fault(faults: Faults) -> None:
    enrolments = pd.DataFrame(
        {
            "enrolment_id": ["e1", "e2"],
            "patient_id": ["0012", "0013"],
            "programme_id": "p",
            "enrolment_date": ["2024-02-01", "2024-02-01"],
            "end_date": ["2024-01-31", "2024-02-01"],
        }
    )
    fault = only(faults(enrolments=enrolments))
    assert fault.message == "end_date is before enrolment_date in 1 of 2 rows"


def test_a_blank_identifier_is_a_fault(faults: Faults, visits: pd.DataFrame) -> None:
    fault = only(faults(visits=with_value(visits, "visit_id", "  ")))
    assert fault.message == "visit_id is blank in 1 of 4 rows"


def test_all_faults_of_all_tables_are_in_one_error(
    faults: Faults, patients: pd.DataFrame, visits: pd.DataFrame
) -> None:
    found = faults(
        patients=with_value(patients, "sex", "x"),
        visits=with_value(visits.drop(columns="visit_id"), "fee", "free"),
        points=pd.DataFrame({"movement_id": ["m"]}),
    )
    assert {(fault.table, fault.column) for fault in found} == {
        ("patients", "sex"),
        ("visits", "visit_id"),
        ("visits", "fee"),
        ("points", "patient_id"),
        ("points", "movement_date"),
        ("points", "movement"),
        ("points", "points"),
    }


def test_the_order_of_the_rows_does_not_matter(
    faults: Faults, patients: pd.DataFrame, visits: pd.DataFrame
) -> None:
    broken = visits.assign(visit_id="v", patient_id=["0012", "9", None, " "], fee="x")
    shuffled = broken.sample(frac=1, random_state=1)
    assert faults(visits=broken) == faults(visits=shuffled, patients=patients.iloc[::-1])


def test_no_message_quotes_a_value(
    faults: Faults, patients: pd.DataFrame, visits: pd.DataFrame
) -> None:
    name = "Wang-Xiaoming"
    text = "\n".join(
        str(fault)
        for fault in faults(
            patients=patients.assign(birth_year=name, sex=name, death_date=name),
            visits=visits.assign(patient_id=name, visit_date=name, visit_type=name),
        )
    )
    assert "birth_year is not a number in 3 of 3 rows" in text
    assert name not in text


def test_counts_are_written_with_thousands(faults: Faults, visits: pd.DataFrame) -> None:
    many = pd.concat([visits] * 1_500, ignore_index=True)
    many = many.assign(visit_id=range(6_000), visit_date=[None] * 12 + ["2024-01-05"] * 5_988)
    assert "visit_date is missing in 12 of 6,000 rows" in only(faults(visits=many)).message


def test_validate_lists_every_rule_and_never_raises_on_data(
    frames: dict[str, pd.DataFrame], visits: pd.DataFrame
) -> None:
    frames["visits"] = with_value(visits, "fee", "-1")
    checks = validate(frames, mapping={"data_cutoff": "2024-12-31"})
    assert checks.columns.tolist() == [
        "check", "statistic", "threshold", "passed", "gating", "message",
    ]  # fmt: skip
    assert checks["gating"].all()
    assert (checks["threshold"] == 0).all()
    failed = checks[~checks["passed"]]
    assert failed["check"].tolist() == ["visits.fee: below"]
    assert failed["statistic"].tolist() == [1]
    assert failed["message"].str.startswith("visits: fee is below 0 in 1 of 4 rows").all()


def test_validate_takes_a_study_that_is_open(opened: Callable[..., Study]) -> None:
    study = opened()
    pd.testing.assert_frame_equal(validate(study), study.checks)


@pytest.mark.parametrize("table", CONTRACT)
def test_the_rows_of_a_table_are_dated_by_a_required_column(table: str) -> None:
    column = event_column(table)
    assert column == "" or CONTRACT[table].by_name[column].required
