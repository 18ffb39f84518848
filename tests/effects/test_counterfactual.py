"""The course a series took beside the one it would have taken."""

import numpy as np
import pandas as pd
import pytest

from loyalty_research.effects.counterfactual import counterfactual
from loyalty_research.effects.interrupted_time_series import interrupted_time_series

TABLE = pd.DataFrame({"t": range(8), "y": [2.0, 4, 3, 5, 1, 2, 2, 3]})
SIMPLE = {"outcome": "y", "time": "t", "start": 4, "errors": "newey-west", "lags": 0}
FEW = {"too few points": "a case done by hand"}
COLUMNS = [
    "time", "phase", "observed", "comparison", "fitted", "counterfactual", "conf_low", "conf_high",
    "effect", "effect_low", "effect_high", "cumulative", "cumulative_low", "cumulative_high",
    "conf_level",
]  # fmt: skip


def test_the_lines_done_by_hand():
    path = counterfactual(TABLE, **SIMPLE)
    assert list(path) == COLUMNS
    # Before: 2.3 + .8 t, which goes on; after: 1.1 + .6 (t - 4).
    assert path["counterfactual"].tolist() == pytest.approx([2.3 + 0.8 * t for t in range(8)])
    assert path["fitted"][4:].tolist() == pytest.approx([1.1, 1.7, 2.3, 2.9])
    assert path["effect"][4:].tolist() == pytest.approx([-4.4, -4.6, -4.8, -5.0])
    assert path["cumulative"][4:].tolist() == pytest.approx([-4.4, -9.0, -13.8, -18.8])
    assert path["effect"][:4].isna().all()
    assert path["phase"].tolist() == ["before"] * 4 + ["after"] * 4


@pytest.mark.parametrize("more", [{}, {"scale": "log"}, {"exposure": "n"}, {"control": "other"}])
def test_its_ends_are_the_rows_of_the_estimates(more):
    draw = np.random.default_rng(2)
    table = pd.DataFrame(
        {"t": range(40), "y": draw.uniform(5, 9, 40), "other": draw.uniform(5, 9, 40)}
    ).assign(n=draw.integers(5, 15, 40))
    asked = {"outcome": "y", "time": "t", "start": 20, "season": 4, "wash_in": 2, **more}
    rows = interrupted_time_series(table, **asked).estimates.set_index("term")
    path = counterfactual(table, **asked)
    for term, at, name in (("level", 22, "effect"), ("end", 39, "effect"), ("cumulative", 39, "")):
        stem = name or "cumulative"
        found = path.loc[at, [stem, f"{stem}_low", f"{stem}_high"]].astype(float)
        wanted = rows.loc[term, ["estimate", "conf_low", "conf_high"]].astype(float)
        assert found.tolist() == pytest.approx(wanted.tolist())
    assert path["phase"].value_counts().to_dict() == {"before": 20, "after": 18, "wash-in": 2}
    assert path["fitted"].isna().sum() == 2
    assert path[["counterfactual", "conf_low", "conf_high"]].notna().all(axis=None)


def test_a_comparison_carries_the_course_that_was_to_be_expected():
    # The comparison falls by 5 for all; the treated series falls with it, and by 10 more.
    draw = np.random.default_rng(1)
    after = np.arange(40) >= 20
    other = 30 - 5 * after + draw.normal(size=40)
    treated = other + 10 - 10 * after + 0.1 * draw.normal(size=40)
    table = pd.DataFrame({"t": range(40), "y": treated, "other": other})
    path = counterfactual(table, outcome="y", time="t", start=20, control="other")
    assert (path["counterfactual"] - other).tolist() == pytest.approx([10] * 40, abs=0.5)
    assert path["effect"][20:].tolist() == pytest.approx([-10] * 20, abs=0.5)
    assert path["comparison"].tolist() == other.tolist()


def test_limits_contain_the_lines_and_grow_away_from_the_data():
    draw = np.random.default_rng(1)
    table = pd.DataFrame({"t": range(40), "y": draw.normal(size=40)})
    path = counterfactual(table, outcome="y", time="t", start=20, season=12)
    assert (path["conf_low"] < path["counterfactual"]).all()
    width = path["conf_high"] - path["conf_low"]
    assert width[39] > width[20] > width[10]
