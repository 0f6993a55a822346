"""What a score knows of a label beyond length and likelihood. N rows, S scores, C variables held fixed."""

import numpy as np

from mygo.selection.agreement.bootstrap import draws, prompts_repeat
from mygo.selection.agreement.estimate import Estimate, from_fisher
from mygo.selection.agreement.rank import Ranks, fisher_deviation, fisher_error

NOTHING_LEFT = 1e-9  # share of a score's variance below which the variables held fixed explain all of it


def partial(
    score_NS: np.ndarray, label_N: np.ndarray, held_NC: np.ndarray, prompt_N: np.ndarray, seed: int
) -> list[Estimate | None]:
    """Partial rank correlation of each score with the label, given the variables held fixed; no value may be missing.

    All columns become midranks; of scores and label what a line through the held ranks leaves over (least squares)
    is correlated (Pearson): with one variable z this is (r_xy - r_xz r_yz) / sqrt((1 - r_xz^2)(1 - r_yz^2)) of
    Spearman's r. Interval and p are as in `rank.spearman`, with N - 3 - C degrees of freedom, or over draws of prompts.
    None for a score of which the held variables leave nothing, such as one of themselves.
    """
    scores = score_NS.shape[1]
    ranks = Ranks(np.column_stack([score_NS, label_N, held_NC]))

    def of(weight_N: np.ndarray) -> np.ndarray:
        return _correlations(ranks(weight_N), scores, weight_N)

    value_S = of(np.ones(len(label_N)))
    if prompts_repeat(prompt_N):
        drawn = [of(weight_N) for weight_N in draws(prompt_N, seed)]
        error_S = fisher_deviation(np.array(drawn).reshape(-1, scores))
    else:
        error_S = np.array([fisher_error(value, len(label_N), held_NC.shape[1]) for value in value_S])
    return [
        None if np.isnan(value) else from_fisher(float(value), float(error))
        for value, error in zip(value_S, error_S, strict=True)
    ]


def _correlations(rank_NK: np.ndarray, scores: int, weight_N: np.ndarray) -> np.ndarray:
    """[S], of columns that are S scores, the label, and what is held fixed. NaN where nothing is left."""
    root_N = np.sqrt(weight_N)[:, None]
    mean_K = np.average(rank_NK, axis=0, weights=weight_N)
    x_NK = (rank_NK - mean_K) * root_N
    free, held = x_NK[:, : scores + 1], x_NK[:, scores + 1 :]
    left = free - held @ np.linalg.lstsq(held, free, rcond=None)[0]
    before, after = (free**2).sum(axis=0), (left**2).sum(axis=0)
    spread = np.where(after > NOTHING_LEFT * before, np.sqrt(after), np.nan)
    return np.clip(left[:, :scores].T @ left[:, scores] / (spread[:scores] * spread[scores]), -1, 1)
