from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from loyalty_research.effects.arms import completeness_check, open_arms, refuse_unclustered
from loyalty_research.effects.guards import open_guards
from loyalty_research.errors import DataError, DesignError, UsageError

EIGHT = pd.DataFrame(
    {
        "arm": [0, 0, 0, 0, 1, 1, 1, 1],
        "came": [0, 1, None, 0, 1, 1, 0, 1],
        "age": [50, 61, 72, 43, 54, 65, 76, 47],
        "sex": ["f", "m", "f", "m", "f", "m", "m", "f"],
        "clinic": list("aabbccdd"),
        "years": [1.0, 2, 1, 2, 1, 2, 1, 2],
    }
)
NAMES = {"arm": "arm", "outcome": "came"}


def test_rows_without_an_outcome_are_left_out_and_counted_by_arm():
    rows = open_arms(EIGHT, **NAMES, cluster="clinic", exposure="years", covariates=["age", "sex"])
    assert rows.n == 7
    assert rows.n_missing == {0: 1, 1: 0}
    assert rows.sizes() == (3, 4)
    assert rows.means() == pytest.approx({0: 1 / 3, 1: 3 / 4})
    assert rows.n_clusters == 4
    assert rows.cluster.tolist() == [0, 0, 1, 2, 2, 3, 3]
    assert rows.exposure.tolist() == [1, 2, 2, 1, 2, 1, 2]
    assert rows.design.terms == ["age", "sex[m]"]
    assert rows.x[0].tolist() == [50, 0]


def test_every_engine_gives_the_same_rows(engine):
    rows = open_arms(engine.make(EIGHT), **NAMES, covariates=["age"])
    assert rows.means() == pytest.approx({0: 1 / 3, 1: 3 / 4})
    assert sorted(rows.x[:, 0]) == [43, 47, 50, 54, 61, 65, 76]


@pytest.mark.parametrize("values", [[False] * 4 + [True] * 4, [0.0] * 4 + [1.0] * 4])
def test_an_arm_may_be_a_truth_or_a_number(values):
    assert open_arms(EIGHT.assign(arm=values), **NAMES).sizes() == (3, 4)


def test_all_faults_are_told_at_once_and_no_value_is_quoted():
    data = EIGHT.assign(
        arm=["no"] * 4 + ["yes"] * 4, came=[0, 1, 2, 0, 1, 1, 0, 1], age=[None] + [50] * 7,
        years=[0.0] + [1] * 7,
    )  # fmt: skip
    with pytest.raises(DataError) as caught:
        open_arms(data, **NAMES, kind="binary", covariates=["age"], exposure="years")
    assert [str(fault) for fault in caught.value.faults] == [
        "data: arm is 'no' or 'yes', not 0 or 1; code the programme as 1, the comparison as 0",
        "data: came is 0 or 1 or 2, not 0 or 1; code the event as 1, all else as 0",
        "data: age is missing in 1 of 8 rows; drop these rows, saying how many, or find the value",
        "data: years is not above 0 in 1 of 8 rows; leave out rows without time under observation",
    ]


@pytest.mark.parametrize(
    ("changed", "kind", "match"),
    [
        ({"arm": 1}, "number", "no row of arm 0, the comparison, has a known came"),
        ({"came": [None] * 4 + [1] * 4}, "number", "no row of arm 0"),
        ({"arm": [None, 0, 0, 0, 1, 1, 1, 1]}, "number", "arm is missing in 1 of 8 rows"),
        ({"arm": [0, 0, 0, 0, 2, 2, 2, 2]}, "number", "arm is 0 or 2, not 0 or 1"),
        ({"came": [np.inf] + [1] * 7}, "number", "came is infinite in 1 of 8 rows"),
        ({"came": list("ababab") + ["a"] * 2}, "number", "came is 'a' or 'b', not a number"),
        ({"came": [0.5, -1] + [1] * 6}, "count", "came is no count in 2 of 8 rows"),
        ({"years": pd.to_datetime(["2024-01-01"] * 8)}, "number", "years is datetime64.*no"),
    ],
)
def test_bad_values_are_refused(changed, kind, match):
    with pytest.raises(DataError, match=match):
        open_arms(EIGHT.assign(**changed), **NAMES, kind=kind, exposure="years")


def test_columns_that_are_not_there_are_named():
    with pytest.raises(DataError, match=r"column cme is missing; did you mean came\?"):
        open_arms(EIGHT, arm="arm", outcome="cme")
    with pytest.raises(DataError, match="the table has no rows"):
        open_arms(EIGHT.iloc[:0], **NAMES)
    with pytest.raises(UsageError, match="kind='ratio' is not known"):
        open_arms(EIGHT, **NAMES, kind="ratio")


