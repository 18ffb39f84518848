"""Trials emulated in records: aligned from the first day, a landmark, or in sequence."""

import numpy as np
import pandas as pd
import pytest

from loyalty_research.cohort import apply_criteria, derive_index_dates, known, observable_for
from loyalty_research.data.simulate import simulate_study
from loyalty_research.data.simulate_designs import simulate_design
from loyalty_research.effects.clone_censor_weight import clone_censor_weight
from loyalty_research.effects.survival_effects import retention_difference
from loyalty_research.effects.target_trial import (
    emulate_trial,
    landmark_trial,
    sequential_trials,
    time_varying_hazard_ratio,
)
from loyalty_research.errors import DataError, DesignError, UsageError
from loyalty_research.retention import cox_regression, derive_lapse_dates, derive_time_to_event

SIX = pd.DataFrame(
    {
        "enrolled": [0, None, -30, 5, 40, 0],
        "time": [90, 3, 4, 80, 60, 20],
        "event": [1, 1, 1, 0, 1, 1],
        "adult": [True, True, True, True, True, False],
    }
)
CELL = "C(home_facility_id) + older * condition"


def trial_table(study, lapse_days=180):
    """Return patients first seen at a live clinic, days counted from the first visit."""
    tables, cutoff = study.tables, study.settings["data_cutoff"]
    visits = tables["visits"]
    cohort, _ = apply_criteria(
        derive_index_dates(visits, patients=tables["patients"]),
        criteria={
            "came": known("index_date"),
            "could lapse": observable_for(lapse_days, data_cutoff=cutoff),
        },
    )
    cohort = derive_lapse_dates(visits, lapse_days=lapse_days, data_cutoff=cutoff, cohort=cohort)
    cohort = derive_time_to_event(
        cohort, event_date="lapse_date", data_cutoff=cutoff,
        censor_dates=["death_date", "moved_date", "followed_until"],
    )  # fmt: skip
    first = tables["enrolments"].groupby("patient_id")["enrolment_date"].min()
    live = tables["rollout"].set_index("facility_id")["start_date"]
    return cohort.assign(
        enrolled=(cohort["patient_id"].map(first) - cohort["index_date"]).dt.days,
        older=(cohort["index_date"].dt.year - cohort["birth_year"] >= 65).astype(int),
        condition=(cohort["conditions"].fillna("") != "").astype(int),
        live=cohort["home_facility_id"].map(live) <= cohort["index_date"],
    )


@pytest.fixture(scope="module")
def study():
    return simulate_study(seed=11, n_patients=24_000)


@pytest.fixture(scope="module")
def patients(study):
    return trial_table(study)


def value(study, name):
    return study.truth["estimands"][name]["value"]


def holds(effect, truth):
    return effect.headline["conf_low"] <= truth <= effect.headline["conf_high"]


# --- the bundled world ----------------------------------------------------------------------------


def test_the_trial_from_the_first_visit_finds_the_stated_difference_and_ever_never_does_not(
    study, patients
):
    trial = emulate_trial(patients, exposed_at="enrolled", eligible=["live"])
    assert trial.attrition["criterion"].tolist() == ["all", "live", "not enrolled before time zero"]
    assert trial.attrition["n_after"].iloc[-1] == len(trial.rows)
    settings = {"covariates": CELL, "seed": 1, "n_boot": 100}
    truth = value(study, "retention_difference_365_at_first_visit")
    share = trial.retention_difference(day=365, **settings)
    assert holds(share, truth)
    assert share.headline["std_error"] < 0.02
    assert not share.withheld
    mean = trial.restricted_mean_effect(horizon=365, **settings)
    assert holds(mean, value(study, "restricted_mean_difference_365_at_first_visit"))
    # Ever against never enrolled, as if from the first visit on.
    naive = patients[patients["live"]].assign(ever=lambda d: d["enrolled"].notna().astype(int))
    ever = retention_difference(naive, arm="ever", day=365)
    assert ever.headline["estimate"] > truth + 5 * share.headline["std_error"]
    assert ever.withheld


def test_enrolment_as_it_changes_finds_the_stated_hazard_ratio(study, patients):
    table = patients.assign(clinic=patients["home_facility_id"])
    found = time_varying_hazard_ratio(
        table, exposed_at="enrolled", covariates=["clinic", "older", "condition"]
    )
    assert holds(found, value(study, "programme_hazard_ratio"))
    assert found.headline["std_error"] < 0.06
    assert found.facts.n == len(table)


