"""Scores of routers: the last experts, or a trash can's own, are called trash.

N samples, L layers, E experts of a layer, trash experts among them.
"""

from fractions import Fraction

import numpy as np

from mygo.selection.reading.material import Material


def expert_logits(material: Material) -> np.ndarray:
    """Raw router logits summed over the good experts and over layers, mean over tokens; `select.over_tokens=sum` sums
    them over tokens as well, as published, so that length decides.
    """
    logit_NLE = _of_experts(material, "router_logits")
    total_N = logit_NLE[:, :, : _good(material)].sum(axis=(1, 2), dtype=np.float64)
    if material.params.over_tokens == "sum":
        total_N *= material.statistics.values("n_tokens")
    return _of_samples_to_learn_from(material, total_N)


def trash_mass(material: Material) -> np.ndarray:
    """Share of the routing probability on experts that are not trash, mean over tokens and layers: higher is better.

    Of a trash can it is what its constraint is of (`trash_mass`, DESIGN section 5); of any other router the sum of its
    probabilities of the good experts.
    """
    if material.statistics.has("trash_mass"):
        mass_N = material.statistics.per_layer("trash_mass").mean(axis=1, dtype=np.float64)
        return _of_samples_to_learn_from(material, mass_N)
    probability_NLE = _of_experts(material, "router_probs")
    mass_N = probability_NLE[:, :, : _good(material)].sum(axis=2, dtype=np.float64).mean(axis=1)
    return _of_samples_to_learn_from(material, mass_N)


def _of_samples_to_learn_from(material: Material, score_N: np.ndarray) -> np.ndarray:
    """A sample of one token has routers, and nothing to predict."""
    return np.where(material.statistics.values("n_tokens") >= 2, score_N, np.nan)


def good_experts(experts: int, trash_expert_ratio: float) -> int:
    """How many experts are not trash: the last floor(ratio * experts) are, but at least one is trash and at least one
    good. 64 experts at 0.125: the last 8. The ratio is taken as it was written.
    """
    trash = int(Fraction(str(trash_expert_ratio)) * experts)
    return experts - min(max(trash, 1), experts - 1)


def _good(material: Material) -> int:
    manifest = material.statistics.manifest
    return (
        manifest.experts
        if manifest.trash_experts
        else good_experts(manifest.experts, material.params.trash_expert_ratio)
    )


def _of_experts(material: Material, column: str) -> np.ndarray:
    """A column of routers as float32 [N, L, E], NaN where a sample has none."""
    manifest = material.statistics.manifest
    experts = manifest.experts + manifest.trash_experts
    flat = material.statistics.lists(column, manifest.router_layers * experts)
    return flat.reshape(-1, manifest.router_layers, experts)
