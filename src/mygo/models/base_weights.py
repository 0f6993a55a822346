"""A selector that computes as its base does: without gates and trash, and what warm-up changed as it was before."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from mygo.errors import UserError
from mygo.models.loading import GATE_PARTS, load_selector


@dataclass(frozen=True)
class BaseWeights:
    """The parameters of `model` whose values are not its base's, each with the base's value, on the same device.

    Few as a rule: of full-rank warm-up the routers, of LoRA the adapted weights. Gates do not count, nor do trash
    experts: with the gates held open neither is computed.
    """

    model: PreTrainedModel
    changed: list[tuple[nn.Parameter, Tensor]]

    @classmethod
    def of(cls, model: PreTrainedModel, selector: Path) -> "BaseWeights":
        """Compare with the selector as convert wrote it, which has its base's weights. It is in memory meanwhile.

        Raises `UserError` if there is none, or it is of another shape than `model`.
        """
        originals = dict(load_selector(selector, model.dtype).named_parameters())
        changed: list[tuple[nn.Parameter, Tensor]] = []
        for name, parameter in model.named_parameters():
            if any(part in name for part in GATE_PARTS):
                continue
            if name not in originals or originals[name].shape != parameter.shape:
                raise UserError(f"{selector}: not the selector that was warmed up, which has another {name}")
            original = originals[name].detach().to(parameter.device)
            if not torch.equal(original, parameter):
                changed.append((parameter, original))
        return cls(model, changed)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Within the block the model computes as its base: the two copies change places, and no gate is computed."""
        with ExitStack() as stack:
            stack.enter_context(base_blocks(self.model))
            stack.enter_context(self._exchanged())
            yield

    @contextmanager
    def _exchanged(self) -> Iterator[None]:
        warmed = [parameter.data for parameter, _ in self.changed]
        for parameter, original in self.changed:
            parameter.data = original
        try:
            yield
        finally:
            for (parameter, _), values in zip(self.changed, warmed, strict=True):
                parameter.data = values


@contextmanager
def base_blocks(model: nn.Module) -> Iterator[None]:
    """Within the block every feed-forward block is the base's, whole; gates and trash are not run."""
    blocks = _changed_blocks(model)
    for block in blocks:
        block.forward = MethodType(_whole, block)
    try:
        yield
    finally:
        for block in blocks:
            del block.forward  # the class's own again


def is_changed(model: nn.Module) -> bool:
    """Whether a model computes otherwise than a base, with gates or with trash."""
    return bool(_changed_blocks(model))


def _changed_blocks(model: nn.Module) -> list[nn.Module]:
    return [module for module in model.modules() if hasattr(module, "whole")]


def _whole(block: Any, x: Tensor) -> Any:
    """Asked of the block at each call: while scoring on a CPU its `whole` may be another."""
    return block.whole(x)
