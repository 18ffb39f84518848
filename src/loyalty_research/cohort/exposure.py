"""When each patient joined a programme, and whether it could be joined on the index date."""

from __future__ import annotations

from typing import Any

import narwhals.stable.v2 as nw

from loyalty_research.cohort.index_dates import in_programme
from loyalty_research.data.frames import (
    REPAIR_DATE,
    REPAIR_ID,
    REPAIR_INDEX,
    day_number,
    is_missing,
    open_tables,
    raise_faults,
    value_faults,
)
from loyalty_research.data.lending import give_back, group_rows
from loyalty_research.errors import Fault

_SITE, _START = "__site", "__start"


def derive_exposure(
    cohort: Any,
    *,
    enrolments: Any,
    rollout: Any = None,
    programme: str | None = None,
    site: str = "home_facility_id",
    patient: str = "patient_id",
) -> Any:
    """Return the cohort with the day each patient joined, counted from the index date.

    Who is in the programme from the index date on, who joined later and who was in it before are
    three kinds of patients, which one column of arms would mix; the functions that emulate a trial
    take the day and tell them apart.

    Args:
        cohort: One row a patient: `patient`, `index_date`; with `rollout` also `site`.
        enrolments: One row an enrolment: `patient`, `enrolment_date`, perhaps `programme_id`.
        rollout: One row a site with the programme: `facility_id`, `start_date`, perhaps
            `programme_id`.
        programme: Look at this programme only; needs `programme_id` in both tables.
        site: The cohort's column that names the site.
        patient: Name of the patient's column.

    Returns:
        The cohort, same kind of frame, with `enrolled_day` (days from the index date to the first
        enrolment; negative = before, missing = never) and, with `rollout`, `programme_live` (the
        patient's site had the programme on the index date; false where it never had).

    Raises:
        UsageError: An unknown programme.
        DataError: Columns, ids or dates missing, a site with two starts; all faults at once.

    Examples:
        >>> import pandas as pd
        >>> cohort = pd.DataFrame({
        ...     "patient_id": ["a", "b", "c"], "index_date": pd.to_datetime(["2024-01-10"] * 3)
        ... })
        >>> enrolments = pd.DataFrame({
        ...     "patient_id": ["a", "b"],
        ...     "enrolment_date": pd.to_datetime(["2024-01-10", "2024-02-01"]),
        ... })
        >>> derive_exposure(cohort, enrolments=enrolments)["enrolled_day"].tolist()
        [0.0, 22.0, nan]
    """
    people, spells, starts = _open(cohort, enrolments, rollout, programme, site, patient)
    at = day_number(nw.col("index_date"))
    first = group_rows(spells, patient).agg(
        day_number(nw.col("enrolment_date")).min().alias(_START)
    )
    result = people.drop("enrolled_day", "programme_live", strict=False)
    result = result.join(first, on=patient, how="left")
    result = result.with_columns((nw.col(_START) - at).alias("enrolled_day")).drop(_START)
    new = ["enrolled_day"]
    if starts is not None:
        result = result.join(starts, left_on=site, right_on=_SITE, how="left")
        live = (nw.col(_START) <= at).fill_null(False)
        result = result.with_columns(live.alias("programme_live")).drop(_START)
        new.append("programme_live")
    return give_back(result, like=cohort, new=new, held=True)


def _open(
    cohort: Any, enrolments: Any, rollout: Any, programme: str | None, site: str, patient: str
) -> tuple[nw.LazyFrame, nw.LazyFrame, nw.LazyFrame | None]:
    named = [] if programme is None else ["programme_id"]
    keys = {"cohort": patient, "enrolments": patient, "rollout": "facility_id"}
    dates = {"cohort": ["index_date"], "enrolments": ["enrolment_date"], "rollout": ["start_date"]}
    lent = open_tables(
        {"cohort": cohort, "enrolments": enrolments, "rollout": rollout},
        ids=keys,
        dates=dates,
        more={
            "cohort": [] if rollout is None else [site],
            "enrolments": named,
            "rollout": named,
        },
    )
    repairs = {patient: REPAIR_ID, "index_date": REPAIR_INDEX, "facility_id": "name the site"}
    faults = _site_faults(lent, site)
    for name, frame in lent.items():
        # A site without a start never had the programme, and may say so by an empty date.
        filled = [keys[name], *(dates[name] if name != "rollout" else [])]
        checks = [is_missing(one, repair=repairs.get(one, REPAIR_DATE)) for one in filled]
        unique = None if name == "enrolments" else keys[name]
        rows = frame
        if name == "rollout" and programme is not None:
            rows = frame.filter(nw.col("programme_id") == programme)
        faults += value_faults(
            rows, checks, table=name, unique=unique, may_be_empty=name != "cohort"
        )
    raise_faults(faults)
    spells, starts = lent["enrolments"], lent.get("rollout")
    if programme is not None:
        spells = in_programme(spells, programme)
        starts = None if starts is None else in_programme(starts, programme)
    if starts is not None:
        day = day_number(nw.col("start_date")).alias(_START)
        starts = starts.select(nw.col("facility_id").alias(_SITE), day)
    return lent["cohort"], spells, starts


def _site_faults(lent: dict[str, nw.LazyFrame], site: str) -> list[Fault]:
    if "rollout" not in lent:
        return []
    own = lent["cohort"].collect_schema()[site].is_numeric()
    if own == lent["rollout"].collect_schema()["facility_id"].is_numeric():
        return []
    words = f"facility_id is {'text' if own else 'a number'}, {site} in cohort is not"
    return [Fault("rollout", "facility_id", 0, words, "give both the same type")]
