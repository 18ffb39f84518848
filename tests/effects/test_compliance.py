from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from loyalty_research.effects.compliance import complier_effect
from loyalty_research.errors import DataError, DesignError, UsageError

EIGHT = pd.DataFrame(
    {
        "arm": [0] * 4 + [1] * 4,
        "joined": [0] * 4 + [1, 1, 0, 0],
        "score": [1.0, 2, 3, 2, 5, 6, 2, 1],
    }
)
NAMES = {"arm": "arm", "received": "joined", "outcome": "score", "randomised": True}


def offered(rng, n=600, take_up=0.5, always=0.1):
    """Compliers gain 2; those who always or never take part differ from them by 3 and -3."""
    arm, u = rng.permutation(np.arange(n) % 2), rng.random(n)
    kind = np.where(u < always, 1, np.where(u < always + take_up, 0, -1))
    joined = np.where(kind == 0, arm, kind == 1).astype(int)
    x = rng.normal(size=n)
    score = 3 * kind + 2 * joined + x + rng.normal(size=n)
    return pd.DataFrame({"arm": arm, "joined": joined, "score": score, "x": x})


def test_the_ratio_of_two_differences_by_hand(assert_columns):
    effect = complier_effect(EIGHT, **NAMES)
    assert_columns(effect.estimates, "estimates")
    assert_columns(effect.checks, "checks")
    # Means 3.5 against 2; half of the assigned joined, nobody else did.
    table = effect.estimates.set_index("term")
    assert table["estimate"].tolist() == pytest.approx([3, 3, 1.5, 0.5])
    # y - 3 joined is 1, 2, 3, 2 and 2, 3, 2, 1: s2 2/3 each, so (2/3/4 + 2/3/4)^.5 over .5.
    assert table.loc["complier effect", "std_error"] == pytest.approx((1 / 3) ** 0.5 / 0.5)
    # Compliers: 5.5 with; without, 2 less half of the never-takers' 1.5, over a half.
    assert effect.facts.levels == pytest.approx({0: 2.5, 1: 5.5})
    assert effect.facts.more["non_compliance"] == "one-sided"
    assert effect.facts.more["share_never"] == pytest.approx(0.5)
    checks = effect.checks.set_index("check")
    # The share .5 has the HC2 variance .25 * 4/3 / 4 = 1/12: F = .25 * 12 = 3.
    assert checks.loc["first stage", "statistic"] == pytest.approx(3)
    assert checks.loc["monotonicity", "passed"] is True


def test_a_weak_first_stage_takes_anderson_and_rubins_interval():
    table = complier_effect(EIGHT, **NAMES).estimates
    assert table.loc[0, "conf_high"] == table.loc[1, "conf_high"] == math.inf
    assert "interval of Anderson and Rubin" in table.loc[0, "method"]
    assert table.loc[0, "p_value"] == table.loc[2, "p_value"]


def test_anderson_and_rubins_limits_are_where_the_test_turns():
    data = offered(np.random.default_rng(1))
    table = complier_effect(data, **NAMES).estimates
    row = table.iloc[1]
    for limit in (row["conf_low"], row["conf_high"]):
        part = data["score"] - limit * data["joined"]
        groups = [part[data["arm"] == k] for k in (0, 1)]
        error = sum(g.var() / len(g) for g in groups) ** 0.5
        # t(.975, 598) = 1.963939.
        assert abs(groups[1].mean() - groups[0].mean()) / error == pytest.approx(1.963939, rel=1e-5)
    assert table.loc[0, "conf_low"] == pytest.approx(row["conf_low"], abs=0.1)


def test_by_cluster_it_is_two_stage_least_squares():
    data = offered(np.random.default_rng(2)).assign(clinic=lambda d: d.index % 30)
    effect = complier_effect(data, **NAMES, covariates=["x"], cluster="clinic")
    one = np.ones(len(data))
    z = np.column_stack([one, data["arm"], data["x"]])
    w = np.column_stack([one, data["joined"], data["x"]])
    fitted = z @ np.linalg.lstsq(z, w, rcond=None)[0]
    beta = np.linalg.solve(fitted.T @ w, fitted.T @ data["score"])
    assert effect.headline["estimate"] == pytest.approx(beta[1])
    # The cluster sandwich of 2SLS without a small-sample factor is a little smaller than CR2.
    score = fitted * (data["score"] - w @ beta).to_numpy()[:, None]
    summed = pd.DataFrame(score).groupby(data["clinic"]).sum().to_numpy()
    bread = np.linalg.inv(fitted.T @ fitted)
    plain = (bread @ summed.T @ summed @ bread)[1, 1] ** 0.5
    assert 1 < effect.headline["std_error"] / plain < 1.05


