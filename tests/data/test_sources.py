"""From files to samples and rejected rows, on rows written by hand and on the real data sets."""

import gzip
import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mygo.data.files import find_files
from mygo.data.readers import read_rows
from mygo.data.records import PassedOver, Rejected, Sample
from mygo.data.sources import SourceFile, read_files, read_pool_source
from mygo.errors import UserError
from mygo.params import load_params

PARAMS = Path(__file__).resolve().parents[2] / "params.yaml"
GOOD = {"text": "good"}
FIT_NONE = "fit none of the formats messages, sharegpt, alpaca, prompt_completion, text"


def write_lines(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def read(path, row_format="auto", label_columns=()):
    files = [SourceFile(file.source_dataset, file.name, read_rows(file.path)) for file in find_files(path).files]
    return list(read_files({f"prepare.path: {path}": files}, row_format, label_columns))


def passed_over(rows):
    return {row.file: row.reason for row in rows if isinstance(row, PassedOver)}


def test_every_row_is_a_sample_or_rejected_with_its_place(tmp_path):
    path = write_lines(
        tmp_path / "x.jsonl",
        {"text": "a", "id": "mine"},
        "",
        "{",
        "[1]",
        {"text": ""},
        {"question": "q"},
        {"text": "b", "id": 7},
        {"text": "c"},
    )
    samples = [row for row in read(path) if isinstance(row, Sample)]
    rejected = [row for row in read(path) if isinstance(row, Rejected)]
    assert [(row.source_dataset, row.source_index, row.id, row.messages[0]["content"]) for row in samples] == [
        ("x", 0, "mine", "a"),
        ("x", 5, "7", "b"),
        ("x", 6, "x_6", "c"),
    ]
    assert [(row.source_index, row.file, row.line) for row in rejected] == [
        (1, "x.jsonl", 3),
        (2, "x.jsonl", 4),
        (3, "x.jsonl", 5),
        (4, "x.jsonl", 6),
    ]
    assert [row.reason for row in rejected[1:]] == [
        "the row is of type list, not an object",
        "text has no text",
        f"its columns (question) {FIT_NONE}",
    ]


def test_each_file_has_its_own_format(tmp_path):
    write_lines(tmp_path / "a.jsonl", {"prompt": "p", "completion": "c"})
    write_lines(tmp_path / "b.jsonl", "{", {"unknown": 1}, {"conversations": [{"from": "gpt", "value": "c"}]})
    rows = read(tmp_path)
    assert [type(row) for row in rows] == [Sample, Rejected, Rejected, Sample]
    assert rows[2].reason.startswith("its columns (unknown) fit none of the formats")


def test_a_forced_format_rejects_rows_that_lack_its_columns(tmp_path):
    path = write_lines(tmp_path / "a.jsonl", {"messages": [], "text": "a"}, {"messages": []})
    sample, rejected = read(path, "text")
    assert sample.messages == [{"role": "assistant", "content": "a"}]
    assert rejected.reason == "text is missing"


def test_labels_are_text_and_may_be_absent_from_some_files(tmp_path):
    write_lines(
        tmp_path / "a.jsonl",
        GOOD | {"label": True},
        GOOD | {"label": 0.5},
        GOOD | {"label": None},
        GOOD,
        GOOD | {"label": {}},
    )
    write_lines(tmp_path / "b.jsonl", GOOD)
    rows = read(tmp_path, label_columns=["label"])
    samples = [row for row in rows if isinstance(row, Sample)]
    assert [row.label for row in samples] == ["true", "0.5", None, None, None]
    assert all(row.labels == (("label", row.label),) for row in samples)
    assert [row.reason for row in rows if isinstance(row, Rejected)] == [
        "the label 'label' is of type dict, not text, a number, true or false"
    ]


def test_an_unknown_label_column_names_those_there_are(tmp_path):
    path = write_lines(tmp_path / "a.jsonl", GOOD | {"quality": 1}, GOOD)
    with pytest.raises(UserError, match=r"prepare.label_column: got 'label'; the columns there are quality, text"):
        read(path, label_columns=["label"])


def test_twenty_thousand_columns_are_one_short_sentence(tmp_path):
    path = write_lines(tmp_path / "a.jsonl", GOOD | {f"\x1b[1m\n{number}": 0 for number in range(20_000)})
    with pytest.raises(UserError) as error:
        read(path, label_columns=["label\n"])
    assert str(error.value).startswith(r"prepare.label_column: got 'label\n'; the columns there are \x1b[1m\n")
    assert len(str(error.value)) < 400


def test_a_row_of_another_format_is_read_by_its_own(tmp_path):
    path = write_lines(tmp_path / "a.jsonl", {"messages": [{"role": "assistant", "content": "m"}]}, GOOD, {"q": 1})
    rows = read(path)
    assert [row.messages[0]["content"] for row in rows[:2]] == ["m", "good"]
    assert rows[2].reason == f"its columns (q) {FIT_NONE}"


NOT_USABLE = [
    ([], "is empty; takes at least one row"),
    (["", " "], "is empty; takes at least one row"),
    (
        ["nonsense", {"text": ""}],
        "none of its rows can be read; the first is line 1: bad JSON at character 1: ",
    ),
    (
        [{"default": {"features": {}}}],
        r"none of its rows can be read; the first is line 1: its columns (default) fit none of the formats",
    ),
    (["version https://git-lfs.github.com/spec/v1"], "cannot be read (it is a Git LFS pointer, not the file"),
]


@pytest.mark.parametrize(("rows", "reason"), NOT_USABLE)
def test_a_file_of_which_nothing_can_be_read_is_passed_over_by_name(tmp_path, rows, reason):
    write_lines(tmp_path / "a.jsonl", GOOD)
    write_lines(tmp_path / "x.json", *rows)
    write_lines(tmp_path / "z.jsonl", GOOD)
    outcomes = read(tmp_path)
    assert [row.source_dataset for row in outcomes if isinstance(row, Sample)] == ["a", "z"]
    assert passed_over(outcomes).keys() == {"x.json"}
    assert passed_over(outcomes)["x.json"].startswith(reason)
    assert isinstance(outcomes[-2], PassedOver)  # in its place
    # No row of it is lost either.
    assert sum(isinstance(row, Rejected) for row in outcomes) == sum(bool(str(row).strip()) for row in rows) - (
        "LFS" in reason
    )


@pytest.mark.parametrize(("rows", "reason"), NOT_USABLE)
def test_a_source_of_which_nothing_can_be_read_stops_the_run(tmp_path, rows, reason):
    write_lines(tmp_path / "x.jsonl", *rows)
    with pytest.raises(UserError) as error:
        read(tmp_path)
    assert str(error.value).startswith(f"x.jsonl: {reason}")
    write_lines(tmp_path / "y.jsonl", *rows)
    with pytest.raises(UserError) as error:
        read(tmp_path)
    assert f"{tmp_path.name}: none of its 2 files can be used; the first is x.jsonl: {reason}" in str(error.value)


def test_what_was_read_of_a_damaged_file_stays_and_the_rest_is_named(tmp_path):
    content = gzip.compress(b"".join(json.dumps(GOOD | {"n": number}).encode() + b"\n" for number in range(200_000)))
    (tmp_path / "a.jsonl.gz").write_bytes(content[: len(content) // 2])
    write_lines(tmp_path / "b.jsonl", GOOD)
    rows = read(tmp_path)
    samples = Counter(row.source_dataset for row in rows if isinstance(row, Sample))
    assert 1_000 < samples["a"] < 200_000
    assert samples["b"] == 1
    assert passed_over(rows) == {
        "a.jsonl.gz": f"cannot be read (Truncated compressed stream) after line {samples['a']:,}"
    }


def test_parquet_columns_that_nobody_asks_for_do_no_harm_and_those_that_are_cost_rows(tmp_path):
    far = pa.array([2**50, 0], pa.timestamp("s"))
    pq.write_table(pa.table({"text": ["a", "b"], "when": far}), tmp_path / "good.parquet")
    pq.write_table(pa.table({"prompt": ["a", "b"], "completion": far}), tmp_path / "odd.parquet")
    pq.write_table(pa.table({"text": ["a", "b"], "id": far}), tmp_path / "strange_id.parquet")
    rows = list(read_pool_source(prepare_params(source="local", path=str(tmp_path))))
    samples = [(row.source_dataset, row.source_index) for row in rows if isinstance(row, Sample)]
    assert samples == [("good", 0), ("good", 1), ("strange_id", 0), ("strange_id", 1)]
    reasons = [row.reason for row in rows if isinstance(row, Rejected)]
    assert reasons[0].startswith("completion cannot be read (")
    assert reasons[1] == "completion is of type datetime, not text"
    assert passed_over(rows).keys() == {"odd.parquet"}


def test_a_column_that_nobody_asks_for_may_be_damaged(tmp_path):
    table = pa.table({"text": ["a", "b"], "picture": [b"x" * 100, b"y" * 100]})
    pq.write_table(table, tmp_path / "a.parquet", use_dictionary=False, compression="none")
    place = pq.read_metadata(tmp_path / "a.parquet").row_group(0).column(1).data_page_offset
    content = bytearray((tmp_path / "a.parquet").read_bytes())
    content[place : place + 50] = b"\xff" * 50
    (tmp_path / "a.parquet").write_bytes(content)
    rows = list(read_pool_source(prepare_params(source="local", path=str(tmp_path))))
    assert [row.messages[0]["content"] for row in rows] == ["a", "b"]


def test_text_from_data_is_escaped_in_reasons(tmp_path):
    write_lines(
        tmp_path / "a.jsonl",
        GOOD,
        {"messages": [{"role": "\x1b[31m\nerror: forged", "content": "a"}]},
        {"messages": [{"role": "user", "content": [{"type": "\u202e" * 10_000}]}]},
    )
    reasons = [row.reason for row in read(tmp_path) if isinstance(row, Rejected)]
    assert len(reasons) == 2
    assert all(reason.isprintable() and len(reason) < 200 for reason in reasons)


def prepare_params(**changes):
    return load_params(PARAMS).prepare.model_copy(update=changes)


def test_params_name_the_source(tmp_path):
    write_lines(tmp_path / "a.jsonl", GOOD | {"label": "x"})
    write_lines(tmp_path / "notes.txt")
    source = read_pool_source(prepare_params(source="local", path=str(tmp_path), label_column="label"))
    assert list(source) == [
        PassedOver("notes.txt", "its ending is not one of those that are read"),
        Sample("a", 0, "a_0", [{"role": "assistant", "content": "good"}], "x", (("label", "x"),)),
    ]
    assert source.commits == {}


def test_a_hub_source_names_data_sets():
    with pytest.raises(UserError, match=r"prepare.hub: got source_dataset \[\]; takes one data set or more"):
        read_pool_source(prepare_params(source="hub", hub=[]))
