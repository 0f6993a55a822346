"""What `metrics/select.json` and the plots say about a selection. Labels are read here and nowhere else.

N samples of the pool; `score` is NaN where a sample cannot be graded.
"""

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from mygo.data.labels import NUMBER, label_text
from mygo.selection.agreement.areas import auc, wilson
from mygo.selection.agreement.rank import spearman
from mygo.selection.strategies.clustered import NO_CLUSTER, NOISE

logger = logging.getLogger(__name__)

BINS = 40
Row = dict[str, Any]
LAST = {"(noise)": 1, "(none)": 2}  # of the clusters, in this order


@dataclass(frozen=True)
class Outcome:
    """A selection as the report sees it: arrays over the pool's N rows, and the budget that was asked for."""

    source_N: np.ndarray
    n_tokens_N: np.ndarray
    score_N: np.ndarray
    preference_N: np.ndarray  # higher is what select.order asks for; NaN where a sample cannot be kept
    cluster_N: np.ndarray  # -1: noise, -2: not clustered
    selected_N: np.ndarray
    budget: int


@dataclass(frozen=True)
class Labels:
    """True labels of the pool. `text_N`: None where a sample has none; `good_N`: equal to the good one."""

    good: str
    text_N: np.ndarray
    known_N: np.ndarray
    good_N: np.ndarray


def read_labels(labels: pa.ChunkedArray, good_label: Any) -> Labels:
    """Labels are compared as `mygo.data.labels` writes them, in lower case: `1`, `1.0` and `1.00` are one label, and so
    are `Clean` and `clean`. A pool that an earlier version wrote may still hold them otherwise.
    """
    texts, good = labels.to_pylist(), _plain(good_label)
    good_texts = {text for text in set(texts) if text is not None and _plain(text) == good}
    known_N = np.array([text is not None for text in texts], dtype=bool)
    good_N = np.array([text in good_texts for text in texts], dtype=bool)
    return Labels(good, np.array(texts, dtype=object), known_N, good_N)


def _plain(label: Any) -> str:
    return str(label_text(label)).lower()


def describe(outcome: Outcome) -> Row:
    """Sizes and tokens. What has a line per source, cluster or score is a plot or a column of `scores.parquet`, so that
    `dvc metrics diff` stays short.
    """
    selected = outcome.selected_N
    n_tokens_N = outcome.n_tokens_N
    return {
        "pool": len(selected),
        "rejected": count(n_tokens_N == 0),
        "graded": count(~np.isnan(outcome.preference_N)),
        "budget": outcome.budget,
        "selected": count(selected),
        "tokens": {"mean_pool": n_tokens_N[n_tokens_N > 0].mean(), "mean_selected": n_tokens_N[selected].mean()},
    }


def agreement(outcome: Outcome, labels: Labels) -> Row:
    """AUC of the score and precision of the selection against the labels, or Spearman's correlation with numbers;
    empty, with a line in the log, where the pool does not allow it.

    `base_rate` is the share of good samples among the labelled ones that can be kept: what a random draw is expected to
    reach.
    """
    labelled_N = labels.known_N & ~np.isnan(outcome.preference_N)
    good, others = count(labels.good_N & labelled_N), count(~labels.good_N & labelled_N)
    if not good and (ranks := _rank_agreement(outcome, labels, labelled_N)):
        return ranks
    if not (good and others):
        logger.info(
            "no agreement with labels reported: of the samples that can be graded, %d are labelled %r and %d otherwise",
            good,
            labels.good,
            others,
        )
        return {}
    metrics: Row = {"base_rate": good / (good + others)}
    scored_N = labelled_N & ~np.isnan(outcome.score_N)
    if scored_N.any():
        area = auc(outcome.preference_N[scored_N], labels.good_N[scored_N])
        metrics |= {"auc": area.value, "auc_low": area.low, "auc_high": area.high}
    kept_N = labelled_N & outcome.selected_N
    if kept_N.any():
        precision = wilson(count(labels.good_N & kept_N), count(kept_N))
        metrics |= {
            "precision_at_budget": precision.value,
            "precision_low": precision.low,
            "precision_high": precision.high,
        }
    return metrics


