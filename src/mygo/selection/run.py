"""The whole of select: statistics and pool in, selection, metrics and plots out."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mygo.data.pool import open_pool
from mygo.errors import UserError
from mygo.params import SelectParams
from mygo.params.choices import BY_SCORE, GATE_SCORES
from mygo.selection import report
from mygo.selection.clustering import normalise, spherical_kmeans
from mygo.selection.material import Material
from mygo.selection.output import scores_table, write_selection
from mygo.selection.scores import SCORES
from mygo.selection.statistics import Statistics, open_statistics
from mygo.selection.strategies import ORDERS, STRATEGIES, budget_of, number_clusters, rank_rows

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Selection:
    """What a selection has to report: the metrics, and the rows of each plot by its name (always the same names)."""

    metrics: dict[str, Any]
    plots: dict[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class Graded:
    """The pool's N rows as the score sees them; `ranked`: those that can be kept, best first."""

    n_tokens_N: np.ndarray
    score_N: np.ndarray  # NaN: none
    preference_N: np.ndarray  # higher is what select.order asks for; NaN: cannot be kept
    ranked: np.ndarray


def select(
    params: SelectParams,
    seed: int,
    statistics: Path,
    pool: Path,
    out: Path,
    reference: Path | None = None,
    reference_pool: Path | None = None,
) -> Selection:
    """Score every sample of the pool, spend the budget, write `selected.jsonl` and `scores.parquet` to the folder
    `out`. `reference` and `reference_pool`: statistics and samples of the reference set, where there is one.

    Raises `UserError` if the statistics are not of this pool, or do not hold what the score needs.
    """
    keys = open_pool(pool).to_table(columns=["source_dataset", "source_index", "id", "label"])
    recorded = open_statistics(statistics)
    recorded.check_rows(keys)
    graded = _grade(Material(recorded, params, pool, seed, reference, reference_pool), keys)
    ranked = graded.ranked
    budget = keys.num_rows if params.strategy == "full" else budget_of(params.ratio, keys.num_rows)
    cluster_N = _clusters(recorded, ranked, params.clusters, seed)
    selected_N = _spend(params.strategy, ranked, cluster_N, budget, seed)
    _say(recorded, graded, budget, selected_N)

    reason_N = _reasons(recorded, graded, selected_N, params)
    scores = scores_table(keys, graded.n_tokens_N, graded.score_N, ranked, cluster_N, selected_N, reason_N)
    write_selection(out, pool, scores, ranked[selected_N[ranked]])
    source_N = keys["source_dataset"].to_numpy(zero_copy_only=False)
    outcome = report.Outcome(
        source_N, graded.n_tokens_N, graded.score_N, graded.preference_N, cluster_N, selected_N, budget
    )
    return _report(outcome, report.read_labels(keys["label"], params.good_label))


def _grade(material: Material, keys: pa.Table) -> Graded:
    recorded, params = material.statistics, material.params
    n_tokens_N = recorded.values("n_tokens")
    score_N = _score(material)
    preference_N = _preference(score_N, n_tokens_N, params)
    ranked = rank_rows(preference_N, keys)
    if not len(ranked):
        raise UserError(
            f"{recorded.folder}: none of the {keys.num_rows:,} samples can be graded by {params.score}, so nothing can "
            "be selected"
        )
    return Graded(n_tokens_N, score_N, preference_N, ranked)


def _say(recorded: Statistics, graded: Graded, budget: int, selected_N: np.ndarray) -> None:
    rejected = report.count(graded.n_tokens_N == 0)
    if rejected:
        where = recorded.folder / "rejected.parquet"
        logger.info("%s", f"{rejected:,} samples were rejected by collect; {where} says why")
    logger.info(
        "%s",
        f"{len(selected_N):,} samples, {len(graded.ranked):,} can be graded, budget {budget:,} -> "
        f"{report.count(selected_N):,} selected",
    )


