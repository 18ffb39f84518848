"""Cases of the proof in which clinics or months, not patients, are what is counted."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from loyalty_research.data.simulate_designs import SimulatedDesign
from loyalty_research.effects.effect import Effect
from loyalty_research.effects.interrupted_time_series import interrupted_time_series
from loyalty_research.effects.proof import Answer, Case
from loyalty_research.effects.proof_answers import (
    SLOW,
    answer_of,
    arm_columns,
    coefficient,
    least_squares,
    symmetric,
)
from loyalty_research.effects.randomised import mean_difference
from loyalty_research.effects.staggered import staggered_difference_in_differences
from loyalty_research.effects.stepped_wedge import stepped_wedge_effect

# --- clinics assigned whole -----------------------------------------------------------------------


def _clinics(world: SimulatedDesign) -> Effect:
    return mean_difference(
        world.data, arm="arm", outcome="score", cluster="clinic", randomised=True
    )


def _by_row(world: SimulatedDesign, *, clustered: bool, student: bool = False) -> Answer:
    """Return least squares on patients: as if independent, or with CR1 errors."""
    data = world.data
    clinic = data["clinic"].to_numpy()
    x, y = arm_columns(data["arm"].to_numpy()), data["score"].to_numpy()
    found = least_squares(x, y, cluster=clinic if clustered else None)
    return coefficient(found, df=clinic.max() if student else math.inf)


def _cluster_cases(settings: dict[str, Any], published: dict[str, float]) -> list[Case]:
    """Return the methods tried on clinics assigned whole."""
    ways = [
        ("patients as if independent", lambda w: _by_row(w, clustered=False), False),
        ("CR1, normal", lambda w: _by_row(w, clustered=True), False),
        ("CR1, t", lambda w: _by_row(w, clustered=True, student=True), False),
        ("CR2, Satterthwaite", lambda w: answer_of(_clinics(w)), True),
        ("t of clinics' means", lambda w: answer_of(_clinics(w), "cluster-mean t"), True),
    ]
    return [
        Case("clusters", name, "mean_difference", way, settings, published.get(name), holds)
        for name, way, holds in ways
    ]


_FEW = {"n_clusters": 20, "n_treated": 3}
CLUSTERS = (
    *_cluster_cases({"n_clusters": 6}, {
        "patients as if independent": 0.734, "CR1, normal": 0.811, "CR1, t": 0.889,
        "CR2, Satterthwaite": 0.947,
    }),
    *_cluster_cases({"n_clusters": 20}, {}),
    *_cluster_cases(_FEW, {
        "CR1, normal": 0.818, "CR2, Satterthwaite": 0.975, "t of clinics' means": 0.953,
    }),
    Case("clusters", "permutation of clinics' means", "mean_difference",
         lambda w: answer_of(_clinics(w), "permutation test"), _FEW),
)  # fmt: skip


# --- clinics one after another --------------------------------------------------------------------


def _wedge(world: SimulatedDesign, **settings: Any) -> Effect:
    return stepped_wedge_effect(
        world.data, outcome="score", cluster="clinic", period="period", treated="treated",
        randomised=True, **settings,
    )  # fmt: skip


def _wedge_two_way(world: SimulatedDesign) -> Answer:
    """Return one effect beside levels of clinics and periods, errors CR1 by clinic."""
    data = world.data
    clinic, period = data["clinic"].to_numpy(), data["period"].to_numpy()
    levels = np.column_stack([np.eye(clinic.max() + 1)[clinic], np.eye(period.max() + 1)[period]])
    x = np.column_stack([data["treated"], levels[:, :-1]])
    found = least_squares(x, data["score"].to_numpy(), cluster=clinic)
    return coefficient(found, 0, df=clinic.max())


def _constant(world: SimulatedDesign) -> Answer:
    return answer_of(_wedge(world, exposure_time=False))


_GROWS = {"growing": True}
WEDGES = (
    Case("stepped_wedge", "one effect, mixed model", "effect", _constant, runs=SLOW),
    Case("stepped_wedge", "by time since crossing", "effect", lambda w: answer_of(_wedge(w))),
    Case("stepped_wedge", "two-way fixed effects", "effect", _wedge_two_way, nominal=False),
    Case("stepped_wedge", "by time since crossing", "effect_of_treated",
         lambda w: answer_of(_wedge(w)), _GROWS, published=0.958),
    Case("stepped_wedge", "by time since crossing, CR2", "effect_of_treated",
         lambda w: answer_of(_wedge(w), "average effect, CR2"), _GROWS),
    Case("stepped_wedge", "by time since crossing, each alike", "effect",
         lambda w: answer_of(_wedge(w), "average over times"), _GROWS),
    Case("stepped_wedge", "one effect, mixed model", "effect_of_treated", _constant, _GROWS,
         runs=SLOW, nominal=False),
    Case("stepped_wedge", "two-way fixed effects", "effect_of_treated", _wedge_two_way, _GROWS,
         published=0.57, nominal=False),
)  # fmt: skip


def _two_way(world: SimulatedDesign) -> Answer:
    """Return the coefficient of two-way fixed effects, errors by clinic."""
    data = world.data
    started = data["period"] >= data["first_treated"].astype("Float64").fillna(np.inf)
    shape = (-1, data["period"].nunique())
    d, y = (_within(np.reshape(v.to_numpy(float), shape)) for v in (started, data["score"]))
    beta = float((d * y).sum() / (d**2).sum())
    scores = (d * (y - beta * d)).sum(axis=1)
    n = len(scores)
    return symmetric(beta, math.sqrt(n / (n - 1) * (scores**2).sum()) / (d**2).sum(), n - 1)


def _within(table: np.ndarray) -> np.ndarray:
    """Return a table of clinics by periods without the means of either."""
    return table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean()


def _group_time(world: SimulatedDesign, control: str = "never") -> Answer:
    # The draws make bands, which the interval of the headline does not need.
    found = staggered_difference_in_differences(
        world.data, outcome="score", unit="clinic", period="period", control=control,
        first_treated="first_treated", seed=1, n_draws=100,
    )  # fmt: skip
    return answer_of(found, "simple")


def _roll_out_cases(n_clinics: int, published: dict[str, float]) -> list[Case]:
    """Return the methods tried on clinics that started at different times."""
    ways: list[tuple[str, Any, bool]] = [
        ("two-way fixed effects", _two_way, False),
        ("Callaway-Sant'Anna", _group_time, True),
        ("Callaway-Sant'Anna, not yet treated", lambda w: _group_time(w, "not_yet"), True),
    ]
    settings = {"n_clinics": n_clinics}
    return [
        Case("staggered", name, "simple", way, settings, published.get(name), holds, runs=SLOW)
        for name, way, holds in ways
    ]


ROLL_OUTS = (
    *_roll_out_cases(60, {"two-way fixed effects": 0.195, "Callaway-Sant'Anna": 0.955}),
    *_roll_out_cases(20, {"Callaway-Sant'Anna": 0.950}),
)


# --- months ---------------------------------------------------------------------------------------


def _series(data: pd.DataFrame, outcome: str = "score", **settings: Any) -> Effect:
    told: dict[str, Any] = {"season": "month", "harmonics": 1} | settings
    return interrupted_time_series(
        data, outcome=outcome, time="period", start=len(data) // 2, **told
    )


def _ols(world: SimulatedDesign, *, season: bool = True) -> Answer:
    """Return the change in level by least squares, errors as if months were independent."""
    at = world.data["period"].to_numpy(float)
    after, turn = at >= len(at) // 2, 2 * np.pi * at / 12
    x = arm_columns(after, at, np.where(after, at - len(at) // 2, 0.0))
    if season:
        x = np.column_stack([x, np.sin(turn), np.cos(turn)])
    found = least_squares(x, world.data["score"].to_numpy())
    return coefficient(found, df=len(at) - x.shape[1])


def _newey_west(world: SimulatedDesign) -> Answer:
    return answer_of(_series(world.data, errors="newey-west"))


def _series_cases(n_periods: int, rho: float, published: dict[str, float]) -> list[Case]:
    """Return the methods tried on one series."""
    settings = {"n_periods": n_periods, "rho": rho}
    ways = [
        ("least squares", _ols, rho == 0),
        ("Newey-West", _newey_west, False),
        # With memory to be estimated no interval of a short series is fully nominal.
        ("AR(1) by REML", lambda w: answer_of(_series(w.data)), False),
        ("least squares, no season", lambda w: _ols(w, season=False), False),
        ("AR(1) by REML, no season", lambda w: answer_of(_series(w.data, season=None)), False),
    ]
    return [
        Case("interrupted_series", name, "level", way, settings, published.get(name), holds)
        for name, way, holds in ways
    ]


# METHODS does not say by which errors the season was left out; least squares comes nearest.
_PUBLISHED = {
    "least squares": 0.795, "Newey-West": 0.804, "AR(1) by REML": 0.917,
    "least squares, no season": 0.605,
}  # fmt: skip


def _medians(world: SimulatedDesign, control: str | None) -> Answer:
    """Return the change of a service's median wait, beside that of another."""
    table = world.data.pivot_table(index="period", columns="service", values="minutes",
                                   aggfunc="median").reset_index()  # fmt: skip
    table["month"] = table["period"] % 12 + 1
    return answer_of(_series(table, "changed", control=control))


SERIES = (
    *_series_cases(24, 0.0, {}),
    *_series_cases(24, 0.4, {}),
    *_series_cases(48, 0.0, {}),
    *_series_cases(48, 0.4, _PUBLISHED),
    *_series_cases(120, 0.0, {}),
    *_series_cases(120, 0.4, {}),
    Case("controlled_series", "AR(1) by REML, the shock unseen", "level",
         lambda w: answer_of(_series(w.data)), published=0.64, nominal=False),
    Case("controlled_series", "AR(1) by REML of the difference", "level",
         lambda w: answer_of(_series(w.data, control="control")), published=0.91, nominal=False),
    Case("waiting_times", "medians, AR(1) by REML", "changed", lambda w: _medians(w, None),
         nominal=False),
    Case("waiting_times", "medians, beside the control", "changed",
         lambda w: _medians(w, "control"), nominal=False),
    Case("waiting_times", "medians, beside the neighbour it displaces", "changed",
         lambda w: _medians(w, "neighbour"), nominal=False),
)  # fmt: skip

CLINICS = CLUSTERS + WEDGES + ROLL_OUTS + SERIES
"""Cases with clinics or months."""
