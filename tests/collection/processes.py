"""Collect in real processes, forked from one that has imported everything: a start costs no seconds of imports.

What these tests share stands here too, since the processes need it.
"""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import pandas  # noqa: F401  pyarrow imports them when it needs them, in every process again
import pyarrow.dataset  # noqa: F401
import torch

from mygo.collection import collect as module
from mygo.params import CollectParams
from mygo.runtime import Runtime

PARAMS = CollectParams(
    checkpoint="last",
    tokens_per_batch=128,
    max_length=48,
    shard_size=16,
    tokens=True,
    answer_alone=False,
    base_nll=False,
    hidden_states=False,
    base_model=None,
    revision=None,
    dtype="float32",
)
EIGHT_SHARDS = PARAMS.model_copy(update={"shard_size": 5})  # of forty samples
CPU = Runtime(torch.device("cpu"), torch.float32, 0, 1)
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # for the server: threads that spin starve each other on few cores
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.collection.processes"])


@dataclass(frozen=True)
class Plan:
    """One process of collect. `delay`: seconds before each shard. `stays_at`: the shard before which it sleeps on until
    a signal comes. `waits_before` and `waits_after` loading the model: a file that must be there first.
    """

    warmed: Path
    pool: Path
    params: CollectParams = EIGHT_SHARDS
    rank: int = 0
    processes: int = 1
    delay: float = 0.0
    stays_at: int | None = None
    threads: int = 1
    waits_before: str | None = None
    waits_after: str | None = None
    out: str = "out"

    def start(self) -> BaseProcess:
        """In the working folder. What it says goes to `said-RANK`, the shards to `begun-RANK` and `scored-RANK`."""
        process = FORKS.Process(target=_collect, args=(self, Path.cwd()))
        process.start()
        return process


def ended(process: BaseProcess, seconds: float = 240) -> int | None:
    """Its exit status, negative for a signal."""
    process.join(seconds)
    return process.exitcode


def begun(rank: int = 0) -> list[int]:
    """The shards that processes of this rank began to score."""
    return _read(Path(f"begun-{rank}"))


def scored(rank: int = 0) -> list[int]:
    """Those that they came to an end with, which need not be on disk."""
    return _read(Path(f"scored-{rank}"))


def _read(path: Path) -> list[int]:
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def until(condition: Callable[[], object], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert condition()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def finished_shards() -> dict[str, Path]:
    return {path.name: path for path in Path("work").glob("collect/*/shard-*.parquet")}


def _collect(plan: Plan, folder: Path) -> None:
    os.chdir(folder)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that starts the tests behind itself ignores it
    sys.stderr = open(f"said-{plan.rank}", "a", buffering=1)  # noqa: SIM115
    torch.set_num_threads(plan.threads)
    load, score = module.load_engine, module.score_shard

    def slow_load(*arguments: object) -> object:
        _wait(plan, plan.waits_before)
        loaded = load(*arguments)
        _wait(plan, plan.waits_after)
        return loaded

    def slow_score(engine: object, encoder: object, shard: module.Shard, *rest: object) -> object:
        _note(f"begun-{plan.rank}", shard.index)
        time.sleep(600 if shard.index == plan.stays_at else plan.delay)
        table = score(engine, encoder, shard, *rest)
        _note(f"scored-{plan.rank}", shard.index)
        return table

    module.load_engine, module.score_shard = slow_load, slow_score
    runtime = Runtime(torch.device("cpu"), torch.float32, plan.rank, plan.processes)
    module.collect(plan.params, runtime, plan.warmed, plan.pool, Path(plan.out))
    Path(f"threads-{plan.rank}").write_text(str(torch.get_num_threads()))


def _note(name: str, shard: int) -> None:
    with open(name, "a") as file:
        print(shard, file=file, flush=True)


def _wait(plan: Plan, name: str | None) -> None:
    if name is not None:
        Path(f"waiting-{plan.rank}").touch()
        until(Path(name).exists)
