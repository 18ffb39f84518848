"""What simulated patients leave behind by coming: visits, enrolments, contacts, points."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from loyalty_research.data.lives import Draws, Lives
from loyalty_research.data.scenario import NEVER, PROGRAMME, Scenario

DEPARTMENTS = np.array(["general practice", "cardiology", "diabetes care", "rehabilitation"])
CHANNELS = np.array(["phone", "message", "video", "home"])
VISIT_TYPES = np.array(["clinic", "home", "online", "phone"])


def codes(prefix: str, n: int, *, width: int = 7) -> np.ndarray:
    """Return `n` texts: the prefix followed by 1, 2, ... with leading zeros.

    Args:
        prefix: What each text begins with.
        n: How many.
        width: Digits to fill up to; larger numbers are longer.

    Returns:
        An array of texts.

    Examples:
        >>> codes("V", 2, width=3).tolist()
        ['V001', 'V002']
    """
    digits = pc.utf8_lpad(pa.array(np.arange(1, n + 1)).cast(pa.string()), width, padding="0")
    return pc.binary_join_element_wise(prefix, digits, "").to_numpy(zero_copy_only=False)


def dates(scenario: Scenario, days: np.ndarray) -> np.ndarray:
    """Return days from the study's start as dates; NEVER becomes missing.

    Args:
        scenario: The world to draw from.
        days: Whole days from the start.

    Returns:
        Dates as `datetime64[ns]`.

    Examples:
        >>> dates(Scenario(), np.array([0, 31, NEVER])).astype("datetime64[D]").tolist()
        [datetime.date(2021, 1, 1), datetime.date(2021, 2, 1), None]
    """
    start = np.datetime64(scenario.start, "D")
    stamps = start + np.minimum(days, NEVER).astype("timedelta64[D]")
    missing = np.asarray(days) >= NEVER
    return np.where(missing, np.datetime64("NaT", "D"), stamps).astype("datetime64[ns]")


def draw_visit_days(scenario: Scenario, lives: Lives, draws: Draws) -> tuple[np.ndarray, ...]:
    """Return patient and day of every visit, sorted by both, one row a patient and day.

    The first visit is day 0 and the last is exactly the day of lapsing; a day of enrolment is a
    visit too. Between them gaps are whole days, uniform on `usual_gap`, now and then on `pause`,
    so a patient who still comes is never away for more than 170 days.

    Args:
        scenario: The world to draw from.
        lives: The patients.
        draws: Source of random numbers.

    Returns:
        Positions of patients, and days since each one's first visit.

    Examples:
        >>> from loyalty_research.data.lives import draw_lives
        >>> world = Scenario()
        >>> lives = draw_lives(world, seed=1, n_patients=50)
        >>> patient, day = draw_visit_days(world, lives, Draws(1, 4))
        >>> int((day == 0).sum())
        50
    """
    patients = [np.arange(len(lives))]
    days = [np.zeros(len(lives), dtype=np.int64)]
    while len(patients[-1]):
        n = len(patients[-1])
        paused = draws.chance(scenario.share_pause, n)
        low = np.where(paused, scenario.pause[0], scenario.usual_gap[0])
        high = np.where(paused, scenario.pause[1], scenario.usual_gap[1])
        following = days[-1] + draws.whole(low, high, n)
        stays = following <= lives.end[patients[-1]]
        patients.append(patients[-1][stays])
        days.append(following[stays])
    for extra in (lives.lapse, lives.enrolled):
        happens = np.flatnonzero(extra <= lives.end)
        patients.append(happens)
        days.append(extra[happens])
    # Sorting is several times quicker than `np.unique`, which hashes.
    key = np.sort(np.concatenate(patients) * 2**14 + np.concatenate(days))
    key = key[np.r_[True, key[1:] != key[:-1]]]
    return key >> 14, key & (2**14 - 1)


class Visits:
    """Visits as arrays, for the tables that hang on them."""

    def __init__(self, scenario: Scenario, lives: Lives, seed: int):
        draws = Draws(seed, 4)
        self.patient, self.day = draw_visit_days(scenario, lives, draws)
        n = len(self.day)
        home = lives.facility[self.patient]
        elsewhere = draws.chance(scenario.share_elsewhere, n)
        other = draws.whole(1, scenario.n_facilities - 1, n)
        self.facility = np.where(elsewhere, (home + other) % scenario.n_facilities, home)
        self.kind = draws.pick(np.array([0.86, 0.05, 0.06, 0.03]), n)
        self.department = draws.pick(np.array([0.55, 0.18, 0.15, 0.12]), n)
        self.planned = draws.chance(0.35, n)
        self.fee = 20 + 5 * (draws.uniform(n) ** 2 * 40).astype(np.int64)
        self.calendar = lives.first_day[self.patient] + self.day
        self.enrolled = self.day >= lives.enrolled[self.patient]
        self.after_enrolment = self.day > lives.enrolled[self.patient]

    def __len__(self) -> int:
        return len(self.day)


def visits_table(scenario: Scenario, visits: Visits, patient_ids: np.ndarray) -> pd.DataFrame:
    """Return `visits`, sorted by patient and date.

    Args:
        scenario: The world to draw from.
        visits: Their visits.
        patient_ids: Text to write for each patient.

    Returns:
        One row a visit.

    Examples:
        >>> from loyalty_research.data.lives import draw_lives
        >>> world = Scenario()
        >>> lives = draw_lives(world, seed=1, n_patients=50)
        >>> visits = Visits(world, lives, 1)
        >>> visits_table(world, visits, codes("P", 50)).columns[:3].tolist()
        ['visit_id', 'patient_id', 'visit_date']
    """
    return pd.DataFrame(
        {
            "visit_id": codes("V", len(visits)),
            "patient_id": patient_ids[visits.patient],
            "visit_date": dates(scenario, visits.calendar),
            "facility_id": np.array(scenario.facility_ids, dtype=object)[visits.facility],
            "department": DEPARTMENTS.astype(object)[visits.department],
            "visit_type": VISIT_TYPES.astype(object)[visits.kind],
            "planned": visits.planned,
            "fee": visits.fee.astype(float),
        }
    )


def enrolments_table(scenario: Scenario, lives: Lives, patient_ids: np.ndarray) -> pd.DataFrame:
    """Return `enrolments`: they end with a known death or move, never by choice.

    Args:
        scenario: The world to draw from.
        lives: The patients.
        patient_ids: Text to write for each patient.

    Returns:
        One row an enrolment.

    Examples:
        >>> from loyalty_research.data.lives import draw_lives
        >>> world = Scenario()
        >>> lives = draw_lives(world, seed=1, n_patients=50)
        >>> enrolments_table(world, lives, codes("P", 50))["patient_id"].is_unique
        True
    """
    who = np.flatnonzero(lives.enrolled < NEVER)
    ends = np.minimum(lives.death, lives.moved)[who]
    reason = np.array(["moved", "died", None], dtype=object)
    why = np.where(ends < NEVER, (lives.death[who] < NEVER).astype(int), 2)
    return pd.DataFrame(
        {
            "enrolment_id": codes("E", len(who)),
            "patient_id": patient_ids[who],
            "programme_id": PROGRAMME,
            "enrolment_date": dates(scenario, (lives.first_day + lives.enrolled)[who]),
            "end_date": dates(scenario, np.where(ends < NEVER, lives.first_day[who] + ends, NEVER)),
            "end_reason": reason[why],
        }
    )


def contacts_table(
    scenario: Scenario, lives: Lives, patient_ids: np.ndarray, seed: int
) -> pd.DataFrame:
    """Return `contacts`: due on fixed days after enrolment, none after a known exit.

    A contact is attempted with `share_attempted` on the due day or up to three days later, unless
    that is after the cut-off; if attempted, it reaches the patient with `reach_probability`.

    Args:
        scenario: The world to draw from.
        lives: The patients.
        patient_ids: Text to write for each patient.
        seed: The study's seed.

    Returns:
        One row a planned contact.

    Examples:
        >>> from loyalty_research.data.lives import draw_lives
        >>> world = Scenario()
        >>> lives = draw_lives(world, seed=1, n_patients=50)
        >>> contacts_table(world, lives, codes("P", 50), 1)["contact_id"].is_unique
        True
    """
    who = np.repeat(np.flatnonzero(lives.enrolled < NEVER), len(scenario.contact_days))
    n_enrolled = len(who) // len(scenario.contact_days)
    due = lives.enrolled[who] + np.tile(scenario.contact_days, n_enrolled)
    known_exit = np.minimum(np.minimum(lives.death, lives.moved), lives.withdrawn)
    who, due = (
        values[due + scenario.max_contact_delay <= known_exit[who]] for values in (who, due)
    )
    n, draws = len(who), Draws(seed, 5)
    due = due + lives.first_day[who]
    done = due + draws.whole(0, scenario.max_contact_delay, n)
    last = np.minimum(known_exit[who] + lives.first_day[who], scenario.n_days - 1)
    attempted = draws.chance(scenario.share_attempted, n) & (done <= last)
    reach = scenario.reach_probability
    share = np.array([reach, scenario.share_refused, 1 - reach - scenario.share_refused])
    outcome = np.array(["reached", "refused", "not_reached"], dtype=object)[draws.pick(share, n)]
    channel = draws.pick(np.array([0.60, 0.20, 0.12, 0.08]), n)
    return pd.DataFrame(
        {
            "contact_id": codes("K", n),
            "patient_id": patient_ids[who],
            "programme_id": PROGRAMME,
            "due_date": dates(scenario, due),
            "contact_date": dates(scenario, np.where(attempted, done, NEVER)),
            "channel": CHANNELS.astype(object)[channel],
            "outcome": np.where(attempted, outcome, None),
        }
    )


def points_table(
    scenario: Scenario, visits: Visits, patient_ids: np.ndarray, seed: int
) -> pd.DataFrame:
    """Return `points`: enrolled patients earn at each visit and sometimes take a reward.

    After each full set of `visits_per_reward` earning visits the points of that set are redeemed
    on the same day, or never; so no balance is ever negative.

    Args:
        scenario: The world to draw from.
        visits: Their visits.
        patient_ids: Text to write for each patient.
        seed: The study's seed.

    Returns:
        One row a movement.

    Examples:
        >>> from loyalty_research.data.lives import draw_lives
        >>> world = Scenario()
        >>> lives = draw_lives(world, seed=1, n_patients=50)
        >>> visits = Visits(world, lives, 1)
        >>> points = points_table(world, visits, codes("P", 50), 1)
        >>> points.groupby("movement")["points"].unique().to_dict()
        {'earn': array([10]), 'redeem': array([50])}
    """
    at = np.flatnonzero(visits.enrolled)
    n_earned = _count_within(visits.patient[at])
    full = n_earned % scenario.visits_per_reward == 0
    redeemed = full & Draws(seed, 10).chance(scenario.share_redeemed, len(at))
    rows = np.concatenate([at, at[redeemed]])
    kind = np.concatenate([np.zeros(len(at), int), np.ones(int(redeemed.sum()), int)])
    order = np.lexsort((kind, rows))
    rows, kind = rows[order], kind[order]
    price = scenario.points_per_visit * np.array([1, scenario.visits_per_reward])
    return pd.DataFrame(
        {
            "movement_id": codes("B", len(rows)),
            "patient_id": patient_ids[visits.patient[rows]],
            "movement_date": dates(scenario, visits.calendar[rows]),
            "movement": np.array(["earn", "redeem"], dtype=object)[kind],
            "points": price[kind],
        }
    )


def _count_within(groups: np.ndarray) -> np.ndarray:
    """Return 1, 2, ... within each run of equal sorted values."""
    starts = np.flatnonzero(np.r_[True, groups[1:] != groups[:-1]]) if len(groups) else groups
    lengths = np.diff(np.r_[starts, len(groups)])
    return np.arange(len(groups)) - np.repeat(starts, lengths) + 1
