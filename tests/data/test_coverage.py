"""Visits by month, months without any included."""

import duckdb
import pandas as pd
import polars as pl
import pytest

from loyalty_research.data.coverage import count_visits_by_month
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
