"""Scores of the base model's negative log-likelihoods. N samples."""

import numpy as np

from mygo.errors import UserError
from mygo.selection.material import Material
from mygo.selection.statistics import Statistics

MAX_NLL = 80.0  # nats; perplexity exp(80) = 5.5e34 is where it is clipped, so that means of it stay finite


def perplexity(material: Material) -> np.ndarray:
    """exp of the conversation's mean NLL under the base model, clipped at exp(80); its order is the order of the NLL.

    Never that of the pass in which gates are applied: they stand near one half, and every block's output is halved.
    """
    return np.exp(np.minimum(base_nll(material.statistics), MAX_NLL))


def base_nll(statistics: Statistics) -> np.ndarray:
    """Mean NLL of each sample under the model without gates, nats [N]: the statistics' own where the model has none.

    Raises `UserError` where gates are applied and collect did not record the base beside them.
    """
    if not statistics.manifest.selector:
        return statistics.values("nll")
    if not statistics.has("base_nll"):
        raise UserError(
            f"select.score: perplexity is that of the base model, and {statistics.folder} holds that of the pass with "
            "gates only; set collect.base_nll to true and run collect again"
        )
    return statistics.values("base_nll")
