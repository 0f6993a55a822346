"""Errors that a user can cause: one sentence that names the key or file, what it got and what it takes."""

import os
import sys
from collections.abc import Callable
from functools import wraps


class UserError(Exception):
    """Something only the user can mend. Its text is one sentence; stages print it and exit with status 1."""


def one_sentence(main: Callable[[], None]) -> Callable[[], None]:
    """Wrap a stage's `main`: a `UserError` becomes one line on stderr and exit status 1, without a traceback.

    Set `MYGO_TRACEBACK=1` to see where it was raised.
    """

    @wraps(main)
    def wrapped() -> None:
        try:
            main()
        except UserError as error:
            if os.environ.get("MYGO_TRACEBACK") == "1":
                raise
            print(f"error: {error}", file=sys.stderr)
            raise SystemExit(1) from None

    return wrapped
