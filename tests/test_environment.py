"""The lock, the conda file and the project's own list of dependencies say the same."""

import importlib.util
import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")


def tool():
    spec = importlib.util.spec_from_file_location("tool", ROOT / "tools/environment_yml.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def locked():
    return dict(re.findall(r"^([\w.-]+)==([^ \\;]+)", LOCK, re.M))


def conda():
    text = (ROOT / "environment.yml").read_text(encoding="utf-8")
    pins = yaml.safe_load(text)["dependencies"][-1]["pip"]
    found = [re.match(r"([\w.-]+)==([^ ;]+)", pin) for pin in pins]
    return {match[1]: match[2] for match in found if match}


def test_conda_users_get_exactly_the_locked_versions():
    assert conda() == locked()
    assert len(locked()) > 100


def test_the_conda_file_is_made_from_the_lock():
    assert (ROOT / "environment.yml").read_text(encoding="utf-8") == tool().environment(LOCK)


def test_every_locked_package_has_a_hash():
    entries = re.split(r"^(?=[\w.-]+==)", LOCK, flags=re.M)[1:]
    assert all("--hash=sha256:" in entry for entry in entries)


def test_the_lock_names_no_place_to_fetch_from():
    assert not re.search(r"https?://|--(extra-)?index-url|--find-links|file:", LOCK)


def test_every_direct_dependency_is_locked_and_has_its_reason_beside_it():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    extras = [line for group in project["optional-dependencies"].values() for line in group]
    for line in [*project["dependencies"], *extras]:
        name = re.match(r"[\w.-]+", line)[0]
        assert name in locked(), name
        assert re.search(rf'"{re.escape(line)}",\s+# \S+', text), f"{name} has no reason"
