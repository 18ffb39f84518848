"""A roll-out over clinics: as lme4 fits it, by hand, and as often right as it says."""

import math

import numpy as np
import pandas as pd
import pytest

from loyalty_research.effects.linear import fit_linear
from loyalty_research.effects.nested_model import fit_nested, gather_cells, whitened_rows
from loyalty_research.effects.roll_out_rows import crossing_counts, periods_since
from loyalty_research.effects.stepped_wedge import stepped_wedge_effect
from loyalty_research.errors import DataError, DesignError, UsageError

COLUMNS = {"outcome": "y", "cluster": "clinic", "period": "period", "treated": "treated"}


def effect_of(data, **settings):
    return stepped_wedge_effect(data, **{**COLUMNS, "randomised": True, **settings})


def wedge(seed, *, growing=False, clinics=12, periods=5, size=20):
    """Setting C: ICC 0.05, CAC 0.8, trend 0.08; effect 0.3, or 0.3 (1 + k / 2) growing."""
    rng = np.random.default_rng(seed)
    start = 1 + np.arange(clinics) * (periods - 1) // clinics
    clinic = np.repeat(np.arange(clinics), periods * size)
    period = np.tile(np.repeat(np.arange(periods), size), clinics)
    passed = period - start[clinic]
    effect = np.where(passed >= 0, 0.3 * (1 + 0.5 * passed * growing), 0)
    level = rng.normal(0, math.sqrt(0.04), clinics)[clinic]
    change = rng.normal(0, math.sqrt(0.01), (clinics, periods))[clinic, period]
    y = 0.08 * period + effect + level + change + rng.normal(0, math.sqrt(0.95), len(clinic))
    treated = (passed >= 0).astype(int)
    return pd.DataFrame({"clinic": clinic, "period": period, "treated": treated, "y": y})


# --- the model ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "frame", "settings"),
    [
        ("uneven_exposure", "uneven", {}),
        ("uneven_constant", "uneven", {"exposure_time": False}),
        ("uneven_age", "uneven", {"covariates": ["age"]}),
        ("balanced_exposure", "balanced", {}),
    ],
)
def test_the_model_is_that_of_lme4_with_kenward_and_rogers_errors(published, name, frame, settings):
    stored = published("stepped_wedge")
    data, told = pd.DataFrame(stored["data"][frame]), stored[name]
    found = effect_of(data, **settings)
    head = found.headline
    # lme4's search stops when its steps are below 1e-7 or so of the variances.
    assert head["estimate"] == pytest.approx(told["estimate"], rel=1e-6)
    assert head["std_error"] == pytest.approx(told["std_error"], rel=1e-6)
    v = told["variances"]
    between = v["clinic"] + v["clinic:period"]
    assert found.facts.more["icc"] == pytest.approx(between / (between + v["Residual"]), rel=1e-5)
    assert found.facts.more["cac"] == pytest.approx(v["clinic"] / between, rel=1e-5)


def test_degrees_of_freedom_and_likelihood_are_those_of_pbkrtest_and_lme4(published):
    stored = published("stepped_wedge")
    data, told = pd.DataFrame(stored["data"]["uneven"]), stored["uneven_constant"]
    x = np.column_stack([data["period"].to_numpy()[:, None] == np.arange(5), data["treated"]])
    cells = gather_cells(
        data["clinic"].to_numpy(), data["period"].to_numpy(), x.astype(float), data["y"].to_numpy()
    )
    fit = fit_nested(cells)
    c = np.array([0, 0, 0, 0, 0, 1.0])
    assert fit.contrast(c)[2] == pytest.approx(told["df"], rel=1e-6)
    assert math.sqrt(c @ fit.covariance @ c) == pytest.approx(told["model_error"], rel=1e-6)
    assert fit.deviance == pytest.approx(told["deviance"], rel=1e-10)
    assert fit.deviance == pytest.approx(stored["nlme_constant"]["deviance"], rel=1e-8)
    assert fit.beta[5] == pytest.approx(stored["nlme_constant"]["estimate"], rel=1e-6)


def test_one_row_a_clinic_and_period_is_enough(published):
    stored = published("stepped_wedge")
    data, told = pd.DataFrame(stored["data"]["balanced"]), stored["cell_means"]
    means = data.groupby(["clinic", "period", "treated"], as_index=False)["y"].mean()
    found = effect_of(means, exposure_time=False)
    assert found.headline["estimate"] == pytest.approx(told["estimate"], rel=1e-6)
    assert found.headline["std_error"] == pytest.approx(told["std_error"], rel=1e-6)
    message = found.checks.set_index("check").loc["correlation", "message"]
    assert "one row each cannot tell change from chance" in message


