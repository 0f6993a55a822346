"""Several processes of one stage on this machine, started without torchrun.

They meet in a file and talk over the loopback interface: no port, no host name, no interpreter and no report of a
launcher. The first that fails ends the launch.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from mygo.errors import LAUNCH, SPOKEN
from mygo.launch.config import LaunchConfig
from mygo.launch.folder import launch_folder
from mygo.launch.guard import LAUNCHER, stop_with_parent

PATIENCE = 3.0  # seconds between asking a process to end and ending it


def environment_of(config: LaunchConfig, processes: int) -> dict[str, str]:
    """What every process of a launch is told: its device, its threads, and to stay on this machine."""
    threads = max(1, (psutil.cpu_count(logical=False) or 1) // processes) if config.use_cpu else 1
    given = {"OMP_NUM_THREADS": str(threads)}
    if processes > 1 and config.machines == 1:
        loopback = next((name for _, name in socket.if_nameindex() if name.startswith("lo")), "lo")
        given |= {"GLOO_SOCKET_IFNAME": loopback, "NCCL_SOCKET_IFNAME": loopback}
    told = {name: value for name, value in given.items() if name not in os.environ}
    if config.use_cpu:
        told |= {"ACCELERATE_USE_CPU": "true", "CUDA_VISIBLE_DEVICES": ""}
    return told


def run_processes(stage: str, arguments: list[str], processes: int, environment: dict[str, str]) -> int:
    """Run a stage in several processes; returns its exit status."""
    with launch_folder() as folder:
        children: list[subprocess.Popen[bytes]] = []
        with _ended_with(children):
            for rank in range(processes):
                told = environment | _place(rank, processes, folder)
                children.append(_start(stage, arguments, os.environ | told, children))
            rank, status = _first_failure(children)
        if status and not (folder / SPOKEN).exists():
            name = signal.Signals(-status).name if status < 0 else f"exit status {status}"
            print(f"error: {stage}: process {rank} of {processes} ended by {name}", file=sys.stderr)
        return 128 - status if status < 0 else status


def _place(rank: int, processes: int, folder: Path) -> dict[str, str]:
    ranks = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
    shared = {LAUNCH: str(folder), "MYGO_MEETING": str(folder.resolve() / "meeting"), "MASTER_ADDR": "127.0.0.1"}
    shared |= {LAUNCHER: str(os.getpid())}
    return shared | {name: str(value) for name, value in ranks.items()}


def _start(
    stage: str, arguments: list[str], environment: dict[str, str], started: list[subprocess.Popen[bytes]]
) -> subprocess.Popen[bytes]:
    """One process, in a group with those that were started before it."""
    group = started[0].pid if started else 0
    command = [sys.executable, "-m", f"stages.{stage}", *arguments]
    return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, process_group=group)


def _first_failure(children: list[subprocess.Popen[bytes]]) -> tuple[int, int]:
    """Wait until all have ended well, or one has not: its rank and status."""
    while True:
        statuses = [child.poll() for child in children]
        for rank, status in enumerate(statuses):
            if status:
                return rank, status
        if None not in statuses:
            return 0, 0
        time.sleep(0.05)


@contextmanager
def _ended_with(children: list[subprocess.Popen[bytes]]) -> Iterator[None]:
    """However this process ends, the children end too."""
    stop_with_parent(last=lambda: _signal(children, signal.SIGKILL))
    with _terminated_as_exit():
        try:
            yield
        finally:
            _signal(children, signal.SIGTERM)
            deadline = time.monotonic() + PATIENCE
            while any(child.poll() is None for child in children) and time.monotonic() < deadline:
                time.sleep(0.05)
            _signal(children, signal.SIGKILL)
            for child in children:
                child.wait()


def _signal(children: list[subprocess.Popen[bytes]], number: int) -> None:
    """To the whole group, which may hold processes that a child has started."""
    with suppress(ProcessLookupError):
        if children:
            os.killpg(children[0].pid, number)


@contextmanager
def _terminated_as_exit() -> Iterator[None]:
    """SIGTERM unwinds the stack, as Ctrl-C does."""

    def leave(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    before: Callable[..., object] | int | None = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
