"""Samples that cannot be encoded: they keep their row in the shards, with null statistics and the reason, and are
listed once more in a file of their own.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mygo.data.encoding import Encoded
from mygo.errors import UserError
from mygo.workdir import sync_rename

REJECTED_FILE = "rejected.parquet"
COLUMN = "rejected"  # of a shard: the reason, else null
SCHEMA = pa.schema(
    {"source_dataset": pa.string(), "source_index": pa.int64(), "id": pa.string(), "reason": pa.string()}
)


def with_reasons(table: pa.Table, encoded: Sequence[Encoded]) -> pa.Table:
    """A shard with the reasons of its rejected samples: kept in it, they are the same however a run was interrupted."""
    return table.append_column(COLUMN, pa.array([sample.rejected for sample in encoded], pa.string()))


def write_rejected(work: Path, shards: Sequence[Path]) -> None:
    """Gather the rejected samples of all shards in `rejected.parquet`, in the order of the pool."""
    with sync_rename(work / REJECTED_FILE) as temporary, pq.ParquetWriter(temporary, SCHEMA) as writer:
        for table in _rejected(shards):
            writer.write_table(table)


def refuse_if_all_are(shards: Sequence[Path], samples: int) -> None:
    """Raise `UserError` with the first reason if not one sample could be encoded."""
    tables = list(_rejected(shards))
    if tables and sum(table.num_rows for table in tables) == samples:
        raise none_can_be_encoded(samples, tables[0]["reason"][0].as_py())


def none_can_be_encoded(samples: int, reason: str) -> UserError:
    return UserError(f"collect: none of the {samples:,} samples can be encoded, the first because {reason}")


def _rejected(shards: Sequence[Path]) -> Iterator[pa.Table]:
    """The rejected samples of each shard that has any."""
    for path in shards:
        table = pq.read_table(path, columns=[*SCHEMA.names[:-1], COLUMN])
        table = table.filter(table[COLUMN].is_valid())
        if table.num_rows:
            yield table.rename_columns(SCHEMA.names).cast(SCHEMA)
