"""How many clusters are enough: said by a check of its own, by the check of Cox models as well."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from loyalty_research.errors import DataError, UsageError
from loyalty_research.retention.clusters import check_clusters
from loyalty_research.retention.cox import cox_regression
from loyalty_research.retention.cox_checks import check_cox

CLINICS = pd.DataFrame(
    {
        "clinic": [i % 8 for i in range(80)],
        "arm": [i % 2 for i in range(80)],
        "time": [1 + (7 * i) % 23 for i in range(80)],
        "event": [i % 3 != 0 for i in range(80)],
        "x": [(5 * i) % 11 for i in range(80)],
        "patient": range(80),
    }
)


def test_eight_clinics_are_too_few(engine, assert_columns):
    table = check_clusters(engine.make(CLINICS), cluster="clinic")
    assert_columns(table, "checks")
    row = table.iloc[0]
    assert (row["check"], row["statistic"], row["threshold"]) == ("clusters", 8, 40)
    assert row["passed"] is False
    assert not row["gating"]
    assert "too small" in row["message"]


def test_forty_are_enough_and_thirty_nine_are_not():
    assert check_clusters(CLINICS.head(40), cluster="patient")["passed"].item() is True
    assert check_clusters(CLINICS.head(39), cluster="patient")["passed"].item() is False
    assert check_clusters(CLINICS, cluster="clinic", threshold=8)["passed"].item() is True


def test_the_group_with_fewest_clusters_counts():
    # Even clinics are of arm 0, odd of arm 1: four each.
    assert check_clusters(CLINICS, cluster="clinic", by="arm")["statistic"].item() == 4


def test_a_check_of_a_clustered_cox_model_counts_its_clusters():
    checks = check_cox(CLINICS, covariates=["x"], cluster="clinic").set_index("check")
    told = check_clusters(CLINICS, cluster="clinic").set_index("check")
    pd.testing.assert_frame_equal(checks.loc[["clusters"]], told)
    assert (
        check_cox(CLINICS, covariates=["x"], cluster="patient")
        .set_index("check")
        .loc["clusters", "passed"]
    )
    assert "clusters" not in check_cox(CLINICS, covariates=["x"])["check"].tolist()


def test_with_eight_clusters_intervals_cover_too_seldom_with_sixty_hardly():
    """Clinics differ, and the covariate is the clinic's: what `cluster=` is made for."""
    assert coverage(8) < 0.90
    assert coverage(60) > 0.91


def coverage(n_clusters: int, n_studies: int = 400) -> float:
    draws, hit = np.random.default_rng(8), 0
    for _ in range(n_studies):
        arm = np.arange(n_clusters) % 2
        rate = np.exp(draws.normal(0, 0.5, n_clusters))
        clinic = np.repeat(np.arange(n_clusters), 12)
        time = np.ceil(200 * draws.exponential(1 / rate[clinic])).astype(int)
        data = pd.DataFrame({"time": time, "event": 1, "x": arm[clinic], "clinic": clinic})
        row = cox_regression(data, covariates=["x"], cluster="clinic").iloc[0]
        # Arms are drawn alike, so the truth is 0.
        hit += row["conf_low"] <= 0 <= row["conf_high"]
    return hit / n_studies


def test_what_cannot_be_checked_is_refused():
    with pytest.raises(UsageError, match="threshold"):
        check_clusters(CLINICS, cluster="clinic", threshold=1)
    with pytest.raises(DataError, match="column site is missing"):
        check_clusters(CLINICS, cluster="site")
    with pytest.raises(DataError, match="clinic is missing in 80 of 80 rows; drop or repair"):
        check_clusters(CLINICS.assign(clinic=None), cluster="clinic")
    with pytest.raises(DataError, match="the table has no rows"):
        check_clusters(CLINICS.head(0), cluster="clinic")