def test_the_fit_is_least_squares_of_its_whitened_rows():
    data = wedge(3)
    rng = np.random.default_rng(1)
    periods = data["period"].to_numpy()[:, None] == np.arange(5)
    x = np.column_stack([periods, data["treated"], rng.normal(size=len(data))]).astype(float)
    clinic, period = data["clinic"].to_numpy(), data["period"].to_numpy()
    fit = fit_nested(gather_cells(clinic, period, x, data["y"].to_numpy()))
    white_x, white_y, codes = whitened_rows(
        gather_cells(clinic, period, x, data["y"].to_numpy()), fit.variances
    )
    robust = fit_linear(white_x, white_y, cluster=codes)
    np.testing.assert_allclose(robust.beta, fit.beta, rtol=1e-9)
    np.testing.assert_allclose(robust.bread, fit.covariance, rtol=1e-9)
    # The same as the whole covariance of all patients, written out.
    same = clinic[:, None] == clinic
    v = fit.variances[0] * np.eye(len(data)) + fit.variances[2] * same
    v += fit.variances[1] * (same & (period[:, None] == period))
    inverse = np.linalg.inv(v)
    np.testing.assert_allclose(np.linalg.inv(x.T @ inverse @ x), fit.covariance, rtol=1e-8)
    np.testing.assert_allclose(
        np.linalg.solve(x.T @ inverse @ x, x.T @ inverse @ data["y"]), fit.beta, rtol=1e-8
    )


def test_without_correlation_the_effect_is_least_squares_by_hand():
    # Three clinics, three periods, two cross in turn. With no variance between clinics the effect
    # is that of least squares with an indicator a period: in period 1 nobody has it; in period 2
    # one of three, in period 3 two of three. Within periods, treated less untreated has the weights
    # n1 n0 / n = 2/3 each: the effect is the mean of the two differences.
    y = np.array([[1.0, 5, 6], [2, 2, 7], [3, 1, 2]])
    noise = np.array([1.0, -1.0])
    rows = [
        {"clinic": i, "period": j, "treated": int(j > i), "y": y[i, j] + 30 * e}
        for i in range(3) for j in range(3) for e in noise
    ]  # fmt: skip
    found = effect_of(pd.DataFrame(rows), exposure_time=False)
    by_hand = ((5 - (2 + 1) / 2) + ((6 + 7) / 2 - 2)) / 2
    assert found.facts.more["icc"] == pytest.approx(0, abs=1e-9)
    assert found.headline["estimate"] == pytest.approx(by_hand)


# --- rows -----------------------------------------------------------------------------------------


def test_the_average_weighs_each_time_by_its_clinic_periods():
    found = effect_of(wedge(1, growing=True)).estimates
    times = found[found["term"] == "time since crossing"]
    assert times["exposure_time"].tolist() == [1, 2, 3, 4]
    # Three clinics a step: 12, 9, 6 and 3 clinic-periods of 20 patients.
    assert times["n"].tolist() == [240, 180, 120, 60]
    weighed = np.average(times["estimate"], weights=[12, 9, 6, 3])
    assert found["estimate"].iloc[0] == pytest.approx(weighed)
    assert found["estimate"].iloc[1] == pytest.approx(times["estimate"].mean())
    assert found["term"].iloc[-1] == "average effect, CR2"
    assert found["estimate"].iloc[-1] == pytest.approx(weighed)


def test_estimates_have_the_fixed_columns(assert_columns):
    table = effect_of(wedge(1)).estimates
    filled = table.assign(n_events=0)
    assert_columns(filled, "estimates", groups=["exposure_time"])


def test_the_order_of_rows_and_the_frame_do_not_matter(engine):
    data = wedge(2, size=4)
    found = effect_of(engine.make(data)).estimates
    whole = effect_of(data).estimates
    pd.testing.assert_frame_equal(found, whole, rtol=1e-6)


def test_a_shift_and_another_unit_of_the_outcome_move_only_the_scale():
    data = wedge(4)
    there = effect_of(data.assign(y=1e5 + 1000 * data["y"])).headline
    here = effect_of(data).headline
    for name in ("estimate", "std_error", "conf_low", "conf_high"):
        assert there[name] == pytest.approx(1000 * here[name], rel=1e-6)
    assert there["p_value"] == pytest.approx(here["p_value"], rel=1e-5)


def test_dates_and_names_of_clinics_count_as_numbers_do():
    data = wedge(5)
    told = data.assign(
        period=pd.to_datetime("2024-01-01") + pd.to_timedelta(91 * data["period"], unit="D"),
        clinic="clinic " + data["clinic"].astype(str).str.zfill(2),
    )
    assert effect_of(told).headline["estimate"] == pytest.approx(
        effect_of(data).headline["estimate"]
    )


