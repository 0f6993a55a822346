"""What every stage that may run in several processes sets up first: device, number format, seeds, threads."""

import atexit
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import check_cuda_p2p_ib_support, parse_flag_from_env, set_seed


@dataclass(frozen=True)
class Runtime:
    """Where and how this process computes. `dtype` is what `auto` means here: bfloat16 where the device computes in it,
    else float32.
    """

    device: torch.device
    dtype: torch.dtype
    rank: int
    processes: int

    def resolve(self, dtype: str) -> torch.dtype:
        """The torch dtype of a `dtype` parameter: `auto`, `float32` or `bfloat16`."""
        return self.dtype if dtype == "auto" else getattr(torch, dtype)

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def as_worker(self) -> "Runtime":
        """The same beside a main process that was started elsewhere."""
        return replace(self, rank=self.rank + 1, processes=self.processes + 1)


def start_runtime(seed: int) -> Runtime:
    """Seed everything, ask torch for deterministic kernels, and read the device from the launch (or find one without
    it).
    """
    # It does not look at the flag by itself, nor does it join several processes unless told that they have no GPU.
    cpu = parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.cuda.is_available()
    if not cpu and not check_cuda_p2p_ib_support():  # accelerate refuses such cards unless it is told that it may go on
        os.environ |= {"NCCL_P2P_DISABLE": "1", "NCCL_IB_DISABLE": "1"}
    os.environ["ACCELERATE_MIXED_PRECISION"] = "no"  # the number format is each stage's own parameter
    state = PartialState(cpu, **_meeting_place())
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    set_seed(seed)
    torch.use_deterministic_algorithms(True, warn_only=True)
    if state.num_processes > 1:
        atexit.register(
            state.destroy_process_group
        )  # threads of the group that live on may abort the process at its end
    device = torch.device(state.device or "cpu")
    device = torch.device("cpu") if device.type == "cpu" else device  # which may come with an index
    if device.type == "cpu" and state.num_processes == 1:
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    in_bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return Runtime(device, torch.bfloat16 if in_bf16 else torch.float32, state.process_index, state.num_processes)


def _meeting_place() -> dict[str, Any]:
    """The file in which the processes of `mygo.launch` meet; those of another launcher find each other through the
    address in their environment.
    """
    place = os.environ.get("MYGO_MEETING")
    if place is None:
        return {}
    return {
        "init_method": Path(place).as_uri(),
        "rank": int(os.environ["RANK"]),
        "world_size": int(os.environ["WORLD_SIZE"]),
    }
