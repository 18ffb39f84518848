"""The patients of a simulated study: who they are, and when their true day of lapsing falls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtri

from loyalty_research.data.scenario import NEVER, Scenario


@dataclass(frozen=True)
class Lives:
    """One entry a patient in every array; days count from the patient's first visit.

    `planned` and `lapse` are the latent truth. `end` is the last day on which the patient is both
    active and seen; `enrolled` is the day of enrolment if it happened before that, else NEVER.
    """

    facility: np.ndarray
    first_day: np.ndarray  # days from the study's start
    age: np.ndarray
    female: np.ndarray
    hypertension: np.ndarray
    diabetes: np.ndarray
    log_hazard: np.ndarray
    planned: np.ndarray
    lapse: np.ndarray
    death: np.ndarray  # NEVER when not known
    moved: np.ndarray
    seen_until: np.ndarray
    withdrawn: np.ndarray
    end: np.ndarray
    enrolled: np.ndarray

    @property
    def older(self) -> np.ndarray:
        """Whether aged 65 or over in the year of the first visit."""
        return self.age >= 65

    @property
    def condition(self) -> np.ndarray:
        """Whether any long-term condition is known."""
        return self.hypertension | self.diabetes

    def __len__(self) -> int:
        return len(self.facility)


class Draws:
    """Uniform numbers of one named stream, turned into other laws by inverse functions only.

    Only `Generator.random` of PCG64 is used, whose stream NumPy keeps; its other methods may
    change between versions. A stream per table keeps a change in one table out of the others.
    """

    def __init__(self, seed: int, stream: int):
        self._rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, stream])))

    def uniform(self, n: int) -> np.ndarray:
        """Return numbers in [0, 1)."""
        return self._rng.random(n)

    def chance(self, probability: Any, n: int) -> np.ndarray:
        """Return True with the given probability."""
        return self.uniform(n) < probability

    def whole(self, low: Any, high: Any, n: int) -> np.ndarray:
        """Return whole numbers, uniform from `low` to `high`, both included."""
        low = np.asarray(low)
        return low + (self.uniform(n) * (np.asarray(high) - low + 1)).astype(np.int64)

    def exponential(self, mean: Any, n: int) -> np.ndarray:
        """Return exponential numbers with the given mean."""
        return -np.log1p(-self.uniform(n)) * mean

    def normal(self, n: int) -> np.ndarray:
        """Return standard normal numbers."""
        # 0 would give minus infinity once in 2**53 draws.
        return ndtri(np.maximum(self.uniform(n), 2.0**-54))

    def pick(self, share: np.ndarray, n: int) -> np.ndarray:
        """Return positions in `share`, each with its share as probability."""
        return np.searchsorted(np.cumsum(share)[:-1], self.uniform(n), side="right")


def draw_lives(scenario: Scenario, *, seed: int, n_patients: int) -> Lives:
    """Return the patients with their latent truth.

    The day of lapsing T follows grouped proportional hazards with a hazard that changes at the
    planned day of enrolment E (Cox 1972 for the model; Austin 2012, Statistics in Medicine
    31:3946-3958, for drawing under a covariate that changes with time): with H0 the Weibull
    cumulative hazard, r the patient's hazard ratio, q the programme's, and W ~ Exp(1),

        r H0(s) = W            when W <= r H0(E)
        r (H0(E) + q (H0(s) - H0(E))) = W   otherwise,      T = floor(s),

    so that a patient who is never enrolled has P(T > t) = exp(-r H0(t + 1)).

    Args:
        scenario: The world to draw from.
        seed: Any whole number from 0.
        n_patients: Number of patients.

    Returns:
        One entry a patient in every array.

    Examples:
        >>> lives = draw_lives(Scenario(), seed=1, n_patients=1000)
        >>> enrolled = lives.enrolled < NEVER
        >>> bool((lives.enrolled[enrolled] <= lives.end[enrolled]).all())
        True
    """
    people = _draw_people(scenario, Draws(seed, 1), n_patients)
    draws = Draws(seed, 2)
    first_day = _draw_first_days(scenario, draws, n_patients)
    planned = _draw_planned_enrolment(scenario, draws, people, first_day)
    log_hazard = scenario.log_hazard(
        people["facility"], people["age"] >= 65, people["hypertension"] | people["diabetes"]
    )
    lapse = _draw_lapse(scenario, draws, log_hazard, planned)
    exits = _draw_exits(scenario, Draws(seed, 3), people["age"] >= 65, first_day, lapse)
    enrolled = np.where(planned <= exits["end"], planned, NEVER)
    return Lives(
        **people,
        first_day=first_day,
        log_hazard=log_hazard,
        planned=planned,
        lapse=lapse,
        enrolled=enrolled,
        **exits,
    )


def _draw_people(scenario: Scenario, draws: Draws, n: int) -> dict[str, np.ndarray]:
    facility = draws.pick(scenario.facility_share, n)
    older = draws.chance(scenario.share_older, n)
    age = draws.whole(np.where(older, 65, 18), np.where(older, 92, 64), n)
    return {
        "facility": facility,
        "age": age,
        "female": draws.chance(scenario.share_female, n),
        "hypertension": draws.chance(np.where(older, *scenario.share_hypertension[::-1]), n),
        "diabetes": draws.chance(np.where(older, *scenario.share_diabetes[::-1]), n),
    }


def _draw_first_days(scenario: Scenario, draws: Draws, n: int) -> np.ndarray:
    early = scenario.n_days - scenario.late_days
    late = draws.chance(scenario.share_late, n)
    return draws.whole(np.where(late, early, 0), np.where(late, scenario.n_days, early) - 1, n)


def _draw_planned_enrolment(
    scenario: Scenario, draws: Draws, people: dict[str, np.ndarray], first_day: np.ndarray
) -> np.ndarray:
    """Return the planned day of enrolment: at the first chance, or an exponential delay later."""
    n = len(first_day)
    older, condition = people["age"] >= 65, people["hypertension"] | people["diabetes"]
    meant = draws.chance(scenario.enrolment_probability(older, condition), n)
    at_once = draws.chance(scenario.share_enrolled_at_once, n)
    delay = 1 + draws.exponential(scenario.mean_enrolment_delay, n).astype(np.int64)
    go_live = scenario.go_live[people["facility"]]
    earliest = np.maximum(go_live - first_day, 0)
    offered = meant & (go_live < NEVER)
    return np.where(offered, earliest + np.where(at_once, 0, delay), NEVER)


def _draw_lapse(
    scenario: Scenario, draws: Draws, log_hazard: np.ndarray, planned: np.ndarray
) -> np.ndarray:
    spent = draws.exponential(1.0, len(planned)) * np.exp(-log_hazard)
    before = scenario.cumulative_hazard(planned)
    ratio = np.exp(scenario.programme_log_hazard_ratio)
    on_baseline = np.where(spent <= before, spent, before + (spent - before) / ratio)
    days = scenario.inverse_cumulative_hazard(on_baseline)
    return np.minimum(days, NEVER).astype(np.int64)


def _draw_exits(
    scenario: Scenario,
    draws: Draws,
    older: np.ndarray,
    first_day: np.ndarray,
    lapse: np.ndarray,
) -> dict[str, np.ndarray]:
    """Return deaths, moves and withdrawals as far as the clinics would know of them.

    Clinics learn of a death or a move only while the patient still comes: an exit after the day
    of lapsing leaves no record. So the recorded exits compete with lapsing, and never turn a true
    lapse into something else.
    """
    n = len(lapse)
    year = 365.25
    death = draws.exponential(year / np.where(older, *scenario.death_rate[::-1]), n)
    moved = draws.exponential(year / scenario.moving_rate, n)
    left = scenario.n_days - 1 - first_day
    withdraws = draws.chance(scenario.share_withdrawn, n)
    withdrawn = np.where(withdraws, draws.whole(0, left, n), NEVER)
    seen_until = np.minimum(left, withdrawn)
    exit_day = np.minimum(np.minimum(death, moved), NEVER).astype(np.int64)
    known = (exit_day < lapse) & (exit_day <= seen_until)
    return {
        "death": np.where(known & (death <= moved), exit_day, NEVER),
        "moved": np.where(known & (death > moved), exit_day, NEVER),
        "seen_until": seen_until,
        "withdrawn": withdrawn,
        "end": np.minimum(np.minimum(lapse, seen_until), np.where(known, exit_day, NEVER)),
    }
