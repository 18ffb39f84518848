"""The four behaviours of loyalty: profiled one by one, and correlated."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from loyalty_research.errors import DataError, UsageError
from loyalty_research.retention.averages import ESTIMATES
from loyalty_research.retention.loyalty_profile import (
    BEHAVIOURS,
    loyalty_profile,
    loyalty_profile_correlation,
)

RANGES = {"trust": (1, 5)}

# --- the profile ----------------------------------------------------------------------------------

SCORED = pd.DataFrame(
    {
        "arm": ["new", "new", "new", "old", "old"],
        "repeat_choice": [True, True, False, False, True],
        "recommendation": [1.0, 0.0, None, None, None],
        "trust": [5, 4, 3, 1, 2],
    }
)


def profile_of(data: pd.DataFrame, **more) -> pd.DataFrame:
    return loyalty_profile(data, **({"willing_to_pay": None, "ranges": RANGES} | more))


def test_the_profile_has_the_fixed_columns(assert_columns):
    assert_columns(profile_of(SCORED), "estimates", more=["n_missing"])


def test_each_behaviour_has_its_own_share_or_mean_by_hand():
    table = profile_of(SCORED, by="arm")
    assert list(table) == ["term", "arm", *ESTIMATES, "n_missing"]
    assert table["term"].tolist() == [name for name in BEHAVIOURS for _ in range(2)]
    assert table["arm"].tolist() == ["new", "old"] * 4
    estimates = table["estimate"].fillna(-1).tolist()
    assert estimates == pytest.approx([2 / 3, 1 / 2, 1 / 2, -1, 4, 1.5, -1, -1])
    assert table["n"].tolist() == [3, 2, 2, 0, 3, 2, 0, 0]
    assert table["n_missing"].tolist() == [0, 0, 1, 2, 0, 0, 3, 2]
    assert table["n_events"].tolist()[:4] == [2, 1, 1, 0]
    assert table["scale"].unique().tolist() == ["share", "score 1 to 5", "not measured"]
    trust = table.iloc[4]
    # Deviations 1, 0, -1: variance 1, divided by 3; t with 2 degrees is 4.302653.
    assert trust["std_error"] == pytest.approx(3**-0.5)
    assert trust["conf_low"] == pytest.approx(4 - 4.302652730 / 3**0.5)


def test_a_behaviour_not_measured_has_its_rows():
    table = profile_of(SCORED)
    row = table[table["term"] == "willing_to_pay"].iloc[0]
    assert row["n"] == 0
    assert row["n_missing"] == 5
    assert row["method"] == "not measured"
    assert pd.isna(row["estimate"])


def test_every_engine_gives_the_same_profile(engine):
    expected = profile_of(SCORED, by="arm")
    got = profile_of(engine.make(SCORED), by="arm")
    pd.testing.assert_frame_equal(got, expected, check_dtype=False, rtol=1e-12)


def test_simulated_behaviours_are_recovered():
    draws = np.random.default_rng(2)
    n = 5000
    data = pd.DataFrame(
        {
            "repeat_choice": draws.random(n) < 0.6,
            "recommendation": np.where(draws.random(n) < 0.3, np.nan, draws.random(n) < 0.25),
            "trust": draws.choice([1, 2, 3, 4, 5], n, p=[0.1, 0.1, 0.2, 0.3, 0.3]),
        }
    )
    table = profile_of(data).set_index("term")
    truth = {"repeat_choice": 0.6, "recommendation": 0.25, "trust": 3.6}
    for name, value in truth.items():
        assert abs(table.loc[name, "estimate"] - value) < 4 * table.loc[name, "std_error"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"ranges": {"trst": (1, 5)}}, "ranges='trst' is not known; did you mean 'trust'"),
        ({"ranges": {"trust": (5, 1)}}, "must be lowest and highest score, as"),
        ({"ranges": {"trust": 5}}, "must be lowest and highest score, as"),
        ({"trust": "repeat_choice"}, "one column stands for two behaviours"),
        (dict.fromkeys(BEHAVIOURS), "name the column of at least one of repeat_choice"),
        ({"by": "trust"}, "by='trust' is also a column of the result"),
        ({"conf_level": 95}, "conf_level"),
    ],
)
def test_a_profile_that_cannot_be_meant_is_refused(more, words):
    with pytest.raises(UsageError, match=words):
        profile_of(SCORED, **more)


def test_values_outside_their_range_are_refused_with_the_repair():
    data = SCORED.assign(trust=SCORED["trust"] * 2, repeat_choice=3)
    with pytest.raises(DataError) as refusal:
        profile_of(data)
    told = str(refusal.value)
    assert "trust is not between 1 and 5 in 3 of 5 rows; correct it or the range of trust" in told
    assert "repeat_choice is neither 0 nor 1 in 5 of 5 rows; code it as 1 or 0, or state" in told


def test_a_column_that_is_missing_is_named():
    with pytest.raises(DataError, match="column trust is missing; did you mean trusts"):
        profile_of(SCORED.rename(columns={"trust": "trusts"}))


# --- correlations ---------------------------------------------------------------------------------


def correlation_of(data: pd.DataFrame, **more) -> pd.DataFrame:
    return loyalty_profile_correlation(data, **({"willing_to_pay": None, "ranges": RANGES} | more))


def random_scores(n: int = 200) -> pd.DataFrame:
    draws = np.random.default_rng(9)
    likes = draws.normal(size=n)
    trust = np.clip(np.round(3 + likes + draws.normal(size=n)), 1, 5)
    return pd.DataFrame(
        {
            "arm": draws.choice(["x", "y"], n),
            "repeat_choice": likes + draws.normal(size=n) > 0,
            "recommendation": np.where(draws.random(n) < 0.2, np.nan, likes > 0.5),
            "trust": np.where(draws.random(n) < 0.1, np.nan, trust),
        }
    )


def test_a_correlation_by_hand():
    data = pd.DataFrame({"repeat_choice": [0, 0, 1, 1], "trust": [1, 2, 2, 5]})
    row = correlation_of(data, recommendation=None).iloc[0]
    # Ranks 1.5 1.5 3.5 3.5 and 1 2.5 2.5 4: deviations -1 -1 1 1 and -1.5 0 0 1.5.
    r = 3 / (4 * 4.5) ** 0.5
    assert row["estimate"] == pytest.approx(r)
    assert row["std_error"] == pytest.approx(((1 + r**2 / 2) / 1) ** 0.5)
    half = 1.959963984540054 * row["std_error"]
    assert row["conf_low"] == pytest.approx(np.tanh(np.arctanh(r) - half))


def test_estimates_and_p_values_are_those_of_scipy():
    data = random_scores()
    table = correlation_of(data)
    assert list(table) == ["term", "other_term", *ESTIMATES, "n_missing"]
    assert len(table) == 3
    for row in table.itertuples():
        both = data[[row.term, row.other_term]].dropna().astype(float)
        expected = spearmanr(both[row.term], both[row.other_term])
        assert row.estimate == pytest.approx(expected.statistic, rel=1e-10)
        assert row.p_value == pytest.approx(expected.pvalue, rel=1e-8)
        assert (row.n, row.n_missing) == (len(both), len(data) - len(both))


def test_each_group_has_its_own_correlations_in_every_engine(engine):
    data = random_scores()
    expected = pd.concat(
        [
            correlation_of(data[data["arm"] == arm]).assign(arm=arm, pair=range(3))
            for arm in ("x", "y")
        ]
    ).sort_values(["pair", "arm"], ignore_index=True)
    got = correlation_of(engine.make(data), by="arm")
    columns = ["term", "other_term", "arm", *ESTIMATES, "n_missing"]
    assert list(got) == columns
    pd.testing.assert_frame_equal(got, expected[columns], check_dtype=False, rtol=1e-10)


def test_what_is_the_same_for_all_correlates_with_nothing():
    row = correlation_of(SCORED.assign(repeat_choice=True), recommendation=None).iloc[0]
    assert pd.isna(row["estimate"])
    assert pd.isna(row["p_value"])


def test_a_perfect_correlation_has_no_interval():
    data = pd.DataFrame({"repeat_choice": [0, 0, 1, 1, 1], "recommendation": [0, 0, 1, 1, 1]})
    row = correlation_of(data, trust=None, ranges=None).iloc[0]
    assert row["estimate"] == 1
    assert pd.isna(row["conf_low"])


def test_two_behaviours_never_measured_together_have_no_correlation():
    data = pd.DataFrame({"repeat_choice": [1.0, None], "recommendation": [None, 1.0]})
    row = correlation_of(data, trust=None, ranges=None).iloc[0]
    assert (row["n"], row["n_missing"]) == (0, 2)
    assert pd.isna(row["estimate"])


def test_one_behaviour_alone_is_refused():
    with pytest.raises(UsageError, match="a correlation needs two behaviours"):
        correlation_of(SCORED, repeat_choice=None, recommendation=None)
