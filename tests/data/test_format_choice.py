"""Which format a row is read by, and what is said where none fits."""

import json

import pytest

from mygo.data.formats import FORMATS, detect_format, read_row
from mygo.data.records import Rejected, RowError, Sample
from tests.data.test_formats import assistant, user
from tests.data.test_sources import GOOD, passed_over, read, write_lines


def test_the_richer_format_wins():
    assert detect_format({"prompt": "p", "completion": "c", "text": "t", "messages": [user("Hi")]}) == "messages"


def test_columns_that_hold_something_decide_before_those_that_are_only_there():
    assert detect_format({"messages": None, "prompt": "p", "completion": "c"}) == "prompt_completion"
    assert detect_format({"messages": None}) == "messages"
    assert detect_format({"messages": [], "text": "t"}) == "text"
    assert detect_format({"conversations": [{"from": None, "value": None}], "text": "t"}) == "text"
    assert detect_format({"instruction": "i", "output": "", "text": "### i"}) == "alpaca"  # blank, and bad for that
    assert detect_format({"messages": []}) == "messages"


def test_a_row_of_no_format_names_its_columns():
    with pytest.raises(RowError, match=r"its columns \(question, answer\) fit none of the formats messages, sharegpt"):
        detect_format({"question": "q", "answer": "a"})


def test_the_names_of_columns_are_escaped_and_few():
    with pytest.raises(RowError) as error:
        detect_format({f"\x1b[31mcolumn\n{number}": number for number in range(20_000)})
    assert str(error.value).startswith(r"its columns (\x1b[31mcolumn\n0, ")
    assert "and 19,992 more) fit none" in str(error.value)
    assert len(str(error.value)) < 400


def test_a_row_with_nothing_of_its_files_format_is_read_by_its_own():
    assert read_row({"text": "a"}, "messages") == [assistant("a")]
    assert read_row({"messages": None, "text": "a"}, "messages") == [assistant("a")]
    assert read_row({"messages": [], "text": "a"}, "messages") == [assistant("a")]
    with pytest.raises(RowError, match="output is missing"):  # its text would be the whole prompt without an answer
        read_row({"instruction": "i", "output": None, "text": "### i"}, "alpaca")


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_row_of_no_format_says_so_in_a_file_of_any(file_format):
    with pytest.raises(RowError, match=r"^its columns \(question, answer\) fit none of the formats messages, sharegpt"):
        read_row({"question": "q", "answer": "a"}, file_format)


def test_a_row_that_lacks_only_a_value_says_which():
    with pytest.raises(RowError, match=r"^messages is missing$"):
        read_row({"messages": None, "question": None}, "messages")
    with pytest.raises(RowError, match=r"^output is missing$"):
        read_row({"instruction": "i", "question": "q"}, "alpaca")


def test_a_list_of_other_things_wraps_no_rows():
    with pytest.raises(RowError, match=r"^its columns \(question, options\) fit none"):
        detect_format({"question": "q", "options": [{"letter": "A"}]})


WRAPPED = "it is one object that holds a list under 'data'; takes the list itself"


@pytest.mark.parametrize("indent", [None, 0, 2])
def test_rows_that_one_object_wraps_are_named_as_such(tmp_path, indent):
    (tmp_path / "a.json").write_text(json.dumps({"version": 1, "data": [GOOD, GOOD]}, indent=indent))
    write_lines(tmp_path / "b.jsonl", GOOD)
    rows = read(tmp_path)
    assert rows[0] == Rejected("a", 0, "a.json", 1, WRAPPED)
    assert passed_over(rows) == {"a.json": f"none of its rows can be read; the first is line 1: {WRAPPED}"}
    assert [row.source_dataset for row in rows if isinstance(row, Sample)] == ["b"]
