"""Parameters: what is refused before anything starts, and what reaches a notebook unchanged."""

import datetime as dt

import nbformat
import pytest

from loyalty_research.errors import UsageError
from loyalty_research.reports.parameters import (
    RetentionModelParameters,
    RetentionParameters,
    notebook_parameters,
    parameters_from_text,
    parameters_from_values,
    read_parameter_file,
)


def refusal(call, *arguments, **more):
    with pytest.raises(UsageError) as caught:
        call(*arguments, **more)
    assert caught.value.exit_status == 2
    return str(caught.value)


def test_a_site_made_of_digits_stays_a_text():
    assert parameters_from_text(RetentionParameters, ["site=0012"]).site == "0012"


@pytest.mark.parametrize("site", ["NO", "12:30", "1e3", "true"])
def test_no_text_is_turned_into_another_type(site):
    if ":" in site:
        assert "site" in refusal(parameters_from_text, RetentionParameters, [f"site={site}"])
    else:
        assert parameters_from_text(RetentionParameters, [f"site={site}"]).site == site


def test_a_list_is_written_with_commas():
    given = parameters_from_text(RetentionParameters, ["lapse_windows=60, 120", "lapse_days=60"])
    assert given.lapse_windows == [60, 120]


def test_every_fault_is_listed_at_once_with_the_name_that_was_meant():
    message = refusal(
        parameters_from_text, RetentionParameters, ["lapse_day=90", "conf_level=2", "period=years"]
    )
    assert 'lapse_day is not a parameter; did you mean "lapse_days"?' in message
    assert "conf_level" in message
    assert "period" in message


@pytest.mark.parametrize(
    "site", ["../../x", "a/b", "..", ".hidden", "a\\b", "x\0y", " x", "x" * 65]
)
def test_a_site_cannot_point_outside_its_folder(site):
    assert "site" in refusal(parameters_from_values, RetentionParameters, {"site": site})


def test_a_chinese_site_is_a_site():
    assert parameters_from_values(RetentionParameters, {"site": "城东 中心"}).site == "城东 中心"


@pytest.mark.parametrize(
    "values",
    [{"lapse_days": "90"}, {"lapse_days": 90.5}, {"lapse_days": True}, {"conf_level": "0.9"}],
)
def test_a_typed_value_of_the_wrong_type_is_refused_not_turned(values):
    name = next(iter(values))
    assert name in refusal(parameters_from_values, RetentionParameters, values)


def test_a_date_of_toml_becomes_its_iso_text():
    given = parameters_from_values(RetentionParameters, {"entry_start": dt.date(2024, 2, 29)})
    assert given.entry_start == "2024-02-29"


@pytest.mark.parametrize("text", ["2024-02-30", "20240229", "29.02.2024", "yesterday"])
def test_a_text_that_is_no_date_is_refused(text):
    assert "entry_start" in refusal(
        parameters_from_values, RetentionParameters, {"entry_start": text}
    )


def test_an_entry_window_that_runs_backwards_is_refused():
    values = {"entry_start": "2024-02-01", "entry_end": "2024-01-31"}
    assert "entry_end lies before entry_start" in refusal(
        parameters_from_values, RetentionParameters, values
    )


def test_the_compared_windows_must_hold_the_main_one():
    assert "must hold lapse_days" in refusal(
        parameters_from_values, RetentionParameters, {"lapse_days": 100}
    )


def test_the_days_of_the_table_must_hold_the_one_of_the_sentences():
    assert "must hold headline_day" in refusal(
        parameters_from_values, RetentionParameters, {"report_days": [30, 90]}
    )


def test_the_covariates_must_hold_the_compared_one():
    assert "must hold adjusted_by" in refusal(
        parameters_from_values, RetentionModelParameters, {"covariates": ["age"]}
    )


def test_faults_are_told_with_what_to_write_instead():
    texts = ["lapse_days=x", "conf_level=2", "entry_start=foo", "period=decade", "lapse_windows=a"]
    message = refusal(parameters_from_text, RetentionParameters, texts)
    for words in (
        "lapse_days: write a whole number, such as 180",
        "conf_level: must be below 1.0",
        "entry_start: write a day as 2024-12-31, or nothing",
        "period: write one of 'week', 'month', 'quarter' or 'year'",
        "lapse_windows: write a whole number",
    ):
        assert words in message


def test_an_assignment_without_an_equals_sign_is_refused():
    assert "write NAME=VALUE" in refusal(parameters_from_text, RetentionParameters, ["site"])


def test_the_command_line_wins_over_the_file():
    base = {"lapse_days": 90, "site": "A"}
    given = parameters_from_text(RetentionParameters, ["site=B"], base=base)
    assert (given.lapse_days, given.site) == (90, "B")


def test_a_parameter_file_without_quotes_says_what_to_write(tmp_path):
    path = tmp_path / "p.toml"
    path.write_text("site = 0012\n")
    assert 'site = "0012"' in refusal(read_parameter_file, path)


def test_a_missing_parameter_file_is_named(tmp_path):
    assert "there is no such file" in refusal(read_parameter_file, tmp_path / "none.toml")


def write_notebook(path, *sources):
    cells = []
    for source in sources:
        cell = nbformat.v4.new_code_cell(source)
        cell.metadata["tags"] = ["parameters"]
        cells.append(cell)
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def test_the_parameters_cell_is_read_without_being_run(tmp_path):
    path = write_notebook(tmp_path / "n.ipynb", 'data = "x"\nlapse_windows = [90, -1]\n')
    assert notebook_parameters(path) == {"data": "x", "lapse_windows": [90, -1]}


@pytest.mark.parametrize("sources", [(), ("a = 1", "b = 2")])
def test_a_notebook_needs_exactly_one_parameters_cell(tmp_path, sources):
    path = write_notebook(tmp_path / "n.ipynb", *sources)
    assert "needs one cell tagged 'parameters'" in refusal(notebook_parameters, path)


@pytest.mark.parametrize("source", ["a = f()", "import os", "a.b = 1", "a = x + 1"])
def test_the_parameters_cell_holds_plain_values_only(tmp_path, source):
    path = write_notebook(tmp_path / "n.ipynb", source)
    assert "is not name = literal" in refusal(notebook_parameters, path)
