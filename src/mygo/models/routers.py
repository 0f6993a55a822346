"""Routers of mixture-of-experts blocks, found by what the library itself records of a model.

N tokens, D hidden, E experts.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.utils.output_capturing import OutputRecorder

from mygo.params.families import EXPERTS


class TrashRouter(nn.Linear):
    """The rows of a router for experts that output zero: x [N, D] -> logits [N, K]. It *is* the Linear, so that
    `_init_weights` reaches it, and so that a hook can shut it.
    """

    def __init__(self, hidden_size: int, experts: int) -> None:
        super().__init__(hidden_size, experts, bias=False)


def routers(model: nn.Module) -> dict[str, nn.Module]:
    """The routers of a model by name, in layer order; empty where it has none, or none that are a linear map."""
    kinds = _router_classes(model)
    return {
        name: module
        for name, module in model.named_modules()
        if kinds and isinstance(module, kinds) and isinstance(getattr(module, "weight", None), Tensor)
    }


def experts_of(config: Any) -> int | None:
    """How many experts a router chooses among, as a config has it, of a base or a selector; trash does not count."""
    return next((count for name in EXPERTS if (count := getattr(config, name, None))), None)


def router_map(router: nn.Module) -> tuple[Tensor, Tensor | None]:
    """What a router computes, as the weight [E, D] and the bias [E] of a linear map, trash experts last."""
    weight, bias = router.get_parameter("weight"), getattr(router, "bias", None)
    trash = getattr(router, "trash_router", None)
    return (weight if trash is None else torch.cat([weight, trash.weight])), bias


def _router_classes(model: nn.Module) -> tuple[type[nn.Module], ...]:
    """Classes whose first output is the logits: those of the library's recorder of `router_logits`."""
    outputs = [module._can_record_outputs or {} for module in model.modules() if isinstance(module, PreTrainedModel)]
    found = [recorder for kinds in outputs for recorder in _as_list(kinds.get("router_logits"))]
    return tuple({r.target_class for r in found if isinstance(r, OutputRecorder) and r.index == 0 and r.target_class})


def _as_list(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]
