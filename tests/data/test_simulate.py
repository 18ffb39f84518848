"""A simulated study is well formed, repeatable, and as its scenario says."""

from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest

from loyalty_research.data.contract import CONTRACT
from loyalty_research.data.scenario import NEVER, Scenario
from loyalty_research.data.simulate import simulate_study
from loyalty_research.data.write import content_hash
from loyalty_research.errors import UsageError


@pytest.fixture(scope="module")
def study():
    return simulate_study(seed=3, n_patients=3000)


def merged(study, table, on="patient_id"):
    return study.tables[table].merge(study.tables["patients"], left_on=on, right_on="patient_id")


def test_every_table_of_the_contract_is_drawn_in_the_contracts_columns(study):
    assert len(study.tables) == 11
    for name, table in study.tables.items():
        assert len(table) > 0
        assert list(table.columns) == [c for c in CONTRACT[name].by_name if c in table.columns]
        required = {column.name for column in CONTRACT[name].columns if column.required}
        assert required <= set(table.columns)


def test_keys_are_unique_and_codes_are_those_of_the_contract(study):
    for name, table in study.tables.items():
        assert not table.duplicated(list(CONTRACT[name].key)).any()
        for column in CONTRACT[name].columns:
            if column.name in table.columns and column.choices:
                assert set(table[column.name].dropna()) <= set(column.choices)


def test_every_reference_finds_its_row(study):
    for name, table in study.tables.items():
        for column in CONTRACT[name].columns:
            if column.references and column.name in table.columns:
                parent, key = column.references.split(".")
                known = set(study.tables[parent][key])
                assert set(table[column.name].dropna()) <= known


def test_the_same_seed_gives_the_same_study_and_another_seed_another():
    first, again = (simulate_study(seed=8, n_patients=200) for _ in range(2))
    assert content_hash(first.tables) == content_hash(again.tables)
    other = simulate_study(seed=9, n_patients=200)
    assert content_hash(first.tables) != content_hash(other.tables)


def test_nothing_touches_numpys_global_random_numbers():
    np.random.seed(1)  # noqa: NPY002
    before = np.random.random()  # noqa: NPY002
    np.random.seed(1)  # noqa: NPY002
    simulate_study(seed=8, n_patients=10)
    assert np.random.random() == before  # noqa: NPY002


def test_one_table_changes_without_the_others():
    plain = simulate_study(seed=8, n_patients=300)
    noisy = simulate_study(seed=8, n_patients=300, complaint_rate=0.5)
    assert len(noisy.tables["complaints"]) > len(plain.tables["complaints"])
    pd.testing.assert_frame_equal(noisy.tables["visits"], plain.tables["visits"])
    pd.testing.assert_frame_equal(noisy.tables["points"], plain.tables["points"])


def test_a_patient_who_still_comes_is_never_away_for_more_than_170_days(study):
    gaps = study.tables["visits"].groupby("patient_id")["visit_date"].diff().dt.days
    assert gaps.max() <= 170
    assert gaps.min() >= 1
    assert 0.02 < (gaps > 90).sum() / gaps.notna().sum() < 0.06


def test_the_last_visit_of_a_lapsed_patient_is_on_the_day_of_lapsing(study):
    visits = study.tables["visits"].groupby("patient_id")["visit_date"].agg(["min", "max"])
    span = (visits["max"] - visits["min"]).dt.days
    lapse = study.latent.set_index("patient_id")["lapse_day"]
    patients = study.tables["patients"].set_index("patient_id")
    last_seen = patients["observed_until"].fillna(pd.Timestamp("2024-12-31"))
    gone = lapse.fillna(NEVER) <= (last_seen - visits["min"]).dt.days
    exits = patients[["death_date", "moved_date"]].notna().any(axis=1)
    assert not (gone & exits & (lapse <= span)).any()
    assert (span[gone & ~exits] == lapse[gone & ~exits]).all()
    assert (gone & ~exits).sum() > 1000


def test_nothing_is_recorded_after_death_moving_withdrawal_or_the_cut_off(study):
    dated = {
        "visits": "visit_date",
        "enrolments": "enrolment_date",
        "contacts": "contact_date",
        "measurements": "measurement_date",
        "survey_responses": "survey_date",
        "complaints": "opened_at",
        "points": "movement_date",
    }
    for table, column in dated.items():
        rows = merged(study, table)
        day = rows[column].dt.normalize()
        for end in ("death_date", "moved_date", "observed_until"):
            assert not (day > rows[end]).any()
        assert not (day > pd.Timestamp("2024-12-31")).any()
    referrals = merged(study, "referrals", on="referrer_id")
    assert not (referrals["referral_date"] > referrals["death_date"]).any()


def test_no_one_is_enrolled_before_the_clinic_is_live_or_at_one_that_never_is(study):
    rows = merged(study, "enrolments").merge(
        study.tables["rollout"], left_on="home_facility_id", right_on="facility_id"
    )
    assert (rows["enrolment_date"] >= rows["start_date"]).all()
    assert study.tables["rollout"]["start_date"].isna().sum() == 2
    assert study.tables["rollout"]["start_date"].dropna().is_unique


