"""The quality gate in front of a feed-forward block. What a token gets in place of the block is in `trash`.

B batch, T tokens, D hidden.

    score_t      = w_l . x_t
    good_ratio_t = sigmoid(score_t)
    y_t          = good_ratio_t * FFN(x_t) + (1 - good_ratio_t) * Trash(x_t)
"""

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from mygo.models.config import GatedConfig
from mygo.models.routers import routers
from mygo.models.trash import TRASH_EXPERTS


class QualityGate(nn.Linear):
    """x [B, T, D] -> raw score [B, T, 1]. It *is* the Linear, so that `_init_weights` reaches it."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__(hidden_size, 1, bias=False)


def blend(score: Tensor, ffn: Tensor, trash: Tensor | None) -> Tensor:
    """good_ratio * ffn + (1 - good_ratio) * trash.

    score [B, T, 1], ffn and trash [B, T, D] -> [B, T, D]. The ratios are computed in float32, then cast: near 0 and 1
    bfloat16 would round `1 - good_ratio` away. No trash stands for zero.
    """
    good = torch.sigmoid(score.float())
    kept = good.to(ffn.dtype) * ffn
    return kept if trash is None else kept + (1 - good).to(ffn.dtype) * trash


class GatedFeedForward(nn.Module):
    """Mixin before the class of a feed-forward block that is there already: see `add_gate`. The block's parameter names
    stay as they are.
    """

    quality_gate: QualityGate
    trash_expert: nn.Module | None

    def forward(self, x: Tensor) -> Any:
        """x [B, T, D] -> [B, T, D]. Of a block that returns more than that, the rest stays as it is."""
        trash = None if self.trash_expert is None else self.trash_expert(x)
        score, whole = self.quality_gate(x), self.whole(x)
        if isinstance(whole, tuple):
            return (blend(score, whole[0], trash), *whole[1:])
        return blend(score, whole, trash)

    def whole(self, x: Tensor) -> Any:
        """The block as the base has it, without its gate."""
        return super().forward(x)


@cache
def gated(block: type[nn.Module]) -> type[GatedFeedForward]:
    """The class of a block with a gate in front of it."""
    return type(f"Gated{block.__name__}", (GatedFeedForward, block), {"__module__": __name__})


def add_gate(block: nn.Module, config: GatedConfig) -> None:
    """Put a gate in front of a block, in its place: blocks are made from whatever their base makes them from."""
    block.__class__ = gated(type(block))
    block.quality_gate = QualityGate(config.hidden_size)  # pyright: ignore[reportAttributeAccessIssue]
    block.trash_expert = TRASH_EXPERTS[config.trash_expert_mode](config, block)  # pyright: ignore[reportArgumentType]


def gated_blocks(model: nn.Module) -> dict[str, GatedFeedForward]:
    """The gated blocks of a model by name, in layer order."""
    return {name: module for name, module in model.named_modules() if isinstance(module, GatedFeedForward)}


def routing_parameters(model: nn.Module) -> list[str]:
    """Names of the parameters that route tokens: the gates, and the routers where there are any."""
    gates = [f"{name}.quality_gate.weight" for name in gated_blocks(model)]
    return gates + [f"{name}.{own}" for name, router in routers(model).items() for own, _ in router.named_parameters()]


def freeze_all_but(model: nn.Module, names: list[str]) -> None:
    """Leave a gradient to the named parameters only. Raises `ValueError` for a name that the model does not have."""
    parameters, trained = dict(model.named_parameters()), set(names)
    if unknown := sorted(trained - parameters.keys()):
        raise ValueError(f"no such parameters: {unknown}")
    for name, parameter in parameters.items():
        parameter.requires_grad_(name in trained)
