"""A check before the work: a row of samples must say what the library's own forward says of each alone."""

from collections.abc import Sequence

import torch
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from mygo.errors import UserError
from mygo.scoring.cpu.kernels import CpuKernels
from mygo.scoring.row_statistics import score_row

TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.1, torch.float16: 0.02}  # nats, mean NLL of a sample
SAMPLES, LONGEST = 4, 64  # few tokens: the library's forward holds all logits


@torch.inference_mode()
def compare_with_one_by_one(
    model: PreTrainedModel,
    samples: Sequence[torch.Tensor],
    answers: Sequence[torch.Tensor],
    *,
    gated: bool,
    packed: bool,
    attention: str,
    kernels: CpuKernels,
) -> float:
    """Score the beginnings of a few samples in one row, and each alone with the `attention` that the model came with.

    Returns the largest difference of a mean NLL (nats). Raises `UserError` if it is too large: samples of a row see
    each other, or the model does more with its logits than its output layer says.
    """
    chosen = [i for i, sample in enumerate(samples) if len(sample) >= 2][:SAMPLES]
    if not chosen:
        return 0.0
    cut = [samples[i][:LONGEST] for i in chosen]
    with kernels.in_use():
        together = score_row(model, cut, [answers[i][:LONGEST] for i in chosen], gated=gated, packed=packed).nll_S.cpu()
    current = str(model.config._attn_implementation)
    model.set_attn_implementation(attention)
    alone = torch.stack([_mean_nll(model, sample) for sample in cut])
    model.set_attn_implementation(current)
    difference = float((together - alone).abs().max())
    if not difference <= TOLERANCE[model.dtype]:
        raise UserError(
            f"collect: scoring {type(model).__name__} in rows differs from one-by-one scoring by {difference:.2g} "
            f"nats, more than {TOLERANCE[model.dtype]:g}"
        )
    return difference


def _mean_nll(model: PreTrainedModel, sample: torch.Tensor) -> torch.Tensor:
    ids = sample.to(model.device)
    return cross_entropy(model(input_ids=ids[None], use_cache=False).logits[0, :-1].float(), ids[1:]).cpu()
