"""Weights for loss to follow-up, bounds and the tipping point."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from loyalty_research.data.simulate_designs import simulate_design
from loyalty_research.effects.loss import censoring_weights, loss_bounds, tipping_point
from loyalty_research.errors import DataError, UsageError
from loyalty_research.retention.design_matrix import SeparationError

TWELVE = pd.DataFrame(
    {
        "arm": [0, 1] * 6,
        "ill": [0, 0, 0, 0, 1, 1] * 2,
        "score": [5.0, 6.0, 5.0, 7.0, 1.0, None, 5.0, None, None, 6.0, None, 3.0],
    }
).assign(known=lambda d: d["score"].notna())
CAME = pd.DataFrame({"arm": [0] * 5 + [1] * 5, "came": [0, 0, 1, None, None, 1, 1, 0, 1, None]})


def estimates(effect, column="estimate"):
    return effect.estimates.set_index("term")[column]


# --- weights --------------------------------------------------------------------------------------


def test_weights_are_one_over_the_share_followed_of_those_alike():
    weights = censoring_weights(TWELVE, arm="arm", observed="known", covariates=["ill"])
    # Arm 0: 3 of 4 well and 1 of 2 ill were followed; arm 1: 3 of 4 and 1 of 2.
    expected = np.where(TWELVE["ill"] == 1, 2, 4 / 3) * TWELVE["known"]
    assert weights.rows["weight"].to_numpy() == pytest.approx(expected, rel=1e-8)
    effect = weights.effect(outcome="score", randomised=True)
    # Each stratum's mean counts for all of it: (4 * 19/3 + 2 * 3) / 6 and (4 * 5 + 2 * 1) / 6.
    assert effect.facts.levels == pytest.approx({0: 22 / 6, 1: (4 * 19 / 3 + 6) / 6})
    assert estimates(effect)["completers"] == pytest.approx(22 / 4 - 16 / 4)
    assert effect.facts.n_missing == {0: 2, 1: 2}


def test_the_stacked_error_is_that_of_the_strata_by_hand():
    # With a weight for each stratum the mean is that of strata means at all patients' shares:
    # sum over strata of (share^2 s^2 / m) + between-strata variance / n, all divided by counts.
    rng = np.random.default_rng(1)
    n = 4000
    ill, arm = rng.integers(0, 2, (2, n))
    known = rng.random(n) < np.where(ill == 1, 0.5, 0.9)
    score = np.where(known, 3 * ill + arm + rng.normal(size=n), np.nan)
    data = pd.DataFrame({"arm": arm, "ill": ill, "score": score, "known": known})
    effect = censoring_weights(
        data, arm="arm", observed="known", covariates=["ill"]
    ).effect(outcome="score", randomised=True)  # fmt: skip
    variance = 0.0
    for k in (0, 1):
        share = [np.mean(ill[arm == k] == j) for j in (0, 1)]
        cells = [score[known & (arm == k) & (ill == j)] for j in (0, 1)]
        within = sum(share[j] ** 2 * cells[j].var() / len(cells[j]) for j in (0, 1))
        between = share[0] * share[1] * (cells[1].mean() - cells[0].mean()) ** 2
        variance += within + between / (arm == k).sum()
    assert effect.headline["std_error"] == pytest.approx(np.sqrt(variance), rel=1e-6)


def test_censoring_weights_of_nhefs_are_those_of_the_book():
    causaldata = pytest.importorskip("causaldata")
    data = causaldata.nhefs.load_pandas().data
    numbers = ["age", "smokeintensity", "smokeyrs", "wt71"]
    data = data.astype(dict.fromkeys(numbers, float))
    data["known"] = data["wt82_71"].notna()
    form = (
        "sex + race + age + I(age**2) + C(education) + smokeintensity + I(smokeintensity**2) "
        "+ smokeyrs + I(smokeyrs**2) + C(exercise) + C(active) + wt71 + I(wt71**2)"
    )
    weights = censoring_weights(
        data, arm="qsmk", observed="known", covariates=f"qsmk + {form}", treatment_covariates=form
    )
    head = weights.effect(outcome="wt82_71", unit="kg").headline
    # Hernan and Robins, What If, 2020, section 12.6: 3.5 (2.5, 4.5).
    assert head["estimate"] == pytest.approx(3.496, abs=1e-3)
    # The book takes weights as known, which is too wide: 2.47 to 4.53 with one more digit.
    arm, w = weights.rows["qsmk"].to_numpy(), weights.rows["weight"].to_numpy()
    y = np.where(data["known"], data["wt82_71"], 0.0)
    pulls = [w * (arm == k) * (y - np.average(y, weights=w * (arm == k))) for k in (0, 1)]
    known = np.sqrt(sum((pulls[k] ** 2).sum() / (w * (arm == k)).sum() ** 2 for k in (0, 1)))
    limits = head["estimate"] + np.array([-1.96, 1.96]) * known
    assert limits == pytest.approx([2.47, 4.53], abs=6e-3)
    assert 0.9 < head["std_error"] / known < 1


def test_weights_find_the_truth_where_completers_mislead():
    found, plain = [], []
    for seed in range(60):
        data = simulate_design("dropout", seed=seed).data.assign(known=lambda d: d["score"].notna())
        weights = censoring_weights(
            data, arm="arm", observed="known", covariates=["early", "x"]
        )  # fmt: skip
        effect = weights.effect(outcome="score", randomised=True)
        found.append([effect.headline[x] for x in ("estimate", "std_error")])
        plain.append(estimates(effect)["completers"])
    found = np.array(found)
    spread = found[:, 0].std(ddof=1)
    assert abs(found[:, 0].mean() - 1) < 3 * spread / np.sqrt(60)
    # Of 60 studies the spread is known to 9 %: three times that.
    assert found[:, 1].mean() / spread == pytest.approx(1, abs=0.28)
    assert np.mean(plain) < 1 - 10 * spread / np.sqrt(60)


def test_a_binary_outcome_has_a_ratio_beside_the_difference():
    data = CAME.assign(known=CAME["came"].notna(), x=[0, 1] * 5)
    effect = censoring_weights(data, arm="arm", observed="known", covariates="arm").effect(
        outcome="came", kind="binary", randomised=True
    )
    assert estimates(effect)["risk difference"] == pytest.approx(3 / 4 - 1 / 3)
    assert estimates(effect)["risk ratio"] == pytest.approx((3 / 4) / (1 / 3))
    assert effect.facts.n_events == 4


def test_the_arms_of_those_who_chose_gate_without_covariates_for_the_arm():
    weights = censoring_weights(TWELVE, arm="arm", observed="known", covariates=["ill"])
    assert weights.effect(outcome="score").failed == ["assignment"]
    assert weights.effect(outcome="score", randomised=True).failed == []


def test_the_weights_serve_other_estimators_as_a_column():
    weights = censoring_weights(TWELVE, arm="arm", observed="known", covariates=["ill"])
    assert weights.rows["observed"].sum() == 8
    assert "8 of 12 patients" in repr(weights)


def test_covariates_that_tell_the_lost_are_refused():
    data = TWELVE.assign(gone=(~TWELVE["known"]).astype(int))
    with pytest.raises(SeparationError, match="gone separates those who were followed"):
        censoring_weights(data, arm="arm", observed="known", covariates="arm + gone")


def test_nobody_lost_is_refused():
    with pytest.raises(DataError, match="known is true in every row"):
        censoring_weights(TWELVE.assign(known=True), arm="arm", observed="known",
                          covariates=["ill"])  # fmt: skip


def test_an_outcome_that_is_missing_where_it_is_said_to_be_known_is_refused():
    data = TWELVE.assign(known=[False] + [True] * 10 + [False])
    weights = censoring_weights(data, arm="arm", observed="known", covariates="ill")
    with pytest.raises(DataError, match="score is missing in 4 rows that are said to be observed"):
        weights.effect(outcome="score")


# --- bounds ---------------------------------------------------------------------------------------


def test_worst_and_best_case_give_the_lost_the_extreme_values():
    effect = loss_bounds(CAME, arm="arm", outcome="came", lowest=0, highest=1)
    found = estimates(effect)
    # Arm 0: 1 of 3 came, 2 lost; arm 1: 3 of 4 came, 1 lost.
    assert found["completers"] == pytest.approx(3 / 4 - 1 / 3)
    assert found["worst case"] == pytest.approx(3 / 5 - 3 / 5)
    assert found["best case"] == pytest.approx(4 / 5 - 1 / 5)
    # Arm 1 was followed better, 4/5 against 3/5: a quarter of its four is trimmed, one patient.
    assert found["trimmed, lower"] == pytest.approx(2 / 3 - 1 / 3)
    assert found["trimmed, upper"] == pytest.approx(3 / 3 - 1 / 3)
    assert effect.failed == ["completeness"]


def test_which_arm_is_called_1_turns_the_bounds_over():
    other = loss_bounds(
        CAME.assign(arm=1 - CAME["arm"]), arm="arm", outcome="came", lowest=0, highest=1
    )
    found, back = (
        estimates(loss_bounds(CAME, arm="arm", outcome="came", lowest=0, highest=1)),
        estimates(other),
    )
    assert back["worst case"] == pytest.approx(-found["best case"])
    assert back["trimmed, lower"] == pytest.approx(-found["trimmed, upper"])
    assert back["trimmed, upper"] == pytest.approx(-found["trimmed, lower"])


def test_the_interval_of_bounds_is_imbens_and_manskis():
    effect = loss_bounds(CAME, arm="arm", outcome="came", lowest=0, highest=1)
    rows = effect.estimates.set_index("term")
    low, high = rows.loc["worst case"], rows.loc["best case"]
    c = (low["estimate"] - low["conf_low"]) / low["std_error"]
    width = (high["estimate"] - low["estimate"]) / max(low["std_error"], high["std_error"])
    assert norm.cdf(c + width) - norm.cdf(-c) == pytest.approx(0.95)
    assert high["conf_high"] == pytest.approx(high["estimate"] + c * high["std_error"])


def test_the_error_of_a_trimmed_bound_is_that_of_a_bootstrap():
    rng = np.random.default_rng(1)
    n = 2000
    arm = rng.integers(0, 2, n)
    score = np.where(rng.random(n) < 0.7 + 0.2 * arm, arm + rng.normal(size=n), np.nan)
    data = pd.DataFrame({"arm": arm, "score": score})
    settings = {"arm": "arm", "outcome": "score", "lowest": -9, "highest": 9}
    terms = ["trimmed, lower", "trimmed, upper"]
    stated = estimates(loss_bounds(data, **settings), "std_error")[terms]
    drawn = [
        estimates(loss_bounds(data.iloc[rng.integers(0, n, n)], **settings))[terms].to_numpy()
        for _ in range(300)
    ]
    # 300 samples know an error to 4 %.
    assert np.std(drawn, axis=0, ddof=1) == pytest.approx(stated.to_numpy(), rel=0.13)


def test_bounds_hold_the_truth_that_no_weight_finds():
    data = simulate_design("missing_not_at_random", seed=1, n=4000).data
    found = estimates(loss_bounds(data, arm="arm", outcome="score", lowest=-9, highest=9))
    assert found["worst case"] < 0.5 < found["best case"]


def test_an_outcome_outside_its_limits_is_refused():
    with pytest.raises(DataError, match="score lies outside 0 to 5 in 3 of 8 rows"):
        loss_bounds(TWELVE, arm="arm", outcome="score", lowest=0, highest=5)
    with pytest.raises(UsageError, match="must be below"):
        loss_bounds(TWELVE, arm="arm", outcome="score", lowest=5, highest=5)


# --- the tipping point ----------------------------------------------------------------------------


def tipping(**settings):
    rng = np.random.default_rng(2)
    arm = np.repeat([0, 1], 100)
    score = arm * 1.0 + rng.normal(size=200)
    score[rng.random(200) < 0.2] = np.nan
    return tipping_point(
        pd.DataFrame({"arm": arm, "score": score}), arm="arm", outcome="score", **settings
    )


def test_the_difference_moves_by_the_share_lost_times_delta():
    effect = tipping(deltas=[-1, 2])
    head, lost = effect.headline, effect.facts.n_missing[1] / 100
    moved = effect.estimates.set_index("delta")
    assert moved.loc[-1.0, "estimate"] == pytest.approx(head["estimate"] - lost)
    assert moved.loc[2.0, "estimate"] == pytest.approx(head["estimate"] + 2 * lost)
    variance = head["std_error"] ** 2 + 2**2 * lost * (1 - lost) / 100
    assert moved.loc[2.0, "std_error"] == pytest.approx(np.sqrt(variance))


def test_at_the_tipping_point_the_interval_touches_no_effect():
    tip = tipping().facts.more["tipping_delta"]
    at_tip = tipping(deltas=[tip]).estimates.iloc[1]
    assert tip < 0
    assert at_tip["conf_low"] == pytest.approx(0, abs=1e-9)
    null = tipping().facts.more["null_delta"]
    assert tipping(deltas=[null]).estimates.iloc[1]["estimate"] == pytest.approx(0, abs=1e-9)


def test_the_lost_of_the_comparison_move_it_the_other_way():
    moved = tipping(deltas=[1], lost_of="comparison").estimates
    assert moved["estimate"].diff().iloc[1] < 0
    both = tipping(deltas=[1], lost_of="both").estimates["estimate"].diff().iloc[1]
    one = tipping(deltas=[1]).estimates["estimate"].diff().iloc[1]
    assert both == pytest.approx(one + moved["estimate"].diff().iloc[1])


def test_nobody_lost_cannot_tip():
    data = TWELVE.fillna({"score": 0.0})
    with pytest.raises(DataError, match="no score is missing there"):
        tipping_point(data, arm="arm", outcome="score")
    with pytest.raises(UsageError, match="lost_of='all' must be"):
        tipping_point(TWELVE, arm="arm", outcome="score", lost_of="all")