def test_the_outcome_has_to_be_known_alike_in_both_arms():
    check = completeness_check(open_arms(EIGHT, **NAMES), outcome="came")
    assert (check.passed, check.gating, check.statistic) == (False, True, 0.25)
    assert "known of 100.0 % with and 75.0 % without" in check.message
    full = open_arms(EIGHT.assign(came=1.0), **NAMES)
    assert completeness_check(full, outcome="came").passed


def test_clinics_assigned_whole_need_a_cluster():
    with pytest.raises(DesignError, match=r"each of 4 clusters.*cluster='clinic'") as caught:
        refuse_unclustered(open_guards(["clusters"], override=None), EIGHT, arm="arm")
    assert caught.value.guard == "clusters"


def test_clinics_with_both_arms_need_none():
    mixed = EIGHT.assign(clinic=list("abababab"))
    guards = open_guards(["clusters"], override=None)
    refuse_unclustered(guards, mixed, arm="arm")
    assert guards.checks[0].passed


def test_a_clinic_of_one_patient_each_is_no_sign_of_clusters():
    single = EIGHT.assign(clinic=range(8))
    guards = open_guards(["clusters"], override=None)
    refuse_unclustered(guards, single, arm="arm")
    assert guards.checks[0].passed


def whole_clinics(n_clinics=12, size=55):
    """Return patients of clinics of which the second half has the programme."""
    clinic = np.repeat(np.arange(n_clinics), size)
    arm = (clinic >= n_clinics // 2).astype(int)
    return pd.DataFrame({"clinic": clinic, "arm": arm, "pid": np.arange(len(clinic))})


@pytest.mark.parametrize(("astray", "told"), [(1, "1 patient in"), (33, "33 patients in")])
def test_clinics_assigned_whole_are_seen_although_some_patients_are_in_the_other_arm(astray, told):
    data = whole_clinics()
    # 33 of 660 are 5 %.
    data.loc[range(0, 9 * astray, 9), "arm"] = 1
    with pytest.raises(DesignError, match=f"but for {told} the other arm than most of"):
        refuse_unclustered(open_guards(["clusters"], override=None), data, arm="arm")


def clinics_with_both(share, *, size=55, seed=1):
    """Return patients who were drawn within twelve clinics."""
    data = whole_clinics(size=size)
    return data.assign(arm=(np.random.default_rng(seed).random(len(data)) < share).astype(int))


def more_astray():
    """Return clinics with 34 of 660 patients in the other arm."""
    data = whole_clinics()
    data.loc[range(0, 9 * 34, 9), "arm"] = 1
    return data


@pytest.mark.parametrize(
    "data",
    [*(clinics_with_both(share) for share in (0.5, 0.1, 0.03, 0.97)), more_astray(),
     *(clinics_with_both(0.5, size=3, seed=seed) for seed in range(5))],
)  # fmt: skip
def test_patients_drawn_within_clinics_need_no_cluster(data):
    guards = open_guards(["clusters"], override=None)
    refuse_unclustered(guards, data, arm="arm")
    assert guards.checks[0].passed


def test_a_cluster_within_clinics_that_were_assigned_whole_is_refused():
    data = whole_clinics().assign(doctor=lambda d: d["pid"] // 11, district=lambda d: d["arm"])
    for cluster in ("pid", "doctor"):
        guards = open_guards(["clusters"], override=None)
        with pytest.raises(DesignError, match=f"not levels of {cluster}.*give cluster='clinic'"):
            refuse_unclustered(guards, data, arm="arm", cluster=cluster)
    for cluster in ("clinic", "district"):
        guards = open_guards(["clusters"], override=None)
        refuse_unclustered(guards, data, arm="arm", cluster=cluster)
        assert [one.check for one in guards.checks] == ["mixed clusters"]


def test_clusters_that_hold_both_arms_are_counted():
    data = whole_clinics()
    data.loc[[0, 1, 60], "arm"] = 1
    guards = open_guards(["clusters"], override=None)
    refuse_unclustered(guards, data, arm="arm", cluster="clinic")
    (check,) = guards.checks
    assert (check.passed, check.gating, check.statistic) == (None, False, 2)
    assert check.message == "2 of 12 clusters hold patients of both arms"


def test_exactly_five_points_are_still_alike():
    data = pd.DataFrame({"arm": [0] * 20 + [1] * 20, "y": [None] + [1.0] * 39})
    check = completeness_check(open_arms(data, arm="arm", outcome="y"), outcome="y")
    assert check.passed
