"""The share of visits with the own team: by hand, windows, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from loyalty_research.errors import DataError, UsageError
from loyalty_research.retention.continuity import continuity_summary
from loyalty_research.retention.own_team import derive_own_team_visits

# p sees A, A, B, A and somebody unknown; q sees B, B; r has no team; s has no visit.
VISITS = pd.DataFrame(
    {
        "patient_id": list("pppppqqr"),
        "visit_date": pd.to_datetime(
            [*[f"2024-01-0{day}" for day in range(1, 6)], "2024-02-01", "2024-02-02", "2024-03-01"]
        ),
        "staff_id": ["A", "A", "B", "A", None, "B", "B", "A"],
    }
)
COHORT = pd.DataFrame(
    {
        "patient_id": list("pqrs"),
        "team_id": ["A", "A", None, "B"],
        "signed": pd.to_datetime(["2024-01-02", "2024-02-01", "2024-01-01", "2024-01-01"]),
        "until": pd.to_datetime(["2024-01-03", None, None, None]),
    }
)


def test_the_share_by_hand(engine):
    got = engine.read(
        derive_own_team_visits(engine.make(VISITS), cohort=engine.make(COHORT), team="team_id")
    )
    assert got["n_visits"].tolist() == [5, 2, 1, 0]
    assert got["n_unknown"].tolist() == [1, 0, 0, 0]
    assert got["n_own_team"].tolist() == [3, 0, 0, 0]
    # 3 of the 4 visits to a known provider; none of 2; without a team, or a visit, no share.
    assert got["own_team"].fillna(-1).tolist() == [0.75, 0, -1, -1]


def test_only_visits_within_the_window_count(engine):
    got = engine.read(
        derive_own_team_visits(
            engine.make(VISITS), cohort=engine.make(COHORT), team="team_id",
            start="signed", end="until",
        )
    )  # fmt: skip
    assert got["n_visits"].tolist()[0] == 2  # 2 January to A, 3 January to B
    assert got["own_team"].tolist()[0] == 0.5


def test_too_few_visits_leave_no_share():
    got = derive_own_team_visits(VISITS, cohort=COHORT, team="team_id", minimum_visits=3)
    assert got["own_team"].fillna(-1).tolist() == [0.75, -1, -1, -1]


def test_shuffled_rows_give_the_same_shares_and_the_cohort_stays_as_it_was():
    before = COHORT.copy()
    one = derive_own_team_visits(VISITS, cohort=COHORT, team="team_id")
    other = derive_own_team_visits(
        VISITS.sample(frac=1, random_state=3), cohort=COHORT, team="team_id"
    )
    pd.testing.assert_frame_equal(one, other)
    pd.testing.assert_frame_equal(COHORT, before)


def test_a_simulated_share_is_recovered():
    draws = np.random.default_rng(5)
    n, visits_each, truth = 2000, 6, 0.7
    team = draws.integers(0, 9, n)
    who = np.repeat(np.arange(n), visits_each)
    seen = np.where(draws.random(len(who)) < truth, team[who], 9)
    visits = pd.DataFrame(
        {"patient_id": who, "visit_date": pd.Timestamp("2024-01-01"), "staff_id": seen}
    )
    cohort = pd.DataFrame({"patient_id": np.arange(n), "team_id": team})
    shares = derive_own_team_visits(visits, cohort=cohort, team="team_id")
    row = continuity_summary(shares, indices="own_team").iloc[0]
    assert row["term"] == "own_team"
    assert abs(row["estimate"] - truth) < 4 * row["std_error"]
    # Of the mean of six draws each: the root of 0.7 x 0.3 / 6 / 2000.
    assert row["std_error"] == pytest.approx((0.7 * 0.3 / 6 / n) ** 0.5, rel=0.05)


@pytest.mark.parametrize(
    ("visits", "cohort", "words"),
    [
        (VISITS, COHORT.assign(team_id=None), "team_id is missing in every one of 4 rows"),
        (VISITS, COHORT.assign(team_id=7), "team_id is a number but staff_id in visits is text"),
        (VISITS, COHORT.assign(team_id="Z"), "team_id is never the staff_id of any of 7 visits"),
        (VISITS.assign(staff_id=None), COHORT, "staff_id is missing in every one of 8 rows"),
        (
            VISITS.rename(columns={"staff_id": "visit_id"}),
            COHORT,
            "column staff_id is missing; add",
        ),
        (VISITS, COHORT.drop(columns="team_id"), "column team_id is missing"),
    ],
)
def test_codes_that_cannot_be_compared_are_refused(visits, cohort, words):
    with pytest.raises(DataError, match=words):
        derive_own_team_visits(visits, cohort=cohort, team="team_id")


def test_arguments_that_cannot_be_meant_are_refused():
    with pytest.raises(UsageError, match="minimum_visits=0 must be a whole number, at least 1"):
        derive_own_team_visits(VISITS, cohort=COHORT, team="team_id", minimum_visits=0)
    with pytest.raises(UsageError, match="cohort is None; give the patients"):
        derive_own_team_visits(VISITS, cohort=None, team="team_id")
    with pytest.raises(UsageError, match="team='own_team' is also a column of the result"):
        derive_own_team_visits(VISITS, cohort=COHORT, team="own_team")
