"""Cases of the proof in which patients were drawn by lot, and what happens to them afterwards."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from loyalty_research.data.simulate_designs import SimulatedDesign
from loyalty_research.effects.before_after import before_after_change
from loyalty_research.effects.compliance import complier_effect
from loyalty_research.effects.effect import Effect
from loyalty_research.effects.loss import censoring_weights, loss_bounds, tipping_point
from loyalty_research.effects.multiplicity import adjusted_p
from loyalty_research.effects.negative_controls import calibrate_with_negative_controls
from loyalty_research.effects.proof import NOMINAL, Answer, Case
from loyalty_research.effects.proof_answers import (
    answer_of,
    arm_columns,
    coefficient,
    least_squares,
    symmetric,
)
from loyalty_research.effects.randomised import mean_difference, risk_difference
from loyalty_research.effects.rates import rate_ratio
from loyalty_research.effects.subgroups import subgroup_effects
from loyalty_research.effects.value import incremental_cost_effectiveness, net_benefit
from loyalty_research.errors import DataError, Fault

_NO_NUMBER = (math.nan, math.nan)
"""Of a test or of bounds, which estimate nothing."""


def _means(world: SimulatedDesign, outcome: str, **settings: Any) -> Effect:
    """Return the difference of means of arms drawn by lot."""
    return mean_difference(world.data, arm="arm", outcome=outcome, randomised=True, **settings)


# --- shares and counts ----------------------------------------------------------------------------


def _shares(world: SimulatedDesign, **settings: Any) -> Effect:
    return risk_difference(world.data, arm="arm", outcome="came", randomised=True, **settings)


def _wald(world: SimulatedDesign) -> Answer:
    """Return the difference of shares as textbooks do it by hand."""
    by_arm = world.data.groupby("arm")["came"]
    share, n = by_arm.mean(), by_arm.size()
    return symmetric(share[1] - share[0], math.sqrt((share * (1 - share) / n).sum()))


def _visits(world: SimulatedDesign) -> Effect:
    return rate_ratio(
        world.data, arm="arm", outcome="visits", exposure="years", randomised=True
    )  # fmt: skip


def _poisson(world: SimulatedDesign) -> Answer:
    """Return the log ratio of rates with the error that a Poisson model states."""
    totals = world.data.groupby("arm")[["visits", "years"]].sum()
    rate = totals["visits"] / totals["years"]
    return symmetric(math.log(rate[1] / rate[0]), math.sqrt((1 / totals["visits"]).sum()))


def _log_of_counts(world: SimulatedDesign) -> Answer:
    """Return the difference of mean log(1 + visits), the log of years beside it."""
    data = world.data
    x = arm_columns(data["arm"].to_numpy(), np.log(data["years"]))
    return coefficient(least_squares(x, np.log1p(data["visits"].to_numpy())))


SHARES = (
    Case("randomised", "Wald, by hand", "risk_difference", _wald, published=0.947),
    Case("randomised", "Newcombe", "risk_difference", lambda w: answer_of(_shares(w)),
         published=0.951),
    Case("randomised", "Lin with the covariate, HC2", "risk_difference",
         lambda w: answer_of(_shares(w, covariates=["x"])), published=0.950),
    Case("randomised", "risk ratio, Koopman", "log_risk_ratio",
         lambda w: answer_of(_shares(w), "risk ratio", log=True)),
    Case("randomised", "risk ratio with the covariate, delta", "log_risk_ratio",
         lambda w: answer_of(_shares(w, covariates=["x"]), "risk ratio", log=True)),
    Case("counts", "Poisson, HC1", "log_rate_ratio",
         lambda w: answer_of(_visits(w), log=True), published=0.934),
    Case("counts", "negative binomial, HC1", "log_rate_ratio",
         lambda w: answer_of(_visits(w), "rate ratio, negative binomial", log=True)),
    Case("counts", "Poisson, model's error", "log_rate_ratio", _poisson, published=0.662,
         nominal=False),
    Case("counts", "log(1 + y)", "log_rate_ratio", _log_of_counts, published=0.851,
         nominal=False),
)  # fmt: skip


# --- chosen, measured or followed by the outcome --------------------------------------------------


def _before_after(world: SimulatedDesign) -> Answer:
    treated = world.data[world.data["arm"] == 1]
    return answer_of(before_after_change(treated, before="before", after="after"))


def _followed(world: SimulatedDesign, outcome: str, covariates: list[str]) -> Answer:
    """Return the effect with weights for who was followed."""
    data = world.data.assign(known=world.data[outcome].notna())
    weights = censoring_weights(data, arm="arm", observed="known", covariates=covariates)
    return answer_of(weights.effect(outcome=outcome, randomised=True))


def _worst_and_best(world: SimulatedDesign) -> Answer:
    """Return the limits that hold whatever the lost would have had within -10 and 10."""
    found = loss_bounds(world.data, arm="arm", outcome="score", lowest=-10, highest=10)
    return (*_NO_NUMBER, *answer_of(found, "worst case")[2:])


def _at_true_delta(world: SimulatedDesign) -> Answer:
    """Return the difference if one knew how the lost of the comparison differ."""
    delta = world.truth["lost_less_followed"]
    found = tipping_point(
        world.data, arm="arm", outcome="score", deltas=[delta], lost_of="comparison"
    )
    return answer_of(found, f"delta {delta:g}")


LOSSES = (
    Case("high_readings", "before and after, no comparison", "mean_difference", _before_after,
         published=0.0, nominal=False),
    Case("high_readings", "ANCOVA with a comparison", "mean_difference",
         lambda w: answer_of(_means(w, "after", covariates=["before"])), published=0.951),
    Case("informative_visits", "those measured", "mean_difference",
         lambda w: answer_of(_means(w, "sbp")), nominal=False),
    Case("informative_visits", "weights for being measured", "mean_difference",
         lambda w: _followed(w, "sbp", ["severity"])),
    Case("informative_visits", "those measured, alike in severity", "mean_difference",
         lambda w: answer_of(_means(w, "sbp", covariates=["severity"]))),
    Case("dropout", "completers", "mean_difference", lambda w: answer_of(_means(w, "score")),
         published=0.803, nominal=False),
    Case("dropout", "censoring weights", "mean_difference",
         lambda w: _followed(w, "score", ["x", "early"]), published=0.978),
    Case("missing_not_at_random", "completers", "mean_difference",
         lambda w: answer_of(_means(w, "score")), nominal=False),
    Case("missing_not_at_random", "censoring weights", "mean_difference",
         lambda w: _followed(w, "score", ["x"]), nominal=False),
    Case("missing_not_at_random", "worst and best case", "mean_difference", _worst_and_best,
         bounds=True),
    Case("missing_not_at_random", "delta adjustment, delta known", "mean_difference",
         _at_true_delta),
)  # fmt: skip


# --- many looks -----------------------------------------------------------------------------------


def _test(p_value: float) -> Answer:
    """Return a test as an interval that holds 0 if it does not reject."""
    low = -math.inf if p_value >= 1 - NOMINAL else 1.0
    return (*_NO_NUMBER, low, math.inf)


def _segments(world: SimulatedDesign) -> pd.DataFrame:
    return subgroup_effects(
        world.data, arm="arm", outcome="score", by="segment", randomised=True
    ).estimates


def _interaction(world: SimulatedDesign) -> Answer:
    return _test(float(_segments(world).query("term == 'interaction'")["p_value"].item()))


def _smallest(world: SimulatedDesign, *, adjusted: bool) -> Answer:
    """Return the test of the subgroup that looks best."""
    rows = _segments(world).query("term == 'subgroup'")
    p = 2 * norm.sf((rows["estimate"] / rows["std_error"]).abs())
    return _test(float((adjusted_p(p, method="holm") if adjusted else p).min()))


def _controls(world: SimulatedDesign) -> Effect:
    terms = [term for term in world.data["term"] if term.startswith("control")]
    return calibrate_with_negative_controls(world.data, controls=terms)


LOOKS = (
    Case("null_subgroups", "interaction", "interaction", _interaction),
    Case("null_subgroups", "smallest of ten p-values", "mean_difference",
         lambda w: _smallest(w, adjusted=False), nominal=False),
    Case("null_subgroups", "smallest of ten, Holm", "mean_difference",
         lambda w: _smallest(w, adjusted=True)),
    Case("negative_controls", "not calibrated", "effect",
         lambda w: answer_of(_controls(w), "of interest, not calibrated"), published=0.685,
         nominal=False),
    Case("negative_controls", "calibrated", "effect", lambda w: answer_of(_controls(w)),
         published=0.950),
)  # fmt: skip


# --- costs, compliance, a second programme --------------------------------------------------------

_PAID: dict[str, Any] = {"arm": "arm", "cost": "cost", "outcome": "years", "randomised": True}


def _fieller(world: SimulatedDesign) -> Answer:
    """Return Fieller's set; one that is no interval is told as such and is no answer."""
    found = incremental_cost_effectiveness(world.data, **_PAID)
    if found.facts.more["set"] != "interval":
        words = "the set of ratios is no interval"
        raise DataError([Fault("data", "years", 0, words, "read the net benefit")])
    return answer_of(found)


