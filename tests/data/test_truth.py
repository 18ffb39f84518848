"""Every stated truth is estimated from a large simulated study, by an estimator written here.

Each check must be able to fail: it is repeated with a truth that is 10 % off and has to refuse it.
"""

from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from loyalty_research.data import truth
from loyalty_research.data.estimands import LAPSE_DEFINITION, true_values
from loyalty_research.data.lives import draw_lives
from loyalty_research.data.scenario import NEVER, Scenario
from loyalty_research.data.simulate import simulate_study

WORLD = Scenario()
STATED = true_values(WORLD)
N_PATIENTS = 300_000  # of the study whose tables are analysed
N_LIVES = 1_500_000  # where the latent days are enough
LAPSE_DAYS = 180
CUTOFF = np.datetime64(WORLD.data_cutoff, "D")


def assert_is_the_truth(estimate, std_error, value, *, off=0.10):
    """Within 4 standard errors of the truth, and further than that from one that is off."""
    assert abs(estimate - value) < 4 * std_error
    for wrong in (value * (1 - off), value * (1 + off)):
        assert abs(estimate - wrong) > 4 * std_error


def assert_share_is(flags, value, **off):
    share = np.mean(flags)
    assert_is_the_truth(share, np.sqrt(share * (1 - share) / len(flags)), value, **off)


def days(column):
    """Days since 1970; missing = a day no study reaches."""
    column = pd.Series(column)
    return np.where(column.isna(), 10**6, column.to_numpy().astype("datetime64[D]").astype(int))


# ---------------------------------------------------------------- what an analyst would derive


class Analyst:
    """The tables of a large study, as arrays with one entry a patient, derived from the rows."""

    def __init__(self):
        study = simulate_study(seed=11, n_patients=N_PATIENTS)
        self.tables, self.latent = study.tables, study.latent
        self.truth = {name: row["value"] for name, row in study.truth["estimands"].items()}
        patients, visits = self.tables["patients"], self.tables["visits"]
        self.visit_patient = self.position(visits["patient_id"])
        self.visit_day = days(visits["visit_date"])
        self.first = np.full(N_PATIENTS, 10**6)
        np.minimum.at(self.first, self.visit_patient, self.visit_day)
        self.clinic = patients["home_facility_id"].str[1:].astype(int).to_numpy() - 1
        year = self.first.astype("datetime64[D]").astype("datetime64[Y]").astype(int) + 1970
        self.older = (year - patients["birth_year"].to_numpy() >= 65).astype(int)
        self.condition = (patients["conditions"] != "").to_numpy().astype(int)
        self.female = (patients["sex"] == "female").to_numpy().astype(int)
        enrolments = self.tables["enrolments"]
        self.enrolled = np.full(N_PATIENTS, 10**6)
        self.enrolled[self.position(enrolments["patient_id"])] = days(enrolments["enrolment_date"])
        self.exit = np.minimum(days(patients["death_date"]), days(patients["moved_date"]))
        self.observed = np.minimum(days(patients["observed_until"]), CUTOFF.astype(int))
        self.time, self.event = self.time_to_lapse(LAPSE_DAYS)

    @staticmethod
    def position(ids):
        """P000001 is patient 0."""
        digits = pc.utf8_slice_codeunits(pa.array(ids), 1)
        return digits.cast(pa.int64()).to_numpy() - 1

    def time_to_lapse(self, lapse_days):
        """Time from the first visit to the last one before a gap, censored lapse_days early."""
        order = np.lexsort((self.visit_day, self.visit_patient))
        patient, day = self.visit_patient[order], self.visit_day[order]
        is_last = np.r_[patient[1:] != patient[:-1], True]
        known_to = np.minimum(self.observed, self.exit)[patient]
        following = np.where(is_last, known_to, np.r_[day[1:], 0])
        gone = following - day > lapse_days
        lapse = np.full(N_PATIENTS, 10**6)
        np.minimum.at(lapse, patient[gone], day[gone])
        end = np.minimum(self.observed - lapse_days, self.exit)
        return np.minimum(lapse, end) - self.first, lapse <= end

    def spells(self):
        """One row a patient and enrolment state: patient, first day, last day, event, enrolled."""
        start = np.clip(self.enrolled - self.first, 0, 10**6)
        who = np.flatnonzero(self.time >= 0)
        before = who[start[who] > 0]
        after = who[start[who] <= self.time[who]]
        last_before = np.minimum(self.time[before], start[before] - 1)
        return (
            np.r_[before, after],
            np.r_[np.zeros(len(before), int), start[after]],
            np.r_[last_before, self.time[after]],
            np.r_[self.event[before] & (last_before == self.time[before]), self.event[after]],
            np.r_[np.zeros(len(before), int), np.ones(len(after), int)],
        )


