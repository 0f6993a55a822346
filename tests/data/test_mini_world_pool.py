"""The mini world's pool: its shape, its labels, and that each label says what was done to the text."""

import re
from collections import Counter

import numpy as np
import pytest

from mygo.data.mini_world import MiniWorld, build
from mygo.data.mini_world.corruption import KIND_SHARES, REFUSALS, TEXT_CORRUPTIONS, duplicate
from mygo.data.mini_world.pool import SOURCE_SHARES, spread
from mygo.data.records import Sample
from mygo.params import MiniWorldParams

PARAMS = MiniWorldParams(facts=480, samples=3000, corrupted=0.4, known=0.5, pretrain_steps=1)
MESSAGES = [
    {"role": "user", "content": "Please tell me the colour of Drexo."},
    {"role": "assistant", "content": "Sure! The colour of Drexo is red."},
    {"role": "user", "content": "Thanks! And the use of Vrinu?"},
    {"role": "assistant", "content": "welding"},
]


@pytest.fixture(scope="module")
def world() -> MiniWorld:
    return build(PARAMS, seed=1)


@pytest.fixture(scope="module")
def pool(world: MiniWorld) -> list[Sample]:
    return list(world.samples())


def answers(sample: Sample) -> str:
    return "\n".join(message["content"] for message in sample.messages if message["role"] == "assistant")


def told(sample: Sample, world: MiniWorld) -> list[bool]:
    """For each fact that a question of the sample names: does the answer to that question hold its value?"""
    found = []
    for question, answer in zip(sample.messages[::2], sample.messages[1::2], strict=True):
        names, said = (set(re.findall(r"\w+", message["content"])) for message in (question, answer))
        asked = [
            fact
            for fact in world.facts
            if fact.entity in names and any(text in question["content"] for text in (*fact.questions(), fact.phrase()))
        ]
        found += [fact.value in said for fact in asked]
    return found


def test_labels_come_in_the_shares_that_were_asked_for(pool: list[Sample]):
    counts = Counter(sample.label for sample in pool)
    assert counts.pop("clean") == 1800  # 3000 * (1 - 0.4)
    assert counts == {kind: round(1200 * share) for kind, share in KIND_SHARES.items()}


def test_shares_become_whole_numbers_with_the_right_sum():
    assert spread({"a": 0.5, "b": 0.25, "c": 0.25}, 7) == {
        "a": 4,
        "b": 1,
        "c": 2,
    }  # edges 0, 3.5, 5.25, 7 round to 0, 4, 5, 7
    assert sum(spread(KIND_SHARES, 101).values()) == 101
    assert sum(KIND_SHARES.values()) == pytest.approx(1)
    assert sum(SOURCE_SHARES.values()) == pytest.approx(1)


def test_the_four_sources_of_less_in_their_shapes(pool: list[Sample]):
    assert Counter(sample.source_dataset for sample in pool) == {
        "flan_v2": 1200,
        "cot": 600,
        "dolly": 600,
        "oasst1": 600,
    }
    for source in SOURCE_SHARES:
        of_source = [sample for sample in pool if sample.source_dataset == source]
        assert [sample.source_index for sample in of_source] == list(range(len(of_source)))
        turns = 2 if source == "oasst1" else 1
        assert all(
            [message["role"] for message in sample.messages] == ["user", "assistant"] * turns for sample in of_source
        )
    clean_cot = [answers(sample) for sample in pool if (sample.source_dataset, sample.label) == ("cot", "clean")]
    assert all("nswer is " in answer and len(answer.split()) > 8 for answer in clean_cot)
    assert any("Context:" in sample.messages[0]["content"] for sample in pool if sample.source_dataset == "dolly")
    assert len({sample.id for sample in pool}) == len(pool)


def test_every_fact_is_told_and_about_equally_often(world: MiniWorld, pool: list[Sample]):
    text = "\n".join(
        message["content"]
        for sample in pool
        for message in sample.messages
        if message["role"] == "user" and sample.label != "shuffled"
    )
    told_often = [sum(text.count(form) for form in {*fact.questions(), fact.phrase()}) for fact in world.facts]
    assert min(told_often) >= 3


