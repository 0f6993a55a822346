"""Scores towards a reference set: `rds` by the base's hidden states, `dsir` by words.

N samples of the pool, B samples of a batch, R reference samples, D hidden, W words of a batch, K buckets.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

import numpy as np

from mygo.data.chat.plain import plain_text
from mygo.data.pool import holds_samples, iter_batches
from mygo.data.records import from_records
from mygo.errors import UserError
from mygo.selection.reading.material import Material
from mygo.selection.reading.statistics import AGAIN, Statistics, open_statistics
from mygo.selection.reading.vectors import read_vectors

WEIGHTED = "base_hidden_weighted"
COSINES = 2**22  # rows x reference samples in memory at once
TEXTS = 2_000  # of a batch
WORD = re.compile(r"\w+|[^\w\s]+")  # NLTK's WordPunctTokenizer, which the published code uses
SMOOTHING = 1e-8  # added to every probability, as published
FACTOR = np.uint64(0x9E3779B97F4A7C15)


def rds(material: Material) -> np.ndarray:
    """The largest cosine to a reference sample, of the base's last hidden states, averaged with weights in proportion
    to a token's place: RDS+ (Ivison et al. 2025, arXiv 2503.01807).

    The paper spends its budget in turns: every reference sample takes its nearest sample that is not taken yet. The
    largest cosine is the score of its `max`; taken from the top it lets the reference samples that are near to much
    have more than their share, where turns give each the same number.
    """
    pool, reference = material.statistics, _reference_statistics(material)
    if pool.manifest.fingerprint.get("model") != reference.manifest.fingerprint.get("model"):
        raise UserError(f"{reference.folder}: was collected with another model than {pool.folder}; {AGAIN}")
    x_RD = np.concatenate([_directions(batch) for batch in _hidden(reference, TEXTS)])
    x_RD = x_RD[np.isfinite(x_RD).all(axis=1)]
    if not len(x_RD):
        raise UserError(f"{reference.folder}: none of its samples could be encoded; takes others (prepare.reference)")
    batches = _hidden(pool, max(1, COSINES // len(x_RD)))
    score_N = np.concatenate([(_directions(x_BD) @ x_RD.T).max(axis=1) for x_BD in batches]).astype(np.float64)
    return _of_samples_to_learn_from(pool, score_N)


def dsir(material: Material) -> np.ndarray:
    """The log importance weight of a sample, sum over its n-grams of log p(reference) - log p(pool), with Gumbel noise
    unless `select.dsir.gumbel` is false: the best k are then a draw of k without replacement in proportion to the
    weights. Xie et al. 2023, "Data Selection for Language Models via Importance Resampling", arXiv 2302.03169.

    As in the published package (PyPI: data-selection): words are NLTK's WordPunct of the lower-case text, all n-grams
    of 1 to `ngrams` words are hashed into `buckets`, and 1e-8 is added to every probability: of a small reference set
    each n-gram that it lacks costs some nats, so that long samples come last. Ours: the text is the conversation with
    its role markers; and the hash, the same on every machine as theirs, is computed of the words' hashes, where they
    take SHA-256 of every n-gram.
    """
    pool, reference = material.pool, _reference_pool(material)
    ngrams = Ngrams(material.params.dsir.ngrams, material.params.dsir.buckets)
    difference_K = np.log(_shares(ngrams, reference) + SMOOTHING) - np.log(_shares(ngrams, pool) + SMOOTHING)
    weights = [ngrams.sums(texts, difference_K) for texts in _texts(pool)]
    score_N = np.concatenate(weights)
    if material.params.dsir.gumbel:
        score_N += np.random.default_rng([material.seed, *b"dsir"]).gumbel(size=len(score_N))
    return _of_samples_to_learn_from(material.statistics, score_N)


def _of_samples_to_learn_from(pool: Statistics, score_N: np.ndarray) -> np.ndarray:
    return np.where(pool.values("n_tokens") >= 2, score_N, np.nan)


@dataclass
class Ngrams:
    """Texts as the buckets of their n-grams of 1 to `longest` words."""

    longest: int
    buckets: int
    hashes: dict[str, int] = field(default_factory=dict)  # of words, 64 bits

    def counts(self, texts: Sequence[str]) -> np.ndarray:
        """How many n-grams of the texts fall into each bucket, int64 [K]."""
        found = [bucket for bucket, _ in self._buckets(texts)]
        return sum((np.bincount(bucket, minlength=self.buckets) for bucket in found), np.zeros(self.buckets, np.int64))

    def sums(self, texts: Sequence[str], value_K: np.ndarray) -> np.ndarray:
        """Sum of the values of each text's n-grams [B]."""
        total_B = np.zeros(len(texts))
        for bucket, text in self._buckets(texts):
            total_B += np.bincount(text, weights=value_K[bucket], minlength=len(texts))
        return total_B

    def _buckets(self, texts: Sequence[str]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """For each length of n-grams their buckets, and which of the texts they are of."""
        words = [WORD.findall(text.lower()) for text in texts]
        word_W = np.fromiter((self._hash(word) for text in words for word in text), dtype=np.uint64)
        text_W = np.repeat(np.arange(len(texts)), [len(text) for text in words])
        hash_W = np.zeros_like(word_W)
        for length in range(1, self.longest + 1):
            count = max(0, len(word_W) - length + 1)
            hash_W = hash_W[:count] * FACTOR + word_W[length - 1 :]
            inside = text_W[:count] == text_W[length - 1 :]
            yield (mixed(hash_W[inside]) % np.uint64(self.buckets)).astype(np.int64), text_W[:count][inside]

    def _hash(self, word: str) -> int:
        known = self.hashes.get(word)
        if known is None:
            digest = blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest()
            known = self.hashes[word] = int.from_bytes(digest, "little")
        return known


def mixed(x_N: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64: all 64 bits have a part in the remainder."""
    x_N = (x_N ^ (x_N >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x_N = (x_N ^ (x_N >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x_N ^ (x_N >> np.uint64(31))


def _shares(ngrams: Ngrams, pool: Path) -> np.ndarray:
    """The share of a pool's n-grams that falls into each bucket [K]."""
    count_K = np.zeros(ngrams.buckets, np.int64)
    for texts in _texts(pool):
        count_K += ngrams.counts(texts)
    return count_K / max(1, count_K.sum())


def _texts(pool: Path) -> Iterator[list[str]]:
    for batch in iter_batches(pool, ["messages"], TEXTS):
        yield [plain_text(messages) for messages in from_records(batch.column("messages"))]


def _reference_pool(material: Material) -> Path:
    if material.reference_pool is None or not holds_samples(material.reference_pool):
        raise no_reference(material)
    return material.reference_pool


def _reference_statistics(material: Material) -> Statistics:
    if material.reference is None or not (material.reference / "manifest.json").exists():
        raise no_reference(material)
    return open_statistics(material.reference)


def no_reference(material: Material) -> UserError:
    """What to say where a score has nothing to compare with."""
    return UserError(
        f"select.score: {material.params.score} compares the pool with a reference set, and there is none; set "
        "prepare.reference.source to benchmark, local or hub and run prepare and collect again"
    )


def _hidden(statistics: Statistics, rows: int) -> Iterator[np.ndarray]:
    if not statistics.has(WEIGHTED):
        raise UserError(
            f"select.score: rds compares hidden states of the base, and {statistics.folder} holds none; set "
            "collect.hidden_states to true and run collect again"
        )
    return read_vectors(statistics, WEIGHTED, rows)


def _directions(x_BD: np.ndarray) -> np.ndarray:
    """Rows of length 1; NaN stays NaN, and a row of zeros is near to nothing."""
    length_B = np.sqrt(np.einsum("bd,bd->b", x_BD, x_BD, dtype=np.float64))
    return x_BD / np.where(length_B == 0, 1, length_B).astype(np.float32)[:, None]
