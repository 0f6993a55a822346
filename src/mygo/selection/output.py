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
from mygo.data.records import Message, from_records
from mygo.selection.strategies import NO_CLUSTER
from mygo.workdir import atomic_folder

BATCH_ROWS = 4096
CARD = """---
configs:
- config_name: default
  data_files: selected.jsonl
  description: "{digest}"
---

`selected.jsonl`: the samples that were kept, best first; `datasets.load_dataset` of this folder reads it.

`scores.parquet`: every sample of the pool, kept or not, with its score, rank, cluster and reason.
"""


def scores_table(
    keys: pa.Table,
    n_tokens: np.ndarray,
    score: np.ndarray,
    ranked: np.ndarray,
    cluster: np.ndarray,
    selected: np.ndarray,
    reason: Sequence[str],
) -> pa.Table:
    """Every sample of the pool, in its order. A sample that has no score (NaN) has no rank either; one that
    was not clustered has null there, noise -1.
    """
    rank = np.zeros(len(score), dtype=np.int64)
    rank[ranked] = np.arange(1, len(ranked) + 1)
    return pa.table(
        {
            "source_dataset": keys["source_dataset"],
            "source_index": keys["source_index"],
            "id": keys["id"],
            "label": keys["label"],
            "n_tokens": pa.array(n_tokens.astype(np.int32)),
            "score": pa.array(score, mask=np.isnan(score)),
            "rank": pa.array(rank, mask=np.isnan(score)),
            "selected": pa.array(selected),
            "cluster": pa.array(cluster.astype(np.int32), mask=cluster == NO_CLUSTER),
            "reason": pa.array(reason, pa.string()),
        }
    )


def write_selection(out: Path, pool: Path, scores: pa.Table, kept: np.ndarray) -> None:
    """Write the files as the folder `out`, which appears complete or not at all. `kept`: rows of the pool in the order
    they are written.

    The pool is streamed; what is held is the finished lines of the kept samples.
    """
    with atomic_folder(out) as folder:
        pq.write_table(scores, folder / "scores.parquet", compression="zstd")
        with (folder / "selected.jsonl").open("wb") as file:
            file.writelines(lines := _lines(pool, scores, kept))
        (folder / "README.md").write_text(CARD.format(digest=_digest(lines)), encoding="utf-8")


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
