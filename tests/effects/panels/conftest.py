"""Panels that the tests of differences in differences share."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest


@pytest.fixture(scope="session")
def counties(published) -> pd.DataFrame:
    """Return the county teen employment data from whole numbers, never treated as missing."""
    mpdta = published("did")["mpdta"]
    n, years = len(mpdta["first_treated"]), mpdta["years"]
    start = pd.Series(mpdta["first_treated"], dtype=float).replace(0, np.nan)
    return pd.DataFrame(
        {
            "county": np.repeat(np.arange(n), len(years)),
            "year": np.tile(years, n),
            "start": np.repeat(start.to_numpy(), len(years)),
            "lpop": np.repeat(np.log(np.array(mpdta["population"]) / 1000), len(years)),
            "lemp": np.log(np.array(mpdta["employment"])).ravel(),
        }
    )


@pytest.fixture
def three_clinics() -> pd.DataFrame:
    """Return clinics a (start 2), b (start 3) and c (never) over months 1 to 3."""
    outcome = {"a": [10.0, 15.0, 17.0], "b": [20.0, 22.0, 29.0], "c": [30.0, 31.0, 33.0]}
    return pd.DataFrame(
        [
            {"clinic": name, "month": month, "start": {"a": 2.0, "b": 3.0}.get(name), "y": y}
            for name, values in outcome.items()
            for month, y in enumerate(values, start=1)
        ]
    )


@pytest.fixture(scope="session")
def roll_out():
    """Return a function that draws a programme rolled out over clinics."""
    return _roll_out


def _roll_out(n_clinics: int, seed: int, size: float = 1.0) -> pd.DataFrame:
    """Return clinics over 16 months, a quarter each starting in month 5, 9, 13 and never.

    Effects 1.6, 1.0, 0.5 in the first month, 0.15 more a month, times `size`; errors have standard
    deviation 1 and autocorrelation 0.5.
    """
    rng = np.random.default_rng(seed)
    months, start = np.arange(1, 17), np.repeat([5.0, 9.0, 13.0, np.nan], n_clinics // 4)
    error = rng.normal(size=(n_clinics, 16))
    for k in range(1, 16):
        error[:, k] = 0.5 * error[:, k - 1] + np.sqrt(0.75) * error[:, k]
    first = np.repeat([1.6, 1.0, 0.5, 0.0], n_clinics // 4)[:, None]
    since = months - start[:, None]
    effect = np.where(since >= 0, first + 0.15 * since, 0) * size
    y = rng.normal(size=n_clinics)[:, None] + 0.1 * months + effect + error
    clinic = np.repeat(np.arange(n_clinics), 16)
    return pd.DataFrame(
        {"clinic": clinic, "month": np.tile(months, n_clinics), "start": start[clinic],
         "y": y.ravel()}
    )  # fmt: skip
