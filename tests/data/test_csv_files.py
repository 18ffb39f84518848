"""CSV files are read in their own encoding, and no line of them is lost in silence."""

from __future__ import annotations

import gzip
import stat
from pathlib import Path

import pandas as pd
import pytest

from loyalty_research.data.study import open_study
from loyalty_research.errors import DataError

HEADER = "visit_id,patient_id,visit_date,department\n"


def lines(n: int, department: str = "内科门诊部") -> list[str]:
    return [f"v{i},0012,2024-01-05,{department}\n" for i in range(1, n + 1)]


def write_visits(folder: Path, content: list[str], encoding: str = "utf-8") -> None:
    (folder / "visits.csv").write_bytes("".join([HEADER, *content]).encode(encoding))


def refusal(folder: Path, **visits: str) -> str:
    with pytest.raises(DataError) as caught:
        open_study(folder, mapping={"tables": {"visits": visits}})
    assert caught.value.exit_status == 3
    assert caught.value.__cause__ is None
    return str(caught.value)


def test_an_identifier_keeps_its_leading_zeros(folder: Path) -> None:
    study = open_study(folder)
    assert ("0012",) in study.patients.select("patient_id").fetchall()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "gbk"])
def test_chinese_text_is_the_same_in_every_encoding(folder: Path, encoding: str) -> None:
    write_visits(folder, lines(3), encoding)
    with open_study(folder, mapping={"tables": {"visits": {"encoding": encoding}}}) as study:
        assert study.visits.columns == ["visit_id", "patient_id", "visit_date", "department"]
        assert study.visits.select("department").distinct().fetchall() == [("内科门诊部",)]


def test_a_byte_order_mark_does_no_harm_where_it_was_not_stated(folder: Path) -> None:
    write_visits(folder, lines(3), "utf-8-sig")
    assert open_study(folder).visits.count("*").fetchall() == [(3,)]


def test_a_compressed_file_is_read_like_any_other(folder: Path) -> None:
    (folder / "visits.csv").unlink()
    content = "".join([HEADER, *lines(3)]).encode("gb18030")
    (folder / "visits.csv.gz").write_bytes(gzip.compress(content))
    for visits in ({"file": "visits.csv.gz", "encoding": "gb18030"},):
        study = open_study(folder, mapping={"tables": {"visits": visits}})
        assert study.visits.select("department").distinct().fetchall() == [("内科门诊部",)]


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_quoted_field_may_hold_delimiters_quotes_and_line_ends(folder: Path, ending: str) -> None:
    content = [f'v1,0012,2024-01-05,"a, ""b""{ending}c"{ending}', f"v2,0013,2024-01-05,{ending}"]
    text = "".join([HEADER.replace("\n", ending), *content])
    (folder / "visits.csv").write_bytes(text.encode())
    found = open_study(folder).visits.order("visit_id").select("department").fetchall()
    assert found == [(f'a, "b"{ending}c',), (None,)]


@pytest.mark.parametrize("delimiter", ["\t", ";", "|"])
def test_fields_are_parted_as_the_settings_say(folder: Path, delimiter: str) -> None:
    text = "".join([HEADER, *lines(3)]).replace(",", delimiter)
    (folder / "visits.csv").write_text(text, encoding="utf-8")
    study = open_study(folder, mapping={"tables": {"visits": {"delimiter": delimiter}}})
    assert study.visits.count("*").fetchall() == [(3,)]


@pytest.mark.parametrize(
    "broken",
    ["v100,0012\n", "v100,0012,2024-01-05,surgery,secret\n", 'v100,0012,2024-01-05,"secret"x\n'],
    ids=["too-few-columns", "too-many-columns", "stray-quote"],
)
def test_a_broken_line_is_named_by_file_count_and_number(folder: Path, broken: str) -> None:
    content = lines(200)
    content[99] = broken
    content[149] = broken
    write_visits(folder, content)
    message = refusal(folder)
    # The header is line 1, so the hundredth row stands in line 101.
    assert '"visits.csv" has 2 broken lines' in message
    assert "first at line 101; mend it in the source; no line is skipped" in message
    assert "secret" not in message


def test_an_unclosed_quote_is_found_where_it_opens(folder: Path) -> None:
    content = lines(5_000)
    content[2_499] = 'v2500,0012,2024-01-05,"secret\n'
    write_visits(folder, content)
    message = refusal(folder)
    assert "first at line 2,501" in message
    assert "secret" not in message


def test_one_broken_line_in_a_large_file_is_found(folder: Path) -> None:
    content = lines(600_000, "x" * 45)
    content[412_344] = "v412345,0012\n"
    write_visits(folder, content)
    assert (folder / "visits.csv").stat().st_size > 40_000_000
    assert '"visits.csv" has 1 broken line,' in (message := refusal(folder))
    assert "first at line 412,346;" in message


