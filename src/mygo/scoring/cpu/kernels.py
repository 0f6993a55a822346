"""Rotary embeddings, RMSNorm and SwiGLU with fewer passes over memory, for scoring in float32 on a CPU.

The library writes them as chains of tensor operations, each of which streams a whole row of tokens through memory;
together they take as long as a tenth of all matrix products. Ours give the same numbers in fewer passes, and each is
used only where a trial shows that it does.

N tokens, H heads, D head dimension or hidden size, I intermediate size.
"""

import ctypes
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from inspect import signature
from types import MethodType, ModuleType
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import silu
from transformers import PreTrainedModel
from transformers.activations import SiLUActivation

from mygo.models.gate import GatedFeedForward

Method = tuple[nn.Module, str, Callable[..., Tensor]]  # a module, the name of its method, and what replaces that
ROTARY = "apply_rotary_pos_emb"  # what every modeling file of the library calls it
TOLERANCE = 1e-5
CACHED = 2**17  # numbers of a piece: two such pieces of float32 fit into a core's own cache
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h


def rotate(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, unsqueeze_dim: int = 1) -> tuple[Tensor, Tensor]:
    """The library's `apply_rotary_pos_emb`: q [1, H, N, D], k, cos and sin [1, N, R] -> q and k rotated (Su et al.
    2021, arXiv 2104.09864).

    Only the first R of the D numbers turn. `unsqueeze_dim` 2 means that q and k come as [1, N, H, D].
    """
    cos, sin = cos.unsqueeze(unsqueeze_dim), sin.unsqueeze(unsqueeze_dim)
    return _rotate(q, cos, sin, 3 - unsqueeze_dim), _rotate(k, cos, sin, 3 - unsqueeze_dim)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor, tokens_dim: int) -> Tensor:
    """In pieces that stay in cache. What comes out is contiguous, whatever x was: attention reads it head by head."""
    out, width = x.new_empty(x.shape), cos.shape[-1]
    out[..., width:] = x[..., width:]
    rows = max(1, CACHED * x.shape[tokens_dim] // x.numel())
    pieces = zip(*(each.split(rows, tokens_dim) for each in (x[..., :width], cos, sin, out[..., :width])), strict=True)
    for straight, cosine, sine, turned in pieces:
        (first, second), (sine_first, sine_second) = straight.chunk(2, -1), sine.chunk(2, -1)
        torch.mul(straight, cosine, out=turned)
        turned[..., : width // 2].addcmul_(second, sine_first, value=-1)
        turned[..., width // 2 :].addcmul_(first, sine_second)
    return out


def rms_norm(self: Any, hidden_states: Tensor) -> Tensor:
    """`forward` of an RMSNorm module: x / sqrt(mean(x^2) + eps) * weight over the last dimension (Zhang and Sennrich
    2019, arXiv 1910.07467).
    """
    length = torch.linalg.vector_norm(hidden_states, dim=-1, keepdim=True)
    scale = torch.rsqrt(length.square() / hidden_states.shape[-1] + self.variance_epsilon)
    return (hidden_states * scale).mul_(self.weight)


def swiglu(self: Any, x: Tensor) -> Tensor:
    """`forward` of a feed-forward block: down(silu(gate(x)) * up(x)) (Shazeer 2020, arXiv 2002.05202)."""
    gate, up = self.gate_proj(x), self.up_proj(x)
    silu_times_(gate.flatten(0, -2), up.flatten(0, -2))
    return self.down_proj(gate)


def silu_times_(gate_NI: Tensor, up_NI: Tensor) -> Tensor:
    """silu(gate) * up in the place of `gate`, which is returned; in pieces that stay in cache between the two."""
    rows = max(1, CACHED // gate_NI.shape[1])
    for gate, up in zip(gate_NI.split(rows), up_NI.split(rows), strict=True):
        silu(gate, inplace=True).mul_(up)
    return gate_NI


def is_silu(activation: object) -> bool:
    """Whether a module is SiLU by torch's class or by the library's."""
    return isinstance(activation, nn.SiLU | SiLUActivation)


def keep_freed_memory() -> None:
    """Ask glibc not to give freed memory back: rows free and take the same tens of megabytes again and again, page by
    page otherwise.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(M_MMAP_THRESHOLD, 32 * 2**20)  # the most it takes
        library.mallopt(M_TRIM_THRESHOLD, 2**30)


class CpuKernels:
    """What can be replaced in a model, found once; `in_use` replaces it for a while."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.rotations: list[ModuleType] = []  # modeling files of the library
        self.methods: list[Method] = []
        if model.device.type == "cpu":
            keep_freed_memory()
        if model.device.type == "cpu" and model.dtype is torch.float32:
            files = [sys.modules[name] for name in sorted({type(module).__module__ for module in model.modules()})]
            self.rotations = [file for file in files if _rotates_alike(getattr(file, ROTARY, None))]
            kinds = {type(module): module for module in model.modules()}  # one of a class stands for all of it
            found = {kind: method for kind, module in kinds.items() if (method := _replacement(module)) is not None}
            self.methods = [(module, *found[type(module)]) for module in model.modules() if type(module) in found]

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Within the block the model computes with ours: its modules by methods of their own, its rotation by name.

        The library (5.23) lets a rotation be exchanged only through the package `kernels`, with code from a hub;
        attention calls the function by its name in the modeling file, so that name is what is set, and set back.
        """
        with ExitStack() as stack:
            for file in self.rotations:
                stack.enter_context(_set(file, ROTARY, rotate))
            for module, name, function in self.methods:
                stack.enter_context(_set(module, name, MethodType(function, module)))
            yield


@contextmanager
def _set(owner: object, name: str, value: object) -> Iterator[None]:
    """Within the block `owner.name` is `value`; afterwards what it was, be it the owner's own or its class's."""
    own = name in vars(owner)
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before) if own else delattr(owner, name)


def _replacement(module: nn.Module) -> tuple[str, Callable[..., Tensor]] | None:
    """The method of a module that ours can replace, and by what: RMSNorm, or SwiGLU, behind a gate or without one."""
    if _norms_alike(module):
        return "forward", rms_norm
    name = "whole" if isinstance(module, GatedFeedForward) else "forward"
    return (name, swiglu) if _multiplies_alike(module, name) else None


def _rotates_alike(library: Any) -> bool:
    """Whether the library's function, if there is one, gives what ours gives, on random numbers."""
    return library is not None and _rotates_alike_at(library, 8) is True and _rotates_alike_at(library, 4) is not False


def _rotates_alike_at(library: Any, width: int) -> bool | None:
    """Where `width` of eight numbers turn; None if the library's function does not take that."""
    generator = torch.Generator().manual_seed(0)
    shapes = (1, 4, 3, 8), (1, 2, 3, 8), (1, 3, width), (1, 3, width)
    q, k, cos, sin = (torch.randn(shape, generator=generator) for shape in shapes)
    try:
        theirs = library(q, k, cos, sin)
    except (TypeError, ValueError, RuntimeError):  # another signature or another kind of rotation
        return None
    return all(
        torch.allclose(ours, other, atol=TOLERANCE) for ours, other in zip(rotate(q, k, cos, sin), theirs, strict=True)
    )


@torch.no_grad()
def _norms_alike(module: nn.Module) -> bool:
    """Whether the module is a plain RMSNorm: some add one to the weight, some take a gate beside the input."""
    weight = getattr(module, "weight", None)
    if not hasattr(module, "variance_epsilon") or not isinstance(weight, Tensor) or weight.dim() != 1:
        return False
    if len(signature(module.forward).parameters) != 1:
        return False
    x = torch.randn(3, len(weight), generator=torch.Generator().manual_seed(0))
    return bool(torch.allclose(rms_norm(module, x), module(x), atol=TOLERANCE))


@torch.no_grad()
def _multiplies_alike(module: nn.Module, name: str) -> bool:
    """Whether the module's method of this name is a plain SwiGLU block."""
    if not is_silu(getattr(module, "act_fn", None)) or not all(
        isinstance(getattr(module, f"{part}_proj", None), nn.Linear) for part in ("gate", "up", "down")
    ):
        return False
    x = torch.randn(1, 3, cast(nn.Linear, module.gate_proj).in_features, generator=torch.Generator().manual_seed(0))
    try:
        return bool(torch.allclose(getattr(module, name)(x), swiglu(module, x), atol=TOLERANCE))
    except (TypeError, ValueError, RuntimeError):  # another signature
        return False
