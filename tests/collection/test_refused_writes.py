"""A full disk, a read-only folder: one sentence names the file, nothing is half-written, the run goes on later."""

import os
import subprocess
from pathlib import Path

import pytest

from mygo.collection import collect as module
from mygo.collection.collect import collect
from mygo.errors import UserError
from tests.collection.processes import CPU, EIGHT_SHARDS, contents, finished_shards

pytestmark = pytest.mark.parametrize("tiny_selector", ["select_moe"], indirect=True)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 32 kB, and a function that mounts it again with other options."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options: str) -> bool:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        return os.geteuid() == 0 and subprocess.run(command, capture_output=True).returncode == 0

    if not mount("size=32k"):
        pytest.skip("only root may mount a small disk")
    yield folder, lambda options: mount(f"remount,{options}")
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_disk_that_is_full_while_shards_are_written(tiny_selector, pool, small_disk, monkeypatch):
    disk, remount = small_disk
    monkeypatch.setenv("DVC_ROOT", str(disk))
    for _ in range(2):
        with pytest.raises(UserError) as error:
            collect(EIGHT_SHARDS, CPU, tiny_selector.parent, pool, disk / "out")
        said = str(error.value)
        assert said.startswith(str(disk / "work/collect"))
        assert said.endswith(".parquet: cannot be written (No space left on device); free some space and run it again")
        assert not (disk / "out").exists()
        assert not list(disk.rglob("*.tmp"))
    done = {path.name: path.stat().st_mtime_ns for path in disk.rglob("shard-*.parquet")}
    assert 0 < len(done) < 8
    remount("size=4m")
    collect(EIGHT_SHARDS, CPU, tiny_selector.parent, pool, disk / "out")
    assert {name: (disk / "out" / name).stat().st_mtime_ns for name in done} == done
    monkeypatch.delenv("DVC_ROOT")
    collect(EIGHT_SHARDS, CPU, tiny_selector.parent, pool, Path("undisturbed"))
    assert contents(disk / "out") == contents(Path("undisturbed"))


def test_a_disk_that_is_full_or_read_only_when_the_result_is_published(tiny_selector, pool, small_disk, monkeypatch):
    disk, remount = small_disk
    with pytest.raises(UserError, match=r"/out: cannot be written \(No space left on device\); free some space and"):
        collect(EIGHT_SHARDS, CPU, tiny_selector.parent, pool, disk / "out")
    assert not list(disk.iterdir())
    assert len(finished_shards()) == 8
    remount("ro")
    with pytest.raises(UserError, match=r"/out: cannot be written \(Read-only file system\); make it writable and run"):
        collect(EIGHT_SHARDS, CPU, tiny_selector.parent, pool, disk / "out")
    remount("rw,size=4m")
    monkeypatch.setattr(module, "score_shard", lambda *_: pytest.fail("all is scored"))
    assert collect(EIGHT_SHARDS, CPU, tiny_selector.parent, pool, disk / "out")["samples"] == 40
    assert [path.name for path in disk.iterdir()] == ["out"]
    assert not list(Path("work/collect").iterdir())


def test_a_work_folder_that_cannot_be_made(tiny_selector, pool):
    Path("work").touch()
    with pytest.raises(UserError, match=r"^work/collect/\w+\.claims: cannot be written \(Not a directory\)"):
        collect(EIGHT_SHARDS, CPU, tiny_selector.parent, pool, Path("out"))
