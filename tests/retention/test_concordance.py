"""Concordance: by hand, against R, against a known world, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loyalty_research.errors import DataError, UsageError
from loyalty_research.retention.concordance import PAIRS, concordance

FOUR = pd.DataFrame({"time": [1, 2, 2, 3], "event": [1, 1, 0, 1], "risk": [5, 1, 3, 5]})


def agree(table: pd.DataFrame, expected: dict) -> None:
    """Hold a result to R's; counting is a closed form."""
    row = table.iloc[0]
    assert row[PAIRS].tolist() == pytest.approx(expected["pairs"], rel=1e-9, abs=1e-9)
    assert row["estimate"] == pytest.approx(expected["estimate"], rel=1e-9)
    assert row["std_error"] == pytest.approx(expected["std_error"], rel=1e-8)


# --- by hand --------------------------------------------------------------------------------------


def test_pairs_counted_by_hand():
    # The event at 1 (risk 5) comes before 1, 3 and 5: two concordant, one tied.
    # The event at 2 (risk 1) comes before the censoring on its day (3) and before 5: discordant.
    row = concordance(FOUR, risk="risk").iloc[0]
    assert row[PAIRS].tolist() == [2, 2, 1, 0, 0]
    assert row["estimate"] == (2 + 1 / 2) / 5
    assert (row["n"], row["n_events"]) == (4, 3)


def test_the_standard_error_by_hand():
    # Of each patient, concordant less discordant: 2, -1, 0, -1 (sum 2 x 0), so that each moves
    # the estimate by that over 2 x 5 pairs.
    expected = (2**2 + 1 + 0 + 1) ** 0.5 / 10
    row = concordance(FOUR, risk="risk").iloc[0]
    assert row["std_error"] == pytest.approx(expected)
    assert row["conf_low"] == pytest.approx(max(0.5 - 1.959963984540054 * expected, 0))


def test_events_of_one_day_are_tied_in_time_or_in_both():
    data = pd.DataFrame({"time": [2, 2, 2, 4], "event": [1, 1, 1, 0], "risk": [1, 1, 0, 0]})
    assert concordance(data, risk="risk")[PAIRS].iloc[0].tolist() == [2, 0, 1, 2, 1]


def test_who_enters_on_the_day_of_the_event_is_not_compared_with_it():
    data = pd.DataFrame(
        {"entry": [0, 0, 2], "time": [2, 3, 5], "event": [1, 0, 0], "risk": [2, 1, 1]}
    )
    assert concordance(data, risk="risk", entry="entry")["concordant"].item() == 1
    assert concordance(data, risk="risk")["concordant"].item() == 2


def test_unos_pairs_count_by_the_square_of_who_is_not_yet_censored():
    # One of three is censored at 1, so the event at 2 counts 1 / (2/3)^2, but that on day 1 fully.
    data = pd.DataFrame({"time": [1, 1, 2, 3], "event": [1, 0, 1, 0], "risk": [4, 1, 1, 2]})
    row = concordance(data, risk="risk", weighting="uno").iloc[0]
    assert row["concordant"] == 3
    assert row["discordant"] == pytest.approx(9 / 4)
    assert row["method"] == "Uno's concordance"


def test_a_result_has_the_fixed_columns(assert_columns):
    assert_columns(concordance(FOUR, risk="risk"), "estimates", more=PAIRS)


# --- published ------------------------------------------------------------------------------------


def test_lung_agrees_with_r(published):
    known = published("concordance")["lung"]
    data = pd.DataFrame({name: known[name] for name in ("time", "event", "risk")})
    found = concordance(data, risk="risk")
    assert found["estimate"].item() == pytest.approx(0.637135493, abs=1e-9)
    assert found["std_error"].item() == pytest.approx(0.025067974, abs=1e-9)
    agree(found, known["harrell"])
    agree(concordance(data, risk="risk", weighting="uno"), known["uno"])
    agree(concordance(data, risk="risk", horizon=365), known["year"])


