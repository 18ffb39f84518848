from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from loyalty_research.errors import DataError, UsageError
from loyalty_research.retention.design_matrix import (
    apply_design,
    build_design,
    needed_columns,
    refuse_runaway,
    refuse_unidentified,
)

TABLE = pd.DataFrame(
    {
        "age": [60, 71, 55, 48, 66, 59],
        "sex": ["male", "female", "male", "female", "female", "male"],
        "plan": ["b", "a", "c", "a", "b", "c"],
        "blood pressure": [120.0, 135.0, 128.0, 141.0, 119.0, 150.0],
        "member": [True, False, False, True, True, False],
        "年龄": [1, 2, 3, 5, 8, 13],
    }
)


# --- which columns --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("covariates", "expected"),
    [
        (["plan", "age"], ["plan", "age"]),
        ("age", ["age"]),
        ("age + C(sex) + age:plan", ["age", "plan", "sex"]),
        ("bs(age, df=4)", ["age"]),
        ("poly(age, 2) + center(`blood pressure`)", ["age", "blood pressure"]),
        ("np.log(age) + {age / 2} + `blood pressure`", ["age", "blood pressure"]),
        ("C(plan, contr.treatment(base='b')) * member", ["member", "plan"]),
        ("年龄 + log(年龄)", ["年龄"]),
    ],
)
def test_covariates_need_the_columns_they_name(covariates, expected):
    assert needed_columns(covariates) == expected


@pytest.mark.parametrize("covariates", [[], "", "1", "0"])
def test_no_covariates_are_refused(covariates):
    with pytest.raises(UsageError, match="covariates is empty; name at least one column"):
        needed_columns(covariates)


def test_a_column_named_twice_is_refused():
    with pytest.raises(UsageError, match="covariates names a column twice; name each once"):
        needed_columns(["age", "age"])


@pytest.mark.parametrize("formula", ["age ~ sex", "Surv(time, event) ~ age", "~ age"])
def test_what_stands_before_a_tilde_is_refused(formula):
    with pytest.raises(UsageError, match="the right side of a formula; leave out what stands"):
        needed_columns(formula)


@pytest.mark.parametrize("formula", ["age +* sex", "age + (sex", "bs(age, df=", "blood pressure"])
def test_what_is_no_formula_is_refused(formula):
    with pytest.raises(UsageError, match=r"is not a formula \(FormulaSyntaxError\); write for"):
        needed_columns(formula)


def test_a_formula_of_several_parts_is_refused():
    with pytest.raises(UsageError, match="has several parts; join them with"):
        needed_columns("age | sex")


# --- coding ---------------------------------------------------------------------------------------


def test_a_text_has_one_column_for_each_level_but_the_first():
    design, numbers = build_design(TABLE, ["plan", "age", "member"])
    assert design.terms == ["plan[b]", "plan[c]", "age", "member"]
    assert design.levels == {"plan": ["a", "b", "c"]}
    assert design.parts == {"plan": [0, 1], "age": [2], "member": [3]}
    assert numbers[:3].tolist() == [[1, 0, 60, 1], [0, 0, 71, 0], [0, 1, 55, 0]]


def test_a_category_keeps_its_order_and_loses_levels_nobody_has():
    plan = pd.Categorical(TABLE["plan"], ["c", "z", "b", "a"])
    for covariates in (["plan"], "plan"):
        design, numbers = build_design(TABLE.assign(plan=plan), covariates)
        assert design.terms == ["plan[b]", "plan[a]"]
        assert design.levels == {"plan": ["c", "b", "a"]}
        assert numbers[:3].tolist() == [[1, 0], [0, 1], [0, 0]]


@pytest.mark.parametrize("formula", ["plan + age", "plan + age - 1", "0 + plan + age"])
def test_a_formula_codes_text_as_columns_do_with_or_without_an_intercept(formula):
    design, numbers = build_design(TABLE, formula)
    assert design.terms == ["plan[b]", "plan[c]", "age"]
    np.testing.assert_array_equal(numbers, build_design(TABLE, ["plan", "age"])[1])
    assert design.parts == {"plan": [0, 1], "age": [2]}


