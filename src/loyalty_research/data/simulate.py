"""A study drawn from a stated world, so that every estimate can be held against the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from loyalty_research.data.estimands import true_values
from loyalty_research.data.lives import Draws, Lives, draw_lives
from loyalty_research.data.scenario import NEVER, PROGRAMME, Scenario
from loyalty_research.data.simulate_events import (
    Visits,
    codes,
    contacts_table,
    dates,
    enrolments_table,
    points_table,
    visits_table,
)
from loyalty_research.data.simulate_outcomes import (
    complaints_table,
    measurements_table,
    referrals_table,
    surveys_table,
)
from loyalty_research.data.write import write_study
from loyalty_research.errors import UsageError

__all__ = ["SimulatedStudy", "simulate_study", "write_study"]

DEFAULTS = Scenario()


@dataclass(frozen=True)
class SimulatedStudy:
    """A simulated study: its tables in contract form, its truth, and its settings.

    `tables` maps table names to pandas frames; `truth` is what `truth.json` holds; `settings` is
    what `study.toml` holds but for the files; `latent` has one row a patient with what no real
    study would know: `lapse_day` and `planned_enrolment_day`, in days since the first visit
    (missing = later than any study).
    """

    tables: dict[str, pd.DataFrame]
    truth: dict[str, Any]
    settings: dict[str, Any]
    latent: pd.DataFrame


def simulate_study(
    *,
    seed: int,
    n_patients: int,
    start: date = DEFAULTS.start,
    data_cutoff: date = DEFAULTS.data_cutoff,
    n_facilities: int = DEFAULTS.n_facilities,
    facility_names: Sequence[str] | None = None,
    programme_log_hazard_ratio: float = DEFAULTS.programme_log_hazard_ratio,
    sbp_effect: float = DEFAULTS.sbp_effect,
    satisfaction_effect: float = DEFAULTS.satisfaction_effect,
    reach_probability: float = DEFAULTS.reach_probability,
    complaint_rate: float = DEFAULTS.complaint_rate,
    referral_rate: float = DEFAULTS.referral_rate,
) -> SimulatedStudy:
    """Draw patients, visits and all they leave behind from a world with known truth.

    Patients lapse by grouped proportional hazards (see `draw_lives`); the programme goes live at
    different clinics on different days, at a quarter of them never; patients with a condition or
    aged 65 and over are both likelier to enrol and likelier to stay, so enrolled patients look
    better than the programme makes them, and comparing ever with never enrolled is worse still
    because only those who stay get enrolled. Given clinic, age group and condition, nothing else
    links enrolment with lapsing. Sex and insurance have no effect on anything.

    Args:
        seed: Any whole number from 0; the same seed gives the same study.
        n_patients: Number of patients, at least 1.
        start: First day of the study.
        data_cutoff: Last day of the study, at least 545 days after `start`.
        n_facilities: Number of clinics, at least 2.
        facility_names: Names to print, one a clinic; `Clinic A`, `Clinic B`, ... if left out.
        programme_log_hazard_ratio: Log hazard ratio of lapsing from the day of enrolment.
        sbp_effect: Change of systolic pressure (mmHg) from the day after enrolment.
        satisfaction_effect: Change of mean satisfaction (points of 1 to 5) once a clinic is live.
        reach_probability: Probability that an attempted follow-up contact reaches the patient.
        complaint_rate: Probability that a visit leads to a complaint.
        referral_rate: Recommendations a patient-year of a patient who comes, not enrolled.

    Returns:
        The study; `tables` holds patients, visits, facilities, enrolments, contacts,
        measurements, survey_responses, complaints, referrals, points and rollout.

    Raises:
        UsageError: An argument is out of its range; all such arguments are named at once.

    Examples:
        >>> study = simulate_study(seed=1, n_patients=100)
        >>> len(study.tables["patients"]), study.settings["data_cutoff"].isoformat()
        (100, '2024-12-31')
        >>> round(study.truth["estimands"]["programme_hazard_ratio"]["value"], 2)
        0.7
    """
    _check_sizes(seed, n_patients, n_facilities, facility_names)
    scenario = Scenario(
        start=start,
        data_cutoff=data_cutoff,
        n_facilities=n_facilities,
        programme_log_hazard_ratio=programme_log_hazard_ratio,
        sbp_effect=sbp_effect,
        satisfaction_effect=satisfaction_effect,
        reach_probability=reach_probability,
        complaint_rate=complaint_rate,
        referral_rate=referral_rate,
    )
    lives = draw_lives(scenario, seed=seed, n_patients=n_patients)
    ids = codes("P", n_patients, width=6)
    names = list(facility_names or map(_clinic_name, range(n_facilities)))
    truth = {"seed": seed, "n_patients": n_patients, **true_values(scenario)}
    return SimulatedStudy(
        tables=_tables(scenario, lives, ids, names, seed),
        truth=truth,
        settings={"name": "Simulated study", "data_cutoff": data_cutoff, "simulated": True},
        latent=_latent(lives, ids),
    )


def _tables(
    scenario: Scenario, lives: Lives, ids: np.ndarray, names: list[str], seed: int
) -> dict[str, pd.DataFrame]:
    visits = Visits(scenario, lives, seed)
    return {
        "patients": _patients_table(scenario, lives, ids, seed),
        "visits": visits_table(scenario, visits, ids),
        "facilities": _facilities_table(scenario, names),
        "enrolments": enrolments_table(scenario, lives, ids),
        "contacts": contacts_table(scenario, lives, ids, seed),
        "measurements": measurements_table(scenario, lives, visits, ids, seed),
        "survey_responses": surveys_table(scenario, lives, visits, ids, seed),
        "complaints": complaints_table(scenario, visits, ids, seed),
        "referrals": referrals_table(scenario, lives, ids, seed),
        "points": points_table(scenario, visits, ids, seed),
        "rollout": _rollout_table(scenario),
    }


def _patients_table(scenario: Scenario, lives: Lives, ids: np.ndarray, seed: int) -> pd.DataFrame:
    first_visit = dates(scenario, lives.first_day)
    year = first_visit.astype("datetime64[Y]").astype(np.int64) + 1970
    band = np.array(["basic", "standard", "supplementary"], dtype=object)
    chosen = Draws(seed, 11).pick(np.array([0.30, 0.55, 0.15]), len(lives))
    # Written as numbers 0 to 3: neither, hypertension, diabetes, both.
    conditions = np.array(["", "hypertension", "diabetes", "hypertension;diabetes"], dtype=object)[
        lives.hypertension + 2 * lives.diabetes
    ]

    def day(since_first: np.ndarray) -> np.ndarray:
        never = since_first >= NEVER
        return dates(scenario, np.where(never, NEVER, lives.first_day + since_first))

    return pd.DataFrame(
        {
            "patient_id": ids,
            "sex": np.where(lives.female, "female", "male").astype(object),
            "birth_year": year - lives.age,
            "home_facility_id": np.array(scenario.facility_ids, dtype=object)[lives.facility],
            "conditions": conditions,
            "insurance": band[chosen],
            "observed_until": day(lives.withdrawn),
            "death_date": day(lives.death),
            "moved_date": day(lives.moved),
        }
    )


def _facilities_table(scenario: Scenario, names: list[str]) -> pd.DataFrame:
    kinds = ["community", "specialised", "community", "general"]
    return pd.DataFrame(
        {
            "facility_id": scenario.facility_ids,
            "facility_name": names,
            "facility_type": [kinds[number % 4] for number in range(scenario.n_facilities)],
        }
    )


def _rollout_table(scenario: Scenario) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "facility_id": scenario.facility_ids,
            "programme_id": PROGRAMME,
            "start_date": dates(scenario, scenario.go_live),
        }
    )


def _latent(lives: Lives, ids: np.ndarray) -> pd.DataFrame:
    def known(days: np.ndarray) -> pd.Series:
        return pd.Series(days, dtype="Int64").where(pd.Series(days) < NEVER)

    return pd.DataFrame(
        {
            "patient_id": ids,
            "lapse_day": known(lives.lapse),
            "planned_enrolment_day": known(lives.planned),
        }
    )


def _clinic_name(number: int) -> str:
    return f"Clinic {chr(ord('A') + number)}" if number < 26 else f"Clinic {number + 1}"


def _check_sizes(
    seed: int, n_patients: int, n_facilities: int, facility_names: Sequence[str] | None
) -> None:
    rules = (
        (seed < 0, "seed must be 0 or more"),
        (n_patients < 1, "n_patients must be at least 1"),
        (
            facility_names is not None and len(facility_names) != n_facilities,
            f"facility_names must hold one name for each of the {n_facilities} clinics",
        ),
    )
    faults = [sentence for wrong, sentence in rules if wrong]
    if faults:
        raise UsageError("the simulated study cannot be drawn: " + "; ".join(faults))
