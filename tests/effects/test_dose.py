from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf

from loyalty_research.effects.dose import dose_response
from loyalty_research.errors import DataError, DesignError, UsageError

FOUR = pd.DataFrame({"calls": [0.0, 1, 2, 3], "score": [1.0, 2, 2, 3]})
NAMES = {"dose": "calls", "outcome": "score", "dose_from": "assigned", "randomised": True}


def drawn(rng, n=300):
    data = pd.DataFrame({"calls": rng.integers(0, 5, n), "age": rng.normal(60, 9, n)})
    return data.assign(score=0.5 * data["calls"] + 0.1 * data["age"] + rng.normal(size=n))


def test_a_slope_by_hand(assert_columns):
    # Dose less 1.5: -1.5, -.5, .5, 1.5, squares 5; products with the scores 3: slope .6.
    effect = dose_response(FOUR, **NAMES, unit="points")
    assert_columns(effect.estimates, "estimates")
    assert_columns(effect.checks, "checks")
    assert effect.headline["estimate"] == pytest.approx(0.6)
    assert effect.headline["scale"] == "points per 1 of calls"
    # Residuals -.1, .3, -.3, .1 and leverages .7, .3, .3, .7: HC2 by hand.
    meat = 2 * 1.5**2 * 0.1**2 / 0.3 + 2 * 0.5**2 * 0.3**2 / 0.7
    assert effect.headline["std_error"] == pytest.approx(meat**0.5 / 5)
    assert effect.sentence().startswith(
        "Dose response in score, 1 more of calls against as it is: 0.60 points"
    )
    assert dose_response(FOUR, **NAMES, step=2).headline["estimate"] == pytest.approx(1.2)


def test_slope_and_bend_as_in_statsmodels():
    data = drawn(np.random.default_rng(1))
    effect = dose_response(data, **NAMES, covariates=["age"])
    line = smf.ols("score ~ calls + age", data).fit(cov_type="HC2")
    assert effect.headline["estimate"] == pytest.approx(line.params["calls"])
    assert effect.headline["std_error"] == pytest.approx(line.bse["calls"])
    bent = smf.ols("score ~ calls + I(calls ** 2) + age", data).fit(cov_type="HC2")
    row = effect.estimates.iloc[1]
    assert (row["term"], row["estimate"]) == ("bend", pytest.approx(bent.params["I(calls ** 2)"]))
    assert row["std_error"] == pytest.approx(bent.bse["I(calls ** 2)"])


def test_a_known_slope_is_recovered():
    rng, found = np.random.default_rng(2), []
    for _ in range(100):
        row = dose_response(drawn(rng), **NAMES, covariates=["age"]).headline
        found.append(row["conf_low"] <= 0.5 <= row["conf_high"])
    assert np.mean(found) == pytest.approx(0.95, abs=3 * (0.95 * 0.05 / 100) ** 0.5)


def test_points_earned_later_are_refused_because_they_follow_from_the_outcome():
    rng = np.random.default_rng(3)
    stays = rng.exponential(1, 500)
    data = pd.DataFrame({"points": rng.poisson(5 * stays), "stays": stays})
    names = {"dose": "points", "outcome": "stays"}
    with pytest.raises(DesignError, match="points is what patients did after time zero") as caught:
        dose_response(data, **names, dose_from="behaviour")
    assert caught.value.guard == "dose from later behaviour"
    why = {"dose from later behaviour": "shown to teach what it would say"}
    effect = dose_response(data, **names, dose_from="behaviour", override=why)
    # Points do nothing here, and yet the slope is far from 0.
    assert effect.headline["conf_low"] > 0.1
    assert effect.facts.overrides == why
    assert not effect.facts.causal


def test_a_dose_known_only_after_time_zero_is_refused():
    days = {"known": pd.to_datetime(["2024-01-01"] * 3 + ["2024-02-01"]),
            "zero": pd.to_datetime(["2024-01-01"] * 4)}  # fmt: skip
    named = NAMES | {"dose_known_on": "known", "time_zero": "zero"}
    with pytest.raises(DesignError, match="calls was known only after zero in 1 rows"):
        dose_response(FOUR.assign(**days), **named)
    early = days | {"known": days["zero"]}
    checks = dose_response(FOUR.assign(**early), **named).checks.set_index("check")
    assert checks.loc["dose from later behaviour", "passed"]


def test_a_dose_that_nobody_drew_is_an_association():
    effect = dose_response(FOUR, dose="calls", outcome="score", dose_from="baseline")
    assert effect.failed == ["assignment"]
    assert "association" in effect.sentence()


def test_clusters_are_counted():
    data = drawn(np.random.default_rng(4)).assign(clinic=np.arange(300) % 4)
    effect = dose_response(data, **NAMES, cluster="clinic")
    assert effect.failed == ["clusters"]
    assert effect.facts.n_clusters == 4


def test_every_engine_gives_the_same(engine):
    data = drawn(np.random.default_rng(5), n=60)
    expected = dose_response(data, **NAMES, covariates=["age"]).estimates
    found = dose_response(engine.make(data), **NAMES, covariates=["age"]).estimates
    pd.testing.assert_frame_equal(found, expected)


@pytest.mark.parametrize(
    ("changed", "more", "match"),
    [
        ({"calls": 1.0}, {}, "calls is constant or determined by the covariates"),
        ({"twice": [0.0, 2, 4, 6]}, {"covariates": ["twice"]}, "4 rows for 3 coefficients"),
        ({"calls": [None, 1, 2, 3]}, {}, "calls is missing in 1 of 4 rows"),
        ({"calls": list("abca")}, {}, "calls is .* not a number"),
    ],
)
def test_doses_that_tell_nothing_are_refused(changed, more, match):
    with pytest.raises(DataError, match=match):
        dose_response(FOUR.assign(**changed), **NAMES, **more)


@pytest.mark.parametrize(
    ("more", "match"),
    [
        ({"dose_from": "points"}, "dose_from='points' is not known"),
        ({"step": 0}, "step=0 must be above 0"),
        ({"time_zero": "zero"}, "give both dose_known_on and time_zero, or neither"),
        ({"better": "x"}, "better='x' must be"),
        ({"conf_level": 1}, "conf_level=1"),
    ],
)
def test_arguments_are_checked(more, match):
    with pytest.raises(UsageError, match=match):
        dose_response(FOUR, **(NAMES | more))
