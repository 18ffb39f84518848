"""Groups: what is not recorded is shown, not left out."""

import duckdb
import pandas as pd
import polars as pl
import pytest

from loyalty_research.cohort import derive_groups
from loyalty_research.errors import DataError

COHORT = pd.DataFrame(
    {"patient_id": ["a", "b", "c", "d"], "sex": ["female", None, " ", "男"], "age": [30, 40, 30, 1]}
)


def column(frame, name):
    if isinstance(frame, duckdb.DuckDBPyRelation):
        frame = frame.df()
    frame = frame.to_pandas() if isinstance(frame, pl.DataFrame) else frame
    return dict(zip(frame["patient_id"], frame[name], strict=True))


@pytest.mark.parametrize("make", [lambda frame: frame, pl.from_pandas, duckdb.from_df])
def test_missing_and_blank_values_are_a_group_of_their_own(make):
    named = derive_groups(make(COHORT), by="sex")
    assert column(named, "group") == {
        "a": "female",
        "b": "not recorded",
        "c": "not recorded",
        "d": "男",
    }
    assert column(named, "age") == {"a": 30, "b": 40, "c": 30, "d": 1}
    assert set(column(named, "sex").values()) == {"female", None, " ", "男"}
    assert type(named) is type(make(COHORT))


def test_numbers_become_names():
    assert derive_groups(COHORT, by="age")["group"].tolist() == ["30", "40", "30", "1"]


def test_a_column_that_is_not_there_is_refused():
    with pytest.raises(DataError, match="column segx is missing"):
        derive_groups(COHORT, by="segx")


@pytest.mark.parametrize("make", [lambda frame: frame, pl.from_pandas, duckdb.from_df])
def test_without_a_column_everybody_is_in_one_group(make):
    assert set(column(derive_groups(make(COHORT), by=""), "group").values()) == {"all patients"}
