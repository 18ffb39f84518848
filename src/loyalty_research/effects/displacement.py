"""Whether what a change took away here turned up elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from loyalty_research.data.arguments import as_columns, check_share
from loyalty_research.data.frames import missing_columns, raise_faults
from loyalty_research.effects.estimates import estimates_table
from loyalty_research.effects.interrupted_time_series import estimate_rows, segmented_model
from loyalty_research.effects.series import SeriesColumns, number_faults, open_series
from loyalty_research.errors import UsageError
from loyalty_research.retention.rows import take_columns

_SHOWN = ("level", "average", "cumulative")


def displacement(
    series: Any,
    *,
    outcome: str,
    elsewhere: str | Sequence[str],
    time: str,
    start: Any,
    season: str | int | None = None,
    harmonics: int | None = 2,
    wash_in: int = 0,
    errors: str = "ar1",
    lags: int | None = None,
    per_year: float | None = None,
    unit: str = "",
    conf_level: float = 0.95,
) -> pd.DataFrame:
    """Return a change here, the change in each place where it may have gone, and the net of all.

    Each series, and their sum, has the model of `interrupted_time_series` to itself, so that the
    interval of the net allows for places that move together. Sums need outcomes that add up:
    visits, patients, minutes of waiting in all; not means, medians or rates. Without displacement
    the change elsewhere is about 0 and the net about the change here; with complete displacement
    the net is about 0 (Bowers and Johnson, J Quant Criminol 2003;19:275, for the idea).

    Args:
        series: One row a period. Any frame.
        outcome: Column of the outcome where the change was made: a number that adds up.
        elsewhere: Column or columns of the same outcome in other places.
        time: Column of the period, as for `interrupted_time_series`, like all that follow.
        start: The first period of the change.
        season: Column of the season, or periods in a cycle.
        harmonics: Pairs of sine and cosine; None for indicators.
        wash_in: Periods left out after the start.
        errors: `"ar1"` or `"newey-west"`.
        lags: Lags of Newey and West.
        per_year: Periods in a year.
        unit: Unit of the outcome, such as "visits".
        conf_level: Coverage of the intervals.

    Returns:
        Estimates with `place` behind `term`: the rows `level`, `average` and `cumulative` for the
        outcome, for each column elsewhere, and for `net`.

    Raises:
        UsageError, DataError: As for `interrupted_time_series`; no other place, one named twice.

    Examples:
        >>> here = [50, 52, 49, 51, 50, 48, 51, 50, 30, 31, 29, 30, 32, 30, 31, 29]
        >>> there = [20, 21, 20, 19, 20, 22, 20, 21, 40, 41, 39, 42, 40, 39, 40, 41]
        >>> table = pd.DataFrame({"week": range(16), "ours": here, "next_door": there})
        >>> found = displacement(
        ...     table, outcome="ours", elsewhere="next_door", time="week", start=8, unit="visits"
        ... )
        >>> found.loc[found["term"].eq("average"), ["place", "estimate"]].round(0).values.tolist()
        [['ours', -19.0], ['next_door', 19.0], ['net', 0.0]]
    """
    level = check_share(conf_level, name="conf_level")
    others = as_columns(elsewhere)
    places = [outcome, *others]
    if not others or len(set(places)) < len(places) or "net" in places:
        message = 'elsewhere= needs columns other than outcome=, each once, none named "net"'
        raise UsageError(message)
    settings: dict[str, Any] = {
        "time": time, "start": start, "season": season, "wash_in": wash_in, "per_year": per_year
    }  # fmt: skip
    first = SeriesColumns(outcome, **settings)
    kept = list(dict.fromkeys([*first.names(), *others]))
    raise_faults(missing_columns(series, kept, table="series"))
    table = take_columns(series, kept)
    raise_faults(fault for name in places for fault in number_faults(table, name))
    table = table.assign(net=table[places].astype(float).sum(axis=1))
    rows = []
    for place in [*places, "net"]:
        opened = open_series(table, SeriesColumns(place, **settings))
        model = segmented_model(opened, errors=errors, harmonics=harmonics, lags=lags)
        for row in estimate_rows(model, unit=unit, conf_level=level):
            if row["term"] in _SHOWN:
                rows.append({"term": row.pop("term"), "place": place, **row})
    return estimates_table(rows)
