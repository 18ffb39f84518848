"""Columns may be called anything: with dots as in R, with spaces, quotes, or in Chinese."""

from __future__ import annotations

import pandas as pd
import pytest

import loyalty_research as lr

STEMS = ["ph.ecog", 'my "column"', "it's [x]", "年龄"]
SIX = pd.DataFrame(
    {
        "time": [3, 5, 7, 9, 4, 6], "event": [1, 0, 1, 1, 0, 1], "entry": [0, 1, 0, 0, 1, 0],
        "cause": ["left", None, "died", "left", None, "died"], "site": list("ababab"),
        "id": list("uvwxyz"), "start": [0] * 6, "visit": ["2024-01-05"] * 3 + ["2024-02-07"] * 3,
    }
).assign(visit=lambda d: pd.to_datetime(d["visit"]))  # fmt: skip


CURVES = {
    "kaplan_meier": ({"time": "time", "event": "event", "by": "site"}, {}),
    "late entry": ({"time": "time", "event": "event", "by": "site", "entry": "entry"}, {}),
    "risk_sets": ({"time": "time", "event": "event", "by": "site"}, {}),
    "nelson_aalen": ({"time": "time", "event": "event", "by": "site"}, {}),
    "restricted_mean_time": (
        {"time": "time", "event": "event", "by": "site"}, {"horizon": 5},
    ),
    "cumulative_incidence": ({"time": "time", "event": "cause", "by": "site"}, {}),
    "mean_cumulative_count": (
        {"patient": "id", "start": "start", "stop": "time", "event": "event", "by": "site"}, {},
    ),
    "retention_triangle": (
        {"patient": "id", "date": "visit"}, {"data_cutoff": "2024-03-31"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("stem", STEMS)
@pytest.mark.parametrize("curve", CURVES)
def test_a_name_of_any_letters_gives_what_a_plain_name_gives(engine, curve, stem):
    roles, more = CURVES[curve]
    measure = getattr(lr, "kaplan_meier" if curve == "late entry" else curve)
    plain = measure(SIX, **roles, **more)
    odd = {name: f"{stem}.{name}" if "." in stem else f"{stem} {name}" for name in SIX}
    data = engine.make(SIX.rename(columns=odd))
    found = measure(data, **{role: odd[name] for role, name in roles.items()}, **more)
    if "by" in roles:
        found = found.rename(columns={odd["site"]: "site"})
    pd.testing.assert_frame_equal(found, plain, check_dtype=False)
