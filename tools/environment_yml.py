"""Write environment.yml with exactly the versions of requirements.lock, for conda users."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^ \\]+)(?: ; (.*?))?(?: \\)?$", re.M)

HEAD = """\
# Made from requirements.lock by `make lock`; do not edit. For conda users:
#   conda env create -f environment.yml && conda activate loyalty-research
name: loyalty-research
channels:
  - conda-forge
dependencies:
  - python=3.11
  - pip
  - pip:
"""


def environment(lock: str) -> str:
    """Return the text of environment.yml for the text of a lock file."""
    lines = []
    for name, version, marker in PIN.findall(lock):
        pin = f"{name}=={version}" + (f" ; {marker}" if marker else "")
        # A marker holds quotes; YAML takes the line as one text when it stands in quotes itself.
        lines.append(f'      - "{pin}"' if marker else f"      - {pin}")
    return HEAD + "\n".join([*lines, "      - -e ."]) + "\n"


if __name__ == "__main__":
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    (ROOT / "environment.yml").write_text(environment(lock), encoding="utf-8")
