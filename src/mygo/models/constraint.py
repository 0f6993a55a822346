"""The constraint on trash-can experts: a Beta prior on r, the probability that stays with regular experts.

B batch, T tokens, L layers, E regular experts, K trash experts.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mygo.models.losses import AVERAGING, WHOLE, Part, token_mean


def regular_mass(logits: Tensor, trash_experts: int, top_k: int) -> Tensor:
    """r: the summed probability of the k likeliest *regular* experts, in a softmax over regular and trash experts.

    Logits [..., E + K], the K trash experts last -> float32 [...]; k is at most E.
    """
    regular = torch.softmax(logits.float(), dim=-1)[..., : logits.shape[-1] - trash_experts]
    return regular.topk(min(top_k, regular.shape[-1]), dim=-1).values.sum(-1)


def regular_masses(routers: Sequence[Tensor], rows: int, config: Any) -> list[Tensor]:
    """r of each layer [B, T], on one device; the arguments are those of `constraint_loss`."""
    device, trash, top_k = routers[-1].device, config.trash_experts, config.num_experts_per_tok
    return [regular_mass(layer.to(device), trash, top_k).view(rows, -1) for layer in routers]


def log_masses(logits: Tensor, trash_experts: int, top_k: int) -> tuple[Tensor, Tensor]:
    """log r and log(1 - r), of the arguments of `regular_mass`. Both are taken of the logits, so that they are finite
    and have a gradient where r rounds to 0 or 1: there it is wanted most.
    """
    log_share = torch.log_softmax(logits.float(), dim=-1)
    regular = log_share[..., : logits.shape[-1] - trash_experts]
    likeliest = regular.topk(min(top_k, regular.shape[-1]), dim=-1)
    rest = log_share.scatter(-1, likeliest.indices, -torch.inf)
    return likeliest.values.logsumexp(-1), rest.logsumexp(-1)


def beta_constraint(log_mass: Tensor, log_rest: Tensor, alpha: float, beta: float) -> Tensor:
    """-((alpha - 1) log r + (beta - 1) log(1 - r)): minus the logarithm of a Beta(alpha, beta) density, but for its
    constant. With alpha 1 and beta 2 it is -log(1 - r), and pulls probability to the trash.
    """
    return -((alpha - 1) * log_mass + (beta - 1) * log_rest)


def constraint_loss(
    routers: Sequence[Tensor], attention_mask: Tensor | None, rows: int, config: Any, part: Part = WHOLE
) -> tuple[Tensor, Tensor]:
    """The constraint of each token under the mask, averaged like the other per-token losses (sample_wise, token_wise;
    additive over micro-batches: see `Part`), then over layers; and the mean of r of each layer.

    The config says `trash_experts`, `num_experts_per_tok` (the k of top-k), `trash_can_alpha`, `trash_can_beta` and
    `quality_loss_averaging`. `routers`: L logits [B * T, E + K] of B = `rows` samples; attention_mask [B, T] (None: no
    padding). Returns a scalar with a gradient, and [L] without.
    """
    masses = regular_masses(routers, rows, config)
    device, trash, top_k = masses[0].device, config.trash_experts, config.num_experts_per_tok
    part = part.to(device)
    mask_BT = (torch.ones_like(masses[0]) if attention_mask is None else attention_mask).bool().to(device)
    average = AVERAGING[config.quality_loss_averaging]
    losses = []
    for layer in routers:
        logs = log_masses(layer.to(device), trash, top_k)
        loss_N = beta_constraint(*logs, config.trash_can_alpha, config.trash_can_beta)
        losses.append(average(loss_N.view(rows, -1), mask_BT, part))
    ratios_L = torch.stack([token_mean(mass.detach(), mask_BT, part) for mass in masses])
    return torch.stack(losses).mean(), ratios_L
