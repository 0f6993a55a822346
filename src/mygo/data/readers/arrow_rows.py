"""Rows of Parquet and of any other Arrow batches."""

from collections.abc import Iterable, Iterator
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from mygo.data.records import Row, Unreadable
from mygo.errors import shown

BATCH_ROWS = 1_000
# What Arrow and Python raise for a value that Python has no type for: a date beyond the year 9999, a time zone that the
# system does not know, bytes that are no text.
NO_VALUE = (ArithmeticError, LookupError, ValueError, TypeError, RuntimeError, pa.ArrowException)


def read_parquet(source: str | IO[bytes], columns: frozenset[str] | None) -> Iterator[Row]:
    """The rows of a Parquet file, streamed; only `columns` are read, the others are None (None: all are read)."""
    with pq.ParquetFile(source) as file:
        names = file.schema_arrow.names
        yield from arrow_rows(file.iter_batches(BATCH_ROWS, columns=wanted(names, columns)), names)


def wanted(names: Iterable[str], columns: frozenset[str] | None) -> list[str]:
    """Those of the columns that are to be read."""
    return [name for name in names if columns is None or name in columns]


def arrow_rows(batches: Iterable[pa.RecordBatch | pa.Table], names: list[str]) -> Iterator[Row]:
    """The rows of batches as objects with all of `names`, in which what was not read is None."""
    number = 0
    for batch in batches:
        there = set(batch.schema.names)
        left_out = dict.fromkeys(name for name in names if name not in there)
        for values in _values(batch):
            number += 1
            yield Row(number, left_out | values if left_out else values)


def _values(batch: pa.RecordBatch | pa.Table) -> Iterable[dict[str, Any]]:
    if not batch.num_columns:
        return ({} for _ in range(batch.num_rows))
    try:
        return batch.to_pylist()
    except NO_VALUE:
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        return ({name: _cell(column, place) for name, column in columns.items()} for place in range(batch.num_rows))


def _cell(column: pa.Array | pa.ChunkedArray, place: int) -> Any:
    try:
        return column[place].as_py()
    except UnicodeDecodeError:
        return Unreadable("is not UTF-8")
    except NO_VALUE as error:
        return Unreadable(f"cannot be read ({shown(error, 60)})")
