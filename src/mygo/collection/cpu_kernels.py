"""Rotary embeddings and RMSNorm with fewer passes over memory, for scoring in float32 on a CPU.

The library writes them as chains of tensor operations, each of which streams a whole row of tokens through memory; together they take as
long as a tenth of all matrix products. Ours give the same numbers in fewer passes, and each is used only where a trial shows that it does.

N tokens, H heads, D head dimension or hidden size.
"""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from inspect import signature
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

ROTARY = "apply_rotary_pos_emb"  # what every modeling file of the library calls it
TOLERANCE = 1e-5
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h


def rotate(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, unsqueeze_dim: int = 1) -> tuple[Tensor, Tensor]:
    """The library's `apply_rotary_pos_emb`: q [1, H, N, D], k, cos and sin [1, N, D] -> q and k rotated (Su et al. 2021, arXiv 2104.09864)."""
    cos, sin = cos.unsqueeze(unsqueeze_dim), sin.unsqueeze(unsqueeze_dim)
    return _rotate(q, cos, sin), _rotate(k, cos, sin)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    out = x * cos
    out[..., :half].addcmul_(x[..., half:], sin[..., :half], value=-1)
    out[..., half:].addcmul_(x[..., :half], sin[..., half:])
    return out


def rms_norm(self: Any, hidden_states: Tensor) -> Tensor:
    """`forward` of an RMSNorm module: x / sqrt(mean(x^2) + eps) * weight over the last dimension (Zhang and Sennrich 2019, arXiv 1910.07467)."""
    length = torch.linalg.vector_norm(hidden_states, dim=-1, keepdim=True)
    scale = torch.rsqrt(length.square() / hidden_states.shape[-1] + self.variance_epsilon)
    return (hidden_states * scale).mul_(self.weight)


def keep_freed_memory() -> None:
    """Ask glibc not to give freed memory back: rows free and take the same tens of megabytes again and again, page by page otherwise."""
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(M_MMAP_THRESHOLD, 32 * 2**20)  # the most it takes
        library.mallopt(M_TRIM_THRESHOLD, 2**30)


class CpuKernels:
    """What can be replaced in a model, found once; `in_use` replaces it for a while."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.modules, self.norms = [], []
        if model.device.type == "cpu":
            keep_freed_memory()
        if model.device.type == "cpu" and model.dtype is torch.float32:
            names = sorted({type(module).__module__ for module in model.modules()})
            self.modules = [sys.modules[name] for name in names if hasattr(sys.modules[name], ROTARY) and _rotates_alike(getattr(sys.modules[name], ROTARY))]
            kinds = {type(module): module for module in model.modules() if hasattr(module, "variance_epsilon")}
            self.norms = [kind for kind, module in kinds.items() if _norms_alike(module)]

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Within the block the library's modules compute with ours."""
        with ExitStack() as stack:
            for module in self.modules:
                stack.enter_context(patch.object(module, ROTARY, rotate))
            for kind in self.norms:
                stack.enter_context(patch.object(kind, "forward", rms_norm))
            yield


def _rotates_alike(library: Any) -> bool:
    """Whether the library's function gives what ours gives, on random numbers."""
    generator = torch.Generator().manual_seed(0)
    q, k, cos, sin = (torch.randn(shape, generator=generator) for shape in ((1, 4, 3, 8), (1, 2, 3, 8), (1, 3, 8), (1, 3, 8)))
    try:
        theirs = library(q, k, cos, sin)
    except (TypeError, ValueError, RuntimeError):  # another signature or another kind of rotation
        return False
    return all(torch.allclose(ours, other, atol=TOLERANCE) for ours, other in zip(rotate(q, k, cos, sin), theirs, strict=True))


@torch.no_grad()
def _norms_alike(module: nn.Module) -> bool:
    """Whether the module is a plain RMSNorm: some add one to the weight, some take a gate beside the input."""
    weight = getattr(module, "weight", None)
    if not isinstance(weight, Tensor) or weight.dim() != 1 or len(signature(module.forward).parameters) != 1:
        return False
    x = torch.randn(3, len(weight), generator=torch.Generator().manual_seed(0))
    return bool(torch.allclose(rms_norm(module, x), module(x), atol=TOLERANCE))