@pytest.fixture(scope="module")
def analyst():
    return Analyst()


def kaplan_meier_at(time, event, day):
    """Retention after `day` with Greenwood's standard error, from counts by day."""
    time, event = time[time >= 0], event[time >= 0]
    n_days = int(time.max()) + 1
    at_risk = np.cumsum(np.bincount(time, minlength=n_days)[::-1])[::-1][: day + 1]
    events = np.bincount(time[event], minlength=n_days)[: day + 1]
    estimate = np.prod(1 - events / at_risk)
    return estimate, estimate * np.sqrt(np.sum(events / (at_risk * (at_risk - events))))


def log_hazard_ratio(exposed, stratum, spells):
    """Cox's partial likelihood for one 0/1 covariate, stratified, from counts by day (Breslow)."""
    _, first, last, event, _ = spells
    _, stratum = np.unique(stratum, return_inverse=True)
    shape = (2, stratum.max() + 1, int(last.max()) + 2)

    def count(day, rows):
        index = np.ravel_multi_index((exposed[rows], stratum[rows], day[rows]), shape)
        return np.bincount(index, minlength=np.prod(shape)).reshape(shape)

    every = np.arange(len(first))
    at_risk = np.cumsum(count(first, every) - count(last + 1, every), axis=2)
    events = count(last, np.flatnonzero(event))
    estimate = 0.0
    for _ in range(8):
        weighted = np.exp(estimate) * at_risk[1]
        share = weighted / np.maximum(weighted + at_risk[0], 1e-9)
        score = np.sum(events[1] - events.sum(axis=0) * share)
        information = np.sum(events.sum(axis=0) * share * (1 - share))
        estimate += score / information
    return estimate, 1 / np.sqrt(information)


# ---------------------------------------------------------------- the definition of lapsing


@pytest.mark.parametrize("lapse_days", [170, 180, 365])
def test_lapses_found_in_the_visits_are_the_true_ones_for_windows_of_170_days_or_more(
    analyst, lapse_days
):
    time, event = analyst.time_to_lapse(lapse_days)
    true_day = analyst.latent["lapse_day"].fillna(10**6).to_numpy().astype(int)
    last_known = np.minimum(analyst.observed - lapse_days - 1, analyst.exit - 1) - analyst.first
    assert (event == (true_day <= last_known)).all()
    assert (time[event] == true_day[event]).all()
    assert f"at least {170}" in LAPSE_DEFINITION


def test_a_window_of_90_days_takes_pauses_for_lapses(analyst):
    time, event = analyst.time_to_lapse(90)
    short = kaplan_meier_at(time, event, 365)[0]
    true = next(
        row["estimate"]
        for row in STATED["retention"]
        if (row["population"], row["arm"], row["time"]) == ("everyone", "as_it_happens", 365)
    )
    assert short < true - 0.05


# ---------------------------------------------------------------- hazard ratios


def test_the_programme_hazard_ratio_comes_back_from_enrolment_as_it_changes(analyst):
    spells = analyst.spells()
    who, _, _, _, enrolled = spells
    stratum = analyst.clinic[who] * 4 + analyst.older[who] * 2 + analyst.condition[who]
    estimate, std_error = log_hazard_ratio(enrolled, stratum, spells)
    assert_is_the_truth(estimate, std_error, analyst.truth["programme_log_hazard_ratio"], off=0.15)
    ratio = np.exp(estimate)
    assert_is_the_truth(ratio, ratio * std_error, analyst.truth["programme_hazard_ratio"], off=0.05)


