"""A pretended start finds nothing where there is nothing, and a trend where there is one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from loyalty_research.effects.placebo_dates import placebo_dates
from loyalty_research.errors import DataError, UsageError

CLINIC = {"outcome": "y", "unit": "clinic", "period": "month", "first_treated": "start"}


def four_clinics() -> pd.DataFrame:
    values = {
        "a": (3.0, [10, 12, 30, 31]),
        "b": (4.0, [20, 21, 25, 60]),
        "c": (None, [5, 6, 8, 9]),
        "d": (None, [7, 7, 9, 8]),
    }
    return pd.DataFrame(
        [
            {"clinic": name, "month": month, "start": start, "y": float(y)}
            for name, (start, series) in values.items()
            for month, y in enumerate(series, start=1)
        ]
    )


def test_pretended_starts_by_hand():
    found = placebo_dates(four_clinics(), **CLINIC, seed=1)
    # One month earlier: a from month 2 since month 1, b from month 3 since month 2.
    one = [(12 - 10) - ((6 - 5) + (7 - 7)) / 2, (25 - 21) - ((8 - 6) + (9 - 7)) / 2]
    # Two months earlier only b has a month before: mean of months 2 and 3 since month 1.
    two = ((21 + 25) / 2 - 20) - (((6 + 8) / 2 - 5) + ((7 + 9) / 2 - 7)) / 2
    assert found["periods_earlier"].tolist() == [1, 2]
    assert found["estimate"].tolist() == pytest.approx([np.mean(one), two])
    assert found["n"].tolist() == [4, 3]


def test_a_clinic_not_yet_treated_when_the_cohort_starts_is_a_control():
    found = placebo_dates(four_clinics(), **CLINIC, control="not_yet", seed=1)
    a = (12 - 10) - ((21 - 20) + (6 - 5) + (7 - 7)) / 3
    b = (25 - 21) - ((8 - 6) + (9 - 7)) / 2
    assert found["estimate"].iloc[0] == pytest.approx((a + b) / 2)


def test_effects_after_the_true_start_do_not_matter(roll_out):
    small, large = roll_out(40, seed=2), roll_out(40, seed=2, size=9.0)
    pd.testing.assert_frame_equal(
        placebo_dates(small, **CLINIC, seed=1), placebo_dates(large, **CLINIC, seed=1)
    )


def test_nothing_is_found_where_trends_ran_alike_and_a_slope_where_they_did_not(roll_out):
    table = roll_out(60, seed=3)
    band = placebo_dates(table, **CLINIC, seed=1)
    assert (band["band_low"].lt(0) & band["band_high"].gt(0)).all()
    assert (band["band_high"] > band["conf_high"]).all()
    drifting = table.assign(y=table["y"] + 0.5 * table["month"] * table["start"].notna())
    found = placebo_dates(drifting, **CLINIC, seed=1)
    # A slope of 0.5: the mean of k periods lies (k + 1) / 2 periods after the one before them.
    moved = found["estimate"] - band["estimate"]
    assert moved.tolist() == pytest.approx([0.5 * (k + 1) / 2 for k in band["periods_earlier"]])


def test_covariates_are_those_before_the_pretended_start():
    rng = np.random.default_rng(5)
    n = 300
    treated, x = np.repeat([True, False], n // 2), rng.normal(size=n)
    x[treated] += 1
    y = np.column_stack([np.zeros(n), 2 * x, 4 * x]) + 0.1 * rng.normal(size=(n, 3))
    table = pd.DataFrame(
        {
            "clinic": np.repeat(np.arange(n), 3),
            "month": np.tile([1, 2, 3], n),
            "start": np.repeat(np.where(treated, 3.0, np.nan), 3),
            "x": np.repeat(x, 3),
            "y": y.ravel(),
        }
    )
    crude = placebo_dates(table, **CLINIC, seed=1)["estimate"].item()
    like = placebo_dates(table, **CLINIC, covariates=["x"], seed=1)["estimate"].item()
    assert crude > 1
    assert like == pytest.approx(0, abs=0.1)


def test_order_and_engine_of_rows_change_nothing(engine, assert_columns):
    found = placebo_dates(engine.make(four_clinics()), **CLINIC, seed=1)
    pd.testing.assert_frame_equal(found, placebo_dates(four_clinics(), **CLINIC, seed=1))
    own = ["periods_earlier", "band_low", "band_high"]
    assert_columns(found.drop(columns=own).assign(n_events=0), "estimates")


def test_one_period_before_every_start_is_refused():
    with pytest.raises(DataError, match="no cohort has two periods before start"):
        placebo_dates(four_clinics().query("month >= 2 and clinic != 'b'"), **CLINIC, seed=1)


@pytest.mark.parametrize(
    ("setting", "message"),
    [({"control": "all"}, "control='all' is not known"), ({"n_draws": 1}, "n_draws=1 must be")],
)
def test_arguments_that_cannot_be_meant_are_refused(setting, message):
    with pytest.raises(UsageError, match=message):
        placebo_dates(four_clinics(), **CLINIC, seed=1, **setting)
