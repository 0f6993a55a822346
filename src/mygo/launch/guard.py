"""A stage that DVC started stops when DVC is gone, and writes nothing after that.

DVC, killed, would leave it running: it would go on writing to a workspace in which another run may have begun. Every
process of a stage watches the one that started it: on Linux the kernel ends it (PR_SET_PDEATHSIG), elsewhere, and
behind a shell that stays between, a thread looks. Before that it looks whether its parent is gone already.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from mygo.errors import LAUNCH

LAUNCHER = "MYGO_LAUNCHER"  # the process that started this one, which its child cannot ask for when it is gone
PR_SET_PDEATHSIG = 1
INIT = 1  # the process that takes in those whose parent is gone, and in a container what was started first
SHELLS = {"sh", "bash", "dash", "ash", "zsh", "fish", "ksh", "mksh", "csh", "tcsh"}
DVC = ("dvc", "python")  # how the process of DVC may be called: both begin so
SECONDS = 0.5  # between two looks

_watching = False


def stop_with_parent(last: Callable[[], object] = lambda: None) -> None:
    """From now on this process ends with the one that started it, after it has called `last`; at once, if that is gone
    already. Without DVC or a launcher above it does nothing.
    """
    global _watching
    if _watching or not ("DVC_STAGE" in os.environ or LAUNCH in os.environ):
        return
    _watching = True
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    chain = _chain()
    if _is_left_behind(chain, os.environ.pop(LAUNCHER, None)):
        print("error: the process that started this one is gone, and nothing was done; run it again", file=sys.stderr)
        raise SystemExit(1)
    threading.Thread(target=_watch, args=(chain, last), name="guard", daemon=True).start()


def _is_left_behind(chain: list[int], launcher: str | None) -> bool:
    """Whether the parent was gone before this process could ask to end with it. A launcher has left its number; DVC has
    not: its place has been taken by the first process, unless that is DVC itself, in a container.
    """
    if launcher is not None:
        return int(launcher) != chain[0]
    above = _parent(INIT)
    return INIT in chain and above is not None and not above[1].startswith(DVC)


def _watch(chain: list[int], last: Callable[[], object]) -> None:
    while _stands(chain):
        time.sleep(SECONDS)
    last()
    os.kill(os.getpid(), signal.SIGKILL)


def _chain() -> list[int]:
    """The processes above this one, from the nearest: shells that DVC started it with, then DVC (or the launcher)."""
    chain = [os.getppid()]
    while (above := _parent(chain[-1])) and above[1] in SHELLS:
        chain.append(above[0])
    return chain


def _stands(chain: list[int]) -> bool:
    if os.getppid() != chain[0]:
        return False
    return all((above := _parent(child)) and above[0] == parent for child, parent in pairwise(chain))


def _parent(pid: int) -> tuple[int, str] | None:
    """The parent of a process and the process's own name; `None` if it is not there."""
    try:
        name, _, rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
        return int(rest.split()[1]), name.partition("(")[2]
    except OSError:
        return None if sys.platform == "linux" else _parent_by_ps(pid)


def _parent_by_ps(pid: int) -> tuple[int, str] | None:
    words = subprocess.run(["ps", "-o", "ppid=,comm=", "-p", str(pid)], capture_output=True, text=True).stdout.split()
    return (int(words[0]), words[1].rpartition("/")[2].lstrip("-")) if len(words) > 1 else None
