from __future__ import annotations

import datetime as dt

import narwhals.stable.v2 as nw
import pandas as pd
import polars as pl
import pytest

from loyalty_research.data.frames import (
    Check,
    day_number,
    is_missing,
    open_tables,
    require_columns,
    value_faults,
)
from loyalty_research.data.lending import collect, lend
from loyalty_research.errors import DataError

DAYS = [
    *[dt.date(1899, 12, 31), dt.date(1900, 1, 1), dt.date(1900, 3, 1), dt.date(1970, 1, 1)],
    *[dt.date(2000, 2, 29), dt.date(2000, 3, 1), dt.date(2023, 12, 31), dt.date(2024, 1, 1)],
    *[dt.date(2024, 2, 29), dt.date(2024, 12, 31), dt.date(2100, 2, 28), dt.date(2100, 3, 1)],
]


def test_a_day_number_is_pythons_ordinal_in_every_engine(engine):
    table = engine.make(pd.DataFrame({"patient_id": range(12), "day": pd.to_datetime(DAYS)}))
    lent = lend({"table": table})["table"].select("patient_id", n=day_number(nw.col("day")))
    rows = collect(lent.sort("patient_id")).to_pylist()
    assert [row["n"] for row in rows] == [day.toordinal() for day in DAYS]


def test_the_number_of_a_missing_day_is_missing(engine):
    days = pd.to_datetime(["2024-02-29", None])
    table = engine.make(pd.DataFrame({"patient_id": [1, 2], "day": days}))
    lent = lend({"table": table})["table"].select("patient_id", n=day_number(nw.col("day")))
    rows = collect(lent.sort("patient_id")).to_pylist()
    assert [row["n"] for row in rows] == [dt.date(2024, 2, 29).toordinal(), None]


def test_the_time_of_day_does_not_count():
    frame = pl.LazyFrame({"at": [dt.datetime(2024, 2, 29, 23, 59, 59)]})
    number = nw.from_native(frame).select(n=day_number(nw.col("at"))).collect()["n"].item()
    assert number == dt.date(2024, 2, 29).toordinal()


def test_every_missing_column_is_a_fault_with_the_nearest_name(engine):
    table = engine.make(pd.DataFrame({"patient": [1], "visit_dat": [2]}))
    with pytest.raises(DataError) as refused:
        require_columns(table, ["visit_date", "fee"], table="visits")
    assert [str(fault) for fault in refused.value.faults] == [
        "visits: column visit_date is missing; did you mean visit_dat?",
        "visits: column fee is missing; add it or name the column that holds it",
    ]


def test_names_are_not_alike_by_their_ending_alone():
    table = pd.DataFrame({"visit_id": [1], "birth_date": [1]})
    with pytest.raises(DataError) as refused:
        require_columns(table, ["staff_id", "death_date", "visits_id"], table="visits")
    assert [str(fault) for fault in refused.value.faults] == [
        "visits: column staff_id is missing; add it or name the column that holds it",
        "visits: column death_date is missing; add it or name the column that holds it",
        "visits: column visits_id is missing; did you mean visit_id?",
    ]


def test_types_of_all_tables_are_checked_at_once():
    visits = pd.DataFrame({"patient_id": ["a"], "visit_date": ["2024-01-01"]})
    patients = pd.DataFrame({"patient_id": [1], "death_date": [2024]})
    with pytest.raises(DataError) as refused:
        open_tables(
            {"visits": visits, "patients": patients, "enrolments": None},
            ids="patient_id",
            dates={"visits": ["visit_date"], "patients": ["death_date"]},
        )
    assert [fault.message for fault in refused.value.faults] == [
        "column visit_date is String, not a date",
        "column death_date is Int64, not a date",
        "patient_id is a number but text in visits",
    ]


def test_a_date_column_without_any_value_is_a_date_column():
    patients = pd.DataFrame({"patient_id": [1, 2], "death_date": [None, None]})
    lent = open_tables({"patients": patients}, ids="patient_id", dates={"patients": ["death_date"]})
    assert lent["patients"].collect_schema()["death_date"] == nw.Date


def test_values_are_counted_in_one_pass_and_never_quoted(engine):
    table = engine.make(pd.DataFrame({"patient_id": ["secret", "secret", None], "fee": [1, -2, 3]}))
    checks = [
        is_missing("patient_id", repair="name it"),
        Check("fee", nw.col("fee") < 0, "is negative", "check it"),
        Check("fee", nw.col("fee") > 9, "is too high", "check it"),
    ]
    faults = value_faults(lend({"t": table})["t"], checks, table="visits", unique="patient_id")
    assert [str(fault) for fault in faults] == [
        "visits: patient_id is missing in 1 of 3 rows; name it",
        "visits: fee is negative in 1 of 3 rows; check it",
        "visits: patient_id occurs more than once, in 1 of 3 rows too many; keep one row a patient",
    ]


def test_a_table_without_rows_is_a_fault_unless_it_may_be_empty(engine):
    lent = lend({"t": engine.make(pd.DataFrame({"fee": [1]}).head(0))})["t"]
    assert [str(fault) for fault in value_faults(lent, [], table="visits")] == [
        "visits: the table has no rows; check the source or the selection"
    ]
    assert value_faults(lent, [], table="visits", may_be_empty=True) == []
