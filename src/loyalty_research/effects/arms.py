"""The door of designs on patients: arm, outcome, covariates and clusters as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from loyalty_research.data.arguments import check_choice
from loyalty_research.data.frames import missing_columns, raise_faults
from loyalty_research.data.lending import column_names
from loyalty_research.effects.checks import Check, count_words
from loyalty_research.effects.guards import Guards
from loyalty_research.errors import Fault
from loyalty_research.retention.design_matrix import Design, build_design, needed_columns
from loyalty_research.retention.rows import group_codes, take_columns

KINDS = ("number", "binary", "count")
ASSIGNERS = (
    "facility_id", "home_facility_id", "staff_id", "clinic", "site", "village", "ward", "practice",
    "cluster",
)  # fmt: skip
"""Columns that name what a programme is often assigned to in place of patients."""
MOST_GAP = 0.05
"""Difference between the arms' shares with a known outcome from which loss may mislead."""

_DROP = "drop these rows, saying how many, or find the value"
_FEW = 6
_MOST_ODD = 0.05
_SEVERAL = 2
_LEAST_SHARE = 0.05
"""Share of the rows below which a code is a value of a patient and is not quoted."""

WIDEST = 1e100
"""Size beyond which the square of a number, or of its inverse, fits into no floating number."""


@dataclass(frozen=True)
class ArmRows:
    """The rows whose outcome is known, in the order of the frame.

    Attributes:
        arm: 0 or 1.
        outcome: The outcome as numbers.
        x: Covariates as numbers, a row a row; no column where there is none.
        design: How covariates were coded; None where there is none.
        cluster: Codes from 0, or None.
        exposure: Above 0, or None.
        n_missing: Rows left out because their outcome is missing, by arm.
        more: Further columns.
    """

    arm: np.ndarray
    outcome: np.ndarray
    x: np.ndarray
    design: Design | None
    cluster: np.ndarray | None
    exposure: np.ndarray | None
    n_missing: Mapping[int, int]
    more: pd.DataFrame

    @property
    def n(self) -> int:
        """Rows used."""
        return len(self.arm)

    @property
    def n_clusters(self) -> int | None:
        """Clusters among them; None where rows are independent."""
        return None if self.cluster is None else int(self.cluster.max()) + 1

    def sizes(self) -> tuple[int, int]:
        """Return the rows of arm 0 and of arm 1."""
        treated = int(self.arm.sum())
        return self.n - treated, treated

    def means(self) -> dict[int, float]:
        """Return the outcome's mean in each arm."""
        return {k: float(self.outcome[self.arm == k].mean()) for k in (0, 1)}


def sizes_by_arm(arm: np.ndarray) -> dict[int, int]:
    """Return the rows of each arm.

    Args:
        arm: 0 or 1.

    Returns:
        Arm -> rows.

    Examples:
        >>> sizes_by_arm(np.array([0, 1, 1]))
        {0: 1, 1: 2}
    """
    treated = int(np.count_nonzero(arm))
    return {0: len(arm) - treated, 1: treated}


def open_arms(
    data: Any,
    *,
    arm: str,
    outcome: str,
    kind: str = "number",
    covariates: Sequence[str] | str | None = None,
    cluster: str | None = None,
    exposure: str | None = None,
    more: Sequence[str] = (),
) -> ArmRows:
    """Return the columns that a design on patients needs as arrays, or refuse with every fault.

    Rows whose outcome is missing are left out and counted by arm; anything else that is missing
    is refused.

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        arm: Column that is 1 or true for the programme, 0 or false for the comparison.
        outcome: Column of the outcome.
        kind: "number"; "binary", 0 or 1; "count", whole and not negative.
        covariates: Names of columns, or a formula such as "age + C(sex)".
        cluster: Column that names what is independent.
        exposure: Column with the time under observation, above 0.
        more: Other columns, which must be filled.

    Returns:
        The arrays.

    Raises:
        DataError: Columns or values missing, another coding of arm or outcome, an arm without
            rows, covariates that are constant or determined by others; all faults at once.

    Examples:
        >>> data = pd.DataFrame({"arm": [0, 0, 1, 1], "score": [1.0, None, 4.0, 5.0]})
        >>> rows = open_arms(data, arm="arm", outcome="score")
        >>> rows.n, rows.n_missing, rows.means()
        (3, {0: 1, 1: 0}, {0: 1.0, 1: 4.5})
    """
    check_choice(kind, KINDS, name="kind")
    named = [] if covariates is None else needed_columns(covariates)
    single = [name for name in (cluster, exposure) if name is not None]
    columns = list(dict.fromkeys([arm, outcome, *named, *single, *more]))
    raise_faults(missing_columns(data, columns, table="data"))
    table = take_columns(data, columns)
    known = table[outcome].notna().to_numpy()
    faults, treated = arm_faults(table, arm, outcome, known)
    faults += outcome_faults(table, outcome, kind)
    faults += [_missing(table, name) for name in columns if name != outcome and name != arm]
    if exposure is not None:
        faults += exposure_faults(table, exposure)
    raise_faults(fault for fault in faults if fault is not None)
    kept = table[known].reset_index(drop=True)
    design, x = (None, np.empty((len(kept), 0)))
    if covariates is not None:
        design, x = build_design(kept, covariates)
    lost = {k: int(np.count_nonzero(~known & (treated == k))) for k in (0, 1)}
    return ArmRows(
        treated[known], kept[outcome].to_numpy(float), x, design,
        None if cluster is None else group_codes(kept, [cluster])[0],
        None if exposure is None else kept[exposure].to_numpy(float), lost, kept[list(more)],
    )  # fmt: skip


