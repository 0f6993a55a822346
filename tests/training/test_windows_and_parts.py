"""The warm-up's log is of one window and of all processes, and its gradients do not depend on how a batch is cut."""

import json
import os
import socket
import subprocess
import sys

import pytest
import torch

from mygo.runtime import Runtime
from tests.training.small_run import KINDS, ROOT, small_params, small_run

CPU = Runtime(torch.device("cpu"), torch.float32, 0, 1)
PARTS = ("loss", "lm_loss", "quality_loss")


@pytest.fixture(autouse=True)
def _in_a_temporary_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def windows(log):
    return [entry for entry in log if "loss" in entry]


def close(one, other):
    return one == pytest.approx(other, rel=1e-4, abs=1e-6)


def close_gradients(one, other):
    largest = max(abs(value) for values in other.values() for value in values)
    return all(one[name] == pytest.approx(other[name], abs=1e-4 * largest) for name in other)


def test_the_parts_add_up_to_the_loss_in_every_window(tiny_selector, conversations):
    params = small_params({"weight": 0.5}, load_balancing_weight=0.25 if "select_moe" in str(tiny_selector) else 0.0)
    _, trainer = small_run(params, CPU, tiny_selector, conversations[:24], logging_steps=4)
    log = windows(trainer.state.log_history)
    assert [entry["step"] for entry in log] == [4, 8, 9]  # the last step is logged too
    for entry in log:
        balance = 0.25 * entry.get("load_balancing_loss", 0.0)
        assert close(entry["loss"], entry["lm_loss"] + 0.5 * entry["quality_loss"] + balance)
    assert ("load_balancing_loss" in log[0]) == ("select_moe" in str(tiny_selector))


def test_a_window_is_the_mean_of_its_steps(tiny_selector, conversations):
    logs = [
        windows(small_run(small_params(), CPU, tiny_selector, conversations[:16], steps)[1].state.log_history)
        for steps in (1, 4)
    ]
    by_step, by_window = logs
    assert [entry["step"] for entry in by_window] == [4, 6]
    for window, steps in zip(by_window, (by_step[:4], by_step[4:]), strict=True):
        for name in (*PARTS, "good_ratio/layer_00", "good_ratio/layer_01"):
            assert close(window[name], sum(step[name] for step in steps) / len(steps)), name


def test_logged_ratios_are_means_over_the_tokens_of_the_batch(tiny_selector, conversations):
    whole, cut = (
        windows(
            small_run(small_params(epochs=1, micro_batch_size=size), CPU, tiny_selector, conversations[:8])[
                1
            ].state.log_history
        )[0]
        for size in (8, 1)
    )
    for name in (*PARTS, "good_ratio/layer_00", "good_ratio/layer_01"):
        assert close(cut[name], whole[name]), name
    assert 0 < whole["good_ratio/layer_00"] < 1


@pytest.mark.parametrize("averaging", ["sample_wise", "token_wise"])
def test_gradients_do_not_depend_on_how_a_batch_is_cut(tiny_selector, conversations, averaging):
    whole, cut = (
        small_run(
            small_params({"averaging": averaging}, epochs=1, micro_batch_size=size),
            CPU,
            tiny_selector,
            conversations[:8],
        )[0]
        for size in (8, 1)
    )
    assert close_gradients(cut, whole)


@pytest.mark.slow
def test_two_processes_have_the_gradients_and_the_log_of_one(tiny_selector, conversations, tmp_path, capsys):
    if "select_moe" in str(tiny_selector):
        pytest.skip("one family is enough: the counts and sums are the trainer's")
    samples = conversations[:24]
    (tmp_path / "conversations.json").write_text(json.dumps(samples))
    in_two = launch_two([str(tiny_selector), "conversations.json", "out.json"], tmp_path)
    for kind, averaging in KINDS:
        params = small_params({"type": kind, "averaging": averaging}, epochs=1)
        alone, _ = small_run(params, CPU, tiny_selector, samples[:8])
        for process in in_two:
            assert close_gradients(process[f"{kind} {averaging}"], alone)
    capsys.readouterr()
    alone = small_run(small_params({"debug": True}), CPU, tiny_selector, samples, logging_steps=4)[1]
    log = windows(alone.state.log_history)
    expected = ranges(capsys.readouterr().err)
    assert [len(ranges(process["stderr"])) for process in in_two] == [len(expected), 0] == [9, 0]
    assert ranges(in_two[0]["stderr"])[0] == pytest.approx(expected[0], abs=1.1e-3)
    for process in in_two:
        assert [entry["step"] for entry in windows(process["log"])] == [4, 8, 9]
        for one, other in zip(windows(process["log"]), log, strict=True):
            for name in (*PARTS, "good_ratio/layer_00", "good_ratio/layer_01"):
                assert one[name] == pytest.approx(other[name], rel=1e-3), name


def ranges(stderr):
    """The numbers of each line that says the range of good_ratio."""
    lines = [line.split("by layer: ")[1] for line in stderr.splitlines() if "by layer: " in line]
    return [[float(number) for layer in line.split(", ") for number in layer.split()[1:]] for line in lines]


def launch_two(arguments, folder):
    """Two processes over gloo on the loopback, as a launcher would start them; what each of them wrote."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {
        **os.environ,
        "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
        "GLOO_SOCKET_IFNAME": "lo",
        "OMP_NUM_THREADS": "1",
        "ACCELERATE_USE_CPU": "true",
    }
    command = [sys.executable, "-m", "tests.training.small_run", *arguments]
    processes = [
        subprocess.Popen(
            command,
            cwd=folder,
            env=shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    errors = [process.communicate(timeout=240)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(errors)
    written = [json.loads((folder / f"out.{rank}.json").read_text()) for rank in range(2)]
    return [result | {"stderr": said} for result, said in zip(written, errors, strict=True)]
