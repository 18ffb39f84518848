"""Where the files that come with the project lie, in a checkout or in an installed wheel."""

from __future__ import annotations

from pathlib import Path

from loyalty_research.errors import SetupError

_PACKAGE = Path(__file__).resolve().parents[1]


def project_file(relative: str, *, package: Path = _PACKAGE) -> Path:
    """Return the path of a file or folder of the project, such as `data/example`.

    Args:
        relative: Path from the repository's root, with `/`.
        package: Folder of the installed package; only tests give another.

    Returns:
        The path in the checkout the package is run from, or else inside the installed wheel.

    Raises:
        SetupError: It is in neither place.

    Examples:
        >>> project_file("data/example").name
        'example'
    """
    root = package.parents[1]
    checkout = package.parent.name == "src" and (root / "pyproject.toml").is_file()
    places = [*([root / relative] if checkout else []), package / "_project" / relative]
    for place in places:
        if place.exists():
            return place
    raise SetupError(
        f"{relative} did not come with this installation; install loyalty-research again, "
        "or run it from a checkout of the repository"
    )
