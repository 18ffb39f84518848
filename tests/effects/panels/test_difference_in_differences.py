"""Four means and their difference: by hand, by cluster, published, and refused where it must be."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from loyalty_research.effects.difference_in_differences import difference_in_differences
from loyalty_research.effects.linear import fit_linear
from loyalty_research.errors import DataError, DesignError, UsageError

WAIT = {"outcome": "wait", "treated": "treated", "post": "post"}


def clinics() -> pd.DataFrame:
    """Two clinics with a new booking system from month 3 on, three without; minutes of waiting."""
    wait = {
        "a": [40, 42, 30, 28],
        "b": [50, 48, 41, 43],
        "c": [45, 43, 44, 42],
        "d": [38, 40, 37, 37],
        "e": [41, 41, 42, 40],
    }
    return pd.DataFrame(
        [
            {"clinic": name, "month": month, "treated": int(name in "ab"), "post": int(month > 2),
             "wait": float(minutes)}
            for name, values in wait.items()
            for month, minutes in enumerate(values, start=1)
        ]
    )  # fmt: skip


def organs(published) -> pd.DataFrame:
    table = pd.DataFrame(published("did")["organs"])
    return table.assign(treated=table["State"].eq("California"), post=table["Quarter_Num"].ge(4))


# --- by hand --------------------------------------------------------------------------------------


def test_the_effect_is_the_difference_of_two_changes():
    effect = difference_in_differences(clinics(), **WAIT, cluster="clinic")
    before, after = (40 + 42 + 50 + 48) / 4, (30 + 28 + 41 + 43) / 4
    control_before = (45 + 43 + 38 + 40 + 41 + 41) / 6
    control_after = (44 + 42 + 37 + 37 + 42 + 40) / 6
    expected = (after - before) - (control_after - control_before)
    assert effect.headline["estimate"] == pytest.approx(expected)
    means = effect.estimates.set_index("term")["estimate"]
    assert means["mean of arm 0 before"] == pytest.approx(control_before)
    assert means["mean of arm 0 after"] == pytest.approx(control_after)
    assert means["mean of arm 1 before"] == pytest.approx(before)
    assert means["mean of arm 1 after"] == pytest.approx(after)
    assert effect.facts.levels == pytest.approx({0: after - expected, 1: after})
    assert effect.facts.more["mean_control_before"] == pytest.approx(control_before)


def test_the_error_by_cluster_is_that_of_the_clusters_changes():
    effect = difference_in_differences(clinics(), **WAIT, cluster="clinic")
    treated = [(30 + 28) / 2 - (40 + 42) / 2, (41 + 43) / 2 - (50 + 48) / 2]
    control = [(44 + 42) / 2 - (45 + 43) / 2, (37 + 37) / 2 - (38 + 40) / 2, 41 - 41]
    # Clusters of one size: CR2 is the variance of each arm's changes over its clusters.
    variance = np.var(treated, ddof=1) / 2 + np.var(control, ddof=1) / 3
    assert effect.headline["std_error"] == pytest.approx(np.sqrt(variance))
    # Satterthwaite for a difference of means of two groups with one variance.
    parts = np.array([1 / 2, 1 / 3])
    df = parts.sum() ** 2 / (parts**2 / [1, 2]).sum()
    checks = effect.checks.set_index("check")
    assert checks.loc["clusters", "statistic"] == pytest.approx(df)
    assert effect.failed == ["clusters"]
    beside = effect.estimates.set_index("term").loc["cluster-mean t"]
    pooled = (np.var(treated) * 2 + np.var(control) * 3) / 3
    assert beside["estimate"] == pytest.approx(np.mean(treated) - np.mean(control))
    assert beside["std_error"] == pytest.approx(np.sqrt(pooled * (1 / 2 + 1 / 3)))


def test_patients_seen_once_have_errors_of_four_means():
    rng = np.random.default_rng(4)
    table = pd.DataFrame(
        {
            "treated": np.repeat([0, 1], 40),
            "post": np.tile([0, 1], 40),
            "wait": rng.normal(40, 5, 80),
        }
    )
    effect = difference_in_differences(table, **WAIT)
    cells = table.groupby(["treated", "post"])["wait"]
    # HC2 of saturated means is the unbiased variance of each cell.
    assert effect.headline["std_error"] == pytest.approx(
        np.sqrt((cells.var() / cells.size()).sum())
    )
    assert effect.facts.n_clusters is None


def test_a_covariate_mends_trends_that_follow_it():
    rng = np.random.default_rng(6)
    n = 500
    treated, age = np.repeat([0, 1], n), rng.normal(60, 8, 2 * n)
    age[treated == 1] += 6
    table = pd.DataFrame(
        {
            "patient_id": np.tile(np.arange(2 * n), 2),
            "treated": np.tile(treated, 2),
            "post": np.repeat([0, 1], 2 * n),
            "age": np.tile(age, 2),
        }
    )
    change = 0.5 * table["post"] * (table["age"] - 60) - 4 * table["treated"] * table["post"]
    table["wait"] = 30 + change + rng.normal(size=4 * n)
    crude = difference_in_differences(table, **WAIT, unit="patient_id")
    assert crude.headline["estimate"] == pytest.approx(-1, abs=0.7)
    adjusted = difference_in_differences(table, **WAIT, unit="patient_id", covariates=["age"])
    assert adjusted.headline["estimate"] == pytest.approx(-4, abs=0.25)
    assert adjusted.facts.n_clusters == 2 * n


# --- published ------------------------------------------------------------------------------------


def test_the_active_choice_of_organ_donors_is_that_published(published):
    table = organs(published)
    how = {"outcome": "Rate", "treated": "treated", "post": "post", "cluster": "State"}
    effect = difference_in_differences(table, **how)
    # The Effect, chapter 18: -.022 (.006), from Kessler and Roth.
    assert effect.headline["estimate"] == pytest.approx(-0.0225, abs=5e-5)
    x = np.column_stack(
        [np.ones(162), table["treated"], table["post"], table["treated"] & table["post"]]
    ).astype(float)
    fit = fit_linear(x, table["Rate"].to_numpy())
    scores = (x * fit.residuals[:, None]) @ fit.bread[:, 3]
    by_state = pd.Series(scores).groupby(table["State"]).sum()
    # Their error by state, with 33 parameters of states and quarters counted.
    published_error = np.sqrt((by_state**2).sum() * 27 / 26 * 161 / (162 - 33))
    assert published_error == pytest.approx(0.0067, abs=5e-5)
    # But one state alone has no error by state: the other 26 states' changes vary five times so.
    changes = table.pivot_table(index="State", columns="post", values="Rate")
    others = (changes[True] - changes[False]).drop("California")
    assert effect.headline["term"] == "cluster-mean t"
    assert effect.headline["std_error"] == pytest.approx(others.std() * np.sqrt(1 + 1 / 26))
    assert effect.headline["std_error"] > 4 * published_error
    checks = effect.checks.set_index("check")
    assert "cannot be told from the effect" in checks.loc["single_cluster", "message"]
    row = effect.estimates.set_index("term").loc["permutation test"]
    assert row["p_value"] == pytest.approx(5 / 27)
    assert np.isnan(effect.estimates.set_index("term").loc["mean of arm 1 after", "std_error"])


# --- properties -----------------------------------------------------------------------------------


def test_order_and_engine_of_rows_change_nothing(engine):
    how = {**WAIT, "cluster": "clinic", "unit": "clinic", "period": "month"}
    found = difference_in_differences(engine.make(clinics()), **how).estimates
    plain = difference_in_differences(clinics(), **how).estimates
    pd.testing.assert_frame_equal(found, plain)


def test_columns_are_those_of_estimates_and_checks(assert_columns):
    effect = difference_in_differences(clinics(), **WAIT, cluster="clinic")
    table = effect.estimates.assign(n_events=effect.estimates["n_events"].fillna(0).astype(int))
    assert_columns(table, "estimates")
    assert_columns(effect.checks, "checks")


def test_coverage_by_cluster_with_few_clinics():
    rng = np.random.default_rng(11)
    clinic, post = np.repeat(np.arange(12), 8), np.tile(np.repeat([0, 1], 4), 12)
    table = pd.DataFrame({"clinic": clinic, "treated": clinic % 2, "post": post})
    covered = []
    for _ in range(150):
        own = rng.normal(size=12)[clinic] + rng.normal(size=(12, 2))[clinic, post]
        wait = own + 2 * table["treated"] * table["post"] + rng.normal(size=96)
        row = difference_in_differences(table.assign(wait=wait), **WAIT, cluster="clinic").headline
        covered.append(row["conf_low"] < 2 < row["conf_high"])
    # Three Monte-Carlo errors of 150 draws are 5 points.
    assert 0.9 <= np.mean(covered) <= 1


def test_a_binary_outcome_counts_its_events():
    table = clinics().assign(wait=lambda t: (t["wait"] > 40).astype(int))
    effect = difference_in_differences(table, **WAIT, cluster="clinic")
    assert effect.headline["scale"] == "risk difference"
    assert effect.facts.n_events == int((clinics()["wait"] > 40).sum())
    cells = effect.estimates.set_index("term")
    assert cells.loc["mean of arm 1 after", "n_events"] == 2
    assert "percentage points" in effect.sentence()


def test_units_not_seen_both_before_and_after_withhold_the_estimate():
    table = clinics().query("not (clinic == 'a' and post == 1)")
    effect = difference_in_differences(table, **WAIT, unit="clinic")
    assert "seen_before_and_after" in effect.failed
    assert "cluster-mean t" not in set(effect.estimates["term"])


# --- refusals -------------------------------------------------------------------------------------


def staggered() -> pd.DataFrame:
    start = {"a": 3, "b": 4}
    table = clinics()
    return table.assign(start=table["clinic"].map(start))


def test_several_starts_are_refused_with_the_call_that_works_and_the_weights():
    how = {**WAIT, "unit": "clinic", "period": "month", "first_treated": "start"}
    with pytest.raises(DesignError, match="units start in 2 different periods") as error:
        difference_in_differences(staggered(), **how)
    assert error.value.guard == "adoption dates"
    told = str(error.value)
    assert "staggered_difference_in_differences" in told
    # Weights by sizes and shares 1/2 and 1/4 treated: later against earlier is the unclean one.
    never, clean = 3 * (1 / 2 * 1 / 2 + 1 / 4 * 3 / 4), 1 / 4 * 1 / 2
    unclean = 1 / 4 * 1 / 4
    share = 100 * unclean / (never + clean + unclean)
    assert f"{share:.0f} % of its weight" in told


def test_a_column_of_starts_is_read_unasked():
    table = staggered().rename(columns={"start": "first_treated"})
    with pytest.raises(DesignError, match="units start in 2 different periods"):
        difference_in_differences(table, **WAIT, cluster="clinic")


def test_periods_that_are_before_for_some_and_after_for_others_are_refused():
    table = staggered()
    own = (table["month"] >= table["start"].fillna(3)).astype(int)
    with pytest.raises(DesignError, match="units start in 2 different periods"):
        difference_in_differences(table.assign(post=own), **WAIT, unit="clinic", period="month")


def test_a_reason_lets_several_starts_pass_and_stays_with_the_effect():
    reason = {"adoption dates": "the second clinic was two weeks late, within one month"}
    effect = difference_in_differences(
        staggered(), **WAIT, cluster="clinic", first_treated="start", unit="clinic", override=reason
    )
    assert effect.facts.overrides == reason
    assert effect.headline["estimate"] == pytest.approx(
        difference_in_differences(clinics(), **WAIT, cluster="clinic").headline["estimate"]
    )


def test_clinics_assigned_and_no_cluster_is_refused():
    with pytest.raises(DesignError, match="give cluster='clinic'") as error:
        difference_in_differences(clinics(), **WAIT)
    assert error.value.guard == "clusters"


def test_rows_of_one_patient_are_not_independent():
    table = clinics().rename(columns={"clinic": "patient_id"})
    with pytest.raises(DesignError, match="give unit='patient_id'"):
        difference_in_differences(table, **WAIT)
    assert difference_in_differences(table, **WAIT, unit="patient_id").facts.n_clusters == 5


def test_all_faults_are_told_at_once():
    table = clinics()
    table.loc[table["clinic"] == "c", "treated"] = [0, 0, 1, 1]
    table.loc[3, "post"] = 0
    table.loc[9, "month"] = 1
    with pytest.raises(DataError) as error:
        difference_in_differences(table, **WAIT, unit="clinic", period="month")
    for words in (
        "treated changes within 1 of 5 units",
        "clinic and month occur more than once, in 1 of 20 rows too many",
        "post goes back from 1 to 0 in 1 of 5 units",
    ):
        assert words in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.assign(post=1), "no row of arm 0 before the start has a known wait"),
        (lambda t: t.assign(post=t["post"] * t["treated"]), "no row of arm 0 after the start"),
        (lambda t: t.assign(post=2), "post is 2, not 0 or 1"),
        (lambda t: t.assign(post=[None, *t["post"][1:]]), "post is missing in 1 of 20 rows"),
        (lambda t: t.assign(treated="yes"), "treated is 'yes', not 0 or 1"),
        (lambda t: t.assign(wait="long"), "wait is 'long', not a number"),
        (lambda t: t.assign(treated=0), "no row of arm 1"),
        (lambda t: t.iloc[:0], "the table has no rows"),
        (lambda t: t.drop(columns="post"), "column post is missing"),
    ],
)
def test_each_fault_is_refused_with_its_repair(change, message):
    with pytest.raises(DataError, match=message):
        difference_in_differences(change(clinics()), **WAIT, cluster="clinic")


def test_a_covariate_that_only_the_arm_moves_is_refused():
    table = clinics().assign(size=lambda t: t["treated"] * 3)
    with pytest.raises(DataError, match="covariates are determined by arm and time"):
        difference_in_differences(table, **WAIT, cluster="clinic", covariates=["size"])


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"better": "more"}, "better='more' must be"),
        ({"conf_level": 2}, "conf_level=2 must be"),
        ({"arms": "both"}, "arms must be two names"),
        ({"override": {"clusters": "no"}}, "needs a reason in words"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(setting, message):
    with pytest.raises(UsageError, match=message):
        difference_in_differences(clinics(), **WAIT, cluster="clinic", **setting)
