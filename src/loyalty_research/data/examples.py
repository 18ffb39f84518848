"""The example studies: a bundled simulated one, and a cohort of real patients."""

from __future__ import annotations

from loyalty_research.data.simulate import SimulatedStudy, simulate_study

BUNDLED = "data/example"
BUNDLED_SEED = 2021
BUNDLED_PATIENTS = 8000


def simulate_bundled_study() -> SimulatedStudy:
    """Return the study that is kept in `data/example`, drawn again from its seed."""
    return simulate_study(seed=BUNDLED_SEED, n_patients=BUNDLED_PATIENTS)
