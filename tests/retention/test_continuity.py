"""Continuity of care: indices by hand, windows, visits without a provider, and their summary."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from loyalty_research.errors import DataError, UsageError
from loyalty_research.retention.averages import ESTIMATES
from loyalty_research.retention.continuity import INDICES, continuity_summary, derive_continuity

STORED = Path(__file__).parents[1] / "published" / "continuity.json"
CASES = json.loads(STORED.read_text(encoding="utf-8"))["cases"]


def visits_of(*patterns: str, start: str = "2024-01-01") -> pd.DataFrame:
    """Return a visit a day for each letter; a `-` is an unknown doctor. Patients `p0`, `p1`."""
    parts = [
        pd.DataFrame(
            {
                "patient_id": f"p{i}",
                "visit_date": pd.date_range(start, periods=len(pattern)),
                "staff_id": [None if letter == "-" else letter for letter in pattern],
            }
        )
        for i, pattern in enumerate(patterns)
    ]
    return pd.concat(parts, ignore_index=True)


# --- by hand --------------------------------------------------------------------------------------


def test_three_visits_to_a_and_one_to_b_by_hand():
    row = derive_continuity(visits_of("AAAB")).iloc[0]
    assert row["upc"] == 3 / 4
    assert row["coc"] == (3**2 + 1**2 - 4) / (4 * 3)  # 6 / 12
    assert row["secon"] == 2 / 3  # A-A, A-A, A-B
    assert row["mmci"] == pytest.approx((1 - 2 / 4.1) / (1 - 1 / 4.1), rel=1e-12)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["visits"])
def test_the_stored_cases(case):
    row = derive_continuity(visits_of(case["visits"])).iloc[0]
    for index in INDICES:
        above, below = case[index]
        assert row[index] == pytest.approx(above / below, rel=1e-8), index


def test_a_patient_with_one_doctor_has_exactly_one_in_each_index():
    row = derive_continuity(visits_of("A" * 7)).iloc[0]
    assert row[list(INDICES)].tolist() == [1, 1, 1, 1]


def test_only_the_sequence_of_visits_tells_taking_turns_from_changing_once():
    table = derive_continuity(visits_of("AABB", "ABAB"))
    assert table["coc"].tolist() == [1 / 3, 1 / 3]
    assert table["secon"].tolist() == [2 / 3, 0]


def test_below_the_minimum_the_indices_are_missing_and_the_counts_are_not():
    table = derive_continuity(visits_of("AA", "AAB"))
    assert table["n_visits"].tolist() == [2, 3]
    assert table["n_providers"].tolist() == [1, 2]
    assert table["upc"].isna().tolist() == [True, False]
    assert derive_continuity(visits_of("AA"), minimum_visits=2)["coc"].item() == 1


def test_visits_without_a_provider_are_counted_and_left_out_of_the_indices():
    row = derive_continuity(visits_of("A-AAB")).iloc[0]
    known = derive_continuity(visits_of("AAAB")).iloc[0]
    assert row["n_visits"] == 5
    assert row["n_unknown"] == 1
    assert row[list(INDICES)].tolist() == known[list(INDICES)].tolist()


def test_unknown_providers_do_not_help_to_reach_the_minimum():
    table = derive_continuity(visits_of("A--", "---", "AAA"))
    assert table["n_visits"].tolist() == [3, 3, 3]
    assert table["n_providers"].tolist() == [1, 0, 1]
    assert table["upc"].isna().tolist() == [True, True, False]


def test_a_blank_provider_is_an_unknown_one():
    blank = visits_of("A-AAB").fillna({"staff_id": "  "})
    pd.testing.assert_frame_equal(derive_continuity(blank), derive_continuity(visits_of("A-AAB")))


def test_visits_of_one_date_are_taken_in_the_order_of_the_provider():
    visits = visits_of("ABA").assign(visit_date=pd.Timestamp("2024-01-01"))
    for seed in range(5):
        shuffled = visits.sample(frac=1, random_state=seed)
        assert derive_continuity(shuffled)["secon"].item() == 1 / 2  # A, A, B


def test_a_time_of_day_orders_the_visits_of_one_date():
    visits = visits_of("ABA").assign(visit_date=pd.date_range("2024-01-01", periods=3, freq="h"))
    assert derive_continuity(visits)["secon"].item() == 0


# --- windows --------------------------------------------------------------------------------------

COHORT = pd.DataFrame(
    {
        "patient_id": ["p0", "p1", "p2"],
        "sex": ["f", "m", "f"],
        "index_date": pd.to_datetime(["2024-01-03", "2024-01-01", "2024-01-01"]),
        "last_date": pd.to_datetime(["2024-01-06", None, "2024-01-09"]),
    }
)


def test_a_window_counts_its_first_and_its_last_day():
    visits = visits_of("BBAAABBB", "AAB")
    table = derive_continuity(visits, cohort=COHORT, start="index_date", end="last_date")
    assert list(table)[:4] == list(COHORT)
    assert table["n_visits"].tolist() == [4, 3, 0]  # days 3 to 6: A A A B
    assert table["upc"].tolist()[:2] == [3 / 4, 2 / 3]
    assert table["secon"].tolist()[:2] == [2 / 3, 1 / 2]


def test_a_patient_of_the_cohort_without_a_visit_is_kept():
    table = derive_continuity(visits_of("AAA"), cohort=COHORT)
    assert table["patient_id"].tolist() == ["p0", "p1", "p2"]
    assert table["n_visits"].tolist() == [3, 0, 0]
    assert table["n_unknown"].tolist() == [0, 0, 0]
    assert table["upc"].isna().tolist() == [False, True, True]


def test_one_end_of_the_window_may_be_open():
    visits = visits_of("BBAAAA")
    only = COHORT[:1]
    assert derive_continuity(visits, cohort=only, start="index_date")["n_visits"].item() == 4
    assert derive_continuity(visits, cohort=only, end="last_date")["n_visits"].item() == 6


# --- engines and properties -----------------------------------------------------------------------


def random_visits(seed: int = 3, n: int = 400) -> pd.DataFrame:
    draws = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "patient_id": [f"p{i:02d}" for i in draws.integers(0, 40, n)],
            "visit_date": pd.Timestamp("2023-01-01")
            + pd.to_timedelta(draws.integers(0, 700, n), unit="D"),
            "staff_id": draws.choice(["A", "B", "C", None], n, p=[0.5, 0.2, 0.2, 0.1]),
        }
    )


def test_every_engine_gives_the_same_indices(engine):
    visits = random_visits()
    expected = derive_continuity(visits)
    got = engine.read(derive_continuity(engine.make(visits)))
    pd.testing.assert_frame_equal(got, expected, check_dtype=False, rtol=1e-12)


def test_every_engine_keeps_the_cohort(engine):
    visits = visits_of("BBAAABBB", "AAB")
    result = derive_continuity(
        engine.make(visits), cohort=engine.make(COHORT), start="index_date", end="last_date"
    )
    table = engine.read(result)
    assert table["n_visits"].tolist() == [4, 3, 0]
    assert table["sex"].tolist() == ["f", "m", "f"]


def test_shifted_days_and_other_names_of_providers_change_nothing():
    visits = random_visits()
    later = visits.assign(visit_date=visits["visit_date"] + pd.Timedelta(days=1000))
    pd.testing.assert_frame_equal(derive_continuity(later), derive_continuity(visits))
    codes = {"A": 11, "B": 12, "C": 13}
    numbered = visits.assign(staff_id=visits["staff_id"].map(codes))
    pd.testing.assert_frame_equal(derive_continuity(numbered), derive_continuity(visits))


def test_the_indices_are_those_of_a_plain_count():
    visits = random_visits().dropna()
    table = derive_continuity(visits).set_index("patient_id")
    ordered = visits.sort_values(["visit_date", "staff_id"])
    for patient, part in ordered.groupby("patient_id"):
        seen, n = part["staff_id"].to_list(), len(part)
        sizes = part["staff_id"].value_counts()
        expected = [
            sizes.max() / n,
            sum(size * (size - 1) for size in sizes) / (n * (n - 1)),
            sum(a == b for a, b in pairwise(seen)) / (n - 1),
            (1 - len(sizes) / (n + 0.1)) / (1 - 1 / (n + 0.1)),
        ]
        assert table.loc[patient, list(INDICES)].tolist() == pytest.approx(expected, rel=1e-10)


def test_two_visits_go_to_one_doctor_as_often_as_the_simulated_world_says():
    # Each visit goes to one of three doctors by .6, .3, .1, so two visits, successive or not,
    # are to one doctor with probability .36 + .09 + .01 = .46.
    draws = np.random.default_rng(11)
    patients, visits = 3000, 8
    seen = draws.choice(list("ABC"), (patients, visits), p=[0.6, 0.3, 0.1])
    table = pd.DataFrame(
        {
            "patient_id": np.repeat(np.arange(patients), visits),
            "visit_date": np.tile(pd.date_range("2024-01-01", periods=visits), patients),
            "staff_id": seen.ravel(),
        }
    )
    summary = continuity_summary(derive_continuity(table)).set_index("term")
    for index in ("coc", "secon"):
        row = summary.loc[index]
        assert abs(row["estimate"] - 0.46) < 4 * row["std_error"]
        assert row["std_error"] < 0.01


# --- the summary ----------------------------------------------------------------------------------

SCORED = pd.DataFrame(
    {
        "sex": ["f", "f", "f", "f", "m", "m"],
        "upc": [1.0, 0.5, 0.75, None, 0.2, None],
        "coc": [1.0, 0.2, 0.5, None, 0.0, None],
    }
)


def test_the_summary_has_the_fixed_columns(assert_columns):
    assert_columns(continuity_summary(SCORED, indices="upc"), "estimates", more=["n_missing"])


def test_mean_and_share_by_group_by_hand():
    table = continuity_summary(SCORED, by="sex", indices="upc")
    assert list(table) == ["term", "sex", *ESTIMATES, "n_missing"]
    assert table["term"].tolist() == ["upc"] * 2 + ["upc >= 0.75"] * 2
    assert table["sex"].tolist() == ["f", "m", "f", "m"]
    assert table["estimate"].tolist() == pytest.approx([2.25 / 3, 0.2, 2 / 3, 0])
    assert table["n"].tolist() == [3, 1, 3, 1]
    assert table["n_missing"].tolist() == [1, 1, 1, 1]
    assert table["n_events"].tolist() == [pd.NA, pd.NA, 2, 0]
    women = table.iloc[0]
    # Deviations .25, -.25, 0: variance .125 / 2, divided by 3; t with 2 degrees is 4.302653.
    assert women["std_error"] == pytest.approx((0.125 / 2 / 3) ** 0.5)
    assert women["conf_high"] == pytest.approx(0.75 + 4.302652730 * (0.125 / 6) ** 0.5)
    assert pd.isna(table.iloc[1]["conf_low"])  # one man: no spread


def test_the_share_has_wilsons_interval():
    row = continuity_summary(SCORED, indices="upc").iloc[1]
    z2 = 1.959963984540054**2
    share, n = 2 / 4, 4
    half = (z2 * (share * (1 - share) / n + z2 / (4 * n**2))) ** 0.5
    low = (share + z2 / (2 * n) - half) / (1 + z2 / n)
    assert row["conf_low"] == pytest.approx(low)


def test_the_summary_is_the_same_in_every_engine(engine):
    columns = ["upc", "coc"]
    expected = continuity_summary(SCORED, by="sex", indices=columns)
    got = continuity_summary(engine.make(SCORED), by="sex", indices=columns)
    pd.testing.assert_frame_equal(got, expected, check_dtype=False, rtol=1e-12)


def test_a_category_keeps_its_order_and_a_group_without_an_index_its_row():
    order = pd.CategoricalDtype(["m", "f"], ordered=True)
    data = SCORED.astype({"sex": order}).assign(upc=SCORED["upc"].where(SCORED["sex"] == "f"))
    table = continuity_summary(data, by="sex", indices="upc")
    assert table["sex"].tolist() == ["m", "f", "m", "f"]
    assert table["sex"].dtype == order
    assert table["n"].tolist() == [0, 3, 0, 3]
    assert table["estimate"].isna().tolist() == [True, False, True, False]


# --- bad input ------------------------------------------------------------------------------------


def test_a_minimum_of_one_visit_is_refused():
    with pytest.raises(UsageError, match="minimum_visits=1 must be a whole number, at least 2"):
        derive_continuity(visits_of("AAA"), minimum_visits=1)


def test_a_window_without_a_cohort_is_refused():
    with pytest.raises(UsageError, match="give the cohort that has them"):
        derive_continuity(visits_of("AAA"), start="index_date")


def test_a_column_that_is_missing_is_named_with_the_nearest():
    with pytest.raises(DataError, match="column staff_id is missing; did you mean staff"):
        derive_continuity(visits_of("AAA").rename(columns={"staff_id": "staff"}))


def test_another_kind_of_code_is_not_proposed_for_the_provider():
    visits = visits_of("AAA").rename(columns={"staff_id": "visit_id"})
    told = "column staff_id is missing; add it or name the column that holds it"
    with pytest.raises(DataError, match=told):
        derive_continuity(visits)


def test_all_faults_are_told_at_once():
    visits = visits_of("AAA").assign(staff_id=None, visit_date=pd.NaT)
    cohort = COHORT.assign(last_date=pd.Timestamp("2023-01-01"), patient_id="p0")
    with pytest.raises(DataError) as refusal:
        derive_continuity(visits, cohort=cohort, start="index_date", end="last_date")
    told = str(refusal.value)
    for words in (
        "visit_date is missing in 3 of 3 rows",
        "staff_id is missing in every one of 3 rows; name the column that says who was seen",
        "last_date is before index_date in 3 of 3 rows",
        "patient_id occurs more than once",
    ):
        assert words in told


def test_a_cohort_without_a_start_is_refused():
    cohort = COHORT.assign(index_date=pd.NaT)
    with pytest.raises(DataError, match=r'index_date is missing .* known\("index_date"\)'):
        derive_continuity(visits_of("AAA"), cohort=cohort, start="index_date")


def test_an_unknown_index_is_refused():
    with pytest.raises(UsageError, match="did you mean 'upc'"):
        continuity_summary(SCORED, indices="upcc")


@pytest.mark.parametrize("threshold", [0, 1, 75])
def test_a_threshold_outside_zero_and_one_is_refused(threshold):
    with pytest.raises(UsageError, match="threshold"):
        continuity_summary(SCORED, indices="upc", threshold=threshold)


def test_an_index_above_one_or_a_missing_group_is_refused():
    data = SCORED.assign(upc=75.0, sex=None)
    with pytest.raises(DataError, match="2 faults") as refusal:
        continuity_summary(data, by="sex", indices="upc")
    assert "upc is not between 0 and 1 in 6 of 6 rows" in str(refusal.value)


def test_text_for_an_index_is_refused():
    with pytest.raises(DataError, match="upc is String, not a number"):
        continuity_summary(SCORED.assign(upc="high"), indices="upc")


def test_a_group_called_like_a_column_of_the_result_is_refused():
    with pytest.raises(UsageError, match="by='n' is also a column of the result"):
        continuity_summary(SCORED.rename(columns={"sex": "n"}), by="n", indices="upc")
