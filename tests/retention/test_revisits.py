"""Revisits within a window: planned and voluntary apart, and who may be counted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from loyalty_research.errors import DataError, UsageError
from loyalty_research.retention.curves import kaplan_meier
from loyalty_research.retention.intervals import wilson_interval
from loyalty_research.retention.revisits import RATES, revisit_rate

START = pd.Timestamp("2024-01-01")
CUTOFF = "2024-12-31"


def day(number: int | None) -> pd.Timestamp:
    """Return a day counted from 2024-01-01, which is day 0; the cut-off is day 365."""
    return pd.NaT if number is None else START + pd.Timedelta(days=number)


def visits_on(*rows: tuple[str, int, bool | None]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["patient_id", "visit_date", "planned"])
    return table.assign(
        visit_date=[day(number) for number in table["visit_date"]],
        planned=table["planned"].astype("boolean"),
    )


def cohort_of(ids: str, **dates: list[int | None]) -> pd.DataFrame:
    columns = {name: pd.to_datetime([day(n) for n in values]) for name, values in dates.items()}
    return pd.DataFrame({"patient_id": list(ids), "index_date": day(0)} | columns)


def rate(visits: pd.DataFrame, cohort: pd.DataFrame, within_days: int = 30, **more) -> pd.DataFrame:
    more = {"data_cutoff": CUTOFF} | more
    table = revisit_rate(visits, cohort=cohort, within_days=within_days, **more)
    return table.set_index("kind")


# --- by hand --------------------------------------------------------------------------------------

# a comes back by plan on day 10 and by choice on day 20; b by choice on day 30; c by plan on
# day 31; d never; all have their first visit on day 0.
FOUR = visits_on(
    ("a", 0, False), ("a", 10, True), ("a", 20, False),
    ("b", 0, False), ("b", 30, False),
    ("c", 0, True), ("c", 31, True),
    ("d", 0, False),
)  # fmt: skip
COHORT = cohort_of("abcd")


def test_planned_and_voluntary_revisits_are_counted_apart_by_hand():
    table = rate(FOUR, COHORT)
    assert table["n"].tolist() == [4, 4, 4]
    assert table.loc["planned", "n_events"] == 1  # a
    assert table.loc["voluntary", "n_events"] == 2  # a and b, whose day 30 is within the window
    assert table.loc["any", "n_events"] == 2
    assert table["estimate"].tolist() == [1 / 4, 2 / 4, 2 / 4]
    low, high = wilson_interval(np.array([1]), np.array([4]), conf_level=0.95)
    assert table.loc["planned", ["conf_low", "conf_high"]].tolist() == [low[0], high[0]]
    assert table.loc["planned", "std_error"] == pytest.approx((0.25 * 0.75 / 4) ** 0.5)


def test_several_windows_are_each_as_if_alone():
    table = revisit_rate(FOUR, cohort=COHORT, within_days=[31, 9, 10], data_cutoff=CUTOFF)
    assert list(table) == RATES
    assert table["within_days"].tolist() == [31] * 3 + [9] * 3 + [10] * 3
    assert table["n_events"].tolist() == [2, 2, 3, 0, 0, 0, 1, 0, 1]
    for days in (9, 10, 31):
        alone = revisit_rate(FOUR, cohort=COHORT, within_days=days, data_cutoff=CUTOFF)
        part = table[table["within_days"] == days].reset_index(drop=True)
        pd.testing.assert_frame_equal(part, alone)


def test_another_visit_on_the_index_date_is_no_revisit():
    assert rate(visits_on(("a", 0, False), ("a", 0, False)), cohort_of("a"))["n_events"].sum() == 0


def test_visits_before_the_index_date_are_no_revisits():
    cohort = COHORT.assign(index_date=day(20))
    table = rate(FOUR, cohort)
    assert table["n_events"].tolist() == [1, 1, 2]  # b on day 30 and c on day 31


def test_only_patients_whose_whole_window_could_be_seen_are_counted():
    # The cut-off is day 30 for one, day 29 for the other.
    full = rate(FOUR[FOUR["visit_date"] <= day(30)], COHORT, data_cutoff=day(30))
    short = rate(FOUR[FOUR["visit_date"] <= day(29)], COHORT, data_cutoff=day(29))
    assert full["n"].tolist() == [4, 4, 4]
    assert short["n"].tolist() == [0, 0, 0]
    assert short["n_not_observable"].tolist() == [4, 4, 4]
    assert short["estimate"].isna().all()
    assert short["conf_low"].isna().all()


def test_an_early_revisit_does_not_bring_back_a_patient_not_observable():
    cohort = cohort_of("abcd", observed_until=[15, None, None, None])
    table = rate(FOUR, cohort)
    assert table["n"].tolist() == [3, 3, 3]
    assert table["n_not_observable"].tolist() == [1, 1, 1]
    assert table.loc["planned", "n_events"] == 0


def test_who_dies_or_moves_in_the_window_stays_in_and_is_counted():
    cohort = cohort_of("abcd", death_date=[15, None, 30, None], moved_date=[None, None, None, 31])
    table = rate(FOUR, cohort)
    assert table["n"].tolist() == [4, 4, 4]
    # a had a planned revisit before dying on day 15 but the one by choice is dated after it.
    assert table["n_events"].tolist() == [1, 1, 2]
    assert table["n_exited"].tolist() == [1, 2, 1]  # c; a and c; c. d moves after the window.


def test_a_revisit_of_unknown_kind_counts_as_any_only():
    table = rate(visits_on(("a", 5, None), ("b", 5, None), ("b", 6, True)), cohort_of("abc"))
    assert table["n_events"].tolist() == [1, 0, 2]
    assert table["n_unknown"].tolist() == [2, 2, 2]


def test_without_the_column_of_plans_any_revisit_is_all_that_is_told():
    table = rate(FOUR.drop(columns="planned"), COHORT, planned=None)
    assert table.index.tolist() == ["any"]
    assert table["n_events"].item() == 2


def test_a_cohort_nobody_of_which_came_back():
    table = rate(FOUR[:0], COHORT)
    assert table["n_events"].tolist() == [0, 0, 0]
    assert table["conf_low"].tolist() == [0, 0, 0]


def test_groups_keep_their_order_and_those_without_observable_patients_their_rows():
    order = pd.CategoricalDtype(["new", "old"], ordered=True)
    cohort = cohort_of("abcd", observed_until=[None, 9, None, 9])
    cohort["arm"] = pd.Series(["old", "new", "old", "new"], dtype=order)
    table = revisit_rate(FOUR, cohort=cohort, within_days=30, data_cutoff=CUTOFF, by="arm")
    assert list(table) == ["arm", *RATES]
    assert table["arm"].tolist() == ["new"] * 3 + ["old"] * 3
    assert table["arm"].dtype == order
    assert table["kind"].tolist() == ["planned", "voluntary", "any"] * 2
    assert table["n"].tolist() == [0, 0, 0, 2, 2, 2]


# --- properties -----------------------------------------------------------------------------------


def random_world(seed: int = 1, n: int = 300) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a chance of .02 a day of a planned, .01 of a voluntary visit, on days 1 to 90."""
    draws = np.random.default_rng(seed)
    ids = np.array([f"p{i:05d}" for i in range(n)])
    parts = []
    for planned, chance in ((True, 0.02), (False, 0.01)):
        who, when = np.nonzero(draws.random((n, 90)) < chance)
        part = pd.DataFrame({"patient_id": ids[who], "visit_date": START, "planned": planned})
        part["visit_date"] += pd.to_timedelta(when + 1, unit="D")
        parts.append(part)
    cohort = pd.DataFrame(
        {"patient_id": ids, "index_date": START, "arm": draws.choice(list("xy"), n)}
    )
    return pd.concat(parts, ignore_index=True), cohort


