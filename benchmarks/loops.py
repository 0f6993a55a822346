"""The same samples through the loops that people write, and through ours. Every loop returns each sample's mean NLL and
mean good_ratio.

B samples of a batch, T tokens of the longest, L layers, V vocabulary.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, pad
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from mygo.scoring import attention, nll
from mygo.scoring.cpu.experts import NAME as CPU_EXPERTS
from mygo.scoring.engine import Engine
from mygo.scoring.nll import TILE, tiled_nll

Scores = tuple[Tensor, Tensor]  # mean NLL [S], mean good_ratio over layers and predicted tokens [S]
Loop = Callable[[Engine, list[Tensor]], Scores]


def one_at_a_time(engine: Engine, samples: list[Tensor]) -> Scores:
    """(a) One forward pass a sample, full logits."""
    scores = [_padded(engine.model, [sample]) for sample in samples]
    return _join(scores)


def padded_8(engine: Engine, samples: list[Tensor]) -> Scores:
    """(b) Batches of 8 in arrival order, full logits: what most tools do."""
    return _join([_padded(engine.model, samples[i : i + 8]) for i in range(0, len(samples), 8)])


def padded_16(engine: Engine, samples: list[Tensor]) -> Scores:
    """(b) Batches of 16 in arrival order, full logits."""
    return _join([_padded(engine.model, samples[i : i + 16]) for i in range(0, len(samples), 16)])


def length_sorted(engine: Engine, samples: list[Tensor]) -> Scores:
    """(c) Batches of equal padded size from the length-sorted samples, NLL in chunks."""
    order = sorted(range(len(samples)), key=lambda i: -len(samples[i]))
    batches: list[list[int]] = []
    for i in order:
        if not batches or (len(batches[-1]) + 1) * len(samples[batches[-1][0]]) > engine.row_size.tokens:
            batches.append([])
        batches[-1].append(i)
    nll, good = _join([_padded(engine.model, [samples[i] for i in batch], chunked=True) for batch in batches])
    back = torch.tensor(order).argsort()
    return nll[back], good[back]


def two_passes(engine: Engine, samples: list[Tensor]) -> Scores:
    """(e) The loop that this method was first written with: a padded batch for the NLL, then each of its rows, as
    padded, for the gates.
    """
    batches = [samples[i : i + 8] for i in range(0, len(samples), 8)]
    nll = _join([_padded(engine.model, batch) for batch in batches])[0]
    rows = [(sample, max(map(len, batch))) for batch in batches for sample in batch]
    return nll, _join([_padded(engine.model, [sample], width=width) for sample, width in rows])[1]


def packed(engine: Engine, samples: list[Tensor]) -> Scores:
    """(d) Ours: what `collect` runs, with all the statistics it keeps."""
    nll, good = torch.empty(len(samples)), torch.empty(len(samples))
    for members, row in engine.score(samples, [torch.ones(len(sample), dtype=torch.bool) for sample in samples]):
        assert row.gate_mean_SL is not None
        nll[members], good[members] = row.nll_S, row.gate_mean_SL.mean(1)
    return nll, good


OURS, LIBRARY_PARTS = "ours, packed", "packed, library parts"


@contextmanager
def library_experts(engine: Engine) -> Iterator[None]:
    """The library's grouped matmul for the experts."""
    ours = str(engine.model.config._experts_implementation)
    if ours == CPU_EXPERTS:
        engine.model.set_experts_implementation("grouped_mm")
    try:
        yield
    finally:
        engine.model.set_experts_implementation(ours)


def whole_logits(engine: Engine) -> AbstractContextManager[object]:
    """The logits of 128 tokens over the whole vocabulary at a time instead of tiles."""
    return patch.dict(TILE, {engine.model.device.type: (128, engine.model.config.vocab_size)})


@contextmanager
def padded_rows(engine: Engine) -> Iterator[None]:
    """The rows that models get which cannot be packed."""
    ours = str(engine.model.config._attn_implementation)
    engine.packed = False
    engine.model.set_attn_implementation(engine.attention)
    try:
        yield
    finally:
        engine.packed = True
        engine.model.set_attn_implementation(ours)


def online_sums(engine: Engine) -> AbstractContextManager[object]:
    """The maximum taken off every tile of logits."""
    return patch.object(nll, "plain_logsumexp", lambda tiles: None)


