"""A small study without a fault, and the ways to put one in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from loyalty_research.data.study import Study, open_study
from loyalty_research.errors import DataError, Fault

CUTOFF = {"data_cutoff": "2024-12-31"}


@pytest.fixture
def patients() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "patient_id": ["0012", "0013", "0014"],
            "sex": ["female", "male", "unknown"],
            "birth_year": [1950, 1961, 1972],
        }
    )


@pytest.fixture
def visits() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "visit_id": ["v1", "v2", "v3", "v4"],
            "patient_id": ["0012", "0012", "0013", "0014"],
            "visit_date": ["2024-01-05", "2024-03-05", "2024-02-06", "2024-12-31"],
            "visit_type": ["clinic", "home", None, "online"],
            "fee": ["12.50", "0", None, "3"],
        }
    )


@pytest.fixture
def frames(patients: pd.DataFrame, visits: pd.DataFrame) -> dict[str, pd.DataFrame]:
    return {"patients": patients, "visits": visits}


@pytest.fixture
def folder(tmp_path: Path, frames: dict[str, pd.DataFrame]) -> Path:
    """A folder of CSV files whose name has a blank and Chinese characters."""
    folder = tmp_path / "随访 study [1]"
    folder.mkdir()
    for name, frame in frames.items():
        frame.to_csv(folder / f"{name}.csv", index=False)
    (folder / "study.toml").write_text("data_cutoff = 2024-12-31\n", encoding="utf-8")
    return folder


@pytest.fixture
def opened(frames: dict[str, Any]) -> Callable[..., Study]:
    """Open the frames with the given tables changed; None takes a table away."""

    def open_with(mapping: dict[str, Any] | None = None, **changed: Any) -> Study:
        tables = {name: table for name, table in {**frames, **changed}.items() if table is not None}
        return open_study(tables, mapping={**CUTOFF, **(mapping or {})})

    return open_with


@pytest.fixture
def faults(opened: Callable[..., Study]) -> Callable[..., list[Fault]]:
    """Return the faults of the study with the given tables changed."""

    def faults_with(mapping: dict[str, Any] | None = None, **changed: Any) -> list[Fault]:
        with pytest.raises(DataError) as caught:
            opened(mapping, **changed)
        assert caught.value.exit_status == 3
        assert caught.value.__cause__ is None
        return caught.value.faults

    return faults_with
