"""Covariates as columns of numbers, each with a name that states its level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from loyalty_research.data.frames import missing_columns, raise_faults
from loyalty_research.errors import DataError, Fault, UsageError
from loyalty_research.retention.rows import take_columns

_TOLERANCE = 1e-9
"""Share of a column's variance, beyond which it is not explained by the columns before it."""


@dataclass(frozen=True)
class Design:
    """How columns of a table become columns of numbers.

    Attributes:
        covariates: What was asked for: names, or a formula.
        columns: The table's columns that are needed.
        terms: The name of each column of numbers; `sex[male]` is male against the reference.
        parts: For each covariate (or part of a formula) the positions of its columns.
        levels: For each column of text its levels, the reference first.
        formula: The formula's own memory of levels and knots, or None.
    """

    covariates: Sequence[str] | str
    columns: list[str]
    terms: list[str]
    parts: dict[str, list[int]]
    levels: dict[str, list[Any]]
    formula: Any = None


def needed_columns(covariates: Sequence[str] | str) -> list[str]:
    """Return the columns of a table that covariates need.

    Args:
        covariates: Names of columns, or a formula.

    Returns:
        Their names.

    Raises:
        UsageError: No covariates, one named twice, or a formula that cannot be read.

    Examples:
        >>> needed_columns(["age", "sex"]), needed_columns("age + C(sex)")
        (['age', 'sex'], ['age', 'sex'])
    """
    if isinstance(covariates, str):
        return sorted(str(name) for name in _parse(covariates).required_variables)
    names = list(covariates)
    if not names:
        raise UsageError("covariates is empty; name at least one column")
    if len(set(names)) < len(names):
        raise UsageError("covariates names a column twice; name each once")
    return names


def build_design(table: pd.DataFrame, covariates: Sequence[str] | str) -> tuple[Design, np.ndarray]:
    """Return how covariates are coded, and their numbers.

    A column of text or a category becomes one column for each level but the first, in its order (a
    text's levels are sorted); true is 1. Numbers stay as they are.

    Args:
        table: The columns, none with a missing value.
        covariates: Names of columns, or a formula such as `"age + C(sex)"`; a formula's
            intercept is left out, because the baseline hazard is one.

    Returns:
        The coding, and one row a row of the table.

    Raises:
        DataError: A covariate that is constant, infinite, not a number or text, or that the
            others determine; all such faults at once.

    Examples:
        >>> table = pd.DataFrame({"sex": ["male", "female", "male"], "age": [60, 71, 55]})
        >>> design, numbers = build_design(table, ["sex", "age"])
        >>> design.terms, numbers.tolist()
        (['sex[male]', 'age'], [[1.0, 60.0], [0.0, 71.0], [1.0, 55.0]])
    """
    columns = needed_columns(covariates)
    if isinstance(covariates, str):
        design, numbers = _from_formula(table, covariates, columns)
    else:
        design, numbers = _from_columns(table, columns)
    raise_faults(_column_faults(design, numbers))
    raise_faults(_dependent(design, numbers))
    return design, numbers


def apply_design(design: Design, data: Any) -> np.ndarray:
    """Return the numbers of other rows under the same coding.

    Args:
        design: As `build_design` returned it.
        data: Rows with the same columns. Any frame.

    Returns:
        One row a row.

    Raises:
        DataError: Columns or values missing, or levels that the design does not know.

    Examples:
        >>> design, _ = build_design(pd.DataFrame({"age": [1, 2, 4]}), ["age"])
        >>> apply_design(design, pd.DataFrame({"age": [3]})).tolist()
        [[3.0]]
    """
    raise_faults(missing_columns(data, design.columns, table="data"))
    table = take_columns(data, design.columns)
    raise_faults(_unusable(design, table))
    if design.formula is not None:
        matrix = design.formula.get_model_matrix(table, na_action="raise")
        return matrix.drop(columns="Intercept", errors="ignore").to_numpy(float)
    pieces = [_coded(table[name], design.levels.get(name)) for name in design.columns]
    return np.column_stack(pieces)


# --- coding ---------------------------------------------------------------------------------------


def _parse(formula: str) -> Any:
    import formulaic

    try:
        return formulaic.Formula(formula)
    except formulaic.errors.FormulaicError as error:
        message = f"covariates={formula!r} is not a formula ({type(error).__name__})"
        raise UsageError(f"{message}; write for example 'age + C(sex)'") from None


def _from_formula(
    table: pd.DataFrame, formula: str, columns: list[str]
) -> tuple[Design, np.ndarray]:
    import formulaic

    if "~" in formula:
        raise UsageError(
            "covariates is the right side of a formula; leave out what stands before ~"
        )
    matrix = formulaic.model_matrix(formula, table, ensure_full_rank=True, na_action="raise")
    spec = matrix.model_spec
    kept = [i for i, name in enumerate(matrix.columns) if name != "Intercept"]
    position = {old: new for new, old in enumerate(kept)}
    parts = {
        str(term): [position[i] for i in indices]
        for term, indices in spec.term_indices.items()
        if all(i in position for i in indices)
    }
    terms = [str(matrix.columns[i]).replace("[T.", "[") for i in kept]
    levels = {name: _levels(table[name]) for name in columns if _levels(table[name])}
    numbers = matrix.to_numpy(float)[:, kept]
    return Design(formula, columns, terms, parts, levels, spec), numbers


