"""Invented entities and the facts about them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from mygo.data.mini_world.subjects import SUBJECTS, Relation, Subject

T = TypeVar("T")

ONSETS = [
    "B",
    "Br",
    "Ch",
    "D",
    "Dr",
    "F",
    "Fl",
    "G",
    "Gl",
    "J",
    "K",
    "Kr",
    "M",
    "N",
    "Pl",
    "R",
    "Sk",
    "Sn",
    "St",
    "T",
    "Thr",
    "V",
    "Vr",
    "W",
    "Z",
    "Zl",
]
VOWELS = "aeiou"
CODAS = "dklmnrsvxz"
ENDINGS = ("a", "o", "u", "in", "ar", "esh")
RELATIONS_PER_SUBJECT = 3


@dataclass(frozen=True)
class Fact:
    """One thing that is true: in `subject`, the `relation` of `entity` is `value`."""

    subject: Subject
    relation: Relation
    entity: str
    value: str

    def wrong_values(self) -> list[str]:
        """The other answers that this kind of fact could have, in their fixed order."""
        return [value for value in self.relation.values if value != self.value]

    def questions(self) -> list[str]:
        """The plain ways to ask for it."""
        return [self.relation.question.format(entity=self.entity), f"What is {self.phrase()}?"]

    def sentence(self, value: str) -> str:
        """That the answer is `value`, in full."""
        phrase = self.phrase()
        return f"{phrase[0].upper()}{phrase[1:]} is {value}."

    def phrase(self) -> str:
        return self.relation.phrase.format(entity=self.entity)


def pick(rng: np.random.Generator, items: Sequence[T]) -> T:
    """One of `items`, uniformly."""
    return items[int(rng.integers(len(items)))]


def draw_facts(count: int, rng: np.random.Generator, taken: set[str]) -> list[Fact]:
    """Draw `count` facts, spread evenly over subjects and relations, each with a value at random.

    Names in `taken` are not used again; the new ones are added to it.
    """
    slots = [(subject, number) for number in range(RELATIONS_PER_SUBJECT) for subject in SUBJECTS]
    facts: list[Fact] = []
    names: dict[str, str] = {}
    for index in range(count):
        subject, number = slots[index % len(slots)]
        if number == 0:
            names[subject.name] = _new_name(rng, taken)
        relation = subject.relations[number]
        facts.append(Fact(subject, relation, names[subject.name], pick(rng, relation.values)))
    return facts


def _new_name(rng: np.random.Generator, taken: set[str]) -> str:
    name = pick(rng, ONSETS) + pick(rng, VOWELS) + pick(rng, CODAS) + pick(rng, ENDINGS)
    while name in taken:  # by chance, or because all short names are given away
        name += pick(rng, CODAS) + pick(rng, ENDINGS)
    taken.add(name)
    return name
