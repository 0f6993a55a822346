"""A check before the work: packed scoring must say what one-by-one scoring says."""

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from mygo.collection.attention import NAME
from mygo.collection.forward import RowStatistics, score_row
from mygo.errors import UserError

TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.1, torch.float16: 0.02}  # nats, mean NLL of a sample
SAMPLES, LONGEST = 4, 512


def check_packing(model: PreTrainedModel, samples: Sequence[torch.Tensor], answers: Sequence[torch.Tensor], *, gated: bool) -> float:
    """Score a few samples in one packed row and each alone with the library's own attention.

    Returns the largest difference of a sample's NLL (nats). Raises `UserError` if samples of a row see each other.
    """
    chosen = [i for i, sample in enumerate(samples) if 2 <= len(sample) <= LONGEST][:SAMPLES]
    if not chosen:
        return 0.0
    packed = score_row(model, [samples[i] for i in chosen], [answers[i] for i in chosen], gated=gated)
    model.set_attn_implementation("sdpa")
    alone = [score_row(model, [samples[i]], [answers[i]], gated=gated) for i in chosen]
    model.set_attn_implementation(NAME)
    difference = _largest_difference(packed, alone)
    if not difference <= TOLERANCE[model.dtype]:
        raise UserError(
            f"collect: packed scoring of {type(model).__name__} differs from one-by-one scoring by {difference:.2g} nats, more than {TOLERANCE[model.dtype]:g}"
        )
    return difference


def _largest_difference(packed: RowStatistics, alone: Sequence[RowStatistics]) -> float:
    return float((packed.nll_S - torch.cat([statistics.nll_S for statistics in alone])).abs().max())
