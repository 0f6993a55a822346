"""Writes the selection: `selected.jsonl` with what is kept, `scores.parquet` with every sample of the pool, and the
card that tells `datasets.load_dataset` which of the two is the data set.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from mygo.data.chat.plain import plain_text
from mygo.data.pool import iter_batches
from mygo.data.records import POOL_SCHEMA, Message, from_records, to_records
from mygo.selection.choosing import Chosen
from mygo.selection.grading import Graded
from mygo.selection.strategies import NO_CLUSTER
from mygo.workdir import atomic_folder

BATCH_ROWS = 4096
SELECTED_SCHEMA = pa.schema(
    {
        **{name: POOL_SCHEMA.field(name).type for name in ("source_dataset", "source_index", "id", "messages")},
        "text": pa.string(),
        "quality_score": pa.float64(),
        "rank": pa.int64(),
    }
)
CARD = """---
configs:
- config_name: default
  data_files: selected.jsonl
  description: "{digest}"
---

`selected.jsonl`: the samples that were kept, best first; `datasets.load_dataset` of this folder reads it.

`scores.parquet`: every sample of the pool, kept or not, with its score, rank, cluster and reason.
"""
PARQUET_LINE = """
`selected.parquet`: the same as `selected.jsonl`; `load_dataset("parquet", data_files="selected.parquet")` reads it.
"""


def scores_table(keys: pa.Table, graded: Graded, chosen: Chosen, reason: Sequence[str]) -> pa.Table:
    """Every sample of the pool, in its order. One that cannot be kept, or has no score (NaN), has no rank; one that was
    not clustered has null there, noise -1. `duplicate_of`: the id of the sample that stays for one.
    """
    rank = np.zeros(len(reason), dtype=np.int64)
    rank[graded.ranked] = np.arange(1, len(graded.ranked) + 1)
    no_score_N = np.isnan(graded.score_N)
    stays_N = pa.array(chosen.duplicate_of_N, mask=chosen.duplicate_of_N < 0)
    return pa.table(
        {
            "source_dataset": keys["source_dataset"],
            "source_index": keys["source_index"],
            "id": keys["id"],
            "label": keys["label"],
            "n_tokens": pa.array(graded.n_tokens_N.astype(np.int32)),
            "score": pa.array(graded.score_N, mask=no_score_N),
            "rank": pa.array(rank, mask=no_score_N | (rank == 0)),
            "selected": pa.array(chosen.selected_N),
            "cluster": pa.array(chosen.cluster_N.astype(np.int32), mask=chosen.cluster_N == NO_CLUSTER),
            "reason": pa.array(reason, pa.string()),
            "duplicate_of": keys["id"].take(stays_N).combine_chunks(),
        }
    )


def write_selection(out: Path, pool: Path, scores: pa.Table, kept: np.ndarray, *, parquet: bool = False) -> None:
    """Write the files as the folder `out`, which appears complete or not at all. `kept`: rows of the pool in the order
    they are written; `parquet`: also as `selected.parquet`.

    The pool is streamed; what is held is the finished lines of the kept samples.
    """
    with atomic_folder(out) as folder:
        pq.write_table(scores, folder / "scores.parquet", compression="zstd")
        with (folder / "selected.jsonl").open("wb") as file:
            file.writelines(lines := _lines(pool, scores, kept))
        if parquet:
            _write_parquet(lines, folder / "selected.parquet")
        (folder / "README.md").write_text(
            CARD.format(digest=_digest(lines)) + (PARQUET_LINE if parquet else ""), encoding="utf-8"
        )


def _write_parquet(lines: list[bytes], path: Path) -> None:
    """The same rows, `messages` as a list of structs; calls of tools, which have keys of their own, as JSON text."""
    with pq.ParquetWriter(path, SELECTED_SCHEMA, compression="zstd") as writer:
        for start in range(0, len(lines), BATCH_ROWS):
            rows = [orjson.loads(line) for line in lines[start : start + BATCH_ROWS]]
            records = [row | {"messages": to_records(row["messages"])} for row in rows]
            writer.write_batch(pa.RecordBatch.from_pylist(records, SELECTED_SCHEMA))


def _digest(lines: list[bytes]) -> str:
    """`load_dataset` of a folder that has a card caches by the card alone: it must be another for other samples."""
    total = hashlib.blake2b(digest_size=20)
    for line in lines:
        total.update(line)
    return total.hexdigest()


def _lines(pool: Path, scores: pa.Table, kept: np.ndarray) -> list[bytes]:
    place = np.full(scores.num_rows, -1)
    place[kept] = np.arange(len(kept))
    lines = [b""] * len(kept)
    first = 0
    with tqdm(total=len(kept), desc="selected", unit="sample", disable=None) as progress:
        for batch in iter_batches(pool, ["messages"], BATCH_ROWS):
            here = np.flatnonzero(place[first : first + batch.num_rows] >= 0)
            records = (
                scores.select(["source_dataset", "source_index", "id", "score", "rank"]).take(first + here).to_pylist()
            )
            conversations = from_records(batch.column("messages").take(pa.array(here)))
            for row, record, messages in zip(first + here, records, conversations, strict=True):
                lines[place[row]] = _line(record, messages)
            first += batch.num_rows
            progress.update(len(here))
    return lines


def _line(record: dict[str, str | int | float | None], messages: list[Message]) -> bytes:
    provenance = {name: record[name] for name in ("source_dataset", "source_index", "id")}
    judged = {"quality_score": record["score"], "rank": record["rank"]}
    return orjson.dumps(
        provenance | {"messages": messages, "text": plain_text(messages)} | judged, option=orjson.OPT_APPEND_NEWLINE
    )
