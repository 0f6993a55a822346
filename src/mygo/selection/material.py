"""What a score may be made of: statistics, and where a score says so the pool's text."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mygo.params import SelectParams
from mygo.selection.statistics import Statistics


@dataclass(frozen=True)
class Material:
    """`pool` is the folder whose texts a score may read, row by row as in `statistics`; its labels are not for it."""

    statistics: Statistics
    params: SelectParams
    pool: Path
    seed: int = 0


def stream(seed: int, name: str) -> np.random.Generator:
    """A random stream of its own: the warm-up pool is drawn with the same seed, and a random selection must not be the
    same rows.
    """
    return np.random.default_rng([seed, *name.encode()])
