"""Several processes share a pool; whoever comes late finds the result published, and ends."""

import fcntl
import json
import time
from pathlib import Path

import pytest
import torch

from mygo.collection import collect as module
from mygo.collection.collect import collect
from mygo.errors import UserError
from mygo.runtime import Runtime
from tests.collection.processes import CPU, EIGHT_SHARDS, begun, contents, ended, finished_shards, scored, until

# sharing does not look at the model
pytestmark = pytest.mark.parametrize("tiny_selector", ["select_moe"], indirect=True)


def nothing_is_left() -> bool:
    return not list(Path("work/collect").iterdir())


def test_two_processes_share_the_shards_and_give_the_bytes_of_one(start, one_run):
    processes = [start(rank=rank, processes=2, delay=0.1, waits_after="go") for rank in (0, 1)]
    until(lambda: Path("waiting-0").exists() and Path("waiting-1").exists())
    Path("go").touch()
    assert [ended(process) for process in processes] == [0, 0]
    assert sorted(scored(0) + scored(1)) == list(range(8))
    assert scored(0)
    assert nothing_is_left()
    assert contents(Path("out")) == one_run()


def test_the_part_of_a_killed_process_is_done_by_the_one_that_lives(start):
    victim = start(rank=1, processes=2, delay=60)
    until(lambda: begun(1))
    survivor = start(rank=0, processes=2)
    until(lambda: len(scored(0)) == 6)  # all but the one in work and the one claimed ahead
    time.sleep(0.5)
    assert not Path("out").exists()
    victim.kill()
    assert ended(survivor) == 0
    assert sorted(scored(0)) == list(range(8))
    assert len(json.loads(Path("out/manifest.json").read_text())["shards"]) == 8


@pytest.mark.parametrize("rank", [1, 0], ids=["worker", "second main"])
@pytest.mark.parametrize("moment", ["waits_before", "waits_after"])
def test_a_process_that_loads_the_model_while_another_publishes_just_ends(start, one_run, rank, moment):
    late = start(rank=rank, processes=2, **{moment: "published"})
    until(Path(f"waiting-{rank}").exists)
    assert ended(start(rank=0, processes=2)) == 0
    before = contents(Path("out"))
    done = scored(rank)
    Path("published").touch()
    assert ended(late) == 0
    assert scored(rank) == done  # it scored nothing
    assert contents(Path("out")) == before
    assert nothing_is_left()
    assert before == one_run()


def test_many_processes_of_which_some_are_late_end_well(start, one_run):
    late = [start(rank=2, processes=4, waits_before="published"), start(rank=3, processes=4, waits_after="published")]
    early = [start(rank=rank, processes=4, delay=0.05) for rank in (0, 0, 1)]  # two that want to publish
    assert [ended(process) for process in early] == [0, 0, 0]
    Path("published").touch()
    assert [ended(process) for process in late] == [0, 0]
    assert not scored(2)
    assert not scored(3)
    assert nothing_is_left()
    assert contents(Path("out")) == one_run()


def test_a_process_that_comes_when_all_is_published_does_nothing(tiny_selector, pool, capsys):
    metrics = collect(EIGHT_SHARDS, CPU, tiny_selector.parent, pool, Path("out"))
    before = {path: path.stat().st_mtime_ns for path in Path("out").iterdir()}
    assert collect(EIGHT_SHARDS, CPU.as_worker(), tiny_selector.parent, pool, Path("out")) == {}
    assert collect(EIGHT_SHARDS, CPU, tiny_selector.parent, pool, Path("out")) == metrics
    assert "collect: out holds these statistics already" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in Path("out").iterdir()} == before
    assert nothing_is_left()
    Path("out/shard-00003.parquet").unlink()
    assert collect(EIGHT_SHARDS, CPU, tiny_selector.parent, pool, Path("out")) == metrics
    assert Path("out/shard-00003.parquet").exists()


def without_locks(*_):
    raise OSError(38, "Function not implemented")


def test_a_write_that_fails_because_another_process_has_published_is_no_failure(tiny_selector, pool, monkeypatch):
    """Where a file system has no locks, a process may lose its folder while it scores."""
    monkeypatch.setattr(fcntl, "flock", without_locks)
    score = module.score_shard

    def overtaken(*arguments):
        monkeypatch.setattr(module, "score_shard", score)
        collect(EIGHT_SHARDS, CPU, tiny_selector.parent, pool, Path("out"))
        return score(*arguments)

    monkeypatch.setattr(module, "score_shard", overtaken)
    worker = Runtime(torch.device("cpu"), torch.float32, 1, 2)
    assert collect(EIGHT_SHARDS, worker, tiny_selector.parent, pool, Path("out")) == {}
    assert len(list(Path("out").glob("shard-*"))) == 8
    assert nothing_is_left()


def test_a_write_that_fails_otherwise_is_named(tiny_selector, pool, monkeypatch):
    score = module.score_shard

    def lost(*arguments):
        folder = next(Path("work/collect").glob("*.claims")).with_suffix("")
        folder.rename("elsewhere")
        return score(*arguments)

    monkeypatch.setattr(module, "score_shard", lost)
    with pytest.raises(UserError, match=r"shard-0000\d\.parquet: cannot be written \(No such file or directory\)"):
        collect(EIGHT_SHARDS.model_copy(update={"shard_size": 40}), CPU, tiny_selector.parent, pool, Path("out"))
    assert not Path("out").exists()


def test_a_worker_scores_and_leaves_publishing_to_the_run_it_helps(tiny_selector, pool, monkeypatch):
    assert collect(EIGHT_SHARDS, CPU.as_worker(), tiny_selector.parent, pool, Path("out")) == {}
    assert not Path("out").exists()
    assert len(finished_shards()) == 8
    monkeypatch.setattr(module, "score_shard", lambda *_: pytest.fail("all was scored by the worker"))
    assert collect(EIGHT_SHARDS, CPU, tiny_selector.parent, pool, Path("out"))["samples"] == 40
