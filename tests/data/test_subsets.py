"""A seeded part of each source that is named, the rest listed with its reason."""

from collections import Counter

import pyarrow.parquet as pq
import pytest

from mygo.data import pool as pool_module
from mygo.data import subsets
from mygo.data.pool import open_pool, write_pool
from mygo.data.records import LeftOut, PassedOver, Rejected, Sample
from mygo.data.subsets import draw_subsets
from mygo.errors import UserError

SIZES = {"a": 50, "b": 7, "c": 3}


def write(folder):
    """Sources that alternate, with a row of each other kind."""
    messages = [{"role": "assistant", "content": "x"}]
    rows = sorted(
        (Sample(name, i, f"{name}_{i}", messages, None) for name, size in SIZES.items() for i in range(size)),
        key=lambda row: row.source_index,
    )
    others = [Rejected("a", 50, "a.jsonl", 51, "bad"), LeftOut("b", 7, "b_7", "contaminated"), PassedOver("d", "empty")]
    return write_pool([*rows, *others], folder)


def read(folder, name="left_out"):
    return pq.read_table(folder / f"{name}.parquet").to_pylist()


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(pool_module, "POOL_PART_ROWS", 20)
    monkeypatch.setattr(subsets, "BATCH_ROWS", 8)


def test_a_share_of_the_named_sources_stays_in_order(tmp_path):
    pool = tmp_path / "pool"
    before = open_pool_rows(pool, write(pool))
    # 0.14 of 50 is 7 (in floating point a little more), of 7 a tenth is 0.7: one
    counts = draw_subsets(pool, write(pool), {"a": 0.14, "b": 0.1}, 3)
    kept = open_pool_rows(pool, counts)
    assert Counter(source for source, _ in kept) == {"a": 7, "b": 1, "c": 3}
    assert kept == [row for row in before if row in kept]
    assert (counts.rows, counts.rejected, counts.left_out) == (11, 1, 50)
    assert read(pool)[0] == LeftOut("b", 7, "b_7", "contaminated")._asdict()
    dropped = {(row["source_dataset"], row["source_index"]) for row in read(pool)[1:]}
    assert dropped == set(before) - set(kept)
    assert {row["reason"] for row in read(pool)[1:]} == {"not drawn (prepare.subset_ratio)"}
    assert [row["file"] for row in read(pool, "rejected")] == ["a.jsonl"]
    assert read(pool, "passed_over") == [{"file": "d", "reason": "empty"}]
    assert read(pool, "sources") == [
        {"source_dataset": "a", "samples": 7, "rejected": 1, "left_out": 43},
        {"source_dataset": "b", "samples": 1, "rejected": 0, "left_out": 7},
        {"source_dataset": "c", "samples": 3, "rejected": 0, "left_out": 0},
    ]


def open_pool_rows(pool, counts):
    table = open_pool(pool).to_table(columns=["source_dataset", "source_index"])
    rows = list(zip(table["source_dataset"].to_pylist(), table["source_index"].to_pylist(), strict=True))
    assert len(rows) == counts.rows
    return rows


def test_the_draw_is_the_seeds_and_each_sources_own(tmp_path):
    drawn = {}
    for name, shares, seed in (
        ("one", {"a": 0.5}, 0),
        ("again", {"a": 0.5, "b": 0.2}, 0),
        ("other", {"a": 0.5}, 1),
        ("all", {"a": 1.0, "b": 1.0, "c": 1.0}, 0),
    ):
        counts = draw_subsets(tmp_path / name, write(tmp_path / name), shares, seed)
        drawn[name] = [row for row in open_pool_rows(tmp_path / name, counts) if row[0] == "a"]
    assert drawn["one"] == drawn["again"]
    assert drawn["one"] != drawn["other"]
    assert len(drawn["all"]) == 50


def test_what_else_lies_beside_the_pool_stays(tmp_path):
    counts = write(tmp_path / "pool")
    (tmp_path / "pool/contamination.parquet").write_bytes(b"kept")
    draw_subsets(tmp_path / "pool", counts, {"c": 0.5}, 0)
    assert (tmp_path / "pool/contamination.parquet").read_bytes() == b"kept"
    assert sorted(path.name for path in (tmp_path / "pool").glob("pool-*")) == [
        f"pool-0000{part}.parquet" for part in range(3)
    ]


def test_a_source_that_is_not_there_is_named_with_those_that_are(tmp_path):
    with pytest.raises(UserError, match=r"^prepare\.subset_ratio: got 'dolly'; the pool has samples of a, b, c$"):
        draw_subsets(tmp_path / "pool", write(tmp_path / "pool"), {"a": 0.5, "dolly": 0.5}, 0)
