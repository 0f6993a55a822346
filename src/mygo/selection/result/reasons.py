"""Why each sample of the pool is where it is."""

import numpy as np

from mygo.params.choices import ANSWER_SCORES, BY_CHANCE, GATE_SCORES, ScoreName
from mygo.selection.choosing import Chosen
from mygo.selection.grading import Graded, above_ceiling
from mygo.selection.reading.material import Material


def reasons(material: Material, graded: Graded, chosen: Chosen) -> list[str]:
    """A word for each row.

    Of those that can be kept: `kept`; `duplicate` (of a sample that stays); `source_share` (its source has its share);
    `below_threshold`, `not_drawn` (by chance) or `below_budget`, as the strategy goes. Of the others: `rejected` (by
    collect), `above_ceiling` (select.ceiling), `too_short` (one token), `no_answer` (and answers are what counts),
    `not_in_file` (the user's), or `not_finite` (a statistic is not a number).
    """
    cases = [
        (chosen.selected_N, "kept"),
        (chosen.duplicate_of_N >= 0, "duplicate"),
        (chosen.beyond_share_N, "source_share"),
        (~np.isnan(graded.preference_N), _dropped(material.params.strategy)),
        (graded.n_tokens_N == 0, "rejected"),
        (above_ceiling(graded.score_N, material.params), "above_ceiling"),
        (graded.n_tokens_N == 1, "too_short"),
        *(case for name in material.params.scores() for case in _not_graded(material, name)),
    ]
    return np.select([mask_N for mask_N, _ in cases], [word for _, word in cases], "not_finite").tolist()


def _dropped(strategy: str) -> str:
    if strategy == "threshold":
        return "below_threshold"
    return "not_drawn" if strategy in BY_CHANCE else "below_budget"


def _not_graded(material: Material, name: ScoreName) -> list[tuple[np.ndarray, str]]:
    """Why a score has no number for some rows, as far as it is the rows' own."""
    if name in ANSWER_SCORES or (material.params.tokens == "answer" and name in GATE_SCORES):
        return [(np.isnan(material.statistics.values("nll_answer")), "no_answer")]
    return [(material.external.missing_N, "not_in_file")] if name == "external" else []
