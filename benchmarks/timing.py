"""How long work takes, and how fast the machine multiplies."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

MATMUL = 2048  # rows and columns of the product that peak is measured on


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what it returned."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def matmul_peak() -> float:
    """GFLOP/s of a float32 matrix product that is large enough for the BLAS; the best of five."""
    a = np.random.default_rng(0).random((MATMUL, MATMUL), dtype=np.float32)
    return 2e-9 * MATMUL**3 / min(timed(lambda: a @ a)[0] for _ in range(5))
