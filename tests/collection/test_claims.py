"""Several processes share a pool by claiming shards."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from mygo.collection.claims import Claims, by_cost
from mygo.collection.collect import collect
from mygo.params import CollectParams
from mygo.runtime import Runtime

one_family = pytest.mark.parametrize(
    "tiny_selector", ["select_moe"], indirect=True
)  # sharing does not look at the model
PARAMS = CollectParams(
    checkpoint="last",
    tokens_per_batch=128,
    max_length=48,
    shard_size=5,
    tokens=True,
    answer_alone=False,
    base_nll=False,
    base_model=None,
    revision=None,
    dtype="float32",
)  # forty samples: eight shards
SCRIPT = """
import sys, time, torch
from pathlib import Path
from mygo.collection import collect as module
from mygo.params import CollectParams
from mygo.runtime import Runtime
score = module.score_shard
def slow(engine, encoder, shard, *rest):
    with open(f"scored-{rank}", "a") as file:
        print(shard.index, file=file)
    time.sleep(float(sys.argv[6]))
    return score(engine, encoder, shard, *rest)
module.score_shard = slow
rank, processes = int(sys.argv[4]), int(sys.argv[5])
runtime = Runtime(torch.device("cpu"), torch.float32, rank, processes)
module.collect(CollectParams.model_validate_json(sys.argv[1]), runtime, Path(sys.argv[2]), Path(sys.argv[3]),
Path("out"))
"""


@pytest.fixture
def start(tiny_selector, pool):
    def start(rank: int, processes: int, delay: float) -> subprocess.Popen:
        command = [
            sys.executable,
            "-c",
            SCRIPT,
            PARAMS.model_dump_json(),
            str(tiny_selector.parent),
            str(pool),
            str(rank),
            str(processes),
            str(delay),
        ]
        return subprocess.Popen(command, stderr=subprocess.DEVNULL)

    return start


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def scored(rank: int) -> list[int]:
    path = Path(f"scored-{rank}")
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def until(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition()


def test_a_claimed_shard_is_taken_by_nobody_else(tmp_path):
    (tmp_path / "work").mkdir()
    first, second = (Claims(tmp_path / "work", [2, 0, 1], rank, 2) for rank in (0, 1))
    one, other = first.take(), second.take()
    taken = [next(one), next(other), next(one)]
    assert [claim.shard for claim in taken] == [2, 0, 1]
    assert [claim.shard for claim in second.take()] == []
    taken[1].release()
    assert [claim.shard for claim in first.take()] == [0]
    (tmp_path / "work/shard-00000.parquet").touch()
    assert first.missing() == [2, 1]
    assert not list((tmp_path / "work").glob(".*"))


def test_without_locks_every_process_has_a_part_of_its_own(tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    (tmp_path / "work").mkdir()
    parts = [[claim.shard for claim in Claims(tmp_path / "work", [3, 1, 2, 0], rank, 2).take()] for rank in (0, 1)]
    assert parts == [[3, 2], [1, 0]]


def test_the_costly_shards_come_first(tmp_path, write_pool_of):
    def chat(text: str) -> list[dict[str, str]]:
        return [{"role": "user", "content": "é"}, {"role": "assistant", "content": text}]

    # Bytes: 2 + 5, 2 + 9 | 2 + 1000, cut at 16 x 8 = 128, 2 + 1 | 2 + 20, 2 + 90
    pool = write_pool_of(tmp_path / "pool", [chat("a" * n) for n in (5, 9, 1000, 1, 20, 90)])
    assert by_cost(pool, 2, 8) == [1, 2, 0]
    assert by_cost(pool, 2, 1) == [2, 1, 0]  # cut at 16: 7 + 11 | 16 + 3 | 16 + 16


@one_family
def test_two_processes_share_the_shards_and_give_the_bytes_of_one(tiny_selector, pool, start, tmp_path):
    processes = [start(rank, 2, 0.3) for rank in (0, 1)]
    assert [process.wait(120) for process in processes] == [0, 0]
    assert sorted(scored(0) + scored(1)) == list(range(8))
    assert scored(0)
    collect(PARAMS, Runtime(torch.device("cpu"), torch.float32, 0, 1), tiny_selector.parent, pool, tmp_path / "one")
    assert contents(tmp_path / "one") == contents(Path("out"))
    assert not list(Path("work/collect").iterdir())


@one_family
def test_the_part_of_a_killed_process_is_done_by_the_one_that_lives(start):
    victim = start(1, 2, 60)
    until(lambda: scored(1))
    survivor = start(0, 2, 0)
    until(lambda: len(scored(0)) == 6)  # all but the one in work and the one claimed ahead
    time.sleep(1)
    assert not Path("out").exists()
    os.kill(victim.pid, signal.SIGKILL)
    victim.wait()
    assert survivor.wait(60) == 0
    assert sorted(scored(0)) == list(range(8))
    assert len(json.loads(Path("out/manifest.json").read_text())["shards"]) == 8


@one_family
def test_a_process_that_comes_when_all_is_published_does_nothing(tiny_selector, pool, tmp_path):
    cpu = torch.device("cpu")
    collect(PARAMS, Runtime(cpu, torch.float32, 0, 2), tiny_selector.parent, pool, tmp_path / "out")
    before = contents(tmp_path / "out")
    assert collect(PARAMS, Runtime(cpu, torch.float32, 1, 2), tiny_selector.parent, pool, tmp_path / "out") == {}
    assert contents(tmp_path / "out") == before
    assert not list(Path("work/collect").glob("*/shard-*"))


@one_family
def test_a_worker_scores_and_leaves_publishing_to_the_run_it_helps(tiny_selector, pool, monkeypatch):
    from mygo.collection import collect as module

    main = Runtime(torch.device("cpu"), torch.float32, 0, 1)
    assert collect(PARAMS, main.as_worker(), tiny_selector.parent, pool, Path("out")) == {}
    assert not Path("out").exists()
    monkeypatch.setattr(module, "score_shard", lambda *_: pytest.fail("all was scored by the worker"))
    assert collect(PARAMS, main, tiny_selector.parent, pool, Path("out"))["samples"] == 40
