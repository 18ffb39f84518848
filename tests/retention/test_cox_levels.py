"""How many patients stand behind each hazard ratio."""

import numpy as np
import pandas as pd

from loyalty_research.retention.cox import fit_cox
from loyalty_research.retention.cox_levels import count_levels

# 12 patients: plan a (the reference) has 5, b 4 and c 3, of whom 3, 2 and 2 lapse.
PATIENTS = pd.DataFrame(
    {
        "time": [1, 3, 5, 7, 9, 2, 4, 6, 8, 3, 6, 9],
        "event": [1, 1, 0, 1, 0, 1, 0, 1, 0, 1, 1, 0],
        "plan": list("aaaaabbbbccc"),
        "age": [61, 40, 55, 70, 32, 45, 66, 51, 38, 59, 47, 63],
        "smokes": [1, 0, 0, 1, 0, 0, 1, 0, 0, 0, 1, 1],
    }
)


def counts_of(data, **settings):
    table = count_levels(fit_cox(data, covariates=["plan", "age", "smokes"], **settings))
    return table.set_index("term")[["n_level", "n_level_events"]].T.to_dict("list")


def test_a_level_counts_itself_or_its_reference_whichever_is_smaller():
    assert counts_of(PATIENTS) == {
        "plan[b]": [4, 2],
        "plan[c]": [3, 2],
        "age": [12, 7],
        "smokes": [5, 3],
    }


def test_a_small_reference_is_behind_every_ratio_against_it():
    few = PATIENTS.assign(plan=pd.Categorical(PATIENTS["plan"], categories=["c", "a", "b"]))
    assert counts_of(few)["plan[a]"] == [3, 2]


def test_a_row_counts_as_often_as_its_frequency():
    often = counts_of(PATIENTS.assign(n=np.repeat([2, 1], 6)), freq="n")
    assert often["age"] == [18, 11]
