"""Pairs of answers to one prompt: does the score prefer the one that the label prefers?"""

from dataclasses import dataclass

import numpy as np

from mygo.selection.agreement.bootstrap import draws, middle_95
from mygo.selection.agreement.estimate import Estimate


@dataclass(frozen=True)
class Pairs:
    """`right`: the share of pairs that score and label order alike. `pairs` of them, within `prompts`."""

    right: Estimate
    pairs: int
    prompts: int


def pairwise(score_N: np.ndarray, label_N: np.ndarray, prompt_N: np.ndarray, seed: int) -> Pairs | None:
    """Accuracy over all pairs of rows that share a prompt and differ in their label; None where there is no such pair.

    Pairs of equal labels are left out, those of equal scores count half. A prompt counts as often as it has pairs. The
    interval is the middle 95 % over draws of prompts, [0, 1] where there is but one.
    """
    right_G, pairs_G = _by_prompt(score_N, label_N, prompt_N)
    right_G, pairs_G = right_G[pairs_G > 0], pairs_G[pairs_G > 0]
    if not len(pairs_G):
        return None
    value = float(right_G.sum() / pairs_G.sum())
    drawn = draws(np.arange(len(pairs_G)), seed)
    low, high = middle_95([float((weight_G @ right_G) / (weight_G @ pairs_G)) for weight_G in drawn], 0.0, 1.0)
    return Pairs(Estimate(value, low, high), int(pairs_G.sum()), len(pairs_G))


def _by_prompt(score_N: np.ndarray, label_N: np.ndarray, prompt_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many pairs are right, and how many there are, for each prompt that several rows share."""
    order = np.argsort(prompt_N, kind="stable")
    _, starts, sizes = np.unique(prompt_N[order], return_index=True, return_counts=True)
    several = sizes > 1
    counted = [
        _right_and_all(score_N[rows], label_N[rows])
        for start, size in zip(starts[several], sizes[several], strict=True)
        for rows in [order[start : start + size]]
    ]
    return np.array([right for right, _ in counted]), np.array([pairs for _, pairs in counted])


def _right_and_all(score_R: np.ndarray, label_R: np.ndarray) -> tuple[float, int]:
    """Row by row, so that a thousand answers to one prompt need no million of pairs in memory."""
    right, pairs = 0.0, 0
    for i in range(len(label_R) - 1):
        sign = np.sign(label_R[i + 1 :] - label_R[i])
        agrees = sign * np.sign(score_R[i + 1 :] - score_R[i])
        differs = sign != 0
        pairs += int(differs.sum())
        right += float(((agrees[differs] + 1) / 2).sum())
    return right, pairs
