"""What must hold of every estimator, whatever the data: tried on random tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from loyalty_research.retention.cox import cox_regression, fit_cox
from loyalty_research.retention.cox_residuals import cox_residuals
from loyalty_research.retention.cumulative_hazard import nelson_aalen
from loyalty_research.retention.cumulative_incidence import cumulative_incidence
from loyalty_research.retention.curves import kaplan_meier
from loyalty_research.retention.exits import count_exits
from loyalty_research.retention.gray import gray_test
from loyalty_research.retention.group_tests import logrank_test
from loyalty_research.retention.mean_cumulative_count import mean_cumulative_count
from loyalty_research.retention.restricted_mean import restricted_mean_time
from loyalty_research.retention.risk_sets import combine_counts, risk_sets

CAUSES = ["censored", "lapsed", "died", "moved"]
quick = settings(max_examples=40, deadline=None, derandomize=True)


@st.composite
def patients(draw: st.DrawFn, *, smallest: int = 2, largest: int = 30) -> pd.DataFrame:
    """Return a small table with heavy ties, events at time 0 and groups that may lack events."""
    n = draw(st.integers(smallest, largest))
    rows = draw(
        st.lists(
            st.tuples(
                st.integers(0, 8),
                st.sampled_from(CAUSES),
                st.integers(0, 1),
                st.integers(1, 4),
                st.integers(0, 5),
            ),
            min_size=n,
            max_size=n,
        )
    )
    table = pd.DataFrame(rows, columns=["time", "cause", "arm", "n", "x"])
    # Somebody leaves: where nobody does, incidences are refused.
    table.loc[0, "cause"] = "lapsed"
    return table.assign(event=table["cause"] == "lapsed", patient_id=np.arange(n))


def repeated(table: pd.DataFrame) -> pd.DataFrame:
    """Return each row as often as its frequency says."""
    return table.loc[table.index.repeat(table["n"])].reset_index(drop=True)


CURVES = {
    "kaplan_meier": lambda rows, **more: kaplan_meier(rows, by="arm", **more),
    "nelson_aalen": lambda rows, **more: nelson_aalen(rows, by="arm", **more),
    "cumulative_incidence": lambda rows, **more: cumulative_incidence(
        rows, event="cause", by="arm", **more
    ),
    "risk_sets": lambda rows, **more: risk_sets(rows, by="arm", **more),
}
TESTS = {
    "logrank_test": lambda rows, **more: logrank_test(rows, by="arm", **more),
    "gray_test": lambda rows, **more: gray_test(rows, by="arm", event="cause", **more),
}


@pytest.mark.parametrize("name", CURVES)
@quick
@given(table=patients())
def test_compressed_is_expanded(name, table):
    expanded = CURVES[name](repeated(table))
    compressed = CURVES[name](table, freq="n")
    pd.testing.assert_frame_equal(compressed, expanded, rtol=1e-12)


@pytest.mark.parametrize("name", CURVES)
@quick
@given(table=patients(), seed=st.integers(0, 99))
def test_the_order_of_rows_does_not_matter(name, table, seed):
    shuffled = table.sample(frac=1, random_state=seed)
    pd.testing.assert_frame_equal(CURVES[name](shuffled), CURVES[name](table), rtol=1e-12)


@pytest.mark.parametrize("name", CURVES)
@quick
@given(table=patients())
def test_an_entry_before_everything_is_no_entry(name, table):
    later = table.assign(time=table["time"] + 1, entry=0)
    late = CURVES[name](later, entry="entry")
    pd.testing.assert_frame_equal(late[late["time"] > 0], CURVES[name](later).query("time > 0"))


@pytest.mark.parametrize("name", ["kaplan_meier", "nelson_aalen", "cumulative_incidence"])
@quick
@given(table=patients(), days=st.integers(1, 400))
def test_days_can_be_shifted(name, table, days):
    late = table.assign(time=table["time"] + 1, entry=0)
    moved = late.assign(time=late["time"] + days, entry=days)
    shares = ["estimate", "std_error", "conf_low", "conf_high", "n_at_risk"]
    here = CURVES[name](late, entry="entry").query("time > 0")[shares]
    there = CURVES[name](moved, entry="entry").query("time > 0")[shares]
    pd.testing.assert_frame_equal(there.reset_index(drop=True), here.reset_index(drop=True))


@pytest.mark.parametrize("name", ["kaplan_meier", "nelson_aalen", "cumulative_incidence"])
@quick
@given(table=patients(), cut=st.integers(1, 7))
def test_an_interval_split_in_two_changes_nothing(name, table, cut):
    whole = table.assign(time=table["time"] + 1, entry=0)
    is_long = whole["time"] > cut
    first = whole[is_long].assign(time=cut, event=False, cause="censored")
    second = whole.assign(entry=np.where(is_long, cut, 0))
    split = CURVES[name](pd.concat([first, second]), entry="entry").query("time > 0")
    expected = CURVES[name](whole, entry="entry").query("time > 0")
    both = split.merge(expected, on=[c for c in ("arm", "cause", "time") if c in expected])
    assert len(both) == len(expected)
    # The first piece ends as "censored", and whoever remains is at risk as before.
    np.testing.assert_array_equal(both["n_at_risk_x"], both["n_at_risk_y"])
    np.testing.assert_allclose(both["estimate_x"], both["estimate_y"], atol=1e-12)


@pytest.mark.parametrize("name", TESTS)
@quick
@given(table=patients(smallest=6), seed=st.integers(0, 99))
def test_tests_see_neither_the_order_of_rows_nor_their_compression(name, table, seed):
    assume(table["arm"].nunique() == 2)
    expected = TESTS[name](repeated(table).sample(frac=1, random_state=seed))
    pd.testing.assert_frame_equal(TESTS[name](table, freq="n"), expected, rtol=1e-9)


@quick
@given(table=patients(smallest=4), share=st.integers(1, 3))
def test_shards_merged_are_the_whole(table, share):
    names = {"time": "time", "event": "event", "entry": None, "by": "arm"}
    shards = [count_exits(part, **names)[0] for _, part in table.groupby(table.index % share)]
    pd.testing.assert_frame_equal(
        combine_counts(pd.concat(shards), None, by="arm"), risk_sets(table, by="arm")
    )


@quick
@given(table=patients())
def test_incidences_and_retention_add_up_to_one(table):
    of_causes = cumulative_incidence(table, event="cause", by="arm")
    stay = kaplan_meier(table.assign(event=table["cause"] != "censored"), by="arm")
    total = of_causes.groupby(["arm", "time"])["estimate"].sum()
    both = stay.set_index(["arm", "time"])["estimate"].add(total, fill_value=0)
    np.testing.assert_allclose(both, 1, atol=1e-12)


@quick
@given(table=patients(), horizon=st.integers(1, 8))
def test_the_restricted_mean_is_the_area_under_the_curve(table, horizon):
    # Somebody is seen until the horizon, so that the area is known.
    seen = pd.concat([table, table.head(1).assign(time=9, event=False)])
    curve = kaplan_meier(seen, times=range(horizon))
    mean = restricted_mean_time(seen, horizon=horizon)["estimate"].item()
    assert mean == pytest.approx(curve["estimate"].sum(), rel=1e-12)


@quick
@given(table=patients())
def test_with_one_return_each_the_mean_count_is_the_cumulative_hazard(table):
    rows = table.assign(start=0, stop=table["time"] + 1)
    count = mean_cumulative_count(rows, patient="patient_id", event="event")
    hazard = nelson_aalen(rows, time="stop")
    np.testing.assert_allclose(count["estimate"], hazard["estimate"], atol=1e-12)


def cox_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Return rows on which a Cox model can be fitted: both arms have events and none separates."""
    rows = table.assign(time=table["time"] + 1)
    # Two of each arm at both ends of time keep the likelihood from running away.
    ends = pd.DataFrame(
        {
            "time": [1, 1, 9, 9, 1, 1, 9, 9],
            "event": [True, True, True, True, True, True, True, True],
            "arm": [0, 1, 0, 1, 0, 1, 0, 1],
            "x": [0, 5, 5, 0, 5, 0, 0, 5],
            "n": 1,
        }
    )
    return pd.concat([rows, ends], ignore_index=True)


