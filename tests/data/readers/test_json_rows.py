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


@pytest.mark.parametrize("lines", range(1, 11))
def test_an_object_that_is_cut_anywhere_costs_itself_alone(lines):
    texts = [json.dumps(row, indent=2) for row in OBJECTS]
    cut = "\n".join(texts[1].split("\n")[:lines])
    rows = rows_of(f"{texts[0]}\n{cut}\n{texts[2]}\n{texts[0]}\n".encode())
    assert [row.value for row in rows] == [OBJECTS[0], None, OBJECTS[2], OBJECTS[0]]


def test_no_line_is_lost_where_the_first_only_looks_like_a_printed_object():
    rows = rows_of(b'{"a": 1,\n"nonsense\n{"a": 2}\n\n{"a": 3}\n')
    assert [row.value for row in rows if row.reason is None] == [{"a": 2}, {"a": 3}]
    assert rows[0].reason is not None


def test_lines_after_printed_objects_are_read():
    rows = rows_of(json.dumps(OBJECTS[0], indent=2).encode() + b'\n{"a": 1}\n{"a": 2}\n')
    assert [row.value for row in rows] == [OBJECTS[0], {"a": 1}, {"a": 2}]


TURNS = [{"role": "user", "content": 'a [ } \\" {'}, {"role": "assistant", "content": "b"}]
FIRST, LAST = (json.dumps(turn) for turn in TURNS)
LAYOUTS = [
    f'{{"messages": [\n  {FIRST},\n {LAST}\n]}}',
    f'{{"messages": [\n{FIRST},\n{LAST}\n]}}',
    f'{{"messages":\n [\n  {FIRST},\n  {LAST}\n ]\n}}',
    f'{{"messages": [{FIRST},\n\n{LAST}]}}',
    f'{{\n"messages": [{FIRST}, {LAST}\n]}}',
    f'{{"messages":\r\n[{FIRST},\r\n{LAST}]\r\n}}',
    f'{{"messages": [{FIRST}\n, {LAST}]}}',
]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_object_ends_where_its_brackets_are_closed(layout):
    lines = 1 + layout.count("\n")
    rows = rows_of(f"{layout}\n{layout}\n{json.dumps(TURNS[0])}\n{layout}".encode())
    whole = {"messages": TURNS}
    assert rows == [Row(1, whole), Row(1 + lines, whole), Row(1 + 2 * lines, TURNS[0]), Row(2 + 2 * lines, whole)]


def test_a_value_may_begin_on_a_line_of_its_own():
    assert rows_of(b'{"a":\n{"b": 1},\n"c":\n{"d": 2}\n}\n{"a": 3}') == [
        Row(1, {"a": {"b": 1}, "c": {"d": 2}}),
        Row(6, {"a": 3}),
    ]


@pytest.mark.parametrize("layout", LAYOUTS[:4])
def test_a_cut_object_is_one_row_and_its_last_turn_is_none(layout):
    cut = layout[: layout.rindex("]")]
    (row,) = rows_of(cut.encode())
    lines = len(cut.rstrip().splitlines())
    assert str(row.reason).endswith(f": unexpected end of data, in lines 1 to {lines}")
    rows = rows_of(f"{cut}\n{layout}".encode())
    assert [row.value for row in rows] == [None, {"messages": TURNS}]


@pytest.mark.parametrize("bad", [b'{"text": oops}', b'{"text": "b"'])
def test_a_broken_list_of_rows_in_an_object_is_not_read_in_half(bad):
    rows = rows_of(b'{"data": [\n{"text": "a"},\n%b,\n{"text": "c"}\n]}' % bad)
    assert [row.value for row in rows] == [None]
    assert str(rows[0].reason).endswith("in lines 1 to 5")


@pytest.mark.parametrize(
    "broken", [b"{", b'{"a":', b'{"a": 1,', b'{"a": [', b'{"a": "x', b'{"a": {"b": [[', b'{"a": tru']
)
def test_lines_after_a_first_one_that_is_cut_are_read(broken):
    rows = rows_of(broken + b'\n{"a": 2}\n{"a": [3,\n4]}\n{"a": 5}\n')
    assert [(row.line, row.value) for row in rows if row.reason is None] == [
        (2, {"a": 2}),
        (3, {"a": [3, 4]}),
        (5, {"a": 5}),
    ]
    assert [row.line for row in rows] == [1, 2, 3, 5]
