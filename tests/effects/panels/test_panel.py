"""The door of panels names every fault at once and fills the matrix whatever the order of rows."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from loyalty_research.effects.panel import derive_first_treated, open_panel
from loyalty_research.errors import DataError, UsageError

CLINIC = {"outcome": "y", "unit": "clinic", "period": "month", "first_treated": "start"}


def clinics() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "clinic": list("aaabbbccc"),
            "month": [1, 2, 3] * 3,
            "start": [2.0] * 3 + [3.0] * 3 + [np.nan] * 3,
            "region": list("nnnnnnsss"),
            "y": [10.0, 15, 17, 20, 22, 29, 30, 31, 33],
        }
    )


def test_rows_in_any_order_and_engine_fill_the_same_matrix(engine):
    opened = open_panel(engine.make(clinics()), **CLINIC, cluster="region")
    assert opened.outcome.tolist() == [[10, 15, 17], [20, 22, 29], [30, 31, 33]]
    assert opened.start.tolist() == [1, 2, 3]
    assert opened.cluster.tolist() == [0, 0, 1]
    assert opened.periods.tolist() == [1, 2, 3]


def test_dates_are_periods_too(engine):
    months = [pd.Timestamp(2024, k, 1) for k in (1, 2, 3)]
    table = clinics()
    table["month"] = months * 3
    table["start"] = table["start"].map({2.0: months[1], 3.0: months[2]})
    assert open_panel(engine.make(table), **CLINIC).start.tolist() == [1, 2, 3]


def test_a_start_between_periods_or_after_the_last_one_finds_its_place():
    table = clinics().assign(month=[2, 4, 6] * 3, start=[3.0] * 3 + [8.0] * 3 + [np.nan] * 3)
    opened = open_panel(table, **CLINIC)
    assert opened.start.tolist() == [1, 3, 3]
    assert opened.n_late == 1


def test_covariates_stand_beside_the_outcome():
    table = clinics().assign(size=np.arange(9.0) ** 2)
    opened = open_panel(table.sample(frac=1, random_state=1), **CLINIC, covariates=["size"])
    assert opened.x[:, :, 0].tolist() == [[0, 1, 4], [9, 16, 25], [36, 49, 64]]


def test_all_faults_are_told_at_once():
    table = clinics()
    table.loc[0, "y"] = np.nan
    table.loc[4, "start"] = 2.0
    table.loc[5, "month"] = 2
    table.loc[6:, "start"] = 1.0
    with pytest.raises(DataError) as error:
        open_panel(table, **CLINIC)
    told = str(error.value)
    for words in (
        "panel: y is missing in 1 of 9 rows",
        "clinic and month occur more than once, in 1 of 9 rows too many",
        "1 of 3 units lack one of the 3 periods",
        "start changes within 1 of 3 units",
        "start leaves 1 of 3 units no period before treatment",
        "no unit is without treatment",
    ):
        assert words in told


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: t.assign(clinic=["a"] * 3 + [None] * 3 + ["c"] * 3),
            "clinic is missing in 3 of 9",
        ),
        (lambda t: t.assign(region=["n"] * 8 + [None]), "region is missing in 1 of 9 rows"),
        (lambda t: t.assign(region=list("nnsnnnsss")), "region changes within 1 of 3 units"),
        (lambda t: t.assign(y="much"), "y is .*, not a number"),
        (lambda t: t.assign(y=np.inf), "y is infinite in 9 of 9 rows"),
        (
            lambda t: t.assign(month=list("xyz") * 3),
            "month is .*, neither a whole",
        ),
        (lambda t: t.assign(month=[1, 2, 2.5] * 3), "month is not a whole number in 3 of 9 rows"),
        (lambda t: t.assign(month=[1, 2, 4] * 3), "month skips values 1 times; number the periods"),
        (lambda t: t.assign(month=[202411, 202412, 202501] * 3), "month skips values"),
        (lambda t: t.assign(month=1, clinic=range(9)), "month has one value only"),
        (lambda t: t.assign(start="soon"), "start is .*, not of the type of month"),
        (lambda t: t.assign(start=dt.date(2024, 1, 1)), "start is .*, not of the type of month"),
        (
            lambda t: t.assign(start=t["start"].fillna(0)),
            "treated has a missing start, not 0",
        ),
        (lambda t: t.assign(start=np.nan), "no unit is treated"),
        (lambda t: t.assign(start=t["start"].fillna(3)), 'choose control="not_yet"'),
        (lambda t: t.assign(start=3), "add units that are not treated"),
        (lambda t: t.iloc[:0], "the table has no rows"),
        (lambda t: t.drop(columns="month"), "column month is missing"),
    ],
)
def test_each_fault_is_refused_with_its_repair(change, message):
    with pytest.raises(DataError, match=message):
        open_panel(change(clinics()), **CLINIC, cluster="region")


def test_an_unknown_control_is_refused():
    with pytest.raises(UsageError, match="control='later' is not known"):
        open_panel(clinics(), **CLINIC, control="later")


def test_no_refusal_quotes_a_unit():
    table = clinics().assign(clinic=["Zhang Wei"] * 9)
    with pytest.raises(DataError) as error:
        open_panel(table, **CLINIC)
    assert "Zhang" not in str(error.value)


def test_the_first_treated_period_is_found_from_a_column_of_status():
    status = clinics().assign(on=[0, 1, 1, 0, 0, 1, 0, 0, 0]).sample(frac=1, random_state=2)
    found = derive_first_treated(status, unit="clinic", period="month", treated="on")
    assert found["first_treated"].equals(found["start"])


@pytest.mark.parametrize(
    ("on", "message"),
    [
        ([0, 1, 0, 0, 0, 1, 0, 0, 0], "on goes back from 1 to 0 in 1 of 3 units"),
        ([0, 2, 1, 0, 0, 1, 0, 0, 0], "on is neither 0 nor 1 in 1 of 9 rows"),
        ([0, None, 1, 0, 0, 1, 0, 0, 0], "on is missing in 1 of 9 rows"),
        (list("nyynnynnn"), "on is neither 0 nor 1 in 9 of 9 rows"),
    ],
)
def test_a_status_that_cannot_be_read_is_refused(on, message):
    with pytest.raises(DataError, match=message):
        derive_first_treated(clinics().assign(on=on), unit="clinic", period="month", treated="on")
