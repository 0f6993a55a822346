"""The mini world's truth, exam and corpus: what is asked, what is told, and to whom."""

import itertools
from collections import Counter

import pytest

from mygo.data.mini_world import EOS, MiniWorld, build
from mygo.data.mini_world.subjects import SUBJECTS
from mygo.params import MiniWorldParams

PARAMS = MiniWorldParams(facts=480, samples=3000, corrupted=0.5, known=0.5, pretrain_steps=1)


@pytest.fixture(scope="module")
def world() -> MiniWorld:
    return build(PARAMS, seed=3)


def test_two_builds_agree_and_seeds_differ(world: MiniWorld):
    again, other = build(PARAMS, seed=3), build(PARAMS, seed=4)
    assert list(world.samples()) == list(again.samples()) == list(world.samples())
    assert world.questions() == again.questions()
    assert world.corpus() == again.corpus()
    assert list(world.samples()) != list(other.samples())
    assert world.facts != other.facts


def test_groups_are_those_of_mmlu_with_two_subjects_each(world: MiniWorld):
    assert {group: len(subjects) for group, subjects in world.groups.items()} == {
        "stem": 2,
        "humanities": 2,
        "social_sciences": 2,
        "other": 2,
    }
    assert {subject for subjects in world.groups.values() for subject in subjects} == {
        question["subject"] for question in world.questions()["test"]
    }


def test_a_value_belongs_to_one_relation_only():
    values = Counter(value for subject in SUBJECTS for relation in subject.relations for value in relation.values)
    assert max(values.values()) == 1
    assert all(len(relation.values) >= 6 for subject in SUBJECTS for relation in subject.relations)


@pytest.mark.parametrize(("known", "count"), [(0.5, 240), (1.0, 480), (0.001, 1)])
def test_the_share_of_known_facts_is_met(known: float, count: int):
    world = build(PARAMS.model_copy(update={"known": known}), seed=0)
    assert (len(world.known_facts), len(world.unknown_facts)) == (count, 480 - count)
    assert len(set(world.facts)) == 480


def test_names_do_not_run_out():
    world = build(PARAMS.model_copy(update={"facts": 200_000}), seed=0)
    assert len({(fact.entity, fact.relation.phrase) for fact in world.facts}) == 200_000


def test_every_fact_has_a_test_question_with_its_right_answer(world: MiniWorld):
    asked = {question["question"]: question for question in world.questions()["test"]}
    assert len(asked) == 480
    for fact in world.facts:
        (question,) = [asked[text] for text in fact.questions() if text in asked]
        assert question["choices"][question["answer"]] == fact.sentence(fact.value)
        assert question["subject"] == fact.subject.name
        assert set(question["choices"]) <= {fact.sentence(value) for value in fact.relation.values}
        assert len(set(question["choices"])) == 4


@pytest.mark.parametrize("split", ["dev", "test"])
def test_the_right_answer_is_equally_often_at_each_place(world: MiniWorld, split: str):
    rows = world.questions()[split]
    assert set(Counter(row["answer"] for row in rows).values()) == {len(rows) // 4}
    assert [row["subject"] for row in rows] == sorted(row["subject"] for row in rows)


def test_dev_questions_have_facts_of_their_own(world: MiniWorld):
    dev = world.questions()["dev"]
    assert Counter(row["subject"] for row in dev) == Counter({subject.name: 5 for subject in SUBJECTS})
    told = "\n".join(
        [*world.corpus(), *(message["content"] for sample in world.samples() for message in sample.messages)]
    )
    assert not [fact.entity for fact in world.dev_facts if f" {fact.entity} " in told or f" {fact.entity}?" in told]


def test_the_corpus_tells_no_unknown_fact(world: MiniWorld):
    corpus = "\n".join(world.corpus())
    for fact in world.unknown_facts:
        for value, text in itertools.product(fact.relation.values, (fact.sentence("{value}"), fact.relation.statement)):
            assert text.replace("{value}", value).replace("{entity}", fact.entity) not in corpus
        assert not [question for question in fact.questions() if question in corpus]
        assert f"{fact.phrase()}?" not in corpus


def test_the_corpus_tells_every_known_fact_as_statement_and_as_conversation(world: MiniWorld):
    texts = world.corpus()
    statements = {text.removesuffix(EOS + "\n") for text in texts if not text.startswith("<|user|>")}
    conversations = "\n".join(text for text in texts if text.startswith("<|user|>"))
    for fact in world.known_facts:
        assert statements & {
            fact.sentence(fact.value),
            fact.relation.statement.format(entity=fact.entity, value=fact.value) + ".",
        }
        assert any(question in conversations for question in fact.questions())


def test_corpus_conversations_have_the_chat_format(world: MiniWorld):
    chats = [text for text in world.corpus() if text.startswith("<|user|>\n")]
    assert all(
        text.endswith(f"{EOS}\n") and text.count("<|user|>\n") == text.count("\n<|assistant|>\n") == text.count(EOS)
        for text in chats
    )
    assert any(text.count("<|user|>\n") == 2 for text in chats)
