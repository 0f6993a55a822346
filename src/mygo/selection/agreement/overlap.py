"""A selection against a published one: how many rows both keep, and how many chance would."""

from dataclasses import dataclass

import numpy as np

from mygo.selection.agreement.areas import wilson
from mygo.selection.agreement.bootstrap import draws, middle_95, prompts_repeat
from mygo.selection.agreement.estimate import Estimate


@dataclass(frozen=True)
class Overlap:
    """`size` rows are kept here, `published` there, `common` by both; `expected`: by chance, size * published / N.

    `low` and `high` are where 95 % of random selections of this size would lie. `lift` is common / expected, and its p
    that of random selections at least so far on either side.
    """

    size: int
    published: int
    common: int
    expected: float
    low: int
    high: int
    lift: Estimate
    jaccard: float


def overlap(kept_N: np.ndarray, published_N: np.ndarray, prompt_N: np.ndarray, seed: int) -> Overlap:
    """Two selections of the same N rows, as booleans; both must keep something.

    By chance the common rows are hypergeometric; p is twice its smaller tail. The interval of the lift is Wilson's of
    the share common / size, divided by published / N; where prompts repeat, the middle 95 % over draws of prompts, and
    of one prompt all that is possible.
    """
    from scipy.stats import hypergeom

    rows, size, published = len(kept_N), int(kept_N.sum()), int(published_N.sum())
    common = int((kept_N & published_N).sum())
    chance = hypergeom(rows, published, size)
    p = min(1.0, 2 * min(float(chance.cdf(common)), float(chance.sf(common - 1))))
    base = published / rows
    share = wilson(common, size)
    limits = (share.low / base, share.high / base)
    if prompts_repeat(prompt_N):
        limits = _over_prompts(kept_N, published_N, prompt_N, seed)
    lift = Estimate(share.value / base, *limits, p)
    range_95 = (int(chance.ppf(0.025)), int(chance.ppf(0.975)))
    return Overlap(size, published, common, size * base, *range_95, lift, common / (size + published - common))


def _over_prompts(kept_N: np.ndarray, published_N: np.ndarray, prompt_N: np.ndarray, seed: int) -> tuple[float, float]:
    lifts = []
    for weight_N in draws(prompt_N, seed):
        kept, published = weight_N @ kept_N, weight_N @ published_N
        if kept and published:
            lifts.append(float((weight_N @ (kept_N & published_N)) * weight_N.sum() / (kept * published)))
    return middle_95(lifts, 0.0, len(kept_N) / max(int(kept_N.sum()), int(published_N.sum())))
