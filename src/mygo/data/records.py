"""The records that pass between stages: samples, rows that were rejected, and files that were passed over."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson
import pyarrow as pa

# {"role": "user" | "assistant" | "system" | "tool", "content": text}; an assistant's may have "tool_calls" too, a list
# of objects
Message = dict[str, Any]


class Sample(NamedTuple):
    """One conversation with where it comes from. `source_index` is its row in the source, from 0, counting rejected
    rows too. `labels`: each label column that was named with its value, in that order; `label`: the first of them.
    """

    source_dataset: str
    source_index: int
    id: str
    messages: list[Message]
    label: str | None
    labels: tuple[tuple[str, str | None], ...] = ()


class Rejected(NamedTuple):
    """A row that cannot be used. `file` is relative to `prepare.path` (or names the hub data set), `line` counts from
    1.
    """

    source_dataset: str
    source_index: int
    file: str
    line: int
    reason: str


class PassedOver(NamedTuple):
    """A file, or the rest of one, of which nothing is in the pool. `file` is named as in `Rejected`."""

    file: str
    reason: str


class Row(NamedTuple):
    """A row as a file holds it: its line (or row, both from 1) and either its value or the reason why there is none."""

    line: int
    value: Any
    reason: str | None = None


class Unreadable(NamedTuple):
    """Stands in a row for a value that could not be read; costs the row only if its format needs the value."""

    reason: str


class RowError(Exception):
    """Why a row is rejected; it becomes the `reason` in `rejected.parquet` and never stops a run."""


def wrong_type(what: str, value: Any, wanted: str) -> RowError:
    """The reason for a value that is missing, unreadable or of another type than `wanted`."""
    if isinstance(value, Unreadable):
        return RowError(f"{what} {value.reason}")
    return RowError(
        f"{what} is missing" if value is None else f"{what} is of type {type(value).__name__}, not {wanted}"
    )


def to_records(messages: Sequence[Message]) -> list[Message]:
    """Messages as `POOL_SCHEMA` holds them: their calls of tools, which each have keys of their own, are JSON text."""
    return [
        {**message, "tool_calls": orjson.dumps(message["tool_calls"]).decode()} if "tool_calls" in message else message
        for message in messages
    ]


def from_records(column: pa.Array | pa.ChunkedArray) -> list[list[Message]]:
    """The conversations of the pool's column `messages`, as they were before `to_records`."""
    return [[_from_record(record) for record in records] for records in column.to_pylist()]


def _from_record(record: dict[str, str | None]) -> Message:
    calls = record.pop("tool_calls", None)
    return record if calls is None else {**record, "tool_calls": orjson.loads(calls)}


POOL_SCHEMA = pa.schema(
    {
        "source_dataset": pa.string(),
        "source_index": pa.int64(),
        "id": pa.string(),
        "messages": pa.list_(pa.struct({"role": pa.string(), "content": pa.string(), "tool_calls": pa.string()})),
        "label": pa.string(),
        "labels": pa.list_(pa.struct({"name": pa.string(), "value": pa.string()})),
    }
)
REJECTED_SCHEMA = pa.schema(
    {
        "source_dataset": pa.string(),
        "source_index": pa.int64(),
        "file": pa.string(),
        "line": pa.int64(),
        "reason": pa.string(),
    }
)
PASSED_OVER_SCHEMA = pa.schema({"file": pa.string(), "reason": pa.string()})
SOURCES_SCHEMA = pa.schema({"source_dataset": pa.string(), "samples": pa.int64(), "rejected": pa.int64()})
