"""The true values of a simulated study, in closed form from its scenario."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import numpy as np

from loyalty_research.data.scenario import NEVER, Scenario


@dataclass(frozen=True)
class Cells:
    """All combinations of clinic, age group and any condition, with their shares (sum 1)."""

    facility: np.ndarray
    older: np.ndarray
    condition: np.ndarray
    share: np.ndarray

    def only(self, share: np.ndarray) -> Cells:
        """Return the same cells with other shares, rescaled to sum 1."""
        return Cells(self.facility, self.older, self.condition, share / share.sum())


def cells(scenario: Scenario) -> Cells:
    """Return the cells of the whole population.

    Args:
        scenario: The world.

    Returns:
        Four cells a clinic.

    Examples:
        >>> population = cells(Scenario())
        >>> len(population.share), round(float(population.share.sum()), 12)
        (32, 1.0)
    """
    grid = np.array(list(product(range(scenario.n_facilities), (0, 1), (0, 1))))
    facility, older, condition = grid.T
    neither = (1 - np.array(scenario.share_hypertension)) * (1 - np.array(scenario.share_diabetes))
    any_condition = 1 - neither[older]
    share = (
        scenario.facility_share[facility]
        * np.where(older, scenario.share_older, 1 - scenario.share_older)
        * np.where(condition, any_condition, 1 - any_condition)
    )
    return Cells(facility, older, condition, share)


def new_patients(scenario: Scenario) -> Cells:
    """Return the cells of patients first seen at a clinic where the programme is already live.

    Args:
        scenario: The world.

    Returns:
        The same cells with other shares; none for clinics that never go live.

    Examples:
        >>> int((new_patients(Scenario()).share == 0).sum())  # two clinics of four cells
        8
    """
    everyone = cells(scenario)
    live = np.array([_first_day_law(scenario)[day:].sum() for day in scenario.go_live])
    return everyone.only(everyone.share * live[everyone.facility])


def retention_by_cell(
    scenario: Scenario, group: Cells, days: Any, *, enrolled_on: int = NEVER
) -> np.ndarray:
    """Return P(T > day) for each cell (rows) and day (columns) when enrolled on a given day.

    S(t | E) = exp(-r [H0(min(t + 1, E)) + q (H0(t + 1) - H0(min(t + 1, E)))]) with r the cell's
    and q the programme's hazard ratio; H0 of the Weibull law.

    Args:
        scenario: The world.
        group: The cells and their shares.
        days: Whole days since the first visit.
        enrolled_on: Day of enrolment since the first visit; NEVER for none.

    Returns:
        Cells by days.

    Examples:
        >>> retention_by_cell(Scenario(), cells(Scenario()), [30, 365]).shape
        (32, 2)
    """
    ratio = np.exp(scenario.log_hazard(group.facility, group.older, group.condition))
    return np.exp(-np.outer(ratio, _baseline_hazard(scenario, days, enrolled_on)))


def retention(
    scenario: Scenario, group: Cells, days: Any, *, enrolled_on: int = NEVER
) -> np.ndarray:
    """Return the retention of a whole group: the mean over its cells.

    Args:
        scenario: The world.
        group: The cells and their shares.
        days: Whole days since the first visit.
        enrolled_on: Day of enrolment since the first visit; NEVER for none.

    Returns:
        One probability a day.

    Examples:
        >>> world = Scenario()
        >>> never = retention(world, cells(world), [365])
        >>> enrolled = retention(world, cells(world), [365], enrolled_on=0)
        >>> never.round(3).tolist(), enrolled.round(3).tolist()
        ([0.571], [0.673])
    """
    return group.share @ retention_by_cell(scenario, group, days, enrolled_on=enrolled_on)


def retention_not_at_first(scenario: Scenario, group: Cells, days: Any) -> np.ndarray:
    """Return the retention of new patients not enrolled on the first day, later ones included.

    Among them the share still meant to be enrolled is p (1 - a) / (1 - p a), with p the cell's
    enrolment probability and a the share enrolled at once; their delay is geometric.

    Args:
        scenario: The world.
        group: The cells and their shares.
        days: Whole days since the first visit.

    Returns:
        One probability a day.

    Examples:
        >>> world = Scenario()
        >>> retention_not_at_first(world, new_patients(world), [365]).round(3).tolist()
        [0.593]
    """
    meant = scenario.enrolment_probability(group.older, group.condition)
    at_once = scenario.share_enrolled_at_once
    later = meant * (1 - at_once) / (1 - meant * at_once)
    law = _delay_law(scenario)
    return group.share @ _mixed(scenario, group, days, later, law)


def retention_as_it_happens(scenario: Scenario, group: Cells, days: Any) -> np.ndarray:
    """Return the retention under the enrolment that really happens, over all days of entry.

    Args:
        scenario: The world.
        group: The cells and their shares.
        days: Whole days since the first visit.

    Returns:
        One probability a day.

    Examples:
        >>> world = Scenario()
        >>> retention_as_it_happens(world, cells(world), [365]).round(3).tolist()
        [0.589]
    """
    meant = scenario.enrolment_probability(group.older, group.condition)
    total = np.zeros(len(np.atleast_1d(days)))
    for facility in range(scenario.n_facilities):
        here = group.facility == facility
        part = Cells(*(values[here] for values in asdict(group).values()))
        law = _enrolment_law(scenario, int(scenario.go_live[facility]))
        total += part.share @ _mixed(scenario, part, days, meant[here], law)
    return total


def restricted_mean(curve: np.ndarray) -> float:
    """Return the mean days retained up to the curve's length: the sum of S(0) ... S(tau - 1).

    Args:
        curve: Retention on days 0, 1, 2, ...

    Returns:
        Days.

    Examples:
        >>> restricted_mean(np.array([1.0, 0.5, 0.25]))
        1.75
    """
    return float(curve.sum())


def cumulative_incidence(scenario: Scenario, group: Cells, days: Any) -> dict[str, np.ndarray]:
    """Return P(first of lapse, death, move is this one, by day t) of the never enrolled.

    With S the cell's retention and death and moving exponential with daily rates d and m,
    lapse: sum over s <= t of (S(s - 1) - S(s)) exp(-(d + m) s), as a lapse wins a tie;
    death: d / (d + m) times the sum of S(s) (exp(-(d + m) s) - exp(-(d + m)(s + 1))).

    Args:
        scenario: The world.
        group: The cells and their shares.
        days: Whole days since the first visit.

    Returns:
        One array of probabilities a cause: lapse, death, moved.

    Examples:
        >>> world = Scenario()
        >>> causes = cumulative_incidence(world, cells(world), [365])
        >>> {cause: round(float(value[0]), 3) for cause, value in causes.items()}
        {'lapse': 0.425, 'death': 0.01, 'moved': 0.014}
    """
    grid = np.arange(int(np.max(days)) + 1)
    curve = retention_by_cell(scenario, group, grid)
    drop = -np.diff(curve, axis=1, prepend=1.0)
    death = np.array(scenario.death_rate)[group.older][:, None] / 365.25
    moving = scenario.moving_rate / 365.25
    present = np.exp(-(death + moving) * grid)
    leaving = curve * present * -np.expm1(-(death + moving)) / (death + moving)
    steps = {"lapse": drop * present, "death": leaving * death, "moved": leaving * moving}
    return {
        cause: group.share @ np.cumsum(step, axis=1)[:, np.asarray(days)]
        for cause, step in steps.items()
    }


def _mixed(
    scenario: Scenario, group: Cells, days: Any, meant: np.ndarray, law: np.ndarray
) -> np.ndarray:
    """Return retention by cell when a share is enrolled on a day that follows `law`."""
    # An enrolment after the last day asked for changes nothing up to there.
    law = law[: int(np.max(days)) + 2]
    enrolled_on = np.flatnonzero(law)
    hazard = _baseline_hazard(scenario, days, enrolled_on[:, None])
    ratio = np.exp(scenario.log_hazard(group.facility, group.older, group.condition))
    enrolled = np.array([law[enrolled_on] @ np.exp(-one * hazard) for one in ratio])
    never = retention_by_cell(scenario, group, days)
    return never + meant[:, None] * (enrolled - law.sum() * never)


def _baseline_hazard(scenario: Scenario, days: Any, enrolled_on: Any) -> np.ndarray:
    """Return the cumulative hazard of a patient of hazard ratio 1 at the end of each day."""
    end = np.asarray(days, dtype=float) + 1
    before = scenario.cumulative_hazard(np.minimum(end, enrolled_on))
    after = scenario.cumulative_hazard(end) - before
    return before + np.exp(scenario.programme_log_hazard_ratio) * after


def _first_day_law(scenario: Scenario) -> np.ndarray:
    """Return the probability of each calendar day to be the first visit."""
    early = scenario.n_days - scenario.late_days
    law = np.full(scenario.n_days, scenario.share_late / scenario.late_days)
    law[:early] = (1 - scenario.share_late) / early
    return law


def _delay_law(scenario: Scenario) -> np.ndarray:
    """Return the probability of each delay of 0, 1, 2, ... days of those not enrolled at once."""
    edges = np.exp(-np.arange(scenario.n_days + 1) / scenario.mean_enrolment_delay)
    return np.r_[0.0, -np.diff(edges)]


def _enrolment_law(scenario: Scenario, go_live: int) -> np.ndarray:
    """Return the law of the planned day since first visit, of those meant to be enrolled."""
    if go_live >= NEVER:
        return np.zeros(1)
    first_day = _first_day_law(scenario)
    earliest = np.r_[first_day[go_live:].sum(), first_day[:go_live][::-1]]
    at_once = scenario.share_enrolled_at_once
    spread = np.convolve(earliest, _delay_law(scenario))[: scenario.n_days]
    law = (1 - at_once) * spread
    law[: len(earliest)] += at_once * earliest
    return law
