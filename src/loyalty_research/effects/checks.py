"""One row a check, gathered into the table that stands before every estimate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd


@dataclass(frozen=True)
class Check:
    """What was looked at before an estimate may be read.

    Attributes:
        check: Its name, the same wherever it is made.
        passed: True or False; None where it only informs.
        message: What was found, in words, with the repair where it failed.
        statistic: The number that was looked at.
        threshold: The number it was held against.
        gating: A failure withholds the estimate.
    """

    check: str
    passed: bool | None
    message: str
    statistic: float = math.nan
    threshold: float = math.nan
    gating: bool = False


def checks_table(checks: Sequence[Check]) -> pd.DataFrame:
    """Return the checks as a table with the fixed columns.

    Args:
        checks: In the order they are to be read.

    Returns:
        `check, statistic, threshold, passed, gating, message`.

    Examples:
        >>> checks_table([Check("assignment", True, "arms were drawn by lot")])["passed"].tolist()
        [True]
    """
    columns = ["check", "statistic", "threshold", "passed", "gating", "message"]
    rows = [[getattr(one, name) for name in columns] for one in checks]
    table = pd.DataFrame(rows, columns=columns)
    # A check that only informs has no answer, which is neither true nor false.
    passed = pd.Series([one.passed for one in checks], dtype=object)
    return table.assign(
        passed=passed, gating=table["gating"].astype(bool),
        statistic=table["statistic"].astype(float), threshold=table["threshold"].astype(float),
    )  # fmt: skip


def answer_check(headline: Mapping[str, Any], *, said: bool) -> Check | None:
    """Return the failed check of a headline that is no answer, or None.

    Args:
        headline: A row of estimates, by column.
        said: The design says its headline in words of its own.

    Returns:
        The check: there is no number; or there is one, and neither interval nor p-value.

    Examples:
        >>> answer_check({"estimate": 0.0, "conf_low": math.nan, "p_value": math.nan},
        ...     said=False).message
        'nothing varies from which an error could be computed, so that nobody knows how sure the \
estimate is; choose an outcome that varies within each arm, or study more patients'
    """
    known = {name: not pd.isna(headline[name]) for name in ("estimate", "conf_low", "p_value")}
    if said or (known["estimate"] and (known["conf_low"] or known["p_value"])):
        return None
    words = "the data leave the estimate without a value, such as a ratio to none; read the other "
    words += "rows, choose another measure, or study more patients"
    if known["estimate"]:
        words = "nothing varies from which an error could be computed, so that nobody knows how "
        words += "sure the estimate is; choose an outcome that varies within each arm, or study "
        words += "more patients"
    return Check("answer", False, words, gating=True)


def passed_or_missing(checks: pd.DataFrame) -> pd.Series:
    """Return whether each check passed, missing where it only informs.

    Args:
        checks: As `checks_table` returns.

    Returns:
        True, False or missing.

    Examples:
        >>> passed_or_missing(checks_table([Check("n", None, "12 patients")])).isna().tolist()
        [True]
    """
    return checks["passed"].astype("boolean")


def count_words(n: int, one: str, many: str | None = None) -> str:
    """Return a number with its noun.

    Args:
        n: How many.
        one: The noun for one.
        many: The noun for more; by default with an s.

    Returns:
        The words.

    Examples:
        >>> count_words(1, "clinic"), count_words(1200, "clinic")
        ('1 clinic', '1,200 clinics')
    """
    return f"{n:,} {one if n == 1 else many or one + 's'}"
