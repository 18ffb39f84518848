"""How covariates change the rate at which patients come back, again and again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from loyalty_research.data.arguments import as_columns, check_choice, check_share
from loyalty_research.data.frames import raise_faults
from loyalty_research.errors import Fault
from loyalty_research.retention.cox import fit_design
from loyalty_research.retention.design_matrix import build_design, needed_columns
from loyalty_research.retention.rows import Rows, group_codes, open_rows

MODELS = {
    "andersen-gill": "Andersen-Gill",
    "pwp-total": "Prentice-Williams-Peterson, total time",
    "pwp-gap": "Prentice-Williams-Peterson, gap time",
}
TIES = ("efron", "breslow")


def recurrent_regression(
    data: Any,
    *,
    covariates: Sequence[str] | str,
    patient: str = "patient_id",
    start: str = "start",
    stop: str = "stop",
    event: str = "event",
    model: str = "andersen-gill",
    strata: str | Sequence[str] | None = None,
    weight: str | None = None,
    cluster: str | None = None,
    ties: str = "efron",
    conf_level: float = 0.95,
) -> pd.DataFrame:
    """Return log rate ratios of events that a patient can have more than once.

    - `"andersen-gill"`: one baseline rate for all events, in time since the start (Andersen and
      Gill, Ann Stat 1982;10:1100). The ratio is that of the mean numbers of events.
    - `"pwp-total"`: a baseline for the first, the second, ... event; at risk of the next is only
      who has had those before (Prentice, Williams and Peterson, Biometrika 1981;68:373).
    - `"pwp-gap"`: the same in time since the last event.

    The last two compare patients with the same past, so part of what a covariate did before is
    taken out; late events have few patients. Standard errors are robust, summed by patient (Lin and
    Wei, JASA 1989;84:1074). Death censors: a covariate that keeps patients alive raises what they
    can still have; `mean_cumulative_count` with `terminal` counts the dead.

    Args:
        data: One row a piece of follow-up `(start, stop]`, as `derive_recurrent_times` makes them.
        covariates: Names of columns, or a formula such as `"age + C(sex)"`.
        patient: Column that names the patient.
        start: Column with the time after which the piece begins: whole units, not negative.
        stop: Column with the time at which it ends.
        event: Column that is true or 1 where an event ends the piece.
        model: `"andersen-gill"`, `"pwp-total"` or `"pwp-gap"`.
        strata: Column or columns; each stratum has baselines of its own.
        weight: Column of case weights above 0.
        cluster: Column with larger units than the patient, for the variance; `check_clusters` says
            whether they are enough.
        ties: `"efron"` or `"breslow"`.
        conf_level: Coverage of the intervals.

    Returns:
        One row a term: `term`, `estimate`, `std_error`, `conf_low`, `conf_high`, `conf_level`,
        `p_value`, `n` (rows), `n_events`, `scale`, `method`.

    Raises:
        UsageError: An unknown model or rule for ties, no covariates.
        DataError: As for `cox_regression`; pieces of a patient that overlap.

    Examples:
        >>> data = pd.DataFrame({
        ...     "patient_id": ["a", "a", "b", "c", "c", "d"],
        ...     "start": [0, 2, 0, 0, 4, 0],
        ...     "stop": [2, 5, 6, 4, 6, 3],
        ...     "event": [1, 1, 0, 1, 0, 1],
        ...     "member": [1, 1, 0, 0, 0, 1],
        ... })
        >>> recurrent_regression(data, covariates=["member"])["n_events"].tolist()
        [4]
    """
    check_choice(model, MODELS, name="model")
    check_choice(ties, TIES, name="ties")
    level = check_share(conf_level, name="conf_level")
    layers, own = as_columns(strata), [] if cluster is None else [cluster]
    rows = open_rows(
        data,
        time=stop,
        event=event,
        entry=start,
        strata=layers,
        weight=weight,
        cluster=patient,
        more=list(dict.fromkeys([*needed_columns(covariates), *own])),
    )
    raise_faults(_row_faults(rows, patient, start, event))
    design, x = build_design(rows.more, covariates)
    if model != "andersen-gill":
        rows = _by_number(rows, gap=model == "pwp-gap")
    if cluster is not None:
        rows = replace(rows, cluster=group_codes(rows.more, [cluster])[0])
    table = fit_design(rows, design, x, offset=None, ties=ties, conf_level=level).estimates
    method = f"{MODELS[model]}, {ties.capitalize()} ties, robust error by {cluster or 'patient'}"
    return table.assign(scale="log rate ratio", method=method)


def _order(rows: Rows) -> np.ndarray:
    return np.lexsort((_entry(rows), _patient(rows)))


def _entry(rows: Rows) -> np.ndarray:
    return np.zeros(0, np.int64) if rows.entry is None else rows.entry


def _patient(rows: Rows) -> np.ndarray:
    return np.zeros(0, np.int64) if rows.cluster is None else rows.cluster


def _row_faults(rows: Rows, patient: str, start: str, event: str) -> list[Fault]:
    n, order, faults = len(rows.time), _order(rows), []
    who, begin, end = _patient(rows)[order], _entry(rows)[order], rows.time[order]
    overlaps = int(np.count_nonzero((who[1:] == who[:-1]) & (begin[1:] < end[:-1])))
    if overlaps:
        message = f"{start} is before the end of another piece of the same {patient}"
        words = f"{message} in {overlaps:,} of {n:,} rows"
        repair = "give each patient pieces of follow-up that follow one another"
        faults.append(Fault("data", start, overlaps, words, repair))
    if not rows.event.any():
        message = f"{event} is never true, so that there is nothing to compare"
        faults.append(Fault("data", event, n, message, "choose an event that occurs"))
    if not who.any():
        message = f"{patient} names one patient only"
        faults.append(Fault("data", patient, n, message, "give more patients"))
    return faults


def _by_number(rows: Rows, *, gap: bool) -> Rows:
    """Return rows with a stratum for each number of earlier events, on either clock."""
    order = _order(rows)
    who, begin, end = _patient(rows)[order], _entry(rows)[order], rows.time[order]
    had = np.cumsum(rows.event[order]) - rows.event[order]
    first = np.append(True, who[1:] != who[:-1])
    origin = np.flatnonzero(first)[np.cumsum(first) - 1]
    number = had - had[origin]
    # The clock of a gap starts with the piece after the last event, a pause before it left out.
    fresh = first | np.append(False, rows.event[order][:-1] > 0)
    since = begin[np.flatnonzero(fresh)[np.cumsum(fresh) - 1]]
    layers = pd.DataFrame({"stratum": rows.stratum[order], "number": number})
    back = np.argsort(order, kind="stable")
    stratum, strata = group_codes(layers.iloc[back], ["stratum", "number"])
    if not gap:
        return replace(rows, stratum=stratum, strata=strata)
    entry, time = (begin - since)[back], (end - since)[back]
    return replace(rows, entry=entry, time=time, stratum=stratum, strata=strata)
