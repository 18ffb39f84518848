"""Sentences of plans say what the tables say."""

import pandas as pd
import pytest

from loyalty_research.display.sentences_plans import roll_out_sentence, sample_size_sentence
from loyalty_research.effects import compare_roll_outs, sample_size
from loyalty_research.effects.plan_tables import detectable_by_size, power_by_clinics, stack_plans
from loyalty_research.errors import UsageError

WEDGE = {"n_periods": 5, "effect": 0.3, "sd": 1, "icc": 0.05, "cac": 0.8, "cell_size": 20}


def test_each_design_names_its_patients_and_clinics():
    sizes = stack_plans({
        "Patients by lot": sample_size(control=0.3, treated=0.4),
        "Clinics by lot": sample_size(control=0.3, treated=0.4, cluster_size=21, icc=0.05),
    })  # fmt: skip
    clinics = int(sizes["n_clusters_t"].iloc[-1])
    assert sample_size_sentence(sizes, power=0.8, gain=0.1) == (
        "To show a gain of 10.0 points with a power of 80 %: patients by lot 356 patients an arm; "
        f"clinics by lot {clinics} clinics an arm."
    )


def test_the_best_roll_out_is_named_and_judged():
    table = compare_roll_outs(n_clinics=12, **WEDGE)
    best = table.loc[table["estimate"].idxmax()]
    words = roll_out_sentence(table, power=0.5)
    told = f"the {best['design']} design has the most power, {100 * best['estimate']:.0f} %"
    assert told in words
    assert words.endswith("or more.")
    assert "it would take" in roll_out_sentence(table, power=0.999)


def test_more_patients_show_less_and_more_clinics_more():
    reach = detectable_by_size(control=0.5, sizes=[100, 400, 1600])
    assert reach["detectable"].is_monotonic_decreasing
    assert reach["detectable"].iloc[0] / reach["detectable"].iloc[2] == pytest.approx(4, abs=0.25)
    growth = power_by_clinics(n_clinics=[8, 16, 24], designs=["stepped wedge"], **WEDGE)
    assert growth["estimate"].is_monotonic_increasing


def test_no_plan_is_refused():
    with pytest.raises(UsageError, match="plans is empty"):
        stack_plans({})
    with pytest.raises(UsageError, match="the plan lacks the columns"):
        roll_out_sentence(pd.DataFrame({"design": ["a"]}), power=0.8)
