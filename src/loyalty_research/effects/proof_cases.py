"""Every method that is tried on drawn worlds: those meant to hold beside those people use."""

from __future__ import annotations

from loyalty_research.effects.proof import Case
from loyalty_research.effects.proof_cases_chosen import CHOSEN
from loyalty_research.effects.proof_cases_clinics import CLINICS
from loyalty_research.effects.proof_cases_trials import TRIALS

CASES: tuple[Case, ...] = (*TRIALS, *CLINICS, *CHOSEN)
"""The cases in the order in which the proof shows them."""
