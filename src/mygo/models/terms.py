"""The terms of a selector's loss."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Term:
    """A scalar with a gradient, and its weight in the loss. `ratio_L`: the mean over tokens, layer by layer, of what
    the term is taken of (good_ratio, or r of trash-can experts), and `range_L2` the smallest and the largest of it: for
    the log, without a gradient.
    """

    value: Tensor
    weight: float = 1.0
    ratio_L: Tensor | None = None
    range_L2: Tensor | None = None


def total(terms: Mapping[str, Term]) -> Tensor:
    """Their weighted sum, on the device and in the number format of the first."""
    first = next(iter(terms.values())).value
    return torch.stack([term.weight * term.value.to(first) for term in terms.values()]).sum()
