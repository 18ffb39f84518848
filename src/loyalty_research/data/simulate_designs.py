"""Small worlds with a known effect, one for each design, on which every method is tried.

Each function draws one data set and states the truth that belongs to it, computed from the world's
own formulas and never from the data. What makes the world hard (clusters, overlap, dropout) is
said in its first sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from numpy.polynomial.hermite_e import hermegauss
from scipy.optimize import brentq
from scipy.special import expit, logit

from loyalty_research.data.arguments import check_choice, check_whole
from loyalty_research.data.simulate_panels import (
    controlled_series,
    interrupted_series,
    staggered_roll_out,
    stepped_wedge,
    waiting_times,
)


@dataclass(frozen=True)
class SimulatedDesign:
    """One data set drawn from a world, with the world's truth.

    Attributes:
        data: As the design's estimator takes it.
        truth: Name of the estimand -> its value.
    """

    data: pd.DataFrame
    truth: Mapping[str, float]


def simulate_design(name: str, *, seed: int, **settings: Any) -> SimulatedDesign:
    """Draw one data set from the world of a design.

    Args:
        name: A key of `DESIGNS`, such as "randomised" or "staggered".
        seed: Any whole number from 0; the same seed gives the same data.
        **settings: What the world's own function takes, such as `n` or `overlap`.

    Returns:
        The data and the truth.

    Raises:
        UsageError: An unknown design, or a seed that is not whole.

    Examples:
        >>> world = simulate_design("randomised", seed=1)
        >>> len(world.data), round(world.truth["risk_difference"], 4)
        (300, 0.0868)
    """
    check_choice(name, DESIGNS, name="name")
    random = np.random.default_rng(check_whole(seed, name="seed"))
    data, truth = DESIGNS[name](random, **settings)
    return SimulatedDesign(data, MappingProxyType(truth))


World = tuple[pd.DataFrame, dict[str, float]]


# --- arms drawn by lot ----------------------------------------------------------------------------


def randomised(random: np.random.Generator, *, n: int = 300) -> World:
    """Draw patients assigned by lot, with a covariate that predicts the outcome.

    Args:
        random: Source of randomness.
        n: Patients.

    Returns:
        `arm, x, came`, and the truth as a risk difference, a risk ratio and its log.

    Examples:
        >>> data, truth = randomised(np.random.default_rng(1), n=10)
        >>> list(data), round(truth["risk_ratio"], 3)
        (['arm', 'x', 'came'], 1.291)
    """
    start = logit(0.30) - 0.15
    points, weights = normal_nodes()
    risk = {k: float(weights @ expit(start + 0.9 * points + 0.45 * k)) for k in (0, 1)}
    arm, x = random.permutation(np.arange(n) % 2), random.normal(size=n)
    came = random.random(n) < expit(start + 0.9 * x + 0.45 * arm)
    data = pd.DataFrame({"arm": arm, "x": x, "came": came.astype(int)})
    return data, {
        "risk_difference": risk[1] - risk[0],
        "risk_ratio": risk[1] / risk[0],
        "log_risk_ratio": float(np.log(risk[1] / risk[0])),
    }


def clusters(
    random: np.random.Generator, *, n_clusters: int = 20, n_treated: int | None = None
) -> World:
    """Draw patients of clinics assigned by lot, clinics of unequal size whose patients are alike.

    Args:
        random: Source of randomness.
        n_clusters: Clinics.
        n_treated: Clinics with the programme; half of them by default.

    Returns:
        `clinic, arm, score` with an intraclass correlation of 0.05; the effect is 0.3.

    Examples:
        >>> data, truth = clusters(np.random.default_rng(1), n_clusters=6)
        >>> data["clinic"].nunique(), truth
        (6, {'mean_difference': 0.3})
    """
    treated = n_clusters // 2 if n_treated is None else n_treated
    shape = 1 / 0.6**2
    sizes = np.maximum(np.rint(random.gamma(shape, 40 / shape, n_clusters)), 2).astype(int)
    arms = random.permutation((np.arange(n_clusters) < treated).astype(int))
    level = random.normal(0, np.sqrt(0.05), n_clusters)
    clinic = np.repeat(np.arange(n_clusters), sizes)
    noise = random.normal(0, np.sqrt(0.95), len(clinic))
    score = 0.3 * arms[clinic] + level[clinic] + noise
    return pd.DataFrame({"clinic": clinic, "arm": arms[clinic], "score": score}), {
        "mean_difference": 0.3
    }


def counts(random: np.random.Generator, *, n: int = 400) -> World:
    """Draw numbers of visits that vary more than a Poisson model allows.

    Args:
        random: Source of randomness.
        n: Patients.

    Returns:
        `arm, years, visits`; the ratio of rates is 1.25, the overdispersion 1.

    Examples:
        >>> counts(np.random.default_rng(1))[1]["rate_ratio"]
        1.25
    """
    arm, years = random.permutation(np.arange(n) % 2), random.uniform(0.5, 2, n)
    mean = 3 * years * np.where(arm == 1, 1.25, 1)
    visits = random.poisson(mean * random.gamma(1, 1, n))
    data = pd.DataFrame({"arm": arm, "years": years, "visits": visits})
    return data, {"rate_ratio": 1.25, "log_rate_ratio": float(np.log(1.25))}


def high_readings(random: np.random.Generator, *, n: int = 400) -> World:
    """Draw patients enrolled because one reading was high, the programme doing nothing.

    Args:
        random: Source of randomness.
        n: Patients enrolled, half of them into the programme.

    Returns:
        `arm, before, after` in mmHg, all `before` above 150. Truths: the mean difference, 0, and
        the change that comes from selection alone.

    Examples:
        >>> data, truth = high_readings(np.random.default_rng(1))
        >>> bool((data["before"] > 150).all()), round(truth["expected_regression"], 1)
        (True, -6.8)
    """
    mean, between, within, threshold = 142.0, 11.0, 9.0, 150.0
    usual, before = np.empty(0), np.empty(0)
    while len(before) < n:
        drawn = random.normal(mean, between, 4 * n)
        seen = drawn + random.normal(0, within, 4 * n)
        usual = np.append(usual, drawn[seen > threshold])
        before = np.append(before, seen[seen > threshold])
    after = usual[:n] + random.normal(0, within, n)
    data = pd.DataFrame({"arm": np.arange(n) % 2, "before": before[:n], "after": after})
    spread = np.hypot(between, within)
    z = (threshold - mean) / spread
    above = spread * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) / _upper_tail(z)
    regression = -float(above * within**2 / spread**2)
    return data, {"mean_difference": 0.0, "expected_regression": regression}


def informative_visits(random: np.random.Generator, *, n: int = 600) -> World:
    """Draw readings that are taken only when patients come, the sicker ones coming more often.

    Args:
        random: Source of randomness.
        n: Patients.

    Returns:
        `arm, severity, sbp` (missing where no reading was taken) and `sbp_true`; the programme
        lowers sbp by 4 mmHg, and brings in the less severe.

    Examples:
        >>> informative_visits(np.random.default_rng(1))[1]
        {'mean_difference': -4.0}
    """
    arm, severity = random.permutation(np.arange(n) % 2), random.normal(size=n)
    sbp = 145 + 8 * severity - 4 * arm + random.normal(0, 8, n)
    seen = random.random(n) < expit(-0.2 + 1.0 * severity * (1 - arm) + 1.2 * arm)
    data = {"arm": arm, "severity": severity, "sbp": np.where(seen, sbp, np.nan), "sbp_true": sbp}
    return pd.DataFrame(data), {"mean_difference": -4.0}


def null_subgroups(random: np.random.Generator, *, n: int = 2000) -> World:
    """Draw a programme without an effect in any of ten subgroups.

    Args:
        random: Source of randomness.
        n: Patients.

    Returns:
        `arm, segment, score`; the effect and all differences between subgroups are 0.

    Examples:
        >>> null_subgroups(np.random.default_rng(1))[0]["segment"].nunique()
        10
    """
    segment = np.char.add("s", (np.arange(n) % 10).astype(str))
    arm = random.permutation(np.arange(n) // 10 % 2)
    data = {"arm": arm, "segment": segment, "score": random.normal(size=n)}
    return pd.DataFrame(data), {"mean_difference": 0.0, "interaction": 0.0}


def costs(random: np.random.Generator, *, n: int = 400) -> World:
    """Draw costs with a long tail beside an outcome, by arm.

    Args:
        random: Source of randomness.
        n: Patients.

    Returns:
        `arm, cost, years`; 60 more buy half a year more, so that a year costs 120.

    Examples:
        >>> costs(np.random.default_rng(1))[1]["icer"]
        120.0
    """
    arm = random.permutation(np.arange(n) % 2)
    cost = random.gamma(2, (200 + 60 * arm) / 2)
    years = 2 + 0.5 * arm + random.normal(0, 1, n)
    data = pd.DataFrame({"arm": arm, "cost": cost, "years": years})
    return data, {"icer": 120.0, "net_benefit_200": 200 * 0.5 - 60.0}


def non_compliance(
    random: np.random.Generator, *, n: int = 800, contamination: float = 0.2, refused: float = 0.3
) -> World:
    """Draw a trial in which some of the controls get the programme and some of the others do not.

    Args:
        random: Source of randomness.
        n: Patients.
        contamination: Share that gets the programme whatever the lot says.
        refused: Share that never takes it.

    Returns:
        `arm, received, score`. The programme does 1 for compliers, 0.5 for those who always take
        it; truths of what was assigned and of compliers.

    Examples:
        >>> non_compliance(np.random.default_rng(1))[1]
        {'intention_to_treat': 0.5, 'complier_effect': 1.0}
    """
    kind = random.choice(3, n, p=[contamination, refused, 1 - contamination - refused])
    arm = random.permutation(np.arange(n) % 2)
    received = np.where(kind == 0, 1, np.where(kind == 1, 0, arm))
    gain = np.where(kind == 0, 0.5, 1.0)
    # Who never takes it is sicker: who received it must not be compared with who did not.
    score = gain * received - 1.0 * (kind == 1) + random.normal(size=n)
    data = pd.DataFrame({"arm": arm, "received": received, "score": score})
    compliers = round(1 - contamination - refused, 12)
    return data, {"intention_to_treat": compliers, "complier_effect": 1.0}


def two_programmes(random: np.random.Generator, *, n: int = 800) -> World:
    """Draw a second programme that the enrolled of the first join more often and that adds to it.

    Args:
        random: Source of randomness.
        n: Patients.

    Returns:
        `arm, other, score`; truths of the first without the second, and beside it.

    Examples:
        >>> two_programmes(np.random.default_rng(1))[1]
        {'alone': 0.5, 'beside': 0.8}
    """
    arm = random.permutation(np.arange(n) % 2)
    other = (random.random(n) < np.where(arm == 1, 0.6, 0.2)).astype(int)
    score = 0.5 * arm + 0.4 * other + 0.3 * arm * other + random.normal(size=n)
    data = pd.DataFrame({"arm": arm, "other": other, "score": score})
    return data, {"alone": 0.5, "beside": 0.8}


# --- patients who chose ---------------------------------------------------------------------------

_SLOPES = {"good": (-0.5, np.array([0.394, 0.3, -0.3])), "poor": (-0.6, np.array([1.3, 0.9, -0.9]))}
"""Intercept and slopes of the logit of enrolling, by overlap."""


def confounded(random: np.random.Generator, *, n: int = 800, overlap: str = "good") -> World:
    """Draw patients whose three characteristics drive both enrolment and outcome.

    Args:
        random: Source of randomness.
        n: Patients.
        overlap: "good", or "poor" where some could hardly have been in the other arm.

    Returns:
        `arm, x1, x2, x3, score`. The effect is 1 + 0.6 x1: truths in all (ATE), in the enrolled
        (ATT) and in those who might have gone either way (ATO).

    Examples:
        >>> truth = confounded(np.random.default_rng(1))[1]
        >>> [round(truth[name], 2) for name in ("ATE", "ATT", "ATO")]
        [1.0, 1.14, 1.05]
    """
    start, slopes = _SLOPES[check_choice(overlap, _SLOPES, name="overlap")]
    x = random.normal(size=(n, 3))
    arm = (random.random(n) < expit(start + x @ slopes)).astype(int)
    score = x @ np.array([1.0, 0.7, -0.5]) + (1 + 0.6 * x[:, 0]) * arm + random.normal(size=n)
    data = pd.DataFrame({"arm": arm, "x1": x[:, 0], "x2": x[:, 1], "x3": x[:, 2], "score": score})
    return data, _confounded_truth(start, slopes)


def _confounded_truth(start: float, slopes: np.ndarray) -> dict[str, float]:
    """Return the effects by integration over x1 and what else drives enrolment, both normal."""
    points, weights = normal_nodes()
    rest = float(np.hypot(*slopes[1:]))
    share = expit(start + slopes[0] * points[:, None] + rest * points[None, :])
    both = weights[:, None] * weights[None, :]
    effect = (1 + 0.6 * points)[:, None]
    tilts = {"ATE": np.ones_like(share), "ATT": share, "ATO": share * (1 - share)}
    return {k: float((both * t * effect).sum() / (both * t).sum()) for k, t in tilts.items()}


def survival(random: np.random.Generator, *, n: int = 600, confounding: float = 0.7) -> World:
    """Draw times to lapse that a characteristic shortens, as it changes the chance to enrol.

    Args:
        random: Source of randomness.
        n: Patients.
        confounding: Slope of the logit of enrolling on the characteristic; 0 for a lot.

    Returns:
        `arm, x, time, event` in days of a year of 365; the conditional hazard ratio is exp(-0.4).
        Truths at 2 years: differences of the share still there and of the restricted mean; and
        the marginal log hazard ratio, which Cox's model of the arm alone finds in a trial followed
        so long.

    Examples:
        >>> truth = survival(np.random.default_rng(1))[1]
        >>> round(truth["retention_difference_730"], 3)
        0.123
    """
    rate, slope, effect = 0.6115, 0.6326, -0.4
    x = random.normal(size=n)
    arm = (random.random(n) < expit(confounding * x)).astype(int)
    life = random.exponential(365 / (rate * np.exp(slope * x + effect * arm)))
    end = random.uniform(730, 1460, n)
    time = np.floor(np.minimum(life, end)).astype(int)
    data = pd.DataFrame({"arm": arm, "x": x, "time": time, "event": (life <= end).astype(int)})
    points, weights = normal_nodes()
    days = np.arange(0, 731)
    # A life that ends within a day counts as ended on it: S on day t is P(life >= t + 1).
    risk = rate * np.exp(slope * points) / 365
    stay = {k: np.exp(-np.outer(days + 1, risk * np.exp(effect * k))) @ weights for k in (0, 1)}
    gap = stay[1] - stay[0]
    return data, {
        "log_hazard_ratio_given_x": effect,
        "log_hazard_ratio_marginal": _marginal_log_ratio(rate, slope, effect),
        "retention_difference_730": float(gap[730]),
        "restricted_mean_difference_730": float(gap[:730].sum()),
    }


def _marginal_log_ratio(rate: float, slope: float, effect: float) -> float:
    """Return where the score of Cox's model of the arm alone is 0 in the population of a trial.

    Survival is averaged over x; marginal hazards are not proportional, so that the ratio weighs
    them by who is still seen: all up to day 730, then fewer in a straight line down to day 1460.
    """
    points, weights = normal_nodes()
    years = np.linspace(0, 4, 4001)
    risk = rate * np.exp(slope * points)
    stay = np.stack([
        np.exp(-np.outer(years, risk * np.exp(effect * k))) @ weights for k in (0, 1)
    ])  # fmt: skip
    left, middle = -np.diff(stay), (stay[:, 1:] + stay[:, :-1]) / 2
    seen = np.clip(2 - (years[1:] + years[:-1]) / 4, 0, 1)

    def score(ratio: float) -> float:
        share = middle[1] * np.exp(ratio) / (middle[0] + middle[1] * np.exp(ratio))
        return float(seen @ (left[1] - share * left.sum(axis=0)))

    return float(brentq(score, -3, 3))


def immortal_time(random: np.random.Generator, *, n: int = 1500, confounding: float = 0.0) -> World:
    """Draw patients of unequal frailty who may enrol on any day while they still come, for nothing.

    Args:
        random: Source of randomness.
        n: Patients.
        confounding: Log ratio by which a unit of `x` raises the hazards both of leaving and of
            enrolling; 0 for none.

    Returns:
        `patient_id, time, event, enrolment_day` (missing where none came before the end), `x`; the
        hazard ratio is 1 and no day of enrolment changes the share still there.

    Examples:
        >>> data, truth = immortal_time(np.random.default_rng(1))
        >>> bool((data["enrolment_day"].fillna(0) <= data["time"]).all()), truth["log_hazard_ratio"]
        (True, 0.0)
    """
    frailty = random.gamma(4, 1 / 4, n)
    life = random.exponential(730 / frailty)
    end, wait = random.uniform(730, 1095, n), random.exponential(500, n)
    x = random.normal(size=n)
    life, wait = life / np.exp(confounding * x), wait / np.exp(confounding * x)
    time, joined = np.floor(np.minimum(life, end)).astype(int), np.floor(wait)
    data = pd.DataFrame({
        "patient_id": np.arange(n), "time": time, "event": (life <= end).astype(int),
        "enrolment_day": pd.array(np.where(joined <= time, joined, -1), dtype="Int64"), "x": x,
    })  # fmt: skip
    data["enrolment_day"] = data["enrolment_day"].mask(data["enrolment_day"] < 0)
    return data, {"log_hazard_ratio": 0.0, "retention_difference": 0.0}


def dropout(random: np.random.Generator, *, n: int = 800) -> World:
    """Draw a trial whose patients are lost when they do badly, in one arm more than in the other.

    Args:
        random: Source of randomness.
        n: Patients.

    Returns:
        `arm, x, early, score` (missing for the lost); whether a patient is lost depends on the
        arm, on x and on the early result only. The mean difference is 1.

    Examples:
        >>> dropout(np.random.default_rng(1))[1]
        {'mean_difference': 1.0}
    """
    arm, x = random.permutation(np.arange(n) % 2), random.normal(size=n)
    early = 0.5 * arm + x + random.normal(size=n)
    score = 0.5 * arm + early + random.normal(size=n)
    known = random.random(n) < expit(1.2 + 0.9 * early * (1 - arm) + 0.1 * x)
    data = {"arm": arm, "x": x, "early": early, "score": np.where(known, score, np.nan)}
    return pd.DataFrame(data), {"mean_difference": 1.0}


def missing_not_at_random(random: np.random.Generator, *, n: int = 800) -> World:
    """Draw a trial whose missing results depend on the results themselves.

    Args:
        random: Source of randomness.
        n: Patients.

    Returns:
        `arm, x, score`; no method recovers the mean difference of 0.5 from these data alone, only
        bounds hold it. `lost_less_followed` is by how much the lost of the comparison differ from
        its followed in the mean.

    Examples:
        >>> missing_not_at_random(np.random.default_rng(1))[1]["mean_difference"]
        0.5
    """
    arm, x = random.permutation(np.arange(n) % 2), random.normal(size=n)
    score = 0.5 * arm + x + random.normal(size=n)
    known = random.random(n) < expit(1.0 + 0.8 * score * (1 - arm))
    data = {"arm": arm, "x": x, "score": np.where(known, score, np.nan)}
    points, weights = normal_nodes()
    spread = points * np.sqrt(2)
    chance = weights * expit(1.0 + 0.8 * spread)
    followed, share = float(chance @ spread), float(chance.sum())
    # Over all the mean is 0, which followed and lost make up together.
    gap = -followed / (1 - share) - followed / share
    return pd.DataFrame(data), {"mean_difference": 0.5, "lost_less_followed": gap}


def negative_controls(random: np.random.Generator, *, n: int = 40) -> World:
    """Draw estimates of effects that are nil, with the error that a study's design adds to each.

    Args:
        random: Source of randomness.
        n: Negative controls; one more estimate, of interest, is drawn from the same world.

    Returns:
        `term, estimate, std_error` on the log scale; the systematic error has mean 0.15 and
        standard deviation 0.12; the true effect of interest is 0.

    Examples:
        >>> data, truth = negative_controls(np.random.default_rng(1))
        >>> len(data), truth["effect"]
        (41, 0.0)
    """
    error = random.uniform(0.05, 0.2, n + 1)
    estimate = random.normal(0.15, 0.12, n + 1) + random.normal(0, error)
    names = ["of interest", *(f"control {k}" for k in range(1, n + 1))]
    data = pd.DataFrame({"term": names, "estimate": estimate, "std_error": error})
    return data, {"effect": 0.0, "mean": 0.15, "sd": 0.12}


def admissions(random: np.random.Generator, *, n: int = 600) -> World:
    """Draw repeated admissions that death ends, frail patients having more of both.

    Args:
        random: Source of randomness.
        n: Patients.

    Returns:
        `patient_id, arm, start, stop, event, died`, a row a piece of follow-up up to day 730; the
        programme takes a quarter of admissions away among those alive. Truth: the log ratio of
        rates given frailty.

    Examples:
        >>> admissions(np.random.default_rng(1))[1]["log_rate_ratio"].__round__(3)
        -0.288
    """
    arm, frailty = random.permutation(np.arange(n) % 2), random.gamma(2, 0.5, n)
    death = random.exponential(2500 / frailty)
    end = np.ceil(np.minimum(death, 730)).astype(int)
    number = random.poisson(1.5 / 365 * end * frailty * np.where(arm == 1, 0.75, 1))
    # A piece ends with each day of an admission, of which two on one day are one, and at the end.
    patient = np.repeat(np.arange(n), number)
    days = np.ceil(random.uniform(0, end[patient])).astype(int)
    pieces = pd.DataFrame({
        "patient_id": np.append(patient, np.arange(n)), "stop": np.append(days, end),
        "event": np.repeat([1, 0], [len(days), n]),
    }).groupby(["patient_id", "stop"], as_index=False)["event"].max()  # fmt: skip
    patient, stop = pieces["patient_id"].to_numpy(), pieces["stop"].to_numpy()
    data = pd.DataFrame({
        "patient_id": patient, "arm": arm[patient],
        "start": pieces.groupby("patient_id")["stop"].shift(fill_value=0), "stop": stop,
        "event": pieces["event"],
        "died": ((stop == end[patient]) & (death[patient] <= 730)).astype(int),
    })  # fmt: skip
    return data, {"log_rate_ratio": float(np.log(0.75))}


# --- what worlds share ----------------------------------------------------------------------------


def normal_nodes(n: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """Return points and weights that average a smooth function over a standard normal.

    Args:
        n: Points.

    Returns:
        Both, the weights adding up to 1 (Gauss-Hermite quadrature).

    Examples:
        >>> points, weights = normal_nodes()
        >>> round(float(weights @ points**4), 6)
        3.0
    """
    points, weights = hermegauss(n)
    return points, weights / weights.sum()


def _upper_tail(z: float) -> float:
    from scipy.stats import norm

    return float(norm.sf(z))


DESIGNS: Mapping[str, Callable[..., World]] = MappingProxyType({
    "randomised": randomised,
    "clusters": clusters,
    "counts": counts,
    "high_readings": high_readings,
    "informative_visits": informative_visits,
    "null_subgroups": null_subgroups,
    "costs": costs,
    "non_compliance": non_compliance,
    "two_programmes": two_programmes,
    "confounded": confounded,
    "survival": survival,
    "immortal_time": immortal_time,
    "dropout": dropout,
    "missing_not_at_random": missing_not_at_random,
    "negative_controls": negative_controls,
    "admissions": admissions,
    "stepped_wedge": stepped_wedge,
    "staggered": staggered_roll_out,
    "interrupted_series": interrupted_series,
    "controlled_series": controlled_series,
    "waiting_times": waiting_times,
})  # fmt: skip
"""Every world by its name."""
