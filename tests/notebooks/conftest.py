"""The comparison of notebooks, as the notebooks' own folder defines it."""

import importlib.util
from pathlib import Path

import pytest

HOOK = Path(__file__).parents[2] / "notebooks" / "conftest.py"


@pytest.fixture(scope="session")
def hook_file():
    """Where the regression of the notebooks is defined."""
    return HOOK


@pytest.fixture(scope="session")
def hook():
    """The regression of the notebooks as a module of its own."""
    spec = importlib.util.spec_from_file_location("notebook_regression", HOOK)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
