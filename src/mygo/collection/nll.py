"""Negative log-likelihoods without the logits of a row ever being there.

M predicted tokens, D hidden, R and C rows and columns of a tile, V vocabulary.
"""

import torch
from torch import nn
from torch.nn.functional import linear

# Tokens and vocabulary entries of a tile of logits: 2 MiB in float32 stay in a CPU core's cache, a GPU wants larger ones.
TILE = {"cpu": (1024, 512), "cuda": (8192, 16384)}


def tiled_nll(hidden_MD: torch.Tensor, targets_M: torch.Tensor, head: nn.Linear) -> torch.Tensor:
    """Negative log-likelihood of each target in float32 [M], holding one tile of the logits at a time.

    The log of the sum of exponentials is taken online over tiles of the vocabulary, as in flash attention (Milakov and Gimelshein 2018,
    "Online normalizer calculation for softmax", algorithm 3).
    """
    rows, columns = TILE.get(hidden_MD.device.type, TILE["cpu"])
    parts = [_tiled_nll(hidden, target, head, columns) for hidden, target in zip(hidden_MD.split(rows), targets_M.split(rows), strict=True)]
    return torch.cat(parts) if parts else hidden_MD.new_zeros(0, dtype=torch.float32)


def _tiled_nll(hidden_RD: torch.Tensor, target_R: torch.Tensor, head: nn.Linear, columns: int) -> torch.Tensor:
    top_R = hidden_RD.new_full((len(hidden_RD),), -torch.inf, dtype=torch.float32)
    total_R = torch.zeros_like(top_R)
    target_logit_R = torch.empty_like(top_R)
    for first in range(0, head.out_features, columns):
        tile = slice(first, first + columns)
        logits_RC = linear(hidden_RD, head.weight[tile], None if head.bias is None else head.bias[tile]).float()
        place_R1 = (target_R - first).clamp(0, logits_RC.shape[1] - 1)[:, None]
        inside_R = (target_R >= first) & (target_R < first + logits_RC.shape[1])
        target_logit_R = torch.where(inside_R, logits_RC.gather(1, place_R1)[:, 0], target_logit_R)
        new_top_R = torch.maximum(top_R, logits_RC.amax(1))
        total_R = total_R * torch.exp(top_R - new_top_R) + logits_RC.sub_(new_top_R[:, None]).exp_().sum(1)
        top_R = new_top_R
    return top_R + total_R.log() - target_logit_R
