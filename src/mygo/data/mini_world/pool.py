"""The pool: conversations about every fact in the shape of four sources, a known share of them corrupted."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from mygo.data.mini_world.corruption import CLEAN, KIND_SHARES, TEXT_CORRUPTIONS, duplicate, wrong_claim
from mygo.data.mini_world.facts import Fact, pick
from mygo.data.mini_world.rendering import CLAIMS_PER_SAMPLE, RENDERERS, Messages, truth
from mygo.data.records import Sample

SOURCE_SHARES = {"flan_v2": 0.4, "cot": 0.2, "dolly": 0.2, "oasst1": 0.2}


def draw_samples(facts: Sequence[Fact], count: int, corrupted: float, rng: np.random.Generator) -> Iterator[Sample]:
    """Draw `count` samples, source by source, on all facts evenly; `round(corrupted * count)` of them are corrupted."""
    labels = _draw_labels(count, corrupted, rng)
    turns = _endless_facts(facts, rng)
    start = 0
    for source, size in spread(SOURCE_SHARES, count).items():
        of_source = labels[start : start + size]
        for index, (label, messages) in enumerate(
            zip(of_source, _draw_source(source, of_source, turns, rng), strict=True)
        ):
            yield Sample(source, index, f"{source}_{index}", messages, label, (("label", label),))
        start += size


def spread(shares: Mapping[str, float], total: int) -> dict[str, int]:
    """Whole numbers in proportion to `shares` (which sum to 1) that sum to `total`."""
    edges = np.rint(np.cumsum([0.0, *shares.values()]) * total).astype(int)
    return dict(zip(shares, np.diff(edges).tolist(), strict=True))


def _draw_labels(count: int, corrupted: float, rng: np.random.Generator) -> list[str]:
    bad = round(corrupted * count)
    labels = [CLEAN] * (count - bad) + [kind for kind, size in spread(KIND_SHARES, bad).items() for _ in range(size)]
    return [labels[i] for i in rng.permutation(count)]


def _endless_facts(facts: Sequence[Fact], rng: np.random.Generator) -> Iterator[Fact]:
    """All facts in random order, again and again, so that each is told equally often."""
    while True:
        for i in rng.permutation(len(facts)):
            yield facts[i]


def _draw_source(source: str, labels: Sequence[str], turns: Iterator[Fact], rng: np.random.Generator) -> list[Messages]:
    conversations = [
        _conversation(source, label, [next(turns) for _ in range(CLAIMS_PER_SAMPLE[source])], rng) for label in labels
    ]
    originals = [messages for messages, label in zip(conversations, labels, strict=True) if label != "duplicate"]
    return [
        duplicate(pick(rng, originals), rng) if label == "duplicate" else messages
        for messages, label in zip(conversations, labels, strict=True)
    ]


def _conversation(source: str, label: str, facts: list[Fact], rng: np.random.Generator) -> Messages:
    claims = [truth(fact) for fact in facts]
    if label == "wrong_answer":
        claims = [wrong_claim(claim, rng) for claim in claims]
    messages = RENDERERS[source](claims, rng)
    return TEXT_CORRUPTIONS[label](messages, rng) if label in TEXT_CORRUPTIONS else messages
