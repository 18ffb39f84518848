"""The door of a roll-out: patients of clinics in periods, and when each clinic crossed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from loyalty_research.data.frames import missing_columns, raise_faults
from loyalty_research.effects.arms import ArmRows, found_codes, open_arms
from loyalty_research.effects.checks import count_words
from loyalty_research.effects.guards import Guards, open_guards
from loyalty_research.errors import Fault
from loyalty_research.retention.rows import group_codes, take_columns

GUARDS = ("withdrawn", "crossing")


@dataclass(frozen=True)
class RollOut:
    """Patients of a roll-out.

    Attributes:
        rows: The arrays; the arm is whether the clinic had the programme in the period.
        period: Codes from 0 in the order of the periods.
        status: Clinics x periods: 0 without the programme, 1 with it, missing where no one is.
        since: Clinics x periods: periods since crossing, 1 in the first; 0 without the programme.
        guards: What was looked at and overridden.
    """

    rows: ArmRows
    period: np.ndarray
    status: np.ndarray
    since: np.ndarray
    guards: Guards

    @property
    def exposure(self) -> np.ndarray:
        """Each patient's periods since crossing."""
        return self.since[self.rows.cluster, self.period]

    @property
    def n_cells(self) -> int:
        """Clinic-periods that hold patients."""
        return int(np.count_nonzero(~np.isnan(self.status)))

    def cells_by_exposure(self) -> np.ndarray:
        """Return the clinic-periods at each time since crossing, from 1."""
        seen = self.since[~np.isnan(self.status)]
        return np.bincount(seen)[1:]


def open_roll_out(
    data: Any,
    *,
    outcome: str,
    cluster: str,
    period: str,
    treated: str,
    covariates: Sequence[str] | str | None,
    override: Mapping[str, str] | None,
) -> RollOut:
    """Return the patients of a roll-out, or refuse with what it cannot tell.

    Args:
        data: One row a patient, or one a clinic and period. Any frame.
        outcome: Column of the outcome.
        cluster: Column of the clinic.
        period: Column of the period, a number or a date; its values in order are the periods.
        treated: Column that is 1 where the clinic had the programme in the period, else 0.
        covariates: Names of columns, a formula, or None.
        override: Guard -> reason.

    Returns:
        The patients.

    Raises:
        DesignError: A clinic loses the programme again ("withdrawn"), or none crosses
            ("crossing").
        DataError: Columns or values missing or miscoded, no clinic-period without the programme or
            none with it, patients with and without it in one clinic-period.
    """
    guards = open_guards(GUARDS, override=override)
    raise_faults(missing_columns(data, [treated, period, cluster, outcome], table="data"))
    raise_faults(_door_faults(take_columns(data, [treated, period]), treated, period))
    rows = open_arms(
        data, arm=treated, outcome=outcome, covariates=covariates, cluster=cluster, more=[period]
    )
    assert rows.cluster is not None and rows.n_clusters is not None  # noqa: S101, PT018
    codes, periods = group_codes(rows.more, [period])
    shape = (rows.n_clusters, len(periods))
    cell = rows.cluster * shape[1] + codes
    size = np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape)
    with_it = np.bincount(cell, rows.arm, shape[0] * shape[1]).reshape(shape)
    raise_faults(_cell_faults(size, with_it, treated, shape))
    status = np.where(size > 0, (with_it > 0).astype(float), np.nan)
    _guard(guards, status, treated)
    return RollOut(rows, codes, status, periods_since(status), guards)


def periods_since(status: np.ndarray) -> np.ndarray:
    """Return the periods since each clinic's first with the programme, 1 in the first.

    Args:
        status: Clinics x periods: 0, 1, or missing where no one is.

    Returns:
        Clinics x periods; 0 without the programme. It runs on where no one is.

    Examples:
        >>> periods_since(np.array([[0, 1, np.nan, 1], [0, 0, 0, 0]])).tolist()
        [[0, 1, 2, 3], [0, 0, 0, 0]]
    """
    with_it = np.nan_to_num(status) > 0
    first = np.where(with_it.any(axis=1), with_it.argmax(axis=1), status.shape[1])
    since = np.arange(status.shape[1]) - first[:, None] + 1
    return np.where(status == 0, 0, np.maximum(since, 0))


def crossing_counts(status: np.ndarray) -> dict[str, int]:
    """Return how many clinics cross, never do, have the programme from their first period on.

    Args:
        status: Clinics x periods: 0, 1, or missing where no one is.

    Returns:
        `crossing, never, always`, and `steps`, the periods in which clinics cross.

    Examples:
        >>> crossing_counts(np.array([[0, 1], [0, 0], [1, 1]]))
        {'crossing': 1, 'never': 1, 'always': 1, 'steps': 1}
    """
    without, with_it = (status == 0).any(axis=1), (status == 1).any(axis=1)
    both = without & with_it
    first = np.nan_to_num(status[both]).argmax(axis=1)
    return {
        "crossing": int(both.sum()),
        "never": int((without & ~with_it).sum()),
        "always": int((with_it & ~without).sum()),
        "steps": len(np.unique(first)),
    }


def _door_faults(table: pd.DataFrame, treated: str, period: str) -> list[Fault]:
    faults = []
    kind = pd.api.types.infer_dtype(table[period], skipna=True)
    if kind in ("string", "mixed", "boolean") and not isinstance(
        table[period].dtype, pd.CategoricalDtype
    ):
        words = f"{period} is {found_codes(table[period])}, which have no order of their own"
        faults.append(Fault("data", period, len(table), words, "number the periods or date them"))
    codes = table[treated].dropna()
    if pd.api.types.is_numeric_dtype(codes) and len(codes) and (codes == codes.iloc[0]).all():
        state = "with" if bool(codes.iloc[0]) else "without"
        words = f"every row is {state} the programme"
        repair = "add the periods before clinics crossed, or clinics that did not cross"
        repair = repair if state == "with" else "add the periods after clinics crossed"
        faults.append(Fault("data", treated, len(table), words, repair))
    return faults


def _cell_faults(
    size: np.ndarray, with_it: np.ndarray, treated: str, shape: tuple[int, int]
) -> list[Fault]:
    faults = []
    mixed = int(np.count_nonzero((with_it > 0) & (with_it < size)))
    if mixed:
        words = f"{mixed:,} clinic-periods hold rows with and without the programme"
        repair = "code the clinic's status in the period, or leave periods of transition out"
        faults.append(Fault("data", treated, mixed, words, repair))
    if min(shape) < 2:
        words = f"there are {shape[0]:,} clusters and {shape[1]:,} periods"
        faults.append(Fault("data", "", 0, words, "a roll-out needs two of each, better twelve"))
    return faults


def _guard(guards: Guards, status: np.ndarray, treated: str) -> None:
    running = np.maximum.accumulate(np.nan_to_num(status), axis=1)
    back = int((status < running).any(axis=1).sum())
    guards.refuse(
        "withdrawn", broken=back > 0, column=treated, count=back,
        message=f"{back:,} clusters lose the programme again",
        repair="leave out their periods after it, whose patients may still feel it",
        fine="no cluster loses the programme again",
    )  # fmt: skip
    crossing = crossing_counts(status)["crossing"]
    guards.refuse(
        "crossing", broken=crossing == 0, column=treated, count=0,
        message="no cluster crosses from without to with the programme",
        repair="compare arms by mean_difference(..., cluster=...)",
        fine=f"{count_words(crossing, 'cluster')} cross from without to with the programme",
    )  # fmt: skip
