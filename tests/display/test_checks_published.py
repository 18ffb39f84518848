"""Messages of published checks: counts are rounded in their place, sentences stay whole."""

from __future__ import annotations

import re

import pandas as pd
import pytest

import loyalty_research as lr
from loyalty_research.data.simulate_designs import simulate_design
from loyalty_research.display.tables_cohort import checks_table, publish_checks
from loyalty_research.effects.published import counts_told, told_text

PANEL = {"unit": "clinic", "period": "period", "outcome": "score"}
ADJUSTED = {"arm": "arm", "covariates": ["x1", "x2", "x3"]}


def world(name, **settings):
    return simulate_design(name, seed=1, **settings).data


def one_start():
    panel = world("staggered")
    return panel[panel["first_treated"].isna() | panel["first_treated"].eq(5)]


def before_and_after():
    panel = one_start().assign(treated=lambda rows: rows["first_treated"].notna())
    return panel.assign(post=panel["period"] >= 5).drop(columns="first_treated")


DESIGNS = {
    "trimmed weights": lambda: lr.propensity_weights(
        world("confounded", overlap="poor"), estimand="ATE", trim=0.05, **ADJUSTED
    ).checks,
    "cut weights": lambda: lr.propensity_weights(
        world("confounded", overlap="poor"), truncate=0.05, **ADJUSTED
    ).checks,
    "matched": lambda: lr.matched_effect(world("confounded"), outcome="score", **ADJUSTED).checks,
    "clinics by lot": lambda: lr.mean_difference(
        world("clusters"), arm="arm", outcome="score", cluster="clinic", randomised=True
    ).checks,
    "members": lambda: lr.emulate_trial(
        world("immortal_time").assign(
            enrolment_day=lambda rows: rows["enrolment_day"].mask(rows.index < 13, -5)
        ),
        exposed_at="enrolment_day",
    ).retention_difference(day=200).checks,
    "stepped wedge": lambda: lr.stepped_wedge_effect(
        world("stepped_wedge"), outcome="score", cluster="clinic", period="period",
        treated="treated", randomised=True,
    ).checks,
    "difference in differences": lambda: lr.difference_in_differences(
        before_and_after(), outcome="score", treated="treated", post="post", unit="clinic"
    ).checks,
    "staggered": lambda: lr.staggered_difference_in_differences(
        world("staggered"), first_treated="first_treated", seed=1, **PANEL
    ).checks,
    "event study": lambda: lr.event_study(
        one_start(), first_treated="first_treated", seed=1, **PANEL
    ).checks,
    "clusters": lambda: lr.check_clusters(world("clusters"), cluster="clinic"),
    "cox": lambda: lr.check_cox(
        world("survival"), covariates=["x"], time="time", event="event"
    ),
    "cure": lambda: lr.check_cure(
        pd.DataFrame({"time": [*range(1, 61), *[400] * 38], "event": [1] * 60 + [0] * 38})
    ),
}  # fmt: skip


def skeleton(text):
    """Return a message without its counts, and without the words that stand for them."""
    bare = text.replace("a withheld number of ", "# ").replace("a withheld number", "#")
    bare = re.sub(r"\b(?:(?:all|the|about) )?\d[\d,]*(?![\w.])", "#", bare)
    return re.sub(r"# (patient|row|unit|cluster|event)s?\b", r"# \1s", bare)