def test_ever_against_never_enrolled_is_far_from_the_programme_hazard_ratio(analyst):
    spells = analyst.spells()
    who = spells[0]
    ever = (analyst.enrolled[who] < 10**6).astype(int)
    stratum = analyst.clinic[who] * 4 + analyst.older[who] * 2 + analyst.condition[who]
    estimate, _ = log_hazard_ratio(ever, stratum, spells)
    assert np.exp(estimate) < 0.5


@pytest.mark.parametrize("covariate", ["older", "condition", "female"])
def test_the_hazard_ratio_of_each_covariate_comes_back(analyst, covariate):
    spells = analyst.spells()
    who, _, _, _, enrolled = spells
    others = [name for name in ("older", "condition") if name != covariate]
    stratum = analyst.clinic[who] * 8 + enrolled
    for place, name in enumerate(others):
        stratum = stratum + getattr(analyst, name)[who] * 2 ** (place + 1)
    estimate, std_error = log_hazard_ratio(getattr(analyst, covariate)[who], stratum, spells)
    ratio = np.exp(estimate)
    value = analyst.truth[f"hazard_ratio_{covariate}"]
    assert_is_the_truth(ratio, ratio * std_error, value, off=0.05)


@pytest.mark.parametrize("clinic", range(1, WORLD.n_facilities))
def test_the_hazard_ratio_of_each_clinic_against_the_first_comes_back(analyst, clinic):
    who, first, last, event, enrolled = analyst.spells()
    keep = np.isin(analyst.clinic[who], [0, clinic])
    who, first, last, event, enrolled = (x[keep] for x in (who, first, last, event, enrolled))
    spells = (who, first, last, event, enrolled)
    exposed = (analyst.clinic[who] == clinic).astype(int)
    stratum = enrolled + 2 * analyst.older[who] + 4 * analyst.condition[who]
    estimate, std_error = log_hazard_ratio(exposed, stratum, spells)
    ratio = np.exp(estimate)
    value = analyst.truth[f"hazard_ratio_F{clinic + 1:02d}"]
    assert_is_the_truth(ratio, ratio * std_error, value)


# ---------------------------------------------------------------- retention


@pytest.mark.parametrize("day", [30, 180, 365, 730])
def test_retention_of_clinics_that_never_had_the_programme_is_the_stated_curve(analyst, day):
    for clinic in np.flatnonzero(WORLD.go_live >= NEVER):
        here = analyst.clinic == clinic
        estimate = kaplan_meier_at(analyst.time[here], analyst.event[here], day)
        everyone = truth.cells(WORLD)
        group = everyone.only(everyone.share * (everyone.facility == clinic))
        assert_is_the_truth(*estimate, truth.retention(WORLD, group, [day])[0])


@pytest.mark.parametrize("day", [30, 180, 365, 730])
def test_the_overall_kaplan_meier_curve_comes_within_half_a_point_of_the_stated_one(analyst, day):
    """No nearer: early patients are followed longest and were offered the programme latest."""
    estimate, std_error = kaplan_meier_at(analyst.time, analyst.event, day)
    value = truth.retention_as_it_happens(WORLD, truth.cells(WORLD), [day])[0]
    assert abs(estimate - value) < 0.005
    assert std_error < 0.002


@pytest.fixture(scope="module")
def lives():
    return draw_lives(WORLD, seed=5, n_patients=N_LIVES)


@pytest.fixture(scope="module")
def untreated():
    """The same patients in a world whose programme does nothing: what never enrolling means."""
    world = replace(WORLD, programme_log_hazard_ratio=0.0)
    return draw_lives(world, seed=5, n_patients=N_LIVES)


@pytest.fixture(scope="module")
def treated():
    """The same patients in a world that enrols everybody at the first chance."""
    world = replace(WORLD, enrolment_intercept=50.0, share_enrolled_at_once=1.0)
    return draw_lives(world, seed=5, n_patients=N_LIVES)


def values_of(population, arm):
    rows = STATED["retention"]
    return {
        r["time"]: r["estimate"] for r in rows if (r["population"], r["arm"]) == (population, arm)
    }


def seen_live(lives):
    return lives.first_day >= WORLD.go_live[lives.facility]


def test_retention_of_everyone_when_no_one_enrols_is_the_stated_curve(untreated):
    for day, value in values_of("everyone", "never_enrolled").items():
        assert_share_is(untreated.lapse > day, value, off=0.01)


