"""Data sets of the hub at a pinned revision. Only data is read: no remote code, no pickle."""

import fnmatch
import os
import re
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from mygo.data.readers import ending_of, explained, read_content, read_rows
from mygo.data.readers.arrow_rows import BATCH_ROWS, arrow_rows, wanted
from mygo.data.records import Row
from mygo.errors import UserError, shown
from mygo.params import HubDataset

# What `datasets` may read with; "cache" is a data set it has prepared before, read back without a network.
SAFE_BUILDERS = {"json", "parquet", "arrow", "csv", "text", "cache"}
COMMIT = re.compile("[0-9a-f]{7,40}")


class HubRows(NamedTuple):
    """The rows of a hub data set, file by file, and the commit they are of (None for a local folder)."""

    commit: str | None
    files: list[tuple[str, Iterator[Row]]]


def read_hub(dataset: HubDataset, columns: frozenset[str] | None = None) -> HubRows:
    """Download a data set (or find it in the cache) and stream its rows; `name` may also be a local folder.

    With `data_files` the files that match the pattern are read as local ones are; `zip://member::archive.zip` names a
    file inside an archive; subset and split have no part in that. Without it `datasets` reads the split of the subset.
    Of tables only `columns` are read where they are given.
    Raises `UserError` if the data set, revision, subset, split or file is not there or cannot be reached.
    """
    if dataset.data_files is None:
        table, commit = load_split(dataset.name, dataset.revision, dataset.subset, dataset.split)
        return HubRows(commit, [(dataset.name, table_rows(dataset.name, table, columns))])
    member, _, pattern = dataset.data_files.rpartition("::")
    with _explained(dataset.name, dataset.revision):
        folder, commit = _fetch(dataset.name, dataset.revision, pattern)
        paths = _matching(folder, pattern)
    member = member.removeprefix("zip://")
    readers = [_read_member(path, member, columns) if member else read_rows(path, columns) for path in paths]
    names = [f"{dataset.name}/{path.relative_to(folder).as_posix()}" for path in paths]
    return HubRows(commit, list(zip(names, readers, strict=True)))


def load_split(name: str, revision: str, subset: str | None, split: str) -> tuple[Any, str | None]:
    """One split as a `datasets.Dataset` (memory-mapped) and the commit it is of.

    Raises `UserError`, also if only another revision is in the cache and the hub cannot be reached.
    """
    import datasets

    if not sys.stderr.isatty():  # a bar writes a line a step into a file
        datasets.disable_progress_bars()
    with _explained(name, revision):
        builder = datasets.load_dataset_builder(name, subset, revision=revision)
        kind = _checked_kind(type(builder).__module__)
        commit = None if Path(name).is_dir() else str(builder.hash)
        if commit and kind == "cache" and not commit.startswith(_known_commit(name, revision) or commit):
            raise ValueError(f"the hub cannot be reached and the cache holds revision {commit}")
        builder.download_and_prepare()
        return builder.as_dataset(split=split), commit


def _checked_kind(module: str) -> str:
    kind = module.rpartition(".")[2]
    if kind not in SAFE_BUILDERS:
        raise ValueError(f"its files are of type {kind}; takes {', '.join(sorted(SAFE_BUILDERS))}")
    return kind


def _known_commit(name: str, revision: str) -> str | None:
    """The commit (or its beginning) that a revision stands for, without the hub: a commit for itself, a branch or a tag
    for what it was when something of it was last downloaded; None if nothing was.
    """
    if COMMIT.fullmatch(revision):
        return revision
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    ref = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=name, repo_type="dataset") / "refs" / revision
    return ref.read_text(encoding="utf-8").strip() if ref.is_file() else None


def table_rows(name: str, table: Any, columns: frozenset[str] | None) -> Iterator[Row]:
    """Rows of a `datasets.Dataset`, as Arrow holds them."""
    names = table.column_names
    read = wanted(names, columns)
    if not read:  # a selection of no columns has no rows
        yield from (Row(number, dict.fromkeys(names)) for number in range(1, len(table) + 1))
        return
    with explained(name):
        yield from arrow_rows(table.select_columns(read).with_format("arrow").iter(BATCH_ROWS), names)


def _fetch(name: str, revision: str, pattern: str) -> tuple[Path, str | None]:
    """The folder that holds the files of this revision, and its commit."""
    from huggingface_hub import snapshot_download

    if Path(name).is_dir():
        return Path(name), None
    folder = Path(snapshot_download(name, repo_type="dataset", revision=revision, allow_patterns=pattern))
    return folder, folder.name


def _matching(folder: Path, pattern: str) -> list[Path]:
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if os.path.isfile(path))
    found = [folder / name for name in names if fnmatch.fnmatchcase(name, pattern)]
    if not found:
        raise ValueError(f"no file matches {pattern}")
    return found


def _read_member(archive: Path, member: str, columns: frozenset[str] | None) -> Iterator[Row]:
    with explained(f"{archive.name}: {member}"), zipfile.ZipFile(archive) as file:
        if member not in file.namelist():
            raise UserError(f"{archive.name}: holds no file {shown(member)}")
        with file.open(member) as raw:
            yield from read_content(raw, ending_of(member), columns)


@contextmanager
def _explained(name: str, revision: str) -> Iterator[None]:
    """Turn what the hub's libraries raise into a sentence."""
    from datasets.exceptions import DatasetsError

    try:
        yield
    except (OSError, ValueError, RuntimeError, DatasetsError) as error:
        reason = shown(str(error).strip().split("\n")[0].rstrip("."), 400)
        raise UserError(f"hub data set {name} at revision {revision}: cannot be read ({reason})") from None
