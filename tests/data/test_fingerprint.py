"""A fingerprint moves with the data and with nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import polars as pl

from loyalty_research.data.study import Study, open_study

Opened = Callable[..., Study]


def test_the_fingerprint_of_files_moves_with_one_byte(folder: Path) -> None:
    before = open_study(folder).fingerprint
    assert open_study(folder).fingerprint == before
    path = folder / "visits.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("12.50", "12.51"), encoding="utf-8")
    assert open_study(folder).fingerprint != before


def test_the_fingerprint_does_not_depend_on_where_the_folder_is(
    tmp_path: Path, folder: Path
) -> None:
    before = open_study(folder).fingerprint
    assert open_study(folder.rename(tmp_path / "moved")).fingerprint == before


def test_the_fingerprint_of_frames_moves_with_one_value(
    opened: Opened, visits: pd.DataFrame
) -> None:
    before = opened().fingerprint
    assert opened().fingerprint == before
    assert opened(visits=visits.assign(fee="1")).fingerprint != before


def test_the_fingerprint_of_frames_does_not_depend_on_the_order_of_rows(
    opened: Opened, visits: pd.DataFrame
) -> None:
    assert opened(visits=visits.iloc[::-1]).fingerprint == opened().fingerprint


def test_the_same_values_in_another_kind_of_frame_have_the_same_fingerprint(
    opened: Opened, visits: pd.DataFrame
) -> None:
    assert opened(visits=pl.from_pandas(visits)).fingerprint == opened().fingerprint


def test_a_row_that_stands_twice_is_not_cancelled_out(opened: Opened) -> None:
    facilities = pd.DataFrame({"facility_id": ["a"], "note": ["x"]})
    twice = pd.DataFrame({"facility_id": ["a", "b", "c"], "note": ["x", "y", "y"]})
    assert (
        opened(facilities=facilities).fingerprint != opened(facilities=twice).fingerprint
    )  # fmt: skip
