"""How a number reads: counts, shares, intervals and p values as text.

Rounding lives here alone, so that a table, a sentence and a figure say the same number alike.
"""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import pandas as pd

# An en dash, as printed tables mark a cell that holds nothing.
MISSING = "–"


def is_missing(value: Any) -> bool:
    """Say whether a table's cell holds nothing (None, NaN, NaT or NA).

    Examples:
        >>> is_missing(float("nan")), is_missing(None), is_missing(0)
        (True, True, False)
    """
    return value is None or (pd.api.types.is_scalar(value) and bool(pd.isna(value)))


def format_count(value: Any, *, missing: str = MISSING) -> str:
    """Return a number of things with thousands separated.

    Args:
        value: a count; a weighted count keeps one decimal.
        missing: what stands where there is no value.

    Examples:
        >>> format_count(6214), format_count(2.4), format_count(None)
        ('6,214', '2.4', '–')
    """
    if is_missing(value):
        return missing
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"


def format_percent(
    share: Any, *, digits: int = 1, sign: bool = True, missing: str = MISSING
) -> str:
    """Return a share as a percentage that never rounds to a false 0 or 100.

    Args:
        share: from 0 to 1.
        digits: decimals of the percentage.
        sign: with the percent sign after a space (ISO 80000).
        missing: what stands where there is no value.

    Examples:
        >>> format_percent(0.5521), format_percent(0.0001), format_percent(0.99999)
        ('55.2 %', '<0.1 %', '>99.9 %')
    """
    if is_missing(share):
        return missing
    smallest = 10.0**-digits
    text = f"{100 * share:.{digits}f}"
    if 0 < share < 1 and float(text) == 0:
        text = f"<{smallest:.{digits}f}"
    elif 0 < share < 1 and float(text) == 100:
        text = f">{100 - smallest:.{digits}f}"
    return f"{text} %" if sign else text


def format_share(part: Any, whole: Any, *, missing: str = MISSING) -> str:
    """Return a count with its share of a whole, such as `1,204 (15.1 %)`.

    Args:
        part: the count.
        whole: what it is a part of; where it is 0 or missing the share is left out.
        missing: what stands where there is no count.

    Examples:
        >>> format_share(1204, 8000), format_share(0, 0)
        ('1,204 (15.0 %)', '0')
    """
    if is_missing(part) or is_missing(whole) or whole == 0:
        return format_count(part, missing=missing)
    return f"{format_count(part)} ({format_percent(part / whole)})"


def format_number(value: Any, *, digits: int = 1, missing: str = MISSING) -> str:
    """Return a measurement with fixed decimals, a true minus sign, and thousands separated.

    Args:
        value: the measurement.
        digits: decimals.
        missing: what stands where there is no value.

    Returns:
        The text; the sign of infinity for what has no bound.

    Examples:
        >>> format_number(-12.345), format_number(1234.5, digits=0), format_number(-0.01)
        ('−12.3', '1,234', '0.0')
    """
    if is_missing(value):
        return missing
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = f"{value:,.{digits}f}"
    if not any(figure in text for figure in "123456789"):
        text = text.lstrip("-")
    return text.replace("-", "−")


def format_interval(
    estimate: Any,
    low: Any,
    high: Any,
    *,
    percent: bool = True,
    digits: int = 1,
    open_end: str = MISSING,
) -> str:
    """Return an estimate with its interval in words, such as `55.2 % (54.0 to 56.4)`.

    Args:
        estimate: a share when `percent`, else a measurement.
        low: the lower limit.
        high: the upper limit.
        percent: write shares as percentages.
        digits: decimals.
        open_end: what stands for one limit that could not be found.

    Examples:
        >>> format_interval(0.552, 0.54, 0.564)
        '55.2 % (54.0 to 56.4)'
        >>> format_interval(412, 398, None, percent=False, digits=0, open_end="not reached")
        '412 (398 to not reached)'
        >>> format_interval(1.8, 0.7, math.inf, percent=False)
        '1.8 (0.7 to no limit)'
        >>> format_interval(1.0, None, None)
        '100.0 % (no interval)'
    """
    if is_missing(estimate):
        return MISSING
    if percent:
        head = format_percent(estimate, digits=digits)
        ends = [format_percent(v, digits=digits, sign=False, missing=open_end) for v in (low, high)]
    else:
        head = format_number(estimate, digits=digits)
        ends = [format_number(v, digits=digits, missing=open_end) for v in (low, high)]
    head = "infinite" if math.isinf(estimate) else head
    if is_missing(low) and is_missing(high):
        return f"{head} (no interval)"
    open_ended = [not is_missing(v) and math.isinf(v) for v in (low, high)]
    if all(open_ended):
        return f"{head} (without limits)"
    ends = ["no limit" if o else end for o, end in zip(open_ended, ends, strict=True)]
    return f"{head} ({' to '.join(ends)})"


def format_p(value: Any, *, missing: str = MISSING) -> str:
    """Return a p value, which is never written as 0 or 1.

    Args:
        value: from 0 to 1.
        missing: what stands where there is no value.

    Examples:
        >>> format_p(0.00002), format_p(0.0312), format_p(0.9996)
        ('<0.001', '0.031', '>0.999')
    """
    if is_missing(value):
        return missing
    if value < 0.001:
        return "<0.001"
    return ">0.999" if value > 0.999 else f"{value:.3f}"


def format_level(conf_level: float) -> str:
    """Return a confidence level in percent without idle decimals.

    Examples:
        >>> format_level(0.95), format_level(0.999)
        ('95 %', '99.9 %')
    """
    return f"{100 * conf_level:.10g} %"


def format_value(value: Any, *, missing: str = MISSING) -> str:
    """Return any cell as text: the wording of a column that nobody worded specially.

    Args:
        value: count, measurement, yes or no, date, or text.
        missing: what stands where there is no value.

    Examples:
        >>> format_value(True), format_value(1234), format_value(0.05216), format_value("A")
        ('yes', '1,234', '0.0522', 'A')
        >>> format_value(0.05), format_value(0.8)
        ('0.05', '0.8')
    """
    if is_missing(value):
        return missing
    if isinstance(value, bool) or type(value).__name__ in {"bool", "bool_"}:
        return "yes" if value else "no"
    if isinstance(value, dt.datetime):
        return format_date(value)
    if isinstance(value, dt.date):
        return value.isoformat()
    if pd.api.types.is_number(value):
        return _format_plain(float(str(value)))
    return str(value)


def format_date(value: dt.datetime) -> str:
    """Return a date as ISO 8601, with the time of day only where there is one.

    Examples:
        >>> format_date(dt.datetime(2024, 3, 1)), format_date(dt.datetime(2024, 3, 1, 8, 30))
        ('2024-03-01', '2024-03-01T08:30:00')
    """
    return value.date().isoformat() if value.time() == dt.time.min else value.isoformat()


def _format_plain(value: float) -> str:
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value.is_integer():
        return format_count(value).replace("-", "−")
    # At most three significant figures, but no exponent and no false precision above 1,000.
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = format_number(value, digits=digits)
    # Where only zeros follow the point they say that the value is rounded.
    short = text.rstrip("0")
    return short if "." in text and not short.endswith(".") else text


def plural(count: Any, one: str, many: str | None = None) -> str:
    """Return a count with its noun in the right number.

    Args:
        count: how many.
        one: the noun for exactly one.
        many: the noun otherwise; an `s` is added when not given.

    Examples:
        >>> plural(1, "patient"), plural(0, "patient"), plural(2, "day")
        ('1 patient', '0 patients', '2 days')
    """
    return f"{format_count(count)} {one if count == 1 else many or one + 's'}"