def _score(material: Material) -> np.ndarray:
    """The score of each sample; all NaN if there are no gates and the strategy can do without a score."""
    recorded, params = material.statistics, material.params
    if params.score in GATE_SCORES and not recorded.manifest.gated:
        if params.strategy in BY_SCORE:
            others = ", ".join(sorted(SCORES.keys() - GATE_SCORES))
            raise UserError(
                f"select.score: got {params.score}, but the selector that wrote {recorded.folder} has no gates; "
                f"takes {others}"
            )
        logger.info("the selector has no gates: %s is left empty", params.score)
        return np.full(recorded.rows, np.nan)
    score_N = SCORES[params.score](material)
    return np.where(np.isfinite(score_N), score_N, np.nan)


def _preference(score_N: np.ndarray, n_tokens_N: np.ndarray, params: SelectParams) -> np.ndarray:
    """Without a score all samples that hold a token to learn from are alike."""
    if np.isnan(score_N).all():
        return np.where((n_tokens_N >= 2) & (params.strategy not in BY_SCORE), 0.0, np.nan)
    return ORDERS[params.order](score_N)


def _clusters(recorded: Statistics, ranked: np.ndarray, clusters: int | None, seed: int) -> np.ndarray:
    """The cluster of each of the pool's rows, -1 where it is in none. Clusters are numbered by the rank of their best
    sample.

    The rows go in by their place in the pool: which samples are together does not depend on their scores.
    """
    cluster_N = np.full(recorded.rows, -1, dtype=np.int32)
    if clusters is None:
        return cluster_N
    if clusters > len(ranked):
        raise UserError(
            f"select.clusters: got {clusters:,}, but {len(ranked):,} samples can be graded; takes no more than that"
        )
    rows = np.sort(ranked)
    found = spherical_kmeans(normalise(recorded.features(rows)), clusters, _stream(seed, b"clusters"))
    logger.info("%s", f"{len(rows):,} samples in {clusters:,} clusters after {found.iterations} iterations of k-means")
    cluster_N[rows] = found.label_R
    cluster_N[ranked] = number_clusters(cluster_N[ranked])
    return cluster_N


def _spend(strategy: str, ranked: np.ndarray, cluster_N: np.ndarray, budget: int, seed: int) -> np.ndarray:
    """Which of the pool's rows are kept, as booleans; if fewer than the budget can be graded, those."""
    selected_N = np.zeros(len(cluster_N), dtype=bool)
    rng = _stream(seed, b"select")
    selected_N[STRATEGIES[strategy](ranked, cluster_N[ranked], min(budget, len(ranked)), rng)] = True
    return selected_N


def _stream(seed: int, name: bytes) -> np.random.Generator:
    """A random stream of its own: the warm-up pool is drawn with the same seed, and a random selection must not be the
    same rows.
    """
    return np.random.default_rng([seed, *name])


def _report(outcome: report.Outcome, labels: report.Labels) -> Selection:
    return Selection(
        metrics=report.describe(outcome) | report.agreement(outcome, labels),
        plots={
            "score_histogram": report.histogram(outcome, labels),
            "labels": report.label_rows(outcome, labels),
            "sources": report.source_rows(outcome),
            "clusters": report.cluster_rows(outcome),
        },
    )


def _reasons(recorded: Statistics, graded: Graded, selected_N: np.ndarray, params: SelectParams) -> list[str]:
    """Why each sample is where it is: kept, below_budget, not_drawn (by chance), rejected (by collect), too_short,
    no_answer (and only answers count), or not_finite (a statistic is not a number).
    """
    no_answer_N = np.zeros(len(selected_N), dtype=bool)
    if params.tokens == "answer" and params.score in GATE_SCORES:
        no_answer_N = np.isnan(recorded.values("nll_answer"))
    dropped = "not_drawn" if params.strategy == "random" else "below_budget"
    return np.select(
        [
            selected_N,
            ~np.isnan(graded.preference_N),
            graded.n_tokens_N == 0,
            graded.n_tokens_N == 1,
            no_answer_N,
        ],
        ["kept", dropped, "rejected", "too_short", "no_answer"],
        "not_finite",
    ).tolist()
