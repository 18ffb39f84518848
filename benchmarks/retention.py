"""Time the curve and the triangle on ten million rows beside what people use instead.

Run `python benchmarks/retention.py [millions of rows]`. Both sides run in the same process on the
same machine, so read the ratios, not the seconds.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import duckdb
import lifelines
import numpy as np
import pandas as pd

from loyalty_research.retention import (
    derive_lapse_dates,
    kaplan_meier,
    retention_triangle,
)

CUTOFF = pd.Timestamp("2023-12-31")


def make_visits(n: int) -> pd.DataFrame:
    """Return `n` visits of a tenth as many patients over four years, in no order."""
    rng = np.random.default_rng(20240101)
    day = rng.integers(0, 1461, n)
    dates = np.datetime64("2020-01-01", "ns") + day.astype("timedelta64[D]")
    return pd.DataFrame({"patient_id": rng.integers(0, n // 10, n), "visit_date": dates})


def make_times(n: int) -> pd.DataFrame:
    """Return `n` patients with a time in days and whether it ended in the event."""
    rng = np.random.default_rng(20240102)
    return pd.DataFrame({"time": rng.integers(1, 1826, n), "event": rng.random(n) < 0.4})


def timed(label: str, run: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds of the quickest of three runs, with the answer."""
    seconds, answer = [], None
    for _ in range(3):
        start = time.perf_counter()
        answer = run()
        seconds.append(time.perf_counter() - start)
    write(f"  {label:<44}{min(seconds):8.2f} s")
    return min(seconds), answer


def write(line: str) -> None:
    """Write one line."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def pandas_triangle(visits: pd.DataFrame) -> pd.DataFrame:
    """Return the exact monthly triangle as it is usually written with pandas."""
    month = visits["visit_date"].dt.year * 12 + visits["visit_date"].dt.month
    active = visits[["patient_id"]].assign(month=month).drop_duplicates()
    active["cohort"] = active.groupby("patient_id")["month"].transform("min")
    active["period"] = active["month"] - active["cohort"]
    return active.groupby(["cohort", "period"]).size().rename("n_retained").reset_index()


def pandas_lapses(visits: pd.DataFrame) -> pd.Series:
    """Return the last visit before the first gap of more than 180 days, with pandas."""
    ordered = visits.sort_values(["patient_id", "visit_date"])
    following = ordered.groupby("patient_id")["visit_date"].shift(-1).fillna(CUTOFF)
    lapsed = (following - ordered["visit_date"]).dt.days > 180
    return ordered[lapsed].groupby("patient_id")["visit_date"].min()


def compare(name: str, ours: dict[str, Callable[[], Any]], other: tuple[str, Callable[[], Any]]):
    """Run both sides, write their ratio, and return the answers."""
    write(name)
    slow, expected = timed(*other)
    answers = []
    for label, run in ours.items():
        quick, answer = timed(label, run)
        answers.append(answer)
        write(f"  {'':<44}{slow / quick:8.1f} times as fast as {other[0]}")
    return expected, answers


def curves(connection: duckdb.DuckDBPyConnection, n: int) -> None:
    """Compare the curves of `n` patients."""
    times = make_times(n)
    connection.execute("CREATE TABLE times AS SELECT * FROM times")
    fitter = lifelines.KaplanMeierFitter()
    expected, answers = compare(
        f"Kaplan-Meier, {n:,} patients",
        {
            "kaplan_meier, pandas": lambda: kaplan_meier(times),
            "kaplan_meier, DuckDB table": lambda: kaplan_meier(connection.table("times")),
        },
        ("lifelines", lambda: fitter.fit(times["time"], times["event"]).survival_function_),
    )
    for curve in answers:
        np.testing.assert_allclose(curve["estimate"], expected.iloc[:, 0], rtol=1e-9)


def triangles(connection: duckdb.DuckDBPyConnection, visits: pd.DataFrame) -> None:
    """Compare the monthly triangles of the same visits."""
    expected, answers = compare(
        f"Monthly triangle, {len(visits):,} visits",
        {
            "retention_triangle, pandas": lambda: retention_triangle(visits, data_cutoff=CUTOFF),
            "retention_triangle, DuckDB table": lambda: retention_triangle(
                connection.table("visits"), data_cutoff=CUTOFF
            ),
        },
        ("pandas by hand", lambda: pandas_triangle(visits)),
    )
    for triangle in answers:
        np.testing.assert_equal(triangle["n_retained"].sum(), expected["n_retained"].sum())


def lapses(connection: duckdb.DuckDBPyConnection, visits: pd.DataFrame) -> None:
    """Compare the lapse dates of the same patients."""
    rule = {"lapse_days": 180, "data_cutoff": CUTOFF}
    expected, answers = compare(
        f"Lapses, {len(visits):,} visits",
        {
            "derive_lapse_dates, pandas": lambda: derive_lapse_dates(visits, **rule),
            "derive_lapse_dates, DuckDB table": lambda: derive_lapse_dates(
                connection.table("visits"), **rule
            ).df(),
        },
        ("pandas by hand", lambda: pandas_lapses(visits)),
    )
    for answer in answers:
        np.testing.assert_equal(int(answer["lapse_date"].notna().sum()), len(expected))


def main(millions: float) -> None:
    """Run every comparison, refusing answers that differ."""
    n = int(millions * 1e6)
    connection = duckdb.connect()
    curves(connection, n)
    visits = make_visits(n)
    connection.execute(
        "CREATE TABLE visits AS SELECT patient_id, visit_date::DATE AS visit_date FROM visits"
    )
    triangles(connection, visits)
    lapses(connection, visits)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 10)
