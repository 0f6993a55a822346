"""Errors that a user can cause: one sentence that names the key or file, what it got and what it takes.

What comes from data (names, keys, contents) goes through `shown` or `listed` before it is put into a sentence, a log or
a metric: it may hold control characters, line breaks or a million letters.
"""

import errno
import os
import sys
from collections.abc import Callable, Iterable
from functools import wraps
from itertools import islice

SENTENCE_LIMIT = 1_000  # characters of a whole message
CUT = "..."

LAUNCH = "MYGO_LAUNCH"  # names the folder that the processes of one launch share
SPOKEN = "spoken"  # in that folder: one of them has said what is wrong


class UserError(Exception):
    """Something only the user can mend. Its text is one sentence; stages print it and exit with status 1."""


def escaped(text: str) -> str:
    """The text with everything that a terminal could act on written as a Python escape: control characters, line
    breaks, marks that turn the direction of writing, lone surrogates.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shown(value: object, limit: int = 80) -> str:
    """A value from data as it may be printed: escaped, and with its middle cut out beyond `limit` characters."""
    text = str(value)
    if len(text) > 2 * limit:  # cut before it is escaped: it may be as long as memory
        text = text[:limit] + text[-limit:]
    text = escaped(text)
    if len(text) <= limit:
        return text
    tail = limit // 4
    return f"{text[: limit - tail - len(CUT)]}{CUT}{text[-tail:]}"


def listed(names: Iterable[object], most: int = 8) -> str:
    """The first names as they may be printed, and how many more there are; "none" if there is none."""
    rest = iter(names)
    first = [shown(name, 40) for name in islice(rest, most)]
    left = sum(1 for _ in rest)
    return f"{', '.join(first)}{f' and {left:,} more' if left else ''}" if first else "none"


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
            print(f"error: {shown(sentence, SENTENCE_LIMIT)}", file=sys.stderr)
            raise SystemExit(1) from None

    return wrapped


def _sentence(error: Exception) -> str | None:
    """What there is to say of an error that a user can mend; `None` of any other."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS):
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
    except OSError:  # a full disk: better said twice than not at all
        return True
    return True
