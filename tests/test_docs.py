"""What the documentation shows works as it stands."""

import re
import tomllib
from pathlib import Path

import pytest

from loyalty_research.data.settings import parse_settings
from loyalty_research.reports.batch import read_plan

ROOT = Path(__file__).resolve().parent.parent


def blocks(path, language):
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / path).read_text(encoding="utf-8"), re.S)


def test_the_example_study_toml_is_understood():
    [text] = blocks("docs/bring-your-own-data.md", "toml")
    settings = parse_settings(tomllib.loads(text))
    assert settings.of("patients").codes["sex"]["女"] == "female"
    assert settings.of("visits").date_format == ("%Y/%m/%d",)


def test_the_example_plan_is_understood(tmp_path):
    [text] = blocks("docs/schedule.md", "toml")
    (tmp_path / "reports.toml").write_text(text, encoding="utf-8")
    planned = read_plan(tmp_path / "reports.toml")
    assert [line.id for line in planned] == ["all-clinics", "east-clinic"]


def test_the_projects_own_plan_is_understood():
    assert [line.id for line in read_plan(ROOT / "reports.toml")] == [
        "example",
        "example-retention",
        "example-retention-model",
    ]


def test_the_python_of_the_readme_runs():
    [text] = blocks("README.md", "python")
    names = {}
    exec(text.replace('"FOLDER"', repr(str(ROOT / "data/example"))), names)  # noqa: S102
    assert names["attrition"]["n_after"].iloc[-1] > 5000


PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_link_between_pages_leads_somewhere(path):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), f"{path.name} links to {target}"
