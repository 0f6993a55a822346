"""Which files a folder gives, what they are called, and what is passed over."""

import os

import pytest

from mygo.data.files import find_files
from mygo.data.records import PassedOver
from mygo.errors import UserError

UNKNOWN = "its ending is not one of those that are read"


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"{}\n")


def names_in(folder):
    return [(file.name, file.source_dataset) for file in find_files(folder).files]


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
    assert names_in(tmp_path) == [("a/x.parquet", "x"), ("b.jsonl.gz", "b"), ("data.csv", "data")]
    assert find_files(tmp_path).passed_over == [
        PassedOver("README.md", UNKNOWN),
        PassedOver("x.parquet.gz", UNKNOWN),
        PassedOver("2 hidden files or folders (.cache, .hidden.jsonl)", "a name that begins with a dot is not read"),
    ]


def test_hidden_files_are_one_line_however_many_and_wherever_they_are(tmp_path):
    touch(tmp_path, "a.jsonl", *(f"deep/.{number}\n.jsonl" for number in range(1200)), "deep/.git/x", "deep/.git/y")
    (hidden,) = find_files(tmp_path).passed_over
    assert (
        hidden.file
        == r"1,201 hidden files or folders (deep/.0\n.jsonl, deep/.1\n.jsonl, deep/.10\n.jsonl and 1,198 more)"
    )


def test_a_folder_of_hidden_files_alone_says_so(tmp_path):
    touch(tmp_path, ".a.jsonl")
    with pytest.raises(UserError, match=r"holds no file of a known format; .* \(there are 1 hidden files or folders"):
        find_files(tmp_path)


def test_the_endings_that_are_named_are_those_that_are_read(tmp_path):
    with pytest.raises(UserError) as error:
        find_files(tmp_path)
    assert str(error.value).endswith(
        "takes .jsonl, .ndjson, .json, .csv, .tsv (also with .gz, .zst, .bz2, .xz) and .parquet"
    )


def test_endings_are_known_in_any_case_and_under_every_compression(tmp_path):
    touch(tmp_path, "A.JSONL", "b.Json.GZ", "c.CSV.xz", "d.tsv.bz2", "e.PARQUET", "f.ndjson.ZST")
    assert names_in(tmp_path) == [
        ("A.JSONL", "A"),
        ("b.Json.GZ", "b"),
        ("c.CSV.xz", "c"),
        ("d.tsv.bz2", "d"),
        ("e.PARQUET", "e"),
        ("f.ndjson.ZST", "f"),
    ]


def test_links_to_folders_are_followed_and_loops_end(tmp_path):
    pool, elsewhere = tmp_path / "pool", tmp_path / "elsewhere"
    touch(pool, "a/x.jsonl")
    touch(elsewhere, "y.jsonl", "deep/z.jsonl")
    (pool / "linked").symlink_to(elsewhere)
    (pool / "a" / "up").symlink_to(pool)
    (elsewhere / "deep" / "self").symlink_to(".")
    (pool / "again").symlink_to("a")  # comes before its folder by name; the folder's own name is kept
    found = find_files(pool)
    assert [file.name for file in found.files] == ["a/x.jsonl", "linked/deep/z.jsonl", "linked/y.jsonl"]
    assert dict(found.passed_over) == {
        "a/up": "the folder was read already, as .",
        "again": "the folder was read already, as a",
        "linked/deep/self": "the folder was read already, as linked/deep",
    }


def test_pipes_and_broken_links_are_passed_over_without_opening_them(tmp_path):
    touch(tmp_path, "a.jsonl")
    os.mkfifo(tmp_path / "b.jsonl")
    (tmp_path / "c.jsonl").symlink_to("nowhere")
    (tmp_path / "d.jsonl").symlink_to("d.jsonl")
    found = find_files(tmp_path)
    assert [file.name for file in found.files] == ["a.jsonl"]
    assert dict(found.passed_over) == {
        "b.jsonl": "it is not a regular file",
        "c.jsonl": "it is a link to nothing",
        "d.jsonl": "it is a link to nothing",
    }


def test_names_that_cannot_be_printed_are_escaped(tmp_path):
    touch(tmp_path, "a\x1b[2J\nerror: forged.jsonl", os.fsdecode(b"b\xff.jsonl"), "c\u202e.txt")
    found = find_files(tmp_path)
    assert [(file.name, file.source_dataset) for file in found.files] == [
        ("a\\x1b[2J\\nerror: forged.jsonl", "a\\x1b[2J\\nerror: forged"),
        ("b\\udcff.jsonl", "b\\udcff"),
    ]
    assert found.passed_over == [PassedOver("c\\u202e.txt", UNKNOWN)]


def test_less_layout_names_the_data_set_after_its_folder(tmp_path):
    touch(tmp_path, "train/processed/dolly/dolly_data.jsonl", "other/cot_data.jsonl")
    assert [file.source_dataset for file in find_files(tmp_path).files] == ["cot_data", "dolly"]


def test_equal_names_are_told_apart_by_their_path(tmp_path):
    touch(tmp_path, "a/x.jsonl", "b/x.jsonl", "b/x.json", "y.jsonl")
    assert [file.source_dataset for file in find_files(tmp_path).files] == [
        "a/x.jsonl",
        "b/x.json",
        "b/x.jsonl",
        "y",
    ]


def test_a_single_file(tmp_path):
    touch(tmp_path, "x.json.zst")
    assert [tuple(file) for file in find_files(tmp_path / "x.json.zst").files] == [
        (tmp_path / "x.json.zst", "x.json.zst", "x")
    ]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("nowhere", "does not exist"),
        ("data.txt", "is not of a known format"),
        ("pipe.jsonl", "is not a regular file"),
        ("folder", "holds no file of a known format"),
    ],
)
def test_a_path_without_data_is_refused(tmp_path, name, problem):
    touch(tmp_path, "data.txt", "folder/README.md")
    os.mkfifo(tmp_path / "pipe.jsonl")
    with pytest.raises(UserError, match=f"prepare.path: .*{name} {problem}; takes"):
        find_files(tmp_path / name)


def test_a_folder_without_data_says_what_is_there(tmp_path):
    touch(tmp_path, *(f"{number}.txt" for number in range(20)))
    with pytest.raises(UserError, match=r"takes .* \(there are 0.txt, 1.txt, .* and 12 more\)$"):
        find_files(tmp_path)
