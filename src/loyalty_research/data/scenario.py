"""The world that a simulated study is drawn from, as plain numbers with their formulas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from scipy.special import expit

from loyalty_research.errors import UsageError

PROGRAMME = "care-plan"
NEVER = 1_000_000  # a day number no study reaches
MAX_GAP_DAYS = 170  # the longest pause of a patient who still comes


@dataclass(frozen=True)
class Scenario:
    """Every number of the simulated world; the first block can be set, the rest is fixed.

    Rates and probabilities are per what the name says. `Cell` below means one combination of
    clinic, age 65 or over, and any long-term condition: within a cell all patients share the same
    hazard of lapsing and the same chance of being enrolled, which is what gives the truths a
    closed form.
    """

    start: date = date(2021, 1, 1)
    data_cutoff: date = date(2024, 12, 31)
    n_facilities: int = 8
    programme_log_hazard_ratio: float = float(np.log(0.70))
    sbp_effect: float = -6.0
    satisfaction_effect: float = 0.30
    reach_probability: float = 0.75
    complaint_rate: float = 0.012
    referral_rate: float = 0.06

    # Lapsing: Weibull cumulative hazard (day / scale) ** shape; shape < 1 = most leave early.
    weibull_scale: float = 600.0
    weibull_shape: float = 0.60
    log_hazard_ratio_older: float = -0.20
    log_hazard_ratio_condition: float = -0.45
    facility_log_hazard_spread: float = 0.25
    # Who comes.
    share_older: float = 0.35
    share_female: float = 0.55
    share_hypertension: tuple[float, float] = (0.25, 0.55)  # under 65, 65 and over
    share_diabetes: tuple[float, float] = (0.10, 0.22)
    share_late: float = 0.05  # first seen in the last 180 days
    late_days: int = 180
    # Exits: yearly rates.
    death_rate: tuple[float, float] = (0.004, 0.030)
    moving_rate: float = 0.020
    share_withdrawn: float = 0.02  # data stop being seen on a uniform day
    # Enrolment: log-odds of ever being offered it in time, share enrolled at once, mean delay.
    enrolment_intercept: float = -0.80
    enrolment_older: float = 0.60
    enrolment_condition: float = 1.20
    share_enrolled_at_once: float = 0.50
    mean_enrolment_delay: float = 120.0
    # Visits: gaps in days, uniform on whole days.
    usual_gap: tuple[int, int] = (7, 75)
    pause: tuple[int, int] = (91, MAX_GAP_DAYS)
    share_pause: float = 0.04
    share_elsewhere: float = 0.04
    # Blood pressure of patients with hypertension.
    share_measured: float = 0.60
    sbp_mean: tuple[float, float] = (142.0, 150.0)  # under 65, 65 and over
    sbp_sd_between: float = 11.0
    sbp_sd_within: float = 9.0
    # Contacts, surveys, complaints, referrals, points.
    contact_days: tuple[int, ...] = (1, 7, 30, 90)
    share_attempted: float = 0.96
    share_refused: float = 0.05
    max_contact_delay: int = 3
    survey_rate: float = 0.08
    satisfaction_base: float = 0.60  # (mean - 1) / 4
    recommend_base: float = 0.70  # mean / 10
    recommend_effect: float = 0.50
    survey_clinic_spread: float = 0.05
    survey_trend: float = 0.04  # over the whole study, on the 0-1 scale
    survey_patient_spread: float = 0.10
    mean_response_hours: float = 20.0
    mean_settling_hours: float = 60.0
    referral_rate_ratio: float = 1.50
    share_referral_came: float = 0.60
    points_per_visit: int = 10
    visits_per_reward: int = 5
    share_redeemed: float = 0.60

    def __post_init__(self) -> None:
        _check(self)

    @property
    def n_days(self) -> int:
        """Number of days from `start` to `data_cutoff`, both included."""
        return (self.data_cutoff - self.start).days + 1

    @property
    def facility_ids(self) -> list[str]:
        """Codes of the clinics."""
        return [f"F{number + 1:02d}" for number in range(self.n_facilities)]

    @property
    def facility_share(self) -> np.ndarray:
        """Share of the patients who belong to each clinic."""
        size = 1.0 + _spread(self.n_facilities, turn=0.382)
        return size / size.sum()

    @property
    def facility_log_hazard(self) -> np.ndarray:
        """Log hazard of lapsing of each clinic, against the scenario's baseline."""
        spread = _spread(self.n_facilities, turn=0.618)
        return self.facility_log_hazard_spread * (2 * spread - 1)

    @property
    def survey_clinic(self) -> np.ndarray:
        """What each clinic adds to the 0-1 survey scale."""
        spread = _spread(self.n_facilities, turn=0.755)
        return self.survey_clinic_spread * (2 * spread - 1)

    @property
    def go_live(self) -> np.ndarray:
        """First day of the programme at each clinic, in days from `start`; NEVER for some.

        A quarter of the clinics (at least one) never offers it. The others go live evenly spread
        over 15 % to 65 % of the study.
        """
        n_never = max(1, self.n_facilities // 4)
        n_live = self.n_facilities - n_never
        days = np.full(self.n_facilities, NEVER)
        steps = np.linspace(0.15, 0.65, n_live) if n_live > 1 else np.array([0.40])
        days[:n_live] = np.round(steps * self.n_days).astype(int)
        return days

    def cumulative_hazard(self, days: Any) -> np.ndarray:
        """Baseline cumulative hazard H0 after `days` (real number) since the first visit."""
        return (np.asarray(days, dtype=float) / self.weibull_scale) ** self.weibull_shape

    def inverse_cumulative_hazard(self, hazard: Any) -> np.ndarray:
        """Day on which the baseline cumulative hazard reaches `hazard`."""
        return self.weibull_scale * np.asarray(hazard, dtype=float) ** (1 / self.weibull_shape)

    def log_hazard(self, facility: Any, older: Any, condition: Any) -> np.ndarray:
        """Log hazard ratio of a patient who is not enrolled."""
        return (
            self.facility_log_hazard[facility]
            + self.log_hazard_ratio_older * np.asarray(older)
            + self.log_hazard_ratio_condition * np.asarray(condition)
        )

    def enrolment_probability(self, older: Any, condition: Any) -> np.ndarray:
        """Probability that a patient is meant to be enrolled at all, if the clinic goes live."""
        return expit(
            self.enrolment_intercept
            + self.enrolment_older * np.asarray(older)
            + self.enrolment_condition * np.asarray(condition)
        )


def _spread(n: int, *, turn: float) -> np.ndarray:
    """Return `n` fixed numbers evenly spread over 0 to 1, in an order that looks unordered."""
    order = np.argsort(np.argsort((np.arange(1, n + 1) * turn) % 1.0))
    return order / max(1, n - 1)


def _check(scenario: Scenario) -> None:
    faults = [sentence for wrong, sentence in _rules(scenario) if wrong]
    if faults:
        raise UsageError("the simulated study cannot be drawn: " + "; ".join(faults))


def _rules(s: Scenario) -> Sequence[tuple[bool, str]]:
    return (
        (s.n_facilities < 2, "n_facilities must be at least 2, as some never get the programme"),
        (s.n_days < 365 + s.late_days, "data_cutoff must be at least 545 days after start"),
        (not 0 <= s.reach_probability <= 0.95, "reach_probability must lie in 0 to 0.95"),
        (not 0 <= s.complaint_rate <= 1, "complaint_rate must lie in 0 to 1"),
        (s.referral_rate < 0, "referral_rate must not be negative"),
        (not -0.8 <= s.satisfaction_effect <= 0.8, "satisfaction_effect must lie in -0.8 to 0.8"),
        (abs(s.programme_log_hazard_ratio) > 3, "programme_log_hazard_ratio must lie in -3 to 3"),
        (abs(s.sbp_effect) > 40, "sbp_effect must lie in -40 to 40 mmHg"),
    )