def test_a_formula_makes_products_and_functions():
    _, numbers = build_design(TABLE, "log(`blood pressure`) + I(age ** 2) + age:年龄")
    expected = [np.log(TABLE["blood pressure"]), TABLE["age"] ** 2, TABLE["age"] * TABLE["年龄"]]
    np.testing.assert_allclose(numbers, np.column_stack(expected))


@pytest.mark.parametrize("dtype", ["int8", "int16", "uint8", "int32"])
def test_a_square_does_not_overflow_a_narrow_column(dtype):
    table = pd.DataFrame({"age": np.array([12, 60, 90, 41], dtype)})
    design, numbers = build_design(table, "age + I(age**2) + I(age**6)")
    assert numbers[:, 1].tolist() == [144, 3600, 8100, 1681]
    assert numbers[:, 2].tolist() == [12**6, 60**6, 90**6, 41**6]
    assert apply_design(design, table).tolist() == numbers.tolist()


def test_texts_and_numbers_of_another_type_are_coded_alike():
    arrow = TABLE.assign(sex=TABLE["sex"].astype("string"), age=TABLE["age"].astype("Int64"))
    one, other = (build_design(table, ["sex", "age"]) for table in (TABLE, arrow))
    assert one[0].terms == other[0].terms
    np.testing.assert_array_equal(one[1], other[1])


# --- other rows -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "covariates",
    [["plan", "age"], "plan + age", "C(年龄)", "bs(`blood pressure`, df=3) + sex", "poly(age, 2)"],
)
def test_rows_are_coded_alike_alone_and_among_others(covariates):
    design, numbers = build_design(TABLE, covariates)
    np.testing.assert_allclose(apply_design(design, TABLE), numbers)
    for row in range(len(TABLE)):
        alone = apply_design(design, TABLE.iloc[[row]])
        np.testing.assert_allclose(alone, numbers[[row]])


def test_other_rows_may_come_in_any_frame(engine):
    design, numbers = build_design(TABLE, ["plan", "age"])
    table = TABLE[["plan", "age"]]
    np.testing.assert_array_equal(apply_design(design, engine.make(table, shuffle=False)), numbers)


def test_other_rows_that_the_coding_does_not_know_are_refused():
    design, _ = build_design(TABLE, ["plan", "age"])
    with pytest.raises(DataError, match="column age is missing"):
        apply_design(design, TABLE[["plan"]])
    odd = pd.DataFrame({"plan": ["a", "z", "y"], "age": [60, np.nan, 50]})
    with pytest.raises(DataError) as refusal:
        apply_design(design, odd)
    assert "plan has a level the model does not know in 2 of 3 rows" in str(refusal.value)
    assert "age is missing in 1 of 3 rows" in str(refusal.value)
    with pytest.raises(DataError, match="age is object, not a number; convert it first"):
        apply_design(design, pd.DataFrame({"plan": ["a"], "age": ["sixty"]}))
    with pytest.raises(DataError, match="age is missing or infinite in 1 of 1 rows"):
        apply_design(design, pd.DataFrame({"plan": ["a"], "age": [np.inf]}))


def test_a_number_taken_as_levels_knows_only_its_levels():
    design, _ = build_design(TABLE, "C(年龄)")
    with pytest.raises(DataError, match=r"C\(年龄\) has a level the model does not know"):
        apply_design(design, pd.DataFrame({"年龄": [1, 4]}))


def test_a_spline_goes_no_further_than_its_rows():
    design, _ = build_design(TABLE, "bs(`blood pressure`, df=3)")
    with pytest.raises(UsageError, match=r"cannot be computed .* new rows lie within a spline's"):
        apply_design(design, pd.DataFrame({"blood pressure": [500.0]}))


