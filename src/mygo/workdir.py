"""Work that survives a crash: folders named by a fingerprint of what they are made from, files and folders that appear
complete or not at all.

DVC deletes a stage's outputs before it runs and keeps none of an interrupted one, so long stages write to
`work/<stage>/<fingerprint>/`, which git and DVC ignore, and rename the finished folder to the output at the end.
What the system refuses to write (a full disk, a read-only folder) is a `CannotWrite`, which names the file.
"""

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mygo.errors import UserError

FINGERPRINT_FILE = "fingerprint.json"
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
LOCKED = {errno.EROFS, errno.EACCES, errno.EPERM}
REMEDIES = {
    **dict.fromkeys(FULL, "free some space"),
    **dict.fromkeys(LOCKED, "make it writable"),
    errno.ENOENT: "see what removed its folder",
}
IN_RUST = re.compile(r"\(os error (\d+)\)")  # safetensors raises an error of its own: its text alone holds the number


class CannotWrite(UserError):
    """A file or folder of ours that the system refused to write."""

    def __init__(self, path: str | Path, error: Exception) -> None:
        number = _number(error)
        reason = os.strerror(number) if number else str(error).strip().split("\n")[0] or type(error).__name__
        remedy = REMEDIES.get(number or 0, "mend that")
        super().__init__(f"{path}: cannot be written ({reason}); {remedy} and run it again")


def _number(error: Exception) -> int | None:
    """What the system called it, as far as the error says."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    found = IN_RUST.search(str(error))
    return int(found[1]) if found else None


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """For a block that does nothing but write `path`: turns its `OSError` into `CannotWrite`."""
    try:
        yield
    except OSError as error:
        raise CannotWrite(path, error) from error


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
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)  # in use again: see `remove_abandoned` of collection.claims
    if not (folder / FINGERPRINT_FILE).exists():
        write_atomically(folder / FINGERPRINT_FILE, json.dumps(fingerprint, sort_keys=True, indent=1).encode() + b"\n")
    return folder


def publish(work: Path, out: Path) -> None:
    """Move a finished work folder to the stage's output. A kill at any moment leaves one of the two whole."""
    if not work.is_dir():  # known before anything is deleted for it
        raise CannotWrite(work, FileNotFoundError(errno.ENOENT, ""))
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        try:
            _replace_folder(work, out)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            _copy_folder(work, out)


def _copy_folder(work: Path, out: Path) -> None:
    """To another file system: copied next to the output first."""
    temporary = _beside(out)
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        for path in sorted(work.rglob("*")):  # copytree would hide which system call failed
            copy = temporary / path.relative_to(work)
            copy.mkdir() if path.is_dir() else shutil.copy2(path, copy)
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _replace_folder(temporary, out)
    shutil.rmtree(work)


@contextmanager
def sync_rename(path: Path) -> Iterator[Path]:
    """Yield a temporary name to write to; the file gets its real name once it is complete and on disk.

    The name is this call's own: processes may write the same file at the same time, and the last one stays.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with writing(path):
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a whole file so that nobody ever sees half of it."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with sync_rename(path) as temporary:
        temporary.write_bytes(content)


def first_written(path: Path, content: bytes) -> bytes:
    """Write a file where none is, and return what it holds: of several processes that come at once, the first one's."""
    own = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    with writing(path):
        try:
            own.write_bytes(content)
            os.link(own, path)  # complete from its first moment, and never in place of another
        except FileExistsError:
            pass
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):  # a file system without hard links
                raise
            if not path.exists():
                os.replace(own, path)
        finally:
            with suppress(OSError):
                own.unlink(missing_ok=True)
        return path.read_bytes()


@contextmanager
def atomic_folder(out: Path) -> Iterator[Path]:
    """Yield an empty temporary folder that becomes `out` if the block succeeds and disappears if it fails."""
    temporary = _beside(out)
    with writing(out):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
    try:
        with filling(temporary, out):
            yield temporary
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    with writing(out):
        _replace_folder(temporary, out)


@contextmanager
def filling(folder: Path, out: Path) -> Iterator[None]:
    """For a block that fills `folder`, which is to become `out`, and also reads and computes: `CannotWrite` of `out` if
    it fails at writing. Any other error passes.
    """
    try:
        yield
    except Exception as error:
        if _was_refused(error, folder):
            raise CannotWrite(out, error) from error
        raise


def _was_refused(error: Exception, folder: Path) -> bool:
    number = _number(error)
    if not isinstance(error, OSError):
        return number in FULL and not isinstance(error, UserError)
    if not isinstance(error.filename, str):
        return number in FULL or number == errno.EROFS
    below = Path(error.filename).absolute().is_relative_to(folder.absolute())
    return below and number in FULL | LOCKED


def _beside(path: Path) -> Path:
    """A temporary name in the same folder, so that the final rename stays on one file system."""
    return path.with_name(f".{path.name}.tmp")


def _replace_folder(temporary: Path, out: Path) -> None:
    if out.exists():
        shutil.rmtree(out)
    os.replace(temporary, out)
