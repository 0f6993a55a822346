"""The forward pass over one row of samples and the reduction of what it says to one line per sample.

S samples of the row, N tokens, M = N - S predicted tokens, T tokens of the longest, L layers (of routers: those that
have one), E experts (trash experts last), D hidden, V vocabulary.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from mygo.models.constraint import regular_mass
from mygo.models.recording import Records
from mygo.scoring.attention import Segments
from mygo.scoring.nll import finish_of, tiled_nll
from mygo.scoring.segments import segment_softmax, segment_sum


@dataclass
class RowStatistics:
    """Statistics of the samples of one row, in float32 unless it says otherwise.

    The predicted tokens of a sample are its tokens 1..T-1: the first has no NLL and is in no mean of NLLs or gates.
    The answer's tokens are those of them that `answers` marks. A mean over no token is NaN: of a sample of one token,
    of the answer where there is none.
    """

    nll_M: Tensor  # nats, of every predicted token
    nll_S: Tensor  # nats, mean over the predicted tokens
    answer_nll_S: Tensor  # nats, mean over the answer's tokens
    gate_LN: Tensor | None  # float16, gate logits of all tokens, the first ones too
    gate_mean_SL: Tensor | None  # mean of good_ratio = sigmoid(gate logit) over the predicted tokens
    gate_weighted_SL: Tensor | None  # sum over them of w_t * good_ratio_t, w = softmax(NLL) over them
    gate_mean_answer_SL: Tensor | None  # the same two over the answer's tokens alone: w sums to 1 over these
    gate_weighted_answer_SL: Tensor | None
    router_probs_S: Tensor | None  # [S, L * E], mean over all tokens, the first one too, of softmax(router logits)
    router_logits_S: Tensor | None  # [S, L * E], mean over all tokens
    trash_mass_S: Tensor | None  # [S, L], mean over all tokens of r, the probability that stays with regular experts
    hidden_mean_SD: Tensor | None  # of gates without routers: last hidden state, mean over all tokens
    # Where a base computes and its hidden states are asked for: means of the last one over all tokens, plain and with
    # weights in proportion to a token's place 1..T.
    base_hidden_mean_SD: Tensor | None = None
    base_hidden_weighted_SD: Tensor | None = None

    def one_by_one(self, lengths: Sequence[int]) -> Iterator["RowStatistics"]:
        """The same of each sample alone, given their lengths."""
        nlls = self.nll_M.split([length - 1 for length in lengths])
        gates = [None] * len(lengths) if self.gate_LN is None else self.gate_LN.split(list(lengths), dim=1)
        for i, (nll, gate) in enumerate(zip(nlls, gates, strict=True)):
            means: dict[str, Any] = {name: x if x is None else x[i : i + 1] for name, x in vars(self).items()}
            yield RowStatistics(**{**means, "nll_M": nll, "gate_LN": gate})

    def of_none(self) -> "RowStatistics":
        """The same of no sample at all: what there is, and how wide."""
        none: dict[str, Any] = {name: x if x is None else x[:0] for name, x in vars(self).items()}
        return RowStatistics(**{**none, "gate_LN": None if self.gate_LN is None else self.gate_LN[:, :0]})

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
    model: PreTrainedModel, samples: Sequence[Tensor], answers: Sequence[Tensor], *, says: Records, packed: bool = True
) -> RowStatistics:
    """Run `model` over a row of samples and reduce on the device.

    `samples` are int64 ids [T], `answers` bool [T], on the CPU. Packed (attention `mygo_packed`) they lie end to end,
    positions restart in every sample, and there is neither cache nor mask; otherwise they are padded to the longest.
    `says`: what is recorded of the model beside its NLL.
    """
    device = model.device
    lengths = [len(sample) for sample in samples]
    lengths_S = _to(torch.tensor(lengths), device)
    ids_N = _to(torch.cat(list(samples)), device)
    positions_N = torch.cat([torch.arange(length) for length in lengths])
    later_M = _to(positions_N.nonzero()[:, 0], device)  # every token but the first; found on the CPU: no GPU waits
    answered, answered_S = _answer_tokens(answers)
    features = (
        _run_packed(model, ids_N, _to(positions_N, device), lengths, says.flags())
        if packed
        else _run_padded(model, samples, says.flags())
    )
    head, finish = cast(nn.Linear, model.get_output_embeddings()), finish_of(model.config.get_text_config())
    nll_M = tiled_nll(features.hidden_ND[later_M - 1], ids_N[later_M], head, finish)
    answer_A, answer_S = _to(answered, device), _to(answered_S, device)
    predicted, answer = Tokens(nll_M, later_M, lengths_S - 1), Tokens(nll_M[answer_A], later_M[answer_A], answer_S)
    gate_LN = features.gate_LN
    good_NL = None if gate_LN is None else torch.sigmoid(gate_LN.T.contiguous())
    return RowStatistics(
        nll_M=nll_M,
        nll_S=predicted.mean(nll_M),
        answer_nll_S=answer.mean(answer.nll_M),
        gate_LN=None if gate_LN is None else gate_LN.half(),
        gate_mean_SL=predicted.gate_mean(good_NL),
        gate_weighted_SL=predicted.gate_weighted(good_NL),
        gate_mean_answer_SL=answer.gate_mean(good_NL),
        gate_weighted_answer_SL=answer.gate_weighted(good_NL),
        **_router_means(features.routers, lengths_S),
        trash_mass_S=_trash_mass(features.routers, says, lengths_S),
        hidden_mean_SD=segment_sum(features.hidden_ND.float(), lengths_S) / lengths_S[:, None] if says.hidden else None,
        **(_hidden_means(features.hidden_ND.float(), positions_N, lengths_S) if says.base_hidden else {}),
    )


def _answer_tokens(answers: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Which of the predicted tokens [M] are an answer's, and how many a sample has [S]. On the CPU, so that no GPU
    waits.
    """
    later = [answer[1:] for answer in answers]
    return torch.cat(later).nonzero()[:, 0], torch.tensor([int(answer.sum()) for answer in later])


