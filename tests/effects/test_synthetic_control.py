"""One unit beside a mixture of others: exact cases, a published one, placebos, refusals."""

import numpy as np
import pandas as pd
import pytest

from loyalty_research.effects.synthetic_control import (
    synthetic_control,
    synthetic_path,
    synthetic_placebos,
    synthetic_weights,
)
from loyalty_research.errors import DataError, DesignError, UsageError

ASKED = {
    "outcome": "wait",
    "unit": "clinic",
    "period": "month",
    "treated_unit": "ours",
    "start": 16,
}


def panel(effect=-28.0, *, donors="abcdefgh", n=24, start=16, noise=0.0, seed=1):
    """Return clinics of which ours is .3 a + .7 b, and `effect` more from the start on."""
    draw, at = np.random.default_rng(seed), np.arange(n)
    paths = {name: 30 + 8 * draw.normal() + draw.normal(size=n).cumsum() for name in donors}
    paths["ours"] = 0.3 * paths["a"] + 0.7 * paths["b"] + effect * (at >= start)
    tables = [
        pd.DataFrame({"clinic": name, "month": at, "wait": path + noise * draw.normal(size=n)})
        for name, path in paths.items()
    ]
    return pd.concat(tables, ignore_index=True)


def checks(effect):
    return effect.checks.set_index("check")


def test_a_mixture_is_found_again_and_the_effect_with_it(assert_columns):
    effect = synthetic_control(panel(), **ASKED, outcome_unit="minutes", better="lower")
    assert_columns(effect.estimates, "estimates")
    assert_columns(effect.checks, "checks")
    found = effect.estimates.set_index("term")["estimate"]
    # 8 months of -28 minutes.
    assert found["average"] == pytest.approx(-28)
    assert found["end"] == pytest.approx(-28)
    assert found["cumulative"] == pytest.approx(8 * -28)
    # No other clinic follows its mixture exactly: ours ranks first of 9.
    assert effect.headline["p_value"] == pytest.approx(1 / 9)
    assert np.isnan(effect.headline["std_error"])
    assert effect.facts.more["weights"] == "b 0.700, a 0.300"
    assert effect.facts.levels[1] - effect.facts.levels[0] == pytest.approx(-28)
    assert not effect.withheld
    sentence = effect.sentence()
    assert "−28.0 minutes (no interval)" in sentence
    assert sentence.endswith("216 unit-periods.")


def test_weights_and_path_are_those_of_the_effect():
    table = panel()
    weights = synthetic_weights(table, **ASKED)
    assert list(weights) == ["clinic", "weight"]
    assert weights["clinic"].tolist()[:2] == ["b", "a"]
    assert weights["weight"].tolist() == pytest.approx([0.7, 0.3, 0, 0, 0, 0, 0, 0])
    path = synthetic_path(table, **ASKED)
    assert path["effect"].tolist() == pytest.approx([0] * 16 + [-28] * 8, abs=1e-9)
    assert path["cumulative"].tolist()[16:] == pytest.approx([-28.0 * k for k in range(1, 9)])
    assert path["cumulative"][:16].isna().all()
    others = table[table["clinic"] != "ours"].groupby("month")["wait"].mean()
    assert path["donors_mean"].tolist() == pytest.approx(others.tolist())
    assert (path["observed"] - path["counterfactual"]).tolist() == path["effect"].tolist()


def test_shuffled_rows_of_every_engine_give_the_same(engine):
    table = panel(noise=0.5)
    found = synthetic_control(engine.make(table), **ASKED)
    assert found.estimates.equals(synthetic_control(table, **ASKED).estimates)


def test_dates_and_donors_by_name():
    table = panel(noise=0.5)
    dated = table.assign(month=pd.Timestamp("2023-01-01") + table["month"] * pd.Timedelta(days=7))
    asked = ASKED | {"start": "2023-04-23"}
    assert synthetic_control(dated, **asked).estimates.equals(
        synthetic_control(table, **ASKED).estimates
    )
    few = synthetic_control(table, **ASKED, donors=["a", "b", "c", "d", "e"])
    rest = table[table["clinic"].isin([*"abcde", "ours"])]
    assert few.estimates.equals(synthetic_control(rest, **ASKED).estimates)


def test_the_p_value_is_the_rank_of_the_ratio():
    table = panel(effect=-2.0, noise=1.0, seed=4)
    placebos = synthetic_placebos(table, **ASKED)
    assert len(placebos) == 9
    assert placebos["ratio"].tolist() == sorted(placebos["ratio"], reverse=True)
    again = placebos["rmspe_after"] / placebos["rmspe_before"]
    assert placebos["ratio"].tolist() == pytest.approx(again.tolist())
    ours = placebos[placebos["is_treated"]]
    effect = synthetic_control(table, **ASKED)
    assert effect.headline["p_value"] == pytest.approx(ours["rank"].item() / 9)
    assert effect.headline["estimate"] == pytest.approx(ours["average"].item())
    assert effect.facts.more["rmspe_ratio"] == pytest.approx(ours["ratio"].item())


