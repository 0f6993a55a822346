"""The scores that some statistics allow, each turned so that higher is better, and what is held fixed beside them.

N samples, C variables.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from mygo.data.answers import answer_words
from mygo.errors import UserError, listed, shown
from mygo.params.choices import LOW_IS_GOOD, ScoreName
from mygo.params.needs import check_needs
from mygo.selection.grading import held
from mygo.selection.ranking import ORDERS
from mygo.selection.reading.material import Material
from mygo.selection.scores import SCORES

HELD = ("length", "words", "perplexity", "answer_nll")  # what a score should know more than


@dataclass(frozen=True)
class Graded:
    """`preference_N` is higher for what `order` (highest, lowest) says is better; NaN where there is no score."""

    name: str
    order: str
    preference_N: np.ndarray


@dataclass(frozen=True)
class Held:
    """The variables that are held fixed in a partial correlation, as columns [N, C]; `missing` are not known."""

    names: list[str]
    value_NC: np.ndarray
    missing: list[str]


def graded_scores(material: Material, names: Sequence[str]) -> tuple[list[Graded], list[str]]:
    """The scores with these names, or with none all that can be taken, and the names of those that cannot.

    Raises `UserError` for a name that is no score, and for one that was asked for and cannot be taken.
    """
    for name in names:
        if name not in SCORES:
            raise UserError(f"--score: got {shown(name)}; choose from {listed(sorted(SCORES), len(SCORES))}")
    graded: list[Graded] = []
    skipped: list[str] = []
    for name in names or SCORES:
        try:
            graded.append(_graded(name, material))
        except UserError:
            if names:
                raise
            skipped.append(name)
    return graded, skipped


def _graded(name: str, material: Material) -> Graded:
    score_N = _taken(name, material)
    if not np.isfinite(score_N).any():
        raise UserError(
            f"--score: {name} can grade none of the {len(score_N):,} samples of {material.statistics.folder}"
        )
    order = "lowest" if name in LOW_IS_GOOD else "highest"
    return Graded(name, order, ORDERS[order](np.where(np.isfinite(score_N), score_N, np.nan)))


def _taken(name: str, material: Material) -> np.ndarray:
    """The score as `select.score` would give it. Raises `UserError` where statistics or params lack what it needs."""
    params = material.params.model_copy(update={"score": name, "strategy": "top"})
    if name == "combine" and not params.combine:
        raise UserError("select.combine: is empty; takes the scores that are to be joined")
    if name == "external" and params.external.path is None:
        raise UserError("select.external.path: got null; takes the file that holds the score")
    check_needs(params, held(material), str(material.statistics.folder))
    return SCORES[cast(ScoreName, name)](material)


def held_fixed(material: Material) -> Held:
    """Length in tokens, words of the answers, perplexity of the conversation and NLL of the answer, those known."""
    known: dict[str, np.ndarray] = {}
    for name in HELD:
        try:
            value_N = answer_words(material.pool).astype(np.float64) if name == "words" else _taken(name, material)
        except UserError:
            continue
        if np.isfinite(value_N).any():
            known[name] = np.where(np.isfinite(value_N), value_N, np.nan)
    return Held(list(known), np.column_stack(list(known.values())), [name for name in HELD if name not in known])
