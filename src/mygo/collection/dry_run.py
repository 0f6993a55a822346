"""What collecting would cost, before it is done: counted exactly from the tokenised pool, timed on a few rows."""

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import torch
from tqdm import tqdm

from mygo.collection.collect import COLUMNS, Shard, encode_shard, load_engine, read_shard, score_shard
from mygo.collection.fingerprint import make_fingerprint
from mygo.collection.grader import Grader
from mygo.collection.rejected import none_can_be_encoded
from mygo.collection.shards import TOKEN_COLUMNS, shard_name, write_shard
from mygo.collection.sharing.joining import agreed_row_tokens
from mygo.data.encoding import Encoder
from mygo.data.pool import count_rows, holds_samples, iter_batches
from mygo.params import CollectParams
from mygo.runtime import Runtime
from mygo.scoring.engine import Engine
from mygo.workdir import workdir_of

ROWS_TIMED = 3  # long, middling and short samples


@dataclass
class Counts:
    """Of the whole pool. `padding` counts tokens that a row computes and nobody needs."""

    samples: int = 0
    tokens: int = 0
    truncated: int = 0
    rejected: int = 0
    longest: int = 0
    rows: int = 0
    padding: int = 0
    tokens_to_do: int = 0
    shards: int = 0
    shards_done: int = 0


def dry_run(
    params: CollectParams,
    runtime: Runtime,
    warmed: Path,
    pool: Path,
    selector: Path | None = None,
    reference: Path | None = None,
) -> str:
    """A report for people. Nothing is written. Tokens, time and bytes of the reference set are counted with the pool's;
    how large it is has a line of its own.
    """
    grader = Grader.of(params, warmed, selector)
    engine, encoder = load_engine(params, runtime, grader)
    work = workdir_of("collect", make_fingerprint(params, runtime, grader, pool))
    engine.row_size.tokens = agreed_row_tokens(work) or engine.row_size.tokens
    middle = _a_shard_to_time(encoder, pool, params.shard_size)
    engine.self_test(middle.ids, middle.answers)  # first: it decides how rows are laid out
    counts = _counted(engine, encoder, pool, params.shard_size, work)
    beside = Counts()
    if reference is not None and holds_samples(reference):
        other_work = workdir_of("collect", make_fingerprint(params, runtime, grader, reference))
        beside = _counted(engine, encoder, reference, params.shard_size, other_work)
    sampled = _few_rows(middle, engine)
    seconds, token_bytes, sample_bytes = _calibrate(engine, encoder, sampled, params)
    speed = sum(sampled.lengths) / seconds
    samples, tokens = counts.samples + beside.samples, counts.tokens + beside.tokens
    on_disk = tokens * token_bytes / sum(sampled.lengths) + samples * sample_bytes / len(sampled.ids)
    return _report(counts, beside, engine, runtime, speed, on_disk, params)


def _counted(engine: Engine, encoder: Encoder, pool: Path, shard_size: int, work: Path) -> Counts:
    counts = Counts()
    for shard in _shards(encoder, pool, shard_size):
        _count(counts, shard, engine, done=(work / shard_name(shard.index)).exists())
    return counts


