"""Rows of CSV and TSV with a header line."""

import csv
import io
from collections import deque
from collections.abc import Iterator
from typing import IO

from mygo.data.records import Row
from mygo.errors import listed, shown

FIELD_CHARACTERS = 1 << 24  # Python's own limit of 131,072 is less than a long document has
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read_csv(stream: io.BufferedReader, delimiter: str) -> Iterator[Row]:
    """The rows as objects of text, named by the header; an empty cell is None. Streamed.

    A row counts as the line it begins on; blank lines are no rows. A quotation mark that is not closed costs its line.
    Raises `ValueError` for a header that is not one.
    """
    csv.field_size_limit(FIELD_CHARACTERS)
    header: list[str] | None = None
    for line, cells, problem in _records(_Lines(stream), delimiter):
        if header is None:
            header = _header(cells, problem)
        elif problem is not None:
            yield Row(line, None, problem)
        elif len(cells) != len(header):
            yield Row(line, None, f"it has {len(cells):,} fields, where the header has {len(header):,}")
        else:
            yield Row(line, {name: cell or None for name, cell in zip(header, cells, strict=True)})


class _Lines:
    """Lines as text, of which those since the last `mark` can be taken back."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = iter(stream)
        self.returned: deque[bytes] = deque()
        self.taken: list[bytes] = []
        self.first = 1  # the number of the first line that was taken
        self.is_utf8 = True

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self.returned.popleft() if self.returned else next(self.stream)
        self.taken.append(line)
        if self.first == len(self.taken) == 1:
            line = line.removeprefix(BYTE_ORDER_MARK)
        try:
            return line.decode("utf-8")
        except UnicodeDecodeError:
            self.is_utf8 = False
            return line.decode("utf-8", "replace")

    def mark(self) -> None:
        self.first += len(self.taken)
        self.taken = []
        self.is_utf8 = True

    def take_back_all_but_one(self) -> None:
        self.returned.extendleft(reversed(self.taken[1:]))
        del self.taken[1:]


def _records(lines: _Lines, delimiter: str) -> Iterator[tuple[int, list[str], str | None]]:
    """The line, the cells and what is wrong with each record that is not blank."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        lines.mark()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            lines.take_back_all_but_one()
            yield lines.first, [], f"not readable as CSV ({shown(error)})"
        else:
            if cells:
                yield lines.first, cells, None if lines.is_utf8 else "not UTF-8"


def _header(names: list[str], problem: str | None) -> list[str]:
    if problem is not None:
        raise ValueError(f"its header: {problem}")
    if twice := sorted({name for name in names if name and names.count(name) > 1}):
        raise ValueError(f"its header names {listed(twice)} more than once")
    return names
