"""Local files: JSON lines, JSON arrays and Parquet, the first two also compressed; one file or a folder of them."""

import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from mygo.data.records import Row
from mygo.errors import UserError

JSON_ENDINGS = (".jsonl", ".ndjson", ".json")
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
KNOWN = ".jsonl, .json (also with .gz or .zst) and .parquet"
BUFFER_BYTES = 1 << 20
BATCH_ROWS = 1_000
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class DataFile(NamedTuple):
    """A file of the source. `name` is relative to the folder that was asked for; `source_dataset` is unique in it."""

    path: Path
    name: str
    source_dataset: str


def find_files(path: Path) -> list[DataFile]:
    """The readable files at `path`, in the order of their names; hidden files and unknown endings are passed over.

    A data set is called by its file's stem, or by the folder in LESS's layout (`dolly/dolly_data.jsonl`); where that is
    not unique, by the file's relative path. Raises `UserError` if there is no such file.
    """
    if not path.exists():
        raise UserError(f"prepare.path: {path} does not exist; takes a file or a folder of {KNOWN}")
    files = _below(path) if path.is_dir() else {path.name: path}
    names = {name: short for name in sorted(files) if (short := _short_name(PurePosixPath(name)))}
    if not names:
        raise UserError(
            f"prepare.path: {path} {'holds no file' if path.is_dir() else 'is not'} of a known format; takes {KNOWN}"
        )
    uses = Counter(names.values())
    return [DataFile(files[name], name, short if uses[short] == 1 else name) for name, short in names.items()]


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a file, streamed. Raises `UserError` if the file itself is damaged or not what its ending says."""
    try:
        if path.suffix == ".parquet":
            yield from _read_parquet(path)
        else:
            with io.BufferedReader(_open(path), BUFFER_BYTES) as stream:
                yield from read_json(stream)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise UserError(f"{path}: cannot be read ({' '.join(str(error).split())})") from None


def read_json(stream: io.BufferedReader) -> Iterator[Row]:
    """The rows of JSON lines, streamed, or of a JSON array, which is held in memory whole. The content decides, not the
    ending.

    Lines are counted from 1 as an editor shows them; blank ones are no rows. A byte order mark and CRLF are accepted.
    Raises `ValueError` for an array that is not JSON.
    """
    if stream.peek(BUFFER_BYTES).startswith(BYTE_ORDER_MARK):
        stream.read(len(BYTE_ORDER_MARK))
    is_array = stream.peek(BUFFER_BYTES).lstrip().startswith(b"[")
    yield from _read_array(stream.read()) if is_array else _read_lines(stream)


def _below(folder: Path) -> dict[str, Path]:
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {
        name: path
        for name, path in paths.items()
        if not any(part.startswith(".") for part in PurePosixPath(name).parts)
    }


def _short_name(name: PurePosixPath) -> str | None:
    """What to call a file's data set; None if the ending is not a known one."""
    bare = name.with_suffix("") if name.suffix in COMPRESSIONS else name
    if bare.suffix not in JSON_ENDINGS and name.suffix != ".parquet":
        return None
    stem = bare.name.removesuffix(bare.suffix)
    return name.parent.name if stem == f"{name.parent.name}_data" else stem


def _open(path: Path) -> pa.NativeFile:
    # Arrow's decompression notices a file that was cut off; the zstandard package takes it for a short one.
    return pa.input_stream(str(path), compression=COMPRESSIONS.get(path.suffix))


def _read_lines(stream: IO[bytes]) -> Iterator[Row]:
    for number, line in enumerate(stream, 1):
        if content := line.strip():
            yield _parse(number, content)


def _parse(number: int, line: bytes) -> Row:
    try:
        return Row(number, orjson.loads(line))
    except orjson.JSONDecodeError as error:
        return Row(number, None, _json_problem(line, error))


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
        yield from _read_lines(io.BytesIO(content))  # JSON lines, the first of which is a list
    else:
        yield from (Row(number, row) for number, row in enumerate(rows, 1))


def _read_parquet(path: Path) -> Iterator[Row]:
    with pq.ParquetFile(path) as file:
        number = 0
        for batch in file.iter_batches(BATCH_ROWS):
            try:
                rows = [Row(number + place, row) for place, row in enumerate(batch.to_pylist(), 1)]
            except UnicodeDecodeError:
                rows = [
                    _parquet_row(number + place, batch.slice(place - 1, 1)) for place in range(1, batch.num_rows + 1)
                ]
            number += batch.num_rows
            yield from rows


def _parquet_row(number: int, row: pa.RecordBatch) -> Row:
    try:
        return Row(number, row.to_pylist()[0])
    except UnicodeDecodeError:
        return Row(number, None, "not UTF-8")
