"""Plans of studies in plain sentences."""

from __future__ import annotations

from typing import Any

import pandas as pd

from loyalty_research.display.tidy import as_pandas, require_columns
from loyalty_research.display.words import format_percent, is_missing, plural


def sample_size_sentence(sizes: Any, *, power: float, gain: float) -> str:
    """Return how many patients and clinics each way of drawing lots needs.

    Args:
        sizes: as `stack_plans` returns it from `sample_size` of several designs; two rows a design.
        power: the power asked for.
        gain: the difference of shares to be shown.

    Raises:
        UsageError: a column is missing.

    Examples:
        >>> sizes = pd.DataFrame({"design": ["By lot"] * 2, "n": [356, 356],
        ...     "n_clusters": [None] * 2, "n_clusters_t": [None] * 2})
        >>> sample_size_sentence(sizes, power=0.8, gain=0.1)
        'To show a gain of 10.0 points with a power of 80 %: by lot 356 patients an arm.'
    """
    table = as_pandas(sizes)
    require_columns(table, ["design", "n", "n_clusters", "n_clusters_t"], what="the sizes")
    parts = [_needs(str(name), rows) for name, rows in table.groupby("design", sort=False)]
    points = format_percent(gain, sign=False)
    start = f"To show a gain of {points} points with a power of {format_percent(power, digits=0)}"
    return f"{start}: {'; '.join(parts)}."


def roll_out_sentence(designs: Any, *, power: float) -> str:
    """Return which way to roll out has the most power, and whether it is enough.

    Args:
        designs: as `compare_roll_outs` returns it.
        power: the power asked for.

    Raises:
        UsageError: a column is missing.

    Examples:
        >>> designs = pd.DataFrame({"design": ["parallel", "stepped wedge"],
        ...     "estimate": [0.55, 0.72], "n_clinics": [12, 12], "n_clinics_needed": [20, 15]})
        >>> roll_out_sentence(designs, power=0.8)
        'With 12 clinics the stepped wedge design has the most power, 72 %, which is less than the \
80 % asked for; it would take 15 clinics.'
    """
    table = as_pandas(designs)
    require_columns(table, ["design", "estimate", "n_clinics", "n_clinics_needed"], what="the plan")
    best = table.iloc[int(table["estimate"].astype(float).argmax())]
    found, asked = (format_percent(share, digits=0) for share in (best["estimate"], power))
    start = f"With {plural(int(best['n_clinics']), 'clinic')} the {best['design']}"
    start += f" design has the most power, {found}"
    if best["estimate"] >= power:
        return f"{start}, which is the {asked} asked for or more."
    needed = best["n_clinics_needed"]
    beyond = "more than 1,000" if is_missing(needed) else f"{int(needed):,}"
    return f"{start}, which is less than the {asked} asked for; it would take {beyond} clinics."


def _needs(name: str, rows: pd.DataFrame) -> str:
    first = rows.iloc[0]
    words = f"{name[:1].lower()}{name[1:]}"
    # Where patients are drawn themselves, each is a cluster of one.
    if is_missing(first["n_clusters"]) or first["n_clusters"] == first["n"]:
        return f"{words} {plural(int(first['n']), 'patient')} an arm"
    return f"{words} {plural(int(first['n_clusters_t']), 'clinic')} an arm"
