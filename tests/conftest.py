"""What the tests of every room share: the same table in each engine, its rows shuffled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

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
FIXED_COLUMNS = {
    "curve": ["time", *COUNTS, "estimate", "std_error", *INTERVAL],
    "quantiles": ["q", "estimate", *INTERVAL, "n", "n_events"],
    "triangle": ["cohort", "period", "n_patients", "n_retained", "estimate", *INTERVAL],
    "attrition": ["step", "criterion", "n_before", "n_excluded", "n_after"],
}
"""The columns of results after those of the group, as the design fixes them."""


@pytest.fixture
def assert_columns() -> Callable[..., None]:
    """The one check that a result has its fixed columns, in order, numbers as numbers."""

    def check(table: pd.DataFrame, kind: str, *, groups: Sequence[str] = ()) -> None:
        assert isinstance(table, pd.DataFrame)
        assert list(table) == [*groups, *FIXED_COLUMNS[kind]]
        assert table.index.equals(pd.RangeIndex(len(table)))
        for name in FIXED_COLUMNS[kind]:
            if name.startswith(("n_", "step", "period")) or name in ("time", "n"):
                assert pd.api.types.is_integer_dtype(table[name]), name
            elif name not in ("cohort", "criterion"):
                assert pd.api.types.is_float_dtype(table[name]), name

    return check
