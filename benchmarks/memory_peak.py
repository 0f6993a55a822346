"""How much memory a piece of code takes at most: allocated on a GPU, resident on a CPU (Linux)."""

import ctypes
from pathlib import Path

import torch


def reset_peak_memory(device: torch.device) -> int:
    """Forget the highest memory so far; returns what is in use now (bytes)."""
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    ctypes.CDLL(None).malloc_trim(0)  # what other loops freed must not hide what this one takes
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def peak_memory(device: torch.device) -> int:
    """The highest memory since `reset_peak_memory` (bytes)."""
    return torch.cuda.max_memory_allocated() if device.type == "cuda" else _status("VmHWM")


def _status(key: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) * 1024