def test_retention_as_it_happens_is_the_stated_curve(lives):
    for day, value in values_of("everyone", "as_it_happens").items():
        assert_share_is(lives.lapse > day, value, off=0.01)


@pytest.mark.parametrize("clinic", range(WORLD.n_facilities))
def test_retention_of_each_clinic_is_the_stated_curve(untreated, clinic):
    for day, value in values_of(WORLD.facility_ids[clinic], "never_enrolled").items():
        assert_share_is(untreated.lapse[untreated.facility == clinic] > day, value, off=0.03)


def test_retention_of_new_patients_is_the_stated_curve_under_each_arm(lives, untreated, treated):
    new = seen_live(lives)
    for day, value in values_of("new_patients", "never_enrolled").items():
        assert_share_is(untreated.lapse[new] > day, value, off=0.01)
    for day, value in values_of("new_patients", "enrolled_at_first_visit").items():
        assert_share_is(treated.lapse[new] > day, value, off=0.01)


def test_retention_of_everyone_enrolled_at_once_is_the_stated_curve(treated):
    """Only new patients are enrolled on day 0, so their cells are weighted to everyone's."""
    group, new = truth.cells(WORLD), seen_live(treated)
    live = WORLD.go_live[group.facility] < NEVER
    everyone = group.only(np.where(live, group.share, 0))
    cell = treated.facility * 4 + treated.older * 2 + treated.condition
    n = np.bincount(cell[new], minlength=len(group.share))
    for day in (30, 365, 730):
        kept = np.bincount(cell[new & (treated.lapse > day)], minlength=len(group.share))
        share = kept[live] / n[live]
        weight = everyone.share[live]
        std_error = np.sqrt(np.sum(weight**2 * share * (1 - share) / n[live]))
        value = truth.retention(WORLD, everyone, [day], enrolled_on=0)[0]
        assert_is_the_truth(weight @ share, std_error, value, off=0.02)


def test_the_differences_at_365_days_are_those_between_the_worlds(lives, untreated, treated):
    new, stated = seen_live(lives), STATED["estimands"]
    one, zero = treated.lapse[new], untreated.lapse[new]
    kept = (one > 365).astype(float) - (zero > 365)
    mean_days = np.minimum(one + 0.0, 365) - np.minimum(zero, 365)
    for name, gained in (
        ("retention_difference_365_sustained", kept),
        ("restricted_mean_difference_365_sustained", mean_days),
    ):
        std_error = gained.std() / np.sqrt(len(gained))
        assert_is_the_truth(gained.mean(), std_error, stated[name]["value"], off=0.05)


def test_standardising_over_cells_recovers_the_difference_at_the_first_visit(lives):
    """Enrolment is self-selected on clinic, age and condition; within a cell it is by chance."""
    new, stated = seen_live(lives), STATED["estimands"]
    cell = (lives.facility * 4 + lives.older * 2 + lives.condition)[new]
    arm, lapse = (lives.enrolled == 0)[new], lives.lapse[new]
    size = np.bincount(cell) / len(cell)
    for name, outcome in (
        ("retention_difference_365_at_first_visit", (lapse > 365).astype(float)),
        ("restricted_mean_difference_365_at_first_visit", np.minimum(lapse, 365).astype(float)),
    ):
        means, variances = [], []
        for rows in (arm, ~arm):
            n = np.maximum(np.bincount(cell[rows], minlength=len(size)), 1)
            mean = np.bincount(cell[rows], outcome[rows], minlength=len(size)) / n
            square = np.bincount(cell[rows], outcome[rows] ** 2, minlength=len(size)) / n
            means.append(size @ mean)
            variances.append(size**2 @ ((square - mean**2) / n))
        std_error = np.sqrt(sum(variances))
        assert_is_the_truth(means[0] - means[1], std_error, stated[name]["value"])
        naive = outcome[arm].mean() - outcome[~arm].mean()
        assert naive > stated[name]["value"] * 1.3


def test_the_restricted_mean_is_the_mean_of_days_up_to_the_horizon(untreated):
    stated = STATED["estimands"]["restricted_mean_365_arm_0_everyone"]["value"]
    spent = np.minimum(untreated.lapse, 365)
    assert_is_the_truth(spent.mean(), spent.std() / np.sqrt(N_LIVES), stated, off=0.01)


