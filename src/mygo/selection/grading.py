"""The pool as a score sees it: a number for each row, and the rows that can be kept, best first."""

import logging
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from mygo.data.pool import holds_samples
from mygo.errors import UserError
from mygo.params import SelectParams
from mygo.params.choices import BY_SCORE, Need
from mygo.params.needs import check_needs, does_without
from mygo.selection.ranking import ORDERS, rank_rows
from mygo.selection.reading.material import Material
from mygo.selection.scores import SCORES

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Graded:
    """The pool's N rows as the score sees them; `ranked`: those that can be kept, best first."""

    n_tokens_N: np.ndarray
    score_N: np.ndarray  # NaN: none
    preference_N: np.ndarray  # higher is what select.order asks for; NaN: cannot be kept
    ranked: np.ndarray


def grade(material: Material, keys: pa.Table) -> Graded:
    """Score and rank the pool. Raises `UserError` if the statistics lack what the score needs, or no sample can be
    graded.
    """
    recorded, params = material.statistics, material.params
    n_tokens_N = recorded.values("n_tokens")
    score_N = _score(material)
    preference_N = np.where(above_ceiling(score_N, params), np.nan, _preference(score_N, n_tokens_N, params))
    ranked = rank_rows(preference_N, keys)
    if not len(ranked) and above_ceiling(score_N, params).any():
        raise UserError(f"select.ceiling: got {params.ceiling}, and every sample's {params.score} reaches it")
    if not len(ranked):
        raise UserError(
            f"{recorded.folder}: none of the {keys.num_rows:,} samples can be graded by {params.score}, so nothing can "
            "be selected"
        )
    return Graded(n_tokens_N, score_N, preference_N, ranked)


def above_ceiling(score_N: np.ndarray, params: SelectParams) -> np.ndarray:
    """Which samples `select.ceiling` leaves out, whatever the strategy: those of this score or more."""
    return np.zeros(len(score_N), dtype=bool) if params.ceiling is None else score_N >= params.ceiling


def held(material: Material) -> frozenset[Need]:
    """What scores can be made of here."""
    statistics, pool = material.statistics, material.reference_pool
    manifest = statistics.manifest
    there: dict[Need, bool] = {
        "gates": "gates" in manifest.records,
        "routers": "routers" in manifest.records,
        "trash_experts": statistics.has("trash_mass"),
        "base_nll": not manifest.selector or statistics.has("base_nll"),
        "answers_alone": statistics.has("nll_first_answer_alone"),
        "hidden_states": statistics.has("base_hidden_weighted"),
        "reference": pool is not None and holds_samples(pool),
    }
    return frozenset(need for need, is_there in there.items() if is_there)


def _score(material: Material) -> np.ndarray:
    """The score of each sample; all NaN if it needs what is not there and the strategy can do without a score."""
    recorded, params = material.statistics, material.params
    there = held(material)
    check_needs(params, there, str(recorded.folder))
    if does_without(params, there):
        logger.info("%s", f"{recorded.folder} lacks what {params.score} is made of: the score is left empty")
        return np.full(recorded.rows, np.nan)
    score_N = SCORES[params.score](material)
    return np.where(np.isfinite(score_N), score_N, np.nan)


def _preference(score_N: np.ndarray, n_tokens_N: np.ndarray, params: SelectParams) -> np.ndarray:
    """Without a score all samples that hold a token to learn from are alike."""
    if np.isnan(score_N).all():
        return np.where((n_tokens_N >= 2) & (params.strategy not in BY_SCORE), 0.0, np.nan)
    return ORDERS[params.order](score_N)
