"""The pool on disk: Parquet parts in order, written and read as streams."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mygo.data.records import (
    LEFT_OUT_SCHEMA,
    PASSED_OVER_SCHEMA,
    POOL_SCHEMA,
    REJECTED_SCHEMA,
    SOURCES_SCHEMA,
    LeftOut,
    PassedOver,
    Rejected,
    Sample,
    to_records,
)
from mygo.errors import UserError
from mygo.workdir import atomic_folder

if TYPE_CHECKING:
    import pyarrow.dataset as ds

POOL_PART_ROWS = 50_000
BATCH_ROWS = 2_000  # what is held in memory; also the rows of a row group


@dataclass
class PoolCounts:
    """How many rows went where. `by_source`: samples of each source data set, in the order they came; so for the rows
    that were rejected or left out.
    """

    by_source: Counter[str] = field(default_factory=Counter)
    rejected_by_source: Counter[str] = field(default_factory=Counter)
    left_out_by_source: Counter[str] = field(default_factory=Counter)
    passed_over: list[PassedOver] = field(default_factory=list)

    @property
    def rows(self) -> int:
        return self.by_source.total()

    @property
    def rejected(self) -> int:
        return self.rejected_by_source.total()

    @property
    def left_out(self) -> int:
        return self.left_out_by_source.total()

    def table(self) -> list[tuple[str, int, int, int]]:
        """Rows of `sources.parquet`."""
        good, bad, left = self.by_source, self.rejected_by_source, self.left_out_by_source
        return [(name, good[name], bad[name], left[name]) for name in dict.fromkeys(chain(good, bad, left))]


def write_pool(samples: Iterable[Sample | Rejected | LeftOut | PassedOver], folder: Path) -> PoolCounts:
    """Write samples, rejected rows, rows left out, files that were passed over and the counts of every source data set
    as the pool `folder`, which appears complete or not at all; streams.
    """
    counts = PoolCounts()
    with atomic_folder(folder) as temporary, PoolWriter(temporary) as writer:
        stream = iter(samples)
        while rows := list(islice(stream, BATCH_ROWS)):
            good = [row._replace(messages=to_records(row.messages)) for row in rows if isinstance(row, Sample)]
            bad = [row for row in rows if isinstance(row, Rejected)]
            left_out = [row for row in rows if isinstance(row, LeftOut)]
            writer.write(
                to_arrow(good, POOL_SCHEMA), to_arrow(bad, REJECTED_SCHEMA), to_arrow(left_out, LEFT_OUT_SCHEMA)
            )
            counts.by_source.update(row.source_dataset for row in good)
            counts.rejected_by_source.update(row.source_dataset for row in bad)
            counts.left_out_by_source.update(row.source_dataset for row in left_out)
            counts.passed_over.extend(row for row in rows if isinstance(row, PassedOver))
        write_counts(counts, temporary)
    return counts


def write_counts(counts: PoolCounts, folder: Path) -> None:
    """Write `passed_over.parquet` and `sources.parquet`."""
    write_rows(counts.passed_over, PASSED_OVER_SCHEMA, folder / "passed_over.parquet")
    write_rows(counts.table(), SOURCES_SCHEMA, folder / "sources.parquet")


def open_pool(folder: Path) -> "ds.Dataset":
    """The pool as a dataset, parts in the order of their names. Raises `UserError` if there is none."""
    import pyarrow.dataset as ds  # pulls in pandas, which most readers of the pool do without

    return ds.dataset(_part_paths(folder), schema=POOL_SCHEMA, format="parquet")


def holds_samples(folder: Path) -> bool:
    """Whether the folder is a pool with samples; one that was not asked for is an empty folder."""
    return any(folder.glob("pool-*.parquet"))


def count_rows(folder: Path) -> int:
    """The number of samples, from the files' footers. Raises `UserError` if there is no pool, or none in it."""
    rows = sum(pq.read_metadata(path).num_rows for path in _part_paths(folder))
    if not rows:
        raise UserError(f"{folder}: the pool holds no sample")
    return rows


def iter_batches(folder: Path, columns: Sequence[str], batch_size: int, first: int = 0) -> Iterator[pa.RecordBatch]:
    """Stream columns of the pool in its order from row `first`, in batches of exactly `batch_size` rows but the last,
    across parts.
    """
    waiting: list[pa.RecordBatch] = []
    rows = 0
    for batch in _stored_batches(folder, columns, batch_size, first):
        waiting.append(batch)
        rows += batch.num_rows
        if rows >= batch_size:
            whole = _joined(waiting)
            yield whole.slice(0, batch_size)
            waiting, rows = [whole.slice(batch_size)], rows - batch_size
    if rows:
        yield _joined(waiting)


