"""Data sets of the hub at a pinned revision. Only data is read: no remote code, no pickle."""

import fnmatch
import io
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from mygo.data.files import BUFFER_BYTES, read_json, read_rows
from mygo.data.records import Row
from mygo.errors import UserError
from mygo.params import HubDataset

# What `datasets` may read with; "cache" is a data set it has prepared before, read back without a network.
SAFE_BUILDERS = {"json", "parquet", "arrow", "csv", "text", "cache"}
BATCH_ROWS = 1_000


class HubRows(NamedTuple):
    """The rows of a hub data set, file by file, and the commit they are of (None for a local folder)."""

    commit: str | None
    files: list[tuple[str, Iterator[Row]]]


def read_hub(dataset: HubDataset) -> HubRows:
    """Download a data set (or find it in the cache) and stream its rows; `name` may also be a local folder.

    With `data_files` the files that match the pattern are read as local ones are; `zip://member::archive.zip` names a
    file inside an archive; subset and split have no part in that. Without it `datasets` reads the split of the subset.
    Raises `UserError` if the data set, revision, subset, split or file is not there or cannot be reached.
    """
    if dataset.data_files is None:
        table, commit = load_split(dataset.name, dataset.revision, dataset.subset, dataset.split)
        return HubRows(commit, [(dataset.name, _table_rows(table))])
    member, _, pattern = dataset.data_files.rpartition("::")
    with _explained(dataset.name, dataset.revision):
        folder, commit = _fetch(dataset.name, dataset.revision, pattern)
        paths = _matching(folder, pattern)
    readers = [_read_member(path, member.removeprefix("zip://")) if member else read_rows(path) for path in paths]
    return HubRows(
        commit,
        [
            (f"{dataset.name}/{path.relative_to(folder).as_posix()}", rows)
            for path, rows in zip(paths, readers, strict=True)
        ],
    )


def load_split(name: str, revision: str, subset: str | None, split: str) -> tuple[Any, str | None]:
    """One split as a `datasets.Dataset` (memory-mapped) and the commit it is of.

    Raises `UserError`, also if only another revision is in the cache and the hub cannot be reached.
    """
    import datasets

    with _explained(name, revision):
        builder = datasets.load_dataset_builder(name, subset, revision=revision)
        _check_builder(type(builder).__module__)
        commit = None if Path(name).is_dir() else str(builder.hash)
        if commit and re.fullmatch("[0-9a-f]{7,40}", revision) and not commit.startswith(revision):
            raise ValueError(f"the hub cannot be reached and the cache holds revision {commit}")
        builder.download_and_prepare()
        return builder.as_dataset(split=split), commit


def _check_builder(module: str) -> None:
    kind = module.rpartition(".")[2]
    if kind not in SAFE_BUILDERS:
        raise ValueError(f"its files are of type {kind}; takes {', '.join(sorted(SAFE_BUILDERS))}")


def _table_rows(table: Any) -> Iterator[Row]:
    number = 0
    for batch in table.iter(BATCH_ROWS):
        for values in zip(*batch.values(), strict=True):
            number += 1
            yield Row(number, dict(zip(batch, values, strict=True)))


def _fetch(name: str, revision: str, pattern: str) -> tuple[Path, str | None]:
    """The folder that holds the files of this revision, and its commit."""
    from huggingface_hub import snapshot_download

    if Path(name).is_dir():
        return Path(name), None
    folder = Path(snapshot_download(name, repo_type="dataset", revision=revision, allow_patterns=pattern))
    return folder, folder.name


def _matching(folder: Path, pattern: str) -> list[Path]:
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    found = [folder / name for name in names if fnmatch.fnmatchcase(name, pattern)]
    if not found:
        raise ValueError(f"no file matches {pattern}")
    return found


def _read_member(archive: Path, member: str) -> Iterator[Row]:
    try:
        with zipfile.ZipFile(archive) as file, file.open(member) as raw, io.BufferedReader(raw, BUFFER_BYTES) as stream:  # pyright: ignore[reportArgumentType]
            yield from read_json(stream)
    except KeyError:
        raise UserError(f"{archive.name}: holds no file {member}") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{archive.name}: {member} cannot be read ({' '.join(str(error).split())})") from None


@contextmanager
def _explained(name: str, revision: str) -> Iterator[None]:
    """Turn what the hub's libraries raise into a sentence."""
    from datasets.exceptions import DatasetsError

    try:
        yield
    except (OSError, ValueError, RuntimeError, DatasetsError) as error:
        reason = str(error).strip().split("\n")[0].rstrip(".")
        raise UserError(f"hub data set {name} at revision {revision}: cannot be read ({reason})") from None