SHARES = ["estimate", "std_error"]


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@quick
@given(table=patients(smallest=8), seed=st.integers(0, 99))
def test_a_cox_model_sees_neither_order_nor_compression(ties, table, seed):
    rows = cox_rows(table)
    model = {"covariates": ["arm", "x"], "ties": ties}
    expected = cox_regression(repeated(rows).sample(frac=1, random_state=seed), **model)[SHARES]
    compressed = cox_regression(rows, freq="n", **model)[SHARES]
    np.testing.assert_allclose(compressed, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@quick
@given(table=patients(smallest=8), cut=st.integers(1, 7))
def test_a_cox_model_does_not_see_a_split_interval(ties, table, cut):
    rows = cox_rows(table).assign(entry=0)
    is_long = rows["time"] > cut
    split = pd.concat(
        [
            rows[is_long].assign(time=cut, event=False),
            rows.assign(entry=np.where(is_long, cut, 0)),
        ]
    )
    model = {"covariates": ["arm", "x"], "ties": ties}
    whole = cox_regression(rows, **model)[SHARES]
    pieces = cox_regression(split, entry="entry", **model)[SHARES]
    np.testing.assert_allclose(pieces, whole, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@quick
@given(table=patients(smallest=8))
def test_martingale_residuals_add_up_to_zero(ties, table):
    model = fit_cox(cox_rows(table), covariates=["arm", "x"], ties=ties)
    residuals = cox_residuals(model, kind="martingale")
    assert residuals["residual"].sum() == pytest.approx(0, abs=1e-8)
