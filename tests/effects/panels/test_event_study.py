"""An event study around one start: by hand, as separate regressions, with a band that holds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

from loyalty_research.effects.event_study import event_study
from loyalty_research.effects.linear import fit_linear
from loyalty_research.effects.staggered import staggered_difference_in_differences
from loyalty_research.errors import DataError, DesignError, UsageError

CLINIC = {"outcome": "y", "unit": "clinic", "period": "month", "first_treated": "start"}


def drawn(seed: int, *, n: int = 24, n_months: int = 7, effect: float = 2.0) -> pd.DataFrame:
    """A third of the clinics start in month 5; regions hold two clinics of one arm each."""
    rng = np.random.default_rng(seed)
    clinic, month = np.repeat(np.arange(n), n_months), np.tile(np.arange(1, n_months + 1), n)
    treated = clinic < n // 3
    y = rng.normal(size=n)[clinic] + rng.normal(size=n * n_months)
    y = y + effect * (treated & (month >= 5))
    start = np.where(treated, 5.0, np.nan)
    size = rng.normal(size=n)[clinic]
    return pd.DataFrame(
        {
            "clinic": clinic,
            "region": clinic // 2,
            "month": month,
            "start": start,
            "y": y,
            "size": size,
        }
    )


def events(effect) -> pd.DataFrame:
    return effect.estimates.query("term == 'event time'").set_index("event_time")


# --- by hand --------------------------------------------------------------------------------------


def test_each_event_time_is_a_difference_of_changes_with_the_error_of_two_means():
    values = {"a": [10.0, 12, 17], "b": [20.0, 20, 27], "c": [30.0, 31, 31], "d": [5.0, 7, 9]}
    table = pd.DataFrame(
        [
            {"clinic": name, "month": month, "start": 3.0 if name in "ab" else None, "y": y}
            for name, series in values.items()
            for month, y in enumerate(series, start=1)
        ]
    )
    effect = event_study(table, **CLINIC, seed=1)
    rows = events(effect)
    # Since month 2: in month 3 a +5, b +7, c 0, d +2; in month 1 a -2, b 0, c -1, d -2.
    assert rows["estimate"].tolist() == pytest.approx([(-1) - (-1.5), 0, 6 - 1])
    assert rows.loc[0, "std_error"] == pytest.approx(np.sqrt(2 / 2 + 2 / 2))
    assert rows.loc[-2, "std_error"] == pytest.approx(np.sqrt(2 / 2 + 0.5 / 2))
    assert rows["period"].tolist() == [1, 2, 3]
    # Two groups of two: Satterthwaite counts one degree of freedom for each.
    assert effect.checks.set_index("check").loc["degrees_of_freedom", "statistic"] == pytest.approx(
        2
    )
    assert effect.failed == ["degrees_of_freedom"]
    half = student(2).ppf(0.975) * np.sqrt(2)
    assert effect.headline["conf_high"] == pytest.approx(5 + half)
    assert effect.facts.levels == pytest.approx({0: 22 - 5, 1: 22})


# --- against separate regressions -----------------------------------------------------------------


@pytest.mark.parametrize("cluster", [None, "region"])
@pytest.mark.parametrize("covariates", [None, ["size"]])
def test_each_row_is_a_regression_of_its_change(cluster, covariates):
    table = drawn(1)
    effect = event_study(table, **CLINIC, cluster=cluster, covariates=covariates, seed=1)
    wide = table.pivot_table(index="clinic", columns="month", values="y")
    first = table.groupby("clinic").first()
    x = np.column_stack([np.ones(24), first["start"].notna()]).astype(float)
    if covariates:
        x = np.column_stack([x, first["size"]])
    by = first["region"].to_numpy() if cluster else np.arange(24)
    for event_time in (-4, -2, 0, 2):
        change = (wide[event_time + 5] - wide[4]).to_numpy()
        estimate, error, df = fit_linear(x, change, cluster=by).contrast(np.eye(x.shape[1])[1])
        row = events(effect).loc[event_time]
        assert row["estimate"] == pytest.approx(estimate)
        assert row["std_error"] == pytest.approx(error)
        assert effect.checks.set_index("check").loc["degrees_of_freedom", "statistic"] == (
            pytest.approx(df)
        )
    change = (wide[[5, 6, 7]].mean(axis=1) - wide[4]).to_numpy()
    estimate, error, _ = fit_linear(x, change, cluster=by).contrast(np.eye(x.shape[1])[1])
    assert effect.headline["estimate"] == pytest.approx(estimate)
    assert effect.headline["std_error"] == pytest.approx(error)


def test_estimates_are_those_of_the_staggered_design_with_one_start():
    table = drawn(2)
    rows = events(event_study(table, **CLINIC, seed=1))
    other = staggered_difference_in_differences(table, **CLINIC, seed=1).estimates
    other = other.query("term == 'dynamic' and event_time.notna()").set_index("event_time")
    np.testing.assert_allclose(rows["estimate"], other["estimate"], atol=1e-12)


# --- properties -----------------------------------------------------------------------------------


def test_the_band_holds_all_event_times_at_once():
    covered, alone = [], []
    for seed in range(120):
        rows = events(event_study(drawn(seed, effect=0), **CLINIC, seed=seed, n_draws=1000))
        rows = rows.dropna(subset=["std_error"])
        covered.append((rows["band_low"].lt(0) & rows["band_high"].gt(0)).all())
        alone.append((rows["conf_low"].lt(0) & rows["conf_high"].gt(0)).all())
    # Three Monte-Carlo errors of 120 draws are 6 points; one interval alone misses far oftener.
    assert np.mean(covered) >= 0.89
    assert np.mean(alone) < 0.87


def test_order_and_engine_of_rows_change_nothing(engine):
    found = event_study(engine.make(drawn(3)), **CLINIC, seed=1)
    pd.testing.assert_frame_equal(
        found.estimates, event_study(drawn(3), **CLINIC, seed=1).estimates
    )


def test_columns_are_those_of_estimates_and_checks(assert_columns):
    effect = event_study(drawn(3), **CLINIC, seed=1)
    own = ["period", "event_time", "band_low", "band_high"]
    assert list(effect.estimates)[:5] == ["term", *own]
    assert_columns(effect.estimates.drop(columns=own).assign(n_events=0), "estimates")
    assert_columns(effect.checks, "checks")


def test_what_a_look_at_the_leads_could_have_found_stands_among_the_checks():
    checks = event_study(drawn(3), **CLINIC, seed=1).checks.set_index("check")
    assert checks.loc["detectable_slope", "statistic"] > 0
    assert checks.loc["detectable_slope", "passed"] is None


# --- refusals -------------------------------------------------------------------------------------


def test_several_starts_are_refused_with_the_call_that_works(three_clinics):
    with pytest.raises(DesignError, match="call staggered_difference_in_differences") as error:
        event_study(three_clinics, **CLINIC, seed=1)
    assert error.value.guard == "adoption dates"


def test_an_arm_with_a_single_cluster_is_refused(three_clinics):
    with pytest.raises(DataError, match="an arm has a single cluster"):
        event_study(three_clinics.query("clinic != 'b'"), **CLINIC, seed=1)


def test_clinics_assigned_but_patients_analysed_is_refused():
    table = drawn(1).rename(columns={"clinic": "patient_id", "region": "facility_id"})
    with pytest.raises(DesignError, match="give cluster='facility_id'"):
        event_study(table, **(CLINIC | {"unit": "patient_id"}), seed=1)


def test_no_period_before_the_start_is_refused():
    with pytest.raises(DataError, match="leaves 8 of 24 units no period before treatment"):
        event_study(drawn(1).query("month >= 5"), **CLINIC, seed=1)


def test_a_covariate_that_the_arm_determines_is_refused():
    table = drawn(1).assign(size=lambda t: t["start"].notna() * 1.0)
    with pytest.raises(DataError, match="determined by the arm"):
        event_study(table, **CLINIC, covariates=["size"], seed=1)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"seed": -1}, "seed=-1 must be a whole number"),
        ({"n_draws": 10}, "n_draws=10 must be"),
        ({"better": "more"}, "better='more' must be"),
        ({"conf_level": 0}, "conf_level=0 must be"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(setting, message):
    with pytest.raises(UsageError, match=message):
        event_study(drawn(1), **CLINIC, **({"seed": 1} | setting))
