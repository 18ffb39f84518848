"""The tables that the comparisons run on, made once a seed and kept as Parquet and as plain binary.

R reads the plain binary files, which is quicker than any file format it has.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

N_COVARIATES = 10
COVARIATES = [f"x{k}" for k in range(1, N_COVARIATES + 1)]
CONFOUNDERS = [f"x{k}" for k in range(20)]
CAUSES = ("died", "lapsed", "moved")


def patients(n: int) -> pd.DataFrame:
    """Return `n` patients with covariates, whole days to event or censoring, entry and cluster."""
    rng = np.random.default_rng(20240102)
    covariates = rng.normal(size=(n, N_COVARIATES)).round(3)
    covariates[:, :4] = covariates[:, :4] > 0
    effect = np.linspace(-0.3, 0.3, N_COVARIATES)
    latent = rng.exponential(1200 / np.exp(covariates @ effect))
    censored = rng.uniform(200, 1826, n)
    time = np.ceil(np.minimum(latent, censored)).astype(np.int32)
    event = latent <= censored
    other = rng.random(n)
    cause = np.where(
        event, np.where(other < 0.7, "lapsed", np.where(other < 0.9, "died", "moved")), "censored"
    )
    table = pd.DataFrame(covariates, columns=COVARIATES)
    return table.assign(
        time=time,
        event=event,
        cause=pd.Categorical(cause, categories=["censored", *CAUSES]),
        entry=np.minimum(rng.integers(0, 300, n), time - 1).astype(np.int32),
        arm=rng.integers(0, 2, n).astype(np.int32),
        cluster=np.arange(n, dtype=np.int32) // 2,
    )


def write_patients(folder: Path, n: int) -> Path:
    """Write the patients as Parquet and as one binary file a column; return the Parquet file."""
    path = folder / f"patients_{n}.parquet"
    if path.exists():
        return path
    table = patients(n)
    columns = folder / f"patients_{n}"
    columns.mkdir(parents=True, exist_ok=True)
    codes = table.assign(event=table["event"], cause=table["cause"].cat.codes)
    for name in codes:
        kind = np.float64 if name in COVARIATES else np.int32
        codes[name].to_numpy().astype(kind).tofile(columns / f"{name}.bin")
    table.to_parquet(path)
    return path


def write_choosers(folder: Path, n: int) -> Path:
    """Write `n` patients who chose by 20 covariates that drive their score too, in 2,000 clinics.

    `lot` is an arm that was drawn for whole clinics.
    """
    path = folder / f"choosers_{n}.parquet"
    if path.exists():
        return path
    rng = np.random.default_rng(20)
    x = rng.normal(size=(n, len(CONFOUNDERS)))
    x[:, 10:] = x[:, 10:] > 0.5
    slopes = np.linspace(-0.3, 0.3, len(CONFOUNDERS))
    arm = (rng.random(n) < 1 / (1 + np.exp(-(x @ slopes)))).astype(np.int32)
    score = x @ slopes[::-1] + arm * (1 + 0.3 * x[:, 0]) + rng.normal(size=n)
    clinic = rng.integers(0, 2000, n)
    lot = rng.integers(0, 2, 2000)[clinic]
    table = pd.DataFrame(x, columns=CONFOUNDERS).assign(arm=arm, score=score, clinic=clinic)
    table = table.assign(lot=lot, drawn=table["score"] + rng.normal(size=2000)[clinic])
    table.to_parquet(path)
    return path


def write_roll_out(folder: Path, units: int, periods: int = 40) -> Path:
    """Write units that start in any period from the fifth on, or never, with one covariate."""
    path = folder / f"roll_out_{units}_{periods}.parquet"
    if path.exists():
        return path
    rng = np.random.default_rng(1)
    unit, period = np.repeat(np.arange(units), periods), np.tile(np.arange(1, periods + 1), units)
    choices = np.r_[np.arange(5, periods + 1), np.full(10, np.nan)]
    start = rng.choice(choices, units)[unit]
    x = rng.normal(size=units)[unit]
    y = x * period / periods + (period >= start) + rng.normal(size=len(unit))
    pd.DataFrame({"unit": unit, "period": period, "start": start, "x": x, "y": y}).to_parquet(path)
    return path


def write_visits(folder: Path, n: int) -> Path:
    """Write about `n` visits of a tenth as many patients over six years, in date order."""
    path = folder / f"visits_{n}.parquet"
    if path.exists():
        return path
    rng = np.random.default_rng(20240101)
    first_day = np.datetime64("2018-01-01", "D").astype(np.int32)
    writer = None
    per_day = np.full(6 * 365, n // (6 * 365))
    for day, count in enumerate(per_day):
        who = np.sort(rng.integers(0, n // 10, count, dtype=np.int32))
        when = np.full(count, first_day + day, np.int32)
        rows = pa.table({"patient_id": who, "visit_date": pa.array(when).cast(pa.date32())})
        writer = writer or pq.ParquetWriter(path, rows.schema, compression="zstd")
        writer.write_table(rows)
    if writer is not None:
        writer.close()
    return path
