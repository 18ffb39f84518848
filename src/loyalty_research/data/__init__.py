"""The data room: a health organisation's own records as validated tables."""

from loyalty_research.data.contract import CONTRACT, Column, Table
from loyalty_research.data.discover import Proposal, propose_settings
from loyalty_research.data.examples import load_example, write_example
from loyalty_research.data.settings import StudySettings, TableSettings, read_settings
from loyalty_research.data.settings_file import write_settings
from loyalty_research.data.simulate import SimulatedStudy, simulate_study
from loyalty_research.data.study import Study, open_study, validate
from loyalty_research.data.write import write_study

__all__ = [
    "CONTRACT",
    "Column",
    "Proposal",
    "SimulatedStudy",
    "Study",
    "StudySettings",
    "Table",
    "TableSettings",
    "load_example",
    "open_study",
    "propose_settings",
    "read_settings",
    "simulate_study",
    "validate",
    "write_example",
    "write_settings",
    "write_study",
]
