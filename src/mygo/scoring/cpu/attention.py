"""Causal attention of one sample on a CPU, in blocks of queries whose scores stay in the core's cache.

T tokens of the sample, H heads, K key/value heads, D head dimension.
"""

from functools import cache

import torch
from torch import Tensor

BLOCK = 64  # queries: wider blocks compute more of what the mask hides, narrower ones multiply smaller matrices
LONGEST = 1024  # tokens: beyond it the library's flash kernel is as fast


def suits_blocks(query: Tensor, length: int) -> bool:
    """Whether blocks are the faster way for a sample of this length."""
    return query.device.type == "cpu" and query.dtype is torch.float32 and BLOCK <= length <= LONGEST


def attend_in_blocks(query_HTD: Tensor, key_KTD: Tensor, value_KTD: Tensor, scale: float, out_THD: Tensor) -> None:
    """softmax(scale * query @ key, masked to earlier tokens) @ value, into `out_THD`; none of them need be
    contiguous.
    """
    tokens, heads, _ = out_THD.shape
    key_KDT = _transposed(key_KTD).mul_(scale)
    for first in range(0, tokens, BLOCK):
        stop = min(first + BLOCK, tokens)
        block = stop - first
        query = query_HTD[:, first:stop].reshape(
            len(key_KDT), -1, query_HTD.shape[-1]
        )  # heads that share a key lie end to end
        scores = torch.bmm(query, key_KDT[..., :stop])
        scores.view(heads, block, stop)[..., first:].add_(_later(block))
        attended = torch.bmm(torch.softmax(scores, dim=-1, out=scores), value_KTD[:, :stop])
        out_THD[first:stop] = attended.view(heads, block, -1).transpose(0, 1)


def _transposed(key_KTD: Tensor) -> Tensor:
    """Contiguous [K, D, T], which multiplies up to twice as fast as a view. Matrix by matrix: torch has a fast kernel
    for two dimensions only.
    """
    key_KDT = key_KTD.new_empty(len(key_KTD), key_KTD.shape[2], key_KTD.shape[1])
    for transposed, key in zip(key_KDT, key_KTD, strict=True):
        transposed.copy_(key.t())
    return key_KDT


@cache
def _later(size: int) -> Tensor:
    """[size, size]: minus infinity for all tokens after each token."""
    return torch.full((size, size), -torch.inf).triu_(1)