def library_attention(engine: Engine) -> AbstractContextManager[object]:
    """The library's flash kernel for every sample."""
    return patch.object(attention, "suits_blocks", lambda query, length: False)


def library_kernels(engine: Engine) -> AbstractContextManager[object]:
    """The library's rotations, norms and SwiGLU."""
    return patch.multiple(engine.kernels, rotations=[], methods=[])


def without(*changes: Callable[[Engine], AbstractContextManager[object]]) -> Loop:
    """Ours with these changes."""

    def loop(engine: Engine, samples: list[Tensor]) -> Scores:
        with ExitStack() as stack:
            for change in changes:
                stack.enter_context(change(engine))
            return packed(engine, samples)

    return loop


ABLATIONS: dict[str, Loop] = {
    OURS: packed,
    "its experts by the library": without(library_experts),
    "its logits 128 tokens at a time": without(whole_logits),
    "its logits by online sums": without(online_sums),
    "its attention by the library": without(library_attention),
    "its small kernels by the library": without(library_kernels),
    "its rows padded": without(padded_rows),
}
# The library's parts: what a careful user of it writes, and what `ours` is made of without this project's kernels.
LOOPS: dict[str, Loop] = {
    "one at a time": one_at_a_time,
    "padded 8": padded_8,
    "padded 16": padded_16,
    "length-sorted": length_sorted,
    LIBRARY_PARTS: without(library_experts, whole_logits, online_sums, library_attention, library_kernels),
    OURS: packed,
    "two passes": two_passes,
}
OF_ENGINE = {*ABLATIONS, LIBRARY_PARTS}  # run by the engine, which sets attention and experts itself


def run_loop(name: str, engine: Engine, samples: list[Tensor]) -> Scores:
    """One loop over the samples. All but those of the engine use the library's own attention and experts."""
    if name in OF_ENGINE:
        return (ABLATIONS | LOOPS)[name](engine, samples)
    model = engine.model
    ours = str(model.config._attn_implementation), str(model.config._experts_implementation)
    model.set_attn_implementation(engine.attention)
    model.set_experts_implementation("grouped_mm" if ours[1] == CPU_EXPERTS else ours[1])
    try:
        return LOOPS[name](engine, samples)
    finally:
        model.set_attn_implementation(ours[0])
        model.set_experts_implementation(ours[1])


@torch.inference_mode()
def _padded(model: PreTrainedModel, samples: list[Tensor], chunked: bool = False, width: int = 0) -> Scores:
    """One batch, padded to its longest sample or to `width` (no mask without padding): each sample's mean NLL and
    good_ratio, on the CPU.
    """
    ids_BT = pad_sequence(samples, batch_first=True).to(model.device)
    ids_BT = pad(ids_BT, (0, max(0, width - ids_BT.shape[1])))
    lengths_B = torch.tensor([len(sample) for sample in samples], device=model.device)
    valid_BT = torch.arange(ids_BT.shape[1], device=model.device) < lengths_B[:, None]
    mask = None if len(samples) == 1 and not width else valid_BT.long()
    out = model(
        ids_BT,
        attention_mask=mask,
        output_router_logits=True,
        use_cache=False,
        logits_to_keep=1 if chunked else 0,
        output_hidden_states=chunked,
    )
    later_BT = valid_BT[:, 1:]
    if chunked:
        nll_BT = torch.zeros(later_BT.shape, device=model.device)
        hidden = out.hidden_states[-1][:, :-1][later_BT]
        nll_BT[later_BT] = tiled_nll(hidden, ids_BT[:, 1:][later_BT], model.lm_head)
    else:
        targets_BT = torch.cat(
            [ids_BT[:, 1:], ids_BT[:, :1]], dim=1
        )  # the last column is dropped: cheaper than a copy of the logits without it
        nll_BT = cross_entropy(out.logits.float().flatten(0, 1), targets_BT.flatten(), reduction="none").view_as(
            ids_BT
        )[:, :-1]
    good_BT = torch.stack([layer["quality_score"][:, 1:, 0].float().sigmoid() for layer in out.router_logits]).mean(0)
    count_B = lengths_B - 1
    return ((nll_BT * later_BT).sum(1) / count_B).cpu(), ((good_BT * later_BT).sum(1) / count_B).cpu()


def _join(parts: list[Scores]) -> Scores:
    return torch.cat([nll for nll, _ in parts]), torch.cat([good for _, good in parts])
