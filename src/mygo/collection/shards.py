"""Statistics of a shard as an Arrow table, and the writer that puts shards on disk in a thread of its own.

S samples of the shard, T tokens of a sample, L layers.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from math import isfinite
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from mygo.collection.answers_alone import answer_turns
from mygo.data.encoding import Encoded
from mygo.scoring.engine import Engine, ScoredRow
from mygo.workdir import sync_rename

TOKEN_COLUMNS = ("token_nll", "answer", "gate_logits", "token_nll_answer_alone")  # one blob a sample
NLL = {"nll": "nll_S", "nll_answer": "answer_nll_S"}
POOLED = {
    "gate_mean": "gate_mean_SL",
    "gate_weighted": "gate_weighted_SL",
    "gate_mean_answer": "gate_mean_answer_SL",
    "gate_weighted_answer": "gate_weighted_answer_SL",
    "router_probs": "router_probs_S",
    "router_logits": "router_logits_S",
    "trash_mass": "trash_mass_S",
    "hidden_mean": "hidden_mean_SD",
}
OF_THE_BASE = {"base_hidden_mean": "base_hidden_mean_SD", "base_hidden_weighted": "base_hidden_weighted_SD"}


def shard_name(index: int) -> str:
    return f"shard-{index:05d}.parquet"


def nothing_scored(engine: Engine) -> list[ScoredRow]:
    """For a shard in which no sample has a token: what there is to be recorded of one, of none."""
    _, of_one_token = engine.score([torch.zeros(1, dtype=torch.long)], [torch.zeros(1, dtype=torch.bool)])[0]
    return [([], of_one_token.of_none())]


def shard_table(
    provenance: pa.Table,
    encoded: Sequence[Encoded],
    rows: Sequence[ScoredRow],
    base: Sequence[ScoredRow] | None,
    alone: Sequence[np.ndarray] | None,
    tokens: bool,
) -> pa.Table:
    """The shard in pool order.

    `base`: what the base says, where it was asked beside a model with gates. `alone`: the NLL of each sample's answers
    without their instructions, where they were scored.
    """
    lengths = [len(sample.input_ids) for sample in encoded]
    columns = {name: provenance[name] for name in ("source_dataset", "source_index", "id")}
    columns["n_tokens"] = pa.array(lengths, pa.int32())
    columns["truncated"] = pa.array([sample.truncated for sample in encoded], pa.bool_())
    columns["end_tokens_removed"] = pa.array([sample.end_tokens for sample in encoded], pa.int32())
    for prefix, scored in (("", rows), ("base_", base or [])):
        for name, field in NLL.items() if scored else ():
            columns[prefix + name] = pa.array(_scatter(scored, field, len(lengths)), pa.float32(), from_pandas=True)
    for scored, pooled in ((rows, POOLED), (base or rows, OF_THE_BASE)):
        for name, field in pooled.items():
            if getattr(scored[0][1], field) is not None:
                columns[name] = _fixed_size_lists(_scatter(scored, field, len(lengths)))
    if alone is not None:
        columns |= _first_answers(encoded, base or rows, alone)
        columns["nll_answer_alone"] = pa.array([float(nll.mean()) if len(nll) else None for nll in alone], pa.float32())
    if tokens:
        columns |= _token_columns(rows, lengths)
        columns["answer"] = pa.array([sample.answer.astype(np.uint8).tobytes() for sample in encoded], pa.binary())
    if tokens and alone is not None:
        columns["token_nll_answer_alone"] = pa.array([nll.tobytes() for nll in alone], pa.binary())
    return pa.table(columns)


def _first_answers(
    encoded: Sequence[Encoded], rows: Sequence[ScoredRow], alone: Sequence[np.ndarray]
) -> dict[str, pa.Array]:
    """Mean NLL of each sample's first answer, with its instruction and without, over the same tokens: what IFD divides.
    Null without an answer.
    """
    means: dict[str, list[float | None]] = {
        name: [None] * len(encoded) for name in ("nll_first_answer", "nll_first_answer_alone")
    }
    for members, row in rows:
        of_samples = row.one_by_one([len(encoded[i].input_ids) for i in members])
        for i, sample in zip(members, of_samples, strict=True):
            for first, stop in answer_turns(encoded[i])[:1]:
                begins = max(first, 1)  # a conversation's very first token has no NLL
                if begins < stop:
                    means["nll_first_answer"][i] = float(sample.nll_M[begins - 1 : stop - 1].mean())
                    means["nll_first_answer_alone"][i] = float(alone[i][begins - first : stop - first].mean())
    return {name: pa.array(values, pa.float32()) for name, values in means.items()}


def _scatter(rows: Sequence[ScoredRow], field: str, total: int) -> np.ndarray:
    """Per-sample values of all rows in pool order, [S] or [S, ...]; samples that were in no row stay NaN."""
    parts = [getattr(statistics, field) for _, statistics in rows]
    out = np.full((total, *parts[0].shape[1:]), np.nan, dtype=np.float32)
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
    for members, row in rows:
        for i, sample in zip(members, row.one_by_one([lengths[i] for i in members]), strict=True):
            nll[i] = sample.nll_M.numpy().tobytes()
            if sample.gate_LN is not None:
                gates[i] = sample.gate_LN.numpy().tobytes()
    columns = {"token_nll": pa.array(nll, pa.binary())}
    return columns | {"gate_logits": pa.array(gates, pa.binary())} if rows[0][1].gate_LN is not None else columns


def first_bad_sample(rows: Sequence[ScoredRow], lengths: Sequence[int]) -> int | None:
    """The first sample of two tokens or more whose mean NLL is not finite in one of the rows that it was in."""
    bad = [i for members, row in rows for i, nll in zip(members, row.nll_S.tolist(), strict=True) if not isfinite(nll)]
    return min((i for i in bad if lengths[i] > 1), default=None)


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
        self.wait(self.ahead - 1)
        self.waiting.append(self.pool.submit(self._write, index, table, written))

    def wait(self, left: int = 0) -> None:
        """Until no more than `left` shards are waiting; raises what a write raised."""
        while len(self.waiting) > left:
            self.waiting.pop(0).result()

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
            self.wait()
