"""A run that was killed goes on where it was and gives the bytes of one that was left alone; shards never serve another
model.
"""

import random
import shutil
import time
from pathlib import Path

import pytest

from mygo.collection import collect as module
from mygo.collection.collect import collect
from mygo.scoring import row_size
from tests.collection.processes import CPU, EIGHT_SHARDS, PARAMS, begun, contents, ended, finished_shards, scored, until

one_family = pytest.mark.parametrize("tiny_selector", ["select_moe"], indirect=True)


def test_other_params_model_or_data_never_reuse_shards(
    tiny_selector, pool, tmp_path, conversations, write_pool_of, monkeypatch
):
    done: list[int] = []
    score = module.score_shard
    monkeypatch.setattr(
        module,
        "score_shard",
        lambda engine, encoder, shard, *rest: done.append(shard.index) or score(engine, encoder, shard, *rest),
    )
    shutil.copytree(tiny_selector.parent, tmp_path / "warmed")

    def shards_scored(params, folder: Path) -> int:
        done.clear()
        collect(params, CPU.as_worker(), tmp_path / "warmed", folder, tmp_path / "out")  # which publishes nothing
        return len(done)

    assert shards_scored(PARAMS, pool) == 3
    assert shards_scored(PARAMS, pool) == 0
    assert shards_scored(PARAMS.model_copy(update={"max_length": 32}), pool) == 3
    changed = [[*chat[:1], {"role": "assistant", "content": "amber"}] for chat in conversations]
    assert shards_scored(PARAMS, write_pool_of(tmp_path / "changed", changed)) == 3
    with (tmp_path / "warmed" / tiny_selector.name / "config.json").open("a") as config:
        config.write("\n")
    assert shards_scored(PARAMS, pool) == 3


@one_family
def test_killed_in_the_middle_it_resumes_to_the_same_bytes(start, one_run):
    process = start(stays_at=4)
    until(lambda: len(finished_shards()) >= 2)
    process.kill()
    assert ended(process) == -9
    done = {name: path.stat().st_mtime_ns for name, path in finished_shards().items()}
    assert 2 <= len(done) < 8
    assert not Path("out").exists()
    assert ended(start()) == 0
    assert {name: (Path("out") / name).stat().st_mtime_ns for name in done} == done  # nothing complete is done again
    assert contents(Path("out")) == one_run()


@one_family
def test_killed_at_ten_random_moments_it_repeats_one_shard_at_most(start, one_run):
    """After every kill each complete shard is still there, byte for byte, and the end is what one uninterrupted run
    gives.
    """
    params = PARAMS.model_copy(update={"shard_size": 1})
    moments = random.Random(0)
    kept: dict[str, tuple[int, bytes]] = {}
    lost = 0
    for kill in range(10):
        shards = len(begun()) + kill % 4  # none: it is loading
        process = start(params=params, delay=0.1)
        until(lambda shards=shards: len(begun()) >= shards and list(Path("work").glob("collect/*.claims")))
        time.sleep(moments.uniform(0, 0.15))
        process.kill()
        assert ended(process) == -9
        now = {name: (path.stat().st_mtime_ns, path.read_bytes()) for name, path in finished_shards().items()}
        assert kept.items() <= now.items()
        assert len(scored()) - len(now) <= lost + 1  # scored and not yet written: one at most
        kept, lost = now, len(scored()) - len(now)
    assert 0 < len(kept) < 40
    assert not Path("out").exists()
    assert ended(start(params=params)) == 0
    assert kept.keys() <= contents(Path("out")).keys()
    assert all((Path("out") / name).stat().st_mtime_ns == written for name, (written, _) in kept.items())
    assert contents(Path("out")) == one_run(params=params)


@one_family
def test_who_resumes_computes_with_the_threads_that_the_work_was_begun_with(start, one_run):
    process = start(stays_at=4, threads=2)
    until(lambda: len(finished_shards()) >= 2)
    process.kill()
    ended(process)
    assert ended(start(threads=1)) == 0
    assert Path("threads-0").read_text() == "2"
    assert "computes with 2 threads, as this work was begun with, not with 1" in Path("said-0").read_text()
    assert contents(Path("out")) == one_run(threads=2)


@one_family
def test_who_resumes_keeps_the_rows_that_auto_resolved_to(tiny_selector, pool, monkeypatch):
    params = EIGHT_SHARDS.model_copy(update={"tokens_per_batch": "auto"})
    score, rows = module.score_shard, []

    def until_the_third(engine, encoder, shard, *rest):
        rows.append(engine.row_size.tokens)
        if len(rows) == 3:
            raise KeyboardInterrupt
        return score(engine, encoder, shard, *rest)

    monkeypatch.setattr(module, "score_shard", until_the_third)
    monkeypatch.setattr(row_size, "tokens_that_fit", lambda *_: 64)
    with pytest.raises(KeyboardInterrupt):
        collect(params, CPU, tiny_selector.parent, pool, Path("out"))
    monkeypatch.setattr(row_size, "tokens_that_fit", lambda *_: 512)
    collect(params, CPU, tiny_selector.parent, pool, Path("out"))
    assert set(rows) == {64}
    monkeypatch.setattr(row_size, "tokens_that_fit", lambda *_: 64)
    collect(params, CPU, tiny_selector.parent, pool, Path("undisturbed"))
    assert contents(Path("out")) == contents(Path("undisturbed"))


@one_family
def test_what_memory_ran_out_at_is_kept_for_who_resumes(tiny_selector, pool, monkeypatch):
    def run_out(engine, *_):
        engine.row_size.halve(failed=100)
        raise KeyboardInterrupt

    score = module.score_shard
    monkeypatch.setattr(module, "score_shard", run_out)
    with pytest.raises(KeyboardInterrupt):
        collect(EIGHT_SHARDS, CPU, tiny_selector.parent, pool, Path("out"))
    rows = []
    monkeypatch.setattr(
        module, "score_shard", lambda engine, *rest: rows.append(engine.row_size.tokens) or score(engine, *rest)
    )
    collect(EIGHT_SHARDS, CPU, tiny_selector.parent, pool, Path("out"))
    assert set(rows) == {50}
