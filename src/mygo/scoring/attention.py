"""Causal attention inside each segment of a packed row: no mask, no padding, no attention across samples.

B = 1 row, N tokens of the row, H heads, K key/value heads, D head dimension, T tokens of a segment.
"""

from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch.nn.attention.varlen import varlen_attn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedModel

from mygo.scoring.cpu.attention import attend_in_blocks, suits_blocks

NAME = "mygo_packed"


@dataclass(frozen=True)
class Segments:
    """The samples of a row: their lengths, and on GPUs the cumulative lengths that the variable-length kernel takes."""

    lengths: tuple[int, ...]
    cumulative: torch.Tensor  # int32 [samples + 1], on the device

    @classmethod
    def of(cls, lengths: list[int], device: torch.device) -> "Segments":
        total = torch.zeros(len(lengths) + 1, dtype=torch.int32)
        total[1:] = torch.tensor(lengths, dtype=torch.int32).cumsum(0)
        return cls(tuple(lengths), total.to(device))


def packed_attention(
    module: torch.nn.Module,
    query_BHND: torch.Tensor,
    key_BKND: torch.Tensor,
    value_BKND: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    segments: Segments,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention function for `transformers.AttentionInterface`; `segments` comes through the model's keyword arguments.

    Returns [1, N, H, D]. On GPUs in half precision one variable-length flash kernel, elsewhere sample by sample.
    """
    if attention_mask is not None or softcap is not None or s_aux is not None:
        raise NotImplementedError("packed attention takes no mask, no capped logits and no attention sinks")
    if sliding_window is not None and sliding_window < max(segments.lengths):
        raise NotImplementedError(
            f"packed attention takes no samples longer than the sliding window of {sliding_window} tokens"
        )
    if query_BHND.is_cuda and query_BHND.dtype in (torch.bfloat16, torch.float16):
        return _varlen(query_BHND, key_BKND, value_BKND, segments, scaling), None
    scale = query_BHND.shape[-1] ** -0.5 if scaling is None else scaling
    return _per_segment(query_BHND[0], key_BKND[0], value_BKND[0], segments.lengths, scale)[None], None


def _varlen(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, segments: Segments, scaling: float | None
) -> torch.Tensor:
    query_NHD, key_NKD, value_NKD = (x[0].transpose(0, 1) for x in (query, key, value))
    longest = max(segments.lengths)
    out = varlen_attn(
        query_NHD,
        key_NKD,
        value_NKD,
        segments.cumulative,
        segments.cumulative,
        longest,
        longest,
        scale=scaling,
        window_size=(-1, 0),
        enable_gqa=query.shape[1] != key.shape[1],
    )
    assert isinstance(out, torch.Tensor)
    return out[None]


def _per_segment(
    query_HND: torch.Tensor, key_KND: torch.Tensor, value_KND: torch.Tensor, lengths: tuple[int, ...], scale: float
) -> torch.Tensor:
    """[N, H, D]: sample after sample where blocks are faster, else one call of the library for each run of samples of
    equal length.
    """
    heads, tokens, _ = query_HND.shape
    out_NHD = query_HND.new_empty(tokens, heads, value_KND.shape[-1])
    start = 0
    for length, run in groupby(lengths):
        stop = start + length * len(list(run))
        if suits_blocks(query_HND, length):
            for sample in (slice(first, first + length) for first in range(start, stop, length)):
                attend_in_blocks(query_HND[:, sample], key_KND[:, sample], value_KND[:, sample], scale, out_NHD[sample])
        else:
            q, k, v = (
                x[:, start:stop].unflatten(1, (-1, length)).transpose(0, 1) for x in (query_HND, key_KND, value_KND)
            )
            attended = scaled_dot_product_attention(
                q, k, v, is_causal=True, scale=scale, enable_gqa=q.shape[1] != k.shape[1]
            )
            out_NHD[start:stop] = attended.transpose(1, 2).flatten(0, 1)
        start = stop
    return out_NHD


def why_not_packed(model: PreTrainedModel, max_length: int) -> str | None:
    """Why samples of up to `max_length` tokens cannot lie end to end in this model, or None if they can as far as its
    config tells.
    """
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or [])
    window = getattr(config, "sliding_window", None)
    if not model._supports_attention_backend:
        return "its attention cannot be replaced"
    if others := sorted(kinds - {"full_attention", "sliding_attention"}):
        return f"it has layers of another kind than attention ({', '.join(others)})"
    if getattr(config, "attn_logit_softcapping", None) is not None:
        return "its attention caps its logits"
    if window is not None and window < max_length and (not kinds or "sliding_attention" in kinds):
        return f"its sliding window of {window} tokens is shorter than samples of up to {max_length} tokens"
    return None


AttentionInterface.register(NAME, packed_attention)
