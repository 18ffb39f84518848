"""What the documentation shows works as it stands."""

import importlib
import json
import math
import pkgutil
import re
import tomllib
from pathlib import Path

import pytest

from loyalty_research import effects, outcomes, retention
from loyalty_research.data.settings import parse_settings
from loyalty_research.data.stated_truth import stated_truth
from loyalty_research.effects.proof_cases import CASES
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
        "example-programme-effect",
        "example-roll-out",
        "example-service-change",
        "example-study-plan",
    ]


def test_the_python_of_the_readme_runs():
    text = "".join(blocks("README.md", "python"))
    names = {}
    exec(text.replace('"FOLDER"', repr(str(ROOT / "data/example"))), names)  # noqa: S102
    assert names["attrition"]["n_after"].iloc[-1] > 5000
    assert not names["effect"].withheld
    assert names["effect"].headline["conf_low"] > 0


def test_the_proof_has_as_many_cases_as_the_readme_says():
    said = re.search(r"more than (\d+) pairs", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(CASES) > int(said[1])


def test_the_way_from_enrolments_to_pieces_of_follow_up_runs_and_says_what_the_page_says():
    [text] = blocks("docs/follow-up-after-enrolment.md", "python")
    names = {}
    exec(text.replace('"FOLDER"', repr(str(ROOT / "data/example"))), names)  # noqa: S102
    times, pieces, ratios = names["times"], names["pieces"], names["ratios"]
    assert pieces["event"].sum() == times["event"].sum()
    assert (times["event"] & (times["time"] == 0)).sum() > 100
    assert pieces.index.is_unique
    share = names["checks"].set_index("check")["statistic"]["immortal_share"]
    assert f"{share:.0%}" == "29%"
    naive = retention.cox_regression(
        times.assign(enrolled=times["enrolled_after"].notna()),
        covariates=["enrolled", "age", "chronic"],
        strata="home_facility_id",
    )
    told = [math.exp(table["estimate"].iloc[0]) for table in (naive, ratios)]
    assert [f"{ratio:.2f}" for ratio in told] == ["0.28", "0.59"]
    truth = json.loads((ROOT / "data/example/truth.json").read_text(encoding="utf-8"))
    effect = truth["parameters"]["programme_log_hazard_ratio"]
    assert f"{math.exp(effect):.2f}" == "0.70"


def test_the_way_to_an_effect_runs_and_says_what_the_page_says(capsys):
    [text] = blocks("docs/effects.md", "python")
    names = {}
    exec(text.replace('"FOLDER"', repr(str(ROOT / "data/example"))), names)  # noqa: S102
    page = (ROOT / "docs/effects.md").read_text(encoding="utf-8")
    [refusal] = re.findall(r"`(ever is 1 of .*? could not have left)`", page)
    assert refusal in capsys.readouterr().out
    crude, effect, balance = names["crude"], names["effect"], names["balance"]
    assert f"`{crude.failed}`" in page
    assert f"`{crude.sentence(audience='publish')}`" in page
    assert f"{100 * crude.headline['estimate']:.1f} points" in page
    assert f"`{effect.sentence()}`" in page
    assert not effect.withheld
    assert f"risk ratios of {effect.facts.more['e_value']:.1f} each" in page
    before, after = (balance[f"smd_{when}"].abs().max() for when in ("unweighted", "weighted"))
    assert f"by up to {before:.2f} standard deviations" in page
    assert f"after it by {after:.2f} at most" in page
    truth = stated_truth(ROOT / "data/example", "retention_difference_365_at_first_visit")
    assert effect.headline["conf_low"] < truth < effect.headline["conf_high"]
    assert f"{100 * truth:.1f} points" in page


def test_every_guard_is_on_the_page_of_effects():
    known = set()
    for path in (ROOT / "src/loyalty_research/effects").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        constants = dict(re.findall(r'^(\w+) = "([^"]+)"$', text, re.M))
        for called in re.findall(r"\.refuse\(\s*(\w+|\"[^\"]+\"),", text):
            known.add(constants.get(called, called.strip('"')))
    table = (ROOT / "docs/effects.md").read_text(encoding="utf-8")
    first = " ".join(row.split("|")[1] for row in table.splitlines() if row.startswith("| `"))
    assert known - set(re.findall(r"`([^`]+)`", first)) == set()
    assert len(known) > 10


PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_link_between_pages_leads_somewhere(path):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), f"{path.name} links to {target}"


ESTIMATORS = (ROOT / "docs/estimators.md").read_text(encoding="utf-8")


def functions_named_on_the_page():
    """Names in the second column of its tables of four, and names followed by () anywhere."""
    rows = [line.split("|") for line in ESTIMATORS.splitlines() if line.startswith("|")]
    cells = [row[2] for row in rows if len(row) == 6]
    in_tables = re.findall(r"`(\w+)`", " ".join(cells))
    return {*in_tables, *re.findall(r"`(\w+)\(\)`", ESTIMATORS)}


def test_every_estimator_is_on_the_page_of_estimators():
    rooms = (retention, outcomes, effects)
    named = {name for room in rooms for name in room.__all__}
    assert named - functions_named_on_the_page() == set()


def test_every_function_on_the_page_of_estimators_exists():
    rooms = (retention, outcomes, effects)
    found = [
        one for room in rooms for one in pkgutil.iter_modules(room.__path__, f"{room.__name__}.")
    ]
    modules = [importlib.import_module(module.name) for module in found]
    known = {name for module in modules for name in vars(module)}
    assert functions_named_on_the_page() - known == set()


def test_every_line_of_the_glossary_has_a_term_its_chinese_and_a_meaning_and_no_term_twice():
    text = (ROOT / "GLOSSARY.md").read_text(encoding="utf-8")
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| ")]
    assert all(len(row) == 3 and all(cell.strip() for cell in row) for row in rows)
    terms = [row[0].strip() for row in rows]
    assert len(terms) == len(set(terms))