# --- refusals -------------------------------------------------------------------------------------


def test_every_unusable_covariate_is_refused_at_once():
    odd = TABLE.assign(
        same=3, word="yes", far=[1, 2, np.inf, 3, 4, -np.inf], tiny=TABLE["age"] * 1e-200
    )
    with pytest.raises(DataError) as refusal:
        build_design(odd, ["age", "same", "word", "far", "tiny"])
    words = str(refusal.value)
    assert "same is the same in every row; leave it out" in words
    assert "word is the same in every row; leave it out" in words
    assert "far is missing or infinite in 2 of 6 rows; drop or impute these rows" in words
    assert "tiny is too large or too small to be squared; choose another unit" in words
    assert len(refusal.value.faults) == 4


def test_a_text_of_one_level_is_refused_in_a_formula_too():
    with pytest.raises(DataError, match="word is the same in every row"):
        build_design(TABLE.assign(word="yes"), "age + word")


@pytest.mark.parametrize("covariates", [["seen"], "seen"])
def test_a_date_is_no_covariate(covariates):
    with pytest.raises(DataError, match=r"seen is datetime64\[.*; give a number or a text"):
        build_design(TABLE.assign(seen=pd.Timestamp("2024-01-01")), covariates)


def test_a_function_without_a_value_is_refused_by_its_name():
    with pytest.raises(DataError, match=r"log\(low\) is missing or infinite in 2 of 6 rows"):
        build_design(TABLE.assign(low=[0, -1, 1, 2, 3, 4]), "log(low)")


def test_a_function_that_cannot_be_computed_is_refused():
    with pytest.raises(UsageError, match=r"cannot be computed \(FactorEvaluationError\)"):
        build_design(TABLE, "bs(age, df=1)")


@pytest.mark.parametrize(
    ("table", "covariates"),
    [
        (TABLE.assign(days=TABLE["age"] * 365.25), ["age", "days"]),
        (TABLE.assign(days=TABLE["age"] * 365.25), "age + days"),
        (TABLE.assign(a=TABLE["plan"] == "a", days=TABLE["plan"] == "b"), ["plan", "a"]),
        (TABLE.assign(days=TABLE["age"] * 1e-9 + 4 * TABLE["member"]), ["age", "member", "days"]),
    ],
)
def test_a_covariate_that_others_determine_is_refused(table, covariates):
    with pytest.raises(DataError, match=r"(days|a) is determined by the covariates before it"):
        build_design(table, covariates)


def test_nearly_the_same_is_not_the_same():
    rng = np.random.default_rng(1)
    x = rng.normal(size=500) + 2020
    design, _ = build_design(pd.DataFrame({"x": x, "y": x + rng.normal(size=500) * 1e-3}), "x + y")
    assert design.terms == ["x", "y"]


def test_terms_that_separate_are_named():
    with pytest.raises(DataError, match="sex separates those with the event from those without"):
        refuse_runaway(["age", "sex"], np.array([False, True]))
    refuse_runaway(["age", "sex"], np.array([False, False]))


def test_terms_about_which_those_at_risk_say_nothing_are_named():
    with pytest.raises(DataError) as refusal:
        refuse_unidentified(
            ["size", "age", "old"], np.array([[0, 0, 0], [0, 0.5, 0.5], [0, 0.5, 0.5]])
        )
    assert [fault.column for fault in refusal.value.faults] == ["size", "old"]
    refuse_unidentified(["age"], np.array([[0.5]]))


@pytest.mark.parametrize("covariates", [["patient"], "C(patient)"])
def test_an_identifier_is_no_covariate_and_is_not_quoted(covariates):
    table = pd.DataFrame({"patient": [f"SECRET{i}" for i in range(60)]})
    with pytest.raises(
        DataError, match="patient has 60 levels in 60 rows; leave it out"
    ) as refused:
        build_design(table, covariates)
    assert "SECRET" not in str(refused.value)