def test_under_no_effect_ranks_are_uniform():
    # 9 units alike: each rank has a chance of 1/9, so p is at most 1/9 in one run of nine. 60 runs:
    # the number is binomial, mean 6.7, standard deviation 2.4.
    draw, hits = np.random.default_rng(3), 0
    for _ in range(60):
        values = draw.normal(size=(9, 24)).cumsum(axis=1)
        names = ["ours", *"abcdefgh"]
        table = pd.DataFrame(
            {"clinic": np.repeat(names, 24), "month": np.tile(range(24), 9), "wait": values.ravel()}
        )
        placebos = synthetic_placebos(table, **ASKED)
        hits += placebos.loc[placebos["is_treated"], "rank"].item() == 1
    assert hits == pytest.approx(60 / 9, abs=3 * 2.4)


def reunified(published):
    data = published("german_reunification")
    table = pd.concat(
        pd.DataFrame({"country": name, "year": data["years"], "income": gdp})
        for name, gdp in data["gdp"].items()
    )
    # Each covariate is already a mean, so it may stand in every year.
    for name, by_country in data["covariates"].items():
        table = table.assign(**{name: table["country"].map(by_country)})
    asked = {
        "outcome": "income", "unit": "country", "period": "year", "treated_unit": "West Germany",
        "start": 1991, "covariates": list(data["covariates"]),
    }  # fmt: skip
    return table, asked, data


def test_german_reunification_is_as_published(published):
    table, asked, data = reunified(published)
    effect = synthetic_control(table, **asked, importance=data["importance"])
    weights = synthetic_weights(table, **asked, importance=data["importance"])
    weights = weights.set_index("country")["weight"]
    # Abadie, Diamond and Hainmueller 2015, table 2.
    paper = {"Austria": 0.42, "USA": 0.22, "Japan": 0.16, "Switzerland": 0.11, "Netherlands": 0.09}
    for name, weight in paper.items():
        assert weights[name] == pytest.approx(weight, abs=0.0101), name
    assert weights.drop(list(paper)).max() == 0
    # pysyncon stops a little before the best mixture: our loss is below its own.
    for name, weight in data["weights"].items():
        assert weights[name] == pytest.approx(weight, abs=5e-4), name
    x = pd.DataFrame(data["covariates"])
    scaled = x / x.std()
    away = scaled.loc["West Germany"] - weights @ scaled.loc[weights.index]
    loss = float((pd.Series(data["importance"]) * away**2).sum())
    assert 0.9999 * data["loss"] < loss < data["loss"]
    # "About 1,600 USD a year"; the ratio is the largest of 17, 1/17 = .059.
    path = synthetic_path(table, **asked, importance=data["importance"]).set_index("time")
    assert path.loc[1990:, "effect"].mean() == pytest.approx(-1600, abs=50)
    assert effect.headline["p_value"] == pytest.approx(1 / 17)
    assert not effect.withheld


def test_an_importance_that_is_searched_follows_the_past_at_least_as_well_as_equal_ones(published):
    table, asked, _ = reunified(published)
    kept = asked | {"covariates": ["gdp", "trade", "schooling"]}
    equal = synthetic_path(table, **kept, importance=dict.fromkeys(kept["covariates"], 1.0))
    searched = synthetic_path(table, **kept)
    before = searched["phase"].eq("before")
    assert (searched.loc[before, "effect"] ** 2).sum() <= (equal.loc[before, "effect"] ** 2).sum()


def test_the_importance_is_told_and_sums_to_one():
    table = panel(noise=0.5)
    effect = synthetic_control(
        table.assign(last=table["wait"].where(table["month"] >= 12), all=table["wait"]),
        **ASKED, covariates=["last", "all"], importance={"last": 1, "all": 3},
    )  # fmt: skip
    assert effect.facts.more["importance of last"] == 0.25
    assert effect.facts.more["importance of all"] == 0.75


# --- checks ---------------------------------------------------------------------------------------


def test_a_unit_outside_its_donors_withholds_the_estimate():
    table = panel(noise=0.2)
    far = table.assign(wait=table["wait"] + 60 * (table["clinic"] == "ours"))
    effect = synthetic_control(far, **ASKED)
    assert effect.failed == ["fit before"]
    assert "the donors cannot make up this unit" in checks(effect).loc["fit before", "message"]


def test_few_donors_cannot_give_a_small_p_value_and_are_told_so():
    found = checks(synthetic_control(panel(), **ASKED))
    message = found.loc["placebo in space", "message"]
    assert "ranks 1 of 9 units: p 0.111; with 8 donors it cannot be below 0.111" in message


def test_a_false_start_in_the_time_before_is_seen():
    table = panel(noise=0.3)
    quiet = checks(synthetic_control(table, **ASKED)).loc["placebo in time"]
    assert quiet["passed"]
    early = (table["clinic"] == "ours") & table["month"].between(8, 15)
    # The mixture must not be able to learn the early step, so it is tried from month 8 on.
    loud = synthetic_control(
        table.assign(wait=table["wait"] - 28 * early), **ASKED, placebo_start=8
    )
    found = checks(loud).loc["placebo in time"]
    assert not found["passed"]
    assert found["statistic"] == pytest.approx(-28, abs=3)


