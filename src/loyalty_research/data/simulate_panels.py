"""Worlds of clinics and periods with a known effect."""

from __future__ import annotations

import numpy as np
import pandas as pd

World = tuple[pd.DataFrame, dict[str, float]]


def stepped_wedge(
    random: np.random.Generator, *, n_clinics: int = 12, growing: bool = False
) -> World:
    """Draw clinics that cross over one step after another, patients of a clinic being alike.

    The intraclass correlation is 0.05, of which 0.8 lasts from period to period (Hooper, Teerenstra
    and others, Stat Med 2016;35:4718); outcomes rise by 0.08 a period whatever is done.

    Args:
        random: Source of randomness.
        n_clinics: A multiple of 4: as many cross over before each of the last four periods.
        growing: The effect is 0.3 (1 + 0.5 k) in the k-th period after the crossing, from 0, and
            not 0.3 throughout.

    Returns:
        `clinic, period, treated, score`, 20 patients in each of 5 periods. Truths of the mean over
        the four periods of exposure, each weighing alike, and over the treated patients.

    Examples:
        >>> data, truth = stepped_wedge(np.random.default_rng(1))
        >>> len(data), truth["effect"]
        (1200, 0.3)
    """
    n_periods, size, icc, lasting = 5, 20, 0.05, 0.8
    crossing = 1 + np.arange(n_clinics) * (n_periods - 1) // n_clinics
    clinic = np.repeat(np.arange(n_clinics), n_periods * size)
    period = np.tile(np.repeat(np.arange(n_periods), size), n_clinics)
    since = period - crossing[clinic]
    treated = (since >= 0).astype(int)
    effect = 0.3 * (1 + 0.5 * since) if growing else np.full(len(since), 0.3)
    level = random.normal(0, np.sqrt(icc * lasting), n_clinics)
    shift = random.normal(0, np.sqrt(icc * (1 - lasting)), (n_clinics, n_periods))
    noise = random.normal(0, np.sqrt(1 - icc), len(clinic))
    score = treated * effect + 0.08 * period + level[clinic] + shift[clinic, period] + noise
    data = pd.DataFrame({"clinic": clinic, "period": period, "treated": treated, "score": score})
    gains = [0.3 * (1 + 0.5 * k) if growing else 0.3 for k in range(n_periods - 1)]
    return data, {
        "effect": float(np.mean(gains)),
        "effect_of_treated": float(np.mean(effect[since >= 0])),
    }


def staggered_roll_out(random: np.random.Generator, *, n_clinics: int = 60) -> World:
    """Draw clinics that start in one of three periods or never, early starters gaining most.

    Which start a clinic has is drawn, each alike, and drawn again until every start has two: fixed
    shares would make the usual variance, that of drawn ones, too large.

    Args:
        random: Source of randomness.
        n_clinics: From 8.

    Returns:
        `clinic, period, first_treated` (missing = never), `score` over periods 1 to 16. Clinics
        that start in periods 5, 9, 13 gain 1.6, 1.0, 0.5, and 0.15 more each period; errors follow
        an AR(1) of 0.5. Truth: the mean over treated clinic-periods, starts being equally frequent.

    Examples:
        >>> round(staggered_roll_out(np.random.default_rng(1))[1]["simple"], 3)
        1.842
    """
    n_periods, starts, gains = 16, (5, 9, 13), (1.6, 1.0, 0.5)
    group = random.integers(0, 4, n_clinics)
    while np.bincount(group, minlength=4).min() < 2:
        group = random.integers(0, 4, n_clinics)
    first = np.array([*starts, n_periods + 1])[group]
    base, trend = random.normal(0, 1, n_clinics), 0.1 * np.arange(n_periods)
    noise = np.empty((n_clinics, n_periods))
    noise[:, 0] = random.normal(0, 1, n_clinics)
    for t in range(1, n_periods):
        noise[:, t] = 0.5 * noise[:, t - 1] + random.normal(0, np.sqrt(0.75), n_clinics)
    period = np.arange(1, n_periods + 1)
    since = period[None, :] - first[:, None]
    gain = np.where(since >= 0, np.array([*gains, 0.0])[group][:, None] + 0.15 * since, 0.0)
    table = pd.DataFrame({
        "clinic": np.repeat(np.arange(n_clinics), n_periods), "period": np.tile(period, n_clinics),
        "first_treated": np.repeat(first, n_periods),
        "score": (base[:, None] + trend[None, :] + noise + gain).ravel(),
    })  # fmt: skip
    never = table["first_treated"] > n_periods
    table["first_treated"] = table["first_treated"].astype("Int64").mask(never)
    lasting = n_periods + 1 - np.array(starts)
    means = np.array(gains) + 0.15 * (lasting - 1) / 2
    return table, {"simple": float(lasting @ means / lasting.sum())}


