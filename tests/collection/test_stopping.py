"""Ctrl-C, SIGTERM and errors end collect at once: nothing is published, what is complete is kept."""

import os
import signal
import time
from pathlib import Path

import pytest

from mygo.collection import collect as module
from mygo.collection.collect import collect
from tests.collection.processes import CPU, EIGHT_SHARDS, begun, contents, ended, finished_shards, until

pytestmark = pytest.mark.parametrize("tiny_selector", ["select_moe"], indirect=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_without_a_result(start, one_run, number):
    process = start(stays_at=4)
    until(lambda: finished_shards() and 4 in begun())
    os.kill(process.pid, number)
    assert ended(process) in (1, -number)
    assert not Path("out").exists()
    kept = finished_shards()
    assert 0 < len(kept) < 8
    if number == signal.SIGINT:  # there was time to tidy up
        assert not list(Path("work").rglob("*.tmp"))
    time.sleep(0.3)
    assert finished_shards() == kept  # no thread lived on
    assert ended(start()) == 0
    assert contents(Path("out")) == one_run()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit(3), RuntimeError("a fault of ours")])
def test_even_in_the_last_shard_nothing_is_published(tiny_selector, pool, monkeypatch, error):
    score = module.score_shard

    def stop(engine, encoder, shard, *rest):
        if shard.index == 7:
            raise error
        return score(engine, encoder, shard, *rest)

    monkeypatch.setattr(module, "score_shard", stop)
    with pytest.raises(error if isinstance(error, type) else type(error)):
        collect(EIGHT_SHARDS, CPU, tiny_selector.parent, pool, Path("out"))
    assert not Path("out").exists()
    assert len(finished_shards()) == 7  # those that were waiting to be written are written
    assert not list(Path("work").rglob("*.tmp"))
