"""The collect stage: every sample of the pool through the warmed selector once, shard by shard, resumable at any
point.
"""

import shutil
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import torch
from tqdm import tqdm

from mygo.collection.answers_alone import score_answers_alone, start_token
from mygo.collection.claims import Claim, Claims, by_cost
from mygo.collection.grader import Grader
from mygo.collection.manifest import published_from, shard_metrics, write_manifest
from mygo.collection.shards import ShardWriter, first_bad_sample, nothing_scored, shard_name, shard_table
from mygo.data.encoding import Encoded, Encoder
from mygo.data.pool import count_rows, iter_batches
from mygo.errors import UserError
from mygo.models.base_weights import BaseWeights
from mygo.params import CollectParams
from mygo.runtime import Runtime
from mygo.scoring.engine import Engine
from mygo.scoring.row_size import RowSize
from mygo.workdir import hash_folder, open_workdir, publish

STATISTICS_VERSION = 3  # raise it whenever the same inputs give other statistics
COLUMNS = ["source_dataset", "source_index", "id", "messages"]
ROW_TOKENS_FILE = ".row_tokens.json"


@dataclass
class Shard:
    """A run of pool rows with their tokens."""

    index: int
    provenance: pa.Table
    encoded: list[Encoded]
    ids: list[torch.Tensor] = field(init=False)
    answers: list[torch.Tensor] = field(init=False)

    def __post_init__(self) -> None:
        self.ids = [torch.from_numpy(sample.input_ids).long() for sample in self.encoded]
        self.answers = [torch.from_numpy(sample.answer) for sample in self.encoded]

    @property
    def lengths(self) -> list[int]:
        return [len(ids) for ids in self.ids]