def test_the_first_of_lapse_death_and_move_falls_as_stated(untreated):
    seen = untreated.seen_until >= 365
    left = np.minimum(untreated.death, untreated.moved)[seen]
    days_of = {
        "lapse": np.where(left < NEVER, NEVER, untreated.lapse[seen]),
        "death": untreated.death[seen],
        "moved": untreated.moved[seen],
    }
    for row in STATED["cumulative_incidence"]:
        if row["time"] in (180, 365):
            assert_share_is(days_of[row["cause"]] <= row["time"], row["estimate"])


@pytest.mark.parametrize("older", [False, True])
def test_deaths_and_moves_come_at_their_yearly_rates(lives, older):
    stated = STATED["estimands"]
    group = lives.older == older
    left = np.minimum(lives.death, lives.moved)
    # A lapse wins a tie, so its day is no day at risk of a recorded exit.
    at_risk = np.minimum(np.minimum(lives.lapse, lives.seen_until + 1), left + 1)
    years = at_risk[group].sum() / 365.25
    for name, exits in (
        ("death_rate_older" if older else "death_rate_under_65", lives.death),
        ("moving_rate", lives.moved),
    ):
        n = np.sum(exits[group] < NEVER)
        assert_is_the_truth(n / years, np.sqrt(n) / years, stated[name]["value"])


# ---------------------------------------------------------------- everything else


def test_contacts_are_attempted_and_reach_patients_as_stated(analyst):
    contacts = analyst.tables["contacts"]
    due = contacts[days(contacts["due_date"]) <= CUTOFF.astype(int) - 3]
    attempted = due["contact_date"].notna().to_numpy()
    reached = (due["outcome"] == "reached").to_numpy()
    assert_share_is(attempted, analyst.truth["contact_attempted"], off=0.01)
    assert_share_is(reached[attempted], analyst.truth["reach_probability"], off=0.02)
    assert_share_is(reached, analyst.truth["contact_reached"], off=0.02)


