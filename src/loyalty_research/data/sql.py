"""The two ways in which a name or a text enters a query."""

from __future__ import annotations


def identifier(name: str) -> str:
    """Return a name quoted for SQL.

    Args:
        name: name of a table or column, in any script.

    Returns:
        The name in double quotes.

    Examples:
        >>> identifier('就诊"日期')
        '"就诊""日期"'
    """
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """Return a text quoted for SQL.

    Args:
        value: any text.

    Returns:
        The text in single quotes.

    Examples:
        >>> text("patient's")
        "'patient''s'"
    """
    return "'" + value.replace("'", "''") + "'"