def test_an_effect_that_hangs_on_one_donor_is_told():
    steady = checks(synthetic_control(panel(noise=0.3), **ASKED)).loc["leave one donor out"]
    assert steady["passed"]
    # Donor a falls with ours: without it the effect shows, with it there is hardly any.
    draw, at = np.random.default_rng(6), np.arange(24)
    level = {"ours": 30.0, "a": 30.0, "b": 50.0, "c": 10.0, "d": 52.0, "e": 8.0, "f": 49.0}
    table = pd.concat(
        pd.DataFrame(
            {
                "clinic": name,
                "month": at,
                "wait": mean
                + 5 * np.sin(at) * (name in ("ours", "a"))
                + (-10.5 * (at >= 16) if name == "a" else -10 * (at >= 16) * (name == "ours"))
                + 0.1 * draw.normal(size=24),
            }
        )
        for name, mean in level.items()
    )
    hanging = checks(synthetic_control(table, **ASKED)).loc["leave one donor out"]
    assert not hanging["passed"]
    assert hanging["message"].endswith("it hangs on a single donor")
    assert hanging["statistic"] == pytest.approx(-10, abs=3)


# --- refusals -------------------------------------------------------------------------------------


def test_few_donors_and_few_periods_are_refused_and_may_be_overridden():
    small = panel(donors="abcd")
    with pytest.raises(DesignError, match=r"4 donors, fewer than 5: no placebo .* 1 / 5") as caught:
        synthetic_control(small, **ASKED)
    assert caught.value.guard == "too few donors"
    reason = {"too few donors": "there are no more clinics"}
    effect = synthetic_control(small, **ASKED, override=reason)
    assert effect.facts.overrides == reason
    with pytest.raises(DesignError, match="7 periods before the change, fewer than 8"):
        synthetic_control(panel(start=7), **(ASKED | {"start": 7}))


def refusal(table, **more):
    with pytest.raises(DataError) as caught:
        synthetic_control(table, **(ASKED | more))
    return str(caught.value)


def test_missing_columns_are_all_named():
    told = refusal(panel().drop(columns="wait"), covariates=["rooms"])
    assert "panel: column wait is missing" in told
    assert "panel: column rooms is missing" in told


def test_wrong_values_are_all_named():
    table = panel()
    table = table.assign(
        wait=table["wait"].where(table.index > 2), month=table["month"] + 0.5, rooms="many"
    )
    told = refusal(table, treated_unit="theirs", donors=["a", "z"], covariates=["rooms"])
    assert "5 faults" in told
    assert "treated_unit is none of the 9 units in clinic; give its name" in told
    assert "1 of 2 donors are no unit in clinic" in told
    assert "month is not a whole number in 24 of 24 rows" in told
    assert "wait is missing in 3 of 24 rows; a panel has no gaps" in told
    assert "rooms is text, not a number" in told


def test_rows_doubled_or_missing_and_a_start_outside_are_named_together():
    table = panel()
    table = pd.concat([table[table.index != 5], table[table.index == 7]])
    told = refusal(table, start=99)
    assert "1 rows repeat a clinic and month; give one row a unit and period" in told
    assert "1 of 216 pairs of clinic and month have no row; drop units that are not" in told
    assert "start is no period of the panel with one before it" in told
    assert "start is no period" in refusal(panel(), start=0)


def test_one_donor_is_no_mixture():
    told = refusal(panel(donors="ab"), donors=["a"])
    assert "fewer than two donors, and one unit is no mixture" in told


def test_covariates_unknown_or_alike_before_the_start_are_refused():
    table = panel()
    late = table["wait"].where((table["month"] >= 16) | (table["clinic"] != "a"))
    told = refusal(table.assign(late=late, same=3.0), covariates=["late", "same"])
    assert "late is not known before the start in 1 of 9 units" in told
    assert "same is the same in every unit; leave it out" in told


def test_an_empty_panel_is_refused():
    assert "the panel has no rows" in refusal(panel().head(0))


def test_a_false_start_after_the_true_one_is_refused():
    assert "placebo_start is not before start" in refusal(panel(), placebo_start=16)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"donors": ["a", "ours"]}, "donors= must not hold the treated unit"),
        ({"covariates": ["wait"]}, "covariates= must not name the outcome"),
        ({"importance": {"x": 1}}, "importance= must give one number for each of covariates="),
        ({"covariates": ["x"], "importance": {"x": 0}}, "importance= must hold numbers of 0 and"),
        ({"covariates": ["x"], "importance": {"x": "much"}}, "importance= must hold numbers of 0"),
        ({"better": "faster"}, "better='faster' is not known"),
        ({"override": {"fit": "a reason of ten letters"}}, "is no guard of this design"),
    ],
)
def test_arguments_that_contradict_each_other_are_refused(more, message):
    with pytest.raises(UsageError, match=message):
        synthetic_control(panel(), **(ASKED | more))
