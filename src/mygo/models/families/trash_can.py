"""Trash-can experts: a router that may send a token to experts which output zero, without computing anything.

A router of E experts gets K more rows, drawn like gates; the softmax and the top-k are over all E + K. Its loss is the
constraint on r, the probability that stays with the regular experts (mygo.models.constraint).

With the new rows' logits at minus infinity a block computes what the base's does, whatever `norm_topk_prob` says: the
trash then has no part in the softmax. Where their logits are finite and they are merely not among the top-k it depends:
with `norm_topk_prob` true (Mixtral always; of OLMoE and Qwen3-MoE the config says it) the weights of the chosen experts
are divided by their sum, so that they are the base's; with false (OLMoE-1B-7B) they are probabilities of a softmax over
more logits, so that a token loses the share that the trash has. A token that chose trash loses that expert's output;
what is divided by then is the sum over all k chosen, trash included.

N tokens, K trash experts, E regular ones, D hidden, P pairs of a token and a regular expert that it chose.
"""

# pyright: reportIncompatibleVariableOverride=false, reportIncompatibleMethodOverride=false

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers.utils.generic import ModelOutput

from mygo.models.config import TrashCanConfig
from mygo.models.constraint import constraint_loss, regular_masses
from mygo.models.families.classes import Classes, WithDecoder, make_classes
from mygo.models.losses import Part, token_range
from mygo.models.routers import TrashRouter, routers
from mygo.models.terms import Term
from mygo.params.families import selector_type


class TrashCanRouter(nn.Module):
    """Mixin before a router class that is there already."""

    trash_router: TrashRouter
    weight: Tensor
    top_k: int

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x [..., D] -> logits [N, E + K], weights and indices of the chosen experts [N, k]; E and above are trash."""
        x_ND = x.reshape(-1, x.shape[-1])
        logits = torch.cat([linear(x_ND, self.weight), self.trash_router(x_ND)], dim=-1)
        weight_Nk, expert_Nk = torch.softmax(logits, dim=-1, dtype=torch.float).topk(self.top_k, dim=-1)
        if getattr(self, "norm_topk_prob", True):
            weight_Nk = weight_Nk / weight_Nk.sum(dim=-1, keepdim=True)
        if hasattr(self, "norm_topk_prob"):  # Mixtral has neither the setting nor the rounding
            weight_Nk = weight_Nk.to(logits.dtype)
        return logits, weight_Nk, expert_Nk

    def regular(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The same of the base's own router."""
        return super().forward(x)


class TrashCanBlock(nn.Module):
    """Mixin before the class of a sparse block whose router is a `TrashCanRouter`."""

    gate: TrashCanRouter
    experts: nn.Module

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, D] -> [B, T, D]."""
        _, weight_Nk, expert_Nk = self.gate(x)
        regular = len(self.gate.weight)
        return run_regular(self.experts, x.reshape(-1, x.shape[-1]), weight_Nk, expert_Nk, regular).view_as(x)

    def whole(self, x: Tensor) -> Tensor:
        """The block as the base has it, without trash."""
        _, weight_Nk, expert_Nk = self.gate.regular(x)
        return self.experts(x.reshape(-1, x.shape[-1]), expert_Nk, weight_Nk).view_as(x)


def run_regular(experts: nn.Module, x_ND: Tensor, weight_Nk: Tensor, expert_Nk: Tensor, regular: int) -> Tensor:
    """The weighted sum over the chosen experts below `regular` [N, D]: what was sent to others is neither gathered nor
    multiplied.
    """
    kept_Nk = expert_Nk < regular
    if bool(kept_Nk.all()):  # as the base does it, to the last bit
        return experts(x_ND, expert_Nk, weight_Nk)
    token_P = kept_Nk.nonzero()[:, 0]
    if not len(token_P):
        return torch.zeros_like(x_ND)
    out_PD = experts(x_ND[token_P], expert_Nk[kept_Nk][:, None], weight_Nk[kept_Nk][:, None])
    # Pairs lie in the order of the tokens: sums over runs, which unlike index_add are the same at every run on a GPU.
    return torch.segment_reduce(out_PD, "sum", lengths=kept_Nk.sum(1), axis=0, unsafe=True)


class TrashCanCausalLM(WithDecoder):
    """loss = lm_loss + quality_loss_weight * constraint_loss + router_aux_loss_coef * load_balancing_loss."""

    config: TrashCanConfig

    def loss_terms(
        self,
        said: ModelOutput,
        logits: Tensor,
        labels: Tensor,
        attention_mask: Tensor | None,
        part: Part,
        **kwargs: Any,
    ) -> dict[str, Term]:
        """The constraint on r besides, whose mean is logged as good_ratio."""
        routed, rows = said["router_logits"], len(labels)
        value, ratio_L = constraint_loss(routed, attention_mask, rows, self.config, part)
        debug = self.config.quality_loss_debug
        range_L2 = token_range(regular_masses(routed, rows, self.config), attention_mask) if debug else None
        terms = super().loss_terms(said, logits, labels, attention_mask, part, **kwargs)
        return terms | {"constraint_loss": Term(value, self.config.quality_loss_weight, ratio_L, range_L2)}

    def _flags(self, wanted: bool, trains: bool) -> dict[str, bool]:
        return {"output_router_logits": wanted or trains}

    def _load_balancing(self, routers: tuple[Tensor, ...], attention_mask: Tensor | None) -> Tensor | int:
        """Of the regular experts among themselves, as if there were no trash: the constraint alone says how much goes
        there.
        """
        regular = tuple(logits[:, : self.config.num_experts] for logits in routers)
        return super()._load_balancing(regular, attention_mask)


@cache
def trash_can_family(base_type: str) -> Classes:
    """The classes with trash-can experts for sparse bases of this `model_type`."""
    model_type = selector_type("trash_can", base_type)
    return make_classes(model_type, base_type, TrashCanConfig, TrashCanCausalLM, add_trash_cans, _as_the_base)


def _as_the_base(base: Any) -> dict[str, Any]:
    return dict(base._can_record_outputs or {})


def add_trash_cans(decoder: Any) -> None:
    """Give every router of the decoder its trash rows; dense layers stay as they are."""
    config = decoder.config
    for name, router in routers(decoder).items():
        block = decoder.get_submodule(name.rpartition(".")[0])
        block.__class__ = _mixed(TrashCanBlock, type(block))
        router.__class__ = _mixed(TrashCanRouter, type(router))
        router.trash_router = TrashRouter(config.hidden_size, config.trash_experts)


@cache
def _mixed(mixin: type[nn.Module], cls: type[nn.Module]) -> type[nn.Module]:
    return type(f"{mixin.__name__}Of{cls.__name__}", (mixin, cls), {"__module__": __name__})
