import sys

import pytest

from loyalty_research.data.published_tables import load_published_table
from loyalty_research.errors import UsageError


def test_numbers_are_wide_enough_to_be_squared():
    table = load_published_table("nhefs")
    assert (table["age"] ** 2).max() == table["age"].max() ** 2
    assert table["wt82_71"].isna().sum() == 63


def test_the_trial_has_its_people_and_villages():
    table = load_published_table("thornton_hiv")
    assert len(table) == 4820
    assert table["any"].dropna().isin([0, 1]).all()


def test_an_unknown_table_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match='did you mean "nhefs"'):
        load_published_table("nhef")


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "causaldata", None)
    with pytest.raises(UsageError, match="extra"):
        load_published_table("nhefs")
