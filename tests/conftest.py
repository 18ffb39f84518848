"""What the tests of every room share: the same table in each engine, its rows shuffled."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import settings

# How long an example takes says how busy the machine is, and nothing of the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

ENGINES = ("pandas", "pandas_dates", "polars", "polars_lazy", "arrow", "duckdb")


@dataclass
class Engine:
    """One kind of frame: `make` turns a pandas table into it, `read` turns a result back."""

    kind: str
    connection: duckdb.DuckDBPyConnection = field(default_factory=duckdb.connect)
    made: int = 0

    def make(self, table: pd.DataFrame, *, shuffle: bool = True) -> Any:
        """Return the table in this engine, its rows in another order."""
        if shuffle:
            table = table.sample(frac=1, random_state=5)
        if self.kind == "pandas":
            return table
        if self.kind == "pandas_dates":
            days = {name: _as_days(table[name]) for name in table.select_dtypes("datetime")}
            return table.assign(**days)
        arrow = pa.Table.from_pandas(table, preserve_index=False)
        if self.kind == "arrow":
            return arrow
        if self.kind == "duckdb":
            self.made += 1
            self.connection.sql(f"CREATE TABLE made_{self.made} AS SELECT * FROM arrow")
            return self.connection.table(f"made_{self.made}")
        frame = pl.from_arrow(arrow)
        return frame.lazy() if self.kind == "polars_lazy" else frame

    def read(self, result: Any, *, sort: str | list[str] = "patient_id") -> pd.DataFrame:
        """Return a result as a sorted pandas table, after checking that it is of this kind."""
        kind = {
            "pandas": pd.DataFrame,
            "pandas_dates": pd.DataFrame,
            "polars": pl.DataFrame,
            "polars_lazy": pl.LazyFrame,
            "arrow": pa.Table,
            "duckdb": duckdb.DuckDBPyRelation,
        }[self.kind]
        assert isinstance(result, kind)
        table = {
            "pandas": lambda: result,
            "pandas_dates": lambda: result,
            "polars": lambda: result.to_pandas(),
            "polars_lazy": lambda: result.collect().to_pandas(),
            "arrow": lambda: result.to_pandas(date_as_object=False),
            "duckdb": lambda: result.df(),
        }[self.kind]()
        for name in table:
            if str(name).endswith(("_date", "followed_until", "日期")):
                table = table.assign(**{name: pd.to_datetime(table[name]).astype("datetime64[ns]")})
        return table.sort_values(sort, ignore_index=True)


def _as_days(column: pd.Series) -> pd.Series:
    return pd.Series(
        [None if pd.isna(day) else day.date() for day in column], index=column.index, dtype=object
    )


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each kind of frame in turn."""
    return Engine(request.param)


INTERVAL = ("conf_low", "conf_high", "conf_level")
COUNTS = ("n_at_risk", "n_events", "n_censored")
ESTIMATE = ("estimate", "std_error", *INTERVAL, "p_value", "n", "n_events", "scale", "method")
FIXED_COLUMNS = {
    "curve": ["time", *COUNTS, "estimate", "std_error", *INTERVAL],
    "weighted_curve": [
        *["time", *COUNTS, "weight_at_risk", "weight_events", "weight_censored"],
        *["estimate", "std_error", *INTERVAL],
    ],
    "causes": ["cause", "time", *COUNTS, "estimate", "std_error", *INTERVAL],
    "estimates": ["term", *ESTIMATE],
    "contrasts": ["contrast", *ESTIMATE],
    "tests": ["statistic", "df", "p_value", "n", "n_events", "method"],
    "checks": ["check", "statistic", "threshold", "passed", "gating", "message"],
    "quantiles": ["q", "estimate", *INTERVAL, "n", "n_events"],
    "triangle": ["cohort", "period", "n_patients", "n_retained", "estimate", *INTERVAL],
    "attrition": ["step", "criterion", "n_before", "n_excluded", "n_after"],
}
"""The columns of results after those of the group, as the design fixes them."""

WORDS = ("cohort", "criterion", "cause", "term", "contrast", "scale", "method", "check", "message")
FLAGS = ("passed", "gating")


@pytest.fixture
def assert_columns() -> Callable[..., None]:
    """The one check that a result has its fixed columns, in order, numbers as numbers."""

    def check(
        table: pd.DataFrame, kind: str, *, groups: Sequence[str] = (), more: Sequence[str] = ()
    ) -> None:
        assert isinstance(table, pd.DataFrame)
        # A term or contrast comes before the group it is of; a curve's group before its times.
        first = 1 if kind in ("estimates", "contrasts") else 0
        fixed = FIXED_COLUMNS[kind]
        assert list(table) == [*fixed[:first], *groups, *fixed[first:], *more]
        assert table.index.equals(pd.RangeIndex(len(table)))
        for name in FIXED_COLUMNS[kind]:
            if name.startswith(("n_", "step", "period")) or name in ("time", "n", "df"):
                assert pd.api.types.is_integer_dtype(table[name]), name
            elif name in FLAGS:
                assert set(table[name].dropna().unique()) <= {True, False}, name
            elif name not in WORDS:
                assert pd.api.types.is_float_dtype(table[name]), name

    return check


PUBLISHED = Path(__file__).parent / "published"


@pytest.fixture(scope="session")
def published() -> Callable[[str], Any]:
    """The numbers of a reference implementation, made again where it is installed.

    `published("cox")` reads tests/published/cox.json. Where R is on the machine it runs cox.R too
    and holds what is stored to what R says now, so that a stored number cannot have been mistyped.
    """
    return _published


@cache
def _published(topic: str) -> Any:
    stored = json.loads((PUBLISHED / f"{topic}.json").read_text(encoding="utf-8"))
    script = PUBLISHED / f"{topic}.R"
    if script.exists() and shutil.which("Rscript"):
        run = subprocess.run(
            ["Rscript", "--vanilla", str(script)],
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        if "there is no package called" in run.stderr:
            return stored
        assert run.returncode == 0, f"{script.name} failed:\n{run.stderr}"
        _assert_same(json.loads(run.stdout), stored, topic)
    return stored


def _assert_same(live: Any, stored: Any, where: str) -> None:
    if isinstance(stored, dict):
        assert isinstance(live, dict), where
        assert live.keys() == stored.keys(), where
        for key, value in stored.items():
            if key == "versions":
                # Another R is to agree in its numbers, not in its name.
                continue
            _assert_same(live[key], value, f"{where}.{key}")
    elif isinstance(stored, list):
        assert isinstance(live, list), where
        assert len(live) == len(stored), where
        for position, value in enumerate(stored):
            _assert_same(live[position], value, f"{where}[{position}]")
    elif isinstance(stored, float) or isinstance(live, float):
        # The last digits of a sum or a fit differ with the machine's linear algebra.
        assert live == pytest.approx(stored, rel=1e-7, abs=1e-9), where
    else:
        assert live == stored, where
