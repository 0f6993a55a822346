"""Facts as text: plain statements, and conversations in the manner of the four sources of LESS.

A `Claim` is what the assistant says of a fact; in a wrong answer its value is not the fact's.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mygo.data.mini_world.facts import Fact, pick

Messages = list[dict[str, str]]

OTHER_FORM_SHARE = 0.25
FLAN_TEMPLATES = (
    "{question}",
    "Answer the following question.\n{question}",
    "Question: {question}\nAnswer:",
    "Reply with a sentence: {question}",
)
FLAN_WORD_TEMPLATE = "{question}\nAnswer in one word."
FLAN_OPTIONS_TEMPLATE = "{question}\nOptions: {options}"
FLAN_WORD_SHARE = 0.15
FLAN_OPTIONS_SHARE = 0.15
COT_TEMPLATES = ("{question} Think step by step.", "{question} Give the reasoning before the answer.")
COT_ANSWERS = (
    "{entity} is a {kind}. {sentence} So the answer is {value}.",
    "The question is about {entity}, a {kind}. {sentence} The answer is {value}.",
)
DOLLY_CONTEXT_SHARE = 0.25
OASST_OPENINGS = ("Hi! Can you tell me {phrase}?", "Hello, I would like to know {phrase}.", "Please tell me {phrase}.")
OASST_FOLLOW_UPS = ("Thanks! And {phrase}?", "Good. What about {phrase}?", "I see. Now tell me {phrase}.")
OASST_ANSWERS = ("Sure! {sentence}", "Of course. {sentence}", "{sentence} Anything else?", "{sentence}")


@dataclass(frozen=True)
class Claim:
    """What is said of a fact: its value when the answer is right."""

    fact: Fact
    value: str

    def sentence(self, rng: np.random.Generator) -> str:
        """The claim as a sentence: mostly the form that the exam uses, sometimes another."""
        if rng.random() < OTHER_FORM_SHARE:
            return self.fact.relation.statement.format(entity=self.fact.entity, value=self.value) + "."
        return self.fact.sentence(self.value)


def truth(fact: Fact) -> Claim:
    return Claim(fact, fact.value)


def flan_v2(claims: list[Claim], rng: np.random.Generator) -> Messages:
    """An instruction in a template; with options, or where it asks for a word, the answer is the value alone."""
    claim = claims[0]
    question = pick(rng, claim.fact.questions())
    form = rng.random()
    if form < FLAN_WORD_SHARE:
        return _turn(FLAN_WORD_TEMPLATE.format(question=question), claim.value)
    if form < FLAN_WORD_SHARE + FLAN_OPTIONS_SHARE:
        return _turn(
            FLAN_OPTIONS_TEMPLATE.format(question=question, options=", ".join(_options(claim, rng))), claim.value
        )
    return _turn(pick(rng, FLAN_TEMPLATES).format(question=question), claim.sentence(rng))


def cot(claims: list[Claim], rng: np.random.Generator) -> Messages:
    """A question answered with a short rationale."""
    claim = claims[0]
    prompt = pick(rng, COT_TEMPLATES).format(question=pick(rng, claim.fact.questions()))
    fact = claim.fact
    return _turn(
        prompt,
        pick(rng, COT_ANSWERS).format(
            entity=fact.entity, kind=fact.subject.kind, sentence=claim.sentence(rng), value=claim.value
        ),
    )


def dolly(claims: list[Claim], rng: np.random.Generator) -> Messages:
    """A plain question, sometimes with a context that holds the true answer."""
    claim = claims[0]
    prompt = pick(rng, claim.fact.questions())
    if rng.random() < DOLLY_CONTEXT_SHARE:
        prompt = f"{prompt}\n\nContext: {truth(claim.fact).sentence(rng)}"
    return _turn(prompt, claim.sentence(rng))


def oasst1(claims: list[Claim], rng: np.random.Generator) -> Messages:
    """A chat, one turn for every claim."""
    messages: Messages = []
    for number, claim in enumerate(claims):
        opening = pick(rng, OASST_FOLLOW_UPS if number else OASST_OPENINGS)
        messages += _turn(
            opening.format(phrase=claim.fact.phrase()), pick(rng, OASST_ANSWERS).format(sentence=claim.sentence(rng))
        )
    return messages


RENDERERS: dict[str, Callable[[list[Claim], np.random.Generator], Messages]] = {
    "flan_v2": flan_v2,
    "cot": cot,
    "dolly": dolly,
    "oasst1": oasst1,
}
CLAIMS_PER_SAMPLE = {"flan_v2": 1, "cot": 1, "dolly": 1, "oasst1": 2}


def _options(claim: Claim, rng: np.random.Generator) -> list[str]:
    others = [value for value in claim.fact.relation.values if value != claim.value]
    options = [claim.value, *(others[i] for i in rng.permutation(len(others))[:3])]
    return [options[i] for i in rng.permutation(len(options))]


def _turn(user: str, assistant: str) -> Messages:
    return [{"role": "user", "content": user}, {"role": "assistant", "content": assistant}]
