"""The reports there are: each a notebook, a parameter model and the outputs it declares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from loyalty_research.data.arguments import suggest
from loyalty_research.data.project import project_file
from loyalty_research.errors import UsageError
from loyalty_research.reports.parameters import (
    DataAndCohortParameters,
    ProgrammeEffectParameters,
    ReportParameters,
    RetentionModelParameters,
    RetentionParameters,
    RollOutParameters,
    ServiceChangeParameters,
    StudyPlanParameters,
)


@dataclass(frozen=True)
class Report:
    """A report: its question, its parameters, and the outputs without which it has failed."""

    name: str
    question: str
    model: type[ReportParameters]
    tables: tuple[str, ...]
    figures: tuple[str, ...]
    findings: tuple[str, ...]

    @property
    def notebook(self) -> Path:
        """The report's notebook."""
        return project_file(f"notebooks/{self.name}.ipynb")


REPORTS: Mapping[str, Report] = MappingProxyType(
    {
        report.name: report
        for report in (
            Report(
                "01_data_and_cohort",
                "Whose visits do we have, and who is studied?",
                DataAndCohortParameters,
                tables=("tables", "checks", "coverage", "attrition", "baseline"),
                figures=("coverage", "attrition"),
                findings=("cohort",),
            ),
            Report(
                "02_retention",
                "How long do patients keep coming back?",
                RetentionParameters,
                tables=(
                    "attrition",
                    "retention",
                    "curve",
                    "median",
                    "causes",
                    "cause_curves",
                    "mean_times",
                    "visits",
                    "visit_curves",
                    "triangle",
                    "segments",
                    "segment_curves",
                    "windows",
                    "window_curves",
                    "checks",
                ),
                figures=("triangle", "retention", "causes", "visits", "windows", "segments"),
                findings=("retention", "causes", "mean_time", "visits", "windows"),
            ),
            Report(
                "03_retention_model",
                "Who lapses?",
                RetentionModelParameters,
                tables=(
                    "attrition",
                    "baseline",
                    "checks",
                    "proportional",
                    "model",
                    "calibration",
                    "fits",
                    "cure",
                ),
                figures=("model", "adjusted", "calibration", "beyond"),
                findings=("model", "prediction"),
            ),
            Report(
                "04_programme_effect",
                "What did the programme change?",
                ProgrammeEffectParameters,
                tables=("attrition", "protocol", "weights", "balance", "answers", "checks"),
                figures=("balance", "answers"),
                findings=("effect", "days"),
            ),
            Report(
                "05_roll_out",
                "What did the roll-out change at the clinics?",
                RollOutParameters,
                tables=("clinics", "checks", "course", "regression", "simulated_pairs", "wedge"),
                figures=("roll_out", "course", "simulated", "wedge"),
                findings=("effect",),
            ),
            Report(
                "06_service_change",
                "Did the change of a service shorten the wait, and at whose cost?",
                ServiceChangeParameters,
                tables=("months", "checks", "placebos", "course", "answers", "estimates"),
                figures=("months", "course", "answers"),
                findings=("effect", "neighbour"),
            ),
            Report(
                "07_plan_a_study",
                "How large must a study be, and how should it be rolled out?",
                StudyPlanParameters,
                tables=("attrition", "likeness", "sizes", "reach", "roll_outs", "growth", "series"),
                figures=("reach", "schedule", "growth"),
                findings=("size", "roll_out"),
            ),
        )
    }
)


def find_report(name: str) -> Report:
    """Return the report of that name.

    Raises:
        UsageError: there is none; the nearest name is suggested.

    Examples:
        >>> find_report("02_retention").question
        'How long do patients keep coming back?'
    """
    if name not in REPORTS:
        raise UsageError(
            f'there is no report "{name}"{suggest(name, REPORTS)}; `loyalty list` shows all'
        )
    return REPORTS[name]
