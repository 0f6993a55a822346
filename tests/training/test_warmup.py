"""Warm-up: what is trained, what is saved after every epoch, what stops it."""

import json

import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file

from mygo.errors import UserError
from mygo.models.checkpoints import load_checkpoint
from mygo.params import WarmupParams
from mygo.runtime import Runtime
from mygo.training.objectives.published import WarmupTrainer
from mygo.training.trainable import make_trainable, merged_state
from mygo.training.warmup import warm_up

CPU = Runtime(torch.device("cpu"), torch.float32, 0, 1)


@pytest.fixture
def params():
    defaults = OmegaConf.to_container(OmegaConf.load("params.yaml"))["warmup"]
    small = {"epochs": 2, "batch_size": 8, "micro_batch_size": 4, "max_length": 32, "learning_rate": 0.05}
    return lambda **changes: WarmupParams.model_validate({**defaults, **small, **changes})


@pytest.fixture
def warmed(tiny_selector, conversations, write_pool_of, tmp_path, params, monkeypatch):
    """Runs a warm-up of the tiny selector in a temporary folder and returns its output folder and metrics."""

    def run(seed=0, **changes):
        made = params(**changes)
        monkeypatch.chdir(tmp_path)
        pool = write_pool_of(tmp_path / "pool", conversations[:16])
        report = warm_up(made, CPU, seed, tiny_selector, pool, tmp_path / "data/warmed", tmp_path / "plots/warmup")
        assert {row["layer"] for row in report.good_ratio} == {0, 1}
        last = [row["good_ratio"] for row in report.good_ratio if row["step"] == report.good_ratio[-1]["step"]]
        assert report.metrics["good_ratio"] == pytest.approx(sum(last) / len(last), abs=1e-6)
        return tmp_path / "data/warmed", report.metrics | {"last": last}

    return run


def changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    assert before.keys() == after.keys()
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_only_routing_tensors_change_and_every_epoch_is_a_complete_checkpoint(warmed, tiny_selector):
    out, metrics = warmed()
    before = load_file(tiny_selector / "model.safetensors")
    for epoch in ("epoch_1", "epoch_2"):
        trained = changed(before, load_file(out / epoch / "model.safetensors"))
        assert {f"model.layers.{layer}.mlp.quality_gate.weight" for layer in (0, 1)} <= trained
        assert all("quality_gate" in name or name.endswith("mlp.gate.weight") for name in trained)
        assert load_checkpoint(out / epoch, torch.float32).config.quality_loss_type == "sigmoid"
    assert set(json.loads((out / "digests.json").read_text())) == {"epoch_1", "epoch_2"}
    assert metrics["steps"] == 4
    assert metrics["samples"] == 16


def test_gates_become_neither_constant_nor_equal_between_layers(warmed):
    _, metrics = warmed()
    assert len(set(metrics["last"])) == 2


def test_loss_parts_and_good_ratios_are_logged_for_plots_and_tensorboard(warmed, tmp_path):
    _, metrics = warmed(batch_size=4)
    curves = {path.stem for path in (tmp_path / "plots/warmup/plots/metrics").rglob("*.tsv")}
    assert {"loss", "lm_loss", "quality_loss", "layer_00", "layer_01"} <= curves
    assert list((tmp_path / "logs/tensorboard/warmup").glob("*/events*"))
    assert metrics["loss"] == pytest.approx(metrics["lm_loss"] + 0.01 * metrics["quality_loss"], abs=1e-4)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(warmed, tmp_path):
    digests = [(warmed(seed=seed)[0] / "digests.json").read_text() for seed in (0, 0, 1)]
    assert digests[0] == digests[1]
    assert digests[0] != digests[2]
    assert len(list((tmp_path / "logs/tensorboard/warmup").iterdir())) == 3


