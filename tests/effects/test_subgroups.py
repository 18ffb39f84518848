from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf

from loyalty_research.effects.multiplicity import adjust_p_values
from loyalty_research.effects.subgroups import subgroup_effects
from loyalty_research.errors import DataError, UsageError

EIGHT = pd.DataFrame(
    {"arm": [0, 0, 1, 1] * 2, "sex": list("ffffmmmm"), "score": [1.0, 2, 4, 5, 1, 2, 2, 3]}
)
NAMES = {"arm": "arm", "outcome": "score", "randomised": True}


def ten(rng, n=400, more=0.0):
    """METHODS setting M: ten ways to divide in two, none of which matters, save by `more` g0."""
    groups = pd.DataFrame(rng.integers(0, 2, (n, 10)), columns=[f"g{k}" for k in range(10)])
    arm = rng.permutation(np.arange(n) % 2)
    return groups.assign(arm=arm, score=0.3 * arm + more * arm * groups["g0"] + rng.normal(size=n))


def test_effects_and_interaction_by_hand(assert_columns):
    effect = subgroup_effects(EIGHT, **NAMES, by="sex")
    assert_columns(effect.estimates, "estimates", groups=["by", "level", "p_adjusted"])
    table = effect.estimates
    assert table["estimate"].tolist() == pytest.approx([2, 3, 1, -2])
    # Each of four means of two has the variance .5 / 2: sqrt(2 / 4), and sqrt(4 / 4) of four.
    assert table["std_error"].tolist()[1:] == pytest.approx([0.5**0.5, 0.5**0.5, 1])
    # t = -2 with 8 - 4 degrees of freedom: p .116117.
    assert table["p_value"][3] == pytest.approx(0.116117, abs=1e-6)
    assert table["p_value"][1:3].isna().all()
    assert table["n"].tolist() == [8, 4, 4, 8]


def test_three_levels_as_in_statsmodels_wald_test():
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"arm": np.arange(120) % 2, "site": rng.choice(list("abc"), 120)})
    data = data.assign(score=rng.normal(size=120), age=rng.normal(60, 9, 120))
    fit = smf.ols("score ~ C(site) * arm + age", data).fit(cov_type="HC2", use_t=True)
    expected = fit.wald_test("C(site)[T.b]:arm = 0, C(site)[T.c]:arm = 0", scalar=True, use_f=True)
    effect = subgroup_effects(data, **NAMES, by="site", covariates=["age"])
    row = effect.estimates.query("term == 'interaction'").iloc[0]
    assert row["p_value"] == pytest.approx(float(expected.pvalue), rel=1e-9)
    assert math.isnan(row["estimate"])
    first = effect.estimates.query("level == 'a'").iloc[0]
    assert first["estimate"] == pytest.approx(fit.params["arm"])
    assert first["std_error"] == pytest.approx(fit.bse["arm"])


def test_by_cluster_two_groups_are_tested_with_satterthwaites_degrees():
    rng = np.random.default_rng(2)
    clinic = np.repeat(range(12), 10)
    data = pd.DataFrame({"clinic": clinic, "arm": clinic % 2, "sex": rng.choice(["f", "m"], 120)})
    data = data.assign(score=rng.normal(size=12)[clinic] + rng.normal(size=120))
    table = subgroup_effects(data, **NAMES, by="sex", cluster="clinic").estimates
    row = table.iloc[3]
    # With one contrast F is t squared: the interval and the p-value speak of one test.
    low, high, error = row["conf_low"], row["conf_high"], row["std_error"]
    assert (low < 0 < high) == (row["p_value"] > 0.05)
    assert high - low > 2 * 2.0 * error
    assert table["method"].iloc[3] == "CR2, Satterthwaite"


