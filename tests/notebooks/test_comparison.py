"""What counts as the same output of a notebook, and what does not."""

from types import SimpleNamespace

import nbformat.v4 as v4
import pytest

TABLE = "application/vnd.loyalty.table+json"
FINDING = "application/vnd.loyalty.finding+json"


def _shown(data, **metadata):
    return v4.new_output("execute_result", data=data, metadata=metadata, execution_count=1)


def _table(*rows, columns=("time", "estimate")):
    described = [{"name": name, "type": "number"} for name in columns]
    return _shown({TABLE: {"name": "curve", "columns": described, "rows": list(rows)}})


def _figure(alt="A curve.", name="curve", image="aaaa"):
    return _shown({"image/png": image}, **{"image/png": {"alt": alt, "name": name}})


def _stream(text, name="stdout"):
    return v4.new_output("stream", name=name, text=text)


@pytest.fixture
def differences(hook):
    def between(stored, found, tolerance=1e-6):
        return list(hook.output_differences(stored, found, tolerance=tolerance))

    return between


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("S = 0.674", "S = 0.674"),
        ("0.6740000000", "0.6740000004"),
        ("1,204.5 days", "1,204.5000001 days"),
        ("1e-300", "2e-300"),
        ("-2.2e-16", "0.0"),
        ("95 % of 1,204", "95 % of 1,204"),
        ("2024-12-31", "2024-12-31"),
        ("S = 1", "S = 1.00"),
    ],
)
def test_texts_agree_when_only_rounding_noise_differs(hook, old, new):
    assert hook.texts_agree(old, new)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("S = 0.674", "S = 0.675"),
        ("S = 0.674", "S = -0.674"),
        ("0.674", "0.67400123"),
        ("1,204", "1,205"),
        ("1,204", "1204"),
        ("12", "12.000001"),
        ("007", "7"),
        ("2024-12-31", "2024-12-30"),
        ("9f86d081", "9f86d082"),
        ("version 3.11.2", "version 3.11.3"),
        ("共58人", "共59人"),
        ("patients: 5", "Patients: 5"),
        ("1 of 2", "1 of 2 of 2"),
        ("0.5", "not reached"),
    ],
)
def test_texts_differ_when_a_digit_or_a_letter_does(hook, old, new):
    assert not hook.texts_agree(old, new)
    assert not hook.texts_agree(new, old)


@pytest.mark.parametrize(
    ("old", "new", "agree"),
    [
        (8, 8, True),
        (8, 9, False),
        (10**15, 10**15 + 1, False),
        (0.5, 0.5 + 1e-9, True),
        (0.5, 0.505, False),
        (1, 1.0, True),  # as JupyterLab saves it
        (1, 1.01, False),
        (0.0, 1e-15, True),
        (float("nan"), float("nan"), True),
        (float("nan"), 1.0, False),
        (None, 0.0, False),
        (None, None, True),
        (True, 1, False),
        (True, True, True),
        ("1", 1, False),
    ],
)
def test_values_agree_within_tolerance_when_floating_and_exactly_otherwise(hook, old, new, agree):
    assert hook.values_agree(old, new) is agree
    assert hook.values_agree(new, old) is agree


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (_table([0, 1.0], [1, 0.833]), r"rows\[1\]\[1\]: stored 0.8, found 0.833"),
        (_table([0, 1.0], [2, 0.8]), r"rows\[1\]\[0\]: stored 1, found 2"),
        (_table([0, 1.0]), "rows: 2 entries stored, 1 found"),
        (_table([0, 1.0], [1, 0.8], [2, 0.8]), "rows: 2 entries stored, 3 found"),
        (_table([0, 1.0], [1, None]), "stored 0.8, found None"),
        (_table([0, 1.0], [1, 0.8], columns=("time", "share")), "stored 'estimate'"),
        (_table([0], [1], columns=("time",)), "columns: 2 entries stored, 1 found"),
    ],
)
def test_a_changed_table_is_named_down_to_its_cell(differences, found, said):
    import re

    found_differences = "\n".join(differences([_table([0, 1.0], [1, 0.8])], [found]))
    assert re.search(said, found_differences)


def test_a_table_that_drifts_by_rounding_is_the_same(differences):
    assert differences([_table([0, 0.8])], [_table([0, 0.8 * (1 + 1e-9)])]) == []


