"""Scores that ask no model: baselines. N samples."""

import numpy as np

from mygo.selection.reading.material import Material


def length(material: Material) -> np.ndarray:
    """Number of tokens, after truncation."""
    n_tokens = material.statistics.values("n_tokens")
    return np.where(n_tokens >= 2, n_tokens, np.nan)


def random(material: Material) -> np.ndarray:
    """A number from [0, 1) for each place in the pool, from the seed alone."""
    number_N = material.stream("score").random(material.statistics.rows)
    return np.where(material.statistics.values("n_tokens") >= 2, number_N, np.nan)
