"""Errors that a user can cause: one sentence that names the key or file, what it got and what it takes."""

import errno
import os
import sys
from collections.abc import Callable
from functools import wraps

LAUNCH = "MYGO_LAUNCH"  # names the folder that the processes of one launch share
SPOKEN = "spoken"  # in that folder: one of them has said what is wrong


class UserError(Exception):
    """Something only the user can mend. Its text is one sentence; stages print it and exit with status 1."""


def one_sentence(main: Callable[[], None]) -> Callable[[], None]:
    """Wrap a stage's `main`: a `UserError`, or a file that the system refuses, becomes one line on stderr and exit
    status 1, without a traceback. Of several processes of one launch the first that fails speaks.

    Set `MYGO_TRACEBACK=1` to see where it was raised, in every process.
    """

    @wraps(main)
    def wrapped() -> None:
        try:
            main()
        except KeyboardInterrupt:
            raise SystemExit(130) from None
        except Exception as error:
            first = _first_to_speak()
            if os.environ.get("MYGO_TRACEBACK") == "1":
                raise
            if not first:
                raise SystemExit(1) from None
            sentence = _sentence(error)
            if sentence is None:
                raise
            print(f"error: {sentence}", file=sys.stderr)
            raise SystemExit(1) from None

    return wrapped


def _sentence(error: Exception) -> str | None:
    """What there is to say of an error that a user can mend; `None` of any other."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        return os.strerror(error.errno)
    return None


def _first_to_speak() -> bool:
    """Whether no other process of the launch has failed before: the first one leaves a file."""
    folder = os.environ.get(LAUNCH)
    if folder is None:
        return True
    try:
        os.close(os.open(os.path.join(folder, SPOKEN), os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True
