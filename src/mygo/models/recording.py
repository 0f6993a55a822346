"""What a model has to say of each token beside its logits: asked of the model, whatever family it is of."""

from dataclasses import dataclass

from torch import nn

from mygo.models.gate import gated_blocks
from mygo.models.routers import TrashRouter, experts_of, router_map, routers


@dataclass(frozen=True)
class Records:
    """Whether a model has gates and routers, and whether its last hidden state is recorded: where samples are else
    described by nothing, which is of gates without routers.

    `trash_experts`: of the outputs of each router, how many at the end are experts that output zero.
    `experts_per_token`: the k of top-k, where there are routers. `base_hidden`: whether a base computes whose hidden
    states are asked for, which is for the engine to say.
    """

    gates: bool = False
    routers: bool = False
    hidden: bool = False
    trash_experts: int = 0
    experts_per_token: int = 0
    base_hidden: bool = False

    def flags(self) -> dict[str, bool]:
        """The arguments that make a decoder of the library return it."""
        wanted = {"output_gate_scores": self.gates, "output_router_logits": self.routers}
        return {name: True for name, asked in wanted.items() if asked}


def records(model: nn.Module) -> Records:
    """What a model records: of a plain base its routers, if it has any."""
    trash = next((module.out_features for module in model.modules() if isinstance(module, TrashRouter)), 0)
    gates, found = bool(gated_blocks(model)), _all_alike(list(routers(model).values()), experts_of(model.config), trash)
    top_k = getattr(model.config, "num_experts_per_tok", None) if found else None
    return Records(gates, found, gates and not found, trash, int(top_k or 0))  # pyright: ignore[reportArgumentType]


def _all_alike(found: list[nn.Module], experts: int | None, trash: int) -> bool:
    """Whether there are routers, and each has an output for every expert that the config counts: by its count the
    columns of statistics are read.
    """
    return bool(found) and all(len(router_map(router)[0]) == (experts or 0) + trash for router in found)
