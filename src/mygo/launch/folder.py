"""The folder that the processes of one launch share."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mygo.errors import UserError


@contextmanager
def launch_folder() -> Iterator[Path]:
    """An empty folder, gone at the end. Raises `UserError` where there is no room for one."""
    try:  # on a full disk what is missing is a folder that could be used: no error that names a file
        folder = tempfile.TemporaryDirectory(prefix="mygo-launch-", ignore_cleanup_errors=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(
            f"TMPDIR: no temporary folder can be made for the processes of a launch ({reason}); free some space, or "
            "name a folder that can be written to"
        ) from error
    with folder as name:
        yield Path(name)