def test_sequential_trials_followed_until_enrolling_find_the_stated_hazard_ratio(study, patients):
    table = patients[patients["live"]].assign(clinic=lambda d: d["home_facility_id"])
    trials = sequential_trials(
        table, every=30, last=180, exposed_at="enrolled", later="censored", eligible=["live"]
    )
    found = trials.conditional_hazard_ratio(day=180, covariates=["clinic", "older", "condition"])
    assert holds(found, value(study, "programme_hazard_ratio"))
    assert found.facts.n_clusters == trials.rows["patient"].nunique()


def test_the_sustained_difference_of_the_simulated_study_is_found(study, patients):
    truth = {name: row["value"] for name, row in study.truth["estimands"].items()}
    effect = clone_censor_weight(
        patients, exposed_at="enrolled", grace=0, day=365, covariates=CELL, eligible=["live"],
        seed=1, n_boot=60,
    )  # fmt: skip
    rows = effect.estimates.set_index("term")
    for term, name in (
        ("retention difference", "retention_difference_365_sustained"),
        ("difference in mean time", "restricted_mean_difference_365_sustained"),
    ):
        assert rows.loc[term, "conf_low"] <= truth[name] <= rows.loc[term, "conf_high"]
    assert rows.loc["retention difference", "std_error"] < 0.02
    assert not effect.withheld
    assert effect.facts.more["n_excluded"] == (~patients["live"]).sum()


@pytest.mark.parametrize("kind", ["datetime64[ns]", "object", "datetime64[ns, UTC]"])
def test_dates_of_enrolment_are_refused_where_days_are_due(kind):
    day = pd.Series(["2024-01-05", None, "2024-03-01", None]).astype("datetime64[ns]")
    day = day.dt.date.where(day.notna(), None) if kind == "object" else day
    day = day.dt.tz_localize("UTC") if kind.endswith("UTC]") else day
    data = pd.DataFrame({"joined": day, "time": [9, 3, 4, 8], "event": 1, "arm": [1, 0, 1, 0]})
    words = r"joined holds dates, not days; subtract the index date \(derive_exposure does\)"
    with pytest.raises(DataError, match=words):
        emulate_trial(data, exposed_at="joined")
    with pytest.raises(DataError, match=words):
        retention_difference(data, arm="arm", day=3, exposed_at="joined")


# --- setting F: nobody gains, but who stays can enrol ---------------------------------------------


@pytest.fixture(scope="module")
def studies():
    return [simulate_design("immortal_time", seed=seed).data for seed in range(30)]


def test_ever_enrolled_looks_protective_where_the_truth_is_no_effect(studies):
    naive = []
    for data in studies:
        ever = data.assign(ever=data["enrolment_day"].notna().astype(int))
        row = cox_regression(ever, covariates=["ever"]).iloc[0]
        naive.append(row["estimate"])
        assert row["conf_high"] < -0.3
    assert np.mean(naive) < -0.5


def test_aligned_comparisons_find_no_effect(studies):
    ways = {
        "landmark": lambda d: landmark_trial(
            d, landmark=180, exposed_at="enrolment_day"
        ).conditional_hazard_ratio(day=100, covariates=[]),
        "varying": lambda d: time_varying_hazard_ratio(d, exposed_at="enrolment_day"),
        "sequential": lambda d: sequential_trials(
            d, every=60, last=360, exposed_at="enrolment_day"
        ).conditional_hazard_ratio(day=100, covariates=[]),
    }
    for name, way in ways.items():
        rows = [way(data).headline for data in studies]
        logs = np.log([row["estimate"] for row in rows])
        error = logs.std(ddof=1) / np.sqrt(len(logs))
        assert abs(logs.mean()) < 3 * error, name
        # Of 30 studies an error is known to 13 %.
        average = np.mean([row["std_error"] for row in rows])
        assert average / logs.std(ddof=1) == pytest.approx(1, abs=0.4), name
        # Of 30 intervals of 95 % fewer than 25 hold the truth once in 800 worlds.
        assert sum(row["conf_low"] <= 1 <= row["conf_high"] for row in rows) >= 25, name


# --- by hand --------------------------------------------------------------------------------------


