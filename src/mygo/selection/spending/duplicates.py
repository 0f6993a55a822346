"""Near-duplicates: samples whose texts share most of their word 5-grams (Lee et al. 2022, arXiv 2107.06499).

R rows, G grams of all rows end to end, P permutations, B bands.

Texts are lower-cased and cut at white space, and where a script has none between words, at every letter; a text of
fewer words is one gram. Candidates are found by MinHash (rensa)
in bands, and the Jaccard similarity of their sets of grams is then computed exactly, so that what MinHash gets wrong is
at most a pair that it misses (0.5 % of those right at the limit).
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np

from mygo.data.pool import iter_batches

WORDS = 5
PERMUTATIONS = 128
CAUGHT = 0.995  # of the pairs right at the limit
BATCH_ROWS = 4096
UNSPACED = re.compile(  # Thai and Lao, Myanmar, Khmer, kana, Han
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
STEP = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: an odd number without pattern
OF_A_PAD = np.uint64(0x2545F4914F6CDD1D)


@dataclass(frozen=True)
class Grams:
    """Hashes of the word 5-grams of every row of the pool, end to end: row r has `values[first_R[r]:first_R[r + 1]]`,
    uint64, sorted, each once. 8 bytes a word of the pool.
    """

    values: np.ndarray
    first_R: np.ndarray

    def of(self, row: int) -> np.ndarray:
        return self.values[self.first_R[row] : self.first_R[row + 1]]

    def jaccard(self, one: int, others: np.ndarray) -> np.ndarray:
        """Size of the intersection over that of the union, with each of the others; 1 for two empty texts."""
        own, first_O, size_O = self.of(one), self.first_R[others], self.first_R[others + 1] - self.first_R[others]
        end_O = np.cumsum(size_O)
        theirs = self.values[np.arange(size_O.sum()) + np.repeat(first_O - (end_O - size_O), size_O)]
        before = np.zeros(len(theirs) + 1, dtype=np.int64)  # how many of own are among theirs before each place
        if len(own):
            before[1:] = np.cumsum(own[np.searchsorted(own, theirs).clip(max=len(own) - 1)] == theirs)
        shared_O = before[end_O] - before[end_O - size_O]
        union_O = len(own) + size_O - shared_O
        return np.where(union_O > 0, shared_O / np.maximum(union_O, 1), 1.0)


def read_grams(pool: Path) -> Grams:
    """Of the contents of all messages of a sample, streamed from the pool."""
    parts = [_grams(texts) for texts in _texts(pool)]
    counts = np.concatenate([[0], *(counts for _, counts in parts)])
    return Grams(np.concatenate([values for values, _ in parts]), np.cumsum(counts))


Buckets = dict[int, list[tuple[int, int]]]  # (band, number) of each row that shares one with another row


def duplicates_along(order: np.ndarray, grams: Grams, shared: Buckets, similarity: float) -> dict[int, int]:
    """Rows of `order` that are near-duplicates, each with the row that stays for it: the first in the order among those
    that stay and are at least so similar.
    """
    place = {row: i for i, row in enumerate(order.tolist()) if row in shared}
    stayed: dict[tuple[int, int], list[int]] = {}  # in each bucket
    duplicate_of: dict[int, int] = {}
    for row in place:
        buckets = shared[row]
        others = np.array(sorted({other for bucket in buckets for other in stayed.get(bucket, ())}), dtype=np.int64)
        alike = others[grams.jaccard(row, others) >= similarity].tolist()
        if alike:
            duplicate_of[row] = min(alike, key=place.__getitem__)
            continue
        for bucket in buckets:
            stayed.setdefault(bucket, []).append(row)
    return duplicate_of


def bands_of(similarity: float) -> int:
    """Into how few bands a digest is cut so that at least 99.5 % of the pairs of this similarity share one."""
    for width in range(PERMUTATIONS, 1, -1):
        bands = PERMUTATIONS // width
        if 1 - (1 - similarity**width) ** bands >= CAUGHT:
            return bands
    return PERMUTATIONS


def shared_buckets(grams: Grams, rows: np.ndarray, similarity: float, seed: int) -> Buckets:
    """Which rows may be near-duplicates of each other."""
    digest_RP = _digests(grams, rows, seed)
    bands = bands_of(similarity)
    width = PERMUTATIONS // bands
    shared: Buckets = {}
    for band in range(bands):
        columns = digest_RP[:, band * width : (band + 1) * width].T.astype(np.uint64)
        _, bucket_R, size = np.unique(_chained(columns), return_inverse=True, return_counts=True)
        for place in np.flatnonzero(size[bucket_R] > 1).tolist():
            shared.setdefault(int(rows[place]), []).append((band, int(bucket_R[place])))
    return shared


def _digests(grams: Grams, rows: np.ndarray, seed: int) -> np.ndarray:
    """MinHash digests, uint32 [R, P]."""
    import rensa

    digest_RP = np.empty((len(rows), PERMUTATIONS), dtype=np.uint32)
    for start in range(0, len(rows), BATCH_ROWS):  # rensa returns Python numbers: not of all rows at once
        some = rows[start : start + BATCH_ROWS].tolist()
        values = np.concatenate([grams.of(row) for row in some])
        edges = np.cumsum([0, *(len(grams.of(row)) for row in some)]).astype(np.uint64)
        matrix = cast(Any, rensa).RMinHash.digest_matrix_from_flat_token_hashes(values, edges, PERMUTATIONS, seed)
        digest_RP[start : start + len(some)] = matrix.to_rows()
    return digest_RP


def _texts(pool: Path) -> Iterator[list[str]]:
    for batch in iter_batches(pool, ["messages"], BATCH_ROWS):
        conversations = batch.column("messages").to_pylist()
        yield [" ".join(map(_text, messages)) for messages in conversations]


def _text(message: dict[str, str | None]) -> str:
    return f"{message['content'] or ''} {message['tool_calls'] or ''}"


def words_of(text: str) -> list[str]:
    lower = text.lower()
    return (lower if lower.isascii() else UNSPACED.sub(r" \g<0> ", lower)).split()


def _grams(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """The distinct grams of some texts end to end, and how many each has."""
    import pandas as pd

    words = [words_of(text) for text in texts]
    flat = np.array([word for row in words for word in row], dtype=object)
    hashes = cast(Any, pd).util.hash_array(flat, categorize=True) if len(flat) else np.empty(0, np.uint64)
    edges = np.cumsum([0, *map(len, words)])
    rows = [_grams_of(hashes[first:stop]) for first, stop in pairwise(edges)]
    return np.concatenate(rows), np.array([len(row) for row in rows])


def _grams_of(words: np.ndarray) -> np.ndarray:
    if not len(words):
        return words
    padded = np.concatenate([words, np.full(max(0, WORDS - len(words)), OF_A_PAD)])
    count = len(padded) - WORDS + 1
    return np.unique(_chained([padded[i : i + count] for i in range(WORDS)]))


def _chained(parts: Iterable[np.ndarray]) -> np.ndarray:
    """A hash of several columns of uint64, one value for each row; wraps around."""
    total = np.uint64(0)
    for part in parts:
        total = total * STEP + part
    return np.asarray(total)
