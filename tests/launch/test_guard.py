"""A stage whose DVC was killed stops, with everything that it has started."""

import os
import subprocess
import sys
import time

import psutil
import pytest

from mygo.launch import guard, processes

WRITING = """
    import os, time
    from pathlib import Path

    rank = os.environ.get("RANK", "0")
    for step in range(600):
        with Path(f"steps{rank}").open("a") as file:
            file.write(f"{os.getpid()}\\n")
        time.sleep(0.05)
    """
DVC = "import subprocess, sys; subprocess.run(['sh', '-c', sys.argv[1]])"


def wait_for(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert condition()


def alive(process):
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # between the two questions
        return False


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("shell", ["{}", "{}; true"], ids=["a shell that gives way", "a shell that stays"])
def test_sigkill_of_dvc_ends_the_stage(repository, processes, shell):
    config = {1: "cpu", 2: "ddp_cpu"}[processes]
    repository.set(
        launch__num_processes=processes,
        launch__accelerate_config=f"conf/accelerate/{config}.yaml",
        warmup__micro_batch_size=1,
        finetune__micro_batch_size=1,
    )
    repository.stage("warmup", WRITING)
    command = shell.format(f"{sys.executable} -m mygo.launch warmup")
    environment = repository.environment(DVC_STAGE="warmup")
    dvc = subprocess.Popen([sys.executable, "-c", DVC, command], cwd=repository.folder, env=environment)
    files = [repository.folder / f"steps{rank}" for rank in range(processes)]
    wait_for(lambda: all(file.exists() and file.stat().st_size for file in files), 60)
    below = psutil.Process(dvc.pid).children(recursive=True)
    stage = [child for child in below if "mygo.launch" in " ".join(child.cmdline()) and child.name() != "sh"]
    stage += [child for child in below if "stages." in " ".join(child.cmdline())]
    assert len(stage) == (1 if processes == 1 else 3)
    dvc.kill()
    dvc.wait()
    wait_for(lambda: not any(map(alive, stage)), 10)
    sizes = [file.stat().st_size for file in files]
    time.sleep(0.5)
    assert [file.stat().st_size for file in files] == sizes


def test_a_stage_that_was_started_by_hand_outlives_its_parent(repository):
    repository.stage("select", "import time\nfrom pathlib import Path\ntime.sleep(2)\nPath('done').touch()")
    command = f"{sys.executable} -m mygo.launch select & sleep 1"
    subprocess.run(["sh", "-c", command], cwd=repository.folder, env=repository.environment(), check=True)
    wait_for((repository.folder / "done").exists, 30)
    assert "DVC_STAGE" not in os.environ


GONE = "error: the process that started this one is gone, and nothing was done; run it again\n"


@pytest.mark.parametrize("gone", [True, False])
def test_a_process_whose_launcher_was_gone_before_it_looked_does_nothing(repository, gone):
    repository.stage("warmup", "import os\nfrom pathlib import Path\nPath('ran').write_text(str(sorted(os.environ)))")
    number = {True: 2**22 + 1, False: os.getpid()}[gone]
    done = subprocess.run(
        [sys.executable, "-m", "stages.warmup"],
        cwd=repository.folder,
        env=repository.environment(MYGO_LAUNCH=str(repository.folder), MYGO_LAUNCHER=str(number)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == ((1, GONE) if gone else (0, ""))
    assert (repository.folder / "ran").exists() is not gone
    assert gone or "MYGO_LAUNCHER" not in (repository.folder / "ran").read_text()  # for this process alone


def test_a_launcher_leaves_its_number_to_its_processes(tmp_path):
    assert processes._place(0, 2, tmp_path)[guard.LAUNCHER] == str(os.getpid())


@pytest.mark.parametrize(
    ("first", "chain", "left"),
    [
        ("systemd", [1], True),
        ("tini", [1], True),
        ("bash", [1], True),
        ("systemd", [700, 1], True),  # behind a shell
        ("dvc", [1], False),  # in a container
        ("python3.11", [1], False),
        ("systemd", [700], False),
        (None, [1], False),  # not to be seen
    ],
)
def test_the_first_process_has_taken_the_place_of_a_dvc_that_is_gone(monkeypatch, first, chain, left):
    monkeypatch.setattr(guard, "_parent", lambda pid: (0, first) if first and pid == 1 else None)
    assert guard._is_left_behind(chain, None) is left


@pytest.mark.parametrize("shell", ["sh", "ash", "mksh", "tcsh", "csh"])
def test_a_shell_between_is_not_the_one_to_watch(monkeypatch, shell):
    monkeypatch.setattr(os, "getppid", lambda: 70)
    monkeypatch.setattr(guard, "_parent", {70: (60, shell), 60: (1, "dvc"), 1: (0, "systemd")}.get)
    assert guard._chain() == [70, 60]
