"""Whoever is censored is stood in for by those who are not: the weights of prediction metrics."""

import numpy as np
import pandas as pd
import pytest

from loyalty_research.errors import DataError
from loyalty_research.retention.curves import kaplan_meier
from loyalty_research.retention.inverse_censoring import known_states
from loyalty_research.retention.rows import open_rows

FIVE = pd.DataFrame({"time": [1, 2, 2, 3, 4], "event": [0, 1, 0, 1, 0]})


def test_the_weights_are_those_computed_by_hand():
    # At risk of being censored are those without an event that day: 5 on day 1, 3 on day 2, so
    # G(1) = 4/5 and G(2) = 4/5 * 2/3 = 8/15. An event counts by G just before it, who is still
    # there on day 3 by G(3) = 8/15; whoever is censored before counts nothing.
    states = known_states(open_rows(FIVE), horizon=3)
    assert states.weight.tolist() == pytest.approx([0, 5 / 4, 0, 15 / 8, 15 / 8])
    assert states.had_event.tolist() == [False, True, False, True, False]


def test_the_weights_stand_for_all_rows_and_give_the_curve_of_kaplan_and_meier():
    states = known_states(open_rows(FIVE), horizon=3)
    assert states.weight.sum() == pytest.approx(len(FIVE))
    share = states.weight[states.had_event].sum() / len(FIVE)
    assert share == pytest.approx(1 - kaplan_meier(FIVE, times=[3])["estimate"].item())


def test_a_frequency_counts_as_repeated_rows():
    often = FIVE.assign(n=[2, 1, 3, 2, 2])
    repeated = often.loc[often.index.repeat(often["n"])]
    compressed = known_states(open_rows(often, freq="n"), horizon=3)
    expanded = known_states(open_rows(repeated), horizon=3)
    assert np.repeat(compressed.weight, often["n"]).tolist() == pytest.approx(
        expanded.weight.tolist()
    )


def test_a_horizon_on_which_nobody_is_known_is_refused_with_the_last_that_is():
    with pytest.raises(DataError, match="day 4 is known; ask for a horizon of at most 3"):
        known_states(open_rows(FIVE), horizon=4)


def test_a_horizon_before_any_event_is_refused():
    with pytest.raises(DataError, match="does not occur by day 1; ask for a later horizon"):
        known_states(open_rows(FIVE), horizon=1)
