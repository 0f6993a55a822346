"""What is done on a part of a large pool: the draw, and how the rest follows.

R rows, D features, S drawn rows, K clusters.
"""

import numpy as np

from mygo.selection.clustering.kmeans import closest_rows, mean_directions


def draw(rows: int, most: int, rng: np.random.Generator) -> np.ndarray:
    """At most `most` of the places 0..rows-1, ascending; all of them where they are that few."""
    return np.arange(rows) if rows <= most else np.sort(rng.choice(rows, most, replace=False))


def follow_rows(x_RD: np.ndarray, drawn_S: np.ndarray, label_S: np.ndarray) -> np.ndarray:
    """Labels of all rows: each of the others takes that of the drawn row that is closest by cosine, noise included."""
    label_R = np.empty(len(x_RD), dtype=np.int32)
    label_R[drawn_S] = label_S
    others = np.setdiff1d(np.arange(len(x_RD)), drawn_S, assume_unique=True)
    label_R[others] = label_S[closest_rows(x_RD[others], x_RD[drawn_S])[0]] if len(others) else 0
    return label_R


def follow_centres(x_RD: np.ndarray, drawn_S: np.ndarray, label_S: np.ndarray) -> np.ndarray:
    """Labels of all rows: each of the others takes that of the closest mean direction of a cluster (0..K-1)."""
    label_R = np.empty(len(x_RD), dtype=np.int32)
    label_R[drawn_S] = label_S
    others = np.setdiff1d(np.arange(len(x_RD)), drawn_S, assume_unique=True)
    if len(others):
        label_R[others] = closest_rows(x_RD[others], mean_directions(x_RD[drawn_S], label_S))[0]
    return label_R
