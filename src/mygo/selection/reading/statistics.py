"""Reads the statistics that `collect` wrote: a manifest and Parquet shards, one row per sample of the pool, in its
order.

N samples of the pool, L layers, T tokens of a sample, B samples of a batch. Sample-level columns are held whole; tokens
are streamed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ValidationError
from tqdm import tqdm

from mygo.errors import UserError, shown

VALUES_PER_BATCH = 2**19  # gate values (layers x tokens) that are in memory at once
AGAIN = "run collect again"
FEATURES = ("router_probs", "base_hidden_mean", "hidden_mean")  # what samples are clustered by, the first recorded
CLUSTERED_BY = {  # columns that a choice of select.clustering.features is made of
    "router_probs": ("router_probs",),
    "router_logits": ("router_logits",),
    "hidden_mean": ("base_hidden_mean", "hidden_mean"),
    "gate_profile": ("gate_mean",),
}


class ShardEntry(BaseModel):
    file: str
    rows: int


class Manifest(BaseModel):
    """What select needs of `manifest.json`."""

    fingerprint: dict[str, Any]
    layers: int
    records: list[str]  # of gates, routers, hidden
    selector: bool  # `nll` is of a selector, and the base's own, if it was asked for, in `base_nll`
    tokens: bool
    shards: list[ShardEntry]
    router_layers: int = 0
    experts: int = 0  # of each router, without trash experts, which stand behind these
    experts_per_token: int = 0
    trash_experts: int = 0


@dataclass(frozen=True)
class TokenBatch:
    """The token level of some samples, each of two tokens or more, end to end: `nll` has T - 1 values of a sample,
    `gate_logits` L x T, `answer` T.
    """

    rows_B: np.ndarray  # their places in the pool
    n_tokens_B: np.ndarray
    nll: np.ndarray  # float32, nats
    gate_logits: np.ndarray  # float16
    answer: np.ndarray | None = None  # bool, which tokens belong to an answer; None: was not asked for


@dataclass(frozen=True)
class Statistics:
    """An opened folder of statistics. It holds no labels, so no score can see one."""

    folder: Path
    manifest: Manifest

    @property
    def rows(self) -> int:
        return sum(shard.rows for shard in self.manifest.shards)

    def has(self, column: str) -> bool:
        with self._open(self.manifest.shards[0]) as file:
            return column in file.schema_arrow.names

    def values(self, column: str) -> np.ndarray:
        """A numeric column as float64 [N], NaN where it is null."""
        return np.asarray(self._table([column]).column(0).to_numpy(), dtype=np.float64)

    def per_layer(self, column: str) -> np.ndarray:
        """A column of one list per sample as float32 [N, L], NaN where the list is null."""
        layers = self.manifest.layers
        chunks = [
            self._lists(shard, column, layers, f"the manifest says {layers} layers") for shard in self.manifest.shards
        ]
        return np.concatenate(chunks)

    def lists(self, column: str, width: int) -> np.ndarray:
        """A column of lists of `width` numbers as float32 [N, width], NaN where the list is null."""
        why = f"the manifest asks for lists of {width}"
        return np.concatenate([self._lists(shard, column, width, why) for shard in self.manifest.shards])

    def features(self, rows: np.ndarray, names: Sequence[str] = FEATURES) -> np.ndarray:
        """Features of some samples (their places in the pool, ascending) as float32 [rows, D]: the first of these
        columns that collect recorded. By default mean router probabilities of each layer and expert, or the mean last
        hidden state of dense families (DESIGN section 6). Held once, plus one shard.

        Raises `UserError` if collect recorded none of them, or not of all these samples.
        """
        column, width = self._feature_column(names)
        x_RD = np.empty((len(rows), width), dtype=np.float32)
        first_row = done = 0
        for shard in self.manifest.shards:
            here = rows[done : np.searchsorted(rows, first_row + shard.rows)] - first_row
            x_RD[done : done + len(here)] = self._lists(shard, column, width, f"the first shard has lists of {width}")[
                here
            ]
            first_row, done = first_row + shard.rows, done + len(here)
        bad = np.flatnonzero(~np.isfinite(x_RD.sum(axis=1)))
        if len(bad):
            raise UserError(f"{self.folder}: {column} of sample {rows[bad[0]]} is not finite; {AGAIN}")
        return x_RD

    def token_batches(self, *, answer: bool = False) -> Iterator[TokenBatch]:
        """Stream the token level, a bounded number of values at a time, however many tokens the pool has."""
        columns = ["n_tokens", "token_nll", "gate_logits", *(["answer"] if answer else [])]
        first_row = 0
        for shard in tqdm(self.manifest.shards, desc="tokens", unit="shard", disable=None):
            longest = max(1, self._read(shard, ["n_tokens"]).column(0).to_numpy().max())
            batch_rows = max(1, VALUES_PER_BATCH // (longest * self.manifest.layers))
            with self._open(shard) as file:  # a small buffer in place of whole column chunks: memory stays bounded
                self._check_columns(shard, file, columns)
                for batch in file.iter_batches(batch_rows, columns=columns):
                    yield self._token_batch(shard, batch, first_row)
                    first_row += batch.num_rows

    def check_rows(self, keys: pa.Table) -> None:
        """Raise `UserError` unless the rows are those of the pool, one to one (`keys`: its source_dataset and
        source_index).
        """
        recorded = self._table(["source_dataset", "source_index"])
        if recorded.num_rows != keys.num_rows:
            raise UserError(
                f"{self.folder}: has {recorded.num_rows:,} samples, the pool {keys.num_rows:,}, so it is of "
                f"another pool; {AGAIN}"
            )
        for name in recorded.column_names:
            got, expected = recorded[name].cast(keys[name].type), keys[name]
            if not got.equals(expected):
                row, pair = next(
                    (row, pair)
                    for row, pair in enumerate(zip(got.to_pylist(), expected.to_pylist(), strict=True))
                    if pair[0] != pair[1]
                )
                here, there = (shown(value) for value in pair)
                raise UserError(
                    f"{self.folder}: sample {row} has {name} {here}, in the pool {there}, so it is of another pool; "
                    f"{AGAIN}"
                )

    def _feature_column(self, names: Sequence[str]) -> tuple[str, int]:
        with self._open(self.manifest.shards[0]) as file:
            schema = file.schema_arrow
        for name in names:
            if name in schema.names and pa.types.is_fixed_size_list(schema.field(name).type):
                return name, schema.field(name).type.list_size
        raise UserError(
            f"select.clustering.features: {self.folder} holds no features of samples ({', '.join(names)}); takes "
            f"{self._other_features(schema)}"
        )

    @staticmethod
    def _other_features(schema: pa.Schema) -> str:
        here = [choice for choice, names in CLUSTERED_BY.items() if any(name in schema.names for name in names)]
        return ", ".join([*here, "text"])

    def _lists(self, shard: ShardEntry, column: str, width: int, why: str) -> np.ndarray:
        """A shard's column of lists of `width` numbers as float32 [rows, width], NaN where the list is null."""
        data = self._read(shard, [column]).column(0).combine_chunks()
        if not pa.types.is_fixed_size_list(data.type) or data.type.list_size != width:
            raise UserError(f"{self.folder / shard.file}: {column} is {data.type}, {why}; {AGAIN}")
        values = np.full((len(data), width), np.nan, dtype=np.float32)
        values[data.is_valid().to_numpy(zero_copy_only=False)] = (
            data.flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
        )
        return values

    def _table(self, columns: Sequence[str]) -> pa.Table:
        return pa.concat_tables([self._read(shard, columns) for shard in self.manifest.shards])

    def _read(self, shard: ShardEntry, columns: Sequence[str]) -> pa.Table:
        with self._open(shard) as file:
            self._check_columns(shard, file, columns)
            return file.read(columns=columns, use_threads=False)

    def _check_columns(self, shard: ShardEntry, file: pq.ParquetFile, columns: Sequence[str]) -> None:
        """Parquet readers leave out in silence what is not there."""
        for name in columns:
            if name not in file.schema_arrow.names:
                path = self.folder / shard.file
                raise UserError(f"{path}: has no column {name}, so another version wrote it; {AGAIN}")

    def _open(self, shard: ShardEntry) -> pq.ParquetFile:
        path = self.folder / shard.file
        try:
            file = pq.ParquetFile(path, pre_buffer=False, buffer_size=2**16)
        except FileNotFoundError:
            raise UserError(f"{path}: not found, although the manifest lists it; {AGAIN}") from None
        except pa.ArrowInvalid as error:
            raise UserError(f"{path}: not readable as Parquet ({' '.join(str(error).split())}); {AGAIN}") from None
        if file.metadata.num_rows != shard.rows:
            raise UserError(f"{path}: has {file.metadata.num_rows} rows, the manifest says {shard.rows}; {AGAIN}")
        return file

    def _token_batch(self, shard: ShardEntry, batch: pa.RecordBatch, first_row: int) -> TokenBatch:
        n_tokens = batch.column("n_tokens").to_numpy()
        kept = np.flatnonzero(n_tokens >= 2)
        batch = batch.take(pa.array(kept))
        nll, nll_bytes = _joined(batch.column("token_nll"), "<f4")
        gate_logits, gate_bytes = _joined(batch.column("gate_logits"), "<f2")
        with_answer = "answer" in batch.schema.names
        answer, answer_bytes = _joined(batch.column("answer"), "u1") if with_answer else (None, n_tokens[kept])
        counts = n_tokens[kept].astype(np.int64)
        wrong = (nll_bytes != 4 * (counts - 1)) | (gate_bytes != 2 * self.manifest.layers * counts)
        if (wrong | (answer_bytes != counts)).any():
            raise UserError(
                f"{self.folder / shard.file}: the token level is not of {self.manifest.layers} layers and "
                f"n_tokens tokens; {AGAIN}"
            )
        return TokenBatch(first_row + kept, counts, nll, gate_logits, None if answer is None else answer != 0)


def open_statistics(folder: Path) -> Statistics:
    """Read the manifest. Raises `UserError` if it is missing, unreadable, empty, or of another version."""
    path = folder / "manifest.json"
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path}: not found; run collect first") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise UserError(f"{path}: {where}: {first['msg'].lower()}, so another version wrote it; {AGAIN}") from None
    if not manifest.shards:
        raise UserError(f"{path}: lists no shards; {AGAIN}")
    return Statistics(folder, manifest)


def _joined(blobs: pa.BinaryArray, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """The values of all blobs end to end, without a copy, and the length of each blob in bytes."""
    _, offset_buffer, data = blobs.buffers()
    offsets = np.frombuffer(offset_buffer, dtype=np.int32)[blobs.offset : blobs.offset + len(blobs) + 1]
    lengths = np.diff(offsets)
    values = np.frombuffer(data, dtype=np.uint8)[offsets[0] : offsets[-1]] if lengths.any() else np.empty(0, np.uint8)
    whole = len(values) // np.dtype(dtype).itemsize * np.dtype(dtype).itemsize
    return values[:whole].view(dtype), lengths
