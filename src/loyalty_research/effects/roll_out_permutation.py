"""Whether the order alone in which clinics started could have made a difference."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from loyalty_research.data.arguments import check_whole
from loyalty_research.effects.arms import completeness_check
from loyalty_research.effects.asked import Asked, assignment_check, check_asked
from loyalty_research.effects.checks import Check, checks_table
from loyalty_research.effects.effect import Effect, Facts
from loyalty_research.effects.estimates import estimate_row, estimates_table
from loyalty_research.effects.roll_out_rows import RollOut, open_roll_out

_FEWEST_WAYS = 40
"""Ways below which no two-sided p-value of 0.05 is reached with one to spare."""
_BLOCK = 2_000_000


def roll_out_permutation_test(
    data: Any,
    *,
    outcome: str,
    cluster: str,
    period: str,
    treated: str,
    seed: int,
    n_permutations: int = 10_000,
    randomised: bool = False,
    unit: str = "",
    better: str = "",
    arms: tuple[str, str] = ("control", "programme"),
    override: Mapping[str, str] | None = None,
) -> Effect:
    """Return the difference within periods with the share of starting orders that give as much.

    In each period the mean of the clinics that have the programme is compared with that of those
    that do not have it yet; periods weigh by how many clinics stand on each side (Thompson et al.,
    Stat Med 2018;37:2487). The clinics' starts are then dealt anew, the real order counted among
    them (Phipson and Smyth, Stat Appl Genet Mol Biol 2010;9:39). The p-value needs no model of
    correlation or time and holds with few clinics, if chance decided the order (Wang and De
    Gruttola, Stat Med 2017;36:2831). `stepped_wedge_effect` estimates more precisely.

    Args:
        data: One row a patient, or one row a clinic and period with its mean. Any frame.
        outcome: Column of the outcome: a number, or 0 and 1. Rows where it is missing are left out
            and counted.
        cluster: Column that names the clinic; each counts alike within a period.
        period: Column of the period, a number or a date; its values in order are the periods.
        treated: Column that is 1 where the clinic had the programme in that period, else 0.
        seed: Seed of the drawing.
        n_permutations: Orders to draw, at least 100.
        randomised: True where chance decided the order. Otherwise the check "assignment" fails.
        unit: Unit of the outcome.
        better: "higher" or "lower" where one of them is good.
        arms: What without and with the programme are called.
        override: Refusal -> reason why it is no mistake here: "withdrawn", "crossing".

    Returns:
        A row `permutation of starts`, without an interval.

    Raises:
        UsageError: An argument that cannot be meant.
        DesignError: A clinic loses the programme again, or none crosses.
        DataError: As `stepped_wedge_effect`.

    Examples:
        >>> import pandas as pd
        >>> data = pd.DataFrame({"clinic": list("aaabbbccc"), "month": [1, 2, 3] * 3,
        ...     "with": [0, 1, 1, 0, 0, 1, 0, 0, 0], "y": [5.0, 8, 9, 5, 6, 9, 5, 6, 7]})
        >>> effect = roll_out_permutation_test(data, outcome="y", cluster="clinic", period="month",
        ...     treated="with", seed=1, randomised=True)
        >>> round(effect.headline["estimate"], 4)  # (8 - 6) and (9 - 7), of like weight
        2.0
    """
    seed = check_whole(seed, name="seed")
    n_drawn = check_whole(n_permutations, name="n_permutations", minimum=100)
    asked = Asked(
        arm=treated, outcome=outcome, cluster=cluster, randomised=randomised, unit=unit,
        better=better, arms=arms, override=override,
    )  # fmt: skip
    check_asked(asked)
    roll_out = open_roll_out(
        data, outcome=outcome, cluster=cluster, period=period, treated=treated, covariates=None,
        override=override,
    )  # fmt: skip
    mean, schedule = _cell_means(roll_out), roll_out.since > 0
    levels = _levels(schedule[None], mean)[:, 0]
    estimate = float(levels[1] - levels[0])
    ways = count_orders(schedule)
    row = _row(roll_out, estimate, _p_value(schedule, mean, estimate, n_drawn, seed), asked)
    row["method"] = f"differences within periods, {n_drawn:,} of {ways:.3g} orders of starting"
    facts = _facts(roll_out, asked, levels, str(row["method"]), seed, ways)
    checks = [
        assignment_check(asked), *roll_out.guards.checks,
        completeness_check(roll_out.rows, outcome=outcome), _ways_check(ways),
    ]  # fmt: skip
    return Effect(estimates_table([row]), checks_table(checks), facts)


def count_orders(schedule: np.ndarray) -> int:
    """Return in how many ways the clinics' starts can be dealt.

    Args:
        schedule: Clinics x periods, true with the programme.

    Returns:
        The factorial of the clinics over those of the clinics that start alike.

    Examples:
        >>> count_orders(np.array([[0, 1, 1], [0, 1, 1], [0, 0, 1], [0, 0, 1]]))
        6
    """
    alike = np.unique(schedule, axis=0, return_counts=True)[1]
    return math.factorial(len(schedule)) // math.prod(math.factorial(int(n)) for n in alike)


# --- steps ----------------------------------------------------------------------------------------


def _cell_means(roll_out: RollOut) -> np.ndarray:
    """Return the mean of each clinic and period, missing where no one is."""
    shape = roll_out.status.shape
    cell = np.asarray(roll_out.rows.cluster) * shape[1] + roll_out.period
    size = np.bincount(cell, minlength=shape[0] * shape[1])
    total = np.bincount(cell, roll_out.rows.outcome, shape[0] * shape[1])
    mean = np.divide(total, size, out=np.full(len(size), np.nan), where=size > 0)
    return np.asarray(mean.reshape(shape))


def _levels(schedules: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Return the levels without and with the programme of many schedules, a column each.

    Periods in which all clinics are on one side compare nothing and weigh nothing.
    """
    seen, value = ~np.isnan(mean), np.nan_to_num(mean)
    with_it = schedules & seen
    n1, n = with_it.sum(axis=1), seen.sum(axis=0)
    s1 = (with_it * value).sum(axis=1)
    n0, s0 = n - n1, value.sum(axis=0) - s1
    weight = np.divide(n1 * n0, n, out=np.zeros(n1.shape), where=n > 0)
    sides = [
        np.divide(s, k, out=np.zeros(s.shape), where=k > 0) * weight
        for s, k in ((s0, n0), (s1, n1))
    ]
    total = weight.sum(axis=1)
    return np.array(
        [np.divide(side.sum(axis=1), total, out=np.zeros(len(total)), where=total > 0)
         for side in sides]
    )  # fmt: skip


