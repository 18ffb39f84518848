"""Every method that is tried on drawn worlds: those meant to hold beside those people use."""

from __future__ import annotations

from dataclasses import replace

from loyalty_research.effects.proof import Case
from loyalty_research.effects.proof_cases_chosen import CHOSEN
from loyalty_research.effects.proof_cases_clinics import CLINICS
from loyalty_research.effects.proof_cases_trials import TRIALS

_OVER_TIME = ("survival", "immortal_time", "admissions")
_ENOUGH = 250


def _capped(case: Case) -> Case:
    """Return the case with as many runs as are enough where follow-up over time takes longest."""
    return replace(case, runs=case.n_runs(_ENOUGH)) if case.design in _OVER_TIME else case


CASES: tuple[Case, ...] = tuple(map(_capped, (*TRIALS, *CLINICS, *CHOSEN)))
"""The cases in the order in which the proof shows them."""
