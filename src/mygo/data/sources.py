"""From the source that params name to samples: rows of every file, in order, each either a sample or rejected."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mygo.data.files import find_files, read_rows
from mygo.data.formats import FORMATS, RowError, detect_format, label_text, row_id
from mygo.data.hub import read_hub
from mygo.data.records import Rejected, Row, Sample
from mygo.errors import UserError
from mygo.params import HubDataset, PrepareParams

BAR_DELAY = 3  # seconds: what is over sooner needs no progress bar


@dataclass(frozen=True)
class PoolSource:
    """Everything a source holds, streamed once, and the commits of its hub data sets by their `source_dataset`."""

    rows: Iterator[Sample | Rejected]
    commits: dict[str, str | None]

    def __iter__(self) -> Iterator[Sample | Rejected]:
        return iter(tqdm(self.rows, desc="read", unit=" rows", delay=BAR_DELAY))


@dataclass(frozen=True)
class SourceFile:
    """Rows of one file, and the data set they belong to."""

    source_dataset: str
    file: str
    rows: Iterator[Row]


def read_pool_source(params: PrepareParams) -> PoolSource:
    """The rows of `prepare.source` `local` or `hub`. Hub data sets are downloaded here, rows are read as they are asked
    for.

    Raises `UserError`, here or on the way, for a path, file or data set that cannot be read at all, and for a
    `prepare.label_column` that no row has.
    """
    if params.source == "local":
        files = [
            SourceFile(file.source_dataset, file.name, read_rows(file.path)) for file in find_files(Path(params.path))
        ]
        return PoolSource(read_files(files, params.format, params.label_column), {})
    files, commits = _open_hub(params.hub)
    return PoolSource(read_files(files, params.format, params.label_column), commits)


def _open_hub(wanted: list[HubDataset]) -> tuple[list[SourceFile], dict[str, str | None]]:
    names = [dataset.source_dataset for dataset in wanted]
    if not names or len(set(names)) < len(names):
        raise UserError(
            f"prepare.hub: got source_dataset {names}; takes one data set or more, each with its own source_dataset"
        )
    opened = {dataset.source_dataset: read_hub(dataset) for dataset in wanted}
    files = [SourceFile(name, file, rows) for name, hub in opened.items() for file, rows in hub.files]
    return files, {name: hub.commit for name, hub in opened.items()}


def read_files(files: Iterable[SourceFile], row_format: str, label_column: str | None) -> Iterator[Sample | Rejected]:
    """Samples and rejected rows in the order of the files. `row_format` is a name in `FORMATS`, or `auto`: then each
    file's first row that fits a format decides for the file.

    Raises `UserError` for a file of which nothing can be read.
    """
    reader = _Reader(row_format, label_column)
    for file in files:
        yield from reader.read(file)
    if label_column and not reader.label_seen:
        raise UserError(
            f"prepare.label_column: got {label_column!r}; the columns there are {', '.join(sorted(reader.columns))}"
        )


@dataclass
class _Reader:
    """What is carried from file to file: the next index in each data set, and whether a label was seen."""

    row_format: str
    label_column: str | None
    label_seen: bool = False
    columns: set[str] = field(default_factory=set)
    next_index: Counter[str] = field(default_factory=Counter)

    def read(self, file: SourceFile) -> Iterator[Sample | Rejected]:
        row_format = None if self.row_format == "auto" else self.row_format
        first: Rejected | None = None
        readable = False
        for row in file.rows:
            index = self.next_index[file.source_dataset]
            self.next_index[file.source_dataset] += 1
            try:
                value = _object(row)
                row_format = row_format or detect_format(value)
                sample = self._sample(value, row_format, file.source_dataset, index)
            except RowError as error:
                rejected = Rejected(file.source_dataset, index, file.file, row.line, str(error))
                first = first or rejected
                yield rejected
            else:
                readable = True
                yield sample
        if not readable:
            raise UserError(_nothing_readable(file.file, first))

    def _sample(self, value: dict[str, Any], row_format: str, source_dataset: str, index: int) -> Sample:
        messages = FORMATS[row_format](value)
        return Sample(source_dataset, index, row_id(value) or f"{source_dataset}_{index}", messages, self._label(value))

    def _label(self, value: dict[str, Any]) -> str | None:
        if self.label_column is None:
            return None
        if not self.label_seen:
            self.columns.update(value)
            self.label_seen = self.label_column in value
        return label_text(value.get(self.label_column))


def _object(row: Row) -> dict[str, Any]:
    if row.reason is not None:
        raise RowError(row.reason)
    if not isinstance(row.value, dict):
        raise RowError(f"the row is of type {type(row.value).__name__}, not an object")
    return row.value


def _nothing_readable(file: str, first: Rejected | None) -> str:
    if first is None:
        return f"{file}: is empty; takes at least one row"
    return f"{file}: none of its rows can be read; the first is line {first.line}: {first.reason}"
