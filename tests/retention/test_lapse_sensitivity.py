"""The share lapsed under several windows, beside how many of the lapsed came back."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from loyalty_research.errors import DataError, UsageError
from loyalty_research.retention.lapse_sensitivity import COLUMNS, lapse_sensitivity
from loyalty_research.retention.windows import check_lapse_windows, retention_by_window

START = pd.Timestamp("2022-01-01")
CUTOFF = "2023-12-31"  # day 729

# a comes on days 0, 100 and 250, b every 90 days to the end, c on day 0 only.
DAYS = {"a": [0, 100, 250], "b": list(range(0, 730, 90)), "c": [0]}
VISITS = pd.DataFrame(
    [(name, START + pd.Timedelta(days=day)) for name, days in DAYS.items() for day in days],
    columns=["patient_id", "visit_date"],
)
COHORT = pd.DataFrame({"patient_id": list("abc"), "index_date": START})


def table_of(visits=VISITS, cohort=COHORT, **more) -> pd.DataFrame:
    asked = {"lapse_windows": [120, 180], "times": [0, 150, 300], "data_cutoff": CUTOFF}
    return lapse_sensitivity(visits, cohort=cohort, **(asked | more))


def test_the_share_lapsed_and_the_false_lapses_by_hand():
    table = table_of()
    assert list(table) == COLUMNS
    assert table["lapse_days"].tolist() == [120] * 3 + [180] * 3
    assert table["time"].tolist() == [0, 150, 300] * 2
    # 120 days: c lapses on day 0, a on day 100 and comes back. 180 days: a lapses on day 250.
    assert table["estimate"].tolist() == pytest.approx([1 / 3, 2 / 3, 2 / 3, 1 / 3, 1 / 3, 2 / 3])
    assert table["n_lapsed"].tolist() == [2] * 6
    assert table["n_returned"].tolist() == [1] * 3 + [0] * 3
    assert table["share_returned"].tolist() == [1 / 2] * 3 + [0] * 3


def test_it_agrees_with_the_curves_and_the_checks_of_the_windows():
    windows = {"lapse_windows": [120, 180], "data_cutoff": CUTOFF}
    curves = retention_by_window(VISITS, cohort=COHORT, **windows)
    checks = check_lapse_windows(VISITS, cohort=COHORT, **windows)
    table = table_of(times=[0])
    at_0 = curves[curves["time"] == 0]
    assert table["estimate"].tolist() == pytest.approx((1 - at_0["estimate"]).tolist())
    assert table["conf_low"].tolist() == pytest.approx((1 - at_0["conf_high"]).tolist())
    assert table["share_returned"].tolist() == checks["statistic"].tolist()


def test_past_the_last_day_of_follow_up_nothing_is_said():
    # With 180 days everybody is followed until day 549 at most.
    late = table_of(times=[549, 550], lapse_windows=[180])
    assert late["estimate"].isna().tolist() == [False, True]
    assert late["conf_low"].isna().tolist() == [False, True]
    assert late["n_at_risk"].tolist() == [1, 0]


def test_once_all_have_lapsed_it_stays_so():
    only = table_of(cohort=COHORT[COHORT["patient_id"] == "c"], times=[700], lapse_windows=[180])
    assert only["estimate"].item() == 1


def test_every_engine_gives_the_same_table(engine):
    asked = {"lapse_windows": [120], "times": [150]}
    got = table_of(engine.make(VISITS), engine.make(COHORT), **asked)
    pd.testing.assert_frame_equal(got, table_of(**asked), check_dtype=False)


def test_shifted_days_change_nothing():
    later = pd.Timedelta(days=365)
    shifted = table_of(
        VISITS.assign(visit_date=VISITS["visit_date"] + later),
        COHORT.assign(index_date=START + later),
        data_cutoff="2024-12-30",
    )
    pd.testing.assert_frame_equal(shifted, table_of())


def test_a_window_too_short_for_the_rhythm_shows_in_both_columns():
    # Patients leave with chance 1/600 a day and come about every 40 days until then, so the last
    # visit is by day 365 about where the leaving is by day 405.
    draws = np.random.default_rng(5)
    n = 1500
    life = np.minimum(draws.geometric(1 / 600, n), 1460)
    gaps = np.cumsum(draws.geometric(1 / 40, (n, 120)), axis=1)
    who, which = np.nonzero(gaps < life[:, None])
    day = np.concatenate([np.zeros(n, int), gaps[who, which]])
    patient = np.concatenate([np.arange(n), who])
    visits = pd.DataFrame({"patient_id": patient})
    visits["visit_date"] = START + pd.to_timedelta(day, unit="D")
    keep = day <= 1459
    cohort = pd.DataFrame({"patient_id": np.arange(n), "index_date": START})
    table = lapse_sensitivity(
        visits[keep],
        cohort=cohort,
        lapse_windows=[60, 120, 300],
        times=[365],
        data_cutoff=START + pd.Timedelta(days=1459),
    ).set_index("lapse_days")
    assert table["estimate"].is_monotonic_decreasing
    assert table["share_returned"].is_monotonic_decreasing
    assert table.loc[60, "share_returned"] > 0.3
    assert table.loc[300, "share_returned"] < 0.02
    truth = 1 - (599 / 600) ** 405
    assert abs(table.loc[300, "estimate"] - truth) < 4 * table.loc[300, "std_error"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"times": []}, "times names no day"),
        ({"times": [-1]}, "times"),
        ({"lapse_windows": []}, "at least one window, and none twice"),
        ({"lapse_windows": [90, 90]}, "at least one window, and none twice"),
        ({"conf_level": 95}, "conf_level"),
    ],
)
def test_what_cannot_be_meant_is_refused(more, words):
    with pytest.raises(UsageError, match=words):
        table_of(**more)


def test_patients_too_late_to_be_followed_are_refused():
    with pytest.raises(DataError, match="observable_for"):
        table_of(cohort=COHORT.assign(index_date=pd.Timestamp("2023-11-30")))
