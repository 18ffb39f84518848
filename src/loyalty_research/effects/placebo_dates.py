"""The effect of a start that did not happen: each cohort's own start, pretended to be earlier.

Only periods before the true start are looked at. Where trends ran alike before, nothing should be
found; what is found is how far such comparisons go astray by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from loyalty_research.data.arguments import check_choice, check_share, check_whole
from loyalty_research.data.frames import raise_faults
from loyalty_research.effects.aggregation import Part, by_cluster, mean_of_cells
from loyalty_research.effects.estimates import estimate_row, estimates_table
from loyalty_research.effects.group_time import Cells, compare, controls_at
from loyalty_research.effects.panel import CONTROLS, Panel, open_panel
from loyalty_research.effects.simultaneous import multiplier_factor
from loyalty_research.errors import Fault


def placebo_dates(
    panel: Any,
    *,
    outcome: str,
    unit: str,
    period: str,
    first_treated: str,
    covariates: Sequence[str] | str | None = None,
    control: str = "never",
    cluster: str | None = None,
    seed: int,
    n_draws: int = 1000,
    conf_level: float = 0.95,
) -> pd.DataFrame:
    """Return what the design finds when each start is pretended to be earlier.

    Args:
        panel: One row a unit and period, every unit in every period. Any frame.
        outcome: Column of the outcome, a number.
        unit: Column that names the unit.
        period: Column of the period: a whole number or a date.
        first_treated: Column with the unit's first treated period; missing = never treated.
        covariates: Names of columns, or a formula, taken from the period before the pretended
            start.
        control: "never" treated, or those "not_yet" treated when the cohort starts as well.
        cluster: Column that names what is independent; the unit if None.
        seed: Of the multiplier bootstrap that makes the band.
        n_draws: Its draws.
        conf_level: Coverage of intervals and of the band over all rows.

    Returns:
        `term, periods_earlier, estimate, ..., method, band_low, band_high`: one row a number of
        periods, over the cohorts that have a period before the pretended start. The effect is the
        mean over the periods from the pretended start to the last before the true one.

    Raises:
        DataError: What `staggered_difference_in_differences` refuses, or no cohort with two
            periods before its start.

    Examples:
        >>> table = pd.DataFrame({"clinic": list("aaabbb"), "month": [1, 2, 3] * 2,
        ...     "start": [3] * 3 + [None] * 3, "rate": [1.0, 4.0, 9.0, 1.0, 2.0, 3.0]})
        >>> placebo_dates(table, outcome="rate", unit="clinic", period="month",
        ...     first_treated="start", seed=1)["estimate"].tolist()  # (4 - 1) - (2 - 1)
        [2.0]
    """
    check_choice(control, CONTROLS, name="control")
    check_share(conf_level, name="conf_level")
    seed, n_draws = (
        check_whole(seed, name="seed"),
        check_whole(n_draws, name="n_draws", minimum=100),
    )
    opened = open_panel(
        panel, outcome=outcome, unit=unit, period=period, first_treated=first_treated,
        covariates=covariates, cluster=cluster, control=control,
    )  # fmt: skip
    parts = [
        (earlier, part)
        for earlier in range(1, int(opened.cohorts.max()))
        if (part := _pretend(opened, earlier, control)) is not None
    ]
    if not parts:
        words = f"no cohort has two periods before {first_treated} and units to compare with"
        raise_faults([Fault("panel", first_treated, 0, words, "add earlier periods")])
    influence = by_cluster(opened, np.column_stack([part.influence for _, part in parts]))
    factor = multiplier_factor(influence, conf_level=conf_level, n_draws=n_draws, seed=seed)
    rows = []
    for (earlier, part), error in zip(parts, np.sqrt((influence**2).sum(axis=0)), strict=True):
        row = estimate_row(
            "placebo", part.estimate, float(error), n=part.n, conf_level=conf_level,
            scale="risk difference" if opened.is_binary else "mean difference",
            method="start pretended earlier, periods before the true start only",
            periods_earlier=earlier,
        )  # fmt: skip
        half = factor * row["std_error"]
        rows.append(row | {"band_low": part.estimate - half, "band_high": part.estimate + half})
    own = ["term", "periods_earlier"]
    table = estimates_table(rows)
    return table[[*own, *[name for name in table if name not in own]]]


def _pretend(panel: Panel, earlier: int, control: str) -> Part | None:
    """Return the mean over cohorts of a start so many periods earlier, or None if none has one."""
    cells = []
    for cohort in panel.cohorts[panel.cohorts > earlier]:
        is_control = controls_at(panel, control=control, cohort=cohort, period=cohort - 1)
        if not is_control.any():
            continue
        base = int(cohort) - earlier - 1
        after = panel.outcome[:, base + 1 : cohort].mean(axis=1, keepdims=True)
        change = after - panel.outcome[:, [base]]
        found = compare(panel, change, int(cohort), is_control, base=base)
        used = (is_control | (panel.start == cohort))[:, None]
        here = np.array([cohort])
        cells.append(
            Cells(here, here, found.estimate, found.influence, used, here * 0.0, found.n_trimmed, 0)
        )
    if not cells:
        return None
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(one, name) for one in cells], axis=-1)
        for name in ("cohort", "period", "estimate", "influence", "used", "treated_mean")
    }
    joined = Cells(**columns, n_trimmed=0, n_without=0)
    return mean_of_cells(panel, joined, np.ones(len(cells), bool), "placebo")
