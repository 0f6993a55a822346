"""Samples that cannot be encoded have null statistics and a reason, the rest is scored; a pool of them is refused."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from mygo.collection import collect as module
from mygo.collection.collect import collect
from mygo.collection.dry_run import dry_run
from mygo.collection.shards import TOKEN_COLUMNS
from mygo.data.encoding import Encoded, Encoder
from mygo.errors import UserError
from tests.collection.processes import CPU, EIGHT_SHARDS, contents

pytestmark = pytest.mark.parametrize("tiny_selector", ["select_moe"], indirect=True)
REASON = "the template wants roles that take turns"
REJECTED = [0, 1, 2, 3, 4, 17, 39]  # the whole of the first shard among them


def nothing_of_it() -> Encoded:
    return Encoded(np.empty(0, np.int32), np.empty(0, bool), np.empty(0, bool), False, REASON)


@pytest.fixture
def reject(monkeypatch, conversations):
    """Makes the encoder reject some of the conversations."""
    encode = Encoder.encode

    def reject(bad):
        chosen = [conversations[i] for i in bad]
        monkeypatch.setattr(
            Encoder,
            "encode",
            lambda self, chats: [
                nothing_of_it() if chat in chosen else sample
                for chat, sample in zip(chats, encode(self, chats), strict=True)
            ],
        )

    return reject


def table_of(out: Path):
    return pq.ParquetDataset(sorted(out.glob("shard-*.parquet"))).read()


def test_a_rejected_sample_has_a_reason_and_no_statistics_and_the_others_what_they_had(
    tiny_selector, pool, reject, conversations
):
    params = EIGHT_SHARDS.model_copy(update={"answer_alone": True, "base_nll": True})
    whole = collect(params, CPU, tiny_selector.parent, pool, Path("whole"), tiny_selector)
    reject(REJECTED)
    metrics = collect(params, CPU, tiny_selector.parent, pool, Path("out"), tiny_selector)
    table, expected = table_of(Path("out")), table_of(Path("whole"))
    assert table["id"].to_pylist() == [f"made_{i}" for i in range(40)]
    assert table.schema == expected.schema
    rows = zip(table.to_pylist(), expected.to_pylist(), strict=True)
    for i, (row, before) in enumerate(rows):
        if i in REJECTED:
            assert (row["n_tokens"], row["truncated"], row["rejected"]) == (0, False, REASON)
            assert {row[name] for name in TOKEN_COLUMNS} == {b""}
            means = [name for name in row if name.startswith(("nll", "base_nll", "gate_m", "gate_w", "router"))]
            assert len(means) == 13
            assert {row[name] for name in means} == {None}
        else:
            assert row["rejected"] is None
            assert row["nll"] == pytest.approx(before["nll"], abs=1e-5)
            assert row["gate_mean"] == pytest.approx(before["gate_mean"], abs=1e-5)
    listed = pq.read_table("out/rejected.parquet")
    assert listed.to_pylist() == [
        {"source_dataset": "made", "source_index": i, "id": f"made_{i}", "reason": REASON} for i in REJECTED
    ]
    tokens = sum(before["n_tokens"] for i, before in enumerate(expected.to_pylist()) if i not in REJECTED)
    assert (metrics["samples"], metrics["rejected"], metrics["tokens"]) == (40, 7, tokens)
    assert metrics["not_gradable"] == whole["not_gradable"] == 0
    assert whole["rejected"] == pq.read_metadata("whole/rejected.parquet").num_rows == 0
    manifests = [json.loads(Path(out, "manifest.json").read_text()) for out in ("out", "whole")]
    assert [manifests[0][key] for key in ("layers", "experts", "records")] == [2, 4, ["gates", "routers"]]


def test_a_run_that_was_interrupted_lists_the_same_rejected_samples(tiny_selector, pool, reject, monkeypatch):
    reject(REJECTED)
    score = module.score_shard

    def until_the_fifth(engine, encoder, shard, *rest):
        if shard.index == 4:
            raise KeyboardInterrupt
        return score(engine, encoder, shard, *rest)

    monkeypatch.setattr(module, "score_shard", until_the_fifth)
    with pytest.raises(KeyboardInterrupt):
        collect(EIGHT_SHARDS, CPU, tiny_selector.parent, pool, Path("out"))
    monkeypatch.setattr(module, "score_shard", score)
    collect(EIGHT_SHARDS, CPU.as_worker(), tiny_selector.parent, pool, Path("out"))  # another process does the rest
    collect(EIGHT_SHARDS, CPU, tiny_selector.parent, pool, Path("out"))
    collect(EIGHT_SHARDS, CPU, tiny_selector.parent, pool, Path("whole"))
    assert contents(Path("out")) == contents(Path("whole"))


def test_the_model_is_tested_on_the_first_shard_that_has_samples(tiny_selector, pool, reject, monkeypatch):
    reject(range(12))
    tested = []
    monkeypatch.setattr(module.Engine, "self_test", lambda self, ids, *_: tested.append([len(x) > 0 for x in ids]))
    collect(EIGHT_SHARDS, CPU, tiny_selector.parent, pool, Path("out"))
    assert tested == [[False, False, True, True, True]]


def test_a_pool_of_which_nothing_can_be_encoded_is_refused_with_the_first_reason(tiny_selector, pool, reject):
    reject(range(40))
    said = rf"^collect: none of the 40 samples can be encoded, the first because {REASON}$"
    for _ in range(2):  # the second time all shards are there
        with pytest.raises(UserError, match=said):
            collect(EIGHT_SHARDS, CPU, tiny_selector.parent, pool, Path("out"))
    assert not Path("out").exists()
    with pytest.raises(UserError, match=said):
        dry_run(EIGHT_SHARDS, CPU, tiny_selector.parent, pool)


def test_the_dry_run_counts_them(tiny_selector, pool, reject):
    reject([*REJECTED, *range(15, 20)])  # the shard in the middle too
    said = dry_run(EIGHT_SHARDS, CPU, tiny_selector.parent, pool).splitlines()
    assert "rejected  11, which cannot be encoded" in said
