"""The true value of an estimand, where a simulated study states it."""

from __future__ import annotations

import json
from pathlib import Path


def stated_truth(data: str | Path, name: str) -> float | None:
    """Return the value that a simulated study states for an estimand, or None.

    Args:
        data: The study's folder, as `open_study` takes it.
        name: Name of the estimand in `truth.json`.

    Returns:
        Its value; None for a study that states no truth, or none of this name.

    Examples:
        >>> from loyalty_research.data.project import project_file
        >>> stated_truth(project_file("data/example"), "programme_hazard_ratio")
        0.7
    """
    path = Path(data) / "truth.json"
    if not path.is_file():
        return None
    stated = json.loads(path.read_text(encoding="utf-8"))["estimands"].get(name)
    return None if stated is None else float(stated["value"])
