"""Scores: one number per sample of the pool [N], from what `Material` holds; NaN where a sample cannot be graded.

What each needs is stated in `mygo.params.choices.NEEDS`; labels are never among it.
"""

from collections.abc import Callable

import numpy as np

from mygo.params.choices import ScoreName
from mygo.selection.material import Material
from mygo.selection.scores.gates import normalized, quality, raw, weighted
from mygo.selection.scores.likelihood import perplexity
from mygo.selection.scores.plain import length
from mygo.selection.scores.reference import dsir, rds

SCORES: dict[ScoreName, Callable[[Material], np.ndarray]] = {
    "quality": quality,
    "weighted": weighted,
    "normalized": normalized,
    "raw": raw,
    "perplexity": perplexity,
    "length": length,
    "dsir": dsir,
    "rds": rds,
}
