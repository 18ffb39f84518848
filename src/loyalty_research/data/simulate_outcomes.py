"""What simulated patients say or show: blood pressure, surveys, complaints, referrals."""

from __future__ import annotations

import numpy as np
import pandas as pd

from loyalty_research.data.lives import Draws, Lives
from loyalty_research.data.scenario import Scenario
from loyalty_research.data.simulate_events import Visits, codes, dates

TOPICS = np.array(["waiting", "communication", "fees", "premises", "other"])


def measurements_table(
    scenario: Scenario, lives: Lives, visits: Visits, patient_ids: np.ndarray, seed: int
) -> pd.DataFrame:
    """Return `measurements`: systolic pressure at some visits of patients with hypertension.

    value = mean by age + patient's own deviation + effect (from the day after enrolment) + noise,
    rounded to whole mmHg.

    Args:
        scenario: The world to draw from.
        lives: The patients.
        visits: Their visits.
        patient_ids: Text to write for each patient.
        seed: The study's seed.

    Returns:
        One row a measurement.

    Examples:
        >>> from loyalty_research.data.lives import draw_lives
        >>> world = Scenario()
        >>> lives = draw_lives(world, seed=1, n_patients=50)
        >>> visits = Visits(world, lives, 1)
        >>> table = measurements_table(world, lives, visits, codes("P", 50), 1)
        >>> table[["measure", "unit"]].drop_duplicates().values.tolist()
        [['sbp', 'mmHg']]
    """
    draws = Draws(seed, 6)
    own = scenario.sbp_sd_between * draws.normal(len(lives))
    own += np.where(lives.older, *scenario.sbp_mean[::-1])
    at = np.flatnonzero(
        draws.chance(scenario.share_measured, len(visits)) & lives.hypertension[visits.patient]
    )
    value = own[visits.patient[at]] + scenario.sbp_effect * visits.after_enrolment[at]
    value = np.round(value + scenario.sbp_sd_within * draws.normal(len(at)))
    return pd.DataFrame(
        {
            "measurement_id": codes("M", len(at)),
            "patient_id": patient_ids[visits.patient[at]],
            "measurement_date": dates(scenario, visits.calendar[at]),
            "measure": "sbp",
            "value": value,
            "unit": "mmHg",
        }
    )


def surveys_table(
    scenario: Scenario, lives: Lives, visits: Visits, patient_ids: np.ndarray, seed: int
) -> pd.DataFrame:
    """Return `survey_responses`: two answers after some visits.

    On a 0-1 scale p = base + clinic + trend x (day / days) + patient + effect once the visited
    clinic is live; satisfaction = 1 + Binomial(4, p), recommend = Binomial(10, p'), so means are
    linear in p and an effect of d points adds d / 4 (or d / 10) to p.

    Args:
        scenario: The world to draw from.
        lives: The patients.
        visits: Their visits.
        patient_ids: Text to write for each patient.
        seed: The study's seed.

    Returns:
        One row an answer.

    Examples:
        >>> from loyalty_research.data.lives import draw_lives
        >>> world = Scenario()
        >>> lives = draw_lives(world, seed=1, n_patients=50)
        >>> visits = Visits(world, lives, 1)
        >>> surveys_table(world, lives, visits, codes("P", 50), 1)["item"].unique().tolist()
        ['satisfaction', 'recommend']
    """
    draws = Draws(seed, 7)
    patient = scenario.survey_patient_spread * (2 * draws.uniform(len(lives)) - 1)
    at = np.flatnonzero(draws.chance(scenario.survey_rate, len(visits)))
    live = visits.calendar[at] >= scenario.go_live[visits.facility[at]]
    common = scenario.survey_clinic[visits.facility[at]] + patient[visits.patient[at]]
    common += scenario.survey_trend * visits.calendar[at] / scenario.n_days
    satisfied = scenario.satisfaction_base + common + scenario.satisfaction_effect / 4 * live
    recommend = scenario.recommend_base + common + scenario.recommend_effect / 10 * live
    scores = [1 + _binomial(draws, 4, satisfied), _binomial(draws, 10, recommend)]
    twice = np.repeat(at, 2)
    return pd.DataFrame(
        {
            "response_id": codes("S", len(twice)),
            "patient_id": patient_ids[visits.patient[twice]],
            "survey_date": dates(scenario, visits.calendar[twice]),
            "item": np.tile(np.array(["satisfaction", "recommend"], dtype=object), len(at)),
            "score": np.stack(scores, axis=1).ravel().astype(float),
            "facility_id": np.array(scenario.facility_ids, dtype=object)[visits.facility[twice]],
        }
    )


def _binomial(draws: Draws, size: int, probability: np.ndarray) -> np.ndarray:
    return sum(
        (draws.chance(probability, len(probability)).astype(np.int64) for _ in range(size)),
        start=np.zeros(len(probability), dtype=np.int64),
    )


