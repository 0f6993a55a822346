"""Rows of JSON lines, of JSON arrays, and of objects that are printed over many lines. The content decides which."""

import io
from collections.abc import Iterator
from itertools import pairwise
from typing import IO

import orjson

from mygo.data.records import Row

BUFFER_BYTES = 1 << 20
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read_json(stream: io.BufferedReader) -> Iterator[Row]:
    """The rows of JSON lines and of objects one after another, streamed, or of a JSON array, which is held in memory
    whole.

    Lines are counted from 1 as an editor shows them; blank ones are no rows. A byte order mark and CRLF are accepted.
    Raises `ValueError` for an array that is not JSON.
    """
    if stream.peek(BUFFER_BYTES).startswith(BYTE_ORDER_MARK):
        stream.read(len(BYTE_ORDER_MARK))
    start = stream.peek(BUFFER_BYTES).lstrip()
    if start.startswith(b"["):
        yield from _read_array(stream.read())
    elif _is_spread_out(start):
        yield from _read_objects(stream)
    else:
        yield from _read_lines(enumerate(stream, 1))


def _read_lines(lines: Iterator[tuple[int, bytes]]) -> Iterator[Row]:
    for number, line in lines:
        if content := line.strip():
            yield _parse(number, content)


def _parse(number: int, content: bytes) -> Row:
    try:
        return Row(number, orjson.loads(content))
    except orjson.JSONDecodeError as error:
        return Row(number, None, _json_problem(content, error))


def _json_problem(content: bytes, error: orjson.JSONDecodeError) -> str:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return "not UTF-8"
    return f"bad JSON at character {error.pos + 1}: {error.msg}"


def _read_array(content: bytes) -> Iterator[Row]:
    try:
        rows = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        first, _, rest = content.lstrip().partition(b"\n")
        if not rest.strip() or _parse(1, first).reason:
            raise ValueError(f"as a JSON array: {_json_problem(content, error)}") from None
        yield from _read_lines(enumerate(io.BytesIO(content), 1))  # JSON lines, the first of which is a list
    else:
        yield from (Row(number, row) for number, row in enumerate(rows, 1))


def _is_spread_out(start: bytes) -> bool:
    """Whether the text begins with an object over several lines: `{`, or a first part of one, and then a key."""
    first, _, rest = start.partition(b"\n")
    return first.startswith(b"{") and first.rstrip().endswith((b"{", b"[", b",")) and rest.lstrip().startswith(b'"')


def _read_objects(stream: IO[bytes]) -> Iterator[Row]:
    """Objects over several lines. Nothing but the end of an object is a line `}` with a `{` after it."""
    block: list[tuple[int, bytes]] = []
    is_closed = False
    for number, line in enumerate(stream, 1):
        if not (content := line.strip()):
            continue
        if is_closed and content.startswith(b"{"):
            yield from _read_block(block)
            block = []
        block.append((number, line))
        is_closed = content == b"}"
    yield from _read_block(block)


def _read_block(block: list[tuple[int, bytes]]) -> Iterator[Row]:
    """One object; where the lines are not one, what begins with `{` at the left margin is read by itself."""
    whole = _parse_block(block)
    if whole.reason is None:
        yield whole
        return
    starts = [place for place, (_, line) in enumerate(block) if place == 0 or line.startswith(b"{")]
    for start, end in pairwise([*starts, len(block)]):
        piece = block[start:end]
        rows = list(_read_lines(iter(piece)))
        yield from rows if any(isinstance(row.value, dict) for row in rows) else [_parse_block(piece)]


def _parse_block(block: list[tuple[int, bytes]]) -> Row:
    row = _parse(block[0][0], b"".join(line for _, line in block))
    if row.reason is None or len(block) == 1:
        return row
    return Row(row.line, None, f"{row.reason}, in lines {block[0][0]} to {block[-1][0]}")
