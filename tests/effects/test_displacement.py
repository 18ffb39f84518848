"""Whether what a change took away here turned up elsewhere."""

import numpy as np
import pandas as pd
import pytest

from loyalty_research.effects.displacement import displacement
from loyalty_research.effects.interrupted_time_series import interrupted_time_series
from loyalty_research.errors import DataError, UsageError


def clinics(moved, n=48):
    """Return visits of two clinics; 30 leave ours at the change, a share of them for next door."""
    draw, at = np.random.default_rng(1), np.arange(n)
    gone = 30 * (at >= n // 2)
    ours, door = 100 + 3 * draw.normal(size=n), 50 + 3 * draw.normal(size=n)
    far = 70 + 3 * draw.normal(size=n)
    return pd.DataFrame({"t": at, "ours": ours - gone, "door": door + moved * gone, "far": far})


def found(table, **more):
    asked = {"outcome": "ours", "elsewhere": ["door", "far"], "time": "t", "start": 24}
    table = displacement(table, **(asked | {"season": 12} | more))
    return table.set_index(["term", "place"])


@pytest.mark.parametrize(("moved", "net"), [(0.0, -30), (0.5, -15), (1.0, 0)])
def test_the_net_is_what_left_less_what_arrived(moved, net):
    table = found(clinics(moved))
    error = table.loc[("average", "net"), "std_error"]
    assert table.loc[("average", "net"), "estimate"] == pytest.approx(net, abs=4 * error)
    assert table.loc[("average", "door"), "estimate"] == pytest.approx(30 * moved, abs=4 * error)
    assert table.loc[("average", "far"), "estimate"] == pytest.approx(0, abs=4 * error)


def test_each_row_is_that_of_the_series_by_itself(engine, assert_columns):
    table = clinics(0.5)
    rows = displacement(
        engine.make(table), outcome="ours", elsewhere="door", time="t", start=24, season=12
    )
    assert_columns(rows, "estimates", groups=["place"])
    assert rows["place"].tolist() == ["ours"] * 3 + ["door"] * 3 + ["net"] * 3
    both = table.assign(both=table["ours"] + table["door"])
    for place, column in (("ours", "ours"), ("door", "door"), ("net", "both")):
        alone = interrupted_time_series(both, outcome=column, time="t", start=24, season=12)
        part = rows[rows["place"].eq(place)].set_index("term")["estimate"]
        wanted = alone.estimates.set_index("term")["estimate"][part.index]
        assert part.tolist() == pytest.approx(wanted.tolist())


@pytest.mark.parametrize("elsewhere", [[], ["ours"], ["door", "door"], ["net"]])
def test_places_must_be_others_and_once_each(elsewhere):
    with pytest.raises(UsageError, match="elsewhere= needs columns other than outcome=, each once"):
        found(clinics(0).assign(net=1.0), elsewhere=elsewhere)


def test_faults_of_places_are_named():
    with pytest.raises(DataError, match="column near is missing"):
        found(clinics(0), elsewhere=["near"])
    table = clinics(0)
    broken = table.assign(door=table["door"].where(table["t"] > 1), far="many")
    with pytest.raises(DataError) as caught:
        found(broken)
    assert "door is missing in 2 of 48 rows" in str(caught.value)
    assert "far is text, not a number" in str(caught.value)
