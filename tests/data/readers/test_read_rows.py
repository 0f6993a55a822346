"""Files on disk: rows as the file holds them, and files that cannot be read."""

import bz2
import gzip
import json
import lzma
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from mygo.data.readers import FileUnreadable, read_rows
from mygo.data.records import Row

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
    [
        ("", bytes),
        (".gz", gzip.compress),
        (".zst", zstandard.compress),
        (".xz", lzma.compress),
        (".bz2", bz2.compress),
        (".GZ", gzip.compress),
        (".XZ", lzma.compress),
    ],
    ids=["plain", "gz", "zst", "xz", "bz2", "GZ", "XZ"],
)
def test_json_is_read_by_content_whatever_its_ending(tmp_path, name, content, ending, compress):
    assert rows_of(tmp_path / (name + ending), compress(content)) == NUMBERED


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress, lzma.compress, bz2.compress])
def test_compressed_files_may_be_written_in_pieces(tmp_path, compress):
    ending = {gzip: ".gz", zstandard: ".zst", lzma: ".xz", bz2: ".bz2"}
    name = next(f"a.jsonl{end}" for module, end in ending.items() if module.compress is compress)
    assert rows_of(tmp_path / name, compress(LINES[:23]) + compress(LINES[23:])) == NUMBERED


DAMAGED = [
    ("cut.jsonl.gz", gzip.compress(LINES, mtime=0)[:-10]),
    ("cut.jsonl.zst", zstandard.compress(LINES)[:-5]),
    ("cut.jsonl.xz", lzma.compress(LINES)[:-10]),
    ("cut.csv.bz2", bz2.compress(LINES)[:-10]),
    ("not.jsonl.gz", LINES),
    ("not.jsonl.xz", LINES),
    ("not.jsonl.bz2", LINES),
    ("not.jsonl.zst", LINES),
    ("not.parquet", LINES),
    ("empty.parquet", b""),
    ("cut.json", json.dumps(ROWS, indent=1).encode()[:-10]),
    ("cut_line.json", json.dumps(ROWS).encode()[:-10]),
    ("latin.json", json.dumps(["ü"], ensure_ascii=False).encode("latin-1")),
]


@pytest.mark.parametrize(("name", "content"), DAMAGED, ids=[name for name, _ in DAMAGED])
def test_a_damaged_file_is_named_in_one_sentence(tmp_path, name, content):
    with pytest.raises(FileUnreadable) as error:
        rows_of(tmp_path / name, content)
    assert name in str(error.value)
    assert "cannot be read" in str(error.value)
    assert "\n" not in str(error.value)


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"
MISTAKEN = [
    ("a.jsonl", POINTER, "it is a Git LFS pointer, not the file that it stands for"),
    ("a.parquet", POINTER, "it is a Git LFS pointer"),
    ("a.csv.gz", POINTER, "it is a Git LFS pointer"),
    ("a.csv.gz", gzip.compress(POINTER, mtime=0), "it is a Git LFS pointer"),
    ("a.jsonl", gzip.compress(LINES, mtime=0), "its content is that of a .gz file"),
    ("a.jsonl", bz2.compress(LINES), "its content is that of a .bz2 file"),
    ("a.parquet", zstandard.compress(LINES), "its content is that of a .zst file"),
    ("a.csv", lzma.compress(LINES), "its content is that of a .xz file"),
    ("a.json.gz", gzip.compress(gzip.compress(LINES, mtime=0), mtime=0), "its content is that of a .gz file"),
    ("a.jsonl", b"\n <!DOCTYPE html><html>", "it is a web page"),
    ("a.tsv", "text\nä\n".encode("utf-16"), "it is UTF-16 text; takes UTF-8"),
]


@pytest.mark.parametrize(("name", "content", "what"), MISTAKEN)
def test_a_file_that_is_something_else_is_called_what_it_is(tmp_path, name, content, what):
    with pytest.raises(FileUnreadable) as error:
        rows_of(tmp_path / name, content)
    assert error.value.reason.startswith(f"cannot be read ({what}")


def test_parquet_under_another_name_is_called_so(tmp_path):
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.jsonl")
    with pytest.raises(FileUnreadable, match=r"its content is that of a \.parquet file"):
        list(read_rows(tmp_path / "a.jsonl"))


def test_what_is_no_file_is_never_opened(tmp_path):
    os.mkfifo(tmp_path / "a.jsonl")
    (tmp_path / "b.jsonl").mkdir()
    for name in ("a.jsonl", "b.jsonl"):
        with pytest.raises(FileUnreadable, match=f"{name}: cannot be read .it is not a regular file"):
            list(read_rows(tmp_path / name))


def test_what_the_system_does_not_hand_out_is_a_sentence(tmp_path):
    (tmp_path / "a.jsonl").symlink_to("/proc/self/mem")  # a regular file whose first page cannot be read, even by root
    with pytest.raises(FileUnreadable, match=r"a\.jsonl: cannot be read \(Input/output error\)"):
        list(read_rows(tmp_path / "a.jsonl"))
