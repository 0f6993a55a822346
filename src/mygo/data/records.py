"""The records that pass between stages: samples, and rows that were rejected."""

from typing import Any, NamedTuple

import pyarrow as pa

Message = dict[str, str]  # {"role": "user" | "assistant" | "system", "content": text}


class Sample(NamedTuple):
    """One conversation with where it comes from. `source_index` is its row in the source, from 0, counting rejected
    rows too.
    """

    source_dataset: str
    source_index: int
    id: str
    messages: list[Message]
    label: str | None


class Rejected(NamedTuple):
    """A row that cannot be used. `file` is relative to `prepare.path` (or names the hub data set), `line` counts from
    1.
    """

    source_dataset: str
    source_index: int
    file: str
    line: int
    reason: str


class Row(NamedTuple):
    """A row as a file holds it: its line (or row, both from 1) and either its value or the reason why there is none."""

    line: int
    value: Any
    reason: str | None = None


POOL_SCHEMA = pa.schema(
    {
        "source_dataset": pa.string(),
        "source_index": pa.int64(),
        "id": pa.string(),
        "messages": pa.list_(pa.struct({"role": pa.string(), "content": pa.string()})),
        "label": pa.string(),
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
