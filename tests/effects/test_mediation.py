from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf

from loyalty_research.effects.mediation import controlled_direct_effect
from loyalty_research.errors import DataError, DesignError, UsageError

NAMES = {
    "arm": "arm", "mediator": "visits", "outcome": "score", "at": 2, "randomised": True,
}  # fmt: skip


def mediated(rng, n=400):
    """Visits cause the score, the arm causes visits, age causes both; direct effect .5 + .2 v."""
    arm, age = rng.permutation(np.arange(n) % 2), rng.normal(size=n)
    visits = 2 + arm + 0.8 * age + rng.normal(size=n)
    score = 0.5 * arm + 0.7 * visits + 0.2 * arm * visits + age + rng.normal(size=n)
    return pd.DataFrame({"arm": arm, "visits": visits, "score": score, "age": age})


def test_it_is_the_arms_coefficient_with_the_mediator_shifted(assert_columns):
    data = mediated(np.random.default_rng(1))
    effect = controlled_direct_effect(data, **NAMES, confounders=["age"])
    assert_columns(effect.estimates, "estimates")
    assert effect.estimates["term"].tolist() == [
        "controlled direct effect", "total effect", "interaction",
    ]  # fmt: skip
    shifted = data.assign(v=data["visits"] - 2)
    fit = smf.ols("score ~ arm * v + age", shifted).fit(cov_type="HC2")
    assert effect.headline["estimate"] == pytest.approx(fit.params["arm"])
    assert effect.headline["std_error"] == pytest.approx(fit.bse["arm"])
    assert effect.estimates["estimate"][2] == pytest.approx(fit.params["arm:v"])
    levels = effect.facts.levels
    assert levels[1] - levels[0] == pytest.approx(effect.headline["estimate"])


def test_a_known_direct_effect_is_recovered_and_differs_from_the_total():
    rng, found = np.random.default_rng(2), []
    for _ in range(100):
        table = controlled_direct_effect(mediated(rng), **NAMES, confounders=["age"]).estimates
        inside = (table["conf_low"] <= 0.9) & (table["conf_high"] >= 0.9)
        found.append([inside[0], table["estimate"][0], table["estimate"][1]])
    cover, direct, total = np.array(found, float).T
    assert cover.mean() == pytest.approx(0.95, abs=3 * (0.95 * 0.05 / 100) ** 0.5)
    assert direct.mean() == pytest.approx(0.9, abs=4 * direct.std() / 10)
    # .5 + .7 + .2 * 3, the mean of visits with the programme being 3.
    assert total.mean() == pytest.approx(1.8, abs=4 * total.std() / 10)


def test_without_its_confounders_it_is_refused_as_not_identified():
    data = mediated(np.random.default_rng(3))
    with pytest.raises(DesignError, match=r"not identified; give confounders") as caught:
        controlled_direct_effect(data, **NAMES, confounders=[])
    assert caught.value.guard == "mediator-outcome confounding"
    why = {"mediator-outcome confounding": "visits were drawn by lot as well"}
    effect = controlled_direct_effect(data, **NAMES, confounders=[], override=why)
    assert effect.facts.overrides == why


def test_a_confounder_that_the_programme_changes_is_refused():
    data = mediated(np.random.default_rng(4))
    with pytest.raises(DesignError, match="the programme changes age") as caught:
        controlled_direct_effect(data, **NAMES, confounders=["age"], changed_by_arm=["age"])
    assert caught.value.guard == "confounder changed by the programme"


def test_by_cluster_and_in_every_engine(engine):
    data = mediated(np.random.default_rng(5)).assign(clinic=lambda d: d.index % 20)
    named = NAMES | {"confounders": ["age"], "cluster": "clinic"}
    expected = controlled_direct_effect(data, **named)
    assert expected.facts.n_clusters == 20
    found = controlled_direct_effect(engine.make(data), **named)
    pd.testing.assert_frame_equal(found.estimates, expected.estimates)


def test_what_cannot_be_held_is_refused():
    data = mediated(np.random.default_rng(6), n=40)
    with pytest.raises(DataError, match="visits does not vary within each arm"):
        controlled_direct_effect(data.assign(visits=2 + data["arm"]), **NAMES, confounders=["age"])
    with pytest.raises(DataError, match="visits is missing in 1 of 40 rows"):
        controlled_direct_effect(
            data.assign(visits=data["visits"].where(data.index > 0)), **NAMES, confounders=["age"]
        )
    with pytest.raises(UsageError, match="at=99 lies outside the visits of all patients"):
        controlled_direct_effect(data, **(NAMES | {"at": 99}), confounders=["age"])
    with pytest.raises(UsageError, match=r"changed_by_arm names \['sex'\], not among"):
        controlled_direct_effect(data, **NAMES, confounders=["age"], changed_by_arm=["sex"])
    with pytest.raises(UsageError, match="are lists of columns"):
        controlled_direct_effect(data, **NAMES, confounders="age")