def test_pbc_agrees_with_r_with_strata_too(published):
    known = published("concordance")["pbc"]
    data = pd.DataFrame({name: known[name] for name in ("time", "event", "risk", "stage")})
    agree(concordance(data, risk="risk"), known["plain"])
    agree(concordance(data, risk="risk", strata="stage"), known["strata"])


def test_heavy_ties_weights_and_strata_agree_with_r(published):
    known = published("concordance")["made"]
    names = ["time", "event", "risk", "weight", "site", "family", "freq"]
    data = pd.DataFrame({name: known[name] for name in names})
    uno = {"weighting": "uno"}
    agree(concordance(data, risk="risk"), known["plain"])
    agree(concordance(data, risk="risk", weight="weight"), known["weighted"])
    agree(concordance(data, risk="risk", weight="weight", strata="site"), known["strata"])
    agree(concordance(data, risk="risk", weight="weight", **uno), known["uno"])
    agree(concordance(data, risk="risk", strata="site", **uno), known["uno_strata"])
    agree(concordance(data, risk="risk", horizon=6, **uno), known["uno_early"])
    agree(concordance(data, risk="risk", cluster="family"), known["cluster"])
    agree(concordance(data, risk="risk", freq="freq"), known["repeated"])
    agree(concordance(data.assign(event=1), risk="risk"), known["all_events"])


def test_delayed_entry_agrees_with_r(published):
    known = published("concordance")["after"]
    names = ["time", "event", "risk", "weight", "site", "entry"]
    data = pd.DataFrame({name: known[name] for name in names})
    late = {"risk": "risk", "entry": "entry"}
    agree(concordance(data, **late), known["delayed"])
    agree(concordance(data, **late, weight="weight"), known["weighted"])
    agree(concordance(data, **late, weight="weight", strata="site"), known["strata"])
    # With entry and a horizon R counts more ties in time (104) than without one (91), which cannot
    # be; that number is compared with the ties that are there.
    agree(concordance(data, **late, horizon=7), known["early"] | {"pairs": [343, 232, 65, 40, 9]})
    assert known["early"]["pairs"] == [343, 232, 65, 104, 9]


# --- a known world --------------------------------------------------------------------------------


def world(n: int, seed: int = 8, rate: float = 0.02) -> pd.DataFrame:
    draws = np.random.default_rng(seed)
    risk = draws.normal(size=n)
    time = np.floor(draws.exponential(1 / (rate * np.exp(risk))) * 1000)
    end = draws.integers(1, 60_000, n)
    return pd.DataFrame(
        {"time": np.minimum(time, end).astype(int), "event": time <= end, "risk": risk}
    )


def test_the_concordance_of_a_known_world_is_recovered():
    # With hazards e^x, pair by pair the higher risk comes first with probability e^d / (1 + e^d),
    # d the difference of two standard normals (sd sqrt 2) in absolute value.
    d = np.abs(np.random.default_rng(1).normal(0, 2**0.5, 2_000_000))
    truth = (1 / (1 + np.exp(-d))).mean()
    data = world(5_000).assign(event=True)
    data["time"] = np.floor(
        np.random.default_rng(2).exponential(np.exp(-data["risk"])) * 1e6
    ).astype(int)
    row = concordance(data, risk="risk").iloc[0]
    assert abs(row["estimate"] - truth) < 4 * row["std_error"]


def test_the_standard_error_is_the_spread_over_repeated_studies():
    found = pd.concat([concordance(world(200, seed), risk="risk") for seed in range(150)])
    assert found["estimate"].std() == pytest.approx(found["std_error"].mean(), rel=0.2)


# --- properties -----------------------------------------------------------------------------------

RESULT = ["estimate", "std_error", *PAIRS]
rows = st.lists(
    st.tuples(st.integers(0, 9), st.booleans(), st.integers(0, 6), st.integers(1, 3)),
    min_size=2,
    max_size=25,
)
quick = settings(max_examples=25, deadline=None)


def table_of(drawn: list) -> pd.DataFrame:
    first = [(0, True, 3, 1), (20, False, 2, 1)]
    return pd.DataFrame(first + drawn, columns=["time", "event", "risk", "freq"])


