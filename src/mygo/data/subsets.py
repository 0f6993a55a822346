"""Shares of sources: of a pool that is read, a seeded part of each source that `prepare.subset_ratio` names stays."""

import math
import shutil
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mygo.data.pool import BATCH_ROWS, PoolCounts, PoolWriter, iter_batches, write_counts
from mygo.data.records import LEFT_OUT_SCHEMA, POOL_SCHEMA, REJECTED_SCHEMA
from mygo.errors import UserError, listed, shown
from mygo.workdir import atomic_folder

NOT_DRAWN = "not drawn (prepare.subset_ratio)"


def draw_subsets(pool: Path, counts: PoolCounts, shares: Mapping[str, float], seed: int) -> PoolCounts:
    """Keep ceil(share * N) of the N samples of each source in `shares`, drawn without replacement and in their order,
    and all of the other sources. The rest goes to `left_out.parquet`. Returns the counts as they are then.

    The product is exact, as in `sample_warmup_pool`. Each source has a random stream of its own: another share of one
    leaves the draw of the others as it is. Raises `UserError` for a source that the pool does not have.
    """
    for name in shares:
        if not counts.by_source[name]:
            raise UserError(
                f"prepare.subset_ratio: got '{shown(name)}'; the pool has samples of "
                f"{listed(source for source, samples in counts.by_source.items() if samples)}"
            )
    drawn = {name: _draw(name, counts.by_source[name], share, seed) for name, share in shares.items()}
    with atomic_folder(pool) as temporary:
        with PoolWriter(temporary) as writer:
            _copy_rows(pool, drawn, writer)
        for path in pool.iterdir():  # what else lies there
            if not path.name.startswith("pool-") and not (temporary / path.name).exists():
                shutil.copy(path, temporary)
        left = {name: len(mask) - int(mask.sum()) for name, mask in drawn.items()}
        for name, rows in left.items():
            counts.by_source[name] -= rows
            counts.left_out_by_source[name] += rows
        write_counts(counts, temporary)
    return counts


def _draw(name: str, samples: int, share: float, seed: int) -> np.ndarray:
    """Which of a source's samples stay, as booleans."""
    size = math.ceil(Fraction(str(share)) * samples)
    rng = np.random.default_rng([seed, *f"subset_ratio {name}".encode()])
    drawn = np.zeros(samples, dtype=bool)
    drawn[rng.choice(samples, size, replace=False)] = True
    return drawn


def _copy_rows(pool: Path, drawn: Mapping[str, np.ndarray], writer: PoolWriter) -> None:
    none = {schema: _empty(schema) for schema in (POOL_SCHEMA, REJECTED_SCHEMA, LEFT_OUT_SCHEMA)}
    for batch in pq.ParquetFile(pool / "rejected.parquet").iter_batches(BATCH_ROWS):
        writer.write(none[POOL_SCHEMA], batch, none[LEFT_OUT_SCHEMA])
    for batch in pq.ParquetFile(pool / "left_out.parquet").iter_batches(BATCH_ROWS):
        writer.write(none[POOL_SCHEMA], none[REJECTED_SCHEMA], batch)
    seen = dict.fromkeys(drawn, 0)
    for batch in iter_batches(pool, POOL_SCHEMA.names, BATCH_ROWS):
        kept = np.ones(batch.num_rows, dtype=bool)
        names = np.array(batch.column("source_dataset").to_pylist(), dtype=object)
        for name, mask in drawn.items():
            rows = np.flatnonzero(names == name)
            kept[rows] = mask[seen[name] : seen[name] + len(rows)]
            seen[name] += len(rows)
        writer.write(batch.filter(pa.array(kept)), none[REJECTED_SCHEMA], _not_drawn(batch.filter(pa.array(~kept))))


def _not_drawn(batch: pa.RecordBatch) -> pa.RecordBatch:
    columns = [batch.column(name) for name in LEFT_OUT_SCHEMA.names[:-1]]
    reason = pa.array([NOT_DRAWN] * batch.num_rows, pa.string())
    return pa.record_batch([*columns, reason], schema=LEFT_OUT_SCHEMA)


def _empty(schema: pa.Schema) -> pa.RecordBatch:
    return pa.record_batch([pa.array([], kind) for kind in schema.types], schema=schema)