def complaints_table(
    scenario: Scenario, visits: Visits, patient_ids: np.ndarray, seed: int
) -> pd.DataFrame:
    """Return `complaints`: made on the day of a visit, answered after an exponential time.

    Whatever lies after the end of the cut-off day has not happened yet and is missing.

    Args:
        scenario: The world to draw from.
        visits: Their visits.
        patient_ids: Text to write for each patient.
        seed: The study's seed.

    Returns:
        One row a complaint.

    Examples:
        >>> from loyalty_research.data.lives import draw_lives
        >>> world = Scenario()
        >>> lives = draw_lives(world, seed=1, n_patients=50)
        >>> visits = Visits(world, lives, 1)
        >>> complaints = complaints_table(world, visits, codes("P", 50), 1)
        >>> bool((complaints["resolved_at"] < complaints["responded_at"]).any())
        False
    """
    draws = Draws(seed, 8)
    at = np.flatnonzero(draws.chance(scenario.complaint_rate, len(visits)))
    n = len(at)
    opened = visits.calendar[at] * 1440 + draws.whole(8 * 60, 20 * 60, n)
    responded = opened + draws.exponential(60 * scenario.mean_response_hours, n)
    resolved = responded + draws.exponential(60 * scenario.mean_settling_hours, n)
    return pd.DataFrame(
        {
            "complaint_id": codes("C", n),
            "patient_id": patient_ids[visits.patient[at]],
            "opened_at": _minutes(scenario, opened),
            "responded_at": _minutes(scenario, responded),
            "resolved_at": _minutes(scenario, resolved),
            "topic": TOPICS.astype(object)[draws.pick(np.array([0.4, 0.25, 0.15, 0.1, 0.1]), n)],
            "facility_id": np.array(scenario.facility_ids, dtype=object)[visits.facility[at]],
        }
    )


def _minutes(scenario: Scenario, minutes: np.ndarray) -> np.ndarray:
    whole = np.floor(minutes).astype(np.int64)
    stamps = np.datetime64(scenario.start, "m") + whole.astype("timedelta64[m]")
    unknown = whole >= scenario.n_days * 1440
    return np.where(unknown, np.datetime64("NaT", "m"), stamps).astype("datetime64[ns]")


def referrals_table(
    scenario: Scenario, lives: Lives, patient_ids: np.ndarray, seed: int
) -> pd.DataFrame:
    """Return `referrals`: a Poisson process while active, quicker once enrolled.

    The cumulative intensity at day s is rate x (min(s, E) + ratio x (s - E)+) / 365.25; its
    events are drawn as sums of exponentials and mapped back to days.

    Args:
        scenario: The world to draw from.
        lives: The patients.
        patient_ids: Text to write for each patient.
        seed: The study's seed.

    Returns:
        One row a recommendation.

    Examples:
        >>> from loyalty_research.data.lives import draw_lives
        >>> world = Scenario()
        >>> lives = draw_lives(world, seed=1, n_patients=50)
        >>> referrals_table(world, lives, codes("P", 50), 1)["referral_id"].is_unique
        True
    """
    draws = Draws(seed, 9)
    who, day = _referral_days(scenario, lives, draws)
    when = lives.first_day[who] + day
    order = np.lexsort((when, who))
    who, when = who[order], when[order]
    came = _who_came(scenario, lives, draws, when)
    referred = np.full(len(who), None, dtype=object)
    referred[came >= 0] = patient_ids[came[came >= 0]]
    return pd.DataFrame(
        {
            "referral_id": codes("R", len(who)),
            "referrer_id": patient_ids[who],
            "referred_id": referred,
            "referral_date": dates(scenario, when),
        }
    )


def _referral_days(scenario: Scenario, lives: Lives, draws: Draws) -> tuple[np.ndarray, ...]:
    rate, ratio = scenario.referral_rate / 365.25, scenario.referral_rate_ratio
    # The last day counts in full: a patient is active on the day of the last visit.
    stop = lives.end + 1.0
    before = rate * np.minimum(stop, lives.enrolled)
    total = before + rate * ratio * np.maximum(stop - lives.enrolled, 0)
    who, reached = np.arange(len(lives)), np.zeros(len(lives))
    found = [(who[:0], who[:0])]
    while len(who):
        reached = reached + draws.exponential(1.0, len(who))
        inside = reached < total[who]
        who, reached = who[inside], reached[inside]
        quick = np.maximum(reached - before[who], 0)
        slow = np.minimum(reached, before[who])
        day = (slow + quick / ratio) / rate if rate else slow
        found.append((who, np.minimum(day.astype(np.int64), lives.end[who])))
    return np.concatenate([w for w, _ in found]), np.concatenate([d for _, d in found])


def _who_came(scenario: Scenario, lives: Lives, draws: Draws, when: np.ndarray) -> np.ndarray:
    """Return the position of the new patient each recommendation brought, or -1.

    Somebody whose first visit falls in the 90 days after it is picked; nobody is brought twice.
    """
    order = np.argsort(lives.first_day, kind="stable")
    sorted_days = lives.first_day[order]
    low = np.searchsorted(sorted_days, when, side="right")
    high = np.searchsorted(sorted_days, when + 90, side="right")
    pick = low + (draws.uniform(len(when)) * (high - low)).astype(np.int64)
    came = draws.chance(scenario.share_referral_came, len(when)) & (high > low)
    brought = np.where(came, order[np.minimum(pick, len(order) - 1)], -1)
    _, first = np.unique(brought, return_index=True)
    once = np.zeros(len(when), dtype=bool)
    once[first] = True
    return np.where(once, brought, -1)
