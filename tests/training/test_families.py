"""The warm-up of families without gates: routers alone, on their own terms of the loss."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from mygo.models import from_base, load_selector
from mygo.models.checkpoints import load_checkpoint
from mygo.params import WarmupParams
from mygo.preparation.tokenizer import train_tokenizer
from mygo.runtime import Runtime
from mygo.training.objectives.losses import configure_losses
from mygo.training.warmup import warm_up
from tests.tiny_decoders import tiny
from tests.training.small_run import DEFAULTS, small_params

CPU = Runtime(torch.device("cpu"), torch.float32, 0, 1)
SMALL = {"epochs": 2, "batch_size": 8, "micro_batch_size": 4, "max_length": 32, "learning_rate": 0.02}
SMALL |= {"gradient_checkpointing": True}


@pytest.fixture
def warmed(conversations, write_pool_of, tmp_path, monkeypatch):
    """Converts a tiny base by the family's own name for it, warms it up in a temporary folder; returns the report."""

    def run(family, name, **changes):
        monkeypatch.chdir(tmp_path)
        tokenizer = train_tokenizer(["<|user|>\namber brook\n<|assistant|>\ncedar dune ember frost\n"])
        tiny(name, vocab_size=len(tokenizer)).save_pretrained("base")
        from_base(family, "base", quality_gate_init_std=0.2).save_pretrained("data/selector")
        tokenizer.save_pretrained("data/selector")
        pool = write_pool_of(tmp_path / "pool", conversations[:16])
        params = WarmupParams.model_validate({**DEFAULTS, **SMALL, **changes})
        return warm_up(params, CPU, 0, Path("data/selector"), pool, Path("data/warmed"), Path("plots/warmup"))

    return run


def changed(epoch: str) -> set[str]:
    before, after = (load_selector(folder).state_dict() for folder in ("data/selector", f"data/warmed/{epoch}"))
    assert before.keys() == after.keys()
    return {name for name in before if not torch.equal(before[name], after[name])}


@pytest.mark.parametrize("name", ["olmoe", "mixtral", "qwen3_moe_mixed"])
def test_of_a_stock_moe_the_routers_alone_are_trained_on_the_language_model(warmed, name):
    report = warmed("stock_moe", name)
    routers = {f"model.layers.{layer}.mlp.gate.weight" for layer in ([0] if "mixed" in name else [0, 1])}
    assert changed("epoch_1") == changed("epoch_2") == routers
    assert report.good_ratio == []
    assert {key for key in report.metrics if key.endswith("loss")} == {"loss", "lm_loss"}
    assert report.metrics["loss"] == pytest.approx(report.metrics["lm_loss"], rel=1e-5)
    epoch = AutoModelForCausalLM.from_pretrained("data/warmed/epoch_2")  # a plain base for everybody else
    assert type(epoch).__module__.startswith("transformers.")
    config = json.loads(Path("data/warmed/epoch_2/config.json").read_text())
    assert {key for key in config if "quality" in key or "trash" in key or "beta" in key} == set()


def test_of_a_stock_moe_load_balancing_is_added_where_asked(warmed):
    metrics = warmed("stock_moe", "olmoe", load_balancing_weight=0.1).metrics
    assert metrics["loss"] == pytest.approx(metrics["lm_loss"] + 0.1 * metrics["load_balancing_loss"], rel=1e-4)


def test_trash_cans_are_trained_on_the_constraint_beside_the_language_model(warmed):
    report = warmed("trash_can", "olmoe", quality_loss={**DEFAULTS["quality_loss"], "weight": 3.0})
    kinds = ("gate.weight", "gate.trash_router.weight")
    assert changed("epoch_2") == {f"model.layers.{layer}.mlp.{kind}" for layer in (0, 1) for kind in kinds}
    metrics = report.metrics
    assert metrics["loss"] == pytest.approx(metrics["lm_loss"] + 3 * metrics["constraint_loss"], rel=1e-4)
    first, last = report.good_ratio[0]["good_ratio"], report.good_ratio[-1]["good_ratio"]
    assert last < first - 0.05  # alpha 1, beta 2 pull probability to the trash


def test_what_a_config_has_is_set_and_nothing_else(tmp_path):
    """A stock MoE's config stays its base's."""
    tiny("olmoe").save_pretrained(tmp_path)
    loss = {"type": "mse", "weight": 0.5, "trash_can_alpha": 1.5, "trash_can_beta": 3.0}
    params = small_params(loss, load_balancing_weight=0.25)
    trash_can, stock = (from_base(family, str(tmp_path)) for family in ("trash_can", "stock_moe"))
    before = stock.config.to_dict()
    for model in (trash_can, stock):
        configure_losses(model, params)
    config = trash_can.config
    assert (config.trash_can_alpha, config.trash_can_beta, config.quality_loss_weight) == (1.5, 3.0, 0.5)
    assert stock.config.to_dict() == before | {"enable_load_balancing": True, "router_aux_loss_coef": 0.25}


@pytest.mark.parametrize("family", ["trash_can", "stock_moe"])
def test_a_checkpoint_of_what_was_trained_lies_over_the_selector(warmed, family):
    warmed(family, "olmoe", save="trained_only", epochs=1)
    names = set(load_file("data/warmed/epoch_1/trained.safetensors"))
    whole = load_checkpoint(Path("data/warmed/epoch_1"), torch.float32).state_dict()
    before = load_selector("data/selector").state_dict()
    assert {name for name in before if not torch.equal(before[name], whole[name])} == names
    assert len(names) == (4 if family == "trash_can" else 2)


@pytest.mark.parametrize("family", ["trash_can", "stock_moe"])
def test_lora_stands_beside_what_routes(warmed, family):
    lora = {"r": 4, "alpha": 8.0, "dropout": 0.0, "target_modules": ["q_proj"]}
    warmed(family, "olmoe", trainable="lora", lora=lora, epochs=1)
    found = changed("epoch_1")
    assert {name for name in found if "self_attn.q_proj" in name}
    assert all("q_proj" in name or ".mlp.gate." in name for name in found)
    assert any(".mlp.gate." in name for name in found)


def test_debug_says_the_range_of_r_where_there_are_trash_cans(warmed, capsys):
    warmed("trash_can", "olmoe", epochs=1, quality_loss={**DEFAULTS["quality_loss"], "debug": True})
    lines = [line for line in capsys.readouterr().err.splitlines() if "good_ratio min mean max by layer" in line]
    assert [line.split(",")[0] for line in lines] == ["warmup: step 1", "warmup: step 2"]
    low, mean, high = map(float, lines[0].rsplit(": ", 1)[1].split())
    assert 0 < low < mean < high < 1
