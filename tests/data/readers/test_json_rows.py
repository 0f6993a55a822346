"""JSON in every layout that files have it in."""

import io
import json
import random

import pytest

from mygo.data.readers.json_rows import read_json
from mygo.data.records import Row


def rows_of(content):
    return list(read_json(io.BufferedReader(io.BytesIO(content))))  # pyright: ignore[reportArgumentType]


def test_lines_are_counted_as_an_editor_counts_and_blank_ones_are_no_rows():
    assert rows_of(b'\xef\xbb\xbf{"a":1}\r\n\r\n  \n{"a":2}\r\n\n') == [
        Row(1, {"a": 1}),
        Row(4, {"a": 2}),
    ]


def test_a_bad_line_is_a_row_with_a_reason():
    bad = [
        b'{"a":',
        b'{"a":"\xff"}',
        b'{"a":"\\ud800"}',
        b'{"a":"\x00"}',
        b'{"a":NaN}',
        b"[" * 100_000,
        b"{}{}",
        b"nonsense",
    ]
    rows = rows_of(b"\n".join([b'{"a":0}', *bad, b'{"a":"\\u0000"}']))
    assert [row.line for row in rows] == list(range(1, 11))
    assert (rows[0].value, rows[-1].value) == ({"a": 0}, {"a": "\x00"})
    assert all(row.reason and row.value is None for row in rows[1:-1])
    assert rows[2].reason == "not UTF-8"
    assert rows[1].reason is not None
    assert rows[1].reason.startswith("bad JSON at character 6: ")


def test_json_lines_may_begin_with_a_list():
    assert rows_of(b'[1, 2]\n{"a":1}\n') == [Row(1, [1, 2]), Row(2, {"a": 1})]


def test_no_bytes_crash_the_reader():
    rng = random.Random(0)
    pieces = [
        b"{",
        b"}",
        b"[",
        b"]",
        b'"',
        b":",
        b",",
        b"\n",
        b"\r\n",
        b"\x00",
        b"\xff",
        b"\xef\xbb\xbf",
        b'{"text":"a"}',
        b"\\u12",
        b"1e999",
        b" ",
    ]
    bad_arrays = 0
    for _ in range(3000):
        content = b"".join(rng.choices(pieces, k=rng.randrange(12)))
        try:
            rows = rows_of(content)
        except ValueError:
            bad_arrays += 1
        else:
            assert [row.line for row in rows] == sorted({row.line for row in rows})
    assert 0 < bad_arrays < 300


OBJECTS = [{"text": f"}}\n{{ row {number}", "deep": [{"a": 1}, {"b": {}}], "n": number} for number in range(3)]


@pytest.mark.parametrize("indent", [0, 1, 4, "\t"])
@pytest.mark.parametrize("between", ["\n", "\n\n\n", "\r\n"])
def test_objects_over_many_lines_are_one_row_each(indent, between):
    texts = [json.dumps(row, indent=indent) for row in OBJECTS]
    rows = rows_of(between.join(texts).encode())
    assert [row.value for row in rows] == OBJECTS
    lines = [text.count("\n") + between.count("\n") for text in texts]
    assert [row.line for row in rows] == [1, 1 + lines[0], 1 + lines[0] + lines[1]]


def test_a_single_object_over_many_lines():
    assert rows_of(json.dumps(OBJECTS[0], indent=2).encode()) == [Row(1, OBJECTS[0])]


def test_a_broken_object_costs_itself_and_names_its_lines():
    texts = [json.dumps(row, indent=2) for row in OBJECTS]
    cut = texts[1].rsplit("\n", 2)[0]  # without its last key and its end
    rows = rows_of("\n".join([texts[0], cut, texts[2], texts[0].replace('"n": 0', '"n":')]).encode())
    assert [row.value for row in rows] == [OBJECTS[0], None, OBJECTS[2], None]
    first, last = rows[1].line, rows[2].line - 1
    assert str(rows[1].reason).startswith("bad JSON at character ")
    assert str(rows[1].reason).endswith(f", in lines {first} to {last}")


def test_no_line_is_lost_where_the_first_only_looks_like_a_printed_object():
    rows = rows_of(b'{"a": 1,\n"nonsense\n{"a": 2}\n\n{"a": 3}\n')
    assert [row.value for row in rows if row.reason is None] == [{"a": 2}, {"a": 3}]
    assert rows[0].reason is not None


def test_lines_after_printed_objects_are_read():
    rows = rows_of(json.dumps(OBJECTS[0], indent=2).encode() + b'\n{"a": 1}\n{"a": 2}\n')
    assert [row.value for row in rows] == [OBJECTS[0], {"a": 1}, {"a": 2}]
