"""How covariates change the rate of each of several causes among those still there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from loyalty_research.data.arguments import check_choice, check_share
from loyalty_research.errors import DataError, Fault
from loyalty_research.retention.cox import fit_design
from loyalty_research.retention.design_matrix import build_design, needed_columns
from loyalty_research.retention.rows import open_rows

TIES = ("efron", "breslow")


def cause_specific_regression(
    data: Any,
    *,
    covariates: Sequence[str] | str,
    time: str = "time",
    event: str = "event",
    entry: str | None = None,
    strata: str | Sequence[str] | None = None,
    weight: str | None = None,
    freq: str | None = None,
    cluster: str | None = None,
    ties: str = "efron",
    conf_level: float = 0.95,
) -> pd.DataFrame:
    """Return the log hazard ratios of a Cox model for each cause, the others censoring it.

    Prentice and others, Biometrics 1978;34:541. These are ratios of rates among those whom nothing
    has happened to yet. A covariate may leave the rate of a cause alone and still change how many
    ever have it, by changing the rate of another: for that see `fine_gray`.

    Args:
        data: One row a patient, or a piece (entry, time] of a patient's follow-up.
        covariates: Names of columns, or a formula such as `"age + C(sex)"`.
        time: Column with the time of event or censoring: whole units, not negative.
        event: Column with the cause as text; missing or "censored" is censored. `derive_causes`
            writes it as "cause".
        entry: Column with the time from which the row is at risk.
        strata: Column or columns; each stratum has a baseline hazard of its own.
        weight: Column of case weights above 0.
        freq: Column of whole numbers from 1: how many patients the row stands for.
        cluster: Column that names what is independent.
        ties: `"efron"` or `"breslow"`.
        conf_level: Coverage of the intervals.

    Returns:
        One row a cause and term: `cause`, then the columns of `cox_regression`.

    Raises:
        UsageError: No covariates, unknown ties.
        DataError: As for `cox_regression`.

    Examples:
        >>> data = pd.DataFrame({
        ...     "time": [1, 2, 3, 4, 5, 6],
        ...     "event": ["lapsed", "died", "lapsed", "died", "lapsed", "died"],
        ...     "member": [0, 1, 1, 0, 0, 1],
        ... })
        >>> table = cause_specific_regression(data, covariates=["member"])
        >>> table[["cause", "term"]].values.tolist()
        [['died', 'member'], ['lapsed', 'member']]
    """
    check_choice(ties, TIES, name="ties")
    level = check_share(conf_level, name="conf_level")
    rows = open_rows(
        data,
        time=time,
        event=event,
        causes=True,
        entry=entry,
        strata=strata,
        weight=weight,
        freq=freq,
        cluster=cluster,
        more=needed_columns(covariates),
    )
    if not rows.causes:
        message = f"{event} names no cause"
        raise DataError([Fault("data", event, 0, message, "choose an event that occurs")])
    design, x = build_design(rows.more, covariates)
    parts = []
    for number, cause in enumerate(rows.causes, start=1):
        own = replace(rows, event=(rows.event == number).astype(np.int64), causes=("event",))
        model = fit_design(own, design, x, offset=None, ties=ties, conf_level=level)
        parts.append(model.estimates.assign(cause=cause))
    table = pd.concat(parts, ignore_index=True)
    return table[["cause", *[name for name in table if name != "cause"]]]
