"""The whole chain from visits to the curve finds the retention that a simulated study states.

At clinics where the programme never starts nobody is ever enrolled, so the curve there is that of
never-enrolled patients, whose truth the study states for each clinic.
"""

from __future__ import annotations

import pandas as pd
import pytest

from loyalty_research.cohort import apply_criteria, derive_index_dates, known, observable_for
from loyalty_research.data.simulate import SimulatedStudy, simulate_study
from loyalty_research.retention import derive_lapse_dates, derive_time_to_event, kaplan_meier

DAYS = [0, 30, 90, 180, 365, 730]
CUTOFF = "2024-12-31"


@pytest.fixture(scope="module")
def study() -> SimulatedStudy:
    return simulate_study(seed=20, n_patients=60_000)


def curve(study: SimulatedStudy, lapse_days: int) -> pd.DataFrame:
    """Return the curve at the clinics without the programme, at the days of interest."""
    rollout, patients = study.tables["rollout"], study.tables["patients"]
    without = rollout.loc[rollout["start_date"].isna(), "facility_id"]
    patients = patients[patients["home_facility_id"].isin(without)]
    visits = study.tables["visits"]
    visits = visits[visits["patient_id"].isin(patients["patient_id"])]
    cohort, _ = apply_criteria(
        derive_index_dates(visits, patients=patients),
        criteria={
            "came": known("index_date"),
            "could lapse": observable_for(lapse_days, data_cutoff=CUTOFF),
        },
    )
    cohort = derive_lapse_dates(visits, lapse_days=lapse_days, data_cutoff=CUTOFF, cohort=cohort)
    cohort = derive_time_to_event(
        cohort,
        event_date="lapse_date",
        censor_dates=["death_date", "moved_date", "followed_until"],
        data_cutoff=CUTOFF,
    )
    return kaplan_meier(cohort, by="home_facility_id", times=DAYS, conf_level=0.999)


def with_truth(found: pd.DataFrame, study: SimulatedStudy) -> pd.DataFrame:
    stated = pd.DataFrame(study.truth["retention"]).query("arm == 'never_enrolled'")
    stated = stated.rename(columns={"population": "home_facility_id", "estimate": "truth"})
    return found.merge(stated, on=["home_facility_id", "time"], validate="one_to_one")


@pytest.mark.parametrize("lapse_days", [180, 365])
def test_the_stated_retention_lies_in_the_interval_on_every_day_at_every_clinic(study, lapse_days):
    table = with_truth(curve(study, lapse_days), study)
    assert len(table) == 2 * len(DAYS)
    assert table["truth"].between(table["conf_low"], table["conf_high"]).all()
    # An interval so wide that it holds everything would prove nothing.
    assert (table["conf_high"] - table["conf_low"]).max() < 0.07


def test_a_window_shorter_than_the_patients_pauses_finds_too_many_lapses(study):
    table = with_truth(curve(study, 90), study).query("time >= 365")
    assert (table["conf_high"] < table["truth"]).all()