def sample_warmup_pool(pool: Path, folder: Path, ratio: float, seed: int) -> int:
    """Write ceil(ratio * N) samples of the pool, drawn without replacement and kept in its order, as the pool `folder`.

    Returns how many. The product is exact: 0.14 of 50 samples is 7, where floating point says 7.000000000000001.
    """
    total = count_rows(pool)
    size = math.ceil(Fraction(str(ratio)) * total)
    drawn = np.zeros(total, dtype=bool)
    drawn[np.random.default_rng(seed).choice(total, size, replace=False)] = True
    start = 0
    with atomic_folder(folder) as temporary, _Parts(temporary) as parts:
        for batch in iter_batches(pool, POOL_SCHEMA.names, BATCH_ROWS):
            parts.write(batch.filter(pa.array(drawn[start : start + batch.num_rows])))
            start += batch.num_rows
    return size


class _Parts:
    """Writes batches to `pool-00000.parquet`, `pool-00001.parquet`, ... of `POOL_PART_ROWS` samples each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows = 0
        self.open = ExitStack()

    def __enter__(self) -> "_Parts":
        return self

    def __exit__(self, *exception: object) -> None:
        self.open.close()

    def write(self, batch: pa.RecordBatch) -> None:
        while batch.num_rows:
            part, filled = divmod(self.rows, POOL_PART_ROWS)
            if filled == 0:
                self.open.close()
                self.writer = self.open.enter_context(
                    pq.ParquetWriter(self.folder / f"pool-{part:05d}.parquet", POOL_SCHEMA, compression="zstd")
                )
            piece = batch.slice(0, POOL_PART_ROWS - filled)
            self.writer.write_batch(piece)
            self.rows += piece.num_rows
            batch = batch.slice(piece.num_rows)


class PoolWriter:
    """Writes batches of samples to the parts of a pool, of rows that are not in it to `rejected.parquet` and
    `left_out.parquet`, which are there in any case.
    """

    def __init__(self, folder: Path) -> None:
        self.parts = _Parts(folder)
        self.rejected = pq.ParquetWriter(folder / "rejected.parquet", REJECTED_SCHEMA, compression="zstd")
        self.left_out = pq.ParquetWriter(folder / "left_out.parquet", LEFT_OUT_SCHEMA, compression="zstd")

    def write(self, samples: pa.RecordBatch, rejected: pa.RecordBatch, left_out: pa.RecordBatch) -> None:
        self.parts.write(samples)
        for batch, writer in ((rejected, self.rejected), (left_out, self.left_out)):
            if batch.num_rows:
                writer.write_batch(batch)

    def __enter__(self) -> "PoolWriter":
        return self

    def __exit__(self, *exception: object) -> None:
        with ExitStack() as open_files:
            for writer in (self.parts.open, self.rejected, self.left_out):
                open_files.callback(writer.close)


def write_rows(rows: Sequence[tuple[Any, ...]], schema: pa.Schema, path: Path) -> None:
    """Write tuples as a Parquet file."""
    pq.write_table(pa.Table.from_batches([to_arrow(rows, schema)]), path, compression="zstd")


def to_arrow(rows: Sequence[tuple[Any, ...]], schema: pa.Schema) -> pa.RecordBatch:
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    return pa.record_batch(
        [pa.array(column, kind) for column, kind in zip(columns, schema.types, strict=True)], schema=schema
    )


def _part_paths(folder: Path) -> list[Path]:
    paths = sorted(folder.glob("pool-*.parquet"))
    if not paths:
        raise UserError(f"{folder}: holds no pool (pool-00000.parquet, ...); run the prepare stage first")
    return paths


def _stored_batches(folder: Path, columns: Sequence[str], batch_size: int, first: int) -> Iterator[pa.RecordBatch]:
    """As they are stored; row groups that end before row `first` are not read."""
    for path in _part_paths(folder):
        with pq.ParquetFile(path) as file:
            groups, first = _groups_from(file.metadata, first)
            for batch in file.iter_batches(batch_size, row_groups=groups, columns=list(columns)) if groups else ():
                skipped = min(first, batch.num_rows)
                first -= skipped
                if skipped < batch.num_rows:
                    yield batch.slice(skipped)


def _groups_from(metadata: pq.FileMetaData, first: int) -> tuple[list[int], int]:
    """The row groups of a part that hold row `first` or later ones, and how many rows to skip after the groups left
    out.
    """
    group = 0
    while group < metadata.num_row_groups and metadata.row_group(group).num_rows <= first:
        first -= metadata.row_group(group).num_rows
        group += 1
    return list(range(group, metadata.num_row_groups)), first


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)
