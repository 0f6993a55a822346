"""Rows of JSON lines, of JSON arrays, and of objects that are printed over many lines. The content decides which."""

import io
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import IO

import orjson

from mygo.data.records import Row

BUFFER_BYTES = 1 << 20
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
UNFINISHED = "unexpected end of data"  # what orjson says of a text that may go on
STRING_OR_BRACKET = re.compile(rb'"(?:[^"\\]|\\.)*"?|[][{}]')


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
    """Whether the first line begins an object that goes on in the next one."""
    first, _, rest = start.partition(b"\n")
    if not first.startswith(b"{") or not rest.strip():
        return False
    try:
        orjson.loads(first)
    except orjson.JSONDecodeError as error:
        return error.msg == UNFINISHED
    return False


def _read_objects(stream: IO[bytes]) -> Iterator[Row]:
    """Objects over several lines. An object ends where all its brackets are closed, or where another begins at the left
    margin in a place where it cannot have one.
    """
    block: list[tuple[int, bytes]] = []
    open_brackets: list[bytes] = []
    for number, line in enumerate(stream, 1):
        if not line.strip():
            continue
        if block and line.startswith(b"{") and not _takes_object(open_brackets, block):
            yield from _read_block(block)
            block, open_brackets = [], []
        block.append((number, line))
        _follow(open_brackets, line)
        if not open_brackets:
            yield from _read_block(block)
            block = []
    if block:
        yield from _read_block(block)


def _takes_object(open_brackets: list[bytes], block: list[tuple[int, bytes]]) -> bool:
    """Whether an object may go on after the lines of `block` with another: as an element of a list, even behind one
    that is broken, or as the value of a key.
    """
    before = block[-1][1].rstrip()
    if open_brackets[-1] == b"[":
        return before.endswith((b"[", b","))
    broken_element = len(block) > 1 and before.startswith(b"{") and before.endswith(b",") and b"[" in open_brackets
    return broken_element or before.endswith(b":")


def _follow(open_brackets: list[bytes], line: bytes) -> None:
    """Add the brackets that a line opens, and take off those that it closes."""
    for found in STRING_OR_BRACKET.finditer(line):
        if found[0] in (b"{", b"["):
            open_brackets.append(found[0])
        elif found[0] in (b"}", b"]") and open_brackets:
            open_brackets.pop()


def _read_block(block: list[tuple[int, bytes]]) -> list[Row]:
    """One object. Lines that are none may be the beginning of one and then whole ones, each from the left margin; but
    elements of a list are no rows.
    """
    whole = _parse_block(block)
    if whole.reason is None:
        return [whole]
    starts = [place for place, (_, line) in enumerate(block) if place == 0 or line.startswith(b"{")]
    pieces = [block[start:end] for start, end in pairwise([*starts, len(block)])]
    last_lines = [piece[-1][1] for piece in pieces]
    if any(line.rstrip().endswith(b",") and not line[:1].isspace() for line in last_lines):
        return [whole]
    rows = [_parse_block(piece) for piece in pieces]
    return rows if any(isinstance(row.value, dict) for row in rows) else [whole]


def _parse_block(block: list[tuple[int, bytes]]) -> Row:
    row = _parse(block[0][0], b"".join(line for _, line in block))
    if row.reason is None or len(block) == 1:
        return row
    return Row(row.line, None, f"{row.reason}, in lines {block[0][0]} to {block[-1][0]}")
