"""Checks of single arguments, each refusing with the repair."""

from __future__ import annotations

import datetime as dt
import difflib
import numbers
from collections.abc import Iterable, Sequence

import numpy as np

from loyalty_research.errors import UsageError


def suggest(name: str, options: Iterable[str]) -> str:
    """Return `; did you mean "..."?` for a misspelt name, or nothing when no option is near.

    Args:
        name: what was written.
        options: what could have been written.

    Returns:
        Text to append to a message.

    Examples:
        >>> suggest("vists", ["patients", "visits"])
        '; did you mean "visits"?'
        >>> suggest("zzz", ["patients", "visits"])
        ''
    """
    near = difflib.get_close_matches(name.lower(), sorted(options), n=1)
    return f'; did you mean "{near[0]}"?' if near else ""


def check_choice(value: object, choices: Iterable[str], *, name: str) -> str:
    """Return the value if it is one of the choices.

    Args:
        value: What the user gave.
        choices: Every word that is understood.
        name: The argument's name, for the message.

    Returns:
        The value itself.

    Raises:
        UsageError: The value is not a choice; the nearest one is proposed.

    Examples:
        >>> check_choice("month", ["month", "week"], name="period")
        'month'
        >>> check_choice("mnth", ["month", "week"], name="period")
        Traceback (most recent call last):
        ...
        loyalty_research.errors.UsageError: period='mnth' is not known; did you mean 'month'?
    """
    choices = list(choices)
    if isinstance(value, str) and value in choices:
        return value
    near = difflib.get_close_matches(str(value), choices, n=1)
    repair = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(choices)}"
    raise UsageError(f"{name}={value!r} is not known; {repair}")


def check_date(value: object, *, name: str) -> dt.date:
    """Return a calendar day, given as a date, a timestamp or ISO text.

    Args:
        value: A `datetime.date`, `datetime.datetime`, pandas Timestamp or `"YYYY-MM-DD"`.
        name: The argument's name, for the message.

    Returns:
        The day; a time of day is dropped.

    Raises:
        UsageError: The value is no day.

    Examples:
        >>> check_date("2024-02-29", name="data_cutoff")
        datetime.date(2024, 2, 29)
    """
    # A missing pandas timestamp is an instance of datetime that differs from itself.
    if isinstance(value, dt.datetime) and value == value:
        return value.date()
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return value
    try:
        # A number such as 20240229 would read as text without dashes.
        return dt.date.fromisoformat("" if isinstance(value, numbers.Number) else str(value))
    except ValueError:
        message = f"{name}={value!r} is not a day; give a date such as 2024-12-31"
        raise UsageError(message) from None


def check_whole(value: object, *, name: str, minimum: int = 0) -> int:
    """Return a whole number that is not below the minimum.

    Args:
        value: What the user gave.
        name: The argument's name, for the message.
        minimum: The smallest number that makes sense.

    Returns:
        The number as an int.

    Raises:
        UsageError: The value is not whole, or too small.

    Examples:
        >>> check_whole(365, name="lapse_days", minimum=1)
        365
    """
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or int(value) < minimum:  # type: ignore[call-overload]
        raise UsageError(f"{name}={value!r} must be a whole number, at least {minimum}")
    return int(value)  # type: ignore[call-overload]


def check_times(times: object) -> list[int] | None:
    """Return times as whole numbers from 0, in the order given; None stays None.

    Args:
        times: One time, several, or None for all.

    Returns:
        The times.

    Raises:
        UsageError: One of them is not a whole number, or is negative.

    Examples:
        >>> check_times([365, 30]), check_times(7), check_times(None)
        ([365, 30], [7], None)
    """
    if times is None:
        return None
    return [check_whole(time, name="times") for time in np.atleast_1d(np.asarray(times)).tolist()]


def check_share(value: object, *, name: str) -> float:
    """Return a number strictly between 0 and 1.

    Args:
        value: What the user gave.
        name: The argument's name, for the message.

    Returns:
        The number as a float.

    Raises:
        UsageError: The value is not between 0 and 1.

    Examples:
        >>> check_share(0.95, name="conf_level")
        0.95
    """
    if not isinstance(value, numbers.Real) or not 0 < float(value) < 1:
        raise UsageError(f"{name}={value!r} must be a number between 0 and 1, such as 0.95")
    return float(value)


def as_columns(columns: str | Sequence[str] | None) -> list[str]:
    """Return column names as a list, whether one, several or none were given.

    Args:
        columns: One name, several, or None.

    Returns:
        The names in the order given.

    Examples:
        >>> as_columns("sex"), as_columns(["sex", "site"]), as_columns(None)
        (['sex'], ['sex', 'site'], [])
    """
    if columns is None:
        return []
    return [columns] if isinstance(columns, str) else list(columns)
