"""The visits a report is about: of one clinic, of a cohort from its index dates on."""

import duckdb
import pandas as pd
import polars as pl
import pytest

from loyalty_research.cohort import trim_to_follow_up, trim_to_site
from loyalty_research.errors import DataError

VISITS = pd.DataFrame(
    {
        "patient_id": ["a", "a", "a", "b", "c"],
        "visit_date": pd.to_datetime(
            ["2023-01-01", "2023-02-01", "2023-03-01", "2023-02-01", "2023-02-01"]
        ),
        "facility_id": ["0012", "12", None, "0012", "东"],
    }
)
COHORT = pd.DataFrame(
    {"patient_id": ["a", "b"], "index_date": pd.to_datetime(["2023-02-01", None])}
)


def rows(frame):
    if isinstance(frame, duckdb.DuckDBPyRelation):
        frame = frame.df()
    frame = frame.to_pandas() if isinstance(frame, pl.DataFrame) else frame
    return sorted(zip(frame["patient_id"], frame["visit_date"].astype(str), strict=True))


ENGINES = [lambda frame: frame, pl.from_pandas, duckdb.from_df]


@pytest.mark.parametrize("make", ENGINES)
def test_visits_before_the_index_date_and_of_others_are_left_out(make):
    kept = trim_to_follow_up(make(VISITS), cohort=make(COHORT))
    assert [day[:10] for _, day in rows(kept)] == ["2023-02-01", "2023-03-01"]
    assert type(kept) is type(make(VISITS))


def test_a_patient_without_an_index_date_has_no_follow_up():
    assert "b" not in set(trim_to_follow_up(VISITS, cohort=COHORT)["patient_id"])


@pytest.mark.parametrize("make", ENGINES)
@pytest.mark.parametrize(("site", "n"), [("0012", 2), ("12", 1), ("东", 1), ("none", 0), ("", 5)])
def test_a_site_is_a_text_and_an_empty_one_is_everybody(make, site, n):
    assert len(rows(trim_to_site(make(VISITS), site=site))) == n


def test_a_site_written_as_a_number_in_the_data_is_found_by_its_text():
    visits = VISITS.assign(facility_id=[12, 12, 7, 12, 7])
    assert len(trim_to_site(visits, site="12")) == 3


def test_visits_that_name_no_facility_cannot_be_trimmed_to_one():
    with pytest.raises(DataError, match="column facility_id is missing"):
        trim_to_site(VISITS.drop(columns="facility_id"), site="0012")


def test_the_argument_is_not_changed():
    before = VISITS.copy()
    trim_to_follow_up(VISITS, cohort=COHORT)
    trim_to_site(VISITS, site="0012")
    pd.testing.assert_frame_equal(VISITS, before)
