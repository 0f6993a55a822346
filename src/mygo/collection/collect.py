"""The collect stage: every sample of the pool through the warmed selector once, shard by shard, resumable at any point."""

import json
import shutil
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from tqdm import tqdm
from transformers import AutoTokenizer, PreTrainedModel

import mygo.collection.attention as packed
from mygo.collection.forward import RowStatistics, score_row
from mygo.collection.packing import pack_rows
from mygo.collection.selftest import check_packing
from mygo.collection.shards import ShardWriter, first_bad_sample, shard_name, shard_table, tensors
from mygo.data.encoding import Encoded, Encoder
from mygo.data.pool import count_rows, iter_batches
from mygo.errors import UserError
from mygo.models.checkpoints import checkpoint_digest, checkpoint_folder, load_checkpoint
from mygo.params import CollectParams
from mygo.runtime import Runtime
from mygo.workdir import FINGERPRINT_FILE, hash_folder, open_workdir, publish, write_atomically

STATISTICS_VERSION = 1  # raise it whenever the same inputs give other statistics


@dataclass(frozen=True)
class Shard:
    """A run of pool rows with their tokens."""

    index: int
    provenance: pa.Table
    encoded: list[Encoded]


def collect(params: CollectParams, runtime: Runtime, warmed: Path, pool: Path, out: Path) -> dict[str, Any]:
    """Write the statistics of every sample of `pool` to `out`; returns the metrics.

    Work is kept in `work/collect/<fingerprint>`: a killed run picks up at its last complete shard, while other params, another model,
    another pool or another version of this code never see each other's shards. With several processes each takes its share of the
    shards, and the first one publishes when all are there.
    """
    checkpoint = checkpoint_folder(warmed, params.checkpoint)
    work = open_workdir("collect", _fingerprint(params, runtime, checkpoint, pool))
    shards = -(-count_rows(pool) // params.shard_size)
    # By number, not by place among those missing: the processes do not look at the folder at the same moment.
    mine = [i for i in range(runtime.rank, shards, runtime.processes) if not (work / shard_name(i)).exists()]
    if mine:
        _score_shards(params, runtime, checkpoint, pool, work, mine)
    if not runtime.is_main:
        return {}
    _wait_for(work, shards)
    metrics = _finish(params, work, shards, checkpoint)
    publish(work, out)
    return metrics


def _fingerprint(params: CollectParams, runtime: Runtime, checkpoint: Path, pool: Path) -> dict[str, Any]:
    """Everything that decides the bytes of the statistics."""
    settings = params.model_dump(exclude={"checkpoint", "dtype"})
    computed_in = {"device": runtime.device.type, "dtype": str(runtime.resolve(params.dtype))}
    return {"model": checkpoint_digest(checkpoint), "pool": hash_folder(pool), "params": settings, "version": STATISTICS_VERSION, **computed_in}


def _score_shards(params: CollectParams, runtime: Runtime, checkpoint: Path, pool: Path, work: Path, mine: list[int]) -> None:
    model = load_checkpoint(checkpoint, runtime.resolve(params.dtype), attn_implementation=packed.NAME).eval()
    model.to(cast(Any, runtime.device))
    gated = "gate_scores" in (model.get_decoder()._can_record_outputs or {})
    encoder = Encoder(AutoTokenizer.from_pretrained(checkpoint), params.max_length)
    total = count_rows(pool)
    done = total - sum(min(params.shard_size, total - i * params.shard_size) for i in mine)
    started, tokens, tested = time.perf_counter(), 0, False
    bar = tqdm(total=total, initial=done, desc="collect", unit="sample", disable=not runtime.is_main)
    with ShardWriter(work) as writer, bar:
        for shard in _read_ahead(encoder, pool, params.shard_size, mine):
            if not tested:
                check_packing(model, *_inputs(shard.encoded), gated=gated)
                tested = True
            writer.put(shard.index, _score_shard(model, shard, params, gated, bar))
            tokens += sum(len(sample.input_ids) for sample in shard.encoded)
    seconds = time.perf_counter() - started
    print(f"collect: {tokens:,} tokens in {seconds:.1f} s, {tokens / seconds:,.0f} tokens/s on {runtime.device}", file=sys.stderr)


def _read_ahead(encoder: Encoder, pool: Path, shard_size: int, wanted: list[int]) -> Iterator[Shard]:
    """Encode the next shard in a thread while this one is scored; shards that are done are not encoded."""

    def encode(index: int, batch: pa.RecordBatch) -> Shard:
        table = pa.Table.from_batches([batch])
        return Shard(index, table, encoder.encode(table["messages"].to_pylist()))

    keep = set(wanted)
    columns = ["source_dataset", "source_index", "id", "messages"]
    with ThreadPoolExecutor(1, thread_name_prefix="encoder") as thread:
        ahead = None
        for index, batch in enumerate(iter_batches(pool, columns, shard_size)):
            if index not in keep:
                continue
            queued = thread.submit(encode, index, batch)
            if ahead is not None:
                yield ahead.result()
            ahead = queued
        if ahead is not None:
            yield ahead.result()


def _inputs(encoded: list[Encoded]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    return tensors([sample.input_ids for sample in encoded], torch.int64), tensors([sample.answer for sample in encoded], torch.bool)


def _score_shard(model: PreTrainedModel, shard: Shard, params: CollectParams, gated: bool, bar: "tqdm[Any]") -> pa.Table:
    ids, answers = _inputs(shard.encoded)
    lengths = [len(sample) for sample in ids]
    rows: list[tuple[list[int], RowStatistics]] = []
    for members in pack_rows(lengths, params.tokens_per_batch):
        if lengths[members[0]] == 0:
            continue  # the longest of the row: nothing to score in it
        scored = score_row(model, [ids[i] for i in members], [answers[i] for i in members], gated=gated)
        if rows:  # copied only now, so that the device already has its next row
            rows[-1] = (rows[-1][0], rows[-1][1].to_cpu())
        rows.append((members, scored))
        bar.update(len(members))
    if rows:
        rows[-1] = (rows[-1][0], rows[-1][1].to_cpu())
    bad = first_bad_sample(rows, lengths)
    if bad is not None:
        sample = shard.provenance["id"][bad].as_py()
        raise UserError(f"collect: the loss of sample {sample!r} is not finite in {model.dtype}; use collect.dtype=float32 or warm up again")
    return shard_table(shard.provenance, lengths, [sample.truncated for sample in shard.encoded], rows, params.tokens)


def _wait_for(work: Path, shards: int) -> None:
    """Other processes may still be writing theirs; no collective is needed to see them arrive."""
    while not all((work / shard_name(i)).exists() for i in range(shards)):
        time.sleep(0.5)


def _finish(params: CollectParams, work: Path, shards: int, checkpoint: Path) -> dict[str, Any]:
    """Write the manifest from the shards themselves, so that a resumed run says the same as an uninterrupted one."""
    files = [work / shard_name(i) for i in range(shards)]
    schema = pq.read_schema(files[0])
    config = json.loads((checkpoint / "config.json").read_text())
    gated = "gate_mean" in schema.names
    layers = schema.field("gate_mean").type.list_size if gated else config["num_hidden_layers"]
    experts = schema.field("router_probs").type.list_size // layers if "router_probs" in schema.names else 0
    manifest = {
        "fingerprint": json.loads((work / FINGERPRINT_FILE).read_text()),
        "layers": layers,
        "experts": experts,
        "hidden": config["hidden_size"],
        "gated": gated,
        "tokens": params.tokens,
        "shards": [{"file": file.name, "rows": pq.read_metadata(file).num_rows} for file in files],
    }
    write_atomically(work / "manifest.json", json.dumps(manifest, indent=1, sort_keys=True).encode() + b"\n")
    (work / FINGERPRINT_FILE).unlink()
    for leftover in work.glob(".*"):
        shutil.rmtree(leftover, ignore_errors=True) if leftover.is_dir() else leftover.unlink()
    return _metrics(params, files)


def _metrics(params: CollectParams, files: list[Path]) -> dict[str, Any]:
    """Counts only: what depends on the clock is printed, not tracked."""
    table = pa.concat_tables([pq.read_table(file, columns=["n_tokens", "truncated", "nll"]) for file in files])
    lengths = table["n_tokens"].to_pylist()
    per_shard = [lengths[start : start + params.shard_size] for start in range(0, len(lengths), params.shard_size)]
    rows = sum(len(pack_rows(shard, params.tokens_per_batch)) for shard in per_shard)
    tokens = sum(lengths)
    return {
        "samples": len(lengths),
        "tokens": tokens,
        "rows": rows,
        "row_fill": tokens / (rows * params.tokens_per_batch),
        "truncated": sum(table["truncated"].to_pylist()),
        "not_gradable": table["nll"].null_count,
        "shards": len(files),
    }