def test_arms_are_those_of_day_0_and_members_of_before_are_left_out_and_counted():
    trial = emulate_trial(SIX, exposed_at="enrolled", eligible=["adult"])
    assert trial.rows["patient"].tolist() == [0, 1, 3, 4]
    assert trial.rows["arm"].tolist() == [1, 0, 0, 0]
    expected = [["all", 6, 0, 6], ["adult", 6, 1, 5], ["not enrolled before time zero", 5, 1, 4]]
    columns = ["criterion", "n_before", "n_excluded", "n_after"]
    assert trial.attrition[columns].to_numpy().tolist() == expected
    assert trial.checks[0].message == "1 patient enrolled before time zero left out"


def test_members_of_before_may_stay_but_gate():
    trial = emulate_trial(SIX, exposed_at="enrolled", new_users=False)
    assert trial.rows["arm"].tolist() == [1, 0, 1, 0, 0, 1]
    assert "prevalent members" in trial.retention_difference(day=3).failed


def test_a_landmark_takes_those_still_followed_and_who_had_enrolled_by_then():
    trial = landmark_trial(SIX, landmark=30, exposed_at="enrolled")
    # Patients 1, 2 and 5 left by day 30; 3 enrolled on day 5, 4 only on day 40.
    assert trial.rows[["patient", "arm", "time"]].to_numpy().tolist() == [
        [0, 1, 60],
        [3, 1, 50],
        [4, 0, 30],
    ]
    assert trial.attrition["n_after"].tolist() == [6, 5, 3]


def test_each_trial_of_a_sequence_takes_the_newly_enrolled_against_the_not_yet_enrolled():
    trial = sequential_trials(SIX, every=30, last=60, exposed_at="enrolled")
    rows = trial.rows.groupby("trial")[["patient", "arm", "time"]].apply(
        lambda d: d.to_numpy().tolist()
    )
    assert rows[0] == [[0, 1, 90], [1, 0, 3], [3, 0, 80], [4, 0, 60], [5, 1, 20]]
    # On day 30: patient 0 enrolled too long ago, 3 since day 0, 4 not yet.
    assert rows[30] == [[3, 1, 50], [4, 0, 30]]
    # On day 60: 4 enrolled on day 40 and left on day 60 itself; nobody else is eligible.
    assert 60 not in rows.index
    assert trial.clustered


def test_a_day_on_which_nobody_has_just_enrolled_makes_no_trial():
    data = SIX.assign(enrolled=[20, None, -30, 5, 40, 9])
    trial = sequential_trials(data, every=30, last=60, exposed_at="enrolled")
    assert trial.rows["trial"].unique().tolist() == [30]
    assert "each of 1 trial" in trial.time_zero
    none = SIX.assign(enrolled=[None] * 6)
    with pytest.raises(DataError, match="nobody who is eligible is in arm 1"):
        sequential_trials(none, every=30, last=60, exposed_at="enrolled")


def test_later_enrolment_ends_follow_up_the_day_before_where_it_is_censored():
    trial = sequential_trials(SIX, every=30, last=0, exposed_at="enrolled", later="censored")
    rows = trial.rows.set_index("patient")
    assert rows.loc[3, ["time", "event"]].tolist() == [4, 0]
    assert rows.loc[4, ["time", "event"]].tolist() == [39, 0]
    assert rows.loc[0, ["time", "event"]].tolist() == [90, 1]


def test_days_before_enrolling_count_without_the_programme():
    data = pd.DataFrame({"enrolled": [2, None, None, 1], "time": [5, 3, 4, 3], "event": 1})
    found = time_varying_hazard_ratio(data, exposed_at="enrolled")
    # Day 3: two of each, one of each leaves (Efron halves the second place); day 4: one of each.
    # 1 = h / (1 + h) + h / (1 + h) + h / (1 + h).
    assert found.headline["estimate"] == pytest.approx(1 / 2)
    # Enrolled days: 2 to 5 and 1 to 3, seven with two events; without: 2 + 1 + 4 + 5, two events.
    assert found.facts.levels == pytest.approx({0: 100 * 2 / 12, 1: 100 * 2 / 7})


def test_enrolling_on_the_day_of_leaving_counts_as_enrolled():
    data = pd.DataFrame({"enrolled": [3, None, None], "time": [3, 3, 5], "event": 1})
    found = time_varying_hazard_ratio(data, exposed_at="enrolled")
    assert found.facts.levels[1] == pytest.approx(100.0)


