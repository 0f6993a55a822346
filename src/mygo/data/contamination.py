"""Contamination: rows of a source that hold a test question of the benchmark leave the pool.

W words of a run, Q questions, G runs of words of all questions, N words of a batch of rows.
"""

import string
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path

import numpy as np
import pyarrow as pa

from mygo.data.benchmark import Question
from mygo.data.pool import BATCH_ROWS, write_rows
from mygo.data.records import LeftOut, PassedOver, Rejected, Sample

SHORTEST = 8  # words: a question of fewer, with its answer, may stand anywhere by chance
STRIPPED = dict.fromkeys(
    code
    for code in range(sys.maxunicode + 1)
    if chr(code) in string.punctuation or unicodedata.category(chr(code)).startswith("P")
)
FACTOR = np.uint64(0x9E3779B97F4A7C15)  # F of the hash; odd, so that it has an inverse modulo 2^64
INVERSE = np.uint64(pow(int(FACTOR), -1, 2**64))
UNKNOWN = 0  # a word that no question holds, and what stands between two rows
CONTAMINATION_SCHEMA = pa.schema(
    {
        "subject": pa.string(),
        "questions": pa.int64(),
        "too_short": pa.int64(),
        "found": pa.int64(),
        "rows_left_out": pa.int64(),
    }
)


def words_of(text: str) -> list[str]:
    """Lower case, punctuation stripped (not made a space), split at white space: as in GPT-3's appendix C (Brown et al.
    2020) and lm-eval's `decontamination`, and of all scripts, not of ASCII alone.
    """
    return text.lower().translate(STRIPPED).split()


@dataclass(frozen=True)
class Runs:
    """All runs of `width` words of the questions, by their hash, ascending; `question_G`: whose they are, of several
    the first.
    """

    width: int
    hash_G: np.ndarray
    question_G: np.ndarray


@dataclass
class Contamination:
    """What is looked for, and what was found so far.

    A question is compared as its text and the right answer behind it: so a conversation would hold it, and so long
    answers are found too. A row is all of its turns' texts one after the other. The row leaves if the two share a run
    of `words` words; a question of fewer is compared whole, and one of fewer than `SHORTEST` words not at all.
    """

    questions: Sequence[Question]
    words: int
    place_Q: list[int] = field(default_factory=list)  # within the subject, from 1
    runs: list[Runs] = field(default_factory=list)
    vocabulary: dict[str, int] = field(default_factory=dict)
    too_short: Counter[str] = field(default_factory=Counter)  # by subject
    found: set[int] = field(default_factory=set)
    rows_by_subject: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        seen: Counter[str] = Counter()
        ids: dict[int, dict[int, list[int]]] = {}  # by the width of their runs, of each question
        for number, question in enumerate(self.questions):
            seen[question["subject"]] += 1
            self.place_Q.append(seen[question["subject"]])
            text = words_of(f"{question['question']} {question['choices'][question['answer']]}")
            width = min(self.words, len(text))
            if width < SHORTEST:
                self.too_short[question["subject"]] += 1
                continue
            known = [self.vocabulary.setdefault(word, len(self.vocabulary) + 1) for word in text]
            ids.setdefault(width, {})[number] = known
        self.runs = [_runs(width, questions) for width, questions in sorted(ids.items(), reverse=True)]

    def without(
        self, rows: Iterable[Sample | Rejected | PassedOver]
    ) -> Iterator[Sample | Rejected | LeftOut | PassedOver]:
        """The rows, with a `LeftOut` in place of every sample that is contaminated. Streams."""
        stream = iter(rows)
        while batch := list(islice(stream, BATCH_ROWS)):
            samples = [row for row in batch if isinstance(row, Sample)]
            hits = self._hits(samples)
            numbers = iter(range(len(samples)))
            for row in batch:
                hit = hits.get(next(numbers)) if isinstance(row, Sample) else None
                yield row if hit is None or not isinstance(row, Sample) else self._leaves(row, *hit)

    def _leaves(self, row: Sample, question: int, width: int) -> LeftOut:
        subject = self.questions[question]["subject"]
        self.found.add(question)
        self.rows_by_subject[subject] += 1
        reason = f"contaminated: shares {width} words with question {self.place_Q[question]} of {subject}"
        return LeftOut(row.source_dataset, row.source_index, row.id, reason)

    def _hits(self, samples: Sequence[Sample]) -> dict[int, tuple[int, int]]:
        """By a sample's number: the first question that it shares a run with, the longest runs first, and how long."""
        texts = [words_of("\n".join(message["content"] for message in sample.messages)) for sample in samples]
        line = Line.of([[self.vocabulary.get(word, UNKNOWN) for word in text] for text in texts])
        row_N = np.repeat(np.arange(len(texts)), [len(text) + 1 for text in texts])
        hits: dict[int, tuple[int, int]] = {}
        for runs in self.runs:
            start, hash_S = line.runs(runs.width)
            at = np.searchsorted(runs.hash_G, hash_S).clip(max=len(runs.hash_G) - 1)
            for place in np.flatnonzero(runs.hash_G[at] == hash_S):
                hits.setdefault(int(row_N[start[place]]), (int(runs.question_G[at[place]]), runs.width))
        return hits

    def metrics(self) -> dict[str, int]:
        """Totals; by subject they are in `contamination.parquet`."""
        return {
            "questions": len(self.questions),
            "too_short": self.too_short.total(),
            "found": len(self.found),
            "rows_left_out": self.rows_by_subject.total(),
        }

    def write(self, path: Path) -> None:
        """A row a subject: its questions, those too short to be compared, those found, the rows that left."""
        total = Counter(question["subject"] for question in self.questions)
        found = Counter(self.questions[number]["subject"] for number in self.found)
        counted = [(s, total[s], self.too_short[s], found[s], self.rows_by_subject[s]) for s in sorted(total)]
        write_rows(counted, CONTAMINATION_SCHEMA, path)