def test_those_who_comply_are_recovered_though_others_differ():
    rng, found = np.random.default_rng(3), []
    for _ in range(100):
        effect = complier_effect(offered(rng), **NAMES, covariates=["x"])
        row = effect.headline
        found.append(
            [row["conf_low"] <= 2 <= row["conf_high"], row["estimate"], row["std_error"],
             effect.facts.levels[0]]
        )  # fmt: skip
    cover, estimate, error, level = np.array(found, float).T
    assert cover.mean() == pytest.approx(0.95, abs=3 * (0.95 * 0.05 / 100) ** 0.5)
    assert estimate.mean() == pytest.approx(2, abs=4 * estimate.std() / 10)
    assert error.mean() / estimate.std() == pytest.approx(1, abs=0.2)
    # Compliers without the programme have mean 0.
    assert level.mean() == pytest.approx(0, abs=4 * level.std() / 10)


def test_the_robust_interval_holds_where_few_comply():
    rng, cover = np.random.default_rng(4), []
    for _ in range(150):
        row = complier_effect(offered(rng, n=201, take_up=0.08), **NAMES).estimates.iloc[1]
        low, high, words = row["conf_low"], row["conf_high"], row["method"]
        if "any effect but" in words:
            a, b = words.split("any effect but ")[1].split(")")[0].split(" to ")
            cover.append(not float(a) < 2 < float(b))
        else:
            cover.append(low <= 2 <= high)
    assert np.mean(cover) == pytest.approx(0.95, abs=3 * (0.95 * 0.05 / 150) ** 0.5)


def test_two_sided_non_compliance_is_said():
    effect = complier_effect(offered(np.random.default_rng(5)), **NAMES)
    assert effect.facts.more["non_compliance"] == "two-sided"
    check = effect.checks.set_index("check").loc["monotonicity"]
    assert check["passed"] is None
    assert "took part unassigned (two-sided)" in check["message"]


def test_every_engine_gives_the_same(engine):
    data = offered(np.random.default_rng(6), n=100)
    expected = complier_effect(data, **NAMES, covariates=["x"]).estimates
    found = complier_effect(engine.make(data), **NAMES, covariates=["x"]).estimates
    pd.testing.assert_frame_equal(found, expected)


DAYS = {
    "drawn": pd.to_datetime(["2024-03-01"] * 8),
    "began": pd.to_datetime([None] * 4 + ["2024-03-05", "2024-02-01", None, None]),
}


def test_what_was_received_before_the_lottery_is_refused():
    data = EIGHT.assign(**DAYS)
    named = NAMES | {"assigned_on": "drawn", "received_on": "began"}
    expected = "joined came before drawn in 1 rows and on an unknown day in 0"
    with pytest.raises(DesignError, match=expected):
        complier_effect(data, **named)
    with pytest.raises(DesignError, match="on an unknown day in 1"):
        complier_effect(data.assign(began=DAYS["began"].where(data.index != 5)), **named)
    why = {"received before assigned": "a pilot visit that offered nothing"}
    effect = complier_effect(data, **named, override=why)
    assert effect.facts.overrides == why
    later = pd.Series(DAYS["began"]).mask(data.index == 5, pd.Timestamp("2024-04-01"))
    checks = complier_effect(data.assign(began=later), **named).checks.set_index("check")
    assert checks.loc["received before assigned", "passed"] is True


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"joined": [0, 1, 0, 1, 0, 1, 0, 1]}, "take part no more often"),
        ({"joined": [1] * 4 + [0] * 4}, "take part no more often"),
        ({"joined": [0, 2] * 4}, "joined is 0 or 2, not 0 or 1"),
        ({"joined": [None] + [1] * 7}, "joined is missing in 1 of 8 rows"),
    ],
)
def test_what_tells_nothing_of_compliers_is_refused(changed, match):
    with pytest.raises(DataError, match=match):
        complier_effect(EIGHT.assign(**changed), **NAMES)


def test_one_day_without_the_other_is_refused():
    with pytest.raises(UsageError, match="give both assigned_on and received_on, or neither"):
        complier_effect(EIGHT.assign(**DAYS), **NAMES, received_on="began")
    with pytest.raises(DataError, match="column joind is missing; did you mean joined"):
        complier_effect(EIGHT, **(NAMES | {"received": "joind"}))
