"""Every score against every label, a table for each label. N samples of the pool."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pyarrow as pa

from mygo.selection.agreement.areas import auc
from mygo.selection.agreement.bootstrap import prompts_repeat
from mygo.selection.agreement.estimate import Estimate, holm
from mygo.selection.agreement.graded import Graded, Held
from mygo.selection.agreement.labels import Label
from mygo.selection.agreement.overlap import overlap
from mygo.selection.agreement.pairs import pairwise
from mygo.selection.agreement.partial import partial
from mygo.selection.agreement.rank import spearman
from mygo.selection.ranking import rank_rows

Row = dict[str, str | int | float | None]


@dataclass(frozen=True)
class Size:
    """How many rows the overlap is of: `count`, or a share of those that are labelled and graded; neither: as many as
    are good.
    """

    count: int | None = None
    ratio: float | None = None

    def of(self, rows: int, good: int) -> int:
        if self.ratio is not None:
            return math.ceil(Fraction(str(self.ratio)) * rows)
        return min(rows, good if self.count is None else self.count)


@dataclass(frozen=True)
class Table:
    """One label: `rows` has a line for each score, with the same keys in all; None where something is not defined."""

    label: Label
    held: list[str]
    rows: list[Row]

    @property
    def has_good(self) -> bool:
        return self.label.good_N is not None


@dataclass(frozen=True)
class Pool:
    """What is asked of the pool beside scores: its keys (source_dataset, source_index) and its prompts' numbers."""

    keys: pa.Table
    prompt_N: np.ndarray


def tabulate(scores: Sequence[Graded], label: Label, held: Held, pool: Pool, size: Size, seed: int) -> Table:
    """Each score against the label, over the rows that have both. p of the main measure (Spearman for numbers, else
    AUC) and of the partial correlations are corrected over the scores (Holm), each by themselves.
    """
    rows = [_row(score, label, pool, size, seed) for score in scores]
    for row, beyond in zip(rows, _partial(scores, label, held, pool, seed), strict=True):
        row |= _named("partial", beyond)
    for name in ("spearman" if label.numbers else "auc", "partial"):
        corrected = holm([row[f"{name}_p"] for row in rows])  # pyright: ignore[reportArgumentType]
        for row, p in zip(rows, corrected, strict=True):
            row[f"{name}_p_holm"] = p
    return Table(label, held.names, rows)


def _row(score: Graded, label: Label, pool: Pool, size: Size, seed: int) -> Row:
    rows = np.flatnonzero(~np.isnan(score.preference_N) & ~np.isnan(label.value_N))
    preference, value, prompt = score.preference_N[rows], label.value_N[rows], pool.prompt_N[rows]
    row: Row = {"label": label.name, "score": score.name, "order": score.order, "rows": len(rows)}
    row["prompts"] = len(np.unique(prompt))
    if label.numbers:
        row |= _named("spearman", spearman(preference, value, prompt, seed) if len(rows) else None)
    if label.good_N is not None:
        row |= _of_good(preference, label.good_N[rows], prompt, pool.keys.take(pa.array(rows)), size, seed)
    pairs = pairwise(preference, value, prompt, seed)
    row |= {"pairs": pairs.pairs if pairs else 0, "pair_prompts": pairs.prompts if pairs else 0}
    right = _named("pairs_right", pairs.right if pairs else None)
    return row | {name: value for name, value in right.items() if not name.endswith("_p")}


def _of_good(
    preference: np.ndarray, good: np.ndarray, prompt: np.ndarray, keys: pa.Table, size: Size, seed: int
) -> Row:
    """AUC, and the overlap of the score's best with the good ones."""
    count = int(good.sum())
    if not count or count == len(good):
        return _named("auc", None) | dict.fromkeys(OVERLAP) | _named("lift", None)
    area = auc(preference, good, prompt if prompts_repeat(prompt) else None)
    kept = np.zeros(len(good), dtype=bool)
    kept[rank_rows(preference, keys)[: size.of(len(good), count)]] = True
    found = overlap(kept, good, prompt, seed)
    values = (found.published, found.size, found.common, found.expected, found.low, found.high, found.jaccard)
    return _named("auc", area) | dict(zip(OVERLAP, values, strict=True)) | _named("lift", found.lift)


OVERLAP = ("good", "kept", "common", "common_by_chance", "chance_low", "chance_high", "jaccard")


def _partial(scores: Sequence[Graded], label: Label, held: Held, pool: Pool, seed: int) -> list[Estimate | None]:
    """Scores that are there for the same rows are measured together, so that prompts are drawn once for them."""
    there_N = ~np.isnan(label.value_N) & ~np.isnan(held.value_NC).any(axis=1)
    groups: dict[bytes, list[int]] = {}
    for i, score in enumerate(scores):
        groups.setdefault((there_N & ~np.isnan(score.preference_N)).tobytes(), []).append(i)
    found: list[Estimate | None] = [None] * len(scores)
    for mask, members in groups.items():
        rows = np.flatnonzero(np.frombuffer(mask, dtype=bool))
        if len(rows) < 2:
            continue
        score_NS = np.column_stack([scores[i].preference_N[rows] for i in members])
        estimates = partial(score_NS, label.value_N[rows], held.value_NC[rows], pool.prompt_N[rows], seed)
        for i, estimate in zip(members, estimates, strict=True):
            found[i] = estimate
    return found


def _named(name: str, estimate: Estimate | None) -> Row:
    if estimate is None:
        return {name: None, f"{name}_low": None, f"{name}_high": None, f"{name}_p": None}
    return {
        name: estimate.value,
        f"{name}_low": estimate.low,
        f"{name}_high": estimate.high,
        f"{name}_p": estimate.p,
    }
