"""Scores that ask no model: baselines. N samples."""

import numpy as np

from mygo.selection.material import Material


def length(material: Material) -> np.ndarray:
    """Number of tokens, after truncation."""
    n_tokens = material.statistics.values("n_tokens")
    return np.where(n_tokens >= 2, n_tokens, np.nan)
