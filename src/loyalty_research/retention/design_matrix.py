"""Covariates as columns of numbers, each with a name that states its level."""

from __future__ import annotations

import ast
import re
import warnings
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
_MOST_LEVELS = 30
"""More levels than this are a name rather than a kind; as terms they would be shown."""
_WIDEST = 1e100
"""Spread of a column beyond which its square is no number."""


class SeparationError(DataError):
    """Covariates tell those with the event from those without, so that no estimate is finite."""


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
        formula = _parse(covariates)
        named = {str(name) for name in formula.required_variables}
        pieces = {str(factor.expr) for term in formula for factor in term.factors}
        # A spline's own argument is not among what the formula says it requires.
        return sorted(named.union(*(_names(piece) for piece in pieces)))
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
        matrix = _evaluate(str(design.covariates), design.formula, table)
        numbers = matrix.drop(columns="Intercept", errors="ignore").to_numpy(float)
    else:
        pieces = [_coded(table[name], design.levels.get(name)) for name in design.columns]
        numbers = np.column_stack(pieces)
    raise_faults(_infinite(design, numbers))
    return numbers


# --- coding ---------------------------------------------------------------------------------------


def _parse(formula: str) -> Any:
    import formulaic

    if "~" in formula:
        raise UsageError(
            "covariates is the right side of a formula; leave out what stands before ~"
        )
    try:
        parsed = formulaic.Formula(formula)
        # Text is coded against its first level even where the intercept was taken away.
        parsed = formulaic.Formula(f"{formula} + 1") if formula.strip() else parsed
    except formulaic.errors.FormulaicError as error:
        raise _unreadable(formula, error) from None
    if not isinstance(parsed, formulaic.SimpleFormula):
        raise UsageError(f"covariates={formula!r} has several parts; join them with +")
    if not any(str(term) != "1" for term in parsed):
        raise UsageError("covariates is empty; name at least one column")
    return parsed


def _unreadable(formula: str, error: Exception) -> UsageError:
    message = f"covariates={formula!r} is not a formula ({type(error).__name__})"
    return UsageError(f"{message}; write for example 'age + C(sex)'")


def _names(piece: str) -> set[str]:
    """Return the names a piece of a formula holds, functions left out."""
    from formulaic.transforms import TRANSFORMS

    quoted = set(re.findall("`([^`]+)`", piece))
    try:
        tree = ast.parse(re.sub("`[^`]+`", "1", piece), mode="eval")
    except SyntaxError:
        # A column whose name is no expression, which the formula knows by itself.
        return quoted
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    modules = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in TRANSFORMS
    }
    return quoted | {node.id for node in found if id(node) not in called | modules}


def _evaluate(formula: str, spec: Any, table: pd.DataFrame) -> Any:
    """Return the matrix of a formula, missing numbers where its functions have none."""
    import formulaic
    from formulaic.errors import DataMismatchWarning, FormulaicError

    # The square of an age of 60 does not fit into one byte, and no error says so.
    narrow = table.select_dtypes(["int8", "int16", "int32", "uint8", "uint16", "uint32"])
    table = table.astype(dict.fromkeys(narrow, "int64"))
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("error", DataMismatchWarning)
            return formulaic.model_matrix(spec, table, context={}, na_action="ignore")
    except DataMismatchWarning:
        message = f"{formula} has a level the model does not know"
        raise DataError([Fault("data", formula, 0, message, "leave these rows out")]) from None
    except (FormulaicError, TypeError, ValueError) as error:
        raise UsageError(
            f"covariates={formula!r} cannot be computed ({type(error).__name__}); "
            "check its functions, and that new rows lie within a spline's bounds"
        ) from None


def _from_formula(
    table: pd.DataFrame, formula: str, columns: list[str]
) -> tuple[Design, np.ndarray]:
    raise_faults(_type_faults(table, columns))
    categories = table.select_dtypes("category")
    table = table.assign(
        **{str(n): values.cat.remove_unused_categories() for n, values in categories.items()}
    )
    matrix = _evaluate(formula, _parse(formula), table)
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
    raise_faults(_type_faults(table, columns))
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


def _type_faults(table: pd.DataFrame, columns: list[str]) -> list[Fault]:
    faults = []
    for name in columns:
        n_levels = len(_levels(table[name]))
        if not n_levels and not pd.api.types.is_numeric_dtype(table[name]):
            message = f"{name} is {table[name].dtype}"
            faults.append(Fault("data", name, 0, message, "give a number or a text"))
        # Levels become names of terms, which a report shows: an identifier must not.
        elif n_levels > _MOST_LEVELS:
            message = f"{name} has {n_levels:,} levels in {len(table):,} rows"
            repair = "leave it out if it names patients, else join its levels"
            faults.append(Fault("data", name, n_levels, message, repair))
    return faults