def _from_columns(table: pd.DataFrame, columns: list[str]) -> tuple[Design, np.ndarray]:
    faults = [
        Fault("data", name, 0, f"{name} is {table[name].dtype}", "give a number or a text")
        for name in columns
        if not _levels(table[name]) and not pd.api.types.is_numeric_dtype(table[name])
    ]
    raise_faults(faults)
    levels = {name: _levels(table[name]) for name in columns if _levels(table[name])}
    terms: list[str] = []
    parts: dict[str, list[int]] = {}
    for name in columns:
        new = [f"{name}[{level}]" for level in levels[name][1:]] if name in levels else [name]
        parts[name] = list(range(len(terms), len(terms) + len(new)))
        terms += new
    pieces = [_coded(table[name], levels.get(name)) for name in columns]
    return Design(columns, columns, terms, parts, levels), np.column_stack(pieces)


def _levels(values: pd.Series) -> list[Any]:
    """Return the levels of a text or category, the reference first; none of a number."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        return [level for level in values.cat.categories if (values == level).any()]
    if pd.api.types.is_numeric_dtype(values):
        return []
    is_text = pd.api.types.infer_dtype(values, skipna=True) in ("string", "mixed", "boolean")
    return sorted(values.unique(), key=str) if is_text else []


def _coded(values: pd.Series, levels: list[Any] | None) -> np.ndarray:
    if levels is None:
        return values.to_numpy(float)[:, None]
    codes = pd.Categorical(values, categories=levels).codes
    return (codes[:, None] == np.arange(1, len(levels))).astype(float)


# --- refusals -------------------------------------------------------------------------------------


def _unusable(design: Design, table: pd.DataFrame) -> list[Fault]:
    faults, n = [], len(table)
    for name in design.columns:
        missing = int(table[name].isna().sum())
        if missing:
            message = f"{name} is missing in {missing:,} of {n:,} rows"
            faults.append(Fault("data", name, missing, message, "drop or impute these rows"))
        if name in design.levels:
            unknown = int((~table[name].dropna().isin(design.levels[name])).sum())
            if unknown:
                message = f"{name} has a level the model does not know in {unknown:,} of {n:,} rows"
                faults.append(Fault("data", name, unknown, message, "leave these rows out"))
    return faults


def _column_faults(design: Design, numbers: np.ndarray) -> list[Fault]:
    faults = []
    for name in design.columns:
        if len(design.levels.get(name, ["a", "b"])) == 1:
            message = f"{name} is the same in every row"
            faults.append(Fault("data", name, len(numbers), message, "leave it out"))
    for term, column in zip(design.terms, numbers.T, strict=True):
        odd = int(np.count_nonzero(~np.isfinite(column)))
        if odd:
            message = f"{term} is missing or infinite in {odd:,} of {len(column):,} rows"
            faults.append(Fault("data", term, odd, message, "drop or impute these rows"))
        elif column.min() == column.max():
            message = f"{term} is the same in every row"
            faults.append(Fault("data", term, len(column), message, "leave it out"))
    return faults


def _dependent(design: Design, numbers: np.ndarray) -> list[Fault]:
    """Return the columns that those before them determine."""
    centred = numbers - numbers.mean(axis=0)
    gram = centred.T @ centred
    scale = np.sqrt(np.diag(gram))
    gram = gram / np.outer(scale, scale)
    faults = []
    kept: list[int] = []
    for j, term in enumerate(design.terms):
        explained = 0.0
        if kept:
            inner = gram[np.ix_(kept, kept)]
            explained = float(gram[j, kept] @ np.linalg.solve(inner, gram[kept, j]))
        if 1 - explained < _TOLERANCE:
            message = f"{term} is determined by the covariates before it"
            faults.append(Fault("data", term, len(numbers), message, "leave it out"))
        else:
            kept.append(j)
    return faults


def refuse_runaway(terms: Sequence[str], running: np.ndarray) -> None:
    """Refuse a model in which a coefficient has no finite maximum.

    Args:
        terms: The name of each coefficient.
        running: Whether it still ran away when the steps were used up.

    Raises:
        DataError: One fault for each such coefficient.

    Examples:
        >>> refuse_runaway(["age"], np.array([False]))
    """
    faults = [
        Fault(
            "data",
            term,
            0,
            f"{term} separates those with the event from those without, so that its hazard ratio "
            "has no finite estimate",
            "leave it out or join its levels",
        )
        for term, is_running in zip(terms, running, strict=True)
        if is_running
    ]
    if faults:
        raise DataError(faults)
