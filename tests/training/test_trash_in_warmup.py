"""Trash experts in warm-up: trained or recording beside the gates, and in both kinds of checkpoint."""

from pathlib import Path

import pytest
import torch

from mygo.models import from_base, load_selector
from mygo.models.base_weights import BaseWeights
from mygo.models.checkpoints import load_checkpoint
from mygo.training.trainable import make_trainable, merged_state
from mygo.training.warmup import warm_up
from tests.tiny_bases import save_base
from tests.training.small_run import small_params
from tests.training.test_warmup import CPU

LORA = {"r": 2, "alpha": 4.0, "dropout": 0.0, "target_modules": ["q_proj"]}
FAMILIES = {"select_moe": "olmoe", "quality_gate": "qwen3"}


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """A selector of a family with a trash expert, as convert leaves it, with a tokenizer."""

    def convert(family: str, mode: str) -> Path:
        base = save_base(FAMILIES[family], tmp_path_factory.mktemp("base"))
        model = from_base(family, str(base), trash_expert_mode=mode, trash_expert_rank=2)
        model.save_pretrained(base)
        return base

    return convert


def trash_of(model) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items() if ".trash_expert." in name}


CASES = [
    (family, mode, trainable)
    for family in FAMILIES
    for mode in ("batch_noise", "low_rank", "expert_mean")
    for trainable in ("full_rank", "lora")
    if (family, mode) != ("quality_gate", "expert_mean")
]


@pytest.mark.parametrize(("family", "mode", "trainable"), CASES)
def test_trash_experts_learn_and_both_checkpoints_hold_them(
    converted, conversations, write_pool_of, tmp_path, monkeypatch, family, mode, trainable
):
    monkeypatch.chdir(tmp_path)
    selector = converted(family, mode)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/selector").symlink_to(selector)
    pool = write_pool_of(tmp_path / "pool", conversations[:8])
    states = []
    for save in ("complete", "trained_only"):
        params = small_params(trainable=trainable, lora=LORA, save=save, epochs=2)
        warm_up(params, CPU, 0, selector, pool, tmp_path / "data/warmed", tmp_path / "plots")
        states.append(load_checkpoint(tmp_path / "data/warmed/epoch_2", torch.float32).state_dict())
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())
    before = trash_of(load_selector(selector))
    assert all((states[0][name] - tensor).abs().max() > 1e-5 for name, tensor in before.items())


def test_a_trash_expert_is_no_part_of_the_base(converted):
    selector = converted("select_moe", "low_rank")
    model = load_selector(selector).eval()
    torch.nn.init.ones_(model.model.layers[0].mlp.trash_expert.up_DR)
    assert BaseWeights.of(model, selector).changed == []


@pytest.mark.parametrize("mode", ["batch_noise", "low_rank"])
def test_what_learns_or_records_is_in_float32_while_it_does(converted, mode):
    model = load_checkpoint(converted("select_moe", mode), torch.bfloat16)
    assert {tensor.dtype for tensor in trash_of(model).values()} == {torch.bfloat16}
    make_trainable(model, small_params())
    assert {tensor.dtype for tensor in trash_of(model).values()} == {torch.float32}
    assert {tensor.dtype for tensor in merged_state(model, torch.bfloat16).values()} == {torch.bfloat16}
