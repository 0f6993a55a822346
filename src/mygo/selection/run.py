"""The whole of select: statistics and pool in, selection, metrics and plots out."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mygo.params import SelectParams
from mygo.params.choices import BY_SCORE, WITHOUT_BUDGET
from mygo.selection.choosing import Chosen, choose
from mygo.selection.clustering.clusters import NOTHING, Clustering
from mygo.selection.grading import Graded, grade
from mygo.selection.reading.material import Material
from mygo.selection.reading.opened import Opened, open_both
from mygo.selection.result import report
from mygo.selection.result.output import scores_table, write_selection
from mygo.selection.result.reasons import reasons

logger = logging.getLogger(__name__)

# What no score reads: statistics graded under one of these are graded for all of them. `strategy` counts by whether it
# asks for a score at all.
NOT_SCORED_BY = {
    "strategy",
    "ratio",
    "count",
    "token_budget",
    "threshold",
    "source_shares",
    "deduplicate",
    "clusters",
    "clustering",
    "parquet",
    "good_label",
}


@dataclass(frozen=True)
class Selection:
    """What a selection has to report: the metrics, and the rows of each plot by its name (always the same names)."""

    metrics: dict[str, Any]
    plots: dict[str, list[dict[str, Any]]]


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
    return select_from(
        open_both(statistics, pool, reference=reference, reference_pool=reference_pool), params, seed, out
    )


def select_from(opened: Opened, params: SelectParams, seed: int, out: Path) -> Selection:
    """The same of statistics that are open already."""
    material = opened.material(params, seed)
    graded = opened.memo.get(_scored_by(params, seed), lambda: grade(material, opened.keys))
    chosen = choose(opened, graded, params, seed)
    _say(opened, graded, chosen, params)
    scores = scores_table(opened.keys, graded, chosen, reasons(material, graded, chosen))
    write_selection(out, opened.pool, scores, graded.ranked[chosen.selected_N[graded.ranked]], parquet=params.parquet)
    source_N = opened.keys["source_dataset"].to_numpy(zero_copy_only=False)
    outcome = report.Outcome(
        source_N,
        graded.n_tokens_N,
        graded.score_N,
        graded.preference_N,
        chosen.cluster_N,
        chosen.selected_N,
        chosen.budget,
    )
    labels = report.read_labels(opened.keys["label"], params.good_label)
    return _report(outcome, labels, chosen.clustering, _extras(material, chosen))


def _scored_by(params: SelectParams, seed: int) -> str:
    decides = params.model_dump(exclude=NOT_SCORED_BY) | {"by_score": params.strategy in BY_SCORE, "seed": seed}
    return json.dumps(decides, sort_keys=True)


def _say(opened: Opened, graded: Graded, chosen: Chosen, params: SelectParams) -> None:
    rejected, kept = report.count(graded.n_tokens_N == 0), report.count(chosen.selected_N)
    if rejected:
        where = opened.statistics.folder / "rejected.parquet"
        logger.info("%s", f"{rejected:,} samples were rejected by collect; {where} says why")
    can_be_kept = len(graded.ranked)
    budget = f"{chosen.budget:,}" if params.token_budget is None else f"{params.token_budget:,} tokens"
    logger.info(
        "%s",
        f"{len(chosen.selected_N):,} samples, {can_be_kept:,} can be graded, budget {budget} -> {kept:,} selected",
    )
    if params.token_budget is None and params.strategy not in WITHOUT_BUDGET and kept < chosen.budget:
        logger.info("the budget is larger than what can be kept: all of that is")


def _extras(material: Material, chosen: Chosen) -> dict[str, int]:
    """Counts that only some selections have."""
    params, extras = material.params, {}
    if params.deduplicate is not None:
        extras["duplicates"] = report.count(chosen.duplicate_of_N >= 0)
    if "external" in params.scores():
        extras["not_in_file"] = report.count(material.external.missing_N)
    if params.token_budget is not None:
        extras["token_budget"] = params.token_budget
    return extras


def _report(
    outcome: report.Outcome, labels: report.Labels, clustering: Clustering | None, extras: dict[str, int]
) -> Selection:
    drawn, found = (clustering.plots, clustering.metrics) if clustering else (NOTHING, {})
    return Selection(
        metrics=report.describe(outcome) | extras | found | report.agreement(outcome, labels),
        plots={
            "score_histogram": report.histogram(outcome, labels),
            "labels": report.label_rows(outcome, labels),
            "sources": report.source_rows(outcome),
            "clusters": report.cluster_rows(outcome),
            "elbow": drawn["elbow"],
            "projection": report.projection_rows(drawn["projection"], outcome),
        },
    )