def arm_faults(
    table: pd.DataFrame, arm: str, outcome: str, known: np.ndarray
) -> tuple[list[Fault | None], np.ndarray]:
    """Return what is wrong with the arms, and each row's arm.

    Args:
        table: The rows.
        arm: Column of the arm.
        outcome: Column of the outcome, for the message.
        known: Which rows have an outcome.

    Returns:
        Faults, and 0 or 1 for each row (0 where it cannot be read).

    Examples:
        >>> table = pd.DataFrame({"arm": ["a", "b"], "score": [1, 2]})
        >>> faults, _ = arm_faults(table, "arm", "score", np.array([True, True]))
        >>> faults[0].message
        "arm is 'a' or 'b', not 0 or 1"
    """
    values = table[arm]
    none = np.zeros(len(table), np.int64)
    if len(table) == 0:
        return [Fault("data", "", 0, "the table has no rows", "check the cohort's criteria")], none
    repair = "code the programme as 1, the comparison as 0"
    codes = values.astype("boolean") if _is_truth(values) else values
    is_number = pd.api.types.is_numeric_dtype(codes) and not is_complex(codes)
    if not is_number or not codes.dropna().isin([0, 1]).all():
        words = f"{arm} is {found_codes(values)}, not 0 or 1"
        return [Fault("data", arm, len(table), words, repair)], none
    if values.isna().any():
        return [_missing(table, arm)], none
    treated = codes.to_numpy(np.int64)
    faults: list[Fault | None] = []
    for k, name in ((0, "comparison"), (1, "programme")):
        if not (known & (treated == k)).any():
            words = f"no row of arm {k}, the {name}, has a known {outcome}"
            # Weights are made without an outcome; the arm then stands in its place.
            words = f"no row is of arm {k}, the {name}" if outcome == arm else words
            faults.append(Fault("data", arm, 0, words, "choose patients of whom both arms occur"))
    return faults, treated


def outcome_faults(table: pd.DataFrame, outcome: str, kind: str) -> list[Fault | None]:
    """Return what is wrong with an outcome of a kind, missing values left aside.

    Args:
        table: The rows.
        outcome: Its column.
        kind: "number", "binary" or "count".

    Returns:
        Faults.

    Examples:
        >>> outcome_faults(pd.DataFrame({"came": [1, 2]}), "came", "binary")[0].message
        'came is 1 or 2, not 0 or 1'
    """
    values = table[outcome]
    truth = _is_truth(values)
    if not pd.api.types.is_numeric_dtype(values) and not truth:
        words = f"{outcome} is {found_codes(values)}, not a number"
        return [Fault("data", outcome, len(table), words, "convert it first")]
    if is_complex(values):
        words = f"{outcome} is complex, not a real number"
        return [Fault("data", outcome, len(table), words, "convert it first")]
    numbers = values.dropna().to_numpy(float)
    if not np.isfinite(numbers).all():
        odd = int(np.count_nonzero(~np.isfinite(numbers)))
        words = f"{outcome} is infinite in {odd:,} of {len(table):,} rows"
        return [Fault("data", outcome, odd, words, "correct these rows")]
    if sized := size_fault(numbers, outcome):
        return [sized]
    if kind == "binary" and not np.isin(numbers, [0, 1]).all():
        words = f"{outcome} is {found_codes(values)}, not 0 or 1"
        return [Fault("data", outcome, len(table), words, "code the event as 1, all else as 0")]
    odd = int(np.count_nonzero((numbers < 0) | (numbers != np.floor(numbers))))
    if kind == "count" and odd:
        words = f"{outcome} is no count in {odd:,} of {len(table):,} rows"
        return [Fault("data", outcome, odd, words, "give whole numbers of events, not rates")]
    return []


def is_complex(values: pd.Series) -> bool:
    """Return whether a column holds complex numbers, which have no order.

    Args:
        values: The column.

    Returns:
        True if it does.

    Examples:
        >>> is_complex(pd.Series([1 + 2j])), is_complex(pd.Series([1.0]))
        (True, False)
    """
    return bool(pd.api.types.is_complex_dtype(values))