def test_a_tolerance_widens_what_is_the_same(differences):
    tables = [_table([0, 0.8])], [_table([0, 0.80004])]
    assert differences(*tables) != []
    assert differences(*tables, tolerance=1e-4) == []


def test_a_finding_with_another_key_is_different(differences):
    stored = _shown({FINDING: {"name": "a", "estimates": []}})
    found = _shown({FINDING: {"name": "a", "estimates": [], "extra": 1}})
    assert "keys" in differences([stored], [found])[0]


def test_pixels_may_differ_but_not_what_a_figure_says(differences):
    assert differences([_figure()], [_figure(image="bbbb")]) == []
    assert "alt" in differences([_figure()], [_figure(alt="A line.")])[0]
    assert "name" in differences([_figure()], [_figure(name="line")])[0]


def test_an_output_more_or_less_is_a_difference(differences):
    assert differences([_figure()], []) == ["outputs: 1 stored, 0 found"]
    assert differences([], [_figure()]) == ["outputs: 0 stored, 1 found"]


def test_another_kind_of_output_is_a_difference(differences):
    assert "keys" in differences([_shown({"text/plain": "1"})], [_shown({"text/html": "1"})])[0]


def test_what_is_printed_counts_but_not_when_it_arrives(differences):
    early, late = [_stream("8 rows\n"), _figure()], [_figure(), _stream("8 rows\n")]
    assert differences(early, late) == []
    assert "stdout" in differences(early, [_stream("9 rows\n"), _figure()])[0]


def test_anything_on_stderr_is_a_difference(differences):
    assert differences([], [_stream("a warning", "stderr")]) == ["stderr: a warning"]


def _notebook(*cells):
    return v4.new_notebook(cells=list(cells))


def _run_cell(source="1 + 1", *, tags=(), outputs=None):
    outputs = [_shown({"text/plain": "2"})] if outputs is None else outputs
    return v4.new_code_cell(
        source, execution_count=1, outputs=outputs, metadata={"tags": list(tags)}
    )


def test_a_notebook_stored_with_its_outputs_is_a_reference(hook):
    empty = v4.new_code_cell("  \n")
    silent = _run_cell("x = 1", outputs=[])
    assert (
        hook.stored_faults(_notebook(v4.new_markdown_cell("# Q?"), silent, _run_cell(), empty))
        == []
    )


@pytest.mark.parametrize(
    ("cell", "fault"),
    [
        (v4.new_code_cell("1 + 1"), "Cell 0 was never run"),
        (_run_cell(outputs=[]), "no cell stores an output"),
        (_run_cell(outputs=[_stream("pid 42", "stderr")]), "Cell 0 stores stderr"),
        (_run_cell(outputs=[v4.new_output("error", ename="E")]), "Cell 0 stores an error"),
        (_run_cell("# NBVAL_IGNORE_OUTPUT\n1"), "Cell 0 opts out of being checked"),
        (_run_cell(tags=["nbval-skip"]), "Cell 0 opts out of being checked"),
        (_run_cell(tags=["raises-exception"]), "Cell 0 opts out of being checked"),
        (_run_cell(tags=["tolerance:0.5"]), "Cell 0 has a tolerance that is no number from 0 to"),
        (_run_cell(tags=["tolerance:wide"]), "Cell 0 has a tolerance that is no number from 0 to"),
        (_run_cell(tags=["tolerance:nan"]), "Cell 0 has a tolerance that is no number from 0 to"),
    ],
)
def test_what_cannot_be_compared_is_no_reference(hook, cell, fault):
    assert any(found.startswith(fault) for found in hook.stored_faults(_notebook(cell)))


def test_a_notebook_without_code_is_no_reference(hook):
    assert hook.stored_faults(_notebook()) == ["no cell stores an output"]


def test_of_several_tolerance_tags_the_widest_counts(hook):
    assert hook.cell_tolerance(_run_cell(tags=["tolerance:1e-4", "tolerance:1e-5"])) == 1e-4
    assert hook.cell_tolerance(_run_cell(tags=["parameters"])) == 1e-6


@pytest.mark.parametrize(("given", "used"), [(2000, 180), (30, 30)])
def test_no_cell_may_run_longer_than_three_minutes(hook, given, used):
    option = SimpleNamespace(nbval_kernel_name=None, nbval_cell_timeout=given)
    config = SimpleNamespace(option=option, getoption=lambda name, default: getattr(option, name))
    hook.pytest_configure(config)
    assert option.nbval_cell_timeout == used
    assert option.nbval_current_env is True
