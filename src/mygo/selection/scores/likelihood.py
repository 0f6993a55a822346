"""Scores of the base model's negative log-likelihoods. N samples."""

import numpy as np

from mygo.selection.reading.material import Material
from mygo.selection.reading.statistics import Statistics

MAX_NLL = 80.0  # nats; perplexity exp(80) = 5.5e34 is where it is clipped, so that means of it stay finite


def perplexity(material: Material) -> np.ndarray:
    """exp of the conversation's mean NLL under the base model, clipped at exp(80); its order is the order of the NLL.

    Never that of the pass in which gates are applied: they stand near one half, and every block's output is halved.
    """
    return np.exp(np.minimum(base_nll(material.statistics), MAX_NLL))


def answer_nll(material: Material) -> np.ndarray:
    """Mean NLL of the answers' tokens under the base model, nats; NaN where there is none."""
    return base_nll(material.statistics, "nll_answer")


def ifd(material: Material) -> np.ndarray:
    """Instruction-following difficulty: perplexity of the first answer with its instruction, over that without it.

    Li et al. 2024 (arXiv 2308.12032), as Cherry_LLM's `put_ifd` code and Superfiltering (arXiv 2402.00530) have it:
    ppl_out_condition / ppl_out_alone. (Its older code takes the ratio of the mean losses, which orders otherwise.) Both
    are of the base and over the same tokens; `collection.answers_alone` says where they begin. The published code drops
    samples of 1 or more, which their instruction does not help, and keeps the highest of the rest; so does
    `select=ifd`, by `select.ceiling`.
    """
    statistics = material.statistics
    return np.exp(statistics.values("nll_first_answer") - statistics.values("nll_first_answer_alone"))


def base_nll(statistics: Statistics, column: str = "nll") -> np.ndarray:
    """Mean NLL of each sample under the model without gates, nats [N]: the statistics' own where the model has none."""
    return statistics.values(f"base_{column}" if statistics.manifest.selector else column)