def slow_pairs(data: pd.DataFrame) -> list[int]:
    counts = [0] * 5
    for i, a in data.iterrows():
        for j, b in data.iterrows():
            if not a["event"] or i == j:
                continue
            if b["time"] > a["time"] or (b["time"] == a["time"] and not b["event"]):
                counts[0 if a["risk"] > b["risk"] else 1 if a["risk"] < b["risk"] else 2] += 1
            elif b["time"] == a["time"] and i < j:
                counts[3 if a["risk"] != b["risk"] else 4] += 1
    return counts


@quick
@given(rows)
def test_the_counts_are_those_of_comparing_every_pair(drawn):
    data = table_of(drawn)
    assert concordance(data, risk="risk")[PAIRS].iloc[0].tolist() == slow_pairs(data)


@quick
@given(rows)
def test_a_frequency_stands_for_repeated_rows(drawn):
    data = table_of(drawn)
    repeated = data.loc[data.index.repeat(data["freq"])]
    pd.testing.assert_frame_equal(
        concordance(data, risk="risk", freq="freq"), concordance(repeated, risk="risk")
    )


@quick
@given(rows)
def test_the_risk_turned_round_turns_the_concordance_round(drawn):
    data = table_of(drawn)
    row = concordance(data, risk="risk").iloc[0]
    back = concordance(data.assign(risk=-data["risk"]), risk="risk").iloc[0]
    assert back["estimate"] == pytest.approx(1 - row["estimate"])
    assert back["std_error"] == pytest.approx(row["std_error"])


@quick
@given(rows)
def test_order_weight_one_and_an_entry_before_all_change_nothing(drawn):
    data = table_of(drawn).assign(time=lambda t: t["time"] + 1, one=1.0, zero=0)
    plain = concordance(data, risk="risk")[RESULT]
    for other in (
        concordance(data.sample(frac=1, random_state=1), risk="risk"),
        concordance(data, risk="risk", weight="one"),
        concordance(data, risk="risk", entry="zero"),
        concordance(data, risk="risk", strata="one"),
        concordance(data.assign(time=data["time"] * 50_000), risk="risk"),
    ):
        pd.testing.assert_frame_equal(other[RESULT], plain)


def test_every_engine_gives_the_same(engine):
    data = world(60).assign(site=["甲", "乙"] * 30)
    expected = concordance(data, risk="risk", strata="site")
    found = concordance(engine.make(data), risk="risk", strata="site")
    pd.testing.assert_frame_equal(found, expected)


# --- edges and refusals ---------------------------------------------------------------------------


def test_the_same_risk_for_everybody_is_a_half():
    row = concordance(FOUR.assign(risk=2), risk="risk").iloc[0]
    assert (row["estimate"], row["std_error"]) == (0.5, 0)


@pytest.mark.parametrize("event", [[0, 0, 0, 0], [0, 0, 0, 1]])
def test_without_a_pair_to_compare_there_is_no_concordance(event):
    with pytest.raises(DataError, match="no two rows can be compared"):
        concordance(FOUR.assign(event=event), risk="risk")


def test_one_row_is_no_pair():
    with pytest.raises(DataError, match="no two rows can be compared"):
        concordance(FOUR.head(1), risk="risk")


@pytest.mark.parametrize(
    ("risk", "message"),
    [
        ([1, None, 2, 3], "risk is missing in 1 of 4 rows"),
        ([1, np.inf, 2, 3], "risk is infinite in 1 of 4 rows"),
        (["a", "b", "c", "d"], "not a number"),
    ],
)
def test_a_risk_that_is_no_number_is_refused(risk, message):
    with pytest.raises(DataError, match=message):
        concordance(FOUR.assign(risk=risk), risk="risk")


def test_settings_that_cannot_be_meant_are_refused():
    with pytest.raises(UsageError, match="did you mean 'harrell'"):
        concordance(FOUR, risk="risk", weighting="harell")
    with pytest.raises(UsageError, match="no theory for delayed entry"):
        concordance(FOUR.assign(entry=0), risk="risk", weighting="uno", entry="entry")
    with pytest.raises(UsageError, match="must be a whole number"):
        concordance(FOUR, risk="risk", horizon=1.5)