def test_levels_are_those_of_the_clinic_periods_with_the_programme():
    data = wedge(9)
    found = effect_of(data)
    means = data[data["treated"] == 1].groupby(["clinic", "period"])["y"].mean()
    assert found.facts.levels[1] == pytest.approx(means.mean())
    assert found.facts.levels[0] == pytest.approx(means.mean() - found.headline["estimate"])
    assert "1,200 patients in 12 clusters" in found.sentence()
    cells = effect_of(data.groupby(["clinic", "period", "treated"], as_index=False)["y"].mean())
    assert "60 clinic-periods in 12 clusters" in cells.sentence()


def test_events_are_counted_and_shares_compared():
    rng = np.random.default_rng(6)
    data = wedge(6).assign(y=lambda t: (rng.random(len(t)) < 0.3 + 0.2 * t["treated"]).astype(int))
    found = effect_of(data)
    assert found.headline["scale"] == "risk difference"
    assert found.headline["n_events"] == data["y"].sum()
    assert "percentage points" in found.sentence()


def test_missing_outcomes_are_left_out_and_counted():
    data = wedge(7)
    holes = data.assign(y=data["y"].where(data.index % 10 != 0))
    found = effect_of(holes)
    assert sum(found.facts.n_missing.values()) == 120
    dropped = effect_of(holes.dropna())
    assert found.headline["estimate"] == pytest.approx(dropped.headline["estimate"])


def test_millions_of_patients_are_their_sums():
    # Every patient a hundred times: the fit sees sums, so that it takes no longer.
    data = wedge(8, clinics=8, size=3000)
    found = effect_of(data)
    assert found.headline["n"] == 120_000
    assert abs(found.headline["estimate"] - 0.3) < 4 * found.headline["std_error"]


# --- truth ----------------------------------------------------------------------------------------


def test_a_growing_effect_is_found_and_a_constant_one_misses_it():
    # Setting C: truth 0.45. Of 30 studies the constant model is off by some 0.17.
    free, constant, inside = [], [], []
    for seed in range(30):
        data = wedge(seed + 100, growing=True)
        head = effect_of(data).headline
        free.append(head["estimate"])
        inside.append(head["conf_low"] <= 0.45 <= head["conf_high"])
        constant.append(effect_of(data, exposure_time=False).headline["estimate"])
    spread = np.std(free) / math.sqrt(30)
    assert np.mean(free) == pytest.approx(0.45, abs=3 * spread)
    assert np.mean(constant) < 0.45 - 0.1
    assert np.mean(inside) >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / 30)


def test_model_errors_are_the_spread_of_repeated_studies():
    heads = [effect_of(wedge(seed + 500), exposure_time=False).headline for seed in range(50)]
    spread = np.std([head["estimate"] for head in heads], ddof=1)
    told = np.mean([head["std_error"] for head in heads])
    assert told / spread == pytest.approx(1, abs=3 / math.sqrt(2 * 50))


# --- checks ---------------------------------------------------------------------------------------


def check_of(effect, name):
    return effect.checks.set_index("check").loc[name]


def test_an_order_that_chance_did_not_decide_withholds():
    found = effect_of(wedge(1), randomised=False)
    assert found.failed == ["assignment"]
    assert not found.facts.causal


def test_a_constant_effect_is_named_an_assumption_and_fails_where_it_grows():
    constant = effect_of(wedge(1), exposure_time=False)
    assert "one constant effect is assumed" in check_of(constant, "constant effect")["message"]
    assert pd.isna(check_of(constant, "constant effect")["passed"])
    data = wedge(2, growing=True).assign(y=lambda t: t["y"] + t["period"] * t["treated"])
    growing = effect_of(data, exposure_time=False)
    assert growing.failed == ["constant effect"]
    assert "use exposure_time=True" in check_of(growing, "constant effect")["message"]
    assert effect_of(data).failed == []


def test_gaps_and_clinics_that_do_not_cross_are_counted():
    data = wedge(3)
    # Clinic 0 crosses in period 1; nobody is seen in its period 0, nor in period 2 of clinic 11.
    gone = (data["clinic"].eq(0) & data["period"].eq(0)) | (
        data["clinic"].eq(11) & data["period"].eq(2)
    )
    never = pd.DataFrame({"clinic": 12, "period": np.repeat(range(5), 9), "treated": 0}).assign(
        y=lambda t: 0.08 * t["period"] + np.sin(np.arange(len(t)))
    )
    found = effect_of(pd.concat([data[~gone], never]))
    steps = check_of(found, "steps")["message"]
    assert "11 clusters cross in 4 steps, 1 never do" in steps
    assert "1 have the programme from their first period" in steps
    gaps = check_of(found, "gaps")["message"]
    assert "2 of 65 clinic-periods hold no one" in gaps
    assert "1 cluster may have crossed in one of them, unseen" in gaps


