"""Each single true value of a simulated study, with the sentence that says what estimates it."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from typing import Any

import numpy as np

from loyalty_research.data import truth
from loyalty_research.data.scenario import MAX_GAP_DAYS, PROGRAMME, Scenario

TIMES = (0, 30, 90, 180, 365, 730, 1095)
HORIZON = 365

LAPSE_DEFINITION = (
    "The truths about retention hold for this definition: a patient lapses on the day of the last "
    "visit before the first gap of strictly more than lapse_days, for any lapse_days of at least "
    f"{MAX_GAP_DAYS} (180 is the natural choice), the open gap up to the end of observation "
    "included; time counts in days from the first visit; retention at day t is the probability "
    "that the lapse falls after day t; death and moving censor; everyone else is censored "
    "lapse_days before data_cutoff or observed_until, whichever is earlier. With a shorter "
    "window, such as 90 days, pauses of patients who come back are taken for lapses, so retention "
    "comes out too low."
)

POPULATIONS = {
    "everyone": "all patients of the study",
    "new_patients": "patients first seen on or after the day their clinic went live",
    "F01, F02, ...": "all patients who belong to the clinic",
}
ARMS = {
    "never_enrolled": (
        "nobody is ever enrolled; a Kaplan-Meier curve shows it at the clinics without a start_date"
    ),
    "enrolled_at_first_visit": "everybody is enrolled on the day of the first visit",
    "not_at_first_visit": (
        "nobody is enrolled on the day of the first visit, later enrolment goes on as usual"
    ),
    "as_it_happens": (
        "enrolment as it is; the Kaplan-Meier curve of all patients comes within half a percentage "
        "point of it, not nearer, because those who came early are followed longest and had the "
        "programme latest"
    ),
}

_Row = tuple[str, float, str, str]


def true_values(scenario: Scenario) -> dict[str, Any]:
    """Return what `truth.json` holds: definition, parameters, single values and curves.

    Args:
        scenario: The world.

    Returns:
        Nested dictionaries and lists of plain values.

    Examples:
        >>> truths = true_values(Scenario())
        >>> truths["retention"][0]["population"], truths["retention"][0]["arm"]
        ('everyone', 'never_enrolled')
    """
    return {
        "lapse_definition": LAPSE_DEFINITION,
        "populations": POPULATIONS,
        "arms": ARMS,
        "programme_id": PROGRAMME,
        "parameters": _parameters(scenario),
        "estimands": estimands(scenario),
        "retention": _retention_rows(scenario),
        "cumulative_incidence": _incidence_rows(scenario),
    }


def estimands(scenario: Scenario) -> dict[str, dict[str, Any]]:
    """Return name -> value, unit and what estimates it.

    Args:
        scenario: The world.

    Returns:
        One entry a true value.

    Examples:
        >>> names = estimands(Scenario())
        >>> names["reach_probability"]["value"], names["sbp_effect"]["unit"]
        (0.75, 'mmHg')
    """
    rows = (
        *_hazard_ratios(scenario),
        *_retention_values(scenario),
        *_exit_rates(scenario),
        *_contact_values(scenario),
        *_complaint_values(scenario),
        *_activity_values(scenario),
        *_programme_values(scenario),
    )
    return {
        name: {"value": float(value), "unit": unit, "estimated_by": sentence}
        for name, value, unit, sentence in rows
    }


def _hazard_ratios(s: Scenario) -> list[_Row]:
    model = (
        "a Cox model of time to lapse with age 65 or over (year of first visit minus birth year), "
        "any condition, clinic and enrolment as a covariate that changes on the enrolment date"
    )
    clinics = np.exp(s.facility_log_hazard - s.facility_log_hazard[0])
    return [
        ("programme_log_hazard_ratio", s.programme_log_hazard_ratio, "log hazard ratio", model),
        ("programme_hazard_ratio", np.exp(s.programme_log_hazard_ratio), "hazard ratio", model),
        ("hazard_ratio_older", np.exp(s.log_hazard_ratio_older), "hazard ratio", model),
        ("hazard_ratio_condition", np.exp(s.log_hazard_ratio_condition), "hazard ratio", model),
        ("hazard_ratio_female", 1.0, "hazard ratio", f"sex added to {model}"),
        *(
            (f"hazard_ratio_{code}", ratio, "hazard ratio", f"{code} against the first, in {model}")
            for code, ratio in zip(s.facility_ids[1:], clinics[1:], strict=True)
        ),
    ]


def _retention_values(s: Scenario) -> list[_Row]:
    everyone, new = truth.cells(s), truth.new_patients(s)
    grid = np.arange(HORIZON + 1)
    sustained = (
        "patients first seen at a live clinic, enrolled on that day against never enrolled "
        "(censored at a later enrolment), standardised over clinic, age group and condition"
    )
    at_first = (
        "patients first seen at a live clinic, enrolled on that day against not enrolled on that "
        "day whatever follows, standardised over clinic, age group and condition"
    )
    return [
        *_contrast(
            "everyone",
            truth.retention(s, everyone, grid, enrolled_on=0),
            truth.retention(s, everyone, grid),
            "all patients, from the Cox model: everyone enrolled at once against no one ever",
        ),
        *_contrast(
            "sustained",
            truth.retention(s, new, grid, enrolled_on=0),
            truth.retention(s, new, grid),
            sustained,
        ),
        *_contrast(
            "at_first_visit",
            truth.retention(s, new, grid, enrolled_on=0),
            truth.retention_not_at_first(s, new, grid),
            at_first,
        ),
    ]


def _contrast(name: str, one: np.ndarray, zero: np.ndarray, sentence: str) -> list[_Row]:
    day = HORIZON
    mean_one, mean_zero = truth.restricted_mean(one[:day]), truth.restricted_mean(zero[:day])
    return [
        (f"retention_{day}_arm_1_{name}", one[day], "probability", sentence),
        (f"retention_{day}_arm_0_{name}", zero[day], "probability", sentence),
        (f"retention_difference_{day}_{name}", one[day] - zero[day], "probability", sentence),
        (f"restricted_mean_{day}_arm_0_{name}", mean_zero, "days", sentence),
        (f"restricted_mean_difference_{day}_{name}", mean_one - mean_zero, "days", sentence),
    ]


def _exit_rates(s: Scenario) -> list[_Row]:
    sentence = "recorded exits over patient-years before lapse, exit or end of observation"
    return [
        ("death_rate_under_65", s.death_rate[0], "per patient-year", sentence),
        ("death_rate_older", s.death_rate[1], "per patient-year", sentence),
        ("moving_rate", s.moving_rate, "per patient-year", sentence),
    ]


def _contact_values(s: Scenario) -> list[_Row]:
    due = "contacts due at least 3 days before data_cutoff"
    both = s.share_attempted * s.reach_probability
    return [
        ("contact_attempted", s.share_attempted, "probability", f"attempted among {due}"),
        ("reach_probability", s.reach_probability, "probability", "reached among attempted"),
        ("contact_reached", both, "probability", f"reached among {due}"),
    ]


def _complaint_values(s: Scenario) -> list[_Row]:
    within = 1 - np.exp(-24 / s.mean_response_hours)
    clock = "time to event, still open complaints censored at the end of data_cutoff"
    answered, settled = f"opened to responded, {clock}", f"responded to resolved, {clock}"
    return [
        ("complaint_rate", s.complaint_rate, "per visit", "complaints over visits"),
        ("complaint_mean_response", s.mean_response_hours, "hours", answered),
        ("complaint_answered_24_hours", within, "probability", f"within 24 hours, {clock}"),
        ("complaint_mean_settling", s.mean_settling_hours, "hours", settled),
    ]


def _activity_values(s: Scenario) -> list[_Row]:
    active = "recommendations over years from first visit to the last active day, before enrolment"
    ratio = "that rate after enrolment over the rate before it"
    sets = "redemptions per 5 earning visits"
    return [
        ("survey_rate", s.survey_rate, "per visit", "answered surveys over visits"),
        ("referral_rate", s.referral_rate, "per patient-year", active),
        ("referral_rate_ratio", s.referral_rate_ratio, "rate ratio", ratio),
        ("reward_redeemed", s.share_redeemed, "probability", sets),
    ]


def _programme_values(s: Scenario) -> list[_Row]:
    survey = (
        "mean score on clinic, calendar day (straight line) and whether the clinic is live; or "
        "staggered difference in differences over clinics and months"
    )
    return [
        (
            "sbp_effect",
            s.sbp_effect,
            "mmHg",
            "sbp of patients with hypertension, within patient: after the day of enrolment against "
            "up to it",
        ),
        ("satisfaction_effect", s.satisfaction_effect, "points of 1 to 5", survey),
        ("recommend_effect", s.recommend_effect, "points of 0 to 10", survey),
    ]


def _retention_rows(scenario: Scenario) -> list[dict[str, Any]]:
    times = [time for time in TIMES if time < scenario.n_days - scenario.late_days]
    everyone, new = truth.cells(scenario), truth.new_patients(scenario)
    groups = {
        ("everyone", "never_enrolled"): truth.retention(scenario, everyone, times),
        ("everyone", "enrolled_at_first_visit"): truth.retention(
            scenario, everyone, times, enrolled_on=0
        ),
        ("everyone", "as_it_happens"): truth.retention_as_it_happens(scenario, everyone, times),
        ("new_patients", "never_enrolled"): truth.retention(scenario, new, times),
        ("new_patients", "enrolled_at_first_visit"): truth.retention(
            scenario, new, times, enrolled_on=0
        ),
        ("new_patients", "not_at_first_visit"): truth.retention_not_at_first(scenario, new, times),
    }
    for number, code in enumerate(scenario.facility_ids):
        clinic = everyone.only(everyone.share * (everyone.facility == number))
        groups[code, "never_enrolled"] = truth.retention(scenario, clinic, times)
    return [
        {"population": population, "arm": arm, "time": time, "estimate": float(value)}
        for (population, arm), curve in groups.items()
        for time, value in zip(times, curve, strict=True)
    ]


def _incidence_rows(scenario: Scenario) -> list[dict[str, Any]]:
    times = [time for time in TIMES if time < scenario.n_days - scenario.late_days]
    curves = truth.cumulative_incidence(scenario, truth.cells(scenario), times)
    return [
        {
            "population": "everyone",
            "arm": "never_enrolled",
            "cause": cause,
            "time": time,
            "estimate": float(value),
        }
        for cause, curve in curves.items()
        for time, value in zip(times, curve, strict=True)
    ]


def _parameters(scenario: Scenario) -> dict[str, Any]:
    return {
        name: value.isoformat() if isinstance(value, date) else value
        for name, value in asdict(scenario).items()
    }
