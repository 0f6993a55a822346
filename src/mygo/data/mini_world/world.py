"""The mini world: a small synthetic truth, a pool that tells it well and badly, an exam on it, and a corpus about the
known part.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mygo.data.benchmark import Question
from mygo.data.chat.plain import plain_text
from mygo.data.mini_world.exam import draw_questions
from mygo.data.mini_world.facts import Fact, draw_facts, pick
from mygo.data.mini_world.pool import SOURCE_SHARES, draw_samples
from mygo.data.mini_world.rendering import CLAIMS_PER_SAMPLE, RENDERERS, truth
from mygo.data.mini_world.subjects import GROUPS, SUBJECTS
from mygo.data.records import Sample
from mygo.params import MiniWorldParams

EOS = "<|endoftext|>"
DEV_QUESTIONS_PER_SUBJECT = 5
CONVERSATIONS_PER_FACT = 20  # different tellings of a known fact in the corpus
STATEMENTS_PER_FACT = 4

# Every part draws from a stream of its own, so that the size of one leaves the others as they are.
FACTS, POOL, EXAM, CORPUS = range(4)


@dataclass(frozen=True)
class MiniWorld:
    """A world as `build` draws it. `dev_facts` are the dev questions' own: neither pool nor corpus tells them."""

    params: MiniWorldParams
    seed: int
    known_facts: tuple[Fact, ...]
    unknown_facts: tuple[Fact, ...]
    dev_facts: tuple[Fact, ...]

    @property
    def groups(self) -> dict[str, list[str]]:
        """MMLU's four groups and their subjects."""
        return GROUPS

    @property
    def facts(self) -> tuple[Fact, ...]:
        """All facts that the pool tells and the test asks for."""
        return self.known_facts + self.unknown_facts

    def samples(self) -> Iterator[Sample]:
        """The pool, source by source, with the true label of every sample."""
        return draw_samples(self.facts, self.params.samples, self.params.corrupted, _stream(self.seed, POOL))

    def questions(self) -> dict[str, list[Question]]:
        """The exam: `test` has one question on every fact, `dev` a few examples on facts of their own."""
        rng = _stream(self.seed, EXAM)
        return {"dev": draw_questions(self.dev_facts, rng), "test": draw_questions(self.facts, rng)}

    def corpus(self) -> list[str]:
        """Texts to pretrain on: statements and conversations about the known facts, in random order."""
        rng = _stream(self.seed, CORPUS)
        texts = [text for fact in self.known_facts for text in self._tellings(fact, rng)]
        return [texts[i] for i in rng.permutation(len(texts))]

    def _tellings(self, fact: Fact, rng: np.random.Generator) -> Iterator[str]:
        for _ in range(STATEMENTS_PER_FACT):
            yield truth(fact).sentence(rng) + EOS + "\n"
        for source in rng.choice(list(SOURCE_SHARES), size=CONVERSATIONS_PER_FACT, p=list(SOURCE_SHARES.values())):
            others = [pick(rng, self.known_facts) for _ in range(CLAIMS_PER_SAMPLE[source] - 1)]
            yield plain_text(RENDERERS[source]([truth(f) for f in (fact, *others)], rng), EOS)


def build(params: MiniWorldParams, seed: int) -> MiniWorld:
    """Draw the world: `params.facts` facts, of which the share `params.known` (at random) is known to the base
    models.
    """
    rng = _stream(seed, FACTS)
    taken: set[str] = set()
    facts = draw_facts(params.facts, rng, taken)
    dev_facts = draw_facts(DEV_QUESTIONS_PER_SUBJECT * len(SUBJECTS), rng, taken)
    order = rng.permutation(len(facts))
    share = math.ceil(params.known * len(facts))
    known, unknown = (tuple(facts[i] for i in sorted(part)) for part in (order[:share], order[share:]))
    return MiniWorld(params, seed, known, unknown, tuple(dev_facts))


def _stream(seed: int, part: int) -> np.random.Generator:
    return np.random.default_rng([seed, part])