def test_holm_and_benjamini_hochberg_by_hand():
    # R: p.adjust(c(.01, .04, .03, .005), "holm") and "BH".
    table = pd.DataFrame({"term": list("abcd"), "p_value": [0.01, 0.04, 0.03, 0.005]})
    assert adjust_p_values(table)["p_adjusted"].tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    found = adjust_p_values(table, method="bh")["p_adjusted"].tolist()
    assert found == pytest.approx([0.02, 0.04, 0.04, 0.02])


def test_the_primary_question_is_asked_once():
    table = pd.DataFrame({"term": list("abcd"), "p_value": [0.01, 0.04, None, 0.005]})
    found = adjust_p_values(table, primary="b")
    assert found["p_adjusted"].tolist() == pytest.approx([0.01, 0.04, np.nan, 0.01], nan_ok=True)
    assert found["n_tests"].tolist() == [2, 1, 1, 2]
    assert found["adjusted_by"].tolist()[1] == "primary, not adjusted"


def test_ten_subgroups_that_do_not_matter_rarely_give_a_finding():
    rng, raw, adjusted = np.random.default_rng(3), 0, 0
    for _ in range(60):
        names = [f"g{k}" for k in range(10)]
        table = subgroup_effects(ten(rng), **NAMES, by=names).estimates
        tests = table[table["term"] == "interaction"]
        raw += (tests["p_value"] < 0.05).any()
        adjusted += (tests["p_adjusted"] < 0.05).any()
    # Ten independent tests: 1 - .95^10 = .40 find something; Holm .05.
    assert raw / 60 == pytest.approx(0.40, abs=3 * (0.4 * 0.6 / 60) ** 0.5)
    assert adjusted / 60 <= 0.05 + 3 * (0.05 * 0.95 / 60) ** 0.5


def test_a_subgroup_that_matters_is_found():
    effect = subgroup_effects(
        ten(np.random.default_rng(4), more=1.0), **NAMES, by=["g0", "g1", "g2"], primary="g0"
    )
    tests = effect.estimates.query("term == 'interaction'").set_index("by")
    assert tests.loc["g0", "p_adjusted"] == tests.loc["g0", "p_value"] < 0.001
    assert abs(tests.loc["g0", "estimate"] - 1) < 4 * tests.loc["g0", "std_error"]
    message = effect.checks.set_index("check").loc["multiplicity", "message"]
    assert message == "g0 was named before; 2 other interactions adjusted by Holm"


def test_every_engine_gives_the_same(engine):
    expected = subgroup_effects(EIGHT, **NAMES, by="sex").estimates
    pd.testing.assert_frame_equal(
        subgroup_effects(engine.make(EIGHT), **NAMES, by="sex").estimates, expected
    )


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"sex": "f"}, "sex has 1 level; cut it into 2 to 12 groups"),
        ({"sex": list("fffmmmmm")}, "sex has 1 group of an arm with fewer than 2 patients"),
        ({"sex": ["f"] * 7 + [None]}, "sex is missing in 1 of 8 rows"),
    ],
)
def test_groups_that_tell_nothing_are_refused(changed, match):
    with pytest.raises(DataError, match=match):
        subgroup_effects(EIGHT.assign(**changed), **NAMES, by="sex")


def test_arguments_are_checked():
    with pytest.raises(UsageError, match="primary='age' is not known"):
        subgroup_effects(EIGHT, **NAMES, by="sex", primary="age")
    with pytest.raises(UsageError, match="by must name columns, each once"):
        subgroup_effects(EIGHT, **NAMES, by=["sex", "sex"])
    with pytest.raises(UsageError, match="method='bonferroni' is not known"):
        subgroup_effects(EIGHT, **NAMES, by="sex", method="bonferroni")
    table = pd.DataFrame({"term": ["a", "a"], "p_value": [0.1, 0.2]})
    with pytest.raises(UsageError, match="primary='a' names 2 rows of term, not one"):
        adjust_p_values(table, primary="a")
    with pytest.raises(DataError, match="column p_value is missing"):
        adjust_p_values(table[["term"]])
