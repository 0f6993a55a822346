"""The files of a pool: one file, or all that lie below a folder."""

import os
from collections import Counter, deque
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from mygo.data.readers import KNOWN, ending_of, is_known
from mygo.data.records import PassedOver
from mygo.errors import UserError, escaped, listed, shown

UNKNOWN_ENDING = "its ending is not one of those that are read"
HIDDEN = "a name that begins with a dot is not read"


class DataFile(NamedTuple):
    """A file of the source. `name` is relative to the folder that was asked for; `source_dataset` is unique in it."""

    path: Path
    name: str
    source_dataset: str


class FoundFiles(NamedTuple):
    """What a source holds: the files that are read, and what lies beside them, both in the order of their names."""

    files: list[DataFile]
    passed_over: list[PassedOver]


def find_files(path: Path, key: str = "prepare.path") -> FoundFiles:
    """The files at `path` that have a known ending; of hidden ones it is said how many there are. Links are followed,
    and no folder is read twice.

    A data set is called by its file's stem, or by the folder in LESS's layout (`dolly/dolly_data.jsonl`); where that is
    not unique, by the file's relative path. Names are escaped where they cannot be printed.
    Raises `UserError`, which begins with `key`, if there is no such file.
    """
    if not os.path.exists(path):
        raise UserError(f"{key}: {shown(path, 200)} does not exist; takes a file or a folder of {KNOWN}")
    paths, problems, hidden = _below(path) if os.path.isdir(path) else ({path.name: path}, {}, [])
    problems |= {name: problem for name, file in paths.items() if (problem := _problem(file))}
    passed_over = [PassedOver(escaped(name), problems[name]) for name in sorted(problems)]
    if hidden:
        passed_over.append(PassedOver(f"{len(hidden):,} hidden files or folders ({listed(sorted(hidden), 3)})", HIDDEN))
    shorts = {name: _short_name(PurePosixPath(name)) for name in sorted(paths.keys() - problems.keys())}
    if not shorts:
        raise UserError(_no_file(path, key, passed_over))
    uses = Counter(shorts.values())
    return FoundFiles(
        [
            DataFile(paths[name], escaped(name), escaped(short if uses[short] == 1 else name))
            for name, short in shorts.items()
        ],
        passed_over,
    )


def _below(root: Path) -> tuple[dict[str, Path], dict[str, str], list[str]]:
    """The files by their relative names, why a folder is not read, and what is hidden. Folders come before links to
    folders, so that a folder that can be reached by both is called by its own name.
    """
    files: dict[str, Path] = {}
    problems: dict[str, str] = {}
    hidden: list[str] = []
    seen: dict[tuple[int, int], str] = {}
    folders, links = [root], deque[Path]()
    while folders or links:
        folder = folders.pop() if folders else links.popleft()
        name = folder.relative_to(root).as_posix()
        try:
            status = folder.stat()
            first_name = seen.setdefault((status.st_dev, status.st_ino), name)
            if first_name != name:
                problems[name] = f"the folder was read already, as {shown(first_name)}"
                continue
            children = sorted(folder.iterdir())
        except OSError as error:
            problems[name] = f"the folder cannot be read ({error.strerror})"
            continue
        for child in children:
            if child.name.startswith("."):
                hidden.append(child.relative_to(root).as_posix())
            elif not os.path.isdir(child):
                files[child.relative_to(root).as_posix()] = child
            elif os.path.islink(child):
                links.append(child)
            else:
                folders.append(child)
    return files, problems, hidden


def _problem(file: Path) -> str | None:
    """Why a file is not read; None if it is."""
    if not is_known(ending_of(file.name)):
        return UNKNOWN_ENDING
    if os.path.isfile(file):  # never opens a pipe, which would wait for a writer
        return None
    return "it is a link to nothing" if os.path.islink(file) else "it is not a regular file"


def _short_name(name: PurePosixPath) -> str:
    stem = ending_of(name.name).stem
    return name.parent.name if stem == f"{name.parent.name}_data" else stem


def _no_file(path: Path, key: str, passed_over: list[PassedOver]) -> str:
    place = f"{key}: {shown(path, 200)}"
    if os.path.isdir(path):
        there = f" (there are {listed(file.file for file in passed_over)})" if passed_over else ""
        return f"{place} holds no file of a known format; takes {KNOWN}{there}"
    return (
        f"{place} is not {'a regular file' if is_known(ending_of(path.name)) else 'of a known format'}; takes {KNOWN}"
    )
