"""A value is read by the type the contract declares, whatever the source calls it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from loyalty_research.data.study import Study
from loyalty_research.errors import DataError

Opened = Callable[..., Study]


def column(study: Study, table: str, name: str) -> list[Any]:
    key = "visit_id" if table == "visits" else study.table(table).columns[0]
    return [value for (value,) in study.table(table).order(key).select(name).fetchall()]


def dated(visits: pd.DataFrame, values: Any) -> pd.DataFrame:
    return visits.assign(visit_date=values)


DAYS = [date(2024, 1, 5), date(2024, 3, 5), date(2024, 2, 6), date(2024, 12, 31)]


@pytest.mark.parametrize(
    ("values", "date_format"),
    [
        (DAYS, "%Y-%m-%d"),
        (pd.to_datetime(pd.Series(DAYS)), "%Y-%m-%d"),
        ([20240105, 20240305, 20240206, 20241231], "%Y%m%d"),
        ([20240105.0, 20240305.0, 20240206.0, 20241231.0], "%Y%m%d"),
        (["2024/1/5", "2024/3/05", " 2024/02/06 ", "2024/12/31"], "%Y/%m/%d"),
        (["2024年1月5日", "2024年3月5日", "2024年2月6日", "2024年12月31日"], "%Y年%m月%d日"),
        (["05.01.2024", "05.03.2024", "06.02.2024", "31.12.2024"], "%d.%m.%Y"),
        (["2024-01-05", "5/3/2024", "2024-02-06", "31/12/2024"], ["%Y-%m-%d", "%d/%m/%Y"]),
        ([f"{day} 23:59:59" for day in DAYS], "%Y-%m-%d %H:%M:%S"),
    ],
    ids=["date", "time", "integer", "float", "slash", "chinese", "point", "two-formats", "cut"],
)
def test_a_day_is_the_same_day_however_it_is_written(
    opened: Opened, visits: pd.DataFrame, values: Any, date_format: Any
) -> None:
    study = opened({"date_format": date_format}, visits=dated(visits, values))
    assert column(study, "visits", "visit_date") == DAYS


def test_a_time_with_a_zone_is_dated_on_the_clock_of_the_study(
    opened: Opened, visits: pd.DataFrame
) -> None:
    # 20:00 in Greenwich is 04:00 of the next day in Shanghai.
    evening = pd.to_datetime(["2024-01-05 20:00", "2024-01-05 15:59"] * 2).tz_localize("UTC")
    shanghai = opened({"time_zone": "Asia/Shanghai"}, visits=dated(visits, evening))
    assert column(shanghai, "visits", "visit_date") == [date(2024, 1, 6), date(2024, 1, 5)] * 2
    greenwich = opened({"time_zone": "UTC"}, visits=dated(visits, evening))
    assert column(greenwich, "visits", "visit_date") == [date(2024, 1, 5)] * 4


def test_a_zone_written_in_text_counts_as_well(opened: Opened, visits: pd.DataFrame) -> None:
    texts = ["2024-01-05T20:00:00Z", "2024-01-05T20:00:00+00:00", "2024-01-06T04:00:00+08:00", None]
    texts[3] = "2024-01-05"
    settings = {"time_zone": "Asia/Shanghai", "date_format": ["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%d"]}
    study = opened(settings, visits=dated(visits, texts))
    assert column(study, "visits", "visit_date") == [date(2024, 1, 6)] * 3 + [date(2024, 1, 5)]


def test_a_format_may_be_stated_for_one_column(opened: Opened, patients: pd.DataFrame) -> None:
    source = patients.assign(death_date=["05.01.2024", None, ""])
    study = opened(
        {"tables": {"patients": {"formats": {"death_date": "%d.%m.%Y"}}}}, patients=source
    )
    assert column(study, "patients", "death_date") == [date(2024, 1, 5), None, None]


def test_timestamps_are_times_on_the_clock_of_the_study(opened: Opened) -> None:
    complaints = pd.DataFrame(
        {
            "complaint_id": [1, 2],
            "patient_id": "0012",
            "opened_at": ["2024-01-05 08:30:00", "2024-01-05T09:00:00"],
            "resolved_at": pd.to_datetime(["2024-01-06 00:00", None]).tz_localize("UTC"),
        }
    )
    study = opened({"time_zone": "Asia/Shanghai"}, complaints=complaints)
    assert column(study, "complaints", "opened_at") == [
        datetime(2024, 1, 5, 8, 30),
        datetime(2024, 1, 5, 9),
    ]
    assert column(study, "complaints", "resolved_at") == [datetime(2024, 1, 6, 8), None]


def test_truth_is_written_in_several_ways(opened: Opened, visits: pd.DataFrame) -> None:
    for planned in (["true", "NO", "1", ""], ["T", "f", " yes ", None], [1.0, 0.0, 1.0, np.nan]):
        study = opened(visits=visits.assign(planned=planned))
        assert column(study, "visits", "planned") == [True, False, True, None]


def test_a_word_that_is_neither_true_nor_false_is_a_fault(
    opened: Opened, visits: pd.DataFrame
) -> None:
    with pytest.raises(DataError, match="planned is not true or false in 4 of 4 rows"):
        opened(visits=visits.assign(planned="perhaps"))


def test_codes_are_translated_and_an_empty_translation_is_missing(
    opened: Opened, patients: pd.DataFrame
) -> None:
    codes = {"tables": {"patients": {"codes": {"sex": {"1": "male", "2": "female", "9": ""}}}}}
    for source in ([1, 2, 9], [1.0, 2.0, 9.0], ["1", " 2", "9"], pd.Categorical(["1", "2", "9"])):
        study = opened(codes, patients=patients.assign(sex=source))
        assert column(study, "patients", "sex") == ["male", "female", None]


def test_a_code_that_is_not_translated_is_held_against_the_choices(
    opened: Opened, patients: pd.DataFrame
) -> None:
    codes = {"tables": {"patients": {"codes": {"sex": {"男": "male"}}}}}
    with pytest.raises(DataError, match="sex is none of female, male, other, unknown in 1 of 3"):
        opened(codes, patients=patients.assign(sex=["男", "女", "FEMALE"]))


def test_whole_number_identifiers_stay_numbers_when_all_tables_have_them(
    opened: Opened, patients: pd.DataFrame, visits: pd.DataFrame
) -> None:
    numbered = visits.assign(patient_id=[1, 1, 2, 3])
    study = opened(patients=patients.assign(patient_id=[1, 2, 3]), visits=numbered)
    types = {str(frame.select("patient_id").types[0]) for frame in (study.patients, study.visits)}
    assert types == {"BIGINT"}


@pytest.mark.parametrize("ids", [["1", "1", "2", "3"], [1.0, 1.0, 2.0, 3.0]], ids=["text", "float"])
def test_identifiers_meet_when_one_table_has_them_as_text(
    opened: Opened, patients: pd.DataFrame, visits: pd.DataFrame, ids: list[Any]
) -> None:
    study = opened(
        patients=patients.assign(patient_id=[1, 2, 3]), visits=visits.assign(patient_id=ids)
    )
    assert column(study, "visits", "patient_id") == ["1", "1", "2", "3"]
    assert str(study.patients.select("patient_id").types[0]) == "VARCHAR"


def test_identifiers_too_large_for_a_whole_number_are_kept_as_text(
    opened: Opened, visits: pd.DataFrame
) -> None:
    large = np.array([2**64 - 1, 2**64 - 2, 2**64 - 3, 2**64 - 4], dtype="uint64")
    study = opened(visits=visits.assign(visit_id=large))
    assert column(study, "visits", "visit_id")[-1] == "18446744073709551615"


def test_the_types_of_further_columns_can_be_stated(opened: Opened, patients: pd.DataFrame) -> None:
    extra = {"income": "number", "since": "date", "children": "integer", "member": "boolean"}
    source = patients.assign(
        income=["1.5", "", "2"], since="2020-01-01", children=["0", "2", None], member="yes"
    )
    study = opened({"tables": {"patients": {"extra": extra}}}, patients=source)
    assert column(study, "patients", "income") == [1.5, None, 2.0]
    assert column(study, "patients", "since") == [date(2020, 1, 1)] * 3
    assert column(study, "patients", "children") == [0, 2, None]
    assert column(study, "patients", "member") == [True] * 3


def test_a_further_column_that_breaks_its_stated_type_is_a_fault(
    opened: Opened, patients: pd.DataFrame
) -> None:
    with pytest.raises(DataError, match="income is not a number in 1 of 3 rows"):
        opened(
            {"tables": {"patients": {"extra": {"income": "number"}}}},
            patients=patients.assign(income=["1.5", "much", "2"]),
        )


def test_a_column_without_any_value_has_every_type(opened: Opened, visits: pd.DataFrame) -> None:
    empty = pa.Table.from_pandas(visits[["visit_id", "patient_id", "visit_date"]])
    for name in ("fee", "planned", "visit_type", "facility_id"):
        empty = empty.append_column(name, pa.nulls(4))
    study = opened(visits=empty)
    assert column(study, "visits", "fee") == [None] * 4
    assert [str(kind) for kind in study.visits.select("fee", "planned").types] == [
        "DOUBLE",
        "BOOLEAN",
    ]


def test_not_a_number_in_a_column_of_floats_is_missing(
    opened: Opened, visits: pd.DataFrame
) -> None:
    floats = pa.Table.from_pandas(visits.drop(columns="fee"), preserve_index=False)
    floats = floats.append_column("fee", pa.array([1.0, float("nan"), 2.0, None]))
    assert column(opened(visits=floats), "visits", "fee") == [1.0, None, 2.0, None]
