"""Samples of prompts: rows that share a prompt are drawn together. N rows, G prompts."""

from collections.abc import Iterator, Sequence

import numpy as np

RESAMPLES = 1_000
STREAM = b"agreement"


def prompts_repeat(prompt_N: np.ndarray) -> bool:
    """Whether two rows share a prompt; where none do, rows are independent, and formulas give the intervals."""
    return len(np.unique(prompt_N)) < len(prompt_N)


def draws(prompt_N: np.ndarray, seed: int) -> Iterator[np.ndarray]:
    """How often each row is in each of `RESAMPLES` draws of G prompts with replacement, float64 [N]. Of one prompt
    there are no draws: all would be alike, and say that nothing could have come out otherwise.
    """
    prompts, place_N = np.unique(prompt_N, return_inverse=True)
    rng = np.random.default_rng([seed, *STREAM])
    for _ in range(RESAMPLES if len(prompts) > 1 else 0):
        drawn_G = np.bincount(rng.integers(len(prompts), size=len(prompts)), minlength=len(prompts))
        yield drawn_G[place_N].astype(np.float64)


def middle_95(values: Sequence[float], least: float, most: float) -> tuple[float, float]:
    """The 2.5 % and the 97.5 % quantile; of no values all that is possible, from `least` to `most`."""
    if not len(values):
        return least, most
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
