"""From the source that params name to samples: rows of every file, in order, each either a sample or rejected."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mygo.data.files import find_files
from mygo.data.formats import FORMATS, columns_of, detect_format, read_row, row_id
from mygo.data.hub import read_hub
from mygo.data.labels import label_text
from mygo.data.readers import FileUnreadable, read_rows
from mygo.data.records import PassedOver, Rejected, Row, RowError, Sample
from mygo.errors import UserError, escaped, listed, shown
from mygo.params import HubDataset, PrepareParams, ReferenceParams

BAR_DELAY = 3  # seconds: what is over sooner needs no progress bar
SHOWN_COLUMNS = 1_000  # how many names of columns are kept for a message

Outcome = Sample | Rejected | PassedOver


@dataclass(frozen=True)
class PoolSource:
    """Everything a source holds, streamed once, and the commits of its hub data sets by their `source_dataset`."""

    rows: Iterator[Outcome]
    commits: dict[str, str | None]

    def __iter__(self) -> Iterator[Outcome]:
        return iter(tqdm(self.rows, desc="read", unit=" rows", delay=BAR_DELAY, disable=None))


@dataclass(frozen=True)
class SourceFile:
    """Rows of one file, and the data set they belong to."""

    source_dataset: str
    file: str
    rows: Iterator[Row]


def read_pool_source(params: PrepareParams) -> PoolSource:
    """The rows of `prepare.source` `local`, `hub`, or `mixed`, which is both.

    Raises `UserError` as `_read_section` does, and on the way for a `prepare.label_column` that no row has.
    """
    return _read_section(params, "prepare", params.label_columns)


def read_reference_source(params: ReferenceParams) -> PoolSource:
    """The rows of `prepare.reference.source` `local` or `hub`, read as the pool's are; labels are not asked for."""
    return _read_section(params, "prepare.reference", ())


def _read_section(params: PrepareParams | ReferenceParams, section: str, labels: Sequence[str]) -> PoolSource:
    """Hub data sets are downloaded here, rows are read as they are asked for.

    Raises `UserError`, here or on the way, for a path or a data set of which nothing can be read, and for data sets of
    one name.
    """
    columns = columns_of(params.format, labels)
    passed_over: list[PassedOver] = []
    places: dict[str, list[SourceFile]] = {}
    commits: dict[str, str | None] = {}
    if params.source in ("local", "mixed"):
        key = f"{section}.path"
        found = find_files(Path(params.path), key)
        passed_over = found.passed_over
        places[f"{key}: {params.path}"] = [
            SourceFile(file.source_dataset, file.name, read_rows(file.path, columns)) for file in found.files
        ]
    if params.source in ("hub", "mixed"):
        local = {file.source_dataset for files in places.values() for file in files}
        files, commits = _open_hub(params.hub, columns, f"{section}.hub", local)
        places |= files
    return PoolSource(chain(passed_over, read_files(places, params.format, labels)), commits)


def _open_hub(
    wanted: list[HubDataset], columns: frozenset[str], key: str, taken: set[str]
) -> tuple[dict[str, list[SourceFile]], dict[str, str | None]]:
    names = [dataset.source_dataset for dataset in wanted]
    if not names or len(set(names)) < len(names):
        raise UserError(
            f"{key}: got source_dataset {names}; takes one data set or more, each with its own source_dataset"
        )
    if twice := taken.intersection(names):
        raise UserError(
            f"{key}: got source_dataset {listed(sorted(twice))}, which is the name of files in prepare.path too; takes "
            "other names"
        )
    opened = {dataset.source_dataset: read_hub(dataset, columns) for dataset in wanted}
    files = {
        f"hub data set {name}": [SourceFile(name, escaped(file), rows) for file, rows in hub.files]
        for name, hub in opened.items()
    }
    return files, {name: hub.commit for name, hub in opened.items()}