def _runs(width: int, questions: dict[int, list[int]]) -> Runs:
    start, hash_S = Line.of(list(questions.values())).runs(width)
    question_N = np.repeat(list(questions), [len(ids) + 1 for ids in questions.values()])
    hash_G, first = np.unique(hash_S, return_index=True)
    return Runs(width, hash_G, question_N[start[first]])


@dataclass(frozen=True)
class Line:
    """Texts end to end, as what the hash of any run of their N words is made of."""

    sum_N1: np.ndarray  # of what comes before each word: x_0 + x_1 F + x_2 F^2 + ...
    inverse_N: np.ndarray  # F^-0, F^-1, ...
    unknown_N1: np.ndarray  # how many unknown words come before each one

    @classmethod
    def of(cls, texts: Sequence[Sequence[int]]) -> "Line":
        """`texts`: the words' numbers. Behind each goes an unknown word: no run goes from one into the next."""
        id_N = np.fromiter(chain.from_iterable(chain(text, (UNKNOWN,)) for text in texts), dtype=np.uint64)
        start = np.zeros(1, dtype=np.uint64)
        sum_N1 = np.concatenate([start, np.cumsum(_mixed(id_N) * _powers(FACTOR, len(id_N)))])
        unknown_N1 = np.concatenate([[0], np.cumsum(id_N == UNKNOWN)])
        return cls(sum_N1, _powers(INVERSE, len(id_N)), unknown_N1)

    def runs(self, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Where the runs of `width` known words begin, and their hashes: sum_k x_k F^k over a run, modulo 2^64.

        The same on every machine. Of a million runs against a billion the chance that two that differ fall together is
        1 in 20,000.
        """
        start = np.flatnonzero(self.unknown_N1[width:] == self.unknown_N1[: max(0, len(self.unknown_N1) - width)])
        return start, (self.sum_N1[start + width] - self.sum_N1[start]) * self.inverse_N[start]


def _powers(factor: np.uint64, count: int) -> np.ndarray:
    return np.cumprod(np.concatenate([np.ones(1, dtype=np.uint64), np.full(count, factor, dtype=np.uint64)]))[:count]


def _mixed(id_N: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64: numbers that differ little become numbers that differ in half of their bits."""
    x_N = (id_N ^ (id_N >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x_N = (x_N ^ (x_N >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x_N ^ (x_N >> np.uint64(31))
