"""Rows of length 1 for tests of clustering."""

import numpy as np

from mygo.selection.clustering.kmeans import normalise


def unit_rows(*degrees):
    angle = np.radians(degrees)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)


def around_topics(rows, topics, width, noise, seed=0):
    """Rows of length 1 around random directions, and which direction each one is from."""
    rng = np.random.default_rng(seed)
    topic = rng.integers(0, topics, rows)
    x = rng.normal(0, 1, (topics, width))[topic] + noise * rng.normal(0, 1, (rows, width))
    return normalise(x.astype(np.float32)), topic


def together(label):
    """The clusters as sets of rows, whatever their numbers."""
    return {frozenset(np.flatnonzero(label == cluster).tolist()) for cluster in np.unique(label)}
