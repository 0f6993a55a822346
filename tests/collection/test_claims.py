"""Claims on shards: nobody takes another's, the dead give theirs back, what was abandoned is removed."""

import fcntl
import os
import time
from pathlib import Path

from mygo.collection.sharing.claims import ABANDONED_AFTER, Claims, by_cost, remove_abandoned


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


def test_nothing_is_claimed_once_the_result_is_published(tmp_path):
    (tmp_path / "work").mkdir()
    published = [False, True]
    claims = Claims(tmp_path / "work", [0, 1], 0, 1, finished=lambda: published.pop(0))
    assert [claim.shard for claim in claims.take()] == [0]
    fcntl.flock((claims.folder / "1").open("rb"), fcntl.LOCK_EX | fcntl.LOCK_NB)  # its claim was given back


def test_a_claim_outlives_the_folder_that_another_process_clears(tmp_path):
    (tmp_path / "work").mkdir()
    claims = Claims(tmp_path / "work", [0, 1], 0, 1)
    taken = claims.take()
    next(taken)
    claims.clear()
    assert next(taken).shard == 1


def test_what_nobody_touched_for_two_weeks_is_removed_unless_a_live_process_claims_it(tmp_path):
    stage = tmp_path / "collect"
    for name in ("old", "held", "new", "resumed"):
        (stage / name).mkdir(parents=True)
        (stage / name / "shard-00000.parquet").write_bytes(b"...")
    claims = {name: Claims(stage / name, [1], 0, 1) for name in ("old", "held", "resumed", "orphan")}
    taken = {name: next(own.take()) for name, own in claims.items()}
    for name in ("old", "resumed", "orphan"):
        taken[name].release()
    before = time.time() - ABANDONED_AFTER - 60
    for path in stage.iterdir():
        if path.name != "new":
            os.utime(path, (before, before))
    os.utime(stage / "resumed")
    remove_abandoned(stage)
    left = sorted(path.name for path in stage.iterdir())
    assert left == ["held", "held.claims", "new", "resumed", "resumed.claims"]
    assert (stage / "held/shard-00000.parquet").exists()


def test_a_work_folder_that_is_opened_again_is_not_abandoned(tmp_path, monkeypatch):
    from mygo.workdir import open_workdir

    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    folder = open_workdir("collect", {"model": "x"})
    os.utime(folder, (0, 0))
    assert open_workdir("collect", {"model": "x"}) == folder
    remove_abandoned(folder.parent)
    assert folder.exists()
    os.utime(folder, (0, 0))
    remove_abandoned(folder.parent)
    assert not folder.exists()
    assert not Path(f"{folder}.claims").exists()
