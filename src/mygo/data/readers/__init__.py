"""The rows of one file, whatever its format: `content` looks at its first bytes, then one of `json_rows`, `csv_rows`
and `arrow_rows` streams it.
"""

import csv
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import IO, NamedTuple

import pyarrow as pa

from mygo.data.readers.arrow_rows import read_parquet
from mygo.data.readers.content import HEAD_BYTES, check_head
from mygo.data.readers.csv_rows import read_csv
from mygo.data.readers.json_rows import BUFFER_BYTES, read_json
from mygo.data.records import Row
from mygo.errors import UserError, shown

JSON = (".jsonl", ".ndjson", ".json")
DELIMITERS = {".csv": ",", ".tsv": "\t"}
PARQUET = ".parquet"
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2", ".xz": "xz"}  # as Arrow calls them
KNOWN = f"{', '.join((*JSON, *DELIMITERS))} (also with {', '.join(COMPRESSIONS)}) and {PARQUET}"
# What the system and the libraries raise for files that are not handed out or not what they should be.
DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    ArithmeticError,
    LookupError,
    RuntimeError,
    MemoryError,
    csv.Error,
    lzma.LZMAError,
    zlib.error,
    zipfile.BadZipFile,
    pa.ArrowException,
)


class FileUnreadable(UserError):
    """A file that cannot be read, or not to its end. `reason` says why and leaves the file's name out."""

    def __init__(self, file: object, error: BaseException) -> None:
        text = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
        self.reason = f"cannot be read ({shown(' '.join(text.split()), 200)})"
        super().__init__(f"{shown(file, 200)}: {self.reason}")


class Ending(NamedTuple):
    """The parts of a file's name, the last two in lower case and perhaps empty: `a.Jsonl.GZ` is a, .jsonl and .gz."""

    stem: str
    kind: str
    compression: str


def ending_of(name: str) -> Ending:
    path = PurePath(name)
    compression = path.suffix.lower() if path.suffix.lower() in COMPRESSIONS else ""
    bare = PurePath(path.stem if compression else path.name)
    return Ending(bare.stem, bare.suffix.lower(), compression)


def is_known(ending: Ending) -> bool:
    """Whether files with this ending are read."""
    return ending.kind in (*JSON, *DELIMITERS) or (ending.kind == PARQUET and not ending.compression)


def read_rows(path: Path, columns: frozenset[str] | None = None) -> Iterator[Row]:
    """The rows of a file, streamed. Of Parquet only `columns` are read where they are given; the others are None.

    Raises `FileUnreadable` if the file itself is damaged or not what its ending says.
    """
    with explained(path):
        if not path.is_file():
            raise ValueError("it is not a regular file")
        with path.open("rb") as file:
            ending = ending_of(path.name)
            check_head(file.read(HEAD_BYTES), ending.compression or (PARQUET if ending.kind == PARQUET else ""))
        yield from read_content(str(path), ending, columns)


def read_content(source: str | IO[bytes], ending: Ending, columns: frozenset[str] | None = None) -> Iterator[Row]:
    """The rows of a file, or of an open one, by its ending; a kind that is not known is taken for JSON."""
    if ending.kind == PARQUET:
        yield from read_parquet(source, columns)
        return
    with _decompressed(source, ending.compression) as stream:
        check_head(stream.peek(HEAD_BYTES))
        is_table = ending.kind in DELIMITERS
        yield from read_csv(stream, DELIMITERS[ending.kind]) if is_table else read_json(stream)


@contextmanager
def explained(file: object) -> Iterator[None]:
    """Turn what reading this file raises into `FileUnreadable`."""
    try:
        yield
    except DAMAGE as error:
        raise FileUnreadable(file, error) from None


def _decompressed(source: str | IO[bytes], compression: str) -> io.BufferedReader:
    if compression == ".xz":  # the one that Arrow does not know
        return io.BufferedReader(lzma.LZMAFile(source), BUFFER_BYTES)  # pyright: ignore[reportArgumentType]
    # Arrow's decompression notices a file that was cut off; the zstandard package takes it for a short one.
    raw = pa.input_stream(source, compression=COMPRESSIONS.get(compression))
    return io.BufferedReader(raw, BUFFER_BYTES)  # pyright: ignore[reportArgumentType]
