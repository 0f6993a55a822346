"""Statistics of a shard as an Arrow table, and the writer that puts shards on disk in a thread of its own.

S samples of the shard, T tokens of a sample, L layers.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from mygo.scoring.engine import Engine, ScoredRow
from mygo.scoring.row_statistics import RowStatistics
from mygo.workdir import sync_rename

TOKEN_COLUMNS = ("token_nll", "gate_logits", "token_nll_answer_alone")  # one blob a sample
POOLED = {
    "gate_mean": "gate_mean_SL",
    "gate_weighted": "gate_weighted_SL",
    "router_probs": "router_probs_S",
    "router_logits": "router_logits_S",
    "hidden_mean": "hidden_mean_SD",
}


def shard_name(index: int) -> str:
    return f"shard-{index:05d}.parquet"


def shard_table(
    provenance: pa.Table,
    lengths: Sequence[int],
    truncated: Sequence[bool],
    rows: Sequence[ScoredRow],
    alone: Sequence[np.ndarray] | None,
    tokens: bool,
) -> pa.Table:
    """The shard in pool order. `alone`: the NLL of each sample's answers without their instructions, where they were
    scored.
    """
    total = len(lengths)
    columns = {name: provenance[name] for name in ("source_dataset", "source_index", "id")}
    columns["n_tokens"] = pa.array(lengths, pa.int32())
    columns["truncated"] = pa.array(truncated, pa.bool_())
    for name, field in (("nll", "nll_S"), ("nll_answer", "answer_nll_S")):
        columns[name] = pa.array(_scatter(rows, field, total), pa.float32(), from_pandas=True)
    for name, field in POOLED.items():
        if rows and getattr(rows[0][1], field) is not None:
            columns[name] = _fixed_size_lists(_scatter(rows, field, total))
    if alone is not None:
        columns["nll_answer_alone"] = pa.array([float(nll.mean()) if len(nll) else None for nll in alone], pa.float32())
    if tokens:
        columns |= _token_columns(rows, lengths)
    if tokens and alone is not None:
        columns["token_nll_answer_alone"] = pa.array([nll.tobytes() for nll in alone], pa.binary())
    return pa.table(columns)


def row_of_no_sample(engine: Engine) -> ScoredRow:
    """In place of the rows of a shard of which no sample has a token, so that it has the columns of all others."""
    [(_, one)] = engine.score([torch.zeros(2, dtype=torch.long)], [torch.zeros(2, dtype=torch.bool)])
    none: dict[str, Any] = {name: x if x is None else x[:0] for name, x in vars(one).items()}
    return [], RowStatistics(**none)


def _scatter(rows: Sequence[ScoredRow], field: str, total: int) -> np.ndarray:
    """Per-sample values of all rows in pool order, [S] or [S, ...]; samples that were in no row stay NaN."""
    parts = [getattr(statistics, field) for _, statistics in rows]
    width = parts[0].shape[1:] if parts else ()
    out = np.full((total, *width), np.nan, dtype=np.float32)
    for (members, _), part in zip(rows, parts, strict=True):
        out[members] = part.numpy()
    return out


def _fixed_size_lists(values: np.ndarray) -> pa.FixedSizeListArray:
    missing = np.isnan(values[:, 0])
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1], mask=pa.array(missing))


def _token_columns(rows: Sequence[ScoredRow], lengths: Sequence[int]) -> dict[str, pa.Array]:
    """One binary blob per sample and signal: far faster in Parquet than lists of numbers."""
    nll: list[bytes] = [b""] * len(lengths)
    gates: list[bytes] = [b""] * len(lengths)
    gated = bool(rows) and rows[0][1].gate_LN is not None
    for members, statistics in rows:
        token = predicted = 0
        for i in members:
            nll[i] = statistics.nll_M[predicted : predicted + lengths[i] - 1].numpy().tobytes()
            predicted += lengths[i] - 1
            if statistics.gate_LN is not None:
                gates[i] = statistics.gate_LN[:, token : token + lengths[i]].numpy().tobytes()
            token += lengths[i]
    columns = {"token_nll": pa.array(nll, pa.binary())}
    return columns | {"gate_logits": pa.array(gates, pa.binary())} if gated else columns


def first_bad_sample(rows: Sequence[ScoredRow], lengths: Sequence[int]) -> int | None:
    """The first sample of two tokens or more whose mean NLL is not finite."""
    nll_S = _scatter(rows, "nll_S", len(lengths))
    bad = ~np.isfinite(nll_S) & (np.asarray(lengths) > 1)
    return int(np.flatnonzero(bad)[0]) if bad.any() else None


def write_shard(table: pa.Table, path: Path) -> None:
    """Token blobs are as good as random: dictionaries and statistics of them cost time and save nothing. Small pages
    let readers stream them without holding a shard's tokens.
    """
    options: Any = {"use_dictionary": ["source_dataset"], "write_statistics": False, "max_rows_per_page": 16}
    pq.write_table(table, path, compression="zstd", **options)


class ShardWriter:
    """Writes shards in one thread behind the scoring, at most `ahead` of them waiting. A shard exists only when it is
    complete.
    """

    def __init__(self, folder: Path, ahead: int = 1) -> None:
        self.folder = folder
        self.ahead = ahead
        self.pool = ThreadPoolExecutor(1, thread_name_prefix="shard-writer")
        self.waiting: list[Future[None]] = []

    def put(self, index: int, table: pa.Table, written: Callable[[], object] = lambda: None) -> None:
        """Queue a shard; blocks while the queue is full and raises what an earlier write raised. `written` is called
        once it is on disk.
        """
        while len(self.waiting) >= self.ahead:
            self.waiting.pop(0).result()
        self.waiting.append(self.pool.submit(self._write, index, table, written))

    def _write(self, index: int, table: pa.Table, written: Callable[[], object]) -> None:
        with sync_rename(self.folder / shard_name(index)) as temporary:
            write_shard(table, temporary)
        written()

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.pool.shutdown(wait=True)
        if kind is None:
            for future in self.waiting:
                future.result()
