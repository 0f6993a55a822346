"""Reads the numbers that a file of the user's own has for the samples of the pool. N samples."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mygo.errors import UserError, listed, shown
from mygo.params import ExternalParams

KEY = "select.external"


@dataclass(frozen=True)
class External:
    """`score_N`: NaN where the file has no number for a sample, which `missing_N` says."""

    score_N: np.ndarray
    missing_N: np.ndarray


def read_external(params: ExternalParams, ids: pa.ChunkedArray) -> External:
    """The file's numbers in the order of `ids`; samples of the same id all have its number. An id that is not in the
    file, or has no number there (null, an empty cell), is missing; one that only the file has is passed over.

    Raises `UserError` for a file or a column that is not there, an id twice, and a value that is no number.
    """
    path = Path(params.path or "")
    table = _read(path, params.id_column)
    for name, key in ((params.id_column, "id_column"), (params.score_column, "score_column")):
        if name not in table.column_names:
            raise UserError(f"{KEY}.{key}: got {shown(name)}; {shown(path)} has {listed(table.column_names)}")
    keys = table[params.id_column].cast(pa.string()).to_pylist()
    numbers = _numbers(table[params.score_column], keys, path, params.score_column)
    place = {name: i for i, name in enumerate(keys)}
    if len(place) < len(keys):
        twice = next(name for i, name in enumerate(keys) if place[name] != i)
        raise UserError(
            f"{KEY}.path: {shown(path)} has the {params.id_column} {shown(twice)} more than once; takes it once"
        )
    place_N = np.array([place.get(name, -1) for name in ids.to_pylist()], dtype=np.int64)
    known_N = np.append(numbers.is_valid().to_numpy(zero_copy_only=False), False)[place_N]  # -1 is the last
    if not known_N.any():
        raise UserError(f"{KEY}.path: {shown(path)} has a number for none of the pool's {len(ids):,} ids")
    score_N = np.append(numbers.to_numpy(zero_copy_only=False), np.nan)[place_N]
    return External(score_N, ~known_N)


def _numbers(column: pa.ChunkedArray, keys: list[Any], path: Path, name: str) -> pa.Array:
    """The column as float64 with nulls. Text is read as a number where it is one."""
    whole = column.combine_chunks()
    if pa.types.is_boolean(whole.type) or pa.types.is_integer(whole.type) or pa.types.is_floating(whole.type):
        return whole.cast(pa.int8() if pa.types.is_boolean(whole.type) else whole.type).cast(pa.float64(), safe=False)
    values = [None if value in (None, "") else value for value in whole.to_pylist()]
    for key, value in zip(keys, values, strict=True):
        if value is not None and not _is_number(value):
            raise UserError(
                f"{KEY}.score_column: {shown(name)} of {shown(path)} is {shown(value)} at id {shown(key)}; takes "
                "numbers"
            )
    return pa.array([None if value is None else float(value) for value in values], pa.float64())


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _read(path: Path, id_column: str) -> pa.Table:
    """CSV, TSV, JSON lines or Parquet, the first three also compressed; ids stay the text they are."""
    kind = next((end for end in path.suffixes[::-1] if end in READERS), None)
    if kind is None:
        raise UserError(
            f"{KEY}.path: got {shown(path)}; takes a file that ends in {', '.join(READERS)} (also .gz, .zst)"
        )
    try:
        return READERS[kind](path, id_column)
    except FileNotFoundError:
        raise UserError(f"{KEY}.path: {shown(path)} does not exist; takes a CSV, TSV, JSONL or Parquet file") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{KEY}.path: {shown(path)} cannot be read ({' '.join(str(error).split())})") from None


def _read_csv(path: Path, id_column: str, delimiter: str = ",") -> pa.Table:
    from pyarrow import csv

    options = csv.ConvertOptions(column_types={id_column: pa.string()}, strings_can_be_null=False)
    parsing = csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    return csv.read_csv(path, parse_options=parsing, convert_options=options)


def _read_jsonl(path: Path, id_column: str) -> pa.Table:
    from pyarrow import json

    with pa.input_stream(str(path), compression="detect") as stream:
        return json.read_json(stream)


READERS: dict[str, Callable[[Path, str], pa.Table]] = {
    ".csv": _read_csv,
    ".tsv": lambda path, id_column: _read_csv(path, id_column, "\t"),
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
    ".parquet": lambda path, _: pq.read_table(path),
}
