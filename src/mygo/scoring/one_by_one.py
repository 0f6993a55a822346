"""What a model says of one sample by its own forward, and the statistics of that by plain formulas: what `score_row` is
held against.

T tokens of the sample, L layers (of routers: those that have one), E experts (trash experts last), D hidden, V
vocabulary.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear
from transformers import PreTrainedModel

from mygo.models.gate import gated_blocks
from mygo.models.recording import Records
from mygo.models.routers import router_map, routers

LOGITS = 2**29  # of one forward at most: 2 GiB in float32
LOGITS_AT_ONCE = 2**26  # made float32 for their cross entropy
LEAST_SCALE = 1e-3  # gates that say nothing at all are not held to a share of nothing


@dataclass(frozen=True)
class Alone:
    """What was heard of one sample, in float32.

    Gates and routers are computed anew from what their modules were given and their weights, block by block: neither by
    their own forward nor by what records it.
    """

    nll_T: Tensor  # nats, of tokens 1..T-1
    hidden_TD: Tensor  # what the output layer was given, in the model's number format
    spread_T: Tensor  # targets from all over the vocabulary, its last entry included
    spread_nll_T: Tensor  # nats, of these
    gates_LT: Tensor | None
    routers_LTE: Tensor | None


@dataclass(frozen=True)
class Expected:
    """A statistic of one sample. `values` [rows, columns], each row of a `scale`; `tokens` had a part in each value."""

    values: Tensor
    scale: Tensor  # [rows]
    tokens: float


@torch.inference_mode()
def score_alone(model: PreTrainedModel, ids_T: Tensor, says: Records) -> Alone:
    """One forward without cache, mask, positions or neighbours; more than one only where all logits would not fit."""
    head = cast(nn.Module, model.get_output_embeddings())
    gates = [block.get_submodule("quality_gate") for block in gated_blocks(model).values()] if says.gates else []
    routed = list(routers(model).values()) if says.routers else []
    ids_T = ids_T.to(model.device)
    spread_T = torch.linspace(0, model.config.get_text_config().vocab_size - 1, len(ids_T)).round().long().to(ids_T)
    targets_2T = torch.stack([ids_T.roll(-1), spread_T])
    with inputs_of([head, *gates, *routed]) as heard:
        nll_2T = torch.cat([_nll(logits, targets) for logits, targets in _logits(model, ids_T, targets_2T)], dim=1)
    return Alone(
        nll_2T[0, :-1],
        torch.cat([x.reshape(-1, x.shape[-1]) for x in heard[head]]),
        spread_T,
        nll_2T[1],
        torch.stack([_outputs(gate, heard, gate.get_parameter("weight"))[:, 0] for gate in gates]) if gates else None,
        torch.stack([_outputs(router, heard, *router_map(router)) for router in routed]) if routed else None,
    )


@contextmanager
def inputs_of(modules: Sequence[nn.Module]) -> Iterator[dict[nn.Module, list[Tensor]]]:
    """Within the block, what each of the modules is given at each call."""
    heard: dict[nn.Module, list[Tensor]] = {module: [] for module in modules}
    hooks = [
        module.register_forward_pre_hook(lambda module, inputs: heard[module].append(inputs[0])) for module in modules
    ]
    try:
        yield heard
    finally:
        for hook in hooks:
            hook.remove()


def _logits(model: PreTrainedModel, ids_T: Tensor, targets_2T: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Logits of the library and their targets, all at once or piece by piece."""
    places = torch.arange(len(ids_T), device=ids_T.device)
    pieces = places.split(max(1, LOGITS // model.config.get_text_config().vocab_size))
    for piece in pieces:
        keep = {"logits_to_keep": piece} if len(pieces) > 1 else {}
        yield model(input_ids=ids_T[None], use_cache=False, **keep).logits[0], targets_2T[:, piece]


def _nll(logits_TV: Tensor, targets_2T: Tensor) -> Tensor:
    """Cross entropy in float32 of each of the targets [2, T]."""
    rows = max(1, LOGITS_AT_ONCE // logits_TV.shape[1])
    parts = [
        torch.stack([cross_entropy(logits.float(), target, reduction="none") for target in targets])
        for logits, targets in zip(logits_TV.split(rows), targets_2T.split(rows, dim=1), strict=True)
    ]
    return torch.cat(parts, dim=1)


def _outputs(
    module: nn.Module, heard: dict[nn.Module, list[Tensor]], weight: Tensor, bias: Tensor | None = None
) -> Tensor:
    """[T, outputs] in float32 of a linear map, as gates and routers are."""
    x = heard[module][-1]
    return linear(x.reshape(-1, x.shape[-1]).float(), weight.float(), None if bias is None else bias.float())


def expected_statistics(alone: Alone, answer_T: Tensor, says: Records) -> dict[str, Expected]:
    """By the names of `RowStatistics`, those that there are."""
    answer_T = answer_T[1:].to(alone.nll_T.device)
    everything_T = torch.ones_like(answer_T)
    means = {"nll_S": everything_T, "answer_nll_S": answer_T}
    found = {"nll_M": _in_nats(alone.nll_T[None], len(alone.nll_T))} | {
        name: _in_nats(alone.nll_T[kept].mean()[None, None], int(kept.sum())) for name, kept in means.items()
    }
    if alone.gates_LT is not None:
        found["gate_LN"] = Expected(alone.gates_LT, _size(alone.gates_LT), alone.gates_LT.shape[1])
        for name, kept in (("", everything_T), ("_answer", answer_T)):
            found |= _good_ratios(name, alone.gates_LT[:, 1:], alone.nll_T, kept)
    if alone.routers_LTE is not None:
        uniform = 1 / alone.routers_LTE.shape[2]
        probs_LTE = torch.softmax(alone.routers_LTE, dim=2)
        tokens = probs_LTE.shape[1]
        found["router_logits_S"] = Expected(alone.routers_LTE.mean(1), _size(alone.routers_LTE), tokens)
        found["router_probs_S"] = Expected(probs_LTE.mean(1), _size(probs_LTE - uniform), tokens)
        if says.trash_experts:
            mass_LT = _regular_mass(probs_LTE, says)
            found["trash_mass_S"] = Expected(mass_LT.mean(1, keepdim=True), _size(mass_LT), tokens)
    if says.hidden:
        hidden_TD = alone.hidden_TD.float()
        found["hidden_mean_SD"] = Expected(hidden_TD.mean(0)[None], _size(hidden_TD[None]), len(hidden_TD))
    return found | (_base_hidden(alone.hidden_TD.float()) if says.base_hidden else {})


def _base_hidden(hidden_TD: Tensor) -> dict[str, Expected]:
    """The plain mean, and the one in which token t of 1..T weighs t."""
    place_T = torch.arange(1, len(hidden_TD) + 1, device=hidden_TD.device, dtype=torch.float64)
    weight_T = place_T / place_T.sum()
    scale, weighted_D = _size(hidden_TD[None]), (weight_T @ hidden_TD.double()).float()
    return {
        "base_hidden_mean_SD": Expected(hidden_TD.mean(0)[None], scale, len(hidden_TD)),
        "base_hidden_weighted_SD": Expected(weighted_D[None], scale, 1 / float((weight_T**2).sum())),
    }


def _regular_mass(probs_LTE: Tensor, says: Records) -> Tensor:
    """r of each layer and token: the largest probabilities among the experts before the trash, as many as chosen."""
    regular = probs_LTE[..., : probs_LTE.shape[-1] - says.trash_experts]
    return regular.sort(dim=-1, descending=True).values[..., : says.experts_per_token].sum(-1)


def _good_ratios(name: str, gates_LT: Tensor, nll_T: Tensor, kept_T: Tensor) -> dict[str, Expected]:
    """Plain and weighted means of good_ratio over the tokens that are kept. Scaled by how far tokens are from 1/2."""
    good_LT = torch.sigmoid(gates_LT[:, kept_T])
    weight_T = torch.softmax(nll_T[kept_T], dim=0)
    scale_L, tokens = _size(good_LT - 0.5), int(kept_T.sum())
    weighted_L1 = (good_LT * weight_T).sum(1, keepdim=True) / weight_T.sum()
    # As many tokens of equal weight would have as much to say (Kish's effective sample size).
    effective = 1 / float((weight_T**2).sum()) if tokens else 0
    return {
        f"gate_mean{name}_SL": Expected(good_LT.mean(1, keepdim=True), scale_L, tokens),
        f"gate_weighted{name}_SL": Expected(weighted_L1, scale_L, effective),
    }


def _in_nats(values: Tensor, tokens: int) -> Expected:
    return Expected(values, torch.ones(1, device=values.device), tokens)


def _size(values: Tensor) -> Tensor:
    """Mean size of the values of each row [rows]."""
    return values.abs().flatten(1).mean(1).clamp(min=LEAST_SCALE)
