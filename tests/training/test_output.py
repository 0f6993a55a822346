"""The folder that training writes to: its own, complete or not there, and what killed runs left is gone."""

import errno
import os
import signal
import subprocess
import sys

import pytest
import torch
from safetensors import SafetensorError

from mygo.runtime import Runtime
from mygo.training.output import output_folder, remove_leftovers
from mygo.workdir import CannotWrite

CPU = Runtime(torch.device("cpu"), torch.float32, 0, 1)
HOLD = """
import fcntl, os, sys, time
handle = os.open(sys.argv[1], os.O_RDONLY)
fcntl.flock(handle, fcntl.LOCK_EX)
print("locked", flush=True)
time.sleep(60)
"""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def fail_halfway(out):
    with output_folder(out, CPU) as folder:
        (folder / "half").touch()
        raise KeyboardInterrupt


def test_only_the_first_process_makes_the_output(tmp_path):
    with output_folder(tmp_path / "out", CPU) as folder:
        (folder / "model").write_text("complete")
        with output_folder(tmp_path / "out", Runtime(CPU.device, CPU.dtype, 1, 2)) as other:
            assert other == tmp_path / "out"
            assert folder.exists()
        assert not (tmp_path / "out").exists()
    assert names(tmp_path) == ["out"]
    assert (tmp_path / "out" / "model").read_text() == "complete"


def test_a_failed_run_leaves_what_was_there_before_and_nothing_else(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/old").touch()
    with pytest.raises(KeyboardInterrupt):
        fail_halfway(tmp_path / "out")
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["old"]


@pytest.mark.parametrize(
    "error",
    [
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
        OSError(errno.ENOSPC, "Error writing bytes"),
    ],
)
def test_a_full_disk_is_a_sentence_that_names_the_output(tmp_path, error):
    def write():
        with output_folder(tmp_path / "out", CPU):
            raise error

    with pytest.raises(CannotWrite, match=r"/out: cannot be written \(No space left on device\); free some space"):
        write()
    assert names(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CannotWrite, match="/file/out: cannot be written"), output_folder(tmp_path / "file/out", CPU):
        pass


def test_a_run_takes_the_place_of_the_one_before(tmp_path):
    for name in ("first", "second"):
        with output_folder(tmp_path / "data/out", CPU) as folder:
            (folder / name).touch()
    assert names(tmp_path / "data/out") == ["second"]


def test_two_runs_never_share_a_folder_and_leave_each_other_alone(tmp_path):
    with output_folder(tmp_path / "out", CPU) as one, output_folder(tmp_path / "out", CPU) as other:
        assert one != other
        assert one.exists()
        assert other.exists()


def test_what_killed_runs_left_is_removed_and_what_live_ones_write_is_not(tmp_path):
    for name in (".adapter.tmp", ".adapter.0123abcd.tmp", ".adapter.live.tmp", ".other.tmp", "adapter"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "half").touch()
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / ".adapter.live.tmp")], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        remove_leftovers(tmp_path / "adapter")
        assert names(tmp_path) == [".adapter.live.tmp", ".other.tmp", "adapter"]
    finally:
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
    with output_folder(tmp_path / "adapter", CPU):
        pass
    assert names(tmp_path) == [".other.tmp", "adapter"]