def _p_value(
    schedule: np.ndarray, mean: np.ndarray, estimate: float, n_drawn: int, seed: int
) -> float:
    random = np.random.default_rng(seed)
    size, done, as_large = max(_BLOCK // schedule.size, 1), 0, 0
    # A tie in exact arithmetic must stay one in the computer's.
    least = abs(estimate) * (1 - 1e-9)
    while done < n_drawn:
        k = min(size, n_drawn - done)
        order = random.permuted(np.tile(np.arange(len(schedule)), (k, 1)), axis=1)
        levels = _levels(schedule[order], mean)
        as_large += int(np.count_nonzero(np.abs(levels[1] - levels[0]) >= least))
        done += k
    return (1 + as_large) / (1 + n_drawn)


def _row(roll_out: RollOut, estimate: float, p_value: float, asked: Asked) -> dict[str, Any]:
    row = estimate_row(
        "permutation of starts", estimate, math.nan, n=roll_out.rows.n, method="",
        scale=asked.unit or "difference in means",
    )  # fmt: skip
    return row | {"p_value": p_value}


def _facts(
    roll_out: RollOut, asked: Asked, levels: np.ndarray, variance: str, seed: int, ways: int
) -> Facts:
    rows = roll_out.rows
    return Facts(
        design="roll-out, starts by lot" if asked.randomised else "roll-out as it came about",
        estimand=f"difference in mean {asked.outcome} between clinics with and without the "
        "programme in the same period, each clinic counting alike",
        measure="mean difference", outcome=asked.outcome, variance=variance, n=rows.n,
        unit=asked.unit, better=asked.better, causal=bool(asked.randomised),
        arms=(asked.arms[0], asked.arms[1]), levels={k: float(levels[k]) for k in (0, 1)},
        sizes=dict(enumerate(rows.sizes())), n_clusters=rows.n_clusters,
        n_missing=dict(rows.n_missing), overrides=dict(roll_out.guards.used), seed=seed,
        more={"n_orders": ways, "rows_are": "rows"},
    )  # fmt: skip


def _ways_check(ways: int) -> Check:
    passed = ways >= _FEWEST_WAYS
    words = f"the clinics' starts can be dealt in {ways:,} ways" if ways < 1e6 else (
        f"the clinics' starts can be dealt in {ways:.2g} ways"
    )  # fmt: skip
    if not passed:
        words += f", so that no p-value lies below {1 / ways:.2g}"
    return Check("orders", passed, words, float(min(ways, 10**15)), float(_FEWEST_WAYS))
