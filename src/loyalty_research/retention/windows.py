"""Retention under a lapse window, and how much the answer depends on the window chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import narwhals.stable.v2 as nw
import pandas as pd

from loyalty_research.data.arguments import check_share, check_whole
from loyalty_research.data.lending import (
    collect,
    column_names,
    lend,
)
from loyalty_research.errors import UsageError
from loyalty_research.retention.curves import kaplan_meier
from loyalty_research.retention.lapse import derive_lapse_dates
from loyalty_research.retention.time_to_event import derive_time_to_event

EXITS = ("death_date", "moved_date")


def derive_retention_times(visits: Any, *, cohort: Any, lapse_days: int, data_cutoff: Any) -> Any:
    """Return the cohort with the days each patient stayed, and whether that ended in a lapse.

    The steps are `derive_lapse_dates` and `derive_time_to_event`; follow-up also ends at death or
    moving, where the cohort has these dates.

    Args:
        visits: one row a visit: `patient_id`, `visit_date`.
        cohort: one row a patient: `patient_id`, `index_date`, perhaps `observed_until`,
            `death_date`, `moved_date`. Patients must be observable for `lapse_days` after their
            index date: leave the others out with `observable_for`.
        lapse_days: days without a visit that are still no lapse.
        data_cutoff: last day the data cover.

    Returns:
        The cohort, same kind of frame, with `lapse_date`, `time` in days from the index date,
        `event` (lapsed or not) and `end_reason`.

    Raises:
        UsageError, DataError: as the two steps do.

    Examples:
        >>> visits = pd.DataFrame({
        ...     "patient_id": ["a", "a", "b"],
        ...     "visit_date": pd.to_datetime(["2023-01-01", "2023-03-01", "2023-06-01"]),
        ... })
        >>> cohort = pd.DataFrame({
        ...     "patient_id": ["a", "b"],
        ...     "index_date": pd.to_datetime(["2023-01-01", "2023-06-01"]),
        ...     "death_date": pd.to_datetime([None, "2023-06-15"]),
        ... })
        >>> times = derive_retention_times(
        ...     visits, cohort=cohort, lapse_days=180, data_cutoff="2023-12-31"
        ... )
        >>> times[["patient_id", "time", "event", "end_reason"]]
          patient_id  time  event  end_reason
        0          a    59   True  lapse_date
        1          b    14  False  death_date
    """
    lapses = derive_lapse_dates(
        visits, lapse_days=lapse_days, data_cutoff=data_cutoff, cohort=cohort
    )
    names = column_names(cohort, table="cohort")
    exits = [column for column in EXITS if column in names]
    return derive_time_to_event(
        lapses,
        event_date="lapse_date",
        # An exit on the last followed day is told as the exit that it is.
        censor_dates=[*exits, "followed_until"],
        data_cutoff=data_cutoff,
    )


def retention_by_window(
    visits: Any,
    *,
    cohort: Any,
    lapse_windows: Sequence[int],
    data_cutoff: Any,
    conf_level: float = 0.95,
) -> pd.DataFrame:
    """Return the retention curve under each of several lapse windows, for the same patients.

    Args:
        visits: one row a visit.
        cohort: one row a patient, all observable for the longest window.
        lapse_windows: the windows in days.
        data_cutoff: last day the data cover.
        conf_level: coverage of the intervals.

    Returns:
        The curves of `kaplan_meier`, with the column `lapse_days` before them.

    Raises:
        UsageError: no window, or one named twice.
        DataError: as `derive_retention_times` does.

    Examples:
        >>> visits = pd.DataFrame({
        ...     "patient_id": ["a", "a"],
        ...     "visit_date": pd.to_datetime(["2022-01-01", "2022-05-01"]),
        ... })
        >>> cohort = visits[:1].rename(columns={"visit_date": "index_date"})
        >>> curves = retention_by_window(
        ...     visits, cohort=cohort, lapse_windows=[90, 180], data_cutoff="2023-12-31"
        ... )
        >>> curves.loc[curves["n_events"] > 0, ["lapse_days", "time"]].values.tolist()
        [[90, 0], [180, 120]]
    """
    windows = _check_windows(lapse_windows)
    curves = [
        kaplan_meier(
            derive_retention_times(visits, cohort=cohort, lapse_days=days, data_cutoff=data_cutoff),
            conf_level=conf_level,
        ).assign(lapse_days=days)
        for days in windows
    ]
    table = pd.concat(curves, ignore_index=True)
    return table[["lapse_days", *[name for name in table.columns if name != "lapse_days"]]]


def check_lapse_windows(
    visits: Any,
    *,
    cohort: Any,
    lapse_windows: Sequence[int],
    data_cutoff: Any,
    threshold: float = 0.05,
) -> pd.DataFrame:
    """Return, for each lapse window, the share of lapsed patients who were seen again.

    A patient who comes back had not left for good. Where that happens often, the window is too
    short for the visits' rhythm, and retention under it comes out too low.

    Args:
        visits: one row a visit.
        cohort: one row a patient.
        lapse_windows: the windows in days.
        data_cutoff: last day the data cover.
        threshold: the largest share that passes.

    Returns:
        One row a window: `check`, `statistic` (the share; missing where nobody lapsed),
        `threshold`, `passed` (missing where nobody lapsed), `gating` (never), `message`, and the
        counts behind the share: `n` lapsed, `n_events` of them were seen again.

    Raises:
        UsageError: no window, or one named twice.
        DataError: as `derive_lapse_dates` does.

    Examples:
        >>> visits = pd.DataFrame({
        ...     "patient_id": ["a", "a"],
        ...     "visit_date": pd.to_datetime(["2022-01-01", "2022-05-01"]),
        ... })
        >>> cohort = visits[:1].rename(columns={"visit_date": "index_date"})
        >>> checks = check_lapse_windows(
        ...     visits, cohort=cohort, lapse_windows=[90, 180], data_cutoff="2023-12-31"
        ... )
        >>> checks[["check", "statistic", "passed"]].values.tolist()
        [['seen again after a lapse of 90 days', 1.0, False], \
['seen again after a lapse of 180 days', 0.0, True]]
    """
    limit = check_share(threshold, name="threshold")
    rows = []
    for days in _check_windows(lapse_windows):
        lapses = derive_lapse_dates(visits, lapse_days=days, data_cutoff=data_cutoff, cohort=cohort)
        rows.append(_window_check(days, *_count_returned(lapses), limit))
    return pd.DataFrame(rows).astype({"statistic": "float64", "passed": "boolean"})


def _check_windows(windows: Sequence[int]) -> list[int]:
    days = [check_whole(value, name="lapse_windows", minimum=1) for value in windows]
    if not days or len(set(days)) != len(days):
        raise UsageError("lapse_windows must name at least one window, and none twice")
    return days


def _count_returned(lapses: Any) -> tuple[int, int]:
    dates = ["lapse_date", "last_visit_date"]
    lent = lend({"lapses": lapses}, columns={"lapses": dates}, dates={"lapses": dates})["lapses"]
    lapsed = ~nw.col("lapse_date").is_null()
    returned = lapsed & (nw.col("last_visit_date") > nw.col("lapse_date")).fill_null(False)
    counts = lent.select(
        lapsed.cast(nw.Int64).sum().alias("lapsed"), returned.cast(nw.Int64).sum().alias("returned")
    )
    row = collect(counts).to_pylist()[0]
    return int(row["lapsed"] or 0), int(row["returned"] or 0)


def _window_check(days: int, lapsed: int, returned: int, threshold: float) -> dict[str, Any]:
    share = returned / lapsed if lapsed else None
    return {
        "check": f"seen again after a lapse of {days} days",
        "statistic": share,
        "threshold": threshold,
        "passed": share <= threshold if share is not None else None,
        "gating": False,
        "message": _told(days, share, threshold),
        "n": lapsed,
        "n_events": returned,
    }


def _told(days: int, share: float | None, threshold: float) -> str:
    # No number of patients: a published message may not give one away.
    who = f"the patients with a lapse of more than {days} days"
    if share is None:
        return f"Nobody had a lapse of more than {days} days"
    if share <= threshold:
        return f"At most {100 * threshold:g} % of {who} were seen again: the window is long enough"
    return f"More than {100 * threshold:g} % of {who} were seen again: the window is too short"
