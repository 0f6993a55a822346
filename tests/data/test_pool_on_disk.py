"""The pool as files: order, parts, batches, and that it appears complete or not at all."""

import json

import pyarrow.parquet as pq
import pytest

from mygo.data import pool as pool_module
from mygo.data.pool import count_rows, iter_batches, open_pool, sample_warmup_pool, write_pool
from mygo.data.records import POOL_SCHEMA, REJECTED_SCHEMA, PassedOver, Rejected, Sample
from mygo.errors import UserError


def sample(index, source="s"):
    return Sample(
        source,
        index,
        f"{source}_{index}",
        [{"role": "user", "content": f"q{index}"}, {"role": "assistant", "content": "a\x00é"}],
        None if index % 2 else "good",
        (("human", None if index % 2 else "good"), ("judge", str(index))),
    )


def stored(sample):
    messages = [{**message, "tool_calls": None} for message in sample.messages]
    labels = [{"name": name, "value": value} for name, value in sample.labels]
    return sample._asdict() | {"messages": messages, "labels": labels}


def rejected(index):
    return Rejected("s", index, "s.jsonl", index + 1, "bad")


def bytes_below(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(pool_module, "POOL_PART_ROWS", 7)
    monkeypatch.setattr(pool_module, "BATCH_ROWS", 4)


@pytest.mark.usefixtures("small_parts")
def test_what_is_written_is_read_in_order(tmp_path):
    rows = [rejected(index) if index % 5 == 0 else sample(index) for index in range(22)]
    good = [row for row in rows if isinstance(row, Sample)]
    counts = write_pool(iter(rows), tmp_path / "pool")
    assert (counts.rows, counts.rejected, dict(counts.by_source), dict(counts.rejected_by_source)) == (
        17,
        5,
        {"s": 17},
        {"s": 5},
    )
    assert sorted(bytes_below(tmp_path / "pool")) == [
        "passed_over.parquet",
        "pool-00000.parquet",
        "pool-00001.parquet",
        "pool-00002.parquet",
        "rejected.parquet",
        "sources.parquet",
    ]
    assert [pq.read_metadata(tmp_path / "pool" / f"pool-0000{part}.parquet").num_rows for part in range(3)] == [7, 7, 3]
    assert count_rows(tmp_path / "pool") == 17
    table = open_pool(tmp_path / "pool").to_table()
    assert table.schema == POOL_SCHEMA
    assert table.to_pylist() == [stored(row) for row in good]
    bad = pq.read_table(tmp_path / "pool" / "rejected.parquet")
    assert bad.schema == REJECTED_SCHEMA
    assert bad.to_pylist() == [row._asdict() for row in rows if isinstance(row, Rejected)]


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("size", [1, 3, 7, 8, 16, 17, 100])
def test_batches_are_full_but_the_last_across_parts(tmp_path, size):
    write_pool([sample(index) for index in range(17)], tmp_path / "pool")
    batches = list(iter_batches(tmp_path / "pool", ["source_index"], size))
    assert [batch.num_rows for batch in batches] == [size] * (17 // size) + ([17 % size] if 17 % size else [])
    assert [index for batch in batches for index in batch.column("source_index").to_pylist()] == list(range(17))


@pytest.mark.parametrize("first", [0, 1, 6, 7, 13, 24, 25])
def test_batches_begin_at_any_row(tmp_path, monkeypatch, first):
    monkeypatch.setattr("mygo.data.pool.POOL_PART_ROWS", 12)  # parts of 12, 12 and 1 rows, in row groups of 6
    monkeypatch.setattr("mygo.data.pool.BATCH_ROWS", 6)
    write_pool(
        [
            Sample("a", i, f"a_{i}", [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}], None)
            for i in range(25)
        ],
        tmp_path / "pool",
    )
    batches = list(iter_batches(tmp_path / "pool", ["source_index"], 4, first=first))
    assert [row for batch in batches for row in batch["source_index"].to_pylist()] == list(range(first, 25))
    assert all(batch.num_rows == 4 for batch in batches[:-1])


def test_files_that_were_passed_over_and_the_counts_of_sources_lie_beside_the_pool(tmp_path):
    rows = [PassedOver("a.txt", "unknown"), sample(0, "b"), rejected(0), sample(1), PassedOver("c.jsonl", "is empty")]
    counts = write_pool(rows, tmp_path / "pool")
    assert counts.passed_over == [rows[0], rows[4]]
    assert pq.read_table(tmp_path / "pool" / "passed_over.parquet").to_pylist() == [
        {"file": "a.txt", "reason": "unknown"},
        {"file": "c.jsonl", "reason": "is empty"},
    ]
    assert pq.read_table(tmp_path / "pool" / "sources.parquet").to_pylist() == [
        {"source_dataset": "b", "samples": 1, "rejected": 0},
        {"source_dataset": "s", "samples": 1, "rejected": 1},
    ]
    assert count_rows(tmp_path / "pool") == 2


def test_a_pool_without_rejected_rows_says_so(tmp_path):
    write_pool([sample(0)], tmp_path / "pool")
    assert pq.read_table(tmp_path / "pool" / "rejected.parquet").num_rows == 0


def test_the_same_samples_give_the_same_bytes(tmp_path):
    rows = [rejected(index) if index % 5 == 0 else sample(index) for index in range(5000)]
    for name in ("one", "two"):
        write_pool(rows, tmp_path / name / "pool")
        sample_warmup_pool(tmp_path / name / "pool", tmp_path / name / "warmup", 0.1, 3)
    assert bytes_below(tmp_path / "one" / "pool") == bytes_below(tmp_path / "two" / "pool")
    assert bytes_below(tmp_path / "one" / "warmup") == bytes_below(tmp_path / "two" / "warmup")


def failing_source():
    yield from (sample(index) for index in range(3000))
    raise UserError("the source broke")


@pytest.mark.parametrize("there_before", [False, True])
def test_a_failure_midway_leaves_what_was_there(tmp_path, there_before):
    if there_before:
        write_pool([sample(1)], tmp_path / "pool")
    before = bytes_below(tmp_path / "pool") if there_before else None
    with pytest.raises(UserError, match="the source broke"):
        write_pool(failing_source(), tmp_path / "pool")
    assert [path.name for path in tmp_path.iterdir()] == (["pool"] if there_before else [])
    if there_before:
        assert bytes_below(tmp_path / "pool") == before


def test_a_new_pool_replaces_the_old_one_whole(tmp_path):
    (tmp_path / "pool").mkdir()
    (tmp_path / "pool" / "pool-00009.parquet").write_bytes(b"old")
    write_pool([sample(1)], tmp_path / "pool")
    assert count_rows(tmp_path / "pool") == 1


@pytest.mark.parametrize(
    "read",
    [
        open_pool,
        count_rows,
        lambda folder: list(iter_batches(folder, ["messages"], 1)),
        lambda folder: sample_warmup_pool(folder, folder / "w", 0.5, 0),
    ],
)
def test_a_folder_without_a_pool_is_named(tmp_path, read):
    with pytest.raises(UserError, match="holds no pool"):
        read(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_pool_of_no_sample_is_named(tmp_path):
    pq.write_table(POOL_SCHEMA.empty_table(), tmp_path / "pool-00000.parquet")
    with pytest.raises(UserError, match=r"the pool holds no sample$"):
        count_rows(tmp_path)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize(
    ("ratio", "expected"), [(0.14, 7), (0.05, 3), (1e-05, 1), (1.0, 50)]
)  # 0.14 * 50 is 7.000000000000001 in floating point
def test_warmup_draws_a_share_in_order(tmp_path, ratio, expected):
    write_pool([sample(index) for index in range(50)], tmp_path / "pool")
    assert sample_warmup_pool(tmp_path / "pool", tmp_path / "warmup", ratio, 0) == expected
    drawn = open_pool(tmp_path / "warmup").to_table().to_pylist()
    indices = [row["source_index"] for row in drawn]
    assert len(set(indices)) == expected
    assert indices == sorted(indices)
    assert drawn == [stored(sample(index)) for index in indices]
    assert not (tmp_path / "warmup" / "rejected.parquet").exists()


def test_the_seed_decides_the_warmup_draw_and_all_are_drawn_equally_often(tmp_path):
    write_pool([sample(index) for index in range(20)], tmp_path / "pool")
    draws = []
    for seed in range(60):
        sample_warmup_pool(tmp_path / "pool", tmp_path / "warmup", 0.5, seed)
        draws.append(tuple(open_pool(tmp_path / "warmup").to_table(["source_index"]).column(0).to_pylist()))
    counts = [sum(index in drawn for drawn in draws) for index in range(20)]
    assert len(set(draws)) > 55
    assert min(counts) > 14  # mean 30, standard deviation 4
    assert max(counts) < 46


def test_long_texts_and_any_character_survive(tmp_path):
    text = "".join(map(chr, [*range(0x500), 0xFEFF, 0x2028, 0x10FFFF])) * 100
    write_pool([Sample("s", 0, "i", [{"role": "assistant", "content": text}], json.dumps(text[:9]))], tmp_path / "pool")
    assert next(iter_batches(tmp_path / "pool", ["messages"], 1))["messages"].to_pylist()[0][0]["content"] == text