def _infinite(design: Design, numbers: np.ndarray) -> list[Fault]:
    faults = []
    for term, column in zip(design.terms, numbers.T, strict=True):
        odd = int(np.count_nonzero(~np.isfinite(column)))
        if odd:
            message = f"{term} is missing or infinite in {odd:,} of {len(column):,} rows"
            faults.append(Fault("data", term, odd, message, "drop or impute these rows"))
    return faults


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
        elif not pd.api.types.is_numeric_dtype(table[name]):
            message = f"{name} is {table[name].dtype}, not a number"
            faults.append(Fault("data", name, 0, message, "convert it first"))
    return faults


def _column_faults(design: Design, numbers: np.ndarray) -> list[Fault]:
    faults = []
    for name in design.columns:
        if len(design.levels.get(name, ["a", "b"])) == 1:
            message = f"{name} is the same in every row"
            faults.append(Fault("data", name, len(numbers), message, "leave it out"))
    faults += _infinite(design, numbers)
    for term, column in zip(design.terms, numbers.T, strict=True):
        low, high = column.min(), column.max()
        if low == high:
            message = f"{term} is the same in every row"
            faults.append(Fault("data", term, len(column), message, "leave it out"))
        elif np.isfinite([low, high]).all() and not 1 / _WIDEST < high / 2 - low / 2 < _WIDEST:
            message = f"{term} is too large or too small to be squared"
            faults.append(Fault("data", term, len(column), message, "choose another unit"))
    return faults


def _dependent(design: Design, numbers: np.ndarray) -> list[Fault]:
    """Return the columns that those before them determine."""
    centred = numbers - numbers.mean(axis=0)
    return [
        Fault(
            "data",
            term,
            len(numbers),
            f"{term} is determined by the covariates before it",
            "leave it out",
        )
        for term, is_spare in zip(design.terms, spare_columns(centred.T @ centred), strict=True)
        if is_spare
    ]


def spare_columns(gram: np.ndarray) -> np.ndarray:
    """Return which columns of a matrix those before them determine.

    Args:
        gram: The sums of products of its columns, none of which is 0 throughout.

    Returns:
        True for each column that adds nothing.

    Examples:
        >>> x = np.array([[1.0, 0.0, 1.0], [1.0, 1.0, 2.0], [1.0, 2.0, 3.0]])
        >>> spare_columns(x.T @ x).tolist()
        [False, False, True]
    """
    scale = np.sqrt(np.diag(gram))
    gram = gram / np.outer(scale, scale)
    spare = np.zeros(len(gram), bool)
    for j in range(len(gram)):
        kept = np.flatnonzero(~spare[:j])
        explained = 0.0
        if len(kept):
            inner = gram[np.ix_(kept, kept)]
            explained = float(gram[j, kept] @ np.linalg.solve(inner, gram[kept, j]))
        spare[j] = 1 - explained < _TOLERANCE
    return spare


def refuse_unidentified(terms: Sequence[str], comparable: np.ndarray) -> None:
    """Refuse terms about which those at risk together say nothing.

    A clinic's size says nothing in a model with clinics as strata, though it varies over all rows.

    Args:
        terms: The name of each coefficient.
        comparable: Their covariance among those at risk at the event times, in units of their
            variance over all rows.

    Raises:
        DataError: One fault for each such term.

    Examples:
        >>> refuse_unidentified(["age"], np.array([[0.9]]))
    """
    repair = "leave it out or choose other strata"
    varies = np.diag(comparable) > _TOLERANCE
    faults = [
        Fault("data", term, 0, f"{term} is the same in all who are at risk together", repair)
        for term, does_vary in zip(terms, varies, strict=True)
        if not does_vary
    ]
    spare = spare_columns(comparable[np.ix_(varies, varies)])
    for term in np.array(terms)[varies][spare]:
        message = f"{term} is determined by the covariates before it in all at risk together"
        faults.append(Fault("data", str(term), 0, message, repair))
    if faults:
        raise DataError(faults)


def refuse_runaway(terms: Sequence[str], running: np.ndarray) -> None:
    """Refuse a model in which a coefficient has no finite maximum.

    Args:
        terms: The name of each coefficient.
        running: Whether it still ran away when the steps were used up.

    Raises:
        SeparationError: One fault for each such coefficient.

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
        raise SeparationError(faults)
