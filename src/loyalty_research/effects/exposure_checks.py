"""Whether arms differ in more than the programme: crossing over, other programmes, measuring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from loyalty_research.data.arguments import as_columns, check_share
from loyalty_research.data.frames import missing_columns, raise_faults
from loyalty_research.effects.arms import open_arms
from loyalty_research.effects.checks import Check, checks_table
from loyalty_research.effects.guards import open_guards
from loyalty_research.errors import Fault
from loyalty_research.retention.rows import take_columns

MEASURED_ALIKE = (0.9, 1.1)
"""Ratio of measurement rates outside which who is measured may make the difference."""
MOST_OVERLAP = 0.2
"""Gap between the arms' shares in another programme that may not be left unmodelled."""
NOTED_OVERLAP = 0.1


def check_contamination(
    data: Any,
    visits: Any,
    *,
    arm: str,
    patient: str = "patient_id",
    facility: str = "facility_id",
    most: float = 0.1,
) -> pd.DataFrame:
    """Return how many patients of the comparison visited clinics that had the programme.

    A clinic has the programme if a patient of arm 1 belongs to it and none of arm 0. What controls
    receive there makes the arms alike; the comparison as assigned then understates the effect, and
    stays the one that is reported.

    Args:
        data: One row a patient: `patient`, `facility` (the patient's own) and `arm`, 0 or 1.
        visits: One row a visit during follow-up: `patient` and `facility` (where it was). Visits of
            others are left aside.
        arm: Column of the arm.
        patient: Column that names the patient, in both.
        facility: Column that names the clinic, in both.
        most: Share of controls from which the check fails.

    Returns:
        Checks `contamination` (gating: share of controls with such a visit) and `crossing` (for
        information: share of arm 1 that visited a clinic without it).

    Raises:
        DataError: Columns or values missing, patients twice, no clinic in one arm alone.

    Examples:
        >>> data = pd.DataFrame({"patient_id": [1, 2, 3, 4], "facility_id": list("aabb"),
        ...     "arm": [0, 0, 1, 1]})
        >>> visits = pd.DataFrame({"patient_id": [1, 2, 2, 3], "facility_id": list("aabb")})
        >>> check_contamination(data, visits, arm="arm")[["check", "statistic", "passed"]]
                   check  statistic passed
        0  contamination        0.5  False
        1       crossing        0.0   None
    """
    check_share(most, name="most")
    where = missing_columns(visits, [patient, facility], table="visits")
    raise_faults([*missing_columns(data, [patient, facility, arm], table="data"), *where])
    table = take_columns(data, [patient, facility, arm])
    raise_faults(_patient_faults(table, patient, facility, arm))
    # Each patient's clinics once: a table of visits can be long.
    seen = nw.from_native(visits).select(patient, facility).unique().to_native()
    went = take_columns(seen, [patient, facility]).dropna()
    share = table.groupby(facility)[arm].mean()
    treated, untreated = share.index[share == 1], share.index[share == 0]
    if not len(treated) or not len(untreated):
        message = "no clinic has patients of one arm alone, so that none has the programme"
        raise_faults([Fault("data", facility, len(share), message, "patients were drawn inside "
                            "clinics; count what controls received instead")])  # fmt: skip
    crossed = {
        0: set(went.loc[went[facility].isin(treated), patient]),
        1: set(went.loc[went[facility].isin(untreated), patient]),
    }
    found = {k: float(table.loc[table[arm] == k, patient].isin(crossed[k]).mean()) for k in (0, 1)}
    words = f"{100 * found[0]:.1f} % of the comparison visited a clinic with the programme"
    passed = found[0] <= most + 1e-9
    if not passed:
        words += "; keep patients in the arm they were assigned to, and say that it is diluted"
    other = f"{100 * found[1]:.1f} % of the programme's patients visited a clinic without it"
    return checks_table(
        [
            Check("contamination", passed, words, found[0], most, gating=True),
            Check("crossing", None, other, found[1]),
        ]
    )


