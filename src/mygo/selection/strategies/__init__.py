"""Strategies: each an order of the rows that can be kept. `mygo.selection.spending` spends the budget along it."""

from collections.abc import Callable

import numpy as np

from mygo.params.choices import StrategyName
from mygo.selection.strategies.candidates import Candidates
from mygo.selection.strategies.clustered import NO_CLUSTER, NOISE, cluster_round_robin
from mygo.selection.strategies.diverse import facility_location, k_center
from mygo.selection.strategies.plain import full, random, random_balanced, threshold, top

__all__ = ["NOISE", "NO_CLUSTER", "STRATEGIES", "Candidates"]

STRATEGIES: dict[StrategyName, Callable[[Candidates], np.ndarray]] = {
    "top": top,
    "cluster_round_robin": cluster_round_robin,
    "random": random,
    "random_balanced": random_balanced,
    "full": full,
    "threshold": threshold,
    "facility_location": facility_location,
    "k_center": k_center,
}
