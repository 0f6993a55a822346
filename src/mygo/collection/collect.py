"""The collect stage: every sample of the pool through the warmed selector once, shard by shard, resumable at any
point.
"""

import sys
import time
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import torch
from tqdm import tqdm

from mygo.collection.answers_alone import score_answers_alone, start_token
from mygo.collection.fingerprint import make_fingerprint
from mygo.collection.grader import Grader
from mygo.collection.manifest import published_from, published_shards, shard_metrics
from mygo.collection.rejected import with_reasons
from mygo.collection.shards import ShardWriter, first_bad_sample, nothing_scored, shard_table
from mygo.collection.sharing.claims import Claim, Claims, by_cost
from mygo.collection.sharing.joining import agree_on_row_size, agree_on_threads
from mygo.collection.sharing.publishing import nothing_is_lost_if_published, publish_statistics
from mygo.data.encoding import Encoded, Encoder
from mygo.data.pool import count_rows, iter_batches
from mygo.data.records import from_records
from mygo.errors import UserError, shown
from mygo.models.base_weights import BaseWeights, is_changed
from mygo.params import CollectParams
from mygo.runtime import Runtime
from mygo.scoring.engine import Engine
from mygo.scoring.row_size import RowSize
from mygo.workdir import open_workdir, workdir_of

COLUMNS = ["source_dataset", "source_index", "id", "messages"]


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


@dataclass
class Loaded:
    """A model that is loaded when a first shard is missing, and kept for what the same model grades after."""

    kept: tuple[Engine, Encoder] | None = None

    def get(self, params: CollectParams, runtime: Runtime, grader: Grader, claims: Claims) -> tuple[Engine, Encoder]:
        if self.kept is None:
            self.kept = load_engine(params, runtime, grader, claims)
            return self.kept
        if runtime.device.type == "cpu":
            agree_on_threads(claims)
        engine = self.kept[0]
        engine.row_size = agree_on_row_size(claims, RowSize(engine.row_size.tokens))
        return self.kept


def collect(
    params: CollectParams,
    runtime: Runtime,
    warmed: Path,
    pool: Path,
    out: Path,
    selector: Path | None = None,
    loaded: Loaded | None = None,
) -> dict[str, Any]:
    """Write the statistics of every sample of `pool` to `out`; returns the metrics (an empty dict in all processes but
    the first). `selector`, as it was before the warm-up, is needed for `collect.base_nll` alone. `loaded`: of the same
    parameters, to share the model with another pool.

    Work is kept in `work/collect/<fingerprint>`: a killed run picks up at its last complete shard, while other params,
    another model, another pool or other code never see each other's shards. Several processes claim shards one by one;
    the first one publishes when all are there, and scores what a dead process leaves. A process that comes too late
    finds the result published, at whatever moment, and ends.
    """
    grader = Grader.of(params, warmed, selector)
    fingerprint = make_fingerprint(params, runtime, grader, pool)
    if not published_from(fingerprint, out):
        shards = -(-count_rows(pool) // params.shard_size)
        order = by_cost(pool, params.shard_size, params.max_length) if runtime.processes > 1 else list(range(shards))
        work = workdir_of("collect", fingerprint)
        claims = Claims(work, order, runtime.rank, runtime.processes, lambda: published_from(fingerprint, out))
        with nothing_is_lost_if_published(claims):
            with claims.alone():
                if not claims.finished():
                    open_workdir("collect", fingerprint)
            _score_shards(params, runtime, grader, pool, claims, loaded or Loaded())
            if runtime.is_main:
                publish_statistics(params, grader, fingerprint, claims, out)
    elif runtime.is_main:
        print(f"collect: {out} holds these statistics already", file=sys.stderr)
    if not runtime.is_main:
        return {}
    commit = {} if grader.revision is None else {"base_model_commit": grader.revision}
    return {**shard_metrics(published_shards(out)), **commit}


def load_engine(
    params: CollectParams, runtime: Runtime, grader: Grader, claims: Claims | None = None
) -> tuple[Engine, Encoder]:
    """The model, ready to score, and its tokenizer. Who claims shards of the same work agrees on threads and rows."""
    if claims is not None and runtime.device.type == "cpu":
        agree_on_threads(claims)
    model = grader.load(runtime.resolve(params.dtype)).eval()
    model.to(cast(Any, runtime.device))
    row_size = RowSize.start(params.tokens_per_batch, model)
    row_size = row_size if claims is None else agree_on_row_size(claims, row_size)
    base = None if grader.base is None else BaseWeights.of(model, grader.base)
    engine = Engine(model, params.max_length, row_size, "collect", base, hidden_states=params.hidden_states)
    of_a_base = params.base_nll or params.answer_alone or params.hidden_states
    if is_changed(model) and base is None and of_a_base:
        raise UserError(
            f"collect.base_model: got {shown(grader.name)}, a selector, whose base is not known; takes a plain model, "
            "or null, or false for collect.base_nll, collect.answer_alone and collect.hidden_states"
        )
    return engine, Encoder(grader.tokenizer(), params.max_length)


def _score_shards(
    params: CollectParams, runtime: Runtime, grader: Grader, pool: Path, claims: Claims, loaded: Loaded
) -> None:
    missing = claims.missing()
    if not missing or claims.finished():
        return
    engine, encoder = loaded.get(params, runtime, grader, claims)
    total = count_rows(pool)
    done = total - sum(min(params.shard_size, total - i * params.shard_size) for i in missing)
    _say_plan(engine, runtime, total, done)
    started, tokens, tested = time.perf_counter(), 0, False
    silent = None if runtime.is_main else True  # None: a bar on a terminal, nothing in a file
    bar = tqdm(total=total, initial=done, desc="collect", unit="sample", disable=silent)
    with (
        ShardWriter(claims.work) as writer,
        bar,
        closing(_claimed_shards(encoder, pool, params.shard_size, claims, writer, patient=runtime.is_main)) as claimed,
    ):
        for claim, shard in claimed:
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
    encoder: Encoder, pool: Path, shard_size: int, claims: Claims, writer: ShardWriter, *, patient: bool
) -> Generator[tuple[Claim, Shard], None, None]:
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
        writer.wait()  # a shard of our own that could not be written would never be there
        if not patient or not claims.missing() or claims.finished():
            return
        time.sleep(0.2)  # what is missing is being scored or written; if its process dies, its claim is free again


def read_shard(encoder: Encoder, pool: Path, shard_size: int, index: int) -> Shard:
    """Read and encode one shard of the pool."""
    return encode_shard(encoder, index, next(iter_batches(pool, COLUMNS, shard_size, first=index * shard_size)))


def encode_shard(encoder: Encoder, index: int, batch: pa.RecordBatch) -> Shard:
    """The rows of a shard with their tokens."""
    table = pa.Table.from_batches([batch])
    return Shard(index, table, encoder.encode(from_records(table["messages"])))


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
    return with_reasons(shard_table(shard.provenance, shard.encoded, rows, base, alone, params.tokens), shard.encoded)
