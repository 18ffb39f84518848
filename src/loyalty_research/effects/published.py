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
    "patient-trials", "patients", "patient", "people", "rows", "row", "events", "event", "units",
    "unit", "pairs", "pair", "observations", "observation", "members", "member", "controls",
    "control", "visits", "visit", "clusters", "cluster", "clinic-periods", "clinic-period",
    "unit-periods", "unit-period", "propensities", "propensity",
)  # fmt: skip
# A whole number: no part of a word, of a decimal, of a negative number or of an interval.
_N = r"(?<![\w.,=/\u2212-])(?:\d{1,3}(?:,\d{3})+|\d+)(?![\w,.]*\d)"
_NOUN = rf"(?:{'|'.join(_COUNTED)})\b(?!-| of time)"
_ALL = r"(?:\b(?:all|the) )?"
# Whom a count is of stands behind it, or was named by the count before it.
_COUNT = re.compile(
    rf"{_ALL}(?P<part>{_N}) of {_ALL}(?P<whole>{_N}) (?P<kind>{_NOUN})"
    rf"|{_ALL}(?P<n>{_N}) (?P<noun>{_NOUN})(?: of (?P<among>{_N}))?"
    rf"|(?<=\bweigh like )(?P<like>{_N})|(?<=\bworth of )(?P<worth>{_N})"
    rf"|(?P<bare>{_N})(?= (?:without|with and|of them|never do|have the programme)\b)"
)
# A limit that somebody set counts nobody, nor does a rank.
_LIMIT = re.compile(r"\b(?:at least|at most|fewer than|more than|below some|not|ranks) $")
_FEWEST_SHOWN = "a withheld number"


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
        return f"{_FEWEST_SHOWN} of {many or one + 's'}"
    return f"about {count_words(_rounded(n), one, many)}"


def told_text(text: str, *, audience: str) -> str:
    """Return a text of the suite with the counts in it as an audience may read them.

    Args:
        text: Such as an estimand, which names how many patients it is in.
        audience: "publish" rounds counts of patients, rows, events and clusters to 5 and withholds
            those from 1 to 7, each in its place, so that the sentence stays whole.

    Returns:
        The text; other numbers, such as days, stay.

    Examples:
        >>> told_text("among all 1,566 patients on day 90; 1 patient left out", audience="publish")
        'among about 1,565 patients on day 90; a withheld number of patients left out'
    """
    if audience == "internal":
        return text
    return _COUNT.sub(lambda found: found[0] if _is_limit(found) else _told(found), text)


def counts_told(text: str) -> list[int]:
    """Return the counts of patients, rows, events and clusters that a text of the suite names.

    Args:
        text: Such as the message of a check.

    Returns:
        The counts in their order, without limits such as "at least 30 patients".

    Examples:
        >>> counts_told("3 of 1,204 patients left out by trimming, 1 of them in the programme")
        [3, 1204, 1]
        >>> counts_told("24 periods, 95.0 % with and 100.0 % without, at least 30 patients")
        []
    """
    names = ("part", "whole", "n", "among", "like", "worth", "bare")
    return [
        _number(found[name])
        for found in _COUNT.finditer(text)
        if not _is_limit(found)
        for name in names
        if found[name] is not None
    ]


def _is_limit(found: re.Match[str]) -> bool:
    return bool(_LIMIT.search(found.string[: found.start()]))


def _number(text: str) -> int:
    return int(text.replace(",", ""))


def _told(found: re.Match[str]) -> str:
    """Return a count that was found with its noun, rounded or withheld."""
    if found["part"] is not None:
        return f"{_told_bare(found['part'])} of {_told_noun(found['whole'], found['kind'])}"
    if found["n"] is not None:
        among = f" of {_told_bare(found['among'])}" if found["among"] else ""
        return _told_noun(found["n"], found["noun"]) + among
    return _told_bare(found["like"] or found["worth"] or found["bare"])


def _told_bare(text: str) -> str:
    n = _number(text)
    return "0" if n == 0 else _FEWEST_SHOWN if is_small(n) else f"about {_rounded(n):,}"


def _told_noun(text: str, noun: str) -> str:
    if noun == "people":
        one, many = "people", "people"
    elif noun.startswith("propensit"):
        one, many = "propensity", "propensities"
    else:
        one, many = noun.removesuffix("s"), None
    return told_count(_number(text), one, many, audience="publish")


def _rounded(n: int) -> int:
    return int((n + BASE / 2) // BASE * BASE)


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