def test_clean_answers_are_right_and_wrong_answers_are_wrong(world: MiniWorld, pool: list[Sample]):
    clean = [told(sample, world) for sample in pool if sample.label == "clean"]
    wrong = [told(sample, world) for sample in pool if sample.label == "wrong_answer"]
    assert all(facts and all(facts) for facts in clean)
    assert all(facts and not any(facts) for facts in wrong)


def test_wrong_answers_on_a_fact_differ_and_are_of_its_relation(world: MiniWorld, pool: list[Sample]):
    seen: dict[str, set[str]] = {}
    for sample in (sample for sample in pool if sample.label == "wrong_answer" and sample.source_dataset != "oasst1"):
        (fact,) = [
            fact for fact in world.facts if any(text in sample.messages[0]["content"] for text in fact.questions())
        ]
        said = {value for value in fact.wrong_values() if value in answers(sample).replace(fact.entity, "")}
        assert len(said) == 1
        seen.setdefault(fact.questions()[0], set()).update(said)
    assert sum(len(values) > 1 for values in seen.values()) > 20


def test_labels_of_text_corruptions_are_true(world: MiniWorld, pool: list[Sample]):
    by_label = {label: [sample for sample in pool if sample.label == label] for label in KIND_SHARES}
    assert all(message["content"] in REFUSALS for sample in by_label["refusal"] for message in sample.messages[1::2])
    assert np.mean([all(told(sample, world)) for sample in by_label["garbled"]]) < 0.1
    assert np.mean([all(told(sample, world)) for sample in by_label["truncated"]]) < 0.1
    others = [sample.messages for sample in pool if sample.label != "duplicate"]
    folded = {tuple(message["content"].lower() for message in messages) for messages in others}
    assert all(
        tuple(message["content"].lower() for message in sample.messages) in folded for sample in by_label["duplicate"]
    )
    exact = [sample.messages in others for sample in by_label["duplicate"]]
    assert any(exact)
    assert not all(exact)


@pytest.mark.parametrize("kind", TEXT_CORRUPTIONS)
def test_text_corruptions_change_every_answer_and_not_their_argument(kind: str):
    before = [dict(message) for message in MESSAGES]
    for seed in range(50):
        after = TEXT_CORRUPTIONS[kind](MESSAGES, np.random.default_rng(seed))
        assert before == MESSAGES
        assert [message["role"] for message in after] == [message["role"] for message in MESSAGES]
        assert all(new["content"] and new != old for new, old in zip(after[1::2], MESSAGES[1::2], strict=True))


def test_garbling_replaces_letters_in_place():
    after = TEXT_CORRUPTIONS["garbled"](MESSAGES, np.random.default_rng(0))
    old, new = MESSAGES[1]["content"], after[1]["content"]
    assert [i for i, char in enumerate(old) if not char.isalpha()] == [
        i for i, char in enumerate(new) if not char.isalpha()
    ]
    assert sum(a != b for a, b in zip(old, new, strict=True)) == 10  # 40 % of 25 letters
    assert after[0] == MESSAGES[0]


def test_shuffling_keeps_the_words_and_truncation_the_beginning():
    shuffled = TEXT_CORRUPTIONS["shuffled"](MESSAGES, np.random.default_rng(0))
    assert all(
        sorted(new["content"].split()) == sorted(old["content"].split())
        for new, old in zip(shuffled[:3], MESSAGES[:3], strict=True)
    )
    assert sorted(shuffled[3]["content"]) == sorted("welding")
    for seed in range(20):
        cut = TEXT_CORRUPTIONS["truncated"](MESSAGES, np.random.default_rng(seed))[1]["content"]
        assert MESSAGES[1]["content"].startswith(cut)
        assert 5 <= len(cut) <= 16  # a fifth to a half of 33 characters, blanks at the end gone


def test_a_duplicate_differs_in_letter_case_at_most():
    copies = [duplicate(MESSAGES, np.random.default_rng(seed)) for seed in range(20)]
    assert all([m["content"].lower() for m in copy] == [m["content"].lower() for m in MESSAGES] for copy in copies)
    assert {copy == MESSAGES for copy in copies} == {True, False}


@pytest.mark.parametrize("corrupted", [0.0, 0.99])
def test_extreme_shares_in_a_small_world(corrupted: float):
    world = build(MiniWorldParams(facts=64, samples=100, corrupted=corrupted, known=0.5, pretrain_steps=1), seed=0)
    assert sum(sample.label != "clean" for sample in world.samples()) == round(100 * corrupted)