@pytest.mark.parametrize("design", DESIGNS)
def test_the_message_of_every_check_stays_whole_and_tells_no_exact_count(design):
    checks = DESIGNS[design]()
    assert checks["message"].str.contains(r"\d").any()
    shown = publish_checks(checks, audience="publish")
    for before, after in zip(checks["message"], shown["message"], strict=True):
        assert skeleton(after) == skeleton(before)
        # Told with "about" a count stands as it did.
        rounded = [5 * ((n + 2) // 5) for n in counts_told(before) if not 0 < n <= 7]
        assert counts_told(after.replace("about ", "")) == rounded


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (
            "3,179 patients of arm 0 weigh like 729",
            "about 3,180 patients of arm 0 weigh like about 730",
        ),
        (
            "weights leave the worth of 1,021 patients with and 2,343 without",
            "weights leave the worth of about 1,020 patients with and about 2,345 without",
        ),
        (
            "3 of 1,204 patients left out by trimming, 1 of them in the programme",
            "a withheld number of about 1,205 patients left out by trimming, a withheld number of"
            " them in the programme",
        ),
        (
            "26 of 800 propensities were cut, which trades bias for precision",
            "about 25 of about 800 propensities were cut, which trades bias for precision",
        ),
        (
            "12 clusters with and 4 without are worth 9.1 degrees of freedom",
            "about 10 clusters with and a withheld number without are worth 9.1 degrees of freedom",
        ),
        (
            "13 clusters cross in 3 steps, 0 never do; 9 have the programme from their first "
            "period",
            "about 15 clusters cross in 3 steps, 0 never do; about 10 have the programme from "
            "their first period",
        ),
        (
            "0 units of 32 not seen both before and after",
            "0 units of about 30 not seen both before and after",
        ),
        (
            "1 patient enrolled before time zero",
            "a withheld number of patients enrolled before time zero",
        ),
        (
            "18 units not treated within the 24 periods, 9 of them treated later",
            "about 20 units not treated within the 24 periods, about 10 of them treated later",
        ),
        (
            "4,031 visits where 4,100 were expected",
            "about 4,030 visits where 4,100 were expected",
        ),
        (
            "92 events for 4 terms; 10 a term are advised",
            "about 90 events for 4 terms; 10 a term are advised",
        ),
        (
            "12 is missing in 12 of 4,031 rows",
            "12 is missing in about 10 of about 4,030 rows",
        ),
    ],
)
def test_a_count_is_told_in_its_place(message, told):
    assert told_text(message, audience="publish") == told
    assert told_text(message, audience="internal") == message


@pytest.mark.parametrize(
    "message",
    [
        "came is known of 98.3 % with and 100.0 % without",
        "the largest weight is 1.7 with and 2.3 without joining",
        "46 of 50 samples of patients gave one",
        "segment: old has at least 30 patients",
        "segment: old has fewer than 30 patients: read it as a description only",
        "the unit's ratio of gaps after to before, 4.76, ranks 3 of 19 units: p 0.158",
        "24 periods used",
        "both arms stayed until day 30",
        "4,310.5 units of time before exposure, 12 units of time after it",
        "after weighting the arms differ most in x1, by 0.300 SD",
        "Ljung-Box over 4 lags: p 0.007",
    ],
)
def test_a_number_that_counts_nobody_stays(message):
    assert told_text(message, audience="publish") == message
    assert counts_told(message) == []


def checks_of(message, statistic, check="some"):
    return pd.DataFrame(
        {"check": [check], "statistic": [statistic], "threshold": 0.1, "passed": True,
         "gating": True, "message": [message]}
    )  # fmt: skip


@pytest.mark.parametrize(
    ("message", "statistic", "found"),
    [
        ("83 patients left out", 83.0, "85"),
        ("3 patients left out", 3.0, "suppressed"),
        # 3 of 120 is 0.025, and 0.025 of about 120 is 3.
        ("3 units of 120 not seen both before and after", 3 / 120, "suppressed"),
        ("4,000 patients of arm 0 weigh like 1,333", 1 / 3, "0.333"),
        ("0 patients left out", 0.0, "0"),
        ("24 periods used", 24.0, "24"),
    ],
)
def test_the_statistic_says_no_more_than_the_message(message, statistic, found):
    worded = checks_table(checks_of(message, statistic), audience="publish")
    assert worded.words["Found"].tolist() == [found]
    assert worded.numbers["suppressed"].tolist() == [int(found == "suppressed")]
    inside = checks_table(checks_of(message, statistic)).numbers
    assert inside["statistic"].tolist() == [statistic]


def test_items_of_a_guideline_keep_their_numbers():
    message = "CONSORT 2010: 1 of 37 items open: 16 patients in each analysis, by arm"
    shown = publish_checks(checks_of(message, 1.0, check="open items"), audience="publish")
    assert shown["message"].tolist() == [message]
