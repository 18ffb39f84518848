"""Nothing that is published tells about a single patient."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loyalty_research.display.disclosure import (
    count_suppressed,
    suppress_curve,
    suppress_small_counts,
)
from loyalty_research.errors import UsageError

COUNTS = st.lists(st.integers(0, 60), min_size=1, max_size=8)


def table(*counts):
    return pd.DataFrame({"n": counts})


def test_counts_from_1_to_7_are_hidden_and_the_others_rounded_to_5():
    shown = suppress_small_counts(table(0, 1, 7, 8, 12, 13, 1002), counts=["n"])
    assert shown["n"].tolist() == [0, pd.NA, pd.NA, 10, 10, 15, 1000]
    assert shown["suppressed"].tolist() == [0, 1, 1, 0, 0, 0, 0]


def test_the_hidden_counts_are_counted():
    first = suppress_small_counts(table(3, 4, 50), counts=["n"])
    second = suppress_small_counts(table(90), counts=["n"])
    assert count_suppressed(first, second, table(1)) == 2


def test_for_the_internal_audience_nothing_changes():
    shown = suppress_small_counts(table(3, 8), counts=["n"], audience="internal")
    pd.testing.assert_frame_equal(shown, table(3, 8))


def test_the_table_given_is_not_changed():
    given_table = table(3, 8)
    suppress_small_counts(given_table, counts=["n"])
    pd.testing.assert_frame_equal(given_table, table(3, 8))


def test_what_is_missing_already_stays_missing_and_is_not_counted_as_hidden():
    shown = suppress_small_counts(pd.DataFrame({"n": [None, 20]}), counts=["n"])
    assert shown["n"].tolist() == [pd.NA, 20]
    assert count_suppressed(shown) == 0


def test_rates_are_made_again_from_rounded_counts_with_wilsons_interval(triangle):
    shown = suppress_small_counts(
        triangle,
        counts=["n_patients", "n_retained"],
        rates={"estimate": ("n_retained", "n_patients")},
    )
    # 22 of 40 becomes 20 of 40: 0.5, Wilson 0.3520 to 0.6480; 4 of 40 is hidden.
    second = shown.iloc[1]
    assert (second["n_retained"], second["n_patients"], second["estimate"]) == (20, 40, 0.5)
    assert (second["conf_low"], second["conf_high"]) == pytest.approx((0.3520, 0.6480), abs=5e-5)
    assert shown.iloc[2][["n_retained", "estimate", "conf_low"]].isna().all()
    # 26 of 52 becomes 25 of 50.
    assert shown.iloc[4]["estimate"] == 0.5


def test_a_rate_of_nobody_is_missing():
    shares = pd.DataFrame({"k": [0], "n": [0], "estimate": [np.nan]})
    shown = suppress_small_counts(shares, counts=["k", "n"], rates={"estimate": ("k", "n")})
    assert shown["estimate"].isna().all()


def test_without_a_level_a_new_rate_has_no_interval():
    shares = pd.DataFrame({"k": [10], "n": [20], "estimate": 0.5, "conf_low": 0.3})
    shown = suppress_small_counts(shares, counts=["k", "n"], rates={"estimate": ("k", "n")})
    assert shown["conf_low"].isna().all()


def test_a_row_with_a_hidden_count_loses_what_would_betray_it():
    estimates = pd.DataFrame(
        {"n": [3, 300], "estimate": 1 / 3, "std_error": 0.27, "conf_low": 0.1, "p_value": 0.5}
    )
    shown = suppress_small_counts(estimates, counts=["n"])
    assert shown.loc[0, ["estimate", "std_error", "conf_low", "p_value"]].isna().all()
    # A third in 300 patients: two decimals, see the test of means below; no error beside it.
    assert shown.loc[1, ["estimate", "p_value"]].tolist() == [0.33, 0.5]
    assert shown["std_error"].isna().all()


def test_a_mean_beside_a_count_does_not_give_the_exact_count_back():
    # 47 / 13 = 3.6153846 is no mean of 11, 12, 14 or 15 whole scores; 3.6 is one of each of them.
    cells = pd.DataFrame([(n, k / n) for n in range(8, 201) for k in range(n, 5 * n + 1)])
    cells.columns = ["n", "estimate"]
    shown = suppress_small_counts(cells, counts=["n"])
    assert shown.loc[(cells["n"] == 13) & (cells["estimate"] == 47 / 13), "estimate"].item() == 3.6
    fitting = cells["n"].groupby([shown["n"], shown["estimate"]]).nunique()
    assert fitting.min() >= 2
    assert (shown["estimate"] - cells["estimate"]).abs().max() <= 0.05 + 1e-9


@pytest.mark.parametrize(("n", "told"), [(43, 0.4), (430, 0.43), (4300, 0.429), (43_000, 0.429)])
def test_a_mean_of_more_patients_keeps_more_decimals(n, told):
    names = ["estimate", "conf_low", "conf_high", "mean", "median", "quantile", "sd"]
    cells = pd.DataFrame({"n": [n], **dict.fromkeys(names, 3 / 7)})
    shown = suppress_small_counts(cells, counts=["n"])
    assert shown[names].iloc[0].tolist() == [told] * 7
    pd.testing.assert_frame_equal(
        suppress_small_counts(cells, counts=["n"], audience="internal"), cells
    )


def test_the_mean_of_few_is_hidden_and_no_p_value_is_0():
    cells = pd.DataFrame({"n": [3, 430], "mean": 3.5, "p_value": 2e-12, "threshold": 1 / 3})
    shown = suppress_small_counts(cells, counts=["n"])
    assert shown["mean"].isna().tolist() == [True, False]
    assert shown["p_value"].iloc[1] == 0.001
    assert shown["threshold"].tolist() == [1 / 3] * 2


def test_without_counts_nothing_is_hidden():
    assert suppress_small_counts(pd.DataFrame({"x": [1]}), counts=[])["suppressed"].tolist() == [0]


def test_a_count_hidden_alone_in_a_total_is_joined_by_the_next_smallest():
    cells = pd.DataFrame({"sex": ["f", "f", "f", "m", "m"], "n": [3, 40, 20, 30, 50]})
    shown = suppress_small_counts(cells, counts=["n"], by="sex")
    assert shown["n"].tolist() == [pd.NA, 40, pd.NA, 30, 50]
    assert count_suppressed(shown) == 2


def test_a_zero_is_never_the_second_hidden_cell():
    shown = suppress_small_counts(table(3, 0, 90), counts=["n"], by=[])
    assert shown["n"].tolist() == [pd.NA, 0, pd.NA]


def test_two_hidden_counts_need_no_third():
    shown = suppress_small_counts(table(3, 4, 90), counts=["n"], by=[])
    assert shown["n"].tolist() == [pd.NA, pd.NA, 90]


def test_an_empty_table_stays_empty():
    assert suppress_small_counts(table(), counts=["n"]).empty


def test_a_missing_column_is_named():
    with pytest.raises(UsageError, match="the table lacks the columns k, m"):
        suppress_small_counts(table(1), counts=["k"], rates={"estimate": ("m", "n")})


def test_a_negative_number_is_no_count():
    with pytest.raises(UsageError, match="n has negative values; name only columns that count"):
        suppress_small_counts(table(-1), counts=["n"])


def test_a_base_that_would_make_false_zeros_is_refused():
    with pytest.raises(UsageError, match="base from 1 to threshold"):
        suppress_small_counts(table(1), counts=["n"], base=20)


@given(COUNTS)
def test_no_published_count_is_small_or_exact(counts):
    shown = suppress_small_counts(table(*counts), counts=["n"])["n"]
    for before, after in zip(counts, shown, strict=True):
        assert after is pd.NA or after == 0 or (after >= 8 and after % 5 == 0)
        assert (after is pd.NA) == (1 <= before <= 7)
        assert after is pd.NA or abs(after - before) <= 2


@given(st.lists(st.integers(0, 30), min_size=1, max_size=5))
def test_no_hidden_count_can_be_found_by_subtraction_from_a_shown_total(counts):
    shown = suppress_small_counts(table(*counts), counts=["n"], by=[])["n"]
    total = suppress_small_counts(table(sum(counts)), counts=["n"])["n"].iloc[0]
    n_hidden = int(shown.isna().sum())
    if n_hidden:
        assert len(possible_values(shown.dropna(), total, n_hidden)) >= 2


def possible_values(shown, total, n_hidden):
    """What one hidden count may be to a reader who knows the rules and the rounded rest."""
    lows = [0 if n == 0 else max(8, n - 2) for n in shown]
    highs = [0 if n == 0 else n + 2 for n in shown]
    least, most = (1, 7) if total is pd.NA else (total - 2, total + 2)
    others = n_hidden - 1
    return [
        value
        for value in range(1, 200)
        if any(
            least <= value + rest + visible <= most
            for visible in range(sum(lows), sum(highs) + 1)
            for rest in ([0] if others == 0 else range(others, 200))
            # At least one hidden count is small; with three hidden, another one can be.
            if value <= 7 or others >= 2 or 1 <= rest <= 7
        )
    ]


def test_a_curve_keeps_only_steps_that_more_than_seven_events_make(curve_of):
    # 5 + 3 events by day 20 make the first step; 4 more on day 30 do not make a second.
    times = [10] * 5 + [20] * 3 + [30] * 4 + [40] * 48
    curve = curve_of(times, [True] * 12 + [False] * 48)
    shown = suppress_curve(curve)
    assert shown["time"].tolist() == [0, 20]
    assert shown["n_events"].tolist() == [0, 10]
    assert shown["n_at_risk"].tolist() == [60, 55]
    # (1 - 5/60) (1 - 3/55) = 0.866667
    assert shown["estimate"].tolist() == [1.0, 0.867]
    assert shown["std_error"].isna().all()


def test_a_flat_tail_of_many_censorings_is_kept(curve_of):
    curve = curve_of([10] * 9 + [30] * 9 + [50] * 20, [True] * 9 + [False] * 29)
    assert suppress_curve(curve)["time"].tolist() == [0, 10, 30, 50]


def test_a_step_that_leaves_a_few_patients_is_not_published(curve_of):
    curve = curve_of([10] * 20 + [20] * 3, [True] * 20 + [False] * 3)
    assert suppress_curve(curve)["time"].tolist() == [0]


def test_events_on_day_0_of_a_few_patients_wait_for_the_next_step(curve_of):
    curve = curve_of([0] * 3 + [5] * 9 + [9] * 30, [True] * 12 + [False] * 30)
    shown = suppress_curve(curve)
    assert shown["time"].tolist() == [0, 5, 9]
    assert shown["estimate"].tolist() == [1.0, pytest.approx(30 / 42, abs=5e-4), 0.714]


def test_many_events_on_day_0_are_the_first_step(curve_of):
    curve = curve_of([0] * 10 + [9] * 30, [True] * 10 + [False] * 30)
    shown = suppress_curve(curve)
    assert shown["time"].tolist() == [0, 9]
    assert shown["estimate"].tolist() == [0.75, 0.75]


def test_a_curve_of_seven_patients_says_nothing(six_patients):
    shown = suppress_curve(six_patients)
    assert len(shown) == 1
    assert shown[["n_at_risk", "estimate", "conf_low"]].isna().all(axis=None)


def test_curves_are_thinned_group_by_group(drawn_curve):
    both = pd.concat([drawn_curve(300, site="A"), drawn_curve(5, site="B")])
    shown = suppress_curve(both, by="site")
    alone = suppress_curve(drawn_curve(300))
    assert shown[shown["site"] == "A"]["time"].tolist() == alone["time"].tolist()
    assert len(shown[shown["site"] == "B"]) == 1


def test_for_the_internal_audience_a_curve_keeps_every_step(six_patients):
    shown = suppress_curve(six_patients, audience="internal")
    pd.testing.assert_frame_equal(shown, six_patients)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.booleans()), min_size=1, max_size=150))
def test_no_published_step_rests_on_seven_patients_or_fewer(curve_of, patients):
    exact = curve_of([t for t, _ in patients], [e for _, e in patients])
    shown = suppress_curve(exact)
    counts = pd.concat([shown["n_at_risk"], shown["n_events"], shown["n_censored"]]).dropna()
    assert all(n == 0 or (n >= 8 and n % 5 == 0) for n in counts)
    events = exact.set_index("time")["n_events"].cumsum()
    so_far = shown["time"].map(events)
    # A step of 100 % at time 0 is the origin, before the few events of day 0.
    so_far.iloc[0] = 0 if shown["estimate"].iloc[0] == 1 else so_far.iloc[0]
    steps = so_far.diff().iloc[1:]
    assert all(step == 0 or step > 7 for step in steps)
    kept = shown.iloc[1:].set_index("time")["estimate"]
    truth = exact.set_index("time")["estimate"]
    assert all(abs(kept[t] - truth[t]) <= 5e-4 for t in kept.index)