def test_few_clinics_withhold():
    data = wedge(4, clinics=3, periods=4, size=4)
    found = effect_of(data, exposure_time=False)
    assert check_of(found, "clusters")["statistic"] < 30
    small = pd.DataFrame(
        {"clinic": [0, 0, 0, 1, 1, 1], "period": [0, 1, 2] * 2, "treated": [0, 1, 1, 0, 0, 1],
         "y": [1.0, 4, 3, 2, 2, 7]}
    )  # fmt: skip
    assert "clusters" in effect_of(small, exposure_time=False).failed


def test_time_since_crossing_by_hand():
    status = np.array([[0, 1, np.nan, 1], [1, 1, 1, 1], [0, 0, 0, 0], [np.nan, 0, 0, 1]])
    assert periods_since(status).tolist() == [[0, 1, 2, 3], [1, 2, 3, 4], [0] * 4, [0, 0, 0, 1]]
    assert crossing_counts(status) == {"crossing": 2, "never": 1, "always": 1, "steps": 2}


# --- refusals -------------------------------------------------------------------------------------


def test_a_programme_that_is_taken_away_again_is_refused():
    data = wedge(1)
    back = data.assign(
        treated=data["treated"].where(~(data["clinic"].eq(0) & data["period"].eq(4)), 0)
    )
    with pytest.raises(DesignError, match="1 clusters lose the programme again") as caught:
        effect_of(back)
    assert caught.value.guard == "withdrawn"
    found = effect_of(back, override={"withdrawn": "the effect ends with the programme"})
    assert found.facts.overrides == {"withdrawn": "the effect ends with the programme"}
    assert found.estimates["exposure_time"].max() == 4


def test_a_parallel_comparison_is_refused_with_the_call_that_works():
    data = wedge(1).assign(treated=lambda t: (t["clinic"] < 6).astype(int))
    with pytest.raises(DesignError, match=r"mean_difference\(..., cluster=...\)"):
        effect_of(data)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.assign(treated=1), "every row is with the programme"),
        (lambda t: t.assign(treated=0), "every row is without the programme"),
        (lambda t: t.assign(treated=t["treated"] + 1), "treated is 1 or 2, not 0 or 1"),
        (lambda t: t.assign(treated=t.index % 2), "clinic-periods hold rows with and without"),
        (lambda t: t.assign(period="late"), "period is .* no order of their own"),
        (lambda t: t.drop(columns="clinic"), "column clinic is missing"),
        (lambda t: t.assign(clinic=t["clinic"].where(t.index > 3)), "clinic is missing in 4 of"),
        (lambda t: t.assign(y=np.inf), "y is infinite"),
        (lambda t: t.assign(y=1.0), "have the same outcome"),
        (
            lambda t: t.assign(y=t.groupby(["clinic", "period"])["y"].transform("mean")),
            "all patients of a clinic in a period have the same outcome",
        ),
        (
            lambda t: t.drop_duplicates(["clinic", "period"]).assign(y=lambda u: 0.1 * u["period"]),
            "without chance",
        ),
        (
            lambda t: t.assign(treated=(t["period"] > 1).astype(int)),
            "time since crossing 1 cannot be told from what stands before it",
        ),
        (lambda t: t[t["clinic"] == 0], "there are 1 clusters and 5 periods"),
    ],
)
def test_data_that_cannot_tell_are_refused(change, words):
    with pytest.raises(DataError, match=words):
        effect_of(change(wedge(1, size=4)))


def test_more_coefficients_than_clinic_periods_are_refused():
    data = pd.DataFrame(
        {
            "clinic": [0, 0, 1, 1],
            "period": [0, 1, 0, 1],
            "treated": [0, 1, 0, 0],
            "y": [1.0, 2, 4, 4],
        }
    )
    with pytest.raises(DataError, match="4 clinic-periods for 3 coefficients"):
        effect_of(data)


def test_arguments_that_cannot_be_meant_are_refused():
    with pytest.raises(UsageError, match="better='more' must be"):
        effect_of(wedge(1), better="more")
    with pytest.raises(UsageError, match="exposure_time must be True or False"):
        effect_of(wedge(1), exposure_time="yes")
    with pytest.raises(UsageError, match="is no guard of this design"):
        effect_of(wedge(1), override={"overlap": "because it is fine"})