def _delta(world: SimulatedDesign) -> Answer:
    """Return the ratio with the error of the delta method."""
    parts = [part for _, part in world.data.groupby("arm")[["cost", "years"]]]
    gap = (parts[1].mean() - parts[0].mean()).to_numpy()
    spread = sum(part.cov().to_numpy() / len(part) for part in parts)
    slope = np.array([1 / gap[1], -gap[0] / gap[1] ** 2])
    return symmetric(gap[0] / gap[1], math.sqrt(slope @ spread @ slope))


def _received(world: SimulatedDesign) -> Answer:
    return answer_of(mean_difference(world.data, arm="received", outcome="score"))


def _as_told(world: SimulatedDesign) -> Answer:
    """Return the comparison of those alone who did as they were assigned."""
    kept = world.data[world.data["arm"] == world.data["received"]]
    return answer_of(mean_difference(kept, arm="arm", outcome="score"))


def _compliers(world: SimulatedDesign) -> Effect:
    return complier_effect(
        world.data, arm="arm", received="received", outcome="score", randomised=True
    )


def _beside(world: SimulatedDesign, level: str) -> Answer:
    found = subgroup_effects(world.data, arm="arm", outcome="score", by="other", randomised=True)
    return answer_of(found, "subgroup", level=level)


CHOICES = (
    Case("costs", "ratio, Fieller", "icer", _fieller, published=0.957),
    Case("costs", "ratio, delta method", "icer", _delta, published=0.924, nominal=False),
    Case("costs", "net benefit, Welch", "net_benefit_200",
         lambda w: answer_of(net_benefit(w.data, willingness_to_pay=200, **_PAID)),
         published=0.954),
    Case("non_compliance", "as assigned", "intention_to_treat",
         lambda w: answer_of(_means(w, "score"))),
    Case("non_compliance", "compliers", "complier_effect", lambda w: answer_of(_compliers(w))),
    Case("non_compliance", "compliers, Anderson-Rubin", "complier_effect",
         lambda w: answer_of(_compliers(w), "complier effect, Anderson-Rubin")),
    Case("non_compliance", "as received", "complier_effect", _received, nominal=False),
    Case("non_compliance", "per protocol", "complier_effect", _as_told, nominal=False),
    Case("two_programmes", "the second not looked at", "alone",
         lambda w: answer_of(_means(w, "score")), nominal=False),
    Case("two_programmes", "modelled, without the second", "alone", lambda w: _beside(w, "0")),
    Case("two_programmes", "modelled, beside the second", "beside", lambda w: _beside(w, "1")),
)  # fmt: skip

TRIALS = SHARES + LOSSES + LOOKS + CHOICES
"""Cases with patients drawn by lot."""