@dataclass
class Tokens:
    """Some of the predicted tokens, sample after sample: over them means are taken. A sample may have none of them."""

    nll_M: Tensor
    place_M: Tensor  # in the row
    count_S: Tensor  # of each sample

    def mean(self, values_M: Tensor) -> Tensor:
        """[M, ...] -> [S, ...], NaN for no tokens."""
        count_S = self.count_S.reshape(-1, *[1] * (values_M.dim() - 1))
        return segment_sum(values_M, self.count_S) / count_S

    def gate_mean(self, good_NL: Tensor | None) -> Tensor | None:
        """Mean of good_ratio: every token alike (alpha 0)."""
        return None if good_NL is None else self.mean(good_NL[self.place_M])

    def gate_weighted(self, good_NL: Tensor | None) -> Tensor | None:
        """Mean of good_ratio weighted with softmax(NLL) (alpha 1)."""
        if good_NL is None:
            return None
        weight_M1 = segment_softmax(self.nll_M, self.count_S)[:, None]
        weighted_SL = segment_sum(good_NL[self.place_M] * weight_M1, self.count_S)
        return weighted_SL.where(self.count_S[:, None] > 0, torch.nan)


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
    return Features(out.last_hidden_state[0], _stack(out), list(out.get("router_logits") or []))


def _run_padded(model: PreTrainedModel, samples: Sequence[Tensor], flags: dict[str, bool]) -> Features:
    """For models that cannot be packed: right-padded with a mask, and the padding dropped from what comes out."""
    lengths_S = torch.tensor([len(sample) for sample in samples])
    ids_ST = pad_sequence(list(samples), batch_first=True)
    valid_ST = torch.arange(ids_ST.shape[1]) < lengths_S[:, None]
    kept_N = _to(valid_ST.flatten().nonzero()[:, 0], model.device)
    mask = _to(valid_ST.long(), model.device) if len(samples) > 1 else None
    out = model.get_decoder()(input_ids=_to(ids_ST, model.device), attention_mask=mask, use_cache=False, **flags)
    gate_LN = _stack(out)
    return Features(
        out.last_hidden_state.flatten(0, 1)[kept_N],
        None if gate_LN is None else gate_LN[:, kept_N],
        [layer[kept_N] for layer in out.get("router_logits") or []],
    )


def _stack(out: Any) -> Tensor | None:
    """The gates' logits of all layers in float32 [L, S * T], where they were asked for."""
    scores = out.get("gate_scores")
    return torch.stack([score.flatten().float() for score in scores]) if scores else None


def _hidden_means(hidden_ND: Tensor, positions_N: Tensor, lengths_S: Tensor) -> dict[str, Tensor]:
    """Means over the T tokens of each sample [S, D]: plain, and h = sum_t t h_t / sum_t t with t = 1..T.

    The second is the embedding of RDS+ (Ivison et al. 2025, "Large-Scale Data Selection for Instruction Tuning", arXiv
    2503.01807, after SGPT, Muennighoff 2022, arXiv 2202.08904): later tokens of a causal model have seen more. As in
    the published code the hidden state is the last one, behind the final norm, and no token is left out.
    `positions_N`: from 0, on the CPU.
    """
    place_N1 = _to((positions_N + 1).float(), hidden_ND.device)[:, None]
    total_S1 = (lengths_S * (lengths_S + 1) / 2)[:, None]
    return {
        "base_hidden_mean_SD": segment_sum(hidden_ND, lengths_S) / lengths_S[:, None],
        "base_hidden_weighted_SD": segment_sum(hidden_ND * place_N1, lengths_S) / total_S1,
    }


def _router_means(routers: list[Tensor], lengths_S: Tensor) -> dict[str, Tensor | None]:
    """Means over all tokens of the router's logits and of its softmax, layer by layer, flattened to [S, L * E]."""
    if not routers:
        return {"router_probs_S": None, "router_logits_S": None}
    logits = [segment_sum(layer.float(), lengths_S) / lengths_S[:, None] for layer in routers]
    probs = [segment_sum(torch.softmax(layer.float(), dim=-1), lengths_S) / lengths_S[:, None] for layer in routers]
    return {"router_probs_S": torch.cat(probs, dim=1), "router_logits_S": torch.cat(logits, dim=1)}


def _trash_mass(routers: list[Tensor], says: Records, lengths_S: Tensor) -> Tensor | None:
    """Means over all tokens of r, layer by layer [S, L], where the routers have trash experts."""
    if not says.trash_experts:
        return None
    masses_NL = torch.stack(
        [regular_mass(layer, says.trash_experts, says.experts_per_token) for layer in routers], dim=1
    )
    return segment_sum(masses_NL, lengths_S) / lengths_S[:, None]