def test_complaints_surveys_and_rewards_come_at_the_stated_rates(analyst):
    n_visits, tables = len(analyst.tables["visits"]), analyst.tables
    for name, n in (
        ("complaint_rate", len(tables["complaints"])),
        ("survey_rate", len(tables["survey_responses"]) // 2),
    ):
        rate = n / n_visits
        std_error = np.sqrt(rate * (1 - rate) / n_visits)
        assert_is_the_truth(rate, std_error, analyst.truth[name], off=0.05)
    moves = tables["points"].groupby(["movement", "patient_id"]).size()
    full_sets, redeemed = (moves.loc["earn"] // 5).sum(), moves.loc["redeem"].sum()
    std_error = np.sqrt(0.24 / full_sets)
    value = analyst.truth["reward_redeemed"]
    assert_is_the_truth(redeemed / full_sets, std_error, value, off=0.05)


def test_complaints_are_answered_and_settled_after_the_stated_hours(analyst):
    complaints = analyst.tables["complaints"]
    end = pd.Timestamp(WORLD.data_cutoff) + pd.Timedelta(days=1)
    clocks = (
        ("complaint_mean_response", "opened_at", "responded_at"),
        ("complaint_mean_settling", "responded_at", "resolved_at"),
    )
    for name, start, stop in clocks:
        begun = complaints[complaints[start].notna()]
        hours = (begun[stop].fillna(end) - begun[start]) / pd.Timedelta(hours=1)
        # Exponential times, some of them censored: total time over the number that ended.
        ended = begun[stop].notna().sum()
        mean = hours.sum() / ended
        assert_is_the_truth(mean, mean / np.sqrt(ended), analyst.truth[name], off=0.05)
    early = complaints[complaints["opened_at"] <= end - pd.Timedelta(hours=24)]
    quick = early["responded_at"] - early["opened_at"] <= pd.Timedelta(hours=24)
    assert_share_is(quick.to_numpy(), analyst.truth["complaint_answered_24_hours"], off=0.05)


def test_the_programme_changes_blood_pressure_by_the_stated_amount(analyst):
    table = analyst.tables["measurements"]
    patient = analyst.position(table["patient_id"])
    after = (days(table["measurement_date"]) > analyst.enrolled[patient]).astype(float)
    value = table["value"].to_numpy()
    n = np.bincount(patient, minlength=N_PATIENTS)[patient]

    def within(x):
        return x - np.bincount(patient, x, minlength=N_PATIENTS)[patient] / n

    x, y = within(after), within(value)
    estimate = x @ y / (x @ x)
    scores = np.bincount(patient, x * (y - estimate * x))
    std_error = np.sqrt(scores @ scores) / (x @ x)
    assert_is_the_truth(estimate, std_error, analyst.truth["sbp_effect"], off=0.05)


@pytest.mark.parametrize("item", ["satisfaction", "recommend"])
def test_going_live_changes_survey_scores_by_the_stated_amount(analyst, item):
    table = analyst.tables["survey_responses"]
    table = table[table["item"] == item]
    clinic = table["facility_id"].str[1:].astype(int).to_numpy() - 1
    rollout = analyst.tables["rollout"]
    day = days(table["survey_date"])
    live = (day >= days(rollout["start_date"])[clinic]).astype(float)
    design = np.column_stack([live, day - day.mean(), *(clinic == k for k in range(8))]).astype(
        float
    )
    bread = np.linalg.inv(design.T @ design)
    coefficients = bread @ (design.T @ table["score"].to_numpy())
    residuals = table["score"].to_numpy() - design @ coefficients
    patient = analyst.position(table["patient_id"])
    # Answers of one patient are alike: scores are summed by patient before they are squared.
    scores = np.bincount(patient, (design @ bread)[:, 0] * residuals)
    std_error = np.sqrt(scores @ scores)
    assert_is_the_truth(coefficients[0], std_error, analyst.truth[f"{item}_effect"], off=0.15)


def test_recommendations_come_at_the_stated_rates_before_and_after_enrolment(analyst):
    table = analyst.tables["referrals"]
    who, day = analyst.position(table["referrer_id"]), days(table["referral_date"])
    stop = analyst.first + analyst.time + 1  # active on the last day as well
    known = (analyst.time[who] >= 0) & (day < stop[who])
    years = [
        np.clip(np.minimum(stop, analyst.enrolled) - analyst.first, 0, None).sum() / 365.25,
        np.clip(stop - np.maximum(analyst.enrolled, analyst.first), 0, None).sum() / 365.25,
    ]
    late = day >= analyst.enrolled[who]
    n = [np.sum(known & ~late), np.sum(known & late)]
    before, after = n[0] / years[0], n[1] / years[1]
    assert_is_the_truth(before, before / np.sqrt(n[0]), analyst.truth["referral_rate"], off=0.05)
    ratio = after / before
    std_error = ratio * np.sqrt(1 / n[0] + 1 / n[1])
    assert_is_the_truth(ratio, std_error, analyst.truth["referral_rate_ratio"])


def test_the_retention_formula_is_the_weibull_one_computed_by_hand():
    world = replace(
        WORLD, n_facilities=2, facility_log_hazard_spread=0.0, log_hazard_ratio_older=0.0,
        log_hazard_ratio_condition=0.0, weibull_scale=100.0, weibull_shape=0.5,
        programme_log_hazard_ratio=float(np.log(0.5)),
    )  # fmt: skip
    everyone = truth.cells(world)
    # H0(100) = (100 / 100) ** .5 = 1 on day 99; H0(25) = .5 when enrolled on day 25.
    assert truth.retention(world, everyone, [99])[0] == pytest.approx(np.exp(-1.0))
    enrolled = truth.retention(world, everyone, [99], enrolled_on=25)[0]
    assert enrolled == pytest.approx(np.exp(-(0.5 + 0.5 * (1.0 - 0.5))))


def test_every_truth_is_stated_with_its_unit_and_what_estimates_it():
    stated = true_values(Scenario(start=date(2020, 1, 1), data_cutoff=date(2022, 12, 31)))
    assert {row["arm"] for row in stated["retention"]} == set(stated["arms"])
    for row in stated["estimands"].values():
        assert set(row) == {"value", "unit", "estimated_by"}
        assert np.isfinite(row["value"])
        assert len(row["estimated_by"]) > 15
    assert {row["time"] for row in stated["retention"]} == {0, 30, 90, 180, 365, 730}