def collect(
    params: CollectParams, runtime: Runtime, warmed: Path, pool: Path, out: Path, selector: Path | None = None
) -> dict[str, Any]:
    """Write the statistics of every sample of `pool` to `out`; returns the metrics (an empty dict in all processes but
    the first). `selector`, as it was before the warm-up, is needed for `collect.base_nll` alone.

    Work is kept in `work/collect/<fingerprint>`: a killed run picks up at its last complete shard, while other params,
    another model, another pool or another version of this code never see each other's shards. Several processes claim
    shards one by one; the first one publishes when all are there, and scores what a dead process leaves.
    """
    grader = Grader.of(params, warmed, selector)
    fingerprint = make_fingerprint(params, runtime, grader, pool)
    work = open_workdir("collect", fingerprint)
    if not runtime.is_main and published_from(fingerprint, out):  # the others were done before this process had started
        return {}
    shards = -(-count_rows(pool) // params.shard_size)
    order = by_cost(pool, params.shard_size, params.max_length) if runtime.processes > 1 else list(range(shards))
    claims = Claims(work, order, runtime.rank, runtime.processes)
    _score_shards(params, runtime, grader, pool, claims)
    if not runtime.is_main:
        return {}
    files = [work / shard_name(i) for i in range(shards)]
    metrics = shard_metrics(files, params)
    write_manifest(work, files, grader.text_config(), params, fingerprint)
    _remove_leftovers(work)
    publish(work, out)
    claims.clear()
    return metrics


def make_fingerprint(params: CollectParams, runtime: Runtime, grader: Grader, pool: Path) -> dict[str, Any]:
    """Everything that decides the bytes of the statistics."""
    settings = params.model_dump(exclude={"checkpoint", "dtype"})
    computed_in = {"device": runtime.device.type, "dtype": str(runtime.resolve(params.dtype))}
    return {
        "model": grader.digest(),
        "base": grader.base_digest(),
        "pool": hash_folder(pool),
        "params": settings,
        "version": STATISTICS_VERSION,
        **computed_in,
    }


def load_engine(
    params: CollectParams, runtime: Runtime, grader: Grader, file: Path | None = None
) -> tuple[Engine, Encoder]:
    """The model, ready to score, and its tokenizer. `file` remembers the tokens of a row."""
    model = grader.load(runtime.resolve(params.dtype)).eval()
    model.to(cast(Any, runtime.device))
    row_size = RowSize.start(params.tokens_per_batch, model, file)
    base = None if grader.base is None else BaseWeights.of(model, grader.base)
    return Engine(model, params.max_length, row_size, "collect", base), Encoder(grader.tokenizer(), params.max_length)


def _score_shards(params: CollectParams, runtime: Runtime, grader: Grader, pool: Path, claims: Claims) -> None:
    missing = claims.missing()
    if not missing:
        return
    engine, encoder = load_engine(params, runtime, grader, claims.work / ROW_TOKENS_FILE)
    total = count_rows(pool)
    done = total - sum(min(params.shard_size, total - i * params.shard_size) for i in missing)
    _say_plan(engine, runtime, total, done)
    started, tokens, tested = time.perf_counter(), 0, False
    bar = tqdm(total=total, initial=done, desc="collect", unit="sample", disable=not runtime.is_main)
    with ShardWriter(claims.work) as writer, bar:
        for claim, shard in _claimed_shards(encoder, pool, params.shard_size, claims, patient=runtime.is_main):
            if not tested and any(shard.lengths):
                engine.self_test(shard.ids, shard.answers)
                tested = True
            writer.put(shard.index, score_shard(engine, encoder, shard, params, bar), claim.release)
            tokens += sum(shard.lengths)
    seconds = time.perf_counter() - started
    print(
        f"collect: {tokens:,} tokens in {seconds:.1f} s, {tokens / seconds:,.0f} tokens/s on {runtime.device}",
        file=sys.stderr,
    )


def _say_plan(engine: Engine, runtime: Runtime, total: int, done: int) -> None:
    if runtime.is_main:
        processes = "" if runtime.processes == 1 else f", {runtime.processes} processes"
        twice = "" if engine.base is None else "; twice the work, for the NLL of the base (collect.base_nll)"
        print(
            f"collect: {total:,} samples, {done:,} already done; rows of {engine.row_size.tokens:,} tokens on "
            f"{runtime.device}{processes}{twice}",
            file=sys.stderr,
        )


def _claimed_shards(
    encoder: Encoder, pool: Path, shard_size: int, claims: Claims, *, patient: bool
) -> Iterator[tuple[Claim, Shard]]:
    """Claim and encode the next shard in a thread while this one is scored. A patient process stays until all shards
    are on disk.
    """
    while True:
        with ThreadPoolExecutor(1, thread_name_prefix="encoder") as thread:
            ahead: tuple[Claim, Future[Shard]] | None = None
            for claim in claims.take():
                queued = claim, thread.submit(read_shard, encoder, pool, shard_size, claim.shard)
                if ahead is not None:
                    yield ahead[0], ahead[1].result()
                ahead = queued
            if ahead is not None:
                yield ahead[0], ahead[1].result()
        if not patient or not claims.missing():
            return
        time.sleep(0.2)  # what is missing is being scored or written; if its process dies, its claim is free again


def read_shard(encoder: Encoder, pool: Path, shard_size: int, index: int) -> Shard:
    """Read and encode one shard of the pool."""
    return encode_shard(encoder, index, next(iter_batches(pool, COLUMNS, shard_size, first=index * shard_size)))


def encode_shard(encoder: Encoder, index: int, batch: pa.RecordBatch) -> Shard:
    """The rows of a shard with their tokens."""
    table = pa.Table.from_batches([batch])
    return Shard(index, table, encoder.encode(table["messages"].to_pylist()))


def score_shard(engine: Engine, encoder: Encoder, shard: Shard, params: CollectParams, bar: "tqdm[Any]") -> pa.Table:
    """The statistics of a shard as a table in pool order."""
    rows = engine.score(shard.ids, shard.answers, done=bar.update) or nothing_scored(engine)
    base = alone = None
    with engine.as_base() if params.base_nll or params.answer_alone else nullcontext():
        if engine.base is not None:
            base = engine.score(shard.ids, shard.answers) or nothing_scored(engine)
        if params.answer_alone:
            alone = score_answers_alone(engine, shard.encoded, start_token(cast(Any, encoder.tokenizer)))
    bad = first_bad_sample([*rows, *(base or [])], shard.lengths)
    if bad is not None:
        sample, dtype = shard.provenance["id"][bad].as_py(), engine.model.dtype
        raise UserError(
            f"collect: the loss of sample {sample!r} is not finite in {dtype}; use collect.dtype=float32 or warm "
            "up again"
        )
    return shard_table(shard.provenance, shard.encoded, rows, base, alone, params.tokens)


def _remove_leftovers(work: Path) -> None:
    """Temporary files of killed processes, and what runs remember for each other."""
    for leftover in work.glob(".*"):
        shutil.rmtree(leftover, ignore_errors=True) if leftover.is_dir() else leftover.unlink()
