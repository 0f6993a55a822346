"""Where a stage computes."""

import torch
from accelerate import PartialState

from mygo.runtime import start_runtime


def test_a_launch_on_the_cpu_stays_there_where_a_gpu_is(monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")  # what `accelerate launch` makes of `use_cpu: true`
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    PartialState._reset_state()
    try:
        runtime = start_runtime(0)
    finally:
        PartialState._reset_state()
    assert (runtime.device.type, runtime.dtype, runtime.is_main) == ("cpu", torch.float32, True)
