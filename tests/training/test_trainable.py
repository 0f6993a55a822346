"""What is trained, in which number format, and what the losses are told."""

import pytest
import torch
from torch import nn

from mygo.errors import UserError
from mygo.models.checkpoints import load_checkpoint
from mygo.params import LoraParams
from mygo.training.lora import lora_config
from mygo.training.objectives.losses import configure_losses
from mygo.training.trainable import make_trainable, merged_state, trained_names
from tests.training.small_run import small_params

LORA = {"r": 4, "alpha": 24.0, "dropout": 0.25, "target_modules": ["v_proj", "q_proj"]}


def test_every_key_of_the_loss_reaches_the_model(tiny_selector):
    model = load_checkpoint(tiny_selector, torch.float32)
    loss = {
        "type": "custom",
        "weight": 0.75,
        "averaging": "token_wise",
        "function": "own:loss",
        "beta_target_mean": 0.25,
        "beta_target_var": 0.125,
        "w_mean": 2.0,
        "w_var": 3.0,
        "lambda_var": 4.0,
        "debug": True,
    }
    configure_losses(model, small_params(loss))
    names = {"type": "quality_loss_type", "weight": "quality_loss_weight", "averaging": "quality_loss_averaging"}
    names |= {"function": "quality_loss_function", "debug": "quality_loss_debug"}
    assert {key: getattr(model.config, names.get(key, key)) for key in loss} == loss
    assert model.config.enable_load_balancing is False


def test_the_weight_of_load_balancing_reaches_models_with_routers(tiny_selector):
    model = load_checkpoint(tiny_selector, torch.float32)
    before = getattr(model.config, "router_aux_loss_coef", None)
    configure_losses(model, small_params(load_balancing_weight=0.0))
    assert getattr(model.config, "router_aux_loss_coef", None) == before
    if "quality_gate" in str(tiny_selector):
        with pytest.raises(UserError) as error:
            configure_losses(model, small_params(load_balancing_weight=0.5))
        assert str(error.value) == (
            "warmup.load_balancing_weight: got 0.5; QualityGateQwen3ForCausalLM has no routers to balance, so it "
            "takes 0"
        )
        return
    configure_losses(model, small_params(load_balancing_weight=0.5))
    assert (model.config.enable_load_balancing, model.config.router_aux_loss_coef) == (True, 0.5)


@pytest.mark.parametrize("trainable", ["full_rank", "lora"])
def test_what_is_trained_is_held_in_float32_and_the_rest_as_it_was(tiny_selector, trainable):
    model = load_checkpoint(tiny_selector, torch.bfloat16)
    make_trainable(model, small_params(trainable=trainable, lora=LORA))
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert {parameter.dtype for parameter in trained.values()} == {torch.float32}
    frozen = [parameter for name, parameter in model.named_parameters() if name not in trained]
    assert {parameter.dtype for parameter in frozen} == {torch.bfloat16}
    assert any("quality_gate" in name for name in trained)
    if trainable == "lora":
        assert all("lora_" in name or "quality_gate" in name for name in trained)
    merged = merged_state(model, torch.bfloat16)
    assert {tensor.dtype for tensor in merged.values()} == {torch.bfloat16}
    assert set(merged) == set(load_checkpoint(tiny_selector, torch.bfloat16).state_dict())
    assert set(trained_names(model)) < set(merged)


def test_trained_names_are_of_the_checkpoint(tiny_selector):
    model = load_checkpoint(tiny_selector, torch.float32)
    make_trainable(model, small_params(trainable="lora", lora=LORA))
    layers = [f"model.layers.{layer}" for layer in (0, 1)]
    expected = {f"{layer}.self_attn.{name}.weight" for layer in layers for name in ("q_proj", "v_proj")}
    assert set(trained_names(model)) == expected | {f"{layer}.mlp.quality_gate.weight" for layer in layers}


class Named(nn.Module):
    def __init__(self):
        super().__init__()
        self.q_proj, self.v_proj, self.norm = nn.Linear(2, 2), nn.Linear(2, 2), nn.LayerNorm(2)


def test_lora_is_what_the_parameters_say():
    config = lora_config(LoraParams.model_validate(LORA), Named(), "finetune")
    assert (config.r, config.lora_alpha, config.lora_dropout, config.task_type) == (4, 24.0, 0.25, "CAUSAL_LM")
    assert config.target_modules == {"q_proj", "v_proj"}


@pytest.mark.parametrize("name", ["norm", "query"])
def test_lora_on_modules_that_are_not_there_is_refused(name):
    wrong = LoraParams.model_validate({**LORA, "target_modules": ["q_proj", name]})
    with pytest.raises(UserError) as error:
        lora_config(wrong, Named(), "finetune")
    assert str(error.value) == f"finetune.lora.target_modules: got {name}; Named has q_proj, v_proj"