def size_fault(numbers: np.ndarray, name: str, *, of: str = "data") -> Fault | None:
    """Return the fault of numbers that cannot be squared, or None.

    Args:
        numbers: Finite ones.
        name: Their column.
        of: What the table is called.

    Returns:
        The fault: one is beyond 1e100, or all lie closer to 0 than 1e-100 without being 0.

    Examples:
        >>> size_fault(np.array([1e300, 1.0]), "cost").message
        'cost is too large to be squared in 1 of 2 rows'
        >>> size_fault(np.array([0.0, 5.0]), "cost") is None
        True
    """
    size = np.abs(numbers)
    large, largest = int(np.count_nonzero(size > WIDEST)), float(size.max(initial=0.0))
    if large:
        words = f"{name} is too large to be squared in {large:,} of {len(size):,} rows"
        return Fault(of, name, large, words, "correct these rows, or choose another unit")
    if 0 < largest < 1 / WIDEST:
        words = f"{name} is too small to be squared in all {len(size):,} rows"
        return Fault(of, name, len(size), words, "choose another unit")
    return None


def exposure_faults(table: pd.DataFrame, exposure: str) -> list[Fault | None]:
    """Return what is wrong with the time under observation.

    Args:
        table: The rows.
        exposure: Its column.

    Returns:
        Faults.

    Examples:
        >>> exposure_faults(pd.DataFrame({"years": [1.0, 0.0]}), "years")[0].count
        1
    """
    values = table[exposure]
    is_number = pd.api.types.is_numeric_dtype(values) and not is_complex(values)
    if not is_number or pd.api.types.is_bool_dtype(values):
        words = f"{exposure} is {values.dtype}, not a length of time"
        return [Fault("data", exposure, 0, words, "give the time under observation")]
    numbers = values.dropna().to_numpy(float)
    odd = int(np.count_nonzero(~((numbers > 0) & np.isfinite(numbers))))
    words = f"{exposure} is not above 0 in {odd:,} of {len(table):,} rows"
    repair = "leave out rows without time under observation"
    return [Fault("data", exposure, odd, words, repair)] if odd else [size_fault(numbers, exposure)]


def found_codes(values: pd.Series) -> str:
    """Return which codes a column holds, where they are so few that they are no patient's own.

    Args:
        values: The column.

    Returns:
        Words for a message; a code that stands in few rows is counted and not quoted.

    Examples:
        >>> found_codes(pd.Series(["yes", "no"])), found_codes(pd.Series(range(9)))
        ("'no' or 'yes'", '9 different values')
        >>> found_codes(pd.Series([0, 1] * 20 + [1962]))
        '0 or 1 or 1 other value'
    """
    try:
        seen = values.value_counts()
    except TypeError:
        return "lists"
    seen = seen[seen > 0]
    if len(seen) > _FEW or len(seen) * 2 > len(values) + 2:
        return f"{len(seen):,} different values"
    often = seen.index[seen >= _LEAST_SHARE * len(values)].tolist()
    told = [repr(code) for code in sorted(often, key=str)]
    if len(told) < len(seen):
        told.append(count_words(len(seen) - len(told), "other value"))
    return " or ".join(told) or "missing"


def completeness_check(rows: ArmRows, *, outcome: str) -> Check:
    """Return whether the outcome is known alike in both arms.

    Args:
        rows: The opened rows.
        outcome: Its name.

    Returns:
        A gating check: the arms' shares with a known outcome lie within 5 points.

    Examples:
        >>> data = pd.DataFrame({"arm": [0, 0, 1, 1], "score": [1.0, None, 4.0, 5.0]})
        >>> completeness_check(open_arms(data, arm="arm", outcome="score"), outcome="score").passed
        False
    """
    sizes = dict(enumerate(rows.sizes()))
    share = {k: sizes[k] / (sizes[k] + rows.n_missing[k]) for k in (0, 1)}
    gap = abs(share[1] - share[0])
    told = f"{outcome} is known of {100 * share[1]:.1f} % with and {100 * share[0]:.1f} % without"
    # 100 % less 95 % is a little more than .05 in the computer's numbers.
    passed = gap <= MOST_GAP + 1e-9
    if not passed:
        told += "; weigh by the probability of being known (censoring_weights), show bounds"
    return Check("completeness", passed, told, gap, MOST_GAP, gating=True)


