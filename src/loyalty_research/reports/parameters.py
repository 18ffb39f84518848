"""The parameters of each report, refused when unknown, ill-typed or out of bounds.

A notebook's `parameters` cell and its model here say the same names and defaults; a test holds them
equal. Values reach a notebook only through its model, so that `site = "0012"` stays a text.
"""

from __future__ import annotations

import ast
import datetime as dt
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import nbformat
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from loyalty_research.data.arguments import suggest
from loyalty_research.errors import UsageError

LONGEST_NAME = 64

Parameters = TypeVar("Parameters", bound="ReportParameters")


def _iso_text(value: object) -> object:
    # TOML has native dates; a notebook gets the ISO text, which papermill can write as a literal.
    return value.isoformat() if type(value) is dt.date else value


def _is_iso_date(value: str) -> str:
    try:
        is_day = not value or dt.date.fromisoformat(value).isoformat() == value
    except ValueError:
        is_day = False
    if not is_day:
        raise ValueError("write a day as 2024-12-31, or nothing")
    return value


def _is_plain_name(value: str) -> str:
    allowed = all(letter.isalnum() or letter in "-_. " for letter in value)
    if not allowed or value.startswith((".", " ")) or value.endswith((".", " ")):
        raise ValueError(
            "may hold letters, digits, spaces, '-', '_' and '.', and neither starts nor ends with "
            "a dot or a space"
        )
    return value


IsoDate = Annotated[str, BeforeValidator(_iso_text), AfterValidator(_is_iso_date)]
PlainName = Annotated[str, Field(max_length=LONGEST_NAME), AfterValidator(_is_plain_name)]
Days = Annotated[int, Field(ge=1, le=7300)]
DayList = Annotated[list[Days], Field(min_length=1, max_length=12)]