def test_the_protocol_states_what_the_trial_would_have_been():
    trial = sequential_trials(SIX, every=30, last=60, exposed_at="enrolled", eligible=["adult"])
    items = trial.protocol.set_index("item")
    assert items.index.tolist() == [
        "eligibility", "treatment strategies", "assignment", "time zero", "follow-up", "outcome",
        "causal contrast", "analysis",
    ]  # fmt: skip
    assert "adult" in items.loc["eligibility", "target_trial"]
    assert "every 30 days" in items.loc["time zero", "target_trial"]


def test_weights_of_a_sequence_know_the_day_of_the_trial_and_draw_whole_patients():
    data = simulate_design("immortal_time", seed=1).data
    data["age"] = np.random.default_rng(1).normal(size=len(data))
    trial = sequential_trials(data, every=90, last=270, exposed_at="enrolment_day")
    effect = trial.retention_difference(day=180, covariates=["age"], seed=1, n_boot=60)
    assert effect.facts.n_clusters == trial.rows["patient"].nunique()
    assert "age, trial" not in effect.facts.estimand
    assert effect.checks["check"].tolist()[:2] == ["prevalent members", "immortal time"]
    assert effect.facts.design.startswith("emulated trial")
    assert "patient-trials" in effect.sentence()


# --- refusals -------------------------------------------------------------------------------------


def test_an_arm_decided_after_time_zero_is_refused_with_what_it_would_say():
    data = simulate_design("immortal_time", seed=1).data
    data["ever"] = data["enrolment_day"].notna().astype(int)
    with pytest.raises(
        DesignError, match=r"ever is 1 of .* who enrolled after time zero"
    ) as caught:
        emulate_trial(data, exposed_at="enrolment_day", arm="ever")
    words = str(caught.value)
    assert "landmark_trial" in words
    assert "time_varying_hazard_ratio" in words
    assert caught.value.guard == "immortal time"


def test_a_reason_overrides_the_refusal_and_stays_with_the_effect():
    data = simulate_design("immortal_time", seed=1).data
    data["ever"] = data["enrolment_day"].notna().astype(int)
    reason = {"immortal time": "shown to teach what goes wrong"}
    trial = emulate_trial(data, exposed_at="enrolment_day", arm="ever", override=reason)
    effect = trial.hazard_ratio(day=365)
    assert effect.facts.overrides == reason
    assert effect.headline["conf_high"] < 0.8


def test_an_arm_that_agrees_with_day_0_passes():
    data = SIX.assign(member=[1, 0, 1, 0, 0, 1])
    trial = emulate_trial(data, exposed_at="enrolled", arm="member")
    assert trial.rows["arm"].tolist() == [1, 0, 0, 0, 1]
    assert [check.passed for check in trial.checks] == [True, True]


def test_nobody_enrolled_on_day_0_is_refused_with_the_ways_out():
    with pytest.raises(DataError, match=r"nobody who is eligible is in arm 1.*landmark_trial"):
        emulate_trial(SIX.assign(enrolled=[5, None, -30, 5, 40, 9]), exposed_at="enrolled")


def test_days_that_are_no_days_are_refused():
    with pytest.raises(DataError, match="enrolled is not a whole number of days in 1 of 6 rows"):
        emulate_trial(SIX.assign(enrolled=[0.5, None, 1, 5, 40, 0]), exposed_at="enrolled")


def test_a_criterion_that_is_unknown_is_refused():
    with pytest.raises(DataError, match="adult is neither true nor false in 6 of 6 rows"):
        emulate_trial(SIX.assign(adult="yes"), exposed_at="enrolled", eligible=["adult"])


def test_a_reserved_name_is_refused():
    with pytest.raises(UsageError, match="'trial' is a name the trial gives"):
        emulate_trial(SIX.rename(columns={"adult": "trial"}), exposed_at="enrolled",
                      eligible=["trial"])  # fmt: skip


def test_an_unknown_fate_of_later_enrolment_is_refused():
    with pytest.raises(UsageError, match="later='lost' must be 'ignored' or 'censored'"):
        sequential_trials(SIX, every=30, last=60, exposed_at="enrolled", later="lost")