def test_enrolment_is_a_visit_and_ends_with_a_known_exit_only(study):
    visits = study.tables["visits"][["patient_id", "visit_date"]]
    rows = merged(study, "enrolments")
    found = rows.merge(
        visits, left_on=["patient_id", "enrolment_date"], right_on=["patient_id", "visit_date"]
    )
    assert len(found) == len(rows)
    exits = rows[["death_date", "moved_date"]].min(axis=1)
    assert (rows["end_date"].fillna(pd.Timestamp(0)) == exits.fillna(pd.Timestamp(0))).all()
    assert set(rows["end_reason"].dropna()) <= {"died", "moved"}


def test_contacts_fall_due_1_7_30_and_90_days_after_enrolment(study):
    rows = study.tables["contacts"].merge(study.tables["enrolments"], on="patient_id")
    assert set((rows["due_date"] - rows["enrolment_date"]).dt.days) == {1, 7, 30, 90}
    delay = (rows["contact_date"] - rows["due_date"]).dt.days.dropna()
    assert delay.between(0, 3).all()
    assert (rows["contact_date"].isna() == rows["outcome"].isna()).all()
    assert (rows["due_date"] > pd.Timestamp("2024-12-31")).any()


def test_no_points_balance_is_ever_negative(study):
    points = study.tables["points"]
    signed = points["points"].where(points["movement"] == "earn", -points["points"])
    assert signed.groupby(points["patient_id"]).cumsum().min() >= 0
    assert (points["movement"] == "redeem").any()


def test_scores_lie_on_their_scales(study):
    scores = study.tables["survey_responses"].groupby("item")["score"].agg(["min", "max"])
    assert scores.loc["satisfaction"].between(1, 5).all()
    assert scores.loc["recommend"].between(0, 10).all()


def test_complaints_of_the_last_days_are_still_open():
    complaints = simulate_study(seed=3, n_patients=3000, complaint_rate=0.3).tables["complaints"]
    last = complaints[complaints["opened_at"] >= pd.Timestamp("2024-12-30")]
    assert last["resolved_at"].isna().mean() > 0.5
    assert complaints["responded_at"].isna().any()
    stamps = complaints[["opened_at", "responded_at", "resolved_at"]].max()
    assert (stamps < pd.Timestamp("2025-01-01")).all()
    assert (complaints["responded_at"].dropna() >= complaints["opened_at"].loc[
        complaints["responded_at"].notna()
    ]).all()  # fmt: skip


def test_nobody_comes_on_two_recommendations_or_before_they_were_given(study):
    referrals = study.tables["referrals"].dropna(subset="referred_id")
    assert referrals["referred_id"].is_unique
    first = study.tables["visits"].groupby("patient_id")["visit_date"].min()
    wait = (first.loc[referrals["referred_id"]].to_numpy() - referrals["referral_date"]).dt.days
    assert wait.between(1, 90).all()


def test_a_study_of_one_patient_can_be_drawn():
    study = simulate_study(seed=1, n_patients=1)
    assert len(study.tables["patients"]) == 1
    assert study.tables["visits"]["patient_id"].unique().tolist() == ["P000001"]


def test_names_of_clinics_are_taken_as_given():
    study = simulate_study(seed=1, n_patients=5, n_facilities=2, facility_names=["东院", "西院"])
    assert study.tables["facilities"]["facility_name"].tolist() == ["东院", "西院"]


def test_other_years_and_more_clinics_can_be_asked_for():
    study = simulate_study(
        seed=1, n_patients=500, start=date(2015, 6, 1), data_cutoff=date(2017, 3, 31),
        n_facilities=30,
    )  # fmt: skip
    visits = study.tables["visits"]["visit_date"]
    assert visits.min() >= pd.Timestamp("2015-06-01")
    assert visits.max() <= pd.Timestamp("2017-03-31")
    assert study.tables["facilities"]["facility_name"].iloc[-1] == "Clinic 30"
    assert study.tables["rollout"]["start_date"].isna().sum() == 7


def test_clinics_differ_in_size_and_in_risk_and_their_shares_add_up():
    world = Scenario(n_facilities=9)
    assert world.facility_share.sum() == pytest.approx(1)
    assert len(set(world.facility_share.round(9))) == 9
    assert sorted(world.facility_log_hazard) == pytest.approx(np.linspace(-0.25, 0.25, 9))


def test_the_cumulative_hazard_and_its_inverse_undo_each_other():
    world = replace(Scenario(), weibull_scale=100.0, weibull_shape=0.5)
    assert world.cumulative_hazard(400) == pytest.approx(2.0)  # (400 / 100) ** .5
    assert world.inverse_cumulative_hazard(2.0) == pytest.approx(400)


def test_all_arguments_that_cannot_be_meant_are_named_at_once():
    with pytest.raises(UsageError, match="seed must be 0 or more; n_patients must be at least 1"):
        simulate_study(seed=-1, n_patients=0)
    with pytest.raises(UsageError, match=r"n_facilities must be at least 2.*reach_probability"):
        simulate_study(seed=1, n_patients=5, n_facilities=1, reach_probability=1.5)
    with pytest.raises(UsageError, match="at least 545 days after start"):
        simulate_study(seed=1, n_patients=5, data_cutoff=date(2021, 12, 31))
    with pytest.raises(UsageError, match="one name for each of the 8 clinics"):
        simulate_study(seed=1, n_patients=5, facility_names=["North"])