def check_overlap_of_programmes(
    data: Any,
    *,
    arm: str,
    others: str | Sequence[str],
    covariates: str | Sequence[str] | None = None,
    override: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Return how many patients of each arm were in other programmes too.

    Args:
        data: One row a patient: `arm` and each of `others`, 0 or 1.
        arm: Column of the arm.
        others: Columns that are 1 or true if the patient was in that programme.
        covariates: Those of `others` that the model of the effect holds.
        override: {"overlapping programmes": reason} lets a large gap pass.

    Returns:
        A check for each, `overlap with <name>`: the gap between the arms' shares. It fails beyond
        10 points unless the programme is modelled.

    Raises:
        DesignError: A gap above 20 points that no model holds.
        DataError: Columns or values missing or not 0 and 1.

    Examples:
        >>> data = pd.DataFrame({"arm": [0, 0, 1, 1], "diet": [0, 1, 1, 0]})
        >>> check_overlap_of_programmes(data, arm="arm", others="diet")["message"].item()
        'diet: 50.0 % with and 50.0 % without the programme'
    """
    guards = open_guards(["overlapping programmes"], override=override)
    names, modelled = as_columns(others), as_columns(covariates)
    arms = {name: open_arms(data, arm=arm, outcome=name, kind="binary") for name in names}
    raise_faults(
        Fault("data", name, lost, f"{name} is missing in {lost:,} rows", "say 0 where not in it")
        for name, rows in arms.items()
        if (lost := sum(rows.n_missing.values()))
    )
    means = {name: rows.means() for name, rows in arms.items()}
    gaps = {name: round(abs(mean[1] - mean[0]), 9) for name, mean in means.items()}
    words = {
        name: f"{name}: {100 * mean[1]:.1f} % with and {100 * mean[0]:.1f} % without the programme"
        for name, mean in means.items()
    }
    wide = [name for name in names if gaps[name] > MOST_OVERLAP and name not in modelled]
    guards.refuse(
        "overlapping programmes", broken=bool(wide), column=wide[0] if wide else arm,
        count=len(wide), message="; ".join(words[name] for name in wide) + " (a gap above 20 "
        "points), so that the effects of two programmes cannot be told apart",
        repair=f"give covariates={wide!r}, or compare patients who were in none of them",
        fine="no gap above 20 points in another programme",
    )  # fmt: skip
    return checks_table(
        [
            Check(
                f"overlap with {name}", gaps[name] <= NOTED_OVERLAP or name in modelled,
                words[name] + (", modelled" if name in modelled else ""), gaps[name],
                NOTED_OVERLAP, gating=not guards.used,
            )
            for name in names
        ]
    )  # fmt: skip


def check_measurement(
    data: Any, *, arm: str, measured: str, exposure: str | None = None
) -> pd.DataFrame:
    """Return whether both arms were measured as often.

    Patients measured only when they come are measured more if a programme makes them come. Those
    who come are not as those who do not, so that a difference in who is measured looks like an
    effect.

    Args:
        data: One row a patient of those assigned, measured or not.
        arm: Column of the arm, 0 or 1.
        measured: Column with the number of measurements, or 1 if measured in the scheduled window
            and 0 if not.
        exposure: Column with the time under observation, above 0; None if it is the same for all.

    Returns:
        A gating check `measurement`: the ratio of the arms' rates, passed from 0.9 to 1.1.

    Raises:
        DataError: Columns or values missing, no counts; nobody measured in the comparison.

    Examples:
        >>> data = pd.DataFrame({"arm": [0, 0, 1, 1], "readings": [1, 1, 2, 3]})
        >>> check_measurement(data, arm="arm", measured="readings")[["statistic", "passed"]]
           statistic passed
        0        2.5  False
    """
    rows = open_arms(data, arm=arm, outcome=measured, kind="count", exposure=exposure)
    lost = sum(rows.n_missing.values())
    per = np.ones(rows.n) if rows.exposure is None else rows.exposure
    rate = {k: float(rows.outcome[rows.arm == k].sum() / per[rows.arm == k].sum()) for k in (0, 1)}
    faults = []
    if lost:
        message = f"{measured} is missing in {lost:,} rows"
        faults.append(Fault("data", measured, lost, message, "give 0 where never measured"))
    if rate[0] == 0:
        message = f"nobody of arm 0 has a {measured} above 0"
        faults.append(Fault("data", measured, 0, message, "measure the comparison too"))
    raise_faults(faults)
    ratio = rate[1] / rate[0]
    low, high = MEASURED_ALIKE
    words = f"the programme's patients were measured {ratio:.2f} times as often"
    passed = low - 1e-9 <= ratio <= high + 1e-9
    if not passed:
        words += "; take the measurement nearest to a scheduled day, or show bounds"
    edge = high if ratio > 1 else low
    return checks_table([Check("measurement", passed, words, ratio, edge, gating=True)])


def _patient_faults(table: pd.DataFrame, patient: str, facility: str, arm: str) -> list[Fault]:
    faults, n = [], len(table)
    for name in (patient, facility, arm):
        lost = int(table[name].isna().sum())
        if lost:
            message = f"{name} is missing in {lost:,} of {n:,} rows"
            faults.append(Fault("data", name, lost, message, "drop or fill these rows"))
    twice = int(table[patient].duplicated().sum())
    if twice:
        message = f"{patient} is there twice in {twice:,} of {n:,} rows"
        faults.append(Fault("data", patient, twice, message, "give one row a patient"))
    if not table[arm].dropna().isin([0, 1]).all() or table[arm].nunique() < 2:
        faults.append(Fault("data", arm, n, f"{arm} is not 0 and 1", "code both arms so"))
    return faults