def refuse_unclustered(
    guards: Guards, data: Any, *, arm: str, cluster: str | None = None, instead: str = ""
) -> None:
    """Refuse patients, or clusters within clinics, as units where whole clinics were assigned.

    A clinic is taken as assigned whole although a few of its patients are in the other arm: one
    miscoded patient makes no trial of patients.

    Args:
        guards: The guards of the call, which know "clusters".
        data: The frame.
        arm: Column of the arm, 0 or 1.
        cluster: What the call names as independent, or None.
        instead: The call that would work, where the design itself takes no clusters.

    Raises:
        DesignError: A column such as facility_id has one arm throughout nearly all of its levels,
            and the call names no cluster, or one within those levels.

    Examples:
        >>> from loyalty_research.effects.guards import open_guards
        >>> data = pd.DataFrame({"clinic": list("aabb"), "arm": [0, 0, 1, 1], "y": [1, 2, 3, 4]})
        >>> refuse_unclustered(open_guards(["clusters"], override=None), data, arm="arm")
        Traceback (most recent call last):
        ...
        loyalty_research.errors.DesignError: 1 fault in the data:
          data: all patients of a clinic are in one arm in each of 2 clusters, so that clusters \
were assigned, not patients; give cluster='clinic'; if it is no mistake here, say why by \
override={'clusters': ...}
    """
    found = _assigned_by(data, arm, cluster)
    units = "patients" if cluster is None else f"levels of {cluster}, which lie within them,"
    message = f"all patients of a {found.column} are in one arm in each of {found.n_levels:,} "
    message += "clusters"
    if found.n_odd:
        message += f", but for {count_words(found.n_odd, 'patient')} in the other arm than most of "
        message += f"their {found.column}"
    message += f", so that clusters were assigned, not {units.rstrip(',')}"
    if found.column or cluster is None:
        guards.refuse(
            "clusters", broken=bool(found.column), column=found.column, count=found.n_levels,
            message=message, repair=instead or f"give cluster={found.column!r}",
            fine="no clinic or other such unit lies whole in one arm",
        )  # fmt: skip
    if cluster is not None:
        guards.checks.append(_mixed_check(data, arm, cluster))


@dataclass(frozen=True)
class _Assigned:
    """The column by whose levels arms were assigned; how many levels; patients astray in them."""

    column: str = ""
    n_levels: int = 0
    n_odd: int = 0


def _assigned_by(data: Any, arm: str, cluster: str | None) -> _Assigned:
    """Return the column by whose levels the arm is nearly constant, of which the cluster is none.

    The column counts if its levels are wholly of one arm; or if 95 % of patients are in the arm of
    most of their level, several levels have either arm, and of the smaller arm most are where it
    is the arm of most. Patients drawn within clinics never look so.
    """
    there = column_names(data, table="data")
    for name in [name for name in ASSIGNERS if name in there and name not in (arm, cluster)]:
        columns = [name, arm] if cluster is None else [name, arm, cluster]
        table = take_columns(data, columns).dropna()
        code, levels = group_codes(table, [name])
        if not 2 <= len(levels) <= len(table) / 2:
            continue
        treated = np.bincount(code, table[arm].to_numpy(float), minlength=len(levels))
        size = np.bincount(code, minlength=len(levels))
        odd = np.minimum(treated, size - treated)
        n_odd, smaller = int(odd.sum()), min(treated.sum(), len(table) - treated.sum())
        mostly = treated * 2 > size
        several = min(np.count_nonzero(mostly), np.count_nonzero(~mostly)) >= _SEVERAL
        nearly = n_odd <= _MOST_ODD * len(table) and 2 * n_odd <= smaller and several
        if (n_odd == 0 or nearly) and (cluster is None or _within(table[cluster], code)):
            return _Assigned(name, len(levels), n_odd)
    return _Assigned()


def _within(inner: pd.Series, outer: np.ndarray) -> bool:
    """Return whether each level of a column lies in one of another, which has fewer."""
    code, levels = group_codes(inner.to_frame("inner"), ["inner"])
    pairs = pd.DataFrame({"inner": code, "outer": outer}).drop_duplicates()
    return len(pairs) == len(levels) > len(np.unique(outer))


def _mixed_check(data: Any, arm: str, cluster: str) -> Check:
    table = take_columns(data, [arm, cluster]).dropna()
    code, levels = group_codes(table, [cluster])
    treated = np.bincount(code, table[arm].to_numpy(float), minlength=len(levels))
    mixed = int(np.count_nonzero((treated > 0) & (treated < np.bincount(code))))
    told = f"{mixed:,} of {count_words(len(levels), 'cluster')} hold patients of both arms"
    return Check("mixed clusters", None, told, float(mixed))


def _is_truth(values: pd.Series) -> bool:
    return pd.api.types.is_bool_dtype(values) or (
        values.dtype == object and pd.api.types.infer_dtype(values, skipna=True) == "boolean"
    )


def _missing(table: pd.DataFrame, name: str) -> Fault | None:
    count = int(table[name].isna().sum())
    words = f"{name} is missing in {count:,} of {len(table):,} rows"
    return Fault("data", name, count, words, _DROP) if count else None
