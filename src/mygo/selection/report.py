"""What `metrics/select.json` and the plots say about a selection. Labels are read here and nowhere else.

N samples of the pool; `score` is NaN where a sample cannot be graded.
"""

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from mygo.data.labels import label_text
from mygo.selection.agreement import auc, wilson

logger = logging.getLogger(__name__)

BINS = 40
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
Row = dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """A selection as the report sees it: arrays over the pool's N rows, and the budget that was asked for."""

    source_N: np.ndarray
    n_tokens_N: np.ndarray
    score_N: np.ndarray
    preference_N: np.ndarray  # higher is what select.order asks for; NaN where a sample cannot be kept
    cluster_N: np.ndarray  # -1: in none
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
    """Labels are compared as lower-case texts, since YAML reads an unquoted `true` as a boolean."""
    good, texts = str(label_text(good_label)).lower(), labels.to_pylist()
    known_N = np.array([text is not None for text in texts], dtype=bool)
    good_N = np.array([text is not None and text.lower() == good for text in texts], dtype=bool)
    return Labels(good, np.array(texts, dtype=object), known_N, good_N)


def describe(outcome: Outcome) -> Row:
    """Sizes, shares per source, tokens, the clusters if there are any, and the distribution of the score."""
    selected = outcome.selected_N
    metrics: Row = {
        "pool": len(selected),
        "gradable": count(~np.isnan(outcome.preference_N)),
        "budget": outcome.budget,
        "selected": count(selected),
        "share_of_source": {source: row["share"] for source, row in counts_by(outcome.source_N, selected).items()},
        "tokens": {"mean_pool": outcome.n_tokens_N.mean(), "mean_selected": outcome.n_tokens_N[selected].mean()},
    }
    sizes = np.bincount(outcome.cluster_N[outcome.cluster_N >= 0])
    if len(sizes):
        metrics["clusters"] = {
            "count": len(sizes),
            "min_size": sizes.min(),
            "median_size": np.median(sizes),
            "max_size": sizes.max(),
        }
    graded = outcome.score_N[~np.isnan(outcome.score_N)]
    if len(graded):
        metrics["score"] = {
            "min": graded.min(),
            "mean": graded.mean(),
            "max": graded.max(),
            "mean_selected": outcome.score_N[selected].mean(),
        }
        metrics["score"] |= {
            f"p{round(100 * q):02d}": value for q, value in zip(QUANTILES, np.quantile(graded, QUANTILES), strict=True)
        }
    return metrics


def agreement(outcome: Outcome, labels: Labels) -> Row:
    """AUC of the score and precision of the selection against the labels; empty, with a line in the log, where the pool
    does not allow it.

    `base_rate` is the share of good samples among the labelled ones that can be kept: what a random draw is expected to
    reach.
    """
    labelled_N = labels.known_N & ~np.isnan(outcome.preference_N)
    good, others = count(labels.good_N & labelled_N), count(~labels.good_N & labelled_N)
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
