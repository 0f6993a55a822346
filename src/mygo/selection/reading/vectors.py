"""Streams a column of vectors from statistics: what is too wide to be held for a million samples.

B samples of a batch, D values of a vector.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mygo.errors import UserError
from mygo.selection.reading.statistics import AGAIN, Statistics


def read_vectors(statistics: Statistics, column: str, rows: int) -> Iterator[np.ndarray]:
    """A column of one list of D numbers per sample, at most `rows` samples at a time in their order, as float32 [B, D],
    NaN where the list is null.

    Raises `UserError` if a shard cannot be read, or holds lists of another length than the first.
    """
    statistics.values("n_tokens")  # which says in a sentence what is wrong with a shard
    width = None
    for shard in statistics.manifest.shards:
        path = statistics.folder / shard.file
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=2**16) as file:
            kind = file.schema_arrow.field(column).type
            width = width or getattr(kind, "list_size", None)
            if not pa.types.is_fixed_size_list(kind) or kind.list_size != width:
                raise UserError(f"{path}: {column} is {kind}, not lists of {width} numbers; {AGAIN}")
            for batch in file.iter_batches(rows, columns=[column]):
                yield _values(batch.column(column), kind.list_size)


def _values(lists: pa.FixedSizeListArray, width: int) -> np.ndarray:
    x_BD = np.full((len(lists), width), np.nan, dtype=np.float32)
    valid_B = lists.is_valid().to_numpy(zero_copy_only=False)
    x_BD[valid_B] = lists.flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
    return x_BD
