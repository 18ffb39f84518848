"""What a reporting guideline asks for: its items in order, each with what the suite knows of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Item:
    """One item of a guideline, in our own short words.

    Attributes:
        item: Its number in the guideline, such as "17a".
        topic: What the guideline files it under.
        what: What has to be reported.
        known: Name of the answer that the suite can give, see `reporting_answers`; "" for none.
        left: What of it only the authors know, so that the suite's answer alone leaves it open.
    """

    item: str
    topic: str
    what: str
    known: str = ""
    left: str = ""


@dataclass(frozen=True)
class Guideline:
    """A guideline in one version.

    Attributes:
        name: What `reporting_items` calls it.
        version: Its name with the year, as reports print it.
        source: Where it was published.
        items: In its own order.
    """

    name: str
    version: str
    source: str
    items: tuple[Item, ...]
