"""From files to samples and rejected rows, on rows written by hand and on the real data sets."""

import json
from collections import Counter
from pathlib import Path

import pytest

from mygo.data.files import find_files, read_rows
from mygo.data.records import Rejected, Sample
from mygo.data.sources import SourceFile, read_files, read_pool_source
from mygo.errors import UserError
from mygo.params import load_params

PARAMS = Path(__file__).resolve().parents[2] / "params.yaml"
GOOD = {"text": "good"}


def write_lines(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def read(path, row_format="auto", label_column=None):
    files = [SourceFile(file.source_dataset, file.name, read_rows(file.path)) for file in find_files(path)]
    return list(read_files(files, row_format, label_column))


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
        "text is missing",
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
    rows = read(tmp_path, label_column="label")
    assert [row.label for row in rows if isinstance(row, Sample)] == ["true", "0.5", None, None, None]
    assert [row.reason for row in rows if isinstance(row, Rejected)] == [
        "the label is of type dict, not text, a number, true or false"
    ]


def test_an_unknown_label_column_names_those_there_are(tmp_path):
    path = write_lines(tmp_path / "a.jsonl", GOOD | {"quality": 1}, GOOD)
    with pytest.raises(UserError, match=r"prepare.label_column: got 'label'; the columns there are quality, text"):
        read(path, label_column="label")


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([], "x.jsonl: is empty; takes at least one row"),
        (["", " "], "x.jsonl: is empty; takes at least one row"),
        (
            ["nonsense", {"text": ""}],
            "x.jsonl: none of its rows can be read; the first is line 1: bad JSON at character 1: ",
        ),
        (
            [{"q": 1}],
            r"x.jsonl: none of its rows can be read; the first is line 1: its columns \(q\) fit none of the formats",
        ),
    ],
)
def test_a_file_of_which_nothing_can_be_read_stops_the_run(tmp_path, rows, sentence):
    write_lines(tmp_path / "a.jsonl", GOOD)
    write_lines(tmp_path / "x.jsonl", *rows)
    with pytest.raises(UserError, match=f"^{sentence}"):
        read(tmp_path)


def prepare_params(**changes):
    return load_params(PARAMS).prepare.model_copy(update=changes)


def test_params_name_the_source(tmp_path):
    write_lines(tmp_path / "a.jsonl", GOOD | {"label": "x"})
    source = read_pool_source(prepare_params(source="local", path=str(tmp_path), label_column="label"))
    assert list(source) == [Sample("a", 0, "a_0", [{"role": "assistant", "content": "good"}], "x")]
    assert source.commits == {}


def test_a_hub_source_names_data_sets():
    with pytest.raises(UserError, match=r"prepare.hub: got source_dataset \[\]; takes one data set or more"):
        read_pool_source(prepare_params(source="hub", hub=[]))


def test_less_layout_of_real_data(shared_data):
    rows = read(shared_data / "less_like" / "train" / "processed")
    assert Counter(row.source_dataset for row in rows) == {"cot": 420, "dolly": 300, "flan_v2": 283, "oasst1": 926}
    # Seven of flan_v2 have an empty answer.
    assert Counter((row.source_dataset, row.reason) for row in rows if isinstance(row, Rejected)) == {
        ("flan_v2", "a turn has no text"): 7
    }
    samples = [row for row in rows if isinstance(row, Sample)]
    assert all(row.id == f"{row.source_dataset}_{row.source_index}" for row in samples)
    assert rows[0].messages[0]["role"] == "user"


def test_all_of_alpaca(shared_data):
    rows = read(shared_data / "alpaca", label_column="in_alpagasus_claude_t45")
    assert [row.source_index for row in rows] == list(range(52_002))
    assert Counter(row.reason for row in rows if isinstance(row, Rejected)) == {"output has no text": 28}
    # AlpaGasus kept 5,305 rows, four of which have an empty output.
    assert Counter(row.label for row in rows if isinstance(row, Sample)) == {"true": 5301, "false": 51_974 - 5301}
    assert rows[0].messages[0]["content"] == "Give three tips for staying healthy."


def test_dolly_puts_the_context_after_the_instruction(shared_data):
    rows = read(shared_data / "dolly")
    assert len(rows) == 15_015
    assert (
        rows[0]
        .messages[0]["content"]
        .startswith("When did Virgin Australia start operating?\n\nVirgin Australia, the trading name")
    )


def test_completions_keep_their_end_of_text(shared_data):
    rows = read(shared_data / "t0_p3")
    assert len(rows) == 55_185
    assert rows[0].messages[1]["content"] == "subjective idealism<|endoftext|>"
