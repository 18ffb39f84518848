"""Plans beside each other: several designs, sizes or numbers of clinics in one table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from loyalty_research.effects.planning import detectable_share
from loyalty_research.effects.roll_out import compare_roll_outs
from loyalty_research.errors import UsageError


def stack_plans(plans: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of several plans under one another, each named by its design.

    Args:
        plans: Name of the design -> its table, as a planning function returns it.

    Returns:
        `design`, then the plans' columns.

    Raises:
        UsageError: No plan.

    Examples:
        >>> from loyalty_research.effects import sample_size
        >>> plans = {"by lot": sample_size(control=0.3, treated=0.4)}
        >>> stack_plans(plans)[["design", "arm", "n"]].to_dict("split")["data"]
        [['by lot', 'control', 356], ['by lot', 'treated', 356]]
    """
    if not plans:
        raise UsageError("plans is empty; name at least one")
    parts = [table.assign(design=name) for name, table in plans.items()]
    stacked = pd.concat(parts, ignore_index=True)
    return stacked[["design", *(name for name in stacked if name != "design")]]


def detectable_by_size(*, control: float, sizes: Iterable[int], **settings: Any) -> pd.DataFrame:
    """Return the smallest gain in a share that studies of several sizes show.

    Args:
        control: Share with the outcome without the programme, between 0 and 1.
        sizes: Patients an arm.
        **settings: As for `detectable_share`.

    Returns:
        One row a size: `n`, `treated` (the share), `detectable` (less the control share); missing
        where no share is high enough.

    Raises:
        UsageError: As for `detectable_share`.

    Examples:
        >>> detectable_by_size(control=0.3, sizes=[100, 356]).round(3)["detectable"].tolist()
        [0.193, 0.1]
    """
    rows = []
    for n in sizes:
        found = detectable_share(control=control, n=n, **settings).set_index("direction")
        higher = found.loc["higher"]
        rows.append({"n": n, "treated": higher["treated"], "detectable": higher["estimate"]})
    return pd.DataFrame(rows)


def power_by_clinics(*, n_clinics: Iterable[int], **settings: Any) -> pd.DataFrame:
    """Return the power of each way to roll out, for several numbers of clinics.

    Args:
        n_clinics: Numbers of clinics.
        **settings: As for `compare_roll_outs`.

    Returns:
        As `compare_roll_outs`, a row a design and number of clinics.

    Raises:
        DataError, UsageError: As for `compare_roll_outs`.

    Examples:
        >>> table = power_by_clinics(n_clinics=[8, 16], n_periods=5, effect=0.3, sd=1, icc=0.05,
        ...     cac=0.8, cell_size=20, designs=["stepped wedge"])
        >>> bool(table["estimate"].is_monotonic_increasing), table["n_clinics"].tolist()
        (True, [8, 16])
    """
    parts = [compare_roll_outs(n_clinics=n, **settings) for n in n_clinics]
    return pd.concat(parts, ignore_index=True)
