"""Only one rule of censoring finds the true retention of patients who leave without a word.

The numbers are those of a known life: exponential with mean 700 days, a visit every 30 days, data
until day 1,460. The date of the last visit is at most one visit before the end of the life, so the
truth about it is S(t) = P(floor(life / 30) * 30 > t).
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from loyalty_research.retention import derive_lapse_dates, derive_time_to_event, kaplan_meier

START = pd.Timestamp("2020-01-01")
LOCK, MEAN_LIFE, EVERY, TWO_YEARS = 1460, 700, 30, 730
CUTOFF = START + pd.Timedelta(days=LOCK)


@pytest.fixture(scope="module")
def cohort() -> pd.DataFrame:
    """Patients who start on any day that leaves a year to see, with visits until they leave."""
    rng = np.random.default_rng(14)
    n = 20_000
    entry = rng.integers(0, LOCK - 365, n)
    n_visits = np.floor(rng.exponential(MEAN_LIFE, n) / EVERY).astype(int) + 1
    patient = np.repeat(np.arange(n), n_visits)
    first = np.repeat(np.cumsum(n_visits) - n_visits, n_visits)
    day = np.repeat(entry, n_visits) + EVERY * (np.arange(len(patient)) - first)
    visits = pd.DataFrame({"patient_id": patient, "visit_date": START + pd.to_timedelta(day, "D")})
    visits = visits[day <= LOCK]
    index = pd.DataFrame(
        {"patient_id": np.arange(n), "index_date": START + pd.to_timedelta(entry, "D")}
    )
    return derive_lapse_dates(visits, lapse_days=365, data_cutoff=CUTOFF, cohort=index)


TRUTH = math.exp(-EVERY * math.ceil((TWO_YEARS + 1) / EVERY) / MEAN_LIFE)
"""The last visit is after day 730 if the 25th visit interval, ending on day 750, is outlived."""


def retention(cohort: pd.DataFrame, censor_date: str) -> pd.Series:
    times = derive_time_to_event(
        cohort, event_date="lapse_date", censor_dates=[censor_date], data_cutoff=CUTOFF
    )
    return kaplan_meier(times, times=[TWO_YEARS]).iloc[0]


def test_censoring_lapse_days_before_the_cutoff_finds_the_truth(cohort):
    found = retention(cohort, "followed_until")
    assert pytest.approx(0.3425, abs=5e-5) == TRUTH
    assert found["estimate"] == pytest.approx(TRUTH, abs=0.012)
    assert found["conf_low"] < TRUTH < found["conf_high"]


def test_censoring_at_the_last_visit_overstates_it_by_more_than_a_tenth(cohort):
    assert retention(cohort, "last_visit_date")["estimate"] > TRUTH + 0.1


def test_censoring_at_the_cutoff_overstates_it_by_more_than_a_tenth(cohort):
    at_lock = cohort.assign(lock=CUTOFF)
    assert retention(at_lock, "lock")["estimate"] > TRUTH + 0.1
