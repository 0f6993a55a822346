"""The same samples through the loops that people write, and through ours. Every loop returns each sample's mean NLL and mean good_ratio.

B samples of a batch, T tokens of the longest, L layers, V vocabulary.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from mygo.collection.forward import score_row, tiled_nll
from mygo.collection.packing import pack_rows

Scores = tuple[Tensor, Tensor]  # mean NLL [S], mean good_ratio over layers and predicted tokens [S]
Loop = Callable[[PreTrainedModel, list[Tensor], int], Scores]


def one_at_a_time(model: PreTrainedModel, samples: list[Tensor], _row: int) -> Scores:
    """(a) One forward pass a sample, full logits."""
    scores = [_padded(model, [sample]) for sample in samples]
    return _join(scores)


def padded_8(model: PreTrainedModel, samples: list[Tensor], _row: int) -> Scores:
    """(b) Batches of 8 in arrival order, full logits: what most tools do."""
    return _join([_padded(model, samples[i : i + 8]) for i in range(0, len(samples), 8)])


def padded_16(model: PreTrainedModel, samples: list[Tensor], _row: int) -> Scores:
    """(b) Batches of 16 in arrival order, full logits."""
    return _join([_padded(model, samples[i : i + 16]) for i in range(0, len(samples), 16)])


def length_sorted(model: PreTrainedModel, samples: list[Tensor], row: int) -> Scores:
    """(c) Batches of equal padded size from the length-sorted samples, NLL in chunks."""
    order = sorted(range(len(samples)), key=lambda i: -len(samples[i]))
    batches: list[list[int]] = []
    for i in order:
        if not batches or (len(batches[-1]) + 1) * len(samples[batches[-1][0]]) > row:
            batches.append([])
        batches[-1].append(i)
    nll, good = _join([_padded(model, [samples[i] for i in batch], chunked=True) for batch in batches])
    back = torch.tensor(order).argsort()
    return nll[back], good[back]


def two_passes(model: PreTrainedModel, samples: list[Tensor], _row: int) -> Scores:
    """(e) The loop that this method was first written with: a padded batch for the NLL, then every sample again for its gates."""
    nll = _join([_padded(model, samples[i : i + 8]) for i in range(0, len(samples), 8)])[0]
    return nll, _join([_padded(model, [sample]) for sample in samples])[1]


@torch.inference_mode()
def packed(model: PreTrainedModel, samples: list[Tensor], row: int) -> Scores:
    """(d) Ours: what `collect` runs, with all the statistics it keeps."""
    nll, good = torch.empty(len(samples)), torch.empty(len(samples))
    answers = [torch.ones(len(sample), dtype=torch.bool) for sample in samples]
    for members in pack_rows([len(sample) for sample in samples], row):
        scored = score_row(model, [samples[i] for i in members], [answers[i] for i in members], gated=True).to_cpu()
        assert scored.gate_mean_SL is not None
        nll[members], good[members] = scored.nll_S, scored.gate_mean_SL.mean(1)
    return nll, good


LOOPS: dict[str, Loop] = {
    "one at a time": one_at_a_time,
    "padded 8": padded_8,
    "padded 16": padded_16,
    "length-sorted": length_sorted,
    "ours (packed)": packed,
    "two passes": two_passes,
}
ATTENTION = {"ours (packed)": "mygo_packed"}  # all others: the library's own


@torch.inference_mode()
def _padded(model: PreTrainedModel, samples: list[Tensor], chunked: bool = False) -> Scores:
    """One padded batch (no mask for a single sample): mean NLL and mean good_ratio of each sample, on the CPU."""
    ids_BT = pad_sequence(samples, batch_first=True).to(model.device)
    lengths_B = torch.tensor([len(sample) for sample in samples], device=model.device)
    valid_BT = torch.arange(ids_BT.shape[1], device=model.device) < lengths_B[:, None]
    mask = valid_BT.long() if len(samples) > 1 else None
    out = model(ids_BT, attention_mask=mask, output_router_logits=True, use_cache=False, logits_to_keep=1 if chunked else 0, output_hidden_states=chunked)
    later_BT = valid_BT[:, 1:]
    if chunked:
        nll_BT = torch.zeros(later_BT.shape, device=model.device)
        hidden = out.hidden_states[-1][:, :-1][later_BT]
        nll_BT[later_BT] = tiled_nll(hidden, ids_BT[:, 1:][later_BT], model.lm_head)
    else:
        targets_BT = torch.cat([ids_BT[:, 1:], ids_BT[:, :1]], dim=1)  # the last column is dropped: cheaper than a copy of the logits without it
        nll_BT = cross_entropy(out.logits.float().flatten(0, 1), targets_BT.flatten(), reduction="none").view_as(ids_BT)[:, :-1]
    good_BT = torch.stack([layer["quality_score"][:, 1:, 0].float().sigmoid() for layer in out.router_logits]).mean(0)
    count_B = lengths_B - 1
    return ((nll_BT * later_BT).sum(1) / count_B).cpu(), ((good_BT * later_BT).sum(1) / count_B).cpu()


def _join(parts: list[Scores]) -> Scores:
    return torch.cat([nll for nll, _ in parts]), torch.cat([good for _, good in parts])
