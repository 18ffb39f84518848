"""What of an effect may leave the organisation: no count that could name a patient."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pandas as pd

from loyalty_research.effects.checks import count_words

if TYPE_CHECKING:
    from loyalty_research.effects.effect import Effect

THRESHOLD = 7
"""The largest count that is not told; the display of tables has the same."""

BASE = 5
"""Other counts are told as multiples of it."""

_COUNTED = (
    "patients", "patient", "people", "rows", "row", "events", "units", "pairs", "observations",
    "patient-trials", "clinic-periods",
)  # fmt: skip
_COUNT = re.compile(rf"(?:\b(?:all|the) )?(?<![\w.,])(\d[\d,]*) ({'|'.join(_COUNTED)})\b(?!-)")


def is_small(n: Any) -> bool:
    """Return whether a count is too small to be told.

    Args:
        n: A count, or a missing value.

    Returns:
        True from 1 to 7; that nobody is there tells nothing about somebody who is.

    Examples:
        >>> [is_small(n) for n in (0, 1, 7, 8, None)]
        [False, True, True, False, False]
    """
    return not pd.isna(n) and 0 < n <= THRESHOLD


def told_count(n: int, one: str, many: str | None = None, *, audience: str) -> str:
    """Return a number with its noun as an audience may read it.

    Args:
        n: How many.
        one: The noun for one.
        many: The noun for more; by default with an s.
        audience: "publish" rounds to 5 and withholds 1 to 7.

    Returns:
        The words.

    Examples:
        >>> told_count(303, "patient", audience="internal")
        '303 patients'
        >>> told_count(303, "patient", audience="publish")
        'about 305 patients'
        >>> told_count(3, "patient", audience="publish")
        'a withheld number of patients'
    """
    if audience == "internal" or n == 0:
        return count_words(n, one, many)
    if is_small(n):
        return f"a withheld number of {many or one + 's'}"
    rounded = int((n + BASE / 2) // BASE * BASE)
    return f"about {count_words(rounded, one, many)}"


def told_text(text: str, *, audience: str) -> str:
    """Return a text of the suite with the counts in it as an audience may read them.

    Args:
        text: Such as an estimand, which names how many patients it is in.
        audience: "publish" rounds counts of patients, rows and events and withholds small ones.

    Returns:
        The text; other numbers, such as days, stay.

    Examples:
        >>> told_text("among all 1,566 patients on day 90; 1 patient left out", audience="publish")
        'among about 1,565 patients on day 90; a withheld number of patients left out'
    """
    if audience == "internal":
        return text

    def told(found: re.Match[str]) -> str:
        noun = found[2]
        one = {"people": "people", "patients": "patient"}.get(noun, noun.removesuffix("s"))
        many = "people" if noun == "people" else None
        return told_count(int(found[1].replace(",", "")), one, many, audience=audience)

    return _COUNT.sub(told, text)


def few_without(effect: Effect) -> bool:
    """Say whether a level of a share stands on so few patients that it could name them.

    A share with its denominator gives back how many had the event, and how many had not.

    Args:
        effect: The effect.

    Returns:
        True where from 1 to 7 patients of an arm had the event, or had it not; of an outcome that
        is a number, where few patients are compared.

    Examples:
        >>> from loyalty_research.effects import risk_difference
        >>> data = pd.DataFrame({"arm": [0] * 40 + [1] * 40, "came": [1] * 20 + [0] * 20 + [1] * 38
        ...     + [0] * 2})
        >>> few_without(risk_difference(data, arm="arm", outcome="came"))
        True
    """
    levels, n = effect.facts.levels, effect.facts.n
    if effect.facts.n_events is None or set(levels) != {0, 1}:
        return n <= THRESHOLD + BASE
    if max(levels.values()) > 1 or min(levels.values()) < 0:
        return False
    return any(
        0 < round(min(share, 1 - share) * effect.facts.sizes.get(arm, n / 2)) <= THRESHOLD
        for arm, share in levels.items()
    )
