"""Visits by month, and tables held so that they are computed once."""

import duckdb
import pandas as pd
import polars as pl
import pytest

from loyalty_research.data.coverage import count_visits_by_month
from loyalty_research.data.hold import hold
from loyalty_research.errors import DataError

VISITS = pd.DataFrame(
    {
        "patient_id": ["a", "a", "b", "a"],
        "visit_date": pd.to_datetime(["2023-11-30", "2023-11-01", "2023-11-15", "2024-02-29"]),
    }
)


@pytest.mark.parametrize("make", [lambda frame: frame, pl.from_pandas, duckdb.from_df])
def test_months_without_a_visit_are_shown_as_none(make):
    counts = count_visits_by_month(make(VISITS.sample(frac=1, random_state=1)))
    assert counts["month"].dt.strftime("%Y-%m").tolist() == [
        "2023-11",
        "2023-12",
        "2024-01",
        "2024-02",
    ]
    assert counts["n_visits"].tolist() == [3, 0, 0, 1]
    assert counts["n_patients"].tolist() == [2, 0, 0, 1]


def test_no_visits_give_no_months():
    assert count_visits_by_month(VISITS[:0]).empty


def test_visits_without_dates_are_refused():
    with pytest.raises(DataError, match="column visit_date is missing"):
        count_visits_by_month(VISITS[["patient_id"]])


def test_a_held_relation_is_not_computed_again():
    connection = duckdb.connect()
    connection.execute("CREATE SEQUENCE calls")
    relation = connection.sql("SELECT nextval('calls') AS n")
    held = hold(relation)
    assert held.fetchall() == held.fetchall() == [(1,)]
    assert connection.sql("SELECT nextval('calls')").fetchall() == [(2,)]


def test_a_held_relation_can_be_joined_with_its_neighbours():
    connection = duckdb.connect()
    relation = connection.sql("SELECT 1 AS patient_id")
    held = hold(relation)
    assert held.set_alias("h").join(relation.set_alias("r"), "patient_id").fetchall() == [(1,)]


def test_a_frame_in_memory_is_held_as_it_is():
    assert hold(VISITS) is VISITS
    lazy = pl.from_pandas(VISITS).lazy()
    assert hold(lazy).collect().equals(lazy.collect())
