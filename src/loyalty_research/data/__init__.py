"""The data room: a health organisation's own records as validated tables."""

from loyalty_research.data.contract import CONTRACT, Column, Table
from loyalty_research.data.settings import StudySettings, TableSettings, read_settings
from loyalty_research.data.study import Study, open_study, validate

__all__ = [
    "CONTRACT",
    "Column",
    "Study",
    "StudySettings",
    "Table",
    "TableSettings",
    "open_study",
    "read_settings",
    "validate",
]
