"""How many accelerators this machine has, asked without torch where that is possible: torch takes seconds to import."""

import ctypes


def accelerators() -> int:
    """Visible GPUs (or other devices that torch computes on)."""
    return _nvidia_gpus() or _devices_of_torch()


def _nvidia_gpus() -> int:
    count = ctypes.c_int(0)
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    return count.value if driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 else 0


def _devices_of_torch() -> int:
    import torch

    return torch.accelerator.device_count() if torch.accelerator.is_available() else 0