def _a_shard_to_time(encoder: Encoder, pool: Path, shard_size: int) -> Shard:
    """The one in the middle, or if all its samples are rejected the first that has others."""
    samples = count_rows(pool)
    shards = -(-samples // shard_size)
    for index in [(shards - 1) // 2, *range(shards)]:
        shard = read_shard(encoder, pool, shard_size, index)
        if any(shard.lengths):
            return shard
    raise none_can_be_encoded(samples, str(read_shard(encoder, pool, shard_size, 0).encoded[0].rejected))


def _shards(encoder: Encoder, pool: Path, shard_size: int) -> Iterator[Shard]:
    bar = tqdm(total=count_rows(pool), desc="tokenise", unit="sample", disable=None)
    for index, batch in enumerate(iter_batches(pool, COLUMNS, shard_size)):
        yield encode_shard(encoder, index, batch)
        bar.update(batch.num_rows)
    bar.close()


def _count(counts: Counts, shard: Shard, engine: Engine, *, done: bool) -> None:
    lengths = shard.lengths
    rows = engine.rows(lengths, range(len(lengths)))
    counts.samples += len(lengths)
    counts.tokens += sum(lengths)
    counts.tokens_to_do += 0 if done else sum(lengths)
    counts.truncated += sum(sample.truncated for sample in shard.encoded)
    counts.rejected += sum(sample.rejected is not None for sample in shard.encoded)
    counts.longest = max(counts.longest, *lengths)
    counts.rows += len(rows)
    counts.padding += 0 if engine.packed else sum(lengths[row[0]] * len(row) for row in rows) - sum(lengths)
    counts.shards += 1
    counts.shards_done += done


def _few_rows(shard: Shard, engine: Engine) -> Shard:
    """The samples of a first, a middle and a last row of the shard."""
    rows = engine.rows(shard.lengths, range(len(shard.lengths)))
    chosen = sorted({0, len(rows) // 2, len(rows) - 1})[:ROWS_TIMED]
    members = [i for row in chosen for i in rows[row]]
    return Shard(shard.index, shard.provenance.take(members), [shard.encoded[i] for i in members])


def _calibrate(engine: Engine, encoder: Encoder, shard: Shard, params: CollectParams) -> tuple[float, int, int]:
    """Seconds of a second pass over the samples, and their bytes on disk: of the token level, of the rest."""
    bar = tqdm(disable=True)
    score_shard(engine, encoder, shard, params, bar)
    started = time.perf_counter()
    table = score_shard(engine, encoder, shard, params, bar)
    seconds = time.perf_counter() - started
    token_level = [name for name in TOKEN_COLUMNS if name in table.column_names]
    return seconds, _bytes(table.select(token_level)) if token_level else 0, _bytes(table.drop_columns(token_level))


def _bytes(table: pa.Table) -> int:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shard.parquet"
        write_shard(table, path)
        return path.stat().st_size


def _report(
    counts: Counts,
    beside: Counts,
    engine: Engine,
    runtime: Runtime,
    speed: float,
    on_disk: float,
    params: CollectParams,
) -> str:
    mean = counts.tokens / max(1, counts.samples)
    seconds = (counts.tokens_to_do + beside.tokens_to_do) / speed / runtime.processes
    reference = f"{beside.samples:,} samples, {beside.tokens:,} tokens" if beside.samples else "none"
    device = torch.cuda.get_device_name(runtime.device) if runtime.device.type == "cuda" else runtime.device.type
    layout = "packed" if engine.packed else "padded"
    lines = {
        "samples": f"{counts.samples:,}, of which {counts.truncated:,} are cut at {params.max_length:,} tokens",
        "rejected": f"{counts.rejected:,}, which cannot be encoded",
        "tokens": f"{counts.tokens:,} ({mean:.0f} a sample, longest {counts.longest:,})",
        "reference": reference,
        "rows": f"{counts.rows:,} of up to {engine.row_size.tokens:,} tokens, {layout}",
        "passes": "1" if engine.base is None else "2, the second for the NLL of the base (collect.base_nll)",
        "padding": f"{counts.padding / max(1, counts.tokens + counts.padding):.1%}",
        "on disk": f"about {_size(on_disk)} in {counts.shards:,} shards, {counts.shards_done:,} of them already there",
        "speed": (
            f"{speed:,.0f} tokens/s on {device} ({str(engine.model.dtype).removeprefix('torch.')}), from {ROWS_TIMED} "
            "rows"
        ),
        "time": f"about {_duration(seconds)}, {runtime.processes} process{'es' if runtime.processes > 1 else ''}",
    }
    return "\n".join(f"{name:10s}{text}" for name, text in lines.items())


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
