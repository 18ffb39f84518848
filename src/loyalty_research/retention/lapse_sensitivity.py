"""How much the share of lapsed patients depends on the days that count as a lapse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from loyalty_research.data.arguments import check_share
from loyalty_research.errors import UsageError
from loyalty_research.retention.curves import kaplan_meier
from loyalty_research.retention.windows import check_lapse_windows, derive_retention_times

COLUMNS = [
    "lapse_days",
    "time",
    "n_at_risk",
    "estimate",
    "std_error",
    "conf_low",
    "conf_high",
    "conf_level",
    "n_lapsed",
    "n_returned",
    "share_returned",
]


def lapse_sensitivity(
    visits: Any,
    *,
    cohort: Any,
    lapse_windows: Sequence[int],
    times: Sequence[int],
    data_cutoff: Any,
    conf_level: float = 0.95,
) -> pd.DataFrame:
    """Return the share lapsed by given days under each lapse window, with the false lapses.

    A short window declares many lapsed who come back, a long one waits too long to say so. The
    two columns belong side by side: the share lapsed is worth reading from the window on from
    which few come back and the share hardly moves.

    Args:
        visits: one row a visit: `patient_id`, `visit_date`.
        cohort: one row a patient, all observable for the longest window, as for
            `derive_retention_times`.
        lapse_windows: the windows in days.
        times: the days from the index date at which the share is wanted.
        data_cutoff: last day the data cover.
        conf_level: coverage of the intervals.

    Returns:
        One row a window and day: `lapse_days`, `time`, `n_at_risk`, `estimate` (one minus
        Kaplan-Meier; missing where nobody is followed so long), `std_error`, `conf_low`,
        `conf_high`, `conf_level`; and for the window as a whole `n_lapsed`, `n_returned` of them
        who were seen again, `share_returned` (missing where nobody lapsed).

    Raises:
        UsageError: no window, or one named twice; no day, or days that are not whole.
        DataError: as `derive_retention_times` does.

    Examples:
        >>> visits = pd.DataFrame({
        ...     "patient_id": ["a", "a", "b", "b"],
        ...     "visit_date": pd.to_datetime(
        ...         ["2022-01-01", "2022-05-01", "2022-01-01", "2022-03-01"]
        ...     ),
        ... })
        >>> cohort = visits[::2].rename(columns={"visit_date": "index_date"})
        >>> lapse_sensitivity(
        ...     visits, cohort=cohort, lapse_windows=[90, 180], times=[30], data_cutoff="2023-12-31"
        ... )[["lapse_days", "estimate", "n_lapsed", "share_returned"]]
           lapse_days  estimate  n_lapsed  share_returned
        0          90       0.5         2             0.5
        1         180       0.0         2             0.0
    """
    level = check_share(conf_level, name="conf_level")
    if not len(times):
        raise UsageError("times names no day; give at least one")
    shared = {"cohort": cohort, "data_cutoff": data_cutoff}
    windows = list(lapse_windows)
    returned = check_lapse_windows(visits, lapse_windows=windows, **shared)
    parts = []
    for position, days in enumerate(windows):
        data = derive_retention_times(visits, lapse_days=days, **shared)
        curve = kaplan_meier(data, times=times, conf_level=level)
        again = returned.iloc[position]
        parts.append(
            _lapsed(curve).assign(
                lapse_days=days,
                n_lapsed=again["n"],
                n_returned=again["n_events"],
                share_returned=again["statistic"],
            )
        )
    return pd.concat(parts, ignore_index=True)[COLUMNS]


def _lapsed(curve: pd.DataFrame) -> pd.DataFrame:
    # Past the last day of follow-up the curve would only repeat its last step, unless all lapsed.
    seen = (curve["n_at_risk"] > 0) | (curve["estimate"] == 0)
    return curve.assign(
        estimate=(1 - curve["estimate"]).where(seen),
        std_error=curve["std_error"].where(seen),
        conf_low=(1 - curve["conf_high"]).where(seen),
        conf_high=(1 - curve["conf_low"]).where(seen),
    )
