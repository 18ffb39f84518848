"""The data contract: every table and column the suite reads, declared once as data.

The validation queries, the data dictionary, the mapping of a hospital's own names, disclosure
control and the identifier scan are all derived from `CONTRACT`; there is no second list anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

ColumnType = Literal["id", "text", "category", "date", "timestamp", "integer", "number", "boolean"]


@dataclass(frozen=True)
class Column:
    """One column: what it means, how it is coded, and what may stand in it.

    `required` means the column must be present; `nullable` that single values may be missing.
    `minimum` and `maximum` bound numbers. `not_before` names the date columns of the same table (or
    `"patients.birth_year"`) that a date may not precede; every date is also bounded by the study's
    `data_cutoff` unless `may_be_future` is set.
    `references` is `"table.column"`.
    `identifier` marks what must never be published; `count` what disclosure control counts.
    """

    name: str
    type: ColumnType
    meaning: str
    required: bool = False
    nullable: bool = True
    unit: str = ""
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    references: str = ""
    not_before: tuple[str, ...] = ()
    may_be_future: bool = False
    identifier: bool = False
    count: bool = False


@dataclass(frozen=True)
class Table:
    """One table: its grain in words, its key, and its columns in the order of the dictionary."""

    name: str
    grain: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    required: bool = False
    enables: str = ""
    by_name: Mapping[str, Column] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_name = MappingProxyType({column.name: column for column in self.columns})
        object.__setattr__(self, "by_name", by_name)


def _key(name: str, meaning: str, **more: object) -> Column:
    return Column(name, "id", meaning, required=True, nullable=False, **more)  # type: ignore[arg-type]


def _patient(meaning: str = "the patient's pseudonym") -> Column:
    return _key("patient_id", meaning, references="patients.patient_id", identifier=True)


def _facility() -> Column:
    return Column("facility_id", "id", "where", references="facilities.facility_id")


def _date(name: str, meaning: str, *, nullable: bool = False, **more: object) -> Column:
    return Column(name, "date", meaning, required=not nullable, nullable=nullable, **more)  # type: ignore[arg-type]


_PATIENTS = Table(
    "patients",
    "one row a patient",
    ("patient_id",),
    (
        _key(
            "patient_id", "pseudonym; never a name, a card or a telephone number", identifier=True
        ),
        Column(
            "sex", "category", "sex as recorded", choices=("female", "male", "other", "unknown")
        ),
        Column("birth_year", "integer", "year of birth", unit="year", minimum=1880, maximum=2100),
        Column(
            "home_facility_id",
            "id",
            "clinic the patient belongs to",
            references="facilities.facility_id",
        ),
        Column(
            "conditions", "text", "long-term conditions, separated by `;`, empty for none known"
        ),
        Column("insurance", "text", "insurance or ability-to-pay band"),
        _date(
            "observed_from", "first day on which the patient's visits would be seen", nullable=True
        ),
        _date(
            "observed_until",
            "last day on which the patient's visits would be seen; missing = data_cutoff",
            nullable=True,
            not_before=("observed_from",),
        ),
        _date(
            "death_date",
            "day of death; missing = not known to have died",
            nullable=True,
            not_before=("patients.birth_year",),
        ),
        _date(
            "moved_date",
            "day the patient left the area; missing = did not",
            nullable=True,
            not_before=("patients.birth_year",),
        ),
    ),
    required=True,
)

_VISITS = Table(
    "visits",
    "one row a visit",
    ("visit_id",),
    (
        _key("visit_id", "the visit's pseudonym", identifier=True),
        _patient(),
        _date("visit_date", "day of the visit", not_before=("patients.birth_year",)),
        _facility(),
        Column("department", "text", "department or service line"),
        Column(
            "visit_type",
            "category",
            "where the visit took place",
            choices=("clinic", "home", "online", "phone", "other"),
        ),
        Column(
            "planned",
            "boolean",
            "the visit was booked by the care plan, not by the patient's choice",
        ),
        Column("fee", "number", "charged fee", unit="local currency", minimum=0),
    ),
    required=True,
)

_FACILITIES = Table(
    "facilities",
    "one row a clinic or hospital",
    ("facility_id",),
    (
        _key("facility_id", "code of the clinic"),
        Column("facility_name", "text", "name to print"),
        Column(
            "facility_type",
            "category",
            "kind of facility",
            choices=("community", "specialised", "general", "other"),
        ),
    ),
    enables="names of clinics in every report",
)

_ENROLMENTS = Table(
    "enrolments",
    "one row an enrolment of a patient in a programme",
    ("enrolment_id",),
    (
        _key("enrolment_id", "the enrolment's code", identifier=True),
        _patient(),
        Column("programme_id", "text", "the programme", required=True, nullable=False),
        _date("enrolment_date", "first day in the programme", not_before=("patients.birth_year",)),
        _date(
            "end_date",
            "last day in the programme; missing = still enrolled",
            nullable=True,
            not_before=("enrolment_date",),
        ),
        Column("end_reason", "text", "why it ended"),
    ),
    enables="arms, index at enrolment, programme effects",
)

_CONTACTS = Table(
    "contacts",
    "one row a planned follow-up contact",
    ("contact_id",),
    (
        _key("contact_id", "the contact's code", identifier=True),
        _patient(),
        Column("programme_id", "text", "the programme"),
        _date("due_date", "day the contact was due", may_be_future=True),
        _date("contact_date", "day it was last attempted; missing = not attempted", nullable=True),
        Column(
            "channel",
            "category",
            "how",
            choices=("phone", "video", "home", "message", "clinic", "other"),
        ),
        Column(
            "outcome",
            "category",
            "what came of it; missing = not attempted",
            choices=("reached", "not_reached", "refused"),
        ),
    ),
    enables="follow-up completion",
)

_MEASUREMENTS = Table(
    "measurements",
    "one row a measured value",
    ("measurement_id",),
    (
        _key("measurement_id", "the measurement's code", identifier=True),
        _patient(),
        _date("measurement_date", "day it was measured", not_before=("patients.birth_year",)),
        Column(
            "measure",
            "text",
            "what was measured: sbp, dbp (mmHg), hdl, chol (mg/dL), ...",
            required=True,
            nullable=False,
        ),
        Column(
            "value", "number", "the value, in the unit beside it", required=True, nullable=False
        ),
        Column("unit", "text", "unit of the value"),
    ),
    enables="baseline covariates, chronic outcomes",
)

_SURVEYS = Table(
    "survey_responses",
    "one row an answered question",
    ("response_id",),
    (
        _key("response_id", "the response's code", identifier=True),
        _patient(),
        _date("survey_date", "day of the answer", not_before=("patients.birth_year",)),
        Column(
            "item",
            "text",
            "the question's code: recommend (0-10), satisfaction (1-5), ...",
            required=True,
            nullable=False,
        ),
        Column("score", "number", "the answer as a number", required=True, nullable=False),
        _facility(),
    ),
    enables="satisfaction and recommendation",
)

_COMPLAINTS = Table(
    "complaints",
    "one row a complaint",
    ("complaint_id",),
    (
        _key("complaint_id", "the complaint's code", identifier=True),
        _patient(),
        Column("opened_at", "timestamp", "when it was made", required=True, nullable=False),
        Column(
            "responded_at",
            "timestamp",
            "first answer; missing = none yet",
            not_before=("opened_at",),
        ),
        Column(
            "resolved_at",
            "timestamp",
            "when it was settled; missing = still open",
            not_before=("opened_at",),
        ),
        Column("topic", "text", "what it is about"),
        _facility(),
    ),
    enables="complaint clocks",
)

_REFERRALS = Table(
    "referrals",
    "one row a recommendation by a patient",
    ("referral_id",),
    (
        _key("referral_id", "the referral's code", identifier=True),
        Column(
            "referrer_id",
            "id",
            "who recommended",
            required=True,
            nullable=False,
            references="patients.patient_id",
            identifier=True,
        ),
        Column(
            "referred_id",
            "id",
            "who came; missing = did not come",
            references="patients.patient_id",
            identifier=True,
        ),
        _date("referral_date", "day of the recommendation"),
    ),
    enables="recommendation and word of mouth",
)

_POINTS = Table(
    "points",
    "one row a movement in a patient's points account",
    ("movement_id",),
    (
        _key("movement_id", "the movement's code", identifier=True),
        _patient(),
        _date("movement_date", "day of the movement"),
        Column(
            "movement",
            "category",
            "kind of movement",
            required=True,
            nullable=False,
            choices=("earn", "redeem", "expire"),
        ),
        Column(
            "points",
            "integer",
            "points moved, as a positive number",
            required=True,
            nullable=False,
            unit="points",
            minimum=0,
        ),
    ),
    enables="incentive audit",
)

_ROLLOUT = Table(
    "rollout",
    "one row a programme's start at a clinic",
    ("facility_id", "programme_id"),
    (
        _key("facility_id", "the clinic", references="facilities.facility_id"),
        Column("programme_id", "text", "the programme", required=True, nullable=False),
        _date(
            "start_date",
            "first day the programme was offered; missing = never",
            nullable=True,
            may_be_future=True,
        ),
    ),
    enables="staggered roll-out designs",
)

CONTRACT: Mapping[str, Table] = MappingProxyType(
    {
        table.name: table
        for table in (
            _PATIENTS,
            _VISITS,
            _FACILITIES,
            _ENROLMENTS,
            _CONTACTS,
            _MEASUREMENTS,
            _SURVEYS,
            _COMPLAINTS,
            _REFERRALS,
            _POINTS,
            _ROLLOUT,
        )
    }
)


def required_tables() -> Iterator[Table]:
    """Yield the tables without which nothing can be answered.

    Examples:
        >>> [table.name for table in required_tables()]
        ['patients', 'visits']
    """
    return (table for table in CONTRACT.values() if table.required)
