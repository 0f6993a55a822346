"""The forward pass over one packed row and the reduction of what it says to one line per sample.

N tokens of the row, S samples, M = N - S predicted tokens, L layers, E experts, D hidden, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn
from transformers import PreTrainedModel

from mygo.collection.attention import Segments

LOGIT_BYTES = {"cpu": 16 * 2**20, "cuda": 512 * 2**20}  # what a chunk of float32 logits may take: memory does not grow with V x N


@dataclass
class RowStatistics:
    """Statistics of the samples of one row. Samples of one token have no predicted token: their means are NaN."""

    nll_M: torch.Tensor  # float32, nats, tokens 1..T-1 of every sample
    nll_S: torch.Tensor  # float32 means
    answer_nll_S: torch.Tensor  # float32 means over the assistant's tokens, NaN without any
    gate_LN: torch.Tensor | None  # float16 gate logits of all tokens
    gate_mean_SL: torch.Tensor | None
    gate_weighted_SL: torch.Tensor | None
    router_probs_S: torch.Tensor | None  # [S, L * E]
    router_logits_S: torch.Tensor | None  # [S, L * E]
    hidden_mean_SD: torch.Tensor | None  # dense families only

    def to_cpu(self) -> "RowStatistics":
        tensors: dict[str, Any] = {name: x if x is None else x.cpu() for name, x in vars(self).items()}
        return RowStatistics(**tensors)


def chunked_nll(hidden_MD: torch.Tensor, targets_M: torch.Tensor, head: nn.Module, vocabulary: int) -> torch.Tensor:
    """Negative log-likelihood of each target in float32 [M], holding the logits of one chunk of rows at a time."""
    rows = max(16, LOGIT_BYTES.get(hidden_MD.device.type, 16 * 2**20) // (4 * vocabulary))
    parts = []
    for hidden, target in zip(hidden_MD.split(rows), targets_M.split(rows), strict=True):
        logits = head(hidden).float()
        parts.append(torch.logsumexp(logits, dim=-1) - logits.gather(-1, target[:, None])[:, 0])
    return torch.cat(parts) if parts else hidden_MD.new_zeros(0, dtype=torch.float32)


def segment_sum(values: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Sum over each run of `lengths` rows: [sum(lengths), ...] -> [S, ...]."""
    return torch.segment_reduce(values, "sum", lengths=lengths, axis=0, unsafe=True)


def segment_softmax(values_M: torch.Tensor, lengths_S: torch.Tensor) -> torch.Tensor:
    """Softmax within each segment, stable: the segment's maximum is taken off first."""
    top_S = torch.segment_reduce(values_M, "max", lengths=lengths_S, axis=0, unsafe=True)
    exp_M = torch.exp(values_M - _spread(top_S, lengths_S, len(values_M)))
    return exp_M / _spread(segment_sum(exp_M, lengths_S), lengths_S, len(values_M))


def _spread(values_S: torch.Tensor, lengths_S: torch.Tensor, total: int) -> torch.Tensor:
    """One value per segment to one per row. The total is given so that a GPU need not be asked for it."""
    return torch.repeat_interleave(values_S, lengths_S, output_size=total)


@torch.inference_mode()
def score_row(model: PreTrainedModel, samples: Sequence[torch.Tensor], answers: Sequence[torch.Tensor], *, gated: bool) -> RowStatistics:
    """Run `model` (attention `mygo_packed`) over samples laid end to end and reduce on the device.

    `samples` are int64 ids [T], `answers` bool [T], on the CPU. Positions restart in every sample; no cache, no mask.
    """
    device = model.device
    lengths = [len(sample) for sample in samples]
    lengths_S = torch.tensor(lengths, device=device)
    ids_N = torch.cat(list(samples)).to(device)
    positions_N = torch.cat([torch.arange(length) for length in lengths])
    later_M = positions_N.nonzero()[:, 0].to(device)  # every token but the first of each sample; found on the CPU, so that no GPU waits
    later_S = lengths_S - 1
    flags = {"output_gate_scores": True, "output_router_logits": True} if gated else {}
    out = model.get_decoder()(
        input_ids=ids_N[None],
        position_ids=positions_N.to(device)[None],
        attention_mask=None,
        use_cache=False,
        segments=Segments.of(lengths, device),
        **flags,
    )
    hidden_ND = out.last_hidden_state[0]
    nll_M = chunked_nll(hidden_ND[later_M - 1], ids_N[later_M], cast(nn.Module, model.get_output_embeddings()), model.config.vocab_size)
    answer_M = torch.cat(list(answers)).to(device)[later_M].float()
    scores = out.get("gate_scores") if gated else None
    routers = out.get("router_logits") if gated else None
    gate_LN = None if scores is None else torch.stack([score[0, :, 0].float() for score in scores])
    return RowStatistics(
        nll_M=nll_M,
        nll_S=segment_sum(nll_M, later_S) / later_S,
        answer_nll_S=segment_sum(nll_M * answer_M, later_S) / segment_sum(answer_M, later_S),
        gate_LN=None if gate_LN is None else gate_LN.half(),
        **_gate_means(gate_LN, nll_M, later_M, later_S),
        **_router_means(routers, lengths_S),
        hidden_mean_SD=segment_sum(hidden_ND.float(), lengths_S) / lengths_S[:, None] if gated and not routers else None,
    )


def _gate_means(gate_LN: torch.Tensor | None, nll_M: torch.Tensor, later_M: torch.Tensor, later_S: torch.Tensor) -> dict[str, torch.Tensor | None]:
    """Means of good_ratio over tokens 1..T-1: plain (alpha 0) and weighted with softmax(NLL) (alpha 1)."""
    if gate_LN is None:
        return {"gate_mean_SL": None, "gate_weighted_SL": None}
    good_ML = torch.sigmoid(gate_LN[:, later_M].T.contiguous())
    weight_M1 = segment_softmax(nll_M, later_S)[:, None]
    weighted_SL = segment_sum(good_ML * weight_M1, later_S).where(later_S[:, None] > 0, torch.nan)
    return {"gate_mean_SL": segment_sum(good_ML, later_S) / later_S[:, None], "gate_weighted_SL": weighted_SL}


def _router_means(routers: tuple[torch.Tensor, ...] | None, lengths_S: torch.Tensor) -> dict[str, torch.Tensor | None]:
    """Means over all tokens of the router's logits and of its softmax, layer by layer, flattened to [S, L * E]."""
    if not routers:
        return {"router_probs_S": None, "router_logits_S": None}
    logits = [segment_sum(layer.float(), lengths_S) / lengths_S[:, None] for layer in routers]
    probs = [segment_sum(torch.softmax(layer.float(), dim=-1), lengths_S) / lengths_S[:, None] for layer in routers]
    return {"router_probs_S": torch.cat(probs, dim=1), "router_logits_S": torch.cat(logits, dim=1)}
