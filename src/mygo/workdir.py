"""Work that survives a crash: folders named by a fingerprint of what they are made from, files and folders that appear
complete or not at all.

DVC deletes a stage's outputs before it runs and keeps none of an interrupted one, so long stages write to
`work/<stage>/<fingerprint>/`, which git and DVC ignore, and rename the finished folder to the output at the end.
"""

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FINGERPRINT_FILE = "fingerprint.json"


def digest(value: Any) -> str:
    """Hex digest (160 bits) of anything JSON can hold, independent of the order of keys."""
    return hashlib.blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=20).hexdigest()


def hash_folder(folder: Path, ignore: tuple[str, ...] = ()) -> str:
    """Hex digest of the names and contents of all files below `folder`, in sorted order."""
    total = hashlib.blake2b(digest_size=20)
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in ignore:
            with path.open("rb") as file:
                content = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=20)).hexdigest()
            total.update(f"{path.relative_to(folder).as_posix()}\0{content}\n".encode())
    return total.hexdigest()


def workdir_of(stage: str, fingerprint: Mapping[str, Any]) -> Path:
    """The work folder of a stage for exactly these inputs, whether it is there or not.

    It lies in the real repository (`DVC_ROOT`) also when DVC runs the stage in a temporary copy, so that a run can be
    picked up there.
    """
    return Path(os.environ.get("DVC_ROOT", ".")) / "work" / stage / digest(dict(fingerprint))


def open_workdir(stage: str, fingerprint: Mapping[str, Any]) -> Path:
    """`workdir_of`, made if it is not there."""
    folder = workdir_of(stage, fingerprint)
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / FINGERPRINT_FILE).exists():
        write_atomically(folder / FINGERPRINT_FILE, json.dumps(fingerprint, sort_keys=True, indent=1).encode() + b"\n")
    return folder


def publish(work: Path, out: Path) -> None:
    """Move a finished work folder to the stage's output. Across file systems it is copied next to the output first."""
    temporary = _beside(out)
    shutil.rmtree(temporary, ignore_errors=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(work, temporary)
    _replace_folder(temporary, out)


@contextmanager
def sync_rename(path: Path) -> Iterator[Path]:
    """Yield a temporary name to write to; the file gets its real name once it is complete and on disk.

    The name is this call's own: processes may write the same file at the same time, and the last one stays.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a whole file so that nobody ever sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with sync_rename(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def atomic_folder(out: Path) -> Iterator[Path]:
    """Yield an empty temporary folder that becomes `out` if the block succeeds and disappears if it fails."""
    temporary = _beside(out)
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _replace_folder(temporary, out)


def _beside(path: Path) -> Path:
    """A temporary name in the same folder, so that the final rename stays on one file system."""
    return path.with_name(f".{path.name}.tmp")


def _replace_folder(temporary: Path, out: Path) -> None:
    if out.exists():
        shutil.rmtree(out)
    os.replace(temporary, out)