def test_every_engine_gives_the_same_rates(engine):
    visits, cohort = random_world()
    cohort["death_date"] = [day(i % 200 + 1) if i % 5 == 0 else pd.NaT for i in range(len(cohort))]
    wanted = {"within_days": [30, 90], "data_cutoff": CUTOFF, "by": "arm"}
    expected = revisit_rate(visits, cohort=cohort, **wanted)
    got = revisit_rate(engine.make(visits), cohort=engine.make(cohort), **wanted)
    pd.testing.assert_frame_equal(got, expected, check_dtype=False, rtol=1e-12)


def test_shifted_days_change_nothing():
    visits, cohort = random_world()
    later = pd.Timedelta(days=400)
    shifted = revisit_rate(
        visits.assign(visit_date=visits["visit_date"] + later),
        cohort=cohort.assign(index_date=cohort["index_date"] + later),
        within_days=60,
        data_cutoff=day(765),
    )
    expected = revisit_rate(visits, cohort=cohort, within_days=60, data_cutoff=CUTOFF)
    pd.testing.assert_frame_equal(shifted, expected)


def test_zeros_and_ones_are_as_good_as_false_and_true():
    visits, cohort = random_world()
    coded = visits.assign(planned=visits["planned"].astype(float))
    pd.testing.assert_frame_equal(rate(coded, cohort), rate(visits, cohort))


