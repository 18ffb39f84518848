"""What every design returns alike: a sentence, a row, JSON, levels beside ratios, an E-value."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

import loyalty_research as lr
from loyalty_research.data.simulate_designs import simulate_design
from loyalty_research.effects.effect import ESTIMATES, Effect
from loyalty_research.effects.wording import RATIOS

DRAWN: dict[str, Any] = {"seed": 1, "n_boot": 50}
ARM: dict[str, Any] = {"arm": "arm"}
CHOSEN: dict[str, Any] = {"arm": "arm", "outcome": "score", "covariates": ["x1", "x2", "x3"]}
PANEL: dict[str, Any] = {
    "outcome": "score", "unit": "clinic", "period": "period", "first_treated": "first_treated",
    "seed": 1,
}  # fmt: skip


def world(name: str, **settings: Any) -> pd.DataFrame:
    """Return the data of a simulated world."""
    return simulate_design(name, seed=1, **settings).data


def one_start() -> pd.DataFrame:
    """Return the clinics that start in period 5, and those that never do."""
    panel = world("staggered")
    return panel[panel["first_treated"].isna() | panel["first_treated"].eq(5)]


def one_clinic() -> pd.DataFrame:
    """Return the clinics that never start, and one that starts in period 9."""
    panel = world("staggered")
    never = panel[panel["first_treated"].isna()]
    first = panel.loc[panel["first_treated"].eq(9), "clinic"].iloc[0]
    return pd.concat([panel[panel["clinic"] == first], never])


def known(data: pd.DataFrame) -> pd.DataFrame:
    """Return data with a mark of who was followed to the end."""
    return data.assign(known=data["score"].notna())


def both_starts() -> pd.DataFrame:
    """Return two groups of clinics before and after one start."""
    panel = one_start()
    treated = panel["first_treated"].notna()
    return panel.assign(treated=treated, post=panel["period"] >= 5).drop(columns="first_treated")


def trial() -> Any:
    """Return the trial of who enrolled on day 0."""
    data = world("immortal_time")
    return lr.emulate_trial(data, exposed_at="enrolment_day")


def imputed() -> list[Effect]:
    """Return the same contrast in data filled in three ways."""
    data = world("randomised")
    parts = [data.assign(came=np.roll(data["came"], k)) for k in range(3)]
    return [lr.risk_ratio(part, outcome="came", randomised=True, **ARM) for part in parts]


CHOSE: dict[str, Callable[[], Effect]] = {
    "risk_difference": lambda: lr.risk_difference(world("randomised"), outcome="came", **ARM),
    "risk_ratio": lambda: lr.risk_ratio(world("randomised"), outcome="came", **ARM),
    "mean_difference": lambda: lr.mean_difference(
        world("confounded"), outcome="score", unit="mmHg", **ARM
    ),
    "rate_ratio": lambda: lr.rate_ratio(world("counts"), outcome="visits", exposure="years", **ARM),
    "subgroup_effects": lambda: lr.subgroup_effects(
        world("null_subgroups"), outcome="score", by="segment", **ARM
    ),
    "complier_effect": lambda: lr.complier_effect(
        world("non_compliance"), outcome="score", received="received", **ARM
    ),
    "controlled_direct_effect": lambda: lr.controlled_direct_effect(
        world("confounded"), outcome="score", mediator="x1", at=0, confounders=["x2"], **ARM
    ),
    "dose_response": lambda: lr.dose_response(
        world("confounded"), dose="x1", outcome="score", dose_from="assigned"
    ),
    "propensity_weights": lambda: lr.propensity_weights(
        world("confounded"), covariates=CHOSEN["covariates"], **ARM
    ).effect(outcome="score"),
    "overlap weights": lambda: lr.propensity_weights(
        world("confounded", overlap="poor"), covariates=CHOSEN["covariates"], estimand="ATO", **ARM
    ).effect(outcome="score"),
    "doubly_robust_effect": lambda: lr.doubly_robust_effect(world("confounded"), **CHOSEN),
    "doubly robust where arms overlap": lambda: lr.doubly_robust_effect(
        world("confounded"), estimand="ATO", **CHOSEN
    ),
    "g_computation": lambda: lr.g_computation(world("confounded"), **CHOSEN),
    "targeted_effect": lambda: lr.targeted_effect(world("confounded"), **CHOSEN),
    "matched_effect": lambda: lr.matched_effect(world("confounded"), **CHOSEN),
    "retention_difference": lambda: lr.retention_difference(
        world("survival"), day=365, covariates=["x"], **ARM, **DRAWN
    ),
    "smoothed_retention_difference": lambda: lr.smoothed_retention_difference(
        world("survival"), day=365, covariates=["x"], **ARM, **DRAWN
    ),
    "restricted_mean_effect": lambda: lr.restricted_mean_effect(
        world("survival"), horizon=365, **ARM
    ),
    "hazard_ratio": lambda: lr.hazard_ratio(world("survival"), day=365, **ARM),
    "emulate_trial": lambda: trial().retention_difference(day=200),
    "conditional_hazard_ratio": lambda: trial().conditional_hazard_ratio(
        day=200, covariates=["x"]
    ),
    "time_varying_hazard_ratio": lambda: lr.time_varying_hazard_ratio(
        world("immortal_time"), exposed_at="enrolment_day", covariates=["x"]
    ),
    "clone_censor_weight": lambda: lr.clone_censor_weight(
        world("immortal_time"), exposed_at="enrolment_day", grace=30, day=100, covariates=["x"],
        **DRAWN,
    ),
    "censoring_weights": lambda: lr.censoring_weights(
        known(world("dropout")), arm="arm", observed="known", covariates=["x", "early"]
    ).effect(outcome="score"),
}  # fmt: skip
"""Designs of patients who chose, or of whom nobody says that a lottery decided."""

GIVEN: dict[str, Callable[[], Effect]] = {
    "mean_difference by lot": lambda: lr.mean_difference(
        world("clusters"), outcome="score", cluster="clinic", randomised=True, **ARM
    ),
    "pool_imputations": lambda: lr.pool_imputations(imputed()),
    "stepped_wedge_effect": lambda: lr.stepped_wedge_effect(
        world("stepped_wedge"), outcome="score", cluster="clinic", period="period",
        treated="treated", randomised=True,
    ),
    "roll_out_permutation_test": lambda: lr.roll_out_permutation_test(
        world("stepped_wedge"), outcome="score", cluster="clinic", period="period",
        treated="treated", randomised=True, seed=1, n_permutations=100,
    ),
    "permutation_test": lambda: lr.permutation_test(
        world("clusters"), outcome="score", cluster="clinic", seed=1, randomised=True,
        n_permutations=1000, **ARM,
    ),
    "difference_in_differences": lambda: lr.difference_in_differences(
        both_starts(), outcome="score", treated="treated", post="post", unit="clinic"
    ),
    "event_study": lambda: lr.event_study(one_start(), **PANEL),
    "staggered_difference_in_differences": lambda: lr.staggered_difference_in_differences(
        world("staggered"), **PANEL
    ),
    "interrupted_time_series": lambda: lr.interrupted_time_series(
        world("interrupted_series"), outcome="score", time="period", start=24, season="month"
    ),
    "synthetic_control": lambda: lr.synthetic_control(
        one_clinic().assign(clinic=lambda d: d["clinic"].where(d["first_treated"].isna(), -1)),
        outcome="score", unit="clinic", period="period", treated_unit=-1, start=9,
    ),
    "before_after_change": lambda: lr.before_after_change(
        world("high_readings"), before="before", after="after", unit="mmHg"
    ),
}  # fmt: skip
"""Designs whose arms were given: by lot, by clinic, by date."""

EVERY = {**CHOSE, **GIVEN}
_MADE: dict[str, Effect] = {}


@pytest.fixture
def effect(request) -> Effect:
    """Return what a design finds, each once."""
    name = request.param
    if name not in _MADE:
        _MADE[name] = EVERY[name]()
    return _MADE[name]


every_design = pytest.mark.parametrize("effect", list(EVERY), indirect=True)
chose = pytest.mark.parametrize("effect", list(CHOSE), indirect=True)


@every_design
def test_a_design_turns_into_a_sentence_a_row_and_json(effect):
    sentence = effect.sentence()
    assert sentence.endswith(".")
    assert "nan" not in sentence
    row = effect.row()
    assert row["estimate"] == effect.headline["estimate"]
    assert all(pd.api.types.is_scalar(value) for value in row.values())
    told = json.loads(effect.to_json())
    assert told["facts"]["estimand"]
    assert len(told["estimates"]) == len(effect.estimates)
    assert "<table" in effect._repr_html_()


@every_design
def test_a_design_keeps_the_fixed_columns_in_their_order(effect):
    assert [name for name in effect.estimates if name in ESTIMATES] == list(ESTIMATES)
    assert effect.facts.n > 0
    assert effect.facts.variance


@every_design
def test_levels_of_both_arms_stand_beside_every_ratio(effect):
    if effect.estimates["scale"].isin(RATIOS).any():
        assert set(effect.facts.levels) == {0, 1}
        assert "levels" in effect.sentence()


@every_design
def test_a_withheld_estimate_is_no_number_in_a_published_sentence(effect):
    published = effect.sentence(audience="publish")
    assert ("withheld" in published) == effect.withheld
    if effect.withheld:
        assert "interval" not in published


@chose
def test_an_e_value_stands_beside_every_contrast_of_patients_who_chose(effect):
    checks = effect.checks.set_index("check")
    assert checks.loc["e_value", "statistic"] >= 1
    assert effect.facts.more["e_value"] == checks.loc["e_value", "statistic"]


@chose
def test_whoever_chose_is_told_that_no_lottery_decided(effect):
    assigned = effect.checks.set_index("check").loc["assignment"]
    assert assigned["passed"] is not True
