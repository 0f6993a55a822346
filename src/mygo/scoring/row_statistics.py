"""The forward pass over one row of samples and the reduction of what it says to one line per sample.

S samples of the row, N tokens, M = N - S predicted tokens, T tokens of the longest, L layers, E experts, D hidden, V
vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from mygo.scoring.attention import Segments
from mygo.scoring.nll import tiled_nll
from mygo.scoring.segments import segment_softmax, segment_sum


@dataclass
class RowStatistics:
    """Statistics of the samples of one row. Samples of one token have no predicted token: their means are NaN."""

    nll_M: Tensor  # float32, nats, tokens 1..T-1 of every sample
    nll_S: Tensor  # float32 means
    answer_nll_S: Tensor  # float32 means over the assistant's tokens, NaN without any
    gate_LN: Tensor | None  # float16 gate logits of all tokens
    gate_mean_SL: Tensor | None
    gate_weighted_SL: Tensor | None
    router_probs_S: Tensor | None  # [S, L * E]
    router_logits_S: Tensor | None  # [S, L * E]
    hidden_mean_SD: Tensor | None  # dense families only

    def start_copy(self) -> "RowStatistics":
        """The same on the CPU. From a GPU the copy is only begun, behind the row's own work: see `Engine`."""
        tensors: dict[str, Any] = {
            name: x if x is None or x.device.type == "cpu" else _to_pinned(x) for name, x in vars(self).items()
        }
        return RowStatistics(**tensors)


def _to_pinned(x: Tensor) -> Tensor:
    return torch.empty_like(x, device="cpu", pin_memory=True).copy_(x, non_blocking=True)


def _to(x: Tensor, device: torch.device) -> Tensor:
    """To the device without waiting for the work that it has queued."""
    return x if device.type == "cpu" else x.pin_memory().to(device, non_blocking=True)


@torch.inference_mode()
def score_row(
    model: PreTrainedModel, samples: Sequence[Tensor], answers: Sequence[Tensor], *, gated: bool, packed: bool = True
) -> RowStatistics:
    """Run `model` over a row of samples and reduce on the device.

    `samples` are int64 ids [T], `answers` bool [T], on the CPU. Packed (attention `mygo_packed`) they lie end to end,
    positions restart in every sample, and there is neither cache nor mask; otherwise they are padded to the longest.
    """
    device = model.device
    lengths = [len(sample) for sample in samples]
    lengths_S = _to(torch.tensor(lengths), device)
    ids_N = _to(torch.cat(list(samples)), device)
    positions_N = torch.cat([torch.arange(length) for length in lengths])
    later = positions_N.nonzero()[
        :, 0
    ]  # every token but the first of each sample; found on the CPU, so that no GPU waits
    later_M = _to(later, device)
    later_S = lengths_S - 1
    flags = {"output_gate_scores": True, "output_router_logits": True} if gated else {}
    features = (
        _run_packed(model, ids_N, _to(positions_N, device), lengths, flags)
        if packed
        else _run_padded(model, samples, flags)
    )
    nll_M = tiled_nll(features.hidden_ND[later_M - 1], ids_N[later_M], cast(nn.Linear, model.get_output_embeddings()))
    answer_M = _to(torch.cat(list(answers))[later].float(), device)
    gate_LN = features.gate_LN
    return RowStatistics(
        nll_M=nll_M,
        nll_S=segment_sum(nll_M, later_S) / later_S,
        answer_nll_S=segment_sum(nll_M * answer_M, later_S) / segment_sum(answer_M, later_S),
        gate_LN=None if gate_LN is None else gate_LN.half(),
        **_gate_means(gate_LN, nll_M, later_M, later_S),
        **_router_means(features.routers, lengths_S),
        hidden_mean_SD=segment_sum(features.hidden_ND.float(), lengths_S) / lengths_S[:, None]
        if gated and not features.routers
        else None,
    )


@dataclass
class Features:
    """What the model says of the tokens of a row, sample after sample, without padding."""

    hidden_ND: Tensor
    gate_LN: Tensor | None  # float32
    routers: list[Tensor]  # a layer each, [N, E]


def _run_packed(
    model: PreTrainedModel, ids_N: Tensor, positions_N: Tensor, lengths: list[int], flags: dict[str, bool]
) -> Features:
    segments = Segments.of(lengths, model.device)
    out = model.get_decoder()(
        input_ids=ids_N[None],
        position_ids=positions_N[None],
        attention_mask=None,
        use_cache=False,
        segments=segments,
        **flags,
    )
    return Features(out.last_hidden_state[0], _stack(out, flags), list(out.get("router_logits") or []) if flags else [])


def _run_padded(model: PreTrainedModel, samples: Sequence[Tensor], flags: dict[str, bool]) -> Features:
    """For models that cannot be packed: right-padded with a mask, and the padding dropped from what comes out."""
    lengths_S = torch.tensor([len(sample) for sample in samples])
    ids_ST = pad_sequence(list(samples), batch_first=True)
    valid_ST = torch.arange(ids_ST.shape[1]) < lengths_S[:, None]
    kept_N = _to(valid_ST.flatten().nonzero()[:, 0], model.device)
    mask = _to(valid_ST.long(), model.device) if len(samples) > 1 else None
    out = model.get_decoder()(input_ids=_to(ids_ST, model.device), attention_mask=mask, use_cache=False, **flags)
    gate_LN = _stack(out, flags)
    return Features(
        out.last_hidden_state.flatten(0, 1)[kept_N],
        None if gate_LN is None else gate_LN[:, kept_N],
        [layer[kept_N] for layer in out.get("router_logits") or []] if flags else [],
    )


def _stack(out: Any, flags: dict[str, bool]) -> Tensor | None:
    """The gates' logits of all layers in float32 [L, S * T]."""
    return torch.stack([score.flatten().float() for score in out["gate_scores"]]) if flags else None


def _gate_means(gate_LN: Tensor | None, nll_M: Tensor, later_M: Tensor, later_S: Tensor) -> dict[str, Tensor | None]:
    """Means of good_ratio over tokens 1..T-1: plain (alpha 0) and weighted with softmax(NLL) (alpha 1)."""
    if gate_LN is None:
        return {"gate_mean_SL": None, "gate_weighted_SL": None}
    good_ML = torch.sigmoid(gate_LN[:, later_M].T.contiguous())
    weight_M1 = segment_softmax(nll_M, later_S)[:, None]
    weighted_SL = segment_sum(good_ML * weight_M1, later_S).where(later_S[:, None] > 0, torch.nan)
    return {"gate_mean_SL": segment_sum(good_ML, later_S) / later_S[:, None], "gate_weighted_SL": weighted_SL}


def _router_means(routers: list[Tensor], lengths_S: Tensor) -> dict[str, Tensor | None]:
    """Means over all tokens of the router's logits and of its softmax, layer by layer, flattened to [S, L * E]."""
    if not routers:
        return {"router_probs_S": None, "router_logits_S": None}
    logits = [segment_sum(layer.float(), lengths_S) / lengths_S[:, None] for layer in routers]
    probs = [segment_sum(torch.softmax(layer.float(), dim=-1), lengths_S) / lengths_S[:, None] for layer in routers]
    return {"router_probs_S": torch.cat(probs, dim=1), "router_logits_S": torch.cat(logits, dim=1)}
