"""Safe markup: HTML from notebooks in, HTML that can only be read out.

Everything a page shows that is not a plain value passes through `clean`, an allow-list. What the
list does not name is removed, so a page never runs, loads or submits anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain, count
from urllib.parse import unquote

import bleach  # type: ignore[import-untyped]
import mistune
from bs4 import BeautifulSoup, Tag

from loyalty_research.errors import ReportError

# fmt: off
TAGS = frozenset({
    "a", "abbr", "b", "blockquote", "br", "caption", "cite", "code", "col", "colgroup", "dd",
    "del", "dfn", "div", "dl", "dt", "em", "figcaption", "figure", "h1", "h2", "h3", "h4", "h5",
    "h6", "hr", "i", "img", "ins", "kbd", "li", "mark", "ol", "p", "pre", "q", "s", "samp",
    "small", "span", "strong", "sub", "sup", "table", "tbody", "td", "tfoot", "th", "thead",
    "time", "tr", "u", "ul",
})
# Removed with all they hold; of any other unknown element the text inside stays.
HOLLOW = ("script", "style", "template", "svg", "math", "iframe", "object", "embed", "noscript",
          "form", "audio", "video", "title", "head", "textarea", "select", "button")
ATTRIBUTES = {
    "*": ["class", "lang", "dir"],
    "a": ["href", "title"],
    "abbr": ["title"],
    "div": ["role", "tabindex", "aria-label"],
    "h2": ["id"], "h3": ["id"], "h4": ["id"], "h5": ["id"], "h6": ["id"],
    "ol": ["start"],
    "td": ["colspan", "rowspan", "headers"],
    "th": ["colspan", "rowspan", "scope"],
}
# fmt: on
_EMBEDDED_IMAGE = re.compile(r"data:image/(png|jpeg);base64,[A-Za-z0-9+/=\s]+\Z")
_LINK = re.compile(r"(https?://|mailto:|#)[^\s\x00-\x1f]*\Z", re.IGNORECASE)
# What the page's own template uses.
OWN_ANCHORS = ("main", "checks", "record-of-this-run")
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")


@dataclass(frozen=True)
class Heading:
    """A line of the table of contents: `level` 2 or 3, the anchor, and the words."""

    level: int
    anchor: str
    text: str


def _is_allowed(tag: str, name: str, value: str) -> bool:
    if tag == "img":
        return name in {"alt", "width", "height"} or (
            name == "src" and bool(_EMBEDDED_IMAGE.match(value))
        )
    if name == "href":
        return tag == "a" and bool(_LINK.match(value))
    return name in ATTRIBUTES["*"] or name in ATTRIBUTES.get(tag, ())


def clean(html: str) -> str:
    """Return the HTML without anything that could run, load, submit or restyle.

    Args:
        html: a fragment from a notebook; never trusted.

    Returns:
        The same text with only the elements of `TAGS` and harmless attributes left.

    Examples:
        >>> clean('<p onclick="x()">8 of 10<script>alert(1)</script></p>')
        '<p>8 of 10</p>'
        >>> clean('<a href="javascript:x()">here</a>')
        '<a>here</a>'
    """
    return _sanitised(_hollowed(html))


def _hollowed(html: str) -> BeautifulSoup:
    soup = BeautifulSoup(html, "html.parser")
    for element in soup.find_all(HOLLOW):
        element.decompose()
    return soup


def _sanitised(soup: BeautifulSoup) -> str:
    return bleach.clean(
        str(soup),
        tags=TAGS,
        attributes=_is_allowed,
        protocols={"http", "https", "mailto", "data"},
        strip=True,
    )


def from_markdown(source: str, *, attachments: Mapping[str, Mapping[str, str]]) -> str:
    """Return a markdown cell as HTML, its pasted pictures embedded; not yet cleaned.

    Args:
        source: the cell's text.
        attachments: the cell's pictures, name to MIME type to base64, as notebooks keep them.

    Examples:
        >>> from_markdown("Do they *stay*?", attachments={}).strip()
        '<p>Do they <em>stay</em>?</p>'
    """
    for name, bundle in attachments.items():
        for kind in ("image/png", "image/jpeg"):
            if kind in bundle:
                source = source.replace(
                    f"(attachment:{name})", f"(data:{kind};base64,{bundle[kind]})"
                )
    return str(_MARKDOWN(source))


_MARKDOWN = mistune.create_markdown(escape=False, plugins=["strikethrough", "table", "def_list"])


def anchor_of(text: str) -> str:
    """Return the anchor of a heading; letters of any script stay.

    Examples:
        >>> anchor_of("Who is in the study?"), anchor_of("谁在研究中?")
        ('who-is-in-the-study', '谁在研究中')
    """
    return re.sub(r"\W+", "-", text.lower()).strip("-") or "section"


def settle(fragments: Iterable[str]) -> tuple[list[str], list[Heading]]:
    """Return the fragments of one page cleaned and made to fit each other, with its contents.

    The page has its own first heading, so the notebook's opening one is dropped. Every heading
    gets an anchor of its own, every table a box to scroll in, links inside the page are matched to
    the anchors there are, and links to files that will not be beside the page become plain text.

    Args:
        fragments: HTML of the page's blocks in their order.

    Returns:
        The fragments in the same order and number, and the headings of level 2 and 3.

    Raises:
        ReportError: a picture has no description.

    Examples:
        >>> html, contents = settle(["<h1>Title</h1><h2>Who?</h2>", '<a href="x.ipynb">next</a>'])
        >>> html
        ['<h2 id="who">Who?</h2>', 'next']
        >>> contents
        [Heading(level=2, anchor='who', text='Who?')]
    """
    soups = [_hollowed(fragment) for fragment in fragments]
    headings = [found for soup in soups for found in soup.find_all(_HEADINGS)]
    if headings and headings[0].name == "h1":
        headings.pop(0).decompose()
    contents = _anchor(headings)
    anchors = {str(heading["id"]) for heading in headings}
    for soup in soups:
        _settle_links(soup, anchors)
        _settle_pictures(soup)
        _box_tables(soup)
    # Cleaned at the very end, because what is written last is what the reader's browser gets.
    return [_sanitised(soup) for soup in soups], contents


def _anchor(headings: list[Tag]) -> list[Heading]:
    taken = set(OWN_ANCHORS)
    contents = []
    for heading in headings:
        if heading.name == "h1":
            heading.name = "h2"
        text = heading.get_text().strip()
        heading["id"] = _free(anchor_of(text), taken)
        taken.add(str(heading["id"]))
        if heading.name in ("h2", "h3"):
            contents.append(Heading(int(heading.name[1]), str(heading["id"]), text))
    return contents


def _free(anchor: str, taken: set[str]) -> str:
    numbered = (f"{anchor}-{number}" for number in count(2))
    return next(name for name in chain([anchor], numbered) if name not in taken)


def _settle_links(soup: BeautifulSoup, anchors: set[str]) -> None:
    for link in soup.find_all("a"):
        target = str(link.get("href", ""))
        inside = anchor_of(unquote(target[1:]))
        if target.startswith("#") and inside in anchors:
            link["href"] = f"#{inside}"
        elif target.startswith("#") or not _LINK.match(target):
            link.unwrap()


def _settle_pictures(soup: BeautifulSoup) -> None:
    for picture in soup.find_all("img"):
        described = str(picture.get("alt", "")).strip()
        if not described:
            raise ReportError(
                "a picture in the notebook's text has no description: ![what it shows]"
            )
        if not _EMBEDDED_IMAGE.match(str(picture.get("src", ""))):
            # The picture lies elsewhere, and a page asks for nothing: its description stays.
            picture.replace_with(described)


def _box_tables(soup: BeautifulSoup) -> None:
    for table in soup.find_all("table"):
        label = table.caption.get_text(" ", strip=True) if table.caption else "Table"
        box = {
            "class": f"table-box {_breadth(table)}".strip(),
            "role": "region",
            "tabindex": "0",
            "aria-label": label,
        }
        table.wrap(soup.new_tag("div", attrs=box))


def _breadth(table: Tag) -> str:
    columns = max((len(row.find_all(["td", "th"])) for row in table.find_all("tr")), default=0)
    # On paper 9 columns need smaller type, 16 the smallest, and 23 a page on its side.
    names = {"wide": 9, "wider": 16, "widest": 23}
    return " ".join(name for name, least in names.items() if columns >= least)