def test_broken_lines_of_the_patients_do_not_make_their_visits_unknown(folder: Path) -> None:
    path = folder / "patients.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("0013,male,", "0013,"), "utf-8")
    message = refusal(folder)
    assert "1 fault in the data" in message
    assert 'patients: "patients.csv" has 1 broken line' in message


def test_a_file_in_two_encodings_is_one_fault(folder: Path) -> None:
    content = "".join([HEADER, *lines(100)]).encode().splitlines(keepends=True)
    for number in (50, 60, 70):
        content[number] = content[number].decode().encode("gb18030")
    (folder / "visits.csv").write_bytes(b"".join(content))
    message = refusal(folder)
    assert message.startswith("1 fault in the data")
    assert (
        '"visits.csv" is not utf-8 throughout: 3 lines are in another encoding, first at line 51; '
        "state the encoding in study.toml, or save the file in one encoding (UTF-8)" in message
    )


@pytest.mark.parametrize("department", ["内科门诊部", "内科"])
def test_utf8_lines_in_a_gb18030_file_are_one_fault(folder: Path, department: str) -> None:
    content = "".join([HEADER, *lines(100, department)]).encode("gb18030").splitlines(keepends=True)
    for number in (50, 60, 70):
        # 内科门 is nine bytes in UTF-8, an odd number: no sequence of two-byte characters.
        content[number] = content[number].decode("gb18030").replace("内科", "内科门").encode()
    (folder / "visits.csv").write_bytes(b"".join(content))
    message = refusal(folder, encoding="gb18030")
    assert message.startswith("1 fault in the data")
    assert '"visits.csv" is not gb18030 throughout: 3 lines are in another' in message
    assert "first at line 51" in message


def test_four_chinese_characters_in_utf8_are_noticed_though_gb18030_could_read_them(
    folder: Path,
) -> None:
    content = "".join([HEADER, *lines(100)]).encode("gb18030").splitlines(keepends=True)
    foreign = "v50,0012,2024-01-05,内科门诊\n".encode()
    assert foreign.decode("gb18030")
    content[50] = foreign
    (folder / "visits.csv").write_bytes(b"".join(content))
    assert "a line is in another encoding, first at line 51" in refusal(folder, encoding="gb18030")


def test_an_extra_column_is_held_to_the_encoding_as_well(folder: Path) -> None:
    text = b"visit_id,patient_id,visit_date,note\nv1,0012,2024-01-05,"
    (folder / "visits.csv").write_bytes(text + "内科\n".encode("gb18030"))
    assert "is not utf-8 throughout: a line is in another encoding, first at line 2" in refusal(
        folder
    )


def test_a_header_in_another_encoding_is_a_fault(folder: Path) -> None:
    (folder / "visits.csv").write_bytes("就诊编号,病人编号\n".encode("gb18030"))
    assert '"visits.csv" is not utf-8 throughout: a line is in another' in refusal(folder)


def test_a_file_without_a_header_line_is_a_fault(folder: Path) -> None:
    (folder / "visits.csv").write_bytes(b"")
    assert 'visits: "visits.csv" has no header line' in refusal(folder)


def test_a_header_alone_is_an_empty_table(folder: Path) -> None:
    write_visits(folder, [])
    assert "visits: the table has no rows" in refusal(folder)


def test_a_name_that_stands_twice_in_the_header_is_a_fault(folder: Path) -> None:
    path = folder / "visits.csv"
    path.write_text("visit_id,patient_id,visit_date,Fee,fee\nv1,0012,2024-01-05,1,2\n", "utf-8")
    assert '1 column names appear twice in the header of "visits.csv"' in refusal(folder)


def test_a_column_without_a_name_is_called_by_its_number(
    folder: Path, patients: pd.DataFrame
) -> None:
    patients.to_csv(folder / "patients.csv", index=True)
    assert open_study(folder).patients.columns[-1] == "column_1"


@pytest.mark.parametrize("length", [5, 40, 100])
def test_a_compressed_file_that_breaks_off_is_a_fault(folder: Path, length: int) -> None:
    whole = gzip.compress("".join([HEADER, *lines(3_000)]).encode())
    (folder / "visits.csv.gz").write_bytes(whole[:length])
    message = refusal(folder, file="visits.csv.gz")
    assert "cannot be read" in message
    assert "0012" not in message


def test_copies_in_utf8_are_private_and_go_with_the_study(folder: Path) -> None:
    write_visits(folder, lines(3), "gb18030")
    study = open_study(folder, mapping={"tables": {"visits": {"encoding": "gb18030"}}})
    scratch = study._scratch
    (copy,) = scratch.glob("*.csv")
    assert stat.S_IMODE(scratch.stat().st_mode) == 0o700
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    study.close()
    assert not scratch.exists()
