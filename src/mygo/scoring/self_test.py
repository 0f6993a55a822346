"""A check before the work: rows must say what the library's own forward says of each sample alone, in all that is
recorded.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from mygo.errors import UserError
from mygo.models.recording import Records
from mygo.scoring.nll import finish_of, tiled_nll
from mygo.scoring.one_by_one import Alone, Expected, expected_statistics, score_alone
from mygo.scoring.row_statistics import RowStatistics

Text = tuple[Tensor, Tensor]  # ids and which of them are an answer's
FILLERS, FILLER = 4, 128  # so many samples of the pool, cut to so many tokens, beside the long one


@dataclass(frozen=True)
class Bound:
    """How far a value may be off: `mean` on average over a sample's tokens, and `jump` at one of them.

    A jump is what a token makes whose router was within rounding of choosing another expert. Of n tokens:
    mean + jump / n.
    """

    mean: float
    jump: float

    def over(self, tokens: float) -> float:
        return self.mean + self.jump / tokens


# What two right ways of computing the same may differ by, in NLL (nats) and, of gates, routers and hidden states, as a
# share of their mean size. Float32: sums in another order are 1e-5 off in NLL, gate logits are kept as float16 (half a
# thousandth). Of bfloat16's 8 bits of precision (float16: 11), logits of 16 to 32 keep steps of 1/8 (1/64) and hidden
# states lose 1/256 (1/2048) a layer: over some tens of layers a few per cent. The faults that this looks for are of
# another size: a sign turned is 2 of the size off, another layer's gate about 1.4, a token that sees the wrong ones
# tenths of a nat or more.
NATS = {
    torch.float32: Bound(2e-4, 0.05),
    torch.bfloat16: Bound(0.1, 1.0),
    torch.float16: Bound(0.02, 0.3),
}
SHARE = {
    torch.float32: Bound(2e-3, 0.05),
    torch.bfloat16: Bound(0.1, 0.5),
    torch.float16: Bound(0.03, 0.3),
}
# Logits in tiles, of one and the same hidden state: what differs is the last bit of a logit.
TILES = {
    torch.float32: Bound(1e-4, 1e-3),
    torch.bfloat16: Bound(0.02, 0.25),
    torch.float16: Bound(0.003, 0.03),
}


def texts_to_check(samples: Sequence[Tensor], answers: Sequence[Tensor], longest: int) -> list[Text]:
    """One text of `longest` tokens (the longest sample, cut or repeated), then some of the pool's, two of equal length,
    and texts of two tokens and of one. Empty if no sample has a token.
    """
    order = sorted((i for i, sample in enumerate(samples) if len(sample)), key=lambda i: -len(samples[i]))
    if not order:
        return []
    pool = [(samples[i], answers[i]) for i in order]
    spread = [pool[i * (len(pool) - 1) // max(1, FILLERS - 1)] for i in range(min(FILLERS, len(pool)))]
    fillers = [_cut(text, min(FILLER, longest)) for text in spread]
    first, second = fillers[0], fillers[1 % len(fillers)]
    equal = min(len(first[0]), len(second[0]))
    short = [_cut(first, equal), _cut(second, equal), _cut(first, 2), _cut(first, 1)]
    times = -(-longest // len(pool[0][0]))
    whole = pool[0][0].repeat(times), pool[0][1].repeat(times)
    return [_cut(whole, longest), *fillers, *short]


def _cut(text: Text, tokens: int) -> Text:
    return text[0][:tokens], text[1][:tokens]


def longest_position(model: PreTrainedModel) -> int | None:
    """How many tokens the model has places for, if it says so."""
    return getattr(model.config.get_text_config(), "max_position_embeddings", None)


@dataclass(frozen=True)
class Difference:
    """Of one statistic of one sample: by how much it is off, and by how much it may be."""

    name: str
    tokens: int
    off: float
    allowed: float

    @property
    def share(self) -> float:
        """Of what is allowed. What is not a number is off by more than anything."""
        return self.off / self.allowed if self.off == self.off else float("inf")


@torch.inference_mode()
def check_one_by_one(
    model: PreTrainedModel,
    texts: Sequence[Text],
    score: Callable[[list[Tensor], list[Tensor]], Sequence[tuple[list[int], RowStatistics]]],
    library: Callable[[], AbstractContextManager[None]],
    says: Records,
) -> float:
    """Compare what `score` says of the texts in rows, which should be what `says` names, with the model's own forward
    of each, within `library`.

    Returns the largest difference as a share of what is allowed. Raises `UserError` if that is more than 1.
    """
    ids, answers = [text[0] for text in texts], [text[1] for text in texts]
    with positions_heard(model) as restarted:
        rows = score(ids, answers)
    if not all(restarted):
        raise UserError(f"scoring {type(model).__name__} in rows does not restart the positions in every sample")
    worst = Difference("", 0, 0.0, 1.0)
    for members, row in rows:
        for i, found in zip(members, row.one_by_one([len(ids[i]) for i in members]), strict=True):
            with library():
                alone = score_alone(model, ids[i], says)
            off = _differences(model, found, alone, expected_statistics(alone, answers[i], says))
            worst = max(worst, *off, key=lambda difference: difference.share)
    if worst.share > 1:
        raise UserError(
            f"scoring {type(model).__name__} in rows differs from one-by-one scoring: {worst.name} of a sample of "
            f"{worst.tokens:,} tokens by {worst.off:.2g}, more than {worst.allowed:.2g}"
        )
    return worst.share


def _differences(
    model: PreTrainedModel, found: RowStatistics, alone: Alone, expected: dict[str, Expected]
) -> Iterator[Difference]:
    size = len(alone.hidden_TD)
    for name in vars(found):
        value = getattr(found, name)
        if (value is not None) is not (name in expected):
            yield Difference(name, size, float("inf"), 1.0)  # recorded here, not there
        elif value is not None:
            bounds = NATS if "nll" in name else SHARE
            yield _difference(name, value, expected[name], bounds[model.dtype], size)
    in_tiles = tiled_nll(alone.hidden_TD, alone.spread_T, _head(model), finish_of(model.config.get_text_config()))
    nats = Expected(alone.spread_nll_T[None], torch.ones(1, device=in_tiles.device), size)
    yield _difference("NLL from tiles of logits", in_tiles, nats, TILES[model.dtype], size)


def _difference(name: str, found: Tensor, expected: Expected, bound: Bound, size: int) -> Difference:
    values = found.to(expected.values.device).float().reshape(expected.values.shape)
    if not expected.tokens:  # nothing to take a mean of: both must say so
        return Difference(name, size, 0.0 if bool(values.isnan().all()) else float("inf"), 1.0)
    off = ((values - expected.values).abs().mean(1) / expected.scale).max()
    return Difference(name, size, float(off), bound.over(expected.tokens))


def _head(model: PreTrainedModel) -> nn.Linear:
    head = model.get_output_embeddings()
    assert isinstance(head, nn.Linear)
    return head


@contextmanager
def positions_heard(model: PreTrainedModel) -> Iterator[list[bool]]:
    """Within the block, of every packed row: whether the positions that the layers are given restart in every sample.

    Rotary attention sees distances alone, so a shift of a whole sample would not show in what it computes, but for
    positions beyond those that a model was trained on.
    """
    restarted: list[bool] = []

    def hear(module: nn.Module, _args: Any, kwargs: dict[str, Any]) -> None:
        if "segments" in kwargs and kwargs.get("position_ids") is not None:
            wanted = torch.cat([torch.arange(length) for length in kwargs["segments"].lengths])
            restarted.append(torch.equal(kwargs["position_ids"].reshape(-1).cpu(), wanted))

    inside = list(model.get_decoder().modules())[1:]  # not the decoder itself, which might not hand them on
    hooks = [module.register_forward_pre_hook(hear, with_kwargs=True) for module in inside]
    try:
        yield restarted
    finally:
        for hook in hooks:
            hook.remove()