def test_the_seed_draws_the_matrices_of_lora(warmed, tiny_selector):
    lora = {"r": 4, "alpha": 8.0, "dropout": 0.0, "target_modules": ["q_proj"]}
    changes = {"trainable": "lora", "lora": lora, "batch_size": 16, "micro_batch_size": 16, "epochs": 2}
    runs = [load_file(warmed(seed=seed, **changes)[0] / "epoch_2/model.safetensors") for seed in (0, 0, 1)]
    adapted = "model.layers.0.self_attn.q_proj.weight"
    assert torch.equal(runs[0][adapted], runs[1][adapted])
    # All samples are in one batch, so that their order changes no more than the last digits.
    moved = (runs[0][adapted] - load_file(tiny_selector / "model.safetensors")[adapted]).abs().max()
    assert (runs[0][adapted] - runs[2][adapted]).abs().max() > 0.1 * moved


def test_trained_tensors_alone_load_to_the_same_model(warmed, tiny_selector, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/selector").symlink_to(tiny_selector)
    complete = load_checkpoint(warmed()[0] / "epoch_2", torch.float32).state_dict()
    out, _ = warmed(save="trained_only")
    assert not (out / "epoch_2/model.safetensors").exists()
    alone = load_checkpoint(out / "epoch_2", torch.float32).state_dict()
    assert changed(complete, alone) == set()


def test_lora_is_merged_into_the_checkpoint(warmed, tiny_selector):
    lora = {"r": 4, "alpha": 8.0, "dropout": 0.0, "target_modules": ["q_proj", "v_proj"]}
    out, _ = warmed(trainable="lora", lora=lora)
    trained = changed(load_file(tiny_selector / "model.safetensors"), load_file(out / "epoch_2/model.safetensors"))
    assert {name.split(".")[-2] for name in trained} == {"q_proj", "v_proj", "quality_gate"}


def test_a_merged_state_computes_what_the_adapted_model_computes(tiny_selector, params):
    model = load_checkpoint(tiny_selector, torch.float32)
    make_trainable(
        model, params(trainable="lora", lora={"r": 4, "alpha": 8.0, "dropout": 0.0, "target_modules": ["q_proj"]})
    )
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    ids = torch.arange(3, 20)[None]
    plain = load_checkpoint(tiny_selector, torch.float32)
    before = plain(ids).logits
    plain.load_state_dict(merged_state(model, torch.float32))
    assert not torch.allclose(model(ids).logits, before, atol=1e-3)
    torch.testing.assert_close(plain(ids).logits, model(ids).logits, atol=1e-5, rtol=1e-5)


def test_a_loss_that_is_not_finite_stops_at_its_step(warmed, tmp_path, monkeypatch):
    steps = iter(range(10))
    compute = WarmupTrainer.compute_loss

    def third_is_nan(self, *args, **kwargs):
        loss = compute(self, *args, **kwargs)
        return loss * float("nan") if next(steps) == 2 else loss

    monkeypatch.setattr(WarmupTrainer, "compute_loss", third_is_nan)
    with pytest.raises(
        UserError, match=r"^warmup: the loss is nan at step 2; lower warmup\.learning_rate \(now 0\.05\)$"
    ):
        warmed()
    assert not (tmp_path / "data/warmed").exists()


def test_a_selector_that_is_not_there_is_named(params, tmp_path):
    with pytest.raises(UserError, match="selector: no selector is here; run the convert and warmup stages first"):
        warm_up(params(), CPU, 0, tmp_path / "selector", tmp_path / "pool", tmp_path / "warmed", tmp_path / "plots")


def test_wrong_settings_are_one_sentence(warmed, tiny_selector):
    with pytest.raises(UserError, match=r"^warmup\.lora\.target_modules: got query; .* has .*q_proj"):
        warmed(trainable="lora", lora={"r": 4, "alpha": 8.0, "dropout": 0.0, "target_modules": ["query"]})
    if "quality_gate" in str(tiny_selector):
        with pytest.raises(UserError, match=r"^warmup\.load_balancing_weight: got 0\.1; .* no routers"):
            warmed(load_balancing_weight=0.1)
