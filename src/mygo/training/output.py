"""The folder that training writes to, which one process of a launch makes."""

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mygo.runtime import Runtime
from mygo.workdir import filling, publish, writing


@contextmanager
def output_folder(out: Path, runtime: Runtime) -> Iterator[Path]:
    """In the process that writes, an empty folder that becomes `out` if the block succeeds and disappears if it fails.

    Its name is this run's own, so that a run that was left behind cannot write into it; what killed runs left is
    removed. The other processes of a launch get `out`, and touch nothing. Raises `UserError` if the system refuses to
    write it.
    """
    if not runtime.is_main:
        yield out
        return
    remove_leftovers(out)
    folder = out.with_name(f".{out.name}.{secrets.token_hex(4)}.tmp")
    with writing(out):
        folder.mkdir(parents=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        _lock(handle)
        with filling(folder, out):
            yield folder
        publish(folder, out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def remove_leftovers(out: Path) -> None:
    """Remove the unfinished folders of `out` whose process is gone: it took its lock with it."""
    for folder in out.parent.glob(f".{out.name}.*tmp"):
        with suppress(FileNotFoundError):  # another process was quicker
            handle = os.open(folder, os.O_RDONLY)
            if _lock(handle):
                shutil.rmtree(folder, ignore_errors=True)
            os.close(handle)


def _lock(handle: int) -> bool:
    """Lock an open folder as long as it is open; false if another process holds it, or the file system has no locks."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
