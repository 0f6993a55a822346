"""Multiple-choice questions on the facts, with MMLU's columns."""

from collections.abc import Sequence

import numpy as np

from mygo.data.benchmark import Question
from mygo.data.mini_world.facts import Fact, pick

CHOICES = 4


def draw_questions(facts: Sequence[Fact], rng: np.random.Generator) -> list[Question]:
    """One question for every fact, subjects sorted by name, the right choice equally often at each place.

    The other choices are answers of the same relation, so that only knowledge decides. Choices are sentences, as the
    pool mostly answers in sentences: a tiny model that has learnt a fact in one form does not yet know it in another.
    """
    places = rng.permutation(np.arange(len(facts)) % CHOICES).tolist()
    rows = [_question(fact, place, rng) for fact, place in zip(facts, places, strict=True)]
    return sorted(rows, key=lambda row: row["subject"])


def _question(fact: Fact, place: int, rng: np.random.Generator) -> Question:
    wrong = fact.wrong_values()
    values = [wrong[i] for i in rng.permutation(len(wrong))[: CHOICES - 1]]
    values.insert(place, fact.value)
    choices = [fact.sentence(value) for value in values]
    return {"question": pick(rng, fact.questions()), "subject": fact.subject.name, "choices": choices, "answer": place}