def read_files(
    places: Mapping[str, Iterable[SourceFile]], row_format: str, label_columns: Sequence[str]
) -> Iterator[Outcome]:
    """Samples and rejected rows in the order of the files, and after its rows each file that is passed over because it
    is damaged or nothing in it can be used. `places`: the files by the words that name their source in a sentence.

    `row_format` is a name in `FORMATS`, or `auto`: then each file's first row that fits a format decides for the file,
    but for rows that have nothing of it.
    Raises `UserError` for a place without a single sample.
    """
    reader = _Reader(row_format, label_columns, dict.fromkeys(label_columns))
    for place, files in places.items():
        yield from reader.read_place(place, files)
    for name in reader.unseen_labels:
        raise UserError(
            f"prepare.label_column: got '{shown(name)}'; the columns there are {listed(sorted(reader.columns))}"
        )


@dataclass
class _Reader:
    """What is carried from file to file: the next index in each data set, and what was seen."""

    row_format: str
    label_columns: Sequence[str]
    unseen_labels: dict[str, None]  # in the order that they were named
    samples: int = 0
    columns: set[str] = field(default_factory=set)
    next_index: Counter[str] = field(default_factory=Counter)

    def read_place(self, place: str, files: Iterable[SourceFile]) -> Iterator[Outcome]:
        samples_before = self.samples
        passed_over: list[PassedOver] = []
        for file in files:
            for outcome in self._read(file):
                if isinstance(outcome, PassedOver):
                    passed_over.append(outcome)
                yield outcome
        if self.samples == samples_before:
            raise UserError(_nothing_usable(place, passed_over))

    def _read(self, file: SourceFile) -> Iterator[Outcome]:
        samples_before, first, last_line = self.samples, None, 0
        problem: str | None = None
        try:
            for outcome, line in self._outcomes(file):
                first, last_line = first or (outcome if isinstance(outcome, Rejected) else None), line
                yield outcome
        except FileUnreadable as error:
            problem = error.reason + (f" after line {last_line:,}" if last_line else "")
        if problem is None and self.samples == samples_before:
            problem = _nothing_readable(first)
        if problem is not None:
            yield PassedOver(file.file, problem)

    def _outcomes(self, file: SourceFile) -> Iterator[tuple[Sample | Rejected, int]]:
        """What becomes of each row, and its line."""
        read = FORMATS.get(self.row_format)
        file_format: str | None = None
        for row in file.rows:
            index = self.next_index[file.source_dataset]
            self.next_index[file.source_dataset] += 1
            try:
                value = _object(row)
                self._note_columns(value)
                if read is None:
                    file_format = file_format or detect_format(value)
                messages = read(value) if read else read_row(value, str(file_format))
                labels = tuple((name, self._label(name, value)) for name in self.label_columns)
            except RowError as error:
                yield Rejected(file.source_dataset, index, file.file, row.line, str(error)), row.line
            else:
                self.samples += 1
                identity = row_id(value) or f"{file.source_dataset}_{index}"
                label = labels[0][1] if labels else None
                yield Sample(file.source_dataset, index, identity, messages, label, labels), row.line

    def _label(self, name: str, value: dict[str, Any]) -> str | None:
        try:
            return label_text(value.get(name))
        except RowError as error:
            raise RowError(str(error).replace("the label", f"the label '{shown(name)}'", 1)) from None

    def _note_columns(self, value: dict[str, Any]) -> None:
        if self.unseen_labels:
            self.unseen_labels = {name: None for name in self.unseen_labels if name not in value}
            self.columns.update(list(value)[:SHOWN_COLUMNS])


def _object(row: Row) -> dict[str, Any]:
    if row.reason is not None:
        raise RowError(row.reason)
    if not isinstance(row.value, dict):
        raise RowError(f"the row is of type {type(row.value).__name__}, not an object")
    return row.value


def _nothing_readable(first: Rejected | None) -> str:
    if first is None:
        return "is empty; takes at least one row"
    return f"none of its rows can be read; the first is line {first.line}: {first.reason}"


def _nothing_usable(place: str, passed_over: list[PassedOver]) -> str:
    first = passed_over[0]
    if len(passed_over) == 1:
        return f"{shown(first.file, 200)}: {first.reason}"
    return (
        f"{shown(place, 200)}: none of its {len(passed_over):,} files can be used; the first is {shown(first.file)}: "
        f"{first.reason}"
    )
