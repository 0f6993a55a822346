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


def attend_in_blocks(query_HTD: Tensor, key_KDT: Tensor, value_KTD: Tensor, scale: float, out_THD: Tensor) -> None:
    """softmax(scale * query @ key, masked to earlier tokens) @ value, into `out_THD`.

    The key comes transposed: contiguous in that layout, blocks of it multiply up to twice as fast.
    """
    tokens, heads, _ = out_THD.shape
    for first in range(0, tokens, BLOCK):
        stop = min(first + BLOCK, tokens)
        block = stop - first
        query = (query_HTD[:, first:stop] * scale).reshape(len(key_KDT), -1, query_HTD.shape[-1])  # heads that share a key lie end to end
        scores = torch.bmm(query, key_KDT[..., :stop])
        scores.view(heads, block, stop)[..., first:].add_(_later(block))
        attended = torch.bmm(torch.softmax(scores, dim=-1), value_KTD[:, :stop])
        out_THD[first:stop] = attended.view(heads, block, -1).transpose(0, 1)


@cache
def _later(size: int) -> Tensor:
    """[size, size]: minus infinity for all tokens after each token."""
    return torch.full((size, size), -torch.inf).triu_(1)