def test_the_simulated_chance_of_a_revisit_is_recovered():
    visits, cohort = random_world(seed=7, n=4000)
    table = rate(visits, cohort)
    truth = {"planned": 1 - 0.98**30, "voluntary": 1 - 0.99**30, "any": 1 - (0.98 * 0.99) ** 30}
    for kind, share in truth.items():
        assert abs(table.loc[kind, "estimate"] - share) < 4 * table.loc[kind, "std_error"]


def test_where_all_can_be_seen_it_is_one_minus_kaplan_meier():
    visits, cohort = random_world()
    first = visits.groupby("patient_id")["visit_date"].min().reindex(cohort["patient_id"])
    days = (first - START).dt.days.fillna(90).to_numpy().astype(int)
    curve = kaplan_meier(
        pd.DataFrame({"time": days, "event": first.notna().to_numpy()}), times=[45]
    )
    got = rate(visits, cohort, within_days=45).loc["any", "estimate"]
    assert got == pytest.approx(1 - curve["estimate"].item(), rel=1e-12)


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize("within_days", [0, -3, 2.5, [30, 30], []])
def test_windows_that_cannot_be_meant_are_refused(within_days):
    with pytest.raises(UsageError, match="within_days"):
        revisit_rate(FOUR, cohort=COHORT, within_days=within_days, data_cutoff=CUTOFF)


def test_all_faults_are_told_at_once():
    visits = FOUR.assign(planned=[0, 1, 2, 0, 1, 0, 1, 0], visit_date=day(400))
    cohort = COHORT.assign(patient_id="a", arm=None, death_date=day(-1))
    with pytest.raises(DataError) as refusal:
        rate(visits, cohort, by="arm")
    told = str(refusal.value)
    for words in (
        "visit_date is after data_cutoff in 8 of 8 rows",
        "planned is neither 0 nor 1 in 1 of 8 rows; code planned visits as 1",
        "patient_id occurs more than once",
        "arm is missing in 4 of 4 rows",
        "index_date is after death_date in 4 of 4 rows; apply the criterion present_at_index()",
    ):
        assert words in told


def test_text_for_planned_is_refused_with_the_coding():
    with pytest.raises(DataError, match="planned is String, not true or false; code visits booked"):
        rate(FOUR.assign(planned="yes"), COHORT)


def test_a_missing_column_is_named_with_the_nearest():
    with pytest.raises(DataError, match="column planned is missing; did you mean planed"):
        rate(FOUR.rename(columns={"planned": "planed"}), COHORT)


def test_an_index_date_that_is_missing_or_late_is_refused():
    late = COHORT.assign(index_date=[day(0), day(0), None, day(400)])
    with pytest.raises(DataError, match="2 faults"):
        rate(FOUR, late)


def test_a_group_called_like_a_column_of_the_result_is_refused():
    with pytest.raises(UsageError, match="by='kind' is also a column of the result"):
        rate(FOUR, COHORT.assign(kind="x"), by="kind")
