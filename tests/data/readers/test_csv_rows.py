"""CSV and TSV with a header line."""

import io

import pytest

from mygo.data.readers import FileUnreadable, read_rows
from mygo.data.readers.csv_rows import read_csv
from mygo.data.records import Row


def rows_of(content, delimiter=","):
    stream = io.BufferedReader(io.BytesIO(content))  # pyright: ignore[reportArgumentType]
    return list(read_csv(stream, delimiter))


def test_rows_are_objects_of_text_and_empty_cells_are_none(tmp_path):
    content = b'\xef\xbb\xbf\ntext,label\r\n"a, ""b""\nc",1.0\r\n\r\nNone,\r\n"",NA\r\n'
    expected = [
        Row(3, {"text": 'a, "b"\nc', "label": "1.0"}),
        Row(6, {"text": "None", "label": None}),
        Row(7, {"text": None, "label": "NA"}),
    ]
    assert rows_of(content.replace(b"\xef\xbb\xbf\n", b"\n")) == expected
    (tmp_path / "a.tsv").write_bytes(b"\xef\xbb\xbftext\tlabel\na\t1\n")
    assert list(read_rows(tmp_path / "a.tsv")) == [Row(2, {"text": "a", "label": "1"})]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"a", "it has 1 fields, where the header has 2"),
        (b"a,b,c", "it has 3 fields, where the header has 2"),
        (b"\xff,b", "not UTF-8"),
        (b'"a"b,c', "not readable as CSV (',' expected after '\"')"),
        (b'"a,b', "not readable as CSV ("),
        (b"a\rb,c", "not readable as CSV ("),
    ],
)
def test_a_bad_row_costs_its_line_and_no_other(line, reason):
    rows = rows_of(b"p,q\n1,2\n" + line + b'\n3,4\n5,"6\n7"\n')
    assert rows[0] == Row(2, {"p": "1", "q": "2"})
    assert rows[-2:] == [Row(4, {"p": "3", "q": "4"}), Row(5, {"p": "5", "q": "6\n7"})]
    assert [row.line for row in rows[1:-2]] == [3]
    assert str(rows[1].reason).startswith(reason)


def test_many_open_quotation_marks_take_no_time():
    rows = rows_of(b"p\n" + b'"open\n' * 20_001)
    assert len(rows) == 20_001 - sum(row.reason is None for row in rows)
    assert rows[-1].line == 20_002


def test_long_texts_are_read():
    text = b"x" * 300_000  # Python's own limit is 131,072
    assert rows_of(b"text\n" + text + b"\n") == [Row(2, {"text": text.decode()})]


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        (b"a,b,a", "its header names a more than once"),
        (b'"a"b', "its header: not readable as CSV"),
        (b"\xff", "its header: not UTF-8"),
    ],
)
def test_a_header_that_is_none_is_refused(tmp_path, header, problem):
    (tmp_path / "a.csv").write_bytes(header + b"\n1,2,3\n")
    with pytest.raises(FileUnreadable, match=f"a.csv: cannot be read .{problem}"):
        list(read_rows(tmp_path / "a.csv"))


@pytest.mark.parametrize("content", [b"", b"\n\n", b"a,b\n"])
def test_without_rows_there_are_none(content):
    assert rows_of(content) == []
