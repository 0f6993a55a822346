"""Negative log-likelihoods without the logits of a row ever being there.

M predicted tokens, D hidden, R and C rows and columns of a tile, V vocabulary.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.functional import linear

Finish = Callable[[torch.Tensor], torch.Tensor] | None  # what a family makes of the numbers of its output layer

# Tokens and vocabulary entries of a tile of logits: 2 MiB in float32 stay in a CPU core's cache, a GPU wants larger
# ones.
TILE = {"cpu": (1024, 512), "cuda": (8192, 16384)}
FAR = 40.0  # logits further from zero are shifted
LEAST = 1e-25  # smaller sums of exponentials may have lost terms that count


def finish_of(config: Any) -> Finish:
    """What a model of this text config does to its logits entry by entry: a scale (Granite, Cohere), then a soft cap
    (Gemma). What another family does beyond this, the self test finds.
    """
    scale = getattr(config, "logit_scale", None) or 1 / (getattr(config, "logits_scaling", None) or 1.0)
    cap = getattr(config, "final_logit_softcapping", None)
    if scale == 1.0 and cap is None:
        return None
    return lambda logits: logits * scale if cap is None else torch.tanh(logits * (scale / cap)) * cap


def tiled_nll(hidden_MD: torch.Tensor, targets_M: torch.Tensor, head: nn.Linear, finish: Finish = None) -> torch.Tensor:
    """Negative log-likelihood of each target in float32 [M], holding one tile of the logits at a time."""
    if not len(targets_M):  # a row of samples of one token
        return hidden_MD.new_zeros(0, dtype=torch.float32)
    rows, columns = TILE.get(hidden_MD.device.type, TILE["cpu"])
    parts = [
        _tiled_nll(hidden, target, head, columns, finish)
        for hidden, target in zip(hidden_MD.split(rows), targets_M.split(rows), strict=True)
    ]
    return torch.cat(parts)


def _tiled_nll(
    hidden_RD: torch.Tensor, target_R: torch.Tensor, head: nn.Linear, columns: int, finish: Finish
) -> torch.Tensor:
    place_R1 = (target_R % columns)[:, None]
    logit_R: list[torch.Tensor] = []  # a tile each: what stands in the target's column of the tile

    def tiles() -> Iterator[torch.Tensor]:
        logit_R.clear()
        for first in range(0, head.out_features, columns):
            tile = slice(first, first + columns)
            logits_RC = linear(hidden_RD, head.weight[tile], None if head.bias is None else head.bias[tile])
            logits_RC = (logits_RC if finish is None else finish(logits_RC)).float()
            logit_R.append(logits_RC.gather(1, place_R1.clamp(max=logits_RC.shape[1] - 1))[:, 0])
            yield logits_RC

    # On a GPU the shorter way would stall: the CPU has to see whether it held.
    lse_R = plain_logsumexp(tiles()) if hidden_RD.device.type == "cpu" else None
    if lse_R is None:
        lse_R = online_logsumexp(tiles())
    return lse_R - torch.stack(logit_R).gather(0, (target_R // columns)[None])[0]


def plain_logsumexp(tiles_RC: Iterable[torch.Tensor]) -> torch.Tensor | None:
    """Log of the sum of exponentials over all tiles [R], which are overwritten: two passes over a tile instead of four.

    The exponentials are summed as they are, or all shifted alike where the first tile lies far from zero. None where a
    float32 does not hold a sum.
    """
    total_R, shift = torch.zeros(()), 0.0
    for i, logits_RC in enumerate(tiles_RC):
        if i == 0 and abs(top := float(logits_RC.max())) > FAR:
            shift = top
        total_R = total_R + (logits_RC.sub_(shift) if shift else logits_RC).exp_().sum(1)
    return total_R.log() + shift if bool((total_R.isfinite() & (total_R > LEAST)).all()) else None


def online_logsumexp(tiles_RC: Iterable[torch.Tensor]) -> torch.Tensor:
    """Log of the sum of exponentials over all tiles [R], which are overwritten, whatever their size.

    As in flash attention (Milakov and Gimelshein 2018, "Online normalizer calculation for softmax", algorithm 3).
    """
    top_R, total_R = torch.tensor(-torch.inf), torch.tensor(0.0)
    for logits_RC in tiles_RC:
        new_top_R = torch.maximum(top_R, logits_RC.amax(1))
        total_R = total_R * torch.exp(top_R - new_top_R) + logits_RC.sub_(new_top_R[:, None]).exp_().sum(1)
        top_R = new_top_R
    return top_R + total_R.log()
