"""One process or several: who speaks, on which device, over which addresses."""

import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

DDP_CPU = {"launch__num_processes": 2, "launch__accelerate_config": "conf/accelerate/ddp_cpu.yaml"}
FITTING = {"warmup__micro_batch_size": 1, "finetune__micro_batch_size": 1}
FAILING = """
    import os, time
    from mygo.errors import UserError, one_sentence

    @one_sentence
    def main():
        if os.environ["RANK"] != os.environ.get("HEALTHY"):
            raise UserError("the sentence")
        time.sleep(600)

    if __name__ == "__main__":
        main()
    """


@pytest.fixture
def two(repository):
    repository.set(**DDP_CPU, **FITTING)
    return repository


@pytest.mark.parametrize("healthy", ["", "0", "1"])
def test_one_process_speaks_and_ends_the_others(two, healthy):
    two.stage("warmup", FAILING)
    done = two.launch("warmup", HEALTHY=healthy)  # the healthy one would sleep far longer than any test may take
    assert (done.returncode, done.stderr, done.stdout) == (1, "error: the sentence\n", "")


def test_the_traceback_shows_where_if_asked_for(two):
    two.stage("warmup", FAILING)
    done = two.launch("warmup", HEALTHY="0", MYGO_TRACEBACK="1")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert done.stderr.endswith("mygo.errors.UserError: the sentence\n")


def test_a_process_that_dies_is_named(two):
    two.stage("warmup", "import os, signal\nos.environ['RANK'] == '1' and os.kill(os.getpid(), signal.SIGKILL)")
    done = two.launch("warmup")
    assert (done.returncode, done.stderr) == (137, "error: warmup: process 1 of 2 ended by SIGKILL\n")


@pytest.mark.slow
def test_the_launcher_of_accelerate_is_as_quiet(two):
    """A config that needs it: here for a key that changes nothing on a CPU."""
    two.stage("warmup", FAILING)
    config = two.folder / "conf/accelerate/ddp_cpu.yaml"
    config.write_text(config.read_text() + "enable_cpu_affinity: true\n")
    done = two.launch("warmup", HEALTHY="1")
    assert (done.returncode, done.stderr) == (1, "error: the sentence\n")


def test_one_process_is_the_launcher_itself(repository):
    repository.stage(
        "eval", "import os, sys\nprint(__name__, os.environ['ACCELERATE_USE_CPU'], 'RANK' in os.environ, *sys.argv[1:])"
    )
    done = repository.launch("eval", "--flag", "x")
    assert (done.returncode, done.stdout) == (0, "__main__ true False --flag x\n")


def test_stages_that_do_not_share_their_work_run_once(two):
    two.stage("select", "import os\nprint('RANK' in os.environ, 'ACCELERATE_USE_CPU' in os.environ)")
    assert two.launch("select").stdout == "False False\n"


MEETING = """
    import sys, time
    import torch
    torch.cuda.is_available = lambda: True  # a GPU that launch=ddp_cpu must leave alone
    from mygo.runtime import start_runtime

    runtime = start_runtime(0)
    total = torch.tensor([float(runtime.rank + 1)])
    torch.distributed.all_reduce(total)
    print(runtime.device.type, runtime.dtype, runtime.processes, int(total), flush=True)
    time.sleep(60)
    """


def test_two_processes_meet_on_the_cpu_and_listen_on_the_loopback_interface_alone(two):
    two.stage("collect", MEETING)
    process = subprocess.Popen(
        [sys.executable, "-m", "mygo.launch", "collect"],
        cwd=two.folder,
        env=two.environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    try:
        assert [process.stdout.readline() for _ in range(2)] == ["cpu torch.float32 2 3\n"] * 2
        tree = psutil.Process(process.pid).children(recursive=True)
        assert len(tree) == 2
        connections = [c for p in tree for c in p.net_connections("inet")]
        assert {c.laddr.ip for c in connections} | {c.raddr.ip for c in connections if c.raddr} == {"127.0.0.1"}
    finally:
        process.terminate()
        assert process.wait(20) == 143
    assert not any(child.is_running() for child in tree)


def test_help_is_told_at_once_for_every_stage():
    root = Path(__file__).resolve().parents[2]
    for path in sorted((root / "stages").glob("[a-z]*.py")):
        code = (
            f"import sys; sys.argv = ['x', {path.stem!r}, '--help']; import mygo.launch.__main__ as m\n"
            "try: m.main()\n"
            "except SystemExit: print([n for n in ('torch', 'transformers', 'sklearn') if n in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
        assert re.match(rf"usage: python -m stages\.{path.stem} ", done.stdout)
        assert "\nIn:" in done.stdout
        assert "\nOut:" in done.stdout
        assert done.stdout.endswith("[]\n")