def _rank_agreement(outcome: Outcome, labels: Labels, labelled_N: np.ndarray) -> Row:
    """Spearman's correlation with labels that are numbers of more than two values, none of them the good one; empty
    for others. Rows are taken as independent: `python -m mygo agreement` takes those of one prompt as a cluster.
    """
    texts = labels.text_N[labelled_N]
    if len(set(texts)) < 3 or not all(NUMBER.fullmatch(text) for text in texts):
        return {}
    found = spearman(outcome.preference_N[labelled_N], texts.astype(float), np.arange(len(texts)), 0)
    return {} if found is None else {"spearman": found.value, "spearman_low": found.low, "spearman_high": found.high}


def count(mask: np.ndarray) -> int:
    return int(np.count_nonzero(mask))


def counts_by(group_N: np.ndarray, selected_N: np.ndarray) -> dict[str, Row]:
    """For each value: samples in the pool, samples selected, and the share of the former that the latter are."""
    rows = pa.table({"group": pa.array(group_N, pa.string()), "selected": selected_N})
    counted = (
        rows.group_by("group").aggregate([("selected", "count"), ("selected", "sum")]).sort_by("group").to_pylist()
    )
    return {
        row["group"]: {
            "pool": row["selected_count"],
            "selected": row["selected_sum"],
            "share": row["selected_sum"] / row["selected_count"],
        }
        for row in counted
    }


def histogram(outcome: Outcome, labels: Labels) -> list[Row]:
    """Samples per score, in bins of equal width over the middle 99 % of the scores; the outermost bins hold what lies
    beyond.

    One column per group, so that `dvc plots` draws them as lines of one plot: kept and dropped; good, other and
    unlabelled.
    """
    graded_N = ~np.isnan(outcome.score_N)
    score = outcome.score_N[graded_N]
    limits = np.quantile(score, [0.005, 0.995]) if len(score) else (0.0, 1.0)
    edges = np.histogram_bin_edges(score, BINS, (float(limits[0]), float(limits[1])))
    selected_N, known_N = outcome.selected_N, labels.known_N
    groups_N = {
        "kept": selected_N,
        "dropped": ~selected_N,
        "good": labels.good_N,
        "other": known_N & ~labels.good_N,
        "unlabelled": ~known_N,
    }
    inside = np.clip(score, edges[0], edges[-1])
    counts = {name: np.histogram(inside[group_N[graded_N]], edges)[0] for name, group_N in groups_N.items()}
    return [
        {"score": (edges[i] + edges[i + 1]) / 2, "bin_left": edges[i], "bin_right": edges[i + 1]}
        | {name: bins[i] for name, bins in counts.items()}
        for i in range(BINS)
    ]


def label_rows(outcome: Outcome, labels: Labels) -> list[Row]:
    """Rows of `labels.csv`; samples without a label are a row of their own, so that the file is never empty."""
    named_N = np.where(labels.known_N, labels.text_N, "(none)")
    return [{"label": label} | counts for label, counts in counts_by(named_N, outcome.selected_N).items()]


def source_rows(outcome: Outcome) -> list[Row]:
    """Rows of `sources.csv`."""
    return [{"source": name} | counts for name, counts in counts_by(outcome.source_N, outcome.selected_N).items()]


def cluster_rows(outcome: Outcome) -> list[Row]:
    """Rows of `clusters.csv`, by the clusters' numbers; without clusters all samples are in none."""
    named_N = outcome.cluster_N.astype(str).astype(object)
    named_N[outcome.cluster_N == NOISE] = "(noise)"
    named_N[outcome.cluster_N == NO_CLUSTER] = "(none)"
    rows = [{"cluster": name} | counts for name, counts in counts_by(named_N, outcome.selected_N).items()]
    return sorted(rows, key=lambda row: (LAST.get(row["cluster"], 0), row["cluster"].zfill(20)))


def projection_rows(drawn: list[Row], outcome: Outcome) -> list[Row]:
    """Rows of `projection.csv`: those that a clustering drew, with what became of them; `cluster` is numbered as in
    `clusters.csv`. One empty row where nothing was drawn.
    """
    if drawn[0]["row"] is None:
        return [dict.fromkeys(("x", "y", "cluster", "kept", "score"))]
    return [
        {
            "x": point["x"],
            "y": point["y"],
            "cluster": int(outcome.cluster_N[point["row"]]),
            "kept": bool(outcome.selected_N[point["row"]]),
            "score": None if np.isnan(score := outcome.score_N[point["row"]]) else score,
        }
        for point in drawn
    ]
