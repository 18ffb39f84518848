from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from loyalty_research.effects import mean_difference
from loyalty_research.effects.exposure_checks import (
    check_contamination,
    check_measurement,
    check_overlap_of_programmes,
)
from loyalty_research.errors import DataError, DesignError, UsageError

PATIENTS = pd.DataFrame(
    {"patient_id": [1, 2, 3, 4, 5, 6], "facility_id": list("aabbcc"), "arm": [0, 0, 1, 1, 0, 0]}
)
VISITS = pd.DataFrame({"patient_id": [1, 1, 2, 2, 3, 4, 5, 9], "facility_id": list("abaababb")})


def test_controls_who_visited_a_clinic_with_the_programme_are_counted(assert_columns):
    # Clinic b has it: patient 1 went there, and patient 5; of controls 1, 2, 5, 6 that is half.
    # Patients 3 and 4 stayed or went to clinic a: 3 did.
    table = check_contamination(PATIENTS, VISITS, arm="arm")
    assert_columns(table, "checks")
    assert table["statistic"].tolist() == [0.5, 0.5]
    assert table["passed"].tolist() == [False, None]
    assert table["gating"].tolist() == [True, False]
    assert "50.0 % of the comparison visited" in table["message"][0]
    few = check_contamination(PATIENTS, VISITS, arm="arm", most=0.6)
    assert few["passed"][0]


def test_contamination_in_every_engine(engine):
    expected = check_contamination(PATIENTS, VISITS, arm="arm")
    found = check_contamination(engine.make(PATIENTS), engine.make(VISITS), arm="arm")
    pd.testing.assert_frame_equal(found, expected)


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"facility_id": "a"}, "no clinic has patients of one arm alone"),
        ({"patient_id": [1, 1, 3, 4, 5, 6]}, "patient_id is there twice in 1 of 6 rows"),
        ({"arm": [None, 0, 1, 1, 0, 0]}, "arm is missing in 1 of 6 rows"),
        ({"arm": 1}, "arm is not 0 and 1"),
    ],
)
def test_patients_that_cannot_be_placed_are_refused(changed, match):
    with pytest.raises(DataError, match=match):
        check_contamination(PATIENTS.assign(**changed), VISITS, arm="arm")
    with pytest.raises(DataError, match="visits: column facility_id is missing"):
        check_contamination(PATIENTS, VISITS[["patient_id"]], arm="arm")
    with pytest.raises(UsageError, match="most=10"):
        check_contamination(PATIENTS, VISITS, arm="arm", most=10)


def programmes(shares):
    n = 100
    data = {"arm": np.repeat([0, 1], n)}
    for name, (zero, one) in shares.items():
        data[name] = np.concatenate([np.arange(n) < zero, np.arange(n) < one]).astype(int)
    return pd.DataFrame(data)


def test_other_programmes_are_tabled_by_arm(assert_columns):
    table = check_overlap_of_programmes(
        programmes({"diet": (30, 35), "walks": (20, 35)}), arm="arm", others=["diet", "walks"]
    )
    assert_columns(table, "checks")
    assert table["check"].tolist() == ["overlap with diet", "overlap with walks"]
    assert table["statistic"].tolist() == pytest.approx([0.05, 0.15])
    assert table["passed"].tolist() == [True, False]
    assert table["message"][1] == "walks: 35.0 % with and 20.0 % without the programme"


def test_a_wide_gap_is_refused_unless_modelled_or_overridden():
    data = programmes({"diet": (10, 45)})
    with pytest.raises(DesignError, match=r"gap above 20 .*covariates=\['diet'\]") as caught:
        check_overlap_of_programmes(data, arm="arm", others="diet")
    assert caught.value.guard == "overlapping programmes"
    edge = check_overlap_of_programmes(programmes({"diet": (70, 90)}), arm="arm", others="diet")
    assert edge["statistic"].item() == 0.2
    modelled = check_overlap_of_programmes(data, arm="arm", others="diet", covariates="diet")
    assert modelled["passed"].tolist() == [True]
    why = {"overlapping programmes": "a leaflet, which does nothing"}
    passed = check_overlap_of_programmes(data, arm="arm", others="diet", override=why)
    assert passed[["passed", "gating"]].iloc[0].tolist() == [False, False]
    with pytest.raises(DataError, match="diet is missing in 1 rows"):
        check_overlap_of_programmes(
            data.assign(diet=[None] + [0.0] * 199), arm="arm", others="diet"
        )


@pytest.mark.parametrize(("one", "passed"), [(90, True), (110, True), (111, False), (89, False)])
def test_measuring_alike_is_from_nine_tenths_to_eleven_tenths(one, passed):
    data = pd.DataFrame({"arm": [0, 1], "readings": [100, one]})
    table = check_measurement(data, arm="arm", measured="readings")
    assert table["statistic"].item() == pytest.approx(one / 100)
    assert table["passed"].item() is passed
    assert table["gating"].item()


def test_measurements_are_counted_per_time():
    data = pd.DataFrame({"arm": [0, 1], "readings": [2, 4], "years": [1.0, 2.0]})
    table = check_measurement(data, arm="arm", measured="readings", exposure="years")
    assert table["statistic"].item() == 1
    with pytest.raises(DataError, match="readings is missing in 1 rows"):
        check_measurement(
            pd.DataFrame({"arm": [0, 1, 1], "readings": [1, 2, None]}), arm="arm",
            measured="readings",
        )  # fmt: skip
    with pytest.raises(DataError, match="nobody of arm 0 has a readings above 0"):
        check_measurement(data.assign(readings=[0, 1]), arm="arm", measured="readings")


def test_measured_only_when_they_come_is_caught_and_biased():
    # METHODS setting K: the truth is -4; controls come when they feel bad, members come anyway.
    rng = np.random.default_rng(1)
    arm = rng.permutation(np.arange(4000) % 2)
    sbp = 145 - 4 * arm + rng.normal(0, 12, 4000)
    come = np.where(arm == 1, 0.9, 1 / (1 + np.exp(-(sbp - 140) / 6)))
    data = pd.DataFrame({"arm": arm, "measured": rng.binomial(1, come)})
    data = data.assign(sbp=np.where(data["measured"] == 1, sbp, np.nan))
    assert not check_measurement(data, arm="arm", measured="measured")["passed"].item()
    effect = mean_difference(data, arm="arm", outcome="sbp", randomised=True)
    assert effect.headline["conf_high"] < -4
    assert effect.failed == ["completeness"]
