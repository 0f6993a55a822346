"""Where a stage computes."""

import os
import random

import numpy as np
import torch
from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState

from mygo.runtime import Runtime, start_runtime


def test_a_launch_on_the_cpu_stays_there_where_a_gpu_is(monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")  # what `accelerate launch` makes of `use_cpu: true`
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    PartialState._reset_state()
    try:
        runtime = start_runtime(0)
    finally:
        PartialState._reset_state()
    assert (runtime.device.type, runtime.dtype, runtime.is_main) == ("cpu", torch.float32, True)


def test_a_start_seeds_everything_and_asks_for_deterministic_kernels(monkeypatch):
    torch.use_deterministic_algorithms(False)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    try:
        draws = [(start_runtime(seed), torch.rand(3), random.random(), np.random.rand())[1:] for seed in (4, 4, 5)]
        assert torch.are_deterministic_algorithms_enabled()
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    finally:
        torch.use_deterministic_algorithms(False)
        PartialState._reset_state()
    same, again, other = draws
    assert torch.equal(same[0], again[0])
    assert same[1:] == again[1:]
    assert not torch.equal(same[0], other[0])
    assert same[1] != other[1]
    assert same[2] != other[2]


def test_a_number_format_in_the_environment_is_none_of_the_stages(monkeypatch):
    """A default config of accelerate may hold one; lm-eval's model would be prepared for it."""
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    try:
        start_runtime(0)
        assert Accelerator(cpu=True).mixed_precision == "no"
    finally:
        torch.use_deterministic_algorithms(False)
        AcceleratorState._reset_state(reset_partial_state=True)


def test_formats_are_named_or_the_devices_own():
    runtime = Runtime(torch.device("cpu"), torch.bfloat16, 0, 1)
    assert [runtime.resolve(name) for name in ("auto", "float32", "bfloat16")] == [
        torch.bfloat16,
        torch.float32,
        torch.bfloat16,
    ]
