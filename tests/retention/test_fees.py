"""Fees by day of follow-up, and the way from visits to a value."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from loyalty_research.errors import DataError
from loyalty_research.retention.fees import derive_fees
from loyalty_research.retention.patient_value import patient_value

VISITS = pd.DataFrame(
    {
        "patient_id": ["a", "a", "a", "a", "b", "z"],
        "visit_date": pd.to_datetime(
            ["2023-12-31", "2024-01-01", "2024-01-01", "2024-01-05", "2024-02-02", "2024-01-01"]
        ),
        "fee": [7.0, 10.0, 5.0, 20.0, 9.0, 99.0],
    }
)
COHORT = pd.DataFrame(
    {
        "patient_id": ["a", "b"],
        "index_date": pd.to_datetime(["2024-01-01", "2024-02-01"]),
        "time": [4, 0],
        "event": [True, False],
    }
)


def test_fees_are_those_of_follow_up_summed_by_day(engine):
    fees = derive_fees(engine.make(VISITS), cohort=engine.make(COHORT))
    # Before the index date, after follow-up (b) and of a stranger: left out.
    assert engine.read(fees, sort="day").to_numpy().tolist() == [["a", 0, 15.0], ["a", 4, 20.0]]


def test_visits_go_all_the_way_to_a_value():
    fees = derive_fees(VISITS, cohort=COHORT)
    assert patient_value(COHORT, fees=fees, times=4)["estimate"].item() == 7.5 + 20


def test_shifted_days_give_the_same_fees():
    ten = pd.Timedelta(days=1000)
    later = VISITS.assign(visit_date=VISITS["visit_date"] + ten)
    cohort = COHORT.assign(index_date=COHORT["index_date"] + ten)
    pd.testing.assert_frame_equal(
        derive_fees(later, cohort=cohort), derive_fees(VISITS, cohort=COHORT)
    )


def test_a_visit_without_a_fee_is_refused_with_the_repair():
    with pytest.raises(DataError, match="fee is missing in 6 of 6 rows; give a visit that cost"):
        derive_fees(VISITS.assign(fee=np.nan), cohort=COHORT)
    with pytest.raises(DataError, match="time is missing in 2 of 2 rows"):
        derive_fees(VISITS, cohort=COHORT.assign(time=np.nan))


def test_text_for_a_fee_and_a_missing_column_are_refused():
    with pytest.raises(DataError, match="fee is String, not a number"):
        derive_fees(VISITS.assign(fee="ten"), cohort=COHORT)
    with pytest.raises(DataError, match="column fee is missing; did you mean fees"):
        derive_fees(VISITS.rename(columns={"fee": "fees"}), cohort=COHORT)
