"""A model of the mini world that is to grade real conversations is told of, once."""

import pytest

from mygo.launch.advice import advice
from tests.launch.test_preflight import params_with


@pytest.fixture
def root(repository, monkeypatch):
    monkeypatch.chdir(repository.folder)
    return repository.folder


def test_the_mini_world_needs_no_advice(root):
    assert advice(params_with(root), root) == []


def test_mini_models_on_real_text_are_told_of(root):
    selector, target = advice(params_with(root, prepare__source="local"), root)
    assert selector == (
        "convert.base_model is data/base/olmoe, a model of the mini world that has never read real text, while "
        "prepare.source is local: what it says of these conversations means nothing; choose another with selector=..."
    )
    assert target.startswith("finetune.base_model is data/base/qwen3, ")
    assert target.endswith(" with target=...")


def test_models_of_the_hub_and_the_users_own_need_none(root):
    (root / "mine").mkdir()
    hub = params_with(
        root, prepare__source="hub", convert__base_model="allenai/OLMoE-1B-7B-0125", finetune__base_model="mine"
    )
    assert advice(hub, root) == []


@pytest.mark.parametrize(("family", "instead"), [("trash_can", "its loss is the constraint"), ("stock_moe", "alone")])
def test_a_quality_loss_that_a_family_without_gates_does_not_read_is_told_of(root, family, instead):
    def of(kind):
        params = params_with(root, warmup__quality_loss__type=kind)
        return params.model_copy(update={"convert": params.convert.model_copy(update={"family": family})})

    (sentence,) = advice(of("mse"), root)
    assert sentence.startswith(f"warmup.quality_loss.type is mse, which convert.family={family} does not read: ")
    assert instead in sentence
    assert advice(of("sigmoid"), root) == []
    assert advice(params_with(root, warmup__quality_loss__type="mse"), root) == []


def test_a_hub_model_that_may_have_no_gates_is_told_of(root):
    named = {"collect__base_model": "Qwen/Qwen3-1.7B"}
    assert advice(params_with(root, **named), root) == [
        "select.score is quality, a score of gates, and collect.base_model is Qwen/Qwen3-1.7B: unless that is a "
        "selector, the stage select will refuse it; select=perplexity takes any model"
    ]
    for changes in ({"select__score": "length"}, {"select__strategy": "random"}, {"collect__base_model": "/mine"}):
        assert advice(params_with(root, **named | changes), root) == []


def test_a_mini_world_without_its_truth_is_told_of(root):
    (sentence,) = advice(params_with(root, prepare__decontaminate=True), root)
    assert sentence.startswith(
        "prepare.decontaminate is true, and prepare.source is mini_world, whose pool is there to"
    )
    assert advice(params_with(root, prepare__decontaminate=True, prepare__benchmark__source="hub"), root) == []


def test_trash_that_a_family_does_not_read_is_told_of(root):
    def of(family, **changes):
        params = params_with(root)
        return advice(
            params.model_copy(update={"convert": params.convert.model_copy(update={"family": family} | changes)}), root
        )

    said = ["convert.trash_expert_mode is low_rank, which convert.family=trash_can does not read"]
    assert of("trash_can", trash_expert_mode="low_rank", trash_experts=3) == said
    assert of("select_moe", trash_experts=3) == [
        "convert.trash_experts is 3, which convert.family=select_moe does not read"
    ]
    assert of("select_moe", trash_expert_mode="low_rank") == of("stock_moe") == []
