"""A small study of waiting times, in which one clinic receives its patients in another way."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from loyalty_research.data.simulate import SimulatedStudy
from loyalty_research.data.simulate_designs import simulate_design
from loyalty_research.data.simulate_events import codes

START = date(2021, 1, 1)
CHANGE = date(2023, 1, 1)
DATA_CUTOFF = date(2024, 12, 31)
FACILITIES = {"changed": "F01", "neighbour": "F02", "control": "F03"}
_NAMES = {"F01": "Clinic with appointments", "F02": "Clinic next door", "F03": "Clinic far away"}
_PATIENTS_PER_VISIT = 0.4


def simulate_service_change(*, seed: int = 2021) -> SimulatedStudy:
    """Draw four years of waits at three clinics, the first of which changes after two.

    From 2023 on the median wait at F01 is 12 minutes and not 40. Patients whom it no longer takes
    make those of F02, next door, wait 5 minutes longer; F03 is too far away to be touched. Season
    and drift are those of the whole town.

    Args:
        seed: Any whole number from 0.

    Returns:
        The study: `patients`, `visits` (with `wait_minutes`), `facilities`.

    Examples:
        >>> study = simulate_service_change(seed=1)
        >>> study.truth["estimands"]["wait_median_F01"]["value"]
        -28.0
    """
    world = simulate_design("waiting_times", seed=seed)
    random = np.random.default_rng([seed, 1])
    visits = _visits(world.data, random)
    people = visits["patient_id"].unique()
    return SimulatedStudy(
        tables={
            "patients": _patients(np.sort(people), visits, random),
            "visits": visits,
            "facilities": pd.DataFrame({
                "facility_id": list(_NAMES), "facility_name": list(_NAMES.values()),
                "facility_type": "community",
            }),
        },
        truth={"seed": seed, "estimands": _truth(world.truth)},
        settings={"name": "Simulated waits", "data_cutoff": DATA_CUTOFF, "simulated": True},
        latent=pd.DataFrame({"patient_id": np.sort(people)}),
    )  # fmt: skip


def _visits(waits: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    month = np.datetime64(START, "M") + waits["period"].to_numpy()
    days = (month + 1).astype("datetime64[D]") - month.astype("datetime64[D]")
    within = (random.random(len(waits)) * days.astype(int)).astype(int)
    when = month.astype("datetime64[D]") + within
    n_people = int(len(waits) * _PATIENTS_PER_VISIT)
    table = pd.DataFrame({
        "patient_id": codes("P", n_people, width=6)[random.integers(0, n_people, len(waits))],
        "visit_date": when.astype("datetime64[ns]"),
        "facility_id": waits["service"].map(FACILITIES).to_numpy(object),
        "visit_type": "clinic",
        "wait_minutes": waits["minutes"].to_numpy(),
    })  # fmt: skip
    table = table.sort_values(["visit_date", "facility_id", "patient_id"], ignore_index=True)
    table.insert(0, "visit_id", codes("V", len(table), width=7))
    return table


def _patients(
    people: np.ndarray, visits: pd.DataFrame, random: np.random.Generator
) -> pd.DataFrame:
    home = visits.groupby("patient_id")["facility_id"].first()
    sex = np.where(random.random(len(people)) < 0.55, "female", "male").astype(object)
    year = 2021 - random.integers(20, 85, len(people))
    home_facility = home[people].to_numpy()
    return pd.DataFrame(
        {"patient_id": people, "sex": sex, "birth_year": year, "home_facility_id": home_facility}
    )


def _truth(changes: Any) -> dict[str, dict[str, Any]]:
    told = "median of wait_minutes by month, an interrupted series from 2023-01-01 on"
    return {
        f"wait_median_{FACILITIES[name]}": {
            "value": float(value), "unit": "minutes", "estimated_by": told,
        }
        for name, value in changes.items()
    }  # fmt: skip