def interrupted_series(
    random: np.random.Generator, *, n_periods: int = 48, rho: float = 0.4
) -> World:
    """Draw a monthly series that drops by 2 halfway, with a yearly season and errors that last.

    Args:
        random: Source of randomness.
        n_periods: Months.
        rho: Correlation of one month's error with the next's.

    Returns:
        `period, month, score`; the change comes with period `n_periods // 2`.

    Examples:
        >>> data, truth = interrupted_series(np.random.default_rng(1), n_periods=24)
        >>> len(data), truth
        (24, {'level': -2.0, 'slope': 0.0})
    """
    period = np.arange(n_periods)
    season = 1.5 * np.sin(2 * np.pi * period / 12) + 0.5 * np.cos(2 * np.pi * period / 12)
    noise = _lasting(random, n_periods, rho, sd=2.0)
    score = 20 + 0.02 * period + season - 2.0 * (period >= n_periods // 2) + noise
    data = pd.DataFrame({"period": period, "month": period % 12 + 1, "score": score})
    return data, {"level": -2.0, "slope": 0.0}


def controlled_series(
    random: np.random.Generator, *, n_periods: int = 48, rho: float = 0.4
) -> World:
    """Draw two monthly series that one shock hits together with a change of one of them.

    Args:
        random: Source of randomness.
        n_periods: Months.
        rho: Correlation of one month's error with the next's, in each series.

    Returns:
        `period, month, score, control`: a shock of -2 hits both when the change of -1 comes to the
        first.

    Examples:
        >>> controlled_series(np.random.default_rng(1))[1]
        {'level': -1.0, 'slope': 0.0}
    """
    data, _ = interrupted_series(random, n_periods=n_periods, rho=rho)
    control, _ = interrupted_series(random, n_periods=n_periods, rho=rho)
    after = (data["period"] >= n_periods // 2).to_numpy()
    score = data["score"] - 1.0 * after
    return data.assign(score=score, control=control["score"]), {"level": -1.0, "slope": 0.0}


def waiting_times(
    random: np.random.Generator, *, n_periods: int = 48, n_visits: int = 120
) -> World:
    """Draw the waits of three services, of which one changes how it receives patients.

    From period `n_periods // 2` on the median wait of "changed" is 12 minutes and not 40; patients
    whom it no longer takes make those of "neighbour" wait 5 minutes longer; "control" is left
    alone. A season and a drift of the whole town are in all three.

    Args:
        random: Source of randomness.
        n_periods: Months.
        n_visits: Visits to a service in a month, on average.

    Returns:
        `service, period, month, minutes`, a row a visit. Truths: the change of the median.

    Examples:
        >>> data, truth = waiting_times(np.random.default_rng(1), n_periods=24, n_visits=5)
        >>> data["service"].unique().tolist(), truth["changed"]
        (['changed', 'control', 'neighbour'], -28.0)
    """
    names = ("changed", "control", "neighbour")
    levels, changes = (40.0, 30.0, 22.0), (-28.0, 0.0, 5.0)
    period = np.arange(n_periods)
    town = 2.0 * np.cos(2 * np.pi * period / 12) + _lasting(random, n_periods, 0.5, sd=0.8)
    after = period >= n_periods // 2
    parts = []
    for name, level, change in zip(
        ("changed", "control", "neighbour"), levels, changes, strict=True
    ):
        median = level + change * after + town + _lasting(random, n_periods, 0.3, sd=0.5)
        when = np.repeat(period, random.poisson(n_visits, n_periods))
        minutes = median[when] * np.exp(random.normal(0, 0.5, len(when)))
        parts.append(pd.DataFrame({
            "service": name, "period": when, "month": when % 12 + 1, "minutes": minutes.round(1),
        }))  # fmt: skip
    truth = dict(zip(names, changes, strict=True))
    return pd.concat(parts, ignore_index=True), truth


def _lasting(random: np.random.Generator, n: int, rho: float, *, sd: float) -> np.ndarray:
    """Return errors of a stationary AR(1) with the given standard deviation."""
    noise = np.empty(n)
    noise[0] = random.normal(0, sd)
    for t in range(1, n):
        noise[t] = rho * noise[t - 1] + random.normal(0, sd * np.sqrt(1 - rho**2))
    return noise
