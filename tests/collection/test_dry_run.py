"""The dry run counts exactly what collecting then does, and writes nothing."""

import re
from pathlib import Path

import pytest

from mygo.collection.collect import collect
from mygo.collection.dry_run import _duration, _size, dry_run
from tests.collection.processes import CPU, PARAMS

PARAMS = PARAMS.model_copy(update={"answer_alone": True, "base_nll": True})


def lines_of(report: str) -> dict[str, str]:
    return dict(
        line.split(maxsplit=1) if not line.startswith("on disk") else ("on disk", line[10:])
        for line in report.splitlines()
    )


def test_it_counts_what_collecting_then_does(tiny_selector, conversations, write_pool_of, tmp_path):
    pool = write_pool_of(tmp_path / "pool", conversations)
    said = lines_of(dry_run(PARAMS, CPU, tiny_selector.parent, pool, tiny_selector))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pool"]
    metrics = collect(PARAMS, CPU, tiny_selector.parent, pool, tmp_path / "out", tiny_selector)
    assert said["samples"] == f"{metrics['samples']:,}, of which {metrics['truncated']:,} are cut at 48 tokens"
    assert said["tokens"].startswith(f"{metrics['tokens']:,} (")
    assert said["padding"] == "0.0%"
    assert said["passes"] == "2, the second for the NLL of the base (collect.base_nll)"
    assert "in 3 shards, 0 of them already there" in said["on disk"]
    assert re.fullmatch(r"about 0 min \d\d s, 1 process", said["time"])
    assert re.match(r"[\d,]+ tokens/s on cpu \(float32\)", said["speed"])


def test_the_estimate_of_the_disk_is_near(tiny_selector, conversations, write_pool_of, tmp_path):
    pool = write_pool_of(tmp_path / "pool", conversations * 8)
    said = lines_of(dry_run(PARAMS, CPU, tiny_selector.parent, pool, tiny_selector))
    collect(PARAMS, CPU, tiny_selector.parent, pool, tmp_path / "out", tiny_selector)
    real = sum(path.stat().st_size for path in (tmp_path / "out").glob("shard-*"))
    estimate = float(re.match(r"about (\d+) kB", said["on disk"])[1]) * 1000
    assert 0.5 < estimate / real < 2  # tiny shards are mostly file headers


@pytest.mark.parametrize("tiny_selector", ["select_moe"], indirect=True)
def test_the_reference_set_is_counted_too(tiny_selector, conversations, write_pool_of, tmp_path):
    pool, reference = (write_pool_of(tmp_path / name, conversations) for name in ("pool", "reference"))
    without, beside = (
        lines_of(dry_run(PARAMS, CPU, tiny_selector.parent, pool, tiny_selector, folder))
        for folder in (tmp_path / "none", reference)
    )
    assert without["reference"] == "none"
    tokens = beside["tokens"].split(" (")[0]
    assert beside["reference"] == f"40 samples, {tokens} tokens"
    assert without["tokens"] == beside["tokens"]
    first, second = (float(re.match(r"about (\d+) kB", said["on disk"])[1]) for said in (without, beside))
    assert second == pytest.approx(2 * first, rel=0.05)


@pytest.mark.parametrize("tiny_selector", ["select_moe"], indirect=True)
def test_shards_that_are_done_are_not_counted_in_the_time(tiny_selector, conversations, write_pool_of, tmp_path):
    pool = write_pool_of(tmp_path / "pool", conversations)
    collect(PARAMS, CPU.as_worker(), tiny_selector.parent, pool, Path("out"), tiny_selector)
    said = lines_of(dry_run(PARAMS, CPU, tiny_selector.parent, pool, tiny_selector))
    assert "3 shards, 3 of them already there" in said["on disk"]
    assert said["time"] == "about 0 min 00 s, 1 process"


def test_sizes_and_times_read_well():
    assert [_size(x) for x in (12, 34_500, 7.6e6, 2.5e12)] == ["12 B", "34 kB", "8 MB", "2500.0 GB"]
    assert [_duration(x) for x in (3.4, 200, 3_660)] == ["0 min 03 s", "3 min 20 s", "1 h 01 min"]
