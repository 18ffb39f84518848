"""A staggered roll-out: by hand, as R's did, with a known truth, and refused where it must be."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from loyalty_research.effects.aggregation import aggregate, by_cluster
from loyalty_research.effects.change import doubly_robust_change
from loyalty_research.effects.group_time import group_time_cells
from loyalty_research.effects.panel import open_panel
from loyalty_research.effects.staggered import staggered_difference_in_differences
from loyalty_research.errors import DataError, DesignError, UsageError
from loyalty_research.retention.design_matrix import SeparationError

CLINIC = {"outcome": "y", "unit": "clinic", "period": "month", "first_treated": "start"}
COUNTY = {"outcome": "lemp", "unit": "county", "period": "year", "first_treated": "start"}
CASES = {
    "never": {},
    "not_yet": {"control": "not_yet"},
    "never_lpop": {"covariates": ["lpop"]},
    "not_yet_lpop": {"control": "not_yet", "covariates": ["lpop"]},
}
TRUTH = (12 * 1.6 + 66 * 0.15 + 8 * 1.0 + 28 * 0.15 + 4 * 0.5 + 6 * 0.15) / (12 + 8 + 4)
"""Clinics are treated for 12, 8 and 4 months; 0 + 1 + ... + 11 = 66, up to 7 = 28, up to 3 = 6."""


def of(effect, term: str) -> pd.DataFrame:
    """Return the details of a term, without its overall row."""
    rows = effect.estimates.query("term == @term")
    return rows[rows[["cohort", "period", "event_time"]].notna().any(axis=1)]


# --- by hand --------------------------------------------------------------------------------------


def test_three_clinics_by_hand(three_clinics):
    effect = staggered_difference_in_differences(three_clinics, **CLINIC, seed=1)
    # Clinic a (from month 2) and b (from month 3) against c, since the month before each start.
    a2, a3 = (15 - 10) - (31 - 30), (17 - 10) - (33 - 30)
    b1, b3 = (20 - 22) - (30 - 31), (29 - 22) - (33 - 31)
    cells = of(effect, "group_time")
    assert cells["cohort"].tolist() == [2, 2, 3, 3]
    assert cells["period"].tolist() == [2, 3, 1, 3]
    assert cells["event_time"].tolist() == [0, 1, -2, 0]
    assert cells["estimate"].tolist() == [a2, a3, b1, b3]
    assert effect.estimates["term"].tolist()[:4] == ["simple", "dynamic", "group", "calendar"]
    assert effect.estimates["estimate"].tolist()[:4] == pytest.approx(
        [
            (a2 + a3 + b3) / 3,
            ((a2 + b3) / 2 + a3) / 2,
            ((a2 + a3) / 2 + b3) / 2,
            (a2 + (a3 + b3) / 2) / 2,
        ]
    )
    assert of(effect, "dynamic")["event_time"].tolist() == [-2, -1, 0, 1]
    assert of(effect, "dynamic")["estimate"].tolist() == [b1, 0, (a2 + b3) / 2, a3]
    # Treated clinic-months: 15, 17 and 29; without the programme less by the effect.
    assert effect.facts.levels[1] == pytest.approx((15 + 17 + 29) / 3)
    assert effect.facts.levels[0] == pytest.approx((15 + 17 + 29 - a2 - a3 - b3) / 3)


def test_a_clinic_not_yet_treated_is_a_control_until_it_starts(three_clinics):
    effect = staggered_difference_in_differences(three_clinics, **CLINIC, control="not_yet", seed=1)
    cells = of(effect, "group_time").set_index(["cohort", "period"])["estimate"]
    assert cells[2, 2] == (15 - 10) - ((22 - 20) + (31 - 30)) / 2
    assert cells[2, 3] == (17 - 10) - (33 - 30)


def test_where_all_are_treated_in_the_end_the_last_cohort_is_control_only(three_clinics):
    two = three_clinics.query("clinic != 'c'")
    effect = staggered_difference_in_differences(two, **CLINIC, control="not_yet", seed=1)
    assert of(effect, "group_time")["estimate"].tolist() == [(15 - 10) - (22 - 20)]
    checks = effect.checks.set_index("check")
    assert checks.loc["periods_without_controls", "statistic"] == 3
    assert "no unit was left untreated" in checks.loc["periods_without_controls", "message"]


def test_the_error_of_one_cohort_is_that_of_two_means():
    table = pd.DataFrame(
        {
            "clinic": np.repeat(range(5), 2),
            "month": [1, 2] * 5,
            "start": np.repeat([2, 2, np.nan, np.nan, np.nan], 2),
            "y": [0, 3, 0, 5, 0, 0, 0, 1, 0, 2],
        }
    )
    effect = staggered_difference_in_differences(table, **CLINIC, seed=1)
    # Changes 3, 5 against 0, 1, 2: mean squares about the mean over the size of each group.
    assert effect.headline["estimate"] == 4 - 1
    assert effect.headline["std_error"] == pytest.approx(np.sqrt(1 / 2 + (2 / 3) / 3))


# --- published ------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_every_cell_is_that_of_did(counties, published, case):
    theirs = pd.DataFrame(published("did")["cases"][case]["cells"])
    theirs = theirs.query("period != cohort - 1").set_index(["cohort", "period"])
    effect = staggered_difference_in_differences(counties, **COUNTY, **CASES[case], seed=1)
    ours = of(effect, "group_time").set_index(["cohort", "period"]).loc[theirs.index]
    # Closed forms, and a logistic regression carried on until it stands still.
    np.testing.assert_allclose(ours["estimate"], theirs["estimate"], rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(ours["std_error"], theirs["std_error"], rtol=1e-9)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("term", ["simple", "dynamic", "group", "calendar"])
def test_every_aggregation_is_that_of_did(counties, published, case, term):
    theirs = published("did")["cases"][case][term]
    effect = staggered_difference_in_differences(counties, **COUNTY, **CASES[case], seed=1)
    ours = effect.estimates.query("term == @term")
    assert ours["estimate"].iloc[0] == pytest.approx(theirs["estimate"], rel=1e-9)
    assert ours["std_error"].iloc[0] == pytest.approx(theirs["std_error"], rel=1e-9)
    if "at" in theirs:
        kept = [i for i, at in enumerate(theirs["at"]) if (term, at) != ("dynamic", -1)]
        details = of(effect, term).query("std_error == std_error")
        np.testing.assert_allclose(details["estimate"], np.array(theirs["estimates"])[kept], 1e-8)
        np.testing.assert_allclose(details["std_error"], np.array(theirs["std_errors"])[kept], 1e-8)


def test_the_printed_numbers_of_callaway_and_santanna(counties):
    plain = staggered_difference_in_differences(counties, **COUNTY, seed=1).estimates[:4]
    assert plain["estimate"].round(4).tolist() == [-0.0400, -0.0772, -0.0310, -0.0417]
    # They print .0120, .0200 and .0125, errors by bootstrap.
    np.testing.assert_allclose(plain["std_error"][:3], [0.0120, 0.0200, 0.0125], atol=1e-4)
    like = staggered_difference_in_differences(counties, **COUNTY, covariates=["lpop"], seed=1)
    assert like.estimates["estimate"].round(4).tolist()[0:3:2] == [-0.0418, -0.0328]


# --- properties -----------------------------------------------------------------------------------


def test_order_and_engine_of_rows_change_nothing(engine, three_clinics):
    from_engine = staggered_difference_in_differences(
        engine.make(three_clinics), **CLINIC, control="not_yet", seed=3
    )
    plain = staggered_difference_in_differences(three_clinics, **CLINIC, control="not_yet", seed=3)
    pd.testing.assert_frame_equal(from_engine.estimates, plain.estimates)


def test_the_argument_is_not_changed(three_clinics):
    before = three_clinics.copy()
    staggered_difference_in_differences(three_clinics, **CLINIC, seed=1)
    pd.testing.assert_frame_equal(three_clinics, before)


def test_columns_are_those_of_estimates_and_checks(counties, assert_columns):
    effect = staggered_difference_in_differences(counties, **COUNTY, seed=1)
    own = ["cohort", "period", "event_time", "band_low", "band_high"]
    assert list(effect.estimates)[:6] == ["term", *own]
    bare = effect.estimates.drop(columns=own).assign(n_events=lambda t: t["n_events"].fillna(0))
    assert_columns(bare.assign(n_events=bare["n_events"].astype(int)), "estimates")
    assert_columns(effect.checks, "checks")


def test_the_band_holds_all_details_and_is_wider_than_one_interval(counties):
    effect = staggered_difference_in_differences(counties, **COUNTY, seed=1)
    again = staggered_difference_in_differences(counties, **COUNTY, seed=1)
    pd.testing.assert_frame_equal(effect.estimates, again.estimates)
    details = of(effect, "dynamic").query("std_error == std_error")
    assert (details["band_low"] < details["conf_low"]).all()
    factor = (details["band_high"] - details["estimate"]) / details["std_error"]
    # One factor for all; seven rows that were independent would need 2.68.
    assert factor.max() == pytest.approx(factor.min())
    assert 2.4 < factor.max() < 2.75
    assert effect.estimates["band_low"][:4].isna().all()


def test_doubling_every_unit_within_its_cluster_changes_nothing(roll_out):
    table = roll_out(40, seed=4)
    twin = pd.concat([table, table.assign(clinic=table["clinic"] + 1000)])
    twin = twin.assign(pair=twin["clinic"] % 1000)
    one = staggered_difference_in_differences(table, **CLINIC, seed=1).estimates
    two = staggered_difference_in_differences(twin, **CLINIC, cluster="pair", seed=1).estimates
    columns = ["estimate", "std_error", "band_high"]
    pd.testing.assert_frame_equal(one[columns], two[columns])


def test_dates_label_cohorts_and_periods(three_clinics):
    months = pd.date_range("2024-01-01", periods=3, freq="MS")
    table = three_clinics.assign(
        month=three_clinics["month"].map(dict(enumerate(months, start=1))),
        start=three_clinics["start"].map(dict(enumerate(months, start=1))),
    )
    found = of(staggered_difference_in_differences(table, **CLINIC, seed=1), "group")
    assert found["cohort"].tolist() == [months[1], months[2]]


def test_a_simulated_roll_out_finds_its_truth(roll_out):
    estimates, covered = [], []
    for seed in range(40):
        panel = open_panel(roll_out(60, seed=seed), **CLINIC)
        part = aggregate(panel, group_time_cells(panel, control="never"), "simple")[0]
        error = np.sqrt((by_cluster(panel, part.influence[:, None]) ** 2).sum())
        estimates.append(part.estimate)
        covered.append(abs(part.estimate - TRUTH) < 1.96 * error)
    assert pytest.approx(1.842, abs=5e-4) == TRUTH
    # The error of one is about 0.26, of the mean of 40 about 0.04.
    assert np.mean(estimates) == pytest.approx(TRUTH, abs=0.12)
    assert np.mean(covered) >= 0.87


def test_covariates_mend_trends_that_depend_on_them():
    rng = np.random.default_rng(8)
    n = 4000
    x = rng.normal(size=n)
    treated = rng.random(n) < 1 / (1 + np.exp(-x))
    change = (2 * x + 1.0 * treated + rng.normal(size=n))[:, None]
    naive = change[treated].mean() - change[~treated].mean()
    assert naive > 2.5
    found = doubly_robust_change(change, treated, x[:, None], terms=["x"])
    error = np.sqrt((found.influence**2).mean() / n)
    assert found.estimate[0] == pytest.approx(1.0, abs=4 * error)
    # Right chances mend a wrong line: trends that grow with the square of x, x alone named.
    curved = change + (x**2)[:, None]
    weights = doubly_robust_change(
        curved, treated, np.column_stack([x, np.exp(x)]), terms=["x", "e"]
    )
    assert weights.estimate[0] == pytest.approx(1.0, abs=0.3)


# --- checks and refusals --------------------------------------------------------------------------


def test_checks_stand_before_the_estimate(counties):
    effect = staggered_difference_in_differences(counties, **COUNTY, covariates=["lpop"], seed=1)
    checks = effect.checks.set_index("check")
    assert checks.loc["cohort_size", "statistic"] == 20
    assert checks.loc["controls", "statistic"] == 309
    assert checks.loc["overlap", "statistic"] == 0
    assert checks.loc["detectable_slope", "passed"] is None
    assert not effect.withheld
    assert effect.facts.sizes == {0: 309, 1: 191}
    assert effect.facts.n_events is None
    assert "500 units" in effect.sentence()


def test_a_cohort_of_one_clinic_withholds_the_estimate(three_clinics):
    effect = staggered_difference_in_differences(three_clinics, **CLINIC, seed=1)
    assert effect.failed == ["cohort_size"]
    assert (
        "its variation cannot be seen"
        in effect.checks.set_index("check").loc["cohort_size", "message"]
    )


def test_units_treated_after_the_panel_ends_are_counted(three_clinics):
    table = three_clinics.assign(start=three_clinics["start"].fillna(9))
    effect = staggered_difference_in_differences(table, **CLINIC, seed=1)
    message = effect.checks.set_index("check").loc["controls", "message"]
    assert "1 unit not treated within the 3 periods, 1 of them treated later" in message


def test_controls_almost_sure_to_be_treated_are_left_out_and_counted():
    rng = np.random.default_rng(3)
    x = rng.normal(size=600)
    treated = rng.random(600) < 1 / (1 + np.exp(-4 * x))
    x[~treated] = np.minimum(x[~treated], 1.0)
    lone = int(np.flatnonzero(~treated)[0])
    x[lone] = 1.6
    change = rng.normal(size=(600, 1))
    found = doubly_robust_change(change, treated, x[:, None], terms=["x"])
    assert found.n_trimmed == 1
    # What the lone one's change is counts in the line of controls, but carries no weight.
    table = pd.DataFrame(
        {
            "clinic": np.repeat(range(600), 2),
            "month": [1, 2] * 600,
            "start": np.repeat(np.where(treated, 2, np.nan), 2),
            "x": np.repeat(x, 2),
            "y": np.column_stack([np.zeros(600), change[:, 0]]).ravel(),
        }
    )
    effect = staggered_difference_in_differences(table, **CLINIC, covariates=["x"], seed=1)
    assert effect.headline["estimate"] == pytest.approx(found.estimate[0])
    assert effect.facts.n_trimmed == 1
    assert "1 control left out" in effect.checks.set_index("check").loc["overlap", "message"]


def test_clinics_assigned_but_patients_analysed_is_refused():
    rng = np.random.default_rng(1)
    table = pd.DataFrame(
        [(p, p // 10, t) for p in range(80) for t in range(4)],
        columns=["patient_id", "facility_id", "month"],
    )
    table["start"] = table["facility_id"].map({0: 2, 1: 2, 2: 3, 3: 3})
    table["y"] = rng.normal(size=len(table))
    how = {**CLINIC, "unit": "patient_id", "seed": 1}
    with pytest.raises(DesignError, match="give cluster='facility_id'") as error:
        staggered_difference_in_differences(table, **how)
    assert error.value.guard == "clusters"
    named = staggered_difference_in_differences(table, **how, cluster="facility_id")
    assert named.facts.n_clusters == 8
    reason = {"clusters": "each patient drew a lot of their own"}
    overridden = staggered_difference_in_differences(table, **how, override=reason)
    assert overridden.facts.overrides == reason


def test_covariates_that_separate_a_cohort_are_refused(counties):
    x = counties["county"] % 7 + 10 * counties["start"].eq(2004)
    table = counties.assign(x=x)
    with pytest.raises(SeparationError, match="x separates units first treated in 2004 from"):
        staggered_difference_in_differences(table, **COUNTY, covariates=["x"], seed=1)


def test_too_few_controls_for_the_covariates_are_refused(three_clinics):
    with pytest.raises(DataError, match="too few for 2 coefficients"):
        staggered_difference_in_differences(
            three_clinics.assign(x=three_clinics["y"]), **CLINIC, covariates=["x"], seed=1
        )


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"control": "later"}, "control='later' is not known"),
        ({"conf_level": 95}, "conf_level=95 must be a number between 0 and 1"),
        ({"seed": None}, "seed=None must be a whole number"),
        ({"better": "more"}, "better='more' must be"),
        ({"n_draws": 5}, "n_draws=5 must be a whole number, at least 100"),
        ({"override": {"clinics": "as we said before"}}, "is no guard of this design"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(three_clinics, setting, message):
    with pytest.raises(UsageError, match=message):
        staggered_difference_in_differences(three_clinics, **{**CLINIC, "seed": 1, **setting})


def test_a_binary_outcome_counts_its_events():
    table = pd.DataFrame(
        {
            "clinic": np.repeat(range(6), 2),
            "month": [1, 2] * 6,
            "start": np.repeat([2, 2, 2, np.nan, np.nan, np.nan], 2),
            "y": [0, 1, 0, 1, 1, 1, 0, 0, 0, 1, 1, 0],
        }
    )
    effect = staggered_difference_in_differences(table, **CLINIC, seed=1)
    assert effect.facts.n_events == 6
    assert effect.headline["scale"] == "risk difference"
    assert "67 percentage points" in effect.sentence()
