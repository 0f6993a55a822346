"""Reductions over the samples of a row, which lie end to end. S samples, M rows of values."""

import torch


def segment_sum(values: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Sum over each run of `lengths` rows: [sum(lengths), ...] -> [S, ...]."""
    return torch.segment_reduce(values, "sum", lengths=lengths, axis=0, unsafe=True)


def segment_softmax(values_M: torch.Tensor, lengths_S: torch.Tensor) -> torch.Tensor:
    """Softmax within each segment, stable: the segment's maximum is taken off first."""
    top_S = torch.segment_reduce(values_M, "max", lengths=lengths_S, axis=0, unsafe=True)
    exp_M = torch.exp(values_M - spread(top_S, lengths_S, len(values_M)))
    return exp_M / spread(segment_sum(exp_M, lengths_S), lengths_S, len(values_M))


def spread(values_S: torch.Tensor, lengths_S: torch.Tensor, total: int) -> torch.Tensor:
    """One value per segment to one per row. The total is given so that a GPU need not be asked for it."""
    return torch.repeat_interleave(values_S, lengths_S, output_size=total)
