"""Scores: one number per sample of the pool [N], from what `Material` holds; NaN where a sample cannot be graded.

What each needs is stated in `mygo.params.choices.NEEDS`; labels are never among it.
"""

from collections.abc import Callable

import numpy as np

from mygo.params.choices import Order, ScoreName
from mygo.selection.reading.material import Material
from mygo.selection.scores.combine import combined
from mygo.selection.scores.external import external
from mygo.selection.scores.gates import normalized, quality, raw, weighted
from mygo.selection.scores.likelihood import answer_nll, ifd, perplexity
from mygo.selection.scores.plain import length, random
from mygo.selection.scores.reference import dsir, rds
from mygo.selection.scores.routers import expert_logits, trash_mass


def combine(material: Material) -> np.ndarray:
    """The scores of `select.combine`, each of the same parameters, joined by `select.combine_by`."""
    parts: list[tuple[np.ndarray, float, Order]] = [
        (SCORES[part.score](material), part.weight, part.order) for part in material.params.combine
    ]
    return combined(parts, material.params.combine_by)


SCORES: dict[ScoreName, Callable[[Material], np.ndarray]] = {
    "quality": quality,
    "weighted": weighted,
    "normalized": normalized,
    "raw": raw,
    "expert_logits": expert_logits,
    "trash_mass": trash_mass,
    "perplexity": perplexity,
    "answer_nll": answer_nll,
    "ifd": ifd,
    "length": length,
    "random": random,
    "external": external,
    "combine": combine,
    "dsir": dsir,
    "rds": rds,
}
