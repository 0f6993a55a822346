"""What a strategy sees of the pool: the R rows that can be kept, best first."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mygo.params import SelectParams


@dataclass(frozen=True)
class Candidates:
    """Rows are places in the pool. Arrays over R are in the order of `ranked`."""

    ranked: np.ndarray  # best first; ties by source_dataset, then source_index
    score_R: np.ndarray  # NaN: none, where the strategy does without
    cluster_R: np.ndarray  # -1: noise, -2: not clustered
    source_R: np.ndarray  # number of its source_dataset, in the order of the names
    most: int  # how many of them the budget can keep at most; what lies behind matters for quotas and duplicates alone
    features: Callable[[np.ndarray], np.ndarray]  # rows, ascending -> float32 [rows, D], each of length 1
    params: SelectParams
    rng: np.random.Generator
