"""Files on disk: rows as the file holds them, and files that cannot be read."""

import gzip
import io
import json
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from mygo.data.files import find_files, read_json, read_rows
from mygo.data.records import Row
from mygo.errors import UserError

ROWS = [{"text": f"row {number}", "n": number} for number in range(3)]
LINES = b"".join(json.dumps(row).encode() + b"\n" for row in ROWS)
NUMBERED = [Row(number, row) for number, row in enumerate(ROWS, 1)]


def rows_of(path, content):
    path.write_bytes(content)
    return list(read_rows(path))


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.ndjson"])
@pytest.mark.parametrize(
    "content", [LINES, json.dumps(ROWS).encode(), json.dumps(ROWS, indent=4).encode()], ids=["lines", "array", "pretty"]
)
@pytest.mark.parametrize(
    ("ending", "compress"),
    [("", bytes), (".gz", gzip.compress), (".zst", zstandard.compress)],
    ids=["plain", "gz", "zst"],
)
def test_json_is_read_by_content_whatever_its_ending(tmp_path, name, content, ending, compress):
    assert rows_of(tmp_path / (name + ending), compress(content)) == NUMBERED


def test_parquet_rows(tmp_path):
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet", row_group_size=2)
    assert list(read_rows(tmp_path / "a.parquet")) == NUMBERED


def test_lines_are_counted_as_an_editor_counts_and_blank_ones_are_no_rows(tmp_path):
    assert rows_of(tmp_path / "a.jsonl", b'\xef\xbb\xbf{"a":1}\r\n\r\n  \n{"a":2}\r\n\n') == [
        Row(1, {"a": 1}),
        Row(4, {"a": 2}),
    ]


def test_a_bad_line_is_a_row_with_a_reason(tmp_path):
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
    rows = rows_of(tmp_path / "a.jsonl", b"\n".join([b'{"a":0}', *bad, b'{"a":"\\u0000"}']))
    assert [row.line for row in rows] == list(range(1, 11))
    assert (rows[0].value, rows[-1].value) == ({"a": 0}, {"a": "\x00"})
    assert all(row.reason and row.value is None for row in rows[1:-1])
    assert rows[2].reason == "not UTF-8"
    assert rows[1].reason is not None
    assert rows[1].reason.startswith("bad JSON at character 6: ")


def test_json_lines_may_begin_with_a_list(tmp_path):
    assert rows_of(tmp_path / "a.jsonl", b'[1, 2]\n{"a":1}\n') == [Row(1, [1, 2]), Row(2, {"a": 1})]


def test_text_of_parquet_that_is_not_utf8_costs_only_its_row(tmp_path):
    # Arrow does not look into strings that it is handed as buffers.
    binary = pa.array([b"good"] * 1500 + [b"\xff\xfe", b"fine"])
    text = pa.Array.from_buffers(pa.string(), len(binary), binary.buffers())
    pq.write_table(pa.table({"text": text}), tmp_path / "a.parquet")
    rows = list(read_rows(tmp_path / "a.parquet"))
    assert [row.line for row in rows] == list(range(1, 1503))
    assert rows[1499:] == [Row(1500, {"text": "good"}), Row(1501, None, "not UTF-8"), Row(1502, {"text": "fine"})]


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
            rows = list(read_json(io.BufferedReader(io.BytesIO(content))))  # pyright: ignore[reportArgumentType]
        except ValueError:
            bad_arrays += 1
        else:
            assert [row.line for row in rows] == sorted({row.line for row in rows})
    assert 0 < bad_arrays < 300


DAMAGED = [
    ("cut.jsonl.gz", gzip.compress(LINES)[:-10]),
    ("cut.jsonl.zst", zstandard.compress(LINES)[:-5]),
    ("not.jsonl.gz", LINES),
    ("not.jsonl.zst", LINES),
    ("not.parquet", LINES),
    ("empty.parquet", b""),
    ("cut.json", json.dumps(ROWS, indent=1).encode()[:-10]),
    ("cut_line.json", json.dumps(ROWS).encode()[:-10]),
    ("latin.json", json.dumps(["ü"], ensure_ascii=False).encode("latin-1")),
]


@pytest.mark.parametrize(("name", "content"), DAMAGED, ids=[name for name, _ in DAMAGED])
def test_a_damaged_file_is_named_in_one_sentence(tmp_path, name, content):
    with pytest.raises(UserError) as error:
        rows_of(tmp_path / name, content)
    assert name in str(error.value)
    assert "cannot be read" in str(error.value)
    assert "\n" not in str(error.value)


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(LINES)


def test_a_folder_gives_its_data_files_in_order_of_name(tmp_path):
    touch(
        tmp_path,
        "b.jsonl.gz",
        "a/x.parquet",
        "README.md",
        ".hidden.jsonl",
        ".cache/y.jsonl",
        "data.csv",
        "x.parquet.gz",
    )
    assert [(file.name, file.source_dataset) for file in find_files(tmp_path)] == [
        ("a/x.parquet", "x"),
        ("b.jsonl.gz", "b"),
    ]


def test_less_layout_names_the_data_set_after_its_folder(tmp_path):
    touch(tmp_path, "train/processed/dolly/dolly_data.jsonl", "other/cot_data.jsonl")
    assert [file.source_dataset for file in find_files(tmp_path)] == ["cot_data", "dolly"]


def test_equal_names_are_told_apart_by_their_path(tmp_path):
    touch(tmp_path, "a/x.jsonl", "b/x.jsonl", "b/x.json", "y.jsonl")
    assert [file.source_dataset for file in find_files(tmp_path)] == ["a/x.jsonl", "b/x.json", "b/x.jsonl", "y"]


def test_a_single_file(tmp_path):
    touch(tmp_path, "x.json.zst")
    assert [tuple(file) for file in find_files(tmp_path / "x.json.zst")] == [
        (tmp_path / "x.json.zst", "x.json.zst", "x")
    ]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("nowhere", "does not exist"),
        ("data.csv", "is not of a known format"),
        ("folder", "holds no file of a known format"),
    ],
)
def test_a_path_without_data_is_refused(tmp_path, name, problem):
    touch(tmp_path, "data.csv", "folder/README.md")
    with pytest.raises(UserError, match=f"prepare.path: .*{name} {problem}; takes"):
        find_files(tmp_path / name)