class ReportParameters(BaseModel):
    """What every report takes: which study, which site, since when, for whom."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: str = Field(
        "../data/example",
        min_length=1,
        description="folder or DuckDB file of the study; by default the bundled example",
    )
    site: PlainName = Field("", description="facility_id of one clinic; empty for all")
    entry_start: IsoDate = Field("", description="first index date studied; empty for all")
    entry_end: IsoDate = Field("", description="last index date studied; empty for all")
    washout_days: int = Field(
        0, ge=0, le=3650, description="days without a visit before an index visit counts as new"
    )
    conf_level: float = Field(0.95, gt=0.5, lt=1, description="level of all intervals")
    audience: Literal["internal", "publish"] = Field(
        "internal", description="publish suppresses counts from 1 to 7 and rounds the rest to 5"
    )

    @model_validator(mode="after")
    def _entry_window_runs_forwards(self) -> ReportParameters:
        if self.entry_start and self.entry_end and self.entry_end < self.entry_start:
            raise ValueError("entry_end lies before entry_start")
        return self


class DataAndCohortParameters(ReportParameters):
    """The parameters of 01_data_and_cohort."""

    minimum_days: int = Field(
        180, ge=0, le=7300, description="days of possible follow-up a patient must have"
    )
    lookback_days: Days = Field(365, description="days before the index date that baseline covers")
    characteristics: Annotated[list[PlainName], Field(min_length=1, max_length=30)] = Field(
        ["age", "sex", "insurance", "n_visits_before"], description="columns of the baseline table"
    )


class RetentionParameters(ReportParameters):
    """The parameters of 02_retention."""

    lapse_days: Days = Field(180, description="a patient without a visit for longer has lapsed")
    lapse_windows: DayList = Field(
        [90, 180, 365], description="windows compared in the sensitivity"
    )
    headline_day: Days = Field(365, description="day that the sentences speak of")
    report_days: DayList = Field([30, 90, 180, 365, 730], description="days the table states")
    period: Literal["week", "month", "quarter", "year"] = Field(
        "quarter", description="triangle's period"
    )
    segment: PlainName = Field(
        "sex", description="column of patients that splits the curve; empty for none"
    )

    @model_validator(mode="after")
    def _days_hold_the_headline(self) -> RetentionParameters:
        if self.headline_day not in self.report_days:
            raise ValueError("report_days must hold headline_day, so that the table states it")
        return self

    @model_validator(mode="after")
    def _windows_hold_the_main_one(self) -> RetentionParameters:
        if self.lapse_days not in self.lapse_windows:
            raise ValueError("lapse_windows must hold lapse_days, so that the main result is in it")
        return self


class RetentionModelParameters(ReportParameters):
    """The parameters of 03_retention_model."""

    lapse_days: Days = Field(180, description="a patient without a visit for longer has lapsed")
    lookback_days: Days = Field(365, description="days before the index date that baseline covers")
    horizon_day: Days = Field(365, description="day that predictions speak of")
    covariates: Annotated[list[PlainName], Field(min_length=1, max_length=30)] = Field(
        ["age", "sex", "insurance"], description="what may go with lapsing, known at the index date"
    )
    adjusted_by: PlainName = Field("sex", description="the covariate that the curves compare")
    fit_share: float = Field(
        0.7, gt=0.1, lt=0.95, description="share of patients, first by entry, that predictions fit"
    )
    extrapolate_days: int = Field(
        2555, ge=1, le=7300, description="days until which distributions are continued"
    )

    @model_validator(mode="after")
    def _covariates_hold_the_compared_one(self) -> RetentionModelParameters:
        if self.adjusted_by not in self.covariates:
            raise ValueError("covariates must hold adjusted_by, so that the model knows it")
        return self


class ProgrammeEffectParameters(ReportParameters):
    """The parameters of 04_programme_effect."""

    programme: PlainName = Field("", description="programme_id of one programme; empty for all")
    lapse_days: Days = Field(180, description="a patient without a visit for longer has lapsed")
    lookback_days: Days = Field(365, description="days before the index date that baseline covers")
    horizon_day: Days = Field(365, description="day on which arms are compared")
    landmark_day: Days = Field(90, description="day from which the landmark trial runs")
    trial_days: Days = Field(60, description="days from one of the sequential trials to the next")
    covariates: Annotated[list[PlainName], Field(min_length=1, max_length=30)] = Field(
        ["home_facility_id", "age", "conditions"],
        description="what drives both joining and staying, known at the index date",
    )
    seed: int = Field(1, ge=0, description="start of the random numbers")


class RollOutParameters(ReportParameters):
    """The parameters of 05_roll_out."""

    programme: PlainName = Field("", description="programme_id of one programme; empty for all")
    item: PlainName = Field("satisfaction", description="survey item whose mean score is compared")
    period: Literal["month", "quarter", "year"] = Field("quarter", description="length of a period")
    seed: int = Field(1, ge=0, description="start of the random numbers")


class ServiceChangeParameters(ReportParameters):
    """The parameters of 06_service_change."""

    data: str = Field(
        "../data/service_change",
        min_length=1,
        description="folder or DuckDB file of the study; by default the bundled waits",
    )
    measure: PlainName = Field("wait_minutes", description="column of visits that is followed")
    unit: PlainName = Field("minutes", description="unit of the measure")
    quantile: float = Field(0.5, gt=0, lt=1, description="which quantile; 0.5 is the median")
    changed: PlainName = Field("F01", description="facility_id of the clinic that changed")
    control: PlainName = Field("F03", description="facility_id of one that nothing changed at")
    neighbour: PlainName = Field("F02", description="facility_id that may have taken the burden")
    change_start: IsoDate = Field("2023-01-01", description="first day of the first changed month")
    wash_in: int = Field(0, ge=0, le=24, description="months after the start that are left out")


class StudyPlanParameters(ReportParameters):
    """The parameters of 07_plan_a_study."""

    lapse_days: Days = Field(180, description="a patient without a visit for longer has lapsed")
    horizon_day: Days = Field(365, description="day on which arms are to be compared")
    gain: float = Field(0.06, gt=0, lt=1, description="gain in the share still there worth finding")
    power: float = Field(0.8, gt=0.5, lt=1, description="power asked for")
    n_clinics: int = Field(12, ge=4, le=200, description="clinics that could take part")
    n_periods: int = Field(5, ge=3, le=24, description="periods of a roll-out")
    cell_size: int = Field(40, ge=1, le=10000, description="patients a clinic and period")
    lasting: float = Field(
        0.8, ge=0, le=1, description="share of the likeness within clinics that lasts over periods"
    )


# pydantic's kinds of faults, in words that say what to write instead.
_WORDS = {
    "int_parsing": "write a whole number, such as 180",
    "int_type": "write a whole number without quotes, such as 180",
    "int_from_float": "write a whole number, such as 180",
    "float_parsing": "write a number, such as 0.95",
    "float_type": "write a number without quotes, such as 0.95",
    "string_type": 'write a text in quotes, such as "0012"',
    "list_type": "write a list, such as [90, 180, 365]",
    "literal_error": "write one of {expected}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "too_short": "name at least {min_length}",
    "too_long": "name at most {max_length}",
    "string_too_long": "may hold at most {max_length} letters",
    "string_too_short": "must not be empty",
}


def _faults(error: ValidationError, model: type[BaseModel]) -> list[str]:
    lines = []
    for fault in error.errors(include_url=False, include_input=False):
        name = str(fault["loc"][0]) if fault["loc"] else "parameters"
        if fault["type"] == "extra_forbidden":
            lines.append(f"{name} is not a parameter{suggest(name, list(model.model_fields))}")
            continue
        words = _WORDS.get(fault["type"], fault["msg"].removeprefix("Value error, "))
        lines.append(f"{name}: {words.format(**fault.get('ctx', {}))}")
    return list(dict.fromkeys(lines))


def _refuse(error: ValidationError, model: type[BaseModel], source: str) -> UsageError:
    return UsageError("\n  ".join([f"{source}:", *_faults(error, model)]))


def parameters_from_text(
    model: type[Parameters], assignments: Sequence[str], *, base: Mapping[str, Any] | None = None
) -> Parameters:
    """Return the parameters given as `NAME=VALUE` texts, over those of `base`.

    Args:
        model: the report's parameter model.
        assignments: texts such as `lapse_days=90`; a list is written `90,180,365`.
        base: typed values that the texts override, such as those of a TOML file.

    Raises:
        UsageError: a text without `=`, an unknown name, or a value that does not fit; all listed.

    Examples:
        >>> parameters_from_text(RetentionParameters, ["site=0012", "lapse_windows=90,180"]).site
        '0012'
    """
    texts: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise UsageError(f"-p {assignment}: write NAME=VALUE")
        is_list = name in model.model_fields and "list" in str(model.model_fields[name].annotation)
        texts[name] = [item.strip() for item in value.split(",")] if is_list else value
    try:
        # Each text is read as its field's type; unknown names are refused here too.
        return model.model_validate({**(base or {}), **texts})
    except ValidationError as error:
        raise _refuse(error, model, "parameters") from None


def parameters_from_values(
    model: type[Parameters], values: Mapping[str, Any], *, source: str = "parameters"
) -> Parameters:
    """Return the parameters given as typed values, as a TOML file holds them.

    Args:
        model: the report's parameter model.
        values: name -> value of the right type; `"90"` is refused where 90 is meant.
        source: where the values come from, for the message.

    Raises:
        UsageError: every unknown name and every value that does not fit, all at once.

    Examples:
        >>> parameters_from_values(RetentionParameters, {"lapse_days": 365}).lapse_days
        365
    """
    try:
        return model.model_validate(dict(values), strict=True)
    except ValidationError as error:
        raise _refuse(error, model, source) from None


def read_parameter_file(path: Path) -> dict[str, Any]:
    """Return the values of a TOML file of parameters.

    Raises:
        UsageError: the file is missing or is not TOML (`site = 0012` is not).

    Examples:
        >>> read_parameter_file(Path("there-is-none.toml"))
        Traceback (most recent call last):
        ...
        loyalty_research.errors.UsageError: there-is-none.toml: there is no such file
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{path}: there is no such file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f'{path}: {error}; texts need quotes, as in site = "0012"') from None


def notebook_parameters(path: Path) -> dict[str, Any]:
    """Return names and defaults of a notebook's `parameters` cell, read without running it.

    Raises:
        UsageError: the notebook has not exactly one cell tagged `parameters`, or the cell holds
            anything but `name = literal` lines.

    Examples:
        >>> from loyalty_research.data.project import project_file
        >>> notebook_parameters(project_file("notebooks/02_retention.ipynb"))["lapse_days"]
        180
    """
    notebook = nbformat.read(path, as_version=4)
    tagged = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    if len(tagged) != 1:
        raise UsageError(f"{path.name}: needs one cell tagged 'parameters', has {len(tagged)}")
    return dict(_literal(path, node) for node in ast.parse(tagged[0].source).body)


def _literal(path: Path, node: ast.stmt) -> tuple[str, Any]:
    is_plain = isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    if not is_plain:
        raise UsageError(f"{path.name}: line {node.lineno} of its parameters is not name = literal")
    try:
        return node.targets[0].id, ast.literal_eval(node.value)  # type: ignore[attr-defined]
    except ValueError:
        raise UsageError(
            f"{path.name}: line {node.lineno} of its parameters is not name = literal"
        ) from None
