"""The selection as Parquet, on request."""

import importlib

import pyarrow.parquet as pq


def test_parquet_is_the_same_selection(scored, made, tmp_path):
    datasets = importlib.import_module("datasets")
    _, out = made.run(scored, made.params(score="raw", ratio=0.5, parquet=True))
    lines = made.read_jsonl(out / "selected.jsonl")
    table = pq.read_table(out / "selected.parquet")
    assert table.column_names == list(lines[0])
    rows = [row | {"messages": [drop_null(message) for message in row["messages"]]} for row in table.to_pylist()]
    assert rows == lines
    named = str(out / "selected.parquet")
    loaded = datasets.load_dataset("parquet", data_files=named, cache_dir=str(tmp_path / "cache"))["train"]
    assert [[drop_null(message) for message in row["messages"]] for row in loaded] == [row["messages"] for row in lines]
    assert datasets.load_dataset(str(out), cache_dir=str(tmp_path / "cache"))["train"].to_list() == lines
    first = (out / "selected.parquet").read_bytes()
    _, out = made.run(scored, made.params(score="raw", ratio=0.5, parquet=True))
    assert (out / "selected.parquet").read_bytes() == first


def drop_null(message):
    return {name: value for name, value in message.items() if value is not None}


def test_calls_of_tools_are_json_text(write, made):
    called = [
        {"role": "user", "content": "Go."},
        {"role": "assistant", "content": "", "tool_calls": '[{"name":"go","arguments":{}}]'},
    ]
    samples = made.random_samples(6)
    samples[3].messages = called
    _, out = made.run(write(samples), made.params(strategy="full", parquet=True))
    rows = {row["id"]: row["messages"] for row in pq.read_table(out / "selected.parquet").to_pylist()}
    assert rows[samples[3].key][1] == called[1]


def test_without_asking_there_is_none(scored, made):
    _, out = made.run(scored, made.params(score="raw"))
    assert sorted(path.name for path in out.iterdir()) == ["README.md", "scores.parquet", "selected.jsonl"]
    assert "selected.parquet" not in (out / "README.md").read_text()
